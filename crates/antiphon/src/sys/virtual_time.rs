//! A driver without a world: its clock jumps to the next deadline instead of waiting for it.
//!
//! For programs that only sleep and talk to each other, above all tests: an hour passes in a microsecond, and always in
//! the same order. It does no I/O; an operation is answered with [`Unsupported`](io::ErrorKind::Unsupported).

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Poll;
use std::time::Instant;

use super::op::{Completion, Op, Token};
use super::{Driver, Received, Room, Socket};
use crate::worker::Kick;

pub(crate) struct VirtualTime {
    now: Instant,
    /// Xorshift state: the same numbers in every run.
    random: u64,
    submitted: Vec<(Token, Op)>,
    bell: Arc<Bell>,
    stops_when_stuck: bool,
    is_stuck: bool,
}

/// Rung by other threads, which may still wake tasks.
#[derive(Default)]
struct Bell {
    is_rung: Mutex<bool>,
    rung: Condvar,
}

#[allow(clippy::unused_self, reason = "there is no network")]
impl VirtualTime {
    pub(crate) fn new() -> Self {
        Self {
            now: Instant::now(),
            random: 0x9E37_79B9_7F4A_7C15,
            submitted: Vec::new(),
            bell: Arc::default(),
            stops_when_stuck: false,
            is_stuck: false,
        }
    }

    pub(crate) fn set_seed(&mut self, seed: u64) {
        self.random ^= seed;
    }

    pub(crate) fn stop_when_stuck(&mut self, stops: bool) {
        self.stops_when_stuck = stops;
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    pub(crate) fn open_sockets(&self) -> usize {
        0
    }

    pub(crate) fn calls(&self) -> u64 {
        0
    }

    pub(crate) fn fail_call(&mut self, _: Option<u64>) {}
}

impl Driver for VirtualTime {
    fn name(&self) -> &'static str {
        "virtual time"
    }

    fn kick(&self) -> Arc<dyn Kick> {
        self.bell.clone()
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            *byte = self.random.to_le_bytes()[7];
        }
    }

    fn submit(&mut self, token: Token, op: Op) {
        self.submitted.push((token, op));
    }

    fn try_recv(&mut self, _: &Rc<Socket>, _: Room<'_>) -> Poll<io::Result<Received>> {
        Poll::Pending
    }

    fn try_send(&mut self, _: &Rc<Socket>, _: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn cancel(&mut self, _: Token) {}

    fn wait(&mut self, until: Option<Instant>, done: &mut Vec<Completion>) {
        if !self.submitted.is_empty() {
            done.extend(self.submitted.drain(..).map(|(token, op)| Completion {
                token,
                result: Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "there is no I/O in virtual time",
                )),
                op: Some(op),
            }));
            return;
        }
        match until {
            Some(until) => self.now = self.now.max(until),
            // Nothing is due, ever. Only another thread can bring something to do.
            None if self.stops_when_stuck => self.is_stuck = true,
            None => self.bell.wait(),
        }
    }

    fn in_flight(&self) -> usize {
        self.submitted.len()
    }

    fn simulator(&mut self) -> Option<&mut Self> {
        Some(self)
    }
}

impl Kick for Bell {
    fn kick(&self) {
        *self.is_rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rung.notify_one();
    }
}

impl Bell {
    fn wait(&self) {
        let mut is_rung = self.is_rung.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_rung {
            is_rung = self
                .rung
                .wait(is_rung)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *is_rung = false;
    }
}
