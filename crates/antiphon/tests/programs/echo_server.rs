//! An echo server with a pool of workers, and its clients.
//!
//! ```text
//!   clients ──▶ listener ──▶ acceptor ──▶ queue, of one ──▶ workers ──▶ back to the client, frame by frame
//! ```
//! Cancelled, the server exits the connections that it has, those in the queue as well; the clients read what still comes,
//! until they are left alone.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use antiphon::context::{ContextManager, Ending, HandOver, entered, with};
use antiphon::io::{Partial, Read, Write};
use antiphon::net::{ReadHalf, TcpListener, TcpStream, WriteHalf};
use antiphon::sync::{Mutex, mpsc};
use antiphon::{group, is_cancelled, join, shield, try_join};

use super::frame::Frame;
use super::{Load, Program, Random, impatient, keep_small, unsent};

const CLIENTS: usize = 4;
const WORKERS: usize = 2;
const FRAMES_MAX: usize = 20;

pub(crate) struct EchoServer {
    random: Random,
    clients: Vec<Client>,
    /// How often each accepted connection was exited.
    exits: RefCell<Vec<Rc<Cell<u32>>>>,
    /// Frames that the server found torn.
    torn: Cell<u32>,
}

struct Client {
    random: Random,
    frames: Vec<Vec<u8>>,
    /// The bytes that were taken over for sending.
    sent: RefCell<Vec<u8>>,
    /// The bytes that came back.
    received: RefCell<Vec<u8>>,
}

/// A connection of the server. It exits with what was written sent, and a farewell.
struct Connection {
    stream: TcpStream,
    exits: Rc<Cell<u32>>,
}

impl ContextManager for Connection {
    type Error = io::Error;
    type IfDropped = HandOver;

    async fn exit(mut self, _: Ending<'_>) -> io::Result<()> {
        self.exits.set(self.exits.get() + 1);
        let farewell = async {
            self.stream.flush().await?;
            self.stream.shutdown().await
        };
        match farewell.await {
            Err(error) if is_peer_gone(&error) => Ok(()),
            result => result,
        }
    }
}

impl Program for EchoServer {
    const NAME: &'static str = "echo server";

    fn new(seed: u64, load: Load) -> Self {
        let random = Random::new(seed);
        let clients = load.choose(CLIENTS, 3);
        Self {
            random: random.fork(),
            clients: (0..clients)
                .map(|_| Client::new(random.fork(), load))
                .collect(),
            exits: RefCell::default(),
            torn: Cell::new(0),
        }
    }

    async fn run(&self) -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        group(async |group| {
            let server = group.child().name("server");
            let server = server.spawn(async move || self.serve(listener).await);
            let clients: Vec<_> = self
                .clients
                .iter()
                .map(|client| group.spawn(async move || client.talk(address).await))
                .collect();
            for client in clients {
                client.await?;
            }
            server.cancel("everybody has been served");
            Ok::<(), io::Error>(())
        })
        .await?;
        Ok(())
    }

    fn check(&self, is_done: bool) {
        for exits in &*self.exits.borrow() {
            assert_eq!(exits.get(), 1, "each connection is exited once");
        }
        assert_eq!(self.torn.get(), 0, "the server reads whole frames");
        for client in &self.clients {
            client.check(is_done);
        }
        if is_done {
            assert_eq!(self.exits.borrow().len(), self.clients.len());
        }
    }

    const END: usize = 100;

    /// Percents of the bytes.
    fn progress(&self) -> usize {
        let received = self.clients.iter().map(|it| it.received.borrow().len());
        let frames = self.clients.iter().flat_map(|it| &it.frames).map(Vec::len);
        received.sum::<usize>() * 100 / frames.sum::<usize>()
    }
}

