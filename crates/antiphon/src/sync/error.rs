//! What can go wrong at a meeting place: the others are gone, or it is full or empty just now.

use std::error::Error;
use std::fmt;

use crate::scope::Cancelled;

/// The error of sending: nobody receives any more, or the scope was cancelled. Gives the value back.
///
/// Only what waits is cancelled; where sending does not wait, it always is [`Closed`](Self::Closed).
/// [`is_cancelled`](crate::is_cancelled) tells the two apart, wherever it is wrapped.
///
/// # Examples
/// ```
/// use antiphon::{CancelScope, Outcome, run, sync::mpsc};
///
/// run(async || {
///     let (sender, _receiver) = mpsc::channel(1);
///     sender.send("there is room").await?;
///     let scope = CancelScope::new();
///     scope.cancel("for the example");
///     let Outcome::Cancelled(cancelled, error) = scope.run(async || sender.send("unsent").await).await else {
///         unreachable!()
///     };
///     assert_eq!(error.as_cancelled(), Some(&cancelled));
///     assert_eq!(error.into_inner(), "unsent");
///     Ok::<(), mpsc::SendError<&str>>(())
/// })?;
/// # Ok::<(), antiphon::sync::SendError<&str>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// Nobody receives any more. The sender stays usable, and will say the same again.
    Closed(T),
    /// The scope was cancelled before the value was sent. The sender stays usable.
    Cancelled(T, Cancelled),
}

/// The error of sending without waiting. Gives the value back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError<T> {
    /// There is no room now. Try again later, or wait.
    Full(T),
    /// Nobody receives any more.
    Closed(T),
}

/// The error of receiving: there is nothing left and nobody who could send more, or the scope was cancelled.
///
/// [`is_cancelled`](crate::is_cancelled) tells the two apart, wherever it is wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// There is nothing left, and nobody who could send more.
    Closed,
    /// The scope was cancelled before there was anything. The receiver stays usable, and has missed nothing.
    Cancelled(Cancelled),
}

/// The error of receiving without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryRecvError {
    /// There is nothing now. Try again later, or wait.
    Empty,
    /// There is nothing left, and nobody who could send more.
    Closed,
}

/// The error of acquiring from a [`Semaphore`](super::Semaphore): it was closed, or the scope cancelled.
///
/// No permits are held. [`is_cancelled`](crate::is_cancelled) tells the two apart, wherever it is wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcquireError {
    /// The semaphore was closed.
    Closed,
    /// The scope was cancelled before there were enough permits.
    Cancelled(Cancelled),
}

/// The error of acquiring without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// There are too few permits now, or others wait for theirs. Try again later, or wait.
    NoPermits,
    /// The semaphore was closed.
    Closed,
}

impl<T> SendError<T> {
    /// Returns the value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Closed(value) | Self::Cancelled(value, _) => value,
        }
    }

    /// Returns the cancel of the scope that waited, if it was that and the channel is not closed.
    pub const fn as_cancelled(&self) -> Option<&Cancelled> {
        match self {
            Self::Closed(_) => None,
            Self::Cancelled(_, cancelled) => Some(cancelled),
        }
    }
}

impl<T> TrySendError<T> {
    /// Returns the value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(value) | Self::Closed(value) => value,
        }
    }

    /// Returns `true` if there was no room.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Returns `true` if nobody receives any more.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

impl From<Cancelled> for RecvError {
    fn from(cancelled: Cancelled) -> Self {
        Self::Cancelled(cancelled)
    }
}

impl From<Cancelled> for AcquireError {
    fn from(cancelled: Cancelled) -> Self {
        Self::Cancelled(cancelled)
    }
}

// The values need not be `Debug` for the errors to be.

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(_) => f.write_str("Closed(..)"),
            Self::Cancelled(_, cancelled) => write!(f, "Cancelled(.., {cancelled:?})"),
        }
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() {
            "Full(..)"
        } else {
            "Closed(..)"
        })
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(_) => "nobody receives what is sent",
            Self::Cancelled(..) => "the wait for room was cancelled",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the channel has no room now",
            Self::Closed(_) => "nobody receives what is sent",
        })
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "nothing is left to receive, and the senders are gone",
            Self::Cancelled(_) => "the wait for a value was cancelled",
        })
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "nothing is there to receive now",
            Self::Closed => "nothing is left to receive, and the senders are gone",
        })
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the semaphore is closed",
            Self::Cancelled(_) => "the wait for permits was cancelled",
        })
    }
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPermits => "the semaphore has too few permits now",
            Self::Closed => "the semaphore is closed",
        })
    }
}

impl<T> Error for SendError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.as_cancelled().map(|cancelled| cancelled as _)
    }
}
impl<T> Error for TrySendError<T> {}
impl Error for RecvError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Closed => None,
            Self::Cancelled(cancelled) => Some(cancelled),
        }
    }
}
impl Error for TryRecvError {}
impl Error for AcquireError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Closed => None,
            Self::Cancelled(cancelled) => Some(cancelled),
        }
    }
}
impl Error for TryAcquireError {}
