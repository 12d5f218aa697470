//! Small writes, gathered.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::task::{Context, Poll, ready};

use super::File;
use crate::context::{ContextManager, Ending, HandOver};
use crate::io::Leaf;
use crate::worker::try_current;

/// A file for many small writes: they are gathered, and written when there are many.
///
/// What is gathered is written by [`flush`](Self::flush), at the end of a [block](crate::context::with), and when it is dropped; in
/// that case nobody hears of an error.
///
/// # In a block
/// At its end what was gathered is written, however the block ended, and if it returned a value, the file is
/// [synced](File::sync_all).
///
/// # Examples
/// ```
/// use antiphon::context::with;
/// use antiphon::fs::{self, BufWriter, File, TempDir};
///
/// antiphon::run(async || {
///     let dir = TempDir::new().await?;
///     let path = dir.path().join("squares");
///     let open = async || Ok::<_, std::io::Error>(BufWriter::new(File::create(&path).await?));
///     with(open(), async |writer| {
///         for number in 1..=100 {
///             writer.write_all(format!("{}\n", number * number).as_bytes()).await?;
///         }
///         Ok::<(), std::io::Error>(())
///     })
///     .await?;
///     assert!(fs::read_to_string(&path).await?.ends_with("\n10000\n"));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct BufWriter {
    file: File,
    gathered: Vec<u8>,
    capacity: usize,
}

/// As much as pays for the way to the system.
const CAPACITY: usize = 64 * 1024;

impl BufWriter {
    /// Gathers up to 64 KiB.
    pub const fn new(file: File) -> Self {
        Self::with_capacity(CAPACITY, file)
    }

    /// Gathers up to `capacity` bytes.
    pub const fn with_capacity(capacity: usize, file: File) -> Self {
        Self {
            file,
            gathered: Vec::new(),
            capacity,
        }
    }

    /// Takes all of `buf` over. If more is gathered then than there should be, it is written, and waited for.
    ///
    /// # Errors
    /// Why what was taken over before could not be written, in which case nothing of `buf` was taken; or `buf` itself. A cancel.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Partial**, that is, all or nothing: as [`Write::write_all`](crate::io::Write::write_all). It is the same if the future is dropped.
    #[track_caller]
    pub fn write_all(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        let mut leaf = Leaf::here();
        let mut is_taken = false;
        poll_fn(move |cx| {
            ready!(leaf.begin(cx))?;
            if !is_taken {
                if self.gathered.len() >= self.capacity {
                    ready!(self.poll_write(cx, &mut leaf))?;
                    leaf.check()?;
                }
                self.gathered.extend_from_slice(buf);
                is_taken = true;
            }
            if self.gathered.len() < self.capacity {
                return Poll::Ready(Ok(()));
            }
            let result = ready!(self.poll_write(cx, &mut leaf));
            Poll::Ready(result.map_err(|error| crate::io::Partial::wrap(error, buf.len())))
        })
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// What the system says. What could not be written is dropped. A cancel.
    ///
    /// # Cancellation
    /// **Did not happen**, or goes on in the background.
    #[track_caller]
    pub fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
        let mut leaf = Leaf::here();
        poll_fn(move |cx| {
            ready!(leaf.begin(cx))?;
            ready!(self.poll_write(cx, &mut leaf))?;
            self.file.poll_flush_inner(cx, &mut leaf)
        })
    }

    /// Returns what is gathered and not on its way.
    pub fn gathered(&self) -> &[u8] {
        &self.gathered
    }

    /// Returns the file. What is gathered is not in it.
    pub const fn get_ref(&self) -> &File {
        &self.file
    }

    /// Writes what was gathered, and returns the file.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush). The file is dropped.
    ///
    /// # Cancellation
    /// **Breaks.** The file is dropped, and what was gathered is written.
    #[track_caller]
    pub fn into_inner(mut self) -> impl Future<Output = io::Result<File>> {
        let at = std::panic::Location::caller();
        async move {
            let mut leaf = Leaf::at(at);
            poll_fn(|cx| {
                ready!(leaf.begin(cx))?;
                ready!(self.poll_write(cx, &mut leaf))?;
                self.file.poll_flush_inner(cx, &mut leaf)
            })
            .await?;
            // The same open file. Nothing is under way, so the other handle can go.
            Ok(self.file.share())
        }
    }

    /// Has what is gathered taken over by the file, when what was before is written, and polls until that is written.
    fn poll_write(&mut self, cx: &mut Context<'_>, leaf: &mut Leaf) -> Poll<io::Result<()>> {
        ready!(self.file.poll_flush_inner(cx, leaf))?;
        if self.gathered.is_empty() {
            return Poll::Ready(Ok(()));
        }
        leaf.check()?;
        let gathered = std::mem::take(&mut self.gathered);
        self.file.start_owned(leaf, gathered);
        self.file.poll_flush_inner(cx, leaf)
    }
}

impl Drop for BufWriter {
    fn drop(&mut self) {
        if self.gathered.is_empty() || try_current(|_| ()).is_none() {
            return;
        }
        let gathered = std::mem::take(&mut self.gathered);
        self.file.start_behind(gathered);
    }
}

/// What was gathered is written, and if the block returned a value, the file is synced.
impl ContextManager for BufWriter {
    type Error = io::Error;
    type IfDropped = HandOver;

    async fn exit(mut self, ending: Ending<'_>) -> io::Result<()> {
        self.flush().await?;
        if ending.is_value() && self.file.is_written.get() {
            self.file.sync_all().await?;
        }
        Ok(())
    }
}

impl fmt::Debug for BufWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufWriter")
            .field("file", &self.file)
            .field("gathered", &self.gathered.len())
            .finish_non_exhaustive()
    }
}
