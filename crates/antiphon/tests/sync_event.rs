//! `Event` and `Barrier`.
#![allow(
    clippy::needless_raw_string_hashes,
    reason = "`expect!` writes them so"
)]

mod sync_support;

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use antiphon::sync::{Barrier, Event};
use antiphon::{CancelScope, Cancelled, Outcome, run, spawn, yield_now};
use expect_test::expect;
use sync_support::cancels::{Place, cancel_tests, in_the_middle_of_a_queue};
use sync_support::{Count, Touch, check, hooked_waker, poll_once, poll_with, unhook};

#[test]
fn an_event_wakes_all_who_wait_in_their_order() {
    check(
        async |trace| {
            let event = Rc::new(Event::new());
            let tasks: Vec<_> = (0..3)
                .map(|n| {
                    let (event, trace) = (Rc::clone(&event), trace.clone());
                    spawn(async move || {
                        event.wait().await.unwrap();
                        trace.say(format_args!("task {n} goes on"));
                    })
                })
                .collect();
            yield_now().await.unwrap();
            trace.say("set");
            event.set();
            event.set();
            for task in tasks {
                task.await.unwrap();
            }
            event.wait().await.unwrap();
            trace.say("no more waiting");
        },
        expect![[r#"
            set
            task 0 goes on
            task 1 goes on
            task 2 goes on
            no more waiting
        "#]],
    );
}

#[test]
fn clearing_does_not_stop_those_who_were_woken() {
    run(async || {
        let event = Event::default();
        let mut early = event.wait();
        assert!(poll_once(&mut early).is_pending());
        event.set();
        event.clear();
        assert!(!event.is_set());
        let mut late = event.wait();
        assert!(poll_once(&mut late).is_pending());
        assert!(poll_once(&mut early).is_ready());
        event.set();
        assert!(poll_once(&mut late).is_ready());
    });
}

#[test]
fn waiters_of_an_event_may_go_away_at_any_point() {
    run(async || {
        let event = Event::new();
        let [mut waiting, mut chosen, mut forgotten, mut last] = [(); 4].map(|()| event.wait());
        for wait in [&mut waiting, &mut chosen, &mut forgotten, &mut last] {
            assert!(poll_once(wait).is_pending());
        }
        drop(event.wait());
        drop(waiting);
        mem::forget(forgotten);
        event.set();
        drop(chosen);
        assert!(poll_once(&mut last).is_ready());
    });
}

/// A waker that clears and waits anew is not woken by the `set` that woke it, and does not take another's turn.
#[test]
fn who_waits_again_in_reaction_waits_for_the_next_time() {
    run(async || {
        let event: &'static Event = Box::leak(Box::default());
        let again = Rc::new(RefCell::new(None));
        let gone = Rc::new(RefCell::new(Some(event.wait())));
        let (woken, counting) = Count::new();
        let waker = hooked_waker({
            let (again, gone) = (Rc::clone(&again), Rc::clone(&gone));
            move |touch| {
                if touch == Touch::Woken {
                    event.clear();
                    drop(gone.take());
                    let mut wait = event.wait();
                    assert!(poll_with(&mut wait, &counting).is_pending());
                    *again.borrow_mut() = Some(wait);
                }
            }
        });
        let (mut first, mut last) = (event.wait(), event.wait());
        assert!(poll_with(&mut first, &waker).is_pending());
        assert!(poll_once(gone.borrow_mut().as_mut().unwrap()).is_pending());
        assert!(poll_once(&mut last).is_pending());
        event.set();
        assert_eq!(woken.get(), 0);
        assert!(poll_once(&mut last).is_ready());
        event.set();
        assert_eq!(woken.get(), 1);
        unhook();
    });
}

#[test]
fn a_waker_that_sets_the_event_when_it_is_cloned_is_not_missed() {
    run(async || {
        let event: &'static Event = Box::leak(Box::default());
        let waker = hooked_waker(|touch| {
            if touch == Touch::Cloned {
                event.set();
            }
        });
        let mut wait = event.wait();
        assert!(poll_with(&mut wait, &waker).is_pending());
        assert!(poll_with(&mut wait, &waker).is_ready());
        unhook();
    });
}

/// asyncio's `BarrierTests`, those that are about rounds.
#[test]
fn a_barrier_opens_for_each_round_and_has_one_leader_in_it() {
    check(
        async |trace| {
            let barrier = Rc::new(Barrier::new(3));
            let tasks: Vec<_> = (0..3)
                .map(|n| {
                    let (barrier, trace) = (Rc::clone(&barrier), trace.clone());
                    spawn(async move || {
                        for round in 0..2 {
                            let is_leader = barrier.wait().await.unwrap().is_leader();
                            trace.say(format_args!(
                                "{n} passes round {round}{}",
                                if is_leader { " as leader" } else { "" }
                            ));
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        },
        expect![[r#"
            2 passes round 0 as leader
            0 passes round 0
            1 passes round 0
            1 passes round 1 as leader
            2 passes round 1
            0 passes round 1
        "#]],
    );
}

#[test]
fn one_that_leaves_a_barrier_did_not_come() {
    run(async || {
        let barrier = Barrier::new(2);
        let mut gone = barrier.wait();
        assert!(poll_once(&mut gone).is_pending());
        drop(gone);
        let mut first = barrier.wait();
        assert!(poll_once(&mut first).is_pending());
        assert!(poll_once(&mut barrier.wait()).is_ready());
        // It opened, and goes away without having heard of it: that is not its round any more.
        let mut next = barrier.wait();
        assert!(poll_once(&mut next).is_pending());
        drop(first);
        assert!(poll_once(&mut barrier.wait()).is_ready());
        assert!(poll_once(&mut next).is_ready());
    });
}

#[test]
fn one_that_is_forgotten_at_a_barrier_did_come() {
    run(async || {
        let barrier = Barrier::new(2);
        let mut forgotten = barrier.wait();
        assert!(poll_once(&mut forgotten).is_pending());
        mem::forget(forgotten);
        assert!(barrier.wait().await.unwrap().is_leader());
    });
}

/// Another comes while the last one joins: its waker's clone runs code.
#[test]
fn a_waker_that_comes_to_the_barrier_when_it_is_cloned_is_counted() {
    run(async || {
        let barrier: &'static Barrier = Box::leak(Box::new(Barrier::new(2)));
        let other = Rc::new(RefCell::new(None));
        let waker = hooked_waker({
            let other = Rc::clone(&other);
            move |touch| {
                if touch == Touch::Cloned {
                    let mut wait = barrier.wait();
                    assert!(poll_once(&mut wait).is_pending());
                    *other.borrow_mut() = Some(wait);
                }
            }
        });
        assert!(poll_with(&mut barrier.wait(), &waker).is_ready());
        assert!(poll_once(other.borrow_mut().as_mut().unwrap()).is_ready());
        let mut next = barrier.wait();
        assert!(poll_once(&mut next).is_pending());
        unhook();
    });
}

#[test]
#[should_panic(expected = "at least one task")]
fn a_barrier_for_nobody_is_refused() {
    let _ = Barrier::new(0);
}

impl Place for Event {
    type Error = Cancelled;

    fn new() -> Self {
        Self::default()
    }

    async fn wait(&self) -> Result<(), Cancelled> {
        Self::wait(self).await
    }

    fn release(&self) {
        self.set();
    }
}

/// A barrier for two.
struct Pair(&'static Barrier);

impl Place for Pair {
    type Error = Cancelled;

    fn new() -> Self {
        Self(Box::leak(Box::new(Barrier::new(2))))
    }

    async fn wait(&self) -> Result<(), Cancelled> {
        self.0.wait().await.map(drop)
    }

    /// The other comes. If it is the first, it never hears that the barrier has opened.
    fn release(&self) {
        let mut wait = self.0.wait();
        if poll_once(&mut wait).is_pending() {
            mem::forget(wait);
        }
    }
}

cancel_tests!(cancelled_at_an_event: Event, cancelled_at_a_barrier: Pair);

#[test]
fn a_cancelled_waiter_does_not_keep_the_others_from_hearing_of_an_event() {
    in_the_middle_of_a_queue::<Event>();
}

/// As at asyncio's barriers, the others wait on, and whoever comes instead makes up the number.
#[test]
fn one_that_is_cancelled_at_a_barrier_is_missed() {
    check(
        async |trace| {
            let barrier = Rc::new(Barrier::new(3));
            let come = |n: u32| {
                let (barrier, trace, scope) =
                    (Rc::clone(&barrier), trace.clone(), CancelScope::new());
                let task = spawn({
                    let scope = scope.clone();
                    async move || {
                        let outcome = scope.run(async || barrier.wait().await).await;
                        trace.say(match outcome {
                            Outcome::Done(passed) if passed.is_leader() => format!("{n} leads"),
                            Outcome::Done(_) => format!("{n} passes"),
                            _ => format!("{n} is cancelled"),
                        });
                    }
                });
                (scope, task)
            };
            let (scope, gone) = come(0);
            let (_, first) = come(1);
            yield_now().await.unwrap();
            scope.cancel("on purpose");
            gone.await.unwrap();
            let (_, second) = come(2);
            yield_now().await.unwrap();
            trace.say("two wait");
            let (_, third) = come(3);
            for task in [first, second, third] {
                task.await.unwrap();
            }
            trace.say(format_args!("{barrier:?}"));
        },
        expect![[r#"
            0 is cancelled
            two wait
            3 leads
            1 passes
            2 passes
            Barrier { size: 3, arrived: 0, round: 1, .. }
        "#]],
    );
}

/// It opens and is cancelled in one go: that round stands, and the next one begins with nobody.
#[test]
fn a_cancel_after_the_barrier_has_opened_counts_nobody_out() {
    run(async || {
        let barrier = Rc::new(Barrier::new(2));
        let scope = CancelScope::new();
        let task = spawn({
            let (barrier, scope) = (Rc::clone(&barrier), scope.clone());
            async move || {
                scope
                    .run(async || {
                        barrier.wait().await.unwrap();
                        barrier.wait().await
                    })
                    .await
            }
        });
        yield_now().await.unwrap();
        assert!(barrier.wait().await.unwrap().is_leader());
        scope.cancel("on purpose");
        assert!(task.await.unwrap().is_cancelled());
        let mut next = barrier.wait();
        assert!(poll_once(&mut next).is_pending());
        assert!(poll_once(&mut barrier.wait()).is_ready());
        assert!(poll_once(&mut next).is_ready());
    });
}
