//! What is done to names.

use std::fs::{self, Metadata, Permissions};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};

use super::call::Call;

/// Defines functions that do to a path what the one of the standard library does.
macro_rules! to_a_path {
    ($($(#[$doc:meta])* $name:ident($what:literal) -> $output:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// Those of
        #[doc = concat!("[`std::fs::", stringify!($name), "`], with the path ([`PathError`](super::PathError)); and a cancel.")]
        ///
        /// # Cancellation
        /// **Finishes first.** If it has not begun, it did not happen. So it is if the future is dropped, and what has begun runs on.
        #[track_caller]
        pub fn $name(path: impl AsRef<Path>) -> impl Future<Output = io::Result<$output>> {
            let path = path.as_ref().to_owned();
            Call::new($what, path.clone()).run(move || fs::$name(path))
        }
    )*};
}

/// Defines functions of two paths.
macro_rules! to_two_paths {
    ($($(#[$doc:meta])* $name:ident($what:literal) = $function:path;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// Those of
        #[doc = concat!("[`", stringify!($function), "`], with both paths ([`PathError`](super::PathError)); and a cancel.")]
        ///
        /// # Cancellation
        /// **Finishes first.** If it has not begun, it did not happen. So it is if the future is dropped, and what has begun runs on.
        #[track_caller]
        pub fn $name(
            from: impl AsRef<Path>,
            to: impl AsRef<Path>,
        ) -> impl Future<Output = io::Result<()>> {
            let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
            Call::new($what, from.clone())
                .to(to.clone())
                .run(move || $function(from, to))
        }
    )*};
}

to_a_path! {
    /// Returns what the system knows of a file; of a symbolic link, what it knows of the file it leads to.
    metadata("look at") -> Metadata;
    /// Returns what the system knows of a file, or of a symbolic link itself.
    symlink_metadata("look at") -> Metadata;
    /// Returns the path as it is from the root, without links and dots.
    canonicalize("resolve") -> PathBuf;
    /// Returns where a symbolic link leads to.
    read_link("read the link") -> PathBuf;
    /// Removes a name of a file. The file itself goes with the last of its names and of those who have it open.
    remove_file("remove") -> ();
    /// Makes an empty directory in one that is there.
    create_dir("create") -> ();
    /// Makes a directory, and those above it that are not there.
    create_dir_all("create") -> ();
    /// Removes an empty directory.
    remove_dir("remove") -> ();
    /// Removes a directory with everything in it. Symbolic links are removed, and not followed.
    remove_dir_all("remove") -> ();
}

to_two_paths! {
    /// Gives a file another name, in the place of the file that may have had it: at no moment is there none.
    ///
    /// Both must be on the same file system. After a crash either may be there, until the directories [are synced](sync_dir);
    /// [`replace`](super::replace()) sees to that.
    rename("rename") = std::fs::rename;
    /// Gives a file a second name.
    hard_link("link") = std::fs::hard_link;
    /// Makes a symbolic link at the second path that leads to the first.
    symlink("link") = std::os::unix::fs::symlink;
}

/// Returns whether there is something at the path; of a symbolic link, whether there is where it leads to.
///
/// # Errors
/// If that can't be told, with the path ([`PathError`](super::PathError)); and a cancel.
///
/// # Cancellation
/// **Did not happen.**
#[track_caller]
pub fn try_exists(path: impl AsRef<Path>) -> impl Future<Output = io::Result<bool>> {
    let path = path.as_ref().to_owned();
    Call::new("look at", path.clone()).run(move || path.try_exists())
}

/// Sets who may do what with a file.
///
/// # Errors
/// Those of [`std::fs::set_permissions`], with the path ([`PathError`](super::PathError)); and a cancel.
///
/// # Cancellation
/// **Finishes first.** If it has not begun, it did not happen. So it is if the future is dropped, and what has begun runs on.
#[track_caller]
pub fn set_permissions(
    path: impl AsRef<Path>,
    permissions: Permissions,
) -> impl Future<Output = io::Result<()>> {
    let path = path.as_ref().to_owned();
    Call::new("set the permissions of", path.clone())
        .run(move || fs::set_permissions(path, permissions))
}

/// Waits until the names in a directory are on the disk: those that were made, changed and removed in it before.
///
/// [`File::sync_all`](super::File::sync_all) sees to what is in a file. That it can be found after a crash is the directory's.
///
/// # Errors
/// What the system says, with the path ([`PathError`](super::PathError)); and a cancel.
///
/// # Cancellation
/// **Finishes first.** If it has not begun, it did not happen.
///
/// # Examples
/// ```
/// use antiphon::fs;
///
/// antiphon::run(async || {
///     let dir = fs::TempDir::new().await?;
///     fs::write(dir.path().join("a"), "1").await?;
///     fs::sync_dir(dir.path()).await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn sync_dir(path: impl AsRef<Path>) -> impl Future<Output = io::Result<()>> {
    let path = path.as_ref().to_owned();
    Call::new("sync", path.clone()).run(move || sync_now(&path))
}

/// Syncs a directory, however long that takes. Not every file system has something to sync there, or says so.
pub(super) fn sync_now(path: &Path) -> io::Result<()> {
    match fs::File::open(path)?.sync_all() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}
