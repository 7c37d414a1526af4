//! Who must be told what, and what surely happened: the alert protocol as a pure machine.
//!
//! [`Dispatcher::handle`] takes one [`Input`] (a judgement, the lease, an outcome, an answer of the ledger, time) and
//! returns the [`Effect`]s that the shell has to carry out. Every agent feeds its dispatcher the same judgements, so
//! that every alert's timers run everywhere; only under a lease does it ask for attempts and for writes.
//!
//! # From a transition to a mail
//!
//! 1. The evaluator tells a transition: a path is out of spec by one of its rules. What is tracked from now on
//!    (`tracked.rs`) is known by both ([`AlertKey`]): a path has an alert of its own for each of its rules. The
//!    [`Alert`](super::alert::Alert) waits for its `cancel_timeout`.
//! 2. The alert fires. If this agent leads, an incident opens (`incident.rs`), with a delivery for each receiver of
//!    the rule (`delivery.rs`, which has the table of a delivery's stages). On any other agent that is all.
//! 3. Whoever changes an alert marks it as touched, and before `handle` returns each touched one is brought up to date
//!    (`settle`): each delivery finds out whether there is anything to tell, and if so takes a place in its receiver's
//!    queue (`queue.rs`).
//! 4. When the queue may open, a batch is put together (`turn.rs`, `batch.rs`): one item, a digest, or a storm (`storm.rs`). It
//!    does not leave yet: first the ledger has to say of each item that it may have been told. Each path writes its
//!    entry with `ambiguous` for the receiver (`entry_sync.rs`); the batch waits for the set of paths that have not.
//! 5. When it waits for none it leaves, as an [`Effect::Attempt`] under the epoch of the lease. What need not be told
//!    any more by now stays behind.
//! 6. The outcome is noted: `sent` if the receiver took it, `pending` again if it surely did not, `refused`, or still
//!    `ambiguous` if the answer was lost. After a failure and after a lost answer the delivery goes back to its queue,
//!    which pauses. Recoveries and reminders take the same way. When nobody has to hear of anything any more the
//!    entry is removed, and the incident is forgotten.
//!
//! # When the leader dies in the middle of a mail
//!
//! Its lock goes with its session, and the next in line is granted a lease with all that the ledger holds
//! (`leadership.rs`). By step 4 the entry says `ambiguous` of that receiver, so the new leader, whose own alert has
//! been running all the time, tells it again, under the same incident's id: once too often perhaps, and never not at
//! all. If the path is back in spec by then the receiver is told of the recovery, since it may know of the alert. What
//! was `sent` is not repeated. What has `pending` or no entry was surely never told, and is told as ever; what the dead
//! leader only meant to tell (its batch waited, or a storm's write held the intent ahead) is `ambiguous` like the rest.
//! The entries bear the dead leader's epoch until this lease writes them, by compare-and-set: a write of the dead
//! that arrives late makes that fail, and the entry is then read and decided on anew.
//!
//! What came and went while nobody led has no entry. Followers remember it, and the next leader tells it
//! (`unreported.rs`). A leader that lost its lease and gets it back remembers what became of its own attempts, and
//! that outranks an `ambiguous` in the ledger.

mod batch;
mod compliant;
mod delivery;
mod dependencies;
mod entry_sync;
mod heirs;
mod incident;
mod io;
mod leadership;
mod limits;
mod paths;
mod queue;
mod renamed;
mod shared;
mod storm;
#[cfg(test)]
mod tests;
mod tracked;
mod turn;
mod unreported;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use io::{Attempt, AttemptId, Effect, Input, Profile, Report, Speaker, Takeover, Tale};
pub use limits::{DIGEST, DIGEST_BYTES, PATIENCE, REFUSED_ALONE, STORM};

use self::batch::Batch;
use self::dependencies::Dependencies;
use self::leadership::Leadership;
use self::paths::Paths;
use self::queue::Queue;
use self::shared::Shared;
use self::tracked::{Remains, Tracked};
use self::turn::Turn;
use super::alert_key::AlertKey;
use super::judge::Course;
use super::ledger::Written;
use super::ledger_change::LedgerChange;
use super::receiver::{Outcome, ReceiverId};
use super::rule::RuleSet;
use super::status::{AlertStatus, ReceiverStatus, Silence};
use super::time::Now;
use super::transition::{EvaluatorOutput, State, Transition};

/// The machine. See the module.
#[derive(Debug)]
pub struct Dispatcher {
    paths: Paths,
    leadership: Leadership,
    shared: Shared,
}

impl Dispatcher {
    /// A machine without rules or receivers.
    pub fn new(speaker: Speaker, group_wait: Duration) -> Self {
        Self {
            paths: Paths::default(),
            leadership: Leadership::default(),
            shared: Shared::new(speaker, group_wait),
        }
    }

