//! Sockets: TCP, UDP, and Unix.
//!
//! ```
//! use antiphon::io::{Read, Write};
//! use antiphon::net::{TcpListener, TcpStream};
//!
//! antiphon::run(async || {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!
//!     let server = antiphon::spawn(async move || {
//!         let (mut peer, _) = listener.accept().await?;
//!         let mut question = Vec::new();
//!         peer.read_to_end(&mut question).await?;
//!         question.reverse();
//!         peer.write_all(&question).await
//!     });
//!
//!     let mut stream = TcpStream::connect(address).await?;
//!     stream.write_all(b"live").await?;
//!     stream.shutdown().await?;
//!     let mut answer = Vec::new();
//!     stream.read_to_end(&mut answer).await?;
//!     assert_eq!(answer, b"evil");
//!     server.await.expect("the server does not panic")
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! | | stream | datagram |
//! |---|---|---|
//! | internet | [`TcpListener`], [`TcpStream`] | [`UdpSocket`] |
//! | this machine | [`UnixListener`], [`UnixStream`] | [`UnixDatagram`] |
//!
//! Reading and writing streams is in the traits [`Read`](crate::io::Read) and [`Write`](crate::io::Write). A stream that is
//! read and written at the same time is split into halves.
//!
//! # Who owns what
//! What can be done at once is done in the middle of a call, from and to the memory of the caller. Beyond that the system reads
//! and writes only memory that belongs to the operation, and an operation belongs to its socket:
//!
//! ```text
//!   your future ──waits for──▶ operation ◀──belongs to── socket
//!        │                         │
//!     buf: copied from or to    memory: the driver's until the operation is over
//! ```
//! A future that goes away half way takes nothing with it. What arrives for it waits at the socket for the next one, and
//! what it handed over is sent. Each function says so in its own words under *Cancellation*. Memory is
//! lent by the loop and reused, so a socket that is in use does not allocate, and a stream that waits owns none.
//!
//! # Cancellation
//! When its [scope](crate::CancelScope) is cancelled, a call ends with an error of which
//! [`is_cancelled`](crate::is_cancelled) is true. In short:
//!
//! | | what goes on | when it was faster than the cancel |
//! |---|---|---|
//! | read, peek, accept, receive a datagram | the socket's own wait: the call leaves at once | the result is returned |
//! | write a stream, flush | the sending: the call leaves at once, and says how much was taken over | as written |
//! | connect, send a datagram, wait for a descriptor | nothing: the call returns when the system has let go | the result is returned |
//! | look a name up | the thread: the call leaves at once | what is to be done with the addresses ends |
//!
//! A call that is made in a cancelled scope starts none of this. Dropping a socket needs no wait, and closes it.
//!
//! # Across loops and threads
//! A socket belongs to the thread that made it. It may outlive its loop and go on in the thread's next one; what was being
//! sent when the loop ended is an error then. To another thread it goes as a socket of the standard library, through
//! `into_std` and `from_std`.
//!
//! # Other crates' traits
//! With the feature `futures-io` the streams and their halves implement `AsyncRead`, `AsyncBufRead` and `AsyncWrite` of that
//! crate; with `hyper` the streams implement `hyper::rt::{Read, Write}`. A write that is pending there has been taken over:
//! polled again with the same bytes it tells how many were written; polled with others, it sends both, one after the other.
//! Such calls have no line, so the task tree shows the one that made the stream. In a cancelled scope they fail as all others
//! do, so that a cancel goes through the crate that polls; what is awaited in a [`shield`](crate::shield) goes on.
//!
//! # Not supported
//! Sockets of other families, ancillary data (descriptors sent over Unix sockets), out-of-band data.

mod acceptor;
mod addresses;
mod connect;
mod datagrams;
#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "hyper")]
mod hyper;
mod read_side;
mod resolve;
mod split;
mod stream;
mod tcp_listener;
mod tcp_stream;
mod udp;
mod unix_datagram;
mod unix_listener;
mod unix_stream;
mod write_side;

pub use self::addresses::ToAddresses;
pub use self::connect::ConnectError;
pub use self::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
pub use self::tcp_listener::{Incoming, TcpListener};
pub use self::tcp_stream::{Keepalive, TcpStream};
pub use self::udp::UdpSocket;
pub use self::unix_datagram::UnixDatagram;
pub use self::unix_listener::UnixListener;
pub use self::unix_stream::UnixStream;
