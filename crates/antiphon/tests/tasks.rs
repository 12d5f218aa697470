//! Tasks: their order, their results, their ends.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Poll, Waker};

use antiphon::{
    DriverKind, JoinHandle, Runtime, TaskBuilder, TaskLocal, run, spawn, time, yield_now,
};

/// Runs `main` in virtual time: at once, and always in the same order.
fn simulate<T>(main: impl AsyncFnOnce() -> T) -> T {
    Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .unwrap()
        .run(main)
}

type Trace = Rc<RefCell<Vec<String>>>;

fn note(trace: &Trace, what: impl Into<String>) {
    trace.borrow_mut().push(what.into());
}

#[test]
fn tasks_take_their_steps_in_turn() {
    let trace = Trace::default();
    simulate(async || {
        let tasks: Vec<JoinHandle<()>> = ["a", "b"]
            .map(|name| {
                let trace = Rc::clone(&trace);
                spawn(async move || {
                    for step in 0..3 {
                        note(&trace, format!("{name}{step}"));
                        yield_now().await.unwrap();
                    }
                })
            })
            .into();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(*trace.borrow(), ["a0", "b0", "a1", "b1", "a2", "b2"]);
}

#[test]
fn nothing_of_a_task_runs_before_its_first_step() {
    simulate(async || {
        let started = Rc::new(Cell::new(false));
        let task = spawn({
            let started = Rc::clone(&started);
            async move || started.set(true)
        });
        assert!(!started.get());
        task.await.unwrap();
        assert!(started.get());
    });
}

#[test]
fn dropping_a_handle_does_nothing_to_its_task() {
    simulate(async || {
        let done = Rc::new(Cell::new(false));
        drop(spawn({
            let done = Rc::clone(&done);
            async move || {
                yield_now().await.unwrap();
                done.set(true);
            }
        }));
        for _ in 0..3 {
            yield_now().await.unwrap();
        }
        assert!(done.get());
    });
}

#[test]
fn a_result_waits_in_the_handle() {
    simulate(async || {
        let task = spawn(async || String::from("kept"));
        for _ in 0..3 {
            yield_now().await.unwrap();
        }
        assert!(task.is_finished());
        assert_eq!(task.await.unwrap(), "kept");
    });
}

#[test]
fn a_panic_stays_in_its_task() {
    simulate(async || {
        let task = TaskBuilder::new()
            .name("clumsy")
            .spawn(async || -> () { panic!("dropped the tray") });
        let line = line!() - 1;
        let error = task.await.unwrap_err();
        assert!(error.is_panic() && !error.is_ended());
        let text = error.to_string();
        assert!(
            text.contains("`clumsy`") && text.contains("dropped the tray"),
            "{text}"
        );
        assert!(text.contains(&format!("tasks.rs:{line}:")), "{text}");
        assert_eq!(
            *error.into_panic().unwrap().downcast::<&str>().unwrap(),
            "dropped the tray"
        );
    });
}

#[test]
fn a_panic_in_a_finished_tasks_destructor_is_its_outcome() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    simulate(async || {
        let bomb = Bomb;
        let task = spawn(async move || {
            let _bomb = bomb;
        });
        assert!(task.await.unwrap_err().is_panic());
    });
}

#[test]
fn a_panic_in_main_comes_out_of_run_after_the_tasks_were_dropped() {
    struct Flag(Rc<Cell<bool>>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let dropped = Rc::new(Cell::new(false));
    let flag = Flag(Rc::clone(&dropped));
    let payload = catch_unwind(AssertUnwindSafe(|| {
        simulate(async || {
            drop(spawn(async move || {
                let _flag = flag;
                pending::<()>().await;
            }));
            yield_now().await.unwrap();
            panic!("main");
        })
    }))
    .unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "main");
    assert!(dropped.get());
}

#[test]
fn tasks_left_when_main_ends_are_dropped_and_their_handles_say_so() {
    let handle = Rc::new(RefCell::new(None));
    let mut runtime = Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .unwrap();
    runtime.run(async || {
        *handle.borrow_mut() = Some(spawn(async || pending::<()>().await));
        yield_now().await.unwrap();
    });
    let task = handle.borrow_mut().take().unwrap();
    runtime.run(async move || assert!(task.await.unwrap_err().is_ended()));
}

#[test]
fn a_destructor_may_spawn_while_the_loop_ends() {
    struct Spawns(u32);
    impl Drop for Spawns {
        fn drop(&mut self) {
            if self.0 > 0 {
                let next = Spawns(self.0 - 1);
                drop(spawn(async move || {
                    let _next = next;
                    pending::<()>().await;
                }));
            }
        }
    }
    simulate(async || {
        drop(spawn(async || {
            let _chain = Spawns(100);
            pending::<()>().await;
        }));
        yield_now().await.unwrap();
    });
}

#[test]
fn a_runtime_can_run_again() {
    let mut runtime = Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .unwrap();
    for round in 0..3 {
        assert_eq!(
            runtime.run(async || spawn(async move || round).await.unwrap()),
            round
        );
    }
}

#[test]
fn a_loop_inside_a_loop_is_refused() {
    let refused = simulate(async || catch_unwind(|| run(async || ())).is_err());
    assert!(refused);
}

#[test]
fn spawning_without_a_loop_says_so() {
    let payload = catch_unwind(|| drop(spawn(async || ()))).unwrap_err();
    let message = payload.downcast::<&str>().unwrap();
    assert!(
        message.contains("no event loop is running on this thread"),
        "{message}"
    );
}

#[test]
fn main_may_borrow() {
    let mut words = vec!["a"];
    simulate(async || {
        yield_now().await.unwrap();
        words.push("b");
    });
    assert_eq!(words, ["a", "b"]);
}

#[test]
fn a_late_wake_reaches_nobody() {
    // The waker of a task that ended must not disturb the task that has its slot now.
    simulate(async || {
        let steps = Rc::new(Cell::new(0));
        let waker = spawn(async || poll_fn(|cx| Poll::Ready(cx.waker().clone())).await)
            .await
            .unwrap();
        let task = spawn({
            let steps = Rc::clone(&steps);
            async move || {
                poll_fn(|_| {
                    steps.set(steps.get() + 1);
                    Poll::<()>::Pending
                })
                .await;
            }
        });
        for _ in 0..5 {
            waker.wake_by_ref();
            yield_now().await.unwrap();
        }
        assert_eq!(steps.get(), 1);
        drop(task);
    });
}

#[test]
fn a_dead_workers_waker_does_nothing() {
    let waker = simulate(async || poll_fn(|cx| Poll::Ready(cx.waker().clone())).await);
    waker.wake_by_ref();
    std::thread::spawn(move || waker.wake()).join().unwrap();
}

#[test]
fn another_thread_wakes_a_sleeping_loop() {
    for driver in [DriverKind::VirtualTime, DriverKind::Readiness] {
        let mut runtime = Runtime::builder().driver(driver).build().unwrap();
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut thread = None;
        runtime.run(async || {
            poll_fn(|cx| {
                if done.load(std::sync::atomic::Ordering::Acquire) {
                    return Poll::Ready(());
                }
                thread.get_or_insert_with(|| {
                    let (waker, done) = (cx.waker().clone(), std::sync::Arc::clone(&done));
                    std::thread::spawn(move || {
                        done.store(true, std::sync::atomic::Ordering::Release);
                        waker.wake();
                    })
                });
                Poll::Pending
            })
            .await;
        });
        thread.unwrap().join().unwrap();
    }
}

#[test]
fn a_task_that_never_waits_does_not_keep_timers_from_firing() {
    run(async || {
        let spinner = spawn(async || {
            loop {
                yield_now().await.unwrap();
            }
        });
        time::sleep(std::time::Duration::from_nanos(1))
            .await
            .unwrap();
        drop(spinner);
    });
}

#[test]
fn a_panic_in_a_waker_is_the_tasks_panic() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("in the waker");
        }
    }
    simulate(async || {
        let task = spawn(async || Waker::from(std::sync::Arc::new(Panics)).wake());
        assert!(task.await.unwrap_err().is_panic());
        // The loop goes on.
        assert_eq!(spawn(async || 1).await.unwrap(), 1);
    });
}

