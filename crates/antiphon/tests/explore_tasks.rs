//! Timers, tasks and shields leave nothing behind and lose nothing, wherever they are interrupted.

mod explore_support;

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use antiphon::time::{MissedTicks, interval, move_on_after, now, sleep, sleep_until, timeout};
use antiphon::{CancelScope, Cancelled, Outcome, droppable, group, shield, spawn, yield_now};
use explore_support::{Count, HOUR, How, SECOND, alone, attempt, body, meeting, play};
use futures_util::future::{Either, select};

#[test]
fn sleepers_wake_at_their_time() {
    meeting("sleep", |shape| async move {
        let bodies = (1..4).map(|number| {
            body(async move {
                let start = now();
                sleep(number * SECOND).await?;
                assert_eq!(now() - start, number * SECOND);
                sleep_until(start + 5 * SECOND).await?;
                assert_eq!(now() - start, 5 * SECOND);
                // It is over already.
                sleep_until(start).await?;
                assert_eq!(now() - start, 5 * SECOND);
                let mut other = sleep(HOUR);
                let _ = select(pin!(&mut other), pin!(sleep(SECOND))).await;
                other.reset(now() + SECOND);
                other.await?;
                assert_eq!(now() - start, 7 * SECOND);
                Ok(())
            })
        });
        play(shape, bodies).await;
    });
}

#[test]
fn a_tick_that_was_not_heard_is_still_to_come() {
    for missed in [MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip] {
        alone(&format!("interval {missed:?}"), || async {
            let start = now();
            let mut ticks = interval(SECOND).with_missed_ticks(missed);
            let mut heard = 0;
            let how = attempt(async || {
                for _ in 0..4 {
                    let due = ticks.tick().await?;
                    assert_eq!(due, start + heard * SECOND);
                    heard += 1;
                }
                Ok::<(), Cancelled>(())
            })
            .await;
            assert_eq!(how.is_done(), heard == 4);
            assert_eq!(ticks.tick().await, Ok(start + heard * SECOND));
        });
    }
}

#[test]
fn a_timeout_ends_what_is_in_it_and_nothing_else() {
    alone("timeout", || async {
        let start = now();
        let how = attempt(async || {
            let early = timeout(2 * SECOND, async || {
                sleep(SECOND).await?;
                Ok::<u32, io::Error>(1)
            });
            assert_eq!(early.await?, 1);
            let late = timeout(2 * SECOND, async || {
                // The inner one is longer.
                timeout(HOUR, async || Ok::<(), io::Error>(sleep(HOUR).await?)).await
            });
            match late.await {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                other => return other,
            }
            assert_eq!(now() - start, 3 * SECOND);
            let deadline = now() + SECOND;
            let late = antiphon::time::timeout_at(deadline, async || {
                Ok::<(), io::Error>(sleep(HOUR).await?)
            });
            match late.await {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                other => return other,
            }
            assert_eq!(now(), deadline);
            Ok(yield_now().await?)
        })
        .await;
        let spent = now() - start;
        assert!(spent <= 4 * SECOND, "a cancel does not wait for a deadline");
        assert!(!how.is_done() || spent == 4 * SECOND);
        // No deadline is left that would end this.
        sleep(HOUR).await.unwrap();
    });
}

#[test]
fn what_moves_on_has_cleaned_up_before() {
    alone("move_on_after", || async {
        let inside = Count::default();
        attempt(async || {
            let moved = move_on_after(SECOND, async || {
                let _inside = inside.enter();
                sleep(HOUR).await
            });
            assert_eq!(moved.await?, None);
            assert_eq!(inside.get(), 0);
            let moved = move_on_after(HOUR, async || sleep(SECOND).await);
            assert_eq!(moved.await?, Some(()));
            let moved = antiphon::time::move_on_at(now(), async || sleep(SECOND).await);
            assert_eq!(moved.await?, None);
            Ok::<(), Cancelled>(())
        })
        .await;
        assert_eq!(inside.get(), 0);
    });
}

#[test]
fn what_a_task_returned_is_given_once() {
    alone("JoinHandle", || async {
        for seconds in [0, 1] {
            let alive = Count::default();
            let mut task = {
                let token = alive.enter().1;
                spawn(async move || {
                    sleep(seconds * SECOND).await.unwrap();
                    token
                })
            };
            let how = attempt(async || {
                sleep(SECOND / 2).await?;
                (&mut task).await.map_err(|error| {
                    error
                        .as_cancelled()
                        .cloned()
                        .expect("only the wait was cancelled")
                })
            })
            .await;
            assert_eq!(alive.get(), 1, "it is on its way or here");
            match how {
                How::Done(token) => drop(token),
                How::Cancelled | How::Panicked => drop(task.await.unwrap()),
            }
            assert_eq!(alive.get(), 0);
        }
    });
}

