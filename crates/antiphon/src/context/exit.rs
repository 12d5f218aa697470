//! An exit under way: shielded, bounded, and told of if it does not end.

use std::any::Any;
use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::panic::Location;
use std::pin::pin;
use std::task::Poll;

use super::caught::{Payload, catch, drop_caught, poll_caught};
use super::ending::Ending;
use super::manager::ContextManager;
use super::report::{Report, report};
use crate::scope::{Alarm, CancelScope, Cancelled, Grace};
use crate::worker::contain;

thread_local! {
    /// Values on this thread that have to exit, and have not begun to.
    static WAITING_TO_EXIT: Cell<usize> = const { Cell::new(0) };
}

/// How many blocks of this thread were entered and have not begun to exit.
pub(crate) fn held() -> usize {
    WAITING_TO_EXIT.get()
}

fn count_held(change: isize) {
    // A destructor may come after those of the thread.
    let _ = WAITING_TO_EXIT.try_with(|held| held.set(held.get().wrapping_add_signed(change)));
}

/// A value that has to exit. Dropped before its exit has begun, it is let go, and that is reported.
pub struct Held<V: ContextManager> {
    value: Option<V>,
    pub(super) grace: Option<Grace>,
    pub(super) at: &'static Location<'static>,
}

/// Why an exit did not end well.
#[non_exhaustive]
pub enum ExitError<X> {
    /// It returned an error.
    Failed(X),
    /// It did not end in time, and was dropped. The cancel is the one that it was given before. How long it had,
    /// [`Grace`] says.
    Killed(Cancelled),
    /// It panicked. The payload is for [`resume_unwind`](std::panic::resume_unwind).
    Panicked(Box<dyn Any + Send>),
}

impl<X: fmt::Display> ExitError<X> {
    /// Tells the standard error stream, because nobody else can be told.
    pub(super) fn report(&self, at: &Location<'_>) {
        match self {
            Self::Failed(error) => report(&Report::Failed(error), at),
            // It was, at once.
            Self::Killed(_) => {}
            Self::Panicked(_) => report(&Report::Panicked, at),
        }
    }
}

/// Has a value exit, however long that may take.
pub(super) async fn run_exit<V: ContextManager>(
    held: Held<V>,
    ending: Ending<'_>,
) -> Result<(), ExitError<V::Error>> {
    let (grace, at) = (held.grace(), held.at);
    let cancel_at = crate::time::now().checked_add(grace.cancel_after);
    let drop_at = cancel_at.and_then(|moment| moment.checked_add(grace.drop_after));
    // A shield with a deadline: it is cancelled by nothing else.
    let scope = CancelScope::make(cancel_at, at);
    let shield = scope.enter(true, at);
    let mut unfinished = Unfinished { at: Some(at) };
    let mut alarm = Alarm::default();

    let value = held.into_value();
    let exit = catch(|| value.exit(ending)).map_err(|payload| unfinished.panicked(payload))?;
    let mut exit = pin!(Some(exit));
    poll_fn(|cx| {
        if let Poll::Ready(result) = shield.poll(cx, |cx| poll_caught(exit.as_mut(), cx)) {
            return Poll::Ready(match result {
                Ok(result) => {
                    unfinished.at = None;
                    result.map_err(ExitError::Failed)
                }
                Err(payload) => Err(unfinished.panicked(payload)),
            });
        }
        let (Some(cancelled), Some(moment)) = (scope.cancelled(), drop_at) else {
            return Poll::Pending;
        };
        if !alarm.poll(cx, moment, "cancelled exit", at) {
            return Poll::Pending;
        }
        unfinished.at = None;
        report(&Report::Killed, at);
        // Where it stands, in its scope. A panic of a destructor has been told by the panic hook.
        shield.poll(cx, |_| {
            contain(|| drop(drop_caught(exit.as_mut())));
        });
        Poll::Ready(Err(ExitError::Killed(cancelled)))
    })
    .await
}

impl<V: ContextManager> Held<V> {
    pub(super) fn new(value: V, grace: Option<Grace>, at: &'static Location<'static>) -> Self {
        count_held(1);
        Self {
            value: Some(value),
            grace,
            at,
        }
    }

    pub(super) fn value_mut(&mut self) -> &mut V {
        self.value.as_mut().expect(HELD)
    }

    pub(super) fn into_value(mut self) -> V {
        count_held(-1);
        self.value.take().expect(HELD)
    }

    /// Lets it go. We are in a destructor, so a panic goes no further.
    pub(super) fn let_go(&mut self) {
        if let Some(value) = self.value.take() {
            count_held(-1);
            if let Err(payload) = catch(|| value.let_go()) {
                report(&Report::Panicked, self.at);
                // Its destructor might panic too.
                mem::forget(payload);
            }
        }
    }

    fn grace(&self) -> Grace {
        let value = self.value.as_ref().expect(HELD);
        self.grace.unwrap_or_else(|| value.grace())
    }
}

const HELD: &str = "it is held until it exits or is let go";

impl<V: ContextManager> Drop for Held<V> {
    fn drop(&mut self) {
        if self.value.is_some() {
            report(&Report::NotBegun, self.at);
            self.let_go();
        }
    }
}

/// Reports an exit that is dropped before it ended.
struct Unfinished {
    /// `None` when it has ended.
    at: Option<&'static Location<'static>>,
}

impl Unfinished {
    fn panicked<X>(&mut self, payload: Payload) -> ExitError<X> {
        self.at = None;
        ExitError::Panicked(payload)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(at) = self.at {
            report(&Report::Dropped, at);
        }
    }
}

impl<X: fmt::Debug> fmt::Debug for ExitError<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            Self::Killed(cancelled) => f.debug_tuple("Killed").field(cancelled).finish(),
            Self::Panicked(_) => f.write_str("Panicked"),
        }
    }
}

impl<X> fmt::Display for ExitError<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed(_) => "the exit failed",
            Self::Killed(_) => "the exit did not end in time, and was dropped",
            Self::Panicked(_) => "the exit panicked",
        })
    }
}

impl<X: Error + 'static> Error for ExitError<X> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Killed(cancelled) => Some(cancelled),
            Self::Panicked(_) => None,
        }
    }
}
