//! An open file, and its cursor.

use std::cell::Cell;
use std::fmt;
use std::fs::{self, Metadata, Permissions};
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, IoSliceMut, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::OpenOptions;
use super::call::call;
use super::positional::{READ, Shared, WRITE, written};
use crate::context::{ContextManager, Ending, HandOver};
use crate::io::{Leaf, Read, Write};
use crate::sys::{FileOp, Op, Operation, inspect, lend, take_back};

/// An open file, with a cursor for reading and writing one after the other, and a buffer for what was read ahead.
///
/// ```text
///        position                    what is read and written next
///           ▼
///   ........[ filled … ]............   the buffer: read ahead, and not taken yet
/// ```
/// The cursor is ours alone; the system is told a place with each operation. So it moves when a call has returned, and what is
/// given up leaves it where it was. Reads and writes at a place of their own ([`read_at`](Self::read_at),
/// [`write_at`](Self::write_at)) don't move it, and many may be under way.
///
/// Writing through the cursor is as with any [stream](crate::io::Write): bytes are taken over whole, and what was taken over is
/// written, whoever goes away.
///
/// # Dropped
/// What was taken over is written, and nobody hears of an error. The descriptor is closed when no operation is about it any more.
///
/// # In a block
/// As a [context manager](crate::context::with) it is flushed at the end, and if something was written and the block
/// returned a value, it is [synced](Self::sync_all).
///
/// # Examples
/// ```
/// use antiphon::context::with;
/// use antiphon::fs::{File, TempDir};
/// use antiphon::io::{Read, Write};
/// use std::io::SeekFrom;
///
/// antiphon::run(async || {
///     let dir = TempDir::new().await?;
///     let path = dir.path().join("account");
///     with(File::create_new(&path), async |file| file.write_all(b"one\ntwo\n").await).await?;
///
///     let mut file = File::open(&path).await?;
///     let mut line = Vec::new();
///     file.read_until(b'\n', &mut line).await?;
///     assert_eq!(line, b"one\n");
///     assert_eq!(file.position(), 4);
///     file.seek(SeekFrom::End(-4)).await?;
///     file.read_to_end(&mut line).await?;
///     assert_eq!(line, b"one\ntwo\n");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct File {
    pub(super) shared: Shared,
    /// The place of the first byte that was not read: the first of those in the buffer, if there are any.
    position: u64,
    /// `buffer[start..]` was read ahead.
    buffer: Vec<u8>,
    start: usize,
    /// The read under way: of what comes behind the buffer.
    read: Option<Operation>,
    /// The write under way.
    write: Option<Operation>,
    /// Where that began.
    write_from: u64,
    /// Why what was taken over could not be written. Told by the next call.
    error: Option<io::Error>,
    /// Set when something was written and not synced at the end of a block.
    pub(super) is_written: Cell<bool>,
}

/// What is read ahead at least.
const AHEAD: usize = 64 * 1024;

/// Reads of this size and more go to the caller's memory, if what they want is in memory.
const DIRECT_MIN: usize = 4 * 1024;

impl File {
    pub(super) fn new(file: fs::File, is_append: bool) -> Self {
        Self::of(Shared::new(file, is_append), 0)
    }

    fn of(shared: Shared, position: u64) -> Self {
        Self {
            shared,
            position,
            buffer: Vec::new(),
            start: 0,
            read: None,
            write: None,
            write_from: position,
            error: None,
            is_written: Cell::new(false),
        }
    }

    /// Opens a file to read.
    ///
    /// # Errors
    /// Those of [`OpenOptions::open`].
    ///
    /// # Cancellation
    /// **Did not happen.**
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file to write; it is made, or emptied if it is there.
    ///
    /// # Errors
    /// Those of [`OpenOptions::open`].
    ///
    /// # Cancellation
    /// **Finishes first.** If it has not begun, it did not happen.
    #[track_caller]
    pub fn create(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file and opens it to read and write.
    ///
    /// # Errors
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if it is there; and those of [`OpenOptions::open`].
    ///
    /// # Cancellation
    /// **Finishes first.** If it has not begun, it did not happen.
    #[track_caller]
    pub fn create_new(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).open(path)
    }

