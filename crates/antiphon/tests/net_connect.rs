//! Connecting: to nobody, to one of several addresses, by name.

mod net_support;

use std::io::ErrorKind;
use std::net::SocketAddr;

use antiphon::io::Read;
use antiphon::net::{ConnectError, TcpListener, TcpStream, UdpSocket};

use net_support::{for_each_driver, give_up_after, kind_of, silent};

/// Addresses where nobody listens: their ports were the system's choice a moment ago.
async fn dead(ip: &str) -> SocketAddr {
    let listener = TcpListener::bind((ip.parse::<std::net::IpAddr>().unwrap(), 0))
        .await
        .unwrap();
    listener.local_addr().unwrap()
}

fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

#[test]
fn nobody_listens() {
    for_each_driver(async || {
        let address = dead("127.0.0.1").await;
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.raw_os_error().is_some(), "the system's own error");
    });
}

#[test]
fn the_first_address_is_dead() {
    for_each_driver(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = listener.local_addr().unwrap();
        let mut addresses = vec![dead("127.0.0.1").await, alive];
        if has_ipv6() {
            addresses.insert(0, dead("::1").await);
        }
        let stream = TcpStream::connect(&addresses).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive);
        let (mut peer, _) = listener.accept().await.unwrap();
        drop(stream);
        assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
    });
}

/// A listener with a full queue answers nothing, as an address does that leads nowhere.
#[test]
fn the_first_address_is_silent() {
    for_each_driver(async || {
        let (address, _queue) = silent().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = listener.local_addr().unwrap();
        let stream = TcpStream::connect([address, alive]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive);
        // One that is not answered can be given up, too.
        assert!(
            give_up_after(2, TcpStream::connect(address))
                .await
                .is_none()
        );
    });
}

#[test]
fn all_addresses_are_dead() {
    for_each_driver(async || {
        let addresses = [dead("127.0.0.1").await, dead("127.0.0.1").await];
        let error = TcpStream::connect(addresses).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let inner = error
            .get_ref()
            .unwrap()
            .downcast_ref::<ConnectError>()
            .unwrap();
        let failed: Vec<_> = inner
            .failures()
            .iter()
            .map(|(address, _)| *address)
            .collect();
        assert_eq!(failed, addresses);
        let message = error.to_string();
        assert!(
            addresses
                .iter()
                .all(|address| message.contains(&address.to_string())),
            "{message}"
        );
    });
}

#[test]
fn names_are_looked_up() {
    for_each_driver(async || {
        let listener = TcpListener::bind(("localhost", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(address.ip().is_loopback());
        let stream = TcpStream::connect(("localhost", address.port()))
            .await
            .unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        let stream = TcpStream::connect(format!("localhost:{}", address.port()))
            .await
            .unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        // Given up, the lookup ends by itself.
        assert!(
            give_up_after(1, TcpStream::connect("localhost:1"))
                .await
                .is_none()
        );
        let several: Vec<_> = (0..40)
            .map(|_| antiphon::spawn(async || UdpSocket::bind("localhost:0").await))
            .collect();
        for lookup in several {
            assert!(lookup.await.unwrap().is_ok());
        }
    });
}

#[test]
fn nothing_is_named() {
    for_each_driver(async || {
        for nothing in ["", "localhost", "localhost:port", ":1"] {
            assert_eq!(
                kind_of(TcpStream::connect(nothing).await),
                ErrorKind::InvalidInput
            );
        }
        assert_eq!(
            kind_of(TcpStream::connect(&[][..]).await),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            kind_of(TcpListener::bind(Vec::new()).await),
            ErrorKind::InvalidInput
        );
    });
}

#[test]
fn an_address_in_use_is_refused() {
    for_each_driver(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(
            kind_of(TcpListener::bind(address).await),
            ErrorKind::AddrInUse
        );
        let second = TcpListener::bind([address, "127.0.0.1:0".parse().unwrap()])
            .await
            .unwrap();
        assert_ne!(
            second.local_addr().unwrap(),
            address,
            "the next address is tried"
        );
        assert!(give_up_after(1, listener.accept()).await.is_none());
        listener.close().await.unwrap();
        TcpListener::bind(address)
            .await
            .unwrap()
            .close()
            .await
            .unwrap();
    });
}
