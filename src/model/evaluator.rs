//! All paths: observations in, transitions out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::children::{Children, Left};
use super::judge::Verdict;
use super::message;
use super::observation::Observation;
use super::path::LONGEST;
use super::reading::Reading;
use super::rule::{Rule, RuleSet, beginning, is_place};
use super::status::{Compliance, Histogram, PathState, PathStatus};
use super::time::Now;
use super::transition::{EvaluatorOutput, Forgetting, State, Transition};

/// How many vanished matches are remembered at most: as many paths as one agent is made for.
const VANISHED: usize = 100_000;

/// Judges every path by its rule, and knows which judgements still hold.
#[derive(Debug)]
pub struct Evaluator {
    rules: Arc<RuleSet>,
    paths: BTreeMap<Arc<str>, Path>,
    /// Globs whose matches are all known in this session, but for those in places that cannot be listed.
    expanded: BTreeSet<Arc<str>>,
    /// Places of globs that cannot be listed, and why.
    unlisted: BTreeMap<Arc<str>, Arc<str>>,
    /// Counts sessions, so that a judgement tells by a number whether it is of this one.
    session: u64,
    /// Why there is no session, while there is none.
    down: Option<Arc<str>>,
    /// When vanished matches of globs are to be forgotten.
    forget: BTreeSet<(Instant, Arc<str>)>,
    /// How many paths that are named by a rule are fresh.
    fresh_named: usize,
    transitions: u64,
    latency: Histogram,
}

/// What is known of one path.
#[derive(Debug)]
struct Path {
    rule: Arc<Rule>,
    judged: Option<Judgement>,
    /// The session in which it was read last; 0 is never.
    session: u64,
    /// Whether it was missing then.
    missing: bool,
    /// Why it cannot be read, if that is so.
    unreadable: Option<Arc<str>>,
    /// Its children when it was last in spec, for those whose children are read.
    compliant: Option<Children>,
    since: SystemTime,
    forget_at: Option<Instant>,
}

#[derive(Debug)]
struct Judgement {
    /// The words, if it is out of spec.
    error: Option<Arc<str>>,
    children: Option<u32>,
}

impl Evaluator {
    /// With these rules in force from the first moment: nothing of them is known yet.
    pub fn new(rules: Arc<RuleSet>, now: Now) -> Self {
        let mut evaluator = Self {
            rules: Arc::default(),
            paths: BTreeMap::new(),
            expanded: BTreeSet::new(),
            unlisted: BTreeMap::new(),
            session: 0,
            down: None,
            forget: BTreeSet::new(),
            fresh_named: 0,
            transitions: 0,
            latency: Histogram::default(),
        };
        // Whoever acts on judgements hears of the rules with the first fact, which tells them again.
        evaluator.change_rules(rules, now, &mut Vec::new());
        evaluator
    }

    /// Takes one observation; what follows from it is appended to `out`.
    pub fn observe(&mut self, observation: Observation, now: Now, out: &mut Vec<EvaluatorOutput>) {
        match observation {
            Observation::Rules(rules) => self.change_rules(rules, now, out),
            Observation::Up => {
                self.session += 1;
                self.down = None;
                self.expanded.clear();
                self.unlisted.clear();
                self.fresh_named = 0;
            }
            Observation::Down(reason) => {
                self.down = Some(reason);
                self.expanded.clear();
                self.unlisted.clear();
                self.fresh_named = 0;
                out.push(EvaluatorOutput::Stale);
            }
            Observation::Read { path, reading, delay } => {
                if let Some(delay) = delay {
                    self.latency.observe(delay);
                }
                self.judge(path, &reading, now, out);
            }
            Observation::Adopted { path, since } => self.adopt(path, since, now),
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
            Observation::Armed(_) => {}
            Observation::LedgerChanged => out.push(EvaluatorOutput::LedgerChanged),
            Observation::Barrier(number) => out.push(EvaluatorOutput::Barrier(number)),
        }
    }

    /// Forgets the vanished matches whose time has come.
    pub fn tick(&mut self, now: Now, out: &mut Vec<EvaluatorOutput>) {
        while let Some((at, path)) = self.forget.first().cloned() {
            if at > now.mono {
                return;
            }
            self.forget_path(path, Forgetting::Expired, out);
        }
    }

