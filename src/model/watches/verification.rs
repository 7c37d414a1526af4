//! When each znode is verified, and which changes no event has told of.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::node::{Node, Second, Seen};
use crate::model::path::parent;

/// How long after a verification an event may still come that explains what it found: answers and events come from the
/// library on different threads.
pub const GRACE: Duration = Duration::from_secs(1);
/// How long until a path that may not be read is tried again: a changed ACL rings no bell. Each further try waits
/// twice as long, up to the period of verification.
const RETRY: u32 = 10;
/// How many verifications are under way at once. A znode that rings while its verification waits for its turn has to
/// wait for that, so few may wait.
const UNDER_WAY: usize = 16;
/// In how many moments of a period verifications begin: those that go together wake each thread on their way once, and
/// not once each.
const SLOTS: u32 = 20;
/// How many entries that are void are no reason to sort them out.
const VOID: usize = 1_000;

/// The times of verification, in whole seconds since the start, so that those of one second go together.
#[derive(Debug)]
pub(super) struct Verification {
    start: Instant,
    every: u32,
    /// When each znode is due, soonest first. An entry counts if its znode has the same time.
    due: BinaryHeap<Reverse<(Second, Arc<str>)>>,
    /// What was found and is not explained yet, and until when it may be.
    suspects: HashMap<Arc<str>, Suspicion>,
    /// The order in which that runs out.
    graces: VecDeque<(Instant, Arc<str>)>,
    /// The tickets of those that are under way.
    under_way: BTreeSet<u64>,
    pub(super) missed: u64,
}

/// A change that a verification found.
#[derive(Debug)]
struct Suspicion {
    until: Instant,
    /// Whether what its children hold was read, so that their events explain it, too.
    of_children: bool,
}

impl Verification {
    pub(super) fn new(every: Duration, start: Instant) -> Self {
        Self {
            start,
            every: u32::try_from(every.as_secs()).unwrap_or(u32::MAX).max(1),
            due: BinaryHeap::new(),
            suspects: HashMap::new(),
            graces: VecDeque::new(),
            under_way: BTreeSet::new(),
            missed: 0,
        }
    }

