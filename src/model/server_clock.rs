//! ZooKeeper's clock, as this agent's own writes show it.

use std::time::{Duration, Instant, SystemTime};

/// How far the estimate may be ahead of what a write shows before it is set back. Two clocks that drift apart by a few
/// microseconds a second would otherwise make a write that was found too old young again for a moment.
const TOLERANCE: Duration = Duration::from_secs(1);

/// One write of this agent, and when it was made by ZooKeeper's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSample {
    /// When the write was sent.
    pub sent: Instant,
    /// When the answer was here.
    pub answered: Instant,
    /// What ZooKeeper says when it was made: at some moment in between.
    pub written: SystemTime,
}

/// What is known of ZooKeeper's clock: the time at one moment, from which it goes on like ours.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerClock(Option<(Instant, SystemTime)>);

impl ServerClock {
    /// The time there; `None` until a write has shown it.
    pub fn time(self, now: Instant) -> Option<SystemTime> {
        let Self(known) = self;
        known.map(|(then, time)| time + now.saturating_duration_since(then))
    }

    /// Takes a sample. When the answer came it was not earlier there than what is written in it, and not later than that
    /// and the time that the answer took; within these bounds the estimate stands, so that a slow answer moves nothing.
    pub fn take(&mut self, sample: ClockSample) {
        let ClockSample { sent, answered, written } = sample;
        let latest = written + answered.saturating_duration_since(sent);
        let time = match self.time(answered) {
            Some(time) if time > latest + TOLERANCE => latest,
            Some(time) => time.max(written),
            None => written,
        };
        *self = Self(Some((answered, time)));
    }

    /// How far the time here is from the time there, whichever is ahead; `None` unless both are known.
    pub fn distance(self, other: Self, now: Instant) -> Option<Duration> {
        let (here, there) = (self.time(now)?, other.time(now)?);
        here.duration_since(there).or_else(|_| there.duration_since(here)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Writes by when they were sent and answered and by what ZooKeeper's clock said, in milliseconds; and what the
    /// clock is taken to say when the last was answered.
    fn check(samples: &[(u64, u64, u64)], expected: u64) {
        let start = crate::clock::mono();
        let mono = |millis: &u64| start + Duration::from_millis(*millis);
        let wall = |millis: &u64| SystemTime::UNIX_EPOCH + Duration::from_millis(*millis);
        let mut clock = ServerClock::default();
        for (sent, answered, written) in samples {
            clock.take(ClockSample { sent: mono(sent), answered: mono(answered), written: wall(written) });
        }
        let last = samples.last().map(|(_, answered, _)| mono(answered)).expect("there are samples");
        assert_eq!(clock.time(last), Some(wall(&expected)), "{samples:?}");
    }

    #[test]
    fn a_write_tells_the_time_to_the_length_of_its_answer() {
        assert_eq!(ServerClock::default().time(crate::clock::mono()), None);
        check(&[(0, 10, 300_005)], 300_005);
        // The second answer shows that it is later there by 3 ms.
        check(&[(0, 10, 300_002), (1000, 1001, 300_996)], 300_996);
        // It can be as late as it was taken to be.
        check(&[(0, 10, 300_009), (1000, 3000, 301_005)], 302_999);
    }

    #[test]
    fn a_clock_that_is_set_is_followed_and_one_that_drifts_is_not_set_back() {
        check(&[(0, 10, 300_000), (1000, 1010, 5000)], 5010);
        check(&[(0, 10, 5000), (1000, 1010, 300_000)], 300_000);
        check(&[(0, 10, 300_010), (1000, 1001, 300_900)], 301_001);
        check(&[(0, 10, 300_010), (1000, 1001, 299_999)], 300_000);
    }

    #[test]
    fn how_far_two_are_apart_has_no_direction() {
        let (start, mut one, mut other) =
            (crate::clock::mono(), ServerClock::default(), ServerClock::default());
        assert_eq!(one.distance(other, start), None);
        let sample = |written| ClockSample { sent: start, answered: start, written };
        one.take(sample(SystemTime::UNIX_EPOCH + 10 * SECOND));
        other.take(sample(SystemTime::UNIX_EPOCH + 7 * SECOND));
        assert_eq!(
            (one.distance(other, start), other.distance(one, start)),
            (Some(3 * SECOND), Some(3 * SECOND))
        );
    }
}
