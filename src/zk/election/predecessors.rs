//! Who was before this agent in line, and since when nobody can have led after them.

use std::time::{Duration, Instant};

use super::granted::EFFECT;

/// How long what a leader has seen may wait until it is told.
const TELLING: Duration = Duration::from_secs(2);

/// Who was before an agent in line; nobody, if one was no agent: he may have meant that nothing is told meanwhile.
#[derive(Debug, Default)]
pub struct Predecessors {
    first: Option<First>,
    /// Since when nobody can have led, unless that one did.
    vacant_since: Option<Instant>,
}

/// The first in line.
#[derive(Debug)]
struct First {
    /// The number of its place.
    number: u64,
    /// The timeout of its session, or of ours where that is not known.
    timeout: Duration,
    /// When it was seen to be the first at first, and when last.
    seen: (Instant, Instant),
}

impl First {
    /// For how long its session can have been dead while its place was still seen: for its timeout, and a server's tick,
    /// which is at most half of that.
    fn patience(&self) -> Duration {
        self.timeout * 3 / 2
    }

    /// Whether it was the first for so short a time that it may never have led.
    fn is_new(&self) -> bool {
        self.seen.1 - self.seen.0 < self.patience() + EFFECT
    }
}

impl Predecessors {
    /// The first has this number now. `timeout` is that of its session, if that is known by now, and `own` that of ours.
    pub fn see(&mut self, number: u64, timeout: Option<Duration>, own: Duration, now: Instant) {
        if let Some(first) = self.first.as_mut().filter(|first| first.number == number) {
            (first.timeout, first.seen.1) = (timeout.unwrap_or(first.timeout), now);
            return;
        }
        self.vacant_since = self.vacant_since();
        self.first = Some(First { number, timeout: timeout.unwrap_or(own), seen: (now, now) });
    }

    /// Since when nobody can have led if this agent is the first now: since the death of who was the first when they were
    /// looked at last, or of an earlier one if those after it may never have led. Too early does no harm: what somebody
    /// was told of had an entry.
    pub fn vacant_since(&self) -> Option<Instant> {
        let first = self.first.as_ref()?;
        let died = first.seen.1.checked_sub(first.patience() + TELLING)?;
        let earlier = self.vacant_since.filter(|_| first.is_new());
        Some(earlier.map_or(died, |earlier| earlier.min(died)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const OWN: Duration = Duration::from_secs(4);

    /// Those who are the first at these seconds, by their numbers and timeouts; and the seconds before the last look since
    /// which nobody can have led.
    fn check(looks: &[(u64, u64, Option<u64>)], expected: Option<u64>) {
        let began = clock::mono() + Duration::from_secs(100);
        let mut before = Predecessors::default();
        let mut last = began;
        for (at, number, timeout) in looks {
            last = began + Duration::from_secs(*at);
            before.see(*number, timeout.map(Duration::from_secs), OWN, last);
        }
        let vacancy = before.vacant_since().map(|since| last - since);
        assert_eq!(vacancy, expected.map(Duration::from_secs), "{looks:?}");
    }

    #[test]
    fn the_time_without_a_leader_is_that_of_the_dead_ones_session() {
        check(&[], None);
        check(&[(0, 1, None)], Some(8));
        check(&[(0, 1, Some(12))], Some(20));
        check(&[(0, 1, Some(12)), (60, 1, None)], Some(20));
        check(&[(0, 1, Some(2))], Some(5));
    }

    #[test]
    fn the_time_adds_up_over_those_who_never_led() {
        let (first, second) = (Some(4), Some(40));
        check(&[(0, 1, second), (30, 1, second), (32, 2, first), (35, 2, first)], Some(67));
        check(&[(0, 1, first), (30, 2, first), (35, 3, first), (39, 3, first)], Some(47));
        // It was the first for so long that it led.
        check(&[(0, 1, second), (32, 2, first), (60, 2, first)], Some(8));
        check(&[(0, 1, first), (30, 2, second), (31, 2, second)], Some(62));
    }
}
