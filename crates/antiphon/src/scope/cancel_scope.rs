//! Scopes as their users hold them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::pin::pin;
use std::rc::Rc;
use std::task::Context;
use std::time::Instant;

use super::{CancelReason, Cancelled, ScopeId, ScopeRef, Scopes};
use crate::wait::{Place, Wheel, poll_place};
use crate::worker::{current, try_current};

/// A stretch of a task that can be told to stop.
///
/// [`run`](Self::run) runs a body in it, once. Clones are the same scope: keep one to [`cancel`](Self::cancel) from elsewhere
/// on the same thread. What the body spawns with [`spawn`](crate::spawn) is not in it.
///
/// # Examples
/// ```
/// use antiphon::{CancelScope, Cancelled, Outcome, run, spawn, time};
/// use std::time::Duration;
///
/// run(async || {
///     let scope = CancelScope::new();
///     let stopper = scope.clone();
///     let stop = spawn(async move || {
///         time::sleep(Duration::from_millis(1)).await?;
///         stopper.cancel("long enough");
///         Ok::<(), Cancelled>(())
///     });
///     let outcome = scope.run(async || {
///         loop {
///             time::sleep(Duration::from_secs(1)).await?;
///         }
///         #[allow(unreachable_code, reason = "gives the type")]
///         Ok::<(), Cancelled>(())
///     });
///     assert!(matches!(outcome.await, Outcome::Cancelled(..)));
///     stop.await.unwrap().unwrap();
/// });
/// ```
#[derive(Clone)]
pub struct CancelScope {
    inner: Rc<Inner>,
}

struct Inner {
    state: RefCell<State>,
    deadline: Cell<Option<Instant>>,
    /// The line that made it, or set its deadline.
    at: Cell<&'static Location<'static>>,
}

enum State {
    /// Not run yet; it may have been cancelled all the same.
    New(Option<(CancelReason, &'static Location<'static>)>),
    Entered(ScopeRef),
    /// It has ended, cancelled or not.
    Left(Option<Cancelled>),
}

/// How a scope was left.
///
/// A body that returns a value keeps it, even if it was cancelled. A body that returns an error was cancelled if a wait in it
/// was ended by *this* scope's cancel: a cancel of a scope further out is an error as any other, which goes on outwards.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it may tell of an error"]
pub enum Outcome<T, E> {
    /// The body returned a value.
    Done(T),
    /// The body returned an error, and no wait in it was ended by this scope's cancel.
    Failed(E),
    /// The scope was cancelled, and a wait in the body was ended by it. What the body returned is kept beside: mostly the
    /// same once more, but it may be the error of a clean-up.
    Cancelled(Cancelled, E),
}

impl<T, E> Outcome<T, E> {
    /// What is to be said of a scope that was left, where `delivered` is its cancel if a wait in it was ended by it.
    pub(super) fn new(result: Result<T, E>, delivered: Option<Cancelled>) -> Self {
        match (result, delivered) {
            (Ok(value), _) => Self::Done(value),
            (Err(error), Some(cancelled)) => Self::Cancelled(cancelled, error),
            (Err(error), None) => Self::Failed(error),
        }
    }

    /// Returns what the body returned.
    ///
    /// # Errors
    /// The body's error, cancelled or not.
    pub fn into_result(self) -> Result<T, E> {
        match self {
            Self::Done(value) => Ok(value),
            Self::Failed(error) | Self::Cancelled(_, error) => Err(error),
        }
    }

    /// Returns the value, if there is one, or `None` if the scope was cancelled.
    ///
    /// # Errors
    /// The body's error if it was not cancelled.
    pub fn unless_cancelled(self) -> Result<Option<T>, E> {
        match self {
            Self::Done(value) => Ok(Some(value)),
            Self::Failed(error) => Err(error),
            Self::Cancelled(..) => Ok(None),
        }
    }

    /// Returns `true` if the scope was cancelled and a wait in the body was ended by it.
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(..))
    }
}

impl CancelScope {
    /// Makes a scope without a deadline.
    #[track_caller]
    pub fn new() -> Self {
        Self::make(None, Location::caller())
    }

