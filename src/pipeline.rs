//! The evaluator and alert loops: wait, stamp the time, call the model, act on what it returns.

use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, after, never, select, tick};

use crate::model::evaluator::Evaluator;
use crate::model::observation::Fact;
use crate::model::status::Compliance;
use crate::model::time::Now;
use crate::model::transition::{Judged, State};
use crate::published::Writer;

/// How often a loop shows that it is alive while nothing happens.
const PULSE: Duration = Duration::from_secs(1);
/// The share of its time that a loop spends on snapshots: after one it waits nineteen times as long as that took.
const SNAPSHOT_SHARE: u32 = 19;

/// The clocks, for the loops.
#[expect(clippy::disallowed_methods, reason = "the loops are the shells that stamp the time")]
pub fn now() -> Now {
    Now { mono: Instant::now(), wall: SystemTime::now() }
}

/// Runs the evaluator until `facts` closes.
pub fn evaluate(
    facts: &Receiver<Fact>,
    judged: &Sender<Judged>,
    compliance: &Writer<Compliance>,
    pulse: &Writer<Instant>,
) {
    let mut evaluator = Evaluator::default();
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

/// Fires at a moment, or never.
pub fn at(deadline: Option<Instant>) -> Receiver<Instant> {
    deadline.map_or_else(never, |at| after(at.saturating_duration_since(now().mono)))
}

/// The earlier of two moments, either of which may be never.
pub fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// Paces snapshots: the first change is shown at once, and what follows as often as the cost of a snapshot
/// leaves most of the time to the work itself.
#[derive(Debug)]
pub struct Publisher {
    /// Whether there is something new to show.
    pub changed: bool,
    next: Instant,
}

impl Publisher {
    /// Nothing to show yet.
    pub fn new(now: Instant) -> Self {
        Self { changed: false, next: now }
    }

    /// When to show what is new.
    pub fn due(&self) -> Option<Instant> {
        self.changed.then_some(self.next)
    }

    /// Calls `publish` if there is something new and its time has come.
    pub fn publish_if_due(&mut self, publish: impl FnOnce()) {
        let before = now().mono;
        if !self.changed || before < self.next {
            return;
        }
        publish();
        self.changed = false;
        let after = now().mono;
        self.next = after + (after - before) * SNAPSHOT_SHARE;
    }
}
