//! One agent's way to its server and back: requests and answers in order, events in order, and threads in between
//! that take their time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use zk_monitor::model::observation::Observation;
use zk_monitor::model::watches::{
    Call, Effect, Event, Input, Part, Reader, Reply, Request, Step, Wants, Watches,
};

use super::tree::{Anew, Session, Tree, Trigger, parent};
use crate::random::Random;
use crate::world::Millis;

/// Readings under way at once.
const READERS: usize = 16;

/// What happens on the way.
#[derive(Debug)]
pub enum Hop {
    /// A reader's thread has woken up.
    Start(usize),
    /// A reader's call reaches the server.
    Call(usize, Call),
    /// A write of the agent's own reaches the server: its event is a fence.
    Touch(Arc<str>),
    /// An answer reaches its reader.
    Reply(usize, Reply),
    /// Something comes to the watch thread.
    Input(Input),
    /// A reading comes to the watch thread: what was read anew, and how many watches had been spent without a word when it
    /// began.
    Answered(Input, Arc<str>, Anew, u32),
}

/// Ways in which the shell around the machine, or a server, could be wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Servers keep no watches for znodes that are missing.
    pub no_creation: bool,
    /// Time is not told.
    pub no_tick: bool,
    /// A znode is read as it was wanted first.
    pub first_wants: bool,
    /// A barrier does not wait.
    pub hasty_fence: bool,
    /// The data of children is read without a watch.
    pub child_unwatched: bool,
    /// A child that rang while its parent was being read is not read again.
    pub rung_forgotten: bool,
}

/// The client of one session after the other.
pub struct Client {
    pub machine: Watches,
    pub faults: Faults,
    pub server: Option<Session>,
    /// Counts sessions; what was under way in an earlier one counts for nothing.
    pub session: u64,
    readers: Vec<Option<(Request, Reader, u32)>>,
    waiting: VecDeque<Request>,
    verifying: VecDeque<Request>,
    first_wants: BTreeMap<Arc<str>, Wants>,
    /// What is being read, and which of its children rang meanwhile.
    rung: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// When the last request arrives, the last frame comes back, the last event is told: none overtakes another.
    arrives: Millis,
    returns: Millis,
    told: Millis,
    start: Instant,
    /// What is on its way, and when it gets there.
    pub hops: Vec<(Millis, Hop)>,
    pub observations: Vec<Observation>,
    pub missed: u32,
    pub armed: bool,
    pub requests: u64,
}

impl Client {
    pub fn new(reread: Duration, start: Instant, faults: Faults) -> Self {
        Self {
            machine: Watches::new("/ledger".into(), reread, start),
            faults,
            server: None,
            session: 0,
            readers: (0..READERS).map(|_| None).collect(),
            waiting: VecDeque::new(),
            verifying: VecDeque::new(),
            first_wants: BTreeMap::new(),
            rung: BTreeMap::new(),
            arrives: 0,
            returns: 0,
            told: 0,
            start,
            hops: Vec::new(),
            observations: Vec::new(),
            missed: 0,
            armed: false,
            requests: 0,
        }
    }

    pub fn instant(&self, now: Millis) -> Instant {
        self.start + Duration::from_millis(now)
    }

    /// When the machine wants to be told of the time.
    pub fn deadline(&self) -> Option<Millis> {
        let deadline = self.machine.next_deadline()?.saturating_duration_since(self.start);
        u64::try_from(deadline.as_micros().div_ceil(1_000)).ok().filter(|_| !self.faults.no_tick)
    }

    pub fn up(&mut self, now: Millis, random: &mut Random) {
        self.server = Some(Session::default());
        (self.session, self.armed) = (self.session + 1, false);
        self.input(Input::Up, now, random);
    }

    pub fn down(&mut self, now: Millis, random: &mut Random) {
        if self.server.take().is_some() {
            self.readers.iter_mut().for_each(|reader| *reader = None);
            (self.waiting, self.verifying) = (VecDeque::new(), VecDeque::new());
            self.rung.clear();
            self.hops.clear();
            self.input(Input::Down("cut".into()), now, random);
        }
    }

    /// Whether nothing is under way but verifications.
    pub fn is_idle(&self) -> bool {
        self.readers.iter().flatten().all(|(request, ..)| request.in_background) && self.waiting.is_empty()
    }

    /// Sends a write of the agent's own, whose event comes behind all events before it.
    pub fn touch(&mut self, path: &Arc<str>, now: Millis, random: &mut Random) {
        self.arrives = self.arrives.max(now + random.between(0, 4));
        self.hops.push((self.arrives, Hop::Touch(Arc::clone(path))));
    }

    /// The server that the session is attached to has applied a change.
    pub fn fire(&mut self, triggers: &[Trigger], now: Millis, random: &mut Random) {
        let Some(server) = &mut self.server else { return };
        let heard: Vec<Arc<str>> = triggers
            .iter()
            .filter(|trigger| server.fires(trigger))
            .map(|trigger| Arc::from(&*trigger.path))
            .collect();
        for path in heard {
            self.event(path, now, random);
        }
    }

    pub fn event(&mut self, path: Arc<str>, now: Millis, random: &mut Random) {
        self.returns = self.returns.max(now + random.between(0, 4));
        self.told = self.told.max(self.returns + slow(random));
        let at = self.instant(self.told);
        self.hops.push((self.told, Hop::Input(Input::Rang { path, at })));
    }

