//! Silences ⇄ znodes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use zookeeper::{Acl, CreateMode, ZkError};

use super::client::{Answer, Client};
use super::ledger::{millis, time};
use super::names::Places;
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

/// All silences, those that ended included; `watch` leaves a watch on the list. One that cannot be understood
/// is left out and logged.
///
/// # Errors
/// The library's.
pub fn list(client: &Client, places: &Places, watch: bool) -> Answer<Vec<Silence>> {
    let mut all = Vec::new();
    for id in client.children(&places.silences, watch)? {
        let bytes = match client.data(&format!("{}/{id}", places.silences), false) {
            Ok((bytes, _)) => bytes,
            Err(ZkError::NoNode) => continue,
            Err(e) => return Err(e),
        };
        match serde_json::from_slice::<Json>(&bytes) {
            Ok(Json { path, until, comment, by, .. }) => {
                all.push(Silence { id: id.into(), path, until: time(until), comment, by });
            }
            Err(e) => log::warn!("{}/{id} is no silence: {e}", places.silences),
        }
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}

/// The same without a watch; none at all where no agent has been.
///
/// # Errors
/// The library's.
pub fn all(client: &Client, places: &Places) -> Answer<Vec<Silence>> {
    match list(client, places, false) {
        Err(ZkError::NoNode) => Ok(Vec::new()),
        all => all,
    }
}

/// Makes a silence and gives its id; the `id` of the argument is not used.
///
/// # Errors
/// The library's.
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
///
/// # Errors
/// The library's.
pub fn remove(client: &Client, places: &Places, id: &str) -> Answer<bool> {
    match client.delete(&format!("{}/{id}", places.silences), None) {
        Ok(()) => Ok(true),
        Err(ZkError::NoNode) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Removes those that ended a while ago.
///
/// # Errors
/// The library's.
pub fn sweep(client: &Client, places: &Places, all: &[Silence], now: SystemTime) -> Answer<()> {
    for silence in all.iter().filter(|silence| silence.until + KEEP < now) {
        remove(client, places, &silence.id)?;
    }
    Ok(())
}
