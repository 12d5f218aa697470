//! The slot: the one place through which a body and whoever drives it hand each other values.
//!
//! ```text
//!              send(s) / throw(e) / close()
//!   driver ──────────────── In ───────────────▶ Yield::poll   (the body, innermost frame)
//!   driver ◀─────────────── Out ─────────────── Yield::poll
//! ```
//!
//! A slot is made of `Cell`s and is only ever moved through, never borrowed into: no reference to a
//! value inside it exists, so a destructor or a `Clone` of the user's that runs while a value is
//! handed over can't find the slot half way between two states.

use core::cell::Cell;
use core::panic::Location;
use core::ptr;
use core::task::Waker;

use crate::Interrupt;

/// What lies in the slot.
///
/// ```text
///                 ┌────────── (1) ask ──────────▶ Out(Y)
///                 │                                 │ (2) the driver takes it
///               Empty ◀────────────────────────────┘
///                 │ (3) the driver puts an answer
///                 ▼
///            In(S) | Interrupt(..)  ── (4) the yield takes it ──▶ Empty
/// ```
/// A yield that is dropped before (2) or before (4) takes its `Out` or `In` with it; an `Interrupt`
/// stays and is heard by the next yield, because it was meant for the coroutine and not for the question.
#[derive(Default)]
pub(crate) enum Transfer<Y, S, E> {
    #[default]
    Empty,
    Out(Y),
    In(S),
    Interrupt(Interrupt<E>),
}

pub(crate) struct Slot<Y, S, E> {
    transfer: Cell<Transfer<Y, S, E>>,
    /// The line of the yield that spoke last. Meaningful while the coroutine is suspended.
    location: Cell<Option<&'static Location<'static>>>,
    /// The address of the waker that the step under way was polled with; only ever compared.
    driver: Cell<usize>,
    /// The waker of the sleeping yield, if something between it and the driver (`join_all`, a sub-executor)
    /// polls it with a waker of its own. It must be woken before the next step, or it won't be polled.
    waker: Cell<Option<Waker>>,
}

impl<Y, S, E> Slot<Y, S, E> {
    pub(crate) const fn new() -> Self {
        Self {
            transfer: Cell::new(Transfer::Empty),
            location: Cell::new(None),
            driver: Cell::new(0),
            waker: Cell::new(None),
        }
    }

    pub(crate) fn location(&self) -> Option<&'static Location<'static>> {
        self.location.get()
    }

    // What the driver does.

    /// Opens a step: wakes the yield that waits for it, if it has a waker of its own, and puts the driver's message in.
    ///
    /// In this order, so that a wake that panics leaves nothing in the slot: the message goes with the unwinding, and
    /// the step did not happen.
    #[inline]
    pub(crate) fn open(&self, message: Transfer<Y, S, E>, waker: &Waker) {
        self.open_without_message(waker);
        self.transfer.set(message);
    }

    /// Opens a step that only goes on with what the body was doing.
    #[inline]
    pub(crate) fn open_without_message(&self, waker: &Waker) {
        self.driver.set(ptr::from_ref(waker).addr());
        if let Some(sleeper) = self.waker.take() {
            sleeper.wake();
        }
    }

    /// Ends a step: takes what the body yielded, if it did.
    #[inline]
    pub(crate) fn take_out(&self) -> Option<Y> {
        match self.transfer.take() {
            Transfer::Out(value) => Some(value),
            other => {
                // Not a word of the body's: an answer or an interrupt that nobody has heard yet.
                self.transfer.set(other);
                None
            }
        }
    }

    /// Empties the slot once the body has ended.
    pub(crate) fn clear(&self) {
        self.transfer.take();
        self.waker.take();
    }

    // What the body does.

    /// Takes the first value sent, which starts the body.
    #[inline]
    pub(crate) fn take_first(&self) -> Option<S> {
        match self.transfer.take() {
            Transfer::In(value) => Some(value),
            _ => None,
        }
    }

    /// Puts a value out for the driver, unless an interrupt already waits to be heard.
    #[inline]
    pub(crate) fn ask(
        &self,
        value: Y,
        location: &'static Location<'static>,
        waker: &Waker,
    ) -> Result<(), Interrupt<E>> {
        // An `Out` or `In` found here belonged to a yield that was forgotten, and goes the way it would have
        // gone had that yield been dropped.
        if let Transfer::Interrupt(interrupt) = self.transfer.replace(Transfer::Out(value)) {
            self.transfer.take();
            return Err(interrupt);
        }
        self.location.set(Some(location));
        self.remember(waker);
        Ok(())
    }

    /// Takes the driver's answer, or goes on sleeping.
    #[inline]
    pub(crate) fn answer(&self, waker: &Waker) -> Option<Result<S, Interrupt<E>>> {
        match self.transfer.take() {
            Transfer::In(value) => Some(Ok(value)),
            Transfer::Interrupt(interrupt) => Some(Err(interrupt)),
            other => {
                // Polled again before the driver was back: by a combinator, or by hand.
                self.transfer.set(other);
                self.remember(waker);
                None
            }
        }
    }

    /// Takes back what a dropped yield has put out, or was about to hear.
    #[inline]
    pub(crate) fn retract(&self) {
        // Dropped last, because that may panic: the value is taken back by then.
        let _sleeper = self.waker.take();
        match self.transfer.take() {
            interrupt @ Transfer::Interrupt(_) => self.transfer.set(interrupt),
            Transfer::Empty | Transfer::Out(_) | Transfer::In(_) => {}
        }
    }

    #[inline]
    fn remember(&self, waker: &Waker) {
        if ptr::from_ref(waker).addr() != self.driver.get() {
            self.remember_other(waker);
        }
    }

    #[cold]
    fn remember_other(&self, waker: &Waker) {
        self.waker.set(Some(waker.clone()));
    }
}
