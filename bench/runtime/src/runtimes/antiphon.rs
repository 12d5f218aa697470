//! Ours.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use antiphon::JoinHandle;
use antiphon::sync::{Event, Mutex, mpsc, oneshot};

use super::{Meet, Runtime};

#[derive(Clone, Copy)]
pub(super) struct Antiphon;

const UNCANCELLED: &str = "no workload has scopes";

/// A wait of which it does not matter how it ended. By hand, because an `async` block around it would be measured as well.
struct Ended<F>(F);

impl<F: Future + Unpin> Future for Ended<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}

impl Runtime for Antiphon {
    type Handle<T: 'static> = JoinHandle<T>;

    fn run<F, T>(main: F) -> Result<T, String>
    where
        F: AsyncFnOnce(Self) -> T,
    {
        Ok(antiphon::run(async || main(Self).await))
    }

    fn spawn<F, T>(self, body: F) -> JoinHandle<T>
    where
        F: AsyncFnOnce() -> T + 'static,
        T: 'static,
    {
        antiphon::spawn(body)
    }

    async fn join<T: 'static>(handle: JoinHandle<T>) -> T {
        handle.await.expect("the task ends well")
    }

    fn detach<T: 'static>(handle: JoinHandle<T>) {
        drop(handle);
    }

    fn sleep(self, duration: Duration) -> impl Future<Output = ()> {
        // Those that still sleep at the end are cancelled.
        Ended(antiphon::time::sleep(duration))
    }

    fn yield_now(self) -> impl Future<Output = ()> {
        Ended(antiphon::yield_now())
    }
}

impl Meet for Antiphon {
    type Event = Event;
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;
    type Mutex = Mutex<u64>;

    fn event() -> Event {
        Event::new()
    }

    fn notify(event: &Event) {
        event.set();
    }

    async fn wait(event: &Event) {
        event.wait().await.expect(UNCANCELLED);
        event.clear();
    }

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        mpsc::channel(capacity)
    }

    async fn send(sender: &Self::Sender, message: u64) {
        sender.send(message).await.expect("the receiver is alive");
    }

    async fn recv(receiver: &mut Self::Receiver) -> u64 {
        let message = receiver.recv().await.expect(UNCANCELLED);
        message.expect("the sender is alive")
    }

    async fn oneshot(value: u64) -> u64 {
        let (sender, receiver) = oneshot::channel();
        sender.send(value).expect("the receiver is alive");
        receiver.await.expect("the value was sent")
    }

    async fn unblock(value: u64) -> u64 {
        antiphon::unblock(move || value)
            .await
            .expect("the closure returns")
    }

    fn mutex() -> Mutex<u64> {
        Mutex::new(0)
    }

    async fn lock_and_set(mutex: &Mutex<u64>, value: u64) {
        *mutex.lock().await.expect(UNCANCELLED) = value;
    }
}
