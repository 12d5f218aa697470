//! Blocks: every way to end one, and who is told what.

mod context_support;

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use antiphon::context::{
    ContextManager, Ending, ExitError, Grace, LetGo, With, entered, from_fn, stats, with, with_both,
};
use antiphon::sync::{Mutex, RwLock, Semaphore};
use antiphon::{CancelScope, Cancelled, Outcome, shield, spawn, time, yield_now};
use expect_test::expect;
use futures_util::future::{Either, select};

use context_support::{Act, AppError, Guest, Trace, ms, settle, simulate, told};

/// A block whose parts take 10 ms each, and what happens to it.
struct Row {
    name: &'static str,
    enter: Act,
    body: Act,
    exit: Act,
    /// When the scope around it is cancelled.
    cancel_at: Option<u64>,
    /// When its future is dropped.
    drop_at: Option<u64>,
}

const WELL: Row = Row {
    name: "value",
    enter: Act::Well(10),
    body: Act::Well(10),
    exit: Act::Well(10),
    cancel_at: None,
    drop_at: None,
};

fn rows() -> Vec<Row> {
    use Act::{Fail, Panic, Stubborn};
    let row = |name, change: fn(&mut Row)| {
        let mut row = Row { name, ..WELL };
        change(&mut row);
        row
    };
    vec![
        WELL,
        row("error", |row| row.body = Fail(10, "body")),
        row("panic", |row| row.body = Panic(10, "body")),
        row("enter fails", |row| row.enter = Fail(10, "enter")),
        row("enter panics", |row| row.enter = Panic(10, "enter")),
        row("exit fails", |row| row.exit = Fail(10, "exit")),
        row("exit panics", |row| row.exit = Panic(10, "exit")),
        row("error, exit fails", |row| {
            row.body = Fail(10, "body");
            row.exit = Fail(10, "exit");
        }),
        row("error, exit panics", |row| {
            row.body = Fail(10, "body");
            row.exit = Panic(10, "exit");
        }),
        row("panic, exit fails", |row| {
            row.body = Panic(10, "body");
            row.exit = Fail(10, "exit");
        }),
        row("panic, exit panics", |row| {
            row.body = Panic(10, "body");
            row.exit = Panic(10, "exit");
        }),
        row("cancelled before enter", |row| row.cancel_at = Some(0)),
        row("cancelled in enter", |row| row.cancel_at = Some(5)),
        row("cancelled in body", |row| row.cancel_at = Some(15)),
        row("cancelled in exit", |row| row.cancel_at = Some(25)),
        row("cancelled as it is entered", |row| row.cancel_at = Some(10)),
        row("cancelled as the body ends", |row| row.cancel_at = Some(20)),
        row("cancelled, exit fails", |row| {
            row.cancel_at = Some(15);
            row.exit = Fail(10, "exit");
        }),
        row("cancelled, value all the same", |row| {
            row.cancel_at = Some(15);
            row.body = Stubborn(10);
        }),
        row("exit is slow", |row| row.exit = Act::Well(60_000)),
        row("exit is stuck", |row| row.exit = Stubborn(60_000)),
        row("exit is stubborn", |row| row.exit = Stubborn(7_000)),
        row("error, exit is stuck", |row| {
            row.body = Fail(10, "body");
            row.exit = Stubborn(60_000);
        }),
        row("dropped in enter", |row| row.drop_at = Some(5)),
        row("dropped in body", |row| row.drop_at = Some(15)),
        row("dropped in exit", |row| row.drop_at = Some(25)),
        row("error, dropped in exit", |row| {
            row.body = Fail(10, "body");
            row.drop_at = Some(25);
        }),
        row("panic, dropped in exit", |row| {
            row.body = Panic(10, "body");
            row.drop_at = Some(25);
        }),
        row("dropped, exit fails", |row| {
            row.drop_at = Some(15);
            row.exit = Fail(10, "exit");
        }),
        row("dropped, exit panics", |row| {
            row.drop_at = Some(15);
            row.exit = Panic(10, "exit");
        }),
        row("dropped, exit is stuck", |row| {
            row.drop_at = Some(15);
            row.exit = Stubborn(60_000);
        }),
        row("cancelled, dropped in exit", |row| {
            row.cancel_at = Some(15);
            row.drop_at = Some(20);
        }),
    ]
}

