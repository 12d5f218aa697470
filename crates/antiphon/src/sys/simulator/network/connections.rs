//! Streams: how they begin, what they carry, how they end.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::task::Poll;

use rustix::io::{Errno, Result};

use super::listener::Listener;
use super::names::Protocol;
use super::stream::{State, Stream};
use super::{End, Network, Parcel, destination, seen_from};
use crate::sys::direct::{Received, Room};
use crate::sys::op::{Address, Interest};
use crate::sys::slots::Key;

impl Network {
    /// Begins to connect a stream. If there is no room in the listener's queue, it waits: see
    /// [`connected`](Self::connected).
    ///
    /// # Errors
    /// `ECONNREFUSED` if nobody listens there; of Unix sockets also `ENOENT`, and `EAGAIN` if there is no room.
    pub(in crate::sys) fn connect_stream(
        &mut self,
        key: Key,
        address: &Address,
    ) -> Poll<Result<()>> {
        let Some(End::Stream(stream)) = self.ends.get(key) else {
            return Poll::Ready(Err(Errno::ISCONN));
        };
        match stream.state {
            State::Idle => {}
            State::Connecting(_) => return Poll::Ready(Err(Errno::ALREADY)),
            State::Connected(_) | State::Alone | State::Dead => {
                return Poll::Ready(Err(Errno::ISCONN));
            }
        }
        let is_unix = stream.is_unix;
        let at = self.find_listener(&stream.local, address)?;
        let Some(End::Listener(listener)) = self.ends.get(at) else {
            return Poll::Ready(Err(Errno::PROTOTYPE));
        };
        let is_full = listener.is_full();
        if is_full && is_unix {
            return Poll::Ready(Err(Errno::AGAIN));
        }
        self.prepare(key, address)?;
        if !is_full {
            self.establish(at, key);
            return Poll::Ready(Ok(()));
        }
        self.stream(key).state = State::Connecting(at);
        if let Some(End::Listener(listener)) = self.ends.get_mut(at) {
            listener.waiting.push_back(key);
        }
        Poll::Pending
    }

    /// Asks what came of a connect that had to wait.
    pub(in crate::sys) fn connected(&mut self, key: Key) -> Poll<Result<()>> {
        let stream = self.stream(key);
        match stream.state {
            State::Connecting(_) => Poll::Pending,
            State::Idle => Poll::Ready(Err(stream.error.take().unwrap_or(Errno::CONNREFUSED))),
            State::Connected(_) | State::Alone | State::Dead => Poll::Ready(Ok(())),
        }
    }

    /// Ends a connect that waits.
    pub(in crate::sys) fn give_up_connect(&mut self, key: Key) {
        let Some(End::Stream(stream)) = self.ends.get_mut(key) else {
            return;
        };
        if let State::Connecting(at) = stream.state {
            stream.state = State::Idle;
            self.leave_queue(at, key);
        }
    }

    /// Takes a connection.
    pub(in crate::sys) fn accept(&mut self, key: Key) -> Poll<Result<Key>> {
        let listener = match self.ends.get_mut(key) {
            Some(End::Listener(listener)) => listener,
            Some(End::Datagrams(_)) => return Poll::Ready(Err(Errno::OPNOTSUPP)),
            _ => return Poll::Ready(Err(Errno::INVAL)),
        };
        let Some(accepted) = listener.ready.pop_front() else {
            return Poll::Pending;
        };
        if let Some(next) = listener.waiting.pop_front() {
            self.establish(key, next);
        }
        Poll::Ready(Ok(accepted))
    }

    /// Receives bytes. With `peek` they stay.
    pub(in crate::sys) fn receive(
        &mut self,
        key: Key,
        room: Room<'_>,
        peek: bool,
    ) -> Poll<Result<Received>> {
        let stream = match self.ends.get_mut(key) {
            Some(End::Stream(stream)) => stream,
            Some(End::Listener(listener)) if listener.is_unix => {
                return Poll::Ready(Err(Errno::INVAL));
            }
            _ => return Poll::Ready(Err(Errno::NOTCONN)),
        };
        let result = stream.receive(room, peek);
        let is_drained = !stream.is_readable();
        if let (Poll::Ready(Ok(1..)), false, State::Connected(peer)) = (&result, peek, stream.state)
        {
            self.change(peer, Interest::Write);
        }
        result.map_ok(|count| Received {
            count,
            is_drained: is_drained && count > 0,
        })
    }

