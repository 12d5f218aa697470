//! Ctrl-C while a line is edited.
//!
//! SIGINT and SIGTERM cancel the main task: that is the loop's own doing, and the desk at a pipe leaves it at that. In a terminal
//! the line editor installs a handler of its own for SIGINT with every line, in the place of the loop's, and looks at what
//! it heard at the next key. So there, SIGINT is blocked in every thread, and one thread waits for it. SIGTERM stays with the
//! loop; the commands that the desk runs, which inherit what is blocked, can be ended with it.

use std::io;
use std::process;
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use crate::bridge::Bridge;

/// The exit status after a second interrupt: that of a shell for a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Hears SIGINT from now on. To be called before any thread is started.
///
/// The first one crosses the bridge. The second one ends the process: whoever interrupts twice does not want to wait.
///
/// # Errors
/// What `pthread_sigmask(3)` says.
pub(crate) fn hear() -> io::Result<Bridge<()>> {
    let signals = SigSet::from(Signal::SIGINT);
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
