//! The cluster in virtual time: what is sent arrives later, or too late, or not at all.

mod effects;
mod life;
mod link;
mod seeing;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use zk_monitor::model::alert_key::AlertKey;
use zk_monitor::model::children::Children;
use zk_monitor::model::dispatcher::{Attempt, AttemptId, Effect, Input, Takeover};
use zk_monitor::model::ledger::{Change, Entry, Stored, Written};
use zk_monitor::model::ledger_change::{Count, LedgerChange, ListingReader, ReadListing};
use zk_monitor::model::receiver::Outcome;
use zk_monitor::model::status::{Silence, Until};
use zk_monitor::model::succession::in_place_of;
use zk_monitor::model::time::Now;
use zk_monitor::model::transition::{EvaluatorOutput, State as Judgement};
use zk_monitor::model::watches::Input as WatchInput;
use zk_monitor::zk::names::{decode_alert, encode_alert};

use crate::agent::{Agent, Client, Followed, Look, Timers, profiles};
use crate::alerts::{
    ALERTS, Dependence, FICKLE, PATHS, POOL, alert_of, path_index, path_name, path_of, receiver_id, rules,
};
use crate::due::Due;
use crate::oracle::{Oracle, Tried};
use crate::random::Random;
use crate::schedule::{Fault, HORIZON, MOST_CHILDREN, Mood, What};
use crate::watching::client::Hop;
use crate::watching::tree::Op;
use crate::zookeeper::{Answer, Lock, Request, ZooKeeper};

pub type Millis = u64;

pub const AGENTS: usize = 3;
pub const RECEIVERS: usize = 3;
/// The session timeout.
pub const TIMEOUT: Millis = 6_000;
/// How long it takes to reload all agents, one after the other.
pub const ROLLED: Millis = 3_000;
/// When everything heals, when all paths come back in spec, and when all is over.
const HEAL: Millis = HORIZON + 13_000;
const RECOVER: Millis = HEAL + 45_000;
const END: Millis = RECOVER + 80_000;

/// Ways in which the shells around the dispatcher could be wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutant {
    /// The heartbeat only reads.
    pub heartbeat_reads: bool,
    /// A takeover writes nothing, neither before the ledger is loaded nor for the fence.
    pub no_fence: bool,
    /// The lease does not wait for the transitions before it.
    pub lease_overtakes: bool,
    /// The lease is not checked before an attempt.
    pub lease_unchecked: bool,
    /// Nobody hears of it when the alert side has seen a lease lapse.
    pub lapse_untold: bool,
    /// A lease's epoch is the number of its lock node.
    pub lock_number: bool,
    /// Followers are not told when entries of the ledger come and go.
    pub ledger_unwatched: bool,
    /// The change of an entry is taken for one of no path.
    pub ledger_ignored: bool,
    /// Entries that came and went between two listings are not thought of.
    pub ledger_uncounted: bool,
    /// The change of an entry is taken for one of any path.
    pub ledger_coarse: bool,
    /// The change of an entry is taken for one of each alert of its path.
    pub ledger_by_path: bool,
    /// Who does not lead does not hear of silences.
    pub silences_unheard: bool,
    /// Who takes over does not hear what a fall is measured by.
    pub base_unread: bool,
    /// The ledger does not keep how a fall ended.
    pub ending_unwritten: bool,
    /// The ledger keeps nothing of what nobody has been tried to be told yet.
    pub owed_unwritten: bool,
    /// The evaluator does not hear that time passes.
    pub judge_untimed: bool,
    /// A reload removes all rules before it brings the new ones.
    pub reload_removes: bool,
    /// What the dependant's rule depends on is not what the file says.
    pub dependence: Dependence,
}

#[derive(Debug)]
enum Event {
    Fault(What),
    /// A request reaches the session's server.
    Request(u64, Request, Millis),
    Agent(usize, u32, Local),
    Expire(u64),
    Restart(usize),
    Heal,
    Recover,
}

