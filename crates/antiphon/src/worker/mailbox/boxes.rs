//! What a delivery and a worker do to a box.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::{Address, AtomicBool, MAILBOXES, Mutex, MutexGuard};

/// What ends a worker's sleep from another thread: an eventfd, or what the driver has in its place.
pub(crate) trait Kick: Send + Sync {
    fn kick(&self);
}

pub(super) struct Mailbox {
    /// Set while the box holds addresses, so that its worker need not lock it every turn to find it empty. Written
    /// under the lock.
    has_mail: AtomicBool,
    inside: Mutex<Option<Inside>>,
}

/// What is in an open box.
pub(super) struct Inside {
    addresses: Vec<Address>,
    /// The length at which duplicates are looked for next.
    dedup_len: usize,
    is_parked: bool,
    kick: Arc<dyn Kick>,
}

/// Below this, duplicates cost less than looking for them.
const DEDUP_LEN_MIN: usize = 1024;

/// Puts `address` into its worker's box, and kicks the worker if it sleeps. Dropped if the worker has ended.
pub(crate) fn deliver(address: Address) {
    let mailbox = &MAILBOXES[usize::from(address.worker())];
    let kick = {
        let mut inside = mailbox.lock();
        let Some(inside) = &mut *inside else { return };
        inside.push(address);
        mailbox.has_mail.store(true, Ordering::Release);
        std::mem::take(&mut inside.is_parked).then(|| Arc::clone(&inside.kick))
    };
    // Outside the lock, so that the worker does not wake up only to wait for it.
    if let Some(kick) = kick {
        kick.kick();
    }
}

/// A worker's own end of its box. Dropping it closes the box and gives the id back.
pub(crate) struct Inbox {
    worker: u16,
}

impl Inbox {
    /// Takes a free worker id and opens its box. `None` if all ids are taken.
    pub(crate) fn open(kick: &Arc<dyn Kick>) -> Option<Self> {
        for (index, mailbox) in MAILBOXES.iter().enumerate() {
            let mut inside = mailbox.lock();
            if inside.is_none() {
                *inside = Some(Inside {
                    addresses: Vec::new(),
                    dedup_len: DEDUP_LEN_MIN,
                    is_parked: false,
                    kick: Arc::clone(kick),
                });
                return Some(Self {
                    worker: u16::try_from(index).expect("ids have 12 bits"),
                });
            }
        }
        None
    }

    pub(crate) const fn worker(&self) -> u16 {
        self.worker
    }

    /// Says that the worker is about to sleep. Returns `false` if it must not, because there is mail.
    pub(crate) fn park(&self) -> bool {
        self.with(|inside| {
            inside.is_parked = inside.addresses.is_empty();
            inside.is_parked
        })
    }

    /// Returns `true` if there may be mail. A wake that is being delivered right now may be seen a turn later, but never
    /// by a worker that sleeps in between: `park` looks under the lock.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.mailbox().has_mail.load(Ordering::Acquire)
    }

    /// Says that the worker is awake, and swaps what was delivered into `taken`, which must be empty.
    pub(crate) fn take(&self, taken: &mut Vec<Address>) {
        debug_assert!(taken.is_empty());
        self.with(|inside| {
            inside.is_parked = false;
            inside.dedup_len = DEDUP_LEN_MIN;
            self.mailbox().has_mail.store(false, Ordering::Release);
            std::mem::swap(&mut inside.addresses, taken);
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inside) -> T) -> T {
        f(self
            .mailbox()
            .lock()
            .as_mut()
            .expect("open as long as its inbox exists"))
    }

    fn mailbox(&self) -> &'static Mailbox {
        &MAILBOXES[usize::from(self.worker)]
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let mailbox = self.mailbox();
        let mut inside = mailbox.lock();
        // Under the lock: after it the box may be another's, and full.
        mailbox.has_mail.store(false, Ordering::Release);
        let closed = inside.take();
        drop(inside);
        // The kick may close a descriptor: not under the lock.
        drop(closed);
    }
}

impl Inside {
    /// Adds `address`. Equal ones are removed whenever the length has doubled, so that a worker which is held up
    /// while others wake one task a million times holds no more than twice its tasks.
    fn push(&mut self, address: Address) {
        if self.addresses.last() == Some(&address) {
            return;
        }
        if self.addresses.len() == self.dedup_len {
            self.dedup();
        }
        self.addresses.push(address);
    }

    #[cold]
    fn dedup(&mut self) {
        let mut seen = std::collections::BTreeSet::new();
        self.addresses.retain(|address| seen.insert(*address));
        self.dedup_len = (self.addresses.len() * 2).max(DEDUP_LEN_MIN);
    }
}

impl Mailbox {
    /// A closed box. Takes its parts made, because not every lock can be made in a constant.
    pub(super) const fn new(has_mail: AtomicBool, inside: Mutex<Option<Inside>>) -> Self {
        Self { has_mail, inside }
    }

    /// A panic can't leave a box half way: each step under the lock is one assignment.
    fn lock(&self) -> MutexGuard<'_, Option<Inside>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Kick for Nobody {
        fn kick(&self) {}
    }

    #[test]
    fn a_box_holds_no_more_than_twice_the_tasks() {
        const TASKS: u32 = 2000;
        let mut inside = Inside {
            addresses: Vec::new(),
            dedup_len: DEDUP_LEN_MIN,
            is_parked: false,
            kick: Arc::new(Nobody),
        };
        let task = |slot| Address::new(0, 0, slot);
        for wake in 0..10 * TASKS {
            inside.push(task(wake % TASKS));
            assert!(inside.addresses.len() <= 2 * TASKS as usize);
        }
        for slot in 0..TASKS {
            assert!(inside.addresses.contains(&task(slot)));
        }
    }
}
