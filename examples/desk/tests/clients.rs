//! The desk at a socket: many clients, bad ones and dead ones, beside a pipe.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn an_answer_is_the_lines_of_the_transcript() {
    let desk = Desk::open();
    let answers = desk.talk(b"A\nA\nB\nC\nC\nquit\nA\n");
    assert_eq!(
        answers,
        "\
Task queue size 0
0 Processing event A, blocking on B
Task queue size 1
1 Processing event A, blocking on B
Task queue size 2
0 Processing event B, blocking on C
Task queue size 2
0 Processing event C, task done
Task queue size 1
nobody waits for C
Task queue size 1
"
    );
    let (transcript, messages) = desk.close();
    assert_eq!(
        transcript,
        "\
Task queue size 0
> 0 Processing event A, blocking on B
Task queue size 1
> 1 Processing event A, blocking on B
Task queue size 2
> 0 Processing event B, blocking on C
Task queue size 2
> 0 Processing event C, task done
Task queue size 1
> Task queue size 1
> 
1 Closed while blocking on B
"
    );
    assert_eq!(messages, "");
}

#[test]
fn what_is_wrong_with_a_line_is_one_line() {
    let desk = Desk::open();
    let mut input = b"b\n\n\xff\nafter\nafter 5 B\n".to_vec();
    input.extend(vec![b'x'; 100_000]);
    input.extend(b"\r\nA \r\nB");
    assert_eq!(
        desk.talk(&input),
        r#"Task queue size 0
error: "b" is not an event; did you mean B?
error: an empty line is not an event; the events are A, B, C
error: the line is not valid UTF-8; the events are A, B, C
error: after what, and which event? For example: after 5s B
error: "5" is not a duration; write a number and a unit: 250ms, 5s, 2m, 1h
error: the line is longer than 1024 bytes; the events are A, B, C
0 Processing event A, blocking on B
Task queue size 1
0 Processing event B, blocking on C
Task queue size 1
"#
    );
}

#[test]
fn commands_are_answered_like_events() {
    let desk = Desk::open();
    let answers = desk.talk(b"timers\nafter 2h A\ntimers\nhelp\nA\ntree\n");
    for expected in [
        "no timers; after 5s B sets one\nTask queue size 0\n",
        "timer 0: A in 2h\nTask queue size 0\ntimer 0: A in 2h\nTask queue size 0\n",
        "  A     starts 0\n",
        "ends this connection\n",
        "`order 0` waiting",
        "`timer 0` waiting",
        "`listener` waiting",
    ] {
        assert!(answers.contains(expected), "{expected}: {answers}");
    }
    assert!(answers.ends_with("\nTask queue size 1\n"), "{answers}");
}

#[test]
fn many_clients_and_the_pipe_share_one_desk() {
    const CLIENTS: usize = 50;
    let mut desk = Desk::open();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| desk.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.line(), "Task queue size 0");
    }
    // All at once, and then each hears of its own event only.
    for client in &mut clients {
        client.write(b"A\n");
    }
    let mut started: Vec<usize> = clients
        .iter_mut()
        .map(|client| {
            let said = client.line();
            let (id, rest) = said.split_once(' ').unwrap();
            assert_eq!(rest, "Processing event A, blocking on B");
            assert!(client.line().starts_with("Task queue size "));
            id.parse().unwrap()
        })
        .collect();
    started.sort_unstable();
    assert!(started.into_iter().eq(0..CLIENTS));
    desk.stdin.as_mut().unwrap().write_all(b"B\n").unwrap();
    desk.read_until("0 Processing event B, blocking on C\n");
    let last = &mut clients[CLIENTS - 1];
    last.write(b"C\n");
    assert_eq!(last.line(), "0 Processing event C, task done");
    assert_eq!(last.line(), format!("Task queue size {}", CLIENTS - 1));
}

/// It asks and asks, and never reads: at some point nothing more is read from it, and that is all.
#[test]
fn a_client_that_never_reads_stops_nobody_but_itself() {
    let desk = Desk::open();
    let mut deaf = desk.connect();
    deaf.stream.get_ref().set_nonblocking(true).unwrap();
    let questions = "help\n".repeat(1000);
    let mut asked = 0_usize;
    // The system's buffers between us are full when the desk has answered what it could, so others ask in between.
    let mut refusals = 0;
    while refusals < 20 {
        match deaf.stream.get_mut().write(questions.as_bytes()) {
            Ok(len) => asked += len,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                refusals += 1;
            }
        }
        assert_eq!(
            desk.talk(b"C\n"),
            "Task queue size 0\nnobody waits for C\nTask queue size 0\n"
        );
        assert!(asked < 1 << 30, "the desk takes whatever it is sent");
    }
    // It does not keep the desk from closing either.
    desk.close();
}

#[test]
fn clients_that_break_off_are_forgotten() {
    let desk = Desk::open();
    for _ in 0..20 {
        // Dropped with an answer that was not read: the connection is reset.
        let mut client = desk.connect();
        client.write(b"C\nhelp\nhel");
        assert_eq!(client.line(), "Task queue size 0");
        drop(client);
        drop(desk.connect());
    }
    let answers = desk.talk(b"tree\n");
    assert!(answers.contains("`listener` waiting"), "{answers}");
    desk.close();
}

#[test]
fn one_who_has_said_all_is_answered_to_the_end() {
    let desk = Desk::open();
    let answers = desk.talk("A\n".repeat(1000).as_bytes());
    assert_eq!(answers.lines().count(), 2001);
    assert!(answers.ends_with("999 Processing event A, blocking on B\nTask queue size 1000\n"));
}

