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

/// How long after all was read the threads behind this one are done with it, and what they took for it is free.
const SETTLING: Duration = Duration::from_secs(2);

/// Runs the evaluator until `observations` closes. `armed` is called once all that was read first on a session has
/// been judged: whoever leads before that would lead without effect.
pub fn evaluate(
    mut evaluator: Evaluator,
    armed: impl Fn(u64),
    observations: &Receiver<Observation>,
    judged: &Sender<EvaluatorOutput>,
    compliance: &Writer<Compliance>,
    pulse: &Writer<Instant>,
    journal: &EventSink,
) {
    let mut publisher = Publisher::new(now().mono);
    let mut out = Vec::new();
    let mut told = Noted::default();
    let alive = tick(PULSE);
    let mut settled_at: Option<Instant> = None;
    loop {
        pulse.publish(now().mono);
        select! {
            recv(observations) -> observation => match observation {
                Ok(observation) => {
                    if let Observation::Armed(session) = &observation {
                        armed(*session);
                        settled_at = Some(clock::mono() + SETTLING);
                    }
                    let now = now();
                    let noted = noted(&observation);
                    evaluator.observe(observation, now, &mut out);
                    note_records(&mut evaluator, journal, now);
                    noted.into_iter().for_each(|what| journal.note(now.wall, what));
                }
                Err(_) => return,
            },
            recv(at([evaluator.next_deadline(), publisher.due()])) -> _ => {}
            recv(alive) -> _ => {
                if settled_at.take_if(|at| *at <= clock::mono()).is_some() {
                    memory::trim();
                }
            }
        }
        let now = now();
        evaluator.tick(now, &mut out);
        note_records(&mut evaluator, journal, now);
        publisher.changed |= evaluator.take_changed();
        for message in out.drain(..) {
            log_output(&message);
            told.of(&message).into_iter().for_each(|what| journal.note(now.wall, what));
            // Fails only while the daemon ends.
            judged.send(message).ok();
        }
        publisher.publish_if_due(|| compliance.publish(evaluator.snapshot()));
    }
}

fn note_records(evaluator: &mut Evaluator, journal: &EventSink, now: Now) {
    for record in evaluator.take_records() {
        journal.note(now.wall, record);
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
        Observation::LedgerChanged | Observation::Barrier(_) => None,
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
            EvaluatorOutput::LedgerChanged | EvaluatorOutput::Barrier(_) => None,
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
        EvaluatorOutput::LedgerChanged | EvaluatorOutput::Barrier(_) => {}
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
