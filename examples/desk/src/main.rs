//! The desk: type events, and watch coroutines move between the wait queues, the ready queue and the worker.
//!
//! In the order in which to read it:
//! - [`orders`] is the program: the events, and what a coroutine does. [`desk`] schedules it, in tasks of the loop.
//! - [`reception`] is where events arrive from all sides, one turn at a time; [`timers`] are those that happen later.
//! - [`serve`] is the main task, with all of it in one loop. [`clients`] are the others: a line protocol over TCP.
//! - [`front`] is who sits at the desk: a pipe, [`plain`], or a person, [`terminal`] with its [`editor`] and [`picture`].
//!   They are reached through threads, and a [`bridge`]; so are Ctrl-C and SIGTERM, [`interrupts`].
//! - [`input`] and [`duration`] understand what is asked for, [`help`] says what can be; [`load`] is a million coroutines.

mod orders;

mod desk;

mod reception;
mod timers;

mod clients;
mod serve;

mod front;

mod plain;

mod editor;
mod picture;
mod terminal;

mod bridge;

mod duration;
mod error;
mod help;
mod input;
mod interrupts;
mod load;

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::serve::Options;

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
    /// Standard output is then the transcript and nothing else; what is wrong with a line of input, that nobody
    /// waits for an event, and the answers to commands are said on standard error. This is the default unless standard
    /// input and standard output are terminals that can edit a line.
    #[arg(long, global = true)]
    plain: bool,

    /// Serves socket clients as well, at an address such as 127.0.0.1:7007
    ///
    /// Any number of clients, over TCP, while the terminal or pipe goes on working. Port 0 lets the system choose a
    /// port; the address is said on standard error. Whoever can reach it can send events. See "The protocol" below.
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,

    /// Lets this user look at the program from outside, at a socket that is made at PATH
    ///
    /// `antiphon-cli ps PATH` and `antiphon-cli tree PATH` show each task of the event loop, and the line where it waits.
    #[arg(long, global = true, value_name = "PATH")]
    inspect: Option<PathBuf>,

    /// Drives N coroutines through A, B and C instead, and says what one costs
    #[arg(long, global = true, value_name = "N", conflicts_with_all = ["plain", "listen", "inspect"])]
    load: Option<usize>,

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

Besides events, a line may be:
  after 5s B  lets B happen later; a whole number of ms, s, m or h
  timers      lists what is still to happen
  tree        shows each task of the event loop, and the line where it waits
  help        says what each event would do now
  quit        closes the desk; from a socket client, its connection

The protocol:
  Each line that a client sends is answered before its next one is read. The last line of an answer,
  and no other, begins with 'Task queue size' or 'error:'. The first answer comes unasked. A line
  has at most 1024 bytes, in UTF-8. A client who never reads is not read from either.
  $ antiphon desk --listen 127.0.0.1:7007 </dev/null &
  $ printf 'A\\nX\\n' | nc -N 127.0.0.1 7007
  Task queue size 0
  0 Processing event A, blocking on B
  Task queue size 1
  error: \"X\" is not an event; the events are A, B, C

The end:
  The desk closes at Ctrl-C or SIGTERM, at 'quit', and in a terminal at Ctrl-D: every coroutine
  that still waits is told, in the order of their numbers, and says a last line. At the end of
  piped input it closes too, when the last timer has happened; with --listen it goes on serving.
  A second Ctrl-C ends the process at once.

Exit status:
  0    the desk was closed; lines that were no events do not change that, nor does a reader of
       standard output that went away
  1    standard input could not be read, standard output could not be written, or nobody could
       listen at the address
  2    the arguments were wrong
  130  Ctrl-C was pressed twice";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.color.write_global();
    let Command::Desk = arguments.command.unwrap_or(Command::Desk);

    let result = match arguments.load {
        Some(coroutines) => serve::load(coroutines),
        None => serve::run(Options {
            is_plain: arguments.plain,
            listen: arguments.listen,
            inspect: arguments.inspect,
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Says on one line what went wrong, and why.
fn report(error: &dyn Error) {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    say(&line);
}

/// Says a line on standard error. If nobody can read it, nobody has to.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "antiphon: {line}");
}
