//! Waiting no longer than that.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::Sleep;

/// Awaits `future`, but no longer than `duration` from now.
///
/// A future that is ready when it is polled wins, even if the time is over.
///
/// # Errors
/// [`Elapsed`] if the time was over first. The future is **dropped** then, wherever it was: use it for futures of which
/// that is known to be harmless.
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Examples
/// ```
/// use antiphon::{run, time};
/// use std::{future::pending, time::Duration};
///
/// run(async || {
///     assert_eq!(time::timeout(Duration::from_secs(1), async { 5 }).await, Ok(5));
///     assert!(time::timeout(Duration::from_millis(1), pending::<()>()).await.is_err());
/// });
/// ```
#[track_caller]
pub fn timeout<F: Future>(
    duration: Duration,
    future: F,
) -> impl Future<Output = Result<F::Output, Elapsed>> {
    first_of(future, super::sleep(duration))
}

/// Awaits `future`, but no longer than until `deadline`: see [`timeout`].
///
/// # Errors
/// [`Elapsed`], as [`timeout`].
#[track_caller]
pub fn timeout_at<F: Future>(
    deadline: Instant,
    future: F,
) -> impl Future<Output = Result<F::Output, Elapsed>> {
    first_of(future, super::sleep_until(deadline))
}

async fn first_of<F: Future>(future: F, mut sleep: Sleep) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Ok(value)),
        Poll::Pending => sleep.poll_sleep(cx).map(|()| Err(Elapsed(()))),
    })
    .await
}

/// The error of [`timeout`]: the time was over first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was over before the future was ready")
    }
}

impl std::error::Error for Elapsed {}
