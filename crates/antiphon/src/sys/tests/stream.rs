//! Connections.

use std::io::{Read, Write};
use std::rc::Rc;

use rustix::io::Errno;

use super::lab::{Lab, connect, poll, recv, send};
use crate::sys::{Interest, Op};

pub(super) fn a_connect_succeeds(lab: &mut Lab) {
    let (_listener, address) = lab.tcp_listener();
    let socket = lab.tcp_socket();
    let token = lab.submit(connect(&socket, address));
    assert_eq!(lab.last(token).0.unwrap(), 0);
    assert!(socket.peer_address().is_ok());
    lab.assert_over();
}

pub(super) fn a_connect_is_refused(lab: &mut Lab) {
    let (listener, address) = lab.tcp_listener();
    drop(listener);
    let socket = lab.tcp_socket();
    let token = lab.submit(connect(&socket, address));
    assert_eq!(lab.errno(token), Errno::CONNREFUSED.raw_os_error());
    lab.assert_over();
}

pub(super) fn a_receive_appends_what_there_is(lab: &mut Lab) {
    let (socket, mut peer) = lab.tcp_pair();
    let mut buffer = Vec::with_capacity(6);
    buffer.extend_from_slice(b"ab");
    let token = lab.submit(Op::RecvFrom {
        address: None,
        socket: Rc::clone(&socket),
        buffer,
        peek: false,
    });
    lab.assert_idle();
    peer.write_all(b"cdefgh").unwrap();
    let (count, buffer) = lab.count(token);
    assert_eq!(
        (count, &*buffer),
        (buffer.len() - 2, &b"abcdef"[..buffer.len()])
    );
    let mut rest = b"abcdefgh"[buffer.len()..].to_vec();
    while !rest.is_empty() {
        let token = lab.recv(&socket, 100);
        let (count, bytes) = lab.count(token);
        assert_eq!(bytes, rest[..count]);
        rest.drain(..count);
    }
    lab.assert_over();
}

pub(super) fn a_receive_without_room_is_empty(lab: &mut Lab) {
    let (socket, mut peer) = lab.tcp_pair();
    peer.write_all(b"x").unwrap();
    let token = lab.submit(Op::RecvFrom {
        address: None,
        socket,
        buffer: Vec::new(),
        peek: false,
    });
    assert_eq!(lab.count(token), (0, Vec::new()));
    lab.assert_over();
}

pub(super) fn a_peek_leaves_the_bytes(lab: &mut Lab) {
    let (socket, mut peer) = lab.unix_pair();
    let op = Op::RecvFrom {
        address: None,
        socket: Rc::clone(&socket),
        buffer: Vec::with_capacity(2),
        peek: true,
    };
    let token = lab.submit(op);
    lab.assert_idle();
    peer.write_all(b"abc").unwrap();
    assert_eq!(lab.count(token), (2, b"ab".to_vec()));
    let token = lab.recv(&socket, 9);
    assert_eq!(lab.count(token), (3, b"abc".to_vec()));
    lab.assert_over();
}

pub(super) fn the_end_of_a_stream_is_zero(lab: &mut Lab) {
    let (socket, mut peer) = lab.tcp_pair();
    let token = lab.recv(&socket, 9);
    lab.assert_idle();
    peer.write_all(b"bye").unwrap();
    drop(peer);
    assert_eq!(lab.count(token).0, 3);
    for _ in 0..2 {
        let token = lab.recv(&socket, 9);
        assert_eq!(lab.count(token), (0, Vec::new()));
    }
    lab.assert_over();
}

pub(super) fn a_reset_is_an_error(lab: &mut Lab) {
    let (socket, peer) = lab.tcp_pair();
    let token = lab.recv(&socket, 9);
    lab.assert_idle();
    // To close with nothing left to wait for is to reset.
    peer.linger_not();
    drop(peer);
    assert_eq!(lab.errno(token), Errno::CONNRESET.raw_os_error());
    // The process lives on, and the error is of the call, not a signal.
    let token = lab.submit(send(&socket, b"x"));
    assert_eq!(lab.errno(token), Errno::PIPE.raw_os_error());
    lab.assert_over();
}

