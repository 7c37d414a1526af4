//! What leaves together for one receiver, and what it waits for.

use std::collections::HashSet;
use std::sync::Arc;

use super::io::AttemptId;
use super::limits::DIGEST_BYTES;

/// What leaves together for one receiver.
#[derive(Debug)]
pub(super) struct Batch {
    pub id: AttemptId,
    pub paths: Vec<Arc<str>>,
    pub stage: BatchStage,
}

/// How far a batch is.
#[derive(Debug)]
pub(super) enum BatchStage {
    /// The ledger has yet to take the intents of these paths.
    Intending(HashSet<Arc<str>>),
    /// The attempt is under way.
    Sending,
    /// The same of one that only tells again what was told after this path, and of which the ledger knows nothing.
    Refreshing { after: Option<Arc<str>> },
}

impl Batch {
    pub fn new(id: AttemptId) -> Self {
        Self { id, paths: Vec::new(), stage: BatchStage::Intending(HashSet::new()) }
    }

    /// A path is part of it, once the ledger holds its intent.
    pub fn add(&mut self, path: &Arc<str>) {
        if let BatchStage::Intending(waits_for) = &mut self.stage {
            waits_for.insert(Arc::clone(path));
            self.paths.push(Arc::clone(path));
        }
    }

    /// The ledger has taken the intent of a path, or will not.
    pub fn clear(&mut self, path: &Arc<str>) {
        if let BatchStage::Intending(waits_for) = &mut self.stage {
            waits_for.remove(path);
        }
    }

    pub fn is_sending(&self) -> bool {
        match &self.stage {
            BatchStage::Intending(_) => false,
            BatchStage::Sending | BatchStage::Refreshing { .. } => true,
        }
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
