//! What became of an attempt, and what follows for each of its items.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Dispatcher;
use super::case::Case;
use super::effect::{DeliveryId, Event};
use super::incident::Incident;
use super::outbox::Outbox;
use super::share::{Need, Overtaken, Place, Share, is_open};
use crate::model::ledger::Mark;
use crate::model::message::{Item, Kind};
use crate::model::receiver::{Outcome, ReceiverId};
use crate::model::time::Now;

/// How long after a recovery it is told once more to a receiver that an overtaken alert may have reached since.
const ONCE_MORE: Duration = Duration::from_secs(60);
/// How much of a receiver's answer is kept, in bytes.
const REASON: usize = 300;

impl Dispatcher {
    /// An attempt ended.
    pub(super) fn land(&mut self, delivery: DeliveryId, outcome: &Outcome, now: Now) {
        let mut outboxes = self.core.outboxes.iter_mut();
        let found = outboxes.find_map(|(receiver, outbox)| {
            let flight = outbox.flight.take_if(|flight| flight.emitted && flight.id == delivery)?;
            Some((receiver.clone(), flight))
        });
        let Some((receiver, flight)) = found else { return };
        self.core.version += 1;
        self.judge_receiver(&receiver, outcome, flight.paths.len(), flight.refresh, now);
        let paths = if flight.refresh { Vec::new() } else { flight.paths };
        for path in paths {
            let Some(case) = self.cases.get_mut(&path) else { continue };
            let outbox = self.core.outboxes.get_mut(&receiver);
            case.landed(&receiver, &path, outcome, outbox, now);
            self.core.touched.insert(path);
        }
        if !self.core.outboxes.get(&receiver).is_some_and(Outbox::takes_digests) {
            self.unplan(&receiver);
        }
        if self.core.outboxes.get(&receiver).is_some_and(|outbox| outbox.retired) {
            self.core.outboxes.remove(&receiver);
        }
    }

    /// Keeps account of how the receiver does.
    fn judge_receiver(
        &mut self,
        receiver: &ReceiverId,
        outcome: &Outcome,
        items: usize,
        refresh: bool,
        now: Now,
    ) {
        let Some(outbox) = self.core.outboxes.get_mut(receiver) else { return };
        let name = Arc::clone(&outbox.profile.name);
        let items_told = if refresh { 0 } else { items };
        let count = u64::try_from(items_told).unwrap_or(u64::MAX);
        let mut events = Vec::new();
        match outcome {
            Outcome::Accepted => {
                outbox.status.sent += count;
                outbox.status.last_error = None;
                let failed = outbox.rose();
                if failed > 0 {
                    events.push(Event::Up(Arc::clone(&name), failed));
                }
                if !refresh {
                    events.push(Event::Told(name, items));
                }
            }
            Outcome::Failed { reason, retry_after } => {
                outbox.failed(reason, now);
                if outbox.fell(*retry_after, &mut self.core.jitter, now.mono) {
                    events.push(Event::Down(name, brief(reason)));
                }
            }
            Outcome::Ambiguous { reason } => {
                outbox.failed(reason, now);
                if outbox.fell(None, &mut self.core.jitter, now.mono) {
                    events.push(Event::Down(name, brief(reason)));
                }
            }
            Outcome::Refused { reason } => {
                outbox.status.refused += count;
                outbox.status.last_error = Some((now.wall, brief(reason).into()));
                outbox.rose();
                events.push(Event::Refused(name, items, brief(reason)));
            }
            Outcome::NotTried => outbox.held(now.mono),
        }
        events.into_iter().for_each(|event| self.core.log(event));
    }
}

impl Case {
    /// An attempt that this path was an item of ended.
    fn landed(
        &mut self,
        receiver: &ReceiverId,
        path: &Arc<str>,
        outcome: &Outcome,
        outbox: Option<&mut Outbox>,
        now: Now,
    ) {
        let Some(incident) = &mut self.incident else { return };
        let Some(share) = incident.shares.get_mut(receiver) else { return };
        let Place::Flying(need) = share.place else { return };
        share.place = Place::Idle;
        let before = share.firing;
        let keyed = outbox.as_ref().is_some_and(|outbox| outbox.profile.keyed);
        let name =
            outbox.as_ref().map_or_else(|| receiver.0.clone(), |outbox| Arc::clone(&outbox.profile.name));
        match outcome {
            Outcome::Accepted => share.accepted(need, keyed, now.mono),
            Outcome::Ambiguous { .. } => share.unanswered(need),
            Outcome::Refused { .. } => share.refused(need),
            Outcome::Failed { .. } | Outcome::NotTried => {
                if share.firing == Mark::Pending {
                    share.storm = None;
                    // A new violation began while the attempt to tell of the last one was under way.
                    let missed = share.told != incident.id && !share.missed;
                    share.missed |= missed;
                    incident.missed = incident.missed.saturating_add(u32::from(missed));
                }
            }
        }
        let refused_now = share.firing == Mark::Refused && before != Mark::Refused;
        if let (Some(storm), Some(outbox)) = (share.storm.clone(), outbox) {
            let over = incident.until.is_some() || share.told != incident.id;
            let done = !is_open(share.resolved);
            if done {
                outbox.leave(&storm, path);
            } else {
                outbox.join(&storm, path, over);
            }
        }
        if let (Outcome::Refused { reason }, true) = (outcome, refused_now) {
            incident.notice(receiver, &format!("{name} refused the alert: {}", brief(reason)));
        }
        self.record.wanted = true;
    }

