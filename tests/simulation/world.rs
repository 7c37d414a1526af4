//! The cluster in virtual time: what is sent arrives later, or too late, or not at all.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use zk_monitor::model::dispatcher::{Delivery, DeliveryId, Effect, Grant};
use zk_monitor::model::ledger::{Change, Stored, Written};
use zk_monitor::model::receiver::{Outcome, ReceiverId};
use zk_monitor::model::status::Silence;
use zk_monitor::model::time::Now;
use zk_monitor::model::transition::{Judged, State as Judgement};

use crate::agent::{Agent, Client, Timers, hold, profiles, rules};
use crate::oracle::{Attempt, FICKLE, Oracle, ordinal};
use crate::random::Random;
use crate::schedule::{Fault, HORIZON, Mood, What};
use crate::zookeeper::{Answer, Request, ZooKeeper};

pub type Millis = u64;

pub const AGENTS: usize = 3;
pub const PATHS: usize = 3;
pub const RECEIVERS: usize = 3;
/// The session timeout.
pub const TIMEOUT: Millis = 6_000;
/// When everything heals, when all paths come back in spec, and when all is over.
const HEAL: Millis = HORIZON + 13_000;
const RECOVER: Millis = HEAL + 45_000;
const END: Millis = RECOVER + 80_000;

/// Ways in which the shells around the dispatcher could be wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutant {
    /// The heartbeat only reads.
    pub heartbeat_reads: bool,
    /// The ledger is loaded without a write before.
    pub no_fence: bool,
    /// The lease does not wait for the transitions before it.
    pub lease_overtakes: bool,
    /// The lease is not checked before an attempt.
    pub lease_unchecked: bool,
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
    Armed(u64),
    Heartbeat(u64),
    Generation(u64),
    /// The answer to a request of that session that was sent then; the state that the server shows.
    Answer(u64, Answer, Millis, usize),
    View(u64),
    Judge,
    Tick,
    Grant(u64, Box<Grant>),
    Attempt(DeliveryId),
    Arrive(usize),
    Outcome(DeliveryId, usize, Outcome),
    NotTried(DeliveryId),
    Exit,
}

#[derive(Debug)]
struct Due(Millis, u64, Box<Event>);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

pub struct World {
    now: Millis,
    start: Instant,
    events: BinaryHeap<Reverse<Due>>,
    next: u64,
    random: Random,
    mutant: Mutant,
    zk: ZooKeeper,
    agents: Vec<Agent>,
    moods: [(Mood, Millis); RECEIVERS],
    oracle: Oracle,
    reconfigured: BTreeSet<usize>,
    healed: bool,
    trace: bool,
}

/// The wall clock at the start.
pub fn world_begins() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

pub fn path_name(path: usize) -> Arc<str> {
    format!("/{path}").into()
}

pub fn path_index(path: &str) -> usize {
    path[1..].parse().expect("a path of the simulation")
}

pub fn receiver_id(receiver: usize) -> ReceiverId {
    ReceiverId(format!("r{receiver}").into())
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
        let mut world = Self {
            now: 0,
            start: Instant::now(),
            events: BinaryHeap::new(),
            next: 0,
            random: Random::new(seed ^ 0x5EED),
            mutant,
            zk: ZooKeeper::new(),
            agents: (0..AGENTS).map(|number| Agent::new(number, 0, true)).collect(),
            moods: [(Mood::Accepts, 0); RECEIVERS],
            oracle: Oracle::default(),
            reconfigured: BTreeSet::new(),
            healed: false,
            trace,
        };
        (0..AGENTS).for_each(|agent| world.boot(agent));
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

    fn moment(&self) -> Now {
        Now { mono: self.start, wall: world_begins() }.after(Duration::from_millis(self.now))
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
            Local::Armed(of) if session == Some(of) => self.armed(agent),
            Local::Heartbeat(of) if session == Some(of) => self.heartbeat(agent, of),
            Local::Generation(of) if session == Some(of) => self.generation(agent),
            Local::Answer(of, answer, sent, floor) if session == Some(of) => {
                self.answer(agent, answer, sent, floor);
            }
            Local::View(of) if session == Some(of) => self.view(agent),
            Local::Grant(of, grant) if session == Some(of) => self.grant(agent, *grant),
            Local::Armed(_) | Local::Heartbeat(_) | Local::Generation(_) => {}
            Local::Answer(..) | Local::View(_) | Local::Grant(..) => {}
            Local::Judge => self.judge(agent),
            Local::Tick => {
                self.agents[agent].tick = None;
                let now = self.moment();
                let effects = self.agents[agent].dispatcher.on_tick(now);
                self.perform(agent, effects);
            }
            Local::Attempt(delivery) => self.attempt(agent, delivery),
            Local::Arrive(attempt) => self.arrive(attempt),
            Local::Outcome(delivery, attempt, outcome) => {
                self.oracle.attempts[attempt].known = Some(outcome.clone());
                self.outcome(agent, delivery, outcome);
            }
            Local::NotTried(delivery) => self.outcome(agent, delivery, Outcome::NotTried),
            Local::Exit => self.kill(agent),
        }
    }
}

