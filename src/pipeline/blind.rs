//! The watch over the session itself: an agent that has had no ZooKeeper for too long says so.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, select, tick};

use super::deliver::{Notifiers, Permit, Receivers};
use super::pace::at;
use crate::clock::now;
use crate::model::blind::{Blind, Effect, Terms};
use crate::model::dispatcher::{Profile, Speaker};
use crate::model::receiver;
use crate::model::status::{Cluster, Connection};
use crate::published::Reader;
use crate::threads::Spawner;

/// How often the session is looked at: what is told after minutes may be a second late.
const LOOK: Duration = Duration::from_secs(1);

/// Who is told that this agent is blind, and when.
#[derive(Clone)]
pub struct BlindSettings {
    /// For how long there has to be no session.
    pub after: Duration,
    pub receivers: Vec<receiver::Receiver>,
    /// Where people find the status page: a URL.
    pub page: Arc<str>,
}

/// What the loop looks at.
pub struct Sights {
    pub settings: Reader<Option<BlindSettings>>,
    pub connection: Reader<Connection>,
    pub cluster: Reader<Cluster>,
}

/// Runs until `stop` closes. What is not told by then is not.
pub fn blind(speaker: Speaker, notifiers: Notifiers, sights: &Sights, stop: &Receiver<()>, spawner: Spawner) {
    let mut shell = Shell {
        blind: Blind::new(speaker, now()),
        receivers: Receivers::new(notifiers, Permit::Always, sights.cluster.clone(), spawner),
        settings: Arc::new(None),
    };
    let (attempts, look) = (shell.receivers.events(), tick(LOOK));
    loop {
        select! {
            recv(stop) -> _ => return,
            recv(attempts) -> event => if let Ok(event) = event && let Some((id, outcome)) = shell.receivers.heard(event) {
                let effects = shell.blind.on_outcome(id, &outcome, now());
                shell.perform(effects);
            },
            recv(look) -> _ => shell.look(sights),
            recv(at([shell.blind.next_deadline()])) -> _ => shell.look(sights),
        }
    }
}

struct Shell {
    blind: Blind,
    receivers: Receivers,
    settings: Arc<Option<BlindSettings>>,
}

impl Shell {
    fn look(&mut self, sights: &Sights) {
        let now = now();
        let settings = sights.settings.get();
        if !Arc::ptr_eq(&settings, &self.settings) {
            let receivers =
                settings.iter().flat_map(|settings| &settings.receivers).cloned().collect::<Vec<_>>();
            self.receivers.replace(&receivers);
            let terms = settings.as_ref().as_ref().map(|settings| Terms {
                after: settings.after,
                receivers: settings.receivers.iter().map(Profile::of).collect(),
            });
            self.settings = settings;
            let effects = self.blind.on_terms(terms, now);
            self.perform(effects);
        }
        let is_there = sights.connection.get().is_up(now.mono);
        let effects = self.blind.on_session(is_there, sights.cluster.get().place, now);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Attempt(mut attempt) => {
                    attempt.notification.page =
                        self.settings.as_ref().as_ref().map(|settings| Arc::clone(&settings.page));
                    self.receivers.deliver(attempt);
                }
                Effect::Told(message, receivers) => {
                    log::error!("{message}; telling so to receivers: {receivers}")
                }
                Effect::Failed(name, reason) => {
                    log::error!("{name} was not told that ZooKeeper is away: {reason}")
                }
            }
        }
    }
}
