//! What the watching side tells, before anybody judged it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::alert_key::AlertKey;
use super::former_names::Name;
use super::judge::Base;
use super::ledger_change::LedgerChange;
use super::reading::Reading;
use super::rule::RuleSet;
use super::server_clock::ClockSample;

/// An incident that is open, as the ledger tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// The alert.
    pub key: AlertKey,
    /// What its rule was called before.
    pub former: Vec<Name>,
    /// When its path fell out of spec.
    pub since: SystemTime,
    /// What the number of children is measured by, if that has fallen.
    pub base: Option<Base>,
}

/// What the watching side tells the evaluator, in the order in which it became known.
#[derive(Clone, Debug)]
pub enum Observation {
    /// The rules are these from now on; readings that follow are made for them.
    Rules(Arc<RuleSet>),
    /// A new session: what was seen before may have changed unseen.
    Up,
    /// The session is gone, for this reason.
    Down(Arc<str>),
    /// A path was read. `delay` is the time from the ring of its watch to the answer, if a watch rang.
    Read {
        /// The concrete path, never a glob.
        path: Arc<str>,
        /// What was seen.
        reading: Reading,
        /// From the watch event to this reading.
        delay: Option<Duration>,
    },
    /// An alert has an open incident from before. A path that a glob matches stands as vanished until it is seen.
    Adopted(Adoption),
    /// The places where a glob can match were listed in this session, but for those that cannot be, and each match was
    /// `Read`.
    Expanded {
        /// The rule's path, with its stars.
        glob: Arc<str>,
    },
    /// The children of a place where globs can match cannot be listed, for this reason: which are there is unknown.
    Unlisted {
        /// The place.
        place: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
    /// Such a place can be listed again, and what it led to was `Read`; or no glob asks for it any more.
    Listed {
        /// The place.
        place: Arc<str>,
    },
    /// A write of this agent tells ZooKeeper's time.
    Clock(ClockSample),
    /// Every znode has been read on the session of this number, and told of; told once a session.
    Armed(u64),
    /// Entries of the alert ledger have come or gone, or may have. All that was read before has been told.
    LedgerChanged(LedgerChange),
    /// Everything that rang before the barrier was set has been told.
    Barrier(u64),
}
