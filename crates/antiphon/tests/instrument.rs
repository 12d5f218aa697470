//! Instruments: what is told of a task, in which order, and to whom.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use antiphon::instrument::{self, Instrument, TaskView};
use antiphon::sync::Event;
use antiphon::{
    CancelScope, Cancelled, DriverKind, Runtime, TaskBuilder, Wait, group, spawn, time, tree,
    yield_now,
};
use expect_test::{Expect, expect};

/// Writes down all that it is told, with the names of tasks.
#[derive(Default)]
struct Log(RefCell<Vec<String>>);

impl Log {
    fn say(&self, what: &str, task: &TaskView<'_>) {
        let name = task
            .name()
            .map_or_else(|| task.id().to_string(), str::to_owned);
        self.0.borrow_mut().push(format!("{what} {name}"));
    }

    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

impl Instrument for Log {
    fn spawned(&self, task: &TaskView<'_>) {
        self.say("spawned", task);
    }

    fn scheduled(&self, task: &TaskView<'_>) {
        self.say("scheduled", task);
    }

    fn before_step(&self, task: &TaskView<'_>) {
        self.say("before", task);
    }

    fn after_step(&self, task: &TaskView<'_>) {
        self.say("after", task);
    }

    fn wait_started(&self, task: &TaskView<'_>, wait: &Wait) {
        self.say(&format!("  waits for {}:", wait.kind), task);
    }

    fn wait_ended(&self, task: &TaskView<'_>, wait: &Wait) {
        let Wait { kind, elapsed, .. } = wait;
        self.say(&format!("  waited {elapsed:?} for {kind}:"), task);
    }

    fn cancelled(&self, task: &TaskView<'_>, cancelled: &Cancelled) {
        self.say(&format!("  hears {:?}:", cancelled.reason()), task);
    }

