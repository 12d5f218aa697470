//! What is printed: the machine, the tables, and the project's bars.

use std::fs;

use crate::rows::{HAND, Row};
use crate::timing::{Timed, baseline, same_form};
use crate::workload::{Form, Workload};

/// Says on what the rows ran: processor, cores, kernel, compiler.
pub fn machine() -> String {
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

/// Prints the tables of times, in Markdown.
pub fn print_times(all: &[Timed]) {
    for workload in Workload::ALL {
        let rows = all.iter().filter(|timed| timed.row.workload == workload);
        for (index, timed) in rows.enumerate() {
            if index == 0 {
                println!("\n### {}\n", workload.title());
                println!("| row | form | × by hand | × by hand, same form | median ns | min ns |");
                println!("|---|---|---:|---:|---:|---:|");
            }
            let ratio = |other: Option<&Timed>| {
                other.map_or_else(|| "-".into(), |other| format!("{:.2}", timed.ratio(other)))
            };
            println!(
                "| {} | {} | {} | {} | {:.2} | {:.2} |",
                emphasised(timed.row),
                timed.row.form,
                ratio(baseline(all, timed)),
                ratio(same_form(all, timed)),
                timed.median(),
                timed.min(),
            );
        }
    }
}

/// Prints the tables of instructions, in Markdown.
pub fn print_instructions(all: &[(Row, f64)]) {
    for workload in Workload::ALL {
        let rows = all.iter().filter(|(row, _)| row.workload == workload);
        let by_hand = rows
            .clone()
            .find(|(row, _)| row.name == HAND && row.form == Form::Call);
        for (index, (row, count)) in rows.enumerate() {
            if index == 0 {
                println!("\n### {}\n", workload.title());
                println!("| row | form | × by hand | instructions |");
                println!("|---|---|---:|---:|");
            }
            let ratio = by_hand.map_or_else(
                || "-".into(),
                |(_, by_hand)| format!("{:.2}", count / by_hand),
            );
            println!(
                "| {} | {} | {ratio} | {count:.1} |",
                emphasised(*row),
                row.form
            );
        }
    }
}

/// Prints which of the project's promises hold.
pub fn print_bars(bars: &[Bar]) {
    println!("\n### Bars\n");
    for bar in bars {
        println!("- [{}] {}", if bar.holds { 'x' } else { ' ' }, bar.text);
    }
}

fn emphasised(row: Row) -> String {
    if row.is_ours() {
        format!("**{}**", row.name)
    } else {
        row.name.to_string()
    }
}

/// Something that the project promises of its speed.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What is promised, and what was measured.
    pub text: String,
    /// Whether it was kept in this run.
    pub holds: bool,
}

/// Checks the project's promises, those of which the rows were measured.
///
/// - A resume takes at most 1.35 times what the hand-written machine takes, pinned, and 1.7 times, boxed; all
///   machines that are not boxed are behind the same call.
/// - It is faster than every crate for stable Rust that can carry a resume argument, in the same form.
pub fn bars(all: &[Timed]) -> Vec<Bar> {
    let averagers = || {
        all.iter()
            .filter(|timed| timed.row.workload == Workload::Average)
    };
    let mut bars = Vec::new();
    for (form, limit) in [(Form::Call, 1.35), (Form::Boxed, 1.7)] {
        let Some(ours) = averagers().find(|timed| timed.row.is_ours() && timed.row.form == form)
        else {
            continue;
        };
        if let Some(by_hand) = baseline(all, ours) {
            let ratio = ours.ratio(by_hand);
            bars.push(Bar {
                text: format!(
                    "{} ({form}): {ratio:.2} × by hand, at most {limit:.2}",
                    ours.row.name
                ),
                holds: ratio <= limit,
            });
        }
        for peer in averagers().filter(|timed| timed.row.is_peer() && timed.row.form == form) {
            let ratio = ours.ratio(peer);
            bars.push(Bar {
                text: format!(
                    "{} ({form}): {ratio:.2} × {}, less than 1",
                    ours.row.name, peer.row.name
                ),
                holds: ratio < 1.0,
            });
        }
    }
    bars
}
