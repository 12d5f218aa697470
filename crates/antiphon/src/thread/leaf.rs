//! The waiting half of what other threads bring.

use std::panic::Location;
use std::task::{Context, Poll, ready};
use std::thread::{self, ThreadId};

use crate::scope::{Cancelled, Checkpoint, deliver, is_cancelled_here};
use crate::wait::{Place, Waits, poll_place};
use crate::worker::try_current;

/// A wait that some other thread ends, by a waker.
///
/// On a loop it has a record in the task tree, and hears of cancels. Elsewhere, under [`block_on`](super::block_on) or
/// another runtime, it is the line that it was made on, and nothing else.
#[derive(Debug)]
pub(super) struct Leaf {
    at: &'static Location<'static>,
    /// The record, and the thread that it is of: places are a thread's own, and this may be carried to another. The record
    /// is then left to the loop where it lies.
    place: Option<(ThreadId, Place)>,
    checkpoint: Checkpoint,
    /// Set when the wait was let past the checkpoint, and cleared when it has ended.
    has_begun: bool,
}

impl Leaf {
    pub(super) const fn new(at: &'static Location<'static>) -> Self {
        Self {
            at,
            place: None,
            checkpoint: Checkpoint::new(),
            has_begun: false,
        }
    }

    pub(super) const fn at(&self) -> &'static Location<'static> {
        self.at
    }

    /// Returns `true` from the beginning of the wait to its end.
    #[inline]
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Asks whether to begin at all: not in a cancelled scope, where it gives way once and then ends.
    #[inline]
    pub(super) fn begin(&mut self, cx: &Context<'_>) -> Poll<Result<(), Cancelled>> {
        if !self.has_begun {
            ready!(self.checkpoint.poll(cx, self.at))?;
            self.has_begun = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Says that it waits: `kind` is what the task tree shows. Runs the code of foreign wakers.
    pub(super) fn wait(&mut self, cx: &Context<'_>, kind: &'static str) {
        let here = thread::current().id();
        match self.place.take() {
            Some((thread, place)) if thread == here => {
                let mut place = Some(place);
                // Nobody chooses it. Asked, it notes by whom it is polled.
                let _ = poll_place(&mut place, cx);
                self.place = place.map(|place| (here, place));
            }
            _ if try_current(|_| ()).is_some() => {
                self.place = Some((here, Waits::join(cx, kind, self.at)));
            }
            _ => {}
        }
    }

    /// Returns whether the scope in which it is polled is cancelled.
    #[inline]
    pub(super) fn is_cancelled() -> bool {
        is_cancelled_here()
    }

    /// Ends the wait with the cancel of its scope.
    #[cold]
    pub(super) fn end_cancelled(&mut self) -> Cancelled {
        self.end();
        deliver().expect("a scope that is cancelled has a cancel")
    }

    /// Ends the wait. The next one begins anew.
    #[inline]
    pub(super) fn end(&mut self) {
        self.has_begun = false;
        if let Some((thread, place)) = self.place.take() {
            if thread == thread::current().id() {
                Waits::leave(place);
            }
        }
    }
}

impl Drop for Leaf {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}
