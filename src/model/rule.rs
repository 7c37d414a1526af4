//! Rules: which znodes are watched, what must hold of them, and who hears when it does not.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::alert_key::AlertKey;
use super::former_names::{FormerNames, Name};
use super::judge::{Needs, Specs};
use super::labels::Labels;
use super::one_or_many::OneOrMany;
use super::receiver::ReceiverId;
use super::severity::Severity;
use super::small_map::SmallMap;

/// One rule of the configuration, valid by construction.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The path as written, a `*` standing for one level.
    pub path: Arc<str>,
    /// What it says of that path. Many rules say the same, and share it.
    pub terms: Arc<Terms>,
}

/// What a rule says of its path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    /// What tells it from the path's other rules; each has one if there are several.
    pub name: Option<Arc<str>>,
    /// How bad it is if that does not hold.
    pub severity: Severity,
    /// What its alerts are routed by, beside that: names and values.
    pub labels: SmallMap<Arc<str>, Arc<str>>,
    /// What must hold, all of it.
    pub specs: Specs,
    /// How long a path must be out of spec before it alerts, at least ([`Terms::hold_down`]).
    pub cancel_timeout: Duration,
    /// How long a path must be back in spec before the recovery is told.
    pub keep_firing_for: Duration,
    /// How often to remind while firing; `None` is never.
    pub repeat_interval: Option<Duration>,
    /// How long a vanished match of a glob stays in error.
    pub forget_after: Duration,
    /// Paths and globs whose paths hold this rule's alerts back while one of them is out of spec.
    pub depends_on: Vec<Arc<str>>,
    /// What the operator wants to read in the alert.
    pub description: Option<Arc<str>>,
    /// Where it is written what to do about it: a URL.
    pub runbook: Option<Arc<str>>,
    /// Who hears of it; empty is nobody.
    pub receivers: Vec<ReceiverId>,
}

/// How long a rule that depends on others waits at least before it alerts: so long it may take until all that fell at the
/// same time was read, and it comes back no sooner either.
pub const LEAST_HOLD_DOWN: Duration = Duration::from_secs(10);

impl Terms {
    /// How long a path must be out of spec before it alerts, and once more when what it depends on is back.
    pub fn hold_down(&self) -> Duration {
        let least = if self.depends_on.is_empty() { Duration::ZERO } else { LEAST_HOLD_DOWN };
        self.cancel_timeout.max(least)
    }
}

impl Rule {
    /// Whether the path holds a `*`.
    pub fn is_glob(&self) -> bool {
        is_glob(&self.path)
    }

    /// Whether `other` judges every reading as this one does, for the same alert: then a judgement by one holds for the
    /// other.
    pub fn judges_like(&self, other: &Self) -> bool {
        self.terms.name == other.terms.name
            && self.is_glob() == other.is_glob()
            && self.terms.specs == other.terms.specs
    }

    /// The labels of an incident that begins now.
    pub fn labels(&self) -> Arc<Labels> {
        let Terms { severity, name, labels, .. } = &*self.terms;
        Arc::new(Labels { severity: Some(*severity), rule: name.clone(), own: labels.clone() })
    }

    /// Its alert for a concrete path.
    pub fn key(&self, path: &Arc<str>) -> AlertKey {
        AlertKey { path: Arc::clone(path), name: self.terms.name.clone() }
    }
}

/// All rules that the configuration has for one path or glob: one, or several with a name each.
pub type Rules = OneOrMany<Arc<Rule>>;

impl Rules {
    /// Their path as written.
    pub fn path(&self) -> &Arc<str> {
        &self.first().path
    }

    /// Whether that holds a `*`.
    pub fn is_glob(&self) -> bool {
        self.first().is_glob()
    }

    /// What has to be read to judge by all of them.
    pub fn needs(&self) -> Needs {
        let needs = self.iter().map(|rule| rule.terms.specs.needs());
        needs.fold(Needs::default(), Needs::with)
    }

    /// Whether these make of every reading what `other` do.
    pub fn judge_like(&self, other: &Self) -> bool {
        self.count() == other.count() && self.iter().zip(other.iter()).all(|(a, b)| a.judges_like(b))
    }

    /// Whether none of them asks for anything.
    pub fn ask_nothing(&self) -> bool {
        self.iter().all(|rule| rule.terms.specs.is_empty())
    }

    /// The rule of this name.
    pub fn named(&self, name: Option<&str>) -> Option<&Arc<Rule>> {
        self.iter().find(|rule| rule.terms.name.as_deref() == name)
    }
}

/// Whether a rule's path holds a `*` as a level of its own or within one.
pub fn is_glob(path: &str) -> bool {
    path.contains('*')
}

