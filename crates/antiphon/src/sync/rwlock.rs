//! Many readers or one writer.

use std::cell::{Cell, Ref, RefCell, RefMut};
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

/// A lock around a value that many may read at a time, or one write.
///
/// It is fair to both: readers and writers stand in one queue. A reader that comes after a waiting writer waits for it,
/// so writers don't starve; readers next to each other in the queue are let in together. For the same reason a task that
/// reads must not read a second time while it does: a writer may have come in between, and the two wait for each other.
///
/// # Examples
/// ```
/// use antiphon::sync::RwLock;
///
/// antiphon::run(async || {
///     let prices = RwLock::new(vec![3, 5]);
///     let (one, other) = (prices.read().await?, prices.read().await?);
///     assert_eq!(one[0] + other[1], 8);
///     drop((one, other));
///     prices.write().await?.push(7);
///     assert_eq!(prices.into_inner(), [3, 5, 7]);
///     Ok::<(), antiphon::Cancelled>(())
/// })?;
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
pub struct RwLock<T: ?Sized> {
    /// How many read, or `WRITER`. Those who were chosen and have not run yet are counted in.
    holders: Cell<usize>,
    /// The last of them that was let in, who may have gone before the others.
    last: Holder,
    /// Each asks for `READ` or `WRITE`. The first of them can't be let in at present.
    waiters: Queue,
    /// Borrowed by the guards and by nothing else, so borrowing it after being counted in succeeds.
    value: RefCell<T>,
}

const WRITER: usize = usize::MAX;

const READ: u64 = 0;
const WRITE: u64 = 1;

const fn kind(wants: u64) -> &'static str {
    if wants == WRITE {
        "rwlock write"
    } else {
        "rwlock read"
    }
}

impl<T> RwLock<T> {
    /// Makes a lock that is free.
    pub const fn new(value: T) -> Self {
        Self {
            holders: Cell::new(0),
            last: Holder::nobody(),
            waiters: Queue::new(),
            value: RefCell::new(value),
        }
    }

    /// Returns the value. Nobody has it locked, since `self` is not borrowed.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Returns the value. Nobody has it locked, since `self` is borrowed by this call alone.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Locks for reading, waiting for the writer that holds it and for all who came before.
    ///
    /// # Errors
    /// [`Cancelled`] if the scope is cancelled before, even if the lock is free.
    ///
    /// # Panics
    /// If it has to wait and no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** The lock is not held, and the place in the queue is given up. One that was let in before the cancel
    /// has the lock, and the next wait is the one that ends; dropped at that point, it is counted out again.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> RwLockRead<'_, T> {
        RwLockRead(Admission {
            lock: self,
            wants: READ,
            leaf: Leaf::new(Location::caller()),
        })
    }

    /// Locks for writing, waiting for all who hold it and all who came before.
    ///
    /// # Errors
    /// [`Cancelled`] if the scope is cancelled before, even if the lock is free.
    ///
    /// # Panics
    /// If it has to wait and no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** The lock is not held, the place in the queue is given up, and readers that waited behind it are
    /// let in if they can be. One that was let in before the cancel has the lock, and the next wait is the one that ends;
    /// dropped at that point, it lets in those who come next.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> RwLockWrite<'_, T> {
        RwLockWrite(Admission {
            lock: self,
            wants: WRITE,
            leaf: Leaf::new(Location::caller()),
        })
    }

    /// Locks for reading, if nobody writes and nobody waits.
    #[inline]
    #[track_caller]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        let at = Location::caller();
        self.try_admit(READ, at).then(|| self.read_guard(at))
    }

    /// Locks for writing, if the lock is free.
    #[inline]
    #[track_caller]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        let at = Location::caller();
        self.try_admit(WRITE, at).then(|| self.write_guard(at))
    }

    #[inline]
    fn try_admit(&self, wants: u64, at: &'static Location<'static>) -> bool {
        let is_admitted = self.waiters.is_empty() && self.admit(wants);
        if is_admitted {
            self.last.take(at);
        }
        is_admitted
    }

    /// Counts in one who asks for `wants`, if it can be let in.
    #[inline]
    fn admit(&self, wants: u64) -> bool {
        let holders = match (wants, self.holders.get()) {
            (READ, readers) if readers < WRITER - 1 => readers + 1,
            (WRITE, 0) => WRITER,
            _ => return false,
        };
        self.holders.set(holders);
        true
    }

    /// Lets in from the front of the queue whoever can be.
    #[inline]
    fn admit_waiters(&self) {
        if self.waiters.may_be_chosen_from() {
            self.admit_first_waiters();
        }
    }

    #[inline(never)]
    fn admit_first_waiters(&self) {
        while self.waiters.choose_first_taker_if(|wants, taker| {
            self.admit(wants).then(|| {
                self.last.hand_to(taker);
                wants
            })
        }) {}
        let held = match self.holders.get() {
            WRITER => self.last.held(kind(WRITE), 1),
            readers => self.last.held(kind(READ), readers),
        };
        self.waiters.post(held);
    }

    /// Counts out one who was let in for `had`.
    #[inline]
    fn release(&self, had: u64) {
        self.holders.set(if had == WRITE {
            0
        } else {
            self.holders.get() - 1
        });
        self.admit_waiters();
    }

    #[inline]
    fn read_guard(&self, at: &'static Location<'static>) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard {
            value: self.value.borrow(),
            _held: Held::new(self, READ, at),
        }
    }

    #[inline]
    fn write_guard(&self, at: &'static Location<'static>) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard {
            value: self.value.borrow_mut(),
            _held: Held::new(self, WRITE, at),
        }
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RwLock");
        // Waiting writers don't matter here: reading is over before anybody else runs.
        let here = Location::caller();
        let guard = self.admit(READ).then(|| self.read_guard(here));
        match &guard {
            Some(guard) => out.field("value", &&**guard),
            None => out.field("value", &format_args!("<locked>")),
        };
        out.finish_non_exhaustive()
    }
}

