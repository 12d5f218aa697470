//! The lines of a text.

use std::future::{Future, poll_fn};
use std::io;
use std::task::{Poll, ready};

use super::{Leaf, Read};

/// The lines that a reader brings: see [`Read::lines`].
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
}

impl<R: Read> Lines<R> {
    pub(super) const fn new(reader: R) -> Self {
        Self { reader }
    }

    /// Returns the next line, without its end, which is `\n` or `\r\n`; `None` after the last. The last one may have no end.
    ///
    /// There is no limit to the length: a peer that is not trusted wants [`Read::fill`] instead.
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) if it is not UTF-8; it is taken, and the next call goes on behind it.
    /// Those of [`Read::read`].
    ///
    /// # Cancellation
    /// **Did not happen.** What arrived of the line stays in the reader.
    #[track_caller]
    pub fn next_line(&mut self) -> impl Future<Output = io::Result<Option<String>>> {
        let mut leaf = Leaf::here();
        // So many bytes were looked at, and the end is not among them.
        let mut seen = 0;
        poll_fn(move |cx| {
            ready!(leaf.begin(cx))?;
            loop {
                ready!(self.reader.poll_fill(cx, &mut leaf, seen + 1))?;
                let filled = self.reader.filled();
                let found = filled[seen..].iter().position(|byte| *byte == b'\n');
                let (len, taken) = match found {
                    Some(index) => (seen + index, seen + index + 1),
                    None if filled.len() > seen => {
                        seen = filled.len();
                        continue;
                    }
                    None if filled.is_empty() => return Poll::Ready(Ok(None)),
                    None => (filled.len(), filled.len()),
                };
                let mut line = &filled[..len];
                if found.is_some() {
                    line = line.strip_suffix(b"\r").unwrap_or(line);
                }
                let line = std::str::from_utf8(line).map(str::to_owned);
                self.reader.consume(taken);
                seen = 0;
                let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
                return Poll::Ready(line.map(Some).map_err(invalid));
            }
        })
    }

    /// Returns the reader, which is behind the last line that was returned.
    pub fn into_inner(self) -> R {
        self.reader
    }
}
