//! Prints what a resume costs, as ratios to hand-written state machines. `--help` says how to ask.

use std::process::ExitCode;

use antiphon_bench_coroutine::rows::{self, Row};
use antiphon_bench_coroutine::{instructions, report, timing};

const HELP: &str = "\
Prints what one resume costs, as ratios to a state machine written by hand.

  --rounds N       rounds to measure (500); a round takes about a hundredth of a second
  --seed N         draws the order of the rows in each round (1)
  --only TEXT      only rows with TEXT in their key, and the hand-written ones they are compared with
  --check          fail if a bar is missed
  --instructions   count instructions under valgrind instead of measuring time
  --list           print the rows' keys
  --help           print this
";

struct Options {
    rounds: u32,
    seed: u64,
    only: String,
    action: Action,
}

enum Action {
    Time {
        check: bool,
    },
    Instructions,
    /// What `--instructions` starts under valgrind.
    Run {
        key: String,
        n: u64,
    },
    List,
    Help,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(options) => act(&options),
        Err(message) => {
            eprintln!("{message}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        rounds: 500,
        seed: 1,
        only: String::new(),
        action: Action::Time { check: false },
    };
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or(format!("`{argument}` wants a value"))
        };
        let number = |text: String| {
            text.parse::<u64>()
                .map_err(|_| format!("`{text}` is not a number"))
        };
        match argument.as_str() {
            "--rounds" => options.rounds = number(value()?)?.try_into().unwrap_or(u32::MAX),
            "--seed" => options.seed = number(value()?)?,
            "--only" => options.only = value()?,
            "--check" => options.action = Action::Time { check: true },
            "--instructions" => options.action = Action::Instructions,
            "--run" => {
                options.action = Action::Run {
                    key: value()?,
                    n: number(value()?)?,
                }
            }
            "--list" => options.action = Action::List,
            "--help" => options.action = Action::Help,
            _ => return Err(format!("`{argument}` is not an option")),
        }
    }
    Ok(options)
}

fn act(options: &Options) -> ExitCode {
    let rows = chosen(&options.only);
    match &options.action {
        Action::Time { check } => time(&rows, options, *check),
        Action::Instructions => count(&rows),
        Action::Run { key, n } => match rows.iter().find(|row| row.key() == *key) {
            Some(row) => {
                instructions::run(*row, *n);
                ExitCode::SUCCESS
            }
            None => ExitCode::from(2),
        },
        Action::List => {
            for row in rows {
                println!("{}", row.key());
            }
            ExitCode::SUCCESS
        }
        Action::Help => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
    }
}

/// The rows with `only` in their keys, and the hand-written ones of the same workloads.
fn chosen(only: &str) -> Vec<Row> {
    let mut rows = rows::all();
    let asked: Vec<_> = rows
        .iter()
        .filter(|row| row.key().contains(only))
        .map(|row| row.workload)
        .collect();
    rows.retain(|row| {
        let by_hand = row.name == rows::HAND && asked.contains(&row.workload);
        by_hand || row.key().contains(only)
    });
    rows
}

fn time(rows: &[Row], options: &Options, check: bool) -> ExitCode {
    println!("{}; {} rounds", report::machine(), options.rounds);
    let timed = timing::measure(rows, options.rounds, options.seed);
    report::print_times(&timed);
    let bars = report::bars(&timed);
    report::print_bars(&bars);
    if check && bars.iter().any(|bar| !bar.holds) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn count(rows: &[Row]) -> ExitCode {
    println!("{}", report::machine());
    let mut counted = Vec::new();
    for row in rows {
        match instructions::count(*row) {
            Ok(count) => counted.push((*row, count)),
            Err(error) => {
                eprintln!("{}: {error}", row.key());
                return ExitCode::FAILURE;
            }
        }
    }
    report::print_instructions(&counted);
    ExitCode::SUCCESS
}
