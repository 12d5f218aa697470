//! Two threads, and what they do besides.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use crate::sample::Sample;

/// A runtime on two threads, and its channel.
pub(crate) trait Pair {
    type Sender: Send + Sync + 'static;
    type Receiver: Send + 'static;

    /// Makes a channel with room for one.
    fn channel() -> (Self::Sender, Self::Receiver);
    fn send(sender: &Self::Sender, value: u32) -> impl Future<Output = ()> + Send;
    /// Returns `None` if nobody sends any more.
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = Option<u32>> + Send;

    /// Runs `here` in a task on one thread and `there` in one on the other, and `work` on both until they have ended.
    fn run(
        here: impl Future<Output = Sample> + Send + 'static,
        there: impl Future<Output = ()> + Send + 'static,
        work: Option<&Work>,
    ) -> Sample;
}

/// What a thread does that is not to sleep: some tasks that take turns until it is ended.
pub(crate) struct Work {
    is_over: Arc<AtomicBool>,
}

impl Work {
    /// Tasks of each thread.
    pub(crate) const TASKS: usize = 10;
    /// Steps of the loop that a turn of a task is: a microsecond, about.
    const STEPS: u32 = 1000;

    pub(crate) fn new() -> Self {
        Self {
            is_over: Arc::new(AtomicBool::new(false)),
        }
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Returns the body of a task.
    pub(crate) fn task(&self) -> impl Future<Output = ()> + Send + use<> {
        let is_over = Arc::clone(&self.is_over);
        async move {
            while !is_over.load(Ordering::Relaxed) {
                for step in 0..Self::STEPS {
                    black_box(step);
                }
                Yield { has_yielded: false }.await;
            }
        }
    }
}

/// Goes to the end of the line. The same for all: tokio's own is another thing in each of its runtimes.
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
