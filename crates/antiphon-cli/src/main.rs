//! Looks at a running program through the socket that `antiphon::inspect` serves.
//!
//! It asks one line, copies the answer, and knows nothing else of the program: whatever is in the picture is the library's.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

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

/// A program whose loop is held does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

struct Arguments {
    question: &'static str,
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
            say(&format!("{}: {}", arguments.socket.display(), told(&error)));
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
        ("ps" | "tree", true) => "json",
        ("ps", false) => "ps",
        ("tree", false) => "tree",
        (other, _) => return Err(format!("`{other}` is not `ps` or `tree`").into()),
    };
    let socket = values.next().ok_or("the path of a socket is missing")?;
    Ok(Some(Arguments {
        question,
        socket: socket.into(),
    }))
}

/// Asks the program at `socket`, and returns the picture.
fn ask(socket: &Path, question: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("antiphon 1 {question}\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (status, picture) = answer.split_once('\n').unwrap_or((&answer, ""));
    match status.strip_prefix("antiphon 1 ") {
        // A name may have anything in it, and a terminal does what it is told.
        Some("ok") => Ok(picture.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")),
        Some(other) => Err(io::Error::other(other.to_owned())),
        None => Err(io::Error::other("who listens there is no inspector")),
    }
}

/// What an error means here.
fn told(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such socket".into(),
        ErrorKind::ConnectionRefused => "nobody listens there; the program has ended".into(),
        ErrorKind::PermissionDenied => "only the user who runs the program may look at it".into(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("no answer in {PATIENCE:?}; a task may hold the loop")
        }
        _ => error.to_string(),
    }
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
