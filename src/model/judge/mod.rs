//! Specs: what must hold of one path, and the judgement of its readings. One file is one kind of spec.

mod age;
mod bounds;
mod children;
mod compiled;
mod data;
mod drop;
mod include;
mod json;
mod matcher;
mod needs;
mod violation;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::age::Ages;
pub use self::bounds::Bounds;
pub use self::children::{Counting, Tally, Where, Why};
pub use self::compiled::Compiled;
pub use self::data::DataSpec;
pub use self::drop::{Base, By, Course, DropSpec, History};
pub use self::include::Include;
pub use self::json::{Find, Found, JsonSpec, Wanted};
pub use self::matcher::Matcher;
pub use self::needs::{EachChild, Needs};
pub use self::violation::Violation;
use super::children::Children;
use super::reading::{EachRead, Reading, RecordedRule, Written};

/// Why a replay cannot judge a path by a rule that asks for what the daemon did not read then.
pub const NOT_RECORDED: &str = "the journal does not hold what this rule asks for";

/// What must hold of one path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Specs {
    /// A bound on the number of children.
    pub children: Option<Bounds>,
    /// Which children have to be there.
    pub include: Option<Include>,
    /// How far the number of children may be below the most that was seen lately. That is not in a reading: see
    /// [`History`].
    pub drop: Option<DropSpec>,
    /// Which of them are counted.
    pub counting: Counting,
    /// Whether the path has to exist.
    pub exists: Option<bool>,
    /// What the data has to be.
    pub data: Option<DataSpec>,
    /// How long ago it may have been written at most, by ZooKeeper's clock.
    pub max_age: Option<Duration>,
}

/// The judgement of one reading, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// The judgement.
    pub verdict: Verdict,
    /// What was counted, if not each child is.
    pub tally: Option<Tally>,
    /// Whether what is no number (names, data, its age) is as it has to be, if that is asked and could be told.
    pub content: Option<bool>,
    /// After what time the same reading is to be judged again, if time alone can change anything.
    pub again: Option<Duration>,
}

/// The judgement of one reading. Nothing is said of a path that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// In spec.
    Ok,
    /// Out of spec, in every one of these ways.
    Violated(Vec<Violation>),
    /// Not to be judged, for this reason.
    Unreadable(Arc<str>),
}

impl Specs {
    /// Whether nothing is asked: such a rule is watched and shown, and never alerts.
    pub fn is_empty(&self) -> bool {
        self.children.is_none()
            && self.include.is_none()
            && self.drop.is_none()
            && self.exists.is_none()
            && self.data.is_none()
            && self.max_age.is_none()
    }

    /// What has to be read to judge this. A rule without a spec still counts children, for `/status`.
    pub fn needs(&self) -> Needs {
        let asked = self.children.is_some() || self.include.is_some() || self.drop.is_some();
        let children = asked || self.is_empty();
        Needs {
            children,
            each_child: self.counting.each_child(),
            data: self.data.is_some() || self.max_age.is_some(),
        }
    }

    /// Whether time alone can change how a reading is judged.
    pub fn ask_for_time(&self) -> bool {
        self.drop.is_some() || self.ask_ages()
    }

    /// Whether more than numbers is asked: names, data, its age.
    pub fn ask_content(&self) -> bool {
        self.include.is_some() || self.data.is_some() || self.max_age.is_some()
    }

    fn ask_ages(&self) -> bool {
        self.max_age.is_some() || self.counting.only.max_age.is_some()
    }

