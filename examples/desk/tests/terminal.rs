//! The desk in a terminal: what a person sees on an emulated screen, key by key.
//!
//! Nothing here sleeps. A test waits until the screen shows what it waits for, and reads whatever comes until then;
//! only a desk that says nothing for [`PATIENCE`] fails for being late.
#![cfg(unix)]
#![expect(
    clippy::needless_raw_string_hashes,
    reason = "`UPDATE_EXPECT=1` writes them so"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use expect_test::{Expect, expect};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::termios::{LocalModes, tcgetattr};
use vt100::{Cell, Color, Parser};

#[test]
fn a_picture_follows_each_event() {
    let mut terminal = Terminal::open(&[], &[]);
    for event in ["A", "A", "A", "B"] {
        terminal.enter(event);
    }
    terminal.end_with(
        CTRL_D,
        expect![[r#"
        Coroutines wait here for A, B, C. Tab completes, help explains, Ctrl-D leaves.
        > A
          ready queue    0
          └▶ worker      0 Processing event A, blocking on B
             └▶ queue A
                queue B  0  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                queue C
        > A
          ready queue    1
          └▶ worker      1 Processing event A, blocking on B
             └▶ queue A
                queue B  0 1  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                queue C
        > A
          ready queue    2
          └▶ worker      2 Processing event A, blocking on B
             └▶ queue A
                queue B  0 1 2  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                queue C
        > B
          ready queue    0
          └▶ worker      0 Processing event B, blocking on C
             └▶ queue A
                queue B  1 2  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                queue C  0    orders.rs:50  let Ok(event) = co.yield_(C).await else {
        >
        0 Closed while blocking on C
        1 Closed while blocking on B
        2 Closed while blocking on B
    "#]],
    );
}

#[test]
fn what_is_no_event_and_what_nobody_waits_for() {
    let mut terminal = Terminal::open(&[], &[]);
    for line in ["", "b", "order", "C"] {
        terminal.enter(line);
    }
    terminal.end_with(
        CTRL_D,
        expect![[r#"
        Coroutines wait here for A, B, C. Tab completes, help explains, Ctrl-D leaves.
        >
          an empty line is not an event; the events are A, B, C
        > b
          "b" is not an event; did you mean B?
        > order
          "order" is not an event; the events are A, B, C
        > C
          ready queue    empty
          └▶ worker      idle, nobody waits for C
             └▶ queue A
                queue B
                queue C
        >
    "#]],
    );
}

#[test]
fn help_tells_what_each_event_would_do_now() {
    let mut terminal = Terminal::open(&[], &[]);
    for line in ["A", "help"] {
        terminal.enter(line);
    }
    terminal.end_with(
        "quit\r",
        expect![[r#"
            Coroutines wait here for A, B, C. Tab completes, help explains, Ctrl-D leaves.
            > A
              ready queue    0
              └▶ worker      0 Processing event A, blocking on B
                 └▶ queue A
                    queue B  0  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                    queue C
            > help
              An event resumes the first coroutine that waits for it, or starts one. Now
                A     starts 1
                B     resumes 0
                C     finds nobody waiting
              and besides
                after 5s B  lets B happen in 5s; there are ms, s, m and h
                timers      lists what is still to happen
                tree        shows what each task of the loop waits for
                help        shows this
                quit        closes the desk, as Ctrl-C and Ctrl-D do
            > quit
            0 Closed while blocking on B
        "#]],
    );
}

#[test]
fn tab_completes() {
    let mut terminal = Terminal::open(&[], &[]);
    terminal.press(TAB);
    terminal.wait_for("A       B       C       after   timers  tree    help    quit");
    terminal.wait_for_line(">");
    terminal.press("he\t");
    terminal.wait_for_line("> help");
    terminal.press(CTRL_U);
    terminal.wait_for_line(">");
    terminal.press("a\t");
    terminal.wait_for_line("> A  starts 0");
    terminal.end_with(
        CTRL_C,
        expect![[r#"
        Coroutines wait here for A, B, C. Tab completes, help explains, Ctrl-D leaves.
        >
        A       B       C       after   timers  tree    help    quit
        > A  starts 0
    "#]],
    );
}

#[test]
fn a_hint_is_for_reading_only() {
    let mut terminal = Terminal::open(&[], &[]);
    terminal.enter("A");
    terminal.press("B");
    terminal.wait_for_line("> B  resumes 0");
    terminal.press(RIGHT);
    terminal.enter("");
    terminal.end_with(
        CTRL_C,
        expect![[r#"
        Coroutines wait here for A, B, C. Tab completes, help explains, Ctrl-D leaves.
        > A
          ready queue    0
          └▶ worker      0 Processing event A, blocking on B
             └▶ queue A
                queue B  0  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                queue C
        > B
          ready queue    0
          └▶ worker      0 Processing event B, blocking on C
             └▶ queue A
                queue B
                queue C  0  orders.rs:50  let Ok(event) = co.yield_(C).await else {
        >
        0 Closed while blocking on C
    "#]],
    );
}

#[test]
fn arrow_up_brings_earlier_lines_back() {
    let mut terminal = Terminal::open(&[], &[]);
    terminal.enter("A");
    terminal.enter("B");
    terminal.press(UP);
    terminal.wait_for_line("> B  finds nobody waiting");
    terminal.press(UP);
    terminal.wait_for_line("> A  starts 1");
    terminal.enter("");
    terminal.end_with(
        CTRL_C,
        expect![[r#"
        Coroutines wait here for A, B, C. Tab completes, help explains, Ctrl-D leaves.
        > A
          ready queue    0
          └▶ worker      0 Processing event A, blocking on B
             └▶ queue A
                queue B  0  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                queue C
        > B
          ready queue    0
          └▶ worker      0 Processing event B, blocking on C
             └▶ queue A
                queue B
                queue C  0  orders.rs:50  let Ok(event) = co.yield_(C).await else {
        > A
          ready queue    1
          └▶ worker      1 Processing event A, blocking on B
             └▶ queue A
                queue B  1  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                queue C  0  orders.rs:50  let Ok(event) = co.yield_(C).await else {
        >
        0 Closed while blocking on C
        1 Closed while blocking on B
    "#]],
    );
}

#[test]
fn a_line_can_be_edited() {
    let mut terminal = Terminal::open(&[], &[]);
    terminal.press("B");
    terminal.wait_for_line("> B  finds nobody waiting");
    terminal.press(BACKSPACE);
    terminal.wait_for_line(">");
    terminal.enter("A");
    terminal.end_with(
        CTRL_D,
        expect![[r#"
        Coroutines wait here for A, B, C. Tab completes, help explains, Ctrl-D leaves.
        > A
          ready queue    0
          └▶ worker      0 Processing event A, blocking on B
             └▶ queue A
                queue B  0  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                queue C
        >
        0 Closed while blocking on B
    "#]],
    );
}

#[test]
fn ctrl_c_in_the_middle_of_a_line_closes_the_desk() {
    let mut terminal = Terminal::open(&[], &[]);
    terminal.enter("A");
    terminal.press("x");
    terminal.wait_for_line("> x");
    terminal.end_with(
        CTRL_C,
        expect![[r#"
        Coroutines wait here for A, B, C. Tab completes, help explains, Ctrl-D leaves.
        > A
          ready queue    0
          └▶ worker      0 Processing event A, blocking on B
             └▶ queue A
                queue B  0  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                queue C
        > x
        0 Closed while blocking on B
    "#]],
    );
}

#[test]
fn what_is_typed_ahead_is_not_lost() {
    let mut terminal = Terminal::open(&[], &[]);
    terminal.press("A\rA\rB\r");
    terminal.wait_for("1 Processing event A, blocking on B");
    terminal.wait_for("0 Processing event B, blocking on C");
    terminal.wait_for_line(">");
    terminal.press(CTRL_C);
    terminal.wait_for_end();
}

#[test]
fn pasted_lines_are_events_each() {
    let mut terminal = Terminal::open(&[], &[]);
    terminal.press("\x1b[200~A\nB\n\x1b[201~");
    terminal.enter("");
    terminal.end_with(
        CTRL_D,
        expect![[r#"
        Coroutines wait here for A, B, C. Tab completes, help explains, Ctrl-D leaves.
        > A
        B

          ready queue    0
          └▶ worker      0 Processing event A, blocking on B
             └▶ queue A
                queue B  0  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                queue C
          ready queue    0
          └▶ worker      0 Processing event B, blocking on C
             └▶ queue A
                queue B
                queue C  0  orders.rs:50  let Ok(event) = co.yield_(C).await else {
        >
        0 Closed while blocking on C
    "#]],
    );
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    let mut terminal = Terminal::open(&[], &[]);
    let row = terminal.row();
    terminal.press_bytes(b"\xff");
    terminal.wait_for_prompt_below(row);
    terminal.enter("A");
    terminal.end_with(
        CTRL_D,
        expect![[r#"
        Coroutines wait here for A, B, C. Tab completes, help explains, Ctrl-D leaves.
        >
          the line is not valid UTF-8; the events are A, B, C
        > A
          ready queue    0
          └▶ worker      0 Processing event A, blocking on B
             └▶ queue A
                queue B  0  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                queue C
        >
        0 Closed while blocking on B
    "#]],
    );
}

#[test]
fn what_others_do_is_shown_above_the_line_that_is_edited() {
    let mut terminal = Terminal::open(&["--listen", "127.0.0.1:0"], &[]);
    let mut client = terminal.connect();
    terminal.press("after 1h B");
    terminal.wait_for_line("> after 1h B");
    terminal.press(LEFT);
    terminal.wait_until("the cursor to move", |terminal| terminal.column() == 11);
    client.write_all(b"A\nB\n").unwrap();
    terminal.wait_for("0 Processing event B, blocking on C");
    terminal.wait_for_line("> after 1h B");
    // The cursor is where it was, before the last letter.
    assert_eq!(terminal.column(), 11);
    terminal.press(BACKSPACE);
    terminal.press(BACKSPACE);
    terminal.press("m ");
    terminal.wait_for_line("> after 1m B");
    terminal.press(CTRL_C);
    terminal.wait_for_end();
    let text = terminal
        .text()
        .replace(&client.local_addr().unwrap().to_string(), "CLIENT");
    let text = text.replace(&client.peer_addr().unwrap().to_string(), "DESK");
    expect![[r#"
        antiphon: listening at DESK
        Coroutines wait here for A, B, C. Tab completes, help explains, Ctrl-D leaves.
        CLIENT > A
          ready queue    0
          └▶ worker      0 Processing event A, blocking on B
             └▶ queue A
                queue B  0  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                queue C
        CLIENT > B
          ready queue    0
          └▶ worker      0 Processing event B, blocking on C
             └▶ queue A
                queue B
                queue C  0  orders.rs:50  let Ok(event) = co.yield_(C).await else {
        > after 1m B
        0 Closed while blocking on C
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_line_of_several_rows_moves_down_as_one() {
    let mut terminal = Terminal::open(&["--listen", "127.0.0.1:0"], &[]);
    let mut client = terminal.connect();
    let long = "x".repeat(100);
    terminal.press(&long);
    terminal.wait_for_line(&"x".repeat(22));
    client.write_all(b"A\n").unwrap();
    terminal.wait_for("0 Processing event A, blocking on B");
    terminal.wait_for_line(&"x".repeat(22));
    terminal.press(CTRL_U);
    terminal.wait_for_line(">");
    assert!(!terminal.text().contains("xx"), "{}", terminal.text());
    terminal.press(CTRL_D);
    terminal.wait_for_end();
}

#[test]
fn a_hint_tells_what_others_have_changed() {
    let mut terminal = Terminal::open(&["--listen", "127.0.0.1:0"], &[]);
    let mut client = terminal.connect();
    terminal.press("B");
    terminal.wait_for_line("> B  finds nobody waiting");
    client.write_all(b"A\n").unwrap();
    terminal.wait_for_line("> B  resumes 0");
    terminal.press(CTRL_C);
    terminal.wait_for_end();
}

#[test]
fn a_timer_is_listed_and_happens_while_nobody_types() {
    let mut terminal = Terminal::open(&[], &[]);
    terminal.enter("after 2h C");
    terminal.enter("A");
    terminal.enter("timers");
    terminal.enter("after 1x C");
    terminal.press("after 1ms B\r");
    terminal.wait_for("0 Processing event B, blocking on C");
    terminal.wait_for_line(">");
    terminal.end_with(
        CTRL_D,
        expect![[r#"
            Coroutines wait here for A, B, C. Tab completes, help explains, Ctrl-D leaves.
            > after 2h C
              timer 0: C in 2h
            > A
              ready queue    0
              └▶ worker      0 Processing event A, blocking on B
                 └▶ queue A
                    queue B  0  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                    queue C
              timers         C in 2h
            > timers
              timer 0: C in 2h
            > after 1x C
              "1x" is not a duration; write a number and a unit: 250ms, 5s, 2m, 1h
            > after 1ms B
              timer 1: B in 1ms
            timer 1 > B
              ready queue    0
              └▶ worker      0 Processing event B, blocking on C
                 └▶ queue A
                    queue B
                    queue C  0  orders.rs:50  let Ok(event) = co.yield_(C).await else {
              timers         C in 2h
            >
            0 Closed while blocking on C
        "#]],
    );
}

#[test]
fn the_tree_shows_each_coroutine_and_where_it_waits() {
    let mut terminal = Terminal::open(&[], &[]);
    terminal.enter("A");
    terminal.enter("tree");
    assert!(terminal.text().contains("`order 0` waiting"));
    assert!(terminal.text().contains("event hub at"));
    terminal.press(CTRL_D);
    terminal.wait_for_end();
}

/// The original heard a signal from elsewhere at the next key, and SIGTERM not at all.
#[test]
fn a_signal_from_elsewhere_is_heard_while_a_line_is_edited() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut terminal = Terminal::open(&[], &[]);
        terminal.enter("A");
        terminal.press("x");
        terminal.wait_for_line("> x");
        // In the middle of a key.
        terminal.press("\x1b");
        terminal.signal(signal);
        terminal.wait_for_end();
        // If that key comes through after the desk has put the terminal back, the terminal echoes it.
        let text = terminal.text().replace("^[", "");
        let text = text.trim_end();
        assert!(
            text.ends_with("\n> x\n0 Closed while blocking on B"),
            "{text}"
        );
    }
}

/// What is blocked here for the editor's sake is inherited: SIGTERM must not be.
#[test]
fn a_command_that_hangs_is_ended_with_the_terminal() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut terminal = Terminal::open(&["--exec", "sleep 3600 0"], &[]);
        for event in ["A", "B", "C", "A"] {
            terminal.enter(event);
        }
        terminal.press("x");
        terminal.wait_for_line("> x");
        terminal.signal(signal);
        terminal.wait_for_end();
        let text = terminal.text();
        let end = "\n1 Closed while blocking on B\nexec 0: ended, because the desk closes";
        assert!(text.trim_end().ends_with(end), "{text}");
    }
}

#[test]
fn the_terminal_is_left_as_it_was() {
    let (fresh, _pts) = pty_process::blocking::open().unwrap();
    let original = tcgetattr(&fresh).unwrap().local_modes;
    let mut terminal = Terminal::open(&[], &[]);
    assert_ne!(terminal.modes(), original, "a line is edited in raw mode");
    terminal.signal(Signal::SIGTERM);
    terminal.wait_for_end();
    assert_eq!(terminal.modes(), original);
}

#[test]
fn colour_is_there_and_can_be_refused() {
    let is_coloured = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut terminal = Terminal::open(arguments, environment);
        terminal.enter("A");
        terminal.enter("x");
        terminal.press("B");
        terminal.wait_for_line("> B  resumes 0");
        terminal.press(CTRL_C);
        terminal.wait_for_end();
        terminal
            .cells()
            .any(|cell| cell.fgcolor() != Color::Default || cell.bold() || cell.dim())
    };
    assert!(is_coloured(&[], &[]));
    assert!(!is_coloured(&[], &[("NO_COLOR", "1")]));
    assert!(!is_coloured(&["--color", "never"], &[]));
    assert!(is_coloured(&["--color", "always"], &[("NO_COLOR", "1")]));
}

#[test]
fn a_plain_desk_in_a_terminal() {
    check_plain(Terminal::open(&["--plain"], &[]));
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_the_plain_desk() {
    check_plain(Terminal::open(&[], &[("TERM", "dumb")]));
}

/// The terminal itself echoes what is typed here, and turns Ctrl-C into SIGINT.
#[track_caller]
fn check_plain(mut terminal: Terminal) {
    terminal.enter("A");
    terminal.press(CTRL_C);
    terminal.wait_for_end();
    // The kernel sends the signal first and echoes the key second, so the echo may come after the farewell.
    let text = terminal.text().replace("^C", "");
    let expected = "\
Task queue size 0
> A
0 Processing event A, blocking on B
Task queue size 1
>
0 Closed while blocking on B";
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    assert_eq!(lines.join("\n").trim_end(), expected);
}

const TAB: &str = "\t";
const BACKSPACE: &str = "\x7f";
const UP: &str = "\x1b[A";
const LEFT: &str = "\x1b[D";
const RIGHT: &str = "\x1b[C";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_U: &str = "\x15";

/// How long a desk may be silent, in a test that waits for it. Far longer than any machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

const ROWS: NonZeroU16 = NonZeroU16::new(50).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(80).unwrap();

/// A desk, the screen on which it writes, and the keyboard.
struct Terminal {
    child: Child,
    keyboard: File,
    /// What the desk writes, until it ends.
    output: Receiver<Vec<u8>>,
    parser: Parser,
}

impl Terminal {
    /// Opens the desk, and waits for its first prompt.
    fn open(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let (pty, pts) = pty_process::blocking::open().unwrap();
        pty.resize(pty_process::Size::new(ROWS.get(), COLUMNS.get()))
            .unwrap();
        let child = pty_process::blocking::Command::new(env!("CARGO_BIN_EXE_antiphon"))
            .args(arguments)
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR")
            .env_remove("CLICOLOR_FORCE")
            .env("TERM", "xterm-256color")
            .envs(environment.iter().copied())
            .spawn(pts)
            .unwrap();
        let keyboard = File::from(OwnedFd::from(pty));
        let screen = keyboard.try_clone().unwrap();
        let mut terminal = Self {
            child,
            keyboard,
            output: read_in_background(screen),
            parser: Parser::new(ROWS, COLUMNS, 0),
        };
        terminal.wait_for_line(">");
        terminal
    }

    /// Connects to the address that the desk has said.
    fn connect(&mut self) -> TcpStream {
        let text = self.text();
        let address = text
            .lines()
            .find_map(|line| line.strip_prefix("antiphon: listening at "));
        TcpStream::connect(address.unwrap()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(id, signal).unwrap();
    }

    fn modes(&self) -> LocalModes {
        tcgetattr(&self.keyboard).unwrap().local_modes
    }

    /// Types `line` and Enter, and waits for the next prompt.
    fn enter(&mut self, line: &str) {
        let row = self.row();
        self.press(line);
        self.press("\r");
        self.wait_for_prompt_below(row);
    }

    fn wait_for_prompt_below(&mut self, row: u16) {
        self.wait_until("the next prompt", |terminal| {
            terminal.row() > row && terminal.line() == ">" && terminal.column() == 2
        });
    }

    fn press(&mut self, keys: &str) {
        self.press_bytes(keys.as_bytes());
    }

    fn press_bytes(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// Waits until `text` is somewhere on the screen.
    fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |terminal| terminal.text().contains(text));
    }

    /// Waits until the line of the cursor is `text`.
    fn wait_for_line(&mut self, text: &str) {
        self.wait_until(text, |terminal| terminal.line() == text);
    }

    /// Presses the last keys, waits for the desk to end, and compares all that was on the screen.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "`expect![..]` is written in place"
    )]
    fn end_with(mut self, keys: &str, expected: Expect) {
        self.press(keys);
        self.wait_for_end();
        expected.assert_eq(&self.text());
    }

    /// Reads until the desk has ended, well, and left the terminal as it was.
    fn wait_for_end(&mut self) {
        while self.read() {}
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        assert!(!self.parser.screen().bracketed_paste());
    }

    fn wait_until(&mut self, what: &str, is_there: impl Fn(&Self) -> bool) {
        while !is_there(self) {
            assert!(
                self.read(),
                "the desk ended before {what:?}:\n{}",
                self.text()
            );
        }
    }

    /// Puts what the desk writes next on the screen. Returns `false` if it has ended.
    fn read(&mut self) -> bool {
        match self.output.recv_timeout(PATIENCE) {
            Ok(bytes) => {
                self.parser.process(&bytes);
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => panic!("the desk is silent:\n{}", self.text()),
        }
    }

    /// What is on the screen, without the blanks at the ends of lines.
    fn text(&self) -> String {
        let screen = self.parser.screen();
        let lines: Vec<String> = screen
            .rows(0, COLUMNS.get())
            .map(|line| line.trim_end().to_owned())
            .collect();
        lines.join("\n").trim_end().to_owned() + "\n"
    }

    /// The line of the cursor.
    fn line(&self) -> String {
        let mut rows = self.parser.screen().rows(0, COLUMNS.get());
        let line = rows.nth(self.row().into()).unwrap();
        line.trim_end().to_owned()
    }

    fn cells(&self) -> impl Iterator<Item = &Cell> {
        let screen = self.parser.screen();
        (0..ROWS.get()).flat_map(move |row| {
            (0..COLUMNS.get()).filter_map(move |column| screen.cell(row, column))
        })
    }

    fn row(&self) -> u16 {
        self.parser.screen().cursor_position().0
    }

    fn column(&self) -> u16 {
        self.parser.screen().cursor_position().1
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed leaves no desk behind. One that has ended can't be killed, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads `screen` on a thread of its own. The channel closes when the program at the other side has ended.
fn read_in_background(mut screen: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        let mut ends = 0;
        // The end is `EIO` on Linux, and 0 elsewhere. Linux can report it once while the last words are still on their
        // way from the other side; they have arrived at the next read.
        while ends < 2 {
            match screen.read(&mut buffer) {
                Ok(len @ 1..) => {
                    ends = 0;
                    if sender.send(buffer[..len].to_vec()).is_err() {
                        return;
                    }
                }
                Ok(0) | Err(_) => ends += 1,
            }
        }
    });
    receiver
}
