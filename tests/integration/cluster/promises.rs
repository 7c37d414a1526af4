//! What must hold of all that receivers were told, whatever happened to the agents: contract §4's alert contract.
//!
//! Evidence is taken from outside: the znodes' changes with their times, what each receiver got and when, the
//! agents' log lines about leases, and the times at which something was done to an agent. An attempt counts as
//! unknowable if its sender was killed, stopped, paused, cut off or lost its session while, or within
//! [`NOTE`] after, the message arrived: then its outcome may not have come into the ledger. The same goes for one whose
//! sender was held up in the middle, so that another sent the message again, and which arrived after all.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::disturbances::SESSION;

/// Milliseconds since 1970.
pub type Millis = u64;

/// How long after a message arrived its outcome may still not be in the ledger, on a busy machine.
const NOTE: Millis = 1_500;
/// How long after a fault an agent may need until it acts as if there had been none.
const HEAL: Millis = 3_000;
/// How long a lease outlives the last write that was acknowledged: two thirds of the session timeout.
const LAPSE: Millis = SESSION * 1_000 * 2 / 3;
/// How soon after a fault an agent that leads again sees what is.
const BACK: Millis = 1_000;
/// For how long a leader that nothing ails must have been able to see a violation, for the violation to be owed.
const SEEN: Millis = 1_500;

/// A violation of one path, from the sending of the first request that made it to the last answer.
#[derive(Clone, Debug)]
pub struct Violation {
    pub path: String,
    pub hold_down: Millis,
    pub began: (Millis, Millis),
    pub ended: Option<(Millis, Millis)>,
}

/// One item of a message that a receiver got.
#[derive(Clone, Debug)]
pub struct Told {
    pub receiver: String,
    pub agent: String,
    pub at: Millis,
    pub path: String,
    pub incident: String,
    pub firing: bool,
    /// Whether it says that the alert did not get through, and tells both ends at once.
    pub late: bool,
    /// To the second.
    pub since: Millis,
    pub until: Option<Millis>,
}

/// Something that was done to an agent, or to all.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "what it was is for those who read a failure")]
pub struct Fault {
    pub what: &'static str,
    /// `None`: to the servers, and so to all agents.
    pub agent: Option<String>,
    pub from: Millis,
    pub until: Millis,
}

/// A lease, as the log of the agent that held it tells.
#[derive(Clone, Debug)]
pub struct Lease {
    pub agent: String,
    pub number: u64,
    pub from: Millis,
    pub until: Millis,
}

/// All that is known.
#[derive(Debug, Default)]
pub struct Evidence {
    pub violations: Vec<Violation>,
    pub told: Vec<Told>,
    pub faults: Vec<Fault>,
    pub leases: Vec<Lease>,
    pub receivers: Vec<String>,
}

/// What the judgement rests on, for those who run it: a run in which nothing was owed proves nothing.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "all of it is printed")]
pub struct Tally {
    pub violations: usize,
    pub owed: usize,
    pub messages: usize,
    pub repeats: usize,
    pub leases: usize,
    /// Leases that ended though nothing was done to their agent: how much the machine was overloaded.
    pub unprompted: usize,
}

