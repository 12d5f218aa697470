//! Prints what tasks, timers and meeting places cost, beside other runtimes. `--help` says how to ask.

mod report;
mod rounds;
mod rows;
mod runtimes;
mod sample;
mod workload;

use std::process::ExitCode;

use crate::rows::Row;

const HELP: &str = "\
Prints what tasks, timers and meeting places cost, beside other runtimes.

  --rounds N    rounds to measure (11); a round takes about ten seconds
  --seed N      draws the order in each round (1)
  --only TEXT   only rows with TEXT in their key
  --check       fail if a bar is missed
  --list        print the rows' keys and the runtimes
  --help        print this
";

struct Options {
    rounds: u32,
    seed: u64,
    only: String,
    action: Action,
}

enum Action {
    Compare {
        check: bool,
    },
    /// What the program starts itself with, once for each row, runtime and round.
    Measure {
        row: String,
        runtime: String,
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
        rounds: 11,
        seed: 1,
        only: String::new(),
        action: Action::Compare { check: false },
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
            "--rounds" => options.rounds = number(value()?)?.try_into().unwrap_or(u32::MAX).max(1),
            "--seed" => options.seed = number(value()?)?,
            "--only" => options.only = value()?,
            "--check" => options.action = Action::Compare { check: true },
            "--measure" => {
                options.action = Action::Measure {
                    row: value()?,
                    runtime: value()?,
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
    match &options.action {
        Action::Compare { check } => compare(options, *check),
        Action::Measure { row, runtime } => measure(row, runtime),
        Action::List => {
            for row in Row::ALL {
                println!("{}", row.key());
            }
            println!("\n{}", runtimes::NAMES.join(" "));
            ExitCode::SUCCESS
        }
        Action::Help => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
    }
}

fn compare(options: &Options, check: bool) -> ExitCode {
    let chosen = |row: &Row| row.key().contains(&options.only);
    let rows: Vec<Row> = Row::ALL.into_iter().filter(chosen).collect();
    println!("{}; {} rounds", report::machine(), options.rounds);
    let measured = rounds::measure(&rows, options.rounds, options.seed);
    print!("{}", report::table(&rows, &measured));
    if check && !report::all_hold(&rows, &measured) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn measure(row: &str, runtime: &str) -> ExitCode {
    let Some(row) = Row::ALL.into_iter().find(|other| other.key() == row) else {
        eprintln!("`{row}` is not a row");
        return ExitCode::from(2);
    };
    match runtimes::measure(row, runtime) {
        Ok(sample) => {
            println!("{} {}", sample.value, sample.cpu);
            // Not by the way of destructors, which nobody measures: rows end with thousands of tasks alive.
            std::process::exit(0)
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
