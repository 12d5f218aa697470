//! The one who sits at the desk: a person at a terminal, or whatever is at the two ends of the pipe.

use crate::bridge::Bridge;
use crate::desk::{Desk, Farewell, Turn};
use crate::error::DeskError;
use crate::input::InputError;
use crate::plain::Transcript;
use crate::reception::Source;
use crate::terminal::Screen;
use crate::timers::Timer;

/// Where what happens is shown. Nothing here waits, except [`room`](Self::room).
pub(crate) enum Front {
    Plain(Transcript),
    Terminal(Screen),
}

/// What the front has to tell, from threads of its own.
pub(crate) enum Input {
    /// A line, in which there may be a request.
    Line(Result<String, InputError>),
    /// The end of standard input, or of the person's patience.
    End,
    /// Standard input can't be read any further.
    Failed(std::io::Error),
    /// Standard output can't be written any further. Why, [`Front::finish`] says.
    OutputFailed,
}

/// Lines from the front, on their way to the loop. A few are read ahead, no more: whoever writes faster than the desk reads
/// has to wait.
pub(crate) type Inputs = Bridge<Input>;

/// How many lines are read ahead.
pub(crate) const INPUTS_MAX: usize = 16;

impl Front {
    /// Shows `turn`, and the desk after it.
    pub(crate) fn show(&self, desk: &Desk, timers: &[Timer], turn: &Turn, source: &Source) {
        match self {
            Self::Plain(transcript) => transcript.show(turn, source),
            Self::Terminal(screen) => screen.show(desk, timers, turn, source),
        }
    }

    /// Waits until what was shown is on its way, so that more can be. A terminal does not make others wait: if it can't keep
    /// up, it shows less.
    pub(crate) async fn room(&self) {
        if let Self::Plain(transcript) = self {
            transcript.room().await;
        }
    }

    /// Asks for a line. `turned` says that a turn was shown in answer to the last one: in the transcript it ends with a prompt.
    pub(crate) fn ask(&self, desk: &Desk, turned: bool) {
        match self {
            Self::Plain(_) if turned => {}
            Self::Plain(transcript) => transcript.ask(desk.waiting_len()),
            Self::Terminal(screen) => screen.ask(desk),
        }
    }

    /// Splits what was read into the lines that were meant. What is pasted in a terminal may be several at once, and each
    /// is answered as if it had been typed.
    pub(crate) fn split(&self, read: String) -> Vec<String> {
        match self {
            Self::Plain(_) => vec![read],
            Self::Terminal(_) => {
                let lines = read.trim().split(['\r', '\n']);
                lines.map(str::to_owned).collect()
            }
        }
    }

    /// Answers line `number` with lines that are not a turn.
    pub(crate) fn answer(&self, number: u64, lines: &[String]) {
        match self {
            Self::Plain(transcript) => transcript.answer(number, lines),
            Self::Terminal(screen) => screen.answer(lines),
        }
    }

    /// Says what is wrong with line `number`.
    pub(crate) fn refuse(&self, number: u64, error: &dyn std::error::Error) {
        match self {
            Self::Plain(transcript) => transcript.refuse(number, error),
            Self::Terminal(screen) => screen.refuse(error),
        }
    }

    /// Says what is wrong elsewhere.
    pub(crate) fn warn(&self, text: &str) {
        match self {
            Self::Plain(transcript) => transcript.warn(text),
            Self::Terminal(screen) => screen.warn(text),
        }
    }

    /// Says something that nobody has asked for.
    pub(crate) fn note(&self, text: &str) {
        match self {
            Self::Plain(transcript) => transcript.note(text),
            Self::Terminal(screen) => screen.answer(&[text.to_owned()]),
        }
    }

    /// Shows who took their leave.
    pub(crate) fn part(&self, farewells: &[Farewell]) {
        match self {
            Self::Plain(transcript) => transcript.part(farewells),
            Self::Terminal(screen) => screen.part(farewells),
        }
    }

    /// Waits until all is shown, and leaves the terminal as it was.
    ///
    /// # Errors
    /// If not all could be shown.
    pub(crate) async fn finish(&self) -> Result<(), DeskError> {
        match self {
            Self::Plain(transcript) => transcript.finish().await,
            // It is this thread that puts the terminal back, and a terminal takes what it is given.
            Self::Terminal(screen) => screen.finish(),
        }
        .map_err(DeskError::Output)
    }
}
