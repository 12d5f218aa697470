//! Several loops of one run.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use antiphon::context::{Ending, from_fn, with};
use antiphon::io::{Read, Write};
use antiphon::net::{TcpListener, TcpStream};
use antiphon::thread::{JoinError, channel};
use antiphon::{
    CancelScope, Cancelled, DriverKind, Runtime, group, is_cancelled, shield, spawn, spawn_on,
    time, tree, workers, yield_now,
};

const LONG: Duration = Duration::from_secs(3600);

fn on_each_driver(count: usize, mut test: impl FnMut(&mut Runtime)) {
    for kind in [DriverKind::Readiness, DriverKind::Auto] {
        let builder = Runtime::builder().driver(kind).workers(count);
        let mut runtime = builder.build().unwrap();
        println!("driver: {}", runtime.driver());
        test(&mut runtime);
    }
}

#[test]
fn each_worker_has_a_thread_and_a_number() {
    on_each_driver(4, |runtime| {
        let threads = runtime.run(async || {
            assert_eq!((workers().len(), workers().here()), (4, 0));
            let mut threads = BTreeSet::new();
            for worker in 0..4 {
                let task = spawn_on(worker, async move || {
                    assert_eq!((workers().len(), workers().here()), (4, worker));
                    format!("{:?}", std::thread::current().id())
                });
                threads.insert(task.await.unwrap());
            }
            threads
        });
        assert_eq!(threads.len(), 4);
    });
}

#[test]
fn a_run_without_workers_has_one() {
    let mut runtime = Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .unwrap();
    runtime.run(async || {
        assert_eq!(workers().len(), 1);
        assert_eq!(spawn_on(0, async || 7).await.unwrap(), 7);
        assert_eq!(workers().handle(0).spawn(async || 8).await.unwrap(), 8);
    });
}

#[test]
#[should_panic(expected = "there is no worker 2 among 2")]
fn a_worker_that_is_not_there_is_refused() {
    let mut runtime = Runtime::builder().workers(2).build().unwrap();
    runtime.run(async || {
        drop(spawn_on(2, async || ()).detach());
    });
}

#[test]
fn virtual_time_has_one_worker() {
    let builder = Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .workers(2);
    assert_eq!(
        builder.build().unwrap_err().kind(),
        io::ErrorKind::Unsupported
    );
}

#[test]
fn what_is_spawned_there_need_not_be_send() {
    on_each_driver(2, |runtime| {
        let sum = runtime.run(async || {
            let task = spawn_on(1, async || {
                let numbers = Rc::new(RefCell::new(Vec::new()));
                let filling = Rc::clone(&numbers);
                let filler = spawn(async move || {
                    for number in 0..10 {
                        filling.borrow_mut().push(number);
                        yield_now().await.unwrap();
                    }
                });
                filler.await.unwrap();
                let sum: i32 = numbers.borrow().iter().sum();
                sum
            });
            task.await.unwrap()
        });
        assert_eq!(sum, 45);
    });
}

#[test]
fn a_run_can_be_repeated() {
    on_each_driver(3, |runtime| {
        for round in 0..20 {
            let sum = runtime.run(async || {
                let (one, two) = (spawn_on(1, async move || round), spawn_on(2, async || 1));
                one.await.unwrap() + two.await.unwrap()
            });
            assert_eq!(sum, round + 1);
        }
    });
}

#[test]
fn a_cancel_of_the_one_who_waits_is_handed_on() {
    on_each_driver(2, |runtime| {
        runtime.run(async || {
            let (told, mut tells) = channel(4);
            let scope = CancelScope::new();
            let stopper = scope.clone();
            let (begun, mut begins) = channel(1);
            let canceller = spawn(async move || {
                begins.recv().await.unwrap();
                stopper.cancel("enough");
            });
            let outcome = scope
                .run(async || {
                    let task = spawn_on(1, async move || {
                        begun.send(()).await.unwrap();
                        let slept = time::sleep(LONG).await;
                        // Its clean-up waits, and is waited for.
                        shield(async || yield_now().await).await.unwrap();
                        told.send("cleaned up").await.ok();
                        shield(async || told.send("told in a shield").await)
                            .await
                            .unwrap();
                        slept
                    });
                    task.await.unwrap()
                })
                .await;
            assert!(outcome.is_cancelled());
            let error = outcome.into_result().unwrap_err();
            // The task's own error comes back, with the reason that was handed on.
            assert_eq!(error.reason().to_string(), "enough");
            assert_eq!(tells.recv().await.unwrap(), Some("told in a shield"));
            canceller.await.unwrap();
        });
    });
}

