//! What a value must know to be used in a block: how it ends.

use std::fmt;
use std::time::Duration;

use super::ending::Ending;
use super::if_dropped::IfDropped;

/// A value whose end must be waited for: a connection that goes back to its pool, a transaction that is committed or rolled
/// back, a stream that says farewell.
///
/// [`with`](super::with()) awaits a future that makes such a value, lends it to a block, and then has it [`exit`](Self::exit).
/// There is no method for entering: whatever can be awaited and gives the value is a way in. So a function that returns such
/// a future can be used both ways, `let connection = pool.acquire().await?` and `with(pool.acquire(), …)`.
///
/// # Examples
/// ```
/// use antiphon::context::{ContextManager, Ending, HandOver, with};
/// use antiphon::{Cancelled, run, time};
/// use std::{cell::RefCell, rc::Rc, time::Duration};
///
/// /// Writes down what becomes of it.
/// struct Transaction(Rc<RefCell<Vec<&'static str>>>);
///
/// impl ContextManager for Transaction {
///     type Error = Cancelled;
///     type IfDropped = HandOver;
///
///     async fn exit(self, ending: Ending<'_>) -> Result<(), Cancelled> {
///         time::sleep(Duration::from_millis(1)).await?; // as a server would make us
///         self.0.borrow_mut().push(if ending.is_value() { "commit" } else { "rollback" });
///         Ok(())
///     }
/// }
///
/// run(async || {
///     let log = Rc::default();
///     let begin = async || Ok::<_, Cancelled>(Transaction(Rc::clone(&log)));
///     with(begin(), async |_transaction| Ok::<_, Cancelled>(())).await?;
///
///     let failed = with(begin(), async |_transaction| Err::<(), _>("no such table".into()));
///     let error: Box<dyn std::error::Error> = failed.await.unwrap_err();
///     assert_eq!(error.to_string(), "no such table");
///     assert_eq!(*log.borrow(), ["commit", "rollback"]);
///     Ok::<(), Cancelled>(())
/// })?;
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
pub trait ContextManager: Sized {
    /// Why it could not end well.
    type Error: fmt::Display + 'static;

    /// What becomes of it if the block is not left but dropped half way, by a foreign `select` for example:
    /// [`HandOver`](super::HandOver) or [`LetGo`](super::LetGo).
    type IfDropped: IfDropped<Self>;

    /// Ends it. `ending` says how the block that used it ended.
    ///
    /// It is called once, and runs in a [`shield`](crate::shield) with a deadline of its own: see [`Grace`]. A
    /// wait in it that ends with [`Cancelled`](crate::Cancelled) was ended by that deadline.
    ///
    /// # Errors
    /// Why it could not end well. What the block returned is not lost by that: see [`with`](super::with()).
    fn exit(self, ending: Ending<'_>) -> impl Future<Output = Result<(), Self::Error>>;

    /// Ends it on the spot, for want of something better: its block was dropped, and [`LetGo`](super::LetGo) was chosen or
    /// no loop is left that could run the exit.
    ///
    /// If it is not implemented, the value is dropped.
    fn let_go(self) {
        drop(self);
    }

    /// Returns how long its exit may take. To be implemented where [the usual](Grace::default) is not right.
    fn grace(&self) -> Grace {
        Grace::default()
    }
}

/// How long an exit may take.
///
/// ```text
///   exit begins ── cancel_after ──▶ its waits end with `Cancelled` ── drop_after ──▶ it is dropped, and reported
/// ```
/// When the main task has ended, the loop has a [grace](crate::RuntimeBuilder::grace) of its own, which bounds this one.
///
/// # Examples
/// ```
/// use antiphon::context::Grace;
/// use std::time::Duration;
///
/// let grace = Grace::default().cancel_after(Duration::from_secs(30));
/// assert_ne!(grace, Grace::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    pub(super) cancel_after: Duration,
    pub(super) drop_after: Duration,
}

impl Grace {
    /// An exit that may take any time: it is not cancelled. For one that bounds itself.
    pub const UNBOUNDED: Self = Self {
        cancel_after: Duration::MAX,
        drop_after: Duration::MAX,
    };

    /// Sets after what time the waits of the exit are cancelled; 5 seconds, if it is not said. Zero cancels at once.
    #[must_use]
    pub const fn cancel_after(self, duration: Duration) -> Self {
        Self {
            cancel_after: duration,
            ..self
        }
    }

    /// Sets after what time from the cancel an exit that still has not ended is dropped; 5 seconds, if it is not said.
    #[must_use]
    pub const fn drop_after(self, duration: Duration) -> Self {
        Self {
            drop_after: duration,
            ..self
        }
    }
}

/// 5 seconds, and 5 more.
impl Default for Grace {
    fn default() -> Self {
        Self {
            cancel_after: Duration::from_secs(5),
            drop_after: Duration::from_secs(5),
        }
    }
}
