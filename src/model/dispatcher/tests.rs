//! The dispatcher against a ledger that always answers at once, and receivers that answer as told.

mod told;

use std::time::SystemTime;

use super::*;
use crate::model::children::Left;
use crate::model::ledger::{Change, Entry, Mark, Stored, Write};
use crate::model::message::{Kind, Notification};
use crate::model::rule::{Rule, Specs};

/// A dispatcher and the world around it, in virtual time.
struct World {
    dispatcher: Dispatcher,
    now: Now,
    ledger: BTreeMap<Arc<str>, Stored>,
    /// Whether the ledger takes writes.
    writable: bool,
    waiting: Vec<Delivery>,
    events: Vec<Event>,
    writes: usize,
    barrier: u64,
    rules: Arc<RuleSet>,
}

#[expect(clippy::disallowed_methods, reason = "an Instant can be made in no other way; its value is free")]
fn start() -> Now {
    Now { mono: Instant::now(), wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn id(name: &str) -> ReceiverId {
    ReceiverId(name.into())
}

fn rule(path: &str, receivers: &[&str]) -> Rule {
    Rule {
        path: path.into(),
        specs: Specs::default(),
        cancel_timeout: Duration::ZERO,
        keep_firing_for: Duration::ZERO,
        repeat_interval: None,
        forget_after: Duration::ZERO,
        description: None,
        receivers: receivers.iter().map(|name| id(name)).collect(),
    }
}

/// `pager` takes no digests, `am` is refreshed; all others are plain.
fn profile(name: &str) -> Profile {
    Profile {
        id: id(name),
        name: name.into(),
        kind: "email",
        digest: name != "pager",
        keyed: name == "pager" || name == "am",
        refresh: (name == "am").then_some(secs(60)),
    }
}

impl World {
    /// Rules for `/0`, `/1` … that all tell these receivers; the agent leads.
    fn new(paths: usize, receivers: &[&str]) -> Self {
        let rules = (0..paths).map(|n| rule(&format!("/{n}"), receivers)).collect();
        Self::with(rules, receivers, BTreeMap::new())
    }

    fn with(rules: Vec<Rule>, receivers: &[&str], ledger: BTreeMap<Arc<str>, Stored>) -> Self {
        let mut world = Self::follower(rules, receivers, ledger);
        world.lead(1);
        world
    }

    fn follower(rules: Vec<Rule>, receivers: &[&str], ledger: BTreeMap<Arc<str>, Stored>) -> Self {
        let identity = Identity {
            cluster: "test".into(),
            agent: "agent".into(),
            instance: format!("i{}", ledger.len()).into(),
            seed: 1,
        };
        let rules = Arc::new(RuleSet::new(rules));
        let mut world = Self {
            dispatcher: Dispatcher::new(identity, secs(2)),
            now: start(),
            ledger,
            writable: true,
            waiting: Vec::new(),
            events: Vec::new(),
            writes: 0,
            barrier: 0,
            rules: Arc::clone(&rules),
        };
        let profiles = receivers.iter().map(|name| profile(name)).collect();
        let effects = world.dispatcher.on_receivers(profiles, secs(2), world.now);
        world.perform(effects);
        world.judged(Judged::Rules(rules));
        world
    }

    fn lead(&mut self, epoch: u64) {
        self.barrier += 1;
        let grant = Grant {
            barrier: self.barrier,
            epoch,
            entries: self.ledger.values().cloned().collect(),
            ..Grant::default()
        };
        let effects = self.dispatcher.on_lease(grant, self.now);
        self.perform(effects);
        self.judged(Judged::Barrier(self.barrier));
    }

    fn judged(&mut self, judged: Judged) {
        let effects = self.dispatcher.on_judged(judged, self.now);
        self.perform(effects);
    }

    fn transition(&mut self, path: &str, state: State) {
        let rule = Arc::clone(self.rules.for_path(path).expect("a rule"));
        self.judged(Judged::Transition(Transition { path: path.into(), rule, state, children: None }));
    }

    fn error(&mut self, path: &str) {
        self.transition(path, State::Error { message: "bad".into(), left: Left::default() });
    }

    fn ok(&mut self, path: &str) {
        self.transition(path, State::Ok);
    }

    /// Lets time pass, deadline by deadline.
    fn wait(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while let Some(at) = self.dispatcher.next_deadline().filter(|at| *at <= end.mono) {
            self.now = self.now.after(at.saturating_duration_since(self.now.mono));
            let effects = self.dispatcher.on_tick(self.now);
            self.perform(effects);
        }
        self.now = end;
        let effects = self.dispatcher.on_tick(self.now);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        let mut effects = std::collections::VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Write(write) => {
                    self.writes += 1;
                    let id = write.id;
                    let written = self.write(write);
                    effects.extend(self.dispatcher.on_written(id, written, self.now));
                }
                Effect::Deliver(delivery) => self.waiting.push(delivery),
                Effect::Log(event) => self.events.push(event),
            }
        }
    }

    fn write(&mut self, write: Write) -> Written {
        if !self.writable {
            return Written::Failed("no".to_owned());
        }
        let found = self.ledger.get(&write.path).cloned();
        let version = found.as_ref().map(|stored| stored.version);
        match (write.change, version) {
            (Change::Create(entry), None) => {
                self.ledger.insert(write.path, Stored { entry, version: 0 });
                Written::Done(0)
            }
            (Change::Set(entry, old), Some(version)) if old == version => {
                self.ledger.insert(write.path, Stored { entry, version: version + 1 });
                Written::Done(version + 1)
            }
            (Change::Delete(old), Some(version)) if old == version => {
                self.ledger.remove(&write.path);
                Written::Done(0)
            }
            (Change::Create(_) | Change::Set(..) | Change::Delete(_), _) => Written::Conflict(found),
        }
    }

    fn outcome(&mut self, delivery: &Delivery, outcome: Outcome) {
        let effects = self.dispatcher.on_outcome(delivery.id, outcome, self.now);
        self.perform(effects);
    }

    /// Answers every delivery, and lets time pass, until nothing happens within `duration`; what was told.
    fn answer(
        &mut self,
        duration: Duration,
        outcome: impl Fn(&str) -> Outcome,
    ) -> Vec<(String, Notification)> {
        let mut told = Vec::new();
        let end = self.now.after(duration);
        loop {
            while let Some(delivery) = self.waiting.pop() {
                let receiver = delivery.receiver.0.to_string();
                self.outcome(&delivery, outcome(&receiver));
                told.push((receiver, delivery.notification));
            }
            if self.now.mono >= end.mono {
                return told;
            }
            self.wait(Duration::from_millis(100));
        }
    }

    /// What was told within a minute if all is taken: receiver, kind and path of each item.
    fn told(&mut self) -> Vec<String> {
        words(&self.answer(secs(10), |_| Outcome::Accepted))
    }

    fn mark(&self, path: &str, receiver: &str) -> Option<(Mark, Mark)> {
        let progress = self.ledger.get(path)?.entry.receivers.get(&id(receiver))?;
        Some((progress.firing, progress.resolved))
    }
}

