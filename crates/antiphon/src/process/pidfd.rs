//! Descriptors of processes: `pidfd_open(2)`.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Opens the descriptor of a child that was not reaped. `None` if that is refused: by an old kernel, a filter, or because
/// there is no room for another descriptor.
pub(super) fn open(pid: Pid) -> Option<OwnedFd> {
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

pub(super) fn send_signal(fd: BorrowedFd<'_>, signal: Signal) -> rustix::io::Result<()> {
    pidfd_send_signal(fd, signal)
}
