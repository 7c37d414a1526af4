//! Which znodes are watched, what has to be read again, and in which order it is told.
//!
//! Inputs go in (events, answers, rules, sessions, fences, time), effects come out (what to read, what was observed).
//! Nothing here waits or calls ZooKeeper; [`crate::zk::watch`] does.
//!
//! # The states of a znode
//!
//! A znode is in the [`table::Table`] for at least one of three reasons: a rule names it or a glob begins at it
//! (*rooted*), a listing leads to it (*led*), or it was a match and is not known to be gone (*an orphan*). It is
//!
//! | state | `asked` | what is known |
//! |---|---|---|
//! | unread | – | nothing in this session; only while there is no session |
//! | armed | – | its last reading, which left a watch for whatever happens next: children, data, its end, or its creation |
//! | reading | yes | a reading is under way that began after everything that was told of it |
//! | to be read again | yes, with `again` | an event came while it was being read |
//!
//! | input | unread, armed | reading | to be read again |
//! |---|---|---|---|
//! | an event, or a listing that brought it | reading | to be read again | – |
//! | an answer that says all that is wanted | – | armed | reading |
//! | an answer that does not, or none because it came and went | – | reading | reading |
//! | its verification is due | reading | – | – |
//! | a new session | reading | reading | reading |
//! | the session's end | unread | unread | unread |
//!
//! An orphan whose reading shows that it is missing leaves the table. So every znode that is in the table while there
//! is a session is armed or about to be, and the last reading of a path is always later than its last event: when
//! nothing changes any more, each reading is what ZooKeeper holds.
//!
//! # Why a fence always passes
//!
//! Inputs are numbered. A znode that has to be read because of an input owes a reading for its number
//! ([`debts::Debts`]); the first answer that is accepted pays it, and what follows from a listing owes for the same
//! number before the listing pays. A fence has a number too, and passes when nothing is owed for it or a smaller one:
//! then each event before it was answered by a reading that began after the event, and so was what those readings
//! led to. New debts for smaller numbers come only from listings that pay one, and only for the next level of a glob,
//! of which there are finitely many. So a fence waits for readings, and for nothing else: neither for later events
//! nor for what the rules are.
//!
//! # Verification
//!
//! A server sends no event to a session that may not read the znode, and its watch is spent all the same. So each
//! znode is read again once in a period, evenly spread, with its watches set anew ([`verification`]). What such a
//! reading shows and no event told within [`verification::GRACE`] was missed, and is said.

mod debts;
mod globs;
mod ledger;
mod node;
mod reader;
mod table;
mod verification;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::children::Children;
use super::observation::Observation;
use super::reading::Reading;
use super::rule::RuleSet;
use super::status::WatchStatus;
use debts::{Debts, Seq};
use ledger::LedgerListing;
use node::{Again, Asked, Seen};
pub use node::{Creation, Wants};
pub use reader::{Call, Reader, Reply, Step};
use table::{Missing, Table};
use verification::Verification;

/// What the machine hears.
#[derive(Debug)]
pub enum Input {
    /// A new session: everything has to be read on it.
    Up,
    /// The session is over, for this reason. Answers to what was asked on it may still come, and count for nothing.
    Down(Arc<str>),
    /// A watch fired.
    Rang {
        /// For which znode.
        path: Arc<str>,
        /// When the event came.
        at: Instant,
    },
    /// The answer to a [`Request`].
    Answered {
        /// The request's ticket.
        ticket: u64,
        /// The request's path.
        path: Arc<str>,
        /// What it showed; `None` if the znode came and went between the calls, so that it has to be read again.
        reading: Option<Reading>,
    },
    /// The rules are these from now on.
    Rules(Arc<RuleSet>),
    /// Paths with open incidents and since when: those that a glob matches are watched although they may be gone from
    /// the listings.
    Adopt(Vec<(Arc<str>, SystemTime)>),
    /// The next event of this znode is a fence: all that rang before it has to be told, then the barrier.
    Fence {
        /// The znode.
        path: Arc<str>,
        /// The barrier's number.
        barrier: u64,
    },
    /// There is a watch on the ledger's listing, which was set after it had rung so often in this session.
    LedgerWatched {
        /// How often it had rung before.
        rings: u64,
    },
    /// Time has passed.
    Tick,
}

/// What the shell has to do.
#[derive(Debug)]
pub enum Effect {
    /// Read a znode, and answer with [`Input::Answered`].
    Read(Request),
    /// Tell the evaluator.
    Observe(Observation),
    /// Every znode has been read in this session. Told once a session.
    Armed,
    /// Tell the operator.
    Log(Event),
}

