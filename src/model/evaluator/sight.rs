//! How far an evaluator sees: what is known of a path counts for as long as the session lasts in which it was read.

use std::sync::Arc;

use super::judged::{Judged, Judgement};
use super::path::Path;
use crate::model::one_or_many::OneOrMany;
use crate::model::path_status::{Particulars, PathState, PathStatus};

#[derive(Debug, Default)]
pub(super) struct Sight {
    /// Counts sessions, so that a judgement tells by a number whether it is of this one.
    pub session: u32,
    /// Why there is no session, while there is none.
    pub down: Option<Arc<str>>,
}

impl Sight {
    /// Whether it was read in the session that is up.
    pub fn is_fresh(&self, known: &Path) -> bool {
        self.down.is_none() && self.session > 0 && known.session == self.session
    }

    /// How a path stands.
    pub fn status(&self, path: &Arc<str>, known: &Path) -> PathStatus {
        let states = known.rules.map(|judged| self.state(known, judged));
        let particulars = known.particulars(&states);
        PathStatus {
            path: Arc::clone(path),
            rule: Arc::clone(&known.rules.first().rule.path),
            since: known.since(&states),
            state: sum(&states),
            children: known.children,
            particulars: (particulars != Particulars::default()).then(|| Box::new(particulars)),
        }
    }

    /// How it stands by one of its rules.
    fn state(&self, known: &Path, judged: &Judged) -> PathState {
        if self.is_fresh(known) {
            return judged.fresh_state();
        }
        let last = match &judged.judgement {
            Judgement::None => None,
            Judgement::Ok => Some("in spec"),
            Judgement::Error(words) => Some(&**words),
        };
        PathState::Unknown(match (&self.down, last) {
            (None, None) => "not read yet".into(),
            (None, Some(last)) => format!("not read yet since the reconnect; last known: {last}").into(),
            (Some(reason), None) => format!("connection to ZooKeeper lost ({reason}); never read").into(),
            (Some(reason), Some(last)) => {
                format!("connection to ZooKeeper lost ({reason}); last known: {last}").into()
            }
        })
    }
}

/// How a path stands by all of its rules: out of spec if it is by any, and known to be in spec if it is by all.
fn sum(states: &OneOrMany<PathState>) -> PathState {
    if let OneOrMany::One(state) = states {
        return state.clone();
    }
    let (mut errors, mut unknowns) = (Vec::new(), Vec::new());
    for state in states.iter() {
        match state {
            PathState::Ok => {}
            PathState::Error(words) => errors.push(&**words),
            // What cannot be read is so for all rules.
            PathState::Unknown(words) if unknowns.contains(&&**words) => {}
            PathState::Unknown(words) => unknowns.push(&**words),
        }
    }
    match (&errors[..], &unknowns[..]) {
        ([], []) => PathState::Ok,
        ([], unknowns) => PathState::Unknown(unknowns.join("; ").into()),
        (errors, _) => PathState::Error(errors.join("; ").into()),
    }
}
