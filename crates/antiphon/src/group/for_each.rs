//! Many items, a few at a time.

use std::error::Error;
use std::future::Future;
use std::panic::Location;

use super::errors::GroupError;
use super::nursery::{Group, run};
use crate::scope::{Cancelled, find_cancelled};
use crate::sync::{Semaphore, SemaphorePermit};

/// Calls `work` with each item, and awaits them, at most `limit` at a time.
///
/// The next item is taken when there is room for it. Each call is a child of a [`group`](super::group): a task in the
/// [`tree`](crate::tree). For items that have to be waited for see [`for_each_received`].
///
/// # Errors
/// [`GroupError`]: what the calls returned. The first error cancels the others, and no more items are taken.
///
/// # Panics
/// If `limit` is 0, or no loop is running on this thread. With the panic of a call, when all have ended.
///
/// # Cancellation
/// The calls hear of it, and no more items are taken.
///
/// # Examples
/// ```
/// use antiphon::{Cancelled, for_each_concurrent, run, yield_now};
/// use std::cell::Cell;
///
/// run(async || {
///     let (inside, most) = (Cell::new(0), Cell::new(0));
///     for_each_concurrent(0..10, 3, async |_| {
///         inside.set(inside.get() + 1);
///         most.set(most.get().max(inside.get()));
///         yield_now().await?;
///         inside.set(inside.get() - 1);
///         Ok::<(), Cancelled>(())
///     })
///     .await?;
///     assert_eq!(most.get(), 3);
///     Ok::<(), Cancelled>(())
/// })?;
/// # Ok::<(), Cancelled>(())
/// ```
#[track_caller]
pub fn for_each_concurrent<I, F, E>(
    items: I,
    limit: usize,
    work: F,
) -> impl Future<Output = Result<(), GroupError<E>>>
where
    I: IntoIterator,
    F: AsyncFn(I::Item) -> Result<(), E>,
    E: Error + From<Cancelled> + 'static,
{
    let at = Location::caller();
    assert!(limit > 0, "{NO_LIMIT}");
    async move {
        let room = Semaphore::new(limit.min(Semaphore::PERMITS_MAX));
        let (work, room) = (&work, &room);
        run(
            async |group| {
                for item in items {
                    let permit = enter(room).await?;
                    start(&group, permit, async move || work(item).await, at);
                }
                Ok(())
            },
            at,
        )
        .await
    }
}

/// Calls `work` with each item that `next` gives, and awaits them, at most `limit` at a time.
///
/// `next` is an async closure, mostly `async || receiver.recv().await`; with `None` it ends. It is called when there is room for
/// another item. For items that are there already see [`for_each_concurrent`].
///
/// # Errors
/// [`GroupError`]: what the calls and `next` returned. The first error cancels the others, and no more items are taken.
///
/// # Panics
/// As [`for_each_concurrent`].
///
/// # Cancellation
/// The calls and `next` hear of it.
///
/// # Examples
/// ```
/// use antiphon::{Cancelled, for_each_received, run, sync::mpsc};
/// use std::cell::Cell;
///
/// run(async || {
///     let (sender, mut receiver) = mpsc::unbounded();
///     for number in 1..=4 {
///         sender.send(number).unwrap();
///     }
///     drop(sender);
///     let sum = Cell::new(0);
///     for_each_received(async || receiver.recv().await, 2, async |number| {
///         sum.set(sum.get() + number);
///         Ok::<(), Cancelled>(())
///     })
///     .await?;
///     assert_eq!(sum.get(), 10);
///     Ok::<(), Cancelled>(())
/// })?;
/// # Ok::<(), Cancelled>(())
/// ```
#[track_caller]
pub fn for_each_received<N, F, Item, E, Ended>(
    next: N,
    limit: usize,
    work: F,
) -> impl Future<Output = Result<(), GroupError<E>>>
where
    N: AsyncFnMut() -> Result<Option<Item>, Ended>,
    F: AsyncFn(Item) -> Result<(), E>,
    E: Error + From<Cancelled> + From<Ended> + 'static,
{
    let at = Location::caller();
    assert!(limit > 0, "{NO_LIMIT}");
    async move {
        let room = Semaphore::new(limit.min(Semaphore::PERMITS_MAX));
        let (work, room) = (&work, &room);
        let mut next = next;
        run(
            async |group| {
                loop {
                    let permit = enter(room).await?;
                    let Some(item) = next().await? else {
                        return Ok(());
                    };
                    start(&group, permit, async move || work(item).await, at);
                }
            },
            at,
        )
        .await
    }
}

const NO_LIMIT: &str = "with a limit of 0 nothing would ever be done";

async fn enter(room: &Semaphore) -> Result<SemaphorePermit<'_>, Cancelled> {
    match room.acquire(1).await {
        Ok(permit) => Ok(permit),
        Err(error) => Err(find_cancelled(&error).expect("it is never closed").clone()),
    }
}

fn start<'env, E: Error + 'static>(
    group: &Group<'env, E>,
    permit: SemaphorePermit<'env>,
    work: impl AsyncFnOnce() -> Result<(), E> + 'env,
    at: &'static Location<'static>,
) {
    let work = async move {
        let _permit = permit;
        work().await
    };
    group.state.spawn(work, None, at);
}
