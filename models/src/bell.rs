//! What a worker sleeps on, in place of its driver.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::{Condvar, Mutex, MutexGuard};

use crate::worker::Kick;

/// Ends a worker's sleep. Keeps a ring that comes before the sleep, as an eventfd does.
///
/// # Panics
/// When it goes, if it was kicked more often than its worker was about to sleep.
pub struct Bell {
    is_rung: Mutex<bool>,
    rung: Condvar,
    // These two only count: the standard library's are not seen by loom, and so add no orders to try.
    kicks: AtomicUsize,
    parks: AtomicUsize,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self {
            is_rung: Mutex::new(false),
            rung: Condvar::new(),
            kicks: AtomicUsize::new(0),
            parks: AtomicUsize::new(0),
        }
    }

    /// Ends the sleep for another reason than a wake, as a timer or a socket does.
    pub fn ring(&self) {
        *self.lock() = true;
        self.rung.notify_one();
    }

    /// How often a delivery has kicked.
    pub fn kicks(&self) -> usize {
        self.kicks.load(Ordering::Relaxed)
    }

    pub(crate) fn count_park(&self) {
        self.parks.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn wait(&self) {
        let mut is_rung = self.lock();
        while !*is_rung {
            is_rung = self
                .rung
                .wait(is_rung)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *is_rung = false;
    }

    /// Does as a driver that looks but must not wait.
    pub(crate) fn look(&self) {
        *self.lock() = false;
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kick for Bell {
    fn kick(&self) {
        self.kicks.fetch_add(1, Ordering::Relaxed);
        self.ring();
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        let (kicks, parks) = (*self.kicks.get_mut(), *self.parks.get_mut());
        assert!(
            kicks <= parks || std::thread::panicking(),
            "{kicks} kicks for a worker that was about to sleep {parks} times"
        );
    }
}
