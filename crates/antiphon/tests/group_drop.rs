//! Groups that are dropped, forgotten, moved to where they don't belong, or attacked from inside.

mod group_support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use antiphon::{ChildHandle, Group, TaskLocal, group, spawn, tree, yield_now};

use group_support::{Fault, Guest, Trace, message, panic_of, poke, simulate, sleep, sleep_long};

type BoxFuture<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Polls a future once, with the waker of the task that calls.
async fn poke_here(future: &mut BoxFuture<'_>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
}

#[test]
fn dropping_a_group_drops_its_children_then_its_body() {
    let trace = Trace::default();
    simulate(async || {
        let mut future: BoxFuture<'_> = Box::pin(async {
            let _ = group(async |group| {
                let _body = Guest(|| trace.say("body"));
                for name in ["a", "b"] {
                    let trace = &trace;
                    group.spawn(async move || {
                        let _guest = Guest(|| trace.say(name));
                        sleep_long().await
                    });
                }
                sleep_long().await
            })
            .await;
        });
        assert!(!poke_here(&mut future).await);
        sleep(1).await.unwrap();
        assert!(!poke_here(&mut future).await);
        drop(future);
        trace.say("dropped");
        assert_eq!(tree().tasks.len(), 1);
    });
    assert_eq!(trace.take(), ["a", "b", "body", "dropped"]);
}

#[test]
fn handles_of_children_that_were_dropped_say_so() {
    simulate(async || {
        let handles: RefCell<Vec<ChildHandle<()>>> = RefCell::default();
        let mut future: BoxFuture<'_> = Box::pin(async {
            let _ = group(async |group| {
                handles.borrow_mut().push(group.spawn(sleep_long));
                sleep_long().await
            })
            .await;
        });
        poke_here(&mut future).await;
        drop(future);
        let handle = handles.borrow_mut().pop().unwrap();
        let error = handle.await.unwrap_err();
        assert!(error.is_ended() && error.to_string().ends_with("was dropped with its group"));
    });
}

#[test]
fn a_destructor_that_spawns_on_the_dying_group_is_refused() {
    let trace = Trace::default();
    simulate(async || {
        let mut future: BoxFuture<'_> = Box::pin(async {
            let trace = &trace;
            let _ = group(async |group| {
                for name in ["a", "b", "c"] {
                    group.spawn_with(async move |group| {
                        let _guest = Guest(|| {
                            // What is refused spawns once more when it is dropped.
                            let again = group.clone();
                            let refused = Guest(move || {
                                let child = again.spawn(async || Ok(()));
                                assert!(child.is_finished());
                                trace.say(format!("{name}'s second is refused"));
                            });
                            let child = group.spawn(async move || {
                                let _refused = refused;
                                sleep_long().await
                            });
                            assert!(child.is_finished() && group.is_closed());
                            assert!(!group.cancel("too late"));
                            trace.say(name);
                        });
                        sleep_long().await
                    });
                }
                sleep_long().await
            })
            .await;
        });
        poke_here(&mut future).await;
        sleep(1).await.unwrap();
        poke_here(&mut future).await;
        drop(future);
    });
    assert_eq!(
        trace.take(),
        [
            "a's second is refused",
            "a",
            "b's second is refused",
            "b",
            "c's second is refused",
            "c"
        ]
    );
}

#[test]
fn a_destructor_of_the_body_that_spawns_is_refused() {
    let refused = Cell::new(false);
    simulate(async || {
        let mut future: BoxFuture<'_> = Box::pin(async {
            let _ = group(async |group| {
                let own = group.clone();
                let _guest = Guest(|| {
                    refused.set(own.spawn(sleep_long).is_finished());
                });
                sleep_long().await
            })
            .await;
        });
        poke_here(&mut future).await;
        drop(future);
    });
    assert!(refused.get());
}

