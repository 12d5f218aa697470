//! `antiphon`'s `worker/mailbox/mod.rs`, with loom's lock and flag, and few boxes.

#[path = "../../../crates/antiphon/src/worker/mailbox/boxes.rs"]
mod boxes;

use loom::sync::atomic::AtomicBool;
use loom::sync::{Mutex, MutexGuard};

use self::boxes::Mailbox;
use super::WORKERS_MAX;
use super::waker::Address;

pub(crate) use self::boxes::{Inbox, Kick, deliver};

loom::lazy_static! {
    static ref MAILBOXES: [Mailbox; WORKERS_MAX] =
        std::array::from_fn(|_| Mailbox::new(AtomicBool::new(false), Mutex::new(None)));
}

/// Makes the boxes now rather than under the first who looks at one.
pub(crate) fn make_boxes() {
    let _: &[Mailbox] = &*MAILBOXES;
}
