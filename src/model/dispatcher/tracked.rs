//! One path that is not simply in spec by one rule: its alert, its incident, and what the ledger holds of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::delivery::{Delivery, Due, Situation, Step};
use super::entry_sync::{EntrySync, Found, Reply};
use super::incident::Incident;
use super::io::{Profile, Report};
use super::limits::PATIENCE;
use super::queue::{Queue, brief};
use super::shared::Shared;
use super::unreported::{Closed, Episode};
use crate::model::alert::{Alert, Change, Phase};
use crate::model::alert_key::AlertKey;
use crate::model::children::{Counted, Left};
use crate::model::judge::Course;
use crate::model::ledger::{Change as LedgerWrite, Entry, Mark, Written};
use crate::model::message::{About, Item, Kind};
use crate::model::receiver::{Outcome, ReceiverId};
use crate::model::rule::Rule;
use crate::model::status::{AlertStatus, OpenIncident, Quiet};
use crate::model::time::Now;
use crate::model::transition::{State, Transition};

/// What was seen of a path last.
#[derive(Debug, Default)]
struct Seen {
    /// The violation in words, as it is now or was last.
    message: Arc<str>,
    left: Left,
    counted: Option<Arc<Counted>>,
    children: Option<u32>,
    /// How their number has gone.
    course: Option<Course>,
}

/// What is left of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remains {
    /// All of it.
    Alert,
    /// Its entry, until the one that came in its place has one of its own.
    Entry,
    /// Its entry, which goes.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Tracked {
    key: AlertKey,
    pub rule: Arc<Rule>,
    pub alert: Alert,
    seen: Seen,
    /// The state of the ledger's listing when the violation began; `None` if it was not known, or somebody may have been
    /// told since.
    ledger_revision: Option<u64>,
    /// Under a lease: the incident that somebody has yet to hear of, be it open or over. Without one: what this
    /// process knows of the last one it led.
    pub incident: Option<Incident>,
    sync: EntrySync,
    /// When knowledge from an earlier lease is dropped.
    forget_at: Option<Instant>,
    /// When it is to be looked at, as [`super::paths::Paths`] has it.
    pub alarm: Option<Instant>,
    /// The alerts in whose place it came, as long as their entries are there. Those go once this one has one, and before
    /// that goes.
    predecessors: Vec<AlertKey>,
    pub remains: Remains,
}

impl Tracked {
    pub fn new(key: AlertKey, rule: Arc<Rule>) -> Self {
        Self {
            key,
            rule,
            alert: Alert::default(),
            seen: Seen::default(),
            ledger_revision: None,
            incident: None,
            sync: EntrySync::default(),
            forget_at: None,
            alarm: None,
            predecessors: Vec::new(),
            remains: Remains::Alert,
        }
    }

    pub fn key(&self) -> &AlertKey {
        &self.key
    }

    /// Whether there is anything to remember.
    pub fn is_needed(&self) -> bool {
        !self.alert.is_inactive() || self.incident.is_some() || self.sync.is_needed()
    }

    pub fn status(&self, shared: &Shared) -> Option<AlertStatus> {
        let (phase, since) = self.alert.status()?;
        let incident = self.incident.as_ref().map(|incident| Arc::clone(incident.id()));
        let held = || Some(Quiet::Held(Arc::clone(shared.dependencies.holder(&self.rule.terms)?)));
        let nobody = || Some(Quiet::Nobody).filter(|_| self.rule.terms.receivers.is_empty());
        let silenced = || Some(Quiet::Silenced(shared.silence(&self.key, self.known_incident(shared))?));
        let quiet = held().or_else(nobody).or_else(silenced);
        Some(AlertStatus { phase, since: since.wall, incident, quiet })
    }

    // What is seen of the path.

    /// The path was judged.
    pub fn on_judgement(&mut self, judged: Transition, shared: &mut Shared, now: Now) {
        self.rule = judged.rule;
        (self.seen.children, self.seen.course) = (judged.children, judged.course);
        self.note_course();
        let change = match judged.state {
            State::Error { message, left, counted } => {
                if self.alert.is_inactive() {
                    self.ledger_revision = shared.unreported.ledger_revision;
                }
                self.seen = Seen { message, left, counted, ..std::mem::take(&mut self.seen) };
                self.alert.violated(&self.rule, now)
            }
            State::Ok => self.alert.complied(self.open_since(shared), &self.rule, now),
        };
        self.on_change(change, shared, now);
    }

    /// The entry of this alert has come or gone, or may have: somebody may have been told of the violation.
    pub fn may_be_reported(&mut self) {
        self.ledger_revision = None;
    }