#[test]
fn a_value_in_spite_of_a_cancel_is_kept() {
    on_each_driver(2, |runtime| {
        runtime.run(async || {
            let scope = CancelScope::new();
            let outcome = scope.run(async || {
                scope.cancel("before it is awaited");
                let task = spawn_on(1, async || {
                    shield(async || yield_now().await).await.map(|()| 5)
                });
                task.await.unwrap()
            });
            assert_eq!(outcome.await.into_result().unwrap(), 5);
        });
    });
}

#[test]
fn a_detached_handle_hands_no_cancel_on() {
    on_each_driver(2, |runtime| {
        runtime.run(async || {
            let (go, mut gone) = channel::<()>(1);
            let scope = CancelScope::new();
            let mut handle = spawn_on(1, async move || gone.recv().await.map(|_| 3)).detach();
            let outcome = scope.run(async || {
                scope.cancel("for the test");
                (&mut handle).await
            });
            assert!(is_cancelled(&outcome.await.into_result().unwrap_err()));
            go.send(()).await.unwrap();
            assert_eq!(handle.await.unwrap().unwrap(), 3);
        });
    });
}

#[test]
fn a_group_spans_workers() {
    on_each_driver(3, |runtime| {
        runtime.run(async || {
            // One fails; those on the other workers are cancelled and end first.
            let ended = Arc::new(AtomicUsize::new(0));
            let result = group(async |group| {
                for worker in 0..3 {
                    let ended = Arc::clone(&ended);
                    group.spawn_on(worker, async move || {
                        let slept = time::sleep(LONG).await;
                        ended.fetch_add(1, Ordering::SeqCst);
                        slept.map_err(io::Error::from)
                    });
                }
                group.spawn_on(1, async || {
                    yield_now().await?;
                    Err::<(), _>(io::Error::other("no luck"))
                });
                Ok::<(), io::Error>(())
            })
            .await;
            let error = result.unwrap_err();
            assert_eq!(error.first().to_string(), "no luck");
            assert_eq!(ended.load(Ordering::SeqCst), 3);
        });
    });
}

#[test]
fn a_groups_children_elsewhere_return_values_and_panic() {
    on_each_driver(2, |runtime| {
        runtime.run(async || {
            let sum = group(async |group| {
                let one = group.spawn_on(1, async || Ok::<_, io::Error>(1));
                let two = group.spawn_on(0, async || Ok(2));
                Ok(one.await.unwrap() + two.await.unwrap())
            });
            assert_eq!(sum.await.unwrap(), 3);

            let panicking = spawn(async || {
                group(async |group| {
                    group.spawn_on(1, async || {
                        assert_ne!(workers().here(), 1, "over there");
                        Ok::<(), io::Error>(())
                    });
                    Ok(())
                })
                .await
            });
            let error = panicking.await.unwrap_err();
            assert!(
                error.is_panic() && error.to_string().contains("over there"),
                "{error}"
            );
        });
    });
}

#[test]
fn a_panic_over_there_is_the_waiters_error() {
    on_each_driver(2, |runtime| {
        runtime.run(async || {
            let task = spawn_on(1, async || panic!("over there"));
            let error: JoinError = task.await.unwrap_err();
            assert!(error.is_panic(), "{error}");
            // The worker goes on.
            assert_eq!(spawn_on(1, async || 1).await.unwrap(), 1);
        });
    });
}