/// A znode to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which request this is; no two have the same.
    pub ticket: u64,
    /// The znode.
    pub path: Arc<str>,
    /// What to read of it, and which watches to leave.
    pub wants: Wants,
    /// Whether it is there to verify what is known: anything else goes before it.
    pub verifies: bool,
}

/// What an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A znode cannot be read, for this reason.
    Unreadable(Arc<str>, Arc<str>),
    /// A znode can be read again.
    Readable(Arc<str>),
    /// A change was found that no event had told of.
    Missed(Arc<str>),
}

/// A fence that was announced.
#[derive(Debug)]
struct Fence {
    path: Arc<str>,
    barrier: u64,
    /// Its number, once its event has come.
    raised: Option<Seq>,
}

/// The machine. See the module.
#[derive(Debug)]
pub struct Watches {
    table: Table,
    debts: Debts,
    tickets: u64,
    is_up: bool,
    /// The number that has to be paid before the globs are told of.
    arming: Option<Seq>,
    /// Whether [`Effect::Armed`] is yet to be told in this session.
    announce: bool,
    /// The places that can be listed again, to be told of once what they led to was read.
    listed: BTreeSet<Arc<str>>,
    fence: Option<Fence>,
    ledger: LedgerListing,
    verification: Verification,
    out: Vec<Effect>,
}

impl Watches {
    /// A machine without rules or session. Each znode is verified once in `reread`, at least a second; `ledger` is the
    /// znode whose listing is the alert ledger.
    pub fn new(ledger: Arc<str>, reread: Duration, now: Instant) -> Self {
        Self {
            table: Table::default(),
            debts: Debts::default(),
            tickets: 0,
            is_up: false,
            arming: None,
            announce: false,
            listed: BTreeSet::new(),
            fence: None,
            ledger: LedgerListing::new(ledger),
            verification: Verification::new(reread, now),
            out: Vec::new(),
        }
    }

    /// Takes one input and returns what the shell has to do, in this order.
    pub fn handle(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        match input {
            Input::Up => self.up(),
            Input::Down(reason) => {
                self.down();
                self.observe(Observation::Down(reason));
            }
            Input::Rang { path, at } => self.rang(&path, at),
            Input::Answered { ticket, path, reading } => self.answered(&path, ticket, reading, now),
            Input::Rules(rules) => self.change_rules(rules),
            Input::Adopt(paths) => self.adopt(paths),
            Input::Fence { path, barrier } => self.fence = Some(Fence { path, barrier, raised: None }),
            Input::LedgerWatched { rings } => {
                let seq = self.debts.next();
                self.ledger.watched(rings, seq);
            }
            Input::Tick => {}
        }
        self.verify(now);
        self.pass();
        std::mem::take(&mut self.out)
    }

