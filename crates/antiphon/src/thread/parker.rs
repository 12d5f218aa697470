//! How a plain thread sleeps.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::worker::try_current;

/// Puts a thread to sleep until its waker is woken.
pub(super) struct Parker {
    bell: Arc<Bell>,
    waker: Waker,
}

/// Keeps a ring that comes before the sleep.
#[derive(Default)]
struct Bell {
    is_rung: Mutex<bool>,
    rung: Condvar,
}

impl Parker {
    /// # Panics
    /// If a loop is running on this thread: `instead` says what its tasks are to call.
    #[track_caller]
    pub(super) fn new(instead: &str) -> Self {
        assert!(
            try_current(|_| ()).is_none(),
            "this would hold up the event loop that is running on this thread; {instead}"
        );
        let bell = Arc::<Bell>::default();
        Self {
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Sleeps until it is woken.
    pub(super) fn park(&self) {
        let is_rung = self.bell.is_rung.lock();
        let mut is_rung = self
            .bell
            .rung
            .wait_while(is_rung.unwrap_or_else(PoisonError::into_inner), |rung| {
                !*rung
            })
            .unwrap_or_else(PoisonError::into_inner);
        *is_rung = false;
    }

    /// Sleeps until it is woken, no longer than `timeout`. Returns whether it was woken.
    pub(super) fn park_timeout(&self, timeout: Duration) -> bool {
        let is_rung = self.bell.is_rung.lock();
        let (mut is_rung, _) = self
            .bell
            .rung
            .wait_timeout_while(
                is_rung.unwrap_or_else(PoisonError::into_inner),
                timeout,
                |rung| !*rung,
            )
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut is_rung)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.is_rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rung.notify_one();
    }
}
