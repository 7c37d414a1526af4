//! What snapshots hold: the facts that `/status`, `/metrics` and the page are made of.
//!
//! Each struct here is the content of one single-writer cell ([`crate::published`]); the writer is named.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::alert_key::AlertKey;
use super::lease::LeaseStage;
use super::path_list::PathList;
use super::receiver::ReceiverId;
use super::rule::{RuleSet, glob_matches};

/// What the evaluator knows of all paths. Written by the evaluator thread.
#[derive(Clone, Debug, Default)]
pub struct Compliance {
    /// All paths.
    pub paths: PathList,
    /// All globs, with how many paths each matches. Apart from the paths, since a znode may have a glob's name.
    pub globs: PathList,
    /// Whether every rule has been read on the session that is up now.
    pub ready: bool,
    /// How often a path's state changed since the start.
    pub transitions: u64,
    /// The time from a watch event to the reading that it caused.
    pub watch_latency: Histogram,
}

/// How good the readings are. Written by the watch thread.
#[derive(Clone, Debug, Default)]
pub struct WatchStatus {
    /// How old the oldest reading was when this was written, to the second; `None` if nothing is watched.
    pub oldest_reading: Option<Duration>,
    /// How many changes a verification found that no event had told of, since the start.
    pub missed_changes: u64,
}

/// Counts of durations by upper bound.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// How many were at most as long as the bound at the same place of [`Histogram::BOUNDS`], and longer than
    /// the bound before it; the last are those over every bound.
    pub counts: [u64; 12],
    /// The sum of all, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// Upper bounds in seconds.
    pub const BOUNDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

    /// Counts one duration.
    pub fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let place = Self::BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(Self::BOUNDS.len());
        self.counts[place] += 1;
        self.sum += seconds;
    }
}

/// What the alert thread knows. Written by the alert thread.
#[derive(Clone, Debug, Default)]
pub struct Alerts {
    /// Every alert that is not inactive.
    pub open: BTreeMap<AlertKey, AlertStatus>,
    /// Every receiver of the configuration.
    pub receivers: BTreeMap<ReceiverId, ReceiverStatus>,
    /// The silences in force.
    pub silences: Vec<Silence>,
}

impl Alerts {
    /// Those of one path, by the names of their rules.
    pub fn of(&self, path: &Arc<str>) -> impl Iterator<Item = (&AlertKey, &AlertStatus)> {
        let from = self.open.range(AlertKey::unnamed(Arc::clone(path))..);
        from.take_while(move |(key, _)| key.path == *path)
    }
}

/// One alert that is not inactive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertStatus {
    /// Where it is.
    pub phase: AlertPhase,
    /// When the path fell out of spec.
    pub since: SystemTime,
    /// The incident's id, if one is open and this agent knows it.
    pub incident: Option<Arc<str>>,
    /// Why nobody is told of it, if nobody is.
    pub quiet: Option<Quiet>,
}

/// Why nobody is told of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// The silence of this id covers it.
    Silenced(Arc<str>),
    /// Its rule has no receiver.
    Nobody,
    /// This path, which its rule depends on, is out of spec.
    Held(Arc<str>),
}

impl Quiet {
    /// In words.
    pub fn words(&self) -> String {
        match self {
            Self::Silenced(id) => format!("silenced by {id}"),
            Self::Nobody => "told nobody".to_owned(),
            Self::Held(path) => format!("held by {path}"),
        }
    }
}

/// Where an alert is, the worst last; `inactive` is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertPhase {
    /// Out of spec, not for long enough.
    Pending,
    /// Out of spec, like something that its rule depends on: it waits for that.
    Held,
    /// Back in spec, not for long enough.
    Recovering,
    /// Out of spec for long enough: told, or to be told.
    Firing,
}

/// How one receiver does.
#[derive(Clone, Debug, Default)]
pub struct ReceiverStatus {
    /// `email`, `slack` …
    pub kind: &'static str,
    /// What it is called where everybody may look: without an address or a secret.
    pub name: Arc<str>,
    /// How many items wait for it.
    pub queued: u64,
    /// How many alerts and ends of alerts it was told of, by this agent, since the start.
    pub sent: u64,
    /// How many messages that took.
    pub messages: u64,
    /// How many attempts failed.
    pub failed: u64,
    /// How many items it refused for good.
    pub refused: u64,
    /// What went wrong last and when, until something goes right. Holds no address and no secret.
    pub last_error: Option<(SystemTime, Arc<str>)>,
}

/// A silence, as it stands in ZooKeeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Its znode's name.
    pub id: Arc<str>,
    /// A path or glob: all alerts of the paths that it matches. With `@` and a name behind it, those of rules with that
    /// name alone.
    pub path: Arc<str>,
    /// When it ends.
    pub until: Until,
    /// Why.
    pub comment: Arc<str>,
    /// Who made it.
    pub by: Arc<str>,
}

/// When a silence ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// Then, by the wall clock.
    Time(SystemTime),
    /// It acknowledges these incidents, by their ids, and is of no other: when all of them are over, the agent that leads
    /// removes it. What falls out of spec after that is a new incident, which nobody has acknowledged, be it removed or
    /// not yet.
    Recovery(BTreeMap<AlertKey, Arc<str>>),
}

/// What is known of an alert's incident: who sends alerts knows it, and nobody else.
#[derive(Clone, Copy, Debug)]
pub enum OpenIncident<'a> {
    /// Nothing.
    Unknown,
    /// None is open: there was none yet, or it is over.
    None,
    /// The one of this id is.
    Of(&'a Arc<str>),
}

