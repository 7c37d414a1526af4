//! One event as a line of JSON: in the files and over HTTP.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::alert_key::AlertKey;
use crate::model::event::{AlertStep, Delivered, Event, Message, What};
use crate::model::message::Kind;
use crate::model::reading::{Recorded, RecordedRule};
use crate::model::receiver::ReceiverId;
use crate::model::recent::RecentEvent;
use crate::model::rfc3339;
use crate::model::status::{Silence, Until};

/// The fields of all kinds; each kind has some of them.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Line {
    time: String,
    kind: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exists: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    children: Option<u32>,
    /// Whether a reading is no change.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<bool>,
    /// A digest of the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rules: Vec<RuleLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver: Option<Arc<str>>,
    /// What a receiver was to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leading: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silences: Option<Vec<SilenceLine>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RuleLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counted: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SilenceLine {
    id: Arc<str>,
    path: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// An event as it is written and served. Data is told by a digest under the process's own keys: it shows that the data
/// changed, and not what it is to whoever has a guess.
pub(super) fn recent(mut event: Event, keys: &RandomState) -> RecentEvent {
    if let What::Reading { recorded: Recorded::Present { data: Some(digest), .. }, .. } = &mut event.what {
        *digest = keys.hash_one(*digest);
    }
    let (time, path) = (event.time, event.what.path().cloned());
    RecentEvent { time, path, json: json(event).into() }
}

/// An event as a line without its end.
pub(super) fn json(event: Event) -> String {
    let line = Line { time: rfc3339::rfc3339_micros(event.time), ..line(event.what) };
    // Nothing in it can fail: its keys are text, and its numbers whole.
    serde_json::to_string(&line).unwrap_or_default()
}

/// Reads a line; `None` for one that is no event of this version's.
pub(super) fn parse(json: &str) -> Option<Event> {
    let line: Line = serde_json::from_str(json).ok()?;
    Some(Event { time: rfc3339::parse(&line.time)?, what: what(line)? })
}

fn line(what: What) -> Line {
    let of = |kind: &str| Line { kind: kind.into(), ..Line::default() };
    let about = |kind: &str, key: AlertKey| Line { path: Some(key.path), rule: key.name, ..of(kind) };
    match what {
        What::Started => of("start"),
        What::Rules(count) => Line { count: Some(count as u64), ..of("rules") },
        What::Session => of("session"),
        What::Outage(reason) => Line { reason: Some(reason), ..of("outage") },
        What::Armed => of("armed"),
        What::Reading { path, recorded, first } => {
            Line { path: Some(path), first: first.then_some(true), ..reading(recorded) }
        }
        What::Forgotten(path) => Line { path: Some(path), ..of("forgotten") },
        What::Transition(key, message) => {
            let state = if message.is_some() { "error" } else { "ok" };
            Line { state: Some(state.into()), message, ..about("transition", key) }
        }
        What::Alert(key, step) => Line { alert: Some(word(&STEPS, step).into()), ..about("alert", key) },
        What::Message(Message { key, incident, since, receiver, kind, result }) => Line {
            incident: Some(incident),
            since: Some(rfc3339::rfc3339_micros(since)),
            receiver: Some(receiver.0),
            told: Some(word(&KINDS, numberless(kind)).into()),
            outcome: Some(word(&RESULTS, result).into()),
            count: if let Kind::Reminder(number) = kind { Some(number.into()) } else { None },
            ..about("message", key)
        },
        What::Leading(epoch) => Line { leading: Some(true), epoch: Some(epoch), ..of("lease") },
        What::Following(epoch) => Line { leading: Some(false), epoch: Some(epoch), ..of("lease") },
        What::Silences(silences) => {
            Line { silences: Some(silences.into_iter().map(silence_line).collect()), ..of("silences") }
        }
        What::Lost(count) => Line { count: Some(count), ..of("lost") },
    }
}

fn what(line: Line) -> Option<What> {
    let key = |path: Option<Arc<str>>, name| Some(AlertKey { path: path?, name });
    Some(match &*line.kind {
        "start" => What::Started,
        "rules" => What::Rules(usize::try_from(line.count?).ok()?),
        "session" => What::Session,
        "outage" => What::Outage(line.reason?),
        "armed" => What::Armed,
        "reading" => What::Reading {
            path: line.path.clone()?,
            first: line.first == Some(true),
            recorded: recorded(line)?,
        },
        "forgotten" => What::Forgotten(line.path?),
        "transition" => What::Transition(key(line.path, line.rule)?, line.message),
        "alert" => What::Alert(key(line.path, line.rule)?, meaning(&STEPS, &line.alert?)?),
        "message" => What::Message(Message {
            key: key(line.path, line.rule)?,
            incident: line.incident?,
            since: rfc3339::parse(&line.since?)?,
            receiver: ReceiverId(line.receiver?),
            kind: meaning(&KINDS, &line.told?)?,
            result: meaning(&RESULTS, &line.outcome?)?,
        }),
        "lease" if line.leading? => What::Leading(line.epoch?),
        "lease" => What::Following(line.epoch?),
        "silences" => What::Silences(line.silences?.into_iter().map(silence).collect::<Option<_>>()?),
        "lost" => What::Lost(line.count?),
        _ => return None,
    })
}

