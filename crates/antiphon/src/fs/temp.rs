//! Files and directories that are removed when they are not needed any more.

use std::fmt;
use std::fs;
use std::future::Future;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::File;
#[cfg(doc)]
use super::PathError;
use super::call::Call;
use crate::context::{ContextManager, Ending, HandOver};
use crate::fill_random;

/// A file that only this user may open, under a name that nobody had, removed at the end of its [block](crate::context::with): also
/// if that panics, is cancelled, or is dropped half way.
///
/// It dereferences to its [`File`], which is opened to read and write. Dropped without a block, it is removed on the
/// spot, and holds the loop up for that. A process that is killed leaves it.
///
/// # Examples
/// ```
/// use antiphon::context::with;
/// use antiphon::fs::{self, TempFile};
/// use antiphon::io::Write;
///
/// antiphon::run(async || {
///     let path = with(TempFile::new(), async |file| {
///         file.write_all(b"for a moment").await?;
///         assert_eq!(fs::read(file.path()).await?, b"for a moment");
///         Ok::<_, std::io::Error>(file.path().to_owned())
///     });
///     assert!(!fs::try_exists(path.await?).await?);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TempFile {
    file: Option<File>,
    /// `None` when it is not to be removed any more.
    path: Option<PathBuf>,
}

/// A directory that only this user may enter, under a name that nobody had, removed with everything in it at the end of its
/// [block](crate::context::with): also if that panics, is cancelled, or is dropped half way.
///
/// Dropped without a block, it is removed on the spot, and holds the loop up for that. A process that is killed leaves it.
///
/// # Examples
/// See the [module](super).
pub struct TempDir {
    /// `None` when it is not to be removed any more.
    path: Option<PathBuf>,
}

/// Names that are tried, before it is said that there is none.
const NAMES: usize = 64;

impl TempFile {
    /// Makes one in the [directory](std::env::temp_dir) for such files.
    ///
    /// # Errors
    /// What the system says, with the path ([`PathError`]); and a cancel.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen**, also if the future is dropped: what was made is removed.
    #[track_caller]
    pub fn new() -> impl Future<Output = io::Result<Self>> {
        Self::new_in(std::env::temp_dir())
    }

    /// Makes one in a directory.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    ///
    /// # Cancellation
    /// **Did not happen**, also if the future is dropped.
    #[track_caller]
    pub fn new_in(dir: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        let call = Call::new("make a temporary file in", dir.as_ref());
        let dir = dir.as_ref().to_owned();
        async move {
            let names = names(|name| dir.join(format!("antiphon-{name}")));
            let made = call.run(move || make(names, |path| Unclaimed::file(path, 0o600)));
            Ok(Self::of(made.await?))
        }
    }

    pub(super) fn of(mut made: Unclaimed<fs::File>) -> Self {
        Self {
            file: made.value.take().map(|file| File::new(file, false)),
            path: made.path.take(),
        }
    }

    /// Returns where it is.
    #[allow(clippy::missing_panics_doc, reason = "it is there until this")]
    pub fn path(&self) -> &Path {
        self.path.as_deref().expect(IS_THERE)
    }

    /// Keeps it: it is not removed. Returns the file, and where it is.
    #[allow(clippy::missing_panics_doc, reason = "it is there until this")]
    pub fn keep(mut self) -> (File, PathBuf) {
        let path = self.path.take().expect(IS_THERE);
        (self.file.take().expect(IS_THERE), path)
    }
}

const IS_THERE: &str = "it is there until it is kept or removed";

impl TempDir {
    /// Makes one in the [directory](std::env::temp_dir) for such.
    ///
    /// # Errors
    /// What the system says, with the path ([`PathError`]); and a cancel.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen**, also if the future is dropped: what was made is removed.
    #[track_caller]
    pub fn new() -> impl Future<Output = io::Result<Self>> {
        Self::new_in(std::env::temp_dir())
    }

