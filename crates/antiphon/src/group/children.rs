//! The children of a group: their futures, and what becomes of them.
//!
//! ```text
//!            spawn                (1) polled: pending            (2) polled: ready, panic; or the group is dropped
//!   ───────▶ in its slot ───▶ out ──────────────▶ in its slot ───▶ out ──────▶ settled; the slot is free
//! ```
//! A child is taken out of its slot while code of its own runs, so that it may spawn, cancel, and look at the group as it
//! likes. All of this is safe code: children hold the group's state by counted reference, and what they borrow lives longer
//! than that state as the compiler knows it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::errors::{Cause, Errors};
use super::handle::{About, ChildHandle, Kind, Settle, Shared};
use super::identity::{Identity, next_id};
use super::ready::Ready;
use crate::explore::probe;
use crate::instrument;
use crate::scope::{CancelReason, Cancelled, ScopeRef, Scopes, is_explored_here};
use crate::worker::{contain, current, try_current};

/// What a panic threw.
pub(super) type Payload = Box<dyn Any + Send>;

/// What the group and its handles share.
pub(super) struct State<'env, E> {
    scope: ScopeRef,
    /// The line that made the group.
    at: &'static Location<'static>,
    slots: RefCell<Slots<'env, E>>,
    /// Children that have not ended.
    live: Cell<usize>,
    /// Set when the group has ended, or is dropped. Nobody is taken in any more.
    is_closed: Cell<bool>,
    ready: Rc<Ready>,
    errors: RefCell<Errors<E>>,
    /// The first panic.
    panic: Cell<Option<Payload>>,
}

struct Slots<'env, E> {
    slots: Vec<Slot<'env, E>>,
    free: Vec<usize>,
}

enum Slot<'env, E> {
    Free,
    /// Reserved, or its code runs.
    Out,
    In(Child<'env, E>),
}

struct Child<'env, E> {
    identity: Identity,
    future: Pin<Box<dyn Future<Output = Result<(), E>> + 'env>>,
    settle: Rc<dyn Settle + 'env>,
}

impl<'env, E> State<'env, E> {
    pub(super) fn new(scope: ScopeRef, at: &'static Location<'static>) -> Rc<Self> {
        let slots = Slots {
            slots: Vec::new(),
            free: Vec::new(),
        };
        Rc::new(Self {
            scope,
            at,
            slots: RefCell::new(slots),
            live: Cell::new(0),
            is_closed: Cell::new(false),
            ready: Rc::default(),
            errors: RefCell::default(),
            panic: Cell::new(None),
        })
    }

    /// Takes a child in. If the group has ended, `future` is dropped.
    pub(super) fn spawn<T: 'env>(
        &self,
        future: impl Future<Output = Result<T, E>> + 'env,
        name: Option<Box<str>>,
        at: &'static Location<'static>,
    ) -> ChildHandle<T> {
        self.spawn_quiet(async move { future.await.map(Some) }, name, at)
    }

    /// Takes a child in, which may end with neither a value nor an error.
    pub(super) fn spawn_quiet<T: 'env>(
        &self,
        future: impl Future<Output = Result<Option<T>, E>> + 'env,
        name: Option<Box<str>>,
        at: &'static Location<'static>,
    ) -> ChildHandle<T> {
        current(|worker| {
            let mut about = About {
                id: next_id(worker),
                name: name.as_deref().map(Into::into),
                origin: at,
                scope: None,
            };
            let index = (!self.is_closed.get()).then(|| self.reserve());
            let identity = index.and_then(|index| {
                let place = (&self.ready, index);
                let identity = Identity::new(worker, about.id, place, self.scope, name, at);
                if identity.is_none() {
                    self.free(index);
                }
                identity
            });
            let (Some(index), Some(identity)) = (index, identity) else {
                drop(future);
                return ChildHandle::refused(about);
            };
            about.scope = Some(identity.scope());
            let shared = Shared::new(about);
            let settle = Rc::clone(&shared);
            let future = Box::pin({
                let shared = Rc::clone(&shared);
                async move {
                    shared.set_value(future.await?);
                    Ok::<(), E>(())
                }
            });
            let child = Child {
                identity,
                future,
                settle,
            };
            self.live.set(self.live.get() + 1);
            self.slots.borrow_mut().slots[index] = Slot::In(child);
            ChildHandle::new(shared)
        })
    }

    /// Cancels all that is in the group.
    pub(super) fn cancel(&self, reason: CancelReason, at: &'static Location<'static>) -> bool {
        !self.is_closed.get()
            && try_current(|worker| Scopes::cancel(worker, self.scope, reason, at)) == Some(true)
    }

    /// Returns the group's own cancel.
    pub(super) fn cancelled(&self) -> Option<Cancelled> {
        try_current(|worker| worker.scopes().cancelled(self.scope)).flatten()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    pub(super) fn live(&self) -> usize {
        self.live.get()
    }

    /// Notes a panic, of which the first one comes out of the group.
    pub(super) fn note_panic(&self, payload: Payload) {
        let Some(first) = self.panic.take() else {
            return self.panic.set(Some(payload));
        };
        self.panic.set(Some(first));
        // Dropping what was thrown would run somebody else's code again.
        std::mem::forget(payload);
    }

    /// Ends the group, and with it the children that are left, if any are. Returns the first panic.
    pub(super) fn end(&self) -> Option<Payload> {
        self.close();
        self.panic.take()
    }

    pub(super) fn take_errors(&self) -> Errors<E> {
        self.errors.take()
    }

    /// Takes nobody in any more, and drops the children that are left.
    fn close(&self) {
        self.is_closed.set(true);
        // Nobody comes while one is dropped.
        let count = self.slots.borrow().slots.len();
        for index in 0..count {
            if let Some(child) = self.take(index) {
                self.settle(index, child, Some(Kind::Ended));
            }
        }
    }

    /// Ends a child: drops what is left of it, and tells its handle.
    fn settle(&self, index: usize, child: Child<'env, E>, end: Option<Kind>) {
        let Child {
            identity,
            future,
            settle,
        } = child;
        // Outside of a loop, what is moved into the closure is dropped as it is.
        let drop_future =
            || try_current(|worker| identity.act(worker, &self.ready, |_| drop(future)));
        let end = match catch_unwind(AssertUnwindSafe(drop_future)) {
            Ok(_) => end,
            Err(payload) => Some(self.panicked(payload, settle.origin())),
        };
        try_current(|worker| identity.end(worker, &self.ready));
        self.free(index);
        self.live.set(self.live.get() - 1);
        settle.settle(end);
        // If nobody has the handle, the value is dropped.
        contain(|| drop(settle));
    }

    /// Notes a child's panic, and cancels the others.
    fn panicked(&self, payload: Payload, at: &'static Location<'static>) -> Kind {
        self.note_panic(payload);
        self.cancel(CancelReason::SiblingFailed, at);
        Kind::Panicked(self.cancelled())
    }

    fn reserve(&self) -> usize {
        let slots = &mut *self.slots.borrow_mut();
        slots.free.pop().unwrap_or_else(|| {
            slots.slots.push(Slot::Out);
            slots.slots.len() - 1
        })
    }

    fn free(&self, index: usize) {
        let slots = &mut *self.slots.borrow_mut();
        slots.slots[index] = Slot::Free;
        slots.free.push(index);
    }

    /// Takes a child out of its slot.
    fn take(&self, index: usize) -> Option<Child<'env, E>> {
        let slots = &mut *self.slots.borrow_mut();
        let slot = slots.slots.get_mut(index)?;
        match std::mem::replace(slot, Slot::Out) {
            Slot::In(child) => Some(child),
            other => {
                *slot = other;
                None
            }
        }
    }

    fn put_back(&self, index: usize, child: Child<'env, E>) {
        self.slots.borrow_mut().slots[index] = Slot::In(child);
    }
}

