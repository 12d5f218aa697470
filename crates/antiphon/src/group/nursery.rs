//! The group itself.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::builder::ChildBuilder;
use super::children::State;
use super::errors::GroupError;
use super::handle::ChildHandle;
use crate::scope::{CancelReason, CancelScope, Cancelled};
use crate::thread::JoinError;
use crate::workers::{WorkerTask, workers};

/// Runs `body`, which may spawn children, and ends when it and all of them have ended.
///
/// The children may borrow what lives longer than the group. They run in the task that awaits the group, in turn with the
/// others of the loop, and each is a task of its own in the [`tree`](crate::tree).
///
/// The first that fails, the body or a child, has the rest cancelled: their waits end with [`Cancelled`], they clean up, and
/// the group ends. It returns the body's value, if nobody failed.
///
/// # Errors
/// [`GroupError`]: what the body and the children returned, but for the errors that come of the group's own cancel. If the group
/// was cancelled from further out and one of the children ended with that, this is the error, even if the body has a value.
/// The value is dropped then.
///
/// # Panics
/// If no loop is running on this thread. With the panic of the body or of a child, the first one, when all have ended.
///
/// # Cancellation
/// The body and the children hear of it, and the group ends when they have. If the future is dropped, so are they, the children
/// first; a child that is spawned meanwhile is refused.
///
/// # Examples
/// ```
/// use antiphon::{group, run, yield_now};
/// use std::cell::Cell;
/// use std::io;
///
/// run(async || {
///     let served = Cell::new(0);
///     group(async |group| {
///         for guest in 1..=3 {
///             let served = &served;
///             group.spawn(async move || {
///                 yield_now().await?;
///                 served.set(served.get() + guest);
///                 Ok(())
///             });
///         }
///         Ok::<(), io::Error>(())
///     })
///     .await?;
///     assert_eq!(served.get(), 6);
///     Ok::<(), io::Error>(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
#[track_caller]
pub fn group<'env, F, T, E>(body: F) -> impl Future<Output = Result<T, GroupError<E>>>
where
    F: AsyncFnOnce(Group<'env, E>) -> Result<T, E>,
    E: Error + 'static,
{
    run(body, Location::caller())
}

pub(super) async fn run<'env, F, T, E>(
    body: F,
    at: &'static Location<'static>,
) -> Result<T, GroupError<E>>
where
    F: AsyncFnOnce(Group<'env, E>) -> Result<T, E>,
    E: Error + 'static,
{
    let scope = CancelScope::make(None, at);
    let entered = scope.enter(false, at);
    let state = State::new(entered.scope(), at);
    let group = Group {
        state: Rc::clone(&state),
    };
    let mut body = pin!(Some(body(group)));
    // Declared last, so it goes first: the children before all that is here.
    let close = Close(&state);
    let mut value = None;
    // Kept beside the body: nobody looks into a future that may have references to itself.
    let mut has_ended = false;
    poll_fn(|cx| {
        entered.poll(cx, |cx| {
            if !has_ended {
                has_ended = poll_body(body.as_mut(), cx, &state, &mut value);
            }
            state.poll(cx);
            if has_ended && state.live() == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
    })
    .await;
    if let Some(payload) = state.end() {
        resume_unwind(payload);
    }
    drop(close);
    match (state.take_errors().into_error(), value) {
        (None, Some(value)) => Ok(value),
        (Some(error), _) => Err(error),
        (None, None) => unreachable!("a body without a value has an error, or has panicked"),
    }
}

/// Polls the body, which has not ended. Returns `true` when it has: it is dropped then, and has left its value if it has one.
fn poll_body<F, T, E>(
    mut body: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
    state: &State<'_, E>,
    value: &mut Option<T>,
) -> bool
where
    F: Future<Output = Result<T, E>>,
    E: Error + 'static,
{
    let step = || {
        let future = body.as_mut().as_pin_mut()?;
        let result = match future.poll(cx) {
            Poll::Ready(result) => result,
            Poll::Pending => return None,
        };
        Some(result.map_err(|error| (state.cause(&error), error)))
    };
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(None) => return false,
        Ok(Some(Ok(returned))) => *value = Some(returned),
        Ok(Some(Err((cause, error)))) => state.body_failed(&cause, error),
        Err(payload) => state.body_panicked(payload),
    }
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| body.set(None))) {
        state.body_panicked(payload);
    }
    true
}

/// Ends a group that is dropped, and with it its children. The first panic goes on.
struct Close<'a, 'env, E>(&'a State<'env, E>);

impl<E> Drop for Close<'_, '_, E> {
    fn drop(&mut self) {
        if let Some(payload) = self.0.end() {
            if std::thread::panicking() {
                std::mem::forget(payload);
            } else {
                resume_unwind(payload);
            }
        }
    }
}

/// A handle to a group, for spawning into it.
///
/// `'env` is the lifetime of what the children may borrow: anything that lives longer than the group. Clones are handles to the
/// same group. One that outlives the group refuses what is spawned.
pub struct Group<'env, E> {
    pub(super) state: Rc<State<'env, E>>,
}

