//! One end of a connection.

use std::collections::VecDeque;
use std::task::Poll;

use rustix::io::{Errno, Result};

use crate::sys::direct::Room;
use crate::sys::op::Address;
use crate::sys::slots::Key;

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) is_unix: bool,
    pub(super) local: Address,
    /// `None` until it is connected.
    pub(super) remote: Option<Address>,
    /// The port that it was lent, to be given back.
    pub(super) lent_port: Option<u16>,
    pub(super) state: State,
    /// Bytes that arrived and were not received.
    pub(super) inbox: VecDeque<u8>,
    /// Set when the peer has said that no more will come.
    pub(super) is_ended: bool,
    /// Set when we have said so.
    pub(super) is_shut: bool,
    /// Told once.
    pub(super) error: Option<Errno>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    /// Waits for room in the listener's queue.
    Connecting(Key),
    Connected(Key),
    /// The peer closed its end in good order.
    Alone,
    /// The connection was broken off.
    Dead,
}

/// Bytes that are kept for who does not receive them. Less than a kernel has, so that writers feel it soon.
pub(super) const INBOX_MAX: usize = 64 * 1024;

impl Stream {
    pub(super) const fn new(is_unix: bool, local: Address) -> Self {
        Self {
            is_unix,
            local,
            remote: None,
            lent_port: None,
            state: State::Idle,
            inbox: VecDeque::new(),
            is_ended: false,
            is_shut: false,
            error: None,
        }
    }

    /// Moves bytes into `room`, and returns how many. With `peek` they stay.
    pub(super) fn receive(&mut self, room: Room<'_>, peek: bool) -> Poll<Result<usize>> {
        if !self.inbox.is_empty() {
            let count = fill(room, &self.inbox);
            if !peek {
                self.inbox.drain(..count);
            }
            return Poll::Ready(Ok(count));
        }
        match self.state {
            State::Idle | State::Connecting(_) => Poll::Ready(Err(self.unconnected())),
            _ => match self.error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None if self.is_over() || is_empty(&room) => Poll::Ready(Ok(0)),
                None => Poll::Pending,
            },
        }
    }

    /// Returns `true` if a receive has something to say.
    pub(super) fn is_readable(&self) -> bool {
        !self.inbox.is_empty()
            || self.error.is_some()
            || self.is_over()
            || self.state == State::Idle
    }

    /// Returns `true` if nothing more arrives.
    pub(super) const fn is_over(&self) -> bool {
        self.is_ended || matches!(self.state, State::Alone | State::Dead)
    }

    /// Returns `true` if nothing goes either way any more, whichever way that came about.
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.state, State::Dead) || (self.is_over() && self.is_shut)
    }

    pub(super) fn room(&self) -> usize {
        INBOX_MAX - self.inbox.len()
    }

    /// Why there is no sending any more. A kernel's Unix stream does not tell here why it was broken off.
    pub(super) fn broken(&mut self) -> Errno {
        let error = if self.is_unix {
            None
        } else {
            self.error.take()
        };
        error.unwrap_or(Errno::PIPE)
    }

    /// What a receive says of a stream that never was connected.
    const fn unconnected(&self) -> Errno {
        if self.is_unix {
            Errno::INVAL
        } else {
            Errno::NOTCONN
        }
    }
}

fn is_empty(room: &Room<'_>) -> bool {
    match room {
        Room::Slice(bytes) => bytes.is_empty(),
        Room::Spare(buffer) => buffer.len() == buffer.capacity(),
    }
}

/// Copies what fits.
fn fill(room: Room<'_>, inbox: &VecDeque<u8>) -> usize {
    let (first, second) = inbox.as_slices();
    match room {
        Room::Slice(bytes) => {
            let count = bytes.len().min(inbox.len());
            let (front, back) = bytes[..count].split_at_mut(count.min(first.len()));
            front.copy_from_slice(&first[..front.len()]);
            back.copy_from_slice(&second[..back.len()]);
            count
        }
        Room::Spare(buffer) => {
            let count = (buffer.capacity() - buffer.len()).min(inbox.len());
            let front = count.min(first.len());
            buffer.extend_from_slice(&first[..front]);
            buffer.extend_from_slice(&second[..count - front]);
            count
        }
    }
}
