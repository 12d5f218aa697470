//! Waiting for what arrives at streams: by whichever way bytes come, each comes once and in its order.

use std::io::Write;
use std::rc::Rc;

use rustix::io::Errno;

use super::lab::{Lab, incoming, poll};
use crate::sys::{Completion, Interest, Output, Socket, Token};

pub(super) fn what_arrives_is_told_or_handed_out(lab: &mut Lab) {
    let (socket, mut peer) = lab.tcp_pair();
    let mut token = lab.submit(incoming(&socket));
    lab.assert_idle();
    for message in [&b"one"[..], b"two", b"three"] {
        peer.write_all(message).unwrap();
        assert_eq!(lab.arrive(&mut token, &socket), message);
    }
    drop(peer);
    let completion = lab.next(token);
    assert!(
        matches!(completion.result, Ok(Output::Count(0))),
        "the end is found by trying"
    );
    assert_eq!(lab.try_recv(&socket), b"");
    lab.end(token, completion.op.is_some());
}

/// It came when nobody waited for it, and the driver, which knew the socket, heard of it then. Nothing comes after it.
pub(super) fn what_came_between_two_waits_is_told(lab: &mut Lab) {
    let (socket, mut peer) = lab.tcp_pair();
    let readable = lab.submit(poll(&socket, Interest::Read));
    lab.assert_idle();
    peer.write_all(b"one").unwrap();
    lab.next(readable);
    assert_eq!(lab.try_recv(&socket), b"one");
    // Because of another one the driver asks the system.
    let (other, _its_peer) = lab.tcp_pair();
    lab.submit(poll(&other, Interest::Read));
    peer.write_all(b"two").unwrap();
    lab.assert_idle();
    let mut token = lab.submit(incoming(&socket));
    assert_eq!(lab.arrive(&mut token, &socket), b"two");
    lab.end(token, false);
}

/// As the rest of a long message, which one buffer does not hold.
pub(super) fn more_than_a_buffer_holds_stays_in_order(lab: &mut Lab) {
    let (socket, mut peer) = lab.unix_pair();
    let mut token = lab.submit(incoming(&socket));
    lab.assert_idle();
    let bytes: Vec<u8> = (0..60_000u32)
        .map(|index| u8::try_from(index % 251).unwrap())
        .collect();
    peer.write_all(&bytes).unwrap();
    let mut arrived = Vec::new();
    while arrived.len() < bytes.len() {
        arrived.extend(lab.arrive(&mut token, &socket));
    }
    assert!(arrived == bytes);
    lab.end(token, false);
}

/// There are fewer buffers in the driver than streams with bytes, and what it handed out is kept: the others are told.
pub(super) fn a_driver_may_run_out_of_memory_to_hand_out(lab: &mut Lab) {
    let mut pairs: Vec<_> = (0..40).map(|_| lab.unix_pair()).collect();
    let mut tokens: Vec<_> = pairs
        .iter()
        .map(|(socket, _)| lab.submit(incoming(socket)))
        .collect();
    lab.assert_idle();
    let (mut handed_out, mut told) = (0, 0);
    for round in 0..5u8 {
        for (index, (_, peer)) in (0..).zip(&mut pairs) {
            peer.write_all(&[round, index]).unwrap();
        }
        // All at once, and nothing of it is dropped meanwhile.
        let completions: Vec<_> = tokens.iter().map(|token| lab.next(*token)).collect();
        for (index, completion) in completions.into_iter().enumerate() {
            match completion.result {
                Ok(Output::Bytes(_)) => handed_out += 1,
                _ => told += 1,
            }
            let is_over = completion.op.is_some();
            let socket = &pairs[index].0;
            let mut bytes = lab.bytes_of(completion, socket);
            if is_over {
                tokens[index] = lab.submit(incoming(socket));
            }
            while bytes.len() < 2 {
                bytes.extend(lab.arrive(&mut tokens[index], socket));
            }
            assert_eq!(bytes, [round, u8::try_from(index).unwrap()]);
        }
    }
    assert!(handed_out == 0 || told > 0, "the driver did not run out");
    for token in tokens {
        lab.end(token, false);
    }
    lab.assert_over();
}

/// The peer writes while the cancellation is on its way: what was taken is handed out before the end is told.
pub(super) fn a_wait_that_is_cancelled_loses_no_bytes(lab: &mut Lab) {
    let (socket, mut peer) = lab.tcp_pair();
    let mut arrived = Vec::new();
    for round in 0..200u8 {
        let token = lab.submit(incoming(&socket));
        if round % 3 > 0 {
            lab.take_in();
        }
        peer.write_all(&[round]).unwrap();
        lab.driver.cancel(token);
        loop {
            let completion = lab.next(token);
            let is_over = completion.op.is_some();
            if !matches!(&completion.result, Err(error) if is_cancelled(error)) {
                arrived.extend(lab.bytes_of(completion, &socket));
            }
            if is_over {
                break;
            }
        }
        arrived.extend(lab.try_recv(&socket));
    }
    while arrived.len() < 200 {
        let mut token = lab.submit(incoming(&socket));
        arrived.extend(lab.arrive(&mut token, &socket));
        lab.end(token, false);
    }
    assert_eq!(arrived, (0..200).collect::<Vec<u8>>());
    lab.assert_over();
}

/// Whoever was handed bytes may keep them for longer than there is a driver.
pub(super) fn bytes_outlive_their_driver(lab: &mut Lab) {
    let (socket, mut peer) = lab.unix_pair();
    let mut driver = super::lifetime::another(lab);
    driver.submit(Token(1), incoming(&socket));
    peer.write_all(b"kept").unwrap();
    let mut done = Vec::new();
    driver.wait(None, &mut done);
    drop(driver);
    if let Ok(Output::Bytes(bytes)) = &done[0].result {
        assert_eq!(bytes.as_ref(), b"kept");
    } else {
        assert_eq!(lab.try_recv(&socket), b"kept");
    }
}

impl Lab {
    /// Waits until something arrives, and returns it. Begins another wait if that was the last one's last word.
    fn arrive(&mut self, token: &mut Token, socket: &Rc<Socket>) -> Vec<u8> {
        loop {
            let completion = self.next(*token);
            let is_over = completion.op.is_some();
            let bytes = self.bytes_of(completion, socket);
            if is_over {
                *token = self.submit(incoming(socket));
            }
            if !bytes.is_empty() {
                return bytes;
            }
        }
    }

    fn bytes_of(&mut self, completion: Completion, socket: &Rc<Socket>) -> Vec<u8> {
        match completion.result.unwrap() {
            Output::Bytes(bytes) => bytes.as_ref().to_vec(),
            Output::Count(0) => self.try_recv(socket),
            other => panic!("that is nothing that arrives: {other:?}"),
        }
    }

    /// Ends a wait at which nothing more arrives.
    fn end(&mut self, token: Token, is_over: bool) {
        if !is_over {
            self.driver.cancel(token);
            while self.next(token).op.is_none() {}
        }
    }
}

fn is_cancelled(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(Errno::CANCELED.raw_os_error())
}
