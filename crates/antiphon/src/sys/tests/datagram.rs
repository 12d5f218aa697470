//! Datagrams.

use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::rc::Rc;

use rustix::io::Errno;

use super::lab::{Lab, buffer};
use crate::sys::{Address, Op, Open, Socket};

pub(super) fn a_datagram_has_a_sender(lab: &mut Lab) {
    let (ours, our_address) = lab.udp();
    let (theirs, their_address) = lab.udp();
    let receiving = lab.submit(recv_from(&ours, 100));
    lab.assert_idle();
    let sending = lab.submit(send_to(&theirs, b"hello", our_address));
    assert_eq!(lab.last(sending).0.unwrap(), 5);
    assert_eq!(
        received(lab, receiving),
        (5, b"hello".to_vec(), Some(their_address))
    );
    // An empty one is one too.
    let sending = lab.submit(send_to(&theirs, b"", our_address));
    assert_eq!(lab.last(sending).0.unwrap(), 0);
    let receiving = lab.submit(recv_from(&ours, 100));
    assert_eq!(
        received(lab, receiving),
        (0, Vec::new(), Some(their_address))
    );
    lab.assert_over();
}

pub(super) fn datagrams_are_cut_to_the_buffer(lab: &mut Lab) {
    let (ours, our_address) = lab.udp();
    let (theirs, their_address) = lab.udp();
    for bytes in [b"abcdef", b"ghijkl"] {
        let sending = lab.submit(send_to(&theirs, bytes, our_address));
        lab.last(sending).0.unwrap();
    }
    for (peek, bytes) in [(true, b"abc"), (false, b"abc"), (false, b"ghi")] {
        let op = Op::RecvFrom {
            socket: Rc::clone(&ours),
            buffer: Vec::with_capacity(3),
            address: None,
            peek,
        };
        let token = lab.submit(op);
        assert_eq!(
            received(lab, token),
            (3, bytes.to_vec(), Some(their_address))
        );
    }
    lab.assert_over();
}

pub(super) fn a_unix_datagram_has_a_sender(lab: &mut Lab) {
    let directory = std::env::temp_dir().join(format!(
        "antiphon-{}-{}",
        std::process::id(),
        lab.driver.name()
    ));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("sender");
    let named = UnixAddr::from_pathname(&path).unwrap();
    let named = lab.open(&Open::UnixDatagram(Some(named)));
    let unnamed = lab.open(&Open::UnixDatagram(None));
    let target = UnixAddr::from_pathname(directory.join("target")).unwrap();
    let ours = lab.open(&Open::UnixDatagram(Some(target.clone())));
    let address = Address::Unix(target);
    for (sender, name) in [(named, Some(path)), (unnamed, None)] {
        let op = Op::SendTo {
            socket: sender,
            buffer: b"hi".to_vec(),
            address: address.clone(),
        };
        let token = lab.submit(op);
        assert_eq!(lab.last(token).0.unwrap(), 2);
        let token = lab.submit(recv_from(&ours, 9));
        let (result, op) = lab.last(token);
        assert_eq!(result.unwrap(), 2);
        let Op::RecvFrom { address, .. } = op else {
            unreachable!()
        };
        let from = address.and_then(|address| match address {
            Address::Unix(address) => address.as_pathname().map(ToOwned::to_owned),
            Address::Ip(_) => panic!("not an address of this family"),
        });
        assert_eq!(from, name);
    }
    lab.assert_over();
    std::fs::remove_dir_all(directory).unwrap();
}

/// The kernel's structure has 108 bytes for a path. std keeps to that too, so a longer one does not get as far as here; one
/// byte less is the longest, without its final zero.
pub(super) fn an_address_too_long_is_an_error(lab: &mut Lab) {
    let address = UnixAddr::from_pathname("x".repeat(107)).unwrap();
    let op = Op::Connect {
        socket: lab.open(&Open::UnixDatagram(None)),
        address: Address::Unix(address),
    };
    let token = lab.submit(op);
    assert_eq!(lab.errno(token), Errno::NOENT.raw_os_error());
    lab.assert_over();
}

fn recv_from(socket: &Rc<Socket>, room: usize) -> Op {
    Op::RecvFrom {
        socket: Rc::clone(socket),
        buffer: Vec::with_capacity(room),
        address: None,
        peek: false,
    }
}

fn send_to(socket: &Rc<Socket>, bytes: &[u8], address: SocketAddr) -> Op {
    Op::SendTo {
        socket: Rc::clone(socket),
        buffer: bytes.to_vec(),
        address: Address::Ip(address),
    }
}

fn received(lab: &mut Lab, token: crate::sys::Token) -> (usize, Vec<u8>, Option<SocketAddr>) {
    let (result, op) = lab.last(token);
    let from = match &op {
        Op::RecvFrom {
            address: Some(Address::Ip(address)),
            ..
        } => Some(*address),
        _ => None,
    };
    (result.unwrap(), buffer(op), from)
}
