//! The evaluator's facts, and the dispatcher's effects.

use super::*;

impl World {
    /// The evaluator will tell this, after what it has to tell before.
    pub(super) fn tell(&mut self, agent: usize, judged: EvaluatorOutput) {
        let slow = self.agents[agent].slow_until > self.now;
        let most = if slow {
            1_500
        } else if self.random.chance(3) {
            500
        } else {
            20
        };
        let delay = self.random.between(0, most);
        let last = self.agents[agent].judged.back().map_or(0, |(at, _)| *at);
        let at = last.max(self.now + delay);
        self.agents[agent].judged.push_back((at, judged));
        self.local(agent, at - self.now, Local::Judge);
    }

    pub(super) fn judge(&mut self, agent: usize) {
        let Some((_, judged)) = self.agents[agent].judged.pop_front() else { return };
        self.say(|| format!("agent {agent} hears {}", told(&judged)));
        if let EvaluatorOutput::Transition(transition) = &judged {
            let alert = alert_of(&transition.key);
            let known = match &transition.state {
                Judgement::Ok => None,
                Judgement::Error { .. } if path_of(alert) == POOL => transition.children,
                Judgement::Error { message, .. } => self.oracle.violation_of(alert, message),
            };
            self.agents[agent].known[alert] = Some(known);
        }
        let now = self.moment(agent);
        let before = self.agents[agent].timers();
        let effects = self.agents[agent].dispatcher.handle(Input::Evaluated(judged), now);
        self.check_office(agent, &before);
        self.perform(agent, effects);
    }

