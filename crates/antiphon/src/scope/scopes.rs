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
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::panic::Location;
use std::task::Waker;
use std::time::Instant;

use super::cancelled::{CancelReason, Cancelled, ScopeId};
use crate::instrument;
use crate::worker::{Address, Worker, contain, try_current};

pub(crate) struct Scopes {
    records: RefCell<Vec<Record>>,
    free: Cell<u32>,
    /// The scope in which something is polled now.
    current: Cell<u32>,
    /// The scope that is the outermost one of the step under way: the root, unless its task was cancelled meanwhile.
    base: Cell<u32>,
    entered: Cell<u64>,
}

#[allow(
    clippy::struct_excessive_bools,
    reason = "each is set and cleared by itself"
)]
struct Record {
    /// Drawn for each scope that has this record, and once more when it is left.
    stamp: NonZeroU32,
    id: ScopeId,
    is_shield: bool,
    /// Set when a wait has ended with this scope's cancel.
    was_delivered: bool,
    /// Set when somebody waited in it with a waker that is not a task's.
    has_foreign: bool,
    /// Set when its grace is over: the shields in it give way.
    is_out_of_grace: bool,
    /// It, or a scope that it is in, is out of grace. So a shield in it keeps nothing off.
    gives_way: bool,
    parent: u32,
    first_child: u32,
    /// Neighbours among the children of the parent, or `NONE`. `next` also links the free records.
    previous: u32,
    next: u32,
    /// Its own cancel.
    cancelled: Option<Cancelled>,
    /// The cancelled scope that what is in it hears of: itself, or one above, or `NONE`.
    sees: u32,
    /// When it is cancelled by itself, as far as that was noted.
    deadline: Option<Instant>,
    /// Who polls it.
    waker: Option<Waker>,
    /// The task in whose step it was entered, or polled by another waker.
    task: Address,
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
    /// When it is cancelled by itself.
    pub(crate) deadline: Option<Instant>,
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

/// The root's children lie in so many lists, by task, so that those of a task are found soon. The records after the root's
/// have these lists for their children, and nothing else.
const LISTS: u32 = 64;

thread_local! {
    /// What a wait that begins on this thread has to look at: [`CANCELLED`], [`EXPLORED`], mostly nothing. [`OBSERVED`] is here
    /// because a byte that is looked at anyway is in the cache.
    static NOTICES: Cell<u8> = const { Cell::new(0) };

    /// The last stamp given on this thread, by all its workers: a scope that is carried from one loop into the next finds
    /// nothing there.
    static STAMP: Cell<u32> = const { Cell::new(0) };
}

/// The scope in which something is polled sees a cancel.
const CANCELLED: u8 = 1;

/// The explorer counts the waits: [`explore`](crate::explore).
const EXPLORED: u8 = 2;

/// There are instruments: [`instrument`]. Waits that can go on at once have nothing to tell them.
const OBSERVED: u8 = 4;

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
    NOTICES.get() & (CANCELLED | EXPLORED) != 0
}

/// Whether there is an instrument to be told of what is done on this thread.
#[inline]
pub(crate) fn is_observed_here() -> bool {
    NOTICES.get() & OBSERVED != 0
}

pub(crate) fn set_explored_here(is_explored: bool) {
    set_notice(EXPLORED, is_explored);
}

pub(crate) fn set_observed_here(is_observed: bool) {
    set_notice(OBSERVED, is_observed);
}

#[inline]
fn set_notice(notice: u8, is_set: bool) {
    let others = NOTICES.get() & !notice;
    NOTICES.set(others | if is_set { notice } else { 0 });
}

/// Returns the cancel that the current scope sees: that of the outermost of those around it.
pub(crate) fn cancelled_here() -> Option<Cancelled> {
    if !is_cancelled_here() {
        return None;
    }
    try_current(|worker| worker.scopes().seen()).flatten()
}

