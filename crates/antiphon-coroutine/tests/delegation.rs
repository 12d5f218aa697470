//! Delegation: a call with the handle, and `Co::delegate` for an object. `docs/python-semantics.md`, D1-D8.
#![cfg(feature = "alloc")]

#[allow(dead_code, reason = "each test file uses its own part of it")]
mod common;

use std::cell::Cell;
use std::panic::Location;
use std::pin::pin;

use antiphon_coroutine::CoroutineState::{Complete, Yielded};
use antiphon_coroutine::{
    BoxCoroutine, Co, CoroutineState, IgnoredClose, Interrupt, State, coroutine, generator,
};

use common::{Trace, panic_of};

/// D1. `test_coroutines.py` `test_await_1`, `_2`, `_5`, `_6`, `_8`, `_12`, `_13`. What can't be awaited does not compile;
/// these can: a helper that was handed the handle, an object in each of its forms, a future that knows no coroutine.
#[test]
fn a_body_awaits_helpers_objects_and_foreign_futures() {
    async fn helper(co: &mut Co<'_, u8>) -> Result<u8, Interrupt> {
        co.yield_(1).await?;
        Ok(10)
    }
    let boxed: BoxCoroutine<'_, u8, (), Result<u8, Interrupt>> = generator(helper).boxed();
    let mut awaits = pin!(generator(async move |co| -> Result<u8, Interrupt> {
        let mut boxed = boxed;
        let mut pinned = pin!(generator(helper));
        Ok(helper(co).await?
            + co.delegate(pinned.as_mut(), ()).await?
            + co.delegate(boxed.as_mut(), ()).await?
            + std::future::ready(10).await)
    }));
    for _ in 0..3 {
        assert_eq!(awaits.send(()), Yielded(1));
    }
    assert_eq!(awaits.send(()), Complete(Ok(40)));
}

/// D2. `test_yield_from.py` `test_conversion_of_sendNone_to_next`, `test_delegation_of_send`.
#[test]
fn values_sent_reach_the_innermost() {
    async fn echo_until_zero(co: &mut Co<'_, i32, i32>, mut x: i32) -> Result<i32, Interrupt> {
        let mut sum = 0;
        while x != 0 {
            sum += x;
            x = co.yield_(x).await?;
        }
        Ok(sum)
    }
    async fn two_deep(co: &mut Co<'_, i32, i32>, x: i32) -> Result<i32, Interrupt> {
        echo_until_zero(co, x).await
    }
    let mut by_call = coroutine(two_deep).boxed();
    let mut by_object = coroutine(async |co, x: i32| -> Result<i32, Interrupt> {
        let mut outer = pin!(coroutine(async |co, x: i32| -> Result<i32, Interrupt> {
            let mut inner = pin!(coroutine(echo_until_zero));
            co.delegate(inner.as_mut(), x).await
        }));
        co.delegate(outer.as_mut(), x).await
    })
    .boxed();
    for delegates in [&mut by_call, &mut by_object] {
        assert_eq!(delegates.send(1), Yielded(1));
        assert_eq!(delegates.send(20), Yielded(20));
        assert_eq!(delegates.send(300), Yielded(300));
        assert_eq!(delegates.send(0), Complete(Ok(321)));
    }
}

/// D2. `test_yield_from.py` `test_attempting_to_send_to_non_generator`. A plain iterator can't be sent to, and there is no
/// way to try: it is delegated to by a loop, which says what becomes of the values sent.
#[test]
fn a_plain_iterator_is_delegated_to_by_a_loop() {
    let mut chars = pin!(coroutine(
        async |co, mut shout: bool| -> Result<(), Interrupt> {
            for c in "abc".chars() {
                let c = if shout { c.to_ascii_uppercase() } else { c };
                shout = co.yield_(c).await?;
            }
            Ok(())
        }
    ));
    assert_eq!(chars.send(false), Yielded('a'));
    assert_eq!(chars.send(true), Yielded('B'));
    assert_eq!(chars.send(false), Yielded('c'));
    assert_eq!(chars.send(false), Complete(Ok(())));
}

