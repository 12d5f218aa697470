//! Blocks that are left in good order, however they end.
//!
//! A destructor can't wait. So what needs a wait to end well, a transaction, a borrowed connection, a farewell to the peer, is
//! a [`ContextManager`], and is used in a block: [`with`] awaits it, lends it to the block, and has it
//! [exit](ContextManager::exit).
//!
//! ```text
//!   with(enter, body)
//!        │
//!        ├─ enter ── error, cancelled, panicked, dropped ──▶ nothing was entered
//!        ▼
//!      body ──┬─ value ──────┐
//!             ├─ error ──────┤
//!             ├─ cancelled ──┼──▶ exit: once, shielded, within its grace ──▶ what the body returned, or its panic
//!             ├─ panicked ───┘             │
//!             └─ dropped ──▶ a task of its own, that exits (HandOver); or the value is let go (LetGo)
//! ```
//!
//! # Two ways to use a thing
//! Entering is awaiting. A function that returns a future of a context manager can be used both ways, and its author writes
//! nothing for it:
//!
//! ```
//! use antiphon::context::{ContextManager, Ending, HandOver, with};
//! use antiphon::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
//! use antiphon::{Cancelled, run, time};
//! use std::{cell::RefCell, error::Error, rc::Rc, time::Duration};
//!
//! /// Connections that are used again.
//! struct Pool {
//!     places: Rc<Semaphore>,
//!     idle: RefCell<Vec<Connection>>,
//! }
//!
//! impl Pool {
//!     async fn acquire(self: &Rc<Self>) -> Result<Acquired, AcquireError> {
//!         let place = self.places.acquire_owned(1).await?;
//!         let connection = self.idle.borrow_mut().pop().unwrap_or(Connection);
//!         Ok(Acquired { connection, pool: Rc::clone(self), _place: place })
//!     }
//! }
//!
//! /// A connection of a pool. Dropped, it is closed, and its place is free.
//! struct Acquired {
//!     connection: Connection,
//!     pool: Rc<Pool>,
//!     _place: OwnedSemaphorePermit,
//! }
//!
//! /// It goes back to the pool.
//! impl ContextManager for Acquired {
//!     type Error = Cancelled;
//!     type IfDropped = HandOver;
//!
//!     async fn exit(mut self, _: Ending<'_>) -> Result<(), Cancelled> {
//!         self.connection.reset().await?;
//!         self.pool.idle.borrow_mut().push(self.connection);
//!         Ok(())
//!     }
//! }
//!
//! # struct Connection;
//! # impl Connection {
//! #     async fn query(&mut self, _question: &str) -> Result<u32, Cancelled> {
//! #         time::sleep(Duration::from_millis(1)).await?;
//! #         Ok(42)
//! #     }
//! #     async fn reset(&mut self) -> Result<(), Cancelled> {
//! #         time::sleep(Duration::from_millis(1)).await
//! #     }
//! # }
//! run(async || {
//!     let pool = Rc::new(Pool { places: Rc::new(Semaphore::new(1)), idle: RefCell::default() });
//!     // A guard: its destructor does what can be done without waiting.
//!     let mut guard = pool.acquire().await?;
//!     assert_eq!(guard.connection.query("how many?").await?, 42);
//!     drop(guard);
//!     assert_eq!(pool.idle.borrow().len(), 0);
//!     // A block.
//!     let answer = with(pool.acquire(), async |acquired| {
//!         Ok::<_, Box<dyn Error>>(acquired.connection.query("how many?").await?)
//!     });
//!     assert_eq!(answer.await?, 42);
//!     assert_eq!(pool.idle.borrow().len(), 1);
//!     Ok::<(), Box<dyn Error>>(())
//! })?;
//! # Ok::<(), Box<dyn Error>>(())
//! ```
//!
//! # Which errors are returned
//! [`with`] returns one error, of the body's type, so that `?` goes on working in and around it. If both body and exit fail,
//! that is the body's, and the exit's is [reported](stats). [`with_both`] returns everything, for whoever wants to look.
//!
//! # The parts
//! - [`with`], [`with_both`] and [`With`], with a [`Grace`] of its own: blocks.
//! - [`ContextManager`]: what can be used in one. [`Ending`]: what its exit is told.
//! - [`from_fn`] makes one of two closures, [`entered`] enters what is there already.
//! - [`ExitStack`]: as many as it takes.
//! - Ready made: [`TcpStream`](crate::net::TcpStream) and [`UnixStream`](crate::net::UnixStream), which say farewell; the
//!   guards of locks and the permits of semaphores, `with(mutex.lock(), …)`.
//! - [`stats`]: how often something went wrong of which nobody could be told.

mod caught;
mod ending;
mod exit;
mod from_fn;
mod if_dropped;
mod manager;
mod ready_made;
mod report;
mod stack;
mod with;

pub use self::ending::{Ending, Failure};
pub use self::exit::ExitError;
pub(crate) use self::exit::held;
pub use self::from_fn::{Made, entered, from_fn};
pub use self::if_dropped::{HandOver, IfDropped, LetGo};
pub use self::manager::ContextManager;
pub use self::report::{Stats, stats};
pub use self::stack::{ExitErrors, ExitStack, Key};
pub use self::with::{Both, With, with, with_both};
pub use crate::scope::Grace;