    /// Makes one in a directory.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    ///
    /// # Cancellation
    /// **Did not happen**, also if the future is dropped.
    #[track_caller]
    pub fn new_in(dir: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        let call = Call::new("make a temporary directory in", dir.as_ref());
        let dir = dir.as_ref().to_owned();
        async move {
            let names = names(|name| dir.join(format!("antiphon-{name}")));
            let mut made = call.run(move || make(names, Unclaimed::dir)).await?;
            let path = made.path.take();
            Ok(Self { path })
        }
    }

    /// Returns where it is.
    #[allow(clippy::missing_panics_doc, reason = "it is there until this")]
    pub fn path(&self) -> &Path {
        self.path.as_deref().expect(IS_THERE)
    }

    /// Keeps it: it is not removed. Returns where it is.
    #[allow(clippy::missing_panics_doc, reason = "it is there until this")]
    pub fn keep(mut self) -> PathBuf {
        self.path.take().expect(IS_THERE)
    }
}

/// What a thread has made. Dropped before somebody takes it, it is removed: nobody waited any more.
pub(super) struct Unclaimed<T> {
    value: Option<T>,
    path: Option<PathBuf>,
    is_dir: bool,
}

impl Unclaimed<fs::File> {
    pub(super) fn file(path: PathBuf, mode: u32) -> io::Result<Self> {
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(mode);
        let value = Some(options.open(&path)?);
        Ok(Self {
            value,
            path: Some(path),
            is_dir: false,
        })
    }

    pub(super) const fn get(&self) -> Option<&fs::File> {
        self.value.as_ref()
    }
}

impl Unclaimed<()> {
    fn dir(path: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self {
            value: Some(()),
            path: Some(path),
            is_dir: true,
        })
    }
}

impl<T> Drop for Unclaimed<T> {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let _ = remove_now(&path, self.is_dir);
        }
    }
}

/// Draws names. More than one, for a thread can't draw.
pub(super) fn names(path: impl Fn(&str) -> PathBuf) -> Vec<PathBuf> {
    let draw = |_| {
        let mut bytes = [0; 8];
        fill_random(&mut bytes);
        path(&format!("{:016x}", u64::from_le_bytes(bytes)))
    };
    (0..NAMES).map(draw).collect()
}

/// Makes something under the first of `names` that nobody has.
pub(super) fn make<T>(
    names: Vec<PathBuf>,
    make: impl Fn(PathBuf) -> io::Result<T>,
) -> io::Result<T> {
    for path in names {
        match make(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result,
        }
    }
    let error = "all names that were tried are taken";
    Err(io::Error::new(io::ErrorKind::AlreadyExists, error))
}

/// What is gone already is as good as removed.
fn remove_now(path: &Path, is_dir: bool) -> io::Result<()> {
    let result = if is_dir {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Removes what a manager has made. If that is given up before it has begun, it is removed on the spot.
async fn remove(path: &mut Option<PathBuf>, is_dir: bool) -> io::Result<()> {
    let Some(at) = path.clone() else {
        return Ok(());
    };
    let call = Call::new("remove", at.clone());
    call.run(move || remove_now(&at, is_dir)).await?;
    *path = None;
    Ok(())
}

/// It is removed.
impl ContextManager for TempFile {
    type Error = io::Error;
    type IfDropped = HandOver;

    async fn exit(mut self, _: Ending<'_>) -> io::Result<()> {
        self.file = None;
        remove(&mut self.path, false).await
    }
}

/// It is removed, with everything in it.
impl ContextManager for TempDir {
    type Error = io::Error;
    type IfDropped = HandOver;

    async fn exit(mut self, _: Ending<'_>) -> io::Result<()> {
        remove(&mut self.path, true).await
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let _ = remove_now(&path, false);
        }
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let _ = remove_now(&path, true);
        }
    }
}

impl Deref for TempFile {
    type Target = File;

    fn deref(&self) -> &File {
        self.file.as_ref().expect(IS_THERE)
    }
}

impl DerefMut for TempFile {
    fn deref_mut(&mut self) -> &mut File {
        self.file.as_mut().expect(IS_THERE)
    }
}

impl fmt::Debug for TempFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TempFile").field(&self.path).finish()
    }
}

impl fmt::Debug for TempDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TempDir").field(&self.path).finish()
    }
}
