//! What is done to files, as data: positional, so that one that is given up leaves no cursor in the wrong place.
//!
//! The ring does these by itself. A system that tells readiness says of every file that it is ready, and then has the thread wait
//! for the disk: there they are [done by the pool](super::readiness). In a simulation they are done on the spot.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::op::Interest;

/// An operation on a file, with a share of the file: its descriptor is closed after the last of them. It may go to another
/// thread.
///
/// One rule holds for all. The call's: a cancelled one has it ended and waits for that. One that had not begun did not happen; one
/// that had is finished, for no disk stops half way. Late success: the call returns it. If the call was dropped, what was read is
/// dropped, and what was begun to be written is written.
#[derive(Debug)]
pub(crate) enum FileOp {
    /// Reads what is at `offset` into `buffer`, after its length: up to its capacity, and `max` bytes at most. The result is the
    /// number of bytes, also appended to the length; 0 at the end of the file.
    Read {
        file: Arc<File>,
        buffer: Vec<u8>,
        max: usize,
        offset: u64,
    },
    /// Writes `buffer[from..]`. The result is how many bytes were taken by the last attempt; `from` says how many by those before.
    Write {
        file: Arc<File>,
        buffer: Vec<u8>,
        from: usize,
        /// Where `buffer[from]` goes. `None` is the end of a file that was opened for appending.
        offset: Option<u64>,
    },
    /// Waits until all that was written before is on the disk, with what is needed to find it again; unless `is_data_only`, with
    /// everything else that is known of the file. The result is 0.
    Sync { file: Arc<File>, is_data_only: bool },
}

impl FileOp {
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "a thread has the file with the operation")
    )]
    pub(super) const fn file(&self) -> &Arc<File> {
        match self {
            Self::Read { file, .. } | Self::Write { file, .. } | Self::Sync { file, .. } => file,
        }
    }

    pub(super) const fn interest(&self) -> Interest {
        match self {
            Self::Read { .. } => Interest::Read,
            Self::Write { .. } | Self::Sync { .. } => Interest::Write,
        }
    }

    /// Does it now, however long that takes.
    pub(super) fn perform(&mut self) -> io::Result<usize> {
        loop {
            match self.attempt() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn attempt(&mut self) -> io::Result<usize> {
        match self {
            Self::Read {
                file,
                buffer,
                max,
                offset,
            } => read(file, buffer, *max, *offset),
            Self::Write {
                file,
                buffer,
                from,
                offset: Some(offset),
            } => file.write_at(&buffer[*from..], *offset),
            Self::Write {
                file, buffer, from, ..
            } => (&**file).write(&buffer[*from..]),
            Self::Sync { file, is_data_only } => {
                if *is_data_only {
                    file.sync_data()?;
                } else {
                    file.sync_all()?;
                }
                Ok(0)
            }
        }
    }

    /// Takes note that `count` bytes were written. Returns `true` if some are left that another attempt could write.
    pub(super) fn advance(&mut self, count: usize) -> bool {
        let Self::Write {
            buffer,
            from,
            offset,
            ..
        } = self
        else {
            return false;
        };
        // Nothing written is no progress: it would go on for ever.
        if count == 0 || *from + count >= buffer.len() {
            return false;
        }
        *from += count;
        if let Some(offset) = offset {
            *offset += count as u64;
        }
        true
    }
}

fn read(file: &File, buffer: &mut Vec<u8>, max: usize, offset: u64) -> io::Result<usize> {
    let start = buffer.len();
    let spare = buffer.capacity() - start;
    if spare == 0 || max == 0 {
        return file.read_at(&mut [], offset);
    }
    if spare <= max {
        return Ok(rustix::io::pread(file, spare_capacity(buffer), offset)?);
    }
    buffer.resize(start + max, 0);
    let result = file.read_at(&mut buffer[start..], offset);
    buffer.truncate(start + result.as_ref().map_or(0, |count| *count));
    result
}

/// Refuses a descriptor that has no positions to read and write at: a pipe, a socket, a terminal. Returns whether what is written
/// goes to the end.
///
/// # Errors
/// [`NotSeekable`](io::ErrorKind::NotSeekable).
pub(crate) fn inspect(file: &File) -> io::Result<bool> {
    match rustix::fs::tell(file) {
        Err(Errno::SPIPE) => {
            return Err(io::Error::new(
                io::ErrorKind::NotSeekable,
                "it has no positions to read and write at: a pipe, a socket or a terminal",
            ));
        }
        result => result?,
    };
    Ok(rustix::fs::fcntl_getfl(file)?.contains(rustix::fs::OFlags::APPEND))
}
