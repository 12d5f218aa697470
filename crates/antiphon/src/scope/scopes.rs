//! A worker's scopes: a tree of records.
//!
//! ```text
//!   root ──▶ timeout ──▶ group ──▶ child, child, child        cancel(timeout): the group and its children see it,
//!                          └──▶ shield ──▶ …                  what is behind the shield does not
//! ```
//! A record says which cancelled scope it *sees*: the outermost one at or above it, up to the next shield. A cancel goes
//! down the tree once and writes that into every record it reaches, so that a wait need not look further than its own
//! scope; and it wakes whoever polls the scope, so that the waits in it are asked.
//!
//! Nothing of a wait is linked into its scope: a scope is polled by one waker, and polls what is in it. Combinators with
//! wakers of their own are the exception. Their waits are in the list of foreign wakers, all of which are woken when a
//! scope is cancelled in which there was one.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::panic::Location;
use std::task::Waker;

use super::cancelled::{CancelReason, Cancelled, ScopeId};
use crate::worker::{Address, Worker, contain, try_current};

pub(crate) struct Scopes {
    records: RefCell<Vec<Record>>,
    free: Cell<u32>,
    /// The scope in which something is polled now.
    current: Cell<u32>,
    entered: Cell<u64>,
}

struct Record {
    /// Drawn for each scope that has this record, and once more when it is left.
    stamp: NonZeroU32,
    id: ScopeId,
    is_shield: bool,
    /// Set when a wait has ended with this scope's cancel.
    was_delivered: bool,
    /// Set when somebody waited in it with a waker that is not a task's.
    has_foreign: bool,
    parent: u32,
    first_child: u32,
    /// Neighbours among the children of the parent, or `NONE`. `next` also links the free records.
    previous: u32,
    next: u32,
    /// Its own cancel.
    cancelled: Option<Cancelled>,
    /// The cancelled scope that what is in it hears of: itself, or one above, or `NONE`.
    sees: u32,
    /// Who polls it.
    waker: Option<Waker>,
    /// The line that entered it.
    at: &'static Location<'static>,
}

/// What [`tree`](crate::tree) reads of a scope.
pub(crate) struct Open {
    pub(crate) id: ScopeId,
    /// The scope that it is in, if that is not the root.
    pub(crate) parent: Option<ScopeId>,
    /// The task that polls it, if that does so with its own waker.
    pub(crate) task: Option<Address>,
    pub(crate) is_shield: bool,
    pub(crate) cancelled: Option<Cancelled>,
    /// It, or a scope that it is in, was cancelled, with no shield between.
    pub(crate) is_to_hear: bool,
    /// The line that entered it.
    pub(crate) at: &'static Location<'static>,
}

/// Names a scope's record until the scope is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScopeRef {
    index: u32,
    stamp: NonZeroU32,
}

const NONE: u32 = u32::MAX;
const ROOT: u32 = 0;

thread_local! {
    /// What a wait that begins on this thread has to look at: [`CANCELLED`], [`EXPLORED`], mostly nothing.
    static NOTICES: Cell<u8> = const { Cell::new(0) };

    /// The last stamp given on this thread, by all its workers: a scope that is carried from one loop into the next finds
    /// nothing there.
    static STAMP: Cell<u32> = const { Cell::new(0) };
}

/// The scope in which something is polled sees a cancel.
const CANCELLED: u8 = 1;

/// The explorer counts the waits: [`explore`](crate::explore).
const EXPLORED: u8 = 2;

fn next_stamp() -> NonZeroU32 {
    let stamp = NonZeroU32::new(STAMP.get().wrapping_add(1)).unwrap_or(NonZeroU32::MIN);
    STAMP.set(stamp.get());
    stamp
}

/// Whether a wait that begins now is to end as cancelled.
#[inline]
pub(crate) fn is_cancelled_here() -> bool {
    NOTICES.get() & CANCELLED != 0
}

/// Whether the explorer runs what is polled on this thread.
#[inline]
pub(crate) fn is_explored_here() -> bool {
    NOTICES.get() & EXPLORED != 0
}

/// Whether there is anything that a wait has to look at before it begins.
#[inline]
pub(crate) fn has_notices() -> bool {
    NOTICES.get() != 0
}

