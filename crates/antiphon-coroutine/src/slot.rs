//! The slot: the one place through which a body and whoever drives it hand each other values.
//!
//! ```text
//!              send(s) / throw(e) / close()
//!   driver ──────────────── In ───────────────▶ Yield::poll   (the body, innermost frame)
//!   driver ◀─────────────── Out ─────────────── Yield::poll
//! ```
//!
//! Values are only ever moved through a slot, never borrowed in it: no reference to a value inside it exists, so a
//! destructor or a `Clone` of the user's that runs while a value is handed over can't find the slot half way between
//! two states.
//!
//! # Invariants
//! **The tag tells.** `value` holds what `tag` says, and nothing else does. A value is moved in before the tag says so,
//! and out after it stopped saying so, and no code of the user's runs between the two. (A `Cell` of an enum would say
//! the same in safe code; it moves the whole value whenever it only looks at what it is, which costs a third of a resume.)

use core::cell::{Cell, UnsafeCell};
use core::mem::{ManuallyDrop, needs_drop};
use core::panic::Location;
use core::ptr;
use core::task::Waker;

use crate::Interrupt;

/// What lies in the slot.
///
/// ```text
///             (1) yield_            (2) its first poll
///     Empty ─────────────▶ Held(Y) ────────────────────▶ Out(Y)
///       ▲                                                  │
///       │ (5) the yield takes it                           │ (3) the driver takes it
///       │                                                  ▼
///       └───────────────── In(S) ◀────────────────────── Asked
///                                 (4) the driver answers
/// ```
/// A yield that is dropped after (1) and before (5) leaves `Empty`, and takes the value with it. The first value sent
/// goes from `Empty` to `In`. An interrupt has a place of its own: it clears the value, and waits until a yield hears it,
/// because it was meant for the coroutine and not for the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Empty,
    Held,
    Out,
    Asked,
    In,
}

/// Room for either. In `repr(C)` both begin where it begins.
#[repr(C)]
union Value<Y, S> {
    _out: ManuallyDrop<Y>,
    _sent: ManuallyDrop<S>,
    none: (),
}

pub(crate) struct Slot<Y, S, E> {
    tag: Cell<Tag>,
    /// Whether `sleeper` is there: asked at each step, so it has a byte of its own.
    has_sleeper: Cell<bool>,
    value: UnsafeCell<Value<Y, S>>,
    /// A throw or a close that no yield has heard yet.
    interrupt: Cell<Option<Interrupt<E>>>,
    /// The line of the yield that spoke last. Meaningful while the coroutine is suspended.
    location: Cell<Option<&'static Location<'static>>>,
    /// The address of the waker that the step under way was polled with; only ever compared. 0 while an interrupt
    /// waits, so that the one comparison in `ask` finds both rarities.
    driver: Cell<usize>,
    /// What `driver` will be when the interrupt was heard. Set by the steps that one may wait in.
    driver_interrupted: Cell<usize>,
    /// The waker of the sleeping yield, if something between it and the driver (`join_all`, a sub-executor)
    /// polls it with a waker of its own. It must be woken before the next step, or it won't be polled.
    sleeper: Cell<Option<Waker>>,
}

impl<Y, S, E> Slot<Y, S, E> {
    pub(crate) const fn new() -> Self {
        Self {
            tag: Cell::new(Tag::Empty),
            has_sleeper: Cell::new(false),
            value: UnsafeCell::new(Value { none: () }),
            interrupt: Cell::new(None),
            location: Cell::new(None),
            driver: Cell::new(0),
            driver_interrupted: Cell::new(0),
            sleeper: Cell::new(None),
        }
    }

    pub(crate) fn location(&self) -> Option<&'static Location<'static>> {
        self.location.get()
    }

    // What the driver does.

    /// Opens a step of a coroutine that has not started or is suspended: wakes the yield that waits for it, if it has a
    /// waker of its own, and puts the driver's value in.
    ///
    /// In this order, so that a wake that panics leaves nothing in the slot: the value goes with the unwinding, and
    /// the step did not happen.
    #[inline]
    pub(crate) fn open(&self, value: S, waker: &Waker) {
        self.wake_sleeper();
        // No interrupt waits: one that does is heard before the coroutine can be suspended again.
        self.driver.set(address(waker));
        debug_assert!(matches!(self.tag.get(), Tag::Empty | Tag::Asked));
        // SAFETY: the tag tells that there is nothing in it; nobody else refers to it.
        unsafe { self.value.get().cast::<S>().write(value) };
        self.tag.set(Tag::In);
    }

    /// Opens a step with an interrupt, in place of an answer that is on its way.
    pub(crate) fn open_interrupt(&self, interrupt: Interrupt<E>, waker: &Waker) {
        self.wake_sleeper();
        self.interrupt.set(Some(interrupt));
        self.set_driver(waker);
        self.clear_value();
    }

    /// Opens a step that only goes on with what the body was doing.
    pub(crate) fn open_without_message(&self, waker: &Waker) {
        self.wake_sleeper();
        self.set_driver(waker);
    }

