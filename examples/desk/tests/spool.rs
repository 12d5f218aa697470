//! Events from the files of a folder.

mod common;

use std::fs;

use nix::sys::signal::Signal;

use self::common::{Desk, Folder, run};

/// A desk that watches a folder, at its first prompt.
fn open() -> (Folder, Desk) {
    let folder = Folder::new();
    let mut desk = Desk::open(&["--spool", folder.path()]);
    desk.expect("Task queue size 0\n> ");
    (folder, desk)
}

const A0: &str = "0 Processing event A, blocking on B\nTask queue size 1\n> ";
const B0: &str = "0 Processing event B, blocking on C\nTask queue size 1\n> ";
const C0: &str = "0 Processing event C, task done\nTask queue size 0\n> ";

#[test]
fn what_is_appended_happens() {
    let (folder, mut desk) = open();
    folder.append("events", "A\n");
    desk.expect(A0);
    folder.append("events", "B\n");
    desk.expect(B0);
    folder.append("others", "C\n");
    desk.expect(C0);
    // The pipe is one source of several.
    desk.write("A\n");
    desk.expect("1 Processing event A, blocking on B\nTask queue size 1\n> ");
    drop(desk.stdin.take());
    folder.append("others", "B\n");
    desk.expect("1 Processing event B, blocking on C\nTask queue size 1\n> ");
    desk.signal(Signal::SIGTERM);
    let (status, rest, messages) = desk.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(rest, "\n1 Closed while blocking on C\n");
    assert_eq!(messages, "");
}

#[test]
fn what_is_there_already_happens_too() {
    let folder = Folder::new();
    folder.append("events", "A\nB\nC\n");
    folder.append(".events", "A\n");
    let mut desk = Desk::open(&["--spool", folder.path()]);
    desk.expect("Task queue size 0\n> ");
    for expected in [A0, B0, C0] {
        desk.expect(expected);
    }
}

#[test]
fn a_line_waits_for_its_end() {
    let (folder, mut desk) = open();
    folder.append("slow", "A\nB");
    desk.expect(A0);
    // Had B happened, 0 would not wait for it.
    folder.append("other", "A\n");
    desk.expect("1 Processing event A, blocking on B\nTask queue size 2\n> ");
    folder.append("slow", "  \n");
    desk.expect("0 Processing event B, blocking on C\nTask queue size 2\n> ");
}

#[test]
fn a_file_that_is_rotated_is_followed_and_so_is_the_new_one() {
    let (folder, mut desk) = open();
    folder.append("log", "A\n");
    desk.expect(A0);
    fs::rename(folder.join("log"), folder.join("log.1")).unwrap();
    folder.append("log", "B\n");
    desk.expect(B0);
    // Whoever writes it has it open still.
    folder.append("log.1", "C\n");
    desk.expect(C0);
    folder.append("log", "A\n");
    desk.expect("1 Processing event A, blocking on B\nTask queue size 1\n> ");
}

#[test]
fn a_file_that_is_moved_away_is_read_to_its_end() {
    let (folder, mut desk) = open();
    let elsewhere = Folder::new();
    folder.append("log", "A\n");
    desk.expect(A0);
    folder.append("log", "B\n");
    fs::rename(folder.join("log"), elsewhere.join("log")).unwrap();
    desk.expect(B0);
    folder.append("log", "C\n");
    desk.expect(C0);
}

#[test]
fn a_file_that_is_truncated_is_read_from_its_beginning() {
    let (folder, mut desk) = open();
    folder.append("log", "        A\nB");
    desk.expect(A0);
    fs::write(folder.join("log"), "B\n").unwrap();
    desk.expect(B0);
    folder.append("log", "C\n");
    desk.expect(C0);
}

#[test]
fn a_file_that_is_removed_is_forgotten() {
    let (folder, mut desk) = open();
    folder.append("log", "A\nB");
    desk.expect(A0);
    fs::remove_file(folder.join("log")).unwrap();
    assert_eq!(
        desk.message(),
        "antiphon: log has gone, and its last line was not ended"
    );
    folder.append("log", "B\n");
    desk.expect(B0);
}

#[test]
fn what_is_wrong_with_a_line_is_told_with_its_place() {
    let (folder, mut desk) = open();
    let mut text = b"X\n\xff\nhelp\nB\n".to_vec();
    text.extend(vec![b'x'; 200_000]);
    text.extend(b"\nafter 9h B\nA\n");
    folder.append("log", text);
    for expected in [
        "log line 1: \"X\" is not an event; the events are A, B, C",
        "log line 2: the line is not valid UTF-8; the events are A, B, C",
        "log line 3: a file is not answered; only events count",
        "log line 4: nobody waits for B",
        "log line 5: the line is longer than 1024 bytes; the events are A, B, C",
        "log line 6: timer 0: B in 9h",
    ] {
        assert_eq!(desk.message(), format!("antiphon: {expected}"));
    }
    desk.expect("Task queue size 0\n> ");
    desk.expect(A0);
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let folder = Folder::new();
    let path = folder.join("none");
    let output = run(&["--spool", path.to_str().unwrap()], "A\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let message = String::from_utf8(output.stderr).unwrap();
    let start = format!("antiphon: can't watch {}: ", path.display());
    assert!(message.starts_with(&start), "{message}");
}
