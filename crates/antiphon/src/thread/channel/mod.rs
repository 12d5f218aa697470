//! Values handed over between threads, in order, from many senders to one receiver.
//!
//! Each end may be on a loop, on a plain thread, or with another runtime: what waits is awaited (`send`, `recv`) where there is
//! somebody to poll it, and called (`blocking_send`, `blocking_recv`) on a thread that has nothing else to do.
//!
//! A *bounded* channel has room for so many values; one who sends to a full channel stands in line until the receiver has made
//! room for it, with its value. Room goes to senders in the order in which they asked for it, and nobody overtakes them, so
//! values arrive in the order in which sending them began. An *unbounded* channel always has room.
//!
//! The memory is one ring of values. That of a bounded channel is there from the start, up to 1024 values; what is larger grows by
//! doubling, and is given back when the channel is empty.
//!
//! A value is either with the sender, in the channel, or with the receiver. A cancel leaves it where it is: one who waits for
//! room is given the value back, in the [error](SendError::Cancelled), and one who waits for a value has taken none. What was sent
//! before the cancel was sent, and what was there before it is received; the next wait is the one that ends. A future that is
//! dropped while it waits to send drops its value. One that is *forgotten* stays in line: its value is sent in its turn.

mod chan;
mod error;
mod receiver;
mod sender;

use std::sync::{Arc, Mutex, MutexGuard};

use self::chan::Chan;
use super::leaf::Leaf;
use super::parker::Parker;
use crate::worker::contain;

pub use self::error::{RecvTimeoutError, SendTimeoutError};
pub use self::receiver::{Receiver, Recv};
pub use self::sender::{Closed, Send, Sender, UnboundedSender};
pub use crate::sync::{SendError, TryRecvError, TrySendError};

/// Makes a channel between threads with room for `capacity` values.
///
/// # Panics
/// If `capacity` is zero.
///
/// # Examples
/// ```
/// use antiphon::thread;
///
/// let (sender, mut receiver) = thread::channel(2);
/// let thread = std::thread::spawn(move || {
///     for n in 0..5 {
///         sender.blocking_send(n).unwrap();
///     }
/// });
/// let received = antiphon::run(async || {
///     let mut received = Vec::new();
///     while let Some(n) = receiver.recv().await? {
///         received.push(n);
///     }
///     Ok::<_, antiphon::Cancelled>(received)
/// })?;
/// assert_eq!(received, [0, 1, 2, 3, 4]);
/// thread.join().unwrap();
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel has room for at least one value");
    let chan = Arc::new(Chan::new(capacity));
    (Sender::new(&chan), Receiver::new(chan))
}

/// Makes a channel between threads that always has room: nothing keeps its senders from filling the memory.
///
/// # Examples
/// ```
/// use antiphon::thread;
///
/// let (sender, mut receiver) = thread::unbounded();
/// sender.send('a').unwrap();
/// std::thread::spawn(move || sender.send('b').unwrap()).join().unwrap();
/// assert_eq!(receiver.blocking_recv(), Some('a'));
/// assert_eq!(receiver.blocking_recv(), Some('b'));
/// assert_eq!(receiver.blocking_recv(), None);
/// ```
pub fn unbounded<T>() -> (UnboundedSender<T>, Receiver<T>) {
    let chan = Arc::new(Chan::new(usize::MAX));
    (UnboundedSender::new(&chan), Receiver::new(chan))
}
