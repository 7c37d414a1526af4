//! All paths: observations in, transitions out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::children::{Children, Counted, Left};
use super::event::What;
use super::judge::{Assessment, Course, History, Verdict, Violation};
use super::message;
use super::observation::{Adoption, Observation};
use super::one_or_many::OneOrMany;
use super::path::LONGEST;
use super::reading::{EachRead, Reading, Recorded, RecordedRule};
use super::rule::{Rule, RuleSet, Rules, beginning, is_place};
use super::server_clock::ServerClock;
use super::severity::Severity;
use super::status::{Compliance, Histogram, Particulars, PathState, PathStatus, RuleStatus};
use super::succession::successions;
use super::time::Now;
use super::transition::{EvaluatorOutput, Forgetting, State, Transition};

/// How many vanished matches are remembered at most: as many paths as one agent is made for.
const VANISHED: usize = 100_000;

/// Judges every path by its rules, and knows which judgements still hold.
#[derive(Debug)]
pub struct Evaluator {
    rules: Arc<RuleSet>,
    paths: BTreeMap<Arc<str>, Path>,
    /// Globs whose matches are all known in this session, but for those in places that cannot be listed.
    expanded: BTreeSet<Arc<str>>,
    /// Places of globs that cannot be listed, and why.
    unlisted: BTreeMap<Arc<str>, Arc<str>>,
    /// Counts sessions, so that a judgement tells by a number whether it is of this one.
    session: u32,
    /// Why there is no session, while there is none.
    down: Option<Arc<str>>,
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

/// What is known of one path: one reading, and what each of its rules makes of that.
#[derive(Debug)]
struct Path {
    rules: OneOrMany<Judged>,
    /// How many children it had when it was read last, if that was read.
    children: Option<u32>,
    /// The session in which it was read last; 0 is never.
    session: u32,
    /// Whether it was missing then.
    missing: bool,
    /// When it is forgotten, if it is a match of a glob that is gone.
    forget_at: Option<Box<Instant>>,
    /// The last reading of this session, for rules by which time alone changes its judgement.
    last: Option<Box<Reading>>,
    /// A digest of what was recorded of it last; 0 is nothing.
    recorded: u64,
}

/// What one rule makes of a path.
#[derive(Debug)]
struct Judged {
    rule: Arc<Rule>,
    judgement: Judgement,
    /// The children when it was last in spec, for a rule that tells somebody.
    compliant: Option<Children>,
    since: SystemTime,
    /// Nothing of most paths, of which there may be a hundred thousand.
    particulars: Option<Box<Particular>>,
}

/// What is known of some paths beside that.
#[derive(Debug, Default)]
struct Particular {
    /// Why it cannot be judged now, if that is so.
    unreadable: Option<Arc<str>>,
    /// What counted of its children when it was judged last, if not each counts.
    counted: Option<Arc<Counted>>,
    /// Whether the content was as it has to be, if it asks for that and could tell when it judged last.
    content: Option<bool>,
    /// For a rule that asks how far the number of children may fall.
    numbers: Option<Box<Numbers>>,
    /// When something that was read is too old, or has grown old enough to tell of its age again.
    ages_at: Option<Instant>,
}

/// How the number of children has gone.
#[derive(Debug, Default)]
struct Numbers {
    history: History,
    /// What was told of it last.
    course: Option<Course>,
}

/// The last judgement, and whether there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Judgement {
    None,
    Ok,
    /// Out of spec, in these words.
    Error(Arc<str>),
}

