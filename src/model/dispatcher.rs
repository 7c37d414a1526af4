//! Who must be told what, and what surely happened: the alert protocol as a pure machine.
//!
//! Events go in (judgements, the lease, outcomes, answers of the ledger, time), effects come out. Every agent
//! feeds its dispatcher the same judgements, so that every alert's timers run everywhere; only under a lease
//! does one ask for attempts and ledger writes.
//!
//! For each path that is not simply in spec there is a [`case::Case`]: its alert, the incident that is open for
//! it, and what the ledger holds of that. Each receiver has an [`outbox::Outbox`]: the queue of paths it has to
//! hear of, and at most one delivery. A delivery leaves when the ledger holds the intents of all its items.

mod case;
mod core;
mod delivery;
mod effect;
mod hindsight;
mod incident;
mod jitter;
mod lease;
mod outbox;
mod outcome;
mod record;
mod share;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use effect::{Delivery, DeliveryId, Effect, Event, Grant, Identity, Profile};

use self::case::Case;
use self::core::Core;
use self::lease::Foreign;
use self::outbox::{Gate, Outbox, Refresh};
use super::ledger::Written;
use super::receiver::{Outcome, ReceiverId};
use super::rule::RuleSet;
use super::status::{AlertStatus, ReceiverStatus, Silence};
use super::time::Now;
use super::transition::{Judged, State, Transition};

/// How long a receiver is tried for one item before it is given up.
pub const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// How many items one message may hold.
pub const DIGEST: usize = 500;
/// Above how many waiting items a receiver that takes no digests gets one event for all.
pub const STORM: usize = 50;

/// The machine. See the module.
#[derive(Debug)]
pub struct Dispatcher {
    cases: BTreeMap<Arc<str>, Case>,
    /// Paths without a case that were judged in spec, and not doubted since.
    compliant: HashSet<Arc<str>>,
    /// Entries of paths that no rule knows, and when they are removed.
    foreign: BTreeMap<Arc<str>, Foreign>,
    collect_at: Option<Instant>,
    /// When each case has something to do, soonest first.
    alarms: BTreeSet<(Instant, Arc<str>)>,
    coming: Option<Grant>,
    /// The last barrier that arrived.
    barrier: Option<u64>,
    core: Core,
}

impl Dispatcher {
    /// A machine without rules or receivers.
    pub fn new(identity: Identity, group_wait: Duration) -> Self {
        Self {
            cases: BTreeMap::new(),
            compliant: HashSet::new(),
            foreign: BTreeMap::new(),
            collect_at: None,
            alarms: BTreeSet::new(),
            coming: None,
            barrier: None,
            core: Core::new(identity, group_wait),
        }
    }

    /// The configuration was read: the receivers are these from now on, and `group_wait`. What they refused is
    /// tried again. Rules follow as [`Judged::Rules`], once the watching side has them.
    pub fn on_receivers(&mut self, profiles: Vec<Profile>, group_wait: Duration, now: Now) -> Vec<Effect> {
        self.core.group_wait = group_wait;
        let keep: BTreeSet<ReceiverId> = profiles.iter().map(|profile| profile.id.clone()).collect();
        for profile in profiles {
            self.core.enlist(profile, now);
        }
        let gone: Vec<ReceiverId> =
            self.core.outboxes.keys().filter(|id| !keep.contains(id)).cloned().collect();
        for receiver in &gone {
            self.core.retire(receiver);
        }
        for (path, case) in &mut self.cases {
            case.reloaded(path, &gone, &mut self.core, now);
        }
        self.run(now)
    }

