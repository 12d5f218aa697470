//! `mpsc`: values arrive in order, once, and with back-pressure.
#![allow(
    clippy::needless_raw_string_hashes,
    reason = "`expect!` writes them so"
)]

mod sync_support;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use antiphon::sync::Mutex;
use antiphon::sync::mpsc::{self, SendError, TryRecvError, TrySendError};
use antiphon::{
    CancelScope, Cancelled, Outcome, find_cancelled, is_cancelled, run, spawn, yield_now,
};
use expect_test::expect;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use proptest::prelude::*;
use sync_support::cancels::{Place, cancel_tests, in_the_middle_of_a_queue};
use sync_support::{
    Count, Guest, STEPS, Touch, check, hooked_waker, poll_once, poll_with, tries, unhook,
};

#[test]
fn senders_get_room_in_the_order_in_which_they_asked() {
    check(
        async |trace| {
            let (sender, mut receiver) = mpsc::channel(1);
            let tasks: Vec<_> = (0..3)
                .map(|task| {
                    let (sender, trace) = (sender.clone(), trace.clone());
                    spawn(async move || {
                        for n in 0..2 {
                            sender.send((task, n)).await.unwrap();
                            trace.say(format_args!("task {task} has sent {n}"));
                        }
                    })
                })
                .collect();
            drop(sender);
            while let Some((task, n)) = receiver.recv().await.unwrap() {
                trace.say(format_args!("received {n} of task {task}"));
            }
            for task in tasks {
                task.await.unwrap();
            }
        },
        expect![[r#"
            task 0 has sent 0
            received 0 of task 0
            task 0 has sent 1
            received 1 of task 0
            task 1 has sent 0
            received 0 of task 1
            task 2 has sent 0
            received 0 of task 2
            task 1 has sent 1
            received 1 of task 1
            task 2 has sent 1
            received 1 of task 2
        "#]],
    );
}

/// One who comes while another has been promised room, and there is more room, stands behind that other.
#[test]
fn one_that_did_not_wait_does_not_overtake_one_that_did() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(2);
        sender.send(1).await.unwrap();
        sender.send(2).await.unwrap();
        let mut early = sender.send(3);
        assert!(poll_once(&mut early).is_pending());
        assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Ok(2)));
        let mut late = sender.send(4);
        let (woken, waker) = Count::new();
        assert!(poll_with(&mut late, &waker).is_pending());
        assert_eq!(woken.get(), 1, "there is room for it too, after the other");
        assert!(poll_once(&mut early).is_ready());
        assert!(poll_once(&mut late).is_ready());
        assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(3), Ok(4)));
    });
}

#[test]
fn room_that_is_waited_for_is_nobody_elses() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(1);
        sender.try_send(1).unwrap();
        let mut send = sender.send(2);
        assert!(poll_once(&mut send).is_pending());
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!(
            receiver.try_recv(),
            Err(TryRecvError::Empty),
            "promised, and not sent yet"
        );
        assert!(poll_once(&mut send).is_ready());
        assert_eq!(receiver.try_recv(), Ok(2));
    });
}

#[test]
fn a_send_that_is_dropped_did_not_happen() {
    check(
        async |trace| {
            let value = |name| Guest(trace.clone(), name, None);
            let (sender, mut receiver) = mpsc::channel(1);
            sender.try_send(value("in the channel")).ok().unwrap();
            drop(sender.send(value("not polled")));
            let mut waiting = sender.send(value("waiting"));
            let mut chosen = sender.send(value("chosen"));
            let mut next = sender.send(value("next"));
            assert!(poll_once(&mut waiting).is_pending());
            assert!(poll_once(&mut chosen).is_pending());
            let (woken, waker) = Count::new();
            assert!(poll_with(&mut next, &waker).is_pending());
            drop(waiting);
            trace.say("make room");
            drop(receiver.try_recv().ok());
            assert_eq!(woken.get(), 0);
            drop(chosen);
            assert_eq!(woken.get(), 1);
            assert!(poll_once(&mut next).is_ready());
            drop(next);
            trace.say(format_args!(
                "{} is in",
                receiver.try_recv().ok().unwrap().1
            ));
        },
        expect![[r#"
            dropped: not polled
            dropped: waiting
            make room
            dropped: in the channel
            dropped: chosen
            next is in
            dropped: next
        "#]],
    );
}

/// asyncio's `test_put_cancelled_race`.
#[test]
fn the_put_cancelled_race() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(1);
        let [mut a, mut b, mut c, mut d] = ["a", "b", "c", "d"].map(|value| sender.send(value));
        assert!(poll_once(&mut a).is_ready());
        for send in [&mut b, &mut c, &mut d] {
            assert!(poll_once(send).is_pending());
        }
        assert_eq!(receiver.recv().await, Ok(Some("a")));
        drop(b);
        assert!(poll_once(&mut c).is_ready());
        assert_eq!(receiver.recv().await, Ok(Some("c")));
        assert!(poll_once(&mut d).is_ready());
        assert_eq!(receiver.recv().await, Ok(Some("d")));
    });
}