    /// When [`Input::Tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.verification.next_deadline()
    }

    /// How old the oldest reading is, and how many changes were missed. Looks at every znode. One that was never read
    /// counts from the start.
    pub fn status(&self, now: Instant) -> WatchStatus {
        let oldest = self.table.nodes().map(|node| node.read_at).min();
        WatchStatus {
            oldest_reading: oldest.map(|at| now.saturating_duration_since(self.verification.instant(at))),
            missed_changes: self.verification.missed,
        }
    }

    fn observe(&mut self, observation: Observation) {
        self.out.push(Effect::Observe(observation));
    }

    fn up(&mut self) {
        self.down();
        self.is_up = true;
        self.announce = true;
        self.observe(Observation::Up);
        let seq = self.debts.next();
        self.arming = Some(seq);
        for path in self.table.paths() {
            self.ask(&path, seq, None);
        }
    }

    /// Nothing that was asked counts any more.
    fn down(&mut self) {
        self.is_up = false;
        self.debts = self.debts.renewed();
        (self.arming, self.announce, self.fence) = (None, false, None);
        self.listed.clear();
        self.ledger.forget();
        self.verification.forget_suspects();
        self.table.nodes_mut().for_each(node::Node::forget_session);
    }

    fn rang(&mut self, path: &Arc<str>, at: Instant) {
        if !self.is_up {
            return;
        }
        let seq = self.debts.next();
        if let Some(fence) = self.fence.as_mut().filter(|fence| fence.path == *path) {
            fence.raised.get_or_insert(seq);
        }
        self.ledger.rang(path, seq);
        self.verification.explain(path);
        // Behind the fence if it is the fence's own znode, whose event tells nothing new of it.
        let seq = self.debts.next();
        self.ask(path, seq, Some(at));
    }

    /// Has a znode read, now or after the reading that is under way, for the input of that number.
    fn ask(&mut self, path: &Arc<str>, seq: Seq, rang: Option<Instant>) {
        let Some(node) = self.table.get_mut(path).filter(|_| self.is_up) else { return };
        if let Some(asked) = &mut node.asked {
            let debt = self.debts.owe(seq);
            let again = match asked.again.take() {
                None => Again { debt, rang },
                Some(again) => Again { debt: self.debts.merge(again.debt, debt), rang: again.rang.or(rang) },
            };
            asked.again = Some(again);
            return;
        }
        let debt = self.debts.owe(seq);
        let asked = Asked { debt: Some(debt), rang, ..Asked::default() };
        self.request(path, asked);
    }

    /// Has a znode read for the input of that number, by the reading that is under way if there is one. One that was
    /// asked for an earlier input pays for this one too: who waits for this one waits for that.
    fn expect(&mut self, path: &Arc<str>, seq: Seq) {
        match self.table.get_mut(path).and_then(|node| node.asked.as_mut()) {
            Some(asked) if asked.debt.is_none() => asked.debt = Some(self.debts.owe(seq)),
            Some(_) => {}
            None => self.ask(path, seq, None),
        }
    }

    /// Asks for a reading that begins now.
    fn request(&mut self, path: &Arc<str>, asked: Asked) {
        let listed = self.table.is_listed(path);
        let Some(node) = self.table.get_mut(path) else { return self.pay(asked) };
        self.tickets += 1;
        let wants = node.wants(listed);
        let verifies = asked.debt.is_none();
        node.is_awaited |= wants.creation == Creation::Watch;
        let request = Request { ticket: self.tickets, path: Arc::clone(path), wants, verifies };
        node.asked = Some(Box::new(Asked { ticket: self.tickets, wants, again: None, ..asked }));
        self.out.push(Effect::Read(request));
    }

    fn pay(&mut self, asked: Asked) {
        asked.into_debts().for_each(|debt| self.debts.pay(debt));
    }

    fn answered(&mut self, path: &Arc<str>, ticket: u64, reading: Option<Reading>, now: Instant) {
        // A znode that left the table while it was read, or a session that is over.
        let listed = self.table.is_listed(path);
        let Some(node) = self.table.get_mut(path) else { return };
        let Some(asked) = node.asked.take_if(|asked| asked.ticket == ticket) else { return };
        match reading.filter(|_| asked.wants.cover(node.wants(listed))) {
            Some(reading) => self.accept(path, *asked, reading, now),
            None => {
                let again = asked.merged(&mut self.debts);
                self.request(path, again);
            }
        }
    }

    /// Takes a reading for what the znode is now.
    fn accept(&mut self, path: &Arc<str>, mut asked: Asked, reading: Reading, now: Instant) {
        let again = asked.again.take();
        let Some(node) = self.table.get_mut(path) else { return self.pay(asked) };
        let before = node.seen;
        let node::Noted { changed, moved, unlisted } =
            node.note(&reading, asked.wants, self.verification.second(now));
        if node.rule.is_some() && (changed || asked.debt.is_some()) {
            let delay = asked.rang.map(|rang| now.saturating_duration_since(rang));
            let (path, reading) = (Arc::clone(path), reading.clone());
            self.observe(Observation::Read { path, reading, delay });
        }
        self.log_readable(path, before, &reading);
        self.reschedule(path, now);
        if asked.debt.is_none() && moved && again.is_none() {
            self.verification.suspect(path, now);
        }
        // What this reading leads to, the next one leads to no more: it is owed for whatever either answers.
        let first =
            asked.debt.iter().chain(again.as_ref().map(|again| &again.debt)).map(debts::Debt::seq).min();
        let seq = first.unwrap_or_else(|| self.debts.next());
        if unlisted {
            self.note_listed(path, &reading, seq);
        }
        self.unfold(path, &reading, seq);
        match again {
            Some(Again { debt, rang }) => {
                self.request(path, Asked { debt: Some(debt), rang, ..Asked::default() })
            }
            None if reading == Reading::Missing && self.table.remove_orphan(path) => {
                self.request(path, Asked::default());
            }
            None => {}
        }
        self.pay(asked);
    }

    /// Asks for what a listing leads to, and for what it does not lead to any more.
    fn unfold(&mut self, path: &Arc<str>, reading: &Reading, seq: Seq) {
        let listing = match reading {
            Reading::Present { children: Some(children), .. } => children.clone(),
            Reading::Missing => Children::default(),
            // Nothing new is known of the children: those known stay watched.
            Reading::Present { children: None, .. } | Reading::Unreadable(_) => return,
        };
        for child in self.table.unfold(path, listing) {
            self.ask(&child, seq, None);
        }
    }

    /// Whether the children of a place can be listed has changed.
    fn note_listed(&mut self, path: &Arc<str>, reading: &Reading, seq: Seq) {
        if let Reading::Unreadable(reason) = reading {
            self.listed.remove(path);
            let (place, reason) = (Arc::clone(path), Arc::clone(reason));
            return self.observe(Observation::Unlisted { place, reason });
        }
        self.listed.insert(Arc::clone(path));
        self.arming = self.arming.max(Some(seq));
    }

    fn log_readable(&mut self, path: &Arc<str>, before: Seen, reading: &Reading) {
        let was = before == Seen::Unreadable;
        let event = match reading {
            Reading::Unreadable(reason) if !was => Event::Unreadable(Arc::clone(path), Arc::clone(reason)),
            Reading::Missing | Reading::Present { .. } if was => Event::Readable(Arc::clone(path)),
            Reading::Unreadable(_) | Reading::Missing | Reading::Present { .. } => return,
        };
        self.out.push(Effect::Log(event));
    }

    fn change_rules(&mut self, rules: Arc<RuleSet>) {
        self.observe(Observation::Rules(Arc::clone(&rules)));
        let unlisted = self.table.unlisted();
        let (missing, dropped) = self.table.change_rules(rules);
        for asked in dropped {
            self.pay(asked);
        }
        for place in unlisted.difference(&self.table.unlisted()) {
            self.observe(Observation::Listed { place: Arc::clone(place) });
        }
        let seq = self.debts.next();
        for missing in missing {
            match missing {
                Missing::Anew(path) => self.ask(&path, seq, None),
                Missing::Any(path) => self.expect(&path, seq),
            }
        }
        // Globs that are new have to be told of.
        self.arming = self.is_up.then_some(seq);
    }

    fn adopt(&mut self, paths: Vec<(Arc<str>, SystemTime)>) {
        let seq = self.debts.next();
        for (path, since) in paths {
            if self.table.adopt(&path) {
                self.observe(Observation::Adopted { path: Arc::clone(&path), since });
                self.ask(&path, seq, None);
            }
        }
    }

    /// Tells what has waited for readings, if they are there. Which matches of globs have vanished goes before what
    /// waits for all readings.
    fn pass(&mut self) {
        if !self.is_up {
            return;
        }
        if self.arming.take_if(|seq| self.debts.is_paid(*seq)).is_some() {
            self.tell_globs();
            if std::mem::take(&mut self.announce) {
                self.out.push(Effect::Armed);
            }
        }
        if self.ledger.passes(&self.debts) {
            self.observe(Observation::LedgerChanged);
        }
        let paid = |fence: &mut Fence| fence.raised.is_some_and(|seq| self.debts.is_paid(seq));
        if let Some(fence) = self.fence.take_if(paid) {
            // Nothing may be untold at a takeover.
            if self.ledger.is_untold() {
                self.observe(Observation::LedgerChanged);
            }
            self.observe(Observation::Barrier(fence.barrier));
        }
    }

    /// Says that the places of globs were listed, and what they led to was read.
    fn tell_globs(&mut self) {
        for place in std::mem::take(&mut self.listed) {
            self.observe(Observation::Listed { place });
        }
        let rules = Arc::clone(self.table.rules());
        for rule in rules.globs() {
            self.observe(Observation::Expanded { glob: Arc::clone(&rule.path) });
        }
    }

    /// Reads again what has to be verified by now, and says what no event has told of.
    fn verify(&mut self, now: Instant) {
        for path in self.verification.overdue_suspects(now) {
            self.out.push(Effect::Log(Event::Missed(path)));
        }
        while let Some((path, second)) = self.verification.next_due(now) {
            let Some(node) = self.table.get_mut(&path).filter(|node| node.due == second) else { continue };
            let idle = self.is_up && node.asked.is_none();
            self.verification.schedule(&path, node, now);
            if idle {
                self.request(&path, Asked::default());
            }
        }
        self.verification.compact(self.table.len(), |path, second| {
            self.table.get(path).is_some_and(|node| node.due == second)
        });
    }

    fn reschedule(&mut self, path: &Arc<str>, now: Instant) {
        let Some(node) = self.table.get_mut(path) else { return };
        if node.due == 0 || node.seen == Seen::Unreadable {
            self.verification.schedule(path, node, now);
        }
    }
}
