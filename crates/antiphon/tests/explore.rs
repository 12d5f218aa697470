//! The explorer finds what it is there to find, names it, and passes what is in order.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use antiphon::context::{Ending, from_fn, with};
use antiphon::explore::{Case, Explorer, Failure, Fault, Finding, explore, exposed};
use antiphon::io::{Read, Write};
use antiphon::net::UnixStream;
use antiphon::sync::{Event, Mutex, mpsc};
use antiphon::{Cancelled, group, shield, spawn, time, yield_now};

const SECOND: Duration = Duration::from_secs(1);

fn told(failure: &Failure) -> String {
    failure.to_string()
}

#[test]
fn a_program_in_order_passes_and_its_points_are_counted() {
    let runs = Cell::new(0);
    let explored = explore(|| async {
        runs.set(runs.get() + 1);
        time::sleep(SECOND).await?;
        yield_now().await
    });
    // Each of the two waits begins, and is slept in.
    assert_eq!(explored.points(), 4);
    assert_eq!(explored.runs(), 5);
    assert_eq!(runs.get(), 5);
}

#[test]
fn a_cancel_comes_at_every_point_once() {
    let ends = RefCell::new(Vec::new());
    explore(|| async {
        let mut done = 0;
        let outcome = exposed(async || {
            for _ in 0..3 {
                time::sleep(SECOND).await?;
                done += 1;
            }
            Ok::<(), Cancelled>(())
        });
        let is_cancelled = outcome.await.is_cancelled();
        ends.borrow_mut().push((done, is_cancelled));
    });
    // The run without a fault; then each sleep is interrupted before it begins, and while it lasts.
    let expected = [
        (3, false),
        (0, true),
        (0, true),
        (1, true),
        (1, true),
        (2, true),
        (2, true),
    ];
    assert_eq!(*ends.borrow(), expected);
}

#[test]
fn faults_happen_only_to_what_is_exposed() {
    let explored = explore(|| async {
        time::sleep(SECOND).await.expect("it is not exposed");
        let server = spawn(async || {
            for _ in 0..5 {
                yield_now().await.expect("nor is another task");
            }
        });
        let _ = exposed(async || yield_now().await).await;
        server.await.expect("nor is it afterwards");
        time::sleep(SECOND).await.expect("nor is it afterwards");
    });
    // The wait begins, and is slept in; and the server has taken a step while it was.
    assert_eq!(explored.points(), 3);
}

#[test]
fn who_sleeps_is_cancelled_after_others_have_gone_on_too() {
    let steps = RefCell::new(Vec::new());
    explore(|| async {
        let taken = Rc::new(Cell::new(0));
        let other = spawn({
            let taken = Rc::clone(&taken);
            async move || {
                for step in 1..4 {
                    taken.set(step);
                    yield_now().await.expect("it is not exposed");
                }
            }
        });
        let outcome = exposed(async || time::sleep(SECOND).await).await;
        if outcome.is_cancelled() {
            steps.borrow_mut().push(taken.get());
        }
        other.await.expect("it does not panic");
    });
    // Before it begins, asleep, and after each step of the other, as far as that gets before it is heard.
    let mut steps = steps.take();
    steps.dedup();
    assert_eq!(steps, [1, 2, 3]);
}

#[test]
fn an_assertion_that_fails_after_an_injected_panic_is_found() {
    let failure = Explorer::new().faults(&[Fault::Panic]).run(|| async {
        let done = Rc::new(Cell::new(false));
        let task = spawn({
            let done = Rc::clone(&done);
            async move || {
                exposed(async || yield_now().await).await.into_result()?;
                done.set(true);
                Ok::<(), Cancelled>(())
            }
        });
        drop(task.await);
        assert!(done.get(), "not done");
    });
    let failure = failure.unwrap_err();
    assert!(
        matches!(failure.findings(), [Finding::Panicked(text)] if text.contains("not done")),
        "{failure}"
    );
}

