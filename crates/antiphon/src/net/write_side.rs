//! A stream's direction towards the peer.
//!
//! What the system takes at once goes there from the caller's memory. The rest is copied, and its send belongs to the stream,
//! as the wait does on the other [side](super::read_side): whoever waits for it may go away, or be cancelled, and it is
//! finished in the background. Only dropping the stream ends it.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;

use crate::io::{Answer, Leaf, Partial};
use crate::sys::{Attempt, Op, Operation, Socket, try_send};

#[derive(Debug)]
pub(super) struct WriteSide {
    socket: Rc<Socket>,
    /// What the task tree shows.
    kind: &'static str,
    /// The send under way, with its memory.
    send: Option<Operation>,
    /// Why what was taken over can't be sent. Told by the next call.
    error: Option<io::Error>,
    /// Memory for the next send; if `unclaimed`, with what was sent.
    buffer: Vec<u8>,
    /// Set by [`poll_write`](Self::poll_write) alone: `buffer[start..]`, or the send under way, is what its caller has not
    /// been told is written.
    unclaimed: Option<usize>,
    /// Set while the side is a half of its own: dropped, it tells the peer that no more will come.
    pub(super) is_half: bool,
    /// Stands for the callers who have no leaf: those of foreign traits.
    #[cfg_attr(
        not(any(feature = "futures-io", feature = "hyper")),
        allow(dead_code, reason = "the foreign traits are features")
    )]
    leaf: Leaf,
}

/// The system takes no more slices in one call: `IOV_MAX`.
const SLICES_MAX: usize = 1024;

/// Memory beyond this is given back when it is sent.
const KEEP_MAX: usize = 256 * 1024;

