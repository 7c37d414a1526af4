//! What would have been told, had other rules been in force: the events of a journal through the evaluator and the
//! dispatcher that the daemon runs, in their own time.
//!
//! It is as if this agent had led all the time, and each receiver had taken everything at once. What rules ask beyond
//! numbers was judged when it was read ([`Recorded`]), and is not judged again.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::alert_key::AlertKey;
use super::dispatcher::{Attempt, Dispatcher, Effect, Input, Profile, Speaker, Takeover};
use super::evaluator::Evaluator;
use super::event::{Delivered, Event, Message, What};
use super::judge::NOT_RECORDED;
use super::ledger::{Change, Stored, Write, Written};
use super::message::Kind;
use super::observation::Observation;
use super::path_status::PathState;
use super::reading::{Reading, Recorded};
use super::receiver::Outcome;
use super::rule::RuleSet;
use super::status::Silence;
use super::time::Now;
use super::transition::{EvaluatorOutput, State, Transition};

/// What the configuration says.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The rules.
    pub rules: Arc<RuleSet>,
    /// Who hears.
    pub receivers: Vec<Profile>,
    /// How long what follows a first alert is gathered.
    pub group_wait: Duration,
    /// What was before is only to know how things stood; `None` is nothing.
    pub since: Option<SystemTime>,
}

/// How one alert went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Since when the path was out of spec, for each time that somebody would have been told so.
    pub alerts: BTreeSet<SystemTime>,
    /// The same for each time that somebody was told.
    pub sent: BTreeSet<SystemTime>,
    /// How long it was out of spec each time; what was not seen counts as it was before.
    pub violations: Vec<Duration>,
}

/// How everything went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Each alert whose path was out of spec, or that was told.
    pub rows: BTreeMap<AlertKey, Row>,
    /// How many paths were judged.
    pub paths: usize,
    /// How many of them cannot be judged by all of their rules, as the daemon did not read what these ask for.
    pub unjudged: usize,
    /// How many events are missing in the journal.
    pub lost: u64,
}

/// The machine: events in, in the order of the journal.
#[derive(Debug)]
pub struct Replay {
    plan: Plan,
    evaluator: Evaluator,
    dispatcher: Dispatcher,
    /// The moment that has been reached.
    now: Now,
    /// Whether anything has happened yet.
    begun: bool,
    ledger: BTreeMap<AlertKey, Stored>,
    silences: Vec<Silence>,
    /// Counts starts, and with them leases.
    starts: u64,
    /// What was read of each path last, and in which session.
    last: HashMap<Arc<str>, (Recorded, u64)>,
    session: u64,
    /// Since when paths are out of spec.
    wrong: HashMap<AlertKey, SystemTime>,
    account: Account,
}

impl Replay {
    /// `origin` is any moment; the first event is put there.
    pub fn new(plan: Plan, origin: Instant) -> Self {
        let now = Now { mono: origin, wall: SystemTime::UNIX_EPOCH };
        Self {
            evaluator: Evaluator::new(Arc::clone(&plan.rules), now),
            dispatcher: Dispatcher::new(speaker(0), plan.group_wait),
            plan,
            now,
            begun: false,
            ledger: BTreeMap::new(),
            silences: Vec::new(),
            starts: 0,
            last: HashMap::new(),
            session: 0,
            wrong: HashMap::new(),
            account: Account::default(),
        }
    }

