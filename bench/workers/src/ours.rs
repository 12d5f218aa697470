//! Ours, with two workers, on each driver.

use antiphon::thread::{self, Receiver, Sender};
use antiphon::{DriverKind, Runtime, spawn, spawn_on};

use crate::pair::{Pair, Work};
use crate::sample::Sample;

const UNCANCELLED: &str = "nobody cancels";

/// On `io_uring`.
pub(crate) struct Uring;
/// On epoll.
pub(crate) struct Readiness;

impl Pair for Uring {
    type Sender = Sender<u32>;
    type Receiver = Receiver<u32>;

    fn channel() -> (Sender<u32>, Receiver<u32>) {
        thread::channel(1)
    }

    async fn send(sender: &Sender<u32>, value: u32) {
        sender.send(value).await.expect("the receiver is alive");
    }

    async fn recv(receiver: &mut Receiver<u32>) -> Option<u32> {
        receiver.recv().await.expect(UNCANCELLED)
    }

    fn run(
        here: impl Future<Output = Sample> + Send + 'static,
        there: impl Future<Output = ()> + Send + 'static,
        work: Option<&Work>,
    ) -> Sample {
        run(DriverKind::Uring, here, there, work)
    }
}

impl Pair for Readiness {
    type Sender = Sender<u32>;
    type Receiver = Receiver<u32>;

    fn channel() -> (Sender<u32>, Receiver<u32>) {
        thread::channel(1)
    }

    async fn send(sender: &Sender<u32>, value: u32) {
        Uring::send(sender, value).await;
    }

    async fn recv(receiver: &mut Receiver<u32>) -> Option<u32> {
        Uring::recv(receiver).await
    }

    fn run(
        here: impl Future<Output = Sample> + Send + 'static,
        there: impl Future<Output = ()> + Send + 'static,
        work: Option<&Work>,
    ) -> Sample {
        run(DriverKind::Readiness, here, there, work)
    }
}

fn run(
    driver: DriverKind,
    here: impl Future<Output = Sample> + Send + 'static,
    there: impl Future<Output = ()> + Send + 'static,
    work: Option<&Work>,
) -> Sample {
    let runtime = Runtime::builder().driver(driver).workers(2).build();
    runtime
        .expect("the system grants the driver")
        .run(async || {
            for _ in 0..work.map_or(0, |_| Work::TASKS) {
                let [own, other] = [(); 2].map(|()| work.map(Work::task));
                drop(spawn(async move || own.expect("there is work").await));
                drop(spawn_on(1, async move || other.expect("there is work").await).detach());
            }
            let there = spawn_on(1, async move || there.await);
            // In a task, as the peers' are.
            let sample = spawn(async move || here.await).await;
            there.await.expect("it ends well");
            work.inspect(|work| work.end());
            sample.expect("it ends well")
        })
}
