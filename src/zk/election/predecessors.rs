//! Who was before this agent in line, and for how long nobody can have led after them.

use std::time::Duration;

/// How long taking over may take.
const TAKE_OVER: Duration = Duration::from_secs(2);

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
    /// For how long nobody leads at most after the death of who did: the timeout of the dead one's session, a server's
    /// tick, which is at most half of that, and the time to take over. Nothing after a stranger: he may have meant that
    /// nothing is told meanwhile. `own` is the timeout of our session.
    pub fn vacancy(self, own: Duration) -> Duration {
        let timeout = match self {
            Self::Nobody | Self::Agents(None) => own,
            Self::Agents(Some(timeout)) => timeout,
            Self::Stranger => return Duration::ZERO,
        };
        timeout * 3 / 2 + TAKE_OVER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_without_a_leader_is_that_of_the_dead_ones_session() {
        let own = Duration::from_secs(4);
        let check = |before: Predecessors, seconds| {
            assert_eq!(before.vacancy(own), Duration::from_secs(seconds), "{before:?}")
        };
        check(Predecessors::Nobody, 8);
        check(Predecessors::Agents(None), 8);
        check(Predecessors::Agents(Some(Duration::from_secs(12))), 20);
        check(Predecessors::Agents(Some(Duration::from_secs(2))), 5);
        check(Predecessors::Stranger, 0);
    }
}
