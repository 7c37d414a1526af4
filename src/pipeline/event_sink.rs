//! The way to the journal, which nobody waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crossbeam_channel::Sender;

use crate::model::event::{Event, What};

/// How many events may wait for the journal: what a storm of ten thousand paths makes at once, at some hundred bytes
/// each. Above that they are dropped, and counted.
const WAITING: usize = 65_536;

/// Where events go. A disk that hangs delays nobody.
#[derive(Clone, Debug)]
pub struct EventSink {
    /// Not bounded by itself: a bounded channel takes the memory of all its places from the start.
    pub queue: Sender<Event>,
    /// How many were dropped since the journal asked last.
    pub lost: Arc<AtomicU64>,
    /// Whether there are files. Only they keep what was read first: at the start that is a reading of each path.
    pub has_files: bool,
}

impl EventSink {
    /// Notes that something happened.
    pub fn note(&self, time: SystemTime, what: What) {
        if !self.has_files && matches!(what, What::Reading { first: true, .. }) {
            return;
        }
        // The other end closes only while the daemon ends, and for `--once`, which keeps no journal.
        let is_taken = self.queue.len() < WAITING && self.queue.send(Event { time, what }).is_ok();
        if !is_taken {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_is_dropped_and_counted() {
        let (queue, inbox) = crossbeam_channel::unbounded();
        let sink = EventSink { queue, lost: Arc::default(), has_files: true };
        (0..WAITING + 3).for_each(|_| sink.note(SystemTime::UNIX_EPOCH, What::Armed));
        assert_eq!((inbox.len(), sink.lost.load(Ordering::Relaxed)), (WAITING, 3));
    }
}
