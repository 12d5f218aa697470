//! The owned, erased forms: a coroutine whose type can be written down, stored and moved.

use alloc::boxed::Box;
use core::convert::Infallible;
use core::fmt;
use core::future::Future;
use core::iter::FusedIterator;
use core::panic::Location;
use core::pin::Pin;

use crate::coroutine::Coroutine;
use crate::resume::{self, Resume, Snapshot};
#[cfg(feature = "stream")]
use crate::stream::GeneratorStream;
use crate::{CoroutineState, IgnoredClose, State};

/// A coroutine on the heap, of any body: what lists, maps and struct fields hold.
///
/// `Y`, `S`, `R`, `E`: what it yields, is sent, returns, and may have thrown into it. What the body borrows must
/// outlive `'a`. Its methods are those of [`Coroutine`], which documents them. Made by [`Coroutine::boxed`].
///
/// # Examples
/// ```
/// use antiphon_coroutine::{coroutine, BoxCoroutine, CoroutineState::Yielded, Interrupt};
///
/// // Two different bodies, one type.
/// let up = coroutine(async |co, mut n: i32| -> Result<(), Interrupt> { loop { n += co.yield_(n).await?; } });
/// let down = coroutine(async |co, mut n: i32| -> Result<(), Interrupt> { loop { n -= co.yield_(n).await?; } });
/// let mut both: Vec<BoxCoroutine<'_, i32, i32, Result<(), Interrupt>>> = vec![up.boxed(), down.boxed()];
/// for coroutine in &mut both {
///     assert_eq!(coroutine.send(10), Yielded(10));
/// }
/// assert_eq!(both[0].send(1), Yielded(11));
/// assert_eq!(both[1].send(1), Yielded(9));
/// ```
pub type BoxCoroutine<'a, Y, S = (), R = (), E = Infallible> =
    Boxed<dyn Resume<Yield = Y, Sent = S, Return = R, Error = E> + 'a>;

/// A [`BoxCoroutine`] that can be moved to another thread between two steps. Made by [`Coroutine::boxed_send`].
///
/// # Examples
/// ```
/// use antiphon_coroutine::{coroutine, CoroutineState::Yielded, Interrupt, SendBoxCoroutine};
///
/// let sum = coroutine(async |co, mut n: u32| -> Result<(), Interrupt> { loop { n += co.yield_(n).await?; } });
/// let mut sum: SendBoxCoroutine<'_, u32, u32, Result<(), Interrupt>> = sum.boxed_send();
/// assert_eq!(sum.send(1), Yielded(1));
/// std::thread::spawn(move || assert_eq!(sum.send(2), Yielded(3))).join().unwrap();
/// ```
pub type SendBoxCoroutine<'a, Y, S = (), R = (), E = Infallible> =
    Boxed<dyn Resume<Yield = Y, Sent = S, Return = R, Error = E> + Send + 'a>;

/// What [`BoxCoroutine`] and [`SendBoxCoroutine`] are: a pinned box around something that can be resumed.
#[must_use = "a coroutine does nothing until it is resumed"]
pub struct Boxed<C: Resume + ?Sized>(Pin<Box<C>>);

impl<'a, F, Y, S, E> Coroutine<F, Y, S, E>
where
    F: Future + 'a,
    Y: 'a,
    S: 'a,
    E: 'a,
{
    /// Moves the coroutine to the heap and forgets its type.
    pub fn boxed(self) -> BoxCoroutine<'a, Y, S, F::Output, E> {
        Boxed(Box::pin(self))
    }

    /// Moves the coroutine to the heap and forgets its type, but not that it is `Send`.
    pub fn boxed_send(self) -> SendBoxCoroutine<'a, Y, S, F::Output, E>
    where
        Self: Send,
    {
        Boxed(Box::pin(self))
    }
}

impl<C: Resume + ?Sized> Boxed<C> {
    /// Returns the pinned coroutine, for [`Co::delegate`](crate::Co::delegate).
    #[inline]
    pub fn as_mut(&mut self) -> Pin<&mut C> {
        self.0.as_mut()
    }

    /// Resumes the body with `value`: see [`Coroutine::send`].
    ///
    /// # Panics
    /// As [`Coroutine::send`].
    #[track_caller]
    #[inline]
    pub fn send(&mut self, value: C::Sent) -> CoroutineState<C::Yield, C::Return> {
        resume::send(self.as_mut(), value)
    }

