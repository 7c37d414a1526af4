//! What must hold, whatever happens. Each check names the promise that it holds the dispatcher to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use zk_monitor::model::alert_key::AlertKey;
use zk_monitor::model::ledger::{Change, Entry, Mark, Stored};
use zk_monitor::model::message::{Item, Kind};
use zk_monitor::model::receiver::{Outcome, ReceiverId};

use crate::world::{
    ALERTS, Millis, PATHS, RECEIVERS, TIMEOUT, alert_index, hears, path_index, path_of, receiver_id,
    world_begins,
};

/// One process: agent and incarnation.
pub type Process = (usize, u32);

/// One attempt, as an outside observer sees it.
#[derive(Clone, Debug)]
pub struct Tried {
    pub process: Process,
    pub receiver: usize,
    pub epoch: u64,
    pub start: Millis,
    pub items: Vec<Item>,
    pub arrived: bool,
    /// What the process got to know.
    pub known: Option<Outcome>,
}

/// A violation of a path, as it truly was.
#[derive(Clone, Debug)]
pub struct Violation {
    pub path: usize,
    pub start: Millis,
    pub end: Option<Millis>,
    /// Whether the path was silenced or its rule changed meanwhile: then nothing is owed.
    pub excused: bool,
}

/// How long after the truth an agent that holds a lease may act on what was before.
const BEHIND: Millis = 7_000;

type Key = (Arc<str>, usize);

#[derive(Debug, Default)]
pub struct Oracle {
    pub attempts: Vec<Tried>,
    pub violations: Vec<Violation>,
    /// When the ledger first said that a receiver was told.
    firing_noted: BTreeMap<Key, Millis>,
    resolved_noted: BTreeMap<Key, Millis>,
    /// Attempts by incident and receiver.
    by_key: BTreeMap<Key, Vec<usize>>,
    /// The violation that each incident was opened for, as the ledger says.
    opened_for: BTreeMap<Arc<str>, u32>,
    /// The first lease under which the ledger said that a receiver may have been told.
    intents: BTreeMap<Key, u64>,
    /// Incidents by receiver, alert and violation.
    told_as: BTreeMap<(usize, usize, u32), Arc<str>>,
    /// Violations that the ledger knew of, by receiver and alert.
    recorded: BTreeSet<(usize, usize, u32)>,
    /// The alert of each incident that was told.
    alert_of: BTreeMap<Arc<str>, usize>,
    epochs: BTreeMap<u64, Process>,
    /// By how much any agent's wall clock was ahead at any time.
    pub skews: BTreeSet<i64>,
    /// Processes that were without the fickle path's rule for a while, and forgot what they knew of it.
    pub forgetful: BTreeSet<Process>,
    /// When somebody removed the locks.
    pub unlocked: Vec<Millis>,
    /// When a lease ended, or its holder died.
    pub disturbed: Millis,
    pub broken: Option<String>,
}

/// The number of the violation that a message tells of: what is read of a path that is out of spec ends in it.
pub fn ordinal(message: &str) -> u32 {
    let number =
        message.split("bad ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number: {message}"))
}

impl Oracle {
    pub fn fail(&mut self, words: String) {
        self.broken.get_or_insert(words);
    }

    pub fn toggle(&mut self, path: usize, now: Millis) -> Option<u32> {
        if let Some(open) = self.violations.iter_mut().find(|v| v.path == path && v.end.is_none()) {
            open.end = Some(now);
            return None;
        }
        self.violations.push(Violation { path, start: now, end: None, excused: false });
        Some(u32::try_from(self.violations.len() - 1).expect("few violations"))
    }

    /// Nothing is owed for this path's violations from now on until `end`.
    pub fn excuse(&mut self, path: usize, now: Millis) {
        for violation in self.violations.iter_mut().filter(|v| v.path == path) {
            violation.excused |= violation.end.is_none_or(|end| end + BEHIND > now);
        }
    }

    /// Nothing is owed for any violation of this path so far: its rule was removed, which closes an incident
    /// silently.
    pub fn excuse_all(&mut self, path: usize) {
        self.violations.iter_mut().filter(|v| v.path == path).for_each(|v| v.excused = true);
    }

    fn violated_within(&self, path: usize, from: Millis, to: Millis) -> bool {
        let overlaps = |v: &Violation| v.start <= to && v.end.is_none_or(|end| end >= from);
        self.violations.iter().any(|v| v.path == path && overlaps(v))
    }

    fn complied_within(&self, path: usize, from: Millis, to: Millis) -> bool {
        let covers = |v: &Violation| v.start <= from && v.end.is_none_or(|end| end > to);
        !self.violations.iter().any(|v| v.path == path && covers(v))
    }

