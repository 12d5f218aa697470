//! The waiting half of every operation in this module.
//!
//! A waiting operation is a future with a [`Leaf`] in it. Its life, whatever it waits for:
//!
//! 0. In a cancelled scope it does not begin: [`Leaf::begin`].
//! 1. It looks whether it can go on at once. The queue is then not touched.
//! 2. It joins a queue, and looks again: joining clones the waker, which may be somebody else's code, and that code may
//!    have released what is waited for while the leaf was not in the queue yet.
//! 3. Whoever releases chooses the first in the queue and tells it what for. What it is chosen for is its own from then
//!    on, so the one who releases counts it as taken *before* it chooses.
//! 4. It is polled and goes on; or it is dropped, and passes on what it was chosen for.
//! 5. If its scope is cancelled before it was chosen, it leaves the queue and ends with [`Cancelled`]: what it waited for did
//!    not happen. If it was chosen first, it goes on, and the next wait is the one that ends.
//!
//! Steps 2 to 4 are in a function of their own that is not inlined, mostly called `wait`, so that step 1 is small enough
//! to be inlined into the task.

use std::panic::Location;
use std::task::{Context, Poll};

use crate::scope::{Cancelled, Checkpoint, deliver, is_cancelled_here};
use crate::wait::{Place, Queue, poll_note};

/// The place of an operation in at most one queue, and the line that is told of it.
#[derive(Debug)]
pub(super) struct Leaf {
    place: Option<Place>,
    checkpoint: Checkpoint,
    at: &'static Location<'static>,
}

impl Leaf {
    #[inline]
    pub(super) const fn new(at: &'static Location<'static>) -> Self {
        Self {
            place: None,
            checkpoint: Checkpoint::new(),
            at,
        }
    }

    /// Joins the end of `queue`, asking for `note`. The caller must look again whether there is anything to wait for.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    pub(super) fn join(&mut self, queue: &Queue, cx: &Context<'_>, kind: &'static str, note: u64) {
        debug_assert!(self.place.is_none(), "a leaf waits in one queue at a time");
        self.place = Some(queue.join(cx, kind, self.at, note));
    }

    /// Asks whether to begin at all: not in a cancelled scope, where it gives way once and then ends. To be asked before
    /// anything is looked at; a leaf that waits is past it.
    #[inline]
    pub(super) fn begin(&mut self, cx: &Context<'_>) -> Poll<Result<(), Cancelled>> {
        if self.place.is_some() {
            return Poll::Ready(Ok(()));
        }
        self.checkpoint.poll(cx, self.at)
    }

    /// Asks whether the leaf was chosen, and what for. If so, it waits no more. If it was not and the scope is cancelled, it
    /// leaves `queue`, the one it joined, and ends.
    #[inline]
    pub(super) fn poll(&mut self, cx: &Context<'_>, queue: &Queue) -> Poll<Result<u64, Cancelled>> {
        match poll_note(&mut self.place, cx) {
            Poll::Ready(note) => Poll::Ready(Ok(note)),
            Poll::Pending if is_cancelled_here() => self.abort(queue),
            Poll::Pending => Poll::Pending,
        }
    }

    #[cold]
    fn abort(&mut self, queue: &Queue) -> Poll<Result<u64, Cancelled>> {
        let Some(cancelled) = deliver() else {
            return Poll::Pending;
        };
        match self.leave(queue) {
            // Asking who polls it may have run code that chose it.
            Some(note) => Poll::Ready(Ok(note)),
            None => Poll::Ready(Err(cancelled)),
        }
    }

    /// Leaves `queue`, the one it joined, if it is still waiting there. Returns what it was chosen for meanwhile, which
    /// must be passed on.
    #[inline]
    pub(super) fn leave(&mut self, queue: &Queue) -> Option<u64> {
        queue.leave(self.place.take()?)
    }

    /// The line that is told of it.
    pub(super) const fn at(&self) -> &'static Location<'static> {
        self.at
    }

    /// Returns `true` if the leaf joined a queue and has not gone on since; it may have been chosen.
    #[inline]
    pub(super) const fn is_waiting(&self) -> bool {
        self.place.is_some()
    }
}
