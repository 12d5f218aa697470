//! Waiting until what a lock guards has changed.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::leaf::Leaf;
use super::{Mutex, MutexGuard, MutexLock};
use crate::scope::{Cancelled, Checkpoint};
use crate::wait::Queue;

/// A condition variable: wakes tasks that wait until what a [`Mutex`] guards has changed.
///
/// One who waits gives up the lock, and has it again when it goes on. By then another may have changed the value once
/// more, so wait in a loop, or with [`wait_while`](Self::wait_while). A notification that nobody waits for is not
/// remembered.
///
/// # Examples
/// ```
/// use antiphon::{run, spawn, sync::{Condvar, Mutex}};
/// use std::rc::Rc;
///
/// run(async || {
///     let shared = Rc::new((Mutex::new(Vec::new()), Condvar::new()));
///     let consumer = spawn({
///         let shared = Rc::clone(&shared);
///         async move || {
///             let (items, changed) = &*shared;
///             let guard = items.lock().await?;
///             let mut items = changed.wait_while(guard, |items| items.is_empty()).await?;
///             Ok::<_, antiphon::Cancelled>(items.pop().unwrap())
///         }
///     });
///     antiphon::yield_now().await?;
///     shared.0.lock().await?.push("bread");
///     shared.1.notify_one();
///     assert_eq!(consumer.await.unwrap()?, "bread");
///     Ok::<(), antiphon::Cancelled>(())
/// })?;
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
pub struct Condvar {
    waiters: Queue,
    /// How many notifications there were. One who waits notes the number that it does not wait for.
    notified: Cell<u64>,
}

impl Condvar {
    /// Makes a condition variable that nobody waits for.
    pub const fn new() -> Self {
        Self {
            waiters: Queue::new(),
            notified: Cell::new(0),
        }
    }

    /// Unlocks, waits for a notification, and locks again.
    ///
    /// It waits from the first poll on, and has the lock until then; no notification is missed in between.
    ///
    /// # Errors
    /// [`Cancelled`] if the scope is cancelled before it was notified and has the lock again. **The lock is not held then**: its
    /// guard went in with the call. To put things in order under the lock, take it once more in a
    /// [`shield`](crate::shield).
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** One that was notified before the cancel goes on if the lock is free or was handed to it, and the
    /// next wait is the one that ends. If it stands in line for the lock, it leaves that, and its notification goes to the
    /// next one who was waiting when it was given. So does one that is dropped, at any point.
    ///
    /// # Source
    /// The races are those of asyncio's `test_wait_cancel_after_notify` and `test_cancelled_wakeup_relock`. There and in trio
    /// the lock is taken again, for as long as that takes, before the cancel goes on, because the block around the wait will
    /// give it back. Here a guard that is not there is not given back, so nobody need wait for it.
    #[track_caller]
    pub fn wait<'a, T: ?Sized>(&'a self, guard: MutexGuard<'a, T>) -> CondvarWait<'a, T> {
        CondvarWait::new(self, guard, Location::caller())
    }

    /// Waits as long as `condition` holds: unlocks, waits for a notification, locks, and asks again.
    ///
    /// Does not wait at all if `condition` does not hold now.
    ///
    /// # Errors
    /// [`Cancelled`], as [`wait`](Self::wait), without the lock; in a scope that is cancelled already, `condition` is not asked.
    ///
    /// # Panics
    /// If it has to wait and no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen**, as for [`wait`](Self::wait). One that was notified before the cancel asks once more, and goes on
    /// with the lock if `condition` does not hold any more.
    #[track_caller]
    pub fn wait_while<'a, T: ?Sized>(
        &'a self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> impl Future<Output = Result<MutexGuard<'a, T>, Cancelled>> {
        let at = Location::caller();
        async move {
            let mut checkpoint = Checkpoint::new();
            poll_fn(|cx| checkpoint.poll(cx, at)).await?;
            while condition(&mut guard) {
                guard = CondvarWait::new(self, guard, at).await?;
            }
            Ok(guard)
        }
    }

    /// Wakes the first who waits. Returns `false` if nobody does.
    pub fn notify_one(&self) -> bool {
        self.notify_first(self.next_number())
    }

