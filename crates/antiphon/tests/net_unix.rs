//! Unix sockets: streams, datagrams, and what becomes of their paths.

mod net_support;

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use antiphon::io::{Read, Write};
use antiphon::net::{UnixDatagram, UnixListener, UnixStream};
use antiphon::spawn;

use net_support::{for_each_driver, for_each_kernel_driver, is_simulated, kind_of, pattern};

/// A path of its own, whose file is removed at the end.
struct Path(PathBuf);

impl Path {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("antiphon-test-{}-{number}", std::process::id())))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn streams_by_path() {
    for_each_driver(async || {
        let path = Path::new();
        assert_eq!(
            kind_of(UnixStream::connect(&path.0).await),
            ErrorKind::NotFound
        );
        let listener = UnixListener::bind(&path.0).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path.0));
        let client = {
            let path = path.0.clone();
            spawn(async move || {
                let mut stream = UnixStream::connect(&path).await.unwrap();
                assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(&*path));
                stream.write_all(&pattern(1 << 20)).await.unwrap();
            })
        };
        let (mut peer, address) = listener.accept().await.unwrap();
        assert!(address.is_unnamed());
        let mut bytes = Vec::new();
        peer.read_to_end(&mut bytes).await.unwrap();
        assert!(bytes == pattern(1 << 20));
        client.await.unwrap();
        listener.close().await.unwrap();
        assert_eq!(
            kind_of(UnixStream::connect(&path.0).await),
            ErrorKind::ConnectionRefused
        );
        if is_simulated() {
            // There is no file that could be removed, so whoever wants the path has it.
            drop(UnixListener::bind(&path.0).unwrap());
        } else {
            assert_eq!(kind_of(UnixListener::bind(&path.0)), ErrorKind::AddrInUse);
        }
    });
}

#[test]
fn streams_by_abstract_name() {
    for_each_driver(async || {
        let name = format!("antiphon test {}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        assert_eq!(
            listener.local_addr().unwrap().as_abstract_name(),
            Some(name.as_bytes())
        );
        let stream = UnixStream::connect_addr(&address).await.unwrap();
        assert_eq!(
            stream.peer_addr().unwrap().as_abstract_name(),
            Some(name.as_bytes())
        );
        listener.accept().await.unwrap();
        assert_eq!(
            kind_of(listener.with_path_removed()),
            ErrorKind::InvalidInput
        );
    });
}

#[test]
fn a_path_is_removed_only_by_its_owner() {
    // The path is a file.
    for_each_kernel_driver(async || {
        let path = Path::new();
        // It stays, if nobody asks.
        drop(UnixListener::bind(&path.0).unwrap());
        assert!(path.0.exists());
        std::fs::remove_file(&path.0).unwrap();
        // It goes.
        drop(
            UnixListener::bind(&path.0)
                .unwrap()
                .with_path_removed()
                .unwrap(),
        );
        assert!(!path.0.exists());
        // Somebody else has it now.
        let first = UnixListener::bind(&path.0)
            .unwrap()
            .with_path_removed()
            .unwrap();
        std::fs::remove_file(&path.0).unwrap();
        let second = UnixListener::bind(&path.0)
            .unwrap()
            .with_path_removed()
            .unwrap();
        drop(first);
        assert!(path.0.exists());
        // The standard library has it now.
        let second = second.into_std().unwrap();
        assert!(path.0.exists());
        drop(
            UnixListener::from_std(second)
                .unwrap()
                .with_path_removed()
                .unwrap(),
        );
        assert!(!path.0.exists());
    });
}

#[test]
fn datagrams_by_path() {
    for_each_driver(async || {
        let (here, there) = (Path::new(), Path::new());
        let one = UnixDatagram::bind(&here.0).unwrap();
        let other = UnixDatagram::bind(&there.0).unwrap();
        one.send_to(b"psalm", &there.0).await.unwrap();
        let mut buf = [0; 9];
        let (count, sender) = other.peek_from(&mut buf[..3]).await.unwrap();
        assert_eq!(
            (&buf[..count], sender.as_pathname()),
            (&b"psa"[..], Some(&*here.0))
        );
        let (count, sender) = other.recv_from(&mut buf).await.unwrap();
        assert_eq!(
            (&buf[..count], sender.as_pathname()),
            (&b"psalm"[..], Some(&*here.0))
        );

        let nameless = UnixDatagram::unbound().unwrap();
        assert!(nameless.local_addr().unwrap().is_unnamed());
        nameless.connect(&there.0).await.unwrap();
        assert_eq!(nameless.peer_addr().unwrap().as_pathname(), Some(&*there.0));
        nameless.send(b"hymn").await.unwrap();
        let (count, sender) = other.recv_from(&mut buf).await.unwrap();
        assert_eq!((&buf[..count], sender.is_unnamed()), (&b"hymn"[..], true));

        drop(other);
        assert_eq!(
            kind_of(nameless.send(b"?").await),
            ErrorKind::ConnectionRefused
        );
        assert_eq!(
            kind_of(one.send_to(b"?", "/nowhere/at/all").await),
            ErrorKind::NotFound
        );
    });
}

#[test]
fn datagrams_in_pairs() {
    for_each_driver(async || {
        let (left, right) = UnixDatagram::pair().unwrap();
        let sender = spawn(async move || {
            for len in 0..1000 {
                left.send(&pattern(len)).await.unwrap();
            }
            left.send(&pattern(100_000)).await.unwrap();
        });
        let mut buf = vec![0; 200_000];
        for len in (0..1000).chain([100_000]) {
            let count = right.recv(&mut buf).await.unwrap();
            assert!(
                buf[..count] == pattern(len),
                "{count} bytes instead of {len}"
            );
        }
        sender.await.unwrap();
        if !is_simulated() {
            let right = right.into_std().unwrap();
            UnixDatagram::from_std(right).unwrap();
        }
    });
}
