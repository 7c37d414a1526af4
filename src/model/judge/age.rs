//! How long ago something may have been written.

use std::time::{Duration, SystemTime};

use super::violation::Violation;
use crate::model::duration::LONGEST;

/// The shares of an age after which it is told anew: words such as `12m` are wrong by at most a quarter.
const GROWTH: u32 = 4;

/// Ten thousand children that grow too old one after the other are judged again so often while one does.
const STEPS: u32 = 100;

/// Judges ages at one moment, and remembers when what it said can be otherwise by time alone.
#[derive(Debug)]
pub(super) struct Ages {
    now: SystemTime,
    again: Option<Duration>,
}

impl Ages {
    /// At this moment by the clock that the writes were made by.
    pub(super) fn at(now: SystemTime) -> Self {
        Self { now, again: None }
    }

    /// For what asks no age.
    pub(super) fn unasked() -> Self {
        Self::at(SystemTime::UNIX_EPOCH)
    }

    /// What is wrong with what was written then, if it may be so old.
    pub(super) fn check(&mut self, written: SystemTime, max: Duration) -> Option<Violation> {
        // A time to come is that of a clock that was set back: it was written just now.
        let age = self.now.duration_since(written).unwrap_or_default().min(LONGEST);
        let is_old = age > max;
        let left = if is_old { age / GROWTH } else { max - age };
        // Not before it is older than that: ZooKeeper counts milliseconds.
        let left = (left + Duration::from_millis(1)).max(max / STEPS);
        self.again = Some(self.again.map_or(left, |again| again.min(left)));
        is_old.then_some(Violation::TooOld { age, max })
    }

    /// After what time to judge again, if time alone can change anything.
    pub(super) fn again(&self) -> Option<Duration> {
        self.again
    }
}
