//! Values handed over in order, from many senders to one receiver.
//!
//! A *bounded* channel has room for so many values; one who sends to a full channel waits until the receiver has made
//! room for it. Room goes to senders in the order in which they asked for it, and one who sends without having waited
//! stands behind those who did, so values arrive in the order in which sending them began. (Two exceptions, both of one's
//! own choosing: [`Sender::try_send`] never waits, and takes room that is left even while a sender that was promised some
//! has not run yet; and a task that polls several sends with a combinator decides itself which of them goes on first.) An
//! *unbounded* channel always has room.
//!
//! ```text
//!              full: wait ──▶ promised room ──┐ runs
//!   send ──┤                                  ├──▶ value in the channel ──▶ received
//!              room ──────────────────────────┘
//! ```
//! A value is either with the sender, in the channel, or with the receiver. A cancel leaves it where it is: one who waits for
//! room is given the value back, in the [error](SendError::Cancelled), and one who waits for a value has taken none. Room that
//! was promised before the cancel is used, and a value that came before it is received; the next wait is the one that ends.
//!
//! Dropping a future that sends before it is done drops the value that went in with it, and passes promised room on; use
//! [`Sender::reserve`] to hold on to the value until there is room. Dropping a future that receives loses nothing: values stay
//! in the channel until they are taken.

mod chan;
mod receiver;
mod sender;

pub use self::receiver::{Receiver, Recv};
pub use self::sender::{Permit, Reserve, Send, Sender, UnboundedSender};
pub use super::error::{SendError, TryRecvError, TrySendError};

/// Makes a channel with room for `capacity` values.
///
/// # Panics
/// If `capacity` is zero.
///
/// # Examples
/// ```
/// use antiphon::{run, spawn, sync::mpsc};
///
/// run(async || {
///     let (sender, mut receiver) = mpsc::channel(2);
///     let _ = spawn(async move || {
///         for n in 0..5 {
///             sender.send(n).await.unwrap();
///         }
///     });
///     let mut received = Vec::new();
///     while let Some(n) = receiver.recv().await? {
///         received.push(n);
///     }
///     assert_eq!(received, [0, 1, 2, 3, 4]);
///     Ok::<(), antiphon::Cancelled>(())
/// })?;
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel has room for at least one value");
    let (chan, receiver) = Receiver::open(capacity);
    (Sender::new(&chan), receiver)
}

/// Makes a channel that always has room: nothing keeps its senders from filling the memory.
///
/// # Examples
/// ```
/// use antiphon::{run, sync::mpsc};
///
/// run(async || {
///     let (sender, mut receiver) = mpsc::unbounded();
///     sender.send('a').unwrap();
///     sender.send('b').unwrap();
///     drop(sender);
///     assert_eq!(receiver.recv().await?, Some('a'));
///     assert_eq!(receiver.recv().await?, Some('b'));
///     assert_eq!(receiver.recv().await?, None);
///     Ok::<(), antiphon::Cancelled>(())
/// })?;
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
#[track_caller]
pub fn unbounded<T>() -> (UnboundedSender<T>, Receiver<T>) {
    let (chan, receiver) = Receiver::open(usize::MAX);
    (UnboundedSender::new(&chan), receiver)
}
