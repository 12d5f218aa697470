//! Waiting for one another.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::leaf::Leaf;
use crate::scope::Cancelled;
use crate::wait::Queue;

/// A point that tasks pass together: each waits until so many have come.
///
/// It can be used again as soon as it has opened. The last to come does not wait, and is the leader of its round.
///
/// One that goes away, cancelled or dropped, did not come: the others wait on, for somebody else to come. So it is at
/// asyncio's barriers, whereas one who gives up at a barrier of Python's threads breaks it for all. Where the others can do
/// nothing without the one that is missing, have them wait in one scope, and cancel that.
///
/// # Examples
/// ```
/// use antiphon::{run, spawn, sync::Barrier};
/// use std::rc::Rc;
///
/// run(async || {
///     let barrier = Rc::new(Barrier::new(3));
///     let tasks: Vec<_> = (0..3)
///         .map(|_| {
///             let barrier = Rc::clone(&barrier);
///             spawn(async move || barrier.wait().await)
///         })
///         .collect();
///     let mut leaders = 0;
///     for task in tasks {
///         leaders += usize::from(task.await.unwrap()?.is_leader());
///     }
///     assert_eq!(leaders, 1);
///     Ok::<(), antiphon::Cancelled>(())
/// })?;
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
pub struct Barrier {
    size: usize,
    /// How many have come in this round; fewer than `size` whenever others run.
    arrived: Cell<usize>,
    /// How often it has opened. One who waits notes the round that it came in.
    round: Cell<u64>,
    waiters: Queue,
}

impl Barrier {
    /// Makes a barrier for `size` tasks.
    ///
    /// # Panics
    /// If `size` is zero.
    #[track_caller]
    pub const fn new(size: usize) -> Self {
        assert!(size > 0, "a barrier is for at least one task");
        Self {
            size,
            arrived: Cell::new(0),
            round: Cell::new(0),
            waiters: Queue::new(),
        }
    }

    /// Comes to the barrier, and waits until all have come.
    ///
    /// # Errors
    /// [`Cancelled`] if the scope is cancelled before the barrier opens; one that comes in a cancelled scope does not come at
    /// all.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** It is as if this task had not come; another must. If the barrier had opened already, that stands:
    /// it passes, and the next wait is the one that ends.
    #[track_caller]
    pub const fn wait(&self) -> BarrierWait<'_> {
        BarrierWait {
            barrier: self,
            leaf: Leaf::new(Location::caller()),
            round: 0,
        }
    }

    /// Ends the round. `last` is the leaf of the one who came last, which need not be woken.
    fn open(&self, last: &mut Leaf) {
        let round = self.round.get() + 1;
        self.round.set(round);
        self.arrived.set(0);
        let _ = last.leave(&self.waiters);
        // Those who come for the next round meanwhile stay.
        while self
            .waiters
            .choose_first_if(|came| (came < round).then_some(round))
        {}
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("size", &self.size)
            .field("arrived", &self.arrived.get())
            .field("round", &self.round.get())
            .finish_non_exhaustive()
    }
}

/// The future of [`Barrier::wait`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct BarrierWait<'a> {
    barrier: &'a Barrier,
    leaf: Leaf,
    /// The round that it came in, once it has.
    round: u64,
}

/// What [`Barrier::wait`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    is_leader: bool,
}

impl BarrierWaitResult {
    /// Returns `true` to the last who came, one in each round.
    pub const fn is_leader(&self) -> bool {
        self.is_leader
    }
}

impl BarrierWait<'_> {
    /// Whether it came in the round that lasts. That is over if it was chosen.
    fn is_counted_in(&self) -> bool {
        self.round == self.barrier.round.get()
    }

    fn count_out(&self) {
        self.barrier.arrived.set(self.barrier.arrived.get() - 1);
    }
}

impl Future for BarrierWait<'_> {
    type Output = Result<BarrierWaitResult, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        ready!(this.leaf.begin(cx))?;
        if this.leaf.is_waiting() {
            return Poll::Ready(match ready!(this.leaf.poll(cx, &this.barrier.waiters)) {
                Err(cancelled) if this.is_counted_in() => {
                    this.count_out();
                    Err(cancelled)
                }
                // It has opened, even if its news were not here yet.
                Ok(_) | Err(_) => Ok(BarrierWaitResult { is_leader: false }),
            });
        }
        // Joins before it counts itself in, because others may come while it joins.
        this.leaf.join(
            &this.barrier.waiters,
            cx,
            "barrier",
            this.barrier.round.get(),
        );
        this.round = this.barrier.round.get();
        this.barrier.arrived.set(this.barrier.arrived.get() + 1);
        if this.barrier.arrived.get() < this.barrier.size {
            return Poll::Pending;
        }
        this.barrier.open(&mut this.leaf);
        Poll::Ready(Ok(BarrierWaitResult { is_leader: true }))
    }
}

impl Drop for BarrierWait<'_> {
    fn drop(&mut self) {
        if self.leaf.is_waiting() && self.is_counted_in() {
            self.count_out();
        }
        let _ = self.leaf.leave(&self.barrier.waiters);
    }
}
