//! The loop's wakes, under every order of the threads.
//!
//! What threads share in `antiphon` is one box of addresses for each worker, wakers that are numbers, a worker's door, and what
//! `thread` is made of: the channel, and the slot in which results come. This crate compiles those files of the library,
//! `worker/{mailbox/boxes,waker,door}.rs` and `thread/{slot,channel/chan}.rs`, as they are, with the locks
//! of [loom](https://docs.rs/loom) in place of the standard library's. Around them stands a [`Worker`] that takes its
//! turns as the library's does, but has no driver and no futures: it sleeps on a [`Bell`], and a step of one of its tasks
//! is a call of a closure.
//!
//! Each test in `tests/` is one property. [`check`] runs it under every order of its threads' locks, reads and writes
//! that differ in what they do to each other; a thread that sleeps for ever is a failure.
//!
//! # What is not looked at
//! The table of tasks, which one thread has for itself; the drivers; the queue of a pool of threads, which is one lock; and the reference counts of the standard library's `Arc`.

mod bell;
mod check;
mod thread;
mod worker;

pub use crate::bell::Bell;
pub use crate::check::{check, check_up_to};
pub use crate::thread::{Channel, Parker, Sending, Slot};
pub use crate::worker::{Door, WORKERS_MAX, Worker, run, try_run};
