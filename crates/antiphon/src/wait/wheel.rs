//! The timer wheel: due times to the nanosecond, insert and unlink in O(1).
//!
//! Eleven levels of 64 slots. A slot of level 0 is one nanosecond wide, one of level 1 is 64, and so on: together all
//! 2⁶⁴ nanoseconds. A timer lies on the level of the highest digit (base 64) in which its deadline differs from the time
//! reached, in the slot of that digit:
//!
//! ```text
//!   reached   … 0 0 5 17 40
//!   deadline  … 0 0 6  3 22      the digits differ first on level 2: level 2, slot 6
//! ```
//! So the lowest level that has timers has the next ones, and its first slot in use has the very next. When the time
//! reaches that slot, a level-0 slot is due as a whole, and the timers of any other are put in again, now lower.
//! Level and slot depend only on deadline and time reached, so timers of one deadline are always in one list, in the order in
//! which they were made.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::task::Context;
use std::time::{Duration, Instant};

use super::{Ends, NONE, Place, Record, Waits, find};
use crate::worker::{Worker, current, try_current};

const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = 11;

/// Looking through the very next slot for its earliest deadline ends after so many timers, to stay O(1).
const PEEK_MAX: usize = 32;

pub(crate) struct Wheel {
    /// The instant that the nanoseconds are counted from.
    epoch: Instant,
    /// All timers due up to here have been chosen.
    reached: Cell<u64>,
    slots: RefCell<Box<[Ends; LEVELS * SLOTS]>>,
    /// A bit per slot that is not empty.
    occupied: Cell<[u64; LEVELS]>,
}

impl Wheel {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            reached: Cell::new(0),
            slots: RefCell::new(Box::new([Ends::EMPTY; LEVELS * SLOTS])),
            occupied: Cell::new([0; LEVELS]),
        }
    }

    /// Puts a leaf on the running worker's wheel. It asks [`poll_place`](super::poll_place) whether its time has come, and
    /// must [`leave`](Self::leave) if it goes away before.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    #[track_caller]
    pub(crate) fn join(
        cx: &Context<'_>,
        deadline: Instant,
        kind: &'static str,
        at: &'static Location<'static>,
    ) -> Place {
        current(|worker| {
            let wheel = worker.wheel();
            let deadline = wheel.nanos(deadline);
            let place = {
                let records = &mut worker.waits().records.borrow_mut();
                let place = Waits::insert(worker, records, kind, at, deadline);
                wheel.insert(records, place.index);
                place
            };
            Waits::joined(worker, place, cx);
            place
        })
    }

    /// Takes a leaf off the wheel, due or not.
    pub(crate) fn leave(place: Place) {
        try_current(|worker| {
            let waits = worker.waits();
            let mut records = waits.records.borrow_mut();
            let Some(record) = find(&mut records, place) else {
                return;
            };
            if !record.is_chosen {
                worker.wheel().unlink(&mut records, place.index);
            }
            waits.release(records, place.index);
        });
    }

    /// Returns a moment to wake up at: when the next timer is due, or earlier if finding out would take long.
    pub(crate) fn next_deadline(&self, worker: &Worker) -> Option<Instant> {
        let (level, slot, start) = self.next_slot()?;
        let nanos = if level == 0 {
            start
        } else {
            self.peek(worker, level * SLOTS + slot).unwrap_or(start)
        };
        self.epoch.checked_add(Duration::from_nanos(nanos))
    }

    /// Chooses and wakes all timers due at `now`, in nanoseconds since the epoch, by deadline, then in the order in which they were made.
    pub(crate) fn advance(&self, worker: &Worker, now: u64) {
        while let Some((level, slot, start)) = self.next_slot() {
            if start > now {
                break;
            }
            self.reached.set(start);
            let index = level * SLOTS + slot;
            if level == 0 {
                self.fire(worker, index);
            } else {
                self.cascade(worker, index);
            }
        }
        self.reached.set(self.reached.get().max(now));
    }

    /// Wakes the timers of a slot that is due. A waker may run code that adds timers, so each is taken off on its own.
    fn fire(&self, worker: &Worker, slot: usize) {
        loop {
            let waiter = {
                let mut records = worker.waits().records.borrow_mut();
                let first = self.slots.borrow()[slot].first;
                if first == NONE {
                    break;
                }
                self.unlink(&mut records, first);
                let record = &mut records[first as usize];
                record.is_chosen = true;
                worker.waits().take_waker(record, first)
            };
            waiter.wake(worker);
        }
    }

    /// Puts the timers of a slot in again, relative to the time reached.
    fn cascade(&self, worker: &Worker, slot: usize) {
        let mut records = worker.waits().records.borrow_mut();
        let mut next = std::mem::replace(&mut self.slots.borrow_mut()[slot], Ends::EMPTY).first;
        self.mark(slot, false);
        while next != NONE {
            let index = next;
            next = records[index as usize].next;
            self.insert(&mut records, index);
        }
    }

    fn insert(&self, records: &mut [Record], index: u32) {
        let reached = self.reached.get();
        let deadline = records[index as usize].note.max(reached);
        let level = ((deadline ^ reached) | 1).ilog2() / DIGIT_BITS;
        let digit =
            usize::try_from((deadline >> (level * DIGIT_BITS)) % SLOTS as u64).expect("a digit");
        let slot = level as usize * SLOTS + digit;
        let mut slots = self.slots.borrow_mut();
        slots[slot] = slots[slot].pushed(records, index);
        self.mark(slot, true);
        records[index as usize].slot = u16::try_from(slot).expect("704 slots");
    }

    fn unlink(&self, records: &mut [Record], index: u32) {
        let slot = usize::from(records[index as usize].slot);
        let mut slots = self.slots.borrow_mut();
        slots[slot] = slots[slot].without(records, index);
        if slots[slot].is_empty() {
            self.mark(slot, false);
        }
    }

    fn mark(&self, slot: usize, is_occupied: bool) {
        let mut occupied = self.occupied.get();
        let bit = 1 << (slot % SLOTS);
        if is_occupied {
            occupied[slot / SLOTS] |= bit;
        } else {
            occupied[slot / SLOTS] &= !bit;
        }
        self.occupied.set(occupied);
    }

    /// The slot with the very next timers: level, slot, and the time at which it begins.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let occupied = self.occupied.get();
        let level = occupied.iter().position(|slots| *slots != 0)?;
        let slot = occupied[level].trailing_zeros() as usize;
        let shift = u32::try_from(level).expect("eleven levels") * DIGIT_BITS;
        // The digits above this level are those of the time reached, the ones below are 0.
        let above = self
            .reached
            .get()
            .checked_shr(shift + DIGIT_BITS)
            .unwrap_or(0);
        let start = (above.checked_shl(DIGIT_BITS).unwrap_or(0) | slot as u64) << shift;
        Some((level, slot, start.max(self.reached.get())))
    }

    /// The earliest deadline in a slot, if it has few timers.
    fn peek(&self, worker: &Worker, slot: usize) -> Option<u64> {
        let records = worker.waits().records.borrow();
        let mut next = self.slots.borrow()[slot].first;
        let mut earliest = u64::MAX;
        for _ in 0..PEEK_MAX {
            if next == NONE {
                return Some(earliest);
            }
            let record = &records[next as usize];
            earliest = earliest.min(record.note);
            next = record.next;
        }
        None
    }

    /// Nanoseconds since the epoch: 0 for what lies before it, the largest number (584 years on) for what lies beyond.
    pub(crate) fn nanos(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }
}
