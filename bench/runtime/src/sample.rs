//! What one process measures: the clock, its processor time, its memory.

use std::fs;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use crate::runtimes::Runtime;

/// The outcome of one row on one runtime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Nanoseconds of wall time for each operation, or bytes.
    pub(crate) value: f64,
    /// Nanoseconds of processor time for each operation, of all threads; zero for bytes.
    pub(crate) cpu: f64,
}

/// Runs `body` for one batch to warm up, then for `batches` under the clock. It returns the operations that it did.
///
/// A batch repeats `body` for [`BATCH`] or a bit longer. All run in a task of their own, so that what is resumed is not
/// wrapped deeply; `body` is dropped there. The times are those of the median batch, so that a moment in which the
/// machine is busy elsewhere does not count.
pub(crate) async fn time<R, B>(runtime: R, batches: usize, body: B) -> Sample
where
    R: Runtime,
    B: AsyncFn() -> u64 + 'static,
{
    let task = runtime.spawn(async move || {
        let mut walls = Vec::with_capacity(batches);
        let mut cpus = Vec::with_capacity(batches);
        for batch in 0..=batches {
            let mut ops = 0;
            let cpu_before = cpu_time();
            let start = Instant::now();
            while start.elapsed() < BATCH {
                ops += body().await;
            }
            let (wall, cpu) = (start.elapsed(), cpu_time().saturating_sub(cpu_before));
            if batch > 0 {
                walls.push(wall.as_nanos() as f64 / ops as f64);
                cpus.push(cpu.as_nanos() as f64 / ops as f64);
            }
        }
        Sample {
            value: median(walls),
            cpu: median(cpus),
        }
    });
    R::join(task).await
}

/// How long a batch is, at least.
const BATCH: Duration = Duration::from_millis(5);

/// Returns the middle value.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns the bytes of this process that are in memory.
pub(crate) fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux tells a process its memory");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    // SAFETY: `sysconf` reads no memory of ours.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.unwrap_or(0) * u64::try_from(page_bytes).expect("a page has a size")
}

/// Returns what all threads of this process have used of processors, in and out of the kernel.
fn cpu_time() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: `usage` is memory for one `rusage`, which is what the call writes.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    assert_eq!(failed, 0, "a process may ask for its own usage");
    // SAFETY: the call succeeded, so it wrote all of it.
    let usage = unsafe { usage.assume_init() };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

fn duration(time: libc::timeval) -> Duration {
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_micros(part(time.tv_usec))
}