    fn exited(&self, task: &TaskView<'_>) {
        self.say("exited", task);
    }
}

/// Runs `main` in virtual time with `log` from the start.
fn run_with<T>(log: &Rc<Log>, main: impl AsyncFnOnce() -> T) -> T {
    Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .instrument(Rc::clone(log))
        .build()
        .unwrap()
        .run(main)
}

fn simulate<T>(main: impl AsyncFnOnce() -> T) -> T {
    Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .unwrap()
        .run(main)
}

fn check<T>(main: impl AsyncFnOnce() -> T, expected: &Expect) {
    let log = Rc::default();
    run_with(&log, main);
    expected.assert_eq(&(log.take().join("\n") + "\n"));
}

#[test]
fn a_task_is_told_of_from_its_spawn_to_its_end() {
    check(
        async || {
            let child = TaskBuilder::new().name("child").spawn(async || {
                yield_now().await.unwrap();
                time::sleep(Duration::from_secs(1)).await.unwrap();
            });
            child.await.unwrap();
        },
        &expect![[r"
            spawned main
            scheduled main
            before main
            spawned child
            scheduled child
              waits for task: main
            after main
            before child
            scheduled child
            after child
            before child
              waits for sleep: child
            after child
            scheduled child
            before child
              waited 1s for sleep: child
            scheduled main
            after child
            exited child
            before main
              waited 1s for task: main
            after main
            exited main
        "]],
    );
}

#[test]
fn a_cancel_is_told_when_a_wait_ends_with_it() {
    check(
        async || {
            let scope = CancelScope::new();
            let canceller = {
                let scope = scope.clone();
                TaskBuilder::new()
                    .name("canceller")
                    .spawn(async move || scope.cancel("enough"))
            };
            let outcome = scope
                .run(async || time::sleep(Duration::from_secs(9)).await)
                .await;
            assert!(outcome.is_cancelled());
            canceller.await.unwrap();
        },
        &expect![[r#"
            spawned main
            scheduled main
            before main
            spawned canceller
            scheduled canceller
              waits for sleep: main
            after main
            before canceller
            scheduled main
            after canceller
            exited canceller
            before main
              hears Requested("enough"): main
              waited 0ns for sleep: main
            after main
            exited main
        "#]],
    );
}

#[test]
fn the_children_of_a_group_are_tasks() {
    check(
        async || {
            group(async |group| {
                let child = group.child().name("child").spawn(async || {
                    time::sleep(Duration::from_secs(1)).await?;
                    Ok(())
                });
                drop(child);
                Ok::<(), Cancelled>(())
            })
            .await
            .unwrap();
        },
        &expect![[r"
            spawned main
            scheduled main
            before main
            spawned child
            scheduled child
            after main
            scheduled main
            before main
            before child
              waits for sleep: child
            after child
            after main
            scheduled child
            scheduled main
            before main
            before child
              waited 1s for sleep: child
            after child
            exited child
            after main
            exited main
        "]],
    );
}

#[test]
fn what_is_left_at_the_end_is_told_of_as_well() {
    check(
        async || {
            let left = TaskBuilder::new().name("left").spawn(async || {
                std::future::pending::<()>().await;
            });
            let waiter = TaskBuilder::new().name("waiter").spawn(async || {
                let event = Event::new();
                // It does not listen to the cancel, so it is dropped while it waits.
                antiphon::shield(async || event.wait().await).await
            });
            yield_now().await.unwrap();
            drop((left, waiter));
        },
        &expect![[r"
            spawned main
            scheduled main
            before main
            spawned left
            scheduled left
            spawned waiter
            scheduled waiter
            scheduled main
            after main
            before left
            after left
            before waiter
              waits for event: waiter
            after waiter
            before main
            after main
            exited main
            scheduled left
            scheduled waiter
            before left
            after left
            before waiter
            after waiter
            exited left
              waited 1s for event: waiter
            exited waiter
        "]],
    );
}

#[test]
fn a_panic_ends_a_step_as_well() {
    let log = Rc::<Log>::default();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run_with(&log, async || {
            let failed = TaskBuilder::new()
                .name("failed")
                .spawn(async || std::panic::resume_unwind(Box::new("task")));
            let error: Result<(), _> = failed.await;
            assert!(error.unwrap_err().is_panic());
            std::panic::resume_unwind(Box::new("main"));
        });
    }));
    let payload: Box<dyn std::any::Any + Send> = result.unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"main"));
    let log = log.take();
    let count = |what: &str| log.iter().filter(|line| **line == what).count();
    for task in ["main", "failed"] {
        assert_eq!(
            count(&format!("before {task}")),
            count(&format!("after {task}"))
        );
        assert_eq!(count(&format!("exited {task}")), 1, "{log:#?}");
    }
}

#[test]
fn several_are_told_in_the_order_in_which_they_were_added() {
    struct Named(&'static str, Rc<RefCell<Vec<&'static str>>>);
    impl Instrument for Named {
        fn spawned(&self, _: &TaskView<'_>) {
            self.1.borrow_mut().push(self.0);
        }
    }
    let told = Rc::default();
    simulate(async || {
        let first = instrument::add(Named("first", Rc::clone(&told)));
        instrument::add(Named("second", Rc::clone(&told)));
        drop(spawn(async || ()));
        assert_eq!(told.take(), ["first", "second"]);
        assert!(instrument::remove(first));
        assert!(!instrument::remove(first));
        drop(spawn(async || ()));
        assert_eq!(told.take(), ["second"]);
        instrument::add(Named("third", Rc::clone(&told)));
        drop(spawn(async || ()));
        assert_eq!(told.take(), ["second", "third"]);
    });
}

#[test]
fn one_that_is_removed_by_another_is_not_called_any_more() {
    struct Remover(Cell<Option<instrument::InstrumentId>>);
    impl Instrument for Remover {
        fn spawned(&self, _: &TaskView<'_>) {
            if let Some(other) = self.0.take() {
                assert!(instrument::remove(other));
            }
        }
    }
    simulate(async || {
        let remover = Rc::new(Remover(Cell::new(None)));
        let log = Rc::<Log>::default();
        instrument::add(Rc::clone(&remover));
        remover.0.set(Some(instrument::add(Rc::clone(&log))));
        drop(spawn(async || ()));
        assert_eq!(log.take(), [""; 0]);
        assert_eq!(Rc::strong_count(&log), 1);
    });
}

#[test]
fn one_that_is_added_in_the_middle_of_a_step_hears_of_no_half_of_it() {
    simulate(async || {
        let begun = ["scheduled main", "before main"];
        for _ in 0..2 {
            // The step in which it is added has no begin, so it has no end.
            let first = Rc::<Log>::default();
            let first_id = instrument::add(Rc::clone(&first));
            yield_now().await.unwrap();
            assert_eq!(first.take(), begun);
            // Also if somebody else heard of the begin.
            let second = Rc::<Log>::default();
            let second_id = instrument::add(Rc::clone(&second));
            yield_now().await.unwrap();
            assert_eq!(
                first.take(),
                ["scheduled main", "after main", "before main"]
            );
            assert_eq!(second.take(), begun);
            // None is left in the middle of a step, and then there is one again.
            instrument::remove(first_id);
            instrument::remove(second_id);
        }
    });
}

#[test]
fn one_that_panics_is_removed() {
    struct Panics(&'static str);
    impl Instrument for Panics {
        fn before_step(&self, task: &TaskView<'_>) {
            assert_ne!(task.name(), Some(self.0), "on purpose");
        }
    }
    simulate(async || {
        let id = instrument::add(Panics("child"));
        let log = Rc::<Log>::default();
        instrument::add(Rc::clone(&log));
        let child = TaskBuilder::new().name("child").spawn(async || 7);
        assert_eq!(child.await.unwrap(), 7);
        assert!(!instrument::remove(id), "it is not there any more");
        assert!(log.take().contains(&"before child".to_owned()));
    });
}

#[test]
fn one_may_look_and_wake_but_not_spawn() {
    struct Looks(Event, Cell<usize>);
    impl Instrument for Looks {
        fn exited(&self, task: &TaskView<'_>) {
            assert!(tree().tasks.iter().all(|other| other.id != task.id()));
            self.1.set(tree().tasks.len());
            self.0.set();
        }
    }
    struct Spawns;
    impl Instrument for Spawns {
        fn exited(&self, _: &TaskView<'_>) {
            drop(spawn(async || ()));
        }
    }
    simulate(async || {
        let looks = Rc::new(Looks(Event::new(), Cell::new(0)));
        instrument::add(Rc::clone(&looks));
        let spawns = instrument::add(Spawns);
        drop(spawn(async || ()));
        looks.0.wait().await.unwrap();
        assert_eq!(looks.1.get(), 1, "the main task is left");
        assert_eq!(tree().tasks.len(), 1, "what it spawned never was");
        assert!(!instrument::remove(spawns), "it has panicked");
    });
}

#[test]
fn they_stay_for_the_next_run() {
    let log = Rc::<Log>::default();
    let mut runtime = Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .instrument(Rc::clone(&log))
        .build()
        .unwrap();
    runtime.run(async || ());
    let first = log.take();
    runtime.run(async || ());
    assert_eq!(log.take(), first);
    drop(runtime);
    assert_eq!(Rc::strong_count(&log), 1);
}

/// No time is measured: the task goes on when the watchdog has told of it, and not before.
#[test]
fn the_watchdog_names_who_holds_the_loop() {
    let (tell, told) = mpsc::channel();
    let mut runtime = Runtime::builder()
        .watchdog_with(Duration::from_millis(5), move |hold| {
            let _ = tell.send(hold.clone());
        })
        .build()
        .unwrap();
    runtime.run(async || {
        let (line, at) = (line!() + 1, line!() + 2);
        let holder = TaskBuilder::new().name("holder").spawn(async move || {
            time::sleep(Duration::from_millis(1)).await.unwrap();
            // This blocks the loop.
            told.recv().unwrap()
        });
        let id = holder.id();
        let hold = holder.await.unwrap();
        assert_eq!((hold.task, hold.name.as_deref()), (id, Some("holder")));
        assert_eq!(hold.origin.line(), line);
        let (kind, came_from) = hold.last_wait.unwrap();
        assert_eq!((kind, came_from.line()), ("sleep", at));
        assert!(hold.held >= Duration::from_millis(5));
        let text = hold.to_string();
        assert!(
            text.starts_with(&format!("task {id} `holder` (spawned at ")),
            "{text}"
        );
        assert!(text.contains("since its sleep at "), "{text}");
    });
}

/// A hold of a child is told with the child's name, though its parent's step is the one that goes on.
#[test]
fn the_watchdog_names_the_child_of_a_group() {
    let (tell, told) = mpsc::channel();
    let mut runtime = Runtime::builder()
        .watchdog_with(Duration::from_millis(5), move |hold| {
            let _ = tell.send((hold.task, hold.name.clone()));
        })
        .build()
        .unwrap();
    let (id, (task, name)) = runtime.run(async || {
        group(async |group| {
            let child = group
                .child()
                .name("child")
                .spawn(async || Ok(told.recv().unwrap()));
            let id = child.id();
            Ok::<_, antiphon::ChildError>((id, child.await?))
        })
        .await
        .unwrap()
    });
    assert_eq!((task, name.as_deref()), (id, Some("child")));
}
