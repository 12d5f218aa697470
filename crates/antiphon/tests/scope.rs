//! Cancel scopes: one test a rule, in virtual time.

mod scope_support;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use antiphon::sync::mpsc::{self, SendError};
use antiphon::sync::{Event, Mutex};
use antiphon::{
    CancelReason, CancelScope, Cancelled, Outcome, droppable, find_cancelled, finish, is_cancelled,
    shield, spawn, time, tree, yield_now,
};
use scope_support::{Trace, simulate};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_cancel_ends_the_wait_under_way() {
    simulate(async || {
        let scope = CancelScope::new();
        let stopper = scope.clone();
        let stop = spawn(async move || {
            time::sleep(SECOND).await.unwrap();
            assert!(stopper.cancel("enough"));
            assert!(!stopper.cancel("again"), "the first one stays");
        });
        let start = time::now();
        let outcome = scope.run(async || time::sleep(SECOND * 3600).await).await;
        let Outcome::Cancelled(cancelled, error) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(cancelled, error);
        assert_eq!(
            cancelled.reason(),
            &CancelReason::Requested("enough".into())
        );
        assert!(cancelled.location().file().ends_with("scope.rs"));
        assert_eq!(time::now() - start, SECOND);
        stop.await.unwrap();
    });
}

/// Rule 1: level, not edge.
#[test]
fn every_wait_ends_until_the_scope_is_left() {
    simulate(async || {
        let scope = CancelScope::new();
        let mutex = Mutex::new(0);
        let outcome = scope
            .run(async || {
                scope.cancel("now");
                assert!(time::sleep(Duration::ZERO).await.is_err());
                assert!(mutex.lock().await.is_err(), "even if it is free");
                assert!(Event::new().wait().await.is_err());
                yield_now().await
            })
            .await;
        assert!(outcome.is_cancelled());
        time::sleep(SECOND).await.unwrap();
        *mutex.lock().await.unwrap() += 1;
    });
}

/// Rule 2: a wait that is first reached in a cancelled scope starts nothing and gives way once, so a loop that tries again
/// and again leaves the others their turns.
#[test]
fn a_loop_that_swallows_cancels_does_not_hold_the_thread() {
    simulate(async || {
        let scope = CancelScope::new();
        let steps = Rc::new(Cell::new(0));
        let counter = spawn({
            let steps = Rc::clone(&steps);
            async move || {
                for _ in 0..10 {
                    steps.set(steps.get() + 1);
                    yield_now().await.unwrap();
                }
            }
        });
        scope.cancel("before it begins");
        let outcome = scope
            .run(async || {
                let event = Event::new();
                event.set();
                while steps.get() < 10 {
                    assert!(event.wait().await.is_err());
                }
                Ok::<_, Cancelled>("seen")
            })
            .await;
        assert_eq!(outcome, Outcome::Done("seen"));
        counter.await.unwrap();
    });
}

/// Rule 3: what was chosen before the cancel wins, and the next wait is the one that ends.
#[test]
fn a_result_that_was_faster_wins() {
    simulate(async || {
        let scope = CancelScope::new();
        let (sender, mut receiver) = mpsc::channel(1);
        let stopper = scope.clone();
        let other = spawn(async move || {
            sender.send(7).await.unwrap();
            stopper.cancel("too late for that one");
            // The channel stays open until the receiver has looked.
            yield_now().await.unwrap();
            drop(sender);
        });
        let outcome = scope
            .run(async || {
                assert_eq!(receiver.recv().await, Ok(Some(7)));
                receiver.recv().await
            })
            .await;
        assert!(outcome.is_cancelled(), "{outcome:?}");
        other.await.unwrap();
    });
}

/// Rule 4: a body that finished in spite of the cancel keeps its value.
#[test]
fn a_value_is_kept_in_spite_of_the_cancel() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope
            .run(async || {
                scope.cancel("no matter");
                let _ = yield_now().await;
                Ok::<_, io::Error>(5)
            })
            .await;
        assert!(matches!(outcome, Outcome::Done(5)));
        assert!(scope.is_cancelled());
    });
}

/// Rule 4: an error is the body's own unless a wait was ended by this scope.
#[test]
fn an_error_before_the_cancel_was_heard_is_the_bodys_own() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope
            .run(async || {
                scope.cancel("not heard");
                Err::<(), _>("a failure")
            })
            .await;
        assert_eq!(outcome, Outcome::Failed("a failure"));
    });
}

