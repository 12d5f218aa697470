//! The signals that there are.

use std::fmt;
use std::io;

/// A kind of signal.
///
/// Displayed, it is the signal's name: `SIGINT`.
///
/// # Examples
/// ```
/// use antiphon::signal::Kind;
///
/// assert_eq!(Kind::INTERRUPT.to_string(), "SIGINT");
/// assert_eq!(Kind::from_raw(Kind::INTERRUPT.as_raw()), Kind::INTERRUPT);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(i32);

/// Those with a name that every system has.
const NAMES: &[(Kind, &str)] = &[
    (Kind::ALARM, "SIGALRM"),
    (Kind::CHILD, "SIGCHLD"),
    (Kind::CONTINUE, "SIGCONT"),
    (Kind::HANGUP, "SIGHUP"),
    (Kind::INTERRUPT, "SIGINT"),
    (Kind::IO, "SIGIO"),
    (Kind::KILL, "SIGKILL"),
    (Kind::PIPE, "SIGPIPE"),
    (Kind::QUIT, "SIGQUIT"),
    (Kind::STOP, "SIGSTOP"),
    (Kind::TERMINATE, "SIGTERM"),
    (Kind::TSTP, "SIGTSTP"),
    (Kind::USER1, "SIGUSR1"),
    (Kind::USER2, "SIGUSR2"),
    (Kind::WINCH, "SIGWINCH"),
];

/// Those that nobody may listen for. The first two the system does not hand out. The others tell of a fault of the very
/// instruction that would go on after the handler.
const FORBIDDEN: &[i32] = &[
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
];

impl Kind {
    /// The process is ended, and can't do anything about it. It can be sent, not listened for.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// The process is stopped until [`CONTINUE`](Self::CONTINUE). It can be sent, not listened for.
    pub const STOP: Self = Self(libc::SIGSTOP);
    /// A timer of alarm(2) has run out.
    pub const ALARM: Self = Self(libc::SIGALRM);
    /// A child process has ended, stopped, or gone on.
    pub const CHILD: Self = Self(libc::SIGCHLD);
    /// The process, which was stopped, goes on.
    pub const CONTINUE: Self = Self(libc::SIGCONT);
    /// The terminal has gone. To a server it mostly says: read the configuration again.
    pub const HANGUP: Self = Self(libc::SIGHUP);
    /// Ctrl-C.
    pub const INTERRUPT: Self = Self(libc::SIGINT);
    /// A descriptor that was asked for it may be read or written.
    pub const IO: Self = Self(libc::SIGIO);
    /// The process wrote to a pipe that nobody reads. Rust programs ignore it from the start.
    pub const PIPE: Self = Self(libc::SIGPIPE);
    /// Ctrl-\\.
    pub const QUIT: Self = Self(libc::SIGQUIT);
    /// The process is to end: kill(1), and every supervisor.
    pub const TERMINATE: Self = Self(libc::SIGTERM);
    /// Ctrl-Z.
    pub const TSTP: Self = Self(libc::SIGTSTP);
    /// For the program's own use.
    pub const USER1: Self = Self(libc::SIGUSR1);
    /// For the program's own use.
    pub const USER2: Self = Self(libc::SIGUSR2);
    /// The terminal's window has another size.
    pub const WINCH: Self = Self(libc::SIGWINCH);

    /// Makes a kind of the system's number. Whether there is such a signal is asked when somebody listens for it.
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// Returns the system's number.
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Returns its bit among all kinds, if somebody may listen for it.
    pub(crate) fn bit(self) -> io::Result<u64> {
        if FORBIDDEN.contains(&self.0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("nobody may listen for {self}"),
            ));
        }
        bit(self.0).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("there is no signal {}", self.0),
            )
        })
    }

    /// Returns the one with the lowest number among `bits`.
    pub(crate) fn lowest(bits: u64) -> Option<Self> {
        let place = i32::try_from(bits.trailing_zeros()).ok()?;
        (bits != 0).then_some(Self(place + 1))
    }
}

/// Returns the bit of the signal with that number.
pub(super) fn bit(number: i32) -> Option<u64> {
    let place = u32::try_from(number).ok()?.checked_sub(1)?;
    1u64.checked_shl(place)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(kind, _)| kind == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_bit_or_none() {
        for number in 1..=64 {
            assert_eq!(
                Kind::lowest(bit(number).unwrap()),
                Some(Kind::from_raw(number))
            );
        }
        for number in [i32::MIN, -1, 0, 65, i32::MAX] {
            assert_eq!(bit(number), None);
        }
        assert_eq!(Kind::lowest(0), None);
    }

    #[test]
    fn what_cannot_be_heard_is_refused() {
        for number in FORBIDDEN.iter().chain(&[0, 65]) {
            let error = Kind::from_raw(*number).bit().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
