//! A network in memory: what a kernel's sockets do on one machine, where every address is this machine's.
//!
//! ```text
//!   connect ──▶ listener: ready ──▶ accept        names: who is at an address, or at all of them
//!   send ──▶ wire ──▶ the other end's inbox ──▶ receive
//!              └──▶ what became of it: changed ──▶ the simulator tries what waits there again
//! ```
//! A call answers at once, as one to a non-blocking socket does: `Pending` is `EAGAIN`. When a later one may say something
//! else, its end and direction are among the [changed](Network::take_changed). Nothing in here knows operations, tasks or time.
//!
//! It does what Linux does on its loopback, errors included, with smaller buffers. There is no file behind a Unix path, no
//! broadcast and no multicast, and everybody may take every address.

mod connections;
mod datagrams;
mod listener;
mod mail;
mod names;
mod stream;
mod wire;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::task::Poll;

use rustix::io::{Errno, Result};

use self::datagrams::{Datagrams, Remote};
use self::listener::Listener;
use self::names::{Names, Protocol};
use self::stream::{State, Stream};
use self::wire::Parcel;
use crate::sys::op::{Address, Interest};
use crate::sys::open::{Open, Pair};
use crate::sys::slots::{Key, Slots};

#[derive(Debug)]
pub(in crate::sys) struct Network {
    ends: Slots<End>,
    names: Names,
    /// Where a call may say something else now.
    changed: Vec<(Key, Interest)>,
}

#[derive(Debug)]
enum End {
    Stream(Stream),
    Listener(Listener),
    Datagrams(Datagrams),
}

/// What the system would call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Species {
    Tcp,
    Udp,
    UnixStream,
    UnixDatagram,
}

/// Connections that a Unix listener keeps: `SOMAXCONN`, which the standard library asks for.
const UNIX_BACKLOG: u16 = 4096;

impl Network {
    pub(super) const fn new() -> Self {
        Self {
            ends: Slots::new(),
            names: Names::new(),
            changed: Vec::new(),
        }
    }

    /// Makes an end.
    ///
    /// # Errors
    /// `EADDRINUSE`.
    pub(super) fn open(&mut self, what: &Open) -> Result<Key> {
        match what {
            Open::TcpStream(address) => Ok(self.insert(Stream::new(false, nowhere(address.ip())))),
            Open::UnixStream => Ok(self.insert(Stream::new(true, nameless()))),
            Open::UnixDatagram(None) => Ok(self.insert(Datagrams::new(true, nameless()))),
            Open::TcpListener {
                address, backlog, ..
            } => {
                let listener = Listener::new(false, Address::Ip(*address), *backlog);
                self.insert_at(Protocol::Tcp, *address, End::Listener(listener))
            }
            Open::Udp(address) => {
                let datagrams = Datagrams::new(false, Address::Ip(*address));
                self.insert_at(Protocol::Udp, *address, End::Datagrams(datagrams))
            }
            Open::UnixListener(address) => {
                let listener = Listener::new(true, nameless(), UNIX_BACKLOG);
                self.insert_at_unix(address, End::Listener(listener))
            }
            Open::UnixDatagram(Some(address)) => {
                let datagrams = Datagrams::new(true, nameless());
                self.insert_at_unix(address, End::Datagrams(datagrams))
            }
        }
    }

    /// Makes two ends that are connected to each other.
    pub(super) fn open_pair(&mut self, what: Pair) -> (Key, Key) {
        match what {
            Pair::Stream => {
                let left = self.insert(Stream::new(true, nameless()));
                let right = self.insert(Stream::new(true, nameless()));
                self.join(left, right);
                (left, right)
            }
            Pair::Datagram => {
                let left = self.insert(Datagrams::new(true, nameless()));
                let right = self.insert(Datagrams::new(true, nameless()));
                for (end, other) in [(left, right), (right, left)] {
                    if let Some(End::Datagrams(datagrams)) = self.ends.get_mut(end) {
                        datagrams.remote = Some(Remote::Unix(other, nameless()));
                    }
                }
                (left, right)
            }
        }
    }

    /// Closes an end. A stream that has bytes which were not received breaks its connection off, and so does a TCP stream that
    /// is closed abruptly.
    pub(super) fn close(&mut self, key: Key, is_abrupt: bool) {
        match self.ends.remove(key) {
            Some(End::Stream(stream)) => self.close_stream(key, &stream, is_abrupt),
            Some(End::Listener(listener)) => self.close_listener(key, listener),
            Some(End::Datagrams(datagrams)) => self.close_datagrams(key, datagrams),
            None => {}
        }
    }

