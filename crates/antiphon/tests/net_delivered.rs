//! Cancellation that is delivered: each wait ends with an error, and what it waited for did not happen, or won.

mod net_support;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Write as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use antiphon::io::{Descriptor, Leaf, Partial, Read, Write};
use antiphon::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use antiphon::{CancelScope, Outcome, is_cancelled, run, shield, spawn, time, tree, yield_now};
use futures_util::future::join;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use net_support::{
    ends_at_once, ends_while_it_waits, for_each_driver, for_each_kernel_driver, give_up_after,
    is_simulated, pattern, silent, tcp_pair, until_someone_waits_for, waits_len, wins_the_race,
};

/// More than the system's buffers hold.
const MUCH: usize = 12 << 20;

fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("antiphon-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn reads_in_a_cancelled_scope_take_nothing() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        stream.write_all(b"amen\n").await.unwrap();
        // Twice: with the bytes in the system, and in the stream's buffer.
        for _ in 0..2 {
            let mut buf = [0; 3];
            let mut large = vec![0; 10_000];
            let mut bytes = Vec::new();
            ends_at_once(async || peer.read(&mut buf).await).await;
            ends_at_once(async || peer.read(&mut large).await).await;
            ends_at_once(async || peer.read(&mut []).await).await;
            ends_at_once(async || peer.read_vectored(&mut [IoSliceMut::new(&mut buf)]).await).await;
            ends_at_once(async || peer.read_exact(&mut buf).await).await;
            ends_at_once(async || peer.read_exact(&mut large).await).await;
            ends_at_once(async || peer.fill(3).await.map(<[u8]>::len)).await;
            ends_at_once(async || peer.fill(0).await.map(<[u8]>::len)).await;
            ends_at_once(async || peer.peek(&mut buf).await).await;
            ends_at_once(async || peer.read_until(b'\n', &mut bytes).await).await;
            ends_at_once(async || peer.read_to_end(&mut bytes).await).await;
            let mut memory = Vec::with_capacity(77);
            ends_at_once(async || {
                let (result, same) = peer.read_owned(std::mem::take(&mut memory)).await;
                memory = same;
                result
            })
            .await;
            assert_eq!((memory.len(), memory.capacity()), (0, 77), "it comes back");
            let mut leaf = Leaf::here();
            for _ in 0..2 {
                let poll = async || poll_fn(|cx| peer.poll_fill(cx, &mut leaf, 1)).await;
                ends_at_once(poll).await;
            }
            assert!(bytes.is_empty() && buf == [0; 3]);
            assert_eq!(peer.fill(5).await.unwrap(), b"amen\n");
        }
    });
}

#[test]
fn writes_in_a_cancelled_scope_send_nothing() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let error = ends_at_once(async || stream.write(b"x").await).await;
        assert!(Partial::of(&error).is_none(), "nothing was taken over");
        ends_at_once(async || stream.write(b"").await).await;
        ends_at_once(async || stream.write_all(&pattern(MUCH)).await).await;
        ends_at_once(async || stream.write_vectored(&[IoSlice::new(b"x")]).await).await;
        ends_at_once(async || stream.flush().await).await;
        ends_at_once(async || stream.shutdown().await).await;
        let mut memory = b"mine".to_vec();
        ends_at_once(async || {
            let (result, same) = stream.write_owned(std::mem::take(&mut memory)).await;
            memory = same;
            result
        })
        .await;
        assert_eq!(memory, b"mine", "it comes back");
        stream.write_all(b"that is all").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut arrived = Vec::new();
        peer.read_to_end(&mut arrived).await.unwrap();
        assert_eq!(arrived, b"that is all");
    });
}

