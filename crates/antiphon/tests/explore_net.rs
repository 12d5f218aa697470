//! Sockets lose no byte, double none and leave nothing behind, wherever they are interrupted and whatever the network does.
//!
//! What goes through a stream is always the same, [`content`], so what arrived is checked by what it is.

mod explore_support;

use std::cell::{Cell, RefCell};
use std::env;
use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use antiphon::context::with;
use antiphon::explore::{Case, Explorer, Fault, exposed};
use antiphon::io::{Partial, Read, Write};
use antiphon::net::{
    ConnectError, OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream, UdpSocket, UnixDatagram,
    UnixListener, UnixStream,
};
use antiphon::time::sleep;
use antiphon::{
    CancelScope, JoinHandle, Outcome, is_cancelled, shield, spawn, try_join, yield_now,
};
use explore_support::{SECOND, look};
use futures_util::FutureExt;

/// What may happen to the network in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Net {
    /// Nothing: only a cancel or a panic.
    Sound,
    /// One call fails.
    Faulty,
}

/// Explores `program` with cancels and panics, and then with calls that fail.
#[track_caller]
fn on_each_net<F: Future<Output = io::Result<()>>>(name: &str, program: impl Fn(Net) -> F) {
    let of_net = [
        (Net::Sound, &[Fault::Cancel, Fault::Panic][..]),
        (Net::Faulty, &[Fault::Error]),
    ];
    let only = env::var("ANTIPHON_EXPLORE").ok();
    let only: Option<Case> = only.and_then(|case| case.parse().ok());
    for (net, faults) in of_net {
        let is_of = |(fault, _)| faults.contains(&fault);
        if only
            .and_then(|case| case.fault())
            .is_some_and(|it| !is_of(it))
        {
            continue;
        }
        match Explorer::new()
            .faults(faults)
            .orders(4)
            .run(|| program(net))
        {
            Ok(all) => println!(
                "{name} {net:?}: {} points, {} runs",
                all.points(),
                all.runs()
            ),
            Err(failure) => panic!("{name} {net:?}: {failure}"),
        }
    }
}

impl Net {
    /// Has `body` exposed, and returns what it returned: `None` if it was cancelled, or panicked because that was injected.
    async fn attempt<T>(self, body: impl AsyncFnOnce() -> io::Result<T>) -> io::Result<Option<T>> {
        match AssertUnwindSafe(exposed(body)).catch_unwind().await {
            Ok(Outcome::Done(value)) => Ok(Some(value)),
            Ok(Outcome::Cancelled(_, error)) => {
                assert!(is_cancelled(&error), "it failed as well: {error}");
                Ok(None)
            }
            Ok(Outcome::Failed(error)) => {
                self.check_error(&error);
                Err(error)
            }
            Err(_) => Ok(None),
        }
    }

    /// Checks that `error` is one that the network may have.
    #[track_caller]
    fn check_error(self, error: &io::Error) {
        assert_eq!(self, Self::Faulty, "no call has failed: {error}");
        assert!(!is_cancelled(error), "nobody is cancelled: {error}");
    }

    /// Takes errors for none, if calls may fail.
    #[track_caller]
    fn forgive(self, result: io::Result<()>) {
        if let Err(error) = result {
            self.check_error(&error);
        }
    }
}

/// Runs both to their end, or until one fails.
async fn both<T, U>(
    branches: (
        impl AsyncFnOnce() -> io::Result<T>,
        impl AsyncFnOnce() -> io::Result<U>,
    ),
) -> io::Result<(T, U)> {
    Ok(try_join(branches).await?)
}

/// What is sent: bytes that look random.
fn content() -> &'static [u8] {
    static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 1_u64;
        let next = |_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        (0..1 << 20).map(next).collect()
    });
    &CONTENT
}

/// A stream's direction, as those at its ends know it.
#[derive(Clone, Default)]
struct Wire {
    sent: Rc<Cell<usize>>,
    received: Rc<RefCell<Vec<u8>>>,
    /// Set when one of them had an error: then it is not known what was sent, and not all arrives.
    is_broken: Rc<Cell<bool>>,
}

