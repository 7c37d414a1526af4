//! What the ledger holds of one path, and the one write that may be under way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::case::Case;
use super::core::Core;
use super::effect::Event;
use super::incident::Incident;
use super::share::{Need, Place};
use crate::model::ledger::{Change, Entry, Mark, Progress, Stored, Written};
use crate::model::time::Now;

#[derive(Debug, Default)]
pub(super) struct Record {
    /// What the znode holds, as far as this lease knows.
    acked: Option<Entry>,
    /// The znode's version; `None` if there is none. There is a version without an entry if what the znode
    /// held could not be understood.
    version: Option<i32>,
    /// The write under way, and what the znode holds after it.
    writing: Option<(u64, Option<Entry>)>,
    /// Whether what is known now has to be written.
    pub wanted: bool,
    failures: u32,
    retry: Option<Instant>,
}

/// The first pause after a write that failed; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// What became of attempts is noted while fewer writes than this are under way. In a storm the intents go first,
/// since messages wait for them, and what waits meanwhile becomes one note where it would have been several.
pub(super) const NOTES: usize = 32;

impl Record {
    /// What was read at takeover.
    pub fn read(entry: Option<Entry>, version: i32) -> Self {
        Self { acked: entry, version: Some(version), ..Self::default() }
    }

    /// Whether the ledger holds, or may come to hold, anything.
    pub fn is_needed(&self) -> bool {
        self.version.is_some() || self.writing.is_some()
    }

    /// Whether the znode says, and will go on to say, what this lease has written.
    fn is_stamped(&self, epoch: u64) -> bool {
        let stamped = self.acked.as_ref().is_some_and(|entry| entry.epoch == epoch);
        stamped && self.writing.is_none()
    }

    /// Whether a write failed so recently that none is tried.
    pub fn is_blocked(&self, now: Instant) -> bool {
        self.retry.is_some_and(|at| at > now)
    }

    pub fn retry_at(&self) -> Option<Instant> {
        self.retry
    }
}

impl Case {
    /// Writes what is known, if that is wanted and differs from what the znode holds. An incident that is done
    /// leaves nothing to hold.
    pub fn flush(&mut self, path: &Arc<str>, epoch: u64, core: &mut Core, now: Now) {
        if self.record.is_stamped(epoch) {
            self.confirm(core);
        }
        if self.record.is_blocked(now.mono) || self.record.writing.is_some() {
            return;
        }
        self.record.retry = None;
        if !std::mem::take(&mut self.record.wanted) {
            return;
        }
        let view = self.view(path, core, now);
        let open = self.incident.as_ref().filter(|incident| !incident.is_done(&view));
        let desired = open.map(|incident| incident.entry(path, epoch));
        let change = match (&desired, self.record.version) {
            (None, None) => {
                self.incident = None;
                return;
            }
            (None, Some(version)) => Change::Delete(version),
            (Some(_), _) if desired == self.record.acked => return self.confirm(core),
            (Some(entry), None) => Change::Create(entry.clone()),
            (Some(entry), Some(version)) => Change::Set(entry.clone(), version),
        };
        if !self.has_intent() && core.writes.len() >= NOTES {
            self.record.wanted = true;
            core.postponed.insert(Arc::clone(path));
            return;
        }
        let id = core.write(path, epoch, change);
        self.record.writing = Some((id, desired));
    }

    /// Lets those attempts go on whose intents the ledger holds now.
    fn confirm(&mut self, core: &mut Core) {
        let (Some(incident), Some(entry)) = (&mut self.incident, &self.record.acked) else { return };
        for (receiver, share) in &mut incident.shares {
            let Place::Intent(need) = share.place else { continue };
            if entry.receivers.get(receiver).is_some_and(|progress| {
                holds(progress, need) && progress.incident == share.told && progress.storm == share.storm
            }) {
                share.place = Place::Ready(need);
                if let Some(outbox) = core.outboxes.get_mut(receiver) {
                    outbox.cleared();
                }
            }
        }
    }

    /// The ledger answered a write.
    pub fn on_written(&mut self, id: u64, written: Written, path: &Arc<str>, core: &mut Core, now: Now) {
        let Some((_, desired)) = self.record.writing.take_if(|(writing, _)| *writing == id) else { return };
        let Some(epoch) = core.lease else { return };
        match written {
            Written::Done(version) => {
                self.record.failures = 0;
                self.record.version = desired.is_some().then_some(version);
                if desired.is_none() && !self.is_told_anew(path, core, now) {
                    self.incident = None;
                }
                self.record.acked = desired;
                self.confirm(core);
                self.record.wanted |= self.has_intent();
            }
            Written::Failed(reason) => {
                core.log(Event::NotWritten(Arc::clone(path), reason));
                self.record.failures = self.record.failures.saturating_add(1);
                let pause = core.jitter.pause(FIRST_PAUSE, LAST_PAUSE, self.record.failures);
                self.record.retry = now.mono.checked_add(pause);
                self.record.wanted = true;
                self.cancel_intents(core);
            }
            Written::Conflict(stored) => self.on_conflict(stored, epoch, path, core, now),
        }
    }

