//! What the tests of sockets have in common.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::hash_map::RandomState;
use std::future::{Future, poll_fn};
use std::hash::BuildHasher;
use std::io;
use std::pin::pin;
use std::task::Poll;

use antiphon::net::{TcpListener, TcpStream};
use antiphon::{DriverKind, Runtime, tree, yield_now};

/// Runs `body` on each driver that does I/O.
#[track_caller]
pub(crate) fn for_each_driver<F: AsyncFn()>(body: F) {
    for kind in [DriverKind::Readiness, DriverKind::Auto] {
        let mut runtime = Runtime::builder().driver(kind).build().unwrap();
        println!("driver: {}", runtime.driver());
        runtime.run(&body);
    }
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
        yield_now().await;
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
