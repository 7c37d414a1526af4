//! Agents of one cluster whose configurations differ.

use std::time::Duration;

use super::{Election, REFRESH};
use crate::clock;

impl Election {
    /// Names those whose configuration has differed for a while: a rollout is not worth a word.
    pub(super) fn differing(&mut self) -> Option<String> {
        let others: Vec<_> = self
            .status
            .agents
            .iter()
            .filter(|agent| agent.config != self.info.config && *agent.name != *self.name)
            .map(|agent| agent.name.as_ref())
            .collect();
        if others.is_empty() {
            self.differs_since = None;
            return None;
        }
        let since = *self.differs_since.get_or_insert_with(clock::mono);
        let lasts = clock::mono() - since >= REFRESH;
        lasts.then(|| format!("the configuration differs from that of {}", others.join(", ")))
    }

    /// How long until a difference of configurations is worth a word, if it is not yet.
    pub(super) fn until_it_lasts(&self) -> Option<Duration> {
        REFRESH.checked_sub(clock::mono() - self.differs_since?).filter(|left| !left.is_zero())
    }
}
