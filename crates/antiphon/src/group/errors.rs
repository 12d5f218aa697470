//! What went wrong in a group, and what is only an echo of it.

use std::error::Error;
use std::fmt;
use std::io;

use crate::scope::{Cancelled, ScopeRef, find_cancelled};
use crate::worker::Worker;

/// Why a group has no result: the errors of its body and of its children, in the order in which they came.
///
/// An error that only says that the group was cancelled is not among the others: the rest of a group ends so when one fails.
/// One that is the only reason there is, is the [`first`](Self::first): the group, or a scope that it is in, was cancelled.
/// Then [`is_cancelled`](crate::is_cancelled) is true of it.
///
/// It converts into an [`io::Error`], and a `GroupError<Cancelled>` into the [`Cancelled`].
///
/// # Examples
/// ```
/// use antiphon::{group, run};
/// use std::io;
///
/// let error = run(async || {
///     group(async |group| {
///         group.spawn(async || Err::<(), _>(io::Error::other("no paper")));
///         group.spawn(async || Err::<(), _>(io::Error::other("no ink")));
///         Ok(())
///     })
///     .await
/// })
/// .unwrap_err();
/// assert_eq!(error.first().to_string(), "no paper");
/// assert_eq!(error.others()[0].to_string(), "no ink");
/// ```
#[derive(Debug)]
pub struct GroupError<E> {
    first: E,
    others: Vec<E>,
}

impl<E> GroupError<E> {
    /// Returns the error that came first, for which the others were cancelled.
    pub const fn first(&self) -> &E {
        &self.first
    }

    /// Returns the errors that came after it, not those of the cancel.
    pub fn others(&self) -> &[E] {
        &self.others
    }

    /// Returns the first error, without the others.
    pub fn into_first(self) -> E {
        self.first
    }

    /// Iterates over all of them, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl<E> IntoIterator for GroupError<E> {
    type Item = E;
    type IntoIter = std::iter::Chain<std::iter::Once<E>, std::vec::IntoIter<E>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self.first).chain(self.others)
    }
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a task of the group failed")?;
        for other in &self.others {
            write!(f, "; another one: {other}")?;
        }
        Ok(())
    }
}

impl<E: Error + 'static> Error for GroupError<E> {
    /// The first one.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.first)
    }
}

/// Its kind is [`Other`](io::ErrorKind::Other).
impl<E: Error + Send + Sync + 'static> From<GroupError<E>> for io::Error {
    fn from(error: GroupError<E>) -> Self {
        Self::other(error)
    }
}

/// For groups that can fail in no other way.
impl From<GroupError<Cancelled>> for Cancelled {
    fn from(error: GroupError<Self>) -> Self {
        error.first
    }
}

/// The errors of a group so far.
pub(super) struct Errors<E> {
    real: Vec<E>,
    /// The first that came of a cancel from further out.
    from_above: Option<E>,
    /// That of the body, if it came of the group's own cancel.
    own: Option<E>,
}

impl<E> Default for Errors<E> {
    fn default() -> Self {
        Self {
            real: Vec::new(),
            from_above: None,
            own: None,
        }
    }
}

/// Where an error comes from.
pub(super) enum Cause {
    /// The code that returned it.
    Real,
    /// The cancel of the group, or that of the child alone.
    Own(Cancelled),
    /// The cancel of a scope that the group is in.
    Above(Cancelled),
}

impl Cause {
    /// Asks where `error` comes from, in a group with this scope, and in that of a child in it.
    pub(super) fn of<E: Error + 'static>(
        worker: &Worker,
        group: ScopeRef,
        child: Option<ScopeRef>,
        error: &E,
    ) -> Self {
        let Some(cancelled) = find_cancelled(error) else {
            return Self::Real;
        };
        let scopes = worker.scopes();
        let is_of = |scope| scopes.cancelled(scope).as_ref() == Some(cancelled);
        if is_of(group) || child.is_some_and(is_of) {
            Self::Own(cancelled.clone())
        } else if scopes.is_from_above(group, cancelled) {
            Self::Above(cancelled.clone())
        } else {
            Self::Real
        }
    }
}

impl<E> Errors<E> {
    /// Takes an error of a child in. Returns the one that is not kept, to be dropped where that may run code.
    pub(super) fn add(&mut self, cause: &Cause, error: E) -> Option<E> {
        match cause {
            Cause::Real => {
                self.real.push(error);
                None
            }
            Cause::Above(_) if self.from_above.is_none() => {
                self.from_above = Some(error);
                None
            }
            Cause::Above(_) | Cause::Own(_) => Some(error),
        }
    }

    /// Takes the body's error in: without a value, there has to be one.
    pub(super) fn add_of_body(&mut self, cause: &Cause, error: E) -> Option<E> {
        match cause {
            Cause::Own(_) => self.own.replace(error),
            Cause::Real | Cause::Above(_) => self.add(cause, error),
        }
    }

    /// The error of the group, if it failed. A child that was cancelled from further out is a failure, for what it was to
    /// do is not done; one that was cancelled with the group is not.
    pub(super) fn into_error(self) -> Option<GroupError<E>> {
        let mut real = self.real.into_iter();
        let first = real.next().or(self.from_above).or(self.own)?;
        let others = real.collect();
        Some(GroupError { first, others })
    }
}
