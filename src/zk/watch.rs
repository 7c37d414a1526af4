//! Znodes to facts: what is watched, what has to be read again, and in which order it is told.
//!
//! One thread owns the table of watched znodes. Whatever happens rings a bell in its one inbox: watch events,
//! readings by the pool, new generations, new rules, fences. A znode is queued for reading at most once at a
//! time; a bell that rings while it is being read has it read again. So a storm of changes costs a reading per
//! path and not one per change, and the last reading of a path is always later than its last change.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, after, never, select, tick};
use zookeeper::ZkError;

use super::client::Client;
use super::globs::{Globs, Site};
use super::reading::{Job, Pool, Wants};
use crate::model::children::Children;
use crate::model::observation::{Fact, Reading};
use crate::model::rule::{RuleSet, is_glob};
use crate::published::Writer;

/// How long until a path that may not be read is tried again: ACLs ring no bell.
const RETRY: Duration = Duration::from_secs(10);
/// How often the thread shows that it is alive while nothing happens.
const PULSE: Duration = Duration::from_secs(1);

/// What the watch thread hears.
pub enum Bell {
    /// A new generation; everything has to be read on it.
    Up(Client),
    /// A generation is over.
    Down {
        /// Which.
        generation: u64,
        /// Why, in words.
        reason: Arc<str>,
    },
    /// A watch fired.
    Rang {
        /// On which generation.
        generation: u64,
        /// For which znode.
        path: Arc<str>,
        /// When.
        at: Instant,
    },
    /// The pool has read a znode.
    Read {
        /// On which generation.
        generation: u64,
        /// Which znode.
        path: Arc<str>,
        /// What was read of it.
        wants: Wants,
        /// When the watch rang that caused it.
        rang: Option<Instant>,
        /// What it showed; nothing if it has to be read again.
        answer: Result<Option<Reading>, ZkError>,
    },
    /// New rules.
    Rules(Arc<RuleSet>),
    /// Paths with open incidents, and since when: those that a glob matches are watched although they may be
    /// gone from the listings.
    Adopt(Vec<(Arc<str>, SystemTime)>),
    /// The next event of this znode is a fence: all that rang before it has to be told, then the barrier.
    Fence {
        /// The generation it holds for.
        generation: u64,
        /// The znode.
        path: Arc<str>,
        /// The barrier's number.
        barrier: u64,
    },
    /// The daemon ends.
    Stop,
}

/// Watches until it is told to stop; what it sees goes to `facts`.
pub fn run(bells: &Receiver<Bell>, ring: Sender<Bell>, facts: Sender<Fact>, pulse: &Writer<Instant>) {
    let mut watcher = Watcher::new(ring, facts);
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

/// Where the reading of a znode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Armed: its next change will ring.
    Idle,
    /// Queued or being read.
    Reading,
    /// Being read, and rang meanwhile.
    Dirty,
}

/// One watched znode.
#[derive(Debug)]
struct Node {
    /// What its rule wants, if it has one.
    rule: Option<Wants>,
    /// Named by a rule, or where a glob begins: watched whether it exists or not.
    rooted: bool,
    /// By how many listings a glob leads here.
    listed: u16,
    phase: Phase,
    /// Whether it was read in this generation.
    read: bool,
    /// When the bell rang that has not been answered by a reading.
    rang: Option<Instant>,
    /// How many readings the fence still waits for.
    fenced: u8,
    unfolds: Option<Box<Unfolds>>,
}

/// What globs make of a znode's children.
#[derive(Debug, Default)]
struct Unfolds {
    sites: Vec<Site>,
    /// The children as last read; `None` if they were not read for this yet.
    listing: Option<Children>,
    /// Whether fixed levels lead here, so that no listing tells of its creation.
    beyond: bool,
}

impl Node {
    fn new() -> Self {
        Self {
            rule: None,
            rooted: false,
            listed: 0,
            phase: Phase::Idle,
            read: false,
            rang: None,
            fenced: 0,
            unfolds: None,
        }
    }

    fn wants(&self) -> Wants {
        let mut wants = self.rule.unwrap_or_default();
        if let Some(unfolds) = &self.unfolds {
            wants.children = true;
            wants.creation |= unfolds.beyond;
        }
        wants.creation |= self.rooted;
        // A path that no listing leads to any more is read for the last time.
        wants.creation &= self.rooted || self.listed > 0;
        wants
    }

