//! The watch on the ledger's listing, which a follower has.
//!
//! A server sends no event to whoever may not read a znode just then, and the watch is spent all the same. So the count of
//! what came and went is looked at every now and then, for which a server asks no permission.

use std::time::{Duration, Instant};

use zookeeper::ZkError;

use crate::clock;
use crate::model::children::Children;
use crate::model::ledger_change::{Count, LedgerChange, ListingReader, ReadListing};
use crate::zk::client::{Answer, Client};
use crate::zk::names;

/// How often what the election knows is read again whatever its watches say, and what could not be done is tried again.
pub const REFRESH: Duration = Duration::from_secs(10);
/// How long the listing is left alone after it was read: in a storm it changes all the time.
const PAUSE: Duration = Duration::from_millis(50);
/// And how many times as long as it took to read, if that is longer.
const SHARE: u32 = 10;

/// The watch, and how far it is behind.
pub struct Listing {
    /// How often it has rung.
    pub rings: u64,
    /// How often it had rung when it was set last.
    watched: Option<u64>,
    /// When it may be set again.
    due: Instant,
    /// When the count was looked at last.
    verified: Instant,
    /// What was read then. It is as long as one answer of the server, and packed: 10,000 names are half a megabyte.
    last: Option<ReadListing>,
}

impl Listing {
    pub fn new(now: Instant) -> Self {
        Self { rings: 0, watched: None, due: now, verified: now, last: None }
    }

    /// The watch is not needed any more. Who leads knows the ledger, and should it follow again on this session, it has to
    /// begin anew.
    pub fn forget(&mut self) {
        (self.watched, self.last) = (None, None);
    }

    /// Whether what was read is out of date, whatever the watch says.
    pub fn is_outdated(&mut self, client: &Client, ledger: &str) -> Answer<bool> {
        self.verified = clock::mono();
        let Some(last) = &self.last else { return Ok(false) };
        Ok(count(client, ledger)? != Some(last.after))
    }

    /// Whether it has rung since it was set, or is found to have missed something; that is looked at once in a while.
    fn is_spent(&mut self, client: &Client, ledger: &str, now: Instant) -> Answer<bool> {
        if self.watched != Some(self.rings) {
            return Ok(true);
        }
        Ok(now - self.verified >= REFRESH && self.is_outdated(client, ledger)?)
    }

    /// Sets the watch, if it is spent and its time has come; gives what has changed since it was set last, if it did. An
    /// agent that may not list the ledger will not lead either.
    pub fn watch(&mut self, client: &Client, ledger: &str) -> Answer<Option<LedgerChange>> {
        let began = clock::mono();
        if self.due > began || !self.is_spent(client, ledger, began)? {
            return Ok(None);
        }
        let Some(read) = read(client, ledger)? else { return Ok(None) };
        let took = clock::mono() - began;
        self.due = began + took + PAUSE.max(took * SHARE);
        (self.watched, self.verified) = (Some(self.rings), began);
        let change = LedgerChange::between(self.last.as_ref(), &read, names::decode_alert);
        self.last = Some(read);
        Ok(Some(change))
    }

    /// The time until it may be set, if it has rung.
    pub fn wait(&self) -> Option<Duration> {
        let rang = self.watched != Some(self.rings);
        self.due.checked_duration_since(clock::mono()).filter(|_| rang)
    }
}

/// Lists the ledger with a watch, if it may be listed.
fn read(client: &Client, ledger: &str) -> Answer<Option<ReadListing>> {
    let Some(before) = count(client, ledger)? else { return Ok(None) };
    let mut reader = ListingReader::new(before);
    loop {
        let names = match client.children(ledger, true) {
            Ok(names) => Children::new(names),
            Err(ZkError::NoNode | ZkError::NoAuth) => return Ok(None),
            Err(e) => return Err(e),
        };
        let Some(after) = count(client, ledger)? else { return Ok(None) };
        if let Some(read) = reader.take(names, after) {
            return Ok(Some(read));
        }
    }
}

/// The library does not give it with the names.
fn count(client: &Client, ledger: &str) -> Answer<Option<Count>> {
    let stat = client.exists(ledger, false)?;
    Ok(stat.map(|stat| Count { made: stat.czxid, changes: stat.cversion }))
}
