//! Cancelling a task through its handle; and a task that awaits itself.

mod scope_support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use antiphon::sync::{Event, Mutex};
use antiphon::{
    CancelReason, CancelScope, Cancelled, JoinHandle, Outcome, group, is_cancelled, shield, spawn,
    time, tree, yield_now,
};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use scope_support::{Trace, simulate};

const SECOND: Duration = Duration::from_secs(1);

async fn sleep_long() -> Result<(), Cancelled> {
    time::sleep(SECOND * 3600).await
}

#[test]
fn a_cancel_ends_the_wait_under_way_and_those_to_come() {
    simulate(async || {
        let task = spawn(async || {
            let cancelled = sleep_long().await.unwrap_err();
            assert_eq!(yield_now().await, Err(cancelled.clone()));
            assert_eq!(Mutex::new(0).lock().await.err(), Some(cancelled.clone()));
            shield(async || time::sleep(SECOND).await).await.unwrap();
            yield_now().await
        });
        time::sleep(SECOND).await.unwrap();
        assert!(task.cancel("by hand"));
        assert!(!task.cancel("again"), "the first one stays");
        let cancelled = task.await.unwrap().unwrap_err();
        assert_eq!(
            cancelled.reason(),
            &CancelReason::Requested("by hand".into())
        );
        assert!(cancelled.location().file().ends_with("task_cancel.rs"));
        // It was the task's alone.
        yield_now().await.unwrap();
        assert_eq!(spawn(async || yield_now().await).await.unwrap(), Ok(()));
    });
}

#[test]
fn what_the_task_returns_is_what_its_handle_gives() {
    simulate(async || {
        let task = spawn(async || sleep_long().await.is_err());
        yield_now().await.unwrap();
        task.cancel("by hand");
        assert!(task.await.unwrap());
        // Only a wait for it that is cancelled gives a cancel of its own.
        let scope = CancelScope::new();
        let mut task = spawn(sleep_long);
        let outcome = scope.run(async || {
            scope.cancel("the one who waits");
            (&mut task).await
        });
        let Outcome::Cancelled(_, error) = outcome.await else {
            panic!("it was cancelled")
        };
        assert!(error.as_cancelled().is_some() && !task.is_finished());
        task.cancel("by hand");
        assert!(is_cancelled(&task.await.unwrap().unwrap_err()));
    });
}

#[test]
fn a_task_cancelled_before_its_first_step_begins_and_its_first_wait_ends() {
    let trace = Trace::default();
    simulate(async || {
        let event = Event::new();
        event.set();
        let task = spawn({
            let trace = trace.clone();
            async move || {
                trace.say("began");
                event.wait().await
            }
        });
        assert!(task.cancel("at once"));
        assert_eq!(trace.take(), [""; 0], "not before its turn");
        assert!(task.await.unwrap().is_err());
    });
    assert_eq!(trace.take(), ["began"]);
}

#[test]
fn a_task_that_has_ended_is_not_cancelled_any_more() {
    simulate(async || {
        let task = spawn(async || yield_now().await);
        time::sleep(SECOND).await.unwrap();
        assert!(task.is_finished() && !task.cancel("late"));
        assert_eq!(task.await.unwrap(), Ok(()));
    });
}

#[test]
fn a_task_may_cancel_itself() {
    simulate(async || {
        let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
        let task = spawn({
            let own = Rc::clone(&own);
            async move || {
                let mutex = Mutex::new(());
                let scope = CancelScope::new();
                let outcome = scope.run(async || {
                    assert!(own.borrow().as_ref().unwrap().cancel("itself"));
                    // At once, in the step under way, in the scopes that it is in and outside of them.
                    mutex.lock().await.map(drop)
                });
                assert!(matches!(outcome.await, Outcome::Failed(_)));
                assert!(mutex.lock().await.is_err());
                yield_now().await.unwrap_err();
                time::sleep(SECOND).await.unwrap_err();
            }
        });
        *own.borrow_mut() = Some(task);
        let beside = spawn(async || {
            for _ in 0..10 {
                yield_now().await.unwrap();
            }
        });
        beside.await.unwrap();
        let task = own.take().unwrap();
        task.await.unwrap();
    });
}

