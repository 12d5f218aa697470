//! A task's memory: what is known of it, its future, and later its outcome, in one cell.
//!
//! ```text
//!              spawn            (1) poll: pending           (2) poll: ready, panic; or killed
//!   ──────▶ Future ───▶ Running ───────────────▶ Future ───▶ Running ──────▶ Outcome ──(3) taken──▶ Gone
//!                                                                └─────── nobody has the handle ──▶ Gone
//! ```
//! The stage says who may touch the [`Content`]: while it is `Running`, only the poll under way; at an `Outcome`, only
//! the handle. The cell is freed when the last [`Task`] is dropped: the table has one, the handle another, and the loop a
//! third while it takes a step.
//!
//! ```text
//!   ┌────────┬────────┬─────────────────┬──────────┬─────────────┬──────────────────────────
//!   │ vtable │ origin │ joiner or extra │ id state │ parent refs │ future, later outcome …
//!   └────────┴────────┴─────────────────┴──────────┴─────────────┴──────────────────────────
//!   0        8        16                24       31 32         39 40
//! ```

use std::alloc::Layout;
use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, needs_drop, offset_of};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll};

use super::locals::Locals;
use super::{TaskError, TaskId};
use crate::pool;
use crate::scope::ScopeRef;
use crate::wait::{Place, Waits};
use crate::worker::{contain, current, try_current};

/// What is known of a task apart from its future.
#[repr(C)]
pub(crate) struct Header {
    vtable: &'static Vtable,
    /// The line that spawned it.
    origin: &'static Location<'static>,
    link: UnsafeCell<Link>,
    id: PackedId,
    state: Cell<u8>,
    /// That of the task that spawned it, if one did.
    parent: PackedId,
    /// How many [`Task`]s there are.
    refs: Cell<u8>,
}

/// `ARCHITECTURE.md` tells what a task costs.
const _: () = assert!(size_of::<Header>() == 40);

/// The place of who awaits the handle; in a task that `HAS_EXTRA`, a box that has it and more.
#[derive(Clone, Copy)]
#[repr(C)]
union Link {
    joiner: Option<Place>,
    extra: NonNull<Extra>,
}

/// What few tasks have.
struct Extra {
    joiner: Cell<Option<Place>>,
    name: Option<Box<str>>,
    locals: Locals,
    /// Its own scope, once it was cancelled.
    scope: Cell<Option<ScopeRef>>,
}

/// The number of a [`TaskId`], or 0, in seven bytes: enough for a spawn a nanosecond for two years.
struct PackedId([u8; 7]);

/// The bits of `Header::state` that hold a stage.
const STAGE: u8 = 0b11;
/// The content is the future.
const FUTURE: u8 = 0;
/// The content is the future, and a poll or its destructor is under way.
const RUNNING: u8 = 1;
/// The content is the outcome.
const OUTCOME: u8 = 2;
/// There is no content.
const GONE: u8 = 3;
/// Set until the handle is dropped.
const HAS_HANDLE: u8 = 1 << 2;
/// The link is an `Extra`.
const HAS_EXTRA: u8 = 1 << 3;
/// The handle was polled in a cancelled scope, and gave way once. It is here because the handle is a word smaller for it.
const HAS_GIVEN_WAY: u8 = 1 << 4;
/// It was cancelled, and has a scope of its own for that, in the `Extra`. Set for good.
const HAS_SCOPE: u8 = 1 << 5;
/// Another task takes its steps: it is a child of a group.
const IS_STAND_IN: u8 = 1 << 7;