pub(crate) fn set_explored_here(is_explored: bool) {
    set_notice(EXPLORED, is_explored);
}

#[inline]
fn set_notice(notice: u8, is_set: bool) {
    let others = NOTICES.get() & !notice;
    NOTICES.set(others | if is_set { notice } else { 0 });
}

/// Returns the cancel that the current scope sees, and notes that it was delivered.
#[cold]
pub(crate) fn deliver() -> Option<Cancelled> {
    try_current(|worker| worker.scopes().deliver()).flatten()
}

impl Scopes {
    pub(crate) fn new() -> Self {
        let root = Record::new(next_stamp(), ScopeId(0), NONE, Location::caller());
        Self {
            records: RefCell::new(vec![root]),
            free: Cell::new(NONE),
            current: Cell::new(ROOT),
            entered: Cell::new(0),
        }
    }

    /// Says that the worker begins a run: nothing is cancelled.
    pub(crate) fn begin(&self) {
        let root = &mut self.records.borrow_mut()[ROOT as usize];
        root.cancelled = None;
        root.was_delivered = false;
        root.sees = NONE;
        self.current.set(ROOT);
        set_notice(CANCELLED, false);
    }

    /// Says that the worker has ended its run: what is polled on this thread is in no scope.
    pub(crate) fn end(&self) {
        self.current.set(ROOT);
        set_notice(CANCELLED, false);
    }

    /// The scope that all others are in.
    pub(crate) fn root(&self) -> ScopeRef {
        let stamp = self.records.borrow()[ROOT as usize].stamp;
        ScopeRef { index: ROOT, stamp }
    }

    /// Has a scope polled by whoever polls it.
    pub(crate) fn wake(&self, scope: ScopeRef) {
        // Waking, cloning and dropping a foreign waker run its code, which must find us in order: it is taken out for that.
        let Some(waker) = self.find_mut(scope, |record| record.waker.take()).flatten() else {
            return;
        };
        contain(|| waker.wake_by_ref());
        let mut waker = Some(waker);
        self.find_mut(scope, |record| {
            if record.waker.is_none() {
                record.waker = waker.take();
            }
        });
        drop(waker);
    }

    /// Enters a scope in the current one.
    pub(crate) fn enter(&self, is_shield: bool, at: &'static Location<'static>) -> ScopeRef {
        self.enter_in(self.current.get(), is_shield, at)
    }

    /// Enters a scope in `parent`.
    pub(crate) fn enter_below(
        &self,
        parent: ScopeRef,
        is_shield: bool,
        at: &'static Location<'static>,
    ) -> ScopeRef {
        let is_there = self.find(parent, |_| ()).is_some();
        debug_assert!(is_there, "a scope outlives those in it");
        self.enter_in(if is_there { parent.index } else { ROOT }, is_shield, at)
    }

    fn enter_in(&self, parent: u32, is_shield: bool, at: &'static Location<'static>) -> ScopeRef {
        let id = ScopeId(self.entered.get() + 1);
        self.entered.set(id.0);
        let records = &mut *self.records.borrow_mut();
        let sees = if is_shield {
            NONE
        } else {
            records[parent as usize].sees
        };
        let index = self.free.get();
        let stamp = next_stamp();
        let index = if let Some(record) = records.get_mut(index as usize) {
            self.free.set(record.next);
            *record = Record::new(stamp, id, parent, at);
            index
        } else {
            let index = u32::try_from(records.len())
                .ok()
                .filter(|index| *index != NONE);
            records.push(Record::new(stamp, id, parent, at));
            index.expect("fewer than 2^32 - 1 scopes are open on a worker")
        };
        let next = std::mem::replace(&mut records[parent as usize].first_child, index);
        if let Some(next) = records.get_mut(next as usize) {
            next.previous = index;
        }
        let record = &mut records[index as usize];
        record.next = next;
        record.is_shield = is_shield;
        record.sees = sees;
        ScopeRef { index, stamp }
    }

