//! The first of several, and what became of the others.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::task::Poll;

use super::branch::{Branch, Branches};
use super::errors::Cause;
#[cfg(doc)]
use crate::scope::CancelReason;
use crate::scope::CancelScope;

/// Runs two or three branches, until the first of them ends; cancels the others, and awaits them.
///
/// The branches are async closures, in a tuple. They run in turn, in this task, and may borrow from it. The first to end wins, with
/// whatever it returns, an error as well. The waits of the others end with [`Cancelled`](crate::Cancelled), for the reason
/// [`RaceLost`](CancelReason::RaceLost). One that ended with something else in spite of that, a message that it had already
/// received, an error of its clean-up, hands it back: see [`Race2`]. So nothing is lost, and nothing runs on afterwards. A
/// branch that has not begun when the race is decided is not begun.
///
/// For any number of branches of one type see [`race_all`](super::race_all).
///
/// # Panics
/// If no loop is running on this thread. With the panic of a branch, when all have ended.
///
/// # Cancellation
/// All branches hear of it; the first that ends wins.
///
/// # Examples
/// ```
/// use antiphon::{Cancelled, Race2, race, run, time};
/// use std::time::Duration;
///
/// run(async || {
///     let first = race((
///         async || time::sleep(Duration::from_millis(1)).await,
///         async || time::sleep(Duration::from_secs(3600)).await,
///     ));
///     match first.await {
///         Race2::First(slept, late) => assert!(slept.is_ok() && late.is_none()),
///         Race2::Second(..) => unreachable!("an hour is longer"),
///     }
/// });
/// ```
#[track_caller]
pub fn race<R: Race>(branches: R) -> impl Future<Output = R::Output> {
    branches.race(Location::caller())
}

/// Two or three async closures, in a tuple, each of which returns a `Result`: see [`race`].
#[allow(private_bounds, reason = "nobody else implements it")]
pub trait Race: Sealed {
    /// How the race ended.
    type Output;

    #[doc(hidden)]
    fn race(self, at: &'static Location<'static>) -> impl Future<Output = Self::Output>;
}

pub(super) trait Sealed {}

/// How a race of two ended: which one came first, what it returned, and what the other one returned late.
///
/// That is `None` if it ended as cancelled, or was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it may have a value that came late"]
pub enum Race2<A, B> {
    /// The first branch won.
    First(A, Option<B>),
    /// The second branch won.
    Second(B, Option<A>),
}

/// How a race of three ended: which one came first, what it returned, and what the others returned late, in their order.
///
/// That is `None` for one that ended as cancelled, or was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it may have a value that came late"]
pub enum Race3<A, B, C> {
    /// The first branch won.
    First(A, (Option<B>, Option<C>)),
    /// The second branch won.
    Second(B, (Option<A>, Option<C>)),
    /// The third branch won.
    Third(C, (Option<A>, Option<B>)),
}

/// What a loser returned, unless that is only the cancel.
fn late<T, E: Error + 'static>(
    branches: &Branches,
    output: Option<Result<T, E>>,
) -> Option<Result<T, E>> {
    output.filter(|output| match output {
        Ok(_) => true,
        Err(error) => matches!(branches.cause(error), Cause::Real),
    })
}

const NO_WINNER: &str = "the branch that ended first has an output, or has panicked";

impl<A, B> Sealed for (A, B) {}

impl<A, B, Ta, Tb, Ea, Eb> Race for (A, B)
where
    A: AsyncFnOnce() -> Result<Ta, Ea>,
    B: AsyncFnOnce() -> Result<Tb, Eb>,
    Ea: Error + 'static,
    Eb: Error + 'static,
{
    type Output = Race2<Result<Ta, Ea>, Result<Tb, Eb>>;

    async fn race(self, at: &'static Location<'static>) -> Self::Output {
        let scope = CancelScope::make(None, at);
        let entered = scope.enter(false, at);
        let branches = Branches::new(&scope, entered.scope(), at);
        let (mut a, mut b) = (pin!(Some(self.0())), pin!(Some(self.1())));
        let mut a = Branch::new(0, a.as_mut());
        let mut b = Branch::new(1, b.as_mut());
        poll_fn(|cx| {
            entered.poll(cx, |cx| {
                let is_over = a.poll(&branches, cx, |output| branches.win(output))
                    & b.poll(&branches, cx, |output| branches.win(output));
                if is_over {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
        })
        .await;
        branches.resume();
        let (a, b) = (a.take(), b.take());
        if branches.first() == Some(0) {
            Race2::First(a.expect(NO_WINNER), late(&branches, b))
        } else {
            Race2::Second(b.expect(NO_WINNER), late(&branches, a))
        }
    }
}

impl<A, B, C> Sealed for (A, B, C) {}

impl<A, B, C, Ta, Tb, Tc, Ea, Eb, Ec> Race for (A, B, C)
where
    A: AsyncFnOnce() -> Result<Ta, Ea>,
    B: AsyncFnOnce() -> Result<Tb, Eb>,
    C: AsyncFnOnce() -> Result<Tc, Ec>,
    Ea: Error + 'static,
    Eb: Error + 'static,
    Ec: Error + 'static,
{
    type Output = Race3<Result<Ta, Ea>, Result<Tb, Eb>, Result<Tc, Ec>>;

    async fn race(self, at: &'static Location<'static>) -> Self::Output {
        let scope = CancelScope::make(None, at);
        let entered = scope.enter(false, at);
        let branches = Branches::new(&scope, entered.scope(), at);
        let (mut a, mut b, mut c) = (
            pin!(Some(self.0())),
            pin!(Some(self.1())),
            pin!(Some(self.2())),
        );
        let mut a = Branch::new(0, a.as_mut());
        let mut b = Branch::new(1, b.as_mut());
        let mut c = Branch::new(2, c.as_mut());
        poll_fn(|cx| {
            entered.poll(cx, |cx| {
                let is_over = a.poll(&branches, cx, |output| branches.win(output))
                    & b.poll(&branches, cx, |output| branches.win(output))
                    & c.poll(&branches, cx, |output| branches.win(output));
                if is_over {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
        })
        .await;
        branches.resume();
        let (a, b, c) = (a.take(), b.take(), c.take());
        match branches.first() {
            Some(0) => Race3::First(
                a.expect(NO_WINNER),
                (late(&branches, b), late(&branches, c)),
            ),
            Some(1) => Race3::Second(
                b.expect(NO_WINNER),
                (late(&branches, a), late(&branches, c)),
            ),
            _ => Race3::Third(
                c.expect(NO_WINNER),
                (late(&branches, a), late(&branches, b)),
            ),
        }
    }
}
