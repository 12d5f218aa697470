//! One at a time.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::holder::{Holder, tell_locked, tell_unlocked};
use super::leaf::Leaf;
use crate::scope::Cancelled;
use crate::wait::Queue;

/// A lock around a value, for tasks of one worker; its guard may be kept across awaits.
///
/// Where no await lies between locking and unlocking, a [`RefCell`] does and costs less thought. The lock is fair: a guard
/// that is dropped while others wait hands the lock to the first of them. A panic while it is locked unlocks it, and
/// nothing else: there is no poisoning.
///
/// # Examples
/// ```
/// use antiphon::{run, spawn, sync::Mutex, yield_now};
/// use std::rc::Rc;
///
/// run(async || {
///     let log = Rc::new(Mutex::new(Vec::new()));
///     let tasks: Vec<_> = (0..3)
///         .map(|task| {
///             let log = Rc::clone(&log);
///             spawn(async move || {
///                 let mut log = log.lock().await?;
///                 log.push((task, "begin"));
///                 yield_now().await?;
///                 log.push((task, "end"));
///                 Ok::<(), antiphon::Cancelled>(())
///             })
///         })
///         .collect();
///     for task in tasks {
///         task.await.unwrap()?;
///     }
///     assert_eq!(log.lock().await?[..2], [(0, "begin"), (0, "end")]);
///     Ok::<(), antiphon::Cancelled>(())
/// })?;
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
pub struct Mutex<T: ?Sized> {
    /// Somebody while there is a guard, or one who was chosen and will make a guard when it runs. Never nobody while
    /// somebody waits.
    holder: Holder,
    waiters: Queue,
    /// Borrowed by the guard and by nothing else, so borrowing it after becoming the holder succeeds.
    value: RefCell<T>,
}

const KIND: &str = "mutex";

impl<T> Mutex<T> {
    /// Makes a lock that is free.
    pub const fn new(value: T) -> Self {
        Self {
            holder: Holder::nobody(),
            waiters: Queue::new(),
            value: RefCell::new(value),
        }
    }

    /// Returns the value. Nobody has it locked, since `self` is not borrowed.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Returns the value. Nobody has it locked, since `self` is borrowed by this call alone.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Locks, waiting until those who came before have unlocked.
    ///
    /// # Errors
    /// [`Cancelled`] if the scope is cancelled before, even if the lock is free.
    ///
    /// # Panics
    /// If it has to wait and no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** The lock is not held, and the place in the queue is given up. A lock that was handed over before
    /// the cancel is held, and the next wait is the one that ends; dropped at that point, it goes to the next who waits.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> MutexLock<'_, T> {
        self.lock_at(Location::caller())
    }

    #[inline]
    pub(super) const fn lock_at(&self, at: &'static Location<'static>) -> MutexLock<'_, T> {
        MutexLock {
            mutex: self,
            leaf: Leaf::new(at),
        }
    }

    /// Locks if the lock is free: neither held nor waited for.
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.try_lock_at(Location::caller())
    }

    #[inline]
    pub(super) fn try_lock_at(&self, at: &'static Location<'static>) -> Option<MutexGuard<'_, T>> {
        if self.is_locked() {
            return None;
        }
        self.holder.take(at);
        Some(self.guard(at))
    }

    /// Returns `true` if the lock is held, or on its way to one who waited for it.
    #[inline]
    pub fn is_locked(&self) -> bool {
        self.holder.is_somebody()
    }

    /// Makes the guard of one who has the lock already.
    #[inline]
    fn guard(&self, at: &'static Location<'static>) -> MutexGuard<'_, T> {
        debug_assert!(self.is_locked());
        tell_locked(KIND, self, at);
        MutexGuard {
            value: self.value.borrow_mut(),
            held: Held { mutex: self, at },
        }
    }

    /// Hands the lock to the first who waits, or frees it.
    #[inline]
    fn release(&self) {
        if self.waiters.may_be_chosen_from() {
            self.hand_over();
        } else {
            self.holder.clear();
        }
    }

    #[inline(never)]
    fn hand_over(&self) {
        let hand_to = |_, taker| {
            self.holder.hand_to(taker);
            Some(0)
        };
        if self.waiters.choose_first_taker_if(hand_to) {
            self.post();
        } else {
            self.holder.clear();
        }
    }

    /// Tells those who wait who holds the lock.
    fn post(&self) {
        self.waiters.post(self.holder.held(KIND, 1));
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutex");
        match self.try_lock() {
            Some(guard) => out.field("value", &&*guard),
            None => out.field("value", &format_args!("<locked>")),
        };
        out.finish_non_exhaustive()
    }
}

/// The future of [`Mutex::lock`].
#[must_use = "futures do nothing unless awaited"]
pub struct MutexLock<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    leaf: Leaf,
}

impl<'a, T: ?Sized> MutexLock<'a, T> {
    #[inline(never)]
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Result<MutexGuard<'a, T>, Cancelled>> {
        if self.leaf.is_waiting() {
            ready!(self.leaf.poll(cx, &self.mutex.waiters))?;
            return Poll::Ready(Ok(self.mutex.guard(self.leaf.at())));
        }
        self.leaf.join(&self.mutex.waiters, cx, KIND, 0);
        // It may have been freed while this joined.
        if self.mutex.is_locked() {
            self.mutex.post();
        } else {
            self.mutex.hand_over();
        }
        Poll::Pending
    }
}

impl<'a, T: ?Sized> Future for MutexLock<'a, T> {
    type Output = Result<MutexGuard<'a, T>, Cancelled>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.leaf.begin(cx))?;
        if !self.leaf.is_waiting() {
            if let Some(guard) = self.mutex.try_lock_at(self.leaf.at()) {
                return Poll::Ready(Ok(guard));
            }
        }
        self.wait(cx)
    }
}

impl<T: ?Sized> Drop for MutexLock<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.leaf.leave(&self.mutex.waiters).is_some() {
            self.mutex.release();
        }
    }
}

impl<T: ?Sized> fmt::Debug for MutexLock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutexLock")
            .field("leaf", &self.leaf)
            .finish_non_exhaustive()
    }
}

/// The value of a [`Mutex`], as long as it is locked. Dropping it unlocks.
#[must_use = "the lock is free again when the guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    // The value is given back before the lock is: fields are dropped in their order.
    value: RefMut<'a, T>,
    held: Held<'a, T>,
}

/// The lock, held.
struct Held<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    at: &'static Location<'static>,
}

impl<T: ?Sized> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        tell_unlocked(KIND, self.mutex, self.at);
        self.mutex.release();
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Returns the lock that `guard` holds.
    pub fn mutex(guard: &Self) -> &'a Mutex<T> {
        guard.held.mutex
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
