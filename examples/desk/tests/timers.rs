//! Events that happen later, at a pipe.

use std::io::Write;
use std::process::{Command, Output, Stdio};

#[test]
fn the_desk_stays_open_until_the_last_timer_has_happened() {
    let output = run(b"A\nafter 1ms B\n");
    assert_eq!(
        text(&output.stdout),
        "\
Task queue size 0
> 0 Processing event A, blocking on B
Task queue size 1
> Task queue size 1
> 0 Processing event B, blocking on C
Task queue size 1
> 
0 Closed while blocking on C
"
    );
    assert_eq!(
        text(&output.stderr),
        "antiphon: line 2: timer 0: B in 1ms\n"
    );
}

#[test]
fn timers_happen_in_the_order_of_their_moments() {
    let output = run(b"after 60ms C\nafter 30ms B\nA\n");
    let transcript = text(&output.stdout);
    let happened: Vec<_> = transcript.split("Processing event ").skip(1).collect();
    let order: String = happened.iter().map(|event| &event[..1]).collect();
    assert_eq!(order, "ABC", "{transcript}");
}

#[test]
fn those_that_are_set_together_happen_in_their_order() {
    let input = "after 10ms A\nafter 10ms A\nafter 10ms B\nafter 10ms C\n";
    let output = run(input.as_bytes());
    assert!(text(&output.stdout).ends_with(
        "\
> 0 Processing event A, blocking on B
Task queue size 1
> 1 Processing event A, blocking on B
Task queue size 2
> 0 Processing event B, blocking on C
Task queue size 2
> 0 Processing event C, task done
Task queue size 1
> 
1 Closed while blocking on B
"
    ));
}

#[test]
fn a_timer_that_nobody_waits_for_says_so() {
    let output = run(b"after 0s B\n");
    assert_eq!(
        text(&output.stderr),
        "antiphon: line 1: timer 0: B in 0ms\nantiphon: timer 0: nobody waits for B\n"
    );
}

#[test]
fn quit_does_not_wait_for_timers() {
    let output = run(b"A\nafter 8760h B\ntimers\nquit\nA\n");
    assert!(text(&output.stdout).ends_with("> \n0 Closed while blocking on B\n"));
    assert_eq!(
        text(&output.stderr),
        "\
antiphon: line 2: timer 0: B in 8760h
antiphon: line 3: timer 0: B in 8760h
"
    );
}

#[test]
fn a_bad_duration_is_one_clear_line() {
    let output = run(b"after 5 B\nafter 9000h B\nafter 5s X\nafter 5s\n");
    assert_eq!(
        text(&output.stderr),
        r#"antiphon: line 1: "5" is not a duration; write a number and a unit: 250ms, 5s, 2m, 1h
antiphon: line 2: "9000h" is longer than 365 days, the longest wait
antiphon: line 3: "X" is not an event; the events are A, B, C
antiphon: line 4: after what, and which event? For example: after 5s B
"#
    );
}

#[test]
fn there_is_a_limit_to_the_timers_that_wait() {
    let mut input = "after 1h A\n".repeat(10_001);
    input += "quit\n";
    let output = run(input.as_bytes());
    let messages = text(&output.stderr);
    assert_eq!(
        messages.lines().last(),
        Some("antiphon: line 10001: 10000 timers are pending, and that is all there can be")
    );
}

/// Runs the desk on `input`. It ends well.
fn run(input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_antiphon"))
        .args(["desk", "--plain"])
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A desk that was told to quit doesn't read all.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    assert_eq!(output.status.code(), Some(0));
    output
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
