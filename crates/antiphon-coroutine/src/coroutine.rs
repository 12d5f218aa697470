//! The object: made by [`coroutine`] or [`generator`], pinned, then driven and looked at.

use core::any::type_name;
use core::cell::{Cell, UnsafeCell};
use core::convert::Infallible;
use core::fmt;
use core::future::Future;
use core::hint::{assert_unchecked, unreachable_unchecked};
use core::iter::FusedIterator;
use core::marker::PhantomPinned;
use core::mem;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use crate::boot::{Frame, SYNC, boot_waker, is_boot};
use crate::co::Co;
use crate::resume::{self, Resume, Snapshot, Step, Steps};
use crate::slot::Slot;
use crate::{CoroutineState, IgnoredClose, Interrupt, State};

/// Makes a coroutine object of `body`, an async closure or an `async fn`. Nothing runs yet.
///
/// `body` is called with its handle and with the first value sent. It yields values of `Y`, is sent values of
/// `S`, may have errors of `E` thrown into it, and returns `R`. Any `R` will do; one with
/// `From<Interrupt<E>>` for its error lets `?` unwind on a throw or a close.
///
/// A closure states its return type, because `?` alone leaves it open: `-> Result<(), Interrupt>` for a
/// coroutine that nobody throws into, `-> Result<(), Interrupt<MyError>>` for one that takes `MyError`. A named
/// `async fn` needs nothing more than its signature.
///
/// The object is `Send` if `Y`, `S`, `E`, `R` and everything that the body holds are.
///
/// # Examples
/// ```
/// use antiphon_coroutine::{coroutine, CoroutineState::Yielded, Interrupt};
/// use std::pin::pin;
///
/// let mut average = pin!(coroutine(async |co, mut x: f64| -> Result<(), Interrupt> {
///     let (mut sum, mut n) = (0.0, 0.0);
///     loop {
///         sum += x;
///         n += 1.0;
///         x = co.yield_(sum / n).await?;
///     }
/// }));
/// assert_eq!(average.send(10.0), Yielded(10.0));
/// assert_eq!(average.send(20.0), Yielded(15.0));
/// ```
#[track_caller]
#[inline]
pub fn coroutine<'o, B, Y, S, R, E>(body: B) -> Coroutine<impl Future<Output = R>, Y, S, E>
where
    B: for<'c> AsyncFnOnce(&mut Co<'c, Y, S, E>, S) -> R,
    Y: 'o,
    S: 'o,
    E: 'o,
{
    let name = type_name::<B>();
    let make = move |co: &'o mut Co<'o, Y, S, E>| match co.take_first() {
        Some(first) => body(co, first),
        None => unreachable!("a coroutine is started by a value"),
    };
    // SAFETY: `Frame` asks to be polled first under a boot waker, with a slot that outlives it: `open` does so
    // before any other poll, a panic leaves no state in which it is polled, and field order drops it before the slot. A body is content with any `'o`.
    let future = unsafe { Frame::new(make) };
    Coroutine::new(future, name, Location::caller())
}

/// Makes a generator of `body`: a coroutine that is sent nothing (`S = ()`), and so is an [`Iterator`].
///
/// Iteration ends when the body returns; [`take_return`](Coroutine::take_return) then has what it returned.
///
/// # Examples
/// ```
/// use antiphon_coroutine::{generator, Interrupt};
/// use std::pin::pin;
///
/// let countdown = pin!(generator(async |co| -> Result<(), Interrupt> {
///     for n in (1..=3).rev() {
///         co.yield_(n).await?;
///     }
///     Ok(())
/// }));
/// assert_eq!(countdown.collect::<Vec<_>>(), [3, 2, 1]);
/// ```
#[track_caller]
#[inline]
pub fn generator<'o, B, Y, R, E>(body: B) -> Coroutine<impl Future<Output = R>, Y, (), E>
where
    B: for<'c> AsyncFnOnce(&mut Co<'c, Y, (), E>) -> R,
    Y: 'o,
    E: 'o,
{
    let name = type_name::<B>();
    let make = move |co: &'o mut Co<'o, Y, (), E>| {
        co.take_first();
        body(co)
    };
    // SAFETY: as in `coroutine`.
    let future = unsafe { Frame::new(make) };
    Coroutine::new(future, name, Location::caller())
}