/// Life and death of agents, and what goes wrong.
impl World {
    fn boot(&mut self, agent: usize) {
        let now = self.moment();
        let effects = self.agents[agent].dispatcher.on_receivers(profiles(), Duration::from_secs(2), now);
        self.perform(agent, effects);
        let rules = Arc::clone(&self.agents[agent].rules);
        self.tell(agent, Judged::Rules(rules));
        let after = self.random.between(1, 300);
        self.local(agent, after, Local::Connect);
    }

    fn restart(&mut self, agent: usize) {
        if self.agents[agent].up {
            return;
        }
        let (life, fickle) = (self.agents[agent].life + 1, self.agents[agent].fickle || self.healed);
        let (cut, isolated) = (self.agents[agent].cut_until, self.agents[agent].isolated);
        self.agents[agent] = Agent::new(agent, life, fickle);
        (self.agents[agent].cut_until, self.agents[agent].isolated) = (cut, isolated);
        self.say(|| format!("agent {agent} starts"));
        self.boot(agent);
    }

    fn kill(&mut self, agent: usize) {
        self.agents[agent].up = false;
        self.agents[agent].paused_until = 0;
        if self.agents[agent].dispatcher.epoch().is_some() {
            self.oracle.disturbed = self.oracle.disturbed.max(self.now);
        }
    }

    fn fault(&mut self, what: What) {
        self.say(|| format!("{what:?}"));
        let now = self.now;
        self.oracle.disturbed = self.oracle.disturbed.max(now + what.length());
        match what {
            What::Toggle(path) => self.toggle(path),
            What::Crash(agent, down) if self.agents[agent].up => {
                self.kill(agent);
                self.at(now + down, Event::Restart(agent));
            }
            What::Stop(agent, down) if self.agents[agent].up => {
                self.agents[agent].stopping = true;
                let moment = self.moment();
                let effects = self.agents[agent].dispatcher.park(moment);
                self.perform(agent, effects);
                self.send(agent, Request::Close, 1_000);
                self.local(agent, 1_000, Local::Exit);
                self.at(now + 1_000 + down, Event::Restart(agent));
            }
            What::Crash(..) | What::Stop(..) => {}
            What::Pause(agent, length) => self.agents[agent].paused_until = now + length,
            What::Partition(agent, length) => self.agents[agent].cut_until = now + length,
            What::Isolate(agent, length) => {
                let shown = self.shown(agent);
                self.agents[agent].isolated = Some((now + length, shown));
            }
            What::Lag(agent, lag) => {
                if let Some(client) = &mut self.agents[agent].client {
                    client.lag = lag;
                }
            }
            What::Slow(agent, length) => self.agents[agent].slow_until = now + length,
            What::Delay(agent, delay) => self.agents[agent].delay = delay,
            What::Receiver(receiver, mood, length) => self.moods[receiver] = (mood, now + length),
            What::Reload(agent, fickle) if self.agents[agent].up => self.reload(agent, fickle),
            What::Reload(..) => {}
            What::Silence(path, length) => self.silence(path, length),
        }
    }

    fn toggle(&mut self, path: usize) {
        let violation = self.oracle.toggle(path, self.now);
        if self.reconfigured.contains(&path) {
            self.oracle.excuse(path, self.now);
        }
        let before = self.zk.len();
        self.zk.commit(self.now, |state| state.violations[path] = violation);
        self.changed(before);
    }