    /// The ledger took a change.
    pub fn committed(&mut self, before: Option<&Entry>, change: &Change, now: Millis) {
        let (entry, gone) = match change {
            Change::Create(entry) | Change::Set(entry, _) => (Some(entry), false),
            Change::Delete(_) => (before, true),
        };
        let Some(entry) = entry else { return };
        self.opened_for.entry(Arc::clone(&entry.incident)).or_insert(ordinal(&entry.message));
        let alert = alert_index(&entry.key.path, entry.key.name.as_deref());
        for (receiver, progress) in entry.receivers.iter() {
            let index = receiver_index(receiver);
            let key = (Arc::clone(&progress.incident), index);
            if !gone && progress.firing == Mark::Ambiguous {
                self.intents.entry(key.clone()).or_insert(entry.epoch);
            }
            if gone || progress.firing == Mark::Sent {
                self.firing_noted.entry(key.clone()).or_insert(now);
            }
            if gone || progress.resolved == Mark::Sent {
                self.resolved_noted.entry(key).or_insert(now);
            }
            // What comes too late for the next leader to read is not owed by it.
            if !gone && progress.firing != Mark::Refused && !self.may_overlap(now) {
                self.recorded.insert((index, alert, ordinal(&entry.message)));
            }
        }
    }

    /// An attempt begins: its process found that it holds the lease. `leads` is whether the lock is truly its.
    pub fn attempt(&mut self, attempt: Tried, leads: bool) -> usize {
        let epoch = attempt.epoch;
        let (process, now, receiver) = (attempt.process, attempt.start, attempt.receiver);
        if *self.epochs.entry(epoch).or_insert(process) != process {
            self.fail(format!("one_sender: two processes attempt in epoch {epoch}"));
        }
        if !leads && !self.may_overlap(now) {
            self.fail(format!("one_sender: {process:?} attempts at {now} without the lock"));
        }
        let index = self.attempts.len();
        for item in attempt.items.clone() {
            self.check_item(&item, process, receiver, epoch, now);
            let key = (Arc::clone(&item.incident), receiver);
            self.by_key.entry(key).or_default().push(index);
        }
        self.attempts.push(attempt);
        index
    }

    /// An agent whose lock somebody removed goes on until it sees that, or its lease ends; another leads meanwhile.
    fn may_overlap(&self, now: Millis) -> bool {
        self.unlocked.iter().any(|at| (*at..=at + TIMEOUT).contains(&now))
    }

    fn check_item(&mut self, item: &Item, process: Process, receiver: usize, epoch: u64, now: Millis) {
        let path = path_index(&item.path);
        let what = format!("{:?} of {} ({}) to {receiver} at {now}", item.kind, item.path, item.incident);
        if !hears(alert_of(item), receiver) {
            self.fail(format!("each_alert_to_its_own: {what}"));
        }
        let other = self.alert_of.entry(Arc::clone(&item.incident)).or_insert(alert_of(item));
        if *other != alert_of(item) {
            self.fail(format!("one_incident_one_alert: {what}"));
        }
        if item.until.is_some_and(|until| until < item.since) {
            self.fail(format!("no_end_before_its_beginning: {what}"));
        }
        match item.kind {
            Kind::Firing => {
                if !self.violated_within(path, now.saturating_sub(BEHIND), now) {
                    self.fail(format!("nothing_false: {what}, but it was in spec"));
                }
                self.check_once(item, process, receiver, true, now, &what);
            }
            Kind::Late => self.check_once(item, process, receiver, true, now, &what),
            Kind::Resolved => {
                let told = self.tries(&item.incident, receiver, true).next().is_some();
                // Whether a leader that died after noting the intent made the attempt, nobody knows.
                let key = (Arc::clone(&item.incident), receiver);
                let perhaps = self.intents.get(&key).is_some_and(|noted| *noted < epoch);
                if !told && !perhaps {
                    self.fail(format!("recovery_only_to_the_told: {what}"));
                }
                let until = item.until.expect("a recovery tells its time");
                // The end is told by the clock of whoever saw it; one that would be before the beginning is the same.
                let ended = |skew: &i64| {
                    let until = millis(until, *skew);
                    self.complied_within(path, until.saturating_sub(BEHIND), until)
                };
                if until != item.since && !self.skews.iter().any(ended) {
                    self.fail(format!("nothing_false: {what}, but it was out of spec all the time"));
                }
                self.check_once(item, process, receiver, false, now, &what);
            }
            Kind::Reminder(_) | Kind::Refresh | Kind::Notice | Kind::Test => {}
        }
    }

