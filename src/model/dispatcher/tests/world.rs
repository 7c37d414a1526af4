//! A ledger that always answers at once, and receivers that answer as told.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::super::*;
use crate::model::children::Left;
use crate::model::ledger::{Change, Mark, Stored, Write, Written};
use crate::model::message::Notification;
use crate::model::rule::{Rule, Terms};
use crate::model::status::Until;

/// For how long nobody led before, as far as a new leader knows.
pub const VACANCY: Duration = Duration::from_secs(10);

/// A dispatcher and the world around it, in virtual time.
pub struct World {
    pub dispatcher: Dispatcher,
    pub now: Now,
    pub ledger: BTreeMap<Arc<str>, Stored>,
    /// Whether the ledger takes writes.
    pub writable: bool,
    /// Writes that a slow ledger has yet to answer; `None` is a ledger that answers at once.
    pub held: Option<Vec<Write>>,
    pub waiting: Vec<Attempt>,
    pub events: Vec<Report>,
    pub writes: usize,
    pub barrier: u64,
    pub silences: Vec<Silence>,
    pub rules: Arc<RuleSet>,
}

#[expect(clippy::disallowed_methods, reason = "an Instant can be made in no other way; its value is free")]
pub fn start() -> Now {
    Now { mono: Instant::now(), wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) }
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn id(name: &str) -> ReceiverId {
    ReceiverId(name.into())
}

pub fn rule(path: &str, receivers: &[&str]) -> Rule {
    let receivers = receivers.iter().map(|name| id(name)).collect();
    Rule { path: path.into(), terms: Arc::new(Terms { receivers, ..Terms::default() }) }
}

/// `pager` and its like take no digests, `am` is refreshed; all others are plain.
pub fn profile(name: &str) -> Profile {
    Profile {
        id: id(name),
        name: name.into(),
        public_name: name.into(),
        kind: if name.starts_with("pager") { "pagerduty" } else { "email" },
        digest: !name.starts_with("pager"),
        keyed: name.starts_with("pager") || name == "am",
        refresh: (name == "am").then_some(secs(60)),
    }
}

impl World {
    /// Rules for `/0`, `/1` … that all tell these receivers; the agent leads.
    pub fn new(paths: usize, receivers: &[&str]) -> Self {
        let rules = (0..paths).map(|n| rule(&format!("/{n}"), receivers)).collect();
        Self::with(rules, receivers, BTreeMap::new())
    }

    pub fn with(rules: Vec<Rule>, receivers: &[&str], ledger: BTreeMap<Arc<str>, Stored>) -> Self {
        let mut world = Self::follower(rules, receivers, ledger);
        world.lead(1);
        world
    }

    pub fn follower(rules: Vec<Rule>, receivers: &[&str], ledger: BTreeMap<Arc<str>, Stored>) -> Self {
        let identity = Speaker {
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
            held: None,
            waiting: Vec::new(),
            events: Vec::new(),
            writes: 0,
            barrier: 0,
            silences: Vec::new(),
            rules: Arc::clone(&rules),
        };
        let profiles = receivers.iter().map(|name| profile(name)).collect();
        let effects = world.dispatcher.handle(Input::Receivers(profiles, secs(2)), world.now);
        world.perform(effects);
        world.judged(EvaluatorOutput::Rules(rules));
        world
    }

    pub fn lead(&mut self, epoch: u64) {
        self.barrier += 1;
        let grant = Takeover {
            barrier: self.barrier,
            epoch,
            entries: self.ledger.values().cloned().collect(),
            vacant_since: self.now.mono.checked_sub(VACANCY),
            silences: self.silences.clone(),
            ..Takeover::default()
        };
        let effects = self.dispatcher.handle(Input::Granted(grant), self.now);
        self.perform(effects);
        self.judged(EvaluatorOutput::Barrier(self.barrier));
    }

    /// The silences are these from now on, for this leader and those after it.
    pub fn silence(&mut self, silences: Vec<Silence>) {
        self.silences.clone_from(&silences);
        let effects = self.dispatcher.handle(Input::Silences(silences), self.now);
        self.perform(effects);
    }

    /// An acknowledgement of what is open.
    pub fn acknowledge(&mut self) {
        let open = self.ledger.values().map(|stored| &stored.entry).filter(|entry| entry.until.is_none());
        let open = open.map(|entry| (entry.key.clone(), Arc::clone(&entry.incident))).collect();
        let until = Until::Recovery(open);
        self.silence(vec![Silence {
            id: "s".into(),
            path: "/*".into(),
            until,
            comment: "".into(),
            by: "".into(),
        }]);
    }

    pub fn judged(&mut self, judged: EvaluatorOutput) {
        let effects = self.dispatcher.handle(Input::Evaluated(judged), self.now);
        self.perform(effects);
    }

