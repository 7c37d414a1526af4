//! What must hold of all that receivers were told, whatever happened: contract §4.
//!
//! It is judged by the transaction log, by what the receivers logged and by what was done to whom; no agent is asked.
//!
//! *Owed* is a violation if, after its hold-down, some agent had been first in line for [`EFFECT`] (a lease that takes
//! no effect within that time ends the session) or had told something since it was, and went on writing its heartbeats for [`SEEN`], while the path could be
//! read and nothing held the alert back. It must reach every receiver in the end.
//!
//! *Unknowable* is the outcome of an attempt if its sender was harmed, lost its place in line, or was kept from hearing
//! the answer, while or soon after the message arrived. Such a message may come again.

use std::collections::{BTreeMap, BTreeSet};

use crate::disturbances::{Fault, Harm, SKEW};
use crate::messages::Messages;
use crate::told::{RECEIVERS, Told};
use crate::truth::{Lead, Span, Truth};
use crate::txnlog::Millis;
use crate::workload::Subject;
use crate::world::{ADDRESS, BLIND, FLAKY, HOOK, Life, REREAD, SESSION};

/// How soon a lease that was won is in effect, at most.
const EFFECT: Millis = 10_000;
/// How long a leader that is well may need to see a violation, on a busy machine.
const SEEN: Millis = 3_000;
/// How long a znode must have been well for an agent that is well to know that it was.
const KNOWN: Millis = 1_500;
/// Heartbeats are written every sixth of the session timeout; an agent that misses two is not well.
const GAP: Millis = SESSION * 1_000 / 2;
/// How long after a message arrived its outcome may still not be in the ledger, on a busy machine.
const NOTE: Millis = 1_500;
/// How long a message may be on its way, on a busy machine.
const SENT: Millis = 1_500;
/// How long after a harm an agent may need until it acts as if there had been none.
const HEAL: Millis = 3_000;
/// For how long after receivers were away the next attempt may be waited with.
const BACK_OFF: Millis = 20_000;
/// When the servers know that a session has expired, after the last that they heard of it: they count in ticks.
const EXPIRY: Millis = SESSION * 1_000 + 1_000;

/// All that is known.
#[derive(Debug, Default)]
pub struct Evidence {
    pub subjects: Vec<Subject>,
    pub truth: Truth,
    pub told: Messages,
    pub blind: Vec<(Millis, usize, bool)>,
    /// When each incident was tried at a webhook that refuses everything.
    pub refused: BTreeMap<String, Vec<Millis>>,
    pub faults: Vec<Fault>,
    pub lives: Vec<Life>,
}

/// What the judgement rests on: a run in which nothing was owed proves nothing.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "all of it is printed")]
pub struct Tally {
    pub violations: usize,
    pub owed: usize,
    /// Owed, with nothing between the leader and its receivers.
    pub prompt: usize,
    pub messages: usize,
    pub repeats: usize,
    pub late: usize,
    pub leads: usize,
    pub blind: usize,
    pub harms: usize,
}

impl Evidence {
    /// Everything that is not as it must be, in words.
    pub fn judge(&self) -> (Tally, Vec<String>) {
        let mut tally = Tally {
            messages: self.told.all.len(),
            late: self.told.all.iter().filter(|told| told.late).count(),
            leads: self.truth.leads.len(),
            blind: self.blind.len(),
            harms: self.faults.len(),
            ..Tally::default()
        };
        let contradictions = self.truth.contradictions.iter();
        let mut wrong: Vec<String> = contradictions
            .map(|(at, what)| format!("the servers contradict themselves at {at}: {what}"))
            .collect();
        for index in 0..self.subjects.len() {
            self.everything_owed_arrived(index, &mut tally, &mut wrong);
            self.one_incident_a_violation(index, &mut wrong);
        }
        self.nothing_came_twice(&mut tally, &mut wrong);
        self.ends_follow_beginnings(&mut wrong);
        self.nothing_was_made_up(&mut wrong);
        self.held_alerts_waited(&mut wrong);
        self.the_silenced_were_silent(&mut wrong);
        self.only_the_first_in_line_told(&mut wrong);
        self.the_blind_were_blind(&mut wrong);
        self.refusals_were_taken(&mut wrong);
        (tally, wrong)
    }