/// A coroutine: an object you can hold. Send to it, throw into it, close it, and ask where it sleeps.
///
/// Made by [`coroutine`] or [`generator`] and pinned, with [`pin!`](core::pin::pin) on the stack or as a
/// [`BoxCoroutine`](crate::BoxCoroutine) on the heap. `F` is the body, which has no name; `Y` is what it yields, `S` what it is sent, and
/// `E` what may be thrown into it; it returns `F::Output`.
///
/// # States
/// ```text
///             (1) send                       (3) body returns
///   Created ───────────▶ [the body runs] ─────────────────────▶ Closed
///      │                   │     ▲   │                             ▲
///      │          (2) yield│     │   │(4) body panics              │
///      │                   ▼     │   └──────────────▶ Panicked     │
///      │               Suspended ┘ send, throw, close              │
///      └───────────────────────────────────────────────────────────┘
///                      (5) throw, close: the body never runs
/// ```
/// A coroutine whose body also awaits other futures is [`State::Awaiting`] when a step is interrupted there.
///
/// # Dropping
/// Dropping a suspended coroutine drops the frames of its body: destructors run, innermost first, and no line
/// after the `yield_`. Call [`close`](Self::close) to let the body know and finish. A coroutine that was never
/// started drops its closure, and the compiler warns if it was not even kept.
///
/// # Resuming while it runs
/// Python raises "coroutine already executing". Here it can't be written: the body would need the same `&mut`
/// that its caller is using.
#[must_use = "a coroutine does nothing until it is pinned and resumed"]
pub struct Coroutine<F: Future, Y, S = (), E = Infallible> {
    /// The body, while it may still run. Dropped before `slot`, which the frames in it point to.
    stage: UnsafeCell<Stage<F>>,
    /// Shared with the body's handle. It is only ever shared, and made of cells; the outer one is there because the handle
    /// is a `&mut` to all of it.
    slot: UnsafeCell<Slot<Y, S, E>>,
    /// What it is doing if the slot does not say that it is suspended.
    phase: Cell<Phase>,
    /// Whether the step under way was told to close. Set only in the state `Awaiting`.
    is_closing: Cell<bool>,
    name: &'static str,
    origin: &'static Location<'static>,
    /// The body points to `slot` and to itself.
    _pinned: PhantomPinned,
}

enum Stage<F: Future> {
    /// Present from creation until the body returns, panics or is closed unstarted.
    Body(F),
    /// The return value of an iterated generator, until somebody asks for it.
    Returned(F::Output),
    Empty,
}

impl<F: Future> Stage<F> {
    /// Takes the return value, if it is there. Moves nothing else: the body is pinned.
    fn take_return(&mut self) -> Option<F::Output> {
        if !matches!(self, Self::Returned(_)) {
            return None;
        }
        match mem::replace(self, Self::Empty) {
            Self::Returned(value) => Some(value),
            Self::Body(_) | Self::Empty => unreachable!("it was a return value a line ago"),
        }
    }
}

/// What the coroutine is doing if it is not suspended. That is for the slot to say, so that a yield, and the resume after
/// it, need not write it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Created,
    /// Started, and in a step or suspended. Seen from outside when neither is true any more: a panic went through.
    Running,
    /// The step has ended, and `take_yielded` found nothing; `end_of_step`, which is called next, finds out why.
    Stopped,
    Awaiting,
    Closed,
}