    /// Leaves a scope. Returns its cancel, if one of its waits has ended with it.
    pub(crate) fn leave(&self, scope: ScopeRef) -> Option<Cancelled> {
        let (cancelled, waker) = {
            let records = &mut *self.records.borrow_mut();
            let record = records.get_mut(scope.index as usize)?;
            if record.stamp != scope.stamp {
                return None;
            }
            let cancelled = record.cancelled.take().filter(|_| record.was_delivered);
            let waker = record.waker.take();
            let (parent, previous, next) = (record.parent, record.previous, record.next);
            // Whoever is still in it, in a future that was not dropped, is the parent's from now on.
            let orphans = std::mem::replace(&mut record.first_child, NONE);
            record.stamp = next_stamp();
            record.next = self.free.replace(scope.index);
            match records.get_mut(previous as usize) {
                Some(previous) => previous.next = next,
                None => records[parent as usize].first_child = next,
            }
            if let Some(next) = records.get_mut(next as usize) {
                next.previous = previous;
            }
            adopt(records, orphans, parent, scope.index);
            (cancelled, waker)
        };
        // A foreign waker runs code when it is dropped.
        drop(waker);
        cancelled
    }

    /// Polls what is in `scope`: has `poll` run with it as the current one. `waker` is who polls it.
    #[inline]
    pub(crate) fn within<T>(&self, scope: ScopeRef, waker: &Waker, poll: impl FnOnce() -> T) -> T {
        struct Restore<'a>(&'a Scopes, u32);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.set_current(self.1);
            }
        }
        let is_known = self.find(scope, |record| {
            record
                .waker
                .as_ref()
                .is_some_and(|own| own.will_wake(waker))
        });
        match is_known {
            Some(true) => {}
            Some(false) => self.note_waker(scope, waker),
            // Left already: the future is polled where it is now.
            None => return poll(),
        }
        let _restore = Restore(self, self.current.get());
        self.set_current(scope.index);
        poll()
    }

    fn note_waker(&self, scope: ScopeRef, waker: &Waker) {
        // Cloning and dropping a foreign waker runs its code.
        let waker = waker.clone();
        let previous = self.find_mut(scope, |record| record.waker.replace(waker));
        drop(previous);
    }

    fn set_current(&self, index: u32) {
        self.current.set(index);
        set_notice(
            CANCELLED,
            self.records.borrow()[index as usize].sees != NONE,
        );
    }

    /// Notes that somebody waits in the current scope with a waker that is not a task's.
    pub(crate) fn note_foreign(&self) {
        self.records.borrow_mut()[self.current.get() as usize].has_foreign = true;
    }

    /// Cancels a scope. Returns `false` if it was cancelled before, or left.
    pub(crate) fn cancel(
        worker: &Worker,
        scope: ScopeRef,
        reason: CancelReason,
        at: &'static Location<'static>,
    ) -> bool {
        let scopes = worker.scopes();
        let is_new = scopes.find_mut(scope, |record| {
            let is_new = record.cancelled.is_none();
            if is_new {
                record.cancelled = Some(Cancelled::new(record.id, reason, at));
            }
            is_new
        });
        if is_new != Some(true) {
            return false;
        }
        let mut reached = Vec::new();
        let has_foreign = {
            let records = &mut *scopes.records.borrow_mut();
            let outer = records[scope.index as usize].sees;
            see(records, scope.index, outer, |scope| reached.push(scope))
        };
        scopes.set_current(scopes.current.get());
        for scope in reached {
            scopes.wake(scope);
        }
        if has_foreign {
            worker.waits().wake_foreign();
        }
        true
    }

    /// Calls `f`, which must not wait or wake, with every scope but the root.
    pub(crate) fn for_each(&self, mut f: impl FnMut(Open)) {
        let records = self.records.borrow();
        let mut todo = Vec::new();
        let mut child = records[ROOT as usize].first_child;
        // The children of a scope are linked the last one first, and taken off the stack the other way round.
        while child != NONE || !todo.is_empty() {
            if child == NONE {
                let Some(index) = todo.pop() else { break };
                let record: &Record = &records[index as usize];
                let parent = &records[record.parent as usize];
                f(Open {
                    id: record.id,
                    parent: (record.parent != ROOT).then_some(parent.id),
                    task: record.waker.as_ref().and_then(Address::of),
                    is_shield: record.is_shield,
                    cancelled: record.cancelled.clone(),
                    is_to_hear: record.sees != NONE,
                    at: record.at,
                });
                child = record.first_child;
            } else {
                todo.push(child);
                child = records[child as usize].next;
            }
        }
    }

    /// Returns the cancel of a scope.
    pub(crate) fn cancelled(&self, scope: ScopeRef) -> Option<Cancelled> {
        self.find(scope, |record| record.cancelled.clone())
            .flatten()
    }

    /// Returns `true` if `cancelled` is the cancel of a scope that `scope` is in.
    pub(crate) fn is_from_above(&self, scope: ScopeRef, cancelled: &Cancelled) -> bool {
        let Some(mut parent) = self.find(scope, |record| record.parent) else {
            return false;
        };
        let records = self.records.borrow();
        while let Some(record) = records.get(parent as usize) {
            if record.cancelled.as_ref() == Some(cancelled) {
                return true;
            }
            parent = record.parent;
        }
        false
    }

    pub(crate) fn id(&self, scope: ScopeRef) -> Option<ScopeId> {
        self.find(scope, |record| record.id)
    }

    fn deliver(&self) -> Option<Cancelled> {
        let records = &mut *self.records.borrow_mut();
        let current = self.current.get();
        let sees = records[current as usize].sees;
        if sees == NONE {
            return None;
        }
        // Those in between may have been heard of before. The error that goes out now is not theirs.
        let mut between = current;
        while between != sees {
            let record = records.get_mut(between as usize)?;
            record.was_delivered = false;
            between = record.parent;
        }
        let record = &mut records[sees as usize];
        record.was_delivered = true;
        record.cancelled.clone()
    }

    fn find<T>(&self, scope: ScopeRef, f: impl FnOnce(&Record) -> T) -> Option<T> {
        self.records
            .borrow()
            .get(scope.index as usize)
            .filter(|record| record.stamp == scope.stamp)
            .map(f)
    }

    fn find_mut<T>(&self, scope: ScopeRef, f: impl FnOnce(&mut Record) -> T) -> Option<T> {
        self.records
            .borrow_mut()
            .get_mut(scope.index as usize)
            .filter(|record| record.stamp == scope.stamp)
            .map(f)
    }
}

