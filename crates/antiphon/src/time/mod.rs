//! Time: waiting for it, and waiting no longer than that.

mod interval;
mod sleep;
mod timeout;

use std::time::Instant;

pub use self::interval::{Interval, MissedTicks, interval, interval_at};
pub use self::sleep::{Sleep, sleep, sleep_until};
pub use self::timeout::{Elapsed, move_on_after, move_on_at, timeout, timeout_at};

use crate::worker::current;

/// Returns the loop's time: the clock as it was read at the start of this turn.
///
/// Reading it costs nothing, and it does not change between two awaits.
///
/// # Panics
/// If no loop is running on this thread.
#[track_caller]
pub fn now() -> Instant {
    current(crate::worker::Worker::now)
}
