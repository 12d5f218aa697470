//! The bodies, written once for all runtimes.
//!
//! A body runs in a task, as a server's code does: some runtimes wake the future that they were started with in a
//! slower way. It does many operations between two looks at the clock, and what it computes passes through
//! [`black_box`].

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::rows::Row;
use crate::runtimes::{Meet, Runtime};
use crate::sample::{self, Sample, resident_bytes};

/// Measures `row` on the runtime that we are in.
pub(crate) async fn measure<R: Meet>(runtime: R, row: Row) -> Sample {
    match row {
        Row::SpawnJoin => spawn_join(runtime).await,
        Row::SpawnSerial => spawn_serial(runtime).await,
        Row::Yield1 => yield_now(runtime, 1).await,
        Row::Yield100 => yield_now(runtime, 100).await,
        Row::Yield10k => yield_now(runtime, 10_000).await,
        Row::Hop => hop(runtime).await,
        Row::SleepDropped => sleep_dropped(runtime).await,
        Row::SleepFired => sleep_fired(runtime).await,
        Row::PingPongEvent => ping_pong_event(runtime).await,
        Row::PingPongChannel => ping_pong_channel(runtime).await,
        Row::Oneshot => oneshot(runtime).await,
        Row::Mpsc => mpsc(runtime).await,
        Row::Mutex => mutex(runtime).await,
        Row::Unblock => unblock(runtime).await,
        Row::Unblock100 => unblock_100(runtime).await,
        Row::Idle => idle(runtime).await,
    }
}

/// How many batches are timed in a process.
const BATCHES: usize = 5;

async fn spawn_join<R: Runtime>(runtime: R) -> Sample {
    const TASKS: u64 = 10_000;
    sample::time(runtime, BATCHES, async move || {
        let spawn = |n| runtime.spawn(async move || black_box(n));
        let handles: Vec<_> = (0..TASKS).map(spawn).collect();
        for handle in handles {
            black_box(R::join(handle).await);
        }
        TASKS
    })
    .await
}

async fn spawn_serial<R: Runtime>(runtime: R) -> Sample {
    const TASKS: u64 = 500;
    sample::time(runtime, BATCHES, async move || {
        for n in 0..TASKS {
            black_box(R::join(runtime.spawn(async move || black_box(n))).await);
        }
        TASKS
    })
    .await
}

/// `tasks` tasks do nothing but yield, one of them with an eye on the clock.
///
/// In monoio a task that wakes itself is the next to run, so there its yields let nobody else in.
async fn yield_now<R: Runtime>(runtime: R, tasks: u64) -> Sample {
    const TIMES: u64 = 50_000;
    #[derive(Default)]
    struct Shared {
        yields: Cell<u64>,
        has_begun: Cell<bool>,
        is_over: Cell<bool>,
    }
    struct EndOnDrop(Rc<Shared>);
    impl Drop for EndOnDrop {
        fn drop(&mut self) {
            self.0.is_over.set(true);
        }
    }

    let end = EndOnDrop(Rc::default());
    sample::time(runtime, BATCHES, async move || {
        let shared = &end.0;
        if !shared.has_begun.replace(true) {
            for _ in 1..tasks {
                let shared = Rc::clone(shared);
                R::detach(runtime.spawn(async move || {
                    while !shared.is_over.get() {
                        shared.yields.set(shared.yields.get() + 1);
                        runtime.yield_now().await;
                    }
                }));
            }
        }
        let before = shared.yields.get();
        while shared.yields.get() - before < TIMES {
            shared.yields.set(shared.yields.get() + 1);
            runtime.yield_now().await;
        }
        shared.yields.get() - before
    })
    .await
}

