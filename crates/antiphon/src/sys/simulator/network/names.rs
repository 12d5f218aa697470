//! Who is where: addresses, and the ports that are given out.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;

use rustix::io::{Errno, Result};

use crate::sys::platform;
use crate::sys::slots::Key;

/// All names of a network, in an order of their own.
#[derive(Debug)]
pub(super) struct Names {
    internet: BTreeMap<Place, Key>,
    unix: BTreeMap<UnixName, Holder>,
    /// Ports of connections, on the side that began them.
    lent: BTreeSet<u16>,
    /// How many ports were given out.
    ports: u16,
    /// How many Unix names were given out to those who asked for any.
    autobound: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

/// Ordered so that those of one port stand together.
type Place = (Protocol, u16, IpAddr);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum UnixName {
    Path(Vec<u8>),
    Abstract(Vec<u8>),
}

/// Whose a Unix name is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holder {
    End(Key),
    /// Nobody's: the socket went, and its file would still be there.
    Nobody,
}

/// The ports that are given out: those that IANA leaves for it.
const PORT_MIN: u16 = 49152;
const PORTS: u16 = u16::MAX - PORT_MIN + 1;

impl Names {
    pub(super) const fn new() -> Self {
        Self {
            internet: BTreeMap::new(),
            unix: BTreeMap::new(),
            lent: BTreeSet::new(),
            ports: 0,
            autobound: 0,
        }
    }

    /// Gives `address` to an end, with a port of our choice if it has none.
    ///
    /// # Errors
    /// `EADDRINUSE` if it is another's, or that of all addresses is.
    pub(super) fn bind(
        &mut self,
        protocol: Protocol,
        mut address: SocketAddr,
        key: Key,
    ) -> Result<SocketAddr> {
        if address.port() == 0 {
            address.set_port(self.free_port(protocol).ok_or(Errno::ADDRINUSE)?);
        }
        let mut others = self.at_port(protocol, address.port());
        let is_taken = others.any(|ip| overlaps(ip, address.ip()));
        drop(others);
        if is_taken {
            return Err(Errno::ADDRINUSE);
        }
        self.internet
            .insert((protocol, address.port(), address.ip()), key);
        Ok(address)
    }

    pub(super) fn unbind(&mut self, protocol: Protocol, address: SocketAddr) {
        self.internet
            .remove(&(protocol, address.port(), address.ip()));
    }

    /// Returns who is at `address`, or at all addresses.
    pub(super) fn find(&self, protocol: Protocol, address: SocketAddr) -> Option<Key> {
        let ip = address.ip().to_canonical();
        let wildcards = [
            Some(ip),
            ip.is_ipv4().then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        ];
        let key = |ip| self.internet.get(&(protocol, address.port(), ip)).copied();
        wildcards.into_iter().flatten().find_map(key)
    }

    /// Lends a port to a connection.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` if there is none left.
    pub(super) fn lend_port(&mut self) -> Result<u16> {
        let port = self.free_port(Protocol::Tcp).ok_or(Errno::ADDRNOTAVAIL)?;
        self.lent.insert(port);
        Ok(port)
    }

    pub(super) fn take_port_back(&mut self, port: u16) {
        self.lent.remove(&port);
    }

    /// Gives a Unix name to an end; one of our choice, if `address` has none. A name that is nobody's is given away, as if its
    /// file had been removed: here is no file that could be.
    ///
    /// # Errors
    /// `EADDRINUSE` if it is another's.
    pub(super) fn bind_unix(&mut self, address: &UnixAddr, key: Key) -> Result<UnixAddr> {
        let Some(name) = unix_name(address) else {
            return self.bind_any_unix(key);
        };
        if let Some(Holder::End(_)) = self.unix.get(&name) {
            return Err(Errno::ADDRINUSE);
        }
        self.unix.insert(name, Holder::End(key));
        Ok(address.clone())
    }

    /// As Linux does: five digits.
    fn bind_any_unix(&mut self, key: Key) -> Result<UnixAddr> {
        loop {
            let name = format!("{:05x}", self.autobound).into_bytes();
            self.autobound += 1;
            let address = platform::decode_abstract(&name).ok_or(Errno::INVAL)?;
            if let Entry::Vacant(entry) = self.unix.entry(UnixName::Abstract(name)) {
                entry.insert(Holder::End(key));
                return Ok(address);
            }
        }
    }