    /// How many ends are open, connections that nobody accepted yet among them.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn species(&self, key: Key) -> Species {
        match self.ends.get(key) {
            Some(End::Stream(Stream { is_unix, .. }) | End::Listener(Listener { is_unix, .. })) => {
                if *is_unix {
                    Species::UnixStream
                } else {
                    Species::Tcp
                }
            }
            Some(End::Datagrams(datagrams)) if !datagrams.is_unix => Species::Udp,
            _ => Species::UnixDatagram,
        }
    }

    pub(super) fn local_address(&self, key: Key) -> Address {
        match self.ends.get(key) {
            Some(
                End::Stream(Stream { local, .. })
                | End::Listener(Listener { local, .. })
                | End::Datagrams(Datagrams { local, .. }),
            ) => local.clone(),
            None => nameless(),
        }
    }

    /// # Errors
    /// `ENOTCONN` if there is none, or the connection is over.
    pub(super) fn peer_address(&self, key: Key) -> Result<Address> {
        match self.ends.get(key) {
            Some(End::Stream(stream)) if stream.is_unix || !stream.is_closed() => {
                stream.remote.clone()
            }
            Some(End::Datagrams(datagrams)) => match &datagrams.remote {
                Some(Remote::Ip(address)) => Some(Address::Ip(*address)),
                Some(Remote::Unix(_, address)) => Some(address.clone()),
                None => None,
            },
            _ => None,
        }
        .ok_or(Errno::NOTCONN)
    }

    /// Takes the name of a Unix socket away, as if its file were removed.
    pub(super) fn remove_name(&mut self, key: Key) {
        if let Address::Unix(address) = self.local_address(key) {
            self.names.unbind_unix(&address, key, true);
        }
    }

    /// `Pending` if a call would wait: a receive or an accept, or a send.
    pub(super) fn ready(&mut self, key: Key, interest: Interest) -> Poll<Result<()>> {
        let is_ready = match (self.ends.get(key), interest) {
            (Some(End::Stream(stream)), Interest::Read) => stream.is_readable(),
            (Some(End::Stream(stream)), Interest::Write) => match stream.state {
                State::Connecting(_) => false,
                State::Connected(peer) => stream.is_shut || self.room(peer) > 0,
                State::Idle | State::Alone | State::Dead => true,
            },
            (Some(End::Listener(listener)), Interest::Read) => !listener.ready.is_empty(),
            (Some(End::Listener(_)), Interest::Write) => false,
            (Some(End::Datagrams(datagrams)), Interest::Read) => datagrams.is_readable(),
            (Some(End::Datagrams(_)), Interest::Write) => return self.ready_to_mail(key),
            (None, _) => return Poll::Ready(Err(Errno::BADF)),
        };
        if is_ready {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Moves to `changed` where a call may say something else than it did.
    pub(super) fn take_changed(&mut self, changed: &mut Vec<(Key, Interest)>) {
        changed.append(&mut self.changed);
    }

    fn change(&mut self, key: Key, interest: Interest) {
        if self.changed.last() != Some(&(key, interest)) {
            self.changed.push((key, interest));
        }
    }

    fn change_both(&mut self, key: Key) {
        self.change(key, Interest::Read);
        self.change(key, Interest::Write);
    }

    fn insert(&mut self, end: impl Into<End>) -> Key {
        self.ends.insert(end.into())
    }

    fn insert_at(&mut self, protocol: Protocol, address: SocketAddr, end: End) -> Result<Key> {
        let key = self.insert(end);
        let bound = self.names.bind(protocol, address, key).map(Address::Ip);
        self.settle(key, bound)
    }

    fn insert_at_unix(&mut self, address: &UnixAddr, end: End) -> Result<Key> {
        let key = self.insert(end);
        let bound = self.names.bind_unix(address, key).map(Address::Unix);
        self.settle(key, bound)
    }

    /// Lets an end be where it was bound; it is nowhere if it could not be.
    fn settle(&mut self, key: Key, bound: Result<Address>) -> Result<Key> {
        match (bound, self.ends.get_mut(key)) {
            (Ok(address), Some(End::Listener(listener))) => listener.local = address,
            (Ok(address), Some(End::Datagrams(datagrams))) => {
                datagrams.bound = address.clone();
                datagrams.local = address;
            }
            (Ok(_), _) => {}
            (Err(error), _) => {
                self.ends.remove(key);
                return Err(error);
            }
        }
        Ok(key)
    }
}

impl From<Stream> for End {
    fn from(stream: Stream) -> Self {
        Self::Stream(stream)
    }
}

impl From<Datagrams> for End {
    fn from(datagrams: Datagrams) -> Self {
        Self::Datagrams(datagrams)
    }
}

/// The address of who has none, in the family of `ip`.
const fn nowhere(ip: IpAddr) -> Address {
    let ip = match ip {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    Address::Ip(SocketAddr::new(ip, 0))
}

fn nameless() -> Address {
    Address::Unix(UnixAddr::from_pathname("").expect("it is short enough"))
}

/// Where a message to `address` goes: one to all addresses goes to the loopback.
fn destination(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// How somebody at `local` sees `address`: in its own family.
fn seen_from(local: SocketAddr, mut address: SocketAddr) -> SocketAddr {
    match (local, address.ip()) {
        (SocketAddr::V6(_), IpAddr::V4(ip)) => address.set_ip(ip.to_ipv6_mapped().into()),
        (SocketAddr::V4(_), ip) => address.set_ip(ip.to_canonical()),
        (SocketAddr::V6(_), IpAddr::V6(_)) => {}
    }
    address
}
