//! Numbers that nobody can foretell, except in virtual time.

use crate::worker::current;

/// Fills `bytes` with random ones, from the driver: from the system's source, or in virtual time always the same ones.
///
/// # Panics
/// If no loop is running on this thread, or the system has no source.
///
/// # Examples
/// ```
/// use antiphon::{DriverKind, Runtime, fill_random};
///
/// let draw = || {
///     let mut runtime = Runtime::builder().driver(DriverKind::VirtualTime).build().unwrap();
///     runtime.run(async || {
///         let mut bytes = [0; 8];
///         fill_random(&mut bytes);
///         bytes
///     })
/// };
/// assert_eq!(draw(), draw());
/// ```
#[track_caller]
pub fn fill_random(bytes: &mut [u8]) {
    current(|worker| worker.driver().fill_random(bytes));
}
