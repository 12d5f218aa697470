//! What is done at once: a system call in the middle of a task's step, without an operation.
//!
//! Most sends find room, and most receives that are begun when the driver said so find bytes. Then there is nothing to
//! wait for, and nothing is copied on the way. A task that always finds something would never let the others run, so it is
//! told [`Attempt::NotNow`] when it has done as much in a turn as others may have to wait for.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::panic::Location;
use std::rc::Rc;
use std::task::Poll;

use rustix::io::Errno;

use super::attempt::uninterrupted;
use super::operation::fail_next;
use super::platform;
use super::socket::Socket;
use crate::explore::probe;
use crate::scope::is_explored_here;
use crate::worker::{Address, Worker, current};

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum Attempt<T> {
    Done(io::Result<T>),
    /// The socket is not ready, and will say so when it is.
    WouldWait,
    /// The task had its share of this turn. The socket may well be ready.
    NotNow,
}

/// What a receive brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// How many bytes; 0 at the end of the stream, if there was room.
    pub(crate) count: usize,
    /// Another attempt is in vain before [`Op::Incoming`](super::Op::Incoming) says otherwise.
    pub(crate) is_drained: bool,
}

/// Where a receive puts bytes.
#[derive(Debug)]
pub(crate) enum Room<'a> {
    Slice(&'a mut [u8]),
    /// Into the spare capacity, which becomes part of the length as far as it is filled.
    Spare(&'a mut Vec<u8>),
}

/// Counts what the running task did at once in this turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    task: Address,
    left: u32,
}

/// Attempts in a row that one task may make in a turn. Enough that a waiting turn's cost is lost among them, and few enough
/// that the others wait for microseconds.
const SHARE: u32 = 32;

/// Attempts to receive into `room`, for the call at the line `at`.
///
/// # Panics
/// If no loop is running on this thread.
#[track_caller]
pub(crate) fn try_recv(
    socket: &Rc<Socket>,
    room: Room<'_>,
    at: &'static Location<'static>,
) -> Attempt<Received> {
    attempt("receive", at, |worker| {
        worker.driver().try_recv(socket, room)
    })
}

/// Attempts to send `bufs`, one after the other, for the call at the line `at`. A part may be taken.
///
/// # Panics
/// If no loop is running on this thread.
#[track_caller]
pub(crate) fn try_send(
    socket: &Rc<Socket>,
    bufs: &[IoSlice<'_>],
    at: &'static Location<'static>,
) -> Attempt<usize> {
    attempt("send", at, |worker| worker.driver().try_send(socket, bufs))
}

/// Attempts a call about a descriptor that is no socket: a pipe, a terminal. `EAGAIN` says that it would wait, and what
/// tells when it does not is [`Op::Poll`](super::Op::Poll). It is nothing that a simulation does, and so no point of an
/// exploration.
///
/// # Panics
/// If no loop is running on this thread.
#[track_caller]
pub(crate) fn try_call<T>(call: impl FnMut() -> rustix::io::Result<T>) -> Attempt<T> {
    current(|worker| attempt_on(worker, |_| uninterrupted(call).map_err(Into::into)))
}

#[track_caller]
fn attempt<T>(
    kind: &'static str,
    at: &'static Location<'static>,
    f: impl FnOnce(&Worker) -> Poll<io::Result<T>>,
) -> Attempt<T> {
    current(|worker| {
        attempt_on(worker, |worker| {
            if is_explored_here() && probe::call_begins(worker, kind, at) {
                fail_next(worker);
            }
            f(worker)
        })
    })
}

/// Attempts to read what is at `offset` of a file into `bufs`, from memory: [`Attempt::WouldWait`] if the system would have to ask
/// the disk for it, or if the file is at its end there.
///
/// # Errors
/// [`Unsupported`](io::ErrorKind::Unsupported) if the system can't tell; it is not worth another attempt on this file.
///
/// # Panics
/// If no loop is running on this thread.
#[track_caller]
pub(crate) fn try_read_at(file: &File, bufs: &mut [IoSliceMut<'_>], offset: u64) -> Attempt<usize> {
    // What is in memory differs from run to run, and virtual time wants each to be the same.
    if current(|worker| worker.driver().jumps()) {
        return Attempt::Done(Err(io::ErrorKind::Unsupported.into()));
    }
    current(|worker| {
        attempt_on(worker, |_| {
            match platform::read_at_once(file, bufs, offset) {
                Ok(0) | Err(Errno::AGAIN | Errno::INTR) => Poll::Pending,
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
                }
                result => Poll::Ready(result.map_err(Into::into)),
            }
        })
    })
}

fn attempt_on<T>(worker: &Worker, f: impl FnOnce(&Worker) -> Poll<io::Result<T>>) -> Attempt<T> {
    if !worker.operations().may_try(worker.running_address()) {
        return Attempt::NotNow;
    }
    match f(worker) {
        Poll::Ready(result) => Attempt::Done(result),
        Poll::Pending => Attempt::WouldWait,
    }
}

impl Share {
    /// Takes one of the attempts of `task`. `None` if it has none left.
    pub(super) fn take(share: Option<Self>, task: Address) -> Option<Self> {
        let left = share.filter(|share| share.task == task);
        let left = left.map_or(SHARE, |share| share.left).checked_sub(1)?;
        Some(Self { task, left })
    }
}