impl<'env, E: Error + 'static> Group<'env, E> {
    /// Starts a child. It takes its first step after the tasks that are ready now.
    ///
    /// Nothing of an async closure runs before that step. If the group has been cancelled the child is started all the same: its
    /// first wait ends. If the group has ended, `body` is dropped and the handle [says so](super::ChildError::is_refused).
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Examples
    /// ```
    /// use antiphon::{Cancelled, group, run};
    ///
    /// run(async || {
    ///     let name = String::from("Ida");
    ///     let length = group(async |group| {
    ///         let length = group.spawn(async || Ok(name.len()));
    ///         Ok::<usize, Cancelled>(length.await.unwrap())
    ///     });
    ///     assert_eq!(length.await?, 3);
    ///     Ok::<(), Cancelled>(())
    /// })?;
    /// # Ok::<(), Cancelled>(())
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&self, body: F) -> ChildHandle<T>
    where
        F: AsyncFnOnce() -> Result<T, E> + 'env,
        T: 'env,
    {
        self.state.spawn(body(), None, Location::caller())
    }

    /// Starts a child on another worker of this run: see [`spawn_on`](crate::spawn_on).
    ///
    /// Here it is a child as any other: the group waits for its end, its error and its panic are the group's, and a cancel reaches
    /// it there; if the group is dropped, it is cancelled, and nobody waits. The closure, what it returns and its error go from one thread to another.
    ///
    /// If its worker ends before it does, that is a [`JoinError`](crate::thread::JoinError), which becomes an error of the group's
    /// type.
    ///
    /// # Panics
    /// If no loop is running on this thread, or there is no such worker.
    ///
    /// # Examples
    /// ```
    /// use antiphon::{Runtime, group, workers};
    /// use std::io;
    ///
    /// let mut runtime = Runtime::builder().workers(2).build()?;
    /// runtime.run(async || {
    ///     group(async |group| {
    ///         for worker in 0..workers().len() {
    ///             group.spawn_on(worker, async move || {
    ///                 println!("serving on worker {worker}");
    ///                 Ok::<(), io::Error>(())
    ///             });
    ///         }
    ///         Ok(())
    ///     })
    ///     .await
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn spawn_on<F, T>(&self, worker: usize, body: F) -> ChildHandle<T>
    where
        F: AsyncFnOnce() -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<JoinError> + Send + 'static,
    {
        let at = Location::caller();
        let handle = workers().handle(worker).clone();
        let child = async move {
            match WorkerTask::start(&handle, body, at)
                .cancel_if_dropped()
                .await
            {
                Ok(result) => result,
                Err(error) => match error.into_panic() {
                    Ok(payload) => resume_unwind(payload),
                    Err(error) => Err(error.into()),
                },
            }
        };
        self.state.spawn(child, None, at)
    }

    /// Starts a child that has a handle to the group, for spawning siblings: see [`spawn`](Self::spawn).
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Examples
    /// ```
    /// use antiphon::{Cancelled, Group, group, run};
    /// use std::cell::Cell;
    ///
    /// async fn visit<'env>(group: Group<'env, Cancelled>, depth: u32, seen: &'env Cell<u32>) -> Result<(), Cancelled> {
    ///     seen.set(seen.get() + 1);
    ///     if depth > 0 {
    ///         group.spawn_with(async move |group| visit(group, depth - 1, seen).await);
    ///         group.spawn_with(async move |group| visit(group, depth - 1, seen).await);
    ///     }
    ///     Ok(())
    /// }
    ///
    /// run(async || {
    ///     let seen = Cell::new(0);
    ///     group(async |group| visit(group, 3, &seen).await).await?;
    ///     assert_eq!(seen.get(), 15);
    ///     Ok::<(), Cancelled>(())
    /// })?;
    /// # Ok::<(), Cancelled>(())
    /// ```
    #[track_caller]
    pub fn spawn_with<F, T>(&self, body: F) -> ChildHandle<T>
    where
        F: AsyncFnOnce(Self) -> Result<T, E> + 'env,
        T: 'env,
    {
        let body = body(self.clone());
        self.state.spawn(body, None, Location::caller())
    }

    /// Returns a builder for a child with a name.
    pub const fn child(&self) -> ChildBuilder<'_, 'env, E> {
        ChildBuilder::new(self)
    }

    /// Cancels the group: its body and all children, and those that come. Returns `false` if it was cancelled before, or has
    /// ended.
    ///
    /// This is not a failure: if the body returns a value, that is the group's.
    ///
    /// # Examples
    /// ```
    /// use antiphon::{Cancelled, group, run, time};
    /// use std::time::Duration;
    ///
    /// run(async || {
    ///     let answer = group(async |group| {
    ///         group.spawn(async || time::sleep(Duration::from_secs(3600)).await);
    ///         group.cancel("have it already");
    ///         Ok::<u32, Cancelled>(42)
    ///     });
    ///     assert_eq!(answer.await?, 42);
    ///     Ok::<(), Cancelled>(())
    /// })?;
    /// # Ok::<(), Cancelled>(())
    /// ```
    #[track_caller]
    pub fn cancel(&self, why: &str) -> bool {
        self.cancel_for(CancelReason::Requested(why.into()), Location::caller())
    }

    pub(super) fn cancel_for(&self, reason: CancelReason, at: &'static Location<'static>) -> bool {
        self.state.cancel(reason, at)
    }

    /// Returns the group's cancel, if it was cancelled: for a failure, or by hand.
    pub fn cancelled(&self) -> Option<Cancelled> {
        self.state.cancelled()
    }

    /// Returns `true` if the group has ended, and takes nobody in.
    pub fn is_closed(&self) -> bool {
        self.state.is_closed()
    }

    /// Returns the number of children that have not ended.
    pub fn children_len(&self) -> usize {
        self.state.live()
    }
}

impl<E> Clone for Group<'_, E> {
    fn clone(&self) -> Self {
        Self {
            state: Rc::clone(&self.state),
        }
    }
}

impl<E> fmt::Debug for Group<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("children_len", &self.state.live())
            .field("is_closed", &self.state.is_closed())
            .finish_non_exhaustive()
    }
}
