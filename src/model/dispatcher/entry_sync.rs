//! What the ledger holds of one path, and the one write that may be under way: a compare-and-set by version.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::jitter::Jitter;
use crate::model::ledger::{Change, Entry, Stored, Written};

/// The first pause after a write that failed; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// For how long what is owed may be known to this process alone: longer than most messages wait for those that go with
/// them, whose intents tell it as well.
const UNTOLD: Duration = Duration::from_secs(3);
/// How many writes in a row may find something else than expected until there is a pause: one that came late, or an answer
/// that was lost, does so once. Servers that do not agree on what they hold do so for ever.
const SURPRISES: u32 = 3;
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// Keeps one znode in step with what is known. It does not know what that is.
#[derive(Debug, Default)]
pub(super) struct EntrySync {
    /// What the znode holds, as far as this lease knows.
    stored: Option<Entry>,
    /// The znode's version; `None` if there is none. There is a version without an entry if what the znode
    /// held could not be understood.
    version: Option<i32>,
    /// The write under way, and what the znode holds after it.
    in_flight: Option<(u64, Option<Entry>)>,
    /// Whether what is known now has to be written.
    pub wanted: bool,
    failures: u32,
    /// How many writes in a row found something else.
    surprises: u32,
    pub retry_at: Option<Instant>,
    /// When the ledger has to hear of what is owed and it does not hold.
    pub tell_at: Option<Instant>,
}

/// What the ledger's answer means.
#[derive(Debug)]
pub(super) enum Reply {
    /// The znode holds what it was to hold, or nothing if that was to be.
    Done { gone: bool },
    /// It may or may not have been written; it is tried again. The reason, if that is news.
    Failed(Option<String>),
    /// The znode was not as expected: an answer was lost, or a write of an earlier lease came late.
    Conflict(Found),
}

/// What stands in the ledger instead.
#[derive(Debug)]
pub(super) enum Found {
    /// What this lease has written, or what an older one wrote late over that; or nothing, in its place or where nothing
    /// was known to be: what is known is written anew.
    Own,
    /// Nothing, where an entry was taken over: the leader before had told everybody of both ends, and removed it.
    Closed,
    /// Another lease's entry, which has to be taken over.
    Other(Box<Entry>),
}

impl EntrySync {
    /// What was read at takeover; no entry if it could not be understood.
    pub fn as_read(entry: Option<Entry>, version: i32) -> Self {
        Self { stored: entry, version: Some(version), ..Self::default() }
    }

    /// Whether the ledger holds, or may come to hold, anything.
    pub fn is_needed(&self) -> bool {
        self.version.is_some() || self.in_flight.is_some()
    }

    /// What the znode holds, and will go on to hold, if this lease has written it.
    pub fn stamped_entry(&self, epoch: u64) -> Option<&Entry> {
        self.stored.as_ref().filter(|entry| entry.epoch == epoch && self.in_flight.is_none())
    }

    /// An end of this incident is owed to somebody, perhaps for `long`. Should this process die, what the ledger says is all
    /// that is left: it has to say that the incident is open, or over.
    pub fn owes(&mut self, incident: &Arc<str>, is_over: bool, long: bool, now: Instant) {
        let known = self.in_flight.as_ref().map_or(self.stored.as_ref(), |(_, entry)| entry.as_ref());
        let is_told =
            known.is_some_and(|entry| entry.incident == *incident && entry.until.is_some() == is_over);
        let at = if long { now } else { self.tell_at.unwrap_or(now + UNTOLD) };
        self.wanted |= !is_told && at <= now;
        self.tell_at = (!is_told && at > now).then_some(at);
    }

