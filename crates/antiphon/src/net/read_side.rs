//! A stream's direction towards us.
//!
//! ```text
//!               (1) nothing there                 (2) something arrived
//!     trying ─────────────────────▶ waiting ─────────────────────────────▶ trying
//!        │ (3) bytes: into the caller's memory, or the buffer    │ (4) bytes that the driver took: the buffer
//! ```
//! What waits is the stream's, not the caller's: whoever waits may go away, or be cancelled, and the next reader goes on.
//! Bytes leave the system only into the memory of a call that returns them, or into the buffer. That is why none are lost,
//! and no operation is ended here.
//!
//! A stream that waits has no memory: it is lent by the loop when there are bytes for it.

use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;

use crate::io::Leaf;
use crate::sys::{
    Attempt, Chunk, Op, Operation, Output, Room, Socket, Taken, lend, take_back, try_recv,
};

#[derive(Debug)]
pub(super) struct ReadSide {
    socket: Rc<Socket>,
    /// What the task tree shows.
    kind: &'static str,
    /// The wait under way.
    incoming: Option<Operation>,
    /// Cleared when an attempt would be in vain, and set by what the wait has to say.
    may_try: bool,
    /// Set while much arrives at a time.
    is_bulk: bool,
    /// Came of a wait that was ended. Told by the next read, after the bytes.
    error: Option<io::Error>,
    /// `buffer[start..]` arrived and was not read.
    buffer: Buffer,
    start: usize,
    /// How many bytes the next receive has room for.
    room: usize,
    /// Stands for the callers who have no leaf: those of foreign traits.
    #[cfg_attr(
        not(any(feature = "futures-io", feature = "hyper")),
        allow(dead_code, reason = "the foreign traits are features")
    )]
    leaf: Leaf,
}

#[derive(Debug)]
enum Buffer {
    Own(Vec<u8>),
    /// The driver's. It wants it back soon.
    Lent(Chunk),
}

/// Where bytes arrived.
enum Arrived {
    /// In the memory of the caller, so many; 0 at the end of the stream.
    There(usize),
    Buffer,
}

/// Small, so that it stays in the processor's cache; a connection with much to say doubles it.
const ROOM_MIN: usize = 8 * 1024;
/// Beyond this, copying costs more than what a larger receive saves.
const ROOM_MAX: usize = 64 * 1024;
/// After a receive that brought so much the next one is by hand.
const BULK_MIN: usize = 8192;

