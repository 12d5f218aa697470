//! Waiting for a moment.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::scope::{Cancelled, Checkpoint, deliver, is_cancelled_here};
use crate::wait::{Place, Wheel, is_lost, poll_place};

/// Waits for `duration`, counted from this call.
///
/// A duration of zero waits for the next turn. One that ends later than the clock can tell never ends.
///
/// # Errors
/// [`Cancelled`] if the scope is cancelled before the time is over.
///
/// # Cancellation
/// **Did not happen.** Dropping it takes the timer away at once.
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Examples
/// ```
/// use antiphon::{run, time};
/// use std::time::Duration;
///
/// run(async || {
///     let start = time::now();
///     time::sleep(Duration::from_millis(2)).await?;
///     assert!(time::now() - start >= Duration::from_millis(2));
///     Ok::<(), antiphon::Cancelled>(())
/// })?;
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    let now = super::now();
    Sleep::new(
        now.checked_add(duration)
            .unwrap_or_else(|| end_of_time(now)),
        Location::caller(),
    )
}

/// Waits for `deadline`; if that is past, for the next turn.
///
/// # Errors
/// [`Cancelled`] if the scope is cancelled before.
///
/// # Cancellation
/// **Did not happen.**
///
/// # Panics
/// When first polled, if no loop is running on this thread.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(deadline, Location::caller())
}

/// A moment that the wheel never reaches.
fn end_of_time(now: Instant) -> Instant {
    (0..)
        .find_map(|halvings| now.checked_add(Duration::MAX / (1 << halvings)))
        .expect("some duration fits")
}

/// The future of [`sleep`] and [`sleep_until`].
///
/// It may be carried out of a loop into the next one on its thread, where it waits on for the same moment.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    deadline: Instant,
    /// Its timer, while it waits.
    place: Option<Place>,
    is_over: bool,
    checkpoint: Checkpoint,
    at: &'static Location<'static>,
}

impl Sleep {
    pub(crate) const fn new(deadline: Instant, at: &'static Location<'static>) -> Self {
        Self {
            deadline,
            place: None,
            is_over: false,
            checkpoint: Checkpoint::new(),
            at,
        }
    }

    /// Returns the moment that is waited for.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns `true` if the moment came and the future resolved.
    pub const fn is_elapsed(&self) -> bool {
        self.is_over
    }

    /// Waits for another moment instead. It may have resolved already: then it waits again.
    pub fn reset(&mut self, deadline: Instant) {
        self.leave();
        self.deadline = deadline;
        self.is_over = false;
    }

    /// Takes the next poll for the first of a wait at the line `at`, whatever became of the wait before.
    pub(super) fn begin_again(&mut self, at: &'static Location<'static>) {
        self.leave();
        self.checkpoint = Checkpoint::new();
        self.at = at;
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            Wheel::leave(place);
        }
    }

    pub(crate) fn poll_sleep(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cancelled>> {
        if self.is_over {
            return Poll::Ready(Ok(()));
        }
        if self.place.is_none() {
            ready!(self.checkpoint.poll(cx, self.at))?;
            self.place = Some(Wheel::join(cx, self.deadline, "sleep", self.at));
            return Poll::Pending;
        }
        if poll_place(&mut self.place, cx).is_ready() {
            self.is_over = true;
            return Poll::Ready(Ok(()));
        }
        if self.place.is_some_and(is_lost) {
            // It began in a loop that has ended: it goes on in this one.
            self.place = Some(Wheel::join(cx, self.deadline, "sleep", self.at));
        }
        if is_cancelled_here() {
            if let Some(cancelled) = deliver() {
                self.leave();
                return Poll::Ready(Err(cancelled));
            }
        }
        Poll::Pending
    }
}

impl Future for Sleep {
    type Output = Result<(), Cancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_sleep(cx)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.leave();
    }
}
