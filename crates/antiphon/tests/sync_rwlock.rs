//! `RwLock`: one queue for readers and writers.
#![allow(
    clippy::needless_raw_string_hashes,
    reason = "`expect!` writes them so"
)]

mod sync_support;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::rc::Rc;
use std::task::Poll;

use antiphon::sync::{RwLock, RwLockRead, RwLockReadGuard, RwLockWrite, RwLockWriteGuard};
use antiphon::{CancelScope, Cancelled, run, spawn, yield_now};
use expect_test::expect;
use proptest::prelude::*;
use sync_support::cancels::{Place, cancel_tests, in_the_middle_of_a_queue};
use sync_support::{STEPS, check, poll_once, tries};

#[test]
fn readers_go_together_and_writers_alone_in_the_order_in_which_they_asked() {
    check(
        async |trace| {
            let lock = Rc::new(RwLock::new(0));
            let guard = lock.write().await.unwrap();
            let tasks: Vec<_> = ["read", "read", "write", "read", "write"]
                .into_iter()
                .enumerate()
                .map(|(n, what)| {
                    let (lock, trace) = (Rc::clone(&lock), trace.clone());
                    spawn(async move || {
                        if what == "read" {
                            let guard = lock.read().await.unwrap();
                            trace.say(format_args!("{n} reads {guard:?}"));
                            yield_now().await.unwrap();
                            trace.say(format_args!("{n} has read"));
                        } else {
                            let mut guard = lock.write().await.unwrap();
                            *guard += 1;
                            trace.say(format_args!("{n} writes {guard:?}"));
                            yield_now().await.unwrap();
                            trace.say(format_args!("{n} has written"));
                        }
                    })
                })
                .collect();
            yield_now().await.unwrap();
            drop(guard);
            for task in tasks {
                task.await.unwrap();
            }
        },
        expect![[r#"
            0 reads 0
            1 reads 0
            0 has read
            1 has read
            2 writes 1
            2 has written
            3 reads 1
            3 has read
            4 writes 2
            4 has written
        "#]],
    );
}

#[test]
fn a_reader_does_not_overtake_a_writer_that_waits() {
    run(async || {
        let lock = RwLock::new(());
        let reading = lock.try_read().unwrap();
        assert!(lock.try_read().is_some());
        let mut write = lock.write();
        assert!(poll_once(&mut write).is_pending());
        assert!(lock.try_read().is_none());
        let mut read = lock.read();
        assert!(poll_once(&mut read).is_pending());
        drop(reading);
        assert!(poll_once(&mut read).is_pending());
        assert!(poll_once(&mut write).is_ready());
        assert!(poll_once(&mut read).is_ready());
    });
}

#[test]
fn a_writer_that_goes_away_makes_way_for_the_readers_behind_it() {
    run(async || {
        let lock = RwLock::new(());
        let _reading = lock.try_read().unwrap();
        let (mut write, mut read) = (lock.write(), lock.read());
        assert!(poll_once(&mut write).is_pending());
        assert!(poll_once(&mut read).is_pending());
        drop(write);
        assert!(poll_once(&mut read).is_ready());
    });
}

#[test]
fn a_chosen_writer_that_goes_away_passes_the_lock_on() {
    run(async || {
        let lock = RwLock::new(());
        let reading = lock.try_read().unwrap();
        let (mut write, mut read) = (lock.write(), lock.read());
        assert!(poll_once(&mut write).is_pending());
        assert!(poll_once(&mut read).is_pending());
        drop(reading);
        drop(write);
        assert!(poll_once(&mut read).is_ready());
    });
}

#[test]
fn a_chosen_reader_that_goes_away_is_counted_out() {
    run(async || {
        let lock = RwLock::new(());
        let writing = lock.try_write().unwrap();
        let (mut read, mut write) = (lock.read(), lock.write());
        assert!(poll_once(&mut read).is_pending());
        assert!(poll_once(&mut write).is_pending());
        drop(writing);
        drop(read);
        assert!(poll_once(&mut write).is_ready());
    });
}

#[test]
fn forgotten_guards_and_futures_keep_the_lock() {
    run(async || {
        let lock = RwLock::new(());
        mem::forget(lock.try_read());
        assert!(lock.try_write().is_none());
        assert!(lock.try_read().is_some());

        let lock = RwLock::new(());
        let writing = lock.try_write().unwrap();
        let mut read = lock.read();
        assert!(poll_once(&mut read).is_pending());
        mem::forget(read);
        drop(writing);
        assert!(lock.try_write().is_none());
        assert!(lock.try_read().is_some());
        assert_eq!(format!("{lock:?}"), "RwLock { value: (), .. }");
    });
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Read(usize),
    Write(usize),
    Poll(usize),
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6_usize).prop_map(Step::Read),
        (0..6_usize).prop_map(Step::Write),
        (0..6_usize).prop_map(Step::Poll),
        (0..6_usize).prop_map(Step::Drop),
    ]
}

