//! What is in a directory.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, FileType, Metadata};
use std::future::Future;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::PathError;
use super::call::{Call, call};

/// Opens a directory, to look at what is in it.
///
/// # Errors
/// Those of [`std::fs::read_dir`], with the path ([`PathError`]); and a cancel.
///
/// # Cancellation
/// **Did not happen.**
///
/// # Examples
/// ```
/// use antiphon::fs;
///
/// antiphon::run(async || {
///     let dir = fs::TempDir::new().await?;
///     fs::write(dir.path().join("one"), "1").await?;
///     let mut entries = fs::read_dir(dir.path()).await?;
///     while let Some(entry) = entries.next_entry().await? {
///         assert_eq!(entry.file_name(), "one");
///         assert!(entry.file_type()?.is_file());
///     }
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn read_dir(path: impl AsRef<Path>) -> impl Future<Output = io::Result<ReadDir>> {
    let path = path.as_ref().to_owned();
    let call = Call::new("read the directory", path.clone());
    async move {
        let opening = path.clone();
        let entries = call.run(move || fs::read_dir(opening)).await?;
        Ok(ReadDir {
            path,
            entries: Arc::new(Mutex::new(Source {
                entries,
                read: VecDeque::new(),
                is_over: false,
            })),
            ready: VecDeque::new(),
            is_over: false,
        })
    }
}

/// What is in a directory, in no order. Read in batches, so that a thread is asked once for many.
pub struct ReadDir {
    path: PathBuf,
    /// Lent to a thread.
    entries: Arc<Mutex<Source>>,
    ready: VecDeque<io::Result<DirEntry>>,
    is_over: bool,
}

struct Source {
    entries: fs::ReadDir,
    /// What a thread has read and nobody has taken. It stays here if the future that wanted it is dropped.
    read: VecDeque<io::Result<DirEntry>>,
    is_over: bool,
}

/// One of the things in a directory.
pub struct DirEntry {
    path: PathBuf,
    file_name: OsString,
    file_type: io::Result<FileType>,
}

/// Entries that are read at a time: about what the system hands out at a time.
const BATCH: usize = 256;

impl ReadDir {
    /// Returns the next entry; `None` after the last.
    ///
    /// # Errors
    /// What the system says of an entry; the next call goes on behind it. And a cancel.
    ///
    /// # Cancellation
    /// **Did not happen.** No entry is lost.
    #[track_caller]
    pub fn next_entry(&mut self) -> impl Future<Output = io::Result<Option<DirEntry>>> {
        let at = Location::caller();
        async move {
            if self.ready.is_empty() && !self.is_over {
                let entries = Arc::clone(&self.entries);
                let path = self.path.clone();
                let read = call("read the directory", at, move |_| {
                    let mut source = entries.lock().unwrap_or_else(PoisonError::into_inner);
                    source.read(&path);
                    Ok(())
                });
                read.await?;
                let mut source = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
                self.is_over = source.is_over;
                self.ready = std::mem::take(&mut source.read);
            }
            self.ready.pop_front().transpose()
        }
    }
}

impl Source {
    /// Reads a batch behind what is there.
    fn read(&mut self, path: &Path) {
        while self.read.len() < BATCH && !self.is_over {
            let Some(entry) = self.entries.next() else {
                self.is_over = true;
                return;
            };
            let entry = entry.map(|entry| DirEntry {
                path: entry.path(),
                file_name: entry.file_name(),
                file_type: entry.file_type(),
            });
            let told = |error| PathError::wrap(error, "read the directory", path, None);
            self.read.push_back(entry.map_err(told));
        }
    }
}

impl DirEntry {
    /// Returns the path: that of the directory, and the name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the name.
    pub fn file_name(&self) -> &std::ffi::OsStr {
        &self.file_name
    }

    /// Returns what it is: a file, a directory, a link, or something else. It was read with the name.
    ///
    /// # Errors
    /// What the system said, with the path ([`PathError`]).
    pub fn file_type(&self) -> io::Result<FileType> {
        self.file_type.as_ref().copied().map_err(|error| {
            let error = error
                .raw_os_error()
                .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            PathError::wrap(error, "look at", &self.path, None)
        })
    }

    /// Returns what the system knows of it. Links are not followed.
    ///
    /// # Errors
    /// Those of [`symlink_metadata`](super::symlink_metadata).
    ///
    /// # Cancellation
    /// **Did not happen.**
    #[track_caller]
    pub fn metadata(&self) -> impl Future<Output = io::Result<Metadata>> {
        super::symlink_metadata(&self.path)
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadDir").field(&self.path).finish()
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DirEntry").field(&self.path).finish()
    }
}

/// A directory to be made: as [`std::fs::DirBuilder`].
///
/// # Examples
/// ```
/// use antiphon::fs::{DirBuilder, TempDir};
///
/// antiphon::run(async || {
///     let dir = TempDir::new().await?;
///     DirBuilder::new().recursive(true).mode(0o700).create(dir.path().join("a/b")).await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct DirBuilder {
    is_recursive: bool,
    mode: u32,
}

impl DirBuilder {
    /// Begins as [`create_dir`](super::create_dir) does.
    #[allow(clippy::new_without_default, reason = "as in the standard library")]
    pub const fn new() -> Self {
        Self {
            is_recursive: false,
            mode: 0o777,
        }
    }

    /// Makes those above it too, and does not mind if it is there.
    pub const fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.is_recursive = recursive;
        self
    }

    /// Sets who may do what with it: `0o777` if it is not said. The process's `umask` takes its part away.
    pub const fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// Makes the directory.
    ///
    /// # Errors
    /// Those of [`std::fs::DirBuilder::create`], with the path ([`PathError`]); and a cancel.
    ///
    /// # Cancellation
    /// **Finishes first.** If it has not begun, it did not happen.
    #[track_caller]
    pub fn create<P: AsRef<Path>>(&self, path: P) -> impl Future<Output = io::Result<()>> + use<P> {
        let path = path.as_ref().to_owned();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(self.is_recursive).mode(self.mode);
        Call::new("create", path.clone()).run(move || builder.create(path))
    }
}
