//! Everything to everybody, as far back as the ring reaches.
//!
//! A sender never waits: the channel keeps the last `capacity` values, and a receiver that falls further behind is told
//! how many it missed. A value is dropped when every receiver has taken it, or when the ring needs its place.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::leaf::Leaf;
use crate::scope::Cancelled;
use crate::wait::Queue;

pub use super::error::SendError;

/// Makes a channel that keeps the last `capacity` values for each receiver.
///
/// # Panics
/// If `capacity` is zero.
///
/// # Examples
/// ```
/// use antiphon::{run, sync::broadcast};
///
/// run(async || {
///     let (sender, mut one) = broadcast::channel(2);
///     let mut other = sender.subscribe();
///     for n in 1..=3 {
///         sender.send(n).unwrap();
///         assert_eq!(one.recv().await, Ok(n));
///     }
///     assert_eq!(other.recv().await, Err(broadcast::RecvError::Lagged(1)));
///     assert_eq!(other.recv().await, Ok(2));
/// });
/// ```
#[track_caller]
pub fn channel<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel has room for at least one value");
    let ring = Rc::new(Ring {
        entries: RefCell::new(VecDeque::new()),
        capacity,
        first: Cell::new(0),
        senders: Cell::new(0),
        receivers: Cell::new(0),
        waiters: Queue::new(),
    });
    let receiver = Receiver::new(&ring, 0);
    (Sender::new(&ring), receiver)
}

/// Why a receiver has no next value.
///
/// [`is_cancelled`](crate::is_cancelled) tells a cancel from the others, wherever it is wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// All values were received, and no sender is left.
    Closed,
    /// The receiver fell behind and missed so many values. It goes on with the oldest that is there.
    Lagged(u64),
    /// The scope was cancelled before there was a next value. The receiver goes on where it was.
    Cancelled(Cancelled),
}

/// Why a receiver has no next value now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryRecvError {
    /// There is none yet. Try again later, or wait.
    Empty,
    /// All values were received, and no sender is left.
    Closed,
    /// The receiver fell behind and missed so many values. It goes on with the oldest that is there.
    Lagged(u64),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("nothing is left to receive, and the senders are gone"),
            Self::Lagged(missed) => {
                write!(f, "the receiver fell behind and missed {missed} values")
            }
            Self::Cancelled(_) => f.write_str("the wait for a value was cancelled"),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing is there to receive now"),
            Self::Closed => RecvError::Closed.fmt(f),
            Self::Lagged(missed) => RecvError::Lagged(*missed).fmt(f),
        }
    }
}

impl From<Cancelled> for RecvError {
    fn from(cancelled: Cancelled) -> Self {
        Self::Cancelled(cancelled)
    }
}

impl std::error::Error for RecvError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Closed | Self::Lagged(_) => None,
            Self::Cancelled(cancelled) => Some(cancelled),
        }
    }
}

impl std::error::Error for TryRecvError {}

struct Ring<T> {
    /// Borrowed only to put in and take out, never while a value is cloned or dropped.
    entries: RefCell<VecDeque<Entry<T>>>,
    capacity: usize,
    /// The number of the first entry: so many have been taken out before it.
    first: Cell<u64>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    /// Receivers that have taken everything. Each notes the number of the value that it waits for.
    waiters: Queue,
}

struct Entry<T> {
    value: Rc<T>,
    /// Receivers that have still to take it. They take values in order, so it is never more than in a later entry.
    receivers: usize,
}

impl<T> Ring<T> {
    /// The number that the next value gets.
    fn end(&self) -> u64 {
        self.first.get() + self.entries.borrow().len() as u64
    }

    /// Takes out the first entry. The caller drops it when nothing is borrowed.
    fn pop(&self, entries: &mut VecDeque<Entry<T>>) -> Option<Rc<T>> {
        let entry = entries.pop_front()?;
        self.first.set(self.first.get() + 1);
        Some(entry.value)
    }

    /// Wakes the receivers that wait for values before the one numbered `end`.
    fn wake(&self, end: u64) {
        while self
            .waiters
            .choose_first_if(|next| (next < end).then_some(end))
        {}
    }

    fn wake_all(&self) {
        while self.waiters.choose_first(0) {}
    }
}

/// An end that sends. Clone it to have several; when the last is dropped, receivers are told once they have taken all.
pub struct Sender<T> {
    ring: Rc<Ring<T>>,
}

impl<T> Sender<T> {
    fn new(ring: &Rc<Ring<T>>) -> Self {
        ring.senders.set(ring.senders.get() + 1);
        Self {
            ring: Rc::clone(ring),
        }
    }

    /// Sends `value` to all receivers that there are now. Returns how many.
    ///
    /// # Errors
    /// [`SendError::Closed`], with `value`, if there are none. It does not wait, and is never cancelled.
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let ring = &*self.ring;
        let receivers = ring.receivers.get();
        if receivers == 0 {
            return Err(SendError::Closed(value));
        }
        let overwritten = {
            let mut entries = ring.entries.borrow_mut();
            let overwritten = if entries.len() == ring.capacity {
                ring.pop(&mut entries)
            } else {
                None
            };
            entries.push_back(Entry {
                value: Rc::new(value),
                receivers,
            });
            overwritten
        };
        ring.wake(ring.end());
        drop(overwritten);
        Ok(receivers)
    }

    /// Makes a receiver for the values that are sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(&self.ring, self.ring.end())
    }

    /// Returns how many receivers there are.
    pub fn receivers(&self) -> usize {
        self.ring.receivers.get()
    }

    /// Returns how many values are kept for a receiver that has not taken them.
    pub fn len(&self) -> usize {
        self.ring.entries.borrow().len()
    }

    /// Returns `true` if all receivers have taken all values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self::new(&self.ring)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.ring.senders.set(self.ring.senders.get() - 1);
        if self.ring.senders.get() == 0 {
            self.ring.wake_all();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("len", &self.len())
            .field("receivers", &self.receivers())
            .finish_non_exhaustive()
    }
}

