//! One receiver and one incident: what the receiver surely knows, and how far the next message to it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limits::PATIENCE;
use crate::model::ledger::{Entry, Mark, Progress};
use crate::model::message::Kind;
use crate::model::receiver::Outcome;

/// How long after a recovery it is told once more to a receiver that an overtaken alert may have reached since.
const ONCE_MORE: Duration = Duration::from_secs(60);

/// One receiver's part in an incident.
///
/// The marks in `progress` are what this process knows. While an attempt is prepared or under way the ledger says
/// `Ambiguous` instead ([`Delivery::as_stored`]), so that an attempt that comes to nothing needs no undoing here.
///
/// # What goes together
///
/// The marks speak of `progress.incident`, which need not be the incident that is open, or was last:
///
/// | a receiver is | `progress.incident` | `firing` | and is told next |
/// |---|---|---|---|
/// | current | that one | any | what [`Delivery::need`] finds |
/// | behind | an earlier one | `Sent`, `Ambiguous` | the end of that, and is current then |
/// | untold | an earlier one | `Pending` | of the open one, and is current once that is chosen |
/// | done | an earlier one | `Refused` | as above; it is current as soon as no attempt is under way |
///
/// | field | goes with |
/// |---|---|
/// | `waits`, `progress.past` | all but current |
/// | `due: GivenUp` | `firing: Ambiguous` |
/// | `overtaken: Again` | `firing: Sent`, `Ambiguous` |
/// | `missed` | an entry that counts some |
/// | `closed` | another incident than `progress.incident` |
///
/// The rest goes with anything. [`Delivery::is_legal`] is this table; debug builds check it whenever a path is settled.
///
/// For example, two violations of one path while the receiver is down. It took the alert of the first, so when the
/// second begins it is behind, `past` has the ends of the first, and it `waits` once it should have heard of the second.
/// Up again it takes the end of the first, and [`Delivery::next`] makes it current, due at once. Had it never heard
/// of the first it would be untold, and be told of the second alone, and that it `missed` one.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub progress: Progress,
    stage: Stage,
    pub due: Due,
    /// The incident before, whose end this process told it.
    closed: Option<Arc<str>>,
    /// Whether it never heard of an earlier violation, which was merged into the open one.
    pub missed: bool,
    /// Whether it refused the alert before, so that the rule's others know.
    pub was_refused: bool,
    /// Whether it would have been told of the open incident by now, were it current.
    pub waits: bool,
    /// The last reminder that was sent, as in [`Situation`].
    pub reminded: u32,
    /// How many of the incident's notices it has been told.
    pub notices_told: usize,
    overtaken: Overtaken,
}

/// Where the next message is on its way to the receiver. A delivery begins as Idle, or as Sending if an attempt of an
/// earlier lease is still under way ([`Delivery::adopted`]); from then on it changes through [`Delivery::apply`] alone:
///
/// | stage | step → next |
/// |---|---|
/// | Idle | Needed → Queued |
/// | Queued | Chosen → Intending; Unneeded, Withdrawn → Idle; Ahead, NotAhead → Queued |
/// | Intending | Acked → Intended; NotWritten, Parked, Withdrawn → Idle |
/// | Intended | StillNeeded → Sending; Outdated, Parked, Withdrawn → Idle |
/// | Sending | Ended → Idle |
///
/// Every other step leaves the stage as it is. An attempt under way cannot be called back, so only its end leaves
/// Sending: not the end of the lease, nor that of the incident. And a message that is waiting for the ledger is not called
/// back because there is no need any more: whether there is, is decided when it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is on its way.
    Idle,
    /// In the receiver's queue. `ahead` is what the ledger says of it already, so that its turn needs no write.
    Queued { ticket: u64, ahead: Option<Kind> },
    /// Part of a batch that waits for the ledger to take the intent.
    Intending(Kind),
    /// Part of a batch; the ledger holds the intent.
    Intended(Kind),
    /// The attempt is under way. It tells so many of the incident's notices.
    Sending { kind: Kind, notices: usize },
}

