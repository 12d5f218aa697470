//! tokio, in the two ways in which it has two threads.

use std::sync::mpsc;
use std::thread;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc as channel;

use crate::pair::{Pair, Work};
use crate::sample::Sample;

type Sender = channel::Sender<u32>;
type Receiver = channel::Receiver<u32>;

/// A `LocalRuntime` on each of two threads: each task stays where it is, as ours do.
pub(crate) struct Apart;
/// The runtime of several threads, with two. A task that is woken moves to the thread that wakes it, if that has
/// nothing better to do: then nothing crosses threads.
pub(crate) struct Together;

impl Pair for Apart {
    type Sender = Sender;
    type Receiver = Receiver;

    fn channel() -> (Sender, Receiver) {
        channel::channel(1)
    }

    async fn send(sender: &Sender, value: u32) {
        sender.send(value).await.expect("the receiver is alive");
    }

    async fn recv(receiver: &mut Receiver) -> Option<u32> {
        receiver.recv().await
    }

    fn run(
        here: impl Future<Output = Sample> + Send + 'static,
        there: impl Future<Output = ()> + Send + 'static,
        work: Option<&Work>,
    ) -> Sample {
        let spawn_work = |runtime: &LocalRuntime| {
            for _ in 0..Work::TASKS {
                work.map(|work| runtime.spawn_local(work.task()));
            }
        };
        thread::scope(|scope| {
            let (ready, is_ready) = mpsc::channel();
            scope.spawn(move || {
                let runtime = local();
                spawn_work(&runtime);
                ready.send(()).expect("somebody waits");
                let there = runtime.spawn_local(there);
                runtime.block_on(there).expect("it ends well");
            });
            is_ready.recv().expect("it starts");
            let runtime = local();
            spawn_work(&runtime);
            let here = runtime.spawn_local(here);
            runtime.block_on(here).expect("it ends well")
        })
    }
}

fn local() -> LocalRuntime {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    runtime.expect("it starts")
}

impl Pair for Together {
    type Sender = Sender;
    type Receiver = Receiver;

    fn channel() -> (Sender, Receiver) {
        channel::channel(1)
    }

    async fn send(sender: &Sender, value: u32) {
        Apart::send(sender, value).await;
    }

    async fn recv(receiver: &mut Receiver) -> Option<u32> {
        Apart::recv(receiver).await
    }

    fn run(
        here: impl Future<Output = Sample> + Send + 'static,
        there: impl Future<Output = ()> + Send + 'static,
        work: Option<&Work>,
    ) -> Sample {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build();
        let runtime = runtime.expect("it starts");
        for _ in 0..2 * Work::TASKS {
            work.map(|work| runtime.spawn(work.task()));
        }
        let there = runtime.spawn(there);
        let here = runtime.spawn(here);
        runtime.block_on(async {
            let sample = here.await.expect("it ends well");
            there.await.expect("it ends well");
            work.inspect(|work| work.end());
            sample
        })
    }
}
