//! What waits for one receiver, when it may leave, and how the receiver does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::effect::{DeliveryId, Profile};
use super::jitter::Jitter;
use super::{DIGEST, STORM};
use crate::model::status::ReceiverStatus;
use crate::model::time::Now;

/// One receiver's queue of paths. What is told of a path is decided when it leaves, so that a queue never
/// holds more than one place a path.
#[derive(Debug)]
pub(super) struct Outbox {
    pub profile: Profile,
    pub status: ReceiverStatus,
    pub flight: Option<Flight>,
    /// Whether the receiver has left the configuration, and only its last outcome is waited for.
    pub retired: bool,
    queue: BTreeMap<u64, Arc<str>>,
    next: u64,
    /// Deliveries that may leave before the window ends.
    credit: usize,
    /// The end of the window in which items are gathered.
    window: Option<Instant>,
    /// How many attempts failed in a row.
    failures: u32,
    /// When the next attempt may be made.
    rest: Option<Instant>,
    pub refresh: Option<Refresh>,
    storms: BTreeMap<Arc<str>, Storm>,
}

/// The one delivery of a receiver.
#[derive(Debug)]
pub(super) struct Flight {
    pub id: DeliveryId,
    pub paths: Vec<Arc<str>>,
    /// How many intents the ledger has yet to take.
    pub waiting: usize,
    pub emitted: bool,
    /// Whether it only tells again what was told.
    pub refresh: bool,
}

/// The rounds of telling again.
#[derive(Debug)]
pub(super) struct Refresh {
    /// When the next round begins, or goes on.
    pub at: Instant,
    /// The last path told in this round.
    pub after: Option<Arc<str>>,
}

/// Incidents that were told as one, and have to end as one.
#[derive(Debug, Default)]
struct Storm {
    /// Whether each is over.
    members: BTreeMap<Arc<str>, bool>,
    open: usize,
}

/// The first pause after a failed attempt; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(300);
/// The pause after an attempt that the end of the lease forbade.
const NOT_TRIED: Duration = Duration::from_secs(1);

impl Outbox {
    pub fn new(profile: Profile) -> Self {
        let status = ReceiverStatus { kind: profile.kind, ..ReceiverStatus::default() };
        Self {
            profile,
            status,
            flight: None,
            retired: false,
            queue: BTreeMap::new(),
            next: 0,
            credit: 1,
            window: None,
            failures: 0,
            rest: None,
            refresh: None,
            storms: BTreeMap::new(),
        }
    }

    /// Queues a path at the end; returns its place.
    pub fn push(&mut self, path: &Arc<str>) -> u64 {
        self.next += 1;
        self.queue.insert(self.next, Arc::clone(path));
        self.next
    }

    /// Takes a path out of the queue.
    pub fn remove(&mut self, place: u64) {
        self.queue.remove(&place);
    }

    pub fn queued(&self) -> impl Iterator<Item = (u64, &Arc<str>)> {
        self.queue.iter().map(|(place, path)| (*place, path))
    }

    /// Whether it takes many items at a time, and took the last ones.
    pub fn takes_digests(&self) -> bool {
        self.profile.digest && self.failures == 0 && !self.retired
    }

    pub fn queue_len(&self) -> usize {
        self.queue.len()
    }

