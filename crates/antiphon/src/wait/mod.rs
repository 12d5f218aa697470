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
//!
//! Who holds what a queue waits for, its lock [posts](Queue::post) beside the first record of the queue, and once more whenever that
//! changes. What is posted moves on when that record leaves; when it is chosen, the lock posts anew.

mod queue;
mod wheel;

use std::cell::{Cell, RefCell, RefMut};
use std::num::NonZeroU32;
use std::panic::Location;
use std::task::{Context, Poll, Waker};

use crate::instrument;
use crate::scope::{is_cancelled_here, is_observed_here};
use crate::worker::{Address, Worker, contain, current, try_current};

pub(crate) use self::queue::Queue;
pub(crate) use self::wheel::Wheel;

/// A worker's records.
pub(crate) struct Waits {
    records: RefCell<Vec<Record>>,
    /// The first free record; the others follow through `next`.
    free: Cell<u32>,
    /// The last stamp given, while the worker runs.
    stamp: Cell<u32>,
    /// The wakers of the records whose waker is a foreign one, at the same index. As long as the last of them.
    foreign: RefCell<Vec<Option<Waker>>>,
    /// What is posted for the queues of which a record is the first, at the same index. As long as the last of them.
    posts: RefCell<Vec<Post>>,
}

/// Who holds what a queue waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// What it is: of those that are told of waits.
    pub(crate) kind: &'static str,
    /// How many hold it; of a semaphore, how many permits are out.
    pub(crate) count: usize,
    /// The task that took it last.
    pub(crate) task: Address,
    /// The line that took it last.
    pub(crate) at: Option<&'static Location<'static>>,
}

/// One who waits in a queue and is about to be chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taker {
    pub(crate) task: Address,
    pub(crate) at: &'static Location<'static>,
}

/// What was posted for a queue while the record with this stamp was its first.
#[derive(Clone, Copy)]
struct Post {
    /// 0 if nothing was.
    stamp: u32,
    held: Held,
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
    waker: Whose,
    /// What the leaf asks for, in its queue's own terms (a timer: when, in nanoseconds on the worker's clock); once it is
    /// chosen, what for.
    note: u64,
    /// The task in whose step the leaf was polled last.
    task: Address,
    kind: &'static str,
    at: &'static Location<'static>,
    /// When it began to wait, on the worker's clock.
    since: u64,
}

/// `DESIGN.md` tells what a wait costs.
const _: () = assert!(size_of::<Record>() == 64);

/// Whose the waker is that the leaf was polled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// That of the record's task.
    Task,
    /// Another one, because the leaf is polled by a combinator with wakers of its own. It lies in `Waits::foreign`.
    Foreign,
    /// It was woken already.
    Nobodys,
}

/// Whom to wake.
#[must_use = "who was chosen must be woken"]
enum Waiter {
    Task(Address),
    Foreign(Waker),
    Nobody,
}

/// A leaf's place: names its record until the leaf gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    index: u32,
    /// Never 0, so that an `Option<Place>` is one word.
    stamp: NonZeroU32,
}

impl Place {
    /// Where its record lies among those of the worker.
    pub(crate) const fn index(self) -> usize {
        self.index as usize
    }
}

/// What [`tree`](crate::tree) reads of a record, and an [`instrument`] is told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) place: Place,
    /// What the leaf asks for, in its own terms.
    pub(crate) note: u64,
    pub(crate) task: Address,
    pub(crate) kind: &'static str,
    /// The line that waits.
    pub(crate) at: &'static Location<'static>,
    /// On the worker's clock.
    pub(crate) since: u64,
}

const NONE: u32 = u32::MAX;

thread_local! {
    /// The last stamp given on this thread, by the workers that it has run, one after the other.
    static STAMP: Cell<u32> = const { Cell::new(0) };
}

impl Waits {
    pub(crate) const fn new() -> Self {
        Self {
            records: RefCell::new(Vec::new()),
            free: Cell::new(NONE),
            stamp: Cell::new(0),
            foreign: RefCell::new(Vec::new()),
            posts: RefCell::new(Vec::new()),
        }
    }

