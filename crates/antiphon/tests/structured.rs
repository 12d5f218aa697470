//! What `docs/structured-concurrency.md` promises and no other file tests: the cases of asyncio's timeouts and of trio's scopes.

mod group_support;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use antiphon::sync::{Event, Mutex, mpsc};
use antiphon::time::Elapsed;
use antiphon::{
    CancelReason, CancelScope, Cancelled, Group, Outcome, TaskBuilder, TaskSnapshot,
    find_cancelled, group, is_cancelled, join, join_all, shield, spawn, time, yield_now,
};
use group_support::{Fault, Trace, panic_of, simulate, sleep, sleep_long, texts};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// An error that tells a timeout from every other end.
#[derive(Debug, PartialEq)]
enum End {
    Timeout(Elapsed),
    Wait(Cancelled),
    Own(&'static str),
}

impl From<Elapsed> for End {
    fn from(elapsed: Elapsed) -> Self {
        Self::Timeout(elapsed)
    }
}

impl From<Cancelled> for End {
    fn from(cancelled: Cancelled) -> Self {
        Self::Wait(cancelled)
    }
}

/// Sleeps for an hour, unless it is cancelled.
async fn sleep_an_hour() -> Result<(), End> {
    Ok(time::sleep(HOUR).await?)
}

async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[track_caller]
fn here() -> &'static Location<'static> {
    Location::caller()
}

// Timeouts.

#[test]
fn a_timeout_names_the_line_that_set_it() {
    simulate(async || {
        let start = time::now();
        let (line, slow) = (here(), time::timeout_at(start + SECOND, sleep_an_hour));
        let End::Timeout(elapsed) = slow.await.unwrap_err() else {
            panic!("it was the timeout")
        };
        assert_eq!(time::now(), start + SECOND);
        assert_eq!(elapsed.location().line(), line.line());
        assert!(!is_cancelled(&elapsed), "the scope has been left");
    });
}

#[test]
fn a_timeout_that_is_not_reached_leaves_nothing_behind() {
    simulate(async || {
        let quick = time::timeout(SECOND, async || Ok::<_, End>(sleep(1).await?));
        assert_eq!(quick.await, Ok(()));
        // Its time comes, and nobody is told.
        time::sleep(SECOND * 2).await.unwrap();
        let start = time::now();
        let endless = time::timeout(Duration::MAX, async || {
            Ok::<_, End>(time::sleep(HOUR).await?)
        });
        assert_eq!(endless.await, Ok(()));
        assert_eq!(time::now(), start + HOUR);
        assert_eq!(CancelScope::new().deadline(), None);
    });
}

/// Zero, or long past: the body begins, and its first wait ends, even if that is for a single turn.
#[test]
fn a_timeout_of_nothing_ends_the_first_wait() {
    simulate(async || {
        let past = time::now();
        time::sleep(HOUR).await.unwrap();
        let start = time::now();
        for deadline in [start, past] {
            let steps = Cell::new(0);
            let slow = time::timeout_at(deadline, async || {
                steps.set(1);
                yield_now().await?;
                steps.set(2);
                Ok::<(), End>(())
            });
            assert!(matches!(slow.await, Err(End::Timeout(_))));
            assert_eq!(steps.get(), 1);
        }
        assert_eq!(time::now(), start);
    });
}

/// Level, not edge: the message stays where it is.
#[test]
fn a_timeout_of_nothing_takes_nothing_even_if_it_is_there() {
    simulate(async || {
        let (sender, mut receiver) = mpsc::channel(1);
        sender.send("first").await.unwrap();
        let looked = time::move_on_after(Duration::ZERO, async || receiver.recv().await);
        assert_eq!(looked.await, Ok(None));
        assert_eq!(receiver.try_recv().unwrap(), "first");
    });
}

#[test]
fn a_body_that_does_not_wait_knows_no_timeout() {
    simulate(async || {
        let value = time::timeout(Duration::ZERO, async || Ok::<_, End>("value"));
        assert_eq!(value.await, Ok("value"));
        let start = time::now();
        let late = time::timeout(SECOND, async || {
            shield(async || time::sleep(HOUR).await).await?;
            Ok::<_, End>("late")
        });
        assert_eq!(late.await, Ok("late"));
        assert_eq!(time::now(), start + HOUR);
    });
}

#[test]
fn an_error_of_the_body_passes_through_a_timeout() {
    simulate(async || {
        let failed = time::timeout(SECOND, async || Err::<(), _>(End::Own("broken")));
        assert_eq!(failed.await, Err(End::Own("broken")));
        let failed_late = time::timeout(SECOND, async || {
            shield(async || time::sleep(HOUR).await).await?;
            Err::<(), _>(End::Own("broken, too late, and nothing was cancelled"))
        });
        assert!(matches!(failed_late.await, Err(End::Own(_))));
    });
}

/// A scope keeps the error of a clean-up beside the cancel; a timeout has one error to return, and says what ended the body.
#[test]
fn an_error_of_a_clean_up_stands_beside_the_deadline() {
    async fn body() -> Result<(), End> {
        let _ = sleep_an_hour().await;
        Err(End::Own("the clean-up failed"))
    }
    simulate(async || {
        let scope = CancelScope::with_deadline(time::now() + SECOND);
        let Outcome::Cancelled(cancelled, error) = scope.run(body).await else {
            panic!("its deadline came")
        };
        assert_eq!(cancelled.reason(), &CancelReason::Deadline);
        assert_eq!(error, End::Own("the clean-up failed"));
        let slow = time::timeout(SECOND, body);
        assert!(matches!(slow.await, Err(End::Timeout(_))));
    });
}

#[test]
fn a_cancel_from_further_out_is_no_timeout() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            time::timeout(HOUR, async || {
                scope.cancel("not for the time");
                sleep_an_hour().await
            })
            .await
        });
        let Outcome::Cancelled(cancelled, error) = outcome.await else {
            panic!("it was cancelled")
        };
        assert_eq!(error, End::Wait(cancelled));
    });
}