    /// Takes a Unix name away from who has it. That of a path stays behind, unless it `is_removed`.
    pub(super) fn unbind_unix(&mut self, address: &UnixAddr, key: Key, is_removed: bool) {
        let Some(name) = unix_name(address) else {
            return;
        };
        if !matches!(self.unix.get(&name), Some(Holder::End(holder)) if *holder == key) {
            // It was removed before.
            return;
        }
        if is_removed || matches!(name, UnixName::Abstract(_)) {
            self.unix.remove(&name);
        } else {
            self.unix.insert(name, Holder::Nobody);
        }
    }

    /// # Errors
    /// `ENOENT` if nobody had that path, `ECONNREFUSED` if nobody has it any more, or has an abstract name.
    pub(super) fn find_unix(&self, address: &UnixAddr) -> Result<Key> {
        let name = unix_name(address).ok_or(Errno::INVAL)?;
        match (self.unix.get(&name), name) {
            (Some(Holder::End(key)), _) => Ok(*key),
            (None, UnixName::Path(_)) => Err(Errno::NOENT),
            _ => Err(Errno::CONNREFUSED),
        }
    }

    /// The next port that nobody uses for `protocol`. Those that were given back come last.
    fn free_port(&mut self, protocol: Protocol) -> Option<u16> {
        for _ in 0..PORTS {
            let port = PORT_MIN + self.ports % PORTS;
            self.ports = (self.ports + 1) % PORTS;
            let is_lent = protocol == Protocol::Tcp && self.lent.contains(&port);
            if !is_lent && self.at_port(protocol, port).next().is_none() {
                return Some(port);
            }
        }
        None
    }

    fn at_port(&self, protocol: Protocol, port: u16) -> impl Iterator<Item = IpAddr> {
        let first = (protocol, port, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let last = (protocol, port, IpAddr::V6(Ipv6Addr::from(u128::MAX)));
        self.internet.range(first..=last).map(|((_, _, ip), _)| *ip)
    }
}

/// Whether a datagram or a connection could be for either of two sockets at these addresses.
fn overlaps(one: IpAddr, other: IpAddr) -> bool {
    let covers = |all: IpAddr, ip: IpAddr| all.is_unspecified() && (all.is_ipv6() || ip.is_ipv4());
    one == other || covers(one, other) || covers(other, one)
}

fn unix_name(address: &UnixAddr) -> Option<UnixName> {
    if let Some(name) = platform::abstract_name(address) {
        return Some(UnixName::Abstract(name.to_vec()));
    }
    let path = address.as_pathname()?.as_os_str().as_bytes();
    (!path.is_empty()).then(|| UnixName::Path(path.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> Key {
        Key {
            index,
            generation: 0,
        }
    }

    #[test]
    fn all_addresses_are_found_last_and_taken_by_nobody_else() {
        let mut names = Names::new();
        let mut bind = |text: &str, index| {
            let address = text.parse().unwrap();
            names.bind(Protocol::Tcp, address, key(index))
        };
        bind("0.0.0.0:80", 1).unwrap();
        assert_eq!(bind("127.0.0.1:80", 2), Err(Errno::ADDRINUSE));
        assert_eq!(
            bind("[::]:80", 2),
            Err(Errno::ADDRINUSE),
            "it is for both families"
        );
        bind("[::1]:80", 3).unwrap();
        bind("[::]:81", 4).unwrap();
        let find = |text: &str| names.find(Protocol::Tcp, text.parse().unwrap());
        assert_eq!(find("10.0.0.1:80"), Some(key(1)));
        assert_eq!(find("[::1]:80"), Some(key(3)));
        assert_eq!(find("[::2]:80"), None);
        assert_eq!(find("10.0.0.1:81"), Some(key(4)));
        assert_eq!(names.find(Protocol::Udp, "[::1]:80".parse().unwrap()), None);
    }

    #[test]
    fn ports_come_round_and_are_nobody_elses() {
        let mut names = Names::new();
        let any = "127.0.0.1:0".parse().unwrap();
        let first = names.bind(Protocol::Tcp, any, key(1)).unwrap();
        assert_eq!(first.port(), PORT_MIN);
        for _ in 1..PORTS {
            names.lend_port().unwrap();
        }
        assert_eq!(names.lend_port(), Err(Errno::ADDRNOTAVAIL));
        assert!(names.bind(Protocol::Udp, any, key(2)).is_ok());
        names.unbind(Protocol::Tcp, first);
        assert_eq!(names.lend_port(), Ok(PORT_MIN));
    }
}
