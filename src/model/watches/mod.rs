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
//! | an event of it or of a child that is read with it, or a listing that brought it | reading | to be read again | – |
//! | an answer that says all that is wanted | – | armed | reading |
//! | an answer that does not, or none because it came and went | – | reading | reading |
//! | its verification is due | reading | – | – |
//! | a new session | reading | reading | reading |
//! | the session's end | unread | unread | unread |
//!
//! An orphan whose reading shows that it is missing leaves the table, after one more request that takes its watch back if
//! there is one, and once a listing would tell if it came back. So every znode that is in the table while there
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
//! nor for what the rules are. It needs two things from outside: that the event of its own znode comes, which is what
//! raises it, and that each reading ends; a znode that comes and goes faster than it can be read is read until it stays.
//!
//! # Children that are read
//!
//! Where rules ask what the children hold, each child's reading leaves a watch, and is kept ([`kept`]). A reading that
//! events have asked for takes over what is kept of the children that have not rung; if the znode itself has not rung,
//! the listing too. Nothing is missed by that: whatever happens to a child behind its reading rings, and an event that
//! comes while a reading is under way, from before or behind it, counts for the next. Everything is read where that
//! cannot be said: the first time in a session, for rules that ask for more, after a reading that was of no use, when more
//! rang than is remembered or more was read than is kept, and to verify.
//!
//! # Verification
//!
//! A server sends no event to a session that may not read the znode, and its watch is spent all the same. So each
//! znode is read again once in a period, spread over it, with its watches set anew ([`verification`]). What such a
//! reading shows and no event told within [`verification::GRACE`] was missed, and is said.