#[allow(dead_code, reason = "guards are held to be dropped")]
enum Slot<'a> {
    Empty,
    Read(RwLockRead<'a, ()>),
    Write(RwLockWrite<'a, ()>),
    Reading(RwLockReadGuard<'a, ()>),
    Writing(RwLockWriteGuard<'a, ()>),
}

/// Who is let in of a queue of `(index, writes)`: the readers at its front, or the writer there.
fn let_in(queue: &VecDeque<(usize, bool)>, index: usize) -> bool {
    let readers = queue.iter().take_while(|(_, writes)| !writes).count();
    queue
        .iter()
        .take(readers.max(1))
        .any(|(found, _)| *found == index)
}

proptest! {
    #![proptest_config(tries())]

    /// The lock is a queue of those who asked, at the front of which readers or one writer have it. A reader that gives
    /// it back from between others leaves the rest as it is.
    #[test]
    fn the_lock_is_a_queue(steps in proptest::collection::vec(step(), 1..STEPS)) {
        run(async || {
            let lock = RwLock::new(());
            let mut slots: [Slot<'_>; 6] = std::array::from_fn(|_| Slot::Empty);
            let mut queue = VecDeque::new();
            for step in steps {
                match step {
                    Step::Read(index) if matches!(slots[index], Slot::Empty) => {
                        slots[index] = Slot::Read(lock.read());
                        queue.push_back((index, false));
                    }
                    Step::Write(index) if matches!(slots[index], Slot::Empty) => {
                        slots[index] = Slot::Write(lock.write());
                        queue.push_back((index, true));
                    }
                    Step::Drop(index) => {
                        queue.retain(|(found, _)| *found != index);
                        slots[index] = Slot::Empty;
                    }
                    _ => {}
                }
                // Those who ask stand in the queue from their first poll on, so they are polled at once.
                if let Step::Poll(index) | Step::Read(index) | Step::Write(index) = step {
                    let expected = let_in(&queue, index);
                    match &mut slots[index] {
                        Slot::Read(read) => {
                            let poll = poll_once(read);
                            prop_assert_eq!(poll.is_ready(), expected);
                            if let Poll::Ready(guard) = poll {
                                slots[index] = Slot::Reading(guard.unwrap());
                            }
                        }
                        Slot::Write(write) => {
                            let poll = poll_once(write);
                            prop_assert_eq!(poll.is_ready(), expected);
                            if let Poll::Ready(guard) = poll {
                                slots[index] = Slot::Writing(guard.unwrap());
                            }
                        }
                        Slot::Empty | Slot::Reading(_) | Slot::Writing(_) => {}
                    }
                }
                prop_assert_eq!(lock.try_write().is_some(), queue.is_empty());
                prop_assert_eq!(lock.try_read().is_some(), queue.iter().all(|(_, writes)| !writes));
            }
            Ok(())
        })?;
    }
}

/// A lock that somebody writes, waited for to read it.
struct ReadWhileWritten(
    &'static RwLock<()>,
    RefCell<Option<RwLockWriteGuard<'static, ()>>>,
);

impl Place for ReadWhileWritten {
    type Error = Cancelled;

    fn new() -> Self {
        let lock: &'static RwLock<()> = Box::leak(Box::default());
        Self(lock, RefCell::new(lock.try_write()))
    }

    async fn wait(&self) -> Result<(), Cancelled> {
        self.0.read().await.map(drop)
    }

    fn release(&self) {
        drop(self.1.take());
    }
}

/// A lock that somebody reads, waited for to write it.
struct WriteWhileRead(
    &'static RwLock<()>,
    RefCell<Option<RwLockReadGuard<'static, ()>>>,
);

impl Place for WriteWhileRead {
    type Error = Cancelled;

    fn new() -> Self {
        let lock: &'static RwLock<()> = Box::leak(Box::default());
        Self(lock, RefCell::new(lock.try_read()))
    }

    async fn wait(&self) -> Result<(), Cancelled> {
        self.0.write().await.map(drop)
    }

    fn release(&self) {
        drop(self.1.take());
    }
}

cancel_tests!(cancelled_reader: ReadWhileWritten, cancelled_writer: WriteWhileRead);

#[test]
fn a_cancelled_waiter_lets_those_behind_it_move_up() {
    in_the_middle_of_a_queue::<ReadWhileWritten>();
    in_the_middle_of_a_queue::<WriteWhileRead>();
}

#[test]
fn a_writer_that_is_cancelled_makes_way_for_the_readers_behind_it() {
    check(
        async |trace| {
            let lock = Rc::new(RwLock::new(()));
            let _reading = lock.read().await.unwrap();
            let scope = CancelScope::new();
            let writer = spawn({
                let (lock, trace, scope) = (Rc::clone(&lock), trace.clone(), scope.clone());
                async move || {
                    let outcome = scope.run(async || lock.write().await.map(drop)).await;
                    trace.say(format_args!("writer cancelled: {}", outcome.is_cancelled()));
                }
            });
            let readers = [1, 2].map(|n| {
                let (lock, trace) = (Rc::clone(&lock), trace.clone());
                spawn(async move || {
                    let _guard = lock.read().await.unwrap();
                    trace.say(format_args!("{n} reads"));
                    yield_now().await.unwrap();
                    trace.say(format_args!("{n} has read"));
                })
            });
            yield_now().await.unwrap();
            scope.cancel("on purpose");
            writer.await.unwrap();
            for reader in readers {
                reader.await.unwrap();
            }
        },
        expect![[r#"
            writer cancelled: true
            1 reads
            2 reads
            1 has read
            2 has read
        "#]],
    );
}

#[test]
fn a_reader_that_is_cancelled_leaves_a_writer_first_in_line() {
    run(async || {
        let lock = Rc::new(RwLock::new(()));
        let writing = lock.try_write().unwrap();
        let scope = CancelScope::new();
        let reader = spawn({
            let (lock, scope) = (Rc::clone(&lock), scope.clone());
            async move || {
                scope
                    .run(async || lock.read().await.map(drop))
                    .await
                    .is_cancelled()
            }
        });
        yield_now().await.unwrap();
        let mut write = lock.write();
        assert!(poll_once(&mut write).is_pending());
        scope.cancel("on purpose");
        assert!(reader.await.unwrap());
        drop(writing);
        assert!(poll_once(&mut write).is_ready());
        assert!(lock.try_write().is_some(), "nobody was counted in twice");
    });
}
