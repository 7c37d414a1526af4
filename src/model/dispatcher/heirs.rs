//! Alerts whose rule got another name: what is pending, firing, owed or remembered goes on under the new one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::paths::Paths;
use super::tracked::Tracked;
use super::unreported::Unreported;
use crate::model::alert_key::AlertKey;
use crate::model::rule::{Rule, RuleSet};
use crate::model::succession::successions;

/// The alerts whose rule is gone though their path has rules, each with the rule that takes its place. Where there is none
/// the rule was removed, and its alert ends with it.
pub(super) fn heirs(
    paths: &Paths,
    unreported: &Unreported,
    before: &RuleSet,
    after: &RuleSet,
) -> Vec<(AlertKey, Arc<Rule>)> {
    let of_path = |path: &Arc<str>| {
        let (Some(before), Some(after)) = (before.for_path(path), after.for_path(path)) else {
            return vec![];
        };
        let has_alert = |rule: &Rule| {
            let key = rule.key(path);
            paths.get(&key).is_some() || unreported.remembers(&key)
        };
        let pairs = successions(before, after, has_alert).into_iter();
        let pairs = pairs.filter(|(gone, _)| has_alert(gone));
        pairs.map(|(gone, heir)| (gone.key(path), Arc::clone(heir))).collect()
    };
    let all: BTreeSet<&Arc<str>> =
        paths.iter().map(Tracked::key).chain(unreported.remembered()).map(|key| &key.path).collect();
    all.into_iter().flat_map(of_path).collect()
}
