//! `Condvar`: no notification is lost, and whoever goes on has the lock.
#![allow(
    clippy::needless_raw_string_hashes,
    reason = "`expect!` writes them so"
)]

mod sync_support;

use std::cell::Cell;
use std::mem;
use std::rc::Rc;
use std::task::Poll;

use antiphon::sync::{Condvar, Mutex};
use antiphon::{CancelScope, Cancelled, run, shield, spawn, yield_now};
use expect_test::expect;
use sync_support::cancels::{Place, cancel_tests, in_the_middle_of_a_queue};
use sync_support::{Count, Touch, check, hooked_waker, poll_once, poll_with, unhook};

#[test]
fn waiters_are_notified_in_their_order_and_have_the_lock() {
    check(
        async |trace| {
            let shared = Rc::new((Mutex::new(0), Condvar::new()));
            let tasks: Vec<_> = (0..4)
                .map(|n| {
                    let (shared, trace) = (Rc::clone(&shared), trace.clone());
                    spawn(async move || {
                        let mut guard =
                            shared.1.wait(shared.0.lock().await.unwrap()).await.unwrap();
                        *guard += 1;
                        trace.say(format_args!("task {n} makes it {guard}"));
                        yield_now().await.unwrap();
                    })
                })
                .collect();
            yield_now().await.unwrap();
            trace.say("one");
            assert!(shared.1.notify_one());
            yield_now().await.unwrap();
            trace.say("all");
            shared.1.notify_all();
            for task in tasks {
                task.await.unwrap();
            }
            assert!(
                !shared.1.notify_one(),
                "nobody waits, and it is not remembered"
            );
        },
        expect![[r#"
            one
            task 0 makes it 1
            all
            task 1 makes it 2
            task 2 makes it 3
            task 3 makes it 4
        "#]],
    );
}

#[test]
fn the_lock_is_held_until_the_first_poll_and_free_while_it_waits() {
    run(async || {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        let mut wait = condvar.wait(mutex.lock().await.unwrap());
        assert!(mutex.is_locked());
        assert!(poll_once(&mut wait).is_pending());
        assert!(!mutex.is_locked());
        drop(wait);
        assert!(!mutex.is_locked());
        drop(condvar.wait(mutex.lock().await.unwrap()));
        assert!(
            !mutex.is_locked(),
            "dropped before its first poll, it drops the guard"
        );
    });
}

#[test]
fn a_notified_waiter_stands_in_line_for_the_lock() {
    run(async || {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        let mut wait = condvar.wait(mutex.lock().await.unwrap());
        assert!(poll_once(&mut wait).is_pending());
        let guard = mutex.lock().await.unwrap();
        condvar.notify_one();
        assert!(
            poll_once(&mut wait).is_pending(),
            "notified, but another has the lock"
        );
        drop(guard);
        assert!(mutex.is_locked(), "handed to the waiter");
        assert!(poll_once(&mut wait).is_ready());
    });
}

/// asyncio's `test_wait_cancel_after_notify`.
#[test]
fn a_waiter_dropped_after_it_was_notified_passes_the_notification_on() {
    run(async || {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        let mut first = condvar.wait(mutex.lock().await.unwrap());
        assert!(poll_once(&mut first).is_pending());
        let mut second = condvar.wait(mutex.lock().await.unwrap());
        let (woken, waker) = Count::new();
        assert!(poll_with(&mut second, &waker).is_pending());
        condvar.notify_one();
        drop(first);
        assert_eq!(woken.get(), 1);
        assert!(poll_once(&mut second).is_ready());
    });
}

#[test]
fn a_notification_is_not_passed_on_to_those_who_came_after_it() {
    run(async || {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        let mut first = condvar.wait(mutex.lock().await.unwrap());
        assert!(poll_once(&mut first).is_pending());
        condvar.notify_one();
        let mut late = condvar.wait(mutex.lock().await.unwrap());
        assert!(poll_once(&mut late).is_pending());
        drop(first);
        assert!(poll_once(&mut late).is_pending());
        assert!(mutex.try_lock().is_some());
    });
}

#[test]
fn a_waiter_of_notify_all_that_goes_away_passes_nothing_on() {
    run(async || {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        let mut first = condvar.wait(mutex.lock().await.unwrap());
        assert!(poll_once(&mut first).is_pending());
        condvar.notify_all();
        let mut late = condvar.wait(mutex.lock().await.unwrap());
        assert!(poll_once(&mut late).is_pending());
        drop(first);
        assert!(poll_once(&mut late).is_pending());
    });
}

/// asyncio's `test_cancelled_wakeup_relock`: gone while it stands in line for the lock, it gives up its place there.
#[test]
fn a_waiter_dropped_while_it_locks_leaves_the_line_for_the_lock() {
    run(async || {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        let mut wait = condvar.wait(mutex.lock().await.unwrap());
        assert!(poll_once(&mut wait).is_pending());
        let guard = mutex.lock().await.unwrap();
        condvar.notify_one();
        assert!(poll_once(&mut wait).is_pending());
        let mut next = mutex.lock();
        assert!(poll_once(&mut next).is_pending());
        drop(guard);
        drop(wait);
        assert!(poll_once(&mut next).is_ready());
    });
}

#[test]
fn wait_while_does_not_wait_for_what_holds_already() {
    run(async || {
        let (mutex, condvar) = (Mutex::new(3), Condvar::new());
        let guard = condvar
            .wait_while(mutex.lock().await.unwrap(), |n| *n < 3)
            .await
            .unwrap();
        assert_eq!(*guard, 3);
    });
}

#[test]
fn wait_while_asks_again_after_each_notification() {
    check(
        async |trace| {
            let shared = Rc::new((Mutex::new(0), Condvar::new()));
            let task = spawn({
                let (shared, trace) = (Rc::clone(&shared), trace.clone());
                async move || {
                    let guard = shared.0.lock().await.unwrap();
                    let asks = |n: &mut i32| {
                        trace.say(format_args!("is {n} enough?"));
                        *n < 2
                    };
                    drop(shared.1.wait_while(guard, asks).await.unwrap());
                    trace.say("enough");
                }
            });
            for _ in 0..2 {
                yield_now().await.unwrap();
                *shared.0.lock().await.unwrap() += 1;
                shared.1.notify_one();
            }
            task.await.unwrap();
        },
        expect![[r#"
            is 0 enough?
            is 1 enough?
            is 2 enough?
            enough
        "#]],
    );
}

#[test]
fn a_forgotten_waiter_takes_one_notification_and_no_lock() {
    run(async || {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        let mut forgotten = condvar.wait(mutex.lock().await.unwrap());
        assert!(poll_once(&mut forgotten).is_pending());
        mem::forget(forgotten);
        let mut second = condvar.wait(mutex.lock().await.unwrap());
        assert!(poll_once(&mut second).is_pending());
        assert!(condvar.notify_one());
        assert!(poll_once(&mut second).is_pending());
        assert!(condvar.notify_one());
        assert!(poll_once(&mut second).is_ready());
    });
}

/// The notification comes while the waiter gives up the lock, from the one who gets it.
#[test]
fn a_notification_given_while_it_unlocks_is_not_missed() {
    run(async || {
        let shared: &'static (Mutex<()>, Condvar) = Box::leak(Box::default());
        let mut wait = shared.1.wait(shared.0.try_lock().unwrap());
        let mut next = shared.0.lock();
        let waker = hooked_waker(|touch| {
            if touch == Touch::Woken {
                assert!(shared.1.notify_one());
            }
        });
        assert!(poll_with(&mut next, &waker).is_pending());
        // It is notified within its own first poll, and goes on to wait for the lock.
        assert!(poll_once(&mut wait).is_pending());
        let Poll::Ready(Ok(guard)) = poll_once(&mut next) else {
            panic!("handed over")
        };
        drop(guard);
        assert!(poll_once(&mut wait).is_ready());
        unhook();
    });
}

/// Waits for a notification.
#[derive(Default)]
struct Notified {
    mutex: Mutex<()>,
    condvar: Condvar,
}

impl Place for Notified {
    type Error = Cancelled;

    const IS_REMEMBERED: bool = false;

    fn new() -> Self {
        Self::default()
    }

    async fn wait(&self) -> Result<(), Cancelled> {
        let guard = self.mutex.try_lock().expect("it is free while others wait");
        self.condvar.wait(guard).await.map(drop)
    }

    fn release(&self) {
        self.condvar.notify_one();
    }
}

/// Waits while a number is zero, and takes one from it.
#[derive(Default)]
struct NotZero {
    mutex: Mutex<u32>,
    condvar: Condvar,
}

impl Place for NotZero {
    type Error = Cancelled;

    fn new() -> Self {
        Self::default()
    }

    async fn wait(&self) -> Result<(), Cancelled> {
        let guard = self.mutex.try_lock().expect("it is free while others wait");
        *self.condvar.wait_while(guard, |n| *n == 0).await? -= 1;
        Ok(())
    }

    fn release(&self) {
        *self.mutex.try_lock().expect("it is free while others wait") += 1;
        self.condvar.notify_one();
    }
}

cancel_tests!(cancelled: Notified, cancelled_while: NotZero);

#[test]
fn a_cancelled_waiter_lets_those_behind_it_move_up() {
    in_the_middle_of_a_queue::<Notified>();
    in_the_middle_of_a_queue::<NotZero>();
}

/// asyncio's `test_cancelled_wakeup_relock`: notified, and cancelled while it stands in line for the lock. It does not wait
/// for the lock, which is somebody else's for long, and its notification goes to the next.
#[test]
fn a_waiter_cancelled_while_it_locks_passes_the_notification_on() {
    check(
        async |trace| {
            let shared = Rc::new((Mutex::new(()), Condvar::new()));
            let scope = CancelScope::new();
            let first = spawn({
                let (shared, trace, scope) = (Rc::clone(&shared), trace.clone(), scope.clone());
                async move || {
                    let outcome = scope.run(async || {
                        let guard = shared.0.lock().await?;
                        shared.1.wait(guard).await.map(drop)
                    });
                    assert!(outcome.await.is_cancelled());
                    trace.say("the first is cancelled");
                }
            });
            let second = spawn({
                let (shared, trace) = (Rc::clone(&shared), trace.clone());
                async move || {
                    let guard = shared.0.lock().await.unwrap();
                    let _guard = shared.1.wait(guard).await.unwrap();
                    trace.say("the second is notified, and has the lock");
                }
            });
            yield_now().await.unwrap();
            let guard = shared.0.lock().await.unwrap();
            shared.1.notify_one();
            yield_now().await.unwrap();
            scope.cancel("on purpose");
            first.await.unwrap();
            trace.say("the lock is given back");
            drop(guard);
            second.await.unwrap();
            assert!(!shared.0.is_locked());
        },
        expect![[r#"
            the first is cancelled
            the lock is given back
            the second is notified, and has the lock
        "#]],
    );
}

/// The same, but the cancel comes before it has run at all since it was notified.
#[test]
fn a_waiter_notified_and_cancelled_at_once_passes_the_notification_on_if_it_would_have_to_wait() {
    run(async || {
        let shared = Rc::new((Mutex::new(()), Condvar::new()));
        let scope = CancelScope::new();
        let first = spawn({
            let (shared, scope) = (Rc::clone(&shared), scope.clone());
            async move || {
                let outcome = scope.run(async || {
                    let guard = shared.0.lock().await?;
                    shared.1.wait(guard).await.map(drop)
                });
                outcome.await.is_cancelled()
            }
        });
        yield_now().await.unwrap();
        let mut second = shared.1.wait(shared.0.lock().await.unwrap());
        assert!(poll_once(&mut second).is_pending());
        let guard = shared.0.lock().await.unwrap();
        shared.1.notify_one();
        scope.cancel("at the same moment");
        assert!(first.await.unwrap());
        drop(guard);
        assert!(poll_once(&mut second).is_ready());
    });
}

/// It was handed the lock already: it has it, and the next wait is the one that ends.
#[test]
fn a_waiter_that_was_handed_the_lock_before_the_cancel_goes_on() {
    run(async || {
        let shared = Rc::new((Mutex::new(()), Condvar::new()));
        let scope = CancelScope::new();
        let task = spawn({
            let (shared, scope) = (Rc::clone(&shared), scope.clone());
            async move || {
                let outcome = scope.run(async || {
                    let guard = shared.0.lock().await?;
                    let guard = shared.1.wait(guard).await.unwrap();
                    yield_now().await?;
                    drop(guard);
                    Ok::<(), Cancelled>(())
                });
                outcome.await.is_cancelled()
            }
        });
        yield_now().await.unwrap();
        let guard = shared.0.lock().await.unwrap();
        shared.1.notify_one();
        yield_now().await.unwrap();
        drop(guard);
        scope.cancel("too late for that one");
        assert!(task.await.unwrap());
        assert!(!shared.0.is_locked());
    });
}

/// A notification that is dropped on the way to the lock is not lost either.
#[test]
fn a_waiter_dropped_while_it_locks_passes_the_notification_on() {
    run(async || {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        let mut first = condvar.wait(mutex.lock().await.unwrap());
        assert!(poll_once(&mut first).is_pending());
        let mut second = condvar.wait(mutex.lock().await.unwrap());
        assert!(poll_once(&mut second).is_pending());
        let guard = mutex.lock().await.unwrap();
        condvar.notify_one();
        assert!(poll_once(&mut first).is_pending(), "in line for the lock");
        drop(first);
        drop(guard);
        assert!(poll_once(&mut second).is_ready());
    });
}

#[test]
fn a_wait_that_is_refused_gives_up_the_lock_that_went_in() {
    run(async || {
        let (mutex, condvar) = (Mutex::new(()), Condvar::new());
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            let guard = mutex.lock().await?;
            scope.cancel("on purpose");
            let error = condvar.wait(guard).await.map(drop).unwrap_err();
            assert!(!mutex.is_locked());
            let guard = shield(async || mutex.lock().await).await.unwrap();
            let asked = Cell::new(false);
            let refused = condvar.wait_while(guard, |()| {
                asked.set(true);
                false
            });
            assert!(refused.await.is_err());
            assert!(!asked.get() && !mutex.is_locked());
            Err::<(), _>(error)
        });
        assert!(outcome.await.is_cancelled());
    });
}
