//! Taking the lease over, and losing it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::io::{Report, Takeover};
use super::limits::PATIENCE;
use super::paths::Paths;
use super::queue::Queue;
use super::renamed::{self, Place};
use super::shared::Shared;
use super::unreported::Episode;
use crate::model::alert_key::AlertKey;
use crate::model::ledger::{Change, Entry, Stored};
use crate::model::rule::Rule;
use crate::model::status::OpenIncident;
use crate::model::time::Now;

/// The way to the lease, and what was found in the ledger that no rule knows. Whether this agent leads says
/// `Shared::lease`.
#[derive(Debug, Default)]
pub(super) struct Leadership {
    /// The lease that was granted. It counts once its barrier has arrived.
    coming: Option<Takeover>,
    /// The barrier of the last one that was granted.
    granted: Option<u64>,
    /// The last barrier that arrived.
    barrier: Option<u64>,
    orphans: BTreeMap<AlertKey, Orphan>,
    /// When the orphans are removed.
    pub collect_at: Option<Instant>,
}

/// An entry of a path that no rule of this agent knows. Another agent's may: files differ during a rollout. So
/// it is left alone for a day of one lease, and then removed.
#[derive(Debug)]
struct Orphan {
    /// `None` if it could not be understood.
    entry: Option<Entry>,
    version: i32,
}

impl Leadership {
    /// The election grants a lease.
    pub fn on_grant(&mut self, takeover: Takeover) {
        self.granted = Some(takeover.barrier);
        self.coming = Some(takeover);
    }

    /// Whether the lease of the last barrier counts as soon as it is granted, or all that was heard with it is done.
    pub fn is_at_hand(&self) -> bool {
        let coming = self.coming.as_ref();
        coming.map_or(self.granted < self.barrier, |takeover| self.barrier >= Some(takeover.barrier))
    }

    /// Everything that rang before this barrier was set has been told.
    pub fn on_barrier(&mut self, barrier: u64) {
        self.barrier = self.barrier.max(Some(barrier));
    }

    /// Makes a granted lease count if its barrier has arrived.
    pub fn take_effect_if_due(&mut self, paths: &mut Paths, shared: &mut Shared, now: Now) {
        let Some(takeover) = self.coming.take_if(|takeover| self.barrier >= Some(takeover.barrier)) else {
            return;
        };
        shared.log(Report::Leading(takeover.epoch, takeover.entries.len()));
        shared.lease = Some(takeover.epoch);
        let mut renamed = renamed::places(&takeover.entries, &shared.rules);
        let heirs = renamed.values().filter_map(Place::heir).cloned();
        let known: BTreeSet<_> =
            heirs.chain(takeover.entries.iter().map(|stored| stored.entry.key.clone())).collect();
        paths.change_each(shared, |tracked, shared| {
            tracked.on_lease(known.contains(tracked.key()), shared, now);
        });
        let mut later = Vec::new();
        for stored in takeover.entries {
            match renamed.remove(&stored.entry.key) {
                None => {
                    let Stored { entry, version, .. } = stored;
                    let key = entry.key.clone();
                    self.take_over(key, Orphan { entry: Some(entry), version }, paths, shared, now);
                }
                Some(Place::Outdated) => renamed::hold(stored, paths, shared, now),
                Some(Place::Heir(heir)) => later.push((heir, stored)),
            }
        }
        for (heir, stored) in later {
            renamed::inherit(&heir, stored, paths, shared, now);
        }
        for (key, version) in takeover.unreadable {
            shared.log(Report::Unreadable(key.clone()));
            self.take_over(key, Orphan { entry: None, version }, paths, shared, now);
        }
        for (key, episode) in shared.unreported.take(takeover.vacant_since) {
            report_late(&key, &episode, paths, shared, now);
        }
        shared.unreported.stop_watching();
        self.collect_at = now.mono.checked_add(PATIENCE).filter(|_| !self.orphans.is_empty());
        shared.queues.values_mut().for_each(|queue| queue.refresh_now(now.mono));
    }

    /// No attempt is asked for, and no write, until the next lease.
    pub fn step_down(&mut self, paths: &mut Paths, shared: &mut Shared, now: Now) {
        self.coming = None;
        // The election says so whether this agent led or not.
        let Some(epoch) = shared.lease.take() else { return };
        shared.log(Report::Following(epoch));
        shared.last_epoch = Some(epoch);
        shared.writes.clear();
        shared.postponed.clear();
        self.orphans.clear();
        self.collect_at = None;
        paths.change_each(shared, |tracked, shared| tracked.step_down(shared, now));
        shared.queues.values_mut().for_each(Queue::step_down);
    }

    /// Takes one entry of the ledger over, or sets it aside if no rule knows its path.
    fn take_over(&mut self, key: AlertKey, found: Orphan, paths: &mut Paths, shared: &mut Shared, now: Now) {
        let Some(rule) = shared.rules.rule(&key).cloned() else {
            self.orphans.insert(key, found);
            return;
        };
        paths.track(&key, &rule, now);
        paths.change(&key, shared, |tracked, shared| {
            tracked.take_over(found.entry, found.version, shared, now);
        });
    }

    /// Takes those entries over that the new rules know. One in whose place an alert has come with an incident of its own
    /// is overwritten: whoever was told of that one is owed its end.
    pub fn adopt_orphans(&mut self, paths: &mut Paths, shared: &mut Shared, now: Now) {
        for (key, orphan) in std::mem::take(&mut self.orphans) {
            if paths.get(&key).is_some_and(|tracked| tracked.incident.is_some()) {
                paths.change(&key, shared, |tracked, shared| {
                    tracked.overwrite(orphan.entry, orphan.version, shared);
                });
                continue;
            }
            self.take_over(key, orphan, paths, shared, now);
        }
    }

    /// Removes the entries that no rule knew for a day.
    pub fn collect_orphans(&mut self, shared: &mut Shared, now: Now) {
        let (Some(epoch), Some(_)) = (shared.lease, self.collect_at.take_if(|at| *at <= now.mono)) else {
            return;
        };
        for (key, orphan) in std::mem::take(&mut self.orphans) {
            shared.write(&key, epoch, Change::Delete(orphan.version));
        }
    }
}

/// Tells of what fired and was over while nobody led, if anybody is to be told.
fn report_late(key: &AlertKey, episode: &Episode, paths: &mut Paths, shared: &mut Shared, now: Now) {
    let rule: Option<Arc<Rule>> = shared.rules.rule(key).cloned();
    let silenced = shared.is_silenced(key, OpenIncident::None, now);
    let Some(rule) = rule.filter(|rule| !rule.terms.receivers.is_empty() && !silenced) else { return };
    paths.track(key, &rule, now);
    paths.change(key, shared, |tracked, shared| tracked.report_late(episode, &rule, shared, now));
}
