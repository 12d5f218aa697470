//! Time: every row in turn, in many short rounds, and compared only within a round.
//!
//! A shared machine is slow for milliseconds at a time, and a row measured then would look slow beside one that was
//! not. So a round gives each row a tenth of a millisecond, the rows of one workload side by side in an order
//! drawn anew; a row's ratio is taken to the hand-written machine of the *same round*; and the table shows the
//! median over the rounds.

use std::time::{Duration, Instant};

use crate::rows::{HAND, Measure, Row};
use crate::workload::Form;

/// How long a row runs in each round.
const SLICE: Duration = Duration::from_micros(100);

/// What was measured of one row.
#[derive(Clone, Debug)]
pub struct Timed {
    /// The row.
    pub row: Row,
    /// Nanoseconds a resume took, one for each round.
    pub rounds: Vec<f64>,
}

impl Timed {
    /// Returns the median over the rounds, in nanoseconds.
    pub fn median(&self) -> f64 {
        median(self.rounds.clone())
    }

    /// Returns the fastest round, in nanoseconds.
    pub fn min(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Returns the median over the rounds of this row's time by `other`'s.
    pub fn ratio(&self, other: &Self) -> f64 {
        let pairs = self.rounds.iter().zip(&other.rounds);
        median(pairs.map(|(ours, theirs)| ours / theirs).collect())
    }
}

/// Measures `rows` in `rounds` rounds; `seed` draws their order.
pub fn measure(rows: &[Row], rounds: u32, seed: u64) -> Vec<Timed> {
    let mut shuffle = Shuffle(seed | 1);
    let counts: Vec<u64> = rows.iter().map(|row| calibrate(*row)).collect();
    let new = |row: &Row| Timed {
        row: *row,
        rounds: Vec::new(),
    };
    let mut timed: Vec<Timed> = rows.iter().map(new).collect();

    // Rows of one workload stay together, for they are compared with each other.
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for index in 0..rows.len() {
        match groups.last_mut() {
            Some(group) if rows[group[0]].workload == rows[index].workload => group.push(index),
            _ => groups.push(vec![index]),
        }
    }
    for _ in 0..rounds {
        shuffle.shuffle(&mut groups);
        for group in &mut groups {
            shuffle.shuffle(group);
            for &mut index in group {
                timed[index].rounds.push(time(rows[index], counts[index]));
            }
        }
    }
    timed
}

/// Returns the hand-written row of the same workload, behind a call: what all ratios are taken to.
pub fn baseline<'a>(all: &'a [Timed], timed: &Timed) -> Option<&'a Timed> {
    by_hand(all, timed, Form::Call)
}

/// Returns the hand-written row of the same workload and form.
pub fn same_form<'a>(all: &'a [Timed], timed: &Timed) -> Option<&'a Timed> {
    by_hand(all, timed, timed.row.form)
}

fn by_hand<'a>(all: &'a [Timed], timed: &Timed, form: Form) -> Option<&'a Timed> {
    let matches =
        |row: Row| row.name == HAND && row.workload == timed.row.workload && row.form == form;
    all.iter().find(|other| matches(other.row))
}

/// Returns the number of resumes that fill a slice.
fn calibrate(row: Row) -> u64 {
    let mut n = 64;
    loop {
        let nanos = time(row, n) * n as f64;
        if nanos * 2.0 > SLICE.as_nanos() as f64 || n > 1 << 30 {
            let scaled = n as f64 * SLICE.as_nanos() as f64 / nanos;
            return (scaled as u64).max(16);
        }
        n *= 2;
    }
}

/// Times `n` resumes after an eighth as many to warm up; nanoseconds for each.
fn time(row: Row, n: u64) -> f64 {
    let mut stopwatch = Stopwatch {
        n,
        elapsed: Duration::ZERO,
    };
    (row.run)(&mut stopwatch);
    stopwatch.elapsed.as_nanos() as f64 / n as f64
}

struct Stopwatch {
    n: u64,
    elapsed: Duration,
}

impl Measure for Stopwatch {
    fn run(&mut self, resume: &mut dyn FnMut(u64)) {
        resume(self.n / 8 + 1);
        let start = Instant::now();
        resume(self.n);
        self.elapsed = start.elapsed();
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Fisher and Yates's shuffle over Marsaglia's xorshift.
struct Shuffle(u64);

impl Shuffle {
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            items.swap(last, (self.0 % (last as u64 + 1)) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut items: Vec<u32> = (0..100).collect();
        Shuffle(1).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
    }
}
