//! Blocks.

use std::fmt;
use std::future::IntoFuture;
use std::panic::{Location, resume_unwind};

use super::caught::caught;
use super::ending::Told;
use super::exit::{ExitError, Held};
use super::if_dropped::IfDropped;
use super::manager::ContextManager;
use crate::scope::{Cancelled, Grace};

/// Awaits `enter`, lends the value to `body`, and has it exit, whatever becomes of the body.
///
/// `enter` is anything to be awaited that gives a [`ContextManager`], or an error: then nothing was entered, and neither body
/// nor exit run. The value exits once, after the body and everything in it is gone, told how the body [ended](super::Ending).
/// Blocks in blocks exit in reverse.
///
/// The exit can't make an error a success. Whoever wants to go on in spite of an error says so outside, where the reader
/// looks for it, and where there is a value to go on with.
///
/// # Errors
/// The error of `enter`, or that of the body. If only the exit failed, its error: the body's value is dropped then, because
/// work that could not be ended well is not to be taken for done. If both failed, the body's is returned, because it came
/// first and is most likely the cause, and the exit's is [reported](super::stats).
/// An exit that did not end within its [`Grace`] is a [`Cancelled`] of its deadline. [`with_both`] returns both sides instead.
///
/// # Panics
/// If no loop is running on this thread. With what the body panics, after the exit; and with what the exit panics if the body
/// had returned a value: if not, that panic is reported.
///
/// # Cancellation
/// While it is entered and in the body, it goes through to those. The exit is shielded, so it **finishes first**; the wait
/// after it is the one that ends. A [`timeout`](crate::time::timeout()) around a block is late by as much.
///
/// If its future is dropped, that depends. While it is entered: nothing was. In the body or the exit:
/// [`ContextManager::IfDropped`] says whether the loop takes the exit over, in a task of its own, or the value is let go.
///
/// # Examples
/// ```
/// use antiphon::context::with;
/// use antiphon::{run, spawn, net::{TcpListener, TcpStream}, io::{Read, Write}};
///
/// run(async || {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let address = listener.local_addr()?;
///     let heard = spawn(async move || {
///         let (mut stream, _) = listener.accept().await?;
///         let mut heard = Vec::new();
///         stream.read_to_end(&mut heard).await?;
///         Ok::<_, std::io::Error>(heard)
///     });
///     with(TcpStream::connect(address), async |stream| stream.write_all(b"farewell").await).await?;
///     assert_eq!(heard.await.unwrap()?, b"farewell");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn with<M, V, N, F, T, E>(enter: M, body: F) -> impl Future<Output = Result<T, E>>
where
    M: IntoFuture<Output = Result<V, N>>,
    V: ContextManager,
    F: AsyncFnOnce(&mut V) -> Result<T, E>,
    E: From<N> + From<V::Error> + From<Cancelled> + fmt::Display + 'static,
{
    With::new().run(enter, body)
}

/// Runs `body` as [`with`] does, and returns what it returned and how the exit ended, side by side.
///
/// For whoever needs the value though the exit failed, or both errors.
///
/// # Errors
/// The error of `enter`: nothing was entered.
///
/// # Panics
/// As [`with`], but a panic of the exit is an [`ExitError`], unless the body panicked.
///
/// # Cancellation
/// As [`with`].
///
/// # Examples
/// ```
/// use antiphon::context::{ExitError, from_fn, with_both};
/// use antiphon::{Cancelled, run};
///
/// run(async || {
///     let manager = from_fn(async || Ok::<_, Cancelled>(1), async |_, _| Err::<(), _>("full"));
///     let both = with_both(manager, async |one| Ok::<_, Cancelled>(**one + 1)).await?;
///     assert_eq!(both.body, Ok(2));
///     assert!(matches!(both.exit, Err(ExitError::Failed("full"))));
///     Ok::<(), Cancelled>(())
/// })?;
/// # Ok::<(), Cancelled>(())
/// ```
#[track_caller]
pub fn with_both<M, V, N, F, T, E>(
    enter: M,
    body: F,
) -> impl Future<Output = Result<Both<T, E, V::Error>, N>>
where
    M: IntoFuture<Output = Result<V, N>>,
    V: ContextManager,
    F: AsyncFnOnce(&mut V) -> Result<T, E>,
    E: fmt::Display + 'static,
{
    With::new().run_both(enter, body)
}

/// What a block returned, and how its exit ended.
#[derive(Debug)]
#[must_use = "it may tell of two errors"]
pub struct Both<T, E, X> {
    /// What the body returned.
    pub body: Result<T, E>,
    /// How the exit ended.
    pub exit: Result<(), ExitError<X>>,
}

