//! Silences ⇄ znodes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use zookeeper::{Acl, CreateMode, ZkError};

use super::client::{Answer, Client, describe};
use super::ledger::{millis, time};
use super::names::Places;
use super::skipped::{Reasons, Skipped};
use crate::model::status::Silence;

/// How long a silence stays after its end. Clocks differ between hosts, and an end that one host saw is not yet
/// one on another.
const KEEP: Duration = Duration::from_secs(300);

#[derive(Serialize, Deserialize)]
struct Json {
    v: u32,
    path: Arc<str>,
    /// Milliseconds since 1970.
    until: u64,
    #[serde(default)]
    comment: Arc<str>,
    #[serde(default)]
    by: Arc<str>,
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
        match serde_json::from_slice::<Json>(&bytes) {
            Ok(Json { path, until, comment, by, .. }) => {
                all.push(Silence { id: id.into(), path, until: time(until), comment, by });
            }
            Err(e) => drop(skipped.insert(znode, format!("no silence: {e}"))),
        }
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok((all, skipped))
}

/// The same without a watch and with a line for each that is left out; none at all where no agent has been.
pub fn all(client: &Client, places: &Places) -> Answer<Vec<Silence>> {
    match list(client, places, false) {
        Ok((all, skipped)) => {
            Skipped::default().log(skipped);
            Ok(all)
        }
        Err(ZkError::NoNode) => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

/// Makes a silence and gives its id; the `id` of the argument is not used.
pub fn add(client: &Client, places: &Places, acl: &[Acl], silence: &Silence) -> Answer<String> {
    let json = Json {
        v: 1,
        path: Arc::clone(&silence.path),
        until: millis(silence.until),
        comment: Arc::clone(&silence.comment),
        by: Arc::clone(&silence.by),
    };
    let bytes = serde_json::to_vec(&json).map_err(|_| ZkError::MarshallingError)?;
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

/// Removes those that ended a while ago.
pub fn sweep(client: &Client, places: &Places, all: &[Silence], now: SystemTime) -> Answer<()> {
    for silence in all.iter().filter(|silence| silence.until + KEEP < now) {
        remove(client, places, &silence.id)?;
    }
    Ok(())
}
