//! Looking at a program from outside: who in it waits, for what, on which line, and since when.
//!
//! A program that wants to be looked at listens at a Unix socket, and whoever may ask is told its [`tree`]:
//!
//! ```console
//! $ antiphon-cli ps /run/user/1000/shop.socket
//! ID  PARENT  STATE    FOR    WAITS FOR                 NAME        SPAWNED AT
//! 1   -       waiting  1.2s   tcp accept src/main.rs:9  main        src/main.rs:7:5
//! 2   1       running  -      -                         inspector   src/main.rs:8:5
//! $ antiphon-cli tree /run/user/1000/shop.socket --json | jq
//! ```
//!
//! ```no_run
//! use antiphon::context::with;
//! use antiphon::{inspect, run, time};
//! use std::time::Duration;
//!
//! run(async || {
//!     with(inspect::open("/run/user/1000/shop.socket"), async |_inspector| {
//!         time::sleep(Duration::from_secs(3600)).await?; // the shop
//!         Ok::<(), std::io::Error>(())
//!     })
//!     .await
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Who may ask
//! The socket's owner and root. A connection is refused to others by the permissions of the socket, 0600: they are set after
//! the path was made (`bind`) and before anybody can connect to it (`listen`), so no moment is left at which they are wider, and the
//! mask of the process, which other threads use, is not touched. On Linux the peer is asked for its user as well, so that a socket
//! whose permissions somebody widened gives nothing away.
//!
//! # Without a socket
//! [`print_on`] prints the tree on standard error whenever the program is sent a signal: `kill -USR1`. It is asked for, because a signal
//! like SIGUSR1 ends a program that does not listen, and one that does belongs to the program.
//!
//! # A path that is taken
//! If somebody listens there, it is an error. A socket at which nobody listens was left by a program that has crashed: it is
//! replaced. Anything else than a socket is left alone. Programs that start at one path at the same time take turns, by a lock
//! ([`flock(2)`]) on its folder, so that none takes the socket of one that is about to listen for a left one.
//!
//! # The protocol
//! A client sends one line: `antiphon 1 tree`, `antiphon 1 ps` or `antiphon 1 json`; 1 is the version. The answer's first line
//! is `antiphon 1 ok`, and all that follows up to the end is the picture; or it is `antiphon 1 error:` and why. At most 16 clients are
//! answered at one time, and others wait. Each has five seconds for all of it, and the loop never waits for one.
//!
//! [`flock(2)`]: https://man7.org/linux/man-pages/man2/flock.2.html

use std::convert::Infallible;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::panic::Location;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::context::{ContextManager, Ending, LetGo};
use crate::group::group;
use crate::io::{Read, Write};
use crate::look::tree;
use crate::net::{UnixListener, UnixStream};
use crate::scope::{CancelScope, is_cancelled};
use crate::signal::{Kind, signal};
use crate::sync::Semaphore;
use crate::sys::peer_user;
use crate::task::{JoinHandle, TaskBuilder};
use crate::thread::unblock;
use crate::time;

/// So many clients are answered at one time.
const CLIENTS_MAX: usize = 16;

/// So long a client has to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A longer line is no request.
const REQUEST_BYTES_MAX: usize = 64;

/// How often the lock on the folder is tried, and the time between two tries.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The time until the next try, when there are no descriptors for a client.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Clients that the system keeps until they are accepted.
const BACKLOG: i32 = 16;

