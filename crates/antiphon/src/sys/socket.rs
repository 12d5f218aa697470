//! A socket as the loop holds it.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use socket2::SockRef;

use super::address;
use super::op::Address;
use super::simulator::Handle;

/// A socket of the kernel or of the simulator, and the bytes that arrived in a loop that has ended. Shared by the stream and
/// the operations under way, so that a descriptor is closed, and its number used again, only after the last of them.
#[derive(Debug)]
pub(crate) struct Socket {
    end: End,
    /// Bytes that were taken from the socket and not read before their loop ended. The next read takes them first.
    pub(crate) late: RefCell<Vec<u8>>,
}

#[derive(Debug)]
enum End {
    Kernel(OwnedFd),
    // Boxed, so that the kernel's are no larger for it.
    Simulated(Box<Handle>),
}

impl Socket {
    /// Makes a socket of a descriptor, which must be non-blocking.
    pub(crate) const fn new(fd: OwnedFd) -> Self {
        Self {
            end: End::Kernel(fd),
            late: RefCell::new(Vec::new()),
        }
    }

    pub(super) fn of_simulator(handle: Handle) -> Self {
        Self {
            end: End::Simulated(Box::new(handle)),
            late: RefCell::new(Vec::new()),
        }
    }

    /// Returns the simulator's handle, if it is a socket of one.
    #[inline]
    pub(super) const fn simulated(&self) -> Option<&Handle> {
        match &self.end {
            End::Kernel(_) => None,
            End::Simulated(handle) => Some(handle),
        }
    }

    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) if there is no descriptor behind it: it is the simulator's, and a driver of
    /// the kernel is asked about it.
    #[inline]
    pub(super) fn require_kernel(&self) -> io::Result<()> {
        match &self.end {
            End::Kernel(_) => Ok(()),
            End::Simulated(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a simulated socket does nothing outside of its simulation",
            )),
        }
    }

    /// Returns the address of this end.
    pub(crate) fn local_address(&self) -> io::Result<Address> {
        match &self.end {
            End::Kernel(fd) => address::decode(rustix::net::getsockname(fd)?)
                .ok_or_else(|| io::ErrorKind::Unsupported.into()),
            End::Simulated(handle) => Ok(handle.local_address()),
        }
    }

    /// Returns the address of the other end.
    pub(crate) fn peer_address(&self) -> io::Result<Address> {
        match &self.end {
            End::Kernel(fd) => {
                let address = rustix::net::getpeername(fd)?.ok_or(io::ErrorKind::NotConnected)?;
                address::decode(address).ok_or_else(|| io::ErrorKind::Unsupported.into())
            }
            End::Simulated(handle) => Ok(handle.peer_address()?),
        }
    }

    /// Tells the peer that no more will come.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        match &self.end {
            End::Kernel(fd) => SockRef::from(fd).shutdown(Shutdown::Write),
            End::Simulated(handle) => Ok(handle.shutdown_write()?),
        }
    }

    /// Returns a descriptor of its own for it, in blocking mode.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it is a simulated one.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.require_kernel()?;
        let fd = self.as_fd().try_clone_to_owned()?;
        rustix::io::ioctl_fionbio(&fd, false)?;
        Ok(fd)
    }

    /// Takes the name of a simulated socket away, as the removal of its file would that of another.
    pub(crate) fn remove_name(&self) {
        if let Some(handle) = self.simulated() {
            handle.remove_name();
        }
    }

    pub(crate) const fn is_simulated(&self) -> bool {
        self.simulated().is_some()
    }
}

/// A simulated socket has a descriptor only for those who ask: see [`Handle::placeholder`].
impl AsFd for Socket {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.end {
            End::Kernel(fd) => fd.as_fd(),
            End::Simulated(handle) => handle.placeholder(),
        }
    }
}

impl AsRawFd for Socket {
    #[inline]
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