    /// Says that the worker runs, until what is returned is dropped.
    pub(crate) fn begin(&self) -> impl Sized {
        struct End<'a>(&'a Waits);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                STAMP.set(self.0.stamp.get());
            }
        }
        self.stamp.set(STAMP.get());
        End(self)
    }

    #[inline]
    fn next_stamp(&self) -> NonZeroU32 {
        let stamp = NonZeroU32::new(self.stamp.get().wrapping_add(1)).unwrap_or(NonZeroU32::MIN);
        self.stamp.set(stamp.get());
        stamp
    }

    /// Takes a record that is in no list, for a leaf that is polled with the running task's waker. `records` are the
    /// worker's.
    #[inline]
    fn insert(
        worker: &Worker,
        records: &mut Vec<Record>,
        kind: &'static str,
        at: &'static Location<'static>,
        note: u64,
    ) -> Place {
        let waits = worker.waits();
        let stamp = waits.next_stamp();
        let index = waits.free.get();
        let (index, record) = if (index as usize) < records.len() {
            let record = &mut records[index as usize];
            waits.free.set(record.next);
            (index, record)
        } else {
            grow(records)
        };
        // One by one: a record that is put together first and then copied waits for its own bytes.
        record.stamp = stamp.get();
        record.previous = NONE;
        record.next = NONE;
        record.is_chosen = false;
        record.waker = Whose::Task;
        record.note = note;
        record.task = worker.running_address();
        record.kind = kind;
        record.at = at;
        record.since = worker.clock();
        Place { index, stamp }
    }

    /// Frees a record that is in no list, and whose waker was taken.
    #[inline]
    fn remove(&self, records: &mut [Record], index: u32) {
        let record = &mut records[index as usize];
        debug_assert_eq!(record.waker, Whose::Nobodys);
        record.stamp = 0;
        record.next = self.free.replace(index);
    }

    /// Frees a record as `remove` does, and tells the instruments that its wait has ended.
    #[cold]
    fn remove_observed(&self, worker: &Worker, mut records: RefMut<'_, Vec<Record>>, index: u32) {
        let ended = records[index as usize].waiting(index);
        self.remove(&mut records, index);
        drop(records);
        instrument::wait_ended(worker, ended);
    }

    /// Ends what a leaf that has just joined has to say, with nothing borrowed: notes its waker, unless it is the running
    /// task's, as its record says.
    #[inline]
    fn joined(worker: &Worker, place: Place, cx: &Context<'_>) {
        if !worker.is_running(cx.waker()) || is_observed_here() {
            worker.waits().joined_specially(worker, place, cx.waker());
        }
    }

    #[cold]
    fn joined_specially(&self, worker: &Worker, place: Place, waker: &Waker) {
        if !worker.is_running(waker) {
            self.note_foreign_waker(place, waker);
        }
        if !is_observed_here() {
            return;
        }
        let waiting = find(&mut self.records.borrow_mut(), place)
            .and_then(|record| record.waiting(place.index));
        if let Some(waiting) = waiting {
            instrument::wait_started(worker, waiting);
        }
    }

    fn note_foreign_waker(&self, place: Place, waker: &Waker) {
        // Cloning it runs its code, which may choose this leaf: then it is woken here.
        // It may also cancel the scope, which does not find the waker yet.
        try_current(|worker| worker.scopes().note_foreign());
        let waker = waker.clone();
        if is_cancelled_here() {
            contain(|| waker.wake_by_ref());
        }
        let is_waiting =
            find(&mut self.records.borrow_mut(), place).is_some_and(|record| !record.is_chosen);
        if is_waiting {
            let previous = self.put_foreign(place, waker);
            debug_assert!(previous.is_none(), "a free record has no waker");
        } else {
            wake_foreign(waker);
        }
    }

    /// Notes a foreign waker, and returns the one that was noted before.
    fn put_foreign(&self, place: Place, waker: Waker) -> Option<Waker> {
        let mut records = self.records.borrow_mut();
        let record = find(&mut records, place)?;
        record.waker = Whose::Foreign;
        let mut foreign = self.foreign.borrow_mut();
        let index = place.index as usize;
        if foreign.len() <= index {
            foreign.resize_with(index + 1, || None);
        }
        foreign[index].replace(waker)
    }

    #[cold]
    fn take_foreign(&self, index: u32) -> Option<Waker> {
        self.foreign.borrow_mut().get_mut(index as usize)?.take()
    }

    /// Takes the waker of a record. It must be woken or dropped outside of all borrows, because a foreign one runs code.
    #[inline]
    fn take_waker(&self, record: &mut Record, index: u32) -> Waiter {
        match std::mem::replace(&mut record.waker, Whose::Nobodys) {
            Whose::Task => Waiter::Task(record.task),
            Whose::Foreign => self
                .take_foreign(index)
                .map_or(Waiter::Nobody, Waiter::Foreign),
            Whose::Nobodys => Waiter::Nobody,
        }
    }

    /// Asks whether the leaf was chosen, and what for; if so, its place is given back. Otherwise the leaf's waker is noted.
    #[inline]
    fn poll(worker: &Worker, place: Place, waker: &Waker) -> Poll<u64> {
        let waits = worker.waits();
        let mut records = waits.records.borrow_mut();
        let Some(record) = find(&mut records, place) else {
            return Poll::Pending;
        };
        if record.is_chosen {
            let note = record.note;
            if is_observed_here() {
                waits.remove_observed(worker, records, place.index);
            } else {
                waits.remove(&mut records, place.index);
            }
            return Poll::Ready(note);
        }
        let is_noted = record.waker == Whose::Task
            && record.task == worker.running_address()
            && worker.is_running(waker);
        drop(records);
        if is_noted {
            return Poll::Pending;
        }
        waits.note_waker(worker, place, waker)
    }

    #[cold]
    fn note_waker(&self, worker: &Worker, place: Place, waker: &Waker) -> Poll<u64> {
        // Cloning and dropping a foreign waker runs its code, which must find us in order, and may choose this leaf.
        let foreign = (!worker.is_running(waker)).then(|| {
            worker.scopes().note_foreign();
            waker.clone()
        });
        let is_waiting = |record: &&mut Record| !record.is_chosen;
        let task = worker.running_address();
        let previous = find(&mut self.records.borrow_mut(), place)
            .filter(is_waiting)
            .map(|record| {
                record.task = task;
                std::mem::replace(&mut record.waker, Whose::Task)
            });
        let previous = match (previous, foreign) {
            (Some(_), Some(waker)) => self.put_foreign(place, waker),
            (Some(Whose::Foreign), None) => self.take_foreign(place.index),
            _ => None,
        };
        drop(previous);
        let mut records = self.records.borrow_mut();
        match find(&mut records, place) {
            Some(record) if record.is_chosen => {
                let note = record.note;
                if is_observed_here() {
                    self.remove_observed(worker, records, place.index);
                } else {
                    self.remove(&mut records, place.index);
                }
                Poll::Ready(note)
            }
            _ => Poll::Pending,
        }
    }

    /// Has every leaf polled that waits with a foreign waker. It waits on.
    pub(crate) fn wake_foreign(&self) {
        // Waking runs code that may have leaves join and leave, so the waker is taken out for it, and nothing is borrowed.
        let count = self.foreign.borrow().len();
        for index in 0..count {
            let waker = self
                .foreign
                .borrow_mut()
                .get_mut(index)
                .and_then(Option::take);
            let Some(waker) = waker else { continue };
            contain(|| waker.wake_by_ref());
            let is_waiting = self.records.borrow()[index].waker == Whose::Foreign;
            let mut waker = Some(waker);
            {
                let place = &mut self.foreign.borrow_mut()[index];
                if is_waiting && place.is_none() {
                    *place = waker.take();
                }
            }
            drop(waker);
        }
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
        Self::join_for(cx, kind, at, 0)
    }

    /// Takes a record for a leaf that waits for something with a number, of which [`tree`](crate::tree) tells.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    #[track_caller]
    pub(crate) fn join_for(
        cx: &Context<'_>,
        kind: &'static str,
        at: &'static Location<'static>,
        note: u64,
    ) -> Place {
        current(|worker| {
            let place = {
                let records = &mut worker.waits().records.borrow_mut();
                Self::insert(worker, records, kind, at, note)
            };
            Self::joined(worker, place, cx);
            place
        })
    }

    /// Chooses a leaf that waits in no queue, and wakes it.
    #[inline]
    pub(crate) fn choose(worker: &Worker, place: Place) {
        let waits = worker.waits();
        let waiter = find(&mut waits.records.borrow_mut(), place).map(|record| {
            record.is_chosen = true;
            waits.take_waker(record, place.index)
        });
        if let Some(waiter) = waiter {
            waiter.wake(worker);
        }
    }

    /// Gives back the record of a leaf that waits in no queue.
    #[inline]
    pub(crate) fn leave(place: Place) {
        try_current(|worker| {
            let waits = worker.waits();
            let mut records = waits.records.borrow_mut();
            if find(&mut records, place).is_some() {
                waits.release(records, place.index);
            }
        });
    }

    /// Frees a record that is in no list, and drops its waker.
    #[inline]
    fn release(&self, mut records: RefMut<'_, Vec<Record>>, index: u32) {
        let record = &mut records[index as usize];
        let is_foreign = record.waker == Whose::Foreign;
        record.waker = Whose::Nobodys;
        if is_observed_here() {
            try_current(|worker| self.remove_observed(worker, records, index));
        } else {
            self.remove(&mut records, index);
            // Dropping a foreign waker runs its code.
            drop(records);
        }
        if is_foreign {
            drop(self.take_foreign(index));
        }
    }

    /// Returns `true` if there is a record at `place`, chosen or not.
    pub(crate) fn has(&self, place: Place) -> bool {
        find(&mut self.records.borrow_mut(), place).is_some()
    }

    /// Posts who holds what those in the queue of the record at `index`, its first, wait for.
    #[inline]
    fn post(&self, index: u32, stamp: u32, held: Held) {
        let posts = &mut *self.posts.borrow_mut();
        let post = Post { stamp, held };
        match posts.get_mut(index as usize) {
            Some(place) => *place = post,
            None => grow_posts(posts, index, post),
        }
    }

    /// Posts what was posted at `place`, if it was the first in its queue, at the record that is the first now.
    fn move_post(&self, place: Place, index: u32, stamp: u32) {
        let post = self.posts.borrow().get(place.index as usize).copied();
        let post = post.filter(|post| post.stamp == place.stamp.get());
        if let Some(post) = post {
            self.post(index, stamp, post.held);
        }
    }

    /// Returns who holds what is waited for: at the index of each record that waits in a queue for which it was posted.
    pub(crate) fn held(&self) -> Vec<Option<Held>> {
        let records = self.records.borrow();
        let mut held = vec![None; records.len()];
        for (first, post) in (0_u32..).zip(&*self.posts.borrow()) {
            let is_first = |record: &Record| {
                post.stamp != 0 && record.stamp == post.stamp && !record.is_chosen
            };
            if !records.get(first as usize).is_some_and(is_first) {
                continue;
            }
            let mut index = first;
            while let Some(record) = records.get(index as usize) {
                held[index as usize] = Some(post.held);
                index = record.next;
            }
        }
        held
    }

    /// Calls `f` with every record in use, in no order.
    pub(crate) fn for_each(&self, mut f: impl FnMut(Waiting)) {
        for (index, record) in (0..).zip(&*self.records.borrow()) {
            if let Some(waiting) = record.waiting(index) {
                f(waiting);
            }
        }
    }
}

