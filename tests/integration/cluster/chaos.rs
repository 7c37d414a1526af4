//! Agents die, hang, are cut off and lose their sessions at random moments while paths fall out of spec and come
//! back: nothing is lost, nothing doubled.
//!
//! `ZK_MONITOR_CHAOS_ROUNDS` makes the run longer (200 take about half an hour), `ZK_MONITOR_CHAOS_SEED` repeats
//! the choices of an earlier one, which each run prints.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use fastrand::Rng;
use rustix::process::Signal;

use super::disturbances::{PATHS, PLACE, SESSION, drive, expire, hold_down, now, path};
use super::promises::{Evidence, Fault, Lease, Millis, Told, Violation, leases, parse_time};
use crate::common::{Answer, Daemon, Ensemble, HttpSink, Proxy, SmtpSink, eventually, throughout};

const AGENTS: usize = 3;
const ROUNDS: usize = 12;
const ADDRESSES: [&str; 2] = ["ops@example.com", "dev@example.com"];
const HOOK: &str = "/hook";
/// A webhook that takes its time, of every path.
const SLOW: &str = "/slow";
/// And how much of it.
const SLOWNESS: Duration = Duration::from_millis(700);
/// A webhook that takes nothing, and an address that the mail server does not take, of every [`REFUSED`]th path.
const NEVER: &str = "/never";
const NOBODY: &str = "nobody@example.com";
const REFUSED: usize = 4;
/// What a message says that tells both ends at once.
const LATE: &str = "Now in spec; was, while no message got through: ";
/// How long a leader may be missing at most, whatever happened.
const LEADER: Duration = Duration::from_secs(40);

/// What is done to the agent that leads.
#[derive(Clone, Copy, Debug)]
enum Harm {
    /// `kill -9`, and a new process.
    Kill,
    /// SIGSTOP for longer than the session lasts, then SIGCONT.
    Pause,
    /// All packets are lost for a while, which may be shorter than the lease.
    Freeze,
    /// Connections are cut and refused for a while.
    Cut,
    /// The session ends at the servers, while the connection stays.
    Expire,
    /// SIGTERM, and a new process.
    Stop,
    /// One of the ZooKeeper servers dies and comes back.
    Server,
}

const HARMS: [Harm; 7] =
    [Harm::Kill, Harm::Pause, Harm::Freeze, Harm::Expire, Harm::Stop, Harm::Cut, Harm::Server];

#[test]
fn no_harm_to_the_leader_loses_or_doubles_an_alert() {
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>().unwrap());
    let rounds = number("ZK_MONITOR_CHAOS_ROUNDS").map_or(ROUNDS, |n| usize::try_from(n).unwrap());
    let seed = number("ZK_MONITOR_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("ZK_MONITOR_CHAOS_SEED={seed}");
    let mut world = World::start(seed);
    let (stop, stopped) = bounded(0);
    let servers = world.ensemble.address();
    let driver_seed = world.rng.u64(..);
    let driver = std::thread::spawn(move || drive(&servers, Rng::with_seed(driver_seed), &stopped));
    let offset = world.rng.usize(..HARMS.len());
    for round in 0..rounds {
        world.harm_the_leader(round, HARMS[(round + offset) % HARMS.len()]);
    }
    world.leader();
    drop(stop);
    let violations = driver.join().unwrap();
    world.settle();
    let evidence = world.evidence(violations);
    let (tally, mut wrong) = evidence.judge();
    wrong.extend(world.tried_again_after_a_refusal(&evidence.leases));
    println!("{rounds} rounds: {tally:?}");
    assert!(
        wrong.is_empty(),
        "seed {seed}: {} wrong:\n{}\nfaults: {:#?}\nleases: {:#?}\ntold: {:#?}\nlogs of those that ended:\n{}",
        wrong.len(),
        wrong.join("\n"),
        evidence.faults,
        evidence.leases,
        evidence.told,
        world.logs.join("\n")
    );
    let enough = tally.owed >= rounds && tally.leases > rounds / 2 && tally.unprompted <= rounds;
    assert!(
        enough,
        "too little happened, or too much by itself: {tally:?}\n{:#?}\n{:#?}",
        evidence.faults, evidence.leases
    );
}

/// Where an agent runs: its network, and the process that runs there now.
struct Seat {
    proxies: Vec<Proxy>,
    daemon: Daemon,
    name: String,
    /// Before the process was started.
    started: Instant,
}

