//! Groups, races and joins end with all that is in them, wherever they are interrupted.

mod explore_support;

use std::error::Error;
use std::fmt;
use std::io;

use antiphon::sync::mpsc;
use antiphon::time::sleep;
use antiphon::{
    Cancelled, GroupError, Race2, Race3, StartError, for_each_concurrent, for_each_received, group,
    join, join_all, race, race_all, spawn, try_join, try_join_all, yield_now,
};
use explore_support::{Count, HOUR, How, Log, SECOND, alone, attempt};

/// An error of the program's own, or a cancel.
#[derive(Debug)]
enum Wrong {
    Paper,
    Cancelled(Cancelled),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it went wrong")
    }
}

impl Error for Wrong {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Paper => None,
            Self::Cancelled(cancelled) => Some(cancelled),
        }
    }
}

impl From<Cancelled> for Wrong {
    fn from(cancelled: Cancelled) -> Self {
        Self::Cancelled(cancelled)
    }
}

#[test]
fn a_group_ends_with_all_its_children() {
    alone("group", || async {
        let (inside, ended) = (Count::default(), Count::default());
        let work = async |seconds: u32| {
            let _inside = inside.enter();
            sleep(seconds * SECOND).await?;
            ended.add();
            Ok::<u32, io::Error>(seconds)
        };
        let work = &work;
        let how = attempt(async || {
            let sum = group(async |group| {
                let one = group.spawn(async move || work(1).await);
                // A child of a child, in the same group.
                let siblings = group.clone();
                group.spawn(async move || {
                    yield_now().await?;
                    siblings.spawn(async move || work(3).await);
                    work(2).await
                });
                // A group in the group.
                group.spawn(async move || {
                    let inner = antiphon::group(async |group| {
                        group.spawn(async move || work(2).await);
                        work(1).await
                    });
                    inner.await.map_err(GroupError::into_first)
                });
                Ok::<u32, io::Error>(one.await? + 1)
            });
            let sum = sum.await.map_err(GroupError::into_first)?;
            assert_eq!((sum, ended.get(), inside.get()), (2, 5, 0));
            Ok::<(), io::Error>(yield_now().await?)
        })
        .await;
        assert_eq!(inside.get(), 0, "nobody is left of {how:?}");
    });
}

#[test]
fn an_error_ends_the_others_and_is_the_first() {
    alone("group, error", || async {
        let inside = Count::default();
        let how = attempt(async || {
            let result = group(async |group| {
                for _ in 0..2 {
                    group.spawn(async || {
                        let _inside = inside.enter();
                        Ok(sleep(HOUR).await?)
                    });
                }
                group.spawn(async || {
                    sleep(SECOND).await?;
                    Err::<(), _>(Wrong::Paper)
                });
                Ok::<(), Wrong>(sleep(HOUR).await?)
            });
            assert!(inside.get() == 0);
            let error = result.await.unwrap_err();
            assert_eq!(inside.get(), 0);
            match error.into_first() {
                Wrong::Paper => Ok(()),
                Wrong::Cancelled(cancelled) => Err(cancelled),
            }
        })
        .await;
        assert_eq!(inside.get(), 0, "nobody is left of {how:?}");
    });
}

#[test]
fn a_child_that_is_awaited_or_cancelled_gives_its_value_once() {
    alone("ChildHandle", || async {
        let alive = Count::default();
        attempt(async || {
            group(async |group| {
                let token = alive.enter().1;
                let mut first = group.spawn(async move || {
                    sleep(SECOND).await?;
                    Ok(token)
                });
                let second = group.spawn(async || sleep(HOUR).await);
                match (&mut first).await {
                    Ok(token) => drop(token),
                    Err(error) => {
                        assert!(
                            error.is_wait_cancelled() || error.is_cancelled() || error.is_panic()
                        );
                        return Err(yield_now().await.expect_err("it is cancelled"));
                    }
                }
                assert_eq!(alive.get(), 0);
                assert!(second.cancel("not wanted any more"));
                assert!(second.await.unwrap_err().is_cancelled() || yield_now().await.is_err());
                Ok::<(), Cancelled>(())
            })
            .await
        })
        .await;
        assert_eq!(alive.get(), 0);
    });
}

