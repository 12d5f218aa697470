//! Which driver a loop gets, and that it says why.

use std::process::Command;

use antiphon::{DriverKind, Runtime, RuntimeBuilder};

fn shown(builder: RuntimeBuilder) -> String {
    match builder.build() {
        Ok(runtime) => format!("{runtime:?}"),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn what_is_asked_for_is_what_runs() {
    let runtime = Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .unwrap();
    assert_eq!(runtime.driver(), "virtual time");
    let shown = shown(Runtime::builder().driver(DriverKind::Readiness));
    assert!(shown.contains("(as asked)"), "{shown}");
}

/// Where `io_uring` is refused the loop runs all the same; asked for by name, it is an error.
#[test]
fn a_refusal_is_an_error_only_if_it_was_asked_for() {
    if std::env::var_os("ANTIPHON_DRIVER").is_some() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "a_refusal_is_an_error_only_if_it_was_asked_for"]);
        assert!(
            again
                .env_remove("ANTIPHON_DRIVER")
                .status()
                .unwrap()
                .success()
        );
        return;
    }
    let best = shown(Runtime::builder());
    let uring = shown(Runtime::builder().driver(DriverKind::Uring));
    match uring.strip_prefix("error: ") {
        Some(refusal) => assert!(best.contains(refusal), "{best}"),
        None => assert!(best == uring && best.contains("io_uring ("), "{best}"),
    }
}

/// The environment is one for all threads, so a process of its own looks at it.
#[test]
fn the_environment_chooses_for_those_who_do_not() {
    const CHILD: &str = "ANTIPHON_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        println!("chosen: {}", shown(Runtime::builder()));
        return println!(
            "asked: {}",
            shown(Runtime::builder().driver(DriverKind::VirtualTime))
        );
    }
    for (named, expected) in [
        ("readiness", "(as asked)"),
        ("carrier pigeon", "error: ANTIPHON_DRIVER is"),
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "the_environment_chooses_for_those_who_do_not",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .env("ANTIPHON_DRIVER", named)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let line = |start| {
            said.lines()
                .find_map(|line| line.split(start).nth(1))
                .unwrap()
        };
        assert!(line("chosen: ").contains(expected), "{said}");
        assert!(line("asked: ").contains("virtual time"), "{said}");
    }
}
