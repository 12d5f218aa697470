//! A driver over `io_uring(7)`: operations are handed to the kernel, which does them when it can.
//!
//! ```text
//!   submit ──▶ queued ───────┐             one system call a turn
//!   cancel ──▶ cancels ──────┴──▶ submission ring ══▶ kernel ══▶ completion ring ──▶ done ──▶ wait hands it out
//!              (these first)             ▲                               │
//!                                        └─── again, if it must be ──────┘
//! ```
//! What need not wait does not go this way: a send is tried first ([`Driver::try_send`]), and bytes that arrive are received
//! by the kernel itself into a [pool](pool), one entry for as many messages as come. A stream that brings much at a time is
//! only waited for, and received by hand into memory that stays in the processor's cache.
//!
//! Nothing waits for room in the submission ring by failing: the queues are as long as they must be.
//!
//! # Invariants
//! The kernel reads and writes memory behind the compiler's back. Every unsafe block here leans on these:
//! - **Kept.** What an entry points to is owned by its [`Flight`](flight::Flight): the operation's buffer, or its message.
//!   A receive into the pool points to nothing; the pool has invariants of its own.
//!   Both are blocks of their own, so they stay in place while the flight moves, and nothing touches them before the
//!   answer.
//! - **One in, one out.** A flight is in the table from the moment when its entry is made until the last completion of that
//!   entry, which is the one without `IORING_CQE_F_MORE`. Only then is it handed out, and its memory with it.
//! - **Ring before memory.** A driver that is dropped first waits until the kernel holds nothing. If that can't be had, the
//!   memory is never freed.

mod flight;
mod flights;
mod pool;
mod ring;
mod setup;

use std::fmt;
use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use io_uring::types::Fd;
use io_uring::{cqueue, opcode, squeue};

use self::flights::{Flights, Subject};
use self::ring::Ring;
use super::bell::Bell;
use crate::sys::attempt;
use crate::sys::entropy;
use crate::sys::op::{Completion, Op, Token};
use crate::sys::{Driver, Received, Room, Socket};
use crate::worker::Kick;

pub(crate) use self::pool::Chunk;
pub(in crate::sys) use self::setup::Setup;

pub(in crate::sys) struct Uring {
    ring: Ring,
    flights: Flights,
    bell: Arc<Bell>,
    /// Set while the kernel watches the bell.
    is_bell_watched: bool,
    /// Set when the bell has rung, by whichever look at the completions; the wait that it ends clears it.
    is_rung: bool,
}

/// How long a driver that is dropped waits for the kernel's answers, all in all.
const DRAIN_MAX: Duration = Duration::from_secs(5);

impl Uring {
    /// # Errors
    /// See [`Setup`]: `ENOSYS`, `EPERM`, `ENOMEM` and `EINVAL` are the ways in which `io_uring` is refused.
    pub(in crate::sys) fn new() -> io::Result<Self> {
        let mut ring = Ring::open()?;
        let pool = ring.open_pool();
        Ok(Self {
            ring,
            flights: Flights::new(pool),
            bell: Arc::new(Bell::new()?),
            is_bell_watched: false,
            is_rung: false,
        })
    }

    /// Returns what the kernel granted.
    pub(in crate::sys) const fn setup(&self) -> &Setup {
        &self.ring.setup
    }

    /// Moves what the kernel is to be told into the submission ring, and lets the kernel take it if the ring is full.
    fn push_all(&mut self) -> io::Result<()> {
        if !self.is_bell_watched {
            self.push(&watch(&self.bell))?;
            self.is_bell_watched = true;
        }
        while let Some(entry) = self.flights.next_entry() {
            self.push(&entry)?;
        }
        Ok(())
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        while self.ring.is_full() {
            self.ring.enter(false, None)?;
            if self.ring.is_full() {
                // The kernel takes nothing before there is room for completions.
                self.reap();
            }
        }
        // SAFETY: what the entry points to is kept until its last completion ("kept", "one in, one out"). The bell's entry and
        // a cancellation point to nothing.
        unsafe { self.ring.push(entry) };
        Ok(())
    }

    /// Takes in what was completed.
    fn reap(&mut self) {
        let Self {
            ring,
            flights,
            is_bell_watched,
            is_rung,
            ..
        } = self;
        ring.reap(|completion| match Subject::decode(completion.user_data()) {
            // SAFETY: the completion ring is written by the kernel alone, and what is in it is passed once.
            Subject::Operation(key) => unsafe { flights.complete(key, &completion) },
            Subject::Cancel => {}
            Subject::Bell => {
                *is_rung = true;
                *is_bell_watched = cqueue::more(completion.flags());
            }
        });
    }

