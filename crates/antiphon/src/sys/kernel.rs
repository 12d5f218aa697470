//! The kernel's sockets: non-blocking, and closed on `exec`.

use std::io;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use socket2::{Domain, Protocol, Type};

use super::open::{Open, Pair};
use super::socket::Socket;

pub(super) fn open(what: &Open) -> io::Result<Socket> {
    let fd: OwnedFd = match what {
        Open::TcpStream(address) => tcp(Domain::for_address(*address))?.into(),
        Open::TcpListener {
            address,
            backlog,
            is_shared,
        } => {
            let socket = tcp(Domain::for_address(*address))?;
            socket.set_reuse_address(true)?;
            if *is_shared {
                socket.set_reuse_port(true)?;
            }
            socket.bind(&(*address).into())?;
            socket.listen(i32::from(*backlog))?;
            socket.into()
        }
        Open::Udp(address) => UdpSocket::bind(address)?.into(),
        Open::UnixStream => socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?.into(),
        Open::UnixListener(address) => UnixListener::bind_addr(address)?.into(),
        Open::UnixDatagram(Some(address)) => UnixDatagram::bind_addr(address)?.into(),
        Open::UnixDatagram(None) => UnixDatagram::unbound()?.into(),
    };
    adopt(fd)
}

pub(super) fn open_pair(what: Pair) -> io::Result<(Socket, Socket)> {
    let (left, right) = match what {
        Pair::Stream => UnixStream::pair().map(|(left, right)| (left.into(), right.into()))?,
        Pair::Datagram => UnixDatagram::pair().map(|(left, right)| (left.into(), right.into()))?,
    };
    Ok((adopt(left)?, adopt(right)?))
}

/// Takes a descriptor in, which is made non-blocking.
pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Socket> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(Socket::new(fd))
}

fn tcp(domain: Domain) -> io::Result<socket2::Socket> {
    socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))
}
