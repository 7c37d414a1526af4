//! Life and death of agents, and what goes wrong.

use super::*;

impl World {
    pub(super) fn boot(&mut self, agent: usize) {
        let now = self.moment(agent);
        let effects =
            self.agents[agent].dispatcher.handle(Input::Receivers(profiles(), Duration::from_secs(2)), now);
        self.perform(agent, effects);
        let rules = Arc::clone(&self.agents[agent].rules);
        self.watch(agent, WatchInput::Rules(rules));
        let after = self.random.between(1, 300);
        self.local(agent, after, Local::Connect);
    }

    pub(super) fn restart(&mut self, agent: usize) {
        if self.agents[agent].up {
            return;
        }
        let (life, fickle) = (self.agents[agent].life + 1, self.agents[agent].fickle || self.healed);
        let (cut, isolated) = (self.agents[agent].cut_until, self.agents[agent].isolated);
        let now = self.moment(agent);
        let rules = Arc::new(rules(self.file, fickle, self.mutant.dependence));
        self.agents[agent] = Agent::new(agent, life, rules, fickle, now);
        (self.agents[agent].cut_until, self.agents[agent].isolated) = (cut, isolated);
        self.say(|| format!("agent {agent} starts"));
        self.boot(agent);
    }

    pub(super) fn kill(&mut self, agent: usize) {
        self.agents[agent].up = false;
        self.agents[agent].paused_until = 0;
        if self.agents[agent].dispatcher.epoch().is_some() {
            self.oracle.disturbed = self.oracle.disturbed.max(self.now);
        }
    }

    /// The agent has a second for what is under way; it is away for a while after that.
    pub(super) fn stop(&mut self, agent: usize, down: Millis) {
        self.agents[agent].stopping = true;
        let moment = self.moment(agent);
        let effects = self.agents[agent].dispatcher.handle(Input::Park, moment);
        self.perform(agent, effects);
        self.local(agent, 1_000, Local::Exit(down));
    }

    /// The end of an agent that was stopped, with its session.
    pub(super) fn exit(&mut self, agent: usize, down: Millis) {
        self.send(agent, Request::Close, 0);
        self.kill(agent);
        self.oracle.disturbed = self.oracle.disturbed.max(self.now + down);
        self.at(self.now + down, Event::Restart(agent));
    }

    pub(super) fn fault(&mut self, what: What) {
        self.say(|| format!("{what:?}"));
        let now = self.now;
        self.oracle.note_led(now);
        self.oracle.disturbed = self.oracle.disturbed.max(now + what.length());
        if let Some(agent) = what.agent() {
            self.trouble(agent, what.length());
        }
        match what {
            What::Toggle(path) => self.toggle(path),
            What::Children(count) => self.fill(count),
            What::Rename(file) => self.rename(file),
            What::Crash(agent, down) if self.agents[agent].up => {
                self.kill(agent);
                self.at(now + down, Event::Restart(agent));
            }
            What::Crash(..) => {}
            // A process that is paused hears of signals when it goes on.
            What::Stop(agent, down) => self.local(agent, 0, Local::Stop(down)),
            What::Reload(agent, fickle) => self.local(agent, 0, Local::Reload(Some(fickle))),
            What::Pause(agent, length) => self.agents[agent].paused_until = now + length,
            What::Partition(agent, length) => self.agents[agent].cut_until = now + length,
            What::Isolate(agent, length) => {
                let shown = self.shown(agent);
                self.agents[agent].isolated = Some((now + length, shown));
            }
            What::Lag(agent, lag) => {
                if let Some(client) = &mut self.agents[agent].client {
                    client.lag = lag;
                }
            }
            What::Slow(agent, length) => self.agents[agent].slow_until = now + length,
            What::Delay(agent, delay) => self.agents[agent].delay = delay,
            What::Clock(agent, skew) => self.set_clock(agent, skew),
            What::Receiver(receiver, mood, length) => self.moods[receiver] = (mood, now + length),
            What::Outage(length) => self.moods.fill((Mood::Fails, now + length)),
            What::Silence(path, length) => self.silence(path, length),
            What::Acknowledge(path) => self.acknowledge(path),
            What::RemoveLocks => {
                let before = self.zk.len();
                self.zk.remove_locks(now);
                self.oracle.unlocked.push(now);
                self.changed(before);
            }
        }
    }

    /// The agent may be slow to see and to act for so long.
    pub(super) fn trouble(&mut self, agent: usize, length: Millis) {
        let troubled = &mut self.oracle.troubled[agent];
        *troubled = (*troubled).max(self.now + length);
    }

    pub(super) fn set_clock(&mut self, agent: usize, skew: i64) {
        self.skews[agent] = skew;
        self.oracle.skews.insert(skew);
    }

    pub(super) fn toggle(&mut self, path: usize) {
        let violation = self.oracle.toggle(path, self.now);
        let before = self.zk.len();
        let data = violation.map_or_else(|| "ok".into(), |number| format!("bad {number}").into());
        let name: std::rc::Rc<str> = (&*path_name(path)).into();
        let mut ops = vec![Op::Set(std::rc::Rc::clone(&name), data)];
        // Now and then it is made anew: whoever looks at its name alone sees no change.
        if self.random.chance(33) {
            ops.splice(0..0, [Op::Delete(std::rc::Rc::clone(&name)), Op::Create(name)]);
        }
        self.zk.change_tree(self.now, &ops, |state| state.violations[path] = violation);
        self.changed(before);
    }

