//! From a queue to an attempt: choosing what leaves, noting the intents, and putting the message together.

use std::sync::Arc;

use super::effect::{Delivery, DeliveryId, Effect, Event};
use super::outbox::{Flight, Outbox, Refresh};
use super::share::{Need, Place};
use super::{DIGEST, Dispatcher, STORM};
use crate::model::ledger::Mark;
use crate::model::message::{Item, Kind, Notification};
use crate::model::receiver::ReceiverId;
use crate::model::time::Now;

/// What leaves together.
#[derive(Default)]
struct Choice {
    /// Places in the queue and paths.
    items: Vec<(u64, Arc<str>)>,
    /// The storm that they are told as.
    storm: Option<Arc<str>>,
    /// Whether more could have left, had there been room.
    full: bool,
}

/// What the choice for a receiver without digests goes by.
#[derive(Clone, PartialEq, Eq)]
struct Class {
    ending: Option<Ending>,
    storm: Option<Arc<str>>,
}

/// How an item that is over ends for the receiver.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It was told, and has to be taken back under the key that it was told under.
    Resolved,
    /// It was never told.
    Late,
}

impl Dispatcher {
    /// Starts no more attempts: the process is about to end. Outcomes are still noted, and so is that what was
    /// prepared was not tried.
    pub fn park(&mut self, now: Now) -> Vec<Effect> {
        self.core.parked = true;
        for (receiver, outbox) in &mut self.core.outboxes {
            let Some(flight) = outbox.flight.take_if(|flight| !flight.emitted) else { continue };
            for path in flight.paths {
                let Some(case) = self.cases.get_mut(&path) else { continue };
                let incident = case.incident.as_mut();
                let Some(share) = incident.and_then(|incident| incident.shares.get_mut(receiver)) else {
                    continue;
                };
                share.land();
                case.record.wanted = true;
                self.core.touched.insert(path);
            }
        }
        let receivers: Vec<ReceiverId> = self.core.outboxes.keys().cloned().collect();
        receivers.iter().for_each(|receiver| self.unplan(receiver));
        self.run(now)
    }

    /// Starts whatever may leave for one receiver.
    pub(super) fn pump(&mut self, receiver: &ReceiverId, now: Now) {
        while self.core.sends() {
            let Some(outbox) = self.core.outboxes.get(receiver) else { return };
            match &outbox.flight {
                Some(flight) if flight.emitted || flight.waiting > 0 => return,
                Some(_) => self.emit(receiver, now),
                None if outbox.opens_at().is_some_and(|gate| gate.is_open(now.mono)) => {
                    self.prepare(receiver, now);
                }
                None if outbox.refreshes_at().is_some_and(|gate| gate.is_open(now.mono)) => {
                    self.refresh(receiver, now);
                }
                None => return,
            }
        }
    }

    /// Chooses what leaves next, and asks the ledger to take the intents.
    fn prepare(&mut self, receiver: &ReceiverId, now: Now) {
        let Some(outbox) = self.core.outboxes.get_mut(receiver) else { return };
        if outbox.queue_len() == 0 {
            return;
        }
        let room = outbox.depart(now.mono);
        let digest = outbox.profile.digest;
        let choice = if digest { self.digest(receiver, room) } else { self.alone(receiver) };
        let many = choice.items.len() > 1;
        let mut paths = Vec::with_capacity(choice.items.len());
        for (place, path) in choice.items {
            if let Some(outbox) = self.core.outboxes.get_mut(receiver) {
                outbox.remove(place);
            }
            if !self.gave_up(receiver, &path, now) && self.plan(receiver, &path, choice.storm.as_ref(), now) {
                if many {
                    self.plan_ahead(&path, now);
                }
                paths.push(path);
            }
        }
        let id = DeliveryId(self.core.number());
        let group_wait = self.core.group_wait;
        let Some(outbox) = self.core.outboxes.get_mut(receiver) else { return };
        if paths.is_empty() {
            // Nothing left after all: the next may leave at once.
            return outbox.departed(group_wait, true, now.mono);
        }
        let waiting = paths.len();
        outbox.departed(group_wait, choice.full, now.mono);
        outbox.flight = Some(Flight { id, paths: paths.clone(), waiting, emitted: false, refresh: false });
        // Written once all receivers have chosen: one write then holds the intents of all that chose the same path.
        for path in paths {
            if let Some(case) = self.cases.get_mut(&path) {
                case.record.wanted = true;
                self.core.touched.insert(path);
            }
        }
    }

