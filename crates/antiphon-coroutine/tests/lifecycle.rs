//! The life of one coroutine: made, sent to, thrown into, closed, finished. `docs/python-semantics.md`, C1-C17.
#![cfg(feature = "alloc")]

#[allow(dead_code, reason = "each test file uses its own part of it")]
mod common;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::Rc;

use antiphon_coroutine::CoroutineState::{Complete, Yielded};
use antiphon_coroutine::{BoxCoroutine, Co, IgnoredClose, Interrupt, State, coroutine, generator};

use common::Trace;

/// C1. `test_coroutines.py` `test_func_1`; `test_inspect.py` `TestGetCoroutineState.test_created`.
#[test]
fn making_one_runs_nothing() {
    let ran = Cell::new(false);
    let made = pin!(coroutine(async |co, x: u8| -> Result<(), Interrupt> {
        ran.set(true);
        co.yield_(x).await.map(drop)
    }));
    assert_eq!(made.state(), State::Created);
    assert!(!ran.get());
}

/// C2. `test_coroutines.py` `test_func_6`, `test_await_3`.
#[test]
fn send_runs_to_the_next_yield() {
    let trace = Trace::default();
    let mut steps = pin!(generator(async |co| -> Result<(), Interrupt> {
        trace.note("before the first");
        co.yield_(1).await?;
        trace.note("between");
        co.yield_(2).await?;
        trace.note("after the last");
        Ok(())
    }));
    assert_eq!(steps.send(()), Yielded(1));
    assert_eq!(trace.take(), ["before the first"]);
    assert_eq!(steps.send(()), Yielded(2));
    assert_eq!(trace.take(), ["between"]);
    assert_eq!(steps.send(()), Complete(Ok(())));
    assert_eq!(trace.take(), ["after the last"]);
}

/// C3, which differs. `test_coroutines.py` `test_func_13`; `test_generators.py`
/// `GeneratorTest.test_send_non_none_to_new_gen`: Python refuses the first value, here it is the argument.
#[test]
fn the_first_value_sent_is_the_argument() {
    let mut first = pin!(coroutine(async |co, x: &str| -> Result<(), Interrupt> {
        co.yield_(x.len()).await.map(drop)
    }));
    assert_eq!(first.send("four"), Yielded(4));
}

/// C4. `test_coroutines.py` `test_func_10`, `test_await_14`.
#[test]
fn a_value_sent_is_what_the_sleeping_yield_resolves_to() {
    async fn innermost(co: &mut Co<'_, &'static str, i32>) -> Result<i32, Interrupt> {
        co.yield_("innermost").await
    }
    let mut sum = pin!(coroutine(async |co, a: i32| -> Result<i32, Interrupt> {
        let b = co.yield_("outer").await?;
        let c = innermost(co).await?;
        Ok(a + b + c)
    }));
    assert_eq!(sum.send(1), Yielded("outer"));
    assert_eq!(sum.send(20), Yielded("innermost"));
    assert_eq!(sum.send(300), Complete(Ok(321)));
}

