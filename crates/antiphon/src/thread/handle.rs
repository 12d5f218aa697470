//! A loop, as other threads hold it.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use super::error::{JoinError, Kind};
use super::leaf::Leaf;
use super::parker::Parker;
use super::slot::Slot;
use crate::scope::{CancelReason, CancelScope, deliver};
use crate::task::start;
use crate::worker::{Door, Worker, current};

/// A running loop, to be entered from other threads. Clones are handles of the same loop.
///
/// It is good for one [`run`](crate::run): when that has ended, what comes by the handle is refused.
///
/// # Examples
/// A closure on a thread that asks the loop for something:
/// ```
/// use antiphon::{Handle, unblock};
///
/// antiphon::run(async || {
///     let handle = Handle::current();
///     let answer = unblock(move || {
///         let question = String::from("from a thread");
///         handle.run_sync(async move || format!("{question}, answered on the loop"))
///     });
///     assert_eq!(answer.await??, "from a thread, answered on the loop");
///     Ok::<(), antiphon::thread::JoinError>(())
/// })?;
/// # Ok::<(), antiphon::thread::JoinError>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    door: Arc<Door>,
}

impl Handle {
    /// Returns a handle of the loop that is running on this thread.
    ///
    /// # Panics
    /// If none is.
    #[track_caller]
    pub fn current() -> Self {
        Self {
            door: current(Worker::door),
        }
    }

    /// Starts a task on the loop, from any thread.
    ///
    /// The closure goes there, so it must be `Send`, and so must what it returns; the future that it makes need not be. The task
    /// is nobody's child: it inherits no [`TaskLocal`](crate::TaskLocal)s. Dropping the handle that is returned does nothing
    /// to it.
    ///
    /// If the loop has ended, `body` is dropped, and the handle says so.
    ///
    /// # Examples
    /// ```
    /// use antiphon::{Handle, thread};
    ///
    /// let (sender, mut receiver) = thread::channel(1);
    /// let looping = std::thread::spawn(move || {
    ///     antiphon::run(async || {
    ///         let (stop, stopped) = antiphon::sync::oneshot::channel::<()>();
    ///         sender.send(Handle::current()).await.unwrap();
    ///         // … serves, until somebody ends it.
    ///         sender.closed().await?;
    ///         drop((stop, stopped));
    ///         Ok::<(), antiphon::Cancelled>(())
    ///     })
    /// });
    /// let handle = receiver.blocking_recv().unwrap();
    /// assert_eq!(handle.spawn(async || 6 * 7).join()?, 42);
    ///
    /// drop(receiver);
    /// looping.join().unwrap()?;
    /// assert!(handle.spawn(async || 6 * 7).join().unwrap_err().is_ended());
    /// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&self, body: F) -> SendJoinHandle<T>
    where
        F: AsyncFnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_at(body, Location::caller())
    }

    pub(crate) fn spawn_at<F, T>(
        &self,
        body: F,
        at: &'static Location<'static>,
    ) -> SendJoinHandle<T>
    where
        F: AsyncFnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let remote = Arc::new(Remote {
            slot: Slot::new(),
            is_called: AtomicBool::new(false),
            call: Mutex::new(Remark::default()),
        });
        let promise = Promise(Arc::clone(&remote));
        let visit = move || drop(start(run_body(promise, body, at), None, at));
        // One that is refused is dropped here, and with it the promise, which tells the handle.
        drop(self.door.push(Box::new(visit)));
        SendJoinHandle {
            remote,
            leaf: Leaf::new(at),
            is_over: false,
        }
    }

    /// Runs `body` on the loop, and waits on this thread for its result: from a closure of [`unblock`](super::unblock), say.
    ///
    /// # Errors
    /// [`JoinError`]: `body` panicked, or the loop ended before it did.
    ///
    /// # Panics
    /// If a loop is running on this thread, which this would hold up.
    #[track_caller]
    pub fn run_sync<F, T>(&self, body: F) -> Result<T, JoinError>
    where
        F: AsyncFnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let parker = Parker::new("spawn the body and await it instead");
        self.spawn(body).wait(&parker)
    }

    /// Returns `true` if the loop has ended.
    pub fn is_closed(&self) -> bool {
        self.door.is_closed()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// What handle and task share.
struct Remote<T> {
    slot: Slot<Result<T, Failure>>,
    /// Set when there is something in `call` that the task has not heard.
    is_called: AtomicBool,
    call: Mutex<Remark>,
}

/// What the handle tells the task.
#[derive(Default)]
struct Remark {
    /// The task, once it has begun.
    task: Option<Waker>,
    cancel: Option<(CancelReason, &'static Location<'static>)>,
    was_cancelled: bool,
}

enum Failure {
    Panicked(Box<dyn Any + Send>),
    Ended,
}

/// The task's end, which does not go without a word.
struct Promise<T>(Arc<Remote<T>>);

impl<T> Promise<T> {
    fn keep(&self, result: Result<T, Failure>) {
        // Nobody abandons a slot of these: a result that is not wanted goes with the last who holds it.
        drop(self.0.slot.put(result));
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        // Has no effect if it was kept.
        self.keep(Err(Failure::Ended));
    }
}

impl<T> Remote<T> {
    fn lock(&self) -> MutexGuard<'_, Remark> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancel(&self, reason: CancelReason, at: &'static Location<'static>) -> bool {
        let task = {
            let mut call = self.lock();
            if call.was_cancelled || !self.slot.is_empty() {
                return false;
            }
            call.was_cancelled = true;
            call.cancel = Some((reason, at));
            self.is_called.store(true, Ordering::Release);
            call.task.clone()
        };
        if let Some(task) = task {
            task.wake();
        }
        true
    }

    /// The task asks whether it is to be cancelled.
    fn hear(&self, scope: &CancelScope) {
        if self.is_called.swap(false, Ordering::Acquire) {
            let cancel = self.lock().cancel.take();
            if let Some((reason, at)) = cancel {
                scope.cancel_for(reason, at);
            }
        }
    }
}

