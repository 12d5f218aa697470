//! Spawning, and waiting for what was spawned.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::cell::{Owner, Task};
use super::{TaskError, TaskId};
use crate::explore::probe;
use crate::scope::{
    CancelReason, Scopes, deliver, has_notices, is_cancelled_here, is_explored_here,
};
use crate::wait::{Place, Waits, poll_place};
use crate::worker::{Address, Worker, current, try_current};

/// Starts a task on this worker. It takes its first step after the tasks that are ready now.
///
/// Nothing of an async closure runs before that step. Neither it nor its future need be `Send`: a task lives and ends on
/// its worker. Its result waits in the handle; dropping the handle does nothing to the task. A panic in it goes no
/// further than the handle.
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Examples
/// ```
/// antiphon::run(async || {
///     let sum = antiphon::spawn(async || 1 + 1);
///     assert_eq!(sum.await.unwrap(), 2);
/// });
/// ```
#[track_caller]
#[inline]
pub fn spawn<F, T>(body: F) -> JoinHandle<T>
where
    F: AsyncFnOnce() -> T + 'static,
    T: 'static,
{
    TaskBuilder::new().spawn(body)
}

/// A task to be, with a name.
///
/// # Examples
/// ```
/// antiphon::run(async || {
///     let task = antiphon::TaskBuilder::new().name("adder").spawn(async || 1 + 1);
///     assert_eq!(task.name(), Some("adder"));
///     assert_eq!(task.await.unwrap(), 2);
/// });
/// ```
#[derive(Debug, Default)]
#[must_use = "a task starts when `spawn` is called"]
pub struct TaskBuilder {
    name: Option<Box<str>>,
}

impl TaskBuilder {
    /// Makes a builder for a task without a name.
    pub const fn new() -> Self {
        Self { name: None }
    }

    /// Names the task, for messages and the task tree.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Starts the task: see [`spawn`].
    ///
    /// # Panics
    /// If no loop is running on this thread.
    #[track_caller]
    #[inline]
    pub fn spawn<F, T>(self, body: F) -> JoinHandle<T>
    where
        F: AsyncFnOnce() -> T + 'static,
        T: 'static,
    {
        // Called out here: what is not an async closure may run code of its own.
        start(body(), self.name, Location::caller())
    }

    /// The same with another line as the one that spawned it.
    pub(crate) fn spawn_at<F, T>(self, origin: &'static Location<'static>, body: F) -> JoinHandle<T>
    where
        F: AsyncFnOnce() -> T + 'static,
        T: 'static,
    {
        start(body(), self.name, origin)
    }
}

/// Starts a task with this line as its origin.
#[track_caller]
#[inline]
pub(crate) fn start<F: Future + 'static>(
    future: F,
    name: Option<Box<str>>,
    origin: &'static Location<'static>,
) -> JoinHandle<F::Output> {
    current(move |worker| {
        let (parent, has_locals) = worker.parent();
        let (task, handle) = Task::new(future, worker.next_id(), parent, origin);
        if has_locals || name.is_some() {
            set_extra(worker, &task, name, has_locals);
        }
        let address = worker.start(task);
        JoinHandle {
            address,
            task: handle,
            place: None,
        }
    })
}

#[cold]
pub(crate) fn awaits_itself(id: TaskId, origin: &Location<'_>) -> ! {
    panic!("task {id} (spawned at {origin}) awaits its own handle, and would wait for ever");
}

/// Gives the task its name, and the variables that it inherits.
#[cold]
fn set_extra(worker: &Worker, task: &Task, name: Option<Box<str>>, has_locals: bool) {
    // In the destructor of a task that is dropped with its loop, none is running.
    let locals = if has_locals {
        worker.with_running(|parent| parent.locals()?.inherit())
    } else {
        None
    };
    task.header().set_extra(name, locals.unwrap_or_default());
}

/// A task's end, to be awaited: its result, or why there is none.
///
/// Dropping it does nothing to the task. While it waits, the task tree shows it with the line that spawned the task.
///
/// # Cancellation
/// **Did not happen.** The task goes on; the handle can be awaited again.
///
/// # Panics
/// If it is polled after it gave the result, or by the task itself, which would wait for ever. That a circle of several tasks
/// await each other is not noticed; the [tree](crate::tree) shows it.
#[must_use = "dropping a handle does not end its task; `drop` says that nobody waits for the result"]
pub struct JoinHandle<T> {
    address: Address,
    task: Owner<T>,
    /// Its record, while it waits. The task has a copy.
    place: Option<Place>,
}

