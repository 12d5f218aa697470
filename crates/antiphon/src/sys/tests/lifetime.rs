//! How long memory, descriptors and drivers live.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

use rustix::io::Errno;

use super::lab::{
    Lab, Peer, accept, buffer, connect, connect_peer, descriptors, incoming, poll, recv, send,
    tcp_listener, tcp_pair, tcp_socket, udp, unix_pair,
};
use crate::sys::choose::{Wish, choose};
use crate::sys::{Driver, Interest, Op};

pub(super) fn more_are_done_than_the_rings_hold(lab: &mut Lab) {
    let (socket, _peer) = lab.unix_pair();
    for _ in 0..10_000 {
        lab.submit(poll(&socket, Interest::Write));
    }
    for _ in 0..10_000 {
        let completion = lab.next_of_any();
        assert!(completion.result.is_ok() && completion.op.is_some());
    }
    lab.assert_over();
}

pub(super) fn a_thousand_sockets(lab: &mut Lab) {
    let mut pairs: Vec<_> = (0..1000).map(|_| lab.unix_pair()).collect();
    for round in 0..3u8 {
        let tokens: Vec<_> = pairs
            .iter()
            .map(|(socket, _)| lab.recv(socket, 9))
            .collect();
        lab.assert_idle();
        for (_, peer) in &mut pairs {
            peer.write_all(&[round]).unwrap();
        }
        for token in tokens {
            assert_eq!(lab.count(token), (1, vec![round]));
        }
    }
    lab.assert_over();
}

/// An operation that nobody waits for keeps its buffer and its socket until it is over.
pub(super) fn memory_stays_until_the_completion(lab: &mut Lab) {
    let (socket, mut peer) = lab.unix_pair();
    let op = recv(&socket, 1 << 16);
    let Op::RecvFrom { buffer: bytes, .. } = &op else {
        unreachable!()
    };
    let address = bytes.as_ptr();
    let token = lab.submit(op);
    lab.assert_idle();
    assert_eq!(Rc::strong_count(&socket), 2, "the operation has its share");
    lab.driver.cancel(token);
    assert_eq!(
        lab.driver.in_flight(),
        1,
        "it is not over before that is told"
    );
    assert_eq!(Rc::strong_count(&socket), 2);
    // The kernel may write until then, and does if it comes first.
    peer.write_all(b"late").unwrap();
    let (result, op) = lab.last(token);
    let bytes = buffer(op);
    assert_eq!(bytes.as_ptr(), address, "the same memory comes back");
    assert_eq!(Rc::strong_count(&socket), 1);
    if let Err(error) = result {
        assert_eq!(error.raw_os_error(), Some(Errno::CANCELED.raw_os_error()));
        let token = lab.recv(&socket, 9);
        assert_eq!(lab.count(token), (4, b"late".to_vec()));
    }
    lab.assert_over();
}

pub(super) fn nothing_is_told_before_the_wait(lab: &mut Lab) {
    let (socket, mut peer) = lab.unix_pair();
    peer.write_all(b"x").unwrap();
    lab.submit(recv(&socket, 9));
    lab.submit(send(&socket, b"y"));
    let unconnected = lab.tcp_socket();
    lab.submit(Op::Send {
        socket: unconnected,
        buffer: b"z".to_vec(),
        from: 0,
    });
    assert_eq!(lab.driver.in_flight(), 3);
    for _ in 0..3 {
        lab.next_of_any();
    }
    lab.assert_over();
}

/// The buffers go with the driver, so the kernel must have let go of them. It holds the socket as long as it holds the buffer,
/// and the peer sees when nobody holds the socket.
pub(super) fn a_driver_is_dropped_with_all_in_flight(lab: &mut Lab) {
    for round in 0..10 {
        let mut driver = another(lab);
        let mut peers = submit_all_kinds(&mut *driver, 1000 * round);
        let mut done = Vec::new();
        driver.wait(Some(driver.now()), &mut done);
        if round % 2 == 0 {
            for peer in &mut peers {
                peer.write_all(b"late").unwrap();
            }
        }
        drop(driver);
        for peer in &mut peers {
            // The socket went with its operations, and nothing else holds it.
            let mut bytes = Vec::new();
            let _ = peer.read_to_end(&mut bytes);
            assert!(bytes.is_empty());
        }
    }
}

pub(super) fn a_driver_is_dropped_before_anything_started(lab: &mut Lab) {
    let mut driver = another(lab);
    let _peers = submit_all_kinds(&mut *driver, 1);
    drop(driver);
}