    /// Judges one reading, by all that a reading alone can tell. `time` is by ZooKeeper's clock, if that is known.
    pub fn judge(&self, reading: &Reading, time: Option<SystemTime>) -> Assessment {
        let unreadable = Assessment::unreadable;
        match reading {
            Reading::Unreadable(reason) => unreadable(Arc::clone(reason)),
            // That it is there is all that some ask.
            Reading::Shut(_) if self.needs() == Needs::default() => {
                self.judge_parts(Some(&Children::default()), None, None, Ages::unasked())
            }
            Reading::Shut(reason) => unreadable(Arc::clone(reason)),
            Reading::Missing => self.judge_parts(None, None, None, Ages::unasked()),
            Reading::Present { .. } if self.ask_ages() && time.is_none() => {
                unreadable("this agent has not written to ZooKeeper yet, which tells the time there".into())
            }
            Reading::Present { each: EachRead::TooMany, .. }
                if self.counting.each_child() != EachChild::Nothing =>
            {
                unreadable("too many children to read".into())
            }
            Reading::Present { children, each, data } => {
                let none = Children::default();
                let children = children.as_ref().unwrap_or(&none);
                let mut ages = time.map_or_else(Ages::unasked, Ages::at);
                let tally =
                    (!self.counting.is_plain()).then(|| self.counting.tally(children, each, &mut ages));
                self.judge_parts(Some(children), tally, data.as_ref(), ages)
            }
        }
    }

    /// Judges what the journal holds of a znode that is there: numbers again, and content as this rule judged it then.
    pub fn judge_recorded(&self, children: Option<&Children>, own: Option<&RecordedRule>) -> Assessment {
        let counts = self.needs().children;
        let tally = children.zip(own.and_then(|own| own.counted)).map(|(children, counted)| Tally {
            counted,
            of: children.count(),
            ignored: Vec::new(),
        });
        let tally = tally.filter(|_| !self.counting.is_plain());
        let content = own.and_then(|own| own.content).filter(|_| self.ask_content());
        let is_known = (!counts || children.is_some())
            && (!counts || self.counting.is_plain() || tally.is_some())
            && (!self.ask_content() || content.is_some());
        if !is_known {
            return Assessment::unreadable(NOT_RECORDED.into());
        }
        let none = Children::default();
        let mut violations = self.judge_numbers(Some(children.unwrap_or(&none)), tally.as_ref());
        violations.extend((content == Some(false)).then_some(Violation::Recorded));
        Assessment { verdict: Verdict::of(violations), tally, content, again: None }
    }

    /// Judges what is there: `children` is `None` if nothing is.
    fn judge_parts(
        &self,
        children: Option<&Children>,
        tally: Option<Tally>,
        data: Option<&Written>,
        mut ages: Ages,
    ) -> Assessment {
        let mut violations = self.judge_numbers(children, tally.as_ref());
        let wrong = self.judge_content(children, data, &mut ages);
        let content = self.ask_content().then_some(wrong.is_empty());
        violations.extend(wrong);
        Assessment { verdict: Verdict::of(violations), tally, content, again: ages.again() }
    }

    fn judge_numbers(&self, children: Option<&Children>, tally: Option<&Tally>) -> Vec<Violation> {
        let missing = children.is_none();
        let mut violations = Vec::new();
        match self.exists {
            Some(true) if missing => violations.push(Violation::Missing),
            Some(false) if !missing => violations.push(Violation::Exists),
            Some(_) | None => {}
        }
        let (found, of) = match tally {
            Some(tally) => (tally.counted, Some(tally.of)),
            None => (children.map_or(0, Children::count), None),
        };
        violations.extend(self.children.and_then(|bounds| bounds.judge(found, of, missing)));
        violations
    }

    fn judge_content(
        &self,
        children: Option<&Children>,
        data: Option<&Written>,
        ages: &mut Ages,
    ) -> Vec<Violation> {
        let mut violations = Vec::new();
        violations.extend(self.include.as_ref().and_then(|include| include.judge(children)));
        let bytes = data.map(|written| &*written.data);
        violations.extend(self.data.as_ref().and_then(|spec| spec.judge(bytes)));
        match (self.max_age, data) {
            (Some(max), Some(written)) => violations.extend(ages.check(written.at, max)),
            (Some(_), None) if self.data.is_none() => {
                violations.push(Violation::NoValue { pointer: "".into(), missing: children.is_none() });
            }
            (Some(_) | None, _) => {}
        }
        violations
    }
}

impl Assessment {
    fn unreadable(reason: Arc<str>) -> Self {
        Self { verdict: Verdict::Unreadable(reason), tally: None, content: None, again: None }
    }
}

impl Verdict {
    fn of(violations: Vec<Violation>) -> Self {
        if violations.is_empty() { Self::Ok } else { Self::Violated(violations) }
    }
}

#[cfg(test)]
mod tests;
