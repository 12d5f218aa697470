//! Keeps `docs/python-semantics.md` honest: every requirement has a row, and what a row names exists.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn page() -> String {
    read("../../docs/python-semantics.md")
}

/// The rows of the table, in cells.
fn rows(page: &str) -> Vec<Vec<&str>> {
    // Behind the head and the line under it.
    let table = page.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = table.map(|line| line.trim_matches('|').split('|'));
    cells.map(|row| row.map(str::trim).collect()).collect()
}

#[test]
#[cfg_attr(miri, ignore = "it reads files")]
fn every_requirement_has_one_row_in_order() {
    let groups = [
        ('C', 17),
        ('D', 9),
        ('X', 2),
        ('W', 3),
        ('I', 7),
        ('F', 7),
        ('A', 13),
    ];
    let expected: Vec<_> = groups
        .into_iter()
        .flat_map(|(group, count)| (1..=count).map(move |n| format!("{group}{n}")))
        .collect();
    let page = page();
    let rows = rows(&page);
    let ids: Vec<_> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(ids, expected);
    for row in rows {
        assert_eq!(row.len(), 4, "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        assert!(
            row[3].contains("::") || row[3].contains("refused:"),
            "{row:?}"
        );
    }
}

#[test]
#[cfg_attr(miri, ignore = "it reads files")]
fn every_test_named_on_the_page_exists() {
    let page = page();
    let mut named = 0;
    // Inside the odd ones of the pieces between two backquotes is code.
    for code in page.split('`').skip(1).step_by(2) {
        let Some((file, test)) = code.split_once("::") else {
            continue;
        };
        let source = read(&format!("tests/{file}.rs"));
        assert!(
            source.contains(&format!("#[test]\nfn {test}() {{")),
            "{code} is not a test"
        );
        named += 1;
    }
    assert!(named >= 58, "the page names {named} tests");
}

#[test]
#[cfg_attr(miri, ignore = "it reads files")]
fn every_refusal_named_on_the_page_exists() {
    let page = page();
    let refusals = read("src/refusals.rs");
    let mut named = 0;
    for row in rows(&page) {
        let Some((_, refused)) = row[3].split_once("refused:") else {
            continue;
        };
        let refused = refused.split(';').next().unwrap_or_default();
        for heading in refused.split('*').skip(1).step_by(2) {
            assert!(
                refusals
                    .lines()
                    .any(|line| line == format!("//! # {heading}")),
                "{heading:?} is no heading of src/refusals.rs"
            );
            named += 1;
        }
    }
    assert!(named >= 3, "the page names {named} refusals");
}
