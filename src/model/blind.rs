//! An agent that has no ZooKeeper sees nothing, and nobody leads for it: it says so itself. That is told by each agent
//! that is blind, and not by the one that leads, so it is no alert: no path is out of spec, the ledger does not hold it,
//! and it is over as soon as there is a session again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::children::Left;
use super::dispatcher::{Attempt, AttemptId, PATIENCE, Profile, Speaker};
use super::duration;
use super::jitter::Jitter;
use super::labels::Labels;
use super::ledger::Mark;
use super::message::{About, Item, Kind, Notification};
use super::receiver::{Outcome, ReceiverId};
use super::severity::Severity;
use super::time::Now;

/// By how much longer each agent waits than the one before it in line: in a short outage few have to say it.
const STEP: Duration = Duration::from_secs(15);

/// Who is told, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// For how long there has to be no session.
    pub after: Duration,
    /// Who hears of it.
    pub receivers: Vec<Profile>,
}

/// What the shell has to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Make an attempt, and answer with [`Blind::on_outcome`].
    Attempt(Attempt),
    /// Nobody has been told yet that there has been no session for so long: so many receivers are told now.
    Told(Arc<str>, usize),
    /// A receiver was not told, for this reason; it is tried again, unless it refused.
    Failed(Arc<str>, String),
}

/// The time without a session, and how far each receiver is with it.
#[derive(Debug)]
pub struct Blind {
    speaker: Speaker,
    terms: Option<Terms>,
    /// Since when there is no session, if there is none.
    since: Option<Now>,
    /// Whether this outage has been told of.
    is_told: bool,
    /// How many agents were before this one in line when it had a session last.
    place: u32,
    told: BTreeMap<ReceiverId, Telling>,
    jitter: Jitter,
    numbers: u64,
}

/// How far one receiver is with one outage.
#[derive(Debug)]
struct Telling {
    profile: Profile,
    incident: Arc<str>,
    message: Arc<str>,
    since: Now,
    until: Option<Now>,
    firing: Mark,
    resolved: Mark,
    /// The attempt under way, and what it tells.
    sending: Option<(AttemptId, Kind)>,
    failures: u32,
    /// No attempt before.
    next: Instant,
}

impl Blind {
    /// An agent that has just been started, and has no session.
    pub fn new(speaker: Speaker, now: Now) -> Self {
        let jitter = Jitter::new(speaker.seed);
        let (terms, told) = (None, BTreeMap::new());
        Self { speaker, terms, since: Some(now), is_told: false, place: 0, told, jitter, numbers: 0 }
    }

    /// The configuration says this. Who is not to hear of it any more hears no end either.
    pub fn on_terms(&mut self, terms: Option<Terms>, now: Now) -> Vec<Effect> {
        let keep = |id: &ReceiverId| terms.iter().flat_map(|terms| &terms.receivers).any(|one| one.id == *id);
        self.told.retain(|id, _| keep(id));
        self.terms = terms;
        self.attempt(now)
    }

    /// Whether there is a session right now, and how many agents are before this one in line, or were when there was
    /// one. To be told at each deadline too: that time has passed does not say that there still is none, so nothing else
    /// begins to tell.
    pub fn on_session(&mut self, is_there: bool, place: u32, now: Now) -> Vec<Effect> {
        self.place = place;
        match (is_there, self.since) {
            (true, Some(_)) => {
                (self.since, self.is_told) = (None, false);
                self.told.values_mut().filter(|telling| telling.until.is_none()).for_each(|telling| {
                    (telling.until, telling.next, telling.failures) = (Some(now), now.mono, 0);
                });
            }
            (false, None) => self.since = Some(now),
            (true, None) | (false, Some(_)) => {}
        }
        let begun = self.begin(now);
        begun.into_iter().chain(self.attempt(now)).collect()
    }

    /// An attempt ended.
    pub fn on_outcome(&mut self, attempt: AttemptId, outcome: &Outcome, now: Now) -> Vec<Effect> {
        let mut all = self.told.values_mut();
        let found = all.find(|telling| telling.sending.is_some_and(|(id, _)| id == attempt));
        // Who has left the configuration meanwhile is not known any more.
        let Some(telling) = found else { return Vec::new() };
        let failed = telling.conclude(outcome, &mut self.jitter, now.mono);
        let failed = failed.map(|reason| Effect::Failed(telling.profile.label(), reason));
        failed.into_iter().chain(self.attempt(now)).collect()
    }

    /// The attempts that are due.
    fn attempt(&mut self, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.told.retain(|_, telling| !telling.is_done(now.mono));
        for telling in self.told.values_mut() {
            let Some(kind) = telling.need().filter(|_| telling.next <= now.mono) else { continue };
            self.numbers += 1;
            let id = AttemptId(self.numbers);
            telling.sending = Some((id, kind));
            let (cluster, agent) = (Arc::clone(&self.speaker.cluster), Arc::clone(&self.speaker.agent));
            let notification = Notification { cluster, agent, page: None, items: vec![telling.item(kind)] };
            let receiver = telling.profile.id.clone();
            effects.push(Effect::Attempt(Attempt { id, epoch: 0, receiver, notification }));
        }
        effects
    }