impl Silence {
    /// Whether it has not ended by this time.
    pub fn is_in_force(&self, now: SystemTime) -> bool {
        match self.until {
            Until::Time(end) => end > now,
            Until::Recovery(_) => true,
        }
    }

    /// Whether an alert is silenced by it, while it is in force.
    pub fn covers(&self, key: &AlertKey, incident: OpenIncident<'_>) -> bool {
        match &self.until {
            Until::Time(_) => self.is_of(key),
            Until::Recovery(incidents) => match incident {
                OpenIncident::Unknown => incidents.contains_key(key),
                OpenIncident::None => false,
                OpenIncident::Of(id) => {
                    acknowledged(incidents, &key.path).any(|acknowledged| acknowledged == id)
                }
            },
        }
    }

    /// Whether its path or glob means this alert.
    pub fn is_of(&self, key: &AlertKey) -> bool {
        let of_this_name = || {
            let (path, name) = self.path.rsplit_once('@')?;
            (key.name.as_deref() == Some(name)).then(|| glob_matches(path, &key.path))
        };
        glob_matches(&self.path, &key.path) || of_this_name().unwrap_or(false)
    }
}

/// Those of these incidents that are of a path. They are known by their ids: the names are those that the rules had when the
/// incidents were acknowledged.
pub fn acknowledged<'a>(
    incidents: &'a BTreeMap<AlertKey, Arc<str>>,
    path: &'a Arc<str>,
) -> impl Iterator<Item = &'a Arc<str>> {
    let from = incidents.range(AlertKey::unnamed(Arc::clone(path))..);
    from.take_while(move |(key, _)| key.path == *path).map(|(_, incident)| incident)
}

/// The connection to ZooKeeper. Written by the session thread.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// The session, or `None` while there is none.
    pub session: Option<Session>,
    /// How many sessions there were since the start.
    pub sessions: u64,
    /// Why there is none, or why the last one ended.
    pub last_error: Option<Arc<str>>,
}

/// A live session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Counts sessions; no two have the same.
    pub generation: u64,
    /// The server's address.
    pub server: Arc<str>,
    /// The negotiated session timeout.
    pub timeout: Duration,
    /// When the last answered call was sent.
    pub answered: Instant,
    /// When the last acknowledged write of this agent's own node was sent; `None` without such a node.
    pub written: Option<Instant>,
}

impl Connection {
    /// Whether the session answered a call within its timeout.
    pub fn is_up(&self, now: Instant) -> bool {
        self.session.as_ref().is_some_and(|session| now < session.answered + session.timeout)
    }
}

/// This agent's place in the cluster. Written by the election thread.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// The cluster's name.
    pub name: Arc<str>,
    /// This agent's name, `<host>-<pid>`.
    pub agent: Arc<str>,
    /// The name of the agent that is first in line.
    pub leader: Option<Arc<str>>,
    /// How many are before this agent in line, or were when it had a session last.
    pub place: u32,
    /// All agents: name, and digest of their configuration.
    pub agents: Vec<Agent>,
    /// What this agent was granted, if it leads.
    pub grant: Option<Grant>,
    /// Whether the lock is held by one who is no agent, so that no agent sends alerts.
    pub foreign_holder: bool,
    /// Why this agent cannot take part, or what it has to say about the others.
    pub problem: Option<Arc<str>>,
}

/// One agent of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// `<host>-<pid>`.
    pub name: Arc<str>,
    /// Its version.
    pub version: Arc<str>,
    /// The digest of its configuration.
    pub config: Arc<str>,
}

/// The right to send: for one tenure of the lock, on one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The number of the transaction that made this agent's lock node: greater than that of every lease before.
    pub epoch: u64,
    /// The session that the lock node belongs to.
    pub generation: u64,
}

/// Whether a grant is a lease that holds now: on the session that is up, within two thirds of its timeout from
/// the sending of the last acknowledged write. The server cannot have given the lock away by then.
pub fn lease_holds(grant: Option<Grant>, connection: &Connection, now: Instant) -> bool {
    lease_ends(grant, connection).is_some_and(|end| now < end)
}

/// When a grant ceases to be a lease that holds, unless a write is acknowledged; nothing if it is none.
pub fn lease_ends(grant: Option<Grant>, connection: &Connection) -> Option<Instant> {
    let (grant, session) = (grant?, connection.session.as_ref()?);
    let end = session.written? + session.timeout * 2 / 3;
    (grant.generation == session.generation).then_some(end)
}

/// Whether alerts would leave now: a lease is held, and the alert thread has taken it up.
pub fn is_alerting(grant: Option<Grant>, stage: LeaseStage, connection: &Connection, now: Instant) -> bool {
    grant.is_some_and(|grant| stage == LeaseStage::InEffect(grant.epoch))
        && lease_holds(grant, connection, now)
}

/// The configuration in force. Written by the daemon's main thread.
#[derive(Clone, Debug, Default)]
pub struct ConfigStatus {
    /// The file.
    pub file: Arc<str>,
    /// When it was loaded.
    pub loaded: Option<SystemTime>,
    /// What was wrong with the file at the last reload, if that failed.
    pub error: Option<Arc<str>>,
    /// A digest of what it says.
    pub digest: Arc<str>,
    /// The rules.
    pub rules: Arc<RuleSet>,
}
