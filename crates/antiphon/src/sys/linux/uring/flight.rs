//! One operation in flight: what the kernel is told of it, and what its answer means.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::rc::Rc;

use io_uring::types::{Fd, FsyncFlags};
use io_uring::{cqueue, opcode, squeue};
use rustix::net::SocketAddrAny;
use rustix::net::addr::SocketAddrStorage;

use super::pool::{self, Pool};
use crate::sys::address;
use crate::sys::file::FileOp;
use crate::sys::op::{Address, Interest, Op, Output, Token};
use crate::sys::socket::Socket;

/// An operation, and the memory that the kernel needs beside the operation's own.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) token: Token,
    pub(super) op: Op,
    /// One, if the operation names an address or is told one. A `Vec` and not a `Box`: to move a `Box` is to say that
    /// nothing points to what is in it, and the kernel does while the flight moves about in its table.
    message: Vec<Message>,
    pub(super) stage: Stage,
    /// Set when its end was asked for. From then on it is not submitted again.
    pub(super) is_cancelled: bool,
    /// Set by an entry that receives into the pool, and cleared by one that only waits for that.
    receives: bool,
}

/// Where the operation is.
///
/// ```text
///            pushed              EAGAIN                pushed            ready
///   Queued ─────────▶ Submitted ────────▶ QueuedPoll ─────────▶ Polling ───────▶ Queued
/// ```
/// A kernel that waits for the socket by itself, as all do that have multi-shot accept, does not say `EAGAIN`; but neither
/// does it promise that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Waits for room in the submission ring. The kernel knows nothing of it.
    Queued,
    Submitted,
    /// Waits for room in the submission ring, to wait for readiness.
    QueuedPoll,
    Polling,
}

/// The structures by which sendmsg(2) and recvmsg(2) are told where the bytes and the address are.
pub(super) struct Message {
    header: libc::msghdr,
    slice: libc::iovec,
    name: MaybeUninit<SocketAddrStorage>,
    name_len: u32,
}

/// What an answer means.
#[derive(Debug)]
pub(super) enum Answer {
    /// The operation is over.
    Over(io::Result<Output>),
    /// One result of several.
    One(Output),
    /// Nothing happened: it is to be submitted again.
    Again,
    /// Nothing happened: it is to be submitted again when the socket is ready.
    AgainWhenReady,
    /// The kernel does not receive into a pool.
    NotHere,
}

impl Flight {
    /// # Errors
    /// What is wrong with the operation's address, if it can't be encoded; [`Unsupported`](io::ErrorKind::Unsupported) if its
    /// socket is a simulated one.
    pub(super) fn message(op: &Op) -> io::Result<Vec<Message>> {
        if !matches!(op, Op::File(_)) {
            op.socket().require_kernel()?;
        }
        Ok(match op {
            Op::Connect { address, .. } | Op::SendTo { address, .. } => vec![Message::to(address)?],
            Op::RecvFrom { .. } => vec![Message::from_anyone()],
            _ => Vec::new(),
        })
    }

    /// `message` is what [`message`](Self::message) returned for `op`.
    pub(super) const fn new(token: Token, op: Op, message: Vec<Message>) -> Self {
        Self {
            token,
            op,
            message,
            stage: Stage::Queued,
            is_cancelled: false,
            receives: false,
        }
    }

