//! Alerts whose rule got another name: what is pending, firing or owed goes on under the new one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::paths::Paths;
use crate::model::alert_key::AlertKey;
use crate::model::rule::{Rule, RuleSet};

/// The alerts whose rule is gone though their path has rules, each with the rule that takes its place: the first of the
/// path's rules that was not there before. Where none is new the rule was removed, and its alert ends with it.
pub(super) fn heirs(paths: &Paths, before: &RuleSet, after: &RuleSet) -> Vec<(AlertKey, Arc<Rule>)> {
    let mut taken = BTreeSet::new();
    let mut heir_of = |key: &AlertKey| {
        let rules = after.for_path(&key.path).filter(|_| before.rule(key).is_some())?;
        if rules.named(key.name.as_deref()).is_some() {
            return None;
        }
        let mut all = rules.iter().map(|rule| (rule.key(&key.path), rule));
        let is_free = |heir: &AlertKey| before.rule(heir).is_none() && paths.get(heir).is_none();
        let (heir, rule) = all.find(|(heir, _)| is_free(heir) && !taken.contains(heir))?;
        taken.insert(heir);
        Some(Arc::clone(rule))
    };
    let all = paths.iter().map(|tracked| tracked.key());
    all.filter_map(|key| Some((key.clone(), heir_of(key)?))).collect()
}
