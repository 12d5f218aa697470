//! A clock that stands still until it is moved.

use std::time::Instant;

#[derive(Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    pub(super) const fn now(&self) -> Instant {
        self.0
    }

    /// Jumps to `moment`, if that is not past.
    pub(super) fn advance(&mut self, moment: Instant) {
        self.0 = self.0.max(moment);
    }
}