    /// Attempts to tell one end of an incident.
    fn tries(&self, incident: &Arc<str>, receiver: usize, firing: bool) -> impl Iterator<Item = &Tried> {
        let key = (Arc::clone(incident), receiver);
        let attempts = self.by_key.get(&key).into_iter().flatten().map(|index| &self.attempts[*index]);
        let key = key.0;
        attempts.filter(move |attempt| {
            let tells = |item: &&Item| match item.kind {
                Kind::Firing => firing,
                Kind::Late => true,
                Kind::Resolved => !firing,
                Kind::Reminder(_) | Kind::Refresh | Kind::Notice | Kind::Test => false,
            };
            attempt.items.iter().filter(tells).any(|item| item.incident == key)
        })
    }

    /// Whether the locks were removed while this violation was to be told: the next leader tells it, and one whose lock
    /// was removed notes it too late.
    fn may_be_told_twice(&self, violation: u32) -> bool {
        let truth = &self.violations[violation as usize];
        let during =
            |at: &Millis| truth.start <= at + TIMEOUT && truth.end.is_none_or(|end| end + BEHIND > *at);
        self.unlocked.iter().any(during)
    }

    fn check_once(
        &mut self,
        item: &Item,
        process: Process,
        receiver: usize,
        firing: bool,
        now: Millis,
        what: &str,
    ) {
        let key = (Arc::clone(&item.incident), receiver);
        let noted = if firing { &self.firing_noted } else { &self.resolved_noted };
        let noted = noted.get(&key).is_some_and(|at| *at < now);
        let forgot = path_index(&item.path) == FICKLE && self.forgetful.contains(&process);
        let known = |attempt: &Tried| {
            attempt.known == Some(Outcome::Accepted) && (noted || attempt.process == process && !forgot)
        };
        // Receivers with a key are told the end twice after a takeover.
        let keyed = receiver == RECEIVERS - 1 && !firing;
        let violation = ordinal(&item.message);
        let twice = self.may_be_told_twice(violation);
        let overlap = twice || self.may_overlap(now);
        if !keyed && !overlap && self.tries(&item.incident, receiver, firing).any(known) {
            self.fail(format!("once: {what}, which it surely got before"));
        }
        let excused = self.violations[violation as usize].excused;
        if firing && !excused && !twice {
            let other = self
                .told_as
                .get(&(receiver, alert_of(item), violation))
                .filter(|other| **other != item.incident);
            let surely = |other: &Arc<str>| self.tries(other, receiver, true).any(|attempt| attempt.arrived);
            if let Some(other) = other.filter(|other| surely(other)).cloned() {
                self.fail(format!("same_id: {what}, which it got as {other}"));
            }
            self.told_as.insert((receiver, alert_of(item), violation), Arc::clone(&item.incident));
        }
    }

    /// Whether the receiver was told of the violation by this alert, or of one that it was merged into.
    fn covers(&self, violation: u32, alert: usize, receiver: usize) -> bool {
        let truth = &self.violations[violation as usize];
        let told = self.attempts.iter().filter(|attempt| attempt.receiver == receiver && attempt.arrived);
        let items = told.flat_map(|attempt| attempt.items.iter().map(move |item| (attempt.start, item)));
        let mut ends: BTreeMap<&Arc<str>, Millis> = BTreeMap::new();
        let mut begins: BTreeMap<&Arc<str>, Millis> = BTreeMap::new();
        for (start, item) in items.filter(|(_, item)| alert_of(item) == alert) {
            // Two violations may be merged at a takeover: the second is told as the incident of the first.
            let opened_for = self.opened_for.get(&item.incident) == Some(&violation);
            match item.kind {
                Kind::Firing | Kind::Late | Kind::Resolved if opened_for => return true,
                // A recovery tells both ends, so that who never got the alert understands it.
                Kind::Firing | Kind::Late | Kind::Resolved if ordinal(&item.message) == violation => {
                    return true;
                }
                Kind::Firing | Kind::Late | Kind::Resolved
                    if !item.notes.is_empty() && ordinal(&item.message) > violation =>
                {
                    return true;
                }
                Kind::Firing => {
                    let opened = self.opened_for.get(&item.incident);
                    let began = opened.map_or(start, |violation| self.violations[*violation as usize].start);
                    begins.entry(&item.incident).or_insert(began);
                }
                Kind::Resolved => drop(ends.insert(&item.incident, start)),
                Kind::Late | Kind::Reminder(_) | Kind::Refresh | Kind::Notice | Kind::Test => {}
            }
        }
        // Merged into an incident that the receiver knew to be open during the violation.
        begins.iter().any(|(incident, begin)| {
            *begin <= truth.end.unwrap_or(Millis::MAX)
                && ends.get(incident).is_none_or(|end| *end >= truth.start)
        })
    }

