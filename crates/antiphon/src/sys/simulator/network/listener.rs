//! A listener, and the connections that nobody accepted yet.

use std::collections::VecDeque;

use crate::sys::op::Address;
use crate::sys::slots::Key;

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) is_unix: bool,
    pub(super) local: Address,
    backlog: usize,
    /// Our ends of connections that were made.
    pub(super) ready: VecDeque<Key>,
    /// Ends that wait for room among those.
    pub(super) waiting: VecDeque<Key>,
}

impl Listener {
    pub(super) fn new(is_unix: bool, local: Address, backlog: u16) -> Self {
        Self {
            is_unix,
            local,
            backlog: usize::from(backlog),
            ready: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// As on Linux, one more than was asked for has room.
    pub(super) fn is_full(&self) -> bool {
        self.ready.len() > self.backlog
    }
}
