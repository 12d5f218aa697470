//! Waiting until what a lock guards has changed.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::leaf::Leaf;
use super::{Mutex, MutexGuard, MutexLock};
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
///             let mut items = changed.wait_while(items.lock().await, |items| items.is_empty()).await;
///             items.pop().unwrap()
///         }
///     });
///     antiphon::yield_now().await;
///     shared.0.lock().await.push("bread");
///     shared.1.notify_one();
///     assert_eq!(consumer.await.unwrap(), "bread");
/// });
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
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** A notification that was on its way goes to the next one who was waiting when it was given. The
    /// lock is not held afterwards, since its guard went in with the call.
    #[track_caller]
    pub fn wait<'a, T: ?Sized>(&'a self, guard: MutexGuard<'a, T>) -> CondvarWait<'a, T> {
        CondvarWait::new(self, guard, Location::caller())
    }

    /// Waits as long as `condition` holds: unlocks, waits for a notification, locks, and asks again.
    ///
    /// Does not wait at all if `condition` does not hold now.
    ///
    /// # Panics
    /// If it has to wait and no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen**, as for [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_while<'a, T: ?Sized>(
        &'a self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> impl Future<Output = MutexGuard<'a, T>> {
        let at = Location::caller();
        async move {
            while condition(&mut guard) {
                guard = CondvarWait::new(self, guard, at).await;
            }
            guard
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
    /// Notified, and in line for the lock. Were it told to give up, it would still finish this: whoever goes on after a
    /// wait goes on with the lock.
    Locking(MutexLock<'a, T>),
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
    type Output = MutexGuard<'a, T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            match &mut this.stage {
                Stage::Holding(guard) => {
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
                    ready!(this.leaf.poll(cx));
                    this.stage = Stage::Locking(mutex.lock_at(this.at));
                }
                Stage::Locking(lock) => {
                    let guard = ready!(Pin::new(lock).poll(cx));
                    this.stage = Stage::Done;
                    return Poll::Ready(guard);
                }
                Stage::Done => panic!("`Condvar::wait` was polled after it gave the guard"),
            }
        }
    }
}

impl<T: ?Sized> Drop for CondvarWait<'_, T> {
    fn drop(&mut self) {
        if let Some(number) = self.leaf.leave(&self.condvar.waiters) {
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
            Stage::Locking(_) => "locking",
            Stage::Done => "done",
        };
        f.debug_struct("CondvarWait")
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}
