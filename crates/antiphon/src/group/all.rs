//! Races and joins of any number of branches: each is a child of a group, so a wake-up costs the same however many there are.

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::panic::Location;

use super::children::State;
use super::errors::{Cause, GroupError};
use super::handle::ChildHandle;
use super::nursery::run;
use crate::scope::CancelReason;

/// Runs the branches until all have ended, and returns what they returned, in their order.
///
/// Each branch, an async closure, is a child of a [`group`](super::group): a task in the [`tree`](crate::tree).
///
/// # Panics
/// If no loop is running on this thread. With the panic of a branch: the others are cancelled then, and awaited.
///
/// # Cancellation
/// The branches hear of it.
///
/// # Examples
/// ```
/// use antiphon::{join_all, run, yield_now};
///
/// run(async || {
///     let squares = join_all((1..=3).map(|number| async move || {
///         let _ = yield_now().await;
///         number * number
///     }));
///     assert_eq!(squares.await, [1, 4, 9]);
/// });
/// ```
#[track_caller]
pub fn join_all<I, F, T>(branches: I) -> impl Future<Output = Vec<T>>
where
    I: IntoIterator<Item = F>,
    F: AsyncFnOnce() -> T,
{
    let at = Location::caller();
    async move {
        let handles = run(
            async |group| {
                let spawn = |branch: F| {
                    let branch = async move { Ok::<T, Infallible>(branch().await) };
                    group.state.spawn(branch, None, at)
                };
                Ok(branches.into_iter().map(spawn).collect::<Vec<_>>())
            },
            at,
        );
        let Ok(handles) = handles.await else {
            unreachable!("there is no such error")
        };
        handles.into_iter().map(value).collect()
    }
}

/// Runs the branches until all have ended, and returns their values, in their order; cancels the others when one fails.
///
/// Each branch, an async closure, is a child of a [`group`](super::group): a task in the [`tree`](crate::tree).
///
/// # Errors
/// [`GroupError`]: what the branches returned, but for the errors that come of that cancel. The values of the others are dropped.
///
/// # Panics
/// As [`join_all`].
///
/// # Cancellation
/// The branches hear of it.
///
/// # Examples
/// ```
/// use antiphon::{run, try_join_all};
///
/// run(async || {
///     let numbers = try_join_all(["1", "2", "x"].map(|text| async move || text.parse::<u32>()));
///     assert!(numbers.await.is_err());
/// });
/// ```
#[track_caller]
pub fn try_join_all<I, F, T, E>(branches: I) -> impl Future<Output = Result<Vec<T>, GroupError<E>>>
where
    I: IntoIterator<Item = F>,
    F: AsyncFnOnce() -> Result<T, E>,
    E: Error + 'static,
{
    let at = Location::caller();
    async move {
        let handles = run(
            async |group| {
                let spawn = |branch: F| group.state.spawn(branch(), None, at);
                Ok(branches.into_iter().map(spawn).collect::<Vec<_>>())
            },
            at,
        );
        Ok(handles.await?.into_iter().map(value).collect())
    }
}

/// How a race of many ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it may have a value that came late"]
pub struct RaceAll<T, E> {
    /// The index of the branch that came first.
    pub index: usize,
    /// What that branch returned.
    pub output: Result<T, E>,
    /// What others returned late, in their order, with their indices: those that did not end as cancelled.
    pub late: Vec<(usize, Result<T, E>)>,
}

/// Runs the branches until the first of them ends; cancels the others, and awaits them: see [`race`](super::race).
///
/// Each branch, an async closure, is a child of a [`group`](super::group): a task in the [`tree`](crate::tree).
///
/// # Panics
/// If there are no branches, or no loop is running on this thread. With the panic of a branch, when all have ended.
///
/// # Cancellation
/// All branches hear of it; the first that ends wins.
///
/// # Examples
/// ```
/// use antiphon::{race_all, run, time};
/// use std::time::Duration;
///
/// run(async || {
///     let first = race_all([3600, 0, 60].map(|seconds| async move || {
///         time::sleep(Duration::from_secs(seconds)).await
///     }));
///     assert_eq!(first.await.index, 1);
/// });
/// ```
#[track_caller]
pub fn race_all<I, F, T, E>(branches: I) -> impl Future<Output = RaceAll<T, E>>
where
    I: IntoIterator<Item = F>,
    F: AsyncFnOnce() -> Result<T, E>,
    E: Error + 'static,
{
    let at = Location::caller();
    async move {
        let winner = Cell::new(None);
        let handles = run(
            async |group| {
                let spawn = |(index, branch): (usize, F)| {
                    let (winner, siblings) = (&winner, group.clone());
                    let branch = async move {
                        if winner.get().is_some() {
                            return Ok(None);
                        }
                        let output = branch().await;
                        if winner.get().is_none() {
                            winner.set(Some(index));
                            siblings.cancel_for(CancelReason::RaceLost, at);
                            return Ok(Some(output));
                        }
                        let is_lost = output
                            .as_ref()
                            .is_err_and(|error| siblings.state.is_echo(error));
                        Ok((!is_lost).then_some(output))
                    };
                    group.state.spawn(branch, None, at)
                };
                let branches = branches.into_iter().enumerate();
                Ok::<Vec<_>, E>(branches.map(spawn).collect())
            },
            at,
        );
        let Ok(handles) = handles.await else {
            unreachable!("the branches keep their errors");
        };
        let mut late: Vec<_> = handles
            .into_iter()
            .enumerate()
            .filter_map(|(index, handle)| Some((index, value(handle)?)))
            .collect();
        let place = late
            .iter()
            .position(|(index, _)| Some(*index) == winner.get());
        let (index, output) = late.remove(place.expect("a race has branches"));
        RaceAll {
            index,
            output,
            late,
        }
    }
}

/// The value of a child whose group has ended without an error.
fn value<T>(handle: ChildHandle<T>) -> T {
    match handle.into_outcome() {
        Some(Ok(value)) => value,
        _ => unreachable!("a child without a value fails its group"),
    }
}

impl<E: Error + 'static> State<'_, E> {
    /// Returns `true` if the error only says that the group was cancelled.
    fn is_echo(&self, error: &E) -> bool {
        !matches!(self.cause(error), Cause::Real)
    }
}
