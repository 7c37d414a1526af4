//! Who was before this agent in line, and since when nobody can have led after them.

use std::time::{Duration, Instant};

/// How long it may be until this agent notices that nobody is before it any more.
const NOTICE: Duration = Duration::from_secs(2);

/// Who was before an agent in line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Predecessors {
    /// Nobody, since it joined.
    #[default]
    Nobody,
    /// Agents alone; and the timeout of the session of the first, if that tells it.
    Agents(Option<Duration>),
    /// One who is no agent among them.
    Stranger,
}

impl Predecessors {
    /// Since when nobody can have led if this agent is first in line since then: before that the timeout of the dead
    /// one's session went by, and a server's tick, which is at most half of that. Nothing after a stranger: he may have
    /// meant that nothing is told meanwhile. `own` is the timeout of our session.
    pub fn vacant_since(self, first_since: Instant, own: Duration) -> Option<Instant> {
        let timeout = match self {
            Self::Nobody | Self::Agents(None) => own,
            Self::Agents(Some(timeout)) => timeout,
            Self::Stranger => return None,
        };
        first_since.checked_sub(timeout * 3 / 2 + NOTICE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_time_without_a_leader_is_that_of_the_dead_ones_session() {
        let own = Duration::from_secs(4);
        let first = clock::mono();
        let check = |before: Predecessors, seconds: Option<u64>| {
            let vacancy = before.vacant_since(first, own).map(|since| first - since);
            assert_eq!(vacancy, seconds.map(Duration::from_secs), "{before:?}");
        };
        check(Predecessors::Nobody, Some(8));
        check(Predecessors::Agents(None), Some(8));
        check(Predecessors::Agents(Some(Duration::from_secs(12))), Some(20));
        check(Predecessors::Agents(Some(Duration::from_secs(2))), Some(5));
        check(Predecessors::Stranger, None);
    }
}
