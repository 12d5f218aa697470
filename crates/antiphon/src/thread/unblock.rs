//! Closures that wait, off the loop.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread;

use super::error::{JoinError, Kind};
use super::leaf::Leaf;
use super::pool::{Job, Pool, Shared};
use super::slot::Slot;
use crate::worker::{Help, Worker, contain, try_current};

/// Calls `f` on a thread of the [global pool](Pool::global), and waits for its result.
///
/// For what can only be called and waited for: files, a library that blocks, a long computation. Nothing happens before the
/// future is polled. The closure waits its turn if all threads are busy.
///
/// In virtual time the clock stands still while the closure is under way.
///
/// # Errors
/// [`JoinError`]: the wait was cancelled, `f` panicked, or the system gives no thread.
///
/// # Panics
/// If the future is polled after it gave the result.
///
/// # Cancellation
/// **Finishes first.** A closure that has not begun is taken back, and did not happen. One that is under way can't be ended
/// from outside: the wait goes on, its result wins, and the next wait is the one that ends; let the closure hear of it with
/// [`unblock_with`]. [`Unblock::abandon_on_cancel`] ends the wait at once.
///
/// A future that is dropped takes back a closure that has not begun. One that is under way is abandoned: it runs on, counted in
/// [`stats`](super::stats), and its result is dropped on its thread. So it is when the loop ends: the task that waits has its
/// [grace](crate::RuntimeBuilder::grace), and is named on standard error with this line if that was not enough.
///
/// # Examples
/// ```
/// use std::fs;
///
/// antiphon::run(async || {
///     let manifest = antiphon::unblock(|| fs::read_to_string("Cargo.toml")).await??;
///     assert!(manifest.contains("antiphon"));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn unblock<F, T>(f: F) -> Unblock<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Pool::global().unblock(f)
}

/// Does as [`unblock`] does, with a token that tells the closure when nobody wants it to go on.
///
/// The token is set when the scope that waits is cancelled, and when the closure is abandoned. What the closure returns then,
/// how far it came perhaps, is the result of the wait.
///
/// # Examples
/// ```
/// use antiphon::{CancelScope, Outcome, join, thread};
///
/// antiphon::run(async || {
///     let scope = CancelScope::new();
///     let (begun, mut has_begun) = thread::channel(1);
///     let search = thread::unblock_with(move |stop| {
///         begun.blocking_send(()).unwrap();
///         (0_u64..).find(|_| stop.is_stopped())
///     });
///     let cancel = async || {
///         has_begun.recv().await.unwrap();
///         scope.cancel("far enough");
///     };
///     let (outcome, ()) = join((async || scope.run(async || search.await).await, cancel)).await;
///     assert!(matches!(outcome, Outcome::Done(Some(_))), "what it found is kept");
/// });
/// ```
#[track_caller]
pub fn unblock_with<F, T>(f: F) -> Unblock<T>
where
    F: FnOnce(&StopToken) -> T + Send + 'static,
    T: Send + 'static,
{
    Pool::global().unblock_with(f)
}

/// Tells a closure of [`unblock_with`] that nobody wants it to go on.
#[derive(Debug, Default)]
pub struct StopToken {
    is_stopped: AtomicBool,
}

impl StopToken {
    /// Returns `true` if it is to stop. Once it is, it stays so.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
    }
}

/// The future of [`unblock`] and its kin.
#[must_use = "futures do nothing unless awaited"]
pub struct Unblock<T> {
    pool: Arc<Shared>,
    call: Arc<dyn Answer<T>>,
    leaf: Leaf,
    kind: &'static str,
    stage: Stage,
    abandons: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    /// The pool has it.
    Submitted,
    /// The result was given.
    Over,
}

/// A call, as the one who waits sees it.
trait Answer<T>: Send + Sync {
    fn into_job(self: Arc<Self>) -> Arc<dyn Job>;

    /// Where its result comes.
    fn slot(&self) -> &Slot<thread::Result<T>>;

    fn token(&self) -> &StopToken;

