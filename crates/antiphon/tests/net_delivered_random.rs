//! Cancels at any point: no byte is lost or doubled, no frame torn, no connection and no datagram lost.
//!
//! `ANTIPHON_ROUNDS` says how many cancels there are in each test and on each driver.

mod net_support;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read as _};
use std::pin::pin;
use std::rc::Rc;

use antiphon::io::{Partial, Read, Write};
use antiphon::net::{TcpListener, TcpStream, UdpSocket};
use antiphon::{CancelScope, is_cancelled, spawn, yield_now};

use net_support::{Random, for_each_driver, for_each_kernel_driver, pattern, tcp_pair};

/// So many cancels in each test, and on each driver.
fn rounds() -> usize {
    let rounds = std::env::var("ANTIPHON_ROUNDS");
    rounds.map_or(1000, |rounds| rounds.parse().unwrap())
}

/// Awaits `call` in a scope of its own, which is cancelled before its poll of that number, and polled in each turn until
/// then. `None` if it was cancelled; what it returned otherwise.
async fn cancelled_at<T>(
    poll: usize,
    call: impl AsyncFnOnce() -> io::Result<T>,
) -> Result<T, io::Error> {
    let scope = CancelScope::new();
    let mut body = pin!(scope.run(call));
    let mut polls = 0;
    let outcome = poll_fn(|cx| {
        if polls == poll {
            scope.cancel("in this very turn");
        }
        polls += 1;
        let result = body.as_mut().poll(cx);
        if result.is_pending() && polls <= poll {
            cx.waker().wake_by_ref();
        }
        result
    })
    .await;
    let result = outcome.into_result();
    if let Err(error) = &result {
        assert!(is_cancelled(error), "{error}");
    }
    result
}

/// The first few are in one turn, and later ones after something has come in.
fn some_poll(random: &mut Random) -> usize {
    let limit = [3, 3, 400][random.below(3)];
    random.below(limit)
}

#[test]
fn reads_cancelled_anywhere_lose_nothing_and_double_nothing() {
    for_each_driver(async || {
        let mut random = Random::new();
        let mut sizes = Random::new();
        let (mut stream, mut peer) = tcp_pair().await;
        let is_over = Rc::new(Cell::new(false));
        let writer = spawn({
            let is_over = is_over.clone();
            async move || {
                let bytes = pattern(251 * 400);
                let mut sent = 0;
                while !is_over.get() {
                    let from = sent % 251;
                    let len = 1 + sizes.below(30_000);
                    stream.write_all(&bytes[from..from + len]).await.unwrap();
                    sent += len;
                    for _ in 0..sizes.below(4) {
                        yield_now().await.unwrap();
                    }
                }
                sent
            }
        });
        let mut arrived = 0;
        let mut check = |bytes: &[u8]| {
            let expected = (arrived..).map(|index| u8::try_from(index % 251).unwrap());
            assert!(expected.zip(bytes).all(|(one, other)| one == *other));
            arrived += bytes.len();
        };
        let mut cancelled = 0;
        while cancelled < rounds() {
            let poll = some_poll(&mut random);
            let size = 1 + random.below(12_000);
            let mut buf = vec![0; size];
            let result = match random.below(7) {
                0 => cancelled_at(poll, async || peer.read(&mut buf).await)
                    .await
                    .map(|count| check(&buf[..count])),
                1 => {
                    let read = cancelled_at(poll, async || peer.read_exact(&mut buf).await).await;
                    let count = match &read {
                        Ok(()) => size,
                        Err(error) => Partial::of(error).map_or(0, Partial::count),
                    };
                    assert!(count == size || count == 0 || size > 8192);
                    check(&buf[..count]);
                    read
                }
                2 => {
                    let filled = cancelled_at(poll, async || peer.fill(size).await.map(drop)).await;
                    let count = peer.filled().len().min(size);
                    assert!(filled.is_err() || count == size);
                    check(&peer.filled()[..count]);
                    peer.consume(count);
                    filled
                }
                3 => {
                    let mut memory = Vec::with_capacity(size);
                    let read = cancelled_at(poll, async || {
                        let (result, same) = peer.read_owned(std::mem::take(&mut memory)).await;
                        memory = same;
                        result
                    })
                    .await;
                    assert!(read.is_ok() || (memory.is_empty() && memory.capacity() == size));
                    check(&memory);
                    read.map(drop)
                }
                4 => {
                    buf.clear();
                    let read = cancelled_at(poll, async || peer.read_until(250, &mut buf).await);
                    let read = read.await.map(drop);
                    check(&buf);
                    read
                }
                5 => {
                    let mut bufs = buf.chunks_mut(1000).map(io::IoSliceMut::new);
                    let mut bufs: Vec<_> = bufs.by_ref().collect();
                    let read = cancelled_at(poll, async || peer.read_vectored(&mut bufs).await);
                    let read = read.await;
                    drop(bufs);
                    read.map(|count| check(&buf[..count]))
                }
                _ => cancelled_at(poll, async || peer.peek(&mut buf).await)
                    .await
                    .map(drop),
            };
            cancelled += usize::from(result.is_err());
        }
        is_over.set(true);
        loop {
            let bytes = peer.fill(1).await.unwrap();
            let count = bytes.len();
            check(bytes);
            peer.consume(count);
            if count == 0 {
                break;
            }
        }
        assert_eq!(writer.await.unwrap(), arrived);
    });
}

