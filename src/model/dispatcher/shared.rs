//! What all paths and receivers share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dependencies::Dependencies;
use super::io::{Effect, Profile, Report, Speaker};
use super::queue::Queue;
use super::unreported::Unreported;
use crate::model::alert_key::AlertKey;
use crate::model::jitter::Jitter;
use crate::model::ledger::{Change, Write};
use crate::model::receiver::ReceiverId;
use crate::model::rule::RuleSet;
use crate::model::status::{OpenIncident, Silence, Until, acknowledged};
use crate::model::time::Now;

/// What became of attempts is noted while fewer writes than this are under way. In a storm the intents go first,
/// since messages wait for them, and what waits meanwhile becomes one write where it would have been several.
const WRITES: usize = 32;

/// How soon it is noticed that the wall clock stepped over the end of a silence, forth or back.
const CLOCK_STEPS: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Shared {
    pub speaker: Speaker,
    pub group_wait: Duration,
    pub rules: Arc<RuleSet>,
    pub dependencies: Dependencies,
    pub queues: BTreeMap<ReceiverId, Queue>,
    /// Receivers that have left the configuration, until the rules that go with it are here.
    pub departed: Vec<Profile>,
    /// As listed last. One that has ended stays until the listing says otherwise: the wall clock may step back.
    pub silences: Vec<Silence>,
    /// The ids of those that are in force, as far as they are listed: this is looked at by each handling.
    in_force: BTreeSet<Arc<str>>,
    /// When to look whether a silence has ended.
    pub silence_ends: Option<Instant>,
    pub unreported: Unreported,
    /// The epoch of the lease in effect.
    pub lease: Option<u64>,
    /// The epoch of the last lease that this process had before.
    pub last_epoch: Option<u64>,
    pub parked: bool,
    /// Alerts that may have something to do.
    touched: BTreeSet<AlertKey>,
    /// The alerts of writes that were not answered yet.
    pub writes: HashMap<u64, AlertKey>,
    /// Alerts whose write waits until fewer writes are under way. There are none unless so many are.
    pub postponed: BTreeSet<AlertKey>,
    pub effects: Vec<Effect>,
    pub jitter: Jitter,
    /// Changes whenever something that a snapshot shows may have changed.
    pub version: u64,
    numbers: u64,
    tickets: u64,
}

impl Shared {
    pub fn new(speaker: Speaker, group_wait: Duration) -> Self {
        Self {
            jitter: Jitter::new(speaker.seed),
            speaker,
            group_wait,
            rules: Arc::default(),
            dependencies: Dependencies::default(),
            queues: BTreeMap::new(),
            departed: Vec::new(),
            silences: Vec::new(),
            in_force: BTreeSet::new(),
            silence_ends: None,
            unreported: Unreported::default(),
            lease: None,
            last_epoch: None,
            parked: false,
            touched: BTreeSet::new(),
            writes: HashMap::new(),
            postponed: BTreeSet::new(),
            effects: Vec::new(),
            version: 0,
            numbers: 0,
            tickets: 0,
        }
    }

    /// Whether attempts may be started.
    pub fn sends(&self) -> bool {
        self.lease.is_some() && !self.parked
    }

    pub fn log(&mut self, report: Report) {
        self.effects.push(Effect::Log(report));
    }

    /// A number that was not used before.
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A place at the end of any queue.
    pub fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// The id of a new incident or storm.
    pub fn incident_id(&mut self) -> Arc<str> {
        let number = self.number();
        format!("{}-{number}", self.speaker.instance).into()
    }

    /// The alert is looked at before the run ends.
    pub fn touch(&mut self, key: AlertKey) {
        self.touched.insert(key);
    }

    pub fn is_settled(&self) -> bool {
        self.touched.is_empty()
    }

    /// The next alert to look at: one that may have something to do, or else one whose write can be made.
    pub fn next_touched(&mut self) -> Option<AlertKey> {
        let postponed =
            |shared: &mut Self| if shared.has_room() { shared.postponed.pop_first() } else { None };
        self.touched.pop_first().or_else(|| postponed(self))
    }

    /// An alert is another from now on: attempts under way, and what was seen of it, count for that one.
    pub fn rename(&mut self, from: &AlertKey, to: &AlertKey) {
        self.queues.values_mut().for_each(|queue| queue.rename(from, to));
        self.unreported.rename(from, to);
    }

    /// The receiver is to be told from now on.
    pub fn enlist(&mut self, profile: Profile, now: Now) {
        self.departed.retain(|departed| departed.id != profile.id);
        let queue = self.queues.entry(profile.id.clone()).or_insert_with(|| Queue::new(profile.clone()));
        queue.enlist(profile, now.mono);
    }

    /// The receiver has left the configuration.
    pub fn retire(&mut self, receiver: &ReceiverId) {
        let Some(queue) = self.queues.get_mut(receiver) else { return };
        self.departed.push(queue.profile.clone());
        if queue.retire() {
            self.queues.remove(receiver);
        }
    }

    /// Whether a write without an intent can be made now, or has to wait for others.
    pub fn has_room(&self) -> bool {
        self.writes.len() < WRITES
    }

    /// Asks for a change of the ledger, under the lease in effect; returns the write's number.
    pub fn write(&mut self, key: &AlertKey, epoch: u64, change: Change) -> u64 {
        let id = self.number();
        self.writes.insert(id, key.clone());
        self.effects.push(Effect::Write(Write { id, epoch, key: key.clone(), change }));
        id
    }

    pub fn is_silenced(&self, key: &AlertKey, incident: OpenIncident<'_>, now: Now) -> bool {
        self.silences.iter().any(|silence| silence.is_in_force(now.wall) && silence.covers(key, incident))
    }

    /// The incidents of a path that were acknowledged.
    pub fn acknowledged(&self, path: &Arc<str>) -> Vec<Arc<str>> {
        let incidents = self.silences.iter().filter_map(|silence| match &silence.until {
            Until::Recovery(incidents) => Some(incidents),
            Until::Time(_) => None,
        });
        incidents.flat_map(|incidents| acknowledged(incidents, path)).cloned().collect()
    }

    /// The id of a silence that covers an alert, if one does. One that has just ended may still do so.
    pub fn silence(&self, key: &AlertKey, incident: OpenIncident<'_>) -> Option<Arc<str>> {
        let mut in_force = self.silences.iter().filter(|silence| self.in_force.contains(&silence.id));
        in_force.find(|silence| silence.covers(key, incident)).map(|silence| Arc::clone(&silence.id))
    }

    /// Finds which silences are in force, and when the next will end. Returns whether that has changed: by the time of
    /// one, or because the wall clock stepped over its end.
    pub fn arm_silences(&mut self, now: Now) -> bool {
        let is_in_force = |silence: &Silence| silence.is_in_force(now.wall);
        let mut listed = self.silences.iter();
        let changed = listed.any(|silence| is_in_force(silence) != self.in_force.contains(&silence.id));
        if changed {
            let in_force = self.silences.iter().filter(|silence| is_in_force(silence));
            self.in_force = in_force.map(|silence| Arc::clone(&silence.id)).collect();
        }
        let remaining = self.silences.iter().filter_map(|silence| match silence.until {
            Until::Time(end) => Some(end.duration_since(now.wall).ok().filter(|left| !left.is_zero())),
            Until::Recovery(_) => None,
        });
        let remaining = remaining.map(|left| left.map_or(CLOCK_STEPS, |left| left.min(CLOCK_STEPS))).min();
        self.silence_ends = remaining.and_then(|left| now.mono.checked_add(left));
        self.version += u64::from(changed);
        changed
    }
}