    /// Forgets what waits; an attempt under way goes on.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.storms.clear();
        self.flight.take_if(|flight| !flight.emitted);
    }

    /// The ledger took the intent of one item, or will not.
    pub fn cleared(&mut self) {
        if let Some(flight) = self.flight.as_mut().filter(|flight| !flight.emitted) {
            flight.waiting = flight.waiting.saturating_sub(1);
        }
    }

    /// Whether an attempt is under way.
    pub fn is_flying(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.emitted)
    }

    /// The next round of telling again begins now.
    pub fn refresh_now(&mut self, now: Instant) {
        if let Some(refresh) = &mut self.refresh {
            *refresh = Refresh { at: now, after: None };
        }
    }

    /// How the receiver does.
    pub fn status(&self) -> ReceiverStatus {
        let flying =
            self.flight.as_ref().filter(|flight| !flight.refresh).map_or(0, |flight| flight.paths.len());
        let queued = u64::try_from(self.queue.len() + flying).unwrap_or(u64::MAX);
        ReceiverStatus { queued, ..self.status.clone() }
    }

    /// An attempt failed, for this reason.
    pub fn failed(&mut self, reason: &str, now: Now) {
        self.status.failed += 1;
        let end = reason.floor_char_boundary(300);
        self.status.last_error = Some((now.wall, reason[..end].into()));
    }

    /// When the next delivery may leave; `None` while one is under way or nothing waits.
    pub fn opens_at(&self) -> Option<Gate> {
        if self.flight.is_some() || self.retired || self.queue.is_empty() {
            return None;
        }
        let window = if self.credit > 0 { None } else { self.window };
        Some(self.rest.max(window).map_or(Gate::Open, Gate::At))
    }

    /// When the next round of telling again may go on; only while nothing else waits.
    pub fn refreshes_at(&self) -> Option<Gate> {
        let refresh = self.refresh.as_ref()?;
        let idle = self.flight.is_none() && !self.retired && self.queue.is_empty();
        idle.then(|| Gate::At(self.rest.map_or(refresh.at, |rest| rest.max(refresh.at))))
    }

    /// A delivery is about to be put together. How many items it may hold.
    pub fn depart(&mut self, now: Instant) -> usize {
        if self.credit == 0 && self.window.is_none_or(|window| window <= now) {
            // The window has ended: what it gathered leaves in one digest, or, for a receiver that takes no
            // digests, one by one or as a storm.
            let alone = !self.profile.digest && self.queue.len() <= STORM;
            self.credit = if alone { self.queue.len() } else { 1 };
        }
        self.credit = self.credit.saturating_sub(1);
        // A receiver that is down is probed with one item: a digest would cost two ledger writes an item each time.
        if self.failures > 0 { 1 } else { DIGEST }
    }

    /// A delivery has been put together. What it could not hold need not wait.
    pub fn departed(&mut self, group_wait: Duration, full: bool, now: Instant) {
        if full {
            self.credit = self.credit.max(1);
        }
        if self.credit == 0 {
            self.window = now.checked_add(group_wait);
        }
    }

    /// The receiver answered. Returns how many attempts had failed before.
    pub fn rose(&mut self) -> u32 {
        self.rest = None;
        std::mem::take(&mut self.failures)
    }

    /// An attempt failed. Returns whether the one before had not.
    pub fn fell(&mut self, retry_after: Option<Duration>, jitter: &mut Jitter, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let pause = jitter.pause(FIRST_PAUSE, LAST_PAUSE, self.failures);
        self.rest = now.checked_add(retry_after.map_or(pause, |asked| asked.max(pause)));
        self.failures == 1
    }

    /// An attempt was not made.
    pub fn held(&mut self, now: Instant) {
        self.rest = self.rest.max(now.checked_add(NOT_TRIED));
        self.credit = self.credit.max(1);
    }

    /// The path was told as part of a storm.
    pub fn join(&mut self, storm: &Arc<str>, path: &Arc<str>, over: bool) {
        let storm = self.storms.entry(Arc::clone(storm)).or_default();
        if storm.members.insert(Arc::clone(path), over) == Some(false) {
            storm.open -= 1;
        }
        storm.open += usize::from(!over);
    }

    /// The path's incident is over. Returns all members if it was the last of the storm.
    pub fn calm(&mut self, name: &Arc<str>, path: &Arc<str>) -> Vec<Arc<str>> {
        let Some(storm) = self.storms.get_mut(name) else { return Vec::new() };
        let Some(over) = storm.members.get_mut(path) else { return Vec::new() };
        if std::mem::replace(over, true) {
            return Vec::new();
        }
        storm.open -= 1;
        if storm.open > 0 { Vec::new() } else { storm.members.keys().cloned().collect() }
    }

    /// The path has no more part in the storm. Returns the members that can end now.
    pub fn leave(&mut self, name: &Arc<str>, path: &Arc<str>) -> Vec<Arc<str>> {
        let ended = self.calm(name, path);
        if let Some(storm) = self.storms.get_mut(name) {
            storm.members.remove(path);
            if storm.members.is_empty() {
                self.storms.remove(name);
            }
        }
        ended
    }

    /// Whether a storm goes on: its end cannot be told yet.
    pub fn rages(&self, name: &Arc<str>) -> bool {
        self.storms.get(name).is_some_and(|storm| storm.open > 0)
    }
}

/// When a delivery may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    At(Instant),
}

impl Gate {
    pub fn is_open(self, now: Instant) -> bool {
        match self {
            Self::Open => true,
            Self::At(at) => at <= now,
        }
    }
}
