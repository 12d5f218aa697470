//! New sockets, as data: whichever driver makes them.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::rc::Rc;

use super::kernel;
use super::socket::Socket;
use crate::worker::try_current;

/// A socket to be made. None of them waits for anything.
#[derive(Clone, Debug)]
pub(crate) enum Open {
    /// A TCP socket that is to be connected to an address of this one's family.
    TcpStream(SocketAddr),
    /// A TCP socket that listens, and keeps so many connections until they are accepted.
    TcpListener {
        address: SocketAddr,
        backlog: u16,
        /// Others of this user may listen there too, and the system shares the connections out.
        is_shared: bool,
    },
    Udp(SocketAddr),
    /// A Unix stream that is to be connected.
    UnixStream,
    UnixListener(UnixAddr),
    /// A socket for Unix datagrams; `None` has no name.
    UnixDatagram(Option<UnixAddr>),
}

/// Two Unix sockets that are connected to each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pair {
    Stream,
    Datagram,
}

/// Makes a socket for the loop of this thread; where none is running, one of the kernel's.
pub(crate) fn open(what: &Open) -> io::Result<Rc<Socket>> {
    let socket = try_current(|worker| worker.driver().open(what));
    socket.unwrap_or_else(|| kernel::open(what)).map(Rc::new)
}

/// Makes a pair, as [`open`] does one.
pub(crate) fn open_pair(what: Pair) -> io::Result<(Rc<Socket>, Rc<Socket>)> {
    let pair = try_current(|worker| worker.driver().open_pair(what));
    let (left, right) = pair.unwrap_or_else(|| kernel::open_pair(what))?;
    Ok((Rc::new(left), Rc::new(right)))
}
