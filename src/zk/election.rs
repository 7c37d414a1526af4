//! Lock znodes → the right to send.
//!
//! Every agent stands in line for the lock and watches the one before it only. The one that is first takes over
//! in steps: it writes, so that its server has applied all that was committed before; lists the line again;
//! loads the ledger and the silences; and sends a barrier behind every bell that rang until then. The alert
//! thread leads from the moment at which the barrier arrives there, not before. The election itself sends no
//! alert.

mod differences;
mod granted;
mod holder;
mod listing;
mod predecessors;
mod trouble;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, after, never, select};
use zookeeper::{Acl, CreateMode, Stat, ZkError};

use self::differences::Differences;
use self::granted::{EFFECT, Granted};
use self::holder::Holder;
use self::listing::{Listing, REFRESH};
use self::predecessors::Predecessors;
use self::trouble::{About, Trouble, absent_is_fine, refused};
use super::agents::{self, AgentInfo, Timeouts};
use super::client::{Answer, Client, describe, is_over};
use super::contenders::{self, Contender, MARK};
use super::ledger::{self, Access, Refusal};
use super::names::{self, Places};
use super::pulse::OwnNode;
use super::reading::FenceProgress;
use super::silences;
use super::skipped::Skipped;
use super::watch_input::WatchInput;
use crate::clock;
use crate::model::dispatcher::Takeover;
use crate::model::election_update::ElectionUpdate;
use crate::model::lease::LeaseStage;
use crate::model::ledger_change::LedgerChange;
use crate::model::status::{Cluster, Connection, Grant, Silence, lease_holds};
use crate::published::{Reader, Writer};

/// How soon to look again at what is about to happen.
const SOON: Duration = Duration::from_millis(50);
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
    /// How far a fence is.
    pub fence: Reader<Option<FenceProgress>>,
}