#[test]
fn listeners_and_connects_in_a_cancelled_scope_start_nothing() {
    for_each_driver(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        ends_at_once(async || TcpStream::connect(address).await).await;
        ends_at_once(async || TcpStream::connect([address, address]).await).await;
        ends_at_once(async || TcpStream::connect(("localhost", address.port())).await).await;
        ends_at_once(async || TcpListener::bind("127.0.0.1:0").await).await;
        let stream = TcpStream::connect(address).await.unwrap();
        ends_at_once(async || listener.accept().await).await;
        ends_at_once(async || listener.incoming().next().await).await;
        let (_, first) = listener.accept().await.unwrap();
        assert_eq!(
            first,
            stream.local_addr().unwrap(),
            "no other connection came"
        );

        let path = path("delivered");
        let listener = UnixListener::bind(&path)
            .unwrap()
            .with_path_removed()
            .unwrap();
        ends_at_once(async || UnixStream::connect(&path).await).await;
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"1").await.unwrap();
        ends_at_once(async || listener.accept().await).await;
        let (mut peer, _) = listener.accept().await.unwrap();
        assert_eq!(
            peer.fill(1).await.unwrap(),
            b"1",
            "no other connection came"
        );
        ends_at_once(async || listener.close().await.map_err(io::Error::from)).await;
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "closed all the same");
    });
}

#[test]
fn datagrams_in_a_cancelled_scope_stay_where_they_are() {
    for_each_driver(async || {
        let left = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let right = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = right.local_addr().unwrap();
        ends_at_once(async || UdpSocket::bind("127.0.0.1:0").await).await;
        ends_at_once(async || left.connect(address).await).await;
        assert!(left.peer_addr().is_err());
        left.connect(address).await.unwrap();
        ends_at_once(async || left.send_to(b"not this", address).await).await;
        ends_at_once(async || left.send(b"not this").await).await;
        left.send(b"this").await.unwrap();
        let mut buf = [0; 9];
        ends_at_once(async || right.recv_from(&mut buf).await).await;
        ends_at_once(async || right.recv(&mut buf).await).await;
        ends_at_once(async || right.peek_from(&mut buf).await).await;
        assert_eq!(right.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf[..4], b"this");

        let (left, right) = UnixDatagram::pair().unwrap();
        ends_at_once(async || left.send(b"not this").await).await;
        left.send(b"this").await.unwrap();
        ends_at_once(async || right.recv_from(&mut buf).await).await;
        ends_at_once(async || right.recv(&mut buf).await).await;
        ends_at_once(async || right.peek_from(&mut buf).await).await;
        assert_eq!(right.recv(&mut buf).await.unwrap(), 4);
        let path = path("delivered-datagram");
        let named = UnixDatagram::bind(&path).unwrap();
        let unbound = UnixDatagram::unbound().unwrap();
        ends_at_once(async || unbound.connect(&path).await).await;
        ends_at_once(async || unbound.send_to(b"not this", &path).await).await;
        ends_at_once(async || {
            unbound
                .send_to_addr(b"x", &named.local_addr().unwrap())
                .await
        })
        .await;
        unbound.send_to(b"this", &path).await.unwrap();
        assert_eq!(named.recv(&mut buf).await.unwrap(), 4);
        // In the simulation there is none.
        let _ = std::fs::remove_file(&path);
    });
}

