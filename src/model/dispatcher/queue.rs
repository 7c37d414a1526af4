//! What waits for one receiver, when it may leave, and how the receiver does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::delivery::Moved;
use super::io::{AttemptId, Profile, Report};
use super::limits::{DIGEST, REFUSED_ALONE};
use super::storm::Storms;
use crate::model::alert_key::AlertKey;
use crate::model::jitter::Jitter;
use crate::model::receiver::Outcome;
use crate::model::status::ReceiverStatus;
use crate::model::time::Now;

/// The pause after an attempt that the end of the lease forbade.
const NOT_TRIED: Duration = Duration::from_secs(1);
/// How much of a receiver's answer is kept, in bytes.
const REASON: usize = 300;

/// One receiver's queue of alerts. What is told of one is decided when it leaves, so that an alert stands in it
/// once at most.
///
/// A first item leaves at once, on credit. After it, what comes is gathered until the window ends.
#[derive(Debug)]
pub(super) struct Queue {
    pub profile: Profile,
    pub status: ReceiverStatus,
    /// What leaves next, or is under way.
    pub batch: Option<Batch>,
    /// Whether the receiver has left the configuration, and only its last outcome is waited for.
    pub retired: bool,
    waiting: BTreeMap<u64, AlertKey>,
    /// Batches that may leave before the window ends.
    credit: usize,
    /// The end of the window in which items are gathered.
    window: Option<Instant>,
    /// How many items its next message may hold: fewer after one that was refused, until it accepts more.
    pub limit: usize,
    /// How many items were refused alone since it accepted something.
    refused_alone: u32,
    /// How many attempts failed in a row.
    failures: u32,
    /// When the next attempt may be made after one that failed.
    retry_at: Option<Instant>,
    pub refresh: Option<Refresh>,
    /// Whether its last message was one of what waits, so that a round of telling again comes first now.
    told_last: bool,
    pub storms: Storms,
}

/// The rounds of telling again.
#[derive(Debug)]
pub(super) struct Refresh {
    /// When the next round begins, or goes on.
    pub at: Instant,
    /// The last alert told in this round.
    pub after: Option<AlertKey>,
}

impl Queue {
    pub fn new(profile: Profile) -> Self {
        let status = ReceiverStatus { kind: profile.kind, ..ReceiverStatus::default() };
        Self {
            profile,
            status,
            batch: None,
            retired: false,
            waiting: BTreeMap::new(),
            credit: 1,
            window: None,
            limit: DIGEST,
            refused_alone: 0,
            failures: 0,
            retry_at: None,
            refresh: None,
            told_last: false,
            storms: Storms::default(),
        }
    }

    /// The configuration says this of the receiver from now on.
    pub fn enlist(&mut self, profile: Profile, now: Instant) {
        let first = profile.refresh.and_then(|every| now.checked_add(every));
        self.refresh = first.map(|at| self.refresh.take().unwrap_or(Refresh { at, after: None }));
        (self.profile, self.retired) = (profile, false);
    }

    /// The receiver has left the configuration. Returns whether nothing is under way to it.
    pub fn retire(&mut self) -> bool {
        self.step_down();
        self.retired = true;
        self.batch.is_none()
    }

    /// The lease is over: what was prepared does not leave. An attempt under way goes on.
    pub fn step_down(&mut self) {
        self.storms.clear();
        self.batch.take_if(|batch| !batch.is_sending());
    }

    /// Follows a delivery of this alert. Nothing else changes what waits here and what the batch waits for.
    pub fn follow(&mut self, key: &AlertKey, moved: Moved) {
        let waiting = &mut self.waiting;
        moved.dequeued.into_iter().for_each(|ticket| drop(waiting.remove(&ticket)));
        waiting.extend(moved.enqueued.map(|ticket| (ticket, key.clone())));
        let Some(batch) = &mut self.batch else { return };
        if moved.joined {
            batch.add(key);
        }
        if moved.cleared {
            batch.clear(key);
        }
    }

