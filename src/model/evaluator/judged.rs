//! What one rule makes of a path.

use std::mem::discriminant;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::model::children::{Children, Counted, Left};
use crate::model::judge::{Assessment, Course, History, Verdict, Violation};
use crate::model::message;
use crate::model::path_status::{PathState, RuleStatus};
use crate::model::reading::{EachRead, Reading, RecordedRule};
use crate::model::rule::Rule;
use crate::model::server_clock::ServerClock;
use crate::model::time::Now;
use crate::model::transition::{EvaluatorOutput, State, Transition};

/// What one rule makes of a path.
#[derive(Debug)]
pub(super) struct Judged {
    pub rule: Arc<Rule>,
    pub judgement: Judgement,
    /// The children when it was last in spec, for a rule that tells somebody.
    pub compliant: Option<Children>,
    pub since: SystemTime,
    /// Nothing of most paths, of which there may be a hundred thousand.
    pub particulars: Option<Box<Particular>>,
}

/// What is known of some paths beside that.
#[derive(Debug, Default)]
pub(super) struct Particular {
    /// Why it cannot be judged now, if that is so.
    pub unreadable: Option<Arc<str>>,
    /// What counted of its children when it was judged last, if not each counts.
    pub counted: Option<Arc<Counted>>,
    /// Whether the content was as it has to be, if it asks for that and could tell when it judged last.
    pub content: Option<bool>,
    /// For a rule that asks how far the number of children may fall.
    pub numbers: Option<Box<Numbers>>,
    /// When something that was read is too old, or has grown old enough to tell of its age again.
    pub ages_at: Option<Instant>,
}

/// How the number of children has gone.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub history: History,
    /// What was told of it last.
    pub course: Option<Course>,
}

/// The last judgement, and whether there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    None,
    Ok,
    /// Out of spec, in these words.
    Error(Arc<str>),
}

/// What is read of a path, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub path: &'a Arc<str>,
    pub reading: &'a Reading,
    /// Whether it is the first reading of this session.
    pub first: bool,
    /// Whether the match of a glob is gone.
    pub vanished: bool,
    pub clock: ServerClock,
    pub now: Now,
}

impl Particular {
    pub fn with_numbers() -> Self {
        Self { numbers: Some(Box::default()), ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        let Self { unreadable, counted, content, numbers, ages_at } = self;
        let is_read = unreadable.is_none() && counted.is_none() && content.is_none();
        is_read && numbers.is_none() && ages_at.is_none()
    }
}

impl Judged {
    pub fn new(rule: &Arc<Rule>, since: SystemTime) -> Self {
        Self {
            rule: Arc::clone(rule),
            judgement: Judgement::None,
            compliant: None,
            since,
            particulars: rule.terms.specs.drop.map(|_| Box::new(Particular::with_numbers())),
        }
    }

    pub fn unreadable(&self) -> Option<&Arc<str>> {
        self.particulars.as_ref()?.unreadable.as_ref()
    }

    pub fn counted(&self) -> Option<&Arc<Counted>> {
        self.particulars.as_ref()?.counted.as_ref()
    }

    pub fn numbers(&self) -> Option<&Numbers> {
        self.particulars.as_ref()?.numbers.as_deref()
    }

    pub fn numbers_mut(&mut self) -> Option<&mut Numbers> {
        self.particulars.as_mut()?.numbers.as_deref_mut()
    }

    /// Changes what is known beside the judgement. A box is made or dropped only where there was none, or is no need any
    /// more: this is done several times for each reading.
    pub fn change<T>(&mut self, change: impl FnOnce(&mut Particular) -> T) -> T {
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
    pub fn observe(&mut self, seen: Seen<'_>, out: &mut Vec<EvaluatorOutput>) -> bool {
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
    pub fn conclude(
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
    pub fn note_course(&mut self, begins: bool) -> (Option<Course>, bool) {
        let Some(numbers) = self.numbers_mut() else { return (None, false) };
        if begins && numbers.history.fallen_from().is_none() {
            numbers.history.forget_end();
        }
        let course = numbers.history.course();
        let before = std::mem::replace(&mut numbers.course, course.clone());
        let has_gone = before != course;
        (course, has_gone)
    }

    pub fn lose_sight(&mut self, now: Now) {
        if let (Some(spec), Some(numbers)) = (self.rule.terms.specs.drop, self.numbers_mut()) {
            numbers.history.lose_sight(&spec, now);
        }
    }

    /// Whether something of its alert may still have to be told, so that it matters when the path is seen again.
    pub fn may_be_told(&self, now: Now) -> bool {
        let recovers =
            || now.wall.duration_since(self.since).is_ok_and(|ago| ago < self.rule.terms.keep_firing_for);
        matches!(self.judgement, Judgement::Error(_)) || recovers()
    }

    /// When time alone can change the judgement of the last reading.
    pub fn review_at(&self) -> Option<Instant> {
        let fall = self.numbers().zip(self.rule.terms.specs.drop.as_ref());
        let fall_ends = fall.and_then(|(numbers, spec)| numbers.history.deadline(spec));
        let ages_at = self.particulars.as_ref().and_then(|known| known.ages_at);
        fall_ends.into_iter().chain(ages_at).min()
    }

    /// What it made of the content of a znode that was read, if it asks for more than numbers.
    pub fn recorded(&self) -> Option<RecordedRule> {
        let specs = &self.rule.terms.specs;
        let counted = self.counted().filter(|_| self.unreadable().is_none());
        let rule = RecordedRule {
            name: self.rule.terms.name.clone(),
            counted: counted.map(|counted| counted.counted),
            content: self.particulars.as_ref().and_then(|known| known.content),
        };
        (specs.ask_content() || !specs.counting.is_plain()).then_some(rule)
    }

    pub fn most(&self) -> Option<u32> {
        self.numbers()?.history.most()
    }

    /// How the path stands by it, if it was read in this session.
    pub fn fresh_state(&self) -> PathState {
        if let Some(reason) = self.unreadable() {
            return PathState::Unknown(Arc::clone(reason));
        }
        match &self.judgement {
            Judgement::Error(words) => PathState::Error(Arc::clone(words)),
            Judgement::None | Judgement::Ok => PathState::Ok,
        }
    }

    pub fn status(&self, state: PathState) -> Option<RuleStatus> {
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
    pub fn note_children(&mut self, children: &Children, violated: bool) -> Left {
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

fn vanished(rule: &Rule) -> Verdict {
    if rule.terms.specs.is_empty() { Verdict::Ok } else { Verdict::Violated(vec![Violation::Missing]) }
}

/// The children that a reading shows, if they were read.
fn children(reading: &Reading) -> Option<&Children> {
    match reading {
        Reading::Present { children, .. } => children.as_ref(),
        Reading::Missing | Reading::Shut(_) | Reading::Unreadable(_) => None,
    }
}

pub(super) fn count(reading: &Reading) -> Option<u32> {
    match reading {
        Reading::Missing => Some(0),
        Reading::Present { children, .. } => children.as_ref().map(Children::count),
        Reading::Shut(_) | Reading::Unreadable(_) => None,
    }
}