mod debts;
mod globs;
mod kept;
mod ledger;
mod node;
mod reader;
mod table;
mod verification;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::children::Children;
use super::judge::EachChild;
use super::ledger_change::LedgerChange;
use super::observation::{Adoption, Observation};
use super::reading::Reading;
use super::rule::RuleSet;
use super::status::WatchStatus;
use debts::{Debts, Seq};
use kept::{Extent, Shelf};
pub use kept::{Kept, Part};
use ledger::LedgerListing;
use node::{Asked, Cause, Second, Seen};
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
    /// Open incidents: paths that a glob matches are watched although they may be gone from the listings.
    Adopt(Vec<Adoption>),
    /// The next event of this znode is a fence: all that rang before it has to be told, then the barrier.
    Fence {
        /// The znode.
        path: Arc<str>,
        /// The barrier's number.
        barrier: u64,
    },
    /// The ledger was listed, with a watch that was set after it had rung so often in this session.
    LedgerWatched {
        /// How often it had rung before.
        rings: u64,
        /// What has changed since it was listed last.
        change: LedgerChange,
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
    /// What can be taken over from the reading before it; without that, everything has to be read.
    pub part: Option<Part>,
    /// Whether nothing waits for it, as when it verifies what is known: anything else goes before it.
    pub in_background: bool,
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
    globs_due: Option<Seq>,
    /// Whether [`Effect::Armed`] is yet to be told in this session.
    announce: bool,
    /// The places that can be listed again, to be told of once what they led to was read.
    reopened: BTreeSet<Arc<str>>,
    fence: Option<Fence>,
    ledger: LedgerListing,
    verification: Verification,
    shelf: Shelf,
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
            globs_due: None,
            announce: false,
            reopened: BTreeSet::new(),
            fence: None,
            ledger: LedgerListing::new(ledger),
            verification: Verification::new(reread, now),
            shelf: Shelf::default(),
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
            Input::Fence { path, barrier } => {
                self.fence = Some(Fence { path, barrier, raised: None });
                self.ledger.fence();
            }
            Input::LedgerWatched { rings, change } => {
                let seq = self.debts.next();
                self.ledger.watched(rings, change, seq);
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

    /// How many readings the fence that is raised waits for, if one is: as long as that changes, it comes nearer.
    pub fn fence_waits_for(&self) -> Option<u64> {
        self.fence.as_ref()?.raised.map(|seq| self.debts.owed(seq))
    }

    /// How old the oldest reading is, and how many changes were missed. Looks at every znode. One that was never read
    /// counts from the start.
    pub fn status(&self, now: Instant) -> WatchStatus {
        let oldest = self.table.nodes().map(|node| node.read_at).min();
        let age = |at: Option<Second>| now.saturating_duration_since(self.verification.instant(at));
        WatchStatus { oldest_reading: oldest.map(age), missed_changes: self.verification.missed }
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
        self.globs_due = Some(seq);
        for path in self.table.paths() {
            self.ask(&path, seq);
        }
    }

    /// Nothing that was asked counts any more.
    fn down(&mut self) {
        self.is_up = false;
        self.debts = Debts::default();
        (self.globs_due, self.announce, self.fence) = (None, false, None);
        self.reopened.clear();
        self.ledger.forget();
        self.verification.forget_session();
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
        self.ledger.rang(path);
        self.verification.explain(path);
        // Behind the fence if it is the fence's own znode, whose event tells nothing new of it.
        let seq = self.debts.next();
        self.ask_for(path, seq, Some(at), Extent::of_itself());
        if let Some((above, name)) = self.table.reads(path) {
            self.ask_for(&above, seq, Some(at), Extent::of_child(name));
        }
    }

    /// Has all of a znode read, now or after the reading that is under way, for the input of that number.
    fn ask(&mut self, path: &Arc<str>, seq: Seq) {
        self.ask_for(path, seq, None, Extent::Whole);
    }

    /// Has so much of it read.
    fn ask_for(&mut self, path: &Arc<str>, seq: Seq, rang: Option<Instant>, extent: Extent) {
        let Some(node) = self.table.get_mut(path).filter(|_| self.is_up) else { return };
        let cause = Cause { debt: self.debts.owe(seq), rang, extent };
        let Some(asked) = &mut node.asked else { return self.request(path, Some(cause)) };
        asked.again = Some(match asked.again.take() {
            None => cause,
            Some(again) => again.merged(cause, &mut self.debts),
        });
    }

    /// Has a znode read for the input of that number, by the reading that is under way if there is one. One that was
    /// asked for an earlier input pays for this one too: whoever waits for number 7 waits for number 5.
    fn expect(&mut self, path: &Arc<str>, seq: Seq) {
        match self.table.get_mut(path).and_then(|node| node.asked.as_mut()) {
            Some(asked) if asked.cause.is_none() => {
                let debt = self.debts.owe(seq);
                asked.cause = Some(Cause { debt, rang: None, extent: Extent::Whole });
            }
            Some(_) => {}
            None => self.ask(path, seq),
        }
    }

    /// Asks for a reading that begins now.
    fn request(&mut self, path: &Arc<str>, cause: Option<Cause>) {
        let listing_tells = self.table.listing_tells(path);
        let heard_above = self.table.reads(path).is_some();
        let Some(node) = self.table.get_mut(path) else { return self.pay(cause) };
        self.tickets += 1;
        let (ticket, wants) = (self.tickets, node.wants(listing_tells));
        let takes_back = matches!(wants.creation, Creation::Unwatch | Creation::Dismiss);
        let in_background = cause.is_none() && !takes_back;
        let cause = cause.or_else(|| (takes_back && heard_above).then(|| self.owed_anew()));
        let Some(node) = self.table.get_mut(path) else { return self.pay(cause) };
        if in_background {
            self.verification.began(ticket);
        }
        node.is_awaited |= wants.creation == Creation::Watch;
        let reads_children = wants.each_child == EachChild::Data;
        node.hears_children |= reads_children;
        let part = cause.as_ref().filter(|_| reads_children);
        let part = part.and_then(|cause| cause.extent.part(node.kept.as_ref()));
        node.asked = Some(Box::new(Asked { ticket, wants, cause, again: None }));
        self.out.push(Effect::Read(Request { ticket, path: Arc::clone(path), wants, part, in_background }));
    }

    /// What a fence has to wait for although nothing has rung.
    fn owed_anew(&mut self) -> Cause {
        let seq = self.debts.next();
        Cause { debt: self.debts.owe(seq), rang: None, extent: Extent::Whole }
    }

    fn pay(&mut self, cause: Option<Cause>) {
        if let Some(cause) = cause {
            self.debts.pay(cause.debt);
        }
    }

    fn answered(&mut self, path: &Arc<str>, ticket: u64, reading: Option<Reading>, now: Instant) {
        self.verification.ended(ticket);
        let listing_tells = self.table.listing_tells(path);
        if reading == Some(Reading::Missing) {
            self.note_taken_back(path, ticket);
        }
        // A znode that left the table while it was read, or a session that is over.
        let Some(node) = self.table.get_mut(path) else { return };
        let Some(asked) = node.asked.take_if(|asked| asked.ticket == ticket) else { return };
        match reading.filter(|_| asked.wants.cover(node.wants(listing_tells))) {
            Some(reading) => self.accept(path, *asked, reading, now),
            None => {
                // What rang before it was asked for is not read yet.
                node.kept = None;
                let cause = asked.into_cause(&mut self.debts);
                self.request(path, cause);
            }
        }
    }

    /// A reading that was to leave no watch for the creation may have taken back the one that the znode above has left
    /// on it meanwhile, since it was made again: a server keeps one for both. Nothing that is told is lost by that, as
    /// the reading of the one above begins before this one pays.
    fn note_taken_back(&mut self, path: &Arc<str>, ticket: u64) {
        let asked = self.table.get(path).and_then(|node| node.asked.as_ref());
        let asked = asked.filter(|asked| asked.ticket == ticket);
        if asked.is_some_and(|asked| asked.wants.creation == Creation::Watch) {
            return;
        }
        let seq = asked.and_then(|asked| asked.cause.as_ref()).map(|cause| cause.debt.seq());
        if let Some((above, name)) = self.table.reads(path)
            && self.table.get(&above).is_some_and(|node| node.may_watch(name))
        {
            let seq = seq.unwrap_or_else(|| self.debts.next());
            self.ask_for(&above, seq, None, Extent::of_child(name));
        }
    }

    /// Takes a reading for what the znode is now.
    fn accept(&mut self, path: &Arc<str>, asked: Asked, reading: Reading, now: Instant) {
        let Asked { wants, cause, again, .. } = asked;
        let Some(node) = self.table.get_mut(path) else { return self.pay(cause) };
        let before = node.seen;
        let noted = node.note(&reading, wants, self.verification.second(now));
        // Before the next takes its place.
        node.kept = None;
        node.kept = self.shelf.keep_reading(&reading, wants.each_child);
        if node.needs.is_some() && (noted.changed || cause.is_some()) {
            let rang = cause.as_ref().and_then(|cause| cause.rang);
            let delay = rang.map(|rang| now.saturating_duration_since(rang));
            let (path, reading) = (Arc::clone(path), reading.clone());
            self.observe(Observation::Read { path, reading, delay });
        }
        self.log_readable(path, before, &reading);
        self.reschedule(path, now);
        if cause.is_none() && noted.moved && again.is_none() {
            self.verification.suspect(path, wants.each_child == EachChild::Data, now);
        }
        let seq = self.first_of(cause.as_ref(), again.as_ref());
        if noted.refusal_changed {
            self.note_refusal(path, &reading, seq);
        }
        self.unfold(path, &reading, seq);
        if again.is_some() {
            self.request(path, again);
        } else if reading == Reading::Missing && self.table.may_go(path) {
            self.let_go(path);
        }
        self.pay(cause);
    }

    /// For which input what a reading leads to is owed. If another reading follows, that finds the listing as this one
    /// left it, and leads to nothing: so this one answers for both, and the earlier input counts.
    fn first_of(&mut self, cause: Option<&Cause>, again: Option<&Cause>) -> Seq {
        let first = cause.into_iter().chain(again).map(|cause| cause.debt.seq()).min();
        first.unwrap_or_else(|| self.debts.next())
    }

    /// An orphan is missing: it leaves the table, once the watch for its creation is taken back.
    fn let_go(&mut self, path: &Arc<str>) {
        if self.table.get(path).is_some_and(|node| node.is_awaited) {
            self.request(path, None);
        } else {
            self.table.remove(path);
        }
    }

    /// Asks for what a listing leads to, and for what it does not lead to any more.
    fn unfold(&mut self, path: &Arc<str>, reading: &Reading, seq: Seq) {
        let listing = match reading {
            Reading::Present { children: Some(children), .. } => children.clone(),
            Reading::Missing => Children::default(),
            // Nothing new is known of the children: those known stay watched.
            Reading::Present { children: None, .. } | Reading::Shut(_) | Reading::Unreadable(_) => return,
        };
        for child in self.table.unfold(path, listing) {
            self.ask(&child, seq);
        }
    }

    /// Whether the children of a place can be listed has changed.
    fn note_refusal(&mut self, path: &Arc<str>, reading: &Reading, seq: Seq) {
        if let Some(reason) = reading.refusal() {
            self.reopened.remove(path);
            let (place, reason) = (Arc::clone(path), Arc::clone(reason));
            return self.observe(Observation::Unlisted { place, reason });
        }
        self.reopened.insert(Arc::clone(path));
        self.globs_due = self.globs_due.max(Some(seq));
    }

    fn log_readable(&mut self, path: &Arc<str>, before: Seen, reading: &Reading) {
        let was = before == Seen::Unreadable;
        let event = match reading.refusal() {
            Some(reason) if !was => Event::Unreadable(Arc::clone(path), Arc::clone(reason)),
            None if was => Event::Readable(Arc::clone(path)),
            Some(_) | None => return,
        };
        self.out.push(Effect::Log(event));
    }

    fn change_rules(&mut self, rules: Arc<RuleSet>) {
        self.observe(Observation::Rules(Arc::clone(&rules)));
        let unlisted = self.table.unlisted();
        let (missing, dropped) = self.table.change_rules(rules);
        for asked in dropped {
            let cause = asked.into_cause(&mut self.debts);
            self.pay(cause);
        }
        for place in unlisted.difference(&self.table.unlisted()) {
            self.observe(Observation::Listed { place: Arc::clone(place) });
        }
        let seq = self.debts.next();
        for missing in missing {
            match missing {
                Missing::Anew(path) => self.ask(&path, seq),
                Missing::Any(path) => self.expect(&path, seq),
            }
        }
        // Globs that are new have to be told of.
        self.globs_due = self.is_up.then_some(seq);
    }

    /// Each of these paths is read again before a fence that is raised from now on. Its event may have been withheld from this
    /// session alone, and who leads would tell that it is in spec; that a match is missing is nothing to tell of as long as
    /// nobody knows that it was there.
    fn adopt(&mut self, incidents: Vec<Adoption>) {
        let mut paths = BTreeSet::new();
        for adoption in incidents {
            paths.insert(Arc::clone(&adoption.key.path));
            if self.table.adopt(&adoption) || adoption.base.is_some() {
                self.observe(Observation::Adopted(adoption));
            }
        }
        let seq = self.debts.next();
        paths.iter().for_each(|path| self.ask(path, seq));
    }

    /// Tells what has waited for readings, if they are there. Which matches of globs have vanished goes before what
    /// waits for all readings.
    fn pass(&mut self) {
        if !self.is_up {
            return;
        }
        if self.globs_due.take_if(|seq| self.debts.is_paid(*seq)).is_some() {
            self.tell_globs();
            if std::mem::take(&mut self.announce) {
                self.out.push(Effect::Armed);
            }
        }
        if let Some(change) = self.ledger.take_told(&self.debts) {
            self.observe(Observation::LedgerChanged(change));
        }
        let paid = |fence: &mut Fence| fence.raised.is_some_and(|seq| self.debts.is_paid(seq));
        if let Some(fence) = self.fence.take_if(paid) {
            // Nothing may be untold at a takeover.
            if let Some(change) = self.ledger.take_untold() {
                self.observe(Observation::LedgerChanged(change));
            }
            self.observe(Observation::Barrier(fence.barrier));
            if let Some(end) = self.ledger.take_end() {
                self.observe(Observation::LedgerChanged(end));
            }
        }
    }

    /// Says that the places of globs were listed, and what they led to was read.
    fn tell_globs(&mut self) {
        for place in std::mem::take(&mut self.reopened) {
            self.observe(Observation::Listed { place });
        }
        let rules = Arc::clone(self.table.rules());
        for glob in rules.globs() {
            self.observe(Observation::Expanded { glob: Arc::clone(glob.path()) });
        }
    }

    /// Reads again what has to be verified by now, and says what no event has told of.
    fn verify(&mut self, now: Instant) {
        for path in self.verification.overdue_suspects(now) {
            self.out.push(Effect::Log(Event::Missed(path)));
        }
        while let Some((path, second)) = self.verification.next_due(now) {
            let Some(node) = self.table.get_mut(&path).filter(|node| node.due == Some(second)) else {
                continue;
            };
            let idle = self.is_up && node.asked.is_none();
            self.verification.schedule(&path, node, now);
            if idle {
                self.request(&path, None);
            }
        }
        self.verification.compact(self.table.len(), |path, second| {
            self.table.get(path).is_some_and(|node| node.due == Some(second))
        });
    }

    fn reschedule(&mut self, path: &Arc<str>, now: Instant) {
        let Some(node) = self.table.get_mut(path) else { return };
        if node.due.is_none() || node.seen == Seen::Unreadable {
            self.verification.schedule(path, node, now);
        }
    }
}
