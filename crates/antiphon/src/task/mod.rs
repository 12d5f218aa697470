//! Tasks: coroutines that the loop owns.

mod cell;
mod handle;
mod locals;
mod yield_now;

use std::any::Any;
use std::fmt;
use std::panic::Location;

pub(crate) use self::cell::{Header, Run};

pub use self::handle::{JoinHandle, TaskBuilder, spawn};
pub use self::locals::TaskLocal;
pub use self::yield_now::{YieldNow, yield_now};

/// A task's number: unique in its worker, counted from 1, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub(crate) u64);

impl TaskId {
    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Why a task has no result.
pub struct TaskError {
    id: TaskId,
    name: Option<std::rc::Rc<str>>,
    origin: &'static Location<'static>,
    kind: Kind,
}

enum Kind {
    Cancelled,
    Panicked(Box<dyn Any + Send>),
}

impl TaskError {
    pub(crate) fn cancelled(task: &Header) -> Self {
        Self::new(task, Kind::Cancelled)
    }

    pub(crate) fn panicked(payload: Box<dyn Any + Send>, task: &Header) -> Self {
        Self::new(task, Kind::Panicked(payload))
    }

    fn new(task: &Header, kind: Kind) -> Self {
        Self {
            id: task.id,
            name: task.name.clone(),
            origin: task.origin,
            kind,
        }
    }

    /// Returns `true` if the task was ended before it could finish.
    pub const fn is_cancelled(&self) -> bool {
        matches!(self.kind, Kind::Cancelled)
    }

    /// Returns `true` if the task panicked.
    pub const fn is_panic(&self) -> bool {
        matches!(self.kind, Kind::Panicked(_))
    }

    /// Returns the payload of the task's panic, for [`resume_unwind`](std::panic::resume_unwind).
    ///
    /// # Errors
    /// Gives `self` back if the task did not panic.
    pub fn into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        match self.kind {
            Kind::Panicked(payload) => Ok(payload),
            Kind::Cancelled => Err(self),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        write!(f, " (spawned at {}) ", self.origin)?;
        match &self.kind {
            Kind::Cancelled => f.write_str("was ended before it finished"),
            Kind::Panicked(payload) => match panic_message(&**payload) {
                Some(message) => write!(f, "panicked: {message}"),
                None => f.write_str("panicked"),
            },
        }
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskError({self})")
    }
}

impl std::error::Error for TaskError {}

fn panic_message<'a>(payload: &'a (dyn Any + Send + 'static)) -> Option<&'a str> {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}
