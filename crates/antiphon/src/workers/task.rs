//! A task on another worker, as the one who started it waits for it.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::thread::{Handle, JoinError, SendJoinHandle};

/// The end of a task that [`spawn_on`](super::spawn_on) started.
///
/// While it waits, the task tree shows it with the line that spawned the task.
///
/// # Errors
/// [`JoinError`]: the task panicked, or its worker ended before it did.
///
/// # Panics
/// If it is polled after it gave the result.
///
/// # Cancellation
/// **Finishes first.** The cancel is handed on: the task is cancelled for the same reason, and this waits for its end, and returns what it
/// returns. So what a group or a timeout waits for ends with it, wherever it runs. If the future is dropped, the task goes on.
/// [`detach`](Self::detach) gives a handle that does not hand it on.
///
/// # Examples
/// ```
/// use antiphon::{Cancelled, spawn_on, time};
/// use std::time::Duration;
///
/// antiphon::run(async || {
///     let slow = async || {
///         let task = spawn_on(0, async || time::sleep(Duration::from_secs(3600)).await);
///         task.await.expect("it does not panic")
///     };
///     // The sleep itself is cancelled, and its error comes back.
///     let result = time::move_on_after(Duration::from_millis(1), slow).await;
///     assert_eq!(result, Ok::<_, Cancelled>(None));
/// });
/// ```
#[must_use = "dropping it does not end the task; `detach` says that nobody waits for the result"]
pub struct WorkerTask<T> {
    handle: SendJoinHandle<T>,
}

impl<T> WorkerTask<T> {
    pub(crate) fn start<F>(handle: &Handle, body: F, at: &'static Location<'static>) -> Self
    where
        F: AsyncFnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Self {
            handle: handle.spawn_at(body, at),
        }
    }

    /// Awaits it; dropped before that, it cancels the task.
    pub(crate) async fn cancel_if_dropped(self) -> Result<T, JoinError> {
        struct Linked<T>(WorkerTask<T>);
        impl<T> Drop for Linked<T> {
            fn drop(&mut self) {
                self.0.handle.cancel_because_dropped();
            }
        }
        let mut linked = Linked(self);
        (&mut linked.0).await
    }

    /// Cancels the task: see [`SendJoinHandle::cancel`].
    #[track_caller]
    pub fn cancel(&self, why: &str) -> bool {
        self.handle.cancel(why)
    }

    /// Returns `true` if the task has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Returns a handle that hands no cancel on: if the one who awaits it is cancelled, the task goes on.
    pub fn detach(self) -> SendJoinHandle<T> {
        self.handle
    }
}

impl<T> Future for WorkerTask<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.handle.poll_linked(cx)
    }
}

impl<T> fmt::Debug for WorkerTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerTask")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}
