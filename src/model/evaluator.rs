//! All paths: observations in, transitions out.

mod judged;
mod known;
mod path;
mod sight;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use self::judged::{Judgement, Seen, count};
use self::known::Known;
use self::path::Path;
use self::sight::Sight;
use super::event::What;
use super::observation::{Adoption, Observation};
use super::path::LONGEST;
use super::path_status::{PathState, PathStatus};
use super::reading::Reading;
use super::rule::{RuleSet, Rules, beginning, is_place};
use super::server_clock::ServerClock;
use super::status::{Compliance, Histogram};
use super::time::Now;
use super::transition::{EvaluatorOutput, Forgetting};

/// How many vanished matches are remembered at most: as many paths as one agent is made for.
const VANISHED: usize = 100_000;

/// Judges every path by its rules, and knows which judgements still hold.
#[derive(Debug)]
pub struct Evaluator {
    rules: Arc<RuleSet>,
    paths: Known,
    /// Globs whose matches are all known in this session, but for those in places that cannot be listed.
    expanded: BTreeSet<Arc<str>>,
    /// Places of globs that cannot be listed, and why.
    unlisted: BTreeMap<Arc<str>, Arc<str>>,
    sight: Sight,
    /// When vanished matches of globs are to be forgotten.
    forget: BTreeSet<(Instant, Arc<str>)>,
    /// Paths of which time alone changes the judgement, and when.
    reviews: BTreeSet<(Instant, Arc<str>)>,
    clock: ServerClock,
    /// What ages were judged by last.
    judged_by: ServerClock,
    /// How many paths that are named by a rule are fresh.
    fresh_named: usize,
    transitions: u64,
    latency: Histogram,
    /// Whether the snapshot may be another than when that was asked for last.
    changed: bool,
    /// Readings that differ from what was recorded before, if somebody takes them.
    records: Option<Vec<What>>,
}

impl Evaluator {
    /// With these rules in force from the first moment: nothing of them is known yet.
    pub fn new(rules: Arc<RuleSet>, now: Now) -> Self {
        let mut evaluator = Self {
            rules: Arc::default(),
            paths: Known::default(),
            expanded: BTreeSet::new(),
            unlisted: BTreeMap::new(),
            sight: Sight::new(),
            forget: BTreeSet::new(),
            reviews: BTreeSet::new(),
            clock: ServerClock::default(),
            judged_by: ServerClock::default(),
            fresh_named: 0,
            transitions: 0,
            latency: Histogram::default(),
            changed: true,
            records: None,
        };
        // Whoever acts on judgements hears of the rules with the first fact, which tells them again.
        evaluator.change_rules(rules, now, &mut Vec::new());
        evaluator
    }

    /// Has readings recorded, for [`Self::take_records`].
    #[must_use]
    pub fn recording(self) -> Self {
        Self { records: Some(Vec::new()), ..self }
    }

