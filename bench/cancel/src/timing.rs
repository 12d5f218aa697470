//! Processor time.

use std::mem::MaybeUninit;

/// Nanoseconds of processor time that this thread has taken.
pub(crate) fn thread_nanos() -> f64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: it writes a `timespec`, for which there is room.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr()) };
    assert_eq!(result, 0, "every thread has such a clock");
    // SAFETY: it was written.
    let time = unsafe { time.assume_init() };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The middle value.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
