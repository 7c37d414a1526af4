//! The ledger: which incidents somebody has yet to hear of, and how far each receiver is.
//!
//! One entry is one alert. It is written by the agent that holds the lease and outlives it, so that the next
//! leader neither forgets nor repeats.

use super::small_map::SmallMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::alert_key::AlertKey;
use super::former_names::Name;
use super::judge::Base;
use super::labels::Labels;
use super::observation::Adoption;
use super::receiver::ReceiverId;

/// The longest stored entry, in bytes. A server ends the session of who sends it more than 1 MB at once (its
/// `jute.maxbuffer`), and some are set lower.
pub const ENTRY_MAX: usize = 512 * 1024;

/// How many receivers a rule can have: with each of them behind, the entry of such a rule still fits
/// [`ENTRY_MAX`], at 300 bytes a receiver.
pub const RECEIVERS_MAX: usize = 1500;

/// What is known of one alert and its incident, which is open or over. The ledger keeps a [`Progress`] of each receiver; who leads
/// keeps more in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<R = Progress> {
    /// The lease under which the entry was written last. Later leases have greater numbers; version 1.0 numbered
    /// them otherwise, and by less than every lease since.
    pub epoch: u64,
    /// The incident that is open, or was last.
    pub incident: Arc<str>,
    /// The alert.
    pub key: AlertKey,
    /// When its path fell out of spec.
    pub since: SystemTime,
    /// When it came back, if it did and somebody has yet to hear of it.
    pub until: Option<SystemTime>,
    /// The violation in words.
    pub message: Arc<str>,
    /// What the incident is routed by, from its beginning to its end.
    pub labels: Arc<Labels>,
    /// How far each receiver is.
    pub receivers: SmallMap<ReceiverId, R>,
    /// What the number of children is measured by, if it has fallen: so that no restart and no takeover ends that.
    pub base: Option<Base>,
    /// How a fall ended, in words.
    pub ending: Option<Arc<str>>,
    /// What the rule was called before, as long as the ledger may hold an entry of that name: this one tells more.
    pub former: Vec<Name>,
    /// How many violations ended before a receiver heard of them at all and were merged into this one.
    pub missed: u32,
    /// Fields of the stored JSON that this version does not know, as they were; empty if there are none.
    pub extra: Box<str>,
}

impl<R> Entry<R> {
    /// The same with something else in the place of what it holds of each receiver.
    pub fn with_receivers<S>(&self, mut map: impl FnMut(&ReceiverId, &R) -> S) -> Entry<S> {
        let receivers = self.receivers.iter().map(|(id, held)| (id.clone(), map(id, held)));
        Entry {
            epoch: self.epoch,
            incident: Arc::clone(&self.incident),
            key: self.key.clone(),
            since: self.since,
            until: self.until,
            receivers: receivers.collect(),
            message: Arc::clone(&self.message),
            labels: Arc::clone(&self.labels),
            base: self.base,
            ending: self.ending.clone(),
            former: self.former.clone(),
            missed: self.missed,
            extra: self.extra.clone(),
        }
    }
}

impl Entry {
    /// What the watching side has to know of it.
    pub fn adoption(&self) -> Adoption {
        let base = self.base.filter(|_| self.until.is_none());
        Adoption { key: self.key.clone(), former: self.former.clone(), since: self.since, base }
    }
}

/// How far one receiver is with the two ends of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The incident that was told to it; differs from the entry's if the receiver is behind.
    pub incident: Arc<str>,
    /// The storm that it was told of the incident in, if it was not told of it by itself. Such a receiver
    /// knows the storm's id alone.
    pub storm: Option<Arc<str>>,
    /// What the incident told to it was, if the receiver is behind.
    pub past: Option<Past>,
    /// The alert.
    pub firing: Mark,
    /// The recovery.
    pub resolved: Mark,
    /// Fields of the stored JSON that this version does not know, as they were; empty if there are none.
    pub extra: Box<str>,
}

/// A violation that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// The violation in words.
    pub message: Arc<str>,
    /// When the path fell out of spec.
    pub since: SystemTime,
    /// When it came back.
    pub until: SystemTime,
    /// How a fall ended, in words.
    pub ending: Option<Arc<str>>,
    /// What it was routed by.
    pub labels: Arc<Labels>,
}

/// How far one end of an incident is for one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Surely not taken: there was no attempt, or it came to nothing.
    Pending,
    /// It may have been taken: an attempt is intended or under way, or what became of it is not known.
    Ambiguous,
    /// Taken.
    Sent,
    /// Refused for good.
    Refused,
}

impl Mark {
    /// Whether it leaves something to tell.
    pub fn is_open(self) -> bool {
        match self {
            Self::Pending | Self::Ambiguous => true,
            Self::Sent | Self::Refused => false,
        }
    }
}

/// An entry and the version of its znode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The entry.
    pub entry: Entry,
    /// The znode's version, for compare-and-set.
    pub version: i32,
    /// The number of the transaction that wrote it: of two entries the later has the greater.
    pub modified: i64,
}

/// One change to the ledger, to be carried out as a compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which write this is; the answer bears the same number.
    pub id: u64,
    /// The lease that the write is made under; it is not carried out under another.
    pub epoch: u64,
    /// The alert that the entry is of.
    pub key: AlertKey,
    /// What to do.
    pub change: Change,
}

/// What to do to an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Make it; it must not exist.
    Create(Entry),
    /// Replace it; its version must be this one.
    Set(Entry, i32),
    /// Remove it; its version must be this one.
    Delete(i32),
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Done; the znode's version now (unused after a delete).
    Done(i32),
    /// The znode was not as expected; this is how it is now.
    Conflict(Option<Box<Stored>>),
    /// This agent may not make it, and is about to step aside for one that may.
    Refused,
    /// It is not known to have been done, for this reason. It may have been.
    Failed(String),
}
