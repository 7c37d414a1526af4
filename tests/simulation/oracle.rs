//! What must hold, whatever happens. Each check names the promise that it holds the dispatcher to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use zk_monitor::model::alert_key::AlertKey;
use zk_monitor::model::ledger::{Change, Entry, Mark, Progress, Stored};
use zk_monitor::model::message::{Item, Kind};
use zk_monitor::model::receiver::{Outcome, ReceiverId};

use crate::alerts::{
    self, ALERTS, DEPENDENCY, FICKLE, HELD, POOL, SLOW, alert_index, drop_of, hears, hold, path_index,
    path_of, receiver_id,
};
use crate::pool::{Claim, Ending, Pool, Turn, is_fallen, within};
use crate::world::{AGENTS, Millis, RECEIVERS, ROLLED, TIMEOUT, world_begins};

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
    /// The alert that it is one by, if not by each of the path.
    pub alert: Option<usize>,
    pub start: Millis,
    pub end: Option<Millis>,
    /// What the number of children was measured by, one after the other.
    pub bases: Vec<u32>,
    /// Whether the path was silenced or its rule changed meanwhile: then nothing is owed.
    pub excused: bool,
}

/// How long after the truth an agent that holds a lease may act on what was before.
const BEHIND: Millis = 7_000;

/// How long after the truth an agent sees it if nothing disturbs it.
const SOON: Millis = 3_000;

/// How soon an agent that nothing disturbs has listed the ledger after a change, and has seen a violation.
const SEEN: Millis = 1_500;

/// How long a leader may keep to itself what it owes.
const UNTOLD: Millis = 3_000;

/// How long after its end a violation is told late.
const LATE: Millis = 8_000;

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
    /// What an incident's number of children is measured by, as the ledger said last.
    base_of: BTreeMap<Arc<str>, u32>,
    pool: Pool,
    /// Incidents of rules that a leader's file does not know by that name: it leaves them alone for a day, as it would
    /// if another agent's file were ahead of its own. A rule that gets another name as the leader changes is told anew.
    left: BTreeSet<Arc<str>>,
    epochs: BTreeMap<u64, Process>,
    /// By how much any agent's wall clock was ahead at any time.
    pub skews: BTreeSet<i64>,
    /// Processes that were without the fickle path's rule for a while, and forgot what they knew of it.
    pub forgetful: BTreeSet<Process>,
    /// Paths that were silenced: until when differs by each agent's wall clock.
    silenced: BTreeSet<usize>,
    /// Incidents that were acknowledged.
    acknowledged: BTreeMap<Arc<str>, Acknowledged>,
    /// Violations, by alert, that began after that of an incident which had been acknowledged was over, as who took over saw,
    /// and when: they are none of that incident.
    outlived: BTreeMap<(Arc<str>, usize, u32), (usize, Millis)>,
    /// When somebody removed the locks.
    pub unlocked: Vec<Millis>,
    /// When a lease ended, or its holder died.
    pub disturbed: Millis,
    /// Until when each agent may be slow to see and to act, or dead.
    pub troubled: [Millis; AGENTS],
    /// When entries came and went.
    listed: Vec<(Millis, AlertKey)>,
    /// When the file was another version.
    files: Vec<(Millis, usize)>,
    /// Which violations an agent that takes over saw and nobody told of, by alert: by that agent, and when.
    late: BTreeMap<(usize, u32), (usize, Millis)>,
    /// The lease that each agent acts under, and since when.
    leads: [Option<(u64, Millis)>; AGENTS],
    /// Violations, by alert, that somebody led for long enough to tell all that come after.
    led: BTreeSet<(usize, u32)>,
    /// What is owed to receivers that failed when that was looked at: violations by number, alert and receiver.
    deferred: Vec<(u32, usize, usize)>,
    pub broken: Option<String>,
}

#[derive(Debug)]
struct Acknowledged {
    key: AlertKey,
    at: Millis,
    /// When the ledger ceased to say that it is open. What fell before that may have been merged into it.
    closed: Option<Millis>,
    /// Who had yet to hear of an earlier one then, or of how many were missed: that is told with this one, or not at all.
    behind: BTreeSet<usize>,
}

