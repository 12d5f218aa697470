//! The desk at a pipe: a fixed transcript on standard output, everything else on standard error.
//!
//! Standard output holds the size of the queues, the prompt, and what the coroutines say; nothing else, ever, so
//! that it can be compared byte for byte. A line that is no event and an event that nobody waits for are messages,
//! with the number of the line.

use std::io::{self, BufRead, BufWriter, Write};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use anstyle::{AnsiColor, Style};

use crate::desk::Desk;
use crate::error::DeskError;
use crate::input::{self, InputError};

/// What the desk hears next.
enum Input {
    /// A line, in which there may be an event.
    Line(Result<String, InputError>),
    /// The end of standard input, or Ctrl-C.
    End,
    /// Standard input can't be read any further.
    Failed(io::Error),
}

/// Serves standard input until it ends or Ctrl-C is pressed, then closes the desk.
///
/// # Errors
/// If standard input can't be read or standard output can't be written. A reader of standard output that has gone
/// away is no error: the desk is closed, and that is the end.
pub(crate) fn run(desk: &mut Desk) -> Result<(), DeskError> {
    let inputs = listen()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut messages = anstream::stderr();
    serve(desk, inputs, &mut out, &mut messages)
}

/// Reads standard input and hears Ctrl-C, each on a thread of its own, into one channel.
///
/// A read can't be interrupted in a portable way, so the desk waits on the channel instead. When the desk is done
/// the process ends, and the reading thread with it.
fn listen() -> Result<Receiver<Input>, DeskError> {
    // A few lines are read ahead, no more: whoever writes faster than the desk reads has to wait.
    let (sender, inputs) = mpsc::sync_channel(16);
    let interrupts = sender.clone();
    ctrlc::set_handler(move || {
        // Refused if the desk is closing already, which is what the user wants.
        let _ = interrupts.send(Input::End);
    })
    .map_err(DeskError::Interrupts)?;
    thread::spawn(move || forward(&mut io::stdin().lock(), &sender));
    Ok(inputs)
}

/// Sends what is read, up to the end or the first failure. Stops when nobody listens.
fn forward(stdin: &mut impl BufRead, sender: &SyncSender<Input>) {
    loop {
        let input = match input::read_line(stdin) {
            Ok(Some(line)) => Input::Line(line),
            Ok(None) => Input::End,
            Err(error) => Input::Failed(error),
        };
        let more = matches!(input, Input::Line(_));
        if sender.send(input).is_err() || !more {
            return;
        }
    }
}

/// Serves `inputs`, then closes the desk, however they ended.
fn serve(
    desk: &mut Desk,
    inputs: impl IntoIterator<Item = Input>,
    out: &mut impl Write,
    messages: &mut impl Write,
) -> Result<(), DeskError> {
    let served = serve_inputs(desk, inputs, out, messages);
    let closed = close(desk, out, messages);
    match served.and(closed.map_err(DeskError::Output)) {
        Err(error) if error.is_reader_gone() => Ok(()),
        result => result,
    }
}

fn serve_inputs(
    desk: &mut Desk,
    inputs: impl IntoIterator<Item = Input>,
    out: &mut impl Write,
    messages: &mut impl Write,
) -> Result<(), DeskError> {
    let mut inputs = inputs.into_iter();
    for number in 1_u64.. {
        write!(out, "Task queue size {}\n> ", desk.waiting_len())?;
        out.flush()?;
        let line = match inputs.next() {
            Some(Input::Line(line)) => line,
            Some(Input::End) | None => break,
            Some(Input::Failed(error)) => return Err(DeskError::Input(error)),
        };
        match line.and_then(|line| input::parse(&line)) {
            Ok(event) => {
                let turn = desk.event(event);
                if turn.steps.is_empty() {
                    message(
                        messages,
                        NOTE,
                        format_args!("line {number}: nobody waits for {event}"),
                    );
                }
                for line in turn.steps.iter().flat_map(|step| &step.said) {
                    writeln!(out, "{line}")?;
                }
            }
            Err(error) => message(messages, ERROR, format_args!("line {number}: {error}")),
        }
    }
    Ok(())
}

/// Closes the desk. The farewells begin on a line of their own, below the last prompt.
fn close(desk: &mut Desk, out: &mut impl Write, messages: &mut impl Write) -> io::Result<()> {
    let farewells = desk.close();
    if farewells.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    for farewell in farewells {
        for line in &farewell.said {
            writeln!(out, "{line}")?;
        }
        if let Some(event) = farewell.ignored {
            out.flush()?;
            let id = farewell.id;
            message(
                messages,
                ERROR,
                format_args!("{id} did not close, and waited for {event}"),
            );
        }
    }
    out.flush()
}

/// Writes one line for a person. If nobody can read it, nobody has to.
fn message(messages: &mut impl Write, style: Style, text: impl std::fmt::Display) {
    let _ = writeln!(messages, "{style}antiphon:{style:#} {text}");
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const NOTE: Style = AnsiColor::Yellow.on_default().bold();

#[cfg(test)]
mod tests {
    use antiphon_coroutine::{Co, coroutine};

    use super::*;
    use crate::orders::{self, Event, Start};

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

    fn line(text: &str) -> Input {
        Input::Line(Ok(text.to_owned()))
    }

    #[test]
    fn the_desk_is_closed_wherever_its_reader_goes_away() {
        for bytes_left in 0..200 {
            let mut desk = Desk::new(orders::started_by);
            let inputs = [line("A"), line("B"), line("A")];
            let mut messages = Vec::new();
            let served = serve(&mut desk, inputs, &mut Closed { bytes_left }, &mut messages);
            assert!(served.is_ok(), "{bytes_left}: {served:?}");
            assert_eq!(desk.waiting_len(), 0, "{bytes_left}");
            assert!(messages.is_empty(), "{bytes_left}");
        }
    }

    #[test]
    fn the_desk_is_closed_when_the_input_fails() {
        let mut desk = Desk::new(orders::started_by);
        let inputs = [line("A"), Input::Failed(io::ErrorKind::Other.into())];
        let mut out = Vec::new();
        let served = serve(&mut desk, inputs, &mut out, &mut io::sink());
        assert!(matches!(served, Err(DeskError::Input(_))), "{served:?}");
        assert!(out.ends_with(b"> \n0 Closed while blocking on B\n"));
    }

    #[test]
    fn a_task_that_does_not_close_is_a_message() {
        let starts = |event| -> Option<Start> {
            (event == Event::A).then_some(|_| {
                let body = async move |co: &mut Co<'_, Event, Event>, _| {
                    while co.yield_(Event::B).await.is_err() {}
                };
                coroutine(body).boxed()
            })
        };
        let mut desk = Desk::new(starts);
        let (mut out, mut messages) = (Vec::new(), Vec::new());
        serve(&mut desk, [line("A")], &mut out, &mut messages).unwrap();
        assert_eq!(out, b"Task queue size 0\n> Task queue size 1\n> \n");
        let messages = anstream::adapter::strip_bytes(&messages).into_vec();
        assert_eq!(messages, b"antiphon: 0 did not close, and waited for B\n");
    }
}
