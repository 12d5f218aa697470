//! Descriptors as the poller knows them, each with the operations that wait for it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::rc::{Rc, Weak};

use crate::sys::op::Interest;
use crate::sys::platform::{self, Event, Poller};
use crate::sys::slots::{Key, join, split};
use crate::sys::socket::Socket;

/// By descriptor number. Numbers are dense: the system gives the smallest that is free.
#[derive(Debug)]
pub(super) struct Sources(Vec<Source>);

#[derive(Debug, Default)]
struct Source {
    /// The socket that the registration is for. When it has gone its number may be another's, and this says so: the
    /// memory of an `Rc` is not used again while a `Weak` points to it.
    socket: Weak<Socket>,
    is_registered: bool,
    /// Counts the sockets that had this number. The poller's key carries it.
    generation: u32,
    readers: VecDeque<Key>,
    writers: VecDeque<Key>,
    /// Set when a receive has emptied the socket, so that another attempt is in vain before the next event. Cleared by that
    /// event, which the registration makes sure of.
    is_empty: bool,
    /// Set by an event that may be the last one. From then on the socket is never taken for empty.
    is_special: bool,
    /// See [`platform::ends_when_empty`]. `None` until it is asked.
    ends_when_empty: Option<bool>,
}

impl Sources {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Makes sure that the poller knows `socket`. A descriptor is registered the first time an operation must wait for it.
    /// Returns `true` if it was just now: then the poller says what it is ready for already.
    ///
    /// # Errors
    /// What the system says when it refuses: `EPERM` if such a descriptor is always ready, `ENOSPC` or `ENOMEM`.
    pub(super) fn register(
        &mut self,
        poller: &mut Poller,
        socket: &Rc<Socket>,
    ) -> io::Result<bool> {
        let source = self.source(socket.as_raw_fd());
        if !source.is_of(socket) {
            debug_assert!(
                source.readers.is_empty() && source.writers.is_empty(),
                "operations keep their socket"
            );
            let generation = source.generation.wrapping_add(1);
            *source = Source {
                socket: Rc::downgrade(socket),
                generation,
                ..Source::default()
            };
        }
        let is_new = !source.is_registered;
        if is_new {
            poller.add(socket.as_fd(), key(socket.as_raw_fd(), source.generation))?;
            source.is_registered = true;
        }
        Ok(is_new)
    }

    /// Takes in what an event says of `fd` beside that it is ready.
    pub(super) fn note_event(&mut self, fd: RawFd, event: Event) {
        let source = self.source(fd);
        source.is_empty &= !event.is_readable;
        source.is_special |= event.is_special;
    }

    /// Takes in that a receive has left room. Returns `true` if the socket is therefore taken for empty.
    ///
    /// An end or an error that came together with the bytes has no event of its own: if that event is past, `is_special`
    /// is set, and if it is to come it clears what is set here. A socket that is not registered yet is told what it is
    /// ready for when it is.
    pub(super) fn note_short(&mut self, socket: &Rc<Socket>) -> bool {
        let source = self.source(socket.as_raw_fd());
        if source.is_registered && !source.is_special && source.is_of(socket) {
            let ends = *source
                .ends_when_empty
                .get_or_insert_with(|| platform::ends_when_empty(socket.as_fd()));
            source.is_empty = ends;
            return ends;
        }
        false
    }

    /// Returns `true` if a receive from `socket` now would be in vain.
    pub(super) fn is_empty(&mut self, socket: &Rc<Socket>) -> bool {
        let source = self.source(socket.as_raw_fd());
        source.is_empty && source.is_of(socket)
    }

    /// Returns `true` if an attempt on `socket` now would be in vain, or out of turn.
    pub(super) fn must_wait(&mut self, socket: &Rc<Socket>, interest: Interest) -> bool {
        let source = self.source(socket.as_raw_fd());
        match interest {
            Interest::Read => {
                !source.readers.is_empty() || (source.is_empty && source.is_of(socket))
            }
            Interest::Write => !source.writers.is_empty(),
        }
    }

    /// Tells the poller if nothing waits for `fd` any more. It may forget it.
    pub(super) fn idle(&mut self, poller: &mut Poller, fd: BorrowedFd<'_>) {
        let source = self.source(fd.as_raw_fd());
        if source.is_registered && source.readers.is_empty() && source.writers.is_empty() {
            source.is_registered = poller.idle(fd);
            source.is_empty &= source.is_registered;
        }
    }

    /// Returns the operations that wait for `fd` in one direction, oldest first.
    pub(super) fn queue(&mut self, fd: RawFd, interest: Interest) -> &mut VecDeque<Key> {
        let source = self.source(fd);
        match interest {
            Interest::Read => &mut source.readers,
            Interest::Write => &mut source.writers,
        }
    }

    /// Returns the descriptor that the poller's key means, if that one is still open.
    pub(super) fn find(&self, key: u64) -> Option<RawFd> {
        let (generation, number) = split(key);
        let source = self.0.get(number as usize)?;
        if source.generation == generation {
            RawFd::try_from(number).ok()
        } else {
            None
        }
    }

    fn source(&mut self, fd: RawFd) -> &mut Source {
        let index = usize::try_from(fd).expect("an open descriptor is not negative");
        if index >= self.0.len() {
            self.0.resize_with(index + 1, Source::default);
        }
        &mut self.0[index]
    }
}

impl Source {
    fn is_of(&self, socket: &Rc<Socket>) -> bool {
        std::ptr::eq(self.socket.as_ptr(), Rc::as_ptr(socket))
    }
}

fn key(fd: RawFd, generation: u32) -> u64 {
    join(generation, fd.unsigned_abs())
}