/// The error of a clean-up is kept beside the cancel.
#[test]
fn a_failed_clean_up_is_told() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope
            .run(async || {
                scope.cancel("clean up");
                yield_now().await.map_err(|_| "the rollback failed")
            })
            .await;
        assert!(matches!(
            outcome,
            Outcome::Cancelled(_, "the rollback failed")
        ));
    });
}

/// Rule 4: a scope swallows only its own cancel.
#[test]
fn a_cancel_from_further_out_goes_through() {
    simulate(async || {
        let outer = CancelScope::new();
        let inner = CancelScope::new();
        let outcome = outer
            .run(async || {
                outer.cancel("outer");
                let outcome = inner.run(async || yield_now().await).await;
                let Outcome::Failed(error) = outcome else {
                    panic!("it is not the inner scope's: {outcome:?}")
                };
                Err::<(), _>(error)
            })
            .await;
        assert!(outcome.is_cancelled());
        assert!(!inner.is_cancelled());
    });
}

/// Rule 6: of several, the outermost is told, in whichever order they were cancelled.
#[test]
fn the_outermost_of_several_is_told() {
    for outer_first in [false, true] {
        simulate(async || {
            let (outer, inner) = (CancelScope::new(), CancelScope::new());
            let outcome = outer
                .run(async || {
                    let outcome = inner
                        .run(async || {
                            let scopes = if outer_first {
                                [&outer, &inner]
                            } else {
                                [&inner, &outer]
                            };
                            for scope in scopes {
                                assert!(scope.cancel("both"));
                            }
                            yield_now().await
                        })
                        .await;
                    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
                    outcome.into_result()
                })
                .await;
            assert!(outcome.is_cancelled(), "{outcome:?}");
        });
    }
}

#[test]
fn a_shield_keeps_a_cancel_off_until_it_is_left() {
    simulate(async || {
        let scope = CancelScope::new();
        let start = time::now();
        let outcome = scope
            .run(async || {
                scope.cancel("while it cleans up");
                shield(async || time::sleep(SECOND).await).await.unwrap();
                assert_eq!(time::now() - start, SECOND);
                time::sleep(SECOND).await
            })
            .await;
        assert!(outcome.is_cancelled());
        assert_eq!(time::now() - start, SECOND);
    });
}

/// A cancel that comes while a shielded wait is under way does not touch it.
#[test]
fn a_shielded_wait_under_way_goes_on() {
    simulate(async || {
        let scope = CancelScope::new();
        let stopper = scope.clone();
        let stop = spawn(async move || {
            time::sleep(SECOND).await.unwrap();
            stopper.cancel("meanwhile");
        });
        let start = time::now();
        let outcome = scope
            .run(async || {
                shield(async || time::sleep(SECOND * 5).await).await?;
                assert_eq!(time::now() - start, SECOND * 5);
                yield_now().await
            })
            .await;
        assert!(outcome.is_cancelled());
        stop.await.unwrap();
    });
}

#[test]
fn a_scope_inside_a_shield_can_be_cancelled() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope
            .run(async || {
                scope.cancel("outside");
                shield(async || {
                    time::move_on_after(SECOND, async || time::sleep(SECOND * 9).await).await
                })
                .await
            })
            .await;
        assert_eq!(outcome, Outcome::Done(None));
    });
}

#[test]
fn a_scope_that_was_cancelled_before_it_is_entered_starts_nothing() {
    simulate(async || {
        let scope = CancelScope::new();
        assert!(scope.cancel("early"));
        assert!(scope.is_cancelled());
        let (sender, mut receiver) = mpsc::channel::<u32>(1);
        let outcome = scope
            .run(async || sender.send(1).await.map_err(SendError::into_inner))
            .await;
        assert!(matches!(outcome, Outcome::Cancelled(_, 1)));
        assert!(receiver.try_recv().is_err());
    });
}

#[test]
fn a_scope_that_was_left_is_not_cancelled_any_more() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope.run(async || Ok::<_, Cancelled>(())).await;
        assert_eq!(outcome, Outcome::Done(()));
        assert!(!scope.cancel("late"));
        assert!(!scope.is_cancelled());
        assert_eq!(scope.id(), None);
        yield_now().await.unwrap();
    });
}

