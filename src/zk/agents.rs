//! The agents of a cluster ⇄ znodes.

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use zookeeper::ZkError;

use super::client::{Answer, Client};
use super::ledger::millis;
use super::names::{self, Places};
use crate::model::status::Agent;

/// What an agent tells of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentInfo {
    /// Tells processes apart that have one name: 32 hexadecimal digits.
    pub instance: Arc<str>,
    pub version: Arc<str>,
    /// When it was started, in milliseconds since 1970.
    pub started: u64,
    pub http: Arc<str>,
    pub config: Arc<str>,
}

impl AgentInfo {
    /// The info of this process, before its configuration is known.
    pub fn new(instance: &str, started: SystemTime, http: &str) -> Self {
        Self {
            instance: instance.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: millis(started),
            http: http.into(),
            config: "".into(),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        // Strings and numbers always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The info that a znode holds, if it does.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// All agents, by name; leaves a watch on their coming and going.
///
/// # Errors
/// The library's.
pub fn list(client: &Client, places: &Places) -> Answer<Vec<Agent>> {
    let mut agents = Vec::new();
    for znode in client.children(&places.agents, true)? {
        let bytes = match client.data(&format!("{}/{znode}", places.agents), false) {
            Ok((bytes, _)) => bytes,
            Err(ZkError::NoNode) => continue,
            Err(e) => return Err(e),
        };
        let Some(name) = names::decode(&znode) else { continue };
        let Some(info) = AgentInfo::decode(&bytes) else { continue };
        agents.push(Agent { name: name.into(), version: info.version, config: info.config });
    }
    agents.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(agents)
}
