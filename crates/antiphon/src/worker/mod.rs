//! The loop of one thread.
//!
//! ```text
//!        ┌──────────────────────────────────────────────────────────┐
//!        │                                                          │
//!        ▼                                                          │
//!   run ready tasks ──▶ due timers ──▶ driver: submit, reap ──▶ mailbox
//!   (until none, or      (ties in        (waits only if            (wakes from
//!    the budget)        their order)      nothing is ready)         other threads)
//! ```
//! A turn ends after `budget` steps even if tasks are still ready, so no task can keep timers and I/O from being served.
//! The clock is read once a turn. The mailbox is looked at between steps as well, every sixteen.

mod current;
mod door;
mod helpers;
mod mailbox;
mod table;
#[cfg(test)]
mod table_model;
mod waker;
mod watch;

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::fmt::Write as _;
use std::future::Future;
use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use self::helpers::Helpers;
use self::mailbox::{Inbox, deliver};
use self::table::Table;
use crate::explore::probe;
use crate::instrument::{self, Instruments};
use crate::pool;
use crate::scope::{CancelReason, Scopes, is_explored_here, is_observed_here};
use crate::sys::signals::{Kind, die};
use crate::sys::{Completion, Driver, Operations, complete_all};
use crate::task::{Header, Locals, Task, TaskId};
use crate::wait::{Waits, Wheel};

pub(crate) use self::current::{current, enter, try_current};
pub(crate) use self::door::Door;
pub(crate) use self::helpers::Help;
pub(crate) use self::mailbox::Kick;
pub(crate) use self::waker::Address;
pub(crate) use self::watch::Watch;

/// Steps per turn. Large enough that what a turn costs (a clock, the driver's system call) is lost among the steps, small
/// enough that a timer is late by microseconds.
pub(crate) const BUDGET_DEFAULT: u32 = 256;

/// How many steps are taken between two looks at the mailbox. A look is one load, so that other threads need not wait for a
/// turn to end, which they did eight times as long as for tokio's loops. Timers and I/O, which cost a system call, have to.
const STEPS_BETWEEN_MAIL: u32 = 16;

/// Long enough for a farewell over the network, short enough for somebody who waits for the prompt.
pub(crate) const GRACE_DEFAULT: Duration = Duration::from_secs(1);

/// Longer than the 5 seconds after which the exit of a context manager is cancelled, so that it can end; and, with the grace of
/// the rest behind it, shorter than the 10 seconds that container engines leave between SIGTERM and SIGKILL.
pub(crate) const SIGNAL_GRACE_DEFAULT: Duration = Duration::from_secs(8);

/// So many tasks that did not end are named.
const NAMED_MAX: usize = 20;

/// Of so many tasks with a step due any may be the next where the order is drawn.
const EXPLORED_AHEAD: usize = 8;

/// The turns in which what was cancelled ends, where nothing is to be left.
const SETTLING_TURNS: usize = 64;

/// So many turns at one time are no clean-up any more.
const TURNS_AT_ONE_TIME_MAX: u32 = 1000;

pub(crate) struct Worker {
    inbox: Inbox,
    table: Table,
    waits: Waits,
    scopes: Scopes,
    instruments: Instruments,
    wheel: Wheel,
    /// Read once a turn.
    now: Cell<Instant>,
    /// The same in nanoseconds, as the wheel counts them.
    clock: Cell<u64>,
    operations: Operations,
    driver: RefCell<Box<dyn Driver>>,
    /// Where other threads come in. Opened for the first who wants to know it, and closed when the run ends.
    door: RefCell<Option<Arc<Door>>>,
    /// Who is at work for this worker elsewhere, if its clock has to wait for them.
    helpers: Option<Arc<Helpers>>,
    /// The task whose step is under way, or was last in this turn; `NOBODY` while the loop does its own work.
    running: Cell<Address>,
    /// Tasks spawned so far.
    spawned: Cell<u64>,
    budget: u32,
    /// For how long the tasks that are left when the main task ends may go on.
    grace: Duration,
    is_closing: Cell<bool>,
    /// For SIGINT and SIGTERM, if it is kept.
    watch: Option<Watch>,
    is_in_virtual_time: bool,
}

