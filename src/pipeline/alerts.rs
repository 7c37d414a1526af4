//! The alert loop: what was judged, granted, answered or written goes into the dispatcher; what it wants done is
//! done here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select, tick};

use super::deliver::{Event, Lease, Notifiers, Permit, Receivers};
use super::event_sink::EventSink;
use super::pace::{PULSE, Publisher, at};
use crate::clock::now;
use crate::model::dispatcher::{Attempt, AttemptId, Dispatcher, Effect, Input, Profile, Speaker};
use crate::model::election_update::ElectionUpdate;
use crate::model::event::{Delivered, Message, What};
use crate::model::lease::LeaseStage;
use crate::model::ledger::{Write, Written};
use crate::model::message::Item;
use crate::model::receiver;
use crate::model::rule::RuleSet;
use crate::model::status::{Alerts, Silence};
use crate::model::time::Now;
use crate::model::transition::EvaluatorOutput;
use crate::published::Writer;
use crate::threads::Spawner;

/// How long the end of the daemon waits for attempts under way and for what is to be noted of them. The main thread
/// waits for this one a little longer (`PARK` in `daemon.rs`).
const PARK: Duration = Duration::from_secs(1);

/// The part of a configuration that the alert side needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The rules that name these receivers. They come to the alert thread by way of the evaluator.
    pub rules: Arc<RuleSet>,
    pub receivers: Vec<receiver::Receiver>,
    /// How long what follows a first alert is gathered.
    pub group_wait: Duration,
    /// Where people find the status page: a URL.
    pub page: Arc<str>,
}

impl Settings {
    /// Takes the settings of these rules out of those that were sent, which come before their rules. Those of rules that are
    /// still on their way stay: what goes on of an alert is found by its receivers before and after a change, and both have
    /// to be those of its rules.
    fn of(rules: &Arc<RuleSet>, sent: &Receiver<Arc<Self>>) -> Option<Arc<Self>> {
        sent.try_iter().find(|settings| Arc::ptr_eq(&settings.rules, rules))
    }
}

pub struct Inlets {
    /// From the evaluator; the loop ends when this closes.
    pub evaluated: Receiver<EvaluatorOutput>,
    pub news: Receiver<ElectionUpdate>,
    pub written: Receiver<(u64, Written)>,
    /// At the start and at each reload; sent before their rules.
    pub settings: Receiver<Arc<Settings>>,
    /// Closes when the daemon is to end.
    pub stop: Receiver<()>,
}

pub struct Outlets {
    pub writes: Sender<Write>,
    pub alerts: Writer<Alerts>,
    /// How many attempts are under way, for the election.
    pub in_flight: Writer<usize>,
    /// How far the lease is that was granted last.
    pub stage: Writer<LeaseStage>,
    pub pulse: Writer<Instant>,
    pub spawner: Spawner,
    pub journal: EventSink,
}

/// Runs until the daemon ends, and then for as long as it takes to park what is under way.
pub fn alert(identity: Speaker, notifiers: Notifiers, lease: Lease, inlets: &Inlets, outlets: Outlets) {
    let mut shell = Shell {
        dispatcher: Dispatcher::new(identity, Duration::ZERO),
        receivers: Receivers::new(
            notifiers,
            Permit::Lease(lease.clone()),
            lease.cluster.clone(),
            outlets.spawner.clone(),
        ),
        lease,
        outlets,
        publisher: Publisher::new(now().mono),
        page: None,
        version: 0,
        flying: 0,
        stage: LeaseStage::None,
        published: LeaseStage::None,
        messages: HashMap::new(),
        silences: Vec::new(),
    };
    let attempts = shell.receivers.events();
    let alive = tick(PULSE);
    let mut parking = None;
    loop {
        shell.outlets.pulse.publish(now().mono);
        let lapse = shell.stage.held().and_then(|epoch| shell.lease.ends(epoch));
        // Nothing is heard of the stop again once it was heard.
        let never = crossbeam_channel::never();
        let stop = if parking.is_some() { &never } else { &inlets.stop };
        select! {
            recv(inlets.evaluated) -> evaluated => match evaluated {
                Ok(evaluated) => shell.evaluated(evaluated, inlets),
                Err(_) => return,
            },
            recv(inlets.news) -> news => if let Ok(news) = news { shell.news(news) },
            recv(attempts) -> event => if let Ok(event) = event { shell.heard(event) },
            recv(inlets.written) -> written => if let Ok((id, written)) = written {
                shell.handle(Input::Written(id, written));
            },
            recv(stop) -> _ => {
                parking = Some(now().mono + PARK);
                shell.handle(Input::Park);
                shell.receivers.withdraw_all();
            }
            recv(at([shell.dispatcher.next_deadline(), shell.publisher.due(), parking, lapse])) -> _ => {}
            recv(alive) -> _ => {}
        }
        shell.tick();
        if parking.is_some_and(|end| !shell.dispatcher.is_busy() || now().mono >= end) {
            return;
        }
    }
}

struct Shell {
    dispatcher: Dispatcher,
    receivers: Receivers,
    lease: Lease,
    outlets: Outlets,
    publisher: Publisher,
    /// Where the status page is; messages say it.
    page: Option<Arc<str>>,
    version: u64,
    flying: usize,
    stage: LeaseStage,
    /// What was published of that last.
    published: LeaseStage,
    /// What attempts under way tell.
    messages: HashMap<AttemptId, Vec<Message>>,
    /// The silences as the journal knows them.
    silences: Vec<Silence>,
}

