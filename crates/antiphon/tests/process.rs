//! Processes: what they say, how they end, and that nothing is left of them.

mod net_support;

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;
use std::time::Duration;

use antiphon::context::{self, with};
use antiphon::io::{Read, Write};
use antiphon::process::{Child, Command, Stdio};
use antiphon::signal::Kind;
use antiphon::sync::Semaphore;
use antiphon::{CancelScope, is_cancelled, spawn, tree, yield_now};
use futures_util::join;

use net_support::{
    for_each_kernel_driver, forget, give_up_after, kind_of, pattern, until_someone_waits_for,
};

/// Short, and nothing here asks how long it took.
const MOMENT: Duration = Duration::from_millis(30);

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).grace(MOMENT).patience(MOMENT);
    command
}

fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000").patience(Duration::ZERO);
    command
}

/// Whether a process, or a zombie, has this number.
fn exists(id: u32) -> bool {
    std::path::Path::new(&format!("/proc/{id}")).exists()
}

async fn until_gone(id: u32) {
    while exists(id) {
        yield_now().await.unwrap();
    }
}

#[test]
fn cat_says_what_it_is_told() {
    for_each_kernel_driver(async || {
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = cat.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = pattern(1 << 20);
        let write = async {
            stdin.write_all(&bytes).await.unwrap();
            stdin.shutdown().await.unwrap();
        };
        let mut read = Vec::new();
        let ((), count) = join!(write, child.stdout.as_mut().unwrap().read_to_end(&mut read));
        assert_eq!(count.unwrap(), bytes.len());
        assert!(read == bytes);
        assert!(child.id().is_some());
        assert!(child.wait().await.unwrap().success());
        assert!(child.wait().await.unwrap().success());
        assert_eq!(child.id(), None);
        child.kill().unwrap();
    });
}

#[test]
fn much_output_on_both_streams_holds_nothing_up() {
    for_each_kernel_driver(async || {
        let mut command = sh("head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero; exit 3");
        let output = command.output().await.unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert!(output.is_complete);
        assert_eq!(
            (output.stdout.len(), output.stderr.len()),
            (1_000_000, 1_000_000)
        );
        // The command is as it was: what is not said is inherited.
        let child = command.args(["ignored"]).spawn();
        assert!(child.as_ref().is_ok_and(|child| child.stdout.is_none()));
        child.unwrap().kill().unwrap();
    });
}

#[test]
fn too_much_output_is_an_error() {
    for_each_kernel_driver(async || {
        let mut yes = Command::new("yes");
        yes.output_max(100_000).grace(MOMENT);
        assert_eq!(kind_of(yes.output().await), ErrorKind::FileTooLarge);
    });
}

#[test]
fn a_status_is_told() {
    for_each_kernel_driver(async || {
        assert_eq!(sh("exit 7").status().await.unwrap().code(), Some(7));
        let killed = sh("kill -USR1 $$").status().await.unwrap();
        assert_eq!(killed.signal(), Some(Kind::USER1.as_raw()));
        assert_eq!(
            kind_of(Command::new("/no/such/program").spawn()),
            ErrorKind::NotFound
        );
        let mut child = sh("exit 2").spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            yield_now().await.unwrap();
        }
        assert_eq!(child.wait().await.unwrap().code(), Some(2));
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $A$B; pwd"])
            .env_clear()
            .env("B", "b");
        command.current_dir("/");
        assert_eq!(command.output().await.unwrap().stdout, b"b\n/\n");
    });
}

#[test]
fn a_child_that_ignores_being_asked_is_killed() {
    for_each_kernel_driver(async || {
        let mut command = sh("trap '' TERM; echo ready; while :; do sleep 0.01; done");
        command.stdout(Stdio::piped());
        let id = Cell::new(None);
        let body = with(command.spawned(), async |child: &mut Child| {
            id.set(child.id());
            // It ignores the signal from here on.
            child.stdout.as_mut().unwrap().fill(6).await?;
            Err::<(), _>(io::Error::other("for another reason"))
        });
        assert_eq!(body.await.unwrap_err().to_string(), "for another reason");
        assert!(!exists(id.get().unwrap()));
    });
}

#[test]
fn a_child_that_is_asked_may_clean_up() {
    for_each_kernel_driver(async || {
        let mut command = sh(
            "trap 'echo farewell; exit 0' TERM; echo ready; cat >/dev/null; while :; do sleep 0.01; done",
        );
        command
            .grace(Duration::from_secs(60))
            .patience(Duration::ZERO);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let kept = Cell::new(None);
        let body = with(command.spawned(), async |child: &mut Child| {
            let mut stdout = child.stdout.take().unwrap();
            stdout.read_exact(&mut [0; 6]).await?;
            kept.set(Some(stdout));
            Ok::<_, io::Error>(())
        });
        body.await.unwrap();
        let mut farewell = Vec::new();
        let mut stdout = kept.take().unwrap();
        let mut byte = [0];
        while byte != [b'\n'] {
            stdout.read_exact(&mut byte).await.unwrap();
            farewell.push(byte[0]);
        }
        assert_eq!(farewell, b"farewell\n");
    });
}

