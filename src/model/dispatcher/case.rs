//! One path that is not simply in spec: its alert, its incident, and what the ledger holds of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::core::Core;
use super::effect::Event;
use super::incident::Incident;
use super::record::Record;
use super::share::{Need, Overtaken, Place, Share, View};
use crate::model::alert::{Alert, Change, Phase};
use crate::model::children::Left;
use crate::model::ledger::Mark;
use crate::model::receiver::ReceiverId;
use crate::model::rule::Rule;
use crate::model::status::AlertStatus;
use crate::model::time::Now;
use crate::model::transition::State;

#[derive(Debug)]
pub(super) struct Case {
    pub rule: Arc<Rule>,
    pub alert: Alert,
    pub message: Arc<str>,
    pub left: Left,
    pub children: Option<u32>,
    /// The state of the ledger's listing when the violation began.
    pub listing: Option<u64>,
    /// Under a lease: the open incident. Without one: what this process knows of the last one it led.
    pub incident: Option<Incident>,
    pub record: Record,
    /// When knowledge from an earlier lease is dropped.
    pub forget_at: Option<Instant>,
    pub alarm: Option<Instant>,
}

impl Case {
    pub fn new(rule: Arc<Rule>) -> Self {
        Self {
            rule,
            alert: Alert::default(),
            message: "".into(),
            left: Left::default(),
            children: None,
            listing: None,
            incident: None,
            record: Record::default(),
            forget_at: None,
            alarm: None,
        }
    }

    /// The path was judged.
    pub fn judge(&mut self, state: State, path: &Arc<str>, core: &mut Core, now: Now) {
        let change = match state {
            State::Error { message, left } => {
                if self.alert.is_inactive() {
                    self.listing = core.hindsight.listing();
                }
                (self.message, self.left) = (message, left);
                self.alert.violated(&self.rule, now)
            }
            State::Ok => self.alert.complied(self.open_since(core, now), &self.rule, now),
        };
        self.changed(change, path, core, now);
    }

    /// When the open incident began, if one is open and this agent leads.
    pub fn open_since(&self, core: &Core, now: Now) -> Option<Now> {
        let open = self.incident.as_ref().filter(|incident| core.lease.is_some() && incident.until.is_none());
        open.map(|incident| incident.began(now))
    }

    /// The alert did something.
    pub fn changed(&mut self, change: Option<Change>, path: &Arc<str>, core: &mut Core, now: Now) {
        let Some(change) = change else { return };
        let path_of = || Arc::clone(path);
        core.log(match change {
            Change::Began => Event::Pending(path_of()),
            Change::Cancelled => Event::Cancelled(path_of()),
            Change::Fired => Event::Firing(path_of(), Arc::clone(&self.message)),
            Change::Recovering => Event::Recovering(path_of()),
            Change::Relapsed => Event::Relapsed(path_of()),
            Change::Resolved { .. } => Event::Resolved(path_of()),
        });
        let Change::Resolved { since, compliant } = change else { return };
        if core.lease.is_some() {
            return self.conclude(compliant, path, core, now);
        }
        let listing = self.listing.filter(|_| !core.silenced(path, now));
        core.hindsight.note(path, since, compliant, &self.message, listing);
    }

    /// The open incident, if there is one, is over.
    pub fn conclude(&mut self, compliant: Now, path: &Arc<str>, core: &mut Core, now: Now) {
        if let Some(incident) = self.incident.as_mut().filter(|incident| incident.until.is_none()) {
            incident.close(compliant.wall, now.mono);
            calm(incident, path, core);
        }
    }

