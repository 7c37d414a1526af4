//! One incident, open or over: its two ends, and how far each receiver is.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::delivery::{Delivery, Due, Situation};
use super::shared::Shared;
use super::storm::Storms;
use super::unreported::Episode;
use crate::model::alert_key::AlertKey;
use crate::model::judge::Course;
use crate::model::labels::Labels;
use crate::model::ledger::{Entry, Mark, Past};
use crate::model::receiver::ReceiverId;
use crate::model::rule::Rule;
use crate::model::time::Now;

/// An incident, as the agent that leads, or led, knows it. It is forgotten once everybody has heard of its end and its
/// entry is gone.
#[derive(Clone, Debug)]
pub(super) struct Incident {
    /// What the ledger holds, or would, with all that this process knows of the receivers.
    pub entry: Entry<Delivery>,
    /// When it began by this process's clock that never steps: timers go by that. `entry.since` is for those who read.
    began: Instant,
    /// The repeat interval by which it was reckoned last what reminders are due.
    interval: Option<Duration>,
    /// What to tell the others: who refused, and the words.
    pub notices: Vec<(ReceiverId, Arc<str>)>,
}

impl Incident {
    pub fn new(key: &AlertKey, id: Arc<str>, since: Now, message: Arc<str>, rule: &Rule) -> Self {
        let deliveries = rule.terms.receivers.iter().map(|receiver| (receiver.clone(), Delivery::new(&id)));
        let entry = Entry {
            epoch: 0,
            receivers: deliveries.collect(),
            incident: id,
            key: key.clone(),
            since: since.wall,
            until: None,
            message,
            labels: rule.labels(),
            base: None,
            ending: None,
            former: Vec::new(),
            missed: 0,
            extra: "".into(),
        };
        let interval = rule.terms.repeat_interval;
        Self { entry, began: since.mono, interval, notices: Vec::new() }
    }

    /// One that is over already, and that nobody was told of.
    pub fn unreported(key: &AlertKey, id: Arc<str>, episode: &Episode, rule: &Rule, now: Instant) -> Self {
        let message = Arc::clone(&episode.message);
        let mut incident = Self::new(key, id, episode.since, message, rule);
        incident.end_unreported(episode, now);
        incident
    }

    /// The same after an incident that is over, of which some have yet to hear.
    pub fn reopen_unreported(&mut self, id: Arc<str>, episode: &Episode, rule: &Rule, now: Instant) {
        self.reopen(id, episode.since, Arc::clone(&episode.message), rule);
        self.end_unreported(episode, now);
    }

    /// It has just begun, and is over. Who has yet to hear of an earlier one is told after that.
    fn end_unreported(&mut self, episode: &Episode, now: Instant) {
        let entry = &mut self.entry;
        (entry.missed, entry.ending) = (entry.missed.saturating_add(episode.missed), episode.ending.clone());
        self.close(episode.until.wall, now);
        for delivery in self.entry.receivers.values_mut() {
            delivery.missed |= episode.missed > 0;
            if delivery.progress.incident == self.entry.incident {
                delivery.due = Due::Since(now);
            } else {
                delivery.waits = true;
            }
        }
    }

    /// Takes over an entry of the ledger. `mine` is what this process holds of the path, `mine_is_newest`
    /// whether nobody but this process has written the entry since. What was refused is tried again, once by each
    /// lease; reminders that were due by now were sent by another agent.
    pub fn adopt(
        entry: &Entry,
        mine: Option<Self>,
        mine_is_newest: bool,
        interval: Option<Duration>,
        now: Now,
    ) -> Self {
        let began = now.mono_at(entry.since);
        let reminded = reminder(began, interval, now.mono);
        let mut adopted = mine.as_ref().filter(|_| mine_is_newest).cloned().unwrap_or_else(|| {
            let known = mine.as_ref().map(|mine| &mine.entry.receivers);
            let entry = entry.with_receivers(|receiver, progress| {
                let mine = known.and_then(|known| known.get(receiver));
                Delivery::adopted(progress, entry, mine, reminded, now.mono)
            });
            Self { entry, began, interval, notices: Vec::new() }
        });
        adopted.try_again(now.mono);
        adopted
    }

