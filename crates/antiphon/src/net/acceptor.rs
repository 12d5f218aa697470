//! What TCP and Unix listeners have in common: one accept that goes on from call to call.
//!
//! The accept belongs to the listener, and has a completion for each connection. Whoever waits may go away, or be cancelled,
//! and the next caller finds the connections that came meanwhile. They are not without number: see the operation's limit in
//! [`sys`](crate::sys). When it ends the accept, the kernel's queue fills up, until somebody asks for a connection again.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::io::Leaf;
use crate::scope::Cancelled;
use crate::sys::{Op, Operation, Output, Socket, Taken};
use crate::time::{self, Sleep};

#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) socket: Rc<Socket>,
    /// What the task tree shows.
    kind: &'static str,
    accept: RefCell<Option<Operation>>,
    /// When the system, which had no descriptors left, is asked again. Set with the error that said so, and cleared by
    /// the first who asks again.
    retry_at: Cell<Option<Instant>>,
}

/// How long the system is left alone when it has no descriptors. The connections wait in the kernel's queue.
const BACK_OFF: Duration = Duration::from_millis(100);

impl Acceptor {
    pub(super) const fn new(socket: Rc<Socket>, kind: &'static str) -> Self {
        Self {
            socket,
            kind,
            accept: RefCell::new(None),
            retry_at: Cell::new(None),
        }
    }

    /// Accepts a connection.
    pub(super) async fn accept(&self, at: &'static Location<'static>) -> io::Result<Rc<Socket>> {
        let mut leaf = Leaf::at(at);
        let mut pause = None;
        poll_fn(|cx| self.poll_accept(cx, &mut leaf, &mut pause)).await
    }

    /// Ends the accept, and waits until the system has let go of the socket, so that dropping it closes it.
    pub(super) async fn close(self, at: &'static Location<'static>) -> Result<(), Cancelled> {
        let mut leaf = Leaf::at(at);
        poll_fn(|cx| leaf.begin(cx)).await?;
        let Some(mut accept) = self.accept.take() else {
            return Ok(());
        };
        accept.cancel();
        // Connections that come meanwhile are closed.
        while let Some((_, None)) = poll_fn(|cx| leaf.poll(cx, &mut accept, "close")).await? {}
        Ok(())
    }

    fn poll_accept(
        &self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        pause: &mut Option<Sleep>,
    ) -> Poll<io::Result<Rc<Socket>>> {
        ready!(leaf.begin(cx))?;
        loop {
            match self.take() {
                Some(Taken::Completion(Ok(Output::Accepted(socket)), _)) => {
                    return Poll::Ready(Ok(socket));
                }
                Some(Taken::Completion(Err(error), _)) if is_restart(&error) => {}
                Some(Taken::Completion(Err(error), _)) => {
                    if is_exhaustion(&error) {
                        self.retry_at.set(Some(time::now() + BACK_OFF));
                    }
                    return Poll::Ready(Err(error));
                }
                Some(Taken::Completion(Ok(Output::Count(_) | Output::Bytes(_)), _)) => {
                    unreachable!("an accept has connections only")
                }
                Some(Taken::Gone) => {}
                Some(Taken::NotYet) => {
                    // Runs foreign code, so not under the borrow; that code may have taken the operation away.
                    leaf.wait(cx, self.kind)?;
                    if let Some(accept) = &*self.accept.borrow() {
                        leaf.watch(accept);
                        return Poll::Pending;
                    }
                }
                None => {
                    if let Some(retry_at) = self.retry_at.get() {
                        let pause =
                            pause.get_or_insert_with(|| Sleep::new(retry_at, leaf.location()));
                        ready!(pause.poll_sleep(cx))?;
                        self.retry_at.set(None);
                    }
                    *pause = None;
                    let op = Op::Accept {
                        socket: Rc::clone(&self.socket),
                    };
                    let accept = Operation::start(op, self.kind, leaf.location());
                    *self.accept.borrow_mut() = Some(accept);
                }
            }
        }
    }

    /// Takes what there is of the accept under way; `None` if there is none. One that is over is taken away.
    fn take(&self) -> Option<Taken> {
        let mut accept = self.accept.borrow_mut();
        let taken = accept.as_mut()?.take();
        if let Taken::Gone | Taken::Completion(_, Some(_)) = taken {
            *accept = None;
        }
        Some(taken)
    }
}

/// The accept was ended because nobody took its connections, or by the end of its loop; or it failed for a connection
/// that went away in the queue, which is not the listener's failure: accept(2).
fn is_restart(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(
            Errno::CANCELED
                | Errno::CONNABORTED
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NOPROTOOPT
        )
    )
}

fn is_exhaustion(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}
