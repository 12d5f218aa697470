//! The way from one end to another: the one place where a message is on its way.
//!
//! It arrives at once, in the order in which it was sent, and whole. A network that is slow, loses messages, or falls apart
//! for a while is made here.

use rustix::io::Errno;

use super::datagrams::Datagram;
use super::stream::State;
use super::{End, Network};
use crate::sys::op::Interest;
use crate::sys::slots::Key;

/// What one end has for another.
#[derive(Debug)]
pub(super) enum Parcel<'a> {
    /// Bytes of a stream, for which there is room.
    Bytes(&'a [u8]),
    /// No more bytes will come.
    End,
    /// No more bytes will come, and nobody is there for any.
    Gone,
    /// The connection is broken off.
    Reset,
    Datagram(Datagram),
}

impl Network {
    pub(super) fn deliver(&mut self, to: Key, parcel: Parcel<'_>) {
        match (self.ends.get_mut(to), parcel) {
            (Some(End::Stream(stream)), Parcel::Bytes(bytes)) => {
                stream.inbox.extend(bytes);
                self.change(to, Interest::Read);
            }
            (Some(End::Stream(stream)), Parcel::End) => {
                stream.is_ended = true;
                self.change(to, Interest::Read);
            }
            (Some(End::Stream(stream)), Parcel::Gone) => {
                stream.is_ended = true;
                stream.state = State::Alone;
                self.change_both(to);
            }
            (Some(End::Stream(stream)), Parcel::Reset) => {
                // Linux does not tell it a TCP stream that knew of its end.
                if stream.is_unix || !stream.is_ended {
                    stream.error = Some(Errno::CONNRESET);
                }
                stream.state = State::Dead;
                self.change_both(to);
            }
            (Some(End::Datagrams(datagrams)), Parcel::Datagram(datagram))
                if !datagrams.is_full() =>
            {
                datagrams.push(datagram);
                self.change(to, Interest::Read);
            }
            // A datagram that there is no room for is lost, and nobody is told. Or the end went while the message was on its
            // way.
            _ => {}
        }
    }
}
