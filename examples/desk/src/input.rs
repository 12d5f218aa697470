//! From bytes to events: lines of any length and content, one clear error for each that is no event.

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, Read};

use crate::orders::Event;

/// Why a line is not an event. The line is at fault; the ones after it are read as if it had not been there.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum InputError {
    /// Nothing on the line but white space.
    Empty,
    /// No event has this name.
    Unknown(String),
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
        .take(LINE_BYTES_MAX + 1)
        .read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 > LINE_BYTES_MAX {
        input.skip_until(b'\n')?;
        return Ok(Some(Err(InputError::TooLong)));
    }
    Ok(Some(
        String::from_utf8(line).map_err(|_| InputError::NotUtf8),
    ))
}

/// Returns the event that `line` names, with any white space around it.
pub(crate) fn parse(line: &str) -> Result<Event, InputError> {
    let name = line.trim();
    if name.is_empty() {
        return Err(InputError::Empty);
    }
    Event::ALL
        .into_iter()
        .find(|event| event.to_string() == name)
        .ok_or_else(|| InputError::Unknown(name.to_owned()))
}

/// The longest line that is read, in bytes without the line end. No event comes near it.
pub(crate) const LINE_BYTES_MAX: u64 = 1024;

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
            Self::NotUtf8 => f.write_str("the line is not valid UTF-8")?,
            Self::TooLong => write!(f, "the line is longer than {LINE_BYTES_MAX} bytes")?,
        }
        write!(f, "; the events are {}", Event::names())
    }
}

impl Error for InputError {}

/// Somebody else's words, on one line: cut when long, and with control characters escaped.
struct Quoted<'a>(&'a str);

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
        let longest = usize::try_from(LINE_BYTES_MAX).unwrap();
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
        assert_eq!(parse("  A\t\r"), Ok(Event::A));
        assert_eq!(parse(" \t "), Err(InputError::Empty));
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
            message(""),
            "an empty line is not an event; the events are A, B, C"
        );
        assert!(message(&"é".repeat(100)).chars().count() < 80);
    }
}
