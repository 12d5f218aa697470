//! The worker of this thread: the one place where a thread-local leads to a worker.

use std::cell::Cell;
use std::ptr::NonNull;

use super::Worker;

thread_local! {
    static CURRENT: Cell<Option<NonNull<Worker>>> = const { Cell::new(None) };
}

/// Calls `f` with the worker whose loop runs on this thread, if one does.
#[allow(
    clippy::inline_always,
    reason = "a wake is not much more than this; as a call it takes a third more instructions"
)]
#[inline(always)]
pub(crate) fn try_current<T>(f: impl FnOnce(&Worker) -> T) -> Option<T> {
    let worker = CURRENT.with(Cell::get)?;
    // SAFETY: the pointer was set by `enter` on this thread, whose guard resets it before the worker goes. `f` runs
    // above the guard's frame on the stack, so it returns or unwinds before the guard is dropped.
    Some(f(unsafe { worker.as_ref() }))
}

/// Calls `f` with the worker whose loop runs on this thread.
///
/// # Panics
/// If none does.
#[inline]
#[track_caller]
pub(crate) fn current<T>(f: impl FnOnce(&Worker) -> T) -> T {
    match try_current(f) {
        Some(value) => value,
        None => no_loop_here(),
    }
}

#[cold]
#[track_caller]
fn no_loop_here() -> ! {
    panic!("no event loop is running on this thread; call this inside `antiphon::run`")
}

/// Calls `f` while `worker` is this thread's worker.
///
/// # Panics
/// If a loop is running on this thread already.
#[track_caller]
pub(crate) fn enter<T>(worker: &Worker, f: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.with(|current| current.set(None));
        }
    }

    CURRENT.with(|current| {
        assert!(
            current.get().is_none(),
            "an event loop is already running on this thread"
        );
        current.set(Some(NonNull::from(worker)));
    });
    let _leave = Leave;
    f()
}
