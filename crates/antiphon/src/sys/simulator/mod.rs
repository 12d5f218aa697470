//! A driver whose world is in memory: a network of its own, and a clock that jumps to the next deadline instead of waiting
//! for it. An hour passes in a microsecond, and every run is the same.
//!
//! ```text
//!   submit ──▶ parked under (end, direction) ──── due ────▶ attempt ── done ──▶ wait hands it out
//!   cancel ──▶ done                             ▲              │
//!                                               └── changed ── network
//! ```
//! Nothing is attempted before the [wait](Driver::wait), which goes on until nothing in the network changes any more. So what
//! happens at one moment of the clock happens in one wait, and no operation of the kernel's is made, unless somebody asks for
//! a [descriptor](Handle::placeholder).
//!
//! Messages [arrive](network) at once. What is done in the same wait is reported in the order of submission, or, with a seed, in
//! one that is drawn from it.

mod attempt;
mod bell;
mod clock;
mod entropy;
mod fault;
mod handle;
mod network;
mod parked;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use rustix::io::Errno;

use self::bell::Bell;
use self::clock::Clock;
use self::entropy::Entropy;
use self::network::Network;
use self::parked::{Done, Parked, Queues};
use super::file::FileOp;
use super::op::{Completion, Interest, Op, Output, Token};
use super::open::{Open, Pair};
use super::slots::Key;
use super::{Driver, Received, Room, Socket};
use crate::worker::Kick;

pub(super) use self::handle::Handle;

pub(crate) struct Simulator {
    /// Shared with the sockets, which may outlive it. Borrowed for one call, in which nothing of anybody else's runs.
    network: Rc<RefCell<Network>>,
    clock: Clock,
    entropy: Entropy,
    /// Draws the order of reports. `None` without a seed.
    order: Option<Entropy>,
    bell: Arc<Bell>,
    parked: Queues,
    /// What is to be attempted by the next wait.
    due: Vec<(Key, Interest)>,
    done: Vec<Done>,
    /// How many of `done` are last completions.
    done_last: usize,
    calls: u64,
    failing_call: Option<u64>,
    stops_when_stuck: bool,
    is_stuck: bool,
}

/// Connections that one accept takes in a wait.
const BATCH: usize = 64;

impl Simulator {
    pub(crate) fn new() -> Self {
        Self {
            network: Rc::new(RefCell::new(Network::new())),
            clock: Clock::new(),
            entropy: Entropy::new(),
            order: None,
            bell: Arc::default(),
            parked: Queues::new(),
            due: Vec::new(),
            done: Vec::new(),
            done_last: 0,
            calls: 0,
            failing_call: None,
            stops_when_stuck: false,
            is_stuck: false,
        }
    }

