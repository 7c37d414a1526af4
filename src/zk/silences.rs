//! Silences ⇄ znodes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use zookeeper::{Acl, CreateMode, ZkError};

use super::client::{Answer, Client, describe, is_over};
use super::ledger::{self, millis, time};
use super::names::Places;
use super::skipped::Reasons;
use crate::model::alert_key::AlertKey;
use crate::model::printable::one_line;
use crate::model::status::{Silence, Until};

/// How long a silence stays after its end. Clocks differ between hosts, and an end that one host saw is not yet
/// one on another.
const KEEP: Duration = Duration::from_secs(300);

/// How much is shown of what a comment says, in bytes: as much as `--comment` takes.
const WORDS_MAX: usize = 1000;

#[derive(Serialize, Deserialize)]
struct Json {
    v: u32,
    path: Arc<str>,
    /// Milliseconds since 1970. An acknowledgement has no such end, so that an older agent, which would take it for a
    /// silence of all that is to come, says that it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    /// What is acknowledged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    incidents: Vec<JsonIncident>,
    #[serde(default)]
    comment: Arc<str>,
    #[serde(default)]
    by: Arc<str>,
}

#[derive(Serialize, Deserialize)]
struct JsonIncident {
    id: Arc<str>,
    path: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Arc<str>>,
}

/// The silence that a znode's bytes hold; an error is why they hold none.
fn decode(id: String, bytes: &[u8]) -> Result<Silence, String> {
    let json: Json = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let until = match json.until {
        Some(until) => Until::Time(time(until)),
        None if json.incidents.is_empty() => return Err("it says no end".to_owned()),
        None => {
            let incidents = json.incidents.into_iter();
            Until::Recovery(
                incidents.map(|one| (AlertKey { path: one.path, name: one.name }, one.id)).collect(),
            )
        }
    };
    if json.path.contains(char::is_control) {
        return Err("its path is none that a znode can have".to_owned());
    }
    Ok(Silence { id: id.into(), path: json.path, until, comment: line(&json.comment), by: line(&json.by) })
}

/// Words of whoever made a silence, as one line that may be shown: znodes can be written by others than agents.
fn line(text: &str) -> Arc<str> {
    one_line(&text[..text.floor_char_boundary(WORDS_MAX)]).into()
}

/// Whatever is read as a silence is the same when it is written and read again.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(bytes: &[u8]) {
    let Ok(silence) = decode("s1".to_owned(), bytes) else { return };
    let written = encode(&silence).ok().and_then(|bytes| decode("s1".to_owned(), &bytes).ok());
    assert_eq!(written.as_ref(), Some(&silence));
    let is_line = |text: &str| !text.contains(char::is_control);
    assert!(is_line(&silence.path) && is_line(&silence.comment) && is_line(&silence.by));
}

fn encode(silence: &Silence) -> Answer<Vec<u8>> {
    let (until, incidents) = match &silence.until {
        Until::Time(end) => (Some(millis(*end)), Vec::new()),
        Until::Recovery(incidents) => {
            let one = |(key, id): (&AlertKey, &Arc<str>)| JsonIncident {
                id: Arc::clone(id),
                path: Arc::clone(&key.path),
                name: key.name.clone(),
            };
            (None, incidents.iter().map(one).collect())
        }
    };
    let (path, comment, by) =
        (Arc::clone(&silence.path), Arc::clone(&silence.comment), Arc::clone(&silence.by));
    let json = Json { v: 1, path, until, incidents, comment, by };
    serde_json::to_vec(&json).map_err(|_| ZkError::MarshallingError)
}

