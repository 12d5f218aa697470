//! There are no descriptors of processes on this system.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

pub(super) const fn open(_: Pid) -> Option<OwnedFd> {
    None
}

pub(super) const fn send_signal(_: BorrowedFd<'_>, _: Signal) -> rustix::io::Result<()> {
    Err(Errno::NOSYS)
}
