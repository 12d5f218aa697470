//! Panics: those of a body, those of misuse and the line that they blame, and those of destructors on the way of a value.
//! `docs/python-semantics.md`, C6 and C7.
#![cfg(feature = "alloc")]

#[allow(dead_code, reason = "each test file uses its own part of it")]
mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use antiphon_coroutine::CoroutineState::{Complete, Yielded};
use antiphon_coroutine::{
    BoxCoroutine, Co, CoroutineState, Interrupt, State, coroutine, generator,
};
use futures_util::FutureExt as _;

use common::{Trace, catch, panic_of, poll_once, run, tick};

/// C6. `test_inspect.py` `test_closed_after_immediate_exception`. What unwinds through `send` is a panic. It leaves the
/// coroutine `Panicked`, never in between, and never to be resumed.
#[test]
fn a_panic_of_the_body_goes_through_the_caller_and_is_the_end() {
    let trace = Trace::default();
    let mut panics = pin!(coroutine(
        async |co: &mut Co<'_, u8, u8, u8>, x| -> Result<(), Interrupt<u8>> {
            let _guard = trace.guard("frame");
            co.yield_(x).await?;
            panic!("body, {x}");
        }
    ));
    assert_eq!(panics.send(1), Yielded(1));
    let (caught, line) = (panic_of(|| panics.send(2)), line!() - 4);
    assert_eq!(caught.message, "body, 1");
    assert_eq!((caught.file.as_str(), caught.line), (file!(), line));
    // Its frames are gone with the unwinding, not only with the object.
    assert_eq!(trace.take(), ["drop frame"]);
    assert_eq!(panics.state(), State::Panicked);
    assert!(panics.is_finished());
    assert_eq!(panics.close(), Ok(None));
    for (caught, line) in [
        (panic_of(|| panics.send(3)), line!()),
        (panic_of(|| panics.throw(3)), line!()),
    ] {
        assert!(caught.message.ends_with("which panicked earlier"));
        assert_eq!((caught.file.as_str(), caught.line), (file!(), line));
    }
    assert_eq!(panics.state(), State::Panicked);
}

/// C6. A panic in the first step, in a throw, in a close and in a task.
#[test]
fn a_panic_is_the_end_whatever_resumed_the_body() {
    type Object<'a> = BoxCoroutine<'a, u8, bool, (), ()>;

    let panics = async |co: &mut Co<'_, u8, bool, ()>, now: bool| {
        assert!(!now, "at once");
        let heard = co.yield_(1).await;
        panic!("{heard:?}");
    };
    let started = || -> Object<'_> {
        let mut object = coroutine(panics).boxed();
        assert_eq!(object.send(false), Yielded(1));
        object
    };
    let check = |mut object: Object<'_>, resume: fn(&mut Object<'_>), message: &str| {
        assert_eq!(panic_of(|| resume(&mut object)).message, message);
        assert_eq!(object.state(), State::Panicked);
        assert_eq!(object.location(), None);
    };
    check(coroutine(panics).boxed(), |c| _ = c.send(true), "at once");
    check(started(), |c| _ = c.send(true), "Ok(true)");
    check(started(), |c| _ = c.throw(()), "Err(Thrown(()))");
    check(started(), |c| _ = c.close(), "Err(Closed)");
    check(started(), |c| _ = run(c.asend(true)), "Ok(true)");
    check(started(), |c| _ = run(c.athrow(())), "Err(Thrown(()))");
    check(started(), |c| _ = run(c.aclose()), "Err(Closed)");
}

/// C7. `test_coroutines.py` `test_func_15`, `_16`, `_17`, `_18`: "cannot reuse already awaited coroutine". The message names
/// the coroutine and where it was made; the line blamed is the caller's, in both forms.
#[test]
fn resuming_a_finished_one_panics_at_the_callers_line() {
    let returns = async |_: &mut Co<'_, u8, u8, u8>, x: u8| x;
    let mut pinned = pin!(coroutine(returns).with_name("short"));
    let mut boxed = coroutine(returns).with_name("short").boxed();
    let _ = (pinned.send(1), boxed.send(1));
    let refusals = [
        ("send", panic_of(|| pinned.send(2)), line!()),
        ("throw", panic_of(|| pinned.throw(2)), line!()),
        ("asend", panic_of(|| drop(pinned.asend(2))), line!()),
        ("athrow", panic_of(|| drop(pinned.athrow(2))), line!()),
        ("send", panic_of(|| boxed.send(2)), line!()),
        ("throw", panic_of(|| boxed.throw(2)), line!()),
        ("asend", panic_of(|| drop(boxed.asend(2))), line!()),
        ("athrow", panic_of(|| drop(boxed.athrow(2))), line!()),
    ];
    let origins = [pinned.origin(), boxed.origin()];
    for (i, (method, caught, line)) in refusals.into_iter().enumerate() {
        let origin = origins[i / 4];
        assert_eq!(
            caught.message,
            format!(
                "`{method}` on coroutine `short` (made at {origin}), which has finished; `is_finished` asks first"
            )
        );
        assert_eq!((caught.file.as_str(), caught.line), (file!(), line));
    }
    assert_eq!(
        (pinned.state(), boxed.state()),
        (State::Closed, State::Closed)
    );
}