impl Wire {
    /// The next bytes to be sent.
    fn next(&self, len: usize) -> &'static [u8] {
        &content()[self.sent.get()..][..len]
    }

    fn will_send(&self, count: usize) {
        self.sent.set(self.sent.get() + count);
    }

    /// Counts what a write of `len` bytes says that it has taken over.
    fn count<T>(&self, len: usize, result: io::Result<T>) -> io::Result<T> {
        match &result {
            Ok(_) => self.will_send(len),
            Err(error) if is_cancelled(error) => {
                self.will_send(Partial::of(error).map_or(0, Partial::count));
            }
            Err(_) => {
                // As much as that at most.
                self.will_send(len);
                self.is_broken.set(true);
            }
        }
        result
    }

    fn receive(&self, bytes: &[u8]) {
        self.received.borrow_mut().extend_from_slice(bytes);
    }

    /// Takes an error of a reader down.
    fn hear<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if matches!(&result, Err(error) if !is_cancelled(error)) {
            self.is_broken.set(true);
        }
        result
    }

    /// What arrived is the beginning of what was sent.
    #[track_caller]
    fn check(&self) {
        let received = self.received.borrow();
        assert!(received.len() <= self.sent.get(), "more came than was sent");
        assert!(content().starts_with(&received), "other bytes came");
    }

    /// All arrived that was sent, if both ends went on to the end of the stream.
    #[track_caller]
    fn check_all(&self) {
        self.check();
        if !self.is_broken.get() {
            assert_eq!(self.received.borrow().len(), self.sent.get());
        }
    }
}

/// Streams of both kinds, connected.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tcp,
    Unix,
}

type Halves = (OwnedReadHalf, OwnedWriteHalf);

impl Kind {
    const ALL: [Self; 2] = [Self::Tcp, Self::Unix];

    async fn pair(self) -> io::Result<(Halves, Halves)> {
        Ok(match self {
            Self::Tcp => {
                let (near, far) = tcp_pair().await?;
                (near.into_split(), far.into_split())
            }
            Self::Unix => {
                let (near, far) = UnixStream::pair()?;
                (near.into_split(), far.into_split())
            }
        })
    }
}

async fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    let (far, _) = listener.accept().await?;
    Ok((near, far))
}

/// Writes in all ways: more than there is room for, and more than one write takes.
async fn write_in_all_ways(wire: &Wire, writer: &mut OwnedWriteHalf) -> io::Result<()> {
    write_all(wire, writer, 100).await?;
    writer.flush().await?;
    let bytes = wire.next(100_000);
    let result = writer.write(bytes).await;
    // It takes so many.
    assert_eq!(*result.as_ref().unwrap_or(&WRITE_MAX), WRITE_MAX);
    wire.count(WRITE_MAX, result)?;
    let (front, back) = wire.next(30_000).split_at(1_000);
    let bufs = [front, b"", back].map(IoSlice::new);
    wire.count(30_000, writer.write_vectored(&bufs).await)?;
    let bytes = wire.next(80_000);
    let (result, memory) = writer.write_owned(bytes.to_vec()).await;
    match &result {
        Ok(count) => assert_eq!((*count, &*memory), (80_000, bytes)),
        Err(error) if is_cancelled(error) => {
            let is_back = Partial::of(error).is_none();
            assert_eq!(memory, if is_back { bytes } else { b"" });
        }
        Err(_) => {}
    }
    wire.count(80_000, result)?;
    write_all(wire, writer, 1).await?;
    wire.hear(writer.flush().await)?;
    write_all(wire, writer, 70_000).await
}

/// What a write takes.
const WRITE_MAX: usize = 64 * 1024;

async fn write_all(wire: &Wire, writer: &mut impl Write, len: usize) -> io::Result<()> {
    wire.count(len, writer.write_all(wire.next(len)).await)
}

/// Reads to the end, now and then.
fn read_slowly(net: Net, wire: &Wire, mut reader: OwnedReadHalf) -> JoinHandle<io::Result<()>> {
    let wire = wire.clone();
    spawn(async move || {
        let mut buf = vec![0; 45_000];
        loop {
            sleep(SECOND).await?;
            match wire.hear(reader.read(&mut buf).await) {
                Ok(0) => return Ok(()),
                Ok(count) => wire.receive(&buf[..count]),
                Err(error) => {
                    net.check_error(&error);
                    return Ok(());
                }
            }
        }
    })
}

