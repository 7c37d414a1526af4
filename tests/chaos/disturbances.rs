//! What is done to the world, and when: a plan that follows from the seed alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use crate::common::{Answer, Manner, ZooKeeper, throughout};
use crate::expire::expire;
use crate::network::{AGENTS, RECEIVERS, SERVERS};
use crate::txnlog::Millis;
use crate::world::{BLIND, FLAKY, SESSION, World, now};

/// Instead of an agent's index: whichever leads then.
const LEADER: usize = AGENTS.len();

/// By how much wall clocks may be wrong, in milliseconds.
pub const SKEW: u64 = 3_000;

/// Something that is done, to the agent or server of this index where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    KillAgent(usize),
    StopAgent(usize),
    PauseAgent(usize),
    Expire(usize),
    Clock(usize, i64),
    FullDisk(usize),
    KillServer(usize),
    PauseServer(usize),
    /// All packets from one host to another are lost.
    OneWay(usize, usize),
    /// The same both ways.
    Partition(usize, usize),
    /// A host is cut off from all hosts but the test's.
    Isolate(usize),
    /// So many of a hundred packets are lost, both ways.
    Loss(usize, usize, u8),
    /// Packets take so many milliseconds longer, both ways.
    Delay(usize, usize, u64),
    /// Receivers refuse connections.
    ReceiversDown,
    /// The flaky webhook and the mail server misbehave in one of several ways.
    Misbehave(usize),
    Reload,
    RollAgents,
    RollServers,
    /// All servers are killed at the same moment.
    KillServers,
}

/// A harm with its time, from the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub harm: Harm,
    pub from: Duration,
    pub until: Duration,
}

/// What was done to whom, and when.
#[derive(Clone, Debug)]
pub struct Fault {
    pub harm: Harm,
    pub from: Millis,
    pub until: Millis,
}

/// How the flaky webhook misbehaves.
fn answers(way: usize) -> Answer {
    const SLOW: Duration = Duration::from_secs(3);
    let ways = [
        Answer::status(503),
        Answer::status(429).header("Retry-After", "2"),
        Answer::hang_up(),
        Answer::status(200).after(SLOW),
        Answer::status(500).after(SLOW),
        Answer::hang(),
    ];
    ways[way % ways.len()].clone()
}

/// How the mail server misbehaves.
fn manner(way: usize) -> Manner {
    let ways = [
        Manner::CloseAtConnect,
        Manner::Greeting("421 4.3.2 too busy"),
        Manner::DropAfterDot,
        Manner::Slow(Duration::from_millis(700)),
        Manner::RefuseMail("451 4.3.0 later"),
        Manner::DropInData,
    ];
    ways[way % ways.len()].clone()
}

/// All hosts to which something may be done.
fn hosts() -> Vec<usize> {
    [&SERVERS[..], &AGENTS[..], &[RECEIVERS]].concat()
}

impl Harm {
    fn draw(rng: &mut Rng) -> Self {
        let (agent, server) = (rng.usize(..AGENTS.len()), rng.usize(..SERVERS.len()));
        let victim = if rng.u8(..5) < 2 { LEADER } else { agent };
        let (a, b) = Self::pair(rng);
        match rng.u8(..20) {
            0 | 1 => Self::KillAgent(victim),
            2 => Self::StopAgent(victim),
            3 | 4 => Self::PauseAgent(victim),
            5 => Self::Expire(victim),
            6 => Self::Clock(agent, rng.i64(-1..=1) * i64::try_from(SKEW).unwrap()),
            7 => Self::FullDisk(agent),
            8 | 9 => Self::KillServer(server),
            10 => Self::PauseServer(server),
            11 => Self::OneWay(a, b),
            12 => Self::Partition(a, b),
            13 => Self::Isolate(if rng.bool() { AGENTS[agent] } else { SERVERS[server] }),
            14 => Self::Loss(a, b, rng.u8(5..40)),
            15 => Self::Delay(a, b, rng.u64(20..600)),
            16 => Self::ReceiversDown,
            17 => Self::Misbehave(rng.usize(..30)),
            18 => Self::Reload,
            _ => match rng.u8(..4) {
                0 => Self::RollServers,
                1 => Self::KillServers,
                _ => Self::RollAgents,
            },
        }
    }

