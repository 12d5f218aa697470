//! smol: `LocalExecutor` and `async-io`, with `event-listener`, `async-channel`, `async-lock` and `oneshot`.

use std::time::Duration;

use async_executor::{LocalExecutor, Task};
use async_io::Timer;
use async_lock::Mutex;
use event_listener::{Event, listener};

use super::{Meet, Runtime};

#[derive(Clone, Copy)]
pub(super) struct Smol(&'static LocalExecutor<'static>);

impl Runtime for Smol {
    type Handle<T: 'static> = Task<T>;

    fn run<F, T>(main: F) -> Result<T, String>
    where
        F: AsyncFnOnce(Self) -> T,
    {
        let executor: &'static _ = Box::leak(Box::new(LocalExecutor::new()));
        Ok(async_io::block_on(executor.run(main(Self(executor)))))
    }

    fn spawn<F, T>(self, body: F) -> Task<T>
    where
        F: AsyncFnOnce() -> T + 'static,
        T: 'static,
    {
        self.0.spawn(body())
    }

    fn join<T: 'static>(handle: Task<T>) -> impl Future<Output = T> {
        handle
    }

    fn detach<T: 'static>(handle: Task<T>) {
        handle.detach();
    }

    async fn sleep(self, duration: Duration) {
        Timer::after(duration).await;
    }
}

impl Meet for Smol {
    type Event = Event;
    type Sender = async_channel::Sender<u64>;
    type Receiver = async_channel::Receiver<u64>;
    type Mutex = Mutex<u64>;

    fn event() -> Event {
        Event::new()
    }

    fn notify(event: &Event) {
        event.notify(1);
    }

    async fn wait(event: &Event) {
        listener!(event => listener);
        listener.await;
    }

    async fn notify_and_wait(there: &Event, here: &Event) {
        listener!(here => listener);
        there.notify(1);
        listener.await;
    }

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        async_channel::bounded(capacity)
    }

    async fn send(sender: &Self::Sender, message: u64) {
        sender.send(message).await.expect("the receiver is alive");
    }

    async fn recv(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("the sender is alive")
    }

    async fn oneshot(value: u64) -> u64 {
        let (sender, receiver) = oneshot::async_channel();
        sender.send(value).expect("the receiver is alive");
        receiver.await.expect("the value was sent")
    }

    async fn unblock(value: u64) -> u64 {
        blocking::unblock(move || value).await
    }

    fn mutex() -> Mutex<u64> {
        Mutex::new(0)
    }

    async fn lock_and_set(mutex: &Mutex<u64>, value: u64) {
        *mutex.lock().await = value;
    }
}