#[test]
fn reads_that_wait_leave_and_lose_nothing() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let kind = "tcp read";
        let mut buf = [0; 8];
        let mut large = vec![0; 20_000];
        let mut bytes = Vec::new();
        ends_while_it_waits(kind, async || peer.read(&mut buf).await).await;
        ends_while_it_waits(kind, async || peer.read(&mut large).await).await;
        stream.write_all(b"abc").await.unwrap();
        // What is there is not enough.
        ends_while_it_waits(kind, async || peer.fill(4).await.map(<[u8]>::len)).await;
        let error = ends_while_it_waits(kind, async || peer.read_exact(&mut buf).await).await;
        assert!(Partial::of(&error).is_none());
        assert_eq!(peer.fill(3).await.unwrap(), b"abc", "nothing was taken");
        // A large one takes what there is, and says how much.
        let error = ends_while_it_waits(kind, async || peer.read_exact(&mut large).await).await;
        assert_eq!(Partial::of(&error).unwrap().count(), 3);
        assert_eq!(&large[..3], b"abc");
        let error = ends_while_it_waits(kind, async || peer.read_exact(&mut large).await).await;
        assert!(Partial::of(&error).is_none(), "nothing was there");
        stream.write_all(b"def").await.unwrap();
        peer.fill(3).await.unwrap();
        ends_while_it_waits(kind, async || peer.read_until(b'\n', &mut bytes).await).await;
        stream.write_all(b"ghi").await.unwrap();
        peer.fill(3).await.unwrap();
        ends_while_it_waits(kind, async || peer.read_to_end(&mut bytes).await).await;
        assert_eq!(bytes, b"defghi");
        ends_while_it_waits(kind, async || peer.peek(&mut buf).await).await;
        ends_while_it_waits(kind, async || {
            peer.read_vectored(&mut [IoSliceMut::new(&mut buf)]).await
        })
        .await;
        ends_while_it_waits(kind, async || {
            peer.read_owned(Vec::with_capacity(9)).await.0
        })
        .await;
        stream.write_all(b"next").await.unwrap();
        assert_eq!(peer.read(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf[..4], b"next");
    });
}

#[test]
fn a_write_that_waits_says_that_it_was_taken_over() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let (kind, bytes) = ("tcp write", pattern(MUCH));
        let error = ends_while_it_waits(kind, async || stream.write_all(&bytes).await).await;
        let partial = Partial::of(&error).unwrap();
        assert_eq!(partial.count(), MUCH);
        assert!(error.to_string().contains(&MUCH.to_string()));
        // These do not have their turn.
        let error = ends_while_it_waits(kind, async || stream.write_all(b"not this").await).await;
        assert!(Partial::of(&error).is_none());
        let error = ends_while_it_waits(kind, async || stream.write(b"not this").await).await;
        assert!(Partial::of(&error).is_none());
        let mut memory = b"mine".to_vec();
        ends_while_it_waits(kind, async || {
            let (result, same) = stream.write_owned(std::mem::take(&mut memory)).await;
            memory = same;
            result
        })
        .await;
        assert_eq!(memory, b"mine", "it comes back");
        ends_while_it_waits(kind, async || stream.flush().await).await;
        ends_while_it_waits(kind, async || stream.shutdown().await).await;
        let mut arrived = vec![0; MUCH];
        peer.read_exact(&mut arrived).await.unwrap();
        assert!(arrived == bytes, "it is sent in full");

        let error = ends_while_it_waits(kind, async || {
            let (result, memory) = stream.write_owned(bytes.clone()).await;
            assert!(memory.is_empty(), "the send needs it");
            result
        })
        .await;
        assert_eq!(Partial::of(&error).unwrap().count(), MUCH);
        peer.read_exact(&mut arrived).await.unwrap();
        assert!(arrived == bytes, "it is sent in full");
        stream.write_all(b"the next").await.unwrap();
        assert_eq!(peer.fill(8).await.unwrap(), b"the next");
    });
}

#[test]
fn accepts_that_wait_leave_and_the_next_one_gets_the_connection() {
    for_each_driver(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        ends_while_it_waits("tcp accept", async || listener.accept().await).await;
        ends_while_it_waits("tcp accept", async || listener.incoming().next().await).await;
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        // Accepted ahead, or not: it waits.
        yield_now().await.unwrap();
        let (_, address) = listener.accept().await.unwrap();
        assert_eq!(address, stream.local_addr().unwrap());
        listener.close().await.unwrap();

        let path = path("delivered-accept");
        let listener = UnixListener::bind(&path)
            .unwrap()
            .with_path_removed()
            .unwrap();
        ends_while_it_waits("unix accept", async || listener.accept().await).await;
        let _stream = UnixStream::connect(&path).await.unwrap();
        listener.accept().await.unwrap();
    });
}

