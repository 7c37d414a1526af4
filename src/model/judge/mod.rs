//! Specs: what must hold of one path, and the judgement of its readings. One file is one kind of spec.

mod bounds;
mod data;
mod drop;
mod include;
mod json;
mod matcher;
mod violation;

use std::sync::Arc;

pub use self::bounds::Bounds;
pub use self::data::DataSpec;
pub use self::drop::{Base, By, Course, DropSpec, History};
pub use self::include::Include;
pub use self::json::{Find, Found, JsonSpec, Wanted};
pub use self::matcher::Matcher;
pub use self::violation::Violation;
use super::children::Children;
use super::reading::Reading;

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
    /// Whether the path has to exist.
    pub exists: Option<bool>,
    /// What the data has to be.
    pub data: Option<DataSpec>,
}

/// What has to be read of a znode to judge a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The list of children.
    pub children: bool,
    /// The data.
    pub data: bool,
}

impl Needs {
    /// What serves both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self { children: self.children || other.children, data: self.data || other.data }
    }
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
    }

    /// What has to be read to judge this. A rule without a spec still counts children, for `/status`.
    pub fn needs(&self) -> Needs {
        let asked = self.children.is_some() || self.include.is_some() || self.drop.is_some();
        let children = asked || self.is_empty();
        Needs { children, data: self.data.is_some() }
    }

    /// Judges one reading, by all that a reading alone can tell.
    pub fn judge(&self, reading: &Reading) -> Verdict {
        let (missing, children, data) = match reading {
            Reading::Unreadable(reason) => return Verdict::Unreadable(Arc::clone(reason)),
            Reading::Missing => (true, None, None),
            Reading::Present { children, data } => (false, children.as_ref(), data.as_deref()),
        };
        let count = children.map_or(0, Children::count);
        let mut violations = Vec::new();
        match self.exists {
            Some(true) if missing => violations.push(Violation::Missing),
            Some(false) if !missing => violations.push(Violation::Exists),
            Some(_) | None => {}
        }
        violations.extend(self.children.and_then(|bounds| bounds.judge(count, missing)));
        violations.extend(self.include.as_ref().and_then(|include| include.judge(children)));
        violations.extend(self.data.as_ref().and_then(|spec| spec.judge(data)));
        if violations.is_empty() { Verdict::Ok } else { Verdict::Violated(violations) }
    }
}

#[cfg(test)]
mod tests;