    fn everything_owed_arrived(&self, index: usize, tally: &mut Tally, wrong: &mut Vec<String>) {
        let subject = &self.subjects[index];
        for violation in self.truth.violations(index) {
            tally.violations += 1;
            let Some((at, agent)) = self.owed_at(index, violation) else { continue };
            tally.owed += 1;
            self.arrived_in_time(index, violation, at, agent, tally, wrong);
            for receiver in RECEIVERS {
                if !self.is_covered(&subject.alert(), violation, receiver) {
                    wrong.push(format!(
                        "{receiver} never heard of {} {violation:?}, owed at {at} by {agent}",
                        subject.alert()
                    ));
                }
            }
        }
    }

    /// Where nothing kept its sender from the receivers, what is owed has arrived by then.
    fn arrived_in_time(
        &self,
        index: usize,
        violation: Span,
        at: Millis,
        agent: &str,
        tally: &mut Tally,
        wrong: &mut Vec<String>,
    ) {
        let (alert, seat) = (&self.subjects[index].alert(), self.life(agent).unwrap().seat);
        let kept = |fault: &Fault| {
            let severed = fault.harm.is_of_the_network() && fault.harm.concerns_agent(seat);
            let concerned = fault.harm == Harm::ReceiversDown || severed;
            concerned && fault.from <= at && at <= fault.until + BACK_OFF
        };
        if self.faults.iter().any(kept) {
            return;
        }
        tally.prompt += 1;
        let first =
            self.told.of(alert, HOOK).filter(|told| told.at >= violation.from).map(|told| told.at).min();
        // One whose recovery before it nobody could see is merged with it.
        let mut before = self.told.of(alert, HOOK).filter(|told| told.firing && told.at <= at + SENT);
        let is_known = before.any(|told| self.may_overlap(told, violation));
        if !is_known && first.is_none_or(|first| first > at + SENT) {
            wrong.push(format!("{alert} {violation:?}, owed at {at} by {agent}, was told late: {first:?}"));
        }
    }

    /// When a violation was owed first, and by whom.
    fn owed_at(&self, index: usize, violation: Span) -> Option<(Millis, &str)> {
        let subject = &self.subjects[index];
        let mut clear = vec![violation];
        clear = intersect(&clear, &self.readable(index));
        clear = intersect(&clear, &self.truth.spans(index, |state| !state.is_silenced));
        if let Some(base) = subject.depends_on {
            let base = self.subjects.iter().position(|subject| subject.path == base).unwrap();
            clear = intersect(&clear, &self.truth.spans(base, |state| !state.is_bad));
        }
        let owed = clear.iter().flat_map(|span| {
            let led = move |lead: &&Lead| lead.span.from < span.end() && span.from < lead.span.end();
            let lead = |lead| self.owed_by(index, violation, *span, lead);
            self.truth.leads.iter().filter(led).filter_map(lead)
        });
        owed.min_by_key(|(at, _)| *at)
    }

