//! Which children have to be there.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::violation::Violation;
use crate::model::children::Children;

/// The names of children that have to be there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Include(pub BTreeSet<Arc<str>>);

impl Include {
    /// How many names a message holds at most.
    pub const NAMED: usize = 10;

    /// Judges the children; `None` if the path is missing.
    pub(super) fn judge(&self, children: Option<&Children>) -> Option<Violation> {
        // Both are in order, so one walk compares them.
        let mut there = children.into_iter().flat_map(Children::names).peekable();
        let mut absent = self.0.iter().filter(|name| {
            while there.next_if(|other| *other < &***name).is_some() {}
            there.peek() != Some(&&***name)
        });
        let named: Vec<_> = absent.by_ref().take(Self::NAMED).cloned().collect();
        let more = absent.count();
        (!named.is_empty()).then_some(Violation::Lacking { named, more, missing: children.is_none() })
    }
}
