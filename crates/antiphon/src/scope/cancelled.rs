//! The error of a cancelled wait.

use std::error::Error;
use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::Arc;

use crate::signal::Kind;

/// A wait was cancelled: what was waited for **did not happen**.
///
/// Every wait in a cancelled scope ends with it, until the scope is left. Pass it on with `?`: the scope decides what
/// becomes of it. It says which scope was cancelled, why, and by which line.
///
/// It converts into an [`io::Error`], of which [`is_cancelled`] is true.
///
/// # Examples
/// ```
/// use antiphon::{CancelScope, Outcome, run, time};
/// use std::time::Duration;
///
/// run(async || {
///     let scope = CancelScope::new();
///     let outcome = scope.run(async || {
///         scope.cancel("enough");
///         time::sleep(Duration::from_secs(3600)).await
///     });
///     let Outcome::Cancelled(cancelled, _) = outcome.await else {
///         panic!("nobody sleeps that long")
///     };
///     assert_eq!(cancelled.reason().to_string(), "enough");
/// });
/// ```
#[derive(Clone)]
pub struct Cancelled {
    inner: Arc<Inner>,
}

struct Inner {
    scope: ScopeId,
    reason: CancelReason,
    at: &'static Location<'static>,
}

/// A scope's number: unique in its worker, counted from 1, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeId(pub(super) u64);

impl ScopeId {
    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Why a scope was cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelReason {
    /// Somebody asked for it, and said why.
    Requested(Box<str>),
    /// The scope's deadline came.
    Deadline,
    /// Another task of the group failed.
    SiblingFailed,
    /// Another branch of the race came first.
    RaceLost,
    /// The loop ends: its main task has ended.
    MainEnded,
    /// The loop ends: its main task has panicked.
    MainPanicked,
    /// The process was told to end: see [`signal`](crate::signal).
    Signal(Kind),
    /// The future that the scope was in was dropped.
    Dropped,
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested(why) => why,
            Self::Deadline => "the deadline came",
            Self::SiblingFailed => "another task of the group failed",
            Self::RaceLost => "another branch came first",
            Self::MainEnded => "the main task has ended",
            Self::MainPanicked => "the main task has panicked",
            Self::Signal(kind) => return write!(f, "{kind}"),
            Self::Dropped => "its future was dropped",
        })
    }
}

impl Cancelled {
    pub(super) fn new(
        scope: ScopeId,
        reason: CancelReason,
        at: &'static Location<'static>,
    ) -> Self {
        let inner = Arc::new(Inner { scope, reason, at });
        Self { inner }
    }

    /// Returns the scope that was cancelled; of several around each other, the outermost.
    pub fn scope(&self) -> ScopeId {
        self.inner.scope
    }

    /// Returns why it was cancelled.
    pub fn reason(&self) -> &CancelReason {
        &self.inner.reason
    }

    /// Returns the line that cancelled it; of a deadline, the line that set it.
    pub fn location(&self) -> &'static Location<'static> {
        self.inner.at
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { reason, at, .. } = &*self.inner;
        write!(f, "cancelled: {reason} (at {at})")
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled")
            .field("scope", &self.scope())
            .field("reason", self.reason())
            .field("at", &self.inner.at)
            .finish()
    }
}

/// Equal if they tell of the same cancel.
impl PartialEq for Cancelled {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Cancelled {}

impl Error for Cancelled {}

/// Its kind is [`Other`](io::ErrorKind::Other), never `Interrupted`, on which loops try again.
impl From<Cancelled> for io::Error {
    fn from(cancelled: Cancelled) -> Self {
        Self::other(cancelled)
    }
}

/// Returns `true` if `error` is a [`Cancelled`], or was caused by one: itself, an [`io::Error`] made of one, or any error
/// whose [`source`](Error::source) leads to one.
///
/// # Examples
/// ```
/// use antiphon::{CancelScope, Outcome, is_cancelled, run};
/// use std::io;
///
/// run(async || {
///     let scope = CancelScope::new();
///     scope.cancel("for the example");
///     let outcome = scope.run(async || -> io::Result<()> {
///         antiphon::yield_now().await?;
///         Ok(())
///     });
///     let Outcome::Cancelled(_, error) = outcome.await else { unreachable!() };
///     assert!(is_cancelled(&error));
///     assert!(!is_cancelled(&io::Error::other("something else")));
/// });
/// ```
pub fn is_cancelled(error: &(dyn Error + 'static)) -> bool {
    find_cancelled(error).is_some()
}

/// Finds the [`Cancelled`] that `error` is or was caused by: see [`is_cancelled`].
pub fn find_cancelled<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Cancelled> {
    let mut error = error;
    loop {
        if let Some(cancelled) = error.downcast_ref::<Cancelled>() {
            return Some(cancelled);
        }
        // An `io::Error` shows the source of what it was made of, but not that itself.
        let inside = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        error = match inside {
            Some(inside) => inside,
            None => error.source()?,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cancelled() -> Cancelled {
        Cancelled::new(ScopeId(1), CancelReason::Deadline, Location::caller())
    }

    #[test]
    fn it_is_found_wherever_it_is_wrapped() {
        #[derive(Debug)]
        struct Wrapper(io::Error);
        impl fmt::Display for Wrapper {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("wrapped")
            }
        }
        impl Error for Wrapper {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }

        let error = cancelled();
        assert_eq!(find_cancelled(&error), Some(&error));
        let wrapped = Wrapper(io::Error::other(io::Error::from(error.clone())));
        assert_eq!(find_cancelled(&wrapped), Some(&error));
        assert_eq!(
            find_cancelled(&Wrapper(io::ErrorKind::TimedOut.into())),
            None
        );
    }

    #[test]
    fn no_loop_tries_again_because_of_it() {
        assert_eq!(io::Error::from(cancelled()).kind(), io::ErrorKind::Other);
    }

    #[test]
    fn it_crosses_threads() {
        fn crosses<T: Send + Sync + 'static>(_: &T) {}
        crosses(&cancelled());
    }
}