    /// Whether a write failed so recently that none is tried.
    pub fn is_blocked(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|at| at > now)
    }

    /// Whether a write is wanted and may be made now. The pause after a failed one ends here.
    pub fn is_due(&mut self, now: Instant) -> bool {
        if self.is_blocked(now) || self.in_flight.is_some() {
            return false;
        }
        self.retry_at = None;
        self.wanted
    }

    /// The change after which the znode holds this, or that comes before it; none if it does. What could not be understood
    /// goes first: who may not read it could not read what is written there either.
    pub fn change_to(&self, entry: Option<&Entry>) -> Option<Change> {
        match (entry, self.version) {
            (None, None) => None,
            (Some(_), _) if entry == self.stored.as_ref() => None,
            (None, Some(version)) => Some(Change::Delete(version)),
            (Some(_), Some(version)) if self.stored.is_none() => Some(Change::Delete(version)),
            (Some(entry), None) => Some(Change::Create(entry.clone())),
            (Some(entry), Some(version)) => Some(Change::Set(entry.clone(), version)),
        }
    }

    /// The write of this number is under way; the znode holds this after it.
    pub fn began(&mut self, write: u64, entry: Option<Entry>) {
        self.in_flight = Some((write, entry));
    }

    /// The ledger answered; `None` if that was not the write under way.
    pub fn on_written(
        &mut self,
        write: u64,
        written: Written,
        epoch: u64,
        jitter: &mut Jitter,
        now: Instant,
    ) -> Option<Reply> {
        let (_, entry) = self.in_flight.take_if(|(under_way, _)| *under_way == write)?;
        Some(match written {
            Written::Done(version) => {
                let gone = entry.is_none();
                (self.failures, self.surprises) = (0, 0);
                (self.version, self.stored) = ((!gone).then_some(version), entry);
                Reply::Done { gone }
            }
            Written::Failed(reason) => {
                self.on_failure(jitter, now);
                Reply::Failed((self.failures == 1).then_some(reason))
            }
            // The election tells why.
            Written::Refused => {
                self.on_failure(jitter, now);
                Reply::Failed(None)
            }
            Written::Conflict(stored) => {
                self.wanted = true;
                self.surprises = self.surprises.saturating_add(1);
                if let Some(more) = self.surprises.checked_sub(SURPRISES).filter(|more| *more > 0) {
                    self.retry_at = now.checked_add(jitter.pause(FIRST_PAUSE, LAST_PAUSE, more));
                }
                Reply::Conflict(self.on_conflict(stored.map(|stored| *stored), epoch))
            }
        })
    }

    fn on_failure(&mut self, jitter: &mut Jitter, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.checked_add(jitter.pause(FIRST_PAUSE, LAST_PAUSE, self.failures));
        self.wanted = true;
    }

    fn on_conflict(&mut self, found: Option<Stored>, epoch: u64) -> Found {
        let before = self.stored.as_ref().map(|entry| entry.epoch);
        let stamped = before == Some(epoch);
        let Some(Stored { entry, version, .. }) = found else {
            (self.stored, self.version) = (None, None);
            return if before.is_some() && !stamped { Found::Closed } else { Found::Own };
        };
        self.version = Some(version);
        self.stored = Some(entry.clone());
        // What bears this lease's epoch is this agent's own; so is what was stamped before under this lease, and
        // a late write of an older one has no say over it.
        if entry.epoch != epoch && (!stamped || entry.epoch > epoch) {
            Found::Other(Box::new(entry))
        } else {
            Found::Own
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surprises_without_end_are_paused() {
        let (mut sync, mut jitter, now) = (EntrySync::as_read(None, 1), Jitter::new(1), crate::clock::mono());
        let mut surprise = |write: u64| {
            assert!(sync.is_due(now) || write == 0);
            sync.began(write, None);
            assert!(sync.on_written(write, Written::Conflict(None), 1, &mut jitter, now).is_some());
        };
        (0..=u64::from(SURPRISES)).for_each(&mut surprise);
        assert!(!sync.is_due(now) && sync.is_due(now + 2 * FIRST_PAUSE));
        sync.began(9, None);
        sync.on_written(9, Written::Done(2), 1, &mut jitter, now);
        sync.began(10, None);
        sync.on_written(10, Written::Conflict(None), 1, &mut jitter, now);
        assert!(sync.is_due(now), "one by itself is answered at once");
    }
}
