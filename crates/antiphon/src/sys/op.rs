//! Operations as data.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use super::file::FileOp;
use super::platform::Chunk;
use super::socket::Socket;

/// Names an operation from its submission to its last completion. The driver hands it back and makes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(pub(crate) u64);

impl Token {
    /// The entry of its operation: the lower half.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the upper half tells operations apart that had the entry"
    )]
    pub(crate) const fn index(self) -> u32 {
        self.0 as u32
    }
}

/// An operation, with the memory that it needs and a share of the socket that it is about: neither goes before the operation
/// is over.
///
/// Each says what a cancelled *scope* means for it, and what becomes of a late success: one that comes after its end was
/// asked for, or after the call that started it has left.
#[derive(Debug)]
pub(crate) enum Op {
    /// Accepts connections, one completion each ([`Output::Accepted`]), until it is cancelled or fails.
    ///
    /// The listener's: a cancelled call leaves it. Late success: the connection is the next call's; without a listener it is
    /// closed.
    Accept { socket: Rc<Socket> },
    /// Connects.
    ///
    /// The call's: a cancelled one has it ended and waits for that. Late success: the call returns the connection; if it was
    /// dropped, the connection is closed with its socket.
    Connect {
        socket: Rc<Socket>,
        address: Address,
    },
    /// Waits for what arrives at a stream. A completion either hands bytes out ([`Output::Bytes`]), or says that a receive
    /// ([`Driver::try_recv`](super::Driver::try_recv)) is worth an attempt ([`Output::Count`] of 0): for bytes, the end,
    /// or an error. There may be several, and the operation may end with any of them.
    ///
    /// The stream's: a cancelled call leaves it. Late success: the bytes are the next call's.
    Incoming {
        socket: Rc<Socket>,
        /// The stream has much to say: rather be told than be handed bytes in small pieces.
        #[cfg_attr(
            not(target_os = "linux"),
            allow(dead_code, reason = "no driver hands bytes out there")
        )]
        is_bulk: bool,
    },
    /// Sends `buffer[from..]`. The result is how many bytes were taken, at least one.
    ///
    /// Of a stream it is the stream's: a cancelled call says how much was taken over and leaves it, and it is finished. As
    /// one datagram it is as [`SendTo`](Self::SendTo).
    Send {
        socket: Rc<Socket>,
        buffer: Vec<u8>,
        from: usize,
    },
    /// Receives one datagram into `buffer`, after its length and up to its capacity. The result is the number of bytes,
    /// also appended to the length. `address` becomes the sender's.
    ///
    /// The socket's: a cancelled call leaves it. Late success: the datagram is the next call's.
    RecvFrom {
        socket: Rc<Socket>,
        buffer: Vec<u8>,
        address: Option<Address>,
        peek: bool,
    },
    /// Sends `buffer` as one datagram to `address`.
    ///
    /// The call's: a cancelled one has it ended and waits for that. Late success: the call says that it was sent. If the call
    /// was dropped, it is finished.
    SendTo {
        socket: Rc<Socket>,
        buffer: Vec<u8>,
        address: Address,
    },
    /// Waits until the socket may be read (or written) without waiting. The result is 0.
    ///
    /// The call's: a cancelled one has it ended and waits for that. Late success: the call says so.
    Poll {
        socket: Rc<Socket>,
        interest: Interest,
    },
    /// Does something to a file.
    File(FileOp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
}

/// Where a socket is, in either family.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Ip(SocketAddr),
    Unix(std::os::unix::net::SocketAddr),
}

/// What came of an operation.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) token: Token,
    /// `ECANCELED` if it was ended before it did anything.
    pub(crate) result: io::Result<Output>,
    /// The operation with its memory, if it is over. `None` if more completions follow.
    pub(crate) op: Option<Op>,
}

/// What an operation that went well has to say.
#[derive(Debug)]
pub(crate) enum Output {
    /// As the operation defines it; 0 if it does not.
    Count(usize),
    /// A new connection. Dropped, it is closed.
    Accepted(Rc<Socket>),
    /// Bytes of a stream, at least one.
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "no driver hands bytes out there")
    )]
    Bytes(Chunk),
}
