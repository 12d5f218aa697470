//! The desk in a terminal: a prompt with line editing, and a picture after each event.
//!
//! What socket clients and timers let happen is shown above the line that is being edited. A terminal that can't keep up is
//! shown less, and makes nobody wait.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

use crate::desk::{Desk, Farewell, Parting, Turn};
use crate::editor::{Editor, columns};
use crate::error::DeskError;
use crate::front::Inputs;
use crate::help::prospects;
use crate::orders::Event;
use crate::picture;
use crate::reception::Source;
use crate::timers::Timer;

/// Returns `true` if a person sits at both ends and the terminal can do what the prompt needs.
pub(crate) fn is_possible() -> bool {
    let can_edit = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && can_edit
}

/// What the person at the terminal sees.
pub(crate) struct Screen {
    editor: Editor,
    is_coloured: bool,
}

impl Screen {
    /// Takes the terminal over, and greets.
    ///
    /// # Errors
    /// If it can't be read after all.
    pub(crate) fn open(inputs: &Inputs) -> Result<Self, DeskError> {
        let is_coloured = !matches!(AutoStream::choice(&io::stdout()), ColorChoice::Never);
        let editor = Editor::open(inputs, is_coloured)?;
        let screen = Self {
            editor,
            is_coloured,
        };
        let events = Event::names();
        screen.write(format!(
            "Coroutines wait here for {events}. Tab completes, help explains, Ctrl-D leaves.\n"
        ));
        Ok(screen)
    }

    pub(crate) fn show(&self, desk: &Desk, timers: &[Timer], turn: &Turn, source: &Source) {
        let mut text = String::new();
        if !matches!(source, Source::Line(_)) {
            let event = turn.event;
            // Writing to a string doesn't fail.
            let _ = writeln!(text, "{DIM}{source} >{DIM:#} {event}");
        }
        text += &picture::draw(desk, timers, turn, columns());
        // First, so that the hint on the line below the text is of the same moment.
        self.editor.foresee(prospects(desk));
        self.write(text);
    }

    pub(crate) fn ask(&self, desk: &Desk) {
        self.editor.foresee(prospects(desk));
        self.editor.ask();
    }

    pub(crate) fn answer(&self, lines: &[String]) {
        let mut text = String::new();
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
        self.write(text);
    }

    pub(crate) fn refuse(&self, error: &dyn Error) {
        self.write(format!("  {ERROR}{error}{ERROR:#}\n"));
    }

    pub(crate) fn warn(&self, text: &str) {
        self.write(format!("{ERROR}{text}{ERROR:#}\n"));
    }

    /// The farewells come below everything else, and below the line that is given up.
    pub(crate) fn part(&self, farewells: &[Farewell]) {
        self.editor.stop();
        let mut text = String::new();
        for farewell in farewells {
            for line in &farewell.said {
                let _ = writeln!(text, "{line}");
            }
            let id = farewell.id;
            let _ = match farewell.parting {
                Parting::Heard => Ok(()),
                Parting::Ignored(event) => writeln!(
                    text,
                    "{ERROR}{id} did not close, and waited for {event}{ERROR:#}"
                ),
                Parting::Panicked => {
                    writeln!(text, "{ERROR}{id} panicked when it was closed{ERROR:#}")
                }
            };
        }
        self.write(text);
    }

    pub(crate) fn finish(&self) -> io::Result<()> {
        self.editor.finish()
    }

    /// Shows `text`, which is styled, as the terminal wants it.
    fn write(&self, text: String) {
        self.editor.show(if self.is_coloured {
            text
        } else {
            anstream::adapter::strip_str(&text).to_string()
        });
    }
}

const DIM: Style = Style::new().dimmed();
const ERROR: Style = AnsiColor::Red.on_default();