#[test]
fn what_a_write_says_that_it_took_over_arrives() {
    for kind in Kind::ALL {
        on_each_net(&format!("writer {kind:?}"), |net| async move {
            let wire = Wire::default();
            let ((_near, mut writer), (reader, _far)) = kind.pair().await?;
            let reader = read_slowly(net, &wire, reader);
            let result = net
                .attempt(async || write_in_all_ways(&wire, &mut writer).await)
                .await;
            if result.is_ok() {
                // The stream goes on from where it was.
                net.forgive(wire.hear(writer.flush().await));
                net.forgive(write_all(&wire, &mut writer, 10).await);
            }
            net.forgive(wire.hear(writer.shutdown().await));
            reader.await??;
            wire.check_all();
            result.map(drop)
        });
    }
}

#[test]
fn a_writer_that_is_dropped_has_sent_a_beginning() {
    for kind in Kind::ALL {
        on_each_net(&format!("writer dropped {kind:?}"), |net| async move {
            let wire = Wire::default();
            let (near, (reader, _far)) = kind.pair().await?;
            let reader = read_slowly(net, &wire, reader);
            let result = net
                .attempt(async || {
                    let (_near, mut writer) = near;
                    write_in_all_ways(&wire, &mut writer).await
                })
                .await;
            // What was still being sent goes with the stream.
            let is_done = matches!(result, Ok(Some(())));
            wire.is_broken.set(!is_done);
            reader.await??;
            wire.check_all();
            result.map(drop)
        });
    }
}

/// Writes through the trait of others, to the end or as far as it gets.
#[cfg(feature = "futures-io")]
async fn write_as_others_do(wire: &Wire, writer: &mut TcpStream) -> io::Result<()> {
    use futures_io::AsyncWrite;
    use std::future::poll_fn;
    use std::pin::Pin;

    while wire.sent.get() < 200_000 {
        let bytes = wire.next(50_000.min(200_000 - wire.sent.get()));
        let written = poll_fn(|cx| Pin::new(&mut *writer).poll_write(cx, bytes));
        match written.await {
            Ok(count) => wire.will_send(count),
            // Not all of it may have been sent, and some of it may have been.
            result => drop(wire.count(bytes.len(), result)?),
        }
    }
    poll_fn(|cx| Pin::new(&mut *writer).poll_close(cx)).await
}

#[test]
#[cfg(feature = "futures-io")]
fn a_foreign_write_that_is_tried_again_is_sent_once() {
    on_each_net("foreign writer", |net| async move {
        let wire = Wire::default();
        let (mut writer, far) = tcp_pair().await?;
        let reader = read_slowly(net, &wire, far.into_split().0);
        let result = net
            .attempt(async || write_as_others_do(&wire, &mut writer).await)
            .await;
        if result.is_ok() {
            net.forgive(write_as_others_do(&wire, &mut writer).await);
        }
        drop(writer);
        reader.await??;
        wire.check_all();
        result.map(drop)
    });
}

/// What the reader of [`read_in_all_ways`] is sent, with pauses.
const PARTS: [usize; 8] = [50, 3, 4_000, 90_000, 1, 2_000, 70_000, 300];

fn write_slowly(net: Net, wire: &Wire, mut writer: OwnedWriteHalf) -> JoinHandle<io::Result<()>> {
    let wire = wire.clone();
    spawn(async move || {
        for (index, part) in PARTS.into_iter().enumerate() {
            if index % 3 == 1 {
                sleep(SECOND).await?;
            }
            let result = write_all(&wire, &mut writer, part).await;
            if result.is_err() {
                net.forgive(result);
                return Ok(());
            }
        }
        net.forgive(wire.hear(writer.shutdown().await));
        Ok(())
    })
}

