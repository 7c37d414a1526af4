//! What this agent saw begin and end while it led nothing: if nobody led then, nobody was told.
//!
//! Who tells of a violation first makes an entry in the ledger, and removes it after the recovery. The watching side tells
//! which entries have come or gone, behind all it read before. So a violation since whose beginning no entry of its alert
//! has come or gone was told by nobody, if there is none at the takeover either. Where some came and went unseen, they may
//! have been of any alert.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::model::alert_key::AlertKey;
use crate::model::status::{OpenIncident, Silence};
use crate::model::time::Now;

/// How long a violation that is over is remembered. Servers as they come configured grant sessions of 40 s at most, and
/// nobody leads for little longer than that. Where they grant far more, what ended before this is told by nobody.
const KEEP: Duration = Duration::from_secs(120);

/// A violation that fired and ended while this agent did not lead.
#[derive(Clone, Debug)]
pub(super) struct Episode {
    pub since: Now,
    pub until: Now,
    pub message: Arc<str>,
    /// How a fall ended, if it was one.
    pub ending: Option<Arc<str>>,
    /// Earlier ones of the same path, of which it holds as well that nobody was told.
    pub missed: u32,
    /// The incidents that had been acknowledged when it ended.
    pub acknowledged: Vec<Closed>,
    /// The state of the listing when it began; `None` if nobody should be told, or somebody may have been.
    pub ledger_revision: Option<u64>,
    /// Since when it is remembered.
    pub remembered: Instant,
}

/// An acknowledged incident that is over.
#[derive(Clone, Debug)]
pub(super) struct Closed {
    incident: Arc<str>,
    /// The first end that was seen since it was acknowledged.
    pub until: Now,
    /// How many violations were over since.
    pub later: u32,
}

impl Closed {
    pub fn new(incident: Arc<str>, until: Now) -> Self {
        Self { incident, until, later: 0 }
    }

    /// Another violation is over.
    fn go_on(&mut self, before: &Self) {
        (self.until, self.later) = (before.until, before.later.saturating_add(1));
    }
}

impl Episode {
    /// Whether it may be the violation of this incident, which began then by another agent's clock. One that was
    /// acknowledged before it ended did begin before that, whatever the clocks say.
    pub fn may_be_of(&self, incident: &Arc<str>, began: SystemTime) -> bool {
        began <= self.until.wall || self.closed(incident).is_some()
    }

    /// This incident, if it had been acknowledged before it was over.
    pub fn closed(&self, incident: &Arc<str>) -> Option<&Closed> {
        self.acknowledged.iter().find(|closed| closed.incident == *incident)
    }

    fn is_old(&self, now: Now) -> bool {
        now.mono.saturating_duration_since(self.remembered) >= KEEP
    }

    /// Whether it is of use, whatever its age: as long as an incident is acknowledged, nobody hears of what follows it.
    fn is_needed(&self, is_acknowledged: impl Fn(&Arc<str>) -> bool) -> bool {
        self.acknowledged.iter().any(|closed| is_acknowledged(&closed.incident))
    }
}

/// The memory of them.
#[derive(Debug, Default)]
pub(super) struct Unreported {
    /// The state of the ledger's listing: how often entries of any path may have come or gone; `None` while it is not watched.
    pub ledger_revision: Option<u64>,
    changes: u64,
    ended: BTreeMap<AlertKey, Episode>,
    /// How the number of children came back, in words, and when that was: of alerts in spec that it had fallen by.
    endings: BTreeMap<AlertKey, (Instant, Arc<str>)>,
    sweep_at: Option<Instant>,
}

impl Unreported {
    /// Any entry may have come or gone, so that somebody may have been told of all that was seen so far. From now on what
    /// comes and goes is seen.
    pub fn doubt_all(&mut self) {
        self.changes += 1;
        self.ledger_revision = Some(self.changes);
    }

    /// Entries have come or gone: somebody may have been told of these alerts of a path.
    pub fn doubt(&mut self, path: &Arc<str>, is_meant: impl Fn(&AlertKey) -> bool) {
        let from = AlertKey::unnamed(Arc::clone(path));
        let ended = self.ended.range_mut(from..).take_while(|(key, _)| key.path == *path);
        ended.filter(|(key, _)| is_meant(key)).for_each(|(_, ended)| ended.ledger_revision = None);
    }

