//! The terminal: a thread that edits lines, and what is shown above them meanwhile.
//!
//! ```text
//!                    ┌── editor thread ── writes texts; edits a line when asked ──▶ inputs ──▶ the loop
//!   the loop ──▶ items
//!                    └── printer thread ── has texts drawn above the line that is being edited
//! ```
//! The loop only ever appends an item. Which of the two threads takes it depends on what the editor is doing, so that a text
//! never lands in the middle of a line.
//!
//! rustyline has an `ExternalPrinter` for that. With it, keys that arrive together are not seen before the next one is
//! pressed, so what is pasted or typed ahead would hang. Therefore we draw ourselves: rustyline tells its helper of each
//! change of the line before it draws that, and draws it anew each time. Whichever of the two draws last, it draws the same.
//! The price: a text that comes in the very moment in which a key makes the line longer by a row may leave that row behind.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anstyle::Style;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::history::MemHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{ColorMode, CompletionType, Config, Context, Editor as Rustyline, Helper};

use crate::error::DeskError;
use crate::front::{Input, Inputs};
use crate::input::{AFTER, HELP, InputError, QUIT, TIMERS, TREE};

/// The loop's end of the terminal.
pub(crate) struct Editor {
    shared: Arc<Shared>,
    /// The terminal's mode while no line is edited.
    original: Termios,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Locked before `state` if both are.
    line: Mutex<Line>,
}

struct State {
    items: VecDeque<Item>,
    doing: Doing,
    /// How many texts were left out because the terminal could not keep up.
    skipped: usize,
    is_closing: bool,
    /// Each event, and what it would do now: for hints.
    prospects: Vec<(String, String)>,
    /// Why the terminal can't be written.
    failure: Option<io::Error>,
}

enum Item {
    /// Whole lines.
    Text(String),
    /// A line is wanted.
    Prompt,
}

/// What the editor thread is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// It waits for an item.
    Nothing,
    /// It writes a text.
    Writing,
    /// It is about to edit a line: the prompt may or may not be there.
    Opening,
    /// It edits a line: the terminal is in raw mode, and texts can be drawn above the prompt.
    Editing,
    /// The line is done, and the cursor about to leave it.
    Ending,
}

/// The line that is being edited, as it is drawn or about to be. Whoever draws it has this locked, or its new state is in
/// here already.
struct Line {
    text: String,
    /// The cursor, in bytes of the text.
    pos: usize,
    /// Set while it may be drawn anew.
    is_there: bool,
}

/// How many texts are kept for a terminal that does not keep up, or for an editor that waits for the second half of a key.
const TEXTS_MAX: usize = 1000;

impl Editor {
    /// Takes the terminal over. No line is edited before one is asked for.
    ///
    /// # Errors
    /// If standard input or output is not a terminal after all.
    pub(crate) fn open(inputs: &Inputs, is_coloured: bool) -> Result<Self, DeskError> {
        let original = tcgetattr(io::stdin()).map_err(|error| DeskError::Input(error.into()))?;
        let shared = Arc::new(Shared::new());
        let rustyline = rustyline(&shared, is_coloured)?;
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || print(&shared, is_coloured)
        });
        thread::spawn({
            let (shared, inputs) = (Arc::clone(&shared), inputs.clone());
            move || edit(&shared, rustyline, &inputs)
        });
        Ok(Self { shared, original })
    }

    /// Shows `text`, whole lines, above the line that is being edited. If too many wait to be shown, it is counted instead.
    pub(crate) fn show(&self, text: String) {
        let mut state = self.shared.state();
        if state.items.len() < TEXTS_MAX {
            state.items.push_back(Item::Text(text));
        } else {
            state.skipped += 1;
        }
        self.shared.tell(state);
    }

    /// Asks for a line.
    pub(crate) fn ask(&self) {
        let mut state = self.shared.state();
        state.items.push_back(Item::Prompt);
        self.shared.tell(state);
    }

    /// Notes what each event would do now.
    pub(crate) fn foresee(&self, prospects: Vec<(String, String)>) {
        self.shared.state().prospects = prospects;
    }

    /// Lets the threads take no more items: what is shown from now on comes last.
    pub(crate) fn stop(&self) {
        let mut state = self.shared.state();
        state.is_closing = true;
        self.shared.tell(state);
    }

    /// Blocks until every text is shown, and leaves the terminal as it was. The line that is being edited is given up.
    ///
    /// # Errors
    /// If the terminal can't be written.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.stop();
        // Nobody draws the line from here on.
        let (_line, mut state) = self.shared.lock_between_drawings();
        let mut out = io::stdout().lock();
        if state.doing == Doing::Editing {
            // The editor waits for a key that may never come. It is left there, and what it set up is undone here.
            tcsetattr(io::stdin(), OptionalActions::Now, &self.original)?;
            out.write_all(b"\x1b[?2004l\n")?;
        }
        while let Some(text) = state.pop_text() {
            out.write_all(text.as_bytes())?;
        }
        out.flush()?;
        state.failure.take().map_or(Ok(()), Err)
    }
}

