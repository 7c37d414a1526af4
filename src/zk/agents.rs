//! The agents of a cluster ⇄ znodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use zookeeper::ZkError;

use super::client::{Answer, Client, describe};
use super::ledger::millis;
use super::names::{self, Places};
use super::skipped::Reasons;
use crate::model::lease::LONGEST_SESSION;
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
    /// The negotiated timeout of its session, in milliseconds; version 1.0 did not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_timeout: Option<u64>,
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
            session_timeout: None,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        // Strings and numbers always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The info that a znode holds, if it does. Anybody may have written it: no agent's session is longer than
    /// [`LONGEST_SESSION`].
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let info: Self = serde_json::from_slice(bytes).ok()?;
        let session_timeout =
            info.session_timeout.map(|timeout| timeout.min(LONGEST_SESSION.as_secs() * 1_000));
        Some(Self { session_timeout, ..info })
    }
}

/// The timeout of each agent's session, by the agent's name; `None` if it is not told.
pub type Timeouts = BTreeMap<Arc<str>, Option<Duration>>;

/// The agents' znodes.
#[derive(Debug, Default)]
pub struct Listed {
    /// Those that tell of themselves, by name.
    pub agents: Vec<Agent>,
    /// The names of all, and the timeouts of their sessions as far as they are told.
    pub timeouts: Timeouts,
    /// Those that may not be read, or cannot be understood.
    pub skipped: Reasons,
}

/// All agents; leaves a watch on their coming and going.
pub fn list(client: &Client, places: &Places) -> Answer<Listed> {
    let mut all = Listed::default();
    for znode in client.children(&places.agents, true)? {
        let place = format!("{}/{znode}", places.agents);
        let found = match client.data(&place, false) {
            Ok((bytes, _)) => AgentInfo::decode(&bytes).ok_or_else(|| "no agent".to_owned()),
            Err(ZkError::NoNode) => continue,
            Err(ZkError::NoAuth) => Err(describe(ZkError::NoAuth)),
            Err(e) => return Err(e),
        };
        let Some(name) = names::decode(&znode) else { continue };
        let timeout = found.as_ref().ok().and_then(|info| info.session_timeout);
        all.timeouts.insert(name.as_str().into(), timeout.map(Duration::from_millis));
        match found {
            Ok(info) => {
                all.agents.push(Agent { name: name.into(), version: info.version, config: info.config });
            }
            Err(reason) => drop(all.skipped.insert(place, reason)),
        }
    }
    all.agents.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The HTTP addresses of the agents, as far as they tell them.
///
/// # Errors
/// The library's.
pub fn addresses(client: &Client, places: &Places) -> Answer<Vec<String>> {
    let mut addresses = Vec::new();
    for znode in client.children(&places.agents, false)? {
        let data = client.data(&format!("{}/{znode}", places.agents), false);
        let info = data.ok().and_then(|(bytes, _)| AgentInfo::decode(&bytes));
        addresses.extend(info.map(|info| info.http.to_string()));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_of_version_1_0_tells_no_timeout() {
        let old = br#"{"instance":"i","version":"1.0.0","started":1,"http":"h:1","config":"c"}"#;
        let mut info = AgentInfo::decode(old).expect("an agent");
        assert_eq!((info.session_timeout, info.encode()), (None, old.to_vec()));
        info.session_timeout = Some(4_000);
        let told = AgentInfo::decode(&info.encode()).expect("an agent");
        assert_eq!(told.session_timeout, Some(4_000));
    }

    #[test]
    fn nobody_makes_a_session_longer_than_it_can_be() {
        let info = AgentInfo::decode(
            br#"{"instance":"i","version":"1","started":1,"http":"h:1","config":"c","session_timeout":18446744073709551615}"#,
        );
        assert_eq!(info.expect("an agent").session_timeout, Some(3_600_000));
    }
}