    /// The readings since this was asked last that differ from what was recorded of their paths before. Whoever has them
    /// recorded asks after each observation.
    pub fn take_records(&mut self) -> Vec<What> {
        self.records.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes one observation; what follows from it is appended to `out`.
    pub fn observe(&mut self, observation: Observation, now: Now, out: &mut Vec<EvaluatorOutput>) {
        // A heartbeat that finds the clock where it should be is no reason to look at a hundred thousand paths.
        self.changed |= !matches!(observation, Observation::Clock(_));
        match observation {
            Observation::Rules(rules) => self.change_rules(rules, now, out),
            Observation::Up => {
                self.sight.open();
                self.lose_sight(now);
            }
            Observation::Down(reason) => {
                self.sight.close(reason);
                self.lose_sight(now);
                out.push(EvaluatorOutput::Stale);
            }
            Observation::Read { path, reading, delay } => {
                if let Some(delay) = delay {
                    self.latency.observe(delay);
                }
                self.judge(path, reading, now, out);
            }
            Observation::Adopted(adoption) => self.adopt(&adoption, now, out),
            Observation::Expanded { glob } => {
                self.judge_vanished(&glob, now, out);
                self.expanded.insert(glob);
            }
            Observation::Unlisted { place, reason } => {
                self.unlisted.insert(Arc::clone(&place), reason);
                self.judge_again(&place, now, out);
            }
            Observation::Listed { place } => {
                self.unlisted.remove(&place);
                self.judge_again(&place, now, out);
            }
            Observation::Clock(sample) => {
                self.clock.take(sample);
                self.judge_ages(now, out);
            }
            Observation::Armed(_) => {}
            Observation::LedgerChanged(change) => out.push(EvaluatorOutput::LedgerChanged(change)),
            Observation::Barrier(number) => out.push(EvaluatorOutput::Barrier(number)),
        }
    }

    /// Forgets the vanished matches whose time has come, and judges what time alone changes.
    pub fn tick(&mut self, now: Now, out: &mut Vec<EvaluatorOutput>) {
        while self.reviews.first().is_some_and(|(at, _)| *at <= now.mono) {
            self.reviews.pop_first().into_iter().for_each(|(_, path)| self.review(&path, now, out));
        }
        while let Some((at, path)) = self.forget.first().cloned() {
            if at > now.mono {
                return;
            }
            self.forget_path(path, Forgetting::Expired, out);
        }
    }

    /// When `tick` has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.forget.first().into_iter().chain(self.reviews.first()).map(|(at, _)| *at).min()
    }

    /// Whether every rule has been read on the session that is up.
    pub fn is_ready(&self) -> bool {
        let globs = self.rules.globs();
        self.sight.session > 0
            && self.sight.down.is_none()
            && self.fresh_named == self.rules.len() - globs.len()
            && self.unlisted.is_empty()
            && globs.iter().all(|rules| self.expanded.contains(rules.path()))
    }

    /// Whether the snapshot may have changed since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Everything that readers may want to know.
    pub fn snapshot(&mut self) -> Compliance {
        let globs = self.rules.globs().iter().map(Rules::path);
        let matches: BTreeMap<_, _> =
            globs.map(|glob| (Arc::clone(glob), self.paths.matches(glob))).collect();
        let globs = matches.iter().map(|(glob, matches)| self.glob_status(glob, *matches)).collect();
        let sight = &self.sight;
        Compliance {
            paths: self.paths.show(|path, known| sight.status(path, known)),
            globs,
            ready: self.is_ready(),
            transitions: self.transitions,
            watch_latency: self.latency.clone(),
        }
    }

    /// Judgements that the new rules make as the old ones did still hold. The others are said to be stale; the
    /// watching side has those paths read again, but for matches that are gone, of which the last reading still holds.
    fn change_rules(&mut self, rules: Arc<RuleSet>, now: Now, out: &mut Vec<EvaluatorOutput>) {
        out.push(EvaluatorOutput::Rules(Arc::clone(&rules)));
        let mut gone = Vec::new();
        let (session, forget) = (self.sight.session, &mut self.forget);
        self.paths.retain(|path, known| {
            let Some(rules) = rules.for_path(path) else {
                unschedule(forget, path, known);
                return false;
            };
            if !known.is_match() && rules.is_glob() && known.is_absent() {
                // It was in spec without being there: no match of the glob has vanished.
                out.extend(known.forgotten(path, Forgetting::Unasked));
                return false;
            }
            let forget_after = known.forget_after();
            if known.are_judged_like(rules) {
                known
                    .rules
                    .iter_mut()
                    .zip(rules.iter())
                    .for_each(|(judged, rule)| judged.rule = Arc::clone(rule));
                postpone(forget, path, known, forget_after);
                return true;
            }
            if !rules.is_glob() {
                unschedule(forget, path, known);
            }
            if known.forget_at.is_some() && known.session == session {
                gone.push(Arc::clone(path));
            }
            known.change_rules(rules, now);
            postpone(forget, path, known, forget_after);
            out.extend(known.stale(path));
            true
        });
        let fresh = rules.exact().filter(|rules| !self.paths.contains_key(rules.path()));
        let fresh = fresh.map(|rules| (Arc::clone(rules.path()), Path::new(rules, now))).collect();
        self.paths.append(fresh);
        self.expanded.retain(|glob| rules.globs().iter().any(|rules| rules.path() == glob));
        self.rules = rules;
        self.fresh_named =
            self.paths.values().filter(|known| self.sight.is_fresh(known) && !known.is_match()).count();
        if self.sight.down.is_some() {
            return;
        }
        for path in gone {
            self.judge_gone(path, now, out);
        }
    }