    fn owed_by<'a>(
        &self,
        index: usize,
        violation: Span,
        clear: Span,
        lead: &'a Lead,
    ) -> Option<(Millis, &'a str)> {
        let subject = &self.subjects[index];
        let life = self.life(&lead.agent)?;
        if subject.needs_memory && !self.knew_it_well(index, life, &lead.agent, violation.from) {
            return None;
        }
        // A hold-down starts anew in each process.
        let seen = clear.from.max(life.from + SEEN);
        let mut at = (seen + subject.hold_down).max(self.in_effect(lead));
        // A lock may outlive the session that its holder has heard of last.
        let sessions = self.truth.sessions.get(&lead.agent).into_iter().flatten();
        let other = sessions.filter(|at| **at > lead.span.from).min().copied().unwrap_or(Millis::MAX);
        let end = clear.end().min(lead.span.end()).min(other);
        while at.saturating_add(SEEN) <= end && at < self.last() {
            if self.truth.beats_on(&lead.agent, at, at + SEEN, GAP) {
                return Some((at + SEEN, &lead.agent));
            }
            at += 500;
        }
        None
    }

    /// When a lease is in effect: at the latest when its holder has told something.
    fn in_effect(&self, lead: &Lead) -> Millis {
        let told = self.told.between(lead.span.from, lead.span.end().min(lead.span.from + EFFECT));
        let first = told.iter().find(|told| told.pid == pid_of(&lead.agent)).map(|told| told.at);
        first.unwrap_or(Millis::MAX).min(lead.span.from + EFFECT)
    }

    /// Whether a process saw a path well, before.
    fn knew_it_well(&self, index: usize, life: &Life, agent: &str, before: Millis) -> bool {
        let well = self.truth.spans(index, |state| !state.is_bad && state.is_readable);
        well.iter().any(|span| {
            let until = span.end().min(before);
            let mut at = span.from.max(life.from + SEEN);
            while at + KNOWN <= until {
                if self.truth.beats_on(agent, at, at + KNOWN, GAP) {
                    return true;
                }
                at += 500;
            }
            false
        })
    }

    /// When a path could be read, and whoever could not before had found out.
    fn readable(&self, index: usize) -> Vec<Span> {
        let mut spans = self.truth.spans(index, |state| state.is_readable);
        for span in spans.iter_mut().skip(1) {
            span.from += REREAD * 1_000;
        }
        spans
    }

    fn last(&self) -> Millis {
        self.truth.beats.values().flatten().max().copied().unwrap_or(0)
    }

    fn life(&self, agent: &str) -> Option<&Life> {
        self.lives.iter().find(|life| life.pid == pid_of(agent))
    }

    /// By how much a time in a message may be wrong: it is by the sender's clock, and cut to the second.
    fn blur(&self) -> Millis {
        let steps = self.faults.iter().any(|fault| matches!(fault.harm, Harm::Clock(..)));
        1_000 + if steps { SKEW } else { 0 }
    }

    /// Whether a receiver was told of an incident that covers a violation, wholly or in part, or that there were others
    /// before.
    fn is_covered(&self, alert: &str, violation: Span, receiver: &'static str) -> bool {
        self.told
            .of(alert, receiver)
            .any(|told| self.may_overlap(told, violation) || (told.missed && told.at > violation.from))
    }

    /// Whether an incident may cover a violation, wholly or in part.
    fn may_overlap(&self, told: &Told, violation: Span) -> bool {
        let (blur, until) = (self.blur(), self.told.incident(told).until);
        told.since <= violation.end().saturating_add(blur)
            && until.is_none_or(|until| until + blur >= violation.from)
    }

    fn one_incident_a_violation(&self, index: usize, wrong: &mut Vec<String>) {
        let alert = &self.subjects[index].alert();
        for violation in self.truth.violations(index) {
            for receiver in RECEIVERS {
                let told = self.told.of(alert, receiver).filter(|told| self.surely_overlaps(told, violation));
                let incidents: BTreeSet<&str> = told.map(|told| told.incident.as_str()).collect();
                if incidents.len() > 1 {
                    wrong.push(format!("{alert} {violation:?} was told as {incidents:?} to {receiver}"));
                }
            }
        }
    }

    /// Whether an incident began before a violation's end, and did not end before its beginning. One that was first told
    /// after that end and went on is of a later violation: its sender did not see the time between the two.
    fn surely_overlaps(&self, told: &Told, violation: Span) -> bool {
        let incident = self.told.incident(told);
        let (first, until) = (incident.first, incident.until.unwrap_or(Millis::MAX));
        let is_later = first > violation.end() && until > violation.end().saturating_add(self.blur());
        let blur = self.blur();
        until >= violation.from + blur && told.since.saturating_add(blur) <= violation.end() && !is_later
    }

    fn nothing_came_twice(&self, tally: &mut Tally, wrong: &mut Vec<String>) {
        let mut ends: BTreeMap<(&str, &str, bool), Vec<&Told>> = BTreeMap::new();
        // An Alertmanager is told again and again by contract.
        for told in self.told.all.iter().filter(|told| told.receiver != crate::world::MANAGER) {
            ends.entry((told.receiver, &told.incident, told.firing)).or_default().push(told);
        }
        for copies in ends.values() {
            for pair in copies.windows(2) {
                tally.repeats += 1;
                let [first, later] = pair else { unreachable!() };
                if !self.may_come_again(first, later) {
                    wrong.push(format!("told twice, though nothing befell the first sender: {pair:#?}"));
                }
            }
        }
    }

    fn may_come_again(&self, first: &Told, later: &Told) -> bool {
        let unheard = self.is_unheard(first);
        if first.pid == later.pid {
            return unheard;
        }
        unheard
            || self.is_harmed(first.seat, first.at, first.at + NOTE)
            || self.loses_its_place(first)
            // Or the later one was begun first, and its sender held up in the middle of it.
            || self.is_harmed(later.seat, first.at, later.at)
    }

    /// Whether something befell an agent within this time, or shortly before it.
    fn is_harmed(&self, seat: usize, from: Millis, until: Millis) -> bool {
        let mut faults = self.faults.iter().filter(|fault| fault.harm.concerns_agent(seat));
        faults.any(|fault| fault.from <= until && from <= fault.until + HEAL)
    }

    /// Whether the answer to a message may not have come back.
    fn is_unheard(&self, told: &Told) -> bool {
        let concerned = |harm: Harm| {
            harm == Harm::ReceiversDown
                || (matches!(harm, Harm::Misbehave(_)) && [FLAKY, ADDRESS].contains(&told.receiver))
                || (harm.is_of_the_network() && harm.concerns_agent(told.seat))
        };
        let mut faults = self.faults.iter().filter(|fault| concerned(fault.harm));
        faults.any(|fault| fault.from <= told.at + NOTE && told.at <= fault.until + HEAL)
    }

    /// Whether the sender was not first in line any more so soon after that the outcome may not have been noted.
    fn loses_its_place(&self, told: &Told) -> bool {
        self.leads_of(told).any(|lead| {
            lead.span.until.is_some_and(|until| told.at <= until + NOTE && until <= told.at + NOTE + EXPIRY)
        })
    }

    fn leads_of<'a>(&'a self, told: &'a Told) -> impl Iterator<Item = &'a Lead> {
        self.truth.leads.iter().filter(move |lead| pid_of(&lead.agent) == told.pid)
    }

    fn ends_follow_beginnings(&self, wrong: &mut Vec<String>) {
        for end in self.told.all.iter().filter(|told| !told.firing) {
            match self.told.alert(end) {
                Some(alert) if end.late && !self.is_unheard(alert) && !self.may_come_again(alert, end) => {
                    wrong.push(format!("told as if its alert had not got through: {alert:#?} {end:#?}"));
                }
                // What was noted as an alert may be told late. Should its sender lose its place before it notes that, and the
                // path fall again, the incident goes on.
                Some(alert)
                    if alert.at > end.at
                        && !self.is_harmed(alert.seat, end.at, alert.at)
                        && !self.loses_its_place(end) =>
                {
                    wrong.push(format!("an end before its alert: {alert:#?} {end:#?}"));
                }
                Some(_) | None => {}
            }
        }
        for alert in self.told.all.iter().filter(|told| told.firing) {
            if !self.told.incident(alert).is_over {
                wrong.push(format!("an alert without its recovery: {alert:#?}"));
            }
        }
    }

    /// What was told had happened when it was told: the path was out of spec for its hold-down, somebody could see that,
    /// and it was back where an end is told.
    fn nothing_was_made_up(&self, wrong: &mut Vec<String>) {
        let slack = self.blur() + EXPIRY;
        for told in &self.told.all {
            let Some(index) = self.subjects.iter().position(|subject| subject.alert() == told.alert) else {
                wrong.push(format!("told of a path that nobody asked about: {told:#?}"));
                continue;
            };
            let visible = self.truth.spans(index, |state| state.is_readable);
            let mut violations = self.truth.violations(index).into_iter().filter(|violation| {
                violation.from + self.subjects[index].hold_down <= told.at
                    && violation.from <= told.since + self.blur()
                    && told.since <= violation.end().saturating_add(slack)
                    && !intersect(&[*violation], &visible).is_empty()
            });
            let was_so = violations.any(|violation| told.firing || violation.end() <= told.at);
            if !was_so {
                let states = &self.truth.states[index];
                wrong.push(format!("told of what never was: {told:#?}, which was {states:?}"));
            }
        }
    }

    /// An alert waits while what its rule depends on is out of spec.
    fn held_alerts_waited(&self, wrong: &mut Vec<String>) {
        for told in self.told.all.iter().filter(|told| told.firing && told.receiver == HOOK) {
            let subject = self.subjects.iter().find(|subject| subject.alert() == told.alert);
            let Some(base) = subject.and_then(|subject| subject.depends_on) else { continue };
            let base = self.subjects.iter().position(|subject| subject.path == base).unwrap();
            let well = self.truth.spans(base, |state| !state.is_bad);
            let before = told.at.saturating_sub(EXPIRY + SEEN);
            let was_well = well.iter().any(|span| span.from <= told.at && before <= span.end());
            if !was_well && !self.is_unheard(told) {
                wrong.push(format!("told though it was to be held back: {told:#?}"));
            }
        }
    }

    /// Of what is silenced no alert leaves.
    fn the_silenced_were_silent(&self, wrong: &mut Vec<String>) {
        for (index, subject) in self.subjects.iter().enumerate() {
            let silences = self.truth.spans(index, |state| state.is_silenced);
            for told in self.told.of(&subject.alert(), HOOK).filter(|told| told.firing) {
                let is_silenced = |span: &Span| span.from + EXPIRY + SEEN < told.at && told.at < span.end();
                if silences.iter().any(is_silenced) && !self.is_unheard(told) {
                    wrong.push(format!("told though it was silenced: {told:#?}"));
                }
            }
        }
    }

    /// A webhook's message arrives as soon as it is sent, unless the network is disturbed.
    fn only_the_first_in_line_told(&self, wrong: &mut Vec<String>) {
        for told in self.told.all.iter().filter(|told| told.receiver != ADDRESS) {
            let mut leads = self.leads_of(told);
            let held = leads
                .any(|lead| lead.span.from <= told.at && told.at <= lead.span.end().saturating_add(NOTE));
            if !held && !self.is_unheard(told) && !self.was_under_way(told) {
                wrong.push(format!("sent by an agent that was not first in line: {told:#?}"));
            }
        }
    }

    /// Whether it arrived as soon as its sender went on after a pause, or was sent again after packets were lost: what was
    /// begun before cannot be called back. TCP waits twice as long each time.
    fn was_under_way(&self, told: &Told) -> bool {
        const AWAKE: Millis = 1_500;
        let mut faults = self.faults.iter().filter(|fault| fault.from < told.at);
        faults.any(|fault| {
            let is_pause = fault.harm == Harm::PauseAgent(told.seat);
            let is_loss = fault.harm.is_of_the_network() && fault.harm.concerns_agent(told.seat);
            let late = if is_pause { AWAKE } else { HEAL.max(fault.until.saturating_sub(fault.from)) };
            (is_pause || is_loss) && told.at <= fault.until.saturating_add(late)
        })
    }

    /// Who says that it is blind had written nothing for as long as it must be blind.
    fn the_blind_were_blind(&self, wrong: &mut Vec<String>) {
        /// For how long the message may have been tried before it got through.
        const TRIES: Millis = 60_000;
        for (at, seat, _) in self.blind.iter().filter(|(.., firing)| *firing) {
            let mut lives = self.lives.iter().filter(|life| life.seat == *seat && life.from <= *at);
            let life = lives.next_back().unwrap();
            let agent = self.truth.beats.keys().find(|agent| pid_of(agent) == life.pid);
            let Some(agent) = agent else { continue };
            let start = life.from.max(at.saturating_sub(TRIES));
            let beats = self.truth.beats[agent].iter().copied().filter(|beat| (start..*at).contains(beat));
            let moments: Vec<Millis> = [start].into_iter().chain(beats).chain([*at]).collect();
            if !moments.windows(2).any(|pair| pair[1] - pair[0] + 500 >= BLIND * 1_000) {
                wrong.push(format!(
                    "{agent} said at {at} that it was blind, and wrote its node at {moments:?}"
                ));
            }
        }
    }
}

