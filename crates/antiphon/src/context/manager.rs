//! What a value must know to be used in a block: how it ends.

use std::fmt;

use super::ending::Ending;
use super::if_dropped::IfDropped;
use crate::scope::Grace;

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