/// asyncio's `test_get_cancelled_race`, for the one receiver that there is.
#[test]
fn a_recv_that_is_dropped_leaves_the_value_where_it_is() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(1);
        drop(receiver.recv());
        let mut waiting = receiver.recv();
        assert!(poll_once(&mut waiting).is_pending());
        drop(waiting);
        let mut chosen = receiver.recv();
        let (woken, waker) = Count::new();
        assert!(poll_with(&mut chosen, &waker).is_pending());
        sender.send(1).await.unwrap();
        assert_eq!(woken.get(), 1);
        drop(chosen);
        assert_eq!(receiver.len(), 1);
        assert_eq!(receiver.recv().await, Ok(Some(1)));
    });
}

#[test]
fn a_forgotten_recv_is_not_in_the_next_ones_way() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut forgotten = receiver.recv();
        let (old, waker) = Count::new();
        assert!(poll_with(&mut forgotten, &waker).is_pending());
        mem::forget(forgotten);
        let mut next = receiver.recv();
        let (new, waker) = Count::new();
        assert!(poll_with(&mut next, &waker).is_pending());
        sender.send(1).await.unwrap();
        assert_eq!((old.get(), new.get()), (0, 1));
        assert_eq!(poll_once(&mut next), Poll::Ready(Ok(Some(1))));
    });
}

#[test]
fn a_forgotten_send_keeps_the_room_that_it_is_promised() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(2);
        sender.try_send(1).unwrap();
        sender.try_send(2).unwrap();
        let mut forgotten = sender.send(3);
        assert!(poll_once(&mut forgotten).is_pending());
        mem::forget(forgotten);
        assert_eq!(receiver.recv().await, Ok(Some(1)));
        assert_eq!(receiver.recv().await, Ok(Some(2)));
        sender.send(4).await.unwrap();
        assert!(sender.try_send(5).is_err());
        assert_eq!(receiver.recv().await, Ok(Some(4)));
    });
}

#[test]
fn a_permit_holds_room_and_gives_it_up() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(1);
        let permit = sender.reserve().await.unwrap();
        let mut waiting = sender.reserve();
        assert!(poll_once(&mut waiting).is_pending());
        drop(permit);
        let Poll::Ready(Ok(permit)) = poll_once(&mut waiting) else {
            panic!("it has the room now")
        };
        permit.send('x').unwrap();
        assert!(sender.try_send('y').is_err());
        assert_eq!(receiver.recv().await, Ok(Some('x')));
        mem::forget(sender.reserve().await);
        assert!(
            sender.try_send('y').is_err(),
            "a forgotten permit keeps its room"
        );
    });
}

#[test]
fn permits_don_t_keep_others_from_room_that_is_left() {
    run(async || {
        let (sender, _receiver) = mpsc::channel(2);
        let _permit = sender.reserve().await.unwrap();
        assert!(poll_once(&mut sender.send(1)).is_ready());
        assert!(poll_once(&mut sender.send(2)).is_pending());
    });
}

#[test]
fn the_receiver_hears_when_the_last_sender_goes() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel::<u8>(1);
        let other = sender.clone();
        let mut recv = receiver.recv();
        let (woken, waker) = Count::new();
        assert!(poll_with(&mut recv, &waker).is_pending());
        drop(sender);
        assert_eq!(woken.get(), 0);
        other.send(1).await.unwrap();
        drop(other);
        assert_eq!(woken.get(), 1);
        assert_eq!(poll_once(&mut recv), Poll::Ready(Ok(Some(1))));
        drop(recv);
        assert_eq!(receiver.recv().await, Ok(None));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    });
}