    /// Two hosts that talk to each other.
    fn pair(rng: &mut Rng) -> (usize, usize) {
        let server = SERVERS[rng.usize(..SERVERS.len())];
        let agent = AGENTS[rng.usize(..AGENTS.len())];
        let (a, b) = match rng.u8(..5) {
            0 | 1 => (agent, server),
            2 => (agent, RECEIVERS),
            3 => (server, SERVERS[(server - SERVERS[0] + 1) % SERVERS.len()]),
            _ => (server, SERVERS[(server - SERVERS[0] + 2) % SERVERS.len()]),
        };
        if rng.bool() { (a, b) } else { (b, a) }
    }

    /// How long it lasts, in milliseconds.
    fn lasts(self, rng: &mut Rng) -> u64 {
        match self {
            Self::KillAgent(_) | Self::StopAgent(_) | Self::KillServer(_) => rng.u64(300..5_000),
            Self::PauseAgent(_) | Self::PauseServer(_) => rng.u64(500..SESSION * 2_500),
            Self::OneWay(..) | Self::Partition(..) => rng.u64(300..SESSION * 3_000),
            Self::Isolate(_) => rng.u64(300..BLIND * 1_600),
            Self::Loss(..) | Self::Delay(..) | Self::FullDisk(_) => rng.u64(2_000..10_000),
            Self::Clock(..) => rng.u64(5_000..20_000),
            Self::ReceiversDown | Self::Misbehave(_) => rng.u64(1_000..8_000),
            Self::Expire(_) | Self::Reload => 500,
            Self::KillServers => rng.u64(1_000..8_000),
            Self::RollAgents => 6_000,
            Self::RollServers => 12_000,
        }
    }

    /// What it takes for itself: no two harms have the same at once.
    fn takes(self) -> BTreeSet<String> {
        let one = |name: String| BTreeSet::from([name]);
        let all = || (0..AGENTS.len()).map(|agent| format!("agent {agent}")).collect();
        match self {
            Self::KillAgent(LEADER)
            | Self::StopAgent(LEADER)
            | Self::PauseAgent(LEADER)
            | Self::Expire(LEADER) => all(),
            Self::KillAgent(agent)
            | Self::StopAgent(agent)
            | Self::PauseAgent(agent)
            | Self::Expire(agent) => one(format!("agent {agent}")),
            Self::Clock(agent, _) => one(format!("clock {agent}")),
            Self::FullDisk(agent) => one(format!("disk {agent}")),
            Self::KillServer(_) | Self::PauseServer(_) | Self::RollServers | Self::KillServers => {
                one(ensemble())
            }
            Self::OneWay(a, b) | Self::Partition(a, b) | Self::Loss(a, b, _) | Self::Delay(a, b, _) => {
                one(if SERVERS.contains(&a) && SERVERS.contains(&b) { ensemble() } else { link(a, b) })
            }
            Self::Isolate(host) => {
                let links = hosts().into_iter().filter(|other| *other != host).map(|other| link(host, other));
                links.chain(SERVERS.contains(&host).then(ensemble)).collect()
            }
            Self::ReceiversDown => one("receivers".into()),
            Self::Misbehave(_) => one("manners".into()),
            Self::Reload => one("reload".into()),
            Self::RollAgents => all(),
        }
    }

    /// Whether packets are lost or late.
    pub fn is_of_the_network(self) -> bool {
        matches!(
            self,
            Self::OneWay(..) | Self::Partition(..) | Self::Isolate(_) | Self::Loss(..) | Self::Delay(..)
        )
    }

