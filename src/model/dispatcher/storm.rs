//! Incidents that a receiver was told of as one event, and has to see end as one.
//!
//! A receiver that takes one event at a time (PagerDuty) would drown in hundreds. Above
//! [`super::limits::STORM`] of them they become one event under an id of its own, which ends when its last member does.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::alert_key::AlertKey;

/// The storms of one receiver, by id.
#[derive(Debug, Default)]
pub(super) struct Storms(BTreeMap<Arc<str>, Storm>);

#[derive(Debug, Default)]
struct Storm {
    /// The alerts, and whether the incident of each is over.
    members: BTreeMap<AlertKey, bool>,
    /// How many are not.
    open: usize,
}

impl Storms {
    /// The lease is over; the next one learns them from the ledger.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The alert was told of as part of a storm.
    pub fn join(&mut self, id: &Arc<str>, key: &AlertKey, over: bool) {
        let storm = self.0.entry(Arc::clone(id)).or_default();
        if storm.members.insert(key.clone(), over) == Some(false) {
            storm.open -= 1;
        }
        storm.open += usize::from(!over);
    }

    /// The alert's incident is over. Returns all members if it was the last that was open: they can end now.
    pub fn resolve(&mut self, id: &Arc<str>, key: &AlertKey) -> Vec<AlertKey> {
        let Some(storm) = self.0.get_mut(id) else { return Vec::new() };
        let Some(over) = storm.members.get_mut(key) else { return Vec::new() };
        if std::mem::replace(over, true) {
            return Vec::new();
        }
        storm.open -= 1;
        if storm.open > 0 { Vec::new() } else { storm.members.keys().cloned().collect() }
    }

    /// The alert has no more part in the storm. Returns the members that can end now.
    pub fn leave(&mut self, id: &Arc<str>, key: &AlertKey) -> Vec<AlertKey> {
        let ended = self.resolve(id, key);
        if let Some(storm) = self.0.get_mut(id) {
            storm.members.remove(key);
            if storm.members.is_empty() {
                self.0.remove(id);
            }
        }
        ended
    }

    /// Whether a member is still out of spec: the storm's end cannot be told yet.
    pub fn is_open(&self, id: &Arc<str>) -> bool {
        self.0.get(id).is_some_and(|storm| storm.open > 0)
    }
}