impl Record {
    /// What is told of it, if it is in use.
    fn waiting(&self, index: u32) -> Option<Waiting> {
        Some(Waiting {
            place: Place {
                index,
                stamp: NonZeroU32::new(self.stamp)?,
            },
            note: self.note,
            task: self.task,
            kind: self.kind,
            at: self.at,
            since: self.since,
        })
    }
}

/// Adds a record, whose fields are yet to be set.
#[cold]
fn grow(records: &mut Vec<Record>) -> (u32, &mut Record) {
    let index = u32::try_from(records.len())
        .ok()
        .filter(|index| *index != NONE);
    let index = index.expect("fewer than 2^32 - 1 leaves wait on a worker");
    records.push(Record {
        stamp: 0,
        previous: NONE,
        next: NONE,
        slot: 0,
        is_chosen: false,
        waker: Whose::Nobodys,
        note: 0,
        task: Address::NOBODY,
        kind: "",
        at: Location::caller(),
        since: 0,
    });
    (index, &mut records[index as usize])
}

/// Adds a post, and empty ones before it.
#[cold]
fn grow_posts(posts: &mut Vec<Post>, index: u32, post: Post) {
    posts.resize(index as usize, Post { stamp: 0, ..post });
    posts.push(post);
}

#[inline]
fn find(records: &mut [Record], place: Place) -> Option<&mut Record> {
    records
        .get_mut(place.index as usize)
        .filter(|record| record.stamp == place.stamp.get())
}

