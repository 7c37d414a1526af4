//! ZooKeeper: one committed history, servers that show it late, sessions that expire, and locks that go with
//! them.

use std::collections::BTreeMap;
use std::rc::Rc;

use zk_monitor::model::alert_key::AlertKey;
use zk_monitor::model::ledger::{Change, Stored, Written};
use zk_monitor::model::status::Silence;

use crate::alerts::{PATHS, POOL, path_name};
use crate::pool::FIRST;
use crate::watching::tree::{Op, Tree, Trigger};
use crate::world::{Millis, TIMEOUT};

/// What was committed up to one point of the history.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Which violation each path is in, `None` in spec; of the pool, how many children it has.
    pub violations: [Option<u32>; PATHS],
    pub ledger: BTreeMap<AlertKey, Stored>,
    /// How often entries came or went. At first nearly as often as can be counted.
    pub listing: i32,
    /// Lock nodes by their number.
    pub locks: BTreeMap<u64, Lock>,
    pub silences: Vec<Silence>,
    /// The znodes that are watched, and what the change that led here sets off.
    pub tree: Rc<Tree>,
    pub triggers: Rc<Vec<Trigger>>,
}

/// A lock node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Counts from 0 again when somebody has removed the lock's parent.
    pub number: u64,
    /// The number of the transaction that made it.
    pub made: u64,
    pub session: u64,
}

impl State {
    /// The one that holds the lock.
    pub fn holder(&self) -> Option<Lock> {
        self.locks.values().next().copied()
    }
}

/// A request of a client. Those of one session are applied in order.
#[derive(Clone, Debug)]
pub enum Request {
    /// A write of the agent's own node.
    Touch,
    /// A heartbeat that only reads: a mutant.
    Read,
    /// The lock node.
    Lock,
    /// Removes the lock nodes of sessions before.
    RemoveLocks(Vec<u64>),
    /// The write before the ledger is read.
    Fence,
    /// A change of the ledger: the write's id, the alert, the change.
    Ledger(u64, AlertKey, Box<Change>),
    /// The end of the session.
    Close,
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub enum Answer {
    Done,
    Locked(Lock),
    Fenced,
    Written(u64, Written),
    /// The session is over.
    Expired,
}

#[derive(Clone, Debug)]
pub struct Session {
    pub agent: usize,
    pub heard: Millis,
    pub open: bool,
}

#[derive(Debug)]
pub struct ZooKeeper {
    /// The history: when each state was committed.
    history: Vec<(Millis, Rc<State>)>,
    pub sessions: Vec<Session>,
    next_lock: u64,
}

impl ZooKeeper {
    pub fn new() -> Self {
        let mut zk = Self { history: vec![(0, Rc::default())], sessions: Vec::new(), next_lock: 0 };
        let mut all: Vec<Op> = (0..PATHS).map(|path| Op::Create((&*path_name(path)).into())).collect();
        all.extend((0..FIRST).map(|child| Op::Create(format!("{}/{child}", path_name(POOL)).into())));
        zk.change_tree(0, &all, |state| {
            (state.violations[POOL], state.listing) = (Some(FIRST), i32::MAX - 3)
        });
        zk
    }

    pub fn latest(&self) -> &Rc<State> {
        &self.history.last().expect("the history begins with a state").1
    }

    /// How many states were committed.
    pub fn len(&self) -> usize {
        self.history.len()
    }

    pub fn state(&self, index: usize) -> &Rc<State> {
        &self.history[index].1
    }

    /// The last state that was committed by `time`.
    pub fn index_at(&self, time: Millis) -> usize {
        self.history.partition_point(|(at, _)| *at <= time).saturating_sub(1)
    }

    pub fn commit(&mut self, now: Millis, change: impl FnOnce(&mut State)) {
        let mut state = State { triggers: Rc::default(), ..State::clone(self.latest()) };
        change(&mut state);
        self.history.push((now, Rc::new(state)));
    }

    /// Commits a transaction on the znodes that are watched.
    pub fn change_tree(&mut self, now: Millis, ops: &[Op], change: impl FnOnce(&mut State)) {
        let mut tree = Tree::clone(&self.latest().tree);
        let triggers: Vec<Trigger> = ops.iter().flat_map(|op| tree.apply(op)).collect();
        self.commit(now, |state| {
            (state.tree, state.triggers) = (Rc::new(tree), Rc::new(triggers));
            change(state);
        });
    }

    pub fn open(&mut self, agent: usize, now: Millis) -> u64 {
        self.sessions.push(Session { agent, heard: now, open: true });
        self.sessions.len() as u64 - 1
    }

    pub fn session(&mut self, session: u64) -> &mut Session {
        &mut self.sessions[usize::try_from(session).expect("an index")]
    }

    /// Ends the session if it was not heard of for its timeout; returns when to look again.
    pub fn expire(&mut self, session: u64, now: Millis) -> Option<Millis> {
        let found = self.session(session);
        if !found.open {
            return None;
        }
        let end = found.heard + TIMEOUT;
        if end > now {
            return Some(end);
        }
        self.close(session, now);
        None
    }

    pub fn close(&mut self, session: u64, now: Millis) {
        self.session(session).open = false;
        self.commit(now, |state| state.locks.retain(|_, lock| lock.session != session));
    }

    /// Somebody removes the lock nodes and their parent.
    pub fn remove_locks(&mut self, now: Millis) {
        self.next_lock = 0;
        self.commit(now, |state| state.locks.clear());
    }

    /// Applies a request at the leader.
    pub fn apply(&mut self, session: u64, request: Request, now: Millis) -> Answer {
        if !self.session(session).open {
            return Answer::Expired;
        }
        self.session(session).heard = now;
        match request {
            Request::Touch | Request::Read => Answer::Done,
            Request::Fence => Answer::Fenced,
            Request::Lock => {
                self.next_lock += 1;
                let lock = Lock { number: self.next_lock, made: self.len() as u64, session };
                self.commit(now, |state| state.locks.extend([(lock.number, lock)]));
                Answer::Locked(lock)
            }
            Request::RemoveLocks(sessions) => {
                self.commit(now, |state| state.locks.retain(|_, lock| !sessions.contains(&lock.session)));
                Answer::Done
            }
            Request::Ledger(id, key, change) => Answer::Written(id, self.write(key, *change, now)),
            Request::Close => {
                self.close(session, now);
                Answer::Done
            }
        }
    }

    fn write(&mut self, key: AlertKey, change: Change, now: Millis) -> Written {
        let found = self.latest().ledger.get(&key).cloned();
        let version = found.as_ref().map(|stored| stored.version);
        let modified = i64::try_from(self.len()).expect("a short history");
        let next = match (change, version) {
            (Change::Create(entry), None) => Some(Stored { entry, version: 0, modified }),
            (Change::Set(entry, old), Some(version)) if old == version => {
                Some(Stored { entry, version: version + 1, modified })
            }
            (Change::Delete(old), Some(version)) if old == version => None,
            (Change::Create(_) | Change::Set(..) | Change::Delete(_), _) => {
                return Written::Conflict(found.map(Box::new));
            }
        };
        let version = next.as_ref().map_or(0, |stored| stored.version);
        self.commit(now, |state| {
            let before = state.ledger.len();
            match next {
                Some(stored) => drop(state.ledger.insert(key, stored)),
                None => drop(state.ledger.remove(&key)),
            }
            let changes = i32::from(state.ledger.len() != before);
            state.listing = state.listing.wrapping_add(changes);
        });
        Written::Done(version)
    }
}
