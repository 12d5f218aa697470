//! How far a cancelled call got.

use std::error::Error;
use std::fmt;
use std::io;

use crate::scope::{Cancelled, find_cancelled};

/// A call was cancelled half way: so many bytes it had moved.
///
/// It is the inner error of the [`io::Error`] that [`Read::read_exact`](super::Read::read_exact), the writing methods of
/// [`Write`](super::Write) and their like return then, and its source is the [`Cancelled`], so that
/// [`is_cancelled`](crate::is_cancelled) is true of it. If nothing was moved, the inner error is the [`Cancelled`] itself.
///
/// # Examples
/// ```
/// use antiphon::io::{Partial, Write};
/// use antiphon::net::UnixStream;
/// use antiphon::{CancelScope, is_cancelled, run, time};
/// use std::time::Duration;
///
/// run(async || {
///     // Nobody reads at the other end.
///     let (mut left, _right) = UnixStream::pair()?;
///     let bytes = vec![0; 8 << 20];
///     let scope = CancelScope::with_deadline(time::now() + Duration::from_millis(5));
///     let outcome = scope.run(async || left.write_all(&bytes).await).await;
///     let error = outcome.into_result().unwrap_err();
///     assert!(is_cancelled(&error));
///     let partial = Partial::of(&error).expect("its turn had come");
///     assert_eq!(partial.count(), 8 << 20, "all was taken over, and will be sent");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    count: usize,
    cancelled: Cancelled,
}

impl Partial {
    /// Makes one for a call that had moved `count` bytes: for streams of your own.
    pub const fn new(count: usize, cancelled: Cancelled) -> Self {
        Self { count, cancelled }
    }

    /// Finds it in the error of a call. `None` says that nothing was moved, or that the call failed for another reason.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Returns how many bytes were moved: read into the caller's memory, or taken over for sending.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Returns the cancel.
    pub const fn cancelled(&self) -> &Cancelled {
        &self.cancelled
    }

    /// Has `error` say that `count` bytes were moved, if it tells of a cancel.
    pub(crate) fn wrap(error: io::Error, count: usize) -> io::Error {
        match find_cancelled(&error) {
            Some(cancelled) if count > 0 => Self::new(count, cancelled.clone()).into(),
            _ => error,
        }
    }
}

impl fmt::Display for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped after {} bytes", self.count)
    }
}

impl Error for Partial {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cancelled)
    }
}

/// Its kind is [`Other`](io::ErrorKind::Other), as that of the [`Cancelled`].
impl From<Partial> for io::Error {
    fn from(partial: Partial) -> Self {
        Self::other(partial)
    }
}