/// Reads to the end, in all ways. What was received is taken down, whatever becomes of the call.
async fn read_in_all_ways(wire: &Wire, reader: &mut OwnedReadHalf) -> io::Result<()> {
    let mut small = [0; 40];
    let count = wire.hear(reader.read(&mut small).await)?;
    wire.receive(&small[..count]);

    let filled = wire.hear(reader.fill(12).await)?;
    wire.receive(&filled[..11]);
    reader.consume(11);

    // Seen, and left.
    let count = wire.hear(reader.peek(&mut small).await)?;
    assert!(count > 0);
    let mut again = [0; 40];
    // A future that is dropped takes nothing.
    let _ = look(Duration::ZERO, reader.fill(2_000)).await?;
    let _ = look(SECOND / 2, reader.fill(3_500)).await?;
    let more = wire.hear(reader.peek(&mut again).await)?;
    assert_eq!(small[..count.min(more)], again[..count.min(more)]);

    let mut exact = [0; 3_000];
    wire.hear(reader.read_exact(&mut exact).await)?;
    wire.receive(&exact);

    // There is a pause in the middle of it.
    let mut exact = vec![0; 100_000];
    let result = reader.read_exact(&mut exact).await;
    if let Err(error) = &result {
        if let Some(partial) = Partial::of(error) {
            wire.receive(&exact[..partial.count()]);
        }
    }
    wire.hear(result)?;
    wire.receive(&exact);

    let (mut one, mut two) = ([0; 5], [0; 2_000]);
    let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
    let count = wire.hear(reader.read_vectored(&mut bufs).await)?;
    wire.receive(&[&one[..], &two].concat()[..count]);

    let (result, memory) = reader.read_owned(Vec::with_capacity(20_000)).await;
    wire.receive(&memory);
    assert_eq!(memory.len(), result.as_ref().map_or(0, |count| *count));
    wire.hear(result)?;

    for _ in 0..20 {
        let mut line = Vec::new();
        let result = reader.read_until(7, &mut line).await;
        wire.receive(&line);
        wire.hear(result)?;
    }

    let mut large = vec![0; 40_000];
    let count = wire.hear(reader.read(&mut large).await)?;
    wire.receive(&large[..count]);
    read_to_end(wire, reader).await
}

async fn read_to_end(wire: &Wire, reader: &mut OwnedReadHalf) -> io::Result<()> {
    let mut rest = Vec::new();
    let result = reader.read_to_end(&mut rest).await;
    wire.receive(&rest);
    wire.hear(result)?;
    Ok(())
}

#[test]
fn what_a_read_did_not_take_is_there_for_the_next() {
    for kind in Kind::ALL {
        on_each_net(&format!("reader {kind:?}"), |net| async move {
            let wire = Wire::default();
            let ((mut reader, _near), (_far, writer)) = kind.pair().await?;
            let writer = write_slowly(net, &wire, writer);
            let result = net
                .attempt(async || read_in_all_ways(&wire, &mut reader).await)
                .await;
            net.forgive(read_to_end(&wire, &mut reader).await);
            drop(reader);
            writer.await??;
            wire.check_all();
            if net == Net::Sound {
                assert_eq!(wire.sent.get(), PARTS.iter().sum::<usize>());
            }
            result.map(drop)
        });
    }
}

#[test]
fn both_ends_may_be_interrupted_at_once() {
    on_each_net("both ends", |net| async move {
        let wire = Wire::default();
        let ((mut reader, _near), (_far, mut writer)) = Kind::Tcp.pair().await?;
        let result = net
            .attempt(async || {
                both((
                    async || read_in_all_ways(&wire, &mut reader).await,
                    async || {
                        for part in PARTS {
                            write_all(&wire, &mut writer, part).await?;
                            yield_now().await?;
                        }
                        wire.hear(writer.shutdown().await)
                    },
                ))
                .await
            })
            .await;
        // What was taken over is still sent, while the other end reads.
        let writer = spawn({
            let wire = wire.clone();
            async move || net.forgive(wire.hear(writer.shutdown().await))
        });
        net.forgive(read_to_end(&wire, &mut reader).await);
        writer.await?;
        wire.check_all();
        result.map(drop)
    });
}