/// The editor thread. Ends when the desk closes; usually the process ends first.
fn edit(shared: &Shared, mut rustyline: Rustyline<Prompter, MemHistory>, inputs: &Inputs) {
    while let Some(item) = shared.next_item() {
        match item {
            Item::Text(text) => {
                let mut out = io::stdout().lock();
                let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                if let Err(error) = written {
                    shared.state().failure.get_or_insert(error);
                    inputs.push(Input::OutputFailed);
                }
                shared.do_now(Doing::Nothing);
            }
            Item::Prompt => {
                let read = rustyline.readline(PROMPT);
                shared.line().is_there = false;
                if let Ok(line) = &read {
                    // What can't be remembered can be typed again.
                    let _ = rustyline.add_history_entry(line.trim());
                }
                shared.do_now(Doing::Nothing);
                inputs.push(input_of(read));
            }
        }
    }
}

fn input_of(read: rustyline::Result<String>) -> Input {
    match read {
        Ok(line) => Input::Line(Ok(line)),
        // Ctrl-C, Ctrl-D.
        Err(ReadlineError::Interrupted | ReadlineError::Eof) => Input::End,
        // A key that is no text spoils the line that it is typed on, and no other.
        Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            Input::Line(Err(InputError::NotUtf8))
        }
        Err(ReadlineError::Io(error)) => Input::Failed(error),
        Err(error) => Input::Failed(io::Error::other(error)),
    }
}

/// The printer thread. It draws above the line that is being edited, while the editor thread waits for keys.
fn print(shared: &Shared, is_coloured: bool) {
    while shared.wait_for_text_while_editing() {
        let line = shared.line();
        // The line may be done since. Then the editor thread writes the text.
        let text = line.is_there.then(|| shared.state().pop_text());
        let Some(Some(text)) = text else { continue };
        let hint = shared.hint(&line).unwrap_or_default();
        let columns = columns();
        let drawn = line.drawn_below(&text, &hint, is_coloured, columns);
        let mut out = io::stdout().lock();
        // It fails if the terminal is gone, and then so is the editor, which reports it.
        let _ = out.write_all(drawn.as_bytes()).and_then(|()| out.flush());
    }
}

/// How wide the terminal is now.
pub(crate) fn columns() -> usize {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => 80,
    }
}

impl Line {
    /// Returns what replaces the line on the screen by `text` and the same line below it.
    ///
    /// A character is taken to be one column wide, as those of all requests are.
    fn drawn_below(&self, text: &str, hint: &str, is_coloured: bool, columns: usize) -> String {
        let cursor = PROMPT.len() + self.text[..self.pos].chars().count();
        let end = PROMPT.len() + self.text.chars().count() + hint.chars().count();
        let cursor_row = cursor / columns;
        let end_row = (end - 1) / columns;
        let dim = if is_coloured { DIM } else { Style::new() };
        let to_start = up(cursor_row);
        let line = &self.text;
        let to_cursor_row = up(end_row.saturating_sub(cursor_row));
        let to_cursor = match cursor % columns {
            0 => String::new(),
            right => format!("\x1b[{right}C"),
        };
        format!(
            "{to_start}\r\x1b[J{text}{PROMPT}{line}{dim}{hint}{dim:#}{to_cursor_row}\r{to_cursor}"
        )
    }
}

fn up(rows: usize) -> String {
    if rows == 0 {
        return String::new();
    }
    format!("\x1b[{rows}A")
}

impl Shared {
    fn new() -> Self {
        let state = State {
            items: VecDeque::new(),
            doing: Doing::Nothing,
            skipped: 0,
            is_closing: false,
            prospects: Vec::new(),
            failure: None,
        };
        let line = Line {
            text: String::new(),
            pos: 0,
            is_there: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            line: Mutex::new(line),
        }
    }

    /// Blocks until there is an item for the editor thread, and notes that it is at it. `None` if the desk closes.
    fn next_item(&self) -> Option<Item> {
        let mut state = self.state();
        loop {
            if state.is_closing {
                return None;
            }
            if let Some(item) = state.pop() {
                state.doing = match item {
                    Item::Text(_) => Doing::Writing,
                    Item::Prompt => Doing::Opening,
                };
                return Some(item);
            }
            state = self.wait(state);
        }
    }

    /// Blocks until there is a text to be drawn above the line that is being edited. Returns `false` if the desk closes.
    fn wait_for_text_while_editing(&self) -> bool {
        let mut state = self.state();
        loop {
            if state.is_closing {
                return false;
            }
            if state.doing == Doing::Editing && !state.items.is_empty() {
                return true;
            }
            state = self.wait(state);
        }
    }