    pub fn id(&self) -> &Arc<str> {
        &self.entry.incident
    }

    pub fn is_over(&self) -> bool {
        self.entry.until.is_some()
    }

    /// Does something in each storm that a receiver was told of the incident in; the paths that come of it are looked
    /// at.
    pub fn each_storm<I: IntoIterator<Item = AlertKey>>(
        &self,
        shared: &mut Shared,
        mut act: impl FnMut(&mut Storms, &Arc<str>) -> I,
    ) {
        for (receiver, delivery) in self.entry.receivers.iter() {
            if let (Some(id), Some(queue)) = (&delivery.progress.storm, shared.queues.get_mut(receiver)) {
                act(&mut queue.storms, id).into_iter().for_each(|key| shared.touch(key));
            }
        }
    }

    /// The receiver that can be told in the place of one that has left: the rule's only one that can be and has no
    /// part in the incident.
    pub fn heir(&self, receivers: &[ReceiverId], shared: &Shared) -> Option<ReceiverId> {
        let mut heirs = receivers.iter().filter(|id| {
            let replaceable = shared.queues.get(id).is_some_and(|queue| queue.profile.is_replaceable());
            replaceable && self.entry.receivers.get(id).is_none()
        });
        heirs.next().filter(|_| heirs.next().is_none()).cloned()
    }

    /// The receiver `heir` is told in the place of one that is not any more.
    pub fn bequeath(&mut self, part: Delivery, heir: ReceiverId, shared: &mut Shared) {
        if let (Some(storm), Some(queue)) = (&part.progress.storm, shared.queues.get_mut(&heir)) {
            queue.storms.join(storm, &self.entry.key, self.is_over());
        }
        self.entry.receivers.insert_new(heir, || part.bequeathed());
    }

    /// A new violation of the same path begins before all receivers have heard of the end of the last one.
    ///
    /// A receiver that is owed the recovery of an earlier one gets that first. One that never heard of the
    /// earlier one at all is told of the new one alone, and that it missed some.
    pub fn reopen(&mut self, id: Arc<str>, since: Now, message: Arc<str>, rule: &Rule) {
        let (entry, receivers) = (&mut self.entry, &rule.terms.receivers);
        let until = entry.until.unwrap_or(since.wall);
        let (words, labels) = (Arc::clone(&entry.message), Arc::clone(&entry.labels));
        let past = Past { message: words, since: entry.since, until, ending: entry.ending.take(), labels };
        let mut missed = 0;
        entry.receivers.retain(|receiver, delivery| {
            let (firing, resolved) = (delivery.progress.firing, delivery.progress.resolved);
            if delivery.progress.incident != entry.incident {
                // It has not come to the incident that ends here, and will never hear of that.
                if delivery.waits || firing == Mark::Pending {
                    (missed, delivery.missed, delivery.waits) = (1, true, false);
                }
                return firing != Mark::Pending || receivers.contains(receiver);
            }
            let owed = match firing {
                Mark::Pending => delivery.sending().is_some(),
                Mark::Sent | Mark::Ambiguous => resolved.is_open() || delivery.sending().is_some(),
                Mark::Refused => false,
            };
            let untold = firing == Mark::Pending && matches!(delivery.due, Due::Since(_));
            let heard = matches!(firing, Mark::Sent | Mark::Ambiguous);
            if owed {
                delivery.progress.past = Some(past.clone());
            } else if untold {
                (missed, delivery.missed) = (1, true);
            } else if heard {
                // It stays known that this receiver has heard of the end: the ledger may not say so yet.
                *delivery = delivery.next(&id, since.mono);
            }
            owed || ((untold || heard) && receivers.contains(receiver))
        });
        for receiver in receivers {
            entry.receivers.insert_new(receiver.clone(), || Delivery::new(&id));
        }
        (entry.incident, entry.since, entry.until, entry.message) = (id, since.wall, None, message);
        (entry.labels, entry.base) = (rule.labels(), None);
        (self.began, self.interval) = (since.mono, rule.terms.repeat_interval);
        entry.missed = entry.missed.saturating_add(missed);
        self.notices.clear();
        for delivery in entry.receivers.values_mut() {
            (delivery.notices_told, delivery.reminded) = (0, 0);
        }
    }

