//! Whole files, in one call.

use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::panic::Location;
use std::path::{Path, PathBuf};

use super::PathError;
use super::call::call;
use crate::io::Partial;
use crate::scope::deliver;
use crate::thread::StopToken;

/// What a thread does between two looks whether it is to go on.
const PIECE: usize = 1 << 20;

/// Reads all of a file.
///
/// # Errors
/// Those of [`std::fs::read`], with the path ([`PathError`]); and a cancel.
///
/// # Cancellation
/// **Did not happen.** It is looked for after each mebibyte.
///
/// # Examples
/// ```
/// antiphon::run(async || {
///     let manifest = antiphon::fs::read("Cargo.toml").await?;
///     assert!(manifest.starts_with(b"[package]"));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn read(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Vec<u8>>> {
    let work = |path: &Path, _: Option<&Path>, progress: &mut Progress<'_>| {
        let mut file = fs::File::open(path)?;
        // What the system says may be 0 of files that it makes up.
        let len = file.metadata()?.len();
        let mut bytes = Vec::new();
        bytes.try_reserve(usize::try_from(len).unwrap_or(usize::MAX))?;
        while progress.goes_on() {
            if (&mut file).take(PIECE as u64).read_to_end(&mut bytes)? == 0 {
                break;
            }
        }
        Ok(bytes)
    };
    let path = path.as_ref().to_owned();
    in_pieces("read", Location::caller(), path, None, Box::new(work))
}

/// Reads all of a file, which is text.
///
/// # Errors
/// [`InvalidData`](io::ErrorKind::InvalidData) if it is not UTF-8; and those of [`read`].
///
/// # Cancellation
/// **Did not happen**, as [`read`].
#[track_caller]
pub fn read_to_string(path: impl AsRef<Path>) -> impl Future<Output = io::Result<String>> {
    let path = path.as_ref().to_owned();
    let read = read(path.clone());
    async move {
        String::from_utf8(read.await?).map_err(|error| {
            let error = io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
            PathError::wrap(error, "read", &path, None)
        })
    }
}

/// Writes `bytes` to a file, which is made, or emptied if it is there.
///
/// Others may see it empty, or half of it, and so it may be after a crash: see [`replace`](super::replace()).
///
/// # Errors
/// Those of [`std::fs::write`], with the path ([`PathError`]). What was written before the error stays. And a cancel.
///
/// # Cancellation
/// **Partial.** If it has not begun, it did not happen; then it is looked for after each mebibyte, and the error says how many bytes
/// were written ([`Partial`]), if there were any.
#[track_caller]
pub fn write(
    path: impl AsRef<Path>,
    bytes: impl Into<Vec<u8>>,
) -> impl Future<Output = io::Result<()>> {
    let bytes = bytes.into();
    let work = move |path: &Path, _: Option<&Path>, progress: &mut Progress<'_>| {
        let mut file = fs::File::create(path)?;
        for piece in bytes.chunks(PIECE) {
            if !progress.goes_on() {
                break;
            }
            file.write_all(piece)?;
            progress.count += piece.len();
        }
        Ok(())
    };
    let path = path.as_ref().to_owned();
    in_pieces("write", Location::caller(), path, None, Box::new(work))
}

/// Copies what is in a file, and who may do what with it, to another one, which is made, or emptied if it is there. Returns how many
/// bytes.
///
/// The system copies, and if the file system can it copies nothing but the knowledge where the bytes are.
///
/// # Errors
/// Those of [`std::fs::copy`], with both paths ([`PathError`]). What was copied before the error stays. And a cancel.
///
/// # Cancellation
/// **Partial.** If it has not begun, it did not happen; then it is looked for after each mebibyte, and the error says how many bytes
/// were copied ([`Partial`]), if there were any. Half a file may be left: for a whole one or none, copy into [`replace`](super::replace()).
///
/// # Examples
/// ```
/// use antiphon::fs;
///
/// antiphon::run(async || {
///     let dir = fs::TempDir::new().await?;
///     let (from, to) = (dir.path().join("a"), dir.path().join("b"));
///     fs::write(&from, "copied").await?;
///     assert_eq!(fs::copy(&from, &to).await?, 6);
///     assert_eq!(fs::read_to_string(&to).await?, "copied");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> impl Future<Output = io::Result<u64>> {
    let work = |from: &Path, to: Option<&Path>, progress: &mut Progress<'_>| {
        let to = to.unwrap_or(from);
        let source = fs::File::open(from)?;
        let metadata = source.metadata()?;
        if !metadata.is_file() {
            let error = "what is to be copied is no file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let mut target = options.mode(metadata.permissions().mode()).open(to)?;
        if target.metadata()?.is_file() {
            target.set_permissions(metadata.permissions())?;
        }
        let mut copied = 0;
        while progress.goes_on() {
            let piece = io::copy(&mut (&source).take(PIECE as u64), &mut target)?;
            if piece == 0 {
                break;
            }
            copied += piece;
            progress.count = usize::try_from(copied).unwrap_or(usize::MAX);
        }
        Ok(copied)
    };
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    in_pieces("copy", Location::caller(), from, Some(to), Box::new(work))
}

/// How far a thread came, and whether it is to go on.
struct Progress<'a> {
    stop: &'a StopToken,
    count: usize,
    is_stopped: bool,
}

impl Progress<'_> {
    fn goes_on(&mut self) -> bool {
        self.is_stopped = self.stop.is_stopped();
        !self.is_stopped
    }
}

/// What came of it: all, or so much.
enum Outcome<T> {
    Whole(T),
    Stopped(usize),
}

/// What is done in pieces.
type Work<T> =
    Box<dyn FnOnce(&Path, Option<&Path>, &mut Progress<'_>) -> io::Result<T> + Send + 'static>;

/// Has `work` done on a thread. If it was told to stop, and did, the call was cancelled.
async fn in_pieces<T: Send + 'static>(
    what: &'static str,
    at: &'static Location<'static>,
    path: PathBuf,
    to: Option<PathBuf>,
    work: Work<T>,
) -> io::Result<T> {
    let (here, there) = (path.clone(), to.clone());
    let done = call(what, at, move |stop| {
        let mut progress = Progress {
            stop,
            count: 0,
            is_stopped: false,
        };
        let result = work(&here, there.as_deref(), &mut progress)?;
        Ok(if progress.is_stopped {
            Outcome::Stopped(progress.count)
        } else {
            Outcome::Whole(result)
        })
    });
    match done.await {
        Ok(Outcome::Whole(result)) => Ok(result),
        Ok(Outcome::Stopped(count)) => Err(stopped(count)),
        Err(error) => Err(PathError::wrap(error, what, &path, to.as_deref())),
    }
}

/// The error of a call that was told to stop, and did.
fn stopped(count: usize) -> io::Error {
    match deliver() {
        Some(cancelled) => Partial::wrap(cancelled.into(), count),
        // It is awaited outside of the scope that was cancelled by now.
        None => io::Error::other("it was cancelled half way"),
    }
}
