//! `watch`: the latest to everybody.
#![allow(
    clippy::needless_raw_string_hashes,
    reason = "`expect!` writes them so"
)]

mod sync_support;

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;
use std::task::Poll;

use antiphon::sync::watch::{self, RecvError};
use antiphon::{CancelScope, find_cancelled, run, spawn, yield_now};
use expect_test::expect;
use sync_support::cancels::{Place, cancel_tests};
use sync_support::{Count, Touch, check, hooked_waker, poll_once, poll_with, unhook};

#[test]
fn watchers_see_the_latest_and_hear_the_end() {
    check(
        async |trace| {
            let (sender, mut receiver) = watch::channel(0);
            let task = spawn({
                let trace = trace.clone();
                async move || {
                    while receiver.changed().await.is_ok() {
                        trace.say(format_args!("it is {}", receiver.borrow()));
                    }
                    trace.say(format_args!("it ends as {}", receiver.borrow()));
                }
            });
            yield_now().await.unwrap();
            sender.send(1).unwrap();
            sender.send(2).unwrap();
            yield_now().await.unwrap();
            sender.send(3).unwrap();
            drop(sender);
            task.await.unwrap();
        },
        expect![[r#"
            it is 2
            it is 3
            it ends as 3
        "#]],
    );
}

#[test]
fn what_was_borrowed_stays_as_it_was() {
    run(async || {
        let (sender, mut receiver) = watch::channel("old");
        let old = receiver.borrow();
        sender.send("new").unwrap();
        assert_eq!(
            (*old, *receiver.borrow(), *sender.borrow()),
            ("old", "new", "new")
        );
        assert!(receiver.has_changed());
        assert_eq!(*receiver.borrow_and_update(), "new");
        assert!(!receiver.has_changed());
        assert!(!sender.subscribe().has_changed());
        assert_eq!(
            format!("{receiver:?}"),
            r#"Receiver { value: "new", has_changed: false, .. }"#
        );
        drop(receiver);
        assert_eq!(sender.send("newer").unwrap_err().into_inner(), "newer");
        assert_eq!(*sender.send_replace("newest"), "new");
        assert_eq!(*sender.borrow(), "newest");
    });
}

#[test]
fn a_change_is_not_lost_by_a_wait_that_goes_away() {
    run(async || {
        let (sender, mut receiver) = watch::channel(0);
        let mut forgotten = receiver.changed();
        assert!(poll_once(&mut forgotten).is_pending());
        mem::forget(forgotten);
        let mut chosen = receiver.changed();
        let (woken, waker) = Count::new();
        assert!(poll_with(&mut chosen, &waker).is_pending());
        sender.send(1).unwrap();
        assert_eq!(woken.get(), 1);
        drop(chosen);
        assert!(receiver.changed().await.is_ok());
        let mut waiting = receiver.changed();
        assert!(poll_once(&mut waiting).is_pending());
        drop(sender);
        assert_eq!(poll_once(&mut waiting), Poll::Ready(Err(RecvError::Closed)));
    });
}

/// The watcher waits again inside the waker that `send` calls; it is not woken by the same `send` again.
#[test]
fn a_waker_may_wait_again_and_send_while_it_is_woken() {
    run(async || {
        let (sender, receiver) = watch::channel(0);
        let receiver: &'static RefCell<watch::Receiver<u32>> =
            Box::leak(Box::new(RefCell::new(receiver)));
        let rounds = Rc::new(Cell::new(0));
        let other = sender.clone();
        let waker = hooked_waker({
            let rounds = Rc::clone(&rounds);
            move |touch| {
                if touch == Touch::Woken {
                    rounds.set(rounds.get() + 1);
                    let mut receiver = receiver.borrow_mut();
                    let seen = *receiver.borrow_and_update();
                    let (woken, counting) = Count::new();
                    let mut changed = receiver.changed();
                    assert!(poll_with(&mut changed, &counting).is_pending());
                    assert_eq!(woken.get(), 0);
                    if seen < 3 {
                        other.send(seen + 10).unwrap();
                        assert_eq!(woken.get(), 1);
                    }
                    drop(changed);
                }
            }
        });
        let mut second = sender.subscribe();
        let mut changed = second.changed();
        assert!(poll_with(&mut changed, &waker).is_pending());
        sender.send(1).unwrap();
        assert_eq!(rounds.get(), 1);
        assert_eq!(*sender.borrow(), 11);
        assert!(poll_once(&mut changed).is_ready());
        unhook();
    });
}

/// A receiver that has seen the latest.
struct Watching(watch::Sender<()>, RefCell<watch::Receiver<()>>);

impl Place for Watching {
    type Error = RecvError;

    fn new() -> Self {
        let (sender, receiver) = watch::channel(());
        Self(sender, RefCell::new(receiver))
    }

    #[allow(clippy::await_holding_refcell_ref, reason = "one watches at a time")]
    async fn wait(&self) -> Result<(), RecvError> {
        self.1.borrow_mut().changed().await
    }

    fn release(&self) {
        self.0.send(()).unwrap();
    }
}

cancel_tests!(watching: Watching);

#[test]
fn a_change_is_not_seen_by_a_wait_that_was_cancelled() {
    run(async || {
        let (sender, mut receiver) = watch::channel(0);
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            let mut changed = receiver.changed();
            assert!(poll_once(&mut changed).is_pending());
            scope.cancel("on purpose");
            let Poll::Ready(Err(error)) = poll_once(&mut changed) else {
                panic!("it ends")
            };
            drop(changed);
            sender.send(1).unwrap();
            assert!(receiver.changed().await.is_err());
            assert!(receiver.has_changed());
            Err::<(), _>(error)
        });
        let error = outcome.await.into_result().unwrap_err();
        assert_eq!(find_cancelled(&error), scope.cancelled().as_ref());
        assert_eq!(error.to_string(), "the wait for a value was cancelled");
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(*receiver.borrow(), 1);
    });
}
