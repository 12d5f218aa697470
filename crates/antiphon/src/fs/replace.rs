//! A new file in the place of an old one, whole or not at all.

use std::fmt;
use std::fs;
use std::future::Future;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::call::Call;
use super::paths::sync_now;
use super::temp::{TempFile, Unclaimed, make, names};
use super::{File, PathError};
use crate::context::{ContextManager, Ending, HandOver};
use crate::io::Write;

/// Begins to replace the file at `path`, or to make it: for a [block](crate::context::with) that writes the new one.
///
/// ```text
///   block: writes a file of another name, beside the old one
///     ├─ value ─────────────▶ flush, sync, rename over the old one, sync the directory
///     └─ anything else ─────▶ the new one is removed, the old one is as it was
/// ```
/// Whoever opens `path` at any moment finds the old file or the new one, whole; so it is after a crash, and after the block has
/// ended well it is the new one. It may be read by those who could read the old one; who has the old one open keeps that. If
/// `path` is a symbolic link, the file is replaced that it leads to.
///
/// Without a block nothing is replaced: a [`Replacement`] that is dropped removes the new file.
///
/// # Errors
/// What the system says, with the path ([`PathError`](super::PathError)); and a cancel. At the end of the block the same, and
/// [`StorageFull`](io::ErrorKind::StorageFull) for instance: then the old file is as it was. Only if the sync of the directory
/// failed, the new one is there, and may not be after a crash.
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Cancellation
/// **Did not happen**, whether it comes at the beginning or in the block. The end of the block is shielded.
///
/// # Examples
/// ```
/// use antiphon::context::with;
/// use antiphon::fs;
/// use antiphon::io::Write;
///
/// antiphon::run(async || {
///     let dir = fs::TempDir::new().await?;
///     let path = dir.path().join("settings");
///     fs::write(&path, "old").await?;
///     with(fs::replace(&path), async |new| new.write_all(b"new").await).await?;
///     assert_eq!(fs::read_to_string(&path).await?, "new");
///
///     let failed = with(fs::replace(&path), async |new| {
///         new.write_all(b"half of").await?;
///         Err::<(), _>(std::io::Error::other("something else went wrong"))
///     });
///     assert!(failed.await.is_err());
///     assert_eq!(fs::read_to_string(&path).await?, "new");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn replace(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Replacement>> {
    let path = path.as_ref().to_owned();
    let call = Call::new("replace", path.clone());
    async move {
        let suffixes = names(|name| PathBuf::from(format!(".{name}.tmp")));
        let (made, target) = call.run(move || begin(&path, suffixes)).await?;
        let file = TempFile::of(made);
        Ok(Replacement { file, target })
    }
}

/// A new file that is to take the place of another: see [`replace`]. It dereferences to the [`File`], to be written to.
pub struct Replacement {
    file: TempFile,
    target: PathBuf,
}

/// Makes the new file beside the old one, and says where that is.
fn begin(path: &Path, suffixes: Vec<PathBuf>) -> io::Result<(Unclaimed<fs::File>, PathBuf)> {
    let (target, old) = match fs::canonicalize(path) {
        Ok(target) => {
            let metadata = fs::metadata(&target)?;
            if !metadata.is_file() {
                let error = "what is to be replaced is no file";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
            }
            (target, Some(metadata.permissions()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), None),
        Err(error) => return Err(error),
    };
    let Some(name) = target.file_name() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let beside = |suffix: PathBuf| {
        // Hidden, and no longer than what there is room for.
        let mut hidden = std::ffi::OsString::from(".");
        if name.len() < 200 {
            hidden.push(name);
        }
        hidden.push(suffix);
        target.with_file_name(hidden)
    };
    let mode = old.as_ref().map_or(0o666, |old| old.mode() & 0o777);
    let new = make(suffixes, |suffix| Unclaimed::file(beside(suffix), mode))?;
    if let (Some(old), Some(file)) = (old, new.get()) {
        file.set_permissions(old)?;
    }
    Ok((new, target))
}

impl Replacement {
    /// Returns which file is to be replaced.
    pub fn target(&self) -> &Path {
        &self.target
    }
}

/// If the block returned a value, the new file takes the place of the old one. If not, it is removed.
impl ContextManager for Replacement {
    type Error = io::Error;
    type IfDropped = HandOver;

    async fn exit(mut self, ending: Ending<'_>) -> io::Result<()> {
        if !ending.is_value() {
            return self.file.exit(ending).await;
        }
        let result = self.commit().await;
        match result {
            Ok(()) => drop(self.file.keep()),
            // That it could not be removed is not worth to hide why.
            Err(_) => drop(self.file.exit(ending).await),
        }
        result.map_err(|error| PathError::wrap(error, "replace", &self.target, None))
    }
}

impl Replacement {
    async fn commit(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let (from, to) = (self.file.path().to_owned(), self.target.clone());
        let call = Call::new("replace", to.clone());
        let put = call.run(move || {
            fs::rename(from, &to)?;
            // From here on there is nothing to be removed, also if this fails.
            let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty());
            sync_now(dir.unwrap_or(Path::new(".")))
        });
        put.await
    }
}

impl Deref for Replacement {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl DerefMut for Replacement {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.file
    }
}

impl fmt::Debug for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Replacement").field(&self.target).finish()
    }
}
