//! What UDP and Unix datagram sockets have in common.
//!
//! The receive belongs to the socket, as a stream's does: a datagram that arrives for a caller who has gone waits for the
//! next one. Sends have no order among them, so each call has its own. Cancelled, the system is asked for its end and says
//! what came of it; dropped, it is finished in the background, because nobody is there to hear what came of it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;

use crate::io::Leaf;
use crate::sys::{Address, Op, Operation, Output, Socket, Taken};

#[derive(Debug)]
pub(super) struct Datagrams {
    pub(super) socket: Rc<Socket>,
    kinds: Kinds,
    inbox: RefCell<Inbox>,
    /// Memory for sends.
    spare: RefCell<Vec<Vec<u8>>>,
}

/// What is particular to a family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kinds {
    /// What the task tree shows.
    pub(super) receive: &'static str,
    pub(super) send: &'static str,
    /// As long as a datagram can be.
    pub(super) len_max: usize,
}

#[derive(Debug, Default)]
struct Inbox {
    /// The receive under way, with its memory.
    receive: Option<Operation>,
    /// What arrived and was not taken.
    arrived: Option<Datagram>,
    /// Memory for the next receive.
    spare: Vec<u8>,
}

#[derive(Debug)]
struct Datagram {
    bytes: Vec<u8>,
    sender: Option<Address>,
}

/// Idle buffers that a socket keeps, for as many sends at a time.
const SPARE_MAX: usize = 8;

impl Datagrams {
    pub(super) const fn new(socket: Rc<Socket>, kinds: Kinds) -> Self {
        let inbox = Inbox {
            receive: None,
            arrived: None,
            spare: Vec::new(),
        };
        Self {
            socket,
            kinds,
            inbox: RefCell::new(inbox),
            spare: RefCell::new(Vec::new()),
        }
    }

    /// Receives a datagram into `buf`. What does not fit is discarded. With `peek` the datagram stays.
    pub(super) async fn receive(
        &self,
        buf: &mut [u8],
        peek: bool,
        at: &'static Location<'static>,
    ) -> io::Result<(usize, Option<Address>)> {
        let mut leaf = Leaf::at(at);
        poll_fn(|cx| self.poll_receive(cx, &mut leaf, buf, peek)).await
    }

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        buf: &mut [u8],
        peek: bool,
    ) -> Poll<io::Result<(usize, Option<Address>)>> {
        ready!(leaf.begin(cx))?;
        loop {
            if let Some(taken) = self.take_arrived(buf, peek) {
                leaf.leave();
                return Poll::Ready(Ok(taken));
            }
            let taken = self
                .inbox
                .borrow_mut()
                .receive
                .as_mut()
                .map(Operation::take);
            match taken {
                Some(Taken::NotYet) => {
                    // Runs foreign code, so not under the borrow; that code may have taken the operation away.
                    leaf.wait(cx, self.kinds.receive)?;
                    if let Some(receive) = &self.inbox.borrow().receive {
                        leaf.watch(receive);
                        return Poll::Pending;
                    }
                }
                Some(Taken::Completion(result, op)) => self.settle(result, op)?,
                Some(Taken::Gone) => self.inbox.borrow_mut().receive = None,
                None => {
                    let mut buffer = std::mem::take(&mut self.inbox.borrow_mut().spare);
                    buffer.clear();
                    buffer.reserve_exact(self.kinds.len_max);
                    let op = Op::RecvFrom {
                        socket: Rc::clone(&self.socket),
                        buffer,
                        address: None,
                        peek: false,
                    };
                    let receive = Operation::start(op, self.kinds.receive, leaf.location());
                    self.inbox.borrow_mut().receive = Some(receive);
                }
            }
        }
    }

    /// Takes in what came of the receive.
    fn settle(&self, result: io::Result<Output>, op: Option<Op>) -> io::Result<()> {
        let mut inbox = self.inbox.borrow_mut();
        inbox.receive = None;
        if let Some(Op::RecvFrom {
            buffer, address, ..
        }) = op
        {
            if result.is_ok() {
                inbox.arrived = Some(Datagram {
                    bytes: buffer,
                    sender: address,
                });
            } else {
                inbox.spare = buffer;
            }
        }
        match result {
            // By the end of its loop: nobody else cancels it.
            Err(error) if error.raw_os_error() == Some(Errno::CANCELED.raw_os_error()) => Ok(()),
            result => result.map(|_| ()),
        }
    }

    fn take_arrived(&self, buf: &mut [u8], peek: bool) -> Option<(usize, Option<Address>)> {
        let mut inbox = self.inbox.borrow_mut();
        let datagram = inbox.arrived.as_ref()?;
        let count = datagram.bytes.len().min(buf.len());
        buf[..count].copy_from_slice(&datagram.bytes[..count]);
        let sender = datagram.sender.clone();
        if !peek {
            inbox.spare = inbox.arrived.take()?.bytes;
        }
        Some((count, sender))
    }

    /// Sends `bytes` as one datagram to `address`, or to the peer that the socket is connected to.
    pub(super) async fn send(
        &self,
        bytes: &[u8],
        address: Option<Address>,
        at: &'static Location<'static>,
    ) -> io::Result<usize> {
        let mut leaf = Leaf::at(at);
        poll_fn(|cx| leaf.begin(cx)).await?;
        let mut buffer = self.spare.borrow_mut().pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(bytes);
        let socket = Rc::clone(&self.socket);
        let op = match address {
            Some(address) => Op::SendTo {
                socket,
                buffer,
                address,
            },
            None => Op::Send {
                socket,
                buffer,
                from: 0,
            },
        };
        let mut send = InBackground(Some(Operation::start(op, self.kinds.send, at)));
        let (result, op) = poll_fn(|cx| {
            let operation = send.0.as_mut().expect("taken only when it is dropped");
            leaf.poll_own(cx, operation, self.kinds.send)
        })
        .await;
        if let Some(Op::SendTo { buffer, .. } | Op::Send { buffer, .. }) = op {
            let mut spare = self.spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(buffer);
            }
        }
        result.map(|_| bytes.len())
    }
}

/// An operation that is finished in the background when its future goes away.
struct InBackground(Option<Operation>);

impl Drop for InBackground {
    fn drop(&mut self) {
        if let Some(operation) = self.0.take() {
            operation.detach();
        }
    }
}