#[test]
fn a_destructor_may_spawn_on_an_outer_group_that_lives() {
    let trace = Trace::default();
    simulate(async || {
        let trace = &trace;
        group(async |outer| {
            let survivor = outer.clone();
            let mut inner: BoxFuture<'_> = Box::pin(async move {
                let _ = group(async |inner| {
                    inner.spawn(async move || {
                        let _guest = Guest(|| {
                            survivor.spawn(async move || {
                                yield_now().await?;
                                trace.say("taken in");
                                Ok(())
                            });
                        });
                        sleep_long().await
                    });
                    sleep_long().await
                })
                .await;
            });
            poke_here(&mut inner).await;
            sleep(1).await?;
            poke_here(&mut inner).await;
            drop(inner);
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
    assert_eq!(trace.take(), ["taken in"]);
}

#[test]
fn a_forgotten_group_is_harmless() {
    let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
    simulate(async || {
        let number = Cell::new(0);
        let kept = Rc::clone(&waker);
        let mut future: BoxFuture<'_> = Box::pin(async {
            let number = &number;
            let _ = group(async |group| {
                group.spawn_with(async move |group| {
                    number.set(number.get() + 1);
                    poll_fn(|cx| {
                        kept.replace(Some(cx.waker().clone()));
                        Poll::Ready(())
                    })
                    .await;
                    sleep(5).await?;
                    drop(group);
                    number.set(number.get() + 1);
                    Ok(())
                });
                sleep_long().await
            })
            .await;
        });
        poke_here(&mut future).await;
        yield_now().await.unwrap();
        poke_here(&mut future).await;
        assert_eq!(number.get(), 1);
        mem::forget(future);
        waker.borrow().as_ref().unwrap().wake_by_ref();
        sleep(10).await.unwrap();
        assert_eq!(number.get(), 1, "nobody polls it any more");
    });
    waker.take().unwrap().wake();
}

#[test]
fn a_group_that_was_never_polled_is_dropped_as_any_value() {
    let witness = Rc::new(());
    let held = Rc::clone(&witness);
    let future = group(async move |_| {
        drop(held);
        Ok::<(), Fault>(())
    });
    drop(future);
    assert_eq!(Rc::strong_count(&witness), 1);
}

#[test]
fn a_panic_in_a_destructor_keeps_none_of_the_others() {
    let trace = Trace::default();
    simulate(async || {
        let mut future: BoxFuture<'_> = Box::pin(async {
            let trace = &trace;
            let _ = group(async |group| {
                for name in ["a", "b", "c"] {
                    group.spawn(async move || {
                        let _guest = Guest(|| {
                            trace.say(name);
                            assert!(name == "b", "{name}");
                        });
                        sleep_long().await
                    });
                }
                sleep_long().await
            })
            .await;
        });
        poke_here(&mut future).await;
        sleep(1).await.unwrap();
        poke_here(&mut future).await;
        let payload = catch_unwind(AssertUnwindSafe(|| drop(future))).unwrap_err();
        assert_eq!(message(&*payload), "a", "the first goes on");
        assert_eq!(tree().tasks.len(), 1);
    });
    assert_eq!(trace.take(), ["a", "b", "c"]);
}

#[test]
fn a_panic_in_a_destructor_while_another_unwinds_does_not_abort() {
    let text = panic_of(|| {
        simulate(async || {
            let mut future: BoxFuture<'_> = Box::pin(async {
                let _ = group(async |group| {
                    group.spawn(async || {
                        let _guest = Guest(|| panic!("in drop"));
                        sleep_long().await
                    });
                    sleep_long().await
                })
                .await;
            });
            poke_here(&mut future).await;
            sleep(1).await.unwrap();
            poke_here(&mut future).await;
            panic!("outside");
        });
    });
    assert_eq!(text, "outside");
}

