//! What the two ends share.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::wait::Queue;

/// The room of a channel is divided into values, promises, permits, and what is left. Nobody waits while some is left.
pub(super) struct Chan<T> {
    /// Borrowed for one call into the deque at a time, none of which runs code of the values.
    values: RefCell<VecDeque<T>>,
    capacity: usize,
    /// Room of senders that waited, were chosen, and have not run yet.
    promises: Cell<usize>,
    /// Room of permits.
    permits: Cell<usize>,
    senders: Cell<usize>,
    /// Set when the receiver is dropped or closed.
    is_closed: Cell<bool>,
    /// Senders that wait for room. They are told `PROMISED` or `CLOSED`.
    pub(super) for_room: Queue,
    /// The receiver, while it waits.
    pub(super) for_values: Queue,
}

pub(super) const PROMISED: u64 = 1;
const CLOSED: u64 = 0;

impl<T> Chan<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            values: RefCell::new(VecDeque::new()),
            capacity,
            promises: Cell::new(0),
            permits: Cell::new(0),
            senders: Cell::new(0),
            is_closed: Cell::new(false),
            for_room: Queue::new(),
            for_values: Queue::new(),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.values.borrow().len()
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Returns `true` if no value will come any more; some that came may be there.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.is_closed.get() || self.senders.get() == 0
    }

    /// Returns `true` if there is room left. Then nobody waits for it.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.len() + self.promises.get() + self.permits.get() < self.capacity
    }

    /// Returns `true` if one who has not waited may take room without overtaking anybody.
    #[inline]
    pub(super) fn has_room_for_newcomers(&self) -> bool {
        self.promises.get() == 0 && self.has_room()
    }

    /// Promises room to those who wait for it, as long as there is some.
    #[inline]
    pub(super) fn promise(&self) {
        let promise = |_| {
            let has_room = self.has_room();
            self.promises
                .set(self.promises.get() + usize::from(has_room));
            has_room.then_some(PROMISED)
        };
        while self.for_room.choose_first_if(promise) {}
    }

    /// Ends a promise, which is kept or of no use any more. In the latter case, call [`promise`](Self::promise) next.
    #[inline]
    pub(super) fn end_promise(&self) {
        self.promises.set(self.promises.get() - 1);
    }

    /// Makes room left over, or room that was promised, a permit's.
    #[inline]
    pub(super) fn begin_permit(&self) {
        self.permits.set(self.permits.get() + 1);
    }

    /// Ends a permit. Unless its room is filled, call [`promise`](Self::promise) next.
    #[inline]
    pub(super) fn end_permit(&self) {
        self.permits.set(self.permits.get() - 1);
    }

    /// Puts a value into room that the caller has, and wakes the receiver.
    #[inline]
    pub(super) fn push(&self, value: T) {
        self.values.borrow_mut().push_back(value);
        self.for_values.choose_first(0);
    }

    /// Takes the first value, and promises its room to the first who waits.
    #[inline]
    pub(super) fn pop(&self) -> Option<T> {
        let value = self.values.borrow_mut().pop_front();
        if value.is_some() {
            self.promise();
        }
        value
    }

    /// Lets nobody send any more. Those who wait for room hear of it.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        while self.for_room.choose_first(CLOSED) {}
    }

    /// Takes all values out. The caller drops them when nothing is borrowed.
    pub(super) fn take_values(&self) -> VecDeque<T> {
        self.values.take()
    }

    pub(super) fn enter_sender(self: &Rc<Self>) -> Rc<Self> {
        self.senders.set(self.senders.get() + 1);
        Rc::clone(self)
    }

    /// Counts a sender out. The last one tells the receiver.
    pub(super) fn leave_sender(&self) {
        self.senders.set(self.senders.get() - 1);
        if self.senders.get() == 0 {
            self.for_values.choose_first(0);
        }
    }

    pub(super) fn senders(&self) -> usize {
        self.senders.get()
    }
}
