//! What becomes of a block that is dropped half way.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::ending::{Ending, Told};
use super::exit::{ExitError, Held, run_exit};
use super::manager::ContextManager;
use super::report::count;
use crate::task::TaskBuilder;
use crate::worker::try_current;

/// The exit is handed over to the loop: a task of its own runs it to its end. For values that borrow nothing.
///
/// That task is shielded and bounded as the exit would have been. In the [task tree](crate::tree) its name is
/// `exit of`, with the line of the block. It is told [`Ending::Dropped`], unless the exit was under way already: then it goes
/// on where it was. If no loop runs any more, the value is [let go](ContextManager::let_go), and that is reported.
///
/// It costs a box for each exit.
///
/// ```compile_fail
/// use antiphon::Cancelled;
/// use antiphon::context::{ContextManager, Ending, HandOver};
///
/// struct Borrowed<'a>(&'a str);
///
/// impl ContextManager for Borrowed<'_> {
///     type Error = Cancelled;
///     type IfDropped = HandOver; // the loop could outlive what is borrowed; it is to be `LetGo`
///
///     async fn exit(self, _: Ending<'_>) -> Result<(), Cancelled> {
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub enum HandOver {}

/// The value is [let go](ContextManager::let_go) on the spot. For values that borrow, and for those whose destructor does
/// all that an exit could: a lock is unlocked.
///
/// An exit that is under way is dropped, and that is reported.
#[derive(Clone, Copy, Debug)]
pub enum LetGo {}

/// [`HandOver`] or [`LetGo`]: see [`ContextManager::IfDropped`].
///
/// It is implemented by these two and by nothing else.
pub trait IfDropped<V: ContextManager>: sealed::Sealed {
    #[doc(hidden)]
    fn exit<E: fmt::Display + 'static>(
        held: Held<V>,
        told: Told<E>,
    ) -> impl Future<Output = Exit<E, V::Error>>;

    #[doc(hidden)]
    fn dropped(held: Held<V>);
}

/// What a block returned, given back, and how the exit ended.
type Exit<E, X> = (Told<E>, Result<(), ExitError<X>>);

impl<V: ContextManager + 'static> IfDropped<V> for HandOver {
    async fn exit<E: fmt::Display + 'static>(held: Held<V>, told: Told<E>) -> Exit<E, V::Error> {
        let at = held.at;
        let exit = async move {
            let result = run_exit(held, told.ending()).await;
            (told, result)
        };
        // In a box, since it moves to a task of its own if this future is dropped.
        let mut under_way = UnderWay {
            exit: Some(Box::pin(exit)),
            at,
        };
        poll_fn(|cx| under_way.poll(cx)).await
    }

    fn dropped(held: Held<V>) {
        let at = held.at;
        hand_over(at, async move { run_exit(held, Ending::Dropped).await });
    }
}

impl<V: ContextManager> IfDropped<V> for LetGo {
    async fn exit<E: fmt::Display + 'static>(held: Held<V>, told: Told<E>) -> Exit<E, V::Error> {
        let result = run_exit(held, told.ending()).await;
        (told, result)
    }

    fn dropped(mut held: Held<V>) {
        held.let_go();
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::HandOver {}
    impl Sealed for super::LetGo {}
}

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

/// An exit that is awaited, and handed over if that ends before it does.
struct UnderWay<E: 'static, X: fmt::Display + 'static> {
    /// `None` when it has ended.
    exit: Option<Boxed<Exit<E, X>>>,
    at: &'static Location<'static>,
}

impl<E, X: fmt::Display> UnderWay<E, X> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Exit<E, X>> {
        let exit = self.exit.as_mut().expect("it is not polled after its end");
        let ended = ready!(exit.as_mut().poll(cx));
        self.exit = None;
        Poll::Ready(ended)
    }
}

impl<E: 'static, X: fmt::Display + 'static> Drop for UnderWay<E, X> {
    fn drop(&mut self) {
        if let Some(exit) = self.exit.take() {
            hand_over(self.at, async move { exit.await.1 });
        }
    }
}

/// Has the loop run an exit that nobody waits for. If none runs on this thread, it is dropped.
pub(super) fn hand_over<X: fmt::Display + 'static>(
    at: &'static Location<'static>,
    exit: impl Future<Output = Result<(), ExitError<X>>> + 'static,
) {
    if try_current(|_| ()).is_none() {
        return;
    }
    count(|stats| stats.handed_over += 1);
    let orphan = Orphan::new();
    let task = TaskBuilder::new().name(&format!("exit of {at}"));
    let task = task.spawn(async move || {
        let _orphan = orphan;
        if let Err(error) = exit.await {
            error.report(at);
        }
    });
    // Nobody waits for it.
    drop(task);
}

/// Counts an orphan as long as there is one.
struct Orphan(());

impl Orphan {
    fn new() -> Self {
        count(|stats| stats.orphans += 1);
        Self(())
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        count(|stats| stats.orphans -= 1);
    }
}
