//! A queue between a thread and the loop.
//!
//! Reading standard input and writing standard output block, and a signal is heard on a thread of its own; the loop must not
//! wait for any of them. So each has a thread, and values cross in a queue that either side may wait at: a thread by
//! blocking, a task of the loop by awaiting. The loop's wakers may be woken from any thread, and that is all it takes.
//!
//! [`push`](Bridge::push) never waits, so that nothing is lost when whoever pushes is given up. Back-pressure is a second
//! step: whoever has pushed waits until there is [`room`](Bridge::room) before it makes more.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// An end of the queue. Both are the same; clones are more of them.
pub(crate) struct Bridge<T> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    state: Mutex<State<T>>,
    /// Notified with every change, for the threads that wait.
    changed: Condvar,
    capacity: usize,
}

struct State<T> {
    values: VecDeque<T>,
    is_closed: bool,
    /// The tasks that wait for a change. They look again when woken, so one too many does no harm; a change empties it.
    wakers: Vec<Waker>,
}

impl<T> Bridge<T> {
    /// Makes a queue that has room for `capacity` values, and takes more if it must.
    pub(crate) fn new(capacity: usize) -> Self {
        let state = State {
            values: VecDeque::new(),
            is_closed: false,
            wakers: Vec::new(),
        };
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(state),
                changed: Condvar::new(),
                capacity,
            }),
        }
    }

    /// Appends `value`. It is dropped if the queue is closed.
    pub(crate) fn push(&self, value: T) {
        self.change(|state| {
            if !state.is_closed {
                state.values.push_back(value);
            }
        });
    }

    /// Says that no more will come, or that no more is wanted. What is in the queue can still be taken.
    pub(crate) fn close(&self) {
        self.change(|state| state.is_closed = true);
    }

    /// Takes the next value, waiting for it on the loop. `None` if the queue is closed and empty.
    pub(crate) async fn pop(&self) -> Option<T> {
        self.wait(State::pop).await
    }

    /// Waits on the loop until there is room, or the queue is closed.
    pub(crate) async fn room(&self) {
        self.wait(|state| self.has_room(state).map(|_| ())).await;
    }

    /// Takes the next value, blocking the thread until there is one. `None` if the queue is closed and empty.
    pub(crate) fn pop_blocking(&self) -> Option<T> {
        self.wait_blocking(State::pop)
    }

    /// Blocks the thread until there is room, or the queue is closed. Returns `true` if more may be pushed.
    pub(crate) fn room_blocking(&self) -> bool {
        self.wait_blocking(|state| self.has_room(state))
    }

    /// Returns `true` if no value is in the queue.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().values.is_empty()
    }

    /// Whether more may be pushed, once it is known.
    fn has_room(&self, state: &State<T>) -> Poll<bool> {
        if state.is_closed || state.values.len() < self.inner.capacity {
            return Poll::Ready(!state.is_closed);
        }
        Poll::Pending
    }

    async fn wait<R>(&self, take: impl Fn(&mut State<T>) -> Poll<R>) -> R {
        poll_fn(|cx| {
            let mut state = self.state();
            let taken = take(&mut state);
            if taken.is_pending() {
                state.wakers.push(cx.waker().clone());
            } else {
                self.tell(state);
            }
            taken
        })
        .await
    }

    fn wait_blocking<R>(&self, take: impl Fn(&mut State<T>) -> Poll<R>) -> R {
        let mut state = self.state();
        loop {
            if let Poll::Ready(taken) = take(&mut state) {
                self.tell(state);
                return taken;
            }
            state = self
                .inner
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn change(&self, change: impl FnOnce(&mut State<T>)) {
        let mut state = self.state();
        change(&mut state);
        self.tell(state);
    }

    /// Ends a change: everybody who waits looks again.
    fn tell(&self, mut state: MutexGuard<'_, State<T>>) {
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.inner.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while it is locked, so it is never left half changed.
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// The next value, or `None` at the end of a closed queue.
    fn pop(&mut self) -> Poll<Option<T>> {
        match self.values.pop_front() {
            None if !self.is_closed => Poll::Pending,
            value => Poll::Ready(value),
        }
    }
}

impl<T> Clone for Bridge<T> {
    fn clone(&self) -> Self {
        let inner = Arc::clone(&self.inner);
        Self { inner }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn values_cross_in_order_and_never_more_than_there_is_room_for() {
        let bridge = Bridge::new(4);
        let writer = bridge.clone();
        let thread = thread::spawn(move || {
            for number in 0..1000 {
                assert!(writer.room_blocking());
                writer.push(number);
            }
            writer.close();
        });
        let numbers = antiphon::run(async || {
            let mut numbers = Vec::new();
            loop {
                assert!(bridge.state().values.len() <= 4);
                match bridge.pop().await {
                    Some(number) => numbers.push(number),
                    None => return numbers,
                }
            }
        });
        thread.join().unwrap();
        assert!(numbers.into_iter().eq(0..1000));
    }

    #[test]
    fn a_task_waits_for_room_until_a_thread_makes_some() {
        let bridge = Bridge::new(1);
        let reader = bridge.clone();
        let thread = thread::spawn(move || std::iter::from_fn(|| reader.pop_blocking()).sum());
        antiphon::run(async || {
            for number in 1..=1000 {
                bridge.push(number);
                bridge.room().await;
                assert!(bridge.is_empty());
            }
        });
        bridge.close();
        let sum: i32 = thread.join().unwrap();
        assert_eq!(sum, 500_500);
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
        let bridge = Bridge::new(1);
        bridge.push(1);
        bridge.close();
        bridge.push(2);
        assert!(!bridge.room_blocking(), "nobody waits for room any more");
        assert_eq!(bridge.pop_blocking(), Some(1));
        assert_eq!(bridge.pop_blocking(), None);
    }
}