/// An echo of borrowed halves, at one end or the other of which something happens.
#[test]
fn an_echo_returns_a_beginning_of_what_was_said() {
    for is_client in [true, false] {
        let name = format!("echo {}", if is_client { "client" } else { "server" });
        on_each_net(&name, |net| async move {
            let (there, back) = (Wire::default(), Wire::default());
            let (mut near, mut far) = tcp_pair().await?;
            let server = {
                let there = there.clone();
                async move || {
                    let (mut reader, mut writer) = far.split();
                    loop {
                        let bytes = reader.fill(1).await?;
                        if bytes.is_empty() {
                            return writer.shutdown().await;
                        }
                        let count = bytes.len();
                        there.receive(bytes);
                        writer.write_all(bytes).await?;
                        reader.consume(count);
                    }
                }
            };
            let client = {
                let (there, back) = (there.clone(), back.clone());
                async move || {
                    let (mut reader, mut writer) = near.split();
                    both((
                        async || {
                            write_all(&there, &mut writer, 200_000).await?;
                            writer.shutdown().await
                        },
                        async || {
                            let mut rest = Vec::new();
                            let result = reader.read_to_end(&mut rest).await;
                            back.receive(&rest);
                            result
                        },
                    ))
                    .await
                    .map(drop)
                }
            };
            let (result, other) = if is_client {
                let server = spawn(server);
                let result = net.attempt(client).await;
                (result, server.await?)
            } else {
                let client = spawn(client);
                let result = net.attempt(server).await;
                (result, client.await?)
            };
            if let Err(error) = &other {
                let is_done = matches!(result, Ok(Some(())));
                assert!(!is_done && !is_cancelled(error), "{error}");
            }
            there.check();
            back.sent.set(there.received.borrow().len());
            back.check();
            if matches!(result, Ok(Some(()))) && other.is_ok() {
                assert_eq!(back.received.borrow().len(), 200_000);
            }
            result.map(drop)
        });
    }
}

/// Accepts, and says what it is asked, until it is stopped. Returns how many came.
fn serve(listener: TcpListener, stop: &Rc<CancelScope>) -> JoinHandle<Result<usize, String>> {
    let stop = Rc::clone(stop);
    spawn(async move || {
        let mut count = 0;
        let outcome = stop
            .run(async || {
                loop {
                    let (mut stream, _) = listener.accept().await?;
                    count += 1;
                    let mut byte = [0];
                    // It may have gone.
                    if stream.read_exact(&mut byte).await.is_ok() {
                        let _ = stream.write_all(&byte).await;
                    }
                }
            })
            .await;
        match outcome {
            Outcome::Cancelled(..) => Ok(count),
            Outcome::Failed(error) => Err(io::Error::to_string(&error)),
            Outcome::Done(()) => unreachable!("it is stopped"),
        }
    })
}

/// An address at which nobody listens.
async fn nowhere() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").await?.local_addr()
}

#[test]
fn connections_are_made_or_not_by_address_and_by_name() {
    on_each_net("connect", |net| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (stop, nowhere) = (Rc::new(CancelScope::new()), nowhere().await?);
        let server = serve(listener, &stop);
        let made = Cell::new(0);
        let result = net
            .attempt(async || {
                let greet = async |stream: io::Result<TcpStream>| {
                    let mut stream = stream?;
                    made.set(made.get() + 1);
                    stream.write_all(b"?").await?;
                    let mut answer = [0];
                    stream.read_exact(&mut answer).await?;
                    assert_eq!(&answer, b"?");
                    Ok::<(), io::Error>(())
                };
                greet(TcpStream::connect(address).await).await?;
                greet(TcpStream::connect(("localhost", address.port())).await).await?;
                // The next one is tried when one is refused.
                greet(TcpStream::connect([nowhere, address]).await).await?;
                let v6 = SocketAddr::new("::1".parse().unwrap(), nowhere.port());
                greet(TcpStream::connect([v6, nowhere, address]).await).await?;
                // A future that is dropped leaves no socket.
                drop(look(Duration::ZERO, TcpStream::connect(address)).await?);
                match TcpStream::connect([nowhere, v6]).await {
                    Err(error) if is_cancelled(&error) => return Err(error),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
                        let inner: &ConnectError = inner.expect("both are told");
                        assert_eq!(inner.failures().len(), 2);
                    }
                    Ok(_) => panic!("nobody listens there"),
                }
                match TcpStream::connect(nowhere).await {
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
                    result => result.map(drop),
                }
            })
            .await;
        // Those who have connected are heard before it is stopped.
        sleep(SECOND).await?;
        stop.cancel("that was all");
        let count = server.await?.map_err(io::Error::other)?;
        // One that was broken off before is left out.
        let is_sound = net == Net::Sound;
        assert!(
            count >= made.get() || !is_sound,
            "who is connected was accepted"
        );
        if matches!(result, Ok(Some(()))) {
            assert!(made.get() == 4);
        }
        result.map(drop)
    });
}