    fn reload(&mut self, agent: usize, fickle: bool) {
        self.reconfigured.insert(FICKLE);
        self.oracle.excuse_all(FICKLE);
        let found = &mut self.agents[agent];
        (found.fickle, found.rules) = (fickle, rules(fickle));
        found.seen[FICKLE] = None;
        let rules = Arc::clone(&found.rules);
        let now = self.moment();
        let effects = self.agents[agent].dispatcher.on_receivers(profiles(), Duration::from_secs(2), now);
        self.perform(agent, effects);
        self.tell(agent, Judged::Rules(rules));
        self.view(agent);
    }

    fn silence(&mut self, path: usize, length: Millis) {
        self.oracle.excuse(path, self.now);
        self.reconfigured.insert(path);
        let until = self.moment().after(Duration::from_millis(length)).wall;
        let silence =
            Silence { id: "s".into(), path: path_name(path), until, comment: "".into(), by: "".into() };
        let before = self.zk.len();
        self.zk.commit(self.now, |state| state.silences.push(silence));
        self.changed(before);
    }

    fn heal(&mut self) {
        self.healed = true;
        self.say(|| "everything heals".to_owned());
        for agent in 0..AGENTS {
            let found = &mut self.agents[agent];
            (found.paused_until, found.cut_until, found.isolated, found.delay) = (0, 0, None, 0);
            if let Some(client) = &mut found.client {
                client.lag = 20;
            }
            if !found.up {
                self.restart(agent);
            } else if !found.fickle {
                self.reload(agent, true);
            }
            self.view(agent);
        }
        self.moods = [(Mood::Accepts, 0); RECEIVERS];
    }

    fn recover(&mut self) {
        self.oracle.check_alerts(hold);
        self.say(|| "all paths come back in spec".to_owned());
        for path in 0..PATHS {
            if self.zk.latest().violations[path].is_some() {
                self.toggle(path);
            }
        }
    }

    fn finish(&mut self) {
        if self.oracle.broken.is_some() {
            return;
        }
        self.oracle.check_recoveries(&self.reconfigured);
        let left: BTreeMap<Arc<str>, Stored> = self.zk.latest().ledger.clone();
        self.oracle.check_ledger(&left);
        for agent in &self.agents {
            let open = agent.dispatcher.alert_status().count();
            assert_eq!(open, 0, "agent {} still has alerts", agent.number);
        }
    }
}

/// The connection to ZooKeeper.
impl World {
    /// The state that the agent's server shows now.
    fn shown(&self, agent: usize) -> usize {
        let found = &self.agents[agent];
        let Some(client) = &found.client else { return 0 };
        let lagging = self.zk.index_at(self.now.saturating_sub(client.lag));
        let isolated = found.isolated.filter(|(until, _)| *until > self.now).map_or(usize::MAX, |(_, at)| at);
        lagging.min(isolated).max(client.floor)
    }

    /// Something was committed: the watches of all agents ring, sooner or later.
    fn changed(&mut self, before: usize) {
        if self.zk.len() == before {
            return;
        }
        for agent in 0..AGENTS {
            let found = &self.agents[agent];
            let Some(client) = &found.client else { continue };
            let (session, lag) = (client.session, client.lag);
            let isolated = found.isolated.map_or(0, |(until, _)| until.saturating_sub(self.now));
            let cut = found.cut_until.saturating_sub(self.now);
            let after = lag.max(isolated).max(cut) + self.random.between(1, 15);
            self.local(agent, after, Local::View(session));
        }
    }

    fn connect(&mut self, agent: usize) {
        let found = &self.agents[agent];
        let isolated = found.isolated.is_some_and(|(until, _)| until > self.now);
        if found.client.is_some() || found.stopping {
            return;
        }
        if found.cut_until > self.now || isolated {
            return self.local(agent, 300, Local::Connect);
        }
        let session = self.zk.open(agent, self.now);
        self.at(self.now + TIMEOUT, Event::Expire(session));
        let lag = self.random.between(0, 60);
        self.agents[agent].client = Some(Client {
            session,
            written: self.now,
            lag,
            floor: 0,
            armed: false,
            lock: None,
            taking: false,
            granted: None,
            request_at: 0,
            answer_at: 0,
        });
        self.say(|| format!("agent {agent} connects: session {session}"));
        let arming = self.random.between(20, 400);
        self.local(agent, arming, Local::Armed(session));
        self.local(agent, 1, Local::Heartbeat(session));
        self.local(agent, TIMEOUT, Local::Generation(session));
        self.send(agent, Request::Lock, 0);
        self.exorcise(agent);
    }

