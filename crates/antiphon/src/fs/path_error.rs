//! Errors that say which path they are about.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::scope::find_cancelled;

/// What could not be done, and to which path.
///
/// It is the inner error of the [`io::Error`] that a function with a path returns, which has the
/// [`kind`](io::Error::kind) of the system's error. That one is its [`source`](Error::source), with its number.
///
/// # Examples
/// ```
/// use antiphon::fs::{self, PathError};
/// use std::io;
///
/// antiphon::run(async || {
///     let error = fs::read("no/such/file").await.unwrap_err();
///     assert_eq!(error.kind(), io::ErrorKind::NotFound);
///     assert!(error.to_string().starts_with("could not read no/such/file: No such file"));
///     let error = PathError::of(&error).expect("it says which path");
///     assert_eq!(error.path(), "no/such/file");
///     assert_eq!(error.io_error().raw_os_error(), Some(2));
/// });
/// ```
#[derive(Debug)]
pub struct PathError {
    what: &'static str,
    path: PathBuf,
    to: Option<PathBuf>,
    error: io::Error,
}

impl PathError {
    /// Finds it in the error of a call. `None` says that the call was cancelled, or that there was no thread for it.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Returns the path, as the caller gave it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the second path, of calls that have two.
    pub fn to(&self) -> Option<&Path> {
        self.to.as_deref()
    }

    /// Returns what the system said.
    pub const fn io_error(&self) -> &io::Error {
        &self.error
    }

    /// Has `error` say which path it is about. A cancel stays as it is.
    pub(super) fn wrap(
        error: io::Error,
        what: &'static str,
        path: &Path,
        to: Option<&Path>,
    ) -> io::Error {
        if error.get_ref().is_some() && (Self::of(&error).is_some() || is_cancel(&error)) {
            return error;
        }
        let kind = error.kind();
        let (path, to) = (path.to_owned(), to.map(Path::to_owned));
        io::Error::new(
            kind,
            Self {
                what,
                path,
                to,
                error,
            },
        )
    }
}

fn is_cancel(error: &io::Error) -> bool {
    find_cancelled(error).is_some()
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {} {}", self.what, self.path.display())?;
        if let Some(to) = &self.to {
            write!(f, " to {}", to.display())?;
        }
        // Most look at the message only, and would miss the reason.
        write!(f, ": {}", self.error)
    }
}

impl Error for PathError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