#[test]
fn one_of_several_accepts_is_cancelled_and_the_other_is_served() {
    for_each_driver(async || {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let other = spawn({
            let listener = listener.clone();
            async move || listener.accept().await.unwrap().1
        });
        until_someone_waits_for("tcp accept").await;
        let scope = CancelScope::new();
        let body = scope.run(async || listener.accept().await);
        let stopper = async {
            while waits_len() < 2 {
                yield_now().await.unwrap();
            }
            scope.cancel("one of two");
        };
        let (outcome, ()) = join(body, stopper).await;
        assert!(outcome.is_cancelled());
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        assert_eq!(other.await.unwrap(), stream.local_addr().unwrap());
    });
}

#[test]
fn a_connect_that_waits_returns_when_its_attempts_are_over() {
    for_each_driver(async || {
        let (address, _queue) = silent().await;
        ends_while_it_waits("tcp connect", async || TcpStream::connect(address).await).await;
        // Another address waits for its turn.
        ends_while_it_waits("tcp connect", async || {
            TcpStream::connect([address; 3]).await
        })
        .await;
        // Two attempts are under way.
        let scope = CancelScope::new();
        let body = scope.run(async || TcpStream::connect([address; 3]).await);
        let stopper = async {
            let attempts = || {
                let tree = tree();
                let waits = tree.tasks.iter().flat_map(|task| &task.waits);
                waits.filter(|wait| wait.kind == "tcp connect").count()
            };
            while attempts() < 2 {
                time::sleep(std::time::Duration::from_millis(1))
                    .await
                    .unwrap();
            }
            scope.cancel("both");
        };
        let (outcome, ()) = join(body, stopper).await;
        assert!(is_cancelled(&outcome.into_result().unwrap_err()));
        assert_eq!(waits_len(), 0);
    });
}

#[test]
fn a_lookup_that_waits_is_left() {
    for_each_driver(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // If the answer comes first it is of no use: what is to be done with it ends.
        let scope = CancelScope::new();
        let body = scope.run(async || TcpStream::connect(("localhost", port)).await);
        let (outcome, ()) = join(body, async { assert!(scope.cancel("at once")) }).await;
        assert!(is_cancelled(&outcome.into_result().unwrap_err()));
        assert!(
            give_up_after(3, listener.accept()).await.is_none(),
            "nobody came"
        );
    });
}

#[test]
fn datagrams_that_are_waited_for_come_to_the_next_call() {
    for_each_driver(async || {
        let left = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let right = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut buf = [0; 9];
        ends_while_it_waits("udp receive", async || right.recv_from(&mut buf).await).await;
        ends_while_it_waits("udp receive", async || right.recv(&mut buf).await).await;
        ends_while_it_waits("udp receive", async || right.peek_from(&mut buf).await).await;
        left.send_to(b"one", right.local_addr().unwrap())
            .await
            .unwrap();
        assert_eq!(right.recv(&mut buf).await.unwrap(), 3);
        assert_eq!(&buf[..3], b"one");

        let (_left, right) = UnixDatagram::pair().unwrap();
        ends_while_it_waits("unix receive", async || right.recv_from(&mut buf).await).await;
        ends_while_it_waits("unix receive", async || right.peek_from(&mut buf).await).await;
    });
}

