//! What a program holds of an end in the network.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::io::Result;
use socket2::{Domain, SockRef, Type};

use super::network::{Network, Species};
use crate::sys::op::Address;
use crate::sys::slots::Key;

/// Dropped, it closes the end. It may outlive the simulator; then nothing happens in its network any more.
pub(in crate::sys) struct Handle {
    network: Rc<RefCell<Network>>,
    key: Key,
    /// See [`placeholder`](Self::placeholder).
    placeholder: OnceCell<OwnedFd>,
}

impl Handle {
    pub(super) fn new(network: &Rc<RefCell<Network>>, key: Key) -> Self {
        Self {
            network: Rc::clone(network),
            key,
            placeholder: OnceCell::new(),
        }
    }

    /// Returns the key of the end, if it is one of `network`.
    pub(super) fn key_in(&self, network: &Rc<RefCell<Network>>) -> Option<Key> {
        Rc::ptr_eq(&self.network, network).then_some(self.key)
    }

    /// Calls `f` with the network, in which nothing of anybody else's runs, and the key of this end.
    pub(in crate::sys) fn with<T>(&self, f: impl FnOnce(&mut Network, Key) -> T) -> T {
        f(&mut self.network.borrow_mut(), self.key)
    }

    /// Accepts a connection that is there.
    #[cfg(test)]
    pub(in crate::sys) fn accepted(&self) -> crate::sys::Socket {
        let accepted = self.with(Network::accept);
        let std::task::Poll::Ready(Ok(key)) = accepted else {
            panic!("there is no connection: {accepted:?}");
        };
        crate::sys::Socket::of_simulator(Self::new(&self.network, key))
    }

    pub(in crate::sys) fn local_address(&self) -> Address {
        self.with(|network, key| network.local_address(key))
    }

    pub(in crate::sys) fn peer_address(&self) -> Result<Address> {
        self.with(|network, key| network.peer_address(key))
    }

    pub(in crate::sys) fn shutdown_write(&self) -> Result<()> {
        self.with(Network::shutdown_write)
    }

    pub(in crate::sys) fn remove_name(&self) {
        self.with(Network::remove_name);
    }

    /// Returns a descriptor that stands for the end: a socket of the same family that is not connected, nor at an address.
    ///
    /// It is made for the first who asks, and stays. Options that are set through it are kept by the kernel and mean nothing to
    /// the simulation, but for `SO_LINGER` of zero. A program that only sends and receives never has one.
    ///
    /// # Panics
    /// If the system refuses a descriptor.
    pub(in crate::sys) fn placeholder(&self) -> BorrowedFd<'_> {
        self.placeholder.get_or_init(|| self.stand_in()).as_fd()
    }

    fn stand_in(&self) -> OwnedFd {
        let is_v6 = matches!(self.local_address(), Address::Ip(address) if address.is_ipv6());
        let internet = if is_v6 { Domain::IPV6 } else { Domain::IPV4 };
        let (domain, kind) = match self.with(|network, key| network.species(key)) {
            Species::Tcp => (internet, Type::STREAM),
            Species::Udp => (internet, Type::DGRAM),
            Species::UnixStream => (Domain::UNIX, Type::STREAM),
            Species::UnixDatagram => (Domain::UNIX, Type::DGRAM),
        };
        let socket = socket2::Socket::new(domain, kind, None).and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => socket.into(),
            Err(error) => {
                panic!("the system has no descriptor to stand for a simulated socket: {error}")
            }
        }
    }

    /// Returns `true` if closing is to discard what was not delivered, and break the connection off.
    fn is_abrupt(&self) -> bool {
        self.placeholder.get().is_some_and(|fd| {
            let linger = SockRef::from(fd).linger();
            linger.is_ok_and(|linger| linger.is_some_and(|span| span.is_zero()))
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let is_abrupt = self.is_abrupt();
        self.with(|network, key| network.close(key, is_abrupt));
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("key", &self.key)
            .field("placeholder", &self.placeholder)
            .finish_non_exhaustive()
    }
}
