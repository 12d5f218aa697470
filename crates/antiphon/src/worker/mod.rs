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
//! The clock is read once a turn.

mod current;
mod mailbox;
mod table;
mod waker;

use std::cell::{Cell, RefCell, RefMut};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use self::mailbox::Inbox;
use self::table::Table;
use crate::sys::{Driver, Operations, complete_all};
use crate::task::{Header, Name, Run, TaskId};
use crate::wait::{Waits, Wheel};

pub(crate) use self::current::{current, enter, try_current};
pub(crate) use self::mailbox::Kick;
pub(crate) use self::waker::Address;

/// Steps per turn. Large enough that what a turn costs (a clock, the driver's system call) is lost among the steps, small
/// enough that a timer is late by microseconds.
pub(crate) const BUDGET_DEFAULT: u32 = 256;

pub(crate) struct Worker {
    inbox: Inbox,
    table: Table,
    waits: Waits,
    wheel: Wheel,
    /// Read once a turn.
    now: Cell<Instant>,
    operations: Operations,
    driver: RefCell<Box<dyn Driver>>,
    /// The task whose step is under way, or was last in this turn; `NOBODY` while the loop does its own work.
    running: Cell<Address>,
    next_id: Cell<NonZeroU64>,
    budget: u32,
    is_closing: Cell<bool>,
}

/// The main task as the table sees it: its future stays in the frame of `Worker::run`, where it may borrow.
struct Main(Header);

impl Worker {
    pub(crate) fn new(driver: Box<dyn Driver>, budget: u32) -> Self {
        let inbox = Inbox::open(&driver.kick()).expect("at most 4096 workers exist at one time");
        let table = Table::new(inbox.worker());
        let now = driver.now();
        Self {
            inbox,
            table,
            waits: Waits::new(),
            wheel: Wheel::new(now),
            now: Cell::new(now),
            operations: Operations::default(),
            driver: RefCell::new(driver),
            running: Cell::new(Address::NOBODY),
            next_id: Cell::new(NonZeroU64::MIN),
            budget,
            is_closing: Cell::new(false),
        }
    }

    /// Runs `main` and what it spawns, until `main` ends. Tasks that are left are dropped.
    #[track_caller]
    pub(crate) fn run<F: Future>(&self, main: F) -> F::Output {
        let origin = Location::caller();
        enter(self, || {
            let header = self.header(Some(Rc::new("main".into())), origin);
            let address = self.table.insert(Rc::new(Main(header)));
            let mut main = pin!(main);
            let result = catch_unwind(AssertUnwindSafe(|| self.turns(address, main.as_mut())));
            self.close();
            self.is_closing.set(false);
            match result {
                Ok(value) => value,
                Err(payload) => resume_unwind(payload),
            }
        })
    }

    fn turns<F: Future>(&self, main: Address, mut future: Pin<&mut F>) -> F::Output {
        let mut delivered = Vec::new();
        let mut done = Vec::new();
        loop {
            let mut steps = 0;
            while steps < self.budget {
                let Some(task) = self.table.pop_ready(&self.running) else {
                    break;
                };
                steps += 1;
                let address = self.running.get();
                if address == main {
                    if let Poll::Ready(value) = step(address, |cx| future.as_mut().poll(cx)) {
                        return value;
                    }
                } else if step(address, |cx| task.step(cx)) {
                    discard(self.table.remove(address.slot()), task);
                }
            }
            self.running.set(Address::NOBODY);
            self.tick();
            let may_sleep = !self.table.has_ready() && self.inbox.park();
            let until = if may_sleep {
                self.wheel.next_deadline(self)
            } else {
                Some(self.now.get())
            };
            self.driver.borrow_mut().wait(until, &mut done);
            complete_all(self, &mut done);
            if may_sleep {
                self.tick();
            }
            if self.inbox.has_mail() || may_sleep {
                self.inbox.take(&mut delivered);
                for address in delivered.drain(..) {
                    self.make_ready(address);
                }
            }
        }
    }

