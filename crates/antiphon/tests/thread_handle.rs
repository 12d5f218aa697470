//! `Handle`: a loop as other threads hold it.

mod thread_support;

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use antiphon::sync::Event;
use antiphon::thread::{SendJoinHandle, block_on, channel};
use antiphon::{
    CancelReason, CancelScope, DriverKind, Handle, Runtime, TaskLocal, spawn, time, tree, unblock,
    yield_now,
};
use thread_support::{for_each_driver, simulate, until};

#[test]
fn handles_cross_threads_and_what_is_sent_need_not_stay() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Handle>();
    crosses::<SendJoinHandle<std::cell::Cell<u8>>>();
}

#[test]
fn a_thread_starts_a_task_on_the_loop() {
    for_each_driver(async || {
        let here = thread::current().id();
        let handle = Handle::current();
        let answer = unblock(move || {
            assert_ne!(thread::current().id(), here);
            let task = handle.spawn(async || {
                // A future that is not `Send`.
                let own = std::rc::Rc::new(thread::current().id());
                yield_now().await.unwrap();
                *own
            });
            task.join()
        });
        assert_eq!(answer.await.unwrap().unwrap(), here);
    });
}

#[test]
fn a_closure_asks_the_loop_again_and_again() {
    for_each_driver(async || {
        let handle = Handle::current();
        let sum = unblock(move || {
            (0..100)
                .map(|n| handle.run_sync(async move || n).unwrap())
                .sum::<u32>()
        });
        assert_eq!(sum.await.unwrap(), 4950);
    });
}

#[test]
fn a_handle_of_its_own_loop_does_no_harm() {
    for_each_driver(async || {
        let task = Handle::current().spawn(async || 3);
        assert_eq!(task.await.unwrap(), 3);
    });
}

#[test]
fn one_loop_awaits_a_task_of_another() {
    for kind in [
        DriverKind::Readiness,
        DriverKind::Auto,
        DriverKind::VirtualTime,
    ] {
        let (sender, mut receiver) = channel(1);
        let other = thread::spawn(move || {
            let mut runtime = Runtime::builder().driver(kind).build().unwrap();
            runtime.run(async || {
                sender.send(Handle::current()).await.unwrap();
                sender.closed().await.unwrap();
            });
        });
        let mut runtime = Runtime::builder().driver(kind).build().unwrap();
        runtime.run(async || {
            let handle = receiver.recv().await.unwrap().unwrap();
            for n in 0..100 {
                assert_eq!(handle.spawn(async move || n).await.unwrap(), n);
            }
        });
        drop(receiver);
        other.join().unwrap();
    }
}

#[test]
fn a_panic_goes_to_the_one_who_waits_and_no_further() {
    for_each_driver(async || {
        let task = Handle::current().spawn(async || -> () { panic!("no paper") });
        let error = task.await.unwrap_err();
        assert_eq!(
            error.into_panic().unwrap().downcast_ref(),
            Some(&"no paper")
        );
        // One that panics before it makes a future.
        let panics = || -> std::future::Ready<()> { panic!("no ink") };
        let error = Handle::current().spawn(panics).await.unwrap_err();
        assert!(error.to_string().ends_with("panicked: no ink"), "{error}");
    });
}

#[test]
fn a_cancel_is_delivered() {
    for_each_driver(async || {
        let task = Handle::current().spawn(async || time::sleep(Duration::from_secs(3600)).await);
        yield_now().await.unwrap();
        let task = unblock(move || {
            assert!(task.cancel("from a thread"));
            assert!(!task.cancel("the first one stays"));
            task
        });
        let cancelled = task.await.unwrap().await.unwrap().unwrap_err();
        assert_eq!(
            cancelled.reason(),
            &CancelReason::Requested("from a thread".into())
        );
        assert!(cancelled.location().file().ends_with("thread_handle.rs"));
    });
}

#[test]
fn cancelled_before_it_begins_a_task_hears_of_it_in_its_first_wait() {
    simulate(async || {
        let task = Handle::current().spawn(async || (1, yield_now().await.is_err()));
        assert!(task.cancel("on purpose"));
        assert_eq!(task.await.unwrap(), (1, true));
    });
}

#[test]
fn a_task_that_has_ended_is_not_cancelled() {
    simulate(async || {
        let task = Handle::current().spawn(async || ());
        while !task.is_finished() {
            yield_now().await.unwrap();
        }
        assert!(!task.cancel("too late"));
        task.await.unwrap();
    });
}

#[test]
fn a_wait_that_is_cancelled_leaves_the_task_alone() {
    simulate(async || {
        let (go, mut wait) = channel(1);
        let mut task = Handle::current().spawn(async move || wait.recv().await.unwrap());
        let scope = CancelScope::new();
        let stop = spawn({
            let scope = scope.clone();
            async move || scope.cancel("the wait")
        });
        let outcome = scope.run(async || (&mut task).await).await;
        assert!(outcome.is_cancelled());
        stop.await.unwrap();
        let text = tree().to_string();
        assert!(!text.contains("task of another thread"), "{text}");
        go.send(5).await.unwrap();
        assert_eq!(task.await.unwrap(), Some(5));
    });
}