fn words(told: &[(String, Notification)]) -> Vec<String> {
    let items = told.iter().flat_map(|(receiver, notification)| {
        notification.items.iter().map(move |item| format!("{receiver} {:?} {}", item.kind, item.path))
    });
    let mut words: Vec<String> = items.collect();
    words.sort();
    words
}

fn failed() -> Outcome {
    Outcome::Failed { reason: "down".to_owned(), retry_after: None }
}

fn refused() -> Outcome {
    Outcome::Refused { reason: "never".to_owned() }
}

fn ambiguous() -> Outcome {
    Outcome::Ambiguous { reason: "lost".to_owned() }
}

#[test]
fn an_alert_and_its_recovery_reach_every_receiver_once() {
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    assert_eq!(world.mark("/0", "a"), Some((Mark::Ambiguous, Mark::Pending)), "the intent comes first");
    assert_eq!(world.told(), ["a Firing /0", "b Firing /0"]);
    assert_eq!(world.mark("/0", "a"), Some((Mark::Sent, Mark::Pending)));
    world.error("/0");
    assert_eq!(world.told(), [""; 0]);
    world.ok("/0");
    assert_eq!(world.told(), ["a Resolved /0", "b Resolved /0"]);
    assert!(world.ledger.is_empty() && world.dispatcher.cases.is_empty());
    assert!(world.dispatcher.compliant.contains("/0"));
}

#[test]
fn a_follower_runs_its_alerts_and_says_nothing() {
    let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], BTreeMap::new());
    world.error("/0");
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.dispatcher.alert_status().count(), 1);
    world.lead(7);
    assert_eq!(world.told(), ["a Firing /0"]);
}

