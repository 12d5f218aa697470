//! What is particular to the simulation. What it has in common with the other drivers is in their tests.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;

use super::Simulator;
use crate::sys::op::{Address, Completion, Interest, Op, Output, Token};
use crate::sys::open::{Open, Pair};
use crate::sys::{Driver, Room, Socket};

const LOCALHOST: &str = "127.0.0.1:0";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn pair(simulator: &mut Simulator) -> (Rc<Socket>, Rc<Socket>) {
    let (left, right) = simulator.open_pair(Pair::Stream).unwrap();
    (Rc::new(left), Rc::new(right))
}

fn listener(simulator: &mut Simulator, address: &str) -> (Rc<Socket>, SocketAddr) {
    let what = Open::TcpListener {
        is_shared: false,
        address: at(address),
        backlog: 0,
    };
    let socket = Rc::new(simulator.open(&what).unwrap());
    let Ok(Address::Ip(address)) = socket.local_address() else {
        panic!("it is of the internet")
    };
    (socket, address)
}

fn connect(simulator: &mut Simulator, token: u64, address: SocketAddr) -> Rc<Socket> {
    let socket = Rc::new(simulator.open(&Open::TcpStream(address)).unwrap());
    let op = Op::Connect {
        socket: Rc::clone(&socket),
        address: Address::Ip(address),
    };
    simulator.submit(Token(token), op);
    socket
}

fn poll_read(simulator: &mut Simulator, token: u64, socket: &Rc<Socket>) {
    let op = Op::Poll {
        socket: Rc::clone(socket),
        interest: Interest::Read,
    };
    simulator.submit(Token(token), op);
}

fn accept(simulator: &mut Simulator, token: u64, socket: &Rc<Socket>) {
    let socket = Rc::clone(socket);
    simulator.submit(Token(token), Op::Accept { socket });
}

fn send(simulator: &mut Simulator, socket: &Rc<Socket>, bytes: &[u8]) -> io::Result<usize> {
    match simulator.try_send(socket, &[IoSlice::new(bytes)]) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Errno::AGAIN.into()),
    }
}

fn recv(simulator: &mut Simulator, socket: &Rc<Socket>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1 << 16);
    match simulator.try_recv(socket, Room::Spare(&mut bytes)) {
        Poll::Ready(result) => result.map(|_| bytes),
        Poll::Pending => Err(Errno::AGAIN.into()),
    }
}

/// What is done by now.
fn done(simulator: &mut Simulator) -> Vec<Completion> {
    let mut done = Vec::new();
    simulator.wait(Some(simulator.now()), &mut done);
    done
}

fn tokens(done: &[Completion]) -> Vec<u64> {
    done.iter().map(|completion| completion.token.0).collect()
}

fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> Errno {
    Errno::from_io_error(&result.unwrap_err()).unwrap()
}

#[test]
fn an_hour_passes_at_once() {
    let mut simulator = Simulator::new();
    let before = simulator.now();
    let until = before + Duration::from_secs(3600);
    simulator.wait(Some(until), &mut Vec::new());
    assert_eq!(simulator.now(), until);
    simulator.wait(Some(before), &mut Vec::new());
    assert_eq!(simulator.now(), until, "it never goes back");
}

#[test]
fn no_time_passes_while_something_is_done() {
    let mut simulator = Simulator::new();
    let before = simulator.now();
    let (left, right) = pair(&mut simulator);
    poll_read(&mut simulator, 1, &right);
    assert_eq!(send(&mut simulator, &left, b"x").unwrap(), 1);
    let mut done = Vec::new();
    simulator.wait(Some(before + Duration::from_secs(1)), &mut done);
    assert_eq!(tokens(&done), [1]);
    assert_eq!(simulator.now(), before);
}

/// With a seed the order of reports is drawn: the same for the same one, and sooner or later each that there is.
#[test]
fn a_seed_draws_the_order_of_reports() {
    let order = |seed: Option<u64>| {
        let mut simulator = Simulator::new();
        if let Some(seed) = seed {
            simulator.set_seed(seed);
        }
        let mut streams = Vec::new();
        for token in 0..3 {
            let (left, right) = pair(&mut simulator);
            poll_read(&mut simulator, token, &right);
            streams.push((left, right));
        }
        for (left, _) in streams.iter().rev() {
            send(&mut simulator, left, b"x").unwrap();
        }
        tokens(&done(&mut simulator))
    };
    assert_eq!(order(None), [0, 1, 2], "as they were submitted");
    let mut drawn = Vec::new();
    for seed in 0..100 {
        let tokens = order(Some(seed));
        assert_eq!(tokens, order(Some(seed)));
        if !drawn.contains(&tokens) {
            drawn.push(tokens);
        }
    }
    assert_eq!(drawn.len(), 6);
}

