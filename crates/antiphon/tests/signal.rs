//! Signals: as streams, and as what ends a program.
//!
//! Signals are a process's, so each program here runs in a process of its own: the test's binary again. Parent and child agree
//! by lines, never by time.

use std::env;
use std::future::pending;
use std::io::{self, BufRead as _, BufReader, Lines, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, ChildStdout, Command, Stdio, exit};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use antiphon::context::{from_fn, with};
use antiphon::signal::{Kind, ctrl_c, signal, signals};
use antiphon::{
    CancelReason, CancelScope, Cancelled, DriverKind, OnSignals, Outcome, Runtime, RuntimeBuilder,
    TaskBuilder, is_cancelled, shield, spawn, time, tree, yield_now,
};
use rustix::process::{Pid, Signal, getpid, kill_process};

/// Set in the child, for the test that it runs.
const CHILD: &str = "ANTIPHON_TEST_SIGNAL_CHILD";

/// What begins the lines of a program, between those of the test's harness.
const MARK: &str = "> ";

const FOR_EVER: Duration = Duration::from_secs(60 * 60 * 24);

/// A program under test.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts `body`, which is in the test with that name, in a process of its own. It does not return there.
    fn start(test: &str, body: fn()) -> Self {
        Self::start_by(Command::new(env::current_exe().unwrap()), test, body)
    }

    /// Starts it ignoring SIGINT and SIGTERM, as nohup(1) does with SIGHUP.
    fn start_ignoring(test: &str, body: fn()) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' INT TERM; exec \"$0\" \"$@\""]);
        shell.arg(env::current_exe().unwrap());
        Self::start_by(shell, test, body)
    }

    fn start_by(mut command: Command, test: &str, body: fn()) -> Self {
        if env::var_os(CHILD).is_some() {
            body();
            exit(0);
        }
        let mut child = command
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next_line(&mut self) -> Option<String> {
        loop {
            let line = self.lines.next()?.unwrap();
            if let Some(line) = line.strip_prefix(MARK) {
                return Some(line.to_owned());
            }
        }
    }

    /// Waits until it has said this.
    #[track_caller]
    fn expect(&mut self, line: &str) {
        let said = self.next_line();
        if said.as_deref() != Some(line) {
            let _ = self.child.kill();
        }
        assert_eq!(said.as_deref(), Some(line), "{}", self.said());
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has died of the signal. Returns what it said on standard error.
    #[track_caller]
    fn dies_of(mut self, signal: Signal) -> String {
        assert_eq!(self.next_line(), None);
        let said = self.said();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}: {said}");
        said
    }

    #[track_caller]
    fn ends_well(mut self) {
        assert_eq!(self.next_line(), None);
        let said = self.said();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {said}");
    }

    fn said(&mut self) -> String {
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut said).unwrap();
        }
        said
    }
}

/// A test that failed leaves no process behind.
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(what: &str) {
    // The harness has begun a line of its own.
    println!("\n{MARK}{what}");
}

fn raise(signal: Signal) {
    kill_process(getpid(), signal).unwrap();
}

/// A run that signals cancel, though it is not on the main thread.
fn run_with<T>(builder: RuntimeBuilder, main: impl AsyncFnOnce() -> T) -> T {
    builder
        .on_signals(OnSignals::Cancel)
        .build()
        .unwrap()
        .run(main)
}

fn run<T>(main: impl AsyncFnOnce() -> T) -> T {
    run_with(Runtime::builder(), main)
}

fn says_its_end(what: &'static str) -> impl Drop {
    struct Says(&'static str);
    impl Drop for Says {
        fn drop(&mut self) {
            say(self.0);
        }
    }
    Says(what)
}

/// Main is in two blocks, and a task is beside it.
fn in_good_order() {
    let result = run(async || {
        let block = |name: &'static str| {
            from_fn(
                async move || Ok::<_, Cancelled>(()),
                async move |(), ending| {
                    say(&format!("{name} exits: {ending:?}"));
                    yield_now().await?;
                    time::sleep(Duration::from_millis(1)).await?;
                    say(&format!("{name} has gone"));
                    Ok::<_, Cancelled>(())
                },
            )
        };
        let task = spawn(async move || {
            let result = time::sleep(FOR_EVER).await;
            say(&format!("task: {}", result.unwrap_err().reason()));
        });
        let result = with(block("outer"), async |_| {
            with(block("inner"), async |_| {
                yield_now().await?;
                say("ready");
                time::sleep(FOR_EVER).await
            })
            .await
        });
        let result: Result<(), Cancelled> = result.await;
        shield(async || task.await).await.unwrap();
        result
    });
    let reason = result.unwrap_err().reason().clone();
    assert!(matches!(
        reason,
        CancelReason::Signal(Kind::INTERRUPT | Kind::TERMINATE)
    ));
    say(&format!("run has returned: {reason}"));
}