/// C5. `test_coroutines.py` `test_await_7`, `test_func_17`, `test_coro_wrapper_send_tuple`,
/// `test_coro_wrapper_send_stop_iterator`; `test_generators.py` `ExceptionTest.test_return_tuple`,
/// `test_return_stopiteration`. Their trap is a return value that looks like the end; ours would be one that is a
/// `CoroutineState`, or an `Interrupt`, itself.
#[test]
fn the_return_value_comes_back_unchanged() {
    fn returns<R>(value: R) -> R {
        let mut c = pin!(generator(async |_: &mut Co<'_, Infallible>| value));
        c.send(()).complete().expect("it has no yield")
    }
    assert_eq!(returns((10, 20)), (10, 20));
    assert_eq!(returns(Yielded::<_, ()>(1)), Yielded(1));
    assert_eq!(returns(Complete::<(), _>(2)), Complete(2));
    assert_eq!(returns(Interrupt::<Infallible>::Closed), Interrupt::Closed);
    assert_eq!(returns(IgnoredClose(3)), IgnoredClose(3));
}

/// C6. `test_inspect.py` `test_closed_after_immediate_exception`; `test_coroutines.py` `test_func_10`. An error is a
/// return value; what unwinds is a panic, which `panics.rs` looks at.
#[test]
fn an_error_of_the_body_comes_out_and_ends_it() {
    #[derive(Debug, PartialEq)]
    struct BadLine(u32);

    let mut fails = pin!(coroutine(
        async |_: &mut Co<'_, (), u32>, line| -> Result<(), BadLine> { Err(BadLine(line)) }
    ));
    assert_eq!(fails.send(7), Complete(Err(BadLine(7))));
    assert_eq!(fails.state(), State::Closed);
    assert!(fails.is_finished());
}

/// C8. `test_coroutines.py` `test_func_17`, `test_func_18`, `test_func_19`.
#[test]
fn closing_a_finished_one_does_nothing_any_number_of_times() {
    let mut short = pin!(coroutine(
        async |_: &mut Co<'_, (), u8>, x| -> Result<u8, Interrupt> { Ok(x) }
    ));
    assert_eq!(short.send(1), Complete(Ok(1)));
    for _ in 0..3 {
        assert_eq!(short.close(), Ok(None));
        assert_eq!(short.state(), State::Closed);
    }
}

/// C9. `test_inspect.py` `test_closed_after_close`; `test_generators.py` `GeneratorCloseTest.test_close_not_started`.
#[test]
fn closing_an_unstarted_one_never_runs_the_body_and_drops_it() {
    let trace = Trace::default();
    let (captured, trace_in_body) = (trace.guard("moved in"), trace.clone());
    let mut unstarted = pin!(coroutine(
        async move |co: &mut Co<'_, u8, u8>, x| -> Result<(), Interrupt> {
            let _captured = captured;
            trace_in_body.note("ran");
            co.yield_(x).await.map(drop)
        }
    ));
    assert_eq!(unstarted.close(), Ok(None));
    assert_eq!(unstarted.state(), State::Closed);
    assert_eq!(trace.take(), ["drop moved in"]);
    assert_eq!(unstarted.close(), Ok(None));
}

/// C10 (a). `test_generators.py` `test_close_return_value`, `test_close_not_catching_exit`,
/// `test_close_no_return_value`, `test_close_closed`, `test_close_exhausted`.
#[test]
fn close_hands_back_what_the_body_returns() {
    // A body that lets the close through.
    let mut passes = pin!(coroutine(async |co, x: u8| -> Result<&str, Interrupt> {
        co.yield_(x).await?;
        Ok("not reached by a close")
    }));
    assert_eq!(passes.send(1), Yielded(1));
    assert_eq!(passes.close(), Ok(Some(Err(Interrupt::Closed))));
    assert_eq!(passes.state(), State::Closed);
    assert_eq!(passes.close(), Ok(None));

    // A body that handles it and returns a value.
    let mut sums = pin!(coroutine(async |co: &mut Co<'_, u8, u8>, mut sum| {
        while let Ok(x) = co.yield_(sum).await {
            sum += x;
        }
        sum
    }));
    assert_eq!(sums.send(1), Yielded(1));
    assert_eq!(sums.send(2), Yielded(3));
    assert_eq!(sums.close(), Ok(Some(3)));
    assert_eq!(sums.state(), State::Closed);
    assert_eq!(sums.close(), Ok(None));
}

/// C10 (b). `test_generators.py` `test_close_raises`; `test_yield_from.py` `test_close_and_throw_raise_exception`.
#[test]
fn an_error_on_the_way_out_comes_back_from_close() {
    #[derive(Debug, PartialEq)]
    enum Error {
        CannotFlush(Interrupt),
    }
    let mut flushes = pin!(coroutine(async |co, x: u8| -> Result<u8, Error> {
        co.yield_(x).await.map_err(Error::CannotFlush)
    }));
    assert_eq!(flushes.send(1), Yielded(1));
    assert_eq!(
        flushes.close(),
        Ok(Some(Err(Error::CannotFlush(Interrupt::Closed))))
    );
    assert_eq!(flushes.state(), State::Closed);
}

