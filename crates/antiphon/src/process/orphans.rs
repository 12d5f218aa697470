//! Children that were dropped while they run: who reaps them.
//!
//! ```text
//!   dropped ── a loop runs here ──▶ a task of it waits ──▶ reaped
//!      │                                │ the loop ends
//!      └── none does ──▶ list ◀─────────┘
//!                          └── the next spawn, on any thread ──▶ reaped
//! ```

use std::process::Child;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use super::child::ended;
use crate::sys::Socket;
use crate::task::TaskBuilder;
use crate::worker::try_current;

static LEFT: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Takes in a child that nobody waits for any more.
pub(super) fn adopt(child: Child, pidfd: Option<Rc<Socket>>) {
    let mut orphan = Orphan(Some(child));
    if orphan.is_reaped() || try_current(|_| ()).is_none() {
        return;
    }
    let task = TaskBuilder::new().name("orphan process");
    let task = task.spawn(async move || {
        let Some(child) = &mut orphan.0 else { return };
        // A cancel is the end of the loop: the destructor knows what to do.
        if ended(child, pidfd, "process", std::panic::Location::caller())
            .await
            .is_ok()
        {
            orphan.0.take();
        }
    });
    // Nobody waits for it.
    drop(task);
}

/// Reaps those in the list that have ended.
pub(super) fn reap() {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    left.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
}

/// Dropped before it is reaped, it goes to the list.
struct Orphan(Option<Child>);

impl Orphan {
    fn is_reaped(&mut self) -> bool {
        let reaped = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        if self.0.as_mut().is_none_or(reaped) {
            self.0 = None;
        }
        self.0.is_none()
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if !self.is_reaped() {
            let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
            left.extend(self.0.take());
        }
    }
}