/// One who asks to be let in: what the two futures have in common.
struct Admission<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    wants: u64,
    leaf: Leaf,
}

impl<T: ?Sized> Admission<'_, T> {
    #[inline]
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<(), Cancelled>> {
        ready!(self.leaf.begin(cx))?;
        if !self.leaf.is_waiting() && self.lock.try_admit(self.wants, self.leaf.at()) {
            return Poll::Ready(Ok(()));
        }
        self.wait(cx)
    }

    #[inline(never)]
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Result<(), Cancelled>> {
        if self.leaf.is_waiting() {
            let result = ready!(self.leaf.poll(cx, &self.lock.waiters));
            if result.is_err() {
                // A writer that leaves the front of the queue makes way for the readers behind it.
                self.lock.admit_waiters();
            }
            return Poll::Ready(result.map(|_| ()));
        }
        self.leaf
            .join(&self.lock.waiters, cx, kind(self.wants), self.wants);
        // It may have been freed while this joined.
        self.lock.admit_waiters();
        Poll::Pending
    }
}

impl<T: ?Sized> Drop for Admission<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.leaf.is_waiting() {
            match self.leaf.leave(&self.lock.waiters) {
                Some(had) => self.lock.release(had),
                // As after a cancel.
                None => self.lock.admit_waiters(),
            }
        }
    }
}

/// The future of [`RwLock::read`].
#[must_use = "futures do nothing unless awaited"]
pub struct RwLockRead<'a, T: ?Sized>(Admission<'a, T>);

/// The future of [`RwLock::write`].
#[must_use = "futures do nothing unless awaited"]
pub struct RwLockWrite<'a, T: ?Sized>(Admission<'a, T>);

impl<'a, T: ?Sized> Future for RwLockRead<'a, T> {
    type Output = Result<RwLockReadGuard<'a, T>, Cancelled>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.0.poll(cx))?;
        Poll::Ready(Ok(self.0.lock.read_guard(self.0.leaf.at())))
    }
}

impl<'a, T: ?Sized> Future for RwLockWrite<'a, T> {
    type Output = Result<RwLockWriteGuard<'a, T>, Cancelled>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.0.poll(cx))?;
        Poll::Ready(Ok(self.0.lock.write_guard(self.0.leaf.at())))
    }
}

impl<T: ?Sized> fmt::Debug for RwLockRead<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLockRead")
            .field("leaf", &self.0.leaf)
            .finish_non_exhaustive()
    }
}

impl<T: ?Sized> fmt::Debug for RwLockWrite<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLockWrite")
            .field("leaf", &self.0.leaf)
            .finish_non_exhaustive()
    }
}

/// The value of an [`RwLock`], as long as it is locked for reading. Dropping it unlocks.
#[must_use = "the lock is free again when the guard is dropped"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    // The value is given back before the lock is: fields are dropped in their order.
    value: Ref<'a, T>,
    _held: Held<'a, T>,
}

/// The value of an [`RwLock`], as long as it is locked for writing. Dropping it unlocks.
#[must_use = "the lock is free again when the guard is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    // As for reading.
    value: RefMut<'a, T>,
    _held: Held<'a, T>,
}

/// The lock, held for `had`.
struct Held<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    had: u64,
    at: &'static Location<'static>,
}

impl<'a, T: ?Sized> Held<'a, T> {
    #[inline]
    fn new(lock: &'a RwLock<T>, had: u64, at: &'static Location<'static>) -> Self {
        tell_locked(kind(had), lock, at);
        Self { lock, had, at }
    }
}

impl<T: ?Sized> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        tell_unlocked(kind(self.had), self.lock, self.at);
        self.lock.release(self.had);
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