#[test]
#[should_panic(expected = "a scope can be run once")]
fn a_scope_is_run_once() {
    simulate(async || {
        let scope = CancelScope::new();
        let _ = scope.run(async || Ok::<_, Cancelled>(())).await;
        let _ = scope.run(async || Ok::<_, Cancelled>(())).await;
    });
}

/// The second run of a scope must not take the first one's place.
#[test]
fn a_refused_second_run_leaves_the_first_one_alone() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope
            .run(async || {
                let mut again = pin!(scope.run(async || Ok::<_, Cancelled>(())));
                let refused = poll_fn(|cx| {
                    let polled = catch_unwind(AssertUnwindSafe(|| again.as_mut().poll(cx)));
                    Poll::Ready(polled.is_err())
                });
                assert!(refused.await);
                scope.cancel("still the first");
                yield_now().await
            })
            .await;
        assert!(outcome.is_cancelled());
    });
}

#[test]
fn deadlines_come_and_move() {
    simulate(async || {
        let start = time::now();
        let scope = CancelScope::with_deadline(start + SECOND);
        let mover = scope.clone();
        let move_it = spawn(async move || {
            time::sleep(SECOND / 2).await.unwrap();
            mover.set_deadline(Some(start + SECOND * 3));
        });
        let outcome = scope.run(async || time::sleep(SECOND * 10).await).await;
        let Outcome::Cancelled(cancelled, _) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(cancelled.reason(), &CancelReason::Deadline);
        assert_eq!(time::now() - start, SECOND * 3);
        move_it.await.unwrap();
    });
}

#[test]
fn a_deadline_that_was_taken_away_does_not_come() {
    simulate(async || {
        let start = time::now();
        let scope = CancelScope::with_deadline(start + SECOND);
        let outcome = scope
            .run(async || {
                scope.set_deadline(None);
                time::sleep(SECOND * 5).await
            })
            .await;
        assert_eq!(outcome, Outcome::Done(()));
        assert_eq!(time::now() - start, SECOND * 5);
    });
}

#[test]
fn a_deadline_that_is_past_cancels_the_first_wait() {
    simulate(async || {
        let scope = CancelScope::with_deadline(time::now());
        let ran = Cell::new(false);
        let outcome = scope
            .run(async || {
                ran.set(true);
                yield_now().await
            })
            .await;
        assert!(outcome.is_cancelled() && ran.get());
    });
}

#[test]
fn a_timeout_is_an_error_of_the_bodys_kind() {
    simulate(async || {
        let slow = time::timeout(SECOND, async || {
            time::sleep(SECOND * 2).await?;
            Ok::<_, io::Error>(())
        });
        let error = slow.await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(!is_cancelled(&error), "the scope has been left");
        let fast = time::timeout(SECOND * 2, async || {
            time::sleep(SECOND).await?;
            Ok::<_, io::Error>(3)
        });
        assert_eq!(fast.await.unwrap(), 3);
    });
}

#[test]
fn nested_timeouts_each_tell_their_own() {
    simulate(async || {
        let trace = Trace::default();
        // The inner one comes first.
        let outcome = time::move_on_after(SECOND * 2, async || {
            let inner = time::move_on_after(SECOND, async || time::sleep(SECOND * 9).await).await?;
            trace.say(format!("inner {inner:?}"));
            time::sleep(SECOND * 9).await
        });
        trace.say(format!("outer {:?}", outcome.await));
        // The outer one comes first: the inner one has nothing to say.
        let outcome = time::move_on_after(SECOND, async || {
            let inner =
                time::move_on_after(SECOND * 2, async || time::sleep(SECOND * 9).await).await;
            trace.say(format!("inner fails {}", inner.is_err()));
            inner
        });
        trace.say(format!("outer {:?}", outcome.await));
        assert_eq!(
            trace.take(),
            [
                "inner None",
                "outer Ok(None)",
                "inner fails true",
                "outer Ok(None)"
            ]
        );
    });
}

