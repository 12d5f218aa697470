//! From bytes to requests: lines of any length and content, one clear error for each that is no request.

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::time::Duration;

use crate::duration::{self, DurationError};
use crate::orders::Event;

/// What a line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// `B`: the event happens now.
    Event(Event),
    /// `after 5s B`: it happens then.
    After(Duration, Event),
    /// `timers`: which events are still to happen?
    Timers,
    /// `tree`: what is each task of the loop doing?
    Tree,
    Help,
    Quit,
}

/// Why a line is not a request. The line is at fault; the ones after it are read as if it had not been there.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum InputError {
    /// Nothing on the line but white space.
    Empty,
    /// No event and no command has this name.
    Unknown(String),
    /// `after`, and then not a duration and one word.
    After,
    /// What follows `after` is no duration that we can wait for.
    Duration(DurationError),
    /// The line is not text.
    NotUtf8,
    /// The line is longer than [`LINE_BYTES_MAX`]; the rest of it was skipped.
    TooLong,
}

/// Reads the next line, without its line end. `None` is the end of the input.
///
/// Never holds more than [`LINE_BYTES_MAX`] bytes of it. A last line without line end is a line.
pub(crate) fn read_line(
    input: &mut impl BufRead,
) -> io::Result<Option<Result<String, InputError>>> {
    let mut line = Vec::new();
    // The line and its end: one byte more than the longest line.
    let read = (&mut *input)
        .take(LINE_BYTES_MAX as u64 + 1)
        .read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > LINE_BYTES_MAX {
        input.skip_until(b'\n')?;
        return Ok(Some(Err(InputError::TooLong)));
    }
    Ok(Some(
        String::from_utf8(line).map_err(|_| InputError::NotUtf8),
    ))
}

/// Returns what `line` asks for, with any white space around it.
pub(crate) fn parse(line: &str) -> Result<Request, InputError> {
    match line.trim() {
        "" => Err(InputError::Empty),
        TIMERS => Ok(Request::Timers),
        TREE => Ok(Request::Tree),
        HELP => Ok(Request::Help),
        QUIT => Ok(Request::Quit),
        line if line.split_whitespace().next() == Some(AFTER) => parse_after(line),
        name => parse_event(name).map(Request::Event),
    }
}

fn parse_after(line: &str) -> Result<Request, InputError> {
    let mut words = line.split_whitespace().skip(1);
    let (Some(delay), Some(event), None) = (words.next(), words.next(), words.next()) else {
        return Err(InputError::After);
    };
    let delay = duration::parse(delay).map_err(InputError::Duration)?;
    Ok(Request::After(delay, parse_event(event)?))
}

fn parse_event(name: &str) -> Result<Event, InputError> {
    Event::ALL
        .into_iter()
        .find(|event| event.to_string() == name)
        .ok_or_else(|| InputError::Unknown(name.to_owned()))
}

pub(crate) const AFTER: &str = "after";
pub(crate) const TIMERS: &str = "timers";
pub(crate) const TREE: &str = "tree";
pub(crate) const HELP: &str = "help";
pub(crate) const QUIT: &str = "quit";

/// The longest line that is read, in bytes without the line end. No request comes near it.
pub(crate) const LINE_BYTES_MAX: usize = 1024;

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an empty line is not an event")?,
            Self::Unknown(name) => {
                write!(f, "{} is not an event", Quoted(name))?;
                let near = Event::ALL
                    .into_iter()
                    .find(|event| event.to_string().eq_ignore_ascii_case(name));
                if let Some(event) = near {
                    return write!(f, "; did you mean {event}?");
                }
            }
            Self::After => {
                return f.write_str("after what, and which event? For example: after 5s B");
            }
            Self::Duration(error) => return error.fmt(f),
            Self::NotUtf8 => f.write_str("the line is not valid UTF-8")?,
            Self::TooLong => write!(f, "the line is longer than {LINE_BYTES_MAX} bytes")?,
        }
        write!(f, "; the events are {}", Event::names())
    }
}

