//! Instruments: code of yours that is told what becomes of each task.
//!
//! ```text
//!   spawned ─▶ scheduled ─▶ before_step ─▶ … wait_started … ─▶ after_step ──▶ exited
//!                  ▲            ▲             wait_ended            │
//!                  │            │             cancelled             │
//!                  └────────────┴──── woken by what it waits for ◀──┘
//! ```
//! [`tree`](crate::tree) tells how things stand; an [`Instrument`] is told how they came about: for a trace, for statistics, for
//! a test that asserts an order. While there is none, a step, a wake, a wait and a spawn each look at one bit, and that is all.
//!
//! ```
//! use antiphon::instrument::{self, Instrument, TaskView};
//! use std::cell::Cell;
//! use std::rc::Rc;
//!
//! /// Counts the steps of all tasks.
//! #[derive(Default)]
//! struct Steps(Cell<u64>);
//!
//! impl Instrument for Steps {
//!     fn before_step(&self, _: &TaskView<'_>) {
//!         self.0.set(self.0.get() + 1);
//!     }
//! }
//!
//! antiphon::run(async || {
//!     let steps = Rc::new(Steps::default());
//!     let id = instrument::add(Rc::clone(&steps));
//!     antiphon::spawn(async || antiphon::yield_now().await).await.unwrap()?;
//!     instrument::remove(id);
//!     // Two of the task; and one of this one, which was woken by its end.
//!     assert_eq!(steps.0.get(), 3);
//!     Ok::<(), antiphon::Cancelled>(())
//! })?;
//! # Ok::<(), antiphon::Cancelled>(())
//! ```
//!
//! # Ready made
//! - `TaskSpans`, with the feature `tracing`: a span for each task.
//! - The watchdog, [`RuntimeBuilder::watchdog`](crate::RuntimeBuilder::watchdog): names the task that holds a loop.

mod list;
#[cfg(feature = "tracing")]
mod spans;
mod watchdog;

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use crate::look::Wait;
use crate::scope::Cancelled;
use crate::task::{Header, TaskId};
use crate::worker::current;

pub(crate) use self::list::{
    Instruments, Planned, child_step, delivered, drop_task, exited, scheduled, spawned,
    step_begins, step_ended, steps_unwound, wait_ended, wait_started,
};
#[cfg(feature = "tracing")]
pub use self::spans::TaskSpans;
pub use self::watchdog::Hold;
pub(crate) use self::watchdog::Watchdog;

/// Is told what becomes of the tasks of a loop.
///
/// Each method does nothing unless it is written. They are called in the loop, in between, so they should be quick. They may
/// look at the loop ([`tree`](crate::tree)), wake, cancel, and add or remove instruments; what they cause themselves is not
/// told to anybody. They may not spawn: that panics.
///
/// One that panics is removed, and a line on standard error says so; the loop and the other instruments go on.
///
/// The children of a group are tasks like others. As they are polled by the task that has the group, their steps lie within
/// one of that task's. The branches of a race and a join are parts of their task.
///
/// To look at an instrument after it was given away, give an `Rc` of it.
pub trait Instrument {
    /// A task has been spawned. It is scheduled next.
    fn spawned(&self, task: &TaskView<'_>) {
        let _ = task;
    }

    /// A task that had no step due has one: it was spawned, or woken.
    fn scheduled(&self, task: &TaskView<'_>) {
        let _ = task;
    }

    /// A step of a task begins.
    fn before_step(&self, task: &TaskView<'_>) {
        let _ = task;
    }

    /// The step has ended, be it the last one or a panic.
    ///
    /// Whoever was told of its begin is told of its end, and nobody else: an instrument that is added in a step hears of no half
    /// of it.
    fn after_step(&self, task: &TaskView<'_>) {
        let _ = task;
    }

    /// A task begins to wait, after it found that it can't go on at once.
    ///
    /// A task may wait for several things at one time. [`yield_now`](crate::yield_now) is no wait, nor is a future that is not of
    /// this crate.
    fn wait_started(&self, task: &TaskView<'_>, wait: &Wait) {
        let _ = (task, wait);
    }

