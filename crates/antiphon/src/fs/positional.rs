//! Reading and writing at a place: no cursor, so that many can do it at a time.

use std::cell::Cell;
use std::fs;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, IoSliceMut};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::File;
use crate::io::{Leaf, Partial};
use crate::sys::{Attempt, FileOp, Op, Operation, Output, lend, take_back, try_read_at};

/// A file as those who are about it share it.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) file: Arc<fs::File>,
    /// Cleared when the system can't tell of this file what is in memory.
    tries: Cell<bool>,
    /// Set if the system writes to the end, whatever it is told.
    pub(super) is_append: bool,
}

/// The most that is read from memory in one piece: others wait for that.
const AT_ONCE_MAX: usize = 256 * 1024;

/// Memory that is given away is cleared up to here, to read from memory at once.
const CLEARED_MAX: usize = 16 * 1024;

impl Shared {
    pub(super) fn new(file: fs::File, is_append: bool) -> Self {
        Self {
            file: Arc::new(file),
            tries: Cell::new(true),
            is_append,
        }
    }

    /// Polls for what can be read without waiting, as far as that goes. `Ready(None)` says that an operation is needed.
    pub(super) fn poll_read_now(
        &self,
        cx: &Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        offset: u64,
    ) -> Poll<io::Result<Option<usize>>> {
        if !self.tries.get() {
            return Poll::Ready(Ok(None));
        }
        match try_read_at(&self.file, bufs, offset) {
            Attempt::Done(Err(error)) if error.kind() == io::ErrorKind::Unsupported => {
                self.tries.set(false);
                Poll::Ready(Ok(None))
            }
            Attempt::Done(result) => Poll::Ready(result.map(Some)),
            Attempt::WouldWait => Poll::Ready(Ok(None)),
            Attempt::NotNow => {
                // The others first.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    pub(super) fn read_op(&self, buffer: Vec<u8>, max: usize, offset: u64) -> Op {
        Op::File(FileOp::Read {
            file: Arc::clone(&self.file),
            buffer,
            max,
            offset,
        })
    }

    pub(super) fn write_op(&self, buffer: Vec<u8>, offset: Option<u64>) -> Op {
        Op::File(FileOp::Write {
            file: Arc::clone(&self.file),
            buffer,
            from: 0,
            offset,
        })
    }

    fn sync_op(&self, is_data_only: bool) -> Op {
        Op::File(FileOp::Sync {
            file: Arc::clone(&self.file),
            is_data_only,
        })
    }

    fn refuse_append(&self) -> io::Result<()> {
        if self.is_append {
            let error = "the file was opened for appending: all that is written goes to its end";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        Ok(())
    }

    /// Reads into `bufs`, once.
    async fn read(
        &self,
        leaf: &mut Leaf,
        bufs: &mut [IoSliceMut<'_>],
        offset: u64,
    ) -> io::Result<usize> {
        let len: usize = bufs.iter().map(|buf| buf.len()).sum();
        poll_fn(|cx| leaf.begin(cx)).await?;
        if len == 0 {
            return Ok(0);
        }
        let now = poll_fn(|cx| {
            leaf.check()?;
            match &mut *bufs {
                [buf] if buf.len() > AT_ONCE_MAX => {
                    let mut first = [IoSliceMut::new(&mut buf[..AT_ONCE_MAX])];
                    self.poll_read_now(cx, &mut first, offset)
                }
                bufs => self.poll_read_now(cx, bufs, offset),
            }
        });
        if let Some(count) = now.await? {
            return Ok(count);
        }
        let max = len.min(AT_ONCE_MAX);
        let mut memory = lend();
        memory.reserve(max);
        let (result, memory) = own(leaf, self.read_op(memory, max, offset), READ).await;
        let count = result.map(|_| scatter(&memory, bufs));
        take_back(memory);
        count
    }
}

impl File {
    /// Reads bytes at `offset` into `buf`, and returns how many; `0` if the file ends there, or `buf` is empty.
    ///
    /// What is in memory is copied from there at once, and may be less than there is. The rest goes by way of the
    /// runtime's memory, up to 256 KiB at a time; [`read_owned_at`](Self::read_owned_at) goes without. The cursor stays where it is,
    /// and any number of these may be under way.
    ///
    /// # Errors
    /// What the system says; a cancel, of which [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** A read that is under way is waited for, its result wins, and the next wait is the one that ends.
    ///
    /// # Examples
    /// ```
    /// use antiphon::fs::File;
    ///
    /// antiphon::run(async || {
    ///     let file = File::open("Cargo.toml").await?;
    ///     let mut head = [0; 9];
    ///     file.read_exact_at(&mut head, 0).await?;
    ///     assert_eq!(&head, b"[package]");
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> impl Future<Output = io::Result<usize>> {
        let mut leaf = Leaf::here();
        async move {
            let mut bufs = [IoSliceMut::new(buf)];
            self.shared.read(&mut leaf, &mut bufs, offset).await
        }
    }

    /// Reads bytes at `offset` into several buffers, each filled before the next: see [`read_at`](Self::read_at).
    ///
    /// # Errors
    /// Those of [`read_at`](Self::read_at).
    ///
    /// # Cancellation
    /// **Did not happen**, as [`read_at`](Self::read_at).
    #[track_caller]
    pub fn read_vectored_at(
        &self,
        bufs: &mut [IoSliceMut<'_>],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> {
        let mut leaf = Leaf::here();
        async move { self.shared.read(&mut leaf, bufs, offset).await }
    }

    /// Reads as many bytes as `buf` is long, from `offset` on.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the file ends before; and those of [`read_at`](Self::read_at).
    ///
    /// # Cancellation
    /// **Partial.** The error says how many bytes are in `buf` ([`Partial`]). It can be called again.
    #[track_caller]
    pub fn read_exact_at(
        &self,
        buf: &mut [u8],
        offset: u64,
    ) -> impl Future<Output = io::Result<()>> {
        let mut leaf = Leaf::here();
        async move {
            let mut count = 0;
            while count < buf.len() {
                let mut rest = [IoSliceMut::new(&mut buf[count..])];
                let place = offset.saturating_add(count as u64);
                let read = async {
                    // It is one call: what one of its reads brought in spite of a cancel, the next does not.
                    leaf.check()?;
                    self.shared.read(&mut leaf, &mut rest, place).await
                };
                match read.await {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(more) => count += more,
                    Err(error) => return Err(Partial::wrap(error, count)),
                }
            }
            Ok(())
        }
    }

    /// Reads bytes at `offset` into memory that is given away and comes back with the result, so that nothing is copied.
    ///
    /// They are appended to `memory`, whose spare capacity bounds the read. The result is how many; `0` means that the file
    /// ends there, or that there is no spare capacity.
    ///
    /// # Errors
    /// Those of [`read_at`](Self::read_at).
    ///
    /// # Cancellation
    /// **Did not happen**: `memory` comes back as it was. A read that is under way is waited for, and its result wins. If the
    /// future is dropped, `memory` is gone with it.
    ///
    /// # Examples
    /// ```
    /// use antiphon::fs::File;
    ///
    /// antiphon::run(async || {
    ///     let file = File::open("Cargo.toml").await?;
    ///     let (count, memory) = file.read_owned_at(Vec::with_capacity(4096), 0).await;
    ///     assert_eq!(count?, memory.len());
    ///     assert!(memory.starts_with(b"[package]"));
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn read_owned_at(
        &self,
        mut memory: Vec<u8>,
        offset: u64,
    ) -> impl Future<Output = (io::Result<usize>, Vec<u8>)> {
        let mut leaf = Leaf::here();
        async move {
            if let Err(cancelled) = poll_fn(|cx| leaf.begin(cx)).await {
                return (Err(cancelled.into()), memory);
            }
            if memory.len() == memory.capacity() {
                return (Ok(0), memory);
            }
            let start = memory.len();
            if memory.capacity() - start <= CLEARED_MAX {
                // It is lent to a call that wants memory with something in it: to clear this little costs less than an operation.
                memory.resize(memory.capacity(), 0);
                let now = poll_fn(|cx| {
                    leaf.check()?;
                    let mut bufs = [IoSliceMut::new(&mut memory[start..])];
                    self.shared.poll_read_now(cx, &mut bufs, offset)
                })
                .await;
                let count = now.as_ref().map_or(0, |now| now.unwrap_or(0));
                memory.truncate(start + count);
                match now {
                    Ok(None) => {}
                    Ok(Some(count)) => return (Ok(count), memory),
                    Err(error) => return (Err(error), memory),
                }
            }
            own(
                &mut leaf,
                self.shared.read_op(memory, usize::MAX, offset),
                READ,
            )
            .await
        }
    }

    /// Writes bytes from `buf` at `offset`, and returns how many: less than all if the system took no more, `0` only if `buf` is
    /// empty. A file that is shorter is filled up with zeros.
    ///
    /// # Errors
    /// [`StorageFull`](io::ErrorKind::StorageFull) and what else the system says, if nothing was written;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the file was opened for appending; a cancel.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Finishes first.** If it has not begun, it did not happen. If the future is dropped, what has begun runs on.
    #[track_caller]
    pub fn write_at(&self, buf: &[u8], offset: u64) -> impl Future<Output = io::Result<usize>> {
        let leaf = Leaf::here();
        async move {
            let bufs = [IoSlice::new(buf)];
            self.write_vectored_at_inner(&bufs, offset, leaf).await
        }
    }

    /// Writes bytes from several buffers at `offset`, one after the other: see [`write_at`](Self::write_at).
    ///
    /// # Errors
    /// Those of [`write_at`](Self::write_at).
    ///
    /// # Cancellation
    /// **Finishes first**, as [`write_at`](Self::write_at).
    #[track_caller]
    pub fn write_vectored_at(
        &self,
        bufs: &[IoSlice<'_>],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> {
        self.write_vectored_at_inner(bufs, offset, Leaf::here())
    }

    async fn write_vectored_at_inner(
        &self,
        bufs: &[IoSlice<'_>],
        offset: u64,
        mut leaf: Leaf,
    ) -> io::Result<usize> {
        poll_fn(|cx| leaf.begin(cx)).await?;
        self.shared.refuse_append()?;
        let mut memory = lend();
        memory.reserve(bufs.iter().map(|buf| buf.len()).sum());
        for buf in bufs {
            memory.extend_from_slice(buf);
        }
        let (result, memory) = self.write(&mut leaf, memory, offset).await;
        take_back(memory);
        match result {
            // The next call says why.
            Err((count, _)) if count > 0 => Ok(count),
            Err((_, error)) => Err(error),
            Ok(count) => Ok(count),
        }
    }

    /// Writes all of `buf` at `offset`.
    ///
    /// # Errors
    /// Those of [`write_at`](Self::write_at). If some was written before, it is unknown how much, unless it was a cancel.
    ///
    /// # Cancellation
    /// **Partial.** If it has not begun, it did not happen; most often it is finished first. In between the error says how many
    /// bytes were written ([`Partial`]). If the future is dropped, what has begun runs on.
    #[track_caller]
    pub fn write_all_at(&self, buf: &[u8], offset: u64) -> impl Future<Output = io::Result<()>> {
        let mut leaf = Leaf::here();
        async move {
            poll_fn(|cx| leaf.begin(cx)).await?;
            self.shared.refuse_append()?;
            let mut memory = lend();
            memory.extend_from_slice(buf);
            let (result, memory) = self.write(&mut leaf, memory, offset).await;
            take_back(memory);
            whole(result, buf.len())
        }
    }

    /// Writes all of the memory at `offset`, which is given away and comes back with the result, so that nothing is copied.
    ///
    /// # Errors
    /// Those of [`write_all_at`](Self::write_all_at).
    ///
    /// # Cancellation
    /// **Partial**, as [`write_all_at`](Self::write_all_at). `memory` comes back. If the future is dropped, it is gone.
    #[track_caller]
    pub fn write_owned_at(
        &self,
        memory: Vec<u8>,
        offset: u64,
    ) -> impl Future<Output = (io::Result<()>, Vec<u8>)> {
        let mut leaf = Leaf::here();
        async move {
            if let Err(cancelled) = poll_fn(|cx| leaf.begin(cx)).await {
                return (Err(cancelled.into()), memory);
            }
            if let Err(error) = self.shared.refuse_append() {
                return (Err(error), memory);
            }
            let len = memory.len();
            let (result, memory) = self.write(&mut leaf, memory, offset).await;
            (whole(result, len), memory)
        }
    }

    /// Writes all of the memory: how many bytes were, and why no more, if they were not all.
    async fn write(
        &self,
        leaf: &mut Leaf,
        memory: Vec<u8>,
        offset: u64,
    ) -> (Result<usize, (usize, io::Error)>, Vec<u8>) {
        if memory.is_empty() {
            return (Ok(0), memory);
        }
        self.is_written.set(true);
        let mut op = Operation::start(
            self.shared.write_op(memory, Some(offset)),
            WRITE,
            leaf.location(),
        );
        let (result, op) = poll_fn(|cx| leaf.poll_own(cx, &mut op, WRITE)).await;
        written(result, op)
    }

    /// Waits until all that was written before is on the disk, with all that is known of the file.
    ///
    /// What was written by a call that was cancelled, and is still on its way, comes first: see [`flush`](crate::io::Write::flush).
    /// That the file can be found by its name after a crash is a matter of [its directory](super::sync_dir).
    ///
    /// # Errors
    /// What the system says. It tells of a failed write only once, perhaps to somebody else who has the file open, and forgets what
    /// could not be written. So a sync that failed can't be mended by another one. And a cancel.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Finishes first.** If it has not begun, it did not happen.
    #[track_caller]
    pub fn sync_all(&mut self) -> impl Future<Output = io::Result<()>> {
        self.sync(false, Leaf::here())
    }

    /// Does as [`sync_all`](Self::sync_all), except for what is not needed to read the data again, such as the time of the last
    /// change.
    ///
    /// # Errors
    /// Those of [`sync_all`](Self::sync_all).
    ///
    /// # Cancellation
    /// **Finishes first.** If it has not begun, it did not happen.
    #[track_caller]
    pub fn sync_data(&mut self) -> impl Future<Output = io::Result<()>> {
        self.sync(true, Leaf::here())
    }

    async fn sync(&mut self, is_data_only: bool, mut leaf: Leaf) -> io::Result<()> {
        poll_fn(|cx| {
            ready!(leaf.begin(cx))?;
            self.poll_flush_inner(cx, &mut leaf)
        })
        .await?;
        leaf.check()?;
        let op = self.shared.sync_op(is_data_only);
        leaf.carry_out(op, "file sync").await.map(drop)
    }
}

pub(super) const READ: &str = "file read";
pub(super) const WRITE: &str = "file write";

/// Carries out an operation of a call that has begun, and returns its memory with what came of it.
async fn own(leaf: &mut Leaf, op: Op, kind: &'static str) -> (io::Result<usize>, Vec<u8>) {
    let mut operation = Operation::start(op, kind, leaf.location());
    let (result, op) = poll_fn(|cx| leaf.poll_own(cx, &mut operation, kind)).await;
    (result.map(|output| count(&output)), memory(op).0)
}

/// What came of a write: how many bytes were written, and why no more. And its memory.
pub(super) fn written(
    result: io::Result<Output>,
    op: Option<Op>,
) -> (Result<usize, (usize, io::Error)>, Vec<u8>) {
    let (memory, from) = memory(op);
    let result = match result.map(|output| count(&output)) {
        Ok(0) => Err((from, io::ErrorKind::WriteZero.into())),
        Ok(count) => Ok(from + count),
        Err(error) => Err((from, error)),
    };
    (result, memory)
}

fn whole(result: Result<usize, (usize, io::Error)>, len: usize) -> io::Result<()> {
    match result {
        Ok(count) if count < len => Err(io::ErrorKind::WriteZero.into()),
        Ok(_) => Ok(()),
        Err((count, error)) => Err(Partial::wrap(error, count)),
    }
}

fn count(output: &Output) -> usize {
    match output {
        Output::Count(count) => *count,
        _ => unreachable!("of a file there are counts"),
    }
}

/// The memory of an operation, and how much of it was written.
fn memory(op: Option<Op>) -> (Vec<u8>, usize) {
    match op {
        Some(Op::File(FileOp::Read { buffer, .. })) => (buffer, 0),
        Some(Op::File(FileOp::Write { buffer, from, .. })) => (buffer, from),
        _ => (Vec::new(), 0),
    }
}

fn scatter(mut bytes: &[u8], bufs: &mut [IoSliceMut<'_>]) -> usize {
    let mut count = 0;
    for buf in bufs {
        let (now, rest) = bytes.split_at(bytes.len().min(buf.len()));
        buf[..now.len()].copy_from_slice(now);
        count += now.len();
        bytes = rest;
    }
    count
}