#[test]
fn a_task_may_cancel_itself_outside_of_all_scopes_in_its_last_step() {
    simulate(async || {
        let own: Rc<RefCell<Option<JoinHandle<bool>>>> = Rc::default();
        let task = spawn({
            let own = Rc::clone(&own);
            async move || {
                own.borrow().as_ref().unwrap().cancel("itself");
                // Its own wait is one that would not have to wait.
                Mutex::new(()).try_lock().is_some()
            }
        });
        *own.borrow_mut() = Some(task);
        yield_now().await.unwrap();
        // Nobody else is cancelled after that step.
        Mutex::new(()).lock().await.map(drop).unwrap();
        assert!(own.take().unwrap().await.unwrap());
        assert!(tree().tasks[0].scopes.is_empty());
    });
}

#[test]
fn the_scopes_that_a_task_is_in_are_in_it() {
    simulate(async || {
        let trace = Trace::default();
        let task = spawn({
            let trace = trace.clone();
            async move || {
                let scope = CancelScope::new();
                let outcome = scope
                    .run(async || {
                        let inner = time::timeout(SECOND * 60, async || sleep_long().await);
                        let result = inner.await;
                        trace.say("inner");
                        result
                    })
                    .await;
                assert!(matches!(outcome, Outcome::Failed(_)), "it was not this one");
                yield_now().await
            }
        });
        let other = spawn(async || {
            let scope = CancelScope::with_deadline(time::now() + SECOND * 2);
            scope.run(sleep_long).await.is_cancelled()
        });
        time::sleep(SECOND).await.unwrap();
        task.cancel("by hand");
        assert!(task.await.unwrap().is_err());
        assert_eq!(trace.take(), ["inner"]);
        assert!(other.await.unwrap(), "another's scopes are as they were");
        assert!(tree().tasks.iter().all(|task| task.scopes.is_empty()));
    });
}

#[test]
fn the_children_of_its_groups_hear_of_it() {
    simulate(async || {
        let trace = Trace::default();
        let task = spawn({
            let trace = trace.clone();
            async move || {
                group(async |group| {
                    group.spawn(async || {
                        let result = sleep_long().await;
                        trace.say("child");
                        result
                    });
                    sleep_long().await
                })
                .await
            }
        });
        time::sleep(SECOND).await.unwrap();
        task.cancel("by hand");
        assert!(is_cancelled(&task.await.unwrap().unwrap_err()));
        assert_eq!(trace.take(), ["child"]);
    });
}

#[test]
fn what_it_has_spawned_goes_on() {
    simulate(async || {
        let task = spawn(async || {
            let spawned = spawn(async || time::sleep(SECOND * 60).await);
            let error = shield(async || sleep_for_ever(&spawned).await).await;
            (spawned, error)
        });
        time::sleep(SECOND).await.unwrap();
        task.cancel("by hand");
        let (spawned, ()) = task.await.unwrap();
        assert_eq!(spawned.await.unwrap(), Ok(()));
    });
}

async fn sleep_for_ever(task: &JoinHandle<Result<(), Cancelled>>) {
    time::sleep(SECOND * 2).await.unwrap();
    assert!(!task.is_finished());
}

/// Scopes and waits under wakers that say nothing of the task.
#[test]
fn what_is_polled_by_a_foreign_combinator_hears_of_it() {
    simulate(async || {
        let task = spawn(async || {
            let waits: FuturesUnordered<Pin<Box<dyn Future<Output = bool>>>> =
                FuturesUnordered::new();
            waits.push(Box::pin(async { sleep_long().await.is_err() }));
            waits.push(Box::pin(async {
                let scope = CancelScope::new();
                matches!(scope.run(sleep_long).await, Outcome::Failed(_))
            }));
            waits.collect::<Vec<_>>().await
        });
        time::sleep(SECOND).await.unwrap();
        task.cancel("by hand");
        assert_eq!(task.await.unwrap(), [true, true]);
    });
}

#[test]
fn a_cancel_of_the_loops_end_is_told_before_the_task_s_own() {
    let told = Rc::new(Cell::new(None));
    simulate(async || {
        let telling = Rc::clone(&told);
        let task = spawn(async move || {
            let both = [sleep_long().await, shield(sleep_a_moment).await];
            assert!(both[1].is_ok());
            telling.set(yield_now().await.err());
        });
        yield_now().await.unwrap();
        task.cancel("by hand");
        yield_now().await.unwrap();
    });
    assert_eq!(told.take().unwrap().reason(), &CancelReason::MainEnded);
}

async fn sleep_a_moment() -> Result<(), Cancelled> {
    time::sleep(SECOND / 2).await
}