    /// Makes one of the standard library's, with the cursor where that one's is.
    ///
    /// # Errors
    /// [`NotSeekable`](io::ErrorKind::NotSeekable) if it is a pipe, a socket or a terminal.
    pub fn from_std(mut file: fs::File) -> io::Result<Self> {
        let is_append = inspect(&file)?;
        let position = file.stream_position()?;
        Ok(Self::of(Shared::new(file, is_append), position))
    }

    /// Makes one of the standard library's of it, with the cursor where this one's is, when all that was taken over is written.
    ///
    /// If it is [shared](Self::share), it is a duplicate.
    ///
    /// # Errors
    /// What became of a write that was given up, and what the system says. And a cancel.
    ///
    /// # Cancellation
    /// **Breaks.** The file is dropped.
    pub async fn into_std(mut self) -> io::Result<fs::File> {
        self.flush().await?;
        self.read = None;
        let file = Arc::clone(&self.shared.file);
        let position = self.position;
        drop(self);
        let mut file = match Arc::try_unwrap(file) {
            Ok(file) => file,
            Err(shared) => shared.try_clone()?,
        };
        file.seek(SeekFrom::Start(position))?;
        Ok(file)
    }

    /// Returns a second handle to the same open file, with a cursor of its own, which begins where this one is.
    ///
    /// It is no second descriptor, so it can't fail.
    #[must_use = "it is a handle, and changes nothing"]
    pub fn share(&self) -> Self {
        Self::of(self.shared.clone(), self.position)
    }

    /// Returns where the next byte is read or written. A file that is appended to is written at its end all the same.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Moves the cursor, and returns where it is then. It may be behind the end.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if that is before the beginning; then it stays. What the system
    /// says, if it is asked for the end; what became of a write that was given up; and a cancel.
    ///
    /// # Cancellation
    /// **Did not happen.**
    #[track_caller]
    pub fn seek(&mut self, to: SeekFrom) -> impl Future<Output = io::Result<u64>> {
        let mut leaf = Leaf::here();
        async move {
            poll_fn(|cx| {
                ready!(leaf.begin(cx))?;
                self.poll_flush_inner(cx, &mut leaf)
            })
            .await?;
            let (base, distance) = match to {
                SeekFrom::Start(position) => (position, 0),
                SeekFrom::Current(distance) => (self.position, distance),
                SeekFrom::End(distance) => {
                    (self.metadata_at(leaf.location()).await?.len(), distance)
                }
            };
            let position = base.checked_add_signed(distance);
            let position = position.filter(|position| i64::try_from(*position).is_ok());
            self.move_to(position.ok_or(io::ErrorKind::InvalidInput)?);
            Ok(self.position)
        }
    }

    /// Returns what the system knows of the file. What was taken over and is not written yet does not count.
    ///
    /// # Errors
    /// What the system says, and a cancel.
    ///
    /// # Cancellation
    /// **Did not happen.**
    #[track_caller]
    pub fn metadata(&self) -> impl Future<Output = io::Result<Metadata>> {
        self.metadata_at(Location::caller())
    }

    fn metadata_at(
        &self,
        at: &'static Location<'static>,
    ) -> impl Future<Output = io::Result<Metadata>> {
        let file = Arc::clone(&self.shared.file);
        call("file metadata", at, move |_| file.metadata())
    }

    /// Makes the file so long: cuts it, or fills it up with zeros. The cursor stays, what was read ahead is forgotten.
    ///
    /// # Errors
    /// What the system says, what became of a write that was given up, and a cancel.
    ///
    /// # Cancellation
    /// **Finishes first.** If it has not begun, it did not happen.
    #[track_caller]
    pub fn set_len(&mut self, len: u64) -> impl Future<Output = io::Result<()>> {
        let mut leaf = Leaf::here();
        async move {
            poll_fn(|cx| {
                ready!(leaf.begin(cx))?;
                self.poll_flush_inner(cx, &mut leaf)
            })
            .await?;
            self.forget_buffer();
            self.is_written.set(true);
            let file = Arc::clone(&self.shared.file);
            call("file set_len", leaf.location(), move |_| file.set_len(len)).await
        }
    }

