//! A driver on the bench.

use std::env;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

pub(super) use super::peer::{
    Peer, connect_peer, tcp_listener, tcp_pair, tcp_socket, udp, unix_pair,
};
use crate::sys::choose::{Wish, choose};
use crate::sys::{Address, Completion, Driver, Interest, Op, Open, Output, Room, Socket, Token};

pub(super) struct Lab {
    pub(super) driver: Box<dyn Driver>,
    done: Vec<Completion>,
    next_token: u64,
}

/// After this long a test that still waits has failed. No test comes near.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test on the driver that is wished for, if the system grants it.
pub(super) fn run(wish: Wish, name: &str, test: fn(&mut Lab)) {
    match choose(wish) {
        Ok(choice) => test(&mut Lab {
            driver: choice.driver,
            done: Vec::new(),
            next_token: 1,
        }),
        Err(error) => println!("{name} is SKIPPED: the system refuses {wish:?}: {error}"),
    }
}

/// Runs a test in a process of its own: one that counts or limits what all threads share.
pub(super) fn run_alone(wish: Wish, name: &str, test: fn(&mut Lab)) {
    const ALONE: &str = "ANTIPHON_TEST_ALONE";
    if env::var_os(ALONE).is_some() {
        return run(wish, name, test);
    }
    let driver = match wish {
        Wish::Uring => "uring",
        Wish::VirtualTime => "simulator",
        Wish::Best | Wish::Readiness => "readiness",
    };
    let path = format!("sys::tests::{driver}::{name}");
    let arguments = ["--exact", &path, "--nocapture", "--test-threads=1"];
    let output = Command::new(env::current_exe().unwrap())
        .args(arguments)
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains("1 passed"),
        "the test has another name: {said}"
    );
}

impl Lab {
    pub(super) fn submit(&mut self, op: Op) -> Token {
        let token = Token(self.next_token);
        // Both halves of the number change, as they do with the loop's tokens.
        self.next_token += 0x1_0000_0001;
        self.driver.submit(token, op);
        token
    }

    pub(super) fn recv(&mut self, socket: &Rc<Socket>, room: usize) -> Token {
        self.submit(recv(socket, room))
    }

    /// Waits for the next completion of an operation. Others are kept for later.
    pub(super) fn next(&mut self, token: Token) -> Completion {
        let until = self.driver.now() + PATIENCE;
        loop {
            if let Some(index) = self
                .done
                .iter()
                .position(|completion| completion.token == token)
            {
                return self.done.remove(index);
            }
            assert!(
                self.driver.now() < until,
                "no completion comes for {token:?}"
            );
            self.driver.wait(Some(until), &mut self.done);
        }
    }

    /// Waits for the next completion of any operation.
    pub(super) fn next_of_any(&mut self) -> Completion {
        let until = self.driver.now() + PATIENCE;
        while self.done.is_empty() {
            assert!(self.driver.now() < until, "no completion comes");
            self.driver.wait(Some(until), &mut self.done);
        }
        self.done.remove(0)
    }

    /// Waits for the last completion of an operation that has one only.
    pub(super) fn last(&mut self, token: Token) -> (io::Result<usize>, Op) {
        let completion = self.next(token);
        let result = completion.result.map(|output| match output {
            Output::Count(count) => count,
            other => panic!("it has no count: {other:?}"),
        });
        (result, completion.op.expect("it is the last completion"))
    }

    /// Waits for an operation that goes well, and returns its count and its buffer.
    pub(super) fn count(&mut self, token: Token) -> (usize, Vec<u8>) {
        let (result, op) = self.last(token);
        (result.unwrap(), buffer(op))
    }