    /// Reads the clock, and wakes what is due.
    fn tick(&self) {
        self.now.set(self.driver.borrow().now());
        self.wheel.advance(self, self.now.get());
    }

    /// Drops the tasks that are left, and those that their destructors spawn.
    fn close(&self) {
        self.is_closing.set(true);
        self.running.set(Address::NOBODY);
        while self.table.live() > 0 {
            for address in self.table.addresses() {
                if let Some(task) = self.table.remove(address.slot()) {
                    contain(|| {
                        task.kill();
                        drop(task);
                    });
                }
            }
        }
        self.drain();
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

    pub(crate) fn waits(&self) -> &Waits {
        &self.waits
    }

    pub(crate) fn wheel(&self) -> &Wheel {
        &self.wheel
    }

    pub(crate) fn operations(&self) -> &Operations {
        &self.operations
    }

    /// The driver, for one call: nothing of the user's runs meanwhile.
    pub(crate) fn driver(&self) -> RefMut<'_, Box<dyn Driver>> {
        self.driver.borrow_mut()
    }

    /// The time, as read at the start of this turn.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    #[inline]
    pub(crate) fn make_ready(&self, address: Address) {
        self.table.make_ready(address);
    }

    /// Takes a task in. It takes its first step after those that are ready now.
    pub(crate) fn start(&self, task: Rc<dyn Run>) {
        if self.is_closing.get() {
            task.kill();
        } else {
            self.table.insert(task);
        }
    }

    /// Describes a task that is spawned now by the running one.
    pub(crate) fn header(&self, name: Option<Name>, origin: &'static Location<'static>) -> Header {
        let id = self.next_id.get();
        self.next_id
            .set(id.checked_add(1).expect("fewer than 2^64 tasks"));
        let id = TaskId(id);
        let inherited =
            |parent: &dyn Run| (Some(parent.header().id), parent.header().locals.inherit());
        let (parent, locals) = self
            .table
            .with(self.running.get(), inherited)
            .unwrap_or_default();
        Header {
            id,
            parent,
            name,
            origin,
            locals,
        }
    }

    pub(crate) fn running_address(&self) -> Address {
        self.running.get()
    }

    /// Calls `f` with every task, and whether it has a step due.
    pub(crate) fn for_each_task(&self, f: impl FnMut(Address, &Header, bool)) {
        self.table.for_each(f);
    }

    /// Returns the task whose step is under way.
    ///
    /// # Panics
    /// If none is.
    #[track_caller]
    pub(crate) fn running(&self) -> Rc<dyn Run> {
        match self.table.get(self.running.get()) {
            Some(task) => task,
            None => panic!("no task is running on this thread"),
        }
    }
}

/// Polls the task at `address`, under its waker.
#[inline]
fn step<T>(address: Address, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
    // Dropping a waker that is a number does nothing, through a pointer; so it is not dropped.
    let waker = ManuallyDrop::new(address.waker());
    poll(&mut Context::from_waker(&waker))
}

/// Drops the last references to a task that has ended, and with them perhaps a result that nobody waits for.
#[inline]
fn discard(in_table: Option<Rc<dyn Run>>, task: Rc<dyn Run>) {
    drop(in_table);
    if Rc::strong_count(&task) == 1 {
        contain(|| drop(task));
    }
}

/// Calls `f`, which runs somebody else's code: a waker or a destructor. A panic in it has been reported by the panic hook;
/// it must not stop the one who calls, who has others to serve and is not to blame.
pub(crate) fn contain(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        // Dropping what was thrown would run somebody else's code again.
        std::mem::forget(payload);
    }
}

impl Run for Main {
    fn step(&self, _: &mut Context<'_>) -> bool {
        unreachable!("the loop polls the main task itself")
    }

    fn kill(&self) {}

    fn header(&self) -> &Header {
        &self.0
    }
}