#[test]
fn a_timeout_in_a_task_is_no_cancel_of_the_task() {
    simulate(async || {
        let task = spawn(async || {
            let slow = time::timeout(SECOND, sleep_an_hour).await;
            assert!(matches!(slow, Err(End::Timeout(_))));
            time::sleep(SECOND).await
        });
        assert_eq!(task.await.unwrap(), Ok(()));
    });
}

#[test]
fn of_two_deadlines_at_one_moment_the_outer_one_is_told() {
    simulate(async || {
        let deadline = time::now() + SECOND;
        let inner_was_told = Cell::new(None);
        let slow = time::timeout_at(deadline, async || {
            let inner = time::timeout_at(deadline, sleep_an_hour).await;
            inner_was_told.set(Some(matches!(inner, Err(End::Timeout(_)))));
            inner
        });
        let (line, slow) = (line!(), slow.await);
        let Err(End::Timeout(elapsed)) = slow else {
            panic!("it was the timeout")
        };
        assert!(elapsed.location().line() < line);
        assert_eq!(inner_was_told.get(), Some(false));
    });
}

/// The task was busy, or shielded, while both came, the inner one first.
#[test]
fn of_two_deadlines_that_nobody_heard_of_the_outer_one_is_told() {
    simulate(async || {
        let start = time::now();
        let inner_was_told = Cell::new(None);
        let slow = time::timeout(SECOND * 2, async || {
            let inner = time::timeout(SECOND, async || {
                shield(async || time::sleep(SECOND * 3).await).await?;
                sleep_an_hour().await
            });
            let inner = inner.await;
            inner_was_told.set(Some(matches!(inner, Err(End::Timeout(_)))));
            inner
        });
        assert!(matches!(slow.await, Err(End::Timeout(_))));
        assert_eq!(inner_was_told.get(), Some(false));
        assert_eq!(time::now(), start + SECOND * 3);
    });
}

/// The inner one was heard of, so it is the inner one's; the level of the outer one ends the next wait.
#[test]
fn a_timeout_that_was_told_leaves_the_outer_one_its_own() {
    simulate(async || {
        let trace = Trace::default();
        let slow = time::timeout(SECOND * 2, async || {
            let inner = time::timeout(SECOND, async || {
                let inner = sleep_an_hour().await;
                shield(async || time::sleep(SECOND * 3).await).await?;
                inner
            });
            if matches!(inner.await, Err(End::Timeout(_))) {
                trace.say("inner");
            }
            sleep_an_hour().await
        });
        if matches!(slow.await, Err(End::Timeout(_))) {
            trace.say("outer");
        }
        assert_eq!(trace.take(), ["inner", "outer"]);
    });
}