/// All silences, those that ended included; `watch` leaves a watch on the list. Those that may not be read or cannot
/// be understood are left out, and given beside with the reasons.
pub fn list(client: &Client, places: &Places, watch: bool) -> Answer<(Vec<Silence>, Reasons)> {
    let (mut all, mut skipped) = (Vec::new(), Reasons::new());
    for id in client.children(&places.silences, watch)? {
        let znode = format!("{}/{id}", places.silences);
        let bytes = match client.data(&znode, false) {
            Ok((bytes, _)) => bytes,
            Err(ZkError::NoNode) => continue,
            Err(ZkError::NoAuth) => {
                skipped.insert(znode, describe(ZkError::NoAuth));
                continue;
            }
            Err(e) => return Err(e),
        };
        match decode(id, &bytes) {
            Ok(silence) => all.push(silence),
            Err(reason) => drop(skipped.insert(znode, format!("no silence: {reason}"))),
        }
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok((all, skipped))
}

/// The same without a watch; none at all where no agent has been.
pub fn all(client: &Client, places: &Places) -> Answer<(Vec<Silence>, Reasons)> {
    match list(client, places, false) {
        Err(ZkError::NoNode) => Ok((Vec::new(), Reasons::new())),
        listed => listed,
    }
}

/// Makes a silence and gives its id; the `id` of the argument is not used.
pub fn add(client: &Client, places: &Places, acl: &[Acl], silence: &Silence) -> Answer<String> {
    let bytes = encode(silence)?;
    let prefix = format!("{}/s", places.silences);
    let made = client.create(&prefix, &bytes, acl, CreateMode::PersistentSequential)?;
    Ok(made.rsplit('/').next().unwrap_or_default().to_owned())
}

/// Ends a silence; says whether there was one of that id.
pub fn remove(client: &Client, places: &Places, id: &str) -> Answer<bool> {
    match client.delete(&format!("{}/{id}", places.silences), None) {
        Ok(()) => Ok(true),
        Err(ZkError::NoNode) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Removes those that ended a while ago, and acknowledgements of which no incident is open any more.
pub fn sweep(client: &Client, places: &Places, all: &[Silence], now: SystemTime) -> Answer<()> {
    each(all, |silence| {
        let has_ended = match &silence.until {
            Until::Time(end) => *end + KEEP < now,
            Until::Recovery(incidents) => !ledger::is_any_open(client, places, incidents)?,
        };
        if has_ended { remove(client, places, &silence.id).map(drop) } else { Ok(()) }
    })
}

/// Does this with each while there is a session, and gives the first error.
fn each(all: &[Silence], mut work: impl FnMut(&Silence) -> Answer<()>) -> Answer<()> {
    let mut result = Ok(());
    for silence in all {
        match work(silence) {
            Err(e) if is_over(e) => return Err(e),
            other => result = result.and(other),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_may_not_be_removed_keeps_no_other() {
        let silence = |id: &str| {
            let until = Until::Time(SystemTime::UNIX_EPOCH);
            Silence { id: id.into(), path: "/a".into(), until, comment: "".into(), by: "".into() }
        };
        let all = ["a", "b", "c", "d"].map(silence);
        let mut tried = String::new();
        let result = each(&all, |silence| {
            tried += &silence.id;
            match &*silence.id {
                "a" => Err(ZkError::NoAuth),
                "c" => Err(ZkError::ConnectionLoss),
                _ => Ok(()),
            }
        });
        assert_eq!((&*tried, result), ("abc", Err(ZkError::ConnectionLoss)));
        assert_eq!(
            each(&all[..2], |silence| if *silence.id == *"a" { Err(ZkError::NoAuth) } else { Ok(()) }),
            Err(ZkError::NoAuth)
        );
    }

    #[test]
    fn a_hostile_silence_is_one_line_of_printable_text() {
        let read = |json: &str| decode("s".to_owned(), json.as_bytes());
        let comment = format!("\\u001b]0;x\\u0007\\nID\\t{}", "\u{e9}".repeat(1000));
        let json = format!(r#"{{"v":1,"path":"/a","until":1,"comment":"{comment}","by":"a\nb"}}"#);
        let silence = read(&json).expect("a silence");
        assert!(silence.comment.starts_with(" ]0;x  ID \u{e9}") && silence.comment.len() <= WORDS_MAX);
        assert_eq!(&*silence.by, "a b");
        let refused = read(r#"{"v":1,"path":"/a\u001b[2J","until":1}"#).expect_err("no path");
        assert_eq!(refused, "its path is none that a znode can have");
    }
}
