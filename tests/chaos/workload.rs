//! What is watched, what befalls it, and when it is out of spec.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use fastrand::Rng;

use crate::common::{Access, Client, eventually};
use crate::txnlog::Millis;

/// How long a server may take to answer the hand that changes znodes.
const PATIENCE: Duration = Duration::from_secs(2);
/// Within which time [`Spec::Drop`] compares, in seconds: longer than a path is ever out of spec.
const WITHIN: u64 = 120;
/// What a rule that depends on another waits at least, by contract §2.
const DEPENDENT: Millis = 10_000;

/// A change of the tree.
#[derive(Clone, Debug)]
pub enum Step {
    Put(String, &'static str),
    Delete(String),
    Allow(String, Access),
}

/// What has to hold of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spec {
    /// So many children.
    Children(usize),
    Exists,
    /// This data.
    Data(&'static str),
    /// So many children whose data says `"enabled": true`.
    Enabled(usize),
    /// Not more than half below the most that was seen; there are this many when all is well.
    Drop(usize),
    /// Written within so many seconds, by ZooKeeper's clock.
    Fresh(u64),
}

/// A path that is watched: the rule that governs it, and how it is broken and mended.
#[derive(Clone, Debug)]
pub struct Subject {
    pub path: String,
    /// The name of its rule, where the path has several.
    pub name: Option<&'static str>,
    /// The key of its rule, if that is a glob.
    pub glob: Option<&'static str>,
    pub spec: Spec,
    /// For how long it has to be out of spec.
    pub hold_down: Millis,
    /// The path that holds its alerts back while out of spec.
    pub depends_on: Option<&'static str>,
    /// Whether only who saw it well knows that it is not.
    pub needs_memory: bool,
    pub toggle: Toggle,
}

impl Subject {
    /// What tells it from all others: `/path`, or `/path@name`.
    pub fn alert(&self) -> String {
        alert(&self.path, self.name)
    }
}

/// How people are told of which alert it is.
pub fn alert(path: &str, name: Option<&str>) -> String {
    name.map_or(path.to_owned(), |name| format!("{path}@{name}"))
}

/// What is done, and undone after a while.
#[derive(Clone, Debug)]
pub struct Toggle {
    pub broken: Vec<Step>,
    pub mended: Vec<Step>,
    /// How long it stays broken, in milliseconds.
    lasts: std::ops::Range<u64>,
}

const ENABLED: &str = r#"{"enabled": true}"#;
const DISABLED: &str = r#"{"enabled": false}"#;
const GLOB: &str = "/chaos/glob/*/members";
/// The rules of which some receivers refuse everything.
const REFUSED: [&str; 3] = ["/chaos/plain-1", "/chaos/where", PARENTS];
const PARENTS: &str = "/chaos/glob/*";
const BASE: &str = "/chaos/base";
const NAMED: &str = "/chaos/named";
const FRESH: &str = "/chaos/fresh";
/// Says whether [`FRESH`] is written again and again.
const PUMP: &str = "/chaos/pump";
/// How often it is, then.
const BEAT: Duration = Duration::from_secs(1);
/// The path that is silenced at times, as the command line does it.
pub const SILENCED: &str = "/chaos/silenced";
pub const SILENCE: &str = "/zk_monitor/zkmonitor/silences/chaos";
const WORDS: &str =
    r#"{"v":1,"path":"/chaos/silenced","until":4102444800000,"comment":"work","by":"somebody"}"#;

/// All that is watched.
pub fn subjects() -> Vec<Subject> {
    let subject = |path: &str, spec, broken, mended| Subject {
        path: path.to_owned(),
        name: None,
        glob: None,
        spec,
        hold_down: 0,
        depends_on: None,
        needs_memory: false,
        toggle: Toggle { broken, mended, lasts: 3_000..12_000 },
    };
    let child = |path: &str| {
        let child = format!("{path}/a");
        subject(path, Spec::Children(1), vec![Step::Delete(child.clone())], vec![Step::Put(child, "")])
    };
    let mut all = Vec::new();
    for index in 0..6 {
        let hold_down = if index % 3 == 2 { 1_000 } else { 0 };
        all.push(Subject { hold_down, ..child(&format!("/chaos/plain-{index}")) });
    }
    for index in 0..4 {
        let parent = subject(&format!("/chaos/glob/g{index}"), Spec::Children(1), Vec::new(), Vec::new());
        all.push(Subject { glob: Some(PARENTS), needs_memory: true, ..parent });
    }
    all.push(child("/chaos/name that n\u{e9}eds 100% @care"));
    for index in 0..4 {
        let path = format!("/chaos/glob/g{index}/members");
        // The last one goes with what it is in.
        let (broken, mended) = whole(if index == 3 { &path[..path.len() - 8] } else { &path });
        all.push(Subject {
            glob: Some(GLOB),
            needs_memory: true,
            ..subject(&path, Spec::Children(1), broken, mended)
        });
    }
    let path = "/chaos/exists";
    let exists =
        subject(path, Spec::Exists, vec![Step::Delete(path.into())], vec![Step::Put(path.into(), "")]);
    all.push(exists);
    let (path, put) = ("/chaos/data", |data| vec![Step::Put("/chaos/data".into(), data)]);
    all.push(subject(path, Spec::Data("UP"), put("DOWN"), put("UP")));
    let enable = |data| ["a", "b"].map(|name| Step::Put(format!("/chaos/where/{name}"), data)).to_vec();
    all.push(subject("/chaos/where", Spec::Enabled(2), enable(DISABLED), enable(ENABLED)));
    let names = || ["a", "b", "c"].map(|name| format!("/chaos/drop/{name}")).into_iter();
    let fallen = names().map(Step::Delete).collect();
    let risen = names().map(|path| Step::Put(path, "")).collect();
    all.push(Subject { needs_memory: true, ..subject("/chaos/drop", Spec::Drop(4), fallen, risen) });
    all.push(child(BASE));
    let mut dependent = Subject { depends_on: Some(BASE), hold_down: DEPENDENT, ..child("/chaos/dependent") };
    dependent.toggle.lasts = 12_000..25_000;
    all.push(dependent);
    // One path, and one rule that is broken whenever the other is.
    let both = ["a", "b"].map(|name| format!("{NAMED}/{name}"));
    let put = |path: &String| Step::Put(path.clone(), "");
    for (name, min, falls) in [("few", 2, &both[..1]), ("none", 1, &both[..])] {
        let (broken, mended) =
            (falls.iter().cloned().map(Step::Delete).collect(), falls.iter().map(put).collect());
        all.push(Subject { name: Some(name), ..subject(NAMED, Spec::Children(min), broken, mended) });
    }
    let pump = |state| vec![Step::Put(PUMP.into(), state)];
    all.push(subject(FRESH, Spec::Fresh(4), pump("off"), pump("on")));
    all.push(child(SILENCED));
    // For a moment nobody may read it, and that is when it falls.
    let mut access = child("/chaos/access");
    access.toggle.broken.insert(0, Step::Allow(access.path.clone(), Access::WriteOnly));
    access.toggle.broken.push(Step::Allow(access.path.clone(), Access::Open));
    all.push(access);
    all
}

/// What else befalls them: some may not be read for a while or are silenced, whether they are in spec then or not.
fn besides() -> Vec<Toggle> {
    let closing = |index: usize| {
        let path = format!("/chaos/plain-{index}");
        let step = |access| vec![Step::Allow(path.clone(), access)];
        Toggle { broken: step(Access::WriteOnly), mended: step(Access::Open), lasts: 1_000..8_000 }
    };
    let silence = Toggle {
        broken: vec![Step::Put(SILENCE.into(), WORDS)],
        mended: vec![Step::Delete(SILENCE.into())],
        lasts: 5_000..20_000,
    };
    [closing(4), closing(5), silence].to_vec()
}

/// A znode of a glob goes, with all below it, and comes back.
fn whole(path: &str) -> (Vec<Step>, Vec<Step>) {
    let below: &[&str] =
        if path.ends_with("/members") { &["", "/a"] } else { &["", "/members", "/members/a"] };
    let all = below.iter().map(|name| format!("{path}{name}"));
    (all.clone().rev().map(Step::Delete).collect(), all.map(|path| Step::Put(path, "")).collect())
}

/// The rules, as YAML.
///
/// `refused` is the alerter of those whose receivers in part refuse everything.
pub fn rules(edition: u32, refused: &str) -> String {
    let mut yaml = String::new();
    let mut keys = BTreeSet::new();
    for subject in subjects() {
        let path = subject.glob.unwrap_or(&subject.path);
        if subject.name.is_none() && !keys.insert(path.to_owned()) {
            continue;
        }
        let spec = match subject.spec {
            Spec::Children(min) => format!("children: {min}"),
            Spec::Exists => "exists: true".to_owned(),
            Spec::Data(data) => format!("data: {{equals: {data}}}"),
            Spec::Enabled(min) => {
                format!("children: {{min: {min}, where: {{data: {{json: /enabled, equals: true}}}}}}")
            }
            Spec::Drop(_) => format!("children: {{drop: {{by: 50%, within: {WITHIN}s}}}}"),
            Spec::Fresh(seconds) => format!("data: {{max_age: {seconds}s}}"),
        };
        let depends = subject.depends_on.map_or(String::new(), |on| format!(", depends_on: [{on}]"));
        let alerter = if REFUSED.contains(&path) { format!(", alerter: {refused}") } else { String::new() };
        let hold_down = subject.hold_down / 1_000;
        let rest =
            format!("{spec}, cancel_timeout: {hold_down}{depends}{alerter}, description: \"{edition}\"");
        let Some(name) = subject.name else {
            writeln!(yaml, "\"{path}\": {{{rest}}}").unwrap();
            continue;
        };
        if keys.insert(path.to_owned()) {
            writeln!(yaml, "\"{path}\":").unwrap();
        }
        writeln!(yaml, "  - {{name: {name}, {rest}}}").unwrap();
    }
    yaml
}

/// Makes all znodes, all in spec.
pub fn prepare(client: &mut Client) {
    for subject in subjects() {
        client.create(&subject.path, "");
        for step in &subject.toggle.mended {
            if let Step::Put(path, data) = step {
                client.create(path, "");
                client.set(path, data);
            }
        }
    }
    client.create("/chaos/drop/d", "");
}

/// What is left out of spec when all is over.
pub fn standing() -> Vec<Subject> {
    subjects()[..3].to_vec()
}

/// Breaks and mends until told to stop, then mends all but what is left.
pub fn drive(servers: &[String], mut rng: Rng, stopped: &Receiver<()>) {
    let mut hand = Hand { servers: servers.to_vec(), client: None };
    let toggles: Vec<Toggle> =
        subjects().into_iter().map(|subject| subject.toggle).chain(besides()).collect();
    let mut is_broken = vec![false; toggles.len()];
    let start = Instant::now();
    let mut due: Vec<Instant> =
        toggles.iter().map(|_| start + Duration::from_millis(rng.u64(0..5_000))).collect();
    loop {
        let index = (0..toggles.len()).min_by_key(|index| due[*index]).unwrap();
        let wait = due[index].saturating_duration_since(Instant::now());
        if stopped.recv_timeout(wait).is_err_and(|error| error.is_disconnected()) {
            break;
        }
        let toggle = &toggles[index];
        let next = if is_broken[index] {
            hand.take(&toggle.mended);
            rng.u64(2_000..8_000)
        } else {
            hand.take(&toggle.broken);
            match rng.u8(..8) {
                // Back at once, within the same moment.
                0 => 0,
                1 | 2 => rng.u64(200..1_500),
                _ => rng.u64(toggle.lasts.clone()),
            }
        };
        is_broken[index] = !is_broken[index];
        due[index] = Instant::now() + Duration::from_millis(next);
    }
    toggles.iter().for_each(|toggle| hand.take(&toggle.mended));
    standing().iter().for_each(|subject| hand.take(&subject.toggle.broken));
}

/// Writes what has to be written again and again, while that is so and until told to stop.
pub fn pump(servers: &[String], stopped: &Receiver<()>) {
    let mut hand = Hand { servers: servers.to_vec(), client: None };
    while stopped.recv_timeout(BEAT).is_err_and(|error| error.is_timeout()) {
        // What fails comes again, and what comes too late is out of spec until then.
        let state = hand.reach().and_then(|client| client.try_get(PUMP));
        if state.is_err() {
            hand.client = None;
        }
        let is_on = state.is_ok_and(|state| state.as_deref() == Some("on"));
        if is_on {
            drop(hand.try_step(&Step::Put(FRESH.into(), "")));
        }
    }
}

/// A client that goes on with another server when its own does not answer.
struct Hand {
    servers: Vec<String>,
    client: Option<Client>,
}

impl Hand {
    fn take(&mut self, steps: &[Step]) {
        for step in steps {
            eventually(Duration::from_secs(120), "server that makes a change", || self.try_step(step));
        }
    }

    fn reach(&mut self) -> std::io::Result<&mut Client> {
        if self.client.is_none() {
            self.servers.rotate_left(1);
            self.client = Some(Client::connect_within(&self.servers[0], PATIENCE)?);
        }
        Ok(self.client.as_mut().unwrap())
    }

    fn try_step(&mut self, step: &Step) -> std::io::Result<()> {
        let client = self.reach()?;
        let result = match step {
            Step::Put(path, data) => client.try_put(path, data),
            Step::Delete(path) => client.try_make(path, false),
            Step::Allow(path, access) => client.try_allow(path, *access),
        };
        if result.is_err() {
            self.client = None;
        }
        result
    }
}