    fn adopt(&mut self, adoption: &Adoption, now: Now, out: &mut Vec<EvaluatorOutput>) {
        let Adoption { key, former, since, base } = adoption;
        let Some(rules) = self.rules.for_path(&key.path) else { return };
        if !self.paths.contains_key(&key.path) {
            self.paths.insert(Arc::clone(&key.path), Path::new(rules, now));
        }
        let Some(known) = self.paths.get_mut(&key.path) else { return };
        let Some(rule) = self.rules.successor(key, former) else { return };
        let judged = known.rules.iter_mut().find(|judged| judged.rule.terms.name == rule.terms.name);
        let Some(judged) = judged else { return };
        if judged.judgement == Judgement::None {
            judged.since = *since;
        }
        if let (Some(base), Some(numbers)) = (base, judged.numbers_mut()) {
            numbers.history.adopt(*base, now);
            self.review(&key.path, now, out);
        }
    }

    /// Judges the last reading again: time has passed, or more is known of time.
    fn review(&mut self, path: &Arc<str>, now: Now, out: &mut Vec<EvaluatorOutput>) {
        let Some(last) = self.paths.get_mut(path).and_then(|known| known.last.take()) else { return };
        self.changed = true;
        self.judge_reading(Arc::clone(path), *last, now, out);
    }

    /// Has ages judged by ZooKeeper's clock as it is known now, if that is otherwise than they were judged.
    fn judge_ages(&mut self, now: Now, out: &mut Vec<EvaluatorOutput>) {
        /// Reviews are late by so much at most.
        const TOLERANCE: Duration = Duration::from_millis(100);
        let distance = self.clock.distance(self.judged_by, now.mono);
        if distance.is_some_and(|distance| distance < TOLERANCE) {
            return;
        }
        self.judged_by = self.clock;
        let old = self.paths.iter().filter(|(_, known)| known.last.is_some());
        for path in old.map(|(path, _)| Arc::clone(path)).collect::<Vec<_>>() {
            self.review(&path, now, out);
        }
    }

    /// No reading of before tells how a path is from now on.
    fn lose_sight(&mut self, now: Now) {
        self.expanded.clear();
        self.unlisted.clear();
        self.fresh_named = 0;
        for known in self.paths.each_mut() {
            known.last = None;
            if known.rules.iter().any(|judged| judged.may_be_told(now)) {
                known.recorded = 0;
            }
            known.rules.iter_mut().for_each(|judged| judged.lose_sight(now));
        }
        self.reviews.clear();
    }

    /// All matches of a glob were read in this session, so a match of before that was not is gone.
    fn judge_vanished(&mut self, glob: &Arc<str>, now: Now, out: &mut Vec<EvaluatorOutput>) {
        let stale = |known: &Path| known.pattern() == glob && known.session != self.sight.session;
        let gone = self.below(beginning(glob)).filter(|(_, known)| stale(known));
        for path in gone.map(|(path, _)| Arc::clone(path)).collect::<Vec<_>>() {
            self.judge_gone(path, now, out);
        }
    }

    /// The paths below a znode; empty is the root.
    fn below(&self, place: &str) -> impl Iterator<Item = (&Arc<str>, &Path)> {
        let beginning = format!("{place}/");
        let from = (Bound::Included(beginning.as_str()), Bound::Unbounded);
        let from = self.paths.range::<str, _>(from);
        from.take_while(move |(path, _)| path.starts_with(&beginning))
    }

