//! The round trips, written once for all runtimes.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use crate::pair::{Pair, Work};
use crate::sample::{Batches, Sample};

/// Round trips between two looks at the clock.
const TRIPS: u32 = 20;

/// Two tasks that take turns; who has had its turn wakes the other through the waker that it left.
pub(crate) fn wake<P: Pair>(is_busy: bool) -> Sample {
    let table = Arc::new(Table::default());
    let other = Arc::clone(&table);
    let here = async move {
        let mut batches = Batches::new();
        loop {
            for _ in 0..TRIPS {
                table.take_turn(0).await;
            }
            if !batches.go_on_after(TRIPS) {
                break;
            }
        }
        table.end();
        batches.sample()
    };
    let there = async move { while other.take_turn(1).await {} };
    P::run(here, there, work(is_busy).as_ref())
}

/// A number there and back over channels of 1.
pub(crate) fn channel<P: Pair>(is_busy: bool) -> Sample {
    let (there_sender, mut there_receiver) = P::channel();
    let (back_sender, mut back_receiver) = P::channel();
    let here = async move {
        let mut batches = Batches::new();
        loop {
            for trip in 0..TRIPS {
                P::send(&there_sender, trip).await;
                assert_eq!(P::recv(&mut back_receiver).await, Some(trip));
            }
            if !batches.go_on_after(TRIPS) {
                break;
            }
        }
        drop(there_sender);
        batches.sample()
    };
    let there = async move {
        while let Some(trip) = P::recv(&mut there_receiver).await {
            P::send(&back_sender, trip).await;
        }
    };
    P::run(here, there, work(is_busy).as_ref())
}

fn work(is_busy: bool) -> Option<Work> {
    is_busy.then(Work::new)
}

#[derive(Default)]
struct Table {
    turn: AtomicU32,
    sleepers: [Mutex<Option<Waker>>; 2],
}

/// The turn after which there is none.
const END: u32 = u32::MAX;

impl Table {
    /// Waits for the turn of the side `own`, and gives it to the other one. Returns `false` if there is none any more.
    async fn take_turn(&self, own: usize) -> bool {
        let is_own = |turn: u32| turn == END || turn % 2 == u32::from(own == 1);
        poll_fn(|cx| {
            if is_own(self.turn.load(Ordering::Acquire)) {
                return Poll::Ready(());
            }
            *self.sleeper(own) = Some(cx.waker().clone());
            // It may have come meanwhile, with nobody there to be woken.
            if is_own(self.turn.load(Ordering::Acquire)) {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
        let turn = self.turn.load(Ordering::Acquire);
        if turn == END {
            return false;
        }
        // The other side may end it at this moment.
        let next = (turn + 1) % 2;
        let is_given = self
            .turn
            .compare_exchange(turn, next, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        self.wake(1 - own);
        is_given
    }

    /// Ends the other side's waiting; called on this side's turn, or while the other has it.
    fn end(&self) {
        self.turn.store(END, Ordering::Release);
        self.wake(1);
    }

    fn wake(&self, side: usize) {
        let sleeper = self.sleeper(side).take();
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    fn sleeper(&self, side: usize) -> impl std::ops::DerefMut<Target = Option<Waker>> + '_ {
        self.sleepers[side]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