    /// Whether it keeps what an agent does from being known, or the agent from doing it.
    pub fn concerns_agent(self, seat: usize) -> bool {
        let host = AGENTS[seat];
        match self {
            Self::KillAgent(agent)
            | Self::StopAgent(agent)
            | Self::PauseAgent(agent)
            | Self::Expire(agent) => agent == seat,
            Self::OneWay(a, b) | Self::Partition(a, b) | Self::Loss(a, b, _) | Self::Delay(a, b, _) => {
                a == host || b == host
            }
            Self::Isolate(isolated) => isolated == host,
            Self::RollAgents => true,
            Self::Clock(..)
            | Self::FullDisk(_)
            | Self::KillServer(_)
            | Self::PauseServer(_)
            | Self::ReceiversDown
            | Self::Misbehave(_)
            | Self::Reload
            | Self::RollServers
            | Self::KillServers => false,
        }
    }
}

fn link(a: usize, b: usize) -> String {
    format!("link {}-{}", a.min(b), a.max(b))
}

/// The servers' own agreement. Of these harms there is one at a time, and some time between two: a ZooKeeper before 3.8.3
/// that is harmed while a server rejoins may lose what was committed (ZOOKEEPER-4643, ZOOKEEPER-4646).
fn ensemble() -> String {
    "ensemble".to_owned()
}

/// How long the ensemble is left alone after it was harmed.
const REJOIN: Duration = Duration::from_secs(4);

/// What is done in a run of this length.
pub fn plan(rng: &mut Rng, length: Duration) -> Vec<Planned> {
    let mut plan: Vec<Planned> = Vec::new();
    let mut taken: BTreeMap<String, Duration> = BTreeMap::new();
    let mut at = Duration::from_secs(2);
    while at < length {
        let harm = Harm::draw(rng);
        let until = at + Duration::from_millis(harm.lasts(rng));
        let is_free = |what: &String| {
            let rest = if *what == ensemble() { REJOIN } else { Duration::ZERO };
            taken.get(what).is_none_or(|until| *until + rest <= at)
        };
        if harm.takes().iter().all(is_free) && until <= length {
            taken.extend(harm.takes().into_iter().map(|what| (what, until)));
            plan.push(Planned { harm, from: at, until });
        }
        at += Duration::from_millis(rng.u64(200..3_000));
    }
    plan
}

impl World {
    /// Does what is planned, and tells what was done.
    pub fn suffer(&mut self, plan: &[Planned]) -> Vec<Fault> {
        let start = Instant::now();
        let begins = plan.iter().enumerate().map(|(index, planned)| (planned.from, index, true));
        let ends = plan.iter().enumerate().map(|(index, planned)| (planned.until, index, false));
        let mut moments: Vec<(Duration, usize, bool)> = begins.chain(ends).collect();
        moments.sort();
        let mut faults: Vec<Option<Fault>> = vec![None; plan.len()];
        for (at, index, begins) in moments {
            let wait = (start + at).saturating_duration_since(Instant::now());
            throughout(wait, "waiting", || {
                self.samples.take(&self.seats, &self.servers);
                true
            });
            if begins {
                let harm = self.aim(plan[index].harm);
                println!("{:6.1} {harm:?}", start.elapsed().as_secs_f64());
                faults[index] = Some(Fault { harm, from: now(), until: Millis::MAX });
                self.begin(harm);
            } else {
                let fault = faults[index].as_mut().unwrap();
                self.end(fault.harm);
                fault.until = now();
            }
        }
        faults.into_iter().flatten().collect()
    }

    /// Finds out who leads, if that is who is to be harmed. Whose process is spared is stopped for a while instead.
    fn aim(&self, harm: Harm) -> Harm {
        let all: [fn(usize) -> Harm; 4] = [Harm::KillAgent, Harm::StopAgent, Harm::PauseAgent, Harm::Expire];
        let made = all.into_iter().find(|make| make(LEADER) == harm);
        let harm = made.map_or(harm, |make| make(self.leaders().first().copied().unwrap_or(0)));
        let ends = |agent| [Harm::KillAgent(agent), Harm::StopAgent(agent)].contains(&harm);
        self.spared.filter(|agent| ends(*agent)).map_or(harm, Harm::PauseAgent)
    }

