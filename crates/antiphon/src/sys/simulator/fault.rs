//! Calls that fail because somebody wants to see what comes of it.

use rustix::io::Errno;

use super::network::{Network, Species};
use crate::sys::op::Op;
use crate::sys::slots::Key;

/// Makes `op` fail, which is about the end at `key` and was not begun. Returns how.
pub(super) fn of_operation(network: &mut Network, key: Key, op: &Op) -> Errno {
    let species = network.species(key);
    match (op, species) {
        (Op::Accept { .. }, _) => Errno::MFILE,
        (Op::Poll { .. }, _) => Errno::NOMEM,
        (Op::File(_), _) => Errno::IO,
        (Op::Connect { .. }, Species::Tcp | Species::UnixStream | Species::UnixDatagram) => {
            Errno::CONNREFUSED
        }
        (Op::Connect { .. } | Op::Send { .. } | Op::SendTo { .. }, Species::Udp) => {
            Errno::NETUNREACH
        }
        (_, Species::Udp | Species::UnixDatagram) => Errno::NOBUFS,
        (_, Species::Tcp | Species::UnixStream) => of_stream(network, key),
    }
}

/// Breaks the stream at `key` off, and returns what its call says of that.
pub(super) fn of_stream(network: &mut Network, key: Key) -> Errno {
    network.break_off(key);
    Errno::CONNRESET
}
