//! The system's entropy.

/// Fills `bytes`.
///
/// # Panics
/// If the system has none, which no supported one does once it has booted.
pub(super) fn fill(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        panic!("the system has no entropy: {error}");
    }
}