/// What can happen to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is something to tell; this is its place in the queue.
    Needed(u64),
    /// There is nothing to tell any more, or it has to wait.
    Unneeded,
    /// The write that is about to be made is to hold this intent, though the delivery's turn is yet to come.
    Ahead(Kind),
    /// Its turn will not come soon after all.
    NotAhead,
    Chosen(Kind),
    /// The ledger holds the intent, or did not take it.
    Acked,
    NotWritten,
    /// The batch leaves, and tells this, or has nothing to tell of it any more.
    StillNeeded {
        kind: Kind,
        notices: usize,
    },
    Outdated,
    /// The process is about to end, and starts no more attempts.
    Parked,
    /// The lease or the incident ends. The entry is written anew, or left to the next leader, as a whole.
    Withdrawn,
    /// The attempt has ended.
    Ended,
}

/// What a step changed outside of the delivery. Queue, batch and ledger follow this, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub(super) struct Moved {
    /// The places that it gave up and took in the queue.
    pub dequeued: Option<u64>,
    pub enqueued: Option<u64>,
    /// Whether the batch waits for the ledger to take its intent from now on, or no longer.
    pub joined: bool,
    pub cleared: bool,
    /// Whether the ledger has to hear of it.
    pub wants_write: bool,
}

impl Stage {
    fn ticket(self) -> Option<u64> {
        let Self::Queued { ticket, .. } = self else { return None };
        Some(ticket)
    }

    /// What the ledger has to say may have been told.
    fn intent(self) -> Option<Kind> {
        match self {
            Self::Idle => None,
            Self::Queued { ahead, .. } => ahead,
            Self::Intending(kind) | Self::Intended(kind) | Self::Sending { kind, .. } => Some(kind),
        }
    }
}

/// Since when the receiver should have been told what it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It need not have been.
    No,
    Since(Instant),
    /// The alert may have reached it, and is not tried any more.
    GivenUp,
}

/// Whether another agent's attempt may still be under way, and arrive after the recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overtaken {
    No,
    Possibly,
    /// The recovery was told, and is told once more at this time.
    Again(Instant),
}

/// What it depends on whether a receiver has to be told something.
#[derive(Clone, Debug)]
pub(super) struct Situation {
    /// The incident that is open, or was last.
    pub incident: Arc<str>,
    pub firing: bool,
    pub over: bool,
    pub silenced: bool,
    /// The last reminder that is due, by [`Incident::reminder`](super::incident::Incident::reminder).
    pub reminder: u32,
    /// How many notices there are.
    pub notices: usize,
    pub now: Instant,
}

impl Delivery {
    /// The receiver has heard nothing of the incident.
    pub fn new(incident: &Arc<str>) -> Self {
        let progress = Progress {
            incident: Arc::clone(incident),
            storm: None,
            past: None,
            firing: Mark::Pending,
            resolved: Mark::Pending,
            extra: "".into(),
        };
        Self {
            progress,
            stage: Stage::Idle,
            due: Due::No,
            closed: None,
            missed: false,
            was_refused: false,
            waits: false,
            reminded: 0,
            notices_told: 0,
            overtaken: Overtaken::No,
        }
    }

    /// Whether this is one of the combinations at [`Delivery`], beside an entry of this incident that counts so many
    /// `missed`.
    pub fn is_legal(&self, incident: &Arc<str>, missed: u32) -> bool {
        let Progress { incident: own, firing, past, .. } = &self.progress;
        let may_know = matches!(firing, Mark::Sent | Mark::Ambiguous);
        (own != incident || !(self.waits || past.is_some()))
            && (self.due != Due::GivenUp || *firing == Mark::Ambiguous)
            && (may_know || !matches!(self.overtaken, Overtaken::Again(_)))
            && (missed > 0 || !self.missed)
            && self.closed.as_ref() != Some(own)
    }

    /// The receiver has heard of the end of an earlier incident, and turns to the open one.
    pub fn next(&self, incident: &Arc<str>, now: Instant) -> Self {
        let closed = Some(Arc::clone(&self.progress.incident));
        let due = if self.waits { Due::Since(now) } else { Due::No };
        Self { closed, missed: self.missed, due, ..Self::new(incident) }
    }

