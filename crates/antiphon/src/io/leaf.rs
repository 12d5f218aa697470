//! The waiting end of a call.

use std::fmt;
use std::io;
use std::panic::Location;
use std::task::{Context, Poll};

use crate::sys::{Op, Operation, Output, Taken, Token};
use crate::wait::{Place, Waits, poll_place};

/// The waiting end of one call: its line, and its record in the task tree while it waits.
///
/// An operation belongs to its stream and goes on when the caller goes away. What the caller has of it is this: dropped, it
/// takes the record away, and nothing else.
///
/// The methods of [`Read`](super::Read) and [`Write`](super::Write) make one for each call. A stream that is built on
/// another passes it on.
///
/// # Examples
/// ```
/// use antiphon::io::{Leaf, Read};
/// use antiphon::net::UnixStream;
/// use std::{future::poll_fn, io};
///
/// antiphon::run(async || {
///     let (mut left, right) = UnixStream::pair()?;
///     drop(right);
///     let mut leaf = Leaf::here();
///     poll_fn(|cx| left.poll_fill(cx, &mut leaf, 1)).await?;
///     assert!(left.filled().is_empty(), "the other end has gone");
///     Ok::<(), io::Error>(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
pub struct Leaf {
    at: &'static Location<'static>,
    /// The record, while it waits.
    place: Option<Place>,
    /// The operation that knows the record. Set with each new `place`; it may be over.
    watched: Option<Token>,
}

impl Leaf {
    /// Makes one for the line that calls this; in a function with `#[track_caller]`, for the line that calls that.
    #[track_caller]
    pub const fn here() -> Self {
        Self::at(Location::caller())
    }

    pub(crate) const fn at(at: &'static Location<'static>) -> Self {
        Self {
            at,
            place: None,
            watched: None,
        }
    }

    /// Returns the line.
    pub const fn location(&self) -> &'static Location<'static> {
        self.at
    }

    /// Polls for the next completion of `operation`: its result, and the operation's memory if it is over; `None` if the
    /// loop that it belonged to has ended, and it with it. `kind` is what the task tree shows.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        operation: &mut Operation,
        kind: &'static str,
    ) -> Answer {
        match operation.take() {
            Taken::Completion(result, op) => {
                self.leave();
                Poll::Ready(Some((result, op)))
            }
            Taken::Gone => {
                self.leave();
                Poll::Ready(None)
            }
            Taken::NotYet => {
                self.wait(cx, kind);
                self.watch(operation);
                Poll::Pending
            }
        }
    }

    /// Waits: takes a record, or notes the waker in the one that there is. Runs the code of foreign wakers.
    pub(crate) fn wait(&mut self, cx: &Context<'_>, kind: &'static str) {
        // A place that was chosen for a result that somebody else has taken is given back here.
        if self.place.is_none() || poll_place(&mut self.place, cx).is_ready() {
            self.place = Some(Waits::join(cx, kind, self.at));
            self.watched = None;
        }
    }

    /// Has the record's waker woken by the next completion of `operation`.
    pub(crate) fn watch(&mut self, operation: &Operation) {
        if let Some(place) = self.place {
            operation.watch(place);
            self.watched = Some(operation.token());
        }
    }

    /// Waits no more.
    pub(crate) fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            if let Some(token) = self.watched.take() {
                Operation::unwatch(token, place);
            }
            Waits::leave(place);
        }
    }
}

pub(crate) type Answer = Poll<Option<(io::Result<Output>, Option<Op>)>>;

impl Drop for Leaf {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf")
            .field("at", &self.at)
            .field("is_waiting", &self.place.is_some())
            .finish_non_exhaustive()
    }
}