    /// A task waits no more: what it waited for came, or it was cancelled, or the future was dropped.
    ///
    /// `wait` is the one that was told of at its start, and for how long it was.
    fn wait_ended(&self, task: &TaskView<'_>, wait: &Wait) {
        let _ = (task, wait);
    }

    /// A task hears of a cancel: a wait of it ends with this error. It is told of each such wait.
    fn cancelled(&self, task: &TaskView<'_>, cancelled: &Cancelled) {
        let _ = (task, cancelled);
    }

    /// A task has ended, in whichever way, and what it had is dropped. It is told of nothing more.
    fn exited(&self, task: &TaskView<'_>) {
        let _ = task;
    }
}

/// A task, as an [`Instrument`] is told of it.
pub struct TaskView<'a> {
    header: &'a Header,
}

/// Names an instrument that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstrumentId(u64);

/// Adds an instrument to the loop that runs on this thread, behind those that are there. It is told from the next event on,
/// until it is [removed](remove), in later runs of the same [`Runtime`](crate::Runtime) as well.
///
/// One that is to be there from the start is given to
/// [`RuntimeBuilder::instrument`](crate::RuntimeBuilder::instrument).
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Examples
/// See [`instrument`](self).
#[track_caller]
pub fn add<I: Instrument + 'static>(instrument: I) -> InstrumentId {
    current(|worker| worker.instruments().add(Rc::new(instrument)))
}

/// Removes an instrument of the loop that runs on this thread: from now on it is not called any more. Returns `false` if it is
/// not there, because it was removed already, or has panicked.
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Examples
/// See [`instrument`](self).
#[track_caller]
pub fn remove(id: InstrumentId) -> bool {
    current(|worker| worker.instruments().remove(id))
}

impl<'a> TaskView<'a> {
    pub(crate) const fn new(header: &'a Header) -> Self {
        Self { header }
    }

    /// Returns its number.
    pub fn id(&self) -> TaskId {
        self.header.id()
    }

    /// Returns the number of the task that spawned it, which may have ended; `None` for the main task.
    pub fn parent(&self) -> Option<TaskId> {
        self.header.parent()
    }

    /// Returns its name, if it was given one. The main task's is `main`.
    pub fn name(&self) -> Option<&'a str> {
        self.header.name()
    }

    /// Returns the line that spawned it.
    pub fn origin(&self) -> &'static Location<'static> {
        self.header.origin()
    }
}

/// As in the task tree: its number, its name if it has one, and the line that spawned it.
impl fmt::Display for TaskView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.id())?;
        if let Some(name) = self.name() {
            write!(f, "`{name}` ")?;
        }
        write!(f, "(spawned at {})", self.origin())
    }
}

impl fmt::Debug for TaskView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskView({self})")
    }
}

/// So that whoever adds it can look at it.
impl<I: Instrument + ?Sized> Instrument for Rc<I> {
    fn spawned(&self, task: &TaskView<'_>) {
        (**self).spawned(task);
    }

    fn scheduled(&self, task: &TaskView<'_>) {
        (**self).scheduled(task);
    }

    fn before_step(&self, task: &TaskView<'_>) {
        (**self).before_step(task);
    }

    fn after_step(&self, task: &TaskView<'_>) {
        (**self).after_step(task);
    }

    fn wait_started(&self, task: &TaskView<'_>, wait: &Wait) {
        (**self).wait_started(task, wait);
    }

    fn wait_ended(&self, task: &TaskView<'_>, wait: &Wait) {
        (**self).wait_ended(task, wait);
    }

    fn cancelled(&self, task: &TaskView<'_>, cancelled: &Cancelled) {
        (**self).cancelled(task, cancelled);
    }

    fn exited(&self, task: &TaskView<'_>) {
        (**self).exited(task);
    }
}