    /// Takes over what the ledger says, written by somebody else, and adds what this process knows (`mine`) from an
    /// earlier lease of its own.
    pub fn adopted(
        progress: &Progress,
        entry: &Entry,
        mine: Option<&Self>,
        reminder: u32,
        now: Instant,
    ) -> Self {
        let overtaken = match progress.firing {
            Mark::Ambiguous => Overtaken::Possibly,
            Mark::Pending | Mark::Sent | Mark::Refused => Overtaken::No,
        };
        let is_behind = progress.incident != entry.incident;
        let past = progress.past.clone().filter(|_| is_behind);
        let mut adopted = Self {
            progress: Progress { past, ..progress.clone() },
            // Which receivers missed them the entry does not say.
            missed: entry.missed > 0 && (progress.firing.is_open() || is_behind),
            waits: progress.firing != Mark::Pending && is_behind,
            // There is an entry, so the alert had been due before: if it is over, it is told late.
            due: Due::Since(now),
            reminded: reminder,
            overtaken,
            ..Self::new(&progress.incident)
        };
        mine.into_iter().for_each(|mine| adopted.recall(mine));
        adopted
    }

    /// The same for the receiver that takes this one's place. Nobody will hear of an attempt that is under way.
    pub fn bequeathed(self) -> Self {
        Self { progress: self.as_stored(), stage: Stage::Idle, ..self }
    }

    /// Whether the receiver knows of an alert, or may, and has not been told of its end.
    pub fn is_owed_an_end(&self) -> bool {
        let stored = self.as_stored();
        matches!(stored.firing, Mark::Sent | Mark::Ambiguous) && stored.resolved.is_open()
    }

    fn recall(&mut self, mine: &Self) {
        let progress = &mut self.progress;
        if mine.closed.as_ref() == Some(&progress.incident) {
            (progress.firing, progress.resolved) = (Mark::Sent, Mark::Sent);
        }
        if progress.incident != mine.progress.incident {
            return;
        }
        let known = |stored: Mark, mine: Mark| if mine == Mark::Sent { Mark::Sent } else { stored };
        progress.firing = known(progress.firing, mine.progress.firing);
        progress.resolved = known(progress.resolved, mine.progress.resolved);
        // The notices that it tells are not this incident's any more.
        if let Stage::Sending { kind, .. } = mine.stage {
            self.stage = Stage::Sending { kind, notices: 0 };
        }
    }

    /// Takes one step of the table at [`Stage`].
    pub fn apply(&mut self, step: Step) -> Moved {
        use Stage::{Idle, Intended, Intending, Queued, Sending};
        let before = self.stage;
        self.stage = match (before, step) {
            (Idle, Step::Needed(ticket)) => Queued { ticket, ahead: None },
            (Queued { ticket, .. }, Step::Ahead(kind)) => Queued { ticket, ahead: Some(kind) },
            (Queued { ticket, .. }, Step::NotAhead) => Queued { ticket, ahead: None },
            (Queued { .. }, Step::Chosen(kind)) => Intending(kind),
            (Queued { .. }, Step::Unneeded | Step::Withdrawn) => Idle,
            (Intending(kind), Step::Acked) => Intended(kind),
            (Intending(_), Step::NotWritten | Step::Parked | Step::Withdrawn) => Idle,
            (Intended(_), Step::StillNeeded { kind, notices }) => Sending { kind, notices },
            (Intended(_), Step::Outdated | Step::Parked | Step::Withdrawn) => Idle,
            (Sending { .. }, Step::Ended) => Idle,
            (stage, _) => stage,
        };
        let (changed, is_intending) = (before != self.stage, matches!(self.stage, Intending(_)));
        let wants_write = match self.stage {
            // What was or is intended without the attempt that it stands for.
            Idle | Queued { .. } => before.intent() != self.stage.intent(),
            Intending(_) => changed,
            Intended(_) | Sending { .. } => false,
        };
        Moved {
            dequeued: before.ticket().filter(|_| self.stage.ticket().is_none()),
            enqueued: self.stage.ticket().filter(|_| before.ticket().is_none()),
            joined: changed && is_intending,
            cleared: changed && matches!(before, Intending(_) | Intended(_)),
            wants_write: wants_write && step != Step::Withdrawn,
        }
    }