    /// A hop of this session has come to its end; the tree is what the server shows.
    pub fn hop(&mut self, hop: Hop, tree: &Tree, now: Millis, random: &mut Random) {
        let creation = !self.faults.no_creation;
        match hop {
            Hop::Call(number, call) => {
                let Some(path) = self.readers[number].as_ref().map(|(request, ..)| Arc::clone(&request.path))
                else {
                    return;
                };
                let Some(server) = &mut self.server else { return };
                let unwatched = if let Call::ChildData(name) = &call
                    && self.faults.child_unwatched
                {
                    Some(format!("{path}/{name}"))
                } else {
                    None
                };
                let reply = server.answer(tree, &path, call, creation);
                unwatched.iter().for_each(|child| server.forget(child));
                self.returns = self.returns.max(now + random.between(0, 4));
                self.hops.push((self.returns + slow(random), Hop::Reply(number, reply)));
            }
            Hop::Start(number) => {
                if let Some((_, reader, _)) = &self.readers[number] {
                    self.send(number, reader.call(), now, random);
                }
            }
            Hop::Touch(path) => self.event(path, now, random),
            Hop::Reply(number, reply) => {
                let Some((_, reader, _)) = &mut self.readers[number] else { return };
                match reader.take(reply) {
                    Step::Call(call) => self.send(number, call, now, random),
                    Step::Done(reading) => {
                        let Some((request, _, spent)) = self.readers[number].take() else { return };
                        let anew = anew(&request);
                        let Request { ticket, path, .. } = request;
                        let input = Input::Answered { ticket, path: Arc::clone(&path), reading };
                        self.hops.push((now + slow(random), Hop::Answered(input, path, anew, spent)));
                        self.start_readers(now, random);
                    }
                }
            }
            Hop::Input(input) => self.input(input, now, random),
            Hop::Answered(input, path, anew, spent) => {
                if let Some(server) = &mut self.server {
                    server.heal(&path, anew, spent);
                }
                self.input(input, now, random);
            }
        }
    }

    fn send(&mut self, number: usize, call: Call, now: Millis, random: &mut Random) {
        self.arrives = self.arrives.max(now + random.between(0, 4));
        self.hops.push((self.arrives, Hop::Call(number, call)));
    }

    fn start_readers(&mut self, now: Millis, random: &mut Random) {
        for number in 0..READERS {
            if self.readers[number].is_some() {
                continue;
            }
            let Some(request) = self.waiting.pop_front().or_else(|| self.verifying.pop_front()) else {
                return;
            };
            let mut wants = request.wants;
            if self.faults.first_wants {
                let first = self.first_wants.entry(Arc::clone(&request.path)).or_insert(wants);
                *first = Wants { creation: wants.creation, ..*first };
                wants = *first;
            }
            let reader = Reader::new(wants, request.part.clone().filter(|_| wants == request.wants));
            let spent = self.server.as_ref().map_or(0, Session::spent);
            self.readers[number] = Some((request, reader, spent));
            self.hops.push((now + slow(random), Hop::Start(number)));
        }
    }

    /// Something comes to the machine.
    pub fn input(&mut self, input: Input, now: Millis, random: &mut Random) {
        let hasty = if let Input::Fence { barrier, .. } = &input { Some(*barrier) } else { None };
        let hasty = hasty.filter(|_| self.faults.hasty_fence);
        if let Input::Rang { path, .. } = &input
            && let Some(rung) = parent(path).and_then(|parent| self.rung.get_mut(parent))
        {
            rung.insert(Arc::clone(path));
        }
        let answered = if let Input::Answered { path, .. } = &input { Some(Arc::clone(path)) } else { None };
        let mut requests = Vec::new();
        for effect in self.machine.handle(input, self.instant(now)) {
            match effect {
                Effect::Read(request) => requests.push(request),
                Effect::Observe(observation) => self.observations.push(observation),
                Effect::Armed => self.armed = true,
                Effect::Log(Event::Missed(_)) => self.missed += 1,
                Effect::Log(Event::Unreadable(..) | Event::Readable(_)) => {}
            }
        }
        self.observations.extend(hasty.map(Observation::Barrier));
        // The machine asks for several in the order of a hash map, which differs from run to run.
        requests.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some(path) = answered.filter(|path| requests.iter().all(|request| request.path != *path)) {
            self.rung.remove(&path);
        }
        for mut request in requests {
            let rung = self.rung.insert(Arc::clone(&request.path), BTreeSet::new()).unwrap_or_default();
            if let Some(part) = request.part.as_mut().filter(|_| self.faults.rung_forgotten) {
                rung.iter().filter_map(|path| path.rsplit('/').next()).for_each(|name| part.forget(name));
            }
            self.requests += u64::from(!request.in_background);
            let queue = if request.in_background { &mut self.verifying } else { &mut self.waiting };
            queue.push_back(request);
        }
        self.start_readers(now, random);
    }
}

fn anew(request: &Request) -> Anew {
    match request.part.as_ref().map(Part::lists) {
        None => Anew::All,
        Some(true) => Anew::Itself,
        Some(false) => Anew::Some,
    }
}

/// How long a thread takes: mostly nothing, sometimes as long as others need for much.
fn slow(random: &mut Random) -> Millis {
    match random.below(10) {
        0 => random.between(0, 200),
        1..=3 => random.between(0, 10),
        _ => random.between(0, 1),
    }
}
