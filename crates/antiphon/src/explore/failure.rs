//! What was found wrong, in words.

use std::fmt;
use std::panic::Location;

use super::case::Case;

/// A run that did not end as it should.
#[derive(Clone, Debug)]
pub struct Failure {
    pub(super) case: Case,
    /// How many points the run without a fault has.
    pub(super) points: usize,
    /// Where the fault was.
    pub(super) point: Option<Point>,
    pub(super) findings: Vec<Finding>,
}

/// A moment at which something can happen to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub(super) moment: Moment,
    pub(super) at: &'static Location<'static>,
    /// What is waited for, or called.
    pub(super) kind: &'static str,
    /// The task's number.
    pub(super) task: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// A wait is about to begin.
    Begins,
    /// A step has ended, and the task sleeps.
    Sleeps,
    /// The system is called.
    Calls,
}

/// Something that is wrong with a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// It panicked, with this message: an assertion of the program's own, as a rule. A panic counts even if something caught
    /// it, unless it happens in the run without a fault as well.
    Panicked(String),
    /// It returned an error, though nothing was done to it.
    Failed(String),
    /// Nobody can go on, ever. The tree of tasks tells who waits for what.
    Deadlock(String),
    /// It was still running after so many turns of the loop.
    Endless(usize),
    /// Tasks did not end although they were cancelled, and had to be dropped; the text names them.
    TasksLeft(String),
    /// Somebody still has a place in a queue; each is told by what it waits for, and its line.
    WaitersLeft(Vec<String>),
    /// Scopes were entered and not left; each is told by its line.
    ScopesLeft(Vec<String>),
    /// So many blocks with a [context manager](crate::context) were entered and did not exit.
    NotExited(usize),
    /// Exits that were dropped, or could not begin; what [`context::stats`](crate::context::stats) counted.
    ExitsLost(String),
    /// So many operations are still with the driver.
    OperationsLeft(usize),
    /// So many sockets were not closed.
    SocketsLeft(usize),
    /// Locks are still held though all of the program was dropped: their guards were forgotten, or are kept elsewhere. Each is
    /// told by its kind and the line that locked it. Permits that were given away with
    /// [`forget`](crate::sync::SemaphorePermit::forget) are not.
    LocksHeld(Vec<String>),
    /// It went another way than the run before, up to the fault: it depends on something else than its input, such as
    /// the real time, the order of a `HashMap`, or what the run before has left. The two points are where they part.
    NotRepeatable(String, String),
}

impl Finding {
    /// Whether the run was broken off.
    pub(super) const fn is_abandoned(&self) -> bool {
        matches!(self, Self::Deadlock(_) | Self::Endless(_))
    }
}

impl Failure {
    /// Returns the case, with which the run can be repeated alone: see [`Explorer::only`](super::Explorer::only).
    pub const fn case(&self) -> Case {
        self.case
    }

    /// Returns the line at which the fault happened, if there was one.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.point.map(|point| point.at)
    }

    /// Returns what is wrong.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, points, .. } = self;
        match (case.fault(), &self.point) {
            (Some((fault, number)), Some(point)) => {
                write!(f, "{fault} at point {number} of {points}, where {point}")?;
            }
            (Some((fault, number)), None) => {
                write!(f, "{fault} at point {number}, which was not reached")?;
            }
            (None, _) => f.write_str("without any fault")?,
        }
        match case.seed() {
            0 => {}
            seed => write!(f, " (order {seed})")?,
        }
        for finding in &self.findings {
            write!(f, "\n  {finding}")?;
        }
        write!(f, "\nto repeat this run alone: ANTIPHON_EXPLORE='{case}'")
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, kind, task, .. } = self;
        match self.moment {
            Moment::Begins => write!(f, "task {task} begins to wait at {at}"),
            Moment::Sleeps if kind.is_empty() => write!(f, "task {task} sleeps at {at}"),
            Moment::Sleeps => write!(f, "task {task} sleeps at {at}, waiting for {kind}"),
            Moment::Calls => write!(f, "task {task} calls the system for {kind} at {at}"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(f, "it panicked: {message}"),
            Self::Failed(error) => write!(f, "it failed: {error}"),
            Self::Deadlock(tree) => {
                f.write_str("nobody can go on:")?;
                tree.lines().try_for_each(|line| write!(f, "\n    {line}"))
            }
            Self::Endless(turns) => {
                write!(f, "it was still running after {turns} turns of the loop")
            }
            Self::TasksLeft(text) => f.write_str(text),
            Self::WaitersLeft(waiters) => write!(f, "still in a queue: {}", waiters.join(", ")),
            Self::ScopesLeft(scopes) => {
                write!(f, "scopes that were not left: {}", scopes.join(", "))
            }
            Self::NotExited(1) => f.write_str("a block was entered and did not exit"),
            Self::NotExited(count) => write!(f, "{count} blocks were entered and did not exit"),
            Self::ExitsLost(stats) => write!(f, "exits were lost: {stats}"),
            Self::OperationsLeft(count) => write!(f, "{count} operations are still under way"),
            Self::SocketsLeft(count) => write!(f, "{count} sockets were not closed"),
            Self::LocksHeld(locks) => write!(f, "still locked: {}", locks.join(", ")),
            Self::NotRepeatable(expected, found) => write!(
                f,
                "the runs differ: where in the run before {expected}, in this one {found}"
            ),
        }
    }
}
