//! The connection to ZooKeeper.

use super::*;

impl World {
    /// The state that the agent's server shows now.
    pub(super) fn shown(&self, agent: usize) -> usize {
        let found = &self.agents[agent];
        let Some(client) = &found.client else { return 0 };
        let lagging = self.zk.index_at(self.now.saturating_sub(client.lag));
        let isolated = found.isolated.filter(|(until, _)| *until > self.now).map_or(usize::MAX, |(_, at)| at);
        lagging.min(isolated).max(client.floor)
    }

    /// Something was committed: the watches of all agents ring, sooner or later.
    pub(super) fn changed(&mut self, before: usize) {
        if self.zk.len() == before {
            return;
        }
        for agent in 0..AGENTS {
            let found = &self.agents[agent];
            let Some(client) = &found.client else { continue };
            let (session, lag) = (client.session, client.lag);
            let isolated = found.isolated.map_or(0, |(until, _)| until.saturating_sub(self.now));
            let cut = found.cut_until.saturating_sub(self.now);
            let after = lag.max(isolated).max(cut) + self.random.between(1, 15);
            self.local(agent, after, Local::View(session));
        }
    }

    pub(super) fn connect(&mut self, agent: usize) {
        let found = &self.agents[agent];
        let isolated = found.isolated.is_some_and(|(until, _)| until > self.now);
        if found.client.is_some() || found.stopping {
            return;
        }
        if found.cut_until > self.now || isolated {
            return self.local(agent, 300, Local::Connect);
        }
        let session = self.zk.open(agent, self.now);
        self.at(self.now + TIMEOUT, Event::Expire(session));
        let lag = self.random.between(0, 60);
        self.agents[agent].client = Some(Client {
            session,
            written: self.now,
            lag,
            floor: 0,
            joined: false,
            lock: None,
            taking: false,
            granted: None,
            request_at: 0,
            answer_at: 0,
        });
        self.say(|| format!("agent {agent} connects: session {session}"));
        self.local(agent, 1, Local::Heartbeat(session));
        self.local(agent, TIMEOUT, Local::Generation(session));
        self.exorcise(agent);
        self.open_eyes(agent);
    }

    /// Removes the lock nodes of sessions before, once nothing is sent under them any more.
    pub(super) fn exorcise(&mut self, agent: usize) {
        let found = &mut self.agents[agent];
        if found.client.is_some() && found.flying.is_empty() && !found.ghosts.is_empty() {
            let now = self.now;
            let due = found.ghosts.extract_if(.., |(_, from)| *from <= now);
            let due: Vec<_> = due.map(|(session, _)| session).collect();
            if let Some(from) = found.ghosts.iter().map(|(_, from)| *from).min() {
                self.local(agent, from - now, Local::Exorcise);
            }
            if !due.is_empty() {
                self.send(agent, Request::RemoveLocks(due), 0);
            }
        }
    }

    pub(super) fn heartbeat(&mut self, agent: usize, session: u64) {
        let request = if self.mutant.heartbeat_reads { Request::Read } else { Request::Touch };
        self.send(agent, request, 0);
        self.local(agent, TIMEOUT / 6, Local::Heartbeat(session));
    }

    /// Sends a request. One that is sent while the agent is cut off leaves when that ends, if the session has
    /// not been given up by then.
    pub(super) fn send(&mut self, agent: usize, request: Request, after: Millis) {
        let slow = if self.random.chance(2) { self.random.between(0, 2_000) } else { 0 };
        let transit = self.random.between(1, 15) + slow;
        let found = &mut self.agents[agent];
        let sent = self.now;
        let Some(client) = &mut found.client else { return };
        let leaves = (sent + after).max(found.cut_until);
        let arrives = (leaves + transit + found.delay).max(client.request_at);
        client.request_at = arrives;
        let session = client.session;
        self.at(arrives, Event::Request(session, request, sent));
    }

