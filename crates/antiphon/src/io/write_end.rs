//! The writing end of a pipe, and of what is written like one.
//!
//! What the system takes at once goes there from the caller's memory. The rest is copied, and a task of its own writes it:
//! whoever waits for that may go away, or be cancelled, and it is finished in the background.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use super::Leaf;
use super::endpoint::Endpoint;
use crate::sys::{Attempt, Interest, Operation};
use crate::task::TaskBuilder;

#[derive(Debug)]
pub(super) struct WriteEnd {
    /// `None` once it was closed.
    endpoint: Option<Rc<Endpoint>>,
    /// What the task tree shows.
    kind: &'static str,
    /// What is being written in the background.
    sending: Option<Rc<RefCell<Sending>>>,
    /// Why what was taken over can't be written. Told by the next call.
    error: Option<io::Error>,
    /// Memory for what is taken over next.
    buffer: Vec<u8>,
}

/// What end and background share.
#[derive(Debug, Default)]
struct Sending {
    memory: Vec<u8>,
    /// `memory[from..]` is to be written.
    from: usize,
    /// Set when it is over.
    result: Option<io::Result<()>>,
    /// Set when the end is dropped: nobody wants the rest.
    is_given_up: bool,
    /// Who waits for the result.
    waiter: Option<Waker>,
    /// The task in the background.
    sender: Option<Waker>,
}

/// The system takes no more slices in one call: `IOV_MAX`.
const SLICES_MAX: usize = 1024;

/// Memory beyond this is given back when it is written.
const KEEP_MAX: usize = 256 * 1024;

impl WriteEnd {
    pub(super) fn new(endpoint: Endpoint, kind: &'static str) -> Self {
        Self {
            endpoint: Some(Rc::new(endpoint)),
            kind,
            sending: None,
            error: None,
            buffer: Vec::new(),
        }
    }

    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
    ) -> Poll<io::Result<()>> {
        ready!(leaf.begin(cx))?;
        if let Some(sending) = &self.sending {
            let waiter = cx.waker().clone();
            let mut state = sending.borrow_mut();
            let Some(result) = state.result.take() else {
                let before = state.waiter.replace(waiter);
                drop(state);
                // A foreign waker runs code when it is dropped.
                drop(before);
                leaf.wait(cx, self.kind)?;
                return Poll::Pending;
            };
            let memory = std::mem::take(&mut state.memory);
            drop(state);
            leaf.leave();
            self.sending = None;
            if memory.capacity() <= KEEP_MAX {
                self.buffer = memory;
            }
            self.error = result.err();
        }
        Poll::Ready(self.error.take().map_or(Ok(()), Err))
    }

    pub(super) fn start_write(&mut self, leaf: &Leaf, bufs: &[IoSlice<'_>], max: usize) -> usize {
        assert!(
            self.sending.is_none(),
            "a write begins before the one before has ended"
        );
        let Some(endpoint) = &self.endpoint else {
            self.error = Some(io::ErrorKind::BrokenPipe.into());
            return 0;
        };
        let len = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(max);
        let mut sent = 0;
        while sent < len {
            match endpoint.try_write(&rest(bufs, sent, len)) {
                Attempt::Done(Ok(count)) => sent += count,
                Attempt::Done(Err(error)) => {
                    self.error = Some(error);
                    return 0;
                }
                Attempt::WouldWait | Attempt::NotNow => break,
            }
        }
        if sent < len {
            let mut memory = std::mem::take(&mut self.buffer);
            memory.clear();
            memory.reserve(len - sent);
            for buf in all_of_the_rest(bufs, sent, len) {
                memory.extend_from_slice(buf);
            }
            self.sending = Some(send(
                Rc::clone(endpoint),
                memory,
                self.kind,
                leaf.location(),
            ));
        }
        len
    }

    /// Polls until all is written, and closes the end if `closes`.
    pub(super) fn poll_shutdown(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        closes: bool,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx, leaf))?;
        if closes {
            self.endpoint = None;
        }
        Poll::Ready(Ok(()))
    }

    /// Returns a descriptor of its own, in blocking mode, if nothing is being written.
    pub(super) fn to_blocking(&self) -> io::Result<OwnedFd> {
        match &self.endpoint {
            Some(_) if self.sending.is_some() => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "bytes are on their way through the pipe",
            )),
            Some(endpoint) => endpoint.to_blocking(),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Returns the descriptor, unless it was closed.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.endpoint.as_ref().map(|endpoint| endpoint.as_fd())
    }
}

