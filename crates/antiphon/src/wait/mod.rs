//! Waiting: the one record that every leaf links while it sleeps.
//!
//! A leaf (a lock, a channel, a timer, a socket) that can't go on takes a [`Record`] from its worker and gives it back
//! when it goes on or goes away. The record says who waits, for what, on which line and since when, which is what
//! [`tree`](crate::tree) prints; and it is the leaf's place in its queue, so that a queue costs no memory of its own.
//!
//! ```text
//!             (1) join                (2) choose, by the one who releases
//!   free ───────────────▶ Waiting ──────────────────────▶ Chosen
//!    ▲                       │  (3) the leaf goes away       │ (4) the leaf runs, or goes away and passes it on
//!    └───────────────────────┴───────────────────────────────┘
//! ```
//! Records lie in one vector a worker and name each other by index, so a future that is forgotten while it waits
//! leaks a record and nothing else: there is no pointer to it. A [`Place`] carries the record's stamp, which a thread
//! gives only once in four thousand million; a place of a worker that has ended finds nothing.

mod queue;
mod wheel;

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::panic::Location;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::worker::{Address, Worker, contain, current, try_current};

pub(crate) use self::queue::Queue;
pub(crate) use self::wheel::Wheel;

/// A worker's records.
pub(crate) struct Waits {
    records: RefCell<Vec<Record>>,
    /// The first free record; the others follow through `next`.
    free: Cell<u32>,
}

struct Record {
    /// 0 while the record is free.
    stamp: u32,
    /// Neighbours in the list, or `NONE`. `next` also links the free records.
    previous: u32,
    next: u32,
    /// The wheel's list that it is in; unused in other queues.
    slot: u16,
    is_chosen: bool,
    /// What the leaf asks for, in its queue's own terms (a timer: when, in nanoseconds on the worker's clock); once it is
    /// chosen, what for.
    note: u64,
    waiter: Waiter,
    /// The task in whose step the leaf began to wait.
    task: Address,
    reason: Reason,
    since: Instant,
}

/// `DESIGN.md` tells what a wait costs.
const _: () = assert!(size_of::<Record>() <= 96);

/// What a leaf waits for, and on which line: what is printed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) kind: &'static str,
    pub(crate) at: &'static Location<'static>,
}

/// Whom to wake.
pub(crate) enum Waiter {
    Task(Address),
    /// A waker that is not ours: the leaf is polled by a combinator with wakers of its own.
    Foreign(Waker),
    /// Woken already.
    Nobody,
}

/// A leaf's place: names its record until the leaf gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    index: u32,
    /// Never 0, so that an `Option<Place>` is one word.
    stamp: NonZeroU32,
}

/// What [`tree`](crate::tree) reads of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// The task in whose step the leaf began to wait.
    pub(crate) task: Address,
    pub(crate) reason: Reason,
    pub(crate) since: Instant,
}

const NONE: u32 = u32::MAX;

thread_local! {
    /// Drawn by every record of every worker that this thread runs, one worker after the other.
    static STAMP: Cell<u32> = const { Cell::new(0) };
}

fn next_stamp() -> NonZeroU32 {
    STAMP.with(|stamp| {
        let next = NonZeroU32::new(stamp.get().wrapping_add(1)).unwrap_or(NonZeroU32::MIN);
        stamp.set(next.get());
        next
    })
}

impl Waits {
    pub(crate) const fn new() -> Self {
        Self {
            records: RefCell::new(Vec::new()),
            free: Cell::new(NONE),
        }
    }

    /// Takes a record that is in no list. `records` are the worker's.
    #[inline]
    fn insert(
        worker: &Worker,
        records: &mut Vec<Record>,
        waiter: Waiter,
        reason: Reason,
        note: u64,
    ) -> Place {
        let stamp = next_stamp();
        let record = Record {
            stamp: stamp.get(),
            previous: NONE,
            next: NONE,
            slot: 0,
            is_chosen: false,
            note,
            waiter,
            task: worker.running_address(),
            reason,
            since: worker.now(),
        };
        let free = &worker.waits().free;
        let index = free.get();
        if let Some(place) = records.get_mut(index as usize) {
            free.set(place.next);
            *place = record;
            return Place { index, stamp };
        }
        Place {
            index: push(records, record),
            stamp,
        }
    }

    /// Frees a record that is in no list. Its waiter is returned, because a foreign waker's destructor must not run
    /// under the caller's borrow.
    #[inline]
    fn remove(&self, records: &mut [Record], index: u32) -> Waiter {
        let record = &mut records[index as usize];
        record.stamp = 0;
        record.next = self.free.replace(index);
        record.waiter.take()
    }

