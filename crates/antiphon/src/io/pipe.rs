//! Pipes, with and without a name.

use std::future::poll_fn;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic::Location;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

use super::Leaf;
use super::endpoint::Endpoint;
use super::read_end::{ReadEnd, impl_read_end};
use super::write_end::{WriteEnd, impl_write_end};
use crate::time::sleep;

/// Makes a pipe: what is written at one end is read at the other.
///
/// # Errors
/// What `pipe(2)` says: too many descriptors are open.
///
/// # Examples
/// ```
/// use antiphon::io::{Read, Write, pipe};
///
/// antiphon::run(async || {
///     let (mut reader, mut writer) = pipe()?;
///     writer.write_all(b"antiphon").await?;
///     writer.shutdown().await?;
///     let mut all = Vec::new();
///     reader.read_to_end(&mut all).await?;
///     assert_eq!(all, b"antiphon");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = rustix::pipe::pipe()?;
    // Without `pipe2`, which not every system has.
    for end in [&reader, &writer] {
        fcntl_setfd(end, FdFlags::CLOEXEC)?;
    }
    Ok((PipeReader::from_fd(reader)?, PipeWriter::from_fd(writer)?))
}

/// The end of a pipe that is read, through [`Read`](super::Read).
///
/// It is at its end when every writer has closed; of a pipe with a name, others may come later, and the next read waits for
/// none of them. Dropping it closes it: who writes then is told [`BrokenPipe`](io::ErrorKind::BrokenPipe), or killed by
/// `SIGPIPE`.
#[derive(Debug)]
pub struct PipeReader {
    // Boxed, because readers are moved more often than made.
    end: Box<ReadEnd>,
}

/// The end of a pipe that is written, through [`Write`](super::Write).
///
/// [`shutdown`](super::Write::shutdown) closes it, and so does dropping it, which gives up what is still being written for a
/// write that was given up.
#[derive(Debug)]
pub struct PipeWriter {
    end: WriteEnd,
}

/// What the task tree shows.
const READ: &str = "pipe read";
const WRITE: &str = "pipe write";

impl PipeReader {
    /// Takes over the reading end of a pipe, or whatever is read like one, and makes it non-blocking.
    ///
    /// That is seen by everybody who shares the open file description, as a process does that inherited the descriptor. For
    /// the streams that this one has inherited there are [`stdin`](super::stdin) and its like.
    ///
    /// # Errors
    /// What the system says when it can't be made non-blocking.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let end = ReadEnd::new(Endpoint::own(fd)?, READ);
        Ok(Self { end: Box::new(end) })
    }

    /// Opens a pipe that has a name, to read from it. This waits for nobody; the first read waits for the first writer.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if `path` names something else than a pipe, and what `open(2)` says.
    ///
    /// # Examples
    /// ```no_run
    /// use antiphon::io::{PipeReader, Read};
    ///
    /// antiphon::run(async || {
    ///     // As made by mkfifo(1).
    ///     let mut orders = PipeReader::open("/run/kitchen/orders")?;
    ///     let mut order = Vec::new();
    ///     orders.read_until(b'\n', &mut order).await?;
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        let fd = open_pipe(path.as_ref(), OFlags::RDONLY)?;
        let end = ReadEnd::new(Endpoint::own(fd)?, READ).wait_first();
        Ok(Self { end: Box::new(end) })
    }

    /// Returns a descriptor of the pipe in blocking mode: for the standard stream of a process, or another thread.
    ///
    /// # Errors
    /// Gives the reader back with [`ResourceBusy`](io::ErrorKind::ResourceBusy) if bytes have arrived that were not read; and
    /// with the system's error if the descriptor can't be duplicated.
    pub fn into_fd(self) -> Result<OwnedFd, (io::Error, Self)> {
        self.end.to_blocking().map_err(|error| (error, self))
    }
}

impl PipeWriter {
    /// Takes over the writing end of a pipe, or whatever is written like one, and makes it non-blocking: see
    /// [`PipeReader::from_fd`].
    ///
    /// # Errors
    /// What the system says when it can't be made non-blocking.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let end = WriteEnd::new(Endpoint::own(fd)?, WRITE);
        Ok(Self { end })
    }

    /// Opens a pipe that has a name, to write to it, and waits until somebody has it open for reading.
    ///
    /// Nothing in the system tells when that is, but for a call that can't be given up; so it asks again and again, after a
    /// millisecond at first and every 50 at last.
    ///
    /// # Errors
    /// Those of [`PipeReader::open`]. A cancel, of which [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** No reader has noticed anything.
    #[track_caller]
    pub fn open<P: AsRef<Path>>(path: P) -> impl Future<Output = io::Result<Self>> {
        open_to_write(path, Location::caller())
    }

    /// Returns a descriptor of the pipe in blocking mode: for the standard stream of a process, or another thread.
    ///
    /// # Errors
    /// Gives the writer back with [`ResourceBusy`](io::ErrorKind::ResourceBusy) while a write that was given up is under way,
    /// with [`BrokenPipe`](io::ErrorKind::BrokenPipe) after a shutdown, and with the system's error if the descriptor can't be
    /// duplicated.
    pub fn into_fd(self) -> Result<OwnedFd, (io::Error, Self)> {
        self.end.to_blocking().map_err(|error| (error, self))
    }

    /// Returns the descriptor. `None` after a shutdown, which has closed it.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.end.descriptor()
    }
}

/// How long the wait for a reader pauses.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

async fn open_to_write(
    path: impl AsRef<Path>,
    at: &'static Location<'static>,
) -> io::Result<PipeWriter> {
    let mut leaf = Leaf::at(at);
    poll_fn(|cx| leaf.begin(cx)).await?;
    let mut pause = PAUSE_MIN;
    loop {
        match open_pipe(path.as_ref(), OFlags::WRONLY) {
            Ok(fd) => return PipeWriter::from_fd(fd),
            // Nobody reads.
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        sleep(pause).await?;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn open_pipe(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = open(path, flags, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::Fifo {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path names something else than a pipe",
        ));
    }
    Ok(fd)
}

impl_read_end!(PipeReader);
impl_write_end!(PipeWriter, true);