    /// Takes the next event.
    pub fn take(&mut self, event: Event) {
        let Event { time, what } = event;
        if self.begun {
            self.pass(time);
        } else {
            (self.begun, self.now.wall) = (true, time);
            // The beginning of the journal may be gone, and with it the start and the session.
            self.start();
            self.observe(Observation::Up);
        }
        match what {
            What::Started => self.start(),
            What::Session => {
                self.session += 1;
                self.observe(Observation::Up);
            }
            What::Outage(reason) => self.observe(Observation::Down(reason)),
            What::Armed => self.confirm(),
            What::Reading { path, recorded, first: _ } => self.read(path, recorded),
            What::Forgotten(path) => {
                if self.last.remove(&path).is_some_and(|(recorded, _)| recorded != Recorded::Missing) {
                    self.observe(Observation::Read { path, reading: Reading::Missing, delay: None });
                }
            }
            What::Silences(silences) => {
                self.silences.clone_from(&silences);
                self.dispatch(Input::Silences(silences));
            }
            What::Message(message) => self.note_sent(message),
            What::Lost(count) => self.account.lost += count,
            What::Rules(_) | What::Transition(..) | What::Alert(..) => {}
            What::Leading(_) | What::Following(_) => {}
        }
    }

    /// The journal ends here.
    pub fn end(mut self) -> Account {
        for (key, since) in std::mem::take(&mut self.wrong) {
            self.note_violation(key, since);
        }
        let compliance = self.evaluator.snapshot();
        let lacks =
            |state: &PathState| matches!(state, PathState::Unknown(words) if words.contains(NOT_RECORDED));
        let unjudged = compliance.paths.iter().filter(|path| {
            lacks(&path.state) || path.particulars().rules.iter().any(|rule| lacks(&rule.state))
        });
        (self.account.paths, self.account.unjudged) = (compliance.paths.len(), unjudged.count());
        self.account
    }

    /// The process is new: it knows what the ledger holds, and nothing else.
    fn start(&mut self) {
        self.starts += 1;
        self.last.clear();
        self.evaluator = Evaluator::new(Arc::clone(&self.plan.rules), self.now);
        self.dispatcher = Dispatcher::new(speaker(self.starts), self.plan.group_wait);
        let entries: Vec<Stored> = self.ledger.values().cloned().collect();
        for stored in &entries {
            self.observe(Observation::Adopted(stored.entry.adoption()));
        }
        self.dispatch(Input::Receivers(self.plan.receivers.clone(), self.plan.group_wait));
        self.dispatch(Input::Evaluated(EvaluatorOutput::Rules(Arc::clone(&self.plan.rules))));
        let (number, silences) = (self.starts, self.silences.clone());
        let takeover = Takeover { barrier: number, epoch: number, entries, silences, ..Takeover::default() };
        self.dispatch(Input::Granted(takeover));
        self.dispatch(Input::Evaluated(EvaluatorOutput::Barrier(number)));
    }

    fn read(&mut self, path: Arc<str>, recorded: Recorded) {
        let reading = recorded.reading();
        self.last.insert(Arc::clone(&path), (recorded, self.session));
        self.observe(Observation::Read { path, reading, delay: None });
    }

    /// What was not told of in this session is as it was before.
    fn confirm(&mut self) {
        let session = self.session;
        let unchanged = self.last.iter().filter(|(_, (_, seen))| *seen != session);
        let mut unchanged: Vec<_> =
            unchanged.map(|(path, (recorded, _))| (Arc::clone(path), recorded.clone())).collect();
        unchanged.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (path, recorded) in unchanged {
            self.read(path, recorded);
        }
    }

    /// Does what falls due until then. A clock that was set back stands still.
    fn pass(&mut self, until: SystemTime) {
        /// What is due already is done, and whatever is still due after that has to wait.
        const STEP: Duration = Duration::from_millis(1);
        let end = self.now.after(until.duration_since(self.now.wall).unwrap_or_default());
        let mut earliest = self.now.mono;
        loop {
            let due = self.evaluator.next_deadline().into_iter().chain(self.dispatcher.next_deadline()).min();
            let Some(at) = due.map(|due| due.max(earliest)).filter(|at| *at <= end.mono) else { break };
            self.now = self.now.after(at.saturating_duration_since(self.now.mono));
            earliest = at + STEP;
            let mut told = Vec::new();
            self.evaluator.tick(self.now, &mut told);
            self.hear(told);
            self.dispatch(Input::Tick);
        }
        self.now = end;
    }

    fn observe(&mut self, observation: Observation) {
        let mut told = Vec::new();
        self.evaluator.observe(observation, self.now, &mut told);
        self.hear(told);
    }

