//! Calls that are given up at any point, or forgotten: no byte is lost or doubled, no connection, no datagram.

mod net_support;

use std::io::ErrorKind;

use antiphon::io::{Read, Write};
use antiphon::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use antiphon::{DriverKind, Runtime, spawn, tree, yield_now};

use net_support::{
    Random, for_each_driver, forget, give_up_after, kind_of, pattern, pattern_at, tcp_pair,
    until_someone_waits_for,
};

#[test]
fn reads_given_up_anywhere_lose_nothing() {
    for_each_driver(async || {
        let mut random = Random::new();
        let (mut stream, mut peer) = tcp_pair().await;
        let len = 1 << 20;
        let mut sizes = Random::new();
        let writer = spawn(async move || {
            let bytes = pattern(len);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (part, more) = rest.split_at(rest.len().min(1 + sizes.below(20_000)));
                stream.write_all(part).await.unwrap();
                rest = more;
                yield_now().await.unwrap();
            }
        });
        let mut arrived = Vec::new();
        loop {
            let polls = random.below(3);
            let size = 1 + random.below(10_000);
            let mut buf = vec![0; size];
            let count = match random.below(6) {
                0 | 1 => give_up_after(polls, peer.read(&mut buf))
                    .await
                    .map(Result::unwrap),
                2 => {
                    let filled = give_up_after(polls, peer.fill(size)).await;
                    let count = filled.map(|bytes| bytes.unwrap().len().min(size));
                    buf[..count.unwrap_or(0)].copy_from_slice(&peer.filled()[..count.unwrap_or(0)]);
                    peer.consume(count.unwrap_or(0));
                    count
                }
                3 => {
                    let read =
                        give_up_after(polls, peer.read_owned(Vec::with_capacity(size))).await;
                    read.map(|(count, memory)| {
                        buf = memory;
                        count.unwrap()
                    })
                }
                4 => {
                    buf.clear();
                    let taken = give_up_after(polls, peer.read_until(250, &mut buf)).await;
                    let is_end = taken.is_some_and(|count| count.unwrap() == 0);
                    if buf.is_empty() && !is_end {
                        None
                    } else {
                        Some(buf.len())
                    }
                }
                _ => {
                    let _ = forget(peer.peek(&mut buf)).await;
                    give_up_after(polls, peer.peek(&mut buf)).await.and(None)
                }
            };
            match count {
                Some(0) => break,
                Some(count) => arrived.extend_from_slice(&buf[..count]),
                None => yield_now().await.unwrap(),
            }
        }
        writer.await.unwrap();
        assert_eq!(arrived.len(), len);
        assert!(
            arrived
                .iter()
                .enumerate()
                .all(|(index, byte)| *byte == pattern_at(index))
        );
    });
}

#[test]
fn a_read_that_was_forgotten_loses_nothing() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let mut buf = [0; 16];
        assert!(forget(peer.read(&mut buf)).await.is_none());
        assert!(forget(peer.fill(9)).await.is_none());
        stream.write_all(b"here I am").await.unwrap();
        assert_eq!(peer.read(&mut buf).await.unwrap(), 9);
        assert!(
            forget(peer.read_owned(Vec::with_capacity(100)))
                .await
                .is_none()
        );
        assert!(
            forget(peer.read_owned(Vec::with_capacity(10)))
                .await
                .is_none()
        );
        stream.write_all(b"again").await.unwrap();
        assert_eq!(peer.fill(5).await.unwrap(), b"again");
        // And one is left in flight for the end of the loop.
        peer.consume(5);
        assert!(forget(peer.read(&mut buf)).await.is_none());
        std::mem::forget(stream);
    });
}

