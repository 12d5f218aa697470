//! Unix datagrams.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr;
use std::panic::Location;
use std::path::Path;
use std::rc::Rc;

use super::datagrams::{Datagrams, Kinds};
use super::stream::unix_address;
use crate::io::Leaf;
use crate::sys::{Address, Op, Open, Pair, Socket, adopt, open, open_pair};

/// A socket for datagrams between processes of this machine. They arrive, and in their order.
///
/// Any number of tasks may send and receive at the same time; a datagram comes to whoever runs first. A receiver whose
/// queue is full makes the senders wait.
///
/// # Examples
/// ```
/// use antiphon::net::UnixDatagram;
///
/// antiphon::run(async || {
///     let (left, right) = UnixDatagram::pair()?;
///     left.send(b"sanctus").await?;
///     let mut buf = [0; 64];
///     let count = right.recv(&mut buf).await?;
///     assert_eq!(&buf[..count], b"sanctus");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixDatagram {
    datagrams: Datagrams,
}

/// The length is what Linux allows with the buffers that a socket has at first. Its memory is not touched, and so not
/// taken, before a datagram arrives that is so long.
const UNIX: Kinds = Kinds {
    receive: "unix receive",
    send: "unix send",
    len_max: 256 * 1024,
};

impl UnixDatagram {
    /// Makes a socket at `path`, which is made, and stays when the socket is dropped.
    ///
    /// # Errors
    /// Those of [`UnixListener::bind`](super::UnixListener::bind).
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Makes a socket at an address that may be abstract: see [`bind`](Self::bind).
    ///
    /// # Errors
    /// Those of [`bind`](Self::bind).
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        open(&Open::UnixDatagram(Some(address.clone()))).map(Self::of_socket)
    }

    /// Makes a socket without a name. Nobody can answer it.
    ///
    /// # Errors
    /// What `socket(2)` says: too many descriptors are open.
    pub fn unbound() -> io::Result<Self> {
        open(&Open::UnixDatagram(None)).map(Self::of_socket)
    }

    /// Makes two sockets that are connected to each other.
    ///
    /// # Errors
    /// What `socketpair(2)` says: too many descriptors are open.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (left, right) = open_pair(Pair::Datagram)?;
        Ok((Self::of_socket(left), Self::of_socket(right)))
    }

    /// Takes in a socket.
    ///
    /// # Errors
    /// If it can't be made non-blocking.
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<Self> {
        let socket = adopt(OwnedFd::from(socket))?;
        Ok(Self::of_socket(Rc::new(socket)))
    }

    /// Returns the socket in blocking mode. A datagram that arrived ahead is lost.
    ///
    /// # Errors
    /// If the descriptor can't be duplicated, because too many are open.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixDatagram> {
        self.datagrams.socket.duplicate().map(Into::into)
    }

    /// Sets the peer: the one that [`send`](Self::send) sends to, and the only one whose datagrams arrive from now on.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound), [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) or
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied), as for [`UnixStream::connect`](super::UnixStream::connect). A
    /// cancel, of which [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// # Cancellation
    /// **Did not happen.** If the system was faster, it did, and this says so. If the future is dropped, either may be.
    #[track_caller]
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> impl Future<Output = io::Result<()>> {
        let (address, at) = (SocketAddr::from_pathname(path), Location::caller());
        async move {
            let op = Op::Connect {
                socket: Rc::clone(&self.datagrams.socket),
                address: Address::Unix(address?),
            };
            Leaf::at(at).carry_out(op, "unix connect").await.map(drop)
        }
    }

    /// Sends `buf` as one datagram to the socket at `path`, waiting while its queue is full. Returns its length.
    ///
    /// # Errors
    /// `EMSGSIZE` if it is too long for the socket's buffer; and those of [`connect`](Self::connect).
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** The system is asked for the end, and has answered when this returns; if the datagram was sent
    /// before that, this says so, and the next wait is the one that ends. If the future is dropped once it was polled, the
    /// datagram is sent in the background.
    #[track_caller]
    pub fn send_to<P: AsRef<Path>>(
        &self,
        buf: &[u8],
        path: P,
    ) -> impl Future<Output = io::Result<usize>> {
        let (address, at) = (SocketAddr::from_pathname(path), Location::caller());
        async move {
            self.datagrams
                .send(buf, Some(Address::Unix(address?)), at)
                .await
        }
    }

    /// Sends `buf` as one datagram to an address that may be abstract: see [`send_to`](Self::send_to).
    ///
    /// # Errors
    /// Those of [`send_to`](Self::send_to).
    ///
    /// # Cancellation
    /// **Did not happen**, as [`send_to`](Self::send_to).
    #[track_caller]
    pub fn send_to_addr(
        &self,
        buf: &[u8],
        address: &SocketAddr,
    ) -> impl Future<Output = io::Result<usize>> {
        self.datagrams.send(
            buf,
            Some(Address::Unix(address.clone())),
            Location::caller(),
        )
    }

    /// Sends `buf` as one datagram to the peer, waiting while its queue is full. Returns its length.
    ///
    /// # Errors
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) or [`ConnectionReset`](io::ErrorKind::ConnectionReset) if the
    /// peer has gone; [`NotConnected`](io::ErrorKind::NotConnected) if there is none; and those of
    /// [`send_to`](Self::send_to).
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen**, as [`send_to`](Self::send_to).
    #[track_caller]
    pub fn send(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.datagrams.send(buf, None, Location::caller())
    }

    /// Receives a datagram into `buf`. Returns how many bytes, and the sender, whose address is empty if it has no name.
    ///
    /// What does not fit into `buf` is discarded, and what is beyond 256 KiB.
    ///
    /// # Errors
    /// What `recv(2)` says. A cancel, of which [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** A datagram that arrives later waits for the next call. One that is there when the cancelled call
    /// is polled is returned, and the next wait is the one that ends.
    #[track_caller]
    pub fn recv_from(
        &self,
        buf: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        self.receive(buf, false, Location::caller())
    }

    /// Receives a datagram into `buf`. Returns how many bytes: see [`recv_from`](Self::recv_from).
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    ///
    /// # Cancellation
    /// **Did not happen**, as [`recv_from`](Self::recv_from).
    #[track_caller]
    pub fn recv(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        let receive = self.datagrams.receive(buf, false, Location::caller());
        async move { receive.await.map(|(count, _)| count) }
    }

    /// Copies the next datagram into `buf` and leaves it there for the next call: see [`recv_from`](Self::recv_from).
    ///
    /// # Errors
    /// Those of [`recv_from`](Self::recv_from).
    ///
    /// # Cancellation
    /// **Did not happen.**
    #[track_caller]
    pub fn peek_from(
        &self,
        buf: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        self.receive(buf, true, Location::caller())
    }

    /// Returns the socket's own address, which is empty if it has no name.
    ///
    /// # Errors
    /// What `getsockname(2)` says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        unix_address(self.datagrams.socket.local_address()?)
    }

    /// Returns the peer's address.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) if it has none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        unix_address(self.datagrams.socket.peer_address()?)
    }

    const fn of_socket(socket: Rc<Socket>) -> Self {
        Self {
            datagrams: Datagrams::new(socket, UNIX),
        }
    }

    async fn receive(
        &self,
        buf: &mut [u8],
        peek: bool,
        at: &'static Location<'static>,
    ) -> io::Result<(usize, SocketAddr)> {
        let (count, sender) = self.datagrams.receive(buf, peek, at).await?;
        let nameless = || SocketAddr::from_pathname("");
        let sender = sender.map_or_else(nameless, unix_address)?;
        Ok((count, sender))
    }
}

impl AsFd for UnixDatagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.datagrams.socket.as_fd()
    }
}