    fn hear(&mut self, told: Vec<EvaluatorOutput>) {
        for output in told {
            match &output {
                EvaluatorOutput::Transition(Transition { key, state: State::Error { .. }, .. }) => {
                    self.wrong.entry(key.clone()).or_insert(self.now.wall);
                }
                EvaluatorOutput::Transition(Transition { key, state: State::Ok, .. })
                | EvaluatorOutput::Forgotten(key, _) => {
                    if let Some(since) = self.wrong.remove(key) {
                        self.note_violation(key.clone(), since);
                    }
                }
                EvaluatorOutput::Rules(_) | EvaluatorOutput::Stale | EvaluatorOutput::StaleAlert(_) => {}
                EvaluatorOutput::LedgerChanged(_) | EvaluatorOutput::Barrier(_) => {}
            }
            self.dispatch(Input::Evaluated(output));
        }
    }

    /// Tells the dispatcher something. Its ledger answers at once, and so does each receiver.
    fn dispatch(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.dispatcher.handle(input, self.now) {
                match effect {
                    Effect::Write(write) => inputs.push_back(self.write(write)),
                    Effect::Attempt(attempt) => inputs.push_back(self.deliver(&attempt)),
                    Effect::Log(_) => {}
                }
            }
        }
    }

    fn write(&mut self, write: Write) -> Input {
        let Write { id, epoch: _, key, change } = write;
        let version = match change {
            Change::Create(entry) => {
                self.ledger.insert(key, Stored { entry, version: 0, modified: 0 });
                0
            }
            Change::Set(entry, version) => {
                self.ledger.insert(key, Stored { entry, version: version + 1, modified: 0 });
                version + 1
            }
            Change::Delete(_) => {
                self.ledger.remove(&key);
                0
            }
        };
        Input::Written(id, Written::Done(version))
    }

    fn deliver(&mut self, attempt: &Attempt) -> Input {
        let items = attempt.notification.items.iter();
        for item in items.filter(|item| tells_a_beginning(item.kind)) {
            if self.counts() {
                self.account.rows.entry(item.alert()).or_default().alerts.insert(to_millis(item.since));
            }
        }
        Input::Outcome(attempt.id, Outcome::Accepted)
    }

    fn note_sent(&mut self, message: Message) {
        let Message { key, since, kind, result, .. } = message;
        let is_sent = match result {
            Delivered::Accepted | Delivered::Ambiguous => tells_a_beginning(kind),
            Delivered::Failed | Delivered::Refused | Delivered::NotTried => false,
        };
        if is_sent && self.counts() {
            self.account.rows.entry(key).or_default().sent.insert(to_millis(since));
        }
    }

    fn note_violation(&mut self, key: AlertKey, since: SystemTime) {
        let from = self.plan.since.map_or(since, |start| start.max(since));
        if let (Ok(lasted), true) = (self.now.wall.duration_since(from), self.counts()) {
            self.account.rows.entry(key).or_default().violations.push(lasted);
        }
    }

    /// Whether what happens now is to be accounted for.
    fn counts(&self) -> bool {
        self.plan.since.is_none_or(|since| self.now.wall >= since)
    }
}

/// The ledger has no more than milliseconds, and an incident that was taken over is the same.
fn to_millis(time: SystemTime) -> SystemTime {
    let millis = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// Ids of incidents differ from one start to the next.
fn speaker(start: u64) -> Speaker {
    let (cluster, agent) = ("replay".into(), "replay".into());
    Speaker { cluster, agent, instance: start.to_string().into(), seed: 0 }
}

/// Whether a receiver learns by it that a path fell out of spec.
fn tells_a_beginning(kind: Kind) -> bool {
    match kind {
        Kind::Firing | Kind::Late => true,
        Kind::Reminder(_) | Kind::Refresh | Kind::Resolved | Kind::Notice | Kind::Test => false,
    }
}

#[cfg(test)]
mod tests;
