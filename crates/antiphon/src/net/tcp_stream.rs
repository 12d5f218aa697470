//! TCP connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::addresses::ToAddresses;
use super::connect::connect_tcp;
use super::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use super::stream::{Stream, TCP, impl_read, impl_write, ip_address};
use crate::sys::Socket;

/// A TCP connection.
///
/// It is read and written through [`Read`](crate::io::Read) and [`Write`](crate::io::Write). Dropping it closes it in both
/// directions and gives up what is still being sent for a write that was given up; what calls that returned have written is
/// the system's to deliver. If bytes that arrived were not read, the peer may be told that the connection was reset.
#[derive(Debug)]
pub struct TcpStream {
    pub(super) stream: Stream,
}

/// How a connection that is silent is probed: see [`TcpStream::set_keepalive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// For how long it must be silent before the first probe. Whole seconds.
    pub idle: Duration,
    /// The time between two probes. Whole seconds; `None` leaves it to the system.
    pub interval: Option<Duration>,
    /// After so many probes without an answer the connection is broken. `None` leaves it to the system.
    pub retries: Option<u32>,
}

impl TcpStream {
    /// Connects to one of the addresses.
    ///
    /// If there are several, they are tried as RFC 8305 says ("happy eyeballs"): IPv6 and IPv4 in turn, the next one when
    /// one fails or after a quarter of a second, until the first gets through. The others are given up then.
    ///
    /// # Errors
    /// - [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nobody listens there;
    /// - [`TimedOut`](io::ErrorKind::TimedOut) when the system gives up, typically after two minutes;
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput) if `address` names nothing, and what the lookup of a name says;
    /// - a cancel, of which [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// If none of several addresses answered, the inner error is a [`ConnectError`](super::ConnectError), which tells of each.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** The system is asked for the end of the attempts, and has answered when this returns: their
    /// descriptors are closed. A connection that was made before that is returned, and the next wait is the one that ends. A
    /// name lookup is left at once: it goes on in its thread, and its answer is dropped. If the future is dropped, the attempts
    /// are ended in the background, and a connection that is made all the same is closed.
    #[track_caller]
    pub fn connect<A: ToAddresses>(address: A) -> impl Future<Output = io::Result<Self>> {
        let (target, at) = (address.to_target(), Location::caller());
        async move {
            let socket = connect_tcp(target.addresses(at).await?, at).await?;
            Ok(Self {
                stream: Stream::new(socket, TCP, at),
            })
        }
    }

    /// Takes in a connected socket.
    ///
    /// # Errors
    /// If it can't be made non-blocking.
    #[track_caller]
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        Self::of_fd(stream.into(), Location::caller())
    }

    /// Returns the socket in blocking mode.
    ///
    /// # Errors
    /// Gives the stream back with [`ResourceBusy`](io::ErrorKind::ResourceBusy) if bytes arrived that were not read, or a
    /// write that was given up is still under way; and with the system's error if the descriptor can't be duplicated.
    pub fn into_std(self) -> Result<std::net::TcpStream, (io::Error, Self)> {
        self.stream
            .into_fd()
            .map(Into::into)
            .map_err(|(error, stream)| (error, Self { stream }))
    }

    /// Splits the stream into halves that borrow it.
    ///
    /// # Examples
    /// ```
    /// use antiphon::io::{Read, Write};
    /// # use antiphon::net::{TcpListener, TcpStream};
    ///
    /// # antiphon::run(async || {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let mut peer = TcpStream::connect(listener.local_addr()?).await?;
    /// # let (mut stream, _) = listener.accept().await?;
    /// # peer.write_all(b"hello").await?;
    /// # peer.shutdown().await?;
    /// let (mut read, mut write) = stream.split();
    /// loop {
    ///     let bytes = read.fill(1).await?;
    ///     if bytes.is_empty() {
    ///         break;
    ///     }
    ///     write.write_all(bytes).await?; // an echo without a buffer of its own
    ///     let count = bytes.len();
    ///     read.consume(count);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
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

    /// Returns the address of this end.
    ///
    /// # Errors
    /// What `getsockname(2)` says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip_address(&self.stream.socket.local_address()?)
    }

    /// Returns the address of the other end.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the peer broke the connection off.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        ip_address(&self.stream.socket.peer_address()?)
    }

    /// Returns whether small segments are sent at once.
    ///
    /// # Errors
    /// What `getsockopt(2)` says.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket().tcp_nodelay()
    }

    /// Sets whether small segments are sent at once (`TCP_NODELAY`) instead of being collected while others are not
    /// acknowledged yet. It is not set at first; protocols of questions and answers want it.
    ///
    /// # Errors
    /// What `setsockopt(2)` says.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket().set_tcp_nodelay(nodelay)
    }

    /// Returns the time to live of packets (IPv4).
    ///
    /// # Errors
    /// What `getsockopt(2)` says.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket().ttl_v4()
    }

    /// Sets the time to live of packets (IPv4).
    ///
    /// # Errors
    /// What `setsockopt(2)` says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket().set_ttl_v4(ttl)
    }

    /// Returns what closing does with bytes that were not delivered yet: see [`set_linger`](Self::set_linger).
    ///
    /// # Errors
    /// What `getsockopt(2)` says.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket().linger()
    }

    /// Sets what closing does with bytes that were not delivered yet (`SO_LINGER`, whole seconds). `None`, as it is at
    /// first, lets the system deliver them in the background. Zero discards them and resets the connection. Anything else
    /// makes the close, and so the whole loop, wait for so long: that is hardly ever wanted.
    ///
    /// # Errors
    /// What `setsockopt(2)` says.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.socket().set_linger(linger)
    }

    /// Returns whether a silent connection is probed.
    ///
    /// # Errors
    /// What `getsockopt(2)` says.
    pub fn keepalive(&self) -> io::Result<bool> {
        self.socket().keepalive()
    }

    /// Sets whether and how a silent connection is probed, so that a peer that vanished is noticed.
    ///
    /// # Errors
    /// What `setsockopt(2)` says.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        let Some(Keepalive {
            idle,
            interval,
            retries,
        }) = keepalive
        else {
            return self.socket().set_keepalive(false);
        };
        let mut parameters = TcpKeepalive::new().with_time(idle);
        if let Some(interval) = interval {
            parameters = parameters.with_interval(interval);
        }
        if let Some(retries) = retries {
            parameters = parameters.with_retries(retries);
        }
        self.socket().set_tcp_keepalive(&parameters)
    }

    pub(super) fn of_socket(socket: Rc<Socket>, at: &'static Location<'static>) -> Self {
        Self {
            stream: Stream::new(socket, TCP, at),
        }
    }

    pub(super) fn of_fd(fd: OwnedFd, at: &'static Location<'static>) -> io::Result<Self> {
        Stream::of_fd(fd, TCP, at).map(|stream| Self { stream })
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.socket.as_fd()
    }
}

impl_read!(TcpStream, stream.read);
impl_write!(TcpStream, stream.write);
