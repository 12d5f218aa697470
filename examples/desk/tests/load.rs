//! `--load`: what is counted is exact. What is measured is there, and not compared with anything.

use std::process::{Command, Output};

#[test]
fn each_event_resumes_each_coroutine_once() {
    for (load, counts) in [
        ("0", "0 coroutines, 0 events, 0 resumptions, 0 done"),
        ("1", "1 coroutines, 3 events, 3 resumptions, 1 done"),
        (
            "20000",
            "20000 coroutines, 60000 events, 60000 resumptions, 20000 done",
        ),
    ] {
        let output = run(&["desk", "--load", load]);
        assert!(output.status.success());
        assert_eq!(output.stderr, b"");
        let report = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = report.lines().collect();
        assert_eq!(lines.len(), 3, "{report}");
        assert_eq!(lines[0], counts);
        assert!(lines[2].contains("bytes per waiting coroutine"), "{report}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn memory_is_measured_where_the_system_tells() {
    let output = run(&["--load", "20000"]);
    let report = String::from_utf8(output.stdout).unwrap();
    let bytes = report.lines().last().unwrap().split(' ').next().unwrap();
    assert!(bytes.parse::<u64>().unwrap() > 0, "{report}");
}

#[test]
fn a_load_is_a_number_and_stands_alone() {
    for arguments in [
        &["--load", "many"][..],
        &["--load", "-1"],
        &["--load"],
        &["--load", "1", "--plain"],
        &["desk", "--load", "1", "--listen", "127.0.0.1:0"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_antiphon"));
    command.args(arguments).output().unwrap()
}
