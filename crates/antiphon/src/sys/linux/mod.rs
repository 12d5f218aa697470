//! What is particular to Linux.

mod bell;
mod epoll;
mod uring;

use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr as UnixAddr;

use rustix::io::{ReadWriteFlags, Result, preadv2};
use rustix::net::{SendFlags, SocketAddrUnix, SocketFlags, accept_with, ipproto, sockopt};

use super::Driver;

pub(super) use self::epoll::{Event, Poller};
pub(crate) use self::uring::Chunk;
use self::uring::Uring;

/// Makes the driver that is better than readiness, and says what the system granted it.
///
/// # Errors
/// What the system says when it refuses.
pub(super) fn proactor() -> std::io::Result<(Box<dyn Driver>, String)> {
    let uring = Uring::new()?;
    let granted = uring.setup().to_string();
    Ok((Box::new(uring), granted))
}

/// A peer that has gone is an error of the call, never a signal to the process.
pub(super) const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;

/// Takes a connection as a non-blocking descriptor that is closed on `exec`.
pub(super) fn accept(listener: impl AsFd) -> Result<OwnedFd> {
    accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

/// Reads what is in memory of a file: `EAGAIN` if some of it is on the disk. It came with Linux 4.14, and not to every kind of file.
pub(super) fn read_at_once(
    file: impl AsFd,
    bufs: &mut [IoSliceMut<'_>],
    offset: u64,
) -> Result<usize> {
    preadv2(file, bufs, offset, ReadWriteFlags::NOWAIT)
}

/// Whether a receive that leaves room says that there is nothing more to receive. So it is with TCP. A datagram says nothing
/// of the next one, and a Unix stream stops where another sender's bytes begin.
pub(super) fn ends_when_empty(socket: BorrowedFd<'_>) -> bool {
    matches!(sockopt::socket_protocol(socket), Ok(Some(ipproto::TCP)))
}

/// The user who connected a Unix stream, by number. `None` where the system can't tell.
pub(crate) fn peer_user(stream: impl AsFd) -> Option<u32> {
    let peer = sockopt::socket_peercred(stream).ok()?;
    Some(peer.uid.as_raw())
}

/// Encodes a Unix address that is abstract or has no name.
pub(super) fn encode_without_path(address: &UnixAddr) -> Result<SocketAddrUnix> {
    match address.as_abstract_name() {
        Some(name) => SocketAddrUnix::new_abstract_name(name),
        None => Ok(SocketAddrUnix::new_unnamed()),
    }
}

/// Returns the name of an abstract Unix address.
pub(super) fn abstract_name(address: &UnixAddr) -> Option<&[u8]> {
    address.as_abstract_name()
}

/// Decodes the name of an abstract Unix address.
pub(super) fn decode_abstract(name: &[u8]) -> Option<UnixAddr> {
    UnixAddr::from_abstract_name(name).ok()
}