/// One more than was asked for is connected, and the next waits until one is accepted, or is refused with the listener.
#[test]
fn a_connect_waits_for_room() {
    let mut simulator = Simulator::new();
    let (listener, address) = listener(&mut simulator, LOCALHOST);
    let _first = connect(&mut simulator, 1, address);
    let _second = connect(&mut simulator, 2, address);
    let _third = connect(&mut simulator, 3, address);
    assert_eq!(tokens(&done(&mut simulator)), [1]);
    accept(&mut simulator, 4, &listener);
    simulator.cancel(Token(3));
    let mut all = done(&mut simulator);
    // All that there is room for is accepted in one wait.
    assert_eq!(tokens(&all), [2, 3, 4, 4]);
    assert!(matches!(all.pop().unwrap().result, Ok(Output::Accepted(_))));
    drop(all);
    simulator.cancel(Token(4));
    assert_eq!(tokens(&done(&mut simulator)), [4]);

    let _fourth = connect(&mut simulator, 5, address);
    let _fifth = connect(&mut simulator, 6, address);
    assert_eq!(tokens(&done(&mut simulator)), [5]);
    drop(listener);
    let refused = done(&mut simulator).pop().unwrap();
    assert_eq!(errno(refused.result), Errno::CONNREFUSED);
}

#[test]
fn a_closed_stream_is_read_to_its_end() {
    let mut simulator = Simulator::new();
    let (left, right) = pair(&mut simulator);
    send(&mut simulator, &left, b"bye").unwrap();
    drop(left);
    assert_eq!(recv(&mut simulator, &right).unwrap(), b"bye");
    assert_eq!(recv(&mut simulator, &right).unwrap(), b"");
    assert_eq!(errno(send(&mut simulator, &right, b"?")), Errno::PIPE);
    let (left, right) = pair(&mut simulator);
    send(&mut simulator, &left, b"unread").unwrap();
    drop(right);
    assert_eq!(
        errno(recv(&mut simulator, &left)),
        Errno::CONNRESET,
        "bytes were thrown away"
    );
}

#[test]
fn a_tcp_peer_that_has_gone_is_noticed_by_the_second_send() {
    let mut simulator = Simulator::new();
    let (listener, address) = listener(&mut simulator, LOCALHOST);
    let client = connect(&mut simulator, 1, address);
    accept(&mut simulator, 2, &listener);
    drop(done(&mut simulator));
    assert_eq!(send(&mut simulator, &client, b"lost").unwrap(), 4);
    assert_eq!(errno(send(&mut simulator, &client, b"?")), Errno::PIPE);
    assert_eq!(errno(client.peer_address()), Errno::NOTCONN);
    assert_eq!(simulator.open_sockets(), 2);
    drop((client, listener));
    drop(done(&mut simulator));
    assert_eq!(simulator.open_sockets(), 1, "the accept has the listener");
    simulator.cancel(Token(2));
    drop(done(&mut simulator));
    assert_eq!(simulator.open_sockets(), 0);
}

