//! The standard streams, whatever they are.
//!
//! The open file description behind a standard stream is shared: with the shell, with whoever is at the other end of the
//! same `|`. Made non-blocking it would be so for all of them, and stay so after a kill. So it is left as it is:
//!
//! | it is | how it is used |
//! |---|---|
//! | a terminal, a pipe | opened once more by way of `/proc/self/fd`: that description is ours alone |
//! | one of these, and that is refused | only when the system says that it would not wait |
//! | a socket | each call says that it must not wait |
//! | a file, `/dev/null` | at once |

use std::fmt;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open};

use super::endpoint::{Access, Endpoint};
use super::read_end::{ReadEnd, impl_read_end};
use super::write_end::{WriteEnd, impl_write_end};

/// What a standard stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamKind {
    /// A terminal.
    Terminal,
    /// A pipe, with a name or without.
    Pipe,
    /// A socket.
    Socket,
    /// A regular file. It is read and written at once, however long the disk takes.
    File,
    /// Something else that never waits: `/dev/null`, another device.
    Device,
}

/// The standard input: see [`stdin`].
pub struct Stdin {
    end: ReadEnd,
    kind: StreamKind,
}

/// The standard output: see [`stdout`].
pub struct Stdout {
    end: WriteEnd,
    kind: StreamKind,
}

/// The standard error stream: see [`stderr`].
pub struct Stderr {
    end: WriteEnd,
    kind: StreamKind,
}

/// What the last [`Stdin`] had taken from the system and nobody has read.
static LEFT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// A terminal that says it can be written takes so much.
const TERMINAL_WRITE_MAX: usize = 256;
/// `PIPE_BUF`, of which some systems grant no more than POSIX asks for.
const PIPE_WRITE_MAX: usize = 512;

/// Finds out what the standard input is, and returns it to be read.
///
/// No thread reads in the background, so nothing keeps the program from ending. Nothing is changed at a terminal: it gives
/// lines if it is in the mode for lines, and its end (Ctrl-D) is not its last. What was taken from the system and not read
/// when it is dropped is there for the next one that is made. It is meant to be read in one place; of two, each gets a
/// part.
///
/// If the terminal or pipe belongs to another user, as after `su`, it can't be opened once more. Then a read is made when
/// the system has said that there is something; should another process have taken that in between, the read blocks the
/// thread until there is more.
///
/// # Errors
/// What the system says if the descriptor was closed, or can't be duplicated. One that was closed when the program began is
/// `/dev/null`: the standard library opens that in its place.
///
/// # Examples
/// ```no_run
/// use antiphon::io::{Read, stdin};
///
/// antiphon::run(async || {
///     let mut stdin = stdin()?;
///     let mut line = Vec::new();
///     while stdin.read_until(b'\n', &mut line).await? > 0 {
///         println!("{}", String::from_utf8_lossy(&line).trim_end());
///         line.clear();
///     }
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn stdin() -> io::Result<Stdin> {
    let (endpoint, kind) = find_out(io::stdin().as_fd(), OFlags::RDONLY)?;
    let left = std::mem::take(&mut *LEFT.lock().unwrap_or_else(PoisonError::into_inner));
    let end = ReadEnd::new(endpoint, "stdin").with_filled(left);
    Ok(Stdin { end, kind })
}

/// Finds out what the standard output is, and returns it to be written.
///
/// What is written goes to the system at once, without the buffer that `print!` has. A shutdown waits until all is written,
/// and leaves the stream open. If it can't be opened once more (see [`stdin`]), a terminal that is stopped in the wrong
/// moment (Ctrl-S) blocks the thread until it goes on.
///
/// # Errors
/// Those of [`stdin`].
///
/// # Examples
/// ```
/// use antiphon::io::{Write, stdout};
///
/// antiphon::run(async || stdout()?.write_all(b"and also with you\n").await)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn stdout() -> io::Result<Stdout> {
    let (endpoint, kind) = find_out(io::stdout().as_fd(), OFlags::WRONLY)?;
    let end = WriteEnd::new(endpoint, "stdout");
    Ok(Stdout { end, kind })
}

/// Finds out what the standard error stream is, and returns it to be written: see [`stdout`].
///
/// # Errors
/// Those of [`stdin`].
pub fn stderr() -> io::Result<Stderr> {
    let (endpoint, kind) = find_out(io::stderr().as_fd(), OFlags::WRONLY)?;
    let end = WriteEnd::new(endpoint, "stderr");
    Ok(Stderr { end, kind })
}

fn find_out(fd: BorrowedFd<'_>, mode: OFlags) -> io::Result<(Endpoint, StreamKind)> {
    let stat = fstat(fd)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => StreamKind::Pipe,
        FileType::Socket => StreamKind::Socket,
        FileType::CharacterDevice if fd.is_terminal() => StreamKind::Terminal,
        FileType::RegularFile => StreamKind::File,
        _ => StreamKind::Device,
    };
    let write_max = match kind {
        StreamKind::Terminal => TERMINAL_WRITE_MAX,
        StreamKind::Pipe => PIPE_WRITE_MAX,
        StreamKind::Socket => {
            return Ok((duplicate(fd, Access::SharedSocket)?, kind));
        }
        StreamKind::File | StreamKind::Device => {
            return Ok((duplicate(fd, Access::Always)?, kind));
        }
    };
    let endpoint = match open_again(fd, mode, &stat) {
        Some(fd) => Endpoint::own(fd)?,
        None => duplicate(fd, Access::Shared { write_max })?,
    };
    Ok((endpoint, kind))
}

fn duplicate(fd: BorrowedFd<'_>, access: Access) -> io::Result<Endpoint> {
    Ok(Endpoint::new(fd.try_clone_to_owned()?, access))
}

/// Opens what `fd` is open on once more, with a description of its own. `None` if that can't be done.
fn open_again(fd: BorrowedFd<'_>, mode: OFlags, stat: &Stat) -> Option<OwnedFd> {
    use std::os::fd::AsRawFd as _;

    // Where `/dev/fd` stands for this, it shares the description; so that is not asked.
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = mode | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let again = open(path, flags, Mode::empty()).ok()?;
    // The master of a pseudo-terminal, opened once more, would be that of another one.
    let is_same = |found: Stat| {
        (found.st_dev, found.st_ino, found.st_rdev) == (stat.st_dev, stat.st_ino, stat.st_rdev)
    };
    let is_master =
        rustix::fs::stat("/dev/ptmx").is_ok_and(|master| master.st_rdev == stat.st_rdev);
    (!is_master && fstat(&again).is_ok_and(is_same)).then_some(again)
}

impl Stdin {
    /// Returns what it is.
    pub const fn kind(&self) -> StreamKind {
        self.kind
    }
}

impl Stdout {
    /// Returns what it is.
    pub const fn kind(&self) -> StreamKind {
        self.kind
    }
}

impl Stderr {
    /// Returns what it is.
    pub const fn kind(&self) -> StreamKind {
        self.kind
    }
}

/// What was not read is kept for the next one.
impl Drop for Stdin {
    fn drop(&mut self) {
        let filled = self.end.take_filled();
        if !filled.is_empty() {
            let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
            left.extend_from_slice(&filled);
        }
    }
}

impl_read_end!(Stdin);
impl_write_end!(Stdout, false);
impl_write_end!(Stderr, false);

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stdin").field(&self.kind).finish()
    }
}

impl fmt::Debug for Stdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stdout").field(&self.kind).finish()
    }
}

impl fmt::Debug for Stderr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stderr").field(&self.kind).finish()
    }
}
