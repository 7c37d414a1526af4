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
    /// The server does not show it, for this reason.
    Unreadable(Arc<str>),
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
