//! Cancelling a group, or one of its children, by hand; and what the handles say.

mod group_support;

use std::cell::Cell;
use std::rc::Rc;

use antiphon::sync::Event;
use antiphon::{
    CancelReason, CancelScope, Cancelled, GroupError, group, is_cancelled, shield, spawn, yield_now,
};

use group_support::{Fault, Trace, panic_of, simulate, sleep, sleep_long, texts};

#[test]
fn a_group_cancelled_by_hand_keeps_its_value() {
    simulate(async || {
        let value = group(async |group| {
            group.spawn(sleep_long);
            group.spawn(sleep_long);
            yield_now().await?;
            assert!(group.cancel("enough"));
            assert!(!group.cancel("twice"));
            Ok::<_, Fault>("value")
        });
        assert_eq!(value.await.unwrap(), "value");
    });
}

#[test]
fn a_body_without_a_value_in_a_cancelled_group_says_so() {
    simulate(async || {
        let error = group(async |group| {
            group.cancel("enough");
            assert_eq!(group.cancelled().unwrap().reason().to_string(), "enough");
            sleep_long().await
        });
        let error = error.await.unwrap_err();
        assert!(is_cancelled(&error) && error.others().is_empty());
        let Fault::Wait(cancelled) = error.into_first() else {
            panic!("it was a wait")
        };
        assert_eq!(
            cancelled.reason(),
            &CancelReason::Requested("enough".into())
        );
        assert!(yield_now().await.is_ok(), "the scope is left");
    });
}

#[test]
fn a_child_may_cancel_the_group() {
    simulate(async || {
        let value = group(async |group| {
            group.spawn(sleep_long);
            group.spawn_with(async |group| {
                sleep(1).await?;
                group.cancel("found");
                Ok(())
            });
            Ok::<_, Fault>("value")
        });
        assert_eq!(value.await.unwrap(), "value");
    });
}

