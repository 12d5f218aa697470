//! As many blocks in each other as a run needs.

use std::any::Any;
use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::{Future, IntoFuture, Ready, ready};
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::ops::{Index, IndexMut};
use std::panic::{Location, resume_unwind};
use std::pin::Pin;

use super::caught::Payload;
use super::ending::{Ending, Failure, Told};
use super::exit::{ExitError, Held, run_exit};
use super::if_dropped::{HandOver, IfDropped};
use super::manager::ContextManager;
use super::report::{Report, report};
use crate::scope::{Cancelled, Grace};

/// Values to exit and callbacks to call in the end, the last one first.
///
/// It stands for blocks in each other whose number is known only when the program runs. Each exit runs once, shielded and
/// within its own [`Grace`], told how the block ended; after one that failed, those further out are told of that error, as
/// they would be if they were blocks. It is entered with [`with`](super::with()). `X` is an error that every exit's converts into.
///
/// Dropped while there is something in it, it is [handed over](HandOver) to the loop.
///
/// # Examples
/// ```
/// use antiphon::context::{ExitErrors, ExitStack, with};
/// use antiphon::{net::{TcpListener, TcpStream}, io::Write, run};
/// use std::io;
///
/// run(async || {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let address = listener.local_addr()?;
///     with(ExitStack::<io::Error>::new(), async |stack| {
///         let mut streams = Vec::new();
///         for _ in 0..3 {
///             streams.push(stack.enter(TcpStream::connect(address)).await?);
///         }
///         for stream in &streams {
///             stack[stream].write_all(b"to each of you").await?;
///         }
///         Ok::<_, io::Error>(())
///     })
///     .await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ExitStack<X: From<Cancelled> + fmt::Display + 'static = io::Error> {
    entries: Vec<Box<dyn Entry<X>>>,
    /// Which stack the keys are of.
    id: u64,
    at: &'static Location<'static>,
}

/// Names a value in an [`ExitStack`], by which the stack is indexed.
pub struct Key<V> {
    stack: u64,
    index: usize,
    value: PhantomData<fn() -> V>,
}

impl<X: From<Cancelled> + fmt::Display + 'static> ExitStack<X> {
    /// Makes an empty one.
    #[track_caller]
    pub fn new() -> Self {
        Self {
            entries: Vec::new(),
            id: next_id(),
            at: Location::caller(),
        }
    }

    /// Awaits `enter`, and takes the value in.
    ///
    /// # Errors
    /// The error of `enter`: nothing was taken in, and what is in the stack stays there.
    ///
    /// # Cancellation
    /// That of `enter`.
    #[track_caller]
    pub fn enter<M, V, N>(&mut self, enter: M) -> impl Future<Output = Result<Key<V>, N>>
    where
        M: IntoFuture<Output = Result<V, N>>,
        V: ContextManager + 'static,
        X: From<V::Error>,
    {
        let at = Location::caller();
        async move { Ok(self.push_at(enter.await?, at, X::from)) }
    }

    /// Takes a value in that was entered already.
    #[track_caller]
    pub fn push<V>(&mut self, value: V) -> Key<V>
    where
        V: ContextManager + 'static,
        X: From<V::Error>,
    {
        self.push_at(value, Location::caller(), X::from)
    }

    fn push_at<V>(
        &mut self,
        value: V,
        at: &'static Location<'static>,
        convert: fn(V::Error) -> X,
    ) -> Key<V>
    where
        V: ContextManager + 'static,
    {
        let entry = Box::new(Entered { value, at, convert });
        self.entries.push(entry);
        Key {
            stack: self.id,
            index: self.entries.len() - 1,
            value: PhantomData,
        }
    }

    /// Takes a callback in, to be called and awaited when its turn comes.
    ///
    /// # Examples
    /// ```
    /// use antiphon::context::{ExitStack, with};
    /// use antiphon::{Cancelled, run, yield_now};
    /// use std::{cell::RefCell, io, rc::Rc};
    ///
    /// run(async || {
    ///     let said = Rc::new(RefCell::new(Vec::new()));
    ///     with(ExitStack::new(), async |stack| {
    ///         for number in 0..3 {
    ///             let said = Rc::clone(&said);
    ///             stack.push_callback(async move |_ending| {
    ///                 yield_now().await?;
    ///                 said.borrow_mut().push(number);
    ///                 Ok(())
    ///             });
    ///         }
    ///         Ok::<_, io::Error>(())
    ///     })
    ///     .await?;
    ///     assert_eq!(*said.borrow(), [2, 1, 0]);
    ///     Ok::<(), io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn push_callback<C>(&mut self, callback: C)
    where
        C: for<'a> AsyncFnOnce(Ending<'a>) -> Result<(), X> + 'static,
    {
        let callback = Callback {
            callback,
            error: PhantomData,
        };
        self.push_at(callback, Location::caller(), |error| error);
    }

    /// Returns everything that is in it, and leaves it empty. Keys go with what they name.
    ///
    /// To keep what was entered: if all of many steps went well, the clean-up is for somebody else.
    ///
    /// # Examples
    /// ```
    /// use antiphon::context::{ExitStack, with};
    /// use antiphon::run;
    /// use std::io;
    ///
    /// run(async || {
    ///     let kept = with(ExitStack::<io::Error>::new(), async |stack| {
    ///         stack.push_callback(async |_| Ok(println!("later")));
    ///         Ok::<_, io::Error>(stack.pop_all())
    ///     });
    ///     let kept = kept.await?;
    ///     assert_eq!(kept.len(), 1);
    ///     kept.close().await?;
    ///     Ok::<(), io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    #[must_use = "what was taken out is handed over to the loop if it is dropped"]
    pub fn pop_all(&mut self) -> Self {
        Self {
            entries: mem::take(&mut self.entries),
            id: mem::replace(&mut self.id, next_id()),
            at: Location::caller(),
        }
    }

    /// Has everything in it exit now, as after a block that returned a value.
    ///
    /// # Errors
    /// The errors of all exits that failed.
    ///
    /// # Panics
    /// If no loop is running on this thread; and with what an exit panics, after all others.
    ///
    /// # Cancellation
    /// **Finishes first.** If it is dropped, what is left is handed over to the loop.
    #[track_caller]
    pub fn close(self) -> impl Future<Output = Result<(), ExitErrors<X>>> {
        let at = Location::caller();
        async move {
            // In here: a future that is never polled drops the stack, and not what it is held by.
            let held = Held::new(self, None, at);
            let (_, exit) = HandOver::exit(held, Told::<Cancelled>::Value).await;
            match exit {
                Ok(()) => Ok(()),
                Err(ExitError::Failed(errors)) => Err(errors),
                Err(ExitError::Killed(cancelled)) => Err(ExitErrors::of(cancelled.into())),
                Err(ExitError::Panicked(payload)) => resume_unwind(payload),
            }
        }
    }

    /// Returns how many values and callbacks are in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns `true` if nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The errors of the stack's exits are all kept. A panic goes on after the last exit; errors of others are reported then.
