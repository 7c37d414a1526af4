//! One receiver's turn: choosing what leaves, putting the message together, and noting what became of it.

use std::sync::Arc;

use super::batch::{Batch, BatchStage, Load};
use super::delivery::{Delivery, Step};
use super::incident::Incident;
use super::io::{Attempt, AttemptId, Effect, Report, Tale};
use super::limits::STORM;
use super::paths::Paths;
use super::queue::{Queue, Refresh};
use super::shared::Shared;
use super::tracked::Tracked;
use crate::model::alert_key::AlertKey;
use crate::model::ledger::Mark;
use crate::model::message::{Item, Kind, Notification};
use crate::model::receiver::{Outcome, ReceiverId};
use crate::model::time::Now;

/// What leaves together, before it is put together.
#[derive(Default)]
struct Choice {
    keys: Vec<AlertKey>,
    /// The storm that they are told as.
    storm: Option<Arc<str>>,
    /// Whether more could have left, had there been room.
    full: bool,
}

/// What the choice for a receiver without digests goes by: how the item ends for it, and the storm it was told in.
type Class = (Option<Recovery>, Option<Arc<str>>);

/// How an item that is over ends for the receiver.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Recovery {
    /// It was told, and has to be taken back under the key that it was told under.
    Owed,
    /// It was never told.
    Late,
}

/// One receiver's turn: whatever may leave for it leaves, and what has come back is noted.
pub(super) struct Turn<'a> {
    pub receiver: &'a ReceiverId,
    pub paths: &'a mut Paths,
    pub shared: &'a mut Shared,
    pub now: Now,
}

