//! The watch on the ledger's listing, which a follower has.

use std::time::{Duration, Instant};

use zookeeper::ZkError;

use crate::clock;
use crate::zk::client::{Answer, Client};

/// How long the listing is left alone after it was read: in a storm it changes all the time.
const PAUSE: Duration = Duration::from_millis(50);
/// And how many times as long as it took to read, if that is longer.
const SHARE: u32 = 10;

/// The watch, and how far it is behind.
pub struct Listing {
    /// How often it has rung.
    pub rings: u64,
    /// How often it had rung when it was set last.
    pub watched: Option<u64>,
    /// When it may be set again.
    pub due: Instant,
}

impl Listing {
    pub fn new(now: Instant) -> Self {
        Self { rings: 0, watched: None, due: now }
    }

    /// Sets the watch, if it has rung and its time has come; tells whether it did. An agent that may not list the ledger
    /// will not lead either.
    pub fn watch(&mut self, client: &Client, ledger: &str) -> Answer<bool> {
        let began = clock::mono();
        if self.watched == Some(self.rings) || self.due > began {
            return Ok(false);
        }
        match client.children(ledger, true) {
            Ok(_) => {}
            Err(ZkError::NoNode | ZkError::NoAuth) => return Ok(false),
            Err(e) => return Err(e),
        }
        let took = clock::mono() - began;
        self.due = began + took + PAUSE.max(took * SHARE);
        self.watched = Some(self.rings);
        Ok(true)
    }

    /// The time until it may be set, if it has rung.
    pub fn wait(&self) -> Option<Duration> {
        let rang = self.watched != Some(self.rings);
        self.due.checked_duration_since(clock::mono()).filter(|_| rang)
    }
}
