//! The files of a journal, as their one writer has them: of a bounded size, and of a bounded number.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::directory;

/// How many bytes a file has at most, unless a single batch has more.
pub(super) const SEGMENT: u64 = 4 << 20;

/// How many files there are at most.
pub(super) const SEGMENTS: usize = 16;

/// The file whose lock is the right to write.
const LOCK: &str = "lock";

/// The newest file, and the right to write into the directory.
pub(super) struct Segments {
    directory: PathBuf,
    /// Locked as long as it is open, which ends with the process however that ends.
    lock: File,
    newest: File,
    number: u64,
    length: u64,
}

impl Segments {
    /// Takes the directory, and drops the line that its last writer may not have ended.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let lock = OpenOptions::new().create(true).append(true).open(directory.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let reason = "another daemon keeps its journal there; give each a directory of its own";
                return Err(io::Error::other(reason));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let number = directory::files(directory)?.last().map_or(1, |(number, _)| *number);
        let path = directory.join(directory::name(number));
        let newest = OpenOptions::new().create(true).append(true).open(&path)?;
        let content = directory::content(&path)?;
        let length = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1);
        newest.set_len(length)?;
        Ok(Self { directory: directory.to_owned(), lock, newest, number, length })
    }

    /// Whether what it writes can still be found: a file that was deleted, or moved with its directory, takes writes all the
    /// same. So is the right to write looked for, which another would have by now.
    pub(super) fn are_there(&self) -> bool {
        let is_there = |file: &File, name: &str| {
            let (Ok(open), Ok(found)) = (file.metadata(), fs::metadata(self.directory.join(name))) else {
                return false;
            };
            (open.dev(), open.ino()) == (found.dev(), found.ino())
        };
        is_there(&self.newest, &directory::name(self.number)) && is_there(&self.lock, LOCK)
    }

    /// Appends whole lines. After an error none of them is there.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let size = lines.len() as u64;
        if self.length > 0 && self.length + size > SEGMENT {
            self.rotate()?;
        }
        if let Err(error) = self.newest.write_all(lines) {
            self.newest.set_len(self.length)?;
            return Err(error);
        }
        self.length += size;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let path = self.directory.join(directory::name(self.number + 1));
        self.newest = OpenOptions::new().create_new(true).append(true).open(path)?;
        (self.number, self.length) = (self.number + 1, 0);
        let files = directory::files(&self.directory)?;
        for (_, path) in files.iter().take(files.len().saturating_sub(SEGMENTS)) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}
