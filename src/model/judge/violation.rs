//! The ways of being out of spec.

use std::sync::Arc;
use std::time::Duration;

use super::drop::DropSpec;

/// One way of being out of spec; [`crate::model::message`] has the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Fewer children than the minimum.
    TooFew {
        /// How many there are that count.
        found: u32,
        /// Of how many, if not each counts.
        of: Option<u32>,
        /// How many there must be.
        min: u32,
        /// Whether the path itself is missing.
        missing: bool,
    },
    /// More children than the maximum.
    TooMany {
        /// How many there are that count.
        found: u32,
        /// Of how many, if not each counts.
        of: Option<u32>,
        /// How many there may be.
        max: u32,
    },
    /// Another number of children than the one wanted.
    NotEqual {
        /// How many there are that count.
        found: u32,
        /// Of how many, if not each counts.
        of: Option<u32>,
        /// How many there must be.
        equals: u32,
        /// Whether the path itself is missing.
        missing: bool,
    },
    /// Too far below the most that was seen lately.
    Dropped {
        /// How many there are.
        found: u32,
        /// The most that there were.
        most: u32,
        /// What is asked.
        spec: DropSpec,
        /// Whether the path itself is missing.
        missing: bool,
    },
    /// The path has to exist.
    Missing,
    /// The path must not exist.
    Exists,
    /// The data is not what it has to be.
    DataDiffers {
        /// The data found; `None` if the path is missing.
        found: Option<Box<[u8]>>,
        /// The data wanted.
        equals: Arc<str>,
    },
    /// The data does not match.
    DataMismatch {
        /// The data found; `None` if the path is missing.
        found: Option<Box<[u8]>>,
        /// The expression that it has to match.
        pattern: Arc<str>,
    },
    /// Children are missing that have to be there.
    Lacking {
        /// The first of them by name.
        named: Vec<Arc<str>>,
        /// How many there are beside those.
        more: usize,
        /// Whether the path itself is missing.
        missing: bool,
    },
    /// What is there was written too long ago.
    TooOld {
        /// How long ago.
        age: Duration,
        /// How long ago it may have been.
        max: Duration,
    },
    /// Its content was not what it has to be when it was read, which is all that the journal holds.
    Recorded,
    /// The data has to be JSON.
    NoJson,
    /// The data has no such value.
    NoValue {
        /// Where it should stand.
        pointer: Arc<str>,
        /// Whether the path itself is missing.
        missing: bool,
    },
    /// A value of the data is not what it has to be.
    ValueDiffers {
        /// Where it stands.
        pointer: Arc<str>,
        /// It, as JSON.
        found: Box<str>,
        /// The value wanted, as JSON.
        equals: Arc<str>,
    },
    /// A value of the data does not match.
    ValueMismatch {
        /// Where it stands.
        pointer: Arc<str>,
        /// It, as JSON.
        found: Box<str>,
        /// The expression that what it says has to match.
        pattern: Arc<str>,
    },
}