    /// The evaluator told something.
    pub fn on_judged(&mut self, judged: Judged, now: Now) -> Vec<Effect> {
        match judged {
            Judged::Rules(rules) => self.on_rules(rules, now),
            Judged::Transition(transition) => self.on_transition(transition, now),
            Judged::Forgotten(path, _) => {
                self.compliant.remove(&path);
                self.close(&path);
            }
            Judged::Stale => {
                self.compliant.clear();
                self.compliant.shrink_to_fit();
                self.core.hindsight.blind();
                self.cases.values_mut().for_each(|case| case.alert.stale());
                self.core.touched.extend(self.cases.keys().cloned());
            }
            Judged::StalePath(path) => {
                self.compliant.remove(&path);
                if let Some(case) = self.cases.get_mut(&path) {
                    case.alert.stale();
                    self.core.touched.insert(path);
                }
            }
            // What comes and goes under our own lease is our own doing.
            Judged::LedgerChanged if self.core.lease.is_none() => self.core.hindsight.ledger_changed(),
            Judged::LedgerChanged => {}
            Judged::Barrier(barrier) => self.barrier = self.barrier.max(Some(barrier)),
        }
        self.run(now)
    }

    fn on_rules(&mut self, rules: Arc<RuleSet>, now: Now) {
        self.core.rules = Arc::clone(&rules);
        self.compliant.retain(|path| rules.for_path(path).is_some());
        let mut removed = Vec::new();
        for (path, case) in &mut self.cases {
            match rules.for_path(path) {
                // Whether a judgement still holds is the evaluator's to say.
                Some(rule) => case.rule = Arc::clone(rule),
                None => removed.push(Arc::clone(path)),
            }
        }
        removed.iter().for_each(|path| self.close(path));
        self.core.touched.extend(self.cases.keys().cloned());
        self.naturalise(now);
    }

    fn on_transition(&mut self, transition: Transition, now: Now) {
        let Transition { path, rule, state, children } = transition;
        let case = match (self.cases.get_mut(&path), &state) {
            (Some(case), _) => case,
            (None, State::Ok) => {
                self.compliant.insert(path);
                return;
            }
            (None, State::Error { .. }) => {
                self.compliant.remove(&path);
                self.cases.entry(Arc::clone(&path)).or_insert_with(|| Case::new(Arc::clone(&rule)))
            }
        };
        case.rule = rule;
        case.children = children;
        case.judge(state, &path, &mut self.core, now);
        self.core.touched.insert(path);
    }

    /// Forgets a path that is not watched for any more. Its incident is closed, and nobody is told.
    fn close(&mut self, path: &Arc<str>) {
        if let Some(case) = self.cases.get_mut(path) {
            case.abandon(path, &mut self.core);
            self.core.touched.insert(Arc::clone(path));
        }
    }

    /// The silences are these from now on.
    pub fn on_silences(&mut self, silences: Vec<Silence>, now: Now) -> Vec<Effect> {
        self.core.silences = silences;
        self.core.touched.extend(self.cases.keys().cloned());
        self.run(now)
    }

    /// An attempt ended.
    pub fn on_outcome(&mut self, delivery: DeliveryId, outcome: Outcome, now: Now) -> Vec<Effect> {
        self.land(delivery, &outcome, now);
        self.run(now)
    }

    /// The ledger answered.
    pub fn on_written(&mut self, write: u64, written: Written, now: Now) -> Vec<Effect> {
        if let Some(path) = self.core.writes.remove(&write) {
            match self.cases.get_mut(&path) {
                Some(case) => case.on_written(write, written, &path, &mut self.core, now),
                None => self.collected(&path, &written),
            }
            self.core.touched.insert(path);
        }
        self.run(now)
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now: Now) -> Vec<Effect> {
        self.run(now)
    }

    /// Whether an attempt is under way, or the ledger has yet to take what is known.
    pub fn is_busy(&self) -> bool {
        !self.core.writes.is_empty() || self.core.outboxes.values().any(|outbox| outbox.is_flying())
    }

