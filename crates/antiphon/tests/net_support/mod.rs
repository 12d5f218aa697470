//! What the tests of sockets have in common.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::any::Any;
use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::hash::BuildHasher;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use antiphon::net::{TcpListener, TcpStream};
use antiphon::{CancelScope, DriverKind, Outcome, Runtime, find_cancelled, tree, yield_now};
use futures_util::join;

/// Runs `body` on each driver: with the kernel's sockets, and with those of the simulation.
#[track_caller]
pub(crate) fn for_each_driver<F: AsyncFn()>(body: F) {
    for_each_kernel_driver(&body);
    run_on(DriverKind::VirtualTime, &body);
}

/// Runs `body` on each driver that has the kernel's sockets: it has peers, limits or descriptors that are the kernel's.
#[track_caller]
pub(crate) fn for_each_kernel_driver<F: AsyncFn()>(body: F) {
    for kind in [DriverKind::Readiness, DriverKind::Auto] {
        run_on(kind, &body);
    }
}

fn run_on<F: AsyncFn()>(kind: DriverKind, body: &F) {
    let mut runtime = Runtime::builder().driver(kind).build().unwrap();
    println!("driver: {}", runtime.driver());
    KIND.set(Some(kind));
    runtime.run(body);
    KIND.set(None);
}

thread_local! {
    /// The driver of the test that runs on this thread.
    static KIND: Cell<Option<DriverKind>> = const { Cell::new(None) };
}

/// Returns `true` if the sockets are those of the simulation.
pub(crate) fn is_simulated() -> bool {
    KIND.get() == Some(DriverKind::VirtualTime)
}

/// Returns where a listener is whose queue is full, so that it answers nothing, and what keeps it so.
pub(crate) async fn silent() -> (SocketAddr, Box<dyn Any>) {
    if is_simulated() {
        return silent_simulated().await;
    }
    let new = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener = new();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let fill = |_| {
        let stream = new();
        stream.set_nonblocking(true).unwrap();
        let _ = stream.connect(&address.into());
        stream
    };
    let queue: Vec<_> = (0..8).map(fill).collect();
    (address, Box::new((listener, queue)))
}

/// There the queue has exactly one place more than the 1024 that were asked for.
async fn silent_simulated() -> (SocketAddr, Box<dyn Any>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    for _ in 0..1025 {
        queue.push(TcpStream::connect(address).await.unwrap());
    }
    (address, Box::new((listener, queue)))
}

/// Returns two ends of a TCP connection: the one that connected, and the one that was accepted.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (peer, address) = listener.accept().await.unwrap();
    assert_eq!(address, stream.local_addr().unwrap());
    (stream, peer)
}

/// Polls `future` up to `polls` times, once a turn at least, and then gives it up: `None`.
pub(crate) async fn give_up_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await
}

/// Polls `future` once. If it is not ready then, it is forgotten: its destructor never runs.
pub(crate) async fn forget<F: Future>(future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    match polled {
        Poll::Ready(value) => Some(value),
        Poll::Pending => {
            std::mem::forget(future);
            None
        }
    }
}

/// Lets the others run until somebody waits for `kind`, as the task tree shows it.
pub(crate) async fn until_someone_waits_for(kind: &str) {
    while !tree()
        .tasks
        .iter()
        .flat_map(|task| &task.waits)
        .any(|wait| wait.kind == kind)
    {
        yield_now().await.unwrap();
    }
}

/// Numbers that look random. Says its seed; `ANTIPHON_SEED` sets it.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        let drawn = || RandomState::new().hash_one(0) | 1;
        let seed =
            std::env::var("ANTIPHON_SEED").map_or_else(|_| drawn(), |seed| seed.parse().unwrap());
        println!("ANTIPHON_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// Bytes of which each tells where it is, for as far as that matters.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(pattern_at).collect()
}

pub(crate) fn pattern_at(index: usize) -> u8 {
    // The period is prime, so that no buffer's size divides it.
    u8::try_from(index % 251).unwrap()
}

pub(crate) fn kind_of<T>(result: io::Result<T>) -> io::ErrorKind {
    match result {
        Ok(_) => panic!("it went well"),
        Err(error) => error.kind(),
    }
}

/// Awaits `call` in a scope that was cancelled before: it gives way once, and ends.
#[track_caller]
pub(crate) fn ends_at_once<T: Debug>(
    call: impl AsyncFnOnce() -> io::Result<T>,
) -> impl Future<Output = io::Error> {
    let at = std::panic::Location::caller();
    async move {
        let scope = CancelScope::new();
        scope.cancel("before it began");
        let polls = Cell::new(0);
        let outcome = scope
            .run(async || {
                let mut call = pin!(call());
                poll_fn(|cx| {
                    polls.set(polls.get() + 1);
                    call.as_mut().poll(cx)
                })
                .await
            })
            .await;
        let Outcome::Cancelled(cancelled, error) = outcome else {
            panic!("at {at}: {outcome:?}");
        };
        assert_eq!(find_cancelled(&error), Some(&cancelled), "at {at}");
        assert_eq!(polls.get(), 2, "at {at}");
        error
    }
}

/// Awaits `call` in a scope that is cancelled when somebody waits for `kind`. It ends, and so does the next wait.
#[track_caller]
pub(crate) fn ends_while_it_waits<T: Debug>(
    kind: &str,
    call: impl AsyncFnOnce() -> io::Result<T>,
) -> impl Future<Output = io::Error> {
    let at = std::panic::Location::caller();
    async move {
        let scope = CancelScope::new();
        let body = scope.run(async || {
            let result = call().await;
            assert!(yield_now().await.is_err(), "at {at}: the level stays");
            result
        });
        let cancel = async {
            until_someone_waits_for(kind).await;
            assert!(scope.cancel("while it waits"));
        };
        let (outcome, ()) = join!(body, cancel);
        let Outcome::Cancelled(cancelled, error) = outcome else {
            panic!("at {at}: {outcome:?}");
        };
        assert_eq!(find_cancelled(&error), Some(&cancelled), "at {at}");
        assert_eq!(waits_len(), 0, "at {at}: {}", tree());
        error
    }
}

/// Awaits `call` in a scope that is cancelled in the very step in which it is polled for the second time, just before:
/// what it was woken for wins, and the next wait is the one that ends.
#[track_caller]
pub(crate) fn wins_the_race<T: Debug>(
    call: impl AsyncFnOnce() -> io::Result<T>,
) -> impl Future<Output = T> {
    let at = std::panic::Location::caller();
    async move {
        let scope = CancelScope::new();
        let mut body = pin!(scope.run(async || {
            let result = call().await?;
            assert!(scope.is_cancelled(), "at {at}: it did not wait");
            assert!(yield_now().await.is_err(), "at {at}: the level stays");
            Ok::<T, io::Error>(result)
        }));
        let mut polls = 0;
        let outcome = poll_fn(|cx| {
            polls += 1;
            if polls == 2 {
                scope.cancel("at the same moment");
            }
            body.as_mut().poll(cx)
        })
        .await;
        match outcome {
            Outcome::Done(value) => value,
            outcome => panic!("at {at}: {outcome:?}"),
        }
    }
}

/// How many waits the task tree shows.
pub(crate) fn waits_len() -> usize {
    tree().tasks.iter().map(|task| task.waits.len()).sum()
}
