//! Rounds: every cell on every server in turn, each in a process of its own.
//!
//! A shared machine is slow for a while at a time. So the servers of a cell follow each other at once, in an order drawn
//! anew in each round, and are compared only within the round.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cells::{Cell, Kind, What};
use crate::sample::{self, Sample};
use crate::servers::Server;
use crate::system::Cores;

/// What was measured of one cell on one server.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) server: Server,
    /// The samples, by round. The last rounds are missing if the server failed.
    pub(crate) rounds: BTreeMap<u32, Sample>,
    /// Why there are no more.
    pub(crate) failure: Option<String>,
}

/// A cell, and its servers in the order asked for.
pub(crate) struct Row {
    pub(crate) cell: Cell,
    pub(crate) servers: Vec<Measured>,
}

impl Measured {
    /// Returns the median over the rounds.
    pub(crate) fn median(&self, value: impl Fn(&Sample) -> f64) -> f64 {
        median(self.rounds.values().map(value).collect())
    }

    /// Returns the median over the rounds of this by `other`.
    pub(crate) fn ratio(&self, other: &Self, what: What) -> f64 {
        let ratio = |(round, ours): (_, &Sample)| {
            let theirs = other.rounds.get(round)?;
            Some(ours.get(what) / theirs.get(what))
        };
        median(self.rounds.iter().filter_map(ratio).collect())
    }
}

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    /// How long a server is measured in a round.
    pub(crate) window: Duration,
    /// Draws the order in each round.
    pub(crate) seed: u64,
    pub(crate) cores: Cores,
}

/// Measures `cells` on `servers`.
pub(crate) fn measure(cells: &[Cell], servers: &[Server], plan: Plan) -> Vec<Row> {
    let mut shuffle = Shuffle(plan.seed | 1);
    let empty = |server: &Server| Measured {
        server: *server,
        rounds: BTreeMap::new(),
        failure: None,
    };
    let row = |cell: &Cell| Row {
        cell: *cell,
        servers: servers
            .iter()
            .filter(|server| server.workers == cell.workers)
            .map(empty)
            .collect(),
    };
    let mut rows: Vec<Row> = cells.iter().map(row).collect();
    let mut order: Vec<usize> = (0..cells.len()).collect();
    for round in 0..plan.rounds {
        eprintln!("round {} of {}", round + 1, plan.rounds);
        shuffle.shuffle(&mut order);
        for &row in &order {
            let Row { cell, servers } = &mut rows[row];
            // Memory is the same every time, and takes long to fill.
            if cell.kind == Kind::Idle && round > 0 {
                continue;
            }
            let mut turns: Vec<usize> = (0..servers.len()).collect();
            shuffle.shuffle(&mut turns);
            for &turn in &turns {
                let measured = &mut servers[turn];
                if measured.failure.is_some() {
                    continue;
                }
                match sample::measure(*cell, measured.server, plan.window, plan.cores) {
                    Ok(sample) => drop(measured.rounds.insert(round, sample)),
                    Err(message) => measured.failure = Some(message),
                }
            }
        }
    }
    rows
}

/// Returns the middle value.
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
            let draw = self.0 % (last as u64 + 1);
            items.swap(last, usize::try_from(draw).expect("below a length"));
        }
    }
}