#[test]
fn a_deadline_may_be_set_before_the_scope_is_entered() {
    simulate(async || {
        let start = time::now();
        let scope = CancelScope::with_deadline(start + HOUR);
        scope.set_deadline(Some(start + SECOND));
        assert_eq!(scope.deadline(), Some(start + SECOND));
        let outcome = scope.run(sleep_an_hour);
        assert!(outcome.await.is_cancelled());
        assert_eq!(time::now(), start + SECOND);
    });
}

#[test]
fn a_deadline_moved_into_the_past_has_come() {
    simulate(async || {
        let past = time::now();
        time::sleep(HOUR).await.unwrap();
        let start = time::now();
        let scope = CancelScope::with_deadline(start + HOUR);
        let outcome = scope.run(async || {
            scope.set_deadline(Some(past));
            sleep_an_hour().await
        });
        assert!(outcome.await.is_cancelled());
        assert_eq!(time::now(), start);
    });
}

#[test]
fn a_deadline_that_came_can_not_be_moved() {
    simulate(async || {
        let start = time::now();
        let scope = CancelScope::with_deadline(start + SECOND);
        let outcome = scope.run(async || {
            assert!(sleep_an_hour().await.is_err());
            scope.set_deadline(Some(start + HOUR));
            assert!(scope.is_cancelled());
            assert!(sleep_an_hour().await.is_err());
            scope.set_deadline(None);
            sleep_an_hour().await
        });
        assert!(outcome.await.is_cancelled());
        assert_eq!(time::now(), start + SECOND);
        scope.set_deadline(Some(start + HOUR));
        assert!(scope.is_cancelled(), "nor afterwards");
        time::sleep(HOUR * 2).await.unwrap();
    });
}

#[test]
fn a_scope_shows_what_is_known_of_it() {
    simulate(async || {
        let scope = CancelScope::new();
        assert!(format!("{scope:?}").contains("id: None, deadline: None, is_cancelled: false"));
        let outcome = scope.run(async || {
            assert!(format!("{scope:?}").contains("id: Some(ScopeId("));
            scope.cancel("seen");
            assert!(format!("{scope:?}").contains("is_cancelled: true"));
            yield_now().await
        });
        assert!(outcome.await.is_cancelled());
        assert!(format!("{scope:?}").contains("id: None, deadline: None, is_cancelled: true"));
    });
}

#[test]
fn a_scope_is_entered_in_a_loop_only() {
    let scope = CancelScope::new();
    let text = panic_of(|| {
        let mut running = pin!(scope.run(async || Ok::<(), End>(())));
        let _ = running
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
    });
    assert!(text.contains("loop"), "{text}");
    assert_eq!(scope.id(), None);
    simulate(async || {
        let outcome = scope.run(async || Ok::<_, End>("a loop"));
        assert_eq!(outcome.await, Outcome::Done("a loop"));
    });
}

// Clean-ups.

#[test]
fn a_clean_up_may_have_a_timeout_of_its_own() {
    simulate(async || {
        let start = time::now();
        let trace = Trace::default();
        let slow = time::timeout(SECOND, async || {
            let result = sleep_an_hour().await;
            let cleaned = shield(async || time::timeout(SECOND * 2, sleep_an_hour).await);
            if matches!(cleaned.await, Err(End::Timeout(_))) {
                trace.say("the clean-up took too long");
            }
            result
        });
        assert!(matches!(slow.await, Err(End::Timeout(_))));
        assert_eq!(trace.take(), ["the clean-up took too long"]);
        assert_eq!(time::now(), start + SECOND * 3);
    });
}

/// Without the shield the clean-up hears of the cancel that it is there for, not of its timeout.
#[test]
fn a_timeout_in_a_cancelled_scope_is_not_the_one_that_is_told() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            scope.cancel("enough");
            assert!(sleep_an_hour().await.is_err());
            time::timeout(Duration::ZERO, sleep_an_hour).await
        });
        let Outcome::Cancelled(cancelled, error) = outcome.await else {
            panic!("it was cancelled")
        };
        assert_eq!(error, End::Wait(cancelled));
    });
}