/// What is read of a path, and when.
#[derive(Clone, Copy, Debug)]
struct Seen<'a> {
    path: &'a Arc<str>,
    reading: &'a Reading,
    /// Whether it is the first reading of this session.
    first: bool,
    /// Whether the match of a glob is gone.
    vanished: bool,
    clock: ServerClock,
    now: Now,
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
                self.session += 1;
                self.down = None;
                self.lose_sight(now);
            }
            Observation::Down(reason) => {
                self.down = Some(reason);
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
            Observation::LedgerChanged => out.push(EvaluatorOutput::LedgerChanged),
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
        self.session > 0
            && self.down.is_none()
            && self.fresh_named == self.rules.len() - globs.len()
            && self.unlisted.is_empty()
            && globs.iter().all(|rules| self.expanded.contains(rules.path()))
    }

    /// Whether the snapshot may have changed since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Everything that readers may want to know.
    pub fn snapshot(&self) -> Compliance {
        let mut matches = HashMap::<&str, u32>::new();
        for known in self.paths.values().filter(|known| known.is_match()) {
            *matches.entry(known.pattern()).or_default() += 1;
        }
        let count = |glob: &str| matches.get(glob).copied().unwrap_or_default();
        let globs = self.rules.globs().iter().map(Rules::path);
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
            let Some(rules) = rules.for_path(path) else {
                unschedule(forget, path, known);
                return false;
            };
            if !known.is_match() && rules.is_glob() && known.is_absent() {
                // It was in spec without being there: no match of the glob has vanished.
                out.extend(known.forgotten(path, Forgetting::Unasked));
                return false;
            }
            if known.are_judged_like(rules) {
                known
                    .rules
                    .iter_mut()
                    .zip(rules.iter())
                    .for_each(|(judged, rule)| judged.rule = Arc::clone(rule));
                return true;
            }
            if !rules.is_glob() {
                unschedule(forget, path, known);
            }
            if known.forget_at.is_some() && known.session == session {
                gone.push(Arc::clone(path));
            }
            known.change_rules(rules, now);
            out.extend(known.stale(path));
            true
        });
        let fresh = rules.exact().filter(|rules| !self.paths.contains_key(rules.path()));
        // Put in all at once they fill the map's nodes, which single insertions leave half empty.
        let mut fresh = fresh.map(|rules| (Arc::clone(rules.path()), Path::new(rules, now))).collect();
        self.paths.append(&mut fresh);
        self.expanded.retain(|glob| rules.globs().iter().any(|rules| rules.path() == glob));
        self.rules = rules;
        self.fresh_named =
            self.paths.values().filter(|known| self.is_fresh(known) && !known.is_match()).count();
        if self.down.is_some() {
            return;
        }
        for path in gone {
            self.judge_gone(path, now, out);
        }
    }

    fn adopt(&mut self, adoption: &Adoption, now: Now, out: &mut Vec<EvaluatorOutput>) {
        let Adoption { key, since, base } = adoption;
        let Some(rules) = self.rules.for_path(&key.path) else { return };
        let known = self.paths.entry(Arc::clone(&key.path)).or_insert_with(|| Path::new(rules, now));
        let rule = rules.named(key.name.as_deref()).or_else(|| Some(self.rules.heir(key)?.1));
        let Some(rule) = rule else { return };
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
        for known in self.paths.values_mut() {
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
        let stale = |known: &Path| known.pattern() == &**glob && known.session != self.session;
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
        let session = self.session;
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
        let session = self.session;
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
            Reading::Unreadable(_) => known.children,
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
        let is_kept = may_change && !matches!(reading, Reading::Unreadable(_));
        known.last = is_kept.then(|| Box::new(reading));
    }

    fn forget_path(&mut self, path: Arc<str>, why: Forgetting, out: &mut Vec<EvaluatorOutput>) {
        let Some(mut known) = self.paths.remove(&path) else { return };
        self.changed = true;
        unschedule(&mut self.forget, &path, &mut known);
        out.extend(known.forgotten(&path, why));
    }

    fn is_fresh(&self, known: &Path) -> bool {
        self.down.is_none() && self.session > 0 && known.session == self.session
    }

    fn status(&self, path: &Arc<str>, known: &Path) -> PathStatus {
        let states = known.rules.map(|judged| self.state(known, judged));
        let particulars = known.particulars(&states);
        PathStatus {
            path: Arc::clone(path),
            rule: Arc::clone(&known.rules.first().rule.path),
            since: known.since(&states),
            state: sum(&states),
            children: known.children,
            particulars: (particulars != Particulars::default()).then(|| Box::new(particulars)),
        }
    }

    fn state(&self, known: &Path, judged: &Judged) -> PathState {
        if self.is_fresh(known) {
            return judged.fresh_state();
        }
        let last = match &judged.judgement {
            Judgement::None => None,
            Judgement::Ok => Some("in spec"),
            Judgement::Error(words) => Some(&**words),
        };
        PathState::Unknown(match (&self.down, last) {
            (None, None) => "not read yet".into(),
            (None, Some(last)) => format!("not read yet since the reconnect; last known: {last}").into(),
            (Some(reason), None) => format!("connection to ZooKeeper lost ({reason}); never read").into(),
            (Some(reason), Some(last)) => {
                format!("connection to ZooKeeper lost ({reason}); last known: {last}").into()
            }
        })
    }

    fn glob_status(&self, glob: &Arc<str>, matches: u32) -> PathStatus {
        let shut = self.unlisted.iter().find(|(place, _)| is_place(glob, place));
        let state = match (&self.down, shut) {
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

impl Particular {
    fn with_numbers() -> Self {
        Self { numbers: Some(Box::default()), ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        let Self { unreadable, counted, content, numbers, ages_at } = self;
        let is_read = unreadable.is_none() && counted.is_none() && content.is_none();
        is_read && numbers.is_none() && ages_at.is_none()
    }
}

impl Path {
    fn new(rules: &Rules, now: Now) -> Self {
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
    fn record(&mut self, path: &Arc<str>, reading: &Reading, records: &mut Option<Vec<What>>) {
        let Some(records) = records else { return };
        let recorded = match reading {
            Reading::Missing => Recorded::Missing,
            Reading::Unreadable(reason) => Recorded::Unreadable(Arc::clone(reason)),
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
    fn pattern(&self) -> &str {
        &self.rules.first().rule.path
    }

    /// Whether it is a glob's.
    fn is_match(&self) -> bool {
        self.rules.first().rule.is_glob()
    }

    /// Whether it was missing when it was read last, and that was in spec.
    fn is_absent(&self) -> bool {
        self.missing && self.rules.iter().all(|judged| judged.judgement == Judgement::Ok)
    }

    /// Whether other rules judge every reading as its own do.
    fn are_judged_like(&self, rules: &Rules) -> bool {
        self.rules.count() == rules.count()
            && self.rules.iter().zip(rules.iter()).all(|(judged, rule)| judged.rule.judges_like(rule))
    }

    /// Other rules hold from now on, by which it has yet to be judged. What is gone has been so since before.
    fn change_rules(&mut self, rules: &Rules, now: Now) {
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
    fn review_at(&self) -> Option<Instant> {
        self.rules.iter().filter_map(Judged::review_at).min()
    }

    /// What was told of its alerts does not hold any more.
    fn stale<'a>(&'a self, path: &'a Arc<str>) -> impl Iterator<Item = EvaluatorOutput> + 'a {
        self.rules.iter().map(|judged| EvaluatorOutput::StaleAlert(judged.rule.key(path)))
    }

    fn forgotten<'a>(
        &'a self,
        path: &'a Arc<str>,
        why: Forgetting,
    ) -> impl Iterator<Item = EvaluatorOutput> + 'a {
        self.rules.iter().map(move |judged| EvaluatorOutput::Forgotten(judged.rule.key(path), why))
    }

    fn particulars(&self, states: &OneOrMany<PathState>) -> Particulars {
        let rules = self.rules.iter().zip(states.iter());
        let rules: Vec<_> = rules.filter_map(|(judged, state)| judged.status(state.clone())).collect();
        let only = Some(self.rules.first()).filter(|_| rules.is_empty());
        let (most, counted) = (only.and_then(Judged::most), only.and_then(Judged::counted).cloned());
        Particulars { most, counted, severity: self.severity(states), rules }
    }

    /// How bad it is, given how its rules see it; or how bad it would be, if it is not out of spec.
    fn severity(&self, states: &OneOrMany<PathState>) -> Severity {
        let rules = || self.rules.iter().map(|judged| judged.rule.terms.severity);
        let wrong = rules().zip(states.iter()).filter(|(_, state)| matches!(state, PathState::Error(_)));
        wrong.map(|(severity, _)| severity).max().or(rules().max()).unwrap_or_default()
    }

    /// Since when it stands as it does, given how its rules see it: since the first that is out of spec fell out of it,
    /// or since the last came back.
    fn since(&self, states: &OneOrMany<PathState>) -> SystemTime {
        let is_error = |state: &PathState| matches!(state, PathState::Error(_));
        let rules = self.rules.iter().zip(states.iter());
        let wrong = rules.filter(|(_, state)| is_error(state)).map(|(judged, _)| judged.since);
        let first = self.rules.first().since;
        wrong.min().unwrap_or_else(|| self.rules.iter().map(|judged| judged.since).max().unwrap_or(first))
    }
}

impl Judged {
    fn new(rule: &Arc<Rule>, since: SystemTime) -> Self {
        Self {
            rule: Arc::clone(rule),
            judgement: Judgement::None,
            compliant: None,
            since,
            particulars: rule.terms.specs.drop.map(|_| Box::new(Particular::with_numbers())),
        }
    }

    fn unreadable(&self) -> Option<&Arc<str>> {
        self.particulars.as_ref()?.unreadable.as_ref()
    }

    fn counted(&self) -> Option<&Arc<Counted>> {
        self.particulars.as_ref()?.counted.as_ref()
    }

    fn numbers(&self) -> Option<&Numbers> {
        self.particulars.as_ref()?.numbers.as_deref()
    }

    fn numbers_mut(&mut self) -> Option<&mut Numbers> {
        self.particulars.as_mut()?.numbers.as_deref_mut()
    }

    /// Changes what is known beside the judgement. A box is made or dropped only where there was none, or is no need any
    /// more: this is done several times for each reading.
    fn change<T>(&mut self, change: impl FnOnce(&mut Particular) -> T) -> T {
        if let Some(known) = &mut self.particulars {
            let outcome = change(known);
            self.particulars.take_if(|known| known.is_empty());
            return outcome;
        }
        let mut fresh = Particular::default();
        let outcome = change(&mut fresh);
        self.particulars = (!fresh.is_empty()).then(|| Box::new(fresh));
        outcome
    }

    /// Judges a reading. Returns whether the path has changed from in spec to out of it, or back.
    fn observe(&mut self, seen: Seen<'_>, out: &mut Vec<EvaluatorOutput>) -> bool {
        let Assessment { verdict, tally, content, again } = verdict(&self.rule, seen);
        let ages_at = again.map(|again| seen.now.mono + again);
        self.change(|known| (known.content, known.ages_at) = (content, ages_at));
        let mut violations = match verdict {
            Verdict::Ok => Vec::new(),
            Verdict::Violated(violations) => violations,
            Verdict::Unreadable(reason) => {
                self.lose_sight(seen.now);
                if self.change(|known| known.unreadable.replace(reason).is_none()) {
                    self.since = seen.now.wall;
                }
                out.push(EvaluatorOutput::StaleAlert(self.rule.key(seen.path)));
                return false;
            }
        };
        let counted = tally.as_ref().map(|tally| Arc::new(message::counted(tally)));
        self.change(|known| known.counted = counted);
        let none = Children::default();
        let children = children(seen.reading).unwrap_or(&none);
        if let (Some(spec), Some(numbers)) = (self.rule.terms.specs.drop, self.numbers_mut()) {
            let found = tally.as_ref().map_or(children.count(), |tally| tally.counted);
            numbers.history.see(found, &spec, seen.now);
            let missing = *seen.reading == Reading::Missing;
            let fallen_from = numbers.history.fallen_from();
            violations.extend(fallen_from.map(|most| Violation::Dropped { found, most, spec, missing }));
        }
        self.conclude(&violations, children, seen, out)
    }

    /// Notes what the path is by now, and tells of it if that is news.
    fn conclude(
        &mut self,
        violations: &[Violation],
        children: &Children,
        seen: Seen<'_>,
        out: &mut Vec<EvaluatorOutput>,
    ) -> bool {
        let judgement = match violations {
            [] => Judgement::Ok,
            all => Judgement::Error(message::violations(all).into()),
        };
        let left = self.note_children(children, judgement != Judgement::Ok);
        let was = std::mem::replace(&mut self.judgement, judgement.clone());
        let readable_again = self.change(|known| known.unreadable.take().is_some());
        let changed = discriminant(&was) != discriminant(&judgement);
        let is_known = was != Judgement::None;
        if changed && (is_known || judgement == Judgement::Ok || !seen.vanished) {
            self.since = seen.now.wall;
        }
        let (course, has_gone) = self.note_course(changed && judgement != Judgement::Ok);
        if seen.first || readable_again || was != judgement || has_gone {
            let state = match judgement {
                Judgement::None | Judgement::Ok => State::Ok,
                Judgement::Error(message) => State::Error { message, left, counted: self.counted().cloned() },
            };
            let (key, rule, children) =
                (self.rule.key(seen.path), Arc::clone(&self.rule), count(seen.reading));
            out.push(EvaluatorOutput::Transition(Transition { key, rule, state, children, course }));
        }
        changed && is_known
    }

    /// How the number of children has gone, and whether that is news. A violation that begins for another reason has
    /// nothing to do with how a fall ended before.
    fn note_course(&mut self, begins: bool) -> (Option<Course>, bool) {
        let Some(numbers) = self.numbers_mut() else { return (None, false) };
        if begins && numbers.history.fallen_from().is_none() {
            numbers.history.forget_end();
        }
        let course = numbers.history.course();
        let before = std::mem::replace(&mut numbers.course, course.clone());
        let has_gone = before != course;
        (course, has_gone)
    }

    fn lose_sight(&mut self, now: Now) {
        if let (Some(spec), Some(numbers)) = (self.rule.terms.specs.drop, self.numbers_mut()) {
            numbers.history.lose_sight(&spec, now);
        }
    }

    /// Whether something of its alert may still have to be told, so that it matters when the path is seen again.
    fn may_be_told(&self, now: Now) -> bool {
        let recovers =
            || now.wall.duration_since(self.since).is_ok_and(|ago| ago < self.rule.terms.keep_firing_for);
        matches!(self.judgement, Judgement::Error(_)) || recovers()
    }

    /// When time alone can change the judgement of the last reading.
    fn review_at(&self) -> Option<Instant> {
        let fall = self.numbers().zip(self.rule.terms.specs.drop.as_ref());
        let fall_ends = fall.and_then(|(numbers, spec)| numbers.history.deadline(spec));
        let ages_at = self.particulars.as_ref().and_then(|known| known.ages_at);
        fall_ends.into_iter().chain(ages_at).min()
    }

    /// What it made of the content of a znode that was read, if it asks for more than numbers.
    fn recorded(&self) -> Option<RecordedRule> {
        let specs = &self.rule.terms.specs;
        let counted = self.counted().filter(|_| self.unreadable().is_none());
        let rule = RecordedRule {
            name: self.rule.terms.name.clone(),
            counted: counted.map(|counted| counted.counted),
            content: self.particulars.as_ref().and_then(|known| known.content),
        };
        (specs.ask_content() || !specs.counting.is_plain()).then_some(rule)
    }

    fn most(&self) -> Option<u32> {
        self.numbers()?.history.most()
    }

    /// How the path stands by it, if it was read in this session.
    fn fresh_state(&self) -> PathState {
        if let Some(reason) = self.unreadable() {
            return PathState::Unknown(Arc::clone(reason));
        }
        match &self.judgement {
            Judgement::Error(words) => PathState::Error(Arc::clone(words)),
            Judgement::None | Judgement::Ok => PathState::Ok,
        }
    }

    fn status(&self, state: PathState) -> Option<RuleStatus> {
        let name = self.rule.terms.name.clone()?;
        Some(RuleStatus {
            name,
            severity: self.rule.terms.severity,
            state,
            since: self.since,
            most: self.most(),
            counted: self.counted().cloned(),
        })
    }

    /// Remembers the children of a path that is in spec; of one that is not, tells which of them left.
    fn note_children(&mut self, children: &Children, violated: bool) -> Left {
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

/// How a path stands by all of its rules: out of spec if it is by any, and known to be in spec if it is by all.
fn sum(states: &OneOrMany<PathState>) -> PathState {
    if let OneOrMany::One(state) = states {
        return state.clone();
    }
    let (mut errors, mut unknowns) = (Vec::new(), Vec::new());
    for state in states.iter() {
        match state {
            PathState::Ok => {}
            PathState::Error(words) => errors.push(&**words),
            // What cannot be read is so for all rules.
            PathState::Unknown(words) if unknowns.contains(&&**words) => {}
            PathState::Unknown(words) => unknowns.push(&**words),
        }
    }
    match (&errors[..], &unknowns[..]) {
        ([], []) => PathState::Ok,
        ([], unknowns) => PathState::Unknown(unknowns.join("; ").into()),
        (errors, _) => PathState::Error(errors.join("; ").into()),
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
    // Its alerts go together, and none before its time.
    let wait = known.rules.iter().map(|judged| judged.rule.terms.forget_after).max().unwrap_or_default();
    let at = vanished + wait;
    known.forget_at = Some(Box::new(at));
    forget.insert((at, Arc::clone(path)));
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

/// The verdict on one reading. A vanished match of a glob is out of spec whatever its rule asks, unless the rule
/// asks for just that: that it was there is why it is watched.
fn verdict(rule: &Rule, seen: Seen<'_>) -> Assessment {
    let Seen { reading, clock, now, .. } = seen;
    let specs = &rule.terms.specs;
    let assessment = if let Reading::Present { children, each: EachRead::Recorded(rules), .. } = reading {
        let own = rules.iter().find(|recorded| recorded.name == rule.terms.name);
        specs.judge_recorded(children.as_ref(), own)
    } else {
        specs.judge(reading, clock.time(now.mono))
    };
    let must_exist = rule.is_glob() && *reading == Reading::Missing && specs.exists != Some(false);
    if must_exist && assessment.verdict == Verdict::Ok {
        return Assessment { verdict: vanished(rule), ..assessment };
    }
    assessment
}

fn digest(of: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

fn vanished(rule: &Rule) -> Verdict {
    if rule.terms.specs.is_empty() { Verdict::Ok } else { Verdict::Violated(vec![Violation::Missing]) }
}

fn unlisted_words(place: &str, reason: &str) -> Arc<str> {
    format!("{place} cannot be listed: {reason}").into()
}

/// The children that a reading shows, if they were read.
fn children(reading: &Reading) -> Option<&Children> {
    match reading {
        Reading::Present { children, .. } => children.as_ref(),
        Reading::Missing | Reading::Unreadable(_) => None,
    }
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