/// D3. `test_yield_from.py` `test_delegating_throw`, `test_delegating_throw_to_non_generator`; `test_coroutines.py`
/// `test_await_14`.
#[test]
fn a_throw_reaches_the_innermost_first() {
    type Fallible<T> = Result<T, Interrupt<&'static str>>;

    async fn innermost(co: &mut Co<'_, u8, (), &'static str>, trace: &Trace) -> Fallible<()> {
        let heard = co.yield_(1).await;
        trace.note(format_args!("innermost {heard:?}"));
        heard
    }
    let trace = Trace::default();
    let middle = async |co: &mut Co<'_, u8, (), &'static str>| -> Fallible<()> {
        let heard = innermost(co, &trace).await;
        trace.note(format_args!("middle {heard:?}"));
        heard
    };
    let mut by_call = generator(async |co| -> Fallible<()> {
        let heard = middle(co).await;
        trace.note(format_args!("outer {heard:?}"));
        co.yield_(2).await
    })
    .boxed();
    let mut by_object = generator(async |co| -> Fallible<()> {
        let mut middle = pin!(generator(middle));
        let heard = co.delegate(middle.as_mut(), ()).await;
        trace.note(format_args!("outer {heard:?}"));
        co.yield_(2).await
    })
    .boxed();
    for delegates in [&mut by_call, &mut by_object] {
        assert_eq!(delegates.send(()), Yielded(1));
        assert_eq!(delegates.throw("x"), Ok(Yielded(2)));
        assert_eq!(
            trace.take(),
            [
                r#"innermost Err(Thrown("x"))"#,
                r#"middle Err(Thrown("x"))"#,
                r#"outer Err(Thrown("x"))"#,
            ]
        );
        assert_eq!(delegates.send(()), Complete(Ok(())));
    }
}

/// D4, which differs. `test_yield_from.py` `test_throwing_GeneratorExit_into_subgen_that_returns`: Python raises the exit
/// in the delegator even when the sub-generator swallowed it. Here delegation is a function call, and a function that
/// returns a value has returned a value. The full matrix is in `delegation_matrix.rs`.
#[test]
fn a_close_swallowed_by_the_inner_is_hidden_from_the_outer() {
    async fn swallows(co: &mut Co<'_, u8>) -> &'static str {
        match co.yield_(1).await {
            Ok(()) => "sent",
            Err(Interrupt::Closed) => "swallowed",
        }
    }
    let mut by_call = generator(async |co: &mut Co<'_, u8>| swallows(co).await).boxed();
    let mut by_object = generator(async |co: &mut Co<'_, u8>| {
        let mut inner = pin!(generator(swallows));
        co.delegate(inner.as_mut(), ()).await
    })
    .boxed();
    for delegates in [&mut by_call, &mut by_object] {
        assert_eq!(delegates.send(()), Yielded(1));
        assert_eq!(delegates.close(), Ok(Some("swallowed")));
    }

    // So an outer that goes on yielding has ignored the close, without having heard of it.
    let mut goes_on = pin!(generator(async |co: &mut Co<'_, u8>| {
        swallows(co).await;
        co.yield_(2).await
    }));
    assert_eq!(goes_on.send(()), Yielded(1));
    assert_eq!(goes_on.close(), Err(IgnoredClose(2)));
    assert_eq!(goes_on.close(), Ok(Some(Err(Interrupt::Closed))));
}

/// D5. `test_yield_from.py` `test_delegating_close`, `test_handing_exception_while_delegating_close`,
/// `test_delegation_of_close_to_non_generator`; `test_coroutines.py` `test_func_19`.
#[test]
fn frames_hear_a_close_innermost_first() {
    async fn frame(co: &mut Co<'_, u8>, trace: &Trace, depth: u8) -> Result<(), Interrupt> {
        let _guard = trace.guard(["innermost", "middle", "outer"][usize::from(depth)]);
        match depth {
            0 => co.yield_(1).await,
            // Half of the way by call, half by object.
            1 => {
                let inner = async |co: &mut Co<'_, u8>| Box::pin(frame(co, trace, 0)).await;
                let mut inner = pin!(generator(inner));
                co.delegate(inner.as_mut(), ()).await
            }
            _ => Box::pin(frame(co, trace, depth - 1)).await,
        }
    }
    let trace = Trace::default();
    let mut outer = pin!(generator(async |co: &mut Co<'_, u8>| {
        frame(co, &trace, 2).await
    }));
    assert_eq!(outer.send(()), Yielded(1));
    assert_eq!(trace.take(), [""; 0]);
    assert_eq!(outer.close(), Ok(Some(Err(Interrupt::Closed))));
    assert_eq!(
        trace.take(),
        ["drop innermost", "drop middle", "drop outer"]
    );
}

