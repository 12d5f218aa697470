//! Time: sleeps, timeouts, intervals. In virtual time, so exactly.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use antiphon::time::{
    MissedTicks, interval, interval_at, move_on_after, move_on_at, now, sleep, sleep_until,
};
use antiphon::{CancelScope, Cancelled, DriverKind, Runtime, droppable, spawn, tree, yield_now};
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

/// Runs `main` in virtual time: at once, and always in the same order.
fn simulate<T>(main: impl AsyncFnOnce() -> T) -> T {
    Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .unwrap()
        .run(main)
}

#[test]
fn a_sleep_ends_exactly_when_it_should() {
    simulate(async || {
        for duration in [
            Duration::from_nanos(1),
            MS,
            Duration::from_secs(3600),
            Duration::from_secs(86_400 * 365 * 100),
        ] {
            let start = now();
            sleep(duration).await.unwrap();
            assert_eq!(now() - start, duration);
        }
    });
}

#[test]
fn a_sleep_of_nothing_waits_for_a_turn() {
    simulate(async || {
        let start = now();
        let mut zero = pin!(sleep(Duration::ZERO));
        let first = poll_fn(|cx| Poll::Ready(zero.as_mut().poll(cx).is_ready())).await;
        assert!(!first);
        zero.await.unwrap();
        sleep_until(start).await.unwrap();
        assert_eq!(now(), start);
    });
}

#[test]
fn a_sleep_past_the_end_of_time_never_ends() {
    simulate(async || {
        let years = Duration::from_secs(1_000_000_000);
        let slept = move_on_after(years, async || sleep(Duration::MAX).await);
        assert_eq!(slept.await, Ok(None));
    });
}

#[test]
fn the_clock_stands_still_between_awaits() {
    antiphon::run(async || {
        let before = now();
        while Instant::now() == before {}
        assert_eq!(now(), before);
    });
}

