//! One watched znode.

use std::time::Instant;

use crate::model::children::Children;
use crate::zk::bell::Wants;
use crate::zk::globs::Site;

/// Where the reading of a znode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Armed: its next change will ring.
    Idle,
    /// Queued or being read.
    Reading,
    /// Being read, and rang meanwhile.
    Dirty,
}

/// One watched znode.
#[derive(Debug)]
pub(super) struct Node {
    /// What its rule wants, if it has one.
    pub(super) rule: Option<Wants>,
    /// Named by a rule, or where a glob begins: watched whether it exists or not.
    pub(super) rooted: bool,
    /// By how many listings a glob leads here.
    pub(super) listed: u16,
    pub(super) phase: Phase,
    /// Whether it was read in this generation.
    pub(super) read: bool,
    /// When the bell rang that has not been answered by a reading.
    pub(super) rang: Option<Instant>,
    /// How many readings the fence still waits for.
    pub(super) fenced: u8,
    /// Whether the news of the ledger's change waits for its reading.
    pub(super) marked: bool,
    pub(super) unfolds: Option<Box<Unfolds>>,
}

/// What globs make of a znode's children.
#[derive(Debug, Default)]
pub(super) struct Unfolds {
    pub(super) sites: Vec<Site>,
    /// The children as last read; `None` if they were not read for this yet.
    pub(super) listing: Option<Children>,
    /// Whether fixed levels lead here, so that no listing tells of its creation.
    pub(super) beyond: bool,
}

impl Node {
    pub(super) fn new() -> Self {
        Self {
            rule: None,
            rooted: false,
            listed: 0,
            phase: Phase::Idle,
            read: false,
            rang: None,
            fenced: 0,
            marked: false,
            unfolds: None,
        }
    }

    pub(super) fn wants(&self) -> Wants {
        let mut wants = self.rule.unwrap_or_default();
        if let Some(unfolds) = &self.unfolds {
            wants.children = true;
            wants.creation |= unfolds.beyond;
        }
        wants.creation |= self.rooted;
        // A path that no listing leads to any more is read for the last time.
        wants.creation &= self.rooted || self.listed > 0;
        wants
    }

    pub(super) fn is_orphan(&self) -> bool {
        !self.rooted && self.listed == 0
    }
}