/// C10 (c). `test_coroutines.py` `test_func_14`. As in `CPython` (and unlike its manual), it can go on.
#[test]
fn a_body_that_ignores_its_close_hands_out_the_value_and_stays_suspended() {
    let mut stubborn = pin!(coroutine(
        async |co, x: u8| -> Result<&str, Interrupt<&str>> {
            let _ = co.yield_(x).await;
            let _ = co.yield_(x + 1).await;
            co.yield_(x + 2).await?;
            Ok("done")
        }
    ));
    assert_eq!(stubborn.send(1), Yielded(1));
    assert_eq!(stubborn.close(), Err(IgnoredClose(2)));
    assert_eq!(stubborn.state(), State::Suspended);
    // It can be sent to, thrown into and closed again, as any other.
    assert_eq!(stubborn.throw("ignored too"), Ok(Yielded(3)));
    assert_eq!(stubborn.close(), Ok(Some(Err(Interrupt::Closed))));
    assert_eq!(stubborn.state(), State::Closed);
}

/// C11. `test_generators.py`, the doctests `coroutine_tests` ("just-opened generator"). The error comes back by its
/// own way, so that nothing thrown can look like a return value.
#[test]
fn throwing_into_an_unstarted_one_gives_the_error_back_and_closes_it() {
    let ran = Cell::new(false);
    let mut unstarted = pin!(coroutine(
        async |co, x: u8| -> Result<(), Interrupt<String>> {
            ran.set(true);
            co.yield_(x).await.map(drop)
        }
    ));
    assert_eq!(unstarted.throw("no".to_string()), Err("no".to_string()));
    assert_eq!(unstarted.state(), State::Closed);
    assert!(!ran.get());
}

/// C12. `test_coroutines.py` `test_func_10`, `test_await_14`; `test_generators.py` `GeneratorThrowTest`;
/// `test_yield_from.py` `test_returning_value_from_delegated_throw`.
#[test]
fn a_throw_arrives_at_the_sleeping_yield() {
    #[derive(Debug, PartialEq)]
    enum Order {
        Yield,
        Return,
        Fail,
    }
    let mut obeys = pin!(coroutine(
        async |co, (): ()| -> Result<&str, Interrupt<Order>> {
            loop {
                match co.yield_("at your service").await {
                    Ok(()) | Err(Interrupt::Thrown(Order::Yield)) => {}
                    Err(Interrupt::Thrown(Order::Return)) => return Ok("returned"),
                    Err(other) => return Err(other),
                }
            }
        }
    ));
    assert_eq!(obeys.send(()), Yielded("at your service"));
    assert_eq!(obeys.throw(Order::Yield), Ok(Yielded("at your service")));
    assert_eq!(obeys.throw(Order::Return), Ok(Complete(Ok("returned"))));
    assert_eq!(obeys.state(), State::Closed);

    let mut lets_through = pin!(coroutine(
        async |co, (): ()| -> Result<(), Interrupt<Order>> { co.yield_(()).await }
    ));
    assert_eq!(lets_through.send(()), Yielded(()));
    assert_eq!(
        lets_through.throw(Order::Fail),
        Ok(Complete(Err(Interrupt::Thrown(Order::Fail))))
    );
    assert_eq!(lets_through.state(), State::Closed);
}