fn ends_in_good_order(mut program: Program, signal: Signal, name: &str) {
    program.expect("ready");
    program.send(signal);
    let mut lines = Vec::new();
    while let Some(line) = program.next_line() {
        lines.push(line);
    }
    // The task has its step some time among the others'.
    let task = format!("task: {name}");
    assert_eq!(lines.iter().filter(|line| **line == task).count(), 1);
    lines.retain(|line| *line != task);
    let said = program.said();
    let exits = lines.iter().map(|line| line.split(':').next().unwrap());
    assert_eq!(
        exits.collect::<Vec<_>>(),
        [
            "inner exits",
            "inner has gone",
            "outer exits",
            "outer has gone",
            "run has returned"
        ],
        "{said}"
    );
    assert!(lines[4].ends_with(name), "{lines:?}");
    program.ends_well();
}

#[test]
fn an_interrupt_cancels_main_and_everything_exits() {
    let program = Program::start(
        "an_interrupt_cancels_main_and_everything_exits",
        in_good_order,
    );
    ends_in_good_order(program, Signal::INT, "SIGINT");
}

#[test]
fn sigterm_cancels_main_and_everything_exits() {
    let program = Program::start("sigterm_cancels_main_and_everything_exits", in_good_order);
    ends_in_good_order(program, Signal::TERM, "SIGTERM");
}

/// A main task that is busy and never sleeps hears of it at its next wait.
#[test]
fn a_main_that_never_sleeps_is_cancelled_as_well() {
    let mut program = Program::start("a_main_that_never_sleeps_is_cancelled_as_well", || {
        let cancelled = run(async || {
            say("ready");
            loop {
                if let Err(cancelled) = yield_now().await {
                    return cancelled;
                }
            }
        });
        say(&cancelled.reason().to_string());
    });
    program.expect("ready");
    program.send(Signal::INT);
    program.expect("SIGINT");
    program.ends_well();
}

#[test]
fn a_second_signal_kills_what_is_behind_a_shield() {
    let test = "a_second_signal_kills_what_is_behind_a_shield";
    let mut program = Program::start(test, || {
        run_with(Runtime::builder().signal_grace(Duration::MAX), async || {
            say("ready");
            let result = time::sleep(FOR_EVER).await;
            say(&result.unwrap_err().reason().to_string());
            shield(async || time::sleep(FOR_EVER).await).await
        })
        .unwrap();
    });
    program.expect("ready");
    program.send(Signal::INT);
    program.expect("SIGINT");
    program.send(Signal::INT);
    program.dies_of(Signal::INT);
}

/// The loop never comes to hear of the first, so it is the handler that counts.
#[test]
fn a_second_signal_kills_a_task_that_never_waits() {
    let test = "a_second_signal_kills_a_task_that_never_waits";
    let mut program = Program::start(test, || {
        run(async || {
            say("ready");
            loop {
                thread::park();
            }
        });
    });
    program.expect("ready");
    // Two of one kind might become one on their way.
    program.send(Signal::TERM);
    program.send(Signal::INT);
    // They may come in either order.
    assert_eq!(program.next_line(), None);
    let status = program.child.wait().unwrap().signal();
    let either = [Signal::INT, Signal::TERM].map(|signal| Some(signal.as_raw()));
    assert!(either.contains(&status), "{status:?}");
}