/// What a worker is told once.
pub(crate) struct Settings {
    pub(crate) budget: u32,
    pub(crate) grace: Duration,
    pub(crate) watch: Option<Watch>,
    pub(crate) is_in_virtual_time: bool,
}

/// The lists of a turn, kept from turn to turn.
#[derive(Default)]
struct Heap {
    delivered: Vec<Address>,
    done: Vec<Completion>,
}

impl Worker {
    pub(crate) fn new(driver: Box<dyn Driver>, settings: Settings) -> Self {
        let inbox = Inbox::open(&driver.kick()).expect("at most 4096 workers exist at one time");
        let table = Table::new(inbox.worker());
        let now = driver.now();
        Self {
            inbox,
            table,
            waits: Waits::new(),
            scopes: Scopes::new(),
            instruments: Instruments::new(),
            wheel: Wheel::new(now),
            now: Cell::new(now),
            clock: Cell::new(0),
            operations: Operations::default(),
            door: RefCell::new(None),
            helpers: driver
                .jumps()
                .then(|| Arc::new(Helpers::new(driver.kick()))),
            driver: RefCell::new(driver),
            running: Cell::new(Address::NOBODY),
            spawned: Cell::new(0),
            budget: settings.budget,
            grace: settings.grace,
            is_closing: Cell::new(false),
            watch: settings.watch,
            is_in_virtual_time: settings.is_in_virtual_time,
        }
    }

