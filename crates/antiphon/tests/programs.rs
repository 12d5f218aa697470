//! Whole programs on sockets and real time, cancelled anywhere: they leave everything in order, and nothing behind.
//!
//! `ANTIPHON_ROUNDS` says how many rounds there are of each program on each driver, and `ANTIPHON_SEED` where the seeds begin.

#[path = "programs/mod.rs"]
mod programs;

use std::cell::Cell;
use std::fs;
use std::future::{Future as _, poll_fn};
use std::io::{self, Write as _};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use antiphon::context::{Stats, stats};
use antiphon::net::TcpListener;
use antiphon::{
    CancelScope, Cancelled, DriverKind, Outcome, Runtime, join, spawn, time, tree, yield_now,
};

use programs::echo_server::EchoServer;
use programs::handshake::Handshakes;
use programs::transfer::Transfers;
use programs::{HAS_SYSTEM_SOCKETS, Load, Program, Random};

#[test]
fn an_echo_server_loses_no_byte_and_no_connection() {
    for_each_driver::<EchoServer>();
}

#[test]
fn a_transfer_happens_in_both_stores_or_in_none() {
    for_each_driver::<Transfers>();
}

#[test]
fn a_request_is_applied_once_however_often_it_is_tried() {
    for_each_driver::<Handshakes>();
}

/// One at a time, because descriptors and memory are the process's.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs rounds of a program on each driver that does I/O.
fn for_each_driver<P: Program + 'static>() {
    HAS_SYSTEM_SOCKETS.store(true, Ordering::Relaxed);
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for kind in [DriverKind::Readiness, DriverKind::Auto] {
        let mut runtime = Runtime::builder()
            .driver(kind)
            // What does not end is found by `or_say_what_is_stuck`.
            .grace(STUCK_AFTER)
            .build()
            .unwrap();
        // What is opened once in a process is open afterwards.
        runtime.run(async || drop(TcpListener::bind("127.0.0.1:0").await.unwrap()));
        let soak = Soak {
            driver: runtime.driver(),
            rounds: from_environment("ANTIPHON_ROUNDS").unwrap_or(200),
            seed: from_environment("ANTIPHON_SEED").unwrap_or(1),
            descriptors: descriptors(),
            polls: Cell::new(40),
        };
        soak.run::<P>(&mut runtime);
        assert_eq!(stats(), Stats::default(), "no exit went wrong");
    }
}

struct Soak {
    driver: &'static str,
    rounds: u64,
    seed: u64,
    /// How many were open before.
    descriptors: usize,
    /// How many polls a program took that was not cancelled.
    polls: Cell<usize>,
}

