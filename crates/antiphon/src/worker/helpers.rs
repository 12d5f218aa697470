//! Other threads that are at work for a loop whose clock jumps.
//!
//! Such a clock goes to the next deadline when nothing is ready. While another thread is about to bring something it must
//! stand still, or the hour that somebody is willing to wait would pass before a file was read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Kick;

/// How many are at work.
pub(crate) struct Helpers {
    count: AtomicUsize,
    kick: Arc<dyn Kick>,
}

impl Helpers {
    pub(crate) fn new(kick: Arc<dyn Kick>) -> Self {
        Self {
            count: AtomicUsize::new(0),
            kick,
        }
    }

    pub(crate) fn are_at_work(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Counts one more.
    pub(crate) fn begin(self: &Arc<Self>) -> Help {
        self.count.fetch_add(1, Ordering::Relaxed);
        Help(Arc::clone(self))
    }
}

/// One that is at work, until this is dropped: after it has woken whom it works for.
pub(crate) struct Help(Arc<Helpers>);

impl Drop for Help {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Release);
        // The loop may have come back to its sleep already, because of the wake, and have counted this one.
        self.0.kick.kick();
    }
}
