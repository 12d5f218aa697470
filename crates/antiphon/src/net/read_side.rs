//! A stream's direction towards us.
//!
//! ```text
//!                (1) somebody reads            (2) completion
//!     idle ─────────────────────▶ receiving ──────────────────▶ idle, with bytes
//! ```
//! The receive belongs to the stream: whoever waits for it may go away, and the next reader finds it under way, or its
//! bytes arrived. That is why no bytes are lost and nothing is cancelled here.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;

use crate::io::Leaf;
use crate::sys::{Op, Operation, Output, Socket};

#[derive(Debug)]
pub(super) struct ReadSide {
    socket: Rc<Socket>,
    /// What the task tree shows.
    kind: &'static str,
    /// The receive under way, with its memory.
    receive: Option<Operation>,
    /// `buffer[start..]` arrived and was not read.
    buffer: Vec<u8>,
    start: usize,
    /// Memory for a receive while the buffer has bytes that were not read, or went away as somebody else's.
    spare: Vec<u8>,
    /// How many bytes the next receive has room for.
    room: usize,
    /// Stands for the callers who have no leaf: those of foreign traits.
    #[cfg_attr(
        not(any(feature = "futures-io", feature = "hyper")),
        allow(dead_code, reason = "the foreign traits are features")
    )]
    leaf: Leaf,
}

/// Small, because every connection that waits has so much memory; a connection with much to say doubles it.
const ROOM_MIN: usize = 8 * 1024;
/// Beyond this, copying costs more than what a larger receive saves.
const ROOM_MAX: usize = 256 * 1024;

impl ReadSide {
    pub(super) const fn new(socket: Rc<Socket>, kind: &'static str, leaf: Leaf) -> Self {
        Self {
            socket,
            kind,
            receive: None,
            buffer: Vec::new(),
            start: 0,
            spare: Vec::new(),
            room: ROOM_MIN,
            leaf,
        }
    }

    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        min: usize,
    ) -> Poll<io::Result<()>> {
        while self.filled().len() < min {
            let mut receive = self
                .receive
                .take()
                .unwrap_or_else(|| self.start_receive(leaf));
            let Poll::Ready(answer) = leaf.poll(cx, &mut receive, self.kind) else {
                self.receive = Some(receive);
                return Poll::Pending;
            };
            match self.settle(answer)? {
                Arrived::End => break,
                Arrived::Bytes | Arrived::Nothing => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Polls for a caller who has no leaf.
    #[cfg(any(feature = "futures-io", feature = "hyper"))]
    pub(super) fn poll_fill_anonymously(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut leaf = std::mem::replace(&mut self.leaf, Leaf::here());
        let result = self.poll_fill(cx, &mut leaf, 1);
        self.leaf = leaf;
        result
    }

    /// Reads into memory that the caller gives away. `began` is set while the receive has that memory.
    pub(super) fn poll_read_owned(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        memory: &mut Vec<u8>,
        began: &mut bool,
    ) -> Poll<io::Result<usize>> {
        let room = memory.capacity() - memory.len();
        if !*began && self.filled().is_empty() && self.receive.is_none() && room > 0 {
            *began = true;
            self.receive = Some(self.start_receive_into(std::mem::take(memory), leaf));
        }
        if !*began {
            if room > 0 {
                ready!(self.poll_fill(cx, leaf, 1))?;
            }
            let count = self.filled().len().min(room);
            memory.extend_from_slice(&self.filled()[..count]);
            self.consume(count);
            return Poll::Ready(Ok(count));
        }
        let receive = self
            .receive
            .as_mut()
            .expect("nobody else takes it while the caller has the stream");
        let answer = ready!(leaf.poll(cx, receive, self.kind));
        self.receive = None;
        let result = self.settle(answer);
        if matches!(result, Ok(Arrived::Nothing)) {
            return Poll::Ready(Err(io::Error::other(
                "the loop ended before anything was read",
            )));
        }
        // The buffer is the caller's memory, with what arrived at its end.
        *memory = std::mem::take(&mut self.buffer);
        let count = memory.len() - std::mem::take(&mut self.start);
        Poll::Ready(result.map(|_| count))
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

    /// Returns `true` if bytes have arrived that were not read, or may arrive in a receive under way.
    pub(super) fn holds_bytes(&self) -> bool {
        !self.filled().is_empty() || self.receive.is_some()
    }

    fn start_receive(&mut self, leaf: &Leaf) -> Operation {
        let mut memory = if self.filled().is_empty() {
            self.start = 0;
            if self.spare.capacity() > self.buffer.capacity() {
                std::mem::swap(&mut self.spare, &mut self.buffer);
            }
            std::mem::take(&mut self.buffer)
        } else {
            std::mem::take(&mut self.spare)
        };
        memory.clear();
        memory.reserve(self.room);
        self.start_receive_into(memory, leaf)
    }

    fn start_receive_into(&self, buffer: Vec<u8>, leaf: &Leaf) -> Operation {
        let op = Op::Recv {
            socket: Rc::clone(&self.socket),
            buffer,
            peek: false,
        };
        Operation::start(op, self.kind, leaf.location())
    }

    /// Takes in what came of the receive.
    fn settle(&mut self, answer: Option<(io::Result<Output>, Option<Op>)>) -> io::Result<Arrived> {
        let Some((result, Some(Op::Recv { buffer, .. }))) = answer else {
            // Its loop has ended. What it received then was left at the socket, and the next receive is this loop's.
            let late = self.socket.late.take();
            self.append(late, 0);
            return Ok(Arrived::Nothing);
        };
        match result {
            Ok(Output::Count(count)) => {
                if buffer.len() == buffer.capacity() {
                    self.room = (self.room * 2).min(ROOM_MAX);
                }
                let start = buffer.len() - count;
                self.append(buffer, start);
                Ok(if count == 0 {
                    Arrived::End
                } else {
                    Arrived::Bytes
                })
            }
            Ok(Output::Accepted(_)) => unreachable!("a receive accepts no connection"),
            // By the end of its loop: nobody else cancels it.
            Err(error) if error.raw_os_error() == Some(Errno::CANCELED.raw_os_error()) => {
                let start = buffer.len();
                self.append(buffer, start);
                Ok(Arrived::Nothing)
            }
            Err(error) => {
                let start = buffer.len();
                self.append(buffer, start);
                Err(error)
            }
        }
    }

    /// Puts `bytes[start..]` behind what is in the buffer.
    fn append(&mut self, bytes: Vec<u8>, start: usize) {
        if self.filled().is_empty() {
            // What was the buffer is memory for a later receive, unless it is away with this one.
            let memory = std::mem::replace(&mut self.buffer, bytes);
            self.start = start;
            if memory.capacity() > self.spare.capacity() {
                self.spare = memory;
            }
            return;
        }
        self.buffer.drain(..std::mem::take(&mut self.start));
        self.buffer.extend_from_slice(&bytes[start..]);
        self.spare = bytes;
    }
}

enum Arrived {
    Bytes,
    End,
    /// The receive ended with its loop, and is to be started again.
    Nothing,
}