    /// Whether a place can be listed has changed: matches that had vanished from there may be back unseen, or are known
    /// to be gone again.
    fn judge_again(&mut self, place: &str, now: Now, out: &mut Vec<EvaluatorOutput>) {
        let there = self.below(place.trim_end_matches('/'));
        let gone = there.filter(|(_, known)| {
            let is_gone = known.forget_at.is_some() && known.session == self.sight.session;
            is_gone && is_place(known.pattern(), place)
        });
        for path in gone.map(|(path, _)| Arc::clone(path)).collect::<Vec<_>>() {
            self.judge_gone(path, now, out);
        }
    }

    /// No reading of this session shows the match. It is gone, unless it may be where nothing can be listed.
    fn judge_gone(&mut self, path: Arc<str>, now: Now, out: &mut Vec<EvaluatorOutput>) {
        let known = self.paths.get(&path);
        let Some(reason) = known.and_then(|known| self.hidden(&path, known.pattern())) else {
            return self.judge(path, Reading::Missing, now, out);
        };
        let session = self.sight.session;
        if let Some(known) = self.paths.get_mut(&path) {
            for judged in known.rules.iter_mut() {
                judged.change(|known| known.unreadable = Some(Arc::clone(&reason)));
                judged.lose_sight(now);
            }
            (known.session, known.last) = (session, None);
            known.record(&path, &Reading::Unreadable(reason), &mut self.records);
            schedule(&mut self.forget, &path, known, now);
            out.extend(known.stale(&path));
        }
    }

    /// Why it cannot be known whether a match of a glob that no reading shows is there.
    fn hidden(&self, path: &str, glob: &str) -> Option<Arc<str>> {
        if self.unlisted.is_empty() {
            return None;
        }
        let above = path.match_indices('/').map(|(at, _)| if at == 0 { "/" } else { &path[..at] });
        let places = above.filter(|place| is_place(glob, place));
        let shut = places.filter_map(|place| self.unlisted.get_key_value(place)).next();
        shut.map(|(place, reason)| unlisted_words(place, reason))
    }

    fn judge(&mut self, path: Arc<str>, reading: Reading, now: Now, out: &mut Vec<EvaluatorOutput>) {
        let Some(rules) = self.rules.for_path(&path) else { return };
        let nameable = path.len() <= LONGEST;
        if reading == Reading::Missing && rules.is_glob() && (rules.ask_nothing() || !nameable) {
            return self.forget_path(path, Forgetting::Unasked, out);
        }
        if !self.paths.contains_key(&path) {
            // A place where a glob could match, and does not: nothing has vanished.
            if reading == Reading::Missing {
                return;
            }
            self.paths.insert(Arc::clone(&path), Path::new(rules, now));
        }
        if !nameable {
            // Nothing of it could be written into the ledger.
            let reason = format!("name too long: {} bytes, and at most {LONGEST} are watched", path.len());
            return self.judge_reading(path, Reading::Unreadable(reason.into()), now, out);
        }
        self.judge_reading(path, reading, now, out);
        if self.forget.len() > VANISHED
            && let Some((_, path)) = self.forget.first().cloned()
        {
            self.forget_path(path, Forgetting::Crowded, out);
        }
    }

