//! Stacks of exits.

mod context_support;

use std::error::Error as _;
use std::io;

use antiphon::context::{
    ContextManager, Ending, ExitErrors, ExitStack, LetGo, stats, with, with_both,
};
use antiphon::{CancelScope, Cancelled, Outcome, spawn, yield_now};

use context_support::{Act, AppError, Guest, Trace, drop_after, settle, simulate, told};

impl From<ExitErrors<AppError>> for AppError {
    fn from(errors: ExitErrors<AppError>) -> Self {
        errors.first().clone()
    }
}

type Stack = ExitStack<AppError>;

/// Enters three into a stack, plays `body`, and says what became of it. Each waits 1 ms to enter.
fn three(exits: [Act; 3], body: Act) -> String {
    simulate(async || {
        let trace = Trace::new();
        let result = with(Stack::new(), async |stack| {
            for (name, exit) in ["a", "b", "c"].into_iter().zip(exits) {
                let key = stack
                    .enter(Guest::enter(name, trace.clone(), Act::Well(1), exit))
                    .await?;
                assert_eq!(stack[&key].name, name);
            }
            body.play().await
        });
        let ended = match result.await {
            Ok(()) => "value".into(),
            Err(error) => format!("error {error}"),
        };
        trace.say(ended);
        trace.take()
    })
}

/// M8: it is the same as blocks in each other, except that all errors are kept.
#[test]
fn m8_a_stack_exits_in_reverse() {
    let well = Act::Well(1);
    assert_eq!(
        three([well; 3], well),
        "1 enter a, 2 enter b, 3 enter c, 4 exit c (value), 5 left c, 5 exit b (value), 6 left b, \
         6 exit a (value), 7 left a, value"
    );
    assert_eq!(
        three([well; 3], Act::Fail(1, "body")),
        "1 enter a, 2 enter b, 3 enter c, 4 exit c (error body), 5 left c, 5 exit b (error body), 6 left b, \
         6 exit a (error body), 7 left a, error body"
    );
    assert_eq!(
        three([well, well, Act::Fail(1, "exit")], well),
        "1 enter a, 2 enter b, 3 enter c, 4 exit c (value), 5 exit b (error exit), 6 left b, \
         6 exit a (error exit), 7 left a, error exit"
    );
}

/// Each has its own grace: one that is stuck takes nothing from the others.
#[test]
fn one_that_is_stuck_does_not_hold_the_others() {
    let well = Act::Well(1);
    assert_eq!(
        three([well, well, Act::Stubborn(60_000)], well),
        "1 enter a, 2 enter b, 3 enter c, 4 exit c (value), 10004 exit b (error cancelled: the deadline came), \
         10005 left b, 10005 exit a (error cancelled: the deadline came), 10006 left a, \
         error cancelled: the deadline came"
    );
    assert_eq!(stats().killed, 1);
}

/// M8: if one can't be entered, those before it exit, and are told why.
#[test]
fn m8_one_that_cannot_be_entered() {
    simulate(async || {
        let trace = Trace::new();
        let result = with(Stack::new(), async |stack| {
            stack
                .enter(Guest::enter("a", trace.clone(), Act::Well(1), Act::Well(1)))
                .await?;
            let closed = Guest::enter("b", trace.clone(), Act::Fail(1, "no b"), Act::Well(1));
            stack.enter(closed).await?;
            Ok::<(), AppError>(())
        });
        assert_eq!(result.await, Err(AppError::Plain("no b")));
        assert_eq!(trace.take(), "1 enter a, 2 exit a (error no b), 3 left a");
    });
}

/// M10: callbacks and values in one stack, and their errors in one chain.
#[test]
fn m10_all_errors_are_kept_in_their_order() {
    simulate(async || {
        let trace = Trace::new();
        let both = with_both(ExitStack::<io::Error>::new(), async |stack| {
            for name in ["first", "second", "third"] {
                let trace = trace.clone();
                stack.push_callback(async move |ending| {
                    yield_now().await?;
                    trace.say(format_args!("{name} ({})", told(ending)));
                    if name == "second" {
                        Ok(())
                    } else {
                        Err(io::Error::other(name))
                    }
                });
            }
            assert_eq!(stack.len(), 3);
            Ok::<_, io::Error>("value")
        });
        let both = both.await.unwrap();
        assert_eq!(both.body.unwrap(), "value");
        let Err(antiphon::context::ExitError::Failed(errors)) = both.exit else {
            panic!("two fail")
        };
        assert_eq!(errors.to_string(), "2 exits failed");
        assert_eq!(errors.source().unwrap().to_string(), "third");
        let error = io::Error::from(errors);
        assert_eq!(error.kind(), io::ErrorKind::Other);
        assert_eq!(
            trace.take(),
            "third (value), second (error third), first (error third)"
        );
    });
}

#[test]
fn a_panic_goes_on_after_the_last_exit() {
    simulate(async || {
        let trace = Trace::new();
        let said = trace.clone();
        let block = spawn(async move || {
            with(Stack::new(), async |stack| {
                for exit in [
                    Act::Well(1),
                    Act::Fail(1, "exit"),
                    Act::Panic(1, "first"),
                    Act::Well(1),
                ] {
                    stack.push(Guest {
                        name: "it",
                        trace: said.clone(),
                        exit,
                    });
                }
                Ok::<_, AppError>(())
            })
            .await
        });
        let payload = block.await.unwrap_err().into_panic().unwrap();
        assert_eq!(*payload.downcast::<String>().unwrap(), "first");
        assert_eq!(
            trace.take(),
            "0 exit it (value), 1 left it, 1 exit it (value), 2 exit it (panicked), 3 exit it (panicked), 4 left it"
        );
        assert_eq!(stats().failed, 1, "the error beside the panic");
    });
}