    pub fn transition(&mut self, path: &str, state: State) {
        let (path, name) = path.split_once('@').map_or((path, None), |(path, name)| (path, Some(name)));
        let key = AlertKey { path: path.into(), name: name.map(Into::into) };
        let rule = Arc::clone(self.rules.rule(&key).expect("a rule"));
        self.judged(EvaluatorOutput::Transition(Transition {
            key,
            rule,
            state,
            children: None,
            course: None,
        }));
    }

    pub fn error(&mut self, path: &str) {
        self.transition(path, State::Error { message: "bad".into(), left: Left::default(), counted: None });
    }

    pub fn ok(&mut self, path: &str) {
        self.transition(path, State::Ok);
    }

    /// Lets time pass, deadline by deadline.
    pub fn wait(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while let Some(at) = self.dispatcher.next_deadline().filter(|at| *at <= end.mono) {
            self.now = self.now.after(at.saturating_duration_since(self.now.mono));
            let effects = self.dispatcher.handle(Input::Tick, self.now);
            self.perform(effects);
        }
        self.now = end;
        let effects = self.dispatcher.handle(Input::Tick, self.now);
        self.perform(effects);
    }

    pub fn perform(&mut self, effects: Vec<Effect>) {
        let mut effects = std::collections::VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Write(write) => {
                    self.writes += 1;
                    if let Some(held) = &mut self.held {
                        held.push(write);
                        continue;
                    }
                    let id = write.id;
                    let written = self.write(write);
                    effects.extend(self.dispatcher.handle(Input::Written(id, written), self.now));
                }
                Effect::Attempt(delivery) => self.waiting.push(delivery),
                Effect::Log(event) => self.events.push(event),
            }
        }
    }

    /// The slow ledger answers all that waits, and what follows from that, until nothing waits.
    pub fn release(&mut self) {
        while let Some(write) = self.held.as_mut().filter(|held| !held.is_empty()).map(|held| held.remove(0))
        {
            let id = write.id;
            let written = self.write(write);
            let effects = self.dispatcher.handle(Input::Written(id, written), self.now);
            self.perform(effects);
        }
    }

    fn modified(&self) -> i64 {
        i64::try_from(self.writes).expect("few")
    }

    pub fn write(&mut self, write: Write) -> Written {
        if !self.writable {
            return Written::Failed("no".to_owned());
        }
        let found = self.ledger.get(&*write.key.to_string()).cloned();
        let version = found.as_ref().map(|stored| stored.version);
        match (write.change, version) {
            (Change::Create(entry), None) => {
                let stored = Stored { entry, version: 0, modified: self.modified() };
                self.ledger.insert(write.key.to_string().into(), stored);
                Written::Done(0)
            }
            (Change::Set(entry, old), Some(version)) if old == version => {
                let stored = Stored { entry, version: version + 1, modified: self.modified() };
                self.ledger.insert(write.key.to_string().into(), stored);
                Written::Done(version + 1)
            }
            (Change::Delete(old), Some(version)) if old == version => {
                self.ledger.remove(&*write.key.to_string());
                Written::Done(0)
            }
            (Change::Create(_) | Change::Set(..) | Change::Delete(_), _) => {
                Written::Conflict(found.map(Box::new))
            }
        }
    }

    pub fn outcome(&mut self, delivery: &Attempt, outcome: Outcome) {
        let effects = self.dispatcher.handle(Input::Outcome(delivery.id, outcome), self.now);
        self.perform(effects);
    }

    /// Answers the delivery that a receiver waits for.
    pub fn land(&mut self, receiver: &str, outcome: Outcome) -> Attempt {
        let place = self.waiting.iter().position(|delivery| *delivery.receiver.0 == *receiver);
        let delivery = self.waiting.remove(place.expect("a delivery is asked for"));
        self.outcome(&delivery, outcome);
        delivery
    }

    /// Answers every delivery, and lets time pass, until nothing happens within `duration`; what was told.
    pub fn answer(
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
    pub fn told(&mut self) -> Vec<String> {
        words(&self.answer(secs(10), |_| Outcome::Accepted))
    }

    pub fn mark(&self, path: &str, receiver: &str) -> Option<(Mark, Mark)> {
        let progress = self.ledger.get(path)?.entry.receivers.get(&id(receiver))?;
        Some((progress.firing, progress.resolved))
    }
}

pub fn words(told: &[(String, Notification)]) -> Vec<String> {
    let items = told.iter().flat_map(|(receiver, notification)| {
        notification.items.iter().map(move |item| format!("{receiver} {:?} {}", item.kind, item.alert()))
    });
    let mut words: Vec<String> = items.collect();
    words.sort();
    words
}

pub fn failed() -> Outcome {
    Outcome::Failed { reason: "down".to_owned(), retry_after: None }
}

pub fn refused() -> Outcome {
    Outcome::Refused { reason: "never".to_owned() }
}

pub fn ambiguous() -> Outcome {
    Outcome::Ambiguous { reason: "lost".to_owned() }
}