/// Answers those who look at this program, at a socket at `path`: see [`inspect`](self). It only ends with an error.
///
/// It is to be run beside what the program does: in a task, a group or a race. [`open`] is the same as a context manager. The
/// socket is removed when the future ends or is dropped.
///
/// # Errors
/// - [`AddrInUse`](io::ErrorKind::AddrInUse) if somebody listens there, or there is something else than a socket;
/// - [`WouldBlock`](io::ErrorKind::WouldBlock) if somebody has the folder locked, and keeps it so for seconds;
/// - [`NotFound`](io::ErrorKind::NotFound) and [`PermissionDenied`](io::ErrorKind::PermissionDenied) as for any file. The folder
///   must be readable;
/// - [`InvalidInput`](io::ErrorKind::InvalidInput) if the path is too long: Linux allows 107 bytes;
/// - a cancel, of which [`is_cancelled`] is true.
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Cancellation
/// **Finishes first**, and soon: the clients that are being answered are cut off, and the socket is removed.
///
/// # Examples
/// ```
/// use antiphon::io::{Read, Write};
/// use antiphon::net::UnixStream;
/// use antiphon::{inspect, run};
///
/// run(async || {
///     let path = std::env::temp_dir().join(format!("antiphon-inspect-doc-{}", std::process::id()));
///     let _inspector = inspect::open(&path).await?;
///
///     let mut stream = UnixStream::connect(&path).await?;
///     stream.write_all(b"antiphon 1 tree\n").await?;
///     let mut answer = Vec::new();
///     stream.read_to_end(&mut answer).await?;
///     assert!(String::from_utf8_lossy(&answer).starts_with("antiphon 1 ok\n1 `main`"));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn serve<P: AsRef<Path>>(path: P) -> io::Result<Infallible> {
    attend(listen(path.as_ref()).await?).await
}

/// Listens at `path`, and answers those who look at this program in a task of its own, as long as the value exists: see
/// [`inspect`](self).
///
/// # Errors
/// Those of [`serve`].
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Cancellation
/// **Did not happen.** Nobody listens then.
///
/// # Examples
/// See [`serve`].
#[track_caller]
pub fn open<P: AsRef<Path>>(path: P) -> impl Future<Output = io::Result<Inspector>> {
    let at = Location::caller();
    async move {
        let listening = listen(path.as_ref()).await?;
        let scope = CancelScope::new();
        let task = {
            let scope = scope.clone();
            TaskBuilder::new()
                .name("inspector")
                .spawn_at(at, async move || {
                    let served = scope.run(async || attend(listening).await).await;
                    served.unless_cancelled().map(drop)
                })
        };
        Ok(Inspector {
            scope,
            task: Some(task),
        })
    }
}

/// Prints the [`tree`] of this loop on standard error at each signal of this kind. It only ends with an error.
///
/// It is to be run beside what the program does. A thread writes, so a standard error that nobody reads does not hold the loop;
/// signals that come meanwhile count as one.
///
/// # Errors
/// Those of [`signal`](crate::signal::signal()). A cancel, of which [`is_cancelled`] is true. That standard error can't be written is none.
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Cancellation
/// **Finishes first**: a tree that is being printed is printed. From then on the signal does what it did before; for SIGUSR1,
/// it ends the program.
///
/// # Examples
/// ```
/// use antiphon::signal::Kind;
/// use antiphon::{inspect, run, spawn, yield_now};
/// # use rustix::process::{Signal, getpid, kill_process};
///
/// run(async || {
///     let printer = spawn(async || inspect::print_on(Kind::USER1).await);
///     yield_now().await?; // it listens
/// #   kill_process(getpid(), Signal::USR1)?;
///     // … kill -USR1
///     printer.cancel("no more");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn print_on(kind: Kind) -> io::Result<Infallible> {
    let signals = signal(kind)?;
    loop {
        signals.recv().await?;
        let tree = tree().to_string();
        // If nobody can read it, nobody has to.
        let _ = unblock(move || io::Write::write_all(&mut io::stderr(), tree.as_bytes())).await;
    }
}

/// What [`open`] makes: while it exists, the program can be looked at.
///
/// At the end of its block the socket is removed, and that is waited for. Dropped, it is removed a moment later.
pub struct Inspector {
    scope: CancelScope,
    task: Option<JoinHandle<io::Result<()>>>,
}

impl ContextManager for Inspector {
    type Error = io::Error;
    type IfDropped = LetGo;

    async fn exit(mut self, _: Ending<'_>) -> io::Result<()> {
        self.end();
        match self.task.take() {
            Some(task) => task.await.map_err(|error| match error.as_cancelled() {
                Some(cancelled) => cancelled.clone().into(),
                None => io::Error::other(error.to_string()),
            })?,
            None => Ok(()),
        }
    }
}

impl Inspector {
    fn end(&self) {
        self.scope.cancel("nobody is to look any more");
    }
}

