//! Streams: what is written arrives, whatever its size, and the ends are told apart.

mod net_support;

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::time::Duration;

use antiphon::io::{Read, Write};
use antiphon::net::{Keepalive, TcpListener, TcpStream, UnixStream};
use antiphon::{TaskBuilder, join, spawn, tree};

use net_support::{
    for_each_driver, for_each_kernel_driver, give_up_after, kind_of, pattern, tcp_pair,
    until_someone_waits_for,
};

#[test]
fn an_echo_comes_back() {
    for_each_driver(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = spawn(async move || {
            let mut incoming = listener.incoming();
            let mut stream = incoming.next().await.unwrap();
            let (mut read, mut write) = stream.split();
            loop {
                let bytes = read.fill(1).await.unwrap();
                if bytes.is_empty() {
                    break;
                }
                write.write_all(bytes).await.unwrap();
                let count = bytes.len();
                read.consume(count);
            }
        });
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        for word in [&b"a"[..], b"bc", b"def"] {
            stream.write_all(word).await.unwrap();
            let mut echo = vec![0; word.len()];
            stream.read_exact(&mut echo).await.unwrap();
            assert_eq!(echo, word);
        }
        drop(stream);
        server.await.unwrap();
    });
}

#[test]
fn a_half_that_is_closed_leaves_the_other_open() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        stream.write_all(b"last words").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(
            kind_of(stream.write_all(b"more").await),
            ErrorKind::BrokenPipe
        );

        let mut words = Vec::new();
        assert_eq!(peer.read_to_end(&mut words).await.unwrap(), 10);
        assert_eq!(words, b"last words");
        assert_eq!(
            peer.read(&mut [0; 8]).await.unwrap(),
            0,
            "the end stays the end"
        );

        peer.write_all(b"an answer").await.unwrap();
        drop(peer);
        let mut answer = String::new();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        answer.push_str(std::str::from_utf8(&bytes).unwrap());
        assert_eq!(answer, "an answer");
        stream.shutdown().await.unwrap();
    });
}

#[test]
fn a_reset_is_an_error_once_and_then_the_end() {
    for_each_driver(async || {
        let (mut stream, peer) = tcp_pair().await;
        peer.set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        assert_eq!(
            kind_of(stream.read(&mut [0; 8]).await),
            ErrorKind::ConnectionReset
        );
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(kind_of(stream.write_all(b"x").await), ErrorKind::BrokenPipe);
        assert_eq!(
            kind_of(stream.peer_addr().map(|_| ())),
            ErrorKind::NotConnected
        );
        stream.shutdown().await.unwrap();
    });
}

#[test]
fn bytes_that_came_before_a_reset_are_read_first() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        peer.write_all(b"before").await.unwrap();
        assert_eq!(stream.fill(6).await.unwrap(), b"before");
        peer.set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        assert_eq!(kind_of(stream.fill(7).await), ErrorKind::ConnectionReset);
        let mut buf = [0; 8];
        assert_eq!(stream.read(&mut buf).await.unwrap(), 6);
        assert_eq!(&buf[..6], b"before");
    });
}

#[test]
fn a_writer_waits_while_the_buffers_are_full() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let bytes = pattern(12 << 20);
        let expected = bytes.clone();
        let writer = TaskBuilder::new().name("writer").spawn(async move || {
            stream.write_all(&bytes).await.unwrap();
            drop(stream);
        });
        until_someone_waits_for("tcp write").await;
        let text = tree().to_string();
        assert!(
            text.contains("`writer`") && text.contains("tests/net_stream.rs"),
            "{text}"
        );

        let mut arrived = Vec::new();
        peer.read_to_end(&mut arrived).await.unwrap();
        assert!(
            arrived == expected,
            "something was lost, doubled or mixed up"
        );
        writer.await.unwrap();
    });
}

/// The reader waited for ever: what had come was told while nobody read, to a socket that was known because of a write.
#[test]
fn what_arrives_between_two_reads_is_read() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        peer.write_all(b"one").await.unwrap();
        let mut bytes = pattern(12 << 20);
        let sent = give_up_after(3, stream.write_all(&bytes)).await;
        assert!(sent.is_none(), "the system doesn't take in that much");
        peer.read_exact(&mut bytes).await.unwrap();
        stream.flush().await.unwrap();

        let mut buf = [0; 16];
        assert_eq!(stream.read(&mut buf).await.unwrap(), 3);
        // Somebody else hears of what came later, so the driver has heard of both.
        let (mut other, mut others_peer) = tcp_pair().await;
        let (heard, sent) = join((
            async || other.read(&mut [0; 1]).await,
            async || {
                peer.write_all(b"two").await?;
                others_peer.write_all(b"!").await
            },
        ))
        .await;
        assert_eq!((heard.unwrap(), sent.unwrap()), (1, ()));
        assert_eq!(stream.read(&mut buf).await.unwrap(), 3);
        assert_eq!(buf[..3], *b"two");
    });
}

