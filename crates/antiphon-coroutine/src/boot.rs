//! How a body learns where its slot is.
//!
//! The slot lives inside the pinned coroutine beside the future that uses it, and that future is made before
//! anything is pinned. So the library's own wrapper around the body, [`Frame`], is polled once before the first step,
//! with a *boot* waker whose data word is the slot's address. It calls the body with that; the future that this makes is
//! polled from then on, under the real waker. No future of the user's ever sees a boot waker, so nothing can be
//! confused.
//!
//! An `async` block would say the same in four lines. But it asks at every resume which of its awaits it sleeps at,
//! through a jump table, before the body asks the same of itself. [`Frame`] asks for the waker, which its callers know: so
//! the compiler has answered it, and a resume does not ask at all.
//!
//! The waker of those who have none, [`SYNC`], lives here too.

use core::future::Future;
use core::hint::unreachable_unchecked;
use core::marker::{PhantomData, PhantomPinned};
use core::mem;
use core::pin::Pin;
use core::ptr;
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use crate::co::Co;
use crate::slot::Slot;

/// The body and its handle: a closure that makes the future, until the boot poll; then that future.
pub(crate) struct Frame<'o, M, F, Y, S, E> {
    stage: Stage<M, F>,
    handle: PhantomData<Takes<'o, Y, S, E>>,
    /// The future points to the slot, and to itself.
    _pinned: PhantomPinned,
}

/// What `M` is called with.
type Takes<'o, Y, S, E> = fn(&'o mut Co<'o, Y, S, E>);

enum Stage<M, F> {
    Running(F),
    Created(M),
    /// While `M` is called, and if it panics.
    Empty,
}

impl<'o, M, F, Y, S, E> Frame<'o, M, F, Y, S, E>
where
    M: FnOnce(&'o mut Co<'o, Y, S, E>) -> F,
    Y: 'o,
    S: 'o,
    E: 'o,
{
    /// `make` must be content with any `'o`, as bodies are, which are called for every brand.
    ///
    /// # Safety
    ///
    /// The first poll, and no other, must be under a waker of [`boot_waker`]; there must be no poll after one that panicked;
    /// and the slot named there must stay where it is for as long as the frame exists, with no other handle to it.
    pub(crate) const unsafe fn new(make: M) -> Self {
        Self {
            stage: Stage::Created(make),
            handle: PhantomData,
            _pinned: PhantomPinned,
        }
    }

    #[inline]
    fn boot(&mut self, waker: &Waker) {
        let Stage::Created(make) = mem::replace(&mut self.stage, Stage::Empty) else {
            unreachable!("the boot poll is the first")
        };
        let slot = waker.data().cast_mut().cast::<Slot<Y, S, E>>();
        // SAFETY: `Frame::new` made its caller promise that this waker carries the slot's address, that the slot stays there,
        // and that no other handle to it is made. `make` is content with a shorter lifetime than `'o`, so the borrow ends
        // with the future, which is dropped before the slot.
        let co = unsafe { Co::of(slot) };
        self.stage = Stage::Running(make(co));
    }
}

impl<'o, M, F, Y, S, E> Future for Frame<'o, M, F, Y, S, E>
where
    M: FnOnce(&'o mut Co<'o, Y, S, E>) -> F,
    F: Future,
    Y: 'o,
    S: 'o,
    E: 'o,
{
    type Output = F::Output;

    #[allow(
        clippy::inline_always,
        reason = "each caller knows whether the waker is a boot waker, and pays for its part only"
    )]
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the future is never moved out of its stage, and pinned there like the frame.
        let this = unsafe { self.get_unchecked_mut() };
        if is_boot(cx.waker()) {
            this.boot(cx.waker());
            return Poll::Pending;
        }
        let Stage::Running(future) = &mut this.stage else {
            // SAFETY: `Frame::new` made its caller promise that the boot poll was the first and did not panic. It left this.
            unsafe { unreachable_unchecked() }
        };
        // SAFETY: as above.
        unsafe { Pin::new_unchecked(future) }.poll(cx)
    }
}

/// Makes the waker of the boot poll, which says where `slot` is.
#[inline]
pub(crate) fn boot_waker<Y, S, E>(slot: *mut Slot<Y, S, E>) -> Waker {
    let data = slot.cast_const().cast::<()>();
    // SAFETY: the functions of `BOOT` ignore the data word, so they keep the contract of `RawWakerVTable`
    // for any; and no copy of this waker is dereferenced by anybody but `Frame`.
    unsafe { Waker::new(data, &BOOT) }
}

/// Whether this is a waker of [`boot_waker`], which only a [`Frame`] is shown.
#[inline]
pub(crate) fn is_boot(waker: &Waker) -> bool {
    ptr::eq(waker.vtable(), &raw const BOOT)
}

static BOOT: RawWakerVTable =
    RawWakerVTable::new(|data| RawWaker::new(data, &BOOT), |_| {}, |_| {}, |_| {});

/// The waker of `send` and the other synchronous forms: nobody is there to be woken. A static and not `Waker::noop`,
/// because a slot knows it by its address.
// SAFETY: the functions of `NOOP` ignore the data word, so they keep the contract of `RawWakerVTable` for any.
pub(crate) static SYNC: Waker = unsafe { Waker::new(ptr::null(), &NOOP) };

/// Whether this is [`SYNC`] itself, in a step of `send` or inside one.
#[inline]
pub(crate) fn is_sync(waker: &Waker) -> bool {
    ptr::eq(waker, &raw const SYNC)
}

static NOOP: RawWakerVTable =
    RawWakerVTable::new(|data| RawWaker::new(data, &NOOP), |_| {}, |_| {}, |_| {});