#[test]
fn a_block_that_is_done_lets_the_child_end_by_itself() {
    for_each_kernel_driver(async || {
        let (mut reader, writer) = antiphon::io::pipe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "cat >/dev/null; echo done >&2"]);
        command.patience(Duration::from_secs(60));
        command
            .stdin(Stdio::piped())
            .stderr(writer.into_fd().unwrap());
        with(command.spawned(), async |_| Ok::<_, io::Error>(()))
            .await
            .unwrap();
        drop(command);
        let mut said = Vec::new();
        reader.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"done\n");
    });
}

#[test]
fn a_grandchild_that_keeps_the_pipe_holds_nobody_up() {
    for_each_kernel_driver(async || {
        let output = sh("sleep 1000 & echo $!").output().await.unwrap();
        assert!(output.status.success() && !output.is_complete);
        let id = String::from_utf8(output.stdout).unwrap();
        // It runs on; nobody here is its parent.
        let status = sh(&format!("kill {id}")).status().await.unwrap();
        assert!(status.success());
    });
}

#[test]
fn a_cancelled_wait_did_not_happen() {
    for_each_kernel_driver(async || {
        let mut child = sleeper().spawn().unwrap();
        let scope = CancelScope::new();
        let cancel = scope.clone();
        let canceller = spawn(async move || {
            until_someone_waits_for("process").await;
            cancel.cancel("enough");
        });
        let outcome = scope.run(async || {
            assert!(is_cancelled(&child.wait().await.unwrap_err()));
            child.wait().await
        });
        assert!(outcome.await.is_cancelled());
        canceller.await.unwrap();
        assert!(give_up_after(3, child.wait()).await.is_none());
        assert!(forget(child.wait()).await.is_none());
        assert_eq!(child.try_wait().unwrap(), None);
        child.terminate().unwrap();
        let status = child.wait().await.unwrap();
        assert_eq!(status.signal(), Some(Kind::TERMINATE.as_raw()));
    });
}

#[test]
fn nothing_is_started_in_a_cancelled_scope() {
    for_each_kernel_driver(async || {
        let scope = CancelScope::new();
        scope.cancel("before");
        let outcome = scope.run(async || sleeper().output().await.map(drop)).await;
        assert!(outcome.is_cancelled());
    });
}

#[test]
fn a_cancelled_output_ends_the_child() {
    for_each_kernel_driver(async || {
        let mut command = sh("echo $$ >&2; exec sleep 1000");
        let (mut reader, writer) = antiphon::io::pipe().unwrap();
        command.stderr(writer.into_fd().unwrap());
        let scope = CancelScope::new();
        let cancel = scope.clone();
        let reading = spawn(async move || {
            let mut id = Vec::new();
            reader.read_until(b'\n', &mut id).await.unwrap();
            cancel.cancel("enough");
            String::from_utf8(id)
                .unwrap()
                .trim()
                .parse::<u32>()
                .unwrap()
        });
        let outcome = scope.run(async || command.output().await).await;
        assert!(outcome.is_cancelled());
        assert!(!exists(reading.await.unwrap()));
    });
}

#[test]
fn a_block_that_is_dropped_hands_its_child_over() {
    for_each_kernel_driver(async || {
        let before = context::stats().handed_over;
        let mut command = sleeper();
        let id = Rc::new(Cell::new(None));
        let block = with(command.spawned(), async |child: &mut Child| {
            id.set(child.id());
            child.wait().await
        });
        assert!(give_up_after(5, block).await.is_none());
        assert_eq!(context::stats().handed_over, before + 1);
        until_gone(id.get().unwrap()).await;
    });
}

#[test]
fn dropped_children_are_reaped() {
    for_each_kernel_driver(async || {
        let child = sh("exit 0").spawn().unwrap();
        let id = child.id().unwrap();
        drop(child);
        until_gone(id).await;

        let child = sleeper().kill_on_drop(true).spawn().unwrap();
        let id = child.id().unwrap();
        drop(child);
        until_gone(id).await;
        while tree().tasks.len() > 1 {
            yield_now().await.unwrap();
        }
    });
}

/// The loop that would have reaped it has ended.
#[test]
fn a_child_that_outlives_its_loop_is_reaped_by_the_next_spawn() {
    let id = antiphon::run(async || {
        let child = sleeper().spawn().unwrap();
        let id = child.id().unwrap();
        drop(child);
        yield_now().await.unwrap();
        assert!(exists(id));
        id
    });
    assert!(exists(id));
    antiphon::run(async || {
        sh(&format!("kill {id}")).status().await.unwrap();
        while exists(id) {
            sh("exit 0").status().await.unwrap();
        }
    });
}

#[test]
fn many_processes_queue() {
    // `ANTIPHON_PROCESSES=10000` for a long run.
    let count = std::env::var("ANTIPHON_PROCESSES").map_or(200, |count| count.parse().unwrap());
    for_each_kernel_driver(async || {
        let places = Rc::new(Semaphore::new(8));
        let tasks = (0..count).map(|number| {
            let places = Rc::clone(&places);
            spawn(async move || {
                let _place = places.acquire_owned(1).await.unwrap();
                let mut command = Command::new("true");
                command.arg(number.to_string());
                command.status().await.unwrap().success()
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            assert!(task.await.unwrap());
        }
    });
}