impl<T> JoinHandle<T> {
    /// Cancels the task, and says why. Returns `false` if it was cancelled before, or has ended: then nothing happens.
    ///
    /// Nothing of it is dropped. It is in a cancelled scope from now on: what it waits for ends with
    /// [`Cancelled`](crate::Cancelled), and so does every wait after it that is not in a [`shield`](crate::shield). What it makes
    /// of that is its own affair, and what it returns is what the handle gives. Before its first step it can be cancelled as
    /// well: it begins, and its first wait ends. What it has spawned with [`spawn`] is not cancelled.
    ///
    /// # Examples
    /// ```
    /// use antiphon::{Cancelled, run, spawn, time};
    /// use std::time::Duration;
    ///
    /// run(async || {
    ///     let task = spawn(async || {
    ///         match time::sleep(Duration::from_secs(3600)).await {
    ///             Ok(()) => "slept",
    ///             Err(Cancelled { .. }) => "was woken",
    ///         }
    ///     });
    ///     assert!(task.cancel("it is late"));
    ///     assert_eq!(task.await.unwrap(), "was woken");
    /// });
    /// ```
    #[track_caller]
    pub fn cancel(&self, why: &str) -> bool {
        let header = self.task.header();
        if header.is_finished() {
            return false;
        }
        let reason = CancelReason::Requested(why.into());
        let at = Location::caller();
        let is_new = try_current(|worker| {
            if worker.with_task(self.address, |_| ()).is_none() {
                // It is another loop's.
                return false;
            }
            let scope = header.scope().unwrap_or_else(|| {
                let scope = worker.scopes().enter_task(self.address, header.origin());
                if header.set_scope(scope) {
                    worker.scopes().begin_step(scope);
                }
                scope
            });
            Scopes::cancel(worker, scope, reason, at)
        });
        is_new == Some(true)
    }

    /// Returns `true` if the task has ended.
    pub fn is_finished(&self) -> bool {
        self.task.header().is_finished()
    }

    /// Returns the task's number.
    pub fn id(&self) -> TaskId {
        self.task.header().id()
    }

    /// Returns the task's name.
    pub fn name(&self) -> Option<&str> {
        self.task.header().name()
    }

    /// Returns the line that spawned the task.
    pub fn origin(&self) -> &'static Location<'static> {
        self.task.header().origin()
    }

    #[inline(never)]
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Result<T, TaskError>> {
        let header = self.task.header();
        assert!(
            !header.is_finished(),
            "the handle of a task was polled after it gave its result"
        );
        // A record of a loop that has ended is not found any more, and is never chosen.
        if self.place.is_none() {
            if try_current(Worker::running_address) == Some(self.address) {
                awaits_itself(header.id(), header.origin());
            }
            self.place = Some(Waits::join_for(
                cx,
                KIND,
                header.origin(),
                header.id().get(),
            ));
            header.set_joiner(self.place);
            return Poll::Pending;
        }
        let _ = poll_place(&mut self.place, cx);
        if is_cancelled_here() {
            return self.abort();
        }
        Poll::Pending
    }

    /// Is polled first, and there is something to look at.
    #[cold]
    fn begin(&mut self, cx: &Context<'_>) -> Option<Poll<Result<T, TaskError>>> {
        if is_explored_here() {
            probe::wait_begins(self.origin());
        }
        is_cancelled_here().then(|| self.give_way(cx))
    }

    /// Is polled first in a cancelled scope.
    fn give_way(&mut self, cx: &Context<'_>) -> Poll<Result<T, TaskError>> {
        if self.task.header().turn_given_way() {
            if let Poll::Ready(outcome) = self.abort() {
                return Poll::Ready(outcome);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    #[cold]
    fn abort(&mut self) -> Poll<Result<T, TaskError>> {
        let Some(cancelled) = deliver() else {
            return Poll::Pending;
        };
        self.leave();
        let error = TaskError::wait_cancelled(cancelled, self.task.header());
        Poll::Ready(Err(error))
    }

    /// Waits no more.
    #[inline]
    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            self.task.header().set_joiner(None);
            Waits::leave(place);
        }
    }
}

/// What a wait for a task is called. Its note is the number of that task.
pub(crate) const KIND: &str = "task";

impl<T> Unpin for JoinHandle<T> {}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, TaskError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if has_notices() && self.place.is_none() {
            if let Some(poll) = self.begin(cx) {
                return poll;
            }
        }
        if let Some(outcome) = self.task.take_outcome() {
            self.leave();
            return Poll::Ready(outcome);
        }
        self.wait(cx)
    }
}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}