    /// Returns the key of a socket of this simulation.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it is the kernel's, or of another simulation.
    fn key(&self, socket: &Socket) -> io::Result<Key> {
        let key = socket
            .simulated()
            .and_then(|handle| handle.key_in(&self.network));
        key.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "in a simulation there is no I/O with what was made outside of it",
            )
        })
    }

    fn socket(&self, key: Key) -> Socket {
        Socket::of_simulator(Handle::new(&self.network, key))
    }

    /// Counts a call. Returns `true` if it is the one that is to fail.
    fn count_call(&mut self) -> bool {
        let is_failing = self.failing_call == Some(self.calls);
        self.calls += 1;
        is_failing
    }

    /// Attempts what is due, and what that changes, until nothing changes any more.
    fn work_off(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        let mut later = Vec::new();
        loop {
            self.network.borrow_mut().take_changed(&mut due);
            if due.is_empty() {
                break;
            }
            for (key, interest) in due.drain(..) {
                if self.attempt_all(key, interest) {
                    later.push((key, interest));
                }
            }
        }
        due.append(&mut later);
        self.due = due;
    }

    /// Attempts the operations that wait at an end, oldest first; if it has gone meanwhile, those of the one that has its
    /// place, in vain. Returns `true` if one of them has more to do.
    fn attempt_all(&mut self, key: Key, interest: Interest) -> bool {
        let mut has_more = false;
        let mut queue = self.parked.take_queue(key, interest);
        queue.retain(|parked| {
            let (stays, more) = self.attempt(*parked);
            has_more |= more;
            stays
        });
        self.parked.put_queue(key, interest, queue);
        has_more
    }

    /// Attempts one. Returns whether it stays, and whether it has more to do.
    fn attempt(&mut self, at: Key) -> (bool, bool) {
        for _ in 0..BATCH {
            let Some(parked) = self.parked.get_mut(at) else {
                return (false, false);
            };
            let (number, token) = (parked.number, parked.token);
            match (attempt::attempt(&self.network, parked), &parked.op) {
                (Poll::Pending, _) => return (true, false),
                (Poll::Ready(Ok(output)), Op::Accept { .. }) => {
                    self.done.push(Done::one(number, token, output));
                }
                (Poll::Ready(Ok(output)), Op::Incoming { .. }) => {
                    self.done.push(Done::one(number, token, output));
                    return (true, false);
                }
                (Poll::Ready(result), _) => {
                    self.end(at, result.map_err(Into::into));
                    return (false, false);
                }
            }
        }
        (true, true)
    }

    /// Ends an operation that is in no queue any more.
    fn end(&mut self, at: Key, result: io::Result<Output>) {
        if let Some(parked) = self.parked.remove(at) {
            let Parked {
                number, token, op, ..
            } = parked;
            self.done_last += 1;
            self.done.push(Done::last(number, token, op, result));
        }
    }

    /// Ends an operation that never was in a queue.
    fn refuse(&mut self, token: Token, op: Op, error: io::Error) {
        let number = self.parked.next_number();
        self.done_last += 1;
        self.done.push(Done::last(number, token, op, Err(error)));
    }

    /// Does something to a file: the system's own, and at once, so that every run is the same.
    fn perform(&mut self, token: Token, mut op: FileOp, is_failing: bool) {
        let result = if is_failing {
            Err(Errno::IO.into())
        } else {
            op.perform()
        };
        let number = self.parked.next_number();
        self.done_last += 1;
        let (op, result) = (Op::File(op), result.map(Output::Count));
        self.done.push(Done::last(number, token, op, result));
    }

    /// Sleeps until there may be something to do. Only another thread can bring that, if nothing is due ever.
    fn sleep(&mut self, until: Option<Instant>) {
        match until {
            _ if self.bell.take() => {}
            Some(until) => self.clock.advance(until),
            None if self.stops_when_stuck => self.is_stuck = true,
            None => self.bell.wait(),
        }
    }
}

/// For those who explore what a program may do.
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "only tests look into a simulation as yet")
)]
impl Simulator {
    /// Returns how many ends are open: streams, listeners, and sockets for datagrams. A connection that nobody accepted yet is
    /// one too.
    pub(crate) fn open_sockets(&self) -> usize {
        self.network.borrow().len()
    }

    /// Returns how many calls were made so far: operations submitted, and attempts to send and receive at once.
    pub(crate) const fn calls(&self) -> u64 {
        self.calls
    }

    /// Has the call fail before which so many were made: the first one is 0. `None` lets all of them be.
    ///
    /// It fails as such calls do: a connect is refused, an accept has no descriptors left, a stream is broken off on both sides,
    /// a datagram finds no network.
    pub(crate) const fn fail_call(&mut self, number: Option<u64>) {
        self.failing_call = number;
    }

    /// Draws what looks random from `seed` from now on: entropy, and the order in which is reported what is done in the same
    /// wait.
    pub(crate) fn set_seed(&mut self, seed: u64) {
        let mut entropy = Entropy::of_seed(seed);
        let mut other = [0; 8];
        entropy.fill(&mut other);
        self.order = Some(Entropy::of_seed(u64::from_le_bytes(other)));
        self.entropy = entropy;
    }

    /// Has a wait that nothing in the simulation can end return at once, and be [told](Self::is_stuck).
    pub(crate) const fn stop_when_stuck(&mut self, stops: bool) {
        self.stops_when_stuck = stops;
    }

    /// Returns `true` if the last wait would have gone on for ever.
    pub(crate) const fn is_stuck(&self) -> bool {
        self.is_stuck
    }
}

