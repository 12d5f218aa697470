//! Listening for Unix streams.

use std::fs;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::SocketAddr;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::acceptor::Acceptor;
use super::stream::unix_address;
use super::unix_stream::UnixStream;
use crate::scope::Cancelled;
use crate::sys::{Open, Socket, adopt, open};

/// A socket that streams from this machine arrive at.
///
/// Its path stays when it is dropped, and the next one can't be bound there before it is removed; a listener
/// [`with_path_removed`](Self::with_path_removed) does that itself.
///
/// # Examples
/// ```
/// use antiphon::io::{Read, Write};
/// use antiphon::net::{UnixListener, UnixStream};
///
/// antiphon::run(async || {
///     let path = std::env::temp_dir().join(format!("antiphon-doc-{}", std::process::id()));
///     let listener = UnixListener::bind(&path)?.with_path_removed()?;
///     let mut stream = UnixStream::connect(&path).await?;
///     let (mut peer, _) = listener.accept().await?;
///     peer.write_all(b"gloria").await?;
///     drop(peer);
///     let mut word = Vec::new();
///     stream.read_to_end(&mut word).await?;
///     assert_eq!(word, b"gloria");
///     drop(listener);
///     assert!(!path.exists());
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixListener {
    acceptor: Acceptor,
    /// To be removed when the listener is dropped.
    path: Option<BoundPath>,
}

#[derive(Debug)]
enum BoundPath {
    /// A path, and what identifies the file that was there when it was bound.
    File {
        path: PathBuf,
        device_and_inode: (u64, u64),
        /// Set when somebody else has become its owner.
        is_kept: bool,
    },
    /// A simulated one, which its socket knows.
    Simulated(Rc<Socket>),
}

impl UnixListener {
    /// Listens at `path`, which is made.
    ///
    /// # Errors
    /// - [`AddrInUse`](io::ErrorKind::AddrInUse) if the path exists, whether somebody listens there or not;
    /// - [`NotFound`](io::ErrorKind::NotFound) and [`PermissionDenied`](io::ErrorKind::PermissionDenied) as for any file;
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput) if it is too long: Linux allows 107 bytes.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Listens at an address that may be abstract: see [`bind`](Self::bind).
    ///
    /// # Errors
    /// Those of [`bind`](Self::bind).
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        open(&Open::UnixListener(address.clone())).map(Self::of_socket)
    }

    /// Takes in a socket that listens already.
    ///
    /// # Errors
    /// If it can't be made non-blocking.
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        adopt(listener.into()).map(|socket| Self::of_socket(Rc::new(socket)))
    }

    /// Returns the socket in blocking mode. Connections that had arrived and that nobody accepted are closed. The path stays.
    ///
    /// # Errors
    /// If the descriptor can't be duplicated, because too many are open.
    pub fn into_std(mut self) -> io::Result<std::os::unix::net::UnixListener> {
        let listener = self.acceptor.socket.duplicate()?;
        if let Some(BoundPath::File { is_kept, .. }) = &mut self.path {
            *is_kept = true;
        }
        Ok(listener.into())
    }

    /// Has the path removed when the listener is dropped, if it still is the one that was bound: not if somebody else has
    /// bound it anew meanwhile.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the address has no path; and if the path can't be looked at.
    pub fn with_path_removed(mut self) -> io::Result<Self> {
        let address = self.local_addr()?;
        let path = address
            .as_pathname()
            .filter(|path| !path.as_os_str().is_empty());
        let path = path.ok_or(io::ErrorKind::InvalidInput)?;
        if self.acceptor.socket.is_simulated() {
            self.path = Some(BoundPath::Simulated(Rc::clone(&self.acceptor.socket)));
            return Ok(self);
        }
        // Absolute, because the working directory may be another one by then.
        let path = std::path::absolute(path)?;
        let device_and_inode = device_and_inode(&path)?;
        self.path = Some(BoundPath::File {
            path,
            device_and_inode,
            is_kept: false,
        });
        Ok(self)
    }

    /// Waits for the next connection. Returns it, and the peer's address, which is empty for most.
    ///
    /// Several tasks may wait; the connections come to whoever runs first. Between two calls up to 64 connections are
    /// accepted ahead; more wait in the system's queue.
    ///
    /// # Errors
    /// If there are no descriptors or no memory left, as for [`TcpListener::accept`](super::TcpListener::accept). A cancel, of
    /// which [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** A connection that arrives later waits for the next call. One that is there when the cancelled
    /// call is polled is returned, and the next wait is the one that ends.
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = io::Result<(UnixStream, SocketAddr)>> {
        let at = Location::caller();
        async move {
            let stream = UnixStream::of_socket(self.acceptor.accept(at).await?, at);
            let address = stream.peer_addr()?;
            Ok((stream, address))
        }
    }

    /// Closes the listener, and waits until it is closed. Connections that nobody accepted are closed with it.
    ///
    /// Dropping it does the same in the background: if somebody waited for a connection, it is closed a turn of the
    /// loop later.
    ///
    /// # Errors
    /// [`Cancelled`] if the scope is cancelled: it has not waited then.
    ///
    /// # Cancellation
    /// **Finishes first.** It goes on in the background, also where it was called in a cancelled scope. To know in a clean-up
    /// that the address is free, await it in a [`shield`](crate::shield).
    #[track_caller]
    pub fn close(self) -> impl Future<Output = Result<(), Cancelled>> {
        let at = Location::caller();
        async move {
            let Self { acceptor, path } = self;
            let result = acceptor.close(at).await;
            drop(path);
            result
        }
    }

    /// Returns the address that it listens at.
    ///
    /// # Errors
    /// What `getsockname(2)` says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        unix_address(self.acceptor.socket.local_address()?)
    }
}

impl UnixListener {
    const fn of_socket(socket: Rc<Socket>) -> Self {
        Self {
            acceptor: Acceptor::new(socket, "unix accept"),
            path: None,
        }
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.acceptor.socket.as_fd()
    }
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        match self {
            Self::File {
                path,
                device_and_inode: bound,
                is_kept: false,
            } if device_and_inode(path).is_ok_and(|found| found == *bound) => {
                // A path that can't be removed is left, as it would be after a crash.
                let _ = fs::remove_file(path);
            }
            Self::File { .. } => {}
            Self::Simulated(socket) => socket.remove_name(),
        }
    }
}

fn device_and_inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