#[test]
fn the_end_of_main_ends_the_others_in_good_order() {
    on_each_driver(3, |runtime| {
        let exits = Arc::new(AtomicUsize::new(0));
        runtime.run(async || {
            let (begun, mut begins) = channel(1);
            for worker in 1..3 {
                let (begun, exits) = (begun.clone(), Arc::clone(&exits));
                let task = spawn_on(worker, async move || {
                    let enter = async || Ok::<_, Cancelled>(());
                    let exit = async move |(), ending: Ending<'_>| {
                        assert!(ending.is_cancelled());
                        yield_now().await?;
                        exits.fetch_add(1, Ordering::SeqCst);
                        Ok::<_, Cancelled>(())
                    };
                    let result = with(from_fn(enter, exit), async |_| {
                        begun.send(()).await.ok();
                        time::sleep(LONG).await
                    });
                    drop(result.await);
                });
                drop(task.detach());
            }
            for _ in 1..3 {
                begins.recv().await.unwrap();
            }
        });
        // `run` has waited for them.
        assert_eq!(exits.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_panic_of_main_ends_the_others_too() {
    on_each_driver(2, |runtime| {
        let is_dropped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_dropped);
        let run = std::panic::AssertUnwindSafe(|| {
            runtime.run(async || {
                let (begun, mut begins) = channel(1);
                let task = spawn_on(1, async move || {
                    struct Flag(Arc<AtomicBool>);
                    impl Drop for Flag {
                        fn drop(&mut self) {
                            self.0.store(true, Ordering::SeqCst);
                        }
                    }
                    let _flag = Flag(flag);
                    begun.send(()).await.unwrap();
                    drop(time::sleep(LONG).await);
                });
                drop(task.detach());
                begins.recv().await.unwrap();
                panic!("main");
            });
        });
        assert!(std::panic::catch_unwind(run).is_err());
        assert!(is_dropped.load(Ordering::SeqCst));
        assert_eq!(
            runtime.run(async || spawn_on(1, async || 4).await.unwrap()),
            4
        );
    });
}

#[test]
fn a_handle_of_a_worker_is_refused_after_the_run() {
    on_each_driver(2, |runtime| {
        let handle = runtime.run(async || workers().handle(1).clone());
        assert!(handle.is_closed());
        let error = handle.spawn(async || ()).join().unwrap_err();
        assert!(error.is_ended(), "{error}");
    });
}

#[test]
fn the_tree_shows_what_is_waited_for_elsewhere() {
    on_each_driver(2, |runtime| {
        runtime.run(async || {
            let (go, mut gone) = channel::<()>(1);
            let task = spawn_on(1, async move || drop(gone.recv().await));
            let waiter = spawn(async move || task.await.unwrap());
            yield_now().await.unwrap();
            let text = tree().to_string();
            assert!(
                text.contains("task of a worker at") && text.contains("workers.rs"),
                "{text}"
            );
            go.send(()).await.unwrap();
            waiter.await.unwrap();
        });
    });
}

#[test]
fn values_go_round_the_workers() {
    const ROUNDS: usize = 200;
    on_each_driver(3, |runtime| {
        let seen = runtime.run(async || {
            let (first, mut entry) = channel(1);
            let mut hops = Vec::new();
            let (mut from, last) = {
                let (to, from) = channel(1);
                hops.push((1, to));
                (from, 2)
            };
            let (back, mut arrivals) = channel(1);
            let to = hops.pop().unwrap().1;
            let one = spawn_on(1, async move || {
                while let Some(value) = entry.recv().await? {
                    if to.send(value + 1).await.is_err() {
                        break;
                    }
                }
                Ok::<(), Cancelled>(())
            });
            let two = spawn_on(last, async move || {
                while let Some(value) = from.recv().await? {
                    if back.send(value + 1).await.is_err() {
                        break;
                    }
                }
                Ok::<(), Cancelled>(())
            });
            let mut value = 0;
            for _ in 0..ROUNDS {
                first.send(value).await.unwrap();
                value = arrivals.recv().await.unwrap().unwrap() + 1;
            }
            drop(first);
            one.await.unwrap().unwrap();
            two.await.unwrap().unwrap();
            value
        });
        assert_eq!(seen, 3 * ROUNDS);
    });
}

#[test]
fn a_worker_that_is_held_does_not_hold_the_end_of_the_run() {
    // Its thread is left behind until the test lets it go.
    let builder = Runtime::builder()
        .workers(2)
        .grace(Duration::from_millis(1));
    let mut runtime = builder.build().unwrap();
    let (go, held) = mpsc::channel::<()>();
    runtime.run(async || {
        let (begun, mut begins) = channel(1);
        let task = spawn_on(1, async move || {
            begun.send(()).await.unwrap();
            // It blocks its loop.
            let _ = held.recv();
        });
        drop(task.detach());
        begins.recv().await.unwrap();
    });
    let again = std::panic::AssertUnwindSafe(|| runtime.run(async || ()));
    let payload = std::panic::catch_unwind(again).unwrap_err();
    let message = payload.downcast_ref::<String>().unwrap();
    assert!(message.contains("worker 1 did not come back"), "{message}");
    drop(runtime);
    drop(go);
}

#[test]
fn workers_can_be_bound_to_processors() {
    let mut runtime = Runtime::builder()
        .workers(2)
        .pin_workers(true)
        .build()
        .unwrap();
    let before = processors();
    let counts = runtime.run(async || {
        let there = spawn_on(1, async || processors().len());
        (processors().len(), there.await.unwrap())
    });
    if cfg!(target_os = "linux") {
        assert_eq!(counts, (1, 1));
    }
    assert_eq!(processors(), before);
}

/// The processors that this thread may run on, as the system lists them.
fn processors() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap_or("");
    let mut all = Vec::new();
    for part in allowed.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        all.extend(first.parse::<usize>().unwrap()..=last.parse().unwrap());
    }
    all
}

