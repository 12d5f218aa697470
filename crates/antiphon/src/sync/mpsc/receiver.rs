//! The end that receives.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::TryRecvError;
use super::chan::Chan;
use crate::sync::leaf::Leaf;

/// The end of a channel that receives. When it is dropped, the values in the channel are dropped and senders are told.
pub struct Receiver<T> {
    chan: Rc<Chan<T>>,
    /// Here and not in the future, so that a future that is forgotten while it waits is not in the next one's way.
    leaf: Leaf,
}

impl<T> Receiver<T> {
    /// Makes a channel: what the ends share, and this end.
    #[track_caller]
    pub(super) fn open(capacity: usize) -> (Rc<Chan<T>>, Self) {
        let chan = Rc::new(Chan::new(capacity));
        let leaf = Leaf::new(Location::caller());
        (Rc::clone(&chan), Self { chan, leaf })
    }

    /// Receives the next value, waiting until there is one. Returns `None` when all were received and no sender is left,
    /// or the channel was closed.
    ///
    /// # Panics
    /// If it has to wait and no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** The value stays in the channel.
    #[inline]
    #[track_caller]
    pub fn recv(&mut self) -> Recv<'_, T> {
        self.leave();
        self.leaf = Leaf::new(Location::caller());
        Recv { receiver: self }
    }

    /// Polls for the next value: see [`recv`](Self::recv).
    ///
    /// The waker of the last poll is woken.
    ///
    /// # Panics
    /// If there is nothing and no loop is running on this thread.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Poll::Ready(next) = self.poll_next() {
            return Poll::Ready(next);
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
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Option<T>> {
        if self.leaf.is_waiting() && self.leaf.poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.leaf.join(&self.chan.for_values, cx, "mpsc recv", 0);
        // A value may have come, or the last sender gone, while this joined.
        self.poll_next()
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
    type Output = Option<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.receiver.poll_recv(cx)
    }
}

impl<T> Drop for Recv<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.receiver.leave();
    }
}
