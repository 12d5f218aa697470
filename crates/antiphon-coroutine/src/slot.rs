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
use crate::boot::SYNC;

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
///
/// `Asked` and `AskedNoted` are also how a coroutine knows that it is suspended: every step leaves them first, and only
/// (3) comes back to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Empty,
    Held,
    Out,
    /// `Out`, and `sleeper` is there.
    OutNoted,
    Asked,
    /// `Asked`, and `sleeper` is there: to be woken before the answer.
    AskedNoted,
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
    value: UnsafeCell<Value<Y, S>>,
    /// A throw or a close that no yield has heard yet.
    interrupt: Cell<Option<Interrupt<E>>>,
    /// The line of the yield that spoke last. Meaningful while the coroutine is suspended.
    location: Cell<Option<&'static Location<'static>>>,
    /// The address of the waker that the step under way is polled with; only ever compared. That of [`SYNC`] between the
    /// steps, so that `send` has nothing to note. 0 while an interrupt waits, so that the one comparison in `put_out`
    /// finds both rarities.
    driver: Cell<usize>,
    /// What `driver` will be when the interrupt was heard. Set by the steps that one may wait in.
    driver_interrupted: Cell<usize>,
    /// The waker of the sleeping yield, if something between it and the driver (`join_all`, a sub-executor)
    /// polls it with a waker of its own. It must be woken before the next step, or it won't be polled. That of a
    /// yield that was forgotten may stay longer.
    sleeper: Cell<Option<Waker>>,
}

impl<Y, S, E> Slot<Y, S, E> {
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            tag: Cell::new(Tag::Empty),
            value: UnsafeCell::new(Value { none: () }),
            interrupt: Cell::new(None),
            location: Cell::new(None),
            driver: Cell::new(address(&SYNC)),
            driver_interrupted: Cell::new(address(&SYNC)),
            sleeper: Cell::new(None),
        }
    }

    pub(crate) fn location(&self) -> Option<&'static Location<'static>> {
        self.location.get()
    }

    // What the driver does.

    /// Whether the coroutine is suspended, and nobody has to be woken before it goes on: the usual case.
    #[inline]
    pub(crate) fn is_asked(&self) -> bool {
        self.tag.get() == Tag::Asked
    }

    /// Whether the coroutine is suspended.
    #[inline]
    pub(crate) fn is_suspended(&self) -> bool {
        matches!(self.tag.get(), Tag::Asked | Tag::AskedNoted)
    }

    /// Puts the driver's value in, for a coroutine that has not started or is suspended with nobody left to wake.
    #[inline]
    pub(crate) fn open(&self, value: S) {
        // No interrupt waits: one that does is heard before the coroutine can be suspended again.
        debug_assert!(matches!(self.tag.get(), Tag::Empty | Tag::Asked));
        // SAFETY: the tag tells that there is nothing in it; nobody else refers to it.
        unsafe { self.value.get().cast::<S>().write(value) };
        self.tag.set(Tag::In);
    }

    /// Puts an interrupt in, in place of an answer that is on its way.
    pub(crate) fn open_interrupt(&self, interrupt: Interrupt<E>) {
        self.wake_sleeper();
        self.interrupt.set(Some(interrupt));
        self.clear_value();
    }

    /// Wakes the yield that waits for a step, if it has a waker of its own.
    ///
    /// This comes before anything is put in, so that a wake that panics leaves nothing in the slot: the value goes with
    /// the unwinding, and the step did not happen.
    pub(crate) fn wake_sleeper(&self) {
        if self.tag.get() == Tag::AskedNoted {
            self.tag.set(Tag::Asked);
        }
        if let Some(sleeper) = self.sleeper.take() {
            sleeper.wake();
        }
    }

    /// Notes which waker the body is polled with from now on.
    pub(crate) fn set_driver(&self, waker: &Waker) {
        let interrupt = self.interrupt.take();
        let driver = address(waker);
        self.driver
            .set(if interrupt.is_some() { 0 } else { driver });
        self.driver_interrupted.set(driver);
        self.interrupt.set(interrupt);
    }

    /// Ends a step: takes what the body yielded, if it did, and if no waker was noted.
    #[inline]
    pub(crate) fn take_out(&self) -> Option<Y> {
        if self.tag.get() != Tag::Out {
            return None;
        }
        self.tag.set(Tag::Asked);
        // SAFETY: the tag told that it is there, and has stopped telling.
        Some(unsafe { self.value.get().cast::<Y>().read() })
    }

    /// Ends a step in which a waker was noted: takes what the body yielded, if it did.
    pub(crate) fn take_out_noted(&self) -> Option<Y> {
        if self.tag.get() != Tag::OutNoted {
            return None;
        }
        self.tag.set(Tag::AskedNoted);
        // SAFETY: as in `take_out`.
        Some(unsafe { self.value.get().cast::<Y>().read() })
    }

    /// Empties the slot once the body has ended.
    pub(crate) fn clear(&self) {
        self.clear_value();
        self.interrupt.take();
        self.sleeper.take();
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
    pub(crate) fn put_out(&self, waker: &Waker) -> bool {
        let is_usual = self.tag.get() == Tag::Held && self.driver.get() == address(waker);
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

    /// What is not usual at a poll of a yield: hears the interrupt, if one waits; or goes to sleep with the value out, and
    /// remembers the waker if it is not the driver's.
    #[cold]
    #[inline(never)]
    pub(crate) fn ask(&self, waker: &Waker, is_resolved: bool) -> Option<Interrupt<E>> {
        if is_resolved {
            polled_after_it_resolved(self.location());
        }
        if let Some(interrupt) = self.interrupt.take() {
            self.driver.set(self.driver_interrupted.get());
            self.clear_value();
            return Some(interrupt);
        }
        // Not the first poll if it is not `Held`: a combinator, or a hand, polls again before the driver was back.
        if self.tag.get() == Tag::Held {
            self.tag.set(Tag::Out);
        }
        if self.driver.get() != address(waker) {
            self.sleeper.set(Some(waker.clone()));
            if self.tag.get() == Tag::Out {
                self.tag.set(Tag::OutNoted);
            }
        }
        None
    }

    /// Takes back what a dropped yield has put out, or was about to hear.
    #[cold]
    #[inline(never)]
    pub(crate) fn retract(&self) {
        // Dropped last, because that may panic: the value is taken back by then.
        let _sleeper = self.sleeper.take();
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
            Tag::Held | Tag::Out | Tag::OutNoted => {
                // SAFETY: as in `take_out`.
                drop(unsafe { self.value.get().cast::<Y>().read() });
            }
            Tag::In => {
                // SAFETY: as in `answer`.
                drop(unsafe { self.value.get().cast::<S>().read() });
            }
            Tag::Empty | Tag::Asked | Tag::AskedNoted => {}
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

#[cold]
#[inline(never)]
fn polled_after_it_resolved(at: Option<&'static Location<'static>>) -> ! {
    match at {
        Some(at) => panic!("a `yield_` at {at} was polled after it resolved"),
        None => panic!("a `yield_` was polled after it resolved"),
    }
}