#[test]
fn a_child_that_was_started_is_ready_or_gone() {
    alone("start", || async {
        let inside = Count::default();
        attempt(async || {
            group(async |group| {
                let inside = &inside;
                let started = group.start(async |readiness| {
                    let _inside = inside.enter();
                    sleep(SECOND).await?;
                    readiness.set(5);
                    sleep(SECOND).await?;
                    Ok(())
                });
                let child = match started.await {
                    Ok((value, child)) => {
                        assert_eq!(value, 5);
                        child
                    }
                    Err(StartError::Cancelled(cancelled)) => {
                        assert_eq!(inside.get(), 0, "it has ended");
                        return Err(cancelled.into());
                    }
                    Err(StartError::Failed(error)) => return Err(error),
                    Err(StartError::Child(error)) if error.is_panic() => {
                        assert_eq!(inside.get(), 0, "it has ended");
                        return Err(yield_now().await.expect_err("it ends the group").into());
                    }
                    Err(error) => panic!("{error:?}"),
                };
                let failed = group.start(async |readiness: antiphon::Readiness<()>| {
                    yield_now().await?;
                    drop(readiness);
                    Err::<(), _>(Wrong::Paper)
                });
                match failed.await {
                    Err(StartError::Failed(Wrong::Paper)) => {}
                    Err(StartError::Cancelled(cancelled)) => return Err(cancelled.into()),
                    Err(StartError::Failed(error)) => return Err(error),
                    Err(StartError::Child(error)) if error.is_panic() => {
                        return Err(yield_now().await.expect_err("it ends the group").into());
                    }
                    other => panic!("{other:?}"),
                }
                if child.await.is_err() {
                    yield_now().await?;
                }
                Ok::<(), Wrong>(())
            })
            .await
            .map_err(GroupError::into_first)
        })
        .await;
        assert_eq!(inside.get(), 0);
    });
}

