//! What every wait owes to a cancel: one scenario each, for any wait.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use antiphon::{
    CancelScope, DriverKind, JoinHandle, Runtime, find_cancelled, is_cancelled, shield, spawn,
    tree, yield_now,
};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::Trace;

/// A place where tasks wait.
pub(crate) trait Place: 'static {
    type Error: Error + 'static;

    /// Whether a release that nobody waits for is there for the next who comes.
    const IS_REMEMBERED: bool = true;

    /// Makes one at which a wait does not end by itself.
    fn new() -> Self;

    /// Waits for a release, and gives back at once what it has got.
    async fn wait(&self) -> Result<(), Self::Error>;

    /// Lets the first who waits go on; or more of them, where they are let go on together.
    fn release(&self);
}

/// One test for each scenario that every place has to stand.
macro_rules! cancel_tests {
    ($($name:ident: $place:ty),+ $(,)?) => {$(
        mod $name {
            use super::*;
            use super::sync_support::cancels;

            #[test]
            fn cancelled_before_its_first_poll_it_starts_nothing() {
                cancels::before_the_first_poll::<$place>();
            }

            #[test]
            fn cancelled_before_its_first_poll_it_takes_nothing_that_is_there() {
                cancels::before_the_first_poll_though_it_could_go_on::<$place>();
            }

            #[test]
            fn cancelled_while_it_waits_it_was_never_there() {
                cancels::while_it_waits::<$place>();
            }

            #[test]
            fn cancelled_after_it_was_chosen_it_goes_on() {
                cancels::after_it_was_chosen::<$place>();
            }

            #[test]
            fn chosen_after_the_cancel_it_goes_on_if_it_has_not_heard() {
                cancels::chosen_before_it_has_heard::<$place>();
            }

            #[test]
            fn the_next_wait_in_the_scope_ends_as_well() {
                cancels::twice::<$place>();
            }

            #[test]
            fn a_shield_keeps_the_cancel_off() {
                cancels::shielded::<$place>();
            }

            #[test]
            fn under_a_foreign_waker_it_hears_of_the_cancel() {
                cancels::under_a_foreign_waker::<$place>();
            }

            #[test]
            fn dropped_after_the_cancel_it_was_never_there() {
                cancels::dropped_before_it_has_heard::<$place>();
            }
        }
    )+};
}

pub(crate) use cancel_tests;

pub(crate) fn before_the_first_poll<P: Place>() {
    simulate(async || {
        let place = Rc::new(P::new());
        refused(&*place).await;
        goes_on_when_released(&place).await;
    });
}

pub(crate) fn before_the_first_poll_though_it_could_go_on<P: Place>() {
    simulate(async || {
        let place = Rc::new(P::new());
        place.release();
        refused(&*place).await;
        if P::IS_REMEMBERED {
            let (result, polls) = counted(place.wait()).await;
            result.unwrap();
            assert_eq!(polls, 1, "what was there is there");
        } else {
            goes_on_when_released(&place).await;
        }
    });
}

pub(crate) fn while_it_waits<P: Place>() {
    simulate(async || {
        let place = Rc::new(P::new());
        let (scope, task) = wait_in_scope(&place).await;
        scope.cancel("on purpose");
        let (result, polls) = task.await.unwrap();
        assert!(is_cancelled(&result.unwrap_err()));
        assert_eq!(polls, 2, "once to begin, once to end");
        assert_nobody_waits();
        goes_on_when_released(&place).await;
    });
}

pub(crate) fn after_it_was_chosen<P: Place>() {
    simulate(async || {
        let place = Rc::new(P::new());
        let (scope, task) = wait_in_scope(&place).await;
        place.release();
        scope.cancel("too late for that one");
        let (result, polls) = task.await.unwrap();
        result.unwrap();
        assert_eq!(polls, 2);
        assert_nobody_waits();
    });
}

pub(crate) fn chosen_before_it_has_heard<P: Place>() {
    simulate(async || {
        let place = Rc::new(P::new());
        let (scope, task) = wait_in_scope(&place).await;
        scope.cancel("it is heard of at the next step");
        place.release();
        let (result, polls) = task.await.unwrap();
        result.unwrap();
        assert_eq!(polls, 2);
        assert_nobody_waits();
    });
}

pub(crate) fn twice<P: Place>() {
    simulate(async || {
        let place = Rc::new(P::new());
        let scope = CancelScope::new();
        let stop = spawn({
            let scope = scope.clone();
            async move || assert!(scope.cancel("on purpose"))
        });
        let outcome = scope.run(async || {
            let first = place.wait().await.unwrap_err();
            let (second, polls) = counted(place.wait()).await;
            assert_eq!(find_cancelled(&second.unwrap_err()), find_cancelled(&first));
            assert_eq!(polls, 2);
            Err::<(), _>(first)
        });
        assert!(outcome.await.is_cancelled());
        stop.await.unwrap();
        goes_on_when_released(&place).await;
    });
}

pub(crate) fn shielded<P: Place>() {
    simulate(async || {
        let place = Rc::new(P::new());
        let scope = CancelScope::new();
        let task = spawn({
            let (place, scope) = (Rc::clone(&place), scope.clone());
            async move || {
                let outcome = scope.run(async || {
                    shield(async || place.wait().await.unwrap()).await;
                    yield_now().await
                });
                assert!(outcome.await.is_cancelled());
            }
        });
        yield_now().await.unwrap();
        scope.cancel("before it goes on");
        yield_now().await.unwrap();
        assert!(!task.is_finished());
        place.release();
        task.await.unwrap();
    });
}