struct Vtable {
    /// # Safety
    /// The header is that of a [`TaskCell`] of the type that this table is of.
    step: unsafe fn(NonNull<Header>, &mut Context<'_>) -> bool,
    /// # Safety
    /// As for `step`.
    kill: unsafe fn(NonNull<Header>),
    layout: Layout,
    outcome_offset: usize,
}

#[repr(C)]
struct TaskCell<F: Future> {
    header: Header,
    content: UnsafeCell<Content<F>>,
}

#[repr(C)]
union Content<F: Future> {
    future: ManuallyDrop<F>,
    outcome: ManuallyDrop<Outcome<F::Output>>,
}

pub(super) type Outcome<T> = Result<T, TaskError>;

/// A task; its cell lives as long as one of these does.
pub(crate) struct Task(NonNull<Header>);

/// What the handle of a task has: the outcome is its own.
pub(super) struct Owner<T> {
    task: Task,
    _output: PhantomData<T>,
}

impl Task {
    /// Makes a task, and the reference to it that is its handle's. Of the numbers, which are ids, the parent's is 0 if it
    /// has none.
    #[inline]
    pub(super) fn new<F: Future>(
        future: F,
        id: u64,
        parent: u64,
        origin: &'static Location<'static>,
    ) -> (Self, Owner<F::Output>) {
        let header = Header {
            vtable: TaskCell::<F>::VTABLE,
            origin,
            link: UnsafeCell::new(Link { joiner: None }),
            id: PackedId::new(id),
            state: Cell::new(FUTURE | HAS_HANDLE),
            parent: PackedId::new(parent),
            refs: Cell::new(2),
        };
        let cell = pool::allocate(Layout::new::<TaskCell<F>>()).cast::<TaskCell<F>>();
        let content = Content {
            future: ManuallyDrop::new(future),
        };
        let content = UnsafeCell::new(content);
        // SAFETY: the memory is new and of this layout.
        unsafe { cell.write(TaskCell { header, content }) };
        let owner = Owner {
            task: Self(cell.cast()),
            _output: PhantomData,
        };
        (Self(cell.cast()), owner)
    }

    /// Makes a task that is never polled, and has no handle.
    pub(crate) fn stand_in(id: u64, origin: &'static Location<'static>) -> Self {
        Self::new(std::future::pending::<()>(), id, 0, origin).0
    }

    /// Makes a task without a handle.
    pub(crate) fn without_handle<F: Future + 'static>(
        future: F,
        id: u64,
        parent: u64,
        origin: &'static Location<'static>,
    ) -> Self {
        Self::new(future, id, parent, origin).0
    }

    #[inline]
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the cell lives as long as `self`, and no `&mut` to a header is ever made.
        unsafe { self.0.as_ref() }
    }

    /// Polls the task once. Returns `true` if that was its last step.
    #[inline]
    pub(crate) fn step(&self, cx: &mut Context<'_>) -> bool {
        // SAFETY: `new` paired cell and table.
        unsafe { (self.header().vtable.step)(self.0, cx) }
    }

    /// Drops the future where it is. The handle hears that it was ended.
    pub(crate) fn kill(&self) {
        // SAFETY: `new` paired cell and table.
        unsafe { (self.header().vtable.kill)(self.0) }
    }
}

impl<T> Owner<T> {
    #[inline]
    pub(super) fn header(&self) -> &Header {
        self.task.header()
    }

    /// Takes the outcome, if it is there.
    #[inline]
    pub(super) fn take_outcome(&self) -> Option<Outcome<T>> {
        let header = self.header();
        if header.stage() != OUTCOME {
            return None;
        }
        header.set_stage(GONE);
        // SAFETY: the offset lies in the cell, to all of which the task has a pointer.
        let outcome = unsafe { self.task.0.byte_add(header.vtable.outcome_offset) };
        // SAFETY: `Task::new` made one owner, for this type of outcome. The content was one, and is never looked at again.
        Some(unsafe { outcome.cast::<Outcome<T>>().read() })
    }
}

impl<T> Drop for Owner<T> {
    #[inline]
    fn drop(&mut self) {
        let state = &self.header().state;
        state.set(state.get() & !HAS_HANDLE);
        // Its destructor may unwind; the reference is dropped after it all the same.
        drop(self.take_outcome());
    }
}

impl Clone for Task {
    #[inline]
    fn clone(&self) -> Self {
        let refs = &self.header().refs;
        // Instruments have a few more while they are told.
        debug_assert!(refs.get() < 8, "the table's, the handle's, and the loop's");
        refs.set(refs.get() + 1);
        Self(self.0)
    }
}

impl Drop for Task {
    #[inline]
    fn drop(&mut self) {
        let refs = &self.header().refs;
        refs.set(refs.get() - 1);
        if refs.get() == 0 {
            // SAFETY: that was the last one.
            unsafe { free(self.0) };
        }
    }
}

/// # Safety
/// Nobody has a reference to the cell.
#[inline(never)]
unsafe fn free(cell: NonNull<Header>) {
    // SAFETY: the cell is still there, and was made by `Task::new`.
    let header = unsafe { cell.as_ref() };
    debug_assert_eq!(header.stage(), GONE, "a task is ended before it is freed");
    if header.stage() != GONE {
        // Its future might be borrowed by who knows whom: it is left where it is.
        return;
    }
    let extra = header.take_extra();
    let layout = header.vtable.layout;
    // SAFETY: `Task::new` allocated it with this layout. There is no content to drop.
    unsafe { pool::free(cell.cast(), layout) };
    // The destructors of its variables run when we are done.
    if extra.is_some() {
        contain(|| drop(extra));
    }
}

