//! UDP.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::Location;
use std::rc::Rc;

use socket2::SockRef;

use super::addresses::ToAddresses;
use super::datagrams::{Datagrams, Kinds};
use super::stream::ip_address;
use crate::io::Leaf;
use crate::scope::is_cancelled;
use crate::sys::{Address, Op, Open, Socket, adopt, open};

/// A socket for UDP datagrams.
///
/// Any number of tasks may send and receive at the same time; a datagram comes to whoever runs first.
///
/// # Examples
/// ```
/// use antiphon::net::UdpSocket;
///
/// antiphon::run(async || {
///     let one = UdpSocket::bind("127.0.0.1:0").await?;
///     let other = UdpSocket::bind("127.0.0.1:0").await?;
///     one.send_to(b"amen", other.local_addr()?).await?;
///
///     let mut buf = [0; 1500];
///     let (count, sender) = other.recv_from(&mut buf).await?;
///     assert_eq!((&buf[..count], sender), (&b"amen"[..], one.local_addr()?));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    datagrams: Datagrams,
}

const UDP: Kinds = Kinds {
    receive: "udp receive",
    send: "udp send",
    len_max: 64 * 1024,
};

impl UdpSocket {
    /// Makes a socket at the first of the addresses that allows it. Port 0 lets the system choose one.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse), [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable),
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied), [`InvalidInput`](io::ErrorKind::InvalidInput): as for
    /// [`TcpListener::bind`](super::TcpListener::bind).
    ///
    /// # Cancellation
    /// **Did not happen.** A name lookup goes on in its thread, and its answer is dropped.
    #[track_caller]
    pub fn bind<A: ToAddresses>(address: A) -> impl Future<Output = io::Result<Self>> {
        let (target, at) = (address.to_target(), Location::caller());
        async move {
            let mut result = Err(io::ErrorKind::InvalidInput.into());
            for address in target.addresses(at).await? {
                result = open(&Open::Udp(address)).map(Self::of_socket);
                if result.is_ok() {
                    break;
                }
            }
            result
        }
    }

    /// Takes in a socket.
    ///
    /// # Errors
    /// If it can't be made non-blocking.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        let socket = adopt(OwnedFd::from(socket))?;
        Ok(Self::of_socket(Rc::new(socket)))
    }

    /// Returns the socket in blocking mode. A datagram that arrived ahead is lost.
    ///
    /// # Errors
    /// If the descriptor can't be duplicated, because too many are open.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        self.datagrams.socket.duplicate().map(Into::into)
    }

    /// Sets the peer: the one that [`send`](Self::send) sends to, and the only one whose datagrams arrive from now on.
    ///
    /// # Errors
    /// If there is no way to any of the addresses; what the lookup of a name says; and a cancel, of which
    /// [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// # Cancellation
    /// **Did not happen.** If the system was faster, it did, and this says so. A name lookup goes on in its thread, and its
    /// answer is dropped. If the future is dropped, either may be.
    #[track_caller]
    pub fn connect<A: ToAddresses>(&self, address: A) -> impl Future<Output = io::Result<()>> {
        let (target, at) = (address.to_target(), Location::caller());
        async move {
            let mut result = Ok(());
            for address in target.addresses(at).await? {
                let socket = Rc::clone(&self.datagrams.socket);
                let op = Op::Connect {
                    socket,
                    address: Address::Ip(address),
                };
                result = Leaf::at(at).carry_out(op, "udp connect").await.map(drop);
                if result
                    .as_ref()
                    .map_or_else(|error| is_cancelled(error), |()| true)
                {
                    break;
                }
            }
            result
        }
    }

    /// Sends `buf` as one datagram to `address`. Returns its length.
    ///
    /// # Errors
    /// `EMSGSIZE` if it is too long: IPv4 allows 65507 bytes. Errors that come back from the network later are told by later
    /// calls, and only on sockets with a peer. A cancel, of which [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** The system is asked for the end, and has answered when this returns; if the datagram was sent
    /// before that, this says so, and the next wait is the one that ends. If the future is dropped once it was polled, the
    /// datagram is sent in the background.
    #[track_caller]
    pub fn send_to(
        &self,
        buf: &[u8],
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<usize>> {
        self.datagrams
            .send(buf, Some(Address::Ip(address)), Location::caller())
    }

    /// Sends `buf` as one datagram to the peer. Returns its length.
    ///
    /// # Errors
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if an earlier datagram found nobody there;
    /// `EDESTADDRREQ` if there is no peer; and those of [`send_to`](Self::send_to).
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

    /// Receives a datagram into `buf`. Returns how many bytes, and the sender.
    ///
    /// What does not fit into `buf` is discarded.
    ///
    /// # Errors
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if a datagram that was sent to the peer found nobody there. A
    /// cancel, of which [`is_cancelled`](crate::is_cancelled) is true.
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

    /// Returns the address that it is at, with the port that the system chose.
    ///
    /// # Errors
    /// What `getsockname(2)` says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip_address(&self.datagrams.socket.local_address()?)
    }

    /// Returns the peer's address.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) if it has none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        ip_address(&self.datagrams.socket.peer_address()?)
    }

    /// Sets whether datagrams may be sent to broadcast addresses. They may not at first.
    ///
    /// # Errors
    /// What `setsockopt(2)` says.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        SockRef::from(self).set_broadcast(broadcast)
    }

    /// Sets the time to live of packets (IPv4).
    ///
    /// # Errors
    /// What `setsockopt(2)` says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        SockRef::from(self).set_ttl_v4(ttl)
    }

    /// Joins an IPv4 multicast group on the interface with that address; `0.0.0.0` leaves the choice to the system.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if `group` is no multicast address; `ENODEV` if there is no such
    /// interface.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        SockRef::from(self).join_multicast_v4(&group, &interface)
    }

    /// Leaves an IPv4 multicast group: see [`join_multicast_v4`](Self::join_multicast_v4).
    ///
    /// # Errors
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if it was not joined.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        SockRef::from(self).leave_multicast_v4(&group, &interface)
    }

    /// Joins an IPv6 multicast group on the interface with that number; 0 leaves the choice to the system.
    ///
    /// # Errors
    /// As [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        SockRef::from(self).join_multicast_v6(&group, interface)
    }

    /// Leaves an IPv6 multicast group: see [`join_multicast_v6`](Self::join_multicast_v6).
    ///
    /// # Errors
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if it was not joined.
    pub fn leave_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        SockRef::from(self).leave_multicast_v6(&group, interface)
    }

    /// Sets whether multicast datagrams that are sent arrive on this machine too (IPv4; for IPv6 it is the receivers that
    /// say so). They do at first.
    ///
    /// # Errors
    /// What `setsockopt(2)` says.
    pub fn set_multicast_loop(&self, is_loop: bool) -> io::Result<()> {
        SockRef::from(self).set_multicast_loop_v4(is_loop)
    }

    /// Sets how far multicast datagrams go (IPv4). 1 at first: not beyond the local network.
    ///
    /// # Errors
    /// What `setsockopt(2)` says.
    pub fn set_multicast_ttl(&self, ttl: u32) -> io::Result<()> {
        SockRef::from(self).set_multicast_ttl_v4(ttl)
    }

    const fn of_socket(socket: Rc<Socket>) -> Self {
        Self {
            datagrams: Datagrams::new(socket, UDP),
        }
    }

    async fn receive(
        &self,
        buf: &mut [u8],
        peek: bool,
        at: &'static Location<'static>,
    ) -> io::Result<(usize, SocketAddr)> {
        let (count, sender) = self.datagrams.receive(buf, peek, at).await?;
        let sender = sender.ok_or_else(|| io::Error::other("the datagram has no sender"))?;
        Ok((count, ip_address(&sender)?))
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.datagrams.socket.as_fd()
    }
}
