//! Lock znodes → the right to send.
//!
//! Every agent stands in line for the lock and watches the one before it only. The one that is first takes over
//! in steps: it writes, so that its server has applied all that was committed before; lists the line again;
//! loads the ledger and the silences; and sends a barrier behind every bell that rang until then. The alert
//! thread leads from the moment at which the barrier arrives there, not before. The election itself sends no
//! alert.

mod differences;
mod entry;
mod holder;
mod line;
mod predecessors;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, after, never, select};
use zookeeper::{Acl, ZkError};

use self::holder::Holder;
use self::predecessors::Predecessors;
use super::agents::{self, AgentInfo, Timeouts};
use super::client::{Answer, Client, describe, is_over};
use super::contenders::Contender;
use super::ledger::{Access, Refusal};
use super::names::{self, Places};
use super::pulse::OwnNode;
use super::silences;
use super::skipped::Skipped;
use super::watch_input::WatchInput;
use crate::clock;
use crate::model::election_update::ElectionUpdate;
use crate::model::lease::LeaseStage;
use crate::model::status::{Cluster, Connection, Silence};
use crate::published::{Reader, Writer};

/// How often the others' cards are read again, and what could not be done is tried again.
const REFRESH: Duration = Duration::from_secs(10);
/// How soon to look again at what is about to happen.
const SOON: Duration = Duration::from_millis(50);
/// How long a lease may come no nearer to its being in effect: it waits for readings, and leading without effect is worse
/// than not leading. With many readings to go it takes longer, and another agent would have to make them too.
const EFFECT: Duration = Duration::from_secs(10);
/// For how long one who is no agent must have held the lock to be worth a word. The znode of an agent may be missing for
/// a moment.
const GRACE: Duration = Duration::from_secs(2);
/// How often the thread shows that it is alive while nothing happens.
const PULSE: Duration = Duration::from_secs(1);

/// What the election hears.
pub enum Input {
    /// A new generation and its session timeout.
    Up(Client, Duration),
    /// A generation is over.
    Down {
        /// Which.
        generation: u64,
    },
    /// Every watched znode has been read in this generation.
    Armed {
        /// Which.
        generation: u64,
    },
    /// A watch fired.
    Rang {
        /// On which generation.
        generation: u64,
        /// For which znode.
        path: Arc<str>,
    },
    /// The configuration changed; its digest.
    Config(Arc<str>),
    /// The daemon ends: give the lease up.
    Stop,
}

/// Who this agent is.
pub struct Identity {
    /// `<host>-<pid>`.
    pub name: String,
    /// 32 hexadecimal digits, different in each process.
    pub instance: String,
    /// When the process was started.
    pub started: SystemTime,
    /// Where its `/status` is.
    pub http: String,
    /// Whether it authenticates.
    pub credentials: bool,
}

/// Where the election's decisions go.
pub struct Outlets {
    /// To the alert thread.
    pub news: Sender<ElectionUpdate>,
    /// To the watch thread: fences and adopted paths.
    pub watch: Sender<WatchInput>,
    /// For readers.
    pub cluster: Writer<Cluster>,
    /// For the pulse.
    pub own: Writer<Option<OwnNode>>,
    /// For the ledger's writers.
    pub access: Writer<Option<Access>>,
    /// The thread's pulse.
    pub pulse: Writer<Instant>,
}

/// What the election reads.
pub struct Inlets {
    /// The cluster's name.
    pub name: Arc<str>,
    /// Its inbox.
    pub inputs: Receiver<Input>,
    /// Writes of the ledger that this agent may not make.
    pub refusals: Receiver<Refusal>,
    /// The session's state, for the lease.
    pub connection: Reader<Connection>,
    /// How many attempts are under way.
    pub in_flight: Reader<usize>,
    /// How far the alert thread is with the lease.
    pub stage: Reader<LeaseStage>,
    /// How many readings a fence waits for.
    pub fence: Reader<Option<u64>>,
}

