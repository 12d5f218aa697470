//! `unblock`: closures off the loop, and pools of threads.

mod thread_support;

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use antiphon::thread::{JoinError, Pool, block_on, channel, unblock_with};
use antiphon::{
    CancelScope, Outcome, Runtime, is_cancelled, join, shield, spawn, time, tree, unblock,
    yield_now,
};
use thread_support::{Held, for_each_driver, simulate, until};

/// A pool of the test's own.
fn pool(size: usize) -> Pool {
    Pool::builder().name("test").size(size).build()
}

/// Counts its drops.
#[derive(Clone)]
struct Dropped(Arc<AtomicUsize>);

impl Dropped {
    fn new() -> (Arc<AtomicUsize>, Self) {
        let count = Arc::<AtomicUsize>::default();
        (Arc::clone(&count), Self(count))
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_closure_runs_on_another_thread_and_its_result_comes_back() {
    for_each_driver(async || {
        let here = thread::current().id();
        let name = unblock(|| thread::current().name().map(String::from)).await;
        assert_eq!(name.unwrap().as_deref(), Some("antiphon pool"));
        assert_ne!(unblock(|| thread::current().id()).await.unwrap(), here);
    });
}

#[test]
fn many_at_a_time_all_come_back() {
    for_each_driver(async || {
        let pool = pool(3);
        let calls: Vec<_> = (0..200)
            .map(|n| {
                let pool = pool.clone();
                spawn(async move || pool.unblock(move || n).await.unwrap())
            })
            .collect();
        for (n, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.unwrap(), n);
        }
        let stats = pool.stats();
        assert!(stats.threads <= 3, "{stats:?}");
        assert_eq!((stats.busy, stats.queued, stats.abandoned_total), (0, 0, 0));
    });
}

/// One closure after the other finds the same thread, which is counted as idle before it tells of the result.
#[test]
fn one_by_one_they_need_one_thread() {
    simulate(async || {
        let pool = pool(8);
        for _ in 0..100 {
            pool.unblock(|| ()).await.unwrap();
        }
        assert_eq!(pool.stats().threads, 1);
    });
}

#[test]
fn a_panic_is_an_error_with_its_line() {
    for_each_driver(async || {
        let line = Location::caller();
        let call = unblock(|| -> () { panic!("no paper") });
        let error = call.await.unwrap_err();
        assert!(error.is_panic() && !error.is_ended() && !is_cancelled(&error));
        assert_eq!(error.location().line(), line.line() + 1);
        assert_eq!(
            error.to_string(),
            format!("what {} started panicked: no paper", error.location())
        );
        let payload = error.into_panic().unwrap();
        assert_eq!(payload.downcast_ref(), Some(&"no paper"));
        // The thread goes on.
        assert_eq!(unblock(|| 1).await.unwrap(), 1);
    });
}

#[test]
fn an_error_becomes_one_of_io_and_stays_a_cancel() {
    simulate(async || {
        let error = unblock(|| -> () { panic!("no paper") }).await.unwrap_err();
        let error = std::io::Error::from(error);
        assert!(error.to_string().ends_with("panicked: no paper"), "{error}");
        let scope = CancelScope::new();
        scope.cancel("on purpose");
        let outcome = scope.run(async || unblock(|| ()).await).await;
        let error = std::io::Error::from(outcome.into_result().unwrap_err());
        assert!(is_cancelled(&error));
    });
}

#[test]
fn cancelled_before_its_first_poll_it_starts_nothing() {
    for_each_driver(async || {
        let pool = pool(1);
        let (count, dropped) = Dropped::new();
        let scope = CancelScope::new();
        scope.cancel("before it begins");
        let mut polls = 0;
        let outcome = scope.run(async || {
            let mut call = pin!(pool.unblock(move || drop(dropped)));
            poll_fn(|cx| {
                polls += 1;
                call.as_mut().poll(cx)
            })
            .await
        });
        assert!(outcome.await.is_cancelled());
        assert_eq!(polls, 2, "it gives way once");
        assert_eq!(pool.stats().threads, 0);
        assert_eq!(count.load(Ordering::SeqCst), 1, "dropped, not called");
    });
}

#[test]
fn cancelled_before_it_has_begun_it_did_not_happen() {
    for_each_driver(async || {
        let pool = pool(1);
        let (mut held, closure) = Held::new();
        let first = spawn({
            let pool = pool.clone();
            async move || pool.unblock(closure).await
        });
        held.begun().await;

        let (count, dropped) = Dropped::new();
        let was_called = Arc::<AtomicUsize>::default();
        let scope = CancelScope::new();
        let second = {
            let was_called = Arc::clone(&was_called);
            let call = pool.unblock(move || {
                was_called.fetch_add(1, Ordering::SeqCst);
                drop(dropped);
            });
            async || scope.run(async || call.await).await
        };
        let cancel = async || {
            yield_now().await.unwrap();
            assert_eq!(pool.stats().queued, 1);
            scope.cancel("on purpose");
        };
        let (outcome, ()) = join((second, cancel)).await;
        assert!(outcome.is_cancelled(), "though the thread is held");
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert_eq!((pool.stats().queued, pool.stats().abandoned_total), (0, 0));
        held.let_go();
        first.await.unwrap().unwrap();
        pool.unblock(|| ()).await.unwrap();
        assert_eq!(was_called.load(Ordering::SeqCst), 0);
    });
}

/// Those that were taken back are not kept in the queue for ever.
#[test]
fn of_a_hundred_in_the_queue_the_ones_left_run_in_their_order() {
    simulate(async || {
        let pool = pool(1);
        let (mut held, closure) = Held::new();
        let first = spawn({
            let pool = pool.clone();
            async move || pool.unblock(closure).await
        });
        held.begun().await;
        let trace = Arc::<Mutex<Vec<u32>>>::default();
        let scope = CancelScope::new();
        let calls: Vec<_> = (0..100)
            .map(|n| {
                let (pool, trace, scope) = (pool.clone(), Arc::clone(&trace), CancelScope::new());
                let own = scope.clone();
                let call = spawn(async move || {
                    let call = pool.unblock(move || trace.lock().unwrap().push(n));
                    own.run(async || call.await).await.is_cancelled()
                });
                (n, scope, call)
            })
            .collect();
        yield_now().await.unwrap();
        assert_eq!(pool.stats().queued, 100);
        for (n, scope, _) in &calls {
            if n % 10 != 3 {
                scope.cancel("not this one");
            }
        }
        yield_now().await.unwrap();
        assert_eq!(pool.stats().queued, 10);
        held.let_go();
        for (n, _, call) in calls {
            assert_eq!(call.await.unwrap(), n % 10 != 3);
        }
        first.await.unwrap().unwrap();
        drop(scope);
        let trace = trace.lock().unwrap();
        assert_eq!(*trace, (0..10).map(|n| n * 10 + 3).collect::<Vec<_>>());
    });
}

#[test]
fn cancelled_under_way_it_is_waited_for_and_its_result_wins() {
    for_each_driver(async || {
        let (mut held, closure) = Held::new();
        let scope = CancelScope::new();
        let wait = async || {
            let outcome = scope.run(async || {
                let call = unblock_with(move |stop| {
                    assert!(!stop.is_stopped());
                    closure();
                    stop.is_stopped()
                });
                let was_stopped = call.await.unwrap();
                assert!(was_stopped, "the closure was told");
                yield_now().await
            });
            outcome.await
        };
        let cancel = async || {
            held.begun().await;
            scope.cancel("on purpose");
            yield_now().await.unwrap();
            let waits = tree().to_string();
            assert!(waits.contains("unblock at "), "{waits}");
            held.let_go();
        };
        let (outcome, ()) = join((wait, cancel)).await;
        assert!(outcome.is_cancelled(), "by the next wait");
    });
}

#[test]
fn a_shield_keeps_the_cancel_from_the_closure() {
    simulate(async || {
        let (mut held, closure) = Held::new();
        let scope = CancelScope::new();
        let wait = async || {
            let outcome = scope.run(async || {
                let call = unblock_with(move |stop| {
                    closure();
                    stop.is_stopped()
                });
                Ok::<_, JoinError>(shield(async || call.await.unwrap()).await)
            });
            outcome.await
        };
        let cancel = async || {
            held.begun().await;
            scope.cancel("on purpose");
            yield_now().await.unwrap();
            held.let_go();
        };
        let (outcome, ()) = join((wait, cancel)).await;
        assert!(matches!(outcome, Outcome::Done(false)));
    });
}

/// A result that says on which thread it is dropped.
struct Late(thread::ThreadId, antiphon::thread::Sender<bool>);

impl Drop for Late {
    fn drop(&mut self) {
        let is_own = thread::current().id() == self.0;
        self.1.try_send(is_own).unwrap();
    }
}

#[test]
fn abandoned_it_runs_on_and_is_counted() {
    for_each_driver(async || {
        let pool = pool(1);
        let (mut held, closure) = Held::new();
        let (tell, mut dropped) = channel(1);
        let scope = CancelScope::new();
        let call = pool.unblock(move || {
            closure();
            Late(thread::current().id(), tell)
        });
        let wait = async || {
            let outcome = scope.run(async || call.abandon_on_cancel().await.map(drop));
            outcome.await
        };
        let cancel = async || {
            held.begun().await;
            scope.cancel("on purpose");
        };
        let (outcome, ()) = join((wait, cancel)).await;
        assert!(outcome.is_cancelled());
        let stats = pool.stats();
        assert_eq!(
            (stats.busy, stats.abandoned, stats.abandoned_total),
            (1, 1, 1)
        );
        held.let_go();
        assert_eq!(dropped.recv().await, Ok(Some(true)), "on its own thread");
        until(|| pool.stats().abandoned == 0);
        assert_eq!(pool.stats().abandoned_total, 1);
    });
}

#[test]
fn dropped_under_way_it_is_abandoned_and_told() {
    for_each_driver(async || {
        let pool = pool(1);
        let (tell, mut told) = channel(1);
        let (mut held, closure) = Held::new();
        {
            let call = pool.unblock_with(move |stop| {
                closure();
                tell.blocking_send(stop.is_stopped()).unwrap();
            });
            let mut call = pin!(call);
            assert!(poll_once(call.as_mut()).await.is_pending());
            held.begun().await;
        }
        assert_eq!(pool.stats().abandoned, 1);
        held.let_go();
        assert_eq!(told.recv().await, Ok(Some(true)));
        until(|| pool.stats().busy == 0);
    });
}

async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[test]
fn never_more_threads_than_the_size_and_first_come_first_served() {
    for_each_driver(async || {
        let pool = pool(1);
        let (mut held, closure) = Held::new();
        let trace = Arc::<Mutex<Vec<usize>>>::default();
        let first = spawn({
            let pool = pool.clone();
            async move || pool.unblock(closure).await.unwrap()
        });
        held.begun().await;
        let rest: Vec<_> = (0..5)
            .map(|n| {
                let (pool, trace) = (pool.clone(), Arc::clone(&trace));
                spawn(async move || {
                    let call = pool.unblock(move || trace.lock().unwrap().push(n));
                    call.await.unwrap();
                })
            })
            .collect();
        yield_now().await.unwrap();
        let stats = pool.stats();
        assert_eq!((stats.threads, stats.busy, stats.queued), (1, 1, 5));
        held.let_go();
        first.await.unwrap();
        for call in rest {
            call.await.unwrap();
        }
        assert_eq!(*trace.lock().unwrap(), [0, 1, 2, 3, 4]);
    });
}

#[test]
fn an_idle_thread_ends() {
    let pool = Pool::builder().size(4).idle(Duration::ZERO).build();
    simulate(async || pool.unblock(|| ()).await).unwrap();
    until(|| pool.stats().threads == 0);
    assert_eq!(
        simulate(async || pool.unblock(|| 7).await).unwrap(),
        7,
        "another starts"
    );
}

/// Nothing is ready but a closure under way: the clock would go to the next deadline.
#[test]
fn virtual_time_stands_still_while_a_closure_is_under_way() {
    simulate(async || {
        let start = time::now();
        let sleeper = spawn(async || time::sleep(Duration::from_secs(3600)).await);
        for _ in 0..100 {
            let result = time::timeout(Duration::from_secs(1), async || {
                let call = unblock(|| {
                    for _ in 0..100 {
                        thread::yield_now();
                    }
                });
                call.await.map_err(std::io::Error::from)
            });
            result.await.expect("no time passes");
        }
        assert_eq!(time::now(), start);
        sleeper.await.unwrap().unwrap();
        assert_eq!(
            time::now() - start,
            Duration::from_secs(3600),
            "it goes on afterwards"
        );
    });
}

#[test]
fn a_forgotten_wait_does_not_hold_virtual_time() {
    simulate(async || {
        let (mut held, closure) = Held::new();
        let mut call = Box::pin(unblock(closure));
        assert!(poll_once(call.as_mut()).await.is_pending());
        std::mem::forget(call);
        held.begun().await;
        held.let_go();
        time::sleep(Duration::from_secs(1)).await.unwrap();
    });
}

/// The loop does not wait for it for ever, and neither does the process.
#[test]
fn a_closure_that_is_stuck_ends_neither_the_loop_nor_the_process() {
    const NAME: &str = "a_closure_that_is_stuck_ends_neither_the_loop_nor_the_process";
    if std::env::var_os("STUCK").is_some() {
        for kind in [
            antiphon::DriverKind::Readiness,
            antiphon::DriverKind::Auto,
            antiphon::DriverKind::VirtualTime,
        ] {
            let builder = Runtime::builder().driver(kind);
            let mut runtime = builder.grace(Duration::from_millis(1)).build().unwrap();
            runtime.run(async || {
                let (mut held, closure) = Held::new();
                let task = spawn(async move || unblock(closure).await);
                held.begun().await;
                std::mem::forget(held);
                drop(task);
            });
        }
        assert_eq!(antiphon::thread::stats().abandoned, 3);
        return;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again
        .args(["--exact", NAME, "--nocapture"])
        .env("STUCK", "1");
    let output = again.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    let named = stderr.matches("waits for unblock at ");
    assert_eq!(named.count(), 3, "{stderr}");
    assert!(stderr.contains("thread_unblock.rs:"), "{stderr}");
}

/// It ended its thread, which was counted on.
#[test]
fn a_waker_that_panics_does_not_end_its_thread() {
    #[derive(Default)]
    struct Panics(AtomicBool);
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
            std::panic::resume_unwind(Box::new("a waker that panics"));
        }
    }

