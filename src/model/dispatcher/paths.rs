//! All alerts of paths that are not simply in spec, and when each has something to do.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use super::compliant::Compliant;
use super::incident::Incident;
use super::shared::Shared;
use super::tracked::Tracked;
use crate::model::alert_key::AlertKey;
use crate::model::rule::{Rule, beginning, is_glob};
use crate::model::time::Now;

#[derive(Debug, Default)]
pub(super) struct Paths {
    tracked: BTreeMap<AlertKey, Tracked>,
    /// Alerts that are not tracked, of paths that were judged in spec, and not doubted since.
    pub compliant: Compliant,
    /// When each alert has something to do, soonest first.
    alarms: BTreeSet<(Instant, AlertKey)>,
}

impl Paths {
    pub fn get(&self, key: &AlertKey) -> Option<&Tracked> {
        self.tracked.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Tracked> {
        self.tracked.values()
    }

    /// Those after this one, in their order.
    pub fn after(&self, key: Option<&AlertKey>) -> impl Iterator<Item = &Tracked> {
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.tracked.range::<AlertKey, _>((from, Bound::Unbounded)).map(|(_, tracked)| tracked)
    }

    /// Changes an alert, if it is tracked. There is no other way to: so whoever does need not remember that it has to
    /// be looked at before the run ends.
    pub fn change<R>(
        &mut self,
        key: &AlertKey,
        shared: &mut Shared,
        change: impl FnOnce(&mut Tracked, &mut Shared) -> R,
    ) -> Option<R> {
        let tracked = self.tracked.get_mut(key)?;
        let result = change(tracked, shared);
        shared.touch(tracked.key().clone());
        Some(result)
    }

    pub fn change_each(&mut self, shared: &mut Shared, mut change: impl FnMut(&mut Tracked, &mut Shared)) {
        for tracked in self.tracked.values_mut() {
            change(tracked, shared);
            shared.touch(tracked.key().clone());
        }
    }

    /// The alert is tracked from now on, if it was not.
    pub fn track(&mut self, key: &AlertKey, rule: &Arc<Rule>, now: Now) {
        self.tracked.entry(key.clone()).or_insert_with(|| {
            let mut tracked = Tracked::new(key.clone(), Arc::clone(rule));
            if self.compliant.remove(key) {
                tracked.alert.complied(None, rule, now);
            }
            tracked
        });
    }

    /// The alert of this rule takes the place of another of its path from now on.
    pub fn hand_over(&mut self, key: &AlertKey, rule: &Arc<Rule>, shared: &mut Shared) {
        let Some(mut heir) = self.change(key, shared, |tracked, shared| tracked.hand_over(rule, shared))
        else {
            // It is over, and remembered.
            return shared.unreported.rename(key, &rule.key(&key.path));
        };
        // The name comes back before the entry of that name has gone.
        if let Some(mut left) = self.tracked.remove(heir.key()) {
            if let Some(at) = left.alarm.take() {
                self.alarms.remove(&(at, heir.key().clone()));
            }
            heir.take_entry_of(left);
        }
        shared.touch(heir.key().clone());
        self.tracked.insert(heir.key().clone(), heir);
    }

    /// All are looked at, since something has changed that each depends on.
    pub fn touch_all(&self, shared: &mut Shared) {
        self.tracked.keys().for_each(|key| shared.touch(key.clone()));
    }

    /// Those of the rules of one path or glob are looked at.
    fn touch_those_of(&self, pattern: &Arc<str>, shared: &mut Shared) {
        let below = is_glob(pattern).then(|| format!("{}/", beginning(pattern)));
        let start = below.as_deref().map_or_else(|| Arc::clone(pattern), Arc::from);
        let near = self.tracked.range(AlertKey::unnamed(start)..).take_while(|(key, _)| match &below {
            Some(below) => key.path.starts_with(below),
            None => key.path == *pattern,
        });
        let those = near.filter(|(_, tracked)| tracked.rule.path == *pattern);
        those.for_each(|(key, _)| shared.touch(key.clone()));
    }

    /// Those of one path.
    fn of_path(&self, path: &Arc<str>) -> impl Iterator<Item = (&AlertKey, &Tracked)> {
        let from = self.tracked.range(AlertKey::unnamed(Arc::clone(path))..);
        from.take_while(move |(key, _)| key.path == *path)
    }

    pub fn change_those_of(
        &mut self,
        path: &Arc<str>,
        shared: &mut Shared,
        mut change: impl FnMut(&mut Tracked),
    ) {
        let keys: Vec<_> = self.of_path(path).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.change(&key, shared, |tracked, _| change(tracked));
        }
    }

    /// Those in whose place this one came whose entries are still there.
    fn leftovers(&self, key: &AlertKey) -> Vec<AlertKey> {
        let predecessors = self.tracked.get(key).map(Tracked::predecessors).unwrap_or_default();
        let is_left = |former: &&AlertKey| self.get(former).is_some_and(Tracked::is_leftover);
        predecessors.iter().filter(is_left).cloned().collect()
    }

    /// When the next one has something to do.
    pub fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Those whose time has come are looked at.
    pub fn touch_due(&mut self, shared: &mut Shared, now: Now) {
        while self.next_alarm().is_some_and(|at| at <= now.mono) {
            self.alarms.pop_first().into_iter().for_each(|(_, key)| shared.touch(key));
        }
    }

    /// Brings one alert up to date, and drops it if there is nothing to remember.
    pub fn settle(&mut self, key: AlertKey, shared: &mut Shared, now: Now) {
        let left = self.leftovers(&key);
        // It may be gone by now, or be that of an orphan.
        let Some(tracked) = self.tracked.get_mut(&key) else { return };
        tracked.keep_predecessors(left);
        tracked.settle(shared, now);
        let dependants = shared.dependencies.note(&key, tracked.alert.is_violated());
        debug_assert!(tracked.incident.as_ref().is_none_or(Incident::is_legal), "{tracked:?}");
        shared.version += 1;
        let alarm = tracked.next_deadline(shared, now);
        if tracked.alarm != alarm {
            if let Some(at) = std::mem::replace(&mut tracked.alarm, alarm) {
                self.alarms.remove(&(at, key.clone()));
            }
            self.alarms.extend(alarm.map(|at| (at, key.clone())));
        }
        let needed = tracked.is_needed();
        let superseded = tracked.superseded(shared, now).to_vec();
        let has_gone = tracked.take_departure();
        if !needed {
            if tracked.alert.is_fresh() {
                self.compliant.insert(key.clone());
            }
            self.tracked.remove(&key);
            if let Some(at) = alarm {
                self.alarms.remove(&(at, key.clone()));
            }
        }
        if has_gone {
            self.of_path(&key.path).for_each(|(other, _)| shared.touch(other.clone()));
        }
        for former in superseded {
            self.change(&former, shared, |tracked, _| tracked.let_go());
        }
        dependants.iter().for_each(|pattern| self.touch_those_of(pattern, shared));
    }
}