/// Returns `true` if a loop runs on this thread, and the place is of one that has ended.
pub(crate) fn is_lost(place: Place) -> bool {
    try_current(|worker| !worker.waits().has(place)) == Some(true)
}

/// Asks whether the leaf at `place` was chosen. If so, `place` is emptied.
#[inline]
pub(crate) fn poll_place(place: &mut Option<Place>, cx: &Context<'_>) -> Poll<()> {
    poll_note(place, cx).map(|_| ())
}

/// Asks whether the leaf at `place` was chosen, and what for. If so, `place` is emptied.
#[inline]
pub(crate) fn poll_note(place: &mut Option<Place>, cx: &Context<'_>) -> Poll<u64> {
    let Some(own) = *place else {
        return Poll::Pending;
    };
    let Some(Poll::Ready(note)) = try_current(|worker| Waits::poll(worker, own, cx.waker())) else {
        return Poll::Pending;
    };
    *place = None;
    Poll::Ready(note)
}

impl Waiter {
    #[allow(clippy::inline_always, reason = "it is smaller than its call")]
    #[inline(always)]
    fn wake(self, worker: &Worker) {
        match self {
            Self::Task(address) => worker.make_ready(address),
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

    /// The list of one.
    const fn of(index: u32) -> Self {
        Self {
            first: index,
            last: index,
        }
    }

    fn is_empty(self) -> bool {
        self.first == NONE
    }

    /// Returns the list with `index`, which is in none, at its end.
    fn pushed(self, records: &mut [Record], index: u32) -> Self {
        records[index as usize].previous = self.last;
        records[index as usize].next = NONE;
        if self.is_empty() {
            return Self::of(index);
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
