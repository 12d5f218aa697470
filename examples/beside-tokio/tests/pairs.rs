//! Each pair runs, and prints what the README says: the bug there, and not here.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What the two programs of a pair print.
struct Pair {
    tokio: String,
    antiphon: String,
}

/// Runs both programs of a pair; what they print is compared with the README.
macro_rules! pair {
    ($name:literal) => {{
        let tokio = run(env!(concat!("CARGO_BIN_EXE_", $name, "_tokio")), None);
        let antiphon = run(env!(concat!("CARGO_BIN_EXE_", $name, "_antiphon")), None);
        assert_eq!(tokio, in_readme(concat!($name, "_tokio")));
        assert_eq!(antiphon, in_readme(concat!($name, "_antiphon")));
        Pair { tokio, antiphon }
    }};
}

/// A dropped `read_exact` has taken half of a message with it; a cancelled one has taken nothing.
#[test]
fn bytes_are_lost_there() {
    let Pair { tokio, antiphon } = pair!("lost_bytes");
    assert!(tokio.contains("message: lowor\n") && !tokio.contains("hello"));
    assert!(antiphon.contains("message: hello\nmessage: world\n"));
}

/// The bytes stay in the stream, whatever it is that brings them.
#[test]
fn bytes_are_kept_on_readiness_as_well() {
    let program = env!("CARGO_BIN_EXE_lost_bytes_antiphon");
    assert_eq!(
        run(program, Some("readiness")),
        in_readme("lost_bytes_antiphon")
    );
}

/// A dropped transaction is left open; a cancelled one rolls back.
#[test]
fn a_transaction_is_left_open_there() {
    let Pair { tokio, antiphon } = pair!("rollback");
    assert!(tokio.ends_with("in a transaction: true\n") && !tokio.contains("ROLLBACK"));
    assert!(antiphon.ends_with("in a transaction: false\n") && antiphon.contains("ROLLBACK"));
    // Both callers hear of the same error.
    for transcript in [tokio, antiphon] {
        assert!(transcript.contains("transfer: timed out\n"));
    }
}

/// The lock is given to a future that nobody polls; the branches of a race are all polled.
#[test]
fn a_lock_is_held_by_nobody_there() {
    let Pair { tokio, antiphon } = pair!("futurelock");
    let until = "backup: done\n";
    let (tokio_before, tokio_after) = tokio.split_once(until).unwrap();
    let (antiphon_before, antiphon_after) = antiphon.split_once(until).unwrap();
    assert_eq!(tokio_before, antiphon_before);
    assert_eq!(tokio_after, "nothing happens for an hour\n");
    assert!(antiphon_after.starts_with("save: has the journal\n"));
}

/// Tasks that are left at the end are dropped there, and told here.
#[test]
fn nobody_says_goodbye_there() {
    let Pair { tokio, antiphon } = pair!("goodbye");
    for name in ["ada", "bob"] {
        assert!(tokio.contains(&format!("{name}: gone without a word\n")));
        assert!(antiphon.contains(&format!("{name}: goodbye\n")));
    }
    assert!(!tokio.contains("goodbye") && !antiphon.contains("gone"));
}

/// A task whose handle is dropped goes on; a child ends with its group.
#[test]
fn a_request_goes_on_after_its_answer_there() {
    let Pair { tokio, antiphon } = pair!("outlives");
    assert!(tokio.contains("request 1: charged\n") && tokio.ends_with("charges: 2\n"));
    assert!(!antiphon.contains("request 1: charged\n") && antiphon.ends_with("charges: 1\n"));
}

/// Each excerpt stands in the program that is linked before it, line for line.
#[test]
fn the_excerpts_are_of_the_programs() {
    let readme = readme();
    let mut excerpts = 0;
    for part in readme.split("\n\n[`").skip(1) {
        let (name, rest) = part.split_once('`').unwrap();
        let Some((_, rest)) = rest.split_once("```rust\n") else {
            panic!("{name}: no excerpt after the link")
        };
        let (excerpt, _) = rest.split_once("\n```").unwrap();
        let program = fs::read_to_string(folder().join(name)).unwrap();
        let lines: Vec<&str> = program.lines().map(str::trim).collect();
        let wanted: Vec<&str> = excerpt.lines().map(str::trim).collect();
        let is_in = lines.windows(wanted.len()).any(|window| window == wanted);
        assert!(is_in, "not in {name}:\n{excerpt}");
        excerpts += 1;
    }
    assert_eq!(excerpts, 10);
}

/// Runs a program, with this driver if it has a choice, and returns what it printed.
fn run(program: &str, driver: Option<&str>) -> String {
    let mut command = Command::new(program);
    match driver {
        Some(driver) => command.env("ANTIPHON_DRIVER", driver),
        None => command.env_remove("ANTIPHON_DRIVER"),
    };
    let output = command.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{program}: {errors}");
    assert_eq!(errors, "", "{program}");
    String::from_utf8(output.stdout).unwrap()
}

/// What the README says that a program prints.
fn in_readme(name: &str) -> String {
    let command = format!("$ cargo run -q --bin {name}\n");
    let readme = readme();
    let (_, rest) = readme.split_once(&command).unwrap();
    let (transcript, _) = rest.split_once("```").unwrap();
    transcript.to_owned()
}

fn readme() -> String {
    fs::read_to_string(folder().join("README.md")).unwrap()
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
