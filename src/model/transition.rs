//! What the evaluator tells the alert side, in the order in which it became known.

use std::sync::Arc;

use super::alert_key::AlertKey;
use super::children::{Counted, Left};
use super::judge::Course;
use super::ledger_change::LedgerChange;
use super::rule::{Rule, RuleSet};

/// One path was judged by one rule. Told when the judgement or its words change, and at the first reading of each session,
/// so that the alert side knows that what it holds is fresh.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The alert: the concrete path, and the rule's name.
    pub key: AlertKey,
    /// The rule it was judged by.
    pub rule: Arc<Rule>,
    /// The judgement.
    pub state: State,
    /// How many children it has, if that was read.
    pub children: Option<u32>,
    /// How their number has gone, if the rule asks for that.
    pub course: Option<Course>,
}

/// A judgement of a path. There is none for a path that cannot be read: nothing is told of it, and what the
/// alert side holds of it goes stale ([`EvaluatorOutput::Stale`], [`EvaluatorOutput::StaleAlert`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// In spec.
    Ok,
    /// Out of spec.
    Error {
        /// In these words.
        message: Arc<str>,
        /// Which children left since the path was last in spec.
        left: Left,
        /// What was counted of its children, if not each counts.
        counted: Option<Arc<Counted>>,
    },
}

/// Why a vanished match of a glob is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgetting {
    /// It has been in error for as long as its rule says.
    Expired,
    /// So many have vanished that there is no room for more.
    Crowded,
    /// Nothing was asked of it.
    Unasked,
}

/// What the evaluator tells.
#[derive(Clone, Debug)]
pub enum EvaluatorOutput {
    /// The rules are these from now on. Transitions of unchanged rules go on.
    Rules(Arc<RuleSet>),
    /// A path was judged.
    Transition(Transition),
    /// A vanished match of a glob is not watched for any more, for this reason: told of each of its alerts.
    Forgotten(AlertKey, Forgetting),
    /// The session is gone: all that was told before is stale until a new transition says otherwise.
    Stale,
    /// A path can no longer be read or judged by a rule: what was told of this alert is stale.
    StaleAlert(AlertKey),
    /// Entries of the alert ledger have come or gone, or may have. All that was read before has been told.
    LedgerChanged(LedgerChange),
    /// Everything that rang before the barrier was set has been told.
    Barrier(u64),
}