    /// Wakes all who wait now. They get the lock one after the other, in the order in which they came.
    pub fn notify_all(&self) {
        let number = self.next_number();
        while self.notify_first(number) {}
    }

    fn next_number(&self) -> u64 {
        self.notified.set(self.notified.get() + 1);
        self.notified.get()
    }

    /// Wakes the first who waits, if it did so when the notification of that number was given.
    fn notify_first(&self, number: u64) -> bool {
        self.waiters
            .choose_first_if(|notified| (notified < number).then_some(number))
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar")
            .field("waiting", &self.waiters.len())
            .finish_non_exhaustive()
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

/// The future of [`Condvar::wait`].
#[must_use = "futures do nothing unless awaited"]
pub struct CondvarWait<'a, T: ?Sized> {
    condvar: &'a Condvar,
    leaf: Leaf,
    stage: Stage<'a, T>,
    at: &'static Location<'static>,
}

enum Stage<'a, T: ?Sized> {
    /// Not polled yet.
    Holding(MutexGuard<'a, T>),
    Waiting(&'a Mutex<T>),
    /// It was given the notification of that number, and stands in line for the lock.
    Locking(MutexLock<'a, T>, u64),
    Done,
}

impl<'a, T: ?Sized> CondvarWait<'a, T> {
    fn new(condvar: &'a Condvar, guard: MutexGuard<'a, T>, at: &'static Location<'static>) -> Self {
        Self {
            condvar,
            leaf: Leaf::new(at),
            stage: Stage::Holding(guard),
            at,
        }
    }
}

impl<'a, T: ?Sized> Future for CondvarWait<'a, T> {
    type Output = Result<MutexGuard<'a, T>, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            match &mut this.stage {
                Stage::Holding(guard) => {
                    if let Err(cancelled) = ready!(this.leaf.begin(cx)) {
                        this.stage = Stage::Done;
                        return Poll::Ready(Err(cancelled));
                    }
                    let mutex = MutexGuard::mutex(guard);
                    this.leaf.join(
                        &this.condvar.waiters,
                        cx,
                        "condvar",
                        this.condvar.notified.get(),
                    );
                    // Unlocking is the last thing: it may wake one who notifies at once.
                    let holding = std::mem::replace(&mut this.stage, Stage::Waiting(mutex));
                    drop(holding);
                }
                Stage::Waiting(mutex) => {
                    let mutex = *mutex;
                    let number = match ready!(this.leaf.poll(cx, &this.condvar.waiters)) {
                        Ok(number) => number,
                        Err(cancelled) => {
                            this.stage = Stage::Done;
                            return Poll::Ready(Err(cancelled));
                        }
                    };
                    // If the lock is free there is nothing left to wait for: it goes on even if it is cancelled.
                    if let Some(guard) = mutex.try_lock_at(this.at) {
                        this.stage = Stage::Done;
                        return Poll::Ready(Ok(guard));
                    }
                    this.stage = Stage::Locking(mutex.lock_at(this.at), number);
                }
                Stage::Locking(lock, number) => {
                    let result = ready!(Pin::new(lock).poll(cx));
                    let number = *number;
                    this.stage = Stage::Done;
                    if result.is_err() {
                        this.condvar.notify_first(number);
                    }
                    return Poll::Ready(result);
                }
                Stage::Done => panic!("`Condvar::wait` was polled after it had ended"),
            }
        }
    }
}

impl<T: ?Sized> Drop for CondvarWait<'_, T> {
    fn drop(&mut self) {
        let number = match self.stage {
            Stage::Locking(_, number) => Some(number),
            _ => self.leaf.leave(&self.condvar.waiters),
        };
        // The line for the lock is left first, so that nobody who is notified finds it there.
        self.stage = Stage::Done;
        if let Some(number) = number {
            // After `notify_all` there is nobody left to pass it on to.
            self.condvar.notify_first(number);
        }
    }
}

impl<T: ?Sized> fmt::Debug for CondvarWait<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Holding(_) => "holding",
            Stage::Waiting(_) => "waiting",
            Stage::Locking(..) => "locking",
            Stage::Done => "done",
        };
        f.debug_struct("CondvarWait")
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}
