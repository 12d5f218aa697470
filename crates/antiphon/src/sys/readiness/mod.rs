//! A driver for systems that tell when a descriptor is ready: epoll, kqueue.
//!
//! ```text
//!   submit ──▶ attempt ── done ─────────────────────────────┐
//!                 │ EAGAIN                                  ▼
//!                 ▼                                    done ──▶ wait hands it out
//!          parked under (descriptor, direction)             ▲
//!                 │ the poller says ready                   │
//!                 └────────▶ attempt again, oldest first ───┘
//! ```
//! Files are always ready, and wait all the same: their operations are [the pool's](offload).
//!
//! Operations on one descriptor and direction are done in the order in which they came. Readiness is edge-triggered, so a
//! queue is worked off until the system says `EAGAIN`, or it is noted as due and continued by the next wait.

mod offload;
mod source;

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use self::offload::Offload;
use self::source::Sources;
use super::file::FileOp;
use super::op::{Completion, Interest, Op, Output, Token};
use super::platform::{Event, Poller};
use super::slots::{Key, Slots};
use super::tokens::Tokens;
use super::{Driver, Received, Room, Socket, attempt};
use crate::worker::Kick;

#[derive(Debug)]
pub(crate) struct Readiness {
    // First, so that it is closed before the sockets of the parked operations.
    poller: Poller,
    sources: Sources,
    parked: Slots<Parked>,
    tokens: Tokens,
    /// Made for the first file.
    offload: Option<Offload>,
    /// Queues to work off at the next wait although no event will say so.
    due: Vec<(RawFd, Interest)>,
    events: Vec<Event>,
    done: Vec<Completion>,
    /// How many of `done` are last completions.
    done_last: usize,
    /// Waits since the poller was last asked.
    unasked: u32,
}

/// An operation whose socket was not ready.
#[derive(Debug)]
struct Parked {
    token: Token,
    op: Op,
}

/// What the poller had to say.
struct Asked {
    is_kicked: bool,
    /// There was no event: if it slept, then until the end.
    is_silent: bool,
}

/// Operations of one queue that a turn does before it looks at the others: a listener in a storm of connections, or a pair
/// that floods itself, can't hold up the rest.
const BATCH: usize = 64;

/// Waits in a row that may return what is done already without asking the poller. It saves a system call in a turn that
/// did something, and makes an event wait for no more turns than this.
const UNASKED_MAX: u32 = 4;

impl Readiness {
    /// # Errors
    /// What the system says when it refuses the descriptors.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            sources: Sources::new(),
            parked: Slots::new(),
            tokens: Tokens::default(),
            offload: None,
            due: Vec::new(),
            events: Vec::new(),
            done: Vec::new(),
            done_last: 0,
            unasked: 0,
        })
    }

    fn park(&mut self, token: Token, op: Op) {
        let fd = op.socket().as_raw_fd();
        let interest = op.interest();
        let is_new = match self.sources.register(&mut self.poller, op.socket()) {
            Ok(is_new) => is_new,
            Err(error) => return self.finish(token, op, Err(error)),
        };
        // These were not attempted.
        let is_due = match &op {
            // It has a completion for each connection, and is done in batches from the start.
            Op::Accept { .. } => true,
            // What there is to say may have been said while nobody waited for it.
            Op::Incoming { socket, .. } => !is_new && !self.sources.is_empty(socket),
            _ => false,
        };
        let key = self.parked.insert(Parked { token, op });
        self.tokens.insert(token, key);
        self.sources.queue(fd, interest).push_back(key);
        if is_due {
            self.due.push((fd, interest));
        }
    }

    /// Takes a parked operation out of its queue.
    fn unpark(&mut self, key: Key) -> Option<Parked> {
        let parked = self.parked.remove(key)?;
        self.tokens.remove(&parked.token);
        let fd = parked.op.socket().as_raw_fd();
        let queue = self.sources.queue(fd, parked.op.interest());
        if queue.front() == Some(&key) {
            queue.pop_front();
        } else {
            queue.retain(|other| *other != key);
        }
        self.sources
            .idle(&mut self.poller, parked.op.socket().as_fd());
        Some(parked)
    }

    /// Attempts the operations of a queue, oldest first, until one must wait.
    fn work_off(&mut self, fd: RawFd, interest: Interest) {
        for _ in 0..BATCH {
            let Some(key) = self.sources.queue(fd, interest).front().copied() else {
                return;
            };
            let Some(parked) = self.parked.get_mut(key) else {
                unreachable!("a queue holds parked operations")
            };
            match (attempt::resume(&mut parked.op), &parked.op) {
                (Poll::Pending, _) => return,
                (Poll::Ready(Ok(output)), Op::Accept { .. }) => {
                    self.done.push(Completion {
                        token: parked.token,
                        result: Ok(output),
                        op: None,
                    });
                }
                // It stays, and says so again with the next event.
                (Poll::Ready(Ok(output)), Op::Incoming { .. }) => {
                    self.done.push(Completion {
                        token: parked.token,
                        result: Ok(output),
                        op: None,
                    });
                    return;
                }
                (Poll::Ready(result), _) => {
                    if let Some(Parked { token, op }) = self.unpark(key) {
                        self.finish(token, op, result.map_err(Into::into));
                    }
                }
            }
        }
        self.due.push((fd, interest));
    }

    fn work_off_due(&mut self) {
        for (fd, interest) in std::mem::take(&mut self.due) {
            self.work_off(fd, interest);
        }
    }

    /// Has a thread do something to a file.
    fn offload(&mut self, token: Token, op: FileOp) {
        let kick = || Offload::new(self.poller.kick());
        let offload = self.offload.get_or_insert_with(kick);
        if let Err((op, error)) = offload.submit(token, op) {
            self.finish(token, Op::File(op), Err(error));
        }
    }

    /// Takes in what threads have done.
    fn collect(&mut self) {
        let Some(offload) = &mut self.offload else {
            return;
        };
        offload.collect(|completion| {
            self.done_last += 1;
            self.done.push(completion);
        });
    }

    fn finish(&mut self, token: Token, op: Op, result: io::Result<Output>) {
        self.done_last += 1;
        self.done.push(Completion {
            token,
            result,
            op: Some(op),
        });
    }

    /// Asks the poller, and works off what is ready.
    fn ask(&mut self, until: Option<Instant>) -> Asked {
        self.unasked = 0;
        let mut events = std::mem::take(&mut self.events);
        let is_kicked = match self.poller.wait(until, &mut events) {
            Ok(is_kicked) => is_kicked,
            Err(error) => panic!("the system can't wait for events: {error}"),
        };
        let asked = Asked {
            is_kicked,
            is_silent: events.is_empty(),
        };
        for event in events.drain(..) {
            // A late event of a descriptor that was closed says nothing of the one that has its number now.
            let Some(fd) = self.sources.find(event.key) else {
                continue;
            };
            self.sources.note_event(fd, event);
            if event.is_readable {
                self.work_off(fd, Interest::Read);
            }
            if event.is_writable {
                self.work_off(fd, Interest::Write);
            }
        }
        self.events = events;
        asked
    }
}

