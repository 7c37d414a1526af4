//! What is known of one path.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::judged::{Judged, Judgement};
use crate::model::children::Children;
use crate::model::event::What;
use crate::model::one_or_many::OneOrMany;
use crate::model::path_status::{Particulars, PathState};
use crate::model::reading::{Reading, Recorded};
use crate::model::rule::Rules;
use crate::model::severity::Severity;
use crate::model::succession::successions;
use crate::model::time::Now;
use crate::model::transition::{EvaluatorOutput, Forgetting};

/// What is known of one path: one reading, and what each of its rules makes of that.
#[derive(Debug)]
pub(super) struct Path {
    pub rules: OneOrMany<Judged>,
    /// How many children it had when it was read last, if that was read.
    pub children: Option<u32>,
    /// The session in which it was read last; 0 is never.
    pub session: u32,
    /// Whether it was missing then.
    pub missing: bool,
    /// When it is forgotten, if it is a match of a glob that is gone.
    pub forget_at: Option<Box<Instant>>,
    /// The last reading of this session, for rules by which time alone changes its judgement.
    pub last: Option<Box<Reading>>,
    /// A digest of what was recorded of it last; 0 is nothing.
    pub recorded: u64,
}

impl Path {
    pub fn new(rules: &Rules, now: Now) -> Self {
        Self {
            rules: rules.map(|rule| Judged::new(rule, now.wall)),
            children: None,
            session: 0,
            missing: false,
            forget_at: None,
            last: None,
            recorded: 0,
        }
    }

    /// Records a reading that was judged, if that is another than the one before.
    pub fn record(&mut self, path: &Arc<str>, reading: &Reading, records: &mut Option<Vec<What>>) {
        let Some(records) = records else { return };
        let recorded = match reading {
            Reading::Missing => Recorded::Missing,
            // A replay judges again what was judged.
            Reading::Shut(_) if self.rules.iter().any(|judged| judged.unreadable().is_none()) => {
                Recorded::Present { children: None, data: None, rules: Box::default() }
            }
            Reading::Shut(reason) | Reading::Unreadable(reason) => Recorded::Unreadable(Arc::clone(reason)),
            Reading::Present { children, data, .. } => Recorded::Present {
                children: children.as_ref().map(Children::count),
                data: data.as_ref().map(|written| digest(&written.data)),
                rules: self.rules.iter().filter_map(Judged::recorded).collect(),
            },
        };
        let digest = digest(&recorded);
        let before = std::mem::replace(&mut self.recorded, digest);
        if before != digest {
            records.push(What::Reading { path: Arc::clone(path), recorded, first: before == 0 });
        }
    }

    /// The path of its rules as written.
    pub fn pattern(&self) -> &Arc<str> {
        &self.rules.first().rule.path
    }

    /// Whether it is a glob's.
    pub fn is_match(&self) -> bool {
        self.rules.first().rule.is_glob()
    }

    /// Whether it was missing when it was read last, and that was in spec.
    pub fn is_absent(&self) -> bool {
        self.missing && self.rules.iter().all(|judged| judged.judgement == Judgement::Ok)
    }

    /// Whether other rules judge every reading as its own do.
    pub fn are_judged_like(&self, rules: &Rules) -> bool {
        self.rules.count() == rules.count()
            && self.rules.iter().zip(rules.iter()).all(|(judged, rule)| judged.rule.judges_like(rule))
    }

    /// How long after it vanished it is forgotten. Its alerts go together, and none before its time.
    pub fn forget_after(&self) -> Duration {
        self.rules.iter().map(|judged| judged.rule.terms.forget_after).max().unwrap_or_default()
    }

    /// Other rules hold from now on, by which it has yet to be judged. What is gone has been so since before.
    pub fn change_rules(&mut self, rules: &Rules, now: Now) {
        let since = |judged: &Judged| if self.forget_at.is_some() { judged.since } else { now.wall };
        let old = self.rules.map(|judged| Arc::clone(&judged.rule));
        let renamed = successions(&old, rules, |_| true);
        self.rules = rules.map(|rule| {
            let gone = renamed.iter().find(|(_, heir)| Arc::ptr_eq(heir, rule)).map(|(gone, _)| *gone);
            let name = &gone.unwrap_or(rule).terms.name;
            let mut before = self.rules.iter().filter(|judged| judged.rule.terms.name == *name);
            let before = before.next().unwrap_or(self.rules.first());
            let mut judged =
                Judged { compliant: before.compliant.clone(), ..Judged::new(rule, since(before)) };
            if let (Some(before), Some(numbers)) = (before.numbers(), judged.numbers_mut()) {
                numbers.history = before.history.clone();
            }
            judged
        });
        (self.children, self.session, self.last) = (None, 0, None);
    }

    /// When its last reading is to be judged again, if time alone can change that.
    pub fn review_at(&self) -> Option<Instant> {
        self.rules.iter().filter_map(Judged::review_at).min()
    }

    /// What was told of its alerts does not hold any more.
    pub fn stale<'a>(&'a self, path: &'a Arc<str>) -> impl Iterator<Item = EvaluatorOutput> + 'a {
        self.rules.iter().map(|judged| EvaluatorOutput::StaleAlert(judged.rule.key(path)))
    }

    pub fn forgotten<'a>(
        &'a self,
        path: &'a Arc<str>,
        why: Forgetting,
    ) -> impl Iterator<Item = EvaluatorOutput> + 'a {
        self.rules.iter().map(move |judged| EvaluatorOutput::Forgotten(judged.rule.key(path), why))
    }

    pub fn particulars(&self, states: &OneOrMany<PathState>) -> Particulars {
        let rules = self.rules.iter().zip(states.iter());
        let rules: Vec<_> = rules.filter_map(|(judged, state)| judged.status(state.clone())).collect();
        let only = Some(self.rules.first()).filter(|_| rules.is_empty());
        let (most, counted) = (only.and_then(Judged::most), only.and_then(Judged::counted).cloned());
        Particulars { most, counted, severity: self.severity(states), rules }
    }

    /// How bad it is, given how its rules see it; or how bad it would be, if it is not out of spec.
    pub fn severity(&self, states: &OneOrMany<PathState>) -> Severity {
        let rules = || self.rules.iter().map(|judged| judged.rule.terms.severity);
        let wrong = rules().zip(states.iter()).filter(|(_, state)| matches!(state, PathState::Error(_)));
        wrong.map(|(severity, _)| severity).max().or(rules().max()).unwrap_or_default()
    }

    /// Since when it stands as it does, given how its rules see it: since the first that is out of spec fell out of it,
    /// or since the last came back.
    pub fn since(&self, states: &OneOrMany<PathState>) -> SystemTime {
        let is_error = |state: &PathState| matches!(state, PathState::Error(_));
        let rules = self.rules.iter().zip(states.iter());
        let wrong = rules.filter(|(_, state)| is_error(state)).map(|(judged, _)| judged.since);
        let first = self.rules.first().since;
        wrong.min().unwrap_or_else(|| self.rules.iter().map(|judged| judged.since).max().unwrap_or(first))
    }
}

fn digest(of: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
