//! Addresses as the kernel writes them.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;

use rustix::io;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};

use super::op::Address;
use super::platform;

/// Encodes `address`.
///
/// # Errors
/// `ENAMETOOLONG` if a path is longer than the kernel's structure has room for.
pub(super) fn encode(address: &Address) -> io::Result<SocketAddrAny> {
    match address {
        Address::Ip(address) => Ok((*address).into()),
        Address::Unix(address) => encode_unix(address).map(Into::into),
    }
}

/// Decodes an address. `None` if it is of a family that [`Address`] does not know.
pub(super) fn decode(address: SocketAddrAny) -> Option<Address> {
    match address.address_family() {
        AddressFamily::INET | AddressFamily::INET6 => {
            SocketAddr::try_from(address).ok().map(Address::Ip)
        }
        AddressFamily::UNIX => decode_unix(&address).map(Address::Unix),
        _ => None,
    }
}

fn encode_unix(address: &UnixAddr) -> io::Result<SocketAddrUnix> {
    match address.as_pathname() {
        Some(path) => SocketAddrUnix::new(path),
        None => platform::encode_without_path(address),
    }
}

/// Reads `sockaddr_un` by itself: rustix takes an address without a name for an abstract one, and asserts that a path ends
/// within the structure, which a peer can see to that it does not.
fn decode_unix(address: &SocketAddrAny) -> Option<UnixAddr> {
    // SAFETY: that many bytes of the address are initialized.
    let bytes = unsafe {
        std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), address.addr_len() as usize)
    };
    match bytes.get(PATH_OFFSET..)? {
        [] => UnixAddr::from_pathname("").ok(),
        [0, name @ ..] => platform::decode_abstract(name),
        path => {
            let path = path.split(|byte| *byte == 0).next()?;
            UnixAddr::from_pathname(OsStr::from_bytes(path)).ok()
        }
    }
}

/// Where the path begins in `sockaddr_un`: after the family, or after a length and the family of half the size.
const PATH_OFFSET: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_comes_back_as_it_went() {
        let ip = |text: &str| Address::Ip(text.parse().unwrap());
        let path = |path: &str| Address::Unix(UnixAddr::from_pathname(path).unwrap());
        for address in [
            ip("127.0.0.1:1"),
            ip("[::1]:65535"),
            ip("[fe80::1%3]:9"),
            path("/tmp/x"),
            path(""),
        ] {
            let decoded = decode(encode(&address).unwrap()).unwrap();
            assert_eq!(format!("{decoded:?}"), format!("{address:?}"));
        }
    }
}