#[test]
fn variables_are_inherited_at_spawn_and_then_ones_own() {
    static COLOUR: TaskLocal<&str> = TaskLocal::new();
    static SIZE: TaskLocal<u32> = TaskLocal::new();
    simulate(async || {
        assert_eq!(COLOUR.get(), None);
        COLOUR.set("red");
        let child = spawn(async || {
            let inherited = (COLOUR.get(), SIZE.get());
            COLOUR.set("green");
            let grandchild = spawn(async || COLOUR.get()).await.unwrap();
            (inherited, grandchild)
        });
        // Set after the spawn: the child does not see it.
        COLOUR.set("blue");
        SIZE.set(7);
        assert_eq!(child.await.unwrap(), ((Some("red"), None), Some("green")));
        assert_eq!((COLOUR.get(), SIZE.get()), (Some("blue"), Some(7)));
    });
}

#[test]
fn ids_parents_and_names_are_told() {
    simulate(async || {
        let outer = TaskBuilder::new()
            .name("outer")
            .spawn(async || spawn(async || ()).id());
        let outer_id = outer.id();
        assert_eq!(outer.name(), Some("outer"));
        assert!(outer.await.unwrap() > outer_id);
    });
}

#[test]
fn a_handle_can_be_awaited_from_another_task() {
    simulate(async || {
        let slow = spawn(async || {
            time::sleep(std::time::Duration::from_secs(1))
                .await
                .unwrap();
            "done"
        });
        assert_eq!(
            spawn(async move || slow.await.unwrap()).await.unwrap(),
            "done"
        );
    });
}

