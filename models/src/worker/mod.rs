//! A worker with the library's wakers and mailbox, and as little as possible of the rest.

#[path = "../../../crates/antiphon/src/worker/door.rs"]
#[allow(dead_code, reason = "what only looks is left out")]
mod door;
mod mailbox;
#[allow(
    dead_code,
    reason = "the table of tasks and the look at them are left out"
)]
#[path = "../../../crates/antiphon/src/worker/waker.rs"]
mod waker;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use loom::sync::{Mutex, MutexGuard};

use self::mailbox::{Inbox, deliver};
use self::waker::Address;
use crate::bell::Bell;

pub(crate) use self::mailbox::{Kick, make_boxes};

/// Workers that may exist at one time: enough for two that meet, and for one too many.
pub const WORKERS_MAX: usize = 2;

/// A loop on this thread.
pub struct Worker {
    inbox: Inbox,
    bell: Arc<Bell>,
    slots: RefCell<Vec<Slot>>,
    ready: RefCell<VecDeque<Address>>,
    door: RefCell<Option<Arc<door::Door>>>,
}

/// A worker's door, as other threads hold it.
#[derive(Clone)]
pub struct Door(Arc<door::Door>);

impl Door {
    /// Has `visit` called on the worker's thread. Returns `false` if it was refused; it was dropped then.
    pub fn push(&self, visit: impl FnOnce() + Send + 'static) -> bool {
        self.0.push(Box::new(visit)).is_ok()
    }
}

#[derive(Default)]
struct Slot {
    generation: u32,
    is_live: bool,
}

loom::thread_local! {
    static CURRENT: RefCell<Option<Rc<Worker>>> = RefCell::new(None);
}

/// Opens a worker on this thread, calls `f` with it, and closes it.
///
/// # Panics
/// If there are [`WORKERS_MAX`] workers already.
pub fn run<T>(f: impl FnOnce(&Worker) -> T) -> T {
    try_run(f).expect("there is an id left")
}

/// Does as [`run`] does. Returns `None`, without a call, if there are [`WORKERS_MAX`] workers already.
pub fn try_run<T>(f: impl FnOnce(&Worker) -> T) -> Option<T> {
    let bell = Arc::new(Bell::new());
    let kick: Arc<dyn Kick> = Arc::clone(&bell) as _;
    let worker = Rc::new(Worker {
        inbox: Inbox::open(&kick)?,
        bell,
        slots: RefCell::default(),
        ready: RefCell::default(),
        door: RefCell::default(),
    });
    drop(kick);
    // A model that has failed is over: unwinding must not go on in it.
    let worker = ManuallyDrop::new(worker);
    set_current(Some(Rc::clone(&worker)));
    let result = f(&worker);
    worker.shut_the_door();
    set_current(None);
    drop(ManuallyDrop::into_inner(worker));
    Some(result)
}

fn set_current(worker: Option<Rc<Worker>>) {
    let previous = CURRENT.with(|current| current.replace(worker));
    drop(previous);
}

impl Slot {
    fn is(&self, address: Address) -> bool {
        self.is_live && self.generation == address.generation()
    }
}

/// As in the library's `current.rs`.
fn try_current<T>(f: impl FnOnce(&Worker) -> T) -> Option<T> {
    let worker = CURRENT.with(|current| current.borrow().clone())?;
    Some(f(&worker))
}

impl Worker {
    /// Starts a task, which waits for its first wake, in a slot that is free if there is one. Returns its waker.
    ///
    /// # Panics
    /// If there are more tasks than an address has room for.
    pub fn spawn(&self) -> Waker {
        let mut slots = self.slots.borrow_mut();
        let free = slots.iter().position(|slot| !slot.is_live);
        let index = free.unwrap_or(slots.len());
        if free.is_none() {
            slots.push(Slot::default());
        }
        let slot = &mut slots[index];
        slot.is_live = true;
        let index = u32::try_from(index).expect("a model has few tasks");
        Address::new(self.id(), slot.generation, index).waker()
    }

    /// Ends the task with this waker. The next one gets its slot.
    ///
    /// # Panics
    /// If it has ended.
    pub fn end(&self, task: &Waker) {
        let address = Address::of(task).expect("a waker of ours");
        let slot = &mut self.slots.borrow_mut()[address.slot() as usize];
        assert!(slot.is(address), "it has ended");
        slot.is_live = false;
        slot.generation = Address::next_generation(slot.generation);
        self.ready.borrow_mut().retain(|ready| *ready != address);
    }

    /// Takes turns as the library's `Worker::turns` does, until a step returns a value. A step is a call of `step` with the
    /// waker of the task that is due.
    ///
    /// # Panics
    /// If it must not sleep because of mail that it does not find then.
    pub fn turns<T>(&self, mut step: impl FnMut(&Waker) -> Poll<T>) -> T {
        loop {
            while let Some(address) = self.pop_ready() {
                if let Poll::Ready(value) = step(&address.waker()) {
                    return value;
                }
            }
            let may_sleep = self.park();
            if may_sleep {
                self.bell.wait();
            } else {
                self.bell.look();
            }
            // The library turns on, to no end.
            assert!(
                self.has_mail() || may_sleep,
                "the box keeps the worker awake and says that it is empty"
            );
            self.take();
        }
    }

    /// Says that the worker is about to sleep. Returns `false` if it must not.
    pub fn park(&self) -> bool {
        let may_sleep = self.inbox.park();
        if may_sleep {
            self.bell.count_park();
        }
        may_sleep
    }

    /// Returns `true` if there may be mail.
    pub fn has_mail(&self) -> bool {
        self.inbox.has_mail()
    }

    /// Takes what was delivered, and makes those tasks ready. Returns how many addresses there were.
    pub fn take(&self) -> usize {
        let mut taken = Vec::new();
        self.inbox.take(&mut taken);
        for address in &taken {
            if address.is_door() {
                self.let_in();
            } else {
                self.make_ready(*address);
            }
        }
        taken.len()
    }

    /// Its door, opened for the first who asks.
    pub fn door(&self) -> Door {
        let mut door = self.door.borrow_mut();
        let open = || Arc::new(door::Door::open(self.id()));
        Door(Arc::clone(door.get_or_insert_with(open)))
    }

    fn let_in(&self) {
        let door = self.door.borrow().clone();
        for visit in door.map(|door| door.take()).into_iter().flatten() {
            visit();
        }
    }

    fn shut_the_door(&self) {
        let door = self.door.take();
        drop(door.map(|door| door.close()));
    }

    fn make_ready(&self, address: Address) {
        let slots = self.slots.borrow();
        let Some(slot) = slots.get(address.slot() as usize) else {
            return;
        };
        let mut ready = self.ready.borrow_mut();
        if slot.is(address) && !ready.contains(&address) {
            ready.push_back(address);
        }
    }

    fn pop_ready(&self) -> Option<Address> {
        self.ready.borrow_mut().pop_front()
    }

    /// The tasks that have a step due, in its order.
    pub fn ready(&self) -> Vec<Waker> {
        self.ready
            .borrow()
            .iter()
            .map(|task| task.waker())
            .collect()
    }

    /// Its id, below [`WORKERS_MAX`].
    pub fn id(&self) -> u16 {
        self.inbox.worker()
    }

    /// What it sleeps on.
    pub fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }
}