#[test]
fn the_lease_counts_from_its_barrier_whichever_comes_first() {
    for barrier_first in [false, true] {
        let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], BTreeMap::new());
        world.error("/0");
        let grant = Grant { barrier: 9, epoch: 3, ..Grant::default() };
        if barrier_first {
            world.judged(Judged::Barrier(9));
            assert_eq!(world.dispatcher.epoch(), None);
        }
        let effects = world.dispatcher.on_lease(grant, world.now);
        world.perform(effects);
        if !barrier_first {
            assert_eq!((world.dispatcher.epoch(), world.waiting.len()), (None, 0));
            world.judged(Judged::Barrier(9));
        }
        assert_eq!(world.dispatcher.epoch(), Some(3));
        assert_eq!(world.told(), ["a Firing /0"]);
    }
}

#[test]
fn ten_thousand_paths_are_few_messages_and_none_is_missing() {
    let mut world = World::new(10_000, &["a", "pager"]);
    for n in 0..10_000 {
        world.error(&format!("/{n}"));
    }
    let told = world.answer(secs(20), |_| Outcome::Accepted);
    assert!(told.len() <= 25, "{} messages", told.len());
    for receiver in ["a", "pager"] {
        let items = told.iter().filter(|(name, _)| name == receiver).flat_map(|(_, n)| &n.items);
        let paths: BTreeSet<_> = items.map(|item| &item.path).collect();
        assert_eq!(paths.len(), 10_000, "{receiver}");
    }
    for n in 0..10_000 {
        world.ok(&format!("/{n}"));
    }
    let over = world.answer(secs(20), |_| Outcome::Accepted);
    assert!(over.len() <= 25, "{} messages", over.len());
    let key = |(receiver, notification): &(String, Notification)| {
        (receiver == "pager").then(|| Arc::clone(&notification.items[0].incident))
    };
    let keys = |told: &[(String, Notification)]| told.iter().filter_map(key).collect::<BTreeSet<_>>();
    assert_eq!(keys(&told), keys(&over), "each event that was opened is closed");
    assert!(world.ledger.is_empty());
}

#[test]
fn a_receiver_that_is_down_is_told_later() {
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    let down = |receiver: &str| if receiver == "a" { failed() } else { Outcome::Accepted };
    assert_eq!(words(&world.answer(secs(2), down)), ["a Firing /0", "a Firing /0", "b Firing /0"]);
    assert_eq!(world.mark("/0", "a"), Some((Mark::Pending, Mark::Pending)));
    world.ok("/0");
    let tried = words(&world.answer(secs(1000), down));
    assert!(tried.contains(&"a Late /0".to_owned()) && tried.contains(&"b Resolved /0".to_owned()));
    assert_eq!(words(&world.answer(secs(301), |_| Outcome::Accepted)), ["a Late /0"]);
    assert!(world.ledger.is_empty());
}

#[test]
fn patience_ends_after_a_day() {
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    let down = |receiver: &str| if receiver == "a" { failed() } else { Outcome::Accepted };
    let told = words(&world.answer(secs(25 * 3600), down));
    let tried = told.iter().filter(|words| *words == "a Firing /0").count();
    assert!((280..600).contains(&tried), "{tried} attempts");
    assert!(told.contains(&"b Notice /0".to_owned()), "the others are told");
    assert_eq!(world.mark("/0", "a"), Some((Mark::Refused, Mark::Pending)));
    world.ok("/0");
    assert_eq!(world.told(), ["b Resolved /0"]);
    assert!(world.ledger.is_empty());
}

#[test]
fn what_was_refused_is_not_tried_again_until_a_reload() {
    let mut world = World::new(1, &["a", "b"]);
    world.error("/0");
    let refuses = |receiver: &str| if receiver == "a" { refused() } else { Outcome::Accepted };
    let told = words(&world.answer(secs(3600), refuses));
    assert_eq!(told, ["a Firing /0", "b Firing /0", "b Notice /0"]);
    let effects = world.dispatcher.on_receivers(vec![profile("a"), profile("b")], secs(2), world.now);
    world.perform(effects);
    assert_eq!(world.told(), ["a Firing /0"]);
    world.ok("/0");
    assert_eq!(world.told(), ["a Resolved /0", "b Resolved /0"]);
}

#[test]
fn an_answer_that_was_lost_is_repeated_with_the_same_id() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    let first = world.answer(secs(0), |_| ambiguous());
    assert_eq!(world.mark("/0", "a"), Some((Mark::Ambiguous, Mark::Pending)));
    let again = world.answer(secs(10), |_| Outcome::Accepted);
    assert_eq!(
        (words(&first), words(&again)),
        (vec!["a Firing /0".to_owned()], vec!["a Firing /0".to_owned()])
    );
    assert_eq!(first[0].1.items[0].incident, again[0].1.items[0].incident);
}