pub(super) fn no_descriptor_is_left(lab: &mut Lab) {
    let (listener, address) = lab.tcp_listener();
    let before = descriptors();
    for round in 0..20 {
        let mut driver = another(lab);
        let peers = submit_all_kinds(&mut *driver, 1000 * round);
        driver.submit(crate::sys::Token(1), accept(&listener));
        let clients: Vec<_> = (0..3)
            .map(|_| connect_peer(&mut *lab.driver, address))
            .collect();
        if round % 2 == 0 {
            driver.wait(None, &mut Vec::new());
        }
        drop((driver, peers, clients));
        // What was not accepted is still in the listener's queue: it is no descriptor of ours.
    }
    assert_eq!(descriptors(), before);
}

/// What is ready on a socket that was closed says nothing of the one that has its number now.
pub(super) fn a_number_is_used_again(lab: &mut Lab) {
    for _ in 0..100 {
        let (old, old_peer) = lab.unix_pair();
        let number = old.as_raw_fd();
        let token = lab.recv(&old, 9);
        lab.assert_idle();
        lab.driver.cancel(token);
        assert_eq!(lab.errno(token), Errno::CANCELED.raw_os_error());
        drop((old, old_peer));

        let (new, mut new_peer) = lab.unix_pair();
        assert_eq!(new.as_raw_fd(), number, "the smallest free number is taken");
        let token = lab.recv(&new, 9);
        lab.assert_idle();
        new_peer.write_all(b"new").unwrap();
        assert_eq!(lab.count(token), (3, b"new".to_vec()));
    }
    lab.assert_over();
}

pub(super) fn a_number_is_used_again_while_a_duplicate_lives(lab: &mut Lab) {
    let (old, mut old_peer) = lab.unix_pair();
    let number = old.as_raw_fd();
    let token = lab.recv(&old, 9);
    lab.assert_idle();
    let duplicate = old.as_fd().try_clone_to_owned().unwrap();
    lab.driver.cancel(token);
    lab.errno(token);
    drop(old);

    // Another socket takes the number while the old one is still open, and still written to.
    let (new, mut new_peer) = lab.unix_pair();
    assert_eq!(new.as_raw_fd(), number);
    let token = lab.recv(&new, 9);
    old_peer.write_all(b"old").unwrap();
    lab.assert_idle();
    new_peer.write_all(b"new").unwrap();
    assert_eq!(lab.count(token), (3, b"new".to_vec()));

    // The old one comes back under its old number.
    drop(new);
    let back = duplicate.try_clone().unwrap();
    assert_eq!(back.as_raw_fd(), number);
    let back = super::lab::socket(back);
    let token = lab.recv(&back, 9);
    assert_eq!(lab.count(token), (3, b"old".to_vec()));
    let token = lab.recv(&back, 9);
    lab.assert_idle();
    old_peer.write_all(b"more").unwrap();
    assert_eq!(lab.count(token), (4, b"more".to_vec()));
    lab.assert_over();
}

/// A second driver of the same kind.
pub(super) fn another(lab: &Lab) -> Box<dyn Driver> {
    let wish = match lab.driver.name() {
        "io_uring" => Wish::Uring,
        "virtual time" => Wish::VirtualTime,
        _ => Wish::Readiness,
    };
    choose(wish).unwrap().driver
}

/// Submits operations that will not end by themselves, at least one of each kind that can wait. Returns the other ends.
fn submit_all_kinds(driver: &mut dyn Driver, first: u64) -> Vec<Peer> {
    let mut peers: Vec<Peer> = Vec::new();
    let mut ops = Vec::new();
    for _ in 0..20 {
        let (socket, peer) = unix_pair(driver);
        ops.push(recv(&socket, 1 << 12));
        peers.push(peer);
    }
    let (socket, peer) = tcp_pair(driver);
    ops.push(poll(&socket, Interest::Read));
    peers.push(peer);
    let (socket, peer) = tcp_pair(driver);
    ops.push(incoming(&socket));
    peers.push(peer);
    let (datagrams, _) = udp(driver);
    ops.push(Op::RecvFrom {
        socket: datagrams,
        buffer: Vec::with_capacity(999),
        address: None,
        peek: false,
    });
    let (listener, _) = tcp_listener(driver, 9);
    ops.push(accept(&listener));
    // Its queue has room for one, so the others are not answered.
    let (full, address) = tcp_listener(driver, 0);
    ops.extend((0..4).map(|_| connect(&tcp_socket(driver), address)));
    ops.push(accept(&tcp_listener(driver, 9).0));
    ops.push(poll(&full, Interest::Write));
    for (number, op) in (first + 100..).zip(ops) {
        driver.submit(crate::sys::Token(number), op);
    }
    peers
}