/// Takes part in the election until it is told to stop.
pub fn run(identity: Identity, places: Places, inlets: &Inlets, outlets: Outlets) {
    let info = AgentInfo::new(&identity.instance, identity.started, &identity.http);
    let mut election = Election {
        acl: names::own_acl(identity.credentials),
        name: identity.name.clone(),
        places,
        info,
        outlets,
        connection: inlets.connection.clone(),
        in_flight: inlets.in_flight.clone(),
        stage: inlets.stage.clone(),
        fence: inlets.fence.clone(),
        status: Cluster {
            name: inlets.name.clone(),
            agent: identity.name.as_str().into(),
            ..Cluster::default()
        },
        differs_since: None,
        refusal: None,
        ghost_until: None,
        timeouts: Timeouts::new(),
        skipped_agents: Skipped::default(),
        skipped_silences: Skipped::default(),
        session: None,
        barrier: 0,
        identity,
    };
    election.publish();
    let mut due = clock::mono() + REFRESH;
    let mut refusals = inlets.refusals.clone();
    loop {
        election.outlets.pulse.publish(clock::mono());
        let wait = due.saturating_duration_since(clock::mono()).min(election.lapse_check());
        let first = select! {
            recv(inlets.inputs) -> input => Some(input.unwrap_or(Input::Stop)),
            recv(refusals) -> refusal => {
                match refusal {
                    Ok(refusal) => due = election.hear_refusal(refusal, due),
                    // The writers end before this thread does when the daemon ends.
                    Err(_) => refusals = never(),
                }
                None
            }
            recv(after(wait)) -> _ => None,
        };
        let mut turn = clock::mono() >= due;
        // One turn answers all bells that have rung.
        for input in first.into_iter().chain(inlets.inputs.try_iter()) {
            if matches!(input, Input::Stop) {
                return election.revoke();
            }
            turn |= election.hear(input);
        }
        if turn {
            due = clock::mono() + election.turn();
        }
        election.end_lapsed();
    }
}

struct Election {
    identity: Identity,
    /// The name in use: the identity's, or with a suffix if another process has that.
    name: String,
    places: Places,
    acl: Vec<Acl>,
    info: AgentInfo,
    outlets: Outlets,
    connection: Reader<Connection>,
    in_flight: Reader<usize>,
    stage: Reader<LeaseStage>,
    fence: Reader<Option<u64>>,
    status: Cluster,
    session: Option<Session>,
    barrier: u64,
    /// All agents, as they were read last.
    timeouts: Timeouts,
    skipped_agents: Skipped,
    skipped_silences: Skipped,
    /// Until when the lock node of an earlier session of this process is left to that session's end, if its lease lapsed.
    /// Another must not lead while the servers may still make what was asked for on it.
    ghost_until: Option<Instant>,
    /// What this agent may not write of the ledger: it does not stand in line while that lasts.
    refusal: Option<Refusal>,
    /// Since when another agent's configuration differs from ours.
    differs_since: Option<Instant>,
}

/// What this agent has made on the session that is up.
struct Session {
    client: Client,
    timeout: Duration,
    began: Instant,
    /// The znodes of the cluster exist.
    prepared: bool,
    /// Our agent node.
    agent: Option<Arc<str>>,
    /// Our place in line: the name of the lock node.
    lock: Option<Contender>,
    /// Whether every watched znode has been read. Whoever does not know how things are has no business in line.
    armed: bool,
    /// What was granted, if it leads, or would if its barrier had come.
    granted: Option<Granted>,
    silences: Vec<Silence>,
    silences_rang: bool,
    ledger: Listing,
    /// Who was before us in line when we looked last.
    before: Predecessors,
    /// One who is no agent and holds the lock, and since when this agent has seen that.
    stranger: Option<(Holder, Instant)>,
}

/// How a lease that was granted comes to be in effect.
struct Granted {
    /// When it came nearer to it last.
    progress: Instant,
    /// How many readings it waited for then.
    waits_for: Option<u64>,
}

/// The watch on the ledger's listing, which a follower has.
struct Listing {
    /// How often it has rung.
    rings: u64,
    /// How often it had rung when it was set last.
    watched: Option<u64>,
    /// When it may be set again.
    due: Instant,
}

/// A reason to try again after a while.
enum Trouble {
    /// The session is over; there will be another.
    Over,
    /// A znode of ours went between two calls.
    Vanished,
    /// The server refuses, or something is in the way.
    Refused(String),
}

impl From<ZkError> for Trouble {
    fn from(error: ZkError) -> Self {
        if is_over(error) {
            return Self::Over;
        }
        if error == ZkError::NoNode {
            return Self::Vanished;
        }
        Self::Refused(describe(error))
    }
}