impl Evidence {
    /// What is refused for good is tried again once by each lease and each reload; a digest is halved, and so tried a few
    /// times.
    fn refusals_were_taken(&self, wrong: &mut Vec<String>) {
        const HALVINGS: usize = 5;
        if self.refused.is_empty() {
            wrong.push("nobody tried the webhook that refuses".into());
        }
        for (incident, times) in &self.refused {
            let (first, last) = (times[0], times[times.len() - 1]);
            let leads = self.truth.leads.iter();
            let leads = leads.filter(|lead| lead.span.from <= last && first <= lead.span.end()).count();
            let reloads = self.faults.iter().filter(|fault| fault.harm == Harm::Reload);
            let reloads = reloads.filter(|fault| (first..=last).contains(&fault.from)).count();
            if times.len() > HALVINGS * (leads + reloads).max(1) {
                wrong.push(format!("refused, and tried again and again: {incident} at {times:?}"));
            }
        }
    }
}

/// The process that an agent's name ends with.
fn pid_of(agent: &str) -> u32 {
    agent.rsplit('-').next().and_then(|pid| pid.parse().ok()).expect("an agent's name")
}

/// The times that are in a span of each.
fn intersect(these: &[Span], those: &[Span]) -> Vec<Span> {
    let pairs = these.iter().flat_map(|this| those.iter().map(move |that| (this, that)));
    let both = pairs.map(|(this, that)| {
        let until = this.end().min(that.end());
        Span { from: this.from.max(that.from), until: (until != Millis::MAX).then_some(until) }
    });
    both.filter(|span| span.from < span.end()).collect()
}

