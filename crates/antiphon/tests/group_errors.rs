//! Groups that fail: which errors come out, in which order, and which don't.

mod group_support;

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::time::Duration;

use antiphon::{
    CancelReason, CancelScope, Cancelled, Outcome, group, is_cancelled, shield, spawn, time,
    yield_now,
};

use group_support::{Fault, Guest, Trace, fall, panic_of, simulate, sleep, sleep_long, texts};

#[test]
fn the_first_failure_cancels_the_others_and_the_body() {
    let trace = Trace::default();
    let error = simulate(async || {
        group(async |group| {
            let trace = &trace;
            group.spawn(async move || {
                let error = sleep_long().await.unwrap_err();
                let Fault::Wait(cancelled) = &error else {
                    unreachable!()
                };
                trace.say(format!("sibling: {}", cancelled.reason()));
                Err::<(), _>(error)
            });
            group.spawn(async || {
                sleep(1).await?;
                Err::<(), _>(Fault::Own("broken"))
            });
            let error = sleep_long().await.unwrap_err();
            trace.say("body");
            Err::<(), _>(error)
        })
        .await
    })
    .unwrap_err();
    assert_eq!(texts(&error), ["broken"], "the echoes are removed");
    let mut said = trace.take();
    said.sort();
    assert_eq!(said, ["body", "sibling: another task of the group failed"]);
    assert!(!is_cancelled(&error));
}

#[test]
fn a_failed_body_cancels_the_children() {
    let error = simulate(async || {
        group(async |group| {
            group.spawn(sleep_long);
            yield_now().await?;
            Err::<(), _>(Fault::Own("body"))
        })
        .await
    });
    assert_eq!(texts(&error.unwrap_err()), ["body"]);
}

#[test]
fn all_real_errors_are_kept_in_the_order_in_which_they_came() {
    let error = simulate(async || {
        group(async |group| {
            for (millis, what) in [(2, "two"), (1, "one"), (1, "also one")] {
                group.spawn(async move || {
                    shield(async || sleep(millis).await).await?;
                    Err::<(), _>(Fault::Own(what))
                });
            }
            Ok(())
        })
        .await
    })
    .unwrap_err();
    assert_eq!(texts(&error), ["one", "also one", "two"]);
    assert_eq!(error.first().own(), "one");
    assert_eq!(error.others().len(), 2);
    assert_eq!(
        error
            .into_iter()
            .map(|error| error.own())
            .collect::<Vec<_>>(),
        ["one", "also one", "two"]
    );
}

#[test]
fn an_error_of_a_clean_up_is_kept() {
    let error = simulate(async || {
        group(async |group| {
            group.spawn(async || {
                if sleep_long().await.is_err() {
                    return Err(Fault::Own("clean-up"));
                }
                Ok(())
            });
            group.spawn(async || {
                yield_now().await?;
                Err::<(), _>(Fault::Own("cause"))
            });
            Ok(())
        })
        .await
    });
    assert_eq!(texts(&error.unwrap_err()), ["cause", "clean-up"]);
}

#[test]
fn a_body_that_cleans_up_with_an_error_is_kept_beside_the_child() {
    let error = simulate(async || {
        group(async |group| {
            group.spawn(async || Err::<(), _>(Fault::Own("child")));
            match sleep_long().await {
                Ok(()) => Ok(()),
                Err(_) => Err(Fault::Own("body")),
            }
        })
        .await
    });
    assert_eq!(texts(&error.unwrap_err()), ["child", "body"]);
}

#[test]
fn a_sibling_that_returns_a_value_in_spite_of_the_cancel_is_no_failure() {
    let error = simulate(async || {
        group(async |group| {
            let stubborn = group.spawn(async || {
                let _ = sleep_long().await;
                Ok("value")
            });
            group.spawn(async || Err::<(), _>(Fault::Own("cause")));
            let value = shield(async || stubborn.await).await?;
            assert_eq!(value, "value");
            Ok(())
        })
        .await
    });
    assert_eq!(texts(&error.unwrap_err()), ["cause"]);
}

#[test]
fn a_body_with_a_value_does_not_hide_a_child_s_error() {
    let error = simulate(async || {
        group(async |group| {
            group.spawn(async || {
                sleep(1).await?;
                Err::<(), _>(Fault::Own("child"))
            });
            Ok("value")
        })
        .await
    });
    assert_eq!(texts(&error.unwrap_err()), ["child"]);
}

#[test]
fn awaiting_a_failed_child_adds_no_error() {
    let error = simulate(async || {
        group(async |group| {
            let child = group.spawn(async || Err::<u32, _>(Fault::Own("child")));
            Ok(child.await?)
        })
        .await
    });
    assert_eq!(texts(&error.unwrap_err()), ["child"]);
}