/// Plays a row, and returns what was said.
fn play(row: &Row) -> String {
    let &Row {
        enter,
        body,
        exit,
        cancel_at,
        drop_at,
        ..
    } = row;
    simulate(async || {
        let trace = Trace::new();
        let scope = CancelScope::new();
        if cancel_at == Some(0) {
            scope.cancel("stop");
        } else if let Some(after) = cancel_at {
            let scope = scope.clone();
            drop(spawn(async move || {
                time::sleep(ms(after)).await.unwrap();
                scope.cancel("stop");
            }));
        }
        let told = trace.clone();
        let block = spawn(async move || {
            let outcome = scope.run(async || {
                let enter = Guest::enter("it", told.clone(), enter, exit);
                with(enter, async |_| body.play().await).await
            });
            let ended = match drop_at {
                None => outcome.await,
                Some(after) => {
                    let timer = time::sleep(ms(after));
                    match select(Box::pin(outcome), timer).await {
                        Either::Left((outcome, _)) => outcome,
                        Either::Right(_) => return told.say_when("gone"),
                    }
                }
            };
            match ended {
                Outcome::Done(()) => told.say_when("value"),
                Outcome::Failed(error) => told.say_when(format_args!("error {error}")),
                Outcome::Cancelled(_, error) => told.say_when(format_args!("outcome {error}")),
            }
        });
        if let Err(error) = block.await {
            let payload = error.into_panic().unwrap();
            trace.say_when(format_args!(
                "panic {}",
                payload.downcast::<String>().unwrap()
            ));
        }
        settle().await;
        trace.take()
    })
}

