//! The rings, and the one system call that serves them.

use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Instant;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, squeue};

use super::pool::Pool;
use super::setup::Setup;

pub(super) struct Ring {
    io: IoUring,
    pub(super) setup: Setup,
    /// The ring's number in the thread's table of rings: what the system call takes in place of the descriptor, without
    /// looking that up each time.
    registered: Option<u32>,
}

/// `IORING_REGISTER_RING_FDS` and its opposite: `linux/io_uring.h`.
const REGISTER_RING_FDS: libc::c_uint = 20;
const UNREGISTER_RING_FDS: libc::c_uint = 21;

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct Update {
    offset: u32,
    reserved: u32,
    data: u64,
}

impl Ring {
    /// # Errors
    /// See [`Setup::open`].
    pub(super) fn open() -> io::Result<Self> {
        let (io, setup) = Setup::open()?;
        let mut ring = Self {
            io,
            setup,
            registered: None,
        };
        let mut update = Update {
            offset: u32::MAX,
            reserved: 0,
            data: ring.number().into(),
        };
        // A thread has few places for this. Without one the descriptor does.
        if ring.register(REGISTER_RING_FDS, &mut update).is_ok() {
            ring.registered = Some(update.offset);
            ring.setup.is_ring_registered = true;
        }
        Ok(ring)
    }

    /// Makes memory that receives share, where the kernel has such a thing and completes receives only when it is asked to.
    pub(super) fn open_pool(&mut self) -> Option<Rc<Pool>> {
        let pool = self
            .setup
            .is_deferred()
            .then(|| Pool::new(&self.io.submitter()))?
            .ok();
        self.setup.has_pool = pool.is_some();
        pool
    }

    pub(super) fn is_full(&mut self) -> bool {
        self.io.submission().is_full()
    }

    /// Puts `entry` into the submission ring.
    ///
    /// # Panics
    /// If the ring is full.
    ///
    /// # Safety
    /// The memory that `entry` points to stays where it is, and is left alone, until the last completion with its
    /// `user_data` was reaped.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: as the caller promises.
        let result = unsafe { self.io.submission().push(entry) };
        assert!(result.is_ok(), "the submission ring is full");
    }

    /// Returns `true` if the kernel has something to take or to work off.
    pub(super) fn has_work(&mut self) -> bool {
        let submission = self.io.submission();
        !submission.is_empty() || submission.taskrun() || submission.cq_overflow()
    }

    /// Submits what is in the ring, and works off completions. Sleeps until there is one, or `until`, if `sleeps`.
    ///
    /// It may also return for no reason that can be seen. Submissions that were not taken stay in the ring.
    ///
    /// | errno | meaning | answer |
    /// |---|---|---|
    /// | `ETIME` | the moment has come | as asked |
    /// | `EINTR` | a signal | the caller sees nothing done, and comes again |
    /// | `EAGAIN`, `EBUSY` | no memory, or completions to be reaped first | the caller reaps, and comes again |
    pub(super) fn enter(&mut self, sleeps: bool, until: Option<Instant>) -> io::Result<()> {
        let submissions = self.io.submission().len();
        let timespec = until.filter(|_| sleeps).map(|until| {
            let timeout = until.saturating_duration_since(Instant::now());
            Timespec::new()
                .sec(timeout.as_secs().min(i64::MAX as u64))
                .nsec(timeout.subsec_nanos())
        });
        let mut args = SubmitArgs::new();
        if let Some(timespec) = &timespec {
            args = args.timespec(timespec);
        }
        match self.enter_once(submissions, sleeps, &args) {
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY) => Ok(()),
                _ => Err(error),
            },
            Ok(()) => Ok(()),
        }
    }

    /// Calls `each` with what is in the completion ring, and empties it.
    pub(super) fn reap(&mut self, each: impl FnMut(cqueue::Entry)) {
        self.io.completion().for_each(each);
    }

    fn enter_once(
        &self,
        submissions: usize,
        sleeps: bool,
        args: &SubmitArgs<'_, '_>,
    ) -> io::Result<()> {
        let mut flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        flags.set(EnterFlags::REGISTERED_RING, self.registered.is_some());
        flags.set(EnterFlags::NO_IOWAIT, self.setup.has_no_iowait);
        // SAFETY: the kernel reads `args`, and the timespec that it borrows, during the call. What the entries in the ring
        // point to is the promise made to `push`.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.registered.unwrap_or_else(|| self.number()),
                submissions,
                usize::from(sleeps),
                flags.bits(),
                std::ptr::from_ref(args),
                size_of_val(args),
            )
        };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    fn register(&self, operation: libc::c_uint, update: &mut Update) -> io::Result<()> {
        // SAFETY: both operations read and write one `io_uring_rsrc_update` during the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                self.number(),
                operation,
                std::ptr::from_mut(update),
                1,
            )
        };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    fn number(&self) -> u32 {
        self.io.as_raw_fd().unsigned_abs()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The table would keep the ring as long as the thread lives.
        if let Some(offset) = self.registered {
            let _ = self.register(
                UNREGISTER_RING_FDS,
                &mut Update {
                    offset,
                    reserved: 0,
                    data: 0,
                },
            );
        }
    }
}
