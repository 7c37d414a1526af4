//! The directory of a journal, as a reader finds it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::line;
use crate::model::event::Event;
use crate::model::recent::RecentEvent;

/// How many bytes of one file are read at most: several times as many as are ever written into one.
const READ: u64 = 64 << 20;

/// What was found beside events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many files there are.
    pub files: usize,
    /// How many events they hold.
    pub events: u64,
    /// How many lines are none: torn, or not this program's.
    pub skipped: u64,
}

/// The files by number, the oldest first.
pub(super) fn files(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        files.extend(number(&path).map(|number| (number, path)));
    }
    files.sort();
    Ok(files)
}

/// The name of the file of this number.
pub(super) fn name(number: u64) -> String {
    format!("events-{number:010}.jsonl")
}

fn number(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix("events-")?.strip_suffix(".jsonl")?;
    digits.parse().ok().filter(|number| name(*number).len() == digits.len() + 13)
}

pub(super) fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(READ).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Tells of every event in the order in which they were written.
///
/// # Errors
/// If the directory or a file cannot be read.
pub fn read(directory: &Path, mut each: impl FnMut(Event)) -> io::Result<Summary> {
    let mut summary = Summary::default();
    for (_, path) in files(directory)? {
        let bytes = match content(&path) {
            // The daemon that writes here has removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            read => read?,
        };
        summary.files += 1;
        for line in lines(&bytes) {
            match line.and_then(line::parse) {
                Some(event) => {
                    summary.events += 1;
                    each(event);
                }
                None => summary.skipped += 1,
            }
        }
    }
    Ok(summary)
}

/// The last events, at most so many; those of before the present start, too. What cannot be read is not there.
pub(super) fn last(directory: &Path, most: usize) -> Vec<RecentEvent> {
    let mut newest_first = Vec::new();
    for (_, path) in files(directory).unwrap_or_default().iter().rev() {
        let bytes = content(path).unwrap_or_default();
        let events: Vec<_> = lines(&bytes).filter_map(|line| line.and_then(line::stored)).collect();
        newest_first.extend(events.into_iter().rev());
        if newest_first.len() >= most {
            break;
        }
    }
    newest_first.truncate(most);
    newest_first.reverse();
    newest_first
}

/// The lines; `None` for one that is no text or has no end.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = Option<&str>> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(|line| str::from_utf8(line.strip_suffix(b"\n")?).ok())
}
