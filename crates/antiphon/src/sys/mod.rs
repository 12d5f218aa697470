//! The only place that knows an operating system: operations as data, and the drivers that carry them out.
//!
//! ```text
//!   leaf ── submit(token, Op) ──▶ driver ──▶ kernel (io_uring, epoll) or simulator
//!   leaf ◀── Completion{token} ── driver ◀──
//! ```
//! Memory that an operation needs travels inside the [`Op`] and comes back in its [`Completion`]. Until then the driver owns
//! it, whatever becomes of the future that waits. One in, one out: each submitted operation has exactly one last
//! completion, cancelled or not; only then is it over.

mod address;
mod attempt;
mod choose;
mod direct;
mod entropy;
mod file;
mod kernel;
mod op;
mod open;
mod operation;
#[cfg_attr(target_os = "linux", path = "linux/mod.rs")]
#[cfg_attr(not(target_os = "linux"), path = "unix.rs")]
mod platform;
mod processors;
mod readiness;
pub(crate) mod signals;
mod simulator;
mod slots;
mod socket;
#[cfg(test)]
mod tests;
mod tokens;

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use crate::worker::Kick;

pub(crate) use self::choose::{Choice, Decision, Wish, choose};
pub(crate) use self::direct::{Attempt, Received, Room, try_call, try_read_at, try_recv, try_send};
pub(crate) use self::file::{FileOp, inspect};
pub(crate) use self::kernel::adopt;
pub(crate) use self::op::{Address, Completion, Interest, Op, Output, Token};
pub(crate) use self::open::{Open, Pair, open, open_pair};
pub(crate) use self::operation::{Operation, Operations, Taken, complete_all, lend, take_back};
pub(crate) use self::platform::{Chunk, peer_user};
pub(crate) use self::processors::Processors;
use self::readiness::Readiness;
pub(crate) use self::simulator::Simulator;
pub(crate) use self::socket::Socket;

/// What carries out operations, tells the time, and ends the worker's sleep. One a worker.
pub(crate) trait Driver {
    /// Its name, for messages and the task tree: `"io_uring"`, `"epoll"`, ….
    fn name(&self) -> &'static str;

    /// Returns what ends [`wait`](Self::wait) from another thread.
    fn kick(&self) -> Arc<dyn Kick>;

    fn now(&self) -> Instant;

    /// Fills `bytes` from the source of entropy.
    fn fill_random(&mut self, bytes: &mut [u8]);

    /// Makes a socket. The kernel's drivers take one as well as the other.
    fn open(&mut self, what: &Open) -> io::Result<Socket> {
        kernel::open(what)
    }

    /// Makes two sockets that are connected to each other.
    fn open_pair(&mut self, what: Pair) -> io::Result<(Socket, Socket)> {
        kernel::open_pair(what)
    }

    /// Looks a name up, if that is the driver's to do; `None` leaves it to the system.
    fn resolve(&mut self, _host: &str, _port: u16) -> Option<io::Result<Vec<SocketAddr>>> {
        None
    }

    /// Returns the simulator, if it is one.
    fn simulator(&mut self) -> Option<&mut Simulator> {
        None
    }

    /// Takes an operation in. Those that are under way together on one socket and direction may be done in any order.
    /// Nothing is reported before the next [`wait`](Self::wait), not even a failure to start.
    fn submit(&mut self, token: Token, op: Op);

    /// Receives from a stream, if that does not wait. `Pending` says that it would, and that an [`Op::Incoming`] that is
    /// under way, or is submitted next, tells when it does not. To be called when nothing that such an operation handed
    /// out is left to be taken: that came before.
    fn try_recv(&mut self, socket: &Rc<Socket>, room: Room<'_>) -> Poll<io::Result<Received>>;

    /// Sends to a stream what it takes of `bufs`, if that does not wait. Not to be called while an [`Op::Send`] to it is
    /// under way.
    fn try_send(&mut self, socket: &Rc<Socket>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Asks for the end of an operation that may still be under way. Its completion says what came of it: it may have
    /// been done all the same. A token whose operation is over is ignored.
    fn cancel(&mut self, token: Token);

    /// Hands what was submitted and cancelled to the kernel, and collects completions into `done`. Sleeps until there is
    /// one, or a kick, or `until`; `None` has no end, and a moment that is past does not sleep at all.
    fn wait(&mut self, until: Option<Instant>, done: &mut Vec<Completion>);

    /// Returns `true` if the clock jumps to the next deadline instead of waiting for it.
    fn jumps(&self) -> bool {
        false
    }

    /// Called before [`wait`](Self::wait) while another thread is at work for this one. A clock that jumps stands still then:
    /// it really sleeps until a kick, or for as long as it is to `latest`, and returns `true`: nothing else is to be
    /// waited for. Others wait as ever.
    fn stand_still(&mut self, _latest: Option<Instant>) -> bool {
        false
    }

    /// The operations that have no last completion yet.
    fn in_flight(&self) -> usize;
}