    /// The pool has so many children from now on.
    fn fill(&mut self, count: u32) {
        self.oracle.fill(count, self.now);
        let name = path_name(POOL);
        let child = |number: u32| -> std::rc::Rc<str> { format!("{name}/{number}").into() };
        let before = self.zk.latest().violations[POOL].unwrap_or(0);
        let mut ops: Vec<Op> = (count..before).map(|number| Op::Delete(child(number))).collect();
        ops.extend((before..count).map(|number| Op::Create(child(number))));
        if count == 0 {
            ops = vec![Op::Delete((&*name).into())];
        }
        let before = self.zk.len();
        self.zk.change_tree(self.now, &ops, |state| state.violations[POOL] = Some(count));
        self.changed(before);
    }

    /// The file is another on every host, and every agent is told to read it.
    fn rename(&mut self, file: usize) {
        self.file = file;
        self.oracle.rename(file, self.now);
        // Who is down reads it when it starts. An operator reloads them all, one after the other.
        for agent in 0..AGENTS {
            let after = self.random.between(0, ROLLED);
            self.local(agent, after, Local::Reload(None));
        }
    }

    /// The agent reads its file again; it may differ from that of the others by the fickle path's rule.
    pub(super) fn reload(&mut self, agent: usize, fickle: Option<bool>) {
        let found = &mut self.agents[agent];
        if let Some(fickle) = fickle {
            self.reconfigured.insert(FICKLE);
            self.oracle.excuse_all(FICKLE);
            self.oracle.excuse(FICKLE, self.now);
            found.fickle = fickle;
            if !fickle {
                self.oracle.forgetful.insert((agent, found.life));
            }
        }
        let rules = rules(self.file, found.fickle, self.mutant.dependence);
        found.rules = Arc::new(in_place_of(rules, &found.rules));
        let rules = Arc::clone(&found.rules);
        let now = self.moment(agent);
        let effects =
            self.agents[agent].dispatcher.handle(Input::Receivers(profiles(), Duration::from_secs(2)), now);
        self.perform(agent, effects);
        if self.mutant.reload_removes {
            self.watch(agent, WatchInput::Rules(Arc::default()));
        }
        self.watch(agent, WatchInput::Rules(rules));
        self.view(agent);
    }

    pub(super) fn silence(&mut self, path: usize, length: Millis) {
        self.oracle.excuse(path, self.now);
        self.reconfigured.insert(path);
        let until = Until::Time(world_begins() + Duration::from_millis(self.now + length));
        let silence =
            Silence { id: "s".into(), path: path_name(path), until, comment: "".into(), by: "".into() };
        let before = self.zk.len();
        self.zk.commit(self.now, |state| state.silences.push(silence));
        self.changed(before);
    }

    /// Nobody removes it: what comes after its incidents must be told all the same.
    pub(super) fn acknowledge(&mut self, path: usize) {
        let path = path_name(path);
        let entries = self.zk.latest().ledger.values().map(|stored| &stored.entry);
        let open = entries.filter(|entry| entry.key.path == path && entry.until.is_none());
        let open: Vec<_> = open.cloned().collect();
        if open.is_empty() {
            return;
        }
        open.iter().for_each(|entry| self.oracle.acknowledge(entry, self.now));
        let open = open.into_iter().map(|entry| (entry.key, entry.incident)).collect();
        let until = Until::Recovery(open);
        let silence = Silence { id: "a".into(), path, until, comment: "".into(), by: "".into() };
        let before = self.zk.len();
        self.zk.commit(self.now, |state| state.silences.push(silence));
        self.changed(before);
    }

    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.say(|| "everything heals".to_owned());
        for agent in 0..AGENTS {
            // A silence ends by the wall clock, which must not be an hour behind for that.
            self.set_clock(agent, 0);
            let found = &mut self.agents[agent];
            (found.paused_until, found.cut_until, found.isolated, found.delay) = (0, 0, None, 0);
            if let Some(client) = &mut found.client {
                client.lag = 20;
            }
            if !found.up {
                self.restart(agent);
            } else if !found.fickle {
                self.reload(agent, Some(true));
            }
            self.view(agent);
        }
        self.moods = [(Mood::Accepts, 0); RECEIVERS];
    }

    pub(super) fn recover(&mut self) {
        let lease = self.zk.latest().holder().map(|lock| self.epoch(lock));
        self.oracle.pass(self.now);
        self.oracle.check_alerts(lease);
        for agent in &self.agents {
            agent.timers().firing.keys().for_each(|key| self.oracle.check_open(alert_of(key), self.now));
        }
        self.say(|| "all paths come back in spec".to_owned());
        for path in (0..PATHS).filter(|path| *path != POOL) {
            if self.zk.latest().violations[path].is_some() {
                self.toggle(path);
            }
        }
        self.fill(MOST_CHILDREN + 1);
    }

    pub(super) fn finish(&mut self) {
        if self.oracle.broken.is_some() {
            return;
        }
        self.oracle.check_deferred();
        self.oracle.check_recoveries(&self.reconfigured);
        let left: BTreeMap<AlertKey, Stored> = self.zk.latest().ledger.clone();
        let lease = self.zk.latest().holder().map(|lock| self.epoch(lock));
        self.oracle.check_ledger(&left, lease);
        for agent in &self.agents {
            let open = agent.dispatcher.alert_status().count();
            assert_eq!(open, 0, "agent {} still has alerts", agent.number);
        }
    }
}