    /// Notes who has to hear when it is over.
    fn set_help(&self, help: Option<Help>);

    /// Takes it back, if it has not begun. Called under the pool's lock.
    fn retract(&self) -> bool;

    /// Drops a closure that will not be called.
    fn discard(&self);
}

struct Call<F, T> {
    inside: Mutex<Inside<F, T>>,
    slot: Slot<thread::Result<T>>,
    token: StopToken,
}

struct Inside<F, T> {
    /// Until it is called.
    closure: Option<F>,
    has_begun: bool,
    is_retracted: bool,
    /// What came of it, until it is handed over.
    outcome: Option<thread::Result<T>>,
    /// Keeps a clock that jumps from doing so.
    help: Option<Help>,
}

impl<T> Unblock<T> {
    #[track_caller]
    pub(super) fn new<F>(pool: &Arc<Shared>, f: F) -> Self
    where
        F: FnOnce(&StopToken) -> T + Send + 'static,
        T: Send + 'static,
    {
        let call = Call {
            inside: Mutex::new(Inside {
                closure: Some(f),
                has_begun: false,
                is_retracted: false,
                outcome: None,
                help: None,
            }),
            slot: Slot::new(),
            token: StopToken::default(),
        };
        Self {
            pool: Arc::clone(pool),
            call: Arc::new(call),
            leaf: Leaf::new(Location::caller()),
            kind: "unblock",
            stage: Stage::New,
            abandons: false,
        }
    }

    /// Has the wait end at once when its scope is cancelled, also if the closure is under way. It runs on then, counted in
    /// [`stats`](super::stats) as abandoned, and its result is dropped on its thread.
    ///
    /// For a closure that does no harm when it is late, and may be stuck.
    ///
    /// # Cancellation
    /// **Breaks.** Nobody learns whether it happened.
    ///
    /// # Examples
    /// ```
    /// use antiphon::{CancelScope, join, thread};
    ///
    /// antiphon::run(async || {
    ///     let scope = CancelScope::new();
    ///     let (begun, mut has_begun) = thread::channel(1);
    ///     let (_hold, stuck) = thread::channel::<()>(1);
    ///     let call = thread::unblock(move || {
    ///         let mut stuck = stuck;
    ///         begun.blocking_send(()).unwrap();
    ///         stuck.blocking_recv()
    ///     });
    ///     let cancel = async || {
    ///         has_begun.recv().await.unwrap();
    ///         scope.cancel("for the example");
    ///     };
    ///     let wait = async || scope.run(async || call.abandon_on_cancel().await).await;
    ///     let (outcome, ()) = join((wait, cancel)).await;
    ///     assert!(outcome.is_cancelled());
    ///     assert_eq!(thread::stats().abandoned, 1);
    /// });
    /// ```
    pub fn abandon_on_cancel(mut self) -> Self {
        self.abandons = true;
        self
    }

    /// Has the task tree show `kind`, at the line of another.
    pub(crate) fn shown_as(mut self, kind: &'static str, at: &'static Location<'static>) -> Self {
        self.kind = kind;
        self.leaf = Leaf::new(at);
        self
    }

    fn submit(&mut self) -> Result<(), JoinError> {
        let help = try_current(Worker::begin_help).flatten();
        self.call.set_help(help);
        match self.pool.submit(Arc::clone(&self.call).into_job()) {
            Ok(()) => {
                self.stage = Stage::Submitted;
                Ok(())
            }
            Err(error) => {
                self.stage = Stage::Over;
                self.leaf.end();
                self.call.discard();
                Err(self.error(Kind::NoThread(error)))
            }
        }
    }

    /// Goes away, if that is possible. What is there by now stays.
    fn go_away(&self, abandons: bool) -> bool {
        self.call.token().stop();
        if self.pool.retract(|| self.call.retract()) {
            self.call.discard();
            return true;
        }
        if abandons && self.pool.abandon(|| self.call.slot().abandon()) {
            self.call.set_help(None);
            return true;
        }
        false
    }

