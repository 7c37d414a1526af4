//! What has to be read of a znode.

/// What has to be read of a znode to judge a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The list of children.
    pub children: bool,
    /// What has to be read of each of them; anything but nothing asks for their list.
    pub each_child: EachChild,
    /// The data.
    pub data: bool,
}

impl Needs {
    /// What serves both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            children: self.children || other.children,
            each_child: self.each_child.max(other.each_child),
            data: self.data || other.data,
        }
    }
}

/// What has to be read of each child. What is greater includes what is less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum EachChild {
    /// Nothing: its name says all.
    #[default]
    Nothing,
    /// What never changes as long as it exists.
    Stat,
    /// That and what was written last; a watch is left that tells of the next write.
    Data,
}
