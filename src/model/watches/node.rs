//! One znode of the table.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use super::debts::{Debt, Debts};
use super::globs::Site;
use super::kept::{Extent, Kept};
use crate::model::children::Children;
use crate::model::judge::{EachChild, Needs};
use crate::model::reading::Reading;

/// A second, counted from the start; the first is 1.
pub(super) type Second = NonZeroU32;

/// What is wanted of a znode that is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The children, and a watch on them.
    pub children: bool,
    /// What to read of each of them.
    pub each_child: EachChild,
    /// The data, and a watch on it.
    pub data: bool,
    /// What to do about its creation, if it is missing.
    pub creation: Creation,
}

/// What to do about the creation of a znode that is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Creation {
    /// Nothing: a listing tells if it comes back.
    #[default]
    Ignore,
    /// Leave a watch for it.
    Watch,
    /// Take back the watch that an earlier reading left, or servers would keep it as long as the session lives.
    Unwatch,
    /// The same for a znode that is known to be missing: nothing is read. Had it come back, an event or a listing
    /// would tell.
    Dismiss,
}

impl Wants {
    /// Whether a reading made for `self` also answers `other`.
    pub fn cover(self, other: Self) -> bool {
        let creation = match (self.creation, other.creation) {
            (Creation::Watch, _) => true,
            (Creation::Ignore | Creation::Unwatch, other) => other != Creation::Watch,
            (Creation::Dismiss, other) => other == Creation::Dismiss,
        };
        let parts = (self.children || !other.children) && (self.data || !other.data);
        parts && self.each_child >= other.each_child && creation
    }
}

/// What the last reading of this session showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Seen {
    #[default]
    Nothing,
    Missing,
    Present,
    Unreadable,
}

/// What a reading is asked for.
#[derive(Debug)]
pub(super) struct Cause {
    /// What the reading pays.
    pub(super) debt: Debt,
    /// When the event came, if it was one.
    pub(super) rang: Option<Instant>,
    /// How much of the znode may have changed.
    pub(super) extent: Extent,
}

impl Cause {
    /// One reading that serves both.
    pub(super) fn merged(self, later: Self, debts: &mut Debts) -> Self {
        let debt = debts.merge(self.debt, later.debt);
        Self { debt, rang: self.rang.or(later.rang), extent: self.extent.merged(later.extent) }
    }
}

/// A reading that is under way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ticket: u64,
    pub(super) wants: Wants,
    /// What it is for; `None` is to verify what is known, which pays nothing.
    pub(super) cause: Option<Cause>,
    /// What came while it was under way, so that another has to follow.
    pub(super) again: Option<Cause>,
}

impl Asked {
    /// What the reading is for that takes the place of this one and of the one that was to follow.
    pub(super) fn into_cause(self, debts: &mut Debts) -> Option<Cause> {
        match (self.cause, self.again) {
            (Some(cause), Some(again)) => Some(cause.merged(again, debts)),
            (cause, again) => cause.or(again),
        }
    }
}

/// One znode of the table.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// What its rules need, if it has any.
    pub(super) needs: Option<Needs>,
    /// Named by a rule, or where a glob begins: watched whether it exists or not.
    pub(super) rooted: bool,
    /// By how many listings a glob leads here.
    pub(super) leads: u32,
    pub(super) seen: Seen,
    /// Whether a reading may have left a watch for its creation that has not fired. A reading that was asked for counts,
    /// whether it is accepted or not.
    pub(super) is_awaited: bool,
    /// Whether a reading that was asked for in this session may have left watches on what its children hold. They stay
    /// when its rule asks for less.
    pub(super) hears_children: bool,
    /// What the last reading of this session was made for.
    pub(super) covered: Wants,
    /// How often it could not be read, one after the other.
    pub(super) failures: u8,
    /// When it was read last, if ever.
    pub(super) read_at: Option<Second>,
    /// When it is to be verified, if that is decided.
    pub(super) due: Option<Second>,
    /// A hash of the last reading.
    pub(super) digest: u64,
    pub(super) asked: Option<Box<Asked>>,
    /// What the last reading of this session showed of its children, if each has a watch on what it holds.
    pub(super) kept: Option<Arc<Kept>>,
    pub(super) unfolds: Option<Box<Unfolds>>,
}

