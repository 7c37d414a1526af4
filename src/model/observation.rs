//! What the watching side tells, before anybody judged it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::reading::Reading;
use super::rule::RuleSet;

/// What the watching side tells the evaluator, in the order in which it became known.
#[derive(Clone, Debug)]
pub enum Fact {
    /// The rules are these from now on; readings that follow are made for them.
    Rules(Arc<RuleSet>),
    /// A new session: what was seen before may have changed unseen.
    Up,
    /// The session is gone, for this reason.
    Down(Arc<str>),
    /// A path was read. `delay` is the time from the ring of its watch to the answer, if a watch rang.
    Observed {
        /// The concrete path, never a glob.
        path: Arc<str>,
        /// What was seen.
        reading: Reading,
        /// From the watch event to this reading.
        delay: Option<Duration>,
    },
    /// A path that a glob matches has an open incident from before: it stands as vanished until it is seen.
    Adopted {
        /// The concrete path.
        path: Arc<str>,
        /// When it fell out of spec.
        since: SystemTime,
    },
    /// All places where a glob can match were listed in this session, and each match was `Observed`.
    Expanded {
        /// The rule's path, with its stars.
        glob: Arc<str>,
    },
    /// Entries of the alert ledger have come or gone, or may have. All that was read before has been told.
    LedgerChanged,
    /// Everything that rang before the barrier was set has been told.
    Barrier(u64),
}
