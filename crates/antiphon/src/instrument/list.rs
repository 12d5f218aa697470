//! A worker's instruments, and how they are told.
//!
//! Whether there are any is a bit of a byte that the waits of this thread look at ([`is_observed_here`]). Each function here
//! that tells is called only if it is set, and with nothing borrowed: an instrument is somebody else's code.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::{Instrument, InstrumentId, TaskView, Watchdog};
use crate::look::Wait;
use crate::scope::{Cancelled, is_observed_here, set_observed_here};
use crate::task::Task;
use crate::wait::Waiting;
use crate::worker::{Address, Worker, contain};

/// The instruments of a worker, in the order in which they are told.
pub(crate) struct Instruments {
    /// Replaced as a whole, so that it may change while they are told.
    list: RefCell<Rc<[Entry]>>,
    /// The last id given.
    added: Cell<u64>,
    /// Set while they are told of something: what they cause is not told.
    is_telling: Cell<bool>,
    /// A task that is out of the table, while its future is dropped.
    leaving: RefCell<Option<(Address, Task)>>,
    /// Those that take a step whose begin was told, the innermost last: a task, in it a child of its group, and so on.
    steps: RefCell<Vec<Step>>,
    is_running: Cell<bool>,
    watchdog: RefCell<Option<Watchdog>>,
}

/// Those that a runtime is to have.
#[derive(Clone)]
pub(crate) struct Planned {
    pub(crate) instruments: Vec<Rc<dyn Instrument>>,
    pub(crate) watchdog: Option<Watchdog>,
}

struct Step {
    task: Task,
    /// The last id that had been given when it began: who came later does not hear of its end.
    last: InstrumentId,
}

#[derive(Clone)]
struct Entry {
    id: InstrumentId,
    instrument: Rc<dyn Instrument>,
}

impl Instruments {
    pub(crate) fn new() -> Self {
        Self {
            list: RefCell::new(Rc::new([])),
            added: Cell::new(0),
            is_telling: Cell::new(false),
            leaving: RefCell::new(None),
            steps: RefCell::new(Vec::new()),
            is_running: Cell::new(false),
            watchdog: RefCell::new(None),
        }
    }

    /// Takes those in that are planned.
    pub(crate) fn fill(&self, planned: Planned) {
        if let Some(watchdog) = planned.watchdog {
            self.add(watchdog.instrument());
            self.watchdog.replace(Some(watchdog));
        }
        for instrument in planned.instruments {
            self.add(instrument);
        }
    }

    /// Says that the worker runs, until what is returned is dropped.
    pub(crate) fn begin(&self) -> impl Sized {
        struct End<'a, W>(&'a Instruments, Option<W>);
        impl<W> Drop for End<'_, W> {
            fn drop(&mut self) {
                drop(self.1.take());
                self.0.is_running.set(false);
                self.0.note();
            }
        }
        self.is_running.set(true);
        self.note();
        let watchdog = self.watchdog.borrow();
        End(self, watchdog.as_ref().map(Watchdog::begin))
    }

    pub(crate) fn add(&self, instrument: Rc<dyn Instrument>) -> InstrumentId {
        let id = InstrumentId(self.added.get() + 1);
        self.added.set(id.0);
        let added = Entry { id, instrument };
        self.change(|entries| entries.chain([added]).collect());
        id
    }

    pub(crate) fn remove(&self, id: InstrumentId) -> bool {
        let was_there = self.has(id);
        self.change(|entries| entries.filter(|entry| entry.id != id).collect());
        was_there
    }

    fn change(&self, change: impl FnOnce(&mut dyn Iterator<Item = Entry>) -> Rc<[Entry]>) {
        let before = Rc::clone(&self.list.borrow());
        let after = change(&mut before.iter().cloned());
        let shared = self.list.replace(after);
        self.note();
        // This may run the destructor of one.
        drop((before, shared));
    }

    /// Has the bit say whether there are any.
    fn note(&self) {
        let is_observed = self.is_running.get() && !self.list.borrow().is_empty();
        set_observed_here(is_observed);
        if !is_observed {
            // Nobody is left to be told of their ends.
            drop(self.steps.take());
        }
    }

    fn has(&self, id: InstrumentId) -> bool {
        self.list.borrow().iter().any(|entry| entry.id == id)
    }

    fn tell(&self, task: &Task, event: impl Fn(&dyn Instrument, &TaskView<'_>)) {
        self.tell_up_to(InstrumentId(u64::MAX), task, event);
    }

    /// Tells those that are not behind `last`.
    fn tell_up_to(
        &self,
        last: InstrumentId,
        task: &Task,
        event: impl Fn(&dyn Instrument, &TaskView<'_>),
    ) {
        struct Told<'a>(&'a Cell<bool>);
        impl Drop for Told<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        if self.is_telling.replace(true) {
            return;
        }
        let _told = Told(&self.is_telling);
        let view = TaskView::new(task.header());
        let entries = Rc::clone(&self.list.borrow());
        for Entry { id, instrument } in &*entries {
            // One before it may have removed it.
            if id.0 > last.0 || !self.has(*id) {
                continue;
            }
            let call = || event(&**instrument, &view);
            if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
                // Dropping what was thrown would run somebody else's code again.
                std::mem::forget(payload);
                contain(|| {
                    self.remove(*id);
                });
                // If nobody can read it, there is nobody to tell.
                let _ = writeln!(
                    std::io::stderr(),
                    "antiphon: an instrument panicked, and is not called any more"
                );
            }
        }
        // The last reference to one that was removed.
        contain(|| drop(entries));
    }

    fn begin_step(&self, task: &Task) {
        let last = InstrumentId(self.added.get());
        // First of all: one that is told may remove the others.
        self.steps.borrow_mut().push(Step {
            task: task.clone(),
            last,
        });
        self.tell(task, |instrument, task| instrument.before_step(task));
    }

    fn end_step(&self) {
        let step = self.steps.borrow_mut().pop();
        if let Some(Step { task, last }) = step {
            self.tell_up_to(last, &task, |instrument, task| instrument.after_step(task));
        }
    }

    fn tell_at(worker: &Worker, address: Address, event: impl Fn(&dyn Instrument, &TaskView<'_>)) {
        let instruments = worker.instruments();
        let task = worker.task_at(address).or_else(|| {
            let leaving = instruments.leaving.borrow();
            let (_, task) = leaving.as_ref().filter(|(left, _)| *left == address)?;
            Some(task.clone())
        });
        if let Some(task) = task {
            instruments.tell(&task, event);
        }
    }
}

