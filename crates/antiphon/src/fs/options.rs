//! How a file is opened.

use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::File;
use super::call::Call;
use crate::sys::inspect;

/// How a file is to be opened: as [`std::fs::OpenOptions`], which it can be made of.
///
/// # Examples
/// ```
/// use antiphon::fs::{OpenOptions, TempDir};
/// use antiphon::io::Write;
///
/// antiphon::run(async || {
///     let dir = TempDir::new().await?;
///     let log = OpenOptions::new().append(true).create(true).open(dir.path().join("log"));
///     log.await?.write_all(b"it began\n").await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    options: fs::OpenOptions,
}

impl OpenOptions {
    /// Begins with nothing: neither to read nor to write.
    #[allow(clippy::new_without_default, reason = "as in the standard library")]
    pub fn new() -> Self {
        fs::OpenOptions::new().into()
    }

    /// Opens it to read.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.options.read(read);
        self
    }

    /// Opens it to write; what is in it stays.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.options.write(write);
        self
    }

    /// Opens it to write to its end, wherever that is at the moment: also if others append to it.
    ///
    /// Then [`write_at`](File::write_at) is refused: the system would write to the end in any case.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.options.append(append);
        self
    }

    /// Empties it.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.options.truncate(truncate);
        self
    }

    /// Makes it, if it is not there.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.options.create(create);
        self
    }

    /// Makes it, and fails if it is there.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.options.create_new(create_new);
        self
    }

    /// Sets who may do what with it, if it is made: `0o666` if it is not said. The process's `umask` takes its part away.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.options.mode(mode);
        self
    }

    /// Sets more flags of `open(2)`.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.options.custom_flags(flags);
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    /// Those of [`std::fs::OpenOptions::open`], with the path ([`PathError`](super::PathError));
    /// [`NotSeekable`](io::ErrorKind::NotSeekable) if it is a pipe, a socket or a terminal; and a cancel.
    ///
    /// # Cancellation
    /// **Finishes first.** If it has not begun, it did not happen. A file that was opened is returned; if the future was dropped,
    /// it is closed.
    ///
    /// The system opens a named pipe when somebody opens its other end, and has everybody wait until then: this call as well.
    #[track_caller]
    pub fn open<P: AsRef<Path>>(&self, path: P) -> impl Future<Output = io::Result<File>> + use<P> {
        let path = path.as_ref().to_owned();
        let options = self.options.clone();
        let call = Call::new("open", path.clone());
        async move {
            let open = move || {
                let file = options.open(path)?;
                let is_append = inspect(&file)?;
                Ok((file, is_append))
            };
            let (file, is_append) = call.run(open).await?;
            Ok(File::new(file, is_append))
        }
    }
}

impl From<fs::OpenOptions> for OpenOptions {
    fn from(options: fs::OpenOptions) -> Self {
        Self { options }
    }
}
