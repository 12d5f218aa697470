//! The waiting half of every operation in this module.
//!
//! A waiting operation is a future with a [`Leaf`] in it. Its life, whatever it waits for:
//!
//! 1. It looks whether it can go on at once. The queue is then not touched.
//! 2. It joins a queue, and looks again: joining clones the waker, which may be somebody else's code, and that code may
//!    have released what is waited for while the leaf was not in the queue yet.
//! 3. Whoever releases chooses the first in the queue and tells it what for. What it is chosen for is its own from then
//!    on, so the one who releases counts it as taken *before* it chooses.
//! 4. It is polled and goes on; or it is dropped, and passes on what it was chosen for.
//!
//! Steps 2 to 4 are in a function of their own that is not inlined, mostly called `wait`, so that step 1 is small enough
//! to be inlined into the task.

use std::panic::Location;
use std::task::{Context, Poll};

use crate::wait::{Place, Queue, poll_note};

/// The place of an operation in at most one queue, and the line that is told of it.
#[derive(Debug)]
pub(super) struct Leaf {
    place: Option<Place>,
    at: &'static Location<'static>,
}

impl Leaf {
    #[inline]
    pub(super) const fn new(at: &'static Location<'static>) -> Self {
        Self { place: None, at }
    }

    /// Joins the end of `queue`, asking for `note`. The caller must look again whether there is anything to wait for.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    pub(super) fn join(&mut self, queue: &Queue, cx: &Context<'_>, kind: &'static str, note: u64) {
        debug_assert!(self.place.is_none(), "a leaf waits in one queue at a time");
        self.place = Some(queue.join(cx, kind, self.at, note));
    }

    /// Asks whether the leaf was chosen, and what for. If so, it waits no more.
    #[inline]
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<u64> {
        poll_note(&mut self.place, cx)
    }

    /// Leaves `queue`, the one it joined, if it is still waiting there. Returns what it was chosen for meanwhile, which
    /// must be passed on.
    #[inline]
    pub(super) fn leave(&mut self, queue: &Queue) -> Option<u64> {
        queue.leave(self.place.take()?)
    }

    /// Returns `true` if the leaf joined a queue and has not gone on since; it may have been chosen.
    #[inline]
    pub(super) const fn is_waiting(&self) -> bool {
        self.place.is_some()
    }
}