pub(crate) fn under_a_foreign_waker<P: Place>() {
    simulate(async || {
        let (places, bystander) = ([P::new(), P::new()], Rc::new(P::new()));
        let other = wait(&bystander).await;
        let scope = CancelScope::new();
        let stop = spawn({
            let scope = scope.clone();
            async move || assert!(scope.cancel("on purpose"))
        });
        let outcome = scope.run(async || {
            let waits: FuturesUnordered<_> = places.iter().map(P::wait).collect();
            let results: Vec<_> = waits.collect().await;
            assert!(results.iter().all(Result::is_err));
            let (one, two) = futures_util::future::join(places[0].wait(), places[1].wait()).await;
            assert!(one.is_err());
            two
        });
        assert!(outcome.await.is_cancelled());
        stop.await.unwrap();
        assert!(!other.is_finished(), "it is not in the scope");
        bystander.release();
        other.await.unwrap();
        for place in places {
            goes_on_when_released(&Rc::new(place)).await;
        }
    });
}

pub(crate) fn dropped_before_it_has_heard<P: Place>() {
    simulate(async || {
        let place = Rc::new(P::new());
        let scope = CancelScope::new();
        {
            let mut wait = pin!(scope.run(async || place.wait().await));
            assert!(poll_in_passing(wait.as_mut()).await.is_pending());
            scope.cancel("on purpose");
        }
        assert_nobody_waits();
        goes_on_when_released(&place).await;
    });
}

/// For a place that is a queue: of three who wait the one in the middle is cancelled, and the others go on in their order.
pub(crate) fn in_the_middle_of_a_queue<P: Place>() {
    simulate(async || {
        let place = Rc::new(P::new());
        let trace = Trace::default();
        let wait = |name: &'static str| {
            let (place, trace) = (Rc::clone(&place), trace.clone());
            async move || {
                let result = place.wait().await;
                trace.say(format_args!(
                    "{name}: {}",
                    if result.is_ok() { "goes on" } else { "ends" }
                ));
                result
            }
        };
        let first = spawn(wait("first"));
        yield_now().await.unwrap();
        let scope = CancelScope::new();
        let middle = spawn({
            let (scope, body) = (scope.clone(), wait("middle"));
            async move || scope.run(body).await.is_cancelled()
        });
        yield_now().await.unwrap();
        let last = spawn(wait("last"));
        yield_now().await.unwrap();
        scope.cancel("on purpose");
        assert!(middle.await.unwrap());
        place.release();
        first.await.unwrap().unwrap();
        place.release();
        last.await.unwrap().unwrap();
        assert_eq!(
            trace.take(),
            "middle: ends\nfirst: goes on\nlast: goes on\n"
        );
    });
}

/// Runs `main` in virtual time.
pub(crate) fn simulate<T>(main: impl AsyncFnOnce() -> T) -> T {
    Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .expect("virtual time needs nothing of the system")
        .run(main)
}

/// Counts how often a future is polled.
pub(crate) async fn counted<F: Future>(future: F) -> (F::Output, usize) {
    let mut future = pin!(future);
    let mut polls = 0;
    let output = poll_fn(|cx| {
        polls += 1;
        future.as_mut().poll(cx)
    })
    .await;
    (output, polls)
}

/// Polls once, with the waker of the task.
pub(crate) async fn poll_in_passing<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[track_caller]
pub(crate) fn assert_nobody_waits() {
    assert_eq!(waits_len(), 0, "nothing is left of a wait that has ended");
}

fn waits_len() -> usize {
    tree().tasks.iter().map(|task| task.waits.len()).sum()
}

/// Waits in a scope that is cancelled already: nothing is begun, it gives way once, and then ends.
async fn refused<P: Place>(place: &P) {
    let scope = CancelScope::new();
    scope.cancel("before it begins");
    let outcome = scope.run(async || {
        let waits_before = waits_len();
        let mut wait = pin!(place.wait());
        assert!(
            poll_in_passing(wait.as_mut()).await.is_pending(),
            "it gives way"
        );
        assert_eq!(waits_len(), waits_before, "it waits for nothing");
        let Poll::Ready(Err(error)) = poll_in_passing(wait).await else {
            panic!("it ends")
        };
        assert!(is_cancelled(&error));
        Err::<(), _>(error)
    });
    assert!(outcome.await.is_cancelled());
}

/// Has a task wait in a scope; it tells how often it was polled.
async fn wait_in_scope<P: Place>(
    place: &Rc<P>,
) -> (CancelScope, JoinHandle<(Result<(), P::Error>, usize)>) {
    let scope = CancelScope::new();
    let task = spawn({
        let (place, scope) = (Rc::clone(place), scope.clone());
        async move || {
            let outcome = scope.run(async || {
                let (result, polls) = counted(place.wait()).await;
                if result.is_ok() && scope.is_cancelled() {
                    yield_now()
                        .await
                        .expect_err("the next wait is the one that ends");
                }
                Err::<(), _>((result, polls))
            });
            outcome.await.into_result().unwrap_err()
        }
    });
    yield_now().await.unwrap();
    assert_eq!(waits_len(), 1);
    (scope, task)
}

/// Has a task wait in no scope.
async fn wait<P: Place>(place: &Rc<P>) -> JoinHandle<()> {
    let place = Rc::clone(place);
    let waits_before = waits_len();
    let task = spawn(async move || place.wait().await.unwrap());
    // This task may have been woken before, by a cancel: then it goes on at once after the first yield.
    while waits_len() == waits_before {
        assert!(!task.is_finished());
        yield_now().await.unwrap();
    }
    task
}

/// Asserts that the place is as one where nobody has been.
async fn goes_on_when_released<P: Place>(place: &Rc<P>) {
    let task = wait(place).await;
    place.release();
    task.await.unwrap();
}