#[test]
fn a_wait_in_a_cancelled_scope_takes_nothing() {
    simulate(async || {
        let mut task = Handle::current().spawn(async || 5);
        while !task.is_finished() {
            yield_now().await.unwrap();
        }
        let scope = CancelScope::new();
        scope.cancel("before it begins");
        let mut polls = 0;
        let outcome = scope.run(async || {
            let mut wait = pin!(&mut task);
            poll_fn(|cx| {
                polls += 1;
                wait.as_mut().poll(cx)
            })
            .await
        });
        assert!(outcome.await.is_cancelled());
        assert_eq!(polls, 2);
        assert_eq!(task.await.unwrap(), 5);
    });
}

/// Counts its drops.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_loop_that_has_ended_refuses_and_says_so() {
    for kind in [
        DriverKind::Readiness,
        DriverKind::Auto,
        DriverKind::VirtualTime,
    ] {
        let mut runtime = Runtime::builder().driver(kind).build().unwrap();
        let handle = runtime.run(async || Handle::current());
        assert!(handle.is_closed());
        let count = Arc::<AtomicUsize>::default();
        let dropped = Dropped(Arc::clone(&count));
        let task = handle.spawn(async move || drop(dropped));
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert!(task.is_finished() && !task.cancel("it never was"));
        let error = task.join().unwrap_err();
        assert!(error.is_ended() && !error.is_panic());
        assert!(
            error.to_string().starts_with("the loop has ended before"),
            "{error}"
        );
        assert!(handle.run_sync(async || ()).unwrap_err().is_ended());

        // The next run is another loop.
        let again = runtime.run(async || {
            assert!(handle.is_closed());
            Handle::current().spawn(async || 1).await
        });
        assert_eq!(again.unwrap(), 1);
    }
}

#[test]
fn a_loop_that_ends_in_the_middle_cancels_or_drops_and_nobody_hangs() {
    for kind in [
        DriverKind::Readiness,
        DriverKind::Auto,
        DriverKind::VirtualTime,
    ] {
        let (begun, mut have_begun) = channel(2);
        let builder = Runtime::builder().driver(kind);
        let mut runtime = builder.grace(Duration::ZERO).build().unwrap();
        let threads = runtime.run(async || {
            let handle = Handle::current();
            let waiter = thread::spawn({
                let (handle, begun) = (handle.clone(), begun.clone());
                move || {
                    handle.run_sync(async move || {
                        begun.send(()).await.unwrap();
                        Event::new().wait().await
                    })
                }
            });
            let stubborn = thread::spawn(move || {
                handle.run_sync(async move || {
                    begun.send(()).await.unwrap();
                    pending::<()>().await;
                })
            });
            for _ in 0..2 {
                have_begun.recv().await.unwrap();
            }
            (waiter, stubborn)
        });
        let (first, stubborn) = threads;
        let waited = first.join().unwrap();
        if let Ok(waited) = waited {
            assert_eq!(waited.unwrap_err().reason(), &CancelReason::MainEnded);
        }
        assert!(stubborn.join().unwrap().unwrap_err().is_ended());
    }
}

/// Whoever comes in while the loop ends has an answer.
#[test]
fn who_comes_while_the_loop_ends_has_an_answer() {
    for round in 0..50 {
        let (sender, mut receiver) = channel(1);
        let thread = thread::spawn(move || {
            let handle: Handle = receiver.blocking_recv().unwrap();
            let mut answers = 0;
            loop {
                match handle.run_sync(async || 1) {
                    Ok(one) => answers += one,
                    Err(error) => {
                        assert!(error.is_ended());
                        return answers;
                    }
                }
            }
        });
        let builder = Runtime::builder().driver(if round % 2 == 0 {
            DriverKind::Auto
        } else {
            DriverKind::Readiness
        });
        builder.build().unwrap().run(async || {
            sender.send(Handle::current()).await.unwrap();
            for _ in 0..round {
                yield_now().await.unwrap();
            }
        });
        thread.join().unwrap();
    }
}

#[test]
fn the_tasks_inherit_nothing() {
    static NAME: TaskLocal<&'static str> = TaskLocal::new();
    simulate(async || {
        NAME.set("main");
        let task = Handle::current().spawn(async || NAME.get());
        assert_eq!(task.await.unwrap(), None);
    });
}

#[test]
fn a_future_for_handles_needs_no_loop() {
    let (sender, mut receiver) = channel(1);
    let looping = thread::spawn(move || {
        antiphon::run(async || {
            sender.send(Handle::current()).await.unwrap();
            sender.closed().await.unwrap();
        });
    });
    let handle = receiver.blocking_recv().unwrap();
    let both = block_on(async {
        let task = handle.spawn(async || 1);
        task.await.unwrap() + handle.spawn(async || 2).await.unwrap()
    });
    assert_eq!(both, 3);
    drop(receiver);
    looping.join().unwrap();
    until(|| handle.is_closed());
}

#[test]
fn polled_here_and_then_there_it_still_comes() {
    let mut runtime = Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .unwrap();
    let task = runtime.run(async || {
        let (go, mut wait) = channel::<()>(1);
        let mut task = Handle::current().spawn(async move || wait.recv().await.unwrap());
        let poll = poll_fn(|cx| Poll::Ready(pin!(&mut task).poll(cx))).await;
        assert!(poll.is_pending());
        let elsewhere = unblock(move || {
            drop(go);
            block_on(task).unwrap()
        });
        elsewhere.await.unwrap()
    });
    assert_eq!(task, None);
}