impl ReadSide {
    pub(super) const fn new(socket: Rc<Socket>, kind: &'static str, leaf: Leaf) -> Self {
        Self {
            socket,
            kind,
            incoming: None,
            may_try: true,
            is_bulk: false,
            error: None,
            buffer: Buffer::Own(Vec::new()),
            start: 0,
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
        ready!(leaf.begin(cx))?;
        while self.filled().len() < min {
            let missing = min - self.filled().len();
            if let Arrived::There(0) = ready!(self.poll_arrive(cx, leaf, missing, None))? {
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
        // A receive that has room to spare tells that there is no more, and saves the next one.
        if self.filled().is_empty() && buf.len() > ROOM_MIN {
            let room = Room::Slice(&mut *buf);
            if let Arrived::There(count) = ready!(self.poll_arrive(cx, leaf, 1, Some(room)))? {
                return Poll::Ready(Ok(count));
            }
        }
        ready!(self.poll_fill(cx, leaf, 1))?;
        let count = self.filled().len().min(buf.len());
        buf[..count].copy_from_slice(&self.filled()[..count]);
        self.consume(count);
        Poll::Ready(Ok(count))
    }

    /// Polls for a caller who has no leaf.
    #[cfg(any(feature = "futures-io", feature = "hyper"))]
    pub(super) fn poll_fill_anonymously(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut leaf = std::mem::replace(&mut self.leaf, Leaf::here());
        let result = self.poll_fill(cx, &mut leaf, 1);
        if result.is_ready() {
            leaf.reset();
        }
        self.leaf = leaf;
        result
    }

    /// Reads into the spare capacity of `memory`.
    pub(super) fn poll_read_owned(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        memory: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        ready!(leaf.begin(cx))?;
        let room = memory.capacity() - memory.len();
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        if self.filled().is_empty() {
            let room = Room::Spare(&mut *memory);
            if let Arrived::There(count) = ready!(self.poll_arrive(cx, leaf, 1, Some(room)))? {
                return Poll::Ready(Ok(count));
            }
        }
        let count = self.filled().len().min(room);
        memory.extend_from_slice(&self.filled()[..count]);
        self.consume(count);
        Poll::Ready(Ok(count))
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.buffer.as_ref()[self.start..]
    }

    pub(super) fn consume(&mut self, count: usize) {
        assert!(
            count <= self.filled().len(),
            "more bytes are consumed than have arrived"
        );
        self.start += count;
        if self.filled().is_empty() && matches!(self.buffer, Buffer::Lent(_)) {
            self.give_back();
        }
    }

    /// Returns `true` if bytes have arrived that were not read, or an error that was not told. Ends the wait under way.
    pub(super) fn holds_bytes(&mut self) -> bool {
        if let Some(incoming) = self.incoming.take() {
            self.may_try = true;
            for result in incoming.end() {
                match result {
                    Ok(Output::Bytes(chunk)) => self.append(chunk),
                    Ok(_) => {}
                    Err(error) if is_cancelled(&error) => {}
                    Err(error) => self.error = Some(error),
                }
            }
        }
        self.error.is_some() || !self.filled().is_empty()
    }

    /// Waits for bytes, and receives them: into `room`, if there is one and they were not taken from the system before;
    /// otherwise into the buffer, with room for `missing` bytes at least.
    fn poll_arrive(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        missing: usize,
        mut room: Option<Room<'_>>,
    ) -> Poll<io::Result<Arrived>> {
        loop {
            // What the driver took comes before what is still in the system.
            if let Some(incoming) = &mut self.incoming {
                match incoming.take() {
                    Taken::NotYet if self.may_try => {}
                    Taken::NotYet => {
                        leaf.wait(cx, self.kind)?;
                        leaf.watch(incoming);
                        if self.filled().is_empty() {
                            self.give_back();
                        }
                        return Poll::Pending;
                    }
                    Taken::Gone => self.begin_anew(),
                    Taken::Completion(result, op) => {
                        if op.is_some() {
                            self.incoming = None;
                        }
                        match result {
                            Ok(Output::Bytes(chunk)) => {
                                leaf.leave();
                                self.take_in(chunk);
                                return Poll::Ready(Ok(Arrived::Buffer));
                            }
                            Ok(_) => self.may_try = true,
                            // On our own account, or by the end of its loop.
                            Err(error) if is_cancelled(&error) => self.may_try = true,
                            Err(error) => {
                                leaf.leave();
                                self.may_try = true;
                                return Poll::Ready(Err(error));
                            }
                        }
                    }
                }
            }
            if !self.socket.late.borrow().is_empty() {
                let late = self.socket.late.take();
                self.append(late);
                leaf.leave();
                return Poll::Ready(Ok(Arrived::Buffer));
            }
            if let Some(error) = self.error.take() {
                leaf.leave();
                return Poll::Ready(Err(error));
            }
            if self.may_try {
                let at = leaf.location();
                let attempt = match &mut room {
                    Some(Room::Slice(buf)) => try_recv(&self.socket, Room::Slice(buf), at),
                    Some(Room::Spare(memory)) => try_recv(&self.socket, Room::Spare(memory), at),
                    None => self.try_fill(missing, at),
                };
                match attempt {
                    Attempt::Done(Ok(received)) => {
                        leaf.leave();
                        self.may_try = !received.is_drained;
                        self.is_bulk = received.count >= BULK_MIN;
                        return Poll::Ready(Ok(match received.count {
                            1.. if room.is_none() => Arrived::Buffer,
                            count => Arrived::There(count),
                        }));
                    }
                    Attempt::Done(Err(error)) => {
                        leaf.leave();
                        return Poll::Ready(Err(error));
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
            if self.incoming.is_none() {
                let op = Op::Incoming {
                    socket: Rc::clone(&self.socket),
                    is_bulk: self.is_bulk,
                };
                self.incoming = Some(Operation::start(op, self.kind, leaf.location()));
            }
        }
    }

    /// Attempts to receive into the buffer.
    fn try_fill(
        &mut self,
        missing: usize,
        at: &'static Location<'static>,
    ) -> Attempt<crate::sys::Received> {
        let room = self.room.max(missing);
        let mut memory = std::mem::take(self.memory(room));
        let attempt = try_recv(&self.socket, Room::Spare(&mut memory), at);
        if memory.len() == memory.capacity() {
            self.room = (self.room * 2).min(ROOM_MAX);
        }
        self.buffer = Buffer::Own(memory);
        attempt
    }

    /// Returns the buffer with what was not read, and so much room behind it.
    fn memory(&mut self, room: usize) -> &mut Vec<u8> {
        let filled = self.buffer.as_ref().len() - self.start;
        match &mut self.buffer {
            Buffer::Own(memory) if memory.capacity() > 0 => {
                if filled == 0 {
                    memory.clear();
                } else {
                    memory.drain(..self.start);
                }
            }
            buffer => {
                let mut memory = lend();
                memory.extend_from_slice(&buffer.as_ref()[self.start..]);
                *buffer = Buffer::Own(memory);
            }
        }
        self.start = 0;
        let Buffer::Own(memory) = &mut self.buffer else {
            unreachable!("it is the stream's own now")
        };
        memory.reserve(room);
        memory
    }

    /// Takes in bytes that the driver received.
    fn take_in(&mut self, chunk: Chunk) {
        if chunk.is_full() && !self.is_bulk {
            // There is more to come: by hand that is cheaper. Until the wait has ended it may go on as before.
            self.is_bulk = true;
            if let Some(incoming) = &self.incoming {
                incoming.cancel();
            }
        }
        if self.filled().is_empty() {
            self.give_back();
            self.buffer = Buffer::Lent(chunk);
        } else {
            self.append(chunk);
        }
    }

    /// Puts `bytes` behind what is in the buffer.
    fn append(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.memory(bytes.len()).extend_from_slice(bytes);
    }

    /// Gives the buffer back, which holds nothing.
    fn give_back(&mut self) {
        self.start = 0;
        match std::mem::replace(&mut self.buffer, Buffer::Own(Vec::new())) {
            Buffer::Own(memory) => take_back(memory),
            Buffer::Lent(_) => {}
        }
    }

    /// Takes in that the wait has gone with its loop.
    fn begin_anew(&mut self) {
        self.incoming = None;
        self.may_try = true;
    }
}

impl Drop for ReadSide {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Own(memory) => memory,
            Self::Lent(chunk) => chunk.as_ref(),
        }
    }
}

fn is_cancelled(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::CANCELED.raw_os_error())
}
