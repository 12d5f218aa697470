//! The other ends: those of the driver's world, used without it.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::lab::socket;
use crate::sys::simulator::Handle;
use crate::sys::{Address, Driver, Open, Pair, Room, Socket};

/// One end of a connection, in the hands of the test. The kernel's wait; a simulated one can't, as there is nobody else who
/// would do something meanwhile.
pub(super) enum Peer {
    Tcp(TcpStream),
    Unix(UnixStream),
    Simulated(Socket),
}

const LOCALHOST: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(super) fn is_simulator(driver: &mut dyn Driver) -> bool {
    driver.simulator().is_some()
}

pub(super) fn tcp_pair(driver: &mut dyn Driver) -> (Rc<Socket>, Peer) {
    let (listener, address) = tcp_listener(driver, 1);
    let peer = connect_peer(driver, address);
    let ours = match listener.simulated() {
        None => {
            let listener = listener.duplicate().map(std::net::TcpListener::from);
            let ours = listener.unwrap().accept().unwrap().0;
            ours.set_nonblocking(true).unwrap();
            socket(ours)
        }
        Some(handle) => Rc::new(handle.accepted()),
    };
    (ours, peer)
}

pub(super) fn unix_pair(driver: &mut dyn Driver) -> (Rc<Socket>, Peer) {
    let (ours, theirs) = driver.open_pair(Pair::Stream).unwrap();
    let peer = if is_simulator(driver) {
        Peer::Simulated(theirs)
    } else {
        Peer::Unix(theirs.duplicate().unwrap().into())
    };
    (Rc::new(ours), peer)
}

pub(super) fn tcp_listener(driver: &mut dyn Driver, backlog: u16) -> (Rc<Socket>, SocketAddr) {
    let address = LOCALHOST;
    with_address(driver.open(&Open::TcpListener {
        address,
        backlog,
        is_shared: false,
    }))
}

pub(super) fn udp(driver: &mut dyn Driver) -> (Rc<Socket>, SocketAddr) {
    with_address(driver.open(&Open::Udp(LOCALHOST)))
}

pub(super) fn tcp_socket(driver: &mut dyn Driver) -> Rc<Socket> {
    Rc::new(driver.open(&Open::TcpStream(LOCALHOST)).unwrap())
}

pub(super) fn connect_peer(driver: &mut dyn Driver, address: SocketAddr) -> Peer {
    if !is_simulator(driver) {
        return Peer::Tcp(TcpStream::connect(address).unwrap());
    }
    let socket = driver.open(&Open::TcpStream(address)).unwrap();
    let result =
        simulated(&socket).with(|network, key| network.connect_stream(key, &Address::Ip(address)));
    assert_eq!(result, Poll::Ready(Ok(())));
    Peer::Simulated(socket)
}

fn with_address(socket: io::Result<Socket>) -> (Rc<Socket>, SocketAddr) {
    let socket = socket.unwrap();
    match socket.local_address() {
        Ok(Address::Ip(address)) => (Rc::new(socket), address),
        other => panic!("it is elsewhere: {other:?}"),
    }
}

fn simulated(socket: &Socket) -> &Handle {
    socket.simulated().expect("it is of the simulator")
}

/// One that may go to another thread.
pub(super) trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

impl Peer {
    /// Returns the kernel's, which another thread may have.
    pub(super) fn into_kernel(self) -> Box<dyn Duplex> {
        match self {
            Self::Tcp(stream) => Box::new(stream),
            Self::Unix(stream) => Box::new(stream),
            Self::Simulated(_) => panic!("a simulation has one thread"),
        }
    }

    /// Has it fail where it would wait.
    pub(super) fn wait_for_nothing(&self) {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(true).unwrap(),
            Self::Unix(stream) => stream.set_nonblocking(true).unwrap(),
            Self::Simulated(_) => {}
        }
    }

    /// Has it break the connection off when it is dropped.
    pub(super) fn linger_not(&self) {
        let no_time = Some(Duration::ZERO);
        match self {
            Self::Tcp(stream) => rustix::net::sockopt::set_socket_linger(stream, no_time),
            Self::Unix(stream) => rustix::net::sockopt::set_socket_linger(stream, no_time),
            Self::Simulated(socket) => rustix::net::sockopt::set_socket_linger(socket, no_time),
        }
        .unwrap();
    }

    pub(super) fn local_address(&self) -> SocketAddr {
        match self {
            Self::Tcp(stream) => stream.local_addr().unwrap(),
            Self::Unix(_) => panic!("it has none"),
            Self::Simulated(socket) => match socket.local_address() {
                Ok(Address::Ip(address)) => address,
                other => panic!("it is elsewhere: {other:?}"),
            },
        }
    }
}

impl Read for Peer {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let result = match self {
            Self::Tcp(stream) => return stream.read(bytes),
            Self::Unix(stream) => return stream.read(bytes),
            Self::Simulated(socket) => simulated(socket)
                .with(|network, key| network.receive(key, Room::Slice(bytes), false)),
        };
        now(result).map(|received| received.count)
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = match self {
            Self::Tcp(stream) => return stream.write(bytes),
            Self::Unix(stream) => return stream.write(bytes),
            Self::Simulated(socket) => {
                simulated(socket).with(|network, key| network.transmit(key, &[IoSlice::new(bytes)]))
            }
        };
        now(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn now<T>(result: Poll<rustix::io::Result<T>>) -> io::Result<T> {
    match result {
        Poll::Ready(result) => result.map_err(Into::into),
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
