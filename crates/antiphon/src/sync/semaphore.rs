//! So many at a time.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::holder::{Holder, tell_locked, tell_unlocked};
use super::leaf::Leaf;
use super::{AcquireError, TryAcquireError};
use crate::wait::Queue;

/// A number of permits, which tasks take and give back.
///
/// Fair: who asks for many permits keeps its turn while they gather, and those behind it wait, even if there are enough
/// for them.
///
/// # Examples
/// ```
/// use antiphon::{run, spawn, sync::Semaphore, yield_now};
/// use std::{cell::Cell, rc::Rc};
///
/// run(async || {
///     let two_at_a_time = Rc::new(Semaphore::new(2));
///     let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
///     let mut tasks = Vec::new();
///     for _ in 0..5 {
///         let permit = two_at_a_time.acquire_owned(1).await?;
///         let (inside, most) = (Rc::clone(&inside), Rc::clone(&most));
///         tasks.push(spawn(async move || {
///             inside.set(inside.get() + 1);
///             most.set(most.get().max(inside.get()));
///             yield_now().await?;
///             inside.set(inside.get() - 1);
///             drop(permit);
///             Ok::<(), antiphon::Cancelled>(())
///         }));
///     }
///     for task in tasks {
///         task.await.unwrap()?;
///     }
///     assert_eq!(most.get(), 2);
///     Ok::<(), antiphon::sync::AcquireError>(())
/// })?;
/// # Ok::<(), antiphon::sync::AcquireError>(())
/// ```
pub struct Semaphore {
    /// Permits to be had. Those given to one who was chosen and has not run yet are not among them.
    permits: Cell<usize>,
    /// All permits, there or out. Those that were forgotten are not among them.
    total: Cell<usize>,
    /// Who was given permits last, and may have given them back.
    last: Holder,
    is_closed: Cell<bool>,
    /// Each asks for a number of permits. The first of them asks for more than there are.
    waiters: Queue,
}

/// What a waiter is told that was chosen because the semaphore was closed. Others are told how many permits they got.
const CLOSED: u64 = u64::MAX;

const KIND: &str = "semaphore";

impl Semaphore {
    /// The largest number of permits that can be had at one time.
    pub const PERMITS_MAX: usize = usize::MAX >> 1;

    /// Makes a semaphore with so many permits.
    ///
    /// # Panics
    /// If `permits` is larger than [`PERMITS_MAX`](Self::PERMITS_MAX).
    #[track_caller]
    pub const fn new(permits: usize) -> Self {
        assert!(
            permits <= Self::PERMITS_MAX,
            "a semaphore has at most `PERMITS_MAX` permits"
        );
        Self {
            permits: Cell::new(permits),
            total: Cell::new(permits),
            last: Holder::nobody(),
            is_closed: Cell::new(false),
            waiters: Queue::new(),
        }
    }