/// The task's body: runs `body` in a scope of its own, and hands its result over.
async fn run_body<F, T>(promise: Promise<T>, body: F, at: &'static Location<'static>)
where
    F: AsyncFnOnce() -> T,
{
    let remote = &*promise.0;
    let scope = CancelScope::make(None, at);
    // The task's own waker, which is a number.
    poll_fn(|cx| {
        remote.lock().task = Some(cx.waker().clone());
        Poll::Ready(())
    })
    .await;
    let result = {
        let body = async || Ok::<T, Infallible>(body().await);
        let mut body = pin!(scope.run_at(body, at));
        poll_fn(|cx| {
            remote.hear(&scope);
            match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(cx))) {
                Ok(poll) => poll.map(|outcome| match outcome.into_result() {
                    Ok(value) => Ok(value),
                    Err(never) => match never {},
                }),
                Err(payload) => Poll::Ready(Err(Failure::Panicked(payload))),
            }
        })
        .await
    };
    promise.keep(result);
}

/// The end of a task that another thread may have started, to be awaited on any loop or thread.
///
/// Dropping it does nothing to the task. While it waits, the task tree shows it with the line that spawned the task.
///
/// # Errors
/// [`JoinError`]: the wait was cancelled, the task panicked, or its loop ended before it did.
///
/// # Panics
/// If it is polled after it gave the result.
///
/// # Cancellation
/// **Did not happen.** The task goes on; the handle can be awaited again. [`cancel`](Self::cancel) is for the task.
///
/// # Examples
/// ```
/// use antiphon::Handle;
///
/// antiphon::run(async || {
///     let handle = Handle::current();
///     let task = std::thread::spawn(move || handle.spawn(async || "a task of the loop"));
///     let task = antiphon::unblock(|| task.join().unwrap()).await?;
///     assert_eq!(task.await?, "a task of the loop");
///     Ok::<(), antiphon::thread::JoinError>(())
/// })?;
/// # Ok::<(), antiphon::thread::JoinError>(())
/// ```
#[must_use = "dropping a handle does not end its task; `drop` says that nobody waits for the result"]
pub struct SendJoinHandle<T> {
    remote: Arc<Remote<T>>,
    leaf: Leaf,
    /// Set when the result was given.
    is_over: bool,
}

