//! Rule 7: a cancelled scope has a grace, then its shields give way, then its body is dropped.

mod scope_support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use antiphon::context::ContextManager;
use antiphon::context::{Ending, HandOver, LetGo, from_fn, stats, with};
use antiphon::{
    CancelReason, CancelScope, Cancelled, Grace, Killed, Outcome, group, join, shield, spawn, time,
    yield_now,
};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use scope_support::{Trace, simulate};

const SECOND: Duration = Duration::from_secs(1);

/// A cancel after one second, shields that give way a second later, a death two seconds after that.
const GRACE: Grace = Grace::UNBOUNDED
    .cancel_after(SECOND)
    .drop_after(Duration::from_secs(2));

/// Runs `body` in a scope with [`GRACE`] that is cancelled after a second. Returns what became of it, and at which second.
async fn run_within<T, E>(
    body: impl AsyncFnOnce() -> Result<T, E>,
) -> (Result<Outcome<T, E>, Killed>, u64) {
    let start = time::now();
    let scope = CancelScope::with_deadline(start + SECOND);
    let outcome = scope.run_within(GRACE, body).await;
    (outcome, (time::now() - start).as_secs())
}

async fn sleep_long() -> Result<(), Cancelled> {
    time::sleep(SECOND * 3600).await
}

/// Hears of no cancel.
async fn hang() -> Result<(), Cancelled> {
    pending().await
}

/// Says so when it is dropped.
struct Witness(Trace, &'static str);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

#[test]
fn who_ends_in_time_is_as_in_any_scope() {
    simulate(async || {
        let (outcome, second) = run_within(sleep_long).await;
        assert!(matches!(outcome, Ok(Outcome::Cancelled(..))));
        assert_eq!(second, 1);
        let (outcome, second) = run_within(async || {
            assert!(sleep_long().await.is_err());
            shield(async || time::sleep(SECOND / 2).await).await?;
            Ok::<_, Cancelled>("value")
        })
        .await;
        assert_eq!(outcome, Ok(Outcome::Done("value")));
        assert_eq!(second, 1);
        let (outcome, _) = run_within(async || Err::<(), _>("own")).await;
        assert_eq!(outcome, Ok(Outcome::Failed("own")));
    });
}

#[test]
fn a_scope_without_a_grace_waits_for_its_body() {
    simulate(async || {
        let start = time::now();
        let scope = CancelScope::with_deadline(start + SECOND);
        let outcome = scope
            .run(async || shield(async || time::sleep(SECOND * 3600).await).await)
            .await;
        assert_eq!(outcome, Outcome::Done(()));
        assert_eq!(time::now() - start, SECOND * 3600);
    });
}

#[test]
fn shields_give_way_when_the_grace_is_over() {
    simulate(async || {
        let (outcome, second) = run_within(async || {
            let cancelled = shield(sleep_long).await.unwrap_err();
            assert_eq!(cancelled.reason(), &CancelReason::Deadline);
            // One that is entered later keeps nothing off either, nor does one in it.
            assert_eq!(shield(sleep_long).await, Err(cancelled.clone()));
            let inner = CancelScope::new();
            let inner = inner.run(async || shield(async || shield(sleep_long).await).await);
            assert_eq!(inner.await, Outcome::Failed(cancelled.clone()));
            Err::<(), _>(cancelled)
        })
        .await;
        assert!(matches!(outcome, Ok(Outcome::Cancelled(..))));
        assert_eq!(second, 2);
    });
}

#[test]
fn shields_outside_of_the_scope_stay() {
    simulate(async || {
        let outer = CancelScope::new();
        let stopper = outer.clone();
        let outcome = outer.run(async || {
            stopper.cancel("further out");
            shield(async || {
                let (outcome, second) = run_within(async || shield(sleep_long).await).await;
                let Ok(Outcome::Cancelled(cancelled, _)) = outcome else {
                    panic!("{outcome:?}")
                };
                assert_eq!(cancelled.reason(), &CancelReason::Deadline);
                assert_eq!(second, 2);
                yield_now().await.unwrap();
            })
            .await;
            yield_now().await
        });
        assert!(outcome.await.is_cancelled());
    });
}

#[test]
fn what_does_not_end_is_dropped_where_it_stands() {
    simulate(async || {
        struct InScope(CancelScope, Rc<Cell<bool>>);
        impl Drop for InScope {
            fn drop(&mut self) {
                self.1.set(self.0.id().is_some());
            }
        }
        let before = stats().scopes_killed;
        let was_in_scope = Rc::new(Cell::new(false));
        let start = time::now();
        let scope = CancelScope::with_deadline(start + SECOND);
        let outcome = scope.run_within(GRACE, async || {
            let _in_scope = InScope(scope.clone(), Rc::clone(&was_in_scope));
            pending::<()>().await;
            Ok::<(), Cancelled>(())
        });
        let killed = outcome.await.unwrap_err();
        assert_eq!(time::now() - start, SECOND * 4);
        assert_eq!(killed.cancelled().reason(), &CancelReason::Deadline);
        assert_eq!(scope.cancelled().as_ref(), Some(killed.cancelled()));
        assert!(was_in_scope.get(), "it was dropped in its scope");
        assert!(scope.id().is_none(), "which is left");
        assert_eq!(stats().scopes_killed, before + 1);
        assert!(!antiphon::is_cancelled(&killed), "the scope is left");
        yield_now().await.unwrap();
    });
}

/// Every wait is refused, and it tries again for ever.
#[test]
fn who_tries_again_and_again_is_dropped() {
    simulate(async || {
        let (outcome, second) = run_within(async || {
            loop {
                let _ = shield(async || time::sleep(SECOND / 10).await).await;
                // Virtual time must go on though every wait ends at once.
                time_passes(SECOND / 10).await;
            }
            #[allow(unreachable_code, reason = "gives the type")]
            Ok::<(), Cancelled>(())
        })
        .await;
        assert!(outcome.is_err());
        assert_eq!(second, 4);
    });
}

/// A future that is not of the crate: it knows no scope.
fn time_passes(duration: Duration) -> Flag {
    let flag = Flag::default();
    let set = flag.clone();
    drop(spawn(async move || {
        let _ = time::sleep(duration).await;
        set.set();
    }));
    flag
}

/// A flag that knows no scope.
#[derive(Clone, Default)]
struct Flag(Rc<(Cell<bool>, RefCell<Option<std::task::Waker>>)>);

impl Flag {
    fn set(&self) {
        self.0.0.set(true);
        if let Some(waker) = self.0.1.take() {
            waker.wake();
        }
    }
}

impl Future for Flag {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        if self.0.0.get() {
            return std::task::Poll::Ready(());
        }
        *self.0.1.borrow_mut() = Some(cx.waker().clone());
        std::task::Poll::Pending
    }
}

