//! The desk at a pipe: a fixed transcript on standard output, everything else on standard error.
//!
//! Standard output holds the size of the queues, the prompt, and what the coroutines say; nothing else, ever, so
//! that it can be compared byte for byte. What a socket client or a timer lets happen is in it as if it had been piped in. A
//! line that is no request, an event that nobody waits for, and the answers to commands are messages, with the number of the
//! line.
//!
//! A thread reads and another one writes. The transcript is complete: if nobody reads it, the desk waits.

use std::cell::Cell;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufWriter, Write};
use std::thread::{self, JoinHandle};

use anstyle::{AnsiColor, Style};
use antiphon::unblock;

use crate::bridge::Bridge;
use crate::desk::{Farewell, Next, Parting, Turn};
use crate::front::{Input, Inputs};
use crate::input;
use crate::reception::Source;

/// What is written where.
#[derive(Debug, PartialEq, Eq)]
enum Output {
    /// To standard output, as it is.
    Transcript(String),
    /// To standard error, for a person: a line, without its end.
    Message(String),
}

/// Standard output and standard error, written by a thread.
pub(crate) struct Transcript {
    outputs: Bridge<Output>,
    writer: Cell<Option<JoinHandle<io::Result<()>>>>,
}

/// How many outputs may be on their way before the desk waits.
const OUTPUTS_MAX: usize = 64;

impl Transcript {
    /// Starts to read standard input, and to write what is shown.
    pub(crate) fn open(inputs: &Inputs) -> Self {
        let outputs = Bridge::new(OUTPUTS_MAX);
        let writer = thread::spawn({
            let (outputs, inputs) = (outputs.clone(), inputs.clone());
            move || {
                let out = BufWriter::new(io::stdout().lock());
                let written = write(&outputs, out, anstream::stderr());
                if written.is_err() {
                    // Nobody has to wait for room any more.
                    outputs.close();
                    inputs.push(Input::OutputFailed);
                }
                written
            }
        });
        let inputs = inputs.clone();
        // A read can't be interrupted in a portable way. When the desk is done the process ends, and this thread with it.
        thread::spawn(move || forward(&mut io::stdin().lock(), &inputs));
        Self {
            outputs,
            writer: Cell::new(Some(writer)),
        }
    }

    pub(crate) fn show(&self, turn: &Turn, source: &Source) {
        // A client is told by itself.
        if turn.steps.is_empty() && !matches!(source, Source::Client(_)) {
            let event = turn.event;
            self.message(NOTE, format_args!("{source}: nobody waits for {event}"));
        }
        let mut text = String::new();
        for step in &turn.steps {
            push_lines(&mut text, &step.said);
            if step.next == Next::Panicked {
                self.warn(&format!("{} panicked, and is gone", step.id));
            }
        }
        text += &prompt(turn.waiting_len);
        self.outputs.push(Output::Transcript(text));
    }

    pub(crate) async fn room(&self) {
        self.outputs.room().await;
    }

    pub(crate) fn ask(&self, waiting_len: usize) {
        self.outputs.push(Output::Transcript(prompt(waiting_len)));
    }

    pub(crate) fn answer(&self, number: u64, lines: &[String]) {
        for line in lines {
            self.message(NOTE, format_args!("line {number}: {line}"));
        }
    }

    pub(crate) fn refuse(&self, number: u64, error: &dyn Error) {
        self.message(ERROR, format_args!("line {number}: {error}"));
    }

    pub(crate) fn warn(&self, text: &str) {
        self.message(ERROR, format_args!("{text}"));
    }

    pub(crate) fn note(&self, text: &str) {
        self.message(NOTE, format_args!("{text}"));
    }

    /// The farewells begin on a line of their own, below the last prompt.
    pub(crate) fn part(&self, farewells: &[Farewell]) {
        if farewells.is_empty() {
            return;
        }
        let mut text = String::from("\n");
        for farewell in farewells {
            push_lines(&mut text, &farewell.said);
            let id = farewell.id;
            let trouble = match farewell.parting {
                Parting::Heard => continue,
                Parting::Ignored(event) => format!("{id} did not close, and waited for {event}"),
                Parting::Panicked => format!("{id} panicked when it was closed"),
            };
            self.outputs
                .push(Output::Transcript(std::mem::take(&mut text)));
            self.warn(&trouble);
        }
        self.outputs.push(Output::Transcript(text));
    }

    /// Waits until all is written. Whoever does not read what is written is waited for on another thread, so that a signal is heard
    /// meanwhile.
    pub(crate) async fn finish(&self) -> io::Result<()> {
        self.outputs.close();
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        let joined = unblock(move || writer.join()).await;
        joined
            .map_err(io::Error::other)?
            .unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    }