    /// Brings everything up to date.
    pub fn settle(&mut self, path: &Arc<str>, core: &mut Core, now: Now) {
        let change = self.alert.tick(&self.rule, now);
        self.changed(change, path, core, now);
        let Some(epoch) = core.lease else {
            if self.forget_at.is_some_and(|at| at <= now.mono) {
                (self.incident, self.forget_at) = (None, None);
            }
            return;
        };
        self.open(path, core);
        let view = self.view(path, core, now);
        if let Some(incident) = &mut self.incident {
            incident
                .catch_up(&self.rule.terms.receivers, &view, |receiver| core.outboxes.contains_key(receiver));
            let blocked = self.record.is_blocked(now.mono);
            let id = Arc::clone(&incident.id);
            incident.shares.retain(|receiver, share| {
                queue(share, receiver, &id, path, &view, blocked, core);
                core.outboxes.contains_key(receiver) || !share.is_hopeless(now.mono)
            });
            for share in incident.shares.values_mut() {
                let queued = matches!(share.place, Place::Queued(_));
                self.record.wanted |= share.ahead.take_if(|_| !queued).is_some();
            }
            self.record.wanted |= incident.is_done(&view);
        }
        self.flush(path, epoch, core, now);
    }

    /// Opens an incident for an alert that fires.
    fn open(&mut self, path: &Arc<str>, core: &mut Core) {
        let Phase::Firing { since } = self.alert.phase() else { return };
        if !self.alert.is_fresh() || self.rule.terms.receivers.is_empty() {
            return;
        }
        match &mut self.incident {
            None => {
                let message = Arc::clone(&self.message);
                let id = core.incident_id();
                self.incident = Some(Incident::new(id, since.wall, message, &self.rule.terms.receivers));
            }
            Some(incident) if incident.until.is_some() => {
                unprepare(incident, core);
                leave_storms(incident, path, core);
                let message = Arc::clone(&self.message);
                incident.reopen(core.incident_id(), since.wall, message, &self.rule.terms.receivers);
            }
            Some(_) => {}
        }
    }

    /// What the receivers' needs depend on.
    pub fn view(&self, path: &Arc<str>, core: &Core, now: Now) -> View {
        View {
            firing: self.alert.is_firing(),
            over: self.incident.as_ref().is_some_and(|incident| incident.until.is_some()),
            silenced: core.silenced(path, now),
            reminder: self.reminder(now),
            notices: self.incident.as_ref().map_or(0, |incident| incident.notices.len()),
            now: now.mono,
        }
    }

    /// How many repeat intervals have passed since the incident began.
    pub fn reminder(&self, now: Now) -> u32 {
        let (Some(incident), Some(interval)) = (&self.incident, self.rule.terms.repeat_interval) else {
            return 0;
        };
        let age = now.wall.duration_since(incident.since).unwrap_or_default();
        u32::try_from(age.as_millis() / interval.as_millis().max(1)).unwrap_or(u32::MAX)
    }

    fn reminds_at(&self, now: Now) -> Option<Instant> {
        let incident = self.incident.as_ref().filter(|_| self.alert.is_firing())?;
        let next = self.rule.terms.repeat_interval?.checked_mul(self.reminder(now).saturating_add(1))?;
        let age = now.wall.duration_since(incident.since).unwrap_or_default();
        now.mono.checked_add(next.saturating_sub(age).max(Duration::from_millis(1)))
    }

    /// The receivers `gone` have left the configuration; what the others refused is tried again.
    pub fn reloaded(&mut self, path: &Arc<str>, gone: &[ReceiverId], core: &mut Core, now: Now) {
        let Some(incident) = self.incident.as_mut().filter(|_| core.lease.is_some()) else { return };
        for receiver in gone {
            self.record.wanted |= incident.shares.remove(receiver).is_some();
        }
        for share in incident.shares.values_mut().filter(|_| incident.until.is_none()) {
            if share.firing == Mark::Refused {
                (share.firing, share.due) = (Mark::Pending, Some(now.mono));
            }
            share.gave_up = false;
        }
        core.touched.insert(Arc::clone(path));
    }

    /// Gives the path up: nobody is told, and its entry goes.
    pub fn abandon(&mut self, path: &Arc<str>, core: &mut Core) {
        self.alert = Alert::default();
        self.drop_incident(path, core);
        self.record.wanted = core.lease.is_some();
    }

    /// Takes the incident out, and its places in the queues.
    pub fn drop_incident(&mut self, path: &Arc<str>, core: &mut Core) -> Option<Incident> {
        let mut incident = self.incident.take()?;
        unprepare(&mut incident, core);
        for (receiver, share) in &incident.shares {
            if let (Some(storm), Some(outbox)) = (&share.storm, core.outboxes.get_mut(receiver)) {
                core.touched.extend(outbox.leave(storm, path));
            }
        }
        Some(incident)
    }

