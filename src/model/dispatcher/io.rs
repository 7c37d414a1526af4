//! What goes into the dispatcher and what comes out of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::alert_key::AlertKey;
use crate::model::ledger::{Stored, Write, Written};
use crate::model::message::{Kind, Notification};
use crate::model::receiver::{self, Outcome, ReceiverId};
use crate::model::status::Silence;
use crate::model::transition::EvaluatorOutput;

/// What the dispatcher hears.
#[derive(Clone, Debug)]
pub enum Input {
    /// The configuration was read: the receivers are these from now on, and this is `group_wait`. What they refused
    /// is tried again. The rules follow as [`EvaluatorOutput::Rules`], once the watching side has them.
    Receivers(Vec<Profile>, Duration),
    /// The evaluator told something.
    Evaluated(EvaluatorOutput),
    /// The election granted the lease. It is in effect once its barrier has arrived, which may be now.
    Granted(Takeover),
    /// The lease is over: no attempt is asked for, and no write, until the next.
    Revoked,
    /// The silences are these from now on.
    Silences(Vec<Silence>),
    /// An attempt ended.
    Outcome(AttemptId, Outcome),
    /// The ledger answered the write of this number.
    Written(u64, Written),
    /// The process is about to end: no more attempts are started. Outcomes are still noted, and so is that what was
    /// prepared was not tried.
    Park,
    /// Time has passed.
    Tick,
}

/// Who speaks, and how.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// This agent's name as it starts. Whoever sends puts that in its place which the cluster knows it by.
    pub agent: Arc<str>,
    /// Random hexadecimal digits, different in each process: what the ids of its incidents begin with.
    pub instance: Arc<str>,
    /// Seeds the jitter of retries.
    pub seed: u64,
}

/// What the dispatcher has to know of a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its stable name.
    pub id: ReceiverId,
    /// What operators call it.
    pub name: Arc<str>,
    /// The same without an address, for where everybody may look.
    pub public_name: Arc<str>,
    /// `email`, `slack` …
    pub kind: &'static str,
    /// Whether one message can tell of several incidents. PagerDuty's cannot: it gets each by itself, and above
    /// [`super::limits::STORM`] of them one event for all.
    pub digest: bool,
    /// Whether it keeps an alert open until it is told that it is over (PagerDuty, Alertmanager). Such a
    /// receiver is told so twice if the first alert may have been overtaken.
    pub keyed: bool,
    /// How often a receiver that forgets alerts (Alertmanager) is told of them again.
    pub refresh: Option<Duration>,
}

/// How often an Alertmanager is told again of what is firing, as Prometheus itself does.
const REFRESH: Duration = Duration::from_secs(60);

impl Profile {
    /// Of a receiver of the configuration.
    pub fn of(receiver: &receiver::Receiver) -> Self {
        let (digest, keyed, refresh) = match &receiver.settings {
            receiver::Settings::PagerDuty(_) => (false, true, None),
            receiver::Settings::Alertmanager(_) => (true, true, Some(REFRESH)),
            receiver::Settings::Email(_) | receiver::Settings::Slack(_) | receiver::Settings::HipChat(_) => {
                (true, false, None)
            }
            receiver::Settings::Webhook(webhook) => {
                (webhook.template.as_ref().is_none_or(|template| template.digest), false, None)
            }
        };
        let (id, name, kind) = (receiver.id.clone(), Arc::clone(&receiver.name), receiver.settings.kind());
        let public_name = receiver.public_name();
        Self { id, name, public_name, kind, digest, keyed, refresh }
    }

    /// What the log calls it: by its name, and by its id, which stands in `/status` and metrics too.
    pub fn label(&self) -> Arc<str> {
        format!("{} ({})", self.name, self.id.0).into()
    }

    /// Whether another of its kind can tell the end of what it told: PagerDuty knows an alert by its incident's id,
    /// whichever routing key it comes with.
    pub(super) fn is_replaceable(&self) -> bool {
        self.keyed && !self.digest
    }
}

