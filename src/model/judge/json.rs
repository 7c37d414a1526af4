//! What a value within JSON data has to be.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::matcher::Matcher;
use super::violation::Violation;

/// What the value at one place of JSON data has to be.
#[derive(Clone)]
pub struct JsonSpec {
    /// Where it stands, as a JSON Pointer (RFC 6901); empty is the whole document.
    pub pointer: Arc<str>,
    /// Finds it there. A function, so that the model needs no parser.
    pub find: Find,
    /// What it has to be.
    pub wanted: Wanted,
}

/// Finds a value in data.
pub type Find = Arc<dyn Fn(&[u8]) -> Found + Send + Sync>;

/// What stands at a place of JSON data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The data is not JSON.
    NoJson,
    /// Nothing: there is no such place.
    Nothing,
    /// A value.
    Value {
        /// It, as JSON in one way of writing it.
        json: Box<str>,
        /// What it says: text without its quotes, and all else as JSON.
        text: Box<str>,
    },
}

/// What a value has to be.
#[derive(Clone)]
pub enum Wanted {
    /// This, as JSON in the same way of writing it: `1` is not `"1"`.
    Equals(Arc<str>),
    /// A match of a regular expression, which sees what the value says.
    Matches {
        /// The expression as written.
        pattern: Arc<str>,
        /// Says whether text matches.
        matcher: Matcher,
    },
}

impl Wanted {
    /// What was written, which makes it what it is.
    fn written(&self) -> (bool, &str) {
        match self {
            Self::Equals(json) => (true, json),
            Self::Matches { pattern, .. } => (false, pattern),
        }
    }
}

impl fmt::Debug for JsonSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsonSpec").field(&self.pointer).field(&self.wanted.written()).finish()
    }
}

/// Two are the same if they were written the same.
impl PartialEq for JsonSpec {
    fn eq(&self, other: &Self) -> bool {
        (&self.pointer, self.wanted.written()) == (&other.pointer, other.wanted.written())
    }
}

impl Eq for JsonSpec {}

impl Hash for JsonSpec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.pointer, self.wanted.written()).hash(state);
    }
}

impl JsonSpec {
    /// Judges data; `None` if the path is missing.
    pub(super) fn judge(&self, data: Option<&[u8]>) -> Option<Violation> {
        let pointer = Arc::clone(&self.pointer);
        let Some(data) = data else { return Some(Violation::NoValue { pointer, missing: true }) };
        match ((self.find)(data), &self.wanted) {
            (Found::NoJson, _) => Some(Violation::NoJson),
            (Found::Nothing, _) => Some(Violation::NoValue { pointer, missing: false }),
            (Found::Value { json, .. }, Wanted::Equals(equals)) => {
                let equals = Arc::clone(equals);
                (*json != *equals).then_some(Violation::ValueDiffers { pointer, found: json, equals })
            }
            (Found::Value { json, text }, Wanted::Matches { pattern, matcher }) => {
                let pattern = Arc::clone(pattern);
                let matches = matcher(text.as_bytes());
                (!matches).then_some(Violation::ValueMismatch { pointer, found: json, pattern })
            }
        }
    }
}