impl Acknowledged {
    /// Whether it may be this violation that was acknowledged, as far as the cluster knew: it was open lately, or came
    /// after the one that the incident was opened for.
    fn excuses(&self, alert: usize, violation: &Violation, is_merged: bool) -> bool {
        alerts::alert_of(&self.key) == alert
            && (is_merged || violation.end.is_none_or(|end| end + BEHIND > self.at))
            && self.closed.is_none_or(|closed| violation.start <= closed)
    }
}

impl Violation {
    fn concerns(&self, alert: usize) -> bool {
        self.path == path_of(alert) && self.alert.is_none_or(|own| own == alert)
    }

    /// Whether it was one at any time from `from` to `to`.
    fn overlaps(&self, from: Millis, to: Millis) -> bool {
        self.start <= to && self.end.is_none_or(|end| end >= from)
    }
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
        Some(self.begin(path, None, now))
    }

    fn begin(&mut self, path: usize, alert: Option<usize>, start: Millis) -> u32 {
        let excused = self.silenced.contains(&path);
        let violation = Violation { path, alert, start, end: None, bases: Vec::new(), excused };
        self.violations.push(violation);
        u32::try_from(self.violations.len() - 1).expect("few violations")
    }

    /// The pool has so many children from now on.
    pub fn fill(&mut self, count: u32, now: Millis) {
        let turns = self.pool.change(count, now);
        turns.into_iter().for_each(|turn| self.turn(turn));
    }

    /// Time passes, up to now.
    pub fn pass(&mut self, now: Millis) {
        let turns = self.pool.pass(now);
        turns.into_iter().for_each(|turn| self.turn(turn));
    }

    fn turn(&mut self, Turn { alert, at, fallen_from }: Turn) {
        let open = self.violations.iter().position(|v| v.alert == Some(alert) && v.end.is_none());
        let Some(most) = fallen_from else {
            open.into_iter().for_each(|open| self.violations[open].end = Some(at));
            return;
        };
        let open = open.unwrap_or_else(|| self.begin(POOL, Some(alert), at) as usize);
        let bases = &mut self.violations[open].bases;
        if bases.last() != Some(&most) {
            bases.push(most);
        }
    }

    /// The violation that a message tells of. What is read of a path that is out of spec ends in its number; of the
    /// pool a message tells how many children there were, and no number comes twice. None, if it is a fall that whoever
    /// saw everything could not see.
    pub fn violation_of(&self, alert: usize, message: &str) -> Option<u32> {
        let number = match path_of(alert) {
            POOL => {
                let Claim { found, .. } = Claim::of(message)?;
                let until = self.pool.held(found)?.1.unwrap_or(Millis::MAX);
                self.violations.iter().rposition(|v| v.concerns(alert) && v.start < until)?
            }
            _ => {
                let rest = message.split("bad ").nth(1)?;
                rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?
            }
        };
        u32::try_from(number).ok()
    }

    fn violation(&self, item: &Item) -> Option<u32> {
        self.violation_of(alert_of(item), &item.message)
    }

    /// Nothing is owed for this path's violations from now on.
    pub fn excuse(&mut self, path: usize, now: Millis) {
        self.silenced.insert(path);
        for violation in self.violations.iter_mut().filter(|v| v.path == path) {
            violation.excused |= violation.end.is_none_or(|end| end + BEHIND > now);
        }
    }

    /// Nobody is to be told again of this incident, which is open.
    pub fn acknowledge(&mut self, entry: &Entry, now: Millis) {
        let is_behind = |progress: &Progress| progress.incident != entry.incident || entry.missed > 0;
        let behind = entry.receivers.iter().filter(|(_, progress)| is_behind(progress));
        let behind = behind.map(|(receiver, _)| receiver_index(receiver)).collect();
        let acknowledged = Acknowledged { key: entry.key.clone(), at: now, closed: None, behind };
        self.acknowledged.entry(Arc::clone(&entry.incident)).or_insert(acknowledged);
    }

    /// Nothing is owed for any violation of this path so far: its rule was removed, which closes an incident
    /// silently.
    pub fn excuse_all(&mut self, path: usize) {
        self.violations.iter_mut().filter(|v| v.path == path).for_each(|v| v.excused = true);
    }

    fn violated_within(&self, alert: usize, from: Millis, to: Millis) -> bool {
        self.violations.iter().any(|v| v.concerns(alert) && v.overlaps(from, to))
    }

    fn complied_within(&self, alert: usize, from: Millis, to: Millis) -> bool {
        let covers = |v: &Violation| v.start <= from && v.end.is_none_or(|end| end > to);
        !self.violations.iter().any(|v| v.concerns(alert) && covers(v))
    }

    /// The ledger took a change. An incident that lives on under another name is not gone.
    pub fn committed(
        &mut self,
        before: Option<&Entry>,
        change: &Change,
        lives_on: bool,
        open: &BTreeSet<Arc<str>>,
        now: Millis,
    ) {
        let (entry, gone) = match change {
            Change::Create(entry) | Change::Set(entry, _) => (Some(entry), false),
            Change::Delete(_) => (before, !lives_on),
        };
        let Some(entry) = entry else { return };
        self.pass(now);
        if before.is_none() || matches!(change, Change::Delete(_)) {
            self.listed.push((now, entry.key.clone()));
        }
        let alert = alerts::alert_of(&entry.key);
        // By whatever name its rule goes by then.
        for (_, one) in self.acknowledged.iter_mut().filter(|(incident, _)| !open.contains(*incident)) {
            one.closed.get_or_insert(now);
        }
        let violation = self.violation_of(alert, &entry.message);
        if let Some(violation) = violation {
            self.opened_for.entry(Arc::clone(&entry.incident)).or_insert(violation);
        }
        // What comes too late for the next leader to read is not known to it.
        if let (Some(base), None, false) = (entry.base, entry.until, self.may_overlap(now)) {
            self.base_of.insert(Arc::clone(&entry.incident), base.most);
        }
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
                self.recorded.extend(violation.map(|violation| (index, alert, violation)));
            }
        }
    }

    /// An agent takes over that has followed the ledger since then and finds itself first in line. What came and went before
    /// it has to tell, if it can know that nobody else did: entries of its path, and none that it cannot have seen, neither
    /// came nor went since the beginning.
    pub fn succeeds(&mut self, agent: usize, since: Millis, first: Millis, entries: &[Stored], now: Millis) {
        let since = since.max(self.troubled[agent]) + SEEN;
        for stored in entries.iter().filter(|stored| stored.entry.until.is_none()) {
            self.outlive(agent, since, &stored.entry, now);
        }
        if self.listed.iter().any(|(at, _)| at + SEEN > first) {
            return;
        }
        for (number, violation) in self.violations.iter().enumerate() {
            let Violation { start, end: Some(end), .. } = *violation else { continue };
            // Others soon before or after may be one with it.
            if start < since || end + LATE < now || !self.is_alone(violation) {
                continue;
            }
            let is_told = |alert: usize| {
                let known = entries.iter().map(|stored| &stored.entry).filter(|entry| {
                    let outlived = (Arc::clone(&entry.incident), alert, index(number));
                    !self.outlived.contains_key(&outlived)
                });
                let mut keys = known.map(|entry| &entry.key);
                keys.any(|key| self.may_be_of(key, alert, start)) || self.may_be_told(alert, start - SEEN)
            };
            let alerts = (0..ALERTS).filter(|alert| *alert != HELD && drop_of(*alert).is_none());
            let alerts =
                alerts.filter(|alert| violation.concerns(*alert) && end - start > hold(*alert) + SEEN);
            let alerts: Vec<_> = alerts.filter(|alert| !is_told(*alert)).collect();
            for alert in alerts {
                self.late.insert((alert, index(number)), (agent, now));
            }
        }
    }

    /// The same agent finds an entry of an incident that was acknowledged. If it saw that violation and its end after that, and
    /// the path fall out of spec again, the incident is over, and that is none of it, though it may be over as well.
    fn outlive(&mut self, agent: usize, since: Millis, entry: &Entry, now: Millis) {
        let alert = alerts::alert_of(&entry.key);
        let Some(acknowledged) = self.acknowledged.get(&entry.incident).map(|one| one.at) else { return };
        let Some(first) = self.opened_for.get(&entry.incident).copied() else { return };
        let Some(end) = self.violations[first as usize].end else { return };
        let seen = end.saturating_sub(since.max(self.violations[first as usize].start));
        let is_odd = alert == HELD || drop_of(alert).is_some();
        if is_odd || seen < hold(alert) + SEEN || end < acknowledged + SEEN {
            return;
        }
        let numbered = (0..).zip(&self.violations).skip(first as usize + 1);
        let mut later = numbered.filter(|(_, v)| v.concerns(alert));
        let Some((number, next)) = later.next().filter(|(_, v)| self.is_alone(v)) else { return };
        let is_seen = |end: Millis| end - next.start > hold(alert) + SEEN && end + SEEN < now;
        if next.start + SEEN < now && next.end.is_none_or(is_seen) {
            self.outlived.insert((Arc::clone(&entry.incident), alert, number), (agent, now));
        }
    }

    /// Whether a violation is none of an incident, by who took over and was not troubled since.
    fn is_outlived(&self, incident: &Arc<str>, alert: usize, violation: u32) -> bool {
        let unlocked = self.unlocked.last().copied().unwrap_or(0);
        let found = self.outlived.get(&(Arc::clone(incident), alert, violation));
        found.is_some_and(|(agent, at)| self.troubled[*agent].max(unlocked) < *at)
    }

    /// Whether no others come so soon before or after that they may be one with it.
    fn is_alone(&self, violation: &Violation) -> bool {
        /// For how long an alert goes on firing, at most.
        const KEEP: Millis = 2_000;
        let (near, end) = (KEEP + SEEN, violation.end.unwrap_or(Millis::MAX));
        let (from, to) = (violation.start.saturating_sub(near), end.saturating_add(near));
        self.violations.iter().filter(|v| v.path == violation.path && v.overlaps(from, to)).count() == 1
    }

    /// An agent acts under this lease now, or under none.
    pub fn note_lease(&mut self, agent: usize, lease: Option<u64>, now: Millis) {
        let lead = &mut self.leads[agent];
        if lead.map(|(lease, _)| lease) != lease {
            *lead = lease.map(|lease| (lease, now));
        }
    }

    /// Something befalls somebody now. What an agent led through without trouble for long enough it has told, or the ledger
    /// tells those who come after it.
    pub fn note_led(&mut self, now: Millis) {
        let leads = self.leads.iter().zip(self.troubled);
        for since in leads.filter_map(|(lead, troubled)| Some(lead.as_ref()?.1.max(troubled))) {
            for (number, violation) in self.violations.iter().enumerate() {
                let (from, to) = (violation.start.max(since), violation.end.unwrap_or(now).min(now));
                let number = index(number);
                let alerts = (0..ALERTS).filter(|alert| *alert != HELD && drop_of(*alert).is_none());
                let told = alerts.filter(|alert| violation.concerns(*alert));
                let told = told.filter(|alert| to.saturating_sub(from) > hold(*alert) + UNTOLD + SOON);
                self.led.extend(told.map(|alert| (alert, number)));
            }
        }
    }

    /// The file is of this version from now on.
    pub fn rename(&mut self, file: usize, now: Millis) {
        self.files.push((now, file));
    }

    /// Whether a follower may take an entry for one of this alert, as it knew the rules since then: another's of the same path
    /// bears a name that is in each file.
    fn may_be_of(&self, key: &AlertKey, alert: usize, since: Millis) -> bool {
        let old = self.files.iter().rposition(|(at, _)| at + ROLLED + BEHIND < since);
        let first = old.map_or(0, |index| self.files[index].1);
        let newer = self.files[old.map_or(0, |index| index + 1)..].iter().map(|(_, file)| *file);
        let is_other = alerts::alert_of(key) != alert && alerts::is_called(key, newer.chain([first]));
        path_index(&key.path) == path_of(alert) && !is_other
    }

    /// Whether the entry of an alert may have come or gone since then, as far as a follower knows: of one that came and
    /// went, or went and came again, it may not know which it was.
    fn may_be_told(&self, alert: usize, since: Millis) -> bool {
        let mut changes = self.listed.iter().enumerate().filter(|(_, (at, _))| *at >= since);
        changes.any(|(index, (at, key))| {
            let again = |(before, other): &&(Millis, AlertKey)| other == key && before + SEEN > *at;
            self.may_be_of(key, alert, since) || self.listed[..index].iter().any(|one| again(&one))
        })
    }

    /// An agent takes over that does not know this entry's rule by its name.
    pub fn leave(&mut self, entry: &Entry) {
        let alert = alerts::alert_of(&entry.key);
        let told = entry.receivers.values().map(|progress| &progress.incident);
        let left: Vec<_> = told.chain([&entry.incident]).cloned().collect();
        let mut violations: Vec<_> = left.iter().filter_map(|left| self.opened_for.get(left)).collect();
        let now = self.violation_of(alert, &entry.message);
        violations.extend(&now);
        // What it says was missed is left with it.
        let last = violations.iter().max().filter(|_| entry.missed > 0);
        let is_missed = |number: &u32| last.is_some_and(|last| *number <= **last);
        let is_left = |number: &u32| violations.contains(&number) || is_missed(number);
        self.recorded.retain(|(_, of, number)| *of != alert || !is_left(number));
        self.left.extend(left);
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
        self.pass(now);
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
        let alert = alert_of(item);
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
        if path_of(alert) == POOL {
            self.check_fall(item, now, &what);
        }
        if alert == HELD {
            self.check_held(item, now, &what);
        }
        let acknowledged = self.acknowledged.get(&item.incident);
        // A rule that got another name is told of anew.
        let acknowledged = acknowledged.filter(|one| one.key.name == item.rule && one.at + BEHIND < now);
        if acknowledged.is_some() && matches!(item.kind, Kind::Firing | Kind::Reminder(_)) {
            self.fail(format!("acknowledged: {what}"));
        }
        match item.kind {
            Kind::Firing => {
                let from = now.saturating_sub(BEHIND);
                if path_of(alert) != POOL && !self.violated_within(alert, from, now) {
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
                let ended = |until: Millis| self.complied_within(alert, until.saturating_sub(BEHIND), until);
                if path_of(alert) != POOL && !self.until(item, ended) {
                    self.fail(format!("nothing_false: {what}, but it was out of spec all the time"));
                }
                self.check_once(item, process, receiver, false, now, &what);
            }
            Kind::Reminder(_) | Kind::Refresh | Kind::Notice | Kind::Test => {}
        }
    }

    /// Whether that holds of when a path came back, as an item tells it: by the clock of whoever saw it. An end that
    /// would be before the beginning is the same, and tells nothing.
    fn until(&self, item: &Item, holds: impl Fn(Millis) -> bool) -> bool {
        let until = item.until.expect("a recovery tells its time");
        until == item.since || self.skews.iter().any(|skew| holds(millis(until, *skew)))
    }

    /// Whether every agent saw the pool as it had so many children, as nothing disturbed them then or since.
    fn all_saw(&self, alert: usize, count: u32) -> bool {
        let Some((from, Some(to))) = self.pool.held(count) else { return false };
        from.max(self.disturbed + BEHIND) + SOON <= to && self.is_exact(alert)
    }

    /// Whether the time since a fall is the same by the clock of each agent: the ledger tells it by that of one. By how
    /// much they differ at most is nothing beside three hours.
    fn is_exact(&self, alert: usize) -> bool {
        alert == SLOW || self.skews.iter().all(|skew| *skew == 0)
    }

    /// Whether a fall from so many may have been over at any time from `from` to `to`.
    pub fn may_be_over(&self, alert: usize, most: u32, from: Millis, to: Millis) -> bool {
        let (Some(spec), Some((_, Some(gone)))) = (drop_of(alert), self.pool.held(most)) else {
            return false;
        };
        let is_back = self.pool.counts(from, to).any(|count| !is_fallen(&spec, count, most));
        is_back || to > gone + within(&spec) || !self.is_exact(alert)
    }

    fn is_open(&self, path: usize) -> bool {
        self.violations.iter().any(|v| v.path == path && v.end.is_none())
    }

    /// For how long, at most and at a stretch, the dependency was in spec between two times. What was out of spec for no
    /// longer than `least` does not count.
    fn free(&self, from: Millis, to: Millis, least: Millis) -> Millis {
        let (mut free_from, mut longest) = (from, 0);
        for v in self.violations.iter().filter(|v| v.path == DEPENDENCY && v.start < to) {
            let end = v.end.unwrap_or(Millis::MAX);
            if end - v.start > least {
                longest = longest.max(v.start.saturating_sub(free_from));
                free_from = free_from.max(end);
            }
        }
        longest.max(to.saturating_sub(free_from))
    }

    /// Nothing but its end is told of an alert while its dependency is out of spec, and no violation that was never out of spec
    /// alone for long enough.
    fn check_held(&mut self, item: &Item, now: Millis, what: &str) {
        let tells = match item.kind {
            Kind::Firing | Kind::Reminder(_) | Kind::Notice => true,
            Kind::Late | Kind::Resolved | Kind::Refresh | Kind::Test => false,
        };
        let holds = |v: &Violation| v.path == DEPENDENCY && v.end.is_none() && v.start + BEHIND < now;
        if tells && self.violations.iter().any(holds) {
            self.fail(format!("held: {what}, while what it depends on is out of spec"));
        }
        let Some(violation) =
            self.violation(item).filter(|_| item.kind.is_firing() || item.kind == Kind::Late)
        else {
            return;
        };
        let Violation { start, end, .. } = self.violations[violation as usize];
        let alone = self.free(start, end.unwrap_or(now).min(now), SOON);
        if start > self.disturbed + BEHIND && alone + SOON < hold(HELD) {
            self.fail(format!("held: {what}, which was out of spec alone for {alone} ms at most"));
        }
    }

    /// What is told of a fall, and of its end. Agents that were blind meanwhile may have seen less of it.
    fn check_fall(&mut self, item: &Item, now: Millis, what: &str) {
        let alert = alert_of(item);
        let words = match item.kind {
            Kind::Firing => self.false_fall(alert, item, now),
            Kind::Resolved | Kind::Late => self.false_end(alert, item),
            Kind::Reminder(_) | Kind::Refresh | Kind::Notice | Kind::Test => None,
        };
        if let Some(words) = words {
            self.fail(format!("falls: {what}: {}: {words}", item.message));
        }
    }

    fn false_fall(&self, alert: usize, item: &Item, now: Millis) -> Option<String> {
        let spec = drop_of(alert)?;
        let claim @ Claim { found, most } = Claim::of(&item.message)?;
        let (Some((_, Some(gone))), Some((since, until))) = (self.pool.held(most), self.pool.held(found))
        else {
            return Some(format!("there never were {claim:?}"));
        };
        if since < gone || !is_fallen(&spec, found, most) || until.is_some_and(|end| end + BEHIND < now) {
            return Some(format!("it was otherwise: {claim:?}"));
        }
        if self.is_exact(alert) && now > gone + 2 * (within(&spec) + BEHIND) {
            return Some(format!("that was too long ago: {claim:?}"));
        }
        let is_plain = self.all_saw(alert, most) && since + SOON < gone + within(&spec);
        let mut truly = self.violations.iter().filter(|v| v.concerns(alert) && v.overlaps(now - BEHIND, now));
        (is_plain && !truly.any(|v| v.bases.contains(&most))).then(|| format!("not fallen so: {claim:?}"))
    }

    fn false_end(&self, alert: usize, item: &Item) -> Option<String> {
        let spec = drop_of(alert).filter(|_| !self.left.contains(&item.incident))?;
        let Some(ending) = Ending::of(&item.notes, &spec) else {
            return Some(format!("it does not say how it ended: {:?}", item.notes));
        };
        let Some((_, Some(gone))) = self.pool.held(ending.most()) else {
            return Some(format!("there never were so many: {ending:?}"));
        };
        // Known limit: who takes over an incident of which it saw no end, or the end of another fall after it, may name the
        // wrong one of the two ends. It names one, and tells it once; that is checked above and elsewhere.
        let began_before =
            |at: Millis| self.skews.iter().any(|skew| millis(item.since, *skew) <= at.saturating_add(BEHIND));
        if began_before(self.disturbed) {
            return None;
        }
        let passed =
            |gone: Millis, until: Millis| !self.is_exact(alert) || until + 500 > gone + within(&spec);
        let is_true = |until: Millis| match ending {
            Ending::Count(most) => {
                let mut counts = self.pool.counts(until.saturating_sub(BEHIND), until);
                counts.any(|count| !is_fallen(&spec, count, most))
            }
            Ending::Time(_) => passed(gone, until),
        };
        if !self.until(item, is_true) {
            return Some(format!("it did not end so: {ending:?}"));
        }
        let base = self.base_of.get(&item.incident).copied();
        let base = base.filter(|base| *base > ending.most());
        let (base, gone) = base.and_then(|base| Some((base, self.pool.held(base)?.1?)))?;
        let kept = self.until(item, |until| passed(gone, until));
        (!kept).then(|| format!("measured by {ending:?}, and by {base} before"))
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
        let violation = self.violation(item);
        let twice = violation.is_some_and(|violation| self.may_be_told_twice(violation));
        let overlap = twice || self.may_overlap(now);
        if !keyed && !overlap && self.tries(&item.incident, receiver, firing).any(known) {
            self.fail(format!("once: {what}, which it surely got before"));
        }
        let Some(violation) = violation else { return };
        let truth = &self.violations[violation as usize];
        // Who has not seen all of a fall may take it for two.
        let is_one = truth.bases.iter().all(|most| self.all_saw(alert_of(item), *most));
        if firing && !truth.excused && is_one && !twice {
            let other = self
                .told_as
                .get(&(receiver, alert_of(item), violation))
                .filter(|other| **other != item.incident);
            let surely = |other: &Arc<str>| self.tries(other, receiver, true).any(|attempt| attempt.arrived);
            let is_left = |other: &Arc<str>| self.left.contains(other);
            if let Some(other) = other.filter(|other| surely(other) && !is_left(other)).cloned() {
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
        let is_other = |item: &Item| self.is_outlived(&item.incident, alert, violation);
        for (start, item) in items.filter(|(_, item)| alert_of(item) == alert && !is_other(item)) {
            // Two violations may be merged at a takeover: the second is told as the incident of the first.
            let opened_for = self.opened_for.get(&item.incident) == Some(&violation);
            match item.kind {
                Kind::Firing | Kind::Late | Kind::Resolved if opened_for => return true,
                // A recovery tells both ends, so that who never got the alert understands it.
                Kind::Firing | Kind::Late | Kind::Resolved if self.violation(item) == Some(violation) => {
                    return true;
                }
                Kind::Firing | Kind::Late | Kind::Resolved
                    if tells_of_others(item) && self.violation(item) > Some(violation) =>
                {
                    return true;
                }
                // A late one tells both ends.
                Kind::Firing | Kind::Late => {
                    let opened = self.opened_for.get(&item.incident);
                    let began = opened.map_or(start, |violation| self.violations[*violation as usize].start);
                    begins.entry(&item.incident).or_insert(began);
                    if item.kind == Kind::Late {
                        ends.insert(&item.incident, start);
                    }
                }
                Kind::Resolved => drop(ends.insert(&item.incident, start)),
                Kind::Reminder(_) | Kind::Refresh | Kind::Notice | Kind::Test => {}
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
    pub fn check_alerts(&mut self, lease: Option<u64>) {
        for number in 0..self.violations.len() {
            let violation = self.violations[number].clone();
            let number = u32::try_from(number).expect("few violations");
            for alert in (0..ALERTS).filter(|alert| violation.concerns(*alert)) {
                self.check_alert(&violation, number, alert, lease);
            }
        }
    }

    /// Everything has healed, and an alert fires: a fall that has been over by time for long may be no reason.
    pub fn check_open(&mut self, alert: usize, now: Millis) {
        let is_late = !self.violated_within(alert, now - BEHIND, now);
        if path_of(alert) == POOL && self.is_exact(alert) && is_late {
            self.fail(format!("falls: {alert} still fires at {now}, and nobody could see why"));
        }
    }

    /// Whether an agent that took over had to tell of it late, and nothing kept it from doing so.
    fn is_late(&self, alert: usize, number: u32) -> bool {
        let unlocked = self.unlocked.last().copied().unwrap_or(0);
        let late = self.late.get(&(alert, number));
        late.is_some_and(|(agent, at)| self.troubled[*agent].max(unlocked) < *at)
    }

    /// Whoever hears of an alert was told of a violation, if that is owed.
    fn check_alert(&mut self, violation: &Violation, number: u32, alert: usize, lease: Option<u64>) {
        let end = violation.end.unwrap_or(Millis::MAX);
        let length = if alert == HELD { self.free(violation.start, end, 0) } else { end - violation.start };
        // What is held still has to wait, also if it had fired before, or was merged with one that had.
        let is_held = alert == HELD && self.is_open(violation.path) && self.is_open(DEPENDENCY);
        let undisturbed = match drop_of(alert) {
            None => violation.start > self.disturbed + BEHIND,
            Some(spec) => violation.bases.first().is_some_and(|most| {
                let gone = self.pool.held(*most).and_then(|(_, gone)| gone);
                // Who looks a little later may see the number when it does not count any more.
                self.all_saw(alert, *most)
                    && gone.is_some_and(|gone| violation.start + SOON < gone + within(&spec))
            }),
        } && length > hold(alert) + SOON;
        for receiver in (0..RECEIVERS).filter(|receiver| hears(alert, *receiver)) {
            let recorded = self.recorded.contains(&(receiver, alert, number));
            // Who did not see from what it fell does not take it for fallen: that is known of the pool.
            let is_open = violation.end.is_none() && path_of(alert) != POOL;
            // Another may have come since that was noted.
            let seen = self.led.contains(&(alert, number)) || self.is_late(alert, number);
            let seen = seen && self.is_alone(violation);
            let owed = (is_open || undisturbed || recorded || seen) && !is_held;
            // Each lease tries again what was refused, while there is something to tell.
            let lease = lease.filter(|_| violation.end.is_none());
            let acknowledged = self.acknowledged.iter().any(|(incident, one)| {
                let is_merged = self
                    .opened_for
                    .get(incident)
                    .is_some_and(|first| *first <= number || one.behind.contains(&receiver));
                let is_other = self.is_outlived(incident, alert, number);
                one.excuses(alert, violation, is_merged) && !is_other
            });
            let excused = violation.excused || acknowledged || self.refused(alert, receiver, lease);
            if owed && !excused && self.waits(receiver) {
                self.deferred.push((number, alert, receiver));
            } else if owed && !excused {
                self.check_told(number, alert, receiver);
            }
        }
    }

    /// Whether a receiver failed when it was tried last: after many failures the next attempt may be a minute off.
    fn waits(&self, receiver: usize) -> bool {
        let last = self.attempts.iter().rfind(|attempt| attempt.receiver == receiver);
        let known = last.and_then(|attempt| attempt.known.as_ref());
        matches!(known, Some(Outcome::Failed { .. } | Outcome::Ambiguous { .. }))
    }

    fn check_told(&mut self, number: u32, alert: usize, receiver: usize) {
        if !self.covers(number, alert, receiver) {
            let violation = &self.violations[number as usize];
            self.fail(format!(
                "at_least_once: {violation:?} (number {number}) was not told to {receiver} by alert {alert}"
            ));
        }
    }

    /// The same, when all is over, of who failed then.
    pub fn check_deferred(&mut self) {
        for (number, alert, receiver) in std::mem::take(&mut self.deferred) {
            self.check_told(number, alert, receiver);
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
            let excused = excused || self.left.contains(&incident);
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
        let is_left = |stored: &Stored| self.left.contains(&stored.entry.incident);
        if !left.values().all(|stored| late(stored) || is_left(stored)) {
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

/// Whether it says that there were earlier violations that were not told.
fn tells_of_others(item: &Item) -> bool {
    item.notes.iter().any(|note| note.starts_with("Earlier violations of this path"))
}

fn index(number: usize) -> u32 {
    u32::try_from(number).expect("few violations")
}
