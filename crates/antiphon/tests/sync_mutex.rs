//! `Mutex`: hand-off in order, whatever goes away meanwhile.
#![allow(
    clippy::needless_raw_string_hashes,
    reason = "`expect!` writes them so"
)]

mod sync_support;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use antiphon::sync::{Mutex, MutexGuard, MutexLock};
use antiphon::{CancelScope, Cancelled, Outcome, run, spawn, yield_now};
use expect_test::expect;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use proptest::prelude::*;
use sync_support::cancels::{Place, cancel_tests, in_the_middle_of_a_queue};
use sync_support::{Count, STEPS, Touch, check, hooked_waker, poll_once, poll_with, tries, unhook};

/// asyncio's `test_acquire_fifo_order_2` to `_4`.
#[test]
fn tasks_lock_in_the_order_in_which_they_asked() {
    check(
        async |trace| {
            let mutex = Rc::new(Mutex::new(()));
            let tasks: Vec<_> = (0..3)
                .map(|n| {
                    let (mutex, trace) = (Rc::clone(&mutex), trace.clone());
                    spawn(async move || {
                        for round in 0..2 {
                            let _guard = mutex.lock().await.unwrap();
                            trace.say(format_args!("task {n} locks, round {round}"));
                            yield_now().await.unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        },
        expect![[r#"
            task 0 locks, round 0
            task 1 locks, round 0
            task 2 locks, round 0
            task 0 locks, round 1
            task 1 locks, round 1
            task 2 locks, round 1
        "#]],
    );
}

#[test]
fn a_free_lock_needs_no_loop() {
    let mutex = Mutex::new(1);
    let Poll::Ready(Ok(mut guard)) = poll_once(&mut mutex.lock()) else {
        panic!("it is free")
    };
    *guard += 1;
    drop(guard);
    assert_eq!(mutex.into_inner(), 2);
}

#[test]
#[should_panic(expected = "no event loop is running on this thread")]
fn waiting_without_a_loop_says_so() {
    let mutex = Mutex::new(());
    let _guard = mutex.try_lock().unwrap();
    let _ = poll_once(&mut mutex.lock());
}

#[test]
fn nobody_overtakes_one_that_was_handed_the_lock() {
    run(async || {
        let mutex = Mutex::new(());
        let guard = mutex.try_lock().unwrap();
        let mut waiter = mutex.lock();
        assert!(poll_once(&mut waiter).is_pending());
        drop(guard);
        assert!(
            mutex.is_locked(),
            "the lock went over without ever being free"
        );
        assert!(mutex.try_lock().is_none());
        let mut late = mutex.lock();
        assert!(poll_once(&mut late).is_pending());
        let Poll::Ready(Ok(guard)) = poll_once(&mut waiter) else {
            panic!("it was handed the lock")
        };
        drop(guard);
        assert!(poll_once(&mut late).is_ready());
    });
}

#[test]
fn a_future_dropped_before_its_first_poll_was_never_there() {
    run(async || {
        let mutex = Mutex::new(());
        let guard = mutex.try_lock().unwrap();
        drop(mutex.lock());
        drop(guard);
        assert!(!mutex.is_locked());
    });
}

#[test]
fn a_future_dropped_while_it_waits_lets_the_others_move_up() {
    run(async || {
        let mutex = Mutex::new(());
        let guard = mutex.try_lock().unwrap();
        let [mut first, mut middle, mut last] = [mutex.lock(), mutex.lock(), mutex.lock()];
        for lock in [&mut first, &mut middle, &mut last] {
            assert!(poll_once(lock).is_pending());
        }
        drop(middle);
        drop(guard);
        let Poll::Ready(Ok(guard)) = poll_once(&mut first) else {
            panic!("first come")
        };
        assert!(poll_once(&mut last).is_pending());
        drop(guard);
        assert!(poll_once(&mut last).is_ready());
    });
}

/// asyncio's `test_cancel_race` and `test_cancel_release_race`: the one that was woken goes away before it runs.
#[test]
fn a_future_dropped_after_it_was_chosen_hands_the_lock_on() {
    run(async || {
        let mutex = Mutex::new(());
        let guard = mutex.try_lock().unwrap();
        let [mut first, mut second] = [mutex.lock(), mutex.lock()];
        let (first_woken, waker) = Count::new();
        assert!(poll_with(&mut first, &waker).is_pending());
        let (second_woken, waker) = Count::new();
        assert!(poll_with(&mut second, &waker).is_pending());

        drop(guard);
        assert_eq!((first_woken.get(), second_woken.get()), (1, 0));
        drop(first);
        assert_eq!((first_woken.get(), second_woken.get()), (1, 1));
        assert!(poll_once(&mut second).is_ready());
        assert!(!mutex.is_locked());
    });
}

#[test]
fn a_future_dropped_after_it_was_chosen_frees_the_lock_if_nobody_waits() {
    run(async || {
        let mutex = Mutex::new(());
        let guard = mutex.try_lock().unwrap();
        let mut only = mutex.lock();
        assert!(poll_once(&mut only).is_pending());
        drop(guard);
        drop(only);
        assert!(!mutex.is_locked());
    });
}

#[test]
fn a_future_dropped_after_it_was_done_does_nothing() {
    run(async || {
        let mutex = Mutex::new(());
        let guard = mutex.try_lock().unwrap();
        let mut lock = mutex.lock();
        assert!(poll_once(&mut lock).is_pending());
        drop(guard);
        let guard = poll_once(&mut lock);
        drop(lock);
        assert!(mutex.is_locked());
        drop(guard);
        assert!(!mutex.is_locked());
    });
}

#[test]
fn the_last_waker_is_woken() {
    run(async || {
        let mutex = Mutex::new(());
        let guard = mutex.try_lock().unwrap();
        let mut lock = mutex.lock();
        let (old, waker) = Count::new();
        assert!(poll_with(&mut lock, &waker).is_pending());
        let (new, waker) = Count::new();
        assert!(poll_with(&mut lock, &waker).is_pending());
        drop(guard);
        assert_eq!((old.get(), new.get()), (0, 1));
    });
}

#[test]
fn a_forgotten_future_keeps_its_place_and_the_lock_that_it_is_handed() {
    run(async || {
        let mutex = Mutex::new(());
        let guard = mutex.try_lock().unwrap();
        let mut forgotten = mutex.lock();
        let mut next = mutex.lock();
        assert!(poll_once(&mut forgotten).is_pending());
        assert!(poll_once(&mut next).is_pending());
        mem::forget(forgotten);
        drop(guard);
        assert!(poll_once(&mut next).is_pending());
        drop(next);
        assert!(mutex.is_locked());
    });
}

#[test]
fn a_forgotten_guard_keeps_the_lock() {
    let mut mutex = Mutex::new(7);
    mem::forget(mutex.try_lock());
    assert!(mutex.try_lock().is_none());
    assert_eq!(*mutex.get_mut(), 7);
}

#[test]
fn a_lock_outlives_the_loop_and_those_who_waited_in_it() {
    let mutex = Mutex::new(());
    let guard = mutex.try_lock().unwrap();
    run(async || {
        let mut forgotten = mutex.lock();
        assert!(poll_once(&mut forgotten).is_pending());
        mem::forget(forgotten);
    });
    drop(guard);
    assert!(
        !mutex.is_locked(),
        "the queue of a loop that has ended is empty"
    );
    run(async || drop(mutex.lock().await.unwrap()));
}

#[test]
fn a_panic_unlocks_and_poisons_nothing() {
    run(async || {
        let mutex = Rc::new(Mutex::new(0));
        let task = spawn({
            let mutex = Rc::clone(&mutex);
            async move || {
                *mutex.lock().await.unwrap() = 1;
                let _guard = mutex.lock().await.unwrap();
                panic!("in the critical section");
            }
        });
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(*mutex.lock().await.unwrap(), 1);
    });
}

#[test]
fn a_combinator_with_wakers_of_its_own_waits_in_order() {
    check(
        async |trace| {
            let mutex = Mutex::new(0);
            let guard = mutex.lock().await.unwrap();
            let waits: FuturesUnordered<_> = (0..3)
                .map(|n| {
                    let (mutex, trace) = (&mutex, &trace);
                    async move {
                        let mut guard = mutex.lock().await.unwrap();
                        yield_now().await.unwrap();
                        *guard += 1;
                        trace.say(format_args!("{n} makes it {guard}"));
                    }
                })
                .collect();
            let mut collected = Box::pin(waits.collect::<Vec<_>>());
            assert!(poll_once(&mut collected).is_pending());
            drop(guard);
            collected.await;
        },
        expect![[r#"
            0 makes it 1
            1 makes it 2
            2 makes it 3
        "#]],
    );
}

/// The lock is freed while its next waiter joins, which does not stand in the queue yet.
#[test]
fn a_waker_that_unlocks_when_it_is_cloned_is_not_missed() {
    run(async || {
        let mutex: &'static Mutex<()> = Box::leak(Box::new(Mutex::new(())));
        let guard = RefCell::new(Some(mutex.try_lock().unwrap()));
        let waker = hooked_waker(move |touch| {
            if touch == Touch::Cloned {
                drop(guard.take());
            }
        });
        let mut lock = mutex.lock();
        assert!(poll_with(&mut lock, &waker).is_pending());
        assert!(poll_with(&mut lock, &waker).is_ready());
        unhook();
    });
}

/// Waking runs the next waiter at once, inside the destructor of the guard.
#[test]
fn a_waker_may_lock_and_unlock_while_it_is_woken() {
    check(
        async |trace| {
            let mutex: &'static Mutex<u32> = Box::leak(Box::new(Mutex::new(0)));
            let first = Rc::new(RefCell::new(mutex.lock()));
            let guard = mutex.try_lock().unwrap();
            let waker = hooked_waker({
                let (first, trace) = (Rc::clone(&first), trace.clone());
                move |touch| {
                    if touch == Touch::Woken {
                        let Poll::Ready(Ok(mut guard)) = poll_once(&mut *first.borrow_mut()) else {
                            panic!("handed over")
                        };
                        *guard += 1;
                        trace.say(format_args!("inside the waker: {guard}, {mutex:?}"));
                    }
                }
            });
            assert!(poll_with(&mut *first.borrow_mut(), &waker).is_pending());
            drop(guard);
            trace.say(format_args!("afterwards: {mutex:?}"));
            unhook();
        },
        expect![[r#"
            inside the waker: 1, Mutex { value: <locked>, .. }
            afterwards: Mutex { value: 1, .. }
        "#]],
    );
}

#[test]
fn a_waker_may_drop_other_waiters_while_it_is_woken() {
    run(async || {
        let mutex: &'static Mutex<()> = Box::leak(Box::new(Mutex::new(())));
        let guard = mutex.try_lock().unwrap();
        let [mut first, mut second, mut third] = [mutex.lock(), mutex.lock(), mutex.lock()];
        let others = Rc::new(RefCell::new(None));
        let waker = hooked_waker({
            let others = Rc::clone(&others);
            move |touch| {
                if touch == Touch::Woken {
                    drop(others.take());
                }
            }
        });
        assert!(poll_with(&mut first, &waker).is_pending());
        assert!(poll_once(&mut second).is_pending());
        assert!(poll_once(&mut third).is_pending());
        *others.borrow_mut() = Some((second, third));
        drop(guard);
        drop(first);
        assert!(!mutex.is_locked());
        unhook();
    });
}

#[test]
fn what_is_locked_need_not_be_sized() {
    run(async || {
        let mutex: Rc<Mutex<[u8]>> = Rc::new(Mutex::new([1, 2, 3]));
        mutex.lock().await.unwrap()[1] = 7;
        assert_eq!(*mutex.lock().await.unwrap(), [1, 7, 3]);
    });
}

/// One step of the model, on one of a few futures.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Polls the future, making it first if there is none.
    Poll(usize),
    /// Drops the future or the guard.
    Drop(usize),
    /// Asks for the lock without waiting, and gives it back.
    Try,
}

enum Slot<'a> {
    Empty,
    Waiting(MutexLock<'a, ()>, Arc<Count>),
    Holding(#[allow(dead_code, reason = "held to be dropped")] MutexGuard<'a, ()>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![4 => (0..5_usize).prop_map(Step::Poll), 3 => (0..5_usize).prop_map(Step::Drop), 1 => Just(Step::Try)]
}

proptest! {
    #![proptest_config(tries())]

    /// The lock is a queue of those who asked, the first of which has it.
    #[test]
    fn the_lock_is_a_queue(steps in proptest::collection::vec(step(), 1..STEPS)) {
        run(async || {
            let mutex = Mutex::new(());
            let mut slots: [Slot<'_>; 5] = std::array::from_fn(|_| Slot::Empty);
            let mut queue = VecDeque::new();
            for step in steps {
                match step {
                    Step::Poll(index) => {
                        if matches!(slots[index], Slot::Empty) {
                            slots[index] = Slot::Waiting(mutex.lock(), Count::new().0);
                            queue.push_back(index);
                        }
                        if let Slot::Waiting(lock, count) = &mut slots[index] {
                            let poll = poll_with(lock, &Arc::clone(count).into());
                            prop_assert_eq!(poll.is_ready(), queue[0] == index);
                            if let Poll::Ready(Ok(guard)) = poll {
                                slots[index] = Slot::Holding(guard);
                            }
                        }
                    }
                    Step::Drop(index) => {
                        queue.retain(|waiting| *waiting != index);
                        slots[index] = Slot::Empty;
                    }
                    Step::Try => {
                        let guard = mutex.try_lock();
                        prop_assert_eq!(guard.is_some(), queue.is_empty());
                    }
                }
                prop_assert_eq!(mutex.is_locked(), !queue.is_empty());
                for (index, slot) in slots.iter().enumerate() {
                    if let Slot::Waiting(_, count) = slot {
                        prop_assert_eq!(count.get(), usize::from(queue[0] == index), "woken once, when it is the first");
                    }
                }
            }
            Ok(())
        })?;
    }
}

/// A lock that somebody has.
struct Locked(&'static Mutex<()>, RefCell<Option<MutexGuard<'static, ()>>>);

impl Place for Locked {
    type Error = Cancelled;

    fn new() -> Self {
        let mutex: &'static Mutex<()> = Box::leak(Box::default());
        Self(mutex, RefCell::new(mutex.try_lock()))
    }

    async fn wait(&self) -> Result<(), Cancelled> {
        self.0.lock().await.map(drop)
    }

    fn release(&self) {
        drop(self.1.take());
    }
}

cancel_tests!(cancelled: Locked);

#[test]
fn a_cancelled_waiter_lets_those_behind_it_move_up() {
    in_the_middle_of_a_queue::<Locked>();
}

/// asyncio's `test_cancel_race`: of two waiters the first is cancelled while the lock is on its way to it. There the
/// second is woken in its place; here the first has the lock, and the second gets it from there.
#[test]
fn a_lock_on_its_way_to_a_cancelled_waiter_arrives_and_goes_on_from_there() {
    check(
        async |trace| {
            let mutex = Rc::new(Mutex::new(()));
            let guard = mutex.lock().await.unwrap();
            let scope = CancelScope::new();
            let first = spawn({
                let (mutex, trace, scope) = (Rc::clone(&mutex), trace.clone(), scope.clone());
                async move || {
                    let outcome = scope.run(async || {
                        let _guard = mutex.lock().await?;
                        trace.say("the first has the lock");
                        yield_now().await
                    });
                    assert!(outcome.await.is_cancelled());
                    trace.say("the first is cancelled, and has unlocked");
                }
            });
            let second = spawn({
                let (mutex, trace) = (Rc::clone(&mutex), trace.clone());
                async move || {
                    let _guard = mutex.lock().await.unwrap();
                    trace.say("the second has the lock");
                }
            });
            yield_now().await.unwrap();
            drop(guard);
            scope.cancel("at the same moment");
            first.await.unwrap();
            second.await.unwrap();
            assert!(!mutex.is_locked());
        },
        expect![[r#"
            the first has the lock
            the first is cancelled, and has unlocked
            the second has the lock
        "#]],
    );
}

/// asyncio's `test_cancel_release_race` and `test_acquire_hang`: the lock is given back, and all who wait but the last are
/// cancelled before they run. The last one gets it.
#[test]
fn a_lock_does_not_hang_between_cancelled_waiters() {
    run(async || {
        let mutex = Rc::new(Mutex::new(()));
        let guard = mutex.lock().await.unwrap();
        let scope = CancelScope::new();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let (mutex, scope) = (Rc::clone(&mutex), CancelScope::new());
                let task = spawn({
                    let scope = scope.clone();
                    async move || scope.run(async || mutex.lock().await.map(drop)).await
                });
                (scope, task)
            })
            .collect();
        let last = spawn({
            let (mutex, scope) = (Rc::clone(&mutex), scope.clone());
            async move || scope.run(async || mutex.lock().await.map(drop)).await
        });
        yield_now().await.unwrap();
        for (scope, _) in &waiting[1..] {
            scope.cancel("before the lock is given back");
        }
        drop(guard);
        waiting[0].0.cancel("after it was");
        let mut ends = Vec::new();
        for (_, task) in waiting {
            ends.push(task.await.unwrap().is_cancelled());
        }
        assert_eq!(ends, [false, true, true]);
        assert_eq!(last.await.unwrap(), Outcome::Done(()));
        assert!(!mutex.is_locked());
    });
}

#[test]
fn a_cancelled_scope_does_not_keep_from_trying() {
    run(async || {
        let mutex = Mutex::new(());
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            scope.cancel("on purpose");
            assert!(mutex.try_lock().is_some());
            assert!(mutex.lock().await.is_err());
            Ok::<_, Cancelled>("it is not a wait")
        });
        assert_eq!(outcome.await, Outcome::Done("it is not a wait"));
    });
}

/// The scope is cancelled while the waiter joins, by the clone of its waker: nobody else will wake it.
#[test]
fn a_waker_that_cancels_when_it_is_cloned_is_woken() {
    run(async || {
        let mutex: &'static Mutex<()> = Box::leak(Box::default());
        let _guard = mutex.try_lock().unwrap();
        let scope = CancelScope::new();
        let woken = Rc::new(Cell::new(0));
        let outcome = scope.run(async || {
            let waker = hooked_waker({
                let (scope, woken) = (scope.clone(), Rc::clone(&woken));
                move |touch| match touch {
                    Touch::Cloned => drop(scope.cancel("on purpose")),
                    Touch::Woken => woken.set(woken.get() + 1),
                    Touch::Dropped => {}
                }
            });
            let mut lock = mutex.lock();
            assert!(poll_with(&mut lock, &waker).is_pending());
            assert_eq!(woken.get(), 1);
            let Poll::Ready(Err(cancelled)) = poll_with(&mut lock, &waker) else {
                panic!("it ends")
            };
            Err::<(), _>(cancelled)
        });
        assert!(outcome.await.is_cancelled());
        unhook();
    });
}

/// The flag that says so stayed set on the thread when a loop had ended with tasks left.
#[test]
fn after_a_cancelled_loop_a_free_lock_still_needs_none() {
    run(async || drop(spawn(async || yield_now().await)));
    assert!(poll_once(&mut Mutex::new(()).lock()).is_ready());
}

/// A cancel cloned the wakers that it wakes, while their list was borrowed.
#[test]
fn a_cancel_wakes_a_foreign_waker_and_does_not_clone_it() {
    run(async || {
        let mutex: &'static Mutex<()> = Box::leak(Box::default());
        let _guard = mutex.try_lock().unwrap();
        let scope = CancelScope::new();
        let (cloned, woken) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let outcome = scope.run(async || {
            let waker = hooked_waker({
                let (cloned, woken) = (Rc::clone(&cloned), Rc::clone(&woken));
                move |touch| match touch {
                    Touch::Cloned => cloned.set(cloned.get() + 1),
                    Touch::Woken => woken.set(woken.get() + 1),
                    Touch::Dropped => {}
                }
            });
            let mut lock = mutex.lock();
            assert!(poll_with(&mut lock, &waker).is_pending());
            let before = cloned.get();
            scope.cancel("on purpose");
            assert_eq!((cloned.get() - before, woken.get()), (0, 1));
            let Poll::Ready(Err(cancelled)) = poll_with(&mut lock, &waker) else {
                panic!("it ends")
            };
            Err::<(), _>(cancelled)
        });
        assert!(outcome.await.is_cancelled());
        unhook();
    });
}