/// By which address webhooks know an agent, and from when on.
struct Card {
    address: String,
    name: String,
    from: Instant,
}

struct World {
    rng: Rng,
    ensemble: Ensemble,
    mail: SmtpSink,
    hook: HttpSink,
    seats: Vec<Seat>,
    faults: Vec<Fault>,
    leases: Vec<Lease>,
    /// What those processes logged that have ended.
    logs: Vec<String>,
    /// The agents in the order in which they came. One may have the port of another that has gone.
    cards: Vec<Card>,
    /// One moment on both clocks.
    epoch: (Instant, Millis),
}

fn yaml(sink: &HttpSink) -> String {
    let (addresses, hook, slow, never) =
        (ADDRESSES.join(", "), sink.url(HOOK), sink.url(SLOW), sink.url(NEVER));
    let hooks = format!("{{url: \"{hook}\"}}, {{url: \"{slow}\"}}");
    let mut yaml =
        format!("group_wait: 0.2\ndefaults: {{alerter: {{email: \"{addresses}\", webhook: [{hooks}]}}}}\n");
    for index in 0..PATHS {
        let hold = hold_down(index) / 1000;
        let refused = format!(
            ", alerter: {{email: \"{addresses}, {NOBODY}\", webhook: [{hooks}, {{url: \"{never}\"}}]}}"
        );
        let alerter = if index % REFUSED == 0 { refused.as_str() } else { "" };
        yaml += &format!("{}: {{children: 1, cancel_timeout: {hold}{alerter}}}\n", path(index));
    }
    yaml
}

fn launch(proxies: &[Proxy], mail: &SmtpSink, hook: &HttpSink) -> Daemon {
    let servers: Vec<String> = proxies.iter().map(Proxy::address).collect();
    let builder = Daemon::with(&servers.join(","), &yaml(hook)).smtp(mail.port());
    builder.args(["-l", "INFO", "--session_timeout", &SESSION.to_string()]).start()
}

/// An agent's name as the cluster knows it.
fn name_of(daemon: &Daemon) -> String {
    let name = daemon.status()["cluster"]["agent"].as_str().unwrap().to_owned();
    assert!(name.ends_with(&format!("-{}", daemon.pid())), "{name:?}");
    name
}

impl World {
    fn start(seed: u64) -> Self {
        let (mut ensemble, mail, hook) = (Ensemble::start(), SmtpSink::start(), HttpSink::start());
        hook.answer(SLOW, Answer::status(200).after(SLOWNESS));
        hook.answer(NEVER, Answer::status(400));
        mail.refuse(NOBODY, "550 no such user");
        let mut client = ensemble.client();
        for index in 0..PATHS {
            client.create(&format!("{}/a", path(index)), "");
        }
        let addresses: Vec<String> = (0..3).map(|index| ensemble.server(index).address()).collect();
        let seats = (0..AGENTS).map(|_| {
            let proxies: Vec<Proxy> = addresses.iter().map(|address| Proxy::to(address)).collect();
            let started = Instant::now();
            let daemon = launch(&proxies, &mail, &hook);
            Seat { name: name_of(&daemon), proxies, daemon, started }
        });
        let seats: Vec<Seat> = seats.collect();
        let cards = seats.iter().map(Seat::card).collect();
        let epoch = (Instant::now(), now());
        let rng = Rng::with_seed(seed);
        Self {
            rng,
            ensemble,
            mail,
            hook,
            seats,
            faults: Vec::new(),
            leases: Vec::new(),
            logs: Vec::new(),
            cards,
            epoch,
        }
    }

    /// The index of the agent that leads, once one does.
    fn leader(&self) -> usize {
        eventually(LEADER, "agent that leads", || {
            self.seats.iter().position(|seat| seat.daemon.status()["monitor"]["alerter"]["alerting"] == true)
        })
    }