/// C13. `test_generators.py` `test_except_throw_bad_exception`: what may be thrown is a type parameter, any type, so
/// that a wrong one does not compile, and with the default `Infallible` no throw can be written.
#[test]
fn what_may_be_thrown_is_any_one_type() {
    // Not an error type, not `Debug`, not `'static`, not `Send`.
    struct Anything<'a>(Rc<Cell<&'a str>>);

    let words = String::from("borrowed");
    let mut borrows = pin!(coroutine(
        async |co, (): ()| -> Result<(), Interrupt<&str>> { co.yield_(()).await }
    ));
    assert_eq!(borrows.send(()), Yielded(()));
    assert_eq!(
        borrows.throw(&words),
        Ok(Complete(Err(Interrupt::Thrown("borrowed"))))
    );

    let mut any = pin!(coroutine(async |co, (): ()| match co.yield_(()).await {
        Err(Interrupt::Thrown(Anything(cell))) => cell.get().len(),
        Ok(()) | Err(Interrupt::Closed) => 0,
    }));
    assert_eq!(any.send(()), Yielded(()));
    let anything = Anything(Rc::new(Cell::new(&words)));
    assert_eq!(any.throw(anything).ok(), Some(Complete(8)));
}

/// C14. `test_coroutines.py` `test_func_12`; `test_yield_from.py` `test_attempted_yield_from_loop`. Plain re-entry does
/// not compile (`src/refusals.rs`). With the object in a cell it is the cell that says "already executing", to the
/// inner caller, and the outer step goes on.
#[test]
fn re_entry_through_a_cell_is_refused_by_the_cell() {
    type Shared = Rc<RefCell<Option<BoxCoroutine<'static, bool, (), Result<(), Interrupt>>>>>;

    let shared = Shared::default();
    let own = shared.clone();
    let body = generator(async move |co: &mut Co<'_, bool>| {
        let already_executing = own.try_borrow_mut().is_err();
        co.yield_(already_executing).await
    });
    *shared.borrow_mut() = Some(body.boxed());
    let resume = || shared.borrow_mut().as_mut().map(|own| own.send(()));
    assert_eq!(resume(), Some(Yielded(true)));
    assert_eq!(resume(), Some(Complete(Ok(()))));
    // It owns itself: let go, or it leaks.
    shared.take();
}

/// C15. `test_coroutines.py` `test_func_2`; `test_generator_stop.py` `TestPEP479`. The end is a variant of its own and
/// travels no other way, so somebody else's end met inside a body can't be mistaken for the body's.
#[test]
fn an_end_met_inside_is_not_the_end() {
    let outer = pin!(generator(async |co| -> Result<(), Interrupt> {
        let mut inner = pin!(generator(async |co| -> Result<(), Interrupt> {
            co.yield_(1).await
        }));
        for _ in 0..3 {
            co.yield_(inner.next()).await?;
        }
        Ok(())
    }));
    assert_eq!(outer.collect::<Vec<_>>(), [Some(1), None, None]);
}

/// C16. `test_coroutines.py` `test_func_4`, `_5`, `_7`, `_8`, `_11`, `_18`. Only a coroutine that is sent nothing is an
/// iterator (`auto_traits.rs` checks that others are not); and several borrows may drive one, in turns.
#[test]
fn several_borrows_drive_one_coroutine_in_turns() {
    let mut count = pin!(generator(async |co| -> Result<(), Interrupt> {
        for n in 0.. {
            co.yield_(n).await?;
        }
        Ok(())
    }));
    let mut one = count.as_mut();
    assert_eq!(one.send(()), Yielded(0));
    let mut other = count.as_mut();
    assert_eq!(other.next(), Some(1));
    assert_eq!(Iterator::by_ref(&mut count).take(2).sum::<u32>(), 2 + 3);
    assert_eq!(count.as_mut().send(()), Yielded(4));
}

/// C17. `test_coroutines.py` `test_copy`, `test_pickle`. That it is neither `Clone` nor `Copy` is in `auto_traits.rs`;
/// before it is pinned it can be moved, and it is the same coroutine still.
#[test]
fn it_moves_until_it_is_pinned() {
    let made =
        coroutine(async |co, x: u8| -> Result<(), Interrupt> { co.yield_(x).await.map(drop) });
    let origin = made.origin();
    let mut pinned: Pin<Box<_>> = Box::pin(made);
    assert_eq!(pinned.origin(), origin);
    assert_eq!(pinned.as_mut().send(1), Yielded(1));
}