#[test]
fn a_failure_after_a_lost_answer_leaves_it_possible_that_it_was_told() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    world.answer(secs(0), |_| ambiguous());
    world.answer(secs(3), |_| failed());
    world.ok("/0");
    assert_eq!(words(&world.answer(secs(400), |_| Outcome::Accepted)), ["a Resolved /0"]);
}

/// What a new leader tells, given the marks that it finds and what it sees.
#[test]
fn a_takeover_tells_what_was_not_surely_told() {
    #[derive(Clone, Copy)]
    enum Seen {
        Error,
        Ok,
        Nothing,
    }
    let check = |firing, resolved, over: bool, seen, expected: &[&str]| {
        let mut world = World::follower(vec![rule("/0", &["a"])], &["a"], BTreeMap::new());
        let since = world.now.wall - secs(60);
        let progress = crate::model::ledger::Progress {
            incident: "old-1".into(),
            storm: None,
            past: None,
            firing,
            resolved,
        };
        let entry = Entry {
            epoch: 3,
            incident: "old-1".into(),
            path: "/0".into(),
            since,
            until: over.then_some(world.now.wall),
            message: "bad".into(),
            receivers: BTreeMap::from([(id("a"), progress)]),
            missed: 0,
            extra: "".into(),
        };
        world.ledger.insert("/0".into(), Stored { entry, version: 4 });
        match seen {
            Seen::Error => world.error("/0"),
            Seen::Ok => world.ok("/0"),
            Seen::Nothing => {}
        }
        world.lead(9);
        let told = world.answer(secs(10), |_| Outcome::Accepted);
        let what = format!("{firing:?} {resolved:?} over: {over}");
        assert_eq!(words(&told), expected, "{what}");
        let old = |told: &(String, Notification)| &*told.1.items[0].incident == "old-1";
        assert!(told.iter().all(|told| old(told) || over), "the id stays: {what}");
    };
    use Mark::{Ambiguous, Pending, Refused, Sent};
    let none: &[&str] = &[];
    check(Sent, Pending, false, Seen::Error, none);
    check(Ambiguous, Pending, false, Seen::Error, &["a Firing /0"]);
    check(Pending, Pending, false, Seen::Error, &["a Firing /0"]);
    check(Refused, Pending, false, Seen::Error, none);
    check(Sent, Pending, false, Seen::Ok, &["a Resolved /0"]);
    check(Ambiguous, Pending, false, Seen::Ok, &["a Resolved /0"]);
    check(Pending, Pending, false, Seen::Ok, &["a Late /0"]);
    check(Refused, Pending, false, Seen::Ok, none);
    check(Sent, Pending, false, Seen::Nothing, none);
    check(Pending, Pending, false, Seen::Nothing, none);
    check(Sent, Ambiguous, true, Seen::Ok, &["a Resolved /0"]);
    check(Sent, Sent, true, Seen::Ok, none);
    check(Sent, Sent, true, Seen::Error, &["a Firing /0"]);
    check(Sent, Pending, true, Seen::Error, &["a Firing /0", "a Resolved /0"]);
    check(Pending, Pending, true, Seen::Error, &["a Firing /0"]);
}

#[test]
fn a_write_that_fails_keeps_the_attempt_back() {
    let mut world = World::new(1, &["a"]);
    world.writable = false;
    world.error("/0");
    assert_eq!(world.told(), [""; 0]);
    assert!(world.writes > 1 && world.writes < 10, "{} writes", world.writes);
    world.writable = true;
    assert_eq!(words(&world.answer(secs(40), |_| Outcome::Accepted)), ["a Firing /0"]);
}

#[test]
fn what_this_process_knows_outranks_the_ledger() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    let delivery = world.waiting.pop().expect("an attempt");
    let effects = world.dispatcher.on_lease_lost(world.now);
    world.perform(effects);
    world.outcome(&delivery, Outcome::Accepted);
    assert_eq!(world.mark("/0", "a"), Some((Mark::Ambiguous, Mark::Pending)));
    world.lead(2);
    assert_eq!(world.told(), [""; 0]);
    world.ok("/0");
    assert_eq!(world.told(), ["a Resolved /0"]);
}

#[test]
fn an_attempt_that_was_not_made_goes_back_to_what_it_was() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    let delivery = world.waiting.pop().expect("an attempt");
    world.outcome(&delivery, Outcome::NotTried);
    assert_eq!(world.mark("/0", "a"), Some((Mark::Pending, Mark::Pending)));
    assert!(world.waiting.is_empty(), "it is not asked for again at once");
    assert_eq!(world.told(), ["a Firing /0"]);
}