/// Tells the scopes from `top` down to the next shields what they see, where `outer` is what is seen above: who sees nothing
/// from above sees its own cancel. Returns whether foreign wakers wait in any.
fn see(records: &mut [Record], top: u32, outer: u32, mut reached: impl FnMut(ScopeRef)) -> bool {
    let mut has_foreign = false;
    let mut todo = vec![(top, outer)];
    while let Some((index, outer)) = todo.pop() {
        let record = &mut records[index as usize];
        if index != top && record.is_shield {
            continue;
        }
        record.sees = match outer {
            NONE if record.cancelled.is_some() => index,
            outer => outer,
        };
        let sees = record.sees;
        has_foreign |= record.has_foreign;
        let stamp = record.stamp;
        reached(ScopeRef { index, stamp });
        let mut child = record.first_child;
        while child != NONE {
            todo.push((child, sees));
            child = records[child as usize].next;
        }
    }
    has_foreign
}

/// Makes the children of a scope that is left its parent's.
fn adopt(records: &mut [Record], first: u32, parent: u32, left: u32) {
    let sees = records[parent as usize].sees;
    let mut child = first;
    while child != NONE {
        let next = records[child as usize].next;
        let first = std::mem::replace(&mut records[parent as usize].first_child, child);
        let record = &mut records[child as usize];
        record.parent = parent;
        record.previous = NONE;
        record.next = first;
        let saw_the_left_one = record.sees == left;
        if let Some(first) = records.get_mut(first as usize) {
            first.previous = child;
        }
        if saw_the_left_one {
            see(records, child, sees, |_| ());
        }
        child = next;
    }
}

impl Record {
    const fn new(
        stamp: NonZeroU32,
        id: ScopeId,
        parent: u32,
        at: &'static Location<'static>,
    ) -> Self {
        Self {
            stamp,
            id,
            is_shield: false,
            was_delivered: false,
            has_foreign: false,
            parent,
            first_child: NONE,
            previous: NONE,
            next: NONE,
            cancelled: None,
            sees: NONE,
            waker: None,
            at,
        }
    }
}