    pub(super) fn perform(&mut self, agent: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Write(mut write) => {
                    if let (Change::Create(entry) | Change::Set(entry, _), true) =
                        (&mut write.change, self.mutant.ending_unwritten)
                    {
                        entry.ending = None;
                    }
                    if self.mutant.owed_unwritten && is_untried(&write.change) {
                        let session = self.agents[agent].client.as_ref().map_or(0, |client| client.session);
                        let answer = Answer::Written(write.id, Written::Done(0));
                        self.local(agent, 1, Local::Answer(session, answer, 0, 0));
                    } else if self.agents[agent].holds(write.epoch, self.now) {
                        self.send(agent, Request::Ledger(write.id, write.key, Box::new(write.change)), 0);
                    } else {
                        // The answer comes from the shell, not within the call that asked for the write.
                        let session = self.agents[agent].client.as_ref().map_or(0, |client| client.session);
                        let answer = Answer::Written(write.id, Written::Failed("no lease".to_owned()));
                        self.local(agent, 1, Local::Answer(session, answer, 0, 0));
                    }
                }
                Effect::Attempt(delivery) => {
                    let id = delivery.id;
                    self.agents[agent].flying.push(delivery);
                    let after = self.random.between(0, 5);
                    self.local(agent, after, Local::Attempt(id));
                }
                Effect::Log(event) => self.say(|| format!("agent {agent} logs {event:?}")),
            }
        }
        let lease = self.agents[agent].dispatcher.epoch();
        self.oracle.note_lease(agent, lease, self.now);
        self.arm(agent);
    }

    /// Sets the dispatcher's next tick.
    pub(super) fn arm(&mut self, agent: usize) {
        let Some(deadline) = self.agents[agent].dispatcher.next_deadline() else { return };
        let at = self.millis(deadline).max(self.now);
        if self.agents[agent].tick.is_none_or(|tick| tick > at) {
            self.agents[agent].tick = Some(at);
            self.local(agent, at - self.now, Local::Tick);
        }
    }

    pub(super) fn outcome(&mut self, agent: usize, delivery: AttemptId, outcome: Outcome) {
        self.agents[agent].flying.retain(|flying| flying.id != delivery);
        let now = self.moment(agent);
        let effects = self.agents[agent].dispatcher.handle(Input::Outcome(delivery, outcome), now);
        self.perform(agent, effects);
        self.exorcise(agent);
    }

    /// The receiver's thread has the delivery: it checks the lease, and makes the attempt.
    pub(super) fn attempt(&mut self, agent: usize, id: AttemptId) {
        let found = &self.agents[agent];
        let Some(delivery) = found.flying.iter().find(|flying| flying.id == id).cloned() else { return };
        if !found.holds(delivery.epoch, self.now) && !self.mutant.lease_unchecked {
            return self.local(agent, 0, Local::NotTried(id));
        }
        let holder = self.zk.latest().holder();
        let leads = holder.is_some_and(|lock| self.epoch(lock) == delivery.epoch);
        let attempt = self.begin(agent, &delivery, leads);
        let (mood, until) = self.moods[attempt.1];
        let mood = if until > self.now { mood } else { Mood::Accepts };
        let items = &delivery.notification.items;
        let refuses = match mood {
            Mood::Dislikes(path) => items.iter().any(|item| path_index(&item.path) == path),
            Mood::OneByOne => items.len() > 1,
            Mood::Refuses => true,
            Mood::Accepts | Mood::Slow | Mood::Fails | Mood::Hangs | Mood::LosesAnswer => false,
        };
        let quick = self.random.between(5, 100);
        let (arrives, answers, outcome) = match mood {
            _ if refuses => (None, quick, Outcome::Refused { reason: "never".to_owned() }),
            Mood::Accepts | Mood::Dislikes(_) | Mood::OneByOne | Mood::Refuses => {
                (Some(quick), quick + 5, Outcome::Accepted)
            }
            Mood::Slow => (Some(quick * 10), quick * 30, Outcome::Accepted),
            Mood::Fails => (None, quick, Outcome::Failed { reason: "down".to_owned(), retry_after: None }),
            Mood::Hangs => (None, 5_000, Outcome::Ambiguous { reason: "time-out".to_owned() }),
            Mood::LosesAnswer => (Some(quick * 20), 3_000, Outcome::Ambiguous { reason: "reset".to_owned() }),
        };
        if let Some(after) = arrives {
            self.local(agent, after, Local::Arrive(attempt.0));
        }
        self.local(agent, answers, Local::Outcome(id, attempt.0, outcome));
    }

    pub(super) fn begin(&mut self, agent: usize, delivery: &Attempt, leads: bool) -> (usize, usize) {
        let receiver = (0..RECEIVERS).find(|receiver| receiver_id(*receiver) == delivery.receiver);
        let receiver = receiver.expect("a receiver of the simulation");
        self.say(|| {
            let items = delivery.notification.items.iter();
            let items: Vec<_> = items
                .map(|item| format!("{:?} {} {} ({})", item.kind, item.path, item.incident, item.message))
                .collect();
            format!("agent {agent} tries receiver {receiver}: {}", items.join(", "))
        });
        let attempt = Tried {
            process: (agent, self.agents[agent].life),
            receiver,
            epoch: delivery.epoch,
            start: self.now,
            items: delivery.notification.items.clone(),
            arrived: false,
            known: None,
        };
        (self.oracle.attempt(attempt, leads), receiver)
    }

    pub(super) fn arrive(&mut self, attempt: usize) {
        self.oracle.attempts[attempt].arrived = true;
    }
}

fn told(judged: &EvaluatorOutput) -> String {
    match judged {
        EvaluatorOutput::Transition(transition) => format!("{} {:?}", transition.key, transition.state),
        EvaluatorOutput::Rules(rules) => format!("{} rules", rules.len()),
        EvaluatorOutput::Forgotten(..) | EvaluatorOutput::Stale | EvaluatorOutput::StaleAlert(_) => {
            format!("{judged:?}")
        }
        EvaluatorOutput::LedgerChanged(_) | EvaluatorOutput::Barrier(_) => {
            format!("{judged:?}")
        }
    }
}

/// Whether an entry would be made that says of nobody that he may have been told.
fn is_untried(change: &Change) -> bool {
    let Change::Create(entry) = change else { return false };
    entry.receivers.values().all(|progress| progress.firing == zk_monitor::model::ledger::Mark::Pending)
}
