//! A notification in words.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::alert_key::AlertKey;
use super::children::{Counted, Ignored, Left};
use super::duration;
use super::judge::{Tally, Violation, Why};
use super::labels::Labels;

/// What one receiver is told in one message: one item, or a digest of many.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// The agent that sends.
    pub agent: Arc<str>,
    /// Where the status page is, if that is known: a URL.
    pub page: Option<Arc<str>>,
    /// What is told; never empty. One is an ordinary message, more are a digest.
    pub items: Vec<Item>,
}

impl Notification {
    /// How many paths it tells of. It may tell of several alerts of one.
    pub fn paths(&self) -> usize {
        self.items.iter().map(|item| &item.path).collect::<HashSet<_>>().len()
    }
}

/// One thing to tell about one incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The incident's id, the same in each message about it, from whichever agent.
    pub incident: Arc<str>,
    /// The znode's path.
    pub path: Arc<str>,
    /// The name of the rule, if the path has several.
    pub rule: Option<Arc<str>>,
    /// The path of its rule as written, if that is a glob.
    pub pattern: Option<Arc<str>>,
    /// What is told.
    pub kind: Kind,
    /// What it is told of.
    pub about: About,
    /// The violation in words, as it was when the alert fired or is now.
    pub message: Arc<str>,
    /// When the path fell out of spec.
    pub since: SystemTime,
    /// When it came back.
    pub until: Option<SystemTime>,
    /// How many children it has, if that was read.
    pub children: Option<u32>,
    /// Which children left since it was last in spec.
    pub left: Left,
    /// What was counted of its children, if not each counts and it is out of spec.
    pub counted: Option<Arc<Counted>>,
    /// What the incident is routed by.
    pub labels: Arc<Labels>,
    /// The rule's description.
    pub description: Option<Arc<str>>,
    /// Where it is written what to do about it: a URL.
    pub runbook: Option<Arc<str>>,
    /// Notes for this receiver, such as that another one refused the alert.
    pub notes: Vec<String>,
}

impl Item {
    /// The alert that it tells of, for people: the path, or `path@rule`.
    pub fn alert(&self) -> AlertKey {
        AlertKey { path: Arc::clone(&self.path), name: self.rule.clone() }
    }

    /// How many bytes it takes in a message at most, nearly: whichever receiver it is for, its words stand in it
    /// once. They are counted three times, since a mail writes each byte beyond ASCII as three, and JSON a quote or
    /// a backslash as two. To that come labels, times and the names of fields: some 400 bytes in JSON.
    pub fn size(&self) -> usize {
        const FIELDS: usize = 512;
        let description = self.description.as_deref().map_or(0, str::len);
        let notes: usize = self.notes.iter().map(String::len).sum();
        let left: usize = self.left.names.iter().map(|name| name.len() + 2).sum();
        let rule = self.rule.as_deref().map_or(0, str::len);
        let pattern = self.pattern.as_deref().map_or(0, str::len);
        let runbook = self.runbook.as_deref().map_or(0, str::len);
        let ignored = self.counted.iter().flat_map(|counted| &counted.ignored);
        let ignored: usize = ignored.map(|ignored| ignored.name.len() + ignored.reason.len() + 16).sum();
        let words = self.path.len() + rule + pattern + self.message.len() + self.incident.len();
        let words = words + description + runbook + self.labels.size() + notes + left + ignored;
        FIELDS + 3 * words
    }
}

/// What an item tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum About {
    /// A path.
    #[default]
    Path,
    /// The agent itself, which has no ZooKeeper and sees nothing.
    Agent,
}

/// What an item tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The path is out of spec.
    Firing,
    /// It still is; the number, in seconds from its beginning to when this was due, is another for each reminder of an incident.
    Reminder(u32),
    /// It still is: a receiver that forgets alerts (Alertmanager) is told so again. No person sees this.
    Refresh,
    /// It is back in spec.
    Resolved,
    /// It was out of spec and is back, and this receiver heard nothing of it until now.
    Late,
    /// A receiver of the same rule refused its message; `notes` says which and why.
    Notice,
    /// A test that an operator asked for; nothing is wrong.
    Test,
}

impl Kind {
    /// Whether the path is out of spec, as far as this item tells.
    pub fn is_firing(self) -> bool {
        match self {
            Self::Firing | Self::Reminder(_) | Self::Refresh | Self::Notice | Self::Test => true,
            Self::Resolved | Self::Late => false,
        }
    }
}