    /// Receives what is there now.
    pub(super) fn try_recv(&mut self, socket: &Rc<Socket>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 << 16);
        match self.driver.try_recv(socket, Room::Spare(&mut bytes)) {
            Poll::Ready(result) => assert_eq!(result.unwrap().count, bytes.len()),
            Poll::Pending => assert_eq!(bytes, b""),
        }
        bytes
    }

    /// Waits for an operation that fails.
    pub(super) fn errno(&mut self, token: Token) -> i32 {
        self.last(token).0.unwrap_err().raw_os_error().unwrap()
    }

    /// Waits for a connection.
    pub(super) fn accepted(&mut self, token: Token) -> Rc<Socket> {
        let completion = self.next(token);
        assert!(completion.op.is_none(), "more may come");
        match completion.result {
            Ok(Output::Accepted(socket)) => socket,
            other => panic!("no connection: {other:?}"),
        }
    }

    /// Has the driver take in what it can without sleeping, and asserts that nothing is done.
    #[track_caller]
    pub(super) fn assert_idle(&mut self) {
        for _ in 0..8 {
            self.wait_no_time();
        }
        assert!(self.done.is_empty(), "done all the same: {:?}", self.done);
    }

    /// Has the driver take in what it can without sleeping, and tells whether a completion of `token` was among it.
    pub(super) fn is_done(&mut self, token: Token) -> bool {
        for _ in 0..8 {
            self.wait_no_time();
        }
        self.done.iter().any(|completion| completion.token == token)
    }

    /// Has the driver take in what it can without sleeping.
    fn wait_no_time(&mut self) {
        let now = self.driver.now();
        self.driver.wait(Some(now), &mut self.done);
    }

    /// The same, and nobody hears of what is done.
    pub(super) fn take_in(&mut self) {
        let now = self.driver.now();
        self.driver.wait(Some(now), &mut Vec::new());
    }

    pub(super) fn open(&mut self, what: &Open) -> Rc<Socket> {
        Rc::new(self.driver.open(what).unwrap())
    }

    /// A connected pair: one end for the driver, one for the test.
    pub(super) fn tcp_pair(&mut self) -> (Rc<Socket>, Peer) {
        tcp_pair(&mut *self.driver)
    }

    pub(super) fn unix_pair(&mut self) -> (Rc<Socket>, Peer) {
        unix_pair(&mut *self.driver)
    }

    /// A listener for the driver, and where it is.
    pub(super) fn tcp_listener(&mut self) -> (Rc<Socket>, SocketAddr) {
        tcp_listener(&mut *self.driver, 128)
    }

    pub(super) fn udp(&mut self) -> (Rc<Socket>, SocketAddr) {
        udp(&mut *self.driver)
    }

    /// A socket that is not connected yet.
    pub(super) fn tcp_socket(&mut self) -> Rc<Socket> {
        tcp_socket(&mut *self.driver)
    }

    /// A peer that connects to a listener, and does not wait for that.
    pub(super) fn connect_peer(&mut self, address: SocketAddr) -> Peer {
        connect_peer(&mut *self.driver, address)
    }

    /// Asserts that every operation had its last completion, and no more.
    #[track_caller]
    pub(super) fn assert_over(&mut self) {
        assert_eq!(self.driver.in_flight(), 0);
        self.assert_idle();
    }
}

pub(super) fn recv(socket: &Rc<Socket>, room: usize) -> Op {
    Op::RecvFrom {
        socket: Rc::clone(socket),
        buffer: Vec::with_capacity(room),
        address: None,
        peek: false,
    }
}

pub(super) fn incoming(socket: &Rc<Socket>) -> Op {
    Op::Incoming {
        socket: Rc::clone(socket),
        is_bulk: false,
    }
}

pub(super) fn send(socket: &Rc<Socket>, bytes: &[u8]) -> Op {
    Op::Send {
        socket: Rc::clone(socket),
        buffer: bytes.to_vec(),
        from: 0,
    }
}

pub(super) fn poll(socket: &Rc<Socket>, interest: Interest) -> Op {
    Op::Poll {
        socket: Rc::clone(socket),
        interest,
    }
}

pub(super) fn accept(socket: &Rc<Socket>) -> Op {
    Op::Accept {
        socket: Rc::clone(socket),
    }
}

pub(super) fn buffer(op: Op) -> Vec<u8> {
    match op {
        Op::Send { buffer, .. } | Op::RecvFrom { buffer, .. } => buffer,
        other => panic!("it has no buffer: {other:?}"),
    }
}

pub(super) fn connect(socket: &Rc<Socket>, address: SocketAddr) -> Op {
    Op::Connect {
        socket: Rc::clone(socket),
        address: Address::Ip(address),
    }
}

pub(super) fn socket(fd: impl Into<OwnedFd>) -> Rc<Socket> {
    Rc::new(Socket::new(fd.into()))
}

/// How many descriptors the process has open.
pub(super) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}
