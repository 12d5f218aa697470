//! What scopes, groups and context managers cost.
//!
//! All rows run in turn, round after round, each on a loop of its own; the table shows the median of a row's processor
//! time for each operation, and of its ratio to the row that it is compared with, taken in the same round.

mod rows;
mod timing;

use crate::rows::ROWS;
use crate::timing::median;

const ROUNDS: usize = 15;

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    let rows: Vec<_> = ROWS.iter().filter(|row| row.key.contains(&only)).collect();
    let mut samples = vec![Vec::new(); rows.len()];
    for round in 0..=ROUNDS {
        for (row, samples) in rows.iter().zip(&mut samples) {
            let nanos = (row.run)();
            // The first round is for warming up.
            if round > 0 {
                samples.push(nanos);
            }
        }
    }
    println!("{}; {ROUNDS} rounds\n", env!("RUSTC_VERSION"));
    println!("| row | what | ns | beside | × | at most |");
    println!("|---|---|---:|---|---:|---:|");
    for (row, own) in rows.iter().zip(&samples) {
        let beside = rows.iter().position(|other| other.key == row.beside);
        let ratio = beside.map(|beside| {
            median(
                own.iter()
                    .zip(&samples[beside])
                    .map(|(own, other)| own / other),
            )
        });
        println!(
            "| {} | {} | {:.1} | {} | {} | {} |",
            row.key,
            row.what,
            median(own.iter().copied()),
            row.beside,
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            row.bar,
        );
    }
}