/// The time of a wall clock.
pub fn millis(time: SystemTime) -> Millis {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Reads `2014-05-31 16:20:25,862` and `2014-05-31T16:20:25Z`, both UTC.
pub fn parse_time(text: &str) -> Option<Millis> {
    let numbers: Vec<u64> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let [year, month, day, hour, minute, second, ref rest @ ..] = numbers[..] else { return None };
    // Days since 1970-01-01, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1000 + rest.first().copied().unwrap_or(0))
}

/// The leases that an agent's log tells of. One without an end ended when the agent did.
pub fn leases(agent: &str, log: &[String], end: Millis) -> Vec<Lease> {
    let mut leases: Vec<Lease> = Vec::new();
    for line in log {
        let number = || line.split("(lease ").nth(1)?.split([',', ')']).next()?.parse().ok();
        let at = line.get(..23).and_then(parse_time);
        if line.contains("sends the alerts now (lease ") {
            let (number, from) = (number().unwrap(), at.unwrap());
            leases.push(Lease { agent: agent.to_owned(), number, from, until: end });
        } else if line.contains("does not send the alerts any more (lease ") {
            let lease = leases.last_mut().unwrap();
            assert_eq!(Some(lease.number), number(), "{agent} ends a lease that it did not begin: {line}");
            lease.until = at.unwrap();
        }
    }
    leases
}

impl Evidence {
    /// Everything that is not as it must be, in words.
    pub fn judge(&self) -> (Tally, Vec<String>) {
        let mut tally = Tally {
            violations: self.violations.len(),
            messages: self.told.len(),
            leases: self.leases.len(),
            ..Tally::default()
        };
        let end = self.end();
        let ended = self.leases.iter().filter(|lease| lease.until < end);
        tally.unprompted =
            ended.filter(|lease| !self.is_troubled(&lease.agent, lease.until, lease.until, HEAL)).count();
        let mut wrong = Vec::new();
        self.one_agent_a_lease(&mut wrong);
        self.everything_owed_arrived(&mut tally, &mut wrong);
        self.nothing_came_twice(&mut tally, &mut wrong);
        self.recoveries_follow_alerts(&mut wrong);
        self.nothing_was_made_up(&mut wrong);
        (tally, wrong)
    }

    fn end(&self) -> Millis {
        self.leases.iter().map(|lease| lease.until).max().unwrap_or(0)
    }

    fn one_agent_a_lease(&self, wrong: &mut Vec<String>) {
        let mut holders: BTreeMap<u64, Vec<&Lease>> = BTreeMap::new();
        for lease in &self.leases {
            holders.entry(lease.number).or_default().push(lease);
        }
        let shared = holders.values().filter(|holders| holders.len() > 1);
        wrong.extend(shared.map(|holders| format!("one lease, held twice: {holders:?}")));
        for told in &self.told {
            let held = self.leases.iter().any(|lease| {
                lease.agent == told.agent && lease.from <= told.at + 50 && told.at <= lease.until + NOTE
            });
            if !held && !self.is_unknowable(told) {
                wrong.push(format!("sent without a lease: {told:?}"));
            }
        }
    }

    /// Whether the agent was in trouble at that time, or soon after it.
    fn is_troubled(&self, agent: &str, from: Millis, to: Millis, after: Millis) -> bool {
        self.faults.iter().any(|fault| {
            let concerned = fault.agent.as_deref().is_none_or(|name| name == agent);
            concerned && fault.from <= to && from <= fault.until + after
        })
    }

    fn is_unknowable(&self, told: &Told) -> bool {
        // A machine that stands still for a while costs a lease too, and nothing was noted since it stood.
        let lost = |lease: &Lease| {
            lease.agent == told.agent
                && told.at <= lease.until + NOTE
                && lease.until <= told.at + LAPSE + NOTE
        };
        self.is_troubled(&told.agent, told.at, told.at + NOTE, HEAL) || self.leases.iter().any(lost)
    }

    /// Whether the later copy was begun under an older lease, and its sender held up in the middle of it.
    fn was_overtaken(&self, first: &Told, later: &Told) -> bool {
        let latest = |told: &Told| {
            let before = |lease: &&Lease| lease.agent == told.agent && lease.from <= told.at;
            self.leases.iter().filter(before).map(|lease| lease.number).max()
        };
        latest(later) < latest(first) && self.is_troubled(&later.agent, later.at, later.at, HEAL)
    }

    /// Whether a leader was well for long enough to see a violation after its hold-down.
    fn is_owed(&self, violation: &Violation, end: Millis) -> bool {
        let from = violation.began.1 + violation.hold_down;
        let to = violation.ended.map_or(end, |(ended, _)| ended);
        let mut well = 0;
        let mut at = from;
        while at < to {
            let leader = self.leases.iter().any(|lease| {
                lease.from <= at && at + LAPSE < lease.until && !self.is_troubled(&lease.agent, at, at, BACK)
            });
            well = if leader { well + 100 } else { 0 };
            if well >= SEEN {
                return true;
            }
            at += 100;
        }
        false
    }

    fn everything_owed_arrived(&self, tally: &mut Tally, wrong: &mut Vec<String>) {
        let end = self.end();
        for violation in self.violations.iter().filter(|violation| self.is_owed(violation, end)) {
            tally.owed += 1;
            for receiver in &self.receivers {
                if !self.incidents_of(violation, receiver).any(|_| true) {
                    wrong.push(format!("{receiver} never heard of {violation:?}"));
                }
            }
        }
    }

    /// The incidents that a receiver was told of and that cover a violation, wholly or in part.
    fn incidents_of<'a>(
        &'a self,
        violation: &'a Violation,
        receiver: &'a str,
    ) -> impl Iterator<Item = &'a Told> {
        let of_path = move |told: &&Told| told.receiver == receiver && told.path == violation.path;
        self.told.iter().filter(of_path).filter(move |told| {
            let until = self
                .told
                .iter()
                .filter(|end| end.incident == told.incident && end.receiver == receiver)
                .find_map(|end| end.until);
            let began_before_its_end = violation.ended.is_none_or(|(_, ended)| told.since <= ended);
            began_before_its_end && until.is_none_or(|until| until + 1_000 >= violation.began.0)
        })
    }

    fn nothing_came_twice(&self, tally: &mut Tally, wrong: &mut Vec<String>) {
        let mut ends: BTreeMap<(&str, &str, bool), Vec<&Told>> = BTreeMap::new();
        for told in &self.told {
            ends.entry((&told.receiver, &told.incident, told.firing)).or_default().push(told);
        }
        for copies in ends.values() {
            for pair in copies.windows(2) {
                tally.repeats += 1;
                if !self.is_unknowable(pair[0]) && !self.was_overtaken(pair[0], pair[1]) {
                    wrong.push(format!("told twice, though nothing befell the first sender: {pair:?}"));
                }
                if pair[0].agent == pair[1].agent {
                    wrong.push(format!("told twice by one agent, which knew better: {pair:?}"));
                }
            }
        }
        for violation in &self.violations {
            for receiver in &self.receivers {
                self.one_incident_a_violation(violation, receiver, wrong);
            }
        }
    }

    fn one_incident_a_violation(&self, violation: &Violation, receiver: &str, wrong: &mut Vec<String>) {
        let Some((ended, _)) = violation.ended else { return };
        // Times in messages are cut to the second.
        let within = |time: Millis| time >= violation.began.0 && time + 1_000 <= ended;
        let mut incidents: Vec<&Told> = self
            .told
            .iter()
            .filter(|told| told.receiver == receiver && told.path == violation.path && within(told.since))
            .collect();
        incidents.sort_by_key(|told| &told.incident);
        incidents.dedup_by_key(|told| &told.incident);
        if incidents.len() > 1 {
            wrong.push(format!("one violation told as several incidents: {violation:?}: {incidents:?}"));
        }
    }

    fn recoveries_follow_alerts(&self, wrong: &mut Vec<String>) {
        for end in self.told.iter().filter(|told| !told.firing) {
            let same = |told: &&Told| told.receiver == end.receiver && told.incident == end.incident;
            let alert = self.told.iter().filter(same).find(|told| told.firing);
            // The alert may have been about to be sent when its sender died.
            let may_have_been =
                self.faults.iter().any(|fault| fault.from <= end.at && end.since <= fault.until + HEAL);
            match alert {
                Some(alert) if end.late && !self.is_unknowable(alert) => {
                    wrong.push(format!(
                        "told of an alert that got through as if it had not: {alert:?} {end:?}"
                    ));
                }
                Some(alert) if alert.at <= end.at || self.is_unknowable(alert) => {}
                // Both ends at once: nobody can have been told of the first before.
                None if end.late || may_have_been => {}
                Some(_) | None => wrong.push(format!("a recovery without its alert: {end:?}")),
            }
        }
        for alert in self.told.iter().filter(|told| told.firing) {
            let same = |told: &&Told| told.receiver == alert.receiver && told.incident == alert.incident;
            if !self.told.iter().filter(same).any(|told| !told.firing) {
                wrong.push(format!("an alert without its recovery: {alert:?}"));
            }
        }
    }

    /// What was told was so: the path was out of spec when the incident is said to have begun.
    fn nothing_was_made_up(&self, wrong: &mut Vec<String>) {
        for told in &self.told {
            let was_so = self.violations.iter().any(|violation| {
                violation.path == told.path
                    && violation.began.0 <= told.since + 1_000
                    && violation.ended.is_none_or(|(_, ended)| told.since <= ended + HEAL)
            });
            if !was_so {
                wrong.push(format!("told of what never was: {told:?}"));
            }
        }
    }
}