    /// How the number of children has gone. Returns whether the ledger has to hear of it.
    pub fn note_course(&mut self, course: Option<&Course>) -> bool {
        let entry = &mut self.entry;
        let (base, ending) = match course {
            None => return false,
            Some(Course::Fallen(base)) => (Some(*base), None),
            // What it was measured by is of no use any more.
            Some(Course::Ended(words)) => (None, Some(Arc::clone(words))),
        };
        let changed = (entry.base, &entry.ending) != (base, &ending) && entry.until.is_none();
        if changed {
            (entry.base, entry.ending) = (base, ending);
        }
        changed
    }

    /// The path is back in spec. By another agent's clock, or by one that stepped, that may be before its beginning.
    pub fn close(&mut self, until: SystemTime, now: Instant) {
        self.entry.until = Some(until.max(self.entry.since));
        let deliveries = self.entry.receivers.values_mut();
        for delivery in deliveries.filter(|delivery| delivery.progress.firing != Mark::Pending) {
            delivery.due = Due::Since(now);
        }
    }

    /// What was refused or given up is tried again, while there is an alert to tell.
    pub fn try_again(&mut self, now: Instant) {
        if !self.is_over() {
            self.entry.receivers.values_mut().for_each(|delivery| delivery.try_again(now));
        }
    }

    /// An attempt to tell the receiver has ended, before which its alert was marked so. Returns whether it has now
    /// refused the alert, and that is news.
    pub fn on_outcome(&mut self, receiver: &ReceiverId, before: Mark) -> bool {
        let entry = &mut self.entry;
        let Some(delivery) = entry.receivers.get_mut(receiver) else { return false };
        let firing = delivery.progress.firing;
        // A new violation began while the attempt to tell of the last one was under way, and failed.
        if firing == Mark::Pending && delivery.progress.incident != entry.incident && !delivery.missed {
            delivery.missed = true;
            entry.missed = entry.missed.saturating_add(1);
        }
        firing == Mark::Refused && before != Mark::Refused && !delivery.was_refused
    }

    /// Receivers that have heard of the end of an earlier incident turn to the open one, if they belong to it.
    pub fn catch_up(
        &mut self,
        receivers: &[ReceiverId],
        view: &Situation,
        known: impl Fn(&ReceiverId) -> bool,
    ) {
        let id = &self.entry.incident;
        self.entry.receivers.retain(|receiver, delivery| {
            let told = match delivery.progress.firing {
                Mark::Pending => false,
                Mark::Sent | Mark::Ambiguous => !delivery.progress.resolved.is_open(),
                Mark::Refused => true,
            };
            let other = delivery.progress.incident != *id;
            delivery.waits |= other && view.firing && !view.silenced;
            let done = told && other && delivery.is_idle();
            if done {
                *delivery = delivery.next(id, view.now);
            }
            !done || (receivers.contains(receiver) && known(receiver))
        });
    }

    /// Whether each delivery is one of the combinations in the docs of [`Delivery`].
    pub fn is_legal(&self) -> bool {
        let Entry { incident, missed, receivers, .. } = &self.entry;
        receivers.values().all(|delivery| delivery.is_legal(incident, *missed))
    }

    /// Whether nobody has to hear of it any more.
    pub fn is_done(&self, view: &Situation) -> bool {
        self.is_over() && self.entry.receivers.values().all(|delivery| delivery.is_done(view))
    }

    /// What the ledger has to hold. A refusal that the others have yet to be told of is none there: should this agent
    /// die before that, who leads next hears it from the receiver itself, as news.
    pub fn as_stored(&self, epoch: u64) -> Entry {
        let entry = self.entry.with_receivers(|receiver, delivery| {
            let mut progress = delivery.as_stored();
            if progress.firing == Mark::Refused && self.owes_notice_of(receiver) {
                progress.firing = Mark::Pending;
            }
            progress
        });
        Entry { epoch, ..entry }
    }

