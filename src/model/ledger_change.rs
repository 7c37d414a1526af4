//! Which entries of the alert ledger came or went between two readings of its listing.
//!
//! A name that is in both may have gone and come again in between, and one that is in neither may have come and gone. But
//! ZooKeeper counts how often a znode got or lost a child (the `cversion` that it shows). Each name in which the readings
//! differ came or went once at least; so if there was no more coming and going than there are such names, those are
//! all.
//!
//! The list comes without the count, which is therefore read before it and behind it. From the earlier list to the later
//! there was at most as much coming and going as from the count before the one to the count behind the other.

use std::collections::BTreeSet;

use super::alert_key::AlertKey;
use super::children::Children;

/// What came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerChange {
    /// The entry of any alert may have.
    Any,
    /// The entries of these alerts, and no other. A rule's new name gives its alert's entry another name.
    Of(BTreeSet<AlertKey>),
    /// None did, but nobody watches the listing any more: from now on any may come and go unseen.
    Unwatched,
}

impl LedgerChange {
    /// What changed from one reading, if there was one, to a later one on the same session. `alert_of` finds the
    /// alert that an entry of this name is of.
    pub fn between(
        before: Option<&ReadListing>,
        after: &ReadListing,
        alert_of: impl Fn(&str) -> Option<AlertKey>,
    ) -> Self {
        let names = before.and_then(|before| after.since(before));
        names.and_then(|names| names.into_iter().map(alert_of).collect()).map_or(Self::Any, Self::Of)
    }

    /// Both changes as one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Of(mut alerts), Self::Of(more)) => {
                alerts.extend(more);
                Self::Of(alerts)
            }
            (Self::Unwatched, _) | (_, Self::Unwatched) => Self::Unwatched,
            (Self::Any, _) | (_, Self::Any) => Self::Any,
        }
    }
}

/// How often the ledger's znode got or lost a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The number of the transaction that made the znode: it counts from 0 again when it is made anew.
    pub made: i64,
    /// How often; it begins anew beyond 32 bits.
    pub changes: i32,
}

/// The ledger's listing, as it was read.
#[derive(Clone, Debug)]
pub struct ReadListing {
    /// What was counted before the names were read.
    pub before: Count,
    /// The names of the entries.
    pub names: Children,
    /// What was counted after that.
    pub after: Count,
}

impl ReadListing {
    /// Whether nothing came or went while it was read.
    pub fn is_sure(&self) -> bool {
        self.before == self.after
    }

    /// The names that came or went since an earlier reading; `None` if others may have as well.
    fn since<'a>(&'a self, earlier: &'a Self) -> Option<Vec<&'a str>> {
        let changes = self.after.changes.wrapping_sub(earlier.before.changes).cast_unsigned();
        let names = self.names.differing(&earlier.names);
        let are_all = self.after.made == earlier.before.made && usize::try_from(changes) == Ok(names.len());
        are_all.then_some(names)
    }
}

/// How often the names are read at a time at most, while entries come and go: what such a reading shows is of little use.
/// In a storm all are such.
const TRIES: u32 = 3;

/// Reads the listing: the count, then the names and the count until both counts are the same, a few times.
#[derive(Debug)]
pub struct ListingReader {
    before: Count,
    tries: u32,
}

impl ListingReader {
    /// Begins with a count.
    pub fn new(before: Count) -> Self {
        Self { before, tries: 0 }
    }