    /// What a receiver is told of this path.
    pub(super) fn describe(&self, path: &Arc<str>, kind: Kind, receiver: &ReceiverId) -> Option<Item> {
        let incident = self.incident.as_ref()?;
        let share = incident.shares.get(receiver)?;
        let behind = share.is_behind(&incident.id);
        let (message, since, until) = match share.past.as_ref().filter(|_| behind) {
            Some(past) => (&past.message, past.since, Some(past.until)),
            // Its own ends are not known any more; it was over before the open one began.
            None if behind => (&incident.message, incident.since, Some(incident.since)),
            None if kind.is_firing() && !self.message.is_empty() => (&self.message, incident.since, None),
            None => (&incident.message, incident.since, incident.until),
        };
        Some(Item {
            incident: Arc::clone(share.storm.as_ref().unwrap_or(&share.told)),
            path: Arc::clone(path),
            kind,
            message: Arc::clone(message),
            since,
            until,
            children: self.children,
            left: self.left.clone(),
            description: self.rule.terms.description.clone(),
            notes: incident.notes(receiver, share),
        })
    }
}

impl Incident {
    /// Something to tell the other receivers.
    pub(super) fn notice(&mut self, receiver: &ReceiverId, words: &str) {
        self.notices.push((receiver.clone(), words.into()));
    }

    fn notes(&self, receiver: &ReceiverId, share: &Share) -> Vec<String> {
        let missed = (share.missed && self.missed > 0).then(|| {
            format!(
                "Earlier violations of this path ended before every receiver could be told: {}",
                self.missed
            )
        });
        let others = self.notices.iter().filter(|(other, _)| other != receiver);
        missed.into_iter().chain(others.map(|(_, words)| words.to_string())).collect()
    }
}

impl Share {
    fn accepted(&mut self, need: Need, keyed: bool, now: Instant) {
        match need {
            Need::Firing => (self.firing, self.noticed, self.missed) = (Mark::Sent, self.noticing, false),
            Need::Late => (self.firing, self.resolved) = (Mark::Sent, Mark::Sent),
            Need::Resolved => {
                self.resolved = Mark::Sent;
                self.overtaken = match self.overtaken {
                    Overtaken::Possibly if keyed => {
                        now.checked_add(ONCE_MORE).map_or(Overtaken::No, Overtaken::Again)
                    }
                    Overtaken::Possibly | Overtaken::No | Overtaken::Again(_) => Overtaken::No,
                };
            }
            Need::Reminder(number) => self.reminded = number,
            Need::Notice => self.noticed = self.noticing,
        }
    }

    /// A reminder or notice whose answer was lost is not repeated: the alert itself was told.
    fn unanswered(&mut self, need: Need) {
        match need {
            Need::Firing => self.firing = Mark::Ambiguous,
            Need::Late => (self.firing, self.resolved) = (Mark::Ambiguous, Mark::Ambiguous),
            Need::Resolved if is_open(self.resolved) => self.resolved = Mark::Ambiguous,
            Need::Resolved => {}
            Need::Reminder(number) => self.reminded = number,
            Need::Notice => self.noticed = self.noticing,
        }
    }

    fn refused(&mut self, need: Need) {
        match need {
            // An earlier attempt may have reached it, so that it gets the recovery.
            Need::Firing if self.firing == Mark::Ambiguous => self.gave_up = true,
            Need::Firing | Need::Late => self.firing = Mark::Refused,
            Need::Resolved => (self.resolved, self.overtaken) = (Mark::Refused, Overtaken::No),
            Need::Reminder(number) => self.reminded = number,
            Need::Notice => self.noticed = self.noticing,
        }
    }

    /// It was tried for too long.
    pub(super) fn give_up(&mut self, need: Option<Need>) {
        match need {
            Some(Need::Resolved) => (self.resolved, self.overtaken) = (Mark::Refused, Overtaken::No),
            Some(Need::Firing) if self.firing == Mark::Ambiguous => self.gave_up = true,
            Some(Need::Firing | Need::Late) => self.firing = Mark::Refused,
            Some(Need::Reminder(_) | Need::Notice) | None => {}
        }
    }
}

/// A reason, cut to what fits a line.
fn brief(reason: &str) -> String {
    let end = reason.floor_char_boundary(REASON);
    reason[..end].to_owned()
}
