//! The reading end of a pipe, and of what is read like one.
//!
//! What waits is the end's, not the caller's, as with sockets: a call that is given up or cancelled leaves it, and the next
//! one goes on. Bytes leave the system only into the memory of a call that returns them, or into the buffer, so none are
//! lost. An end that waits has no memory; it is lent by the loop when there are bytes for it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use super::endpoint::Endpoint;
use super::{Leaf, is_aborted};
use crate::sys::{Attempt, Interest, Operation, Room, lend, take_back};

#[derive(Debug)]
pub(super) struct ReadEnd {
    endpoint: Endpoint,
    /// What the task tree shows.
    kind: &'static str,
    /// The wait under way.
    incoming: Option<Operation>,
    /// Cleared when an attempt would be in vain, and set by what the wait has to say.
    may_try: bool,
    /// `buffer[start..]` arrived and was not read.
    buffer: Vec<u8>,
    start: usize,
    /// How many bytes the next read has room for.
    room: usize,
}

/// Where bytes arrived, and how many; 0 at the end.
enum Arrived {
    InCallers(usize),
    InBuffer(usize),
}

const ROOM_MIN: usize = 8 * 1024;
/// What a pipe holds, if nobody made it larger.
const ROOM_MAX: usize = 64 * 1024;

impl ReadEnd {
    pub(super) const fn new(endpoint: Endpoint, kind: &'static str) -> Self {
        Self {
            endpoint,
            kind,
            incoming: None,
            may_try: true,
            buffer: Vec::new(),
            start: 0,
            room: ROOM_MIN,
        }
    }

    /// Has the first read wait until the system says that there is something, though a read would return at once: what is
    /// read before a named pipe has its first writer looks like the end.
    pub(super) const fn wait_first(mut self) -> Self {
        self.may_try = false;
        self
    }

    /// Puts bytes in that were read before.
    pub(super) fn with_filled(mut self, bytes: Vec<u8>) -> Self {
        self.buffer = bytes;
        self
    }

    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        min: usize,
    ) -> Poll<io::Result<()>> {
        ready!(leaf.begin(cx))?;
        while self.filled().len() < min {
            let missing = min - self.filled().len();
            if let Arrived::InBuffer(0) = ready!(self.poll_arrive(cx, leaf, missing, None))? {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads into the caller's memory: directly, if that saves more than it costs.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(leaf.begin(cx))?;
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.filled().is_empty() {
            let room = (buf.len() > ROOM_MIN).then_some(&mut *buf);
            if let Arrived::InCallers(count) = ready!(self.poll_arrive(cx, leaf, 1, room))? {
                return Poll::Ready(Ok(count));
            }
        }
        let count = self.filled().len().min(buf.len());
        buf[..count].copy_from_slice(&self.filled()[..count]);
        self.consume(count);
        Poll::Ready(Ok(count))
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    pub(super) fn consume(&mut self, count: usize) {
        assert!(
            count <= self.filled().len(),
            "more bytes are consumed than have arrived"
        );
        self.start += count;
    }

    /// Takes out the bytes that have arrived and were not read.
    pub(super) fn take_filled(&mut self) -> Vec<u8> {
        let filled = self.filled().to_vec();
        self.start = self.buffer.len();
        filled
    }

    /// Returns a descriptor of its own, in blocking mode, if nothing has arrived that was not read.
    pub(super) fn to_blocking(&self) -> io::Result<OwnedFd> {
        if !self.filled().is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "bytes have arrived that were not read",
            ));
        }
        self.endpoint.to_blocking()
    }

    /// Waits for bytes, and reads them: into `room`, if there is one; otherwise into the buffer, with room for `missing` bytes
    /// at least.
    fn poll_arrive(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        missing: usize,
        mut room: Option<&mut [u8]>,
    ) -> Poll<io::Result<Arrived>> {
        loop {
            if let Some(incoming) = &mut self.incoming {
                let Poll::Ready(answer) = leaf.poll(cx, incoming, self.kind)? else {
                    self.give_back();
                    return Poll::Pending;
                };
                self.incoming = None;
                self.may_try = true;
                match answer {
                    Some((Err(error), _)) if !is_aborted(&error) => {
                        return Poll::Ready(Err(error));
                    }
                    _ => {}
                }
            }
            if self.may_try {
                let attempt = match &mut room {
                    Some(room) => self.endpoint.try_read(Room::Slice(room)),
                    None => self.try_fill(missing),
                };
                match attempt {
                    Attempt::Done(result) => {
                        leaf.leave();
                        return Poll::Ready(result.map(|count| match room {
                            Some(_) => Arrived::InCallers(count),
                            None => Arrived::InBuffer(count),
                        }));
                    }
                    Attempt::WouldWait => self.may_try = false,
                    Attempt::NotNow => {
                        // So a call that always finds something can be ended.
                        leaf.check()?;
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
            let op = self.endpoint.readiness(Interest::Read);
            self.incoming = Some(Operation::start(op, self.kind, leaf.location()));
        }
    }

    /// Attempts to read into the buffer.
    fn try_fill(&mut self, missing: usize) -> Attempt<usize> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.capacity() == 0 {
            self.buffer = lend();
        }
        self.buffer.reserve(self.room.max(missing));
        let attempt = self.endpoint.try_read(Room::Spare(&mut self.buffer));
        if self.buffer.len() == self.buffer.capacity() {
            self.room = (self.room * 2).min(ROOM_MAX);
        }
        attempt
    }

    /// Gives the buffer back, if it holds nothing.
    fn give_back(&mut self) {
        if self.filled().is_empty() {
            self.start = 0;
            take_back(std::mem::take(&mut self.buffer));
        }
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        self.start = self.buffer.len();
        self.give_back();
    }
}

impl AsFd for ReadEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.endpoint.as_fd()
    }
}

/// Implements [`Read`](super::Read) by way of a [`ReadEnd`].
macro_rules! impl_read_end {
    ($type:ty) => {
        impl super::Read for $type {
            fn poll_fill(
                &mut self,
                cx: &mut std::task::Context<'_>,
                leaf: &mut super::Leaf,
                min: usize,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.end.poll_fill(cx, leaf, min)
            }

            fn poll_read(
                &mut self,
                cx: &mut std::task::Context<'_>,
                leaf: &mut super::Leaf,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.end.poll_read(cx, leaf, buf)
            }

            fn filled(&self) -> &[u8] {
                self.end.filled()
            }

            fn consume(&mut self, count: usize) {
                self.end.consume(count);
            }
        }

        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.end.as_fd()
            }
        }
    };
}

pub(super) use impl_read_end;