#[test]
fn a_datagram_whose_send_was_cancelled_is_not_sent() {
    for_each_driver(async || {
        let (left, right) = UnixDatagram::pair().unwrap();
        let sent = Cell::new(0u16);
        let scope = CancelScope::new();
        let body = scope.run(async || -> io::Result<()> {
            loop {
                left.send(&sent.get().to_le_bytes()).await?;
                sent.set(sent.get() + 1);
            }
        });
        // Until the queue is full.
        let stopper = async {
            let mut before = None;
            while before != Some(sent.get()) {
                before = Some(sent.get()).filter(|sent| *sent > 0);
                for _ in 0..10 {
                    yield_now().await.unwrap();
                }
            }
            scope.cancel("full");
        };
        let (outcome, ()) = join(body, stopper).await;
        assert!(outcome.is_cancelled());
        let sent = sent.get();
        for number in 0..sent {
            let mut buf = [0; 4];
            assert_eq!(right.recv(&mut buf).await.unwrap(), 2);
            assert_eq!(buf[..2], number.to_le_bytes());
        }
        left.send(b"the next").await.unwrap();
        let mut buf = [0; 9];
        assert_eq!(right.recv(&mut buf).await.unwrap(), 8, "nothing in between");
    });
}

#[test]
fn waits_for_descriptors_end_and_can_begin_again() {
    // Descriptors are the kernel's.
    for_each_kernel_driver(async || {
        let (reader, mut writer) = std::os::unix::net::UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let descriptor = Descriptor::new(reader.into());
        ends_at_once(async || descriptor.writable().await).await;
        descriptor.writable().await.unwrap();
        ends_while_it_waits("readable", async || descriptor.readable().await).await;
        writer.write_all(b"x").unwrap();
        ends_at_once(async || descriptor.readable().await).await;
        descriptor.readable().await.unwrap();

        let full = Descriptor::new(writer.try_clone().unwrap().into());
        while writer.write(&[0; 4096]).is_ok() {}
        ends_while_it_waits("writable", async || full.writable().await).await;
    });
}

#[test]
fn what_comes_with_the_cancel_wins() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let mut say = async move |bytes: &'static [u8]| {
            stream.write_all(bytes).await.unwrap();
        };
        for round in 0..4 {
            let mut buf = [0; 9];
            let mut large = vec![0; 20_000];
            let read = async || match round {
                0 => peer.read(&mut buf).await,
                1 => peer.read_exact(&mut buf[..4]).await.map(|()| 4),
                2 => peer.fill(4).await.map(<[u8]>::len),
                _ => peer.read(&mut large).await,
            };
            let (count, ()) = beside(wins_the_race(read), say(b"four")).await;
            assert_eq!(count, 4);
            peer.consume(if round == 2 { 4 } else { 0 });
        }

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = wins_the_race(async || listener.accept().await);
        if is_simulated() {
            let ((_, peer_address), stream) = beside(accept, TcpStream::connect(address)).await;
            assert_eq!(peer_address, stream.unwrap().local_addr().unwrap());
            // Both have woken this task; the next race counts its polls.
            yield_now().await.unwrap();
        } else {
            // At once, so that it wakes nobody twice.
            let connect = async { std::net::TcpStream::connect(address).unwrap() };
            let ((_, peer_address), stream) = beside(accept, connect).await;
            assert_eq!(peer_address, stream.local_addr().unwrap());
        }

        let mut stream = wins_the_race(async || TcpStream::connect(address).await).await;
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"it is connected").await.unwrap();
        assert_eq!(stream.fill(15).await.unwrap(), b"it is connected");

        let left = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let right = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = right.local_addr().unwrap();
        let sent = wins_the_race(async || left.send_to(b"sent", address).await).await;
        assert_eq!(sent, 4);
        let mut buf = [0; 9];
        assert_eq!(right.recv(&mut buf).await.unwrap(), 4, "it is here");
        let receive = wins_the_race(async || right.recv(&mut buf).await);
        let (count, _) = beside(receive, left.send_to(b"again", address)).await;
        assert_eq!(count, 5);
        // What woke this task in vain does not count as the next race's second poll.
        yield_now().await.unwrap();
        wins_the_race(async || left.connect(address).await).await;
        assert_eq!(left.peer_addr().unwrap(), address);

        if !is_simulated() {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let descriptor = Descriptor::new(socket.into());
            wins_the_race(async || descriptor.writable().await).await;
        }

        let bytes = pattern(MUCH);
        let mut arrived = vec![0; MUCH];
        let write = wins_the_race(async || stream.write_all(&bytes).await);
        let ((), result) = beside(write, peer.read_exact(&mut arrived)).await;
        result.unwrap();
        assert!(arrived == bytes);
    });
}

