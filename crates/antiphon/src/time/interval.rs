//! A clock that ticks.

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::Sleep;
use crate::scope::Cancelled;

/// Ticks every `period`, the first time at once.
///
/// # Panics
/// If `period` is zero, or no loop is running on this thread.
///
/// # Examples
/// ```
/// use antiphon::{run, time};
/// use std::time::Duration;
///
/// run(async || {
///     let mut ticks = time::interval(Duration::from_millis(1));
///     let first = ticks.tick().await?;
///     let second = ticks.tick().await?;
///     assert_eq!(second - first, Duration::from_millis(1));
///     Ok::<(), antiphon::Cancelled>(())
/// })?;
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(super::now(), period)
}

/// Ticks every `period`, the first time at `start`.
///
/// # Panics
/// If `period` is zero.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(
        !period.is_zero(),
        "an interval needs a period longer than zero"
    );
    Interval {
        period,
        missed: MissedTicks::Burst,
        sleep: Sleep::new(start, Location::caller()),
    }
}

/// What an [`Interval`] does about ticks whose time went by while nobody waited for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTicks {
    /// Ticks at once for each of them, until it has caught up.
    #[default]
    Burst,
    /// Ticks once for all of them, and keeps to the times it would have had.
    Skip,
    /// Ticks once for all of them, and counts a period from then.
    Delay,
}

/// A clock that ticks: see [`interval`].
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    missed: MissedTicks,
    sleep: Sleep,
}

impl Interval {
    /// Says what to do about missed ticks. [`MissedTicks::Burst`], if it is not said.
    #[must_use]
    pub const fn with_missed_ticks(mut self, missed: MissedTicks) -> Self {
        self.missed = missed;
        self
    }

    /// Returns the time between two ticks.
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// Waits for the next tick, and returns the moment at which it was due.
    ///
    /// # Errors
    /// [`Cancelled`] if the scope is cancelled before.
    ///
    /// # Cancellation
    /// **Did not happen.** The tick is still to come.
    #[track_caller]
    pub fn tick(&mut self) -> impl Future<Output = Result<Instant, Cancelled>> {
        self.sleep.begin_again(Location::caller());
        poll_fn(|cx| self.poll_tick(cx))
    }

    /// Polls for the next tick: see [`tick`](Self::tick).
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Result<Instant, Cancelled>> {
        ready!(self.sleep.poll_sleep(cx))?;
        let due = self.sleep.deadline();
        self.sleep.reset(self.after(due, super::now()));
        Poll::Ready(Ok(due))
    }

    /// When the tick after the one due at `due` is due, seen from `now`.
    fn after(&self, due: Instant, now: Instant) -> Instant {
        let next = due + self.period;
        if next > now {
            return next;
        }
        match self.missed {
            MissedTicks::Burst => next,
            MissedTicks::Delay => now + self.period,
            MissedTicks::Skip => {
                let late = now.duration_since(due).as_nanos() % self.period.as_nanos();
                let late = Duration::from_nanos(
                    u64::try_from(late).expect("less than a period that was waited for"),
                );
                now + self.period.saturating_sub(late)
            }
        }
    }
}