    /// Whether the receiver refused to hear of the alert, alone or after it had refused so many others alone that it
    /// is taken to refuse everything; under this lease, if one is given.
    fn refused(&self, alert: usize, receiver: usize, lease: Option<u64>) -> bool {
        let of_lease = |attempt: &&Tried| lease.is_none_or(|lease| attempt.epoch == lease);
        let attempts = self.attempts.iter().filter(|attempt| attempt.receiver == receiver);
        let refusals = attempts.filter(|attempt| matches!(attempt.known, Some(Outcome::Refused { .. })));
        let everything = refusals.clone().filter(|attempt| attempt.items.len() == 1).count() >= 8;
        let mut refusals = refusals.filter(of_lease);
        refusals.any(|attempt| {
            (attempt.items.len() == 1 || everything)
                && attempt.items.iter().any(|item| alert_of(item) == alert)
        })
    }

    /// Everything has healed, and what is still out of spec has been so for long.
    pub fn check_alerts(&mut self, hold: impl Fn(usize) -> Millis, lease: Option<u64>) {
        for number in 0..self.violations.len() {
            let violation = self.violations[number].clone();
            let number = u32::try_from(number).expect("few violations");
            for alert in (0..ALERTS).filter(|alert| path_of(*alert) == violation.path) {
                self.check_alert(&violation, number, alert, hold(alert), lease);
            }
        }
    }

    /// Whoever hears of an alert was told of a violation, if that is owed.
    fn check_alert(
        &mut self,
        violation: &Violation,
        number: u32,
        alert: usize,
        hold: Millis,
        lease: Option<u64>,
    ) {
        let length = violation.end.map_or(Millis::MAX, |end| end - violation.start);
        let undisturbed = violation.start > self.disturbed + BEHIND && length > hold + 3_000;
        for receiver in (0..RECEIVERS).filter(|receiver| hears(alert, *receiver)) {
            let recorded = self.recorded.contains(&(receiver, alert, number));
            let owed = violation.end.is_none() || undisturbed || recorded;
            // Each lease tries again what was refused, while there is something to tell.
            let lease = lease.filter(|_| violation.end.is_none());
            let excused = violation.excused || self.refused(alert, receiver, lease);
            if owed && !excused && !self.covers(number, alert, receiver) {
                self.fail(format!(
                    "at_least_once: {violation:?} (number {number}) was not told to {receiver} by alert {alert}"
                ));
            }
        }
    }

    /// Every path has been in spec for long: who got an alert got its end.
    pub fn check_recoveries(&mut self, reconfigured: &BTreeSet<usize>) {
        let mut open: BTreeMap<Key, usize> = BTreeMap::new();
        for attempt in self.attempts.iter().filter(|attempt| attempt.arrived) {
            for item in &attempt.items {
                let key = (Arc::clone(&item.incident), attempt.receiver);
                match item.kind {
                    Kind::Firing => drop(open.insert(key, alert_of(item))),
                    Kind::Resolved | Kind::Late => drop(open.remove(&key)),
                    Kind::Reminder(_) | Kind::Refresh | Kind::Notice | Kind::Test => {}
                }
            }
        }
        for ((incident, receiver), alert) in open {
            let told = self.tries(&incident, receiver, false).any(|attempt| attempt.arrived);
            let excused = reconfigured.contains(&path_of(alert)) || self.refused(alert, receiver, None);
            if !told && !excused {
                self.fail(format!("recovery_to_all_the_told: {incident} of {alert} is open for {receiver}"));
            }
        }
    }

    /// Nothing is left in the ledger at the end, when the lease is this. What an agent whose lock somebody removed had
    /// asked for may come after the next one has read the ledger, and stays until another takes over.
    pub fn check_ledger(&mut self, left: &BTreeMap<AlertKey, Stored>, lease: Option<u64>) {
        let late = |stored: &Stored| {
            !self.unlocked.is_empty() && lease.is_some_and(|lease| stored.entry.epoch < lease)
        };
        if !left.values().all(late) {
            self.fail(format!("no_leak: the ledger still holds {left:#?}"));
        }
    }
}

/// When an agent whose wall clock is so far ahead says so.
fn millis(time: SystemTime, ahead: i64) -> Millis {
    let since_start = match time.duration_since(world_begins()) {
        Ok(after) => i128::try_from(after.as_millis()).expect("a short time"),
        Err(before) => -i128::try_from(before.duration().as_millis()).expect("a short time"),
    };
    Millis::try_from((since_start - i128::from(ahead)).max(0)).expect("a short time")
}

fn alert_of(item: &Item) -> usize {
    alert_index(&item.path, item.rule.as_deref())
}

fn receiver_index(receiver: &ReceiverId) -> usize {
    (0..RECEIVERS).find(|index| receiver_id(*index) == *receiver).expect("a receiver of the simulation")
}

/// How many paths are watched; the last is the one whose rule comes and goes.
pub const FICKLE: usize = PATHS - 1;
