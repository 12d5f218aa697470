//! Cancellation that is delivered.
//!
//! A [`CancelScope`] is a stretch of a task that can be told to stop. Nothing is dropped then: every wait in the scope,
//! the one under way and those to come, ends with [`Cancelled`], so `?` leads out of the scope, through whatever clean-up
//! the code has on its way, which may itself wait in a [`shield`].
//!
//! ```text
//!   scope.run(async || {                cancel ──▶ the scope, and all below it up to the next shield
//!       read(…).await?;   ◀── Err ──┐              see it: level, not edge
//!   })                              └── the wait under way has undone itself, or was faster: then its result wins,
//!     └▶ Outcome::Cancelled             and the next wait is the one that ends
//! ```
//!
//! # The rules
//! 1. **Level, not edge.** Every wait in a cancelled, unshielded scope ends with `Err(Cancelled)`, until the scope is left.
//! 2. A wait that is first reached inside a cancelled scope **starts nothing**. It gives way once, so that a loop which
//!    tries again does not hold the thread, and then ends.
//! 3. A wait that is under way **undoes itself** before it ends: a cancelled operation did not happen, or says how far it
//!    got. If it was faster, its result wins.
//! 4. **The scope decides** what a cancel means, not the error: see [`Outcome`]. A scope swallows only its own.
//! 5. [`Cancelled`] converts into an [`io::Error`](std::io::Error), never of the kind `Interrupted`; [`is_cancelled`] finds
//!    it in any error.
//! 6. Of several cancelled scopes around each other a wait hears of the **outermost**, so that the inner ones pass it on.
//! 7. **Grace and kill.** Where a scope is [run within](CancelScope::run_within) a [`Grace`], its shields give way when the first
//!    half of that is over, and when the second is, the body is dropped where it stands, and reported.
//! 8. **Foreign futures**, which know no scope, are awaited as they are; [`droppable`] says that one may be dropped,
//!    [`finish`] that it must not, and [`shield`] that nothing in a whole body is to be cancelled.

mod cancel_scope;
mod cancelled;
mod droppable;
mod grace;
mod killed;
mod scopes;

pub use self::cancel_scope::{CancelScope, Outcome, shield};
pub use self::cancelled::{CancelReason, Cancelled, ScopeId, find_cancelled, is_cancelled};
pub use self::droppable::{droppable, finish};
pub use self::grace::Grace;
pub use self::killed::Killed;

pub(crate) use self::grace::Alarm;
pub(crate) use self::killed::killed_len;
pub(crate) use self::scopes::{
    ScopeRef, Scopes, cancelled_here, deliver, has_notices, is_cancelled_here, is_explored_here,
    is_observed_here, set_explored_here, set_observed_here,
};

use std::panic::Location;
use std::task::{Context, Poll};

use crate::explore::probe;

/// Rule 2, for a wait: to be asked before anything is looked at or started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checkpoint {
    has_given_way: bool,
}

impl Checkpoint {
    pub(crate) const fn new() -> Self {
        Self {
            has_given_way: false,
        }
    }

    /// Ready at once if nothing is cancelled; else it gives way once, and then says what was. `at` is the line of the wait.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        cx: &Context<'_>,
        at: &'static Location<'static>,
    ) -> Poll<Result<(), Cancelled>> {
        if has_notices() {
            self.poll_noticed(cx, at)
        } else {
            Poll::Ready(Ok(()))
        }
    }

    #[cold]
    fn poll_noticed(
        &mut self,
        cx: &Context<'_>,
        at: &'static Location<'static>,
    ) -> Poll<Result<(), Cancelled>> {
        if is_explored_here() && !self.has_given_way {
            probe::wait_begins(at);
        }
        if !is_cancelled_here() {
            return Poll::Ready(Ok(()));
        }
        if self.has_given_way {
            // The next wait begins anew.
            self.has_given_way = false;
            return Poll::Ready(deliver().map_or(Ok(()), Err));
        }
        self.has_given_way = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