    /// Describes the operation, or the poll that comes before it, to the kernel. The entry points to memory that the flight
    /// owns and that does not move with it.
    ///
    /// With `has_pool` the kernel may take the memory for a receive from there.
    pub(super) fn entry(&mut self, has_pool: bool) -> squeue::Entry {
        let fd = Fd(match &self.op {
            Op::File(op) => op.file().as_raw_fd(),
            op => op.socket().as_raw_fd(),
        });
        if matches!(self.stage, Stage::QueuedPoll | Stage::Polling) {
            return poll(fd, self.op.interest());
        }
        match &mut self.op {
            Op::Accept { .. } => opcode::AcceptMulti::new(fd)
                .flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)
                .build(),
            Op::Connect { .. } => {
                let message = &self.message[0];
                opcode::Connect::new(fd, message.name.as_ptr().cast(), message.name_len).build()
            }
            Op::Incoming { is_bulk: false, .. } if has_pool => {
                self.receives = true;
                opcode::RecvMulti::new(fd, pool::GROUP).build()
            }
            Op::Incoming { .. } => {
                self.receives = false;
                poll(fd, Interest::Read)
            }
            Op::Send { buffer, from, .. } => {
                let rest = &buffer[*from..];
                opcode::Send::new(fd, rest.as_ptr(), len(rest))
                    .flags(libc::MSG_NOSIGNAL)
                    .build()
            }
            Op::RecvFrom { buffer, peek, .. } => {
                let spare = buffer.spare_capacity_mut();
                let header = self.message[0].with(spare.as_mut_ptr().cast(), spare.len());
                opcode::RecvMsg::new(fd, header)
                    .flags(recv_flags(*peek).unsigned_abs())
                    .build()
            }
            Op::SendTo { buffer, .. } => {
                let header = self.message[0].with(buffer.as_mut_ptr(), buffer.len());
                opcode::SendMsg::new(fd, header)
                    .flags(libc::MSG_NOSIGNAL.unsigned_abs())
                    .build()
            }
            Op::Poll { interest, .. } => poll(fd, *interest),
            Op::File(op) => file(fd, op),
        }
    }

    /// Takes the kernel's answer in: a completion's result. Negative, it is an errno.
    ///
    /// # Safety
    /// The answer is the kernel's to this flight's submission, and is taken in once. `pool` is the one that the kernel has.
    pub(super) unsafe fn answer(
        &mut self,
        completion: &cqueue::Entry,
        pool: Option<&Rc<Pool>>,
    ) -> Answer {
        let result = completion.result();
        let buffer = cqueue::buffer_select(completion.flags())
            .zip(pool)
            .map(|(number, pool)| {
                // SAFETY: the kernel has named the buffer, and has written as many bytes to it as the result says; none, if it
                // is an errno.
                unsafe { pool.take(number, usize::try_from(result).unwrap_or(0)) }
            });
        let Ok(number) = u32::try_from(result) else {
            return self.failure(-result);
        };
        if self.stage == Stage::Polling {
            return Answer::Again;
        }
        let count = number as usize;
        if let Some(chunk) = buffer.filter(|_| count > 0) {
            return Answer::One(Output::Bytes(chunk));
        }
        match &mut self.op {
            Op::Accept { .. } => {
                // SAFETY: the kernel has opened this descriptor for us, and told nobody else.
                let fd = unsafe { OwnedFd::from_raw_fd(result) };
                Answer::One(Output::Accepted(Rc::new(Socket::new(fd))))
            }
            Op::RecvFrom {
                buffer, address, ..
            } => {
                // SAFETY: the kernel has written `count` bytes to the spare capacity, which it was told the length of.
                unsafe { buffer.set_len(buffer.len() + count) };
                // SAFETY: the kernel has filled the message in.
                *address = unsafe { self.message[0].sender() };
                Answer::Over(Ok(Output::Count(count)))
            }
            Op::File(FileOp::Read { buffer, .. }) => {
                // SAFETY: the kernel has written `count` bytes to the spare capacity, which it was told no more than the length of.
                unsafe { buffer.set_len(buffer.len() + count) };
                Answer::Over(Ok(Output::Count(count)))
            }
            Op::Send { .. } | Op::SendTo { .. } | Op::File(_) => {
                Answer::Over(Ok(Output::Count(count)))
            }
            Op::Connect { .. } | Op::Poll { .. } | Op::Incoming { .. } => {
                Answer::Over(Ok(Output::Count(0)))
            }
        }
    }

    /// `ECANCELED` is an answer like any other: it ends the operation, whether we asked for that or, as when a process is
    /// killed, the kernel had a reason of its own.
    fn failure(&self, errno: i32) -> Answer {
        match (errno, &self.op) {
            // A connection that failed while it was in the queue is not the listener's failure: accept(2).
            (libc::EINTR, _)
            | (
                libc::ECONNABORTED
                | libc::ENETDOWN
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH,
                Op::Accept { .. },
            ) => Answer::Again,
            // All buffers are in use. There are bytes, and whoever asks for them brings memory.
            (libc::ENOBUFS, Op::Incoming { .. }) if self.receives => {
                Answer::Over(Ok(Output::Count(0)))
            }
            // Multi-shot receives came with Linux 6.0.
            (libc::EINVAL, Op::Incoming { .. }) if self.receives => Answer::NotHere,
            // A Unix socket's connect says it too, if the listener's queue is full. Nothing tells when it is not any more.
            (libc::EAGAIN, op) if !matches!(op, Op::Connect { .. }) => Answer::AgainWhenReady,
            _ => Answer::Over(Err(io::Error::from_raw_os_error(errno))),
        }
    }
}

