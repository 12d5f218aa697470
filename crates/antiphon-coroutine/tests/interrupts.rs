//! What is thrown and closed, and what becomes of it when nobody is there to hear: errors met while handling errors, and
//! yields that are dropped, or forgotten, early. `docs/python-semantics.md`, X1 and X2.

#[allow(dead_code, reason = "each test file uses its own part of it")]
mod common;

use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Wake, Waker};

use antiphon_coroutine::CoroutineState::{Complete, Yielded};
use antiphon_coroutine::{Co, Interrupt, State, Yield, coroutine};
use futures_util::FutureExt as _;

use common::{Gate, Trace, panic_of, poll_once, poll_with, run, tick};

/// X1. `test_generators.py` `GeneratorThrowTest.test_exception_context_with_yield` and the five after it. Nothing is chained
/// behind the body's back: an error being handled is a value, and so is the one that is thrown meanwhile.
#[test]
fn an_error_thrown_while_another_is_handled_chains_only_if_the_body_says_so() {
    #[derive(Debug, PartialEq)]
    struct During {
        handling: &'static str,
        thrown: Interrupt<&'static str>,
    }
    let mut handles = pin!(coroutine(
        async |co: &mut Co<'_, &str, (), &'static str>, ()| -> Result<(), During> {
            let Err(Interrupt::Thrown(handling)) = co.yield_("ready").await else {
                return Ok(());
            };
            let chain = |thrown| During { handling, thrown };
            co.yield_("handling").await.map_err(chain)
        }
    ));
    assert_eq!(handles.send(()), Yielded("ready"));
    assert_eq!(handles.throw("first"), Ok(Yielded("handling")));
    assert_eq!(
        handles.throw("second"),
        Ok(Complete(Err(During {
            handling: "first",
            thrown: Interrupt::Thrown("second"),
        })))
    );
}

/// X2. `test_generators.py` `ExceptionTest.test_except_throw`, `test_except_next`, `test_except_gen_except`,
/// `test_nested_gen_except_loop`; `test_coroutines.py` `test_await_16`. There is no ambient "current exception" to save
/// and restore: what a body handles lives in its own frame, across its yields, whatever other bodies do.
#[test]
fn what_a_body_is_handling_is_its_own() {
    async fn handler(
        co: &mut Co<'_, &'static str, (), &'static str>,
        (): (),
    ) -> Result<&'static str, Interrupt<&'static str>> {
        match co.yield_("ready").await {
            Err(Interrupt::Thrown(handled)) => {
                co.yield_("handling").await?;
                Ok(handled)
            }
            other => other.map(|()| "nothing to handle"),
        }
    }
    let mut one = pin!(coroutine(handler));
    let mut other = pin!(coroutine(handler));
    for c in [&mut one, &mut other] {
        assert_eq!(c.send(()), Yielded("ready"));
    }
    assert_eq!(one.throw("one's"), Ok(Yielded("handling")));
    assert_eq!(other.throw("other's"), Ok(Yielded("handling")));
    assert_eq!(one.send(()), Complete(Ok("one's")));
    assert_eq!(other.send(()), Complete(Ok("other's")));
}

/// The early-drop rules: a yield that was never polled.
#[test]
fn a_yield_that_is_not_awaited_yields_nothing() {
    let trace = Trace::default();
    let mut lazy = pin!(coroutine(
        async |co: &mut Co<'_, _, ()>, ()| -> Result<(), Interrupt> {
            drop(co.yield_(trace.guard("not awaited")));
            trace.note("then");
            let guard = trace.guard("awaited");
            co.yield_(guard).await
        }
    ));
    let yielded = lazy.send(()).yielded();
    assert_eq!(trace.take(), ["drop not awaited", "then"]);
    drop(yielded);
    assert_eq!(trace.take(), ["drop awaited"]);
}

/// The early-drop rules: a value that nobody has taken yet is taken back.
#[test]
fn a_yield_dropped_before_its_value_was_taken_retracts_it() {
    let trace = Trace::default();
    let mut changes_its_mind = pin!(coroutine(
        async |co: &mut Co<'_, _, ()>, ()| -> Result<(), Interrupt> {
            let mut retracted = co.yield_(trace.guard("retracted"));
            assert!(poll_once(&mut retracted).await.is_pending());
            drop(retracted);
            trace.note("then");
            let guard = trace.guard("second thought");
            co.yield_(guard).await
        }
    ));
    let yielded = changes_its_mind.send(()).yielded();
    assert_eq!(trace.take(), ["drop retracted", "then"]);
    drop(yielded);
    assert_eq!(trace.take(), ["drop second thought"]);
    assert_eq!(changes_its_mind.send(()).complete(), Some(Ok(())));
}

/// The early-drop rules: a retracted value leaves no yield behind, so the body that goes on to its end just returns.
#[test]
fn a_retracted_value_is_not_found_later() {
    let mut silent = pin!(coroutine(async |co: &mut Co<'_, u8, ()>, ()| {
        let mut retracted = co.yield_(1);
        assert!(poll_once(&mut retracted).await.is_pending());
    }));
    assert_eq!(silent.send(()), Complete(()));
}

