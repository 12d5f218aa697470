//! Children that say when they are ready.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::rc::Rc;

use super::builder::ChildBuilder;
use super::handle::{ChildError, ChildHandle};
use super::nursery::Group;
use crate::scope::{CancelReason, Cancelled, find_cancelled, shield};
use crate::sync::Event;

/// With this a child says, once, that it is ready: see [`Group::start`].
#[must_use = "the one who started the child waits for it"]
pub struct Readiness<V> {
    said: Rc<Said<V>>,
}

struct Said<V> {
    value: Cell<Option<V>>,
    is_ready: Cell<bool>,
    /// Set as well when the child has ended.
    event: Event,
}

impl<V> Readiness<V> {
    /// Says that the child is ready. Whoever started it goes on, with `value`.
    pub fn set(self, value: V) {
        self.said.value.set(Some(value));
        self.said.is_ready.set(true);
        self.said.event.set();
    }
}

impl<V> fmt::Debug for Readiness<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").finish_non_exhaustive()
    }
}

/// Why a child did not get ready.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError<E> {
    /// It returned an error before it was ready. That is the caller's; the group goes on.
    Failed(E),
    /// It returned a value before it said that it was ready.
    NotReady,
    /// It panicked, or was refused.
    Child(ChildError),
    /// The caller was cancelled before it was ready. The child was cancelled then as well, and has ended.
    Cancelled(Cancelled),
}

impl<E> fmt::Display for StartError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed(_) => "the task failed before it was ready",
            Self::NotReady => "the task ended before it was ready",
            Self::Child(_) => "the task did not get ready",
            Self::Cancelled(_) => "the task was not waited for until it was ready",
        })
    }
}

impl<E: Error + 'static> Error for StartError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::NotReady => None,
            Self::Child(error) => Some(error),
            Self::Cancelled(cancelled) => Some(cancelled),
        }
    }
}

/// Its kind is [`Other`](io::ErrorKind::Other).
impl<E: Error + Send + Sync + 'static> From<StartError<E>> for io::Error {
    fn from(error: StartError<E>) -> Self {
        Self::other(error)
    }
}

impl<'env, E: Error + 'static> Group<'env, E> {
    /// Starts a child, and waits until it says that it is ready. Returns what it said, and its handle.
    ///
    /// For a server that has to listen before its first client comes. Until it is ready the child is the caller's affair:
    /// its error is returned here and is not one of the group's.
    ///
    /// # Errors
    /// [`StartError`]: the child ended before it was ready, or the wait was cancelled.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** The child is cancelled, too, and awaited. If it is ready all the same, this is what is returned. If
    /// the future is dropped, the child is cancelled, and its error is one of the group's.
    ///
    /// # Examples
    /// ```
    /// use antiphon::{group, net::{TcpListener, TcpStream}, run};
    /// use std::io;
    ///
    /// run(async || {
    ///     group(async |group| {
    ///         let (address, _server) = group
    ///             .start(async |ready| {
    ///                 let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///                 ready.set(listener.local_addr()?);
    ///                 listener.accept().await?;
    ///                 Ok(())
    ///             })
    ///             .await?;
    ///         TcpStream::connect(address).await?;
    ///         Ok::<(), io::Error>(())
    ///     })
    ///     .await
    /// })?;
    /// # Ok::<(), antiphon::GroupError<io::Error>>(())
    /// ```
    #[track_caller]
    pub fn start<F, V, T>(
        &self,
        body: F,
    ) -> impl Future<Output = Result<(V, ChildHandle<T>), StartError<E>>>
    where
        F: AsyncFnOnce(Readiness<V>) -> Result<T, E> + 'env,
        V: 'env,
        T: 'env,
    {
        start(self, None, body, Location::caller())
    }
}

impl<'env, E: Error + 'static> ChildBuilder<'_, 'env, E> {
    /// Starts the child, and waits until it says that it is ready: see [`Group::start`].
    ///
    /// # Errors
    /// As [`Group::start`].
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// As [`Group::start`].
    #[track_caller]
    pub fn start<F, V, T>(
        self,
        body: F,
    ) -> impl Future<Output = Result<(V, ChildHandle<T>), StartError<E>>>
    where
        F: AsyncFnOnce(Readiness<V>) -> Result<T, E> + 'env,
        V: 'env,
        T: 'env,
    {
        let (group, name) = self.into_parts();
        start(group, name, body, Location::caller())
    }
}

async fn start<'env, F, V, T, E>(
    group: &Group<'env, E>,
    name: Option<Box<str>>,
    body: F,
    at: &'static Location<'static>,
) -> Result<(V, ChildHandle<T>), StartError<E>>
where
    F: AsyncFnOnce(Readiness<V>) -> Result<T, E> + 'env,
    V: 'env,
    T: 'env,
    E: Error + 'static,
{
    let said = Rc::new(Said {
        value: Cell::new(None),
        is_ready: Cell::new(false),
        event: Event::new(),
    });
    let returned = Rc::new(Returned {
        is_awaited: Cell::new(true),
        error: Cell::new(None),
    });
    let child = {
        let readiness = Readiness {
            said: Rc::clone(&said),
        };
        let (end, returned) = (End(Rc::clone(&said)), Rc::clone(&returned));
        async move {
            let result = body(readiness).await;
            let is_callers = returned.is_awaited.get() && !end.0.is_ready.get();
            match result {
                Ok(value) => Ok(Some(value)),
                Err(error) if is_callers => {
                    returned.error.set(Some(error));
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        }
    };
    let mut starting = Starting {
        handle: Some(group.state.spawn_quiet(child, name, at)),
        returned,
        at,
    };
    let cancelled = said.event.wait().await.err();
    if let Some(cancelled) = &cancelled {
        starting.cancel(cancelled.reason().clone());
        // Ready, or ended: it is the one or the other soon.
        let _ = shield(async || said.event.wait().await).await;
    }
    let handle = starting.take();
    if let Some(value) = said.value.take() {
        return Ok((value, handle));
    }
    let error = starting.returned.error.take();
    match (error, cancelled) {
        (Some(error), None) => Err(StartError::Failed(error)),
        (Some(error), Some(_)) if find_cancelled(&error).is_none() => {
            Err(StartError::Failed(error))
        }
        (_, Some(cancelled)) => Err(StartError::Cancelled(cancelled)),
        (None, None) => match handle.into_outcome() {
            Some(Err(error)) => Err(StartError::Child(error)),
            Some(Ok(_)) | None => Err(StartError::NotReady),
        },
    }
}

/// What a child leaves that ended before it was ready.
struct Returned<E> {
    /// Set until the caller goes on, or away.
    is_awaited: Cell<bool>,
    error: Cell<Option<E>>,
}

/// Says that the child has ended, one way or the other.
struct End<V>(Rc<Said<V>>);

impl<V> Drop for End<V> {
    fn drop(&mut self) {
        self.0.event.set();
    }
}

/// The caller, while it waits. If it goes away the child is cancelled.
struct Starting<T, E> {
    handle: Option<ChildHandle<T>>,
    returned: Rc<Returned<E>>,
    at: &'static Location<'static>,
}

impl<T, E> Starting<T, E> {
    fn cancel(&self, reason: CancelReason) {
        if let Some(handle) = &self.handle {
            handle.cancel_for(reason, self.at);
        }
    }

    fn take(&mut self) -> ChildHandle<T> {
        self.handle.take().expect("it is taken once")
    }
}

impl<T, E> Drop for Starting<T, E> {
    fn drop(&mut self) {
        self.returned.is_awaited.set(false);
        self.cancel(CancelReason::Dropped);
    }
}
