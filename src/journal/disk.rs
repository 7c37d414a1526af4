//! Files as long as they can be written, and what is said when they cannot.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::line;
use super::segments::Segments;
use crate::model::event::{Event, What};
use crate::model::recent::RecentEvent;
use crate::model::time::Now;

/// How long to leave a directory alone that could not be written.
const RETRY: Duration = Duration::from_secs(10);

/// The files of one directory.
pub(super) struct Disk {
    directory: PathBuf,
    open: Option<Segments>,
    failure: Option<Failure>,
}

/// The files cannot be written.
struct Failure {
    reason: String,
    retry_at: Instant,
    /// How many events are not in them.
    missing: u64,
}

impl Disk {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, open: None, failure: None }
    }

    /// Whether the latest attempt to write failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failure.is_some()
    }

    /// Writes these events; or, while that cannot be done, counts them.
    pub(super) fn write(&mut self, batch: &[RecentEvent], now: Now) {
        let (count, missing) =
            (batch.len() as u64, self.failure.as_ref().map_or(0, |failure| failure.missing));
        let is_paused = self.failure.as_ref().is_some_and(|failure| now.mono < failure.retry_at);
        if count + missing == 0 {
            return;
        }
        if is_paused {
            self.failure.iter_mut().for_each(|failure| failure.missing += count);
            return;
        }
        let result = self.append(batch, missing, now);
        let shown = self.directory.display();
        match result {
            Ok(()) if self.failure.take().is_some() => {
                log::warn!("the journal is written to {shown} again; {missing} events are missing there");
            }
            Ok(()) => {}
            Err(error) => {
                let reason = error.to_string();
                if self.failure.as_ref().is_none_or(|failure| failure.reason != reason) {
                    log::warn!(
                        "cannot write the journal to {shown}, and keep it in memory until that can be done: {reason}"
                    );
                }
                self.open = None;
                self.failure = Some(Failure { reason, retry_at: now.mono + RETRY, missing: missing + count });
            }
        }
    }

    fn append(&mut self, batch: &[RecentEvent], missing: u64, now: Now) -> io::Result<()> {
        if self.open.take_if(|segments| !segments.are_there()).is_some() {
            log::warn!(
                "the journal's file or lock in {} was deleted or moved, with what it held: beginning anew",
                self.directory.display()
            );
        }
        let segments = match &mut self.open {
            Some(segments) => segments,
            closed => closed.insert(Segments::open(&self.directory)?),
        };
        let mut lines = String::new();
        if missing > 0 {
            lines += &line::json(Event { time: now.wall, what: What::Lost(missing) });
            lines.push('\n');
        }
        for event in batch {
            lines += &event.json;
            lines.push('\n');
        }
        segments.append(lines.as_bytes())
    }
}
