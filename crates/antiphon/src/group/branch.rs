//! Branches of one task: what a race and a join are made of.
//!
//! They are polled with the task's own waker, all of them whenever it is woken, so none is ever left half-way; in a scope of
//! their own, so that they can be told to stop.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::children::Payload;
use super::errors::{Cause, Errors, GroupError};
use crate::explore::probe;
use crate::scope::{CancelReason, CancelScope, ScopeRef, is_explored_here};
use crate::worker::{contain, current};

/// What the branches of one call share.
pub(super) struct Branches {
    owner: CancelScope,
    scope: ScopeRef,
    at: &'static Location<'static>,
    /// The branch that ended first.
    first: Cell<Option<usize>>,
    /// Set when those that have not begun are not to begin.
    is_decided: Cell<bool>,
    /// The first panic.
    panic: Cell<Option<Payload>>,
}

/// A branch: its future, until that has ended, and then what was made of its output.
pub(super) struct Branch<'a, F, R> {
    index: usize,
    future: Pin<&'a mut Option<F>>,
    has_begun: bool,
    /// Kept beside the future: nobody looks into one that may have references to itself.
    has_ended: bool,
    output: Option<R>,
}

impl Branches {
    pub(super) fn new(
        owner: &CancelScope,
        scope: ScopeRef,
        at: &'static Location<'static>,
    ) -> Self {
        Self {
            owner: owner.clone(),
            scope,
            at,
            first: Cell::new(None),
            is_decided: Cell::new(false),
            panic: Cell::new(None),
        }
    }

    pub(super) fn first(&self) -> Option<usize> {
        self.first.get()
    }

    /// Tells the other branches to stop, and not to begin.
    pub(super) fn decide(&self, reason: CancelReason) {
        if !self.is_decided.replace(true) {
            self.owner.cancel_for(reason, self.at);
        }
    }

    /// Has a branch that ended with `output` win, if it is the first, and the others stop.
    pub(super) fn win<T>(&self, output: T) -> T {
        self.decide(CancelReason::RaceLost);
        output
    }

    /// Asks where a branch's error comes from.
    pub(super) fn cause<E: Error + 'static>(&self, error: &E) -> Cause {
        current(|worker| Cause::of(worker, self.scope, None, error))
    }

    /// Goes on with the first panic, if there was one.
    pub(super) fn resume(&self) {
        if let Some(payload) = self.panic.take() {
            resume_unwind(payload);
        }
    }

    fn panicked(&self, payload: Payload) {
        match self.panic.take() {
            None => self.panic.set(Some(payload)),
            Some(first) => {
                self.panic.set(Some(first));
                // Dropping what was thrown would run somebody else's code again.
                std::mem::forget(payload);
            }
        }
        self.decide(CancelReason::SiblingFailed);
    }
}

impl<'a, F: Future, R> Branch<'a, F, R> {
    pub(super) const fn new(index: usize, future: Pin<&'a mut Option<F>>) -> Self {
        Self {
            index,
            future,
            has_begun: false,
            has_ended: false,
            output: None,
        }
    }

    /// Polls the branch, if it has not ended. When it ends, its output is what `look` makes of it. Returns `true` if it has
    /// ended, or is not to begin any more.
    pub(super) fn poll(
        &mut self,
        branches: &Branches,
        cx: &mut Context<'_>,
        look: impl FnOnce(F::Output) -> R,
    ) -> bool {
        if self.has_ended || (branches.is_decided.get() && !self.has_begun) {
            return true;
        }
        self.has_begun = true;
        let future = self.future.as_mut();
        let step = || future.as_pin_mut().map(|future| future.poll(cx));
        let output = match catch_unwind(AssertUnwindSafe(step)) {
            Ok(Some(Poll::Pending)) => {
                if is_explored_here() {
                    current(|worker| probe::step_ended(worker, worker.running_address()));
                }
                return false;
            }
            Ok(Some(Poll::Ready(output))) => Some(output),
            Ok(None) => None,
            Err(payload) => {
                branches.panicked(payload);
                None
            }
        };
        self.has_ended = true;
        let end = || {
            self.future.set(None);
            if branches.first.get().is_none() {
                branches.first.set(Some(self.index));
            }
            self.output = output.map(look);
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(end)) {
            branches.panicked(payload);
        }
        true
    }

    pub(super) fn take(&mut self) -> Option<R> {
        self.output.take()
    }
}

/// The errors of branches that can fail.
pub(super) struct Failures<'a, E> {
    branches: &'a Branches,
    errors: RefCell<Errors<E>>,
}

impl<'a, E: Error + 'static> Failures<'a, E> {
    pub(super) fn new(branches: &'a Branches) -> Self {
        Self {
            branches,
            errors: RefCell::default(),
        }
    }

    /// Takes the output of a branch in. Returns its value; if it has none, the others are to stop.
    pub(super) fn sort<T>(&self, output: Result<T, E>) -> Option<T> {
        match output {
            Ok(value) => Some(value),
            Err(error) => {
                let cause = self.branches.cause(&error);
                self.branches.decide(CancelReason::SiblingFailed);
                let unwanted = self.errors.borrow_mut().add(&cause, error);
                contain(|| drop(unwanted));
                None
            }
        }
    }

    pub(super) fn into_error(self) -> Option<GroupError<E>> {
        self.errors.into_inner().into_error()
    }
}