/// What happens at one agent.
#[derive(Debug)]
enum Local {
    Connect,
    Hop(u64, Hop),
    WatchLedger(u64, Look),
    WatchTick,
    JudgeTick,
    Heartbeat(u64),
    Generation(u64),
    /// The answer to a request of that session that was sent then; the state that the server shows.
    Answer(u64, Answer, Millis, usize),
    View(u64),
    Judge,
    Tick,
    Grant(u64, Box<Takeover>),
    /// The alert side has seen the lease of that session lapse.
    Lapsed(u64),
    /// Lock nodes of sessions before may be removed now.
    Exorcise,
    Attempt(AttemptId),
    Arrive(usize),
    Outcome(AttemptId, usize, Outcome),
    NotTried(AttemptId),
    /// Signals: to end and stay away for so long, and to read the configuration again.
    Stop(Millis),
    Reload(Option<bool>),
    Exit(Millis),
}

pub struct World {
    now: Millis,
    start: Instant,
    events: BinaryHeap<Reverse<Due<Box<Event>>>>,
    next: u64,
    random: Random,
    mutant: Mutant,
    zk: ZooKeeper,
    agents: Vec<Agent>,
    /// Which version of the file there is now.
    file: usize,
    moods: [(Mood, Millis); RECEIVERS],
    oracle: Oracle,
    reconfigured: BTreeSet<usize>,
    healed: bool,
    /// How far each agent's wall clock is ahead.
    skews: [i64; AGENTS],
    trace: bool,
}

/// The wall clock at the start.
pub fn world_begins() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

/// Runs one schedule; the promise that was broken, if one was.
pub fn run(seed: u64, faults: &[Fault], mutant: Mutant, trace: bool) -> Option<String> {
    let mut world = World::new(seed, mutant, trace);
    for fault in faults {
        world.at(fault.at, Event::Fault(fault.what));
    }
    world.at(HEAL, Event::Heal);
    world.at(RECOVER, Event::Recover);
    world.turn(END);
    world.finish();
    world.oracle.broken
}