impl Driver for Simulator {
    fn name(&self) -> &'static str {
        "virtual time"
    }

    fn kick(&self) -> Arc<dyn Kick> {
        self.bell.clone()
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        self.entropy.fill(bytes);
    }

    fn open(&mut self, what: &Open) -> io::Result<Socket> {
        let key = self.network.borrow_mut().open(what)?;
        Ok(self.socket(key))
    }

    fn open_pair(&mut self, what: Pair) -> io::Result<(Socket, Socket)> {
        let (left, right) = self.network.borrow_mut().open_pair(what);
        Ok((self.socket(left), self.socket(right)))
    }

    /// `localhost` is this machine; nobody else has a name.
    fn resolve(&mut self, host: &str, port: u16) -> Option<io::Result<Vec<SocketAddr>>> {
        let ips: Vec<IpAddr> = match host.parse() {
            Ok(ip) => vec![ip],
            Err(_) if host.eq_ignore_ascii_case("localhost") => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            Err(_) => {
                return Some(Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("no such host in the simulation: {host}"),
                )));
            }
        };
        let addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, port));
        Some(Ok(addresses.collect()))
    }

    fn simulator(&mut self) -> Option<&mut Simulator> {
        Some(self)
    }

    fn submit(&mut self, token: Token, op: Op) {
        let is_failing = self.count_call();
        if let Op::File(file) = op {
            return self.perform(token, file, is_failing);
        }
        match self.key(op.socket()) {
            Err(error) => self.refuse(token, op, error),
            Ok(key) if is_failing => {
                let error = fault::of_operation(&mut self.network.borrow_mut(), key, &op);
                self.refuse(token, op, error.into());
            }
            Ok(key) => {
                let interest = op.interest();
                self.parked.park(key, token, op);
                self.due.push((key, interest));
            }
        }
    }

    fn try_recv(&mut self, socket: &Rc<Socket>, room: Room<'_>) -> Poll<io::Result<Received>> {
        let is_failing = self.count_call();
        let key = self.key(socket)?;
        let mut network = self.network.borrow_mut();
        if is_failing {
            return Poll::Ready(Err(fault::of_stream(&mut network, key).into()));
        }
        network.receive(key, room, false).map_err(Into::into)
    }

    fn try_send(&mut self, socket: &Rc<Socket>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let is_failing = self.count_call();
        let key = self.key(socket)?;
        let mut network = self.network.borrow_mut();
        if is_failing {
            return Poll::Ready(Err(fault::of_stream(&mut network, key).into()));
        }
        network.transmit(key, bufs).map_err(Into::into)
    }

    fn cancel(&mut self, token: Token) {
        let Some(at) = self.parked.find(token) else {
            return;
        };
        let Some(Parked { op, end, .. }) = self.parked.get_mut(at) else {
            return;
        };
        let (end, interest) = (*end, op.interest());
        let is_connect = matches!(op, Op::Connect { .. });
        self.parked.leave_queue(end, interest, at);
        if is_connect {
            self.network.borrow_mut().give_up_connect(end);
        }
        self.end(at, Err(Errno::CANCELED.into()));
    }

    fn wait(&mut self, until: Option<Instant>, done: &mut Vec<Completion>) {
        self.is_stuck = false;
        self.work_off();
        if self.done.is_empty() && self.due.is_empty() {
            return self.sleep(until);
        }
        self.done_last = 0;
        parked::report(&mut self.done, self.order.as_mut(), done);
    }

    fn jumps(&self) -> bool {
        true
    }

    fn stand_still(&mut self, latest: Option<Instant>) -> bool {
        self.work_off();
        if !self.done.is_empty() || !self.due.is_empty() {
            return false;
        }
        match latest {
            Some(latest) => {
                let most = latest.saturating_duration_since(self.clock.now());
                if !self.bell.wait_timeout(most) {
                    self.clock.advance(latest);
                }
            }
            None => self.bell.wait(),
        }
        true
    }

    fn in_flight(&self) -> usize {
        self.parked.len() + self.done_last
    }
}