    /// When `tick` has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.forget.first().map(|(at, _)| *at)
    }

    /// Whether every rule has been read on the session that is up.
    pub fn is_ready(&self) -> bool {
        let globs = self.rules.globs();
        self.session > 0
            && self.down.is_none()
            && self.fresh_named == self.rules.len() - globs.len()
            && self.unlisted.is_empty()
            && globs.iter().all(|rule| self.expanded.contains(&rule.path))
    }

    /// Everything that readers may want to know.
    pub fn snapshot(&self) -> Compliance {
        let mut matches = HashMap::<&str, u32>::new();
        for known in self.paths.values().filter(|known| known.rule.is_glob()) {
            *matches.entry(&known.rule.path).or_default() += 1;
        }
        let count = |glob: &Rule| matches.get(&*glob.path).copied().unwrap_or_default();
        let globs = self.rules.globs().iter();
        let mut globs: Vec<_> = globs.map(|glob| self.glob_status(glob, count(glob))).collect();
        globs.sort_by(|a, b| a.path.cmp(&b.path));
        Compliance {
            paths: self.paths.iter().map(|(path, known)| self.status(path, known)).collect(),
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
        let (session, forget) = (self.session, &mut self.forget);
        self.paths.retain(|path, known| {
            let Some(rule) = rules.for_path(path) else {
                unschedule(forget, path, known);
                return false;
            };
            if !known.rule.is_glob() && rule.is_glob() && known.is_absent() {
                // It was in spec without being there: no match of the glob has vanished.
                out.push(EvaluatorOutput::Forgotten(Arc::clone(path), Forgetting::Unasked));
                return false;
            }
            if !known.rule.judges_like(rule) {
                if !rule.is_glob() {
                    unschedule(forget, path, known);
                }
                if known.forget_at.is_none() {
                    known.since = now.wall;
                } else if known.session == session {
                    gone.push(Arc::clone(path));
                }
                (known.judged, known.unreadable, known.session) = (None, None, 0);
                out.push(EvaluatorOutput::StalePath(Arc::clone(path)));
            }
            known.rule = Arc::clone(rule);
            true
        });
        let fresh = rules.exact().filter(|rule| !self.paths.contains_key(&rule.path));
        // Put in all at once they fill the map's nodes, which single insertions leave half empty.
        let mut fresh = fresh.map(|rule| (Arc::clone(&rule.path), Path::new(rule, now))).collect();
        self.paths.append(&mut fresh);
        self.expanded.retain(|glob| rules.globs().iter().any(|rule| rule.path == *glob));
        self.rules = rules;
        self.fresh_named =
            self.paths.values().filter(|known| self.is_fresh(known) && !known.rule.is_glob()).count();
        if self.down.is_some() {
            return;
        }
        for path in gone {
            self.judge_gone(path, now, out);
        }
    }

    fn adopt(&mut self, path: Arc<str>, since: SystemTime, now: Now) {
        let Some(rule) = self.rules.for_path(&path) else { return };
        self.paths.entry(path).or_insert_with(|| Path { since, ..Path::new(rule, now) });
    }

    /// All matches of a glob were read in this session, so a match of before that was not is gone.
    fn judge_vanished(&mut self, glob: &Arc<str>, now: Now, out: &mut Vec<EvaluatorOutput>) {
        let stale = |known: &Path| known.rule.path == *glob && known.session != self.session;
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
            let is_gone = known.forget_at.is_some() && known.session == self.session;
            is_gone && is_place(&known.rule.path, place)
        });
        for path in gone.map(|(path, _)| Arc::clone(path)).collect::<Vec<_>>() {
            self.judge_gone(path, now, out);
        }
    }

    /// No reading of this session shows the match. It is gone, unless it may be where nothing can be listed.
    fn judge_gone(&mut self, path: Arc<str>, now: Now, out: &mut Vec<EvaluatorOutput>) {
        let known = self.paths.get(&path);
        let Some(reason) = known.and_then(|known| self.hidden(&path, &known.rule.path)) else {
            return self.judge(path, &Reading::Missing, now, out);
        };
        let session = self.session;
        if let Some(known) = self.paths.get_mut(&path) {
            (known.unreadable, known.session) = (Some(reason), session);
            schedule(&mut self.forget, &path, known, now);
            out.push(EvaluatorOutput::StalePath(path));
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

    fn judge(&mut self, path: Arc<str>, reading: &Reading, now: Now, out: &mut Vec<EvaluatorOutput>) {
        let Some(rule) = self.rules.for_path(&path).cloned() else { return };
        let nameable = path.len() <= LONGEST;
        if *reading == Reading::Missing && rule.is_glob() && (rule.terms.specs.is_empty() || !nameable) {
            return self.forget_path(path, Forgetting::Unasked, out);
        }
        if !self.paths.contains_key(&path) {
            // A place where a glob could match, and does not: nothing has vanished.
            if *reading == Reading::Missing {
                return;
            }
            self.paths.insert(Arc::clone(&path), Path::new(&rule, now));
        }
        if !nameable {
            // Nothing of it could be written into the ledger.
            let reason = format!("name too long: {} bytes, and at most {LONGEST} are watched", path.len());
            return self.judge_reading(path, &rule, &Reading::Unreadable(reason.into()), now, out);
        }
        self.judge_reading(path, &rule, reading, now, out);
        if self.forget.len() > VANISHED
            && let Some((_, path)) = self.forget.first().cloned()
        {
            self.forget_path(path, Forgetting::Crowded, out);
        }
    }

    fn judge_reading(
        &mut self,
        path: Arc<str>,
        rule: &Arc<Rule>,
        reading: &Reading,
        now: Now,
        out: &mut Vec<EvaluatorOutput>,
    ) {
        let session = self.session;
        let Some(known) = self.paths.get_mut(&path) else { return };
        let first = known.session != session;
        (known.session, known.missing) = (session, *reading == Reading::Missing);
        self.fresh_named += usize::from(first && !rule.is_glob());
        if rule.is_glob() && *reading == Reading::Missing {
            schedule(&mut self.forget, &path, known, now);
        } else {
            unschedule(&mut self.forget, &path, known);
        }
        let error = match verdict(rule, reading) {
            Verdict::Ok => None,
            Verdict::Violated(violations) => Some(Arc::<str>::from(message::violations(&violations))),
            Verdict::Unreadable(reason) => {
                if known.unreadable.replace(reason).is_none() {
                    known.since = now.wall;
                }
                out.push(EvaluatorOutput::StalePath(path));
                return;
            }
        };
        let children = count(reading);
        let left = known.note_children(reading, error.is_some());
        let was = known.judged.replace(Judgement { error: error.clone(), children });
        let readable_again = known.unreadable.take().is_some();
        let same = was.as_ref().is_some_and(|was| was.error == error);
        if was.as_ref().is_none_or(|was| was.error.is_some() != error.is_some()) {
            self.transitions += u64::from(was.is_some());
            if was.is_some() || error.is_none() || known.forget_at.is_none() {
                known.since = now.wall;
            }
        }
        if first || readable_again || !same {
            let state = error.map_or(State::Ok, |message| State::Error { message, left });
            let rule = Arc::clone(rule);
            out.push(EvaluatorOutput::Transition(Transition { path, rule, state, children }));
        }
    }

    fn forget_path(&mut self, path: Arc<str>, why: Forgetting, out: &mut Vec<EvaluatorOutput>) {
        let Some(mut known) = self.paths.remove(&path) else { return };
        unschedule(&mut self.forget, &path, &mut known);
        out.push(EvaluatorOutput::Forgotten(path, why));
    }

    fn is_fresh(&self, known: &Path) -> bool {
        self.down.is_none() && self.session > 0 && known.session == self.session
    }

    fn status(&self, path: &Arc<str>, known: &Path) -> PathStatus {
        let children = known.judged.as_ref().and_then(|judged| judged.children);
        let state = self.state(known);
        PathStatus {
            path: Arc::clone(path),
            rule: Arc::clone(&known.rule.path),
            state,
            children,
            since: known.since,
        }
    }

    fn state(&self, known: &Path) -> PathState {
        if self.is_fresh(known) {
            return known.fresh_state();
        }
        let last = known.judged.as_ref().map(|judged| judged.error.as_deref().unwrap_or("in spec"));
        PathState::Unknown(match (&self.down, last) {
            (None, None) => "not read yet".into(),
            (None, Some(last)) => format!("not read yet since the reconnect; last known: {last}").into(),
            (Some(reason), None) => format!("connection to ZooKeeper lost ({reason}); never read").into(),
            (Some(reason), Some(last)) => {
                format!("connection to ZooKeeper lost ({reason}); last known: {last}").into()
            }
        })
    }

    fn glob_status(&self, glob: &Rule, matches: u32) -> PathStatus {
        let shut = self.unlisted.iter().find(|(place, _)| is_place(&glob.path, place));
        let state = match (&self.down, shut) {
            (None, Some((place, reason))) => PathState::Unknown(unlisted_words(place, reason)),
            (None, None) if self.expanded.contains(&glob.path) => PathState::Ok,
            (None, None) => PathState::Unknown("not read yet".into()),
            (Some(reason), _) => {
                PathState::Unknown(format!("connection to ZooKeeper lost ({reason})").into())
            }
        };
        PathStatus {
            path: Arc::clone(&glob.path),
            rule: Arc::clone(&glob.path),
            state,
            children: Some(matches),
            since: SystemTime::UNIX_EPOCH,
        }
    }
}

impl Path {
    fn new(rule: &Arc<Rule>, now: Now) -> Self {
        Self {
            rule: Arc::clone(rule),
            judged: None,
            session: 0,
            missing: false,
            unreadable: None,
            compliant: None,
            since: now.wall,
            forget_at: None,
        }
    }

    /// Whether it was missing when it was read last, and that was in spec.
    fn is_absent(&self) -> bool {
        self.missing && self.judged.as_ref().is_some_and(|judged| judged.error.is_none())
    }

    /// How it stands, if it was read in this session.
    fn fresh_state(&self) -> PathState {
        if let Some(reason) = &self.unreadable {
            return PathState::Unknown(Arc::clone(reason));
        }
        match self.judged.as_ref().and_then(|judged| judged.error.as_ref()) {
            Some(error) => PathState::Error(Arc::clone(error)),
            None => PathState::Ok,
        }
    }

    /// Remembers the children of a path that is in spec; of one that is not, tells which of them left.
    fn note_children(&mut self, reading: &Reading, violated: bool) -> Left {
        let none = Children::default();
        let children = match reading {
            Reading::Present { children: Some(children), .. } => children,
            Reading::Present { children: None, .. } | Reading::Missing | Reading::Unreadable(_) => &none,
        };
        if violated {
            return self
                .compliant
                .as_ref()
                .map_or_else(Left::default, |before| Left::between(before, children));
        }
        self.compliant = (!self.rule.terms.receivers.is_empty()).then(|| children.clone());
        Left::default()
    }
}

/// Has a vanished match forgotten in time, if that is not planned already.
fn schedule(forget: &mut BTreeSet<(Instant, Arc<str>)>, path: &Arc<str>, known: &mut Path, now: Now) {
    if known.forget_at.is_some() {
        return;
    }
    // One that was adopted vanished in another agent's time, at the latest when its incident began.
    let vanished = if known.judged.is_none() { now.mono_at(known.since) } else { now.mono };
    let at = vanished + known.rule.terms.forget_after;
    known.forget_at = Some(at);
    forget.insert((at, Arc::clone(path)));
}

fn unschedule(forget: &mut BTreeSet<(Instant, Arc<str>)>, path: &Arc<str>, known: &mut Path) {
    if let Some(at) = known.forget_at.take() {
        forget.remove(&(at, Arc::clone(path)));
    }
}

/// The verdict on one reading. A vanished match of a glob is out of spec whatever its rule asks, unless the rule
/// asks for just that: that it was there is why it is watched.
fn verdict(rule: &Rule, reading: &Reading) -> Verdict {
    match rule.terms.specs.judge(reading) {
        Verdict::Ok
            if rule.is_glob() && *reading == Reading::Missing && rule.terms.specs.exists != Some(false) =>
        {
            vanished(rule)
        }
        verdict @ (Verdict::Ok | Verdict::Violated(_) | Verdict::Unreadable(_)) => verdict,
    }
}

fn vanished(rule: &Rule) -> Verdict {
    if rule.terms.specs.is_empty() {
        Verdict::Ok
    } else {
        Verdict::Violated(vec![super::judge::Violation::Missing])
    }
}

fn unlisted_words(place: &str, reason: &str) -> Arc<str> {
    format!("{place} cannot be listed: {reason}").into()
}

fn count(reading: &Reading) -> Option<u32> {
    match reading {
        Reading::Missing => Some(0),
        Reading::Present { children, .. } => children.as_ref().map(Children::count),
        Reading::Unreadable(_) => None,
    }
}

#[cfg(test)]
mod tests;
