//! A future whose panics are results.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

pub(super) type Payload = Box<dyn Any + Send>;

/// Awaits the future that `make` makes. A panic in making, polling, or dropping it is returned; what the future had returned
/// before its destructor panicked is lost then.
pub(super) async fn caught<F: Future>(make: impl FnOnce() -> F) -> Result<F::Output, Payload> {
    let mut place = pin!(Some(catch(make)?));
    poll_fn(|cx| poll_caught(place.as_mut(), cx)).await
}

/// Polls what is in `place`, and drops it when it is ready or has panicked.
pub(super) fn poll_caught<F: Future>(
    mut place: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Payload>> {
    let future = place
        .as_mut()
        .as_pin_mut()
        .expect("it is not polled after its end");
    let result = match catch(|| future.poll(cx)) {
        Ok(poll) => Ok(ready!(poll)),
        Err(payload) => Err(payload),
    };
    let dropped = drop_caught(place);
    Poll::Ready(match (result, dropped) {
        // The first panic is the one that tells what went wrong.
        (Err(payload), _) | (Ok(_), Err(payload)) => Err(payload),
        (result, Ok(())) => result,
    })
}

/// Drops what is in `place`.
pub(super) fn drop_caught<F>(mut place: Pin<&mut Option<F>>) -> Result<(), Payload> {
    catch(|| place.set(None))
}

pub(super) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Payload> {
    catch_unwind(AssertUnwindSafe(f))
}
