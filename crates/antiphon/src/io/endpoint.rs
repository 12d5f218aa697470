//! A descriptor that is read or written without waiting, whoever else may share it.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, Result};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::sys::{Attempt, Interest, Op, Room, Socket, try_call};

/// One end of a pipe, or something that is used like one.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Shared with the wait under way.
    socket: Rc<Socket>,
    access: Access,
}

/// How a call is kept from waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// The open file description is ours alone, and non-blocking.
    Own,
    /// It is shared with other processes, and stays as they have it. A call is made only when the system has just said that
    /// it would not wait, and a write is so short that there is room for it: `PIPE_BUF` bytes fit into a pipe that may be
    /// written at all.
    Shared { write_max: usize },
    /// It is shared, and a socket: those can be told with each call.
    SharedSocket,
    /// Nothing here waits for somebody else: a file, a null device.
    Always,
}

impl Endpoint {
    /// Takes in a descriptor whose description is the caller's alone. It is made non-blocking.
    ///
    /// # Errors
    /// What the system says to that.
    pub(super) fn own(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self::new(fd, Access::Own))
    }

    pub(super) fn new(fd: OwnedFd, access: Access) -> Self {
        let socket = Rc::new(Socket::new(fd));
        Self { socket, access }
    }

    /// Reads into `room`. 0 is the end, if there was room.
    pub(super) fn try_read(&self, room: Room<'_>) -> Attempt<usize> {
        let (fd, is_socket) = (&*self.socket, self.access == Access::SharedSocket);
        let flags = RecvFlags::DONTWAIT;
        match room {
            Room::Slice(bytes) => try_call(|| {
                self.look(PollFlags::IN)?;
                if is_socket {
                    Ok(recv(fd, &mut *bytes, flags)?.0)
                } else {
                    rustix::io::read(fd, &mut *bytes)
                }
            }),
            Room::Spare(memory) => try_call(|| {
                self.look(PollFlags::IN)?;
                if is_socket {
                    Ok(recv(fd, spare_capacity(memory), flags)?.0)
                } else {
                    rustix::io::read(fd, spare_capacity(memory))
                }
            }),
        }
    }

    /// Writes what is taken of `bufs`, one after the other.
    pub(super) fn try_write(&self, bufs: &[IoSlice<'_>]) -> Attempt<usize> {
        let first: &[u8] = bufs.first().map_or(&[], |buf| buf);
        try_call(|| {
            self.look(PollFlags::OUT)?;
            match self.access {
                Access::Shared { write_max } => {
                    rustix::io::write(&*self.socket, &first[..first.len().min(write_max)])
                }
                Access::SharedSocket => {
                    // A Rust program ignores `SIGPIPE` from the start, as the write to a pipe relies on as well.
                    send(&*self.socket, first, SendFlags::DONTWAIT)
                }
                Access::Own | Access::Always => match bufs {
                    [_] => rustix::io::write(&*self.socket, first),
                    bufs => rustix::io::writev(&*self.socket, bufs),
                },
            }
        })
    }

    /// The operation that tells when another attempt is worth while.
    pub(super) fn readiness(&self, interest: Interest) -> Op {
        Op::Poll {
            socket: Rc::clone(&self.socket),
            interest,
        }
    }

    /// Returns a descriptor of its own, in blocking mode.
    pub(super) fn to_blocking(&self) -> io::Result<OwnedFd> {
        let fd = self.as_fd().try_clone_to_owned()?;
        rustix::io::ioctl_fionbio(&fd, false)?;
        Ok(fd)
    }

    /// `EAGAIN` if a call would wait and can't be told not to.
    fn look(&self, flags: PollFlags) -> Result<()> {
        if !matches!(self.access, Access::Shared { .. }) {
            return Ok(());
        }
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // An error or a hang-up is readiness: the call tells of it.
        match poll(&mut [PollFd::new(&*self.socket, flags)], Some(&now))? {
            0 => Err(Errno::AGAIN),
            _ => Ok(()),
        }
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