    /// When [`Self::on_tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let alarm = self.alarms.first().map(|(at, _)| *at);
        let outboxes = self.core.outboxes.values().filter(|_| self.core.sends()).filter_map(|outbox| {
            match outbox.opens_at().or_else(|| outbox.refreshes_at())? {
                Gate::Open => None,
                Gate::At(at) => Some(at),
            }
        });
        [alarm, self.collect_at, self.core.silence_ends].into_iter().flatten().chain(outboxes).min()
    }

    /// Changes whenever something that a snapshot shows may have changed.
    pub fn version(&self) -> u64 {
        self.core.version
    }

    /// The epoch of the lease in effect.
    pub fn epoch(&self) -> Option<u64> {
        self.core.lease
    }

    /// Every alert that is not inactive, by path.
    pub fn alert_status(&self) -> impl Iterator<Item = (&Arc<str>, AlertStatus)> {
        self.cases.iter().filter_map(|(path, case)| Some((path, case.status()?)))
    }

    /// Every receiver of the configuration.
    pub fn receiver_status(&self) -> impl Iterator<Item = (&ReceiverId, ReceiverStatus)> {
        let outboxes = self.core.outboxes.iter().filter(|(_, outbox)| !outbox.retired);
        outboxes.map(|(id, outbox)| (id, outbox.status()))
    }

    /// The silences in force.
    pub fn silences(&self, now: Now) -> impl Iterator<Item = &Silence> {
        self.core.silences.iter().filter(move |silence| silence.until > now.wall)
    }

    /// Does what is to be done by now, and returns what the shell has to do.
    fn run(&mut self, now: Now) -> Vec<Effect> {
        self.take_office(now);
        self.collect_foreign(now);
        self.core.hindsight.sweep(now);
        if self.core.silence_ends.is_some_and(|end| end <= now.mono) {
            self.core.touched.extend(self.cases.keys().cloned());
        }
        self.core.arm_silences(now);
        while let Some((at, path)) = self.alarms.first().cloned() {
            if at > now.mono {
                break;
            }
            self.alarms.pop_first();
            self.core.touched.insert(path);
        }
        let receivers: Vec<ReceiverId> = self.core.outboxes.keys().cloned().collect();
        loop {
            while let Some(path) = self.core.next_touched() {
                self.settle(path, now);
            }
            if self.core.sends() {
                receivers.iter().for_each(|receiver| self.pump(receiver, now));
            }
            if self.core.touched.is_empty() {
                break;
            }
        }
        std::mem::take(&mut self.core.effects)
    }

    /// Brings one case up to date, and drops it if there is nothing to remember.
    fn settle(&mut self, path: Arc<str>, now: Now) {
        let Some(case) = self.cases.get_mut(&path) else { return };
        case.settle(&path, &mut self.core, now);
        self.core.version += 1;
        let alarm = case.next_deadline(&self.core, now);
        if case.alarm != alarm {
            if let Some(at) = std::mem::replace(&mut case.alarm, alarm) {
                self.alarms.remove(&(at, Arc::clone(&path)));
            }
            self.alarms.extend(alarm.map(|at| (at, Arc::clone(&path))));
        }
        if !case.is_needed() {
            if case.alert.is_fresh() {
                self.compliant.insert(Arc::clone(&path));
            }
            if let Some(at) = self.cases.remove(&path).and_then(|case| case.alarm) {
                self.alarms.remove(&(at, path));
            }
        }
    }
}

/// A receiver's queue of its own, and its rounds of telling again, if it needs them.
impl Core {
    fn enlist(&mut self, profile: Profile, now: Now) {
        let every = profile.refresh;
        let outbox = self.outboxes.entry(profile.id.clone()).or_insert_with(|| Outbox::new(profile.clone()));
        outbox.profile = profile;
        outbox.retired = false;
        let next = || every.and_then(|every| now.mono.checked_add(every));
        match (&outbox.refresh, next()) {
            (None, Some(at)) => outbox.refresh = Some(Refresh { at, after: None }),
            (_, None) => outbox.refresh = None,
            (Some(_), Some(_)) => {}
        }
    }

    fn retire(&mut self, receiver: &ReceiverId) {
        let Some(outbox) = self.outboxes.get_mut(receiver) else { return };
        outbox.clear();
        outbox.retired = true;
        if outbox.flight.is_none() {
            self.outboxes.remove(receiver);
        }
    }
}