/// Whether a concrete path is matched by a pattern, level by level; `*` never crosses a `/`.
pub fn glob_matches(pattern: &str, path: &str) -> bool {
    let mut levels = path.split('/');
    pattern.split('/').all(|level| levels.next().is_some_and(|name| level_matches(level, name)))
        && levels.next().is_none()
}

/// Whether some path may match both patterns.
pub fn patterns_overlap(a: &str, b: &str) -> bool {
    levels(a) == levels(b) && a.split('/').zip(b.split('/')).all(|(a, b)| levels_overlap(a, b))
}

/// Whether some name may match one level of both. With a star in each, what stands before their first stars and behind
/// their last ones decides: whatever is between finds room.
fn levels_overlap(a: &str, b: &str) -> bool {
    match (a.split_once('*'), b.split_once('*')) {
        (None, _) => level_matches(b, a),
        (_, None) => level_matches(a, b),
        (Some((head, rest)), Some((other_head, other_rest))) => {
            let (tail, other_tail) = (last_piece(rest), last_piece(other_rest));
            (head.starts_with(other_head) || other_head.starts_with(head))
                && (tail.ends_with(other_tail) || other_tail.ends_with(tail))
        }
    }
}

fn last_piece(rest: &str) -> &str {
    rest.rsplit('*').next().unwrap_or(rest)
}

/// The fixed levels that a glob begins with: all its matches do. Empty if the first level has a star.
pub fn beginning(pattern: &str) -> &str {
    let star = pattern.find('*').unwrap_or(pattern.len());
    pattern[..star].rsplit_once('/').map_or("", |(fixed, _)| fixed)
}

fn levels(path: &str) -> usize {
    path.matches('/').count()
}

/// Whether a path is a place of a glob: one whose children are matched against a level of it with a star.
pub fn is_place(pattern: &str, path: &str) -> bool {
    let depth = if path == "/" { 0 } else { path.matches('/').count() };
    let mut ends = pattern.match_indices('/').map(|(at, _)| at).skip(depth);
    let Some(end) = ends.next() else { return false };
    let next = &pattern[end + 1..ends.next().unwrap_or(pattern.len())];
    next.contains('*') && (depth == 0 || glob_matches(&pattern[..end], path))
}

/// Whether one level of a pattern matches one name.
pub fn level_matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    // Every piece but the last is found at its first place, which leaves the most for those that follow.
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return name.ends_with(piece);
        }
        let Some(at) = name.find(piece) else { return false };
        name = &name[at + piece.len()..];
    }
    false
}

/// Something for each of many patterns, found by what those begin with and how many levels they have: few can match a path.
#[derive(Debug)]
pub struct PatternIndex<T>(HashMap<(Box<str>, usize), Vec<T>>);

impl<T> Default for PatternIndex<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> PatternIndex<T> {
    /// Takes one more in.
    pub fn insert(&mut self, pattern: &str, found: T) {
        self.0.entry((beginning(pattern).into(), levels(pattern))).or_default().push(found);
    }

    /// What belongs to the patterns that may match the path, in groups, each in the order in which it was taken in.
    pub fn near(&self, path: &str) -> impl Iterator<Item = &[T]> {
        let levels = levels(path);
        let beginnings = path.match_indices('/').map(|(at, _)| &path[..at]);
        beginnings.filter_map(move |beginning| Some(&**self.0.get(&(beginning.into(), levels))?))
    }
}

/// All rules of one configuration, and which of them a concrete path belongs to.
#[derive(Debug, Default)]
pub struct RuleSet {
    exact: HashSet<ByPath>,
    /// The longest first, of those the one with fewer stars, then by name, so that the first match is the one that counts.
    globs: Vec<Rules>,
    /// The places of globs in that order.
    places: PatternIndex<usize>,
    /// What they were called before.
    pub(super) former: FormerNames,
}

impl RuleSet {
    /// Sorts rules into those by name and globs. Of those with one path each that has a name of its own stays, in this
    /// order; of others the last. The configuration refuses duplicates before.
    pub fn new(rules: Vec<Rule>) -> Self {
        let (globs, exact): (Vec<_>, Vec<_>) =
            rules.into_iter().map(Arc::new).partition(|rule| rule.is_glob());
        let mut globs: Vec<_> = by_path(globs).into_iter().map(|found| found.0).collect();
        let stars = |rules: &Rules| rules.path().matches('*').count();
        globs.sort_by_key(|rules| (Reverse(rules.path().len()), stars(rules), Arc::clone(rules.path())));
        let mut places = PatternIndex::default();
        globs.iter().enumerate().for_each(|(place, glob)| places.insert(glob.path(), place));
        Self { exact: by_path(exact), globs, places, former: FormerNames::default() }
    }

