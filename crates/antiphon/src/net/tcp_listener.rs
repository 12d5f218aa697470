//! Listening for TCP connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::Location;
use std::rc::Rc;

use super::acceptor::Acceptor;
use super::addresses::{Target, ToAddresses};
use super::stream::ip_address;
use super::tcp_stream::TcpStream;
use crate::scope::Cancelled;
use crate::sys::{Open, Socket, adopt, open};

/// A socket that TCP connections arrive at.
///
/// Dropping it closes it, and with it the connections that nobody accepted. See the [module](super) for an example.
#[derive(Debug)]
pub struct TcpListener {
    acceptor: Acceptor,
}

/// Connections that the system keeps for us until they are accepted. It takes its own limit if that is lower.
const BACKLOG: u16 = 1024;

impl TcpListener {
    /// Listens at the first of the addresses that allows it. Port 0 lets the system choose one.
    ///
    /// The address may have been in use a moment ago (`SO_REUSEADDR`). For other options, make the socket by other means and
    /// take it in with [`from_std`](Self::from_std).
    ///
    /// # Errors
    /// - [`AddrInUse`](io::ErrorKind::AddrInUse) if somebody else listens there;
    /// - [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if this machine has no such address;
    /// - [`PermissionDenied`](io::ErrorKind::PermissionDenied), on most systems, for ports below 1024;
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput) if `address` names nothing, and what the lookup of a name says;
    /// - a cancel, of which [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// # Cancellation
    /// **Did not happen.** A name lookup goes on in its thread, and its answer is dropped.
    #[track_caller]
    pub fn bind<A: ToAddresses>(address: A) -> impl Future<Output = io::Result<Self>> {
        bind(address.to_target(), false, Location::caller())
    }

    /// Listens at an address that others of the same user may listen at, too, as long as all say so (`SO_REUSEPORT`): one listener for
    /// each [worker](mod@crate::workers). The system shares new connections out among them.
    ///
    /// A connection that waits in the queue of a listener is lost with it: so it is not for taking over from another program.
    ///
    /// # Errors
    /// Those of [`bind`](Self::bind). In virtual time the second one is [`AddrInUse`](io::ErrorKind::AddrInUse): there is one worker.
    ///
    /// # Cancellation
    /// As [`bind`](Self::bind).
    ///
    /// # Examples
    /// ```
    /// use antiphon::net::TcpListener;
    /// use antiphon::{Runtime, spawn_on, workers};
    /// use std::io;
    ///
    /// let mut runtime = Runtime::builder().workers(2).build()?;
    /// runtime.run(async || {
    ///     // The first one has the system choose a port.
    ///     let first = TcpListener::bind_shared("127.0.0.1:0").await?;
    ///     let address = first.local_addr()?;
    ///     let second = spawn_on(1, async move || {
    ///         let listener = TcpListener::bind_shared(address).await?;
    ///         // … accepts connections on worker 1.
    ///         listener.local_addr()
    ///     });
    ///     assert_eq!(second.await??, address);
    ///     Ok::<(), io::Error>(())
    /// })?;
    /// # Ok::<(), io::Error>(())
    /// ```
    #[track_caller]
    pub fn bind_shared<A: ToAddresses>(address: A) -> impl Future<Output = io::Result<Self>> {
        bind(address.to_target(), true, Location::caller())
    }

    /// Takes in a socket that listens already.
    ///
    /// # Errors
    /// If it can't be made non-blocking.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        adopt(listener.into()).map(|socket| Self::of_socket(Rc::new(socket)))
    }

    /// Returns the socket in blocking mode. Connections that had arrived and that nobody accepted are closed.
    ///
    /// # Errors
    /// If the descriptor can't be duplicated, because too many are open.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        self.acceptor.socket.duplicate().map(Into::into)
    }

    /// Waits for the next connection. Returns it, and the peer's address.
    ///
    /// Several tasks may wait; the connections come to whoever runs first. Between two calls up to 64 connections are
    /// accepted ahead; more wait in the system's queue.
    ///
    /// # Errors
    /// If there are no descriptors or no memory left (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`). The listener is in order;
    /// the connection waits, and the next call waits a tenth of a second before it asks for it again. So a loop that
    /// reports the error and goes on neither spins nor fails silently. A cancel, of which
    /// [`is_cancelled`](crate::is_cancelled) is true, ends such a loop. Any other error means that the socket does not listen.
    ///
    /// A connection that was broken off before it was accepted is not an error: it is left out.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** A connection that arrives later waits for the next call. One that is there when the cancelled
    /// call is polled is returned, and the next wait is the one that ends.
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> {
        let at = Location::caller();
        async move {
            loop {
                let stream = TcpStream::of_socket(self.acceptor.accept(at).await?, at);
                match stream.peer_addr() {
                    Ok(address) => return Ok((stream, address)),
                    // It was accepted, and had been broken off: there is no peer whose address could be told.
                    Err(_) => drop(stream),
                }
            }
        }
    }

    /// Closes the listener, and waits until it is closed. Connections that nobody accepted are closed with it.
    ///
    /// Dropping it does the same in the background: if somebody waited for a connection, the address is free a turn of the
    /// loop later. To bind it again at once, close it.
    ///
    /// # Errors
    /// [`Cancelled`] if the scope is cancelled: it has not waited then.
    ///
    /// # Cancellation
    /// **Finishes first.** It goes on in the background, also where it was called in a cancelled scope. To know in a clean-up
    /// that the address is free, await it in a [`shield`](crate::shield).
    #[track_caller]
    pub fn close(self) -> impl Future<Output = Result<(), Cancelled>> {
        self.acceptor.close(Location::caller())
    }

    /// Returns the connections as they arrive, one after the other, without end.
    ///
    /// # Examples
    /// ```no_run
    /// # use antiphon::net::TcpListener;
    /// # antiphon::run(async || {
    /// let listener = TcpListener::bind("127.0.0.1:8080").await?;
    /// let mut incoming = listener.incoming();
    /// loop {
    ///     match incoming.next().await {
    ///         Ok(stream) => println!("{:?} is here", stream.peer_addr()),
    ///         Err(error) if antiphon::is_cancelled(&error) => return Err(error),
    ///         Err(error) => eprintln!("not accepting for a moment: {error}"),
    ///     }
    /// }
    /// # #[allow(unreachable_code)]
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub const fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Returns the address that it listens at, with the port that the system chose.
    ///
    /// # Errors
    /// What `getsockname(2)` says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip_address(&self.acceptor.socket.local_address()?)
    }

    const fn of_socket(socket: Rc<Socket>) -> Self {
        Self {
            acceptor: Acceptor::new(socket, "tcp accept"),
        }
    }
}

/// The connections of a [`TcpListener`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Incoming<'_> {
    /// Waits for the next connection: see [`TcpListener::accept`].
    ///
    /// # Errors
    /// Those of [`TcpListener::accept`].
    ///
    /// # Cancellation
    /// **Did not happen**, as [`TcpListener::accept`].
    #[track_caller]
    #[allow(
        clippy::should_implement_trait,
        reason = "it is what `Iterator::next` is called where one waits for it"
    )]
    pub fn next(&mut self) -> impl Future<Output = io::Result<TcpStream>> {
        let accept = self.listener.accept();
        async move { accept.await.map(|(stream, _)| stream) }
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.acceptor.socket.as_fd()
    }
}

async fn bind(
    target: Target,
    is_shared: bool,
    at: &'static Location<'static>,
) -> io::Result<TcpListener> {
    let mut result = Err(io::ErrorKind::InvalidInput.into());
    for address in target.addresses(at).await? {
        let what = Open::TcpListener {
            address,
            backlog: BACKLOG,
            is_shared,
        };
        result = open(&what).map(TcpListener::of_socket);
        if result.is_ok() {
            break;
        }
    }
    result
}
