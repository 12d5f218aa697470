//! What the ends of a channel share.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::task::{Poll, Waker};

use super::{Mutex, MutexGuard, contain};

/// The values that were sent, and after them those that wait to be.
///
/// ```text
///   front                     capacity
///   ┌───────┬───────┬───────┐   ┌────────────┬────────────┐
///   │ value │ value │ value │ ◀─│ value, whom│ value, whom│ ◀── wait_to_send
///   └───────┴───────┴───────┘   └────────────┴────────────┘
///      │ pop                       │ when there is room: it counts as sent, and who waited is woken
///      ▼                           ▼ leave_sending, if it is still there: it was not
/// ```
/// The value of a sender that waits lies here, so room needs no promise: there is no moment in which a value is neither
/// with its sender nor in its place in line.
pub(crate) struct Chan<T> {
    state: Mutex<State<T>>,
    capacity: usize,
}

struct State<T> {
    /// Sent, and not received. No more than the capacity.
    values: VecDeque<T>,
    /// Not sent yet, by ascending ticket. Empty unless `values` is full, or the channel was closed.
    waiting: VecDeque<Waiting<T>>,
    last_ticket: u64,
    /// The receiver, while it waits.
    receiver: Option<Waker>,
    /// Those who wait for the receiver to go, by ascending ticket.
    for_close: VecDeque<(u64, Waker)>,
    senders: usize,
    /// Set when the receiver is gone, or wants no more.
    is_closed: bool,
}

struct Waiting<T> {
    ticket: u64,
    value: T,
    /// Taken when it is woken because the channel was closed.
    waker: Option<Waker>,
}

/// Why a value was not sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotSent<T> {
    Full(T),
    Closed(T),
}

/// The place in line of one who waits.
#[derive(Debug)]
pub(crate) struct Ticket(u64);

/// Memory for so many values is kept when they are gone.
const KEPT_MAX: usize = 1024;

impl<T> Chan<T> {
    /// Makes a channel with one sender.
    pub(crate) fn new(capacity: usize) -> Self {
        let at_once = if capacity == usize::MAX { 0 } else { capacity };
        Self {
            state: Mutex::new(State {
                values: VecDeque::with_capacity(at_once.min(KEPT_MAX)),
                waiting: VecDeque::new(),
                last_ticket: 0,
                receiver: None,
                for_close: VecDeque::new(),
                senders: 1,
                is_closed: false,
            }),
            capacity,
        }
    }

    /// Sends `value` if there is room.
    pub(crate) fn push(&self, value: T) -> Result<(), NotSent<T>> {
        let receiver = {
            let mut state = self.lock();
            if state.is_closed {
                return Err(NotSent::Closed(value));
            }
            if state.values.len() >= self.capacity {
                return Err(NotSent::Full(value));
            }
            state.values.push_back(value);
            state.receiver.take()
        };
        wake(receiver);
        Ok(())
    }

    /// Sends `value`, or stands in line with it: then `waker` is woken when it was sent, or the channel closed.
    pub(crate) fn wait_to_send(
        &self,
        value: T,
        waker: &Waker,
    ) -> Result<Option<Ticket>, NotSent<T>> {
        let value = match self.push(value) {
            Ok(()) => return Ok(None),
            Err(NotSent::Full(value)) => value,
            Err(closed) => return Err(closed),
        };
        // Cloning a foreign waker runs its code: not under the lock.
        let waker = waker.clone();
        let receiver = {
            let mut state = self.lock();
            if state.is_closed {
                return Err(NotSent::Closed(value));
            }
            if state.values.len() >= self.capacity {
                let ticket = state.next_ticket();
                state.waiting.push_back(Waiting {
                    ticket,
                    value,
                    waker: Some(waker),
                });
                return Ok(Some(Ticket(ticket)));
            }
            state.values.push_back(value);
            state.receiver.take()
        };
        wake(receiver);
        Ok(None)
    }

    /// Asks whether the value of `ticket` was sent. Gives it back if it can't be any more.
    pub(crate) fn poll_sent(&self, ticket: &Ticket, waker: &Waker) -> Poll<Result<(), T>> {
        let waker = waker.clone();
        let mut state = self.lock();
        let Some(index) = state.find(ticket) else {
            return Poll::Ready(Ok(()));
        };
        if state.is_closed {
            let waiting = state.waiting.remove(index).expect("it was found there");
            drop(state);
            return Poll::Ready(Err(waiting.value));
        }
        let previous = state.waiting[index].waker.replace(waker);
        drop(state);
        drop(previous);
        Poll::Pending
    }