    fn judge_reading(&mut self, path: Arc<str>, reading: Reading, now: Now, out: &mut Vec<EvaluatorOutput>) {
        let session = self.sight.session;
        let Some(known) = self.paths.get_mut(&path) else { return };
        let first = known.session != session;
        (known.session, known.missing) = (session, reading == Reading::Missing);
        self.fresh_named += usize::from(first && !known.is_match());
        let vanished = known.is_match() && known.missing;
        if vanished {
            schedule(&mut self.forget, &path, known, now);
        } else {
            unschedule(&mut self.forget, &path, known);
        }
        known.children = match &reading {
            Reading::Shut(_) | Reading::Unreadable(_) => known.children,
            Reading::Missing | Reading::Present { .. } => count(&reading),
        };
        let seen = Seen { path: &path, reading: &reading, first, vanished, clock: self.clock, now };
        let (before, mut changed) = (known.review_at(), false);
        for judged in known.rules.iter_mut() {
            changed |= judged.observe(seen, out);
        }
        known.record(&path, &reading, &mut self.records);
        self.transitions += u64::from(changed);
        reschedule(&mut self.reviews, &path, before, known.review_at());
        let may_change = known.rules.iter().any(|judged| judged.rule.terms.specs.ask_for_time());
        let is_kept = may_change && reading.refusal().is_none();
        known.last = is_kept.then(|| Box::new(reading));
    }

    fn forget_path(&mut self, path: Arc<str>, why: Forgetting, out: &mut Vec<EvaluatorOutput>) {
        let Some(mut known) = self.paths.remove(&path) else { return };
        self.changed = true;
        unschedule(&mut self.forget, &path, &mut known);
        out.extend(known.forgotten(&path, why));
    }

    fn glob_status(&self, glob: &Arc<str>, matches: u32) -> PathStatus {
        let shut = self.unlisted.iter().find(|(place, _)| is_place(glob, place));
        let state = match (&self.sight.down, shut) {
            (None, Some((place, reason))) => PathState::Unknown(unlisted_words(place, reason)),
            (None, None) if self.expanded.contains(glob) => PathState::Ok,
            (None, None) => PathState::Unknown("not read yet".into()),
            (Some(reason), _) => {
                PathState::Unknown(format!("connection to ZooKeeper lost ({reason})").into())
            }
        };
        PathStatus {
            path: Arc::clone(glob),
            rule: Arc::clone(glob),
            state,
            children: Some(matches),
            since: SystemTime::UNIX_EPOCH,
            particulars: None,
        }
    }
}

/// Has a vanished match forgotten in time, if that is not planned already.
fn schedule(forget: &mut BTreeSet<(Instant, Arc<str>)>, path: &Arc<str>, known: &mut Path, now: Now) {
    if known.forget_at.is_some() {
        return;
    }
    // One that was adopted vanished in another agent's time, at the latest when its incident began.
    let unjudged = known.rules.iter().filter(|judged| judged.judgement == Judgement::None);
    let vanished = unjudged.map(|judged| judged.since).max().map_or(now.mono, |since| now.mono_at(since));
    let at = vanished + known.forget_after();
    known.forget_at = Some(Box::new(at));
    forget.insert((at, Arc::clone(path)));
}

/// Has a vanished match forgotten when its rules say so by now; it was to be after that long.
fn postpone(forget: &mut BTreeSet<(Instant, Arc<str>)>, path: &Arc<str>, known: &mut Path, before: Duration) {
    let wait = known.forget_after();
    let Some(at) = known.forget_at.as_deref_mut().filter(|_| wait != before) else { return };
    forget.remove(&(*at, Arc::clone(path)));
    *at = *at - before + wait;
    forget.insert((*at, Arc::clone(path)));
}

/// Has the last reading of a path judged again at another time than before.
fn reschedule(
    reviews: &mut BTreeSet<(Instant, Arc<str>)>,
    path: &Arc<str>,
    before: Option<Instant>,
    at: Option<Instant>,
) {
    if let Some(before) = before {
        reviews.remove(&(before, Arc::clone(path)));
    }
    reviews.extend(at.map(|at| (at, Arc::clone(path))));
}

fn unschedule(forget: &mut BTreeSet<(Instant, Arc<str>)>, path: &Arc<str>, known: &mut Path) {
    if let Some(at) = known.forget_at.take() {
        forget.remove(&(*at, Arc::clone(path)));
    }
}

fn unlisted_words(place: &str, reason: &str) -> Arc<str> {
    format!("{place} cannot be listed: {reason}").into()
}

#[cfg(test)]
mod tests;
