//! The narrow seam under every form of the object: one step at a time, with a waker.
//!
//! [`Coroutine`](crate::Coroutine) implements it; the boxed forms erase it; everything that a user calls
//! (`send`, `throw`, `close`, their async forms, iteration, delegation) is written on it once.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use crate::boot::{SYNC, is_sync};
use crate::{CoroutineState, IgnoredClose, Interrupt, State};

/// A coroutine in any of its forms, pinned: what [`Co::delegate`](crate::Co::delegate) and generic code accept.
///
/// It is implemented by [`Coroutine`](crate::Coroutine), and by the trait objects inside the boxed forms. It is
/// sealed and has no methods to call; use those of these types. As a bound it names four types:
///
/// - `Yield`, what the body yields;
/// - `Sent`, what it is sent;
/// - `Return`, what it returns;
/// - `Error`, what may be thrown into it.
///
/// # Examples
/// ```
/// use antiphon_coroutine::{generator, Co, Interrupt, Resume};
/// use std::pin::{pin, Pin};
///
/// async fn twice<G>(co: &mut Co<'_, u8>, mut one: Pin<&mut G>, mut other: Pin<&mut G>) -> Result<(), Interrupt>
/// where
///     G: Resume<Yield = u8, Sent = (), Return = Result<(), Interrupt>, Error = std::convert::Infallible>,
/// {
///     co.delegate(one.as_mut(), ()).await?;
///     co.delegate(other.as_mut(), ()).await
/// }
///
/// async fn pair(co: &mut Co<'_, u8>) -> Result<(), Interrupt> {
///     co.yield_(1).await?;
///     co.yield_(2).await
/// }
/// let all = pin!(generator(async |co| -> Result<(), Interrupt> {
///     let (one, other) = (pin!(generator(pair)), pin!(generator(pair)));
///     twice(co, one, other).await
/// }));
/// assert_eq!(all.collect::<Vec<_>>(), [1, 2, 1, 2]);
/// ```
pub trait Resume: Steps {}

/// The methods of [`Resume`], in a trait that can't be named outside, and so neither implemented nor imported.
pub trait Steps {
    type Yield;
    type Sent;
    type Return;
    type Error;

    /// Runs the body, which sleeps at a yield or has not started, with `value` until it yields. `None` is all that may
    /// happen instead, and `end_of_send` must be asked what it was: so the usual answer fits in registers.
    fn step_send(self: Pin<&mut Self>, value: Self::Sent) -> Option<Self::Yield>;

    /// Says how the `step_send` went that returned `None` just now.
    fn end_of_send(self: Pin<&mut Self>) -> Step<Self::Yield, Self::Return>;

    /// `step_send` with a waker, for a body that also awaits other futures.
    fn step_asend(
        self: Pin<&mut Self>,
        value: Self::Sent,
        waker: &Waker,
    ) -> Step<Self::Yield, Self::Return>;

    /// Runs the body, which has started and not ended, with an interrupt. In the middle of a step, the next yield
    /// hears it; a close that is on its way already is not sent again.
    fn step_interrupt(
        self: Pin<&mut Self>,
        interrupt: Interrupt<Self::Error>,
        waker: &Waker,
    ) -> Step<Self::Yield, Self::Return>;

    /// Runs the body on, which is in the middle of a step.
    fn step_on(self: Pin<&mut Self>, waker: &Waker) -> Step<Self::Yield, Self::Return>;

    /// Drops the body of a coroutine that has not started. Does nothing to any other.
    fn close_unstarted(self: Pin<&mut Self>);

    /// Keeps the return value of a coroutine that has ended for `take_return`. Dropped if it has not.
    fn keep_return(self: Pin<&mut Self>, value: Self::Return);

    fn take_return(self: Pin<&mut Self>) -> Option<Self::Return>;

    fn state(&self) -> State;

    fn snapshot(&self) -> Snapshot;
}

