//! The library's channel between threads and its slot for one value, with loom's locks, and a thread that sleeps.

#[allow(dead_code, reason = "what only looks is left out")]
#[path = "../../../crates/antiphon/src/thread/channel/chan.rs"]
mod chan;
#[allow(dead_code, reason = "what only looks is left out")]
#[path = "../../../crates/antiphon/src/thread/slot.rs"]
mod slot;

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use loom::sync::{Mutex, MutexGuard};

use self::chan::{Chan, NotSent, Ticket};
use crate::bell::Bell;

/// The library's keeps panics in, which end a model.
fn contain(f: impl FnOnce()) {
    f();
}

/// What a plain thread sleeps on.
pub struct Parker {
    bell: Arc<Ring>,
    waker: Waker,
}

struct Ring(Bell);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.0.ring();
    }
}

impl Parker {
    /// Makes one for this thread.
    #[allow(clippy::new_without_default, reason = "it is not a value")]
    pub fn new() -> Self {
        let bell = Arc::new(Ring(Bell::new()));
        Self {
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }

    /// Its waker.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Sleeps until `poll`, called before each sleep, is ready.
    pub fn wait<T>(&self, mut poll: impl FnMut(&Waker) -> Poll<T>) -> T {
        loop {
            if let Poll::Ready(value) = poll(&self.waker) {
                return value;
            }
            self.bell.0.wait();
        }
    }
}

/// Both ends of a channel.
pub struct Channel<T>(Arc<Chan<T>>);

impl<T> Clone for Channel<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A send under way.
pub struct Sending(Ticket);

impl<T> Channel<T> {
    /// Makes a channel with one sender.
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Chan::new(capacity)))
    }

    /// Begins to send. Gives the value back if the channel is closed; `None` if it was sent at once.
    ///
    /// # Errors
    /// The value, if the channel is closed.
    pub fn begin(&self, value: T, waker: &Waker) -> Result<Option<Sending>, T> {
        match self.0.wait_to_send(value, waker) {
            Ok(ticket) => Ok(ticket.map(Sending)),
            Err(NotSent::Full(value) | NotSent::Closed(value)) => Err(value),
        }
    }

    /// Asks whether it was sent.
    pub fn poll_sent(&self, sending: &Sending, waker: &Waker) -> Poll<Result<(), T>> {
        self.0.poll_sent(&sending.0, waker)
    }

    /// Gives up. Returns the value if it was not sent.
    pub fn give_up(&self, sending: &Sending) -> Option<T> {
        self.0.leave_sending(&sending.0)
    }

    /// Sends, on a plain thread.
    ///
    /// # Errors
    /// The value, if the channel is closed.
    pub fn send(&self, value: T, parker: &Parker) -> Result<(), T> {
        match self.begin(value, parker.waker())? {
            Some(sending) => parker.wait(|waker| self.poll_sent(&sending, waker)),
            None => Ok(()),
        }
    }

    /// Receives.
    pub fn poll_recv(&self, waker: &Waker) -> Poll<Option<T>> {
        self.0.poll_recv(waker)
    }

    /// Ends the receiver's wait.
    pub fn leave_receiving(&self) {
        self.0.leave_receiving();
    }

    /// Does as the last sender that goes.
    pub fn leave_sender(&self) {
        self.0.leave_sender();
    }

    /// Does as the receiver that goes.
    pub fn leave_receiver(&self) {
        self.0.leave_receiver();
    }
}

/// A place for one value.
pub struct Slot<T>(Arc<slot::Slot<T>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Slot<T> {
    /// Makes an empty one.
    #[allow(clippy::new_without_default, reason = "as the library's")]
    pub fn new() -> Self {
        Self(Arc::new(slot::Slot::new()))
    }

    /// Puts the value in.
    ///
    /// # Errors
    /// The value, if nobody wants it.
    pub fn put(&self, value: T) -> Result<(), T> {
        self.0.put(value)
    }

    /// Takes the value.
    pub fn poll(&self, waker: &Waker) -> Poll<T> {
        self.0.poll(waker)
    }

    /// Takes it if it is there.
    pub fn take(&self) -> Option<T> {
        self.0.take()
    }

    /// Says that nobody wants it.
    pub fn abandon(&self) -> bool {
        self.0.abandon()
    }
}