/// The early-drop rules: an answer on its way to a yield that is dropped goes with it.
#[test]
fn an_answer_that_nobody_waits_for_is_dropped_with_its_question() {
    let trace = Trace::default();
    let mut impatient = pin!(coroutine(
        async |co: &mut Co<'_, u8, _>, first| -> Result<(), Interrupt> {
            drop(first);
            drop(ask_and_go_away(co, 1).await);
            trace.note("lost interest");
            let heard = co.yield_(2).await?;
            trace.note("heard");
            drop(heard);
            Ok(())
        }
    ));
    assert_eq!(impatient.send(trace.guard("first")), Yielded(1));
    assert_eq!(trace.take(), ["drop first"]);
    assert_eq!(impatient.send(trace.guard("unheard")), Yielded(2));
    assert_eq!(trace.take(), ["drop unheard", "lost interest"]);
    assert_eq!(impatient.send(trace.guard("answer")), Complete(Ok(())));
    assert_eq!(trace.take(), ["heard", "drop answer"]);
}

/// The early-drop rules: a throw was meant for the coroutine, not for the question. The next yield hears it at once, and
/// asks nothing.
#[test]
fn a_throw_that_nobody_waited_for_is_heard_by_the_next_yield() {
    let trace = Trace::default();
    let mut impatient = pin!(coroutine(
        async |co: &mut Co<'_, _, (), &'static str>, ()| {
            drop(ask_and_go_away(co, trace.guard("first question")).await);
            let heard = co.yield_(trace.guard("never asked")).await;
            trace.note(format_args!("{heard:?}"));
            co.yield_(trace.guard("last question")).await
        }
    ));
    drop(impatient.send(()));
    assert_eq!(trace.take(), ["drop first question"]);
    let last = impatient.throw("too late").expect("it was started");
    assert_eq!(
        trace.take(),
        ["drop never asked", r#"Err(Thrown("too late"))"#]
    );
    assert_eq!(
        last.yielded().map(|question| question.name),
        Some("last question")
    );
    assert_eq!(impatient.send(()).complete(), Some(Ok(())));
}

/// The early-drop rules: nor is a close lost.
#[test]
fn a_close_that_nobody_waited_for_is_heard_by_the_next_yield() {
    let mut impatient = pin!(coroutine(async |co: &mut Co<'_, u8, ()>, ()| {
        drop(ask_and_go_away(co, 1).await);
        co.yield_(2).await
    }));
    assert_eq!(impatient.send(()), Yielded(1));
    assert_eq!(impatient.close(), Ok(Some(Err(Interrupt::Closed))));
}

/// The early-drop rules: a body that never yields again never hears it, and its return value stands.
#[test]
fn an_interrupt_that_no_yield_hears_ends_with_the_body() {
    let trace = Trace::default();
    let mut deaf = pin!(coroutine(async |co: &mut Co<'_, u8, (), _>, ()| {
        drop(ask_and_go_away(co, 1).await);
        trace.note("returns");
        "deaf"
    }));
    assert_eq!(deaf.send(()), Yielded(1));
    assert_eq!(
        deaf.throw(trace.guard("thrown")).ok(),
        Some(Complete("deaf"))
    );
    assert_eq!(deaf.state(), State::Closed);
    assert_eq!(trace.take(), ["returns", "drop thrown"]);
}

/// The early-drop rules: a yield that is forgotten instead of dropped can't take its value back; the next yield puts
/// its own in the place.
#[test]
fn a_forgotten_yield_gives_way_to_the_next_one() {
    let trace = Trace::default();
    let mut forgets = pin!(coroutine(async |co: &mut Co<'_, _, ()>, ()| {
        let mut forgotten = co.yield_(trace.guard("forgotten"));
        assert!(poll_once(&mut forgotten).await.is_pending());
        mem::forget(forgotten);
        co.yield_(trace.guard("next")).await
    }));
    let next = forgets.send(()).yielded();
    assert_eq!(trace.take(), ["drop forgotten"]);
    drop(next);
    assert_eq!(trace.take(), ["drop next"]);
    assert_eq!(forgets.send(()).complete(), Some(Ok(())));
}

/// The early-drop rules: a forgotten yield's answer goes the way of its question.
#[test]
fn the_answer_to_a_forgotten_yield_gives_way_too() {
    let trace = Trace::default();
    let mut forgets = pin!(coroutine(
        async |co: &mut Co<'_, u8, _>, first| -> Result<(), Interrupt> {
            drop(first);
            mem::forget(ask_and_go_away(co, 1).await);
            drop(co.yield_(2).await?);
            Ok(())
        }
    ));
    assert_eq!(forgets.send(trace.guard("first")), Yielded(1));
    assert_eq!(forgets.send(trace.guard("unheard")), Yielded(2));
    assert_eq!(forgets.send(trace.guard("heard")), Complete(Ok(())));
    assert_eq!(trace.take(), ["drop first", "drop unheard", "drop heard"]);
}

