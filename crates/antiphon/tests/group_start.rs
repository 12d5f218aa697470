//! Children that say when they are ready.

mod group_support;

use std::cell::Cell;

use antiphon::{CancelScope, StartError, group, is_cancelled, yield_now};

use group_support::{Fault, Trace, fall, panic_of, poke, simulate, sleep, sleep_long, texts};

#[test]
fn a_start_waits_until_the_child_is_ready() {
    let trace = Trace::default();
    simulate(async || {
        group(async |group| {
            let started = group.start(async |ready| {
                sleep(2).await?;
                trace.say("ready");
                ready.set(7);
                sleep(2).await?;
                trace.say("ended");
                Ok("value")
            });
            let (said, child) = started.await?;
            trace.say(format!("started with {said}"));
            assert_eq!(child.await?, "value");
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
    assert_eq!(trace.take(), ["ready", "started with 7", "ended"]);
}

#[test]
fn a_failure_before_it_is_ready_is_the_caller_s() {
    simulate(async || {
        group(async |group| {
            let other = group.spawn(async || {
                sleep(5).await?;
                Ok(())
            });
            let started =
                group
                    .child()
                    .name("server")
                    .start(async |_ready: antiphon::Readiness<()>| {
                        sleep(1).await?;
                        Err::<(), _>(Fault::Own("no port"))
                    });
            match started.await.unwrap_err() {
                StartError::Failed(error) => assert_eq!(error.own(), "no port"),
                other => panic!("{other:?}"),
            }
            other.await?;
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_failure_after_it_is_ready_is_the_group_s() {
    let error = simulate(async || {
        group(async |group| {
            group
                .start(async |ready| {
                    ready.set(());
                    yield_now().await?;
                    Err::<(), _>(Fault::Own("broken"))
                })
                .await?;
            sleep_long().await
        })
        .await
    });
    assert_eq!(texts(&error.unwrap_err()), ["broken"]);
}

#[test]
fn a_child_that_ends_without_being_ready_says_so() {
    simulate(async || {
        group(async |group| {
            let started = group.start(async |_ready: antiphon::Readiness<()>| Ok(()));
            assert!(matches!(started.await, Err(StartError::NotReady)));
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_panic_before_it_is_ready_goes_on_in_the_parent() {
    let text = panic_of(|| {
        simulate(async || {
            group(async |group| {
                let started = group.start(async |ready: antiphon::Readiness<()>| {
                    fall("server")?;
                    ready.set(());
                    Ok(())
                });
                let error = antiphon::shield(async || started.await).await.unwrap_err();
                assert!(matches!(&error, StartError::Child(error) if error.is_panic()));
                Err::<(), _>(Fault::from(error))
            })
            .await
            .unwrap();
        });
    });
    assert_eq!(text, "server");
}

#[test]
fn cancelling_the_caller_cancels_a_child_that_is_not_ready() {
    let ended = Cell::new(false);
    simulate(async || {
        group(async |group| {
            let scope = CancelScope::new();
            group.spawn({
                let scope = scope.clone();
                async move || {
                    sleep(1).await?;
                    scope.cancel("impatient");
                    Ok(())
                }
            });
            let outcome = scope.run(async || {
                group
                    .start(async |ready| {
                        let slept = sleep_long().await;
                        ended.set(true);
                        slept?;
                        ready.set(());
                        Ok(())
                    })
                    .await
            });
            let error = outcome.await.into_result().unwrap_err();
            assert!(matches!(error, StartError::Cancelled(_)) && is_cancelled(&error));
            assert!(ended.get(), "it was awaited");
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn dropping_a_start_cancels_the_child() {
    let ended = Cell::new(false);
    simulate(async || {
        group(async |group| {
            {
                let mut started = Box::pin(group.start(async |ready| {
                    let slept = sleep_long().await;
                    ended.set(true);
                    slept?;
                    ready.set(());
                    Ok(())
                }));
                assert!(!poke(started.as_mut()));
            }
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
    });
    assert!(ended.get());
}