    let pool = pool(1);
    let (held, closure) = Held::new();
    let mut call = Box::pin(pool.unblock(closure));
    let panics = Arc::new(Panics::default());
    let waker = Waker::from(Arc::clone(&panics));
    let first = call.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(first.is_pending());
    held.let_go();
    until(|| panics.0.load(Ordering::SeqCst));
    block_on(call).unwrap();
    assert_eq!(block_on(pool.unblock(|| 3)).unwrap(), 3);
    assert_eq!(pool.stats().threads, 1);
}

#[test]
fn results_that_panic_when_they_are_dropped_do_not_end_their_thread() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("a destructor that panics"));
        }
    }

    simulate(async || {
        let pool = pool(1);
        let (mut held, closure) = Held::new();
        {
            let call = pool.unblock(move || {
                closure();
                Panics
            });
            let mut call = pin!(call);
            assert!(poll_once(call.as_mut()).await.is_pending());
            held.begun().await;
        }
        held.let_go();
        assert_eq!(pool.unblock(|| 3).await.unwrap(), 3);
        assert_eq!(pool.stats().threads, 1);
    });
}

#[test]
fn closures_may_wait_for_closures() {
    for_each_driver(async || {
        let outer = unblock(|| block_on(unblock(|| block_on(unblock(|| 5)))));
        assert_eq!(outer.await.unwrap().unwrap().unwrap(), 5);
    });
}

#[test]
#[should_panic(expected = "polled after it gave its result")]
fn polled_after_its_result_it_panics() {
    simulate(async || {
        let mut call = unblock(|| ());
        (&mut call).await.unwrap();
        let _ = (&mut call).await;
    });
}