    fn message(&self, style: Style, text: std::fmt::Arguments<'_>) {
        let line = format!("{style}antiphon:{style:#} {text}");
        self.outputs.push(Output::Message(line));
    }
}

fn prompt(waiting_len: usize) -> String {
    format!("Task queue size {waiting_len}\n> ")
}

fn push_lines(text: &mut String, lines: &[String]) {
    for line in lines {
        // Writing to a string doesn't fail.
        let _ = writeln!(text, "{line}");
    }
}

/// Sends what is read, up to the end or the first failure. Stops when nobody listens.
fn forward(stdin: &mut impl BufRead, inputs: &Inputs) {
    loop {
        let input = match input::read_line(stdin) {
            Ok(Some(line)) => Input::Line(line),
            Ok(None) => Input::End,
            Err(error) => Input::Failed(error),
        };
        let more = matches!(input, Input::Line(_));
        inputs.push(input);
        if !more || !inputs.room_blocking() {
            return;
        }
    }
}

/// Writes what comes until no more does, in its order, and at once if nothing follows.
fn write(
    outputs: &Bridge<Output>,
    mut out: impl Write,
    mut messages: impl Write,
) -> io::Result<()> {
    while let Some(output) = outputs.pop_blocking() {
        match output {
            Output::Transcript(text) => {
                out.write_all(text.as_bytes())?;
                if outputs.is_empty() {
                    out.flush()?;
                }
            }
            Output::Message(line) => {
                out.flush()?;
                // If nobody can read it, nobody has to.
                let _ = writeln!(messages, "{line}");
            }
        }
    }
    out.flush()
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const NOTE: Style = AnsiColor::Yellow.on_default().bold();

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe whose reader has gone away after `bytes_left`.
    struct Closed {
        bytes_left: usize,
    }

    impl Write for Closed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = bytes.len().min(self.bytes_left);
            self.bytes_left -= len;
            if len == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A transcript that nobody writes yet.
    fn transcript() -> Transcript {
        Transcript {
            outputs: Bridge::new(OUTPUTS_MAX),
            writer: Cell::new(None),
        }
    }

    /// Writes what is on its way, and returns both streams, without styles.
    fn written(transcript: &Transcript) -> (String, String) {
        transcript.outputs.close();
        let (mut out, mut messages) = (Vec::new(), Vec::new());
        write(&transcript.outputs, &mut out, &mut messages).unwrap();
        let messages = anstream::adapter::strip_bytes(&messages).into_vec();
        (
            String::from_utf8(out).unwrap(),
            String::from_utf8(messages).unwrap(),
        )
    }

    #[test]
    fn a_reader_that_goes_away_is_noticed_wherever_it_does() {
        for bytes_left in 0..40 {
            let outputs = Bridge::new(OUTPUTS_MAX);
            outputs.push(Output::Transcript(prompt(0)));
            outputs.push(Output::Transcript(prompt(1)));
            outputs.close();
            let written = write(&outputs, Closed { bytes_left }, io::sink());
            let error = written.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{bytes_left}");
        }
    }

    #[test]
    fn a_task_that_does_not_close_is_a_message() {
        let transcript = transcript();
        let said = vec![String::from("2 Closed")];
        let farewell = |id, said, parting| Farewell { id, said, parting };
        transcript.part(&[
            farewell(0, Vec::new(), Parting::Ignored(crate::orders::Event::B)),
            farewell(1, Vec::new(), Parting::Panicked),
            farewell(2, said, Parting::Heard),
        ]);
        let (out, messages) = written(&transcript);
        assert_eq!(out, "\n2 Closed\n");
        assert_eq!(
            messages,
            "antiphon: 0 did not close, and waited for B\nantiphon: 1 panicked when it was closed\n"
        );
    }

    #[test]
    fn a_failed_read_is_the_last_input() {
        /// One line, and then a failure.
        struct Torn(&'static [u8]);
        impl io::Read for Torn {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                match self.0.read(buf)? {
                    0 => Err(io::ErrorKind::Other.into()),
                    len => Ok(len),
                }
            }
        }
        let inputs = Bridge::new(16);
        forward(&mut io::BufReader::new(Torn(b"A\n")), &inputs);
        inputs.close();
        assert!(matches!(inputs.pop_blocking(), Some(Input::Line(Ok(line))) if line == "A"));
        assert!(matches!(inputs.pop_blocking(), Some(Input::Failed(_))));
        assert!(inputs.pop_blocking().is_none());
    }
}