/// Gives up what is still being written.
impl Drop for WriteEnd {
    fn drop(&mut self) {
        if let Some(sending) = &self.sending {
            let mut state = sending.borrow_mut();
            state.is_given_up = true;
            let sender = state.sender.take();
            drop(state);
            if let Some(sender) = sender {
                sender.wake();
            }
        }
    }
}

/// Writes `memory` in the background. The wait in there is no wait of anybody's scope: only its end, or that of the end that
/// it belongs to, ends it.
fn send(
    endpoint: Rc<Endpoint>,
    memory: Vec<u8>,
    kind: &'static str,
    at: &'static Location<'static>,
) -> Rc<RefCell<Sending>> {
    let sending = Rc::new(RefCell::new(Sending {
        memory,
        ..Sending::default()
    }));
    let mut background = Background {
        sending: Rc::clone(&sending),
        endpoint,
        readiness: None,
        kind,
        at,
    };
    let task = TaskBuilder::new()
        .name(kind)
        .spawn(move || poll_fn(move |cx| background.poll(cx)));
    // Nobody waits for the task: what it has to say is in what is shared.
    drop(task);
    sending
}

/// The background.
struct Background {
    sending: Rc<RefCell<Sending>>,
    endpoint: Rc<Endpoint>,
    readiness: Option<Operation>,
    kind: &'static str,
    at: &'static Location<'static>,
}

impl Background {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let result = loop {
            if self.sending.borrow().is_given_up {
                return Poll::Ready(());
            }
            if let Some(readiness) = &mut self.readiness {
                let Poll::Ready((result, _)) = readiness.poll(cx) else {
                    self.sending.borrow_mut().sender = Some(cx.waker().clone());
                    return Poll::Pending;
                };
                self.readiness = None;
                if let Err(error) = result {
                    break Err(error);
                }
            }
            let mut state = self.sending.borrow_mut();
            let Sending { memory, from, .. } = &mut *state;
            match self.endpoint.try_write(&[IoSlice::new(&memory[*from..])]) {
                Attempt::Done(Ok(count)) => *from += count,
                Attempt::Done(Err(error)) => break Err(error),
                Attempt::NotNow => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Attempt::WouldWait => {
                    let op = self.endpoint.readiness(Interest::Write);
                    self.readiness = Some(Operation::start(op, self.kind, self.at));
                }
            }
            if *from == memory.len() {
                break Ok(());
            }
        };
        self.end(result);
        Poll::Ready(())
    }

    fn end(&self, result: io::Result<()>) {
        let mut state = self.sending.borrow_mut();
        if state.result.is_some() || state.is_given_up {
            return;
        }
        state.result = Some(result);
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

/// After the end of the writing this says nothing new. Before, the loop has ended.
impl Drop for Background {
    fn drop(&mut self) {
        let is_over = self.sending.borrow().from == self.sending.borrow().memory.len();
        if !is_over {
            self.end(Err(io::Error::other(
                "the loop ended before all was written",
            )));
        }
    }
}

/// The bytes from `sent` to `len` of `bufs`, in as many slices as one call takes.
fn rest<'a>(bufs: &'a [IoSlice<'_>], sent: usize, len: usize) -> Vec<IoSlice<'a>> {
    all_of_the_rest(bufs, sent, len)
        .take(SLICES_MAX)
        .map(IoSlice::new)
        .collect()
}

fn all_of_the_rest<'a>(
    bufs: &'a [IoSlice<'_>],
    sent: usize,
    len: usize,
) -> impl Iterator<Item = &'a [u8]> {
    let mut start = 0;
    let cut = bufs.iter().map(move |buf| {
        let end = start + buf.len();
        let (from, to) = (sent.clamp(start, end), len.clamp(start, end));
        let cut = &buf[from - start..to - start];
        start = end;
        cut
    });
    cut.filter(|cut| !cut.is_empty())
}

/// Implements [`Write`](super::Write) by way of a [`WriteEnd`], which a shutdown closes if `$closes`.
macro_rules! impl_write_end {
    ($type:ty, $closes:literal) => {
        impl super::Write for $type {
            fn poll_flush(
                &mut self,
                cx: &mut std::task::Context<'_>,
                leaf: &mut super::Leaf,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.end.poll_flush(cx, leaf)
            }

            fn start_write(
                &mut self,
                leaf: &super::Leaf,
                bufs: &[std::io::IoSlice<'_>],
                max: usize,
            ) -> usize {
                self.end.start_write(leaf, bufs, max)
            }

            fn poll_shutdown(
                &mut self,
                cx: &mut std::task::Context<'_>,
                leaf: &mut super::Leaf,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.end.poll_shutdown(cx, leaf, $closes)
            }
        }
    };
}

pub(super) use impl_write_end;