#[test]
fn a_clean_up_may_be_cancelled_by_a_scope_of_its_own() {
    simulate(async || {
        let outer = CancelScope::new();
        let outcome = outer.run(async || {
            outer.cancel("outer");
            let result = sleep_an_hour().await;
            let inner = CancelScope::new();
            let cleaned = shield(async || {
                time::timeout(HOUR, async || {
                    inner
                        .run(async || {
                            inner.cancel("inner");
                            sleep_an_hour().await
                        })
                        .await
                        .into_result()
                })
                .await
            });
            let Err(End::Wait(cancelled)) = cleaned.await else {
                panic!("neither the timeout nor the outer scope")
            };
            assert_eq!(cancelled.reason().to_string(), "inner");
            result
        });
        assert!(outcome.await.is_cancelled());
    });
}

#[test]
fn a_deadline_around_a_group_keeps_the_errors_of_its_clean_ups() {
    simulate(async || {
        let scope = CancelScope::with_deadline(time::now() + SECOND);
        let outcome = scope.run(async || {
            group(async |group| {
                group.spawn(async || match sleep_long().await {
                    Ok(()) => Ok(()),
                    Err(_) => Err(Fault::Own("crash in clean-up")),
                });
                sleep_long().await
            })
            .await
        });
        let Outcome::Cancelled(cancelled, error) = outcome.await else {
            panic!("its deadline came")
        };
        assert_eq!(cancelled.reason(), &CancelReason::Deadline);
        assert_eq!(texts(&error), ["crash in clean-up"]);
    });
}

// Scopes.

#[test]
fn a_cancel_says_who_why_and_where_and_stays() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            let (line, _) = (here(), scope.cancel("first"));
            scope.cancel("second");
            let first = yield_now().await.unwrap_err();
            let second = sleep(1).await.unwrap_err();
            assert_eq!(first, second, "it is the same cancel");
            assert_eq!(Some(first.scope()), scope.id());
            assert_eq!(first.reason(), &CancelReason::Requested("first".into()));
            assert_eq!(first.location().line(), line.line());
            assert_eq!(
                first.to_string(),
                format!("cancelled: first (at {})", first.location())
            );
            Err::<(), _>(first)
        });
        let Outcome::Cancelled(cancelled, error) = outcome.await else {
            panic!("it was cancelled")
        };
        assert_eq!(scope.cancelled(), Some(cancelled.clone()));
        assert_eq!(cancelled, error);
    });
}

#[test]
fn the_cancel_of_a_deadline_names_the_line_that_moved_it() {
    simulate(async || {
        let scope = CancelScope::new();
        let at = Some(time::now() + SECOND);
        let (line, ()) = (here(), scope.set_deadline(at));
        let Outcome::Cancelled(cancelled, _) = scope.run(sleep_an_hour).await else {
            panic!("its deadline came")
        };
        assert_eq!(cancelled.location().line(), line.line());
    });
}

#[test]
fn a_cancel_reaches_children_of_groups_in_groups() {
    let trace = Trace::default();
    simulate(async || {
        let slept = time::move_on_after(SECOND, async || {
            group(async |outer| {
                for worker in ["a", "b"] {
                    let trace = &trace;
                    outer.spawn(async move || {
                        group(async |inner| {
                            for leaf in 1..=2 {
                                inner.spawn(async move || {
                                    let result = sleep_long().await;
                                    trace.say(format!("{worker}{leaf}"));
                                    result
                                });
                            }
                            Ok::<(), Fault>(())
                        })
                        .await?;
                        Ok(())
                    });
                }
                Ok::<(), Fault>(())
            })
            .await
        });
        assert_eq!(slept.await.unwrap(), None);
    });
    let mut said = trace.take();
    said.sort();
    assert_eq!(said, ["a1", "a2", "b1", "b2"]);
}

#[test]
fn crashes_in_the_clean_ups_of_inner_groups_come_out() {
    async fn crash(what: &'static str) -> Result<(), Fault> {
        let _ = sleep_long().await;
        Err(Fault::Own(what))
    }
    simulate(async || {
        let scope = CancelScope::with_deadline(time::now() + SECOND);
        let outcome = scope.run(async || {
            group(async |outer| {
                outer.spawn(async || crash("outer child").await);
                group(async |inner| {
                    inner.spawn(async || crash("inner child").await);
                    sleep_long().await
                })
                .await?;
                Ok(())
            })
            .await
        });
        let Outcome::Cancelled(_, error) = outcome.await else {
            panic!("its deadline came")
        };
        let mut kept = texts(&error);
        kept.sort();
        assert_eq!(kept, ["inner child", "outer child"]);
    });
}

