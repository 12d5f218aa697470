//! How a block ended, as its exit is told.

use std::any::Any;
use std::fmt;

use crate::scope::{Cancelled, cancelled_here, find_cancelled};

/// How a block ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Ending<'a> {
    /// It returned a value.
    Value,
    /// It returned an error.
    Error(Failure<'a>),
    /// It returned an error in a scope that is cancelled: by whom, why, and by which line, and the error. Mostly that is the
    /// one of the cancelled wait, but it may be another one that came first, or that the block made of it.
    Cancelled(&'a Cancelled, Failure<'a>),
    /// It panicked. The panic goes on after the exit.
    Panicked,
    /// It has no end: its future was dropped half way. The exit runs in a task of its own.
    Dropped,
}

impl<'a> Ending<'a> {
    /// Returns `true` if the block returned a value.
    pub const fn is_value(&self) -> bool {
        matches!(self, Self::Value)
    }

    /// Returns `true` if the block returned an error in a scope that is cancelled.
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(..))
    }

    /// Returns the error that the block returned, cancelled or not.
    pub const fn failure(&self) -> Option<Failure<'a>> {
        match self {
            Self::Error(failure) | Self::Cancelled(_, failure) => Some(*failure),
            Self::Value | Self::Panicked | Self::Dropped => None,
        }
    }
}

/// The error that a block returned, whatever its type. It can be shown, and asked for by type.
///
/// # Examples
/// ```
/// use antiphon::context::{Ending, from_fn, with};
/// use antiphon::{Cancelled, run};
/// use std::io;
///
/// run(async || {
///     let watched = from_fn(
///         async || Ok::<_, Cancelled>(()),
///         async |(), ending| {
///             let Ending::Error(failure) = ending else { panic!("it fails") };
///             assert_eq!(failure.to_string(), "no room");
///             assert!(failure.downcast_ref::<io::Error>().is_some());
///             Ok::<_, Cancelled>(())
///         },
///     );
///     let failed = with(watched, async |_| Err::<(), _>(io::Error::other("no room")));
///     assert!(failed.await.is_err());
/// });
/// ```
#[derive(Clone, Copy)]
pub struct Failure<'a>(&'a dyn AnyError);

/// Whatever can be shown and asked for its type: an error, a box of one, a piece of text.
trait AnyError: Any + fmt::Display {
    fn as_any(&self) -> &dyn Any;
}

impl<E: Any + fmt::Display> AnyError for E {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl<'a> Failure<'a> {
    pub(super) const fn of<E: fmt::Display + 'static>(error: &'a E) -> Self {
        Self(error)
    }

    /// Returns the error if it is an `E`.
    pub fn downcast_ref<E: 'static>(&self) -> Option<&'a E> {
        self.0.as_any().downcast_ref()
    }

    /// Finds the [`Cancelled`] that the error is or was caused by, if the error is a `Cancelled`, an
    /// [`io::Error`](std::io::Error), a [`TaskError`](crate::TaskError) or a box of any error. Errors of other types are to be
    /// asked for with [`downcast_ref`](Self::downcast_ref).
    pub fn find_cancelled(&self) -> Option<&'a Cancelled> {
        let error = self.0.as_any();
        if let Some(cancelled) = error.downcast_ref::<Cancelled>() {
            return Some(cancelled);
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return find_cancelled(error);
        }
        if let Some(error) = error.downcast_ref::<crate::TaskError>() {
            return find_cancelled(error);
        }
        if let Some(error) = error.downcast_ref::<Box<dyn std::error::Error>>() {
            return find_cancelled(&**error);
        }
        let error = error.downcast_ref::<Box<dyn std::error::Error + Send + Sync>>()?;
        find_cancelled(&**error)
    }
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({self})")
    }
}

/// An [`Ending`] that owns the error.
#[derive(Debug)]
pub enum Told<E> {
    Value,
    /// And the cancel of the scope that it was in, if that is cancelled.
    Error {
        error: E,
        cancelled: Option<Cancelled>,
    },
    Panicked,
}

impl<E: fmt::Display + 'static> Told<E> {
    /// The end of a block that was left just now, in the scope around it.
    pub(super) fn error(error: E) -> Self {
        let cancelled = cancelled_here();
        Self::Error { error, cancelled }
    }

    pub(super) fn ending(&self) -> Ending<'_> {
        match self {
            Self::Value => Ending::Value,
            Self::Error {
                error,
                cancelled: Some(cancelled),
            } => Ending::Cancelled(cancelled, Failure::of(error)),
            Self::Error { error, .. } => Ending::Error(Failure::of(error)),
            Self::Panicked => Ending::Panicked,
        }
    }
}
