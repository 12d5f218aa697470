//! No runtime: edge-triggered epoll, one buffer for all connections, two system calls for a message.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};

use super::{ANY_PORT, announce, told};

pub(super) fn serve(buffer_bytes: usize) -> Result<Infallible, String> {
    run(buffer_bytes).map_err(told)
}

fn run(buffer_bytes: usize) -> io::Result<Infallible> {
    let listener = TcpListener::bind(ANY_PORT)?;
    // Again, with a longer queue than the library's.
    rustix::net::listen(&listener, 1024)?;
    listener.set_nonblocking(true)?;
    // What it accepts inherits it.
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    announce(listener.local_addr()?)?;

    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let listening = EventData::new_u64(LISTENER);
    epoll::add(
        &epoll,
        &listener,
        listening,
        EventFlags::IN | EventFlags::ET,
    )?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free = Vec::new();
    // A byte more, so that a message as long as the buffers of others is seen to be all there is.
    let mut buffer = vec![0; buffer_bytes + 1];
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            // A tracer has looked at us.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            let token = event.data.u64();
            if token == LISTENER {
                accept_all(&listener, &epoll, &mut connections, &mut free)?;
                continue;
            }
            let index = usize::try_from(token).expect("tokens are indices");
            let Some(connection) = &mut connections[index] else {
                continue;
            };
            if connection.advance(&mut buffer, event.flags).is_none() {
                connections[index] = None;
                free.push(index);
            }
        }
    }
}

const LISTENER: u64 = u64::MAX;

fn accept_all(
    listener: &TcpListener,
    epoll: &OwnedFd,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) -> io::Result<()> {
    loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = match rustix::net::accept_with(listener, flags) {
            Ok(socket) => socket,
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::CONNABORTED) => continue,
            Err(error) => return Err(error.into()),
        };
        let index = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(epoll, &socket, EventData::new_u64(index as u64), flags)?;
        connections[index] = Some(Connection {
            socket,
            unsent: VecDeque::new(),
        });
    }
}

struct Connection {
    socket: OwnedFd,
    /// What the socket had no room for. Nothing is read until it is sent.
    unsent: VecDeque<u8>,
}

impl Connection {
    /// Goes on as far as the socket lets it. Returns `None` at the end of the connection.
    fn advance(&mut self, buffer: &mut [u8], flags: EventFlags) -> Option<()> {
        while !self.unsent.is_empty() {
            let (bytes, _) = self.unsent.as_slices();
            match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(Errno::AGAIN) => return Some(()),
                Err(_) => return None,
            }
        }
        let is_ending = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        loop {
            let count = match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return None,
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => return Some(()),
                Err(_) => return None,
            };
            let sent = match rustix::net::send(&self.socket, &buffer[..count], SendFlags::NOSIGNAL)
            {
                Ok(sent) => sent,
                Err(Errno::AGAIN) => 0,
                Err(_) => return None,
            };
            if sent < count {
                self.unsent.extend(&buffer[sent..count]);
                return Some(());
            }
            // The socket was emptied: what comes now is another edge.
            if count < buffer.len() && !is_ending {
                return Some(());
            }
        }
    }
}