#[test]
fn a_child_of_a_cancelled_group_begins_and_its_first_wait_ends() {
    let trace = Trace::default();
    simulate(async || {
        group(async |group| {
            group.cancel("before there is anybody");
            group.spawn(async || {
                trace.say("started");
                let result = sleep_long().await;
                trace.say("heard");
                result
            });
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
    assert_eq!(trace.take(), ["started", "heard"]);
}

/// asyncio's hydra: each child has two more, until one of the group fails.
#[test]
fn children_that_go_on_spawning_end_with_the_first_failure() {
    async fn hydra<'env>(group: Group<'env, Fault>, heads: &'env Cell<u32>) -> Result<(), Fault> {
        heads.set(heads.get() + 1);
        sleep(10).await?;
        for _ in 0..2 {
            group.spawn_with(async move |group| hydra(group, heads).await);
        }
        Ok(())
    }
    let heads = Cell::new(0);
    let error = simulate(async || {
        group(async |group| {
            let heads = &heads;
            group.spawn_with(async move |group| hydra(group, heads).await);
            group.spawn(async || {
                while heads.get() < 10 {
                    sleep(15).await?;
                }
                Err::<(), _>(Fault::Own("hercules"))
            });
            Ok(())
        })
        .await
    });
    assert_eq!(texts(&error.unwrap_err()), ["hercules"]);
    assert!(heads.get() >= 10);
}

#[test]
fn a_cancel_that_nobody_heard_of_ends_with_its_scope() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            scope.cancel("in vain");
            shield(async || yield_now().await).await
        });
        assert_eq!(outcome.await, Outcome::Done(()));
        assert!(scope.is_cancelled());
        time::sleep(SECOND).await.unwrap();
    });
}

/// Two scopes of three are cancelled: the outer one of them is left as cancelled, and that around both goes on.
#[test]
fn the_scope_around_those_that_are_cancelled_goes_on() {
    simulate(async || {
        let [first, second, third] = [(); 3].map(|()| CancelScope::new());
        let outcome = first.run(async || {
            let outcome = second.run(async || {
                let outcome = third.run(async || {
                    third.cancel("third");
                    second.cancel("second");
                    sleep_an_hour().await
                });
                let outcome = outcome.await;
                assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
                outcome.into_result()
            });
            let Outcome::Cancelled(cancelled, _) = outcome.await else {
                panic!("it was cancelled")
            };
            assert_eq!(cancelled.reason().to_string(), "second");
            Ok::<_, End>(sleep(1).await?)
        });
        assert_eq!(outcome.await, Outcome::Done(()));
        assert!(third.is_cancelled() && !first.is_cancelled());
    });
}

/// The inner scope's cancel was heard and let pass; then the outer one is cancelled. Whatever becomes of the inner one's
/// error, the outer one's cancel is not lost: its level ends the next wait.
#[test]
fn a_cancel_is_not_lost_with_the_error_that_told_of_it() {
    simulate(async || {
        let (outer, inner) = (CancelScope::new(), CancelScope::new());
        let outcome = outer.run(async || {
            let outcome = inner.run(async || {
                inner.cancel("inner");
                assert!(yield_now().await.is_err());
                outer.cancel("outer");
                let cancelled = yield_now().await.unwrap_err();
                assert_eq!(cancelled.reason().to_string(), "outer");
                Err::<(), _>(cancelled)
            });
            let _ = outcome.await;
            yield_now().await
        });
        let Outcome::Cancelled(cancelled, _) = outcome.await else {
            panic!("it was cancelled")
        };
        assert_eq!(cancelled.reason().to_string(), "outer");
    });
}

/// What asyncio counts with `cancelling` and `uncancel`, the nesting of the scopes says.
#[test]
fn scopes_that_were_left_leave_no_trace_in_the_task() {
    simulate(async || {
        let outer = CancelScope::new();
        let outcome = outer.run(async || {
            for _ in 0..3 {
                let slow = time::move_on_after(SECOND, sleep_an_hour).await;
                assert_eq!(slow, Ok(None));
                let failed = group(async |group| {
                    group.spawn(async || Err::<(), _>(Fault::Own("child")));
                    sleep_long().await
                });
                assert_eq!(texts(&failed.await.unwrap_err()), ["child"]);
                sleep(1).await?;
            }
            outer.cancel("now it is meant");
            sleep_an_hour().await
        });
        assert!(outcome.await.is_cancelled());
    });
}