impl Turn<'_> {
    fn queue(&mut self) -> Option<&mut Queue> {
        self.shared.queues.get_mut(self.receiver)
    }

    /// Starts whatever may leave.
    pub fn pump(&mut self) {
        let now = self.now.mono;
        while self.shared.sends() {
            let Some(queue) = self.queue() else { return };
            let goes_on = match &queue.batch {
                Some(batch) => batch.is_ready() && self.send(),
                None if queue.opens(now) => self.prepare(),
                None if queue.refreshes(now) => self.refresh(),
                None => false,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Puts the next batch together; the ledger is asked to take its intents once all receivers have chosen: one
    /// write then holds the intents of all that chose the same path. Returns whether there is a batch.
    fn prepare(&mut self) -> bool {
        let (group_wait, now) = (self.shared.group_wait, self.now.mono);
        let Some(queue) = self.queue() else { return false };
        let room = queue.open(now);
        let choice = if queue.profile.digest { self.oldest(room) } else { self.alone() };
        let id = AttemptId(self.shared.number());
        let Some(queue) = self.queue() else { return false };
        queue.batch = Some(Batch::new(id));
        let many = choice.keys.len() > 1;
        for key in &choice.keys {
            self.paths.change(key, self.shared, |tracked, shared| {
                if tracked.choose(self.receiver, choice.storm.as_ref(), shared, self.now) && many {
                    tracked.intend_ahead(shared, self.now);
                }
            });
        }
        let Some(queue) = self.queue() else { return false };
        // If nothing is left after all, the next may leave at once. Each that is not has been touched, so that its
        // turn comes within the same run.
        let chosen = queue.batch.take_if(|batch| batch.keys.is_empty()).is_none();
        queue.close(group_wait, choice.full || !chosen, now);
        chosen
    }

    /// The oldest that have room in one message.
    fn oldest(&self, room: usize) -> Choice {
        let waiting = self.shared.queues.get(self.receiver).into_iter().flat_map(Queue::waiting);
        let mut load = Load::default();
        let fits = |key: &&AlertKey| {
            load.takes(self.paths.get(key).map_or(0, |tracked| tracked.size(self.receiver)))
        };
        let keys: Vec<_> = waiting.take(room).take_while(fits).cloned().collect();
        // A receiver that is down is probed with one: the rest can wait.
        Choice { full: room > 1 && (load.is_full || keys.len() == room), keys, storm: None }
    }

    /// One, unless there are too many: then all that can be told as one event. What is out of spec comes before what
    /// is over; of one path the end of an earlier incident still comes first, since nothing else waits for it.
    fn alone(&mut self) -> Choice {
        let Some(queue) = self.shared.queues.get(self.receiver) else { return Choice::default() };
        let is_open = |key: &&AlertKey| self.incident(key).is_some_and(|incident| !incident.is_over());
        let first = queue.waiting().find(is_open).or_else(|| queue.waiting().next());
        let Some(first) = first else { return Choice::default() };
        let one = Choice { keys: vec![first.clone()], ..Choice::default() };
        let (recovery, storm) = self.class(first);
        // What was told by itself has to be taken back by itself.
        if storm.is_none() && (recovery == Some(Recovery::Owed) || queue.len() <= STORM) {
            return one;
        }
        let same = |key: &&AlertKey| self.class(key) == (recovery, storm.clone());
        let keys: Vec<_> = queue.waiting().filter(same).cloned().collect();
        if storm.is_none() && keys.len() <= STORM {
            return one;
        }
        let storm = storm.unwrap_or_else(|| self.shared.incident_id());
        Choice { keys, storm: Some(storm), full: false }
    }

    fn incident(&self, key: &AlertKey) -> Option<&Incident> {
        self.paths.get(key)?.incident.as_ref()
    }

    fn class(&self, key: &AlertKey) -> Class {
        let incident = self.incident(key);
        let delivery = incident.and_then(|incident| incident.entry.receivers.get(self.receiver));
        let Some((incident, delivery)) = incident.zip(delivery) else { return (Some(Recovery::Late), None) };
        let pending = delivery.progress.firing == Mark::Pending;
        let recovery = if pending { Recovery::Late } else { Recovery::Owed };
        let over = incident.is_over() || delivery.is_behind(incident.id());
        (over.then_some(recovery), delivery.progress.storm.clone())
    }

    /// The ledger holds all intents: makes the attempt. What is not to be told any more is left out.
    fn send(&mut self) -> bool {
        let Some(queue) = self.queue() else { return false };
        let digest = queue.profile.digest;
        let Some(mut batch) = queue.batch.take() else { return false };
        let mut items = Vec::with_capacity(batch.keys.len());
        let mut load = Load::default();
        batch.keys.retain(|key| {
            // The words may have become more since it was chosen. A storm is one event, however many it holds.
            if digest && !load.takes(self.paths.get(key).map_or(0, |tracked| tracked.size(self.receiver))) {
                self.step_each(std::slice::from_ref(key), Step::Outdated);
                return false;
            }
            let leave =
                |tracked: &mut Tracked, shared: &mut _| tracked.leave(self.receiver, shared, self.now);
            let item = self.paths.change(key, self.shared, leave).flatten();
            let told = item.is_some();
            items.extend(item);
            told
        });
        self.attempt(Batch { stage: BatchStage::Sending, ..batch }, items)
    }

    /// Tells again what a receiver would forget.
    fn refresh(&mut self) -> bool {
        let Some(queue) = self.queue() else { return false };
        let every = queue.profile.refresh;
        let (after, limit) = queue.take_refresh();
        let known = self.paths.after(after.as_ref()).filter(|tracked| tracked.is_known_to(self.receiver));
        let told = known
            .filter_map(|tracked| Some((tracked.key().clone(), tracked.item(Kind::Refresh, self.receiver)?)));
        let mut load = Load::default();
        let told = told.take(limit).take_while(|(_, item)| load.takes(item.size()));
        let (keys, items): (Vec<_>, Vec<_>) = told.unzip();
        let last = keys.last().filter(|_| load.is_full || keys.len() == limit).cloned();
        let next = if last.is_some() {
            Some(self.now.mono)
        } else {
            every.and_then(|e| self.now.mono.checked_add(e))
        };
        let id = AttemptId(self.shared.number());
        if let Some(queue) = self.queue() {
            queue.refresh = next.map(|at| Refresh { at, after: last });
        }
        self.attempt(Batch { id, keys, stage: BatchStage::Refreshing { after } }, items)
    }

    /// Asks for the attempt, unless there is nothing left to tell. The receiver's turn goes on either way.
    fn attempt(&mut self, batch: Batch, items: Vec<Item>) -> bool {
        let (Some(epoch), false) = (self.shared.lease, items.is_empty()) else { return true };
        let id = batch.id;
        let speaker = &self.shared.speaker;
        let (cluster, agent) = (Arc::clone(&speaker.cluster), Arc::clone(&speaker.agent));
        // Where the page is the shell knows.
        let notification = Notification { cluster, agent, page: None, items };
        let receiver = self.receiver.clone();
        self.shared.effects.push(Effect::Attempt(Attempt { id, epoch, receiver, notification }));
        if let Some(queue) = self.queue() {
            queue.batch = Some(batch);
        }
        true
    }

    /// An attempt ended. Of a message that is sent again in halves each item is as if it had not been tried.
    pub fn conclude(&mut self, batch: &Batch, outcome: &Outcome) {
        self.shared.version += 1;
        let mut halved = false;
        let tale = if *outcome == Outcome::Accepted { self.tale(batch) } else { None };
        if let Some(queue) = self.shared.queues.get_mut(self.receiver) {
            halved = queue.halves(outcome, batch);
            let reports = queue.on_outcome(outcome, batch, &mut self.shared.jitter, self.now);
            if let (BatchStage::Refreshing { after }, Some(refresh), true) =
                (&batch.stage, &mut queue.refresh, halved)
            {
                *refresh = Refresh { at: self.now.mono, after: after.clone() };
            }
            let told = tale.map(|tale| Report::Told(queue.profile.label(), tale));
            reports.into_iter().chain(told).for_each(|report| self.shared.log(report));
        }
        let outcome = if halved { &Outcome::NotTried } else { outcome };
        for key in batch.keys.iter().filter(|_| !batch.is_refresh()) {
            // A path may have been forgotten while the attempt was under way.
            self.paths.change(key, self.shared, |tracked, shared| {
                tracked.on_outcome(self.receiver, outcome, shared, self.now);
            });
        }
        if !self.queue().is_some_and(|queue| queue.takes_digests()) {
            self.take_back();
        }
        if self.queue().is_some_and(|queue| queue.has_just_failed()) {
            self.tell_of_what_waits();
        }
        if self.queue().is_some_and(|queue| queue.retired) {
            self.shared.queues.remove(self.receiver);
        }
    }

    /// What a batch that was taken has told. Telling again is no news.
    fn tale(&self, batch: &Batch) -> Option<Tale> {
        let sent = batch.keys.iter().filter(|_| !batch.is_refresh()).filter_map(|key| {
            let delivery = self.paths.get(key)?.delivery(self.receiver)?;
            Some((key, delivery.sending()?, &delivery.progress.incident))
        });
        let firing = sent.clone().filter(|(_, kind, _)| kind.is_firing()).count();
        let (key, kind, incident) = sent.clone().next()?;
        Some(Tale { firing, over: sent.count() - firing, first: (key.clone(), kind, Arc::clone(incident)) })
    }

    /// What waits does so for long: the ledger has to hear of it.
    fn tell_of_what_waits(&mut self) {
        let waiting = self.shared.queues.get(self.receiver).into_iter().flat_map(Queue::waiting);
        let waiting: Vec<_> = waiting.cloned().collect();
        waiting.into_iter().for_each(|key| self.shared.touch(key));
    }

    /// The receiver will not come to its queue soon after all: what was intended ahead is taken back.
    fn take_back(&mut self) {
        let waiting = self.shared.queues.get(self.receiver).into_iter().flat_map(Queue::waiting);
        let delivery = |key: &AlertKey| self.paths.get(key)?.delivery(self.receiver);
        let intended = waiting.filter(|key| delivery(key).is_some_and(Delivery::is_intended_ahead));
        self.step_each(&intended.cloned().collect::<Vec<_>>(), Step::NotAhead);
    }

    /// The process is about to end: what was prepared is noted as not tried, and what waits as owed.
    pub fn park(&mut self) {
        let Some(queue) = self.queue() else { return };
        if let Some(batch) = queue.batch.take_if(|batch| !batch.is_sending()) {
            self.step_each(&batch.keys, Step::Parked);
        }
        self.take_back();
        self.tell_of_what_waits();
    }

    fn step_each(&mut self, keys: &[AlertKey], step: Step) {
        for key in keys {
            let take = |tracked: &mut Tracked, shared: &mut _| tracked.step(self.receiver, step, shared);
            self.paths.change(key, self.shared, take);
        }
    }
}
