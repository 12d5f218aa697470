//! Why the desk could not go on.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use antiphon::Cancelled;

/// The world around the desk failed. The desk itself is sound, and is closed before this is reported.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum DeskError {
    /// Standard input, or the terminal, can't be read.
    Input(io::Error),
    /// Standard output, or the terminal, can't be written: the disk is full, or the reader is gone.
    Output(io::Error),
    /// The system does not let us hear Ctrl-C.
    Interrupts(io::Error),
    /// The system refuses what an event loop needs.
    Loop(io::Error),
    /// The loop was told to stop.
    Stopped(Cancelled),
    /// Nobody can listen at the address.
    Listen { address: String, error: io::Error },
    /// There is no such folder, or it can't be read.
    Spool { folder: PathBuf, error: io::Error },
}

impl DeskError {
    /// Returns `true` if nobody reads standard output any more.
    pub(crate) fn is_reader_gone(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for DeskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(_) => f.write_str("can't read the events"),
            Self::Output(_) => f.write_str("can't write what happened"),
            Self::Interrupts(_) => f.write_str("can't listen for Ctrl-C"),
            Self::Loop(_) => f.write_str("can't start the event loop"),
            Self::Stopped(_) => f.write_str("was told to stop"),
            Self::Spool { folder, .. } => write!(f, "can't watch {}", folder.display()),
            Self::Listen { address, .. } => write!(f, "can't listen at {address}"),
        }
    }
}

impl Error for DeskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Input(error)
            | Self::Output(error)
            | Self::Interrupts(error)
            | Self::Loop(error)
            | Self::Spool { error, .. }
            | Self::Listen { error, .. } => Some(error),
            Self::Stopped(cancelled) => Some(cancelled),
        }
    }
}

impl From<Cancelled> for DeskError {
    fn from(cancelled: Cancelled) -> Self {
        Self::Stopped(cancelled)
    }
}

/// For `?` after a write, which is the common case; a failed read says so.
impl From<io::Error> for DeskError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