#[test]
fn who_does_not_end_within_the_grace_is_named_and_the_process_dies_of_the_signal() {
    const LINE_OF_SLEEP: u32 = line!() + 6;
    let test = "who_does_not_end_within_the_grace_is_named_and_the_process_dies_of_the_signal";
    let mut program = Program::start(test, || {
        let builder = Runtime::builder().signal_grace(Duration::from_millis(1));
        run_with(builder, async || {
            let _main = says_its_end("main is dropped");
            let sleep = async || time::sleep(FOR_EVER).await;
            drop(TaskBuilder::new().name("stubborn").spawn(async || {
                let _task = says_its_end("task is dropped");
                say("ready");
                pending::<()>().await;
            }));
            shield(sleep).await
        })
        .unwrap();
    });
    program.expect("ready");
    program.send(Signal::TERM);
    program.expect("task is dropped");
    program.expect("main is dropped");
    let said = program.dies_of(Signal::TERM);
    let file = file!().rsplit('/').next().unwrap();
    let waits = format!("tests/{file}:{LINE_OF_SLEEP}:");
    let main = said.lines().find(|line| line.contains("`main`")).unwrap();
    assert!(main.contains("waits for sleep at"), "{said}");
    assert!(main.contains(&waits), "{waits}: {said}");
    assert!(said.contains("`stubborn` (spawned at"), "{said}");
    let head = "antiphon: SIGTERM has cancelled the main task, which did not end within 1ms; the process ends:";
    assert!(said.contains(head), "{said}");
}

#[test]
fn a_listener_takes_the_signal_over_until_it_is_dropped() {
    let test = "a_listener_takes_the_signal_over_until_it_is_dropped";
    let mut program = Program::start(test, || {
        run(async || {
            let interrupts = signal(Kind::INTERRUPT)?;
            for count in ["first", "second", "third"] {
                say("ready");
                let kind = interrupts.recv().await?;
                say(&format!("{count} {kind}"));
            }
            drop(interrupts);
            say("ready");
            let result = time::sleep(FOR_EVER).await;
            say(&format!("cancelled: {}", result.unwrap_err().reason()));
            Ok::<(), io::Error>(())
        })
        .unwrap();
    });
    for count in ["first", "second", "third"] {
        program.expect("ready");
        program.send(Signal::INT);
        program.expect(&format!("{count} SIGINT"));
    }
    program.expect("ready");
    program.send(Signal::INT);
    program.expect("cancelled: SIGINT");
    program.ends_well();
}

#[test]
fn ctrl_c_hears_one_and_the_next_is_the_loops() {
    let mut program = Program::start("ctrl_c_hears_one_and_the_next_is_the_loops", || {
        run(async || {
            // It is spawned first, and says so when the other waits.
            drop(spawn(async || say("ready")));
            ctrl_c().await?;
            say("cleaning up");
            let result = time::sleep(FOR_EVER).await;
            say(&format!("cancelled: {}", result.unwrap_err().reason()));
            Ok::<(), io::Error>(())
        })
        .unwrap();
    });
    program.expect("ready");
    program.send(Signal::INT);
    program.expect("cleaning up");
    program.send(Signal::INT);
    program.expect("cancelled: SIGINT");
    program.ends_well();
}

#[test]
fn what_is_ignored_stays_ignored() {
    let mut program = Program::start_ignoring("what_is_ignored_stays_ignored", || {
        run(async || {
            let hangups = signal(Kind::HANGUP)?;
            say("ready");
            hangups.recv().await?;
            yield_now().await.expect("nothing has cancelled it");
            Ok::<(), io::Error>(())
        })
        .unwrap();
        say("still here");
    });
    program.expect("ready");
    program.send(Signal::INT);
    program.send(Signal::TERM);
    program.send(Signal::HUP);
    program.expect("still here");
    program.ends_well();
}

/// One that listens for an ignored signal hears it; then it is ignored again.
#[test]
fn a_listener_gives_back_what_it_found() {
    let mut program = Program::start_ignoring("a_listener_gives_back_what_it_found", || {
        run(async || {
            let both = signals([Kind::INTERRUPT, Kind::HANGUP])?;
            say("ready");
            assert_eq!(both.recv().await?, Kind::INTERRUPT);
            drop(both);
            let hangups = signal(Kind::HANGUP)?;
            say("ready");
            assert_eq!(hangups.recv().await?, Kind::HANGUP);
            Ok::<(), io::Error>(())
        })
        .unwrap();
        say("still here");
        thread::park();
    });
    program.expect("ready");
    program.send(Signal::INT);
    program.expect("ready");
    program.send(Signal::INT);
    program.send(Signal::HUP);
    program.expect("still here");
    // Nobody listens for it any more, and its action is the default one again.
    program.send(Signal::HUP);
    program.dies_of(Signal::HUP);
}