    /// Removes the lock nodes of sessions before, once nothing is sent under them any more.
    fn exorcise(&mut self, agent: usize) {
        let found = &mut self.agents[agent];
        if found.client.is_some() && found.flying.is_empty() && !found.ghosts.is_empty() {
            let ghosts = std::mem::take(&mut found.ghosts);
            self.send(agent, Request::RemoveLocks(ghosts), 0);
        }
    }

    fn armed(&mut self, agent: usize) {
        if let Some(client) = &mut self.agents[agent].client {
            client.armed = true;
        }
        self.agents[agent].seen = [None; PATHS];
        self.view(agent);
    }

    fn heartbeat(&mut self, agent: usize, session: u64) {
        let request = if self.mutant.heartbeat_reads { Request::Read } else { Request::Touch };
        self.send(agent, request, 0);
        self.local(agent, TIMEOUT / 6, Local::Heartbeat(session));
    }

    /// Sends a request. One that is sent while the agent is cut off leaves when that ends, if the session has
    /// not been given up by then.
    fn send(&mut self, agent: usize, request: Request, after: Millis) {
        let slow = if self.random.chance(2) { self.random.between(0, 2_000) } else { 0 };
        let transit = self.random.between(1, 15) + slow;
        let found = &mut self.agents[agent];
        let sent = self.now;
        let Some(client) = &mut found.client else { return };
        let leaves = (sent + after).max(found.cut_until);
        let arrives = (leaves + transit + found.delay).max(client.request_at);
        client.request_at = arrives;
        let session = client.session;
        self.at(arrives, Event::Request(session, request, sent));
    }

    /// A request has reached the server that the session is attached to.
    fn request(&mut self, session: u64, request: Request, sent: Millis) {
        let agent = self.zk.session(session).agent;
        let given_up = self.agents[agent].client.as_ref().is_none_or(|client| client.session != session);
        if given_up && self.agents[agent].cut_until > sent {
            return;
        }
        if let Some((until, _)) = self.agents[agent].isolated.filter(|(until, _)| *until > self.now) {
            if matches!(request, Request::Read) {
                // A read is answered by the server alone, however stale.
                return self.reply(agent, session, Answer::Done, sent, 0);
            }
            return self.at(until + 1, Event::Request(session, request, sent));
        }
        let before = self.zk.len();
        let ledger = match &request {
            Request::Ledger(_, path, change) => {
                Some((self.zk.latest().ledger.get(path).map(|stored| stored.entry.clone()), change.clone()))
            }
            Request::Touch | Request::Read | Request::Lock | Request::RemoveLocks(_) => None,
            Request::Fence | Request::Close => None,
        };
        if !matches!(request, Request::Touch | Request::Read) {
            self.say(|| format!("session {session} of agent {agent}: {}", brief(&request)));
        }
        let reads = matches!(request, Request::Read);
        let answer = self.zk.apply(session, request, self.now);
        if let (Some((entry, change)), Answer::Written(_, Written::Done(_))) = (ledger, &answer) {
            self.oracle.committed(entry.as_ref(), &change, self.now);
        }
        self.changed(before);
        let floor = if reads { 0 } else { self.zk.len() - 1 };
        self.reply(agent, session, answer, sent, floor);
    }

    fn reply(&mut self, agent: usize, session: u64, answer: Answer, sent: Millis, floor: usize) {
        let transit = self.random.between(1, 15);
        let now = self.now;
        let found = &mut self.agents[agent];
        let Some(client) = found.client.as_mut().filter(|client| client.session == session) else { return };
        let lag = if floor > 0 { client.lag } else { 0 };
        let arrives = (now + lag + transit).max(client.answer_at);
        client.answer_at = arrives;
        self.local(agent, arrives - now, Local::Answer(session, answer, sent, floor));
    }