#[test]
fn a_child_spawned_into_a_failed_group_starts_and_hears_of_it() {
    let has_run = Cell::new(false);
    let error = simulate(async || {
        group(async |group| {
            group.spawn(async || Err::<(), _>(Fault::Own("cause")));
            let _ = sleep_long().await;
            let late = group.spawn(async || {
                has_run.set(true);
                sleep_long().await
            });
            assert!(
                shield(async || late.await)
                    .await
                    .unwrap_err()
                    .is_cancelled()
            );
            Ok(())
        })
        .await
    });
    assert_eq!(texts(&error.unwrap_err()), ["cause"]);
    assert!(has_run.get());
}

#[test]
fn an_inner_group_s_error_is_the_outer_one_s() {
    let error = simulate(async || {
        group(async |outer| {
            outer.spawn(async || {
                group(async |inner| {
                    inner.spawn(async || Err::<(), _>(Fault::Own("inner")));
                    inner.spawn(sleep_long);
                    Ok::<(), Fault>(())
                })
                .await?;
                Ok(())
            });
            outer.spawn(sleep_long);
            Ok(())
        })
        .await
    });
    assert_eq!(texts(&error.unwrap_err()), ["inner"]);
}

#[test]
fn inner_and_outer_children_that_fail_at_once_are_both_kept() {
    let error = simulate(async || {
        group(async |outer| {
            outer.spawn(async || {
                sleep(1).await?;
                Err::<(), _>(Fault::Own("outer"))
            });
            group(async |inner| {
                inner.spawn(async || {
                    sleep(1).await?;
                    Err::<(), _>(Fault::Own("inner"))
                });
                Ok::<(), Fault>(())
            })
            .await?;
            Ok(())
        })
        .await
    });
    let mut kept = texts(&error.unwrap_err());
    kept.sort();
    assert_eq!(kept, ["inner", "outer"]);
}

#[test]
fn an_outer_failure_reaches_inner_children_and_comes_out_once() {
    let trace = Trace::default();
    let error = simulate(async || {
        group(async |outer| {
            let trace = &trace;
            outer.spawn(async move || {
                group(async |inner| {
                    inner.spawn(async move || {
                        let result = sleep_long().await;
                        trace.say("inner child");
                        result
                    });
                    let result = sleep_long().await;
                    trace.say("inner body");
                    result
                })
                .await?;
                Ok(())
            });
            outer.spawn(async || {
                sleep(1).await?;
                Err::<(), _>(Fault::Own("outer"))
            });
            Ok(())
        })
        .await
    });
    assert_eq!(texts(&error.unwrap_err()), ["outer"]);
    assert_eq!(trace.take().len(), 2);
}

#[test]
fn a_group_error_says_what_it_has() {
    let error = simulate(async || {
        group(async |group| {
            group.spawn(async || Err::<(), _>(Fault::Own("one")));
            group.spawn(async || Err::<(), _>(Fault::Own("two")));
            Ok(())
        })
        .await
    })
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a task of the group failed; another one: two"
    );
    assert_eq!(error.source().unwrap().to_string(), "one");
}

#[test]
fn a_group_error_becomes_an_io_error_with_its_source() {
    let error = simulate(async || {
        group(async |group| {
            group.cancel("enough");
            Ok::<(), io::Error>(yield_now().await?)
        })
        .await
    });
    let error = io::Error::from(error.unwrap_err());
    assert_eq!(error.kind(), io::ErrorKind::Other);
    assert!(is_cancelled(&error));
}

#[test]
fn a_panic_cancels_the_others_which_clean_up_and_then_goes_on() {
    let trace = Trace::default();
    let text = panic_of(|| {
        simulate(async || {
            group(async |group| {
                let trace = &trace;
                group.spawn(async move || {
                    let result = sleep_long().await;
                    shield(async || sleep(5).await).await?;
                    trace.say("cleaned up");
                    result
                });
                group.spawn(async || {
                    sleep(1).await?;
                    fall("first")
                });
                Ok::<(), Fault>(())
            })
            .await
            .unwrap();
        });
    });
    assert_eq!(text, "first");
    assert_eq!(trace.take(), ["cleaned up"]);
}

#[test]
fn of_two_panics_the_first_goes_on() {
    let text = panic_of(|| {
        simulate(async || {
            group(async |group| {
                for (millis, what) in [(2, "second"), (1, "first")] {
                    group.spawn(async move || {
                        shield(async || sleep(millis).await).await?;
                        fall(what)
                    });
                }
                Err::<(), _>(Fault::Own("an error besides"))
            })
            .await
            .unwrap();
        });
    });
    assert_eq!(text, "first");
}

#[test]
fn a_panic_of_the_body_waits_for_the_children() {
    let trace = Trace::default();
    let text = panic_of(|| {
        simulate(async || {
            group(async |group| {
                let trace = &trace;
                group.spawn(async move || {
                    let result = sleep_long().await;
                    trace.say("cleaned up");
                    result
                });
                yield_now().await?;
                fall("body")
            })
            .await
            .unwrap();
        });
    });
    assert_eq!((text.as_str(), trace.take().len()), ("body", 1));
}

