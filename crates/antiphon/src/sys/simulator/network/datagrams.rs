//! A socket for datagrams.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::task::Poll;

use rustix::io::{Errno, Result};

use crate::sys::op::Address;
use crate::sys::slots::Key;

#[derive(Debug)]
pub(super) struct Datagrams {
    pub(super) is_unix: bool,
    /// Where it is found.
    pub(super) bound: Address,
    /// The same, but with the address that it speaks from once it has a peer.
    pub(super) local: Address,
    pub(super) remote: Option<Remote>,
    queue: VecDeque<Datagram>,
    /// What the queue costs.
    size: usize,
    /// Told once.
    pub(super) error: Option<Errno>,
    /// Ends that wait for room in the queue.
    pub(super) waiting: Vec<Key>,
}

/// Whom a socket is connected to: an address of the internet, a Unix socket by itself.
#[derive(Clone, Debug)]
pub(super) enum Remote {
    Ip(SocketAddr),
    Unix(Key, Address),
}

#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) bytes: Box<[u8]>,
    pub(super) sender: Address,
}

/// What a queue of internet datagrams may cost, and what each costs beside its bytes: about as on Linux.
const SIZE_MAX: usize = 208 * 1024;
const OVERHEAD: usize = 512;

/// Unix datagrams that a queue has room for.
const UNIX_MAX: usize = 11;

impl Datagrams {
    pub(super) fn new(is_unix: bool, local: Address) -> Self {
        Self {
            is_unix,
            bound: local.clone(),
            local,
            remote: None,
            queue: VecDeque::new(),
            size: 0,
            error: None,
            waiting: Vec::new(),
        }
    }

    /// The longest datagram.
    pub(super) const fn len_max(&self) -> usize {
        match self.local {
            Address::Unix(_) => 212_960,
            Address::Ip(SocketAddr::V4(_)) => 65_507,
            Address::Ip(SocketAddr::V6(_)) => 65_527,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        if self.is_unix {
            self.queue.len() >= UNIX_MAX
        } else {
            self.size >= SIZE_MAX
        }
    }

    pub(super) fn push(&mut self, datagram: Datagram) {
        self.size += OVERHEAD + datagram.bytes.len();
        self.queue.push_back(datagram);
    }

    pub(super) fn is_readable(&self) -> bool {
        !self.queue.is_empty() || self.error.is_some()
    }

    /// Appends what fits of the next datagram to `buffer`, and returns how many bytes those are, and the sender. What does not
    /// fit is discarded, but with `peek` all of it stays.
    pub(super) fn receive(
        &mut self,
        buffer: &mut Vec<u8>,
        peek: bool,
    ) -> Poll<Result<(usize, Address)>> {
        if let Some(error) = self.error.take() {
            return Poll::Ready(Err(error));
        }
        let Some(datagram) = self.queue.front() else {
            return Poll::Pending;
        };
        let count = datagram.bytes.len().min(buffer.capacity() - buffer.len());
        buffer.extend_from_slice(&datagram.bytes[..count]);
        let sender = datagram.sender.clone();
        if !peek {
            self.size -= OVERHEAD + datagram.bytes.len();
            self.queue.pop_front();
        }
        Poll::Ready(Ok((count, sender)))
    }
}
