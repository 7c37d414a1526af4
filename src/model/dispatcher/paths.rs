//! All paths that are not simply in spec, and when each has something to do.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use super::incident::Incident;
use super::shared::Shared;
use super::tracked::Tracked;
use crate::model::rule::Rule;
use crate::model::time::Now;

#[derive(Debug, Default)]
pub(super) struct Paths {
    tracked: BTreeMap<Arc<str>, Tracked>,
    /// Paths that are not tracked, were judged in spec, and not doubted since.
    pub compliant: HashSet<Arc<str>>,
    /// When each path has something to do, soonest first.
    alarms: BTreeSet<(Instant, Arc<str>)>,
}

impl Paths {
    pub fn get(&self, path: &str) -> Option<&Tracked> {
        self.tracked.get(path)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Tracked> {
        self.tracked.values()
    }

    /// Those after this one, in their order.
    pub fn after(&self, path: Option<&Arc<str>>) -> impl Iterator<Item = &Tracked> {
        let from = path.map_or(Bound::Unbounded, Bound::Excluded);
        self.tracked.range::<Arc<str>, _>((from, Bound::Unbounded)).map(|(_, tracked)| tracked)
    }

    /// Changes a path, if it is tracked. There is no other way to: so whoever does need not remember that it has to
    /// be looked at before the run ends.
    pub fn change<R>(
        &mut self,
        path: &str,
        shared: &mut Shared,
        change: impl FnOnce(&mut Tracked, &mut Shared) -> R,
    ) -> Option<R> {
        let tracked = self.tracked.get_mut(path)?;
        let result = change(tracked, shared);
        shared.touch(Arc::clone(tracked.path()));
        Some(result)
    }

    pub fn change_each(&mut self, shared: &mut Shared, mut change: impl FnMut(&mut Tracked, &mut Shared)) {
        for tracked in self.tracked.values_mut() {
            change(tracked, shared);
            shared.touch(Arc::clone(tracked.path()));
        }
    }

    /// The path is tracked from now on, if it was not.
    pub fn track(&mut self, path: &Arc<str>, rule: &Arc<Rule>, now: Now) {
        self.tracked.entry(Arc::clone(path)).or_insert_with(|| {
            let mut tracked = Tracked::new(Arc::clone(path), Arc::clone(rule));
            if self.compliant.remove(path) {
                tracked.alert.complied(None, rule, now);
            }
            tracked
        });
    }

    /// All are looked at, since something has changed that each depends on.
    pub fn touch_all(&self, shared: &mut Shared) {
        self.tracked.keys().for_each(|path| shared.touch(Arc::clone(path)));
    }

    /// When the next one has something to do.
    pub fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Those whose time has come are looked at.
    pub fn touch_due(&mut self, shared: &mut Shared, now: Now) {
        while self.next_alarm().is_some_and(|at| at <= now.mono) {
            self.alarms.pop_first().into_iter().for_each(|(_, path)| shared.touch(path));
        }
    }

    /// Brings one path up to date, and drops it if there is nothing to remember.
    pub fn settle(&mut self, path: Arc<str>, shared: &mut Shared, now: Now) {
        // It may be gone by now, or be that of an orphan.
        let Some(tracked) = self.tracked.get_mut(&path) else { return };
        tracked.settle(shared, now);
        debug_assert!(tracked.incident.as_ref().is_none_or(Incident::is_legal), "{tracked:?}");
        shared.version += 1;
        let alarm = tracked.next_deadline(shared, now);
        if tracked.alarm != alarm {
            if let Some(at) = std::mem::replace(&mut tracked.alarm, alarm) {
                self.alarms.remove(&(at, Arc::clone(&path)));
            }
            self.alarms.extend(alarm.map(|at| (at, Arc::clone(&path))));
        }
        if !tracked.is_needed() {
            if tracked.alert.is_fresh() {
                self.compliant.insert(Arc::clone(&path));
            }
            self.tracked.remove(&path);
            if let Some(at) = alarm {
                self.alarms.remove(&(at, path));
            }
        }
    }
}
