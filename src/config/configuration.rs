//! What a configuration says.

use std::sync::Arc;
use std::time::Duration;

use super::finding::Problem;
use crate::model::receiver::{Receiver, ReceiverId, Secret};
use crate::model::rule::Rule;

/// A valid configuration.
#[derive(Debug)]
pub struct Config {
    /// The rules, in the order of the file; no two have the same path and name.
    pub rules: Vec<Rule>,
    /// Every receiver that a rule names, and those of `defaults`; no two have the same id.
    pub receivers: Vec<Receiver>,
    /// The dead-man's switch, if one is wanted.
    pub heartbeat: Option<Heartbeat>,
    /// Who hears when this agent has no ZooKeeper, if anybody.
    pub blind: Option<Blind>,
    /// How long what follows a receiver's first alert is gathered into one message.
    pub group_wait: Duration,
    /// Where people find the status page, if it is not where this agent serves it: a URL without a slash at its end.
    pub external_url: Option<Arc<str>>,
    /// What is valid, and most likely not what was meant.
    pub warnings: Vec<Problem>,
    /// A hash of what is watched, judged and told to whom, in hexadecimal: two agents compare theirs.
    pub digest: String,
}

/// A URL that is fetched while all is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub url: Secret,
    pub every: Duration,
}

/// Who is told that an agent has no ZooKeeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blind {
    /// For how long it has to be away.
    pub after: Duration,
    /// Each is one of the configuration's receivers.
    pub receivers: Vec<ReceiverId>,
}
