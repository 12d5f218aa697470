//! Futures that know no scopes.

use std::future::poll_fn;
use std::panic::Location;
use std::pin::pin;
use std::task::{Context, Poll};

use super::{CancelScope, Cancelled, Checkpoint, deliver, is_cancelled_here};
use crate::wait::{Place, Waits};

/// Awaits a future of another crate, and drops it when the scope is cancelled.
///
/// Such a future can't be told to stop: awaited as it is, it goes on until it is ready. This says that it is known to be
/// harmless to drop it half way. For one that it is not, there is [`finish`], which says which of the three one wants.
///
/// # Errors
/// [`Cancelled`]; the future was dropped then.
///
/// # Panics
/// If no loop is running on this thread, and it has to wait.
///
/// # Examples
/// ```
/// use antiphon::{CancelScope, droppable, run};
/// use std::future::pending;
///
/// run(async || {
///     let scope = CancelScope::new();
///     let outcome = scope.run(async || {
///         scope.cancel("for the example");
///         droppable(pending::<()>()).await
///     });
///     assert!(outcome.await.is_cancelled());
/// });
/// ```
#[track_caller]
pub fn droppable<F: Future>(future: F) -> impl Future<Output = Result<F::Output, Cancelled>> {
    let at = Location::caller();
    async move {
        let mut future = pin!(future);
        let mut checkpoint = Checkpoint::new();
        let mut waiting = Waiting(None);
        poll_fn(|cx| {
            if waiting.0.is_none() {
                std::task::ready!(checkpoint.poll(cx, at))?;
            }
            // What is ready in spite of a cancel wins.
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(value));
            }
            if is_cancelled_here() {
                if let Some(cancelled) = deliver() {
                    return Poll::Ready(Err(cancelled));
                }
            }
            waiting.begin(cx, at);
            Poll::Pending
        })
        .await
    }
}

/// Awaits a future to its end, in a [`shield`](crate::shield).
///
/// For a future of another crate that must not be stopped half way. There are three ways to await one:
///
/// | | in a cancelled scope | what in it is of this crate | in the [task tree](crate::tree()) |
/// |---|---|---|---|
/// | `future.await` | goes on until it is ready | hears of the cancel | nothing, or a cancel that is held up |
/// | [`droppable(future)`](droppable) | is dropped | is dropped | its line |
/// | `finish(future)` | goes on until it is ready | hears nothing, as in any shield | its line |
///
/// It is a shield as any other, so it gives way when the [grace](crate::CancelScope::run_within) of a scope around it is over.
/// For a body that is written at hand, an async closure in a [`shield`](crate::shield) says the same.
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Cancellation
/// **Finishes first.** The wait after it is the one that ends.
///
/// # Examples
/// ```
/// use antiphon::{CancelScope, finish, run, yield_now};
/// use std::future::ready;
///
/// run(async || {
///     let scope = CancelScope::new();
///     let outcome = scope.run(async || {
///         scope.cancel("for the example");
///         // Say, another crate's commit.
///         assert_eq!(finish(ready(1)).await, 1);
///         yield_now().await
///     });
///     assert!(outcome.await.is_cancelled());
/// });
/// ```
#[track_caller]
pub fn finish<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let at = Location::caller();
    async move {
        let scope = CancelScope::make(None, at);
        let entered = scope.enter(true, at);
        let mut future = pin!(future);
        let mut waiting = Waiting(None);
        poll_fn(|cx| {
            let poll = entered.poll(cx, |cx| future.as_mut().poll(cx));
            if poll.is_pending() {
                waiting.begin(cx, at);
            }
            poll
        })
        .await
    }
}

/// The record of a future that leaves none of its own.
struct Waiting(Option<Place>);

impl Waiting {
    fn begin(&mut self, cx: &Context<'_>, at: &'static Location<'static>) {
        // A new record each time, since it was perhaps polled in another task.
        self.end();
        self.0 = Some(Waits::join(cx, "foreign future", at));
    }

    fn end(&mut self) {
        if let Some(place) = self.0.take() {
            Waits::leave(place);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end();
    }
}