#[test]
fn every_ending_exits_once() {
    let play = |row: Row| {
        let said = play(&row);
        let entered = said.matches("enter it").count();
        let exited = said.matches("exit it").count();
        assert!(entered <= 1 && entered == exited, "{}: {said}", row.name);
        format!("{}: {said}\n", row.name)
    };
    let table: String = rows().into_iter().map(play).collect();
    expect![[r"
        value: 10 enter it, 20 exit it (value), 30 left it, 30 value
        error: 10 enter it, 20 exit it (error body), 30 left it, 30 error body
        panic: 10 enter it, 20 exit it (panicked), 30 left it, 30 panic body
        enter fails: 10 error enter
        enter panics: 10 panic enter
        exit fails: 10 enter it, 20 exit it (value), 30 error exit
        exit panics: 10 enter it, 20 exit it (value), 30 panic exit
        error, exit fails: 10 enter it, 20 exit it (error body), 30 error body
        error, exit panics: 10 enter it, 20 exit it (error body), 30 error body
        panic, exit fails: 10 enter it, 20 exit it (panicked), 30 panic body
        panic, exit panics: 10 enter it, 20 exit it (panicked), 30 panic body
        cancelled before enter: 0 outcome cancelled: stop
        cancelled in enter: 5 outcome cancelled: stop
        cancelled in body: 10 enter it, 15 exit it (cancelled cancelled: stop), 25 left it, 25 outcome cancelled: stop
        cancelled in exit: 10 enter it, 20 exit it (value), 30 left it, 30 value
        cancelled as it is entered: 10 enter it, 10 exit it (cancelled cancelled: stop), 20 left it, 20 outcome cancelled: stop
        cancelled as the body ends: 10 enter it, 20 exit it (value), 30 left it, 30 value
        cancelled, exit fails: 10 enter it, 15 exit it (cancelled cancelled: stop), 25 outcome cancelled: stop
        cancelled, value all the same: 10 enter it, 20 exit it (value), 30 left it, 30 value
        exit is slow: 10 enter it, 20 exit it (value), 5020 error cancelled: the deadline came
        exit is stuck: 10 enter it, 20 exit it (value), 10020 error cancelled: the deadline came
        exit is stubborn: 10 enter it, 20 exit it (value), 7020 left it, 7020 value
        error, exit is stuck: 10 enter it, 20 exit it (error body), 10020 error body
        dropped in enter: 5 gone
        dropped in body: 10 enter it, 15 gone, 15 exit it (dropped), 25 left it
        dropped in exit: 10 enter it, 20 exit it (value), 25 gone, 30 left it
        error, dropped in exit: 10 enter it, 20 exit it (error body), 25 gone, 30 left it
        panic, dropped in exit: 10 enter it, 20 exit it (panicked), 25 gone, 30 left it
        dropped, exit fails: 10 enter it, 15 gone, 15 exit it (dropped)
        dropped, exit panics: 10 enter it, 15 gone, 15 exit it (dropped)
        dropped, exit is stuck: 10 enter it, 15 gone, 15 exit it (dropped)
        cancelled, dropped in exit: 10 enter it, 15 exit it (cancelled cancelled: stop), 20 gone, 25 left it
    "]].assert_eq(&table);
    let stats = stats();
    assert_eq!(stats.orphans, 0);
    assert_eq!(
        stats.handed_over, 8,
        "those that were dropped after they were entered"
    );
    assert_eq!(
        stats.failed, 4,
        "those whose body had failed, or was dropped"
    );
    assert_eq!(stats.panicked, 3);
    assert_eq!(stats.killed, 3);
    assert_eq!((stats.dropped, stats.not_begun), (0, 0));
}

/// M1, M2: what is awaited is what the block gets. That it can exit, the compiler has asked before.
#[test]
fn m2_the_block_gets_what_was_entered() {
    simulate(async || {
        let made = from_fn(
            async || Ok::<_, Cancelled>(String::from("a")),
            async |made: String, _| {
                assert_eq!(made, "ab");
                Ok::<_, Cancelled>(())
            },
        );
        let length = with(made, async |made| {
            made.push('b');
            Ok::<_, Cancelled>(made.len())
        });
        assert_eq!(length.await, Ok(2));
    });
}

/// M4: who can't enter has nothing to exit, and the block does not run.
#[test]
fn m4_nothing_exits_that_was_not_entered() {
    simulate(async || {
        let never = from_fn(
            async || Err::<(), _>(AppError::Plain("closed")),
            async |(), _| -> Result<(), AppError> { unreachable!() },
        );
        let result: Result<(), AppError> = with(never, async |_| unreachable!()).await;
        assert_eq!(result, Err(AppError::Plain("closed")));
    });
}

/// M5: `return` and `?` leave the block like the end of it.
#[test]
fn m5_a_return_from_the_middle_is_a_value() {
    simulate(async || {
        let trace = Trace::new();
        let enter = Guest::enter("it", trace.clone(), Act::Well(0), Act::Well(0));
        let value = with(enter, async |_| {
            for number in 0.. {
                if number == 3 {
                    return Ok::<_, AppError>(number);
                }
                yield_now().await?;
            }
            unreachable!()
        });
        assert_eq!(value.await, Ok(3));
        assert_eq!(trace.take(), "0 enter it, 0 exit it (value), 0 left it");
    });
}

/// M6: the exit sees the error itself, and can't make a success of it.
#[test]
fn m6_the_exit_looks_at_the_error_and_does_not_swallow_it() {
    simulate(async || {
        let enter = from_fn(
            async || Ok::<_, Cancelled>(()),
            async |(), ending| {
                let Ending::Error(failure) = ending else {
                    panic!("{ending:?}")
                };
                assert_eq!(failure.to_string(), "body");
                assert_eq!(failure.downcast_ref(), Some(&AppError::Plain("body")));
                assert!(failure.downcast_ref::<io::Error>().is_none());
                Ok::<_, AppError>(())
            },
        );
        let result = with(enter, async |_| Err::<(), _>(AppError::Plain("body"))).await;
        assert_eq!(result, Err(AppError::Plain("body")));
    });
}

/// M7: in Python the error of the exit replaces the block's. Here both can be had.
#[test]
fn m7_the_error_of_the_exit_stands_beside_that_of_the_block() {
    simulate(async || {
        let enter = || Guest::enter("it", Trace::new(), Act::Well(0), Act::Fail(0, "exit"));

        let both = with_both(enter(), async |_| Err::<(), _>(AppError::Plain("body")))
            .await
            .unwrap();
        assert_eq!(both.body, Err(AppError::Plain("body")));
        let Err(ExitError::Failed(beside)) = both.exit else {
            panic!("it fails")
        };
        assert_eq!(beside, AppError::Plain("exit"));

        let both = with_both(enter(), async |_| Ok::<_, AppError>("value"))
            .await
            .unwrap();
        assert_eq!(both.body, Ok("value"));
        assert!(matches!(
            both.exit,
            Err(ExitError::Failed(AppError::Plain("exit")))
        ));
        assert_eq!(stats().failed, 0, "somebody was told");
    });
}

/// M8: blocks in each other exit in reverse, each told what became of the one in it.
#[test]
fn m8_three_blocks_in_each_other() {
    let nested = |inner_exit, body| {
        simulate(async || {
            let trace = Trace::new();
            let enter = |name, exit| Guest::enter(name, trace.clone(), Act::Well(1), exit);
            let result = with(enter("a", Act::Well(1)), async |_| {
                with(enter("b", Act::Well(1)), async |_| {
                    with(enter("c", inner_exit), async |_| Act::play(body).await).await
                })
                .await
            });
            trace.say(match result.await {
                Ok(()) => "value".into(),
                Err(error) => format!("error {error}"),
            });
            trace.take()
        })
    };
    expect!["1 enter a, 2 enter b, 3 enter c, 4 exit c (value), 5 left c, 5 exit b (value), 6 left b, 6 exit a (value), 7 left a, value"]
        .assert_eq(&nested(Act::Well(1), Act::Well(1)));
    expect!["1 enter a, 2 enter b, 3 enter c, 4 exit c (error body), 5 left c, 5 exit b (error body), 6 left b, 6 exit a (error body), 7 left a, error body"]
        .assert_eq(&nested(Act::Well(1), Act::Fail(1, "body")));
    expect!["1 enter a, 2 enter b, 3 enter c, 4 exit c (value), 5 exit b (error exit), 6 left b, 6 exit a (error exit), 7 left a, error exit"]
        .assert_eq(&nested(Act::Fail(1, "exit"), Act::Well(1)));
}

/// M8: if the second can't be entered, the first is told of that error.
#[test]
fn m8_who_was_entered_hears_that_the_next_was_not() {
    simulate(async || {
        let trace = Trace::new();
        let a = Guest::enter("a", trace.clone(), Act::Well(1), Act::Well(1));
        let b = Guest::enter("b", trace.clone(), Act::Fail(1, "no b"), Act::Well(1));
        let result = with(a, async |_| with(b, async |_| Ok::<_, AppError>(())).await);
        assert_eq!(result.await, Err(AppError::Plain("no b")));
        assert_eq!(trace.take(), "1 enter a, 2 exit a (error no b), 3 left a");
    });
}

/// M10: one of two closures, for itself and in itself.
#[test]
fn m10_two_closures_make_a_manager() {
    simulate(async || {
        let users = Rc::new(Cell::new(0));
        let enter = || {
            let (up, down) = (Rc::clone(&users), Rc::clone(&users));
            from_fn(
                async move || {
                    up.set(up.get() + 1);
                    Ok::<_, Cancelled>(up.get())
                },
                async move |_, _| {
                    yield_now().await?;
                    down.set(down.get() - 1);
                    Ok::<_, Cancelled>(())
                },
            )
        };
        let depth = with(enter(), async |_| {
            with(enter(), async |depth| Ok::<_, Cancelled>(**depth)).await
        });
        assert_eq!(depth.await, Ok(2));
        assert_eq!(users.get(), 0);
    });
}

/// Runs a block that is cancelled, and returns what its exit finds in an error of the type `E`.
async fn found<E>() -> Option<String>
where
    E: From<Cancelled> + std::fmt::Display + 'static,
{
    let scope = CancelScope::new();
    let found = Rc::new(Cell::new(None));
    let finding = Rc::clone(&found);
    let enter = from_fn(
        async || Ok::<_, Cancelled>(()),
        async move |(), ending| {
            let Ending::Cancelled(by, failure) = ending else {
                panic!("{ending:?}")
            };
            // Whether or not the error leads to it, the ending tells who cancelled.
            assert_eq!(by.reason().to_string(), "stop");
            assert!(by.location().file().ends_with("context.rs"));
            assert_eq!(ending.failure().unwrap().to_string(), failure.to_string());
            let cancelled = failure.find_cancelled();
            finding.set(cancelled.map(|cancelled| cancelled.reason().to_string()));
            Ok::<_, Cancelled>(())
        },
    );
    let outcome = scope.run(async || {
        with(enter, async |_| {
            scope.cancel("stop");
            Ok::<(), E>(yield_now().await?)
        })
        .await
    });
    assert!(outcome.await.is_cancelled());
    found.take()
}

/// An error of the block's own in a cancelled scope has no cancel for its cause; of several scopes the outermost is told.
#[test]
fn the_ending_tells_who_cancelled_though_the_error_does_not() {
    simulate(async || {
        let outer = CancelScope::new();
        let told = Rc::new(Cell::new(None));
        let outcome = outer.run(async || {
            let inner = CancelScope::new();
            inner.cancel("inner");
            let block = async || {
                let telling = Rc::clone(&told);
                let enter = from_fn(
                    async || Ok::<_, Cancelled>(()),
                    async move |(), ending: Ending<'_>| {
                        let Ending::Cancelled(by, failure) = ending else {
                            panic!("{ending:?}")
                        };
                        assert!(failure.find_cancelled().is_none());
                        telling.set(Some(by.clone()));
                        Ok::<_, Cancelled>(())
                    },
                );
                with(enter, async |_| {
                    outer.cancel("outer");
                    Err::<(), _>(AppError::Plain("own"))
                })
                .await
            };
            inner.run(block).await.into_result()
        });
        // To look is not to be told: nobody waited.
        assert_eq!(outcome.await, Outcome::Failed(AppError::Plain("own")));
        assert_eq!(told.take().unwrap().reason().to_string(), "outer");
    });
}

#[test]
fn the_exit_can_tell_which_cancel_it_was() {
    simulate(async || {
        let stop = Some(String::from("stop"));
        assert_eq!(found::<Cancelled>().await, stop);
        assert_eq!(found::<io::Error>().await, stop);
        assert_eq!(found::<Box<dyn std::error::Error>>().await, stop);
        assert_eq!(
            found::<Box<dyn std::error::Error + Send + Sync>>().await,
            stop
        );
        assert_eq!(
            found::<AppError>().await,
            None,
            "a type that it does not know"
        );
    });
}

/// The level stays: what is cancelled during the exit is heard of after it.
#[test]
fn the_wait_after_the_exit_is_the_one_that_ends() {
    simulate(async || {
        let scope = CancelScope::new();
        let canceller = scope.clone();
        let outcome = scope.run(async || {
            let enter = from_fn(
                async || Ok::<_, Cancelled>(()),
                async move |(), _| {
                    canceller.cancel("stop");
                    yield_now().await
                },
            );
            let value = with(enter, async |_| Ok::<_, Cancelled>(7)).await;
            assert_eq!(value, Ok(7));
            yield_now().await
        });
        assert!(outcome.await.is_cancelled());
    });
}

#[test]
fn a_block_in_a_shield_is_not_cancelled() {
    simulate(async || {
        let scope = CancelScope::new();
        scope.cancel("stop");
        let trace = Trace::new();
        let outcome = scope.run(async || {
            shield(async || {
                let enter = Guest::enter("it", trace.clone(), Act::Well(1), Act::Well(1));
                with(enter, async |_| Act::Well(1).play().await).await
            })
            .await
        });
        assert_eq!(outcome.await, Outcome::Done(()));
        assert_eq!(trace.take(), "1 enter it, 2 exit it (value), 3 left it");
    });
}

#[test]
fn a_block_has_the_grace_that_is_asked_for() {
    simulate(async || {
        let start = time::now();
        let enter = || Guest::enter("it", Trace::new(), Act::Well(0), Act::Stubborn(60_000));
        let grace = Grace::default().cancel_after(ms(20)).drop_after(ms(30));
        let both = With::new()
            .grace(grace)
            .run_both(enter(), async |_| Ok::<_, AppError>(()))
            .await
            .unwrap();
        assert!(matches!(both.exit, Err(ExitError::Killed(_))));
        assert_eq!(time::now() - start, ms(50));
        assert_eq!(stats().killed, 1);

        let start = time::now();
        let both = With::new()
            .grace(Grace::UNBOUNDED)
            .run_both(enter(), async |_| Ok::<_, AppError>(()));
        assert!(both.await.unwrap().exit.is_ok());
        assert_eq!(time::now() - start, ms(60_000));
    });
}

#[test]
fn a_box_of_any_error_is_as_good_as_another() {
    simulate(async || {
        let enter = from_fn(
            async || Ok::<_, Cancelled>(()),
            async |(), ending| {
                assert_eq!(told(ending), "error no room");
                Err::<(), _>(AppError::Plain("exit"))
            },
        );
        let result: Result<(), Box<dyn std::error::Error>> =
            with(enter, async |_| Err("no room".into())).await;
        assert_eq!(result.unwrap_err().to_string(), "no room");
        assert_eq!(stats().failed, 1);
    });
}

/// What is lent borrows from what is around the block.
#[test]
fn locks_are_held_for_a_block() {
    simulate(async || {
        let (mutex, rwlock, semaphore) = (Mutex::new(1), RwLock::new(2), Semaphore::new(3));
        let sum = with(mutex.lock(), async |one| {
            **one += 1;
            assert!(mutex.try_lock().is_none());
            with(rwlock.read(), async |two| Ok::<_, Cancelled>(**one + **two)).await
        });
        assert_eq!(sum.await, Ok(4));
        assert!(mutex.try_lock().is_some());
        assert!(rwlock.try_write().is_some());

        let permit = entered(semaphore.try_acquire(2).unwrap());
        let left = with(permit, async |_| {
            Ok::<_, Cancelled>(semaphore.available_permits())
        });
        assert_eq!(left.await, Ok(1));
        assert_eq!(semaphore.available_permits(), 3);
    });
}

/// A block is left when its future is gone, and not before.
#[test]
fn a_panic_of_a_destructor_in_the_block_is_told() {
    struct Bomb(Trace);
    impl Future for Bomb {
        type Output = Result<(), AppError>;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Ready(Ok(()))
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.say("bomb");
            panic!("bomb");
        }
    }
    simulate(async || {
        let trace = Trace::new();
        let said = trace.clone();
        let block = spawn(async move || {
            let enter = Guest::enter("it", said.clone(), Act::Well(0), Act::Well(0));
            with(enter, |_: &mut Guest| Bomb(said)).await
        });
        assert!(block.await.unwrap_err().is_panic());
        assert_eq!(
            trace.take(),
            "0 enter it, bomb, 0 exit it (panicked), 0 left it"
        );
    });
}

/// A block that borrows is let go if it is dropped, and its exit is not handed to anybody.
#[test]
fn what_borrows_is_let_go() {
    struct Borrowed<'a>(&'a Trace);
    impl ContextManager for Borrowed<'_> {
        type Error = Cancelled;
        type IfDropped = LetGo;

        async fn exit(self, ending: Ending<'_>) -> Result<(), Cancelled> {
            self.0.say(told(ending));
            yield_now().await?;
            self.0.say("left");
            Ok(())
        }

        fn let_go(self) {
            self.0.say("let go");
        }
    }
    let said = |polls| {
        simulate(async || {
            let trace = Trace::new();
            let block = with(entered(Borrowed(&trace)), async |_| yield_now().await);
            context_support::drop_after(polls, block).await;
            yield_now().await.unwrap();
            assert_eq!(stats().handed_over, 0);
            trace.take()
        })
    };
    assert_eq!(said(0), "");
    assert_eq!(said(1), "let go");
    assert_eq!(stats().dropped, 0);
    assert_eq!(said(2), "value");
    assert_eq!(stats().dropped, 1);
    assert_eq!(said(3), "value, left");
}
