//! Threads around the loop: closures off it, values across, and the way in.
//!
//! A loop is one thread, and nothing on it may wait by holding that thread up. What can only be called and waited for goes to
//! another one, and here is what leads there and back.
//!
//! | to … | there is |
//! |---|---|
//! | call something that blocks, from a task | [`unblock`]; [`unblock_with`], if it can be told to stop |
//! | keep what may get stuck apart | a [`Pool`] of your own |
//! | hand values between loops and threads, in order | [`channel()`], [`unbounded`] |
//! | start a task on a loop from another thread | [`Handle::spawn`] |
//! | ask the loop for something from a closure that blocks | [`Handle::run_sync`] |
//! | await something on a thread that has no loop | [`block_on`], if other threads end it; else [`run`](crate::run) |
//! | hand values between tasks of one loop | [`sync`](crate::sync): the same without locks |
//!
//! ```
//! use antiphon::{Handle, thread};
//!
//! antiphon::run(async || {
//!     // A thread of its own that asks the loop, and is answered by a channel.
//!     let (sender, mut receiver) = thread::channel(8);
//!     let handle = Handle::current();
//!     let thread = std::thread::spawn(move || {
//!         let name = handle.run_sync(async || "the loop").unwrap();
//!         sender.blocking_send(format!("hello, {name}")).unwrap();
//!     });
//!     assert_eq!(receiver.recv().await?.as_deref(), Some("hello, the loop"));
//!     // It blocks until the thread has ended, so not here.
//!     antiphon::unblock(|| thread.join().unwrap()).await?;
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Cancelled
//! A thread can't be ended from outside. So an [`unblock`] that is cancelled waits until its closure returns, and keeps what
//! that returned; [`abandon_on_cancel`](Unblock::abandon_on_cancel) says that it need not. What is abandoned is counted in
//! [`stats`]. Waits for a channel or a task end at once: what they waited for did not happen.
//!
//! # Elsewhere
//! The futures here are `Send`. They can be awaited on a loop, in [`block_on`], and by other runtimes, where they are never
//! cancelled. On a loop they are in the task tree.
//!
//! # In virtual time
//! The clock stands still while a closure of [`unblock`] is under way. Of threads that the loop did not start it knows nothing: it
//! jumps on while they are at work.
//!
//! # When the loop ends
//! Tasks that wait for a closure have their [grace](crate::RuntimeBuilder::grace), are then named on standard error and dropped; the
//! closure is abandoned. Who waits for a task of that loop is told ([`JoinError::is_ended`]); the ends of a channel know nothing of
//! loops, and close when they are dropped.

mod block_on;
pub mod channel;
mod error;
mod handle;
mod leaf;
mod parker;
mod pool;
mod slot;
mod unblock;

use std::sync::{Mutex, MutexGuard};

use crate::worker::contain;

pub use self::block_on::block_on;
pub use self::channel::{Receiver, Sender, UnboundedSender, channel, unbounded};
pub use self::error::JoinError;
pub use self::handle::{Handle, SendJoinHandle};
pub(crate) use self::pool::Job;
pub use self::pool::{Pool, PoolBuilder, Stats, stats};
pub use self::unblock::{StopToken, Unblock, unblock, unblock_with};
