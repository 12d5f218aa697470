//! The halves of a stream, so that it can be read and written at the same time.

use std::rc::Rc;

use super::read_side::ReadSide;
use super::stream::{Stream, impl_read, impl_write};
use super::write_side::WriteSide;
use crate::sys::Socket;

/// The reading half of a stream that is split for a while: see [`TcpStream::split`](super::TcpStream::split).
#[derive(Debug)]
pub struct ReadHalf<'a> {
    pub(super) side: &'a mut ReadSide,
}

/// The writing half of a stream that is split for a while: see [`TcpStream::split`](super::TcpStream::split).
#[derive(Debug)]
pub struct WriteHalf<'a> {
    pub(super) side: &'a mut WriteSide,
}

/// The reading half of a stream, to be moved into a task of its own: see
/// [`TcpStream::into_split`](super::TcpStream::into_split).
///
/// The socket is closed when both halves are dropped.
#[derive(Debug)]
pub struct OwnedReadHalf {
    pub(super) side: Box<ReadSide>,
    pub(super) socket: Rc<Socket>,
}

/// The writing half of a stream, to be moved into a task of its own: see
/// [`TcpStream::into_split`](super::TcpStream::into_split).
///
/// Dropped, it tells the peer that no more will come, and gives up what is still being sent for a write that was given up.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    pub(super) side: Box<WriteSide>,
    pub(super) socket: Rc<Socket>,
}

impl Stream {
    pub(super) fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (
            ReadHalf {
                side: &mut self.read,
            },
            WriteHalf {
                side: &mut self.write,
            },
        )
    }

    pub(super) fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let Self {
            socket,
            read,
            mut write,
        } = self;
        write.is_half = true;
        (
            OwnedReadHalf {
                side: read,
                socket: Rc::clone(&socket),
            },
            OwnedWriteHalf {
                side: write,
                socket,
            },
        )
    }

    /// Puts two halves together again; gives them back if they are not of one stream.
    pub(super) fn of_halves(
        read: OwnedReadHalf,
        write: OwnedWriteHalf,
    ) -> Result<Self, (OwnedReadHalf, OwnedWriteHalf)> {
        if !Rc::ptr_eq(&read.socket, &write.socket) {
            return Err((read, write));
        }
        let OwnedWriteHalf {
            side: mut write,
            socket,
        } = write;
        write.is_half = false;
        Ok(Self {
            socket,
            read: read.side,
            write,
        })
    }
}

impl_read!(ReadHalf<'_>, side);
impl_write!(WriteHalf<'_>, side);
impl_read!(OwnedReadHalf, side);
impl_write!(OwnedWriteHalf, side);