impl<X: From<Cancelled> + fmt::Display + 'static> ContextManager for ExitStack<X> {
    type Error = ExitErrors<X>;
    type IfDropped = HandOver;

    async fn exit(mut self, ending: Ending<'_>) -> Result<(), ExitErrors<X>> {
        let mut errors = Vec::new();
        let mut panic: Option<Payload> = None;
        while let Some(entry) = self.entries.pop() {
            let at = entry.at();
            // What an exit around a block would be told that this one ends.
            let told = match (ending, errors.first()) {
                _ if panic.is_some() => Ending::Panicked,
                (Ending::Value, Some(error)) => Ending::Error(Failure::of(error)),
                _ => ending,
            };
            let error = match entry.exit(told).await {
                Ok(()) => continue,
                Err(ExitError::Failed(error)) => error,
                Err(ExitError::Killed(cancelled)) => cancelled.into(),
                Err(ExitError::Panicked(payload)) => {
                    if panic.is_some() {
                        report(&Report::Panicked, at);
                    } else {
                        panic = Some(payload);
                    }
                    continue;
                }
            };
            errors.push(error);
        }
        match panic {
            None if errors.is_empty() => Ok(()),
            None => Err(ExitErrors { errors }),
            Some(payload) => {
                for error in &errors {
                    report(&Report::Failed(error), self.at);
                }
                resume_unwind(payload)
            }
        }
    }

    fn let_go(mut self) {
        while let Some(entry) = self.entries.pop() {
            entry.let_go();
        }
    }

    /// Each exit in it has its own.
    fn grace(&self) -> Grace {
        Grace::UNBOUNDED
    }
}

/// It enters itself at once.
impl<X: From<Cancelled> + fmt::Display + 'static> IntoFuture for ExitStack<X> {
    type Output = Result<Self, Cancelled>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        ready(Ok(self))
    }
}

impl<X: From<Cancelled> + fmt::Display + 'static> Drop for ExitStack<X> {
    fn drop(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        let left = Self {
            entries: mem::take(&mut self.entries),
            ..*self
        };
        HandOver::dropped(Held::new(left, None, self.at));
    }
}

impl<V: 'static, X: From<Cancelled> + fmt::Display + 'static> Index<&Key<V>> for ExitStack<X> {
    type Output = V;