impl Header {
    pub(crate) fn id(&self) -> TaskId {
        self.id.get().expect("every task has an id")
    }

    pub(crate) fn parent(&self) -> Option<TaskId> {
        self.parent.get()
    }

    pub(crate) const fn origin(&self) -> &'static Location<'static> {
        self.origin
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.extra()?.name.as_deref()
    }

    /// The variables that it may have.
    #[inline]
    pub(crate) fn locals(&self) -> Option<&Locals> {
        Some(&self.extra()?.locals)
    }

    /// Its variables, with room for the first.
    pub(crate) fn locals_to_set(&self) -> &Locals {
        if self.extra().is_none() {
            self.set_extra(None, Locals::default());
        }
        self.locals().expect(SET)
    }

    #[inline]
    pub(super) fn is_finished(&self) -> bool {
        self.stage() >= OUTCOME
    }

    #[inline]
    pub(super) fn joiner(&self) -> Option<Place> {
        match self.extra() {
            Some(extra) => extra.joiner.get(),
            // SAFETY: without an extra, the link is the joiner; it is copied.
            None => unsafe { self.link.get().cast::<Option<Place>>().read() },
        }
    }

    #[inline]
    pub(super) fn set_joiner(&self, joiner: Option<Place>) {
        match self.extra() {
            Some(extra) => extra.joiner.set(joiner),
            // SAFETY: without an extra, the link is the joiner, to which nobody has a reference.
            None => unsafe { self.link.get().write(Link { joiner }) },
        }
    }

    /// Says that another task takes its steps.
    pub(crate) fn set_stand_in(&self) {
        self.state.set(self.state.get() | IS_STAND_IN);
    }

    pub(crate) fn is_stand_in(&self) -> bool {
        self.state.get() & IS_STAND_IN != 0
    }

    /// Returns `true` every second time: whether the handle gave way before.
    pub(super) fn turn_given_way(&self) -> bool {
        let state = self.state.get();
        self.state.set(state ^ HAS_GIVEN_WAY);
        state & HAS_GIVEN_WAY != 0
    }

    #[inline]
    fn extra(&self) -> Option<&Extra> {
        if self.state.get() & HAS_EXTRA == 0 {
            return None;
        }
        // SAFETY: the link is an extra, and stays the same one until the cell is freed.
        let extra = unsafe { self.link.get().cast::<NonNull<Extra>>().read() };
        // SAFETY: it came from a box, to which no `&mut` is made before the cell is freed.
        Some(unsafe { extra.as_ref() })
    }

    /// Gives it a name and variables, once.
    #[cold]
    pub(crate) fn set_extra(&self, name: Option<Box<str>>, locals: Locals) {
        assert!(self.extra().is_none(), "an extra stays the same");
        let joiner = Cell::new(self.joiner());
        let extra = Box::new(Extra {
            joiner,
            name,
            locals,
            scope: Cell::new(None),
        });
        let extra = NonNull::from(Box::leak(extra));
        // SAFETY: nobody has a reference to the link.
        unsafe { self.link.get().write(Link { extra }) };
        self.state.set(self.state.get() | HAS_EXTRA);
    }

    /// Its own scope, if it was cancelled.
    pub(super) fn scope(&self) -> Option<ScopeRef> {
        self.extra()?.scope.get()
    }

    /// Gives it a scope of its own: its steps are taken in that from now on. Returns `true` if one is under way.
    #[cold]
    pub(super) fn set_scope(&self, scope: ScopeRef) -> bool {
        if self.extra().is_none() {
            self.set_extra(None, Locals::default());
        }
        self.extra().expect(SET).scope.set(Some(scope));
        self.state.set(self.state.get() | HAS_SCOPE);
        self.stage() == RUNNING
    }

    /// Says that a step, or the destructor, of a task with a scope of its own is over.
    #[cold]
    fn leave_step(&self) {
        let scope = self.scope().filter(|_| self.is_finished());
        try_current(|worker| worker.scopes().end_step(scope));
    }

    #[inline]
    fn take_extra(&self) -> Option<Box<Extra>> {
        if self.state.get() & HAS_EXTRA == 0 {
            return None;
        }
        self.state.set(self.state.get() & !HAS_EXTRA);
        // SAFETY: the link was an extra.
        let extra = unsafe { self.link.get().cast::<NonNull<Extra>>().read() };
        // SAFETY: it came from a box; it is not reached through the link again.
        Some(unsafe { Box::from_raw(extra.as_ptr()) })
    }

