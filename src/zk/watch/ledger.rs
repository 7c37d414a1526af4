//! When entries of the alert ledger come or go: told behind all that was being read by then.
//!
//! Whoever tells of a violation makes an entry after it saw the violation, and removes it after it saw the end. So
//! a reading that shows the violation was asked for before the answer, or the event, that shows that the entry is
//! gone, and answered before it too, as a server answers in order. What waits for all readings under way is
//! therefore told behind it.

use std::sync::Arc;

use super::Watcher;
use super::node::Phase;
use crate::model::observation::Fact;

/// The watch on the ledger's listing, which the election sets.
pub(super) struct Ledger {
    path: Arc<str>,
    /// How often it has rung.
    rang: u64,
    /// How often it had rung when it was set last; `None` if it was not yet.
    heard: Option<u64>,
    /// How many readings are waited for, if a change is to be told.
    left: Option<usize>,
}

impl Ledger {
    pub(super) fn new(path: Arc<str>) -> Self {
        Self { path, rang: 0, heard: None, left: None }
    }

    /// A generation is over.
    pub(super) fn forget(&mut self) {
        (self.rang, self.heard, self.left) = (0, None, None);
    }
}

impl Watcher {
    /// The watch was set. What changed between its last ring and now rang no bell.
    pub(super) fn ledger_watched(&mut self, rings: u64) {
        self.ledger.heard = Some(rings);
        self.mark();
    }

    pub(super) fn ledger_rang(&mut self, path: &Arc<str>) {
        if *path == self.ledger.path {
            self.ledger.rang += 1;
            self.mark();
        }
    }

    /// Has the change told after the readings under way. If one waits to be told already, both are told then.
    fn mark(&mut self) {
        if self.ledger.heard.is_none() {
            return;
        }
        let mut left = 0;
        for node in self.nodes.values_mut() {
            node.marked = node.phase != Phase::Idle;
            left += usize::from(node.marked);
        }
        self.ledger.left = Some(left);
        self.tell_if_read();
    }

    /// A reading that the change waits for was told, or is not wanted any more.
    pub(super) fn pass_mark(&mut self) {
        if let Some(left) = &mut self.ledger.left {
            *left -= 1;
        }
        self.tell_if_read();
    }

    fn tell_if_read(&mut self) {
        if self.ledger.left.take_if(|left| *left == 0).is_some() {
            self.tell(Fact::LedgerChanged);
        }
    }

    /// Nothing may be untold at a takeover: neither a change that waits, nor one that can have rung no bell because
    /// the watch has rung and was not set again.
    pub(super) fn tell_ledger_before_barrier(&mut self) {
        let unwatched = self.ledger.heard.is_some_and(|heard| heard != self.ledger.rang);
        if self.ledger.left.take().is_some() || unwatched {
            self.tell(Fact::LedgerChanged);
        }
    }
}
