//! One open incident: its two ends, and how far each receiver is.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::hindsight::Ended;
use super::share::{Place, Share, View, is_open};
use crate::model::ledger::{Entry, Mark, Past};
use crate::model::receiver::ReceiverId;
use crate::model::small_map::SmallMap;
use crate::model::time::Now;

/// An incident, as the agent that leads, or led, knows it. It is forgotten once its entry is gone.
#[derive(Clone, Debug)]
pub(super) struct Incident {
    pub id: Arc<str>,
    pub since: SystemTime,
    pub until: Option<SystemTime>,
    pub message: Arc<str>,
    pub shares: SmallMap<ReceiverId, Share>,
    pub missed: u32,
    pub extra: Box<str>,
    /// What to tell the others: who refused, and the words.
    pub notices: Vec<(ReceiverId, Arc<str>)>,
}

impl Incident {
    pub fn new(id: Arc<str>, since: SystemTime, message: Arc<str>, receivers: &[ReceiverId]) -> Self {
        let shares = receivers.iter().map(|receiver| (receiver.clone(), Share::new(&id))).collect();
        Self { id, since, until: None, message, shares, missed: 0, extra: "".into(), notices: Vec::new() }
    }

    /// One that is over already, and that nobody was told of.
    pub fn untold(id: Arc<str>, ended: &Ended, receivers: &[ReceiverId], now: Instant) -> Self {
        let mut incident = Self::new(id, ended.since.wall, Arc::clone(&ended.message), receivers);
        (incident.until, incident.missed) = (Some(ended.until.wall), ended.missed);
        for share in incident.shares.values_mut() {
            (share.due, share.missed) = (Some(now), ended.missed > 0);
        }
        incident
    }

    /// Takes over an entry of the ledger. `mine` is what this process holds of the path, `mine_is_newest`
    /// whether nobody but this process has written the entry since.
    pub fn adopt(
        entry: &Entry,
        mine: Option<Self>,
        mine_is_newest: bool,
        reminder: u32,
        now: Instant,
    ) -> Self {
        match mine {
            Some(mut mine) if mine_is_newest => {
                mine.shares.values_mut().for_each(Share::land);
                mine
            }
            mine => {
                let mut adopted = Self::from_entry(entry, reminder, now);
                for (receiver, known) in mine.iter().flat_map(|mine| &mine.shares) {
                    if let Some(share) = adopted.shares.get_mut(receiver) {
                        share.recall(known);
                    }
                }
                adopted
            }
        }
    }

    fn from_entry(entry: &Entry, reminder: u32, now: Instant) -> Self {
        let shares = entry.receivers.iter();
        Self {
            id: Arc::clone(&entry.incident),
            since: entry.since,
            until: entry.until,
            message: Arc::clone(&entry.message),
            shares: shares
                .map(|(id, progress)| (id.clone(), Share::adopted(progress, entry, reminder, now)))
                .collect(),
            missed: entry.missed,
            extra: entry.extra.clone(),
            notices: Vec::new(),
        }
    }

    /// A new violation of the same path begins before all receivers have heard of the end of the last one.
    ///
    /// A receiver that is owed the recovery of an earlier one gets that first. One that never heard of the
    /// earlier one at all is told of the new one alone, and that it missed some.
    pub fn reopen(&mut self, id: Arc<str>, since: SystemTime, message: Arc<str>, receivers: &[ReceiverId]) {
        let until = self.until.unwrap_or(since);
        let past = Past { message: Arc::clone(&self.message), since: self.since, until };
        let mut missed = 0;
        self.shares.retain(|receiver, share| {
            if share.told != self.id {
                // It has not come to the incident that ends here, and will never hear of that.
                if share.waits || share.firing == Mark::Pending {
                    (missed, share.missed, share.waits) = (1, true, false);
                }
                return share.firing != Mark::Pending || receivers.contains(receiver);
            }
            let flies = matches!(share.place, Place::Flying(_));
            let owed = match share.firing {
                Mark::Pending => flies,
                Mark::Sent | Mark::Ambiguous => is_open(share.resolved) || flies,
                Mark::Refused => false,
            };
            let untold = share.firing == Mark::Pending && share.due.is_some() && !share.gave_up;
            if owed {
                share.past = Some(past.clone());
            } else if untold {
                (missed, share.missed) = (1, true);
            }
            owed || (untold && receivers.contains(receiver))
        });
        for receiver in receivers {
            self.shares.insert_new(receiver.clone(), || Share::new(&id));
        }
        (self.id, self.since, self.until, self.message) = (id, since, None, message);
        self.missed = self.missed.saturating_add(missed);
        self.notices.clear();
        for share in self.shares.values_mut() {
            (share.noticed, share.noticing, share.reminded) = (0, 0, 0);
        }
    }

    /// The path is back in spec.
    pub fn close(&mut self, until: SystemTime, now: Instant) {
        self.until = Some(until);
        for share in self.shares.values_mut().filter(|share| share.firing != Mark::Pending) {
            share.due = Some(now);
        }
    }

    /// Receivers that have heard of the end of an earlier incident turn to the open one, if they belong to it.
    pub fn catch_up(&mut self, receivers: &[ReceiverId], view: &View, known: impl Fn(&ReceiverId) -> bool) {
        let id = &self.id;
        self.shares.retain(|receiver, share| {
            let told = match share.firing {
                Mark::Pending => false,
                Mark::Sent | Mark::Ambiguous => !is_open(share.resolved),
                Mark::Refused => true,
            };
            share.waits |= share.told != *id && view.firing && !view.silenced;
            let done = told && share.told != *id && share.place == Place::Idle;
            if done {
                *share = share.next(id, view.now);
            }
            !done || (receivers.contains(receiver) && known(receiver))
        });
    }

    /// Whether nobody has to hear of it any more.
    pub fn is_done(&self, view: &View) -> bool {
        self.until.is_some() && self.shares.values().all(|share| share.is_done(&self.id, view))
    }

    /// What the ledger has to hold.
    pub fn entry(&self, path: &Arc<str>, epoch: u64) -> Entry {
        let receivers = self.shares.iter();
        Entry {
            epoch,
            incident: Arc::clone(&self.id),
            path: Arc::clone(path),
            since: self.since,
            until: self.until,
            message: Arc::clone(&self.message),
            receivers: receivers.map(|(id, share)| (id.clone(), share.progress())).collect(),
            missed: self.missed,
            extra: self.extra.clone(),
        }
    }

    /// Its beginning on both clocks.
    pub fn began(&self, now: Now) -> Now {
        Now { mono: now.mono_at(self.since), wall: self.since }
    }
}

impl Share {
    /// Whatever was prepared for it is not any more; an attempt under way goes on.
    pub fn land(&mut self) {
        self.ahead = None;
        match self.place {
            Place::Queued(_) | Place::Intent(_) | Place::Ready(_) => self.place = Place::Idle,
            Place::Idle | Place::Flying(_) => {}
        }
    }
}