    /// Resumes the body with an error: see [`Coroutine::throw`].
    ///
    /// # Errors
    /// `error` itself, if the coroutine had not started.
    ///
    /// # Panics
    /// As [`Coroutine::send`].
    #[track_caller]
    pub fn throw(
        &mut self,
        error: C::Error,
    ) -> Result<CoroutineState<C::Yield, C::Return>, C::Error> {
        resume::throw(self.as_mut(), error)
    }

    /// Tells the body to clean up and return: see [`Coroutine::close`].
    ///
    /// # Errors
    /// [`IgnoredClose`] with the value, if the body yields instead of returning.
    ///
    /// # Panics
    /// As [`Coroutine::close`].
    #[track_caller]
    pub fn close(&mut self) -> Result<Option<C::Return>, IgnoredClose<C::Yield>> {
        resume::close(self.as_mut())
    }

    /// Sends and waits: see [`Coroutine::asend`], also for what happens when it is dropped early.
    ///
    /// # Panics
    /// As [`Coroutine::asend`].
    #[track_caller]
    pub fn asend(
        &mut self,
        value: C::Sent,
    ) -> impl Future<Output = CoroutineState<C::Yield, C::Return>> {
        resume::asend(self.as_mut(), value)
    }

    /// Throws and waits: see [`Coroutine::athrow`], also for what happens when it is dropped early.
    ///
    /// # Errors
    /// `error` itself, if the coroutine had not started.
    ///
    /// # Panics
    /// As [`Coroutine::athrow`].
    #[track_caller]
    pub fn athrow(
        &mut self,
        error: C::Error,
    ) -> impl Future<Output = Result<CoroutineState<C::Yield, C::Return>, C::Error>> {
        resume::athrow(self.as_mut(), error)
    }

    /// Closes and waits: see [`Coroutine::aclose`], also for what happens when it is dropped early.
    ///
    /// # Errors
    /// [`IgnoredClose`] with the value, if the body yields instead of returning.
    pub fn aclose(
        &mut self,
    ) -> impl Future<Output = Result<Option<C::Return>, IgnoredClose<C::Yield>>> {
        resume::aclose(self.as_mut())
    }

    /// Waits for the end of a step whose future was dropped: see [`Coroutine::finish_step`].
    ///
    /// # Panics
    /// If no step is under way.
    #[track_caller]
    pub fn finish_step(&mut self) -> impl Future<Output = CoroutineState<C::Yield, C::Return>> {
        resume::finish_step(self.as_mut())
    }

    /// Takes the return value of an iterated generator: see [`Coroutine::take_return`].
    pub fn take_return(&mut self) -> Option<C::Return> {
        self.as_mut().take_return()
    }

    /// Returns what the coroutine is doing.
    pub fn state(&self) -> State {
        self.0.state()
    }

    /// Returns `true` if the coroutine can't be resumed any more: see [`Coroutine::is_finished`].
    pub fn is_finished(&self) -> bool {
        resume::is_over(self.0.state())
    }

    /// Returns the line of the `yield_` at which it sleeps: see [`Coroutine::location`].
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.snapshot().location
    }

    /// Returns the line where the coroutine was made.
    pub fn origin(&self) -> &'static Location<'static> {
        self.snapshot().origin
    }

    /// Returns the coroutine's name: see [`Coroutine::name`].
    pub fn name(&self) -> &'static str {
        self.snapshot().name
    }

    /// Returns all that the coroutine says of itself.
    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }
}

#[cfg(feature = "stream")]
impl<C: Resume<Sent = ()> + ?Sized> Boxed<C> {
    /// Returns a view of this generator as a `Stream`: see [`Coroutine::stream`].
    pub fn stream(&mut self) -> GeneratorStream<&mut C> {
        GeneratorStream {
            generator: self.as_mut(),
        }
    }

    /// Makes this generator a `Stream`.
    pub fn into_stream(self) -> GeneratorStream<Box<C>> {
        GeneratorStream { generator: self.0 }
    }
}

/// Iterates over the values yielded, as a pinned generator does.
///
/// # Panics
/// `next` panics if the body awaits anything but a `yield_`.
impl<C: Resume<Sent = ()> + ?Sized> Iterator for Boxed<C> {
    type Item = C::Yield;

    #[track_caller]
    #[inline]
    fn next(&mut self) -> Option<C::Yield> {
        resume::next(self.as_mut())
    }
}

impl<C: Resume<Sent = ()> + ?Sized> FusedIterator for Boxed<C> {}

impl<C: Resume + ?Sized> fmt::Debug for Boxed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt_as("BoxCoroutine", f)
    }
}
