//! The ends that send.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::chan::{Chan, PROMISED};
use super::{SendError, TrySendError};
use crate::scope::Cancelled;
use crate::sync::leaf::Leaf;

/// An end of a bounded channel that sends. Clone it to have several; when the last is dropped, the receiver is told.
pub struct Sender<T> {
    chan: Rc<Chan<T>>,
}

impl<T> Sender<T> {
    pub(super) fn new(chan: &Rc<Chan<T>>) -> Self {
        Self {
            chan: chan.enter_sender(),
        }
    }

    /// Sends `value`, waiting until there is room and all who came before have had theirs.
    ///
    /// # Errors
    /// Gives `value` back: [`SendError::Closed`] if the receiver is gone; [`SendError::Cancelled`] if the scope is cancelled
    /// before there is room, and in a scope that is cancelled already even if there is.
    ///
    /// # Panics
    /// If it has to wait and no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** `value` was not sent; it is in the error, or was dropped with the future if that was dropped, where
    /// [`reserve`](Self::reserve) lets you keep it. Room that was on its way to a dropped future goes to the next one who waits
    /// for some. Room that was promised before the cancel is used: `value` is sent, and the next wait is the one that ends.
    #[inline]
    #[track_caller]
    pub const fn send(&self, value: T) -> Send<'_, T> {
        Send {
            request: Request {
                chan: &self.chan,
                leaf: Leaf::new(Location::caller()),
            },
            value: Some(value),
        }
    }

    /// Waits for room for one value.
    ///
    /// # Errors
    /// [`SendError::Closed`] if the receiver is gone; [`SendError::Cancelled`] if the scope is cancelled before there is room,
    /// and in a scope that is cancelled already even if there is.
    ///
    /// # Panics
    /// If it has to wait and no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** No room is taken. Room that was promised before the cancel is the permit's, and the next wait is the
    /// one that ends; if the future is dropped then, it goes to the next one who waits for some.
    ///
    /// # Examples
    /// ```
    /// use antiphon::{run, sync::mpsc};
    ///
    /// run(async || {
    ///     let (sender, mut receiver) = mpsc::channel(1);
    ///     let permit = sender.reserve().await.unwrap();
    ///     assert!(sender.try_send(1).is_err(), "the room is the permit's");
    ///     permit.send(2).unwrap();
    ///     assert_eq!(receiver.recv().await?, Some(2));
    ///     Ok::<(), antiphon::Cancelled>(())
    /// })?;
    /// # Ok::<(), antiphon::Cancelled>(())
    /// ```
    #[inline]
    #[track_caller]
    pub const fn reserve(&self) -> Reserve<'_, T> {
        Reserve {
            request: Request {
                chan: &self.chan,
                leaf: Leaf::new(Location::caller()),
            },
        }
    }

    /// Sends `value` if there is room that nobody waits for.
    ///
    /// # Errors
    /// Gives `value` back: [`TrySendError::Full`] if there is no such room, [`TrySendError::Closed`] if the receiver is gone.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if self.chan.is_closed() {
            return Err(TrySendError::Closed(value));
        }
        if !self.chan.has_room() {
            return Err(TrySendError::Full(value));
        }
        self.chan.push(value);
        Ok(())
    }

    /// Returns `true` if the receiver is gone: dropped, or closed.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.chan.is_closed()
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

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self::new(&self.chan)
    }
}

impl<T> Drop for Sender<T> {
    #[inline]
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

/// An end of an unbounded channel that sends. Clone it to have several; when the last is dropped, the receiver is told.
pub struct UnboundedSender<T> {
    chan: Rc<Chan<T>>,
}

impl<T> UnboundedSender<T> {
    pub(super) fn new(chan: &Rc<Chan<T>>) -> Self {
        Self {
            chan: chan.enter_sender(),
        }
    }

    /// Sends `value`.
    ///
    /// # Errors
    /// [`SendError::Closed`], with `value`, if the receiver is gone. It does not wait, and is never cancelled.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.chan.is_closed() {
            return Err(SendError::Closed(value));
        }
        self.chan.push(value);
        Ok(())
    }

    /// Returns `true` if the receiver is gone: dropped, or closed.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.chan.is_closed()
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

impl<T> Clone for UnboundedSender<T> {
    fn clone(&self) -> Self {
        Self::new(&self.chan)
    }
}