    /// Makes a scope that is cancelled at `deadline`.
    #[track_caller]
    pub fn with_deadline(deadline: Instant) -> Self {
        Self::make(Some(deadline), Location::caller())
    }

    pub(crate) fn make(deadline: Option<Instant>, at: &'static Location<'static>) -> Self {
        let inner = Rc::new(Inner {
            state: RefCell::new(State::New(None)),
            deadline: Cell::new(deadline),
            at: Cell::new(at),
        });
        Self { inner }
    }

    /// Cancels it, and says why. Returns `false` if it was cancelled before, or has ended: then nothing happens.
    ///
    /// Everyone who waits in it is woken and hears of it; who does not wait hears of it at the next wait. Before the scope is
    /// entered it can be cancelled as well: then the first wait hears of it.
    #[track_caller]
    pub fn cancel(&self, why: &str) -> bool {
        self.cancel_for(CancelReason::Requested(why.into()), Location::caller())
    }

    pub(crate) fn cancel_for(&self, reason: CancelReason, at: &'static Location<'static>) -> bool {
        let scope = match &mut *self.inner.state.borrow_mut() {
            State::New(cancelled @ None) => {
                *cancelled = Some((reason, at));
                return true;
            }
            State::Entered(scope) => *scope,
            State::New(Some(_)) | State::Left(_) => return false,
        };
        try_current(|worker| Scopes::cancel(worker, scope, reason, at)) == Some(true)
    }

    /// Returns its cancel, if it was cancelled while it ran, or before.
    pub fn cancelled(&self) -> Option<Cancelled> {
        match &*self.inner.state.borrow() {
            State::New(_) => None,
            State::Entered(scope) => {
                try_current(|worker| worker.scopes().cancelled(*scope)).flatten()
            }
            State::Left(cancelled) => cancelled.clone(),
        }
    }

    /// Returns `true` if it was cancelled, whether or not anything in it has heard of it.
    pub fn is_cancelled(&self) -> bool {
        matches!(&*self.inner.state.borrow(), State::New(Some(_))) || self.cancelled().is_some()
    }

    /// Returns its number, while its body runs.
    pub fn id(&self) -> Option<ScopeId> {
        match &*self.inner.state.borrow() {
            State::Entered(scope) => try_current(|worker| worker.scopes().id(*scope)).flatten(),
            State::New(_) | State::Left(_) => None,
        }
    }

    /// Returns its deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.inner.deadline.get()
    }

    /// Gives it another deadline, or none. It has no effect on a scope that was cancelled or left.
    #[track_caller]
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.inner.deadline.set(deadline);
        self.inner.at.set(Location::caller());
        let entered = match *self.inner.state.borrow() {
            State::Entered(scope) => Some(scope),
            State::New(_) | State::Left(_) => None,
        };
        if let Some(scope) = entered {
            // Whoever polls it sets the timer anew.
            try_current(|worker| worker.scopes().wake(scope));
        }
    }

    /// Runs `body` in the scope.
    ///
    /// # Panics
    /// If the scope was run before, or no loop is running on this thread.
    ///
    /// # Cancellation
    /// A cancel from further out goes through: the body hears of it, and what it returns is passed on.
    #[track_caller]
    pub fn run<F, T, E>(&self, body: F) -> impl Future<Output = Outcome<T, E>>
    where
        F: AsyncFnOnce() -> Result<T, E>,
    {
        self.run_at(body, Location::caller())
    }

    pub(crate) async fn run_at<F, T, E>(
        &self,
        body: F,
        at: &'static Location<'static>,
    ) -> Outcome<T, E>
    where
        F: AsyncFnOnce() -> Result<T, E>,
    {
        let entered = self.enter(false, at);
        let result = entered.run(body).await;
        Outcome::new(result, entered.leave())
    }

    #[track_caller]
    pub(crate) fn enter(&self, is_shield: bool, at: &'static Location<'static>) -> Entered<'_> {
        let scope = current(|worker| {
            let task = worker.running_address();
            worker.scopes().enter(task, is_shield, at)
        });
        let before = self.inner.state.replace(State::Entered(scope));
        match before {
            State::New(None) => {}
            State::New(Some((reason, at))) => {
                self.cancel_for(reason, at);
            }
            State::Entered(_) | State::Left(_) => {
                current(|worker| worker.scopes().leave(scope));
                self.inner.state.replace(before);
                panic!("a scope can be run once");
            }
        }
        Entered {
            owner: self,
            scope,
            timer: RefCell::new(Timer::default()),
        }
    }
}