    fn begin(&mut self, harm: Harm) {
        match harm {
            Harm::KillAgent(agent) => self.end_agent(agent, false),
            Harm::StopAgent(agent) => self.end_agent(agent, true),
            Harm::PauseAgent(agent) => self.seats[agent].daemon.as_mut().unwrap().signal(Signal::STOP),
            Harm::Expire(agent) => {
                let pid = self.seats[agent].daemon.as_ref().unwrap().pid();
                expire(&self.servers, pid);
            }
            Harm::Clock(agent, offset) => self.set_clock(agent, offset),
            Harm::FullDisk(agent) => self.fill_disk(agent, true),
            Harm::KillServer(server) => self.servers[server].kill(),
            Harm::PauseServer(server) => self.servers[server].pause(),
            Harm::OneWay(a, b) => self.network.change(a, b, |link| link.cut = true),
            Harm::Partition(a, b) => self.cut(a, b, true),
            Harm::Isolate(host) => self.isolate(host, true),
            Harm::Loss(a, b, loss) => self.impair(a, b, loss, 0),
            Harm::Delay(a, b, delay) => self.impair(a, b, 0, delay),
            Harm::ReceiversDown => {
                self.web.down();
                self.mail.down();
            }
            Harm::Misbehave(way) => {
                self.web.answer(FLAKY, answers(way));
                self.mail.behave(manner(way / 5));
            }
            Harm::Reload => self.reload(),
            Harm::RollAgents => {
                let spared = self.spared;
                for agent in (0..AGENTS.len()).filter(|agent| spared != Some(*agent)) {
                    self.end_agent(agent, true);
                    self.start_agent(agent);
                }
            }
            Harm::RollServers => {
                for server in 0..SERVERS.len() {
                    self.servers[server].restart();
                    throughout(Duration::from_millis(1_500), "rolling", || true);
                }
            }
            Harm::KillServers => self.servers.iter_mut().for_each(ZooKeeper::kill),
        }
    }

    fn end(&mut self, harm: Harm) {
        match harm {
            Harm::KillAgent(agent) | Harm::StopAgent(agent) => self.start_agent(agent),
            Harm::PauseAgent(agent) => self.seats[agent].daemon.as_mut().unwrap().signal(Signal::CONT),
            Harm::Clock(agent, _) => self.set_clock(agent, 0),
            Harm::FullDisk(agent) => self.fill_disk(agent, false),
            Harm::KillServer(server) => self.servers[server].launch(),
            Harm::KillServers => self.servers.iter_mut().for_each(ZooKeeper::launch),
            Harm::PauseServer(server) => self.servers[server].resume(),
            Harm::OneWay(a, b) => self.network.change(a, b, |link| link.cut = false),
            Harm::Partition(a, b) => self.cut(a, b, false),
            Harm::Isolate(host) => self.isolate(host, false),
            Harm::Loss(a, b, _) | Harm::Delay(a, b, _) => self.impair(a, b, 0, 0),
            Harm::ReceiversDown => {
                self.web.up();
                self.mail.up();
            }
            Harm::Misbehave(_) => {
                self.web.answer(FLAKY, Answer::status(200));
                self.mail.behave(Manner::Good);
            }
            Harm::Expire(_) | Harm::Reload | Harm::RollAgents | Harm::RollServers => {}
        }
    }

    fn cut(&self, a: usize, b: usize, cut: bool) {
        self.network.change(a, b, |link| link.cut = cut);
        self.network.change(b, a, |link| link.cut = cut);
    }

    fn isolate(&self, host: usize, cut: bool) {
        hosts().into_iter().filter(|other| *other != host).for_each(|other| self.cut(host, other, cut));
    }

    fn impair(&self, a: usize, b: usize, loss: u8, delay: u64) {
        for (from, to) in [(a, b), (b, a)] {
            self.network.change(from, to, |link| {
                link.loss = loss;
                link.delay = Duration::from_millis(delay);
            });
        }
    }
}