#[test]
fn a_run_on_another_thread_leaves_signals_alone() {
    let mut program = Program::start("a_run_on_another_thread_leaves_signals_alone", || {
        let _ = antiphon::run(async || {
            say("ready");
            time::sleep(FOR_EVER).await
        });
        say("it was cancelled");
    });
    program.expect("ready");
    program.send(Signal::INT);
    program.dies_of(Signal::INT);
}

#[test]
fn after_the_run_a_signal_does_what_it_did_before() {
    let mut program = Program::start("after_the_run_a_signal_does_what_it_did_before", || {
        for _ in 0..2 {
            let result = run(async || {
                say("ready");
                time::sleep(FOR_EVER).await
            });
            say(&result.unwrap_err().reason().to_string());
        }
        thread::park();
    });
    for _ in 0..2 {
        program.expect("ready");
        program.send(Signal::TERM);
        program.expect("SIGTERM");
    }
    program.send(Signal::TERM);
    program.dies_of(Signal::TERM);
}

/// Main has ended, so there is nobody who could be told; but the clean-up is not cut short.
#[test]
fn a_signal_after_mains_end_waits_for_the_clean_up() {
    let mut program = Program::start("a_signal_after_mains_end_waits_for_the_clean_up", || {
        run_with(Runtime::builder().grace(Duration::MAX), async || {
            let _rest = spawn(async || {
                let result = time::sleep(FOR_EVER).await;
                say(&result.unwrap_err().reason().to_string());
                let hangups = signal(Kind::HANGUP).unwrap();
                say("cleaning up");
                shield(async || hangups.recv().await).await.unwrap();
                say("clean");
            });
            yield_now().await.unwrap();
        });
        say("run has returned");
    });
    program.expect("the main task has ended");
    program.expect("cleaning up");
    program.send(Signal::TERM);
    program.send(Signal::HUP);
    program.expect("clean");
    program.dies_of(Signal::TERM);
}

#[test]
fn every_listener_hears_on_every_thread() {
    let mut program = Program::start("every_listener_hears_on_every_thread", || {
        fn hear() {
            antiphon::run(async || {
                let first = Rc::new(signals([Kind::HANGUP, Kind::USER1])?);
                let second = signal(Kind::USER1)?;
                say("ready");
                let task = spawn({
                    let first = Rc::clone(&first);
                    async move || first.recv().await
                });
                assert_eq!(second.recv().await?, Kind::USER1);
                assert_eq!(task.await.unwrap()?, Kind::USER1);
                assert_eq!(first.try_recv(), None);
                say("heard");
                Ok::<(), io::Error>(())
            })
            .unwrap();
        }
        let threads = [(); 3].map(|()| thread::spawn(hear));
        for thread in threads {
            thread.join().unwrap();
        }
    });
    for _ in 0..3 {
        program.expect("ready");
    }
    program.send(Signal::USR1);
    for _ in 0..3 {
        program.expect("heard");
    }
    program.ends_well();
}

#[test]
fn several_loops_are_cancelled_by_one_signal() {
    let mut program = Program::start("several_loops_are_cancelled_by_one_signal", || {
        let wait = || {
            let result = run(async || {
                say("ready");
                time::sleep(FOR_EVER).await
            });
            say(&result.unwrap_err().reason().to_string());
        };
        let threads = [(); 2].map(|()| thread::spawn(wait));
        for thread in threads {
            thread.join().unwrap();
        }
    });
    for _ in 0..2 {
        program.expect("ready");
    }
    program.send(Signal::INT);
    for _ in 0..2 {
        program.expect("SIGINT");
    }
    program.ends_well();
}

#[test]
fn after_each_delivery_there_is_at_least_one() {
    let program = Program::start("after_each_delivery_there_is_at_least_one", || {
        antiphon::run(async || {
            let signals = signals([Kind::USER1, Kind::USER2])?;
            for _ in 0..100 {
                for _ in 0..3 {
                    raise(Signal::USR1);
                }
                assert_eq!(signals.recv().await?, Kind::USER1);
                raise(Signal::USR2);
                // Of the first kind there may be more.
                while signals.recv().await? != Kind::USER2 {}
            }
            Ok::<(), io::Error>(())
        })
        .unwrap();
    });
    program.ends_well();
}

