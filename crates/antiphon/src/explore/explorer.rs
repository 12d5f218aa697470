//! The runs of an exploration, one after the other.

use std::any::Any;
use std::env;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use super::case::{Case, Fault};
use super::failure::{Failure, Finding, Moment};
use super::probe::{self, Path, Run, is_ours, listen_for_panics};
use crate::context;
use crate::look::tree_of;
use crate::scope::Outcome;
use crate::sys::{Driver, Simulator};
use crate::worker::{BUDGET_DEFAULT, Settings, Worker};

/// How a program is explored: which faults, and how many orders of steps.
///
/// # Examples
/// ```
/// use antiphon::explore::{Explorer, Fault};
/// use antiphon::sync::Mutex;
///
/// let explored = Explorer::new()
///     .faults(&[Fault::Cancel, Fault::Panic])
///     .orders(4)
///     .run(|| async {
///         let mutex = Mutex::new(1);
///         *mutex.lock().await? += 1;
///         antiphon::yield_now().await
///     })?;
/// assert!(explored.runs() > explored.points());
/// # Ok::<(), antiphon::explore::Failure>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is explored before `run`"]
pub struct Explorer {
    faults: Vec<Fault>,
    seeds: Range<u64>,
    turns: usize,
    only: Option<Case>,
}

/// What an exploration has gone through, and found nothing wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explored {
    points: usize,
    runs: usize,
}

impl Explored {
    /// Returns how many points the program has at which something was done to it, in all orders together.
    pub const fn points(&self) -> usize {
        self.points
    }

    /// Returns how often the program was run.
    pub const fn runs(&self) -> usize {
        self.runs
    }
}

/// What an explored program returns: nothing, or a result.
///
/// An error of the run without any fault is a [`Failure`]; in the others it is the fault's consequence.
pub trait Ended: sealed::Sealed {
    #[doc(hidden)]
    fn into_error(self) -> Option<String>;
}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for () {}
impl<T, E> sealed::Sealed for Result<T, E> {}
impl<T, E> sealed::Sealed for Outcome<T, E> {}

impl Ended for () {
    fn into_error(self) -> Option<String> {
        None
    }
}

impl<T, E: fmt::Debug> Ended for Result<T, E> {
    fn into_error(self) -> Option<String> {
        self.err().map(|error| format!("{error:?}"))
    }
}

impl<T, E: fmt::Debug> Ended for Outcome<T, E> {
    fn into_error(self) -> Option<String> {
        self.into_result().into_error()
    }
}

/// Turns of the loop that a run may take, unless it is said: far more than any test needs.
const TURNS_DEFAULT: usize = 100_000;

/// For how long the tasks that are left may go on, in virtual time: longer than an exit has by itself.
const GRACE: Duration = Duration::from_secs(60);

/// Names the case that alone is run.
const VARIABLE: &str = "ANTIPHON_EXPLORE";

impl Explorer {
    /// Makes one for cancels, in the order in which tasks are woken.
    pub fn new() -> Self {
        Self {
            faults: vec![Fault::Cancel],
            seeds: 0..1,
            turns: TURNS_DEFAULT,
            only: None,
        }
    }

    /// Chooses the faults; [`Fault::Cancel`] alone, if it is not said. With none, the program is only run in each order.
    pub fn faults(mut self, faults: &[Fault]) -> Self {
        self.faults = faults.to_vec();
        self
    }

    /// Chooses in how many orders the steps are taken that could be taken in any; one, if it is not said.
    ///
    /// The first is the one in which tasks are woken, the others are drawn from the seeds from 1.
    ///
    /// # Panics
    /// If `count` is zero.
    #[track_caller]
    pub fn orders(mut self, count: u64) -> Self {
        assert!(count > 0, "there is at least one order");
        self.seeds = 0..count;
        self
    }

    /// Says after how many turns of the loop a run is taken for endless; 100,000, if it is not said.
    pub const fn turns(mut self, max: usize) -> Self {
        self.turns = max;
        self
    }

    /// Runs one case alone, and tells the standard error stream of every point that it comes by.
    ///
    /// The environment variable `ANTIPHON_EXPLORE` does the same for every exploration of a program: so a failing case can be
    /// repeated without a change to the test.
    pub const fn only(mut self, case: Case) -> Self {
        self.only = Some(case);
        self
    }

    /// Explores `program`: runs it without a fault, and then again for every point at which a fault can happen.
    ///
    /// `program` is called for each run, and has to give the same each time.
    ///
    /// # Errors
    /// The first run that did not end as it should.
    ///
    /// # Panics
    /// If a loop is running on this thread, or `ANTIPHON_EXPLORE` is set and names no case.
    pub fn run<P, F>(&self, program: P) -> Result<Explored, Failure>
    where
        P: Fn() -> F,
        F: Future,
        F::Output: Ended,
    {
        let mut explored = Explored { points: 0, runs: 0 };
        let only = self.only.or_else(case_of_the_environment);
        let seeds = only.map_or(self.seeds.clone(), |case| case.seed()..case.seed() + 1);
        for seed in seeds {
            let quiet = Case::quiet(seed);
            let is_told = only == Some(quiet);
            let path = self.run_case(&program, quiet, &Rc::default(), is_told)?;
            explored.runs += 1;
            for (fault, point) in self.places(&path, only) {
                let case = Case::new(fault, point, seed);
                self.run_case(&program, case, &path, only.is_some())?;
                explored.runs += 1;
                explored.points += 1;
            }
        }
        Ok(explored)
    }

