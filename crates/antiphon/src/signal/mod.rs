//! Signals, and how a program ends by them.
//!
//! # Ctrl-C and SIGTERM without a line of yours
//! The main task of a loop that runs on the program's main thread is cancelled by the first SIGINT or SIGTERM: each wait of its
//! ends with [`Cancelled`](crate::Cancelled), whose reason is [`Signal`](crate::CancelReason::Signal). Context managers exit,
//! groups await their tasks, and [`run`](crate::run) returns what the main task returns.
//!
//! ```text
//!   first signal ──▶ everything is cancelled ──▶ main returns ──▶ run returns
//!                          │
//!                          ├── the second one: the process dies of it, at once
//!                          └── main has not ended within its grace: it is named on standard error with the rest, all
//!                              are dropped, and the process dies of the signal
//! ```
//! ```
//! use antiphon::{CancelReason, signal::Kind, time};
//! # use rustix::process::{Signal, getpid, kill_process};
//! use std::time::Duration;
//!
//! let result = antiphon::run(async || {
//!     # kill_process(getpid(), Signal::INT).unwrap();
//!     // … Ctrl-C
//!     time::sleep(Duration::from_secs(3600)).await
//! });
//! assert_eq!(result.unwrap_err().reason(), &CancelReason::Signal(Kind::INTERRUPT));
//! ```
//! So a program ends in a bounded time, unless a task holds the thread and never waits: then it is the second signal that
//! ends it. Whoever started the program learns that it died of the signal: to a shell the status is 128 and the signal's number.
//!
//! | when | what becomes of it |
//! |---|---|
//! | main returns, also an error | what is left is cancelled, for the reason [`MainEnded`](crate::CancelReason::MainEnded), and has a [grace](crate::RuntimeBuilder::grace) |
//! | main panics | the same, for [`MainPanicked`](crate::CancelReason::MainPanicked); then the panic goes on |
//! | a signal, while main runs | as above; main has [another grace](crate::RuntimeBuilder::signal_grace) |
//! | a signal, when main has ended | what is left keeps its grace; then the process dies of the signal |
//! | a signal, before or after `run` | what it did before |
//!
//! It is only so for a signal that has its default action. One that is ignored, as under nohup(1), stays ignored, and somebody
//! else's handler stays where it is, also if it was installed during the run.
//! [`RuntimeBuilder::on_signals`](crate::RuntimeBuilder::on_signals) turns it on for other threads, or off. When the run is over,
//! the signals do what they did before.
//!
//! # Hearing of them yourself
//! [`signal`] and [`signals`] listen, until what they return is dropped; [`ctrl_c`] waits for one. Each listener, on whatever
//! thread, hears of each signal: at least once after each delivery, as the system counts no more than that itself. A handler
//! that was installed before is called as well.
//!
//! **Whoever listens has taken over**: while there is a listener for SIGINT anywhere in the process, no run is cancelled by
//! SIGINT, and a second one kills nobody. When the last one is dropped, the signal does again what it did before: its default
//! action, nothing, another's handler, or to cancel the run. So after `ctrl_c().await?` the next Ctrl-C is the loop's.
//!
//! ```
//! use antiphon::signal::{self, Kind};
//! # use rustix::process::{Signal, getpid, kill_process};
//!
//! antiphon::run(async || {
//!     let hangups = signal::signal(Kind::HANGUP)?;
//! #   kill_process(getpid(), Signal::HUP)?;
//!     // … kill -HUP
//!     assert_eq!(hangups.recv().await?, Kind::HANGUP);
//!     Ok::<(), std::io::Error>(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What is not here
//! - In [virtual time](crate::DriverKind::VirtualTime), where no signals come, listening is an error.
//! - Who sent it, and why (`siginfo_t`). SIGKILL and SIGSTOP, of which the system tells nobody, and the signals of a fault:
//!   SIGSEGV, SIGBUS, SIGFPE, SIGILL.
//! - A child of fork(2) that does not call exec(2) at once shares the listeners' pipes with its parent.

mod listener;

pub use self::listener::{Signals, ctrl_c, signal, signals};
pub use crate::sys::signals::Kind;
