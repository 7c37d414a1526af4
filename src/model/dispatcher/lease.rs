//! Taking the lease over, and losing it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::case::Case;
use super::effect::{Effect, Event, Grant};
use super::hindsight::Ended;
use super::incident::Incident;
use super::record::Record;
use super::{Dispatcher, PATIENCE};
use crate::model::ledger::{Change, Entry, Stored, Written};
use crate::model::rule::Rule;
use crate::model::time::Now;

/// An entry of a path that no rule of this agent knows. Another agent's may: files differ during a rollout. So
/// it is left alone for a day of one lease, and then removed.
#[derive(Debug)]
pub(super) struct Foreign {
    /// `None` if it could not be understood.
    entry: Option<Entry>,
    version: i32,
}

impl Dispatcher {
    /// The election granted the lease. It is in effect once its barrier has arrived, which may be now.
    pub fn on_lease(&mut self, grant: Grant, now: Now) -> Vec<Effect> {
        self.leave_office(now);
        self.coming = Some(grant);
        self.run(now)
    }

    /// The lease is over: no attempt is asked for, and no write, until the next.
    pub fn on_lease_lost(&mut self, now: Now) -> Vec<Effect> {
        self.leave_office(now);
        self.run(now)
    }

    fn leave_office(&mut self, now: Now) {
        self.coming = None;
        let Some(epoch) = self.core.lease.take() else { return };
        self.core.log(Event::Following(epoch));
        self.core.last_epoch = Some(epoch);
        self.core.writes.clear();
        self.core.postponed.clear();
        self.foreign.clear();
        self.collect_at = None;
        self.core.outboxes.values_mut().for_each(super::outbox::Outbox::clear);
        for (path, case) in &mut self.cases {
            case.follow(now);
            self.core.touched.insert(Arc::clone(path));
        }
    }

    /// Makes the lease count, if its barrier has arrived.
    pub(super) fn take_office(&mut self, now: Now) {
        let Some(grant) = self.coming.take_if(|grant| self.barrier >= Some(grant.barrier)) else { return };
        self.core.log(Event::Leading(grant.epoch, grant.entries.len()));
        self.core.lease = Some(grant.epoch);
        self.core.silences = grant.silences;
        self.core.arm_silences(now);
        self.foreign = BTreeMap::new();
        let known = grant.entries.iter().map(|stored| &stored.entry.path).collect();
        for case in self.cases.values_mut() {
            case.forget_at = None;
        }
        self.forget_closed(&known);
        for Stored { entry, version } in grant.entries {
            self.admit(Arc::clone(&entry.path), Some(entry), version, now);
        }
        for (path, version) in grant.unreadable {
            self.core.log(Event::Unreadable(Arc::clone(&path)));
            self.admit(path, None, version, now);
        }
        for (path, ended) in self.core.hindsight.untold(grant.vacancy, now) {
            self.tell_late(path, &ended, now);
        }
        self.core.hindsight.blind();
        self.collect_at = now.mono.checked_add(PATIENCE).filter(|_| !self.foreign.is_empty());
        self.core.outboxes.values_mut().for_each(|outbox| outbox.refresh_now(now.mono));
        self.core.touched.extend(self.cases.keys().cloned());
    }

    /// What this process knows of incidents that are in the ledger no more is of no use: another closed them.
    fn forget_closed(&mut self, known: &std::collections::BTreeSet<&Arc<str>>) {
        for (path, case) in &mut self.cases {
            if !known.contains(path) {
                case.incident = None;
            }
        }
    }

    /// Takes one entry of the ledger over, or sets it aside if no rule knows its path.
    fn admit(&mut self, path: Arc<str>, entry: Option<Entry>, version: i32, now: Now) {
        let Some(rule) = self.core.rules.for_path(&path).cloned() else {
            self.foreign.insert(path, Foreign { entry, version });
            return;
        };
        let case = Self::case(&mut self.cases, &mut self.compliant, &path, rule, now);
        case.record = Record::read(entry.clone(), version);
        match entry {
            Some(entry) => case.adopt(&entry, &path, &mut self.core, now),
            // What cannot be understood is treated as absent. It is overwritten by the next incident, or goes
            // now if the path is known to be in spec.
            None => case.record.wanted = case.alert.is_fresh() && case.alert.is_inactive(),
        }
        self.core.touched.insert(path);
    }

    /// Opens an incident for what fired and was over while nobody led.
    fn tell_late(&mut self, path: Arc<str>, ended: &Ended, now: Now) {
        let rule = self.core.rules.for_path(&path).filter(|rule| !rule.terms.receivers.is_empty()).cloned();
        let Some(rule) = rule.filter(|_| !self.core.silenced(&path, now)) else { return };
        let id = self.core.incident_id();
        let incident = Incident::untold(id, ended, &rule.terms.receivers, now.mono);
        let case = Self::case(&mut self.cases, &mut self.compliant, &path, rule, now);
        case.incident = Some(incident);
        self.core.log(Event::Missed(path));
    }

    fn case<'a>(
        cases: &'a mut BTreeMap<Arc<str>, Case>,
        compliant: &mut std::collections::HashSet<Arc<str>>,
        path: &Arc<str>,
        rule: Arc<Rule>,
        now: Now,
    ) -> &'a mut Case {
        cases.entry(Arc::clone(path)).or_insert_with(|| {
            let mut case = Case::new(Arc::clone(&rule));
            if compliant.remove(path) {
                case.alert.complied(None, &rule, now);
            }
            case
        })
    }

    /// Takes those entries over that the new rules know.
    pub(super) fn naturalise(&mut self, now: Now) {
        let rules = Arc::clone(&self.core.rules);
        let (known, rest) = std::mem::take(&mut self.foreign)
            .into_iter()
            .partition(|(path, _)| rules.for_path(path).is_some());
        self.foreign = rest;
        let known: BTreeMap<Arc<str>, Foreign> = known;
        for (path, foreign) in known {
            self.admit(path, foreign.entry, foreign.version, now);
        }
    }

    /// Removes the entries that no rule knew for a day.
    pub(super) fn collect_foreign(&mut self, now: Now) {
        let Some(epoch) = self.core.lease else { return };
        if self.collect_at.take_if(|at| *at <= now.mono).is_none() {
            return;
        }
        for (path, foreign) in std::mem::take(&mut self.foreign) {
            self.core.write(&path, epoch, Change::Delete(foreign.version));
        }
    }

    /// The ledger answered the removal of an entry that no rule knows. One that changed meanwhile is somebody's.
    pub(super) fn collected(&mut self, path: &Arc<str>, written: &Written) {
        match written {
            Written::Done(_) => self.core.log(Event::Collected(Arc::clone(path))),
            Written::Conflict(_) | Written::Failed(_) => {}
        }
    }
}

impl Case {
    /// The lease is over. What was never written is forgotten; what may be in the ledger is remembered for a
    /// day, because this process knows better than the ledger what became of its attempts.
    fn follow(&mut self, now: Now) {
        let written = std::mem::take(&mut self.record).is_needed();
        let Some(incident) = self.incident.as_mut().filter(|_| written) else {
            self.incident = None;
            return;
        };
        incident.shares.values_mut().for_each(super::share::Share::land);
        self.forget_at = now.mono.checked_add(PATIENCE);
    }
}
