//! Ctrl-C and its kin.
//!
//! The signals are blocked in every thread, and one thread waits for them. So there are no handlers, none that another library
//! installs for a while is ever called, and an interrupt is heard at any moment, whatever the other threads wait for.

use std::io;
use std::process;
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use crate::bridge::Bridge;

/// The exit status after a second interrupt: that of a shell for a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Hears SIGINT and SIGTERM from now on. To be called before any thread is started.
///
/// The first one crosses the bridge. The second one ends the process: whoever interrupts twice does not want to wait for a pipe
/// that nobody reads.
///
/// # Errors
/// What `pthread_sigmask(3)` says.
pub(crate) fn hear() -> io::Result<Bridge<()>> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    signals.thread_block()?;
    let interrupts = Bridge::new(1);
    let sender = interrupts.clone();
    thread::spawn(move || {
        // Waiting fails only for signals that there are not.
        if signals.wait().is_ok() {
            sender.push(());
        }
        if signals.wait().is_ok() {
            process::exit(INTERRUPTED);
        }
    });
    Ok(interrupts)
}