impl Driver for Readiness {
    fn name(&self) -> &'static str {
        Poller::NAME
    }

    fn kick(&self) -> Arc<dyn Kick> {
        self.poller.kick()
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        super::entropy::fill(bytes);
    }

    fn submit(&mut self, token: Token, op: Op) {
        let mut op = match op {
            Op::File(op) => return self.offload(token, op),
            op => op,
        };
        if let Err(error) = op.socket().require_kernel() {
            return self.finish(token, op, Err(error));
        }
        if matches!(op, Op::Accept { .. } | Op::Incoming { .. })
            || self.sources.must_wait(op.socket(), op.interest())
        {
            return self.park(token, op);
        }
        match attempt::start(&mut op) {
            Poll::Pending => self.park(token, op),
            Poll::Ready(result) => self.finish(token, op, result.map_err(Into::into)),
        }
    }

    fn try_recv(&mut self, socket: &Rc<Socket>, room: Room<'_>) -> Poll<io::Result<Received>> {
        socket.require_kernel()?;
        if self.sources.is_empty(socket) {
            return Poll::Pending;
        }
        attempt::receive(socket, room).map(|result| {
            let received = result?;
            Ok(Received {
                is_drained: received.is_drained && self.sources.note_short(socket),
                ..received
            })
        })
    }

    fn try_send(&mut self, socket: &Rc<Socket>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        socket.require_kernel()?;
        attempt::transmit(socket, bufs).map_err(Into::into)
    }

    fn cancel(&mut self, token: Token) {
        let unbegun = self.offload.as_mut().and_then(|calls| calls.cancel(token));
        if let Some(op) = unbegun {
            return self.finish(token, Op::File(op), Err(rustix::io::Errno::CANCELED.into()));
        }
        let parked = self
            .tokens
            .get(&token)
            .copied()
            .and_then(|key| self.unpark(key));
        if let Some(Parked { token, op }) = parked {
            self.finish(token, op, Err(rustix::io::Errno::CANCELED.into()));
        }
    }

    fn wait(&mut self, until: Option<Instant>, done: &mut Vec<Completion>) {
        self.work_off_due();
        self.collect();
        // With nothing parked there is nothing to ask about. A kick that is missed is only seen a turn later.
        let is_past = |until: Option<Instant>| until.is_some_and(|until| until <= Instant::now());
        if self.done.is_empty() && self.parked.is_empty() && is_past(until) {
            return;
        }
        self.unasked += 1;
        while self.done.is_empty() || self.unasked > UNASKED_MAX {
            let may_sleep = self.done.is_empty() && self.due.is_empty();
            let until = if may_sleep {
                until
            } else {
                Some(Instant::now())
            };
            let asked = self.ask(until);
            self.collect();
            if asked.is_kicked || (asked.is_silent && may_sleep) {
                break;
            }
            self.work_off_due();
        }
        self.done_last = 0;
        if done.is_empty() {
            std::mem::swap(done, &mut self.done);
        } else {
            done.append(&mut self.done);
        }
    }

    fn in_flight(&self) -> usize {
        self.parked.len() + self.done_last + self.offload.as_ref().map_or(0, Offload::len)
    }
}