    /// A request has reached the server that the session is attached to.
    pub(super) fn request(&mut self, session: u64, request: Request, sent: Millis) {
        let agent = self.zk.session(session).agent;
        let given_up = self.agents[agent].client.as_ref().is_none_or(|client| client.session != session);
        if given_up && self.agents[agent].cut_until > sent {
            return;
        }
        if let Some((until, _)) = self.agents[agent].isolated.filter(|(until, _)| *until > self.now) {
            if matches!(request, Request::Read) {
                // A read is answered by the server alone, however stale.
                return self.reply(agent, session, Answer::Done, sent, 0);
            }
            return self.at(until + 1, Event::Request(session, request, sent));
        }
        let before = self.zk.len();
        let ledger = match &request {
            Request::Ledger(_, key, change) => {
                Some((self.zk.latest().ledger.get(key).map(|stored| stored.entry.clone()), change.clone()))
            }
            Request::Touch | Request::Read | Request::Lock | Request::RemoveLocks(_) => None,
            Request::Fence | Request::Close => None,
        };
        if !matches!(request, Request::Touch | Request::Read) {
            self.say(|| format!("session {session} of agent {agent}: {}", brief(&request)));
        }
        let reads = matches!(request, Request::Read);
        let answer = self.zk.apply(session, request, self.now);
        if let (Some((entry, change)), Answer::Written(_, Written::Done(_))) = (ledger, &answer) {
            let mut left = self.zk.latest().ledger.values().map(|stored| &stored.entry);
            let lives_on =
                left.any(|left| entry.as_ref().is_some_and(|entry| tells_of(left, &entry.incident)));
            let left = self.zk.latest().ledger.values().map(|stored| &stored.entry);
            let open = left.filter(|left| left.until.is_none()).map(|left| Arc::clone(&left.incident));
            self.oracle.committed(entry.as_ref(), &change, lives_on, &open.collect(), self.now);
        }
        self.changed(before);
        let floor = if reads { 0 } else { self.zk.len() - 1 };
        self.reply(agent, session, answer, sent, floor);
    }

    pub(super) fn reply(&mut self, agent: usize, session: u64, answer: Answer, sent: Millis, floor: usize) {
        let transit = self.random.between(1, 15);
        let now = self.now;
        let found = &mut self.agents[agent];
        let Some(client) = found.client.as_mut().filter(|client| client.session == session) else { return };
        let lag = if floor > 0 { client.lag } else { 0 };
        let arrives = (now + lag + transit).max(client.answer_at);
        client.answer_at = arrives;
        self.local(agent, arrives - now, Local::Answer(session, answer, sent, floor));
    }

    pub(super) fn answer(&mut self, agent: usize, answer: Answer, sent: Millis, floor: usize) {
        let cut = self.agents[agent].cut_until.saturating_sub(self.now);
        let Some(client) = &mut self.agents[agent].client else { return };
        if cut > 0 {
            let session = client.session;
            return self.local(agent, cut, Local::Answer(session, answer, sent, floor));
        }
        client.floor = client.floor.max(floor);
        client.written = client.written.max(sent);
        let session = client.session;
        match answer {
            Answer::Expired => return self.disconnect(agent, 0),
            Answer::Done => {}
            Answer::Locked(lock) => client.lock = Some(lock),
            Answer::Fenced => {
                self.load(agent, session);
                return self.view(agent);
            }
            Answer::Written(id, written) => self.written(agent, id, written),
        }
        self.view(agent);
    }

    pub(super) fn generation(&mut self, agent: usize) {
        let Some(client) = &self.agents[agent].client else { return };
        let (session, end) = (client.session, client.written + TIMEOUT);
        if end <= self.now {
            self.disconnect(agent, 0);
        } else {
            self.local(agent, end - self.now, Local::Generation(session));
        }
    }

    /// The end of a generation. Its lock node is left alone until then.
    pub(super) fn disconnect(&mut self, agent: usize, ghost: Millis) {
        let Some(client) = self.agents[agent].client.take() else { return };
        self.say(|| format!("agent {agent} gives session {} up", client.session));
        self.agents[agent].ghosts.push((client.session, ghost));
        self.disturb(agent);
        self.trouble(agent, 0);
        let now = self.moment(agent);
        let effects = self.agents[agent].dispatcher.handle(Input::Revoked, now);
        self.perform(agent, effects);
        self.close_eyes(agent);
        let after = self.random.between(50, 1_000);
        self.local(agent, after, Local::Connect);
    }