#[test]
fn senders_hear_when_the_receiver_goes_and_get_their_values_back() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(1);
        sender.try_send(1).unwrap();
        let [mut chosen, mut waiting] = [sender.send(2), sender.send(3)];
        assert!(poll_once(&mut chosen).is_pending());
        assert!(poll_once(&mut waiting).is_pending());
        let mut reserve = sender.reserve();
        assert!(poll_once(&mut reserve).is_pending());
        assert_eq!(receiver.try_recv(), Ok(1));
        drop(receiver);
        assert_eq!(
            poll_once(&mut chosen),
            Poll::Ready(Err(SendError::Closed(2)))
        );
        assert_eq!(
            poll_once(&mut waiting),
            Poll::Ready(Err(SendError::Closed(3)))
        );
        assert!(matches!(
            poll_once(&mut reserve),
            Poll::Ready(Err(SendError::Closed(())))
        ));
        assert_eq!(sender.send(4).await, Err(SendError::Closed(4)));
        assert_eq!(sender.try_send(5), Err(TrySendError::Closed(5)));
        assert!(sender.is_closed());
    });
}

#[test]
fn a_closed_channel_is_emptied_and_takes_nothing() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(2);
        sender.try_send(1).unwrap();
        let permit = sender.reserve().await.unwrap();
        receiver.close();
        assert_eq!(permit.send(2).unwrap_err().into_inner(), 2);
        assert_eq!(sender.try_send(3).unwrap_err().into_inner(), 3);
        assert!(receiver.is_closed());
        assert_eq!(receiver.recv().await, Ok(Some(1)));
        assert_eq!(receiver.recv().await, Ok(None));
    });
}

#[test]
fn the_values_of_a_dropped_receiver_go_with_it_and_may_use_the_channel() {
    check(
        async |trace| {
            let (sender, receiver) = mpsc::unbounded();
            let send_another = {
                let (sender, trace) = (sender.clone(), trace.clone());
                move || {
                    let error = sender
                        .send(Guest(trace.clone(), "another", None))
                        .unwrap_err();
                    trace.say(format_args!("sending another: {error}"));
                }
            };
            sender
                .send(Guest(trace.clone(), "first", Some(Box::new(send_another))))
                .unwrap();
            sender.send(Guest(trace.clone(), "second", None)).unwrap();
            drop(receiver);
            trace.say("the receiver is gone");
        },
        expect![[r#"
            dropped: first
            sending another: nobody receives what is sent
            dropped: another
            dropped: second
            the receiver is gone
        "#]],
    );
}

#[test]
fn a_waker_that_sends_when_it_is_cloned_is_not_missed() {
    run(async || {
        let (sender, mut receiver) = mpsc::unbounded();
        let waker = hooked_waker(move |touch| {
            if touch == Touch::Cloned {
                sender.send(1).unwrap();
            }
        });
        assert_eq!(
            poll_with(&mut receiver.recv(), &waker),
            Poll::Ready(Ok(Some(1)))
        );
        unhook();
    });
}

#[test]
fn a_waker_that_receives_when_it_is_cloned_is_not_missed() {
    run(async || {
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(1).unwrap();
        let receiver = RefCell::new(receiver);
        let waker = hooked_waker(move |touch| {
            if touch == Touch::Cloned {
                assert_eq!(receiver.borrow_mut().try_recv(), Ok(1));
            }
        });
        let mut send = sender.send(2);
        assert!(poll_with(&mut send, &waker).is_pending());
        assert!(poll_with(&mut send, &waker).is_ready());
        drop(send);
        unhook();
        assert!(sender.is_closed());
    });
}

/// The receiver runs inside `send`, takes the value, and goes away.
#[test]
fn a_waker_may_receive_and_drop_the_receiver_while_it_is_woken() {
    run(async || {
        let (sender, receiver) = mpsc::channel(1);
        let receiver = Rc::new(RefCell::new(Some(receiver)));
        let waker = hooked_waker({
            let receiver = Rc::clone(&receiver);
            move |touch| {
                if touch == Touch::Woken {
                    let mut receiver = receiver.take().unwrap();
                    assert_eq!(receiver.try_recv(), Ok(1));
                }
            }
        });
        let cx = &mut std::task::Context::from_waker(&waker);
        assert!(
            receiver
                .borrow_mut()
                .as_mut()
                .unwrap()
                .poll_recv(cx)
                .is_pending()
        );
        assert!(sender.try_send(1).is_ok());
        assert_eq!(sender.try_send(2), Err(TrySendError::Closed(2)));
        unhook();
    });
}

#[test]
fn poll_recv_wakes_the_last_waker() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(4);
        let (old, waker) = Count::new();
        let mut poll =
            |waker: &Waker| receiver.poll_recv(&mut std::task::Context::from_waker(waker));
        assert!(poll(&waker).is_pending());
        let (new, waker) = Count::new();
        assert!(poll(&waker).is_pending());
        sender.try_send(1).unwrap();
        sender.try_send(2).unwrap();
        assert_eq!((old.get(), new.get()), (0, 1));
        assert_eq!(poll(&waker), Poll::Ready(Ok(Some(1))));
        let task = spawn(async move || poll_fn(|cx| receiver.poll_recv(cx)).await);
        assert_eq!(task.await.unwrap(), Ok(Some(2)));
    });
}

