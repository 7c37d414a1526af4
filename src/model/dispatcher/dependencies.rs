//! What rules depend on, and which of that is out of spec.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::alert_key::AlertKey;
use crate::model::rule::{PatternIndex, RuleSet, Rules, Terms, glob_matches, is_glob};

/// What is unknown is neither out of spec nor back: what was judged last counts, as it does for the alerts themselves.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    /// By the path or glob that rules depend on.
    all: HashMap<Arc<str>, Dependency>,
    /// Those that are globs.
    globs: PatternIndex<Arc<str>>,
}

#[derive(Debug, Default)]
struct Dependency {
    /// The paths of the rules that depend on it, as written.
    dependants: Vec<Arc<str>>,
    /// The alerts of its paths that are out of spec.
    violated: BTreeSet<AlertKey>,
}

impl Dependencies {
    /// Those of a configuration, while these alerts are out of spec.
    pub fn new<'a>(rules: &RuleSet, violated: impl Iterator<Item = &'a AlertKey>) -> Self {
        let mut dependencies = Self::default();
        rules.exact().chain(rules.globs()).for_each(|rules| dependencies.add(rules));
        violated.for_each(|key| drop(dependencies.note(key, true)));
        dependencies
    }

    fn add(&mut self, rules: &Rules) {
        let of_each: BTreeSet<_> = rules.iter().flat_map(|rule| &rule.terms.depends_on).collect();
        for pattern in of_each {
            if is_glob(pattern) && !self.all.contains_key(pattern) {
                self.globs.insert(pattern, Arc::clone(pattern));
            }
            let dependency = self.all.entry(Arc::clone(pattern)).or_default();
            dependency.dependants.push(Arc::clone(rules.path()));
        }
    }

    /// Notes whether an alert's path is out of spec. Returns the paths of the rules, as written, that have to wait for it
    /// from now on, or need not any more.
    pub fn note(&mut self, key: &AlertKey, is_violated: bool) -> Vec<Arc<str>> {
        if self.all.is_empty() {
            return Vec::new();
        }
        let globs = self.globs.near(&key.path).flatten().filter(|glob| glob_matches(glob, &key.path));
        let mut changed = Vec::new();
        for pattern in globs.chain([&key.path]) {
            let Some(dependency) = self.all.get_mut(pattern) else { continue };
            let was_held = !dependency.violated.is_empty();
            if is_violated {
                dependency.violated.insert(key.clone());
            } else {
                dependency.violated.remove(key);
            }
            if was_held == dependency.violated.is_empty() {
                changed.extend(dependency.dependants.iter().cloned());
            }
        }
        changed
    }

    /// A path that is out of spec, and that a rule depends on.
    pub fn holder(&self, terms: &Terms) -> Option<&Arc<str>> {
        let mut found = terms.depends_on.iter().filter_map(|pattern| self.all.get(pattern)?.violated.first());
        found.next().map(|key| &key.path)
    }
}
