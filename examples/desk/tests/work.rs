//! The desk at work: clients over several workers, all sources at once, and the end of it.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use nix::sys::signal::Signal;

use self::common::{Desk, Folder};

const CLIENTS: usize = 200;

#[test]
fn many_clients_over_two_workers_share_one_desk() {
    let folder = Folder::new();
    let socket = folder.join("socket");
    let socket = socket.to_str().unwrap();
    let mut desk = Desk::open(&[
        "--listen",
        "127.0.0.1:0",
        "--workers",
        "2",
        "--inspect",
        socket,
    ]);
    let address = address(&mut desk);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::connect(&address)).collect();
    for client in &mut clients {
        assert_eq!(client.line(), "Task queue size 0");
    }
    // The tree is that of the first worker, and the system has given it some of them.
    let tree = antiphon(&["tree", socket]);
    let tree = String::from_utf8(tree.stdout).unwrap();
    let here = tree.matches("`client ").count();
    assert!(0 < here && here < CLIENTS, "{here}\n{tree}");

    for client in &mut clients {
        client.write("A\n");
    }
    let mut started: Vec<usize> = clients.iter_mut().map(Client::started).collect();
    started.sort_unstable();
    assert!(
        started.into_iter().eq(0..CLIENTS),
        "each has its own number"
    );
    desk.signal(Signal::SIGINT);
    for client in &mut clients {
        assert_eq!(client.rest(), "", "the end, and no reset");
    }
    let (status, transcript, messages) = desk.end();
    assert_eq!(status.code(), Some(0), "{messages}");
    let (_, farewells) = transcript.split_once("> \n").expect(&transcript);
    let expected = (0..CLIENTS).map(|id| format!("{id} Closed while blocking on B"));
    assert!(farewells.lines().eq(expected), "{farewells}");
    assert_eq!(messages, "");
}

#[test]
fn with_everything_at_once_everyone_takes_their_leave() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (folder, scripts) = (Folder::new(), Folder::new());
        let command = scripts.script("exit 0");
        let mut desk = Desk::open(&[
            "--listen",
            "127.0.0.1:0",
            "--workers",
            "3",
            "--spool",
            folder.path(),
            "--exec",
            &command,
        ]);
        let address = address(&mut desk);
        desk.expect("Task queue size 0\n> ");
        let mut client = Client::connect(&address);
        assert_eq!(client.line(), "Task queue size 0");
        client.write("A\nafter 5h B\n");
        assert_eq!(client.started(), 0);
        assert_eq!(client.line(), "timer 0: B in 5h");
        assert_eq!(client.line(), "Task queue size 1");
        desk.expect("0 Processing event A, blocking on B\nTask queue size 1\n> ");
        desk.write("A\n");
        desk.expect("1 Processing event A, blocking on B\nTask queue size 2\n> ");
        folder.append("events", "A\nB\n");
        desk.expect("2 Processing event A, blocking on B\nTask queue size 3\n> ");
        desk.expect("0 Processing event B, blocking on C\nTask queue size 3\n> ");
        desk.signal(signal);
        let (status, rest, messages) = desk.end();
        assert_eq!(status.code(), Some(0), "{messages}");
        assert_eq!(
            rest,
            "\n0 Closed while blocking on C\n1 Closed while blocking on B\n2 Closed while blocking on B\n"
        );
        assert_eq!(messages, "");
    }
}

/// It can't be told anything, so it is ended: by the second signal, or when its grace is over.
#[test]
fn a_transcript_that_nobody_reads_does_not_keep_the_desk() {
    let mut desk = Desk::open(&[]);
    let mut stdin = desk.stdin.take().unwrap();
    // More than the pipes on both sides hold; the desk is stuck before it has read all.
    let writer =
        std::thread::spawn(
            move || {
                while stdin.write_all("A\n".repeat(1000).as_bytes()).is_ok() {}
            },
        );
    // The pipe is half full at least. How full it gets before the desk is stuck depends on how its writes share pages out.
    while desk.unread() < 32_000 {
        std::thread::yield_now();
    }
    // The system would count two of a kind as one, and hands out two kinds in an order of its own.
    desk.signal(Signal::SIGINT);
    desk.signal(Signal::SIGTERM);
    let status = desk.end_unread();
    writer.join().unwrap();
    let kinds = [Signal::SIGINT as i32, Signal::SIGTERM as i32];
    assert!(
        status.signal().is_some_and(|kind| kinds.contains(&kind)),
        "{status}"
    );
}

#[test]
fn the_tree_is_printed_at_a_signal_if_that_is_asked_for() {
    let folder = Folder::new();
    let socket = folder.join("socket");
    let mut desk = Desk::open(&["--inspect", socket.to_str().unwrap()]);
    desk.write("A\n");
    desk.expect("Task queue size 0\n> 0 Processing event A, blocking on B\nTask queue size 1\n> ");
    desk.signal(Signal::SIGUSR1);
    while !desk.message().contains("`order 0` waiting") {}
    desk.write("quit\n");
    let (status, rest, _) = desk.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(rest, "\n0 Closed while blocking on B\n");
}

#[test]
fn a_running_program_can_be_asked() {
    let folder = Folder::new();
    let socket = folder.join("socket");
    let socket = socket.to_str().unwrap();
    let mut desk = Desk::open(&["--inspect", socket]);
    desk.expect("Task queue size 0\n> ");
    for (arguments, start) in [
        (&["ps", socket][..], "ID  PARENT  STATE"),
        (&["tree", socket], "1 `main` waiting"),
        (&["tree", socket, "--json"], "{\"tasks\":[{\"id\":1,"),
    ] {
        let output = antiphon(arguments);
        assert_eq!(output.status.code(), Some(0));
        let picture = String::from_utf8(output.stdout).unwrap();
        assert!(picture.starts_with(start), "{picture}");
    }
    let output = antiphon(&["ps", folder.join("none").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.ends_with("none: there is no such socket\n"),
        "{message}"
    );
    assert_eq!(antiphon(&["ps"]).status.code(), Some(2));
}

#[test]
fn options_that_need_others_say_so() {
    for arguments in [
        &["--workers", "2"][..],
        &["--jobs", "2"],
        &["--listen", "127.0.0.1:0", "--workers", "0"],
        &["--exec", "true", "--jobs", "0"],
    ] {
        assert_eq!(antiphon(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

fn antiphon(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_antiphon"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Where the desk listens: its first message.
fn address(desk: &mut Desk) -> String {
    let message = desk.message();
    let address = message.strip_prefix("antiphon: listening at ");
    address.expect(&message).to_owned()
}

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    fn write(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The next line, without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.strip_suffix('\n').expect("a whole line").to_owned()
    }

    /// The number of the coroutine that its A has started.
    fn started(&mut self) -> usize {
        let said = self.line();
        let (id, rest) = said.split_once(' ').unwrap();
        assert_eq!(rest, "Processing event A, blocking on B");
        assert!(self.line().starts_with("Task queue size "));
        id.parse().unwrap()
    }

    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stream.read_to_string(&mut rest).unwrap();
        rest
    }
}