    fn answer(&mut self, agent: usize, answer: Answer, sent: Millis, floor: usize) {
        let cut = self.agents[agent].cut_until.saturating_sub(self.now);
        let Some(client) = &mut self.agents[agent].client else { return };
        if cut > 0 {
            let session = client.session;
            return self.local(agent, cut, Local::Answer(session, answer, sent, floor));
        }
        client.floor = client.floor.max(floor);
        client.written = client.written.max(sent);
        let session = client.session;
        match answer {
            Answer::Expired => return self.disconnect(agent),
            Answer::Done => {}
            Answer::Locked(lock) => client.lock = Some(lock),
            Answer::Fenced => {
                self.load(agent, session);
                return self.view(agent);
            }
            Answer::Written(id, written) => self.written(agent, id, written),
        }
        self.view(agent);
    }

    fn generation(&mut self, agent: usize) {
        let Some(client) = &self.agents[agent].client else { return };
        let (session, end) = (client.session, client.written + TIMEOUT);
        if end <= self.now {
            self.disconnect(agent);
        } else {
            self.local(agent, end - self.now, Local::Generation(session));
        }
    }

    /// The end of a generation.
    fn disconnect(&mut self, agent: usize) {
        let Some(client) = self.agents[agent].client.take() else { return };
        self.say(|| format!("agent {agent} gives session {} up", client.session));
        self.agents[agent].ghosts.push(client.session);
        if self.agents[agent].dispatcher.epoch().is_some() {
            self.oracle.disturbed = self.oracle.disturbed.max(self.now);
        }
        let now = self.moment();
        let effects = self.agents[agent].dispatcher.on_lease_lost(now);
        self.perform(agent, effects);
        self.tell(agent, Judged::Stale);
        let after = self.random.between(50, 1_000);
        self.local(agent, after, Local::Connect);
    }

    /// Reads what the watches rang for, and the locks.
    fn view(&mut self, agent: usize) {
        let shown = self.shown(agent);
        let state = std::rc::Rc::clone(self.zk.state(shown));
        let cut = self.agents[agent].cut_until > self.now;
        let Some(client) = self.agents[agent].client.as_mut().filter(|_| !cut) else { return };
        // What was read once is not unread: a server goes forward alone.
        client.floor = client.floor.max(shown);
        if !client.armed {
            return;
        }
        let lock = client.lock;
        for path in 0..PATHS {
            let violation = state.violations[path];
            let found = &mut self.agents[agent];
            if found.is_watched(path) && found.seen[path] != Some(violation) {
                found.seen[path] = Some(violation);
                let judged = found.transition(path, violation);
                self.tell(agent, judged);
            }
        }
        if self.agents[agent].silences != state.silences.len() {
            self.agents[agent].silences = state.silences.len();
            let now = self.moment();
            let effects = self.agents[agent].dispatcher.on_silences(state.silences.clone(), now);
            self.perform(agent, effects);
        }
        if lock.is_some() && state.locks.keys().next().copied() == lock {
            self.run_for_office(agent);
        }
    }

    fn run_for_office(&mut self, agent: usize) {
        let Some(client) = &mut self.agents[agent].client else { return };
        if client.taking {
            return;
        }
        client.taking = true;
        let session = client.session;
        self.agents[agent].first_since = self.now;
        if self.mutant.no_fence {
            return self.load(agent, session);
        }
        self.send(agent, Request::Fence, 0);
    }

    /// Lists the locks again, reads the ledger, and sends the barrier.
    fn load(&mut self, agent: usize, session: u64) {
        let shown = self.shown(agent);
        let state = std::rc::Rc::clone(self.zk.state(shown));
        self.view(agent);
        let Some(client) = &mut self.agents[agent].client else { return };
        let Some(lock) = client.lock else { return };
        if state.locks.keys().next().copied() != Some(lock) {
            client.taking = false;
            return;
        }
        self.agents[agent].barrier += 1;
        let barrier = self.agents[agent].barrier;
        let grant = Grant {
            barrier,
            epoch: lock,
            entries: state.ledger.values().cloned().collect(),
            unreadable: Vec::new(),
            silences: state.silences.clone(),
        };
        if self.mutant.lease_overtakes {
            let now = self.moment();
            let effects = self.agents[agent].dispatcher.on_judged(Judged::Barrier(barrier), now);
            self.perform(agent, effects);
        } else {
            self.tell(agent, Judged::Barrier(barrier));
        }
        let after = self.random.between(0, 60);
        self.local(agent, after, Local::Grant(session, Box::new(grant)));
    }

