//! What ends a worker's sleep: an eventfd.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::write;

use crate::worker::Kick;

/// An eventfd that is never read: whoever waits takes each write as an event of its own. Its counter has room for one
/// write a nanosecond for five centuries.
#[derive(Debug)]
pub(super) struct Bell(OwnedFd);

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }
}

impl Kick for Bell {
    fn kick(&self) {
        // It can fail only by a full counter, and then there are events that were not looked at yet.
        let _ = write(&self.0, &1u64.to_ne_bytes());
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
