//! Keeps `docs/structured-concurrency.md` honest: every case has a row, and every test that a row names exists.

use std::fs;
use std::path::{Path, PathBuf};

/// The sections with a table, and how many rows each has to have at least.
const SECTIONS: &[(&str, usize)] = &[
    ("The rules", 12),
    ("asyncio: timeouts", 15),
    ("asyncio: task groups", 20),
    ("asyncio: cancelling a task", 8),
    ("asyncio: several at once", 12),
    ("asyncio: the runner", 6),
    ("asyncio: locks and queues", 8),
    ("asyncio: the loop and its tasks", 6),
    ("trio: scopes and checkpoints", 10),
    ("trio: nurseries", 8),
    ("curio", 5),
];

/// The cases of Python's `test_timeouts.py`.
const TIMEOUTS: &[&str] = &[
    "test_timeout_basic",
    "test_timeout_at_basic",
    "test_nested_timeouts",
    "test_waiter_cancelled",
    "test_timeout_not_called",
    "test_timeout_disabled",
    "test_timeout_at_disabled",
    "test_timeout_zero",
    "test_timeout_zero_sleep_zero",
    "test_timeout_in_the_past_sleep_zero",
    "test_foreign_exception_passed",
    "test_timeout_exception_context",
    "test_foreign_exception_on_timeout",
    "test_foreign_exception_on_timeout_2",
    "test_foreign_cancel_doesnt_timeout_if_not_expired",
    "test_outer_task_is_not_cancelled",
    "test_nested_timeouts_concurrent",
    "test_nested_timeouts_loop_busy",
    "test_reschedule",
    "test_repr_active",
    "test_repr_expired",
    "test_repr_finished",
    "test_repr_disabled",
    "test_nested_timeout_in_finally",
    "test_timeout_after_cancellation",
    "test_cancel_in_timeout_after_cancellation",
    "test_timeout_already_entered",
    "test_timeout_double_enter",
    "test_timeout_finished",
    "test_timeout_expired",
    "test_timeout_expiring",
    "test_timeout_not_entered",
    "test_timeout_without_task",
    "test_timeout_taskgroup",
];

/// The cases of Python's `test_taskgroups.py`.
const TASK_GROUPS: &[&str] = &[
    "test_taskgroup_01",
    "test_taskgroup_02",
    "test_taskgroup_03",
    "test_taskgroup_04",
    "test_cancel_children_on_child_error",
    "test_cancellation",
    "test_taskgroup_07",
    "test_taskgroup_08",
    "test_taskgroup_09",
    "test_taskgroup_10",
    "test_taskgroup_11",
    "test_taskgroup_12",
    "test_taskgroup_13",
    "test_taskgroup_14",
    "test_taskgroup_15",
    "test_taskgroup_16",
    "test_taskgroup_17",
    "test_taskgroup_18",
    "test_taskgroup_19",
    "test_taskgroup_20",
    "test_taskgroup_20a",
    "test_taskgroup_21",
    "test_taskgroup_21a",
    "test_taskgroup_22",
    "test_taskgroup_23",
    "test_taskgroup_24",
    "test_taskgroup_25",
    "test_taskgroup_task_name",
    "test_taskgroup_task_context",
    "test_taskgroup_no_create_task_after_failure",
    "test_taskgroup_context_manager_exit_raises",
    "test_taskgroup_already_entered",
    "test_taskgroup_double_enter",
    "test_taskgroup_finished",
    "test_taskgroup_not_entered",
    "test_taskgroup_without_parent_task",
    "test_coro_closed_when_tg_closed",
    "test_cancelling_level_preserved",
    "test_nested_groups_both_cancelled",
    "test_error_and_cancel",
];

/// What a row without a test begins its last cell with.
const WITHOUT_A_TEST: &[&str] = &["*cannot be written:* ", "*not here:* "];