/// A block to be, with a grace of its own.
///
/// # Examples
/// ```
/// use antiphon::context::{Grace, With, from_fn};
/// use antiphon::{Cancelled, run, time};
/// use std::time::Duration;
///
/// run(async || {
///     let slow = from_fn(
///         async || Ok::<_, Cancelled>(()),
///         async |(), _| time::sleep(Duration::from_secs(3600)).await,
///     );
///     let grace = Grace::default().cancel_after(Duration::from_millis(1));
///     let result = With::new().grace(grace).run(slow, async |_| Ok::<_, Cancelled>(()));
///     assert_eq!(result.await.unwrap_err().reason().to_string(), "the deadline came");
/// });
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a block begins when what `run` returns is awaited"]
pub struct With {
    grace: Option<Grace>,
}

impl With {
    /// Makes a builder for a block whose exit has as long as its [manager](ContextManager::grace) says.
    pub const fn new() -> Self {
        Self { grace: None }
    }

    /// Sets how long the exit may take, whatever its manager says.
    pub const fn grace(self, grace: Grace) -> Self {
        Self { grace: Some(grace) }
    }

    /// Runs the block: see [`with`].
    ///
    /// # Errors
    /// As [`with`].
    ///
    /// # Panics
    /// As [`with`].
    #[track_caller]
    pub fn run<M, V, N, F, T, E>(self, enter: M, body: F) -> impl Future<Output = Result<T, E>>
    where
        M: IntoFuture<Output = Result<V, N>>,
        V: ContextManager,
        F: AsyncFnOnce(&mut V) -> Result<T, E>,
        E: From<N> + From<V::Error> + From<Cancelled> + fmt::Display + 'static,
    {
        let at = Location::caller();
        async move {
            let Both { body, exit } = self.run_at(enter, body, at).await?;
            match (body, exit) {
                (body, Ok(())) => body,
                (Ok(_), Err(ExitError::Failed(error))) => Err(error.into()),
                (Ok(_), Err(ExitError::Killed(cancelled))) => Err(cancelled.into()),
                (Ok(_), Err(ExitError::Panicked(payload))) => resume_unwind(payload),
                (Err(error), Err(beside)) => {
                    beside.report(at);
                    Err(error)
                }
            }
        }
    }

    /// Runs the block: see [`with_both`].
    ///
    /// # Errors
    /// As [`with_both`].
    ///
    /// # Panics
    /// As [`with_both`].
    #[track_caller]
    pub fn run_both<M, V, N, F, T, E>(
        self,
        enter: M,
        body: F,
    ) -> impl Future<Output = Result<Both<T, E, V::Error>, N>>
    where
        M: IntoFuture<Output = Result<V, N>>,
        V: ContextManager,
        F: AsyncFnOnce(&mut V) -> Result<T, E>,
        E: fmt::Display + 'static,
    {
        self.run_at(enter, body, Location::caller())
    }

    async fn run_at<M, V, N, F, T, E>(
        self,
        enter: M,
        body: F,
        at: &'static Location<'static>,
    ) -> Result<Both<T, E, V::Error>, N>
    where
        M: IntoFuture<Output = Result<V, N>>,
        V: ContextManager,
        F: AsyncFnOnce(&mut V) -> Result<T, E>,
        E: fmt::Display + 'static,
    {
        let value = enter.await?;
        let mut armed = Armed(Some(Held::new(value, self.grace, at)));
        let ended = caught(|| body(armed.value_mut())).await;
        let (told, value, panic) = match ended {
            Ok(Ok(value)) => (Told::Value, Some(value), None),
            Ok(Err(error)) => (Told::error(error), None, None),
            Err(payload) => (Told::Panicked, None, Some(payload)),
        };
        let (told, exit) = V::IfDropped::exit(armed.disarm(), told).await;
        let body = match (value, told) {
            (Some(value), _) => Ok(value),
            (None, Told::Error { error, .. }) => Err(error),
            (None, Told::Value | Told::Panicked) => {
                if let Err(error) = exit {
                    error.report(at);
                }
                resume_unwind(panic.expect("a body without a result has panicked"))
            }
        };
        Ok(Both { body, exit })
    }
}

/// A value that is lent to the body. Dropped with it, it goes the way that [`ContextManager::IfDropped`] says.
struct Armed<V: ContextManager>(Option<Held<V>>);

impl<V: ContextManager> Armed<V> {
    fn value_mut(&mut self) -> &mut V {
        self.0.as_mut().expect(ARMED).value_mut()
    }

    fn disarm(mut self) -> Held<V> {
        self.0.take().expect(ARMED)
    }
}

const ARMED: &str = "it is armed until the body has ended";

impl<V: ContextManager> Drop for Armed<V> {
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            V::IfDropped::dropped(held);
        }
    }
}