/// A scope's body is polled by a combinator with wakers of its own, and so is its wait.
#[test]
fn a_wait_under_a_foreign_combinator_hears_of_it() {
    use futures_util::stream::{FuturesUnordered, StreamExt};

    simulate(async || {
        let scope = CancelScope::new();
        let stopper = scope.clone();
        let stop = spawn(async move || {
            time::sleep(SECOND).await.unwrap();
            stopper.cancel("all of them");
        });
        let outcome = scope
            .run(async || {
                let mut waits: FuturesUnordered<_> =
                    (10..20).map(|n| time::sleep(SECOND * n)).collect();
                let mut ended = 0;
                while let Some(result) = waits.next().await {
                    ended += usize::from(result.is_err());
                }
                Err::<(), _>(ended)
            })
            .await;
        assert!(matches!(outcome, Outcome::Cancelled(_, 10)), "{outcome:?}");
        stop.await.unwrap();
    });
}

/// Two scopes in one task, one beside the other: a cancel of one does not touch the other.
#[test]
fn scopes_beside_each_other_are_apart() {
    simulate(async || {
        let (one, two) = (CancelScope::new(), CancelScope::new());
        let (first, second) = futures_util::future::join(
            one.run(async || time::sleep(SECOND * 9).await),
            two.run(async || {
                one.cancel("from beside");
                time::sleep(SECOND).await
            }),
        )
        .await;
        assert!(first.is_cancelled());
        assert_eq!(second, Outcome::Done(()));
    });
}

#[test]
fn what_is_spawned_is_not_in_the_scope() {
    simulate(async || {
        let scope = CancelScope::new();
        let spawned = RefCell::new(None);
        let outcome = scope
            .run(async || {
                *spawned.borrow_mut() = Some(spawn(async || time::sleep(SECOND).await));
                scope.cancel("only what is in it");
                yield_now().await
            })
            .await;
        assert!(outcome.is_cancelled());
        let spawned = spawned.take().unwrap();
        assert_eq!(spawned.await.unwrap(), Ok(()));
    });
}

/// The wait for a task can be cancelled; the task goes on, and can be waited for again.
#[test]
fn a_cancelled_wait_for_a_task_leaves_it_alone() {
    simulate(async || {
        let mut task = spawn(async || {
            time::sleep(SECOND * 2).await.unwrap();
            "done"
        });
        let slept = time::move_on_after(SECOND, async || (&mut task).await).await;
        assert!(matches!(slept, Ok(None)));
        assert_eq!(task.await.unwrap(), "done");
    });
}

#[test]
fn a_wait_for_a_task_tells_its_cancel() {
    simulate(async || {
        let task = spawn(async || time::sleep(SECOND).await);
        let scope = CancelScope::new();
        scope.cancel("impatient");
        let Outcome::Cancelled(cancelled, error) = scope.run(async || task.await).await else {
            panic!("it is cancelled")
        };
        assert!(!error.is_panic() && !error.is_ended());
        assert_eq!(error.as_cancelled(), Some(&cancelled));
        assert_eq!(find_cancelled(&error), Some(&cancelled));
    });
}

