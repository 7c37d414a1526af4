//! Incidents that a receiver was told of as one event, and has to see end as one.
//!
//! A receiver that takes one event at a time (PagerDuty) would drown in hundreds. Above
//! [`super::limits::STORM`] of them they become one event under an id of its own, which ends when its last member does.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The storms of one receiver, by id.
#[derive(Debug, Default)]
pub(super) struct Storms(BTreeMap<Arc<str>, Storm>);

#[derive(Debug, Default)]
struct Storm {
    /// The paths, and whether the incident of each is over.
    members: BTreeMap<Arc<str>, bool>,
    /// How many are not.
    open: usize,
}

impl Storms {
    /// The lease is over; the next one learns them from the ledger.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The path was told of as part of a storm.
    pub fn join(&mut self, id: &Arc<str>, path: &Arc<str>, over: bool) {
        let storm = self.0.entry(Arc::clone(id)).or_default();
        if storm.members.insert(Arc::clone(path), over) == Some(false) {
            storm.open -= 1;
        }
        storm.open += usize::from(!over);
    }

    /// The path's incident is over. Returns all members if it was the last that was open: they can end now.
    pub fn resolve(&mut self, id: &Arc<str>, path: &Arc<str>) -> Vec<Arc<str>> {
        let Some(storm) = self.0.get_mut(id) else { return Vec::new() };
        let Some(over) = storm.members.get_mut(path) else { return Vec::new() };
        if std::mem::replace(over, true) {
            return Vec::new();
        }
        storm.open -= 1;
        if storm.open > 0 { Vec::new() } else { storm.members.keys().cloned().collect() }
    }

    /// The path has no more part in the storm. Returns the members that can end now.
    pub fn leave(&mut self, id: &Arc<str>, path: &Arc<str>) -> Vec<Arc<str>> {
        let ended = self.resolve(id, path);
        if let Some(storm) = self.0.get_mut(id) {
            storm.members.remove(path);
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