/// Two tasks that take turns; who has had its turn wakes the other through the waker that it left.
async fn hop<R: Runtime>(runtime: R) -> Sample {
    const TURNS: u64 = 10_000;
    struct Table {
        turn: Cell<u64>,
        sleeper: Cell<Option<Waker>>,
    }
    async fn play(table: &Table, parity: u64) {
        while table.turn.get() < TURNS {
            poll_fn(|cx| {
                if table.turn.get() % 2 != parity && table.turn.get() < TURNS {
                    table.sleeper.set(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
                table.turn.set(table.turn.get() + 1);
                if let Some(waker) = table.sleeper.take() {
                    waker.wake();
                }
                Poll::Ready(())
            })
            .await;
        }
    }
    sample::time(runtime, BATCHES, async move || {
        let table = Rc::new(Table {
            turn: Cell::new(0),
            sleeper: Cell::new(None),
        });
        let player = |parity| {
            let table = Rc::clone(&table);
            runtime.spawn(async move || play(&table, parity).await)
        };
        let players = [player(0), player(1)];
        for player in players {
            R::join(player).await;
        }
        TURNS
    })
    .await
}

async fn sleep_dropped<R: Runtime>(runtime: R) -> Sample {
    const PENDING: u64 = 10_000;
    const TIMES: u64 = 1_000;
    for n in 0..PENDING {
        let duration = Duration::from_millis(60_000 + n * 7);
        R::detach(runtime.spawn(async move || runtime.sleep(duration).await));
    }
    // They come to their sleeps.
    runtime.sleep(Duration::from_millis(10)).await;
    let random = Random::new();
    sample::time(runtime, BATCHES, async move || {
        for _ in 0..TIMES {
            let duration = Duration::from_millis(30_000 + random.below(30_000));
            let mut sleep = pin!(runtime.sleep(duration));
            poll_fn(|cx| {
                assert!(black_box(sleep.as_mut().poll(cx)).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        TIMES
    })
    .await
}

async fn sleep_fired<R: Runtime>(runtime: R) -> Sample {
    const TASKS: u64 = 100_000;
    const TIMES: u64 = 3;
    let random = Rc::new(Random::new());
    sample::time(runtime, 2, async move || {
        let sleeper = |_| {
            let random = Rc::clone(&random);
            runtime.spawn(async move || {
                for _ in 0..TIMES {
                    let micros = 1_000 + random.below(39_000);
                    runtime.sleep(Duration::from_micros(micros)).await;
                }
            })
        };
        let sleepers: Vec<_> = (0..TASKS).map(sleeper).collect();
        for sleeper in sleepers {
            R::join(sleeper).await;
        }
        TASKS * TIMES
    })
    .await
}

async fn ping_pong_event<R: Meet>(runtime: R) -> Sample {
    const ROUNDS: u64 = 5_000;
    sample::time(runtime, BATCHES, async move || {
        let there = Rc::new(R::event());
        let back = Rc::new(R::event());
        let echo = runtime.spawn({
            let (there, back) = (Rc::clone(&there), Rc::clone(&back));
            async move || {
                R::wait(&there).await;
                for _ in 1..ROUNDS {
                    R::notify_and_wait(&back, &there).await;
                }
                R::notify(&back);
            }
        });
        // The echo comes to its first wait.
        runtime.yield_now().await;
        for _ in 0..ROUNDS {
            R::notify_and_wait(&there, &back).await;
        }
        R::join(echo).await;
        ROUNDS * 2
    })
    .await
}

async fn ping_pong_channel<R: Meet>(runtime: R) -> Sample {
    const ROUNDS: u64 = 5_000;
    sample::time(runtime, BATCHES, async move || {
        let (sender, mut receiver_there) = R::channel(1);
        let (sender_back, mut receiver) = R::channel(1);
        let echo = runtime.spawn(async move || {
            for _ in 0..ROUNDS {
                let n = R::recv(&mut receiver_there).await;
                R::send(&sender_back, n + 1).await;
            }
        });
        let mut n = 0;
        for _ in 0..ROUNDS {
            R::send(&sender, n).await;
            n = R::recv(&mut receiver).await;
        }
        R::join(echo).await;
        assert_eq!(black_box(n), ROUNDS);
        ROUNDS * 2
    })
    .await
}

async fn oneshot<R: Meet>(runtime: R) -> Sample {
    const TIMES: u64 = 10_000;
    sample::time(runtime, BATCHES, async move || {
        for n in 0..TIMES {
            assert_eq!(R::oneshot(black_box(n)).await, n);
        }
        TIMES
    })
    .await
}

async fn mpsc<R: Meet>(runtime: R) -> Sample {
    const MESSAGES: u64 = 20_000;
    sample::time(runtime, BATCHES, async move || {
        let (sender, mut receiver) = R::channel(128);
        let producer = runtime.spawn(async move || {
            for n in 0..MESSAGES {
                R::send(&sender, black_box(n)).await;
            }
        });
        for n in 0..MESSAGES {
            assert_eq!(R::recv(&mut receiver).await, n);
        }
        R::join(producer).await;
        MESSAGES
    })
    .await
}

async fn mutex<R: Meet>(runtime: R) -> Sample {
    const TIMES: u64 = 50_000;
    let mutex = black_box(R::mutex());
    sample::time(runtime, BATCHES, async move || {
        for n in 0..TIMES {
            R::lock_and_set(&mutex, n).await;
            black_box(&mutex);
        }
        TIMES
    })
    .await
}

async fn unblock<R: Meet>(runtime: R) -> Sample {
    const TIMES: u64 = 200;
    sample::time(runtime, BATCHES, async move || {
        for n in 0..TIMES {
            assert_eq!(R::unblock(black_box(n)).await, n);
        }
        TIMES
    })
    .await
}

async fn unblock_100<R: Meet>(runtime: R) -> Sample {
    const TASKS: u64 = 100;
    sample::time(runtime, BATCHES, async move || {
        let call = |n| runtime.spawn(async move || R::unblock(black_box(n)).await);
        let calls: Vec<_> = (0..TASKS).map(call).collect();
        for (n, call) in (0..TASKS).zip(calls) {
            assert_eq!(R::join(call).await, n);
        }
        TASKS
    })
    .await
}

async fn idle<R: Runtime>(runtime: R) -> Sample {
    const TASKS: u64 = 1_000_000;
    // Not in the tasks, whose bytes are counted.
    static PARKED: AtomicU64 = AtomicU64::new(0);
    let before = resident_bytes();
    for _ in 0..TASKS {
        R::detach(runtime.spawn(async || {
            PARKED.fetch_add(1, Ordering::Relaxed);
            pending::<()>().await;
        }));
    }
    while PARKED.load(Ordering::Relaxed) < TASKS {
        runtime.sleep(Duration::from_millis(1)).await;
    }
    let bytes = resident_bytes() - before;
    Sample {
        value: bytes as f64 / TASKS as f64,
        cpu: 0.0,
    }
}

/// Marsaglia's xorshift: the same numbers for everybody.
struct Random(Cell<u64>);

impl Random {
    const fn new() -> Self {
        Self(Cell::new(0x9E37_79B9_7F4A_7C15))
    }

    fn below(&self, end: u64) -> u64 {
        let mut word = self.0.get();
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        self.0.set(word);
        word % end
    }
}
