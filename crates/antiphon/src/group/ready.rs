//! Which children of a group have a step due.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::explore::probe;
use crate::scope::is_explored_here;
use crate::worker::contain;

/// The children with a step due, in the order in which they were woken, and whom to wake to have them polled.
#[derive(Default)]
pub(super) struct Ready {
    queue: RefCell<Queue>,
    /// Who polls the group.
    waker: RefCell<Option<Waker>>,
    /// The child whose stand-in takes a step, unless the child has ended meanwhile.
    stepping: Cell<Option<usize>>,
}

#[derive(Default)]
struct Queue {
    order: VecDeque<usize>,
    /// By child. It may stay set after the child has ended, and is then the next one's that gets its index.
    is_in: Vec<bool>,
    /// By child: the stamp of its stand-in while that exists.
    stand_ins: Vec<u64>,
    /// The last stamp given.
    stamp: u64,
}

impl Ready {
    fn push(&self, index: usize) {
        let queue = &mut *self.queue.borrow_mut();
        if !std::mem::replace(&mut queue.is_in[index], true) {
            queue.order.push_back(index);
        }
    }

    /// Takes the child that was woken first.
    pub(super) fn pop(&self) -> Option<usize> {
        let queue = &mut *self.queue.borrow_mut();
        if is_explored_here() && queue.order.len() > 1 {
            let first = probe::draw(queue.order.len());
            queue.order.rotate_left(first);
        }
        let index = queue.order.pop_front()?;
        queue.is_in[index] = false;
        Some(index)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.borrow().order.len()
    }

    /// Notes who polls the group.
    pub(super) fn note(&self, waker: &Waker) {
        let is_known = self
            .waker
            .borrow()
            .as_ref()
            .is_some_and(|own| own.will_wake(waker));
        if !is_known {
            // Cloning and dropping a foreign waker runs its code.
            let waker = waker.clone();
            let previous = self.waker.replace(Some(waker));
            drop(previous);
        }
    }

    fn wake(&self) {
        // Waking runs somebody else's code, so the waker is taken out for it, and nothing is borrowed.
        let Some(waker) = self.waker.take() else {
            return;
        };
        contain(|| waker.wake_by_ref());
        let mut waker = Some(waker);
        {
            let place = &mut *self.waker.borrow_mut();
            if place.is_none() {
                *place = waker.take();
            }
        }
        drop(waker);
    }

    /// Makes the stand-in of the child at `index`, and returns its stamp.
    pub(super) fn stand_in(self: &Rc<Self>, index: usize) -> (StandIn, u64) {
        let queue = &mut *self.queue.borrow_mut();
        queue.stamp += 1;
        if queue.is_in.len() <= index {
            queue.is_in.resize(index + 1, false);
            queue.stand_ins.resize(index + 1, 0);
        }
        queue.stand_ins[index] = queue.stamp;
        let stand_in = StandIn {
            ready: Rc::clone(self),
            index,
            stamp: queue.stamp,
        };
        (stand_in, queue.stamp)
    }

    /// Returns `true` while the stand-in with this stamp exists: then its loop is the one that runs on this thread. It goes
    /// with its loop, though the group may not.
    pub(super) fn has_stand_in(&self, index: usize, stamp: u64) -> bool {
        self.queue.borrow().stand_ins.get(index) == Some(&stamp)
    }

    /// Says that the child has ended. Returns `true` if its stand-in is just taking a step, and so ends by itself.
    pub(super) fn ends_by_itself(&self, index: usize) -> bool {
        let is_stepping = self.stepping.get() == Some(index);
        if is_stepping {
            self.stepping.set(None);
        }
        is_stepping
    }
}

/// What a child's stand-in in the worker's table does: when it is woken, it has the child polled by the group.
///
/// So a child's waker is a number as any task's is, and the child a task with an id, a name and variables of its own, though
/// its future is not in the table but in the group, where it may borrow.
pub(super) struct StandIn {
    ready: Rc<Ready>,
    index: usize,
    stamp: u64,
}

impl Future for StandIn {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let Self { ready, index, .. } = &*self;
        ready.stepping.set(Some(*index));
        ready.push(*index);
        // If this runs a foreign waker's code, that may end the child, whose stand-in can't be taken away now.
        ready.wake();
        if ready.stepping.take().is_some() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let stamp = &mut self.ready.queue.borrow_mut().stand_ins[self.index];
        if *stamp == self.stamp {
            *stamp = 0;
        }
    }
}