impl<T> Drop for UnboundedSender<T> {
    #[inline]
    fn drop(&mut self) {
        self.chan.leave_sender();
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

/// One who asks for room: what the two futures have in common.
struct Request<'a, T> {
    chan: &'a Rc<Chan<T>>,
    leaf: Leaf,
}

impl<'a, T> Request<'a, T> {
    /// Waits for room. `None` says that the channel is closed.
    ///
    /// One that is cancelled leaves nothing to pass on: all ask for the same, so it kept nobody from room that was left.
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Permit<'a, T>>, Cancelled>> {
        if !self.leaf.is_waiting() {
            self.leaf.join(&self.chan.for_room, cx, "mpsc send", 0);
            // Room may have been made, or the channel closed, while this joined.
            if self.chan.is_closed() {
                self.chan.close();
            } else {
                self.chan.promise();
            }
            return Poll::Pending;
        }
        if ready!(self.leaf.poll(cx, &self.chan.for_room))? != PROMISED {
            return Poll::Ready(Ok(None));
        }
        self.chan.end_promise();
        let permit = Permit::new(self.chan);
        Poll::Ready(Ok(if self.chan.is_closed() {
            None
        } else {
            Some(permit)
        }))
    }
}

impl<T> Drop for Request<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.leaf.leave(&self.chan.for_room) == Some(PROMISED) {
            self.chan.end_promise();
            self.chan.promise();
        }
    }
}

/// The future of [`Sender::send`].
#[must_use = "futures do nothing unless awaited"]
pub struct Send<'a, T> {
    request: Request<'a, T>,
    /// The value, until it was sent.
    value: Option<T>,
}

/// The value is not pinned.
impl<T> Unpin for Send<'_, T> {}

impl<T> Send<'_, T> {
    #[inline]
    fn take_value(&mut self) -> T {
        self.value
            .take()
            .expect("`Sender::send` was polled after it was done")
    }

    #[inline(never)]
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let permit = ready!(self.request.wait(cx));
        let value = self.take_value();
        Poll::Ready(match permit {
            Ok(Some(permit)) => permit.send(value),
            Ok(None) => Err(SendError::Closed(value)),
            Err(cancelled) => Err(SendError::Cancelled(value, cancelled)),
        })
    }
}

impl<T> Future for Send<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Err(cancelled) = ready!(this.request.leaf.begin(cx)) {
            return Poll::Ready(Err(SendError::Cancelled(this.take_value(), cancelled)));
        }
        let chan = this.request.chan;
        if !this.request.leaf.is_waiting() {
            if chan.is_closed() {
                return Poll::Ready(Err(SendError::Closed(this.take_value())));
            }
            if chan.has_room_for_newcomers() {
                chan.push(this.take_value());
                return Poll::Ready(Ok(()));
            }
        }
        this.wait(cx)
    }
}

impl<T> fmt::Debug for Send<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Send")
            .field("leaf", &self.request.leaf)
            .finish_non_exhaustive()
    }
}

/// The future of [`Sender::reserve`].
#[must_use = "futures do nothing unless awaited"]
pub struct Reserve<'a, T> {
    request: Request<'a, T>,
}

impl<'a, T> Future for Reserve<'a, T> {
    type Output = Result<Permit<'a, T>, SendError<()>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let request = &mut self.get_mut().request;
        if let Err(cancelled) = ready!(request.leaf.begin(cx)) {
            return Poll::Ready(Err(SendError::Cancelled((), cancelled)));
        }
        if !request.leaf.is_waiting() {
            if request.chan.is_closed() {
                return Poll::Ready(Err(SendError::Closed(())));
            }
            if request.chan.has_room_for_newcomers() {
                return Poll::Ready(Ok(Permit::new(request.chan)));
            }
        }
        Poll::Ready(match ready!(request.wait(cx)) {
            Ok(permit) => permit.ok_or(SendError::Closed(())),
            Err(cancelled) => Err(SendError::Cancelled((), cancelled)),
        })
    }
}

impl<T> fmt::Debug for Reserve<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserve")
            .field("leaf", &self.request.leaf)
            .finish_non_exhaustive()
    }
}

/// Room for one value in a channel. Dropping it gives the room to the next one who waits for some.
#[must_use = "the room is given up when the permit is dropped"]
pub struct Permit<'a, T> {
    chan: &'a Chan<T>,
}

impl<'a, T> Permit<'a, T> {
    /// Takes room that is left, or that was promised to the caller.
    fn new(chan: &'a Chan<T>) -> Self {
        chan.begin_permit();
        Self { chan }
    }

    /// Sends `value`, which there is room for.
    ///
    /// # Errors
    /// [`SendError::Closed`], with `value`, if the receiver is gone. It does not wait, and is never cancelled.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        if self.chan.is_closed() {
            return Err(SendError::Closed(value));
        }
        // The value takes its room first, so that nobody takes it in between; then the permit ends.
        self.chan.push(value);
        Ok(())
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        self.chan.end_permit();
        self.chan.promise();
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