impl<F: Future, Y, S, E> Coroutine<F, Y, S, E> {
    /// `future` must be a `Frame`.
    #[inline]
    fn new(future: F, name: &'static str, origin: &'static Location<'static>) -> Self {
        Self {
            stage: UnsafeCell::new(Stage::Body(future)),
            slot: UnsafeCell::new(Slot::new()),
            phase: Cell::new(Phase::Created),
            is_closing: Cell::new(false),
            name,
            origin,
            _pinned: PhantomPinned,
        }
    }

    /// Gives the coroutine a name for messages, in place of the path of its body.
    pub fn with_name(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Resumes the body with `value` until it yields or returns.
    ///
    /// The first value sent is the body's argument, so there is no "can't send a value to a just-started
    /// coroutine" here. Later ones are what the sleeping `yield_` resolves to.
    ///
    /// # Panics
    /// - If the coroutine has finished or panicked, or is in the middle of a step ([`State::Awaiting`]).
    /// - If the body awaits anything but a `yield_`. The coroutine is then [`State::Awaiting`] and can be driven on
    ///   by a task with [`finish_step`](Self::finish_step).
    /// - With whatever the body panics.
    ///
    /// # Examples
    /// ```
    /// use antiphon_coroutine::{coroutine, CoroutineState::*, Interrupt};
    /// use std::pin::pin;
    ///
    /// let mut greet = pin!(coroutine(async |co, name: &str| -> Result<usize, Interrupt> {
    ///     let next = co.yield_(format!("hello, {name}")).await?;
    ///     Ok(next.len())
    /// }));
    /// assert_eq!(greet.send("Ada"), Yielded("hello, Ada".to_string()));
    /// assert_eq!(greet.send("Grace"), Complete(Ok(5)));
    /// assert!(greet.is_finished());
    /// ```
    #[track_caller]
    #[allow(clippy::inline_always, reason = "as `resume::send`, which it names")]
    #[inline(always)]
    pub fn send(self: &mut Pin<&mut Self>, value: S) -> CoroutineState<Y, F::Output> {
        resume::send(self.as_mut(), value)
    }

    /// Resumes the body with an error: the sleeping `yield_` resolves to [`Interrupt::Thrown`].
    ///
    /// The body may handle it and yield again, or return. Thrown into a coroutine that has not started, the
    /// error comes straight back as `Err`, the body never runs, and the coroutine is closed.
    ///
    /// # Errors
    /// `error` itself, if the coroutine had not started.
    ///
    /// # Panics
    /// As [`send`](Self::send) does.
    ///
    /// # Examples
    /// ```
    /// use antiphon_coroutine::{coroutine, CoroutineState::*, Interrupt};
    /// use std::pin::pin;
    ///
    /// let mut patient = pin!(coroutine(async |co, _: ()| -> Result<(), Interrupt<&str>> {
    ///     while let Err(Interrupt::Thrown(error)) = co.yield_("ready").await {
    ///         assert_eq!(error, "bad line");
    ///     }
    ///     Ok(())
    /// }));
    /// assert_eq!(patient.send(()), Yielded("ready"));
    /// assert_eq!(patient.throw("bad line"), Ok(Yielded("ready")));
    /// assert_eq!(patient.send(()), Complete(Ok(())));
    /// ```
    #[track_caller]
    pub fn throw(self: &mut Pin<&mut Self>, error: E) -> Result<CoroutineState<Y, F::Output>, E> {
        resume::throw(self.as_mut(), error)
    }

    /// Tells the body to clean up and return: the sleeping `yield_` resolves to [`Interrupt::Closed`].
    ///
    /// Returns what the body returned, or `None` if there was nothing to tell: the coroutine had not started (its
    /// body never runs), or was finished already. Closing twice is harmless. In the middle of a step it does what
    /// [`aclose`](Self::aclose) does then.
    ///
    /// # Errors
    /// [`IgnoredClose`] with the value, if the body yields instead of returning. It is still suspended then.
    ///
    /// # Panics
    /// - If the body awaits anything but a `yield_` on its way out; [`aclose`](Self::aclose) can wait for that. The close is
    ///   not lost: the next `yield_` of the body hears it.
    /// - With whatever the body panics.
    ///
    /// # Examples
    /// ```
    /// use antiphon_coroutine::{coroutine, Co};
    /// use std::pin::pin;
    ///
    /// let mut log = pin!(coroutine(async |co: &mut Co<'_, usize, &'static str>, first| {
    ///     let mut lines = vec![first];
    ///     while let Ok(line) = co.yield_(lines.len()).await {
    ///         lines.push(line);
    ///     }
    ///     lines.join("; ") + "; closed"
    /// }));
    /// let _ = log.send("one");
    /// let _ = log.send("two");
    /// assert_eq!(log.close(), Ok(Some("one; two; closed".to_string())));
    /// assert_eq!(log.close(), Ok(None));
    /// ```
    #[track_caller]
    pub fn close(self: &mut Pin<&mut Self>) -> Result<Option<F::Output>, IgnoredClose<Y>> {
        resume::close(self.as_mut())
    }

    /// [`send`](Self::send) for a body that also awaits other futures: waits until it yields or returns.
    ///
    /// # Cancellation
    /// **Partial.** Dropped before its first poll, it delivers nothing. Dropped later, it leaves the body in the
    /// middle of the step ([`State::Awaiting`]) with the value delivered; await [`finish_step`](Self::finish_step)
    /// for the answer.
    ///
    /// # Panics
    /// If the coroutine has finished, panicked, or is in the middle of a step.
    ///
    /// # Examples
    /// ```
    /// use antiphon_coroutine::{coroutine, CoroutineState::*, Interrupt};
    /// use std::{future::ready, pin::pin};
    /// # use std::{future::Future, task::{Context, Poll, Waker}};
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     match pin!(future).poll(&mut Context::from_waker(Waker::noop())) { Poll::Ready(v) => v, Poll::Pending => panic!() }
    /// # }
    /// block_on(async {
    ///     let mut doubler = pin!(coroutine(async |co, mut x: u32| -> Result<(), Interrupt> {
    ///         loop {
    ///             let doubled = ready(x * 2).await; // any future
    ///             x = co.yield_(doubled).await?;
    ///         }
    ///     }));
    ///     assert_eq!(doubler.asend(4).await, Yielded(8));
    ///     assert_eq!(doubler.asend(5).await, Yielded(10));
    /// });
    /// ```
    #[track_caller]
    pub fn asend(
        self: &mut Pin<&mut Self>,
        value: S,
    ) -> impl Future<Output = CoroutineState<Y, F::Output>> {
        resume::asend(self.as_mut(), value)
    }

    /// [`throw`](Self::throw) for a body that also awaits other futures.
    ///
    /// # Errors
    /// `error` itself, if the coroutine had not started.
    ///
    /// # Cancellation
    /// **Partial**, as [`asend`](Self::asend).
    ///
    /// # Panics
    /// If the coroutine has finished, panicked, or is in the middle of a step.
    #[track_caller]
    pub fn athrow(
        self: &mut Pin<&mut Self>,
        error: E,
    ) -> impl Future<Output = Result<CoroutineState<Y, F::Output>, E>> {
        resume::athrow(self.as_mut(), error)
    }

    /// [`close`](Self::close) for a body that also awaits other futures: its clean-up may await.
    ///
    /// In the middle of a step, the next `yield_` of the body hears it, in place of an answer or a thrown error that is
    /// on its way and was not heard yet.
    ///
    /// # Errors
    /// [`IgnoredClose`] with the value, if the body yields instead of returning.
    ///
    /// # Cancellation
    /// **Partial.** Dropped early, it leaves the body in its clean-up. Call `aclose` again to wait for the rest of it: the
    /// body is not told twice.
    pub fn aclose(
        self: &mut Pin<&mut Self>,
    ) -> impl Future<Output = Result<Option<F::Output>, IgnoredClose<Y>>> {
        resume::aclose(self.as_mut())
    }

    /// Waits for the end of a step whose future was dropped ([`State::Awaiting`]).
    ///
    /// # Cancellation
    /// **Did not happen.** Call it again.
    ///
    /// # Panics
    /// If no step is under way.
    #[track_caller]
    pub fn finish_step(
        self: &mut Pin<&mut Self>,
    ) -> impl Future<Output = CoroutineState<Y, F::Output>> {
        resume::finish_step(self.as_mut())
    }

    /// Takes the return value of a generator that was iterated to its end, as an [`Iterator`] or as a stream.
    ///
    /// `None` before the end, the second time, and after [`send`](Self::send) or [`close`](Self::close), which
    /// hand the value over themselves.
    ///
    /// # Examples
    /// ```
    /// use antiphon_coroutine::{generator, Interrupt};
    /// use std::pin::pin;
    ///
    /// let mut numbers = pin!(generator(async |co| -> Result<&str, Interrupt> {
    ///     co.yield_(1).await?;
    ///     Ok("the end")
    /// }));
    /// assert_eq!(numbers.by_ref().sum::<i32>(), 1);
    /// assert_eq!(numbers.take_return(), Some(Ok("the end")));
    /// ```
    pub fn take_return(self: &mut Pin<&mut Self>) -> Option<F::Output> {
        Steps::take_return(self.as_mut())
    }

    /// Returns what the coroutine is doing.
    #[inline]
    pub fn state(&self) -> State {
        if self.slot().is_suspended() {
            return State::Suspended;
        }
        match self.phase.get() {
            Phase::Created => State::Created,
            Phase::Running => State::Panicked,
            Phase::Stopped | Phase::Awaiting => State::Awaiting,
            Phase::Closed => State::Closed,
        }
    }

    /// Returns `true` if the coroutine can't be resumed any more: it returned, was closed, or panicked.
    #[inline]
    pub fn is_finished(&self) -> bool {
        resume::is_over(self.state())
    }

    /// Returns the line of the `yield_` at which the coroutine sleeps, in the innermost function.
    ///
    /// `None` unless it is [`State::Suspended`].
    ///
    /// # Examples
    /// ```
    /// use antiphon_coroutine::{generator, Interrupt};
    /// use std::pin::pin;
    ///
    /// let mut lines = pin!(generator(async |co| -> Result<(), Interrupt> { co.yield_(line!()).await }));
    /// assert_eq!(lines.location(), None);
    /// let line = lines.next().unwrap();
    /// assert_eq!(lines.location().unwrap().line(), line);
    /// ```
    pub fn location(&self) -> Option<&'static Location<'static>> {
        match self.state() {
            State::Suspended => self.slot().location(),
            State::Created | State::Awaiting | State::Closed | State::Panicked => None,
        }
    }

    /// Returns the line where the coroutine was made.
    #[inline]
    pub fn origin(&self) -> &'static Location<'static> {
        self.origin
    }

    /// Returns the coroutine's name: the one it was given, or the path of its body as the compiler writes it.
    #[inline]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns all that the coroutine says of itself.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: self.state(),
            name: self.name,
            origin: self.origin,
            location: self.location(),
        }
    }

    #[inline]
    fn slot(&self) -> &Slot<Y, S, E> {
        // SAFETY: the driver looks at the slot only while the body does not run, and the body only while it does; neither
        // keeps a reference into it.
        unsafe { &*self.slot.get() }
    }

    /// Returns the body of a coroutine that has one.
    ///
    /// # Safety
    ///
    /// It has not ended, and the caller holds the only `Pin<&mut Self>` for as long as the result is used.
    #[allow(clippy::mut_from_ref, reason = "the callers hold the only reference")]
    #[inline]
    unsafe fn body(&self) -> Pin<&mut F> {
        // SAFETY: the callers hold the only reference to the coroutine, nothing else borrows the cell, and the body
        // can't reach the object that it is a part of.
        let stage = unsafe { &mut *self.stage.get() };
        let Stage::Body(body) = stage else {
            // SAFETY: the body is there until it ends, and the caller promised that it has not.
            unsafe { unreachable_unchecked() }
        };
        // SAFETY: the coroutine is pinned, and with it the body, which is never moved out of its stage: it is
        // dropped there.
        unsafe { Pin::new_unchecked(body) }
    }

    /// Runs the body, which was started, for one step. The message is in the slot, and the answer will be.
    ///
    /// The only place that polls a body, so that the compiler can unite the two: the body's code is inlined here, and
    /// this function is not inlined where steps are made.
    #[inline(never)]
    fn run(&self, waker: &Waker) {
        // SAFETY: only a `Frame` is ever shown a boot waker, and it shows it to nobody.
        unsafe { assert_unchecked(!is_boot(waker)) };
        // SAFETY: the callers hold the only `Pin<&mut Self>`, and have looked at the state.
        let body = unsafe { self.body() };
        if let Poll::Ready(value) = body.poll(&mut Context::from_waker(waker)) {
            self.end_of_body(value);
        }
    }

    /// Takes what the body yielded in the step that has just been run. `None` if it did not, or if a waker was noted:
    /// `end_of_step` knows more.
    #[inline]
    fn take_yielded(&self) -> Option<Y> {
        let value = self.slot().take_out();
        if value.is_none() {
            self.phase.set(Phase::Stopped);
        }
        value
    }

    /// Runs the body for one step with any waker and any message, to its end.
    fn run_with(&self, waker: &Waker) -> Step<Y, F::Output> {
        self.slot().set_driver(waker);
        self.phase.set(Phase::Running);
        self.run(waker);
        self.slot().set_driver(&SYNC);
        match self.take_yielded() {
            Some(value) => Step::Yielded(value),
            None => self.end_of_step(),
        }
    }

    /// Puts the return value in the body's place, for `end_of_step`.
    #[cold]
    #[inline(never)]
    fn end_of_body(&self, value: F::Output) {
        // SAFETY: called by `run`, which is done with the body; it is dropped in place, not moved.
        unsafe { *self.stage.get() = Stage::Returned(value) };
        // What a forgotten yield has left there, of the body or of a destructor in it, is not the body's last word.
        self.slot().clear_value();
    }

    /// Ends a step in which the body did not yield, or a waker was noted. `Refused` if there was no step.
    #[cold]
    #[inline(never)]
    fn end_of_step(&self) -> Step<Y, F::Output> {
        if self.phase.get() != Phase::Stopped {
            return Step::Refused;
        }
        // SAFETY: as in `body`.
        let stage = unsafe { &mut *self.stage.get() };
        if let Some(value) = stage.take_return() {
            self.phase.set(Phase::Closed);
            self.slot().clear();
            return Step::Complete(value);
        }
        if let Some(value) = self.slot().take_out_noted() {
            self.phase.set(Phase::Running);
            return Step::Yielded(value);
        }
        self.phase.set(Phase::Awaiting);
        Step::Awaiting
    }

    /// A `step_send` that is not the usual one: the first, or one that has somebody to wake, or one that can't be.
    #[cold]
    #[inline(never)]
    fn run_unusual(&self, value: S) -> Option<Y> {
        if !self.open(value) {
            return None;
        }
        self.run(&SYNC);
        self.take_yielded()
    }

    /// Puts `value` in the slot of a coroutine that can take it, and starts the body if it was not. Returns `false` if it
    /// can't.
    #[inline]
    fn open(&self, value: S) -> bool {
        if self.slot().is_suspended() {
            self.slot().wake_sleeper();
            self.slot().open(value);
            return true;
        }
        if self.phase.get() != Phase::Created {
            return false;
        }
        self.slot().open(value);
        self.phase.set(Phase::Running);
        // SAFETY: as in `run`.
        let body = unsafe { self.body() };
        // The boot poll, which is always pending.
        let _ = body.poll(&mut Context::from_waker(&boot_waker(self.slot.get())));
        true
    }

    /// Runs a step that may be a close, and forgets the close when the step ends.
    fn run_interrupted(&self, waker: &Waker) -> Step<Y, F::Output> {
        let step = self.run_with(waker);
        if !matches!(step, Step::Awaiting) {
            self.is_closing.set(false);
        }
        step
    }

    /// Drops what is left of the body, and keeps `stage` in its place.
    fn replace_stage(self: Pin<&mut Self>, stage: Stage<F>) {
        // SAFETY: `self` is the only reference, and the body is dropped in place, not moved.
        unsafe { *self.stage.get() = stage };
    }
}