/// The oracle finds each kind of wrong when there is one.
#[test]
fn wrongs_are_found() {
    let check = |change: fn(&mut Evidence), expected: &str| {
        let mut evidence = fine();
        change(&mut evidence);
        evidence.told = Messages::new(evidence.told.all);
        let wrong = evidence.judge().1.join("\n");
        assert!(wrong.contains(expected) && wrong.is_empty() == expected.is_empty(), "{expected}: {wrong}");
    };
    let fault = |harm| Fault { harm, from: 30_000, until: 31_000 };
    check(|_| {}, "");
    check(|evidence| evidence.told.all.clear(), "never heard");
    check(|evidence| evidence.told.all.retain(|told| told.receiver != FLAKY), "never heard");
    check(|evidence| evidence.told.all.retain(|told| told.receiver != HOOK || !told.firing), "was told late");
    check(|evidence| evidence.told.all.retain(|told| told.firing), "an alert without its recovery");
    check(|evidence| evidence.told.all.iter_mut().for_each(|told| told.at += 100_000), "not first in line");
    check(|evidence| evidence.told.all.extend(evidence.told.all.clone()), "told twice");
    check(|evidence| evidence.told.all[0].alert = "/b".into(), "nobody asked about");
    check(|evidence| evidence.told.all.iter_mut().for_each(|told| told.since = 60_000), "what never was");
    check(|evidence| evidence.told.all.iter_mut().for_each(|told| told.at = 29_000), "what never was");
    check(|evidence| evidence.told.all[4].at = 35_000, "what never was");
    check(|evidence| evidence.refused.get_mut("i").unwrap().extend([30_100; 5]), "again and again");
    check(|evidence| evidence.refused.clear(), "nobody tried");
    check(
        |evidence| {
            let silenced = |state: &mut (Millis, crate::truth::State)| state.1.is_silenced = true;
            evidence.truth.states[0].iter_mut().for_each(silenced);
        },
        "it was silenced",
    );
    check(|evidence| evidence.blind.push((30_000, 0, true)), "that it was blind");
    check(|evidence| evidence.truth.contradictions.push((1, "/a".into())), "contradict");
    check(
        |evidence| {
            let other = Told { incident: "j".into(), since: 35_000, ..evidence.told.all[0].clone() };
            evidence
                .told
                .all
                .extend([other.clone(), Told { firing: false, at: 40_100, until: Some(40_000), ..other }]);
        },
        "was told as",
    );
    // What keeps an answer from being heard, or its sender from noting it, excuses that it comes again.
    for harm in [Harm::ReceiversDown, Harm::Loss(crate::network::AGENTS[0], crate::network::RECEIVERS, 9)] {
        let mut evidence = fine();
        evidence.told.all.push(evidence.told.all[0].clone());
        evidence.told = Messages::new(evidence.told.all);
        evidence.faults.push(fault(harm));
        assert_eq!(evidence.judge().1, [""; 0], "{harm:?}");
    }
}