#[test]
fn when_the_desk_closes_its_clients_hear_the_end() {
    let desk = Desk::open();
    let mut client = desk.connect();
    client.write(b"A\n");
    assert_eq!(client.line(), "Task queue size 0");
    assert_eq!(client.line(), "0 Processing event A, blocking on B");
    desk.interrupt(Signal::SIGTERM);
    let mut rest = String::new();
    client.stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "Task queue size 1\n");
    let (transcript, _) = desk.end();
    assert!(transcript.ends_with("> \n0 Closed while blocking on B\n"));
}

#[test]
fn the_end_of_the_pipe_is_not_the_end_of_the_clients() {
    let mut desk = Desk::open();
    drop(desk.stdin.take());
    let answers = desk.talk(b"A\nafter 1ms B\n");
    assert!(
        answers.ends_with("timer 0: B in 1ms\nTask queue size 1\n"),
        "{answers}"
    );
    desk.read_until("0 Processing event B, blocking on C\n");
    let (rest, _) = desk.close();
    assert_eq!(
        rest,
        "Task queue size 1\n> \n0 Closed while blocking on C\n"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn when_descriptors_run_out_it_is_said_and_survived() {
    let shell = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 32; exec \"$0\" desk --plain --listen 127.0.0.1:0",
        ])
        .arg(env!("CARGO_BIN_EXE_antiphon"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut desk = Desk::of(shell.unwrap());
    let clients: Vec<_> = (0..40).map(|_| desk.connect()).collect();
    let mut message = String::new();
    desk.stderr.read_line(&mut message).unwrap();
    assert!(
        message.starts_with("antiphon: can't accept more clients for now: "),
        "{message}"
    );
    drop(clients);
    assert_eq!(
        desk.talk(b"C\n"),
        "Task queue size 0\nnobody waits for C\nTask queue size 0\n"
    );
}

/// The desk may be looked at from outside, and the socket goes with it.
#[test]
fn its_tasks_can_be_looked_at() {
    let path = std::env::temp_dir().join(format!("antiphon-desk-{}", std::process::id()));
    let child = Command::new(env!("CARGO_BIN_EXE_antiphon"))
        .args(["desk", "--plain", "--listen", "127.0.0.1:0", "--inspect"])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut desk = Desk::of(child.unwrap());
    // It listens for those who look before it asks for the first line.
    desk.read_until("> ");
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"antiphon 1 ps\n").unwrap();
    let mut table = String::new();
    stream.read_to_string(&mut table).unwrap();
    assert!(table.starts_with("antiphon 1 ok\n"), "{table}");
    assert!(table.contains(" listener "), "{table}");
    desk.close();
    assert!(!path.exists());
}

#[test]
fn an_address_that_cannot_be_had_is_an_error() {
    let desk = Desk::open();
    for address in [&*desk.address, "nonsense", "127.0.0.1"] {
        let output = Command::new(env!("CARGO_BIN_EXE_antiphon"))
            .args(["--listen", address])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{address}");
        assert!(output.stdout.is_empty());
        let message = String::from_utf8(output.stderr).unwrap();
        let start = format!("antiphon: can't listen at {address}: ");
        assert!(message.starts_with(&start), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

/// A desk that listens, at a pipe.
struct Desk {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    stderr: BufReader<ChildStderr>,
    address: String,
}

impl Desk {
    fn open() -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_antiphon"))
            .args(["desk", "--plain", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self::of(child.unwrap())
    }

    fn of(mut child: Child) -> Self {
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line.strip_prefix("antiphon: listening at ").expect(&line);
        Self {
            address: address.trim_end().to_owned(),
            stdin: child.stdin.take(),
            stdout: child.stdout.take().unwrap(),
            stderr,
            child,
        }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(&self.address).unwrap();
        Client {
            stream: BufReader::new(stream),
        }
    }

    /// Says `input` as a client who has nothing to add, and returns all answers.
    fn talk(&self, input: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let mut writer = stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // Refused after `quit`.
                let _ = writer.write_all(input);
                let _ = writer.shutdown(Shutdown::Write);
            });
            let mut answers = Vec::new();
            // A desk that was told to quit has not read all: the end may be a reset.
            let _ = stream.read_to_end(&mut answers);
            String::from_utf8(answers).unwrap()
        })
    }

    /// Reads the transcript up to and including `end`.
    fn read_until(&mut self, end: &str) {
        let mut read = Vec::new();
        let mut byte = [0];
        while !read.ends_with(end.as_bytes()) {
            self.stdout.read_exact(&mut byte).unwrap();
            read.extend(byte);
        }
    }

    fn interrupt(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(id, signal).unwrap();
    }

    /// Presses Ctrl-C, and returns what is left of the transcript and of the messages.
    fn close(self) -> (String, String) {
        self.interrupt(Signal::SIGINT);
        self.end()
    }

    /// Waits for the desk to end well.
    fn end(mut self) -> (String, String) {
        let (mut transcript, mut messages) = (String::new(), String::new());
        self.stdout.read_to_string(&mut transcript).unwrap();
        self.stderr.read_to_string(&mut messages).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        (transcript, messages)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // A test that failed leaves no desk behind. One that has ended can't be killed, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// The next line, without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.strip_suffix('\n').expect("a whole line").to_owned()
    }
}