impl Drop for Inspector {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspector").finish_non_exhaustive()
    }
}

struct Listening {
    /// It removes its path.
    listener: UnixListener,
    /// The user who owns the socket.
    owner: u32,
}

async fn listen(path: &Path) -> io::Result<Listening> {
    // From here to the end nothing waits, so the lock is held for a moment.
    let lock = lock_folder(path).await?;
    let listener = UnixListener::from_std(bind(path)?)?.with_path_removed()?;
    let owner = fs::symlink_metadata(path)?.uid();
    drop(lock);
    Ok(Listening { listener, owner })
}

/// Locks the folder of `path` until what is returned is dropped.
async fn lock_folder(path: &Path) -> io::Result<File> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new(".")))?;
    for _ in 0..LOCK_TRIES {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(folder),
            Err(rustix::io::Errno::WOULDBLOCK) => time::sleep(LOCK_PAUSE).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::WouldBlock,
        "the socket's folder is locked by another program",
    ))
}

/// Listens at `path`, for its owner only. The folder is locked.
fn bind(path: &Path) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left(path, &address)? => {
            fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    // Nobody can connect before `listen`.
    let listening = fs::set_permissions(path, Permissions::from_mode(0o600))
        .and_then(|()| socket.listen(BACKLOG));
    if let Err(error) = listening {
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(OwnedFd::from(socket).into())
}

/// Returns `true` if there is a socket at which nobody listens.
fn is_left(path: &Path, address: &SockAddr) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // If there are clients enough in the queue, it says so instead of waiting.
    socket.set_nonblocking(true)?;
    let refused = socket.connect(address).err().map(|error| error.kind());
    Ok(refused == Some(io::ErrorKind::ConnectionRefused))
}

/// Answers clients until it is cancelled.
async fn attend(listening: Listening) -> io::Result<Infallible> {
    let Listening { listener, owner } = &listening;
    let places = Semaphore::new(CLIENTS_MAX);
    let served = group(async |clients| {
        loop {
            let place = places.acquire(1).await.map_err(io::Error::other)?;
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) if is_cancelled(&error) => return Err(error),
                Err(_) => {
                    time::sleep(ACCEPT_PAUSE).await?;
                    continue;
                }
            };
            let client = clients.child().name("inspector's client");
            // What becomes of a client is nobody's affair but its own.
            drop(client.spawn(async move || {
                let _place = place;
                let answered = time::move_on_after(PATIENCE, async || answer(stream, *owner).await);
                let _ = answered.await;
                Ok(())
            }));
        }
    });
    Ok(served.await?)
}

/// Answers one client.
async fn answer(mut stream: UnixStream, owner: u32) -> io::Result<()> {
    let is_welcome = peer_user(&stream).is_none_or(|user| user == owner || user == 0);
    let answer = if is_welcome {
        let mut line = [0; REQUEST_BYTES_MAX];
        picture(read_line(&mut stream, &mut line).await?)
    } else {
        Err("this program is another user's")
    };
    let answer = match answer {
        Ok(picture) => format!("antiphon 1 ok\n{picture}"),
        Err(why) => format!("antiphon 1 error: {why}\n"),
    };
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// Reads a line, or as much as goes into `line`. Its end is not returned.
async fn read_line<'a>(stream: &mut UnixStream, line: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let mut len = 0;
    loop {
        let count = stream.read(&mut line[len..]).await?;
        let end = line[len..len + count]
            .iter()
            .position(|byte| *byte == b'\n');
        len += count;
        if let Some(end) = end {
            return Ok(&line[..len - count + end]);
        }
        // Its end, or no room for more.
        if count == 0 {
            return Ok(&line[..len]);
        }
    }
}

fn picture(request: &[u8]) -> Result<String, &'static str> {
    match request.trim_ascii_end() {
        b"antiphon 1 tree" => Ok(tree().to_string()),
        b"antiphon 1 ps" => Ok(tree().to_table()),
        b"antiphon 1 json" => Ok(tree().to_json() + "\n"),
        _ => Err("a request is `antiphon 1 tree`, `antiphon 1 ps` or `antiphon 1 json`"),
    }
}