    /// Runs `main` and what it spawns, until `main` ends. Then the tasks that are left are cancelled, have their grace to end,
    /// and are dropped. If `main` does not end in spite of a signal, the process does.
    #[track_caller]
    pub(crate) fn run<F: Future>(&self, main: F) -> F::Output {
        let origin = Location::caller();
        enter(self, || {
            // The main task's future stays in this frame, where it may borrow. What the table sees is a stand-in.
            let stand_in = Task::stand_in(self.next_id(), origin);
            stand_in
                .header()
                .set_extra(Some("main".into()), Locals::default());
            let address = self.table.insert(stand_in);
            let _stamps = self.waits.begin();
            self.scopes.begin();
            let _told = self.instruments.begin();
            if is_observed_here() {
                instrument::spawned(self, address);
            }
            let watching = self.watch.as_ref().and_then(Watch::begin);
            let mut main = pin!(Some(main));
            let result = catch_unwind(AssertUnwindSafe(|| {
                let future = main.as_mut().as_pin_mut().expect("it is there");
                self.turns(address, future, origin)
            }));
            if is_observed_here() {
                instrument::steps_unwound(self);
            }
            let result = match result {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(kind)) => self.end_by(kind, || main.set(None)),
                Err(payload) => Err(payload),
            };
            if let Some(watch) = &self.watch {
                watch.disarm();
            }
            self.wind_down(address, result.is_err(), origin);
            if is_explored_here() {
                self.settle();
                probe::check(self);
            }
            self.close();
            self.is_closing.set(false);
            self.scopes.end();
            let unheard = self.watch.as_ref().and_then(Watch::unheard);
            drop(watching);
            match (result, unheard) {
                // Nobody was left who could be told.
                (_, Some(kind)) => die(kind),
                (Ok(value), None) => value,
                (Err(payload), None) => resume_unwind(payload),
            }
        })
    }

    /// Returns what `main` returns, or the signal in spite of which it has not ended in time.
    fn turns<F: Future>(
        &self,
        main: Address,
        mut future: Pin<&mut F>,
        at: &'static Location<'static>,
    ) -> Result<F::Output, Kind> {
        let mut heap = Heap::default();
        loop {
            let mut left = self.budget;
            while left > 0 {
                let mut part = left.min(STEPS_BETWEEN_MAIL);
                left -= part;
                while self.take_steps(main, &mut part) {
                    if is_observed_here() {
                        instrument::step_begins(self, main);
                    }
                    let polled = step(main, |cx| future.as_mut().poll(cx));
                    if is_observed_here() {
                        instrument::step_ended(self, main);
                    }
                    if let Poll::Ready(value) = polled {
                        return Ok(value);
                    }
                    if is_explored_here() {
                        probe::step_ended(self, main);
                    }
                }
                if self.inbox.has_mail() {
                    self.running.set(Address::NOBODY);
                    self.take_mail(&mut heap);
                } else if part > 0 {
                    break;
                }
            }
            self.look_outside(&mut heap, self.watch.as_ref().and_then(Watch::until));
            if let Some((watch, kind)) = self.told() {
                if watch.set_heard(self.now.get()) {
                    self.cancel_all(CancelReason::Signal(kind), at);
                } else if watch.until().is_some_and(|until| self.now.get() >= until) {
                    return Err(kind);
                }
            }
            if is_explored_here() {
                probe::turn_ended(self);
            }
        }
    }

    /// Returns the signal that the loop was told of.
    #[inline]
    fn told(&self) -> Option<(&Watch, Kind)> {
        let watch = self.watch.as_ref()?;
        Some((watch, watch.told()?))
    }

    /// Ends the process by the signal in spite of which the main task has not ended. `drop_main` drops its future.
    #[cold]
    fn end_by(&self, kind: Kind, drop_main: impl FnOnce()) -> ! {
        let grace = self.watch.as_ref().map_or(self.grace, Watch::grace);
        self.name_the_left(format_args!(
            "{kind} has cancelled the main task, which did not end within {grace:?}; the process ends"
        ));
        self.is_closing.set(true);
        self.running.set(Address::NOBODY);
        self.kill_all();
        contain(drop_main);
        self.close();
        die(kind)
    }

    /// The second half of a turn: timers, the driver, the mailbox. Sleeps if nothing is ready, no longer than to `latest`.
    fn look_outside(&self, heap: &mut Heap, latest: Option<Instant>) {
        self.running.set(Address::NOBODY);
        self.tick();
        let may_sleep = !self.table.has_ready()
            && self.watch.as_ref().is_none_or(Watch::arm)
            && self.inbox.park();
        let until = if may_sleep && !self.stand_still(latest) {
            let deadline = self.wheel.next_deadline(self);
            deadline.into_iter().chain(latest).min()
        } else {
            Some(self.now.get())
        };
        self.driver.borrow_mut().wait(until, &mut heap.done);
        complete_all(self, &mut heap.done);
        if may_sleep {
            self.tick();
        }
        if self.inbox.has_mail() || may_sleep {
            self.take_mail(heap);
        }
    }

    /// Makes ready whom other threads have woken, and lets visits in.
    fn take_mail(&self, heap: &mut Heap) {
        self.inbox.take(&mut heap.delivered);
        for address in heap.delivered.drain(..) {
            if address.is_door() {
                self.let_in();
            } else {
                self.make_ready(address);
            }
        }
    }

    /// Waits for those who are at work elsewhere, if the clock would jump meanwhile. Returns `true` if it has waited.
    fn stand_still(&self, latest: Option<Instant>) -> bool {
        let are_at_work = |helpers: &Arc<Helpers>| helpers.are_at_work();
        self.helpers.as_ref().is_some_and(are_at_work)
            && self.driver.borrow_mut().stand_still(latest)
    }

    /// Calls what came from other threads.
    #[cold]
    fn let_in(&self) {
        let door = self.door.borrow().clone();
        for visit in door.map(|door| door.take()).into_iter().flatten() {
            contain(visit);
        }
    }

    /// Cancels the tasks that are left when the main task at `main` has ended, and lets them end within their grace.
    fn wind_down(&self, main: Address, has_panicked: bool, at: &'static Location<'static>) {
        self.running.set(Address::NOBODY);
        if let Some(stand_in) = self.table.remove(main.slot()) {
            self.drop_task(main, &stand_in);
        }
        if self.table.live() == 0 {
            return;
        }
        let reason = if has_panicked {
            CancelReason::MainPanicked
        } else {
            CancelReason::MainEnded
        };
        self.cancel_all(reason, at);
        self.tick();
        let latest = self.now.get().checked_add(self.grace);
        let mut heap = Heap::default();
        let mut turns_at_one_time = 0;
        loop {
            let mut left = self.budget;
            self.take_steps(Address::NOBODY, &mut left);
            if self.table.live() == 0 {
                return;
            }
            let before = self.now.get();
            self.look_outside(&mut heap, latest);
            let now = self.now.get();
            // Virtual time stands still while somebody tries again and again.
            turns_at_one_time = if now > before {
                0
            } else {
                turns_at_one_time + 1
            };
            let is_over = latest.is_some_and(|latest| now >= latest);
            if is_over || turns_at_one_time >= TURNS_AT_ONE_TIME_MAX {
                return self.name_the_left(format_args!(
                    "{} tasks were cancelled at the end of the loop, and did not end within {:?}; they are dropped",
                    self.table.live(),
                    self.grace,
                ));
            }
        }
    }

    /// Cancels everything, unless it was cancelled before, and has everybody look.
    #[cold]
    pub(crate) fn cancel_all(&self, reason: CancelReason, at: &'static Location<'static>) {
        Scopes::cancel(self, self.scopes.root(), reason, at);
        for address in self.table.addresses() {
            self.make_ready(address);
        }
        self.waits.wake_foreign();
    }

    /// Says on standard error `what` has come to pass, and which tasks have not ended in spite of their cancel, the first of
    /// them by name.
    #[cold]
    fn name_the_left(&self, what: fmt::Arguments<'_>) {
        let mut lines = String::new();
        let mut named = 0;
        self.table.for_each(|address, task, _| {
            named += 1;
            if named > NAMED_MAX {
                return;
            }
            let name = task
                .name()
                .map_or(String::new(), |name| format!(" `{name}`"));
            let (id, origin) = (task.id(), task.origin());
            let _ = write!(lines, "\n  task {id}{name} (spawned at {origin})");
            self.waits.for_each(|wait| {
                if wait.task == address {
                    let _ = write!(lines, ", waits for {} at {}", wait.kind, wait.at);
                }
            });
        });
        if named > NAMED_MAX {
            let _ = write!(lines, "\n  and {} more", named - NAMED_MAX);
        }
        let text = format!("antiphon: {what}:{lines}");
        if is_explored_here() {
            return probe::tasks_left(text);
        }
        // If nobody can read it, there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Lets the tasks take the steps that are due, as long as some are `left`. Returns `true` if the next one is that of
    /// the task at `main`, for the caller to take.
    fn take_steps(&self, main: Address, left: &mut u32) -> bool {
        let is_explored = is_explored_here();
        while *left > 0 {
            if is_explored {
                self.table.rotate(probe::draw(EXPLORED_AHEAD));
            }
            let Some(task) = self.table.pop_ready(&self.running) else {
                break;
            };
            *left -= 1;
            let address = self.running.get();
            if address == main {
                return true;
            }
            if is_observed_here() {
                instrument::step_begins(self, address);
            }
            let has_ended = step(address, |cx| task.step(cx));
            if is_observed_here() {
                instrument::step_ended(self, address);
                if has_ended {
                    drop(self.table.remove(address.slot()));
                    instrument::exited(self, &task);
                } else if is_explored {
                    probe::step_ended(self, address);
                }
            } else if has_ended {
                drop(self.table.remove(address.slot()));
            } else if is_explored {
                probe::step_ended(self, address);
            }
        }
        false
    }

    /// Lets operations that were cancelled end, and what is ready run, as far as that goes without time passing.
    fn settle(&self) {
        let mut heap = Heap::default();
        for _ in 0..SETTLING_TURNS {
            let mut left = self.budget;
            self.take_steps(Address::NOBODY, &mut left);
            let now = self.now.get();
            self.look_outside(&mut heap, Some(now));
            if !self.table.has_ready() && self.driver().in_flight() == 0 {
                break;
            }
        }
    }

    /// Reads the clock, and wakes what is due.
    fn tick(&self) {
        let now = self.driver.borrow().now();
        self.now.set(now);
        self.clock.set(self.wheel.nanos(now));
        self.wheel.advance(self, self.clock.get());
    }

    /// Drops the tasks that are left, and those that their destructors spawn.
    fn close(&self) {
        self.is_closing.set(true);
        self.running.set(Address::NOBODY);
        self.kill_all();
        self.shut_the_door();
        self.drain();
    }

    fn kill_all(&self) {
        while self.table.live() > 0 {
            for address in self.table.addresses() {
                if let Some(task) = self.table.remove(address.slot()) {
                    self.drop_task(address, &task);
                }
            }
        }
    }

    /// Lets nobody in any more, and drops who waits.
    fn shut_the_door(&self) {
        let door = self.door.take();
        for visit in door.map(|door| door.close()).into_iter().flatten() {
            contain(|| drop(visit));
        }
    }

    /// Cancels the operations that are left, and waits for their completions, so that the kernel writes to no memory of
    /// ours any more. Each driver answers a cancelled operation within a moment.
    fn drain(&self) {
        let mut done = Vec::new();
        for token in self.operations.tokens() {
            self.driver().cancel(token);
        }
        while self.driver().in_flight() > 0 {
            self.driver().wait(None, &mut done);
            complete_all(self, &mut done);
        }
    }

    pub(crate) fn id(&self) -> u16 {
        self.inbox.worker()
    }

    pub(crate) const fn is_in_virtual_time(&self) -> bool {
        self.is_in_virtual_time
    }

    pub(crate) fn waits(&self) -> &Waits {
        &self.waits
    }

    pub(crate) fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    pub(crate) fn instruments(&self) -> &Instruments {
        &self.instruments
    }

    pub(crate) fn wheel(&self) -> &Wheel {
        &self.wheel
    }

    pub(crate) fn operations(&self) -> &Operations {
        &self.operations
    }

    /// Where other threads come in, as long as this run lasts.
    pub(crate) fn door(&self) -> Arc<Door> {
        let mut door = self.door.borrow_mut();
        Arc::clone(door.get_or_insert_with(|| Arc::new(Door::open(self.id()))))
    }

    /// Counts another thread that is to bring something, until what is returned is dropped, if the clock has to wait for it.
    pub(crate) fn begin_help(&self) -> Option<Help> {
        self.helpers.as_ref().map(Helpers::begin)
    }

    /// The driver, for one call: nothing of the user's runs meanwhile.
    pub(crate) fn driver(&self) -> RefMut<'_, Box<dyn Driver>> {
        self.driver.borrow_mut()
    }

    /// The time, as read at the start of this turn.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// The same in nanoseconds on the worker's clock.
    #[inline]
    pub(crate) fn clock(&self) -> u64 {
        self.clock.get()
    }

    /// Returns `true` if `waker` is that of the task whose step is under way.
    #[inline]
    pub(crate) fn is_running(&self, waker: &Waker) -> bool {
        Address::of(waker) == Some(self.running.get())
    }

    #[inline]
    pub(crate) fn make_ready(&self, address: Address) {
        if is_observed_here() {
            return self.make_ready_observed(address);
        }
        self.table.make_ready(address);
    }

    #[cold]
    fn make_ready_observed(&self, address: Address) {
        if self.table.make_ready(address) {
            instrument::scheduled(self, address);
        }
    }

    /// Takes a task in. It takes its first step after those that are ready now.
    #[inline]
    pub(crate) fn start(&self, task: Task) -> Address {
        if self.is_closing.get() {
            task.kill();
            return Address::NOBODY;
        }
        let address = self.table.insert(task);
        if is_observed_here() {
            instrument::spawned(self, address);
        }
        address
    }

    /// Takes in a task that stands for something that another task polls: see [`group`](crate::group). `None` if the loop is
    /// closing.
    pub(crate) fn admit(&self, task: Task) -> Option<Address> {
        if self.is_closing.get() {
            task.kill();
            return None;
        }
        let address = self.table.insert(task);
        if is_observed_here() {
            instrument::spawned(self, address);
        }
        Some(address)
    }

    /// Takes the task at `address` out of the table, if it is there.
    pub(crate) fn take_out(&self, address: Address) -> Option<Task> {
        if self.has(address) {
            self.table.remove(address.slot())
        } else {
            None
        }
    }

    /// Ends what `admit` took in, if it is still there. Its step must not be under way.
    pub(crate) fn dismiss(&self, address: Address) {
        if let Some(task) = self.take_out(address) {
            self.drop_task(address, &task);
        }
    }

    /// Ends a task that was at `address`, and was taken out of the table.
    fn drop_task(&self, address: Address, task: &Task) {
        if is_observed_here() {
            instrument::drop_task(self, address, task);
        } else {
            task.kill();
        }
    }

    /// Calls `f` as the task at `address`, which another task polls; as the running one if there is no such task.
    pub(crate) fn step_as<T>(&self, address: Address, f: impl FnOnce() -> T) -> T {
        struct Restore<'a>(&'a Cell<Address>, Address);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let _restore = Restore(&self.running, self.running.get());
        if self.has(address) {
            self.running.set(address);
        }
        f()
    }

    /// Returns `true` if there is a task of this worker at `address`.
    fn has(&self, address: Address) -> bool {
        address.worker() == self.id() && self.table.with(address, |_| ()).is_some()
    }

    /// The number of the next task, counted from 1.
    #[inline]
    pub(crate) fn next_id(&self) -> u64 {
        let spawned = self.spawned.get() + 1;
        self.spawned.set(spawned);
        spawned
    }

    /// The number of the running task, or 0, and whether it has variables for those that it spawns.
    #[inline]
    pub(crate) fn parent(&self) -> (u64, bool) {
        self.table
            .with(self.running.get(), |task| {
                let has_locals = task.locals().is_some_and(|locals| !locals.is_empty());
                (task.id().get(), has_locals)
            })
            .unwrap_or_default()
    }

    /// The number of the running task.
    pub(crate) fn running_id(&self) -> Option<TaskId> {
        self.table.with(self.running.get(), Header::id)
    }

    /// The number of the task at `address`, and the line that spawned it.
    pub(crate) fn task_about(&self, address: Address) -> Option<(u64, &'static Location<'static>)> {
        self.table
            .with(address, |task| (task.id().get(), task.origin()))
    }

    /// The task at `address`.
    pub(crate) fn task_at(&self, address: Address) -> Option<Task> {
        (address.worker() == self.id())
            .then(|| self.table.get(address))
            .flatten()
    }

    pub(crate) fn running_address(&self) -> Address {
        self.running.get()
    }

    /// Calls `f` with every task, and whether it has a step due.
    pub(crate) fn for_each_task(&self, f: impl FnMut(Address, &Header, bool)) {
        self.table.for_each(f);
    }

    /// Calls `f`, which must not spawn or wake, with the task at `address`, if it is there.
    pub(crate) fn with_task<T>(&self, address: Address, f: impl FnOnce(&Header) -> T) -> Option<T> {
        if address.worker() != self.id() {
            return None;
        }
        self.table.with(address, f)
    }

    /// Calls `f`, which must not spawn or wake, with the task whose step is under way.
    ///
    /// # Panics
    /// If none is.
    #[track_caller]
    pub(crate) fn with_running<T>(&self, f: impl FnOnce(&Header) -> T) -> T {
        match self.table.with(self.running.get(), f) {
            Some(value) => value,
            None => panic!("no task is running on this thread"),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A destructor of the last run may have opened it again.
        self.shut_the_door();
        pool::trim();
    }
}

/// Polls the task at `address`, under its waker.
#[inline]
fn step<T>(address: Address, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
    // Dropping a waker that is a number does nothing, through a pointer; so it is not dropped.
    let waker = ManuallyDrop::new(address.waker());
    poll(&mut Context::from_waker(&waker))
}

/// Calls `f`, which runs somebody else's code: a waker or a destructor. A panic in it has been reported by the panic hook;
/// it must not stop the one who calls, who has others to serve and is not to blame.
pub(crate) fn contain(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        // Dropping what was thrown would run somebody else's code again.
        std::mem::forget(payload);
    }
}