    /// The rules that a concrete path belongs to: those that name it, else those of the longest glob.
    pub fn for_path(&self, path: &str) -> Option<&Rules> {
        self.exact.get(path).map(|found| &found.0).or_else(|| self.glob_for(path))
    }

    /// The rules of who names a path or glob: those that are written for it, else those that it belongs to.
    pub fn meant(&self, pattern: &str) -> Option<&Rules> {
        let written = || self.globs.iter().find(|rules| **rules.path() == *pattern);
        self.naming(pattern).or_else(written).or_else(|| self.for_path(pattern))
    }

    /// The rule of an alert.
    pub fn rule(&self, key: &AlertKey) -> Option<&Arc<Rule>> {
        self.for_path(&key.path)?.named(key.name.as_deref())
    }

    /// The rule that goes on with what an entry of the ledger is about: the one of that name, or in whose place it came.
    pub fn successor(&self, key: &AlertKey, before: &[Name]) -> Option<&Arc<Rule>> {
        self.rule(key).or_else(|| Some(self.heir(key, before)?.1))
    }

    /// The rule that took the place of the one that an alert is of by its name, and how many go before it in the choice.
    ///
    /// A reload tells which it is. After a restart it is known only where the rule had no name, or has none now: no other
    /// name could stand beside that. Where an entry of the ledger says what its rule was called `before`, it may be that the
    /// agent that wrote it has reloaded and this one has yet to.
    pub fn heir(&self, key: &AlertKey, before: &[Name]) -> Option<(usize, &Arc<Rule>)> {
        let rules = self.for_path(&key.path)?;
        if rules.named(key.name.as_deref()).is_some() {
            return None;
        }
        if let Some((place, name)) = self.former.heir(rules.path(), key.name.as_ref()) {
            return Some((place, rules.named(name)?));
        }
        if let Some(rule) = before.iter().find_map(|name| rules.named(name.as_deref())) {
            return Some((usize::MAX, rule));
        }
        let is_alone = key.name.is_none() || rules.first().terms.name.is_none();
        is_alone.then(|| (usize::MAX, rules.first()))
    }

    /// The rules that name this one path.
    pub(super) fn naming(&self, path: &str) -> Option<&Rules> {
        self.exact.get(path).map(|found| &found.0)
    }

    fn glob_for(&self, path: &str) -> Option<&Rules> {
        if self.globs.is_empty() {
            return None;
        }
        let matching = self.places.near(path).filter_map(|places| {
            places.iter().copied().find(|place| glob_matches(self.globs[*place].path(), path))
        });
        matching.min().map(|place| &self.globs[place])
    }

    /// The rules of all paths that a path or glob may stand for, whether those are there or not.
    pub fn for_pattern(&self, pattern: &str) -> Vec<&Rules> {
        if !is_glob(pattern) {
            return self.for_path(pattern).into_iter().collect();
        }
        let mut found: Vec<_> = self.exact().filter(|rules| glob_matches(pattern, rules.path())).collect();
        for rules in self.globs.iter().filter(|rules| patterns_overlap(pattern, rules.path())) {
            found.push(rules);
            // One that matches whatever the pattern does leaves nothing to those behind it.
            if glob_matches(rules.path(), pattern) {
                break;
            }
        }
        found
    }

    /// The rules that name one path each, in no order.
    pub fn exact(&self) -> impl Iterator<Item = &Rules> {
        self.exact.iter().map(|found| &found.0)
    }

    /// The globs, the longest first.
    pub fn globs(&self) -> &[Rules] {
        &self.globs
    }

    /// How many paths and globs have rules.
    pub fn len(&self) -> usize {
        self.exact.len() + self.globs.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Rules that are found by their path, which they hold themselves: a key beside them would take as much room again.
#[derive(Debug)]
struct ByPath(Rules);

impl Borrow<str> for ByPath {
    fn borrow(&self) -> &str {
        self.0.path()
    }
}

impl PartialEq for ByPath {
    fn eq(&self, other: &Self) -> bool {
        self.0.path() == other.0.path()
    }
}

impl Eq for ByPath {}

/// As its path's, by which it is looked for.
impl Hash for ByPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self.0.path()).hash(state);
    }
}

fn by_path(rules: Vec<Arc<Rule>>) -> HashSet<ByPath> {
    let mut all = HashSet::<ByPath>::with_capacity(rules.len());
    for rule in rules {
        let others = all.take(&*rule.path).map(|found| found.0).filter(|others| {
            let has_name = |rule: &Arc<Rule>| rule.terms.name.is_some();
            has_name(&rule)
                && others.iter().all(has_name)
                && others.named(rule.terms.name.as_deref()).is_none()
        });
        all.insert(ByPath(match others {
            Some(others) => others.with(rule),
            None => Rules::One(rule),
        }));
    }
    all
}

#[cfg(test)]
mod tests;
