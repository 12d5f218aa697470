//! Why there is no result.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

use crate::scope::Cancelled;
use crate::task::panic_message;

/// Why a closure or a task on another thread has no result for the one who waits.
pub struct JoinError {
    inner: Box<Inner>,
}

struct Inner {
    /// The line that started it.
    at: &'static Location<'static>,
    kind: Kind,
}

pub(super) enum Kind {
    /// The wait was cancelled.
    Cancelled(Cancelled),
    /// What was thrown. Under a lock only so that the error is `Sync`.
    Panicked(Mutex<Box<dyn Any + Send>>),
    /// The loop that it was for has ended.
    Ended,
    /// The system gives no thread.
    NoThread(io::Error),
}

impl JoinError {
    pub(super) fn new(kind: Kind, at: &'static Location<'static>) -> Self {
        Self {
            inner: Box::new(Inner { at, kind }),
        }
    }

    pub(super) fn panicked(payload: Box<dyn Any + Send>, at: &'static Location<'static>) -> Self {
        Self::new(Kind::Panicked(Mutex::new(payload)), at)
    }

    /// Returns the cancel of the scope that waited. Whether what it waited for goes on, the one who waits knows: see
    /// [`unblock`](super::unblock) and [`SendJoinHandle`](super::SendJoinHandle).
    pub const fn as_cancelled(&self) -> Option<&Cancelled> {
        match &self.inner.kind {
            Kind::Cancelled(cancelled) => Some(cancelled),
            _ => None,
        }
    }

    /// Returns `true` if it panicked.
    pub const fn is_panic(&self) -> bool {
        matches!(self.inner.kind, Kind::Panicked(_))
    }

    /// Returns `true` if the loop that it was for ended before it did: it never began, or was dropped where it was.
    pub const fn is_ended(&self) -> bool {
        matches!(self.inner.kind, Kind::Ended)
    }

    /// Returns the payload of the panic, for [`resume_unwind`](std::panic::resume_unwind).
    ///
    /// # Errors
    /// Gives `self` back if it was no panic.
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

    /// Returns the line that started it.
    pub const fn location(&self) -> &'static Location<'static> {
        self.inner.at
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { at, kind } = &*self.inner;
        match kind {
            Kind::Cancelled(_) => write!(f, "what {at} started was not waited for"),
            Kind::Ended => write!(f, "the loop has ended before what {at} started"),
            Kind::NoThread(_) => write!(f, "there is no thread for what {at} started"),
            Kind::Panicked(payload) => {
                write!(f, "what {at} started panicked")?;
                let payload = payload.lock().unwrap_or_else(PoisonError::into_inner);
                match panic_message(&**payload) {
                    Some(message) => write!(f, ": {message}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl Error for JoinError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.inner.kind {
            Kind::Cancelled(cancelled) => Some(cancelled),
            Kind::NoThread(error) => Some(error),
            Kind::Panicked(_) | Kind::Ended => None,
        }
    }
}

/// A cancel stays one, and so does what the system says; what else there is becomes the source of an error of the kind
/// [`Other`](io::ErrorKind::Other).
impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> Self {
        match *error.inner {
            Inner {
                kind: Kind::Cancelled(cancelled),
                ..
            } => cancelled.into(),
            Inner {
                kind: Kind::NoThread(error),
                ..
            } => error,
            inner => Self::other(JoinError {
                inner: Box::new(inner),
            }),
        }
    }
}