/// Takes part in the election until it is told to stop.
pub fn run(identity: Identity, places: Places, inlets: Inlets, outlets: Outlets) {
    let info = AgentInfo::new(&identity.instance, identity.started, &identity.http);
    let mut election = Election {
        acl: names::own_acl(identity.credentials),
        places,
        info,
        outlets,
        status: Cluster {
            name: Arc::clone(&inlets.name),
            agent: identity.name.as_str().into(),
            ..Cluster::default()
        },
        inlets,
        differences: Differences::default(),
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
    loop {
        election.outlets.pulse.publish(clock::mono());
        let wait = due.saturating_duration_since(clock::mono()).min(election.lapse_check());
        let first = select! {
            recv(election.inlets.inputs) -> input => Some(input.unwrap_or(Input::Stop)),
            recv(election.inlets.refusals) -> refusal => {
                match refusal {
                    Ok(refusal) => due = election.hear_refusal(refusal, due),
                    // The writers end before this thread does when the daemon ends.
                    Err(_) => election.inlets.refusals = never(),
                }
                None
            }
            recv(after(wait)) -> _ => None,
        };
        let mut turn = clock::mono() >= due;
        // One turn answers all bells that have rung.
        let inputs: Vec<_> = first.into_iter().chain(election.inlets.inputs.try_iter()).collect();
        for input in inputs {
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
    places: Places,
    acl: Vec<Acl>,
    info: AgentInfo,
    inlets: Inlets,
    outlets: Outlets,
    /// The agent's name in it is the identity's, or with a suffix if another process has that.
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
    differences: Differences,
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
    /// When they were asked for last.
    silences_read: Instant,
    ledger: Listing,
    /// Who was before us in line when we looked last.
    before: Predecessors,
    /// One who is no agent and holds the lock, and since when this agent has seen that.
    stranger: Option<(Holder, Instant)>,
}

impl Session {
    fn new(client: Client, timeout: Duration) -> Self {
        Self {
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
            silences_read: clock::mono(),
            ledger: Listing::new(clock::mono()),
            before: Predecessors::default(),
            stranger: None,
        }
    }

    fn is_of(&self, generation: u64) -> bool {
        self.client.generation() == generation
    }
}

impl Election {
    /// Notes what happened; tells whether there is something to be done.
    fn hear(&mut self, input: Input) -> bool {
        match input {
            Input::Up(client, timeout) => {
                self.revoke();
                self.info.session_timeout = u64::try_from(timeout.as_millis()).ok();
                self.session = Some(Session::new(client, timeout));
                true
            }
            Input::Down { generation } => {
                if self.session.take_if(|session| session.is_of(generation)).is_some() {
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
                let places = &self.places;
                let current = self.session.as_mut().filter(|session| session.is_of(generation));
                let Some(session) = current.filter(|_| places.contain(&path)) else { return false };
                session.silences_rang |= *path == *places.silences;
                session.ledger.rings += u64::from(*path == *places.alerts);
                true
            }
            Input::Armed { generation } => {
                let current = self.session.as_mut().filter(|session| session.is_of(generation));
                current.map(|session| session.armed = true).is_some()
            }
            Input::Config(digest) => {
                self.info.config = digest;
                self.session.iter().for_each(|session| self.publish_own(session));
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
        if refusal.lasts(&session.client).about(&refusal.znode)? {
            return Err(refused(&format!("cannot write {}", refusal.znode), ZkError::NoAuth));
        }
        self.refusal = None;
        Ok(())
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
                let differing = self.differences.lasting(&self.status, &self.info.config);
                let stranger = session.stranger.as_ref().filter(|(_, seen)| clock::mono() - *seen >= GRACE);
                self.status.foreign_holder = stranger.is_some();
                self.note_problem(stranger.map(|(holder, _)| holder.words()).or(differing));
                wait.min(self.differences.until_they_last().unwrap_or(wait))
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
        let (stage, fence, grant) = (*self.inlets.stage.get(), *self.inlets.fence.get(), self.status.grant);
        let (Some(session), Some(grant)) = (self.session.as_mut(), grant) else { return };
        let Some(granted) = &mut session.granted else { return };
        let connection = self.inlets.connection.get();
        let generation = connection.session.as_ref().map(|session| session.generation);
        if generation != Some(session.client.generation()) {
            return;
        }
        let now = clock::mono();
        let is_stuck = granted.is_stuck(fence, now);
        if stage == LeaseStage::Lapsed(grant.epoch) {
            log::warn!("the lease ran out before a write was acknowledged; ending the session");
            session.client.end();
            self.ghost_until = Some(now + patience(session.timeout));
        } else if stage != LeaseStage::InEffect(grant.epoch) && is_stuck {
            let waits_for = fence.unwrap_or_default().readings;
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
        self.look_at_silences(session).about(&self.places.silences)?;
        self.check_refusal(session)?;
        self.stand_in_line(session)
    }

    fn read_agents(&mut self, client: &Client) -> Result<(), Trouble> {
        let listed = agents::list(client, &self.places).about(&self.places.agents)?;
        self.skipped_agents.log(listed.skipped);
        (self.status.agents, self.timeouts) = (listed.agents, listed.timeouts);
        Ok(())
    }

    /// Reads the silences if their watch rang, and once in a while in case it was spent without an event: a server sends
    /// none to whoever may not read them just then. Those that cannot be read then stay as they are known.
    fn look_at_silences(&mut self, session: &mut Session) -> Answer<()> {
        if !session.silences_rang && clock::mono() - session.silences_read < REFRESH {
            return Ok(());
        }
        let known = session.silences.clone();
        match self.read_silences(session) {
            Err(ZkError::NoAuth) if !session.silences_rang => {
                let reason = "may not be listed; the silences that are known stay".to_owned();
                self.skipped_silences.log([(self.places.silences.to_string(), reason)].into());
                return Ok(());
            }
            other => other?,
        }
        if std::mem::take(&mut session.silences_rang) || session.silences != known {
            self.outlets.news.send(ElectionUpdate::Silences(session.silences.clone())).ok();
        }
        Ok(())
    }

    fn read_silences(&mut self, session: &mut Session) -> Answer<()> {
        session.silences_read = clock::mono();
        let (silences, skipped) = silences::list(&session.client, &self.places, true)?;
        self.skipped_silences.log(skipped);
        session.silences = silences;
        Ok(())
    }

    /// Makes the persistent znodes of the cluster.
    fn prepare(&self, client: &Client) -> Result<(), Trouble> {
        let made = self.places.prepare(client, self.identity.credentials);
        made.map_err(|(path, e)| {
            if e == ZkError::NoNode && path == self.places.top() {
                return Trouble::Refused(format!(
                    "cannot create {path}: its parent does not exist; if --zookeeper names a chroot, create that znode; \
                     this agent watches and serves, and sends no alerts"
                ));
            }
            refused(&format!("cannot create {path}"), e)
        })
    }

    /// Makes this agent's znode; tells whether it is there. If another process has the name, waits for as long
    /// as a dead one's znode can stay, and then takes another name.
    fn enter_agent(&mut self, session: &mut Session) -> Result<bool, Trouble> {
        if let Some(path) = &session.agent {
            if session.client.exists(path, false).about(path)?.is_some() {
                return Ok(true);
            }
            log::warn!("{path} was removed by somebody; making it again");
            session.agent = None;
        }
        for suffix in 1..=100 {
            let name = match suffix {
                1 => self.identity.name.clone(),
                suffix => format!("{}-{suffix}", self.identity.name),
            };
            let path = format!("{}/{}", self.places.agents, names::encode(&name));
            match session.client.create(&path, &self.info.encode(), &self.acl, CreateMode::Ephemeral) {
                Ok(_) => {
                    session.agent = Some(path.as_str().into());
                    self.status.agent = name.into();
                    self.publish_own(session);
                    return Ok(true);
                }
                Err(ZkError::NodeExists) => {}
                // What may have gone is made again first; this is tried anew after that.
                Err(ZkError::NoNode) => return Err(Trouble::Vanished),
                Err(e) => return Err(refused(&format!("cannot create {path}"), e)),
            }
            if self.remove_own_ghost(session, &path)? {
                return self.enter_agent(session);
            }
            if clock::mono() - session.began < patience(session.timeout) {
                // The watch tells when it goes.
                session.client.exists(&path, true).about(&path)?;
                return Ok(false);
            }
        }
        Err(Trouble::Refused(format!("a hundred agents are called {}", self.identity.name)))
    }

    /// Removes an agent node that an earlier session of this very process left.
    fn remove_own_ghost(&self, session: &Session, path: &str) -> Result<bool, Trouble> {
        let ours = match session.client.data(path, false) {
            Ok((bytes, _)) => {
                AgentInfo::decode(&bytes).is_some_and(|info| info.instance == self.info.instance)
            }
            Err(ZkError::NoNode) => true,
            Err(e) => return Err(e).about(path),
        };
        if ours {
            absent_is_fine(session.client.delete(path, None)).about(path)?;
        }
        Ok(ours)
    }

    fn stand_in_line(&mut self, session: &mut Session) -> Result<Duration, Trouble> {
        while session.armed {
            if let Some(wait) = self.take_place(session)? {
                return Ok(wait);
            }
        }
        Ok(REFRESH)
    }

    /// Joins the line and does what its place asks for; gives nothing if the line changed meanwhile.
    fn take_place(&mut self, session: &mut Session) -> Result<Option<Duration>, Trouble> {
        let mut line = self.line(session)?;
        let mut wait = REFRESH;
        for ghost in line.iter().filter(|one| one.is_of(&self.identity.instance)) {
            if session.lock.as_ref() == Some(ghost) {
                continue;
            }
            if let Some(left) = self.ghost_until.and_then(|end| end.checked_duration_since(clock::mono())) {
                wait = wait.min(left + SOON);
                continue;
            }
            // What an earlier session of this process began to send is still its own until it has ended.
            if *self.inlets.in_flight.get() > 0 {
                wait = SOON;
                continue;
            }
            let znode = self.znode(ghost);
            absent_is_fine(session.client.delete(&znode, None)).about(&znode)?;
        }
        if session.lock.as_ref().is_none_or(|own| !line.contains(own)) {
            if session.lock.take().is_some() {
                log::warn!("this agent's place in line was removed by somebody; joining at its end");
                self.withdraw(session);
            }
            session.lock = Some(self.join_line(&session.client)?);
            line = self.line(session)?;
        }
        let Some(own) = session.lock.clone() else { return Ok(Some(wait)) };
        let place = line.iter().position(|one| *one == own);
        self.note_place(place);
        let first = self.holder(session, line.first())?;
        self.note_leader(first.as_ref().map(|first| Arc::clone(&first.name)));
        self.look_for_stranger(session, first.filter(|_| place != Some(0)))?;
        match place {
            // The lease counts from the pulse's first write to our own znode.
            Some(0) if !self.may_hold(session) => Ok(Some(SOON)),
            Some(0) => Ok(self.lead(session, &own)?.then_some(wait)),
            Some(place) => {
                self.withdraw(session);
                self.look_ahead(session, &line[..place])?;
                wait = self
                    .watch_ledger(session)
                    .about(&self.places.alerts)?
                    .map_or(wait, |left| wait.min(left));
                wait = session.stranger.as_ref().map_or(wait, |(_, seen)| until_it_is_said(*seen, wait));
                let znode = self.znode(&line[place - 1]);
                let before = session.client.look(&znode, true).about(&znode)?;
                // No watch is set on what is hidden.
                Ok(before.map(|shown| shown.map_or(wait.min(PULSE), |_| wait)))
            }
            // Removed between two calls; the next turn joins again.
            None => Ok(Some(SOON)),
        }
    }

    fn note_place(&mut self, place: Option<usize>) {
        let place =
            place.and_then(|place| u32::try_from(place).ok()).filter(|place| *place != self.status.place);
        if let Some(place) = place {
            self.status.place = place;
            self.publish();
        }
    }

    /// Notes who is before this agent. One that left between two calls is no stranger for that; if it was the first, what
    /// was known of the first before stands.
    fn look_ahead(&self, session: &mut Session, line: &[Contender]) -> Result<(), Trouble> {
        let now = clock::mono();
        for (place, one) in line.iter().enumerate() {
            let Some(found) = self.holder(session, Some(one))? else { continue };
            let Some(timeout) = self.timeouts.get(&found.name) else {
                session.before = Predecessors::default();
                return Ok(());
            };
            if place == 0 {
                session.before.see(one.number, *timeout, session.timeout, now);
            }
        }
        Ok(())
    }

    /// Watches the ledger's listing, so that the alert side knows of which paths nobody has told anything since when; gives
    /// the time until there is more to do, if there is.
    fn watch_ledger(&self, session: &mut Session) -> Answer<Option<Duration>> {
        if let Some(change) = session.ledger.watch(&session.client, &self.places.alerts)? {
            if change == LedgerChange::Any {
                log::debug!("cluster {}: watches which entries the ledger has", self.places.cluster);
            }
            let (generation, rings) = (session.client.generation(), session.ledger.rings);
            self.outlets.watch.send(WatchInput::LedgerWatched { generation, rings, change }).ok();
        }
        Ok(session.ledger.wait())
    }

    /// Whether a lease on this session would hold now.
    fn may_hold(&self, session: &Session) -> bool {
        let grant = Grant { epoch: 0, generation: session.client.generation() };
        lease_holds(Some(grant), &self.inlets.connection.get(), clock::mono())
    }

    fn znode(&self, contender: &Contender) -> String {
        format!("{}/{}", self.places.lock, contender.name)
    }

    fn line(&self, session: &Session) -> Result<Vec<Contender>, Trouble> {
        // The watch tells a waiting agent nothing that the one before it does not, and costs a bell for each
        // change of the line; so there is none.
        let names = session.client.children(&self.places.lock, false).about(&self.places.lock)?;
        Ok(contenders::line(&names))
    }

    fn join_line(&self, client: &Client) -> Result<Contender, Trouble> {
        let prefix = format!("{}/{}{MARK}", self.places.lock, self.identity.instance);
        let made = match client.create(
            &prefix,
            self.status.agent.as_bytes(),
            &self.acl,
            CreateMode::EphemeralSequential,
        ) {
            Ok(made) => made,
            Err(ZkError::NoNode) => return Err(Trouble::Vanished),
            Err(e) => return Err(refused(&format!("cannot create {prefix}…"), e)),
        };
        let name = made.rsplit('/').next().unwrap_or_default();
        Contender::parse(name).ok_or_else(|| Trouble::Refused(format!("the server named a lock node {made}")))
    }

    /// Leaves the line after a refusal, so that another agent can lead; gives the time until the next try.
    fn step_aside(&mut self, session: &mut Session) -> Duration {
        self.withdraw(session);
        if session.lock.is_none() {
            return REFRESH;
        }
        // What was begun under the lease is still its own until it has ended.
        if *self.inlets.in_flight.get() > 0 {
            return PULSE;
        }
        let place =
            session.lock.take_if(|own| absent_is_fine(session.client.delete(&self.znode(own), None)).is_ok());
        if place.is_some() {
            log::warn!(
                "cluster {}: left the line, so that another agent can send the alerts",
                self.places.cluster
            );
        }
        REFRESH
    }

    fn note_leader(&mut self, leader: Option<Arc<str>>) {
        if let Some(name) = leader.as_ref().filter(|_| leader != self.status.leader) {
            let cluster = &self.places.cluster;
            match &self.status.leader {
                Some(before) => {
                    log::warn!("cluster {cluster}: {before}, which led, is gone; {name} is first in line")
                }
                None => log::info!("cluster {cluster}: {name} is first in line"),
            }
        }
        self.status.leader = leader;
    }

    /// The first in line, as its lock node tells; nothing if that is gone.
    fn holder(&self, session: &Session, first: Option<&Contender>) -> Result<Option<Holder>, Trouble> {
        let Some(first) = first else { return Ok(None) };
        let znode = self.znode(first);
        match session.client.data(&znode, false) {
            Ok((bytes, stat)) => Ok(Some(Holder::new(&bytes, &stat, znode))),
            Err(ZkError::NoNode) => Ok(None),
            // It may stand in line all the same.
            Err(ZkError::NoAuth) => {
                Ok(session.client.look(&znode, false).about(&znode)?.map(|shown| match shown {
                    Some(stat) => Holder::new(b"", &stat, znode),
                    None => Holder::shut(znode),
                }))
            }
            Err(e) => Err(e).about(&znode),
        }
    }

    /// Notes whether this holder of the lock is no agent. An agent makes its znode before it joins, and both go at once;
    /// so one that joined after the agents were read is found when they are read again, and one that has gone since has
    /// no lock any more.
    fn look_for_stranger(&mut self, session: &mut Session, holder: Option<Holder>) -> Result<(), Trouble> {
        let mut stranger = holder.filter(|holder| !self.timeouts.contains_key(&holder.name));
        if let Some(found) = &stranger {
            self.read_agents(&session.client)?;
            let gone = session.client.look(&found.znode, false).about(&found.znode)?.is_none();
            stranger = stranger.filter(|found| !gone && !self.timeouts.contains_key(&found.name));
        }
        let before = session.stranger.take();
        session.stranger = stranger.map(|holder| match before {
            Some((known, seen)) if known == holder => (known, seen),
            _ => (holder, clock::mono()),
        });
        Ok(())
    }

    /// Removes old silences. One that may not be removed is no reason to send no alerts.
    fn sweep(&self, session: &Session) -> Result<(), Trouble> {
        let swept = silences::sweep(&session.client, &self.places, &session.silences, clock::wall());
        match swept {
            Err(e) if is_over(e) => return Err(Trouble::Over),
            Err(e) => log::debug!("cannot remove a silence that ended: {}", describe(e)),
            Ok(()) => {}
        }
        Ok(())
    }

    /// Takes over, or goes on leading; tells whether it does, or somebody else is first by now.
    fn lead(&mut self, session: &mut Session, own: &Contender) -> Result<bool, Trouble> {
        let znode: Arc<str> = self.znode(own).into();
        if session.granted.is_some() {
            session.client.exists(&znode, true).about(&znode)?;
            return self.sweep(session).map(|()| true);
        }
        let stat = session.client.set(&znode, self.status.agent.as_bytes(), None).about(&znode)?;
        let epoch = epoch(&stat);
        if self.line(session)?.first() != Some(own) {
            return Ok(false);
        }
        let loaded = ledger::load(&session.client, &self.places).about(&self.places.alerts)?;
        self.read_silences(session).about(&self.places.silences)?;
        let adopted = loaded.entries.iter().map(|stored| stored.entry.adoption());
        self.outlets.watch.send(WatchInput::Adopt(adopted.collect())).ok();
        self.barrier += 1;
        let generation = session.client.generation();
        if session.ledger.is_outdated(&session.client, &self.places.alerts).about(&self.places.alerts)? {
            // What its watch has told of is listed no more before the barrier, and what it has not is told here.
            let (rings, change) = (session.ledger.rings, LedgerChange::Any);
            self.outlets.watch.send(WatchInput::LedgerWatched { generation, rings, change }).ok();
        }
        let fence = WatchInput::Fence { generation, path: Arc::clone(&znode), barrier: self.barrier };
        self.outlets.watch.send(fence).ok();
        let grant = Grant { epoch, generation };
        self.outlets.access.publish(Some(Access { epoch, client: session.client.clone() }));
        self.status.grant = Some(grant);
        self.publish();
        self.outlets
            .news
            .send(ElectionUpdate::Granted(Takeover {
                barrier: self.barrier,
                epoch,
                entries: loaded.entries,
                unreadable: loaded.unreadable,
                silences: session.silences.clone(),
                vacant_since: session.before.vacant_since(),
            }))
            .ok();
        // The event of this write is the fence: it comes behind all events of what was committed before.
        session.client.exists(&znode, true).about(&znode)?;
        session.client.set(&znode, self.status.agent.as_bytes(), None).about(&znode)?;
        session.client.exists(&znode, true).about(&znode)?;
        session.granted = Some(Granted::new(clock::mono()));
        session.ledger.forget();
        Ok(true)
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

    fn publish_own(&self, session: &Session) {
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

/// How long a dead process's znode can stay: the session timeout and one tick of the server, which is at most
/// half of the shortest session timeout that it grants.
fn patience(timeout: Duration) -> Duration {
    timeout * 3 / 2
}

/// The time until a stranger who was first seen then is worth a word, if that is before the next look.
fn until_it_is_said(seen: Instant, wait: Duration) -> Duration {
    let left = (seen + GRACE).saturating_duration_since(clock::mono());
    if left.is_zero() { wait } else { wait.min(left) }
}

/// The epoch of the lease that a lock node stands for: the number of the transaction that made the node, of which no
/// two are alike and the later is the greater in the whole life of an ensemble. The lock's own number begins at 0
/// again when somebody removes the lock's parent. It is also smaller than this, being a count of some of the
/// transactions before: so the entries of version 1.0, which bear that, are older than every lease of today.
fn epoch(lock: &Stat) -> u64 {
    // The server counts from 0 upwards.
    lock.czxid.unsigned_abs()
}
