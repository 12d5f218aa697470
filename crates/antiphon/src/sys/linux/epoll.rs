//! Readiness from epoll(7).
//!
//! A descriptor is registered once, for both directions and edge-triggered, and stays so until it is closed: then an
//! operation that must wait costs no system call of its own.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::bell::Bell;
use crate::worker::Kick;

pub(in crate::sys) struct Poller {
    epoll: OwnedFd,
    bell: Arc<Bell>,
    events: Vec<epoll::Event>,
    /// Cleared when the kernel (before 5.11) or a filter turns out not to know `epoll_pwait2`.
    is_exact: bool,
}

/// What became of a descriptor since the last time.
#[derive(Clone, Copy, Debug)]
pub(in crate::sys) struct Event {
    /// As it was given to [`Poller::add`].
    pub(in crate::sys) key: u64,
    pub(in crate::sys) is_readable: bool,
    pub(in crate::sys) is_writable: bool,
    /// An error, an end, or urgent data: something of which there is no second event, and which is in the way of the bytes.
    pub(in crate::sys) is_special: bool,
}

/// The bell's key, which is no descriptor's.
const BELL: u64 = u64::MAX;

/// The longest sleep in one call. `epoll_pwait` counts milliseconds, and has 31 bits for them: 24 days.
const SLEEP_MAX: Duration = Duration::from_secs(86_400);

/// Events that are fetched by one call.
const EVENTS_MAX: usize = 256;

impl Poller {
    pub(in crate::sys) const NAME: &'static str = "epoll";

    pub(in crate::sys) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = Bell::new()?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &bell, epoll::EventData::new_u64(BELL), flags)?;
        Ok(Self {
            epoll,
            bell: Arc::new(bell),
            events: Vec::with_capacity(EVENTS_MAX),
            is_exact: true,
        })
    }

    pub(in crate::sys) fn kick(&self) -> Arc<dyn Kick> {
        self.bell.clone()
    }

    /// Registers `fd`. What it is ready for already is its first event.
    pub(in crate::sys) fn add(&mut self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        let flags = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::PRI
            | epoll::EventFlags::ET;
        let data = epoll::EventData::new_u64(key);
        match epoll::add(&self.epoll, fd, data, flags) {
            // The number was closed here while a duplicate kept the file open, and now leads to that file again.
            Err(Errno::EXIST) => Ok(epoll::modify(&self.epoll, fd, data, flags)?),
            result => Ok(result?),
        }
    }

    /// Is told that nothing waits for `fd` at the moment. Returns whether it is registered still.
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        reason = "as other systems need it"
    )]
    pub(in crate::sys) const fn idle(&mut self, _: BorrowedFd<'_>) -> bool {
        true
    }

    /// Sleeps until a descriptor is ready, or the bell rings, or `until`, and puts what is ready into `ready`.
    /// Returns `true` if the bell rang.
    pub(in crate::sys) fn wait(
        &mut self,
        until: Option<Instant>,
        ready: &mut Vec<Event>,
    ) -> io::Result<bool> {
        self.fetch(until)?;
        let mut is_rung = false;
        for event in self.events.drain(..) {
            if event.data.u64() == BELL {
                is_rung = true;
            } else {
                ready.push(event.into());
            }
        }
        Ok(is_rung)
    }

    /// Fetches events. Neither a signal nor a kernel that can't sleep for so long ends the sleep.
    fn fetch(&mut self, until: Option<Instant>) -> io::Result<()> {
        loop {
            let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
            match self.fetch_once(timeout) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(())
                    if !self.events.is_empty()
                        || timeout.is_some_and(|timeout| timeout <= SLEEP_MAX) =>
                {
                    return Ok(());
                }
                Ok(()) => {}
            }
        }
    }

    fn fetch_once(&mut self, timeout: Option<Duration>) -> rustix::io::Result<()> {
        let timeout = timeout.map(|timeout| timespec(timeout.min(SLEEP_MAX)));
        if self.is_exact && timeout.is_some_and(|timeout| timeout.tv_nsec != 0) {
            match epoll_pwait2(self.epoll.as_fd(), &mut self.events, timeout.as_ref()) {
                Err(Errno::NOSYS | Errno::PERM) => self.is_exact = false,
                result => return result,
            }
        }
        // Rounds up to milliseconds: late, never early.
        epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            timeout.as_ref(),
        )
        .map(drop)
    }
}

impl From<epoll::Event> for Event {
    fn from(event: epoll::Event) -> Self {
        use epoll::EventFlags as Flags;
        let flags = event.flags;
        let special = Flags::PRI | Flags::RDHUP | Flags::HUP | Flags::ERR;
        Self {
            key: event.data.u64(),
            is_readable: flags.intersects(Flags::IN | special),
            is_writable: flags.intersects(Flags::OUT | Flags::HUP | Flags::ERR),
            is_special: flags.intersects(special),
        }
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller")
            .field("epoll", &self.epoll)
            .field("is_exact", &self.is_exact)
            .finish_non_exhaustive()
    }
}

fn timespec(timeout: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    }
}

/// `epoll_pwait2(2)`, Linux 5.11, which counts nanoseconds. Called by number, because rustix calls it for long timeouts
/// only, and libc in newer versions only. Fills the spare capacity of `events`.
fn epoll_pwait2(
    epoll: BorrowedFd<'_>,
    events: &mut Vec<epoll::Event>,
    timeout: Option<&Timespec>,
) -> rustix::io::Result<()> {
    const { assert!(size_of::<epoll::Event>() == size_of::<libc::epoll_event>()) };
    let spare = events.spare_capacity_mut();
    // SAFETY: the kernel writes at most `spare.len()` events of the size that is asserted above to memory that is ours, and
    // reads a timespec that outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            spare.as_mut_ptr(),
            spare.len(),
            timeout.map_or(std::ptr::null(), std::ptr::from_ref),
            std::ptr::null::<libc::sigset_t>(),
            0usize,
        )
    };
    let Ok(count) = usize::try_from(result) else {
        return Err(
            Errno::from_io_error(&io::Error::last_os_error()).expect("a system call sets errno")
        );
    };
    // SAFETY: the kernel has written `count` events there, and said so.
    unsafe { events.set_len(events.len() + count) };
    Ok(())
}
