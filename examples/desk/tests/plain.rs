//! The desk at a pipe: the transcript byte for byte, the messages beside it, and every way in which it ends.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

/// What the transcript of the first example is, to the byte: the last prompt has no line end.
const TRANSCRIPT: &str = "\
Task queue size 0
> 0 Processing event A, blocking on B
Task queue size 1
> 1 Processing event A, blocking on B
Task queue size 2
> 0 Processing event B, blocking on C
Task queue size 2
> 0 Processing event C, task done
Task queue size 1
> 1 Processing event B, blocking on C
Task queue size 1
> 1 Processing event C, task done
Task queue size 0
> ";

#[test]
fn the_transcript_is_exact() {
    check(b"A\nA\nB\nC\nB\nC\n", TRANSCRIPT, "");
}

#[test]
fn the_last_line_needs_no_line_end() {
    check(b"A\nA\nB\nC\nB\nC", TRANSCRIPT, "");
}

#[test]
fn white_space_around_an_event_is_ignored() {
    check(b" A\r\nA \n\tB\nC\nB\t \nC\n", TRANSCRIPT, "");
}

#[test]
fn every_way_to_ask_for_the_transcript_gives_the_same() {
    for arguments in [
        &[][..],
        &["desk"],
        &["--plain"],
        &["desk", "--plain"],
        &["--plain", "desk"],
    ] {
        let output = run(arguments, b"A\nA\nB\nC\nB\nC\n");
        assert_eq!(text(&output.stdout), TRANSCRIPT, "{arguments:?}");
        assert!(output.status.success(), "{arguments:?}");
    }
}

#[test]
fn no_input_is_a_short_day() {
    check(b"", "Task queue size 0\n> ", "");
}

/// The original ended with a traceback, and the coroutines that waited ended with it.
#[test]
fn a_line_that_is_no_event_is_a_message_and_loses_nothing() {
    check(
        b"A\nX\nb\n\n   \nA B\nB\nC\n",
        "\
Task queue size 0
> 0 Processing event A, blocking on B
Task queue size 1
> Task queue size 1
> Task queue size 1
> Task queue size 1
> Task queue size 1
> Task queue size 1
> 0 Processing event B, blocking on C
Task queue size 1
> 0 Processing event C, task done
Task queue size 0
> ",
        "\
antiphon: line 2: \"X\" is not an event; the events are A, B, C
antiphon: line 3: \"b\" is not an event; did you mean B?
antiphon: line 4: an empty line is not an event; the events are A, B, C
antiphon: line 5: an empty line is not an event; the events are A, B, C
antiphon: line 6: \"A B\" is not an event; the events are A, B, C
",
    );
}

#[test]
fn an_event_that_nobody_waits_for_says_so_and_is_not_remembered() {
    check(
        b"B\nA\nC\n",
        "\
Task queue size 0
> Task queue size 0
> 0 Processing event A, blocking on B
Task queue size 1
> Task queue size 1
> 
0 Closed while blocking on B
",
        "\
antiphon: line 1: nobody waits for B
antiphon: line 3: nobody waits for C
",
    );
}

#[test]
fn bytes_that_are_no_text_are_a_message() {
    check(
        b"\xff\xfe\nA\nB\nC\n",
        "\
Task queue size 0
> Task queue size 0
> 0 Processing event A, blocking on B
Task queue size 1
> 0 Processing event B, blocking on C
Task queue size 1
> 0 Processing event C, task done
Task queue size 0
> ",
        "antiphon: line 1: the line is not valid UTF-8; the events are A, B, C\n",
    );
}

#[test]
fn a_line_of_a_million_bytes_is_a_message() {
    let mut input = vec![b'A'; 1_000_000];
    input.extend(b"\nB\n");
    check(
        &input,
        "Task queue size 0\n> Task queue size 0\n> Task queue size 0\n> ",
        "\
antiphon: line 1: the line is longer than 1024 bytes; the events are A, B, C
antiphon: line 2: nobody waits for B
",
    );
}

#[test]
fn at_the_end_of_input_everyone_who_waits_takes_their_leave_in_the_order_of_ids() {
    check(
        b"A\nA\nA\nB\n",
        "\
Task queue size 0
> 0 Processing event A, blocking on B
Task queue size 1
> 1 Processing event A, blocking on B
Task queue size 2
> 2 Processing event A, blocking on B
Task queue size 3
> 0 Processing event B, blocking on C
Task queue size 3
> 
0 Closed while blocking on C
1 Closed while blocking on B
2 Closed while blocking on B
",
        "",
    );
}

#[cfg(unix)]
#[test]
fn at_ctrl_c_everyone_who_waits_takes_their_leave() {
    let mut desk = Desk::open();
    desk.write("A\nB\nA\n");
    desk.read_until("Task queue size 2\n> ");
    desk.interrupt();
    let (rest, messages) = desk.end();
    assert_eq!(
        rest,
        "\n0 Closed while blocking on C\n1 Closed while blocking on B\n"
    );
    assert_eq!(messages, "");
}

#[cfg(unix)]
#[test]
fn at_ctrl_c_an_empty_desk_ends_without_a_word() {
    let mut desk = Desk::open();
    desk.read_until("Task queue size 0\n> ");
    desk.interrupt();
    assert_eq!(desk.end(), (String::new(), String::new()));
}