    fn try_wait(&mut self, until: Option<Instant>, done: &mut Vec<Completion>) -> io::Result<()> {
        loop {
            self.push_all()?;
            let is_past = until.is_some_and(|until| until <= Instant::now());
            let sleeps = !is_past && !self.is_rung && self.flights.done.is_empty();
            if sleeps || self.ring.has_work() {
                self.ring.enter(sleeps, until)?;
            }
            self.reap();
            let is_rung = mem::take(&mut self.is_rung);
            if is_rung || is_past || !self.flights.done.is_empty() {
                self.flights.take_done(done);
                return Ok(());
            }
        }
    }

    /// Cancels what the kernel holds, and waits until it holds nothing, or for a while.
    fn drain(&mut self) -> io::Result<()> {
        let until = Instant::now() + DRAIN_MAX;
        self.flights.cancel_all();
        while !self.flights.is_empty() && Instant::now() < until {
            self.try_wait(Some(until), &mut Vec::new())?;
        }
        Ok(())
    }
}

impl Driver for Uring {
    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn kick(&self) -> Arc<dyn Kick> {
        self.bell.clone()
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        entropy::fill(bytes);
    }

    fn submit(&mut self, token: Token, op: Op) {
        self.flights.submit(token, op);
    }

    /// What an [`Op::Incoming`] has taken was handed out by the wait that saw it, and the kernel takes no more between two
    /// waits: see [`Setup`]. So bytes stay in their order.
    fn try_recv(&mut self, socket: &Rc<Socket>, room: Room<'_>) -> Poll<io::Result<Received>> {
        socket.require_kernel()?;
        attempt::receive(socket, room).map_err(Into::into)
    }

    fn try_send(&mut self, socket: &Rc<Socket>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        socket.require_kernel()?;
        attempt::transmit(socket, bufs).map_err(Into::into)
    }

    fn cancel(&mut self, token: Token) {
        self.flights.cancel(token);
    }

    fn wait(&mut self, until: Option<Instant>, done: &mut Vec<Completion>) {
        if let Err(error) = self.try_wait(until, done) {
            panic!("the system can't serve its ring: {error}");
        }
    }

    fn in_flight(&self) -> usize {
        self.flights.len()
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        let is_drained = self.drain().is_ok() && self.flights.is_empty();
        if !is_drained {
            // The kernel may write to it at any time to come ("ring before memory").
            mem::forget(mem::replace(&mut self.flights, Flights::new(None)));
        }
    }
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring")
            .field("setup", self.setup())
            .field("flights", &self.flights)
            .finish_non_exhaustive()
    }
}

/// Describes the bell's watch: a multi-shot poll, which completes with each ring and stays.
fn watch(bell: &Bell) -> squeue::Entry {
    let flags = u32::from(libc::POLLIN.unsigned_abs());
    let fd = Fd(bell.as_fd().as_raw_fd());
    opcode::PollAdd::new(fd, flags)
        .multi(true)
        .build()
        .user_data(Subject::Bell.encode())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::sys::op::Output;

    /// As on a kernel that has rings of buffers, but no receives that take one each time.
    #[test]
    fn without_a_pool_bytes_stay_where_they_are() {
        let Ok(mut driver) = Uring::new() else {
            return println!("SKIPPED: the system refuses io_uring");
        };
        driver.flights.forgo_pool();
        let (ours, mut peer) = UnixStream::pair().unwrap();
        let socket = Rc::new(Socket::new(ours.into()));
        let op = Op::Incoming {
            socket: Rc::clone(&socket),
            is_bulk: false,
        };
        driver.submit(Token(1), op);
        peer.write_all(b"there").unwrap();
        let mut done = Vec::new();
        driver.wait(None, &mut done);
        assert!(matches!(done[0].result, Ok(Output::Count(0))));
        assert!(done[0].op.is_some(), "it is over");
        let mut bytes = [0; 9];
        let Poll::Ready(Ok(received)) = driver.try_recv(&socket, Room::Slice(&mut bytes)) else {
            panic!("there are bytes")
        };
        assert_eq!(bytes[..received.count], *b"there");
        assert!(received.is_drained);
    }
}