    /// Blocks until nothing is under way that ends by itself.
    fn lock_between_drawings(&self) -> (MutexGuard<'_, Line>, MutexGuard<'_, State>) {
        let is_passing = |doing| matches!(doing, Doing::Opening | Doing::Writing | Doing::Ending);
        loop {
            let mut state = self.state();
            while is_passing(state.doing) {
                state = self.wait(state);
            }
            drop(state);
            let line = self.line();
            let state = self.state();
            if !is_passing(state.doing) {
                return (line, state);
            }
        }
    }

    fn do_now(&self, doing: Doing) {
        let mut state = self.state();
        state.doing = doing;
        self.tell(state);
    }

    /// Ends a change: the threads that wait look again.
    fn tell(&self, state: MutexGuard<'_, State>) {
        drop(state);
        self.changed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how the line is about to be drawn. The first time, the terminal is in raw mode, and texts can be drawn above it.
    fn line_changes(&self, text: &str, pos: usize) {
        let mut line = self.line();
        text.clone_into(&mut line.text);
        line.pos = pos;
        let mut state = self.state();
        if state.doing == Doing::Opening {
            state.doing = Doing::Editing;
            line.is_there = true;
            self.tell(state);
        }
    }

    /// Notes that the line is done, before the cursor leaves it.
    fn line_ends(&self) {
        self.line().is_there = false;
        self.do_now(Doing::Ending);
    }

    /// What the event on the line would do, if there is one before the cursor.
    fn hint(&self, line: &Line) -> Option<String> {
        let typed = (line.pos == line.text.len()).then_some(line.text.trim())?;
        let state = self.state();
        let (_, prospect) = state.prospects.iter().find(|(event, _)| event == typed)?;
        Some(format!("  {prospect}"))
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is locked, so it is never left half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pop(&mut self) -> Option<Item> {
        if self.skipped > 0 && !matches!(self.items.front(), Some(Item::Text(_))) {
            let skipped = std::mem::take(&mut self.skipped);
            let text = format!("  … and {skipped} more that were not shown\n");
            return Some(Item::Text(text));
        }
        self.items.pop_front()
    }

    /// The next text, which is the next item: nobody asks for a line while one is edited, and at the end nobody is asked.
    fn pop_text(&mut self) -> Option<String> {
        loop {
            match self.pop()? {
                Item::Text(text) => return Some(text),
                Item::Prompt => {}
            }
        }
    }
}

fn rustyline(
    shared: &Arc<Shared>,
    is_coloured: bool,
) -> Result<Rustyline<Prompter, MemHistory>, DeskError> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        // Without it the highlighter is not asked, and we are not told where the cursor goes. There is colour in the hint only.
        .color_mode(ColorMode::Forced)
        .build();
    let history = MemHistory::with_config(&config);
    let mut rustyline = Rustyline::with_history(config, history).map_err(unreadable)?;
    rustyline.set_helper(Some(Prompter {
        shared: Arc::clone(shared),
        is_coloured,
    }));
    Ok(rustyline)
}

fn unreadable(error: ReadlineError) -> DeskError {
    DeskError::Input(match error {
        ReadlineError::Io(error) => error,
        error => io::Error::other(error),
    })
}

/// What the editor knows of the desk while a line is typed.
struct Prompter {
    shared: Arc<Shared>,
    is_coloured: bool,
}

impl Helper for Prompter {}

/// Asked at Enter.
impl Validator for Prompter {
    fn validate(&self, _: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        self.shared.line_ends();
        Ok(ValidationResult::Valid(None))
    }
}

/// Completes what stands before the cursor, in whatever case it was begun. An event that is typed in full is meant, even if
/// a longer word begins so.
impl Completer for Prompter {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let begun = line[..pos].trim_start();
        let is_meant = |word: &String| {
            word.get(..begun.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(begun))
        };
        let state = self.shared.state();
        let events = state.prospects.iter().map(|(event, _)| event.clone());
        let commands = [AFTER, TIMERS, TREE, HELP, QUIT].map(str::to_owned);
        let words = events.chain(commands);
        let mut words: Vec<String> = words.filter(is_meant).collect();
        if let Some(whole) = words.iter().position(|word| word.len() == begun.len()) {
            words = vec![words.swap_remove(whole)];
        }
        Ok((pos - begun.len(), words))
    }
}

impl Hinter for Prompter {
    type Hint = Prospect;

    /// Asked whenever the text changes, and when it is drawn first.
    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<Prospect> {
        self.shared.line_changes(line, pos);
        self.shared.hint(&self.shared.line()).map(Prospect)
    }
}

impl Highlighter for Prompter {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.is_coloured {
            Cow::Owned(format!("{DIM}{hint}{DIM:#}"))
        } else {
            Cow::Borrowed(hint)
        }
    }

    /// Asked whenever the cursor moves. `true` has the whole line drawn, wherever we have put it meanwhile.
    fn highlight_char(&self, line: &str, pos: usize, _: CmdKind) -> bool {
        self.shared.line_changes(line, pos);
        true
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

const PROMPT: &str = "> ";

const DIM: Style = Style::new().dimmed();
