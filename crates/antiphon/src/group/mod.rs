//! Structured concurrency: tasks that end where they began.
//!
//! A [`group`] runs a body and the children that it spawns, and ends when all of them have ended. So a child may borrow from
//! the enclosing stack, its error comes out of the group, and nothing of it is left behind.
//!
//! ```text
//!   group(async |group| {                                   an error ──▶ the others are cancelled, and clean up
//!       group.spawn(…) ───▶ child ───▶ Ok                   a panic ───▶ the same, then it goes on in the parent
//!       group.spawn(…) ───▶ child ───▶ Err ──▶ cancel       a cancel from further out ──▶ all hear of it
//!       …                                │
//!   }) ◀─────────────────────────────────┘ GroupError
//! ```
//!
//! # How it works
//! The children's futures lie in the group, and are polled when the group is, in the step of the task that awaits it: that is
//! why they may borrow. For each there is a stand-in in the loop's table of tasks: it has the child's id, name and variables,
//! and its address is the child's waker. When it is woken, it puts the child on the group's ready list and has the group
//! polled. So a wake-up costs the same however many children there are, and [`tree`](crate::tree) shows each with what it
//! waits for.
//!
//! A [`Group`] is a counted reference with the lifetime `'env` of what its children borrow, not a reference into the group's
//! frame. So this module needs no unsafe code, a group that has ended can say so, and a future that is forgotten leaks its
//! children and nothing else. The price is that a child which spawns siblings has a clone of the handle: see
//! [`Group::spawn_with`].

mod all;
mod branch;
mod builder;
mod children;
mod errors;
mod for_each;
mod handle;
mod identity;
mod join;
mod nursery;
mod race;
mod ready;
#[cfg(doctest)]
mod refusals;
mod start;

pub use self::all::{RaceAll, join_all, race_all, try_join_all};
pub use self::builder::ChildBuilder;
pub use self::errors::GroupError;
pub use self::for_each::{for_each_concurrent, for_each_received};
pub use self::handle::{ChildError, ChildHandle};
pub use self::join::{Join, TryJoin, join, try_join};
pub use self::nursery::{Group, group};
pub use self::race::{Race, Race2, Race3, race};
pub use self::start::{Readiness, StartError};