#[test]
fn nothing_is_read_or_written_at_once() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        assert_eq!(stream.read(&mut []).await.unwrap(), 0);
        assert_eq!(stream.read_vectored(&mut []).await.unwrap(), 0);
        assert_eq!(stream.peek(&mut []).await.unwrap(), 0);
        assert_eq!(stream.write(&[]).await.unwrap(), 0);
        assert_eq!(
            stream.write_vectored(&[IoSlice::new(&[])]).await.unwrap(),
            0
        );
        stream.read_exact(&mut []).await.unwrap();
        stream.write_all(&[]).await.unwrap();
        stream.flush().await.unwrap();
        assert!(stream.fill(0).await.unwrap().is_empty());
        let (count, memory) = stream.read_owned(Vec::new()).await;
        assert_eq!((count.unwrap(), memory.len()), (0, 0));
        let (count, memory) = stream.write_owned(Vec::with_capacity(9)).await;
        assert_eq!((count.unwrap(), memory.capacity()), (0, 9));
        drop(stream);
        assert_eq!(
            peer.read(&mut [0; 1]).await.unwrap(),
            0,
            "none of it was sent"
        );
    });
}

#[test]
fn reads_may_be_small_and_writes_large() {
    for_each_driver(async || {
        let (mut stream, mut peer) = UnixStream::pair().unwrap();
        let bytes = pattern(3 << 20);
        let expected = bytes.clone();
        let writer = spawn(async move || {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let count = stream.write(rest).await.unwrap();
                rest = &rest[count..];
            }
        });
        let mut arrived = Vec::new();
        let mut buf = [0; 1000];
        loop {
            match peer.read(&mut buf).await.unwrap() {
                0 => break,
                count => arrived.extend_from_slice(&buf[..count]),
            }
        }
        assert!(
            arrived == expected,
            "something was lost, doubled or mixed up"
        );
        writer.await.unwrap();
    });
}

#[test]
fn memory_that_is_given_away_comes_back() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let bytes = pattern(5 << 20);
        let expected = bytes.clone();
        let address = bytes.as_ptr();
        let writer = spawn(async move || {
            let (count, memory) = stream.write_owned(bytes).await;
            assert_eq!(count.unwrap(), memory.len());
            assert_eq!(memory.as_ptr(), address, "it was not copied");
        });
        let mut arrived = b"head".to_vec();
        loop {
            arrived.reserve(70_000);
            let (count, memory) = peer.read_owned(arrived).await;
            arrived = memory;
            if count.unwrap() == 0 {
                break;
            }
        }
        assert_eq!(&arrived[..4], b"head");
        assert!(
            arrived[4..] == expected,
            "something was lost, doubled or mixed up"
        );
        writer.await.unwrap();
    });
}

#[test]
fn memory_is_bounded_and_takes_what_had_arrived_first() {
    for_each_driver(async || {
        let (mut stream, mut peer) = UnixStream::pair().unwrap();
        stream.write_all(b"abcdef").await.unwrap();
        assert_eq!(peer.fill(6).await.unwrap(), b"abcdef");
        let mut memory = Vec::with_capacity(4);
        memory.push(b'-');
        let room = memory.capacity() - 1;
        let (count, memory) = peer.read_owned(memory).await;
        assert_eq!(count.unwrap(), room.min(6));
        assert_eq!(memory[..2], *b"-a");
        drop(stream);
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"abcdef"[room.min(6)..]);

        let (mut stream, peer) = tcp_pair().await;
        peer.set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        let (count, memory) = stream.read_owned(b"kept".to_vec().tap_reserve(10)).await;
        assert_eq!(
            (kind_of(count), &memory[..]),
            (ErrorKind::ConnectionReset, &b"kept"[..])
        );
    });
}

#[test]
fn what_was_peeked_is_read_again() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        stream.write_all(b"look").await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(peer.peek(&mut buf[..2]).await.unwrap(), 2);
        assert_eq!(peer.peek(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf[..4], b"look");

        // More is waited for without taking what is there.
        let more = spawn(async move || {
            stream.write_all(b" at").await.unwrap();
            stream.write_all(b" this").await.unwrap();
            stream
        });
        assert_eq!(peer.fill(12).await.unwrap(), b"look at this");
        assert_eq!(peer.read(&mut buf).await.unwrap(), 8);
        assert_eq!(&buf, b"look at ");
        drop(more.await.unwrap());
        assert_eq!(
            peer.fill(100).await.unwrap(),
            b"this",
            "fewer, because that is the end"
        );
        peer.consume(4);
        assert_eq!(peer.peek(&mut buf).await.unwrap(), 0);
    });
}

