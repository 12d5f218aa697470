//! What a coroutine answers, what it is told, and what it is doing: the small types of the interface.

use core::convert::Infallible;
use core::error::Error;
use core::fmt;

/// What a coroutine answered to a resumption: another value, or its end.
///
/// The names are those of the unstable `core::ops::CoroutineState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a coroutine's answer may hold a value, or the news that it has ended"]
pub enum CoroutineState<Y, R> {
    /// The body reached a `yield_` and sleeps there; this is the value it yielded.
    Yielded(Y),
    /// The body returned; this is its return value. The coroutine can't be resumed again.
    Complete(R),
}

impl<Y, R> CoroutineState<Y, R> {
    /// Returns the yielded value, or `None` (dropping the return value) if the body returned.
    #[inline]
    pub fn yielded(self) -> Option<Y> {
        match self {
            Self::Yielded(value) => Some(value),
            Self::Complete(_) => None,
        }
    }

    /// Returns the return value, or `None` (dropping the yielded value) if the body yielded.
    #[inline]
    pub fn complete(self) -> Option<R> {
        match self {
            Self::Yielded(_) => None,
            Self::Complete(value) => Some(value),
        }
    }

    /// Returns `true` if the body returned.
    #[inline]
    pub const fn is_complete(&self) -> bool {
        matches!(self, Self::Complete(_))
    }
}

/// What a `yield_` hears instead of a value: an error was thrown in, or the coroutine is being closed.
///
/// It is the error type of [`Yield`](crate::Yield), so that `?` unwinds the body: the destructors on
/// the way are Python's `finally`, a `match` on the result is its `except`.
///
/// `E` is what may be thrown. It defaults to [`Infallible`]: a coroutine that nobody can throw into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interrupt<E = Infallible> {
    /// [`throw`](crate::Coroutine::throw) sent this error in.
    Thrown(E),
    /// [`close`](crate::Coroutine::close) asked the body to clean up and return.
    Closed,
}

impl<E> Interrupt<E> {
    /// Returns `true` if the coroutine is being closed.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

impl<E> fmt::Display for Interrupt<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thrown(_) => "an error was thrown into the coroutine",
            Self::Closed => "the coroutine was closed",
        })
    }
}

impl<E: Error + 'static> Error for Interrupt<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Thrown(error) => Some(error),
            Self::Closed => None,
        }
    }
}

/// The error of [`close`](crate::Coroutine::close): the body answered with another value instead of returning.
///
/// Python's "coroutine ignored `GeneratorExit`". The value is here, so it is not lost, and the
/// coroutine still sleeps at that `yield_`: it can be sent to, or closed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IgnoredClose<Y>(
    /// The value that the body yielded when it was told to close.
    pub Y,
);

impl<Y> fmt::Display for IgnoredClose<Y> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the coroutine ignored its close and yielded again")
    }
}

impl<Y: fmt::Debug> Error for IgnoredClose<Y> {}

/// What a coroutine is doing, as Python's `inspect.getcoroutinestate` tells it.
///
/// There is no `Running`: while a body runs, its one `&mut` is inside the call that resumed it, and
/// nobody is left who could ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Made, and not resumed yet: no line of the body has run.
    Created,
    /// Asleep at a `yield_`; [`location`](crate::Coroutine::location) is its line.
    Suspended,
    /// In the middle of a step: asleep at an `.await` that is not a `yield_`. Only a coroutine that is
    /// driven by a task ([`asend`](crate::Coroutine::asend), `Stream`) gets here and goes on.
    Awaiting,
    /// Ended: the body returned, or the coroutine was closed before it started.
    Closed,
    /// Ended: the body panicked, and the panic went through the caller that resumed it.
    Panicked,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Suspended => "suspended",
            Self::Awaiting => "awaiting",
            Self::Closed => "closed",
            Self::Panicked => "panicked",
        })
    }
}