#[test]
fn times_are_read() {
    let check = |text, expected| assert_eq!(parse_time(text), expected, "{text}");
    check("1970-01-01T00:00:00Z", Some(0));
    check("2014-05-31 16:20:25,862", Some(1_401_553_225_862));
    check("2000-02-29T00:00:00Z", Some(951_782_400_000));
    check("2000-03-01T00:00:00Z", Some(951_868_800_000));
    check("soon", None);
    assert_eq!(millis(UNIX_EPOCH + Duration::from_secs(3)), 3_000);
}

/// The judge finds each kind of wrong when there is one.
#[test]
fn wrongs_are_found() {
    let fine = || {
        let told = |firing, at| Told {
            receiver: "r".into(),
            agent: "a".into(),
            at,
            path: "/p".into(),
            incident: "i".into(),
            firing,
            late: false,
            since: 10_000,
            until: (!firing).then_some(20_000),
        };
        let ended = Some((20_000, 20_010));
        Evidence {
            violations: vec![Violation { path: "/p".into(), hold_down: 0, began: (10_000, 10_010), ended }],
            told: vec![told(true, 10_100), told(false, 20_100)],
            faults: Vec::new(),
            leases: vec![Lease { agent: "a".into(), number: 1, from: 0, until: 60_000 }],
            receivers: vec!["r".into()],
        }
    };
    let check = |change: fn(&mut Evidence), expected: &str| {
        let mut evidence = fine();
        change(&mut evidence);
        let wrong = evidence.judge().1.join("\n");
        assert!(wrong.contains(expected) && wrong.is_empty() == expected.is_empty(), "{expected}: {wrong}");
    };
    check(|_| {}, "");
    check(|e| e.told.clear(), "never heard");
    check(|e| drop(e.told.remove(0)), "a recovery without its alert");
    check(
        |e| {
            drop(e.told.remove(0));
            e.told[0].late = true;
        },
        "",
    );
    check(|e| e.told[1].late = true, "as if it had not");
    check(|e| drop(e.told.pop()), "an alert without its recovery");
    check(|e| e.told.push(e.told[1].clone()), "told twice");
    check(|e| e.leases.push(e.leases[0].clone()), "held twice");
    check(|e| e.leases[0].until = 15_000, "sent without a lease");
    check(|e| e.violations.clear(), "what never was");
    check(
        |e| {
            e.told.extend(e.told.clone().into_iter().map(|told| Told { incident: "j".into(), ..told }));
        },
        "several incidents",
    );
    check(
        |e| {
            let fault = |from| Fault { what: "kill", agent: Some("a".into()), from, until: from };
            e.told.insert(1, Told { agent: "b".into(), at: 13_000, ..e.told[0].clone() });
            e.leases.push(Lease { agent: "b".into(), number: 2, from: 12_000, until: 60_000 });
            e.faults.push(fault(10_500));
        },
        "",
    );
}
