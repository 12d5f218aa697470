//! The task table: slots that tasks come and go in, and the ready queue that runs through them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::waker::{Address, SLOTS_MAX};
use crate::task::{Header, Run};

pub(crate) struct Table {
    worker: u16,
    inner: RefCell<Inner>,
    live: Cell<usize>,
}

struct Inner {
    slots: Vec<Slot>,
    /// The slots of tasks with a step due, linked through `next` in the order in which they became ready.
    ready_first: u32,
    ready_last: u32,
    /// Slots to use again, linked through `next`; the last one freed first, because it is the one in the cache.
    free_first: u32,
}

struct Slot {
    task: Option<Rc<dyn Run>>,
    /// Of the task that is here, or of the next one. Its generation counts the tasks, so that a waker of an earlier one
    /// doesn't wake a later.
    address: Address,
    /// The next in the ready queue or among the free, or `NONE`.
    next: u32,
    /// Set while the slot is in one of the two lists. It may stay in the ready queue for a while after its task has gone.
    is_listed: bool,
}

const NONE: u32 = u32::MAX;

impl Table {
    pub(crate) fn new(worker: u16) -> Self {
        let inner = Inner {
            slots: Vec::new(),
            ready_first: NONE,
            ready_last: NONE,
            free_first: NONE,
        };
        Self {
            worker,
            inner: RefCell::new(inner),
            live: Cell::new(0),
        }
    }

    /// Gives `task` a slot and makes it ready.
    pub(crate) fn insert(&self, task: Rc<dyn Run>) -> Address {
        let inner = &mut *self.inner.borrow_mut();
        let mut index = inner.free_first;
        if index == NONE {
            index = inner.grow(self.worker);
        } else {
            inner.free_first = inner.slots[index as usize].next;
        }
        let slot = &mut inner.slots[index as usize];
        slot.task = Some(task);
        let address = slot.address;
        inner.push_ready(index);
        self.live.set(self.live.get() + 1);
        address
    }

    /// Takes the task out of its slot, which the next task may have. The caller drops it, outside of our borrow.
    pub(crate) fn remove(&self, index: u32) -> Option<Rc<dyn Run>> {
        let inner = &mut *self.inner.borrow_mut();
        let slot = &mut inner.slots[index as usize];
        let task = slot.task.take()?;
        slot.address = slot.address.next_generation();
        self.live.set(self.live.get() - 1);
        // A slot that was woken in its last step is still in the ready queue; `pop_ready` frees it when it gets there.
        if !slot.is_listed {
            inner.free(index);
        }
        Some(task)
    }

    /// Puts the task into the ready queue, if it is still there and not in it.
    #[inline]
    pub(crate) fn make_ready(&self, address: Address) {
        let inner = &mut *self.inner.borrow_mut();
        let index = address.slot();
        let Some(slot) = inner.slots.get(index as usize) else {
            return;
        };
        // A slot without a task is in a list.
        if slot.address == address && !slot.is_listed {
            inner.push_ready(index);
        }
    }

    /// Takes the next task with a step due, and puts its address into `running`.
    #[inline]
    pub(crate) fn pop_ready(&self, running: &Cell<Address>) -> Option<Rc<dyn Run>> {
        let inner = &mut *self.inner.borrow_mut();
        loop {
            let index = inner.ready_first;
            if index == NONE {
                return None;
            }
            let slot = &mut inner.slots[index as usize];
            inner.ready_first = slot.next;
            if let Some(task) = &slot.task {
                slot.is_listed = false;
                running.set(slot.address);
                return Some(Rc::clone(task));
            }
            inner.free(index);
        }
    }

    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        self.inner.borrow().ready_first != NONE
    }

    pub(crate) fn live(&self) -> usize {
        self.live.get()
    }

    /// Returns the task at `address`.
    pub(crate) fn get(&self, address: Address) -> Option<Rc<dyn Run>> {
        let inner = self.inner.borrow();
        inner
            .slots
            .get(address.slot() as usize)
            .filter(|slot| slot.address == address)?
            .task
            .clone()
    }

    /// Calls `f`, which must not spawn or wake, with the task at `address`.
    pub(crate) fn with<T>(&self, address: Address, f: impl FnOnce(&dyn Run) -> T) -> Option<T> {
        let inner = self.inner.borrow();
        let slot = inner
            .slots
            .get(address.slot() as usize)
            .filter(|slot| slot.address == address)?;
        slot.task.as_deref().map(f)
    }

    /// Calls `f`, which must not spawn or wake, with every task and whether it is ready.
    pub(crate) fn for_each(&self, mut f: impl FnMut(Address, &Header, bool)) {
        for slot in &self.inner.borrow().slots {
            if let Some(task) = &slot.task {
                f(slot.address, task.header(), slot.is_listed);
            }
        }
    }

    /// Returns the addresses of the tasks that are here now.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let mut addresses = Vec::new();
        self.for_each(|address, _, _| addresses.push(address));
        addresses
    }
}

impl Inner {
    fn grow(&mut self, worker: u16) -> u32 {
        let index = u32::try_from(self.slots.len())
            .ok()
            .filter(|index| *index < SLOTS_MAX);
        let index = index.expect("a worker has at most 2^28 tasks");
        self.slots.push(Slot {
            task: None,
            address: Address::new(worker, index),
            next: NONE,
            is_listed: false,
        });
        index
    }

    #[inline]
    fn push_ready(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.is_listed = true;
        slot.next = NONE;
        if self.ready_first == NONE {
            self.ready_first = index;
        } else {
            self.slots[self.ready_last as usize].next = index;
        }
        self.ready_last = index;
    }

    fn free(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.is_listed = true;
        slot.next = self.free_first;
        self.free_first = index;
    }
}
