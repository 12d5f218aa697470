//! What is printed: the machine, the table, and the project's bars.

use std::fmt::{self, Write as _};
use std::fs;

use crate::rounds::{Measured, Table};
use crate::rows::{Row, Unit};
use crate::runtimes::NAMES;

/// Says on what the rows ran: processor, cores, kernel, compiler.
pub(crate) fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!(
        "{model}, {cores} cores; {os} {kernel} {arch}; {}",
        env!("RUSTC_VERSION")
    )
}

/// Returns the table, in Markdown, and what failed.
pub(crate) fn table(rows: &[Row], table: &Table) -> String {
    let mut out = String::new();
    write(&mut out, rows, table).expect("a string takes everything");
    out
}

fn write(out: &mut String, rows: &[Row], table: &Table) -> fmt::Result {
    writeln!(
        out,
        "\nNanoseconds of processor time for each operation, in brackets of wall time; medians over the rounds.\n"
    )?;
    let [ours, peers @ ..] = NAMES;
    let peers_header = peers.join(" | ");
    writeln!(
        out,
        "| row | what | **{ours}** | {peers_header} | × best peer | bar | |"
    )?;
    writeln!(
        out,
        "|---|---|{}---:|---:|---|",
        "---:|".repeat(NAMES.len())
    )?;
    for (row, cells) in rows.iter().zip(table) {
        write!(out, "| {} | {} |", row.key(), row.title())?;
        for cell in cells {
            write!(out, " {} |", numbers(*row, cell))?;
        }
        let Verdict { peer, ratio, holds } = Verdict::new(*row, cells);
        let verdict = if holds { "pass" } else { "**miss**" };
        writeln!(out, " {ratio:.2} ({peer}) | {:.2} | {verdict} |", row.bar())?;
    }
    for (row, cells) in rows.iter().zip(table) {
        for (name, cell) in NAMES.iter().zip(cells) {
            if let Some(failure) = &cell.failure {
                writeln!(out, "\n- {}, {name}: {failure}", row.key())?;
            }
        }
    }
    Ok(())
}

/// Returns `true` if every bar is met.
pub(crate) fn all_hold(rows: &[Row], table: &Table) -> bool {
    let verdict = |(row, cells): (&Row, _)| Verdict::new(*row, cells).holds;
    rows.iter().zip(table).all(verdict)
}

fn numbers(row: Row, cell: &Measured) -> String {
    if cell.rounds.is_empty() {
        return "-".into();
    }
    match row.unit() {
        Unit::Bytes => format!("{:.0} B", cell.value()),
        Unit::Nanos => format!("{:.1} ({:.1})", cell.cpu(), cell.value()),
    }
}

/// How we stand beside the peer with the best median.
struct Verdict {
    peer: &'static str,
    ratio: f64,
    holds: bool,
}

impl Verdict {
    fn new(row: Row, cells: &[Measured; NAMES.len()]) -> Self {
        let [ours, peers @ ..] = cells;
        let judged = |(_, peer): &(_, &Measured)| peer.judged(row.unit());
        let best = NAMES[1..]
            .iter()
            .zip(peers)
            .filter(|(_, peer)| !peer.rounds.is_empty())
            .min_by(|one, other| judged(one).total_cmp(&judged(other)));
        let Some((peer, best)) = best else {
            return Self {
                peer: "nobody",
                ratio: f64::NAN,
                holds: false,
            };
        };
        let ratio = ours.ratio(best, row.unit());
        Self {
            peer,
            ratio,
            holds: ours.failure.is_none() && ratio <= row.bar(),
        }
    }
}
