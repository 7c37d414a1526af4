//! What comes to the watch thread.

use std::sync::Arc;
use std::time::Instant;

use zookeeper::ZkError;

use super::client::Client;
use crate::model::ledger_change::LedgerChange;
use crate::model::observation::Adoption;
use crate::model::reading::Reading;
use crate::model::rule::RuleSet;
use crate::model::server_clock::ClockSample;

/// What the watch thread hears.
pub enum WatchInput {
    /// A new generation; everything has to be read on it.
    Up(Client),
    /// A generation is over.
    Down {
        /// Which.
        generation: u64,
        /// Why, in words.
        reason: Arc<str>,
    },
    /// A watch fired.
    Rang {
        /// On which generation.
        generation: u64,
        /// For which znode.
        path: Arc<str>,
        /// When.
        at: Instant,
    },
    /// A reader has read a znode.
    Answered {
        /// On which generation.
        generation: u64,
        /// The request's ticket.
        ticket: u64,
        /// Which znode.
        path: Arc<str>,
        /// What it showed; nothing if it has to be read again.
        answer: Result<Option<Reading>, ZkError>,
    },
    /// New rules.
    Rules(Arc<RuleSet>),
    /// Open incidents.
    Adopt(Vec<Adoption>),
    /// The next event of this znode is a fence: all that rang before it has to be told, then the barrier.
    Fence {
        /// The generation it holds for.
        generation: u64,
        /// The znode.
        path: Arc<str>,
        /// The barrier's number.
        barrier: u64,
    },
    /// The ledger was listed, with a watch that was set after it had rung so often.
    LedgerWatched {
        /// The generation it holds for.
        generation: u64,
        /// How often it had rung before.
        rings: u64,
        /// What has changed since it was listed last.
        change: LedgerChange,
    },
    /// A write of this agent tells ZooKeeper's time.
    Clock(ClockSample),
    /// The daemon ends.
    Stop,
}
