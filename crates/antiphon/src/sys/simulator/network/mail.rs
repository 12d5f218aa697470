//! Datagrams: whom they reach, and who hears of it when they don't.

use std::net::SocketAddr;
use std::task::Poll;

use rustix::io::{Errno, Result};

use super::connections::check_family;
use super::datagrams::{Datagram, Datagrams, Remote};
use super::names::Protocol;
use super::{End, Network, Parcel, destination, seen_from};
use crate::sys::op::{Address, Interest};
use crate::sys::slots::Key;

impl Network {
    /// Sets whom a socket sends to, and hears of.
    ///
    /// # Errors
    /// Of Unix sockets `ENOENT` and `ECONNREFUSED` if nobody is there, `EPERM` if it has a peer of its own.
    pub(in crate::sys) fn connect_datagrams(&mut self, key: Key, address: &Address) -> Result<()> {
        let local = self.datagrams(key)?.bound.clone();
        match (&local, address) {
            (Address::Ip(local), Address::Ip(address)) => {
                check_family(*local, *address)?;
                let address = destination(*address);
                let datagrams = self.datagrams(key)?;
                datagrams.remote = Some(Remote::Ip(address));
                datagrams.local = Address::Ip(source(*local, address));
            }
            (Address::Unix(_), Address::Unix(name)) => {
                let other = self.names.find_unix(name)?;
                self.check_receiver(key, other)?;
                self.datagrams(key)?.remote = Some(Remote::Unix(other, address.clone()));
            }
            _ => return Err(Errno::AFNOSUPPORT),
        }
        self.change(key, Interest::Write);
        Ok(())
    }

    /// Sends a datagram, to the peer if there is no address. To the internet it is sent whether it is received or not; a Unix
    /// socket waits for room.
    ///
    /// # Errors
    /// - `EMSGSIZE` if it is too long;
    /// - `EDESTADDRREQ` if it is to go to nobody, `ENOTCONN` if it is a Unix socket that says it;
    /// - those of [`connect_datagrams`](Self::connect_datagrams), and `ECONNREFUSED` if an earlier one found nobody there.
    pub(in crate::sys) fn mail(
        &mut self,
        key: Key,
        bytes: &[u8],
        address: Option<&Address>,
    ) -> Poll<Result<usize>> {
        let sender = self.datagrams(key)?;
        if bytes.len() > sender.len_max() {
            return Poll::Ready(Err(Errno::MSGSIZE));
        }
        if let Some(error) = sender.error.take() {
            return Poll::Ready(Err(error));
        }
        match (&sender.local, address, &sender.remote) {
            (Address::Ip(_), Some(Address::Ip(to)), _)
            | (Address::Ip(_), None, Some(Remote::Ip(to))) => {
                let to = *to;
                Poll::Ready(self.mail_ip(key, bytes, to))
            }
            (Address::Unix(_), Some(Address::Unix(name)), _) => {
                let to = self.names.find_unix(name)?;
                self.mail_unix(key, bytes, to)
            }
            (Address::Unix(_), None, Some(Remote::Unix(to, _))) => {
                let to = *to;
                if self.ends.get(to).is_none() {
                    self.datagrams(key)?.remote = None;
                    return Poll::Ready(Err(Errno::CONNREFUSED));
                }
                self.mail_unix(key, bytes, to)
            }
            (Address::Ip(_), None, _) => Poll::Ready(Err(Errno::DESTADDRREQ)),
            (Address::Unix(_), None, _) => Poll::Ready(Err(Errno::NOTCONN)),
            _ => Poll::Ready(Err(Errno::AFNOSUPPORT)),
        }
    }

    /// Receives a datagram: see [`Datagrams::receive`].
    pub(in crate::sys) fn take_mail(
        &mut self,
        key: Key,
        buffer: &mut Vec<u8>,
        peek: bool,
    ) -> Poll<Result<(usize, Address)>> {
        let datagrams = self.datagrams(key)?;
        let result = datagrams.receive(buffer, peek);
        if result.is_ready() && !peek {
            for waiting in std::mem::take(&mut datagrams.waiting) {
                self.change(waiting, Interest::Write);
            }
        }
        result
    }