    fn grant(&mut self, agent: usize, grant: Grant) {
        self.say(|| {
            format!("agent {agent} is granted epoch {} with {} entries", grant.epoch, grant.entries.len())
        });
        if let Some(client) = &mut self.agents[agent].client {
            client.granted = Some(grant.epoch);
        }
        let now = self.moment();
        let before = self.agents[agent].timers();
        let effects = self.agents[agent].dispatcher.on_lease(grant, now);
        self.check_office(agent, &before);
        self.perform(agent, effects);
    }

    /// When a lease takes effect, its agent knows no path by less than how it was when the agent found itself
    /// first in line.
    fn check_office(&mut self, agent: usize, before: &Timers) {
        let found = &self.agents[agent];
        let after = found.timers();
        if before.epoch.is_some() || after.epoch.is_none() {
            return;
        }
        for (path, since) in &before.firing {
            if after.firing.get(path).is_some_and(|now| now != since) || after.pending.contains(path) {
                return self.oracle.fail(format!("timers_go_on: agent {agent} restarts {path}"));
            }
        }
        let from = self.zk.index_at(found.first_since.saturating_sub(1));
        for path in (0..PATHS).filter(|path| found.is_watched(*path)) {
            let mut states = (from..self.zk.len()).map(|index| self.zk.state(index).violations[path]);
            if !states.any(|state| found.known[path] == Some(state)) {
                let known = found.known[path];
                return self.oracle.fail(format!("fresh_takeover: agent {agent} knows {path} as {known:?}"));
            }
        }
    }

    fn written(&mut self, agent: usize, id: u64, written: Written) {
        let now = self.moment();
        let effects = self.agents[agent].dispatcher.on_written(id, written, now);
        self.perform(agent, effects);
    }
}

/// The evaluator's facts, and the dispatcher's effects.
impl World {
    /// The evaluator will tell this, after what it has to tell before.
    fn tell(&mut self, agent: usize, judged: Judged) {
        let slow = self.agents[agent].slow_until > self.now;
        let most = if slow {
            1_500
        } else if self.random.chance(3) {
            500
        } else {
            20
        };
        let delay = self.random.between(0, most);
        let last = self.agents[agent].judged.back().map_or(0, |(at, _)| *at);
        let at = last.max(self.now + delay);
        self.agents[agent].judged.push_back((at, judged));
        self.local(agent, at - self.now, Local::Judge);
    }

    fn judge(&mut self, agent: usize) {
        let Some((_, judged)) = self.agents[agent].judged.pop_front() else { return };
        self.say(|| format!("agent {agent} hears {}", told(&judged)));
        if let Judged::Transition(transition) = &judged {
            let known = match &transition.state {
                Judgement::Ok => None,
                Judgement::Error { message, .. } => Some(ordinal(message)),
            };
            self.agents[agent].known[path_index(&transition.path)] = Some(known);
        }
        let now = self.moment();
        let before = self.agents[agent].timers();
        let effects = self.agents[agent].dispatcher.on_judged(judged, now);
        self.check_office(agent, &before);
        self.perform(agent, effects);
    }

