//! What an agent sees of the tree: its watch machine, its readers, and its evaluator.

use super::*;

/// For how long the ledger's listing is left alone after its watch has rung: at least, mostly, and when it takes long to
/// read. It is read in less than the first.
const LISTING_PAUSE: [Millis; 3] = [25, 50, 600];

impl World {
    /// A session has begun: everything is read on it.
    pub(super) fn open_eyes(&mut self, agent: usize) {
        let shown = self.shown(agent);
        let found = &mut self.agents[agent];
        (found.applied, found.ledger) = (shown, Followed::default());
        found.watcher.up(self.now, &mut self.random);
        self.absorb(agent);
    }

    /// The session is over.
    pub(super) fn close_eyes(&mut self, agent: usize) {
        self.agents[agent].watcher.down(self.now, &mut self.random);
        self.absorb(agent);
    }

    /// Something comes to the agent's watch machine.
    pub(super) fn watch(&mut self, agent: usize, input: WatchInput) {
        self.agents[agent].watcher.input(input, self.now, &mut self.random);
        self.absorb(agent);
    }

    /// The agent's server tells of what it has applied since it was looked at last.
    pub(super) fn advance(&mut self, agent: usize) {
        let shown = self.shown(agent);
        for index in self.agents[agent].applied + 1..=shown {
            let (before, state) =
                (self.zk.state(index - 1).listing, std::rc::Rc::clone(self.zk.state(index)));
            let found = &mut self.agents[agent];
            found.watcher.fire(&state.triggers, self.now, &mut self.random);
            if state.listing != before && std::mem::take(&mut found.ledger.watched) {
                found.watcher.event("/ledger".into(), self.now, &mut self.random);
            }
        }
        let found = &mut self.agents[agent];
        found.applied = found.applied.max(shown);
        self.absorb(agent);
    }

    /// A hop of the agent's connection comes to its end.
    pub(super) fn hop(&mut self, agent: usize, hop: Hop) {
        if let Hop::Touch(_) = hop {
            let isolated = self.agents[agent].isolated.filter(|(until, _)| *until > self.now);
            let session = self.agents[agent].client.as_ref().map_or(0, |client| client.session);
            if let Some((until, _)) = isolated {
                return self.local(agent, until + 1 - self.now, Local::Hop(session, hop));
            }
            // The server has applied all that was committed before this write.
            let latest = self.zk.len() - 1;
            if let Some(client) = &mut self.agents[agent].client {
                client.floor = client.floor.max(latest);
            }
        }
        if matches!(hop, Hop::Touch(_) | Hop::Call(..)) {
            self.advance(agent);
        }
        let rings = matches!(&hop, Hop::Input(WatchInput::Rang { path, .. }) if **path == *"/ledger");
        let found = &mut self.agents[agent];
        let tree = std::rc::Rc::clone(&self.zk.state(found.applied).tree);
        found.watcher.hop(hop, &tree, self.now, &mut self.random);
        if rings && let Some(client) = &found.client {
            found.ledger.rings += 1;
            let session = client.session;
            let [least, mostly, most] = LISTING_PAUSE;
            let pause = if self.random.chance(10) { most } else { mostly };
            let after = self.random.between(least, pause);
            self.local(agent, after, Local::WatchLedger(session, Look::Count));
        }
        self.absorb(agent);
    }

    /// A follower reads the ledger's listing, and sets its watch on it.
    pub(super) fn watch_ledger(&mut self, agent: usize, look: Look) {
        self.advance(agent);
        let found = &mut self.agents[agent];
        let rings = found.ledger.rings;
        if self.mutant.ledger_unwatched && rings == 0 {
            let change = LedgerChange::Any;
            return self.watch(agent, WatchInput::LedgerWatched { rings, change });
        }
        let Some(client) = found.client.as_ref().filter(|client| !client.taking) else { return };
        let state = self.zk.state(found.applied);
        let count = Count { made: 0, changes: state.listing };
        let next = match look {
            Look::Count => Look::Names(rings, ListingReader::new(count)),
            Look::Names(rings, reader) => {
                found.ledger.watched = true;
                let names = Children::new(state.ledger.keys().map(encode_alert).collect());
                Look::CountAgain(rings, reader, names)
            }
            Look::CountAgain(rings, mut reader, names) => match reader.take(names, count) {
                Some(read) => return self.tell_ledger(agent, rings, read),
                None => Look::Names(rings, reader),
            },
        };
        let (session, after) = (client.session, self.random.between(0, 3));
        self.local(agent, after, Local::WatchLedger(session, next));
    }

