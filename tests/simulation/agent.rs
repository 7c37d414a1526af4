//! One agent: the dispatcher, and as much of the shells around it as the protocol depends on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zk_monitor::model::alert_key::AlertKey;
use zk_monitor::model::children::Children;
use zk_monitor::model::dispatcher::{Attempt, Dispatcher, Profile, Speaker};
use zk_monitor::model::evaluator::Evaluator;
use zk_monitor::model::judge::Base;
use zk_monitor::model::ledger_change::{ListingReader, ReadListing};
use zk_monitor::model::rule::RuleSet;
use zk_monitor::model::status::AlertPhase;
use zk_monitor::model::time::Now;
use zk_monitor::model::transition::EvaluatorOutput;

use crate::alerts::{ALERTS, FICKLE, receiver_id};
use crate::watching::client::{Client as Watcher, Faults};
use crate::world::{Millis, RECEIVERS, TIMEOUT};
use crate::zookeeper::Lock;

/// A session, as its client knows it.
#[derive(Clone, Debug)]
pub struct Client {
    pub session: u64,
    /// When the last acknowledged write was sent.
    pub written: Millis,
    /// How far the server that it is attached to lags.
    pub lag: Millis,
    /// The state that the server surely shows.
    pub floor: usize,
    /// Whether it stands in line: it does so once all paths were read and are watched.
    pub joined: bool,
    pub lock: Option<Lock>,
    pub taking: bool,
    pub granted: Option<u64>,
    /// When the last request arrives, and the last answer: neither overtakes another.
    pub request_at: Millis,
    pub answer_at: Millis,
}

/// What a follower knows of the ledger's listing, on one session.
#[derive(Debug, Default)]
pub struct Followed {
    /// Whether there is a watch on it, and how often it has rung.
    pub watched: bool,
    pub rings: u64,
    /// As it was read last, and when it was first.
    pub last: Option<ReadListing>,
    pub since: Option<Millis>,
    /// When the watch machine hears of that: nothing that is read later overtakes it.
    pub told_at: Millis,
}

/// How far a follower is with reading the listing.
#[derive(Debug)]
pub enum Look {
    Count,
    /// The watch had rung so often when it began.
    Names(u64, ListingReader),
    CountAgain(u64, ListingReader, Children),
}

/// In what time each agent verifies what it knows.
const REREAD: Millis = 20_000;

pub struct Agent {
    pub number: usize,
    pub life: u32,
    pub up: bool,
    pub stopping: bool,
    pub dispatcher: Dispatcher,
    pub client: Option<Client>,
    /// The watch machine and its readers.
    pub watcher: Watcher,
    pub evaluator: Evaluator,
    /// The last state of which this session's server has told.
    pub applied: usize,
    pub ledger: Followed,
    /// When the watch machine is to be told of the time, and when the evaluator is.
    pub watch_tick: Option<Millis>,
    pub judge_tick: Option<Millis>,
    pub silences: usize,
    /// What falls are measured by, as the ledger said when it was read last.
    pub adopted: Vec<(usize, Base)>,
    /// What the evaluator has to tell, and when it comes to it.
    pub judged: VecDeque<(Millis, EvaluatorOutput)>,
    /// What the dispatcher was told of each alert last.
    pub known: [Option<Option<u32>>; ALERTS],
    /// Since when it is first in line, as it sees it.
    pub first_since: Millis,
    pub slow_until: Millis,
    pub barrier: u64,
    pub flying: Vec<Attempt>,
    /// Sessions before, whose lock nodes are to be removed, and from when on.
    pub ghosts: Vec<(u64, Millis)>,
    pub rules: Arc<RuleSet>,
    pub fickle: bool,
    pub tick: Option<Millis>,
    pub paused_until: Millis,
    pub cut_until: Millis,
    pub isolated: Option<(Millis, usize)>,
    /// Requests that go out before the end are applied so much later.
    pub delay: Millis,
}

/// Which alerts are where.
#[derive(Debug)]
pub struct Timers {
    pub epoch: Option<u64>,
    /// Since when each that fires is out of spec.
    pub firing: BTreeMap<AlertKey, SystemTime>,
    pub pending: BTreeSet<AlertKey>,
}

/// The last receiver is one with a key, that is refreshed.
pub fn profiles() -> Vec<Profile> {
    let profile = |receiver| Profile {
        id: receiver_id(receiver),
        name: "receiver".into(),
        public_name: "r".into(),
        kind: "webhook",
        digest: receiver != 0,
        keyed: receiver == RECEIVERS - 1,
        refresh: (receiver == RECEIVERS - 1).then_some(Duration::from_secs(20)),
    };
    (0..RECEIVERS).map(profile).collect()
}

impl Agent {
    pub fn new(number: usize, life: u32, rules: Arc<RuleSet>, fickle: bool, now: Now) -> Self {
        let identity = Speaker {
            cluster: "c".into(),
            agent: format!("agent{number}").into(),
            instance: format!("{number}.{life}").into(),
            seed: number as u64,
        };
        Self {
            number,
            life,
            up: true,
            stopping: false,
            dispatcher: Dispatcher::new(identity, Duration::from_secs(2)),
            client: None,
            watcher: Watcher::new(Duration::from_millis(REREAD), now.mono, Faults::default()),
            evaluator: Evaluator::new(Arc::default(), now),
            applied: 0,
            ledger: Followed::default(),
            watch_tick: None,
            judge_tick: None,
            silences: 0,
            adopted: Vec::new(),
            judged: VecDeque::new(),
            known: [None; ALERTS],
            first_since: 0,
            slow_until: 0,
            barrier: 0,
            flying: Vec::new(),
            ghosts: Vec::new(),
            rules,
            fickle,
            tick: None,
            paused_until: 0,
            cut_until: 0,
            isolated: None,
            delay: 0,
        }
    }

    pub fn timers(&self) -> Timers {
        let mut timers =
            Timers { epoch: self.dispatcher.epoch(), firing: BTreeMap::new(), pending: BTreeSet::new() };
        for (key, status) in self.dispatcher.alert_status() {
            match status.phase {
                AlertPhase::Pending | AlertPhase::Held => timers.pending.extend([key.clone()]),
                AlertPhase::Firing => timers.firing.extend([(key.clone(), status.since)]),
                AlertPhase::Recovering => {}
            }
        }
        timers
    }

    pub fn is_watched(&self, path: usize) -> bool {
        self.fickle || path != FICKLE
    }

    /// Whether the lease of this epoch holds.
    pub fn holds(&self, epoch: u64, now: Millis) -> bool {
        let client = self.client.as_ref().filter(|client| client.granted == Some(epoch));
        client.is_some_and(|client| now < client.written + TIMEOUT * 2 / 3)
    }
}