#[test]
fn an_assertion_in_a_task_that_nobody_awaits_is_found() {
    let failure = Explorer::new().run(|| async {
        let task = spawn(async || {
            let outcome = exposed(async || yield_now().await).await;
            assert!(!outcome.is_cancelled(), "heard by nobody");
        });
        drop(task);
        time::sleep(SECOND).await
    });
    let failure = failure.unwrap_err();
    assert!(
        matches!(failure.findings(), [Finding::Panicked(text)] if text.contains("heard by nobody")),
        "{failure}"
    );
}

#[test]
fn children_of_a_group_are_exposed_with_it() {
    let explored = explore(|| async {
        exposed(async || {
            group(async |group| {
                for _ in 0..3 {
                    group.spawn(async || time::sleep(SECOND).await);
                }
                Ok::<(), Cancelled>(())
            })
            .await
        })
        .await
    });
    assert!(explored.points() >= 6, "{explored:?}");
}

#[test]
fn a_whole_program_is_cancelled_with_its_tasks() {
    let heard = Cell::new(0);
    let explored = explore(|| async {
        let heard = &heard;
        let (sender, mut receiver) = mpsc::channel::<u8>(1);
        let task = spawn(async move || receiver.recv().await.is_err());
        time::sleep(SECOND).await?;
        drop(sender);
        // This wait is cancelled as well, so the handle is asked in a shield.
        heard.set(heard.get() + i32::from(shield(async || task.await).await.unwrap_or(false)));
        yield_now().await
    });
    assert!(explored.points() > 4);
}

#[test]
fn an_assertion_names_the_line_at_which_it_was_cancelled() {
    let line = line!() + 5;
    let failure = Explorer::new().run(|| async {
        let balance = Cell::new(0);
        let _ = exposed(async || {
            balance.set(1);
            yield_now().await?;
            balance.set(0);
            Ok::<(), Cancelled>(())
        })
        .await;
        assert_eq!(balance.get(), 0, "out of balance");
    });
    let failure = failure.unwrap_err();
    let at = failure.location().expect("it happened somewhere");
    assert_eq!((at.file(), at.line()), (file!(), line));
    assert!(
        matches!(failure.findings(), [Finding::Panicked(text)] if text.contains("out of balance")),
        "{failure}"
    );
    assert_eq!(failure.case().to_string(), "cancel@0");
    assert!(
        told(&failure).contains("ANTIPHON_EXPLORE='cancel@0'"),
        "{failure}"
    );
}

#[test]
fn a_failing_case_runs_alone() {
    let runs = Cell::new(0);
    let program = || async {
        runs.set(runs.get() + 1);
        let mut steps = 0;
        let _ = exposed(async || {
            for _ in 0..10 {
                yield_now().await?;
                steps += 1;
            }
            Ok::<(), Cancelled>(())
        })
        .await;
        assert_ne!(steps, 7);
    };
    let failure = Explorer::new().run(program).unwrap_err();
    runs.set(0);
    let again = Explorer::new().only(failure.case()).run(program);
    assert_eq!(again.unwrap_err().case(), failure.case());
    // The run without a fault shows the way.
    assert_eq!(runs.get(), 2);

    let other: Case = "cancel@0".parse().unwrap();
    assert!(Explorer::new().only(other).run(program).is_ok());
}

#[test]
fn a_program_that_fails_by_itself_fails() {
    let failure = Explorer::new().run(|| async { Err::<(), _>("no luck") });
    let failure = failure.unwrap_err();
    assert!(
        matches!(failure.findings(), [Finding::Failed(text)] if text.contains("no luck")),
        "{failure}"
    );
    assert_eq!(failure.case().to_string(), "none");
}

#[test]
fn a_deadlock_is_told_with_those_who_wait() {
    let failure = Explorer::new().run(|| async {
        let event = Event::new();
        event.wait().await
    });
    let failure = failure.unwrap_err();
    let [Finding::Deadlock(tree)] = failure.findings() else {
        panic!("{failure}");
    };
    assert!(
        tree.contains("event") && tree.contains("explore.rs"),
        "{tree}"
    );
}

