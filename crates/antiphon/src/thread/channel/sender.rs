//! The ends that send.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::chan::{Chan, NotSent, Ticket};
use super::{Leaf, Parker, SendError, SendTimeoutError, TrySendError};
use crate::scope::Cancelled;

/// An end of a bounded channel that sends. Clone it to have several; when the last is dropped, the receiver is told.
pub struct Sender<T> {
    end: End<T>,
}

/// An end of an unbounded channel that sends. Clone it to have several; when the last is dropped, the receiver is told.
pub struct UnboundedSender<T> {
    end: End<T>,
}

/// One who is counted.
struct End<T> {
    chan: Arc<Chan<T>>,
}

impl<T> Sender<T> {
    pub(super) fn new(chan: &Arc<Chan<T>>) -> Self {
        let chan = Arc::clone(chan);
        Self { end: End { chan } }
    }

    /// Sends `value`, waiting until there is room and all who came before have had theirs.
    ///
    /// # Errors
    /// Gives `value` back: [`SendError::Closed`] if the receiver is gone; [`SendError::Cancelled`] if the scope is cancelled
    /// before there is room, and in a scope that is cancelled already even if there is. Off the loops never the latter.
    ///
    /// # Cancellation
    /// **Did not happen.** `value` was not sent; it is in the error, or was dropped with the future if that was dropped. If there
    /// was room before the cancel, it was sent, and the next wait is the one that ends.
    #[track_caller]
    pub fn send(&self, value: T) -> Send<'_, T> {
        Send {
            chan: &self.end.chan,
            leaf: Leaf::new(Location::caller()),
            value: Some(value),
            ticket: None,
        }
    }

    /// Sends `value` on a plain thread, which sleeps until there is room and all who came before have had theirs.
    ///
    /// # Errors
    /// [`SendError::Closed`], with `value`, if the receiver is gone.
    ///
    /// # Panics
    /// If a loop is running on this thread, which this would hold up.
    #[track_caller]
    pub fn blocking_send(&self, value: T) -> Result<(), SendError<T>> {
        let parker = Parker::new("await `send` instead");
        let chan = &self.end.chan;
        let ticket = match chan.wait_to_send(value, parker.waker()) {
            Ok(None) => return Ok(()),
            Ok(Some(ticket)) => ticket,
            Err(NotSent::Full(value) | NotSent::Closed(value)) => {
                return Err(SendError::Closed(value));
            }
        };
        loop {
            parker.park();
            if let Poll::Ready(result) = chan.poll_sent(&ticket, parker.waker()) {
                return result.map_err(SendError::Closed);
            }
        }
    }

    /// Sends `value` on a plain thread, which sleeps until there is room and all who came before have had theirs, no longer than
    /// `timeout`.
    ///
    /// # Errors
    /// Gives `value` back: [`SendTimeoutError::TimedOut`] if there was no room in time, [`SendTimeoutError::Closed`] if the
    /// receiver is gone.
    ///
    /// # Panics
    /// If a loop is running on this thread, which this would hold up.
    ///
    /// # Examples
    /// ```
    /// use antiphon::thread::channel::{SendTimeoutError, channel};
    /// use std::time::Duration;
    ///
    /// let (sender, receiver) = channel(1);
    /// sender.try_send(1).unwrap();
    /// let full = sender.blocking_send_timeout(2, Duration::from_millis(1));
    /// assert_eq!(full, Err(SendTimeoutError::TimedOut(2)));
    /// assert_eq!(receiver.len(), 1);
    /// ```
    #[track_caller]
    pub fn blocking_send_timeout(
        &self,
        value: T,
        timeout: Duration,
    ) -> Result<(), SendTimeoutError<T>> {
        let parker = Parker::new("await `send` in a `time::timeout` instead");
        let chan = &self.end.chan;
        let ticket = match chan.wait_to_send(value, parker.waker()) {
            Ok(None) => return Ok(()),
            Ok(Some(ticket)) => ticket,
            Err(NotSent::Full(value) | NotSent::Closed(value)) => {
                return Err(SendTimeoutError::Closed(value));
            }
        };
        // It is woken once, when the value was sent or can't be.
        while parker.park_timeout(timeout) {
            if let Poll::Ready(result) = chan.poll_sent(&ticket, parker.waker()) {
                return result.map_err(SendTimeoutError::Closed);
            }
        }
        match chan.leave_sending(&ticket) {
            Some(value) => Err(SendTimeoutError::TimedOut(value)),
            None => Ok(()),
        }
    }

    /// Sends `value` if there is room.
    ///
    /// # Errors
    /// Gives `value` back: [`TrySendError::Full`] if there is none, [`TrySendError::Closed`] if the receiver is gone.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.end.chan.push(value).map_err(|refused| match refused {
            NotSent::Full(value) => TrySendError::Full(value),
            NotSent::Closed(value) => TrySendError::Closed(value),
        })
    }

    /// Waits until the receiver is gone: nobody wants a value any more.
    ///
    /// # Errors
    /// [`Cancelled`] if the scope is cancelled before.
    ///
    /// # Cancellation
    /// **Did not happen.** The sender can send, or wait again. So it is if the future is dropped.
    #[track_caller]
    pub fn closed(&self) -> Closed<'_, T> {
        Closed {
            chan: &self.end.chan,
            leaf: Leaf::new(Location::caller()),
            ticket: None,
        }
    }

    /// Returns `true` if the receiver is gone: dropped, or closed.
    pub fn is_closed(&self) -> bool {
        self.end.chan.is_closed()
    }

    /// Returns how many values the channel has room for.
    pub fn capacity(&self) -> usize {
        self.end.chan.capacity()
    }

    /// Returns how many values are in the channel.
    pub fn len(&self) -> usize {
        self.end.chan.len()
    }

    /// Returns `true` if no value is in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> UnboundedSender<T> {
    pub(super) fn new(chan: &Arc<Chan<T>>) -> Self {
        let chan = Arc::clone(chan);
        Self { end: End { chan } }
    }

    /// Sends `value`.
    ///
    /// # Errors
    /// [`SendError::Closed`], with `value`, if the receiver is gone. It does not wait, and is never cancelled.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.end.chan.push(value).map_err(|refused| match refused {
            NotSent::Full(value) | NotSent::Closed(value) => SendError::Closed(value),
        })
    }

    /// Returns `true` if the receiver is gone: dropped, or closed.
    pub fn is_closed(&self) -> bool {
        self.end.chan.is_closed()
    }

    /// Returns how many values are in the channel.
    pub fn len(&self) -> usize {
        self.end.chan.len()
    }

    /// Returns `true` if no value is in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        let end = self.end.clone();
        Self { end }
    }
}