#[test]
fn listeners_of_several_workers_share_an_address() {
    const CONNECTIONS: usize = 64;
    on_each_driver(3, |runtime| {
        runtime.run(async || {
            let first = TcpListener::bind_shared("127.0.0.1:0").await.unwrap();
            let address = first.local_addr().unwrap();
            // Whoever does not share it can't have it.
            let alone = TcpListener::bind(address).await.unwrap_err();
            assert_eq!(alone.kind(), io::ErrorKind::AddrInUse);
            let (served, mut told) = channel(CONNECTIONS);
            let scope = CancelScope::new();
            let outcome = scope.run(async || {
                group(async |group| {
                    for worker in 1..3 {
                        let served = served.clone();
                        group.spawn_on(worker, async move || {
                            let listener = TcpListener::bind_shared(address).await?;
                            served.send(None).await.map_err(io::Error::other)?;
                            loop {
                                let (mut stream, _) = listener.accept().await?;
                                let mut byte = [0];
                                stream.read_exact(&mut byte).await?;
                                stream.write_all(&byte).await?;
                                served.send(Some(worker)).await.map_err(io::Error::other)?;
                            }
                            #[allow(unreachable_code, reason = "gives the type")]
                            Ok::<(), io::Error>(())
                        });
                    }
                    for _ in 1..3 {
                        assert_eq!(told.recv().await?, Some(None));
                    }
                    // What comes now comes to those two.
                    drop(first);
                    let mut workers = BTreeSet::new();
                    for number in 0..CONNECTIONS {
                        let byte = u8::try_from(number).unwrap();
                        let mut stream = TcpStream::connect(address).await?;
                        stream.write_all(&[byte]).await?;
                        let mut echo = [0];
                        stream.read_exact(&mut echo).await?;
                        assert_eq!(echo, [byte]);
                        workers.insert(told.recv().await?.flatten());
                    }
                    // The system shares them out by the connections' addresses.
                    assert_eq!(workers.len(), 2, "{workers:?}");
                    scope.cancel("all were served");
                    Ok(())
                })
                .await
            });
            assert!(outcome.await.is_cancelled());
        });
    });
}