#[test]
fn a_read_that_was_given_up_is_not_waited_for() {
    for_each_driver(async || {
        let (_stream, mut peer) = tcp_pair().await;
        let mut buf = [0; 16];
        assert!(
            give_up_after(2, async { tokio_like_race(peer.read(&mut buf)).await })
                .await
                .is_none()
        );
        let waits = || {
            tree()
                .tasks
                .iter()
                .map(|task| task.waits.len())
                .sum::<usize>()
        };
        assert_eq!(waits(), 0, "{}", tree());
        assert!(give_up_after(1, peer.read(&mut buf)).await.is_none());
        assert_eq!(waits(), 0, "{}", tree());
    });
}

/// Wakes itself, so that it is polled again at once.
async fn tokio_like_race<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        future.as_mut().poll(cx)
    })
    .await
}

#[test]
fn writes_given_up_anywhere_are_sent_whole_or_not_at_all() {
    for_each_driver(async || {
        let mut random = Random::new();
        let (mut stream, mut peer) = tcp_pair().await;
        let reader = spawn(async move || {
            let mut arrived = Vec::new();
            peer.read_to_end(&mut arrived).await.unwrap();
            arrived
        });
        // Frames of different lengths, each of one byte many times: a torn one would show.
        let mut expected = Vec::new();
        for number in 0..200u32 {
            let byte = u8::try_from(number % 256).unwrap();
            let frame = vec![byte; 1 + random.below(300_000)];
            let polls = random.below(4);
            if polls == 0 {
                // Never polled, it did not happen.
                assert!(give_up_after(0, stream.write_all(&frame)).await.is_none());
                continue;
            }
            stream.flush().await.unwrap();
            // Its turn comes with the first poll, and then it is sent.
            match random.below(3) {
                0 => drop(give_up_after(polls, stream.write_owned(frame.clone())).await),
                1 => drop(forget(stream.write_all(&frame)).await),
                _ => drop(give_up_after(polls, stream.write_all(&frame)).await),
            }
            expected.extend_from_slice(&frame);
        }
        stream.shutdown().await.unwrap();
        let arrived = reader.await.unwrap();
        assert!(
            arrived == expected,
            "{} bytes arrived instead of {}",
            arrived.len(),
            expected.len()
        );
    });
}

#[test]
fn a_write_that_was_given_up_goes_on_in_the_background() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        // More than the buffers hold, so most of it is not sent when the writer goes away.
        let bytes = pattern(12 << 20);
        assert!(give_up_after(1, stream.write_all(&bytes)).await.is_none());
        // This one's turn does not come.
        assert!(
            give_up_after(1, stream.write_all(b"not this"))
                .await
                .is_none()
        );
        // Nobody looks at the writing side meanwhile.
        let mut arrived = Vec::new();
        while arrived.len() < bytes.len() {
            let chunk = peer.fill(1).await.unwrap();
            let count = chunk.len();
            arrived.extend_from_slice(chunk);
            peer.consume(count);
        }
        assert!(arrived == bytes);
        stream.write_all(b"the next").await.unwrap();
        assert_eq!(peer.fill(8).await.unwrap(), b"the next");
    });
}

#[test]
fn the_error_of_a_write_that_was_given_up_is_told_by_the_next_call() {
    for_each_driver(async || {
        let (mut stream, peer) = tcp_pair().await;
        assert!(
            give_up_after(1, stream.write_all(&pattern(12 << 20)))
                .await
                .is_none()
        );
        peer.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(peer);
        let kind = kind_of(stream.write_all(b"not sent").await);
        assert!(
            matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
            "{kind:?}"
        );
    });
}

#[test]
fn a_stream_that_is_dropped_gives_up_what_is_being_sent() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        assert!(
            give_up_after(1, stream.write_all(&pattern(12 << 20)))
                .await
                .is_none()
        );
        drop(stream);
        let mut arrived = Vec::new();
        peer.read_to_end(&mut arrived).await.unwrap();
        assert!(arrived.len() < 12 << 20, "the peer is not left waiting");
        assert!(arrived == pattern(arrived.len()));
    });
}