#[test]
fn every_section_has_its_rows() {
    let page = page();
    let sections = sections(&page);
    let headings: Vec<_> = sections.iter().map(|(heading, _)| *heading).collect();
    let expected: Vec<_> = SECTIONS.iter().map(|(heading, _)| *heading).collect();
    assert_eq!(headings, expected);
    for ((heading, rows), (_, least)) in sections.iter().zip(SECTIONS) {
        assert!(rows.len() >= *least, "{heading}: {} rows", rows.len());
        for row in rows {
            assert_eq!(row.len(), 4, "{heading}: {row:?}");
            assert!(
                row.iter().all(|cell| !cell.is_empty()),
                "{heading}: {row:?}"
            );
            let held_by = row[3];
            let is_held = tests_named(held_by).next().is_some()
                || WITHOUT_A_TEST.iter().any(|why| held_by.starts_with(why));
            assert!(is_held, "{heading}: what holds us to it? {row:?}");
        }
    }
}

#[test]
fn every_rule_has_one_row_in_order() {
    let page = page();
    let sections = sections(&page);
    let ids: Vec<_> = sections[0].1.iter().map(|row| row[0]).collect();
    let expected: Vec<_> = (1..=12).map(|rule| rule.to_string()).collect();
    assert_eq!(ids, expected);
}

#[test]
fn every_case_of_theirs_has_one_row() {
    let page = page();
    let sections = sections(&page);
    for (section, cases) in [(1, TIMEOUTS), (2, TASK_GROUPS)] {
        let (heading, rows) = &sections[section];
        let named: Vec<_> = rows.iter().flat_map(|row| codes(row[0])).collect();
        for case in cases {
            let count = named.iter().filter(|name| name == &case).count();
            assert_eq!(count, 1, "{heading}: {case}");
        }
        for name in named {
            assert!(cases.contains(&name), "{heading}: {name} is none of theirs");
        }
    }
}

#[test]
fn every_test_named_on_the_page_exists() {
    let page = page();
    let (mut named, mut missing) = (0, Vec::new());
    let rows = sections(&page).into_iter().flat_map(|(_, rows)| rows);
    for (file, test) in rows.flat_map(|row| tests_named(row[3])) {
        let path = if file.starts_with("src/") {
            format!("{file}.rs")
        } else {
            format!("tests/{file}.rs")
        };
        if !has_test(&read(&root().join("crates/antiphon").join(path)), test) {
            missing.push(format!("{file}::{test}"));
        }
        named += 1;
    }
    assert_eq!(missing, [""; 0], "these are no tests");
    assert!(named >= 200, "the page names {named} tests");
}

/// Returns `true` if `source` has a test function of this name.
fn has_test(source: &str, test: &str) -> bool {
    let start = format!("fn {test}(");
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(index, found)| {
        let is_attribute = |line: &&&str| line.starts_with("#[") || line.starts_with("//");
        let mut before = lines[..index].iter().rev().take_while(is_attribute);
        found.starts_with(&start) && before.any(|line| *line == "#[test]")
    })
}

/// The sections that have a table, with its rows, in cells.
fn sections(page: &str) -> Vec<(&str, Vec<Vec<&str>>)> {
    let sections = page.split("\n## ").skip(1).map(|section| {
        let (heading, text) = section.split_once('\n').unwrap_or((section, ""));
        // Behind the head and the line under it.
        let table = text.lines().filter(|line| line.starts_with('|')).skip(2);
        let cells = table.map(|line| line.trim_matches('|').split('|'));
        (
            heading,
            cells.map(|row| row.map(str::trim).collect()).collect(),
        )
    });
    sections
        .filter(|(_, rows): &(&str, Vec<_>)| !rows.is_empty())
        .collect()
}

/// What is between backquotes.
fn codes(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The tests that `text` names: their files, and their names.
fn tests_named(text: &str) -> impl Iterator<Item = (&str, &str)> {
    codes(text).filter_map(|code| code.split_once("::"))
}

fn page() -> String {
    read(&root().join("docs/structured-concurrency.md"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
