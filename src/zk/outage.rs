//! The log of an outage: a line when it begins, a line a minute, a line when it ends.

use std::time::{Duration, Instant};

use log::Level;

/// How often an outage that lasts is told.
const REMIND: Duration = Duration::from_secs(60);

/// So many sessions in a row that ended soon are told one by one; what follows is told once a minute.
const FLAPS: u32 = 3;

/// What is to be logged.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct Line(Level, String);

impl Line {
    pub fn log(self) {
        log::log!(self.0, "{}", self.1);
    }
}

/// An outage of ZooKeeper, or none.
#[derive(Debug, Default)]
pub struct Outage {
    /// When the one that lasts began.
    since: Option<Instant>,
    /// Whether somebody was told of that one, and so is owed its end.
    is_open: bool,
    /// How many sessions in a row ended soon.
    flaps: u32,
    /// When an outage was told of last.
    told: Option<Instant>,
}

impl Outage {
    /// A session that was in use ended; `soon` is that it did not even last for its timeout.
    pub fn began(&mut self, server: &str, reason: &str, soon: bool, now: Instant) -> Option<Line> {
        if self.since.is_some() {
            return None;
        }
        self.since = Some(now);
        self.flaps = if soon { self.flaps + 1 } else { 0 };
        if self.flaps <= FLAPS {
            return self.tell(Level::Warn, format!("lost the session with {server}: {reason}"), now);
        }
        if !self.is_due(now) {
            return None;
        }
        // That is told of many sessions; the end of each is not.
        self.told = Some(now);
        let words = format!(
            "sessions with ZooKeeper end as soon as they begin, the last one with {server}: {reason}"
        );
        Some(Line(Level::Error, words))
    }

    /// A round of attempts failed.
    pub fn failed(&mut self, reason: &str, now: Instant) -> Option<Line> {
        let Some(since) = self.since else {
            self.since = Some(now);
            let words = format!("cannot connect to ZooKeeper, and will keep trying: {reason}");
            return self.tell(Level::Error, words, now);
        };
        if !self.is_due(now) {
            return None;
        }
        let minutes = now.saturating_duration_since(since).as_secs() / 60;
        self.tell(Level::Error, format!("no connection to ZooKeeper for {minutes} min: {reason}"), now)
    }

    /// A session is there.
    pub fn ended(&mut self, server: &str, now: Instant) -> Option<Line> {
        let since = self.since.take()?;
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        let words = format!("connected to ZooKeeper at {server} after {seconds:.1} s without a session");
        std::mem::take(&mut self.is_open).then_some(Line(Level::Warn, words))
    }

    fn tell(&mut self, level: Level, words: String, now: Instant) -> Option<Line> {
        (self.told, self.is_open) = (Some(now), true);
        Some(Line(level, words))
    }

    fn is_due(&self, now: Instant) -> bool {
        self.told.is_none_or(|told| now.saturating_duration_since(told) >= REMIND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn words(line: Option<Line>) -> String {
        line.map_or(String::new(), |line| line.1)
    }

    /// Sessions that end as soon as they begin, one a second, until the last is told by none.
    fn flapping() -> (Outage, Instant) {
        let (mut outage, mut now) = (Outage::default(), clock::mono());
        for flap in 0..=FLAPS {
            now += Duration::from_secs(1);
            let said = words(outage.began("a:1", "gone", true, now));
            assert_eq!(said.is_empty(), flap == FLAPS, "{said}");
            let said = words(outage.ended("a:1", now));
            assert_eq!(said.is_empty(), flap == FLAPS, "{said}");
        }
        (outage, now)
    }

    #[test]
    fn an_outage_is_told_when_it_begins_each_minute_and_when_it_ends() {
        let (mut outage, now) = (Outage::default(), clock::mono());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(words(outage.ended("a:1", now)), "");
        assert_eq!(words(outage.began("a:1", "gone", false, now)), "lost the session with a:1: gone");
        assert_eq!(words(outage.failed("refused", at(59))), "");
        assert_eq!(words(outage.failed("refused", at(61))), "no connection to ZooKeeper for 1 min: refused");
        assert_eq!(words(outage.failed("refused", at(62))), "");
        assert_eq!(
            words(outage.ended("b:1", at(63))),
            "connected to ZooKeeper at b:1 after 63.0 s without a session"
        );
        assert_eq!(words(outage.ended("b:1", at(64))), "");
    }

    #[test]
    fn sessions_that_end_at_once_are_told_each_minute() {
        let (mut outage, now) = flapping();
        let said = words(outage.began("a:1", "gone", true, now + REMIND));
        assert!(said.starts_with("sessions with ZooKeeper end as soon as they begin"), "{said}");
        assert_eq!(words(outage.ended("a:1", now + REMIND)), "");
    }

    #[test]
    fn an_outage_that_was_told_of_is_told_to_end_behind_such_sessions_too() {
        let (mut outage, now) = flapping();
        assert_eq!(words(outage.began("a:1", "gone", true, now)), "");
        let later = now + REMIND * 2;
        assert_eq!(words(outage.failed("refused", later)), "no connection to ZooKeeper for 2 min: refused");
        assert!(words(outage.ended("a:1", later)).starts_with("connected to ZooKeeper at a:1 after 120.0 s"));
    }
}