    /// Has the entry say what the number of children is measured by.
    fn note_course(&mut self) {
        let incident = self.incident.as_mut().filter(|incident| !incident.is_over());
        self.sync.wanted |= incident.is_some_and(|incident| incident.note_course(self.seen.course.as_ref()));
    }

    /// The open incident, as far as this agent knows.
    fn known_incident(&self, shared: &Shared) -> OpenIncident<'_> {
        match &self.incident {
            _ if shared.lease.is_none() => OpenIncident::Unknown,
            Some(incident) if !incident.is_over() => OpenIncident::Of(incident.id()),
            Some(_) | None => OpenIncident::None,
        }
    }

    /// When the open incident began, if one is open and this agent leads.
    fn open_since(&self, shared: &Shared) -> Option<Now> {
        let open = self.incident.as_ref().filter(|incident| shared.lease.is_some() && !incident.is_over());
        open.map(Incident::began)
    }

    /// The alert did something, or nothing.
    fn on_change(&mut self, change: Option<Change>, shared: &mut Shared, now: Now) {
        let Some(change) = change else { return };
        let key = self.key.clone();
        shared.log(match change {
            Change::Began => Report::Pending(key),
            Change::Cancelled => Report::Cancelled(key),
            Change::Fired => Report::Firing(key, Arc::clone(&self.seen.message)),
            Change::Recovering => Report::Recovering(key),
            Change::Relapsed => Report::Relapsed(key),
            Change::Resolved { .. } => Report::Resolved(key),
        });
        match change {
            Change::Resolved { compliant, .. } if shared.lease.is_some() => {
                self.close_incident(compliant, shared, now);
            }
            Change::Resolved { since, compliant } => self.remember(since, compliant, shared, now),
            Change::Began | Change::Cancelled | Change::Fired | Change::Recovering | Change::Relapsed => {}
        }
    }

    /// A violation is over that this agent was not to tell of.
    fn remember(&self, since: Now, until: Now, shared: &mut Shared, now: Now) {
        // If an incident is open, its entry is there: at the takeover as well, or it goes and that is seen.
        let is_silenced = shared.is_silenced(&self.key, OpenIncident::None, now);
        let ledger_revision = self.ledger_revision.filter(|_| !is_silenced);
        let message = Arc::clone(&self.seen.message);
        let ending = self.seen.course.as_ref().and_then(Course::ending).cloned();
        let acknowledged = shared.acknowledged(&self.key.path).into_iter();
        let acknowledged = acknowledged.map(|incident| Closed::new(incident, until)).collect();
        let (missed, remembered) = (0, now.mono);
        let episode =
            Episode { since, until, message, ending, missed, acknowledged, ledger_revision, remembered };
        shared.unreported.remember(&self.key, episode);
    }

    /// The open incident, if there is one, is over.
    fn close_incident(&mut self, compliant: Now, shared: &mut Shared, now: Now) {
        let Some(incident) = self.incident.as_mut().filter(|incident| !incident.is_over()) else { return };
        incident.close(compliant.wall, now.mono);
        incident.each_storm(shared, |storms, id| storms.resolve(id, &self.key));
    }

    // What follows from it.

    /// Brings everything up to date.
    pub fn settle(&mut self, shared: &mut Shared, now: Now) {
        let holder = shared.dependencies.holder(&self.rule.terms).cloned();
        if self.alert.set_held(holder.is_some(), now) && self.alert.is_violated() {
            shared.log(Report::Held(self.key.clone(), holder));
        }
        let change = self.alert.tick(&self.rule, now);
        self.on_change(change, shared, now);
        let Some(epoch) = shared.lease else {
            if self.forget_at.is_some_and(|at| at <= now.mono) {
                (self.incident, self.forget_at) = (None, None);
            }
            return;
        };
        self.open_incident(shared);
        if let Some(incident) = &mut self.incident {
            incident.remind_by(self.rule.terms.repeat_interval, now.mono);
        }
        if let Some(view) = self.situation(shared, now) {
            self.settle_deliveries(&view, shared);
        }
        self.flush(epoch, shared, now);
    }

    /// Opens an incident for an alert that fires.
    fn open_incident(&mut self, shared: &mut Shared) {
        let Phase::Firing { since } = self.alert.phase() else { return };
        let open = self.incident.as_ref().is_some_and(|incident| !incident.is_over());
        if open || !self.alert.is_firing() || self.rule.terms.receivers.is_empty() {
            return;
        }
        self.step_each(shared, |_, _, _| Some(Step::Withdrawn));
        self.leave_open_storms(shared);
        let (id, message) = (shared.incident_id(), Arc::clone(&self.seen.message));
        match &mut self.incident {
            None => self.incident = Some(Incident::new(&self.key, id, since, message, &self.rule)),
            Some(incident) => incident.reopen(id, since, message, &self.rule),
        }
        self.note_course();
    }

    /// A new violation begins while a storm that this path was part of goes on with others: their end will be told
    /// as the storm's end, so this path leaves it and is told anew.
    fn leave_open_storms(&mut self, shared: &mut Shared) {
        let Some(incident) = &mut self.incident else { return };
        incident.entry.receivers.retain(|receiver, delivery| {
            let queue = shared.queues.get_mut(receiver);
            let (Some(storm), Some(queue)) = (&delivery.progress.storm, queue) else { return true };
            if !queue.storms.is_open(storm) || !delivery.is_idle() {
                return true;
            }
            queue.storms.leave(storm, &self.key).into_iter().for_each(|key| shared.touch(key));
            false
        });
    }

    /// What the receivers' needs depend on, if there is an incident.
    fn situation(&self, shared: &Shared, now: Now) -> Option<Situation> {
        let incident = self.incident.as_ref()?;
        Some(Situation {
            incident: Arc::clone(incident.id()),
            firing: self.alert.is_firing(),
            over: incident.is_over(),
            silenced: shared.is_silenced(&self.key, self.known_incident(shared), now),
            reminder: incident.reminder(now.mono),
            notices: incident.notices.len(),
            now: now.mono,
        })
    }

    /// Queues what has to be told, and takes back what has not.
    fn settle_deliveries(&mut self, view: &Situation, shared: &mut Shared) {
        let Some(incident) = &mut self.incident else { return };
        incident.catch_up(&self.rule.terms.receivers, view, |receiver| shared.queues.contains_key(receiver));
        let blocked = self.sync.is_blocked(view.now);
        let (mut owed, mut long) = (false, shared.parked);
        self.step_each(shared, |receiver, delivery, shared| {
            let need = delivery.need(view);
            if need.is_some() && delivery.due == Due::No {
                delivery.due = Due::Since(view.now);
            }
            let queue = shared.queues.get(receiver).filter(|queue| !queue.retired)?;
            (owed, long) = (owed || need.is_some(), long || (need.is_some() && queue.is_down()));
            let storm = delivery.progress.storm.as_ref().filter(|_| need == Some(Kind::Resolved));
            let waits = blocked || storm.is_some_and(|storm| queue.storms.is_open(storm));
            let queued = need.is_some() && !waits;
            Some(if queued { Step::Needed(shared.ticket()) } else { Step::Unneeded })
        });
        let Some(incident) = &mut self.incident else { return };
        if owed {
            self.sync.owes(incident.id(), incident.is_over(), long, view.now);
        } else {
            self.sync.tell_at = None;
        }
        incident.entry.receivers.retain(|receiver, delivery| {
            shared.queues.contains_key(receiver) || !delivery.is_hopeless(view.now)
        });
        self.sync.wanted |= incident.is_done(view);
    }

    /// When there is something to do without anything happening.
    pub fn next_deadline(&self, shared: &Shared, now: Now) -> Option<Instant> {
        let alert = self.alert.deadline(&self.rule);
        if shared.lease.is_none() {
            return [alert, self.forget_at].into_iter().flatten().min();
        }
        let deliveries = self.incident.iter().flat_map(|incident| incident.entry.receivers.iter());
        let deliveries = deliveries.filter_map(|(receiver, delivery)| {
            let unknown = !shared.queues.contains_key(receiver);
            let hopeless = delivery.hopeless_at().filter(|_| unknown);
            hopeless.into_iter().chain(delivery.again_at()).min()
        });
        let tell_at = self.sync.tell_at.filter(|_| self.incident.is_some());
        let own = [alert, self.sync.retry_at, tell_at, self.reminds_at(now)];
        own.into_iter().flatten().chain(deliveries).min()
    }

    fn reminds_at(&self, now: Now) -> Option<Instant> {
        let incident = self.incident.as_ref().filter(|_| self.alert.is_firing())?;
        let next = incident.reminds_at(now.mono)?;
        Some(next.max(now.mono + Duration::from_millis(1)))
    }

    // The receivers. No delivery takes a step but here.

    /// Has each delivery take the step that `choose` finds for it. Queue, batch and ledger follow.
    fn step_each(
        &mut self,
        shared: &mut Shared,
        mut choose: impl FnMut(&ReceiverId, &mut Delivery, &mut Shared) -> Option<Step>,
    ) {
        let Some(incident) = &mut self.incident else { return };
        for (receiver, delivery) in incident.entry.receivers.iter_mut() {
            let step = choose(receiver, delivery, shared);
            let moved = step.map(|step| delivery.apply(step)).unwrap_or_default();
            self.sync.wanted |= moved.wants_write;
            // A receiver that is not configured has neither.
            if let Some(queue) = shared.queues.get_mut(receiver) {
                queue.follow(&self.key, moved);
            }
        }
    }

    /// The same with the delivery of one receiver.
    fn step_one(
        &mut self,
        receiver: &ReceiverId,
        shared: &mut Shared,
        mut choose: impl FnMut(&mut Delivery) -> Option<Step>,
    ) {
        self.step_each(shared, |other, delivery, _| if other == receiver { choose(delivery) } else { None });
    }

    pub fn step(&mut self, receiver: &ReceiverId, step: Step, shared: &mut Shared) {
        self.step_one(receiver, shared, |_| Some(step));
    }

    pub fn delivery(&self, receiver: &ReceiverId) -> Option<&Delivery> {
        self.incident.as_ref()?.entry.receivers.get(receiver)
    }

    /// Whether the receiver was told that the path is out of spec, and should go on to know it.
    pub fn is_known_to(&self, receiver: &ReceiverId) -> bool {
        let open = self.incident.as_ref().filter(|incident| !incident.is_over());
        let known = open.zip(self.delivery(receiver)).is_some_and(|(incident, delivery)| {
            delivery.progress.firing == Mark::Sent && delivery.progress.incident == *incident.id()
        });
        known && !self.alert.is_inactive()
    }

    /// The receiver's turn has come: this path is part of its next batch, in a storm or by itself. Returns whether
    /// it is: there may be nothing to tell any more, or it may have been tried for too long.
    pub fn choose(
        &mut self,
        receiver: &ReceiverId,
        storm: Option<&Arc<str>>,
        shared: &mut Shared,
        now: Now,
    ) -> bool {
        let Some(view) = self.situation(shared, now) else { return false };
        let need = self.delivery(receiver).and_then(|delivery| delivery.need(&view));
        let Some(kind) = need.filter(|kind| !self.give_up(receiver, *kind, shared, now)) else {
            self.step(receiver, Step::Unneeded, shared);
            return false;
        };
        self.step_one(receiver, shared, |delivery| Some(delivery.choose(kind, storm, &view)));
        true
    }

    /// Gives up what was tried for too long; says whether it was.
    fn give_up(&mut self, receiver: &ReceiverId, kind: Kind, shared: &mut Shared, now: Now) -> bool {
        let Some(incident) = &mut self.incident else { return false };
        let delivery = incident.entry.receivers.get_mut(receiver);
        let hopeless = delivery.filter(|delivery| delivery.is_hopeless_to_tell(kind, now.mono));
        let Some(delivery) = hopeless else { return false };
        delivery.give_up(kind);
        self.sync.wanted = true;
        let Some(queue) = shared.queues.get_mut(receiver) else { return true };
        queue.status.refused += 1;
        let (name, label) = (Arc::clone(&queue.profile.name), queue.profile.label());
        if kind == Kind::Firing {
            incident.notice(receiver, &format!("{name} could not be told for a day"));
        }
        shared.log(Report::GaveUp(label, self.key.clone()));
        true
    }

    /// Has the write that is about to be made hold the intents of the receivers that will come to this path soon.
    /// In a storm each would need a write of its own, since they do not keep step.
    pub fn intend_ahead(&mut self, shared: &mut Shared, now: Now) {
        let Some(view) = self.situation(shared, now) else { return };
        self.step_each(shared, |receiver, delivery, shared| {
            let soon = shared.queues.get(receiver).is_some_and(Queue::takes_digests);
            if soon { delivery.ahead(&view) } else { None }
        });
    }

    /// How many bytes a message takes to tell a receiver of this path.
    pub fn size(&self, receiver: &ReceiverId) -> usize {
        self.item(Kind::Firing, receiver).map_or(0, |item| item.size())
    }

    /// The receiver's batch leaves: the item to be told, if it still is.
    pub fn leave(&mut self, receiver: &ReceiverId, shared: &mut Shared, now: Now) -> Option<Item> {
        let view = self.situation(shared, now)?;
        self.step_one(receiver, shared, |delivery| delivery.leave(&view));
        self.item(self.delivery(receiver)?.sending()?, receiver)
    }

    /// What a receiver is told of this path.
    pub fn item(&self, kind: Kind, receiver: &ReceiverId) -> Option<Item> {
        let incident = self.incident.as_ref()?;
        let delivery = incident.entry.receivers.get(receiver)?;
        let (mut message, since, until) = incident.told_to(delivery);
        if kind.is_firing() && !delivery.is_behind(incident.id()) && !self.seen.message.is_empty() {
            message = &self.seen.message;
        }
        let progress = &delivery.progress;
        Some(Item {
            incident: Arc::clone(progress.storm.as_ref().unwrap_or(&progress.incident)),
            path: Arc::clone(&self.key.path),
            rule: self.key.name.clone(),
            pattern: self.rule.is_glob().then(|| Arc::clone(&self.rule.path)),
            kind,
            about: About::Path,
            message: Arc::clone(message),
            since,
            until: until.filter(|_| !kind.is_firing()),
            children: self.seen.children,
            // They may be back, and others gone.
            left: if kind.is_firing() { self.seen.left.clone() } else { Left::default() },
            counted: self.seen.counted.clone().filter(|_| kind.is_firing()),
            labels: incident.labels_of(delivery),
            description: self.rule.terms.description.clone(),
            runbook: self.rule.terms.runbook.clone(),
            notes: incident.notes(receiver, delivery),
        })
    }

    /// An attempt ended that this path was an item of.
    pub fn on_outcome(&mut self, receiver: &ReceiverId, outcome: &Outcome, shared: &mut Shared, now: Now) {
        let (keyed, name) = match shared.queues.get(receiver) {
            Some(queue) => (queue.profile.keyed, Arc::clone(&queue.profile.name)),
            None => (false, Arc::clone(&receiver.0)),
        };
        // The incident may have been dropped while the attempt was under way.
        let sending = self.delivery(receiver).filter(|delivery| delivery.sending().is_some());
        let Some(before) = sending.map(|delivery| delivery.progress.firing) else { return };
        self.step_one(receiver, shared, |delivery| delivery.conclude(outcome, keyed, now.mono));
        self.follow_storm(receiver, shared);
        let Some(incident) = &mut self.incident else { return };
        let refused = incident.on_outcome(receiver, before);
        if let (Outcome::Refused { reason }, true) = (outcome, refused) {
            incident.notice(receiver, &format!("{name} refused the alert: {}", brief(reason)));
        }
    }

    /// The receiver was told of this path as part of a storm, or of its end.
    fn follow_storm(&mut self, receiver: &ReceiverId, shared: &mut Shared) {
        let Some(incident) = &self.incident else { return };
        let Some(delivery) = incident.entry.receivers.get(receiver) else { return };
        let (Some(storm), Some(queue)) = (&delivery.progress.storm, shared.queues.get_mut(receiver)) else {
            return;
        };
        if delivery.progress.resolved.is_open() {
            let over = incident.is_over() || delivery.progress.incident != *incident.id();
            queue.storms.join(storm, &self.key, over);
        } else {
            queue.storms.leave(storm, &self.key);
        }
    }

    /// The receivers `gone` have left the configuration; what the others refused is tried again.
    pub fn on_receivers(&mut self, gone: &[ReceiverId], shared: &mut Shared, now: Now) {
        if shared.lease.is_some() {
            gone.iter().for_each(|receiver| self.step(receiver, Step::Withdrawn, shared));
            self.incident.iter_mut().for_each(|incident| incident.try_again(now.mono));
        }
    }

    /// The rules that go with those receivers are here: each of the departed leaves its part to its heir, or takes it
    /// along. Returns whether the recovery of an alert that it may know is lost.
    pub fn on_departed(&mut self, departed: &Profile, shared: &mut Shared, now: Now) -> bool {
        let incident = self.incident.as_mut().filter(|_| shared.lease.is_some());
        let Some(incident) = incident else { return false };
        let Some(left) = incident.entry.receivers.remove(&departed.id) else { return false };
        self.sync.wanted = true;
        let heir =
            if departed.is_replaceable() { incident.heir(&self.rule.terms.receivers, shared) } else { None };
        let Some(heir) = heir else { return departed.keyed && left.is_owed_an_end() };
        incident.bequeath(left, heir, shared);
        incident.try_again(now.mono);
        false
    }

    /// An entry names a receiver that is not in the configuration, and the rule one that the entry does not name: its
    /// key was rotated while another process led. The entry does not say what kind of receiver that was. Should it
    /// have been another, nothing is lost: PagerDuty ignores the end of what it does not know.
    fn replace_unknown(&mut self, shared: &mut Shared) {
        let Some(incident) = &mut self.incident else { return };
        let ids = incident.entry.receivers.iter().map(|(id, _)| id);
        let unknown: Vec<_> = ids.filter(|id| !shared.queues.contains_key(id)).cloned().collect();
        let ([id], Some(heir)) = (&unknown[..], incident.heir(&self.rule.terms.receivers, shared)) else {
            return;
        };
        let owed = incident.entry.receivers.get(id).is_some_and(Delivery::is_owed_an_end);
        let left = if owed { incident.entry.receivers.remove(id) } else { None };
        left.into_iter().for_each(|left| incident.bequeath(left, heir.clone(), shared));
    }

    // The ledger.

    /// Writes what is known, if that is wanted and differs from what the znode holds. An incident that is done
    /// leaves nothing to hold.
    fn flush(&mut self, epoch: u64, shared: &mut Shared, now: Now) {
        self.acknowledge(epoch, shared);
        if !self.sync.is_due(now.mono) {
            return;
        }
        let former = self.predecessors.iter().map(|former| former.name.clone()).collect();
        let owed = self.owed_incident(shared, now);
        let entry = owed.map(|incident| Entry { former, ..incident.as_stored(epoch) });
        if entry.is_none() && !self.predecessors.is_empty() {
            // Without this one, an older entry of theirs would be all that who leads next finds.
            return;
        }
        let Some(change) = self.sync.change_to(entry.as_ref()) else {
            self.sync.wanted = false;
            return match entry {
                Some(_) => self.acknowledge(epoch, shared),
                None => self.incident = None,
            };
        };
        if !self.has_intent() && !shared.has_room() {
            shared.postponed.insert(self.key.clone());
            return;
        }
        self.sync.wanted = false;
        let after = entry.filter(|_| !matches!(change, LedgerWrite::Delete(_)));
        let write = shared.write(&self.key, epoch, change);
        self.sync.began(write, after);
    }

    /// The incident, if anybody has to hear of it.
    fn owed_incident(&self, shared: &Shared, now: Now) -> Option<&Incident> {
        let view = self.situation(shared, now)?;
        self.incident.as_ref().filter(|incident| !incident.is_done(&view))
    }

    fn has_intent(&self) -> bool {
        let mut deliveries = self.incident.iter().flat_map(|incident| incident.entry.receivers.values());
        deliveries.any(Delivery::is_intending)
    }

    /// Lets those deliveries go on whose intents the ledger holds now.
    fn acknowledge(&mut self, epoch: u64, shared: &mut Shared) {
        let Some(entry) = self.sync.stamped_entry(epoch).filter(|_| self.has_intent()).cloned() else {
            return;
        };
        self.step_each(shared, |receiver, delivery, _| {
            let stored = entry.receivers.get(receiver).is_some_and(|stored| delivery.is_held_by(stored));
            stored.then_some(Step::Acked)
        });
    }

    /// The ledger answered a write.
    pub fn on_written(&mut self, write: u64, written: Written, shared: &mut Shared, now: Now) {
        let Some(epoch) = shared.lease else { return };
        let reply = self.sync.on_written(write, written, epoch, &mut shared.jitter, now.mono);
        // An older write than the one that is waited for may be answered late.
        let Some(reply) = reply else { return };
        match reply {
            Reply::Done { gone } => {
                let is_owed = self.owed_incident(shared, now).is_some();
                if gone && !is_owed {
                    self.incident = None;
                }
                self.acknowledge(epoch, shared);
                self.sync.wanted |= self.has_intent() || (gone && is_owed);
            }
            Reply::Failed(reason) => {
                if let Some(reason) = reason {
                    shared.log(Report::NotWritten(self.key.clone(), reason));
                }
                self.step_each(shared, |_, _, _| Some(Step::NotWritten));
            }
            Reply::Conflict(found) => {
                shared.log(Report::Conflict(self.key.clone()));
                match found {
                    Found::Own => {}
                    Found::Closed => drop(self.drop_incident(shared)),
                    Found::Other(entry) if self.remains == Remains::Alert => {
                        self.adopt(&entry, shared, now);
                    }
                    // Who led before wrote it late. The alert has gone on under another name since.
                    Found::Other(_) => self.sync.wanted = self.remains == Remains::Nothing,
                }
            }
        }
    }

    // Changes of leadership.

    /// This agent leads. Its entry, if the path has one, follows with [`Self::take_over`]. Without one, what this
    /// process knows of an incident is of no use: another agent closed it.
    pub fn on_lease(&mut self, has_entry: bool, shared: &mut Shared, now: Now) {
        self.forget_at = None;
        if has_entry {
            return;
        }
        self.incident = None;
        self.remember_recovering(shared, now);
    }

    /// The lease is over. What was never written is forgotten; what may be in the ledger is remembered for a
    /// day, because this process knows better than the ledger what became of its attempts.
    pub fn step_down(&mut self, shared: &mut Shared, now: Now) {
        self.step_each(shared, |_, _, _| Some(Step::Withdrawn));
        if !std::mem::take(&mut self.sync).is_needed() {
            self.incident = None;
        }
        self.forget_at = now.mono.checked_add(PATIENCE).filter(|_| self.incident.is_some());
        self.predecessors.clear();
    }

    /// The ledger holds this entry of the path, at this version; `None` if it could not be understood.
    pub fn take_over(&mut self, entry: Option<Entry>, version: i32, shared: &mut Shared, now: Now) {
        self.sync = EntrySync::as_read(entry.clone(), version);
        match entry {
            Some(entry) => self.adopt(&entry, shared, now),
            // What cannot be understood is treated as absent. It is overwritten by the next incident, or goes
            // now if the path is known to be in spec.
            None => self.sync.wanted = self.alert.is_fresh() && self.alert.is_inactive(),
        }
    }

    /// The ledger holds an entry that bears the name that this alert's rule had before: it is taken over under this one.
    pub fn inherit(&mut self, entry: &Entry, shared: &mut Shared, now: Now) {
        shared.unreported.rename(&entry.key, &self.key);
        self.adopt(&Entry { key: self.key.clone(), ..entry.clone() }, shared, now);
        (self.sync.wanted, self.predecessors) = (true, vec![entry.key.clone()]);
    }

    /// The ledger holds this entry, which says nothing of this alert, or another goes on with it.
    pub fn hold(&mut self, entry: Entry, version: i32, remains: Remains) {
        self.sync = EntrySync::as_read(Some(entry), version);
        (self.remains, self.sync.wanted) = (remains, remains != Remains::Entry);
    }

    /// The ledger holds this entry, in whose place that of this alert comes. Should it be gone by now, or another of an
    /// older lease, that says nothing of this alert's incident.
    pub fn overwrite(&mut self, entry: Option<Entry>, version: i32, shared: &Shared) {
        let own = entry.zip(shared.lease).map(|(entry, epoch)| Entry { epoch, ..entry });
        self.sync = EntrySync::as_read(own, version);
        self.sync.wanted = true;
    }

    /// Takes over an entry of the ledger, together with what this process knows of the path.
    fn adopt(&mut self, entry: &Entry, shared: &mut Shared, now: Now) {
        let mine = self.drop_incident(shared);
        let newest = shared.last_epoch == Some(entry.epoch);
        self.incident = Some(Incident::adopt(entry, mine, newest, self.rule.terms.repeat_interval, now));
        self.replace_unknown(shared);
        self.join_storms(shared);
        let seen = shared.unreported.recall(&self.key, now);
        if let Some(episode) = &seen {
            self.end_acknowledged(episode, shared, now);
        }
        if !self.alert.is_fresh() || !self.alert.is_inactive() {
            return;
        }
        let ending = shared.unreported.ending(&self.key);
        let ending = ending.or_else(|| seen.as_ref().and_then(|episode| episode.ending.clone()));
        self.seen.course = ending.map(Course::Ended).or(self.seen.course.take());
        self.note_course();
        // A path that is in spec by now recovers: as of when this agent saw that, or else from now on.
        match seen.filter(|episode| episode.may_be_of(&entry.incident, entry.since)) {
            Some(episode) => self.close_incident(episode.until, shared, now),
            None => {
                let change = self.alert.complied(self.open_since(shared), &self.rule, now);
                self.on_change(change, shared, now);
            }
        }
    }

    /// What was acknowledged and seen to end is over. Nobody would hear of what has fallen out of spec since, so that is none
    /// of it, whether it lasts or not. A fall may have been measured by more than this agent knew.
    fn end_acknowledged(&mut self, seen: &Episode, shared: &mut Shared, now: Now) {
        let is_fall = self.rule.terms.specs.drop.is_some();
        let Some(incident) = self.incident.as_ref().filter(|_| !is_fall) else { return };
        let Some(closed) = seen.closed(incident.id()) else { return };
        self.close_incident(closed.until, shared, now);
        // It is the last of those that were over since; this incident is none that was missed.
        if let Some(before) = closed.later.checked_sub(1) {
            let missed = seen.missed.min(before);
            shared.unreported.put_back(&self.key, Episode { missed, ..seen.clone() });
        }
        self.remember_recovering(shared, now);
    }

    /// Opens an incident for what fired and was over while nobody led.
    pub fn report_late(&mut self, episode: &Episode, rule: &Rule, shared: &mut Shared, now: Now) {
        self.leave_open_storms(shared);
        let id = shared.incident_id();
        match &mut self.incident {
            None => self.incident = Some(Incident::unreported(&self.key, id, episode, rule, now.mono)),
            Some(incident) => incident.reopen_unreported(id, episode, rule, now.mono),
        }
        shared.log(Report::ToldLate(self.key.clone()));
    }

    /// Whether the path falls out of spec again by and by or not: that it did is told.
    fn remember_recovering(&self, shared: &mut Shared, now: Now) {
        if let Phase::Recovering { since, compliant } = self.alert.phase() {
            self.remember(since, compliant, shared, now);
        }
    }

    fn join_storms(&self, shared: &mut Shared) {
        let Some(incident) = &self.incident else { return };
        incident.each_storm(shared, |storms, id| {
            storms.join(id, &self.key, incident.is_over());
            None
        });
    }

    /// Gives the path up: nobody is told, and its entry goes.
    pub fn abandon(&mut self, shared: &mut Shared) {
        self.alert = Alert::default();
        self.drop_incident(shared);
        self.sync.wanted = shared.lease.is_some();
    }

    /// The alert of this rule takes the place of this one, with all that is pending, firing or owed. Attempts under way
    /// go on, and count for it.
    pub fn hand_over(&mut self, rule: &Arc<Rule>, shared: &mut Shared) -> Self {
        let key = rule.key(&self.key.path);
        let mut incident = self.drop_incident(shared);
        incident.iter_mut().for_each(|incident| incident.entry.key = key.clone());
        shared.rename(&self.key, &key);
        let mut predecessors = std::mem::take(&mut self.predecessors);
        predecessors.retain(|former| *former != key);
        predecessors.extend(self.sync.is_needed().then(|| self.key.clone()));
        let mut heir = Self {
            alert: std::mem::take(&mut self.alert),
            seen: Seen { counted: None, ..std::mem::take(&mut self.seen) },
            ledger_revision: self.ledger_revision,
            incident,
            forget_at: self.forget_at.take(),
            predecessors,
            ..Self::new(key, Arc::clone(rule))
        };
        heir.join_storms(shared);
        (self.remains, self.sync.wanted) = (Remains::Entry, false);
        heir.sync.wanted = shared.lease.is_some();
        heir
    }

    /// Goes on with the entry that an alert left which had this name before.
    pub fn take_entry_of(&mut self, left: Self) {
        let wanted = self.sync.wanted;
        self.sync = left.sync;
        self.sync.wanted = wanted;
    }

    /// The alerts in whose place it came, when the ledger holds this one's entry, or it needs none: they may go.
    pub fn superseded(&self, shared: &Shared, now: Now) -> &[AlertKey] {
        if self.predecessors.is_empty() {
            return &[];
        }
        let stored = shared.lease.and_then(|epoch| self.sync.stamped_entry(epoch));
        let is_held = self.owed_incident(shared, now).is_none() || (stored.is_some() && !self.sync.wanted);
        if is_held { &self.predecessors } else { &[] }
    }

    pub fn predecessors(&self) -> &[AlertKey] {
        &self.predecessors
    }

    /// Those in whose place it came are gone, but for these.
    pub fn keep_predecessors(&mut self, left: Vec<AlertKey>) {
        self.predecessors = left;
    }

    /// Whether the ledger holds its entry, which is of no use to itself.
    pub fn is_leftover(&self) -> bool {
        self.remains != Remains::Alert && self.incident.is_none() && self.sync.is_needed()
    }

    /// Nothing needs the entry any more.
    pub fn let_go(&mut self) {
        if self.remains == Remains::Entry {
            (self.remains, self.sync.wanted) = (Remains::Nothing, true);
        }
    }

    /// Whether what was left of it has gone since this was asked last.
    pub fn take_departure(&mut self) -> bool {
        let has_gone = self.remains == Remains::Nothing && !self.sync.is_needed();
        if has_gone {
            self.remains = Remains::Alert;
        }
        has_gone
    }

    /// Takes the incident out, with what was prepared for it. Attempts under way go on.
    fn drop_incident(&mut self, shared: &mut Shared) -> Option<Incident> {
        self.step_each(shared, |_, _, _| Some(Step::Withdrawn));
        let incident = self.incident.take()?;
        incident.each_storm(shared, |storms, id| storms.leave(id, &self.key));
        Some(incident)
    }
}
