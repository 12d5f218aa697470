//! `--load`: many coroutines at the desk, to see what one costs.
//!
//! It is the desk that people use: each event is a turn, each coroutine a task of the loop under its own name, and each says
//! its lines, which are dropped here.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use antiphon::Cancelled;
use rustix::time::{ClockId, clock_gettime};

use crate::desk::{Desk, Next};
use crate::orders::Event;

/// What a load was, and what it cost.
pub(crate) struct Report {
    coroutines: usize,
    events: usize,
    resumptions: usize,
    done: usize,
    elapsed: Duration,
    cpu: Duration,
    /// By how much the process has grown while all coroutines waited, in bytes; `None` if the system doesn't tell.
    grown: Option<u64>,
}

/// Lets each event happen `coroutines` times, one event after the other: all start, all move on, ….
pub(crate) async fn run(desk: &mut Desk, coroutines: usize) -> Result<Report, Cancelled> {
    let (mut resumptions, mut done) = (0, 0);
    let memory_before = memory_resident();
    let mut grown = None;
    let (start, cpu_start) = (Instant::now(), cpu_time());
    for event in Event::ALL {
        for _ in 0..coroutines {
            let turn = desk.event(event).await?;
            resumptions += turn.steps.len();
            done += turn
                .steps
                .iter()
                .filter(|step| step.next == Next::Done)
                .count();
        }
        // Once all wait, which is after the first event.
        grown = grown.or_else(|| Some(memory_resident()?.saturating_sub(memory_before?)));
    }
    Ok(Report {
        coroutines,
        events: coroutines * Event::ALL.len(),
        resumptions,
        done,
        elapsed: start.elapsed(),
        cpu: cpu_time().saturating_sub(cpu_start),
        grown,
    })
}

/// The deterministic part is the first line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            coroutines,
            events,
            resumptions,
            done,
            ..
        } = self;
        writeln!(
            f,
            "{coroutines} coroutines, {events} events, {resumptions} resumptions, {done} done"
        )?;
        let seconds = self.elapsed.as_secs_f64();
        match per(seconds, *resumptions) {
            Some(each) => writeln!(
                f,
                "{seconds:.2} s, {:.0} resumptions per second, {:.0} ns of CPU time each",
                1.0 / each,
                per(self.cpu.as_secs_f64(), *resumptions).unwrap_or_default() * 1e9,
            )?,
            None => writeln!(f, "nothing to measure")?,
        }
        match self.grown {
            None => write!(f, "bytes per waiting coroutine: unknown on this system"),
            // Memory is counted in pages, and taken from the system by many at a time.
            Some(_) if *coroutines < COROUTINES_MEASURED_MIN => {
                write!(f, "bytes per waiting coroutine: too few to tell")
            }
            Some(grown) => write!(
                f,
                "{} bytes per waiting coroutine",
                grown / *coroutines as u64
            ),
        }
    }
}

/// With fewer coroutines the memory that each takes is lost in the rounding.
const COROUTINES_MEASURED_MIN: usize = 10_000;

/// Returns `total / count`, or `None` if there is nothing to share.
#[expect(clippy::cast_precision_loss, reason = "for a figure of three digits")]
fn per(total: f64, count: usize) -> Option<f64> {
    (count > 0 && total > 0.0).then(|| total / count as f64)
}

/// Returns the CPU time that the process has used, in all its threads.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // Neither is ever negative.
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

/// Returns how much memory of the process is in RAM, in bytes: the second number of `/proc/self/statm`, which counts pages.
fn memory_resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders;

    #[test]
    fn each_coroutine_is_resumed_by_each_event() {
        for coroutines in [0, 1, 1000] {
            let report = antiphon::run(async || {
                let mut desk = Desk::new(orders::started_by);
                let report = run(&mut desk, coroutines).await.unwrap();
                assert_eq!(desk.waiting_len(), 0);
                report
            });
            assert_eq!(report.events, 3 * coroutines);
            assert_eq!(report.resumptions, 3 * coroutines);
            assert_eq!(report.done, coroutines);
        }
    }
}
