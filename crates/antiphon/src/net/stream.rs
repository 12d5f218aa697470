//! What TCP and Unix streams have in common: two sides over one socket, and their halves.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::panic::Location;
use std::rc::Rc;

use super::read_side::ReadSide;
use super::write_side::WriteSide;
use crate::io::Leaf;
use crate::sys::{Address, Socket, adopt};

/// A connected stream socket, of any family.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) socket: Rc<Socket>,
    // Boxed, because streams are moved more often than made.
    pub(super) read: Box<ReadSide>,
    pub(super) write: Box<WriteSide>,
}

/// What the task tree shows of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kinds {
    pub(super) read: &'static str,
    pub(super) write: &'static str,
}

pub(super) const TCP: Kinds = Kinds {
    read: "tcp read",
    write: "tcp write",
};
pub(super) const UNIX: Kinds = Kinds {
    read: "unix read",
    write: "unix write",
};

impl Stream {
    /// Makes a stream of a connected socket. `at` stands for callers who say no line.
    pub(super) fn new(socket: Rc<Socket>, kinds: Kinds, at: &'static Location<'static>) -> Self {
        Self {
            read: Box::new(ReadSide::new(Rc::clone(&socket), kinds.read, Leaf::at(at))),
            write: Box::new(WriteSide::new(
                Rc::clone(&socket),
                kinds.write,
                Leaf::at(at),
            )),
            socket,
        }
    }

    /// Makes a stream of a descriptor, which it makes non-blocking.
    pub(super) fn of_fd(
        fd: OwnedFd,
        kinds: Kinds,
        at: &'static Location<'static>,
    ) -> io::Result<Self> {
        Ok(Self::new(Rc::new(adopt(fd)?), kinds, at))
    }

    /// Returns a descriptor of the socket, in blocking mode; the stream, if it still has bytes on their way.
    pub(super) fn into_fd(mut self) -> Result<OwnedFd, (io::Error, Self)> {
        if self.read.holds_bytes() || self.write.is_sending() {
            let error = io::Error::new(
                io::ErrorKind::ResourceBusy,
                "bytes are on their way through the stream",
            );
            return Err((error, self));
        }
        match self.socket.duplicate() {
            Ok(fd) => Ok(fd),
            Err(error) => Err((error, self)),
        }
    }
}

/// Returns the internet address in `address`, of a socket that has one.
pub(super) fn ip_address(address: &Address) -> io::Result<SocketAddr> {
    match address {
        Address::Ip(address) => Ok(*address),
        Address::Unix(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Returns the Unix address in `address`, of a socket that has one.
pub(super) fn unix_address(address: Address) -> io::Result<UnixAddr> {
    match address {
        Address::Unix(address) => Ok(address),
        Address::Ip(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Implements [`Read`](crate::io::Read), and reading into memory that is given away, by way of a [`ReadSide`].
macro_rules! impl_read {
    ($type:ty, $($side:ident).+) => {
        impl $crate::io::Read for $type {
            fn poll_fill(
                &mut self,
                cx: &mut std::task::Context<'_>,
                leaf: &mut $crate::io::Leaf,
                min: usize,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.$($side).+.poll_fill(cx, leaf, min)
            }

            fn poll_read(
                &mut self,
                cx: &mut std::task::Context<'_>,
                leaf: &mut $crate::io::Leaf,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.$($side).+.poll_read(cx, leaf, buf)
            }

            fn filled(&self) -> &[u8] {
                self.$($side).+.filled()
            }

            fn consume(&mut self, count: usize) {
                self.$($side).+.consume(count);
            }
        }

        impl $type {
            /// Reads bytes into memory that is given away and comes back with the result, so that nothing is copied.
            ///
            /// They are appended to `memory`, whose spare capacity bounds the read. The result is how many; `0` means
            /// the end of the stream, or that there is no spare capacity.
            ///
            /// # Errors
            /// Those of [`Read::read`](crate::io::Read::read).
            ///
            /// # Panics
            /// If no loop is running on this thread.
            ///
            /// # Cancellation
            /// **Did not happen**: `memory` comes back as it was. Bytes that arrive later wait in the stream's buffer for
            /// the next read. If the future is dropped, `memory` is gone with it.
            #[track_caller]
            pub fn read_owned(
                &mut self,
                mut memory: Vec<u8>,
            ) -> impl Future<Output = (std::io::Result<usize>, Vec<u8>)> {
                let mut leaf = $crate::io::Leaf::here();
                std::future::poll_fn(move |cx| {
                    let result =
                        std::task::ready!(self.$($side).+.poll_read_owned(cx, &mut leaf, &mut memory));
                    std::task::Poll::Ready((result, std::mem::take(&mut memory)))
                })
            }
        }
    };
}

/// Implements [`Write`](crate::io::Write), and writing memory that is given away, by way of a [`WriteSide`].
macro_rules! impl_write {
    ($type:ty, $($side:ident).+) => {
        impl $crate::io::Write for $type {
            fn poll_flush(
                &mut self,
                cx: &mut std::task::Context<'_>,
                leaf: &mut $crate::io::Leaf,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.$($side).+.poll_flush(cx, leaf)
            }

            fn start_write(
                &mut self,
                leaf: &$crate::io::Leaf,
                bufs: &[std::io::IoSlice<'_>],
                max: usize,
            ) -> usize {
                self.$($side).+.start_write(leaf, bufs, max)
            }

            fn poll_shutdown(
                &mut self,
                cx: &mut std::task::Context<'_>,
                leaf: &mut $crate::io::Leaf,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.$($side).+.poll_shutdown(cx, leaf)
            }
        }

        impl $type {
            /// Writes all of the memory, which is given away and comes back with the result, so that nothing is copied.
            ///
            /// The result is how many bytes that were.
            ///
            /// # Errors
            /// Those of [`Write::write`](crate::io::Write::write).
            ///
            /// # Panics
            /// If no loop is running on this thread.
            ///
            /// # Cancellation
            /// **Partial**, as [`Write::write_all`](crate::io::Write::write_all). Before its turn came, it did not happen,
            /// and `memory` comes back as it was; afterwards `memory` is needed in the background, and what comes back is
            /// empty. If the future is dropped, `memory` is gone with it.
            #[track_caller]
            pub fn write_owned(
                &mut self,
                mut memory: Vec<u8>,
            ) -> impl Future<Output = (std::io::Result<usize>, Vec<u8>)> {
                let mut leaf = $crate::io::Leaf::here();
                let mut began = None;
                std::future::poll_fn(move |cx| {
                    let result =
                        std::task::ready!(self.$($side).+.poll_write_owned(cx, &mut leaf, &mut memory, &mut began));
                    std::task::Poll::Ready((result, std::mem::take(&mut memory)))
                })
            }
        }
    };
}

pub(super) use {impl_read, impl_write};
