//! Open incidents ⇄ znodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender};
use serde::{Deserialize, Serialize};
use zookeeper::{Acl, CreateMode, ZkError};

use super::client::{Answer, Client, describe};
use super::names::{self, Places};
use crate::model::alert_key::AlertKey;
use crate::model::judge::Base;
use crate::model::labels::Labels;
use crate::model::ledger::{Change, ENTRY_MAX, Entry, Mark, Past, Progress, Stored, Write, Written};
use crate::model::receiver::ReceiverId;
use crate::model::status::acknowledged;
use crate::published::Reader;

/// Writes under way at once: one thread writes 10,000 entries in 21 s, sixteen in 1.7 s.
pub const WRITERS: usize = 16;
/// The version of the format. Later versions add fields; those are kept, though not understood.
const FORMAT: u32 = 1;

/// What writes need: the client of the session that holds the lease, and its epoch.
pub struct Access {
    pub epoch: u64,
    pub client: Client,
}

/// A write that the server refused for want of rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The lease that it was made under.
    pub epoch: u64,
    pub znode: String,
    right: Right,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    /// To replace the entry.
    Set,
    /// To add entries and to remove them.
    List,
}

impl Refusal {
    /// Asks the server whether it would still refuse: by a change of a version that no znode has, which it refuses for
    /// want of rights before it looks at the version.
    pub(super) fn lasts(&self, client: &Client) -> Answer<bool> {
        const NEVER: Option<i32> = Some(i32::MIN);
        let answer = match self.right {
            Right::Set => client.set(&self.znode, b"", NEVER).map(drop),
            Right::List => client.delete(&self.znode, NEVER),
        };
        match answer {
            Err(ZkError::NoAuth) => Ok(true),
            Ok(()) | Err(ZkError::BadVersion | ZkError::NoNode) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Everything found in the ledger.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub entries: Vec<Stored>,
    /// Alerts whose entry was not, and its version.
    pub unreadable: Vec<(AlertKey, i32)>,
}

/// The stored form of an entry.
#[derive(Serialize, Deserialize)]
struct Json {
    v: u32,
    epoch: u64,
    incident: Arc<str>,
    path: Arc<str>,
    /// The rule's name, if the path has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Arc<str>>,
    /// Milliseconds since 1970.
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    message: Arc<str>,
    /// The labels of each incident that a receiver has yet to hear of, by its id. An older version keeps this as it is
    /// while it begins incidents of its own, which have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<Arc<str>, BTreeMap<String, String>>,
    receivers: BTreeMap<Arc<str>, JsonProgress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drop: Option<JsonBase>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ending: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<Option<Arc<str>>>,
    #[serde(default)]
    missed: u32,
    #[serde(flatten)]
    extra: Unknown,
}

#[derive(Serialize, Deserialize)]
struct JsonProgress {
    incident: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    storm: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    past: Option<JsonPast>,
    #[serde(with = "JsonMark")]
    firing: Mark,
    #[serde(with = "JsonMark")]
    resolved: Mark,
    #[serde(flatten)]
    extra: Unknown,
}

/// Fields of a later version. They are kept as text: next to nobody has any.
type Unknown = BTreeMap<String, serde_json::Value>;

fn unknown(text: &str) -> Unknown {
    serde_json::from_str(text).unwrap_or_default()
}

fn text(unknown: &Unknown) -> Box<str> {
    // A map with string keys always has a JSON form.
    if unknown.is_empty() { "".into() } else { serde_json::to_string(unknown).unwrap_or_default().into() }
}

/// What the number of children is measured by; the time in milliseconds since 1970.
#[derive(Serialize, Deserialize)]
struct JsonBase {
    most: u32,
    fell: u64,
}

/// A violation that is over; times in milliseconds since 1970.
#[derive(Serialize, Deserialize)]
struct JsonPast {
    message: Arc<str>,
    since: u64,
    until: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ending: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Mark", rename_all = "lowercase")]
enum JsonMark {
    Pending,
    Ambiguous,
    Sent,
    Refused,
}

fn encode(entry: &Entry) -> Vec<u8> {
    let receivers = entry.receivers.iter().map(|(id, progress)| {
        let Progress { incident, storm, past, firing, resolved, extra } = progress.clone();
        let extra = unknown(&extra);
        let past = past.map(|Past { message, since, until, ending, labels: _ }| JsonPast {
            message,
            since: millis(since),
            until: millis(until),
            ending,
        });
        (Arc::clone(&id.0), JsonProgress { incident, storm, past, firing, resolved, extra })
    });
    let json = Json {
        v: FORMAT,
        epoch: entry.epoch,
        incident: Arc::clone(&entry.incident),
        path: Arc::clone(&entry.key.path),
        name: entry.key.name.clone(),
        since: millis(entry.since),
        until: entry.until.map(millis),
        message: Arc::clone(&entry.message),
        labels: labels(entry),
        receivers: receivers.collect(),
        drop: entry.base.map(|Base { most, fell }| JsonBase { most, fell: millis(fell) }),
        ending: entry.ending.clone(),
        former: entry.former.clone(),
        missed: entry.missed,
        extra: unknown(&entry.extra),
    };
    // Strings, numbers and maps with string keys always have a JSON form.
    serde_json::to_vec(&json).unwrap_or_default()
}

/// The labels of the incident, and of those before it whose end is not told yet.
fn labels(entry: &Entry) -> BTreeMap<Arc<str>, BTreeMap<String, String>> {
    let behind = entry.receivers.values().filter_map(|progress| {
        let past = progress.past.as_ref().filter(|_| progress.incident != entry.incident)?;
        Some((&progress.incident, &past.labels))
    });
    let all = behind.chain([(&entry.incident, &entry.labels)]);
    let all = all.filter(|(_, labels)| **labels != old_labels(&entry.key));
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    all.map(|(incident, labels)| (Arc::clone(incident), labels.iter().map(owned).collect())).collect()
}

/// Those of an incident of which the entry says none.
fn old_labels(key: &AlertKey) -> Arc<Labels> {
    Arc::new(Labels::of_old(key.name.as_ref()))
}

/// The stored form of an entry, which is never longer than [`ENTRY_MAX`]: one that would be goes without what nobody
/// needs in order to tell the right receivers the right end, which are the later words of messages and unknown fields,
/// and the labels of all but a few incidents that came and went before: an Alertmanager ends those by itself.
fn encode_within_bounds(entry: &Entry) -> Result<Vec<u8>, String> {
    let bytes = encode(entry);
    if bytes.len() <= ENTRY_MAX {
        return Ok(bytes);
    }
    let bytes = encode(&shortened(entry));
    if bytes.len() <= ENTRY_MAX {
        return Ok(bytes);
    }
    Err(format!("its entry would have {} bytes, and at most {ENTRY_MAX} are written", bytes.len()))
}

fn shortened(entry: &Entry) -> Entry {
    const MESSAGE: usize = 1000;
    const PAST_MESSAGE: usize = 40;
    const LABELLED: usize = 4;
    let old = old_labels(&entry.key);
    let mut labelled = BTreeSet::new();
    let shortened = entry.with_receivers(|_, progress| {
        let is_labelled = labelled.len() < LABELLED || labelled.contains(&progress.incident);
        let past = progress.past.clone().map(|past| {
            labelled.extend(is_labelled.then(|| Arc::clone(&progress.incident)));
            let labels = if is_labelled { past.labels } else { Arc::clone(&old) };
            Past { message: beginning(&past.message, PAST_MESSAGE), ending: None, labels, ..past }
        });
        Progress { past, extra: "".into(), ..progress.clone() }
    });
    Entry { message: beginning(&entry.message, MESSAGE), extra: "".into(), ..shortened }
}

fn beginning(text: &str, longest: usize) -> Arc<str> {
    text[..text.floor_char_boundary(longest)].into()
}

/// The entry that a znode's bytes hold, if they do and it is the one of this alert. What is longer than any entry that is
/// written is none.
fn decode(key: &AlertKey, bytes: &[u8]) -> Option<Entry> {
    if bytes.len() > ENTRY_MAX {
        return None;
    }
    let json: Json = serde_json::from_slice(bytes).ok()?;
    if json.v < 1 || (&json.path, &json.name) != (&key.path, &key.name) {
        return None;
    }
    let labels = |incident: &Arc<str>| match json.labels.get(incident) {
        Some(labels) => Arc::new(labels.iter().map(|(name, value)| (&**name, &**value)).collect()),
        None => old_labels(key),
    };
    let receivers = json.receivers.into_iter().map(|(id, progress)| {
        let JsonProgress { incident, storm, past, firing, resolved, extra } = progress;
        let extra = text(&extra);
        let past = past.map(|JsonPast { message, since, until, ending }| Past {
            message,
            since: time(since),
            until: time(until),
            ending,
            labels: labels(&incident),
        });
        (ReceiverId(id), Progress { incident, storm, past, firing, resolved, extra })
    });
    Some(Entry {
        epoch: json.epoch,
        labels: labels(&json.incident),
        incident: json.incident,
        key: key.clone(),
        since: time(json.since),
        until: json.until.map(time),
        message: json.message,
        receivers: receivers.collect(),
        base: json.drop.map(|JsonBase { most, fell }| Base { most, fell: time(fell) }),
        ending: json.ending,
        former: json.former,
        missed: json.missed,
        extra: text(&json.extra),
    })
}

/// Whatever is read as an entry is the same when it is written and read again, and is never written beyond the bound.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(bytes: &[u8]) {
    for name in [None, Some("page".into())] {
        let key = AlertKey { path: "/a".into(), name };
        let Some(entry) = decode(&key, bytes) else { continue };
        assert_eq!(decode(&key, &encode(&entry)).as_ref(), Some(&entry));
        if let Ok(bytes) = encode_within_bounds(&entry) {
            assert!(bytes.len() <= ENTRY_MAX);
        }
        // What the watching side adds to it must be a time.
        assert!(entry.since.checked_add(Duration::from_secs(1 << 40)).is_some());
    }
}

/// Milliseconds since 1970; 0 for times before.
pub fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time so many milliseconds after 1970, within the next ten thousand years.
pub fn time(millis: u64) -> SystemTime {
    const FAR: u64 = 10_000 * 365 * 86_400 * 1000;
    UNIX_EPOCH + Duration::from_millis(millis.min(FAR))
}

fn place(places: &Places, key: &AlertKey) -> String {
    format!("{}/{}", places.alerts, names::encode_alert(key))
}

/// Reads the whole ledger.
pub(super) fn load(client: &Client, places: &Places) -> Answer<Loaded> {
    let names = client.children(&places.alerts, false)?;
    let share = names.len().div_ceil(WRITERS).max(1);
    let parts: Vec<Answer<Loaded>> = thread::scope(|scope| {
        let part = |names| move || load_part(client, places, names);
        let running: Vec<_> = names.chunks(share).map(|names| scope.spawn(part(names))).collect();
        running.into_iter().map(|part| part.join().unwrap_or(Err(ZkError::SystemError))).collect()
    });
    let mut all = Loaded::default();
    for part in parts {
        let part = part?;
        all.entries.extend(part.entries);
        all.unreadable.extend(part.unreadable);
    }
    Ok(all)
}

/// The incidents that are open, by their ids.
pub fn open_incidents(client: &Client, places: &Places) -> Answer<BTreeMap<AlertKey, Arc<str>>> {
    let entries = load(client, places)?.entries.into_iter().map(|stored| stored.entry);
    Ok(entries.filter(|entry| entry.until.is_none()).map(|entry| (entry.key, entry.incident)).collect())
}

/// Whether one of these incidents is open, under whatever name its rule has by now. What cannot be read as an entry is none.
pub(super) fn is_any_open(
    client: &Client,
    places: &Places,
    incidents: &BTreeMap<AlertKey, Arc<str>>,
) -> Answer<bool> {
    let is_open = |key: &AlertKey| -> Answer<bool> {
        let Found::Entry(stored) = read(client, &place(places, key), key)? else { return Ok(false) };
        let mut acknowledged = acknowledged(incidents, &key.path);
        Ok(stored.entry.until.is_none() && acknowledged.any(|incident| *incident == stored.entry.incident))
    };
    for key in incidents.keys() {
        if is_open(key)? {
            return Ok(true);
        }
    }
    // An entry that moves is there under its new name before the old one goes.
    let names = match client.children(&places.alerts, false) {
        Err(ZkError::NoNode) => return Ok(false),
        names => names?,
    };
    let keys = names.iter().filter_map(|name| names::decode_alert(name));
    for key in keys.filter(|key| acknowledged(incidents, &key.path).next().is_some()) {
        if is_open(&key)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn load_part(client: &Client, places: &Places, names: &[String]) -> Answer<Loaded> {
    let mut part = Loaded::default();
    for name in names {
        let Some(key) = names::decode_alert(name) else {
            log::warn!(
                "{}/{name} is no entry of the ledger: its name is not that of an alert",
                places.alerts
            );
            continue;
        };
        match read(client, &format!("{}/{name}", places.alerts), &key)? {
            Found::Entry(stored) => part.entries.push(*stored),
            Found::Unreadable(version) => part.unreadable.push((key, version)),
            Found::Nothing => {}
        }
    }
    Ok(part)
}

/// What ZooKeeper takes for every version in a change.
const ANY_VERSION: i32 = -1;

enum Found {
    Entry(Box<Stored>),
    Unreadable(i32),
    Nothing,
}

fn read(client: &Client, znode: &str, key: &AlertKey) -> Answer<Found> {
    match client.data(znode, false) {
        Ok((bytes, stat)) => Ok(match decode(key, &bytes) {
            Some(entry) => {
                Found::Entry(Box::new(Stored { entry, version: stat.version, modified: stat.mzxid }))
            }
            None => Found::Unreadable(stat.version),
        }),
        Err(ZkError::NoNode) => Ok(Found::Nothing),
        // Somebody shut all readers out.
        Err(ZkError::NoAuth) => Ok(client.look(znode, false)?.map_or(Found::Nothing, |shown| {
            Found::Unreadable(shown.map_or(ANY_VERSION, |stat| stat.version))
        })),
        Err(e) => Err(e),
    }
}

/// A writer, of which there are [`WRITERS`]. It ends when `writes` closes. The election hears of `refusals`.
pub fn run(
    writes: &Receiver<Write>,
    written: &Sender<(u64, Written)>,
    refusals: &Sender<Refusal>,
    access: &Reader<Option<Access>>,
    places: &Places,
    acl: &[Acl],
) {
    for write in writes {
        let result = carry_out(&write, access.get().as_ref().as_ref(), places, acl);
        if result == Written::Refused {
            // One is reason enough to step aside, so it does not matter if another is waiting to be heard.
            refusals.try_send(refusal(&write, places)).ok();
        }
        if written.send((write.id, result)).is_err() {
            return;
        }
    }
}

fn refusal(write: &Write, places: &Places) -> Refusal {
    let right = match write.change {
        Change::Set(..) => Right::Set,
        Change::Create(_) | Change::Delete(_) => Right::List,
    };
    Refusal { epoch: write.epoch, znode: place(places, &write.key), right }
}

/// What became of a write that the server did not make.
fn not_done(error: ZkError) -> Written {
    if error == ZkError::NoAuth { Written::Refused } else { Written::Failed(describe(error)) }
}

fn carry_out(write: &Write, access: Option<&Access>, places: &Places, acl: &[Acl]) -> Written {
    let Some(access) = access.filter(|access| access.epoch == write.epoch) else {
        return Written::Failed("the lease that it was decided under is over".to_owned());
    };
    let client = &access.client;
    let znode = place(places, &write.key);
    let bytes = match &write.change {
        Change::Create(entry) | Change::Set(entry, _) => match encode_within_bounds(entry) {
            Ok(bytes) => bytes,
            Err(reason) => return Written::Failed(reason),
        },
        Change::Delete(_) => Vec::new(),
    };
    let done = match &write.change {
        Change::Create(_) => match create(client, &znode, &bytes, acl) {
            // Somebody removed the ledger itself.
            Err(ZkError::NoNode) => return remake(client, &znode, &bytes, places, acl),
            other => other,
        },
        Change::Set(_, version) => client.set(&znode, &bytes, Some(*version)).map(|stat| stat.version),
        Change::Delete(version) => client.delete(&znode, Some(*version)).map(|()| 0),
    };
    match done {
        Ok(version) => Written::Done(version),
        Err(ZkError::NodeExists | ZkError::BadVersion | ZkError::NoNode) => {
            conflict(client, &znode, &write.key)
        }
        // One that cannot be read either is of no use to anybody.
        Err(ZkError::NoAuth) if matches!(write.change, Change::Set(..)) => {
            let found = conflict(client, &znode, &write.key);
            if let Written::Conflict(Some(_)) = found { Written::Refused } else { found }
        }
        Err(e) => not_done(e),
    }
}

fn create(client: &Client, znode: &str, bytes: &[u8], acl: &[Acl]) -> Answer<i32> {
    client.create(znode, bytes, acl, CreateMode::Persistent).map(|_| 0)
}

/// Makes the ledger and an entry in it.
fn remake(client: &Client, znode: &str, bytes: &[u8], places: &Places, acl: &[Acl]) -> Written {
    let made = match client.create(&places.alerts, b"", acl, CreateMode::Persistent) {
        Ok(_) => {
            log::warn!("{} was removed by somebody; making it again", places.alerts);
            create(client, znode, bytes, acl)
        }
        Err(ZkError::NodeExists) => create(client, znode, bytes, acl),
        Err(e) => Err(e),
    };
    match made {
        Ok(version) => Written::Done(version),
        Err(e) => not_done(e),
    }
}

fn conflict(client: &Client, znode: &str, key: &AlertKey) -> Written {
    match read(client, znode, key) {
        Ok(Found::Entry(stored)) => Written::Conflict(Some(stored)),
        Ok(Found::Nothing) => Written::Conflict(None),
        // What cannot be understood is in the way: it is removed, and with that it is absent.
        Ok(Found::Unreadable(version)) => match client.delete(znode, Some(version)) {
            Ok(()) | Err(ZkError::NoNode) => Written::Conflict(None),
            Err(e) => not_done(e),
        },
        Err(e) => not_done(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ledger::RECEIVERS_MAX;
    use crate::model::small_map::SmallMap;

    fn labels(all: &[(&str, &str)]) -> Arc<Labels> {
        Arc::new(all.iter().copied().collect())
    }

    fn past() -> Past {
        Past {
            message: "was".into(),
            since: time(5),
            until: time(9),
            ending: Some("1h has passed since the fall from 10".into()),
            labels: labels(&[("severity", "info")]),
        }
    }

    fn entry() -> Entry {
        let progress = Progress {
            incident: "a-0".into(),
            storm: Some("s".into()),
            past: Some(past()),
            firing: Mark::Sent,
            resolved: Mark::Ambiguous,
            extra: r#"{"later":2}"#.into(),
        };
        Entry {
            epoch: 7,
            incident: "a-1".into(),
            key: AlertKey::unnamed("/x"),
            since: time(1_700_000_000_123),
            until: Some(time(1_700_000_001_000)),
            message: "Found children (0) less than minimum (1)".into(),
            receivers: [(ReceiverId("r".into()), progress)].into(),
            labels: labels(&[("rule", "page"), ("severity", "critical"), ("team", "web")]),
            base: Some(Base { most: 10, fell: time(1_700_000_000_100) }),
            ending: Some("The count is back within 30% of 10".into()),
            former: vec![None, Some("old".into())],
            missed: 2,
            extra: r#"{"later":[1]}"#.into(),
        }
    }

    #[test]
    fn entries_survive_storage_with_fields_of_later_versions() {
        assert_eq!(decode(&AlertKey::unnamed("/x"), &encode(&entry())), Some(entry()));
        let plain = Entry { until: None, base: None, ending: None, extra: "".into(), ..entry() };
        assert_eq!(decode(&AlertKey::unnamed("/x"), &encode(&plain)), Some(plain));
    }

    #[test]
    fn the_entry_of_a_rule_with_a_name_is_of_that_alone() {
        let text = String::from_utf8(encode(&entry())).expect("text");
        assert!(text.contains(r#""path":"/x","since":"#), "as before there were names: {text}");
        let key = AlertKey { path: "/x".into(), name: Some("page".into()) };
        let named = Entry { key: key.clone(), ..entry() };
        assert_eq!(decode(&key, &encode(&named)), Some(named.clone()));
        assert_eq!(decode(&key, &encode(&entry())), None);
        assert_eq!(decode(&AlertKey::unnamed("/x"), &encode(&named)), None);
    }

    #[test]
    fn labels_are_those_that_an_incident_began_with() {
        let read = |json: String| decode(&AlertKey::unnamed("/x"), json.as_bytes()).expect("an entry");
        let stored = String::from_utf8(encode(&entry())).expect("text");
        assert!(stored.contains(r#""labels":{"a-0":{"severity":"info"},"a-1":{"rule":"page","#), "{stored}");
        // An older version kept the labels, and began another incident, which has none.
        let newer = read(stored.replace(r#""incident":"a-1""#, r#""incident":"a-2""#));
        assert_eq!(newer.labels, labels(&[]));
        let past = |entry: &Entry| entry.receivers.values().next().and_then(|progress| progress.past.clone());
        assert_eq!(past(&newer).map(|past| past.labels), Some(labels(&[("severity", "info")])));
        // One of a version without labels has the rule's name as the only one.
        let key = AlertKey { path: "/x".into(), name: Some("page".into()) };
        let unlabelled = Entry { key: key.clone(), labels: labels(&[("rule", "page")]), ..entry() };
        let unlabelled = Entry { receivers: SmallMap::default(), ..unlabelled };
        let stored = String::from_utf8(encode(&unlabelled)).expect("text");
        assert!(!stored.contains("labels"), "{stored}");
        assert_eq!(decode(&key, stored.as_bytes()), Some(unlabelled));
    }

    #[test]
    fn what_a_later_version_says_of_a_receiver_is_kept() {
        let json = r#"{"v":1,"epoch":1,"incident":"i","path":"/x","since":1,"message":"m","receivers":{"r":
            {"incident":"i","firing":"sent","resolved":"pending","thread":{"ts":"1.5"},"until":7}}}"#;
        let kept = encode(&decode(&AlertKey::unnamed("/x"), json.as_bytes()).expect("an entry"));
        let kept: serde_json::Value = serde_json::from_slice(&kept).expect("JSON");
        let receiver = &kept["receivers"]["r"];
        assert_eq!((&receiver["thread"]["ts"], &receiver["until"]), (&"1.5".into(), &7.into()), "{kept}");
    }

    #[test]
    fn the_entry_of_as_many_receivers_as_a_rule_can_have_fits() {
        let names: Vec<String> = (0..20).map(|number| format!("{number:064}")).collect();
        let value = "v".repeat(200);
        let long: Vec<_> = names.iter().map(|name| (&**name, &*value)).collect();
        let ending = Some("The count is back within 30% of 4294967295".into());
        let long = Past { message: "ü".repeat(2000).into(), ending, labels: labels(&long), ..past() };
        let progress = |number: usize| Progress {
            incident: format!("0123456789abcdef0123456789ab{number:04x}").into(),
            past: Some(long.clone()),
            firing: Mark::Ambiguous,
            resolved: Mark::Ambiguous,
            ..entry().receivers.iter().next().expect("a receiver").1.clone()
        };
        let behind = |count: usize| {
            let id = |number: usize| ReceiverId(format!("pagerduty-{number:016x}").into());
            let receivers = (0..count).map(|number| (id(number), progress(number)));
            Entry { message: "m".repeat(600_000).into(), receivers: receivers.collect(), ..entry() }
        };
        let bytes = encode_within_bounds(&behind(RECEIVERS_MAX)).expect("within bounds");
        let read = decode(&AlertKey::unnamed("/x"), &bytes).expect("an entry");
        assert_eq!(read.receivers.iter().count(), RECEIVERS_MAX);
        assert!(read.message.starts_with("mmm"), "the message's beginning is kept");
        assert_eq!(read.labels, entry().labels);
        let labelled =
            |progress: &&Progress| progress.past.as_ref().is_some_and(|past| past.labels == long.labels);
        assert_eq!(read.receivers.values().filter(labelled).count(), 4, "of so many incidents");
        let reason = encode_within_bounds(&behind(2 * RECEIVERS_MAX)).expect_err("too long");
        assert!(reason.contains("at most 524288 are written"), "{reason}");
    }

    #[test]
    fn what_is_no_entry_is_not_taken_for_one() {
        for bytes in [&b""[..], b"null", b"{}", b"\xff", b"[1]", &encode(&entry())[1..]] {
            assert_eq!(decode(&AlertKey::unnamed("/x"), bytes), None);
        }
        assert_eq!(decode(&AlertKey::unnamed("/y"), &encode(&entry())), None);
        let long = Entry { extra: format!(r#"{{"later":"{}"}}"#, "x".repeat(ENTRY_MAX)).into(), ..entry() };
        assert_eq!(decode(&AlertKey::unnamed("/x"), &encode(&long)), None);
    }
}
