//! A socket as the loop holds it.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::address;
use super::op::Address;

/// A descriptor, and the bytes that arrived in a loop that has ended. Shared by the stream and the operations under
/// way, so that the descriptor is closed, and its number used again, only after the last of them.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    /// Bytes that were taken from the socket and not read before their loop ended. The next read takes them first.
    pub(crate) late: RefCell<Vec<u8>>,
}

impl Socket {
    pub(crate) const fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            late: RefCell::new(Vec::new()),
        }
    }

    /// Returns the address of this end.
    pub(crate) fn local_address(&self) -> io::Result<Address> {
        address::decode(rustix::net::getsockname(&self.fd)?)
            .ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Returns the address of the other end.
    pub(crate) fn peer_address(&self) -> io::Result<Address> {
        let address = rustix::net::getpeername(&self.fd)?.ok_or(io::ErrorKind::NotConnected)?;
        address::decode(address).ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
