//! compio, with its authors' `local-event` and `synchrony`, and the channels of `local-sync`.

use std::time::Duration;

use compio::runtime::JoinHandle;
use local_event::Event;
use local_sync::mpsc::bounded;
use local_sync::oneshot;
use synchrony::unsync::mutex::Mutex;

use super::{Meet, Runtime};

#[derive(Clone, Copy)]
pub(super) struct Compio;

impl Runtime for Compio {
    type Handle<T: 'static> = JoinHandle<T>;

    fn run<F, T>(main: F) -> Result<T, String>
    where
        F: AsyncFnOnce(Self) -> T,
    {
        let runtime = compio::runtime::Runtime::new().map_err(|error| error.to_string())?;
        Ok(runtime.block_on(main(Self)))
    }

    fn spawn<F, T>(self, body: F) -> JoinHandle<T>
    where
        F: AsyncFnOnce() -> T + 'static,
        T: 'static,
    {
        compio::runtime::spawn(body())
    }

    async fn join<T: 'static>(handle: JoinHandle<T>) -> T {
        handle.await.expect("the task ends well")
    }

    fn detach<T: 'static>(handle: JoinHandle<T>) {
        handle.detach();
    }

    fn sleep(self, duration: Duration) -> impl Future<Output = ()> {
        compio::time::sleep(duration)
    }
}

impl Meet for Compio {
    type Event = Event;
    type Sender = bounded::Tx<u64>;
    type Receiver = bounded::Rx<u64>;
    type Mutex = Mutex<u64>;

    fn event() -> Event {
        Event::new()
    }

    fn notify(event: &Event) {
        event.notify(1);
    }

    async fn wait(event: &Event) {
        event.listen().await;
    }

    async fn notify_and_wait(there: &Event, here: &Event) {
        let listener = here.listen();
        there.notify(1);
        listener.await;
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
        compio::runtime::spawn_blocking(move || value)
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