    /// Leaves the line. Returns the value if it was not sent.
    pub(crate) fn leave_sending(&self, ticket: &Ticket) -> Option<T> {
        let waiting = {
            let mut state = self.lock();
            let index = state.find(ticket)?;
            state.waiting.remove(index)
        };
        waiting.map(|waiting| waiting.value)
    }

    /// Takes the first value, if there is one. Ready with `None` if there will be none.
    pub(crate) fn pop(&self) -> Poll<Option<T>> {
        let (value, sender) = self.lock().pop();
        wake(sender);
        value
    }

    /// Takes the first value. Otherwise `waker` is woken when there is one, or the last sender has gone.
    pub(crate) fn poll_recv(&self, waker: &Waker) -> Poll<Option<T>> {
        if let Poll::Ready(value) = self.pop() {
            return Poll::Ready(value);
        }
        let waker = waker.clone();
        let (value, sender, previous) = {
            let mut state = self.lock();
            let (value, sender) = state.pop();
            let previous = if value.is_pending() {
                state.receiver.replace(waker)
            } else {
                None
            };
            (value, sender, previous)
        };
        drop(previous);
        wake(sender);
        value
    }

    /// Says that the receiver does not wait any more.
    pub(crate) fn leave_receiving(&self) {
        let waker = self.lock().receiver.take();
        drop(waker);
    }

    /// Lets nothing more be sent. What was sent can be received.
    pub(crate) fn close(&self) {
        let (mut waiting, for_close) = {
            let mut state = self.lock();
            state.is_closed = true;
            let wakers = state.waiting.iter_mut();
            let waiting: Vec<_> = wakers.map(|waiting| waiting.waker.take()).collect();
            (waiting, std::mem::take(&mut state.for_close))
        };
        for waker in &mut waiting {
            wake(waker.take());
        }
        for (_, waker) in for_close {
            wake(Some(waker));
        }
    }

    /// Says that the receiver has gone, and drops what it did not receive.
    pub(crate) fn leave_receiver(&self) {
        self.close();
        let (values, waker) = {
            let mut state = self.lock();
            (std::mem::take(&mut state.values), state.receiver.take())
        };
        drop((values, waker));
    }

    /// Ready when the receiver has gone; otherwise `waker` is woken then. `ticket` is where it waits.
    pub(crate) fn poll_closed(&self, ticket: &mut Option<Ticket>, waker: &Waker) -> Poll<()> {
        let waker = waker.clone();
        let mut state = self.lock();
        if state.is_closed {
            return Poll::Ready(());
        }
        if let Some(Ticket(ticket)) = ticket {
            let place = state.for_close.iter_mut().find(|(own, _)| own == ticket);
            let previous = place.map(|(_, place)| std::mem::replace(place, waker));
            drop(state);
            drop(previous);
            return Poll::Pending;
        }
        let new = state.next_ticket();
        state.for_close.push_back((new, waker));
        *ticket = Some(Ticket(new));
        Poll::Pending
    }

    /// Waits for the end of the receiver no more.
    pub(crate) fn leave_closed(&self, ticket: &Ticket) {
        let gone = {
            let mut state = self.lock();
            let index = state.for_close.iter().position(|(own, _)| *own == ticket.0);
            index.and_then(|index| state.for_close.remove(index))
        };
        drop(gone);
    }

    pub(crate) fn enter_sender(&self) {
        self.lock().senders += 1;
    }

    pub(crate) fn leave_sender(&self) {
        let receiver = {
            let mut state = self.lock();
            state.senders -= 1;
            if state.senders == 0 {
                state.receiver.take()
            } else {
                None
            }
        };
        wake(receiver);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().values.len()
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// A panic can't leave it half way: nothing of the user's runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// Takes the first value, and has the first who waits take the room. That one is to be woken.
    fn pop(&mut self) -> (Poll<Option<T>>, Option<Waker>) {
        let Some(value) = self.values.pop_front() else {
            let is_over = self.is_closed || self.senders == 0;
            let none = if is_over {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
            return (none, None);
        };
        let mut sender = None;
        if !self.is_closed {
            if let Some(waiting) = self.waiting.pop_front() {
                self.values.push_back(waiting.value);
                sender = waiting.waker;
            }
        }
        if self.values.is_empty() && self.values.capacity() > KEPT_MAX {
            self.values = VecDeque::new();
        }
        (Poll::Ready(Some(value)), sender)
    }

    fn next_ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    fn find(&self, ticket: &Ticket) -> Option<usize> {
        self.waiting
            .binary_search_by_key(&ticket.0, |waiting| waiting.ticket)
            .ok()
    }
}

/// Wakes who is to be woken. It may be somebody else's code, and the one who wakes has a value in hand.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        contain(|| waker.wake());
    }
}