#[test]
fn a_cancel_by_hand_and_one_before_it_is_entered_have_the_grace() {
    simulate(async || {
        let start = time::now();
        let scope = CancelScope::new();
        scope.cancel("before");
        let outcome = scope.run_within(GRACE, async || hang().await);
        let killed = outcome.await.unwrap_err();
        assert_eq!(killed.cancelled().reason().to_string(), "before");
        assert_eq!(time::now() - start, SECOND * 3);

        let start = time::now();
        let scope = CancelScope::new();
        let outcome = scope.run_within(GRACE, async || {
            scope.cancel("by hand");
            hang().await
        });
        let killed = outcome.await.unwrap_err();
        assert_eq!(killed.cancelled().reason().to_string(), "by hand");
        assert_eq!(time::now() - start, SECOND * 3);
    });
}

#[test]
fn a_cancel_from_further_out_does_not_count() {
    simulate(async || {
        let start = time::now();
        let outer = CancelScope::with_deadline(start + SECOND);
        let outcome = outer.run(async || {
            let inner = CancelScope::new();
            inner
                .run_within(GRACE, async || {
                    shield(async || time::sleep(SECOND * 60).await).await?;
                    yield_now().await
                })
                .await
                .unwrap()
                .into_result()
        });
        assert!(outcome.await.is_cancelled());
        assert_eq!(time::now() - start, SECOND * 60);
    });
}

/// The shields in it give way to the cancel that is seen around them: that of the outermost.
#[test]
fn of_two_scopes_the_outer_one_is_told_behind_a_shield_as_well() {
    simulate(async || {
        let outer = CancelScope::new();
        let stopper = outer.clone();
        let outcome = outer.run(async || {
            stopper.cancel("outer");
            let (outcome, second) = run_within(async || shield(sleep_long).await).await;
            assert_eq!(second, 2);
            outcome.unwrap().into_result()
        });
        let Outcome::Cancelled(cancelled, error) = outcome.await else {
            panic!("it was told")
        };
        assert_eq!(cancelled, error);
        assert_eq!(cancelled.reason().to_string(), "outer");
    });
}

#[test]
fn a_grace_may_be_none_at_all_or_for_ever() {
    simulate(async || {
        let none = Grace::default()
            .cancel_after(Duration::ZERO)
            .drop_after(Duration::ZERO);
        let start = time::now();
        let scope = CancelScope::new();
        scope.cancel("now");
        let outcome = scope.run_within(none, async || hang().await);
        assert!(outcome.await.is_err());
        assert_eq!(time::now(), start);

        let scope = CancelScope::new();
        scope.cancel("now");
        let outcome = scope.run_within(Grace::UNBOUNDED, async || {
            shield(async || time::sleep(SECOND * 3600).await).await
        });
        assert_eq!(outcome.await, Ok(Outcome::Done(())));
        assert_eq!(time::now() - start, SECOND * 3600);

        // Shields that give way, and nobody who dies of it.
        let start = time::now();
        let scope = CancelScope::new();
        scope.cancel("now");
        let outcome = scope.run_within(Grace::UNBOUNDED.cancel_after(SECOND), async || {
            assert!(shield(sleep_long).await.is_err());
            time_passes(SECOND * 3600).await;
            Ok::<_, Cancelled>("late")
        });
        assert_eq!(outcome.await, Ok(Outcome::Done("late")));
        assert_eq!(time::now() - start, SECOND * 3601);
    });
}

