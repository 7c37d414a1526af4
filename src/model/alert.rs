//! One path's alert: inactive, pending, firing, recovering.
//!
//! Every agent runs the alerts of all its paths, whether it leads or not, so that a takeover goes on with timers
//! that have been running all the time. What is told to whom is the business of [`super::dispatcher`].

use std::time::{Duration, Instant};

use super::rule::Rule;
use super::status::AlertPhase;
use super::time::Now;

/// The alert of one path.
///
/// An alert is *fresh* from a judgement until the session or the path becomes unreadable. Timers run on while
/// it is not, but only a fresh alert fires or resolves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alert {
    phase: Phase,
    fresh: bool,
}

/// Where an alert is, with the times that belong to it.
#[derive(Clone, Copy, Debug, Default)]
pub enum Phase {
    /// In spec, or not known to be out of spec.
    #[default]
    Inactive,
    /// Out of spec, not for long enough.
    Pending {
        /// The first violation.
        since: Now,
    },
    /// Out of spec for long enough.
    Firing {
        /// The first violation.
        since: Now,
    },
    /// Back in spec, not for long enough.
    Recovering {
        /// The first violation.
        since: Now,
        /// The first reading that was in spec again.
        compliant: Now,
    },
}

/// What an alert did that others may have to hear of.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// It began to wait for its hold-down.
    Began,
    /// It came back in spec before it fired.
    Cancelled,
    /// It fired.
    Fired,
    /// It is back in spec, and waits for `keep_firing_for`.
    Recovering,
    /// It was recovering and fell out of spec again.
    Relapsed,
    /// It is over.
    Resolved {
        /// The first violation.
        since: Now,
        /// The first reading that was in spec again.
        compliant: Now,
    },
}

impl Alert {
    /// The path was judged out of spec.
    pub fn violated(&mut self, rule: &Rule, now: Now) -> Option<Change> {
        self.fresh = true;
        match self.phase {
            Phase::Inactive => {
                self.phase = Phase::Pending { since: now };
                self.tick(rule, now).or(Some(Change::Began))
            }
            Phase::Pending { .. } => self.tick(rule, now),
            Phase::Firing { .. } => None,
            Phase::Recovering { since, .. } => {
                self.phase = Phase::Firing { since };
                Some(Change::Relapsed)
            }
        }
    }

    /// The path was judged in spec. `open` is the beginning of an incident that is open for it, whoever opened
    /// it: then the alert recovers even if this agent never saw it fire.
    pub fn complied(&mut self, open: Option<Now>, rule: &Rule, now: Now) -> Option<Change> {
        self.fresh = true;
        match (self.phase, open) {
            (Phase::Inactive, None) => None,
            (Phase::Pending { .. }, None) => {
                self.phase = Phase::Inactive;
                Some(Change::Cancelled)
            }
            (Phase::Recovering { .. }, _) => self.tick(rule, now),
            (Phase::Firing { since }, _) | (Phase::Inactive | Phase::Pending { .. }, Some(since)) => {
                self.phase = Phase::Recovering { since, compliant: now };
                self.tick(rule, now).or(Some(Change::Recovering))
            }
        }
    }

    /// What was judged may no longer be so.
    pub fn stale(&mut self) {
        self.fresh = false;
    }

    /// Time has passed.
    pub fn tick(&mut self, rule: &Rule, now: Now) -> Option<Change> {
        if self.deadline(rule).is_none_or(|deadline| deadline > now.mono) {
            return None;
        }
        match self.phase {
            Phase::Pending { since } => {
                self.phase = Phase::Firing { since };
                Some(Change::Fired)
            }
            Phase::Recovering { since, compliant } => {
                self.phase = Phase::Inactive;
                Some(Change::Resolved { since, compliant })
            }
            Phase::Inactive | Phase::Firing { .. } => None,
        }
    }