#[test]
fn a_deadlock_that_only_a_cancel_brings_about_is_found() {
    let failure = Explorer::new().run(|| async {
        let done = Rc::new(Event::new());
        let worker = {
            let done = Rc::clone(&done);
            async move || {
                exposed(async || {
                    time::sleep(SECOND).await?;
                    done.set();
                    Ok::<(), Cancelled>(())
                })
                .await
                .is_cancelled()
            }
        };
        let task = spawn(worker);
        done.wait().await.unwrap();
        task.await.unwrap();
    });
    let failure = failure.unwrap_err();
    assert!(
        matches!(failure.findings(), [Finding::Deadlock(_)]),
        "{failure}"
    );
    assert_eq!(failure.case().to_string(), "cancel@2", "{failure}");
}

#[test]
fn a_program_that_does_not_end_is_given_up() {
    let failure = Explorer::new().turns(100).run(|| async {
        // It does not listen.
        while yield_now().await.is_ok() || Cell::new(true).get() {}
    });
    assert!(matches!(
        failure.unwrap_err().findings(),
        [Finding::Endless(100)]
    ));
}

#[test]
fn a_task_that_does_not_listen_is_left_and_told() {
    let failure = Explorer::new().run(|| async {
        let task = spawn(async || {
            loop {
                let _ = time::sleep(SECOND).await;
            }
        });
        drop(task);
        yield_now().await
    });
    let failure = failure.unwrap_err();
    assert!(
        failure.findings().iter().any(
            |finding| matches!(finding, Finding::TasksLeft(text) if text.contains("explore.rs"))
        ),
        "{failure}"
    );
}

#[test]
fn a_future_that_is_forgotten_leaves_a_waiter_and_its_scope() {
    let failure = Explorer::new().run(|| async {
        let mut wait = Box::pin(async {
            let scope = antiphon::CancelScope::new();
            scope.run(async || time::sleep(SECOND).await).await
        });
        std::future::poll_fn(|cx| {
            let _ = wait.as_mut().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
        std::mem::forget(wait);
    });
    let failure = failure.unwrap_err();
    let found = |what: &str| told(&failure).contains(what);
    assert!(found("still in a queue: sleep at"), "{failure}");
    assert!(found("scopes that were not left"), "{failure}");
}

#[test]
fn a_block_that_is_forgotten_has_not_exited() {
    let failure = Explorer::new().run(|| async {
        let enter = async || Ok::<_, Cancelled>(());
        let exit = async |(), _: Ending<'_>| Ok::<_, Cancelled>(());
        let mut block = Box::pin(with(from_fn(enter, exit), async |_| yield_now().await));
        std::future::poll_fn(|cx| {
            let _ = block.as_mut().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
        std::mem::forget(block);
    });
    let failure = failure.unwrap_err();
    assert!(
        failure.findings().contains(&Finding::NotExited(1)),
        "{failure}"
    );
}

#[test]
fn a_run_that_is_not_like_the_first_is_told() {
    let runs = Cell::new(0);
    let failure = Explorer::new().run(|| {
        runs.set(runs.get() + 1);
        let run = runs.get();
        async move {
            if run == 2 {
                time::sleep(SECOND).await?;
            } else {
                yield_now().await?;
            }
            yield_now().await?;
            yield_now().await
        }
    });
    // The second run is cancelled at its first point, which is the same; the third goes on as the first did.
    assert!(failure.is_err() || runs.get() > 3);

    let runs = Cell::new(0);
    let failure = Explorer::new().run(|| {
        runs.set(runs.get() + 1);
        let run = runs.get();
        async move {
            for _ in 0..run {
                yield_now().await?;
            }
            time::sleep(SECOND).await
        }
    });
    let failure = failure.unwrap_err();
    assert!(
        matches!(failure.findings(), [Finding::NotRepeatable(..)]),
        "{failure}"
    );
}

#[test]
fn a_panic_is_injected_where_a_wait_begins() {
    let seen = Cell::new(0);
    let explored = Explorer::new()
        .faults(&[Fault::Panic])
        .run(|| async {
            struct Count<'a>(&'a Cell<u32>);
            impl Drop for Count<'_> {
                fn drop(&mut self) {
                    self.0
                        .set(self.0.get() + u32::from(std::thread::panicking()));
                }
            }
            let _count = Count(&seen);
            let mutex = Mutex::new(());
            let _guard = mutex.lock().await?;
            yield_now().await
        })
        .unwrap();
    assert_eq!(explored.points(), 2);
    assert_eq!(seen.get(), 2);
}

#[test]
fn a_panic_in_a_child_ends_the_group_and_leaves_nothing() {
    let (enters, exits) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    Explorer::new()
        .faults(&[Fault::Panic, Fault::Cancel])
        .orders(3)
        .run(|| async {
            group(async |group| {
                for _ in 0..2 {
                    let (enters, exits) = (Rc::clone(&enters), Rc::clone(&exits));
                    let enter = async move || {
                        yield_now().await?;
                        enters.set(enters.get() + 1);
                        Ok::<_, Cancelled>(())
                    };
                    let exit = async move |(), _: Ending<'_>| {
                        exits.set(exits.get() + 1);
                        Ok::<_, Cancelled>(())
                    };
                    group.spawn(async || {
                        with(from_fn(enter, exit), async |_| time::sleep(SECOND).await).await
                    });
                }
                yield_now().await
            })
            .await
        })
        .unwrap();
    assert!(enters.get() > 0);
    assert_eq!(enters.get(), exits.get());
}

#[test]
fn a_call_that_fails_is_named_by_the_line_that_made_it() {
    let line = line!();
    let program = || async {
        let (mut near, mut far) = UnixStream::pair()?;
        let writer = spawn(async move || {
            for _ in 0..3 {
                time::sleep(SECOND).await?;
                far.write_all(&[0; 10_000]).await?;
            }
            Ok::<(), io::Error>(())
        });
        let result = exposed(async || near.read_exact(&mut vec![0; 30_000]).await).await;
        result.into_result().expect("the network is sound");
        writer.await.unwrap().expect("it is, at this end too");
        Ok::<(), io::Error>(())
    };
    let mut lines = Vec::new();
    for point in 0..40 {
        let case: Case = format!("error@{point}").parse().unwrap();
        if let Err(failure) = Explorer::new().only(case).run(program) {
            let at = failure.location().expect("it happened somewhere");
            assert_eq!(at.file(), file!(), "{failure}");
            lines.push(at.line());
        }
    }
    // Each of the two has several.
    assert!(lines.len() > 4, "{lines:?}");
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines, [line + 6, line + 10]);
}

