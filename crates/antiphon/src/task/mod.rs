//! Tasks: coroutines that the loop owns.

mod cell;
mod handle;
mod locals;
mod yield_now;

use std::any::Any;
use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

use crate::scope::Cancelled;

pub(crate) use self::cell::{Header, Task};
pub(crate) use self::handle::start;
pub(crate) use self::locals::Locals;

pub use self::handle::{JoinHandle, TaskBuilder, spawn};
pub(crate) use self::handle::{KIND as TASK_WAIT, awaits_itself};
pub use self::locals::TaskLocal;
pub use self::yield_now::{YieldNow, yield_now};

/// A task's number: unique in its worker, counted from 1, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(NonZeroU64);

impl TaskId {
    pub(crate) const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a panic threw.
type Payload = Box<dyn Any + Send>;

/// Why a task has no result.
///
/// It crosses threads, and converts into an [`io::Error`] of the kind [`Other`](io::ErrorKind::Other).
pub struct TaskError {
    /// In a box, because every task has room for it and hardly one needs it.
    inner: Box<Inner>,
}

struct Inner {
    id: TaskId,
    name: Option<Box<str>>,
    origin: &'static Location<'static>,
    kind: Kind,
}

enum Kind {
    Ended,
    /// The payload is behind a lock because it need not be `Sync`, and the error is.
    Panicked(Mutex<Payload>),
    WaitCancelled(Cancelled),
}

impl TaskError {
    pub(crate) fn ended(task: &Header) -> Self {
        Self::new(task, Kind::Ended)
    }

    pub(crate) fn wait_cancelled(cancelled: Cancelled, task: &Header) -> Self {
        Self::new(task, Kind::WaitCancelled(cancelled))
    }

    pub(crate) fn panicked(payload: Payload, task: &Header) -> Self {
        Self::new(task, Kind::Panicked(Mutex::new(payload)))
    }

    fn new(task: &Header, kind: Kind) -> Self {
        let inner = Inner {
            id: task.id(),
            name: task.name().map(Box::from),
            origin: task.origin(),
            kind,
        };
        Self {
            inner: Box::new(inner),
        }
    }

    /// Returns `true` if the task was ended before it could finish: the loop has ended, and it did not by itself.
    pub const fn is_ended(&self) -> bool {
        matches!(self.inner.kind, Kind::Ended)
    }

    /// Returns the cancel of the scope that waited for the task. The task goes on, and can be waited for again.
    pub const fn as_cancelled(&self) -> Option<&Cancelled> {
        match &self.inner.kind {
            Kind::WaitCancelled(cancelled) => Some(cancelled),
            Kind::Ended | Kind::Panicked(_) => None,
        }
    }

    /// Returns `true` if the task panicked.
    pub const fn is_panic(&self) -> bool {
        matches!(self.inner.kind, Kind::Panicked(_))
    }

    /// Returns the payload of the task's panic, for [`resume_unwind`](std::panic::resume_unwind).
    ///
    /// # Errors
    /// Gives `self` back if the task did not panic.
    pub fn into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        match *self.inner {
            Inner {
                kind: Kind::Panicked(payload),
                ..
            } => Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner)),
            inner => Err(Self {
                inner: Box::new(inner),
            }),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            id,
            name,
            origin,
            kind,
        } = &*self.inner;
        write!(f, "task {id}")?;
        if let Some(name) = name {
            write!(f, " `{name}`")?;
        }
        write!(f, " (spawned at {origin}) ")?;
        match kind {
            Kind::Ended => f.write_str("was ended before it finished"),
            Kind::WaitCancelled(cancelled) => write!(f, "was not waited for: {cancelled}"),
            Kind::Panicked(payload) => {
                let payload = payload.lock().unwrap_or_else(PoisonError::into_inner);
                match panic_message(&**payload) {
                    Some(message) => write!(f, "panicked: {message}"),
                    None => f.write_str("panicked"),
                }
            }
        }
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskError({self})")
    }
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.inner.kind {
            Kind::WaitCancelled(cancelled) => Some(cancelled),
            Kind::Ended | Kind::Panicked(_) => None,
        }
    }
}

impl From<TaskError> for io::Error {
    fn from(error: TaskError) -> Self {
        Self::other(error)
    }
}

const _: () = {
    const fn crosses<T: Send + Sync + 'static>() {}
    crosses::<TaskError>();
};

pub(crate) fn panic_message<'a>(payload: &'a (dyn Any + Send + 'static)) -> Option<&'a str> {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}
