//! Awaiting on a plain thread.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use super::parker::Parker;

/// Awaits `future` on this thread, which sleeps meanwhile.
///
/// It is not a loop. It is for futures that other threads end: those of a [`channel`](super::channel()), a
/// [`SendJoinHandle`](super::SendJoinHandle), an [`unblock`](super::unblock), and of crates that need no runtime. What needs a
/// loop (sockets, sleeps, [`spawn`](crate::spawn), scopes, the meeting places of [`sync`](crate::sync) when they have to
/// wait) panics with "no event loop is running on this thread"; start one with [`run`](crate::run).
///
/// # Panics
/// If a loop is running on this thread, which this would hold up; and with whatever `future` panics.
///
/// # Cancellation
/// There are no scopes here, and nothing is ever cancelled.
///
/// # Examples
/// ```
/// use antiphon::thread;
///
/// let (sender, mut receiver) = thread::channel(1);
/// let both = async move {
///     sender.send("hello").await.unwrap();
///     receiver.recv().await
/// };
/// assert_eq!(thread::block_on(both)?, Some("hello"));
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let parker = Parker::new("await the future instead");
    let mut cx = Context::from_waker(parker.waker());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return value;
        }
        parker.park();
    }
}
