//! Times.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

/// Microseconds for each operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) wall: f64,
    /// Of all threads of the process.
    pub(crate) cpu: f64,
}

impl Sample {
    pub(crate) fn take(operations: usize, f: impl FnOnce()) -> Self {
        let (cpu, wall) = (processor_micros(), Instant::now());
        f();
        let wall = wall.elapsed().as_secs_f64() * 1e6;
        Self {
            wall: wall / operations as f64,
            cpu: (processor_micros() - cpu) / operations as f64,
        }
    }
}

fn processor_micros() -> f64 {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the pointer is to a structure of the type that the call fills.
    let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    assert_eq!(result, 0, "a process may ask for its own times");
    // SAFETY: the call has filled it.
    let usage = unsafe { usage.assume_init() };
    let micros = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
    micros(usage.ru_utime) + micros(usage.ru_stime)
}

/// Has the system drop what it holds of the file in memory.
pub(crate) fn forget(path: &Path) {
    let file = File::open(path).expect("it is there");
    // SAFETY: it is advice about an open descriptor.
    let result = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(result, 0, "the system takes advice");
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