#[test]
fn an_answer_comes_before_the_next_question() {
    let mut desk = Desk::open();
    for number in 0..3 {
        desk.read_until(&format!("Task queue size {number}\n> "));
        desk.write("A\n");
        desk.read_until(&format!("{number} Processing event A, blocking on B\n"));
    }
    let (rest, _) = desk.end_input();
    assert_eq!(
        rest,
        "\
Task queue size 3
> 
0 Closed while blocking on B
1 Closed while blocking on B
2 Closed while blocking on B
"
    );
}

/// `antiphon | head -1`
#[test]
fn a_reader_that_goes_away_ends_the_desk_quietly() {
    let mut desk = Desk::open();
    desk.read_until("Task queue size 0\n> ");
    drop(desk.stdout.take());
    // The desk need not notice at the first line: a process that another test is about to start may hold a copy of the
    // pipe until it runs.
    while desk.stdin.write_all(b"A\n").is_ok() {}
    let (_, messages) = desk.end();
    assert_eq!(messages, "");
}

#[test]
fn messages_that_nobody_reads_are_not_missed() {
    let mut desk = Desk::open();
    drop(desk.child.stderr.take());
    desk.write("X\nA\n");
    desk.read_until("0 Processing event A, blocking on B\n");
    desk.end_input();
}

#[cfg(unix)]
#[test]
fn input_that_cannot_be_read_is_an_error() {
    let folder = std::fs::File::open(env!("CARGO_MANIFEST_DIR")).unwrap();
    let output = command(&[]).stdin(folder).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "Task queue size 0\n> ");
    let message = text(&output.stderr);
    assert!(
        message.starts_with("antiphon: can't read the events: "),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = command(&[])
        .stdin(Stdio::null())
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(
        message.starts_with("antiphon: can't write what happened: "),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn colour_is_for_the_messages_alone() {
    let coloured = run(&["--plain", "--color", "always"], b"B\n");
    assert_eq!(
        text(&coloured.stdout),
        "Task queue size 0\n> Task queue size 0\n> "
    );
    assert!(text(&coloured.stderr).contains("\x1b["));
    let plain = run(&["--plain", "--color", "auto"], b"B\n");
    assert_eq!(
        text(&plain.stderr),
        "antiphon: line 1: nobody waits for B\n"
    );
}

#[test]
fn help_teaches() {
    for arguments in [&["--help"][..], &["desk", "--help"]] {
        let output = run(arguments, b"");
        assert!(output.status.success());
        let help = text(&output.stdout);
        for taught in [
            "Example:",
            "Exit status:",
            "--plain",
            "--color <WHEN>",
            "Ctrl-C",
        ] {
            assert!(help.contains(taught), "{taught}: {help}");
        }
    }
}

/// The session that `--help` shows is a real one.
#[test]
fn the_example_in_the_help_is_true() {
    let output = run(&["--help"], b"");
    let help = text(&output.stdout);
    let session = run(&["desk", "--plain"], b"A\nB\nC\n");
    for line in text(&session.stdout).lines() {
        let line = format!("\n  {line}\n");
        assert!(help.contains(&line), "{line:?}");
    }
}

#[test]
fn arguments_that_mean_nothing_are_refused() {
    for arguments in [
        &["--quick"][..],
        &["counter"],
        &["--color", "pink"],
        &["desk", "A"],
    ] {
        let output = run(arguments, b"");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
    }
}

/// Runs the desk on `input`, and compares both streams to the byte. It ends well.
#[track_caller]
fn check(input: &[u8], stdout: &str, stderr: &str) {
    let output = run(&["desk", "--plain"], input);
    assert_eq!(text(&output.stdout), stdout);
    assert_eq!(text(&output.stderr), stderr);
    assert_eq!(output.status.code(), Some(0));
}

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // On a thread of its own, so that neither side waits for the other to read. A desk that doesn't read its input,
    // such as one that prints its help, has closed it.
    std::thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_antiphon"));
    command
        .args(arguments)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[track_caller]
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A desk in the middle of a conversation.
struct Desk {
    child: Child,
    stdin: ChildStdin,
    stdout: Option<ChildStdout>,
}

impl Desk {
    fn open() -> Self {
        let mut child = command(&["desk", "--plain"]).spawn().unwrap();
        Self {
            stdin: child.stdin.take().unwrap(),
            stdout: child.stdout.take(),
            child,
        }
    }

    fn write(&mut self, lines: &str) {
        self.stdin.write_all(lines.as_bytes()).unwrap();
    }

    /// Reads up to and including `end`.
    fn read_until(&mut self, end: &str) {
        let mut read = Vec::new();
        let mut byte = [0];
        while !read.ends_with(end.as_bytes()) {
            let stdout = self.stdout.as_mut().unwrap();
            stdout.read_exact(&mut byte).unwrap();
            read.extend(byte);
        }
    }

    #[cfg(unix)]
    fn interrupt(&self) {
        use nix::sys::signal::{Signal, kill};
        use nix::unistd::Pid;

        let id = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(id, Signal::SIGINT).unwrap();
    }

    /// Ends the input, and waits for the desk to end well. Returns what is left to read, of both streams.
    fn end_input(self) -> (String, String) {
        let Self {
            child,
            stdin,
            stdout,
        } = self;
        drop(stdin);
        end(child, stdout)
    }

    /// Waits for the desk to end well although its input goes on.
    fn end(self) -> (String, String) {
        let Self {
            child,
            stdin,
            stdout,
        } = self;
        let rest = end(child, stdout);
        drop(stdin);
        rest
    }
}

fn end(mut child: Child, stdout: Option<ChildStdout>) -> (String, String) {
    child.stdout = stdout;
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    (
        text(&output.stdout).to_owned(),
        text(&output.stderr).to_owned(),
    )
}
