//! Events that happen later.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

use antiphon::Cancelled;
use antiphon::sync;
use antiphon::time;

use crate::duration::spoken;
use crate::orders::Event;

/// The events that are still to happen, by the numbers of their timers.
pub(crate) struct Timers {
    pending: RefCell<BTreeMap<u64, Timer>>,
    /// Numbers are never used again.
    next_number: Cell<u64>,
    /// The pending ones, and those whose event is happening.
    unfinished: Cell<usize>,
    /// Set while none is unfinished.
    idle: sync::Event,
}

/// An event, and its moment.
#[derive(Clone, Copy)]
pub(crate) struct Timer {
    pub(crate) number: u64,
    pub(crate) event: Event,
    pub(crate) deadline: Instant,
}

/// So many timers are pending that no more are taken: one client could fill the memory with them.
#[derive(Debug)]
pub(crate) struct TooManyTimers;

/// How many may be pending.
pub(crate) const PENDING_MAX: usize = 10_000;

impl Timers {
    pub(crate) fn new() -> Self {
        let idle = sync::Event::new();
        idle.set();
        Self {
            pending: RefCell::default(),
            next_number: Cell::new(0),
            unfinished: Cell::new(0),
            idle,
        }
    }

    /// Notes that `event` is to happen after `delay`.
    pub(crate) fn begin(&self, delay: Duration, event: Event) -> Result<Timer, TooManyTimers> {
        let mut pending = self.pending.borrow_mut();
        if pending.len() >= PENDING_MAX {
            return Err(TooManyTimers);
        }
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        let timer = Timer {
            number,
            event,
            deadline: time::now() + delay,
        };
        pending.insert(number, timer);
        self.unfinished.set(self.unfinished.get() + 1);
        self.idle.clear();
        Ok(timer)
    }

    /// Notes that the timer's moment has come: it is not pending any more.
    pub(crate) fn due(&self, timer: Timer) {
        self.pending.borrow_mut().remove(&timer.number);
    }

    /// Notes that the timer's event has happened.
    pub(crate) fn end(&self) {
        self.unfinished.set(self.unfinished.get() - 1);
        if self.unfinished.get() == 0 {
            self.idle.set();
        }
    }

    /// Waits until all that is to happen has happened.
    pub(crate) async fn idle(&self) -> Result<(), Cancelled> {
        self.idle.wait().await
    }

    /// Returns the pending timers, the first to happen first.
    pub(crate) fn pending(&self) -> Vec<Timer> {
        let mut pending: Vec<_> = self.pending.borrow().values().copied().collect();
        pending.sort_by_key(|timer| (timer.deadline, timer.number));
        pending
    }
}

impl Timer {
    /// Returns what happens and when, as in `B in 2m 5s`.
    pub(crate) fn brief(&self) -> String {
        let left = self.deadline.saturating_duration_since(time::now());
        format!("{} in {}", self.event, spoken(left))
    }
}

/// `timer 3: B in 2m 5s`
impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timer {}: {}", self.number, self.brief())
    }
}

impl fmt::Display for TooManyTimers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{PENDING_MAX} timers are pending, and that is all there can be"
        )
    }
}

impl Error for TooManyTimers {}
