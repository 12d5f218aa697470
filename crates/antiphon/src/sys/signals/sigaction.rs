//! What the process does at a signal: sigaction(2), and the handler.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Signal, getpid, kill_process};

use super::ears::{Heard, hear};
use super::kind::Kind;

/// One for each number, and one that is not used.
static HOLDS: [Hold; 65] = [const { Hold::new() }; 65];

/// Who wants our handler for a signal, and what was there before.
struct Hold {
    state: Mutex<State>,
    /// The handler that was there before: a function, or one of the two numbers that are none; and [`WANTS_INFO`]. One word, so
    /// that the handler, which may be on its way when it changes, never sees half of it.
    before: AtomicUsize,
}

/// The function wants to be told more than the signal's number. No function of a process lies in the upper half of the
/// addresses, which is the kernel's.
const WANTS_INFO: usize = 1 << (usize::BITS - 1);

struct State {
    holders: usize,
    /// What was there before ours. Set when ours is installed.
    before: Option<libc::sigaction>,
    /// Set when ours is installed, and cleared when it is taken away: not if somebody has installed theirs on top meanwhile,
    /// who may call ours.
    is_placed: bool,
}

impl Hold {
    const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                holders: 0,
                before: None,
                is_placed: false,
            }),
            before: AtomicUsize::new(libc::SIG_DFL),
        }
    }
}

/// Has our handler called for `kind`, until it is [released](release) as often as it was held.
///
/// # Errors
/// What the system says, if there is no such signal.
pub(super) fn hold(kind: Kind) -> io::Result<()> {
    hold_if(kind, |_| true).map(drop)
}

/// The same, but only if `kind` had its default action before. Returns whether it had.
pub(super) fn hold_if_default(kind: Kind) -> io::Result<bool> {
    hold_if(kind, |before| before.sa_sigaction == libc::SIG_DFL)
}

fn hold_if(kind: Kind, want: impl Fn(&libc::sigaction) -> bool) -> io::Result<bool> {
    let (hold, mut state) = lock(kind)?;
    let now = disposition(kind.as_raw())?;
    let before = match state.before {
        Some(before) if is_ours(&now) => before,
        _ => now,
    };
    if !want(&before) {
        return Ok(false);
    }
    // Somebody else may have installed theirs on top of ours, and call ours. With ours on top again the two would call each
    // other for ever.
    let is_called = state.is_placed && is_function(&now);
    if !is_ours(&now) && !is_called {
        // The handler may be called at once.
        let wants_info = if is_function(&now) && now.sa_flags & libc::SA_SIGINFO != 0 {
            WANTS_INFO
        } else {
            0
        };
        hold.before
            .store(now.sa_sigaction | wants_info, Ordering::SeqCst);
        state.before = Some(now);
        set_disposition(kind.as_raw(), &ours())?;
    }
    state.is_placed = true;
    state.holders += 1;
    Ok(true)
}

/// Takes one hold back. With the last one the signal does again what it did before ours, unless somebody else has installed
/// a handler meanwhile.
pub(super) fn release(kind: Kind) {
    let Ok((_, mut state)) = lock(kind) else {
        return;
    };
    state.holders -= 1;
    let is_installed = disposition(kind.as_raw()).is_ok_and(|now| is_ours(&now));
    if let (0, true, Some(before)) = (state.holders, is_installed, &state.before) {
        // It cannot fail: the system has told us of it.
        state.is_placed = set_disposition(kind.as_raw(), before).is_err();
    }
}

fn lock(kind: Kind) -> io::Result<(&'static Hold, MutexGuard<'static, State>)> {
    kind.bit()?;
    let index = usize::try_from(kind.as_raw()).unwrap_or(0);
    let hold = &HOLDS[index];
    let state = hold.state.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((hold, state))
}

/// Ends the process as the system does at `kind`: whoever waits for it learns which signal it was.
pub(crate) fn die(kind: Kind) -> ! {
    act_by_default(kind.as_raw());
    // It is blocked in every thread, or does not end processes.
    process::abort()
}

fn act_by_default(signal: c_int) {
    let _ = set_disposition(signal, &empty());
    if let Some(signal) = Signal::from_named_raw(signal) {
        let _ = kill_process(getpid(), signal);
    }
}

/// The handler. It may interrupt anything, on any thread.
extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let hold = usize::try_from(signal).ok();
    let Some(hold) = hold.and_then(|index| HOLDS.get(index)) else {
        return;
    };
    // What is interrupted may be about to read the error of its own call.
    let errno = errno();
    let before = hold.before.load(Ordering::SeqCst);
    if ![libc::SIG_DFL, libc::SIG_IGN].contains(&before) {
        let wants_info = before & WANTS_INFO != 0;
        call(before & !WANTS_INFO, wants_info, signal, info, context);
    }
    let now = disposition(signal).unwrap_or_else(|_| empty());
    let is_due = match hear(signal, is_ours(&now)) {
        Heard::BySomebody => false,
        Heard::Again => true,
        // It was taken away while this was on its way, or somebody has put it back who had found it: what was there before is
        // due, unless somebody else has installed theirs.
        Heard::ByNobody => {
            now.sa_sigaction == libc::SIG_DFL || (is_ours(&now) && before == libc::SIG_DFL)
        }
    };
    // The signal is blocked here: it comes on another thread at once, or on this one when the handler returns.
    if is_due {
        act_by_default(signal);
    }
    set_errno(errno);
}

fn errno() -> c_int {
    // SAFETY: it is this thread's, and there as long as the thread is.
    unsafe { errno_location().read() }
}

