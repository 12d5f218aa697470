//! What we may depend on, and under which licences.
//!
//! A new dependency is a line here and a sentence in the `Cargo.toml` that wants it.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// The packages that ours name, in any role. Everything else comes in through these.
const DIRECT: &[&str] = &[
    "anstream",
    "anstyle",
    "antiphon",
    "antiphon-cli",
    "antiphon-coroutine",
    "cargo_metadata",
    "clap",
    "colorchoice-clap",
    "expect-test",
    "futures-core",
    "futures-io",
    "futures-util",
    "getrandom",
    "hyper",
    "io-uring",
    // Arguments of the small program that asks a running one.
    "lexopt",
    "libc",
    "nix",
    "polling",
    "proptest",
    "pty-process",
    "rustix",
    "rustyline",
    "socket2",
    // A feature of the loop: its spans, so that what is logged in a task says whose it is.
    "tracing",
    "vt100",
];

/// The licences that a dependency may be used under. An expression passes if one of its alternatives does.
const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-3-Clause",
    "BSL-1.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

#[test]
fn direct_dependencies_are_the_listed_ones() {
    let metadata = metadata();
    let named: BTreeSet<&str> = ours(&metadata)
        .flat_map(|package| &package.dependencies)
        .map(|dependency| dependency.name.as_str())
        .collect();
    let listed: BTreeSet<&str> = DIRECT.iter().copied().collect();
    assert_eq!(named, listed);
}

#[test]
fn licences_are_allowed() {
    let metadata = metadata();
    let refused: Vec<String> = metadata
        .packages
        .iter()
        .filter(|package| !package.license.as_deref().is_some_and(is_allowed))
        .map(|package| {
            format!(
                "{} {}: {:?}",
                package.name, package.version, package.license
            )
        })
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn ours_are_dual_licensed() {
    for package in ours(&metadata()) {
        assert_eq!(
            package.license.as_deref(),
            Some("MIT OR Apache-2.0"),
            "{}",
            package.name
        );
    }
}

#[test]
fn the_coroutine_depends_on_nothing_by_default() {
    let metadata = metadata();
    let coroutine = ours(&metadata)
        .find(|package| package.name == "antiphon-coroutine")
        .unwrap();
    let needed: Vec<&str> = coroutine
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal && !dependency.optional)
        .map(|dependency| dependency.name.as_str())
        .collect();
    assert!(needed.is_empty(), "{needed:?}");
}

/// What a user of the loop pulls in on Linux, without features of their own choice.
#[test]
fn the_loop_needs_few_crates() {
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "tree", "-p", "antiphon", "-e", "normal", "--prefix", "none", "--locked",
        ])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo tree");
    let tree = String::from_utf8(output.stdout).expect("names of packages");
    let crates: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "antiphon")
        .collect();
    assert!(!crates.is_empty() && crates.len() <= 12, "{crates:?}");
}

#[test]
fn licence_expressions_are_understood() {
    assert!(is_allowed("MIT"));
    assert!(is_allowed("GPL-3.0 OR MIT"));
    assert!(is_allowed("MIT/Apache-2.0"));
    assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR MIT"));
    assert!(!is_allowed("GPL-3.0"));
    assert!(!is_allowed("MIT AND GPL-3.0"));
    assert!(!is_allowed("(MIT OR Apache-2.0) AND GPL-3.0"));
    assert!(!is_allowed(""));
}

/// Decides on an SPDX expression made of names, `AND`, `OR` (or the older `/`), `WITH` and parentheses.
///
/// `AND` binds closer than `OR`, except across parentheses, which the crates we meet use only around `OR`.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    if expression.contains('(') {
        return expression
            .split(" AND ")
            .all(|part| is_allowed_flat(part.trim_matches(['(', ')', ' '])));
    }
    is_allowed_flat(&expression)
}

fn is_allowed_flat(expression: &str) -> bool {
    expression.split(" OR ").any(|choice| {
        choice
            .split(" AND ")
            .all(|name| LICENCES.contains(&name.trim()))
    })
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .other_options(vec!["--locked".to_owned(), "--all-features".to_owned()])
        .exec()
        .expect("cargo metadata")
}

fn ours(metadata: &Metadata) -> impl Iterator<Item = &Package> {
    metadata
        .packages
        .iter()
        .filter(|package| metadata.workspace_members.contains(&package.id))
}
