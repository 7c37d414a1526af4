//! A journal that is replayed by the configuration that made it gives the alerts that were sent.

use fastrand::Rng;

use super::*;
use crate::model::children::Children;
use crate::model::judge::{
    Bounds, By, Compiled, Counting, DataSpec, DropSpec, Include, Matcher, Specs, Where,
};
use crate::model::reading::{EachRead, Written as WrittenData};
use crate::model::receiver::ReceiverId;
use crate::model::rule::{Rule, Terms};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn rule(path: &str, specs: Specs, cancel: u64, keep: u64) -> Rule {
    let terms = Terms {
        specs,
        cancel_timeout: seconds(cancel),
        keep_firing_for: seconds(keep),
        forget_after: seconds(40),
        receivers: vec![ReceiverId("r".into())],
        ..Terms::default()
    };
    Rule { path: path.into(), terms: Arc::new(terms) }
}

fn called(name: &str, rule: Rule) -> Rule {
    let terms = Terms { name: Some(name.into()), ..Terms::clone(&rule.terms) };
    Rule { terms: Arc::new(terms), ..rule }
}

fn at_least(min: u32) -> Specs {
    Specs { children: Some(Bounds::Range { min: Some(min), max: None }), ..Specs::default() }
}

/// Rules of all kinds; `cancel` is added to each hold-down.
fn rules(cancel: u64) -> Vec<Rule> {
    let is_x: Matcher = Arc::new(|text: &[u8]| text.starts_with(b"x"));
    let x = Compiled { source: "^x".into(), run: is_x };
    let only = Where { name: Some(x.clone()), ..Where::default() };
    let counted = Specs { counting: Counting { only, distinct: None }, ..at_least(1) };
    let include = Specs { include: Some(Include(["x1".into()].into())), ..at_least(1) };
    let fall = DropSpec { by: By::Count(1), within: seconds(30) };
    let data = Specs { data: Some(DataSpec::Matches(x)), exists: Some(true), ..Specs::default() };
    vec![
        rule("/now", at_least(1), cancel, 0),
        rule("/held", at_least(2), cancel + 6, 0),
        rule("/kept", at_least(1), cancel + 3, 8),
        rule("/drop", Specs { drop: Some(fall), ..Specs::default() }, cancel + 2, 0),
        rule("/include", include, cancel + 4, 0),
        rule("/data", data, cancel + 1, 3),
        called("warn", rule("/two", at_least(3), cancel + 1, 0)),
        called("page", rule("/two", counted, cancel + 5, 2)),
        rule("/g/*", at_least(1), cancel + 2, 0),
    ]
}

fn plan(rules: Vec<Rule>) -> Plan {
    let receiver = Profile {
        id: ReceiverId("r".into()),
        name: "r".into(),
        public_name: "r".into(),
        kind: "webhook",
        digest: true,
        keyed: false,
        refresh: None,
    };
    let (rules, group_wait) = (Arc::new(RuleSet::new(rules)), seconds(2));
    Plan { rules, receivers: vec![receiver], group_wait, since: None }
}

const PATHS: [&str; 9] = ["/now", "/held", "/kept", "/drop", "/include", "/data", "/two", "/g/a", "/g/b"];

/// A daemon that runs: the same machines, told what is really read.
struct Run {
    live: Replay,
    events: Vec<Event>,
    tree: BTreeMap<&'static str, Reading>,
    is_up: bool,
    rng: Rng,
}

impl Run {
    fn new(seed: u64) -> Self {
        let live = Replay::new(plan(rules(0)), crate::clock::mono());
        let missing = PATHS.map(|path| (path, Reading::Missing));
        let mut run =
            Self { live, events: Vec::new(), tree: missing.into(), is_up: false, rng: Rng::with_seed(seed) };
        run.live.now.wall = SystemTime::UNIX_EPOCH + seconds(1000);
        run.live.begun = true;
        run.start();
        run
    }

    fn note(&mut self, what: What) {
        self.events.push(Event { time: self.live.now.wall, what });
    }

    fn observe(&mut self, observation: Observation) {
        self.live.observe(observation);
        for record in self.live.evaluator.take_records() {
            self.note(record);
        }
    }

    fn start(&mut self) {
        self.note(What::Started);
        self.live.start();
        let evaluator = Evaluator::new(Arc::clone(&self.live.plan.rules), self.live.now);
        self.live.evaluator = evaluator.recording();
        for entry in self.live.ledger.values().map(|stored| stored.entry.adoption()).collect::<Vec<_>>() {
            self.observe(Observation::Adopted(entry));
        }
        self.is_up = false;
    }

    fn connect(&mut self) {
        self.observe(Observation::Up);
        self.note(What::Session);
        for path in PATHS {
            self.pass(300);
            self.read(path);
        }
        self.observe(Observation::Expanded { glob: "/g/*".into() });
        self.note(What::Armed);
        self.is_up = true;
    }

    /// A glob's match that is not there is not read at first.
    fn read(&mut self, path: &'static str) {
        let reading = self.tree[path].clone();
        if self.is_up || reading != Reading::Missing || !path.starts_with("/g/") {
            self.observe(Observation::Read { path: path.into(), reading, delay: None });
        }
    }

    fn pass(&mut self, most: u64) {
        let time = self.live.now.wall + Duration::from_millis(self.rng.u64(0..most));
        self.live.pass(time);
    }