#[test]
fn many_sends_in_one_task_wait_side_by_side() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(2);
        let consumer = spawn(async move || {
            let mut values = Vec::new();
            while let Some(n) = receiver.recv().await.unwrap() {
                values.push(n);
                yield_now().await.unwrap();
            }
            values
        });
        let sends: FuturesUnordered<_> = (0..20).map(|n| sender.send(n)).collect();
        assert!(sends.all(async |result| result.is_ok()).await);
        drop(sender);
        let mut values = consumer.await.unwrap();
        values.sort_unstable();
        assert_eq!(values, (0..20).collect::<Vec<_>>());
    });
}

#[test]
fn an_unbounded_channel_always_has_room() {
    run(async || {
        let (sender, mut receiver) = mpsc::unbounded();
        let other = sender.clone();
        for n in 0..1000 {
            if n % 2 == 0 { &sender } else { &other }.send(n).unwrap();
        }
        assert_eq!((receiver.len(), receiver.capacity()), (1000, usize::MAX));
        drop((sender, other));
        for n in 0..1000 {
            assert_eq!(receiver.recv().await, Ok(Some(n)));
        }
        assert_eq!(receiver.recv().await, Ok(None));
    });
}

#[test]
#[should_panic(expected = "room for at least one value")]
fn a_channel_without_room_is_refused() {
    let _ = mpsc::channel::<()>(0);
}

#[test]
fn they_print_what_is_known_of_them() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(3);
        sender.send(1).await.unwrap();
        assert_eq!(
            format!("{sender:?}"),
            "Sender { capacity: 3, len: 1, is_closed: false, .. }"
        );
        assert_eq!(
            format!("{receiver:?}"),
            "Receiver { capacity: 3, len: 1, senders: 1, is_closed: false, .. }"
        );
        receiver.close();
        let error = sender.try_send(2).unwrap_err();
        assert_eq!(
            format!("{error:?}: {error}"),
            "Closed(..): nobody receives what is sent"
        );
    });
}

/// A receiver with nothing to receive.
struct Empty(mpsc::Sender<()>, RefCell<mpsc::Receiver<()>>);

impl Place for Empty {
    type Error = Cancelled;

    fn new() -> Self {
        let (sender, receiver) = mpsc::channel(8);
        Self(sender, RefCell::new(receiver))
    }

    #[allow(clippy::await_holding_refcell_ref, reason = "one receives at a time")]
    async fn wait(&self) -> Result<(), Cancelled> {
        let received = self.1.borrow_mut().recv().await?;
        assert_eq!(received, Some(()));
        Ok(())
    }

    fn release(&self) {
        self.0.try_send(()).unwrap();
    }
}

/// A channel that is full, and is full again when a send has ended.
struct Full(mpsc::Sender<()>, RefCell<mpsc::Receiver<()>>);