/// What one of the clients says.
async fn number_of(mut stream: impl Read) -> io::Result<u8> {
    let mut number = [0];
    stream.read_exact(&mut number).await?;
    Ok(number[0])
}

#[test]
fn each_connection_is_accepted_once() {
    on_each_net("accept", |net| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let clients: Vec<_> = (0..6)
            .map(|number| {
                spawn(async move || {
                    // Some are there before anybody asks, some two at a time.
                    sleep(u32::from(number / 2) * SECOND).await?;
                    with(TcpStream::connect(address), async |stream| {
                        stream.write_all(&[number]).await
                    })
                    .await
                })
            })
            .collect();
        let accepted = RefCell::new(Vec::new());
        let accept = async || {
            let (stream, _) = listener.accept().await?;
            accepted.borrow_mut().push(stream);
            Ok::<(), io::Error>(())
        };
        let result = net
            .attempt(async || {
                accept().await?;
                if let Some(stream) = look(Duration::ZERO, listener.accept()).await? {
                    accepted.borrow_mut().push(stream?.0);
                }
                // Two who wait for the same.
                both((&accept, &accept)).await?;
                if let Some(stream) = look(SECOND / 2, listener.accept()).await? {
                    accepted.borrow_mut().push(stream?.0);
                }
                let stream = listener.incoming().next().await?;
                accepted.borrow_mut().push(stream);
                Ok(())
            })
            .await;
        while accepted.borrow().len() < 6 {
            accept().await?;
        }
        let mut numbers = Vec::new();
        for stream in accepted.take() {
            numbers.push(number_of(stream).await?);
        }
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
        for client in clients {
            client.await??;
        }
        result.map(drop)
    });
}

#[test]
fn a_listener_that_was_closed_leaves_its_address_free() {
    on_each_net("close", |net| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let result = net
            .attempt(async || {
                look(SECOND, listener.accept()).await?;
                let early = TcpStream::connect(address).await?;
                // It is there, and nobody has taken it.
                yield_now().await?;
                let closed = listener.close().await;
                drop(early);
                closed?;
                // At once.
                TcpListener::bind(address).await?.close().await?;
                Ok(())
            })
            .await;
        sleep(SECOND).await?;
        drop(TcpListener::bind(address).await?);
        result.map(drop)
    });
}

#[test]
fn unix_listeners_give_each_connection_once_and_their_path_back() {
    on_each_net("unix listener", |net| async move {
        let path = "/simulated/listener";
        let listener = UnixListener::bind(path)?.with_path_removed()?;
        let accepted = RefCell::new(Vec::new());
        let accept = async || {
            let (stream, _) = listener.accept().await?;
            accepted.borrow_mut().push(stream);
            Ok::<(), io::Error>(())
        };
        let connected = Cell::new(0_u8);
        let result = net
            .attempt(async || {
                both((
                    async || {
                        for _ in 0..3 {
                            let mut stream = UnixStream::connect(path).await?;
                            let number = connected.get();
                            connected.set(number + 1);
                            shield(async || stream.write_all(&[number]).await).await?;
                            yield_now().await?;
                        }
                        Ok(())
                    },
                    async || {
                        for _ in 0..3 {
                            accept().await?;
                        }
                        Ok::<(), io::Error>(())
                    },
                ))
                .await
            })
            .await;
        while accepted.borrow().len() < connected.get().into() {
            accept().await?;
        }
        let mut numbers = Vec::new();
        for stream in accepted.take() {
            match number_of(stream).await {
                Ok(number) => numbers.push(number),
                // It went before it said anything, in a panic; or it was broken off.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
                Err(error) => net.check_error(&error),
            }
        }
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        if matches!(result, Ok(Some(_))) {
            assert_eq!(numbers, [0, 1, 2]);
        }
        listener.close().await?;
        drop(UnixListener::bind(path)?.with_path_removed()?);
        result.map(drop)
    });
}