/// The right to lead, as the election hands it over. It counts from the moment at which the barrier arrives.
#[derive(Clone, Debug, Default)]
pub struct Takeover {
    /// The barrier that was sent after the ledger had been read. Later barriers have greater numbers.
    pub barrier: u64,
    /// Greater than that of every lease before, and than that of every entry that was written under one.
    pub epoch: u64,
    /// The whole ledger.
    pub entries: Vec<Stored>,
    /// Alerts whose entry could not be understood, and its version. They are overwritten when needed.
    pub unreadable: Vec<(AlertKey, i32)>,
    /// All silences.
    pub silences: Vec<Silence>,
    /// Since when nobody can have led, until this lease takes effect. Nothing if it was a stranger who held the lock: he
    /// may have meant that nothing is told meanwhile.
    pub vacant_since: Option<Instant>,
}

/// The number of one attempt, unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u64);

/// One attempt to be made.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its number; the outcome bears the same.
    pub id: AttemptId,
    /// The lease under which it may be made; to be checked right before it is.
    pub epoch: u64,
    /// The receiver. It has no other attempt under way.
    pub receiver: ReceiverId,
    /// What to tell it.
    pub notification: Notification,
}

/// What the shell has to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Change the ledger, and answer with [`Input::Written`].
    Write(Write),
    /// Make an attempt, and answer with [`Input::Outcome`].
    Attempt(Attempt),
    /// Tell the operator.
    Log(Report),
}

/// What an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A path fell out of spec, and waits for its hold-down.
    Pending(AlertKey),
    /// It came back in spec before that.
    Cancelled(AlertKey),
    /// It is out of spec, and its alert waits for this path, which its rule depends on; or for none any more.
    Held(AlertKey, Option<Arc<str>>),
    /// An alert fired, with these words. Every agent says so, whether it leads or not.
    Firing(AlertKey, Arc<str>),
    /// A firing path is back in spec, and waits for `keep_firing_for`.
    Recovering(AlertKey),
    /// It fell out of spec again before that.
    Relapsed(AlertKey),
    /// An alert is over.
    Resolved(AlertKey),
    /// It fired and was over while no agent led, and is told now.
    ToldLate(AlertKey),
    /// The lease is in effect: its epoch, and how many incidents were open.
    Leading(u64, usize),
    /// The lease of this epoch is over.
    Following(u64),
    /// The ledger's entry of this path could not be understood; it is treated as absent.
    Unreadable(AlertKey),
    /// The ledger's entry of this path was not as expected; it is decided anew.
    Conflict(AlertKey),
    /// An entry could not be written, for this reason; no attempt is made until it is.
    NotWritten(AlertKey, String),
    /// An entry of a path that no rule knows was removed after a day.
    Collected(AlertKey),
    /// An attempt failed, and those before had not: the receiver's name and the reason.
    Down(Arc<str>, String),
    /// An attempt succeeded after so many that had not.
    Up(Arc<str>, u32),
    /// A receiver refused so many items for good: its name, how many, and the reason.
    Refused(Arc<str>, usize, String),
    /// A receiver refused a message of so many items, and gets them in halves: its name, how many, and the reason.
    Halved(Arc<str>, usize, String),
    /// A receiver could not be told of this path for a day; it is given up.
    GaveUp(Arc<str>, AlertKey),
    /// A receiver that has left the configuration was told of so many alerts, and nobody will be told of their end
    /// in its place: its name, how many, and the path of one.
    Dropped(Arc<str>, usize, AlertKey),
    /// A receiver took a message: its name, and what it was told.
    Told(Arc<str>, Tale),
}

/// What a message told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tale {
    /// How many alerts it told of that are out of spec, be it again.
    pub firing: usize,
    /// How many it told of that are over.
    pub over: usize,
    /// The first of them: the alert, what was told of it, and its incident.
    pub first: (AlertKey, Kind, Arc<str>),
}