#[test]
fn many_tasks_come_and_go() {
    simulate(async || {
        for round in 0..10u64 {
            let tasks: Vec<_> = (0..1000).map(|n| spawn(async move || n + round)).collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            assert_eq!(sum, 499_500 + 1000 * round);
        }
    });
}

/// A result that nobody waits for is dropped by the loop. A panic of its destructor came out of `run`, and ended every
/// other task.
#[test]
fn a_panic_in_the_destructor_of_an_unwanted_result_ends_nobody_else() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    simulate(async || {
        drop(spawn(async || Bomb));
        let other = spawn(async || {
            yield_now().await.unwrap();
            "unharmed"
        });
        assert_eq!(other.await.unwrap(), "unharmed");
    });
}

#[test]
fn the_closure_of_main_runs_in_the_loop() {
    let mut runtime = Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .unwrap();
    let result = runtime.run(|| {
        let task = spawn(async || 7);
        async move { task.await.unwrap() }
    });
    assert_eq!(result, 7);
}

/// The result was dropped in the middle of the bookkeeping, when the future's own destructor had panicked. A panic of the
/// result's, too, left the handle waiting for ever.
#[test]
fn two_panicking_destructors_of_one_task_are_its_outcome() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    /// Ready at once with a `Bomb`, and another in its own destructor.
    struct Task(#[allow(dead_code, reason = "it is there to be dropped")] Bomb);
    impl std::future::Future for Task {
        type Output = Bomb;
        fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<Bomb> {
            Poll::Ready(Bomb)
        }
    }
    simulate(async || {
        let task = spawn(|| Task(Bomb));
        let error = task.await.map(std::mem::forget).unwrap_err();
        assert!(error.is_panic());
    });
}

#[test]
fn a_task_that_awaits_another_is_seen_waiting_for_it() {
    simulate(async || {
        let slow = spawn(async || time::sleep(std::time::Duration::from_secs(1)).await);
        let origin = slow.origin();
        let waiter = spawn(async move || slow.await.unwrap());
        yield_now().await.unwrap();
        let tree = antiphon::tree();
        let seen = tree.tasks.iter().find(|task| task.id == waiter.id());
        let [wait] = &seen.unwrap().waits[..] else {
            panic!("one wait: {tree}")
        };
        assert_eq!((wait.kind, wait.at), ("task", origin));
        waiter.await.unwrap().unwrap();
        assert!(
            antiphon::tree()
                .tasks
                .iter()
                .all(|task| task.waits.is_empty())
        );
    });
}

/// Only variables are inherited: a name is not, nor is there room made for variables that nobody set.
#[test]
fn a_child_has_no_name_of_its_parents() {
    simulate(async || {
        let parent = TaskBuilder::new()
            .name("parent")
            .spawn(async || spawn(async || spawn(async || ()).name().map(str::to_owned)));
        let child = parent.await.unwrap();
        assert_eq!(child.name(), None);
        assert_eq!(child.await.unwrap(), None);
    });
}

/// Futures of any size and alignment, with outcomes of another, and tasks that outlive their loop through their handles.
#[test]
fn cells_of_every_size_and_alignment() {
    #[repr(align(64))]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Aligned(u8);

    async fn check<const N: usize>() {
        let small = spawn(async || {
            let bytes = [7_u8; N];
            yield_now().await.unwrap();
            bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>()
        });
        let large = spawn(async || {
            yield_now().await.unwrap();
            [9_u8; N]
        });
        let aligned = spawn(async || {
            let aligned = Aligned(3);
            yield_now().await.unwrap();
            aligned
        });
        assert_eq!(small.await.unwrap(), 7 * N);
        assert_eq!(large.await.unwrap(), [9; N]);
        assert_eq!(aligned.await.unwrap(), Aligned(3));
    }
    let handle = Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .unwrap()
        .run(async || {
            check::<0>().await;
            check::<1>().await;
            check::<16>().await;
            check::<100>().await;
            check::<1000>().await;
            check::<5000>().await;
            let handle = spawn(async || "later");
            yield_now().await.unwrap();
            Some(handle)
        });
    assert!(handle.is_some_and(|handle| handle.is_finished()));
}

/// To inherit variables it asked for the running task, of which there is none when a loop drops its tasks.
#[test]
fn a_destructor_may_spawn_a_named_task_while_the_loop_ends() {
    struct Spawns;
    impl Drop for Spawns {
        fn drop(&mut self) {
            drop(TaskBuilder::new().name("late").spawn(async || ()));
        }
    }
    simulate(async || {
        drop(spawn(async || {
            let _spawns = Spawns;
            pending::<()>().await;
        }));
        yield_now().await.unwrap();
    });
}
