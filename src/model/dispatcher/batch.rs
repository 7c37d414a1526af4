//! What leaves together for one receiver, and what it waits for.

use std::collections::HashSet;

use super::io::AttemptId;
use super::limits::DIGEST_BYTES;
use crate::model::alert_key::AlertKey;

/// What leaves together for one receiver.
#[derive(Debug)]
pub(super) struct Batch {
    pub id: AttemptId,
    pub keys: Vec<AlertKey>,
    pub stage: BatchStage,
}

/// How far a batch is.
#[derive(Debug)]
pub(super) enum BatchStage {
    /// The ledger has yet to take the intents of these alerts.
    Intending(HashSet<AlertKey>),
    /// The attempt is under way.
    Sending,
    /// The same of one that only tells again what was told after this alert, and of which the ledger knows nothing.
    Refreshing { after: Option<AlertKey> },
}

impl Batch {
    pub fn new(id: AttemptId) -> Self {
        Self { id, keys: Vec::new(), stage: BatchStage::Intending(HashSet::new()) }
    }

    /// An alert is part of it, once the ledger holds its intent.
    pub fn add(&mut self, key: &AlertKey) {
        if let BatchStage::Intending(waits_for) = &mut self.stage {
            waits_for.insert(key.clone());
            self.keys.push(key.clone());
        }
    }

    /// The ledger has taken the intent of an alert, or will not.
    pub fn clear(&mut self, key: &AlertKey) {
        if let BatchStage::Intending(waits_for) = &mut self.stage {
            waits_for.remove(key);
        }
    }

    pub fn is_sending(&self) -> bool {
        !matches!(self.stage, BatchStage::Intending(_))
    }

    /// Whether nothing keeps it from leaving.
    pub fn is_ready(&self) -> bool {
        matches!(&self.stage, BatchStage::Intending(waits_for) if waits_for.is_empty())
    }

    /// Whether it only tells again what was told.
    pub fn is_refresh(&self) -> bool {
        matches!(self.stage, BatchStage::Refreshing { .. })
    }
}

/// How much a message holds.
#[derive(Default)]
pub(super) struct Load {
    size: usize,
    pub is_full: bool,
}

impl Load {
    /// Whether there is room for an item of this size, which is then taken. There is for the first, whatever its size.
    pub fn takes(&mut self, size: usize) -> bool {
        self.is_full |= self.size > 0 && self.size + size > DIGEST_BYTES;
        self.size += if self.is_full { 0 } else { size };
        !self.is_full
    }
}
