//! Rounds: every row on every runtime in turn, each in a process of its own.
//!
//! A shared machine is slow for a while at a time, and what is measured then would look slow beside what was not. So
//! the runtimes of a row follow each other at once, in an order drawn anew in each round, and are compared only within
//! the round. And a process of its own sees to it that none inherits another's heap, threads or place in memory.

use std::collections::BTreeMap;
use std::io;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::rows::{Row, Unit};
use crate::runtimes::NAMES;
use crate::sample::{Sample, median};

/// What was measured of one row on one runtime.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// The samples, by round. The last rounds are missing if the runtime failed.
    pub(crate) rounds: BTreeMap<u32, Sample>,
    /// Why there are no more.
    pub(crate) failure: Option<String>,
}

/// By row, in the order of the rows asked for, and by runtime, in the order of `NAMES`.
pub(crate) type Table = Vec<[Measured; NAMES.len()]>;

impl Measured {
    /// Returns the median over the rounds, wall time or bytes.
    pub(crate) fn value(&self) -> f64 {
        median(self.rounds.values().map(|sample| sample.value).collect())
    }

    /// Returns the median over the rounds, processor time.
    pub(crate) fn cpu(&self) -> f64 {
        median(self.rounds.values().map(|sample| sample.cpu).collect())
    }

    /// Returns the median over the rounds of what the row is judged by.
    pub(crate) fn judged(&self, unit: Unit) -> f64 {
        median(
            self.rounds
                .values()
                .map(|sample| sample.judged(unit))
                .collect(),
        )
    }

    /// Returns the median over the rounds of this by `other`.
    pub(crate) fn ratio(&self, other: &Self, unit: Unit) -> f64 {
        let ratio = |(round, ours): (_, &Sample)| {
            let theirs = other.rounds.get(round)?;
            Some(ours.judged(unit) / theirs.judged(unit))
        };
        median(self.rounds.iter().filter_map(ratio).collect())
    }
}

impl Sample {
    fn judged(&self, unit: Unit) -> f64 {
        match unit {
            Unit::Nanos => self.cpu,
            Unit::Bytes => self.value,
        }
    }
}

/// Measures `rows` in `rounds` rounds; `seed` draws the order.
pub(crate) fn measure(rows: &[Row], rounds: u32, seed: u64) -> Table {
    let mut shuffle = Shuffle(seed | 1);
    let mut table: Table = rows.iter().map(|_| Default::default()).collect();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut runtimes: Vec<usize> = (0..NAMES.len()).collect();
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        shuffle.shuffle(&mut order);
        for &row in &order {
            // Memory is the same every time, and takes long to fill.
            if rows[row].unit() == Unit::Bytes && round >= 3 {
                continue;
            }
            shuffle.shuffle(&mut runtimes);
            for &runtime in &runtimes {
                let measured = &mut table[row][runtime];
                if measured.failure.is_some() {
                    continue;
                }
                match measure_once(rows[row], NAMES[runtime]) {
                    Ok(sample) => {
                        measured.rounds.insert(round, sample);
                    }
                    Err(message) => measured.failure = Some(message),
                }
            }
        }
    }
    table
}

fn measure_once(row: Row, runtime: &str) -> Result<Sample, String> {
    let failed = |error: io::Error| error.to_string();
    let program = std::env::current_exe().map_err(failed)?;
    let mut child = Command::new(program)
        .args(["--measure", row.key(), runtime])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;

    // What it prints fits into a pipe, so it can end before we read.
    let start = Instant::now();
    while child.try_wait().map_err(failed)?.is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().map_err(failed)?;
            child.wait().map_err(failed)?;
            return Err(format!("no answer within {PATIENCE:?}"));
        }
        thread::sleep(Duration::from_millis(1));
    }

    let output = child.wait_with_output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(str::parse);
    if let (true, Some(Ok(value)), Some(Ok(cpu))) =
        (output.status.success(), numbers.next(), numbers.next())
    {
        return Ok(Sample { value, cpu });
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let line = message.lines().find(|line| !line.is_empty());
    Err(format!("{}: {}", output.status, line.unwrap_or("no word")))
}

/// How long one row may take on one runtime: a hundred times what it does.
const PATIENCE: Duration = Duration::from_mins(1);

/// Fisher and Yates's shuffle over Marsaglia's xorshift.
struct Shuffle(u64);

impl Shuffle {
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let draw = self.0 % (last as u64 + 1);
            items.swap(last, usize::try_from(draw).expect("below a length"));
        }
    }
}
