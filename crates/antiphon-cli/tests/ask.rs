//! The real binary, asking a real program.

use std::fs;
use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use antiphon::context::with;
use antiphon::io::Read;
use antiphon::net::UnixStream;
use antiphon::{TaskBuilder, inspect, run, yield_now};

/// A program that can be looked at, until it is ended.
struct Program {
    path: PathBuf,
    end: StdStream,
    thread: JoinHandle<io::Result<()>>,
}

impl Program {
    fn start(name: &str) -> Self {
        let path = path(name);
        let at = path.clone();
        let (end, theirs) = StdStream::pair().unwrap();
        let (open, opened) = mpsc::channel();
        let thread = thread::spawn(move || {
            run(async || {
                with(inspect::open(&at), async |_inspector| {
                    let mut stream = UnixStream::from_std(theirs)?;
                    let patient = TaskBuilder::new()
                        .name("patient")
                        .spawn(async move || stream.read(&mut [0]).await);
                    // It waits before anybody looks.
                    yield_now().await?;
                    open.send(()).unwrap();
                    assert_eq!(patient.await.unwrap()?, 0);
                    Ok::<(), io::Error>(())
                })
                .await
            })
        });
        opened.recv().unwrap();
        Self { path, end, thread }
    }

    fn end(self) {
        self.end.shutdown(Shutdown::Both).unwrap();
        self.thread.join().unwrap().unwrap();
        assert!(!self.path.exists(), "the socket is removed");
    }

    fn look(&self, arguments: &[&str]) -> Output {
        let mut arguments = arguments.to_vec();
        arguments.push(self.path.to_str().unwrap());
        cli(&arguments)
    }
}

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("antiphon-cli-{name}-{}", std::process::id()))
}

fn cli(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_antiphon-cli"))
        .args(arguments)
        .output()
        .unwrap()
}

#[track_caller]
fn printed(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

#[track_caller]
fn refused(output: &Output, code: i32) -> &str {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn the_tasks_of_a_program_are_shown() {
    let program = Program::start("shown");

    let output = program.look(&["ps"]);
    let lines: Vec<&str> = printed(&output).lines().collect();
    assert!(lines[0].starts_with("ID  PARENT  STATE"), "{lines:#?}");
    let column = lines[0].find("WAITS FOR").unwrap();
    let patient = lines.iter().find(|line| line.contains("  patient  "));
    let patient = patient.expect("a line for each task");
    assert!(patient[column..].starts_with("unix read "), "{lines:#?}");
    assert!(patient.contains("tests/ask.rs"), "{lines:#?}");

    let output = program.look(&["tree"]);
    let lines: Vec<&str> = printed(&output).lines().collect();
    assert!(lines[0].starts_with("1 `main` waiting"), "{lines:#?}");
    let is_childs = |line: &&str| line.starts_with("  ") && line.contains("`patient` waiting");
    assert!(lines.iter().any(is_childs), "{lines:#?}");

    for command in ["ps", "tree"] {
        let output = program.look(&[command, "--json"]);
        let json = printed(&output);
        assert!(json.starts_with("{\"tasks\":[{\"id\":1,"), "{json}");
        assert!(json.ends_with("]}\n"), "{json}");
    }
    program.end();
}

#[test]
fn why_there_is_no_answer_is_said() {
    let path = path("no-answer");
    let socket = path.to_str().unwrap();
    let output = cli(&["ps", socket]);
    assert!(refused(&output, 1).contains("there is no such socket"));

    let listener = StdListener::bind(&path).unwrap();
    let stranger = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 mail.example ESMTP\n").unwrap();
    });
    let output = cli(&["ps", socket]);
    stranger.join().unwrap();
    // Whether its answer arrives or its end comes first, it is none that is understood.
    refused(&output, 1);

    // A child that another test has just forked may hold the listener for a moment, until it is another program.
    let is_said = |_| refused(&cli(&["tree", socket]), 1).contains("nobody listens there");
    assert!((0..50).any(is_said));
    fs::remove_file(path).unwrap();
}

#[test]
fn wrong_arguments_are_told_with_the_right_ones() {
    for arguments in [
        &[][..],
        &["ps"],
        &["top", "x"],
        &["ps", "x", "y"],
        &["ps", "x", "--color"],
    ] {
        assert!(refused(&cli(arguments), 2).contains("Usage: antiphon-cli ps|tree SOCKET"));
    }
    assert!(printed(&cli(&["--help"])).contains("Usage:"));
}