    /// The oldest that have room in one message.
    fn digest(&self, receiver: &ReceiverId, room: usize) -> Choice {
        let queue = self.core.outboxes.get(receiver).into_iter().flat_map(Outbox::queued);
        let items: Vec<_> = queue.map(|(place, path)| (place, Arc::clone(path))).take(room.max(1)).collect();
        Choice { full: items.len() == DIGEST, items, storm: None }
    }

    /// One, unless there are too many: then all that can be told as one event.
    fn alone(&mut self, receiver: &ReceiverId) -> Choice {
        let Some(outbox) = self.core.outboxes.get(receiver) else { return Choice::default() };
        let Some((place, path)) = outbox.queued().next().map(|(place, path)| (place, Arc::clone(path)))
        else {
            return Choice::default();
        };
        let class = self.class(receiver, &path);
        // What was told by itself has to be taken back by itself.
        let alone = class.storm.is_none() && class.ending == Some(Ending::Resolved);
        if alone || (class.storm.is_none() && outbox.queue_len() <= STORM) {
            return Choice { items: vec![(place, path)], ..Choice::default() };
        }
        let same = outbox.queued().filter(|(_, path)| self.class(receiver, path) == class);
        let items: Vec<_> = same.map(|(place, path)| (place, Arc::clone(path))).collect();
        if class.storm.is_none() && items.len() <= STORM {
            return Choice { items: vec![(place, path)], ..Choice::default() };
        }
        let storm = class.storm.unwrap_or_else(|| self.core.incident_id());
        Choice { items, storm: Some(storm), full: false }
    }

    fn class(&self, receiver: &ReceiverId, path: &Arc<str>) -> Class {
        let incident = self.cases.get(path).and_then(|case| case.incident.as_ref());
        let share = incident.and_then(|incident| Some((incident, incident.shares.get(receiver)?)));
        let Some((incident, share)) = share else { return Class { ending: Some(Ending::Late), storm: None } };
        let over = incident.until.is_some() || share.is_behind(&incident.id);
        let ending = if share.firing == Mark::Pending { Ending::Late } else { Ending::Resolved };
        Class { ending: over.then_some(ending), storm: share.storm.clone() }
    }

    /// Marks one path's share as about to be told.
    fn plan(&mut self, receiver: &ReceiverId, path: &Arc<str>, storm: Option<&Arc<str>>, now: Now) -> bool {
        let Some(case) = self.cases.get_mut(path) else { return false };
        let view = case.view(path, &self.core, now);
        let Some(incident) = &mut case.incident else { return false };
        let Some(share) = incident.shares.get_mut(receiver) else { return false };
        let need = share.need(&incident.id, &view);
        share.place = need.map_or(Place::Idle, Place::Intent);
        match need {
            Some(Need::Firing | Need::Late) => {
                share.told = Arc::clone(&incident.id);
                share.storm = storm.cloned();
            }
            Some(Need::Resolved | Need::Reminder(_) | Need::Notice) | None => {}
        }
        need.is_some()
    }

    /// Has the write that is about to be made hold the intents of the receivers that will come to this path soon.
    /// In a storm each would need a write of its own, since they do not keep step.
    fn plan_ahead(&mut self, path: &Arc<str>, now: Now) {
        let Some(case) = self.cases.get_mut(path) else { return };
        let view = case.view(path, &self.core, now);
        let Some(incident) = &mut case.incident else { return };
        for (receiver, share) in &mut incident.shares {
            let soon = self.core.outboxes.get(receiver).is_some_and(Outbox::takes_digests);
            if soon && share.told == incident.id && matches!(share.place, Place::Queued(_)) {
                share.ahead = share.need(&incident.id, &view);
            }
        }
    }

    /// A receiver will not come to its queue soon after all: what was noted ahead is taken back.
    pub(super) fn unplan(&mut self, receiver: &ReceiverId) {
        let Some(outbox) = self.core.outboxes.get(receiver) else { return };
        for (_, path) in outbox.queued() {
            let Some(case) = self.cases.get_mut(path) else { continue };
            let share = case.incident.as_mut().and_then(|incident| incident.shares.get_mut(receiver));
            if share.is_some_and(|share| share.ahead.take().is_some()) {
                case.record.wanted = true;
                self.core.touched.insert(Arc::clone(path));
            }
        }
    }