    /// Takes the names, and what was counted after that; gives the listing, unless both are to be read again.
    pub fn take(&mut self, names: Children, after: Count) -> Option<ReadListing> {
        let read = ReadListing { before: self.before, names, after };
        (self.before, self.tries) = (after, self.tries + 1);
        (read.is_sure() || self.tries == TRIES).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reading by which no entry came or went while it was made.
    fn read(changes: i32, names: &[&str]) -> ReadListing {
        let count = Count { made: 1, changes };
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        ReadListing { before: count, names: Children::new(names), after: count }
    }

    /// An entry is called after its path and its rule.
    fn alert_of(name: &str) -> Option<AlertKey> {
        let (path, rule) = name.split_once('@')?;
        Some(AlertKey { path: path.into(), name: Some(rule.into()) })
    }

    fn of(names: &[&str]) -> LedgerChange {
        LedgerChange::Of(names.iter().map(|name| alert_of(name).unwrap()).collect())
    }

    fn check(before: &ReadListing, after: &ReadListing, expected: &LedgerChange) {
        let change = LedgerChange::between(Some(before), after, alert_of);
        assert_eq!(change, *expected, "{before:?}, {after:?}");
    }

    #[test]
    fn what_came_and_went_is_told_by_its_alerts() {
        check(&read(7, &["a@", "b@", "c@"]), &read(9, &["a@", "c@", "d@"]), &of(&["b@", "d@"]));
        check(&read(7, &["a@x"]), &read(9, &["a@y"]), &of(&["a@x", "a@y"]));
        check(&read(0, &[]), &read(1, &["a@"]), &of(&["a@"]));
        check(&read(1, &["a@"]), &read(2, &[]), &of(&["a@"]));
        check(&read(5, &["a@"]), &read(5, &["a@"]), &of(&[]));
        check(&read(i32::MAX, &["a@"]), &read(i32::MIN + 1, &["b@"]), &of(&["a@", "b@"]));
    }

    #[test]
    fn what_may_have_come_and_gone_unseen_may_be_of_any_path() {
        let any = &LedgerChange::Any;
        // Gone and come again, or come and gone.
        check(&read(5, &["a@"]), &read(7, &["a@"]), any);
        check(&read(5, &["a@"]), &read(8, &["a@", "b@"]), any);
        check(&read(i32::MAX - 1, &["a@"]), &read(i32::MIN, &["a@"]), any);
        // The znode itself was made anew.
        let anew = Count { made: 2, changes: 1 };
        check(&read(1, &["a@"]), &ReadListing { before: anew, after: anew, ..read(1, &["a@"]) }, any);
        // While the names were read, be it before or after.
        let ahead = |count: Count| Count { changes: count.changes + 1, ..count };
        let (first, second) = (read(5, &["a@"]), read(6, &["a@", "b@"]));
        check(&first, &ReadListing { after: ahead(second.after), ..second.clone() }, any);
        let earlier = Count { changes: 4, ..first.before };
        check(&ReadListing { before: earlier, ..first.clone() }, &second, any);
        // What comes behind the names alone is in the next ones.
        check(&ReadListing { after: ahead(first.after), ..first }, &second, &of(&["b@"]));
        // A name that is none of ours.
        check(&read(5, &["a@"]), &read(6, &["a@", "stray"]), any);
        assert_eq!(LedgerChange::between(None, &read(0, &[]), alert_of), *any);
    }

    #[test]
    fn names_are_read_again_while_entries_come_and_go() {
        let count = |changes| Count { made: 1, changes };
        let names = || Children::new(vec!["a@".to_owned()]);
        let mut reader = ListingReader::new(count(5));
        assert!(reader.take(names(), count(6)).is_none());
        let read = reader.take(names(), count(6)).unwrap();
        assert_eq!((read.before, read.after, read.is_sure()), (count(6), count(6), true));
        let mut reader = ListingReader::new(count(5));
        assert!(reader.take(names(), count(6)).is_none() && reader.take(names(), count(7)).is_none());
        let read = reader.take(names(), count(8)).unwrap();
        assert_eq!((read.before, read.after, read.is_sure()), (count(7), count(8), false));
    }

    #[test]
    fn two_changes_are_one() {
        assert_eq!(of(&["a@"]).and(of(&["a@", "b@"])), of(&["a@", "b@"]));
        for (one, other) in [(of(&["a@"]), LedgerChange::Any), (LedgerChange::Any, of(&["a@"]))] {
            assert_eq!(one.and(other), LedgerChange::Any);
        }
    }
}