    /// `Pending` if the peer has no room.
    pub(super) fn ready_to_mail(&mut self, key: Key) -> Poll<Result<()>> {
        let Some(Remote::Unix(to, _)) = self.datagrams(key)?.remote else {
            return Poll::Ready(Ok(()));
        };
        match self.ends.get_mut(to) {
            Some(End::Datagrams(receiver)) if receiver.is_full() => {
                receiver.waiting.push(key);
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    pub(in crate::sys) fn is_datagrams(&self, key: Key) -> bool {
        matches!(self.ends.get(key), Some(End::Datagrams(_)))
    }

    pub(super) fn close_datagrams(&mut self, key: Key, datagrams: Datagrams) {
        match &datagrams.bound {
            Address::Ip(address) => self.names.unbind(Protocol::Udp, *address),
            Address::Unix(address) => self.names.unbind_unix(address, key, false),
        }
        for waiting in datagrams.waiting {
            self.change(waiting, Interest::Write);
        }
    }

    fn mail_ip(&mut self, key: Key, bytes: &[u8], to: SocketAddr) -> Result<usize> {
        let to = destination(to);
        let sender = self.datagrams(key)?;
        let Address::Ip(local) = sender.local else {
            return Err(Errno::AFNOSUPPORT);
        };
        check_family(local, to)?;
        let is_peer = matches!(sender.remote, Some(Remote::Ip(remote)) if remote == to);
        let from = source(local, to);
        if let Some((receiver, sender)) = self.find_receiver(from, to) {
            let datagram = Datagram {
                bytes: bytes.into(),
                sender: Address::Ip(sender),
            };
            self.deliver(receiver, Parcel::Datagram(datagram));
        } else if is_peer {
            // As ICMP says it: the next call is told.
            self.datagrams(key)?.error = Some(Errno::CONNREFUSED);
            self.change_both(key);
        }
        Ok(bytes.len())
    }

    /// Returns who hears of a datagram, and the sender as that one sees it.
    fn find_receiver(&self, from: SocketAddr, to: SocketAddr) -> Option<(Key, SocketAddr)> {
        let key = self.names.find(Protocol::Udp, to)?;
        let Some(End::Datagrams(receiver)) = self.ends.get(key) else {
            return None;
        };
        let Address::Ip(local) = receiver.local else {
            return None;
        };
        let from = seen_from(local, from);
        match receiver.remote {
            Some(Remote::Ip(remote)) if seen_from(local, remote) != from => None,
            _ => Some((key, from)),
        }
    }

    fn mail_unix(&mut self, key: Key, bytes: &[u8], to: Key) -> Poll<Result<usize>> {
        self.check_receiver(key, to)?;
        let sender = self.datagrams(key)?.local.clone();
        let receiver = self.datagrams(to)?;
        if receiver.is_full() {
            receiver.waiting.push(key);
            return Poll::Pending;
        }
        let datagram = Datagram {
            bytes: bytes.into(),
            sender,
        };
        self.deliver(to, Parcel::Datagram(datagram));
        Poll::Ready(Ok(bytes.len()))
    }

    /// # Errors
    /// `EPROTOTYPE` if it is no socket for datagrams, `EPERM` if it hears of somebody else.
    fn check_receiver(&self, key: Key, receiver: Key) -> Result<()> {
        match self.ends.get(receiver) {
            Some(End::Datagrams(datagrams)) => match datagrams.remote {
                Some(Remote::Unix(other, _)) if other != key => Err(Errno::PERM),
                _ => Ok(()),
            },
            _ => Err(Errno::PROTOTYPE),
        }
    }

    fn datagrams(&mut self, key: Key) -> Result<&mut Datagrams> {
        match self.ends.get_mut(key) {
            Some(End::Datagrams(datagrams)) => Ok(datagrams),
            _ => Err(Errno::OPNOTSUPP),
        }
    }
}

/// Where a datagram to `to` comes from, if its sender is at `local`.
fn source(mut local: SocketAddr, to: SocketAddr) -> SocketAddr {
    if local.ip().is_unspecified() {
        local.set_ip(to.ip());
    }
    local
}
