//! One value, handed over once.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::leaf::Leaf;
use crate::pool::Shared;
use crate::scope::{Cancelled, Checkpoint};
use crate::wait::Queue;

pub use super::error::{RecvError, SendError, TryRecvError};

/// Makes a channel for one value.
///
/// # Examples
/// ```
/// use antiphon::{run, spawn, sync::oneshot};
///
/// run(async || {
///     let (sender, receiver) = oneshot::channel();
///     let _ = spawn(async move || sender.send(42).unwrap());
///     assert_eq!(receiver.await, Ok(42));
/// });
/// ```
#[inline]
#[track_caller]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Shared::new(Inner {
        value: Cell::new(None),
        is_sender_gone: Cell::new(false),
        is_receiver_gone: Cell::new(false),
        for_value: Queue::new(),
        for_close: Queue::new(),
        receiver: RefCell::new(Leaf::new(Location::caller())),
        checkpoint: Cell::new(Checkpoint::new()),
    });
    (
        Sender {
            shared: shared.clone(),
        },
        Receiver { shared },
    )
}

struct Inner<T> {
    /// Empty before the value is sent and after it is received.
    value: Cell<Option<T>>,
    /// Set when the sender is dropped, and when it has sent.
    is_sender_gone: Cell<bool>,
    /// Set when the receiver is dropped or closed. A value sent before may still be there.
    is_receiver_gone: Cell<bool>,
    /// The receiver, while it waits.
    for_value: Queue,
    /// Those who wait for the receiver to go.
    for_close: Queue,
    /// The receiver's leaf, borrowed by nobody else. It lies here so that the receiver is a single word, which moves
    /// through registers: moved through memory right after it was written, it took longer than all the rest.
    receiver: RefCell<Leaf>,
    /// The receiver's, for its next wait: it may be awaited more than once.
    checkpoint: Cell<Checkpoint>,
}

/// The end that sends the value. Dropped without having sent, it tells the receiver so.
pub struct Sender<T> {
    shared: Shared<Inner<T>>,
}

impl<T> Sender<T> {
    /// Sends the value.
    ///
    /// It is then the receiver's, and is dropped with it if it is not received.
    ///
    /// # Errors
    /// [`SendError::Closed`], with `value`, if the receiver is gone. It does not wait, and is never cancelled.
    #[inline]
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError::Closed(value));
        }
        self.shared.value.set(Some(value));
        // Dropping the sender wakes the receiver.
        Ok(())
    }

    /// Returns `true` if the receiver is gone: dropped, or closed.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.shared.is_receiver_gone.get()
    }

    /// Waits until the receiver is gone: nobody wants the value any more.
    ///
    /// # Errors
    /// [`Cancelled`] if the scope is cancelled before.
    ///
    /// # Panics
    /// If it has to wait and no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** The sender can send, or wait again. So it is if the future is dropped. If the receiver went before
    /// the cancel, that is what it ends with, and the next wait is the one that is cancelled.
    ///
    /// # Examples
    /// ```
    /// use antiphon::{run, spawn, sync::oneshot};
    ///
    /// run(async || {
    ///     let (sender, receiver) = oneshot::channel::<u32>();
    ///     let _ = spawn(async move || drop(receiver));
    ///     sender.closed().await?;
    ///     assert_eq!(sender.send(1).unwrap_err().into_inner(), 1);
    ///     Ok::<(), antiphon::Cancelled>(())
    /// })?;
    /// # Ok::<(), antiphon::Cancelled>(())
    /// ```
    #[track_caller]
    pub const fn closed(&self) -> Closed<'_, T> {
        Closed {
            sender: self,
            leaf: Leaf::new(Location::caller()),
        }
    }
}

impl<T> Drop for Sender<T> {
    #[inline]
    fn drop(&mut self) {
        self.shared.is_sender_gone.set(true);
        self.shared.for_value.choose_first(0);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// The future of [`Sender::closed`].
#[must_use = "futures do nothing unless awaited"]
pub struct Closed<'a, T> {
    sender: &'a Sender<T>,
    leaf: Leaf,
}

impl<T> Future for Closed<'_, T> {
    type Output = Result<(), Cancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.leaf.begin(cx))?;
        let shared = &*self.sender.shared;
        if self.leaf.is_waiting() {
            return self.leaf.poll(cx, &shared.for_close).map_ok(|_| ());
        }
        if shared.is_receiver_gone.get() {
            return Poll::Ready(Ok(()));
        }
        self.leaf.join(&shared.for_close, cx, "oneshot closed", 0);
        // The receiver may have gone while this joined.
        if shared.is_receiver_gone.get() {
            shared.for_close.choose_first(0);
        }
        Poll::Pending
    }
}