    pub fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    /// Whether the ledger may say something of it before its turn has come.
    pub fn is_intended_ahead(&self) -> bool {
        matches!(self.stage, Stage::Queued { ahead: Some(_), .. })
    }

    pub fn is_intending(&self) -> bool {
        matches!(self.stage, Stage::Intending(_))
    }

    /// What the attempt under way tells.
    pub fn sending(&self) -> Option<Kind> {
        let Stage::Sending { kind, .. } = self.stage else { return None };
        Some(kind)
    }

    /// Whether it has yet to hear of the end of an incident before the open one.
    pub fn is_behind(&self, incident: &Arc<str>) -> bool {
        let may_know = matches!(self.progress.firing, Mark::Sent | Mark::Ambiguous);
        self.progress.incident != *incident && may_know
    }

    /// What to tell, apart from storms.
    pub fn need(&self, view: &Situation) -> Option<Kind> {
        let Progress { firing, resolved, .. } = &self.progress;
        if self.is_behind(&view.incident) {
            return resolved.is_open().then_some(Kind::Resolved);
        }
        match (firing, view.over) {
            (Mark::Sent | Mark::Ambiguous, true) => {
                let again = matches!(self.overtaken, Overtaken::Again(at) if at <= view.now);
                (again || resolved.is_open()).then_some(Kind::Resolved)
            }
            (Mark::Pending, true) => {
                let tell = matches!(self.due, Due::Since(_)) && !view.silenced;
                tell.then_some(Kind::Late)
            }
            (Mark::Pending | Mark::Ambiguous, false) => {
                (view.firing && !view.silenced && self.due != Due::GivenUp).then_some(Kind::Firing)
            }
            (Mark::Sent, false) if view.firing && !view.silenced => {
                if self.notices_told < view.notices {
                    Some(Kind::Notice)
                } else {
                    (view.reminder > self.reminded).then_some(Kind::Reminder(view.reminder))
                }
            }
            (Mark::Sent, false) | (Mark::Refused, _) => None,
        }
    }

    /// Whether it is yet to be told this notice of this incident, by itself or with the alert.
    pub fn is_to_hear_of(&self, incident: &Arc<str>, notice: usize) -> bool {
        let is_told = self.progress.firing != Mark::Refused && self.due != Due::GivenUp;
        is_told && self.progress.incident == *incident && self.notices_told <= notice
    }

    /// It is part of a batch that is put together. An alert tells the open incident, as part of a storm or by itself.
    pub fn choose(&mut self, kind: Kind, storm: Option<&Arc<str>>, view: &Situation) -> Step {
        if matches!(kind, Kind::Firing | Kind::Late) {
            self.progress.incident = Arc::clone(&view.incident);
            self.progress.storm = storm.cloned();
            (self.progress.past, self.waits) = (None, false);
        }
        Step::Chosen(kind)
    }

    /// What is to be intended ahead of its turn; nothing if that is not of the open incident.
    pub fn ahead(&self, view: &Situation) -> Option<Step> {
        let need = self.need(view).filter(|_| self.progress.incident == view.incident);
        need.map(Step::Ahead)
    }

    /// The batch leaves. An alert whose path came back in spec meanwhile is told late: its intent says no less.
    pub fn leave(&self, view: &Situation) -> Option<Step> {
        let Stage::Intended(planned) = self.stage else { return None };
        let need = self.need(view).filter(|need| match (planned, need) {
            (Kind::Firing, Kind::Firing | Kind::Late) | (Kind::Late, Kind::Late) => {
                self.progress.incident == view.incident
            }
            (Kind::Reminder(_), Kind::Reminder(_)) => true,
            (planned, need) => planned == *need,
        });
        Some(need.map_or(Step::Outdated, |kind| Step::StillNeeded { kind, notices: view.notices }))
    }