/// The early-drop rules: a value put out by a yield that was then forgotten is still the body's word, if the body falls
/// asleep on something else.
#[test]
fn a_forgotten_yield_has_spoken_if_the_body_sleeps() {
    let mut forgets = pin!(coroutine(async |co: &mut Co<'_, u8, u8>, first| {
        let mut forgotten = co.yield_(first);
        assert!(poll_once(&mut forgotten).await.is_pending());
        mem::forget(forgotten);
        tick().await;
    }));
    assert_eq!(forgets.send(7), Yielded(7));
    assert_eq!(forgets.send(8), Complete(()));
}

/// A yield resolves once, like any future.
#[test]
fn polling_a_yield_after_it_resolved_panics_and_names_its_line() {
    let line = Cell::new(0);
    let mut polls = pin!(coroutine(async |co: &mut Co<'_, u8, ()>, ()| {
        line.set(line!() + 1);
        let mut asked = co.yield_(1);
        let answer = (&mut asked).await;
        assert_eq!(answer, Ok(()));
        poll_once(&mut asked).await
    }));
    assert_eq!(polls.send(()), Yielded(1));
    let caught = panic_of(|| polls.send(()));
    let file = file!();
    let expected = format!("a `yield_` at {file}:{}:", line.get());
    assert!(caught.message.starts_with(&expected), "{}", caught.message);
    assert!(caught.message.ends_with("was polled after it resolved"));
}

/// A throw in the middle of a step would have to overtake what is on its way, perhaps a close; it is refused, and the close
/// is heard.
#[test]
fn a_throw_in_the_middle_of_a_step_is_refused_and_the_close_on_its_way_is_heard() {
    let gate = Gate::default();
    let mut busy = pin!(coroutine(async |co: &mut Co<'_, u8, (), u8>, ()| {
        gate.wait().await;
        co.yield_(1).await
    }));
    assert!(busy.asend(()).now_or_never().is_none());
    assert!(busy.aclose().now_or_never().is_none());
    let caught = panic_of(|| drop(busy.athrow(7)));
    assert!(
        caught.message.contains("in the middle of a step"),
        "{}",
        caught.message
    );
    gate.open();
    assert_eq!(run(busy.finish_step()), Complete(Err(Interrupt::Closed)));
}

/// A close in the middle of a step takes the place of an answer that nobody has heard.
#[test]
fn a_close_overtakes_an_answer_on_its_way() {
    let gate = Gate::default();
    let mut busy = pin!(coroutine(async |co: &mut Co<'_, u8, u8>, x| {
        let mut asked = co.yield_(x);
        assert!(poll_once(&mut asked).await.is_pending());
        gate.wait().await;
        asked.await
    }));
    assert_eq!(run(busy.asend(1)), Yielded(1));
    assert!(busy.asend(2).now_or_never().is_none());
    assert!(busy.aclose().now_or_never().is_none());
    gate.open();
    assert_eq!(run(busy.aclose()), Ok(Some(Err(Interrupt::Closed))));
}

/// A waker whose drop panicked left the retracted value in the slot, and it was yielded later.
#[test]
fn a_retracted_value_is_gone_even_if_a_waker_panics() {
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("a bad drop")
        }
    }
    let mut retracts = pin!(coroutine(async |co: &mut Co<'_, u8, ()>, ()| {
        let mut asked = co.yield_(1);
        let waker = Waker::from(Arc::new(Bad));
        assert!(poll_with(Pin::new(&mut asked), &waker).is_pending());
        drop(waker);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(asked))).is_err());
        tick().await;
    }));
    assert_eq!(run(retracts.asend(())), Complete(()));
}

/// A wake that panicked left the error in the slot, where the next send replaced it. Now the step did not happen, and the
/// error goes with the panic.
#[test]
fn an_error_whose_delivery_panicked_goes_with_the_panic() {
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("a bad wake")
        }
    }
    let trace = Trace::default();
    let mut asks = pin!(coroutine(async |co: &mut Co<'_, u8, (), _>, ()| {
        let mut asked = co.yield_(1);
        assert!(poll_with(Pin::new(&mut asked), &Waker::from(Arc::new(Bad))).is_pending());
        asked.await
    }));
    assert!(asks.send(()).yielded().is_some());
    panic_of(|| asks.throw(trace.guard("thrown")));
    assert_eq!(asks.state(), State::Suspended);
    assert_eq!(trace.take(), ["drop thrown"]);
}

/// Yields `value`, stays until it was taken and answered, and hands the yield over unheard.
async fn ask_and_go_away<'a, 'c, Y, S, E>(
    co: &'a mut Co<'c, Y, S, E>,
    value: Y,
) -> Yield<'a, 'c, Y, S, E> {
    let mut asked = co.yield_(value);
    assert!(poll_once(&mut asked).await.is_pending());
    tick().await;
    asked
}
