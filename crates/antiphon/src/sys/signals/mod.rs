//! Signals: which there are, what the process does at one, and who in it is told.
//!
//! ```text
//!   kernel ──▶ handler ──▶ each ear that listens for it: a bit, and a byte into its pipe ──▶ the loop's driver
//!                    └──▶ nobody listens: each loop that watches is told; one that was told before: the process dies
//! ```
//! The handler is ours, not a library's, because it has to go again: when a run ends, or the last listener of a kind is
//! dropped, the signal does what it did before. The registries that libraries share install a handler for good, and leave a
//! process that Ctrl-C does not end any more. What the handler touches are atomics and the pipe; nothing is locked, allocated,
//! or freed in it.

mod ears;
mod kind;
mod sigaction;

pub(crate) use self::ears::{Ear, Watching};
pub use self::kind::Kind;
pub(crate) use self::sigaction::die;
