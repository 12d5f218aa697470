//! The body's side: the handle `Co`, the future it yields with, and delegation.

use core::convert::Infallible;
use core::fmt;
use core::future::Future;
use core::marker::{PhantomData, PhantomPinned};
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::resume::{Message, Resume, StepFuture, must_accept_a_value};
use crate::slot::Slot;
use crate::{CoroutineState, Interrupt};

/// The handle through which a body yields: its only door to the outside.
///
/// A body receives `&mut Co`, and passes it on to the functions that it calls:
///
/// ```
/// use antiphon_coroutine::{coroutine, Co, CoroutineState::*, Interrupt};
/// use std::pin::pin;
///
/// // A sub-routine. Sends, throws and closes go straight to the innermost frame: delegation is a call.
/// async fn ask_twice(co: &mut Co<'_, &'static str, u32>) -> Result<u32, Interrupt> {
///     Ok(co.yield_("first?").await? + co.yield_("second?").await?)
/// }
///
/// let mut sum = pin!(coroutine(async |co, start: u32| -> Result<u32, Interrupt> {
///     Ok(start + ask_twice(co).await?)
/// }));
/// assert_eq!(sum.send(100), Yielded("first?"));
/// assert_eq!(sum.send(20), Yielded("second?"));
/// assert_eq!(sum.send(3), Complete(Ok(123)));
/// ```
///
/// `Y` is what it yields, `S` what it is sent, `E` what may be thrown into it. The lifetime `'c` is a *brand*: it
/// is different for every body, so a handle can't be swapped with another's, returned, or kept after its
/// coroutine, and `yield_` borrows it, so two yields can't be in flight at once. None of these compile:
///
/// ```compile_fail
/// use antiphon_coroutine::{coroutine, Co, Interrupt};
/// use std::{mem, pin::pin};
///
/// let outer = coroutine(async |outer: &mut Co<'_, u8, u8>, _| -> Result<(), Interrupt> {
///     let mut inner = pin!(coroutine(async |inner: &mut Co<'_, u8, u8>, _| -> Result<(), Interrupt> {
///         mem::swap(inner, outer); // the outer body would speak through a slot that may be gone
///         Ok(())
///     }));
///     inner.send(0);
///     Ok(())
/// });
/// ```
#[repr(transparent)]
pub struct Co<'c, Y, S = (), E = Infallible> {
    /// The handle *is* the slot of its coroutine: `&mut Co` is the slot's address, so that a yield follows no pointer to it.
    slot: Slot<Y, S, E>,
    brand: Brand<'c>,
    /// The driver refers to the slot too, while the body does not run; so a `&mut Co` must not claim to be the only one.
    _pinned: PhantomPinned,
}

/// Makes a type invariant in `'c`.
type Brand<'c> = PhantomData<fn(&'c ()) -> &'c ()>;

impl<'c, Y, S, E> Co<'c, Y, S, E> {
    /// Returns the handle of a body whose slot this is.
    ///
    /// # Safety
    ///
    /// `slot` must come from the cell around it and be valid for as long as the handle is, no other handle of it may exist,
    /// and all other access to it must happen while no poll of the body is under way.
    pub(crate) const unsafe fn of<'a>(slot: *mut Slot<Y, S, E>) -> &'a mut Self {
        // SAFETY: a handle is a slot and nothing more, and the caller promised a valid one. A handle is not `Unpin`, so the
        // reference does not claim to be the only way to it.
        unsafe { &mut *slot.cast::<Self>() }
    }

    /// Yields `value` to whoever resumed the coroutine, and waits for the answer.
    ///
    /// The future resolves to the next value sent, or to the [`Interrupt`] that was delivered instead. The line
    /// of this call is what [`Coroutine::location`](crate::Coroutine::location) reports meanwhile.
    ///
    /// # Cancellation
    /// **Did not happen**, if the future is dropped before anybody took the value: the value is retracted and
    /// dropped. Dropped later, it drops the answer that was on its way, as a question that is not waited for any
    /// more. A throw or a close on its way is not lost: the next `yield_` hears it at once, and its value is dropped.
    ///
    /// # Panics
    /// The future panics if it is polled after it resolved.
    ///
    /// # Examples
    /// ```
    /// use antiphon_coroutine::{coroutine, Interrupt};
    /// use std::pin::pin;
    ///
    /// let mut echo = pin!(coroutine(async |co, mut heard: u32| -> Result<(), Interrupt> {
    ///     loop {
    ///         heard = co.yield_(heard).await?;
    ///     }
    /// }));
    /// assert_eq!(echo.send(7).yielded(), Some(7));
    /// assert_eq!(echo.send(8).yielded(), Some(8));
    /// ```
    #[track_caller]
    #[inline]
    pub fn yield_(&mut self, value: Y) -> Yield<'_, 'c, Y, S, E> {
        self.yield_at(value, Location::caller())
    }

