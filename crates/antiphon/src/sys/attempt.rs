//! What an operation can do right now: one system call that never waits.
//!
//! The sockets are non-blocking. `Pending` means that the call said `EAGAIN` and changed nothing, so the operation is
//! tried again when its socket is ready. `EINTR` is tried again at once.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::task::Poll;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, Result};
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, connect, recv, recvfrom, send, sendmsg, sendto, sockopt,
};

use super::direct::{Received, Room};
use super::op::{Address, Interest, Op, Output};
use super::socket::Socket;
use super::{address, platform};

impl Op {
    /// # Panics
    /// If it is about a file: the drivers have a way of their own for these.
    pub(super) const fn socket(&self) -> &Rc<Socket> {
        match self {
            Self::Accept { socket }
            | Self::Connect { socket, .. }
            | Self::Incoming { socket, .. }
            | Self::Send { socket, .. }
            | Self::RecvFrom { socket, .. }
            | Self::SendTo { socket, .. }
            | Self::Poll { socket, .. } => socket,
            Self::File(_) => panic!("a file is no socket"),
        }
    }

    /// What the socket must be ready for before another attempt has a chance.
    pub(super) const fn interest(&self) -> Interest {
        match self {
            Self::Accept { .. } | Self::Incoming { .. } | Self::RecvFrom { .. } => Interest::Read,
            Self::Connect { .. } | Self::Send { .. } | Self::SendTo { .. } => Interest::Write,
            Self::Poll { interest, .. } => *interest,
            Self::File(op) => op.interest(),
        }
    }
}

/// Makes the first attempt.
pub(super) fn start(op: &mut Op) -> Poll<Result<Output>> {
    match op {
        Op::Connect { socket, address } => start_connect(socket, address),
        op => resume(op),
    }
}

/// Makes a later attempt.
pub(super) fn resume(op: &mut Op) -> Poll<Result<Output>> {
    uninterrupted(|| attempt(op))
}

/// Receives from a stream.
pub(super) fn receive(socket: &Socket, room: Room<'_>) -> Poll<Result<Received>> {
    let flags = RecvFlags::empty();
    let (len, result) = match room {
        Room::Slice(bytes) => (
            bytes.len(),
            uninterrupted(|| Ok(recv(socket, &mut *bytes, flags)?.0)),
        ),
        Room::Spare(buffer) if is_full(buffer) => {
            (0, uninterrupted(|| Ok(recv(socket, no_room(), flags)?.0)))
        }
        Room::Spare(buffer) => {
            let len = buffer.capacity() - buffer.len();
            (
                len,
                uninterrupted(|| Ok(recv(socket, spare_capacity(buffer), flags)?.0)),
            )
        }
    };
    result.map_ok(|count| Received {
        count,
        is_drained: 0 < count && count < len,
    })
}

/// Sends to a stream what it takes of `bufs`.
pub(super) fn transmit(socket: &Socket, bufs: &[IoSlice<'_>]) -> Poll<Result<usize>> {
    let flags = platform::SEND_FLAGS;
    uninterrupted(|| match bufs {
        [buf] => send(socket, buf, flags),
        bufs => sendmsg(socket, bufs, &mut SendAncillaryBuffer::default(), flags),
    })
}

/// Makes a call until no signal interrupts it. `EAGAIN` is `Pending`.
pub(super) fn uninterrupted<T>(mut call: impl FnMut() -> Result<T>) -> Poll<Result<T>> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Poll::Pending,
            result => return Poll::Ready(result),
        }
    }
}

fn attempt(op: &mut Op) -> Result<Output> {
    match op {
        Op::Accept { socket } => {
            accept(socket).map(|fd| Output::Accepted(Rc::new(Socket::new(fd))))
        }
        Op::Connect { socket, .. } => finish_connect(socket),
        // It is only attempted when its socket is ready, and that is all it says.
        Op::Incoming { .. } => Ok(Output::Count(0)),
        Op::Send {
            socket,
            buffer,
            from,
        } => send(socket, &buffer[*from..], platform::SEND_FLAGS).map(Output::Count),
        Op::RecvFrom {
            socket,
            buffer,
            address,
            peek,
        } => {
            let flags = recv_flags(*peek);
            let (count, _, sender) = if is_full(buffer) {
                recvfrom(socket, no_room(), flags)?
            } else {
                recvfrom(socket, spare_capacity(buffer), flags)?
            };
            *address = sender.and_then(address::decode);
            Ok(Output::Count(count))
        }
        Op::SendTo {
            socket,
            buffer,
            address,
        } => sendto(
            socket,
            buffer,
            platform::SEND_FLAGS,
            &address::encode(address)?,
        )
        .map(Output::Count),
        Op::Poll { socket, interest } => is_ready(socket, *interest),
        Op::File(_) => unreachable!("a file is always ready, and then waits"),
    }
}

/// Takes one connection. A connection that failed while it was in the queue is not the listener's failure: accept(2)
/// names the errors that mean this, and the next one is taken in its place.
fn accept(socket: &Socket) -> Result<OwnedFd> {
    loop {
        match platform::accept(socket) {
            Err(
                Errno::CONNABORTED
                | Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH,
            ) => {}
            result => return result,
        }
    }
}

/// `EAGAIN` ends a connect: a Unix socket says so if the listener's queue is full, and nothing tells when it is not.
fn start_connect(socket: &Socket, address: &Address) -> Poll<Result<Output>> {
    let result = address::encode(address).and_then(|address| connect(socket, &address));
    match result {
        // Interrupted, it goes on in the background as well: connect(2).
        Err(Errno::INPROGRESS | Errno::INTR) => Poll::Pending,
        result => Poll::Ready(result.map(|()| Output::Count(0))),
    }
}

/// Asks what came of a connect that was begun. Writable is how it ends, well or not; the socket's error says which.
fn finish_connect(socket: &Socket) -> Result<Output> {
    is_ready(socket, Interest::Write)?;
    sockopt::socket_error(socket)??;
    Ok(Output::Count(0))
}

/// `EAGAIN` if not. Errors and hang-ups are readiness: the next call tells them.
fn is_ready(socket: &Socket, interest: Interest) -> Result<Output> {
    let flags = match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
    };
    let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), flags)];
    match poll(
        &mut fds,
        Some(&Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }),
    )? {
        0 => Err(Errno::AGAIN),
        _ => Ok(Output::Count(0)),
    }
}

fn is_full(buffer: &Vec<u8>) -> bool {
    buffer.len() == buffer.capacity()
}

/// In place of the spare capacity of a buffer that has none, which can't be lent. The call is made all the same: it tells
/// of errors.
const fn no_room<'a>() -> &'a mut [u8; 0] {
    &mut []
}

const fn recv_flags(peek: bool) -> RecvFlags {
    if peek {
        RecvFlags::PEEK
    } else {
        RecvFlags::empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_call_is_made_again() {
        let mut results = [Err(Errno::INTR), Err(Errno::INTR), Ok(7)].into_iter();
        assert_eq!(
            uninterrupted(|| results.next().unwrap()),
            Poll::Ready(Ok(7))
        );
        assert_eq!(uninterrupted(|| Err::<(), _>(Errno::AGAIN)), Poll::Pending);
        let failed = uninterrupted(|| Err::<(), _>(Errno::PIPE));
        assert_eq!(failed, Poll::Ready(Err(Errno::PIPE)));
    }
}
