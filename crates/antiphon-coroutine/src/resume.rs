//! The narrow seam under every form of the object: one step at a time, with a waker.
//!
//! [`Coroutine`](crate::Coroutine) implements it; the boxed forms erase it; everything that a user calls
//! (`send`, `throw`, `close`, their async forms, iteration, delegation) is written on it once.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use crate::{CoroutineState, IgnoredClose, Interrupt, State};

/// A coroutine in any of its forms, pinned: what [`Co::delegate`](crate::Co::delegate) and generic code accept.
///
/// It is implemented by [`Coroutine`](crate::Coroutine), and by the trait objects inside the boxed forms. It is
/// sealed; use the methods of those types.
pub trait Resume: Sealed {
    /// What the body yields.
    type Yield;
    /// What it is sent.
    type Sent;
    /// What it returns.
    type Return;
    /// What may be thrown into it.
    type Error;

    /// Runs the body, which sleeps at a yield or has not started, with `value` until it sleeps again.
    #[doc(hidden)]
    fn step_send(
        self: Pin<&mut Self>,
        value: Self::Sent,
        waker: &Waker,
    ) -> Step<Self::Yield, Self::Return>;

    /// Runs the body, which has started and not ended, with an interrupt.
    #[doc(hidden)]
    fn step_interrupt(
        self: Pin<&mut Self>,
        interrupt: Interrupt<Self::Error>,
        waker: &Waker,
    ) -> Step<Self::Yield, Self::Return>;

    /// Runs the body on, which is in the middle of a step.
    #[doc(hidden)]
    fn step_on(self: Pin<&mut Self>, waker: &Waker) -> Step<Self::Yield, Self::Return>;

    /// Drops the body of a coroutine that has not started.
    #[doc(hidden)]
    fn close_unstarted(self: Pin<&mut Self>);

    /// Keeps the return value for `take_return`.
    #[doc(hidden)]
    fn keep_return(self: Pin<&mut Self>, value: Self::Return);

    #[doc(hidden)]
    fn take_return(self: Pin<&mut Self>) -> Option<Self::Return>;

    #[doc(hidden)]
    fn state(&self) -> State;

    #[doc(hidden)]
    fn snapshot(&self) -> Snapshot;
}

/// Keeps [`Resume`] ours.
pub trait Sealed {}

/// How a step went.
#[doc(hidden)]
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
#[inline]
pub(crate) fn send<C: Resume + ?Sized>(
    mut coroutine: Pin<&mut C>,
    value: C::Sent,
) -> CoroutineState<C::Yield, C::Return> {
    match coroutine.as_mut().step_send(value, Waker::noop()) {
        Step::Yielded(value) => CoroutineState::Yielded(value),
        Step::Complete(value) => CoroutineState::Complete(value),
        Step::Awaiting => awaits_a_foreign_future(&coroutine.snapshot(), "send", "asend"),
        Step::Refused => cannot_resume(&coroutine.snapshot(), "send"),
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
        State::Awaiting | State::Closed | State::Panicked => {
            cannot_resume(&coroutine.snapshot(), "throw")
        }
    }
    match coroutine
        .as_mut()
        .step_interrupt(Interrupt::Thrown(error), Waker::noop())
    {
        Step::Yielded(value) => Ok(CoroutineState::Yielded(value)),
        Step::Complete(value) => Ok(CoroutineState::Complete(value)),
        Step::Awaiting => awaits_a_foreign_future(&coroutine.snapshot(), "throw", "athrow"),
        Step::Refused => cannot_resume(&coroutine.snapshot(), "throw"),
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
    match coroutine
        .as_mut()
        .step_interrupt(Interrupt::Closed, Waker::noop())
    {
        Step::Yielded(value) => Err(IgnoredClose(value)),
        Step::Complete(value) => Ok(Some(value)),
        Step::Awaiting => awaits_a_foreign_future(&coroutine.snapshot(), "close", "aclose"),
        Step::Refused => Ok(None),
    }
}

/// The next value of a generator for a caller that has no task: `Iterator::next`.
#[track_caller]
pub(crate) fn next<C: Resume<Sent = ()> + ?Sized>(mut coroutine: Pin<&mut C>) -> Option<C::Yield> {
    if matches!(coroutine.state(), State::Closed | State::Panicked) {
        return None;
    }
    match send(coroutine.as_mut(), ()) {
        CoroutineState::Yielded(value) => Some(value),
        CoroutineState::Complete(value) => {
            coroutine.keep_return(value);
            None
        }
    }
}

/// The next value of a generator whose body may also await: `Stream::poll_next`.
#[cfg(feature = "stream")]
pub(crate) fn poll_next<C: Resume<Sent = ()> + ?Sized>(
    mut coroutine: Pin<&mut C>,
    cx: &mut Context<'_>,
) -> Poll<Option<C::Yield>> {
    let step = match coroutine.state() {
        State::Created | State::Suspended => coroutine.as_mut().step_send((), cx.waker()),
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
    if is_over(coroutine.state()) {
        cannot_resume(&coroutine.snapshot(), "athrow");
    }
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
        let coroutine = self.coroutine.as_mut();
        let step = match message {
            Some(Message::Send(value)) => coroutine.step_send(value, cx.waker()),
            Some(Message::Interrupt(interrupt)) => coroutine.step_interrupt(interrupt, cx.waker()),
            None => coroutine.step_on(cx.waker()),
        };
        match step {
            Step::Yielded(value) => Poll::Ready(CoroutineState::Yielded(value)),
            Step::Complete(value) => Poll::Ready(CoroutineState::Complete(value)),
            Step::Awaiting => Poll::Pending,
            Step::Refused => cannot_resume(&self.coroutine.snapshot(), "poll"),
        }
    }
}

fn is_over(state: State) -> bool {
    matches!(state, State::Closed | State::Panicked)
}

/// Panics at the caller's line unless the coroutine sleeps where a value can be given to it.
#[track_caller]
pub(crate) fn must_accept_a_value<C: Resume + ?Sized>(coroutine: &C, method: &str) {
    if !matches!(coroutine.state(), State::Created | State::Suspended) {
        cannot_resume(&coroutine.snapshot(), method);
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn cannot_resume(coroutine: &Snapshot, method: &str) -> ! {
    let Snapshot {
        name,
        origin,
        state,
        ..
    } = coroutine;
    match state {
        State::Panicked => {
            panic!("`{method}` on coroutine `{name}` (made at {origin}), which panicked earlier")
        }
        State::Awaiting => panic!(
            "`{method}` on coroutine `{name}` (made at {origin}), which is in the middle of a step; \
             await `finish_step` first"
        ),
        _ => panic!(
            "`{method}` on coroutine `{name}` (made at {origin}), which has finished; \
             `is_finished` asks first"
        ),
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn awaits_a_foreign_future(coroutine: &Snapshot, method: &str, instead: &str) -> ! {
    let Snapshot { name, origin, .. } = coroutine;
    panic!(
        "coroutine `{name}` (made at {origin}) awaits a future that is not one of its yields; \
         `{method}` cannot wait for it: use `{instead}` inside a task"
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
