//! Connecting to one of several addresses: happy eyeballs, RFC 8305.
//!
//! A name often has addresses of both families, and it is not rare that one family leads nowhere without saying so. So
//! the attempts overlap: the next one starts when one fails, or after a moment, and the first that gets through wins.
//!
//! ```text
//!   ::1        ├───────────── no answer ─ ─ ─ ─ ┤ dropped
//!   127.0.0.1        ├──── connected
//!              0    250 ms
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::io::{Leaf, is_aborted};
use crate::scope::{Cancelled, deliver, is_cancelled_here};
use crate::sys::{Address, Op, Open, Operation, Socket, open};
use crate::time::{self, Sleep};

/// The "Connection Attempt Delay" that RFC 8305, section 5, recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first of `addresses` that answers. The attempts that are left are given up.
///
/// When it is cancelled, the driver is asked for the end of all attempts, and waited for. One that gets through all the same
/// wins.
pub(super) async fn connect_tcp(
    addresses: Vec<SocketAddr>,
    at: &'static Location<'static>,
) -> io::Result<Rc<Socket>> {
    let mut race = Race {
        waiting: interleave(addresses),
        attempts: Vec::new(),
        failures: Vec::new(),
        next_at: None,
        is_ending: false,
        at,
    };
    let mut leaf = Leaf::at(at);
    poll_fn(|cx| {
        ready!(leaf.begin(cx))?;
        race.poll(cx)
    })
    .await
}

struct Race {
    /// Addresses that were not tried yet.
    waiting: VecDeque<SocketAddr>,
    /// What is under way.
    attempts: Vec<Attempt>,
    failures: Vec<(SocketAddr, io::Error)>,
    /// When the next attempt starts, whatever becomes of the others. `None` if there is no next one.
    next_at: Option<Sleep>,
    /// Set while the driver has been asked for the end of the attempts, because the scope was cancelled.
    is_ending: bool,
    at: &'static Location<'static>,
}

struct Attempt {
    address: SocketAddr,
    socket: Rc<Socket>,
    operation: Operation,
}

impl Race {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Rc<Socket>>> {
        let mut failures = self.failures.len();
        loop {
            if let Some(socket) = self.poll_attempts(cx) {
                return Poll::Ready(Ok(socket));
            }
            if self.attempts.is_empty() && self.waiting.is_empty() {
                return Poll::Ready(Err(self.error()));
            }
            if self.is_ending || is_cancelled_here() {
                ready!(self.poll_end())?;
                continue;
            }
            let is_due = self.attempts.is_empty()
                || self.failures.len() > failures
                || self
                    .next_at
                    .as_mut()
                    .is_some_and(|sleep| sleep.poll_sleep(cx).is_ready());
            if !is_due {
                return Poll::Pending;
            }
            failures = self.failures.len();
            match self.waiting.pop_front() {
                Some(address) => self.start(address),
                None => return Poll::Pending,
            }
        }
    }

    /// Polls all attempts, and puts those that failed aside; what was ended is to be tried again, if it comes to that.
    fn poll_attempts(&mut self, cx: &mut Context<'_>) -> Option<Rc<Socket>> {
        let mut index = 0;
        while let Some(attempt) = self.attempts.get_mut(index) {
            match attempt.operation.poll(cx) {
                Poll::Pending => index += 1,
                Poll::Ready((Ok(_), _)) => return Some(self.attempts.swap_remove(index).socket),
                Poll::Ready((Err(error), _)) => {
                    let failed = self.attempts.remove(index);
                    if self.is_ending && is_aborted(&error) {
                        self.waiting.push_front(failed.address);
                    } else {
                        self.failures.push((failed.address, error));
                    }
                }
            }
        }
        None
    }

    /// Has all attempts ended, and waits until they are. It is well if the scope is not cancelled any more then, because it
    /// is polled in another one: that goes on.
    fn poll_end(&mut self) -> Poll<Result<(), Cancelled>> {
        if !self.is_ending {
            self.is_ending = true;
            self.next_at = None;
            for attempt in &self.attempts {
                attempt.operation.cancel();
            }
        }
        if !self.attempts.is_empty() {
            return Poll::Pending;
        }
        self.is_ending = false;
        Poll::Ready(deliver().map_or(Ok(()), Err))
    }

    fn start(&mut self, address: SocketAddr) {
        match open(&Open::TcpStream(address)) {
            Ok(socket) => {
                let op = Op::Connect {
                    socket: Rc::clone(&socket),
                    address: Address::Ip(address),
                };
                let operation = Operation::start(op, "tcp connect", self.at);
                self.attempts.push(Attempt {
                    address,
                    socket,
                    operation,
                });
            }
            Err(error) => self.failures.push((address, error)),
        }
        let delay = || Sleep::new(time::now() + ATTEMPT_DELAY, self.at);
        self.next_at = (!self.waiting.is_empty()).then(delay);
    }

    /// Says why no attempt got through.
    fn error(&mut self) -> io::Error {
        let mut failures = std::mem::take(&mut self.failures);
        match failures.pop() {
            Some((_, error)) if failures.is_empty() => error,
            Some(last) => {
                failures.push(last);
                io::Error::new(failures[0].1.kind(), ConnectError { failures })
            }
            None => unreachable!("there is at least one address"),
        }
    }
}

/// Why none of several addresses could be connected to. It is the inner error of the [`io::Error`] that
/// [`TcpStream::connect`](super::TcpStream::connect) returns then, whose kind is that of the first failure.
#[derive(Debug)]
pub struct ConnectError {
    failures: Vec<(SocketAddr, io::Error)>,
}

impl ConnectError {
    /// Returns each address with its error, in the order in which they failed.
    pub fn failures(&self) -> &[(SocketAddr, io::Error)] {
        &self.failures
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none of the addresses could be connected to")?;
        for (index, (address, error)) in self.failures.iter().enumerate() {
            write!(
                f,
                "{} {address}: {error}",
                if index == 0 { ":" } else { "," }
            )?;
        }
        Ok(())
    }
}

/// The causes are several, and part of the message.
impl std::error::Error for ConnectError {}

/// Orders the addresses so that the families alternate, beginning with the first one's: RFC 8305, section 4. Within a
/// family the order is the resolver's, which knows what the system prefers.
fn interleave(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let is_first_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|a| a.is_ipv6() == is_first_v6);
    let mut ordered = VecDeque::with_capacity(first.len() + second.len());
    let mut families = [first.into_iter(), second.into_iter()];
    loop {
        let before = ordered.len();
        ordered.extend(families.iter_mut().filter_map(Iterator::next));
        if ordered.len() == before {
            return ordered;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_and_keep_their_order() {
        let addresses = |text: &str| {
            text.split(' ')
                .map(|a| a.parse().unwrap())
                .collect::<Vec<SocketAddr>>()
        };
        let ordered = interleave(addresses("[::1]:1 [::1]:2 [::1]:3 1.0.0.0:1 1.0.0.0:2"));
        assert_eq!(
            ordered,
            addresses("[::1]:1 1.0.0.0:1 [::1]:2 1.0.0.0:2 [::1]:3")
        );
    }
}
