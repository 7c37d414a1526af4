//! When entries of the alert ledger come or go: told behind all that was being read by then.
//!
//! Whoever tells of a violation makes an entry after it saw the violation, and removes it after it saw the end. Which
//! entries went is known when the ledger was listed after that. A reading that shows the violation was answered before
//! the end, thus before that listing, as a server answers in order; and what was answered had been asked for. So it is
//! told, or under way, when the machine hears of the listing: a change that waits for all readings under way then is told
//! behind it.
//!
//! The watch's ring says that there is a change, and not which: it is the listing that follows that is told of. Until then a
//! violation may pass for one that nobody told of, which matters to nobody but who takes over. So what has rung before a
//! fence and was not listed since counts as a change of any path, and is told before the barrier.
//!
//! Who takes over watches it no more. Should the takeover come to nothing, nothing is known of the listing until it is watched
//! anew: that is told behind the barrier.

use std::sync::Arc;

use super::debts::{Debts, Seq};
use crate::model::ledger_change::LedgerChange;

/// The watch on the ledger's listing, which the election sets.
#[derive(Debug)]
pub(super) struct LedgerListing {
    path: Arc<str>,
    /// How often it has rung in this session.
    rang: u64,
    /// How often it had rung when it was set last; `None` if it was not yet.
    heard: Option<u64>,
    /// Whether it is not watched any more since the last fence was asked for.
    is_over: bool,
    /// What is to be told, and the number of the listing that showed the last of it. It holds no path twice, and gets no
    /// more of them when the readings under way have been answered or their session is over.
    untold: Option<(Seq, LedgerChange)>,
}

impl LedgerListing {
    pub(super) fn new(path: Arc<str>) -> Self {
        Self { path, rang: 0, heard: None, is_over: false, untold: None }
    }

    /// The session is over.
    pub(super) fn forget(&mut self) {
        (self.rang, self.heard, self.is_over, self.untold) = (0, None, false, None);
    }

    /// It was listed and watched. If a change waits to be told already, both are told at once.
    pub(super) fn watched(&mut self, rings: u64, change: LedgerChange, seq: Seq) {
        (self.heard, self.is_over) = (Some(rings), false);
        let untold = self.untold.take().map(|(_, untold)| untold);
        self.untold = Some((seq, untold.into_iter().fold(change, LedgerChange::and)));
    }

    /// A takeover begins, for which it is not watched any more.
    pub(super) fn fence(&mut self) {
        self.is_over = self.heard.is_some();
    }

    /// What has to be told behind the barrier, once.
    pub(super) fn take_end(&mut self) -> Option<LedgerChange> {
        std::mem::take(&mut self.is_over).then_some(LedgerChange::Unwatched)
    }

    /// A znode's watch fired.
    pub(super) fn rang(&mut self, path: &Arc<str>) {
        self.rang += u64::from(*path == self.path);
    }

    /// The change that is to be told now; it is told once.
    pub(super) fn take_told(&mut self, debts: &Debts) -> Option<LedgerChange> {
        self.untold.take_if(|(seq, _)| debts.is_paid(*seq)).map(|(_, change)| change)
    }

    /// What has to be told before a takeover: the change that waits, or that of any path if the watch has rung and was not
    /// set again.
    pub(super) fn take_untold(&mut self) -> Option<LedgerChange> {
        let untold = self.untold.take().map(|(_, change)| change);
        let unheard = self.heard.is_some_and(|heard| heard != self.rang);
        if unheard { Some(LedgerChange::Any) } else { untold }
    }
}