impl<'env, E: Error + 'static> State<'env, E> {
    /// Polls the children with a step due.
    pub(super) fn poll(&self, cx: &Context<'_>) {
        self.ready.note(cx.waker());
        // Those that are woken by it come next time, so that this ends.
        for _ in 0..self.ready.len() {
            let Some(index) = self.ready.pop() else { break };
            if let Some(child) = self.take(index) {
                self.step(index, child);
            }
        }
    }

    fn step(&self, index: usize, mut child: Child<'env, E>) {
        let (future, identity) = (child.future.as_mut(), child.identity);
        let step = || {
            current(|worker| {
                let _told = instrument::child_step(worker, identity.address());
                identity.act(worker, &self.ready, |cx| {
                    let result = ready!(future.poll(cx));
                    // An error's `source` is somebody else's code as well.
                    Poll::Ready(result.map_err(|error| {
                        let cause = Cause::of(worker, self.scope, Some(identity.scope()), &error);
                        (cause, error)
                    }))
                })
            })
        };
        let end = match catch_unwind(AssertUnwindSafe(step)) {
            Ok(Poll::Pending) => {
                self.put_back(index, child);
                if is_explored_here() {
                    try_current(|worker| probe::step_ended(worker, identity.address()));
                }
                return;
            }
            Ok(Poll::Ready(Ok(()))) => None,
            Ok(Poll::Ready(Err((cause, error)))) => {
                Some(self.failed(&cause, error, child.settle.origin()))
            }
            Err(payload) => Some(self.panicked(payload, child.settle.origin())),
        };
        self.settle(index, child, end);
    }

    /// Notes a child's error, and cancels the others for it.
    fn failed(&self, cause: &Cause, error: E, at: &'static Location<'static>) -> Kind {
        let kind = match cause {
            Cause::Real => {
                self.cancel(CancelReason::SiblingFailed, at);
                Kind::Failed(self.cancelled())
            }
            Cause::Own(cancelled) | Cause::Above(cancelled) => Kind::Cancelled(cancelled.clone()),
        };
        let unwanted = self.errors.borrow_mut().add(cause, error);
        contain(|| drop(unwanted));
        kind
    }

    /// Asks where an error of the body comes from.
    pub(super) fn cause(&self, error: &E) -> Cause {
        current(|worker| Cause::of(worker, self.scope, None, error))
    }

    /// Notes the body's error, and cancels the children for it.
    pub(super) fn body_failed(&self, cause: &Cause, error: E) {
        if matches!(cause, Cause::Real) {
            self.cancel(CancelReason::SiblingFailed, self.at);
        }
        let unwanted = self.errors.borrow_mut().add_of_body(cause, error);
        contain(|| drop(unwanted));
    }

    /// Notes the body's panic, and cancels the children for it.
    pub(super) fn body_panicked(&self, payload: Payload) {
        self.panicked(payload, self.at);
    }
}