    pub(super) fn second(&self, now: Instant) -> Second {
        let seconds = now.saturating_duration_since(self.start).as_secs();
        Second::MIN.saturating_add(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// The moment at which a second begins; without one, the start.
    pub(super) fn instant(&self, second: Option<Second>) -> Instant {
        let since = second.map_or(0, |second| second.get() - 1);
        self.start.checked_add(Duration::from_secs(u64::from(since))).unwrap_or(self.start)
    }

    /// Decides when a znode is read next. The first time is spread over the period by its name, and each later one is
    /// a period after the one before.
    pub(super) fn schedule(&mut self, path: &Arc<str>, node: &mut Node, now: Instant) {
        let wait = match (node.seen, node.due) {
            (Seen::Unreadable, _) => {
                let doubled = node.failures.saturating_sub(1).min(16);
                (RETRY << doubled).min(self.every)
            }
            (Seen::Nothing | Seen::Missing | Seen::Present, None) => 1 + self.place(path),
            (Seen::Nothing | Seen::Missing | Seen::Present, Some(_)) => self.every,
        };
        let due = self.second(now).saturating_add(wait);
        node.due = Some(due);
        self.due.push(Reverse((due, Arc::clone(path))));
    }

    fn place(&self, path: &str) -> u32 {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        // Less than a `u32`, since the period is one.
        let place = u32::try_from(hasher.finish() % u64::from(self.every)).unwrap_or_default();
        let slot = (self.every / SLOTS).max(1);
        place / slot * slot
    }

    /// A znode that is due by now, if its node has this time.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<(Arc<str>, Second)> {
        if self.is_busy() {
            return None;
        }
        let second = self.second(now);
        let Reverse((due, path)) = self.due.peek().filter(|Reverse((due, _))| *due <= second)?.clone();
        self.due.pop();
        Some((path, due))
    }

    /// Sorts void entries out once they are most.
    pub(super) fn compact(&mut self, nodes: usize, counts: impl Fn(&str, Second) -> bool) {
        if self.due.len() > 2 * nodes + VOID {
            self.due.retain(|Reverse((due, path))| counts(path, *due));
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        // When as many are under way as may be, the answer to one of them has the next begin.
        let due = self.due.peek().filter(|_| !self.is_busy());
        let due = due.map(|Reverse((due, _))| self.instant(Some(*due)));
        due.into_iter().chain(self.graces.front().map(|(until, _)| *until)).min()
    }

    fn is_busy(&self) -> bool {
        self.under_way.len() >= UNDER_WAY
    }

    /// A verification has been asked for.
    pub(super) fn began(&mut self, ticket: u64) {
        self.under_way.insert(ticket);
    }

    /// A reading was answered, whatever it was for.
    pub(super) fn ended(&mut self, ticket: u64) {
        self.under_way.remove(&ticket);
    }

    /// A verification found a change that no event has told of yet.
    pub(super) fn suspect(&mut self, path: &Arc<str>, of_children: bool, now: Instant) {
        let until = now + GRACE;
        self.suspects.insert(Arc::clone(path), Suspicion { until, of_children });
        self.graces.push_back((until, Arc::clone(path)));
    }

    /// An event came. It explains what a reading of that time found, whatever the rules ask for since.
    pub(super) fn explain(&mut self, path: &str) {
        if self.suspects.is_empty() {
            return;
        }
        self.suspects.remove(path);
        let above = parent(path).and_then(|above| self.suspects.get_key_value(above));
        if let Some(above) =
            above.filter(|(_, suspicion)| suspicion.of_children).map(|(above, _)| Arc::clone(above))
        {
            self.suspects.remove(&above);
        }
    }

    /// The session is over: whatever was found may have been told on it, and nothing is answered any more.
    pub(super) fn forget_session(&mut self) {
        self.under_way.clear();
        self.suspects.clear();
        self.graces.clear();
    }

    /// What nothing has explained in time.
    pub(super) fn overdue_suspects(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut overdue = Vec::new();
        while let Some((until, path)) = self.graces.pop_front_if(|(until, _)| *until <= now) {
            if self.suspects.get(&path).is_some_and(|suspicion| suspicion.until == until) {
                self.suspects.remove(&path);
                self.missed += 1;
                overdue.push(path);
            }
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: u32 = 100;

    /// With one entry for each of so many nodes, and so many void ones beside them.
    fn scheduled(nodes: usize, void: usize) -> (Verification, HashMap<Arc<str>, Second>) {
        let now = crate::clock::mono();
        let mut verification = Verification::new(Duration::from_secs(EVERY.into()), now);
        let mut due = HashMap::new();
        for number in 0..nodes {
            let path: Arc<str> = format!("/{number}").into();
            let mut node = Node::default();
            verification.schedule(&path, &mut node, now);
            due.insert(path, node.due.expect("it was scheduled"));
        }
        let mut node = Node::default();
        (0..void).for_each(|_| verification.schedule(&"/void".into(), &mut node, now));
        (verification, due)
    }

    #[test]
    fn void_entries_are_sorted_out_once_they_are_most() {
        let check = |void: usize, left: usize| {
            let (mut verification, due) = scheduled(10, void);
            verification.compact(10, |path, second| due.get(path) == Some(&second));
            assert_eq!(verification.due.len(), left, "{void} void");
        };
        check(0, 10);
        check(10 + VOID, 20 + VOID);
        check(11 + VOID, 10);
        check(5 * VOID, 10);
    }

    #[test]
    fn verifications_begin_in_few_moments_that_span_the_period() {
        let (_, due) = scheduled(1_000, 0);
        let moments: BTreeSet<u32> = due.values().map(|second| second.get() - 2).collect();
        let slot = EVERY / SLOTS;
        assert_eq!(moments, (0..SLOTS).map(|number| number * slot).collect());
    }
}
