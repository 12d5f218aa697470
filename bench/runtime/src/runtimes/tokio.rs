//! tokio: its runtime for one thread and tasks that are not `Send`, with its own `sync`.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_local};

use super::{Meet, Runtime};

#[derive(Clone, Copy)]
pub(super) struct Tokio;

impl Runtime for Tokio {
    type Handle<T: 'static> = JoinHandle<T>;

    fn run<F, T>(main: F) -> Result<T, String>
    where
        F: AsyncFnOnce(Self) -> T,
    {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default())
            .map_err(|error| error.to_string())?;
        Ok(runtime.block_on(main(Self)))
    }

    fn spawn<F, T>(self, body: F) -> JoinHandle<T>
    where
        F: AsyncFnOnce() -> T + 'static,
        T: 'static,
    {
        spawn_local(body())
    }

    async fn join<T: 'static>(handle: JoinHandle<T>) -> T {
        handle.await.expect("the task ends well")
    }

    fn detach<T: 'static>(handle: JoinHandle<T>) {
        drop(handle);
    }

    fn sleep(self, duration: Duration) -> impl Future<Output = ()> {
        tokio::time::sleep(duration)
    }
}

impl Meet for Tokio {
    type Event = Notify;
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;
    type Mutex = Mutex<u64>;

    fn event() -> Notify {
        Notify::new()
    }

    fn notify(event: &Notify) {
        event.notify_one();
    }

    async fn wait(event: &Notify) {
        event.notified().await;
    }

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        mpsc::channel(capacity)
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
        tokio::task::spawn_blocking(move || value)
            .await
            .expect("the closure returns")
    }

    fn mutex() -> Mutex<u64> {
        Mutex::new(0)
    }

    async fn lock_and_set(mutex: &Mutex<u64>, value: u64) {
        *mutex.lock().await = value;
    }
}