/// A violation that everybody was told of in time.
#[cfg(test)]
fn fine() -> Evidence {
    use crate::truth::State;
    let alert = crate::workload::subjects()[0].alert();
    let state = |is_bad| State { is_bad, is_readable: true, is_silenced: false };
    let told = |receiver, firing, at| Told {
        receiver,
        seat: 0,
        pid: 7,
        at,
        alert: alert.clone(),
        incident: "i".into(),
        firing,
        late: false,
        missed: false,
        since: 30_000,
        until: (!firing).then_some(40_000),
    };
    let span = Span { from: 1_000, until: None };
    let agent = "host-7".to_owned();
    Evidence {
        subjects: crate::workload::subjects()[..1].to_vec(),
        truth: Truth {
            states: vec![vec![(0, state(false)), (30_000, state(true)), (40_000, state(false))]],
            leads: vec![Lead {
                lock: String::new(),
                agent: agent.clone(),
                span: Span { until: Some(120_000), ..span },
            }],
            beats: [(agent, (1..200).map(|beat| beat * 500).collect())].into(),
            sessions: Default::default(),
            contradictions: Vec::new(),
        },
        told: Messages::new(
            [(true, 30_100), (false, 40_100)]
                .into_iter()
                .flat_map(|(firing, at)| RECEIVERS.map(|receiver| told(receiver, firing, at)))
                .collect(),
        ),
        blind: Vec::new(),
        refused: [("i".to_owned(), vec![30_100])].into(),
        faults: Vec::new(),
        lives: vec![Life { seat: 0, pid: 7, from: 0, until: None }],
    }
}
