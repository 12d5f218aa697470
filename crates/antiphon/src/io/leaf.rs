//! The waiting end of a call.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;

use crate::scope::{Cancelled, Checkpoint, deliver, is_cancelled_here};
use crate::sys::{Op, Operation, Output, Taken, Token};
use crate::wait::{Place, Waits, poll_place};

/// The waiting end of one call: its line, its record in the task tree while it waits, and how it hears of a cancel.
///
/// An operation belongs to its stream and goes on when the caller goes away. What the caller has of it is this: dropped, it
/// takes the record away, and nothing else.
///
/// The methods of [`Read`](super::Read) and [`Write`](super::Write) make one for each call. A stream that is built on
/// another passes it on.
///
/// # Streams of your own
/// A call in a cancelled scope starts nothing and takes nothing, not even bytes that are there; and a call that waits ends
/// with an error. A stream that is built on another has two things to do for that:
/// 1. It asks [`begin`](Self::begin) first in each polling method, *before* it looks at what it has itself. The methods of
///    the traits have asked already; then it is answered at once.
/// 2. It passes the leaf on to the stream below and the errors of that one up, as they are or as the
///    [`source`](std::error::Error::source) of its own. Until its caller hears of the error it takes nothing away: bytes
///    that it got so far stay in its buffer.
///
/// A stream that waits for something else than another stream says so with [`poll_cancelled`](Self::poll_cancelled).
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
    checkpoint: Checkpoint,
    /// Set when the call was let past the checkpoint, and cleared when it has ended with a cancel.
    has_begun: bool,
    /// Set while the driver has been asked for the end of the call's own operation, and has not answered.
    is_aborting: bool,
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
            checkpoint: Checkpoint::new(),
            has_begun: false,
            is_aborting: false,
        }
    }

    /// Returns the line.
    pub const fn location(&self) -> &'static Location<'static> {
        self.at
    }

    /// Polls whether the call may begin. To be asked first, before anything is looked at; once it was answered well, it is
    /// answered so at once.
    ///
    /// In a cancelled scope it is pending once, so that the others have their step, and then says so.
    ///
    /// # Errors
    /// [`Cancelled`]: the call ends, and has not begun.
    ///
    /// # Examples
    /// A stream of spaces, which never waits and can be ended all the same:
    /// ```
    /// use antiphon::io::{Leaf, Read};
    /// use antiphon::{CancelScope, is_cancelled, run};
    /// use std::io;
    /// use std::task::{Context, Poll, ready};
    ///
    /// struct Spaces;
    ///
    /// impl Read for Spaces {
    ///     fn poll_fill(&mut self, cx: &mut Context<'_>, leaf: &mut Leaf, _min: usize) -> Poll<io::Result<()>> {
    ///         ready!(leaf.begin(cx))?;
    ///         Poll::Ready(Ok(()))
    ///     }
    ///     fn filled(&self) -> &[u8] {
    ///         &[b' '; 80]
    ///     }
    ///     fn consume(&mut self, count: usize) {
    ///         assert!(count <= 80);
    ///     }
    /// }
    ///
    /// run(async || {
    ///     let scope = CancelScope::new();
    ///     let outcome = scope.run(async || {
    ///         assert_eq!(Spaces.read(&mut [0; 8]).await?, 8);
    ///         scope.cancel("enough");
    ///         Spaces.read(&mut [0; 8]).await
    ///     });
    ///     assert!(is_cancelled(&outcome.await.into_result().unwrap_err()));
    /// });
    /// ```
    #[inline]
    pub fn begin(&mut self, cx: &Context<'_>) -> Poll<Result<(), Cancelled>> {
        if self.has_begun {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(self.checkpoint.poll(cx, self.at));
        match result {
            Ok(()) => self.has_begun = true,
            Err(_) => self.reset(),
        }
        Poll::Ready(result)
    }

    /// Says that the call waits, and polls whether it is to end because its scope was cancelled.
    ///
    /// For a stream that waits for something of its own, after it has seen that this is not there and has taken care to be
    /// woken. `kind` is what the task tree shows.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Examples
    /// ```
    /// use antiphon::io::{Leaf, Read};
    /// use antiphon::{CancelScope, run, time};
    /// use std::io;
    /// use std::task::{Context, Poll, Waker, ready};
    /// use std::time::Duration;
    ///
    /// /// What somebody else on this thread puts in, who wakes the reader then.
    /// #[derive(Default)]
    /// struct Inbox {
    ///     bytes: Vec<u8>,
    ///     reader: Option<Waker>,
    /// }
    ///
    /// impl Read for Inbox {
    ///     fn poll_fill(&mut self, cx: &mut Context<'_>, leaf: &mut Leaf, min: usize) -> Poll<io::Result<()>> {
    ///         ready!(leaf.begin(cx))?;
    ///         if self.bytes.len() >= min {
    ///             return Poll::Ready(Ok(()));
    ///         }
    ///         self.reader = Some(cx.waker().clone());
    ///         leaf.poll_cancelled(cx, "inbox").map(|cancelled| Err(cancelled.into()))
    ///     }
    ///     fn filled(&self) -> &[u8] {
    ///         &self.bytes
    ///     }
    ///     fn consume(&mut self, count: usize) {
    ///         self.bytes.drain(..count);
    ///     }
    /// }
    ///
    /// run(async || {
    ///     let scope = CancelScope::with_deadline(time::now() + Duration::from_millis(1));
    ///     let outcome = scope.run(async || Inbox::default().read(&mut [0; 8]).await);
    ///     assert!(outcome.await.is_cancelled());
    /// });
    /// ```
    pub fn poll_cancelled(&mut self, cx: &Context<'_>, kind: &'static str) -> Poll<Cancelled> {
        match self.wait(cx, kind) {
            Ok(()) => Poll::Pending,
            Err(cancelled) => Poll::Ready(cancelled),
        }
    }

    /// Polls for the next completion of an `operation` that goes on when the call is cancelled: its result, and the
    /// operation's memory if it is over; `None` if the loop that it belonged to has ended, and it with it. `kind` is what
    /// the task tree shows.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        operation: &mut Operation,
        kind: &'static str,
    ) -> Poll<Result<Answer, Cancelled>> {
        match operation.take() {
            Taken::Completion(result, op) => {
                self.leave();
                Poll::Ready(Ok(Some((result, op))))
            }
            Taken::Gone => {
                self.leave();
                Poll::Ready(Ok(None))
            }
            Taken::NotYet => {
                self.wait(cx, kind)?;
                self.watch(operation);
                Poll::Pending
            }
        }
    }

    /// Polls for the only completion of an `operation` that is this call's own. When the call is cancelled, the driver is
    /// asked for the operation's end, and waited for: if it was done all the same, its result wins.
    pub(crate) fn poll_own(
        &mut self,
        cx: &mut Context<'_>,
        operation: &mut Operation,
        kind: &'static str,
    ) -> Poll<(io::Result<Output>, Option<Op>)> {
        loop {
            match operation.take() {
                Taken::Completion(Err(error), Some(op))
                    if self.is_aborting && is_aborted(&error) =>
                {
                    self.is_aborting = false;
                    self.leave();
                    if let Some(cancelled) = deliver() {
                        self.reset();
                        return Poll::Ready((Err(cancelled.into()), Some(op)));
                    }
                    // It is polled outside of the cancelled scope by now.
                    *operation = Operation::start(op, kind, self.at);
                }
                Taken::Completion(result, op) => {
                    self.is_aborting = false;
                    self.leave();
                    return Poll::Ready((result, op));
                }
                Taken::Gone => {
                    self.leave();
                    let error = "the loop that the operation belongs to has ended";
                    return Poll::Ready((Err(io::Error::other(error)), None));
                }
                Taken::NotYet => {
                    if is_cancelled_here() && !self.is_aborting {
                        self.is_aborting = true;
                        operation.cancel();
                    }
                    self.join(cx, kind);
                    self.watch(operation);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Carries out `op`, which is this call's own. See [`poll_own`](Self::poll_own).
    pub(crate) async fn carry_out(&mut self, op: Op, kind: &'static str) -> io::Result<Output> {
        poll_fn(|cx| self.begin(cx)).await?;
        let mut operation = Operation::start(op, kind, self.at);
        poll_fn(|cx| self.poll_own(cx, &mut operation, kind))
            .await
            .0
    }

    /// Waits: takes a record, or notes the waker in the one that there is. In a cancelled scope it ends the call instead.
    /// Runs the code of foreign wakers.
    pub(crate) fn wait(&mut self, cx: &Context<'_>, kind: &'static str) -> Result<(), Cancelled> {
        self.check()?;
        self.join(cx, kind);
        Ok(())
    }

    /// Ends the call if its scope is cancelled: for a call that has not got what it waits for.
    #[inline]
    pub(crate) fn check(&mut self) -> Result<(), Cancelled> {
        if is_cancelled_here() {
            self.end_cancelled()
        } else {
            Ok(())
        }
    }

    #[cold]
    fn end_cancelled(&mut self) -> Result<(), Cancelled> {
        let Some(cancelled) = deliver() else {
            return Ok(());
        };
        self.leave();
        self.reset();
        Err(cancelled)
    }

    /// Makes it stand for another call.
    pub(crate) const fn reset(&mut self) {
        self.checkpoint = Checkpoint::new();
        self.has_begun = false;
    }

    fn join(&mut self, cx: &Context<'_>, kind: &'static str) {
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

/// What came of an operation, and its memory if it is over; `None` if it went with its loop.
pub(crate) type Answer = Option<(io::Result<Output>, Option<Op>)>;

/// The driver ended the operation before it did anything.
pub(crate) fn is_aborted(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::CANCELED.raw_os_error())
}

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
