//! Futures that know no scopes.

use std::future::poll_fn;
use std::panic::Location;
use std::pin::pin;
use std::task::Poll;

use super::{Cancelled, Checkpoint, deliver, is_cancelled_here};
use crate::wait::{Place, Waits};

/// Awaits a future of another crate, and drops it when the scope is cancelled.
///
/// Such a future can't be told to stop: awaited as it is, it goes on until it is ready. This says that it is known to be
/// harmless to drop it half way. For one that it is not, use [`shield`](crate::shield), which says so, or await it as it is.
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
    struct Waiting(Option<Place>);
    impl Waiting {
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
            // A new record each time, since it was perhaps polled in another task.
            waiting.end();
            waiting.0 = Some(Waits::join(cx, "foreign future", at));
            Poll::Pending
        })
        .await
    }
}