pub(super) fn a_send_takes_a_part_and_waits_for_room(lab: &mut Lab) {
    let (socket, peer) = lab.tcp_pair();
    let mut peer = peer.into_kernel();
    let bytes: Vec<u8> = (0..16u32 << 20)
        .map(|number| (number % 251) as u8)
        .collect();
    let total = bytes.len();
    let reader = std::thread::spawn(move || {
        let mut read = Vec::new();
        peer.read_to_end(&mut read).unwrap();
        read
    });
    let (mut buffer, mut from, mut parts) = (bytes.clone(), 0, 0);
    while from < total {
        let token = lab.submit(Op::Send {
            socket: Rc::clone(&socket),
            buffer,
            from,
        });
        let (count, same) = lab.count(token);
        assert!(count > 0);
        (buffer, from, parts) = (same, from + count, parts + 1);
    }
    assert!(parts > 1, "no socket takes 16 MiB at once");
    lab.assert_over();
    drop(socket);
    assert!(
        reader.join().unwrap() == bytes,
        "the bytes come as they were sent"
    );
}

pub(super) fn a_poll_waits_for_readiness(lab: &mut Lab) {
    let (socket, mut peer) = lab.unix_pair();
    let write = lab.submit(poll(&socket, Interest::Write));
    assert_eq!(lab.last(write).0.unwrap(), 0);
    let read = lab.submit(poll(&socket, Interest::Read));
    lab.assert_idle();
    peer.write_all(b"x").unwrap();
    assert_eq!(lab.last(read).0.unwrap(), 0);
    // It is ready still: a poll takes nothing.
    let read = lab.submit(poll(&socket, Interest::Read));
    assert_eq!(lab.last(read).0.unwrap(), 0);
    lab.assert_over();
}

pub(super) fn a_socket_reads_and_writes_at_the_same_time(lab: &mut Lab) {
    let (socket, mut peer) = lab.unix_pair();
    let reading = lab.submit(recv(&socket, 9));
    let full = loop {
        let token = lab.submit(send(&socket, &vec![7; 1 << 16]));
        if !lab.is_done(token) {
            break token;
        }
        assert!(lab.count(token).0 > 0);
    };
    peer.write_all(b"in").unwrap();
    assert_eq!(lab.count(reading), (2, b"in".to_vec()));
    peer.wait_for_nothing();
    let mut sink = vec![0; 1 << 16];
    while peer.read(&mut sink).is_ok() {}
    assert!(lab.count(full).0 > 0);
    lab.assert_over();
}

/// A receive that leaves room has emptied the socket, so the next one need not try before there is an event. Urgent data is
/// the exception: a receive stops at the mark, and the bytes behind it have no event of their own.
pub(super) fn urgent_data_hides_no_bytes(lab: &mut Lab) {
    use rustix::net::{SendFlags, send};
    let (socket, peer) = lab.tcp_pair();
    let super::lab::Peer::Tcp(mut peer) = peer else {
        panic!("a simulation has no urgent data")
    };
    let token = lab.recv(&socket, 9);
    lab.assert_idle();
    peer.write_all(b"first").unwrap();
    assert_eq!(lab.count(token), (5, b"first".to_vec()));
    let token = lab.recv(&socket, 9);
    lab.assert_idle();
    peer.write_all(b"ab").unwrap();
    send(&peer, b"!", SendFlags::OOB).unwrap();
    peer.write_all(b"cd").unwrap();
    assert_eq!(lab.count(token), (2, b"ab".to_vec()));
    let token = lab.recv(&socket, 9);
    assert_eq!(lab.count(token), (2, b"cd".to_vec()));
    lab.assert_over();
}

/// The peer writes and closes while we read. However the bytes, the end and the attempts interleave, all of it arrives.
pub(super) fn a_stream_arrives_whole(lab: &mut Lab) {
    for round in 0..200usize {
        let (socket, peer) = lab.tcp_pair();
        let mut peer = peer.into_kernel();
        let writer = std::thread::spawn(move || {
            for part in 0..round % 7 {
                peer.write_all(&vec![7; 1 + round * 31 % 97]).unwrap();
                if part % 2 == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let mut total = 0;
        loop {
            let token = lab.recv(&socket, 64);
            match lab.count(token).0 {
                0 => break,
                count => total += count,
            }
        }
        assert_eq!(total, round % 7 * (1 + round * 31 % 97));
        writer.join().unwrap();
    }
    lab.assert_over();
}