#[test]
fn lines_and_vectors() {
    for_each_driver(async || {
        let (mut stream, mut peer) = UnixStream::pair().unwrap();
        let bufs = [
            IoSlice::new(b"one\ntw"),
            IoSlice::new(b""),
            IoSlice::new(b"o\nrest"),
        ];
        assert_eq!(stream.write_vectored(&bufs).await.unwrap(), 12);
        drop(stream);
        let mut line = Vec::new();
        assert_eq!(peer.read_until(b'\n', &mut line).await.unwrap(), 4);
        assert_eq!(line, b"one\n");
        let (mut first, mut second) = ([0; 2], [0; 9]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(peer.read_vectored(&mut bufs).await.unwrap(), 8);
        assert_eq!((&first, &second[..6]), (b"tw", &b"o\nrest"[..]));
        assert_eq!(peer.read_until(b'\n', &mut line).await.unwrap(), 0);

        let (mut stream, mut peer) = UnixStream::pair().unwrap();
        stream.write_all(b"no end").await.unwrap();
        drop(stream);
        line.clear();
        assert_eq!(peer.read_until(b'\n', &mut line).await.unwrap(), 6);
        assert_eq!(
            kind_of(peer.read_exact(&mut [0; 1]).await),
            ErrorKind::UnexpectedEof
        );
    });
}

#[test]
fn halves_work_at_the_same_time() {
    for_each_driver(async || {
        let (stream, peer) = tcp_pair().await;
        let bytes = pattern(4 << 20);
        // Both sides write more than the buffers hold before they would read: only halves get through this.
        let mut tasks = Vec::new();
        for end in [stream, peer] {
            let (mut read, mut write) = end.into_split();
            let (sent, expected) = (bytes.clone(), bytes.clone());
            tasks.push(spawn(async move || {
                write.write_all(&sent).await.unwrap();
                // Dropped here, it tells the peer that this was all.
            }));
            tasks.push(spawn(async move || {
                let mut arrived = Vec::new();
                read.read_to_end(&mut arrived).await.unwrap();
                assert!(
                    arrived == expected,
                    "something was lost, doubled or mixed up"
                );
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn halves_of_one_stream_can_be_put_together() {
    for_each_driver(async || {
        let (stream, peer) = tcp_pair().await;
        let (read, write) = stream.into_split();
        let (other_read, other_write) = peer.into_split();
        let (read, other_write) = TcpStream::reunite(read, other_write).unwrap_err();
        let mut stream = TcpStream::reunite(read, write).unwrap();
        let mut peer = TcpStream::reunite(other_read, other_write).unwrap();
        stream.write_all(b"still open").await.unwrap();
        assert_eq!(peer.fill(10).await.unwrap(), b"still open");
        peer.write_all(b"both ways").await.unwrap();
        assert_eq!(stream.fill(9).await.unwrap(), b"both ways");
    });
}

#[test]
fn options_are_set_and_read() {
    for_each_driver(async || {
        let (stream, _peer) = tcp_pair().await;
        assert!(!stream.nodelay().unwrap());
        stream.set_nodelay(true).unwrap();
        assert!(stream.nodelay().unwrap());
        stream.set_ttl(7).unwrap();
        assert_eq!(stream.ttl().unwrap(), 7);
        stream.set_linger(Some(Duration::from_secs(1))).unwrap();
        assert_eq!(stream.linger().unwrap(), Some(Duration::from_secs(1)));
        stream.set_linger(None).unwrap();
        assert_eq!(stream.linger().unwrap(), None);
        assert!(!stream.keepalive().unwrap());
        let idle = Duration::from_secs(60);
        stream
            .set_keepalive(Some(Keepalive {
                idle,
                interval: Some(idle),
                retries: Some(3),
            }))
            .unwrap();
        assert!(stream.keepalive().unwrap());
        stream.set_keepalive(None).unwrap();
        assert!(!stream.keepalive().unwrap());
    });
}

#[test]
fn a_stream_goes_to_the_standard_library_and_back() {
    // The standard library has the kernel's sockets only.
    for_each_kernel_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        stream.write_all(b"unread").await.unwrap();
        assert_eq!(peer.peek(&mut [0; 9]).await.unwrap(), 6);
        let (error, mut peer) = peer.into_std().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        peer.consume(6);
        let peer = peer.into_std().unwrap();
        let helper = std::thread::spawn(move || {
            let mut peer = peer;
            std::io::Write::write_all(&mut peer, b"from a thread").unwrap();
            peer
        });
        assert_eq!(stream.fill(13).await.unwrap(), b"from a thread");
        let mut peer = TcpStream::from_std(helper.join().unwrap()).unwrap();
        stream.write_all(b"welcome").await.unwrap();
        assert_eq!(peer.fill(7).await.unwrap(), b"welcome");
    });
}

/// Room for more, in place.
trait TapReserve {
    fn tap_reserve(self, additional: usize) -> Self;
}

impl TapReserve for Vec<u8> {
    fn tap_reserve(mut self, additional: usize) -> Self {
        self.reserve(additional);
        self
    }
}
