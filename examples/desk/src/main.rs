//! The desk: type events, and watch coroutines move between the wait queues, the ready queue and the worker.
//!
//! Read [`orders`] first, which is the program; then [`desk`], which schedules it; the rest is how people and pipes
//! reach them.

mod orders;

mod desk;

mod error;
mod input;
mod picture;

mod plain;
mod terminal;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::desk::Desk;

/// Coroutines wait for events, and you send them
///
/// An event is a letter on a line of its own: A, B or C. A starts a coroutine, which waits for B and then for C. Each
/// event resumes the first coroutine that waits for it, first come first served; a coroutine is known by the number
/// it got when it started. An event that nobody waits for is not remembered.
///
/// In a terminal the desk has a prompt, and shows after each event who was ready, who ran, and who waits where. At a
/// pipe, or with --plain, it prints a transcript instead.
#[derive(Parser)]
#[command(name = "antiphon", version, after_long_help = LESSON)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// Prints the transcript even in a terminal
    ///
    /// Standard output is then the transcript and nothing else; what is wrong with a line of input, or that nobody
    /// waits for an event, is said on standard error. This is the default unless standard input and standard output
    /// are terminals that can edit a line.
    #[arg(long, global = true)]
    plain: bool,

    #[command(flatten)]
    color: colorchoice_clap::Color,
}

#[derive(Subcommand)]
enum Command {
    /// Opens the desk; this is the default
    #[command(after_long_help = LESSON)]
    Desk,
}

const LESSON: &str = "\
Example:
  $ printf 'A\\nB\\nC\\n' | antiphon desk --plain
  Task queue size 0
  > 0 Processing event A, blocking on B
  Task queue size 1
  > 0 Processing event B, blocking on C
  Task queue size 1
  > 0 Processing event C, task done
  Task queue size 0
  > 

The desk closes at the end of input or at Ctrl-C: every coroutine that still waits is told, in the
order of their numbers, and says a last line.

Exit status:
  0  the desk was closed; lines that were no events do not change that, nor does a reader of
     standard output that went away
  1  standard input could not be read, or standard output could not be written
  2  the arguments were wrong";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.color.write_global();
    let Command::Desk = arguments.command.unwrap_or(Command::Desk);

    let mut desk = Desk::new(orders::started_by);
    let result = if arguments.plain || !terminal::is_possible() {
        plain::run(&mut desk)
    } else {
        terminal::run(&mut desk)
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Says on one line what went wrong, and why. If nobody can read it, the exit status still tells.
fn report(error: &dyn Error) {
    let mut line = format!("antiphon: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    let _ = writeln!(io::stderr(), "{line}");
}
