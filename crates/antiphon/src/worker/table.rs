//! The task table: slots that tasks come and go in, and the ready queue that runs through them.

use std::cell::{Cell, RefCell};

use super::waker::{Address, SLOTS_MAX};
use crate::task::{Header, Task};

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
    task: Option<Task>,
    mark: Mark,
    /// The next in the ready queue or among the free, or `NONE`.
    next: u32,
}

/// `ARCHITECTURE.md` tells what a task costs.
const _: () = assert!(size_of::<Slot>() == 16);

/// The generation of the task that is here, or of the next one: it counts the tasks of the slot, so that a waker of an
/// earlier one doesn't wake a later. And a bit that is set while the slot is in one of the two lists. It may stay in the
/// ready queue for a while after its task has gone.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark(u32);

const NONE: u32 = u32::MAX;

impl Mark {
    const LISTED: u32 = 1 << 31;

    #[inline]
    const fn listed(generation: u32) -> Self {
        Self(generation | Self::LISTED)
    }

    #[inline]
    const fn unlisted(generation: u32) -> Self {
        Self(generation)
    }

    #[inline]
    const fn is_listed(self) -> bool {
        self.0 & Self::LISTED != 0
    }

    #[inline]
    const fn generation(self) -> u32 {
        self.0 & !Self::LISTED
    }
}

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
    #[inline]
    pub(crate) fn insert(&self, task: Task) -> Address {
        let inner = &mut *self.inner.borrow_mut();
        let mut index = inner.free_first;
        let generation;
        if let Some(slot) = inner.slots.get_mut(index as usize) {
            inner.free_first = slot.next;
            slot.task = Some(task);
            generation = slot.mark.generation();
        } else {
            index = inner.grow(task);
            generation = 0;
        }
        inner.push_ready(index);
        self.live.set(self.live.get() + 1);
        Address::new(self.worker, generation, index)
    }

    /// Takes the task out of its slot, which the next task may have. The caller drops it, outside of our borrow.
    #[inline]
    pub(crate) fn remove(&self, index: u32) -> Option<Task> {
        let inner = &mut *self.inner.borrow_mut();
        let slot = &mut inner.slots[index as usize];
        let task = slot.task.take()?;
        let generation = Address::next_generation(slot.mark.generation());
        self.live.set(self.live.get() - 1);
        if slot.mark.is_listed() {
            // It was woken in its last step and is in the ready queue; `pop_ready` frees it when it gets there.
            slot.mark = Mark::listed(generation);
        } else {
            slot.mark = Mark::unlisted(generation);
            inner.free(index);
        }
        Some(task)
    }

    /// Puts the task into the ready queue, if it is still there and not in it: then it returns `true`.
    #[inline]
    pub(crate) fn make_ready(&self, address: Address) -> bool {
        let inner = &mut *self.inner.borrow_mut();
        let index = address.slot();
        let Some(slot) = inner.slots.get(index as usize) else {
            return false;
        };
        // A slot without a task is in a list.
        let is_due = slot.mark == Mark::unlisted(address.generation());
        if is_due {
            inner.push_ready(index);
        }
        is_due
    }

    /// Takes the next task with a step due, and puts its address into `running`.
    #[inline]
    pub(crate) fn pop_ready(&self, running: &Cell<Address>) -> Option<Task> {
        let inner = &mut *self.inner.borrow_mut();
        loop {
            let index = inner.ready_first;
            let slot = inner.slots.get_mut(index as usize)?;
            inner.ready_first = slot.next;
            if let Some(task) = &slot.task {
                let generation = slot.mark.generation();
                slot.mark = Mark::unlisted(generation);
                running.set(Address::new(self.worker, generation, index));
                return Some(task.clone());
            }
            inner.free(index);
        }
    }

    /// Has the first in the ready queue go behind the others, so many times.
    pub(crate) fn rotate(&self, times: usize) {
        let inner = &mut *self.inner.borrow_mut();
        for _ in 0..times {
            let index = inner.ready_first;
            if index == NONE || index == inner.ready_last {
                return;
            }
            inner.ready_first = inner.slots[index as usize].next;
            inner.slots[index as usize].next = NONE;
            inner.slots[inner.ready_last as usize].next = index;
            inner.ready_last = index;
        }
    }

    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        self.inner.borrow().ready_first != NONE
    }

    pub(crate) fn live(&self) -> usize {
        self.live.get()
    }

    /// Calls `f`, which must not spawn or wake, with the task at `address`.
    #[inline]
    pub(crate) fn with<T>(&self, address: Address, f: impl FnOnce(&Header) -> T) -> Option<T> {
        let inner = self.inner.borrow();
        let slot = inner
            .slots
            .get(address.slot() as usize)
            .filter(|slot| slot.mark.generation() == address.generation())?;
        slot.task.as_ref().map(|task| f(task.header()))
    }

    /// Returns the task at `address`.
    pub(crate) fn get(&self, address: Address) -> Option<Task> {
        let inner = self.inner.borrow();
        let slot = inner.slots.get(address.slot() as usize)?;
        let task = slot.task.as_ref()?;
        (slot.mark.generation() == address.generation()).then(|| task.clone())
    }

    /// Calls `f`, which must not spawn or wake, with every task and whether it is ready.
    pub(crate) fn for_each(&self, mut f: impl FnMut(Address, &Header, bool)) {
        for (index, slot) in (0..).zip(&self.inner.borrow().slots) {
            if let Some(task) = &slot.task {
                let address = Address::new(self.worker, slot.mark.generation(), index);
                f(address, task.header(), slot.mark.is_listed());
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
    #[cold]
    fn grow(&mut self, task: Task) -> u32 {
        let index = u32::try_from(self.slots.len())
            .ok()
            .filter(|index| *index < SLOTS_MAX);
        let index = index.expect("a worker has at most 2^28 tasks");
        self.slots.push(Slot {
            task: Some(task),
            mark: Mark::unlisted(0),
            next: NONE,
        });
        index
    }

    #[inline]
    fn push_ready(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.mark = Mark::listed(slot.mark.generation());
        slot.next = NONE;
        if self.ready_first == NONE {
            self.ready_first = index;
        } else {
            self.slots[self.ready_last as usize].next = index;
        }
        self.ready_last = index;
    }

    #[inline]
    fn free(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.mark = Mark::listed(slot.mark.generation());
        slot.next = self.free_first;
        self.free_first = index;
    }
}