    /// Reads what the watches rang for, and the locks.
    pub(super) fn view(&mut self, agent: usize) {
        let shown = self.shown(agent);
        let state = std::rc::Rc::clone(self.zk.state(shown));
        let cut = self.agents[agent].cut_until > self.now;
        let Some(client) = self.agents[agent].client.as_mut().filter(|_| !cut) else { return };
        // What was read once is not unread: a server goes forward alone.
        client.floor = client.floor.max(shown);
        let (lock, joined) = (client.lock, client.joined);
        self.advance(agent);
        if !joined {
            return;
        }
        let deaf = self.mutant.silences_unheard && lock.is_none_or(|lock| state.holder() != Some(lock));
        if self.agents[agent].silences != state.silences.len() && !deaf {
            self.agents[agent].silences = state.silences.len();
            let now = self.moment(agent);
            let effects = self.agents[agent].dispatcher.handle(Input::Silences(state.silences.clone()), now);
            self.perform(agent, effects);
        }
        if lock.is_some_and(|lock| state.locks.get(&lock.number) != Some(&lock)) {
            return self.join_again(agent);
        }
        if lock.is_some() && state.holder() == lock {
            self.run_for_office(agent);
        }
    }

    /// Somebody removed this agent's lock node.
    pub(super) fn join_again(&mut self, agent: usize) {
        let Some(client) = &mut self.agents[agent].client else { return };
        (client.lock, client.taking, client.granted) = (None, false, None);
        self.disturb(agent);
        let now = self.moment(agent);
        let effects = self.agents[agent].dispatcher.handle(Input::Revoked, now);
        self.perform(agent, effects);
        self.send(agent, Request::Lock, 0);
        self.follow(agent);
    }

    /// The alert side looks whether the lease holds, which it does after all that it hears. One that has lapsed is not
    /// taken up again, whatever is acknowledged: the session ends.
    pub(super) fn lapse(&mut self, agent: usize) {
        let Some(client) = self.agents[agent].client.as_ref() else { return };
        let (session, granted) = (client.session, client.granted);
        if granted.is_none_or(|epoch| self.agents[agent].holds(epoch, self.now)) {
            return;
        }
        self.disturb(agent);
        if let Some(client) = &mut self.agents[agent].client {
            client.granted = None;
        }
        self.say(|| format!("agent {agent} sees its lease lapse"));
        let now = self.moment(agent);
        let effects = self.agents[agent].dispatcher.handle(Input::Revoked, now);
        self.perform(agent, effects);
        if !self.mutant.lapse_untold {
            let after = self.random.between(0, TIMEOUT / 6);
            self.local(agent, after, Local::Lapsed(session));
        }
    }

    /// What this agent has not sent yet, if it leads, another will.
    fn disturb(&mut self, agent: usize) {
        if self.agents[agent].dispatcher.epoch().is_some() {
            self.oracle.disturbed = self.oracle.disturbed.max(self.now);
        }
    }

    /// The epoch of the lease that a lock node stands for.
    pub(super) fn epoch(&self, lock: Lock) -> u64 {
        if self.mutant.lock_number { lock.number } else { lock.made }
    }

    pub(super) fn run_for_office(&mut self, agent: usize) {
        let Some(client) = &mut self.agents[agent].client else { return };
        if client.taking {
            return;
        }
        client.taking = true;
        let session = client.session;
        self.agents[agent].first_since = self.now;
        if self.mutant.no_fence {
            return self.load(agent, session);
        }
        self.send(agent, Request::Fence, 0);
    }

    /// Lists the locks again, reads the ledger, and sends the barrier.
    pub(super) fn load(&mut self, agent: usize, session: u64) {
        let shown = self.shown(agent);
        let state = std::rc::Rc::clone(self.zk.state(shown));
        self.view(agent);
        let Some(client) = &mut self.agents[agent].client else { return };
        let Some(lock) = client.lock else { return };
        if state.holder() != Some(lock) {
            client.taking = false;
            return;
        }
        self.agents[agent].barrier += 1;
        let barrier = self.agents[agent].barrier;
        let first = self.start + Duration::from_millis(self.agents[agent].first_since);
        let grant = Takeover {
            barrier,
            epoch: self.epoch(lock),
            entries: state.ledger.values().cloned().collect(),
            unreadable: Vec::new(),
            silences: state.silences.clone(),
            vacant_since: first.checked_sub(Duration::from_millis(TIMEOUT * 3 / 2 + 2_000)),
        };
        if self.mutant.lease_overtakes {
            let now = self.moment(agent);
            let effects = self.agents[agent]
                .dispatcher
                .handle(Input::Evaluated(EvaluatorOutput::Barrier(barrier)), now);
            self.perform(agent, effects);
        } else {
            self.fence(agent, &grant);
        }
        let after = self.random.between(0, 60);
        self.local(agent, after, Local::Grant(session, Box::new(grant)));
    }