    fn harm_the_leader(&mut self, round: usize, harm: Harm) {
        self.leader();
        let delay = Duration::from_millis(self.rng.u64(500..4_500));
        throughout(delay, "well", || true);
        let leader = self.leader();
        println!("round {round}: {harm:?} of {}", self.seats[leader].name);
        let from = now();
        let name = self.seats[leader].name.clone();
        match harm {
            Harm::Kill => {
                self.seats[leader].daemon.kill();
                self.fault("kill", Some(name), from);
                self.replace(leader, from);
            }
            Harm::Stop => {
                assert_eq!(self.seats[leader].daemon.stop(), Some(0));
                self.fault("stop", Some(name), from);
                self.replace(leader, now());
            }
            Harm::Pause => {
                let pause = self.rng.u64(SESSION * 1_200..SESSION * 2_000);
                self.seats[leader].daemon.signal(Signal::STOP);
                throughout(Duration::from_millis(pause), "paused", || true);
                self.seats[leader].daemon.signal(Signal::CONT);
                self.fault("pause", Some(name), from);
            }
            Harm::Freeze | Harm::Cut => self.isolate(leader, harm, from),
            Harm::Expire => {
                expire(&mut self.ensemble, &name);
                self.fault("expire", Some(name), from);
            }
            Harm::Server => {
                let index = self.rng.usize(..3);
                self.ensemble.server(index).kill();
                let pause = self.rng.u64(500..2_500);
                throughout(Duration::from_millis(pause), "down", || true);
                self.ensemble.server(index).restart();
                self.fault("server", None, from);
            }
        }
    }

    fn isolate(&mut self, leader: usize, harm: Harm, from: Millis) {
        let seat = &self.seats[leader];
        let pause = self.rng.u64(SESSION * 300..SESSION * 2_000);
        let (what, act): (_, fn(&Proxy)) = match harm {
            Harm::Cut => ("cut", Proxy::refuse),
            Harm::Kill | Harm::Pause | Harm::Freeze | Harm::Expire | Harm::Stop | Harm::Server => {
                ("freeze", Proxy::freeze)
            }
        };
        seat.proxies.iter().for_each(act);
        throughout(Duration::from_millis(pause), "cut off", || true);
        seat.proxies.iter().for_each(Proxy::pass);
        let name = seat.name.clone();
        self.fault(what, Some(name), from);
    }

    fn fault(&mut self, what: &'static str, agent: Option<String>, from: Millis) {
        self.faults.push(Fault { what, agent, from, until: now() });
    }

    /// A new process where one has ended.
    fn replace(&mut self, index: usize, ended: Millis) {
        let seat = &mut self.seats[index];
        let log = seat.daemon.log();
        self.leases.extend(leases(&seat.name, &log, ended));
        self.logs.extend(log);
        seat.started = Instant::now();
        seat.daemon = launch(&seat.proxies, &self.mail, &self.hook);
        seat.name = name_of(&seat.daemon);
        self.cards.push(seat.card());
    }

