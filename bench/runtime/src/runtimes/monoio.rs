//! monoio, with `local-sync`, which has no mutex: a semaphore of one guards the number, and another notifies.

use std::cell::Cell;
use std::time::Duration;

use local_sync::mpsc::bounded;
use local_sync::oneshot;
use local_sync::semaphore::Semaphore;
use monoio::blocking::DefaultThreadPool;
use monoio::task::JoinHandle;
use monoio::{FusionDriver, RuntimeBuilder};

use super::{Meet, Runtime};

#[derive(Clone, Copy)]
pub(super) struct Monoio;

impl Runtime for Monoio {
    type Handle<T: 'static> = JoinHandle<T>;

    fn run<F, T>(main: F) -> Result<T, String>
    where
        F: AsyncFnOnce(Self) -> T,
    {
        let builder = RuntimeBuilder::<FusionDriver>::new()
            .enable_timer()
            .attach_thread_pool(Box::new(DefaultThreadPool::new(4)));
        let mut runtime = builder.build().map_err(|error| error.to_string())?;
        Ok(runtime.block_on(main(Self)))
    }

    fn spawn<F, T>(self, body: F) -> JoinHandle<T>
    where
        F: AsyncFnOnce() -> T + 'static,
        T: 'static,
    {
        monoio::spawn(body())
    }

    fn join<T: 'static>(handle: JoinHandle<T>) -> impl Future<Output = T> {
        handle
    }

    fn detach<T: 'static>(handle: JoinHandle<T>) {
        drop(handle);
    }

    fn sleep(self, duration: Duration) -> impl Future<Output = ()> {
        monoio::time::sleep(duration)
    }
}

impl Meet for Monoio {
    type Event = Semaphore;
    type Sender = bounded::Tx<u64>;
    type Receiver = bounded::Rx<u64>;
    type Mutex = (Semaphore, Cell<u64>);

    fn event() -> Semaphore {
        Semaphore::new(0)
    }

    fn notify(event: &Semaphore) {
        event.add_permits(1);
    }

    async fn wait(event: &Semaphore) {
        event.acquire().await.expect("nobody closes it").forget();
    }

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        bounded::channel(capacity)
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
        monoio::spawn_blocking(move || value)
            .await
            .expect("the closure returns")
    }

    fn mutex() -> Self::Mutex {
        (Semaphore::new(1), Cell::new(0))
    }

    async fn lock_and_set((semaphore, number): &Self::Mutex, value: u64) {
        let permit = semaphore.acquire().await.expect("nobody closes it");
        number.set(value);
        drop(permit);
    }
}