    pub(super) fn grant(&mut self, agent: usize, grant: Takeover) {
        self.say(|| {
            format!("agent {agent} is granted epoch {} with {} entries", grant.epoch, grant.entries.len())
        });
        let lock = self.agents[agent].client.as_ref().and_then(|client| client.lock);
        // Taken back, since its lock was removed meanwhile.
        if lock.is_none_or(|lock| self.epoch(lock) != grant.epoch) {
            return;
        }
        if let Some(client) = &mut self.agents[agent].client {
            client.granted = Some(grant.epoch);
        }
        let entries = grant.entries.iter().map(|stored| &stored.entry);
        let rules = &self.agents[agent].rules;
        let is_unknown = |entry: &&Entry| {
            rules.rule(&entry.key).is_none() && rules.heir(&entry.key, &entry.former).is_none()
        };
        for entry in entries.filter(is_unknown) {
            self.oracle.leave(entry);
        }
        let now = self.moment(agent);
        let before = self.agents[agent].timers();
        let effects = self.agents[agent].dispatcher.handle(Input::Granted(grant), now);
        self.check_office(agent, &before);
        self.perform(agent, effects);
    }

    /// When a lease takes effect, its agent knows no path by less than how it was when the agent found itself
    /// first in line.
    pub(super) fn check_office(&mut self, agent: usize, before: &Timers) {
        let found = &self.agents[agent];
        let after = found.timers();
        if before.epoch.is_some() || after.epoch.is_none() {
            return;
        }
        for (key, since) in &before.firing {
            if after.firing.get(key).is_some_and(|now| now != since) || after.pending.contains(key) {
                return self.oracle.fail(format!("timers_go_on: agent {agent} restarts {key}"));
            }
        }
        let from = self.zk.index_at(found.first_since.saturating_sub(1));
        for alert in (0..ALERTS).filter(|alert| found.is_watched(path_of(*alert))) {
            let path = path_of(alert);
            let mut states = (from..self.zk.len()).map(|index| self.zk.state(index).violations[path]);
            let is_fresh = match found.known[alert] {
                Some(None) if path == POOL => self.may_be_in_spec(agent, alert),
                known => states.any(|state| known == Some(state)),
            };
            if !is_fresh {
                let known = found.known[alert];
                return self.oracle.fail(format!("fresh_takeover: agent {agent} knows {alert} as {known:?}"));
            }
        }
    }

    /// Whether an agent may know the pool as in spec that has been first in line since then. What it has fallen from was
    /// in the ledger that it read, if it did not see it itself.
    fn may_be_in_spec(&self, agent: usize, alert: usize) -> bool {
        let found = &self.agents[agent];
        let base = found.adopted.iter().find(|(of, _)| *of == alert).map(|(_, base)| base);
        base.is_none_or(|base| self.oracle.may_be_over(alert, base.most, found.first_since, self.now))
    }

    pub(super) fn written(&mut self, agent: usize, id: u64, written: Written) {
        let now = self.moment(agent);
        let effects = self.agents[agent].dispatcher.handle(Input::Written(id, written), now);
        self.perform(agent, effects);
    }
}

fn brief(request: &Request) -> String {
    match request {
        Request::Ledger(_, key, change) => brief_write(key, change),
        Request::Touch | Request::Read => "heartbeat".to_owned(),
        Request::Lock | Request::RemoveLocks(_) | Request::Fence | Request::Close => format!("{request:?}"),
    }
}

fn brief_write(key: &AlertKey, change: &Change) -> String {
    let entry = match change {
        Change::Create(entry) | Change::Set(entry, _) => entry,
        Change::Delete(_) => return format!("delete {key}"),
    };
    let marks: Vec<_> = entry
        .receivers
        .iter()
        .map(|(id, p)| format!("{id} {} {:?}/{:?}", p.incident, p.firing, p.resolved))
        .collect();
    format!("write {key} {} epoch {} {}", entry.incident, entry.epoch, marks.join(", "))
}

/// Whether an incident is the entry's last, or one whose end a receiver has yet to hear of.
fn tells_of(entry: &Entry, incident: &Arc<str>) -> bool {
    let mut behind = entry.receivers.values().map(|progress| &progress.incident);
    entry.incident == *incident || behind.any(|other| other == incident)
}