    /// The follower has read it: its watch machine will hear what has changed.
    fn tell_ledger(&mut self, agent: usize, rings: u64, read: ReadListing) {
        let after = self.random.between(1, 30);
        let (found, now) = (&mut self.agents[agent], self.now);
        let last = found.ledger.last.as_ref().filter(|_| !self.mutant.ledger_coarse);
        let mut change = LedgerChange::between(last, &read, decode_alert);
        if let (Some(last), true) = (last, self.mutant.ledger_uncounted) {
            let names = read.names.differing(&last.names);
            change = LedgerChange::Of(names.into_iter().filter_map(decode_alert).collect());
        }
        if let (LedgerChange::Of(alerts), true) = (&mut change, self.mutant.ledger_ignored) {
            alerts.clear();
        }
        if let (LedgerChange::Of(alerts), true) = (&mut change, self.mutant.ledger_by_path) {
            let nobodys = |key: &AlertKey| AlertKey { name: Some("nobody's".into()), ..key.clone() };
            *alerts = alerts.iter().map(nobodys).collect();
        }
        // What came and went meanwhile is not known for sure, now or the next time.
        found.ledger.since = read.is_sure().then(|| found.ledger.since.unwrap_or(now));
        found.ledger.last = Some(read);
        found.ledger.told_at = found.ledger.told_at.max(now + after);
        let session = found.client.as_ref().map_or(0, |client| client.session);
        let (after, input) = (found.ledger.told_at - now, WatchInput::LedgerWatched { rings, change });
        self.local(agent, after, Local::Hop(session, Hop::Input(input)));
    }

    /// What a takeover asks of the watching side.
    pub(super) fn fence(&mut self, agent: usize, takeover: &Takeover) {
        let rules = &self.agents[agent].rules;
        let mut adopted: Vec<_> = takeover.entries.iter().map(|stored| stored.entry.adoption()).collect();
        let known = adopted.iter().filter(|adoption| rules.rule(&adoption.key).is_some());
        let bases = known.filter_map(|adoption| Some((alert_of(&adoption.key), adoption.base?)));
        self.agents[agent].adopted = bases.collect();
        let follower = &mut self.agents[agent].ledger;
        (follower.last, follower.watched) = (None, false);
        if let Some(since) = follower.since.take() {
            let first = self.agents[agent].first_since;
            self.oracle.succeeds(agent, since, first, &takeover.entries, self.now);
        }
        if self.mutant.base_unread {
            adopted.iter_mut().for_each(|adoption| adoption.base = None);
        }
        self.watch(agent, WatchInput::Adopt(adopted));
        let path: Arc<str> = format!("/lock/{}", takeover.epoch).into();
        self.watch(agent, WatchInput::Fence { path: Arc::clone(&path), barrier: takeover.barrier });
        let (found, now) = (&mut self.agents[agent], self.now);
        if self.mutant.no_fence {
            found.watcher.event(path, now, &mut self.random);
        } else {
            found.watcher.touch(&path, now, &mut self.random);
        }
        self.absorb(agent);
    }

    /// Passes on what the watch machine has led to.
    fn absorb(&mut self, agent: usize) {
        let cut = self.agents[agent].cut_until;
        let session = self.agents[agent].client.as_ref().map_or(0, |client| client.session);
        for (at, hop) in std::mem::take(&mut self.agents[agent].watcher.hops) {
            // Nothing passes while the agent is cut off; what is at home already does.
            let at = if travels(&hop) { at.max(cut) } else { at };
            self.local(agent, at.saturating_sub(self.now), Local::Hop(session, hop));
        }
        let now = self.moment(agent);
        let mut out = Vec::new();
        for observation in std::mem::take(&mut self.agents[agent].watcher.observations) {
            self.agents[agent].evaluator.observe(observation, now, &mut out);
        }
        out.into_iter().for_each(|output| self.tell(agent, output));
        self.arm_evaluator(agent);
        let found = &mut self.agents[agent];
        let armed = found.watcher.armed;
        if let Some(client) = found.client.as_mut().filter(|client| armed && !client.joined) {
            client.joined = true;
            self.send(agent, Request::Lock, 0);
            self.follow(agent);
        }
        self.arm_watch(agent);
    }

    /// The agent stands in line, and has not watched the ledger's listing so far, or not any more.
    pub(super) fn follow(&mut self, agent: usize) {
        let Some(client) = &self.agents[agent].client else { return };
        let session = client.session;
        self.local(agent, 0, Local::WatchLedger(session, Look::Count));
    }

    /// The evaluator is told of the time.
    pub(super) fn pass_time(&mut self, agent: usize) {
        let (now, mut out) = (self.moment(agent), Vec::new());
        self.agents[agent].evaluator.tick(now, &mut out);
        out.into_iter().for_each(|output| self.tell(agent, output));
        self.arm_evaluator(agent);
    }

    fn arm_evaluator(&mut self, agent: usize) {
        let deadline = self.agents[agent].evaluator.next_deadline().filter(|_| !self.mutant.judge_untimed);
        let Some(deadline) = deadline else { return };
        let at = self.millis(deadline).max(self.now);
        let found = &mut self.agents[agent];
        if found.judge_tick.is_none_or(|tick| tick > at) {
            found.judge_tick = Some(at);
            self.local(agent, at - self.now, Local::JudgeTick);
        }
    }

    fn arm_watch(&mut self, agent: usize) {
        let found = &mut self.agents[agent];
        let Some(deadline) = found.watcher.deadline() else { return };
        let at = deadline.max(self.now);
        if found.watch_tick.is_none_or(|tick| tick > at) {
            found.watch_tick = Some(at);
            self.local(agent, at - self.now, Local::WatchTick);
        }
    }
}

/// Whether a hop crosses the network.
fn travels(hop: &Hop) -> bool {
    match hop {
        Hop::Call(..) | Hop::Touch(_) | Hop::Reply(..) => true,
        Hop::Input(input) => matches!(input, WatchInput::Rang { .. }),
        Hop::Answered(..) | Hop::Start(_) => false,
    }
}
