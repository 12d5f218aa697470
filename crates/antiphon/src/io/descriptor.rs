//! Waiting for descriptors that are not sockets of ours.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::Location;
use std::rc::Rc;

use super::Leaf;
use crate::sys::{Interest, Op, Socket};

/// A descriptor to be waited for: a pipe, an eventfd, a socket of another library.
///
/// It only says when the descriptor is ready; reading and writing are the caller's, who has made it non-blocking. The
/// descriptor is closed with it.
///
/// # Examples
/// ```
/// use antiphon::io::Descriptor;
/// use std::io::{Read as _, Write as _};
///
/// antiphon::run(async || {
///     let (mut reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
///     reader.set_nonblocking(true)?;
///     let readiness = Descriptor::new(reader.try_clone()?.into());
///     writer.write_all(b"now")?;
///     readiness.readable().await?;
///     let mut bytes = [0; 8];
///     assert_eq!(reader.read(&mut bytes)?, 3);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Descriptor {
    socket: Rc<Socket>,
}

impl Descriptor {
    /// Takes `descriptor` over.
    pub fn new(descriptor: OwnedFd) -> Self {
        Self {
            socket: Rc::new(Socket::new(descriptor)),
        }
    }

    /// Waits until a read would not wait: there are bytes, the end, or an error to be told.
    ///
    /// # Errors
    /// What the system says when it can't wait for a descriptor of this kind; a regular file, for example. A cancel, of which
    /// [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// # Cancellation
    /// **Did not happen.** Nothing was read, so nothing is lost. The system is asked to wait no more, and has answered when
    /// this returns; if the descriptor was ready before that, this says so.
    ///
    /// # Panics
    /// When first polled, if no loop is running on this thread.
    #[track_caller]
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> + use<> {
        self.ready(Interest::Read, "readable", Location::caller())
    }

    /// Waits until a write would not wait: there is room, or an error to be told.
    ///
    /// # Errors
    /// As [`readable`](Self::readable).
    ///
    /// # Cancellation
    /// **Did not happen.**
    ///
    /// # Panics
    /// When first polled, if no loop is running on this thread.
    #[track_caller]
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> + use<> {
        self.ready(Interest::Write, "writable", Location::caller())
    }

    fn ready(
        &self,
        interest: Interest,
        kind: &'static str,
        at: &'static Location<'static>,
    ) -> impl Future<Output = io::Result<()>> + use<> {
        let socket = Rc::clone(&self.socket);
        async move {
            let op = Op::Poll { socket, interest };
            Leaf::at(at).carry_out(op, kind).await.map(drop)
        }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Descriptor")
            .field(&self.socket.as_fd())
            .finish()
    }
}
