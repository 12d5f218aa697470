//! Generators as streams.

use core::fmt;
use core::ops::DerefMut;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::{FusedStream, Stream};

use crate::coroutine::Coroutine;
use crate::resume::{self, Resume, Steps};

/// A view of a generator as a `Stream`: its body may await other futures between its yields.
///
/// Made by [`Coroutine::stream`] and, for the boxed forms, `Boxed::stream` and `Boxed::into_stream`. It is a type
/// of its own because a generator is an [`Iterator`] already: were it both, `next` would mean two things.
///
/// # Cancellation
/// **Did not happen.** A `next()` that is dropped leaves the body where it is; the next one goes on from there.
///
/// # Examples
/// ```
/// use antiphon_coroutine::{generator, Interrupt};
/// use futures_util::StreamExt;
/// use std::{future::ready, pin::pin};
/// # use std::{future::Future, task::{Context, Poll, Waker}};
/// # fn block_on<F: Future>(future: F) -> F::Output {
/// #     match pin!(future).poll(&mut Context::from_waker(Waker::noop())) { Poll::Ready(v) => v, Poll::Pending => panic!() }
/// # }
/// let mut squares = pin!(generator(async |co| -> Result<(), Interrupt> {
///     for n in 1..=3 {
///         let square = ready(n * n).await; // any future
///         co.yield_(square).await?;
///     }
///     Ok(())
/// }));
/// block_on(async {
///     let mut stream = squares.stream();
///     assert_eq!(stream.next().await, Some(1));
///     assert_eq!(stream.collect::<Vec<_>>().await, [4, 9]);
/// });
/// assert_eq!(squares.take_return(), Some(Ok(())));
/// ```
#[must_use = "a stream does nothing until it is polled"]
pub struct GeneratorStream<P> {
    pub(crate) generator: Pin<P>,
}

impl<F: Future, Y, E> Coroutine<F, Y, (), E> {
    /// Returns a view of this generator as a `Stream`.
    ///
    /// The return value is kept, at the end of the stream, for [`take_return`](Self::take_return).
    pub fn stream<'a>(self: &'a mut Pin<&mut Self>) -> GeneratorStream<&'a mut Self> {
        GeneratorStream {
            generator: self.as_mut(),
        }
    }
}

impl<P> GeneratorStream<P>
where
    P: DerefMut<Target: Resume<Sent = ()>>,
{
    /// Takes the return value of a generator that was streamed to its end: see [`Coroutine::take_return`].
    pub fn take_return(&mut self) -> Option<<P::Target as Steps>::Return> {
        self.generator.as_mut().take_return()
    }
}

impl<P> Stream for GeneratorStream<P>
where
    P: DerefMut<Target: Resume<Sent = ()>> + Unpin,
{
    type Item = <P::Target as Steps>::Yield;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        resume::poll_next(self.get_mut().generator.as_mut(), cx)
    }
}

impl<P> FusedStream for GeneratorStream<P>
where
    P: DerefMut<Target: Resume<Sent = ()>> + Unpin,
{
    fn is_terminated(&self) -> bool {
        resume::is_over(self.generator.state())
    }
}

impl<P> fmt::Debug for GeneratorStream<P>
where
    P: DerefMut<Target: Resume>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.generator.snapshot().fmt_as("GeneratorStream", f)
    }
}