impl<F: Future, Y, S, E> Resume for Coroutine<F, Y, S, E> {}

impl<F: Future, Y, S, E> Steps for Coroutine<F, Y, S, E> {
    type Yield = Y;
    type Sent = S;
    type Return = F::Output;
    type Error = E;

    #[inline]
    fn step_send(self: Pin<&mut Self>, value: S) -> Option<Y> {
        if !self.slot().is_asked() {
            return self.run_unusual(value);
        }
        self.slot().open(value);
        self.run(&SYNC);
        self.take_yielded()
    }

    fn end_of_send(self: Pin<&mut Self>) -> Step<Y, F::Output> {
        self.end_of_step()
    }

    fn step_asend(self: Pin<&mut Self>, value: S, waker: &Waker) -> Step<Y, F::Output> {
        if !self.open(value) {
            return Step::Refused;
        }
        self.run_with(waker)
    }

    fn step_interrupt(
        self: Pin<&mut Self>,
        interrupt: Interrupt<E>,
        waker: &Waker,
    ) -> Step<Y, F::Output> {
        let is_close = interrupt.is_closed();
        match self.state() {
            // The body heard this close, or will: it is waited for, not sent again.
            State::Awaiting if is_close && self.is_closing.get() => return self.step_on(waker),
            State::Suspended | State::Awaiting => {}
            State::Created | State::Closed | State::Panicked => return Step::Refused,
        }
        self.slot().open_interrupt(interrupt);
        self.is_closing.set(is_close);
        self.run_interrupted(waker)
    }