/// The words for one way of being out of spec.
pub fn violation(violation: &Violation) -> String {
    let mark = |missing: bool| if missing { ": path does not exist" } else { "" };
    match violation {
        Violation::TooFew { found, of, min, missing } => {
            format!("Found children ({}) less than minimum ({min}){}", count(*found, *of), mark(*missing))
        }
        Violation::TooMany { found, of, max } => {
            format!("Found children ({}) more than maximum ({max})", count(*found, *of))
        }
        Violation::NotEqual { found, of, equals, missing } => {
            format!("Found children ({}) not equal to ({equals}){}", count(*found, *of), mark(*missing))
        }
        Violation::Dropped { found, most, spec, missing } => {
            let (by, within) = (spec.by, duration::words(spec.within));
            let mark = mark(*missing);
            format!("Found children ({found}) more than {by} below {most}, the most within {within}{mark}")
        }
        Violation::Missing => "Path does not exist".to_owned(),
        Violation::Exists => "Path exists and must not".to_owned(),
        Violation::DataDiffers { found, equals } => {
            format!(
                "Found data ({}) not equal to ({})",
                data(found.as_deref()),
                data(Some(equals.as_bytes()))
            )
        }
        Violation::DataMismatch { found, pattern } => {
            format!("Found data ({}) not matching ({pattern})", data(found.as_deref()))
        }
        Violation::Lacking { named, more, missing } => {
            let and = if *more > 0 { format!(" and {more} more") } else { String::new() };
            format!("Missing children: {}{and}{}", named.join(", "), mark(*missing))
        }
        Violation::TooOld { age: found, max } => {
            format!("Not written for {}, at most {}", age(*found, *max), duration::words(*max))
        }
        Violation::Recorded => "Found out of spec what the journal does not hold".to_owned(),
        Violation::NoJson => "Found data that is not JSON".to_owned(),
        Violation::NoValue { pointer, missing } => {
            format!("Found no data{}{}", place(pointer), mark(*missing))
        }
        Violation::ValueDiffers { pointer, found, equals } => {
            format!("Found data{} ({}) not equal to {}", place(pointer), value(found), value(equals))
        }
        Violation::ValueMismatch { pointer, found, pattern } => {
            format!("Found data{} ({}) that does not match {pattern}", place(pointer), value(found))
        }
    }
}

/// The words for everything that is wrong with a path.
pub fn violations(all: &[Violation]) -> String {
    all.iter().map(violation).collect::<Vec<_>>().join("; ")
}

/// How long ago it was, told as exactly as a person wants to know.
fn age(age: Duration, max: Duration) -> String {
    const MINUTE: u128 = 60_000;
    let (age, max) = (age.as_millis(), max.as_millis());
    let unit = match age {
        _ if max % 1000 != 0 => 1,
        _ if age < 2 * MINUTE || max % MINUTE != 0 => 1000,
        _ if age < 48 * 60 * MINUTE => MINUTE,
        _ => 60 * MINUTE,
    };
    duration::words(Duration::from_millis(u64::try_from(age - age % unit).unwrap_or(u64::MAX)))
}

/// Where a value stands in data, in words; the whole is no place of its own.
fn place(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!(" at {pointer}") }
}

/// How many bytes of data are shown: what fits a line.
const SHOWN: usize = 60;

/// JSON in words: as it is, but for what would break or disguise the line.
fn value(json: &str) -> String {
    let shown = &json[..json.floor_char_boundary(SHOWN)];
    let mut text = String::new();
    for c in shown.chars() {
        match c {
            '"' | '\\' | '\'' => text.push(c),
            c => text.extend(c.escape_debug()),
        }
    }
    if json.len() > SHOWN { format!("{text}… {} bytes", json.len()) } else { text }
}

/// How many there are: `2`, or `2 of 5`.
fn count(found: u32, of: Option<u32>) -> String {
    of.map_or_else(|| found.to_string(), |of| format!("{found} of {of}"))
}

/// What was counted, in words.
pub fn counted(tally: &Tally) -> Counted {
    let ignored = tally.ignored.iter();
    let ignored = ignored.map(|(name, why)| Ignored { name: name.clone(), reason: reason(why).into() });
    Counted { counted: tally.counted, of: tally.of, ignored: ignored.collect() }
}

/// Why a child does not count, in a line of its own.
fn reason(why: &Why) -> String {
    /// A pattern may be as long as a page.
    const LONGEST: usize = 200;
    let mut words = match why {
        Why::Name(pattern) => format!("its name does not match {pattern}"),
        Why::Persistent => "not ephemeral".to_owned(),
        Why::Ephemeral => "ephemeral".to_owned(),
        Why::Unreadable(reason) => reason.to_string(),
        Why::Data(of) => violation(of),
        Why::Same(pointer, other) => format!("the same {pointer} as {other}"),
    };
    if words.len() > LONGEST {
        words.truncate(words.floor_char_boundary(LONGEST));
        words.push('…');
    }
    words
}

/// Data in words: printable, and bounded.
fn data(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "none: path does not exist".to_owned() };
    let shown = bytes.get(..SHOWN).unwrap_or(bytes);
    let text: String = String::from_utf8_lossy(shown).escape_debug().collect();
    if bytes.len() > SHOWN { format!("{text}… {} bytes", bytes.len()) } else { text }
}
