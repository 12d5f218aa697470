//! Who holds a lock: what [`tree`](crate::tree) tells of it, and what the [explorer](crate::explore) looks for.

use std::cell::Cell;
use std::panic::Location;

use crate::explore::probe;
use crate::scope::is_explored_here;
use crate::wait::{Held, Taker};
use crate::worker::{Address, Worker, try_current};

/// Who took a lock last: the line that asked for it, and the task.
///
/// Both are noted whenever a lock is taken, since nobody knows then whether somebody will wait for it.
#[derive(Debug)]
pub(super) struct Holder {
    at: Cell<Option<&'static Location<'static>>>,
    /// Whatever it was before, while `at` is `None`.
    task: Cell<Address>,
}

impl Holder {
    pub(super) const fn nobody() -> Self {
        Self {
            at: Cell::new(None),
            task: Cell::new(Address::NOBODY),
        }
    }

    /// Notes that the running task takes the lock.
    #[inline]
    pub(super) fn take(&self, at: &'static Location<'static>) {
        self.at.set(Some(at));
        let task = try_current(Worker::running_address);
        self.task.set(task.unwrap_or(Address::NOBODY));
    }

    /// Notes that the lock is handed to one who waits for it.
    pub(super) fn hand_to(&self, taker: Taker) {
        self.at.set(Some(taker.at));
        self.task.set(taker.task);
    }

    #[inline]
    pub(super) fn clear(&self) {
        self.at.set(None);
    }

    /// Returns `true` if somebody took the lock since it was cleared.
    #[inline]
    pub(super) fn is_somebody(&self) -> bool {
        self.at.get().is_some()
    }

    /// What is told to those who wait, where the lock is held `count` times, in the way that `kind` says.
    pub(super) fn held(&self, kind: &'static str, count: usize) -> Held {
        Held {
            kind,
            count,
            task: self.task.get(),
            at: self.at.get(),
        }
    }
}

/// Tells the explorer, if one is at work, of a guard that was made.
#[inline]
pub(super) fn tell_locked<L: ?Sized>(kind: &'static str, lock: &L, at: &'static Location<'static>) {
    if is_explored_here() {
        probe::locked(kind, address(lock), at);
    }
}

/// Tells the explorer, if one is at work, that a guard which [`tell_locked`] told of is dropped.
#[inline]
pub(super) fn tell_unlocked<L: ?Sized>(
    kind: &'static str,
    lock: &L,
    at: &'static Location<'static>,
) {
    if is_explored_here() {
        probe::unlocked(kind, address(lock), at);
    }
}

fn address<L: ?Sized>(lock: &L) -> usize {
    std::ptr::from_ref(lock).addr()
}
