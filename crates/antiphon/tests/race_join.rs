//! Joins: all branches are run to their end, and a failure cancels the rest.

mod group_support;

use std::cell::Cell;

use antiphon::sync::mpsc;
use antiphon::{
    for_each_concurrent, for_each_received, join, join_all, shield, try_join, try_join_all,
    yield_now,
};

use group_support::{Fault, Trace, panic_of, simulate, sleep, sleep_long, texts};

#[test]
fn a_join_returns_all_outputs_in_their_order() {
    let trace = Trace::default();
    simulate(async || {
        let trace = &trace;
        let say = async |millis: u64| {
            sleep(millis).await.unwrap();
            trace.say(millis.to_string());
            millis
        };
        let all = join((
            async || say(3).await,
            async || say(1).await,
            async || "no Result",
            async || say(2).await,
        ));
        assert_eq!(all.await, (3, 1, "no Result", 2));
    });
    assert_eq!(trace.take(), ["1", "2", "3"]);
}

#[test]
fn six_may_join() {
    simulate(async || {
        let all = join((
            async || 1,
            async || 2,
            async || 3,
            async || 4,
            async || 5,
            async || 6,
        ));
        assert_eq!(all.await, (1, 2, 3, 4, 5, 6));
    });
}

#[test]
fn a_panic_in_a_join_waits_for_the_others() {
    let trace = Trace::default();
    let text = panic_of(|| {
        simulate(async || {
            join((
                async || {
                    let _ = sleep_long().await;
                    trace.say("cleaned up");
                },
                async || panic!("branch"),
            ))
            .await;
        });
    });
    assert_eq!((text.as_str(), trace.take().len()), ("branch", 1));
}

#[test]
fn a_try_join_returns_all_values() {
    simulate(async || {
        let both = try_join((
            async || {
                sleep(2).await?;
                Ok::<_, Fault>(1)
            },
            async || Ok("two"),
        ));
        assert_eq!(both.await.unwrap(), (1, "two"));
    });
}

#[test]
fn a_try_join_cancels_the_rest_and_awaits_it() {
    let trace = Trace::default();
    simulate(async || {
        let all = try_join((
            async || {
                let result = sleep_long().await;
                shield(async || sleep(5).await).await?;
                trace.say("cleaned up");
                result
            },
            async || {
                sleep(1).await?;
                Err::<(), _>(Fault::Own("first"))
            },
            async || match sleep_long().await {
                Ok(()) => Ok(()),
                Err(_) => Err(Fault::Own("clean-up")),
            },
        ));
        assert_eq!(texts(&all.await.unwrap_err()), ["first", "clean-up"]);
    });
    assert_eq!(trace.take(), ["cleaned up"]);
}

#[test]
fn the_first_error_is_the_one_that_came_first() {
    simulate(async || {
        let all = try_join((
            async || {
                shield(async || sleep(2).await).await?;
                Err::<(), _>(Fault::Own("later"))
            },
            async || {
                sleep(1).await?;
                Err::<(), _>(Fault::Own("sooner"))
            },
        ));
        assert_eq!(texts(&all.await.unwrap_err()), ["sooner", "later"]);
    });
}

#[test]
fn any_number_may_join() {
    simulate(async || {
        let all = join_all((0..20_u64).map(|number| {
            async move || {
                sleep(20 - number).await.unwrap();
                number
            }
        }));
        assert_eq!(all.await, (0..20).collect::<Vec<_>>());
        assert!(
            join_all(Vec::<fn() -> std::future::Ready<()>>::new())
                .await
                .is_empty()
        );
    });
}

#[test]
fn any_number_may_try_join() {
    simulate(async || {
        let all = try_join_all((0..5_u64).map(|number| {
            async move || {
                sleep(number).await?;
                Ok::<_, Fault>(number)
            }
        }));
        assert_eq!(all.await.unwrap(), [0, 1, 2, 3, 4]);
        let all = try_join_all((0..5_u64).map(|number| {
            async move || {
                sleep(if number == 3 { 1 } else { 1000 }).await?;
                Err::<(), _>(Fault::Own("three"))
            }
        }));
        assert_eq!(texts(&all.await.unwrap_err()), ["three"]);
    });
}

#[test]
fn no_more_than_the_limit_run_at_a_time() {
    simulate(async || {
        let (inside, most, done) = (Cell::new(0), Cell::new(0), Cell::new(0));
        for_each_concurrent(0..20_u64, 4, async |number| {
            inside.set(inside.get() + 1);
            most.set(most.get().max(inside.get()));
            sleep(number % 3).await?;
            inside.set(inside.get() - 1);
            done.set(done.get() + 1);
            Ok::<(), Fault>(())
        })
        .await
        .unwrap();
        assert_eq!((most.get(), done.get()), (4, 20));
    });
}

#[test]
fn an_item_is_taken_when_there_is_room() {
    simulate(async || {
        let taken = Cell::new(0);
        let items = (0..100).inspect(|_| taken.set(taken.get() + 1));
        let error = for_each_concurrent(items, 2, async |number| {
            yield_now().await?;
            if number == 3 {
                Err(Fault::Own("three"))
            } else {
                Ok(())
            }
        });
        assert_eq!(texts(&error.await.unwrap_err()), ["three"]);
        assert!(taken.get() <= 7, "{}", taken.get());
    });
}

#[test]
fn items_may_be_waited_for() {
    simulate(async || {
        let (sender, mut receiver) = mpsc::unbounded();
        let feeder = antiphon::spawn(async move || {
            for number in 1..=5 {
                sleep(1).await.unwrap();
                sender.send(number).unwrap();
            }
        });
        let sum = Cell::new(0);
        for_each_received(
            async || receiver.recv().await,
            2,
            async |number| {
                sleep(3).await?;
                sum.set(sum.get() + number);
                Ok::<(), Fault>(())
            },
        )
        .await
        .unwrap();
        assert_eq!(sum.get(), 15);
        feeder.await.unwrap();
    });
}

#[test]
fn a_limit_of_nothing_panics() {
    let text = panic_of(|| {
        simulate(async || {
            let _ = for_each_concurrent(0..1, 0, async |_| Ok::<(), Fault>(())).await;
        });
    });
    assert_eq!(text, "with a limit of 0 nothing would ever be done");
}
