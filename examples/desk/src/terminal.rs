//! The desk in a terminal: a prompt with line editing, and a picture after each event.
//!
//! The prompt completes with Tab, remembers lines, and hints at what an event would do before it happens.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, Helper};

use crate::desk::Desk;
use crate::error::DeskError;
use crate::input::{self, InputError};
use crate::orders::Event;
use crate::picture;

/// Returns `true` if a person sits at both ends and the terminal can do what the prompt needs.
pub(crate) fn is_possible() -> bool {
    let can_edit = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && can_edit
}

/// Serves the person at the terminal until they leave, then closes the desk.
///
/// # Errors
/// If the terminal can't be read or written.
pub(crate) fn run(desk: &mut Desk) -> Result<(), DeskError> {
    let served = serve(desk);
    let closed = close(desk);
    served.and(closed.map_err(DeskError::Output))
}

fn serve(desk: &mut Desk) -> Result<(), DeskError> {
    let interrupted = hear_interrupts()?;
    let mut editor = editor()?;
    let mut out = anstream::stdout();
    let events = Event::names();
    writeln!(
        out,
        "Coroutines wait here for {events}. Tab completes, help explains, Ctrl-D leaves."
    )?;
    while !interrupted.load(Ordering::Relaxed) {
        editor.set_helper(Some(Prompter::new(desk)));
        let line = match editor.readline("> ") {
            Ok(line) => line,
            // Ctrl-C, Ctrl-D.
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => break,
            // A key that is no text spoils the line that it is typed on, and no other.
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                show_error(&InputError::NotUtf8, &mut out)?;
                continue;
            }
            Err(error) => return Err(unreadable(error)),
        };
        editor.add_history_entry(line.trim()).map_err(unreadable)?;
        let columns = editor
            .dimensions()
            .map_or(80, |(columns, _)| columns.into());
        // What is pasted may be several lines at once; each is answered as if it had been typed.
        for line in line.trim().split(['\r', '\n']).map(str::trim) {
            match line {
                HELP => write_help(desk, &mut out)?,
                QUIT => return Ok(()),
                line => answer(desk, line, columns, &mut out)?,
            }
        }
    }
    Ok(())
}

/// Lets the event on `line` happen, if there is one, and shows what it did.
fn answer(desk: &mut Desk, line: &str, columns: usize, out: &mut impl Write) -> io::Result<()> {
    match input::parse(line) {
        Ok(event) => {
            let turn = desk.event(event);
            write!(out, "{}", picture::draw(desk, &turn, columns))
        }
        Err(error) => show_error(&error, out),
    }
}

fn show_error(error: &InputError, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "  {ERROR}{error}{ERROR:#}")
}

/// Closes the desk and shows who took their leave.
fn close(desk: &mut Desk) -> io::Result<()> {
    let mut out = anstream::stdout();
    for farewell in desk.close() {
        for line in &farewell.said {
            writeln!(out, "{line}")?;
        }
        if let Some(event) = farewell.ignored {
            let id = farewell.id;
            writeln!(
                out,
                "{ERROR}{id} did not close, and waited for {event}{ERROR:#}"
            )?;
        }
    }
    out.flush()
}

/// Notes a SIGINT that arrives while no line is being edited. While one is, Ctrl-C is a key, and the editor has a
/// handler of its own for a SIGINT from elsewhere.
fn hear_interrupts() -> Result<Arc<AtomicBool>, DeskError> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))
        .map_err(DeskError::Interrupts)?;
    Ok(interrupted)
}

fn editor() -> Result<Editor<Prompter, MemHistory>, DeskError> {
    let color_mode = match AutoStream::choice(&io::stdout()) {
        ColorChoice::Never => ColorMode::Disabled,
        _ => ColorMode::Forced,
    };
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        .color_mode(color_mode)
        .build();
    let history = MemHistory::with_config(&config);
    Editor::with_history(config, history).map_err(unreadable)
}

fn unreadable(error: ReadlineError) -> DeskError {
    DeskError::Input(match error {
        ReadlineError::Io(error) => error,
        error => io::Error::other(error),
    })
}

fn write_help(desk: &Desk, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "  An event resumes the first coroutine that waits for it, or starts one. Now"
    )?;
    for event in Event::ALL {
        writeln!(out, "    {event:5} {}", prospect(desk, event))?;
    }
    writeln!(out, "  and besides")?;
    writeln!(out, "    {HELP:5} shows this")?;
    writeln!(out, "    {QUIT:5} closes the desk, as Ctrl-C and Ctrl-D do")
}

/// Says what `event` would do now.
fn prospect(desk: &Desk, event: Event) -> String {
    let resumes = desk
        .waiting(event)
        .next()
        .map(|task| format!("resumes {}", task.id()));
    let starts = desk.would_start(event).map(|id| format!("starts {id}"));
    let prospects: Vec<_> = resumes.into_iter().chain(starts).collect();
    if prospects.is_empty() {
        return String::from("finds nobody waiting");
    }
    prospects.join(" and ")
}

/// What the editor knows of the desk while a line is typed.
struct Prompter {
    /// Each event, and what it would do.
    prospects: Vec<(String, String)>,
}

impl Prompter {
    fn new(desk: &Desk) -> Self {
        let prospects = Event::ALL
            .into_iter()
            .map(|event| (event.to_string(), prospect(desk, event)))
            .collect();
        Self { prospects }
    }

    /// All that can be typed.
    fn words(&self) -> impl Iterator<Item = &str> {
        let events = self.prospects.iter().map(|(event, _)| event.as_str());
        events.chain([HELP, QUIT])
    }
}

impl Helper for Prompter {}

impl Validator for Prompter {}

/// Completes what stands before the cursor, in whatever case it was begun.
impl Completer for Prompter {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let begun = line[..pos].trim_start();
        let is_meant = |word: &&str| {
            word.get(..begun.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(begun))
        };
        let words = self.words().filter(is_meant).map(str::to_owned).collect();
        Ok((pos - begun.len(), words))
    }
}

impl Hinter for Prompter {
    type Hint = Prospect;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<Prospect> {
        let typed = (pos == line.len()).then_some(line.trim())?;
        let (_, prospect) = self.prospects.iter().find(|(event, _)| event == typed)?;
        Some(Prospect(format!("  {prospect}")))
    }
}

impl Highlighter for Prompter {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("{DIM}{hint}{DIM:#}"))
    }
}

/// A hint that is for reading: the right arrow doesn't type it.
struct Prospect(String);

impl Hint for Prospect {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

const HELP: &str = "help";
const QUIT: &str = "quit";

const DIM: Style = Style::new().dimmed();
const ERROR: Style = AnsiColor::Red.on_default();