impl World {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant can be made in no other way; its value is free"
    )]
    fn new(seed: u64, mutant: Mutant, trace: bool) -> Self {
        let start = Instant::now();
        let rules = Arc::new(rules(0, true, mutant.dependence));
        let moment = Now { mono: start, wall: world_begins() };
        let mut world = Self {
            now: 0,
            start,
            events: BinaryHeap::new(),
            next: 0,
            random: Random::new(seed ^ 0x5EED),
            mutant,
            zk: ZooKeeper::new(),
            agents: (0..AGENTS)
                .map(|number| Agent::new(number, 0, Arc::clone(&rules), true, moment))
                .collect(),
            file: 0,
            moods: [(Mood::Accepts, 0); RECEIVERS],
            oracle: Oracle::default(),
            reconfigured: BTreeSet::new(),
            healed: false,
            skews: [0; AGENTS],
            trace,
        };
        let steady = world.random.chance(40);
        for agent in 0..AGENTS {
            let skew = if steady || world.random.chance(50) {
                0
            } else {
                world.random.between(0, 120_000) as i64 - 60_000
            };
            world.set_clock(agent, skew);
            world.boot(agent);
        }
        world
    }

    fn at(&mut self, time: Millis, event: Event) {
        self.next += 1;
        self.events.push(Reverse(Due(time.max(self.now), self.next, Box::new(event))));
    }

    fn local(&mut self, agent: usize, after: Millis, local: Local) {
        let life = self.agents[agent].life;
        self.at(self.now + after, Event::Agent(agent, life, local));
    }

    /// Now, by the clocks of an agent: the wall clocks of no two agents need agree.
    fn moment(&self, agent: usize) -> Now {
        let now = Now { mono: self.start, wall: world_begins() }.after(Duration::from_millis(self.now));
        let skew = Duration::from_millis(self.skews[agent].unsigned_abs());
        Now { wall: if self.skews[agent] < 0 { now.wall - skew } else { now.wall + skew }, ..now }
    }

    /// The first millisecond that is not before a moment.
    fn millis(&self, moment: Instant) -> Millis {
        let millis = moment.saturating_duration_since(self.start).as_micros().div_ceil(1_000);
        u64::try_from(millis).expect("a short time")
    }

    fn say(&self, words: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>7} {}", self.now, words());
        }
    }

    fn turn(&mut self, end: Millis) {
        while let Some(Reverse(Due(time, order, event))) = self.events.pop() {
            if time > end || self.oracle.broken.is_some() {
                return;
            }
            self.now = time;
            match *event {
                Event::Agent(agent, life, local) => {
                    let found = &self.agents[agent];
                    if found.life != life || !found.up && !matches!(local, Local::Arrive(_)) {
                        if let Local::Arrive(attempt) = local {
                            self.arrive(attempt);
                        }
                    } else if found.paused_until > time && !matches!(local, Local::Arrive(_)) {
                        let resume = found.paused_until;
                        let again = Event::Agent(agent, life, local);
                        self.events.push(Reverse(Due(resume, order, Box::new(again))));
                    } else {
                        self.local_event(agent, local);
                    }
                }
                Event::Fault(what) => self.fault(what),
                Event::Request(session, request, sent) => self.request(session, request, sent),
                Event::Expire(session) => {
                    let before = self.zk.len();
                    if let Some(again) = self.zk.expire(session, self.now) {
                        self.at(again, Event::Expire(session));
                    }
                    self.changed(before);
                }
                Event::Restart(agent) => self.restart(agent),
                Event::Heal => self.heal(),
                Event::Recover => self.recover(),
            }
        }
    }

    fn local_event(&mut self, agent: usize, local: Local) {
        let session = self.agents[agent].client.as_ref().map(|client| client.session);
        match local {
            Local::Connect => self.connect(agent),
            Local::Hop(of, hop) if session == Some(of) => self.hop(agent, hop),
            Local::WatchLedger(of, look) if session == Some(of) => self.watch_ledger(agent, look),
            Local::WatchTick => {
                self.agents[agent].watch_tick = None;
                self.watch(agent, WatchInput::Tick);
            }
            Local::JudgeTick => {
                self.agents[agent].judge_tick = None;
                self.pass_time(agent);
            }
            Local::Heartbeat(of) if session == Some(of) => self.heartbeat(agent, of),
            Local::Generation(of) if session == Some(of) => self.generation(agent),
            Local::Answer(of, answer, sent, floor) if session == Some(of) => {
                self.answer(agent, answer, sent, floor);
            }
            Local::View(of) if session == Some(of) => self.view(agent),
            Local::Grant(of, grant) if session == Some(of) => self.grant(agent, *grant),
            // The servers may still make what was asked for on that session, until they end it.
            Local::Lapsed(of) if session == Some(of) => self.disconnect(agent, self.now + TIMEOUT * 3 / 2),
            Local::Exorcise => self.exorcise(agent),
            Local::Hop(..) | Local::WatchLedger(..) | Local::Heartbeat(_) | Local::Generation(_) => {}
            Local::Lapsed(_) => {}
            Local::Answer(..) | Local::View(_) | Local::Grant(..) => {}
            Local::Judge => self.judge(agent),
            Local::Tick => {
                self.agents[agent].tick = None;
                let now = self.moment(agent);
                let effects = self.agents[agent].dispatcher.handle(Input::Tick, now);
                self.perform(agent, effects);
            }
            Local::Attempt(delivery) => self.attempt(agent, delivery),
            Local::Arrive(attempt) => self.arrive(attempt),
            Local::Outcome(delivery, attempt, outcome) => {
                self.oracle.attempts[attempt].known = Some(outcome.clone());
                self.outcome(agent, delivery, outcome);
            }
            Local::NotTried(delivery) => self.outcome(agent, delivery, Outcome::NotTried),
            Local::Stop(down) => self.stop(agent, down),
            Local::Reload(fickle) => self.reload(agent, fickle),
            Local::Exit(down) => self.exit(agent, down),
        }
        self.lapse(agent);
    }
}
