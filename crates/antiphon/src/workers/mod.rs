//! Several loops of one run, each on a thread of its own.
//!
//! A task lives and ends on its loop, and nothing in it need be `Send`. So work is not taken from one loop to another behind
//! the program's back: it is started where it is to be, with [`spawn_on`], and what goes there and comes back is `Send`.
//!
//! ```text
//!   Runtime::builder().workers(4)
//!     worker 0: main ──▶ spawn_on(2, …) ────────┐          main ends ──▶ 1, 2 and 3 are told, and wind down as 0 does:
//!     worker 1                                  │                        tasks are cancelled, have their grace, are dropped
//!     worker 2: ◀───────────────────────────────┘
//!     worker 3
//! ```
//!
//! # Examples
//! ```
//! use antiphon::{Cancelled, Runtime, group, spawn_on, workers};
//!
//! let mut runtime = Runtime::builder().workers(3).build()?;
//! let sum = runtime.run(async || {
//!     let mut tasks = Vec::new();
//!     for worker in 0..workers().len() {
//!         tasks.push(spawn_on(worker, async move || {
//!             assert_eq!(workers().here(), worker);
//!             worker * 10
//!         }));
//!     }
//!     let mut sum = 0;
//!     for task in tasks {
//!         sum += task.await?;
//!     }
//!     Ok::<usize, antiphon::thread::JoinError>(sum)
//! })?;
//! assert_eq!(sum, 30);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is shared, and what is not
//! - Every worker has its own driver, clock, timers, scopes and tree of tasks; [`tree`](crate::tree()) shows those of the worker that
//!   asks.
//! - Values go from one to another by [`thread::channel`](crate::thread::channel()), or with what is spawned and returned.
//! - Connections are shared out by the kernel, if each worker has a listener of its own at the same address:
//!   [`TcpListener::bind_shared`](crate::net::TcpListener::bind_shared).
//! - Instruments and signals are the first worker's; the watchdog is everybody's.
//!
//! # When something goes wrong
//! A panic in a task is its own, as ever, and comes to the one who awaits it. If a worker itself panics, which is a fault of this
//! crate, its tasks are gone, those who await them are [told](crate::thread::JoinError::is_ended), what is spawned on it is refused,
//! and the panic goes on in the run's caller when the main task has ended. A worker that is held by a task which never waits
//! is named on standard error at the end of the run, and left behind: a thread can't be ended from outside.

mod crew;
mod task;
mod threads;

pub use self::crew::{Workers, spawn_on, workers};
pub use self::task::WorkerTask;
pub(crate) use self::threads::{Plan, Threads};