    /// Whether an incident is open after the entry of the one before went.
    fn is_told_anew(&self, path: &Arc<str>, core: &Core, now: Now) -> bool {
        let view = self.view(path, core, now);
        self.incident.as_ref().is_some_and(|incident| !incident.is_done(&view))
    }

    fn has_intent(&self) -> bool {
        let shares = self.incident.iter().flat_map(|incident| incident.shares.values());
        shares.into_iter().any(|share| matches!(share.place, Place::Intent(_)))
    }

    /// The znode is not as expected: an answer was lost, or a write of an earlier lease came late.
    fn on_conflict(
        &mut self,
        stored: Option<Stored>,
        epoch: u64,
        path: &Arc<str>,
        core: &mut Core,
        now: Now,
    ) {
        core.log(Event::Conflict(Arc::clone(path)));
        self.record.wanted = true;
        let stamped = self.record.acked.as_ref().is_some_and(|acked| acked.epoch == epoch);
        let Some(Stored { entry, version }) = stored else {
            let adopted = self.record.acked.is_some() && !stamped;
            (self.record.acked, self.record.version) = (None, None);
            // The leader before has removed it after all: everybody had been told of both ends.
            if adopted {
                self.cancel_intents(core);
                self.drop_incident(path, core);
            }
            return;
        };
        self.record.version = Some(version);
        // What bears this lease's epoch is this agent's own; so is what was stamped before under this lease, and
        // a late write of an older one has no say over it.
        if entry.epoch != epoch && (!stamped || entry.epoch > epoch) {
            self.adopt(&entry, path, core, now);
        }
        self.record.acked = Some(entry);
    }

    /// Takes over an entry of the ledger, together with what this process knows of the path.
    pub fn adopt(&mut self, entry: &Entry, path: &Arc<str>, core: &mut Core, now: Now) {
        self.cancel_intents(core);
        let mine = self.drop_incident(path, core);
        let newest = core.last_epoch == Some(entry.epoch);
        let interval =
            self.rule.terms.repeat_interval.map_or(u128::MAX, |interval| interval.as_millis().max(1));
        let age = now.wall.duration_since(entry.since).unwrap_or_default();
        let reminder = u32::try_from(age.as_millis() / interval).unwrap_or(u32::MAX);
        let incident = Incident::adopt(entry, mine, newest, reminder, now.mono);
        for (receiver, share) in &incident.shares {
            if let (Some(storm), Some(outbox)) = (&share.storm, core.outboxes.get_mut(receiver)) {
                outbox.join(storm, path, incident.until.is_some());
            }
        }
        self.incident = Some(incident);
        // A path that is in spec by now recovers: as of when this agent saw that, or else from now on.
        let seen = core.hindsight.recall(path, now).filter(|ended| entry.since <= ended.until.wall);
        if self.alert.is_fresh() && self.alert.is_inactive() {
            match seen {
                Some(ended) => self.conclude(ended.until, path, core, now),
                None => {
                    let change = self.alert.complied(self.open_since(core, now), &self.rule, now);
                    self.changed(change, path, core, now);
                }
            }
        }
        core.touched.insert(Arc::clone(path));
    }

    /// The intents could not be written: those items are left out of their deliveries.
    fn cancel_intents(&mut self, core: &mut Core) {
        let shares = self.incident.iter_mut().flat_map(|incident| &mut incident.shares);
        for (receiver, share) in shares {
            if let Place::Intent(_) = share.place {
                share.place = Place::Idle;
                if let Some(outbox) = core.outboxes.get_mut(receiver) {
                    outbox.cleared();
                }
            }
        }
    }
}

/// Whether the ledger says that this may have been told.
fn holds(progress: &Progress, need: Need) -> bool {
    match need {
        Need::Firing => progress.firing == Mark::Ambiguous,
        Need::Resolved => progress.resolved == Mark::Ambiguous,
        Need::Late => (progress.firing, progress.resolved) == (Mark::Ambiguous, Mark::Ambiguous),
        Need::Reminder(_) | Need::Notice => true,
    }
}