/// The server.
impl EchoServer {
    async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel(1);
        let queue = Mutex::new(receiver);
        let result = group(async |group| {
            let acceptor = group.child().name("acceptor");
            acceptor.spawn(async move || self.accept(listener, sender).await);
            for _ in 0..WORKERS {
                let worker = group.child().name("worker");
                worker.spawn(async || self.work(&queue).await);
            }
            Ok::<(), io::Error>(())
        })
        .await;
        // Those that nobody got round to are told as well.
        let mut queue = queue.into_inner();
        while let Ok(connection) = queue.try_recv() {
            with(entered(connection), async |_| Ok::<(), io::Error>(())).await?;
        }
        Ok(result?)
    }

    async fn accept(
        &self,
        listener: TcpListener,
        queue: mpsc::Sender<Connection>,
    ) -> io::Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            let exits = Rc::new(Cell::new(0));
            self.exits.borrow_mut().push(Rc::clone(&exits));
            if let Err(error) = queue.send(Connection { stream, exits }).await {
                let why = unsent(&error);
                return with(entered(error.into_inner()), async |_| Err(why)).await;
            }
        }
    }

    async fn work(&self, queue: &Mutex<mpsc::Receiver<Connection>>) -> io::Result<()> {
        while let Some(connection) = queue.lock().await?.recv().await? {
            let served = with(entered(connection), async |connection| {
                self.echo(&mut connection.stream).await
            });
            match served.await {
                Err(error) if is_cancelled(&error) => return Err(error),
                // It is the client's affair, unless it is ours.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.torn.set(self.torn.get() + 1);
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    async fn echo(&self, stream: &mut TcpStream) -> io::Result<()> {
        keep_small(stream)?;
        while let Some(frame) = Frame::read(stream).await? {
            self.random.pause().await?;
            stream.write_all(&frame.seal()).await?;
        }
        Ok(())
    }
}

impl Client {
    fn new(random: Random, load: Load) -> Self {
        let frames = (0..=random.below(load.choose(FRAMES_MAX, 2)))
            .map(|number| {
                // Some are more than the system takes at once.
                let len = match random.below(100) {
                    0 => 400_000,
                    1..30 if load == Load::Small => 80_000,
                    1..10 => random.below(60_000),
                    _ => random.below(500),
                };
                let start = random.below(256);
                // A prime number of different bytes, so that no buffer's size divides it.
                let bytes: Vec<u8> = (0..251).collect();
                let payload = &bytes.repeat(len / 251 + 3)[start..start + len];
                Frame::new(number.try_into().unwrap(), payload).seal()
            })
            .collect();
        Self {
            random,
            frames,
            sent: RefCell::default(),
            received: RefCell::default(),
        }
    }

    /// Sends its frames and reads what comes back. When that is given up, it waits for what is on its way.
    async fn talk(&self, address: SocketAddr) -> io::Result<()> {
        with(TcpStream::connect(address), async |stream| {
            keep_small(stream)?;
            let (mut reader, mut writer) = stream.split();
            let talk = try_join((
                async || self.send(&mut writer).await,
                async || self.receive(&mut reader).await,
            ));
            let result = talk.await;
            if result.is_err() {
                shield(async || {
                    let mut rest = Vec::new();
                    let (sent, read) = join((
                        async || writer.shutdown().await,
                        async || reader.read_to_end(&mut rest).await,
                    ))
                    .await;
                    // Errors tell that the server has gone. What came before counts.
                    let _ = (sent, read);
                    self.received.borrow_mut().extend(rest);
                })
                .await;
            }
            result?;
            Ok(())
        })
        .await
    }

    async fn send(&self, writer: &mut WriteHalf<'_>) -> io::Result<()> {
        for frame in &self.frames {
            self.send_frame(writer, frame).await?;
            self.random.pause().await?;
        }
        writer.shutdown().await
    }

    /// Sends a frame, again and again if it lost its patience before its turn had come.
    async fn send_frame(&self, writer: &mut WriteHalf<'_>, frame: &[u8]) -> io::Result<()> {
        let mut taken = 0;
        while taken == 0 {
            impatient(&self.random, async || {
                let result = writer.write_all(frame).await;
                taken = match &result {
                    // It is known exactly.
                    Err(error) if is_cancelled(error) => {
                        Partial::of(error).map_or(0, Partial::count)
                    }
                    // As much as that at most.
                    Ok(()) | Err(_) => frame.len(),
                };
                self.sent.borrow_mut().extend(&frame[..taken]);
                result
            })
            .await?;
        }
        assert_eq!(taken, frame.len(), "no frame is torn");
        Ok(())
    }

    async fn receive(&self, reader: &mut ReadHalf<'_>) -> io::Result<()> {
        let mut is_end = false;
        while !is_end {
            // What it got when it lost its patience is not lost.
            let received = impatient(&self.random, async || self.read(reader).await);
            is_end = received.await? == Some(0);
        }
        Ok(())
    }

    /// Reads in one way or another. Returns how many bytes, `0` at the end.
    async fn read(&self, reader: &mut ReadHalf<'_>) -> io::Result<usize> {
        let size = 1 + match self.random.below(4) {
            0 => self.random.below(10),
            1 => self.random.below(30_000),
            _ => self.random.below(2_000),
        };
        let mut buf = vec![0; size];
        let received = |bytes: &[u8]| {
            self.received.borrow_mut().extend(bytes);
            bytes.len()
        };
        match self.random.below(4) {
            0 => {
                let count = reader.read(&mut buf).await?;
                Ok(received(&buf[..count]))
            }
            1 => {
                let count = received(reader.fill(1).await?);
                reader.consume(count);
                Ok(count)
            }
            2 => {
                // Up to 8 KiB it takes all or nothing.
                buf.truncate(8 * 1024);
                let result = reader.read_exact(&mut buf).await;
                match result {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        let count = received(reader.filled());
                        reader.consume(count);
                        Ok(count)
                    }
                    result => result.map(|()| received(&buf)),
                }
            }
            _ => {
                let mut line = Vec::new();
                let result = reader.read_until(250, &mut line).await;
                received(&line);
                result
            }
        }
    }

    fn check(&self, is_done: bool) {
        let (sent, received) = (self.sent.borrow(), self.received.borrow());
        assert!(
            sent.starts_with(&received),
            "{} bytes came back that are not the beginning of the {} that were sent",
            received.len(),
            sent.len()
        );
        if is_done {
            assert!(*sent == self.frames.concat(), "all was sent");
            assert_eq!(received.len(), sent.len(), "all came back");
        }
    }
}

/// Whether `error` says that the peer has closed the connection: there is nobody to say farewell to.
fn is_peer_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
    )
}