    /// Hands the conversation over to another coroutine until that one ends: Python's `yield from`.
    ///
    /// `inner` is resumed with `first`. What it yields goes to whoever resumed this coroutine; what is sent, thrown
    /// or closed goes to `inner`. The result is `inner`'s return value. An `inner` that answers a close with another
    /// value makes this coroutine ignore its close too, with that value, and both stay suspended.
    ///
    /// Meanwhile [`Coroutine::location`](crate::Coroutine::location) reports the line where `inner` sleeps.
    ///
    /// For a helper that is not yet an object, call an `async fn` with the handle instead: it costs nothing.
    ///
    /// # Cancellation
    /// If the future is dropped, `inner` stays where it is, suspended or in the middle of a step, and can be driven on by
    /// whoever holds it.
    ///
    /// # Panics
    /// If `inner` has finished, or is in the middle of a step: at the line of this call.
    ///
    /// # Examples
    /// ```
    /// use antiphon_coroutine::{generator, Interrupt};
    /// use std::pin::pin;
    ///
    /// let numbers = pin!(generator(async |co| -> Result<(), Interrupt> {
    ///     let mut inner = pin!(generator(async |co| -> Result<&str, Interrupt> {
    ///         co.yield_(1).await?;
    ///         co.yield_(2).await?;
    ///         Ok("inner is done")
    ///     }));
    ///     assert_eq!(co.delegate(inner.as_mut(), ()).await?, "inner is done");
    ///     co.yield_(3).await
    /// }));
    /// assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 3]);
    /// ```
    #[track_caller]
    pub fn delegate<C>(&mut self, inner: Pin<&mut C>, first: S) -> impl Future<Output = C::Return>
    where
        C: Resume<Yield = Y, Sent = S, Error = E> + ?Sized,
    {
        must_accept_a_value(&*inner, "delegate");
        self.delegate_at(inner, first, Location::caller())
    }

    async fn delegate_at<C>(
        &mut self,
        mut inner: Pin<&mut C>,
        first: S,
        here: &'static Location<'static>,
    ) -> C::Return
    where
        C: Resume<Yield = Y, Sent = S, Error = E> + ?Sized,
    {
        let mut message = Message::Send(first);
        loop {
            let value = match StepFuture::new(inner.as_mut(), message).await {
                CoroutineState::Yielded(value) => value,
                CoroutineState::Complete(result) => return result,
            };
            let asleep_at = inner.snapshot().location.unwrap_or(here);
            message = match self.yield_at(value, asleep_at).await {
                Ok(value) => Message::Send(value),
                Err(interrupt) => Message::Interrupt(interrupt),
            };
        }
    }

    // The value goes to the slot at once and is not carried by the future, which would move it twice more. Whether it
    // is *out* is decided by the first poll: a yield that is not awaited says nothing.
    #[inline]
    fn yield_at(&mut self, value: Y, at: &'static Location<'static>) -> Yield<'_, 'c, Y, S, E> {
        self.slot().hold(value, at);
        Yield {
            co: self,
            is_new: true,
            is_resolved: false,
        }
    }

    /// Takes the first value sent, which is the body's argument.
    #[inline]
    pub(crate) fn take_first(&mut self) -> Option<S> {
        self.slot().take_first()
    }

    #[inline]
    fn slot(&self) -> &Slot<Y, S, E> {
        &self.slot
    }
}

impl<Y, S, E> fmt::Debug for Co<'_, Y, S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Co").finish_non_exhaustive()
    }
}

/// A value on its way out of a body, and the wait for the answer; made by [`Co::yield_`].
#[must_use = "a value is yielded when this is awaited"]
pub struct Yield<'a, 'c, Y, S = (), E = Infallible> {
    co: &'a mut Co<'c, Y, S, E>,
    /// Whether it was never polled. The slot's tag says the same; but this the optimiser knows, where the yield was made just
    /// now, and so it keeps the first poll and the later ones apart.
    is_new: bool,
    /// Whether the answer was handed over, and nothing is left to retract. No answer comes after that, so a poll that
    /// finds one need not ask.
    is_resolved: bool,
}

impl<Y, S, E> Future for Yield<'_, '_, Y, S, E> {
    type Output = Result<S, Interrupt<E>>;

    // Each way out returns by itself, and each that resolves sets `is_resolved` last. So the optimiser follows them one by
    // one into the `match` of the `await`, and knows there that nothing is left to retract. Count the instructions (see
    // `bench/README.md`) after a change.
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let slot = this.co.slot();
        if this.is_new {
            this.is_new = false;
            if slot.put_out(cx.waker()) {
                return Poll::Pending;
            }
        } else if let Some(value) = slot.answer() {
            this.is_resolved = true;
            return Poll::Ready(Ok(value));
        }
        match slot.ask(cx.waker(), this.is_resolved) {
            Some(interrupt) => {
                this.is_resolved = true;
                Poll::Ready(Err(interrupt))
            }
            None => Poll::Pending,
        }
    }
}

impl<Y, S, E> Drop for Yield<'_, '_, Y, S, E> {
    #[inline]
    fn drop(&mut self) {
        if !self.is_resolved {
            self.co.slot().retract();
        }
    }
}

impl<Y, S, E> fmt::Debug for Yield<'_, '_, Y, S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yield")
            .field("at", &self.co.slot().location())
            .finish_non_exhaustive()
    }
}