    /// # Panics
    /// If the key is of another stack, or what it names was taken out.
    fn index(&self, key: &Key<V>) -> &V {
        assert_eq!(key.stack, self.id, "{FOREIGN}");
        let value = self.entries[key.index].as_any().downcast_ref();
        value.expect("a key knows the type")
    }
}

impl<V: 'static, X: From<Cancelled> + fmt::Display + 'static> IndexMut<&Key<V>> for ExitStack<X> {
    /// # Panics
    /// As [`index`](Index::index).
    fn index_mut(&mut self, key: &Key<V>) -> &mut V {
        assert_eq!(key.stack, self.id, "{FOREIGN}");
        let value = self.entries[key.index].as_any_mut().downcast_mut();
        value.expect("a key knows the type")
    }
}

const FOREIGN: &str = "the key is of another stack, or what it names was taken out";

impl<X: From<Cancelled> + fmt::Display + 'static> Default for ExitStack<X> {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl<X: From<Cancelled> + fmt::Display + 'static> fmt::Debug for ExitStack<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExitStack")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<V> fmt::Debug for Key<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.index)
    }
}

/// A value or a callback in a stack.
trait Entry<X> {
    fn exit(self: Box<Self>, ending: Ending<'_>) -> Exiting<'_, X>;
    fn let_go(self: Box<Self>);
    /// The line that took it in.
    fn at(&self) -> &'static Location<'static>;
    /// The value.
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

type Exiting<'a, X> = Pin<Box<dyn Future<Output = Result<(), ExitError<X>>> + 'a>>;

struct Entered<V: ContextManager, X> {
    value: V,
    at: &'static Location<'static>,
    convert: fn(V::Error) -> X,
}

impl<V: ContextManager + 'static, X: 'static> Entry<X> for Entered<V, X> {
    fn exit(self: Box<Self>, ending: Ending<'_>) -> Exiting<'_, X> {
        let Self { value, at, convert } = *self;
        let held = Held::new(value, None, at);
        Box::pin(async move {
            run_exit(held, ending).await.map_err(|error| match error {
                ExitError::Failed(error) => ExitError::Failed(convert(error)),
                ExitError::Killed(cancelled) => ExitError::Killed(cancelled),
                ExitError::Panicked(payload) => ExitError::Panicked(payload),
            })
        })
    }

    fn let_go(self: Box<Self>) {
        self.value.let_go();
    }

    fn at(&self) -> &'static Location<'static> {
        self.at
    }

    fn as_any(&self) -> &dyn Any {
        &self.value
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        &mut self.value
    }
}

struct Callback<C, X> {
    callback: C,
    error: PhantomData<fn() -> X>,
}

impl<C, X> ContextManager for Callback<C, X>
where
    C: for<'a> AsyncFnOnce(Ending<'a>) -> Result<(), X> + 'static,
    X: fmt::Display + 'static,
{
    type Error = X;
    type IfDropped = HandOver;

    async fn exit(self, ending: Ending<'_>) -> Result<(), X> {
        (self.callback)(ending).await
    }
}

fn next_id() -> u64 {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    LAST.set(LAST.get() + 1);
    LAST.get()
}

/// The errors of one or more exits of an [`ExitStack`], in the order in which they came.
///
/// One of [`io::Error`]s converts into an `io::Error` of the first one's kind, and one of [`Cancelled`]s into the first.
#[derive(Debug)]
pub struct ExitErrors<X> {
    /// Never empty.
    errors: Vec<X>,
}

impl<X> ExitErrors<X> {
    fn of(error: X) -> Self {
        let errors = vec![error];
        Self { errors }
    }

    /// Returns the first one, of the exit that came first. Those after it were told of it.
    #[allow(clippy::missing_panics_doc, reason = "there is one")]
    pub fn first(&self) -> &X {
        self.errors.first().expect("there is one")
    }

    /// Returns all of them.
    pub fn as_slice(&self) -> &[X] {
        &self.errors
    }

    /// Returns all of them.
    pub fn into_vec(self) -> Vec<X> {
        self.errors
    }
}

impl<X> fmt::Display for ExitErrors<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.len() {
            1 => f.write_str("an exit failed"),
            count => write!(f, "{count} exits failed"),
        }
    }
}

/// Its source is the first error.
impl<X: Error + 'static> Error for ExitErrors<X> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.first())
    }
}

impl From<ExitErrors<Self>> for io::Error {
    fn from(errors: ExitErrors<Self>) -> Self {
        Self::new(errors.first().kind(), errors)
    }
}

impl From<ExitErrors<Self>> for Cancelled {
    fn from(errors: ExitErrors<Self>) -> Self {
        errors.first().clone()
    }
}