    /// Takes `count` permits, waiting until there are so many and all who came before have theirs.
    ///
    /// They are given back when the [`SemaphorePermit`] is dropped. A `count` of zero waits for its turn, too.
    ///
    /// # Errors
    /// [`AcquireError::Closed`] if the semaphore is or gets closed; [`AcquireError::Cancelled`] if the scope is cancelled
    /// before, even if there are permits.
    ///
    /// # Panics
    /// If it has to wait and no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** No permits are held, the place in the queue is given up, and those behind it for whom there are
    /// enough get theirs. Permits that were given before the cancel are held, and the next wait is the one that ends; dropped
    /// at that point, they go back. That the semaphore was closed is heard of likewise.
    #[inline]
    #[track_caller]
    pub const fn acquire(&self, count: usize) -> SemaphoreAcquire<'_> {
        SemaphoreAcquire {
            semaphore: self,
            request: Request::new(count, Location::caller()),
        }
    }

    /// Takes `count` permits that don't borrow the semaphore: see [`acquire`](Self::acquire).
    ///
    /// # Errors
    /// [`AcquireError`], as [`acquire`](Self::acquire).
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancellation
    /// **Did not happen**, as [`acquire`](Self::acquire).
    #[inline]
    #[track_caller]
    pub fn acquire_owned(self: &Rc<Self>, count: usize) -> SemaphoreAcquireOwned {
        SemaphoreAcquireOwned {
            semaphore: Rc::clone(self),
            request: Request::new(count, Location::caller()),
        }
    }

    /// Takes `count` permits, if there are so many and nobody waits.
    ///
    /// # Errors
    /// [`TryAcquireError::NoPermits`] if not, [`TryAcquireError::Closed`] if the semaphore is closed.
    #[inline]
    #[track_caller]
    pub fn try_acquire(&self, count: usize) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        let at = Location::caller();
        self.try_take(count, at)?;
        Ok(SemaphorePermit::new(self, count, at))
    }

    /// Takes `count` permits that don't borrow the semaphore, if there are so many and nobody waits.
    ///
    /// # Errors
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    #[track_caller]
    pub fn try_acquire_owned(
        self: &Rc<Self>,
        count: usize,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        let at = Location::caller();
        self.try_take(count, at)?;
        Ok(OwnedSemaphorePermit::new(Rc::clone(self), count, at))
    }

    /// Adds permits, which may let in some who wait.
    ///
    /// # Panics
    /// If there would be more than [`PERMITS_MAX`](Self::PERMITS_MAX).
    #[track_caller]
    pub fn add_permits(&self, count: usize) {
        let permits = self
            .permits
            .get()
            .checked_add(count)
            .filter(|permits| *permits <= Self::PERMITS_MAX);
        self.permits
            .set(permits.expect("a semaphore has at most `PERMITS_MAX` permits"));
        self.total.set(self.total.get().saturating_add(count));
        self.grant();
    }

    /// Closes the semaphore: nobody gets permits any more, and those who wait hear that. Permits that are out stay valid.
    pub fn close(&self) {
        self.is_closed.set(true);
        while self.waiters.choose_first(CLOSED) {}
    }

    /// Returns `true` if the semaphore was closed.
    pub fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Returns how many permits are there now.
    pub fn available_permits(&self) -> usize {
        self.permits.get()
    }

    #[inline]
    fn try_take(
        &self,
        count: usize,
        at: &'static Location<'static>,
    ) -> Result<(), TryAcquireError> {
        if self.is_closed.get() {
            return Err(TryAcquireError::Closed);
        }
        if !self.waiters.is_empty() || !self.take(count) {
            return Err(TryAcquireError::NoPermits);
        }
        self.last.take(at);
        Ok(())
    }

    /// Takes so many permits if there are.
    #[inline]
    fn take(&self, count: usize) -> bool {
        let rest = self
            .permits
            .get()
            .checked_sub(count)
            .filter(|_| count <= Self::PERMITS_MAX);
        if let Some(rest) = rest {
            self.permits.set(rest);
        }
        rest.is_some()
    }

    /// Gives permits to those at the front of the queue for whom there are enough.
    #[inline]
    fn grant(&self) {
        if self.waiters.may_be_chosen_from() {
            self.grant_first();
        }
    }

    #[inline(never)]
    fn grant_first(&self) {
        while self.waiters.choose_first_taker_if(|count, taker| {
            self.take(from_note(count)).then(|| {
                self.last.hand_to(taker);
                count
            })
        }) {}
        let out = self.total.get().saturating_sub(self.permits.get());
        self.waiters.post(self.last.held(KIND, out));
    }

    #[inline]
    fn give_back(&self, count: usize) {
        // Saturates only if more were added, while others were out, than could be there at one time.
        self.permits.set(self.permits.get().saturating_add(count));
        self.grant();
    }

    /// Has so many permits that are out never come back.
    fn forget(&self, count: usize) {
        self.total.set(self.total.get().saturating_sub(count));
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("permits", &self.permits.get())
            .field("is_closed", &self.is_closed.get())
            .field("waiting", &self.waiters.len())
            .finish_non_exhaustive()
    }
}

const fn into_note(count: usize) -> u64 {
    // More than `PERMITS_MAX` are never there; so many are not there either, and are not `CLOSED`.
    if count > Semaphore::PERMITS_MAX {
        Semaphore::PERMITS_MAX as u64 + 1
    } else {
        count as u64
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "`into_note` made it of a `usize`"
)]
const fn from_note(note: u64) -> usize {
    note as usize
}

/// What the two futures have in common.
#[derive(Debug)]
struct Request {
    count: usize,
    leaf: Leaf,
}

impl Request {
    #[inline]
    const fn new(count: usize, at: &'static Location<'static>) -> Self {
        Self {
            count,
            leaf: Leaf::new(at),
        }
    }