    /// Whether the incident, which is over, has no more use for this delivery. What a silence holds back is still
    /// to be told when that ends.
    pub fn is_done(&self, view: &Situation) -> bool {
        let waits = matches!(self.overtaken, Overtaken::Again(_));
        let view = Situation { silenced: false, ..view.clone() };
        self.is_idle() && !waits && self.need(&view).is_none()
    }

    /// When it has been tried for so long that it is given up.
    pub fn hopeless_at(&self) -> Option<Instant> {
        let Due::Since(due) = self.due else { return None };
        due.checked_add(PATIENCE)
    }

    /// Whether it has been tried for so long that it is given up.
    pub fn is_hopeless(&self, now: Instant) -> bool {
        self.hopeless_at().is_some_and(|at| at <= now)
    }

    /// The same, if this tells one of the two ends. A reminder is not given up, it is superseded.
    pub fn is_hopeless_to_tell(&self, kind: Kind, now: Instant) -> bool {
        ends(Some(kind)) != (false, false) && self.is_hopeless(now)
    }

    /// When the recovery is told once more.
    pub fn again_at(&self) -> Option<Instant> {
        let Overtaken::Again(at) = self.overtaken else { return None };
        self.is_idle().then_some(at)
    }

    /// What the ledger has to say of it.
    pub fn as_stored(&self) -> Progress {
        let mut progress = self.progress.clone();
        let (firing, resolved) = ends(self.stage.intent());
        if firing {
            progress.firing = Mark::Ambiguous;
        }
        if resolved {
            progress.resolved = Mark::Ambiguous;
        }
        progress
    }

    /// Whether the ledger says what the attempt that is prepared needs it to say.
    pub fn is_held_by(&self, stored: &Progress) -> bool {
        let (firing, resolved) = ends(self.stage.intent());
        let same = (&stored.incident, &stored.storm) == (&self.progress.incident, &self.progress.storm);
        let marks = (!firing || stored.firing == Mark::Ambiguous)
            && (!resolved || stored.resolved == Mark::Ambiguous);
        self.is_intending() && same && marks
    }

    /// Notes what became of the attempt under way; `None` if there is none.
    pub fn conclude(&mut self, outcome: &Outcome, keyed: bool, now: Instant) -> Option<Step> {
        let Stage::Sending { kind, notices } = self.stage else { return None };
        match outcome {
            Outcome::Accepted => self.mark(kind, Mark::Sent),
            Outcome::Ambiguous { .. } => self.mark(kind, Mark::Ambiguous),
            Outcome::Refused { .. } => self.give_up(kind),
            Outcome::Failed { .. } | Outcome::NotTried => {
                if self.progress.firing == Mark::Pending {
                    self.progress.storm = None;
                }
                return Some(Step::Ended);
            }
        }
        let accepted = *outcome == Outcome::Accepted;
        match kind {
            Kind::Firing if accepted => (self.notices_told, self.missed) = (notices, false),
            Kind::Resolved if accepted => {
                let again = now.checked_add(ONCE_MORE).filter(|_| keyed);
                self.overtaken = match self.overtaken {
                    Overtaken::Possibly => again.map_or(Overtaken::No, Overtaken::Again),
                    Overtaken::No | Overtaken::Again(_) => Overtaken::No,
                };
            }
            // These are not repeated, whatever became of them: the alert itself was told.
            Kind::Reminder(number) => self.reminded = number,
            Kind::Notice => self.notices_told = notices,
            Kind::Firing | Kind::Resolved | Kind::Late | Kind::Refresh | Kind::Test => {}
        }
        Some(Step::Ended)
    }

    fn mark(&mut self, kind: Kind, mark: Mark) {
        let (firing, resolved) = ends(Some(kind));
        if firing {
            self.progress.firing = mark;
        }
        // What was told once more was told before.
        if resolved && (mark == Mark::Sent || self.progress.resolved.is_open()) {
            self.progress.resolved = mark;
        }
    }

