//! How a body learns where its slot is.
//!
//! The slot lives inside the pinned coroutine beside the future that uses it, and that future is made before
//! anything is pinned. So the library's own wrapper around the body is polled once before the first step, with
//! a *boot* waker whose data word is the slot's address. [`Boot`] is the only future polled with it: it notes
//! the address and is pending; the body starts in the next poll, under the real waker. No future of the
//! user's ever sees a boot waker, so nothing has to be checked and nothing can be confused.

use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use crate::co::Co;
use crate::slot::Slot;

/// Resolves to the body's handle: pending in the boot poll, ready in the one after it.
pub(crate) struct Boot<'c, Y, S, E> {
    co: Option<Co<'c, Y, S, E>>,
}

impl<Y, S, E> Boot<'_, Y, S, E> {
    /// # Safety
    ///
    /// The first poll must be under the waker of [`poll_boot`], and the slot named there must stay where it is
    /// for as long as the future, and the [`Co`] that it resolves to, exist.
    pub(crate) const unsafe fn new() -> Self {
        Self { co: None }
    }
}

impl<Y, S, E> Unpin for Boot<'_, Y, S, E> {}

impl<'c, Y, S, E> Future for Boot<'c, Y, S, E> {
    type Output = Co<'c, Y, S, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(co) = self.co.take() {
            return Poll::Ready(co);
        }
        let slot = NonNull::new(cx.waker().data().cast_mut().cast::<Slot<Y, S, E>>());
        // SAFETY: `Co::new` asks for a slot that outlives the handle. `Boot::new` made its caller promise that
        // this poll is the boot poll, whose waker carries exactly that.
        self.co = slot.map(|slot| unsafe { Co::new(slot, PhantomData) });
        Poll::Pending
    }
}

/// Polls `future`, whose first await is a [`Boot`], so that it learns where `slot` is.
pub(crate) fn poll_boot<F: Future, Y, S, E>(future: Pin<&mut F>, slot: &Slot<Y, S, E>) {
    let data = core::ptr::from_ref(slot).cast::<()>();
    // SAFETY: the functions of `VTABLE` ignore the data word, so they keep the contract of `RawWakerVTable`
    // for any; and no copy of this waker is dereferenced by anybody but `Boot`.
    let waker = unsafe { Waker::new(data, &VTABLE) };
    let poll = future.poll(&mut Context::from_waker(&waker));
    debug_assert!(poll.is_pending(), "the boot poll stops at `Boot`");
}

static VTABLE: RawWakerVTable =
    RawWakerVTable::new(|data| RawWaker::new(data, &VTABLE), |_| {}, |_| {}, |_| {});
