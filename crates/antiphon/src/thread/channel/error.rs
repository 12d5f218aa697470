//! The errors of those who wait for a time.

use std::error::Error;
use std::fmt;

/// The error of sending within a time. Gives the value back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendTimeoutError<T> {
    /// There was no room in time. The sender stays usable.
    TimedOut(T),
    /// Nobody receives any more.
    Closed(T),
}

/// The error of receiving within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvTimeoutError {
    /// There was nothing in time. The receiver stays usable, and has missed nothing.
    TimedOut,
    /// There is nothing left, and nobody who could send more.
    Closed,
}

impl<T> SendTimeoutError<T> {
    /// Returns the value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::TimedOut(value) | Self::Closed(value) => value,
        }
    }

    /// Returns `true` if there was no room in time.
    pub const fn is_timed_out(&self) -> bool {
        matches!(self, Self::TimedOut(_))
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut(_) => "TimedOut(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut(_) => "the channel had no room in time",
            Self::Closed(_) => "nobody receives from the channel any more",
        })
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "the channel had nothing in time",
            Self::Closed => "the channel is empty, and nobody sends to it any more",
        })
    }
}

impl<T> Error for SendTimeoutError<T> {}

impl Error for RecvTimeoutError {}