#[test]
fn a_listener_for_all_addresses_says_which_one_it_was() {
    let mut simulator = Simulator::new();
    let (listener, address) = listener(&mut simulator, "[::]:80");
    assert_eq!(address, at("[::]:80"));
    accept(&mut simulator, 1, &listener);
    let client = connect(&mut simulator, 2, at("10.0.0.7:80"));
    let mut done = done(&mut simulator);
    assert_eq!(tokens(&done), [1, 2]);
    let Ok(Output::Accepted(accepted)) = done.remove(0).result else {
        panic!("it is no connection")
    };
    let text = |address: io::Result<Address>| match address {
        Ok(Address::Ip(address)) => address.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(text(accepted.local_address()), "[::ffff:10.0.0.7]:80");
    assert_eq!(text(client.peer_address()), "10.0.0.7:80");
    let client = text(client.local_address());
    assert!(client.starts_with("10.0.0.7:"), "{client}");
}

/// Which call fails is said by its number, and each fails in its way.
#[test]
fn a_call_fails_when_it_is_told_to() {
    let mut simulator = Simulator::new();
    let (listener, address) = listener(&mut simulator, LOCALHOST);
    let next_fails = |simulator: &mut Simulator| {
        let calls = simulator.calls();
        simulator.fail_call(Some(calls));
    };
    next_fails(&mut simulator);
    let _socket = connect(&mut simulator, 1, address);
    let mut all = done(&mut simulator);
    assert_eq!(
        errno(all.remove(0).result),
        Errno::CONNREFUSED,
        "told by the wait"
    );
    next_fails(&mut simulator);
    accept(&mut simulator, 2, &listener);
    let mut all = done(&mut simulator);
    assert!(all[0].op.is_some(), "it is over");
    assert_eq!(errno(all.remove(0).result), Errno::MFILE);

    let (left, right) = pair(&mut simulator);
    send(&mut simulator, &right, b"unread").unwrap();
    next_fails(&mut simulator);
    assert_eq!(errno(send(&mut simulator, &left, b"x")), Errno::CONNRESET);
    assert_eq!(errno(send(&mut simulator, &left, b"x")), Errno::PIPE);
    assert_eq!(recv(&mut simulator, &left).unwrap(), b"");
    assert_eq!(errno(recv(&mut simulator, &right)), Errno::CONNRESET);
    simulator.fail_call(None);

    let udp = Rc::new(simulator.open(&Open::Udp(at(LOCALHOST))).unwrap());
    next_fails(&mut simulator);
    let op = Op::SendTo {
        socket: udp,
        buffer: b"x".to_vec(),
        address: Address::Ip(address),
    };
    simulator.submit(Token(3), op);
    let mut all = done(&mut simulator);
    assert_eq!(errno(all.remove(0).result), Errno::NETUNREACH);
}

#[test]
fn who_waits_for_nothing_is_stuck() {
    let mut simulator = Simulator::new();
    simulator.stop_when_stuck(true);
    let (left, right) = pair(&mut simulator);
    poll_read(&mut simulator, 1, &right);
    let mut done = Vec::new();
    simulator.wait(None, &mut done);
    assert!(simulator.is_stuck() && done.is_empty());
    send(&mut simulator, &left, b"x").unwrap();
    simulator.wait(None, &mut done);
    assert!(!simulator.is_stuck());
    assert_eq!(tokens(&done), [1]);
    simulator.kick().kick();
    simulator.wait(None, &mut done);
    assert!(!simulator.is_stuck(), "somebody has rung");
}

#[test]
fn datagrams_that_find_no_room_are_lost() {
    let mut simulator = Simulator::new();
    let udp = Rc::new(simulator.open(&Open::Udp(at(LOCALHOST))).unwrap());
    let address = udp.local_address().unwrap();
    for token in 0..1000 {
        let op = Op::SendTo {
            socket: Rc::clone(&udp),
            buffer: vec![7; 1000],
            address: address.clone(),
        };
        simulator.submit(Token(token), op);
    }
    assert!(done(&mut simulator).iter().all(|done| done.result.is_ok()));
    let mut received = 0;
    loop {
        let op = Op::RecvFrom {
            socket: Rc::clone(&udp),
            buffer: Vec::with_capacity(1000),
            address: None,
            peek: false,
        };
        simulator.submit(Token(1000), op);
        if done(&mut simulator).is_empty() {
            break;
        }
        received += 1;
    }
    assert!((100..200).contains(&received), "{received}");
}

#[test]
fn nobody_else_has_a_name() {
    let mut simulator = Simulator::new();
    let addresses = simulator.resolve("localhost", 80).unwrap().unwrap();
    assert_eq!(addresses, [at("127.0.0.1:80"), at("[::1]:80")]);
    let addresses = simulator.resolve("10.0.0.1", 80).unwrap().unwrap();
    assert_eq!(addresses, [at("10.0.0.1:80")]);
    let error = simulator.resolve("example.org", 80).unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

/// Neither world has to do with the other's sockets, and those of two simulations not with each other.
#[test]
fn what_is_of_another_world_is_not_supported() {
    let mut simulator = Simulator::new();
    let (ours, _peer) = pair(&mut simulator);
    let mut another = Simulator::new();
    poll_read(&mut another, 1, &ours);
    let result = done(&mut another).remove(0).result;
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::Unsupported);
    let error = recv(&mut another, &ours).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert_eq!(another.in_flight(), 0);
}