impl Place for Full {
    type Error = SendError<()>;

    fn new() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(()).unwrap();
        Self(sender, RefCell::new(receiver))
    }

    async fn wait(&self) -> Result<(), SendError<()>> {
        self.0.send(()).await
    }

    fn release(&self) {
        self.1.borrow_mut().try_recv().unwrap();
    }
}

/// The same, with a permit between.
struct FullForPermits(Full);

impl Place for FullForPermits {
    type Error = SendError<()>;

    fn new() -> Self {
        Self(Full::new())
    }

    async fn wait(&self) -> Result<(), SendError<()>> {
        self.0.0.reserve().await?.send(())
    }

    fn release(&self) {
        self.0.release();
    }
}

cancel_tests!(receiving: Empty, sending: Full, reserving: FullForPermits);

#[test]
fn a_sender_cancelled_in_the_middle_of_the_queue_lets_the_others_move_up() {
    in_the_middle_of_a_queue::<Full>();
    in_the_middle_of_a_queue::<FullForPermits>();
}

/// asyncio's `test_put_cancelled_race`, by delivery: one that is cancelled takes no room, whether or not it stood first; one
/// that was promised room before uses it.
#[test]
fn the_put_cancelled_race_by_delivery() {
    check(
        async |trace| {
            let (sender, mut receiver) = mpsc::channel(1);
            let scopes = ["a", "b", "c", "d", "e"].map(|value| (value, CancelScope::new()));
            let mut tasks = Vec::new();
            for (value, scope) in &scopes {
                let (value, scope) = (*value, scope.clone());
                let (sender, trace) = (sender.clone(), trace.clone());
                tasks.push(spawn(async move || {
                    match scope.run(async || sender.send(value).await).await {
                        Outcome::Done(()) => trace.say(format_args!("{value} was sent")),
                        Outcome::Failed(error) => panic!("{error}"),
                        Outcome::Cancelled(cancelled, error) => {
                            assert_eq!(error.as_cancelled(), Some(&cancelled));
                            trace.say(format_args!("{} came back", error.into_inner()));
                        }
                    }
                }));
            }
            drop(sender);
            yield_now().await.unwrap();
            scopes[1]
                .1
                .cancel("first in line, and promised room before it has heard");
            trace.say(receiver.recv().await.unwrap().unwrap());
            scopes[2].1.cancel("while it waits, first in line");
            trace.say(receiver.recv().await.unwrap().unwrap());
            scopes[4].1.cancel("while it waits, last in line");
            trace.say(receiver.recv().await.unwrap().unwrap());
            assert_eq!(receiver.recv().await, Ok(None));
            for task in tasks {
                task.await.unwrap();
            }
        },
        expect![[r#"
            a was sent
            a
            b was sent
            c came back
            b
            d was sent
            e came back
            d
        "#]],
    );
}

/// asyncio's `test_get_cancelled_race`: two take turns at the receiver, and the first is cancelled, before a value comes and
/// after.
#[test]
fn the_get_cancelled_race_by_delivery() {
    check(
        async |trace| {
            let (sender, receiver) = mpsc::channel(2);
            let receiver = Rc::new(Mutex::new(receiver));
            let get = |name: &'static str| {
                let (receiver, trace, scope) =
                    (Rc::clone(&receiver), trace.clone(), CancelScope::new());
                let inner = scope.clone();
                let task = spawn(async move || {
                    let outcome = inner
                        .run(async || receiver.lock().await?.recv().await)
                        .await;
                    trace.say(match outcome {
                        Outcome::Done(value) => format!("{name} has {value:?}"),
                        outcome => format!("{name} is cancelled: {}", outcome.is_cancelled()),
                    });
                });
                (scope, task)
            };
            let (scope, first) = get("first");
            let (_, second) = get("second");
            yield_now().await.unwrap();
            scope.cancel("before the value");
            first.await.unwrap();
            sender.send('a').await.unwrap();
            second.await.unwrap();

            let (scope, third) = get("third");
            let (_, fourth) = get("fourth");
            yield_now().await.unwrap();
            sender.send('b').await.unwrap();
            scope.cancel("after the value");
            third.await.unwrap();
            sender.send('c').await.unwrap();
            fourth.await.unwrap();
        },
        expect![[r#"
            first is cancelled: true
            second has Some('a')
            third has Some('b')
            fourth has Some('c')
        "#]],
    );
}

/// The receiver keeps its leaf from one wait to the next: each is refused with all that belongs to it, and takes nothing.
#[test]
fn a_polled_receiver_is_cancelled_again_and_again_and_loses_nothing() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(4);
        let mut poll =
            |waker: &Waker| receiver.poll_recv(&mut std::task::Context::from_waker(waker));
        assert!(poll(Waker::noop()).is_pending(), "it waits outside");
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            scope.cancel("on purpose");
            let cancelled = scope.cancelled().unwrap();
            assert_eq!(poll(Waker::noop()), Poll::Ready(Err(cancelled.clone())));
            sender.try_send(1).unwrap();
            for _ in 0..2 {
                let (woken, waker) = Count::new();
                assert!(poll(&waker).is_pending());
                assert_eq!(woken.get(), 1, "it gives way, and no more");
                assert_eq!(poll(&waker), Poll::Ready(Err(cancelled.clone())));
            }
            Err::<(), _>(cancelled)
        });
        assert!(outcome.await.is_cancelled());
        assert_eq!(poll(Waker::noop()), Poll::Ready(Ok(Some(1))));
    });
}