#[test]
fn a_value_that_nobody_wants_may_panic_when_it_is_dropped() {
    simulate(async || {
        group(async |group| {
            drop(group.spawn(async || Ok(Guest(|| panic!("unwanted")))));
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn an_error_whose_source_panics_is_a_panic_of_its_child() {
    #[derive(Debug)]
    struct Trap;
    impl std::fmt::Display for Trap {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("trap")
        }
    }
    impl std::error::Error for Trap {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            panic!("sprung")
        }
    }
    let ended = Cell::new(false);
    let text = panic_of(|| {
        simulate(async || {
            let _ = group(async |group| {
                group.spawn(async || Err::<(), _>(Trap));
                group.spawn(async || {
                    let _ = sleep(1000).await;
                    ended.set(true);
                    Ok(())
                });
                Ok::<(), Trap>(())
            })
            .await;
        });
    });
    assert_eq!((text.as_str(), ended.get()), ("sprung", true));
}

#[test]
fn a_handle_may_escape_from_the_group() {
    simulate(async || {
        let seen = Cell::new(0);
        // Declared after what the children borrow; the compiler sees to that.
        let escaped: RefCell<Option<Group<'_, Fault>>> = RefCell::default();
        group(async |group| {
            escaped.replace(Some(group.clone()));
            group.spawn(async || {
                seen.set(1);
                Ok(())
            });
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        assert_eq!(seen.get(), 1);
        let outside = escaped.take().unwrap();
        let late = outside.spawn(async || {
            seen.set(2);
            Ok(())
        });
        assert!(late.is_finished());
        assert_eq!(seen.get(), 1);
    });
}

#[test]
fn groups_and_handles_may_be_swapped() {
    let trace = Trace::default();
    simulate(async || {
        let trace = &trace;
        group(async |mut one| {
            let error = group(async |mut two| {
                mem::swap(&mut one, &mut two);
                // `one` is the inner group now.
                one.spawn(async move || {
                    trace.say("inner");
                    Err::<(), _>(Fault::Own("inner"))
                });
                two.spawn(async move || {
                    sleep(1).await?;
                    trace.say("outer");
                    Ok(())
                });
                Ok::<(), Fault>(())
            })
            .await
            .unwrap_err();
            assert_eq!(error.first().own(), "inner");
            assert!(one.is_closed());
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
    assert_eq!(trace.take(), ["inner", "outer"]);
}

#[test]
fn unpolled_group_futures_may_be_swapped() {
    simulate(async || {
        let work = |value: u32| {
            group(async move |group| {
                let child = group.spawn(async move || Ok(value));
                Ok::<u32, Fault>(child.await?)
            })
        };
        let (mut one, mut two) = (work(1), work(2));
        mem::swap(&mut one, &mut two);
        assert_eq!((one.await.unwrap(), two.await.unwrap()), (2, 1));
    });
}

#[test]
fn a_waker_of_a_child_that_has_ended_wakes_nobody() {
    simulate(async || {
        let polls = Cell::new(0);
        group(async |group| {
            let child = group.spawn(async || {
                let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
                Ok(waker)
            });
            let waker = child.await?;
            // It has the place of the one before.
            let next = group.spawn(async || {
                let mut sleep = std::pin::pin!(sleep_long());
                poll_fn(|cx| {
                    polls.set(polls.get() + 1);
                    sleep.as_mut().poll(cx)
                })
                .await
            });
            sleep(1).await?;
            waker.wake_by_ref();
            waker.wake();
            sleep(1).await?;
            assert_eq!(polls.get(), 1);
            next.cancel("seen");
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_child_that_wakes_itself_does_not_hold_the_thread() {
    simulate(async || {
        let polls = Cell::new(0);
        group(async |group| {
            let restless = group.spawn(async || {
                poll_fn(|cx| {
                    polls.set(polls.get() + 1);
                    for _ in 0..3 {
                        cx.waker().wake_by_ref();
                    }
                    if polls.get() == 100 {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
                Ok(())
            });
            for _ in 0..10 {
                yield_now().await?;
            }
            assert!(polls.get() < 20, "{}", polls.get());
            restless.await?;
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}

thread_local! {
    static ON_WAKE: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
}

/// A waker that runs what is hooked to it.
struct Hook;

impl Wake for Hook {
    fn wake(self: Arc<Self>) {
        let hook = ON_WAKE.with_borrow(Clone::clone);
        if let Some(hook) = hook {
            hook();
        }
    }
}

fn hooked(future: &mut BoxFuture<'_>) -> bool {
    let waker = Waker::from(Arc::new(Hook));
    future
        .as_mut()
        .poll(&mut Context::from_waker(&waker))
        .is_ready()
}

/// A group whose child sleeps, and then ends with a yield.
fn group_of_one() -> BoxFuture<'static> {
    Box::pin(async {
        let _ = group(async |group| {
            group.spawn(async || {
                sleep(1).await?;
                Ok(())
            });
            Ok::<(), Fault>(())
        })
        .await;
    })
}

#[test]
fn a_waker_may_drop_the_group_that_it_is_to_wake() {
    simulate(async || {
        let mut future = group_of_one();
        hooked(&mut future);
        let slot = Rc::new(RefCell::new(Some(future)));
        let woken = Rc::new(Cell::new(0));
        ON_WAKE.set(Some(Rc::new({
            let (slot, woken) = (Rc::clone(&slot), Rc::clone(&woken));
            move || {
                woken.set(woken.get() + 1);
                // While the child's stand-in takes its step.
                drop(slot.take());
                // The child's place in the table must not be had by this one yet.
                drop(spawn(async || sleep_long().await));
            }
        })));
        for _ in 0..3 {
            yield_now().await.unwrap();
        }
        ON_WAKE.take();
        assert_eq!(woken.get(), 1);
        let tasks = tree().tasks;
        assert_eq!(
            tasks.len(),
            2,
            "main, and the one that the waker spawned: {tasks:?}"
        );
        assert_eq!(tasks[1].waits.len(), 1, "which has begun");
    });
}

#[test]
fn a_waker_may_poll_the_group_that_it_is_to_wake() {
    simulate(async || {
        let mut future = group_of_one();
        hooked(&mut future);
        let slot = Rc::new(RefCell::new(Some(future)));
        ON_WAKE.set(Some(Rc::new({
            let slot = Rc::clone(&slot);
            move || {
                let Some(mut future) = slot.take() else {
                    return;
                };
                if !hooked(&mut future) {
                    slot.replace(Some(future));
                }
            }
        })));
        sleep(5).await.unwrap();
        ON_WAKE.take();
        assert!(slot.borrow().is_none(), "it has ended");
        assert_eq!(tree().tasks.len(), 1);
    });
}

#[test]
fn a_waker_that_panics_harms_nobody() {
    simulate(async || {
        let mut future = group_of_one();
        hooked(&mut future);
        ON_WAKE.set(Some(Rc::new(|| panic!("in wake"))));
        sleep(5).await.unwrap();
        ON_WAKE.take();
        assert!(!poke(future.as_mut()), "the child sleeps now");
        sleep(5).await.unwrap();
        assert!(poke(future.as_mut()));
    });
}

#[test]
fn a_group_that_outlives_its_loop_does_no_harm_in_the_next() {
    let mut left: Option<BoxFuture<'static>> = None;
    simulate(async || {
        let mut future: BoxFuture<'static> = Box::pin(async {
            let _ = group(async |group| {
                for _ in 0..3 {
                    group.spawn(async || {
                        // Its destructor runs in another loop.
                        let _guest = Guest(|| {
                            let _ = tree();
                        });
                        sleep_long().await
                    });
                }
                pending::<Result<(), Fault>>().await
            })
            .await;
        });
        poke_here(&mut future).await;
        yield_now().await.unwrap();
        poke_here(&mut future).await;
        left = Some(future);
    });
    simulate(async || {
        let tasks: Vec<_> = (0..5)
            .map(|number| {
                spawn(async move || {
                    sleep(1).await.unwrap();
                    number
                })
            })
            .collect();
        yield_now().await.unwrap();
        let mut future = left.take().unwrap();
        poke_here(&mut future).await;
        drop(future);
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), number);
        }
    });
}

#[test]
fn a_group_may_be_dropped_without_a_loop() {
    let witness = Rc::new(());
    let mut left: Option<BoxFuture<'static>> = None;
    simulate(async || {
        let held = Rc::clone(&witness);
        let mut future: BoxFuture<'static> = Box::pin(async {
            let _ = group(async |group| {
                group.spawn(async move || {
                    let slept = sleep_long().await;
                    drop(held);
                    slept
                });
                sleep_long().await
            })
            .await;
        });
        poke_here(&mut future).await;
        left = Some(future);
    });
    drop(left);
    assert_eq!(Rc::strong_count(&witness), 1);
}

#[test]
fn a_destructor_runs_as_its_child() {
    static NAME: TaskLocal<&str> = TaskLocal::new();
    let seen = Cell::new(None);
    simulate(async || {
        NAME.set("main");
        let mut future: BoxFuture<'_> = Box::pin(async {
            let _ = group(async |group| {
                group.spawn(async || {
                    NAME.set("child");
                    let _guest = Guest(|| seen.set(NAME.get()));
                    sleep_long().await
                });
                sleep_long().await
            })
            .await;
        });
        poke_here(&mut future).await;
        yield_now().await.unwrap();
        poke_here(&mut future).await;
        drop(future);
        assert_eq!(NAME.get(), Some("main"));
    });
    assert_eq!(seen.get(), Some("child"));
}

#[test]
fn a_panic_of_a_child_leaves_the_parent_the_one_that_runs() {
    static NAME: TaskLocal<&str> = TaskLocal::new();
    simulate(async || {
        NAME.set("main");
        let mut future: BoxFuture<'_> = Box::pin(async {
            let _ = group(async |group| {
                group.spawn(async || -> Result<(), Fault> {
                    NAME.set("child");
                    panic!("child")
                });
                Ok::<(), Fault>(())
            })
            .await;
        });
        poke_here(&mut future).await;
        yield_now().await.unwrap();
        let poll = catch_unwind(AssertUnwindSafe(|| poke(future.as_mut())));
        assert!(poll.is_err());
        assert_eq!(NAME.get(), Some("main"));
        assert!(
            yield_now().await.is_ok(),
            "nor is its scope the current one"
        );
    });
}

#[test]
fn a_thousand_children_come_and_go() {
    let count = if cfg!(miri) { 50 } else { 1000 };
    simulate(async || {
        let done = Cell::new(0);
        group(async |group| {
            for number in 0..count {
                let done = &done;
                group.spawn(async move || {
                    for _ in 0..number % 7 {
                        yield_now().await?;
                    }
                    sleep(number % 5).await?;
                    done.set(done.get() + 1);
                    Ok(())
                });
            }
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        assert_eq!((done.get(), tree().tasks.len()), (count, 1));
    });
}
