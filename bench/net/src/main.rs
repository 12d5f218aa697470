//! Prints what a message over TCP costs a server, beside other runtimes. `--help` says how to ask.

mod cells;
mod child;
mod load;
mod report;
mod rounds;
mod sample;
mod servers;
mod system;

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use crate::cells::Cell;
use crate::rounds::Plan;
use crate::servers::{Role, SERVERS, Server};
use crate::system::Cores;

const HELP: &str = "\
Prints what a message over TCP costs a server, beside other runtimes.

  --rounds N     rounds to measure (3); a round takes somewhat more than a minute
  --window MS    how long each server is measured in a round (400)
  --seed N       draws the order in each round (1)
  --only A,B     only these cells, or those with A or B in their key
  --servers A,B  only these servers
  --check        fail if a bar is missed
  --list         print the cells' keys and the servers
  --help         print this
";

struct Options {
    rounds: u32,
    window: Duration,
    seed: u64,
    only: String,
    servers: Vec<Server>,
    action: Action,
}

enum Action {
    Compare {
        check: bool,
    },
    /// What the program starts itself with, once for each cell, server and round.
    Serve {
        server: Server,
        buffer_bytes: usize,
        cores: Vec<usize>,
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
    let usual = |server: &Server| server.role != Role::Extra;
    let mut options = Options {
        rounds: 3,
        window: Duration::from_millis(400),
        seed: 1,
        only: String::new(),
        servers: SERVERS.into_iter().filter(usual).collect(),
        action: Action::Compare { check: false },
    };
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or(format!("`{argument}` wants a value"))
        };
        let server = |name: &str| Server::named(name).ok_or(format!("`{name}` is not a server"));
        match argument.as_str() {
            "--rounds" => options.rounds = number(&value()?)?,
            "--window" => options.window = Duration::from_millis(number(&value()?)?),
            "--seed" => options.seed = number(&value()?)?,
            "--only" => options.only = value()?,
            "--servers" => {
                let servers: Result<_, String> = value()?.split(',').map(server).collect();
                options.servers = servers?;
            }
            "--check" => options.action = Action::Compare { check: true },
            "--serve" => {
                options.action = Action::Serve {
                    server: server(&value()?)?,
                    buffer_bytes: number(&value()?)?,
                    cores: value()?.split(',').map(number).collect::<Result<_, _>>()?,
                }
            }
            "--list" => options.action = Action::List,
            "--help" => options.action = Action::Help,
            _ => return Err(format!("`{argument}` is not an option")),
        }
    }
    Ok(options)
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not such a number"))
}

fn act(options: &Options) -> ExitCode {
    let result = match &options.action {
        Action::Compare { check } => compare(options, *check),
        Action::Serve {
            server,
            buffer_bytes,
            cores,
        } => serve(*server, *buffer_bytes, cores).map(|never| match never {}),
        Action::List => {
            for cell in Cell::ALL {
                println!("{}", cell.key());
            }
            println!("\n{}", SERVERS.map(|server| server.name).join(" "));
            Ok(true)
        }
        Action::Help => {
            print!("{HELP}");
            Ok(true)
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Returns `false` if a bar is missed, and it was asked for.
fn compare(options: &Options, check: bool) -> Result<bool, String> {
    let cells: Vec<Cell> = Cell::ALL
        .into_iter()
        .filter(|cell| options.only.split(',').any(|text| cell.is_meant_by(text)))
        .collect();
    println!("{}; {} rounds", report::machine(), options.rounds);
    let cores = Cores::choose().map_err(|error| error.to_string())?;
    prepare(&[cores.load])?;
    let plan = Plan {
        rounds: options.rounds,
        window: options.window,
        seed: options.seed,
        cores,
    };
    let rows = rounds::measure(&cells, &options.servers, plan);
    print!("{}", report::tables(&rows));
    Ok(!check || report::all_hold(&rows))
}

fn serve(server: Server, buffer_bytes: usize, cores: &[usize]) -> Result<Infallible, String> {
    system::end_with_parent().map_err(|error| error.to_string())?;
    prepare(cores)?;
    server.serve(buffer_bytes)
}

fn prepare(cores: &[usize]) -> Result<(), String> {
    system::pin(cores).map_err(|error| error.to_string())?;
    system::raise_limits().map_err(|error| error.to_string())
}
