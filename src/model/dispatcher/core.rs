//! What all cases and receivers share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::effect::{Effect, Event, Identity};
use super::hindsight::Hindsight;
use super::jitter::Jitter;
use super::outbox::Outbox;
use super::record::NOTES;
use crate::model::ledger::{Change, Write};
use crate::model::receiver::ReceiverId;
use crate::model::rule::{RuleSet, glob_matches};
use crate::model::status::Silence;
use crate::model::time::Now;

#[derive(Debug)]
pub(super) struct Core {
    pub identity: Identity,
    pub group_wait: Duration,
    pub rules: Arc<RuleSet>,
    pub outboxes: BTreeMap<ReceiverId, Outbox>,
    pub silences: Vec<Silence>,
    /// When the next silence ends.
    pub silence_ends: Option<Instant>,
    pub hindsight: Hindsight,
    /// The epoch of the lease in effect.
    pub lease: Option<u64>,
    /// The epoch of the last lease that this process had before.
    pub last_epoch: Option<u64>,
    pub parked: bool,
    /// Cases that may have something to do.
    pub touched: BTreeSet<Arc<str>>,
    /// The paths of writes that were not answered yet.
    pub writes: HashMap<u64, Arc<str>>,
    /// Cases whose note waits until fewer writes are under way. There are none unless so many are.
    pub postponed: BTreeSet<Arc<str>>,
    pub effects: Vec<Effect>,
    pub jitter: Jitter,
    pub version: u64,
    numbers: u64,
}

impl Core {
    pub fn new(identity: Identity, group_wait: Duration) -> Self {
        Self {
            jitter: Jitter::new(identity.seed),
            identity,
            group_wait,
            rules: Arc::default(),
            outboxes: BTreeMap::new(),
            silences: Vec::new(),
            silence_ends: None,
            hindsight: Hindsight::default(),
            lease: None,
            last_epoch: None,
            parked: false,
            touched: BTreeSet::new(),
            writes: HashMap::new(),
            postponed: BTreeSet::new(),
            effects: Vec::new(),
            version: 0,
            numbers: 0,
        }
    }

    /// Whether attempts may be started.
    pub fn sends(&self) -> bool {
        self.lease.is_some() && !self.parked
    }

    pub fn log(&mut self, event: Event) {
        self.effects.push(Effect::Log(event));
    }

    /// A number that was not used before.
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// The id of a new incident or storm.
    pub fn incident_id(&mut self) -> Arc<str> {
        let number = self.number();
        format!("{}-{number}", self.identity.instance).into()
    }

    /// The next case to bring up to date: one that may have something to do, or else one whose note can be written.
    pub fn next_touched(&mut self) -> Option<Arc<str>> {
        let room = self.writes.len() < NOTES;
        self.touched.pop_first().or_else(|| if room { self.postponed.pop_first() } else { None })
    }

    /// Asks for a change of the ledger, under the lease in effect; returns its id.
    pub fn write(&mut self, path: &Arc<str>, epoch: u64, change: Change) -> u64 {
        let id = self.number();
        self.writes.insert(id, Arc::clone(path));
        self.effects.push(Effect::Write(Write { id, epoch, path: Arc::clone(path), change }));
        id
    }

    pub fn silenced(&self, path: &str, now: Now) -> bool {
        self.silences.iter().any(|silence| silence.until > now.wall && glob_matches(&silence.path, path))
    }

    /// Finds when the next silence ends, by the wall clock as it is now. Those that have ended are dropped.
    pub fn arm_silences(&mut self, now: Now) {
        let before = self.silences.len();
        self.silences.retain(|silence| silence.until > now.wall);
        self.version += u64::from(self.silences.len() != before);
        let left =
            self.silences.iter().filter_map(|silence| silence.until.duration_since(now.wall).ok()).min();
        self.silence_ends = left.and_then(|left| now.mono.checked_add(left));
    }
}