fn reading(recorded: Recorded) -> Line {
    let line = Line { kind: "reading".into(), ..Line::default() };
    match recorded {
        Recorded::Missing => Line { exists: Some(false), ..line },
        Recorded::Unreadable(reason) => Line { reason: Some(reason), ..line },
        Recorded::Present { children, data, rules } => {
            let rule_line = |rule: RecordedRule| {
                let RecordedRule { name, counted, content } = rule;
                RuleLine { rule: name, counted, content }
            };
            let data = data.map(|digest| format!("{digest:016x}").into());
            let rules = rules.into_iter().map(rule_line).collect();
            Line { exists: Some(true), children, data, rules, ..line }
        }
    }
}

fn recorded(line: Line) -> Option<Recorded> {
    match (line.exists, line.reason) {
        (None, Some(reason)) => Some(Recorded::Unreadable(reason)),
        (None, None) => None,
        (Some(false), _) => Some(Recorded::Missing),
        (Some(true), _) => {
            let rule = |RuleLine { rule, counted, content }| RecordedRule { name: rule, counted, content };
            let data = line.data.map(|digits| u64::from_str_radix(&digits, 16)).transpose().ok()?;
            let rules = line.rules.into_iter().map(rule).collect();
            Some(Recorded::Present { children: line.children, data, rules })
        }
    }
}

fn silence_line(silence: Silence) -> SilenceLine {
    let Silence { id, path, until, comment: _, by: _ } = silence;
    let until = match until {
        Until::Time(end) => Some(rfc3339::rfc3339_micros(end)),
        // Which incidents it acknowledges says nothing where they have other ids.
        Until::Recovery(_) => None,
    };
    SilenceLine { id, path, until }
}

fn silence(line: SilenceLine) -> Option<Silence> {
    let SilenceLine { id, path, until } = line;
    let until = match until {
        Some(end) => Until::Time(rfc3339::parse(&end)?),
        None => Until::Recovery(BTreeMap::new()),
    };
    Some(Silence { id, path, until, comment: "".into(), by: "".into() })
}

/// Reminders are one kind, whatever their number.
fn numberless(kind: Kind) -> Kind {
    if let Kind::Reminder(_) = kind { Kind::Reminder(0) } else { kind }
}

const STEPS: [(&str, AlertStep); 9] = [
    ("pending", AlertStep::Pending),
    ("cancelled", AlertStep::Cancelled),
    ("firing", AlertStep::Firing),
    ("recovering", AlertStep::Recovering),
    ("relapsed", AlertStep::Relapsed),
    ("resolved", AlertStep::Resolved),
    ("held", AlertStep::Held),
    ("released", AlertStep::Released),
    ("told_late", AlertStep::ToldLate),
];

const KINDS: [(&str, Kind); 7] = [
    ("firing", Kind::Firing),
    ("reminder", Kind::Reminder(0)),
    ("refresh", Kind::Refresh),
    ("resolved", Kind::Resolved),
    ("late", Kind::Late),
    ("notice", Kind::Notice),
    ("test", Kind::Test),
];

const RESULTS: [(&str, Delivered); 5] = [
    ("accepted", Delivered::Accepted),
    ("failed", Delivered::Failed),
    ("ambiguous", Delivered::Ambiguous),
    ("refused", Delivered::Refused),
    ("not_tried", Delivered::NotTried),
];

/// The word for a meaning; the tables have one for each.
fn word<T: Copy + PartialEq>(table: &[(&'static str, T)], meant: T) -> &'static str {
    table.iter().find(|(_, meaning)| *meaning == meant).map_or("", |(word, _)| word)
}

fn meaning<T: Copy>(table: &[(&str, T)], said: &str) -> Option<T> {
    table.iter().find(|(word, _)| *word == said).map(|(_, meaning)| *meaning)
}

/// Whether an event is one of those that are served, and not only there to be judged again.
pub(super) fn is_served(what: &What) -> bool {
    !matches!(what, What::Reading { first: true, .. })
}

/// A line of a file as it is served, if it is such an event.
pub(super) fn stored(json: &str) -> Option<RecentEvent> {
    let event = parse(json).filter(|event| is_served(&event.what))?;
    Some(RecentEvent { time: event.time, path: event.what.path().cloned(), json: json.into() })
}
