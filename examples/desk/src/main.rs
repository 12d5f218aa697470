//! The desk: type events, and watch coroutines move between the wait queues, the ready queue and the worker.
//!
//! In the order in which to read it:
//! - [`orders`] is the program: the events, and what a coroutine does. [`desk`] schedules it, in tasks of the loop.
//! - [`reception`] is where events arrive from all sides, one turn at a time; [`timers`] are those that happen later.
//! - [`errands`] are the commands that are run for coroutines that have finished.
//! - [`serve`] is the main task, with all of it. [`clients`] are the others: a line protocol over TCP, on several workers. [`spool`]
//!   takes events from the files of a folder, which [`follow`] reads.
//! - [`front`] is who sits at the desk: a pipe, [`plain`], or a person, [`terminal`] with its [`editor`] and [`picture`].
//!   They are reached through threads, and a [`bridge`]; so is Ctrl-C while a line is edited, [`interrupts`].
//! - [`input`] and [`duration`] understand what is asked for, [`help`] says what can be; [`load`] is a million coroutines.

mod orders;

mod desk;

mod errands;
mod reception;
mod timers;

mod clients;
mod follow;
mod serve;
mod spool;

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

use antiphon_cli::{Question, ask};
use clap::builder::TypedValueParser;
use clap::{Parser, Subcommand};

use crate::error::DeskError;
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

    /// How many threads serve socket clients, each with an event loop of its own
    ///
    /// The desk itself is on the first. One serves thousands of clients; more are for machines whose one core is busy with
    /// them. With more than one, another program of the same user can listen at the same address.
    #[arg(long, global = true, value_name = "N", default_value_t = 1, requires = "listen",
        value_parser = number(1, WORKERS_MAX))]
    workers: usize,

    /// Takes events from the files in a folder as well, a line each
    ///
    /// Whatever is there is read, and then what is appended. A line counts when its end is there. Files may be renamed, replaced,
    /// truncated and removed; those whose names begin with a dot are not read.
    #[arg(long, global = true, value_name = "FOLDER")]
    spool: Option<PathBuf>,

    /// Runs `COMMAND NUMBER` for each coroutine that has finished
    ///
    /// The command is a program and its arguments with white space between them; no shell reads it. Its output is dropped, and
    /// when it fails, that is said with the last line of its standard error. The end of input waits for all commands; when the desk
    /// closes otherwise, those that run are asked to end (SIGTERM), and killed two seconds later.
    #[arg(long, global = true, value_name = "COMMAND")]
    exec: Option<String>,

    /// How many commands run at once
    #[arg(long, global = true, value_name = "N", default_value_t = 4, requires = "exec",
        value_parser = number(1, JOBS_MAX))]
    jobs: usize,

    /// Lets this user look at the program from outside, at a socket that is made at PATH
    ///
    /// `antiphon ps PATH` and `antiphon tree PATH` show each task of the first event loop, and the line where it waits. At
    /// SIGUSR1 a desk that prints the transcript says the same on standard error.
    #[arg(long, global = true, value_name = "PATH")]
    inspect: Option<PathBuf>,

    /// Drives N coroutines through A, B and C instead, and says what one costs
    #[arg(long, global = true, value_name = "N", conflicts_with_all = ["plain", "listen", "spool", "exec", "inspect"])]
    load: Option<usize>,

    #[command(flatten)]
    color: colorchoice_clap::Color,
}

#[derive(Subcommand)]
enum Command {
    /// Opens the desk; this is the default
    #[command(after_long_help = LESSON)]
    Desk,
    /// Shows each task of a running program, and the line where it waits: a line each
    Ps(Look),
    /// Shows the tasks of a running program under their parents, and all that they wait for
    Tree(Look),
}

#[derive(clap::Args)]
struct Look {
    /// The path that the program was given: `desk --inspect SOCKET`, or `antiphon::inspect`
    socket: PathBuf,

    /// Everything, as JSON
    #[arg(long)]
    json: bool,
}

const WORKERS_MAX: u16 = 64;
const JOBS_MAX: u16 = 1024;

/// Understands a number within bounds.
fn number(min: u16, max: u16) -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(u16)
        .range(i64::from(min)..=i64::from(max))
        .map(usize::from)
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
  piped input it closes too, when the last timer has happened and the last command has ended;
  with --listen or --spool it goes on serving. After a signal it is gone within 8 seconds, whoever
  reads or not. A second Ctrl-C ends the process at once.

Exit status:
  0    the desk was closed; lines that were no events do not change that, nor does a reader of
       standard output that went away
  1    standard input could not be read, standard output could not be written, or nobody could
       listen at the address or watch the folder; for ps and tree, there was no answer
  2    the arguments were wrong
  130  Ctrl-C was pressed twice";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.color.write_global();
    let result = match arguments.command {
        Some(Command::Ps(look)) => return show(&look, Question::Ps),
        Some(Command::Tree(look)) => return show(&look, Question::Tree),
        Some(Command::Desk) | None => open(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn open(arguments: Arguments) -> Result<(), DeskError> {
    match arguments.load {
        Some(coroutines) => serve::load(coroutines),
        None => serve::run(&Options {
            is_plain: arguments.plain,
            listen: arguments.listen,
            workers: arguments.workers,
            spool: arguments.spool,
            exec: arguments.exec,
            jobs: arguments.jobs,
            inspect: arguments.inspect,
        }),
    }
}

/// Asks a running program, and prints the answer.
fn show(look: &Look, question: Question) -> ExitCode {
    let question = if look.json { Question::Json } else { question };
    match ask(&look.socket, question) {
        Ok(picture) => match io::stdout().write_all(picture.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                report(&error);
                ExitCode::FAILURE
            }
            _ => ExitCode::SUCCESS,
        },
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
