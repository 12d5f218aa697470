//! What there is no operation for: closures that wait, off the loop.

use std::io;
use std::panic::Location;
use std::path::PathBuf;

use super::PathError;
use crate::task::YieldNow;
use crate::thread::{StopToken, unblock_with};
use crate::worker::try_current;

/// Something that is done to a path, or from one path to another.
pub(super) struct Call {
    /// What it is in the task tree, and in an error: a verb.
    what: &'static str,
    at: &'static Location<'static>,
    path: PathBuf,
    to: Option<PathBuf>,
}

impl Call {
    #[track_caller]
    pub(super) fn new(what: &'static str, path: impl Into<PathBuf>) -> Self {
        Self {
            what,
            at: Location::caller(),
            path: path.into(),
            to: None,
        }
    }

    pub(super) fn to(mut self, path: impl Into<PathBuf>) -> Self {
        self.to = Some(path.into());
        self
    }

    /// Calls `f` as [`call`] does.
    ///
    /// # Errors
    /// What `f` returns, with the paths; a cancel.
    pub(super) async fn run<T: Send + 'static>(
        self,
        f: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let Self { what, at, path, to } = self;
        call(what, at, |_| f())
            .await
            .map_err(|error| PathError::wrap(error, what, &path, to.as_deref()))
    }
}

/// Calls `f`, which may wait, on a thread of the pool; in virtual time here, after the others had their step, so that every run is
/// the same. `kind` and `at` are what the task tree shows.
///
/// A closure that has not begun is taken back when it is cancelled; one that is under way is waited for, and its result wins.
pub(super) async fn call<T: Send + 'static>(
    kind: &'static str,
    at: &'static Location<'static>,
    f: impl FnOnce(&StopToken) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    if try_current(|worker| worker.driver().jumps()) == Some(true) {
        YieldNow::at(at).await?;
        return f(&StopToken::default());
    }
    unblock_with(f).shown_as(kind, at).await?
}