    /// Sets who may do what with it.
    ///
    /// # Errors
    /// What the system says, and a cancel.
    ///
    /// # Cancellation
    /// **Finishes first.** If it has not begun, it did not happen.
    #[track_caller]
    pub fn set_permissions(
        &self,
        permissions: Permissions,
    ) -> impl Future<Output = io::Result<()>> {
        let file = Arc::clone(&self.shared.file);
        call("file permissions", Location::caller(), move |_| {
            file.set_permissions(permissions)
        })
    }

    /// Moves the cursor, and keeps of what was read ahead what lies there.
    fn move_to(&mut self, position: u64) {
        let ahead = position.checked_sub(self.position);
        let ahead = ahead.and_then(|distance| usize::try_from(distance).ok());
        if let Some(distance) = ahead.filter(|distance| *distance <= self.filled().len()) {
            self.consume(distance);
        } else {
            self.forget_buffer();
            self.position = position;
        }
    }

    /// Forgets what was read ahead, and the read that is under way, which has no effect on anything.
    fn forget_buffer(&mut self) {
        self.read = None;
        self.start = 0;
        take_back(std::mem::take(&mut self.buffer));
    }

    /// Polls until nothing is being written.
    pub(super) fn poll_flush_inner(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
    ) -> Poll<io::Result<()>> {
        if let Some(write) = &mut self.write {
            let answer = ready!(leaf.poll(cx, write, WRITE))?;
            self.write = None;
            let (result, memory) = match answer {
                Some((result, op)) => written(result, op),
                None => (
                    Err((0, io::Error::other("the loop ended before all was written"))),
                    Vec::new(),
                ),
            };
            if let Err((count, error)) = result {
                self.position = self.write_from + count as u64;
                self.error = Some(error);
            }
            take_back(memory);
        }
        Poll::Ready(self.error.take().map_or(Ok(()), Err))
    }

    /// Polls until something is read behind what is in the buffer, for which nothing was found in memory. Returns how much.
    fn poll_read_on(&mut self, cx: &mut Context<'_>, leaf: &mut Leaf) -> Poll<io::Result<usize>> {
        let offset = self.position + self.filled().len() as u64;
        let read = self.read.get_or_insert_with(|| {
            let mut memory = lend();
            memory.reserve(AHEAD);
            let op = self.shared.read_op(memory, AHEAD, offset);
            Operation::start(op, READ, leaf.location())
        });
        let answer = ready!(leaf.poll(cx, read, READ))?;
        self.read = None;
        let Some((result, Some(Op::File(FileOp::Read { buffer, .. })))) = answer else {
            return Poll::Ready(Err(io::Error::other("the loop ended before it was read")));
        };
        result?;
        let count = buffer.len();
        if self.filled().is_empty() {
            self.start = 0;
            take_back(std::mem::replace(&mut self.buffer, buffer));
        } else {
            self.buffer.extend_from_slice(&buffer);
            take_back(buffer);
        }
        Poll::Ready(Ok(count))
    }

    /// Polls for what is in memory of what comes behind the buffer, and puts it there.
    fn poll_fill_now(
        &mut self,
        cx: &Context<'_>,
        missing: usize,
    ) -> Poll<io::Result<Option<usize>>> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        if self.buffer.capacity() == 0 {
            self.buffer = lend();
        }
        let filled = self.buffer.len();
        let offset = self.position + filled as u64;
        self.buffer.resize(filled + missing.max(AHEAD), 0);
        let mut bufs = [IoSliceMut::new(&mut self.buffer[filled..])];
        let result = self.shared.poll_read_now(cx, &mut bufs, offset);
        let count = match &result {
            Poll::Ready(Ok(Some(count))) => *count,
            _ => 0,
        };
        self.buffer.truncate(filled + count);
        result
    }

    /// Returns `true` if what was taken over is not written yet, or could not be.
    fn has_unwritten(&self) -> bool {
        self.write.is_some() || self.error.is_some()
    }
}

