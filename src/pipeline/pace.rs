//! What the loops share: deadlines, and how often a snapshot is made.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after, never};

use crate::clock;

/// How often a loop shows that it is alive while nothing happens.
pub const PULSE: Duration = Duration::from_secs(1);
/// The share of its time that a loop spends on snapshots: after one it waits nineteen times as long as that took.
const SNAPSHOT_SHARE: u32 = 19;

/// Fires at the earliest of these moments, each of which may be never.
pub fn at<const N: usize>(moments: [Option<Instant>; N]) -> Receiver<Instant> {
    let earliest = moments.into_iter().flatten().min();
    earliest.map_or_else(never, |at| after(at.saturating_duration_since(clock::mono())))
}

/// Paces snapshots: the first change is shown at once, and what follows as often as the cost of a snapshot
/// leaves most of the time to the work itself.
#[derive(Debug)]
pub struct Publisher {
    /// Whether there is something new to show.
    pub changed: bool,
    next: Instant,
}

impl Publisher {
    /// Nothing to show yet.
    pub fn new(now: Instant) -> Self {
        Self { changed: false, next: now }
    }

    /// When to show what is new.
    pub fn due(&self) -> Option<Instant> {
        self.changed.then_some(self.next)
    }

    /// Calls `publish` if there is something new and its time has come.
    pub fn publish_if_due(&mut self, publish: impl FnOnce()) {
        let before = clock::mono();
        if !self.changed || before < self.next {
            return;
        }
        publish();
        self.changed = false;
        let after = clock::mono();
        self.next = after + (after - before) * SNAPSHOT_SHARE;
    }
}
