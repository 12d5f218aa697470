//! What went wrong where nobody can be told, and how often.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write as _};
use std::panic::Location;

use crate::scope::killed_len;

/// Something that became of an exit of which no caller can be told.
pub(super) enum Report<'a> {
    /// It failed, and the block had failed before, or was dropped.
    Failed(&'a dyn fmt::Display),
    /// It panicked.
    Panicked,
    /// It did not end in time, and was dropped.
    Killed,
    /// It was dropped before it ended, with its task or with a future around it.
    Dropped,
    /// It could not begin: the value was let go.
    NotBegun,
}

/// How often exits, and bodies, went other ways than they should, on this thread: see [`stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Exits that were handed over to the loop because their block was dropped half way.
    pub handed_over: u64,
    /// Of these, exits that have not ended yet.
    pub orphans: u64,
    /// Exits that failed with an error that no caller was told of.
    pub failed: u64,
    /// Exits that panicked where the panic could not go on.
    pub panicked: u64,
    /// Exits that did not end in time, and were dropped.
    pub killed: u64,
    /// Exits that were dropped before they ended: their task was, or a future around a block whose value is to be let go.
    pub dropped: u64,
    /// Exits that could not begin, because the loop had ended.
    pub not_begun: u64,
    /// Scopes whose body did not end within its [grace](crate::CancelScope::run_within), and was dropped.
    pub scopes_killed: u64,
}

thread_local! {
    static STATS: Cell<Stats> = const { Cell::new(Stats::NONE) };
}

/// Returns how often exits and bodies went other ways than they should on this thread, since it began.
///
/// Each of them was also reported on the standard error stream, except the handing over itself.
///
/// # Examples
/// ```
/// assert_eq!(antiphon::context::stats().killed, 0);
/// ```
pub fn stats() -> Stats {
    Stats {
        scopes_killed: killed_len(),
        ..STATS.get()
    }
}

pub(super) fn count(change: impl FnOnce(&mut Stats)) {
    // A destructor may come after those of the thread.
    let _ = STATS.try_with(|stats| {
        let mut changed = stats.get();
        change(&mut changed);
        stats.set(changed);
    });
}

/// Counts it, and tells the standard error stream. `at` is the line of the block.
#[cold]
pub(super) fn report(what: &Report<'_>, at: &Location<'_>) {
    count(|stats| match what {
        Report::Failed(_) => stats.failed += 1,
        Report::Panicked => stats.panicked += 1,
        Report::Killed => stats.killed += 1,
        Report::Dropped => stats.dropped += 1,
        Report::NotBegun => stats.not_begun += 1,
    });
    // Nobody is told if nobody can be. `eprintln!` would panic then, perhaps in a destructor.
    let _ = writeln!(io::stderr(), "{}", line(what, at));
}

fn line(what: &Report<'_>, at: &Location<'_>) -> String {
    let what = match what {
        Report::Failed(error) => {
            return format!("antiphon: the exit of the block at {at} failed: {error}");
        }
        Report::Panicked => "panicked",
        Report::Killed => "did not end in time, and was dropped",
        Report::Dropped => "was dropped before it ended",
        Report::NotBegun => "did not begin: the loop has ended",
    };
    format!("antiphon: the exit of the block at {at} {what}")
}

impl Stats {
    const NONE: Self = Self {
        handed_over: 0,
        orphans: 0,
        failed: 0,
        panicked: 0,
        killed: 0,
        dropped: 0,
        not_begun: 0,
        scopes_killed: 0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_line_with_the_place() {
        let at = Location::caller();
        for (what, end) in [
            (Report::Failed(&"no route"), "failed: no route"),
            (Report::Panicked, "panicked"),
            (Report::Killed, "did not end in time, and was dropped"),
            (Report::Dropped, "was dropped before it ended"),
            (Report::NotBegun, "did not begin: the loop has ended"),
        ] {
            let expected = format!("antiphon: the exit of the block at {at} {end}");
            assert_eq!(line(&what, at), expected);
        }
    }

    #[test]
    fn each_report_is_counted_once() {
        let before = stats();
        report(&Report::Killed, Location::caller());
        report(&Report::NotBegun, Location::caller());
        let expected = Stats {
            killed: before.killed + 1,
            not_begun: before.not_begun + 1,
            ..before
        };
        assert_eq!(stats(), expected);
    }
}