/// Returns the cancel that the current scope sees, and notes that it was delivered.
#[cold]
pub(crate) fn deliver() -> Option<Cancelled> {
    try_current(|worker| {
        let cancelled = worker.scopes().deliver();
        if is_observed_here() {
            if let Some(cancelled) = &cancelled {
                instrument::delivered(worker, cancelled);
            }
        }
        cancelled
    })
    .flatten()
}

impl Scopes {
    pub(crate) fn new() -> Self {
        let at = Location::caller();
        let record = |_| Record::new(next_stamp(), ScopeId(0), NONE, at);
        let records = (0..=LISTS).map(record).collect();
        Self {
            records: RefCell::new(records),
            free: Cell::new(NONE),
            current: Cell::new(ROOT),
            base: Cell::new(ROOT),
            entered: Cell::new(0),
        }
    }

    /// Says that the worker begins a run: nothing is cancelled.
    pub(crate) fn begin(&self) {
        let root = &mut self.records.borrow_mut()[ROOT as usize];
        root.cancelled = None;
        root.was_delivered = false;
        root.sees = NONE;
        root.is_out_of_grace = false;
        root.gives_way = false;
        self.base.set(ROOT);
        self.current.set(ROOT);
        set_notice(CANCELLED, false);
    }

    /// Says that the worker has ended its run: what is polled on this thread is in no scope.
    pub(crate) fn end(&self) {
        self.base.set(ROOT);
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

    /// Enters a scope in the current one. `task` is the running one.
    pub(crate) fn enter(
        &self,
        task: Address,
        is_shield: bool,
        at: &'static Location<'static>,
    ) -> ScopeRef {
        self.enter_in(self.current.get(), task, is_shield, at)
    }

    /// Enters the scope of a task that is to be cancelled, around those that the task is in.
    pub(crate) fn enter_task(&self, task: Address, at: &'static Location<'static>) -> ScopeRef {
        let scope = self.enter_in(ROOT, task, false, at);
        let records = &mut *self.records.borrow_mut();
        let has_foreign = records[ROOT as usize].has_foreign;
        let record = &mut records[scope.index as usize];
        record.waker = Some(task.waker());
        // Somebody may wait in it with another waker: it was not noted which task's that is.
        record.has_foreign = has_foreign;
        let beside: Vec<u32> = list(records, root_list(task))
            .filter(|child| records[*child as usize].task == task && *child != scope.index)
            .collect();
        for child in beside {
            unlink(records, child);
            link(records, child, scope.index);
        }
        scope
    }

    /// Says that the step under way is in a scope of its task from now on.
    pub(crate) fn begin_step(&self, scope: ScopeRef) {
        self.base.set(scope.index);
        self.set_current(self.current.get());
    }

    /// Says that the step of a task that has a scope is over; that scope is left if it was the last one.
    pub(crate) fn end_step(&self, left: Option<ScopeRef>) {
        self.base.set(ROOT);
        self.set_current(ROOT);
        if let Some(scope) = left {
            self.leave(scope);
        }
    }

    /// Enters a scope in `parent`.
    pub(crate) fn enter_below(
        &self,
        parent: ScopeRef,
        task: Address,
        is_shield: bool,
        at: &'static Location<'static>,
    ) -> ScopeRef {
        let is_there = self.find(parent, |_| ()).is_some();
        debug_assert!(is_there, "a scope outlives those in it");
        let parent = if is_there { parent.index } else { ROOT };
        self.enter_in(parent, task, is_shield, at)
    }

    fn enter_in(
        &self,
        parent: u32,
        task: Address,
        is_shield: bool,
        at: &'static Location<'static>,
    ) -> ScopeRef {
        let id = ScopeId(self.entered.get() + 1);
        self.entered.set(id.0);
        let records = &mut *self.records.borrow_mut();
        let above = &records[parent as usize];
        let gives_way = above.gives_way;
        let sees = if is_shield && !gives_way {
            NONE
        } else {
            above.sees
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
        records[index as usize].task = task;
        link(records, index, parent);
        let record = &mut records[index as usize];
        record.is_shield = is_shield;
        record.sees = sees;
        record.gives_way = gives_way;
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
            let gave_way = record.gives_way;
            let parent = record.parent;
            // Whoever is still in it, in a future that was not dropped, is the parent's from now on.
            let orphans = std::mem::replace(&mut record.first_child, NONE);
            record.stamp = next_stamp();
            unlink(records, scope.index);
            records[scope.index as usize].next = self.free.replace(scope.index);
            adopt(records, orphans, parent, (scope.index, gave_way));
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
        let task = try_current(Worker::running_address).unwrap_or(Address::NOBODY);
        if self.find(scope, |record| record.task != task) == Some(true) {
            let records = &mut *self.records.borrow_mut();
            let parent = records[scope.index as usize].parent;
            unlink(records, scope.index);
            records[scope.index as usize].task = task;
            link(records, scope.index, parent);
        }
        let previous = self.find_mut(scope, |record| record.waker.replace(waker));
        drop(previous);
    }

    fn set_current(&self, index: u32) {
        let index = if index == ROOT {
            self.base.get()
        } else {
            index
        };
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
        Self::spread(worker, scope);
        true
    }

    /// Says that the grace of a cancelled scope is over: the shields in it, and those to come, keep its cancel off no more.
    pub(crate) fn end_grace(worker: &Worker, scope: ScopeRef) {
        let is_there = worker
            .scopes()
            .find_mut(scope, |record| record.is_out_of_grace = true);
        if is_there.is_some() {
            Self::spread(worker, scope);
        }
    }

    /// Has those who wait in a scope hear of what has changed.
    fn spread(worker: &Worker, scope: ScopeRef) {
        let scopes = worker.scopes();
        let mut reached = Vec::new();
        let has_foreign = see(&mut scopes.records.borrow_mut(), scope.index, |scope| {
            reached.push(scope);
        });
        scopes.set_current(scopes.current.get());
        for scope in reached {
            scopes.wake(scope);
        }
        if has_foreign {
            worker.waits().wake_foreign();
        }
    }

    /// Calls `f`, which must not wait or wake, with every scope but the root.
    pub(crate) fn for_each(&self, mut f: impl FnMut(Open)) {
        let records = self.records.borrow();
        // The children of a scope are linked the last one first, and taken off the stack the other way round.
        let mut todo: Vec<u32> = children(&records, ROOT).collect();
        while let Some(index) = todo.pop() {
            let record: &Record = &records[index as usize];
            let parent = &records[record.parent as usize];
            f(Open {
                id: record.id,
                parent: (record.parent != ROOT).then_some(parent.id),
                task: record.waker.as_ref().and_then(Address::of),
                is_shield: record.is_shield,
                cancelled: record.cancelled.clone(),
                is_to_hear: record.sees != NONE,
                deadline: record.deadline,
                at: record.at,
            });
            todo.extend(children(&records, index));
        }
    }

    /// Notes the deadline of a scope, for those who look.
    pub(crate) fn note_deadline(&self, scope: ScopeRef, deadline: Option<Instant>) {
        self.find_mut(scope, |record| record.deadline = deadline);
    }

    /// Returns the tasks that poll a scope and those in it, as far as they do so with their own wakers.
    pub(crate) fn tasks_in(&self, scope: ScopeRef) -> BTreeSet<Address> {
        let records = self.records.borrow();
        let mut tasks = BTreeSet::new();
        let mut todo = vec![scope.index];
        while let Some(index) = todo.pop() {
            let record = &records[index as usize];
            tasks.extend(record.waker.as_ref().and_then(Address::of));
            todo.extend(children(&records, index));
        }
        tasks
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

    /// Returns the cancel that the current scope sees, which has not been delivered by that.
    pub(crate) fn seen(&self) -> Option<Cancelled> {
        let records = self.records.borrow();
        let sees = records[self.current.get() as usize].sees;
        records.get(sees as usize)?.cancelled.clone()
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

/// Tells the scopes from `top` down to the next shields what they see: who sees nothing from above sees its own cancel.
/// Shields that give way are as other scopes. Returns whether foreign wakers wait in any.
fn see(records: &mut [Record], top: u32, mut reached: impl FnMut(ScopeRef)) -> bool {
    let mut has_foreign = false;
    let mut todo = vec![top];
    while let Some(index) = todo.pop() {
        let record = &records[index as usize];
        let above = records.get(record.parent as usize);
        let is_open = above.is_some_and(|above| above.gives_way);
        let outer = above
            .filter(|_| is_open || !record.is_shield)
            .map_or(NONE, |above| above.sees);
        let sees = match outer {
            NONE if record.cancelled.is_some() => index,
            outer => outer,
        };
        let gives_way = is_open || record.is_out_of_grace;
        let record = &mut records[index as usize];
        let was = (record.sees, record.gives_way);
        if index != top && record.is_shield && was == (sees, gives_way) {
            continue;
        }
        record.sees = sees;
        record.gives_way = gives_way;
        has_foreign |= record.has_foreign;
        let stamp = record.stamp;
        reached(ScopeRef { index, stamp });
        todo.extend(children(records, index));
    }
    has_foreign
}

/// Makes the children of a scope that is left its parent's. `left` is that scope, and whether it gave way.
fn adopt(records: &mut [Record], first: u32, parent: u32, left: (u32, bool)) {
    let (left, gave_way) = left;
    let gives_way_still = records[parent as usize].gives_way;
    let mut child = first;
    while child != NONE {
        let next = records[child as usize].next;
        link(records, child, parent);
        let saw_the_left_one = records[child as usize].sees == left;
        if saw_the_left_one || gave_way != gives_way_still {
            see(records, child, |_| ());
        }
        child = next;
    }
}

/// The record that has the root's children of a task in its list.
fn root_list(task: Address) -> u32 {
    1 + task.slot() % LISTS
}

/// The record that has a child of `parent` in its list.
fn owner(records: &[Record], child: u32, parent: u32) -> u32 {
    match parent {
        ROOT => root_list(records[child as usize].task),
        parent => parent,
    }
}

/// Goes through the list of a record, the last one first.
fn list(records: &[Record], owner: u32) -> impl Iterator<Item = u32> {
    let is_some = |index: &u32| *index != NONE;
    let first = Some(records[owner as usize].first_child).filter(is_some);
    std::iter::successors(first, move |index| {
        Some(records[*index as usize].next).filter(is_some)
    })
}

/// Goes through the children of a scope: those of the root, list by list.
fn children(records: &[Record], parent: u32) -> impl Iterator<Item = u32> {
    let owners = match parent {
        ROOT => 1..=LISTS,
        parent => parent..=parent,
    };
    owners.flat_map(move |owner| list(records, owner))
}

/// Takes a scope out of its parent's list.
fn unlink(records: &mut [Record], child: u32) {
    let record = &records[child as usize];
    let owner = owner(records, child, record.parent);
    let (previous, next) = (record.previous, record.next);
    match records.get_mut(previous as usize) {
        Some(previous) => previous.next = next,
        None => records[owner as usize].first_child = next,
    }
    if let Some(next) = records.get_mut(next as usize) {
        next.previous = previous;
    }
}

/// Makes a scope that is in no list a child of `parent`.
fn link(records: &mut [Record], child: u32, parent: u32) {
    let owner = owner(records, child, parent);
    let first = std::mem::replace(&mut records[owner as usize].first_child, child);
    let record = &mut records[child as usize];
    record.parent = parent;
    record.previous = NONE;
    record.next = first;
    if let Some(first) = records.get_mut(first as usize) {
        first.previous = child;
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
            is_out_of_grace: false,
            gives_way: false,
            parent,
            first_child: NONE,
            previous: NONE,
            next: NONE,
            cancelled: None,
            sees: NONE,
            deadline: None,
            waker: None,
            task: Address::NOBODY,
            at,
        }
    }
}