    /// Sends what the other end has room for.
    pub(in crate::sys) fn transmit(
        &mut self,
        key: Key,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let stream = match self.ends.get_mut(key) {
            Some(End::Stream(stream)) => stream,
            Some(End::Listener(listener)) if !listener.is_unix => {
                return Poll::Ready(Err(Errno::PIPE));
            }
            _ => return Poll::Ready(Err(Errno::NOTCONN)),
        };
        let len = bufs.iter().map(|buf| buf.len()).sum();
        match stream.state {
            _ if stream.is_shut => Poll::Ready(Err(stream.broken())),
            State::Idle if stream.is_unix => Poll::Ready(Err(Errno::NOTCONN)),
            State::Connecting(_) => Poll::Pending,
            State::Connected(peer) => self.transmit_to(peer, bufs, len),
            // The bytes are on their way before the peer can say that it has gone; it says so then.
            State::Alone if !stream.is_unix => {
                stream.state = State::Dead;
                self.change_both(key);
                Poll::Ready(Ok(len))
            }
            State::Idle | State::Alone | State::Dead => Poll::Ready(Err(stream.broken())),
        }
    }

    fn transmit_to(&mut self, peer: Key, bufs: &[IoSlice<'_>], len: usize) -> Poll<Result<usize>> {
        let room = self.room(peer);
        if room == 0 && len > 0 {
            return Poll::Pending;
        }
        let mut left = room;
        for buf in bufs {
            let count = buf.len().min(left);
            left -= count;
            if count > 0 {
                self.deliver(peer, Parcel::Bytes(&buf[..count]));
            }
        }
        Poll::Ready(Ok(room - left))
    }

    /// Says that no more bytes will come.
    ///
    /// # Errors
    /// `ENOTCONN` if there is nobody to be told.
    pub(in crate::sys) fn shutdown_write(&mut self, key: Key) -> Result<()> {
        let Some(End::Stream(stream)) = self.ends.get_mut(key) else {
            return Err(Errno::NOTCONN);
        };
        let is_closed = !stream.is_unix && stream.is_closed();
        if is_closed || matches!(stream.state, State::Idle | State::Connecting(_)) {
            return Err(Errno::NOTCONN);
        }
        let (state, was_shut) = (stream.state, std::mem::replace(&mut stream.is_shut, true));
        if let (State::Connected(peer), false) = (state, was_shut) {
            self.deliver(peer, Parcel::End);
        }
        self.change(key, Interest::Write);
        Ok(())
    }

    /// Breaks a connection off: nothing that this end has not received arrives, and the other end is told.
    pub(in crate::sys) fn break_off(&mut self, key: Key) {
        let Some(End::Stream(stream)) = self.ends.get_mut(key) else {
            return;
        };
        let State::Connected(peer) = stream.state else {
            return;
        };
        stream.state = State::Dead;
        stream.inbox.clear();
        stream.error = None;
        self.change_both(key);
        self.deliver(peer, Parcel::Reset);
    }

    /// How many bytes a stream has room for.
    pub(super) fn room(&self, key: Key) -> usize {
        match self.ends.get(key) {
            Some(End::Stream(stream)) => stream.room(),
            _ => 0,
        }
    }

    /// Connects two streams.
    pub(super) fn join(&mut self, one: Key, other: Key) {
        for (end, peer) in [(one, other), (other, one)] {
            let address = self.local_address(peer);
            let stream = self.stream(end);
            stream.state = State::Connected(peer);
            stream.remote.get_or_insert(address);
        }
    }

    pub(super) fn close_stream(&mut self, key: Key, stream: &Stream, is_abrupt: bool) {
        if let Some(port) = stream.lent_port {
            self.names.take_port_back(port);
        }
        match stream.state {
            State::Connecting(at) => self.leave_queue(at, key),
            State::Connected(peer) => {
                let is_unread = !stream.inbox.is_empty();
                let is_reset = is_unread || (is_abrupt && !stream.is_unix);
                self.deliver(
                    peer,
                    if is_reset {
                        Parcel::Reset
                    } else {
                        Parcel::Gone
                    },
                );
            }
            State::Idle | State::Alone | State::Dead => {}
        }
    }

    /// Those that nobody accepted are broken off, and those that wait are refused.
    pub(super) fn close_listener(&mut self, key: Key, listener: Listener) {
        match &listener.local {
            Address::Ip(address) => self.names.unbind(Protocol::Tcp, *address),
            Address::Unix(address) => self.names.unbind_unix(address, key, false),
        }
        for key in listener.waiting {
            let stream = self.stream(key);
            stream.state = State::Idle;
            stream.error = Some(Errno::CONNREFUSED);
            self.change_both(key);
        }
        for key in listener.ready {
            if let Some(End::Stream(Stream {
                state: State::Connected(peer),
                ..
            })) = self.ends.remove(key)
            {
                self.deliver(peer, Parcel::Reset);
            }
        }
    }

    /// Returns who listens at `address`, for a stream that is at `local`.
    fn find_listener(&self, local: &Address, address: &Address) -> Result<Key> {
        match (local, address) {
            (Address::Ip(local), Address::Ip(address)) => {
                check_family(*local, *address)?;
                let found = self.names.find(Protocol::Tcp, destination(*address));
                found.ok_or(Errno::CONNREFUSED)
            }
            (Address::Unix(_), Address::Unix(address)) => self.names.find_unix(address),
            _ => Err(Errno::AFNOSUPPORT),
        }
    }

    /// Gives a stream that is to be connected to `address` its own.
    fn prepare(&mut self, key: Key, address: &Address) -> Result<()> {
        let port = match self.stream(key).lent_port {
            Some(port) => port,
            None if matches!(address, Address::Ip(_)) => self.names.lend_port()?,
            None => 0,
        };
        let stream = self.stream(key);
        if let Address::Ip(address) = address {
            let address = destination(*address);
            stream.lent_port = Some(port);
            stream.local = Address::Ip(SocketAddr::new(address.ip(), port));
            stream.remote = Some(Address::Ip(address));
        } else {
            stream.remote = Some(address.clone());
        }
        Ok(())
    }

    /// Makes the other end of a stream that is prepared, and puts it into the listener's queue.
    fn establish(&mut self, at: Key, key: Key) {
        let Some(End::Listener(listener)) = self.ends.get(at) else {
            return;
        };
        let listens_at = listener.local.clone();
        let client = self.stream(key);
        let (local, remote) = match (&listens_at, &client.local, &client.remote) {
            (Address::Ip(at), Address::Ip(client), Some(Address::Ip(server))) => (
                Address::Ip(seen_from(*at, *server)),
                Address::Ip(seen_from(*at, *client)),
            ),
            (_, client, _) => (listens_at.clone(), client.clone()),
        };
        let mut stream = Stream::new(client.is_unix, local);
        stream.remote = Some(remote);
        let accepted = self.insert(stream);
        self.join(key, accepted);
        if let Some(End::Listener(listener)) = self.ends.get_mut(at) {
            listener.ready.push_back(accepted);
        }
        self.change(at, Interest::Read);
        self.change(key, Interest::Write);
    }

    fn leave_queue(&mut self, at: Key, key: Key) {
        if let Some(End::Listener(listener)) = self.ends.get_mut(at) {
            listener.waiting.retain(|waiting| *waiting != key);
        }
    }

    fn stream(&mut self, key: Key) -> &mut Stream {
        match self.ends.get_mut(key) {
            Some(End::Stream(stream)) => stream,
            _ => unreachable!("whoever waits for a connection, or has one, is a stream"),
        }
    }
}

/// # Errors
/// `EAFNOSUPPORT` if an IPv4 socket is to reach an IPv6 address.
pub(super) fn check_family(local: SocketAddr, address: SocketAddr) -> Result<()> {
    if local.is_ipv4() && address.is_ipv6() {
        return Err(Errno::AFNOSUPPORT);
    }
    Ok(())
}