    fn is_orphan(&self) -> bool {
        !self.rooted && self.listed == 0
    }
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
    unreadable: BTreeSet<Arc<str>>,
    retry_at: Option<Instant>,
}

impl Watcher {
    fn new(ring: Sender<Bell>, facts: Sender<Fact>) -> Self {
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
            // Of a generation that is over.
            Bell::Rang { .. } | Bell::Read { .. } | Bell::Fence { .. } => {}
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
            // The generation is over, and its end is on its way.
            Err(_) => return,
        };
        if !node.read {
            node.read = true;
            self.unread -= 1;
        }
        let passed = node.fenced > 0 && {
            node.fenced -= 1;
            node.fenced == 0
        };
        let watched = node.rule.is_some();
        let orphan = node.is_orphan();
        self.note_unreadable(path, &reading);
        if let Reading::Present { children: Some(children), .. } = &reading {
            self.unfold(path, children.clone());
        } else {
            self.unfold(path, Children::default());
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
        if passed {
            self.pass_fence();
        }
        self.announce_globs();
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
            self.tell(Fact::Barrier(barrier));
        }
    }
}

/// The table of znodes.
impl Watcher {
    /// Makes the table anew from the rules. Znodes that stay keep what is known of them and are not read again,
    /// unless they are now judged otherwise.
    fn change_rules(&mut self, rules: Arc<RuleSet>) {
        let before = std::mem::replace(&mut self.rules, Arc::clone(&rules));
        self.globs = Globs::new(rules.globs().iter().map(AsRef::as_ref));
        self.tell(Fact::Rules(Arc::clone(&rules)));
        let mut old = std::mem::take(&mut self.nodes);
        for rule in rules.exact() {
            self.restore(&rule.path, &mut old).rooted = true;
        }
        let roots: Vec<_> = self.globs.roots().collect();
        let mut unfolded = Vec::new();
        for (path, site) in roots {
            let node = self.restore(&path, &mut old);
            node.rooted = true;
            let unfolds = node.unfolds.get_or_insert_default();
            unfolds.sites.push(site);
            unfolded.push((Arc::<str>::from(path), site));
        }
        while let Some((path, site)) = unfolded.pop() {
            for child in self.listing(&path).names() {
                let Some(step) = self.globs.step(site, &path, child) else { continue };
                let node = self.restore(&step.path, &mut old);
                node.listed += 1;
                if let Some(site) = step.site {
                    let unfolds = node.unfolds.get_or_insert_default();
                    unfolds.sites.push(site);
                    unfolds.beyond |= step.beyond;
                    unfolded.push((step.path.into(), site));
                }
            }
        }
        for path in old.keys() {
            self.unreadable.remove(path);
        }
        self.drop_from_fence(old.values().filter(|node| node.fenced > 0).count());
        self.finish_change(&before);
    }

    /// A znode of the new table: with what the old one knew of it, but none of its reasons to be there.
    fn restore(&mut self, path: &str, old: &mut HashMap<Arc<str>, Node>) -> &mut Node {
        let rule = self.rules.for_path(path).map(|rule| wants_of(&rule.specs));
        if let Some((path, mut node)) = old.remove_entry(path) {
            node.rooted = false;
            node.listed = 0;
            node.rule = rule;
            if let Some(unfolds) = &mut node.unfolds {
                unfolds.sites.clear();
                unfolds.beyond = false;
            }
            return self.nodes.entry(path).or_insert(node);
        }
        self.nodes.entry(path.into()).or_insert_with(|| Node { rule, ..Node::new() })
    }

    /// Reads what is new in the table, or judged by another condition than before.
    fn finish_change(&mut self, before: &RuleSet) {
        for node in self.nodes.values_mut() {
            if node.unfolds.as_ref().is_some_and(|unfolds| unfolds.sites.is_empty()) {
                node.unfolds = None;
            }
        }
        self.unread = self.nodes.values().filter(|node| !node.read).count();
        self.announce = true;
        let changed = |path: &str| match (before.for_path(path), self.rules.for_path(path)) {
            (Some(before), Some(now)) => !before.same_condition(now),
            (None, Some(_)) => true,
            (Some(_) | None, None) => false,
        };
        let again: Vec<_> = self
            .nodes
            .iter()
            .filter(|(path, node)| {
                let unlisted = node.unfolds.as_ref().is_some_and(|unfolds| unfolds.listing.is_none());
                (!node.read || unlisted) && node.phase == Phase::Idle || changed(path)
            })
            .map(|(path, _)| Arc::clone(path))
            .collect();
        for path in again {
            self.read(&path);
        }
        self.announce_globs();
    }