#[test]
fn a_cancelled_child_is_no_failure() {
    let trace = Trace::default();
    simulate(async || {
        group(async |group| {
            let sleeper = group.spawn(sleep_long);
            let other = group.spawn(async || {
                sleep(3).await?;
                trace.say("other");
                Ok(())
            });
            sleep(1).await?;
            assert!(sleeper.cancel("by hand"));
            assert!(!sleeper.cancel("twice"));
            let error = sleeper.await.unwrap_err();
            assert!(error.is_cancelled() && is_cancelled(&error));
            other.await?;
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
    assert_eq!(trace.take(), ["other"]);
}

#[test]
fn a_child_cancelled_before_its_first_step_begins_and_its_first_wait_ends() {
    let trace = Trace::default();
    simulate(async || {
        let event = Event::new();
        event.set();
        group(async |group| {
            let child = group.spawn(async || {
                trace.say("began");
                // What is there is not taken, and a shield is one as in any scope.
                let error = event.wait().await.unwrap_err();
                trace.say("ended");
                shield(async || yield_now().await).await?;
                trace.say("cleaned up");
                Err::<(), Fault>(error.into())
            });
            child.cancel("at once");
            assert_eq!(trace.take(), [""; 0], "not before its turn");
            assert!(child.await.unwrap_err().is_cancelled());
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
    assert_eq!(trace.take(), ["began", "ended", "cleaned up"]);
}

#[test]
fn a_child_that_fails_in_its_clean_up_fails_the_group() {
    let error = simulate(async || {
        group(async |group| {
            let child = group.spawn(async || match sleep_long().await {
                Ok(()) => Ok(()),
                Err(_) => Err(Fault::Own("clean-up")),
            });
            yield_now().await?;
            child.cancel("by hand");
            sleep_long().await
        })
        .await
    });
    assert_eq!(texts(&error.unwrap_err()), ["clean-up"]);
}

#[test]
fn awaiting_a_cancelled_child_with_a_question_mark_fails_the_body() {
    let error = simulate(async || {
        group(async |group| {
            let child = group.spawn(sleep_long);
            child.cancel("by hand");
            child.await?;
            Ok::<(), Fault>(())
        })
        .await
    });
    let text = texts(&error.unwrap_err()).concat();
    assert!(text.ends_with("was cancelled"), "{text}");
}

#[test]
fn a_shield_in_a_child_holds() {
    simulate(async || {
        let done = Cell::new(false);
        group(async |group| {
            group.spawn(async || {
                shield(async || sleep(5).await).await?;
                done.set(true);
                sleep_long().await
            });
            sleep(1).await?;
            group.cancel("enough");
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        assert!(done.get());
    });
}

#[test]
fn dropping_a_handle_does_nothing() {
    simulate(async || {
        let done = Cell::new(0);
        group(async |group| {
            drop(group.spawn(async || {
                sleep(1).await?;
                done.set(1);
                Ok(())
            }));
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        assert_eq!(done.get(), 1);
    });
}

#[test]
fn a_value_waits_in_the_handle_even_after_the_group() {
    simulate(async || {
        let handle = group(async |group| Ok::<_, Fault>(group.spawn(async || Ok("kept"))))
            .await
            .unwrap();
        assert!(handle.is_finished());
        assert!(!handle.cancel("too late"));
        assert_eq!(handle.await.unwrap(), "kept");
    });
}

#[test]
fn cancelling_the_one_who_awaits_does_not_cancel_the_child() {
    simulate(async || {
        group(async |group| {
            let mut child = group.spawn(async || {
                sleep(5).await?;
                Ok("value")
            });
            let scope = CancelScope::new();
            scope.cancel("impatient");
            let error = scope
                .run(async || (&mut child).await)
                .await
                .into_result()
                .unwrap_err();
            assert!(error.is_wait_cancelled() && !error.is_cancelled() && is_cancelled(&error));
            assert_eq!(child.await?, "value");
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_result_that_is_there_wins_over_a_cancel_that_comes_with_it() {
    simulate(async || {
        group(async |group| {
            let scope = CancelScope::new();
            let stop = scope.clone();
            let mut child = group.spawn(async move || {
                sleep(1).await?;
                stop.cancel("at the same moment");
                Ok("value")
            });
            let outcome = scope.run(async || {
                let value = (&mut child).await?;
                assert_eq!(value, "value");
                yield_now().await?;
                Ok::<(), Fault>(())
            });
            assert!(outcome.await.is_cancelled(), "the next wait ends");
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn awaiting_a_handle_twice_panics() {
    let text = panic_of(|| {
        simulate(async || {
            group(async |group| {
                let mut child = group.spawn(async || Ok(()));
                (&mut child).await?;
                child.await?;
                Ok::<(), Fault>(())
            })
            .await
            .unwrap();
        });
    });
    assert_eq!(
        text,
        "the handle of a child was polled after it gave its result"
    );
}

#[test]
fn a_handle_knows_its_child() {
    simulate(async || {
        group(async |group| {
            let child = group.child().name("waiter").spawn_with(async |_| Ok(()));
            let line = line!() - 1;
            assert_eq!(
                (child.name(), child.origin().line()),
                (Some("waiter"), line)
            );
            assert!(!child.is_finished());
            assert!(format!("{child:?}").contains("waiter"));
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_handle_may_be_awaited_in_another_task() {
    simulate(async || {
        group(async |group| {
            let child = group.spawn(async || {
                sleep(1).await?;
                Ok(7)
            });
            let task = spawn(async move || child.await.unwrap());
            assert_eq!(task.await.unwrap(), 7);
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_handle_that_outlives_the_group_is_refused() {
    let trace = Trace::default();
    simulate(async || {
        let left = group(async |group| Ok::<_, Fault>(group.clone()))
            .await
            .unwrap();
        assert!(left.is_closed() && !left.cancel("too late"));
        let body = trace.clone();
        let child = left.spawn(async move || {
            body.say("it runs");
            Ok(())
        });
        assert!(child.is_finished());
        let error = child.await.unwrap_err();
        assert!(
            error.is_refused()
                && error
                    .to_string()
                    .ends_with("was refused: its group has ended")
        );
        let Err::<(), GroupError<Fault>>(_) = group(async |_| {
            left.spawn(async || Ok(())).await?;
            Ok::<(), Fault>(())
        })
        .await
        else {
            panic!("a child that was refused is an error")
        };
    });
    assert!(trace.take().is_empty());
}

#[test]
fn a_refused_body_is_dropped_at_once() {
    simulate(async || {
        let left = group(async |group| Ok::<_, Fault>(group.clone()))
            .await
            .unwrap();
        let witness = Rc::new(());
        let held = Rc::clone(&witness);
        let _child = left.spawn(async move || {
            drop(held);
            Ok(())
        });
        assert_eq!(Rc::strong_count(&witness), 1);
    });
}

#[test]
fn children_hear_of_the_scope_of_the_group_not_of_the_one_that_spawned_them() {
    simulate(async || {
        group(async |group| {
            let scope = CancelScope::new();
            let child = scope.run(async || {
                let child = group.spawn(async || Ok::<_, Fault>(sleep(1).await?));
                scope.cancel("only here");
                Ok::<_, Cancelled>(child)
            });
            let child = child.await.into_result()?;
            child.await?;
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_cancel_wakes_a_child_that_waits_with_a_foreign_waker() {
    simulate(async || {
        group(async |group| {
            let event = Rc::new(Event::new());
            group.spawn(async move || {
                let (one, two) = futures_util::future::join(event.wait(), event.wait()).await;
                assert!(one.is_err() && two.is_err());
                one.map_err(Fault::from)
            });
            sleep(1).await?;
            group.cancel("enough");
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}
