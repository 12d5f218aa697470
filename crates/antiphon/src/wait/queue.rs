//! A queue of leaves that wait for the same thing, first come first served.

use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::Location;
use std::task::Context;

use super::{Ends, Held, NONE, Place, Record, Taker, Waits, find};
use crate::worker::{Worker, current, try_current};

/// Who waits for one thing.
///
/// A queue that outlives its worker is empty: its first record is not found any more.
#[derive(Debug)]
pub(crate) struct Queue {
    ends: Cell<Ends>,
    /// The stamp of the first record, while there is one.
    stamp: Cell<u32>,
    /// Stamps are a thread's own, so a queue stays on its thread.
    _not_send: PhantomData<*const ()>,
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self {
            ends: Cell::new(Ends::EMPTY),
            stamp: Cell::new(0),
            _not_send: PhantomData,
        }
    }

    /// Joins the queue at its end; `note` says what the leaf asks for. It asks [`poll_note`](super::poll_note) whether it
    /// was chosen, and must [`leave`](Self::leave) if it goes away before.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    #[track_caller]
    #[inline]
    pub(crate) fn join(
        &self,
        cx: &Context<'_>,
        kind: &'static str,
        at: &'static Location<'static>,
        note: u64,
    ) -> Place {
        current(|worker| {
            let place = self.push(worker, kind, at, note);
            Waits::joined(worker, place, cx);
            place
        })
    }

    #[inline]
    fn push(
        &self,
        worker: &Worker,
        kind: &'static str,
        at: &'static Location<'static>,
        note: u64,
    ) -> Place {
        let records = &mut worker.waits().records.borrow_mut();
        let ends = self.ends(records);
        let place = Waits::insert(worker, records, kind, at, note);
        if ends.is_empty() {
            self.stamp.set(place.stamp.get());
            self.ends.set(Ends::of(place.index));
        } else {
            self.ends.set(ends.pushed(records, place.index));
        }
        place
    }

    /// Chooses the first who waits, tells it `note`, and wakes it. Returns `false` if nobody waits.
    #[inline]
    pub(crate) fn choose_first(&self, note: u64) -> bool {
        self.choose_first_if(|_| Some(note))
    }

    /// Chooses the first who waits, if `decide` has something to tell it: it is given what the leaf asks for. Returns
    /// `false` if nobody was chosen.
    ///
    /// `decide` runs under a borrow of the records: it must stay away from queues and wakers.
    #[inline]
    pub(crate) fn choose_first_if(&self, decide: impl FnOnce(u64) -> Option<u64>) -> bool {
        self.may_be_chosen_from() && self.choose_first_waiting_if(|record| decide(record.note))
    }

    /// Chooses the first who waits, as [`choose_first_if`](Self::choose_first_if): `decide` is also told who that is.
    pub(crate) fn choose_first_taker_if(
        &self,
        decide: impl FnOnce(u64, Taker) -> Option<u64>,
    ) -> bool {
        self.may_be_chosen_from()
            && self.choose_first_waiting_if(|record| {
                let taker = Taker {
                    task: record.task,
                    at: record.at,
                };
                decide(record.note, taker)
            })
    }

    /// Returns `false` if nobody waits. If it returns `true`, somebody does, or did in a loop that has ended.
    #[inline]
    pub(crate) fn may_be_chosen_from(&self) -> bool {
        !self.ends.get().is_empty()
    }

    /// Has [`tree`](crate::tree) tell of all who wait that what they wait for is held so, until it is said anew. Does
    /// nothing if nobody waits.
    #[inline]
    pub(crate) fn post(&self, held: Held) {
        if self.may_be_chosen_from() {
            // If that is a queue of a loop that has ended, nothing is found by its stamp.
            let (first, stamp) = (self.ends.get().first, self.stamp.get());
            try_current(|worker| worker.waits().post(first, stamp, held));
        }
    }

    fn choose_first_waiting_if(&self, decide: impl FnOnce(&Record) -> Option<u64>) -> bool {
        let is_chosen = try_current(|worker| {
            let waits = worker.waits();
            let mut records = waits.records.borrow_mut();
            let ends = self.ends.get();
            let record = records
                .get_mut(ends.first as usize)
                .filter(|record| record.stamp == self.stamp.get())?;
            record.note = decide(record)?;
            record.is_chosen = true;
            let next = record.next;
            let waiter = waits.take_waker(record, ends.first);
            if let Some(first) = records.get_mut(next as usize) {
                first.previous = NONE;
                self.stamp.set(first.stamp);
                self.ends.set(Ends {
                    first: next,
                    last: ends.last,
                });
            } else {
                self.ends.set(Ends::EMPTY);
            }
            drop(records);
            waiter.wake(worker);
            Some(())
        });
        is_chosen.flatten().is_some()
    }

    /// Leaves the queue. Returns what the leaf was chosen for, if it had been chosen and never ran: then that must be
    /// passed on.
    #[must_use = "a leaf that was chosen must pass on what it was chosen for"]
    pub(crate) fn leave(&self, place: Place) -> Option<u64> {
        let chosen_for = try_current(|worker| {
            let waits = worker.waits();
            let mut records = waits.records.borrow_mut();
            let record = find(&mut records, place)?;
            let chosen_for = record.is_chosen.then_some(record.note);
            if chosen_for.is_none() {
                let ends = self.ends.get().without(&mut records, place.index);
                if let Some(first) = records.get(ends.first as usize) {
                    waits.move_post(place, ends.first, first.stamp);
                }
                self.set_ends(&records, ends);
            }
            waits.release(records, place.index);
            chosen_for
        });
        chosen_for.flatten()
    }

    /// Returns how many wait.
    pub(crate) fn len(&self) -> usize {
        if self.ends.get().is_empty() {
            return 0;
        }
        let count = try_current(|worker| {
            let records = worker.waits().records.borrow();
            let first = Some(self.ends(&records).first).filter(|first| *first != NONE);
            let next =
                |index: &u32| Some(records[*index as usize].next).filter(|next| *next != NONE);
            std::iter::successors(first, next).count()
        });
        count.unwrap_or(0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.get().is_empty()
            || try_current(|worker| self.ends(&worker.waits().records.borrow()).is_empty())
                .unwrap_or(true)
    }

    /// The list, if it is this worker's.
    #[inline]
    fn ends(&self, records: &[Record]) -> Ends {
        let ends = self.ends.get();
        match records.get(ends.first as usize) {
            Some(record) if record.stamp == self.stamp.get() => ends,
            _ => Ends::EMPTY,
        }
    }

    #[inline]
    fn set_ends(&self, records: &[Record], ends: Ends) {
        self.ends.set(ends);
        if let Some(first) = records.get(ends.first as usize) {
            self.stamp.set(first.stamp);
        }
    }
}