/// Awaits both, each with a waker of its own, so that what wakes `other` does not poll `race`.
async fn beside<A: Future, B: Future>(race: A, other: B) -> (A::Output, B::Output) {
    let (mut one, mut two) = (None, None);
    let mut both: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + '_>>> =
        FuturesUnordered::new();
    both.push(Box::pin(async { one = Some(race.await) }));
    both.push(Box::pin(async { two = Some(other.await) }));
    while both.next().await.is_some() {}
    drop(both);
    (one.unwrap(), two.unwrap())
}

#[test]
fn in_a_shield_everything_goes_on() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let scope = CancelScope::new();
        let peer = spawn(async move || {
            let mut question = Vec::new();
            peer.read_to_end(&mut question).await.unwrap();
            peer.write_all(b"bye").await.unwrap();
            question
        });
        let outcome = scope
            .run(async || {
                scope.cancel("for the test");
                let answer = shield(async || {
                    stream.write_all(b"farewell").await?;
                    stream.shutdown().await?;
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).await?;
                    Ok::<_, io::Error>(answer)
                })
                .await;
                assert_eq!(answer.unwrap(), b"bye");
                stream.fill(1).await.map(<[u8]>::len)
            })
            .await;
        assert!(outcome.is_cancelled());
        assert_eq!(peer.await.unwrap(), b"farewell");
    });
}

/// A cancel while a shielded read waits is heard of after it.
#[test]
fn a_shielded_wait_is_not_ended() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let scope = CancelScope::new();
        let body = scope.run(async || {
            let count = shield(async || peer.fill(4).await.map(<[u8]>::len)).await?;
            assert_eq!(count, 4);
            peer.fill(5).await.map(<[u8]>::len)
        });
        let other = async {
            until_someone_waits_for("tcp read").await;
            scope.cancel("too early");
            yield_now().await.unwrap();
            stream.write_all(b"here").await.unwrap();
        };
        let (outcome, ()) = join(body, other).await;
        assert!(outcome.is_cancelled());
        assert_eq!(peer.filled(), b"here");
    });
}

#[test]
fn combinators_with_wakers_of_their_own_hear_of_it() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (silent, _queue) = silent().await;
        let bytes = pattern(MUCH);
        let scope = CancelScope::new();
        let ended = Cell::new(0);
        let body = scope.run(async || {
            let (mut read, mut write) = stream.split();
            let mut buf = [0; 9];
            let mut all: FuturesUnordered<Pin<Box<dyn Future<Output = io::Result<()>> + '_>>> =
                FuturesUnordered::new();
            all.push(Box::pin(async { read.fill(1).await.map(drop) }));
            all.push(Box::pin(async { write.write_all(&bytes).await }));
            all.push(Box::pin(async { listener.accept().await.map(drop) }));
            all.push(Box::pin(async { udp.recv(&mut buf).await.map(drop) }));
            all.push(Box::pin(async {
                TcpStream::connect(silent).await.map(drop)
            }));
            while let Some(result) = all.next().await {
                assert!(is_cancelled(&result.unwrap_err()));
                ended.set(ended.get() + 1);
            }
            yield_now().await.map_err(io::Error::from)
        });
        let stopper = async {
            while waits_len() < 5 {
                yield_now().await.unwrap();
            }
            scope.cancel("all of them");
        };
        let (outcome, ()) = join(body, stopper).await;
        assert!(outcome.is_cancelled());
        assert_eq!(ended.get(), 5);
        let mut arrived = vec![0; MUCH];
        peer.read_exact(&mut arrived).await.unwrap();
        assert!(arrived == bytes);
    });
}