    /// An alert that is told of just now is another from now on.
    pub fn rename(&mut self, from: &AlertKey, to: &AlertKey) {
        let sending = self.batch.iter_mut().filter(|batch| batch.is_sending());
        for key in sending.flat_map(|batch| &mut batch.keys).filter(|key| *key == from) {
            *key = to.clone();
        }
    }

    /// The alerts that wait, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = &AlertKey> {
        self.waiting.values()
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether it takes many items at a time, and took the last ones.
    pub fn takes_digests(&self) -> bool {
        self.profile.digest && self.failures == 0 && !self.retired
    }

    /// Whether the last attempt failed: what waits may wait for long.
    pub fn is_down(&self) -> bool {
        self.failures > 0
    }

    /// Whether it failed once, after it had been well.
    pub fn has_just_failed(&self) -> bool {
        self.failures == 1
    }

    /// Whether an attempt is under way.
    pub fn is_sending(&self) -> bool {
        self.batch.as_ref().is_some_and(Batch::is_sending)
    }

    /// Takes the batch out if it is this attempt that is under way.
    pub fn take_attempt(&mut self, attempt: AttemptId) -> Option<Batch> {
        self.batch.take_if(|batch| batch.is_sending() && batch.id == attempt)
    }

    /// The next round of telling again begins now.
    pub fn refresh_now(&mut self, now: Instant) {
        if let Some(refresh) = &mut self.refresh {
            *refresh = Refresh { at: now, after: None };
        }
    }

    /// How the receiver does.
    pub fn status(&self) -> ReceiverStatus {
        let leaving = self.batch.as_ref().filter(|batch| !batch.is_refresh());
        let queued = self.waiting.len() + leaving.map_or(0, |batch| batch.keys.len());
        let name = Arc::clone(&self.profile.public_name);
        ReceiverStatus { name, queued: u64::try_from(queued).unwrap_or(u64::MAX), ..self.status.clone() }
    }

    /// Whether what waits may leave now. It and a round of telling again take turns, so that neither starves.
    pub fn opens(&self, now: Instant) -> bool {
        let is_due = self.is_free() && self.held_until().is_some_and(|at| at.is_none_or(|at| at <= now));
        is_due && !(self.told_last && self.refreshes(now))
    }

    /// Whether the round of telling again may go on now, if it is its turn.
    pub fn refreshes(&self, now: Instant) -> bool {
        self.is_free() && self.refreshes_at().is_some_and(|at| at <= now)
    }

    /// When one of the two is so, if only time has to pass for it.
    pub fn next_deadline(&self) -> Option<Instant> {
        let at = self.held_until().flatten().into_iter().chain(self.refreshes_at()).min();
        at.filter(|_| self.is_free())
    }

    fn is_free(&self) -> bool {
        self.batch.is_none() && !self.retired
    }

    /// Until when what waits is held, if at all; `None` if nothing waits.
    fn held_until(&self) -> Option<Option<Instant>> {
        let held = self.retry_at.max(self.window.filter(|_| self.credit == 0));
        (!self.waiting.is_empty()).then_some(held)
    }

    fn refreshes_at(&self) -> Option<Instant> {
        self.retry_at.max(Some(self.refresh.as_ref()?.at))
    }

    /// The round of telling again goes on now: the last alert told in it, and how many the next message may hold.
    pub fn take_refresh(&mut self) -> (Option<AlertKey>, usize) {
        self.told_last = false;
        (self.refresh.take().and_then(|refresh| refresh.after), self.limit)
    }

    /// A batch is about to be put together. How many items it may hold.
    pub fn open(&mut self, now: Instant) -> usize {
        self.told_last = true;
        if self.credit == 0 && self.window.is_none_or(|window| window <= now) {
            // The window has ended: what it gathered leaves in one digest, or, for a receiver that takes no
            // digests, one by one, but for storms.
            self.credit = if self.profile.digest { 1 } else { self.waiting.len() };
        }
        self.credit = self.credit.saturating_sub(1);
        // A receiver that is down is probed with one item: a digest would cost two ledger writes an item each time.
        if self.failures > 0 { 1 } else { self.limit }
    }

