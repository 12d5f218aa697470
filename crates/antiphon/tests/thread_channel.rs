//! `thread::channel`: values between loops and threads.

mod sync_support;
mod thread_support;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use antiphon::thread::channel::{
    self, Closed, Receiver, Recv, RecvTimeoutError, SendError, SendTimeoutError, Sender,
    TryRecvError, TrySendError, UnboundedSender,
};
use antiphon::thread::{block_on, unbounded};
use antiphon::{Cancelled, DriverKind, Runtime, spawn, tree, yield_now};
use sync_support::cancels::{Place, cancel_tests, in_the_middle_of_a_queue};
use thread_support::{for_each_driver, simulate};

fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    channel::channel(capacity)
}

/// A receiver with nothing to receive.
struct Empty(Sender<()>, RefCell<Receiver<()>>);

impl Place for Empty {
    type Error = Cancelled;

    fn new() -> Self {
        let (sender, receiver) = channel(8);
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
struct Full(Sender<()>, RefCell<Receiver<()>>);

impl Place for Full {
    type Error = SendError<()>;

    fn new() -> Self {
        let (sender, receiver) = channel(1);
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

/// A receiver that does not go.
struct Open(Sender<()>, RefCell<Receiver<()>>);

impl Place for Open {
    type Error = Cancelled;

    fn new() -> Self {
        let (sender, receiver) = channel(1);
        Self(sender, RefCell::new(receiver))
    }

    async fn wait(&self) -> Result<(), Cancelled> {
        self.0.closed().await
    }

    fn release(&self) {
        self.1.borrow_mut().close();
    }
}

cancel_tests!(receiving: Empty, sending: Full, closing: Open);

#[test]
fn a_sender_cancelled_in_the_middle_of_the_line_lets_the_others_move_up() {
    in_the_middle_of_a_queue::<Full>();
}

#[test]
fn its_ends_and_its_waits_cross_threads() {
    fn crosses<T: Send>() {}
    fn is_shared<T: Sync>() {}
    crosses::<Sender<u8>>();
    crosses::<UnboundedSender<u8>>();
    crosses::<Receiver<u8>>();
    crosses::<channel::Send<'static, u8>>();
    crosses::<Recv<'static, u8>>();
    crosses::<Closed<'static, u8>>();
    is_shared::<Sender<std::cell::Cell<u8>>>();
    is_shared::<Receiver<std::cell::Cell<u8>>>();
}

#[test]
fn a_thread_sends_and_a_loop_receives() {
    for_each_driver(async || {
        let (sender, mut receiver) = channel(3);
        let thread = thread::spawn(move || {
            for n in 0..1000 {
                sender.blocking_send(n).unwrap();
            }
        });
        for n in 0..1000 {
            assert_eq!(receiver.recv().await.unwrap(), Some(n));
        }
        assert_eq!(receiver.recv().await.unwrap(), None);
        thread.join().unwrap();
    });
}

#[test]
fn a_loop_sends_and_a_thread_receives() {
    for_each_driver(async || {
        let (sender, mut receiver) = channel(3);
        let thread = thread::spawn(move || {
            let mut next = 0;
            while let Some(n) = receiver.blocking_recv() {
                assert_eq!(n, next);
                next += 1;
            }
            next
        });
        for n in 0..1000 {
            sender.send(n).await.unwrap();
        }
        drop(sender);
        assert_eq!(thread.join().unwrap(), 1000);
    });
}

#[test]
fn two_loops_play_ping_pong() {
    for kind in [
        DriverKind::Readiness,
        DriverKind::Auto,
        DriverKind::VirtualTime,
    ] {
        let (there, mut from_there) = channel::<u32>(1);
        let (back, mut from_back) = channel::<u32>(1);
        let other = thread::spawn(move || {
            let mut runtime = Runtime::builder().driver(kind).build().unwrap();
            runtime.run(async || {
                while let Some(n) = from_there.recv().await.unwrap() {
                    back.send(n + 1).await.unwrap();
                }
            });
        });
        let mut runtime = Runtime::builder().driver(kind).build().unwrap();
        runtime.run(async || {
            let mut n = 0;
            while n < 1000 {
                there.send(n).await.unwrap();
                n = from_back.recv().await.unwrap().unwrap();
            }
            drop(there);
        });
        other.join().unwrap();
    }
}

/// Loops and threads send at the same time, over a channel that is nearly always full.
#[test]
fn of_many_senders_each_keeps_its_order_and_nothing_is_lost() {
    const EACH: usize = 500;
    for capacity in [1, 2, 64] {
        let (sender, mut receiver) = channel(capacity);
        let mut threads = Vec::new();
        for id in 0..2 {
            let sender = sender.clone();
            threads.push(thread::spawn(move || {
                for n in 0..EACH {
                    sender.blocking_send((id, n)).unwrap();
                }
            }));
        }
        for id in 2..4 {
            let sender = sender.clone();
            threads.push(thread::spawn(move || {
                antiphon::run(async || {
                    for n in 0..EACH {
                        sender.send((id, n)).await.unwrap();
                    }
                });
            }));
        }
        drop(sender);
        let next = antiphon::run(async || {
            let mut next = [0; 4];
            while let Some((id, n)) = receiver.recv().await.unwrap() {
                assert_eq!(n, next[id]);
                next[id] += 1;
            }
            next
        });
        assert_eq!(next, [EACH; 4]);
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

/// A send that is cancelled all the time either happened or did not: what was received is what was sent.
#[test]
fn a_send_that_is_given_up_happened_or_has_its_value_back() {
    let (sender, mut receiver) = channel(1);
    let thread = thread::spawn(move || {
        let mut values = Vec::new();
        while let Some(n) = receiver.blocking_recv() {
            values.push(n);
        }
        values
    });
    let sent = antiphon::run(async || {
        let mut sent = Vec::new();
        for n in 0..2000 {
            let scope = antiphon::CancelScope::new();
            let outcome = scope.run(async || {
                let mut wait = pin!(sender.send(n));
                let mut polls = 0;
                poll_fn(|cx| {
                    if polls == n % 3 + 1 {
                        scope.cancel("enough");
                    }
                    polls += 1;
                    cx.waker().wake_by_ref();
                    wait.as_mut().poll(cx)
                })
                .await
            });
            match outcome.await.into_result() {
                Ok(()) => sent.push(n),
                Err(error) => assert_eq!(error.into_inner(), n),
            }
        }
        drop(sender);
        sent
    });
    assert_eq!(thread.join().unwrap(), sent);
}

/// A wait for a time happened or did not, as well.
#[test]
fn a_timeout_that_races_loses_nothing() {
    let (sender, mut receiver) = channel(1);
    let thread = thread::spawn(move || {
        let mut values = Vec::new();
        loop {
            match receiver.blocking_recv_timeout(Duration::from_nanos(1)) {
                Ok(n) => values.push(n),
                Err(RecvTimeoutError::Closed) => return values,
                Err(_) => {}
            }
        }
    });
    let mut sent = Vec::new();
    for n in 0..2000 {
        match sender.blocking_send_timeout(n, Duration::from_nanos(1)) {
            Ok(()) => sent.push(n),
            Err(error) => assert_eq!(error.into_inner(), n),
        }
    }
    drop(sender);
    assert_eq!(thread.join().unwrap(), sent);
}

#[test]
fn nobody_overtakes_who_stands_in_line() {
    simulate(async || {
        let (sender, mut receiver) = channel(1);
        sender.try_send(0).unwrap();
        let tasks: Vec<_> = (1..4)
            .map(|n| {
                let sender = sender.clone();
                spawn(async move || sender.send(n).await.unwrap())
            })
            .collect();
        yield_now().await.unwrap();
        assert_eq!(receiver.try_recv(), Ok(0));
        assert!(
            sender.try_send(9).unwrap_err().is_full(),
            "the room was taken"
        );
        for n in 1..4 {
            assert_eq!(receiver.recv().await, Ok(Some(n)));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn closed_by_the_receiver_the_waiting_have_their_values_back() {
    for_each_driver(async || {
        let (sender, mut receiver) = channel(1);
        sender.try_send(0).unwrap();
        let blocked = thread::spawn({
            let sender = sender.clone();
            move || sender.blocking_send(1)
        });
        let waiting = spawn({
            let sender = sender.clone();
            async move || sender.send(2).await
        });
        yield_now().await.unwrap();
        receiver.close();
        assert!(sender.is_closed());
        assert!(matches!(waiting.await.unwrap(), Err(SendError::Closed(2))));
        assert!(matches!(blocked.join().unwrap(), Err(SendError::Closed(1))));
        assert!(matches!(sender.try_send(3), Err(TrySendError::Closed(3))));
        assert_eq!(receiver.recv().await, Ok(Some(0)), "it was sent");
        assert_eq!(receiver.recv().await, Ok(None));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    });
}

/// Counts its drops.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn every_value_is_dropped_once() {
    simulate(async || {
        let count = Arc::<AtomicUsize>::default();
        let value = || Dropped(Arc::clone(&count));
        let (sender, mut receiver) = channel(2);
        sender.try_send(value()).unwrap();
        sender.try_send(value()).unwrap();
        {
            let mut given_up = pin!(sender.send(value()));
            assert!(poll_once(given_up.as_mut()).await.is_pending());
        }
        assert_eq!(count.load(Ordering::SeqCst), 1, "it was not sent");
        drop(receiver.recv().await.unwrap());
        assert_eq!(count.load(Ordering::SeqCst), 2);
        drop(receiver);
        assert_eq!(count.load(Ordering::SeqCst), 3, "with the receiver");
        drop(sender.try_send(value()));
        assert_eq!(count.load(Ordering::SeqCst), 4);
    });
}

async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[test]
fn a_forgotten_send_is_sent_in_its_turn() {
    simulate(async || {
        let (sender, mut receiver) = channel(1);
        sender.try_send(1).unwrap();
        {
            let sender = sender.clone();
            let mut send = Box::pin(async move { sender.send(2).await });
            assert!(poll_once(send.as_mut()).await.is_pending());
            std::mem::forget(send);
        }
        assert_eq!(receiver.recv().await, Ok(Some(1)));
        assert_eq!(receiver.recv().await, Ok(Some(2)));
    });
}

#[test]
fn the_tree_shows_who_waits() {
    simulate(async || {
        let (sender, mut receiver) = channel(1);
        let receiving = spawn(async move || receiver.recv().await);
        yield_now().await.unwrap();
        let text = tree().to_string();
        assert!(text.contains("channel recv at "), "{text}");
        sender.send(()).await.unwrap();
        receiving.await.unwrap().unwrap();

        let (sender, _receiver) = channel(1);
        sender.send(()).await.unwrap();
        let sending = spawn(async move || sender.send(()).await);
        yield_now().await.unwrap();
        let text = tree().to_string();
        assert!(text.contains("channel send at "), "{text}");
        drop(sending);
    });
}

#[test]
fn large_channels_give_their_memory_back() {
    let (sender, mut receiver) = unbounded();
    for n in 0..10_000 {
        sender.send(n).unwrap();
    }
    for n in 0..10_000 {
        assert_eq!(receiver.try_recv(), Ok(n));
    }
    sender.send(1).unwrap();
    drop(sender);
    assert_eq!(receiver.blocking_recv(), Some(1));
    assert_eq!(receiver.blocking_recv(), None);
}

#[test]
fn on_a_thread_with_a_loop_blocking_panics() {
    simulate(async || {
        let (sender, mut receiver) = channel(1);
        let panics = |f: &mut dyn FnMut()| {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
            let message = panic.downcast_ref::<String>().unwrap();
            assert!(message.contains("hold up the event loop"), "{message}");
        };
        panics(&mut || sender.blocking_send(1).unwrap());
        panics(&mut || assert_eq!(receiver.blocking_recv(), None));
        panics(&mut || assert!(receiver.blocking_recv_timeout(Duration::ZERO).is_err()));
        panics(&mut || assert!(sender.blocking_send_timeout(1, Duration::ZERO).is_ok()));
        panics(&mut || block_on(async {}));
        assert!(receiver.is_empty());
    });
}

#[test]
fn what_the_errors_say() {
    let (sender, mut receiver) = channel(1);
    let error = receiver.blocking_recv_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(error.to_string(), "the channel had nothing in time");
    sender.try_send(1).unwrap();
    let error = sender.blocking_send_timeout(2, Duration::ZERO).unwrap_err();
    assert!(error.is_timed_out());
    assert_eq!(
        format!("{error:?}: {error}"),
        "TimedOut(..): the channel had no room in time"
    );
    drop(receiver);
    let error = sender.blocking_send_timeout(2, Duration::ZERO).unwrap_err();
    assert!(matches!(error, SendTimeoutError::Closed(2)));
}

#[test]
fn on_a_plain_thread_a_leaf_of_the_loop_says_what_it_needs() {
    let panic = thread::spawn(|| {
        block_on(async {
            drop(antiphon::time::sleep(Duration::ZERO).await);
        });
    });
    let panic = panic.join().unwrap_err();
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap();
    assert!(
        message.starts_with("no event loop is running on this thread"),
        "{message}"
    );
}

/// What wakes the inner future must not be taken for what wakes the outer.
#[test]
fn block_on_in_block_on() {
    let (sender, mut receiver) = channel(1);
    let (inner_sender, mut inner_receiver) = channel(1);
    let thread = thread::spawn(move || {
        sender.blocking_send(1).unwrap();
        inner_sender.blocking_send(2).unwrap();
    });
    let sum = block_on(async {
        let inner = block_on(inner_receiver.recv()).unwrap().unwrap();
        inner + receiver.recv().await.unwrap().unwrap()
    });
    assert_eq!(sum, 3);
    thread.join().unwrap();
}