impl Election {
    /// Notes what happened; tells whether there is something to be done.
    fn hear(&mut self, input: Input) -> bool {
        match input {
            Input::Up(client, timeout) => {
                self.revoke();
                self.info.session_timeout = u64::try_from(timeout.as_millis()).ok();
                self.session = Some(Session {
                    client,
                    timeout,
                    began: clock::mono(),
                    prepared: false,
                    agent: None,
                    lock: None,
                    armed: false,
                    granted: None,
                    silences: Vec::new(),
                    silences_rang: true,
                    ledger: Listing { rings: 0, watched: None, due: clock::mono() },
                    before: Predecessors::default(),
                    stranger: None,
                });
                true
            }
            Input::Down { generation } => {
                if self.is_current(generation) {
                    self.session = None;
                    self.outlets.own.publish(None);
                    self.revoke();
                    self.status.leader = None;
                    self.status.foreign_holder = false;
                    self.status.agents.clear();
                    self.publish();
                }
                false
            }
            Input::Rang { generation, path } => {
                let ours = self.is_current(generation) && self.places.contain(&path);
                if let Some(session) = self.session.as_mut().filter(|_| ours) {
                    session.silences_rang |= *path == *self.places.silences;
                    session.ledger.rings += u64::from(*path == *self.places.alerts);
                }
                ours
            }
            Input::Armed { generation } => {
                let current = self.is_current(generation);
                if let Some(session) = self.session.as_mut().filter(|_| current) {
                    session.armed = true;
                }
                current
            }
            Input::Config(digest) => {
                self.info.config = digest;
                self.publish_own();
                true
            }
            Input::Stop => false,
        }
    }

    /// The ledger does not let this agent lead; gives the time for the next turn, which was to be at `due`.
    fn hear_refusal(&mut self, refusal: Refusal, due: Instant) -> Instant {
        if self.status.grant.is_none_or(|grant| grant.epoch != refusal.epoch) {
            return due;
        }
        self.refusal = Some(refusal);
        clock::mono()
    }

    /// Whether what this agent was not allowed to write is still refused.
    fn check_refusal(&mut self, session: &Session) -> Result<(), Trouble> {
        let Some(refusal) = &self.refusal else { return Ok(()) };
        if refusal.lasts(&session.client)? {
            return Err(refused(&format!("cannot write {}", refusal.znode), ZkError::NoAuth));
        }
        self.refusal = None;
        Ok(())
    }

    fn is_current(&self, generation: u64) -> bool {
        self.session.as_ref().is_some_and(|session| session.client.generation() == generation)
    }

    /// Does what the state of things asks for; gives the time until it should look again.
    fn turn(&mut self) -> Duration {
        // Without a configuration there is nothing to tell the others yet; it is about to come.
        let Some(mut session) = self.session.take_if(|_| !self.info.config.is_empty()) else {
            return REFRESH;
        };
        let result = self.advance(&mut session);
        let wait = match result {
            Ok(wait) => {
                let differing = self.differing();
                let stranger = session.stranger.as_ref().filter(|(_, seen)| clock::mono() - *seen >= GRACE);
                self.status.foreign_holder = stranger.is_some();
                self.note_problem(stranger.map(|(holder, _)| holder.words()).or(differing));
                wait.min(self.until_it_lasts().unwrap_or(wait))
            }
            Err(Trouble::Over) => REFRESH,
            Err(Trouble::Vanished) => {
                session.prepared = false;
                SOON
            }
            Err(Trouble::Refused(reason)) => {
                session.prepared = false;
                session.stranger = None;
                self.status.foreign_holder = false;
                self.note_problem(Some(reason));
                self.step_aside(&mut session)
            }
        };
        self.session = Some(session);
        self.publish();
        wait
    }

    /// How often to look whether the lease has lapsed, and the pulse of the thread besides.
    fn lapse_check(&self) -> Duration {
        let leading = self.session.as_ref().filter(|session| session.granted.is_some());
        leading.map_or(PULSE, |session| PULSE.min(session.timeout / 6))
    }