    fn step_on(self: Pin<&mut Self>, waker: &Waker) -> Step<Y, F::Output> {
        if self.phase.get() != Phase::Awaiting {
            return Step::Refused;
        }
        self.slot().wake_sleeper();
        self.run_interrupted(waker)
    }

    fn close_unstarted(self: Pin<&mut Self>) {
        if self.phase.get() == Phase::Created {
            self.phase.set(Phase::Closed);
            self.replace_stage(Stage::Empty);
        }
    }

    fn keep_return(self: Pin<&mut Self>, value: F::Output) {
        if self.phase.get() == Phase::Closed {
            self.replace_stage(Stage::Returned(value));
        }
    }

    fn take_return(self: Pin<&mut Self>) -> Option<F::Output> {
        // SAFETY: `self` is the only reference, and only a return value, which is not pinned, is moved out.
        unsafe { &mut *self.stage.get() }.take_return()
    }

    fn state(&self) -> State {
        self.state()
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot()
    }
}

/// Iterates over the values yielded. The end is `None`, again and again; the return value is kept for
/// [`Coroutine::take_return`].
///
/// # Panics
/// `next` panics if the body awaits anything but a `yield_`.
impl<F: Future, Y, E> Iterator for Pin<&mut Coroutine<F, Y, (), E>> {
    type Item = Y;

    #[track_caller]
    #[inline]
    fn next(&mut self) -> Option<Y> {
        resume::next(self.as_mut())
    }
}

impl<F: Future, Y, E> FusedIterator for Pin<&mut Coroutine<F, Y, (), E>> {}

impl<F: Future, Y, S, E> fmt::Debug for Coroutine<F, Y, S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt_as("Coroutine", f)
    }
}