#[test]
fn a_race_has_one_winner_and_no_losers_left() {
    alone("race", || async {
        let inside = Count::default();
        let run = async |seconds: u32| {
            let _inside = inside.enter();
            sleep(seconds * SECOND).await?;
            yield_now().await?;
            Ok::<u32, Cancelled>(seconds)
        };
        let run = &run;
        attempt(async || {
            match race((async || run(2).await, async || run(1).await)).await {
                Race2::Second(result, None) => assert_eq!(result?, 1),
                Race2::First(result, late) => {
                    assert!(late.is_none());
                    result.map(|_| panic!("it is slower"))?;
                }
                other @ Race2::Second(..) => panic!("{other:?}"),
            }
            assert_eq!(inside.get(), 0);
            let three = (
                async || run(3).await,
                async || run(2).await,
                async || run(1).await,
            );
            match race(three).await {
                Race3::Third(result, (None, None)) => assert_eq!(result?, 1),
                Race3::First(Err(error), (None, None))
                | Race3::Second(Err(error), (None, None)) => {
                    return Err(error);
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(inside.get(), 0);
            let all = race_all((1..4).rev().map(|seconds| async move || run(seconds).await)).await;
            assert!(all.late.is_empty() && inside.get() == 0);
            all.output
                .map(|seconds| assert_eq!((seconds, all.index), (1, 2)))
        })
        .await;
        assert_eq!(inside.get(), 0);
    });
}

#[test]
fn values_that_come_late_are_handed_over() {
    alone("race, late", || async {
        let (alive, made) = (Count::default(), Count::default());
        // Who hears of the cancel returns its value all the same.
        let run = async |seconds: u32| {
            let result = sleep(seconds * SECOND).await;
            if seconds == 1 {
                result?;
            }
            made.add();
            Ok::<_, Cancelled>(alive.enter().1)
        };
        let run = &run;
        let how = attempt(async || {
            let values = match race((async || run(1).await, async || run(2).await)).await {
                Race2::First(first, late) | Race2::Second(first, late) => [Some(first), late],
            };
            let values: Vec<_> = values
                .into_iter()
                .flatten()
                .filter_map(Result::ok)
                .collect();
            assert_eq!(alive.get(), values.len());
            assert_eq!(alive.get(), made.get());
            yield_now().await
        })
        .await;
        assert_eq!(alive.get(), 0, "{how:?}");
    });
}

#[test]
fn a_join_has_all_values_or_none() {
    alone("join", || async {
        let inside = Count::default();
        let run = async |seconds: u32| {
            let _inside = inside.enter();
            sleep(seconds * SECOND).await?;
            if seconds == 4 {
                return Err(Wrong::Paper);
            }
            yield_now().await?;
            Ok(seconds)
        };
        let run = &run;
        attempt(async || {
            let (one, two) = join((async || run(1).await, async || run(2).await)).await;
            assert_eq!(inside.get(), 0);
            assert_eq!((one?, two?), (1, 2));
            let all = join_all((1..4).map(|seconds| async move || run(seconds).await)).await;
            assert_eq!((all.len(), inside.get()), (3, 0));
            for (result, seconds) in all.into_iter().zip(1..) {
                assert_eq!(result?, seconds);
            }
            let both = try_join((async || run(1).await, async || run(2).await)).await;
            assert_eq!(inside.get(), 0);
            assert_eq!(both.map_err(GroupError::into_first)?, (1, 2));
            // The one that fails ends the other.
            let both = try_join((async || run(4).await, async || run(9).await)).await;
            assert_eq!(inside.get(), 0);
            match both.unwrap_err().into_first() {
                Wrong::Paper => {}
                error @ Wrong::Cancelled(_) => return Err(error),
            }
            let all = try_join_all([9, 4, 2].map(|seconds| async move || run(seconds).await)).await;
            assert_eq!(inside.get(), 0);
            match all.unwrap_err().into_first() {
                Wrong::Paper => Ok(()),
                error @ Wrong::Cancelled(_) => Err(error),
            }
        })
        .await;
        assert_eq!(inside.get(), 0);
    });
}

#[test]
fn items_are_begun_in_order_and_not_too_many() {
    alone("for_each_concurrent", || async {
        let (inside, ended, begun) = (Count::default(), Count::default(), Log::default());
        let how = attempt(async || {
            for_each_concurrent(0..6_u32, 2, async |item| {
                let (count, _inside) = inside.enter();
                assert!(count <= 2);
                begun.say(item);
                sleep(item % 3 * SECOND).await?;
                yield_now().await?;
                ended.add();
                Ok::<(), Cancelled>(())
            })
            .await
        })
        .await;
        let begun = begun.take();
        assert_eq!(inside.get(), 0);
        assert!(ended.get() <= begun.len());
        assert!(!how.is_done() || ended.get() == 6);
        let mut sorted = begun.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), begun.len(), "each at most once");
    });
}

#[test]
fn items_that_were_received_were_worked_on_or_are_left() {
    alone("for_each_received", || async {
        let (inside, begun) = (Count::default(), Count::default());
        let (sender, mut receiver) = mpsc::channel(8);
        let task = spawn(async move || {
            for item in 0..5_u32 {
                sender
                    .send(item)
                    .await
                    .expect("there is room, and a receiver");
                yield_now().await.unwrap();
            }
        });
        let how = attempt(async || {
            for_each_received(
                async || receiver.recv().await,
                2,
                async |item: u32| {
                    let (count, _inside) = inside.enter();
                    assert!(count <= 2);
                    begun.add();
                    sleep(item * SECOND).await
                },
            )
            .await
        })
        .await;
        task.await.unwrap();
        assert_eq!(inside.get(), 0);
        let mut left = 0;
        while receiver.try_recv().is_ok() {
            left += 1;
        }
        // A child that was cancelled before its first step never began its item.
        match how {
            How::Done(()) => assert_eq!((begun.get(), left), (5, 0)),
            How::Cancelled | How::Panicked => assert!((3..=5).contains(&(begun.get() + left))),
        }
    });
}
