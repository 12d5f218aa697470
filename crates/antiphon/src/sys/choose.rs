//! Which driver a worker gets, and why.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::io;

use super::{Driver, Readiness, Simulator, platform};

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The best that the system grants, unless [`VARIABLE`] names one.
    #[default]
    Best,
    /// As if the system refused all but readiness. It is also how the way back is tested where nothing is refused.
    Readiness,
    /// `io_uring` or an error.
    Uring,
    VirtualTime,
}

/// A driver, and how it came to be this one.
pub(crate) struct Choice {
    pub(crate) driver: Box<dyn Driver>,
    pub(crate) decision: Decision,
}

/// How a driver was chosen, as data. Displayed, it is one line for a log or a bug report.
#[derive(Debug)]
pub(crate) struct Decision {
    /// See [`Driver::name`].
    pub(crate) name: &'static str,
    pub(crate) reason: Reason,
}

#[derive(Debug)]
pub(crate) enum Reason {
    /// It is the best; with what the system granted, in its words.
    Best(String),
    /// It was asked for, by the program or by [`VARIABLE`].
    Asked,
    /// The better one was refused.
    Refused(io::Error),
}

/// The environment variable that names a driver: `io_uring` or `readiness`.
pub(crate) const VARIABLE: &str = "ANTIPHON_DRIVER";

/// Makes a driver.
///
/// # Errors
/// - [`InvalidInput`](io::ErrorKind::InvalidInput) if the environment names no driver.
/// - What the system says, if it refuses what was asked for, or the descriptors that any driver needs.
pub(crate) fn choose(wish: Wish) -> io::Result<Choice> {
    let named = if wish == Wish::Best {
        named(env::var_os(VARIABLE).as_deref())?
    } else {
        wish
    };
    match named {
        Wish::Readiness => readiness(Reason::Asked),
        Wish::Uring => best(),
        Wish::Best => best().or_else(|error| readiness(Reason::Refused(error))),
        Wish::VirtualTime => Ok(chosen(Box::new(Simulator::new()), Reason::Asked)),
    }
}

fn named(name: Option<&OsStr>) -> io::Result<Wish> {
    match name.and_then(|name| name.to_str()) {
        None if name.is_none() => Ok(Wish::Best),
        Some("") => Ok(Wish::Best),
        Some("readiness") => Ok(Wish::Readiness),
        Some("io_uring") => Ok(Wish::Uring),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{VARIABLE} is {name:?}: it may be \"io_uring\" or \"readiness\""),
        )),
    }
}

fn best() -> io::Result<Choice> {
    let (driver, granted) = platform::proactor()?;
    Ok(chosen(driver, Reason::Best(granted)))
}

fn readiness(reason: Reason) -> io::Result<Choice> {
    Ok(chosen(Box::new(Readiness::new()?), reason))
}

fn chosen(driver: Box<dyn Driver>, reason: Reason) -> Choice {
    let decision = Decision {
        name: driver.name(),
        reason,
    };
    Choice { driver, decision }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        match &self.reason {
            Reason::Best(granted) => write!(f, "{name} ({granted})"),
            Reason::Asked => write!(f, "{name} (as asked)"),
            Reason::Refused(error) => write!(f, "{name} (io_uring was refused: {error})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_granted_and_explained() {
        let choice = choose(Wish::Readiness).unwrap();
        assert_eq!(choice.decision.name, choice.driver.name());
        assert_eq!(
            choice.decision.to_string(),
            format!("{} (as asked)", choice.driver.name())
        );
    }

    #[test]
    fn a_refusal_is_no_error_and_is_told() {
        let refused = io::Error::from_raw_os_error(rustix::io::Errno::PERM.raw_os_error());
        let choice = readiness(Reason::Refused(refused)).unwrap();
        assert!(
            choice
                .decision
                .to_string()
                .contains("(io_uring was refused: "),
            "{}",
            choice.decision
        );
    }

    #[test]
    fn the_environment_may_name_a_driver() {
        assert_eq!(named(None).unwrap(), Wish::Best);
        assert_eq!(named(Some("".as_ref())).unwrap(), Wish::Best);
        assert_eq!(named(Some("readiness".as_ref())).unwrap(), Wish::Readiness);
        assert_eq!(named(Some("io_uring".as_ref())).unwrap(), Wish::Uring);
        assert_eq!(
            named(Some("kqueue".as_ref())).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
