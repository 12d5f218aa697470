//! Files and directories.
//!
//! ```
//! use antiphon::context::with;
//! use antiphon::fs::{self, File, TempDir};
//! use antiphon::io::Read;
//!
//! antiphon::run(async || {
//!     with(TempDir::new(), async |dir| {
//!         let path = dir.path().join("psalm");
//!         fs::write(&path, "versicle\nresponse\n").await?;
//!         let mut lines = File::open(&path).await?.lines();
//!         while let Some(line) = lines.next_line().await? {
//!             println!("{line}");
//!         }
//!         Ok::<(), std::io::Error>(())
//!     })
//!     .await
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Names and meanings are those of [`std::fs`]. What differs is said there, and is this:
//!
//! - A [`File`] has no cursor in the system. Its own moves when a call has returned, so a read that is given up leaves it where it
//!   was.
//! - Errors say which path they are about: [`PathError`].
//! - What has to end well is a [block](crate::context::with): [`TempFile`] and [`TempDir`] are removed at its end, [`replace`] puts
//!   a whole new file in the place of the old one or leaves that as it was, and a [`File`] or [`BufWriter`] is on the disk when
//!   the block has ended well.
//!
//! | to … | there is |
//! |---|---|
//! | read or write a whole file | [`read`], [`read_to_string`], [`write`](write()), [`copy`] |
//! | replace a file, so that nobody sees half of it | [`replace`] |
//! | read or write one after the other | [`File`], as [`Read`](crate::io::Read) and [`Write`](crate::io::Write); [`BufWriter`]; [`Lines`](crate::io::Lines) |
//! | read or write anywhere, many at a time | [`File::read_at`], [`File::write_at`] and their kin |
//! | be sure that it is on the disk | [`File::sync_all`], [`sync_dir`] |
//! | look at directories | [`read_dir`], [`metadata`], … |
//!
//! # Who waits for the disk
//! Reads of what is in memory anyway are done at once, where Linux can tell. Otherwise reads, writes and syncs are operations
//! of the ring; under epoll, which has no notion of a file that is not ready, they are done by the
//! [pool](crate::thread::Pool::global), and so is everything that has a path. A ring does those no better: the kernel has
//! threads of its own for them.
//!
//! # Cancelled
//! No disk stops half way. So there is one rule: what has not begun when its scope is cancelled did not happen; what is under way is
//! waited for, its result wins, and the next wait is the one that ends. Calls that take several steps say how far they came.
//!
//! # In virtual time
//! Files are those of the system. Each operation is done on the loop while the clock stands still, so that every run is the same
//! as long as the files are.
//!
//! # What is not here
//! - Pipes, sockets and terminals under the name of a file: they have no positions, and a [`File`] refuses them.
//! - Locks, watches, and `O_DIRECT` with its alignment.

mod buf_writer;
mod call;
mod directory;
mod file;
mod options;
mod path_error;
mod paths;
mod positional;
mod replace;
mod temp;
mod whole;

pub use std::fs::{FileTimes, FileType, Metadata, Permissions};

pub use self::buf_writer::BufWriter;
pub use self::directory::{DirBuilder, DirEntry, ReadDir, read_dir};
pub use self::file::File;
pub use self::options::OpenOptions;
pub use self::path_error::PathError;
pub use self::paths::{
    canonicalize, create_dir, create_dir_all, hard_link, metadata, read_link, remove_dir,
    remove_dir_all, remove_file, rename, set_permissions, symlink, symlink_metadata, sync_dir,
    try_exists,
};
pub use self::replace::{Replacement, replace};
pub use self::temp::{TempDir, TempFile};
pub use self::whole::{copy, read, read_to_string, write};
