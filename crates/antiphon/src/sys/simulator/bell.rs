//! What other threads ring, which may still wake tasks.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::worker::Kick;

#[derive(Debug, Default)]
pub(super) struct Bell {
    is_rung: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    /// Waits until it is rung, if it was not already.
    pub(super) fn wait(&self) {
        let mut is_rung = self.lock();
        while !*is_rung {
            is_rung = self
                .rung
                .wait(is_rung)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *is_rung = false;
    }

    /// The same, no longer than `timeout`. Returns `false` if it was not rung.
    pub(super) fn wait_timeout(&self, timeout: Duration) -> bool {
        let (mut is_rung, _) = self
            .rung
            .wait_timeout_while(self.lock(), timeout, |is_rung| !*is_rung)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *is_rung)
    }

    /// Returns `true` if it was rung since the last time.
    pub(super) fn take(&self) -> bool {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kick for Bell {
    fn kick(&self) {
        *self.lock() = true;
        self.rung.notify_one();
    }
}