    /// Changes of the listing may go unseen from now on.
    pub fn stop_watching(&mut self) {
        self.ledger_revision = None;
    }

    /// A violation has ended.
    pub fn remember(&mut self, key: &AlertKey, mut episode: Episode) {
        let before = self.ended.get(key);
        let earlier = before.filter(|ended| self.is_unreported(ended));
        // One that was silenced does not hide an earlier one that was not.
        if episode.ledger_revision.is_none() && earlier.is_some() {
            return;
        }
        episode.missed = earlier.map_or(0, |ended| ended.missed.saturating_add(1));
        for closed in &mut episode.acknowledged {
            if let Some(before) = before.and_then(|before| before.closed(&closed.incident)) {
                closed.go_on(before);
            }
        }
        self.put_back(key, episode);
    }

    /// What was recalled is to be told by itself.
    pub fn put_back(&mut self, key: &AlertKey, episode: Episode) {
        self.sweep_within(episode.remembered);
        self.ended.insert(key.clone(), episode);
    }

    pub fn remembers(&self, key: &AlertKey) -> bool {
        self.ended.contains_key(key)
    }

    /// The alerts of which violations are remembered.
    pub fn remembered(&self) -> impl Iterator<Item = &AlertKey> {
        self.ended.keys()
    }

    /// An alert was judged: in spec since a fall ended so, or not so.
    pub fn note_ending(&mut self, key: &AlertKey, ending: Option<&Arc<str>>, now: Now) {
        let Some(words) = ending else {
            self.endings.remove(key);
            return;
        };
        self.sweep_within(now.mono);
        self.endings.insert(key.clone(), (now.mono, Arc::clone(words)));
    }

    /// How the fall ended that it was out of spec by last, if it was seen to end a while ago.
    pub fn ending(&self, key: &AlertKey) -> Option<Arc<str>> {
        self.endings.get(key).map(|(_, words)| Arc::clone(words))
    }

    /// An alert is another from now on. What was seen of that one is newer, if there is any.
    pub fn rename(&mut self, from: &AlertKey, to: &AlertKey) {
        if let Some(episode) = self.ended.remove(from) {
            self.ended.entry(to.clone()).or_insert(episode);
        }
        if let Some(ending) = self.endings.remove(from) {
            self.endings.entry(to.clone()).or_insert(ending);
        }
    }

    /// What is remembered from this moment on is looked through after a while.
    fn sweep_within(&mut self, from: Instant) {
        self.sweep_at = self.sweep_at.or_else(|| from.checked_add(KEEP));
    }

    /// Forgets what was over long ago.
    pub fn sweep(&mut self, silences: &[Silence], now: Now) {
        if self.sweep_at.take_if(|at| *at <= now.mono).is_none() {
            return;
        }
        self.ended.retain(|key, ended| {
            let is_acknowledged = |incident: &Arc<str>| {
                silences.iter().any(|silence| silence.covers(key, OpenIncident::Of(incident)))
            };
            !ended.is_old(now) || ended.is_needed(is_acknowledged)
        });
        self.endings.retain(|_, (at, _)| now.mono.saturating_duration_since(*at) < KEEP);
        if !self.ended.is_empty() || !self.endings.is_empty() {
            self.sweep_within(now.mono);
        }
    }

    /// What was seen to end of a path that has an entry.
    pub fn recall(&mut self, key: &AlertKey, now: Now) -> Option<Episode> {
        self.ended.remove(key).filter(|ended| !ended.is_old(now) || !ended.acknowledged.is_empty())
    }

    /// What ended after that moment and nobody was told of. Whoever asks tells it, so it is forgotten here. An agent
    /// that led before may not have seen the rest as this one did, or not have wanted to tell of it.
    pub fn take(&mut self, since: Option<Instant>) -> Vec<(AlertKey, Episode)> {
        let recent = |ended: &Episode| since.is_some_and(|since| ended.until.mono > since);
        let all = std::mem::take(&mut self.ended);
        all.into_iter().filter(|(_, ended)| self.is_unreported(ended) && recent(ended)).collect()
    }

    fn is_unreported(&self, ended: &Episode) -> bool {
        ended.ledger_revision.is_some() && ended.ledger_revision == self.ledger_revision
    }
}
