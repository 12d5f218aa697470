//! `oneshot`: one value, whoever goes first.
#![allow(
    clippy::needless_raw_string_hashes,
    reason = "`expect!` writes them so"
)]

mod sync_support;

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;
use std::task::Poll;

use antiphon::sync::oneshot::{self, RecvError, TryRecvError};
use antiphon::{CancelScope, Cancelled, find_cancelled, run, shield, spawn, yield_now};
use expect_test::expect;
use sync_support::cancels::{Place, cancel_tests};
use sync_support::{Count, Guest, Touch, check, hooked_waker, poll_once, poll_with, unhook};

#[test]
fn a_value_sent_before_or_after_the_wait_is_received() {
    run(async || {
        let (sender, receiver) = oneshot::channel();
        sender.send(1).unwrap();
        assert_eq!(receiver.await, Ok(1));

        let (sender, receiver) = oneshot::channel();
        let task = spawn(async move || receiver.await.unwrap());
        yield_now().await.unwrap();
        sender.send(2).unwrap();
        assert_eq!(task.await.unwrap(), 2);
    });
}

#[test]
fn the_receiver_hears_when_the_sender_goes_without_sending() {
    run(async || {
        let (sender, mut receiver) = oneshot::channel::<u8>();
        let (woken, waker) = Count::new();
        assert!(poll_with(&mut receiver, &waker).is_pending());
        drop(sender);
        assert_eq!(woken.get(), 1);
        assert_eq!(
            poll_once(&mut receiver),
            Poll::Ready(Err(RecvError::Closed))
        );
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    });
}

#[test]
fn the_sender_gets_its_value_back_when_the_receiver_is_gone() {
    run(async || {
        let (sender, receiver) = oneshot::channel();
        drop(receiver);
        assert!(sender.is_closed());
        sender.closed().await.unwrap();
        assert_eq!(sender.send(5).unwrap_err().into_inner(), 5);
    });
}

#[test]
fn a_wait_that_is_given_up_loses_no_value() {
    run(async || {
        let (sender, mut receiver) = oneshot::channel();
        assert!(poll_once(&mut receiver).is_pending());
        sender.send(1).unwrap();
        // Chosen, and not polled again: the value is still there, for a poll or for `try_recv`.
        assert_eq!(receiver.try_recv(), Ok(1));
        assert!(matches!(poll_once(&mut receiver), Poll::Ready(Err(_))));
    });
}

