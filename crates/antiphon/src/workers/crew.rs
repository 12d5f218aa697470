//! The workers of a run, as its tasks know them.

use std::cell::RefCell;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, OnceLock};

use super::task::WorkerTask;
use crate::thread::Handle;
use crate::worker::current;

/// What the workers of a run share.
#[derive(Default)]
pub(super) struct Crew {
    /// Set before the main task begins, and so before anything of the program's runs on any of them.
    handles: OnceLock<Box<[Handle]>>,
}

/// A worker's place in its crew.
#[derive(Clone)]
pub(super) struct Place {
    crew: Arc<Crew>,
    index: usize,
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

impl Crew {
    pub(super) fn set(&self, handles: Vec<Handle>) {
        let is_first = self.handles.set(handles.into()).is_ok();
        debug_assert!(is_first, "a crew is for one run");
    }
}

impl Place {
    pub(super) const fn new(crew: Arc<Crew>, index: usize) -> Self {
        Self { crew, index }
    }

    /// Makes it the place of this thread, until what is returned is dropped.
    pub(super) fn take(self) -> impl Sized {
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                let place = PLACE.take();
                drop(place);
            }
        }
        PLACE.set(Some(self));
        Leave
    }
}

/// The workers of a run: see [`workers`].
#[derive(Clone)]
pub struct Workers {
    inner: Inner,
}

#[derive(Clone)]
enum Inner {
    /// A run that has only this one.
    One(Handle),
    Several(Place),
}

/// Returns the workers of this run. It may be sent to other threads.
///
/// A run that was given no number has one.
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Examples
/// ```
/// antiphon::run(async || {
///     let workers = antiphon::workers();
///     assert_eq!((workers.len(), workers.here()), (1, 0));
/// });
/// ```
#[track_caller]
pub fn workers() -> Workers {
    current(|_| ());
    let inner = PLACE.with_borrow(|place| match place {
        Some(place) => Inner::Several(place.clone()),
        None => Inner::One(Handle::current()),
    });
    Workers { inner }
}

impl Workers {
    /// Returns how many there are, at least one.
    #[allow(clippy::len_without_is_empty, reason = "they are never none")]
    pub fn len(&self) -> usize {
        match &self.inner {
            Inner::One(_) => 1,
            Inner::Several(place) => place.handles().len(),
        }
    }

    /// Returns the number of the worker on which these were asked for, counted from 0: that of the main task.
    pub const fn here(&self) -> usize {
        match &self.inner {
            Inner::One(_) => 0,
            Inner::Several(place) => place.index,
        }
    }

    /// Returns the way into the worker's loop from any thread.
    ///
    /// # Panics
    /// If there are not so many.
    #[track_caller]
    pub fn handle(&self, worker: usize) -> &Handle {
        let handle = match &self.inner {
            Inner::One(handle) => Some(handle).filter(|_| worker == 0),
            Inner::Several(place) => place.handles().get(worker),
        };
        match handle {
            Some(handle) => handle,
            None => panic!("there is no worker {worker} among {}", self.len()),
        }
    }
}

impl Place {
    fn handles(&self) -> &[Handle] {
        self.crew.handles.get().map_or(&[], |handles| handles)
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("len", &self.len())
            .field("here", &self.here())
            .finish()
    }
}

/// Starts a task on a worker of this run, counted from 0; it may be this one.
///
/// The closure goes there, so it must be `Send`, and so must what it returns; the future that it makes need not be. The task
/// is nobody's child, and inherits no [`TaskLocal`](crate::TaskLocal)s.
///
/// What is returned is awaited here: see [`WorkerTask`], which also tells what a cancel of the one who awaits means. Dropped, it
/// does nothing to the task.
///
/// # Panics
/// If there is no such worker, or no loop is running on this thread.
///
/// # Examples
/// See the [module](mod@crate::workers).
#[track_caller]
pub fn spawn_on<F, T>(worker: usize, body: F) -> WorkerTask<T>
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    WorkerTask::start(workers().handle(worker), body, Location::caller())
}
