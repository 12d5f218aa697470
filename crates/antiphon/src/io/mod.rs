//! Reading and writing bytes: what all streams have in common.
//!
//! ```
//! use antiphon::io::{Read, Write};
//! use antiphon::net::UnixStream;
//!
//! antiphon::run(async || {
//!     let (mut left, mut right) = UnixStream::pair()?;
//!     left.write_all(b"versicle\nresponse").await?;
//!     left.shutdown().await?;
//!
//!     let mut line = Vec::new();
//!     right.read_until(b'\n', &mut line).await?;
//!     assert_eq!(line, b"versicle\n");
//!     let mut rest = Vec::new();
//!     right.read_to_end(&mut rest).await?;
//!     assert_eq!(rest, b"response");
//!     Ok::<(), std::io::Error>(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`Read`] is a reader with a buffer of its own: bytes arrive there, and are copied or looked at from there. [`Write`] is a
//! writer that takes over the bytes that can't be sent at once. The system sees the caller's memory during a system call at
//! most, so a call that is given up half way, even one whose future is forgotten, is harmless. What becomes of the bytes then
//! is said with each call.
//!
//! When its [scope](crate::CancelScope) is cancelled, a call ends with an error of which [`is_cancelled`](crate::is_cancelled)
//! is true. A call that moves many bytes and was half way through says how far it got: [`Partial`].
//!
//! # Pipes and standard streams
//! [`pipe`] makes a pipe, and [`PipeReader`] and [`PipeWriter`] take in what there is, or [open](PipeReader::open) one that has
//! a name. [`stdin`], [`stdout`] and [`stderr`] are whatever they happen to be: a terminal, a pipe, a file. There is no thread
//! behind them, so none keeps the program from ending; and nothing is changed that other processes share, so the shell finds
//! its terminal as it was, even after a kill.
//!
//! # Streams of your own
//! Both traits are open: a stream of your own (encrypted, compressed, made up by a test) implements the few polling methods and
//! passes the [`Leaf`] that it is handed on to the stream below it. Then whoever looks at a task that waits sees the line
//! that called, and what it waits for in the end.

mod descriptor;
mod endpoint;
mod leaf;
mod lines;
mod partial;
mod pipe;
mod read;
mod read_end;
mod standard;
mod write;
mod write_end;

pub(crate) use self::leaf::{Answer, is_aborted};
#[cfg(any(feature = "futures-io", feature = "hyper"))]
pub(crate) use self::write::WRITE_MAX;

pub use self::descriptor::Descriptor;
pub use self::leaf::Leaf;
pub use self::lines::Lines;
pub use self::partial::Partial;
pub use self::pipe::{PipeReader, PipeWriter, pipe};
pub use self::read::Read;
pub use self::standard::{Stderr, Stdin, Stdout, StreamKind, stderr, stdin, stdout};
pub use self::write::Write;
