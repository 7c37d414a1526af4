//! How far one receiver is with one incident, as this process knows it.

use std::sync::Arc;
use std::time::Instant;

use super::PATIENCE;
use crate::model::ledger::{Entry, Mark, Past, Progress};

/// One receiver's share in an incident.
///
/// The marks are what this process knows. While an attempt is prepared or under way the ledger says
/// `Ambiguous` instead ([`Share::progress`]), so that an attempt that comes to nothing needs no undoing here.
#[derive(Clone, Debug)]
pub(super) struct Share {
    /// The incident that the marks speak of. If it is not the open one the receiver is behind: it either has
    /// yet to hear of the end of that one, or never heard of it at all (`firing` is `Pending`).
    pub told: Arc<str>,
    pub storm: Option<Arc<str>>,
    pub past: Option<Past>,
    /// The incident before, whose end it was told by this process.
    pub closed: Option<Arc<str>>,
    /// Whether it never heard of an earlier violation, which was merged into the open one.
    pub missed: bool,
    /// Whether it would have been told of the open incident by now, were it not behind.
    pub waits: bool,
    pub firing: Mark,
    pub resolved: Mark,
    pub place: Place,
    /// What the ledger says of it already while it is queued, so that its turn needs no write.
    pub ahead: Option<Need>,
    /// Since when the receiver should have been told what it has not; `None` if it need not have been.
    pub due: Option<Instant>,
    /// Whether the alert was tried for so long that it is tried no more.
    pub gave_up: bool,
    /// The last reminder that was sent.
    pub reminded: u32,
    /// How many of the incident's notices it has been told.
    pub noticed: usize,
    /// How many the attempt under way tells.
    pub noticing: usize,
    pub overtaken: Overtaken,
}

/// Where a share is on its way to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Idle,
    /// In the receiver's queue, under this number.
    Queued(u64),
    /// Chosen for a delivery; the ledger has yet to take the intent.
    Intent(Need),
    /// The ledger holds the intent.
    Ready(Need),
    /// The attempt is under way.
    Flying(Need),
}

/// What a receiver has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Firing,
    Resolved,
    /// Both ends at once.
    Late,
    Reminder(u32),
    Notice,
}

/// Whether another agent's attempt may still be under way, and arrive after the recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overtaken {
    No,
    Possibly,
    /// The recovery was told, and is told once more at this time.
    Again(Instant),
}

/// What the needs of a path's receivers depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub firing: bool,
    pub over: bool,
    pub silenced: bool,
    /// How many repeat intervals have passed.
    pub reminder: u32,
    /// How many notices there are.
    pub notices: usize,
    pub now: Instant,
}

impl Share {
    pub fn new(incident: &Arc<str>) -> Self {
        Self {
            told: Arc::clone(incident),
            storm: None,
            past: None,
            closed: None,
            missed: false,
            waits: false,
            firing: Mark::Pending,
            resolved: Mark::Pending,
            place: Place::Idle,
            ahead: None,
            due: None,
            gave_up: false,
            reminded: 0,
            noticed: 0,
            noticing: 0,
            overtaken: Overtaken::No,
        }
    }

    /// The share of a receiver that has heard of the end of an earlier incident, and turns to the open one.
    pub fn next(&self, incident: &Arc<str>, now: Instant) -> Self {
        let closed = Some(Arc::clone(&self.told));
        Self { closed, missed: self.missed, due: self.waits.then_some(now), ..Self::new(incident) }
    }

    /// Takes over what the ledger says, written by somebody else.
    pub fn adopted(progress: &Progress, entry: &Entry, reminder: u32, now: Instant) -> Self {
        let overtaken = match progress.firing {
            Mark::Ambiguous => Overtaken::Possibly,
            Mark::Pending | Mark::Sent | Mark::Refused => Overtaken::No,
        };
        Self {
            storm: progress.storm.clone(),
            past: progress.past.clone(),
            // Which receivers missed them the entry does not say.
            missed: entry.missed > 0 && is_open(progress.firing),
            waits: progress.firing != Mark::Pending && progress.incident != entry.incident,
            firing: progress.firing,
            resolved: progress.resolved,
            // There is an entry, so the alert had been due before: if it is over, it is told late.
            due: Some(now),
            reminded: reminder,
            overtaken,
            ..Self::new(&progress.incident)
        }
    }

