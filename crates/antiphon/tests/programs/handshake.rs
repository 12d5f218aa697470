//! Requests over a pool of connections that begin with a handshake, to a server that is not always at its best.
//!
//! ```text
//!   client                        server
//!   hello, a number      ──▶                      it may refuse, or close
//!                        ◀──      challenge       it may close
//!   the answer to it     ──▶
//!                        ◀──      welcome
//!   key, amount          ──▶      applies it, once for each key
//!                        ◀──      key, result     it may be late, or silent, or close
//! ```
//! An attempt has a time limit, the pauses between attempts grow, and a request has a deadline. A connection goes back to the
//! pool only if its block was left with a value: any other is in the middle of something.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use antiphon::context::{ContextManager, Ending, HandOver, with};
use antiphon::io::Write;
use antiphon::net::{TcpListener, TcpStream};
use antiphon::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use antiphon::{Group, group, is_cancelled, time};

use super::frame::Frame;
use super::{Load, Program, Random};

const CLIENTS: u64 = 4;
const REQUESTS: u64 = 4;
const PLACES: usize = 2;
/// So many connections are served badly at most.
const BAD_MAX: u32 = 8;
const DEADLINE: Duration = Duration::from_secs(5);

const HELLO: u64 = 1;
const CHALLENGE: u64 = 2;
const PROOF: u64 = 3;
const WELCOME: u64 = 4;
const REFUSED: u64 = 5;

pub(crate) struct Handshakes {
    random: Random,
    load: Load,
    /// How long an attempt may take.
    patience: Duration,
    pool: Rc<Pool>,
    server: Server,
    /// What the clients were told, for each key.
    answers: RefCell<BTreeMap<u64, u64>>,
    /// Requests whose deadline came.
    given_up: Cell<usize>,
}

#[derive(Default)]
struct Server {
    /// For each key the result, and how often it was applied.
    applied: Mutex<BTreeMap<u64, (u64, u32)>>,
    /// Connections that were served badly.
    bad: Cell<u32>,
    /// Connections that are open.
    open: Rc<Cell<u32>>,
}

struct Pool {
    places: Rc<Semaphore>,
    idle: RefCell<Vec<Connection>>,
    /// Connections that are open, idle or not.
    open: Rc<Cell<u32>>,
}

/// Counts itself as long as there is it.
struct Counted(Rc<Cell<u32>>);

/// Closes the pool's idle connections when it is dropped.
struct Emptied<'a>(&'a Pool);

impl Drop for Emptied<'_> {
    fn drop(&mut self) {
        self.0.idle.borrow_mut().clear();
    }
}

struct Connection {
    stream: TcpStream,
    _counted: Counted,
}

/// A place in the pool, and the connection that is in it.
struct Acquired {
    connection: Connection,
    pool: Rc<Pool>,
    _place: OwnedSemaphorePermit,
}

/// What the server does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    CloseAtOnce,
    Refuse,
    CloseAfterHello,
    CloseAfterChallenge,
    CloseBeforeAnswer,
    AnswerLate,
    AnswerNever,
}

impl Program for Handshakes {
    const NAME: &'static str = "handshakes";

    fn new(seed: u64, load: Load) -> Self {
        let random = Random::new(seed);
        let patience = Duration::from_millis([1, 3, 10][random.below(3)]);
        Self {
            random,
            load,
            patience,
            pool: Rc::new(Pool {
                places: Rc::new(Semaphore::new(PLACES)),
                idle: RefCell::default(),
                open: Rc::default(),
            }),
            server: Server::default(),
            answers: RefCell::default(),
            given_up: Cell::new(0),
        }
    }

