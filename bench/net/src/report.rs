//! What is printed: the machine, the tables, and the project's bars.

use std::fmt::{self, Write as _};
use std::fs;

use crate::cells::{Bar, Beside, Kind, Ours, What};
use crate::rounds::{Measured, Row};
use crate::sample::Sample;
use crate::servers::{OURS, READINESS, Role, TOKIO};

/// Says on what the servers ran: processor, cores, kernel, compiler.
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

/// Returns the tables, in Markdown, the bars, and what failed.
pub(crate) fn tables(rows: &[Row]) -> String {
    let mut out = String::new();
    write(&mut out, rows).expect("a string takes everything");
    out
}

/// Returns `true` if every bar is met.
pub(crate) fn all_hold(rows: &[Row]) -> bool {
    rows.iter()
        .flat_map(verdicts)
        .all(|(_, verdict)| verdict.holds)
}

fn write(out: &mut String, rows: &[Row]) -> fmt::Result {
    let (silent, busy): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.cell.kind == Kind::Idle);
    for workers in [1, 2] {
        let busy = busy.iter().filter(|row| row.cell.workers == workers);
        let busy: Vec<&Row> = busy.copied().collect();
        if busy.is_empty() {
            continue;
        }
        let title = "Microseconds of the server's processor time for each operation; medians over the rounds.";
        table(out, title, &busy, |measured| {
            let cpu = measured.median(|sample| sample.cpu);
            format!("{:.2}", cpu / 1e3)
        })?;
        let title = "Thousands of operations a second.";
        table(out, title, &busy, |measured| {
            let time = measured.median(|sample| sample.time);
            format!("{:.1}", 1e6 / time)
        })?;
        let title = "Microseconds of latency: half of the operations, 99 in a hundred, 999 in a thousand take at most so long.";
        table(out, title, &busy, |measured| {
            let quantile = |index: usize| {
                let nanos = measured.median(|sample: &Sample| sample.quantiles[index]);
                format!("{:.0}", nanos / 1e3)
            };
            [0, 1, 2].map(quantile).join(" / ")
        })?;
    }
    if !silent.is_empty() {
        let title =
            "Bytes of the server's memory for each connection that waits, without the kernel's.";
        table(out, title, &silent, |measured| {
            let bytes = measured.median(|sample| sample.bytes);
            format!("{bytes:.0}")
        })?;
    }
    bars(out, rows)?;
    failures(out, rows)
}

fn table(
    out: &mut String,
    title: &str,
    rows: &[&Row],
    text: impl Fn(&Measured) -> String,
) -> fmt::Result {
    let servers = &rows[0].servers;
    write!(out, "\n{title}\n\n| cell |")?;
    for measured in servers {
        match measured.server.role {
            Role::Ours => write!(out, " **{}** |", measured.server.name)?,
            _ => write!(out, " {} |", measured.server.name)?,
        }
    }
    writeln!(out, "\n|---|{}", "---:|".repeat(servers.len()))?;
    for row in rows {
        write!(out, "| {} |", row.cell.key())?;
        for measured in &row.servers {
            match measured.rounds.len() {
                0 => write!(out, " - |")?,
                _ => write!(out, " {} |", text(measured))?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn bars(out: &mut String, rows: &[Row]) -> fmt::Result {
    let mut header =
        "\n| cell | ours | what | beside | × | at most | |\n|---|---|---|---|---:|---:|---|\n";
    for row in rows {
        for (bar, verdict) in verdicts(row) {
            let what = match bar.what {
                What::Cpu => "processor",
                What::Time => "time",
                What::P999 => "p99.9",
            };
            writeln!(
                out,
                "{}| {} | {} | {what} | {} | {:.2} | {:.2} | {} |",
                std::mem::take(&mut header),
                row.cell.key(),
                name(bar.ours),
                verdict.beside,
                verdict.ratio,
                bar.most,
                if verdict.holds { "pass" } else { "**miss**" }
            )?;
        }
    }
    Ok(())
}

fn failures(out: &mut String, rows: &[Row]) -> fmt::Result {
    for row in rows {
        for measured in &row.servers {
            if let Some(failure) = &measured.failure {
                let name = measured.server.name;
                writeln!(out, "\n- {}, {name}: {failure}", row.cell.key())?;
            }
        }
    }
    Ok(())
}

const fn name(ours: Ours) -> &'static str {
    match ours {
        Ours::Uring => OURS,
        Ours::Readiness => READINESS,
    }
}

/// The bars of a cell whose servers were asked for.
fn verdicts(row: &Row) -> impl Iterator<Item = (Bar, Verdict)> {
    let verdict = |bar: &Bar| Verdict::new(row, *bar).map(|verdict| (*bar, verdict));
    row.cell.bars().iter().filter_map(verdict)
}

/// How we stand at a bar.
struct Verdict {
    beside: &'static str,
    ratio: f64,
    holds: bool,
}

impl Verdict {
    /// Returns `None` if one of both was not measured. If ours was, and failed, that is a miss.
    fn new(row: &Row, bar: Bar) -> Option<Self> {
        let named = |name: &str| {
            let mut servers = row.servers.iter();
            servers.find(|measured| measured.server.is_named(name))
        };
        let best = |role: Role| {
            let is_meant =
                |measured: &&Measured| measured.server.role == role && !measured.rounds.is_empty();
            let median = |measured: &Measured| measured.median(|sample| sample.get(bar.what));
            let servers = row.servers.iter().filter(is_meant);
            servers.min_by(|one, other| median(one).total_cmp(&median(other)))
        };
        let ours = named(name(bar.ours))?;
        let beside = match bar.beside {
            Beside::BestPeer => best(Role::Peer),
            Beside::Limit => best(Role::Limit),
            Beside::Tokio => named(TOKIO),
        }?;
        let ratio = ours.ratio(beside, bar.what);
        Some(Self {
            beside: beside.server.name,
            ratio,
            holds: ours.failure.is_none() && ratio <= bar.most,
        })
    }
}