/// There is no step to finish but in the middle of one: the caller's line again.
#[test]
fn finishing_no_step_panics_at_the_callers_line() {
    let mut c = generator(async |co: &mut Co<'_, u8>| co.yield_(1).await).boxed();
    let mut check =
        |state: &str, resume: fn(&mut BoxCoroutine<'_, u8, (), Result<(), Interrupt>>)| {
            let (caught, line) = (panic_of(|| drop(c.finish_step())), line!());
            assert!(
                caught
                    .message
                    .ends_with(&format!("which is {state}, not in the middle of a step")),
                "{}",
                caught.message
            );
            assert_eq!((caught.file.as_str(), caught.line), (file!(), line));
            resume(&mut c);
        };
    check("created", |c| _ = c.send(()));
    check("suspended", |c| _ = c.send(()));
    check("closed", |_| ());
}

/// `send` and its likes can't wait: they blame their caller's line and say what can.
#[test]
fn a_foreign_await_panics_at_the_callers_line() {
    let waits = || {
        coroutine(async |co: &mut Co<'_, u8, (), ()>, ()| {
            tick().await;
            loop {
                let _ = co.yield_(1).await;
                tick().await;
            }
        })
        .boxed()
    };
    let started = || -> BoxCoroutine<'_, u8, (), (), ()> {
        let mut c = waits();
        assert_eq!(run(c.asend(())), Yielded(1));
        c
    };
    let (mut send, mut throw, mut close) = (waits(), started(), started());
    let refusals = [
        ("send", "asend", panic_of(|| send.send(())), line!()),
        ("throw", "athrow", panic_of(|| throw.throw(())), line!()),
        ("close", "aclose", panic_of(|| close.close()), line!()),
    ];
    for (method, instead, caught, line) in refusals {
        let expected = format!(
            "awaits a future that is not one of its yields; `{method}` cannot wait for it: use `{instead}` inside a task"
        );
        assert!(caught.message.ends_with(&expected), "{}", caught.message);
        assert_eq!((caught.file.as_str(), caught.line), (file!(), line));
    }
    for c in [&mut send, &mut throw, &mut close] {
        assert_eq!(c.state(), State::Awaiting);
        assert_eq!(run(c.finish_step()), Yielded(1));
    }
}

/// A body that catches a panic of its own is not over.
#[test]
fn a_panic_that_the_body_catches_is_its_own_affair() {
    async fn risky(co: &mut Co<'_, u8, u8>) -> Result<u8, Interrupt> {
        let x = co.yield_(1).await?;
        assert_ne!(x, 0, "division by zero");
        Ok(100 / x)
    }
    let mut careful = pin!(coroutine(async |co: &mut Co<'_, u8, u8>, _| {
        let caught = AssertUnwindSafe(risky(co)).catch_unwind().await.is_err();
        (caught, risky(co).await)
    }));
    assert_eq!(careful.send(0), Yielded(1));
    assert_eq!(catch(|| careful.send(0)).ok(), Some(Yielded(1)));
    assert_eq!(careful.send(50), Complete((true, Ok(2))));
}

/// A panic in an inner object is a panic of both.
#[test]
fn a_panic_of_an_inner_object_goes_through_its_outer() {
    let mut inner = generator(async |co: &mut Co<'_, u8>| -> Result<(), Interrupt> {
        co.yield_(1).await?;
        panic!("inner");
    })
    .boxed();
    let mut outer = Box::pin(generator(async |co: &mut Co<'_, u8>| {
        co.delegate(inner.as_mut(), ()).await
    }));
    assert_eq!(outer.as_mut().send(()), Yielded(1));
    assert_eq!(panic_of(|| outer.as_mut().send(())).message, "inner");
    assert_eq!(outer.state(), State::Panicked);
    drop(outer);
    assert_eq!(inner.state(), State::Panicked);
}

/// A value that panics when it is dropped.
struct Bad<'a>(&'a Trace, &'static str);

impl Drop for Bad<'_> {
    fn drop(&mut self) {
        self.0.note(format_args!("drop {}", self.1));
        panic!("bad {}", self.1);
    }
}

