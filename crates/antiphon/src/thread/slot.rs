//! A place for one value that another thread brings.

use std::mem;
use std::sync::PoisonError;
use std::task::{Poll, Waker};

use super::{Mutex, MutexGuard, contain};

/// Where one thread puts a value, once, and another waits for it.
///
/// ```text
///           put                take
///   Empty ───────▶ Full ─────────────────▶ Over
///     │ abandon                             ▲  who puts a value now has it back
///     └─────────────────────────────────────┘
/// ```
pub(crate) struct Slot<T> {
    inside: Mutex<Inside<T>>,
}

struct Inside<T> {
    stage: Stage<T>,
    /// Who waits for the value.
    waker: Option<Waker>,
}

enum Stage<T> {
    Empty,
    Full(T),
    Over,
}

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        Self {
            inside: Mutex::new(Inside {
                stage: Stage::Empty,
                waker: None,
            }),
        }
    }

    /// Puts the value in, and wakes who waits for it. Gives it back if nobody wants it any more.
    pub(crate) fn put(&self, value: T) -> Result<(), T> {
        let waker = {
            let mut inside = self.lock();
            if !matches!(inside.stage, Stage::Empty) {
                return Err(value);
            }
            inside.stage = Stage::Full(value);
            inside.waker.take()
        };
        if let Some(waker) = waker {
            // It may be somebody else's code, and the thread has others to serve.
            contain(|| waker.wake());
        }
        Ok(())
    }

    /// Takes the value. Otherwise `waker` is woken when there is one.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<T> {
        if let Some(value) = self.take() {
            return Poll::Ready(value);
        }
        // Cloning and dropping a foreign waker runs its code: not under the lock.
        let waker = waker.clone();
        let mut inside = self.lock();
        let value = inside.take();
        let previous = if value.is_none() {
            inside.waker.replace(waker)
        } else {
            None
        };
        drop(inside);
        drop(previous);
        value.map_or(Poll::Pending, Poll::Ready)
    }

    /// Takes the value if it is there.
    pub(crate) fn take(&self) -> Option<T> {
        self.lock().take()
    }

    /// Says that nobody wants the value. Returns `false`, and has no effect, if it was put in before.
    pub(crate) fn abandon(&self) -> bool {
        let waker = {
            let mut inside = self.lock();
            if !matches!(inside.stage, Stage::Empty) {
                return false;
            }
            inside.stage = Stage::Over;
            inside.waker.take()
        };
        drop(waker);
        true
    }

    /// Wakes nobody any more.
    pub(crate) fn leave(&self) {
        let waker = self.lock().waker.take();
        drop(waker);
    }

    /// Returns `true` until a value is put in, or nobody wants one any more.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.lock().stage, Stage::Empty)
    }

    /// Returns `true` if the value was taken, or is not wanted.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.lock().stage, Stage::Over)
    }

    /// A panic can't leave it half way: each step under the lock is one assignment.
    fn lock(&self) -> MutexGuard<'_, Inside<T>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inside<T> {
    fn take(&mut self) -> Option<T> {
        match mem::replace(&mut self.stage, Stage::Over) {
            Stage::Full(value) => Some(value),
            stage => {
                self.stage = stage;
                None
            }
        }
    }
}