#[test]
fn a_cancelled_recv_has_taken_nothing() {
    let program = Program::start("a_cancelled_recv_has_taken_nothing", || {
        antiphon::run(async || {
            let signals = Rc::new(signal(Kind::USER1)?);
            // Before it is polled, though one is there: it gives way once.
            raise(Signal::USR1);
            let scope = CancelScope::new();
            scope.cancel("for the test");
            let outcome = scope.run(async || signals.recv().await);
            let Outcome::Cancelled(_, error) = outcome.await else {
                panic!("it was cancelled before");
            };
            assert!(is_cancelled(&error));
            assert_eq!(signals.recv().await?, Kind::USER1);

            // While it waits.
            let scope = CancelScope::new();
            let task = spawn({
                let (scope, signals) = (scope.clone(), Rc::clone(&signals));
                async move || {
                    let outcome = scope.run(async || signals.recv().await);
                    outcome.await.is_cancelled()
                }
            });
            yield_now().await?;
            assert!(tree().to_string().contains(" signal at "), "{}", tree());
            scope.cancel("for the test");
            assert!(task.await.unwrap());
            raise(Signal::USR1);
            assert_eq!(signals.recv().await?, Kind::USER1);

            // Behind a shield it goes on.
            let scope = CancelScope::new();
            let outcome = scope.run(async || {
                scope.cancel("for the test");
                raise(Signal::USR1);
                shield(async || signals.recv().await).await
            });
            assert!(matches!(outcome.await, Outcome::Done(Kind::USER1)));
            Ok::<(), io::Error>(())
        })
        .unwrap();
    });
    program.ends_well();
}

#[test]
fn a_listener_goes_on_in_the_next_loop() {
    let program = Program::start("a_listener_goes_on_in_the_next_loop", || {
        let signals = Rc::new(signal(Kind::USER1).unwrap());
        for _ in 0..2 {
            antiphon::run(async || {
                let task = spawn({
                    let signals = Rc::clone(&signals);
                    async move || signals.recv().await
                });
                yield_now().await?;
                raise(Signal::USR1);
                assert_eq!(task.await.unwrap()?, Kind::USER1);
                // One that waits at the loop's end.
                let signals = Rc::clone(&signals);
                let _rest = spawn(async move || signals.recv().await);
                yield_now().await?;
                Ok::<(), io::Error>(())
            })
            .unwrap();
        }
    });
    program.ends_well();
}

#[test]
fn in_virtual_time_there_are_none() {
    let builder = || Runtime::builder().driver(DriverKind::VirtualTime);
    let error = builder().build().unwrap().run(async || {
        let error = signal(Kind::USER1).unwrap_err();
        assert_eq!(
            ctrl_c().await.unwrap_err().kind(),
            io::ErrorKind::Unsupported
        );
        error
    });
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    let error = builder().on_signals(OnSignals::Cancel).build();
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::Unsupported);
}

#[test]
fn what_nobody_may_hear_is_an_error() {
    for number in [0, -1, 65, 9, Kind::from_raw(19).as_raw(), 11] {
        let error = signals([Kind::USER2, Kind::from_raw(number)]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{number}");
    }
}

#[test]
fn when_main_panics_the_rest_is_told_so() {
    let told = Rc::new(std::cell::RefCell::new(None));
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut runtime = Runtime::builder()
            .driver(DriverKind::VirtualTime)
            .build()
            .unwrap();
        runtime.run(async || {
            let told = Rc::clone(&told);
            let _rest = spawn(async move || {
                let cancelled = time::sleep(FOR_EVER).await.unwrap_err();
                // There is time to clean up.
                shield(async || time::sleep(Duration::from_millis(1)).await)
                    .await
                    .unwrap();
                *told.borrow_mut() = Some(cancelled.reason().clone());
            });
            yield_now().await.unwrap();
            panic!("for the test");
        });
    }));
    let payload = result.unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"for the test"));
    assert_eq!(*told.borrow(), Some(CancelReason::MainPanicked));
}
