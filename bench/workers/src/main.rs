//! What it costs to wake a task on another thread, and to send to it, beside tokio.
//!
//! All runtimes of a row follow each other at once, round after round, each anew; who begins changes with the round. The
//! tables show the medians over the rounds, and the ratios are taken within a round.

mod ours;
mod pair;
mod peers;
mod sample;
mod trips;

use crate::sample::{Sample, median};
use crate::trips::{channel, wake};

const ROUNDS: usize = 11;

/// What is done, and by whom.
struct Row {
    key: &'static str,
    what: &'static str,
    /// One for each of `NAMES`.
    run: [fn() -> Sample; NAMES.len()],
}

const NAMES: [&str; 4] = [
    "**antiphon**",
    "**antiphon-readiness**",
    "tokio, a thread each",
    "tokio, multi-thread",
];
/// The one that is judged, and the one that it is judged by: both have a task on each thread.
const OURS: usize = 0;
const READINESS: usize = 1;
const PEER: usize = 2;
/// The most that our time may be of the peer's.
const BAR: f64 = 1.0;

macro_rules! row {
    ($key:literal, $what:literal, $trip:ident, $is_busy:literal) => {
        Row {
            key: $key,
            what: $what,
            run: [
                || $trip::<ours::Uring>($is_busy),
                || $trip::<ours::Readiness>($is_busy),
                || $trip::<peers::Apart>($is_busy),
                || $trip::<peers::Together>($is_busy),
            ],
        }
    };
}

const ROWS: [Row; 4] = [
    row!(
        "wake-parked",
        "wake the other task by its waker and be woken, both threads asleep",
        wake,
        false
    ),
    row!("wake-busy", "the same, both threads at work", wake, true),
    row!(
        "channel-parked",
        "send to the other task over a channel of 1, and receive, both threads asleep",
        channel,
        false
    ),
    row!(
        "channel-busy",
        "the same, both threads at work",
        channel,
        true
    ),
];

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    let rows = ROWS.iter().filter(|row| row.key.contains(&only));
    println!("{}; {ROUNDS} rounds\n", env!("RUSTC_VERSION"));
    println!(
        "Nanoseconds of processor time of all threads for a round trip, in brackets of time passed.\n"
    );
    println!(
        "| row | what | {} | × processor | × passed | at most | |",
        NAMES.join(" | ")
    );
    println!(
        "|---|---|{}---:|---:|---:|---|",
        "---:|".repeat(NAMES.len())
    );
    for row in rows {
        let samples = measure(row);
        print!("| {} | {} |", row.key, row.what);
        for samples in &samples {
            let processor = median(samples.iter().map(|sample| sample.processor));
            let passed = median(samples.iter().map(|sample| sample.passed));
            print!(" {processor:.0} ({passed:.0}) |");
        }
        let [processor, passed] = [
            (|sample| sample.processor) as fn(&Sample) -> f64,
            |sample| sample.passed,
        ]
        .map(|part| {
            [OURS, READINESS].map(|ours| {
                let pairs = samples[ours].iter().zip(&samples[PEER]);
                median(pairs.map(|(ours, theirs)| part(ours) / part(theirs)))
            })
        });
        let holds = processor
            .into_iter()
            .chain(passed)
            .all(|ratio| ratio <= BAR);
        println!(
            " {:.2}, {:.2} | {:.2}, {:.2} | {BAR:.2} | {} |",
            processor[0],
            processor[1],
            passed[0],
            passed[1],
            if holds { "pass" } else { "**miss**" }
        );
    }
}

/// Returns the samples of each runtime, by round.
fn measure(row: &Row) -> [Vec<Sample>; NAMES.len()] {
    let mut samples: [Vec<Sample>; NAMES.len()] = Default::default();
    // The first round is for warming up.
    for round in 0..=ROUNDS {
        for turn in 0..NAMES.len() {
            let runtime = (round + turn) % NAMES.len();
            let sample = row.run[runtime]();
            if round > 0 {
                samples[runtime].push(sample);
            }
        }
    }
    samples
}
