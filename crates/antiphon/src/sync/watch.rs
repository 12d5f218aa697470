//! The latest value, and whether it changed.
//!
//! Receivers see the latest value and may skip those between. What [`Receiver::borrow`] gives is a shared handle on the
//! value of that moment: it holds nothing up, and a later value does not change it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::leaf::Leaf;
use crate::wait::Queue;

pub use super::error::{RecvError, SendError};

/// Makes a channel whose latest value is `initial`, which the receiver counts as seen.
///
/// # Examples
/// ```
/// use antiphon::{run, spawn, sync::watch};
///
/// run(async || {
///     let (sender, mut receiver) = watch::channel("starting");
///     let watcher = spawn(async move || {
///         receiver.changed().await.unwrap();
///         *receiver.borrow_and_update()
///     });
///     antiphon::yield_now().await?;
///     sender.send("busy").unwrap();
///     sender.send("done").unwrap();
///     assert_eq!(watcher.await.unwrap(), "done");
///     Ok::<(), antiphon::Cancelled>(())
/// })?;
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
pub fn channel<T>(initial: T) -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        value: RefCell::new(Rc::new(initial)),
        version: Cell::new(0),
        senders: Cell::new(0),
        receivers: Cell::new(0),
        waiters: Queue::new(),
    });
    let receiver = Receiver::new(&shared, 0);
    (Sender::new(&shared), receiver)
}

struct Shared<T> {
    /// Borrowed only to exchange or clone the handle.
    value: RefCell<Rc<T>>,
    /// How often the value was replaced.
    version: Cell<u64>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    /// Receivers that have seen the latest version. Each notes which that is.
    waiters: Queue,
}

impl<T> Shared<T> {
    fn latest(&self) -> Rc<T> {
        Rc::clone(&self.value.borrow())
    }
}

/// An end that replaces the value. Clone it to have several; when the last is dropped, receivers are told.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    fn new(shared: &Rc<Shared<T>>) -> Self {
        shared.senders.set(shared.senders.get() + 1);
        Self {
            shared: Rc::clone(shared),
        }
    }

    /// Replaces the value, and tells the receivers.
    ///
    /// # Errors
    /// [`SendError::Closed`], with `value`, if there is no receiver; the latest value is then the one before. See
    /// [`send_replace`](Self::send_replace). It does not wait, and is never cancelled.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.shared.receivers.get() == 0 {
            return Err(SendError::Closed(value));
        }
        self.send_replace(value);
        Ok(())
    }

    /// Replaces the value, whether there is a receiver or not. Returns the one before.
    pub fn send_replace(&self, value: T) -> Rc<T> {
        let shared = &*self.shared;
        let previous = shared.value.replace(Rc::new(value));
        let version = shared.version.get() + 1;
        shared.version.set(version);
        while shared
            .waiters
            .choose_first_if(|seen| (seen < version).then_some(version))
        {}
        previous
    }

    /// Returns the latest value.
    pub fn borrow(&self) -> Rc<T> {
        self.shared.latest()
    }

    /// Makes a receiver that counts the latest value as seen.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(&self.shared, self.shared.version.get())
    }

    /// Returns how many receivers there are.
    pub fn receivers(&self) -> usize {
        self.shared.receivers.get()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self::new(&self.shared)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.senders.set(self.shared.senders.get() - 1);
        if self.shared.senders.get() == 0 {
            while self.shared.waiters.choose_first(0) {}
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("value", &self.borrow())
            .finish_non_exhaustive()
    }
}

/// An end that looks at the value. Clone it to have another that has seen the same.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    /// The version that it has seen.
    seen: u64,
}

impl<T> Receiver<T> {
    fn new(shared: &Rc<Shared<T>>, seen: u64) -> Self {
        shared.receivers.set(shared.receivers.get() + 1);
        Self {
            shared: Rc::clone(shared),
            seen,
        }
    }

    /// Returns the latest value. Whether it counts as seen stays as it was.
    pub fn borrow(&self) -> Rc<T> {
        self.shared.latest()
    }

    /// Returns the latest value, and counts it as seen.
    pub fn borrow_and_update(&mut self) -> Rc<T> {
        self.seen = self.shared.version.get();
        self.shared.latest()
    }

    /// Returns `true` if there is a value that was not seen yet.
    pub fn has_changed(&self) -> bool {
        self.seen != self.shared.version.get()
    }

    /// Waits until there is a value that was not seen yet, and counts it as seen.
    ///
    /// # Errors
    /// [`RecvError::Closed`] if the latest value was seen and no sender is left; [`RecvError::Cancelled`] if the scope is
    /// cancelled before the value changes, and in a scope that is cancelled already even if it has.
    ///
    /// # Panics
    /// If it has to wait and no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** The value still counts as not seen, as if the future was dropped. If it changed before the cancel,
    /// the change counts as seen, and the next wait is the one that ends.
    #[track_caller]
    pub fn changed(&mut self) -> Changed<'_, T> {
        Changed {
            receiver: self,
            leaf: Leaf::new(Location::caller()),
        }
    }

    fn poll_change(&mut self) -> Poll<Result<(), RecvError>> {
        if self.has_changed() {
            self.seen = self.shared.version.get();
            return Poll::Ready(Ok(()));
        }
        if self.shared.senders.get() == 0 {
            Poll::Ready(Err(RecvError::Closed))
        } else {
            Poll::Pending
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::new(&self.shared, self.seen)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receivers.set(self.shared.receivers.get() - 1);
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("value", &self.borrow())
            .field("has_changed", &self.has_changed())
            .finish_non_exhaustive()
    }
}

/// The future of [`Receiver::changed`].
#[must_use = "futures do nothing unless awaited"]
pub struct Changed<'a, T> {
    receiver: &'a mut Receiver<T>,
    leaf: Leaf,
}

impl<T> Future for Changed<'_, T> {
    type Output = Result<(), RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        ready!(this.leaf.begin(cx))?;
        if let Poll::Ready(result) = this.receiver.poll_change() {
            this.leave();
            return Poll::Ready(result);
        }
        let waiters = &this.receiver.shared.waiters;
        if this.leaf.is_waiting() {
            ready!(this.leaf.poll(cx, waiters))?;
        }
        this.leaf.join(waiters, cx, "watch", this.receiver.seen);
        // The value may have changed, or the last sender gone, while this joined.
        let poll = this.receiver.poll_change();
        if poll.is_ready() {
            this.leave();
        }
        poll
    }
}

impl<T> Changed<'_, T> {
    fn leave(&mut self) {
        // What it was chosen for, all were chosen for.
        let _ = self.leaf.leave(&self.receiver.shared.waiters);
    }
}

impl<T> Drop for Changed<'_, T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> fmt::Debug for Changed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed")
            .field("leaf", &self.leaf)
            .finish_non_exhaustive()
    }
}