/// Chosen for a value that was then taken in another way, it has to wait anew, and must not sleep through the cancel.
#[test]
fn a_receiver_that_was_chosen_in_vain_hears_of_the_cancel() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(1);
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            assert!(
                poll_fn(|cx| Poll::Ready(receiver.poll_recv(cx)))
                    .await
                    .is_pending()
            );
            sender.try_send(1).unwrap();
            assert_eq!(receiver.try_recv(), Ok(1));
            scope.cancel("on purpose");
            poll_fn(|cx| receiver.poll_recv(cx)).await
        });
        assert!(outcome.await.is_cancelled());
        assert_eq!(sender.try_send(2), Ok(()));
    });
}

/// A sender is told that the channel is closed only where it may begin to look.
#[test]
fn in_a_cancelled_scope_nobody_hears_that_the_channel_is_closed() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel::<u8>(1);
        receiver.close();
        let scope = CancelScope::new();
        scope.cancel("on purpose");
        let outcome = scope.run(async || {
            assert!(receiver.recv().await.is_err());
            assert!(is_cancelled(&sender.reserve().await.unwrap_err()));
            sender.send(1).await
        });
        let error = outcome.await.into_result().unwrap_err();
        assert_eq!(find_cancelled(&error), scope.cancelled().as_ref());
        assert_eq!(error.to_string(), "the wait for room was cancelled");
        assert!(format!("{error:?}").starts_with("Cancelled(.., Cancelled {"));
        assert_eq!(error.into_inner(), 1);
        assert_eq!(sender.send(2).await, Err(SendError::Closed(2)));
        assert_eq!(receiver.recv().await, Ok(None));
    });
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Polls a send, making it first if there is none.
    Send(usize),
    DropSend(usize),
    TrySend,
    Recv,
    DropRecv,
    TryRecv,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..4_usize).prop_map(Step::Send),
        4 => (0..4_usize).prop_map(Step::DropSend),
        2 => Just(Step::TrySend),
        8 => Just(Step::Recv),
        1 => Just(Step::DropRecv),
        3 => Just(Step::TryRecv),
        1 => proptest::bool::weighted(0.2).prop_map(|close| if close { Step::Close } else { Step::Recv }),
    ]
}

/// A send, its value, and how often it was woken.
type Sending<'a> = (mpsc::Send<'a, u32>, u32, Arc<Count>);

/// Room is given out in the order of asking; a value comes in when its sender runs.
#[derive(Debug, Default)]
struct Model {
    capacity: usize,
    values: VecDeque<u32>,
    waiting: VecDeque<usize>,
    promised: Vec<usize>,
    is_closed: bool,
}

impl Model {
    fn has_room(&self) -> bool {
        self.values.len() + self.promised.len() < self.capacity
    }

