//! The clients: one thread, edge-triggered epoll, one message under way on each connection.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// Clients of one server.
pub(crate) struct Load {
    server: SocketAddr,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    events: Vec<Event>,
    message: Message,
    /// What an answer is received into.
    answer: Vec<u8>,
    /// Whether every byte of an answer is looked at, or only its ends.
    checks_all: bool,
    after: After,
    pub(crate) done: u64,
    /// Nanoseconds from the beginning of an operation to its end.
    pub(crate) latencies: Histogram<u64>,
}

/// What a connection does when it has had its echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing.
    Rest,
    /// The next message.
    Again,
    /// It ends, and another one takes its place.
    Reconnect,
}

struct Connection {
    socket: OwnedFd,
    began: Instant,
    stamp: u64,
    sent: usize,
    received: usize,
}

impl Load {
    /// Makes clients that send messages of `bytes` bytes. None is connected yet.
    pub(crate) fn new(server: SocketAddr, bytes: usize) -> io::Result<Self> {
        // Up to a minute, within a hundredth.
        let latencies =
            Histogram::new_with_bounds(1, 60_000_000_000, 2).map_err(io::Error::other)?;
        Ok(Self {
            server,
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            connections: Vec::new(),
            events: Vec::with_capacity(256),
            message: Message::new(bytes),
            answer: vec![0; bytes],
            checks_all: true,
            after: After::Rest,
            done: 0,
            latencies,
        })
    }

    /// Connects `count` clients, a few at a time, and lets each have an echo.
    pub(crate) fn connect(&mut self, count: usize) -> io::Result<()> {
        /// As many as fit into every server's queue of connections to accept.
        const AT_ONCE: usize = 64;
        self.after = After::Rest;
        self.checks_all = true;
        while self.connections.len() < count {
            let more = AT_ONCE.min(count - self.connections.len());
            let end = self.done + more as u64;
            for _ in 0..more {
                let connection = self.open(self.connections.len())?;
                self.connections.push(connection);
            }
            while self.done < end {
                self.turn()?;
            }
        }
        Ok(())
    }

    /// Has all clients that rest begin. `after` says how they go on.
    pub(crate) fn begin(&mut self, after: After) -> io::Result<()> {
        self.after = after;
        for index in 0..self.connections.len() {
            self.go_on(index, Instant::now())?;
        }
        Ok(())
    }

    /// Keeps the clients busy for so long, and looks at every byte.
    pub(crate) fn warm_up(&mut self, time: Duration) -> io::Result<()> {
        self.checks_all = true;
        self.run(time)
    }

    /// Keeps the clients busy for so long, from empty counts.
    pub(crate) fn measure(&mut self, time: Duration) -> io::Result<()> {
        self.done = 0;
        self.latencies.reset();
        self.checks_all = false;
        self.run(time)
    }

    fn run(&mut self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }

    /// Waits until something happens, and acts on it.
    fn turn(&mut self) -> io::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&PATIENCE))?;
        if events.is_empty() {
            return Err(io::Error::other("no client has had an answer for seconds"));
        }
        for event in events.drain(..) {
            let index = usize::try_from(event.data.u64()).expect("tokens are indices");
            self.advance(index, event.flags)?;
        }
        self.events = events;
        Ok(())
    }

    fn advance(&mut self, index: usize, flags: EventFlags) -> io::Result<()> {
        if flags.contains(EventFlags::OUT) {
            self.send(index)?;
        }
        if flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP)
            && self.receive(index)?
        {
            let now = Instant::now();
            let latency = now - self.connections[index].began;
            self.done += 1;
            self.latencies
                .saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
            self.go_on(index, now)?;
        }
        Ok(())
    }

    fn go_on(&mut self, index: usize, now: Instant) -> io::Result<()> {
        match self.after {
            After::Rest => Ok(()),
            After::Again => {
                let stamp = self.message.next_stamp();
                let connection = &mut self.connections[index];
                connection.began = now;
                connection.stamp = stamp;
                connection.sent = 0;
                connection.received = 0;
                self.send(index)
            }
            After::Reconnect => {
                self.connections[index] = self.open(index)?;
                self.send(index)
            }
        }
    }

    /// Begins a connection. Closing it resets it, so that nothing of it is left behind.
    fn open(&mut self, index: usize) -> io::Result<Connection> {
        let began = Instant::now();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        match rustix::net::connect(&socket, &self.server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(
            &self.epoll,
            &socket,
            EventData::new_u64(index as u64),
            flags,
        )?;
        Ok(Connection {
            socket,
            began,
            stamp: self.message.next_stamp(),
            sent: 0,
            received: 0,
        })
    }

    /// Sends what the socket has room for.
    fn send(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let bytes = self.message.stamped(connection.stamp);
        if connection.sent == bytes.len() {
            return Ok(());
        }
        let unsent = &bytes[connection.sent..];
        match rustix::net::send(&connection.socket, unsent, SendFlags::NOSIGNAL) {
            Ok(count) => connection.sent += count,
            Err(Errno::AGAIN | Errno::NOTCONN) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Receives what has arrived. Returns `true` if the answer is complete.
    fn receive(&mut self, index: usize) -> io::Result<bool> {
        let connection = &mut self.connections[index];
        let start = connection.received;
        let room = &mut self.answer[start..];
        if room.is_empty() {
            return Err(io::Error::other("a client had more than an echo"));
        }
        let count = match rustix::net::recv(&connection.socket, room, RecvFlags::empty()) {
            Ok((0, _)) => return Err(io::Error::other("a server closed a connection")),
            Ok((count, _)) => count,
            Err(Errno::AGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let end = start + count;
        let expected = self.message.stamped(connection.stamp);
        let is_echo = if self.checks_all {
            self.answer[start..end] == expected[start..end]
        } else {
            let tail = expected.len() - STAMP_BYTES;
            let head = start.min(STAMP_BYTES)..end.min(STAMP_BYTES);
            let tail = start.max(tail)..end.max(tail);
            self.answer[head.clone()] == expected[head]
                && self.answer[tail.clone()] == expected[tail]
        };
        if !is_echo {
            return Err(io::Error::other("an answer is not what was sent"));
        }
        connection.received = end;
        Ok(end == expected.len())
    }
}

/// How long all clients may be without an answer.
const PATIENCE: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};

/// A message: the same bytes, but for a stamp at each end that no other message has.
struct Message {
    bytes: Vec<u8>,
    stamps: u64,
}

const STAMP_BYTES: usize = size_of::<u64>();

impl Message {
    fn new(bytes: usize) -> Self {
        assert!(
            bytes >= 2 * STAMP_BYTES,
            "a message has room for its stamps"
        );
        Self {
            // The length of the pattern is prime, so that a piece which is missing or twice there shows.
            bytes: (0..251).cycle().take(bytes).collect(),
            stamps: 0,
        }
    }

    fn next_stamp(&mut self) -> u64 {
        self.stamps += 1;
        self.stamps
    }

    fn stamped(&mut self, stamp: u64) -> &[u8] {
        let stamp = stamp.to_le_bytes();
        let tail = self.bytes.len() - STAMP_BYTES;
        self.bytes[..STAMP_BYTES].copy_from_slice(&stamp);
        self.bytes[tail..].copy_from_slice(&stamp);
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Connects three clients to a server that changes each message by `spoil` before it sends it back.
    fn connect(spoil: fn(&mut Vec<u8>)) -> io::Result<u64> {
        const BYTES: usize = 100_000;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut load = Load::new(listener.local_addr().unwrap(), BYTES).unwrap();
        let server = thread::spawn(move || {
            let streams = [(); 3].map(|()| listener.accept().unwrap().0);
            for mut stream in &streams {
                let mut message = vec![0; BYTES];
                let has_read = stream.read_exact(&mut message);
                spoil(&mut message);
                if has_read.and_then(|()| stream.write_all(&message)).is_err() {
                    // The clients have given up.
                    return;
                }
            }
        });
        let result = load.connect(3);
        let done = load.done;
        drop(load);
        server.join().unwrap();
        result.map(|()| done)
    }

    #[test]
    fn echoes_are_counted() {
        assert_eq!(connect(|_| {}).unwrap(), 3);
    }

    #[test]
    fn a_changed_byte_is_an_error() {
        let error = connect(|message| message[50_000] ^= 1).unwrap_err();
        assert_eq!(error.to_string(), "an answer is not what was sent");
    }

    #[test]
    fn the_message_before_is_an_error() {
        let error = connect(|message| message[0] ^= 1).unwrap_err();
        assert_eq!(error.to_string(), "an answer is not what was sent");
    }

    #[test]
    fn an_answer_that_is_cut_short_is_an_error() {
        let error = connect(|message| message.truncate(99_999)).unwrap_err();
        assert_eq!(error.to_string(), "a server closed a connection");
    }
}