fn set_errno(errno: c_int) {
    // SAFETY: as above.
    unsafe { errno_location().write(errno) };
}

fn errno_location() -> *mut c_int {
    #[cfg(target_os = "linux")]
    // SAFETY: it may be called at any time, also in a handler.
    let location = unsafe { libc::__errno_location() };
    #[cfg(not(target_os = "linux"))]
    // SAFETY: it may be called at any time, also in a handler.
    let location = unsafe { libc::__error() };
    location
}

/// Calls the handler that was there before.
fn call(
    before: usize,
    wants_info: bool,
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    type WithInfo = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    type Plain = extern "C" fn(c_int);
    let before = ptr::with_exposed_provenance::<c_void>(before);
    if wants_info {
        // SAFETY: the system had this function as the handler of the signal, with `SA_SIGINFO`, and would call it as this
        // does.
        let before = unsafe { mem::transmute::<*const c_void, WithInfo>(before) };
        before(signal, info, context);
    } else {
        // SAFETY: as above, without `SA_SIGINFO`.
        let before = unsafe { mem::transmute::<*const c_void, Plain>(before) };
        before(signal);
    }
}

/// Our handler, as the system is told of it. Nothing interrupts it on its thread; calls that it interrupts go on, where they can.
/// It runs on the thread's own stack: the one that Rust has for an overflow is small.
fn ours() -> libc::sigaction {
    let mut action = empty();
    action.sa_sigaction = (handle as *const ()).expose_provenance();
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: it writes to the set, which is there.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    action
}

fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == (handle as *const ()).expose_provenance()
}

fn is_function(action: &libc::sigaction) -> bool {
    ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
}

fn disposition(signal: c_int) -> io::Result<libc::sigaction> {
    let mut now = empty();
    // SAFETY: sigaction(2) writes to `now`, and is told of no new action. It may be called in a handler.
    let result = unsafe { libc::sigaction(signal, ptr::null(), &raw mut now) };
    answer(result).map(|()| now)
}

fn set_disposition(signal: c_int, action: &libc::sigaction) -> io::Result<()> {
    // SAFETY: `action` is one that the system has told us of, or `ours`, or the default. Our handler has the signature that
    // `SA_SIGINFO` asks for, and does only what a handler may: atomics, and system calls that are allowed there.
    let result = unsafe { libc::sigaction(signal, action, ptr::null_mut()) };
    answer(result)
}

fn answer(result: c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The default action, which blocks no other signal meanwhile.
fn empty() -> libc::sigaction {
    // SAFETY: it has integers and an optional function, for all of which zero is a value.
    unsafe { mem::zeroed() }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Signals that nothing else in this program uses.
    fn spare(number: c_int) -> Kind {
        Kind::from_raw(libc::SIGRTMIN() + number)
    }

    static CALLED: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn count(_: c_int) {
        CALLED.fetch_add(1, Ordering::SeqCst);
    }

    fn plain(handler: extern "C" fn(c_int)) -> libc::sigaction {
        let mut action = empty();
        action.sa_sigaction = (handler as *const ()).expose_provenance();
        action
    }

    fn raise(kind: Kind) {
        // SAFETY: it sends a signal to this thread, which has handlers.
        assert_eq!(unsafe { libc::raise(kind.as_raw()) }, 0);
    }

    #[test]
    fn a_handler_that_was_there_before_is_called_and_comes_back() {
        let kind = spare(7);
        set_disposition(kind.as_raw(), &plain(count)).unwrap();
        let before = CALLED.load(Ordering::SeqCst);
        hold(kind).unwrap();
        hold(kind).unwrap();
        raise(kind);
        assert_eq!(CALLED.load(Ordering::SeqCst), before + 1);
        release(kind);
        assert!(is_ours(&disposition(kind.as_raw()).unwrap()));
        release(kind);
        let after = disposition(kind.as_raw()).unwrap();
        assert_eq!(after.sa_sigaction, plain(count).sa_sigaction);
    }

    #[test]
    fn a_handler_that_wants_to_know_more_is_told() {
        extern "C" fn note(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
            // SAFETY: the system gives both to a handler that asks for them.
            let told = unsafe { (*info).si_signo };
            if told == signal && !context.is_null() {
                TOLD.fetch_add(1, Ordering::SeqCst);
            }
        }
        static TOLD: AtomicUsize = AtomicUsize::new(0);
        let kind = spare(10);
        let mut action = empty();
        action.sa_sigaction = (note as *const ()).expose_provenance();
        action.sa_flags = libc::SA_SIGINFO;
        set_disposition(kind.as_raw(), &action).unwrap();
        hold(kind).unwrap();
        raise(kind);
        release(kind);
        assert_eq!(TOLD.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_handler_that_somebody_installs_on_top_stays() {
        extern "C" fn ignore(_: c_int) {}
        let kind = spare(8);
        hold(kind).unwrap();
        set_disposition(kind.as_raw(), &plain(ignore)).unwrap();
        release(kind);
        let after = disposition(kind.as_raw()).unwrap();
        assert_eq!(after.sa_sigaction, plain(ignore).sa_sigaction);
        // Held again, it stays on top: it may call ours.
        assert!(!hold_if_default(kind).unwrap());
        hold(kind).unwrap();
        raise(kind);
        release(kind);
    }

    #[test]
    fn the_handler_leaves_no_error_behind() {
        let kind = spare(9);
        set_disposition(kind.as_raw(), &plain(count)).unwrap();
        hold(kind).unwrap();
        set_errno(77);
        raise(kind);
        assert_eq!(errno(), 77);
        release(kind);
    }
}