#[test]
fn a_block_with_a_stream_is_left_with_all_sent_or_broken_off() {
    on_each_net("manager", |net| async move {
        let wire = Wire::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let reader = {
            let wire = wire.clone();
            spawn(async move || {
                let (stream, _) = listener.accept().await?;
                read_slowly(net, &wire, stream.into_split().0).await?
            })
        };
        let result = net
            .attempt(async || {
                with(TcpStream::connect(address), async |stream| {
                    write_all(&wire, stream, 30_000).await?;
                    // It is given up, and the exit sends it all the same.
                    let scope = CancelScope::with_deadline(antiphon::time::now() + SECOND / 2);
                    let write = scope.run(async || write_all(&wire, stream, 200_000).await);
                    write.await.unless_cancelled()?;
                    Ok::<(), io::Error>(())
                })
                .await
            })
            .await;
        let is_done = matches!(result, Ok(Some(())));
        if is_done {
            assert_eq!(wire.sent.get(), 230_000);
        } else {
            // The stream was closed at once.
            wire.is_broken.set(true);
        }
        // For who waits for a connection: there was none, or it was broken off before it was accepted.
        drop(TcpStream::connect(address).await);
        let heard = reader.await?;
        wire.check_all();
        if is_done {
            heard?;
        }
        result.map(drop)
    });
}

/// Datagrams with numbers: which were sent, and which came.
#[derive(Clone, Default)]
struct Post {
    sent: Rc<RefCell<Vec<u8>>>,
    received: Rc<RefCell<Vec<u8>>>,
}

impl Post {
    fn next(&self) -> [u8; 3] {
        let number = u8::try_from(self.sent.borrow().len()).unwrap();
        [number; 3]
    }

    /// Takes a datagram down that was sent, if it was.
    fn send(&self, result: io::Result<usize>) -> io::Result<()> {
        let [number, ..] = self.next();
        assert_eq!(result?, 3);
        self.sent.borrow_mut().push(number);
        Ok(())
    }

    fn receive(&self, bytes: &[u8]) {
        let [number, again, more] = *bytes else {
            panic!("{bytes:?} was not sent")
        };
        assert_eq!([again, more], [number; 2]);
        self.received.borrow_mut().push(number);
    }

    #[track_caller]
    fn check(&self) {
        assert_eq!(*self.received.borrow(), *self.sent.borrow());
    }
}

/// What has to go to the other end to make it stop.
const STOP: &[u8] = b"stop";

#[test]
fn a_datagram_is_sent_once_or_not_at_all() {
    on_each_net("udp send", |net| async move {
        let post = Post::default();
        let receiver = UdpSocket::bind("127.0.0.1:0").await?;
        let address = receiver.local_addr()?;
        let sender = UdpSocket::bind("127.0.0.1:0").await?;
        let reader = {
            let post = post.clone();
            spawn(async move || {
                let mut buf = [0; 8];
                loop {
                    let (count, _) = receiver.recv_from(&mut buf).await?;
                    if &buf[..count] == STOP {
                        return Ok::<(), io::Error>(());
                    }
                    post.receive(&buf[..count]);
                }
            })
        };
        let result = net
            .attempt(async || {
                post.send(sender.send_to(&post.next(), address).await)?;
                post.send(sender.send_to(&post.next(), address).await)?;
                sender.connect(address).await?;
                post.send(sender.send(&post.next()).await)?;
                sleep(SECOND).await?;
                post.send(sender.send(&post.next()).await)?;
                Ok(())
            })
            .await;
        sender.send_to(STOP, address).await?;
        reader.await??;
        post.check();
        result.map(drop)
    });
}

