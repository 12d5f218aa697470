//! Blocks whose future is dropped half way, and loops that end meanwhile.

mod context_support;

use std::future::pending;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use antiphon::context::{ContextManager, Ending, LetGo, Stats, entered, stats, with};
use antiphon::{Cancelled, shield, spawn, time, tree, yield_now};
use futures_util::future::join;

use context_support::{Act, AppError, Guest, Trace, drop_after, ms, settle, simulate};

/// Waits twice, by giving way.
async fn twice() -> Result<(), AppError> {
    yield_now().await?;
    Ok(yield_now().await?)
}

/// M9: dropped at each of its waits in turn. Python can run no exit that waits then; here the loop does.
#[test]
fn m9_dropped_at_each_wait_it_exits_once_and_to_the_end() {
    let mut endings = Vec::new();
    for polls in 0.. {
        let (ended, said) = simulate(async || {
            let trace = Trace::new();
            let entering = trace.clone();
            let enter = async move {
                twice().await?;
                Guest::enter("it", entering, Act::Well(0), Act::Well(0)).await
            };
            let ended = drop_after(polls, with(enter, async |_| twice().await)).await;
            settle().await;
            (ended.is_some(), trace.take())
        });
        endings.push(said);
        if ended {
            break;
        }
    }
    let [entering @ .., a, b, c, last] = &*endings else {
        panic!("{endings:?}")
    };
    assert_eq!(
        entering.len(),
        4,
        "before, at two steps, and at the sleep of zero"
    );
    assert!(entering.iter().all(String::is_empty), "{endings:?}");
    assert_eq!(a, "0 enter it, 0 exit it (dropped), 0 left it");
    assert_eq!(b, a);
    assert_eq!(c, "0 enter it, 0 exit it (value), 0 left it");
    assert_eq!(last, c);
}

#[test]
fn the_tree_shows_who_finishes_what_was_dropped() {
    simulate(async || {
        let trace = Trace::new();
        let guest = Guest {
            name: "it",
            trace: trace.clone(),
            exit: Act::Well(10),
        };
        let line = line!() + 1;
        let block = with(entered(guest), async |_| twice().await);
        assert!(drop_after(1, block).await.is_none());
        yield_now().await.unwrap();
        yield_now().await.unwrap();

        let tree = tree();
        let named = |task: &&antiphon::TaskSnapshot| task.name.as_deref() != Some("main");
        let orphan = tree.tasks.iter().find(named).expect("the exit is a task");
        let name = orphan.name.as_deref().unwrap();
        assert!(name.starts_with("exit of "), "{name}");
        assert!(
            name.contains(&format!("context_dropped.rs:{line}:")),
            "{name}"
        );
        assert_eq!(orphan.waits.len(), 2, "its sleep and its deadline: {tree}");
        assert_eq!((stats().handed_over, stats().orphans), (1, 1));

        settle().await;
        assert_eq!((stats().handed_over, stats().orphans), (1, 0));
        assert_eq!(trace.take(), "0 exit it (dropped), 10 left it");
    });
}

/// With wakers that are not the task's, before and after it is handed over.
#[test]
fn a_foreign_combinator_around_an_exit_is_no_matter() {
    simulate(async || {
        let trace = Trace::new();
        let block = |name| {
            let enter = Guest::enter(name, trace.clone(), Act::Well(1), Act::Well(10));
            with(enter, async |_| Act::Well(1).play().await)
        };
        let both = join(block("a"), block("b"));
        assert_eq!(both.await, (Ok(()), Ok(())));
        let whole = trace.take();
        assert_eq!(whole.matches("left").count(), 2, "{whole}");

        let mut both = Box::pin(join(block("a"), block("b")));
        antiphon::time::move_on_after(ms(5), async || antiphon::droppable(both.as_mut()).await)
            .await
            .unwrap();
        drop(both);
        settle().await;
        let whole = trace.take();
        assert_eq!(whole.matches("exit").count(), 2, "{whole}");
        assert_eq!(whole.matches("left").count(), 2, "{whole}");
    });
}