/// A failed group inside a cancelled scope: its errors come out, and the wait after it ends all the same.
#[test]
fn an_error_of_a_group_does_not_hide_a_cancel_from_outside() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            let failed = group(async |group| {
                group.spawn(async || {
                    scope.cancel("at the same time");
                    Err::<(), _>(Fault::Own("child"))
                });
                sleep_long().await
            });
            assert_eq!(texts(&failed.await.unwrap_err()), ["child"]);
            sleep_long().await
        });
        assert!(outcome.await.is_cancelled());
    });
}

#[test]
fn whoever_lets_a_cancel_pass_has_succeeded() {
    simulate(async || {
        group(async |group| {
            let child = group.spawn(async || {
                let _ = sleep_long().await;
                Ok("succeeded")
            });
            yield_now().await?;
            child.cancel("no matter");
            assert_eq!(child.await?, "succeeded");
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_task_may_cancel_the_scope_that_it_is_in() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            scope.cancel("by itself");
            scope.cancel("and again");
            sleep_an_hour().await
        });
        assert!(outcome.await.is_cancelled());
    });
}

// Shields.

#[test]
fn what_is_entered_in_a_shield_is_behind_it() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            scope.cancel("outside");
            shield(async || {
                let inner = CancelScope::new();
                let outcome = inner.run(async || Ok::<_, End>(sleep(1).await?));
                assert_eq!(outcome.await, Outcome::Done(()));
                let sum = group(async |group| {
                    let child = group.spawn(async || {
                        sleep(1).await?;
                        Ok(2)
                    });
                    sleep(1).await?;
                    Ok::<_, Fault>(child.await? + 3)
                });
                assert_eq!(sum.await.unwrap(), 5);
                shield(async || sleep(1).await).await.unwrap();
                sleep(1).await.unwrap();
            })
            .await;
            sleep(1).await
        });
        assert!(outcome.await.is_cancelled());
    });
}

/// A shield holds for its own branch of the tree: the siblings hear of it.
#[test]
fn a_shield_in_one_child_is_not_its_siblings() {
    let trace = Trace::default();
    simulate(async || {
        let slept = time::move_on_after(SECOND, async || {
            group(async |group| {
                group.spawn(async || {
                    shield(async || sleep(3000).await).await?;
                    trace.say("shielded");
                    Ok(())
                });
                group.spawn(async || {
                    let result = sleep_long().await;
                    trace.say("not shielded");
                    result
                });
                Ok::<(), Fault>(())
            })
            .await
        });
        assert_eq!(slept.await.unwrap(), None);
    });
    assert_eq!(trace.take(), ["not shielded", "shielded"]);
}

#[test]
fn a_shield_gives_back_what_its_body_returns() {
    simulate(async || {
        assert_eq!(shield(async || 5).await, 5);
        let failed = shield(async || Err::<(), _>("an error")).await;
        assert_eq!(failed, Err("an error"));
        let payload = catch_unwind(AssertUnwindSafe(|| {
            let mut body = pin!(shield(async || panic!("a panic")));
            let mut cx = Context::from_waker(Waker::noop());
            let _: Poll<()> = body.as_mut().poll(&mut cx);
        }));
        assert!(payload.is_err());
        let scope = CancelScope::new();
        scope.cancel("the panic has left the shield");
        assert!(scope.run(sleep_an_hour).await.is_cancelled());
    });
}

/// A scope is left when it is, whoever polls then what was entered in it.
#[test]
fn what_is_carried_out_of_a_scope_hears_of_it_no_more() {
    simulate(async || {
        let outer = CancelScope::new();
        let mut carried = Box::pin(async {
            let inner = CancelScope::new();
            let outcome = inner.run(async || {
                sleep(1).await?;
                sleep(1).await
            });
            outcome.await
        });
        let outcome = outer.run(async || {
            assert!(poll_once(carried.as_mut()).await.is_pending());
            outer.cancel("only what is in it");
            yield_now().await
        });
        assert!(outcome.await.is_cancelled());
        // Nor of one that is entered after it, and has its place.
        let another = CancelScope::new();
        let cancelled = another.run(async || {
            another.cancel("not for what was carried out");
            sleep(1).await
        });
        let (cancelled, done) = futures_util::future::join(cancelled, carried).await;
        assert!(cancelled.is_cancelled());
        assert_eq!(done, Outcome::Done(()));
    });
}