/// A task that always finds something gives way when it has had its share of the turn. There it can be ended.
#[test]
fn a_task_that_always_finds_something_is_ended() {
    for_each_driver(async || {
        let (mut stream, mut peer) = UnixStream::pair().unwrap();
        stream.write_all(&pattern(1000)).await.unwrap();
        let scope = CancelScope::new();
        let count = Cell::new(0);
        let mut body = Box::pin(scope.run(async || -> io::Result<()> {
            loop {
                let (result, memory) = peer.read_owned(Vec::with_capacity(1)).await;
                result?;
                assert_eq!(memory, pattern(1000)[count.get()..=count.get()]);
                count.set(count.get() + 1);
            }
        }));
        let outcome = poll_fn(|cx| {
            assert!(body.as_mut().poll(cx).is_pending());
            // It gave way, and waits for nothing.
            assert!(waits_len() == 0 && count.get() < 1000);
            scope.cancel("enough");
            Poll::Ready(body.as_mut().poll(cx))
        })
        .await;
        assert!(matches!(outcome, Poll::Ready(Outcome::Cancelled(..))));
        drop(body);
        assert_eq!(peer.fill(1).await.unwrap()[0], pattern(1000)[count.get()]);
    });
}

/// A stream on top of another, which keeps what it has made of the bytes.
struct Upper<R> {
    below: R,
    made: Vec<u8>,
}

impl<R: Read> Read for Upper<R> {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        min: usize,
    ) -> Poll<io::Result<()>> {
        ready!(leaf.begin(cx))?;
        while self.made.len() < min {
            ready!(self.below.poll_fill(cx, leaf, 1))?;
            let count = self.below.filled().len();
            if count == 0 {
                break;
            }
            self.made.extend(self.below.filled().to_ascii_uppercase());
            self.below.consume(count);
        }
        Poll::Ready(Ok(()))
    }

    fn filled(&self) -> &[u8] {
        &self.made
    }

    fn consume(&mut self, count: usize) {
        self.made.drain(..count);
    }
}

#[test]
fn streams_of_others_keep_the_contract() {
    for_each_driver(async || {
        let (mut stream, below) = tcp_pair().await;
        let made = Vec::new();
        let mut upper = Upper { below, made };
        stream.write_all(b"amen").await.unwrap();
        ends_while_it_waits("tcp read", async || upper.fill(9).await.map(<[u8]>::len)).await;
        assert_eq!(upper.filled(), b"AMEN");
        ends_at_once(async || upper.read(&mut [0; 4]).await).await;
        let mut leaf = Leaf::here();
        ends_at_once(async || poll_fn(|cx| upper.poll_fill(cx, &mut leaf, 1)).await).await;
        let mut word = [0; 4];
        upper.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"AMEN");
    });
}

/// A stream that waits for something of its own: here for nothing at all.
struct Never;

impl Read for Never {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        _min: usize,
    ) -> Poll<io::Result<()>> {
        ready!(leaf.begin(cx))?;
        leaf.poll_cancelled(cx, "never")
            .map(|cancelled| Err(cancelled.into()))
    }

    fn filled(&self) -> &[u8] {
        &[]
    }

    fn consume(&mut self, _count: usize) {}
}

#[test]
fn a_stream_that_waits_for_something_of_its_own_is_ended() {
    run(async || {
        ends_at_once(async || Never.read(&mut [0; 1]).await).await;
        ends_while_it_waits("never", async || Never.read(&mut [0; 1]).await).await;
        ends_while_it_waits("never", async || {
            let mut reads = FuturesUnordered::new();
            reads.push(async { Never.read(&mut [0; 1]).await });
            reads.next().await.unwrap()
        })
        .await;
    });
}