impl Soak {
    fn run<P: Program + 'static>(&self, runtime: &mut Runtime) {
        let mut resident = None;
        let (mut done, mut half_way) = (0, 0);
        for round in 0..self.rounds {
            let seed = self.seed + round;
            let said = SaidOnPanic::<P>::new(self.driver, seed);
            // Ending a loop is one of the ways.
            let (is_done, progress) = match seed % 10 {
                0 => self.ended_with_its_loop::<P>(runtime, seed),
                _ => runtime.run(async || self.cancelled::<P>(seed).await),
            };
            drop(said);
            done += u64::from(is_done);
            half_way += u64::from(!is_done && progress > 0 && progress < P::END);
            if round == self.rounds / 4 {
                resident = resident_kib();
            }
        }
        let cancelled = self.rounds - done;
        print!(
            "{}, {}: {done} done, {cancelled} cancelled, {half_way} of them half way",
            P::NAME,
            self.driver
        );
        if let (Some(before), Some(after)) = (resident, resident_kib()) {
            println!("; {before} KiB resident after a quarter, {after} KiB at the end");
            assert!(after < before + RESIDENT_MORE_MAX_KIB, "memory is lost");
        }
        let is_at_any_time = done > 0 && half_way > 0 && cancelled > half_way;
        assert!(is_at_any_time || self.rounds < 100);
    }

    /// Runs the program, cancels it at a random moment, and checks what is left. Returns whether it was faster,
    /// and how far it got.
    async fn cancelled<P: Program>(&self, seed: u64) -> (bool, usize) {
        let random = Random::new(seed);
        let program = P::new(random.next(), Load::Full);
        let scope = CancelScope::new();
        let poll = (random.below(3) == 0).then(|| self.some_poll(&random));
        let polls = Cell::new(0);
        let mut body = pin!(scope.run(async || program.run().await));
        let body = poll_fn(|cx| {
            if poll == Some(polls.get()) {
                scope.cancel("at a random step");
            }
            polls.set(polls.get() + 1);
            body.as_mut().poll(cx)
        });
        let has_ended = CancelScope::new();
        let (outcome, _) = join((
            async || {
                let outcome = body.await;
                has_ended.cancel("nothing is left to cancel");
                outcome
            },
            async || {
                let stop = has_ended.run(async || {
                    // Some are left alone.
                    if poll.is_none() && random.below(6) > 0 {
                        self.some_time(&random).await?;
                        scope.cancel("at a random moment");
                    }
                    or_say_what_is_stuck::<P>(seed).await
                });
                stop.await
            },
        ))
        .await;
        let is_done = match outcome {
            Outcome::Done(()) => {
                self.polls.set(polls.get());
                true
            }
            Outcome::Cancelled(..) => false,
            Outcome::Failed(error) => panic!("{error:?}"),
        };
        program.check(is_done);
        let tree = tree();
        assert_eq!(tree.tasks.len(), 1, "no task is left: {tree}");
        self.wait_for_descriptors().await;
        (is_done, program.progress())
    }

    /// Runs the program in a task, and ends the loop at a random moment.
    fn ended_with_its_loop<P: Program + 'static>(
        &self,
        runtime: &mut Runtime,
        seed: u64,
    ) -> (bool, usize) {
        let random = Random::new(seed);
        let program = Rc::new(P::new(random.next(), Load::Full));
        let result: Rc<Cell<Option<io::Result<()>>>> = Rc::default();
        runtime.run(async || {
            let (program, result) = (Rc::clone(&program), Rc::clone(&result));
            drop(spawn(async move || {
                result.set(Some(program.run().await));
            }));
            self.some_time(&random).await.unwrap();
        });
        let is_done = match result.take().expect("it ends before the loop does") {
            Ok(()) => true,
            Err(_) => false,
        };
        program.check(is_done);
        assert_eq!(descriptors(), self.descriptors);
        (is_done, program.progress())
    }

    /// One of the polls that a program takes: one of the first, or any.
    fn some_poll(&self, random: &Random) -> usize {
        let limit = [4, self.polls.get(), self.polls.get()][random.below(3)];
        random.below(limit)
    }

    /// A moment that may be before the program has done anything, after it has ended, or at any time between.
    async fn some_time(&self, random: &Random) -> Result<(), Cancelled> {
        if random.below(2) == 0 {
            let micros = [300, 3_000, 10_000][random.below(3)];
            let micros = u64::try_from(random.below(micros)).unwrap();
            return time::sleep(Duration::from_micros(micros)).await;
        }
        // There are turns without a poll of it.
        let limit = [4, self.polls.get(), 8 * self.polls.get()][random.below(3)];
        for _ in 0..random.below(limit) {
            yield_now().await?;
        }
        Ok(())
    }

    /// What is closed in the background is closed some turns later.
    async fn wait_for_descriptors(&self) {
        let mut turns = 0;
        while descriptors() != self.descriptors {
            yield_now().await.unwrap();
            turns += 1;
            assert!(turns < 10_000, "{} are open", descriptors());
        }
    }
}

/// Waits for longer than anything takes, and shows what everybody waits for.
async fn or_say_what_is_stuck<P: Program>(seed: u64) -> Result<(), Cancelled> {
    time::sleep(STUCK_AFTER).await?;
    // A panic would wait for what is stuck, and the test would keep what it prints.
    let text = format!("{} is stuck, ANTIPHON_SEED={seed}\n{}", P::NAME, tree());
    let _ = io::stderr().write_all(text.as_bytes());
    std::process::abort();
}

const STUCK_AFTER: Duration = Duration::from_secs(60);

/// Says how to come back to a round that fails.
struct SaidOnPanic<P> {
    driver: &'static str,
    seed: u64,
    program: std::marker::PhantomData<P>,
}

impl<P: Program> SaidOnPanic<P> {
    const fn new(driver: &'static str, seed: u64) -> Self {
        Self {
            driver,
            seed,
            program: std::marker::PhantomData,
        }
    }
}

impl<P> Drop for SaidOnPanic<P> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("on {}: ANTIPHON_SEED={}", self.driver, self.seed);
        }
    }
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}")))
}

fn descriptors() -> usize {
    // The directory is open itself while it is read, each time.
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// `None` where the system does not say.
fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Memory is given back to the system as the allocator likes.
const RESIDENT_MORE_MAX_KIB: u64 = 32 * 1024;
