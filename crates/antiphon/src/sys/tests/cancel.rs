//! Cancelling: a cancelled operation did not happen, or it did and says so.

use std::collections::HashSet;
use std::io::Write;
use std::rc::Rc;

use rustix::io::Errno;

use super::lab::{Lab, accept, poll, recv, send};
use crate::sys::{Interest, Op, Token};

const CANCELED: i32 = Errno::CANCELED.raw_os_error();

pub(super) fn a_cancel_before_the_start_wins(lab: &mut Lab) {
    let (socket, mut peer) = lab.unix_pair();
    let token = lab.recv(&socket, 9);
    lab.driver.cancel(token);
    lab.driver.cancel(token);
    assert_eq!(lab.errno(token), CANCELED);
    lab.assert_over();
    peer.write_all(b"x").unwrap();
    let token = lab.recv(&socket, 9);
    assert_eq!(lab.count(token).0, 1, "it took nothing");
}

pub(super) fn a_cancel_after_the_start_wins(lab: &mut Lab) {
    let (socket, mut peer) = lab.unix_pair();
    let token = lab.recv(&socket, 9);
    lab.assert_idle();
    lab.driver.cancel(token);
    lab.driver.cancel(token);
    assert_eq!(lab.errno(token), CANCELED);
    lab.assert_over();
    peer.write_all(b"x").unwrap();
    let token = lab.recv(&socket, 9);
    assert_eq!(lab.count(token).0, 1, "it took nothing");
}

pub(super) fn each_kind_is_cancelled(lab: &mut Lab) {
    let (stream, _peer) = lab.tcp_pair();
    let (listener, _) = lab.tcp_listener();
    let (datagrams, _) = lab.udp();
    let tokens = [
        lab.submit(accept(&listener)),
        lab.submit(recv(&stream, 9)),
        lab.submit(poll(&stream, Interest::Read)),
        lab.submit(Op::RecvFrom {
            socket: datagrams,
            buffer: Vec::with_capacity(9),
            address: None,
            peek: false,
        }),
        lab.fill(&stream),
    ];
    lab.assert_idle();
    for token in tokens {
        lab.driver.cancel(token);
        assert_eq!(lab.errno(token), CANCELED);
    }
    lab.assert_over();
}

pub(super) fn a_result_wins_over_a_late_cancel(lab: &mut Lab) {
    let (socket, mut peer) = lab.unix_pair();
    peer.write_all(b"x").unwrap();
    let token = lab.recv(&socket, 9);
    // Done by now, whatever is asked next, though nobody was told.
    lab.take_in();
    lab.driver.cancel(token);
    lab.assert_over();
}

/// The peer writes while the cancellation is on its way. Each byte is received once, by this receive or by the next.
pub(super) fn a_cancel_racing_bytes_loses_none(lab: &mut Lab) {
    let (socket, peer) = lab.tcp_pair();
    let mut peer = peer.into_kernel();
    let (ask, asked) = std::sync::mpsc::sync_channel::<()>(0);
    let writer = std::thread::spawn(move || {
        while asked.recv().is_ok() {
            peer.write_all(b"x").unwrap();
        }
    });
    let mut received = 0;
    for round in 0..1000 {
        let token = lab.recv(&socket, 1);
        if round % 3 > 0 {
            lab.is_done(token);
        }
        ask.send(()).unwrap();
        if round % 2 > 0 {
            std::thread::yield_now();
        }
        lab.driver.cancel(token);
        match lab.last(token) {
            (Ok(count), _) => received += count,
            (Err(error), op) => {
                assert_eq!(error.raw_os_error(), Some(CANCELED));
                assert_eq!(super::lab::buffer(op), b"", "it took nothing");
            }
        }
    }
    drop(ask);
    writer.join().unwrap();
    loop {
        let token = lab.recv(&socket, 100);
        match lab.count(token).0 {
            0 => break,
            count => received += count,
        }
    }
    assert_eq!(received, 1000);
    lab.assert_over();
}

pub(super) fn ten_thousand_are_cancelled_unstarted(lab: &mut Lab) {
    cancel_many(lab, false);
}

pub(super) fn ten_thousand_are_cancelled(lab: &mut Lab) {
    cancel_many(lab, true);
}

fn cancel_many(lab: &mut Lab, is_started: bool) {
    let pairs: Vec<_> = (0..50).map(|_| lab.unix_pair()).collect();
    let mut tokens: HashSet<Token> = pairs
        .iter()
        .cycle()
        .take(10_000)
        .map(|(socket, _)| lab.submit(poll(socket, Interest::Read)))
        .collect();
    assert_eq!(lab.driver.in_flight(), 10_000);
    if is_started {
        lab.assert_idle();
    }
    for token in &tokens {
        lab.driver.cancel(*token);
    }
    // More work is queued behind the cancellations, and is done all the same.
    let other = lab.submit(send(&pairs[0].0, b"x"));
    assert_eq!(lab.count(other).0, 1);
    while !tokens.is_empty() {
        let completion = lab.next_of_any();
        assert_eq!(
            completion.result.unwrap_err().raw_os_error(),
            Some(CANCELED)
        );
        assert!(completion.op.is_some());
        assert!(
            tokens.remove(&completion.token),
            "each has one last completion"
        );
    }
    lab.assert_over();
}

pub(super) fn a_cancelled_operation_among_others(lab: &mut Lab) {
    let (socket, mut peer) = lab.unix_pair();
    let tokens: Vec<_> = (0..3).map(|_| lab.recv(&socket, 1)).collect();
    lab.assert_idle();
    lab.driver.cancel(tokens[1]);
    assert_eq!(lab.errno(tokens[1]), CANCELED);
    peer.write_all(b"ab").unwrap();
    let mut bytes = [lab.count(tokens[0]).1, lab.count(tokens[2]).1].concat();
    bytes.sort_unstable();
    assert_eq!(bytes, b"ab");
    lab.assert_over();
}

pub(super) fn what_is_over_is_not_cancelled(lab: &mut Lab) {
    let (socket, mut peer) = lab.unix_pair();
    peer.write_all(b"x").unwrap();
    let over = lab.recv(&socket, 1);
    lab.count(over);
    let token = lab.recv(&socket, 1);
    lab.assert_idle();
    lab.driver.cancel(over);
    lab.driver.cancel(Token(u64::MAX));
    lab.assert_idle();
    peer.write_all(b"y").unwrap();
    assert_eq!(lab.count(token), (1, b"y".to_vec()));
    lab.assert_over();
}

impl Lab {
    /// Sends until there is no more room, and returns the send that waits.
    pub(super) fn fill(&mut self, socket: &Rc<crate::sys::Socket>) -> Token {
        loop {
            let token = self.submit(send(socket, &vec![7; 1 << 20]));
            if !self.is_done(token) {
                return token;
            }
            assert!(self.count(token).0 > 0);
        }
    }
}