#[test]
fn a_panic_stays_in_the_task_that_awaits_the_group() {
    simulate(async || {
        let task = spawn(async || {
            group(async |group| {
                group.spawn(async || -> Result<(), Fault> { panic!("child") });
                Ok::<(), Fault>(())
            })
            .await
        });
        assert!(task.await.unwrap_err().is_panic());
    });
}

#[test]
fn a_panic_in_a_child_s_destructor_is_the_child_s() {
    let text = panic_of(|| {
        simulate(async || {
            group(async |group| {
                let child = group.spawn(async || {
                    let _guest = Guest(|| panic!("in drop"));
                    Ok::<(), Fault>(())
                });
                let error = shield(async || child.await).await.unwrap_err();
                assert!(error.is_panic());
                Ok::<(), Fault>(())
            })
            .await
            .unwrap();
        });
    });
    assert_eq!(text, "in drop");
}

#[test]
fn the_handle_of_a_child_that_panicked_says_so_and_adds_nothing() {
    let text = panic_of(|| {
        simulate(async || {
            group(async |group| {
                let child = group
                    .child()
                    .name("clumsy")
                    .spawn(async || -> Result<(), Fault> { panic!("child") });
                let error = shield(async || child.await).await.unwrap_err();
                assert!(error.is_panic() && error.to_string().contains("`clumsy`"));
                Err::<(), _>(Fault::from(error))
            })
            .await
            .unwrap();
        });
    });
    assert_eq!(text, "child");
}

#[test]
fn a_cancel_from_outside_reaches_the_body_and_the_children() {
    let trace = Trace::default();
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            group(async |group| {
                for name in ["a", "b"] {
                    let trace = &trace;
                    group.spawn(async move || {
                        let result = sleep_long().await;
                        trace.say(name);
                        result
                    });
                }
                sleep(1).await?;
                scope.cancel("outside");
                let result = sleep_long().await;
                trace.say("body");
                result
            })
            .await
        });
        let Outcome::Cancelled(cancelled, error) = outcome.await else {
            panic!("the scope swallows its own")
        };
        assert_eq!(
            cancelled.reason(),
            &CancelReason::Requested("outside".into())
        );
        assert!(is_cancelled(&error) && error.others().is_empty());
    });
    let mut said = trace.take();
    said.sort();
    assert_eq!(said, ["a", "b", "body"]);
}

#[test]
fn a_cancel_from_outside_is_an_error_even_if_the_body_has_a_value() {
    simulate(async || {
        let slept = time::move_on_after(Duration::from_millis(1), async || {
            group(async |group| {
                group.spawn(sleep_long);
                Ok::<&str, Fault>("value")
            })
            .await
        });
        assert_eq!(slept.await.unwrap(), None);
    });
}

#[test]
fn a_cancel_from_outside_that_nobody_heard_of_changes_nothing() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            group(async |group| {
                group.spawn(async || {
                    scope.cancel("outside");
                    Ok(1)
                });
                Ok::<_, Fault>("value")
            })
            .await
        });
        assert!(matches!(outcome.await, Outcome::Done("value")));
    });
}

#[test]
fn real_errors_beside_a_cancel_from_outside_are_kept() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            group(async |group| {
                group.spawn(async || match sleep_long().await {
                    Ok(()) => Ok(()),
                    Err(_) => Err(Fault::Own("clean-up")),
                });
                group.spawn(sleep_long);
                sleep(1).await?;
                scope.cancel("outside");
                sleep_long().await
            })
            .await
        });
        let Outcome::Cancelled(_, error) = outcome.await else {
            panic!("it was cancelled")
        };
        assert_eq!(texts(&error), ["clean-up"]);
    });
}

#[test]
fn a_timeout_in_a_child_is_that_child_s_error() {
    let error = simulate(async || {
        group(async |group| {
            group.spawn(async || {
                time::timeout(Duration::from_millis(1), async || {
                    sleep(1000).await.map_err(io::Error::from)
                })
                .await
            });
            group.spawn(async || Ok::<(), io::Error>(sleep(1000).await?));
            Ok(())
        })
        .await
    });
    assert_eq!(error.unwrap_err().first().kind(), io::ErrorKind::TimedOut);
}

#[test]
fn the_cancel_of_a_scope_that_was_left_is_a_real_error() {
    let error = simulate(async || {
        group(async |group| {
            group.spawn(async || {
                let scope = CancelScope::new();
                scope.cancel("own");
                scope.run(async || yield_now().await).await.into_result()
            });
            sleep(1000).await
        })
        .await
    });
    assert_eq!(error.unwrap_err().first().reason().to_string(), "own");
}

#[test]
fn a_cancelled_group_error_becomes_the_cancel() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            scope.cancel("outside");
            group(async |_| yield_now().await).await?;
            Ok::<(), Cancelled>(())
        });
        assert!(outcome.await.is_cancelled());
    });
}