/// D6. `test_coroutines.py` `test_await_4`, `_9`, `_10`, `_11`; `test_yield_from.py` `test_generator_return_value`,
/// `test_next_and_return_with_value`, `test_send_and_return_with_value`,
/// `test_catching_exception_from_subgen_and_returning`.
#[test]
fn what_the_inner_returns_is_the_value_of_the_await() {
    #[derive(Debug, PartialEq)]
    struct Failed(u8);

    async fn inner(co: &mut Co<'_, u8, u8>, x: u8) -> Result<u8, Failed> {
        match co.yield_(x).await {
            Ok(0) => Err(Failed(x)),
            Ok(y) => Ok(x + y),
            Err(Interrupt::Closed) => Ok(99),
        }
    }
    let mut outer = pin!(coroutine(async |co: &mut Co<'_, u8, u8>, x: u8| {
        let mut object = pin!(coroutine(inner));
        [
            inner(co, x).await,
            inner(co, 2).await,
            co.delegate(object.as_mut(), 3).await,
        ]
    }));
    assert_eq!(outer.send(1), Yielded(1));
    assert_eq!(outer.send(10), Yielded(2));
    assert_eq!(outer.send(0), Yielded(3));
    assert_eq!(outer.send(30), Complete([Ok(11), Err(Failed(2)), Ok(33)]));
}

/// D7. `test_coroutines.py` `test_await_15`: "coroutine is being awaited already". A second awaiter would need the `&mut`
/// that the first one holds. One after the other is allowed: an object goes from hand to hand between two steps.
#[test]
fn a_started_object_is_handed_over_between_steps() {
    let mut shared = generator(async |co| -> Result<&str, Interrupt> {
        for n in 1..=4 {
            co.yield_(n).await?;
        }
        Ok("end")
    })
    .boxed();
    assert_eq!(shared.send(()), Yielded(1));

    // An outer that goes away in the middle leaves the inner where it was.
    {
        let mut outer = pin!(generator(async |co: &mut Co<'_, i32>| {
            co.delegate(shared.as_mut(), ()).await
        }));
        assert_eq!(outer.send(()), Yielded(2));
        assert_eq!(outer.send(()), Yielded(3));
    }
    assert_eq!(shared.state(), State::Suspended);
    assert_eq!(shared.send(()), Yielded(4));
    assert_eq!(shared.send(()), Complete(Ok("end")));
}

/// D7. A finished object can't be delegated to: the line of the `delegate` is blamed.
#[test]
fn delegating_to_a_finished_object_panics_at_that_line() {
    let mut finished = generator(async |_: &mut Co<'_, u8>| ()).boxed();
    assert_eq!(finished.send(()), Complete(()));
    let line = Cell::new(0);
    let mut outer = pin!(generator(async |co: &mut Co<'_, u8>| {
        line.set(line!() + 1);
        co.delegate(finished.as_mut(), ()).await;
    }));
    let caught = panic_of(|| outer.send(()));
    assert_eq!(outer.state(), State::Panicked);
    assert!(caught.message.starts_with("`delegate` on coroutine `"));
    assert!(caught.message.contains("which has finished"));
    assert_eq!((caught.file.as_str(), caught.line), (file!(), line.get()));
}

/// D8. `test_coroutines.py` `test_stack_in_coroutine_throw`; `test_generators.py` `GeneratorStackTraceTest`. The
/// innermost line is the same one however the coroutine was resumed.
#[test]
fn the_line_is_the_innermost_after_a_send_as_after_a_throw() {
    async fn patient(co: &mut Co<'_, u32, (), ()>) -> Result<(), Interrupt<()>> {
        loop {
            match co.yield_(line!()).await {
                Err(Interrupt::Closed) => return Err(Interrupt::Closed),
                Ok(()) | Err(Interrupt::Thrown(())) => {}
            }
        }
    }
    let mut by_call = generator(async |co: &mut Co<'_, u32, (), ()>| patient(co).await).boxed();
    let mut by_object = generator(async |co: &mut Co<'_, u32, (), ()>| {
        let mut inner = pin!(generator(patient));
        co.delegate(inner.as_mut(), ()).await
    })
    .boxed();
    for delegates in [&mut by_call, &mut by_object] {
        let line = delegates.send(()).yielded();
        assert_eq!(delegates.location().map(Location::line), line);
        assert_eq!(delegates.throw(()).map(CoroutineState::yielded), Ok(line));
        assert_eq!(delegates.location().map(Location::line), line);
        assert_eq!(delegates.send(()).yielded(), line);
        assert_eq!(delegates.location().map(Location::file), Some(file!()));
    }
}