    /// Gives up what was tried for too long; says whether it was.
    fn gave_up(&mut self, receiver: &ReceiverId, path: &Arc<str>, now: Now) -> bool {
        let Some(case) = self.cases.get_mut(path) else { return false };
        let view = case.view(path, &self.core, now);
        let Some(incident) = &mut case.incident else { return false };
        let Some(share) = incident.shares.get_mut(receiver) else { return false };
        let need = share.need(&incident.id, &view);
        if !share.is_hopeless(now.mono) || matches!(need, Some(Need::Reminder(_) | Need::Notice) | None) {
            return false;
        }
        share.place = Place::Idle;
        share.give_up(need);
        case.record.wanted = true;
        self.core.touched.insert(Arc::clone(path));
        let Some(outbox) = self.core.outboxes.get_mut(receiver) else { return true };
        outbox.status.refused += 1;
        let name = Arc::clone(&outbox.profile.name);
        if need == Some(Need::Firing) {
            incident.notice(receiver, &format!("{name} could not be told for a day"));
        }
        self.core.log(Event::GaveUp(name, Arc::clone(path)));
        true
    }

    /// Makes the attempt whose intents the ledger has taken. What is not to be told any more is left out.
    fn emit(&mut self, receiver: &ReceiverId, now: Now) {
        let Some(epoch) = self.core.lease else { return };
        let Some(outbox) = self.core.outboxes.get_mut(receiver) else { return };
        let Some(mut flight) = outbox.flight.take() else { return };
        let mut items = Vec::with_capacity(flight.paths.len());
        flight.paths.retain(|path| {
            let item = self.item(receiver, path, now);
            let told = item.is_some();
            items.extend(item);
            told
        });
        self.launch(receiver, flight, items, epoch);
    }

    /// Tells again what a receiver would forget.
    fn refresh(&mut self, receiver: &ReceiverId, now: Now) {
        let Some(epoch) = self.core.lease else { return };
        let Some(outbox) = self.core.outboxes.get_mut(receiver) else { return };
        let Some(refresh) = &mut outbox.refresh else { return };
        let after = refresh.after.take();
        let every = outbox.profile.refresh;
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let range = self.cases.range::<Arc<str>, _>((from, std::ops::Bound::Unbounded));
        let told = range.filter_map(|(path, case)| {
            let incident = case.incident.as_ref().filter(|incident| incident.until.is_none())?;
            let share = incident.shares.get(receiver)?;
            let firing = share.firing == Mark::Sent && share.told == incident.id && !case.alert.is_inactive();
            firing.then(|| (Arc::clone(path), case.describe(path, Kind::Refresh, receiver)))
        });
        let (paths, items): (Vec<_>, Vec<_>) = told.take(DIGEST).unzip();
        let last = paths.last().filter(|_| paths.len() == DIGEST).cloned();
        let at =
            if last.is_some() { Some(now.mono) } else { every.and_then(|every| now.mono.checked_add(every)) };
        outbox.refresh = at.map(|at| Refresh { at, after: last });
        let id = DeliveryId(self.core.number());
        let flight = Flight { id, paths, waiting: 0, emitted: false, refresh: true };
        self.launch(receiver, flight, items.into_iter().flatten().collect(), epoch);
    }

    fn launch(&mut self, receiver: &ReceiverId, flight: Flight, items: Vec<Item>, epoch: u64) {
        let Some(outbox) = self.core.outboxes.get_mut(receiver).filter(|_| !items.is_empty()) else { return };
        let id = flight.id;
        outbox.flight = Some(Flight { emitted: true, ..flight });
        let identity = &self.core.identity;
        let (cluster, agent) = (Arc::clone(&identity.cluster), Arc::clone(&identity.agent));
        let notification = Notification { cluster, agent, items };
        self.core.effects.push(Effect::Deliver(Delivery {
            id,
            epoch,
            receiver: receiver.clone(),
            notification,
        }));
    }

    /// One item of a message, if it still has to be told as was planned.
    fn item(&mut self, receiver: &ReceiverId, path: &Arc<str>, now: Now) -> Option<Item> {
        let case = self.cases.get_mut(path)?;
        let view = case.view(path, &self.core, now);
        let incident = case.incident.as_mut()?;
        let share = incident.shares.get_mut(receiver)?;
        let Place::Ready(planned) = share.place else { return None };
        let Some(need) = share.still(planned, &incident.id, &view) else {
            share.place = Place::Idle;
            case.record.wanted = true;
            self.core.touched.insert(Arc::clone(path));
            return None;
        };
        share.place = Place::Flying(need);
        share.noticing = view.notices;
        let kind = match need {
            Need::Firing => Kind::Firing,
            Need::Resolved => Kind::Resolved,
            Need::Late => Kind::Late,
            Need::Reminder(number) => Kind::Reminder(number),
            Need::Notice => Kind::Notice,
        };
        case.describe(path, kind, receiver)
    }
}