/// A destructor that panics while its value is taken back: the panic is the body's, and the value is gone.
#[test]
fn a_retracted_value_whose_destructor_panics() {
    let trace = Trace::default();
    let mut retracts = pin!(coroutine(async |co: &mut Co<'_, _, ()>, ()| {
        let mut asked = co.yield_(Bad(&trace, "yielded"));
        assert!(poll_once(&mut asked).await.is_pending());
        drop(asked);
    }));
    let caught = panic_of(|| retracts.send(()));
    assert_eq!(caught.message, "bad yielded");
    assert_eq!(retracts.state(), State::Panicked);
    assert_eq!(trace.take(), ["drop yielded"]);
}

/// The same, if the body catches it: the value was taken back all the same.
#[test]
fn a_retracted_value_whose_destructor_panics_is_not_yielded_later() {
    let trace = Trace::default();
    let mut retracts = pin!(coroutine(async |co: &mut Co<'_, _, ()>, ()| {
        let mut asked = co.yield_(Some(Bad(&trace, "yielded")));
        assert!(poll_once(&mut asked).await.is_pending());
        let caught = catch_unwind(AssertUnwindSafe(|| drop(asked))).is_err();
        co.yield_(None).await.map(|()| caught)
    }));
    let asked = catch(|| retracts.send(()))
        .ok()
        .and_then(CoroutineState::yielded);
    assert!(asked.is_some_and(|bad| bad.is_none()));
    assert_eq!(trace.take(), ["drop yielded"]);
    assert_eq!(retracts.send(()).complete(), Some(Ok(true)));
}

/// A yielded value that is dropped because its yield heard an interrupt at once: the panic is the body's.
#[test]
fn a_value_that_is_never_asked_whose_destructor_panics() {
    let trace = Trace::default();
    let mut deaf = pin!(coroutine(async |co: &mut Co<'_, _, (), u8>, ()| {
        let mut asked = co.yield_(None);
        assert!(poll_once(&mut asked).await.is_pending());
        tick().await;
        drop(asked);
        co.yield_(Some(Bad(&trace, "never asked"))).await
    }));
    assert!(deaf.send(()).yielded().is_some());
    let caught = panic_of(|| deaf.throw(1));
    assert_eq!(caught.message, "bad never asked");
    assert_eq!(deaf.state(), State::Panicked);
    assert_eq!(trace.take(), ["drop never asked"]);
}

/// An answer and an error whose destructors panic, dropped by the body or left to the object.
#[test]
fn sent_and_thrown_values_whose_destructors_panic() {
    let trace = Trace::default();
    let mut drops_it = pin!(coroutine(async |co: &mut Co<'_, (), _>, first| {
        std::mem::forget(first);
        drop(co.yield_(()).await);
    }));
    let _ = drops_it.send(Bad(&trace, "first"));
    let caught = panic_of(|| drops_it.send(Bad(&trace, "sent")));
    assert_eq!(caught.message, "bad sent");
    assert_eq!(drops_it.state(), State::Panicked);
    assert_eq!(trace.take(), ["drop sent"]);

    // Never heard: dropped when the body has ended, and the coroutine has ended too.
    let mut deaf = pin!(coroutine(async |co: &mut Co<'_, (), (), _>, ()| {
        let mut asked = co.yield_(());
        assert!(poll_once(&mut asked).await.is_pending());
        tick().await;
        drop(asked);
    }));
    assert_eq!(deaf.send(()), Yielded(()));
    let caught = panic_of(|| deaf.throw(Bad(&trace, "unheard")));
    assert_eq!(caught.message, "bad unheard");
    assert_eq!(deaf.state(), State::Closed);
    assert_eq!(trace.take(), ["drop unheard"]);
}

/// A panic while another one unwinds aborts, as everywhere; a coroutine that is dropped by an unwinding caller is dropped.
#[test]
fn an_unwinding_caller_drops_it() {
    let trace = Trace::default();
    panic_of(|| {
        let mut suspended = generator(async |co: &mut Co<'_, u8>| {
            let _guard = trace.guard("frame");
            co.yield_(1).await
        })
        .boxed();
        assert_eq!(suspended.send(()), Yielded(1));
        panic!("the caller");
    });
    assert_eq!(trace.take(), ["drop frame"]);
}

/// `next` blamed the library's line, and named `send`.
#[test]
fn a_generator_that_cannot_go_on_panics_at_the_line_of_next() {
    let body = async |co: &mut Co<'_, u8>| {
        common::tick().await;
        co.yield_(1).await
    };
    let mut pinned = pin!(generator(body));
    let (caught, line) = (panic_of(|| pinned.next()), line!());
    assert_eq!(
        (caught.file.as_str(), caught.line),
        (file!(), line),
        "{}",
        caught.message
    );
    assert!(caught.message.contains("`next`"), "{}", caught.message);
    // In the middle of that step it is refused.
    let caught = panic_of(|| pinned.next());
    assert!(caught.message.contains("`next`"), "{}", caught.message);
    assert!(
        caught.message.contains("in the middle of a step"),
        "{}",
        caught.message
    );
}