    /// A lease that the alert thread saw lapse is not taken up again: what comes next is decided on a new session. One
    /// that ends with its session does not lapse; at the end of the daemon that one is about to be closed, and is left
    /// to that.
    fn end_lapsed(&mut self) {
        let (stage, waits_for, grant) = (*self.stage.get(), *self.fence.get(), self.status.grant);
        let (Some(session), Some(grant)) = (self.session.as_mut(), grant) else { return };
        let Some(granted) = &mut session.granted else { return };
        let connection = self.connection.get();
        let generation = connection.session.as_ref().map(|session| session.generation);
        if generation != Some(session.client.generation()) {
            return;
        }
        let now = clock::mono();
        if granted.waits_for != waits_for {
            *granted = Granted { progress: now, waits_for };
        }
        if stage == LeaseStage::Lapsed(grant.epoch) {
            log::warn!("the lease ran out before a write was acknowledged; ending the session");
            session.client.end();
            self.ghost_until = Some(now + patience(session.timeout));
        } else if stage != LeaseStage::InEffect(grant.epoch) && now - granted.progress >= EFFECT {
            let waits_for = waits_for.unwrap_or_default();
            log::error!(
                "the lease is not in effect, and came no nearer to it for {} s ({waits_for} readings to go); ending the \
                 session",
                EFFECT.as_secs()
            );
            session.client.end();
        }
    }

    fn advance(&mut self, session: &mut Session) -> Result<Duration, Trouble> {
        if !session.prepared {
            self.prepare(&session.client)?;
            session.prepared = true;
        }
        if !self.enter_agent(session)? {
            return Ok(patience(session.timeout).saturating_sub(clock::mono() - session.began) + SOON);
        }
        self.read_agents(&session.client)?;
        if session.silences_rang {
            self.read_silences(session)?;
            session.silences_rang = false;
            self.outlets.news.send(ElectionUpdate::Silences(session.silences.clone())).ok();
        }
        self.check_refusal(session)?;
        self.stand_in_line(session)
    }

    fn read_agents(&mut self, client: &Client) -> Answer<()> {
        let listed = agents::list(client, &self.places)?;
        self.skipped_agents.log(listed.skipped);
        (self.status.agents, self.timeouts) = (listed.agents, listed.timeouts);
        Ok(())
    }

    fn read_silences(&mut self, session: &mut Session) -> Answer<()> {
        let (silences, skipped) = silences::list(&session.client, &self.places, true)?;
        self.skipped_silences.log(skipped);
        session.silences = silences;
        Ok(())
    }

    /// Gives up leading, if this agent leads.
    fn withdraw(&mut self, session: &mut Session) {
        session.granted = None;
        self.revoke();
    }

    fn revoke(&mut self) {
        self.outlets.access.publish(None);
        if self.status.grant.take().is_some() {
            self.publish();
            self.outlets.news.send(ElectionUpdate::Revoked).ok();
        }
    }

    fn publish(&self) {
        self.outlets.cluster.publish(self.status.clone());
    }

    fn publish_own(&self) {
        if let Some(session) = &self.session {
            self.publish_own_of(session);
        }
    }

    fn publish_own_of(&self, session: &Session) {
        let Some(path) = &session.agent else { return };
        let own = OwnNode {
            generation: session.client.generation(),
            path: Arc::clone(path),
            data: self.info.encode().into(),
        };
        self.outlets.own.publish(Some(own));
        session.client.hurry();
    }

    /// Says once what is wrong, and once that it is over.
    fn note_problem(&mut self, problem: Option<String>) {
        let problem: Option<Arc<str>> = problem.map(Into::into);
        if problem == self.status.problem {
            return;
        }
        match &problem {
            Some(problem) => log::warn!("cluster {}: {problem}", self.places.cluster),
            None => log::warn!("cluster {}: all is well again", self.places.cluster),
        }
        self.status.problem = problem;
    }
}

fn refused(what: &str, error: ZkError) -> Trouble {
    let reason = match Trouble::from(error) {
        Trouble::Over => return Trouble::Over,
        Trouble::Vanished => "its parent does not exist".to_owned(),
        Trouble::Refused(reason) => reason,
    };
    Trouble::Refused(format!("{what}: {reason}; this agent watches and serves, and sends no alerts"))
}

fn absent_is_fine(answer: Answer<()>) -> Answer<()> {
    match answer {
        Err(ZkError::NoNode) => Ok(()),
        other => other,
    }
}

/// How long a dead process's znode can stay: the session timeout and one tick of the server, which is at most
/// half of the shortest session timeout that it grants.
fn patience(timeout: Duration) -> Duration {
    timeout * 3 / 2
}
