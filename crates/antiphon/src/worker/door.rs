//! The way in from other threads: closures that are to be called on the loop.

use std::collections::VecDeque;
use std::sync::PoisonError;

use super::{Address, Mutex, MutexGuard, deliver};

/// What comes in: called on the loop's thread, or dropped if the loop has ended.
pub(crate) type Visit = Box<dyn FnOnce() + Send>;

/// Where the visits of one run of a loop wait. Once it is closed it stays so.
///
/// A visit is put in and the loop told of it as of a wake: by an address in the worker's mailbox. Who comes before
/// the door is closed is let in, or dropped by the one who closes it; who comes later has the visit back. So none is forgotten.
pub(crate) struct Door {
    worker: u16,
    /// `None` once it is closed.
    visits: Mutex<Option<VecDeque<Visit>>>,
}

impl Door {
    pub(crate) fn open(worker: u16) -> Self {
        Self {
            worker,
            visits: Mutex::new(Some(VecDeque::new())),
        }
    }

    /// Puts `visit` in. Gives it back if the door is closed.
    pub(crate) fn push(&self, visit: Visit) -> Result<(), Visit> {
        match &mut *self.lock() {
            Some(visits) => visits.push_back(visit),
            None => return Err(visit),
        }
        // If the loop ends now, the address is nobody's.
        deliver(Address::door(self.worker));
        Ok(())
    }

    /// Takes out who waits.
    pub(crate) fn take(&self) -> VecDeque<Visit> {
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Closes the door, and returns who still waited.
    #[must_use = "a visit is dropped where nothing is locked"]
    pub(crate) fn close(&self) -> VecDeque<Visit> {
        let visits = self.lock().take();
        visits.unwrap_or_default()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_none()
    }

    /// A panic can't leave it half way: each step under the lock is one assignment.
    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Visit>>> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
