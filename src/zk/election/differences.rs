//! Agents of one cluster whose configurations differ.

use std::time::{Duration, Instant};

use crate::clock;
use crate::model::status::{Agent, Cluster};

/// For how long they have to: a rollout is not worth a word.
const ROLLOUT: Duration = Duration::from_secs(10);

/// Since when there are any.
#[derive(Default)]
pub struct Differences(Option<Instant>);

impl Differences {
    /// Names those whose configuration has differed from ours for a while.
    pub fn lasting(&mut self, cluster: &Cluster, config: &str) -> Option<String> {
        let differs = |agent: &&Agent| *agent.config != *config && agent.name != cluster.agent;
        let others: Vec<&str> = cluster.agents.iter().filter(differs).map(|agent| &*agent.name).collect();
        if others.is_empty() {
            self.0 = None;
            return None;
        }
        let since = *self.0.get_or_insert_with(clock::mono);
        let lasts = clock::mono() - since >= ROLLOUT;
        lasts.then(|| format!("the configuration differs from that of {}", others.join(", ")))
    }

    /// How long until they are worth a word, if they are not yet.
    pub fn until_they_last(&self) -> Option<Duration> {
        ROLLOUT.checked_sub(clock::mono() - self.0?).filter(|left| !left.is_zero())
    }
}
