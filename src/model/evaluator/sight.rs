//! How far an evaluator sees: what is known of a path counts for as long as the session lasts in which it was read.

use std::sync::Arc;

use super::judged::{Judged, Judgement};
use super::path::Path;
use crate::model::one_or_many::OneOrMany;
use crate::model::path_status::{Particulars, PathState, PathStatus};

#[derive(Debug)]
pub(super) struct Sight {
    /// Counts sessions, so that a judgement tells by a number whether it is of this one.
    pub session: u32,
    /// Why there is no session, while there is none.
    pub down: Option<Arc<str>>,
    /// What is said of those never read, and of those that were in spec: a hundred thousand paths share it.
    unread: [Arc<str>; 2],
}

impl Sight {
    /// Nothing was read yet.
    pub fn new() -> Self {
        Self { session: 0, down: None, unread: unread(None) }
    }

    /// A session has begun.
    pub fn open(&mut self) {
        *self = Self { session: self.session + 1, down: None, unread: unread(None) };
    }

    /// The session is over.
    pub fn close(&mut self, reason: Arc<str>) {
        *self = Self { unread: unread(Some(&reason)), down: Some(reason), ..*self };
    }

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
        let [never, in_spec] = &self.unread;
        PathState::Unknown(match &judged.judgement {
            Judgement::None => Arc::clone(never),
            Judgement::Ok => Arc::clone(in_spec),
            Judgement::Error(words) => not_read(self.down.as_deref(), Some(words)),
        })
    }
}

fn unread(down: Option<&str>) -> [Arc<str>; 2] {
    [None, Some("in spec")].map(|last| not_read(down, last))
}

/// Why nothing is known of a path by now, and what was known of it last.
fn not_read(down: Option<&str>, last: Option<&str>) -> Arc<str> {
    match (down, last) {
        (None, None) => "not read yet".into(),
        (None, Some(last)) => format!("not read yet since the reconnect; last known: {last}").into(),
        (Some(reason), None) => format!("connection to ZooKeeper lost ({reason}); never read").into(),
        (Some(reason), Some(last)) => {
            format!("connection to ZooKeeper lost ({reason}); last known: {last}").into()
        }
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