/// A wait whose future is polled in one scope, and then outside of it, goes on when that scope is cancelled meanwhile.
#[test]
fn a_connect_that_is_ended_for_nothing_begins_again() {
    for_each_driver(async || {
        let (silent, queue) = silent().await;
        let mut connect = Box::pin(TcpStream::connect(silent));
        let scope = CancelScope::new();
        let outcome = scope
            .run(async || {
                assert!(give_up_after(1, &mut connect).await.is_none());
                scope.cancel("not for long");
                // It asks for its end, and is not there to hear of it.
                assert!(
                    poll_fn(|cx| Poll::Ready(connect.as_mut().poll(cx)))
                        .await
                        .is_pending()
                );
                Ok::<(), io::Error>(())
            })
            .await;
        assert!(matches!(outcome, Outcome::Done(())));
        let begun_again = async {
            until_someone_waits_for("tcp connect").await;
            drop(queue);
        };
        let (result, ()) = join(connect, begun_again).await;
        // Whether there is a listener in the end is not what matters.
        if let Err(error) = result {
            assert!(!is_cancelled(&error), "{error}");
        }
    });
}

/// The same with an operation that has memory: the datagram is sent, and once.
#[test]
fn a_send_that_is_ended_for_nothing_begins_again() {
    for_each_driver(async || {
        let (left, right) = UnixDatagram::pair().unwrap();
        let mut count = 0;
        while let Some(sent) = give_up_after(300, left.send(b"before")).await {
            assert_eq!(sent.unwrap(), 6);
            count += 1;
        }
        // What was given up is sent when there is room.
        count += 1;
        let mut waiting = Box::pin(left.send(b"this one"));
        assert!(give_up_after(3, &mut waiting).await.is_none());
        let scope = CancelScope::new();
        let outcome = scope
            .run(async || {
                scope.cancel("not for long");
                assert!(
                    poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx)))
                        .await
                        .is_pending()
                );
                Ok::<(), io::Error>(())
            })
            .await;
        assert!(matches!(outcome, Outcome::Done(())));
        let receive = async {
            let mut buf = [0; 9];
            let mut lens = Vec::new();
            for _ in 0..=count {
                lens.push(right.recv(&mut buf).await.unwrap());
            }
            // Those that waited have no order among them.
            lens.sort_unstable();
            assert_eq!(lens.pop(), Some(8));
            assert!(lens.iter().all(|len| *len == 6));
            assert!(
                give_up_after(300, right.recv(&mut buf)).await.is_none(),
                "sent twice"
            );
        };
        let (sent, ()) = join(waiting, receive).await;
        assert_eq!(sent.unwrap(), 8);
    });
}

#[test]
fn a_write_that_is_cancelled_when_its_turn_comes_did_not_happen() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let bytes = pattern(MUCH);
        let mut arrived = vec![0; MUCH];
        for is_owned in [false, true] {
            assert!(give_up_after(1, stream.write_all(&bytes)).await.is_none());
            let scope = CancelScope::new();
            let mut memory = b"not this".to_vec();
            let mut body = Box::pin(scope.run(async || {
                if is_owned {
                    let (result, same) = stream.write_owned(std::mem::take(&mut memory)).await;
                    memory = same;
                    result.map(drop)
                } else {
                    stream.write_all(b"not this").await
                }
            }));
            let mut polls = 0;
            // It is woken by nothing but the end of the write before.
            let write = poll_fn(|cx| {
                polls += 1;
                if polls == 2 {
                    scope.cancel("at the same moment");
                }
                body.as_mut().poll(cx)
            });
            let (outcome, result) = beside(write, peer.read_exact(&mut arrived)).await;
            result.unwrap();
            drop(body);
            let error = outcome.into_result().unwrap_err();
            assert!(is_cancelled(&error) && Partial::of(&error).is_none());
            assert_eq!(memory, b"not this", "it comes back");
            assert!(arrived == bytes);
        }
        stream.write_all(b"the next").await.unwrap();
        assert_eq!(peer.fill(8).await.unwrap(), b"the next");
    });
}
