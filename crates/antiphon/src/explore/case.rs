//! What is done to a program, where, and in which order of its steps: a line that can be written down.

use std::fmt;
use std::str::FromStr;

/// What happens to a program at one of its points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// It is cancelled: the scopes that are [exposed](super::exposed), or else the whole program as by a signal. At each wait
    /// that begins, and whenever a task has gone to sleep.
    Cancel,
    /// A call to the system fails: a connection is refused or reset, a descriptor can't be had, a disk has an error. At each call
    /// of the in-memory network, and each read, write and sync of a file.
    Error,
    /// The code that begins a wait panics. At each wait that begins.
    ///
    /// The panic may go as far as it likes. One that it brings about, an `unwrap` of what a task's panic left for example, is
    /// a [`Finding::Panicked`](super::Finding::Panicked).
    Panic,
}

impl Fault {
    const ALL: [Self; 3] = [Self::Cancel, Self::Error, Self::Panic];

    const fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Error => "error",
            Self::Panic => "panic",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One run of an exploration: a fault at a point, or none, with the seed of the order of steps.
///
/// It is written `cancel@17` or `cancel@17#3`, where 17 is the number of the point and 3 the seed; `none#3` is the run in which
/// nothing happens.
///
/// # Examples
/// ```
/// use antiphon::explore::{Case, Fault};
///
/// let case: Case = "cancel@17#3".parse()?;
/// assert_eq!((case.fault(), case.seed()), (Some((Fault::Cancel, 17)), 3));
/// assert_eq!(case.to_string(), "cancel@17#3");
/// # Ok::<(), antiphon::explore::ParseCaseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    fault: Option<(Fault, usize)>,
    seed: u64,
}

impl Case {
    pub(super) const fn quiet(seed: u64) -> Self {
        Self { fault: None, seed }
    }

    pub(super) const fn new(fault: Fault, point: usize, seed: u64) -> Self {
        Self {
            fault: Some((fault, point)),
            seed,
        }
    }

    /// Returns what happens, and the number of the point, counted from 0; `None` if nothing does.
    pub const fn fault(&self) -> Option<(Fault, usize)> {
        self.fault
    }

    /// Returns the seed of the order of steps; 0 is the order in which tasks are woken.
    pub const fn seed(&self) -> u64 {
        self.seed
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            None => f.write_str("none")?,
            Some((fault, point)) => write!(f, "{fault}@{point}")?,
        }
        match self.seed {
            0 => Ok(()),
            seed => write!(f, "#{seed}"),
        }
    }
}

impl FromStr for Case {
    type Err = ParseCaseError;

    fn from_str(text: &str) -> Result<Self, ParseCaseError> {
        let error = || ParseCaseError(text.into());
        let (what, seed) = text.split_once('#').unwrap_or((text, "0"));
        let seed = seed.parse().map_err(|_| error())?;
        if what == "none" {
            return Ok(Self::quiet(seed));
        }
        let (name, point) = what.split_once('@').ok_or_else(error)?;
        let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name);
        let point = point.parse().map_err(|_| error())?;
        Ok(Self::new(fault.ok_or_else(error)?, point, seed))
    }
}

/// A text is not a [`Case`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseCaseError(String);

impl fmt::Display for ParseCaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.0;
        write!(f, "{text:?} is no case: they are like \"cancel@17#3\"")
    }
}

impl std::error::Error for ParseCaseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read_as_it_is_written() {
        let cases = [
            Case::quiet(0),
            Case::quiet(9),
            Case::new(Fault::Cancel, 0, 0),
            Case::new(Fault::Error, 17, 3),
            Case::new(Fault::Panic, usize::MAX, u64::MAX),
        ];
        for case in cases {
            assert_eq!(case.to_string().parse(), Ok(case));
        }
        for text in [
            "",
            "cancel",
            "cancel@",
            "cancel@x",
            "stop@1",
            "none@",
            "cancel@1#",
            "#1",
        ] {
            assert!(text.parse::<Case>().is_err(), "{text}");
        }
    }
}
