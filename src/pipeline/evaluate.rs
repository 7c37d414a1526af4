//! The evaluator's loop.

use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, select, tick};

use super::pace::{PULSE, Publisher, at};
use crate::clock::now;
use crate::model::alert_key::AlertKey;
use crate::model::evaluator::Evaluator;
use crate::model::observation::Observation;
use crate::model::status::Compliance;
use crate::model::transition::{EvaluatorOutput, Forgetting, State, Transition};
use crate::published::Writer;

/// Runs the evaluator until `observations` closes. `armed` is called once all that was read first on a session has
/// been judged: whoever leads before that would lead without effect.
pub fn evaluate(
    mut evaluator: Evaluator,
    armed: impl Fn(u64),
    observations: &Receiver<Observation>,
    judged: &Sender<EvaluatorOutput>,
    compliance: &Writer<Compliance>,
    pulse: &Writer<Instant>,
) {
    let mut publisher = Publisher::new(now().mono);
    let mut out = Vec::new();
    let alive = tick(PULSE);
    loop {
        pulse.publish(now().mono);
        select! {
            recv(observations) -> observation => match observation {
                Ok(observation) => {
                    if let Observation::Armed(session) = &observation {
                        armed(*session);
                    }
                    evaluator.observe(observation, now(), &mut out);
                }
                Err(_) => return,
            },
            recv(at([evaluator.next_deadline(), publisher.due()])) -> _ => {}
            recv(alive) -> _ => {}
        }
        evaluator.tick(now(), &mut out);
        publisher.changed |= evaluator.take_changed();
        for message in out.drain(..) {
            log_output(&message);
            // Fails only while the daemon ends.
            judged.send(message).ok();
        }
        publisher.publish_if_due(|| compliance.publish(evaluator.snapshot()));
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
