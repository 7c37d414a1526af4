//! The log of an outage: a line when it begins, a line a minute, a line when it ends.

use std::time::{Duration, Instant};

/// How often an outage that lasts is told.
const REMIND: Duration = Duration::from_secs(60);

/// So many sessions in a row that ended soon are told one by one; what follows is told once a minute.
const FLAPS: u32 = 3;

/// An outage of ZooKeeper, or none.
#[derive(Debug, Default)]
pub struct Outage {
    /// When the one that lasts began.
    since: Option<Instant>,
    /// How many sessions in a row ended soon.
    flaps: u32,
    /// When an outage was told of last.
    told: Option<Instant>,
}

impl Outage {
    /// A session that was in use ended; `soon` is that it did not even last for its timeout.
    pub fn began(&mut self, server: &str, reason: &str, soon: bool, now: Instant) {
        if self.since.is_some() {
            return;
        }
        self.since = Some(now);
        self.flaps = if soon { self.flaps + 1 } else { 0 };
        if !self.is_flapping() {
            log::warn!("lost the session with {server}: {reason}");
            self.told = Some(now);
        } else if self.is_due(now) {
            log::error!(
                "sessions with ZooKeeper end as soon as they begin, the last one with {server}: {reason}"
            );
            self.told = Some(now);
        }
    }

    /// A round of attempts failed.
    pub fn failed(&mut self, reason: &str, now: Instant) {
        match self.since {
            None => {
                log::error!("cannot connect to ZooKeeper, and will keep trying: {reason}");
                self.since = Some(now);
                self.told = Some(now);
            }
            Some(since) if self.is_due(now) => {
                let minutes = now.saturating_duration_since(since).as_secs() / 60;
                log::error!("no connection to ZooKeeper for {minutes} min: {reason}");
                self.told = Some(now);
            }
            Some(_) => {}
        }
    }

    /// A session is there.
    pub fn ended(&mut self, server: &str, now: Instant) {
        let Some(since) = self.since.take() else { return };
        if !self.is_flapping() {
            let seconds = now.saturating_duration_since(since).as_secs_f64();
            log::warn!("connected to ZooKeeper at {server} after {seconds:.1} s without a session");
        }
    }

    fn is_flapping(&self) -> bool {
        self.flaps > FLAPS
    }

    fn is_due(&self, now: Instant) -> bool {
        self.told.is_none_or(|told| now.saturating_duration_since(told) >= REMIND)
    }
}
