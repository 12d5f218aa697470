//! glommio, with its own `sync` and channels, and the oneshot channel of `local-sync`, which it lacks.

use std::time::Duration;

use glommio::channels::local_channel::{self, LocalReceiver, LocalSender};
use glommio::sync::{RwLock, Semaphore};
use glommio::timer::Timer;
use glommio::{LocalExecutorBuilder, Task};
use local_sync::oneshot;

use super::{Meet, Runtime};

#[derive(Clone, Copy)]
pub(super) struct Glommio;

impl Runtime for Glommio {
    type Handle<T: 'static> = Task<T>;

    fn run<F, T>(main: F) -> Result<T, String>
    where
        F: AsyncFnOnce(Self) -> T,
    {
        let executor = LocalExecutorBuilder::default().make();
        let executor = executor.map_err(|error| error.to_string())?;
        Ok(executor.run(main(Self)))
    }

    fn spawn<F, T>(self, body: F) -> Task<T>
    where
        F: AsyncFnOnce() -> T + 'static,
        T: 'static,
    {
        glommio::spawn_local(body())
    }

    fn join<T: 'static>(handle: Task<T>) -> impl Future<Output = T> {
        handle
    }

    fn detach<T: 'static>(handle: Task<T>) {
        handle.detach();
    }

    async fn sleep(self, duration: Duration) {
        Timer::new(duration).await;
    }
}

impl Meet for Glommio {
    type Event = Semaphore;
    type Sender = LocalSender<u64>;
    type Receiver = LocalReceiver<u64>;
    type Mutex = RwLock<u64>;

    fn event() -> Semaphore {
        Semaphore::new(0)
    }

    fn notify(event: &Semaphore) {
        event.signal(1);
    }

    async fn wait(event: &Semaphore) {
        event.acquire(1).await.expect("nobody closes it");
    }

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        local_channel::new_bounded(capacity)
    }

    async fn send(sender: &Self::Sender, message: u64) {
        sender.send(message).await.expect("the receiver is alive");
    }

    async fn recv(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("the sender is alive")
    }

    async fn oneshot(value: u64) -> u64 {
        let (sender, receiver) = oneshot::channel();
        sender.send(value).expect("the receiver is alive");
        receiver.await.expect("the value was sent")
    }

    async fn unblock(value: u64) -> u64 {
        glommio::executor().spawn_blocking(move || value).await
    }

    fn mutex() -> RwLock<u64> {
        RwLock::new(0)
    }

    async fn lock_and_set(mutex: &RwLock<u64>, value: u64) {
        *mutex.write().await.expect("nobody closes it") = value;
    }
}