    /// Whether another receiver is yet to be told that this one was not.
    fn owes_notice_of(&self, receiver: &ReceiverId) -> bool {
        let last = self.notices.iter().rposition(|(of, _)| of == receiver).filter(|_| !self.is_over());
        last.is_some_and(|last| {
            let mut others = self.entry.receivers.iter().filter(|(other, _)| *other != receiver);
            others.any(|(_, other)| other.is_to_hear_of(self.id(), last))
        })
    }

    /// Its beginning on both clocks.
    pub fn began(&self) -> Now {
        Now { mono: self.began, wall: self.entry.since }
    }

    /// Reminders are due by this interval from now on. By another one than before, all that would have been due count as
    /// sent: nothing is told because a configuration was read.
    pub fn remind_by(&mut self, interval: Option<Duration>, now: Instant) {
        if std::mem::replace(&mut self.interval, interval) != interval {
            let due = self.reminder(now);
            self.entry.receivers.values_mut().for_each(|delivery| delivery.reminded = due);
        }
    }

    /// The last reminder that is due, by the seconds from its beginning to when it was; 0 if none is.
    pub fn reminder(&self, now: Instant) -> u32 {
        reminder(self.began, self.interval, now)
    }

    /// When the next one will be.
    pub fn reminds_at(&self, now: Instant) -> Option<Instant> {
        let passed = intervals(self.began, self.interval, now).saturating_add(1);
        self.began.checked_add(self.interval?.checked_mul(passed)?)
    }

    /// Something to tell the other receivers.
    pub fn notice(&mut self, receiver: &ReceiverId, words: &str) {
        self.notices.push((receiver.clone(), words.into()));
    }

    /// What a receiver is told beside the violation itself.
    pub fn notes(&self, receiver: &ReceiverId, delivery: &Delivery) -> Vec<String> {
        let missed = (delivery.missed && self.entry.missed > 0).then(|| {
            format!(
                "Earlier violations of this path ended before every receiver could be told: {}",
                self.entry.missed
            )
        });
        let ending = match (&delivery.progress.past, delivery.is_behind(self.id())) {
            (Some(past), true) => past.ending.as_ref(),
            (None, true) => None,
            (_, false) => self.entry.ending.as_ref().filter(|_| self.is_over()),
        };
        let ending = ending.map(|words| words.to_string());
        let others = self.notices.iter().filter(|(other, _)| other != receiver);
        missed.into_iter().chain(ending).chain(others.map(|(_, words)| words.to_string())).collect()
    }

    /// The message, beginning and end of the incident that a receiver has to hear of.
    pub fn told_to<'a>(&'a self, delivery: &'a Delivery) -> (&'a Arc<str>, SystemTime, Option<SystemTime>) {
        let entry = &self.entry;
        let (message, since, until) = match (&delivery.progress.past, delivery.is_behind(self.id())) {
            (Some(past), true) => (&past.message, past.since, Some(past.until)),
            // Its own ends are not known any more; it was over before the open one began.
            (None, true) => (&entry.message, entry.since, Some(entry.since)),
            (_, false) => (&entry.message, entry.since, entry.until),
        };
        // An entry may say otherwise.
        (message, since, until.map(|until| until.max(since)))
    }

    /// The labels of that incident.
    pub fn labels_of(&self, delivery: &Delivery) -> Arc<Labels> {
        match (&delivery.progress.past, delivery.is_behind(self.id())) {
            (Some(past), true) => Arc::clone(&past.labels),
            (None, true) => Arc::new(Labels::of_old(self.entry.key.name.as_ref())),
            (_, false) => Arc::clone(&self.entry.labels),
        }
    }
}

/// How many intervals have passed since then.
fn intervals(began: Instant, interval: Option<Duration>, now: Instant) -> u32 {
    let Some(interval) = interval else { return 0 };
    let age = now.saturating_duration_since(began);
    u32::try_from(age.as_millis() / interval.as_millis().max(1)).unwrap_or(u32::MAX)
}

/// The last reminder that is due, by the seconds from then on: an interval has at least one, so that each reminder of an
/// incident has a number of its own, whatever intervals there were.
fn reminder(began: Instant, interval: Option<Duration>, now: Instant) -> u32 {
    let due = interval.unwrap_or_default().saturating_mul(intervals(began, interval, now));
    u32::try_from(due.as_secs()).unwrap_or(u32::MAX)
}
