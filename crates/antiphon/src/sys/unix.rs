//! What is particular to the other Unix systems: readiness from kqueue and its kin, by way of the `polling` crate.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use polling::{Events, PollMode};
use rustix::io::{Errno, FdFlags, Result, fcntl_setfd, ioctl_fionbio};
use rustix::net::{SendFlags, SocketAddrUnix};

use super::Driver;
use crate::worker::Kick;

/// There is no driver that is better than readiness.
///
/// # Errors
/// Always.
pub(super) fn proactor() -> io::Result<(Box<dyn Driver>, String)> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "it is Linux's"))
}

/// Not every system has a flag in the place of `SIGPIPE`; Rust programs ignore that signal from the start.
pub(super) const SEND_FLAGS: SendFlags = SendFlags::empty();

/// Takes a connection as a non-blocking descriptor that is closed on `exec`.
pub(super) fn accept(listener: impl AsFd) -> Result<OwnedFd> {
    let fd = rustix::net::accept(listener)?;
    fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

/// There is no such call here.
pub(super) const fn read_at_once(
    _: impl AsFd + Copy,
    _: &mut [IoSliceMut<'_>],
    _: u64,
) -> Result<usize> {
    Err(Errno::NOSYS)
}

/// Whether a receive that leaves room says that there is nothing more to receive: not known of any socket here.
pub(super) const fn ends_when_empty(_: BorrowedFd<'_>) -> bool {
    false
}

/// The user who connected a Unix stream, by number: it is not asked for here.
pub(crate) fn peer_user(_: impl AsFd) -> Option<u32> {
    None
}

/// Encodes a Unix address that has no path, and so no name at all.
pub(super) fn encode_without_path(_: &UnixAddr) -> Result<SocketAddrUnix> {
    SocketAddrUnix::new("")
}

/// There are no abstract names here.
pub(super) const fn abstract_name(_: &UnixAddr) -> Option<&[u8]> {
    None
}

/// What looks like an abstract address is one without a name.
pub(super) fn decode_abstract(_: &[u8]) -> Option<UnixAddr> {
    UnixAddr::from_pathname("").ok()
}

/// Bytes that a driver hands out in memory of its own: none does here.
#[derive(Debug)]
pub(crate) enum Chunk {}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        match *self {}
    }
}

impl Chunk {
    /// Whether there is likely more to come at once.
    pub(crate) const fn is_full(&self) -> bool {
        match *self {}
    }
}

pub(super) struct Poller {
    bell: Arc<Bell>,
    events: Events,
}

/// What became of a descriptor since the last time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// As it was given to [`Poller::add`].
    pub(super) key: u64,
    pub(super) is_readable: bool,
    pub(super) is_writable: bool,
    /// An error, an end, or urgent data. Nobody asks, as [`ends_when_empty`] is never true here.
    pub(super) is_special: bool,
}

struct Bell {
    poller: polling::Poller,
    /// Set by a kick, and cleared by the wait that it ends.
    is_rung: AtomicBool,
}

impl Poller {
    pub(super) const NAME: &'static str = "polling";

    pub(super) fn new() -> io::Result<Self> {
        let poller = polling::Poller::new()?;
        if !poller.supports_edge() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this system's poller has no edge-triggered mode",
            ));
        }
        Ok(Self {
            bell: Arc::new(Bell {
                poller,
                is_rung: AtomicBool::new(false),
            }),
            events: Events::new(),
        })
    }

    pub(super) fn kick(&self) -> Arc<dyn Kick> {
        self.bell.clone()
    }

    /// Registers `fd`. What it is ready for already is its first event.
    pub(super) fn add(&mut self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        let key = usize::try_from(key).expect("pointers have 64 bits");
        let interest = polling::Event::all(key);
        // SAFETY: `fd` must be open until it is deleted. It is added when an operation is parked, which holds its socket,
        // and deleted by `idle` when the last one is taken out.
        unsafe {
            self.bell
                .poller
                .add_with_mode(fd.as_raw_fd(), interest, PollMode::Edge)
        }
    }

    /// Is told that nothing waits for `fd` at the moment. Returns whether it is registered still.
    pub(super) fn idle(&mut self, fd: BorrowedFd<'_>) -> bool {
        self.bell.poller.delete(fd).is_err()
    }

    /// Sleeps until a descriptor is ready, or the bell rings, or `until`, and puts what is ready into `ready`.
    /// Returns `true` if the bell rang.
    pub(super) fn wait(
        &mut self,
        until: Option<Instant>,
        ready: &mut Vec<Event>,
    ) -> io::Result<bool> {
        self.events.clear();
        loop {
            let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
            match self.bell.poller.wait(&mut self.events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => break,
            }
        }
        ready.extend(self.events.iter().map(|event| Event {
            key: event.key as u64,
            is_readable: event.readable,
            is_writable: event.writable,
            is_special: true,
        }));
        Ok(self.bell.is_rung.swap(false, Ordering::AcqRel))
    }
}

impl Kick for Bell {
    fn kick(&self) {
        self.is_rung.store(true, Ordering::Release);
        if let Err(error) = self.poller.notify() {
            panic!("a sleeping loop can't be woken: {error}");
        }
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller")
            .field("poller", &self.bell.poller)
            .finish_non_exhaustive()
    }
}