    #[inline]
    fn stage(&self) -> u8 {
        self.state.get() & STAGE
    }

    #[inline]
    fn set_stage(&self, stage: u8) {
        self.state.set(self.state.get() & !STAGE | stage);
    }
}

const SET: &str = "it has been set";

impl PackedId {
    #[inline]
    fn new(id: u64) -> Self {
        let [low @ .., high] = id.to_le_bytes();
        debug_assert_eq!(high, 0, "nobody counts so far");
        Self(low)
    }

    #[inline]
    fn get(&self) -> Option<TaskId> {
        let mut bytes = [0; 8];
        bytes[..7].copy_from_slice(&self.0);
        TaskId::new(u64::from_le_bytes(bytes))
    }
}

impl<F: Future> TaskCell<F> {
    const VTABLE: &'static Vtable = &Vtable {
        step: Self::step,
        kill: Self::kill,
        layout: Layout::new::<Self>(),
        outcome_offset: offset_of!(Self, content),
    };

    /// # Safety
    /// As [`Vtable::step`] asks.
    unsafe fn step(header: NonNull<Header>, cx: &mut Context<'_>) -> bool {
        // SAFETY: as the caller says.
        let cell = unsafe { header.cast::<Self>().as_ref() };
        if cell.header.state.get() & (STAGE | HAS_SCOPE) == FUTURE {
            cell.poll(cx)
        } else {
            cell.poll_in_scope(cx)
        }
    }

    /// Polls the future, if it is there. Returns `true` if that was its last step.
    #[inline]
    fn poll(&self, cx: &mut Context<'_>) -> bool {
        let header = &self.header;
        if header.stage() != FUTURE {
            return true;
        }
        header.set_stage(RUNNING);
        // SAFETY: `Running` is ours: no other step is under way, and the handle keeps off until there is an outcome. The
        // content is the future.
        let future = unsafe { &mut *self.content.get().cast::<F>() };
        // SAFETY: it never moves, and is dropped in place by `finish`.
        let future = unsafe { Pin::new_unchecked(future) };
        let is_last = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => {
                header.set_stage(FUTURE);
                false
            }
            Ok(Poll::Ready(value)) => {
                self.finish(Ok(value));
                true
            }
            Err(payload) => {
                self.finish(Err(TaskError::panicked(payload, header)));
                true
            }
        };
        if header.state.get() & HAS_SCOPE != 0 {
            header.leave_step();
        }
        is_last
    }

    /// Polls the future of a task that was cancelled.
    #[cold]
    fn poll_in_scope(&self, cx: &mut Context<'_>) -> bool {
        let waker = cx.waker().clone();
        let Some(scope) = self.header.scope() else {
            return self.poll(cx);
        };
        current(|worker| worker.scopes().within(scope, &waker, || self.poll(cx)))
    }

    /// # Safety
    /// As [`Vtable::kill`] asks.
    unsafe fn kill(header: NonNull<Header>) {
        // SAFETY: as the caller says.
        let cell = unsafe { header.cast::<Self>().as_ref() };
        if cell.header.stage() == FUTURE {
            cell.header.set_stage(RUNNING);
            cell.finish(Err(TaskError::ended(&cell.header)));
            if cell.header.state.get() & HAS_SCOPE != 0 {
                cell.header.leave_step();
            }
        }
    }

    /// Drops the future, stores the outcome, and wakes who waits for it. The stage is `Running`.
    #[inline]
    fn finish(&self, mut outcome: Outcome<F::Output>) {
        debug_assert_eq!(self.header.stage(), RUNNING);
        let content = self.content.get();
        if needs_drop::<F>() {
            let drop_future = || {
                // SAFETY: `Running` is ours, and the content is the future. It is dropped in place, as pinning asks,
                // and not looked at again, even if its destructor unwinds.
                unsafe { ptr::drop_in_place(content.cast::<F>()) }
            };
            if let Err(payload) = catch_unwind(AssertUnwindSafe(drop_future)) {
                let error = TaskError::panicked(payload, &self.header);
                let unwanted = std::mem::replace(&mut outcome, Err(error));
                contain(|| drop(unwanted));
            }
        }
        if self.header.state.get() & HAS_HANDLE == 0 {
            self.header.set_stage(GONE);
            contain(|| drop(outcome));
            return;
        }
        let outcome = ManuallyDrop::new(outcome);
        // SAFETY: as above; the future is gone.
        unsafe { content.write(Content { outcome }) };
        self.header.set_stage(OUTCOME);
        if let Some(place) = self.header.joiner() {
            try_current(|worker| Waits::choose(worker, place));
        }
    }
}
