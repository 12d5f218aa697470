//! Wakes from other threads.
//!
//! Every worker id has one mailbox for the life of the process, so a waker needs no pointer to find it and a late
//! wake finds a closed box instead of freed memory. A box is opened by the worker that takes its id, and closed when that
//! worker ends.
//!
//! ```text
//!   other thread                              worker
//!   push(address)                             state := Parked
//!   was it Parked? ── yes ── kick             box empty? ── no ── do not sleep
//!                                             sleep in the driver … kicked
//!                                             state := Awake; take all
//! ```
//! Both sides do these steps under the box's lock, so there is no order in which a wake is put in and the worker
//! sleeps on it. One burst costs one kick: the first push on a parked worker takes the state back to awake.
//!
//! The steps are in `boxes.rs`. It takes its lock and its flag from here, by name: so `models/` can run the same file on
//! others, under which every order of the threads is tried.

mod boxes;

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard};

use self::boxes::Mailbox;
use super::waker::{Address, WORKERS_MAX};

pub(crate) use self::boxes::{Inbox, Kick, deliver};

static MAILBOXES: [Mailbox; WORKERS_MAX] =
    [const { Mailbox::new(AtomicBool::new(false), Mutex::new(None)) }; WORKERS_MAX];