    fn perform(&mut self, agent: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Write(write) => {
                    if self.agents[agent].holds(write.epoch, self.now) {
                        self.send(agent, Request::Ledger(write.id, write.path, write.change), 0);
                    } else {
                        // The answer comes from the shell, not within the call that asked for the write.
                        let session = self.agents[agent].client.as_ref().map_or(0, |client| client.session);
                        let answer = Answer::Written(write.id, Written::Failed("no lease".to_owned()));
                        self.local(agent, 1, Local::Answer(session, answer, 0, 0));
                    }
                }
                Effect::Deliver(delivery) => {
                    let id = delivery.id;
                    self.agents[agent].flying.push(delivery);
                    let after = self.random.between(0, 5);
                    self.local(agent, after, Local::Attempt(id));
                }
                Effect::Log(event) => self.say(|| format!("agent {agent} logs {event:?}")),
            }
        }
        self.arm(agent);
    }

    /// Sets the dispatcher's next tick.
    fn arm(&mut self, agent: usize) {
        let Some(deadline) = self.agents[agent].dispatcher.next_deadline() else { return };
        let millis = deadline.saturating_duration_since(self.start).as_micros().div_ceil(1_000);
        let at = u64::try_from(millis).expect("a short time").max(self.now);
        if self.agents[agent].tick.is_none_or(|tick| tick > at) {
            self.agents[agent].tick = Some(at);
            self.local(agent, at - self.now, Local::Tick);
        }
    }

    fn outcome(&mut self, agent: usize, delivery: DeliveryId, outcome: Outcome) {
        self.agents[agent].flying.retain(|flying| flying.id != delivery);
        let now = self.moment();
        let effects = self.agents[agent].dispatcher.on_outcome(delivery, outcome, now);
        self.perform(agent, effects);
        self.exorcise(agent);
    }

    /// The receiver's thread has the delivery: it checks the lease, and makes the attempt.
    fn attempt(&mut self, agent: usize, id: DeliveryId) {
        let found = &self.agents[agent];
        let Some(delivery) = found.flying.iter().find(|flying| flying.id == id).cloned() else { return };
        if !found.holds(delivery.epoch, self.now) && !self.mutant.lease_unchecked {
            return self.local(agent, 0, Local::NotTried(id));
        }
        let leads = self.zk.latest().locks.keys().next() == Some(&delivery.epoch);
        let attempt = self.begin(agent, &delivery, leads);
        let (mood, until) = self.moods[attempt.1];
        let mood = if until > self.now { mood } else { Mood::Accepts };
        let quick = self.random.between(5, 100);
        let (arrives, answers, outcome) = match mood {
            Mood::Accepts => (Some(quick), quick + 5, Outcome::Accepted),
            Mood::Slow => (Some(quick * 10), quick * 30, Outcome::Accepted),
            Mood::Fails => (None, quick, Outcome::Failed { reason: "down".to_owned(), retry_after: None }),
            Mood::Refuses => (None, quick, Outcome::Refused { reason: "never".to_owned() }),
            Mood::Hangs => (None, 5_000, Outcome::Ambiguous { reason: "time-out".to_owned() }),
            Mood::LosesAnswer => (Some(quick * 20), 3_000, Outcome::Ambiguous { reason: "reset".to_owned() }),
        };
        if let Some(after) = arrives {
            self.local(agent, after, Local::Arrive(attempt.0));
        }
        self.local(agent, answers, Local::Outcome(id, attempt.0, outcome));
    }

    fn begin(&mut self, agent: usize, delivery: &Delivery, leads: bool) -> (usize, usize) {
        let receiver = (0..RECEIVERS).find(|receiver| receiver_id(*receiver) == delivery.receiver);
        let receiver = receiver.expect("a receiver of the simulation");
        self.say(|| {
            let items = delivery.notification.items.iter();
            let items: Vec<_> = items
                .map(|item| format!("{:?} {} {} ({})", item.kind, item.path, item.incident, item.message))
                .collect();
            format!("agent {agent} tries receiver {receiver}: {}", items.join(", "))
        });
        let attempt = Attempt {
            process: (agent, self.agents[agent].life),
            receiver,
            start: self.now,
            items: delivery.notification.items.clone(),
            arrived: false,
            known: None,
        };
        (self.oracle.attempt(attempt, delivery.epoch, leads), receiver)
    }

    fn arrive(&mut self, attempt: usize) {
        self.oracle.attempts[attempt].arrived = true;
    }
}

fn told(judged: &Judged) -> String {
    match judged {
        Judged::Transition(transition) => format!("{} {:?}", transition.path, transition.state),
        Judged::Rules(rules) => format!("{} rules", rules.len()),
        Judged::Forgotten(_) | Judged::Stale | Judged::StalePath(_) | Judged::Barrier(_) => {
            format!("{judged:?}")
        }
    }
}

fn brief(request: &Request) -> String {
    match request {
        Request::Ledger(_, path, Change::Create(entry) | Change::Set(entry, _)) => {
            let marks: Vec<_> = entry
                .receivers
                .iter()
                .map(|(id, p)| format!("{id} {} {:?}/{:?}", p.incident, p.firing, p.resolved))
                .collect();
            format!("write {path} {} epoch {} {}", entry.incident, entry.epoch, marks.join(", "))
        }
        Request::Ledger(_, path, Change::Delete(_)) => format!("delete {path}"),
        Request::Touch | Request::Read => "heartbeat".to_owned(),
        Request::Lock | Request::RemoveLocks(_) | Request::Fence | Request::Close => format!("{request:?}"),
    }
}