#[test]
fn orders_differ_and_repeat() {
    let orders = RefCell::new(HashMap::new());
    let explore_all = || {
        Explorer::new()
            .faults(&[])
            .orders(20)
            .run(|| async {
                let order = Rc::new(RefCell::new(Vec::new()));
                let tasks: Vec<_> = (0..4)
                    .map(|task| {
                        let order = Rc::clone(&order);
                        spawn(async move || {
                            yield_now().await?;
                            order.borrow_mut().push(task);
                            Ok::<(), Cancelled>(())
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap()?;
                }
                *orders.borrow_mut().entry(order.take()).or_insert(0) += 1;
                Ok::<(), Cancelled>(())
            })
            .unwrap()
    };
    assert_eq!(explore_all().runs(), 20);
    let first = orders.take();
    assert!(first.len() > 5, "{first:?}");
    assert!(
        first.contains_key(&vec![0, 1, 2, 3]),
        "the first order is the usual one"
    );
    explore_all();
    assert_eq!(orders.take(), first);
}

#[test]
fn random_bytes_are_the_same_in_every_run() {
    let drawn = RefCell::new(Vec::new());
    explore(|| async {
        let mut bytes = [0; 8];
        antiphon::fill_random(&mut bytes);
        drawn.borrow_mut().push(bytes);
        yield_now().await
    });
    let drawn = drawn.take();
    assert!(drawn.iter().all(|bytes| *bytes == drawn[0]), "{drawn:?}");
}

#[test]
fn nobody_is_explored_afterwards() {
    explore(|| async { yield_now().await });
    let outcome = antiphon::run(async || exposed(async || yield_now().await).await);
    assert!(matches!(outcome, antiphon::Outcome::Done(())));
}

#[test]
#[should_panic(expected = "cancel at point 0 of 2")]
fn explore_panics_with_what_it_found() {
    explore(|| async {
        let outcome = exposed(async || yield_now().await).await;
        assert!(!outcome.is_cancelled());
    });
}
