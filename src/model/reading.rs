//! What was seen of one znode.

use std::sync::Arc;
use std::time::SystemTime;

use super::children::Children;

/// What a reading of one path showed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reading {
    /// There is no such znode.
    Missing,
    /// The znode exists. A part that its rule does not ask for is `None`.
    Present {
        /// The names of its children.
        children: Option<Children>,
        /// What was read of each of them.
        each: EachRead,
        /// Its data, and when that was written.
        data: Option<Written>,
    },
    /// The znode exists, and the server does not show what is in it, for this reason.
    Shut(Arc<str>),
    /// The server does not show it, for this reason.
    Unreadable(Arc<str>),
}

impl Reading {
    /// Why the server does not show what is there.
    pub fn refusal(&self) -> Option<&Arc<str>> {
        match self {
            Self::Shut(reason) | Self::Unreadable(reason) => Some(reason),
            Self::Missing | Self::Present { .. } => None,
        }
    }
}

/// What was read of each child of a znode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum EachRead {
    /// Nothing: no rule asks for it.
    #[default]
    Unasked,
    /// There are more than [`EachRead::MOST`], so that none was read.
    TooMany,
    /// This, of those that were there when they were read; by name.
    Read(Box<[ChildReading]>),
    /// What the journal holds of it, for a replay: what was made then of all that is no number.
    Recorded(Box<[RecordedRule]>),
}

/// What one rule made of the content of a znode that is there. The journal holds this in the place of the content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordedRule {
    /// The rule's name.
    pub name: Option<Arc<str>>,
    /// How many children it counted, unless it counts each or could not tell.
    pub counted: Option<u32>,
    /// Whether the names, the data and its age were as they have to be, if it asks for that and could tell.
    pub content: Option<bool>,
}

/// A reading as the journal holds it: without content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Recorded {
    /// There is no such znode.
    Missing,
    /// The server does not show it, for this reason.
    Unreadable(Arc<str>),
    /// The znode exists.
    Present {
        /// How many children it has, if that was read.
        children: Option<u32>,
        /// A digest of its data, if that was read.
        data: Option<u64>,
        /// What those of its rules made of it that ask for more than numbers.
        rules: Box<[RecordedRule]>,
    },
}

impl Recorded {
    /// What was read, as far as that is known: to be judged again.
    pub fn reading(&self) -> Reading {
        match self {
            Self::Missing => Reading::Missing,
            Self::Unreadable(reason) => Reading::Unreadable(Arc::clone(reason)),
            Self::Present { children, data: _, rules } => Reading::Present {
                children: children.map(Children::unnamed),
                each: EachRead::Recorded(rules.clone()),
                data: None,
            },
        }
    }
}

impl EachRead {
    /// How many children of one znode are read at most: as many calls take a second.
    pub const MOST: u32 = 10_000;
    /// How many bytes of their data are kept at most, all children of one znode together. ZooKeeper would let ten
    /// thousand of them hold ten gigabytes.
    pub const MOST_BYTES: usize = 16 * 1024 * 1024;
}

/// What was read of one child.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChildReading {
    /// Its name.
    pub name: Box<str>,
    /// What it is, or why it could not be read.
    pub znode: Result<ChildZnode, Arc<str>>,
}

/// A child that could be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChildZnode {
    /// Whether it goes with the session that made it.
    pub ephemeral: bool,
    /// What was written last, if a rule asks for that: only then there is a watch that tells of the next write.
    pub written: Option<Written>,
}

/// What was written last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Written {
    /// When, by the clock of the ZooKeeper server that led then, to the millisecond.
    pub at: SystemTime,
    /// The data.
    pub data: Box<[u8]>,
}
