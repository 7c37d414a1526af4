//! One path's alert: inactive, pending, firing, recovering.
//!
//! Every agent runs the alerts of all its paths, whether it leads or not, so that a takeover goes on with timers
//! that have been running all the time. What is told to whom is the business of [`super::dispatcher`].

use std::time::Instant;

use super::rule::Rule;
use super::status::AlertPhase;
use super::time::Now;

/// The alert of one path.
///
/// An alert is *held* while something that its rule depends on is out of spec, and until the hold-down has passed anew
/// once that is back. A held one neither fires nor, if it had fired before, is anybody told of it; it resolves as ever.
///
/// An alert is *fresh* from a judgement until the session or the path becomes unreadable. Timers run on while
/// it is not, but only a fresh alert fires or resolves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alert {
    phase: Phase,
    fresh: bool,
    hold: Hold,
}

/// Whether something that the rule depends on holds the alert back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hold {
    /// Nothing does.
    #[default]
    Free,
    /// It is out of spec.
    Held,
    /// It came back then, and the hold-down runs anew.
    Back(Instant),
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

    /// Whether something that the rule depends on is out of spec. Returns whether that is news.
    pub fn set_held(&mut self, held: bool, now: Now) -> bool {
        if held == (self.hold == Hold::Held) {
            return false;
        }
        self.hold = if held { Hold::Held } else { Hold::Back(now.mono) };
        true
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
                (self.phase, self.hold) = (Phase::Firing { since }, Hold::Free);
                Some(Change::Fired)
            }
            Phase::Recovering { since, compliant } => {
                self.phase = Phase::Inactive;
                Some(Change::Resolved { since, compliant })
            }
            Phase::Firing { .. } => {
                self.hold = Hold::Free;
                None
            }
            Phase::Inactive => None,
        }
    }

    /// When [`Self::tick`] has something to do. A stale alert waits for a judgement instead.
    pub fn deadline(&self, rule: &Rule) -> Option<Instant> {
        let hold_down = rule.terms.hold_down();
        match (self.phase, self.hold) {
            (Phase::Pending { since }, Hold::Free) if self.fresh => since.mono.checked_add(hold_down),
            (Phase::Pending { since }, Hold::Back(at)) if self.fresh => {
                since.mono.max(at).checked_add(hold_down)
            }
            (Phase::Firing { .. }, Hold::Back(at)) => at.checked_add(hold_down),
            (Phase::Recovering { compliant, .. }, _) if self.fresh => {
                compliant.mono.checked_add(rule.terms.keep_firing_for)
            }
            (
                Phase::Inactive | Phase::Pending { .. } | Phase::Firing { .. } | Phase::Recovering { .. },
                Hold::Free | Hold::Held | Hold::Back(_),
            ) => None,
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

    /// Whether it is firing, as of a fresh judgement, and not held back.
    pub fn is_firing(&self) -> bool {
        self.fresh && self.hold == Hold::Free && matches!(self.phase, Phase::Firing { .. })
    }

    /// Whether its path was out of spec when it was judged last, be that long ago.
    pub fn is_violated(&self) -> bool {
        matches!(self.phase, Phase::Pending { .. } | Phase::Firing { .. })
    }

    /// Whether there is nothing to remember of it.
    pub fn is_inactive(&self) -> bool {
        matches!(self.phase, Phase::Inactive)
    }

    /// Where it is and since when, in a snapshot's words; `None` for an inactive one.
    pub fn status(&self) -> Option<(AlertPhase, Now)> {
        match self.phase {
            Phase::Inactive => None,
            Phase::Pending { since } if self.hold == Hold::Held => Some((AlertPhase::Held, since)),
            Phase::Pending { since } => Some((AlertPhase::Pending, since)),
            Phase::Firing { since } => Some((AlertPhase::Firing, since)),
            Phase::Recovering { since, .. } => Some((AlertPhase::Recovering, since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

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
        /// What the rule depends on falls out of spec, and comes back.
        Held,
        Back,
    }
    use Event::{Back, Error, Held, Ok, OkOpen, Stale, Tick};

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
                Held | Back => {
                    alert.set_held(matches!(event, Held), now);
                    None
                }
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
    fn a_held_alert_waits_and_its_hold_down_runs_anew() {
        check(10, 0, &[(0, Error, "began"), (5, Held, ""), (20, Tick, ""), (20, Error, "")]);
        check(
            10,
            0,
            &[(0, Error, "began"), (5, Held, ""), (20, Back, ""), (29, Tick, ""), (30, Tick, "fired")],
        );
        check(10, 0, &[(0, Error, "began"), (5, Held, ""), (20, Ok, "cancelled"), (21, Back, "")]);
        check(
            10,
            0,
            &[(0, Held, ""), (1, Back, ""), (5, Error, "began"), (14, Tick, ""), (15, Tick, "fired")],
        );
        check(
            10,
            0,
            &[
                (0, Held, ""),
                (0, Error, "began"),
                (1, Back, ""),
                (2, Stale, ""),
                (20, Tick, ""),
                (21, Error, "fired"),
            ],
        );
        check(0, 0, &[(0, Error, "fired"), (1, Held, ""), (2, Ok, "resolved")]);
    }

    #[test]
    fn one_that_had_fired_before_is_firing_again_after_another_hold_down() {
        let rule = rule(10, 0);
        let start = start();
        let at = |second| start.after(Duration::from_secs(second));
        let mut alert = Alert::default();
        alert.violated(&rule, at(0));
        alert.tick(&rule, at(10));
        assert!(alert.is_firing());
        alert.set_held(true, at(20));
        assert_eq!((alert.is_firing(), alert.deadline(&rule)), (false, None));
        alert.set_held(false, at(30));
        assert_eq!((alert.is_firing(), alert.deadline(&rule)), (false, Some(at(40).mono)));
        assert_eq!(word(alert.tick(&rule, at(40))), "");
        assert_eq!((alert.is_firing(), alert.deadline(&rule)), (true, None));
    }

    #[test]
    fn a_rule_that_depends_on_something_waits_for_ten_seconds_at_least() {
        let check = |cancel_timeout: u64, depends_on: &[&str], expected: u64| {
            let terms = Terms {
                depends_on: depends_on.iter().map(|path| (*path).into()).collect(),
                cancel_timeout: Duration::from_secs(cancel_timeout),
                ..Terms::default()
            };
            assert_eq!(terms.hold_down().as_secs(), expected, "{cancel_timeout} {depends_on:?}");
        };
        check(0, &[], 0);
        check(0, &["/db"], 10);
        check(11, &["/db"], 11);
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
