//! The rows.

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use antiphon::context::{from_fn, with};
use antiphon::sync::Event;
use antiphon::{CancelScope, Cancelled, group, run, spawn, time, yield_now};

use crate::timing::thread_nanos;

/// Something to measure.
pub(crate) struct Row {
    pub(crate) key: &'static str,
    /// Says what one operation is.
    pub(crate) what: &'static str,
    /// The row that it is compared with, if any.
    pub(crate) beside: &'static str,
    /// What the project asks of itself.
    pub(crate) bar: &'static str,
    /// Measures it: nanoseconds for each operation.
    pub(crate) run: fn() -> f64,
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        key: "ready-0",
        what: "await what is ready, in no scope",
        beside: "",
        bar: "",
        run: || ready_in(0),
    },
    Row {
        key: "ready-1",
        what: "await what is ready, in a scope",
        beside: "ready-0",
        bar: "",
        run: || ready_in(1),
    },
    Row {
        key: "ready-5",
        what: "await what is ready, in five scopes",
        beside: "ready-0",
        bar: "",
        run: || ready_in(5),
    },
    Row {
        key: "yield-0",
        what: "yield, in no scope",
        beside: "",
        bar: "",
        run: || yield_in(0),
    },
    Row {
        key: "yield-1",
        what: "yield, in a scope",
        beside: "yield-0",
        bar: "",
        run: || yield_in(1),
    },
    Row {
        key: "yield-5",
        what: "yield, in five scopes",
        beside: "yield-0",
        bar: "",
        run: || yield_in(5),
    },
    Row {
        key: "spawn",
        what: "spawn and join, 10 000 alive",
        beside: "",
        bar: "",
        run: spawn_join,
    },
    Row {
        key: "group-10k",
        what: "the same in a group",
        beside: "spawn",
        bar: "",
        run: || group_join(10_000),
    },
    Row {
        key: "group-100k",
        what: "the same in a group, 100 000 alive",
        beside: "spawn",
        bar: "",
        run: || group_join(100_000),
    },
    Row {
        key: "join-set",
        what: "shut down one of 10 000 parked tasks of tokio's JoinSet, which drops them",
        beside: "",
        bar: "",
        run: join_set_shutdown,
    },
    Row {
        key: "drain",
        what: "cancel and drain one of 10 000 parked children of a group",
        beside: "join-set",
        bar: "2.0",
        run: drain,
    },
    Row {
        key: "block",
        what: "a block with an await in it",
        beside: "",
        bar: "",
        run: plain_block,
    },
    Row {
        key: "with",
        what: "the same between an enter and an exit",
        beside: "block",
        bar: "",
        run: with_block,
    },
];

/// Processor time of `body`, for each of the operations that it returns.
async fn measure(body: impl AsyncFnOnce() -> u64) -> f64 {
    let before = thread_nanos();
    let operations = body().await;
    (thread_nanos() - before) / operations as f64
}

/// Runs `body` in a task of its own, as a server's code does.
fn in_a_task(body: impl AsyncFnOnce() -> f64 + 'static) -> f64 {
    run(async || spawn(body).await.expect("a row does not panic"))
}

async fn in_scopes(depth: u32, body: &dyn Fn() -> Body) -> Result<f64, Cancelled> {
    if depth == 0 {
        return body().await;
    }
    let scope = CancelScope::new();
    let outcome = Box::pin(scope.run(async || in_scopes(depth - 1, body).await)).await;
    outcome.into_result()
}

type Body = std::pin::Pin<Box<dyn Future<Output = Result<f64, Cancelled>>>>;

const TIMES: u64 = 200_000;

fn ready_in(depth: u32) -> f64 {
    in_a_task(async move || {
        let body = || -> Body {
            Box::pin(async {
                let event = Event::new();
                event.set();
                Ok(measure(async || {
                    for _ in 0..TIMES {
                        black_box(&event).wait().await.expect("nobody cancels");
                    }
                    TIMES
                })
                .await)
            })
        };
        in_scopes(depth, &body).await.expect("nobody cancels")
    })
}

fn yield_in(depth: u32) -> f64 {
    in_a_task(async move || {
        let body = || -> Body {
            Box::pin(async {
                Ok(measure(async || {
                    for _ in 0..TIMES {
                        yield_now().await.expect("nobody cancels");
                    }
                    TIMES
                })
                .await)
            })
        };
        in_scopes(depth, &body).await.expect("nobody cancels")
    })
}

fn spawn_join() -> f64 {
    in_a_task(async || {
        measure(async || {
            let tasks: Vec<_> = (0..10_000_u64)
                .map(|n| spawn(async move || black_box(n)))
                .collect();
            for task in tasks {
                black_box(task.await.expect("it ends well"));
            }
            10_000
        })
        .await
    })
}

fn group_join(children: u64) -> f64 {
    in_a_task(async move || {
        measure(async || {
            let sum = Cell::new(0);
            group(async |group| {
                for n in 0..children {
                    let sum = &sum;
                    drop(group.spawn(async move || {
                        sum.set(sum.get() + black_box(n));
                        Ok(())
                    }));
                }
                Ok::<(), Cancelled>(())
            })
            .await
            .expect("all end well");
            assert_eq!(sum.get(), children * (children - 1) / 2);
            children
        })
        .await
    })
}

fn drain() -> f64 {
    in_a_task(async || {
        let nanos = Cell::new(0.0);
        let before = Cell::new(0.0);
        group(async |group| {
            for _ in 0..10_000 {
                drop(group.spawn(async || time::sleep(Duration::from_secs(3600)).await));
            }
            // They come to their sleeps.
            time::sleep(Duration::from_millis(1)).await?;
            before.set(thread_nanos());
            group.cancel("measured");
            Ok::<(), Cancelled>(())
        })
        .await
        .expect("a cancel is no failure");
        nanos.set(thread_nanos() - before.get());
        nanos.get() / 10_000.0
    })
}

fn join_set_shutdown() -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("tokio starts");
    runtime.block_on(async {
        tokio::task::spawn_local(async {
            let mut set = tokio::task::JoinSet::new();
            for _ in 0..10_000 {
                set.spawn_local(tokio::time::sleep(Duration::from_secs(3600)));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            measure(async || {
                set.shutdown().await;
                10_000
            })
            .await
        })
        .await
        .expect("it ends well")
    })
}

fn plain_block() -> f64 {
    in_a_task(async || {
        measure(async || {
            for n in 0..TIMES {
                black_box(n);
                yield_now().await.expect("nobody cancels");
            }
            TIMES
        })
        .await
    })
}

fn with_block() -> f64 {
    in_a_task(async || {
        measure(async || {
            for n in 0..TIMES {
                let enter = async || Ok::<_, Cancelled>(black_box(n));
                let manager = from_fn(enter, async |_, _| Ok::<_, Cancelled>(()));
                with(manager, async |_| yield_now().await)
                    .await
                    .expect("nobody cancels");
            }
            TIMES
        })
        .await
    })
}
