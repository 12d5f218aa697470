//! Waiting no longer than that.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::time::{Duration, Instant};

use crate::scope::{CancelScope, Cancelled, Outcome};

/// Runs `body`, but no longer than `duration` from now: then what it waits for is cancelled.
///
/// The body is not dropped. Its wait ends with [`Cancelled`], and so do those after it, until it has returned; so it can
/// undo what it began, in a [`shield`](crate::shield) if that waits. A body that returns a value wins, even if the time is
/// over.
///
/// # Errors
/// [`Elapsed`], as an error of the body's type, if the time was over and a wait of the body was ended by that; what the body
/// returned then is dropped, and [`CancelScope::run`] keeps it. Otherwise what the body returns.
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Cancellation
/// The body hears of it.
///
/// # Examples
/// ```
/// use antiphon::{run, sync::oneshot, time};
/// use std::{io, time::Duration};
///
/// run(async || {
///     let (_sender, receiver) = oneshot::channel::<u32>();
///     let answer = time::timeout(Duration::from_millis(1), async || {
///         receiver.await.map_err(io::Error::other)
///     });
///     assert_eq!(answer.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
/// });
/// ```
#[track_caller]
pub fn timeout<F, T, E>(duration: Duration, body: F) -> impl Future<Output = Result<T, E>>
where
    F: AsyncFnOnce() -> Result<T, E>,
    E: From<Elapsed>,
{
    fail_at(after(duration), body, Location::caller())
}

/// Runs `body`, but no longer than until `deadline`: see [`timeout`].
///
/// # Errors
/// As [`timeout`].
#[track_caller]
pub fn timeout_at<F, T, E>(deadline: Instant, body: F) -> impl Future<Output = Result<T, E>>
where
    F: AsyncFnOnce() -> Result<T, E>,
    E: From<Elapsed>,
{
    fail_at(Some(deadline), body, Location::caller())
}

/// Runs `body`, but no longer than `duration` from now, and goes on without its value then: see [`timeout`].
///
/// Returns `None` if the time was over and a wait of the body was ended by that.
///
/// # Errors
/// What the body returns in any other case. An error of its clean-up, when the time was over, is dropped:
/// [`CancelScope::run`] keeps it.
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Examples
/// ```
/// use antiphon::{Cancelled, run, time};
/// use std::time::Duration;
///
/// run(async || {
///     let slept = time::move_on_after(Duration::from_millis(1), async || {
///         time::sleep(Duration::from_secs(3600)).await
///     });
///     assert_eq!(slept.await?, None);
///     Ok::<(), Cancelled>(())
/// })?;
/// # Ok::<(), Cancelled>(())
/// ```
#[track_caller]
pub fn move_on_after<F, T, E>(
    duration: Duration,
    body: F,
) -> impl Future<Output = Result<Option<T>, E>>
where
    F: AsyncFnOnce() -> Result<T, E>,
{
    move_on(after(duration), body, Location::caller())
}

/// Runs `body`, but no longer than until `deadline`, and goes on without its value then: see [`move_on_after`].
///
/// # Errors
/// As [`move_on_after`].
#[track_caller]
pub fn move_on_at<F, T, E>(deadline: Instant, body: F) -> impl Future<Output = Result<Option<T>, E>>
where
    F: AsyncFnOnce() -> Result<T, E>,
{
    move_on(Some(deadline), body, Location::caller())
}

/// `None` if the clock can't tell it: then it never comes.
#[track_caller]
fn after(duration: Duration) -> Option<Instant> {
    super::now().checked_add(duration)
}

async fn fail_at<F, T, E>(
    deadline: Option<Instant>,
    body: F,
    at: &'static Location<'static>,
) -> Result<T, E>
where
    F: AsyncFnOnce() -> Result<T, E>,
    E: From<Elapsed>,
{
    match CancelScope::make(deadline, at).run_at(body, at).await {
        Outcome::Cancelled(cancelled, _) => Err(Elapsed { cancelled }.into()),
        outcome => outcome.into_result(),
    }
}

async fn move_on<F, T, E>(
    deadline: Option<Instant>,
    body: F,
    at: &'static Location<'static>,
) -> Result<Option<T>, E>
where
    F: AsyncFnOnce() -> Result<T, E>,
{
    CancelScope::make(deadline, at)
        .run_at(body, at)
        .await
        .unless_cancelled()
}

/// The error of [`timeout`]: the time was over.
///
/// It converts into an [`io::Error`] of the kind [`TimedOut`](io::ErrorKind::TimedOut).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elapsed {
    cancelled: Cancelled,
}

impl Elapsed {
    /// Returns the line that set the time.
    pub fn location(&self) -> &'static Location<'static> {
        self.cancelled.location()
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the time was over (set at {})", self.location())
    }
}

/// It has no [`Cancelled`] for its source: the scope that was cancelled has been left.
impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// For bodies that can fail in no other way.
impl From<Elapsed> for Cancelled {
    fn from(elapsed: Elapsed) -> Self {
        elapsed.cancelled
    }
}