#[test]
fn a_datagram_is_received_once() {
    on_each_net("udp receive", |net| async move {
        let post = Post::default();
        let receiver = UdpSocket::bind("127.0.0.1:0").await?;
        let address = receiver.local_addr()?;
        let sender = UdpSocket::bind("127.0.0.1:0").await?;
        let from = sender.local_addr()?;
        let writer = {
            let post = post.clone();
            spawn(async move || {
                for number in 0..8 {
                    if number % 2 == 0 {
                        sleep(SECOND).await?;
                    }
                    post.send(sender.send_to(&post.next(), address).await)?;
                }
                sender.send_to(STOP, address).await
            })
        };
        let mut buf = [0; 8];
        let result = net
            .attempt(async || {
                let (count, sender) = receiver.peek_from(&mut buf).await?;
                assert_eq!((&buf[..count], sender), (&[0; 3][..], from));
                let (count, sender) = receiver.recv_from(&mut buf).await?;
                assert_eq!(sender, from);
                post.receive(&buf[..count]);
                let _ = look(Duration::ZERO, receiver.peek_from(&mut [0; 8])).await?;
                let count = receiver.recv(&mut buf).await?;
                post.receive(&buf[..count]);
                receiver.connect(from).await?;
                for patience in [Duration::ZERO, SECOND / 2, 2 * SECOND] {
                    if let Some(count) = look(patience, receiver.recv(&mut buf)).await? {
                        post.receive(&buf[..count?]);
                    }
                }
                let count = receiver.recv(&mut buf).await?;
                post.receive(&buf[..count]);
                Ok(())
            })
            .await;
        loop {
            let count = receiver.recv(&mut buf).await?;
            if &buf[..count] == STOP {
                break;
            }
            post.receive(&buf[..count]);
        }
        writer.await??;
        post.check();
        result.map(drop)
    });
}

#[test]
fn unix_datagrams_that_wait_for_room_are_sent_once_or_not_at_all() {
    on_each_net("unix datagrams", |net| async move {
        let post = Post::default();
        let (path, name) = ("/simulated/receiver", "/simulated/sender");
        let receiver = UnixDatagram::bind(path)?;
        let sender = UnixDatagram::bind(name)?;
        let read = async |buf: &mut [u8; 8]| {
            loop {
                let (count, from) = receiver.recv_from(buf).await?;
                assert_eq!(from.as_pathname(), Some(name.as_ref()));
                if &buf[..count] == STOP {
                    return Ok::<(), io::Error>(());
                }
                post.receive(&buf[..count]);
            }
        };
        let result = net
            .attempt(async || {
                both((
                    async || {
                        for _ in 0..14 {
                            post.send(sender.send_to(&post.next(), path).await)?;
                        }
                        sender.connect(path).await?;
                        for _ in 0..3 {
                            post.send(sender.send(&post.next()).await)?;
                        }
                        Ok(())
                    },
                    async || {
                        // There is room for fewer than are sent.
                        sleep(SECOND).await?;
                        let mut buf = [0; 8];
                        let (count, _) = receiver.peek_from(&mut buf).await?;
                        assert_eq!(count, 3);
                        for _ in 0..6 {
                            let count = receiver.recv(&mut buf).await?;
                            post.receive(&buf[..count]);
                        }
                        Ok::<(), io::Error>(())
                    },
                ))
                .await
            })
            .await;
        let mut buf = [0; 8];
        both((
            async || {
                sender.send_to(STOP, path).await?;
                Ok(())
            },
            async || read(&mut buf).await,
        ))
        .await?;
        post.check();
        result.map(drop)
    });
}

#[test]
fn a_pair_of_unix_datagrams_loses_none() {
    on_each_net("unix datagram pair", |net| async move {
        let post = Post::default();
        let (near, far) = UnixDatagram::pair()?;
        let mut buf = [0; 8];
        let result = net
            .attempt(async || {
                for _ in 0..3 {
                    post.send(near.send(&post.next()).await)?;
                }
                for _ in 0..2 {
                    let count = far.recv(&mut buf).await?;
                    post.receive(&buf[..count]);
                }
                Ok(())
            })
            .await;
        near.send(STOP).await?;
        loop {
            let count = far.recv(&mut buf).await?;
            if &buf[..count] == STOP {
                break;
            }
            post.receive(&buf[..count]);
        }
        post.check();
        result.map(drop)
    });
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, received) = (self.sent.get(), self.received.borrow().len());
        write!(f, "{received} of {sent} bytes")
    }
}
