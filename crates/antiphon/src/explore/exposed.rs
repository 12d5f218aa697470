//! The part of a program that faults happen to.

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;

use super::probe;
use crate::scope::{CancelScope, Outcome};

/// Runs `body` in a scope, and says that it is what an exploration is about.
///
/// In a program that [`explore`](super::explore) runs, faults happen only where such a body runs, and a cancel reaches only
/// that; the rest of the program sets up what the body needs, and afterwards looks whether all is well. Where nobody explores, it
/// is [`CancelScope::run`] of a scope that nobody cancels.
///
/// What the body spawns with [`spawn`](crate::spawn) is not in it; the children of a [`group`](crate::group) are.
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Cancellation
/// A cancel from further out goes through, as with [`CancelScope::run`].
///
/// # Examples
/// See the [module](super).
#[track_caller]
pub fn exposed<F, T, E>(body: F) -> impl Future<Output = Outcome<T, E>>
where
    F: AsyncFnOnce() -> Result<T, E>,
{
    let at = Location::caller();
    async move {
        let scope = CancelScope::make(None, at);
        let entered = scope.enter(false, at);
        let exposed = probe::expose(entered.scope());
        let mut body = pin!(body());
        let result = poll_fn(|cx| {
            let _polled = probe::poll_exposed(entered.scope());
            entered.poll(cx, |cx| body.as_mut().poll(cx))
        })
        .await;
        drop(exposed);
        match (result, entered.leave()) {
            (Ok(value), _) => Outcome::Done(value),
            (Err(error), Some(cancelled)) => Outcome::Cancelled(cancelled, error),
            (Err(error), None) => Outcome::Failed(error),
        }
    }
}
