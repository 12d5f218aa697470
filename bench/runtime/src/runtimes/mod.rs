//! The runtimes, each with the meeting places that its users take.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::rows::Row;
use crate::sample::Sample;
use crate::workload;

mod antiphon;
mod compio;
mod glommio;
mod monoio;
mod smol;
mod tokio;

/// The name of the runtime under test.
pub(crate) const OURS: &str = "antiphon";
/// All of them, ours first.
pub(crate) const NAMES: [&str; 6] = [OURS, "tokio", "smol", "monoio", "compio", "glommio"];

/// Measures `row` on the runtime of this name.
///
/// # Errors
/// What the runtime says when it can't start.
pub(crate) fn measure(row: Row, name: &str) -> Result<Sample, String> {
    match name {
        OURS => start::<antiphon::Antiphon>(row),
        "tokio" => start::<tokio::Tokio>(row),
        "smol" => start::<smol::Smol>(row),
        "monoio" => start::<monoio::Monoio>(row),
        "compio" => start::<compio::Compio>(row),
        "glommio" => start::<glommio::Glommio>(row),
        _ => Err(format!("`{name}` is not a runtime")),
    }
}

fn start<R: Meet>(row: Row) -> Result<Sample, String> {
    R::run(async move |runtime: R| workload::measure(runtime, row).await)
}

/// Tasks and time, on one thread.
pub(crate) trait Runtime: Copy + 'static {
    /// A task's end, to be awaited.
    type Handle<T: 'static>;

    /// Starts the runtime with its I/O and its timers, and runs `main` on it.
    fn run<F, T>(main: F) -> Result<T, String>
    where
        F: AsyncFnOnce(Self) -> T;

    /// Starts a task.
    fn spawn<F, T>(self, body: F) -> Self::Handle<T>
    where
        F: AsyncFnOnce() -> T + 'static,
        T: 'static;

    /// Waits until a task has ended well.
    fn join<T: 'static>(handle: Self::Handle<T>) -> impl Future<Output = T>;

    /// Lets a task go on by itself.
    fn detach<T: 'static>(handle: Self::Handle<T>);

    /// Waits for `duration`.
    fn sleep(self, duration: Duration) -> impl Future<Output = ()>;

    /// Lets the other tasks run. This is how all the peers do it fastest: tokio's own would enter the kernel if no
    /// other task is ready.
    fn yield_now(self) -> impl Future<Output = ()> {
        Yield { has_yielded: false }
    }
}

/// Meeting places for the tasks of one thread.
pub(crate) trait Meet: Runtime {
    /// Where a task waits until another notifies it.
    type Event: 'static;
    /// The end of a bounded channel where messages go in.
    type Sender: 'static;
    /// The end where they come out.
    type Receiver: 'static;
    /// A lock around a number.
    type Mutex: 'static;

    fn event() -> Self::Event;
    fn notify(event: &Self::Event);
    async fn wait(event: &Self::Event);

    /// Notifies those at `there` and waits `here`; where a notification is lost if nobody waits, in the right order.
    async fn notify_and_wait(there: &Self::Event, here: &Self::Event) {
        Self::notify(there);
        Self::wait(here).await;
    }

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver);
    async fn send(sender: &Self::Sender, message: u64);
    async fn recv(receiver: &mut Self::Receiver) -> u64;

    /// Sends `value` through a channel of its own and receives it.
    async fn oneshot(value: u64) -> u64;

    /// Calls a closure that returns `value` on a thread that may block, and awaits it.
    async fn unblock(value: u64) -> u64;

    fn mutex() -> Self::Mutex;
    async fn lock_and_set(mutex: &Self::Mutex, value: u64);
}

struct Yield {
    has_yielded: bool,
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_yielded {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