    /// A batch has been put together. What it could not hold need not wait.
    pub fn close(&mut self, group_wait: Duration, full: bool, now: Instant) {
        if full {
            self.credit = self.credit.max(1);
        }
        if !self.profile.digest {
            // What left as a storm needs no more.
            self.credit = self.credit.min(self.waiting.len());
        }
        if self.credit == 0 {
            self.window = now.checked_add(group_wait);
        }
    }

    /// Whether this outcome says no more than that some item of the batch is disliked, or all of them are too many.
    pub fn halves(&self, outcome: &Outcome, batch: &Batch) -> bool {
        let refused = matches!(outcome, Outcome::Refused { .. });
        refused && self.profile.digest && batch.keys.len() > 1 && self.refused_alone < REFUSED_ALONE
    }

    /// Keeps account of how the receiver does, and says what an operator may want to know.
    pub fn on_outcome(
        &mut self,
        outcome: &Outcome,
        batch: &Batch,
        jitter: &mut Jitter,
        now: Now,
    ) -> Vec<Report> {
        let name = self.profile.label();
        let items = batch.keys.len();
        let count = if batch.is_refresh() { 0 } else { u64::try_from(items).unwrap_or(u64::MAX) };
        match outcome {
            Outcome::Accepted => {
                self.status.sent += count;
                self.status.messages += u64::from(!batch.is_refresh());
                self.status.last_error = None;
                (self.limit, self.refused_alone) = ((self.limit * 2).min(DIGEST), 0);
                if self.is_down() {
                    self.end_window(batch);
                }
                let up = Some(self.on_success()).filter(|failed| *failed > 0);
                up.map(|failed| Report::Up(name, failed)).into_iter().collect()
            }
            Outcome::Failed { reason, .. } | Outcome::Ambiguous { reason } => {
                self.status.failed += 1;
                self.note_error(reason, now);
                self.failures = self.failures.saturating_add(1);
                self.end_window(batch);
                self.retry_at = now.mono.checked_add(jitter.retry(self.failures, outcome));
                // Those that follow in a row are no news.
                (self.failures == 1).then(|| Report::Down(name, brief(reason))).into_iter().collect()
            }
            Outcome::Refused { reason } if self.halves(outcome, batch) => {
                self.status.failed += 1;
                self.note_error(reason, now);
                self.on_success();
                (self.limit, self.credit) = (items / 2, self.credit.max(1));
                vec![Report::Halved(name, items, brief(reason))]
            }
            Outcome::Refused { reason } => {
                self.refused_alone += u32::from(items == 1);
                if self.refused_alone >= REFUSED_ALONE {
                    self.limit = DIGEST;
                }
                self.credit = self.credit.max(usize::from(self.limit < DIGEST));
                self.status.refused += count;
                self.note_error(reason, now);
                self.on_success();
                vec![Report::Refused(name, items, brief(reason))]
            }
            Outcome::NotTried => {
                self.retry_at = self.retry_at.max(now.mono.checked_add(NOT_TRIED));
                self.credit = self.credit.max(1);
                Vec::new()
            }
        }
    }

    /// What was in this batch has failed, or what failed with it may follow it: that was gathered before, and waits for
    /// the receiver alone. Telling again has no part in what is gathered.
    fn end_window(&mut self, batch: &Batch) {
        self.window.take_if(|_| !batch.is_refresh());
    }

    /// The receiver answered. Returns how many attempts had failed before.
    fn on_success(&mut self) -> u32 {
        self.retry_at = None;
        std::mem::take(&mut self.failures)
    }

    fn note_error(&mut self, reason: &str, now: Now) {
        self.status.last_error = Some((now.wall, brief(reason).into()));
    }
}

/// A reason, cut to what fits a line.
pub(super) fn brief(reason: &str) -> String {
    reason[..reason.floor_char_boundary(REASON)].to_owned()
}
