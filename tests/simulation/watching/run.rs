//! One history in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use zk_monitor::model::evaluator::Evaluator;
use zk_monitor::model::observation::Adoption;
use zk_monitor::model::rule::RuleSet;
use zk_monitor::model::time::Now;
use zk_monitor::model::watches::Input;

use super::client::{Client, Faults, Hop};
use super::history::{HORIZON, Happening, REREAD, What, adopted, rules};
use super::oracle::Oracle;
use super::tree::{Op, Tree};
use crate::due::Due;
use crate::random::Random;
use crate::world::Millis;

/// By when whatever has rung is answered.
const QUIET: Millis = HORIZON + 4_000;
/// By when everything was verified, since readings were asked for when the history ended.
const VERIFIED: Millis = QUIET + REREAD + 6_000;
/// By when what was found by that was verified once more.
const SETTLED: Millis = VERIFIED + REREAD;
/// How many readings may be asked for once all is quiet: each znode a few times.
const LAST_READINGS: u64 = 400;

enum Event {
    Happening(What),
    Hop(u64, Hop),
    Connect,
    Tick,
    Quiet,
    Verified,
    Settled,
}

struct Run {
    now: Millis,
    start: Instant,
    events: BinaryHeap<Reverse<Due<Event>>>,
    next: u64,
    random: Random,
    tree: Tree,
    client: Client,
    evaluator: Evaluator,
    oracle: Oracle,
    barrier: u64,
    tick: Option<Millis>,
    last_happening: Millis,
    trace: bool,
}

/// Runs one history; the promise that was broken, if one was.
pub fn run(seed: u64, history: &[Happening], faults: Faults, trace: bool) -> Option<String> {
    let mut run = Run::new(seed, faults, trace);
    run.oracle.committed(&run.tree, 0);
    let mut shift = 0;
    for Happening { at, what } in history {
        if matches!(what, What::Wait) {
            shift += REREAD * 3 / 2;
        }
        run.at(at + shift, Event::Happening(what.clone()));
    }
    run.at(5, Event::Connect);
    run.at(QUIET + shift, Event::Quiet);
    run.at(VERIFIED + shift, Event::Verified);
    run.at(SETTLED + shift, Event::Settled);
    run.turn();
    run.oracle.broken
}