#[test]
fn a_receiver_dropped_at_any_point_takes_the_value_along() {
    check(
        async |trace| {
            let (sender, mut receiver) = oneshot::channel();
            assert!(poll_once(&mut receiver).is_pending());
            sender
                .send(Guest(trace.clone(), "the value", None))
                .unwrap();
            trace.say("sent");
            drop(receiver);
            trace.say("the receiver is gone");

            let (sender, mut receiver) = oneshot::channel();
            assert!(poll_once(&mut receiver).is_pending());
            drop(receiver);
            let _ = sender
                .send(Guest(trace.clone(), "too late", None))
                .map_err(|_| trace.say("given back"));
        },
        expect![[r#"
            sent
            dropped: the value
            the receiver is gone
            given back
            dropped: too late
        "#]],
    );
}

#[test]
fn closing_lets_what_was_sent_in() {
    run(async || {
        let (sender, mut receiver) = oneshot::channel();
        sender.send(1).unwrap();
        receiver.close();
        assert_eq!(receiver.await, Ok(1));

        let (sender, mut receiver) = oneshot::channel();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        receiver.close();
        assert_eq!(sender.send(2).unwrap_err().into_inner(), 2);
        assert!(receiver.await.is_err());
    });
}

#[test]
fn those_who_wait_for_the_receiver_to_go_may_go_themselves() {
    run(async || {
        let (sender, receiver) = oneshot::channel::<()>();
        let (mut first, mut chosen, mut forgotten, mut last) = (
            sender.closed(),
            sender.closed(),
            sender.closed(),
            sender.closed(),
        );
        for closed in [&mut first, &mut chosen, &mut forgotten, &mut last] {
            assert!(poll_once(closed).is_pending());
        }
        drop(first);
        mem::forget(forgotten);
        drop(receiver);
        drop(chosen);
        assert!(poll_once(&mut last).is_ready());
    });
}

#[test]
fn a_forgotten_receiver_is_no_harm() {
    run(async || {
        let (sender, mut receiver) = oneshot::channel();
        assert!(poll_once(&mut receiver).is_pending());
        mem::forget(receiver);
        sender.send(Box::new(1)).unwrap();

        let (sender, mut receiver) = oneshot::channel::<u8>();
        assert!(poll_once(&mut receiver).is_pending());
        mem::forget(sender);
        assert!(poll_once(&mut receiver).is_pending());
    });
}

#[test]
fn a_waker_that_sends_when_it_is_cloned_is_not_missed() {
    run(async || {
        let (sender, mut receiver) = oneshot::channel();
        let sender = RefCell::new(Some(sender));
        let waker = hooked_waker(move |touch| {
            if touch == Touch::Cloned {
                sender.take().unwrap().send(1).unwrap();
            }
        });
        assert_eq!(poll_with(&mut receiver, &waker), Poll::Ready(Ok(1)));
        unhook();
    });
}

/// The receiver is dropped, and with it the value, inside `send`.
#[test]
fn a_waker_may_drop_the_receiver_while_it_is_woken() {
    check(
        async |trace| {
            let (sender, receiver) = oneshot::channel();
            let receiver = Rc::new(RefCell::new(Some(receiver)));
            let waker = hooked_waker({
                let receiver = Rc::clone(&receiver);
                move |touch| {
                    if touch == Touch::Woken {
                        drop(receiver.take());
                    }
                }
            });
            assert!(poll_with(receiver.borrow_mut().as_mut().unwrap(), &waker).is_pending());
            trace.say("send");
            sender
                .send(Guest(trace.clone(), "the value", None))
                .unwrap();
            trace.say("sent");
            unhook();
        },
        expect![[r#"
            send
            dropped: the value
            sent
        "#]],
    );
}

/// A receiver. One that is dropped while it waits has a successor.
#[derive(Default)]
struct Receiving {
    sender: RefCell<Option<oneshot::Sender<()>>>,
    receiver: RefCell<Option<oneshot::Receiver<()>>>,
}

impl Receiving {
    fn open(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.sender.replace(Some(sender));
        receiver
    }
}

impl Place for Receiving {
    type Error = RecvError;

    fn new() -> Self {
        let place = Self::default();
        place.receiver.replace(Some(place.open()));
        place
    }

    async fn wait(&self) -> Result<(), RecvError> {
        let receiver = self.receiver.take();
        let mut receiver = receiver.unwrap_or_else(|| self.open());
        let result = (&mut receiver).await;
        self.receiver.replace(Some(receiver));
        result
    }

    fn release(&self) {
        self.sender.take().unwrap().send(()).unwrap();
    }
}

/// A sender that waits for the receiver to go.
struct Closing(oneshot::Sender<()>, RefCell<Option<oneshot::Receiver<()>>>);

impl Place for Closing {
    type Error = Cancelled;

    fn new() -> Self {
        let (sender, receiver) = oneshot::channel();
        Self(sender, RefCell::new(Some(receiver)))
    }

    async fn wait(&self) -> Result<(), Cancelled> {
        self.0.closed().await
    }

    fn release(&self) {
        drop(self.1.take());
    }
}

cancel_tests!(receiving: Receiving, closing: Closing);

/// The receiver keeps its leaf from one wait to the next: each is refused with all that belongs to it.
#[test]
fn a_receiver_is_cancelled_again_and_again_and_loses_nothing() {
    run(async || {
        let (sender, mut receiver) = oneshot::channel();
        assert!(poll_once(&mut receiver).is_pending(), "it waits outside");
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            scope.cancel("on purpose");
            let mut ended = Vec::new();
            let Poll::Ready(Err(error)) = poll_once(&mut receiver) else {
                panic!("the wait under way ends")
            };
            ended.push(error);
            sender.send(1).unwrap();
            for _ in 0..2 {
                let (woken, waker) = Count::new();
                assert!(poll_with(&mut receiver, &waker).is_pending());
                assert_eq!(woken.get(), 1, "it gives way, and no more");
                let Poll::Ready(Err(error)) = poll_once(&mut receiver) else {
                    panic!("nothing is taken in a cancelled scope")
                };
                ended.push(error);
            }
            for error in &ended {
                assert_eq!(find_cancelled(error), scope.cancelled().as_ref());
                assert_eq!(error.to_string(), "the wait for a value was cancelled");
            }
            assert_eq!(shield(async || (&mut receiver).await).await, Ok(1));
            Err::<(), _>(ended)
        });
        assert!(outcome.await.is_cancelled());
    });
}

/// That nobody sends any more is news as well, and is not heard in a cancelled scope.
#[test]
fn in_a_cancelled_scope_a_receiver_does_not_look_whether_the_sender_is_gone() {
    run(async || {
        let (sender, mut receiver) = oneshot::channel::<()>();
        drop(sender);
        let scope = CancelScope::new();
        scope.cancel("on purpose");
        let outcome = scope.run(async || (&mut receiver).await);
        let error = outcome.await.into_result().unwrap_err();
        assert!(matches!(error, RecvError::Cancelled(_)));
        assert_eq!(receiver.await, Err(RecvError::Closed));
    });
}
