//! What an operation can do right now in the network.

use std::cell::RefCell;
use std::io::IoSlice;
use std::rc::Rc;
use std::task::Poll;

use rustix::io::Result;

use super::handle::Handle;
use super::network::Network;
use super::parked::Parked;
use crate::sys::direct::Room;
use crate::sys::op::{Interest, Op, Output};
use crate::sys::socket::Socket;

/// Makes an attempt. `Pending` changes nothing.
pub(super) fn attempt(shared: &Rc<RefCell<Network>>, parked: &mut Parked) -> Poll<Result<Output>> {
    let key = parked.end;
    let is_first = !std::mem::replace(&mut parked.is_begun, true);
    let mut network = shared.borrow_mut();
    match &mut parked.op {
        Op::Accept { .. } => network.accept(key).map_ok(|key| {
            let socket = Socket::of_simulator(Handle::new(shared, key));
            Output::Accepted(Rc::new(socket))
        }),
        Op::Connect { address, .. } => if network.is_datagrams(key) {
            Poll::Ready(network.connect_datagrams(key, address))
        } else if is_first {
            network.connect_stream(key, address)
        } else {
            network.connected(key)
        }
        .map_ok(|()| Output::Count(0)),
        Op::Incoming { .. } => network
            .ready(key, Interest::Read)
            .map_ok(|()| Output::Count(0)),
        Op::Poll { interest, .. } => network.ready(key, *interest).map_ok(|()| Output::Count(0)),
        Op::Send { buffer, .. } if network.is_datagrams(key) => {
            network.mail(key, buffer, None).map_ok(Output::Count)
        }
        Op::Send { buffer, from, .. } => network
            .transmit(key, &[IoSlice::new(&buffer[*from..])])
            .map_ok(Output::Count),
        Op::SendTo {
            buffer, address, ..
        } => network
            .mail(key, buffer, Some(address))
            .map_ok(Output::Count),
        Op::RecvFrom {
            buffer,
            address,
            peek,
            ..
        } if network.is_datagrams(key) => {
            network
                .take_mail(key, buffer, *peek)
                .map_ok(|(count, sender)| {
                    *address = Some(sender);
                    Output::Count(count)
                })
        }
        Op::RecvFrom {
            buffer,
            address,
            peek,
            ..
        } => network
            .receive(key, Room::Spare(buffer), *peek)
            .map_ok(|received| {
                *address = None;
                Output::Count(received.count)
            }),
        Op::File(_) => unreachable!("files are not in the network"),
    }
}