    fn take(&mut self) -> Option<Result<T, JoinError>> {
        let result = self.call.slot().take()?;
        self.stage = Stage::Over;
        self.leaf.end();
        Some(result.map_err(|payload| JoinError::panicked(payload, self.leaf.at())))
    }

    #[cold]
    fn poll_cancelled(&mut self) -> Option<Result<T, JoinError>> {
        if self.go_away(self.abandons) {
            self.stage = Stage::Over;
            let cancelled = self.leaf.end_cancelled();
            return Some(Err(self.error(Kind::Cancelled(cancelled))));
        }
        self.take()
    }

    fn error(&self, kind: Kind) -> JoinError {
        JoinError::new(kind, self.leaf.at())
    }
}

impl<T> Future for Unblock<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        assert!(
            this.stage != Stage::Over,
            "`unblock` was polled after it gave its result"
        );
        if this.stage == Stage::New {
            ready!(this.leaf.begin(cx))
                .map_err(|cancelled| this.error(Kind::Cancelled(cancelled)))?;
            this.submit()?;
        }
        if let Poll::Ready(result) = this.call.slot().poll(cx.waker()) {
            this.stage = Stage::Over;
            this.leaf.end();
            let at = this.leaf.at();
            return Poll::Ready(result.map_err(|payload| JoinError::panicked(payload, at)));
        }
        if Leaf::is_cancelled() {
            if let Some(result) = this.poll_cancelled() {
                return Poll::Ready(result);
            }
        }
        this.leaf.wait(cx, this.kind);
        Poll::Pending
    }
}

impl<T> Drop for Unblock<T> {
    fn drop(&mut self) {
        if self.stage == Stage::Submitted {
            self.go_away(true);
        }
    }
}

impl<T> fmt::Debug for Unblock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unblock")
            .field("leaf", &self.leaf)
            .field("abandons", &self.abandons)
            .finish_non_exhaustive()
    }
}

impl<F, T> Call<F, T> {
    /// A panic can't leave it half way: each step under the lock is one assignment.
    fn lock(&self) -> MutexGuard<'_, Inside<F, T>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F, T> Answer<T> for Call<F, T>
where
    F: FnOnce(&StopToken) -> T + Send + 'static,
    T: Send + 'static,
{
    fn into_job(self: Arc<Self>) -> Arc<dyn Job> {
        self
    }

    fn slot(&self) -> &Slot<thread::Result<T>> {
        &self.slot
    }

    fn token(&self) -> &StopToken {
        &self.token
    }

    fn set_help(&self, help: Option<Help>) {
        let previous = std::mem::replace(&mut self.lock().help, help);
        drop(previous);
    }

    fn retract(&self) -> bool {
        let mut inside = self.lock();
        inside.is_retracted = !inside.has_begun;
        inside.is_retracted
    }

    fn discard(&self) {
        let gone = {
            let mut inside = self.lock();
            (inside.closure.take(), inside.help.take())
        };
        drop(gone);
    }
}

impl<F, T> Job for Call<F, T>
where
    F: FnOnce(&StopToken) -> T + Send + 'static,
    T: Send + 'static,
{
    fn is_queued(&self) -> bool {
        !self.lock().is_retracted
    }

    fn begin(&self) -> bool {
        let mut inside = self.lock();
        inside.has_begun = !inside.is_retracted;
        inside.has_begun
    }

    fn run(&self) -> bool {
        let closure = self.lock().closure.take();
        let closure = closure.expect("a call begins once");
        let outcome = catch_unwind(AssertUnwindSafe(|| closure(&self.token)));
        if self.slot.is_over() {
            contain(|| drop(outcome));
            return false;
        }
        self.lock().outcome = Some(outcome);
        true
    }

    fn deliver(&self) -> bool {
        let (outcome, help) = {
            let mut inside = self.lock();
            (inside.outcome.take(), inside.help.take())
        };
        let refused = outcome.and_then(|outcome| self.slot.put(outcome).err());
        let is_wanted = refused.is_none();
        contain(|| drop(refused));
        // Now that who waits is awake, the clock may go on.
        drop(help);
        is_wanted
    }
}
