//! The laws of `ARCHITECTURE.md` that a text scan can hold.

use std::fs;
use std::path::{Path, PathBuf};

/// The core reads no clock, starts no thread, does no I/O, and links no `std`.
#[test]
fn the_coroutine_knows_only_core() {
    for (path, text) in sources("crates/antiphon-coroutine/src") {
        for (number, line) in code_lines(&text) {
            for word in [
                "std::",
                "extern crate std",
                "thread_local",
                "Instant",
                "SystemTime",
            ] {
                assert!(
                    !line.contains(word),
                    "{}:{number}: `{word}`: {line}",
                    path.display()
                );
            }
        }
    }
}

/// Each `unsafe` of the library lives in one of these files. A new name here is a decision.
const UNSAFE: &[&str] = &[
    "crates/antiphon-coroutine/src/boot.rs",
    "crates/antiphon-coroutine/src/co.rs",
    "crates/antiphon-coroutine/src/coroutine.rs",
    "crates/antiphon-coroutine/src/slot.rs",
    "crates/antiphon/src/pool.rs",
    "crates/antiphon/src/sys/address.rs",
    "crates/antiphon/src/sys/linux/epoll.rs",
    "crates/antiphon/src/sys/linux/uring/flight.rs",
    "crates/antiphon/src/sys/linux/uring/flights.rs",
    "crates/antiphon/src/sys/linux/uring/mod.rs",
    "crates/antiphon/src/sys/linux/uring/pool.rs",
    "crates/antiphon/src/sys/linux/uring/ring.rs",
    "crates/antiphon/src/sys/signals/sigaction.rs",
    "crates/antiphon/src/sys/unix.rs",
    "crates/antiphon/src/task/cell.rs",
    "crates/antiphon/src/worker/current.rs",
    "crates/antiphon/src/worker/waker.rs",
];

#[test]
fn unsafe_code_lives_in_few_files() {
    for (path, text) in library().chain(sources("examples")) {
        let is_allowed = UNSAFE.iter().any(|allowed| path.ends_with(allowed));
        for (number, line) in code_lines(&text) {
            assert!(
                is_allowed || !line.contains("unsafe"),
                "{}:{number}: {line}",
                path.display()
            );
        }
    }
}

#[test]
fn each_file_that_may_be_unsafe_is() {
    for allowed in UNSAFE {
        let text = fs::read_to_string(root().join(allowed)).unwrap();
        let is_unsafe = code_lines(&text).any(|(_, line)| line.contains("unsafe"));
        assert!(is_unsafe, "{allowed} has no unsafe code any more");
    }
}

/// All time and entropy pass through the driver, and nothing depends on the order of a randomised map.
#[test]
fn clocks_and_entropy_are_the_drivers() {
    for (path, text) in library() {
        if path.components().any(|part| part.as_os_str() == "sys") {
            continue;
        }
        for (number, line) in code_lines(&text) {
            for word in [
                "Instant::now",
                "SystemTime",
                "HashMap",
                "HashSet",
                "getrandom",
                "rand::",
            ] {
                assert!(
                    !line.contains(word),
                    "{}:{number}: `{word}`: {line}",
                    path.display()
                );
            }
        }
    }
}

/// Nothing a user can reach is left undone, and no test is switched off or waits for real time.
#[test]
fn nothing_is_left_undone() {
    let words = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("FIX", "ME"),
        concat!("#[ig", "nore"),
    ];
    for (path, text) in ["crates", "examples", "tidy"].into_iter().flat_map(sources) {
        for (number, line) in text.lines().enumerate() {
            for word in words {
                assert!(
                    !line.contains(word),
                    "{}:{}: {line}",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}

/// Every relative link in our prose leads somewhere.
#[test]
fn links_in_prose_lead_somewhere() {
    for path in files(&root(), "md") {
        let text = fs::read_to_string(&path).unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = target.split('#').next().unwrap();
            if file.is_empty() || target.contains("://") {
                continue;
            }
            let there = path.parent().unwrap().join(file);
            assert!(there.exists(), "{}: link to {target}", path.display());
        }
    }
}

/// The lines that are not comments, numbered from 1.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The sources of the published crates, without their tests.
fn library() -> impl Iterator<Item = (PathBuf, String)> {
    let is_test = |path: &Path| path.components().any(|part| part.as_os_str() == "tests");
    sources("crates")
        .into_iter()
        .filter(move |(path, _)| !is_test(path))
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let paths = files(&root().join(folder), "rs");
    assert!(!paths.is_empty(), "no sources in {folder}");
    paths
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(&path).unwrap()))
        .collect()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