// Several at once.

#[test]
fn a_cancel_from_outside_reaches_all_branches_of_a_join() {
    simulate(async || {
        let trace = Trace::default();
        let slept = time::move_on_after(SECOND, async || {
            let branch = async |name: &str| {
                let result = sleep_an_hour().await;
                trace.say(name);
                result
            };
            let (one, two) =
                join((async || branch("one").await, async || branch("two").await)).await;
            assert!(one.is_err() && two.is_err());
            let many = join_all(["three", "four"].map(|name| {
                let trace = &trace;
                async move || {
                    let result = sleep_an_hour().await;
                    trace.say(name);
                    result
                }
            }));
            many.await.into_iter().collect::<Result<Vec<_>, _>>()
        });
        assert_eq!(slept.await, Ok(None));
        assert_eq!(trace.take(), ["one", "two", "three", "four"]);
    });
}

/// asyncio's `as_completed`, with what there is: the children say it themselves, or their handles are asked all at once.
#[test]
fn values_are_taken_in_the_order_in_which_they_come() {
    use futures_util::stream::{FuturesUnordered, StreamExt};

    simulate(async || {
        let order = group(async |group| {
            let mut handles: FuturesUnordered<_> = [30, 10, 20]
                .map(|millis| {
                    group.spawn(async move || {
                        sleep(millis).await?;
                        Ok(millis)
                    })
                })
                .into_iter()
                .collect();
            let mut order = Vec::new();
            // Only so long; what has not come by then can be waited for afterwards.
            let early = time::move_on_after(Duration::from_millis(25), async || {
                while let Some(value) = handles.next().await {
                    order.push(value?);
                }
                Ok::<(), Fault>(())
            });
            assert_eq!(early.await.unwrap(), None);
            assert_eq!(order, [10, 20]);
            Ok::<_, Fault>(order)
        });
        assert_eq!(order.await.unwrap(), [10, 20]);
    });
}

// Foreign futures.

/// A future that knows no scopes, until somebody lets it go.
#[derive(Default)]
struct Foreign {
    is_over: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Foreign {
    async fn wait(&self) {
        poll_fn(|cx| {
            if self.is_over.get() {
                return Poll::Ready(());
            }
            self.waker.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    fn let_go(&self) {
        self.is_over.set(true);
        self.waker.take().unwrap().wake();
    }
}

#[test]
fn a_cancel_that_is_held_up_by_a_foreign_future_is_seen() {
    simulate(async || {
        let scope = CancelScope::new();
        let foreign = Rc::new(Foreign::default());
        let stuck = TaskBuilder::new().name("stuck").spawn({
            let (scope, foreign) = (scope.clone(), Rc::clone(&foreign));
            async move || {
                let outcome = scope.run(async || {
                    foreign.wait().await;
                    sleep(1).await
                });
                outcome.await.is_cancelled()
            }
        });
        let look = || {
            let is_stuck = |task: &TaskSnapshot| task.name.as_deref() == Some("stuck");
            let task = antiphon::tree().tasks.into_iter().find(is_stuck);
            task.expect("it has not ended")
        };
        sleep(1).await.unwrap();
        assert!(!look().is_held_up());
        scope.cancel("behind a future that hears of nothing");
        sleep(1).await.unwrap();
        let task = look();
        assert!(task.is_held_up());
        assert_eq!(task.scopes[0].cancelled, scope.cancelled());
        foreign.let_go();
        assert!(stuck.await.unwrap(), "the wait after it ends");
    });
}

// Errors.

#[test]
fn a_cancel_is_found_in_every_error_that_it_became() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope.run(async || -> io::Result<()> {
            scope.cancel("for the example");
            let mutex = Mutex::new(());
            let _guard = mutex.lock().await?;
            Event::new().wait().await?;
            Ok(())
        });
        let Outcome::Cancelled(cancelled, error) = outcome.await else {
            panic!("it was cancelled")
        };
        assert_eq!(find_cancelled(&error), Some(&cancelled));
        assert_eq!(error.kind(), io::ErrorKind::Other);
        let outer = io::Error::other(error);
        assert_eq!(find_cancelled(&outer), Some(&cancelled));
    });
}