impl<T> SendJoinHandle<T> {
    /// Cancels the task: its waits end with [`Cancelled`](crate::Cancelled). Returns `false`, and has no effect, if it has
    /// ended, or was cancelled before.
    ///
    /// `why` is the [reason](CancelReason::Requested) that it hears.
    ///
    /// # Examples
    /// ```
    /// use antiphon::{Handle, time};
    /// use std::time::Duration;
    ///
    /// antiphon::run(async || {
    ///     let task = Handle::current().spawn(async || time::sleep(Duration::from_secs(3600)).await);
    ///     assert!(task.cancel("nobody sleeps that long"));
    ///     let cancelled = task.await?.unwrap_err();
    ///     assert_eq!(cancelled.reason().to_string(), "nobody sleeps that long");
    ///     Ok::<(), antiphon::thread::JoinError>(())
    /// })?;
    /// # Ok::<(), antiphon::thread::JoinError>(())
    /// ```
    #[track_caller]
    pub fn cancel(&self, why: &str) -> bool {
        self.remote
            .cancel(CancelReason::Requested(why.into()), Location::caller())
    }

    /// Cancels the task because its future here was dropped. It has no effect if the task has ended.
    pub(crate) fn cancel_because_dropped(&self) {
        self.remote.cancel(CancelReason::Dropped, self.leaf.at());
    }

    /// Returns `true` if the task has ended.
    pub fn is_finished(&self) -> bool {
        !self.remote.slot.is_empty()
    }

    /// Waits on a plain thread.
    ///
    /// # Errors
    /// [`JoinError`]: the task panicked, or its loop ended before it did.
    ///
    /// # Panics
    /// If a loop is running on this thread, which this would hold up.
    #[track_caller]
    pub fn join(self) -> Result<T, JoinError> {
        let parker = Parker::new("await the handle instead");
        self.wait(&parker)
    }

    fn wait(mut self, parker: &Parker) -> Result<T, JoinError> {
        loop {
            if let Poll::Ready(result) = self.poll_result(parker.waker()) {
                return result;
            }
            parker.park();
        }
    }

    /// Polls for the result; a cancel of the scope in which it is polled is handed on to the task, which ends it.
    pub(crate) fn poll_linked(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        if let Poll::Ready(result) = self.poll_result(cx.waker()) {
            self.leaf.end();
            return Poll::Ready(result);
        }
        if Leaf::is_cancelled() {
            if let Some(cancelled) = deliver() {
                let reason = cancelled.reason().clone();
                self.remote.cancel(reason, cancelled.location());
            }
        }
        self.leaf.wait(cx, "task of a worker");
        Poll::Pending
    }

    fn poll_result(&mut self, waker: &Waker) -> Poll<Result<T, JoinError>> {
        assert!(
            !self.is_over,
            "the handle of a task was polled after it gave its result"
        );
        let result = ready!(self.remote.slot.poll(waker));
        self.is_over = true;
        let at = self.leaf.at();
        Poll::Ready(result.map_err(|failure| match failure {
            Failure::Panicked(payload) => JoinError::panicked(payload, at),
            Failure::Ended => JoinError::new(Kind::Ended, at),
        }))
    }
}

impl<T> Unpin for SendJoinHandle<T> {}

impl<T> Future for SendJoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let at = this.leaf.at();
        ready!(this.leaf.begin(cx))
            .map_err(|cancelled| JoinError::new(Kind::Cancelled(cancelled), at))?;
        if let Poll::Ready(result) = this.poll_result(cx.waker()) {
            this.leaf.end();
            return Poll::Ready(result);
        }
        if Leaf::is_cancelled() {
            this.remote.slot.leave();
            let cancelled = this.leaf.end_cancelled();
            return Poll::Ready(Err(JoinError::new(Kind::Cancelled(cancelled), at)));
        }
        this.leaf.wait(cx, "task of another thread");
        Poll::Pending
    }
}

impl<T> fmt::Debug for SendJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendJoinHandle")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}