impl WriteSide {
    pub(super) const fn new(socket: Rc<Socket>, kind: &'static str, leaf: Leaf) -> Self {
        Self {
            socket,
            kind,
            send: None,
            error: None,
            buffer: Vec::new(),
            unclaimed: None,
            is_half: false,
            leaf,
        }
    }

    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
    ) -> Poll<io::Result<()>> {
        ready!(leaf.begin(cx))?;
        if let Some(send) = &mut self.send {
            let answer = ready!(leaf.poll(cx, send, self.kind))?;
            self.send = None;
            self.settle(answer);
        }
        Poll::Ready(self.error.take().map_or(Ok(()), Err))
    }

    pub(super) fn start_write(&mut self, leaf: &Leaf, bufs: &[IoSlice<'_>], max: usize) -> usize {
        assert!(
            self.send.is_none(),
            "a write begins before the one before has ended"
        );
        self.unclaimed = None;
        let sent = match self.try_send(bufs, max, leaf) {
            Ok(sent) => sent,
            Err(error) => {
                self.error = Some(error);
                return 0;
            }
        };
        let len = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(max);
        if sent < len {
            self.take_over(bufs, sent..len, leaf);
        }
        len
    }

    /// Takes over the bytes of `bufs` in `range`, counted from the first one's start, and begins to send them.
    fn take_over(&mut self, bufs: &[IoSlice<'_>], range: Range<usize>, leaf: &Leaf) {
        let mut memory = std::mem::take(&mut self.buffer);
        memory.clear();
        memory.reserve(range.len());
        let mut start = 0;
        for buf in bufs {
            let end = start + buf.len();
            let (from, to) = (range.start.clamp(start, end), range.end.clamp(start, end));
            memory.extend_from_slice(&buf[from - start..to - start]);
            start = end;
        }
        self.start_send(memory, 0, leaf);
    }

    /// Sends from the caller's memory what the system takes at once of the first `max` bytes, and returns how many those were.
    fn try_send(&self, bufs: &[IoSlice<'_>], max: usize, leaf: &Leaf) -> io::Result<usize> {
        let cut;
        let bufs = match bufs {
            [buf] => {
                cut = [IoSlice::new(&buf[..max.min(buf.len())])];
                &cut
            }
            bufs if bufs.len() <= SLICES_MAX
                && bufs.iter().map(|buf| buf.len()).sum::<usize>() <= max =>
            {
                bufs
            }
            // Cutting it to measure takes a copy.
            _ => return Ok(0),
        };
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        match try_send(&self.socket, bufs, leaf.location()) {
            Attempt::Done(result) => result,
            Attempt::WouldWait | Attempt::NotNow => Ok(0),
        }
    }

    /// Sends memory that the caller gives away, and gives it back. `began` is how much that is, while the send has it.
    pub(super) fn poll_write_owned(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        memory: &mut Vec<u8>,
        began: &mut Option<usize>,
    ) -> Poll<io::Result<usize>> {
        if began.is_none() {
            ready!(self.poll_flush(cx, leaf))?;
            // It may have waited for its turn, and was cancelled when that came.
            leaf.check()?;
            self.unclaimed = None;
            let sent = self.try_send(&[IoSlice::new(memory)], usize::MAX, leaf)?;
            if sent == memory.len() {
                return Poll::Ready(Ok(sent));
            }
            *began = Some(memory.len());
            self.start_send(std::mem::take(memory), sent, leaf);
        }
        let Some(send) = &mut self.send else {
            *memory = std::mem::take(&mut self.buffer);
            return Poll::Ready(Ok(0));
        };
        let answer = match ready!(leaf.poll(cx, send, self.kind)) {
            Ok(answer) => answer,
            // The memory is the send's, which goes on.
            Err(cancelled) => {
                let count = began.unwrap_or_default();
                return Poll::Ready(Err(Partial::new(count, cancelled).into()));
            }
        };
        self.send = None;
        let (returned, result) = outcome(answer);
        *memory = returned;
        Poll::Ready(result.map(|()| memory.len()))
    }

    /// Writes for a caller who polls, and polls again with the same bytes until they are written: foreign traits.
    ///
    /// The first poll takes the bytes over, and is pending until they are sent. The next one claims them, by beginning with
    /// those very bytes. One that begins otherwise is another write, of a caller who has given that one up: it comes after.
    #[cfg(any(feature = "futures-io", feature = "hyper"))]
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_flush_anonymously(cx))?;
            if let Some(count) = self.claim(bufs) {
                return Poll::Ready(Ok(count));
            }
            let sent = self.try_send(bufs, crate::io::WRITE_MAX, &self.leaf)?;
            let len = bufs.iter().map(|buf| buf.len()).sum::<usize>();
            if sent > 0 || len == 0 {
                return Poll::Ready(Ok(sent));
            }
            let leaf = std::mem::replace(&mut self.leaf, Leaf::here());
            self.take_over(bufs, 0..len.min(crate::io::WRITE_MAX), &leaf);
            self.leaf = leaf;
            self.unclaimed = Some(0);
        }
    }

    #[cfg(any(feature = "futures-io", feature = "hyper"))]
    pub(super) fn poll_flush_anonymously(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut leaf = std::mem::replace(&mut self.leaf, Leaf::here());
        let result = self.poll_flush(cx, &mut leaf);
        if result.is_ready() {
            leaf.reset();
        }
        self.leaf = leaf;
        result
    }

    #[cfg(any(feature = "futures-io", feature = "hyper"))]
    pub(super) fn poll_shutdown_anonymously(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_flush_anonymously(cx))?;
        Poll::Ready(self.shutdown_now())
    }

    /// Claims what was sent for [`poll_write`](Self::poll_write), if `bufs` begin with it.
    #[cfg(any(feature = "futures-io", feature = "hyper"))]
    fn claim(&mut self, bufs: &[IoSlice<'_>]) -> Option<usize> {
        let start = self.unclaimed.take()?;
        let sent = &self.buffer[start..];
        let mut count = 0;
        for buf in bufs {
            let common = buf.len().min(sent.len() - count);
            if buf[..common] != sent[count..count + common] {
                return None;
            }
            count += common;
        }
        if count < sent.len() {
            self.unclaimed = Some(start + count);
        }
        Some(count).filter(|count| *count > 0)
    }

    pub(super) fn poll_shutdown(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx, leaf))?;
        Poll::Ready(self.shutdown_now())
    }

    /// Returns `true` if something is being sent.
    pub(super) const fn is_sending(&self) -> bool {
        self.send.is_some()
    }

    /// Tells the peer that no more will come.
    pub(super) fn shutdown_now(&self) -> io::Result<()> {
        match self.socket.shutdown_write() {
            // The peer has gone, and knows.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    /// Begins to send `memory[from..]`, which is not empty.
    fn start_send(&mut self, memory: Vec<u8>, from: usize, leaf: &Leaf) {
        let op = Op::Send {
            socket: Rc::clone(&self.socket),
            buffer: memory,
            from,
        };
        self.send = Some(Operation::start(op, self.kind, leaf.location()));
    }

    /// Takes in what came of the send.
    fn settle(&mut self, answer: Answer) {
        let (memory, result) = outcome(answer);
        if let Err(error) = result {
            self.unclaimed = None;
            self.error = Some(error);
        }
        if self.unclaimed.is_some() || memory.capacity() <= KEEP_MAX {
            self.buffer = memory;
        }
    }
}

impl Drop for WriteSide {
    fn drop(&mut self) {
        if self.is_half {
            self.send = None;
            // The peer may have gone; then there is nobody to tell.
            let _ = self.shutdown_now();
        }
    }
}

/// The memory of a send, and what came of it. A send that went well has sent all.
fn outcome(answer: Answer) -> (Vec<u8>, io::Result<()>) {
    let ended = || io::Error::other("the loop ended before all was sent");
    match answer {
        Some((result, Some(Op::Send { buffer, .. }))) => {
            let result = match result {
                Err(error) if error.raw_os_error() == Some(Errno::CANCELED.raw_os_error()) => {
                    Err(ended())
                }
                result => result.map(|_| ()),
            };
            (buffer, result)
        }
        _ => (Vec::new(), Err(ended())),
    }
}
