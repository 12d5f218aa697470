//! An event loop for one thread: tasks that you can look at while they sleep, and tell to stop.
//!
//! ```
//! use antiphon::io::{Read, Write};
//! use antiphon::net::{TcpListener, TcpStream};
//!
//! antiphon::run(async || {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!     let echo = antiphon::spawn(async move || {
//!         let (mut stream, _) = listener.accept().await?;
//!         let mut bytes = [0; 64];
//!         while let count @ 1.. = stream.read(&mut bytes).await? {
//!             stream.write_all(&bytes[..count]).await?;
//!         }
//!         Ok::<(), std::io::Error>(())
//!     });
//!
//!     let mut stream = TcpStream::connect(address).await?;
//!     stream.write_all(b"antiphon").await?;
//!     let mut answer = [0; 8];
//!     stream.read_exact(&mut answer).await?;
//!     assert_eq!(&answer, b"antiphon");
//!     drop(stream);
//!     echo.await.expect("the task does not panic")
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The parts
//! - [`run`] and [`Runtime`] start a loop on this thread. [`spawn`] and [`TaskBuilder`] start tasks on it; a
//!   [`JoinHandle`] awaits their end. A task lives and ends on its thread, so nothing in it need be `Send`.
//! - [`net`]: TCP, UDP and Unix sockets. [`fs`]: files and directories. [`io`]: reading and writing them, pipes, and the standard
//!   streams.
//! - [`process`]: other programs, started, fed, listened to, and never left behind.
//! - [`time`]: sleeps, timeouts, intervals. [`sync`]: locks, channels, and other meeting places.
//! - [`CancelScope`], [`shield`] and the timeouts of [`time`]: a wait that is cancelled ends with [`Cancelled`], and nothing is
//!   dropped. [`group`], [`race`], [`join`] and their kin: tasks that borrow, and end before the block that they are in does.
//! - [`context`]: blocks that are left in good order, however they end.
//! - [`signal`]: signals as they come; and how Ctrl-C and SIGTERM end a program in good order.
//! - [`tree`] tells who waits, for what, on which line and since when. Nothing is polled for it.
//! - [`thread`]: closures that block ([`unblock`]), channels between threads, and the way into a loop from elsewhere ([`Handle`]).
//! - [`instrument`]: code that is told what becomes of each task; the watchdog. [`inspect`]: the task tree, from outside.
//! - [`workers`](mod@workers): several loops of one run, each on its thread; [`spawn_on`] starts a task on another one.
//! - [`explore`]: a program, run once for each moment at which it can be interrupted, and what it leaves behind.
//! - [`TaskLocal`]: variables that a task inherits from the one that spawned it.
//!
//! # How it works
//! A waker is a number, not a pointer: its clones are free, and one that comes too late reaches nobody. A leaf that waits leaves
//! a record with its kind and its line. A scope that is cancelled wakes who polls it, and the waits in it undo themselves and end;
//! the rules are with [`CancelScope`]. The system only ever touches memory that belongs to the loop, so a future can be
//! dropped, or forgotten, at any moment. I/O goes through `io_uring` where the system grants it and through epoll elsewhere;
//! [`Runtime::driver`] says which, and the environment variable `ANTIPHON_DRIVER` (`readiness`, `io_uring`) chooses.
//! In [virtual time](DriverKind::VirtualTime) the clock jumps to the next deadline, the network is in memory, and every run is the
//! same.
//!
//! # What is not here
//! - No work is taken from one loop to another by itself: see [`workers`](mod@workers).
//! - A future of another crate can't be told to stop: it is awaited to its end, unless [`droppable`] says otherwise, or a scope's
//!   [grace](CancelScope::run_within) is over.
//! - Linux, in earnest. Elsewhere on Unix it is type-checked, not tested. 64-bit only.
//!
//! # Features
//! - `futures-io`: the streams implement the traits of that crate.
//! - `hyper`: the streams implement `hyper::rt::{Read, Write}`.
//! - `tracing`: a span of that crate for each task.

pub mod context;
pub mod explore;
pub mod fs;
mod group;
pub mod inspect;
pub mod instrument;
pub mod io;
mod look;
pub mod net;
mod pool;
pub mod process;
mod random;
mod runtime;
mod scope;
pub mod signal;
pub mod sync;
mod sys;
mod task;
pub mod thread;
pub mod time;
mod wait;
mod worker;
pub mod workers;

pub use crate::group::{
    ChildBuilder, ChildError, ChildHandle, Group, GroupError, Join, Race, Race2, Race3, RaceAll,
    Readiness, StartError, TryJoin, for_each_concurrent, for_each_received, group, join, join_all,
    race, race_all, try_join, try_join_all,
};
pub use crate::look::{Holder, ScopeSnapshot, TaskSnapshot, TaskState, Tree, Wait, tree};
pub use crate::random::fill_random;
pub use crate::runtime::{DriverKind, OnSignals, Runtime, RuntimeBuilder, run};
pub use crate::scope::{
    CancelReason, CancelScope, Cancelled, Grace, Killed, Outcome, ScopeId, droppable,
    find_cancelled, finish, is_cancelled, shield,
};
pub use crate::task::{
    JoinHandle, TaskBuilder, TaskError, TaskId, TaskLocal, YieldNow, spawn, yield_now,
};
pub use crate::thread::{Handle, block_on, unblock};
pub use crate::workers::{WorkerTask, Workers, spawn_on, workers};