impl Message {
    fn to(address: &Address) -> rustix::io::Result<Self> {
        let address = address::encode(address)?;
        let mut message = Self::from_anyone();
        message.name_len = address.addr_len();
        // SAFETY: the encoded address has that many bytes, and no address has more than the storage.
        unsafe {
            ptr::copy_nonoverlapping(
                address.as_ptr().cast::<u8>(),
                message.name.as_mut_ptr().cast::<u8>(),
                address.addr_len() as usize,
            );
        }
        Ok(message)
    }

    fn from_anyone() -> Self {
        Self {
            // SAFETY: zero is a value of each field: integers, and pointers to nothing.
            header: unsafe { std::mem::zeroed() },
            slice: libc::iovec {
                iov_base: ptr::null_mut(),
                iov_len: 0,
            },
            name: MaybeUninit::uninit(),
            name_len: u32::try_from(size_of::<SocketAddrStorage>()).expect("it is 128"),
        }
    }

    /// Connects the structures with each other and with the bytes. They must not move from here on.
    fn with(&mut self, bytes: *mut u8, len: usize) -> *mut libc::msghdr {
        self.slice = libc::iovec {
            iov_base: bytes.cast(),
            iov_len: len,
        };
        self.header.msg_name = self.name.as_mut_ptr().cast();
        self.header.msg_namelen = self.name_len;
        self.header.msg_iov = &raw mut self.slice;
        self.header.msg_iovlen = 1;
        &raw mut self.header
    }

    /// Returns who sent the datagram. `None` if the sender has no name, or one of a family that we do not know.
    ///
    /// # Safety
    /// The kernel has completed a receive into this message.
    unsafe fn sender(&self) -> Option<Address> {
        let len = self.header.msg_namelen;
        let has_family = len as usize >= size_of::<libc::sa_family_t>();
        // SAFETY: the kernel has written `len` bytes of an address, as it says there.
        (has_family && len <= self.name_len)
            .then(|| unsafe { SocketAddrAny::new(self.name, len) })
            .and_then(address::decode)
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("name_len", &self.name_len)
            .finish_non_exhaustive()
    }
}

fn poll(fd: Fd, interest: Interest) -> squeue::Entry {
    let flags = match interest {
        Interest::Read => libc::POLLIN,
        Interest::Write => libc::POLLOUT,
    };
    opcode::PollAdd::new(fd, u32::from(flags.unsigned_abs())).build()
}

/// Describes what is done to a file. It points to the operation's buffer, and to none of its bytes that are in use otherwise.
fn file(fd: Fd, op: &mut FileOp) -> squeue::Entry {
    match op {
        FileOp::Read {
            buffer,
            max,
            offset,
            ..
        } => {
            let spare = buffer.spare_capacity_mut();
            let room = len(spare).min(u32::try_from(*max).unwrap_or(u32::MAX));
            opcode::Read::new(fd, spare.as_mut_ptr().cast(), room)
                .offset(*offset)
                .build()
        }
        FileOp::Write {
            buffer,
            from,
            offset,
            ..
        } => {
            let rest = &buffer[*from..];
            opcode::Write::new(fd, rest.as_ptr(), len(rest))
                // The largest is the file's own position, which is its end if it is appended to.
                .offset(offset.unwrap_or(u64::MAX))
                .build()
        }
        FileOp::Sync { is_data_only, .. } => {
            let flags = if *is_data_only {
                FsyncFlags::DATASYNC
            } else {
                FsyncFlags::empty()
            };
            opcode::Fsync::new(fd).flags(flags).build()
        }
    }
}

const fn recv_flags(peek: bool) -> i32 {
    if peek { libc::MSG_PEEK } else { 0 }
}

/// A longer buffer is used in part.
fn len<T>(bytes: &[T]) -> u32 {
    u32::try_from(bytes.len())
        .unwrap_or(u32::MAX)
        .min(i32::MAX as u32)
}