    /// Begins to tell, once there has been no session for long enough.
    fn begin(&mut self, now: Now) -> Option<Effect> {
        let (begins, since) = (self.begins()?, self.since?);
        if begins > now.mono {
            return None;
        }
        let terms = self.terms.as_ref()?;
        self.is_told = true;
        self.numbers += 1;
        let incident: Arc<str> = format!("{}-blind-{}", self.speaker.instance, self.numbers).into();
        let blind = begins.saturating_duration_since(since.mono);
        let message: Arc<str> =
            format!("No ZooKeeper for {}: nothing is watched", duration::words(blind)).into();
        for profile in &terms.receivers {
            // Who has yet to hear of the last one's end goes on knowing of that: it is one and the same to him.
            let known =
                self.told.get_mut(&profile.id).filter(|telling| telling.knows() && !telling.is_ending());
            if let Some(telling) = known {
                telling.until = None;
                continue;
            }
            let telling = Telling {
                profile: profile.clone(),
                incident: Arc::clone(&incident),
                message: Arc::clone(&message),
                since,
                until: None,
                firing: Mark::Pending,
                resolved: Mark::Pending,
                sending: None,
                failures: 0,
                next: now.mono,
            };
            self.told.insert(profile.id.clone(), telling);
        }
        Some(Effect::Told(message, terms.receivers.len()))
    }

    /// When to begin to tell, if there is no session and it has not been told.
    fn begins(&self) -> Option<Instant> {
        let after = self.terms.as_ref().filter(|_| !self.is_told)?.after;
        self.since?.mono.checked_add(after.saturating_add(STEP.saturating_mul(self.place)))
    }

    /// When to look at the session next, at the latest: something is due then.
    pub fn next_deadline(&self) -> Option<Instant> {
        let attempts =
            self.told.values().filter(|telling| telling.need().is_some()).map(|telling| telling.next);
        attempts.chain(self.begins()).min()
    }
}

impl Telling {
    /// What is to be told next.
    fn need(&self) -> Option<Kind> {
        let knows = self.knows();
        match self.until {
            _ if self.sending.is_some() => None,
            None if self.firing.is_open() => Some(Kind::Firing),
            // A receiver that forgets alerts is told again.
            None => self.profile.refresh.filter(|_| knows).map(|_| Kind::Refresh),
            Some(_) => (knows && self.resolved.is_open()).then_some(Kind::Resolved),
        }
    }

    /// Whether the receiver may know of it.
    fn knows(&self) -> bool {
        matches!(self.firing, Mark::Sent | Mark::Ambiguous)
    }

    /// Whether it is being told of the end.
    fn is_ending(&self) -> bool {
        self.sending.is_some_and(|(_, kind)| kind == Kind::Resolved)
    }

    /// Whether it is over, and there is nothing more to tell, or no sense in trying any longer.
    fn is_done(&self, now: Instant) -> bool {
        let is_old = |until: Now| now.saturating_duration_since(until.mono) >= PATIENCE;
        self.until.is_some_and(|until| self.need().is_none() || is_old(until)) && self.sending.is_none()
    }

    /// What became of an attempt; the reason if it failed, and those before had not.
    fn conclude(&mut self, outcome: &Outcome, jitter: &mut Jitter, now: Instant) -> Option<String> {
        let (_, kind) = self.sending.take()?;
        let mark = if kind == Kind::Resolved { &mut self.resolved } else { &mut self.firing };
        let before = self.failures;
        let (is_answered, reason) = match outcome {
            Outcome::Accepted => {
                *mark = Mark::Sent;
                (true, None)
            }
            Outcome::Refused { reason } => {
                *mark = Mark::Refused;
                (true, Some(reason))
            }
            Outcome::Ambiguous { reason } => {
                *mark = if *mark == Mark::Sent { Mark::Sent } else { Mark::Ambiguous };
                (false, Some(reason))
            }
            Outcome::Failed { reason, .. } => (false, Some(reason)),
            Outcome::NotTried => (false, None),
        };
        self.failures = if is_answered { 0 } else { before + 1 };
        let pause = if is_answered {
            self.profile.refresh.unwrap_or_default()
        } else {
            jitter.retry(self.failures, outcome)
        };
        self.next = now.checked_add(pause.min(PATIENCE)).unwrap_or(now);
        reason.filter(|_| before == 0).cloned()
    }

    fn item(&self, kind: Kind) -> Item {
        let until: Option<SystemTime> = self.until.map(|until| until.wall.max(self.since.wall));
        Item {
            incident: Arc::clone(&self.incident),
            path: "/".into(),
            rule: None,
            pattern: None,
            kind,
            about: About::Agent,
            message: Arc::clone(&self.message),
            since: self.since.wall,
            until: until.filter(|_| !kind.is_firing()),
            children: None,
            left: Left::default(),
            counted: None,
            labels: Arc::new(Labels { severity: Some(Severity::Critical), ..Labels::default() }),
            description: None,
            runbook: None,
            notes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
