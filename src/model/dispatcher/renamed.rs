//! Entries of the ledger that bear a name which a rule does not have any more, at a takeover: a reload gave it another, and
//! who led then was gone before it could write that, or before it had removed what it wrote under the old one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::paths::Paths;
use super::shared::Shared;
use super::tracked::Remains;
use crate::model::alert_key::AlertKey;
use crate::model::ledger::Stored;
use crate::model::rule::{Rule, RuleSet};
use crate::model::time::Now;

/// What becomes of an entry that is not simply its own alert's.
pub(super) enum Place {
    /// A later one has come in its place: what it says is of no use.
    Outdated,
    /// This alert goes on with it.
    Heir(AlertKey),
}

impl Place {
    pub fn heir(&self) -> Option<&AlertKey> {
        match self {
            Self::Outdated => None,
            Self::Heir(key) => Some(key),
        }
    }
}

/// The entries of paths where one bears a former name, as far as they are not simply their own alerts'.
pub(super) fn places(entries: &[Stored], rules: &RuleSet) -> BTreeMap<AlertKey, Place> {
    let former = entries.iter().filter(|stored| heir(stored, rules).is_some());
    let mut by_path: BTreeMap<&Arc<str>, Vec<&Stored>> =
        former.map(|stored| (&stored.entry.key.path, Vec::new())).collect();
    for stored in entries {
        by_path.entry(&stored.entry.key.path).and_modify(|all| all.push(stored));
    }
    by_path.values().flat_map(|all| of_path(all, rules)).collect()
}

/// The rule that goes on with an entry that is none of its own, and how many go before it in the choice.
fn heir<'a>(stored: &Stored, rules: &'a RuleSet) -> Option<(usize, &'a Arc<Rule>)> {
    rules.heir(&stored.entry.key, &stored.entry.former)
}

fn of_path(entries: &[&Stored], rules: &RuleSet) -> BTreeMap<AlertKey, Place> {
    let is_outdated = |one: &&Stored| {
        let mut later = entries.iter().filter(|other| other.modified > one.modified);
        later.any(|other| other.entry.former.contains(&one.entry.key.name))
    };
    let (outdated, current): (Vec<&Stored>, Vec<_>) = entries.iter().copied().partition(is_outdated);
    let mut claims = BTreeMap::<AlertKey, (usize, &AlertKey)>::new();
    for stored in &current {
        let former = &stored.entry.key;
        let Some((place, rule)) = heir(stored, rules) else { continue };
        let (heir, claim) = (rule.key(&former.path), (place, former));
        if !current.iter().any(|other| other.entry.key == heir) {
            claims.entry(heir).and_modify(|first| *first = claim.min(*first)).or_insert(claim);
        }
    }
    let inherited = claims.into_iter().map(|(heir, (_, former))| (former.clone(), Place::Heir(heir)));
    inherited.chain(outdated.iter().map(|one| (one.entry.key.clone(), Place::Outdated))).collect()
}

/// The znode of an outdated entry is taken over, and not what it holds.
pub(super) fn hold(stored: Stored, paths: &mut Paths, shared: &mut Shared, now: Now) {
    let Stored { entry, version, .. } = stored;
    let key = entry.key.clone();
    // Only of paths that have rules is any entry outdated.
    let Some(rules) = shared.rules.for_path(&key.path) else { return };
    let own = rules.named(key.name.as_deref());
    let remains = if own.is_some() { Remains::Alert } else { Remains::Nothing };
    let rule = Arc::clone(own.unwrap_or(rules.first()));
    paths.track(&key, &rule, now);
    paths.change(&key, shared, |tracked, _| tracked.hold(entry, version, remains));
}

/// The alert `heir` goes on with an entry of another name, which goes once there is one of its own.
pub(super) fn inherit(heir: &AlertKey, stored: Stored, paths: &mut Paths, shared: &mut Shared, now: Now) {
    let Stored { entry, version, .. } = stored;
    let Some(rule) = shared.rules.rule(heir).cloned() else { return };
    let former = entry.key.clone();
    paths.track(heir, &rule, now);
    paths.change(heir, shared, |tracked, shared| tracked.inherit(&entry, shared, now));
    paths.track(&former, &rule, now);
    paths.change(&former, shared, |tracked, _| tracked.hold(entry, version, Remains::Entry));
}