    /// Takes one input in, does what is to be done by now, and returns what the shell has to do.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Effect> {
        let Self { paths, leadership, shared } = self;
        match input {
            Input::Receivers(profiles, group_wait) => self.on_receivers(profiles, group_wait, now),
            Input::Evaluated(output) => self.on_evaluated(output, now),
            Input::Granted(mut takeover) => {
                leadership.step_down(paths, shared, now);
                // Others may be told of before the lease takes effect, and are newer.
                self.on_silences(std::mem::take(&mut takeover.silences));
                self.leadership.on_grant(takeover);
            }
            Input::Revoked => leadership.step_down(paths, shared, now),
            Input::Silences(silences) => self.on_silences(silences),
            Input::Outcome(attempt, outcome) => self.on_outcome(attempt, &outcome, now),
            Input::Written(write, written) => self.on_written(write, written, now),
            Input::Park => {
                shared.parked = true;
                self.each_turn(now, |mut turn| turn.park());
            }
            Input::Tick => {}
        }
        self.run(now)
    }

    fn on_silences(&mut self, silences: Vec<Silence>) {
        self.shared.silences = silences;
        self.shared.version += 1;
        self.paths.touch_all(&mut self.shared);
    }

    fn on_receivers(&mut self, profiles: Vec<Profile>, group_wait: Duration, now: Now) {
        let Self { paths, shared, .. } = self;
        shared.group_wait = group_wait;
        let keep: BTreeSet<ReceiverId> = profiles.iter().map(|profile| profile.id.clone()).collect();
        profiles.into_iter().for_each(|profile| shared.enlist(profile, now));
        let gone: Vec<_> = shared.queues.keys().filter(|id| !keep.contains(id)).cloned().collect();
        paths.change_each(shared, |tracked, shared| tracked.on_receivers(&gone, shared, now));
        gone.iter().for_each(|receiver| shared.retire(receiver));
    }

    fn on_evaluated(&mut self, output: EvaluatorOutput, now: Now) {
        let Self { paths, leadership, shared } = self;
        match output {
            EvaluatorOutput::Rules(rules) => self.on_rules(rules, now),
            EvaluatorOutput::Transition(transition) => self.on_transition(transition, now),
            EvaluatorOutput::Forgotten(key, _) => {
                paths.compliant.remove(&key);
                // Its incident is closed, and nobody is told.
                paths.change(&key, shared, Tracked::abandon);
            }
            EvaluatorOutput::Stale => {
                paths.compliant.clear();
                shared.unreported.stop_watching();
                paths.change_each(shared, |tracked, _| tracked.alert.stale());
            }
            EvaluatorOutput::StaleAlert(key) => {
                paths.compliant.remove(&key);
                paths.change(&key, shared, |tracked, _| tracked.alert.stale());
            }
            EvaluatorOutput::LedgerChanged(change) => self.on_ledger_changed(&change),
            EvaluatorOutput::Barrier(barrier) => leadership.on_barrier(barrier),
        }
    }

    /// Somebody may have been told of what was seen of these paths so far. What comes and goes under our own lease is our
    /// own doing, and before it begins it is told what the listing says.
    fn on_ledger_changed(&mut self, change: &LedgerChange) {
        let Self { paths, shared, leadership, .. } = self;
        let is_own = *change == LedgerChange::Unwatched && leadership.is_at_hand();
        if shared.lease.is_some() || is_own {
            return;
        }
        match change {
            LedgerChange::Any => shared.unreported.doubt_all(),
            LedgerChange::Unwatched => shared.unreported.stop_watching(),
            LedgerChange::Of(those) => {
                those.iter().for_each(|key| Self::on_entry_changed(key, paths, shared))
            }
        }
    }

    /// An entry of this name has come or gone. By a rule that this agent does not know it may be of any alert of the path: the
    /// file of who wrote it gives the rules other names.
    fn on_entry_changed(key: &AlertKey, paths: &mut Paths, shared: &mut Shared) {
        let is_known = shared.rules.rule(key).is_some();
        let is_meant = |other: &AlertKey| other == key || !is_known;
        shared.unreported.doubt(&key.path, is_meant);
        paths.change_those_of(&key.path, shared, |tracked| {
            if is_meant(tracked.key()) {
                tracked.may_be_reported();
            }
        });
    }

    fn on_rules(&mut self, rules: Arc<RuleSet>, now: Now) {
        let Self { paths, leadership, shared } = self;
        for (key, rule) in heirs::heirs(paths, &shared.unreported, &shared.rules, &rules) {
            paths.hand_over(&key, &rule, shared);
        }
        shared.rules = Arc::clone(&rules);
        paths.compliant.retain(|key| rules.rule(key).is_some());
        paths.change_each(shared, |tracked, shared| match rules.rule(tracked.key()) {
            // Whether a judgement still holds is the evaluator's to say.
            Some(rule) => tracked.rule = Arc::clone(rule),
            None if tracked.remains != Remains::Alert => {}
            None => tracked.abandon(shared),
        });
        let violated = paths.iter().filter(|tracked| tracked.alert.is_violated()).map(Tracked::key);
        shared.dependencies = Dependencies::new(&rules, violated);
        for departed in std::mem::take(&mut shared.departed) {
            let mut dropped = Vec::new();
            paths.change_each(shared, |tracked, shared| {
                if tracked.on_departed(&departed, shared, now) {
                    dropped.push(tracked.key().clone());
                }
            });
            if let Some(key) = dropped.first() {
                shared.log(Report::Dropped(departed.label(), dropped.len(), key.clone()));
            }
        }
        leadership.adopt_orphans(paths, shared, now);
    }

    fn on_transition(&mut self, transition: Transition, now: Now) {
        let Self { paths, shared, .. } = self;
        let Transition { key, state, course, .. } = &transition;
        // Under a lease too: a write of an older one may come late, and bring back what is over and told.
        let ending = course.as_ref().and_then(Course::ending).filter(|_| *state == State::Ok);
        shared.unreported.note_ending(key, ending, now);
        let key = key.clone();
        if transition.state == State::Ok && paths.get(&key).is_none() {
            paths.compliant.insert(key);
            return;
        }
        paths.track(&key, &transition.rule, now);
        paths.change(&key, shared, |tracked, shared| tracked.on_judgement(transition, shared, now));
    }

    fn on_outcome(&mut self, attempt: AttemptId, outcome: &Outcome, now: Now) {
        let mut queues = self.shared.queues.iter_mut();
        let found: Option<(ReceiverId, Batch)> =
            queues.find_map(|(receiver, queue)| Some((receiver.clone(), queue.take_attempt(attempt)?)));
        // Each attempt is answered once: a second answer would have no batch.
        let Some((receiver, batch)) = found else { return };
        self.turn(&receiver, now).conclude(&batch, outcome);
    }

    fn on_written(&mut self, write: u64, written: Written, now: Now) {
        let Self { paths, shared, .. } = self;
        // A write of an earlier lease is not waited for any more.
        let Some(key) = shared.writes.remove(&write) else { return };
        if paths.get(&key).is_none() {
            // It was an orphan's. One that changed meanwhile is somebody's.
            if let Written::Done(_) = written {
                shared.log(Report::Collected(key));
            }
            return;
        }
        paths.change(&key, shared, |tracked, shared| tracked.on_written(write, written, shared, now));
    }

    fn turn<'a>(&'a mut self, receiver: &'a ReceiverId, now: Now) -> Turn<'a> {
        Turn { receiver, paths: &mut self.paths, shared: &mut self.shared, now }
    }

    fn each_turn(&mut self, now: Now, mut act: impl FnMut(Turn)) {
        let receivers: Vec<ReceiverId> = self.shared.queues.keys().cloned().collect();
        receivers.iter().for_each(|receiver| act(self.turn(receiver, now)));
    }

    /// Does what is to be done by now, and returns what the shell has to do.
    fn run(&mut self, now: Now) -> Vec<Effect> {
        let Self { paths, leadership, shared } = self;
        leadership.take_effect_if_due(paths, shared, now);
        leadership.collect_orphans(shared, now);
        shared.unreported.sweep(&shared.silences, now);
        if shared.arm_silences(now) {
            paths.touch_all(shared);
        }
        paths.touch_due(shared, now);
        loop {
            while let Some(key) = self.shared.next_touched() {
                self.paths.settle(key, &mut self.shared, now);
            }
            if self.shared.sends() {
                self.each_turn(now, |mut turn| turn.pump());
            }
            if self.shared.is_settled() {
                return std::mem::take(&mut self.shared.effects);
            }
        }
    }

    /// Whether an attempt is under way, or the ledger has yet to take what is known.
    pub fn is_busy(&self) -> bool {
        !self.shared.writes.is_empty() || self.shared.queues.values().any(Queue::is_sending)
    }

    /// When [`Input::Tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let queues = self.shared.queues.values().filter(|_| self.shared.sends());
        let queues = queues.filter_map(Queue::next_deadline);
        let own = [self.paths.next_alarm(), self.leadership.collect_at, self.shared.silence_ends];
        own.into_iter().flatten().chain(queues).min()
    }

    /// Changes whenever something that a snapshot shows may have changed.
    pub fn version(&self) -> u64 {
        self.shared.version
    }

    /// The epoch of the lease in effect.
    pub fn epoch(&self) -> Option<u64> {
        self.shared.lease
    }

    /// Every alert that is not inactive.
    pub fn alert_status(&self) -> impl Iterator<Item = (&AlertKey, AlertStatus)> {
        self.paths.iter().filter_map(|tracked| Some((tracked.key(), tracked.status(&self.shared)?)))
    }

    /// Every receiver of the configuration.
    pub fn receiver_status(&self) -> impl Iterator<Item = (&ReceiverId, ReceiverStatus)> {
        let queues = self.shared.queues.iter().filter(|(_, queue)| !queue.retired);
        queues.map(|(id, queue)| (id, queue.status()))
    }

    /// The silences in force.
    pub fn silences(&self, now: Now) -> impl Iterator<Item = &Silence> {
        self.shared.silences.iter().filter(move |silence| silence.is_in_force(now.wall))
    }
}