/// The task at `address` has been put into the table.
///
/// # Panics
/// If that was an instrument's doing. The task is taken out again.
#[cold]
pub(crate) fn spawned(worker: &Worker, address: Address) {
    if worker.instruments().is_telling.get() {
        if let Some(task) = worker.take_out(address) {
            task.kill();
        }
        panic!("an instrument may not spawn");
    }
    Instruments::tell_at(worker, address, |instrument, task| instrument.spawned(task));
    scheduled(worker, address);
}

/// The task at `address` has been put into the ready queue.
#[cold]
pub(crate) fn scheduled(worker: &Worker, address: Address) {
    Instruments::tell_at(worker, address, |instrument, task| {
        instrument.scheduled(task);
    });
}

/// The task at `address` is about to take a step.
#[cold]
#[inline(never)]
pub(crate) fn step_begins(worker: &Worker, address: Address) {
    // A child of a group takes its steps where the group is polled. What stands for it in the table takes none.
    let task = worker.task_at(address);
    if let Some(task) = task.filter(|task| !task.header().is_stand_in()) {
        worker.instruments().begin_step(&task);
    }
}

/// The task at `address` has taken a step, whose begin may have been told.
#[cold]
#[inline(never)]
pub(crate) fn step_ended(worker: &Worker, address: Address) {
    let instruments = worker.instruments();
    let begun = instruments
        .steps
        .borrow()
        .last()
        .map(|step| step.task.header().id());
    let ended = worker.task_at(address).map(|task| task.header().id());
    if begun.is_some() && begun == ended {
        instruments.end_step();
    }
}

/// The steps under way have been unwound.
#[cold]
pub(crate) fn steps_unwound(worker: &Worker) {
    while !worker.instruments().steps.borrow().is_empty() {
        worker.instruments().end_step();
    }
}

/// A child of a group is about to take a step, which ends when what is returned is dropped.
#[inline]
pub(crate) fn child_step(worker: &Worker, address: Address) -> impl Sized {
    struct End<'a>(&'a Worker);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.instruments().end_step();
        }
    }
    if !is_observed_here() {
        return None;
    }
    worker.instruments().begin_step(&worker.task_at(address)?);
    Some(End(worker))
}

/// A wait has begun.
#[cold]
pub(crate) fn wait_started(worker: &Worker, waiting: Waiting) {
    let wait = Wait::of(worker, waiting);
    Instruments::tell_at(worker, waiting.task, |instrument, task| {
        instrument.wait_started(task, &wait);
    });
}

/// A wait has ended.
#[cold]
pub(crate) fn wait_ended(worker: &Worker, waiting: Option<Waiting>) {
    let Some(waiting) = waiting else { return };
    let wait = Wait::of(worker, waiting);
    Instruments::tell_at(worker, waiting.task, |instrument, task| {
        instrument.wait_ended(task, &wait);
    });
}

/// A wait of the running task ends with this error.
#[cold]
pub(crate) fn delivered(worker: &Worker, cancelled: &Cancelled) {
    Instruments::tell_at(worker, worker.running_address(), |instrument, task| {
        instrument.cancelled(task, cancelled);
    });
}

/// A task that was taken out of the table has ended.
#[cold]
pub(crate) fn exited(worker: &Worker, task: &Task) {
    worker
        .instruments()
        .tell(task, |instrument, task| instrument.exited(task));
}

/// Ends a task that was at `address`, and was taken out of the table.
#[cold]
pub(crate) fn drop_task(worker: &Worker, address: Address, task: &Task) {
    let leaving = &worker.instruments().leaving;
    let outer = leaving.replace(Some((address, task.clone())));
    task.kill();
    let own = leaving.replace(outer);
    exited(worker, task);
    drop(own);
}

impl Planned {
    pub(crate) const fn new() -> Self {
        Self {
            instruments: Vec::new(),
            watchdog: None,
        }
    }
}

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planned")
            .field("instruments", &self.instruments.len())
            .field("watchdog", &self.watchdog)
            .finish()
    }
}
