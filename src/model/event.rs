//! What the journal tells: what was seen, what was made of it, and who was told. Nothing of it is a secret, an address or
//! the content of a znode.

use std::sync::Arc;
use std::time::SystemTime;

use super::alert_key::AlertKey;
use super::message::Kind;
use super::reading::Recorded;
use super::receiver::{Outcome, ReceiverId};
use super::status::Silence;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, by the wall clock.
    pub time: SystemTime,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The daemon started: nothing that was known before is known any more.
    Started,
    /// Rules are in force from now on, for so many paths and globs.
    Rules(usize),
    /// A session began: what was seen before may have changed unseen.
    Session,
    /// The session is gone, for this reason.
    Outage(Arc<str>),
    /// Each path has been read on the session; those of which no reading was told are as they were.
    Armed,
    /// A reading of a path differs from the one before, or may matter though it does not.
    Reading {
        /// The path.
        path: Arc<str>,
        /// What was read.
        recorded: Recorded,
        /// Whether it is no change: nothing was known of the path since the start, or since the session was lost. Who
        /// judges it again needs that; who looks for what happened does not.
        first: bool,
    },
    /// A vanished match of a glob is not watched for any more.
    Forgotten(Arc<str>),
    /// A path was judged otherwise than before: out of spec in these words, or in spec.
    Transition(AlertKey, Option<Arc<str>>),
    /// An alert did something.
    Alert(AlertKey, AlertStep),
    /// A receiver was to be told of an alert.
    Message(Message),
    /// This agent sends the alerts from now on, under the lease of this epoch.
    Leading(u64),
    /// It does not any more.
    Following(u64),
    /// The silences are these from now on.
    Silences(Vec<Silence>),
    /// So many events could not be taken or written, and are missing here.
    Lost(u64),
}

/// What an alert did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertStep {
    /// It waits for its hold-down.
    Pending,
    /// Its path came back before that.
    Cancelled,
    /// It fired.
    Firing,
    /// Its path is back, and it waits for `keep_firing_for`.
    Recovering,
    /// Its path fell out of spec again before that.
    Relapsed,
    /// It is over.
    Resolved,
    /// It waits for a path that it depends on.
    Held,
    /// It does not any more, and its hold-down runs anew.
    Released,
    /// It came and went while no agent led, and is told now.
    ToldLate,
}

/// What became of telling one receiver of one alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The alert.
    pub key: AlertKey,
    /// The incident.
    pub incident: Arc<str>,
    /// When its path fell out of spec.
    pub since: SystemTime,
    /// Who was to be told.
    pub receiver: ReceiverId,
    /// What.
    pub kind: Kind,
    /// What became of it.
    pub result: Delivered,
}

/// What became of a message, without anybody's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It was taken.
    Accepted,
    /// It was not, and will be tried again.
    Failed,
    /// The answer was lost.
    Ambiguous,
    /// It will never be taken.
    Refused,
    /// There was no attempt: the lease had ended.
    NotTried,
}

impl From<&Outcome> for Delivered {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Accepted => Self::Accepted,
            Outcome::Failed { .. } => Self::Failed,
            Outcome::Ambiguous { .. } => Self::Ambiguous,
            Outcome::Refused { .. } => Self::Refused,
            Outcome::NotTried => Self::NotTried,
        }
    }
}

impl What {
    /// The path that it is about.
    pub fn path(&self) -> Option<&Arc<str>> {
        match self {
            Self::Reading { path, .. } | Self::Forgotten(path) => Some(path),
            Self::Transition(key, _) | Self::Alert(key, _) | Self::Message(Message { key, .. }) => {
                Some(&key.path)
            }
            Self::Started | Self::Rules(_) | Self::Session | Self::Outage(_) | Self::Armed => None,
            Self::Leading(_) | Self::Following(_) | Self::Silences(_) | Self::Lost(_) => None,
        }
    }
}