    /// Asks whether the leaf was chosen, and what for; if so, its place is given back. Otherwise the leaf's waker is noted.
    fn poll(&self, place: Place, waker: &Waker) -> Poll<u64> {
        let mut records = self.records.borrow_mut();
        let Some(record) = find(&mut records, place) else {
            return Poll::Pending;
        };
        if record.is_chosen {
            let note = record.note;
            let waiter = self.remove(&mut records, place.index);
            drop(records);
            drop(waiter);
            return Poll::Ready(note);
        }
        if !record.waiter.is(waker) {
            // Cloning and dropping a foreign waker runs its code, which must find us in order.
            drop(records);
            let waiter = Waiter::of(waker);
            let previous = find(&mut self.records.borrow_mut(), place)
                .map(|record| std::mem::replace(&mut record.waiter, waiter));
            drop(previous);
            // That code may have chosen this leaf, before there was anybody to wake.
            let is_chosen =
                find(&mut self.records.borrow_mut(), place).is_some_and(|record| record.is_chosen);
            if is_chosen {
                return self.poll(place, waker);
            }
        }
        Poll::Pending
    }

    /// Takes a record for a leaf that waits in no queue: whoever knows its place chooses it.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    #[track_caller]
    pub(crate) fn join(
        cx: &Context<'_>,
        kind: &'static str,
        at: &'static Location<'static>,
    ) -> Place {
        let waiter = Waiter::of(cx.waker());
        current(|worker| {
            let records = &mut worker.waits().records.borrow_mut();
            Self::insert(worker, records, waiter, Reason { kind, at }, 0)
        })
    }

    /// Chooses a leaf that waits in no queue, and wakes it.
    pub(crate) fn choose(worker: &Worker, place: Place) {
        let waiter = find(&mut worker.waits().records.borrow_mut(), place).map(|record| {
            record.is_chosen = true;
            record.waiter.take()
        });
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Gives back the record of a leaf that waits in no queue.
    pub(crate) fn leave(place: Place) {
        let waiter = try_current(|worker| {
            let mut records = worker.waits().records.borrow_mut();
            find(&mut records, place)?;
            Some(worker.waits().remove(&mut records, place.index))
        });
        // A foreign waker is dropped outside of all borrows.
        drop(waiter);
    }

    /// Calls `f` with every record in use, in no order.
    pub(crate) fn for_each(&self, mut f: impl FnMut(Waiting)) {
        for record in self
            .records
            .borrow()
            .iter()
            .filter(|record| record.stamp != 0)
        {
            f(Waiting {
                task: record.task,
                reason: record.reason,
                since: record.since,
            });
        }
    }
}

#[cold]
fn push(records: &mut Vec<Record>, record: Record) -> u32 {
    let index = u32::try_from(records.len())
        .ok()
        .filter(|index| *index != NONE);
    records.push(record);
    index.expect("fewer than 2^32 - 1 leaves wait on a worker")
}

#[inline]
fn find(records: &mut [Record], place: Place) -> Option<&mut Record> {
    records
        .get_mut(place.index as usize)
        .filter(|record| record.stamp == place.stamp.get())
}

/// Asks whether the leaf at `place` was chosen. If so, `place` is emptied.
pub(crate) fn poll_place(place: &mut Option<Place>, cx: &Context<'_>) -> Poll<()> {
    poll_note(place, cx).map(|_| ())
}

/// Asks whether the leaf at `place` was chosen, and what for. If so, `place` is emptied.
pub(crate) fn poll_note(place: &mut Option<Place>, cx: &Context<'_>) -> Poll<u64> {
    let Some(own) = *place else {
        return Poll::Pending;
    };
    let Some(Poll::Ready(note)) = try_current(|worker| worker.waits().poll(own, cx.waker())) else {
        return Poll::Pending;
    };
    *place = None;
    Poll::Ready(note)
}

impl Waiter {
    pub(crate) fn of(waker: &Waker) -> Self {
        Address::of(waker).map_or_else(|| Self::Foreign(waker.clone()), Self::Task)
    }

    fn is(&self, waker: &Waker) -> bool {
        match self {
            Self::Task(address) => Address::of(waker) == Some(*address),
            Self::Foreign(own) => own.will_wake(waker),
            Self::Nobody => false,
        }
    }

    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Nobody)
    }

    #[inline]
    pub(crate) fn wake(self) {
        match self {
            Self::Task(address) => address.wake(),
            Self::Foreign(waker) => wake_foreign(waker),
            Self::Nobody => {}
        }
    }
}

#[cold]
fn wake_foreign(waker: Waker) {
    contain(|| waker.wake());
}

/// A list through the records: its first and last, or `NONE` twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    first: u32,
    last: u32,
}

impl Ends {
    const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
    };

    fn is_empty(self) -> bool {
        self.first == NONE
    }

    /// Returns the list with `index`, which is in none, at its end.
    fn pushed(self, records: &mut [Record], index: u32) -> Self {
        records[index as usize].previous = self.last;
        records[index as usize].next = NONE;
        if self.is_empty() {
            return Self {
                first: index,
                last: index,
            };
        }
        records[self.last as usize].next = index;
        Self {
            first: self.first,
            last: index,
        }
    }

    /// Returns the list without `index`, which is in it.
    fn without(mut self, records: &mut [Record], index: u32) -> Self {
        let record = &mut records[index as usize];
        let previous = std::mem::replace(&mut record.previous, NONE);
        let next = std::mem::replace(&mut record.next, NONE);
        match previous {
            NONE => self.first = next,
            previous => records[previous as usize].next = next,
        }
        match next {
            NONE => self.last = previous,
            next => records[next as usize].previous = previous,
        }
        self
    }
}