/// Spawns a sleeper for each duration, and returns the order in which they woke.
fn wake_order(durations: &[Duration]) -> Vec<usize> {
    let woken = Rc::new(RefCell::new(Vec::new()));
    simulate(async || {
        let tasks: Vec<_> = durations
            .iter()
            .enumerate()
            .map(|(index, duration)| {
                let (woken, sleep) = (Rc::clone(&woken), sleep(*duration));
                spawn(async move || {
                    sleep.await.unwrap();
                    woken.borrow_mut().push(index);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    Rc::try_unwrap(woken).unwrap().into_inner()
}

#[test]
fn equal_deadlines_wake_in_the_order_they_were_made() {
    // asyncio's heap gives 0, 2, 6, 5, 7, 1, 3, 4 here.
    assert_eq!(wake_order(&[MS; 8]), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn equal_deadlines_made_at_different_times_keep_their_order() {
    simulate(async || {
        let woken = Rc::new(RefCell::new(Vec::new()));
        let deadline = now() + Duration::from_secs(10);
        let mut tasks = Vec::new();
        for index in 0..10 {
            let woken = Rc::clone(&woken);
            tasks.push(spawn(async move || {
                sleep_until(deadline).await.unwrap();
                woken.borrow_mut().push(index);
            }));
            // Closer and closer to the deadline: each timer starts on another level of the wheel.
            sleep((deadline - now()) / 3).await.unwrap();
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*woken.borrow(), (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn a_million_timers_at_one_instant() {
    simulate(async || {
        let deadline = now() + MS;
        let count = if cfg!(miri) { 100 } else { 1_000_000 };
        let mut sleeps: Vec<_> = (0..count)
            .map(|_| Box::pin(sleep_until(deadline)))
            .collect();
        poll_fn(|cx| {
            let pending = sleeps
                .iter_mut()
                .filter(|sleep| !sleep.is_elapsed())
                .filter_map(|sleep| sleep.as_mut().poll(cx).is_pending().then_some(()));
            if pending.count() == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        assert_eq!(now(), deadline);
    });
}

#[test]
fn a_dropped_sleep_leaves_nothing_behind() {
    simulate(async || {
        let mut dropped = Box::pin(sleep(Duration::from_secs(5)));
        poll_fn(|cx| {
            assert!(dropped.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(tree().tasks[0].waits.len(), 1);
        drop(dropped);
        assert_eq!(tree().tasks[0].waits.len(), 0);
        let start = now();
        sleep(Duration::from_secs(10)).await.unwrap();
        assert_eq!(now() - start, Duration::from_secs(10));
    });
}

#[test]
fn a_forgotten_sleep_harms_nobody() {
    simulate(async || {
        let mut forgotten = Box::pin(sleep(MS));
        poll_fn(|cx| {
            assert!(forgotten.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        std::mem::forget(forgotten);
        sleep(2 * MS).await.unwrap();
    });
}

/// It waited for ever, since its timer went with its loop.
#[test]
fn a_sleep_goes_on_in_the_next_loop() {
    let virtual_time = || {
        Runtime::builder()
            .driver(DriverKind::VirtualTime)
            .build()
            .unwrap()
    };
    for is_same in [true, false] {
        let mut runtime = virtual_time();
        let (mut sleep, deadline) = runtime.run(async || {
            let mut sleep = Box::pin(sleep(1000 * MS));
            let deadline = sleep.deadline();
            poll_fn(|cx| {
                assert!(sleep.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            (sleep, deadline)
        });
        if !is_same {
            runtime = virtual_time();
        }
        runtime.run(async || {
            // It is seen, and hears of cancels.
            let scope = CancelScope::with_deadline(now());
            let outcome = scope.run(async || sleep.as_mut().await).await;
            assert!(outcome.is_cancelled());
            sleep.as_mut().await.unwrap();
            assert!(now() >= deadline);
            assert_eq!(tree().tasks[0].waits.len(), 0);
        });
    }
}

#[test]
fn a_sleep_under_way_is_taken_over_by_the_next_loop() {
    let mut runtime = Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .unwrap();
    let (mut sleep,) = runtime.run(async || {
        let mut sleep = Box::pin(sleep(1000 * MS));
        poll_fn(|cx| {
            assert!(sleep.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        // In a tuple: what is returned is not to be awaited here.
        (sleep,)
    });
    runtime.run(async || {
        let start = now();
        let wait = droppable(poll_fn(|cx| sleep.as_mut().poll(cx)));
        assert_eq!(
            move_on_after(MS, async || wait.await?).await,
            Ok(None::<()>)
        );
        sleep.as_mut().await.unwrap();
        assert_eq!(now() - start, 1000 * MS);
    });
}

#[test]
fn a_reset_sleep_waits_again() {
    simulate(async || {
        let start = now();
        let mut sleep = pin!(sleep(MS));
        sleep.as_mut().await.unwrap();
        sleep.reset(start + 5 * MS);
        sleep.as_mut().await.unwrap();
        assert_eq!(now() - start, 5 * MS);
    });
}

#[test]
fn a_sleep_polled_by_two_tasks_wakes_the_last() {
    simulate(async || {
        let shared = Rc::new(RefCell::new(Box::pin(sleep(MS))));
        let first = spawn({
            let shared = Rc::clone(&shared);
            async move || {
                poll_fn(|cx| Poll::Ready(shared.borrow_mut().as_mut().poll(cx).is_pending())).await
            }
        });
        assert!(first.await.unwrap());
        poll_fn(|cx| shared.borrow_mut().as_mut().poll(cx))
            .await
            .unwrap();
    });
}

#[test]
fn what_is_ready_beats_its_deadline() {
    simulate(async || {
        let at_once = move_on_after(Duration::ZERO, async || Ok::<_, Cancelled>(1));
        assert_eq!(at_once.await, Ok(Some(1)));
        let deadline = now() + MS;
        let same = move_on_at(deadline, async || sleep_until(deadline).await);
        assert_eq!(same.await, Ok(Some(())));
    });
}

#[test]
fn an_interval_keeps_its_times() {
    simulate(async || {
        let start = now();
        let mut ticks = interval(10 * MS);
        for expected in [0, 10, 20, 30] {
            assert_eq!(ticks.tick().await.unwrap() - start, expected * MS);
            sleep(3 * MS).await.unwrap();
        }
    });
}

/// Ticks every 10 ms; the first tick is followed by 35 ms of something else. Returns when the next four ticks came.
fn ticks_after_a_delay(missed: MissedTicks) -> Vec<u128> {
    simulate(async || {
        let start = now();
        let mut ticks = interval_at(start, 10 * MS).with_missed_ticks(missed);
        ticks.tick().await.unwrap();
        sleep(35 * MS).await.unwrap();
        let mut came = Vec::new();
        for _ in 0..4 {
            ticks.tick().await.unwrap();
            came.push((now() - start).as_millis());
        }
        came
    })
}

#[test]
fn missed_ticks_are_made_up_for_skipped_or_delayed() {
    assert_eq!(ticks_after_a_delay(MissedTicks::Burst), [35, 35, 35, 40]);
    assert_eq!(ticks_after_a_delay(MissedTicks::Skip), [35, 40, 50, 60]);
    assert_eq!(ticks_after_a_delay(MissedTicks::Delay), [35, 45, 55, 65]);
}

#[test]
#[should_panic(expected = "longer than zero")]
fn an_interval_of_nothing_is_refused() {
    simulate(async || drop(interval(Duration::ZERO)));
}

#[test]
fn a_dropped_tick_is_still_to_come() {
    simulate(async || {
        let start = now();
        let mut ticks = interval_at(start + 10 * MS, 10 * MS);
        let tick = move_on_after(5 * MS, async || ticks.tick().await);
        assert_eq!(tick.await, Ok(None));
        assert_eq!(ticks.tick().await.unwrap() - start, 10 * MS);
    });
}

/// It was taken for the wait that was dropped: told with that one's line, and begun in a cancelled scope.
#[test]
fn a_tick_that_is_waited_for_again_begins_anew() {
    simulate(async || {
        let mut ticks = interval_at(now() + 10 * MS, 10 * MS);
        let line = line!() + 1;
        let wait = move_on_after(5 * MS, async || ticks.tick().await);
        assert_eq!(look(wait).await, [line]);
        let wait = ticks.tick();
        assert_eq!(look(wait).await, [line + 2]);
    });
}

/// Polls once, and returns on which lines a timer is waited for then.
async fn look(future: impl Future) -> Vec<u32> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    let tree = tree();
    let waits = tree.tasks.iter().flat_map(|task| &task.waits);
    waits
        .filter(|wait| wait.kind == "sleep")
        .map(|wait| wait.at.line())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..Default::default() })]

    /// The wheel against a sorted list: sleepers wake by deadline, then in the order in which they were made.
    #[test]
    fn sleepers_wake_in_order(exponents in prop::collection::vec((0u32..50, 0u64..8), 1..100)) {
        let durations: Vec<_> =
            exponents.iter().map(|(exponent, extra)| Duration::from_nanos((1 << exponent) + extra)).collect();
        let mut expected: Vec<usize> = (0..durations.len()).collect();
        expected.sort_by_key(|index| durations[*index]);
        prop_assert_eq!(wake_order(&durations), expected);
    }

    /// Sleepers that are cancelled at random moments disturb nobody: each of the others wakes exactly when it should.
    #[test]
    fn cancelled_sleepers_disturb_nobody(sleepers in prop::collection::vec((0u64..1 << 20, 0u64..1 << 20), 1..60)) {
        simulate(async || {
            let tasks: Vec<_> = sleepers
                .iter()
                .map(|(sleep_for, drop_after)| {
                    let (sleep_for, drop_after) = (Duration::from_nanos(*sleep_for), Duration::from_nanos(*drop_after));
                    let start = now();
                    spawn(async move || {
                        let kept = move_on_after(drop_after, async || sleep(sleep_for).await).await;
                        (kept.unwrap().is_some(), now() - start)
                    })
                })
                .collect();
            for (task, (sleep_for, drop_after)) in tasks.into_iter().zip(&sleepers) {
                let (kept, waited) = task.await.unwrap();
                assert_eq!(waited, Duration::from_nanos(*sleep_for.min(drop_after)));
                assert_eq!(kept, sleep_for <= drop_after);
            }
            yield_now().await.unwrap();
            assert!(tree().tasks.iter().all(|task| task.waits.is_empty()));
        });
    }
}