impl Read for File {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        min: usize,
    ) -> Poll<io::Result<()>> {
        ready!(leaf.begin(cx))?;
        if self.filled().len() < min && self.has_unwritten() {
            ready!(self.poll_flush_inner(cx, leaf))?;
        }
        while self.filled().len() < min {
            if self.read.is_none() {
                leaf.check()?;
                let missing = min - self.filled().len();
                if ready!(self.poll_fill_now(cx, missing))?.is_some() {
                    continue;
                }
            }
            if ready!(self.poll_read_on(cx, leaf))? == 0 {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(leaf.begin(cx))?;
        let is_direct = buf.len() >= DIRECT_MIN && self.filled().is_empty() && self.read.is_none();
        if is_direct {
            if self.has_unwritten() {
                ready!(self.poll_flush_inner(cx, leaf))?;
            }
            leaf.check()?;
            let max = buf.len().min(4 * AHEAD);
            let mut bufs = [IoSliceMut::new(&mut buf[..max])];
            let now = ready!(self.shared.poll_read_now(cx, &mut bufs, self.position))?;
            if let Some(count) = now {
                self.position += count as u64;
                return Poll::Ready(Ok(count));
            }
        }
        if !buf.is_empty() {
            ready!(self.poll_fill(cx, leaf, 1))?;
        }
        let count = self.filled().len().min(buf.len());
        buf[..count].copy_from_slice(&self.filled()[..count]);
        self.consume(count);
        Poll::Ready(Ok(count))
    }

    fn filled(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn consume(&mut self, count: usize) {
        assert!(count <= self.filled().len(), "so many bytes are not there");
        self.start += count;
        self.position += count as u64;
    }
}

impl Write for File {
    fn poll_flush(&mut self, cx: &mut Context<'_>, leaf: &mut Leaf) -> Poll<io::Result<()>> {
        ready!(leaf.begin(cx))?;
        self.poll_flush_inner(cx, leaf)
    }

    fn start_write(&mut self, leaf: &Leaf, bufs: &[IoSlice<'_>], max: usize) -> usize {
        assert!(
            self.write.is_none(),
            "a write begins before the one before has ended"
        );
        let len = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(max);
        if len == 0 {
            return 0;
        }
        let mut memory = lend();
        memory.reserve(len);
        for buf in bufs {
            let left = len - memory.len();
            memory.extend_from_slice(&buf[..left.min(buf.len())]);
        }
        self.start_owned(leaf, memory);
        len
    }

    /// Files have no peer: it is flushed.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>, leaf: &mut Leaf) -> Poll<io::Result<()>> {
        self.poll_flush(cx, leaf)
    }
}

impl File {
    /// Begins to write all of `memory`, which is not empty.
    pub(super) fn start_owned(&mut self, leaf: &Leaf, memory: Vec<u8>) {
        // What was read ahead may be what is written now.
        self.forget_buffer();
        self.is_written.set(true);
        let len = memory.len() as u64;
        self.write_from = self.position;
        let offset = (!self.shared.is_append).then_some(self.position);
        let op = self.shared.write_op(memory, offset);
        self.write = Some(Operation::start(op, WRITE, leaf.location()));
        self.position += len;
    }
}

impl File {
    /// Has `memory` written behind what is being written, for somebody who does not wait for that: a clean-up.
    pub(super) fn start_behind(&mut self, memory: Vec<u8>) {
        let leaf = Leaf::here();
        match self.write.take() {
            None => self.start_owned(&leaf, memory),
            Some(write) => {
                let mut file = self.share();
                file.write = Some(write);
                let task =
                    crate::task::TaskBuilder::new().name("what a dropped writer had gathered");
                drop(task.spawn(async move || {
                    let written = crate::scope::shield(async || {
                        let _ = file.flush().await;
                        file.write_all(&memory).await
                    });
                    // Who dropped it did not want to know.
                    let _ = written.await;
                }));
            }
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        take_back(std::mem::take(&mut self.buffer));
        if let Some(write) = self.write.take() {
            write.detach();
        }
    }
}

/// It is flushed, and if something was written to it and the block returned a value, synced.
impl ContextManager for File {
    type Error = io::Error;
    type IfDropped = HandOver;

    async fn exit(mut self, ending: Ending<'_>) -> io::Result<()> {
        self.flush().await?;
        if ending.is_value() && self.is_written.get() {
            self.sync_all().await?;
        }
        Ok(())
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.file.as_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("file", &self.shared.file)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
