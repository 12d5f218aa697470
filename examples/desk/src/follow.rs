//! The files of a folder, and what is appended to them. It blocks: to be called on a thread for that.
//!
//! A file is known by its inode, and kept open. So one that is renamed within the folder, as a log is when it is rotated, is
//! followed under its new name, and the new file of the old name from its beginning; one that is removed or moved away is read to
//! its end first. One that is shorter than what was read of it was truncated, and is read from its beginning.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::input::{InputError, LINE_BYTES_MAX};

/// A folder, and how far its files were read.
pub(crate) struct Folder {
    path: PathBuf,
    files: BTreeMap<Inode, Followed>,
    /// Set while there are more files than are followed.
    is_full: bool,
}

/// A device and a number on it.
type Inode = (u64, u64);

struct Followed {
    file: File,
    name: String,
    /// How much was read, in bytes.
    offset: u64,
    /// How many lines of it were ended.
    lines: u64,
    /// The beginning of a line whose end is not there yet; no more of it than [`LINE_BYTES_MAX`] and one.
    partial: Vec<u8>,
    /// Whether the name was in the folder at the last look.
    is_there: bool,
}

/// What a look at the folder has found.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) lines: Vec<Line>,
    /// What went wrong, for a person.
    pub(crate) troubles: Vec<String>,
    /// Set if there was more than is read at one time.
    pub(crate) is_more: bool,
}

/// A line of a file, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) file: String,
    pub(crate) number: u64,
    pub(crate) text: Result<String, InputError>,
}

/// So many files are kept open.
const FILES_MAX: usize = 200;

/// So much of a file is read at one time.
const BYTES_MAX: u64 = 64 * 1024;

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            files: BTreeMap::new(),
            is_full: false,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the lines that were ended since the last look, those of one file in their order.
    ///
    /// # Errors
    /// If the folder can't be read. Its files are followed on, and what is found in them is lost with nothing.
    pub(crate) fn look(&mut self) -> io::Result<Found> {
        let mut found = Found::default();
        self.find(&mut found)?;
        for followed in self.files.values_mut() {
            if let Err(error) = followed.read(&mut found) {
                let name = &followed.name;
                found.troubles.push(format!("can't read {name}: {error}"));
            }
        }
        if !found.is_more {
            self.files.retain(|_, followed| {
                if !followed.is_there && !followed.partial.is_empty() {
                    let name = &followed.name;
                    let trouble = format!("{name} has gone, and its last line was not ended");
                    found.troubles.push(trouble);
                }
                followed.is_there
            });
        }
        Ok(found)
    }

    /// Notes which files are there.
    fn find(&mut self, found: &mut Found) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            // One that begins with a dot is an editor's, or is not finished.
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push((name, entry.path()));
            }
        }
        names.sort();
        for followed in self.files.values_mut() {
            followed.is_there = false;
        }
        let mut is_full = false;
        for (name, path) in names {
            // One that has gone since is no file.
            let Ok(metadata) = fs::symlink_metadata(&path) else {
                continue;
            };
            if !metadata.is_file() {
                continue;
            }
            let inode = (metadata.dev(), metadata.ino());
            if let Some(followed) = self.files.get_mut(&inode) {
                followed.is_there = true;
                followed.name = name;
            } else if self.files.len() >= FILES_MAX {
                is_full = true;
            } else {
                match Followed::open(&path, name) {
                    // By its own descriptor: the name may be another file's by now.
                    Ok((inode, followed)) => {
                        self.files.insert(inode, followed);
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        let trouble = format!("can't open {}: {error}", path.display());
                        found.troubles.push(trouble);
                    }
                }
            }
        }
        if is_full && !self.is_full {
            let trouble = format!("more than {FILES_MAX} files; the others are not read");
            found.troubles.push(trouble);
        }
        self.is_full = is_full;
        Ok(())
    }
}

impl Followed {
    fn open(path: &Path, name: String) -> io::Result<(Inode, Self)> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let followed = Self {
            file,
            name,
            offset: 0,
            lines: 0,
            partial: Vec::new(),
            is_there: true,
        };
        Ok(((metadata.dev(), metadata.ino()), followed))
    }

    /// Reads what was appended.
    fn read(&mut self, found: &mut Found) -> io::Result<()> {
        if self.file.metadata()?.len() < self.offset {
            self.offset = 0;
            self.lines = 0;
            self.partial.clear();
        }
        self.file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        let count = (&mut self.file).take(BYTES_MAX).read_to_end(&mut bytes)? as u64;
        self.offset += count;
        found.is_more |= count == BYTES_MAX;
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (piece, is_ended) = match piece.strip_suffix(b"\n") {
                Some(piece) => (piece, true),
                None => (piece, false),
            };
            let room = (LINE_BYTES_MAX + 1).saturating_sub(self.partial.len());
            self.partial.extend(&piece[..piece.len().min(room)]);
            if is_ended {
                self.lines += 1;
                let line = std::mem::take(&mut self.partial);
                found.lines.push(Line {
                    file: self.name.clone(),
                    number: self.lines,
                    text: text_of(line),
                });
            }
        }
        Ok(())
    }
}

fn text_of(line: Vec<u8>) -> Result<String, InputError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(InputError::TooLong);
    }
    String::from_utf8(line).map_err(|_| InputError::NotUtf8)
}

/// `orders.log line 3`
impl Line {
    pub(crate) fn place(&self) -> Rc<str> {
        format!("{} line {}", self.file, self.number).into()
    }
}
