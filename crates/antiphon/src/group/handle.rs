//! Waiting for a child's value.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::scope::{
    CancelReason, Cancelled, Checkpoint, ScopeRef, Scopes, deliver, is_cancelled_here,
};
use crate::task::{TASK_WAIT, TaskId, awaits_itself};
use crate::wait::{Place, Waits, poll_place};
use crate::worker::{contain, try_current};

/// A child of a group, whose value can be awaited.
///
/// Dropping it does nothing: the group waits for the child all the same, and has its error. While it waits, the task tree
/// shows it with the line that spawned the child.
///
/// # Errors
/// [`ChildError`]: why there is no value.
///
/// # Cancellation
/// **Did not happen.** The child goes on, and the handle can be awaited again.
///
/// # Panics
/// If it is polled after it gave the value, or by the child itself, which would wait for ever.
///
/// # Examples
/// ```
/// use antiphon::{group, run};
/// use std::io;
///
/// run(async || {
///     let product = group(async |group| {
///         let two = group.spawn(async || Ok(2));
///         let three = group.spawn(async || Ok(3));
///         Ok::<u32, io::Error>(two.await? * three.await?)
///     });
///     assert_eq!(product.await.unwrap(), 6);
/// });
/// ```
pub struct ChildHandle<T> {
    shared: Rc<Shared<T>>,
    /// Its record, while it waits. The child has a copy.
    place: Option<Place>,
    checkpoint: Checkpoint,
}

/// What a child and its handle share.
pub(super) struct Shared<T> {
    pub(super) about: About,
    /// What the body returned, until the child is [settled](Settle).
    value: Cell<Option<T>>,
    stage: Cell<Stage<T>>,
    /// Of who awaits the handle.
    joiner: Cell<Option<Place>>,
}

enum Stage<T> {
    Running,
    Ended(Result<T, ChildError>),
    Taken,
}

/// What is known of a child.
#[derive(Clone)]
pub(super) struct About {
    pub(super) id: TaskId,
    pub(super) name: Option<Arc<str>>,
    pub(super) origin: &'static Location<'static>,
    /// `None` if it was refused.
    pub(super) scope: Option<ScopeRef>,
}

impl<T> Shared<T> {
    pub(super) fn new(about: About) -> Rc<Self> {
        Rc::new(Self {
            about,
            value: Cell::new(None),
            stage: Cell::new(Stage::Running),
            joiner: Cell::new(None),
        })
    }

    pub(super) fn set_value(&self, value: Option<T>) {
        self.value.set(value);
    }

    fn is_finished(&self) -> bool {
        let stage = self.stage.replace(Stage::Taken);
        let is_finished = !matches!(stage, Stage::Running);
        self.stage.set(stage);
        is_finished
    }

    fn take_outcome(&self) -> Option<Result<T, ChildError>> {
        match self.stage.replace(Stage::Taken) {
            Stage::Running => {
                self.stage.set(Stage::Running);
                None
            }
            Stage::Ended(outcome) => Some(outcome),
            Stage::Taken => panic!("the handle of a child was polled after it gave its result"),
        }
    }
}

/// What the group says to a child's handle.
pub(super) trait Settle {
    /// Says that the child has ended: with the value that it left, or why there is none.
    fn settle(&self, failure: Option<Kind>);

    fn origin(&self) -> &'static Location<'static>;
}

impl<T> Settle for Shared<T> {
    fn settle(&self, failure: Option<Kind>) {
        let value = self.value.take();
        let outcome = match (failure, value) {
            (None, Some(value)) => Ok(value),
            (failure, value) => {
                contain(|| drop(value));
                Err(self.about.error(failure.unwrap_or(Kind::Ended)))
            }
        };
        self.stage.set(Stage::Ended(outcome));
        if let Some(place) = self.joiner.get() {
            try_current(|worker| Waits::choose(worker, place));
        }
    }

    fn origin(&self) -> &'static Location<'static> {
        self.about.origin
    }
}

impl About {
    fn error(&self, kind: Kind) -> ChildError {
        ChildError {
            about: Box::new(self.clone()),
            kind,
        }
    }
}

impl<T> ChildHandle<T> {
    pub(super) const fn new(shared: Rc<Shared<T>>) -> Self {
        Self {
            shared,
            place: None,
            checkpoint: Checkpoint::new(),
        }
    }

    /// Makes the handle of a child that was not taken in.
    pub(super) fn refused(about: About) -> Self {
        let shared = Shared::new(about);
        shared.settle(Some(Kind::Refused));
        Self::new(shared)
    }

    /// Returns the outcome, if the child has ended.
    pub(super) fn into_outcome(self) -> Option<Result<T, ChildError>> {
        self.shared.take_outcome()
    }

    /// Cancels the child, and only that. Returns `false` if it was cancelled before, or has ended.
    ///
    /// If it ends with an error because of that, that is not a failure of the group.
    ///
    /// # Examples
    /// ```
    /// use antiphon::{Cancelled, group, run, time};
    /// use std::time::Duration;
    ///
    /// run(async || {
    ///     let outcome = group(async |group| {
    ///         let child = group.spawn(async || time::sleep(Duration::from_secs(3600)).await);
    ///         child.cancel("nobody waits that long");
    ///         assert!(child.await.unwrap_err().is_cancelled());
    ///         Ok::<(), Cancelled>(())
    ///     });
    ///     assert!(outcome.await.is_ok());
    /// });
    /// ```
    #[track_caller]
    pub fn cancel(&self, why: &str) -> bool {
        self.cancel_for(CancelReason::Requested(why.into()), Location::caller())
    }