#[test]
fn an_orphan_has_until_the_loop_has_ended() {
    let run = |exit| {
        let before = stats();
        let trace = simulate(async || {
            let trace = Trace::new();
            let block = with(
                Guest::enter("it", trace.clone(), Act::Well(0), exit),
                async |_| pending::<Result<(), AppError>>().await,
            );
            drop_after(2, block).await;
            // It begins.
            yield_now().await.unwrap();
            trace
        });
        let after = stats();
        assert_eq!(after.orphans, 0);
        (trace.take(), after.dropped - before.dropped)
    };
    let (said, dropped) = run(Act::Stubborn(1_000_000_000));
    assert_eq!((&*said, dropped), ("0 enter it, 0 exit it (dropped)", 1));
    let (said, dropped) = run(Act::Well(10));
    assert_eq!(
        (&*said, dropped),
        ("0 enter it, 0 exit it (dropped), 10 left it", 0)
    );
}

#[test]
fn without_a_loop_the_value_is_let_go() {
    let trace = simulate(async || Trace::new());
    let said = trace.clone();
    let mut block: Pin<Box<dyn Future<Output = Result<(), AppError>>>> = Box::pin(async move {
        let guest = Guest {
            name: "it",
            trace: said,
            exit: Act::Well(0),
        };
        with(entered(guest), async |_| pending().await).await
    });
    assert!(
        block
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    drop(block);
    assert_eq!(trace.take(), "let go it");
    assert_eq!(stats().not_begun, 1);
    assert_eq!(stats().handed_over, 0);
}

/// It is in a destructor, where a panic could end the program.
#[test]
fn a_panic_in_letting_go_goes_no_further() {
    struct Bomb;
    impl ContextManager for Bomb {
        type Error = Cancelled;
        type IfDropped = LetGo;

        async fn exit(self, _: Ending<'_>) -> Result<(), Cancelled> {
            unreachable!("it is dropped before")
        }

        fn let_go(self) {
            panic!("bomb");
        }
    }
    simulate(async || {
        let block = with(entered(Bomb), async |_| {
            pending::<Result<(), Cancelled>>().await
        });
        assert_eq!(drop_after(1, block).await, None);
        assert_eq!(stats().panicked, 1);
    });
}

/// A panic beside a block drops it, and its exit is run all the same.
#[test]
fn a_panic_around_a_block_hands_it_over() {
    simulate(async || {
        let trace = Trace::new();
        let said = trace.clone();
        let task = spawn(async move || {
            let enter = Guest::enter("it", said, Act::Well(0), Act::Well(1));
            let block = with(enter, async |_| pending::<Result<(), AppError>>().await);
            let bomb = async {
                time::sleep(ms(5)).await.unwrap();
                panic!("bomb");
            };
            join(block, bomb).await
        });
        assert!(task.await.unwrap_err().is_panic());
        settle().await;
        assert_eq!(trace.take(), "0 enter it, 5 exit it (dropped), 6 left it");
    });
}

/// The tasks that are left when the main task ends are dropped in the end, and so is what they hand over.
#[test]
fn what_is_dropped_by_the_end_of_the_loop_is_told_of() {
    let trace = simulate(async || {
        let trace = Trace::new();
        let said = trace.clone();
        drop(spawn(async move || {
            let guest = Guest {
                name: "it",
                trace: said,
                exit: Act::Well(0),
            };
            // It hears of no cancel, so that it is dropped.
            with(entered(guest), async |_| {
                pending::<Result<(), AppError>>().await
            })
            .await
        }));
        yield_now().await.unwrap();
        trace
    });
    assert_eq!(trace.take(), "let go it");
    let expected = Stats::default();
    let Stats {
        not_begun,
        orphans,
        killed,
        ..
    } = stats();
    assert_eq!(
        (not_begun, orphans, killed),
        (1, expected.orphans, expected.killed)
    );
}

/// A shield around a dropped block has gone with it: the exit has its own.
#[test]
fn a_handed_over_exit_hears_of_no_cancel() {
    simulate(async || {
        let trace = Trace::new();
        let scope = Rc::new(antiphon::CancelScope::new());
        let outcome = scope.run(async || {
            let enter = Guest::enter("it", trace.clone(), Act::Well(0), Act::Well(10));
            let block = with(enter, async |_| Act::Well(0).play().await);
            // In the exit.
            drop_after(3, shield(async || block.await)).await;
            scope.cancel("stop");
            time::sleep(Duration::from_millis(1)).await
        });
        assert!(outcome.await.is_cancelled());
        settle().await;
        assert_eq!(trace.take(), "0 enter it, 0 exit it (value), 10 left it");
    });
}