/// A scope whose future is dropped half way is left, and takes those in it along.
#[test]
fn a_dropped_scope_is_left() {
    simulate(async || {
        let scope = CancelScope::new();
        {
            let mut running = pin!(scope.run(async || {
                CancelScope::new()
                    .run(async || time::sleep(SECOND).await)
                    .await
                    .into_result()
            }));
            poll_fn(|cx| {
                assert!(running.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            assert!(scope.id().is_some());
        }
        assert_eq!(scope.id(), None);
        assert!(!scope.cancel("nobody is in it"));
        assert!(
            antiphon::tree()
                .tasks
                .iter()
                .all(|task| task.waits.is_empty())
        );
        yield_now().await.unwrap();
    });
}

/// The panic of a body leaves the scope as well, and what is polled next is not in it.
#[test]
fn a_panic_leaves_the_scope() {
    simulate(async || {
        let scope = CancelScope::new();
        let task = spawn({
            let scope = scope.clone();
            async move || {
                let _ = scope
                    .run(async || {
                        scope.cancel("first");
                        assert!(yield_now().await.is_ok(), "on purpose");
                        Ok::<(), Cancelled>(())
                    })
                    .await;
            }
        });
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(scope.id(), None);
        time::sleep(SECOND).await.unwrap();
    });
}

#[test]
fn a_foreign_future_is_awaited_as_it_is() {
    simulate(async || {
        let scope = CancelScope::new();
        let polls = Cell::new(0);
        let outcome = scope
            .run(async || {
                scope.cancel("no matter");
                poll_fn(|cx| {
                    polls.set(polls.get() + 1);
                    if polls.get() == 3 {
                        return Poll::Ready(());
                    }
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
                Ok::<_, Cancelled>("it was not dropped")
            })
            .await;
        assert_eq!(outcome, Outcome::Done("it was not dropped"));
    });
}

#[test]
fn a_future_that_is_finished_is_awaited_to_its_end() {
    simulate(async || {
        let scope = CancelScope::new();
        let steps = Cell::new(0);
        // It knows no scope, and is ready at its third poll.
        let foreign = poll_fn(|cx| {
            steps.set(steps.get() + 1);
            if steps.get() == 3 {
                return Poll::Ready("value");
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        let looker = spawn(async || {
            let tree = antiphon::tree();
            let main = &tree.tasks[0];
            assert!(!main.is_held_up(), "{tree}");
            assert_eq!(main.waits[0].kind, "foreign future");
            assert!(main.waits[0].at.file().ends_with("scope.rs"));
        });
        let outcome = scope.run(async || {
            scope.cancel("now");
            assert_eq!(finish(foreign).await, "value");
            // What in it is of this crate hears nothing of the cancel either.
            finish(yield_now()).await.unwrap();
            yield_now().await
        });
        assert!(outcome.await.is_cancelled());
        looker.await.unwrap();
        assert_eq!(antiphon::tree().tasks[0].waits.len(), 0);
    });
}

#[test]
fn a_droppable_future_is_dropped() {
    struct Witness<'a>(&'a Trace);
    impl Drop for Witness<'_> {
        fn drop(&mut self) {
            self.0.say("dropped");
        }
    }
    simulate(async || {
        let trace = Trace::default();
        let outcome = time::move_on_after(SECOND, async || {
            let witness = Witness(&trace);
            let result = droppable(async {
                let _witness = witness;
                pending::<()>().await;
            })
            .await;
            trace.say("heard");
            result
        });
        assert_eq!(outcome.await, Ok(None));
        assert_eq!(trace.take(), ["dropped", "heard"]);
        assert_eq!(droppable(async { 5 }).await, Ok(5));
    });
}

/// Rule 12: tasks that are left when the main task ends are cancelled, and clean up.
#[test]
fn tasks_that_are_left_clean_up() {
    let trace = Trace::default();
    simulate({
        let trace = trace.clone();
        async move || {
            for n in [1, 2] {
                let trace = trace.clone();
                drop(spawn(async move || {
                    let cancelled = time::sleep(SECOND * 3600).await.unwrap_err();
                    trace.say(format!("{n}: {}", cancelled.reason()));
                    shield(async || time::sleep(SECOND / 10 * n).await)
                        .await
                        .unwrap();
                    trace.say(format!("{n}: clean"));
                }));
            }
            yield_now().await.unwrap();
            trace.say("main ends");
        }
    });
    assert_eq!(
        trace.take(),
        [
            "main ends",
            "1: the main task has ended",
            "2: the main task has ended",
            "1: clean",
            "2: clean"
        ]
    );
}

/// Who does not end within the grace is dropped, and the loop ends all the same.
#[test]
#[cfg_attr(miri, ignore = "a quarter of a million steps")]
fn who_does_not_end_is_dropped() {
    struct Witness(Trace);
    impl Drop for Witness {
        fn drop(&mut self) {
            self.0.say("dropped");
        }
    }
    let trace = Trace::default();
    simulate({
        let witness = Witness(trace.clone());
        let swallower = Witness(trace.clone());
        async move || {
            drop(spawn(async move || {
                let _witness = witness;
                pending::<()>().await;
            }));
            drop(spawn(async move || {
                let _witness = swallower;
                loop {
                    let _ = time::sleep(SECOND).await;
                }
            }));
            yield_now().await.unwrap();
        }
    });
    assert_eq!(trace.take(), ["dropped", "dropped"]);
}

/// The next run of the same loop is not cancelled.
#[test]
fn a_loop_can_be_run_again() {
    let mut runtime = antiphon::Runtime::builder()
        .driver(antiphon::DriverKind::VirtualTime)
        .build()
        .unwrap();
    for _ in 0..2 {
        let ended = Rc::new(Cell::new(false));
        runtime.run({
            let ended = Rc::clone(&ended);
            async move || {
                drop(spawn(async move || {
                    let _ = time::sleep(SECOND * 9).await;
                    ended.set(true);
                }));
                time::sleep(SECOND).await.unwrap();
            }
        });
        assert!(ended.get());
    }
}

const DEPTH: u32 = if cfg!(miri) { 10 } else { 100 };

async fn deeper(depth: &Cell<u32>, left: u32) -> Result<(), Cancelled> {
    if left == 0 {
        return time::sleep(SECOND).await;
    }
    depth.set(depth.get() + 1);
    let scope = CancelScope::new();
    let outcome = Box::pin(scope.run(async || deeper(depth, left - 1).await)).await;
    outcome.into_result()
}

/// A hundred scopes deep, ten thousand wide: a cancel reaches all, and costs no stack.
#[test]
fn a_cancel_reaches_ten_thousand() {
    simulate(async || {
        let scope = CancelScope::new();
        let depth = Cell::new(0);
        let stopper = scope.clone();
        let stop = spawn(async move || {
            time::sleep(SECOND / 2).await.unwrap();
            stopper.cancel("all");
        });
        let outcome = scope.run(async || deeper(&depth, DEPTH).await).await;
        assert!(outcome.is_cancelled());
        assert_eq!(depth.get(), DEPTH);
        stop.await.unwrap();

        let scope = CancelScope::new();
        let outcome = scope
            .run(async || {
                let count = if cfg!(miri) { 50 } else { 10_000 };
                let sleeps = (0..count).map(|_| async {
                    let scope = CancelScope::new();
                    scope
                        .run(async || time::sleep(SECOND).await)
                        .await
                        .is_cancelled()
                });
                let all = futures_util::future::join_all(sleeps);
                let (cancelled, ()) = futures_util::future::join(all, async {
                    scope.cancel("all of them");
                })
                .await;
                assert!(cancelled.iter().all(|inner| !inner), "the outer one's");
                yield_now().await
            })
            .await;
        assert!(outcome.is_cancelled());
    });
}

/// A scope that is carried out of its loop, in a future that was not dropped, finds nothing of the next one.
#[test]
fn a_scope_that_outlives_its_loop_is_nobodys() {
    let scope = CancelScope::new();
    let kept: RefCell<Option<std::pin::Pin<Box<dyn Future<Output = _>>>>> = RefCell::new(None);
    simulate(async || {
        let running = scope.clone();
        let mut running = Box::pin(async move {
            running
                .run(async || time::sleep(SECOND).await)
                .await
                .is_cancelled()
        });
        poll_fn(|cx| {
            assert!(running.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        *kept.borrow_mut() = Some(running);
    });
    simulate(async || {
        let other = CancelScope::new();
        let outcome = other
            .run(async || {
                assert!(!scope.cancel("of another loop"));
                drop(kept.take());
                yield_now().await
            })
            .await;
        assert_eq!(outcome, Outcome::Done(()));
    });
}

/// The inner scope was heard of first, and that was swallowed; the error that goes out is the outer one's. It was taken for
/// the inner one's, which swallowed it.
#[test]
fn the_last_cancel_heard_of_is_the_one_that_counts() {
    simulate(async || {
        let (outer, inner) = (CancelScope::new(), CancelScope::new());
        let outcome = outer
            .run(async || {
                let outcome = inner
                    .run(async || {
                        inner.cancel("inner");
                        assert!(yield_now().await.is_err());
                        outer.cancel("outer");
                        yield_now().await
                    })
                    .await;
                assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
                outcome.into_result()
            })
            .await;
        assert!(outcome.is_cancelled());
    });
}

#[test]
fn the_tree_shows_how_long_a_deadline_leaves() {
    simulate(async || {
        let deadline = time::now() + Duration::from_secs(5);
        let scope = CancelScope::with_deadline(deadline);
        let outcome = scope.run(async || {
            time::sleep(Duration::from_secs(2)).await?;
            let shown = tree();
            assert!(shown.to_string().contains(", for 3s more"), "{shown}");
            assert!(
                shown.to_json().contains("\"deadline_in_ns\":3000000000"),
                "{shown}"
            );
            scope.set_deadline(None);
            yield_now().await?;
            assert_eq!(tree().tasks[0].scopes[0].deadline_in, None);
            Ok::<(), Cancelled>(())
        });
        assert!(!outcome.await.is_cancelled());
    });
}