/// An end that receives. Clone it to have another at the same point.
pub struct Receiver<T> {
    ring: Rc<Ring<T>>,
    /// The number of the value to take next.
    next: u64,
}

impl<T> Receiver<T> {
    /// Makes a receiver of the values from `next` on, each of which counts it in already or is still to come.
    fn new(ring: &Rc<Ring<T>>, next: u64) -> Self {
        ring.receivers.set(ring.receivers.get() + 1);
        Self {
            ring: Rc::clone(ring),
            next,
        }
    }

    /// Returns how many values this receiver has still to take, those that it missed not among them.
    pub fn len(&self) -> usize {
        self.ring
            .entries
            .borrow()
            .len()
            .saturating_sub(self.taken())
    }

    /// Returns `true` if this receiver has taken all values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries at the front of the ring this receiver has taken.
    fn taken(&self) -> usize {
        usize::try_from(self.next.saturating_sub(self.ring.first.get())).unwrap_or(usize::MAX)
    }

    /// Counts this receiver, which has not fallen behind, out of its next entry, and returns the value.
    fn advance(&mut self) -> Option<Rc<T>> {
        let ring = &*self.ring;
        let mut entries = ring.entries.borrow_mut();
        let index = self.taken();
        let entry = entries.get_mut(index)?;
        self.next += 1;
        entry.receivers -= 1;
        if entry.receivers > 0 {
            return Some(Rc::clone(&entry.value));
        }
        debug_assert_eq!(
            index, 0,
            "whoever has taken this entry has taken those before it"
        );
        ring.pop(&mut entries)
    }
}

impl<T: Clone> Receiver<T> {
    /// Receives the next value, waiting until there is one.
    ///
    /// # Errors
    /// [`RecvError::Lagged`] if values were overwritten before this receiver took them; [`RecvError::Closed`] if it has
    /// taken all and no sender is left; [`RecvError::Cancelled`] if the scope is cancelled before there is a value, and in a
    /// scope that is cancelled already even if there is.
    ///
    /// # Panics
    /// If it has to wait and no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** The value is still the next one, as if the future was dropped; but while nobody takes it the ring may
    /// need its place. What came before the cancel, a value or an error, is returned, and the next wait is the one that ends.
    #[track_caller]
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv {
            receiver: self,
            leaf: Leaf::new(Location::caller()),
        }
    }

    /// Receives the next value if there is one.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if there is none; otherwise as [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let missed = self.ring.first.get().saturating_sub(self.next);
        if missed > 0 {
            self.next = self.ring.first.get();
            return Err(TryRecvError::Lagged(missed));
        }
        // The last receiver to take a value gets it without a clone.
        let value = self.advance().map(Rc::unwrap_or_clone);
        value.ok_or(if self.ring.senders.get() == 0 {
            TryRecvError::Closed
        } else {
            TryRecvError::Empty
        })
    }

    fn poll_next(&mut self) -> Poll<Result<T, RecvError>> {
        match self.try_recv() {
            Ok(value) => Poll::Ready(Ok(value)),
            Err(TryRecvError::Lagged(missed)) => Poll::Ready(Err(RecvError::Lagged(missed))),
            Err(TryRecvError::Closed) => Poll::Ready(Err(RecvError::Closed)),
            Err(TryRecvError::Empty) => Poll::Pending,
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        for entry in self.ring.entries.borrow_mut().iter_mut().skip(self.taken()) {
            entry.receivers += 1;
        }
        Self::new(&self.ring, self.next)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // What is sent from here on does not count this receiver.
        self.ring.receivers.set(self.ring.receivers.get() - 1);
        let end = self.ring.end();
        loop {
            self.next = self.next.max(self.ring.first.get());
            if self.next >= end {
                break;
            }
            // The value's destructor runs outside of the borrow, and may itself use the channel.
            drop(self.advance());
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
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

impl<T: Clone> Future for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        ready!(this.leaf.begin(cx))?;
        if let Poll::Ready(result) = this.receiver.poll_next() {
            this.leave();
            return Poll::Ready(result);
        }
        let waiters = &this.receiver.ring.waiters;
        if this.leaf.is_waiting() {
            ready!(this.leaf.poll(cx, waiters))?;
        }
        this.leaf.join(waiters, cx, "broadcast", this.receiver.next);
        // A value may have come, or the last sender gone, while this joined.
        let poll = this.receiver.poll_next();
        if poll.is_ready() {
            this.leave();
        }
        poll
    }
}

impl<T> Recv<'_, T> {
    fn leave(&mut self) {
        // What it was chosen for, all were chosen for, and it stays in the ring.
        let _ = self.leaf.leave(&self.receiver.ring.waiters);
    }
}

impl<T> Drop for Recv<'_, T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv")
            .field("leaf", &self.leaf)
            .finish_non_exhaustive()
    }
}
