//! A list that is never empty, and hardly ever has more than one item.

/// At least one item. One takes no memory of its own: nearly every path has one rule, and there are a hundred thousand
/// of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OneOrMany<T> {
    /// Just one.
    One(T),
    /// The first, and those after it.
    Many(Box<(T, Vec<T>)>),
}

impl<T> OneOrMany<T> {
    /// The first.
    pub fn first(&self) -> &T {
        match self {
            Self::One(one) => one,
            Self::Many(many) => &many.0,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        1 + self.others().len()
    }

    /// Puts one more behind the others.
    #[must_use]
    pub fn with(self, item: T) -> Self {
        match self {
            Self::One(first) => Self::Many(Box::new((first, vec![item]))),
            Self::Many(mut many) => {
                many.1.push(item);
                Self::Many(many)
            }
        }
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(self.first()).chain(self.others())
    }

    /// The items in order, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let (first, others) = match self {
            Self::One(one) => (one, [].iter_mut()),
            Self::Many(many) => (&mut many.0, many.1.iter_mut()),
        };
        std::iter::once(first).chain(others)
    }

    /// As many, each made of one of these.
    pub fn map<U>(&self, mut make: impl FnMut(&T) -> U) -> OneOrMany<U> {
        match self {
            Self::One(one) => OneOrMany::One(make(one)),
            Self::Many(many) => {
                let first = make(&many.0);
                OneOrMany::Many(Box::new((first, many.1.iter().map(make).collect())))
            }
        }
    }

    fn others(&self) -> &[T] {
        match self {
            Self::One(_) => &[],
            Self::Many(many) => &many.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list_that_is_never_empty() {
        let one = OneOrMany::One(1);
        assert_eq!((one.count(), *one.first(), one.iter().count()), (1, 1, 1));
        let mut three = one.with(2).with(3);
        assert_eq!((three.count(), *three.first()), (3, 1));
        three.iter_mut().for_each(|item| *item *= 10);
        assert_eq!(three.iter().copied().collect::<Vec<_>>(), [10, 20, 30]);
        assert_eq!(three.map(|item| item + 1), OneOrMany::One(11).with(21).with(31));
        assert_eq!(OneOrMany::One(7).map(|item| item + 1), OneOrMany::One(8));
    }

    #[test]
    fn one_takes_no_more_than_a_word_beside_the_item() {
        assert!(size_of::<OneOrMany<Box<u8>>>() <= 2 * size_of::<usize>());
    }
}
