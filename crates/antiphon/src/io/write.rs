//! Writing.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use super::{Leaf, Partial};

/// A stream of bytes to write to. It takes bytes over whole, and then sends them.
///
/// ```text
///            (1) start_write: takes bytes over           (2) all sent, or failed
///   idle ─────────────────────────────────────▶ sending ─────────────────────────▶ idle
/// ```
/// A call returns after (2), so what it wrote is in the system's hands then, and its error is its own. If it is given up or
/// cancelled after (1), (2) comes all the same, in the background: what was taken over is sent in full, and before anything
/// that is written later. An error of it is told by the next call.
pub trait Write {
    /// Polls until nothing is being sent.
    ///
    /// This and the next are the low-level end of the methods below, for streams that are built on others; `leaf` stands
    /// for the call that waits. It begins with [`Leaf::begin`], which says more about that.
    ///
    /// # Errors
    /// Why what was taken over before can't be sent. It is told once. And a cancel, which ends the call and not the sending.
    fn poll_flush(&mut self, cx: &mut Context<'_>, leaf: &mut Leaf) -> Poll<io::Result<()>>;

    /// Takes over the bytes of `bufs`, in their order, up to `max` of them, and begins to send them. Returns how many.
    ///
    /// `leaf` is the call that does. To be called when [`poll_flush`](Self::poll_flush) has just been ready.
    ///
    /// # Panics
    /// If something is being sent.
    fn start_write(&mut self, leaf: &Leaf, bufs: &[IoSlice<'_>], max: usize) -> usize;

    /// Polls until all is sent and the peer was told that no more will come.
    ///
    /// # Errors
    /// Those of [`poll_flush`](Self::poll_flush), and what the stream says.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>, leaf: &mut Leaf) -> Poll<io::Result<()>>;

    /// Writes bytes from `buf`, and returns how many: at most 64 KiB, and `0` only if `buf` is empty.
    ///
    /// # Errors
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) and [`ConnectionReset`](io::ErrorKind::ConnectionReset) if the peer is not
    /// there any more; and what became of an earlier write that was given up, in which case nothing of `buf` was written.
    /// After such an error it is unknown how much the peer got. A cancel, of which
    /// [`is_cancelled`](crate::is_cancelled) is true; it says how much was taken over.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Partial.** It ends at once. What it had taken over, as many bytes as it would have returned, is sent in the
    /// background, and the error says how many ([`Partial`]). Before its turn came, while an earlier write was being sent, it
    /// did not happen. The same is true if the future is dropped.
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        let mut leaf = Leaf::here();
        let mut taken = None;
        poll_fn(move |cx| {
            poll_write(
                self,
                cx,
                &mut leaf,
                &mut taken,
                &[IoSlice::new(buf)],
                WRITE_MAX,
            )
        })
    }

    /// Writes bytes from several buffers, one after the other: see [`write`](Self::write).
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    ///
    /// # Cancellation
    /// **Partial**, as [`write`](Self::write).
    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> impl Future<Output = io::Result<usize>> {
        let mut leaf = Leaf::here();
        let mut taken = None;
        poll_fn(move |cx| poll_write(self, cx, &mut leaf, &mut taken, bufs, WRITE_MAX))
    }

    /// Writes all of `buf`.
    ///
    /// It is taken over in one piece, so it is in memory twice until it is sent. For many megabytes see whether the stream
    /// can be given the memory itself, as sockets can.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    ///
    /// # Cancellation
    /// **Partial**, that is, all or nothing. It ends at once. If its turn had come, all of `buf` was taken over, as the error
    /// says ([`Partial`]), and is sent in the background, before anything that is written later: so a frame is never torn.
    /// Before, while an earlier write was being sent, it did not happen. The same is true if the future is dropped.
    #[track_caller]
    fn write_all(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        let mut leaf = Leaf::here();
        let mut taken = None;
        poll_fn(move |cx| {
            poll_write(
                self,
                cx,
                &mut leaf,
                &mut taken,
                &[IoSlice::new(buf)],
                usize::MAX,
            )
            .map_ok(|_| ())
        })
    }

    /// Waits until all that was taken over is sent.
    ///
    /// Only after a write that was given up is there something to wait for.
    ///
    /// # Errors
    /// What became of that write, as [`write`](Self::write) would tell it.
    ///
    /// # Cancellation
    /// **Did not happen.** The sending goes on.
    #[track_caller]
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
        let mut leaf = Leaf::here();
        poll_fn(move |cx| {
            ready!(leaf.begin(cx))?;
            self.poll_flush(cx, &mut leaf)
        })
    }

    /// Tells the peer that no more will come, after all that was taken over is sent. The other direction stays open.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush).
    ///
    /// # Cancellation
    /// **Did not happen.** What is being sent goes on. It is a wait as any other, so in a cancelled scope the peer is told
    /// nothing: a farewell that is part of a clean-up wants a [`shield`](crate::shield). Dropping the stream, or its writing
    /// half, needs none.
    #[track_caller]
    fn shutdown(&mut self) -> impl Future<Output = io::Result<()>> {
        let mut leaf = Leaf::here();
        poll_fn(move |cx| {
            ready!(leaf.begin(cx))?;
            self.poll_shutdown(cx, &mut leaf)
        })
    }
}

/// The most that [`Write::write`] takes over at a time.
pub(crate) const WRITE_MAX: usize = 64 * 1024;

/// Waits for its turn, has `bufs` taken over, and waits until they are sent. `taken` is how many, once it had its turn.
fn poll_write<W: Write + ?Sized>(
    writer: &mut W,
    cx: &mut Context<'_>,
    leaf: &mut Leaf,
    taken: &mut Option<usize>,
    bufs: &[IoSlice<'_>],
    max: usize,
) -> Poll<io::Result<usize>> {
    ready!(leaf.begin(cx))?;
    let count = if let Some(count) = *taken {
        count
    } else {
        ready!(writer.poll_flush(cx, leaf))?;
        // It may have waited for its turn, and was cancelled when that came.
        leaf.check()?;
        *taken.insert(writer.start_write(leaf, bufs, max))
    };
    let result = ready!(writer.poll_flush(cx, leaf));
    Poll::Ready(match result {
        Ok(()) => Ok(count),
        Err(error) => Err(Partial::wrap(error, count)),
    })
}

impl<W: Write + ?Sized> Write for &mut W {
    fn poll_flush(&mut self, cx: &mut Context<'_>, leaf: &mut Leaf) -> Poll<io::Result<()>> {
        (**self).poll_flush(cx, leaf)
    }

    fn start_write(&mut self, leaf: &Leaf, bufs: &[IoSlice<'_>], max: usize) -> usize {
        (**self).start_write(leaf, bufs, max)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>, leaf: &mut Leaf) -> Poll<io::Result<()>> {
        (**self).poll_shutdown(cx, leaf)
    }
}