    fn change(&mut self) {
        let path = PATHS[self.rng.usize(0..PATHS.len())];
        let names = ["x1", "x2", "y", "z"].into_iter().filter(|_| self.rng.bool()).map(str::to_owned);
        let children = Some(Children::new(names.collect()));
        let data = Some(WrittenData {
            at: SystemTime::UNIX_EPOCH,
            data: if self.rng.bool() { b"x".as_slice() } else { b"y" }.into(),
        });
        let reading = match self.rng.u8(0..12) {
            0 | 1 => Reading::Missing,
            2 => Reading::Unreadable("not authorised".into()),
            _ => Reading::Present { children, each: EachRead::Unasked, data },
        };
        self.tree.insert(path, reading);
        if self.is_up {
            self.read(path);
        }
    }

    fn step(&mut self) {
        self.pass(4000);
        match self.rng.u8(0..30) {
            0 => self.start(),
            1 | 2 if self.is_up => {
                self.observe(Observation::Down("lost".into()));
                self.note(What::Outage("lost".into()));
                self.is_up = false;
            }
            3..=9 if !self.is_up => self.connect(),
            _ => self.change(),
        }
    }
}

fn replayed(plan: Plan, events: &[Event]) -> Account {
    let mut replay = Replay::new(plan, crate::clock::mono());
    events.iter().cloned().for_each(|event| replay.take(event));
    replay.end()
}

fn alerts(account: &Account) -> BTreeMap<AlertKey, BTreeSet<SystemTime>> {
    let rows = account.rows.iter().filter(|(_, row)| !row.alerts.is_empty());
    rows.map(|(key, row)| (key.clone(), row.alerts.clone())).collect()
}

#[test]
fn the_configuration_that_made_a_journal_gives_the_alerts_that_were_sent() {
    let mut sent = 0;
    for seed in 0..150 {
        let mut run = Run::new(seed);
        (0..300).for_each(|_| run.step());
        run.note(What::Rules(0));
        let account = replayed(plan(rules(0)), &run.events);
        assert_eq!(alerts(&account), alerts(&run.live.account), "seed {seed}");
        assert_eq!(account.unjudged, 0, "seed {seed}");
        sent += alerts(&account).values().map(BTreeSet::len).sum::<usize>();
    }
    assert!(sent > 5000, "{sent} alerts say little");
}

#[test]
fn longer_hold_downs_give_fewer_alerts_and_each_of_them_was_one_before() {
    for seed in 0..20 {
        let mut run = Run::new(seed);
        (0..300).for_each(|_| run.step());
        let count = |cancel| {
            let found = alerts(&replayed(plan(rules(cancel)), &run.events));
            found.values().map(BTreeSet::len).sum::<usize>()
        };
        let (now, later) = (count(0), count(20));
        assert!(later < now, "seed {seed}: {now}, {later}");
    }
}

/// Readings of `/now` at seconds, by how many children.
fn script(readings: &[(u64, u32)]) -> Vec<Event> {
    let event = |second: u64, what| Event { time: SystemTime::UNIX_EPOCH + seconds(second), what };
    let read = |(second, count): &(u64, u32)| {
        let recorded = Recorded::Present { children: Some(*count), data: None, rules: Box::default() };
        event(*second, What::Reading { path: "/now".into(), recorded, first: false })
    };
    let mut events = vec![event(0, What::Started), event(0, What::Session)];
    events.extend(readings.iter().map(read));
    events
}

#[test]
fn the_account_tells_how_long_and_what_was_sent() {
    let mut events = script(&[(10, 0), (12, 1), (20, 0), (50, 1), (60, 0), (65, 0)]);
    let message = |second: u64, since: u64, kind, result| Event {
        time: SystemTime::UNIX_EPOCH + seconds(second),
        what: What::Message(Message {
            key: AlertKey::unnamed("/now"),
            incident: "i".into(),
            since: SystemTime::UNIX_EPOCH + seconds(since),
            receiver: ReceiverId("r".into()),
            kind,
            result,
        }),
    };
    events.insert(3, message(10, 10, Kind::Firing, Delivered::Accepted));
    events.insert(4, message(10, 10, Kind::Firing, Delivered::Ambiguous));
    events.insert(5, message(11, 11, Kind::Firing, Delivered::Failed));
    events.push(message(66, 20, Kind::Late, Delivered::Accepted));
    events.push(message(70, 60, Kind::Resolved, Delivered::Accepted));
    let row = |since: Option<u64>, cancel| {
        let since = since.map(|second| SystemTime::UNIX_EPOCH + seconds(second));
        let account = replayed(Plan { since, ..plan(rules(cancel)) }, &events);
        let row = account.rows[&AlertKey::unnamed("/now")].clone();
        (row.alerts.len(), row.violations, row.sent.len())
    };
    let all = |lengths: &[u64]| lengths.iter().map(|length| seconds(*length)).collect::<Vec<_>>();
    assert_eq!(row(None, 0), (3, all(&[2, 30, 10]), 2));
    assert_eq!(row(None, 5), (2, all(&[2, 30, 10]), 2));
    assert_eq!(row(None, 40), (0, all(&[2, 30, 10]), 2));
    assert_eq!(row(Some(40), 0), (1, all(&[10, 10]), 1), "what began before counts from there");
}

#[test]
fn what_the_daemon_did_not_read_is_not_judged() {
    let data = Specs { data: Some(DataSpec::Equals("x".into())), ..Specs::default() };
    let account = replayed(plan(vec![rule("/now", data, 0, 0)]), &script(&[(10, 0), (20, 3)]));
    assert_eq!((account.paths, account.unjudged, account.rows.len()), (1, 1, 0));
}
