//! Znodes to facts: what is watched, what has to be read again, and in which order it is told.
//!
//! One thread owns the table of watched znodes. Whatever happens rings a bell in its one inbox: watch events,
//! readings by the pool, new generations, new rules, fences. A znode is queued for reading at most once at a
//! time; a bell that rings while it is being read has it read again. So a storm of changes costs a reading per
//! path and not one per change, and the last reading of a path is always later than its last change.

mod ledger;
mod node;
mod table;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, never, select, tick};
use zookeeper::ZkError;

use super::bell::{Bell, Wants};
use super::client::{Client, describe};
use super::globs::Globs;
use super::reading::{Job, Pool};
use crate::model::children::Children;
use crate::model::observation::Fact;
use crate::model::reading::Reading;
use crate::model::rule::RuleSet;
use crate::published::Writer;
use ledger::Ledger;
use node::{Node, Phase};

/// How long until a path that may not be read is tried again: ACLs ring no bell.
const RETRY: Duration = Duration::from_secs(10);
/// How often the thread shows that it is alive while nothing happens.
const PULSE: Duration = Duration::from_secs(1);

/// Watches until it is told to stop; what it sees goes to `facts`. `ledger` is where the alert ledger is.
pub fn run(
    bells: &Receiver<Bell>,
    ring: Sender<Bell>,
    facts: Sender<Fact>,
    ledger: Arc<str>,
    pulse: &Writer<Instant>,
) {
    let mut watcher = Watcher::new(ring, facts, ledger);
    let alive = tick(PULSE);
    loop {
        pulse.publish(clock());
        let retry = watcher.retry_at.map_or_else(never, |at| after(at.saturating_duration_since(clock())));
        select! {
            recv(bells) -> bell => match bell {
                Ok(Bell::Stop) | Err(_) => return,
                Ok(bell) => watcher.hear(bell),
            },
            recv(retry) -> _ => watcher.retry(),
            recv(alive) -> _ => {}
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the watch thread is a shell")]
fn clock() -> Instant {
    Instant::now()
}

struct Generation {
    client: Client,
    pool: Pool,
}

struct Fence {
    path: Arc<str>,
    barrier: u64,
    /// How many znodes have to be read before the barrier is told; `None` until the fence's event has come.
    left: Option<usize>,
}

struct Watcher {
    ring: Sender<Bell>,
    facts: Sender<Fact>,
    rules: Arc<RuleSet>,
    globs: Globs,
    nodes: HashMap<Arc<str>, Node>,
    generation: Option<Generation>,
    ending: Vec<JoinHandle<()>>,
    /// How many znodes were not read yet in this generation.
    unread: usize,
    /// Whether the globs are yet to be told as expanded.
    announce: bool,
    fence: Option<Fence>,
    ledger: Ledger,
    unreadable: BTreeSet<Arc<str>>,
    retry_at: Option<Instant>,
}

impl Watcher {
    fn new(ring: Sender<Bell>, facts: Sender<Fact>, ledger: Arc<str>) -> Self {
        Self {
            ring,
            facts,
            rules: Arc::default(),
            globs: Globs::default(),
            nodes: HashMap::new(),
            generation: None,
            ending: Vec::new(),
            unread: 0,
            announce: false,
            fence: None,
            ledger: Ledger::new(ledger),
            unreadable: BTreeSet::new(),
            retry_at: None,
        }
    }

    fn hear(&mut self, bell: Bell) {
        match bell {
            Bell::Up(client) => self.up(client),
            Bell::Down { generation, reason } => self.down(generation, reason),
            Bell::Rang { generation, path, at } if self.is_current(generation) => self.rang(&path, at),
            Bell::Read { generation, path, wants, rang, answer } if self.is_current(generation) => {
                self.answered(&path, wants, rang, answer);
            }
            Bell::Rules(rules) => self.change_rules(rules),
            Bell::Adopt(paths) => self.adopt(paths),
            Bell::Fence { generation, path, barrier } if self.is_current(generation) => {
                self.fence = Some(Fence { path, barrier, left: None });
            }
            Bell::LedgerWatched { generation, rings } if self.is_current(generation) => {
                self.ledger_watched(rings);
            }
            // Of a generation that is over.
            Bell::Rang { .. } | Bell::Read { .. } | Bell::Fence { .. } | Bell::LedgerWatched { .. } => {}
            Bell::Stop => {}
        }
    }

    fn is_current(&self, generation: u64) -> bool {
        self.generation.as_ref().is_some_and(|current| current.client.generation() == generation)
    }

    fn tell(&self, fact: Fact) {
        // Fails only while the daemon ends, when nobody needs to know any more.
        self.facts.send(fact).ok();
    }

    fn up(&mut self, client: Client) {
        self.end_generation();
        let pool = match Pool::start(&client, &self.ring) {
            Ok(pool) => pool,
            Err(e) => {
                log::error!("cannot start the threads that read znodes: {e}");
                client.end();
                return;
            }
        };
        self.generation = Some(Generation { client, pool });
        self.tell(Fact::Up);
        self.unread = self.nodes.len();
        self.announce = true;
        for (path, node) in &mut self.nodes {
            node.read = false;
            node.rang = None;
            node.phase = Phase::Reading;
            let job = Job { path: Arc::clone(path), wants: node.wants(), rang: None };
            if let Some(generation) = &self.generation {
                generation.pool.read(job);
            }
        }
        self.announce_globs();
    }

    fn down(&mut self, generation: u64, reason: Arc<str>) {
        if self.is_current(generation) {
            self.end_generation();
            self.tell(Fact::Down(reason));
        }
    }

    fn end_generation(&mut self) {
        self.ending.retain(|thread| !thread.is_finished());
        if let Some(generation) = self.generation.take() {
            self.ending.extend(generation.pool.finish());
        }
        self.fence = None;
        self.ledger.forget();
        self.unreadable.clear();
        self.retry_at = None;
        for node in self.nodes.values_mut() {
            node.phase = Phase::Idle;
            node.fenced = 0;
        }
    }

    fn rang(&mut self, path: &Arc<str>, at: Instant) {
        if self.fence.as_ref().is_some_and(|fence| fence.path == *path && fence.left.is_none()) {
            self.raise_fence();
        }
        self.ledger_rang(path);
        if let Some(node) = self.nodes.get_mut(path) {
            node.rang.get_or_insert(at);
            self.read(path);
        }
    }

    /// Has a znode read, now or after the reading that is under way.
    fn read(&mut self, path: &str) {
        let Some((path, _)) = self.nodes.get_key_value(path) else { return };
        let path = Arc::clone(path);
        let (Some(generation), Some(node)) = (&self.generation, self.nodes.get_mut(&path)) else { return };
        match node.phase {
            Phase::Idle => {
                node.phase = Phase::Reading;
                generation.pool.read(Job { path, wants: node.wants(), rang: node.rang.take() });
            }
            Phase::Reading => node.phase = Phase::Dirty,
            Phase::Dirty => {}
        }
    }

    fn answered(
        &mut self,
        path: &Arc<str>,
        wants: Wants,
        rang: Option<Instant>,
        answer: Result<Option<Reading>, ZkError>,
    ) {
        let Some(node) = self.nodes.get_mut(path) else { return };
        let dirty = node.phase == Phase::Dirty;
        node.phase = Phase::Idle;
        let reading = match answer {
            Ok(Some(reading)) if wants.cover(node.wants()) => reading,
            Ok(_) => return self.read(path),
            Err(e) => return self.fail(path, e),
        };
        if !node.read {
            node.read = true;
            self.unread -= 1;
        }
        let passed = node.fenced > 0 && {
            node.fenced -= 1;
            node.fenced == 0
        };
        let marked = std::mem::take(&mut node.marked);
        let watched = node.rule.is_some();
        let orphan = node.is_orphan();
        self.note_unreadable(path, &reading);
        match &reading {
            Reading::Present { children: Some(children), .. } => self.unfold(path, children.clone()),
            Reading::Missing => self.unfold(path, Children::default()),
            // Nothing new is known of the children: those known stay watched.
            Reading::Present { children: None, .. } | Reading::Unreadable(_) => {}
        }
        if watched {
            let delay = rang.map(|rang| clock().saturating_duration_since(rang));
            self.tell(Fact::Observed { path: Arc::clone(path), reading, delay });
        }
        if dirty {
            self.read(path);
        } else if orphan {
            self.forget(path);
        }
        // Which matches of globs have vanished belongs before what waits for all readings.
        self.announce_globs();
        if marked {
            self.pass_mark();
        }
        if passed {
            self.pass_fence();
        }
    }

    /// A call failed. Mostly the generation is over, and its end is on its way; it ends now if it is not, since
    /// the path would never be read otherwise.
    fn fail(&mut self, path: &str, error: ZkError) {
        let Some(generation) = &self.generation else { return };
        if error != ZkError::ConnectionLoss {
            log::warn!("{path}: cannot be read: {}; ending the session", describe(error));
        }
        generation.client.end();
    }

    fn note_unreadable(&mut self, path: &Arc<str>, reading: &Reading) {
        match reading {
            Reading::Unreadable(reason) => {
                if self.unreadable.insert(Arc::clone(path)) {
                    log::warn!("{path}: {reason}; trying again every {} s", RETRY.as_secs());
                }
                self.retry_at.get_or_insert(clock() + RETRY);
            }
            Reading::Missing | Reading::Present { .. } => {
                self.unreadable.remove(path);
            }
        }
    }

    fn retry(&mut self) {
        self.retry_at = None;
        for path in self.unreadable.clone() {
            self.read(&path);
        }
    }

    fn announce_globs(&mut self) {
        if self.announce && self.unread == 0 && self.generation.is_some() {
            self.announce = false;
            for rule in self.rules.globs() {
                self.tell(Fact::Expanded { glob: Arc::clone(&rule.path) });
            }
        }
    }
}

/// Fences.
impl Watcher {
    /// Everything that rang so far has to be read: once, or twice if it rang while it was being read.
    fn raise_fence(&mut self) {
        let mut left = 0;
        for node in self.nodes.values_mut() {
            node.fenced = match node.phase {
                Phase::Idle => 0,
                Phase::Reading => 1,
                Phase::Dirty => 2,
            };
            left += usize::from(node.fenced > 0);
        }
        if let Some(fence) = &mut self.fence {
            fence.left = Some(left);
        }
        self.drop_fence_if_passed();
    }

    fn pass_fence(&mut self) {
        if let Some(Fence { left: Some(left), .. }) = &mut self.fence {
            *left -= 1;
        }
        self.drop_fence_if_passed();
    }

    fn drop_fence_if_passed(&mut self) {
        if let Some(Fence { left: Some(0), barrier, .. }) = self.fence {
            self.fence = None;
            self.tell_ledger_before_barrier();
            self.tell(Fact::Barrier(barrier));
        }
    }
}