    /// It was refused, or tried for too long.
    pub fn give_up(&mut self, kind: Kind) {
        match kind {
            // An earlier attempt may have reached it, so that it gets the recovery.
            Kind::Firing if self.progress.firing == Mark::Ambiguous => self.due = Due::GivenUp,
            Kind::Firing | Kind::Late => self.progress.firing = Mark::Refused,
            Kind::Resolved => (self.progress.resolved, self.overtaken) = (Mark::Refused, Overtaken::No),
            Kind::Reminder(_) | Kind::Notice | Kind::Refresh | Kind::Test => {}
        }
    }

    /// What was refused or given up is tried again.
    pub fn try_again(&mut self, now: Instant) {
        if self.progress.firing == Mark::Refused {
            (self.progress.firing, self.due) = (Mark::Pending, Due::Since(now));
            self.was_refused = true;
        } else if self.due == Due::GivenUp {
            self.due = Due::Since(now);
        }
    }
}

/// Which ends of the incident a message tells: alert, recovery.
fn ends(kind: Option<Kind>) -> (bool, bool) {
    match kind {
        Some(Kind::Firing) => (true, false),
        Some(Kind::Late) => (true, true),
        Some(Kind::Resolved) => (false, true),
        Some(Kind::Reminder(_) | Kind::Notice | Kind::Refresh | Kind::Test) | None => (false, false),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::model::ledger::Past;

    const KIND: Kind = Kind::Firing;
    const STAGES: [Stage; 6] = [
        Stage::Idle,
        Stage::Queued { ticket: 7, ahead: None },
        Stage::Queued { ticket: 7, ahead: Some(KIND) },
        Stage::Intending(KIND),
        Stage::Intended(KIND),
        Stage::Sending { kind: KIND, notices: 1 },
    ];
    const STEPS: [Step; 12] = [
        Step::Needed(7),
        Step::Unneeded,
        Step::Ahead(KIND),
        Step::NotAhead,
        Step::Chosen(KIND),
        Step::Acked,
        Step::NotWritten,
        Step::StillNeeded { kind: KIND, notices: 1 },
        Step::Outdated,
        Step::Parked,
        Step::Withdrawn,
        Step::Ended,
    ];

    /// The name of a stage or step, without what it holds.
    fn name(of: impl std::fmt::Debug) -> String {
        format!("{of:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
    }

    /// The next stage that the table in the docs of [`Stage`] has; none if the step leaves the stage as it is.
    fn documented(stage: &str, step: &str) -> Option<String> {
        let rows = include_str!("delivery.rs").lines().filter_map(|line| line.strip_prefix("/// | "));
        let row = rows.filter_map(|row| row.split_once(" | ")).find(|(name, _)| *name == stage);
        let (_, cells) = row.expect("each stage has a row");
        cells.trim_end_matches(" |").split("; ").find_map(|cell| {
            let (steps, next) = cell.split_once(" → ").expect("a cell is steps → stage");
            steps.split(", ").any(|known| known == step).then(|| next.to_owned())
        })
    }

    fn after(stage: Stage, step: Step) -> (Stage, Moved) {
        let mut delivery = Delivery { stage, ..Delivery::new(&"i".into()) };
        let moved = delivery.apply(step);
        (delivery.stage, moved)
    }

    #[test]
    fn each_step_leads_from_each_stage_where_the_table_says() {
        for (stage, step) in STAGES.iter().flat_map(|stage| STEPS.map(|step| (*stage, step))) {
            let (next, moved) = after(stage, step);
            match documented(&name(stage), &name(step)) {
                Some(expected) => assert_eq!(name(next), expected, "{stage:?} {step:?}"),
                None => assert_eq!((next, moved), (stage, Moved::default()), "{stage:?} {step:?}"),
            }
        }
        let leads = |step: &str| STAGES.iter().any(|stage| documented(&name(*stage), step).is_some());
        assert!(STEPS.iter().all(|step| leads(&name(*step))), "each step has a place in the table");
    }

    /// Queue and batch know nothing but what [`Moved`] says, so it has to say all.
    #[test]
    fn queue_and_batch_follow_each_step() {
        let queued = |stage: Stage| stage.ticket().is_some();
        let intending = |stage: Stage| matches!(stage, Stage::Intending(_));
        for (stage, step) in STAGES.iter().flat_map(|stage| STEPS.map(|step| (*stage, step))) {
            let (next, moved) = after(stage, step);
            let what = format!("{stage:?} {step:?}: {moved:?}");
            assert_eq!(moved.enqueued, (!queued(stage) && queued(next)).then_some(7), "{what}");
            assert_eq!(moved.dequeued, (queued(stage) && !queued(next)).then_some(7), "{what}");
            assert_eq!(moved.joined, !intending(stage) && intending(next), "{what}");
            assert!(moved.cleared || !intending(stage) || intending(next), "{what}");
            let taken_back = stage.intent().is_some() && next.intent().is_none() && step != Step::Withdrawn;
            assert!(moved.wants_write || !taken_back, "{what}");
        }
    }

    #[test]
    fn what_may_not_go_together_is_found() {
        let (open, earlier): (Arc<str>, Arc<str>) = ("open".into(), "earlier".into());
        let time = SystemTime::UNIX_EPOCH;
        let (ending, labels) = (None, Arc::default());
        let past = Some(Past { message: "".into(), since: time, until: time, ending, labels });
        let now = crate::clock::mono();
        let check_beside = |missed: u32, what: &str, legal: bool, firing, change: &dyn Fn(&mut Delivery)| {
            let mut delivery = Delivery::new(&open);
            delivery.progress.firing = firing;
            change(&mut delivery);
            assert_eq!(delivery.is_legal(&open, missed), legal, "{what}, {firing:?}");
        };
        let check = |what: &str, legal: bool, firing: Mark, change: &dyn Fn(&mut Delivery)| {
            check_beside(0, what, legal, firing, change);
        };
        for firing in [Mark::Pending, Mark::Ambiguous, Mark::Sent, Mark::Refused] {
            let may_know = matches!(firing, Mark::Ambiguous | Mark::Sent);
            check("new", true, firing, &|_| {});
            check("waits", false, firing, &|delivery| delivery.waits = true);
            check("past", false, firing, &|delivery| delivery.progress.past.clone_from(&past));
            check("an earlier one", true, firing, &|delivery| {
                (delivery.progress.incident, delivery.waits) = (Arc::clone(&earlier), true);
                delivery.progress.past.clone_from(&past);
            });
            let given_up = firing == Mark::Ambiguous;
            check("given up", given_up, firing, &|delivery| delivery.due = Due::GivenUp);
            check("again", may_know, firing, &|delivery| delivery.overtaken = Overtaken::Again(now));
            check("missed none", false, firing, &|delivery| delivery.missed = true);
            check_beside(1, "missed one", true, firing, &|delivery| delivery.missed = true);
            check("closed", false, firing, &|delivery| delivery.closed = Some(Arc::clone(&open)));
            check("closed before", true, firing, &|delivery| delivery.closed = Some(Arc::clone(&earlier)));
        }
    }

    #[test]
    fn the_ledger_says_that_what_is_on_its_way_may_have_been_told() {
        let check = |stage: Stage, expected: (Mark, Mark)| {
            let stored = Delivery { stage, ..Delivery::new(&"i".into()) }.as_stored();
            assert_eq!((stored.firing, stored.resolved), expected, "{stage:?}");
        };
        let (ambiguous, pending) = (Mark::Ambiguous, Mark::Pending);
        check(Stage::Idle, (pending, pending));
        check(Stage::Queued { ticket: 7, ahead: None }, (pending, pending));
        check(Stage::Queued { ticket: 7, ahead: Some(Kind::Firing) }, (ambiguous, pending));
        for kind in [Kind::Firing, Kind::Late, Kind::Resolved, Kind::Notice, Kind::Reminder(1)] {
            let expected = match kind {
                Kind::Firing => (ambiguous, pending),
                Kind::Late => (ambiguous, ambiguous),
                Kind::Resolved => (pending, ambiguous),
                Kind::Reminder(_) | Kind::Notice | Kind::Refresh | Kind::Test => (pending, pending),
            };
            for stage in [Stage::Intending(kind), Stage::Intended(kind), Stage::Sending { kind, notices: 0 }]
            {
                check(stage, expected);
            }
        }
    }
}
