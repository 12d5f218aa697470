//! The end that receives.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::TryRecvError;
use super::chan::Chan;
use crate::scope::{Cancelled, Checkpoint};
use crate::sync::leaf::Leaf;

/// The end of a channel that receives. When it is dropped, the values in the channel are dropped and senders are told.
pub struct Receiver<T> {
    chan: Rc<Chan<T>>,
    /// Here and not in the future, so that a future that is forgotten while it waits is not in the next one's way.
    leaf: Leaf,
    /// Of the next wait: `poll_recv` begins one after the other.
    checkpoint: Checkpoint,
}

impl<T> Receiver<T> {
    /// Makes a channel: what the ends share, and this end.
    #[track_caller]
    pub(super) fn open(capacity: usize) -> (Rc<Chan<T>>, Self) {
        let chan = Rc::new(Chan::new(capacity));
        let receiver = Self {
            chan: Rc::clone(&chan),
            leaf: Leaf::new(Location::caller()),
            checkpoint: Checkpoint::new(),
        };
        (chan, receiver)
    }

    /// Receives the next value, waiting until there is one. Returns `None` when all were received and no sender is left,
    /// or the channel was closed.
    ///
    /// # Errors
    /// [`Cancelled`] if the scope is cancelled before there is a value; in a scope that is cancelled already, even if there is.
    ///
    /// # Panics
    /// If it has to wait and no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** The value stays in the channel, and is the next one to be received; so it does if the future is
    /// dropped. A value that was sent before the cancel is returned, and the next wait is the one that ends. Likewise the end
    /// of the channel.
    ///
    /// # Examples
    /// What is there in spite of a cancel is received in a [`shield`](crate::shield), or with [`try_recv`](Self::try_recv):
    /// ```
    /// use antiphon::{CancelScope, Cancelled, run, sync::mpsc};
    ///
    /// run(async || {
    ///     let (sender, mut receiver) = mpsc::channel(8);
    ///     sender.send("left over").await.unwrap();
    ///     let scope = CancelScope::new();
    ///     let outcome = scope.run(async || {
    ///         scope.cancel("for the example");
    ///         let result = receiver.recv().await;
    ///         assert_eq!(receiver.try_recv(), Ok("left over"));
    ///         result
    ///     });
    ///     assert!(outcome.await.is_cancelled());
    /// });
    /// ```
    #[inline]
    #[track_caller]
    pub fn recv(&mut self) -> Recv<'_, T> {
        self.leave();
        self.leaf = Leaf::new(Location::caller());
        self.checkpoint = Checkpoint::new();
        Recv { receiver: self }
    }

    /// Polls for the next value: see [`recv`](Self::recv).
    ///
    /// The waker of the last poll is woken. The poll after one that was ready begins the next wait.
    ///
    /// # Errors
    /// [`Cancelled`] if the scope in which it is polled is cancelled. A wait that begins there is pending once before.
    ///
    /// # Panics
    /// If there is nothing and no loop is running on this thread.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>, Cancelled>> {
        ready!(self.begin(cx))?;
        if let Poll::Ready(next) = self.poll_next() {
            return Poll::Ready(Ok(next));
        }
        self.wait(cx)
    }

    /// Receives the next value if there is one.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if there is none now; [`TryRecvError::Closed`] if none will come.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.chan.pop() {
            Some(value) => Ok(value),
            None if self.chan.is_over() => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Lets nobody send any more. The values in the channel can still be received.
    pub fn close(&mut self) {
        self.chan.close();
    }

    /// Returns `true` if nobody can send any more: the channel was closed, or no sender is left.
    pub fn is_closed(&self) -> bool {
        self.chan.is_over()
    }

    /// Returns how many values the channel has room for; `usize::MAX` if it is unbounded.
    pub fn capacity(&self) -> usize {
        self.chan.capacity()
    }

    /// Returns how many values are in the channel.
    pub fn len(&self) -> usize {
        self.chan.len()
    }

    /// Returns `true` if no value is in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks whether to begin, unless it waits already.
    #[inline]
    fn begin(&mut self, cx: &Context<'_>) -> Poll<Result<(), Cancelled>> {
        if self.leaf.is_waiting() {
            return Poll::Ready(Ok(()));
        }
        let begins = self.checkpoint.poll(cx, self.leaf.at());
        if begins.is_ready() {
            self.checkpoint = Checkpoint::new();
        }
        begins
    }

    #[inline]
    fn poll_next(&mut self) -> Poll<Option<T>> {
        let next = self.chan.pop();
        if next.is_none() && !self.chan.is_over() {
            return Poll::Pending;
        }
        self.leave();
        Poll::Ready(next)
    }

    #[inline(never)]
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Result<Option<T>, Cancelled>> {
        if self.leaf.is_waiting() {
            ready!(self.leaf.poll(cx, &self.chan.for_values))?;
        }
        self.leaf.join(&self.chan.for_values, cx, "mpsc recv", 0);
        // A value may have come, or the last sender gone, while this joined.
        self.poll_next().map(Ok)
    }

    #[inline]
    fn leave(&mut self) {
        // What it was chosen for is still in the channel.
        let _ = self.leaf.leave(&self.chan.for_values);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.leave();
        self.chan.close();
        // Their destructors run now, not when the senders go, and may look at the channel.
        drop(self.chan.take_values());
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("capacity", &self.capacity())
            .field("len", &self.len())
            .field("senders", &self.chan.senders())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// The future of [`Receiver::recv`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Recv<'a, T> {
    receiver: &'a mut Receiver<T>,
}

impl<T> Future for Recv<'_, T> {
    type Output = Result<Option<T>, Cancelled>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.receiver.poll_recv(cx)
    }
}

impl<T> Drop for Recv<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.receiver.leave();
    }
}
