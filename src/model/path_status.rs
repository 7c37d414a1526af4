//! How one path stands, as snapshots show it.

use std::sync::Arc;
use std::time::SystemTime;

use super::children::Counted;
use super::severity::Severity;

/// One path.
#[derive(Clone, Debug)]
pub struct PathStatus {
    /// The path.
    pub path: Arc<str>,
    /// The path of its rule: the same, or a glob.
    pub rule: Arc<str>,
    /// How it stands.
    pub state: PathState,
    /// How many children it has, if that was read; for a glob, how many paths it matches.
    pub children: Option<u32>,
    /// Since when it stands so.
    pub since: SystemTime,
    /// What else there is to say of it; nothing of most paths, of which there may be a hundred thousand.
    pub particulars: Option<Box<Particulars>>,
}

/// What there is to say of some paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Particulars {
    /// The most children that its rule, if that has no name, has seen within its time, if it asks for that.
    pub most: Option<u32>,
    /// What that rule counted of its children, if not each counts.
    pub counted: Option<Arc<Counted>>,
    /// How bad it is: by those of its rules by which it is out of spec, or else how bad it would be.
    pub severity: Severity,
    /// How it stands by each of its rules, in the order of the configuration; empty if its rule has no name.
    pub rules: Vec<RuleStatus>,
}

impl PathStatus {
    /// What else there is to say of it.
    pub fn particulars(&self) -> &Particulars {
        const NONE: &Particulars =
            &Particulars { most: None, counted: None, severity: Severity::Error, rules: Vec::new() };
        self.particulars.as_deref().unwrap_or(NONE)
    }
}

/// How a path stands by one of several rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleStatus {
    /// The rule's name.
    pub name: Arc<str>,
    /// How bad it is if the path is out of spec by it.
    pub severity: Severity,
    /// How the path stands by it.
    pub state: PathState,
    /// Since when it stands so.
    pub since: SystemTime,
    /// The most children that it has seen within its time, if it asks for that.
    pub most: Option<u32>,
    /// What it counted of the children, if not each counts.
    pub counted: Option<Arc<Counted>>,
}

/// How a path stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathState {
    /// In spec.
    Ok,
    /// Out of spec, in these words.
    Error(Arc<str>),
    /// Not known; the words say why, and what was last known.
    Unknown(Arc<str>),
}