    /// Ends a step: takes what the body yielded, if it did.
    #[inline]
    pub(crate) fn take_out(&self) -> Option<Y> {
        if self.tag.get() != Tag::Out {
            return None;
        }
        self.tag.set(Tag::Asked);
        // SAFETY: the tag told that it is there, and has stopped telling.
        Some(unsafe { self.value.get().cast::<Y>().read() })
    }

    /// Empties the slot once the body has ended.
    pub(crate) fn clear(&self) {
        self.clear_value();
        self.interrupt.take();
        self.has_sleeper.set(false);
        self.sleeper.take();
    }

    #[inline]
    fn wake_sleeper(&self) {
        if self.has_sleeper.get() {
            self.wake();
        }
    }

    #[cold]
    #[inline(never)]
    fn wake(&self) {
        self.has_sleeper.set(false);
        if let Some(sleeper) = self.sleeper.take() {
            sleeper.wake();
        }
    }

    fn set_driver(&self, waker: &Waker) {
        let interrupt = self.interrupt.take();
        let driver = address(waker);
        self.driver
            .set(if interrupt.is_some() { 0 } else { driver });
        self.driver_interrupted.set(driver);
        self.interrupt.set(interrupt);
    }

    // What the body does.

    /// Takes the first value sent, which starts the body.
    #[inline]
    pub(crate) fn take_first(&self) -> Option<S> {
        self.answer()
    }

    /// Holds a value for the driver.
    #[inline]
    pub(crate) fn hold(&self, value: Y, location: &'static Location<'static>) {
        self.location.set(Some(location));
        if (needs_drop::<Y>() || needs_drop::<S>()) && self.tag.get() != Tag::Empty {
            // It belonged to a yield that was forgotten, and goes the way it would have gone had that been dropped.
            self.clear_value();
        }
        // SAFETY: what may be in it needs no drop; nobody else refers to it.
        unsafe { self.value.get().cast::<Y>().write(value) };
        self.tag.set(Tag::Held);
    }

    /// Puts the held value out, if the yield is polled by the driver itself and no interrupt waits: the usual case.
    #[inline]
    pub(crate) fn ask(&self, waker: &Waker) -> bool {
        // Only an interrupt clears a value that is held, and it waits for this yield. `Out` is what others rely on, so the
        // tag is asked all the same; where the yield was made just now, the compiler knows the answer.
        let is_usual = self.driver.get() == address(waker) && self.tag.get() == Tag::Held;
        if is_usual {
            self.tag.set(Tag::Out);
        }
        is_usual
    }

    /// Takes the driver's answer, if it is there.
    #[inline]
    pub(crate) fn answer(&self) -> Option<S> {
        if self.tag.get() != Tag::In {
            return None;
        }
        self.tag.set(Tag::Empty);
        // SAFETY: the tag told that it is there, and has stopped telling.
        Some(unsafe { self.value.get().cast::<S>().read() })
    }

    /// Takes the interrupt, if one waits, and drops the value that was held.
    #[inline]
    pub(crate) fn interrupted(&self) -> Option<Interrupt<E>> {
        let interrupt = self.interrupt.take()?;
        self.driver.set(self.driver_interrupted.get());
        self.clear_value();
        Some(interrupt)
    }

    /// Goes to sleep with the value out, and remembers the waker if it is not the driver's.
    #[cold]
    #[inline(never)]
    pub(crate) fn sleep(&self, waker: &Waker) {
        // Not the first poll if it is not `Held`: a combinator, or a hand, polls again before the driver was back.
        if self.tag.get() == Tag::Held {
            self.tag.set(Tag::Out);
        }
        if self.driver.get() != address(waker) {
            self.sleeper.set(Some(waker.clone()));
            self.has_sleeper.set(true);
        }
    }

    /// Takes back what a dropped yield has put out, or was about to hear.
    #[cold]
    #[inline(never)]
    pub(crate) fn retract(&self) {
        // Dropped last, because that may panic: the value is taken back by then.
        let _sleeper = self.sleeper.take();
        self.has_sleeper.set(false);
        self.clear_value();
    }

    /// Drops the value, whatever it is.
    #[inline]
    pub(crate) fn clear_value(&self) {
        if needs_drop::<Y>() || needs_drop::<S>() {
            self.drop_value();
        } else {
            self.tag.set(Tag::Empty);
        }
    }

    #[cold]
    #[inline(never)]
    fn drop_value(&self) {
        match self.tag.replace(Tag::Empty) {
            Tag::Held | Tag::Out => {
                // SAFETY: as in `take_out`.
                drop(unsafe { self.value.get().cast::<Y>().read() });
            }
            Tag::In => {
                // SAFETY: as in `answer`.
                drop(unsafe { self.value.get().cast::<S>().read() });
            }
            Tag::Empty | Tag::Asked => {}
        }
    }
}

impl<Y, S, E> Drop for Slot<Y, S, E> {
    fn drop(&mut self) {
        self.clear_value();
    }
}

fn address(waker: &Waker) -> usize {
    ptr::from_ref(waker).addr()
}
