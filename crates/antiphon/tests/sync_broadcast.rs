//! `broadcast`: everything to everybody.
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

use antiphon::sync::broadcast::{self, RecvError, TryRecvError};
use antiphon::{CancelScope, find_cancelled, run, spawn, yield_now};
use expect_test::expect;
use proptest::prelude::*;
use sync_support::cancels::{Place, cancel_tests};
use sync_support::{
    Count, Guest, STEPS, Touch, check, hooked_waker, poll_once, poll_with, tries, unhook,
};

#[test]
fn every_receiver_gets_everything_in_order() {
    check(
        async |trace| {
            let (sender, first) = broadcast::channel(8);
            let receivers = [first, sender.subscribe()];
            let mut tasks = Vec::new();
            for (n, mut receiver) in receivers.into_iter().enumerate() {
                let trace = trace.clone();
                tasks.push(spawn(async move || {
                    loop {
                        match receiver.recv().await {
                            Ok(value) => trace.say(format_args!("receiver {n}: {value}")),
                            Err(error) => break trace.say(format_args!("receiver {n}: {error}")),
                        }
                    }
                }));
            }
            yield_now().await.unwrap();
            assert_eq!(sender.send("a").unwrap(), 2);
            assert_eq!(sender.send("b").unwrap(), 2);
            drop(sender);
            for task in tasks {
                task.await.unwrap();
            }
        },
        expect![[r#"
            receiver 0: a
            receiver 0: b
            receiver 0: nothing is left to receive, and the senders are gone
            receiver 1: a
            receiver 1: b
            receiver 1: nothing is left to receive, and the senders are gone
        "#]],
    );
}

#[test]
fn one_that_falls_behind_is_told_by_how_much() {
    run(async || {
        let (sender, mut slow) = broadcast::channel(2);
        for n in 0..5 {
            sender.send(n).unwrap();
        }
        let error = slow.recv().await.unwrap_err();
        assert_eq!(error, RecvError::Lagged(3));
        assert_eq!(
            error.to_string(),
            "the receiver fell behind and missed 3 values"
        );
        assert_eq!((slow.recv().await, slow.recv().await), (Ok(3), Ok(4)));
        assert_eq!(slow.try_recv(), Err(TryRecvError::Empty));
        drop(sender);
        assert_eq!(slow.try_recv(), Err(TryRecvError::Closed));
    });
}

#[test]
fn values_go_when_all_have_taken_them() {
    check(
        async |trace| {
            let (sender, mut first) = broadcast::channel(4);
            let second = sender.subscribe();
            for name in ["a", "b"] {
                sender
                    .send(Rc::new(Guest(trace.clone(), name, None)))
                    .ok()
                    .unwrap();
            }
            drop(first.try_recv());
            drop(first.try_recv());
            assert_eq!((sender.len(), second.len(), first.len()), (2, 2, 0));
            trace.say("the other goes");
            drop(second);
            assert!(sender.is_empty());
            trace.say("both go");
            drop(first);
            let _ = sender
                .send(Rc::new(Guest(trace.clone(), "c", None)))
                .map_err(|_| trace.say("given back"));
        },
        expect![[r#"
            the other goes
            dropped: a
            dropped: b
            both go
            given back
            dropped: c
        "#]],
    );
}

#[test]
fn a_recv_that_goes_away_loses_nothing() {
    run(async || {
        let (sender, mut receiver) = broadcast::channel(2);
        drop(receiver.recv());
        let mut waiting = receiver.recv();
        assert!(poll_once(&mut waiting).is_pending());
        drop(waiting);
        let mut forgotten = receiver.recv();
        assert!(poll_once(&mut forgotten).is_pending());
        mem::forget(forgotten);
        let mut chosen = receiver.recv();
        let (woken, waker) = Count::new();
        assert!(poll_with(&mut chosen, &waker).is_pending());
        sender.send(1).unwrap();
        assert_eq!(woken.get(), 1);
        drop(chosen);
        assert_eq!(receiver.recv().await, Ok(1));
    });
}

/// A value that sends while it is cloned, and one that sends while it is dropped.
#[test]
fn values_may_use_the_channel_when_they_are_cloned_and_dropped() {
    thread_local!(static SENDER: RefCell<Option<broadcast::Sender<Chatty>>> = const { RefCell::new(None) });
    struct Chatty(u32);
    impl Chatty {
        fn send(n: u32) {
            if n < 20 {
                SENDER.with_borrow(|sender| drop(sender.as_ref().unwrap().send(Self(n))));
            }
        }
    }
    impl Clone for Chatty {
        fn clone(&self) -> Self {
            Self::send(self.0 + 10);
            Self(self.0)
        }
    }
    impl Drop for Chatty {
        fn drop(&mut self) {
            Self::send(self.0 + 10);
        }
    }

    run(async || {
        let (sender, mut first) = broadcast::channel(2);
        let mut second = sender.subscribe();
        SENDER.set(Some(sender.clone()));
        for n in 0..3 {
            drop(sender.send(Chatty(n)));
        }
        for receiver in [&mut first, &mut second] {
            while !matches!(receiver.try_recv(), Err(TryRecvError::Empty)) {}
        }
        drop((first, second));
        assert!(sender.is_empty());
        let sender = SENDER.take();
        drop(sender);
    });
}

/// A value that is sent while a receiver goes was once counted out by that receiver, and lost to the others.
#[test]
fn what_is_sent_by_the_last_value_of_a_receiver_reaches_the_others() {
    check(
        async |trace| {
            let (sender, going) = broadcast::channel(4);
            let mut staying = sender.subscribe();
            let send_another = {
                let (sender, trace) = (sender.clone(), trace.clone());
                move || {
                    assert_eq!(
                        sender.send(Rc::new(Guest(trace, "another", None))).ok(),
                        Some(1)
                    );
                }
            };
            sender
                .send(Rc::new(Guest(
                    trace.clone(),
                    "a value",
                    Some(Box::new(send_another)),
                )))
                .ok()
                .unwrap();
            drop(staying.recv().await);
            trace.say("the one that has not taken it goes");
            drop(going);
            assert_eq!(staying.len(), 1);
            drop(staying.recv().await);
        },
        expect![[r#"
            the one that has not taken it goes
            dropped: a value
            dropped: another
        "#]],
    );
}

#[test]
fn a_waker_that_sends_when_it_is_cloned_is_not_missed() {
    run(async || {
        let (sender, mut receiver) = broadcast::channel(2);
        let waker = hooked_waker(move |touch| {
            if touch == Touch::Cloned {
                sender.send(1).unwrap();
            }
        });
        assert_eq!(poll_with(&mut receiver.recv(), &waker), Poll::Ready(Ok(1)));
        unhook();
    });
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    Receive(usize),
    Subscribe(usize),
    Clone(usize, usize),
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => Just(Step::Send),
        6 => (0..3_usize).prop_map(Step::Receive),
        1 => (0..3_usize).prop_map(Step::Subscribe),
        1 => (0..3_usize, 0..3_usize).prop_map(|(from, to)| Step::Clone(from, to)),
        1 => (0..3_usize).prop_map(Step::Drop),
    ]
}

proptest! {
    #![proptest_config(tries())]

    /// Each receiver has a queue of its own, of the last `capacity` values; the rest it is told the number of.
    #[test]
    fn it_does_as_queues_do(capacity in 1..4_usize, steps in proptest::collection::vec(step(), 1..STEPS)) {
        run(async || {
            let (sender, receiver) = broadcast::channel(capacity);
            let mut receivers = [Some(receiver), None, None];
            let mut queues: [VecDeque<u32>; 3] = Default::default();
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Send => {
                        next += 1;
                        let there = receivers.iter().flatten().count();
                        prop_assert_eq!(sender.send(next).ok(), (there > 0).then_some(there));
                        for (queue, _) in queues.iter_mut().zip(&receivers).filter(|(_, receiver)| receiver.is_some()) {
                            queue.push_back(next);
                        }
                    }
                    Step::Receive(index) => {
                        let Some(receiver) = &mut receivers[index] else { continue };
                        let lag = queues[index].len().saturating_sub(capacity);
                        prop_assert_eq!(receiver.len(), queues[index].len() - lag);
                        let expected = if lag > 0 {
                            queues[index].drain(..lag);
                            Err(TryRecvError::Lagged(lag as u64))
                        } else {
                            queues[index].pop_front().ok_or(TryRecvError::Empty)
                        };
                        prop_assert_eq!(receiver.try_recv(), expected);
                    }
                    Step::Subscribe(index) => {
                        receivers[index] = Some(sender.subscribe());
                        queues[index].clear();
                    }
                    Step::Clone(from, to) => {
                        receivers[to] = receivers[from].clone();
                        queues[to] = queues[from].clone();
                    }
                    Step::Drop(index) => {
                        receivers[index] = None;
                        queues[index].clear();
                    }
                }
                let longest = queues.iter().map(|queue| queue.len().min(capacity)).max().unwrap_or(0);
                prop_assert_eq!(sender.len(), longest, "no value is kept that all have taken");
            }
            Ok(())
        })?;
    }
}

/// A receiver with nothing to receive.
struct Receiving(broadcast::Sender<()>, RefCell<broadcast::Receiver<()>>);

impl Place for Receiving {
    type Error = RecvError;

    fn new() -> Self {
        let (sender, receiver) = broadcast::channel(8);
        Self(sender, RefCell::new(receiver))
    }

    #[allow(clippy::await_holding_refcell_ref, reason = "one receives at a time")]
    async fn wait(&self) -> Result<(), RecvError> {
        self.1.borrow_mut().recv().await
    }

    fn release(&self) {
        self.0.send(()).unwrap();
    }
}

cancel_tests!(receiving: Receiving);

/// It has missed nothing but what the ring had no place for.
#[test]
fn a_receiver_that_was_cancelled_goes_on_where_it_was() {
    run(async || {
        let (sender, mut receiver) = broadcast::channel(2);
        let mut other = sender.subscribe();
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            let mut recv = receiver.recv();
            assert!(poll_once(&mut recv).is_pending());
            scope.cancel("on purpose");
            let Poll::Ready(Err(error)) = poll_once(&mut recv) else {
                panic!("it ends")
            };
            drop(recv);
            for n in 1..=3 {
                sender.send(n).unwrap();
            }
            assert!(receiver.recv().await.is_err(), "neither a value nor a lag");
            Err::<(), _>(error)
        });
        let error = outcome.await.into_result().unwrap_err();
        assert_eq!(find_cancelled(&error), scope.cancelled().as_ref());
        assert_eq!(error.to_string(), "the wait for a value was cancelled");
        for receiver in [&mut receiver, &mut other] {
            assert_eq!(receiver.recv().await, Err(RecvError::Lagged(1)));
            assert_eq!(
                (receiver.recv().await, receiver.recv().await),
                (Ok(2), Ok(3))
            );
        }
    });
}