    /// Takes a new listing of a znode's children: what came is watched, what went is read once more.
    fn unfold(&mut self, path: &Arc<str>, listing: Children) {
        let Some(unfolds) = self.nodes.get_mut(path).and_then(|node| node.unfolds.as_deref_mut()) else {
            return;
        };
        let before = unfolds.listing.replace(listing.clone()).unwrap_or_default();
        let sites = unfolds.sites.clone();
        for (child, came) in difference(&before, &listing) {
            for site in &sites {
                let Some(step) = self.globs.step(*site, path, child) else { continue };
                if came {
                    self.enter(&step.path, step.site, step.beyond);
                } else {
                    self.leave(&step.path, step.site);
                }
            }
        }
    }

    fn enter(&mut self, path: &str, site: Option<Site>, beyond: bool) {
        if !self.nodes.contains_key(path) {
            let rule = self.rules.for_path(path).map(|rule| wants_of(&rule.specs));
            self.nodes.insert(path.into(), Node { rule, ..Node::new() });
            self.unread += 1;
        }
        let Some(node) = self.nodes.get_mut(path) else { return };
        node.listed += 1;
        if let Some(site) = site {
            let unfolds = node.unfolds.get_or_insert_default();
            unfolds.sites.push(site);
            unfolds.beyond |= beyond;
            for child in self.listing(path).names() {
                if let Some(step) = self.globs.step(site, path, child) {
                    self.enter(&step.path, step.site, step.beyond);
                }
            }
        }
        self.read(path);
    }

    /// The children of a znode where globs unfold, as last read.
    fn listing(&self, path: &str) -> Children {
        let unfolds = self.nodes.get(path).and_then(|node| node.unfolds.as_ref());
        unfolds.and_then(|unfolds| unfolds.listing.clone()).unwrap_or_default()
    }

    fn leave(&mut self, path: &str, site: Option<Site>) {
        let Some(node) = self.nodes.get_mut(path) else { return };
        node.listed = node.listed.saturating_sub(1);
        if let (Some(site), Some(unfolds)) = (site, &mut node.unfolds) {
            unfolds.sites.retain(|other| *other != site);
            for child in self.listing(path).names() {
                if let Some(step) = self.globs.step(site, path, child) {
                    self.leave(&step.path, step.site);
                }
            }
        }
        self.read(path);
    }

    fn forget(&mut self, path: &Arc<str>) {
        let Some(node) = self.nodes.remove(path) else { return };
        self.unread -= usize::from(!node.read);
        self.unreadable.remove(path);
        self.drop_from_fence(usize::from(node.fenced > 0));
    }

    fn drop_from_fence(&mut self, count: usize) {
        for _ in 0..count {
            self.pass_fence();
        }
    }

    fn adopt(&mut self, paths: Vec<(Arc<str>, SystemTime)>) {
        for (path, since) in paths {
            let Some(rule) = self.rules.for_path(&path).filter(|rule| is_glob(&rule.path)) else { continue };
            if self.nodes.contains_key(&path) {
                continue;
            }
            let node = Node { rule: Some(wants_of(&rule.specs)), ..Node::new() };
            self.tell(Fact::Adopted { path: Arc::clone(&path), since });
            self.nodes.insert(Arc::clone(&path), node);
            self.unread += 1;
            self.read(&path);
        }
    }
}

/// What is to be read for a rule. A match of a glob that is missing is found again by the listing that leads to
/// it, unless fixed levels lie between.
fn wants_of(specs: &crate::model::rule::Specs) -> Wants {
    let needs = specs.needs();
    Wants { children: needs.children, data: needs.data, creation: false }
}

/// The names that are in one listing only, and whether they came.
fn difference<'a>(before: &'a Children, after: &'a Children) -> Vec<(&'a str, bool)> {
    let mut old = before.names().peekable();
    let mut new = after.names().peekable();
    let mut changes = Vec::new();
    loop {
        match (old.peek(), new.peek()) {
            (None, None) => return changes,
            (Some(a), Some(b)) if a == b => {
                old.next();
                new.next();
            }
            (Some(a), b) if b.is_none_or(|b| a < b) => {
                changes.push((*a, false));
                old.next();
            }
            (_, Some(b)) => {
                changes.push((*b, true));
                new.next();
            }
            (Some(_), None) => unreachable!("a name with nothing on the other side went"),
        }
    }
}
