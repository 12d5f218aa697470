//! Instructions: each row under callgrind, which counts what the processor would execute.
//!
//! A row runs twice, in processes of its own, with two numbers of resumes. The difference is what the additional
//! resumes cost: start-up, set-up and the first resumes cancel out. The numbers repeat exactly for one binary.

use std::io;
use std::process::Command;

use crate::rows::{Measure, Row};

const FEW: u64 = 1_000;
const MANY: u64 = 11_000;

/// Returns how many instructions one resume of `row` takes.
///
/// # Errors
/// If valgrind can't be started, or says something that is not understood.
pub fn count(row: Row) -> io::Result<f64> {
    let few = total(row, FEW)?;
    let many = total(row, MANY)?;
    Ok((many - few) as f64 / (MANY - FEW) as f64)
}

/// Resumes `row` `n` times: what runs under valgrind.
pub fn run(row: Row, n: u64) {
    (row.run)(&mut Once(n));
}

struct Once(u64);

impl Measure for Once {
    fn run(&mut self, resume: &mut dyn FnMut(u64)) {
        resume(self.0);
    }
}

fn total(row: Row, n: u64) -> io::Result<i64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--run", &row.key(), &n.to_string()])
        .output()?;
    // ==4711== Collected : 123456789
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text
        .lines()
        .find_map(|line| line.split("Collected : ").nth(1));
    let number = line.and_then(|number| number.trim().parse().ok());
    number.ok_or_else(|| io::Error::other(format!("valgrind said: {text}")))
}