/// How a step went.
#[derive(Debug)]
pub enum Step<Y, R> {
    Yielded(Y),
    Complete(R),
    /// The body awaits something that is not one of its yields.
    Awaiting,
    /// The body was not run: the coroutine is not in a state in which this can be asked of it.
    Refused,
}

/// What a coroutine says of itself while it sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What it is doing.
    pub state: State,
    /// Its name: the one it was given, or the path of its body's type.
    pub name: &'static str,
    /// The line where it was made.
    pub origin: &'static Location<'static>,
    /// The line of the `yield_` at which it sleeps; `None` unless it is suspended there.
    pub location: Option<&'static Location<'static>>,
}

/// What is sent with a step.
#[derive(Debug)]
pub(crate) enum Message<S, E> {
    Send(S),
    Interrupt(Interrupt<E>),
}

// The synchronous forms. `C` is inferred from the receiver; the callers are one line each.

#[track_caller]
#[allow(
    clippy::inline_always,
    reason = "a fifth of a resume: the answer comes back in registers"
)]
#[inline(always)]
pub(crate) fn send<C: Resume + ?Sized>(
    mut coroutine: Pin<&mut C>,
    value: C::Sent,
) -> CoroutineState<C::Yield, C::Return> {
    match coroutine.as_mut().step_send(value) {
        Some(value) => CoroutineState::Yielded(value),
        None => sent(coroutine),
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn sent<C: Resume + ?Sized>(mut coroutine: Pin<&mut C>) -> CoroutineState<C::Yield, C::Return> {
    match coroutine.as_mut().end_of_send() {
        Step::Yielded(value) => CoroutineState::Yielded(value),
        Step::Complete(value) => CoroutineState::Complete(value),
        Step::Awaiting => awaits_a_foreign_future(&*coroutine, "send", "`asend`"),
        Step::Refused => cannot_resume(&*coroutine, "send"),
    }
}

#[track_caller]
pub(crate) fn throw<C: Resume + ?Sized>(
    mut coroutine: Pin<&mut C>,
    error: C::Error,
) -> Result<CoroutineState<C::Yield, C::Return>, C::Error> {
    match coroutine.state() {
        State::Created => {
            coroutine.close_unstarted();
            return Err(error);
        }
        State::Suspended => {}
        State::Awaiting | State::Closed | State::Panicked => cannot_resume(&*coroutine, "throw"),
    }
    match coroutine
        .as_mut()
        .step_interrupt(Interrupt::Thrown(error), &SYNC)
    {
        Step::Yielded(value) => Ok(CoroutineState::Yielded(value)),
        Step::Complete(value) => Ok(CoroutineState::Complete(value)),
        Step::Awaiting => awaits_a_foreign_future(&*coroutine, "throw", "`athrow`"),
        Step::Refused => cannot_resume(&*coroutine, "throw"),
    }
}

#[track_caller]
pub(crate) fn close<C: Resume + ?Sized>(
    mut coroutine: Pin<&mut C>,
) -> Result<Option<C::Return>, IgnoredClose<C::Yield>> {
    match coroutine.state() {
        State::Created => {
            coroutine.close_unstarted();
            return Ok(None);
        }
        State::Closed | State::Panicked => return Ok(None),
        State::Suspended | State::Awaiting => {}
    }
    match coroutine.as_mut().step_interrupt(Interrupt::Closed, &SYNC) {
        Step::Yielded(value) => Err(IgnoredClose(value)),
        Step::Complete(value) => Ok(Some(value)),
        Step::Awaiting => awaits_a_foreign_future(&*coroutine, "close", "`aclose`"),
        Step::Refused => Ok(None),
    }
}

/// The next value of a generator for a caller that has no task: `Iterator::next`.
#[track_caller]
#[inline]
pub(crate) fn next<C: Resume<Sent = ()> + ?Sized>(mut coroutine: Pin<&mut C>) -> Option<C::Yield> {
    match coroutine.as_mut().step_send(()) {
        Some(value) => Some(value),
        None => no_next(coroutine),
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn no_next<C: Resume<Sent = ()> + ?Sized>(mut coroutine: Pin<&mut C>) -> Option<C::Yield> {
    match coroutine.as_mut().end_of_send() {
        Step::Yielded(value) => Some(value),
        Step::Complete(value) => {
            coroutine.keep_return(value);
            None
        }
        Step::Awaiting => awaits_a_foreign_future(&*coroutine, "next", "`stream`, or `asend`,"),
        Step::Refused if is_over(coroutine.state()) => None,
        Step::Refused => cannot_resume(&*coroutine, "next"),
    }
}

/// The next value of a generator whose body may also await: `Stream::poll_next`.
#[cfg(feature = "stream")]
pub(crate) fn poll_next<C: Resume<Sent = ()> + ?Sized>(
    mut coroutine: Pin<&mut C>,
    cx: &mut Context<'_>,
) -> Poll<Option<C::Yield>> {
    let step = match coroutine.state() {
        State::Created | State::Suspended => coroutine.as_mut().step_asend((), cx.waker()),
        State::Awaiting => coroutine.as_mut().step_on(cx.waker()),
        State::Closed | State::Panicked => return Poll::Ready(None),
    };
    match step {
        Step::Yielded(value) => Poll::Ready(Some(value)),
        Step::Complete(value) => {
            coroutine.keep_return(value);
            Poll::Ready(None)
        }
        Step::Awaiting => Poll::Pending,
        Step::Refused => Poll::Ready(None),
    }
}

// The asynchronous forms: Python's `asend`, `athrow` and `aclose`. The checks that panic run in the plain
// function, so that they name the caller's line and not the executor's.

#[track_caller]
pub(crate) fn asend<C: Resume + ?Sized>(
    coroutine: Pin<&mut C>,
    value: C::Sent,
) -> impl Future<Output = CoroutineState<C::Yield, C::Return>> {
    must_accept_a_value(&*coroutine, "asend");
    StepFuture::new(coroutine, Message::Send(value))
}

#[track_caller]
pub(crate) fn athrow<C: Resume + ?Sized>(
    mut coroutine: Pin<&mut C>,
    error: C::Error,
) -> impl Future<Output = Result<CoroutineState<C::Yield, C::Return>, C::Error>> {
    must_accept_a_value(&*coroutine, "athrow");
    async move {
        if coroutine.state() == State::Created {
            coroutine.as_mut().close_unstarted();
            return Err(error);
        }
        Ok(StepFuture::new(coroutine, Message::Interrupt(Interrupt::Thrown(error))).await)
    }
}

pub(crate) async fn aclose<C: Resume + ?Sized>(
    mut coroutine: Pin<&mut C>,
) -> Result<Option<C::Return>, IgnoredClose<C::Yield>> {
    match coroutine.state() {
        State::Created => {
            coroutine.as_mut().close_unstarted();
            return Ok(None);
        }
        State::Closed | State::Panicked => return Ok(None),
        State::Suspended | State::Awaiting => {}
    }
    match StepFuture::new(coroutine, Message::Interrupt(Interrupt::Closed)).await {
        CoroutineState::Yielded(value) => Err(IgnoredClose(value)),
        CoroutineState::Complete(value) => Ok(Some(value)),
    }
}

#[track_caller]
pub(crate) fn finish_step<C: Resume + ?Sized>(
    coroutine: Pin<&mut C>,
) -> impl Future<Output = CoroutineState<C::Yield, C::Return>> {
    if coroutine.state() != State::Awaiting {
        no_step_to_finish(&coroutine.snapshot());
    }
    StepFuture {
        coroutine,
        message: None,
    }
}

/// One step, waited for. Dropped early it leaves the body in the middle of the step ([`State::Awaiting`]).
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct StepFuture<'a, C: Resume + ?Sized> {
    coroutine: Pin<&'a mut C>,
    /// What the first poll delivers.
    message: Option<Message<C::Sent, C::Error>>,
}

impl<'a, C: Resume + ?Sized> StepFuture<'a, C> {
    /// The coroutine must be able to take the message: see `must_accept_a_value`.
    pub(crate) fn new(coroutine: Pin<&'a mut C>, message: Message<C::Sent, C::Error>) -> Self {
        Self {
            coroutine,
            message: Some(message),
        }
    }
}

impl<C: Resume + ?Sized> Unpin for StepFuture<'_, C> {}

impl<C: Resume + ?Sized> Future for StepFuture<'_, C> {
    type Output = CoroutineState<C::Yield, C::Return>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let message = self.message.take();
        let mut coroutine = self.coroutine.as_mut();
        let step = match message {
            // The usual case of a delegation: whoever drives the outer one called `send`.
            Some(Message::Send(value)) if is_sync(cx.waker()) => {
                match coroutine.as_mut().step_send(value) {
                    Some(value) => return Poll::Ready(CoroutineState::Yielded(value)),
                    None => coroutine.end_of_send(),
                }
            }
            Some(Message::Send(value)) => coroutine.step_asend(value, cx.waker()),
            Some(Message::Interrupt(interrupt)) => coroutine.step_interrupt(interrupt, cx.waker()),
            None => coroutine.step_on(cx.waker()),
        };
        match step {
            Step::Yielded(value) => Poll::Ready(CoroutineState::Yielded(value)),
            Step::Complete(value) => Poll::Ready(CoroutineState::Complete(value)),
            Step::Awaiting => Poll::Pending,
            Step::Refused => cannot_resume(&*self.coroutine, "poll"),
        }
    }
}

/// Panics at the caller's line unless the coroutine sleeps where a value can be given to it.
#[track_caller]
pub(crate) fn must_accept_a_value<C: Resume + ?Sized>(coroutine: &C, method: &str) {
    if !matches!(coroutine.state(), State::Created | State::Suspended) {
        cannot_resume(coroutine, method);
    }
}

/// Whether a coroutine in this state can't be resumed any more.
pub(crate) const fn is_over(state: State) -> bool {
    matches!(state, State::Closed | State::Panicked)
}

#[cold]
#[inline(never)]
#[track_caller]
fn cannot_resume<C: Resume + ?Sized>(coroutine: &C, method: &str) -> ! {
    let Snapshot {
        name,
        origin,
        state,
        ..
    } = coroutine.snapshot();
    match state {
        State::Panicked => {
            panic!("`{method}` on coroutine `{name}` (made at {origin}), which panicked earlier")
        }
        State::Created | State::Suspended => panic!(
            "`{method}` on a step of coroutine `{name}` (made at {origin}), which has ended; a step is awaited once"
        ),
        State::Awaiting => panic!(
            "`{method}` on coroutine `{name}` (made at {origin}), which is in the middle of a step; \
             await `finish_step` first"
        ),
        State::Closed => panic!(
            "`{method}` on coroutine `{name}` (made at {origin}), which has finished; \
             `is_finished` asks first"
        ),
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn awaits_a_foreign_future<C: Resume + ?Sized>(coroutine: &C, method: &str, instead: &str) -> ! {
    let Snapshot { name, origin, .. } = coroutine.snapshot();
    panic!(
        "coroutine `{name}` (made at {origin}) awaits a future that is not one of its yields; \
         `{method}` cannot wait for it: use {instead} inside a task"
    )
}

#[cold]
#[inline(never)]
#[track_caller]
fn no_step_to_finish(coroutine: &Snapshot) -> ! {
    let Snapshot {
        name,
        origin,
        state,
        ..
    } = coroutine;
    panic!(
        "`finish_step` on coroutine `{name}` (made at {origin}), which is {state}, not in the middle of a step"
    )
}

impl Snapshot {
    /// Prints what is known, under the type's name; lines as `file:line:column`.
    pub(crate) fn fmt_as(&self, type_name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct(type_name);
        fields.field("name", &self.name);
        fields.field("state", &self.state);
        if let Some(location) = self.location {
            fields.field("location", &format_args!("{location}"));
        }
        fields
            .field("origin", &format_args!("{}", self.origin))
            .finish()
    }
}
