//! How long what is cancelled may go on.

use std::panic::Location;
use std::task::Context;
use std::time::{Duration, Instant};

use crate::wait::{Place, Wheel, poll_place};

/// How long what is shielded may take: the exit of a [block](crate::context), or what is left in a scope that was cancelled.
///
/// ```text
///   an exit begins,         its waits end with `Cancelled`,
///   a scope is        ── cancel_after ──▶                    ── drop_after ──▶ it is dropped, and reported
///   cancelled               those in shields as well
/// ```
/// A scope has one if it is run with [`run_within`](crate::CancelScope::run_within). When the main task has ended, the loop has
/// a [grace](crate::RuntimeBuilder::grace) of its own, which bounds all others.
///
/// # Examples
/// ```
/// use antiphon::Grace;
/// use std::time::Duration;
///
/// let grace = Grace::default().cancel_after(Duration::from_secs(30));
/// assert_ne!(grace, Grace::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    pub(crate) cancel_after: Duration,
    pub(crate) drop_after: Duration,
}

impl Grace {
    /// It may take any time. For an exit that bounds itself.
    pub const UNBOUNDED: Self = Self {
        cancel_after: Duration::MAX,
        drop_after: Duration::MAX,
    };

    /// Sets after what time the waits are cancelled, of an exit from its beginning, in the shields of a scope from the scope's
    /// cancel; 5 seconds, if it is not said. Zero cancels at once.
    #[must_use]
    pub const fn cancel_after(self, duration: Duration) -> Self {
        Self {
            cancel_after: duration,
            ..self
        }
    }

    /// Sets after what time from then on what still has not ended is dropped; 5 seconds, if it is not said.
    /// [`Duration::MAX`] never drops.
    #[must_use]
    pub const fn drop_after(self, duration: Duration) -> Self {
        Self {
            drop_after: duration,
            ..self
        }
    }
}

/// 5 seconds, and 5 more.
impl Default for Grace {
    fn default() -> Self {
        Self {
            cancel_after: Duration::from_secs(5),
            drop_after: Duration::from_secs(5),
        }
    }
}

/// The time that is left to what was cancelled.
#[derive(Default)]
pub(crate) struct Alarm(Option<Place>);

impl Alarm {
    /// Returns `true` if `moment` has come; else the task is woken then. It is not of the scope, whose cancel would end it.
    pub(crate) fn poll(
        &mut self,
        cx: &Context<'_>,
        moment: Instant,
        kind: &'static str,
        at: &'static Location<'static>,
    ) -> bool {
        if crate::time::now() >= moment {
            self.stop();
            return true;
        }
        if self.0.is_none() || poll_place(&mut self.0, cx).is_ready() {
            self.0 = Some(Wheel::join(cx, moment, kind, at));
        }
        false
    }

    pub(crate) fn stop(&mut self) {
        if let Some(place) = self.0.take() {
            Wheel::leave(place);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.stop();
    }
}