/// A scope that is being run. Dropping it leaves the scope.
pub(crate) struct Entered<'a> {
    owner: &'a CancelScope,
    scope: ScopeRef,
    timer: RefCell<Timer>,
}

/// The timer of a deadline.
#[derive(Default)]
struct Timer {
    place: Option<Place>,
    /// What it is set to.
    deadline: Option<Instant>,
    is_over: bool,
}

impl Entered<'_> {
    pub(crate) const fn scope(&self) -> ScopeRef {
        self.scope
    }

    /// Runs `body` in it.
    pub(crate) async fn run<T>(&self, body: impl AsyncFnOnce() -> T) -> T {
        let mut body = pin!(body());
        poll_fn(|cx| self.poll(cx, |cx| body.as_mut().poll(cx))).await
    }

    /// Has `poll` poll something that is in the scope.
    pub(crate) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> T,
    ) -> T {
        self.look_at_the_time(cx);
        current(|worker| worker.scopes().within(self.scope, cx.waker(), || poll(cx)))
    }

    /// Cancels the scope if its deadline has come, and has the task woken then if it has not.
    fn look_at_the_time(&self, cx: &Context<'_>) {
        let mut timer = self.timer.borrow_mut();
        let deadline = self.owner.inner.deadline.get();
        if timer.is_over || (deadline.is_none() && timer.deadline.is_none()) {
            return;
        }
        if timer.deadline != deadline {
            timer.stop();
            timer.deadline = deadline;
            current(|worker| worker.scopes().note_deadline(self.scope, deadline));
        }
        let Some(deadline) = deadline else { return };
        let at = self.owner.inner.at.get();
        if crate::time::now() < deadline {
            if timer.place.is_none() || poll_place(&mut timer.place, cx).is_ready() {
                timer.place = Some(Wheel::join(cx, deadline, "deadline", at));
            }
            return;
        }
        timer.stop();
        timer.is_over = true;
        drop(timer);
        self.owner.cancel_for(CancelReason::Deadline, at);
    }

    /// Leaves the scope. Returns its cancel, if a wait in it has ended with it.
    pub(crate) fn leave(self) -> Option<Cancelled> {
        self.owner.leave(self.scope)
    }
}

impl CancelScope {
    fn leave(&self, scope: ScopeRef) -> Option<Cancelled> {
        let left = try_current(|worker| {
            let cancelled = worker.scopes().cancelled(scope);
            (cancelled, worker.scopes().leave(scope))
        });
        let (cancelled, delivered) = left?;
        if !matches!(&*self.inner.state.borrow(), State::Left(_)) {
            self.inner.state.replace(State::Left(cancelled));
        }
        delivered
    }
}

impl Timer {
    fn stop(&mut self) {
        if let Some(place) = self.place.take() {
            Wheel::leave(place);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.owner.leave(self.scope);
    }
}

impl Default for CancelScope {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelScope")
            .field("id", &self.id())
            .field("deadline", &self.deadline())
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// Runs `body` so that no cancel from outside reaches it.
///
/// For the waits of a clean-up: a rollback, a farewell to the peer. What is cancelled meanwhile is heard of at the first wait
/// after it. Scopes inside can still be cancelled, so a shield that might take long wants a deadline of its own inside.
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Examples
/// ```
/// use antiphon::{CancelScope, run, shield, yield_now};
///
/// run(async || {
///     let scope = CancelScope::new();
///     let outcome = scope.run(async || {
///         scope.cancel("for the example");
///         assert!(shield(async || yield_now().await).await.is_ok());
///         yield_now().await
///     });
///     assert!(outcome.await.is_cancelled());
/// });
/// ```
#[track_caller]
pub fn shield<F, T>(body: F) -> impl Future<Output = T>
where
    F: AsyncFnOnce() -> T,
{
    let at = Location::caller();
    async move {
        let scope = CancelScope::make(None, at);
        let entered = scope.enter(true, at);
        entered.run(body).await
    }
}
