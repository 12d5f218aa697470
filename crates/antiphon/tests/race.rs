//! Races: the first wins, the others are cancelled, awaited, and lose nothing.

mod group_support;

use std::cell::Cell;

use antiphon::sync::oneshot;
use antiphon::{
    CancelScope, Race2, Race3, RaceAll, is_cancelled, race, race_all, shield, yield_now,
};

use group_support::{Fault, Trace, panic_of, poke, simulate, sleep, sleep_long};

#[test]
fn the_first_wins_and_the_loser_is_cancelled_and_awaited() {
    let trace = Trace::default();
    simulate(async || {
        let first = race((
            async || {
                sleep(1).await?;
                Ok::<_, Fault>("winner")
            },
            async || {
                let error = sleep_long().await.unwrap_err();
                let Fault::Wait(cancelled) = &error else {
                    unreachable!()
                };
                trace.say(cancelled.reason().to_string());
                shield(async || sleep(5).await).await?;
                trace.say("cleaned up");
                Err::<(), _>(error)
            },
        ));
        assert_eq!(first.await, Race2::First(Ok("winner"), None));
        trace.say("after");
    });
    assert_eq!(
        trace.take(),
        ["another branch came first", "cleaned up", "after"]
    );
}

#[test]
fn the_second_may_win() {
    simulate(async || {
        let first = race((sleep_long, async || Ok::<_, Fault>(2)));
        assert_eq!(first.await, Race2::Second(Ok(2), None));
    });
}

#[test]
fn a_loser_with_a_value_hands_it_back() {
    simulate(async || {
        let first = race((
            async || {
                sleep(1).await?;
                Ok::<_, Fault>("winner")
            },
            async || {
                let _ = sleep_long().await;
                Ok::<_, Fault>("late")
            },
        ));
        assert_eq!(first.await, Race2::First(Ok("winner"), Some(Ok("late"))));
    });
}

#[test]
fn a_message_received_at_the_same_moment_is_not_lost() {
    simulate(async || {
        let (send_one, one) = oneshot::channel();
        let (send_two, two) = oneshot::channel();
        let sender = antiphon::spawn(async move || {
            send_one.send(1).unwrap();
            send_two.send(2).unwrap();
        });
        let first = race((async || one.await, async || two.await)).await;
        let Race2::First(Ok(1), Some(Ok(2))) = first else {
            panic!("{first:?}")
        };
        sender.await.unwrap();
    });
}

#[test]
fn an_error_of_a_clean_up_is_handed_back() {
    simulate(async || {
        let first = race((
            async || {
                sleep(1).await?;
                Ok::<_, Fault>(())
            },
            async || match sleep_long().await {
                Ok(()) => Ok(()),
                Err(_) => Err(Fault::Own("clean-up")),
            },
        ));
        let Race2::First(Ok(()), Some(Err(late))) = first.await else {
            panic!("the error is kept")
        };
        assert_eq!(late.own(), "clean-up");
    });
}

#[test]
fn an_error_may_win() {
    simulate(async || {
        let first = race((async || Err::<(), _>(Fault::Own("first")), sleep_long));
        assert_eq!(first.await, Race2::First(Err(Fault::Own("first")), None));
    });
}

#[test]
fn a_branch_that_has_not_begun_is_not_begun() {
    let has_begun = Cell::new(false);
    simulate(async || {
        let first = race((
            async || Ok::<_, Fault>(1),
            async || {
                has_begun.set(true);
                Ok::<_, Fault>(2)
            },
        ));
        assert_eq!(first.await, Race2::First(Ok(1), None));
    });
    assert!(!has_begun.get());
}

#[test]
fn three_may_race() {
    simulate(async || {
        let first = race((
            async || {
                let _ = sleep_long().await;
                Ok::<_, Fault>("late")
            },
            sleep_long,
            async || {
                sleep(1).await?;
                Ok::<_, Fault>(3)
            },
        ));
        assert_eq!(first.await, Race3::Third(Ok(3), (Some(Ok("late")), None)));
        let first = race((sleep_long, async || Ok::<_, Fault>(2), sleep_long));
        assert_eq!(first.await, Race3::Second(Ok(2), (None, None)));
    });
}

#[test]
fn branches_borrow() {
    simulate(async || {
        let mut left = vec![1];
        let right = String::from("right");
        let first = race((
            async || {
                left.push(2);
                sleep_long().await
            },
            async || {
                sleep(1).await?;
                Ok::<_, Fault>(right.len())
            },
        ));
        assert_eq!(first.await, Race2::Second(Ok(5), None));
        assert_eq!(left, [1, 2]);
    });
}

#[test]
fn a_cancel_from_outside_reaches_all_branches() {
    simulate(async || {
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            let scope = scope.clone();
            match race((
                async || {
                    sleep(1).await?;
                    scope.cancel("outside");
                    sleep_long().await
                },
                sleep_long,
            ))
            .await
            {
                Race2::First(result, None) | Race2::Second(result, None) => {
                    assert!(is_cancelled(result.as_ref().unwrap_err()));
                    result
                }
                other => panic!("{other:?}"),
            }
        });
        assert!(outcome.await.is_cancelled());
        assert!(yield_now().await.is_ok());
    });
}

#[test]
fn a_panic_waits_for_the_others() {
    let trace = Trace::default();
    let text = panic_of(|| {
        simulate(async || {
            let _ = race((
                async || {
                    let result = sleep_long().await;
                    trace.say("cleaned up");
                    result
                },
                async || -> Result<(), Fault> { panic!("branch") },
            ))
            .await;
        });
    });
    assert_eq!((text.as_str(), trace.take().len()), ("branch", 1));
}

#[test]
fn a_race_that_is_dropped_drops_its_branches_and_leaves_its_scope() {
    simulate(async || {
        {
            let mut first = Box::pin(race((sleep_long, sleep_long)));
            assert!(!poke(first.as_mut()));
        }
        assert!(yield_now().await.is_ok());
        assert!(antiphon::tree().tasks[0].waits.is_empty());
    });
}

#[test]
fn any_number_may_race() {
    simulate(async || {
        let branches = (0..20_u64).map(|number| {
            async move || {
                let slept = sleep(if number == 13 { 1 } else { 1000 }).await;
                if number == 7 {
                    return Ok(number);
                }
                slept?;
                Ok::<_, Fault>(number)
            }
        });
        let RaceAll {
            index,
            output,
            late,
        } = race_all(branches).await;
        assert_eq!((index, output), (13, Ok(13)));
        assert_eq!(late, [(7, Ok(7))]);
    });
}

#[test]
fn of_any_number_those_that_have_not_begun_are_not_begun() {
    let begun = Cell::new(0);
    simulate(async || {
        let first = race_all((0..5).map(|_| {
            async || {
                begun.set(begun.get() + 1);
                Ok::<_, Fault>(())
            }
        }));
        assert_eq!(first.await.index, 0);
    });
    assert_eq!(begun.get(), 1);
}

#[test]
fn a_race_of_nobody_panics() {
    let text = panic_of(|| {
        simulate(async || {
            let branches = std::iter::repeat_n(async || Ok::<(), Fault>(()), 0);
            let _ = race_all(branches).await;
        });
    });
    assert_eq!(text, "a race has branches");
}
