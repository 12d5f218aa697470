//! A command for each coroutine that has finished.

mod common;

use std::fs;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use self::common::{Desk, Folder, run};

#[test]
fn each_coroutine_that_has_finished_has_its_command_and_all_are_waited_for() {
    let folder = Folder::new();
    let command = folder.script("echo $1 >>ran; echo this is no transcript");
    let output = run(&["--exec", &command], "A\nA\nA\nB\nC\nB\nC\n");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"");
    let transcript = String::from_utf8(output.stdout).unwrap();
    assert!(!transcript.contains("no transcript"), "{transcript}");
    let ran = fs::read_to_string(folder.join("ran")).unwrap();
    let mut ran: Vec<&str> = ran.lines().collect();
    ran.sort_unstable();
    assert_eq!(ran, ["0", "1"], "and 2 has not finished");
}

#[test]
fn no_more_run_at_once_than_may() {
    let folder = Folder::new();
    let command =
        folder.script("mkdir room || echo $1 >>crowd\nsleep 0.01\nrmdir room\necho $1 >>ran");
    let input = "A\nB\nC\n".repeat(10);
    let output = run(&["--exec", &command, "--jobs", "1"], &input);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let ran = fs::read_to_string(folder.join("ran")).unwrap();
    let expected: Vec<String> = (0..10).map(|id| id.to_string()).collect();
    assert!(ran.lines().eq(&expected), "first come first served: {ran}");
    assert!(!folder.join("crowd").exists());
}

#[test]
fn a_command_that_fails_is_told_with_its_last_words() {
    let folder = Folder::new();
    let command = folder.script("echo first >&2; echo '\x1b[2J last' >&2; echo >&2; exit 3");
    let output = run(&["--exec", &command], "A\nB\nC\n");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "antiphon: exec 0: exit status: 3: \"\\u{1b}[2J last\"\n"
    );
    let output = run(&["--exec", "/nonexistent/program x"], "A\nB\nC\n");
    assert_eq!(output.status.code(), Some(0));
    let message = String::from_utf8(output.stderr).unwrap();
    let start = "antiphon: exec 0: can't run /nonexistent/program: ";
    assert!(message.starts_with(start), "{message}");
}

#[test]
fn a_command_that_hangs_is_ended_at_the_end() {
    for (prelude, signal) in [("", Signal::SIGINT), ("trap '' TERM", Signal::SIGTERM)] {
        let folder = Folder::new();
        let fifo = folder.fifo("fifo");
        let command = folder.script(&format!("{prelude}\necho $$ >fifo\nexec sleep 3600"));
        let mut desk = Desk::open(&["--exec", &command, "--jobs", "1"]);
        desk.write("A\nB\nC\nA\nB\nC\nA\n");
        // It runs, and the other one waits for it.
        let id = fs::read_to_string(fifo).unwrap();
        desk.expect(
            "Task queue size 0\n> 0 Processing event A, blocking on B\nTask queue size 1\n> ",
        );
        desk.expect("0 Processing event B, blocking on C\nTask queue size 1\n> ");
        desk.expect("0 Processing event C, task done\nTask queue size 0\n> ");
        desk.expect("1 Processing event A, blocking on B\nTask queue size 1\n> ");
        desk.expect("1 Processing event B, blocking on C\nTask queue size 1\n> ");
        desk.expect("1 Processing event C, task done\nTask queue size 0\n> ");
        desk.expect("2 Processing event A, blocking on B\nTask queue size 1\n> ");
        desk.signal(signal);
        let (status, rest, messages) = desk.end();
        assert_eq!(status.code(), Some(0), "{messages}");
        assert_eq!(rest, "\n2 Closed while blocking on B\n");
        let mut messages: Vec<&str> = messages.lines().collect();
        messages.sort_unstable();
        assert_eq!(
            messages,
            [
                "antiphon: exec 0: ended, because the desk closes",
                "antiphon: exec 1: not begun, because the desk closes",
            ]
        );
        let id = Pid::from_raw(id.trim().parse().unwrap());
        assert_eq!(kill(id, None), Err(Errno::ESRCH), "it has gone");
    }
}

#[test]
fn quit_waits_for_no_command() {
    let folder = Folder::new();
    let fifo = folder.fifo("fifo");
    let command = folder.script("echo $$ >fifo\nexec sleep 3600");
    let mut desk = Desk::open(&["--exec", &command]);
    desk.write("A\nB\nC\n");
    fs::read_to_string(fifo).unwrap();
    desk.write("quit\n");
    let (status, _, messages) = desk.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(
        messages,
        "antiphon: exec 0: ended, because the desk closes\n"
    );
}
