//! How a body learns where its slot is.
//!
//! The slot lives inside the pinned coroutine beside the future that uses it, and that future is made before
//! anything is pinned. So the library's own wrapper around the body, [`Frame`], is polled once before the first step,
//! with a *boot* waker whose data word is the slot's address. It notes the address and calls the body; the future that
//! this makes is polled from then on, under the real waker. No future of the user's ever sees a boot waker, so nothing
//! has to be checked and nothing can be confused.
//!
//! An `async` block would say the same in four lines. But it asks at every resume which of its awaits it sleeps at,
//! through a jump table, before the body asks the same of itself; [`Frame`] compares one word.

use core::cell::UnsafeCell;
use core::future::Future;
use core::marker::{PhantomData, PhantomPinned};
use core::mem;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use crate::co::Co;
use crate::slot::Slot;

/// The body and its handle: a closure that makes the future, until the boot poll; then that future.
pub(crate) struct Frame<'o, M, F, Y, S, E> {
    /// Dropped before `co`, which the future in it borrows.
    stage: Stage<M, F>,
    /// Written by the boot poll. From then on it belongs to the future, which has the one `&mut` to it.
    co: UnsafeCell<Option<Co<'o, Y, S, E>>>,
    /// The future points to `co`, and to itself.
    _pinned: PhantomPinned,
}

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
    /// The first poll must be under a waker of [`boot_waker`], and the slot named there must stay where it is
    /// for as long as the frame exists.
    pub(crate) const unsafe fn new(make: M) -> Self {
        Self {
            stage: Stage::Created(make),
            co: UnsafeCell::new(None),
            _pinned: PhantomPinned,
        }
    }

    #[cold]
    #[inline(never)]
    fn boot(&mut self, waker: &Waker) {
        let slot = NonNull::new(waker.data().cast_mut().cast::<Slot<Y, S, E>>());
        let (Some(slot), Stage::Created(make)) =
            (slot, mem::replace(&mut self.stage, Stage::Empty))
        else {
            unreachable!("the boot poll is the first, and names a slot")
        };
        // SAFETY: the frame is pinned and nobody has borrowed the handle yet. `make` is content with a shorter
        // lifetime than `'o`, so the borrow ends with the future, which is dropped before the handle.
        let co = unsafe { &mut *self.co.get() };
        // SAFETY: `Co::new` asks for a slot that outlives the handle. `Frame::new` made its caller promise that this
        // waker carries exactly that.
        let co = co.insert(unsafe { Co::new(slot, PhantomData) });
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

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the future is never moved out of its stage, and pinned there like the frame. The handle is borrowed
        // by it, and not touched here once it is.
        let this = unsafe { self.get_unchecked_mut() };
        if let Stage::Running(future) = &mut this.stage {
            // SAFETY: as above.
            return unsafe { Pin::new_unchecked(future) }.poll(cx);
        }
        this.boot(cx.waker());
        Poll::Pending
    }
}

/// Makes the waker of the boot poll, which says where `slot` is.
pub(crate) fn boot_waker<Y, S, E>(slot: &Slot<Y, S, E>) -> Waker {
    let data = core::ptr::from_ref(slot).cast::<()>();
    // SAFETY: the functions of `VTABLE` ignore the data word, so they keep the contract of `RawWakerVTable`
    // for any; and no copy of this waker is dereferenced by anybody but `Frame`.
    unsafe { Waker::new(data, &VTABLE) }
}

static VTABLE: RawWakerVTable =
    RawWakerVTable::new(|data| RawWaker::new(data, &VTABLE), |_| {}, |_| {}, |_| {});
