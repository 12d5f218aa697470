//! What a drop does, and does not do. `docs/python-semantics.md`, W1-W3.
//!
//! Python warns at run time of a coroutine that was "never awaited". Here it is the compiler that warns: a coroutine, a
//! yield, and every future that a method returns are `must_use`, and the compile-fail examples in `src/refusals.rs`
//! show what goes further. What is left for tests is that nothing runs.
#![cfg(feature = "alloc")]

#[allow(dead_code, reason = "each test file uses its own part of it")]
mod common;

use std::cell::Cell;
use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use antiphon_coroutine::CoroutineState::{Complete, Yielded};
use antiphon_coroutine::{Co, Interrupt, State, coroutine, generator};
use futures_util::FutureExt as _;

use common::{Gate, Trace, panic_of, poll_with};

/// W1. `test_coroutines.py` `test_func_9`, `OriginTrackingTest.test_origin_tracking_warning`.
#[test]
fn dropping_an_unstarted_one_runs_no_line_of_it_and_drops_what_it_holds() {
    let trace = Trace::default();
    let (held, inside) = (trace.guard("held"), trace.clone());
    let unstarted = coroutine(async move |co: &mut Co<'_, (), ()>, ()| {
        let _held = held;
        inside.note("ran");
        co.yield_(()).await
    });
    drop(unstarted);
    assert_eq!(trace.take(), ["drop held"]);
}

/// W2, which differs. `test_generators.py` `FinalizationTest.test_frame_resurrect`, `test_refcycle` and the doctests
/// `coroutine_tests`. Python closes what it drops. Here a drop runs destructors, innermost first, and no line after the
/// yield; `close` is the one that tells the body.
#[test]
fn dropping_a_suspended_one_drops_its_frames_innermost_first() {
    async fn innermost(co: &mut Co<'_, u8>, trace: &Trace) -> Result<(), Interrupt> {
        let _first = trace.guard("innermost, first");
        let _second = trace.guard("innermost, second");
        let heard = co.yield_(1).await;
        trace.note(format_args!("heard {heard:?}"));
        heard
    }
    async fn middle(co: &mut Co<'_, u8>, trace: &Trace) -> Result<(), Interrupt> {
        let _guard = trace.guard("middle");
        let inner = async |co: &mut Co<'_, u8>| innermost(co, trace).await;
        let mut inner = pin!(generator(inner));
        co.delegate(inner.as_mut(), ()).await
    }
    let trace = Trace::default();
    let (captured, inside) = (trace.guard("captured"), trace.clone());
    let mut outer = generator(async move |co: &mut Co<'_, u8>| {
        let _captured = &captured;
        let _guard = inside.guard("outer");
        middle(co, &inside).await
    })
    .boxed();
    assert_eq!(outer.send(()), Yielded(1));
    drop(outer);
    assert_eq!(
        trace.take(),
        [
            "drop innermost, second",
            "drop innermost, first",
            "drop middle",
            "drop outer",
            "drop captured",
        ]
    );
}

/// W2. Python's unraisable hook: there is none. A destructor's panic reaches whoever drops, and the others still run.
#[test]
fn a_destructor_that_panics_reaches_the_dropper_and_the_others_still_run() {
    struct Bad<'a>(&'a Trace);
    impl Drop for Bad<'_> {
        fn drop(&mut self) {
            self.0.note("drop bad");
            panic!("a bad destructor");
        }
    }
    let trace = Trace::default();
    let mut suspended = generator(async |co: &mut Co<'_, u8>| {
        let _outer = trace.guard("before");
        let _bad = Bad(&trace);
        let _inner = trace.guard("after");
        co.yield_(1).await
    })
    .boxed();
    assert_eq!(suspended.send(()), Yielded(1));
    let caught = panic_of(|| drop(suspended));
    assert_eq!(caught.message, "a bad destructor");
    assert_eq!(trace.take(), ["drop after", "drop bad", "drop before"]);
}

/// W2. A destructor that panics while a close is under way: the panic comes out of `close`, and the coroutine is over.
#[test]
fn a_destructor_that_panics_during_a_close_panics_the_coroutine() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("a bad destructor");
        }
    }
    let trace = Trace::default();
    let mut suspended = pin!(generator(async |co: &mut Co<'_, u8>| {
        let _outer = trace.guard("before");
        let _bad = Bad;
        co.yield_(1).await
    }));
    assert_eq!(suspended.send(()), Yielded(1));
    let caught = panic_of(|| suspended.close());
    assert_eq!(caught.message, "a bad destructor");
    assert_eq!(suspended.state(), State::Panicked);
    assert_eq!(trace.take(), ["drop before"]);
    assert_eq!(suspended.close(), Ok(None));
}