#[test]
fn a_cancelled_stack_exits_whole() {
    simulate(async || {
        let trace = Trace::new();
        let scope = CancelScope::new();
        let outcome = scope.run(async || {
            with(Stack::new(), async |stack| {
                for name in ["a", "b"] {
                    stack.push(Guest {
                        name,
                        trace: trace.clone(),
                        exit: Act::Well(1),
                    });
                }
                scope.cancel("stop");
                Ok::<_, AppError>(yield_now().await?)
            })
            .await
        });
        assert!(matches!(
            outcome.await,
            Outcome::Cancelled(_, AppError::Cancelled(_))
        ));
        let stop = "cancelled cancelled: stop";
        let expected = format!("0 exit b ({stop}), 1 left b, 1 exit a ({stop}), 2 left a");
        assert_eq!(trace.take(), expected);
    });
}

#[test]
fn what_is_popped_exits_when_it_is_closed() {
    simulate(async || {
        let trace = Trace::new();
        let kept = with(Stack::new(), async |stack| {
            let key = stack.push(Guest {
                name: "a",
                trace: trace.clone(),
                exit: Act::Well(1),
            });
            let kept = stack.pop_all();
            assert!(stack.is_empty());
            stack.push(Guest {
                name: "b",
                trace: trace.clone(),
                exit: Act::Well(1),
            });
            Ok::<_, AppError>((kept, key))
        });
        let (mut kept, key) = kept.await.unwrap();
        assert_eq!(trace.take(), "0 exit b (value), 1 left b");
        kept[&key].exit = Act::Fail(1, "exit");
        let errors = kept.close().await.unwrap_err();
        assert_eq!(errors.into_vec(), [AppError::Plain("exit")]);
        assert_eq!(trace.take(), "1 exit a (value)");
    });
}

#[test]
#[should_panic(expected = "the key is of another stack, or what it names was taken out")]
fn a_key_opens_its_own_stack_only() {
    simulate(async || {
        let mut stack = Stack::new();
        let key = stack.push(Guest {
            name: "a",
            trace: Trace::new(),
            exit: Act::Well(0),
        });
        let _other = stack.pop_all();
        let _ = &stack[&key];
    });
}

/// Dropped at each of its waits, each in it exits once; also where one exit was under way.
#[test]
fn m9_a_dropped_stack_is_finished_by_the_loop() {
    for polls in 1.. {
        let (ended, said) = simulate(async || {
            let trace = Trace::new();
            let block = with(Stack::new(), async |stack| {
                for name in ["a", "b"] {
                    stack.push(Guest {
                        name,
                        trace: trace.clone(),
                        exit: Act::Well(0),
                    });
                }
                Ok::<_, AppError>(yield_now().await?)
            });
            let ended = drop_after(polls, block).await.is_some();
            settle().await;
            (ended, trace.take())
        });
        let ending = if polls == 1 { "dropped" } else { "value" };
        let expected = format!("0 exit b ({ending}), 0 left b, 0 exit a ({ending}), 0 left a");
        assert_eq!(said, expected, "after {polls} polls");
        if ended {
            assert_eq!(polls, 4, "the block and two exits wait once each");
            return;
        }
    }
}

#[test]
fn a_stack_that_is_dropped_by_itself_is_handed_over() {
    simulate(async || {
        let trace = Trace::new();
        let mut stack = Stack::new();
        stack.push(Guest {
            name: "a",
            trace: trace.clone(),
            exit: Act::Well(1),
        });
        drop(stack);
        drop(Stack::new());
        assert_eq!(
            stats().handed_over,
            1,
            "there is nothing to do for an empty one"
        );
        settle().await;
        assert_eq!(trace.take(), "0 exit a (dropped), 1 left a");
    });
}

#[test]
fn closing_that_is_dropped_goes_on_without_us() {
    for (polls, ending) in [(0, "dropped"), (1, "value"), (2, "value")] {
        simulate(async || {
            let trace = Trace::new();
            let mut stack = Stack::new();
            for name in ["a", "b"] {
                let trace = trace.clone();
                let exit = Act::Well(0);
                stack.push(Guest { name, trace, exit });
            }
            assert!(drop_after(polls, stack.close()).await.is_none());
            settle().await;
            let expected = format!("0 exit b ({ending}), 0 left b, 0 exit a ({ending}), 0 left a");
            assert_eq!(trace.take(), expected, "after {polls} polls");
        });
    }
}

#[test]
fn without_a_loop_what_is_in_it_is_let_go_in_reverse() {
    let trace = simulate(async || Trace::new());
    let mut stack = Stack::new();
    for name in ["a", "b"] {
        stack.push(Guest {
            name,
            trace: trace.clone(),
            exit: Act::Well(1),
        });
    }
    drop(stack);
    assert_eq!(trace.take(), "let go b, let go a");
    assert_eq!(stats().not_begun, 1, "it is one thing");
}

/// What is let go by itself is finished in a stack, which is handed over.
#[test]
fn a_stack_takes_what_would_be_let_go() {
    struct Plain(Trace);
    impl ContextManager for Plain {
        type Error = Cancelled;
        type IfDropped = LetGo;

        async fn exit(self, ending: Ending<'_>) -> Result<(), Cancelled> {
            self.0.say(told(ending));
            Ok(())
        }
    }
    simulate(async || {
        let trace = Trace::new();
        let mut stack = Stack::new();
        stack.push(Plain(trace.clone()));
        drop(stack);
        settle().await;
        assert_eq!(trace.take(), "dropped");
    });
}
