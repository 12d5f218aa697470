//! The end that receives.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::chan::Chan;
use super::{Leaf, Parker, RecvTimeoutError, TryRecvError};
use crate::scope::Cancelled;

/// The end of a channel that receives. When it is dropped, the senders are told, and what was not received is dropped.
pub struct Receiver<T> {
    chan: Arc<Chan<T>>,
}

impl<T> Receiver<T> {
    pub(super) const fn new(chan: Arc<Chan<T>>) -> Self {
        Self { chan }
    }

    /// Receives the next value, waiting until there is one. `None` says that there is nothing left and nobody who could send
    /// more, or that the channel was [closed](Self::close).
    ///
    /// # Errors
    /// [`Cancelled`] if the scope is cancelled before there is a value, and in a scope that is cancelled already even if there
    /// is. Off the loops never.
    ///
    /// # Cancellation
    /// **Did not happen.** Values stay in the channel until they are taken, also if the future is dropped. A value that came
    /// before the cancel is received, and the next wait is the one that ends.
    #[track_caller]
    pub const fn recv(&mut self) -> Recv<'_, T> {
        Recv {
            leaf: Leaf::new(Location::caller()),
            receiver: self,
        }
    }

    /// Receives the next value on a plain thread, which sleeps until there is one. `None` as in [`recv`](Self::recv).
    ///
    /// # Panics
    /// If a loop is running on this thread, which this would hold up.
    #[track_caller]
    pub fn blocking_recv(&mut self) -> Option<T> {
        let parker = Parker::new("await `recv` instead");
        loop {
            if let Poll::Ready(value) = self.chan.poll_recv(parker.waker()) {
                return value;
            }
            parker.park();
        }
    }

    /// Receives the next value on a plain thread, which sleeps until there is one, no longer than `timeout`.
    ///
    /// # Errors
    /// [`RecvTimeoutError::TimedOut`] if there was none in time; [`RecvTimeoutError::Closed`] if there will be none.
    ///
    /// # Panics
    /// If a loop is running on this thread, which this would hold up.
    ///
    /// # Examples
    /// ```
    /// use antiphon::thread::channel::{RecvTimeoutError, channel};
    /// use std::time::Duration;
    ///
    /// let (sender, mut receiver) = channel(1);
    /// let nothing = receiver.blocking_recv_timeout(Duration::from_millis(1));
    /// assert_eq!(nothing, Err(RecvTimeoutError::TimedOut));
    /// sender.try_send("now").unwrap();
    /// assert_eq!(receiver.blocking_recv_timeout(Duration::ZERO), Ok("now"));
    /// ```
    #[track_caller]
    pub fn blocking_recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let parker = Parker::new("await `recv` in a `time::timeout` instead");
        loop {
            if let Poll::Ready(value) = self.chan.poll_recv(parker.waker()) {
                return value.ok_or(RecvTimeoutError::Closed);
            }
            // It is woken once, by a value or by the end of the senders.
            if !parker.park_timeout(timeout) {
                self.chan.leave_receiving();
                return match self.chan.pop() {
                    Poll::Ready(value) => value.ok_or(RecvTimeoutError::Closed),
                    Poll::Pending => Err(RecvTimeoutError::TimedOut),
                };
            }
        }
    }

    /// Receives a value if there is one.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if there is none now, [`TryRecvError::Closed`] if there will be none.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.chan.pop() {
            Poll::Ready(Some(value)) => Ok(value),
            Poll::Ready(None) => Err(TryRecvError::Closed),
            Poll::Pending => Err(TryRecvError::Empty),
        }
    }

    /// Tells the senders that nothing more may be sent. Those that wait have their values back; what was sent before can still
    /// be received.
    pub fn close(&mut self) {
        self.chan.close();
    }

    /// Returns how many values the channel has room for.
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
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.chan.leave_receiver();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("capacity", &self.capacity())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The future of [`Receiver::recv`].
#[must_use = "futures do nothing unless awaited"]
pub struct Recv<'a, T> {
    receiver: &'a mut Receiver<T>,
    leaf: Leaf,
}

impl<T> Unpin for Recv<'_, T> {}

impl<T> Future for Recv<'_, T> {
    type Output = Result<Option<T>, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { receiver, leaf } = self.get_mut();
        ready!(leaf.begin(cx))?;
        if let Poll::Ready(value) = receiver.chan.poll_recv(cx.waker()) {
            leaf.end();
            return Poll::Ready(Ok(value));
        }
        if Leaf::is_cancelled() {
            receiver.chan.leave_receiving();
            return Poll::Ready(Err(leaf.end_cancelled()));
        }
        leaf.wait(cx, "channel recv");
        Poll::Pending
    }
}

impl<T> Drop for Recv<'_, T> {
    fn drop(&mut self) {
        if self.leaf.has_begun() {
            self.receiver.chan.leave_receiving();
        }
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv")
            .field("leaf", &self.leaf)
            .finish_non_exhaustive()
    }
}
