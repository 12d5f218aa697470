//! Groups: children, what they borrow, their order, and when the group ends.

mod group_support;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;

use antiphon::sync::Mutex;
use antiphon::{Group, TaskLocal, TaskState, group, run, spawn, tree, yield_now};
use futures_util::future::join as foreign_join;
use futures_util::stream::{FuturesUnordered, StreamExt};

use group_support::{Fault, Trace, simulate, sleep, sleep_long, texts};

#[test]
fn a_group_ends_when_its_body_and_all_children_have_ended() {
    let trace = Trace::default();
    simulate(async || {
        group(async |group| {
            for millis in [3, 1, 2] {
                let trace = &trace;
                group.spawn(async move || {
                    sleep(millis).await?;
                    trace.say(format!("child {millis}"));
                    Ok(())
                });
            }
            trace.say("body");
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        trace.say("after");
    });
    assert_eq!(
        trace.take(),
        ["body", "child 1", "child 2", "child 3", "after"]
    );
}

#[test]
fn a_body_may_outlive_its_children() {
    simulate(async || {
        let value = group(async |group| {
            group.spawn(async || Ok(()));
            sleep(5).await?;
            assert_eq!(group.children_len(), 0);
            Ok::<_, Fault>("body")
        });
        assert_eq!(value.await.unwrap(), "body");
    });
}

#[test]
fn a_group_without_children_is_its_body() {
    simulate(async || {
        assert_eq!(group(async |_| Ok::<_, Fault>(7)).await.unwrap(), 7);
        let error = group(async |_| Err::<(), _>(Fault::Own("body"))).await;
        assert_eq!(texts(&error.unwrap_err()), ["body"]);
    });
}

#[test]
fn children_borrow_from_the_enclosing_stack() {
    simulate(async || {
        let mut words = vec!["one"];
        let count = Cell::new(0);
        group(async |group| {
            group.spawn(async || {
                count.set(count.get() + 1);
                yield_now().await?;
                count.set(count.get() + 1);
                Ok(())
            });
            group.spawn(async || {
                words.push("two");
                yield_now().await?;
                words.push("three");
                Ok(())
            });
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        assert_eq!((words.len(), count.get()), (3, 2));
    });
}

#[test]
fn a_value_may_borrow_as_well() {
    simulate(async || {
        let text = String::from("a b");
        let word = group(async |group| {
            let word = group.spawn(async || Ok(text.split(' ').next_back().unwrap()));
            Ok::<&str, Fault>(word.await?)
        });
        assert_eq!(word.await.unwrap(), "b");
    });
}

#[test]
fn a_child_takes_its_first_step_after_those_that_are_ready() {
    let trace = Trace::default();
    simulate(async || {
        group(async |group| {
            let other = trace.clone();
            drop(spawn(async move || other.say("task")));
            group.spawn(async || {
                trace.say("child");
                Ok(())
            });
            trace.say("body");
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
    assert_eq!(trace.take(), ["body", "task", "child"]);
}

#[test]
fn children_take_their_steps_in_turn_with_the_tasks() {
    let trace = Trace::default();
    simulate(async || {
        let other = trace.clone();
        let task = spawn(async move || {
            for step in 0..3 {
                other.say(format!("task {step}"));
                yield_now().await.unwrap();
            }
        });
        group(async |group| {
            for name in ["a", "b"] {
                let trace = &trace;
                group.spawn(async move || {
                    for step in 0..3 {
                        trace.say(format!("{name} {step}"));
                        yield_now().await?;
                    }
                    Ok(())
                });
            }
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        task.await.unwrap();
    });
    let steps = trace.take();
    let of = |name: &str| -> Vec<usize> {
        (0..3)
            .map(|step| {
                steps
                    .iter()
                    .position(|line| *line == format!("{name} {step}"))
                    .unwrap()
            })
            .collect()
    };
    let (a, b, task) = (of("a"), of("b"), of("task"));
    for step in 0..3 {
        assert!(a[step] < b[step], "{steps:?}");
        assert!(step == 0 || b[step - 1] < a[step], "{steps:?}");
        assert!(step == 0 || task[step] > task[step - 1], "{steps:?}");
    }
    assert!(
        task[2] > a[0] && a[2] > task[1],
        "nobody is left waiting: {steps:?}"
    );
}

#[test]
fn only_children_that_were_woken_are_polled() {
    simulate(async || {
        let polls = Cell::new(0);
        group(async |group| {
            let sleeper = group.spawn(async || {
                let mut sleep = pin!(sleep_long());
                poll_fn(|cx| {
                    polls.set(polls.get() + 1);
                    sleep.as_mut().poll(cx)
                })
                .await
            });
            for _ in 0..20 {
                group.spawn(async || {
                    for _ in 0..5 {
                        yield_now().await?;
                    }
                    Ok(())
                });
            }
            sleep(1).await?;
            assert_eq!((group.children_len(), polls.get()), (1, 1));
            sleeper.cancel("counted");
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        assert_eq!(polls.get(), 2);
    });
}

#[test]
fn children_spawn_siblings() {
    async fn walk<'env>(
        group: Group<'env, Fault>,
        depth: u32,
        seen: &'env Cell<u32>,
    ) -> Result<(), Fault> {
        seen.set(seen.get() + 1);
        yield_now().await?;
        if depth > 0 {
            for _ in 0..2 {
                group.spawn_with(async move |group| walk(group, depth - 1, seen).await);
            }
        }
        Ok(())
    }
    simulate(async || {
        let seen = Cell::new(0);
        group(async |group| walk(group, 4, &seen).await)
            .await
            .unwrap();
        assert_eq!(seen.get(), 31);
    });
}

#[test]
fn a_child_may_be_spawned_after_the_body_has_ended() {
    let trace = Trace::default();
    simulate(async || {
        let trace = &trace;
        group(async |group| {
            group.spawn_with(async move |group| {
                sleep(1).await?;
                group.spawn(async move || {
                    sleep(1).await?;
                    trace.say("grandchild");
                    Ok(())
                });
                Ok(())
            });
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        trace.say("after");
    });
    assert_eq!(trace.take(), ["grandchild", "after"]);
}

#[test]
fn groups_nest() {
    simulate(async || {
        let sum = Cell::new(0);
        group(async |outer| {
            for number in 1..=3 {
                let sum = &sum;
                outer.spawn(async move || {
                    Ok(group(async |inner| {
                        inner.spawn(async move || {
                            yield_now().await?;
                            sum.set(sum.get() + number);
                            Ok::<(), Fault>(())
                        });
                        inner.spawn(async move || {
                            sum.set(sum.get() + 10 * number);
                            Ok(())
                        });
                        Ok(())
                    })
                    .await?)
                });
            }
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        assert_eq!(sum.get(), 66);
    });
}

#[test]
fn a_child_of_an_inner_group_may_spawn_in_the_outer_one() {
    let trace = Trace::default();
    simulate(async || {
        let trace = &trace;
        group(async |outer| {
            let handle = outer.clone();
            group(async move |inner| {
                inner.spawn(async move || {
                    handle.spawn(async move || {
                        sleep(1).await?;
                        trace.say("outer's");
                        Ok(())
                    });
                    Ok(())
                });
                Ok::<(), Fault>(())
            })
            .await?;
            trace.say("inner ended");
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
    assert_eq!(trace.take(), ["inner ended", "outer's"]);
}

#[test]
fn a_child_is_a_task_in_the_tree() {
    simulate(async || {
        group(async |group| {
            let child = group.child().name("sleeper").spawn(sleep_long);
            let line = line!() - 1;
            yield_now().await?;
            yield_now().await?;
            let shown = tree().tasks;
            let (main, shown) = (&shown[0], &shown[1]);
            assert_eq!((shown.id, shown.parent), (child.id(), Some(main.id)));
            assert_eq!(shown.name.as_deref(), Some("sleeper"));
            assert_eq!(shown.origin.line(), line);
            assert_eq!(shown.state, TaskState::Waiting);
            assert_eq!(shown.waits[0].kind, "sleep");
            group.cancel("seen");
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        assert_eq!(tree().tasks.len(), 1, "nothing of it is left");
    });
}

#[test]
fn the_child_that_looks_is_the_one_that_runs() {
    simulate(async || {
        group(async |group| {
            let child = group.spawn_with(async |_| {
                let running: Vec<_> = tree()
                    .tasks
                    .into_iter()
                    .filter(|task| task.state == TaskState::Running)
                    .collect();
                assert_eq!(running.len(), 1);
                Ok(running[0].id)
            });
            let id = child.id();
            assert_eq!(child.await?, id);
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_task_spawned_by_a_child_is_its_child_in_the_tree() {
    simulate(async || {
        group(async |group| {
            let child = group.spawn(async || {
                let task = spawn(async || ());
                let id = task.id();
                let parent = tree().tasks.into_iter().find(|task| task.id == id);
                Ok(parent.unwrap().parent)
            });
            let id = child.id();
            assert_eq!(child.await?, Some(id));
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_child_inherits_variables_and_has_its_own() {
    static NAME: TaskLocal<&str> = TaskLocal::new();
    simulate(async || {
        NAME.set("parent");
        group(async |group| {
            let child = group.spawn(async || {
                assert_eq!(NAME.get(), Some("parent"));
                NAME.set("child");
                yield_now().await?;
                Ok(NAME.get())
            });
            yield_now().await?;
            NAME.set("changed");
            assert_eq!(child.await?, Some("child"));
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        assert_eq!(NAME.get(), Some("changed"));
    });
}

#[test]
fn children_work_on_every_driver() {
    run(async || {
        let mutex = Mutex::new(0);
        group(async |group| {
            for _ in 0..50 {
                group.spawn(async || {
                    let mut number = mutex.lock().await?;
                    yield_now().await?;
                    *number += 1;
                    Ok(())
                });
            }
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        assert_eq!(*mutex.lock().await.unwrap(), 50);
    });
}

#[test]
fn a_group_may_be_polled_with_a_foreign_waker() {
    let trace = Trace::default();
    simulate(async || {
        let work = async |name: &'static str| {
            group(async |group| {
                for millis in 1..=2 {
                    let trace = &trace;
                    group.spawn(async move || {
                        sleep(millis).await?;
                        trace.say(format!("{name} {millis}"));
                        Ok(())
                    });
                }
                Ok::<(), Fault>(())
            })
            .await
        };
        let (left, right) = foreign_join(work("a"), work("b")).await;
        left.unwrap();
        right.unwrap();
        let mut many: FuturesUnordered<_> = ["c", "d"].into_iter().map(work).collect();
        while let Some(result) = many.next().await {
            result.unwrap();
        }
    });
    assert_eq!(
        trace.take(),
        ["a 1", "b 1", "a 2", "b 2", "c 1", "d 1", "c 2", "d 2"]
    );
}

#[test]
fn an_index_is_used_again() {
    simulate(async || {
        let order = RefCell::new(Vec::new());
        group(async |group| {
            for round in 0..100 {
                let order = &order;
                let child = group.spawn(async move || {
                    yield_now().await?;
                    order.borrow_mut().push(round);
                    Ok(())
                });
                child.await?;
            }
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        assert_eq!(order.take(), (0..100).collect::<Vec<_>>());
    });
}
