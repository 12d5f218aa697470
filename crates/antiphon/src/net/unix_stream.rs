//! Unix streams.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr;
use std::panic::Location;
use std::path::Path;
use std::rc::Rc;

use super::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use super::stream::{Stream, UNIX, impl_read, impl_write, unix_address};
use crate::io::Leaf;
use crate::sys::{Address, Op, Open, Pair, Socket, open, open_pair};

/// A stream between two processes of this machine.
///
/// It is read and written through [`Read`](crate::io::Read) and [`Write`](crate::io::Write). Dropping it closes it in both
/// directions and gives up what is still being sent for a write that was given up.
///
/// # Examples
/// ```
/// use antiphon::io::{Read, Write};
/// use antiphon::net::UnixStream;
///
/// antiphon::run(async || {
///     let (mut left, mut right) = UnixStream::pair()?;
///     left.write_all(b"kyrie").await?;
///     let mut word = [0; 5];
///     right.read_exact(&mut word).await?;
///     assert_eq!(&word, b"kyrie");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixStream {
    pub(super) stream: Stream,
}

impl UnixStream {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// - [`NotFound`](io::ErrorKind::NotFound) if there is no such path;
    /// - [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nobody listens there, although the path is left over;
    /// - [`WouldBlock`](io::ErrorKind::WouldBlock) if the listener's queue is full;
    /// - [`PermissionDenied`](io::ErrorKind::PermissionDenied) if the path may not be written;
    /// - a cancel, of which [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** The system is asked for the end, and has answered when this returns; a connection that was made
    /// before that is returned, and the next wait is the one that ends. If the future is dropped, it is closed.
    #[track_caller]
    pub fn connect<P: AsRef<Path>>(path: P) -> impl Future<Output = io::Result<Self>> {
        let address = SocketAddr::from_pathname(path);
        let at = Location::caller();
        async move { connect(address?, at).await }
    }

    /// Connects to an address that may be abstract: see [`connect`](Self::connect).
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    ///
    /// # Cancellation
    /// **Did not happen**, as [`connect`](Self::connect).
    #[track_caller]
    pub fn connect_addr(address: &SocketAddr) -> impl Future<Output = io::Result<Self>> {
        connect(address.clone(), Location::caller())
    }

    /// Makes two streams that are connected to each other.
    ///
    /// # Errors
    /// What `socketpair(2)` says: too many descriptors are open.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let at = Location::caller();
        let (left, right) = open_pair(Pair::Stream)?;
        Ok((Self::of_socket(left, at), Self::of_socket(right, at)))
    }

    /// Takes in a connected socket.
    ///
    /// # Errors
    /// If it can't be made non-blocking.
    #[track_caller]
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        Self::of_fd(stream.into(), Location::caller())
    }

    /// Returns the socket in blocking mode.
    ///
    /// # Errors
    /// Gives the stream back with [`ResourceBusy`](io::ErrorKind::ResourceBusy) if bytes arrived that were not read, or a
    /// write that was given up is still under way; and with the system's error if the descriptor can't be duplicated.
    pub fn into_std(self) -> Result<std::os::unix::net::UnixStream, (io::Error, Self)> {
        self.stream
            .into_fd()
            .map(Into::into)
            .map_err(|(error, stream)| (error, Self { stream }))
    }

    /// Splits the stream into halves that borrow it: see [`TcpStream::split`](super::TcpStream::split).
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        self.stream.split()
    }

    /// Splits the stream into halves that two tasks can own. Dropping the writing half ends that direction.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.stream.into_split()
    }

    /// Puts the halves of [`into_split`](Self::into_split) together again.
    ///
    /// # Errors
    /// Gives them back if they are not of the same stream.
    pub fn reunite(
        read: OwnedReadHalf,
        write: OwnedWriteHalf,
    ) -> Result<Self, (OwnedReadHalf, OwnedWriteHalf)> {
        Stream::of_halves(read, write).map(|stream| Self { stream })
    }

    /// Returns the address of this end. Most have none.
    ///
    /// # Errors
    /// What `getsockname(2)` says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        unix_address(self.stream.socket.local_address()?)
    }

    /// Returns the address of the other end.
    ///
    /// # Errors
    /// What `getpeername(2)` says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        unix_address(self.stream.socket.peer_address()?)
    }

    pub(super) fn of_socket(socket: Rc<Socket>, at: &'static Location<'static>) -> Self {
        Self {
            stream: Stream::new(socket, UNIX, at),
        }
    }

    pub(super) fn of_fd(fd: OwnedFd, at: &'static Location<'static>) -> io::Result<Self> {
        Stream::of_fd(fd, UNIX, at).map(|stream| Self { stream })
    }
}

async fn connect(address: SocketAddr, at: &'static Location<'static>) -> io::Result<UnixStream> {
    let mut leaf = Leaf::at(at);
    poll_fn(|cx| leaf.begin(cx)).await?;
    let socket = open(&Open::UnixStream)?;
    let op = Op::Connect {
        socket: Rc::clone(&socket),
        address: Address::Unix(address),
    };
    leaf.carry_out(op, "unix connect").await?;
    Ok(UnixStream {
        stream: Stream::new(socket, UNIX, at),
    })
}

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.socket.as_fd()
    }
}

impl_read!(UnixStream, stream.read);
impl_write!(UnixStream, stream.write);