    /// The faults and where they can happen in a run that has this log, or the one that is asked for.
    fn places(&self, path: &Path, only: Option<Case>) -> Vec<(Fault, usize)> {
        if let Some(case) = only {
            return case.fault().into_iter().collect();
        }
        let is_exposed = path.log.iter().any(|logged| logged.is_exposed);
        let mut places = Vec::new();
        for fault in &self.faults {
            for (number, logged) in path.log.iter().enumerate() {
                let fits = match fault {
                    Fault::Cancel => logged.point.moment != Moment::Calls,
                    Fault::Error => logged.point.moment == Moment::Calls,
                    Fault::Panic => logged.point.moment == Moment::Begins,
                };
                if fits && logged.is_exposed == is_exposed {
                    places.push((*fault, number));
                }
            }
        }
        places
    }

    /// Runs the program once. Returns the way that it went.
    fn run_case<P, F>(
        &self,
        program: &P,
        case: Case,
        expected: &Rc<Path>,
        is_told: bool,
    ) -> Result<Rc<Path>, Failure>
    where
        P: Fn() -> F,
        F: Future,
        F::Output: Ended,
    {
        listen_for_panics();
        let settings = Settings {
            budget: BUDGET_DEFAULT,
            grace: GRACE,
            watch: None,
            is_in_virtual_time: true,
        };
        let worker = Worker::new(driver(case.seed()), settings);
        let look = |worker: &Worker| tree_of(worker).to_string();
        let run = Run::new(case, Rc::clone(expected), self.turns, is_told, look).begin();
        let before = Blocks::here();
        let result = catch_unwind(AssertUnwindSafe(|| {
            worker.run(async { program().await.into_error() })
        }));
        probe::check_locks();
        drop(run);
        drop(worker);
        let (path, mut findings) = Run::end();
        let is_new = |panic: &&String| !expected.panics.contains(panic);
        if case.fault().is_some() {
            let panics = path.panics.iter().filter(is_new).cloned();
            findings.splice(..0, panics.map(Finding::Panicked));
        }
        let is_told = |finding: &Finding| matches!(finding, Finding::Panicked(_));
        match result {
            Ok(Some(error)) if case.fault().is_none() => findings.push(Finding::Failed(error)),
            Err(payload) if !is_ours(&*payload) && !findings.iter().any(is_told) => {
                findings.insert(0, Finding::Panicked(message(&*payload)));
            }
            Ok(_) | Err(_) => {}
        }
        if !findings.iter().any(Finding::is_abandoned) {
            before.compare(&mut findings);
        }
        if findings.is_empty() {
            return Ok(path.into());
        }
        let number = case.fault().map(|(_, number)| number);
        let points = path.log.len().max(expected.log.len());
        let point = number.and_then(|number| path.log.get(number));
        Err(Failure {
            case,
            points,
            point: point.map(|logged| logged.point),
            findings,
        })
    }
}

impl Default for Explorer {
    fn default() -> Self {
        Self::new()
    }
}

/// The blocks of this thread that have something to exit.
struct Blocks {
    held: usize,
    stats: context::Stats,
}

impl Blocks {
    fn here() -> Self {
        Self {
            held: context::held(),
            stats: context::stats(),
        }
    }

    /// Adds what went wrong with exits since then.
    fn compare(&self, findings: &mut Vec<Finding>) {
        let held = context::held().saturating_sub(self.held);
        if held > 0 {
            findings.push(Finding::NotExited(held));
        }
        let (before, after) = (self.stats, context::stats());
        let lost: Vec<_> = [
            (before.orphans, after.orphans, "have not ended"),
            (before.killed, after.killed, "did not end in time"),
            (before.dropped, after.dropped, "were dropped"),
            (before.not_begun, after.not_begun, "could not begin"),
        ]
        .into_iter()
        .filter(|(before, after, _)| after > before)
        .map(|(before, after, what)| format!("{} {what}", after - before))
        .collect();
        if !lost.is_empty() {
            findings.push(Finding::ExitsLost(lost.join(", ")));
        }
    }
}

fn driver(seed: u64) -> Box<dyn Driver> {
    let mut driver = Simulator::new();
    driver.set_seed(seed);
    driver.stop_when_stuck(true);
    Box::new(driver)
}

fn case_of_the_environment() -> Option<Case> {
    let text = env::var(VARIABLE).ok().filter(|text| !text.is_empty())?;
    match text.parse() {
        Ok(case) => Some(case),
        Err(error) => panic!("{VARIABLE}: {error}"),
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("with something that is no text").into()
}
