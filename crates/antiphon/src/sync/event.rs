//! Something that happens once.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::leaf::Leaf;
use crate::scope::Cancelled;
use crate::wait::Queue;

/// Something that happens once, and that any number of tasks wait for.
///
/// Once it has happened, waiting for it is over at once. [`clear`](Self::clear) makes it wait for the next time; where
/// that is needed often, a new `Event` per time leaves less to think about.
///
/// # Examples
/// ```
/// use antiphon::{run, spawn, sync::Event};
/// use std::rc::Rc;
///
/// run(async || {
///     let ready = Rc::new(Event::new());
///     let waiter = spawn({
///         let ready = Rc::clone(&ready);
///         async move || ready.wait().await
///     });
///     antiphon::yield_now().await?;
///     ready.set();
///     waiter.await.unwrap()?;
///     assert!(ready.is_set());
///     Ok::<(), antiphon::Cancelled>(())
/// })?;
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
pub struct Event {
    is_set: Cell<bool>,
    /// How often it was set. One who waits notes the number that it does not wait for.
    sets: Cell<u64>,
    /// Nobody, while it is set.
    waiters: Queue,
}

impl Event {
    /// Makes an event that has not happened.
    pub const fn new() -> Self {
        Self {
            is_set: Cell::new(false),
            sets: Cell::new(0),
            waiters: Queue::new(),
        }
    }

    /// Says that it has happened, and wakes all who wait. Nothing happens if it had happened already.
    pub fn set(&self) {
        if !self.is_set.replace(true) {
            self.sets.set(self.sets.get() + 1);
            self.wake(self.sets.get());
        }
    }

    /// Makes it wait for the next [`set`](Self::set). Those who were woken by the last one go on all the same.
    pub fn clear(&self) {
        self.is_set.set(false);
    }

    /// Returns `true` if it has happened.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.is_set.get()
    }

    /// Waits until it has happened.
    ///
    /// # Errors
    /// [`Cancelled`] if the scope is cancelled before, even if it has happened already.
    ///
    /// # Panics
    /// If it has to wait and no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** The others hear of the event as before. One that heard of it before the cancel goes on, and the
    /// next wait is the one that ends.
    #[inline]
    #[track_caller]
    pub const fn wait(&self) -> EventWait<'_> {
        EventWait {
            event: self,
            leaf: Leaf::new(Location::caller()),
        }
    }

    /// Wakes those who waited before it was set for the `set`th time: a waker that clears and waits is not woken again.
    fn wake(&self, set: u64) {
        while self
            .waiters
            .choose_first_if(|sets| (sets < set).then_some(set))
        {}
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("is_set", &self.is_set())
            .field("waiting", &self.waiters.len())
            .finish_non_exhaustive()
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

/// The future of [`Event::wait`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct EventWait<'a> {
    event: &'a Event,
    leaf: Leaf,
}

impl EventWait<'_> {
    #[inline(never)]
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Result<(), Cancelled>> {
        if self.leaf.is_waiting() {
            return self.leaf.poll(cx, &self.event.waiters).map_ok(|_| ());
        }
        self.leaf
            .join(&self.event.waiters, cx, "event", self.event.sets.get());
        // It may have been set while this joined.
        if self.event.is_set() {
            self.event.wake(self.event.sets.get() + 1);
        }
        Poll::Pending
    }
}

impl Future for EventWait<'_> {
    type Output = Result<(), Cancelled>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.leaf.begin(cx))?;
        if !self.leaf.is_waiting() && self.event.is_set() {
            return Poll::Ready(Ok(()));
        }
        self.wait(cx)
    }
}

impl Drop for EventWait<'_> {
    #[inline]
    fn drop(&mut self) {
        // What it was chosen for, if it was, the others were chosen for as well.
        let _ = self.leaf.leave(&self.event.waiters);
    }
}