    async fn run(&self) -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        // Also if somebody panics.
        let _emptied = Emptied(&self.pool);
        group(async |group| {
            let server = group.child().name("server");
            let server = server.spawn(async move || self.serve(listener).await);
            let clients: Vec<_> = (0..self.clients())
                .map(|client| group.spawn(async move || self.client(client, address).await))
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
        let pool = &self.pool;
        assert_eq!(pool.places.available_permits(), PLACES);
        assert_eq!(pool.idle.borrow().len(), 0);
        assert_eq!(pool.open.get(), 0, "the client's connections are closed");
        assert_eq!(self.server.open.get(), 0, "and the server's");
        let applied = self.server.applied.try_lock().expect("nobody holds it");
        for (key, (result, times)) in &*applied {
            assert_eq!(*times, 1, "request {key} is applied once");
            assert_eq!(*result, result_of(*key, amount_of(*key)));
        }
        let answers = self.answers.borrow();
        for (key, answer) in &*answers {
            assert_eq!(applied[key].0, *answer, "the answer is that to the request");
        }
        if is_done {
            let requests = self.clients() * self.requests();
            assert_eq!((answers.len() + self.given_up.get()) as u64, requests);
        }
    }

    const END: usize = 16;

    fn progress(&self) -> usize {
        self.answers.borrow().len()
    }
}

impl Handshakes {
    const fn clients(&self) -> u64 {
        self.load.choose(CLIENTS, 3)
    }

    const fn requests(&self) -> u64 {
        self.load.choose(REQUESTS, 1)
    }
}

/// The client.
impl Handshakes {
    async fn client(&self, client: u64, address: SocketAddr) -> io::Result<()> {
        for request in 0..self.requests() {
            let key = client * self.requests() + request;
            let deadline = time::now() + DEADLINE;
            let answer = time::move_on_at(deadline, async || self.request(key, address).await);
            match answer.await? {
                Some(answer) => {
                    let before = self.answers.borrow_mut().insert(key, answer);
                    assert_eq!(before, None, "a request is answered once");
                }
                None => self.given_up.set(self.given_up.get() + 1),
            }
        }
        Ok(())
    }

    /// Tries until there is an answer.
    async fn request(&self, key: u64, address: SocketAddr) -> io::Result<u64> {
        let mut pause = Duration::from_micros(50);
        loop {
            let attempt = time::timeout(self.patience, async || self.attempt(key, address).await);
            match attempt.await {
                Ok(answer) => return Ok(answer),
                Err(error) if is_cancelled(&error) => return Err(error),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
                Err(_) => {}
            }
            // So that not all come back at once.
            let jitter = u32::try_from(self.random.below(4)).unwrap();
            time::sleep(pause + pause * jitter / 4).await?;
            pause = (pause * 2).min(Duration::from_millis(2));
        }
    }

    async fn attempt(&self, key: u64, address: SocketAddr) -> io::Result<u64> {
        let acquire = self.pool.acquire(address, &self.random);
        if self.random.below(4) > 0 {
            return with(acquire, async |it| it.connection.ask(key).await).await;
        }
        // As a guard: it is closed when it is dropped, whatever became of it.
        let mut guard = acquire.await?;
        guard.connection.ask(key).await
    }
}

impl Pool {
    /// Waits for a place, and connects if no connection is idle.
    async fn acquire(
        self: &Rc<Self>,
        address: SocketAddr,
        random: &Random,
    ) -> io::Result<Acquired> {
        let place = self.places.acquire_owned(1).await;
        let place = place.map_err(io::Error::other)?;
        let idle = self.idle.borrow_mut().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect(address, random).await?,
        };
        Ok(Acquired {
            connection,
            pool: Rc::clone(self),
            _place: place,
        })
    }

    async fn connect(&self, address: SocketAddr, random: &Random) -> io::Result<Connection> {
        let mut connection = Connection {
            stream: TcpStream::connect(address).await?,
            _counted: Counted::new(&self.open),
        };
        let number = random.next();
        connection.tell(HELLO, number).await?;
        let challenge = connection.hear(CHALLENGE).await?;
        connection.tell(PROOF, proof_of(number, challenge)).await?;
        connection.hear(WELCOME).await?;
        Ok(connection)
    }
}

/// It goes back, if nothing is left in it.
impl ContextManager for Acquired {
    type Error = io::Error;
    type IfDropped = HandOver;

    async fn exit(mut self, ending: Ending<'_>) -> io::Result<()> {
        if ending.is_value() {
            self.connection.stream.flush().await?;
            self.pool.idle.borrow_mut().push(self.connection);
        }
        Ok(())
    }
}

impl Connection {
    async fn ask(&mut self, key: u64) -> io::Result<u64> {
        self.tell(key, amount_of(key)).await?;
        self.hear(key).await
    }