    /// When [`Self::tick`] has something to do. A stale alert waits for a judgement instead.
    pub fn deadline(&self, rule: &Rule) -> Option<Instant> {
        let after = |from: Now, wait: Duration| from.mono.checked_add(wait);
        match self.phase {
            Phase::Pending { since } if self.fresh => after(since, rule.terms.cancel_timeout),
            Phase::Recovering { compliant, .. } if self.fresh => after(compliant, rule.terms.keep_firing_for),
            Phase::Inactive | Phase::Pending { .. } | Phase::Firing { .. } | Phase::Recovering { .. } => None,
        }
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether what it was judged by still holds.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether it is firing, as of a fresh judgement.
    pub fn is_firing(&self) -> bool {
        self.fresh && matches!(self.phase, Phase::Firing { .. })
    }

    /// Whether there is nothing to remember of it.
    pub fn is_inactive(&self) -> bool {
        matches!(self.phase, Phase::Inactive)
    }

    /// Where it is and since when, in a snapshot's words; `None` for an inactive one.
    pub fn status(&self) -> Option<(AlertPhase, Now)> {
        match self.phase {
            Phase::Inactive => None,
            Phase::Pending { since } => Some((AlertPhase::Pending, since)),
            Phase::Firing { since } => Some((AlertPhase::Firing, since)),
            Phase::Recovering { since, .. } => Some((AlertPhase::Recovering, since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::model::rule::Terms;

    /// What happens to the alert at a second of the script.
    #[derive(Clone, Copy)]
    enum Event {
        Error,
        Ok,
        /// In spec, with an incident that somebody opened at second 0.
        OkOpen,
        Stale,
        Tick,
    }
    use Event::{Error, Ok, OkOpen, Stale, Tick};

    fn rule(cancel_timeout: u64, keep_firing_for: u64) -> Rule {
        let terms = Terms {
            cancel_timeout: Duration::from_secs(cancel_timeout),
            keep_firing_for: Duration::from_secs(keep_firing_for),
            ..Terms::default()
        };
        Rule { path: "/a".into(), terms: Arc::new(terms) }
    }

    fn start() -> Now {
        Now { mono: crate::clock::mono(), wall: SystemTime::UNIX_EPOCH }
    }

    fn word(change: Option<Change>) -> &'static str {
        match change {
            None => "",
            Some(Change::Began) => "began",
            Some(Change::Cancelled) => "cancelled",
            Some(Change::Fired) => "fired",
            Some(Change::Recovering) => "recovering",
            Some(Change::Relapsed) => "relapsed",
            Some(Change::Resolved { .. }) => "resolved",
        }
    }

    fn check(cancel_timeout: u64, keep_firing_for: u64, script: &[(u64, Event, &str)]) {
        let rule = rule(cancel_timeout, keep_firing_for);
        let start = start();
        let mut alert = Alert::default();
        for (step, (second, event, expected)) in script.iter().enumerate() {
            let now = start.after(Duration::from_secs(*second));
            let change = match event {
                Error => alert.violated(&rule, now),
                Ok => alert.complied(None, &rule, now),
                OkOpen => alert.complied(Some(start), &rule, now),
                Stale => {
                    alert.stale();
                    None
                }
                Tick => alert.tick(&rule, now),
            };
            assert_eq!(word(change), *expected, "step {step} of {cancel_timeout}/{keep_firing_for}");
        }
    }

    #[test]
    fn it_fires_after_the_hold_down_and_once() {
        check(0, 0, &[(0, Error, "fired"), (1, Error, ""), (2, Tick, "")]);
        check(
            10,
            0,
            &[(0, Error, "began"), (9, Tick, ""), (9, Error, ""), (10, Tick, "fired"), (11, Tick, "")],
        );
        check(10, 0, &[(0, Error, "began"), (9, Ok, "cancelled"), (10, Tick, ""), (11, Error, "began")]);
    }

    #[test]
    fn it_resolves_after_unbroken_compliance() {
        check(0, 0, &[(0, Error, "fired"), (1, Ok, "resolved"), (2, Ok, "")]);
        check(
            0,
            10,
            &[(0, Error, "fired"), (1, Ok, "recovering"), (5, Error, "relapsed"), (6, Ok, "recovering")],
        );
        check(0, 10, &[(0, Error, "fired"), (1, Ok, "recovering"), (10, Ok, ""), (11, Tick, "resolved")]);
    }

    #[test]
    fn a_stale_alert_neither_fires_nor_resolves_and_its_timers_run_on() {
        check(10, 0, &[(0, Error, "began"), (5, Stale, ""), (20, Tick, ""), (21, Error, "fired")]);
        check(10, 0, &[(0, Error, "began"), (5, Stale, ""), (20, Tick, ""), (21, Ok, "cancelled")]);
        check(0, 10, &[(0, Error, "fired"), (1, Ok, "recovering"), (2, Stale, ""), (20, Tick, "")]);
        check(0, 10, &[(0, Error, "fired"), (1, Ok, "recovering"), (2, Stale, ""), (20, Ok, "resolved")]);
        check(0, 0, &[(0, Error, "fired"), (1, Stale, ""), (2, Error, ""), (3, Ok, "resolved")]);
    }

    #[test]
    fn an_open_incident_recovers_even_if_this_agent_never_saw_it_fire() {
        check(0, 0, &[(0, OkOpen, "resolved"), (1, Ok, "")]);
        check(10, 5, &[(0, Error, "began"), (1, OkOpen, "recovering"), (6, Tick, "resolved")]);
        check(10, 5, &[(0, OkOpen, "recovering"), (1, Error, "relapsed"), (2, Tick, "")]);
    }

    #[test]
    fn a_stale_alert_has_no_deadline() {
        let (rule, now) = (rule(10, 0), start());
        let mut alert = Alert::default();
        alert.violated(&rule, now);
        assert_eq!(alert.deadline(&rule), Some(now.mono + Duration::from_secs(10)));
        alert.stale();
        assert_eq!(alert.deadline(&rule), None);
    }
}