/// What globs make of a znode's children.
#[derive(Debug, Default)]
pub(super) struct Unfolds {
    /// Never empty, but while the table is made anew.
    pub(super) sites: Vec<Site>,
    /// The children as last read; `None` if they were not read for this yet.
    pub(super) listing: Option<Children>,
    /// Why they could not be read last, if that is so.
    pub(super) refusal: Option<Arc<str>>,
}

/// What a reading changed of a znode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted {
    /// It differs from the last one of this session, or there was none.
    pub(super) changed: bool,
    /// It differs from one that was made for the same, and that left watches: an event has told of it, or should have.
    pub(super) moved: bool,
    /// Whether, or why, the children cannot be listed is otherwise than before.
    pub(super) refusal_changed: bool,
}

impl Node {
    /// What is wanted of it. Of an orphan it matters whether a listing would tell if it came back.
    pub(super) fn wants(&self, listing_tells: bool) -> Wants {
        let Needs { children, each_child, data } = self.needs.unwrap_or_default();
        let creation = match (self.is_orphan() && listing_tells, self.is_awaited, self.seen) {
            (false, _, _) => Creation::Watch,
            (true, true, Seen::Missing) => Creation::Dismiss,
            (true, true, _) => Creation::Unwatch,
            (true, false, _) => Creation::Ignore,
        };
        let children = children || each_child != EachChild::Nothing || self.unfolds.is_some();
        Wants { children, each_child, data, creation }
    }

    /// Whether its last reading says all that is wanted of it.
    pub(super) fn is_covered(&self) -> bool {
        let unfolded = self.unfolds.as_ref().is_none_or(|unfolds| unfolds.listing.is_some());
        // An orphan's watch is taken back when it is verified, at the latest.
        self.seen != Seen::Nothing && self.covered.cover(self.wants(true)) && unfolded
    }

    /// Whether its last reading, or one that is under way, may have left a watch on what a child of this name holds.
    pub(super) fn may_watch(&self, name: &str) -> bool {
        let all = self.covered.each_child == EachChild::Data && self.seen == Seen::Present;
        self.asked.is_some() || self.kept.as_ref().map_or(all, |kept| kept.has(name))
    }

    /// Whether nothing but its having been a match keeps it: it is neither rooted nor led.
    pub(super) fn is_orphan(&self) -> bool {
        !self.rooted && self.leads == 0
    }

    /// Remembers a reading.
    pub(super) fn note(&mut self, reading: &Reading, wants: Wants, second: Second) -> Noted {
        let mut hasher = DefaultHasher::new();
        reading.hash(&mut hasher);
        let digest = hasher.finish();
        let changed = self.seen == Seen::Nothing || digest != self.digest;
        let same = Wants { creation: wants.creation, ..self.covered } == wants;
        let moved = changed && same && matches!(self.seen, Seen::Missing | Seen::Present);
        (self.digest, self.covered, self.read_at) = (digest, wants, Some(second));
        self.seen = match reading {
            Reading::Missing => Seen::Missing,
            Reading::Present { .. } => Seen::Present,
            Reading::Shut(_) | Reading::Unreadable(_) => Seen::Unreadable,
        };
        self.is_awaited = self.seen == Seen::Missing && wants.creation == Creation::Watch
            || self.seen == Seen::Unreadable && self.is_awaited;
        self.failures = if self.seen == Seen::Unreadable { self.failures.saturating_add(1) } else { 0 };
        let reason = reading.refusal().cloned();
        let refusal_changed = match &mut self.unfolds {
            Some(unfolds) => std::mem::replace(&mut unfolds.refusal, reason.clone()) != reason,
            None => false,
        };
        Noted { changed, moved, refusal_changed }
    }

    /// The session is over: what was read may have changed, and what was asked is not answered.
    pub(super) fn forget_session(&mut self) {
        (self.seen, self.asked, self.failures) = (Seen::Nothing, None, 0);
        (self.is_awaited, self.hears_children, self.kept) = (false, false, None);
        if let Some(unfolds) = &mut self.unfolds {
            unfolds.refusal = None;
        }
    }
}
