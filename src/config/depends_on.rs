//! `depends_on`: what holds the alerts of a rule back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dependencies::{Dependencies, circles};
use super::document::Value;
use super::located::{Located, shown};
use super::receivers::Place;
use super::suggestion::nearest_path;
use super::validator::{Layout, Validator};
use crate::model::path;
use crate::model::rule::{Rule, RuleSet, Rules};

/// How many a rule can have: each is looked up whenever its alert is looked at.
const MAX_DEPENDENCIES: usize = 100;

/// For how many that nothing watches a path is looked for that may have been meant.
const HINTS: usize = 10;

/// How many paths of a circle are shown.
const SHOWN: usize = 10;

impl Validator<'_> {
    /// A path or glob, or a list of them; none, if `defaults` says otherwise.
    pub(super) fn depends_on(&mut self, at: &Located<'_, '_>) -> Vec<Arc<str>> {
        let Value::List(items) = at.value() else { return self.dependency(at).into_iter().collect() };
        if items.len() > MAX_DEPENDENCIES {
            let count = items.len();
            self.error(
                at,
                format!("has {count} paths, and a rule can depend on {MAX_DEPENDENCIES}: use globs"),
            );
            return Vec::new();
        }
        items.iter().enumerate().filter_map(|(index, item)| self.dependency(&at.item(index, item))).collect()
    }

    fn dependency(&mut self, at: &Located<'_, '_>) -> Option<Arc<str>> {
        let pattern: Arc<str> = self.text(at)?.into();
        if let Err(fault) = path::check_pattern(&pattern) {
            self.error(at, fault.to_string());
            return None;
        }
        let place = self.place(at);
        self.dependencies.named.push((Arc::clone(&pattern), at.to_string(), place));
        Some(pattern)
    }

    /// A rule that depends on something stands there.
    pub(super) fn depends(&mut self, path: &Arc<str>, key: &Located<'_, '_>) {
        let place = self.place(key);
        self.dependencies.dependants.insert(Arc::clone(path), place);
    }

    /// Judges all that was said of dependencies by all rules.
    pub(super) fn judge_dependencies(&mut self, rules: &[Rule]) {
        let Dependencies { named, dependants } = std::mem::take(&mut self.dependencies);
        if named.is_empty() {
            return;
        }
        let all = RuleSet::new(rules.to_vec());
        let (mut targets, mut hints) = (BTreeMap::<Arc<str>, Vec<&Rules>>::new(), 0..HINTS);
        for (pattern, path, place) in named {
            let found = targets.entry(Arc::clone(&pattern)).or_insert_with(|| all.for_pattern(&pattern));
            if found.is_empty() {
                let paths = hints.next().map(|_| rules.iter().map(|rule| &*rule.path));
                let hint = nearest_path(&pattern, paths.into_iter().flatten());
                self.watched_by_none(path, place, format!("no rule watches {}{hint}", shown(&pattern, 200)));
            }
        }
        for circle in circles(rules, &targets) {
            let places = circle.iter().enumerate();
            let places = places.filter_map(|(step, path)| Some((*dependants.get(*path)?, step)));
            // The files that hold already come first, so that it is a new one that is refused.
            let last = places.max_by_key(|(place, _)| (place.file, place.node));
            last.into_iter().for_each(|(place, step)| self.circle(&circle, step, place));
        }
    }

    /// In a directory another team's file may have lost the rule. That stops nobody: nothing is held back by it.
    fn watched_by_none(&mut self, path: String, place: Place, message: String) {
        let layout = self.layout;
        let notes = self.notes_of(place.file);
        match layout {
            Layout::File => notes.errors.add(Some(place.node), path, message),
            Layout::Directory => {
                notes.warnings.add(Some(place.node), path, format!("{message}: it holds nothing back"));
            }
        }
    }

    fn circle(&mut self, circle: &[&str], first: usize, place: Place) {
        let (before, after) = circle.split_at(first);
        let all = || after.iter().chain(before).chain(after.first());
        let mut around: Vec<_> = all().take(SHOWN).map(|path| shown(path, 100)).collect();
        if all().count() > SHOWN {
            around.push("…".to_owned());
        }
        let message = format!("depends on itself, which would hold it back for ever: {}", around.join(" → "));
        let path = shown(after.first().unwrap_or(&""), 200);
        self.notes_of(place.file).errors.add(Some(place.node), path, message);
    }
}