impl Error for InputError {}

/// Somebody else's words, on one line: cut when long, and with control characters escaped.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_MAX: usize = 32;
        match self.0.char_indices().nth(CHARS_MAX) {
            None => write!(f, "{:?}", self.0),
            Some((cut, _)) => write!(f, "{:?}…", &self.0[..cut]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut input: &[u8]) -> Vec<Result<String, InputError>> {
        std::iter::from_fn(|| read_line(&mut input).unwrap()).collect()
    }

    #[test]
    fn the_last_line_needs_no_end() {
        assert_eq!(lines(b"A\nB"), [Ok("A".into()), Ok("B".into())]);
        assert_eq!(lines(b"A\n\n"), [Ok("A".into()), Ok(String::new())]);
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn a_long_line_is_skipped_and_the_next_one_read() {
        let longest = LINE_BYTES_MAX;
        for end in ["", "\n"] {
            let line = "x".repeat(longest);
            assert_eq!(lines((line.clone() + end).as_bytes()), [Ok(line)]);
        }
        let line = "x".repeat(longest + 1);
        assert_eq!(lines(line.as_bytes()), [Err(InputError::TooLong)]);
        let line = "x".repeat(longest * 20) + "\nA\n";
        assert_eq!(
            lines(line.as_bytes()),
            [Err(InputError::TooLong), Ok("A".into())]
        );
    }

    #[test]
    fn bytes_that_are_no_text_spoil_only_their_line() {
        assert_eq!(
            lines(b"\xff\nA\n"),
            [Err(InputError::NotUtf8), Ok("A".into())]
        );
    }

    #[test]
    fn white_space_around_an_event_is_ignored() {
        assert_eq!(parse("  A\t\r"), Ok(Request::Event(Event::A)));
        assert_eq!(parse(" \t "), Err(InputError::Empty));
    }

    #[test]
    fn an_event_may_happen_later() {
        let after = |delay, event| Ok(Request::After(delay, event));
        assert_eq!(parse("after 5s B"), after(Duration::from_secs(5), Event::B));
        assert_eq!(
            parse(" after\t250ms  C\r"),
            after(Duration::from_millis(250), Event::C)
        );
        for line in ["after", "after 5s", "after 5s B C"] {
            assert_eq!(parse(line), Err(InputError::After), "{line}");
        }
        for line in ["after 5s X", "afterwards", "After 5s B"] {
            assert!(matches!(parse(line), Err(InputError::Unknown(_))), "{line}");
        }
    }

    #[test]
    fn commands_are_words_of_their_own() {
        assert_eq!(parse("timers"), Ok(Request::Timers));
        assert_eq!(parse("tree"), Ok(Request::Tree));
        assert_eq!(parse("help\r"), Ok(Request::Help));
        assert_eq!(parse(" quit"), Ok(Request::Quit));
        assert!(matches!(parse("quit now"), Err(InputError::Unknown(_))));
    }

    #[test]
    fn an_error_is_one_line_and_says_what_to_type() {
        let message = |line: &str| parse(line).unwrap_err().to_string();
        assert_eq!(message("b"), r#""b" is not an event; did you mean B?"#);
        assert_eq!(
            message("A B"),
            r#""A B" is not an event; the events are A, B, C"#
        );
        assert_eq!(
            message("\x1b[2J"),
            r#""\u{1b}[2J" is not an event; the events are A, B, C"#
        );
        assert_eq!(
            message("after 5 B"),
            r#""5" is not a duration; write a number and a unit: 250ms, 5s, 2m, 1h"#
        );
        assert_eq!(
            message("after B"),
            "after what, and which event? For example: after 5s B"
        );
        assert_eq!(
            message(""),
            "an empty line is not an event; the events are A, B, C"
        );
        assert!(message(&"é".repeat(100)).chars().count() < 80);
    }
}