#[test]
fn a_new_violation_waits_for_the_recovery_that_a_receiver_is_owed() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    world.told();
    world.ok("/0");
    world.answer(secs(0), |_| failed());
    world.error("/0");
    let told = world.answer(secs(30), |_| Outcome::Accepted);
    let kinds: Vec<Kind> = told.iter().flat_map(|(_, n)| n.items.iter().map(|item| item.kind)).collect();
    assert_eq!(kinds, [Kind::Resolved, Kind::Firing]);
    assert_ne!(told[0].1.items[0].incident, told[1].1.items[0].incident);
    world.ok("/0");
    assert_eq!(world.told(), ["a Resolved /0"]);
    assert!(world.ledger.is_empty());
}

#[test]
fn violations_that_a_receiver_never_heard_of_are_merged_into_the_next() {
    let mut world = World::new(1, &["a"]);
    for _ in 0..3 {
        world.error("/0");
        world.answer(secs(1), |_| failed());
        world.ok("/0");
    }
    world.error("/0");
    let told = world.answer(secs(400), |_| Outcome::Accepted);
    assert_eq!(words(&told), ["a Firing /0"]);
    assert!(told[0].1.items[0].notes[0].ends_with(": 3"), "{:?}", told[0].1.items[0].notes);
}

#[test]
fn silences_hold_alerts_back_and_never_a_recovery() {
    let mut world = World::new(2, &["a"]);
    world.error("/0");
    assert_eq!(world.told(), ["a Firing /0"]);
    let until = world.now.wall + secs(100);
    let silence = Silence { id: "s".into(), path: "/*".into(), until, comment: "".into(), by: "".into() };
    let effects = world.dispatcher.on_silences(vec![silence], world.now);
    world.perform(effects);
    world.ok("/0");
    world.error("/1");
    assert_eq!(world.told(), ["a Resolved /0"]);
    assert_eq!(words(&world.answer(secs(100), |_| Outcome::Accepted)), ["a Firing /1"], "the silence ended");
}

#[test]
fn a_removed_rule_closes_its_incident_and_nobody_is_told() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    world.told();
    assert_eq!(world.ledger.len(), 1);
    world.judged(Judged::Rules(Arc::default()));
    assert_eq!(world.told(), [""; 0]);
    assert!(world.ledger.is_empty() && world.dispatcher.cases.is_empty());
}

#[test]
fn an_entry_that_no_rule_knows_is_left_alone_for_a_day() {
    let mut world = World::new(1, &["a"]);
    world.error("/0");
    world.told();
    let mut other = World::with(Vec::new(), &[], world.ledger.clone());
    other.wait(secs(23 * 3600));
    assert_eq!(other.ledger.len(), 1);
    other.wait(secs(2 * 3600));
    assert!(other.ledger.is_empty());
}

#[test]
fn reminders_come_by_the_interval_and_alertmanager_is_refreshed() {
    let mut reminding = rule("/0", &["a", "am"]);
    reminding.repeat_interval = Some(secs(600));
    let mut world = World::with(vec![reminding], &["a", "am"], BTreeMap::new());
    world.error("/0");
    let told = words(&world.answer(secs(1250), |_| Outcome::Accepted));
    let count = |what: &str| told.iter().filter(|words| **words == what).count();
    assert_eq!((count("a Reminder(1) /0"), count("a Reminder(2) /0"), count("a Firing /0")), (1, 1, 1));
    assert!((19..=21).contains(&count("am Refresh /0")), "{}", count("am Refresh /0"));
    world.ok("/0");
    let told = words(&world.answer(secs(200), |_| Outcome::Accepted));
    assert_eq!(told, ["a Resolved /0", "am Resolved /0"], "nothing is refreshed after the recovery");
}

#[test]
fn a_parked_agent_starts_nothing_and_notes_what_ends() {
    let mut world = World::new(2, &["a"]);
    world.error("/0");
    let effects = world.dispatcher.park(world.now);
    world.perform(effects);
    world.error("/1");
    assert!(world.dispatcher.is_busy());
    assert_eq!(world.told(), ["a Firing /0"]);
    assert_eq!(world.mark("/0", "a"), Some((Mark::Sent, Mark::Pending)));
    assert!(!world.dispatcher.is_busy() && world.ledger.len() == 1);
}

#[test]
fn compliant_paths_cost_nothing() {
    let mut world = World::new(1000, &["a"]);
    (0..1000).for_each(|n| world.ok(&format!("/{n}")));
    assert!(world.dispatcher.cases.is_empty() && world.dispatcher.next_deadline().is_none());
}
