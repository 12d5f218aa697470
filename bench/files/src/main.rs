//! What reading files costs.
//!
//! All readers of a row run in turn, round after round, in an order that is turned by one each time. The table shows the medians
//! of throughput and of the process's processor time for each operation, and of the ratios to us, taken in the same round.

mod readers;
mod sample;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::readers::READERS;
use crate::sample::{Sample, forget, median};

/// How the file is read, and how often.
#[derive(Clone, Copy, Debug)]
struct Row {
    key: &'static str,
    block: usize,
    depth: usize,
    operations: usize,
    is_random: bool,
    /// Whether the file is in memory.
    is_cached: bool,
}

const FILE_LEN: usize = 128 << 20;

const ROWS: [Row; 4] = [
    Row {
        key: "64 KiB in sequence, in memory",
        block: 64 << 10,
        depth: 1,
        operations: 8 * FILE_LEN / (64 << 10),
        is_random: false,
        is_cached: true,
    },
    Row {
        key: "4 KiB at random, 32 at a time, in memory",
        block: 4 << 10,
        depth: 32,
        operations: 32 * 4000,
        is_random: true,
        is_cached: true,
    },
    Row {
        key: "64 KiB in sequence, from the disk",
        block: 64 << 10,
        depth: 1,
        operations: FILE_LEN / (64 << 10),
        is_random: false,
        is_cached: false,
    },
    Row {
        key: "4 KiB at random, 32 at a time, from the disk",
        block: 4 << 10,
        depth: 32,
        operations: 32 * 250,
        is_random: true,
        is_cached: false,
    },
];

impl Row {
    /// Where the operations of one of those that are under way together read.
    fn offsets(self, lane: usize) -> impl Iterator<Item = u64> + Send + 'static {
        let blocks = (FILE_LEN / self.block) as u64;
        let mut state = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(lane as u64 + 1);
        (0..(self.operations / self.depth) as u64).map(move |number| {
            let block = if self.is_random {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % blocks
            } else {
                number % blocks
            };
            block * self.block as u64
        })
    }
}

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(9);
    let path = make_file();
    println!("{}; {rounds} rounds\n", env!("RUSTC_VERSION"));
    for row in ROWS {
        let mut samples = vec![Vec::new(); READERS.len()];
        for round in 0..=rounds {
            for turn in 0..READERS.len() {
                let index = (turn + round) % READERS.len();
                if !row.is_cached {
                    forget(&path);
                }
                let sample = Sample::take(row.operations, || (READERS[index].1)(&path, row));
                // The first round is for warming up.
                if round > 0 {
                    samples[index].push(sample);
                }
            }
        }
        print(row, &samples);
    }
    std::fs::remove_file(path).expect("it was made");
}

fn print(row: Row, samples: &[Vec<Sample>]) {
    println!("#### {}\n", row.key);
    println!("| reader | µs an operation | × ours | CPU µs an operation | × ours |");
    println!("|---|---:|---:|---:|---:|");
    for ((name, _), own) in READERS.iter().zip(samples) {
        let of = |get: fn(&Sample) -> f64| median(own.iter().map(get));
        let ratio = |get: fn(&Sample) -> f64| {
            let ratios = own
                .iter()
                .zip(&samples[0])
                .map(|(own, ours)| get(own) / get(ours));
            median(ratios)
        };
        println!(
            "| {name} | {:.2} | {:.2} | {:.2} | {:.2} |",
            of(|sample| sample.wall),
            ratio(|sample| sample.wall),
            of(|sample| sample.cpu),
            ratio(|sample| sample.cpu),
        );
    }
    println!();
}

/// Not in the directory for temporary files, which may be in memory.
fn make_file() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data-{}", std::process::id()));
    let mut file = File::create_new(&path).expect("a file can be made here");
    let block: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    for _ in 0..FILE_LEN >> 20 {
        file.write_all(&block).expect("there is room for 128 MiB");
    }
    file.sync_all().expect("it goes to the disk");
    path
}