    fn promise(&mut self) {
        while !self.is_closed && self.has_room() {
            let Some(next) = self.waiting.pop_front() else {
                break;
            };
            self.promised.push(next);
        }
    }

    fn leave(&mut self, index: usize) {
        self.waiting.retain(|found| *found != index);
        self.promised.retain(|found| *found != index);
    }
}

proptest! {
    #![proptest_config(tries())]

    #[test]
    fn it_does_as_the_model_does(capacity in 1..4_usize, steps in proptest::collection::vec(step(), 1..STEPS)) {
        run(async || {
            let (sender, mut receiver) = mpsc::channel(capacity);
            let mut sends: [Option<Sending<'_>>; 4] = Default::default();
            let mut model = Model { capacity, ..Model::default() };
            // One count for each wait of the receiver, which goes on across polls.
            let mut receiving: Option<Arc<Count>> = None;
            let mut next_value = 0;
            for step in steps {
                match step {
                    Step::Send(index) => {
                        let is_new = sends[index].is_none();
                        let (send, value, count) = sends[index].get_or_insert_with(|| {
                            next_value += 1;
                            (sender.send(next_value), next_value, Arc::default())
                        });
                        let poll = poll_with(send, &Arc::clone(count).into());
                        let goes_on = if is_new {
                            let at_once = model.is_closed
                                || model.promised.is_empty() && model.waiting.is_empty() && model.has_room();
                            if !at_once {
                                model.waiting.push_back(index);
                            }
                            at_once
                        } else {
                            model.is_closed || model.promised.contains(&index)
                        };
                        prop_assert_eq!(poll.is_ready(), goes_on);
                        if let Poll::Ready(result) = poll {
                            model.leave(index);
                            if model.is_closed {
                                prop_assert_eq!(result, Err(SendError::Closed(*value)));
                            } else {
                                prop_assert_eq!(result, Ok(()));
                                model.values.push_back(*value);
                            }
                            sends[index] = None;
                        }
                        model.promise();
                    }
                    Step::DropSend(index) => {
                        sends[index] = None;
                        model.leave(index);
                        model.promise();
                    }
                    Step::TrySend => {
                        next_value += 1;
                        let expected = if model.is_closed {
                            Err(TrySendError::Closed(next_value))
                        } else if model.waiting.is_empty() && model.has_room() {
                            model.values.push_back(next_value);
                            Ok(())
                        } else {
                            Err(TrySendError::Full(next_value))
                        };
                        prop_assert_eq!(sender.try_send(next_value), expected);
                    }
                    Step::Recv => {
                        let count = receiving.get_or_insert_default();
                        let waker = Waker::from(Arc::clone(count));
                        let poll = receiver.poll_recv(&mut std::task::Context::from_waker(&waker));
                        let expected = match model.values.pop_front() {
                            Some(value) => Poll::Ready(Ok(Some(value))),
                            None if model.is_closed => Poll::Ready(Ok(None)),
                            None => Poll::Pending,
                        };
                        let is_ready = poll.is_ready();
                        prop_assert_eq!(poll, expected);
                        if is_ready {
                            receiving = None;
                        }
                        model.promise();
                    }
                    Step::DropRecv => {
                        drop(receiver.recv());
                        receiving = None;
                    }
                    Step::TryRecv => {
                        let expected = match model.values.pop_front() {
                            Some(value) => Ok(value),
                            None if model.is_closed => Err(TryRecvError::Closed),
                            None => Err(TryRecvError::Empty),
                        };
                        prop_assert_eq!(receiver.try_recv(), expected);
                        model.promise();
                    }
                    Step::Close => {
                        receiver.close();
                        model.is_closed = true;
                    }
                }
                prop_assert_eq!(receiver.len(), model.values.len());
                for (index, send) in sends.iter().enumerate() {
                    if let Some((_, _, count)) = send {
                        let is_chosen = model.is_closed || model.promised.contains(&index);
                        prop_assert_eq!(count.get(), usize::from(is_chosen), "woken once, when it is chosen");
                    }
                }
                if let (Some(count), false) = (&receiving, model.values.is_empty()) {
                    prop_assert!(count.get() > 0, "the receiver is woken when there is something");
                }
            }
            Ok(())
        })?;
    }
}
