//! Listeners.

use std::collections::HashSet;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, FdFlags, fcntl_getfd};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::lab::{Lab, accept, descriptors};
use crate::sys::Address;

pub(super) fn an_accept_takes_many(lab: &mut Lab) {
    let (listener, address) = lab.tcp_listener();
    let token = lab.submit(accept(&listener));
    lab.assert_idle();
    let mut peers = HashSet::new();
    let (mut connections, mut open) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let clients: Vec<_> = (0..100).map(|_| lab.connect_peer(address)).collect();
        for _ in &clients {
            let socket = lab.accepted(token);
            if !socket.is_simulated() {
                let fd = &*socket;
                assert!(fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC));
                assert!(fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK));
            }
            let Ok(Address::Ip(peer)) = socket.peer_address() else {
                panic!("it has no peer")
            };
            assert!(peers.insert(peer), "each connection comes once");
            connections.push(socket);
        }
        for client in &clients {
            assert!(peers.contains(&client.local_address()));
        }
        open.extend(clients);
    }
    lab.assert_idle();
    lab.driver.cancel(token);
    assert_eq!(lab.errno(token), Errno::CANCELED.raw_os_error());
    lab.assert_over();
}

pub(super) fn two_accepts_share_a_listener(lab: &mut Lab) {
    let (listener, address) = lab.tcp_listener();
    let first = lab.submit(accept(&listener));
    let second = lab.submit(accept(&listener));
    lab.assert_idle();
    let _client = lab.connect_peer(address);
    let completion = lab.next_of_any();
    assert!(completion.token == first || completion.token == second);
    lab.driver.cancel(first);
    assert_eq!(lab.errno(first), Errno::CANCELED.raw_os_error());
    let _client = lab.connect_peer(address);
    drop(lab.accepted(second));
    lab.driver.cancel(second);
    assert_eq!(lab.errno(second), Errno::CANCELED.raw_os_error());
    lab.assert_over();
}

pub(super) fn a_listener_that_is_none_ends_the_accept(lab: &mut Lab) {
    let socket = lab.tcp_socket();
    let token = lab.submit(accept(&socket));
    assert_eq!(lab.errno(token), Errno::INVAL.raw_os_error());
    lab.assert_over();
}

/// `EMFILE` ends the accept, and no connection is lost by it: a later accept takes those that wait.
pub(super) fn too_many_descriptors_end_the_accept(lab: &mut Lab) {
    let (listener, address) = lab.tcp_listener();
    let clients: Vec<_> = (0..8).map(|_| lab.connect_peer(address)).collect();
    let limit = getrlimit(Resource::Nofile);
    let tight = rustix::process::Rlimit {
        current: Some(descriptors() as u64),
        ..limit
    };
    // Before the accept: io_uring reads the limit once, when it takes the operation in.
    setrlimit(Resource::Nofile, tight).unwrap();
    let token = lab.submit(accept(&listener));
    let mut accepted = Vec::new();
    let errno = loop {
        let completion = lab.next(token);
        match completion.result {
            Ok(output) => accepted.push(output),
            Err(error) => {
                assert!(completion.op.is_some(), "it has ended the accept");
                break error.raw_os_error();
            }
        }
    };
    assert_eq!(errno, Some(Errno::MFILE.raw_os_error()));
    assert!(accepted.len() < clients.len());
    lab.assert_over();

    setrlimit(Resource::Nofile, limit).unwrap();
    let token = lab.submit(accept(&listener));
    for _ in accepted.len()..clients.len() {
        drop(lab.accepted(token));
    }
    lab.driver.cancel(token);
    assert_eq!(lab.errno(token), Errno::CANCELED.raw_os_error());
    lab.assert_over();
}