#[test]
fn the_children_of_a_killed_group_are_dropped_with_it() {
    let trace = Trace::default();
    simulate(async || {
        let (outcome, second) = run_within(async || {
            let _body = Witness(trace.clone(), "body of the scope");
            group(async |group| {
                group.spawn(async || {
                    let _child = Witness(trace.clone(), "stubborn child");
                    pending::<()>().await;
                    Ok(())
                });
                group.spawn(async || {
                    let result = shield(sleep_long).await;
                    trace.say("shielded child");
                    result
                });
                sleep_long().await
            })
            .await
        })
        .await;
        assert!(outcome.is_err());
        assert_eq!(second, 4);
        assert_eq!(
            trace.take(),
            ["shielded child", "stubborn child", "body of the scope"]
        );
        assert_eq!(antiphon::tree().tasks.len(), 1, "the main task");
    });
}

#[test]
fn branches_are_dropped_with_their_scope() {
    let trace = Trace::default();
    simulate(async || {
        let (outcome, _) = run_within(async || {
            let both = join((
                async || {
                    let _witness = Witness(trace.clone(), "stubborn");
                    pending::<()>().await;
                },
                async || shield(sleep_long).await,
            ));
            let _ = both.await;
            Ok::<(), Cancelled>(())
        })
        .await;
        assert!(outcome.is_err());
        assert_eq!(trace.take(), ["stubborn"]);
    });
}

/// Its clean-up waits, and is bounded as it says itself.
struct Slow<I> {
    trace: Trace,
    _if_dropped: std::marker::PhantomData<I>,
}

impl<I> Slow<I> {
    fn new(trace: &Trace) -> Self {
        Self {
            trace: trace.clone(),
            _if_dropped: std::marker::PhantomData,
        }
    }
}

macro_rules! slow {
    ($if_dropped:ty) => {
        impl ContextManager for Slow<$if_dropped> {
            type Error = Cancelled;
            type IfDropped = $if_dropped;

            async fn exit(self, ending: Ending<'_>) -> Result<(), Cancelled> {
                self.trace.say(format!("exit, {ending:?}"));
                let slept = time::sleep(SECOND * 60).await;
                self.trace.say(if slept.is_ok() { "slept" } else { "told" });
                Ok(())
            }

            fn let_go(self) {
                self.trace.say("let go");
            }

            fn grace(&self) -> Grace {
                Grace::UNBOUNDED
            }
        }
    };
}

slow!(HandOver);
slow!(LetGo);

#[test]
fn the_exit_of_a_block_gives_way_as_well() {
    let trace = Trace::default();
    simulate(async || {
        let (outcome, second) = run_within(async || {
            with(
                async { Ok::<_, Cancelled>(Slow::<LetGo>::new(&trace)) },
                async |_| sleep_long().await,
            )
            .await
        })
        .await;
        assert!(matches!(outcome, Ok(Outcome::Cancelled(..))));
        assert_eq!(second, 2);
    });
    let said = trace.take();
    assert!(said[0].starts_with("exit, Cancelled"), "{said:?}");
    assert_eq!(said[1..], ["told"]);
}

#[test]
fn a_block_in_a_killed_body_is_handed_over_or_let_go() {
    let trace = Trace::default();
    simulate(async || {
        let (outcome, second) = run_within(async || {
            with(
                async { Ok::<_, Cancelled>(Slow::<LetGo>::new(&trace)) },
                async |_| hang().await,
            )
            .await
        })
        .await;
        assert!(outcome.is_err());
        assert_eq!((second, trace.take()), (4, vec!["let go".to_owned()]));

        let (outcome, second) = run_within(async || {
            with(
                async { Ok::<_, Cancelled>(Slow::<HandOver>::new(&trace)) },
                async |_| hang().await,
            )
            .await
        })
        .await;
        assert!(outcome.is_err());
        assert_eq!((second, stats().orphans), (4, 1));
        time::sleep(SECOND * 61).await.unwrap();
        assert_eq!(trace.take(), ["exit, Dropped", "slept"]);
        assert_eq!(stats().orphans, 0);
    });
}