impl<T> Clone for UnboundedSender<T> {
    fn clone(&self) -> Self {
        let end = self.end.clone();
        Self { end }
    }
}

impl<T> Clone for End<T> {
    fn clone(&self) -> Self {
        self.chan.enter_sender();
        let chan = Arc::clone(&self.chan);
        Self { chan }
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        self.chan.leave_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("capacity", &self.capacity())
            .field("len", &self.len())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for UnboundedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnboundedSender")
            .field("len", &self.len())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// The future of [`Sender::send`].
#[must_use = "futures do nothing unless awaited"]
pub struct Send<'a, T> {
    chan: &'a Chan<T>,
    leaf: Leaf,
    /// Until it is sent, or stands in line.
    value: Option<T>,
    /// While it stands in line.
    ticket: Option<Ticket>,
}

impl<T> Unpin for Send<'_, T> {}

impl<T> Send<'_, T> {
    /// # Panics
    /// If the future is done.
    fn take_value(&mut self) -> T {
        self.value
            .take()
            .expect("`send` was polled after it was done")
    }

    fn begin(&mut self, cx: &Context<'_>) -> Poll<Result<(), SendError<T>>> {
        if let Err(cancelled) = ready!(self.leaf.begin(cx)) {
            return Poll::Ready(Err(SendError::Cancelled(self.take_value(), cancelled)));
        }
        let value = self.take_value();
        match self.chan.wait_to_send(value, cx.waker()) {
            Ok(None) => Poll::Ready(Ok(())),
            Ok(Some(ticket)) => {
                self.ticket = Some(ticket);
                self.leaf.wait(cx, "channel send");
                Poll::Pending
            }
            Err(NotSent::Full(value) | NotSent::Closed(value)) => {
                Poll::Ready(Err(SendError::Closed(value)))
            }
        }
    }
}

impl<T> Future for Send<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(ticket) = &this.ticket else {
            return this.begin(cx);
        };
        if let Poll::Ready(result) = this.chan.poll_sent(ticket, cx.waker()) {
            this.ticket = None;
            this.leaf.end();
            return Poll::Ready(result.map_err(SendError::Closed));
        }
        if Leaf::is_cancelled() {
            let unsent = this.chan.leave_sending(ticket);
            this.ticket = None;
            if let Some(value) = unsent {
                let cancelled = this.leaf.end_cancelled();
                return Poll::Ready(Err(SendError::Cancelled(value, cancelled)));
            }
            // The receiver was faster.
            this.leaf.end();
            return Poll::Ready(Ok(()));
        }
        this.leaf.wait(cx, "channel send");
        Poll::Pending
    }
}

impl<T> Drop for Send<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            drop(self.chan.leave_sending(&ticket));
        }
    }
}

impl<T> fmt::Debug for Send<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Send")
            .field("leaf", &self.leaf)
            .finish_non_exhaustive()
    }
}

/// The future of [`Sender::closed`].
#[must_use = "futures do nothing unless awaited"]
pub struct Closed<'a, T> {
    chan: &'a Chan<T>,
    leaf: Leaf,
    ticket: Option<Ticket>,
}

impl<T> Closed<'_, T> {
    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.chan.leave_closed(&ticket);
        }
    }
}

impl<T> Future for Closed<'_, T> {
    type Output = Result<(), Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        ready!(this.leaf.begin(cx))?;
        if this
            .chan
            .poll_closed(&mut this.ticket, cx.waker())
            .is_ready()
        {
            this.leaf.end();
            return Poll::Ready(Ok(()));
        }
        if Leaf::is_cancelled() {
            this.leave();
            return Poll::Ready(Err(this.leaf.end_cancelled()));
        }
        this.leaf.wait(cx, "channel closed");
        Poll::Pending
    }
}

impl<T> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> fmt::Debug for Closed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed")
            .field("leaf", &self.leaf)
            .finish_non_exhaustive()
    }
}