    #[inline]
    fn poll(&mut self, semaphore: &Semaphore, cx: &Context<'_>) -> Poll<Result<(), AcquireError>> {
        ready!(self.leaf.begin(cx))?;
        if !self.leaf.is_waiting() {
            match semaphore.try_take(self.count, self.leaf.at()) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(TryAcquireError::Closed) => return Poll::Ready(Err(AcquireError::Closed)),
                Err(TryAcquireError::NoPermits) => {}
            }
        }
        self.wait(semaphore, cx)
    }

    #[inline(never)]
    fn wait(&mut self, semaphore: &Semaphore, cx: &Context<'_>) -> Poll<Result<(), AcquireError>> {
        if self.leaf.is_waiting() {
            return Poll::Ready(match ready!(self.leaf.poll(cx, &semaphore.waiters)) {
                Ok(CLOSED) => Err(AcquireError::Closed),
                Ok(_) => Ok(()),
                Err(cancelled) => {
                    // It may have kept those behind it from fewer permits than it asked for.
                    semaphore.grant();
                    Err(cancelled.into())
                }
            });
        }
        self.leaf
            .join(&semaphore.waiters, cx, KIND, into_note(self.count));
        // Permits may have come back, or the semaphore have been closed, while this joined.
        if semaphore.is_closed() {
            semaphore.close();
        } else {
            semaphore.grant();
        }
        Poll::Pending
    }

    #[inline]
    fn leave(&mut self, semaphore: &Semaphore) {
        if self.leaf.is_waiting() {
            match self.leaf.leave(&semaphore.waiters) {
                Some(CLOSED) => {}
                Some(count) => semaphore.give_back(from_note(count)),
                // As after a cancel.
                None => semaphore.grant(),
            }
        }
    }
}

/// The future of [`Semaphore::acquire`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct SemaphoreAcquire<'a> {
    semaphore: &'a Semaphore,
    request: Request,
}

impl<'a> Future for SemaphoreAcquire<'a> {
    type Output = Result<SemaphorePermit<'a>, AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (semaphore, count) = (self.semaphore, self.request.count);
        let at = self.request.leaf.at();
        self.request
            .poll(semaphore, cx)
            .map_ok(|()| SemaphorePermit::new(semaphore, count, at))
    }
}

impl Drop for SemaphoreAcquire<'_> {
    #[inline]
    fn drop(&mut self) {
        self.request.leave(self.semaphore);
    }
}

/// The future of [`Semaphore::acquire_owned`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct SemaphoreAcquireOwned {
    semaphore: Rc<Semaphore>,
    request: Request,
}

impl Future for SemaphoreAcquireOwned {
    type Output = Result<OwnedSemaphorePermit, AcquireError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (count, at) = (this.request.count, this.request.leaf.at());
        let poll = this.request.poll(&this.semaphore, cx);
        poll.map_ok(|()| OwnedSemaphorePermit::new(Rc::clone(&this.semaphore), count, at))
    }
}

impl Drop for SemaphoreAcquireOwned {
    #[inline]
    fn drop(&mut self) {
        self.request.leave(&self.semaphore);
    }
}

/// Permits of a [`Semaphore`]. Dropping it gives them back.
#[derive(Debug)]
#[must_use = "the permits go back when this is dropped"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
    at: &'static Location<'static>,
}

/// Permits of a [`Semaphore`] that it need not be borrowed for. Dropping it gives them back.
#[derive(Debug)]
#[must_use = "the permits go back when this is dropped"]
pub struct OwnedSemaphorePermit {
    semaphore: Rc<Semaphore>,
    count: usize,
    at: &'static Location<'static>,
}

impl<'a> SemaphorePermit<'a> {
    #[inline]
    fn new(semaphore: &'a Semaphore, count: usize, at: &'static Location<'static>) -> Self {
        tell_locked(KIND, semaphore, at);
        Self {
            semaphore,
            count,
            at,
        }
    }

    /// Returns how many permits it holds.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Keeps the permits from going back: the semaphore has so many fewer for good.
    pub fn forget(mut self) {
        self.semaphore.forget(self.count);
        self.count = 0;
    }
}

impl OwnedSemaphorePermit {
    #[inline]
    fn new(semaphore: Rc<Semaphore>, count: usize, at: &'static Location<'static>) -> Self {
        tell_locked(KIND, &*semaphore, at);
        Self {
            semaphore,
            count,
            at,
        }
    }

    /// Returns how many permits it holds.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Keeps the permits from going back: the semaphore has so many fewer for good.
    pub fn forget(mut self) {
        self.semaphore.forget(self.count);
        self.count = 0;
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        tell_unlocked(KIND, self.semaphore, self.at);
        self.semaphore.give_back(self.count);
    }
}

impl Drop for OwnedSemaphorePermit {
    #[inline]
    fn drop(&mut self) {
        tell_unlocked(KIND, &*self.semaphore, self.at);
        self.semaphore.give_back(self.count);
    }
}