#[test]
fn a_task_that_panics_tells_whoever_waits_then() {
    alone("JoinHandle, panic", || async {
        let mut task = spawn(async || {
            attempt(async || {
                yield_now().await?;
                yield_now().await
            })
            .await
            .is_done()
        });
        let first = attempt(async || match (&mut task).await {
            Ok(is_done) => Ok(Some(is_done)),
            Err(error) => Err(error.as_cancelled().cloned().expect("it panics nowhere")),
        })
        .await;
        if !first.is_done() {
            assert!(task.await.unwrap(), "there is one fault in a run");
        }
    });
}

#[test]
fn who_gives_way_goes_on() {
    meeting("yield_now", |shape| async move {
        let turns = Count::default();
        let bodies = (0..3).map(|_| {
            let turns = turns.clone();
            body(async move {
                for _ in 0..3 {
                    yield_now().await?;
                    turns.add();
                }
                Ok(())
            })
        });
        play(shape, bodies).await;
        assert!(turns.get() <= 9);
    });
}

/// A future of somebody else, which is ready at its third poll.
struct Foreign {
    polls: Count,
    is_over: bool,
    drops: Count,
}

impl Future for Foreign {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        assert!(!self.is_over, "it is not polled after its end");
        self.polls.add();
        if self.polls.get() % 3 == 0 {
            self.is_over = true;
            return Poll::Ready(7);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.drops.add();
    }
}

#[test]
fn a_foreign_future_is_dropped_once_and_not_polled_again() {
    alone("droppable", || async {
        let (polls, drops, made) = (Count::default(), Count::default(), Count::default());
        let foreign = || {
            made.add();
            Foreign {
                polls: polls.clone(),
                is_over: false,
                drops: drops.clone(),
            }
        };
        let how = attempt(async || {
            assert_eq!(droppable(foreign()).await?, 7);
            {
                let (ours, other) = (pin!(droppable(foreign())), pin!(sleep(HOUR)));
                match select(ours, other).await {
                    Either::Left((value, _)) => assert_eq!(value?, 7),
                    Either::Right((slept, _)) => slept?,
                }
            }
            // A leaf of ours in a foreign future.
            let two = async { futures_util::join!(sleep(SECOND), sleep(2 * SECOND)) };
            let (one, two) = droppable(two).await?;
            one.and(two)?;
            Ok::<(), Cancelled>(())
        })
        .await;
        assert_eq!(drops.get(), made.get());
        assert!(!how.is_done() || polls.get() == 6);
    });
}

#[test]
fn what_is_shielded_goes_on_to_its_end() {
    alone("shield", || async {
        let (begun, ended) = (Count::default(), Count::default());
        let how = attempt(async || {
            yield_now().await?;
            shield(async || {
                begun.add();
                sleep(SECOND).await.unwrap();
                let scope = CancelScope::new();
                let inner = scope.run(async || {
                    scope.cancel("inside it reaches");
                    yield_now().await
                });
                assert!(inner.await.is_cancelled());
                group(async |group| {
                    group.spawn(async || yield_now().await);
                    yield_now().await
                })
                .await
                .unwrap();
                ended.add();
            })
            .await;
            yield_now().await
        })
        .await;
        assert!(how.is_panicked() || begun.get() == ended.get());
    });
}

#[test]
fn a_scope_that_is_cancelled_from_outside_has_one_outcome() {
    alone("CancelScope", || async {
        let scope = Rc::new(CancelScope::new());
        let other = {
            let scope = Rc::clone(&scope);
            spawn(async move || {
                sleep(SECOND).await.unwrap();
                scope.cancel("enough")
            })
        };
        let is_cut_short = Count::default();
        attempt(async || match scope.run(async || sleep(HOUR).await).await {
            Outcome::Done(()) => panic!("it is cancelled before"),
            Outcome::Cancelled(..) => {
                is_cut_short.add();
                yield_now().await
            }
            Outcome::Failed(error) => Err(error),
        })
        .await;
        // It says whether there was anything to cancel.
        let has_cancelled = other.await.unwrap();
        // If the one outside is cancelled as well, that is what is heard of.
        assert!(has_cancelled || is_cut_short.get() == 0);
        assert_eq!(has_cancelled, scope.is_cancelled());
    });
}
