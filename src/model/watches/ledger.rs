//! When entries of the alert ledger come or go: told behind all that was being read by then.
//!
//! Whoever tells of a violation makes an entry after it saw the violation, and removes it after it saw the end. So
//! a reading that shows the violation was asked for before the answer, or the event, that shows that the entry is
//! gone, and answered before it too, as a server answers in order. What waits for all readings under way is
//! therefore told behind it.

use std::sync::Arc;

use super::debts::{Debts, Seq};

/// The watch on the ledger's listing, which the election sets.
#[derive(Debug)]
pub(super) struct LedgerListing {
    path: Arc<str>,
    /// How often it has rung in this session.
    rang: u64,
    /// How often it had rung when it was set last; `None` if it was not yet.
    heard: Option<u64>,
    /// The number of the last change that is to be told.
    untold: Option<Seq>,
}

impl LedgerListing {
    pub(super) fn new(path: Arc<str>) -> Self {
        Self { path, rang: 0, heard: None, untold: None }
    }

    /// The session is over.
    pub(super) fn forget(&mut self) {
        (self.rang, self.heard, self.untold) = (0, None, None);
    }

    /// The watch was set. What changed between its last ring and now rang no bell.
    pub(super) fn watched(&mut self, rings: u64, seq: Seq) {
        (self.heard, self.untold) = (Some(rings), Some(seq));
    }

    /// A znode's watch fired. If a change waits to be told already, both are told at once.
    pub(super) fn rang(&mut self, path: &Arc<str>, seq: Seq) {
        if *path == self.path {
            self.rang += 1;
            self.untold = self.heard.map(|_| seq);
        }
    }

    /// Whether a change is to be told now; it is told once.
    pub(super) fn passes(&mut self, debts: &Debts) -> bool {
        self.untold.take_if(|seq| debts.is_paid(*seq)).is_some()
    }

    /// Whether there is a change that waits, or may have been one that rang no bell because the watch has rung and was
    /// not set again.
    pub(super) fn is_untold(&mut self) -> bool {
        self.untold.take().is_some() || self.heard.is_some_and(|heard| heard != self.rang)
    }
}