/// W2. The same for a coroutine that was not started: it is closed all the same, and what it held is dropped once.
#[test]
fn a_captured_destructor_that_panics_during_a_close_still_closes() {
    struct Bad<'a>(&'a Cell<u32>);
    impl Drop for Bad<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            panic!("a bad destructor");
        }
    }
    let drops = Cell::new(0);
    let bad = Bad(&drops);
    let mut unstarted = Box::pin(generator(async move |co: &mut Co<'_, u8>| {
        let _bad = &bad;
        co.yield_(1).await
    }));
    let caught = panic_of(|| unstarted.as_mut().close());
    assert_eq!(caught.message, "a bad destructor");
    assert_eq!(unstarted.state(), State::Closed);
    drop(unstarted);
    assert_eq!(drops.get(), 1);
}

/// W3. `test_asyncgen.py` `TestUnawaitedWarnings`, `test_async_gen_exception_12`. A helper that is not awaited does
/// nothing: no value is delivered, and the coroutine is where it was. (The compiler has warned.)
#[test]
fn an_asend_athrow_or_aclose_that_is_not_awaited_does_nothing() {
    let trace = Trace::default();
    let mut untouched = pin!(coroutine(
        async |co: &mut Co<'_, u8, _, _>, first| -> Result<(), Interrupt<_>> {
            drop(first);
            drop(co.yield_(1).await?);
            Ok(())
        }
    ));
    drop(untouched.asend(trace.guard("first")));
    drop(untouched.athrow(trace.guard("error")));
    drop(untouched.aclose());
    assert_eq!(untouched.state(), State::Created);
    assert_eq!(trace.take(), ["drop first", "drop error"]);

    assert_eq!(untouched.send(trace.guard("started")).yielded(), Some(1));
    trace.take();
    drop(untouched.asend(trace.guard("answer")));
    drop(untouched.athrow(trace.guard("error")));
    drop(untouched.aclose());
    assert_eq!(untouched.state(), State::Suspended);
    assert_eq!(trace.take(), ["drop answer", "drop error"]);
    let end = untouched.send(trace.guard("end")).complete();
    assert!(matches!(end, Some(Ok(()))));
}

/// A step that was left in the middle is dropped with its frames, like any other.
#[test]
fn dropping_one_in_the_middle_of_a_step_drops_its_frames() {
    let trace = Trace::default();
    let gate = Gate::default();
    let mut awaiting = generator(async |co: &mut Co<'_, u8>| {
        let _guard = trace.guard("frame");
        gate.wait().await;
        co.yield_(1).await
    })
    .boxed();
    assert!(awaiting.asend(()).now_or_never().is_none());
    assert_eq!(awaiting.state(), State::Awaiting);
    drop(awaiting);
    assert_eq!(trace.take(), ["drop frame"]);
}

/// What the body held is dropped when it ends, not when the object goes; what it returned is the caller's.
#[test]
fn the_end_of_the_body_drops_all_that_it_held() {
    let trace = Trace::default();
    let (captured, inside) = (trace.guard("captured"), trace.clone());
    let mut ends = pin!(generator(async move |co: &mut Co<'_, u8>| {
        let _captured = captured;
        let returned = inside.guard("returned");
        co.yield_(1).await.map(|()| returned)
    }));
    assert_eq!(ends.send(()).yielded(), Some(1));
    let Complete(returned) = ends.send(()) else {
        panic!("it has one yield")
    };
    assert_eq!(trace.take(), ["drop captured"]);
    drop(returned);
    assert_eq!(trace.take(), ["drop returned"]);
}

/// A body that is a future written by hand, and speaks once more while it is dropped, after its end. That was taken for its
/// answer, and the end came with the next step.
#[test]
fn a_body_that_yields_while_it_is_dropped_has_ended() {
    struct Late<'a, 'c>(&'a mut Co<'c, u8, ()>);
    impl Future for Late<'_, '_> {
        type Output = &'static str;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Ready("the end")
        }
    }
    impl Drop for Late<'_, '_> {
        fn drop(&mut self) {
            let mut late = self.0.yield_(1);
            assert!(poll_with(Pin::new(&mut late), Waker::noop()).is_pending());
            mem::forget(late);
        }
    }
    fn body<'a, 'c>(co: &'a mut Co<'c, u8, ()>, (): ()) -> Late<'a, 'c> {
        Late(co)
    }
    let mut c = pin!(coroutine(body));
    assert_eq!(c.send(()), Complete("the end"));
    assert_eq!(c.state(), State::Closed);
}
