//! The log of an outage: a line when it begins, a line a minute, a line when it ends.

use std::time::{Duration, Instant};

/// How often an outage that lasts is told.
const REMIND: Duration = Duration::from_secs(60);

/// An outage of ZooKeeper, or none.
#[derive(Debug, Default)]
pub struct Outage {
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    since: Instant,
    told: Instant,
}

impl Outage {
    /// A session that was in use ended.
    pub fn began(&mut self, server: &str, reason: &str, now: Instant) {
        if self.running.is_none() {
            log::warn!("lost the session with {server}: {reason}");
            self.running = Some(Running { since: now, told: now });
        }
    }

    /// A round of attempts failed.
    pub fn failed(&mut self, reason: &str, now: Instant) {
        match &mut self.running {
            None => {
                log::error!("cannot connect to ZooKeeper, and will keep trying: {reason}");
                self.running = Some(Running { since: now, told: now });
            }
            Some(running) if now.duration_since(running.told) >= REMIND => {
                running.told = now;
                let minutes = now.duration_since(running.since).as_secs() / 60;
                log::error!("no connection to ZooKeeper for {minutes} min: {reason}");
            }
            Some(_) => {}
        }
    }

    /// A session is there.
    pub fn ended(&mut self, server: &str, now: Instant) {
        if let Some(running) = self.running.take() {
            let seconds = now.duration_since(running.since).as_secs_f64();
            log::warn!("connected to ZooKeeper at {server} after {seconds:.1} s without a session");
        }
    }
}