#[test]
fn accepts_given_up_lose_no_connection() {
    for_each_driver(async || {
        let mut random = Random::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connector = spawn(async move || {
            for number in 0..200u8 {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(&[number]).await.unwrap();
            }
        });
        let mut numbers = Vec::new();
        while numbers.len() < 200 {
            yield_now().await.unwrap();
            let accepted = match random.below(8) {
                0 => forget(listener.accept()).await,
                polls => give_up_after(polls - 1, listener.accept()).await,
            };
            if let Some(accepted) = accepted {
                let (mut stream, _) = accepted.unwrap();
                let mut number = [0];
                stream.read_exact(&mut number).await.unwrap();
                numbers.push(number[0]);
            }
        }
        connector.await.unwrap();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    });
}

#[test]
fn connections_are_not_accepted_ahead_without_end() {
    for_each_driver(async || {
        let path = std::env::temp_dir().join(format!("antiphon-ahead-{}", std::process::id()));
        let listener = UnixListener::bind(&path)
            .unwrap()
            .with_path_removed()
            .unwrap();
        assert!(give_up_after(1, listener.accept()).await.is_none());
        let (mut streams, mut peers) = (Vec::new(), Vec::new());
        for number in 0..500u16 {
            let mut stream = UnixStream::connect(&path).await;
            while stream.is_err() {
                // The queue is full, as it should be: the listener takes no more.
                assert_eq!(kind_of(stream), ErrorKind::WouldBlock);
                assert!(number > 64);
                let (accepted, _) = listener.accept().await.unwrap();
                streams.push(accepted);
                stream = UnixStream::connect(&path).await;
            }
            let mut stream = stream.unwrap();
            stream.write_all(&number.to_le_bytes()).await.unwrap();
            peers.push(stream);
        }
        while streams.len() < 500 {
            streams.push(listener.accept().await.unwrap().0);
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            assert_eq!(
                stream.fill(2).await.unwrap(),
                u16::try_from(number).unwrap().to_le_bytes()
            );
        }
    });
}

#[test]
fn several_may_accept_and_each_gets_one() {
    for_each_driver(async || {
        let listener = std::rc::Rc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let listener = listener.clone();
                spawn(async move || listener.accept().await.unwrap())
            })
            .collect();
        until_someone_waits_for("tcp accept").await;
        assert!(forget(listener.accept()).await.is_none());
        let mut streams = Vec::new();
        for _ in 0..5 {
            streams.push(TcpStream::connect(address).await.unwrap());
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn datagrams_wait_for_the_next_receiver() {
    for_each_driver(async || {
        let mut random = Random::new();
        let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = receiver.local_addr().unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for number in 0..200u8 {
            if random.below(2) == 0 {
                sender.send_to(&[number], address).await.unwrap();
            } else {
                // Given up, it is sent all the same.
                let _ = forget(sender.send_to(&[number], address)).await;
            }
            let mut buf = [0; 9];
            let datagram = loop {
                let polls = random.below(4);
                let taken = match random.below(4) {
                    0 => forget(receiver.recv_from(&mut buf)).await,
                    1 => give_up_after(polls, receiver.peek_from(&mut buf))
                        .await
                        .and(None),
                    _ => give_up_after(polls, receiver.recv_from(&mut buf)).await,
                };
                match taken {
                    Some(taken) => break taken,
                    None => yield_now().await.unwrap(),
                }
            };
            assert_eq!(datagram.unwrap(), (1, sender.local_addr().unwrap()));
            assert_eq!(buf[0], number);
        }
    });
}

#[test]
fn a_send_that_was_given_up_is_finished() {
    for_each_driver(async || {
        let (left, right) = UnixDatagram::pair().unwrap();
        // Fill the queue, so that a send waits.
        let mut count = 0u16;
        while give_up_after(3, left.send(&count.to_le_bytes()))
            .await
            .is_some()
        {
            count += 1;
        }
        // Gone, but it is sent when there is room; and so is the one that was given up above.
        drop(give_up_after(1, left.send(&(count + 1).to_le_bytes())).await);
        for number in 0..=count + 1 {
            let mut buf = [0; 4];
            assert_eq!(right.recv(&mut buf).await.unwrap(), 2);
            assert_eq!(buf[..2], number.to_le_bytes());
        }
    });
}

#[test]
fn a_connect_that_was_given_up_closes_its_connection() {
    for_each_driver(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(
            give_up_after(1, TcpStream::connect(address))
                .await
                .is_none()
        );
        // Whether it was made or not is a matter of luck. If it was, it is closed at once.
        if let Some(accepted) = give_up_after(3, listener.accept()).await {
            let (mut stream, _) = accepted.unwrap();
            let end = stream.read(&mut [0; 1]).await;
            assert!(matches!(end, Ok(0)) || kind_of(end) == ErrorKind::ConnectionReset);
        }
        assert!(forget(TcpStream::connect(address)).await.is_none());
    });
}

#[test]
fn a_loop_may_end_with_everything_in_flight() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let _task = spawn(async move || listener.accept().await.map(|_| ()));
        let _task = spawn(async move || udp.recv(&mut [0; 9]).await.map(|_| ()));
        let _task = spawn(async move || peer.read(&mut [0; 9]).await.map(|_| ()));
        let _task = spawn(async move || stream.write_all(&pattern(12 << 20)).await);
        let _task = spawn(async move || TcpStream::connect(address).await.map(|_| ()));
        until_someone_waits_for("udp receive").await;
    });
}

