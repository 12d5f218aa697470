//! Reading.

use std::future::{Future, poll_fn};
use std::io::{self, IoSliceMut};
use std::task::{Context, Poll, ready};

use super::{Leaf, Lines, Partial};

/// A stream of bytes to read from, with a buffer of its own.
///
/// ```text
///   the system ──▶ [ filled … ] ──▶ read, read_exact, …: copied to the caller
///                                └▶ fill: looked at where they are, then consumed
/// ```
/// Bytes leave the buffer when a call returns them, and never before. So none is lost or doubled when a call is given up, or
/// its scope is cancelled. The wait for bytes is the stream's: the call leaves it at once, and it goes on.
///
/// To read from several tasks at once is not possible, because reading takes `&mut self`; a socket can be split into one
/// half for reading and one for writing.
pub trait Read {
    /// Polls until at least `min` bytes are [`filled`](Self::filled), or the stream is at its end.
    ///
    /// Fewer than `min` afterwards mean the end. This is the low-level end of the methods below, for streams that are built
    /// on others; `leaf` stands for the call that waits. It begins with [`Leaf::begin`], which says more about that.
    ///
    /// # Errors
    /// What the stream says, and a cancel. Bytes that arrived before stay in the buffer.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        min: usize,
    ) -> Poll<io::Result<()>>;

    /// Polls until bytes are read into `buf`, and returns how many; `0` at the end of the stream, or if `buf` is empty.
    ///
    /// The low-level end of [`read`](Self::read). As it is, it copies from the stream's buffer; a stream that can fill the
    /// caller's memory directly does so. Bytes that are in the stream's buffer come first.
    ///
    /// # Errors
    /// Those of [`poll_fill`](Self::poll_fill).
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(leaf.begin(cx))?;
        if !buf.is_empty() {
            ready!(self.poll_fill(cx, leaf, 1))?;
        }
        Poll::Ready(Ok(take(self, buf)))
    }

    /// Returns the bytes that have arrived and were not read.
    fn filled(&self) -> &[u8];

    /// Takes the first `count` of the [`filled`](Self::filled) bytes as read.
    ///
    /// # Panics
    /// If there are fewer.
    fn consume(&mut self, count: usize);

    /// Reads bytes into `buf`, waiting until there are some.
    ///
    /// Returns how many, at most the length of `buf`; `0` means that the stream is at its end, or that `buf` is empty.
    ///
    /// # Errors
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) if the peer broke the connection off, and whatever else the
    /// system has to say. A cancel, of which [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** Bytes that arrive later wait in the stream's buffer for the next read. Bytes that are there when
    /// the cancelled call is polled are returned, and the next wait is the one that ends.
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        let mut leaf = Leaf::here();
        poll_fn(move |cx| {
            ready!(leaf.begin(cx))?;
            self.poll_read(cx, &mut leaf, buf)
        })
    }

    /// Reads bytes into several buffers, each filled before the next: see [`read`](Self::read).
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    ///
    /// # Cancellation
    /// **Did not happen**, as [`read`](Self::read).
    #[track_caller]
    fn read_vectored(
        &mut self,
        bufs: &mut [IoSliceMut<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        let mut leaf = Leaf::here();
        poll_fn(move |cx| {
            ready!(leaf.begin(cx))?;
            if bufs.iter().any(|buf| !buf.is_empty()) {
                ready!(self.poll_fill(cx, &mut leaf, 1))?;
            }
            Poll::Ready(Ok(bufs.iter_mut().map(|buf| take(self, buf)).sum()))
        })
    }

    /// Reads exactly as many bytes as `buf` is long.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the stream ends before, and those of [`read`](Self::read). If `buf`
    /// is at most 8 KiB long, the bytes that did arrive stay in the stream then. Beyond that they are in `buf`, and only the
    /// error of a cancel says how many: [`fill`](Self::fill) leaves them where they are.
    ///
    /// # Cancellation
    /// **Did not happen** if `buf` is at most 8 KiB long: bytes are taken from the stream when all are there, so the call can
    /// be made again. Beyond that **Partial**: what arrived is in `buf` and gone from the stream, and the error says how much
    /// ([`Partial`]). If the future is dropped, nobody says.
    #[track_caller]
    fn read_exact(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<()>> {
        let mut leaf = Leaf::here();
        let mut count = 0;
        poll_fn(move |cx| {
            ready!(leaf.begin(cx))?;
            if buf.len() <= WHOLE_MAX {
                ready!(self.poll_fill(cx, &mut leaf, buf.len()))?;
                if self.filled().len() < buf.len() {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                take(self, buf);
                return Poll::Ready(Ok(()));
            }
            while count < buf.len() {
                match ready!(self.poll_read(cx, &mut leaf, &mut buf[count..])) {
                    Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                    Ok(more) => count += more,
                    Err(error) => return Poll::Ready(Err(Partial::wrap(error, count))),
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Waits until at least `min` bytes are there, and returns all that are, without taking them: [`consume`](Self::consume)
    /// does that.
    ///
    /// Nothing is copied for it. Fewer than `min` bytes mean that the stream is at its end. The buffer grows to hold `min`
    /// bytes, so a number that the peer sent wants a limit first.
    ///
    /// # Errors
    /// Those of [`read`](Self::read). Bytes that arrived before stay there.
    ///
    /// # Cancellation
    /// **Did not happen.** Bytes that arrived stay there as well.
    ///
    /// # Examples
    /// ```
    /// use antiphon::io::{Read, Write};
    /// # use antiphon::net::UnixStream;
    ///
    /// # antiphon::run(async || {
    /// # let (mut left, mut right) = UnixStream::pair()?;
    /// left.write_all(&[3, b'a', b'b', b'c']).await?;
    ///
    /// // A frame: its length, then so many bytes. Given up anywhere, it can be read again from its start.
    /// let len = match right.fill(1).await? {
    ///     [len, ..] => usize::from(*len),
    ///     [] => return Ok(()), // the end, between two frames
    /// };
    /// let frame = right.fill(1 + len).await?.get(1..=len).expect("the peer sends whole frames").to_vec();
    /// right.consume(1 + len);
    /// assert_eq!(frame, b"abc");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    fn fill(&mut self, min: usize) -> impl Future<Output = io::Result<&[u8]>> {
        let mut leaf = Leaf::here();
        async move {
            let reader = self;
            poll_fn(|cx| {
                ready!(leaf.begin(cx))?;
                reader.poll_fill(cx, &mut leaf, min)
            })
            .await?;
            // As a shared reference it lives as long as the caller's.
            let reader: &Self = reader;
            Ok(reader.filled())
        }
    }

    /// Copies bytes into `buf` and leaves them in the stream, waiting until there are some.
    ///
    /// Returns how many. It waits for one byte only; [`fill`](Self::fill) waits for more.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    ///
    /// # Cancellation
    /// **Did not happen.**
    #[track_caller]
    fn peek(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        let mut leaf = Leaf::here();
        poll_fn(move |cx| {
            ready!(leaf.begin(cx))?;
            if !buf.is_empty() {
                ready!(self.poll_fill(cx, &mut leaf, 1))?;
            }
            Poll::Ready(Ok(copy(self.filled(), buf)))
        })
    }

    /// Reads up to and including the next byte `end`, and appends that to `line`.
    ///
    /// Returns how many bytes. If the last is not `end`, the stream is at its end. There is no limit to the length: a peer
    /// that is not trusted wants [`fill`](Self::fill) instead.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    ///
    /// # Cancellation
    /// **Partial.** What arrived is in `line`; calling it again with the same `line` goes on.
    #[track_caller]
    fn read_until(
        &mut self,
        end: u8,
        line: &mut Vec<u8>,
    ) -> impl Future<Output = io::Result<usize>> {
        let mut leaf = Leaf::here();
        let mut count = 0;
        poll_fn(move |cx| {
            ready!(leaf.begin(cx))?;
            loop {
                ready!(self.poll_fill(cx, &mut leaf, 1))?;
                let filled = self.filled();
                let found = filled.iter().position(|byte| *byte == end);
                let taken = found.map_or(filled.len(), |index| index + 1);
                line.extend_from_slice(&filled[..taken]);
                self.consume(taken);
                count += taken;
                if found.is_some() || taken == 0 {
                    return Poll::Ready(Ok(count));
                }
            }
        })
    }

    /// Reads until the end of the stream, and appends all of it to `bytes`. Returns how many.
    ///
    /// # Errors
    /// Those of [`read`](Self::read). What arrived before is in `bytes`.
    ///
    /// # Cancellation
    /// **Partial.** What arrived is in `bytes`; calling it again with the same `bytes` goes on.
    #[track_caller]
    fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> impl Future<Output = io::Result<usize>> {
        let mut leaf = Leaf::here();
        let mut count = 0;
        poll_fn(move |cx| {
            ready!(leaf.begin(cx))?;
            loop {
                ready!(self.poll_fill(cx, &mut leaf, 1))?;
                let filled = self.filled();
                if filled.is_empty() {
                    return Poll::Ready(Ok(count));
                }
                let taken = filled.len();
                bytes.extend_from_slice(filled);
                self.consume(taken);
                count += taken;
            }
        })
    }

    /// Returns the lines, one after the other.
    ///
    /// # Examples
    /// ```
    /// use antiphon::io::{Read, Write};
    /// # use antiphon::net::UnixStream;
    ///
    /// # antiphon::run(async || {
    /// # let (mut left, right) = UnixStream::pair()?;
    /// left.write_all(b"versicle\nresponse").await?;
    /// left.shutdown().await?;
    /// let mut lines = right.lines();
    /// assert_eq!(lines.next_line().await?.as_deref(), Some("versicle"));
    /// assert_eq!(lines.next_line().await?.as_deref(), Some("response"));
    /// assert_eq!(lines.next_line().await?, None);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn lines(self) -> Lines<Self>
    where
        Self: Sized,
    {
        Lines::new(self)
    }
}

/// Up to here [`Read::read_exact`] has the stream's buffer hold the bytes until all are there: as many as a small receive
/// brings anyway.
const WHOLE_MAX: usize = 8 * 1024;

/// Reads what is there into `buf`.
fn take<R: Read + ?Sized>(reader: &mut R, buf: &mut [u8]) -> usize {
    let count = copy(reader.filled(), buf);
    reader.consume(count);
    count
}

fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    to[..count].copy_from_slice(&from[..count]);
    count
}

impl<R: Read + ?Sized> Read for &mut R {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        min: usize,
    ) -> Poll<io::Result<()>> {
        (**self).poll_fill(cx, leaf, min)
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut Leaf,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        (**self).poll_read(cx, leaf, buf)
    }

    fn filled(&self) -> &[u8] {
        (**self).filled()
    }

    fn consume(&mut self, count: usize) {
        (**self).consume(count);
    }
}
