//! Exploring: a program, run once for every moment at which it can be interrupted.
//!
//! Whether a program cleans up when it is cancelled depends on where it is just then, and there are as many places as it has
//! waits. [`explore`] goes through them all. It runs the program once, to see where it waits; then once for each of these
//! points, with a cancel exactly there; and after each run it looks whether anything was left behind:
//!
//! - nothing panicked: no assertion failed, not even in a task that nobody awaits;
//! - each block with a [context manager](crate::context) that was entered has exited, once;
//! - no task had to be dropped, nobody is left in a queue, and every scope was left;
//! - no lock is held, by a guard that was forgotten or is kept where the program does not drop it, no operation is under way, no socket is open;
//! - the program came to its end at all: a deadlock is found, and told with the [tree](crate::tree()) of those who wait.
//!
//! It runs in [virtual time](crate::DriverKind::VirtualTime), with sockets that are connected in memory, so that nothing
//! depends on chance and an hour of waiting costs nothing. A run that fails is named by the line at which it was interrupted,
//! and can be repeated alone.
//!
//! # Tutorial
//! Two accounts, and a transfer that takes a while:
//! ```
//! use antiphon::{Cancelled, yield_now};
//! use std::cell::Cell;
//!
//! async fn transfer(from: &Cell<u32>, to: &Cell<u32>, amount: u32) -> Result<(), Cancelled> {
//!     from.set(from.get() - amount);
//!     yield_now().await?; // the books are elsewhere
//!     to.set(to.get() + amount);
//!     Ok(())
//! }
//! # let (a, b) = (Cell::new(1), Cell::new(0));
//! # antiphon::run(async || transfer(&a, &b, 1).await).unwrap();
//! # assert_eq!((a.get(), b.get()), (0, 1));
//! ```
//! **What is exposed.** The test sets up two accounts, has the transfer [`exposed`], and looks at the sum when that has
//! ended, one way or another:
//! ```
//! use antiphon::explore::{Explorer, exposed};
//! # use antiphon::{Cancelled, yield_now};
//! # use std::cell::Cell;
//! # async fn transfer(from: &Cell<u32>, to: &Cell<u32>, amount: u32) -> Result<(), Cancelled> {
//! #     from.set(from.get() - amount);
//! #     yield_now().await?;
//! #     to.set(to.get() + amount);
//! #     Ok(())
//! # }
//!
//! let result = Explorer::new().run(|| async {
//!     let (from, to) = (Cell::new(100), Cell::new(0));
//!     let _ = exposed(async || transfer(&from, &to, 30).await).await;
//!     assert_eq!(from.get() + to.get(), 100, "money was lost");
//! });
//! let failure = result.unwrap_err();
//! let told = failure.to_string();
//! assert!(told.starts_with("cancel at point 0 of "), "{told}");
//! assert!(told.contains("money was lost") && told.contains("ANTIPHON_EXPLORE='cancel@0'"), "{told}");
//! ```
//! A test that is to pass says `explore(…)` instead, which panics with what is in `told`:
//! ```text
//! cancel at point 0 of 4, where task 1 begins to wait at src/bank.rs:6:5
//!   it panicked: assertion `left == right` failed: money was lost
//!   left: 70
//!  right: 100
//! to repeat this run alone: ANTIPHON_EXPLORE='cancel@0'
//! ```
//! **Repeating it.** With that variable in the environment, the test runs this case only, and tells of every point on its way:
//! `ANTIPHON_EXPLORE='cancel@0' cargo test transfer`.
//!
//! **Mending it.** What was taken off has to be given back, whatever happens in between; that is a block with a manager:
//! ```
//! use antiphon::context::{Ending, from_fn, with};
//! use antiphon::explore::{explore, exposed};
//! use antiphon::{Cancelled, yield_now};
//! use std::cell::Cell;
//! use std::rc::Rc;
//!
//! type Account = Rc<Cell<u32>>;
//!
//! async fn transfer(from: &Account, to: &Account, amount: u32) -> Result<(), Cancelled> {
//!     let account = Rc::clone(from);
//!     let taken = from_fn(
//!         async move || {
//!             account.set(account.get() - amount);
//!             Ok::<_, Cancelled>(account)
//!         },
//!         async move |account, ending: Ending<'_>| {
//!             if !ending.is_value() {
//!                 account.set(account.get() + amount);
//!             }
//!             Ok::<_, Cancelled>(())
//!         },
//!     );
//!     with(taken, async |_| {
//!         yield_now().await?;
//!         to.set(to.get() + amount);
//!         Ok(())
//!     })
//!     .await
//! }
//!
//! let explored = explore(|| async {
//!     let (from, to) = (Account::new(100.into()), Account::default());
//!     let _ = exposed(async || transfer(&from, &to, 30).await).await;
//!     assert_eq!(from.get() + to.get(), 100, "money was lost");
//! });
//! assert!(explored.points() > 0);
//! ```
//! **Other faults, other orders.** [`Explorer::faults`] adds calls to the network that fail, and panics. [`Explorer::orders`]
//! runs all of it again with the steps of the tasks in other orders.
//!
//! # What it can't do
//! - The program has to do the same each time. It must not look at the real time, draw random numbers of its own
//!   ([`fill_random`](crate::fill_random) is seeded), or go through a `HashMap`. If a run leaves the path of the first, that is
//!   a finding of its own.
//! - It hears of panics by the [panic hook](std::panic::set_hook), and puts its own before the one that it finds. With another
//!   one set afterwards it hears of those that come out of the program.
//! - One fault a run. What a second cancel does in the middle of the clean-up of the first, it doesn't see.
//! - Code between two waits runs as a whole, as it does on a loop: there are no points in it.
//! - What is polled by a combinator of another crate has points where a task goes to sleep, and where waits begin; not each
//!   time that the combinator turns from one future to the next.

mod case;
mod explorer;
mod exposed;
mod failure;
pub(crate) mod probe;

use std::future::Future;

pub use self::case::{Case, Fault, ParseCaseError};
pub use self::explorer::{Ended, Explored, Explorer};
pub use self::exposed::exposed;
pub use self::failure::{Failure, Finding, Point};

/// Runs `program` once for every moment at which it can be cancelled, and looks whether it cleans up: see the
/// [module](self), and [`Explorer`] for other faults.
///
/// # Panics
/// If a run does not end as it should, with its [`Failure`]; if a loop is running on this thread.
///
/// # Examples
/// ```
/// use antiphon::explore::explore;
/// use antiphon::{Cancelled, group, time};
/// use std::time::Duration;
///
/// explore(|| async {
///     group(async |group| {
///         for seconds in 1..4 {
///             group.spawn(async move || time::sleep(Duration::from_secs(seconds)).await);
///         }
///         Ok::<(), Cancelled>(())
///     })
///     .await
/// });
/// ```
#[track_caller]
pub fn explore<P, F>(program: P) -> Explored
where
    P: Fn() -> F,
    F: Future,
    F::Output: Ended,
{
    match Explorer::new().run(program) {
        Ok(explored) => explored,
        Err(failure) => panic!("{failure}"),
    }
}
