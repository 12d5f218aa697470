//! UDP datagrams.

mod net_support;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use antiphon::net::UdpSocket;
use antiphon::spawn;

use net_support::{for_each_driver, is_simulated, kind_of, pattern};

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

#[test]
fn datagrams_keep_their_bounds() {
    for_each_driver(async || {
        let (one, other) = (socket().await, socket().await);
        let address = other.local_addr().unwrap();
        for len in [1, 0, 1000, 65507] {
            assert_eq!(one.send_to(&pattern(len), address).await.unwrap(), len);
            let mut buf = vec![0; 70_000];
            let (count, sender) = other.recv_from(&mut buf).await.unwrap();
            assert_eq!((count, sender), (len, one.local_addr().unwrap()));
            assert!(buf[..count] == pattern(len));
        }
        let too_long = one.send_to(&pattern(65508), address).await.unwrap_err();
        assert_eq!(
            too_long.raw_os_error(),
            Some(rustix::io::Errno::MSGSIZE.raw_os_error())
        );
    });
}

#[test]
fn what_does_not_fit_is_discarded() {
    for_each_driver(async || {
        let (one, other) = (socket().await, socket().await);
        let address = other.local_addr().unwrap();
        one.send_to(b"longer than that", address).await.unwrap();
        one.send_to(b"next", address).await.unwrap();
        let mut buf = [0; 6];
        assert_eq!(
            other.peek_from(&mut buf[..2]).await.unwrap(),
            (2, one.local_addr().unwrap())
        );
        assert_eq!(other.recv(&mut buf).await.unwrap(), 6);
        assert_eq!(&buf, b"longer");
        assert_eq!(other.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf[..4], b"next");
        one.send_to(b"gone", address).await.unwrap();
        assert_eq!(other.recv(&mut []).await.unwrap(), 0);
        one.send_to(b"here", address).await.unwrap();
        assert_eq!(other.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf[..4], b"here");
    });
}

#[test]
fn a_peer_may_be_set() {
    for_each_driver(async || {
        let (one, other, stranger) = (socket().await, socket().await, socket().await);
        assert_eq!(kind_of(one.peer_addr()), ErrorKind::NotConnected);
        let nobody = one.send(b"to whom?").await.unwrap_err();
        assert_eq!(
            nobody.raw_os_error(),
            Some(rustix::io::Errno::DESTADDRREQ.raw_os_error())
        );

        one.connect(other.local_addr().unwrap()).await.unwrap();
        assert_eq!(one.peer_addr().unwrap(), other.local_addr().unwrap());
        one.send(b"to you").await.unwrap();
        let mut buf = [0; 9];
        assert_eq!(other.recv(&mut buf).await.unwrap(), 6);
        stranger
            .send_to(b"psst", one.local_addr().unwrap())
            .await
            .unwrap();
        other
            .send_to(b"reply", one.local_addr().unwrap())
            .await
            .unwrap();
        assert_eq!(one.recv(&mut buf).await.unwrap(), 5);
        assert_eq!(&buf[..5], b"reply");

        drop(other);
        one.send(b"anybody?").await.unwrap();
        assert_eq!(
            kind_of(one.recv(&mut buf).await),
            ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn many_may_send_and_receive_at_once() {
    for_each_driver(async || {
        let (one, other) = (Rc::new(socket().await), Rc::new(socket().await));
        let address = other.local_addr().unwrap();
        let receivers: Vec<_> = (0..20)
            .map(|_| {
                let other = other.clone();
                spawn(async move || {
                    let mut buf = [0; 2];
                    assert_eq!(other.recv(&mut buf).await.unwrap(), 1);
                    buf[0]
                })
            })
            .collect();
        let senders: Vec<_> = (0..20u8)
            .map(|number| {
                let one = one.clone();
                spawn(async move || one.send_to(&[number], address).await.unwrap())
            })
            .collect();
        for sender in senders {
            sender.await.unwrap();
        }
        let mut numbers = Vec::new();
        for receiver in receivers {
            numbers.push(receiver.await.unwrap());
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    });
}

#[test]
fn options_are_set() {
    for_each_driver(async || {
        let one = socket().await;
        one.set_broadcast(true).unwrap();
        one.set_ttl(3).unwrap();
        one.set_multicast_loop(false).unwrap();
        one.set_multicast_ttl(2).unwrap();
        let no_group = one.join_multicast_v4(Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED);
        assert_eq!(kind_of(no_group), ErrorKind::InvalidInput);
        assert_eq!(
            kind_of(one.leave_multicast_v4(Ipv4Addr::new(224, 0, 0, 251), Ipv4Addr::LOCALHOST)),
            ErrorKind::AddrNotAvailable
        );
        assert!(one.join_multicast_v6(Ipv6Addr::LOCALHOST, 0).is_err());
        let one = if is_simulated() {
            one
        } else {
            UdpSocket::from_std(one.into_std().unwrap()).unwrap()
        };
        assert!(one.local_addr().unwrap().ip().is_loopback());
    });
}

#[test]
fn a_group_receives_on_the_loopback() {
    for_each_driver(async || {
        let group = Ipv4Addr::new(239, 83, 12, 7);
        let member = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        member
            .join_multicast_v4(group, Ipv4Addr::LOCALHOST)
            .unwrap();
        let port = member.local_addr().unwrap().port();
        let sender = socket().await;
        socket2::SockRef::from(&sender)
            .set_multicast_if_v4(&Ipv4Addr::LOCALHOST)
            .unwrap();
        sender
            .send_to(b"to all", (group, port).into())
            .await
            .unwrap();
        let mut buf = [0; 9];
        assert_eq!(
            member.recv_from(&mut buf).await.unwrap(),
            (6, sender.local_addr().unwrap())
        );
        member
            .leave_multicast_v4(group, Ipv4Addr::LOCALHOST)
            .unwrap();
    });
}
