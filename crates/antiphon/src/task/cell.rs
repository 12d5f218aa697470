//! A task's memory: its future, later its outcome, and what is known of it, in one allocation.
//!
//! ```text
//!              spawn            (1) poll: pending           (2) poll: ready, panic; or killed
//!   ──────▶ Idle ───▶ Running ───────────────▶ Idle    ───▶ Running ──────▶ Done ──(3) joined──▶ Taken
//! ```
//! The slot of the task table holds one reference until (2), the handle another one until it is dropped. `status` says
//! who may touch `stage`: while it is `Running`, only the poll under way; in `Done`, only the handle.

use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::locals::Locals;
use super::{Name, TaskError, TaskId};
use crate::wait::Waiter;
use crate::worker::contain;

/// What is known of a task apart from its future.
pub(crate) struct Header {
    pub(crate) id: TaskId,
    pub(crate) parent: Option<TaskId>,
    pub(crate) name: Option<Name>,
    /// The line that spawned it.
    pub(crate) origin: &'static Location<'static>,
    pub(crate) locals: Locals,
}

/// A task as its worker sees it.
pub(crate) trait Run {
    /// Polls the task once. Returns `true` if that was its last step.
    fn step(&self, cx: &mut Context<'_>) -> bool;
    /// Drops the future where it is. The handle hears [`TaskError::Cancelled`].
    fn kill(&self);
    fn header(&self) -> &Header;
}

/// A task as its handle sees it.
pub(crate) trait Join<T> {
    fn poll_join(&self, cx: &mut Context<'_>) -> Poll<Result<T, TaskError>>;
    fn is_finished(&self) -> bool;
    fn header(&self) -> &Header;
}

pub(crate) struct TaskCell<F: Future> {
    header: Header,
    status: Cell<Status>,
    /// Who awaits the handle.
    joiner: Cell<Waiter>,
    stage: UnsafeCell<Stage<F>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Idle,
    Running,
    Done,
    Taken,
}

enum Stage<F: Future> {
    Future(F),
    Outcome(Result<F::Output, TaskError>),
    Empty,
}

impl<F: Future> TaskCell<F> {
    pub(crate) fn new(future: F, header: Header) -> Rc<Self> {
        Rc::new(Self {
            header,
            status: Cell::new(Status::Idle),
            joiner: Cell::new(Waiter::Nobody),
            stage: UnsafeCell::new(Stage::Future(future)),
        })
    }

    /// Drops the future, stores the outcome, and wakes who waits for it.
    fn finish(&self, outcome: Result<F::Output, TaskError>) {
        debug_assert_eq!(self.status.get(), Status::Running);
        let stage = self.stage.get();
        // SAFETY: `Running` is ours, so nobody else touches the stage. The future is dropped in place, as pinning asks.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { *stage = Stage::Empty }));
        // The destructor may have unwound; the assignment stored `Empty` all the same.
        let outcome = match dropped {
            Ok(()) => outcome,
            Err(payload) => {
                contain(|| drop(outcome));
                Err(TaskError::panicked(payload, &self.header))
            }
        };
        // SAFETY: as above; what is overwritten is `Empty`.
        unsafe { stage.write(Stage::Outcome(outcome)) };
        self.status.set(Status::Done);
        self.joiner.replace(Waiter::Nobody).wake();
    }
}

impl<F: Future> Run for TaskCell<F> {
    fn step(&self, cx: &mut Context<'_>) -> bool {
        if self.status.get() != Status::Idle {
            return true;
        }
        self.status.set(Status::Running);
        // SAFETY: `Running` is ours: no other step is under way, and the handle keeps off until `Done`.
        let stage = unsafe { &mut *self.stage.get() };
        let Stage::Future(future) = stage else {
            unreachable!("an idle task has its future")
        };
        // SAFETY: the future lies in an `Rc` that never hands out `&mut` to it, and is dropped in place by `finish`.
        let future = unsafe { Pin::new_unchecked(future) };
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => {
                self.status.set(Status::Idle);
                return false;
            }
            Ok(Poll::Ready(value)) => self.finish(Ok(value)),
            Err(payload) => self.finish(Err(TaskError::panicked(payload, &self.header))),
        }
        true
    }

    fn kill(&self) {
        if self.status.get() == Status::Idle {
            self.status.set(Status::Running);
            self.finish(Err(TaskError::cancelled(&self.header)));
        }
    }

    fn header(&self) -> &Header {
        &self.header
    }
}

impl<F: Future> Join<F::Output> for TaskCell<F> {
    fn poll_join(&self, cx: &mut Context<'_>) -> Poll<Result<F::Output, TaskError>> {
        match self.status.get() {
            Status::Idle | Status::Running => {
                self.joiner.set(Waiter::of(cx.waker()));
                Poll::Pending
            }
            Status::Done => {
                self.status.set(Status::Taken);
                // SAFETY: `Done` is the handle's: the task is over, and no reference into the stage exists.
                let stage = unsafe { &mut *self.stage.get() };
                match std::mem::replace(stage, Stage::Empty) {
                    Stage::Outcome(outcome) => Poll::Ready(outcome),
                    Stage::Future(_) | Stage::Empty => {
                        unreachable!("a task that is done has an outcome")
                    }
                }
            }
            Status::Taken => panic!("the handle of a task was polled after it gave its result"),
        }
    }

    fn is_finished(&self) -> bool {
        matches!(self.status.get(), Status::Done | Status::Taken)
    }

    fn header(&self) -> &Header {
        &self.header
    }
}