impl Shell {
    fn evaluated(&mut self, evaluated: EvaluatorOutput, inlets: &Inlets) {
        if let EvaluatorOutput::Rules(rules) = &evaluated
            && let Some(settings) = Settings::of(rules, &inlets.settings)
        {
            self.replace(&settings);
        }
        self.handle(Input::Evaluated(evaluated));
    }

    fn replace(&mut self, settings: &Settings) {
        self.receivers.replace(&settings.receivers);
        self.page = Some(Arc::clone(&settings.page));
        let profiles = settings.receivers.iter().map(Profile::of).collect();
        self.handle(Input::Receivers(profiles, settings.group_wait));
        self.publisher.changed = true;
    }

    fn news(&mut self, news: ElectionUpdate) {
        match news {
            ElectionUpdate::Granted(grant) => {
                self.stage = LeaseStage::Granted(grant.epoch);
                self.note_silences(&grant.silences);
                self.handle(Input::Granted(grant));
            }
            ElectionUpdate::Revoked => {
                self.stage = LeaseStage::None;
                self.handle(Input::Revoked);
            }
            ElectionUpdate::Silences(silences) => {
                self.note_silences(&silences);
                self.handle(Input::Silences(silences));
            }
        }
    }

    fn note_silences(&mut self, silences: &[Silence]) {
        if self.silences != silences {
            self.silences = silences.to_vec();
            self.outlets.journal.note(now().wall, What::Silences(silences.to_vec()));
        }
    }

    fn heard(&mut self, event: Event) {
        let Some((id, outcome)) = self.receivers.heard(event) else { return };
        self.flying -= 1;
        self.outlets.in_flight.publish(self.flying);
        let (told, result) = (self.messages.remove(&id).unwrap_or_default(), Delivered::from(&outcome));
        let time = now().wall;
        for message in told {
            self.outlets.journal.note(time, What::Message(Message { result, ..message }));
        }
        self.handle(Input::Outcome(id, outcome));
    }

    fn tick(&mut self) {
        let now = now();
        self.receivers.withdraw_lapsed(now.mono);
        let holds = self.stage.held().is_some_and(|epoch| self.lease.holds(epoch, now.mono));
        let stage = self.stage.advance(holds, self.dispatcher.epoch());
        let lapsed = self.stage.held().is_some() && stage.held().is_none();
        self.stage = stage;
        if lapsed {
            self.handle(Input::Revoked);
        }
        if self.dispatcher.next_deadline().is_some_and(|at| at <= now.mono) {
            self.handle(Input::Tick);
        }
        if self.stage != self.published {
            self.published = self.stage;
            self.outlets.stage.publish(self.stage);
        }
        if self.version != self.dispatcher.version() {
            self.version = self.dispatcher.version();
            self.publisher.changed = true;
        }
        let (dispatcher, alerts) = (&self.dispatcher, &self.outlets.alerts);
        self.publisher.publish_if_due(|| alerts.publish(snapshot(dispatcher, now)));
    }

    /// The agent that sends in this one's place, if there is one.
    fn elsewhere(&self) -> Option<Arc<str>> {
        let cluster = self.lease.cluster.get();
        let other = cluster.leader.as_ref().filter(|leader| **leader != cluster.agent);
        other.filter(|_| self.dispatcher.epoch().is_none()).cloned()
    }

    /// Tells the dispatcher something, and does what it wants done.
    fn handle(&mut self, input: Input) {
        let now = now();
        for effect in self.dispatcher.handle(input, now) {
            match effect {
                // Fails only while the daemon ends; the write is then not answered, and the attempt not made.
                Effect::Write(write) => drop(self.outlets.writes.send(write)),
                Effect::Attempt(mut delivery) => {
                    delivery.notification.page.clone_from(&self.page);
                    self.flying += 1;
                    self.outlets.in_flight.publish(self.flying);
                    self.messages.insert(delivery.id, messages(&delivery));
                    self.receivers.deliver(delivery);
                }
                Effect::Log(event) => {
                    super::events::log(&event, self.elsewhere().as_deref());
                    if let Some(what) = super::events::noted(&event) {
                        self.outlets.journal.note(now.wall, what);
                    }
                }
            }
        }
    }
}

/// What an attempt is to tell of each of its alerts. Nothing was told yet.
fn messages(attempt: &Attempt) -> Vec<Message> {
    let items = attempt.notification.items.iter();
    let message = |item: &Item| Message {
        key: item.alert(),
        incident: Arc::clone(&item.incident),
        since: item.since,
        receiver: attempt.receiver.clone(),
        kind: item.kind,
        result: Delivered::NotTried,
    };
    items.map(message).collect()
}

fn snapshot(dispatcher: &Dispatcher, now: Now) -> Alerts {
    Alerts {
        open: dispatcher.alert_status().map(|(key, status)| (key.clone(), status)).collect(),
        receivers: dispatcher.receiver_status().map(|(id, status)| (id.clone(), status)).collect(),
        silences: dispatcher.silences(now).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_a_later_reload_wait_for_its_rules() {
        let page = |number: usize| Arc::from(number.to_string());
        let reload = |number| {
            let (rules, receivers) = (Arc::default(), Vec::new());
            Arc::new(Settings { rules, receivers, group_wait: Duration::ZERO, page: page(number) })
        };
        let (sender, sent) = crossbeam_channel::unbounded();
        let reloads: Vec<_> = (0..4).map(reload).collect();
        reloads.iter().for_each(|settings| sender.send(Arc::clone(settings)).unwrap());
        // Those of the third are never told.
        for number in [0, 1, 3] {
            let settings = Settings::of(&reloads[number].rules, &sent);
            assert_eq!(settings.map(|settings| Arc::clone(&settings.page)), Some(page(number)));
        }
        assert!(Settings::of(&Arc::default(), &sent).is_none());
    }
}