    /// Adds what this process knows from an earlier lease of its own to what the ledger says.
    pub fn recall(&mut self, mine: &Self) {
        if mine.closed.as_ref() == Some(&self.told) {
            (self.firing, self.resolved) = (Mark::Sent, Mark::Sent);
        }
        if self.told != mine.told {
            return;
        }
        let known = |stored: Mark, mine: Mark| if mine == Mark::Sent { Mark::Sent } else { stored };
        self.firing = known(self.firing, mine.firing);
        self.resolved = known(self.resolved, mine.resolved);
        if let Place::Flying(need) = mine.place {
            self.place = Place::Flying(need);
        }
    }

    /// Whether it has yet to hear of the end of an incident before the open one.
    pub fn is_behind(&self, incident: &Arc<str>) -> bool {
        self.told != *incident && matches!(self.firing, Mark::Sent | Mark::Ambiguous)
    }

    /// What to tell, apart from storms.
    pub fn need(&self, incident: &Arc<str>, view: &View) -> Option<Need> {
        if self.is_behind(incident) {
            return is_open(self.resolved).then_some(Need::Resolved);
        }
        match (self.firing, view.over) {
            (Mark::Sent | Mark::Ambiguous, true) => {
                let again = matches!(self.overtaken, Overtaken::Again(at) if at <= view.now);
                (again || is_open(self.resolved)).then_some(Need::Resolved)
            }
            (Mark::Pending, true) => {
                let tell = self.due.is_some() && !self.gave_up && !view.silenced;
                tell.then_some(Need::Late)
            }
            (Mark::Pending | Mark::Ambiguous, false) => {
                (view.firing && !view.silenced && !self.gave_up).then_some(Need::Firing)
            }
            (Mark::Sent, false) if view.firing && !view.silenced => {
                if self.noticed < view.notices {
                    Some(Need::Notice)
                } else {
                    (view.reminder > self.reminded).then_some(Need::Reminder(view.reminder))
                }
            }
            (Mark::Sent, false) | (Mark::Refused, _) => None,
        }
    }

    /// What is told by an attempt that was planned for `planned`, now that the ledger holds its intent. An
    /// alert whose path came back in spec meanwhile is told late: its intent says no less.
    pub fn still(&self, planned: Need, incident: &Arc<str>, view: &View) -> Option<Need> {
        let need = self.need(incident, view)?;
        let fits = match (planned, need) {
            (Need::Firing, Need::Firing | Need::Late) | (Need::Late, Need::Late) => self.told == *incident,
            (Need::Resolved, Need::Resolved) | (Need::Notice, Need::Notice) => true,
            (Need::Reminder(_), Need::Reminder(_)) => true,
            (Need::Firing | Need::Late | Need::Resolved | Need::Notice | Need::Reminder(_), _) => false,
        };
        fits.then_some(need)
    }

    /// Whether the incident, which is over, has no more use for this share. What a silence holds back is still
    /// to be told when that ends.
    pub fn is_done(&self, incident: &Arc<str>, view: &View) -> bool {
        let waits = matches!(self.overtaken, Overtaken::Again(_)) && self.firing != Mark::Pending;
        let view = View { silenced: false, ..*view };
        self.place == Place::Idle && !waits && self.need(incident, &view).is_none()
    }

    /// Whether it has been tried for so long that it is given up.
    pub fn is_hopeless(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| now.saturating_duration_since(due) >= PATIENCE)
    }

    /// What the ledger has to say of it.
    pub fn progress(&self) -> Progress {
        let mut progress = Progress {
            incident: Arc::clone(&self.told),
            storm: self.storm.clone(),
            past: self.past.clone(),
            firing: self.firing,
            resolved: self.resolved,
        };
        match self.trying() {
            Some(Need::Firing) => progress.firing = Mark::Ambiguous,
            Some(Need::Late) => (progress.firing, progress.resolved) = (Mark::Ambiguous, Mark::Ambiguous),
            Some(Need::Resolved) => progress.resolved = Mark::Ambiguous,
            Some(Need::Reminder(_) | Need::Notice) | None => {}
        }
        progress
    }

    fn trying(&self) -> Option<Need> {
        match self.place {
            Place::Intent(need) | Place::Ready(need) | Place::Flying(need) => Some(need),
            Place::Queued(_) => self.ahead,
            Place::Idle => None,
        }
    }
}

/// Whether a mark leaves something to tell.
pub(super) fn is_open(mark: Mark) -> bool {
    match mark {
        Mark::Pending | Mark::Ambiguous => true,
        Mark::Sent | Mark::Refused => false,
    }
}
