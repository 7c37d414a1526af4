//! The names of a znode's children, packed.

/// The sorted names of a znode's children.
///
/// They are kept in one string, since a name can hold no `/`: a hundred thousand paths with a few children
/// each would otherwise spend most of the daemon's memory on small allocations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Children {
    joined: Box<str>,
    count: u32,
}

impl Children {
    /// Packs the names, in any order.
    pub fn new(mut names: Vec<String>) -> Self {
        names.sort_unstable();
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
        Self { joined: names.join("/").into_boxed_str(), count }
    }

    /// So many, whose names are not known.
    pub fn unnamed(count: u32) -> Self {
        Self { joined: Box::default(), count }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.joined.split('/').take(self.count as usize)
    }

    /// The names that one has and the other has not, in order.
    pub fn differing<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let (mut own, mut others) = (self.names().peekable(), other.names().peekable());
        let mut differing = Vec::new();
        while let Some(next) = own.peek().into_iter().chain(others.peek()).min().copied() {
            if own.next_if_eq(&next).is_some() != others.next_if_eq(&next).is_some() {
                differing.push(next);
            }
        }
        differing
    }
}

/// Which children left since a path was last in spec: some names, and how many there are in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// At most [`Left::NAMES`] names, in order.
    pub names: Vec<String>,
    /// How many left in all.
    pub count: u32,
}

impl Left {
    /// How many names an alert may hold: more would bury the message.
    pub const NAMES: usize = 20;

    /// What is in `before` and no longer in `after`.
    pub fn between(before: &Children, after: &Children) -> Self {
        let mut left = Self::default();
        let mut after = after.names().peekable();
        for name in before.names() {
            while after.next_if(|other| *other < name).is_some() {}
            if after.peek() == Some(&name) {
                continue;
            }
            left.count += 1;
            if left.names.len() < Self::NAMES {
                left.names.push(name.to_owned());
            }
        }
        left
    }
}

/// What was counted of a znode's children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many count.
    pub counted: u32,
    /// Of how many.
    pub of: u32,
    /// Some of the others: at most ten.
    pub ignored: Box<[Ignored]>,
}

/// A child that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Its name.
    pub name: Box<str>,
    /// Why it does not count, in words.
    pub reason: Box<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn children(names: &[&str]) -> Children {
        Children::new(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn names_come_back_sorted() {
        let packed = children(&["b", "c", "a"]);
        assert_eq!((packed.count(), packed.names().collect::<Vec<_>>()), (3, vec!["a", "b", "c"]));
        assert_eq!((children(&[]).count(), children(&[]).names().count()), (0, 0));
    }

    #[test]
    fn left_is_the_difference() {
        let check = |before: &[&str], after: &[&str], expected: &[&str]| {
            let left = Left::between(&children(before), &children(after));
            assert_eq!(
                (left.names, left.count as usize),
                (expected.iter().map(|n| (*n).to_owned()).collect(), expected.len())
            );
        };
        check(&["a", "b", "c"], &["b"], &["a", "c"]);
        check(&["a"], &["a", "b"], &[]);
        check(&["a", "b"], &[], &["a", "b"]);
        check(&[], &["a"], &[]);
        check(&["b"], &["a", "c"], &["b"]);
    }

    #[test]
    fn left_names_are_bounded() {
        let before: Vec<String> = (0..1000).map(|n| format!("{n:04}")).collect();
        let left = Left::between(&Children::new(before), &Children::default());
        assert_eq!((left.names.len(), left.count), (Left::NAMES, 1000));
    }
}
