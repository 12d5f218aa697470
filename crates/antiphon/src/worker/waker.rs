//! Wakers that are numbers.
//!
//! A task's waker carries no pointer. Its data word *is* the task's address:
//!
//! ```text
//!   63        52 51                 28 27                        0
//!  ┌────────────┬─────────────────────┬───────────────────────────┐
//!  │   worker   │     generation      │           slot            │
//!  │  12 bits   │       24 bits       │          28 bits          │
//!  └────────────┴─────────────────────┴───────────────────────────┘
//! ```
//!
//! So clone and drop do nothing, nothing is counted, and a waker may outlive its task, its worker and its thread.
//! Waking compares the worker with the one of this thread: on its own worker a wake pushes the slot on the ready
//! queue, from elsewhere it puts the number into that worker's [mailbox](super::mailbox). A slot that was given to a
//! later task has another generation; should a generation ever come round again, the later task is polled once more
//! than needed, which every future must bear.

use std::fmt;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::{mailbox, try_current};

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "antiphon packs a worker, a generation and a slot into a waker's data word, which must have 64 bits"
);

const SLOT_BITS: u32 = 28;
const GENERATION_BITS: u32 = 24;
const WORKER_BITS: u32 = 12;

/// Workers that may exist at one time, in all runtimes of the process.
pub(crate) const WORKERS_MAX: usize = 1 << WORKER_BITS;
/// Tasks that may exist at one time on a worker.
pub(crate) const SLOTS_MAX: u32 = (1 << SLOT_BITS) - 1;
const GENERATION_MAX: u32 = (1 << GENERATION_BITS) - 1;
const GENERATION_MASK: u64 = GENERATION_MAX as u64;

/// A task's address: worker, slot, and the slot's generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address(u64);

impl Address {
    /// The address of nobody: no worker has so many slots.
    pub(crate) const NOBODY: Self = Self(u64::MAX);

    /// The address of the task of this generation in a slot.
    #[inline]
    pub(crate) fn new(worker: u16, generation: u32, slot: u32) -> Self {
        debug_assert!(usize::from(worker) < WORKERS_MAX && slot < SLOTS_MAX);
        debug_assert!(u64::from(generation) <= GENERATION_MASK);
        let (worker, generation) = (u64::from(worker), u64::from(generation));
        Self(worker << (SLOT_BITS + GENERATION_BITS) | generation << SLOT_BITS | u64::from(slot))
    }

    /// The address of a worker's [door](super::door), which has the slot that no task has.
    #[inline]
    pub(crate) const fn door(worker: u16) -> Self {
        Self((worker as u64) << (SLOT_BITS + GENERATION_BITS) | SLOTS_MAX as u64)
    }

    #[inline]
    pub(crate) const fn is_door(self) -> bool {
        self.slot() == SLOTS_MAX
    }

    /// The generation of the next task in the same slot. They come round.
    #[inline]
    pub(crate) const fn next_generation(generation: u32) -> u32 {
        (generation + 1) & GENERATION_MAX
    }

    #[inline]
    pub(crate) const fn worker(self) -> u16 {
        (self.0 >> (SLOT_BITS + GENERATION_BITS)) as u16
    }

    #[allow(clippy::cast_possible_truncation, reason = "28 bits are left")]
    #[inline]
    pub(crate) const fn slot(self) -> u32 {
        (self.0 & ((1 << SLOT_BITS) - 1)) as u32
    }

    #[allow(clippy::cast_possible_truncation, reason = "24 bits are left")]
    #[inline]
    pub(crate) const fn generation(self) -> u32 {
        ((self.0 >> SLOT_BITS) & GENERATION_MASK) as u32
    }

    #[inline]
    pub(crate) fn waker(self) -> Waker {
        // SAFETY: `VTABLE` keeps the contract of `RawWakerVTable` for any data word: it never dereferences it, its
        // functions may be called from any thread, and there is nothing to free.
        unsafe { Waker::from_raw(raw(self)) }
    }

    /// Returns the address that `waker` carries, if it is one of ours.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Option<Self> {
        std::ptr::eq(waker.vtable(), &raw const VTABLE).then(|| Self(waker.data().addr() as u64))
    }

    /// Makes the task ready to be polled, from any thread. Harmless if there is no such task any more.
    #[inline]
    pub(crate) fn wake(self) {
        let here = try_current(|worker| {
            let is_own = worker.id() == self.worker();
            if is_own {
                worker.make_ready(self);
            }
            is_own
        });
        if here != Some(true) {
            mailbox::deliver(self);
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.worker(), self.slot(), self.generation())
    }
}

/// One address for all crates that link this one, so that `will_wake` and `Address::of` can compare it.
static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| RawWaker::new(data, &VTABLE),
    |data| Address(data.addr() as u64).wake(),
    |data| Address(data.addr() as u64).wake(),
    |_| {},
);

#[inline]
fn raw(address: Address) -> RawWaker {
    RawWaker::new(
        std::ptr::without_provenance(usize::try_from(address.0).expect("64-bit")),
        &VTABLE,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_parts() {
        for worker in [0, 7, 4095] {
            for generation in [0, 1, GENERATION_MAX] {
                for slot in [0, 1, SLOTS_MAX - 1] {
                    let address = Address::new(worker, generation, slot);
                    assert_eq!(
                        (address.worker(), address.generation(), address.slot()),
                        (worker, generation, slot)
                    );
                    assert_eq!(Address::of(&address.waker()), Some(address));
                    assert_ne!(address, Address::NOBODY);
                }
            }
        }
    }

    #[test]
    fn a_door_is_no_task() {
        let door = Address::door(4095);
        assert!(door.is_door() && door != Address::NOBODY);
        assert_eq!(door.worker(), 4095);
        assert!(!Address::new(4095, 0, SLOTS_MAX - 1).is_door());
    }

    #[test]
    fn the_generations_come_round() {
        assert_eq!(Address::next_generation(0), 1);
        assert_eq!(Address::next_generation(GENERATION_MAX), 0);
    }

    #[test]
    fn a_foreign_waker_has_no_address() {
        assert_eq!(Address::of(Waker::noop()), None);
    }

    #[test]
    fn a_waker_outlives_everything() {
        let waker = Address::new(4000, 0, 12).waker();
        std::thread::spawn(move || waker.wake_by_ref())
            .join()
            .unwrap();
    }
}