impl<T> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        // The others, if there are any, were chosen as well.
        let _ = self.leaf.leave(&self.sender.shared.for_close);
    }
}

impl<T> fmt::Debug for Closed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed")
            .field("leaf", &self.leaf)
            .finish_non_exhaustive()
    }
}

/// The end that receives the value, by being awaited.
///
/// While it waits it is shown with the line that made the channel.
///
/// # Errors
/// [`RecvError::Closed`] if the sender was dropped without having sent, or the value was received before;
/// [`RecvError::Cancelled`] if the scope is cancelled before the value is sent, and for a wait that begins in a cancelled scope
/// even if it was.
///
/// # Panics
/// If it has to wait and no loop is running on this thread.
///
/// # Cancellation
/// **Did not happen.** Awaited as `&mut receiver`, it can be awaited again, in another scope or a [`shield`](crate::shield), and
/// the value is not lost; [`try_recv`](Self::try_recv) takes it at once. A value that was sent before the cancel is received,
/// and the next wait is the one that ends. Dropped itself, it takes a value that was sent along.
///
/// # Examples
/// ```
/// use antiphon::{CancelScope, run, sync::oneshot};
///
/// run(async || {
///     let (sender, mut receiver) = oneshot::channel();
///     let scope = CancelScope::new();
///     scope.cancel("for the example");
///     assert!(scope.run(async || (&mut receiver).await).await.is_cancelled());
///     sender.send("not lost").unwrap();
///     assert_eq!(receiver.await?, "not lost");
///     Ok::<(), oneshot::RecvError>(())
/// })?;
/// # Ok::<(), oneshot::RecvError>(())
/// ```
#[must_use = "a receiver that is dropped tells the sender that nobody wants the value"]
pub struct Receiver<T> {
    shared: Shared<Inner<T>>,
}

impl<T> Receiver<T> {
    /// Receives the value if it was sent.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if it was not sent yet; [`TryRecvError::Closed`] if it will not be, or was received before.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.shared.value.take() {
            Some(value) => Ok(value),
            None if self.is_over() => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Tells the sender that it may not send any more. A value that was sent before can still be received.
    pub fn close(&mut self) {
        self.shared.is_receiver_gone.set(true);
        while self.shared.for_close.choose_first(0) {}
    }

    /// Returns `true` if no value will come any more; one that came may be there.
    fn is_over(&self) -> bool {
        self.shared.is_sender_gone.get() || self.shared.is_receiver_gone.get()
    }

    /// Asks whether to begin, unless it waits already.
    #[inline]
    fn begin(&self, cx: &Context<'_>) -> Poll<Result<(), Cancelled>> {
        let leaf = self.shared.receiver.borrow();
        let at = leaf.at();
        if leaf.is_waiting() {
            return Poll::Ready(Ok(()));
        }
        drop(leaf);
        let mut checkpoint = self.shared.checkpoint.take();
        let begins = checkpoint.poll(cx, at);
        if begins.is_pending() {
            self.shared.checkpoint.set(checkpoint);
        }
        begins
    }

    #[inline]
    fn poll_value(&mut self) -> Poll<Result<T, RecvError>> {
        match self.shared.value.take() {
            Some(value) => Poll::Ready(Ok(value)),
            None if self.is_over() => Poll::Ready(Err(RecvError::Closed)),
            None => Poll::Pending,
        }
    }

    #[inline(never)]
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Result<T, RecvError>> {
        let shared = &*self.shared;
        let mut leaf = shared.receiver.borrow_mut();
        if leaf.is_waiting() {
            ready!(leaf.poll(cx, &shared.for_value))?;
        }
        leaf.join(&shared.for_value, cx, "oneshot", 0);
        drop(leaf);
        // The value may have been sent, or the sender gone, while this joined.
        let poll = self.poll_value();
        if poll.is_ready() {
            self.leave();
        }
        poll
    }

    #[inline]
    fn leave(&mut self) {
        // The value stays where it is.
        let _ = self
            .shared
            .receiver
            .borrow_mut()
            .leave(&self.shared.for_value);
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.begin(cx))?;
        if let Poll::Ready(result) = self.poll_value() {
            self.leave();
            return Poll::Ready(result);
        }
        self.wait(cx)
    }
}

impl<T> Drop for Receiver<T> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
        self.close();
        // The value's destructor runs now, not when the sender goes.
        drop(self.shared.value.take());
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("is_over", &self.is_over())
            .finish_non_exhaustive()
    }
}