#[test]
fn sockets_may_outlive_their_loop() {
    for kind in [DriverKind::Readiness, DriverKind::Auto] {
        let runtime = || Runtime::builder().driver(kind).build().unwrap();
        let (mut left, mut right, listener) = runtime().run(async || {
            let (mut left, mut right) = UnixStream::pair().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            left.write_all(b"one").await.unwrap();
            // Under way when the loop ends, some with bytes and some without.
            assert!(give_up_after(1, right.fill(9)).await.is_none());
            yield_now().await.unwrap();
            assert!(give_up_after(1, left.fill(1)).await.is_none());
            assert!(give_up_after(1, listener.accept()).await.is_none());
            (left, right, listener)
        });
        // The same tokens are in use again here.
        runtime().run(async || {
            let (mut other, mut end) = UnixStream::pair().unwrap();
            assert!(forget(end.fill(1)).await.is_none());
            assert!(forget(other.fill(1)).await.is_none());
            other.write_all(b"not for you").await.unwrap();
            left.write_all(b" two").await.unwrap();
            assert_eq!(right.fill(7).await.unwrap(), b"one two");
            right.write_all(b"back").await.unwrap();
            assert_eq!(left.fill(4).await.unwrap(), b"back");
            let stream = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            let (_, address) = listener.accept().await.unwrap();
            assert_eq!(address, stream.local_addr().unwrap());
            // What is being sent at the end is lost, and the stream says so.
            assert!(
                give_up_after(1, left.write_all(&pattern(12 << 20)))
                    .await
                    .is_none()
            );
        });
        runtime().run(async || {
            let error = left.write_all(b"x").await.unwrap_err();
            assert_eq!(error.to_string(), "the loop ended before all was sent");
            left.flush().await.expect("it is told once");
        });
    }
}

#[test]
fn a_loop_can_run_again_with_its_sockets() {
    for kind in [DriverKind::Readiness, DriverKind::Auto] {
        let mut runtime = Runtime::builder().driver(kind).build().unwrap();
        let (mut left, mut right) = runtime.run(async || {
            let (left, mut right) = UnixStream::pair().unwrap();
            assert!(give_up_after(1, right.fill(1)).await.is_none());
            (left, right)
        });
        for _ in 0..3 {
            runtime.run(async || {
                left.write_all(b"ping").await.unwrap();
                assert_eq!(right.fill(4).await.unwrap(), b"ping");
                right.consume(4);
                assert!(give_up_after(1, right.fill(1)).await.is_none());
            });
        }
    }
}