#[test]
fn writes_cancelled_anywhere_are_sent_whole_or_not_at_all() {
    for_each_driver(async || {
        let mut random = Random::new();
        let (mut stream, mut peer) = tcp_pair().await;
        let reader = spawn(async move || {
            let mut runs = Vec::new();
            loop {
                let bytes = peer.fill(1).await.unwrap();
                if bytes.is_empty() {
                    return runs;
                }
                let count = bytes.len();
                for run in bytes.chunk_by(|one, other| one == other) {
                    add_run(&mut runs, run[0], run.len());
                }
                peer.consume(count);
            }
        });
        // Frames of one byte many times: a torn one would show.
        let mut expected = Vec::new();
        let mut cancelled = 0;
        let mut number = 0u8;
        while cancelled < rounds() {
            number = number.wrapping_add(1);
            // Some are more than the system takes at once.
            let len = match random.below(100) {
                0 => 4 << 20,
                _ => 1 + random.below(20_000),
            };
            let frame = vec![number; len];
            let poll = some_poll(&mut random);
            let is_owned = random.below(3) == 0;
            let result = cancelled_at(poll, async || {
                if is_owned {
                    stream.write_owned(frame.clone()).await.0.map(drop)
                } else {
                    stream.write_all(&frame).await
                }
            })
            .await;
            let taken = match &result {
                Ok(()) => len,
                Err(error) => Partial::of(error).map_or(0, Partial::count),
            };
            assert!(taken == 0 || taken == len);
            if taken > 0 {
                add_run(&mut expected, number, taken);
            }
            cancelled += usize::from(result.is_err());
        }
        stream.shutdown().await.unwrap();
        assert!(reader.await.unwrap() == expected);
    });
}

/// Notes that `byte` came so many times.
fn add_run(runs: &mut Vec<(u8, usize)>, byte: u8, count: usize) {
    match runs.last_mut() {
        Some((last, len)) if *last == byte => *len += count,
        _ => runs.push((byte, count)),
    }
}

#[test]
fn accepts_cancelled_anywhere_lose_no_connection() {
    for_each_driver(async || {
        let mut random = Random::new();
        let mut pauses = Random::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = 300u16;
        let connector = spawn(async move || {
            for number in 0..connections {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(&number.to_le_bytes()).await.unwrap();
                for _ in 0..pauses.below(6) {
                    yield_now().await.unwrap();
                }
            }
        });
        let (mut cancelled, mut next) = (0, 0);
        while next < connections || cancelled < rounds() {
            let poll = some_poll(&mut random);
            match cancelled_at(poll, async || listener.accept().await).await {
                Ok((mut stream, _)) => {
                    assert_eq!(stream.fill(2).await.unwrap(), next.to_le_bytes());
                    next += 1;
                }
                Err(_) => cancelled += 1,
            }
            yield_now().await.unwrap();
        }
        assert_eq!(next, connections);
        connector.await.unwrap();
    });
}

#[test]
fn connects_cancelled_anywhere_are_made_or_not() {
    // What the kernel knows of is asked beside the loop.
    for_each_kernel_driver(async || {
        let mut random = Random::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut made = 0;
        for _ in 0..rounds() {
            let poll = some_poll(&mut random);
            let result = cancelled_at(poll, async || TcpStream::connect(address).await).await;
            let own = result.as_ref().map(|stream| stream.local_addr().unwrap());
            // What was made, and is not the result, is closed by now.
            let mut is_found = own.is_err();
            while let Ok((mut peer, from)) = listener.accept() {
                if own.as_ref().is_ok_and(|own| *own == from) {
                    is_found = true;
                    continue;
                }
                peer.set_nonblocking(true).unwrap();
                let end = peer.read(&mut [0; 1]).map_err(|error| error.kind());
                assert!(
                    matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)),
                    "{end:?}"
                );
            }
            assert!(is_found);
            made += usize::from(own.is_ok());
        }
        assert!(made > 0 && made < rounds(), "{made}");
    });
}

#[test]
fn datagrams_cancelled_anywhere_come_once() {
    for_each_driver(async || {
        let mut random = Random::new();
        let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = receiver.local_addr().unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut cancelled = 0;
        let mut number = 0u32;
        while cancelled < rounds() {
            number += 1;
            let bytes = number.to_le_bytes();
            let poll = some_poll(&mut random);
            let send = cancelled_at(poll, async || sender.send_to(&bytes, address).await).await;
            if send.is_err() {
                // It was not sent: the next number comes instead.
                cancelled += 1;
                continue;
            }
            let mut buf = [0; 9];
            loop {
                let poll = some_poll(&mut random);
                let receive = if random.below(2) == 0 {
                    cancelled_at(poll, async || receiver.recv(&mut buf).await).await
                } else {
                    let peek = async || receiver.peek_from(&mut buf).await.map(|_| 0);
                    cancelled_at(poll, peek).await
                };
                match receive {
                    Ok(0) => {}
                    Ok(count) => {
                        assert_eq!(buf[..count], bytes);
                        break;
                    }
                    Err(_) => cancelled += 1,
                }
                yield_now().await.unwrap();
            }
        }
    });
}