impl Run {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant can be made in no other way; its value is free"
    )]
    fn new(seed: u64, faults: Faults, trace: bool) -> Self {
        let start = Instant::now();
        let moment = Now { mono: start, wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) };
        Self {
            now: 0,
            start,
            events: BinaryHeap::new(),
            next: 0,
            random: Random::new(seed ^ 0x5EED),
            tree: Tree::default(),
            client: Client::new(Duration::from_millis(REREAD), start, faults),
            evaluator: Evaluator::new(Arc::new(RuleSet::default()), moment),
            oracle: Oracle::default(),
            barrier: 0,
            tick: None,
            last_happening: 0,
            trace,
        }
    }

    fn moment(&self) -> Now {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        Now { mono: self.start, wall }.after(Duration::from_millis(self.now))
    }

    fn at(&mut self, time: Millis, event: Event) {
        self.next += 1;
        self.events.push(Reverse(Due(time.max(self.now), self.next, event)));
    }

    fn say(&self, words: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>7} {}", self.now, words());
        }
    }

    fn turn(&mut self) {
        while let Some(Reverse(Due(time, _, event))) = self.events.pop() {
            self.now = time;
            match event {
                Event::Happening(what) => self.happens(what),
                Event::Hop(session, hop) if session == self.client.session => {
                    self.say(|| format!("{hop:?}"));
                    self.client.hop(hop, &self.tree, self.now, &mut self.random);
                }
                Event::Hop(..) => {}
                Event::Connect if self.client.server.is_none() => {
                    self.say(|| "connects".to_owned());
                    self.oracle.connected(self.now);
                    self.client.up(self.now, &mut self.random);
                }
                Event::Connect => {}
                Event::Tick => {
                    self.tick = None;
                    self.client.input(Input::Tick, self.now, &mut self.random);
                }
                Event::Quiet => self.quiet(),
                Event::Verified => self.verified(),
                Event::Settled => return self.settled(),
            }
            self.settle();
            if self.oracle.broken.is_some() {
                return;
            }
        }
    }

    /// Passes on what the last event led to.
    fn settle(&mut self) {
        let session = self.client.session;
        for (at, hop) in std::mem::take(&mut self.client.hops) {
            self.at(at, Event::Hop(session, hop));
        }
        let now = self.moment();
        let mut out = Vec::new();
        for observation in std::mem::take(&mut self.client.observations) {
            self.say(|| format!("    observed {observation:?}"));
            let server = self.client.server.as_ref();
            self.oracle.observed(&observation, server);
            self.evaluator.observe(observation, now, &mut out);
        }
        self.evaluator.tick(now, &mut out);
        for output in out {
            self.oracle.judged(&output);
        }
        if let Some(deadline) = self.client.deadline()
            && self.tick.is_none_or(|tick| tick > deadline)
        {
            let at = deadline.max(self.now);
            self.tick = Some(at);
            self.at(at, Event::Tick);
        }
    }

    fn happens(&mut self, what: What) {
        self.say(|| format!("{what:?}"));
        self.last_happening = self.now;
        self.client.requests = 0;
        match what {
            What::Commit(ops) => self.commit(&ops),
            What::Drop(length) => {
                self.client.down(self.now, &mut self.random);
                self.at(self.now + length, Event::Connect);
            }
            What::Reload(chosen) => {
                let rules = rules(chosen);
                self.oracle.reloaded(&rules, self.now);
                self.client.input(Input::Rules(rules), self.now, &mut self.random);
            }
            What::Fence(count) => self.fence(count),
            What::Wait => {}
        }
    }

    fn commit(&mut self, ops: &[Op]) {
        let mut triggers = Vec::new();
        for op in ops {
            triggers.extend(self.tree.apply(op));
        }
        self.oracle.was_blind |= triggers.iter().any(|trigger| !trigger.heard);
        self.oracle.committed(&self.tree, self.now);
        self.client.fire(&triggers, self.now, &mut self.random);
    }

    /// What a takeover asks of the watching side.
    fn fence(&mut self, count: u8) {
        // Without a session, or before all was read on it, nobody stands in line.
        let Some(server) = self.client.server.as_ref().filter(|_| self.client.armed) else { return };
        self.barrier += 1;
        self.oracle.fenced(self.barrier, server, self.now);
        let since = self.moment().wall;
        let adopted: Vec<_> = adopted(count)
            .flat_map(|path| self.oracle.alerts(&path))
            .map(|key| Adoption { key, former: Vec::new(), since, base: None })
            .collect();
        self.oracle.adopts(&adopted);
        self.client.input(Input::Adopt(adopted), self.now, &mut self.random);
        let path: Arc<str> = format!("/lock/{}", self.barrier).into();
        let fence = Input::Fence { path: Arc::clone(&path), barrier: self.barrier };
        self.client.input(fence, self.now, &mut self.random);
        self.client.touch(&path, self.now, &mut self.random);
    }

    fn quiet(&mut self) {
        if self.client.server.is_none() || !self.client.is_idle() || self.client.requests > LAST_READINGS {
            let requests = self.client.requests;
            return self.oracle.fail(format!("readings_end: {requests} asked for, and more to come"));
        }
        if self.client.server.as_ref().is_some_and(|server| server.blind.is_empty()) {
            self.oracle.check_truth(&self.tree, &self.evaluator.snapshot());
        }
    }

    fn verified(&mut self) {
        self.oracle.check_truth(&self.tree, &self.evaluator.snapshot());
        self.oracle.check_fences();
        if self.client.missed > 0 && !self.oracle.was_blind {
            self.oracle.fail("missed_changes: one was said, and every event was sent".to_owned());
        }
    }

    fn settled(&mut self) {
        if let Some(server) = &self.client.server {
            self.oracle.check_watches(server, &self.tree);
        }
    }
}