    async fn tell(&mut self, what: u64, number: u64) -> io::Result<()> {
        let frame = Frame::new(what, number.to_le_bytes());
        self.stream.write_all(&frame.seal()).await
    }

    async fn hear(&mut self, what: u64) -> io::Result<u64> {
        let frame = Frame::read(&mut self.stream).await?;
        let frame = frame.ok_or(io::ErrorKind::UnexpectedEof)?;
        if frame.number == REFUSED && what == CHALLENGE {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        number_in(&frame, what)
    }
}

/// The server.
impl Handshakes {
    async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        group(async |group| self.accept(&group, &listener).await).await?;
        Ok(())
    }

    async fn accept<'env>(
        &'env self,
        group: &Group<'env, io::Error>,
        listener: &TcpListener,
    ) -> io::Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            let connection = Connection {
                stream,
                _counted: Counted::new(&self.server.open),
            };
            group.spawn(async move || match self.converse(connection).await {
                Err(error) if is_cancelled(&error) => Err(error),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(error),
                // The client has gone.
                Ok(()) | Err(_) => Ok(()),
            });
        }
    }

    async fn converse(&self, mut connection: Connection) -> io::Result<()> {
        let fault = self.server.fault(&self.random);
        if fault == Fault::CloseAtOnce {
            return Ok(());
        }
        let number = connection.hear(HELLO).await?;
        match fault {
            Fault::Refuse => return connection.tell(REFUSED, 0).await,
            Fault::CloseAfterHello => return Ok(()),
            _ => {}
        }
        let challenge = self.random.next();
        connection.tell(CHALLENGE, challenge).await?;
        if fault == Fault::CloseAfterChallenge {
            return Ok(());
        }
        let proof = connection.hear(PROOF).await?;
        if proof != proof_of(number, challenge) {
            return Err(invalid("the proof is wrong"));
        }
        connection.tell(WELCOME, 0).await?;
        while let Some(frame) = Frame::read(&mut connection.stream).await? {
            let key = frame.number;
            let result = self.apply(key, number_in(&frame, key)?).await?;
            match fault {
                Fault::CloseBeforeAnswer => return Ok(()),
                Fault::AnswerNever => continue,
                Fault::AnswerLate => time::sleep(self.patience + self.patience / 4).await?,
                _ => {}
            }
            connection.tell(key, result).await?;
        }
        Ok(())
    }

    /// Applies a request, unless it was. Cancelled, it did not happen.
    async fn apply(&self, key: u64, amount: u64) -> io::Result<u64> {
        let mut applied = self.server.applied.lock().await?;
        if let Some((result, _)) = applied.get(&key) {
            return Ok(*result);
        }
        self.random.pause().await?;
        let result = result_of(key, amount);
        applied.entry(key).or_insert((result, 0)).1 += 1;
        Ok(result)
    }
}

impl Server {
    fn fault(&self, random: &Random) -> Fault {
        let fault = match random.below(14) {
            0 => Fault::CloseAtOnce,
            1 => Fault::Refuse,
            2 => Fault::CloseAfterHello,
            3 => Fault::CloseAfterChallenge,
            4 => Fault::CloseBeforeAnswer,
            5 => Fault::AnswerLate,
            6 => Fault::AnswerNever,
            _ => return Fault::None,
        };
        if self.bad.get() == BAD_MAX {
            return Fault::None;
        }
        self.bad.set(self.bad.get() + 1);
        fault
    }
}

impl Counted {
    fn new(count: &Rc<Cell<u32>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Takes the number out of a frame that is to be about `what`.
fn number_in(frame: &Frame, what: u64) -> io::Result<u64> {
    if frame.number != what {
        return Err(invalid("it is about something else"));
    }
    let bytes = frame.payload[..].try_into();
    let bytes = bytes.map_err(|_| invalid("it is no number"))?;
    Ok(u64::from_le_bytes(bytes))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

const fn proof_of(number: u64, challenge: u64) -> u64 {
    number.rotate_left(7) ^ challenge
}

const fn amount_of(key: u64) -> u64 {
    1000 + key * 7
}

const fn result_of(key: u64, amount: u64) -> u64 {
    amount * 31 + key
}
