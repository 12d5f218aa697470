//! Other programs: started, fed, listened to, and never left behind.
//!
//! ```
//! use antiphon::context::with;
//! use antiphon::io::{Read, Write};
//! use antiphon::process::{Command, Stdio};
//!
//! antiphon::run(async || {
//!     // The short way.
//!     let output = Command::new("echo").arg("kyrie").output().await?;
//!     assert!(output.status.success());
//!     assert_eq!(output.stdout, b"kyrie\n");
//!
//!     // A block: however it is left, the child has gone afterwards.
//!     let mut cat = Command::new("cat");
//!     cat.stdin(Stdio::piped()).stdout(Stdio::piped());
//!     let echo = with(cat.spawned(), async |child| {
//!         let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.as_mut().unwrap());
//!         stdin.write_all(b"eleison").await?;
//!         stdin.shutdown().await?;
//!         let mut echo = Vec::new();
//!         stdout.read_to_end(&mut echo).await?;
//!         Ok::<_, std::io::Error>(echo)
//!     });
//!     assert_eq!(echo.await?, b"eleison");
//!     Ok::<(), std::io::Error>(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # How a child ends
//! ```text
//!   block left with a value ──▶ pipes closed ── patience ──┐ it goes on
//!                                                          ▼
//!   block left otherwise, or dropped ────────────────▶ SIGTERM ── grace ──▶ SIGKILL ──▶ reaped
//! ```
//! At each arrow the child may end by itself, and is reaped then. [`Command::patience`] and [`Command::grace`] say how long the
//! two waits are. Nothing here waits for a pipe: a grandchild that holds one open holds up nobody.
//!
//! | | what the child does then |
//! |---|---|
//! | [`with`](crate::context::with()), [`Command::output`] and [`Command::status`], cancelled or dropped | it is ended as above |
//! | [`Child::wait`] is cancelled or dropped | it goes on, and can be waited for again |
//! | a [`Child`] is dropped | it goes on, and is reaped when it ends; with [`Command::kill_on_drop`] it is killed |
//!
//! # Reaping
//! A child is waited for by its own descriptor, a pidfd (Linux 5.3): no `SIGCHLD`, no thread, and no process number that
//! could be somebody else's by now. Where that is refused, or no
//! descriptor is left, the child is asked for, after a millisecond at first and every 50
//! at last.
//!
//! A child that was dropped while it runs is reaped by the loop of its thread. When that has ended, it is reaped by
//! whatever process is spawned next. A program that ignores `SIGCHLD`, or waits for any child (`waitpid(-1)`), takes the statuses
//! away; the waits here fail then.
//!
//! # Not supported
//! Virtual time: a process takes the time it takes. Groups of processes: a signal reaches the child alone, not its own
//! children.

mod child;
mod command;
mod orphans;
mod output;
#[cfg_attr(target_os = "linux", path = "pidfd.rs")]
#[cfg_attr(not(target_os = "linux"), path = "no_pidfd.rs")]
mod pidfd;

pub use std::process::{ExitStatus, Stdio};

pub use self::child::Child;
pub use self::command::Command;
pub use self::output::Output;