    pub(super) fn cancel_for(&self, reason: CancelReason, at: &'static Location<'static>) -> bool {
        let Some(scope) = self.shared.about.scope.filter(|_| !self.is_finished()) else {
            return false;
        };
        try_current(|worker| Scopes::cancel(worker, scope, reason, at)) == Some(true)
    }

    /// Returns `true` if the child has ended.
    pub fn is_finished(&self) -> bool {
        self.shared.is_finished()
    }

    /// Returns the child's number.
    pub fn id(&self) -> TaskId {
        self.shared.about.id
    }

    /// Returns the child's name.
    pub fn name(&self) -> Option<&str> {
        self.shared.about.name.as_deref()
    }

    /// Returns the line that spawned the child.
    pub fn origin(&self) -> &'static Location<'static> {
        self.shared.about.origin
    }

    fn wait(&mut self, cx: &Context<'_>) -> Poll<Cancelled> {
        if self.place.is_none() {
            if let Some(true) = try_current(|worker| worker.running_id() == Some(self.id())) {
                awaits_itself(self.id(), self.origin());
            }
            let place = Waits::join_for(cx, TASK_WAIT, self.origin(), self.id().get());
            self.place = Some(place);
            self.shared.joiner.set(self.place);
            // Joining may run a foreign waker's code, in which the child may have ended.
            if self.shared.is_finished() {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        let _ = poll_place(&mut self.place, cx);
        if is_cancelled_here() {
            if let Some(cancelled) = deliver() {
                self.leave();
                return Poll::Ready(cancelled);
            }
        }
        Poll::Pending
    }

    /// Waits no more.
    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            self.shared.joiner.set(None);
            Waits::leave(place);
        }
    }
}

impl<T> Unpin for ChildHandle<T> {}

impl<T> Future for ChildHandle<T> {
    type Output = Result<T, ChildError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let begun = if self.place.is_some() {
            Ok(())
        } else {
            let at = self.origin();
            ready!(self.checkpoint.poll(cx, at))
        };
        let cancelled = match begun {
            Ok(()) => {
                if let Some(outcome) = self.shared.take_outcome() {
                    self.leave();
                    return Poll::Ready(outcome);
                }
                ready!(self.wait(cx))
            }
            Err(cancelled) => cancelled,
        };
        self.checkpoint = Checkpoint::new();
        let error = self.shared.about.error(Kind::WaitCancelled(cancelled));
        Poll::Ready(Err(error))
    }
}

impl<T> Drop for ChildHandle<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> fmt::Debug for ChildHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildHandle")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// Why a child's handle gives no value.
///
/// If the child failed, or was cancelled, its [`source`](Error::source) is the [`Cancelled`] that followed: so a body that
/// passes it on with `?` does not add an error to the one that the group has already.
pub struct ChildError {
    about: Box<About>,
    kind: Kind,
}

/// What became of a child that has no value.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// It returned an error, which the group has; and the cancel of the group for that, or an earlier one.
    Failed(Option<Cancelled>),
    Panicked(Option<Cancelled>),
    Cancelled(Cancelled),
    /// Its group was dropped.
    Ended,
    /// It was never taken in.
    Refused,
    WaitCancelled(Cancelled),
}

impl ChildError {
    /// Returns `true` if the child returned an error, which is in the [`GroupError`](super::GroupError).
    pub const fn is_failed(&self) -> bool {
        matches!(self.kind, Kind::Failed(_))
    }

    /// Returns `true` if the child panicked. The group resumes the panic when all have ended.
    pub const fn is_panic(&self) -> bool {
        matches!(self.kind, Kind::Panicked(_))
    }

    /// Returns `true` if the child was cancelled, and ended with that.
    pub const fn is_cancelled(&self) -> bool {
        matches!(self.kind, Kind::Cancelled(_))
    }

    /// Returns `true` if the group had ended before the child was spawned; its body was dropped.
    pub const fn is_refused(&self) -> bool {
        matches!(self.kind, Kind::Refused)
    }

    /// Returns `true` if the group was dropped before the child had ended.
    pub const fn is_ended(&self) -> bool {
        matches!(self.kind, Kind::Ended)
    }

    /// Returns `true` if the wait for the child was cancelled. The child goes on, and can be waited for again.
    pub const fn is_wait_cancelled(&self) -> bool {
        matches!(self.kind, Kind::WaitCancelled(_))
    }
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let About {
            id, name, origin, ..
        } = &*self.about;
        write!(f, "task {id}")?;
        if let Some(name) = name {
            write!(f, " `{name}`")?;
        }
        write!(f, " (spawned at {origin}) ")?;
        f.write_str(match self.kind {
            Kind::Failed(_) => "failed",
            Kind::Panicked(_) => "panicked",
            Kind::Cancelled(_) => "was cancelled",
            Kind::Ended => "was dropped with its group",
            Kind::Refused => "was refused: its group has ended",
            Kind::WaitCancelled(_) => "was not waited for",
        })
    }
}

impl fmt::Debug for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChildError({self})")
    }
}

/// Its kind is [`Other`](io::ErrorKind::Other).
impl From<ChildError> for io::Error {
    fn from(error: ChildError) -> Self {
        Self::other(error)
    }
}

impl Error for ChildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            Kind::Failed(cancelled) | Kind::Panicked(cancelled) => {
                cancelled.as_ref().map(|cancelled| cancelled as _)
            }
            Kind::Cancelled(cancelled) | Kind::WaitCancelled(cancelled) => Some(cancelled),
            Kind::Ended | Kind::Refused => None,
        }
    }
}
