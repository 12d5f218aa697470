//! Looks at a running program through the socket that `antiphon::inspect` serves, and prints the answer.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use antiphon_cli::{Question, ask};
use lexopt::{Arg, Parser, ValueExt};

const USAGE: &str = "\
Looks at a running program: who in it waits, for what, on which line, and since when

Usage: antiphon-cli ps|tree SOCKET [--json]

  ps      a line for each task
  tree    children under their parents, with their scopes and all that they wait for
  SOCKET  the path that the program gave to antiphon::inspect
  --json  everything, as JSON

Exit status: 0 if there was an answer, 1 if there was none, 2 if the arguments were wrong.
";

struct Arguments {
    question: Question,
    socket: PathBuf,
}

fn main() -> ExitCode {
    let arguments = match parse(Parser::from_env()) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return print(USAGE),
        Err(error) => {
            say(&format!("{error}\n\n{}", USAGE.trim_end()));
            return ExitCode::from(2);
        }
    };
    match ask(&arguments.socket, arguments.question) {
        Ok(picture) => print(&picture),
        Err(error) => {
            say(&error);
            ExitCode::FAILURE
        }
    }
}

/// Understands the arguments. `None` if help is asked for.
fn parse(mut parser: Parser) -> Result<Option<Arguments>, lexopt::Error> {
    let mut values: Vec<OsString> = Vec::new();
    let mut is_json = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("json") => is_json = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Value(value) if values.len() < 2 => values.push(value),
            other => return Err(other.unexpected()),
        }
    }
    let mut values = values.into_iter();
    let command = values.next().ok_or("it is `ps` or `tree` that is wanted")?;
    let question = match (&*command.string()?, is_json) {
        ("ps" | "tree", true) => Question::Json,
        ("ps", false) => Question::Ps,
        ("tree", false) => Question::Tree,
        (other, _) => return Err(format!("`{other}` is not `ps` or `tree`").into()),
    };
    let socket = values.next().ok_or("the path of a socket is missing")?;
    Ok(Some(Arguments {
        question,
        socket: socket.into(),
    }))
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            say(&error);
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Says a line on standard error. If nobody can read it, nobody has to.
fn say(text: &dyn Display) {
    let _ = writeln!(io::stderr(), "antiphon-cli: {text}");
}
