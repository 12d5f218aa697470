//! Asks a running program who in it waits, for what, on which line, and since when.
//!
//! The program listens at a Unix socket, which `antiphon::inspect` serves. This asks it one line and returns the answer, and knows
//! nothing else of the program: whatever is in the picture is the library's. The binary `antiphon-cli` prints it.
//!
//! ```no_run
//! use antiphon_cli::{Question, ask};
//!
//! match ask("/run/user/1000/shop.socket".as_ref(), Question::Tree) {
//!     Ok(picture) => print!("{picture}"),
//!     Err(error) => eprintln!("{error}"),
//! }
//! ```

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a program can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// A line for each task.
    Ps,
    /// Children under their parents, with their scopes and all that they wait for.
    Tree,
    /// Everything, as JSON.
    Json,
}

impl Question {
    /// Returns its word in the protocol.
    const fn word(self) -> &'static str {
        match self {
            Self::Ps => "ps",
            Self::Tree => "tree",
            Self::Json => "json",
        }
    }
}

/// Asks the program that listens at `socket`, and returns the picture: lines, without control characters.
///
/// This blocks the thread, for ten seconds at most if the program does not answer.
///
/// # Errors
/// [`AskError`], which says what it means that there is no answer.
pub fn ask(socket: &Path, question: Question) -> Result<String, AskError> {
    exchange(socket, question).map_err(|error| AskError {
        socket: socket.to_owned(),
        error,
    })
}

/// A program whose loop is held does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

fn exchange(socket: &Path, question: Question) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("antiphon 1 {}\n", question.word()).as_bytes())?;
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

/// Why there is no picture. Its message is for a person, and begins with the path of the socket.
#[derive(Debug)]
pub struct AskError {
    socket: PathBuf,
    error: io::Error,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.socket.display())?;
        match self.error.kind() {
            ErrorKind::NotFound => f.write_str("there is no such socket"),
            ErrorKind::ConnectionRefused => {
                f.write_str("nobody listens there; the program has ended")
            }
            ErrorKind::PermissionDenied => {
                f.write_str("only the user who runs the program may look at it")
            }
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                write!(f, "no answer in {PATIENCE:?}; a task may hold the loop")
            }
            _ => self.error.fmt(f),
        }
    }
}

impl Error for AskError {}