/// An exit that stands at a foreign future when the body is dropped goes on in a task of its own, where it is shielded again.
#[test]
fn an_exit_under_way_in_a_killed_body_goes_on_by_itself() {
    let trace = Trace::default();
    simulate(async || {
        let flag = Flag::default();
        let manager = from_fn(async || Ok::<_, Cancelled>(()), {
            let (trace, flag) = (trace.clone(), flag.clone());
            async move |(), _| {
                flag.await;
                let slept = time::sleep(SECOND).await;
                trace.say(if slept.is_ok() { "slept" } else { "told" });
                Ok::<(), Cancelled>(())
            }
        });
        let manager = antiphon::context::With::new()
            .grace(Grace::UNBOUNDED)
            .run(manager, async |_| sleep_long().await);
        let (outcome, second) = run_within(async || manager.await).await;
        assert!(outcome.is_err());
        assert_eq!((second, stats().orphans), (4, 1));
        flag.set();
        time::sleep(SECOND * 2).await.unwrap();
        assert_eq!(trace.take(), ["slept"]);
        assert_eq!(stats().orphans, 0);
    });
}

#[test]
fn a_shield_under_a_foreign_combinator_gives_way() {
    simulate(async || {
        let (outcome, second) = run_within(async || {
            let mut waits: FuturesUnordered<Pin<Box<dyn Future<Output = _>>>> =
                FuturesUnordered::new();
            waits.push(Box::pin(shield(sleep_long)));
            waits.push(Box::pin(sleep_long()));
            waits.next().await.unwrap().unwrap_err();
            waits.next().await.unwrap()
        })
        .await;
        assert!(matches!(outcome, Ok(Outcome::Cancelled(..))));
        assert_eq!(second, 2);
    });
}

/// What is carried out of a scope whose grace is over is behind its shield again.
#[test]
fn a_shield_that_is_carried_out_keeps_off_again() {
    simulate(async || {
        type Carried = Pin<Box<dyn Future<Output = Result<(), Cancelled>>>>;
        let carried: RefCell<Option<Carried>> = RefCell::new(None);
        let outer = CancelScope::new();
        let stopper = outer.clone();
        let outcome = outer.run(async || {
            let (outcome, second) = run_within(async || {
                let mut shielded: Carried = Box::pin(shield(async || {
                    assert!(sleep_long().await.is_err());
                    pending::<()>().await;
                    Ok(())
                }));
                assert!(futures_util::poll!(shielded.as_mut()).is_pending());
                let _ = shield(sleep_long).await;
                assert!(futures_util::poll!(shielded.as_mut()).is_pending());
                drop(shielded);
                let mut shielded: Carried = Box::pin(shield(async || {
                    Flag::default().await;
                    Ok(())
                }));
                assert!(futures_util::poll!(shielded.as_mut()).is_pending());
                *carried.borrow_mut() = Some(shielded);
                yield_now().await
            })
            .await;
            assert!(matches!(outcome, Ok(Outcome::Cancelled(..))));
            assert_eq!(second, 2);
            stopper.cancel("further out");
            let scopes = &antiphon::tree().tasks[0].scopes;
            let shield = scopes.iter().find(|scope| scope.is_shield).unwrap();
            assert!(!shield.is_to_hear, "{shield:?}");
            drop(carried.take());
            yield_now().await
        });
        assert!(outcome.await.is_cancelled());
    });
}

#[test]
fn a_panic_in_a_destructor_of_a_killed_body_goes_no_further() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("for the test");
        }
    }
    simulate(async || {
        let (outcome, _) = run_within(async || {
            let _bomb = Bomb;
            pending::<()>().await;
            Ok::<(), Cancelled>(())
        })
        .await;
        assert!(outcome.is_err());
        yield_now().await.unwrap();
    });
}

#[test]
fn a_killed_scope_in_another_is_an_error_of_its_body() {
    simulate(async || {
        let (outcome, second) = run_within(async || {
            // The inner one is cancelled and killed before the outer one's shields give way.
            let inner = CancelScope::new();
            inner.cancel("inner");
            let grace = Grace::UNBOUNDED
                .cancel_after(Duration::ZERO)
                .drop_after(SECOND / 2);
            inner.run_within(grace, async || hang().await).await
        })
        .await;
        assert!(matches!(outcome, Ok(Outcome::Failed(_))));
        assert_eq!(second, 0);
        // The outer one's death is that of the inner one, too.
        let (outcome, second) = run_within(async || {
            let inner = CancelScope::new();
            inner.run_within(GRACE, async || hang().await).await
        })
        .await;
        assert!(outcome.is_err());
        assert_eq!(second, 4);
    });
}

#[test]
fn a_killed_body_becomes_an_io_error() {
    simulate(async || {
        let (outcome, _) = run_within(async || hang().await).await;
        let killed = outcome.unwrap_err();
        assert!(killed.to_string().contains("the deadline came"));
        let error = std::io::Error::from(killed);
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    });
}