#[test]
fn the_tree_shows_a_cancel_that_is_pending() {
    simulate(async || {
        let task = spawn(async || pending::<()>().await);
        yield_now().await.unwrap();
        task.cancel("by hand");
        time::sleep(SECOND).await.unwrap();
        let tree = tree();
        let snapshot = &tree.tasks[1];
        assert!(snapshot.is_held_up());
        let cancelled = snapshot.scopes[0].cancelled.as_ref().unwrap();
        assert_eq!(cancelled.reason().to_string(), "by hand");
        assert_eq!(snapshot.scopes[0].at, task.origin());
        assert!(tree.to_string().contains("cancelled: by hand"), "{tree}");
    });
}

#[test]
fn the_handle_of_another_loop_cancels_nobody() {
    let mut handle = None;
    simulate(async || {
        handle = Some(spawn(async || pending::<()>().await));
        yield_now().await.unwrap();
    });
    let handle = handle.unwrap();
    simulate(async || {
        let task = spawn(async || yield_now().await);
        assert!(!handle.cancel("late"));
        task.await.unwrap().unwrap();
    });
    assert!(!handle.cancel("outside"));
}

/// Many are found without a search.
#[test]
fn many_may_be_cancelled() {
    simulate(async || {
        let count = if cfg!(miri) { 20 } else { 20_000 };
        let tasks: Vec<_> = (0..count).map(|_| spawn(sleep_long)).collect();
        yield_now().await.unwrap();
        for task in &tasks {
            assert!(task.cancel("all"));
        }
        for task in tasks {
            assert!(task.await.unwrap().is_err());
        }
    });
}

#[test]
fn a_named_task_with_variables_keeps_them() {
    simulate(async || {
        let task = antiphon::TaskBuilder::new()
            .name("sleeper")
            .spawn(sleep_long);
        yield_now().await.unwrap();
        task.cancel("by hand");
        assert_eq!(task.name(), Some("sleeper"));
        assert!(task.await.unwrap().is_err());
    });
}

/// It waited for ever, and the tree showed it waiting for a task.
#[test]
fn a_task_that_awaits_itself_panics() {
    simulate(async || {
        let own: Rc<RefCell<Option<JoinHandle<String>>>> = Rc::default();
        let task = spawn({
            let own = Rc::clone(&own);
            async move || {
                let handle = own.take().unwrap();
                let origin = handle.origin();
                let panic = AssertUnwindSafe(handle).catch_unwind().await.unwrap_err();
                let message = *panic.downcast::<String>().unwrap();
                assert!(message.contains(&origin.to_string()), "{message}");
                message
            }
        });
        *own.borrow_mut() = Some(task);
        time::sleep(SECOND).await.unwrap();
        let tree = tree();
        assert_eq!(tree.tasks.len(), 1, "{tree}");
    });
}

#[test]
fn a_child_that_awaits_itself_panics() {
    simulate(async || {
        let own = RefCell::new(None);
        let group = group(async |group| {
            let own = &own;
            let child = group.spawn(async move || {
                let handle: antiphon::ChildHandle<()> = own.take().unwrap();
                let origin = handle.origin();
                let panic = AssertUnwindSafe(handle).catch_unwind().await.unwrap_err();
                let message = *panic.downcast::<String>().unwrap();
                assert!(message.contains(&origin.to_string()), "{message}");
                Ok::<(), Cancelled>(())
            });
            *own.borrow_mut() = Some(child);
            Ok(())
        });
        assert!(group.await.is_ok());
    });
}

/// Two that await each other are seen in the tree.
#[test]
fn a_circle_of_tasks_is_seen_in_the_tree() {
    simulate(async || {
        let first: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
        let second = spawn({
            let first = Rc::clone(&first);
            async move || {
                let first = first.take().unwrap();
                let _ = first.await;
            }
        });
        let (second_id, second) = (second.id(), Rc::new(RefCell::new(Some(second))));
        let task = spawn(async move || {
            let second = second.take().unwrap();
            let _ = second.await;
        });
        let first_id = task.id();
        *first.borrow_mut() = Some(task);
        yield_now().await.unwrap();
        yield_now().await.unwrap();
        let tree = tree();
        let awaited = |id| {
            let task = tree.tasks.iter().find(|task| task.id == id).unwrap();
            task.waits[0].task
        };
        assert_eq!(awaited(first_id), Some(second_id), "{tree}");
        assert_eq!(awaited(second_id), Some(first_id), "{tree}");
        assert!(
            tree.to_string().contains(&format!("task {first_id} at ")),
            "{tree}"
        );
        assert!(
            tree.to_json().contains(&format!("\"task\":{first_id}")),
            "{tree}"
        );
    });
}