    /// Waits until everybody is well and knows of everything.
    fn settle(&mut self) {
        let mut client = self.ensemble.client();
        eventually(Duration::from_secs(60), "empty ledger", || {
            let left = client.children(&format!("{PLACE}/alerts")).unwrap_or_default();
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
        for seat in &self.seats {
            seat.daemon.wait_until_ready();
            for index in 0..PATHS {
                seat.daemon.wait_for(&path(index), true);
            }
        }
        // What should not be sent would be by now.
        throughout(Duration::from_secs(3), "silent", || {
            client.children(&format!("{PLACE}/alerts")).unwrap_or_default().is_empty()
        });
    }

    fn evidence(&mut self, violations: Vec<Violation>) -> Evidence {
        let end = now();
        let mut leases = std::mem::take(&mut self.leases);
        for seat in &self.seats {
            leases.extend(self::leases(&seat.name, &seat.daemon.log(), end));
        }
        leases.sort_by_key(|lease| lease.from);
        let mut told = self.hooked(HOOK);
        told.extend(self.hooked(SLOW));
        told.extend(self.mailed());
        told.sort_by_key(|told| told.at);
        let receivers =
            ADDRESSES.iter().map(|address| (*address).to_owned()).chain([HOOK.to_owned(), SLOW.to_owned()]);
        Evidence {
            violations,
            told,
            faults: std::mem::take(&mut self.faults),
            leases,
            receivers: receivers.collect(),
        }
    }

    fn wall(&self, at: Instant) -> Millis {
        self.epoch.1 + u64::try_from(at.saturating_duration_since(self.epoch.0).as_millis()).unwrap()
    }

    /// What a webhook was told. What an alert is told again with a note, which names a receiver that refused it, is no
    /// news of the path.
    fn hooked(&self, hook: &str) -> Vec<Told> {
        let mut all: Vec<Told> = Vec::new();
        for request in self.hook.requests(hook) {
            let json = request.json();
            let url = json["externalURL"].as_str().unwrap().trim_start_matches("http://").to_owned();
            let known = |card: &&Card| card.address == url && card.from <= request.at;
            let agent = &self.cards.iter().rev().find(known).unwrap().name;
            for alert in json["alerts"].as_array().unwrap() {
                let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
                let firing = alert["status"] == "firing";
                let incident = text(&alert["annotations"]["incident"]);
                let known = |told: &Told| told.firing && told.incident == incident;
                if firing && alert["annotations"]["notes"].is_string() && all.iter().any(known) {
                    continue;
                }
                all.push(Told {
                    receiver: hook.to_owned(),
                    agent: agent.clone(),
                    at: self.wall(request.at),
                    path: text(&alert["labels"]["path"]),
                    incident,
                    firing,
                    late: false,
                    since: parse_time(&text(&alert["startsAt"])).unwrap(),
                    until: (!firing).then(|| parse_time(&text(&alert["endsAt"])).unwrap()),
                });
            }
        }
        // A webhook's message about an end tells both: that nothing was told before makes it late, and no words do.
        let alerts: BTreeSet<String> =
            all.iter().filter(|told| told.firing).map(|told| told.incident.clone()).collect();
        for told in &mut all {
            told.late = !told.firing && !alerts.contains(&told.incident);
        }
        all
    }

    /// What was tried again at the webhook that refuses, more often than once a lease: a digest is halved, and so tried
    /// a few times.
    fn tried_again_after_a_refusal(&self, leases: &[Lease]) -> Vec<String> {
        const HALVINGS: usize = 5;
        let mut tries: BTreeMap<String, Vec<Millis>> = BTreeMap::new();
        for request in self.hook.requests(NEVER) {
            for alert in request.json()["alerts"].as_array().unwrap() {
                let incident = alert["annotations"]["incident"].as_str().unwrap().to_owned();
                tries.entry(incident).or_default().push(self.wall(request.at));
            }
        }
        assert!(!tries.is_empty(), "nobody tried the webhook that refuses");
        let too_often = tries.into_iter().filter(|(_, times)| {
            let (first, last) = (times[0], times[times.len() - 1]);
            let during = leases.iter().filter(|lease| lease.from <= last + 50 && lease.until >= first);
            times.len() > HALVINGS * during.count().max(1)
        });
        too_often
            .map(|(incident, times)| format!("refused, and tried again: {incident} at {times:?}"))
            .collect()
    }

    fn mailed(&self) -> Vec<Told> {
        let mut all = Vec::new();
        for mail in self.mail.mails() {
            let field = |label: &str| {
                let line = mail.body.lines().find_map(|line| line.strip_prefix(label));
                line.map(|value| value.trim().to_owned())
            };
            let agent = field("Agent:").unwrap();
            let mut tell =
                |path: &str, state: &str, line: &str, since: &str, until: Option<&str>, incident: &str| {
                    // A receiver refused it: no news of the path.
                    if state == "NOTICE" {
                        return;
                    }
                    all.push(Told {
                        receiver: mail.to[0].clone(),
                        agent: agent.clone(),
                        at: self.wall(mail.at),
                        path: path.to_owned(),
                        incident: incident.to_owned(),
                        firing: state == "ALERT",
                        late: line.contains(LATE),
                        since: parse_time(since).unwrap(),
                        until: until.map(|until| parse_time(until).unwrap()),
                    });
                };
            if let Some(incident) = field("Incident:") {
                let until = field("Until:");
                let (path, state) = (field("Path:").unwrap(), field("State:").unwrap());
                let line = mail.body.lines().next().unwrap();
                tell(&path, &state, line, &field("Since:").unwrap(), until.as_deref(), &incident);
                continue;
            }
            let lines: Vec<&str> = mail.body.lines().collect();
            for pair in lines.windows(2).filter(|pair| pair[1].contains("; incident ")) {
                let (state, rest) = pair[0].split_once(' ').unwrap();
                let fact = |label| pair[1].trim().split("; ").find_map(|fact| fact.strip_prefix(label));
                let path = rest.split(':').next().unwrap();
                tell(
                    path,
                    state,
                    pair[0],
                    fact("since ").unwrap(),
                    fact("until "),
                    fact("incident ").unwrap(),
                );
            }
        }
        all
    }
}

impl Seat {
    fn card(&self) -> Card {
        let (address, name) = (self.daemon.address().to_owned(), self.name.clone());
        Card { address, name, from: self.started }
    }
}
