//! Giving way to the other tasks.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::explore::probe;
use crate::scope::{Cancelled, deliver, is_cancelled_here, is_explored_here};

/// Lets every task that is ready now take a step first, and the loop look at its timers and I/O.
///
/// # Errors
/// [`Cancelled`] if the scope is cancelled. The others have had their step all the same.
///
/// # Cancellation
/// **Did not happen.**
///
/// # Examples
/// ```
/// antiphon::run(async || {
///     let other = antiphon::spawn(async || println!("I go first"));
///     antiphon::yield_now().await?;
///     assert!(other.is_finished());
///     Ok::<(), antiphon::Cancelled>(())
/// })?;
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
#[track_caller]
pub fn yield_now() -> YieldNow {
    YieldNow::at(Location::caller())
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    has_yielded: bool,
    at: &'static Location<'static>,
}

impl YieldNow {
    pub(crate) const fn at(at: &'static Location<'static>) -> Self {
        Self {
            has_yielded: false,
            at,
        }
    }
}

impl Future for YieldNow {
    type Output = Result<(), Cancelled>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.has_yielded {
            return Poll::Ready(if is_cancelled_here() {
                deliver().map_or(Ok(()), Err)
            } else {
                Ok(())
            });
        }
        self.has_yielded = true;
        if is_explored_here() {
            probe::wait_begins(self.at);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
