//! All of several.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::task::Poll;

use super::branch::{Branch, Branches, Failures};
use super::errors::GroupError;
use crate::scope::CancelScope;

/// Runs two to six branches until all have ended, and returns what they returned, in their order.
///
/// The branches are async closures, in a tuple. They run in turn, in this task, and may borrow from it.
///
/// For any number of branches of one type see [`join_all`](super::join_all).
///
/// # Panics
/// If no loop is running on this thread. With the panic of a branch: the others are cancelled then, and awaited.
///
/// # Cancellation
/// The branches hear of it.
///
/// # Examples
/// ```
/// use antiphon::{join, run, yield_now};
///
/// run(async || {
///     let name = String::from("Ida");
///     let both = join((async || name.len(), async || yield_now().await));
///     assert_eq!(both.await, (3, Ok(())));
/// });
/// ```
#[track_caller]
pub fn join<J: Join>(branches: J) -> impl Future<Output = J::Output> {
    branches.join(Location::caller())
}

/// Runs two to six branches until all have ended, and returns their values, in their order; cancels the others when one fails.
///
/// The branches are async closures, in a tuple. They run in turn, in this task, and may borrow from it. When one returns an
/// error, the waits of the others end with [`Cancelled`](crate::Cancelled), for the reason
/// [`SiblingFailed`](crate::CancelReason::SiblingFailed), and they are awaited. A branch that has not begun then is not begun.
///
/// For any number of branches of one type see [`try_join_all`](super::try_join_all).
///
/// # Errors
/// [`GroupError`]: what the branches returned, but for the errors that come of that cancel. The values of the others are dropped.
///
/// # Panics
/// As [`join`].
///
/// # Cancellation
/// The branches hear of it.
///
/// # Examples
/// ```
/// use antiphon::{run, try_join, yield_now};
/// use std::io;
///
/// run(async || {
///     let both = try_join((
///         async || Ok::<_, io::Error>(yield_now().await?),
///         async || Err::<(), _>(io::Error::other("no paper")),
///     ));
///     assert_eq!(both.await.unwrap_err().first().to_string(), "no paper");
/// });
/// ```
#[track_caller]
pub fn try_join<J: TryJoin>(
    branches: J,
) -> impl Future<Output = Result<J::Output, GroupError<J::Error>>> {
    branches.try_join(Location::caller())
}

/// Two to six async closures, in a tuple: see [`join`].
#[allow(private_bounds, reason = "nobody else implements it")]
pub trait Join: Sealed {
    /// What they return, in a tuple.
    type Output;

    #[doc(hidden)]
    fn join(self, at: &'static Location<'static>) -> impl Future<Output = Self::Output>;
}

/// Two to six async closures, in a tuple, that return a `Result` with the same type of error: see [`try_join`].
#[allow(private_bounds, reason = "nobody else implements it")]
pub trait TryJoin: Sealed {
    /// Their values, in a tuple.
    type Output;
    /// Their error.
    type Error;

    #[doc(hidden)]
    fn try_join(
        self,
        at: &'static Location<'static>,
    ) -> impl Future<Output = Result<Self::Output, GroupError<Self::Error>>>;
}

trait Sealed {}

const NO_OUTPUT: &str = "a branch has an output, or has panicked, or another one did";

macro_rules! joins {
    ($(($($index:tt $branch:ident $F:ident $T:ident),+))+) => {$(
        impl<$($F),+> Sealed for ($($F,)+) {}

        impl<$($F, $T),+> Join for ($($F,)+)
        where
            $($F: AsyncFnOnce() -> $T,)+
        {
            type Output = ($($T,)+);

            async fn join(self, at: &'static Location<'static>) -> Self::Output {
                let scope = CancelScope::make(None, at);
                let entered = scope.enter(false, at);
                let branches = Branches::new(&scope, entered.scope(), at);
                $(let mut $branch = pin!(Some(self.$index()));)+
                $(let mut $branch = Branch::new($index, $branch.as_mut());)+
                poll_fn(|cx| {
                    entered.poll(cx, |cx| {
                        let is_over = true $(& $branch.poll(&branches, cx, |output| output))+;
                        if is_over { Poll::Ready(()) } else { Poll::Pending }
                    })
                })
                .await;
                branches.resume();
                ($($branch.take().expect(NO_OUTPUT),)+)
            }
        }

        impl<Error_, $($F, $T),+> TryJoin for ($($F,)+)
        where
            $($F: AsyncFnOnce() -> Result<$T, Error_>,)+
            Error_: Error + 'static,
        {
            type Output = ($($T,)+);
            type Error = Error_;

            async fn try_join(
                self,
                at: &'static Location<'static>,
            ) -> Result<Self::Output, GroupError<Self::Error>> {
                let scope = CancelScope::make(None, at);
                let entered = scope.enter(false, at);
                let branches = Branches::new(&scope, entered.scope(), at);
                let failures = Failures::new(&branches);
                $(let mut $branch = pin!(Some(self.$index()));)+
                $(let mut $branch = Branch::new($index, $branch.as_mut());)+
                poll_fn(|cx| {
                    entered.poll(cx, |cx| {
                        let is_over = true
                            $(& $branch.poll(&branches, cx, |output| failures.sort(output)))+;
                        if is_over { Poll::Ready(()) } else { Poll::Pending }
                    })
                })
                .await;
                branches.resume();
                match failures.into_error() {
                    Some(error) => Err(error),
                    None => Ok(($($branch.take().flatten().expect(NO_OUTPUT),)+)),
                }
            }
        }
    )+};
}

joins! {
    (0 a A Ta, 1 b B Tb)
    (0 a A Ta, 1 b B Tb, 2 c C Tc)
    (0 a A Ta, 1 b B Tb, 2 c C Tc, 3 d D Td)
    (0 a A Ta, 1 b B Tb, 2 c C Tc, 3 d D Td, 4 e E Te)
    (0 a A Ta, 1 b B Tb, 2 c C Tc, 3 d D Td, 4 e E Te, 5 f F Tf)
}
