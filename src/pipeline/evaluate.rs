//! The evaluator's loop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select, tick};

use super::event_sink::EventSink;
use super::pace::{PULSE, Publisher, at};
use crate::clock::{self, now};
use crate::memory;
use crate::model::alert_key::AlertKey;
use crate::model::evaluator::Evaluator;
use crate::model::event::What;
use crate::model::observation::Observation;
use crate::model::status::Compliance;
use crate::model::time::Now;
use crate::model::transition::{EvaluatorOutput, Forgetting, State, Transition};
use crate::published::Writer;
use crate::threads::gather;

/// How long after all was read the threads behind this one are done with it, and what they took for it is free.
const SETTLING: Duration = Duration::from_secs(2);

/// Runs the evaluator until `observations` closes. `armed` is called once all that was read first on a session has
/// been judged: whoever leads before that would lead without effect.
pub fn evaluate(
    evaluator: Evaluator,
    armed: impl Fn(u64),
    observations: &Receiver<Observation>,
    judged: &Sender<EvaluatorOutput>,
    compliance: &Writer<Compliance>,
    pulse: &Writer<Instant>,
    journal: &EventSink,
) {
    let mut publisher = Publisher::new(now().mono);
    let mut shell = Shell {
        evaluator,
        out: Vec::new(),
        told: Noted::default(),
        armed,
        arming: false,
        settled_at: None,
        judged,
        journal,
    };
    let alive = tick(PULSE);
    loop {
        pulse.publish(now().mono);
        select! {
            recv(observations) -> observation => match observation {
                Ok(observation) => shell.observe(observation),
                Err(_) => return,
            },
            recv(at([shell.evaluator.next_deadline(), publisher.due()])) -> _ => {}
            recv(alive) -> _ => shell.settle(),
        }
        if shell.arming {
            gather(observations).for_each(|observation| shell.observe(observation));
        }
        shell.tick();
        publisher.changed |= shell.evaluator.take_changed();
        publisher.publish_if_due(|| compliance.publish(shell.evaluator.snapshot()));
    }
}

struct Shell<'a, F> {
    evaluator: Evaluator,
    out: Vec<EvaluatorOutput>,
    told: Noted,
    armed: F,
    /// Whether it is being read what is read first on a session.
    arming: bool,
    /// When the threads behind this one are done with that.
    settled_at: Option<Instant>,
    judged: &'a Sender<EvaluatorOutput>,
    journal: &'a EventSink,
}

impl<F: Fn(u64)> Shell<'_, F> {
    fn observe(&mut self, observation: Observation) {
        if let Observation::Armed(session) = &observation {
            (self.armed)(*session);
            self.settled_at = Some(clock::mono() + SETTLING);
        }
        self.arming = match &observation {
            Observation::Up => true,
            Observation::Down(_) | Observation::Armed(_) => false,
            Observation::Rules(_) | Observation::Adopted(_) | Observation::Clock(_) => self.arming,
            Observation::Read { .. } | Observation::Expanded { .. } => self.arming,
            Observation::Unlisted { .. } | Observation::Listed { .. } => self.arming,
            Observation::LedgerChanged(_) | Observation::Barrier(_) => self.arming,
        };
        let now = now();
        let noted = noted(&observation);
        self.evaluator.observe(observation, now, &mut self.out);
        self.note_records(now);
        noted.into_iter().for_each(|what| self.journal.note(now.wall, what));
    }

    /// Has judged what time alone changes, and tells what has come of all.
    fn tick(&mut self) {
        let now = now();
        self.evaluator.tick(now, &mut self.out);
        self.note_records(now);
        for message in self.out.drain(..) {
            log_output(&message);
            self.told.of(&message).into_iter().for_each(|what| self.journal.note(now.wall, what));
            // Fails only while the daemon ends.
            self.judged.send(message).ok();
        }
    }

    fn note_records(&mut self, now: Now) {
        for record in self.evaluator.take_records() {
            self.journal.note(now.wall, record);
        }
    }

    fn settle(&mut self) {
        if self.settled_at.take_if(|at| *at <= clock::mono()).is_some() {
            memory::trim();
        }
    }
}

/// What the journal has to know of an observation, beside what is read.
fn noted(observation: &Observation) -> Option<What> {
    match observation {
        Observation::Rules(rules) => Some(What::Rules(rules.len())),
        Observation::Up => Some(What::Session),
        Observation::Down(reason) => Some(What::Outage(Arc::clone(reason))),
        Observation::Armed(_) => Some(What::Armed),
        Observation::Read { .. } | Observation::Adopted(_) | Observation::Expanded { .. } => None,
        Observation::Unlisted { .. } | Observation::Listed { .. } | Observation::Clock(_) => None,
        Observation::LedgerChanged(_) | Observation::Barrier(_) => None,
    }
}

/// What is out of spec, and in which words the journal was told so: it hears of changes alone.
#[derive(Default)]
struct Noted(HashMap<AlertKey, Arc<str>>);

impl Noted {
    /// What the journal has to know of what was made of a reading.
    fn of(&mut self, judged: &EvaluatorOutput) -> Option<What> {
        let Self(wrong) = self;
        match judged {
            EvaluatorOutput::Transition(Transition { key, rule, state, .. }) => match state {
                State::Ok => wrong.remove(key).map(|_| What::Transition(key.clone(), None)),
                State::Error { message, .. } => {
                    // Words about data may quote it.
                    let quotes = rule.terms.specs.data.is_some();
                    let words = if quotes { "Out of spec".into() } else { Arc::clone(message) };
                    let before = wrong.insert(key.clone(), Arc::clone(&words));
                    (before.as_ref() != Some(&words)).then(|| What::Transition(key.clone(), Some(words)))
                }
            },
            EvaluatorOutput::Forgotten(key, _) => {
                wrong.remove(key);
                Some(What::Forgotten(Arc::clone(&key.path)))
            }
            EvaluatorOutput::Rules(rules) => {
                wrong.retain(|key, _| rules.rule(key).is_some());
                None
            }
            EvaluatorOutput::Stale | EvaluatorOutput::StaleAlert(_) => None,
            EvaluatorOutput::LedgerChanged(_) | EvaluatorOutput::Barrier(_) => None,
        }
    }
}

fn log_output(judged: &EvaluatorOutput) {
    match judged {
        EvaluatorOutput::Transition(Transition { key, state: State::Ok, .. }) => {
            log::debug!("{key}: in spec")
        }
        EvaluatorOutput::Transition(Transition { key, state: State::Error { message, .. }, .. }) => {
            log::info!("{key}: {message}");
        }
        EvaluatorOutput::Forgotten(key, why) => log_forgotten(key, *why),
        EvaluatorOutput::Rules(_) | EvaluatorOutput::Stale | EvaluatorOutput::StaleAlert(_) => {}
        EvaluatorOutput::LedgerChanged(_) | EvaluatorOutput::Barrier(_) => {}
    }
}

fn log_forgotten(key: &AlertKey, why: Forgetting) {
    match why {
        Forgetting::Expired => log::warn!("{key}: gone for as long as its forget_after says, and forgotten"),
        Forgetting::Crowded => {
            log::warn!("{key}: gone, and forgotten to make room for others that are gone")
        }
        Forgetting::Unasked => log::debug!("{key}: gone, and forgotten, as nothing is asked of it"),
    }
}
