//! The evaluator's loop.

use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, select, tick};

use super::{PULSE, Publisher, at, earliest, now};
use crate::model::evaluator::Evaluator;
use crate::model::observation::Fact;
use crate::model::status::Compliance;
use crate::model::transition::{Judged, State};
use crate::published::Writer;

/// Runs the evaluator until `facts` closes.
pub fn evaluate(
    mut evaluator: Evaluator,
    facts: &Receiver<Fact>,
    judged: &Sender<Judged>,
    compliance: &Writer<Compliance>,
    pulse: &Writer<Instant>,
) {
    let mut publisher = Publisher::new(now().mono);
    let mut out = Vec::new();
    let alive = tick(PULSE);
    loop {
        pulse.publish(now().mono);
        let deadline = earliest(evaluator.next_deadline(), publisher.due());
        select! {
            recv(facts) -> fact => match fact {
                Ok(fact) => {
                    evaluator.observe(fact, now(), &mut out);
                    publisher.changed = true;
                }
                Err(_) => return,
            },
            recv(at(deadline)) -> _ => {}
            recv(alive) -> _ => {}
        }
        evaluator.tick(now(), &mut out);
        for message in out.drain(..) {
            log_transition(&message);
            // Fails only while the daemon ends.
            judged.send(message).ok();
        }
        publisher.publish_if_due(|| compliance.publish(evaluator.snapshot()));
    }
}

fn log_transition(judged: &Judged) {
    if let Judged::Transition(transition) = judged {
        match &transition.state {
            State::Ok => log::debug!("{}: in spec", transition.path),
            State::Error { message, .. } => log::info!("{}: {message}", transition.path),
        }
    }
}
