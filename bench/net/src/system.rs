//! What is asked of the system: places for processes, their limits, their processor time and memory.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::CpuSet;

/// The cores of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) load: usize,
    pub(crate) server: usize,
}

impl Cores {
    /// Chooses the first and the last core that we may use.
    ///
    /// # Errors
    /// If there is only one: the load would be measured with the server.
    pub(crate) fn choose() -> io::Result<Self> {
        let set = rustix::thread::sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core));
        let load = cores.next().expect("we run on some core");
        match cores.next_back() {
            Some(server) => Ok(Self { load, server }),
            None => Err(io::Error::other("two cores are needed")),
        }
    }
}

impl Cores {
    /// Returns the cores of a server with so many threads: if there are several, they share the load's as well.
    pub(crate) fn of_server(self, workers: usize) -> Vec<usize> {
        if workers == 1 {
            vec![self.server]
        } else {
            vec![self.load, self.server]
        }
    }
}

/// Keeps this thread, and those that it starts, on these cores.
pub(crate) fn pin(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Raises the limits of open descriptors and of locked memory as far as we may.
pub(crate) fn raise_limits() -> io::Result<()> {
    for resource in [Resource::Nofile, Resource::Memlock] {
        let maximum = rustix::process::getrlimit(resource).maximum;
        let limit = Rlimit {
            current: maximum,
            maximum,
        };
        rustix::process::setrlimit(resource, limit)?;
    }
    Ok(())
}

/// Has the system end this process when the one that started it ends.
pub(crate) fn end_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(
        Signal::KILL,
    ))?)
}

/// The clock of what all threads of another process use of processors, in and out of the kernel.
///
/// It is read from here, so that the other process does nothing for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuClock(libc::clockid_t);

impl CpuClock {
    /// Finds the clock of the process `pid`.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let pid = pid.try_into().map_err(io::Error::other)?;
        let mut clock = 0;
        // SAFETY: `clock` is memory for the identifier, which is what the call writes.
        let error = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
        if error == 0 {
            Ok(Self(clock))
        } else {
            Err(io::Error::from_raw_os_error(error))
        }
    }

    /// Returns what has been used.
    ///
    /// # Errors
    /// If the process is gone.
    pub(crate) fn now(self) -> io::Result<Duration> {
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: `time` is memory for one `timespec`, which is what the call writes.
        let failed = unsafe { libc::clock_gettime(self.0, time.as_mut_ptr()) };
        if failed != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so it wrote all of it.
        let time = unsafe { time.assume_init() };
        let seconds = u64::try_from(time.tv_sec).map_err(io::Error::other)?;
        let nanos = u32::try_from(time.tv_nsec).map_err(io::Error::other)?;
        Ok(Duration::new(seconds, nanos))
    }
}

/// Returns the bytes of the process `pid` that are in memory.
pub(crate) fn resident_bytes(pid: u32) -> io::Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    let pages: u64 = pages.ok_or_else(|| io::Error::other("statm has no resident pages"))?;
    Ok(pages * rustix::param::page_size() as u64)
}