    /// When there is something to do without anything happening.
    pub fn next_deadline(&self, core: &Core, now: Now) -> Option<Instant> {
        let alert = self.alert.deadline(&self.rule);
        if core.lease.is_none() {
            return [alert, self.forget_at].into_iter().flatten().min();
        }
        let shares = self.incident.iter().flat_map(|incident| &incident.shares);
        let shares = shares.filter_map(|(receiver, share)| {
            let unknown = !core.outboxes.contains_key(receiver);
            let hopeless = share.due.filter(|_| unknown).and_then(|due| due.checked_add(PATIENCE));
            let again = match share.overtaken {
                Overtaken::Again(at) if share.place == Place::Idle => Some(at),
                Overtaken::Again(_) | Overtaken::No | Overtaken::Possibly => None,
            };
            hopeless.into_iter().chain(again).min()
        });
        let own = [alert, self.record.retry_at(), self.reminds_at(now)];
        own.into_iter().flatten().chain(shares).min()
    }

    /// Whether there is anything to remember.
    pub fn is_needed(&self) -> bool {
        !self.alert.is_inactive() || self.incident.is_some() || self.record.is_needed()
    }

    pub fn status(&self) -> Option<AlertStatus> {
        let (phase, since) = self.alert.status()?;
        let incident = self.incident.as_ref().map(|incident| Arc::clone(&incident.id));
        Some(AlertStatus { phase, since: since.wall, incident })
    }
}

/// Puts one receiver's share into its queue, or takes it out.
fn queue(
    share: &mut Share,
    receiver: &ReceiverId,
    incident: &Arc<str>,
    path: &Arc<str>,
    view: &View,
    blocked: bool,
    core: &mut Core,
) {
    let need = share.need(incident, view);
    if need.is_some() && share.due.is_none() {
        share.due = Some(view.now);
    }
    let Some(outbox) = core.outboxes.get_mut(receiver).filter(|outbox| !outbox.retired) else { return };
    let waits = blocked
        || (need == Some(Need::Resolved) && share.storm.as_ref().is_some_and(|storm| outbox.rages(storm)));
    match (share.place, need) {
        (Place::Idle, Some(_)) if !waits => share.place = Place::Queued(outbox.push(path)),
        (Place::Queued(place), None) => {
            outbox.remove(place);
            share.place = Place::Idle;
        }
        (Place::Queued(place), Some(_)) if waits => {
            outbox.remove(place);
            share.place = Place::Idle;
        }
        (Place::Idle | Place::Queued(_) | Place::Intent(_) | Place::Ready(_) | Place::Flying(_), _) => {}
    }
}

/// Takes whatever was prepared out of the receivers' queues and deliveries; attempts under way go on.
fn unprepare(incident: &mut Incident, core: &mut Core) {
    for (receiver, share) in &mut incident.shares {
        if let Some(outbox) = core.outboxes.get_mut(receiver) {
            match share.place {
                Place::Queued(place) => outbox.remove(place),
                Place::Intent(_) => outbox.cleared(),
                Place::Idle | Place::Ready(_) | Place::Flying(_) => {}
            }
        }
        share.land();
    }
}

/// Tells the storms that the incident is part of that it is over.
fn calm(incident: &Incident, path: &Arc<str>, core: &mut Core) {
    for (receiver, share) in &incident.shares {
        let (Some(storm), Some(outbox)) = (&share.storm, core.outboxes.get_mut(receiver)) else { continue };
        core.touched.extend(outbox.calm(storm, path));
    }
}

/// A new violation begins while a storm that this path was part of goes on with others: their end will be told
/// as the storm's end, so this path leaves it and is told anew.
fn leave_storms(incident: &mut Incident, path: &Arc<str>, core: &mut Core) {
    incident.shares.retain(|receiver, share| {
        let (Some(storm), Some(outbox)) = (&share.storm, core.outboxes.get_mut(receiver)) else {
            return true;
        };
        let leaves = outbox.rages(storm) && share.place == Place::Idle;
        if leaves {
            core.touched.extend(outbox.leave(storm, path));
        }
        !leaves
    });
}
