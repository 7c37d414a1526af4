//! What a value within JSON data has to be.

use std::sync::Arc;

use super::compiled::Compiled;
use super::matcher::Matcher;
use super::violation::Violation;

/// What the value at one place of JSON data has to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JsonSpec {
    /// Where it stands.
    pub place: Compiled<Find>,
    /// What it has to be.
    pub wanted: Wanted,
}

/// Finds a value in data. It is made of a JSON Pointer (RFC 6901); an empty one is the whole document.
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// This, as JSON in the same way of writing it: `1` is not `"1"`.
    Equals(Arc<str>),
    /// A match of this regular expression, which sees what the value says.
    Matches(Compiled<Matcher>),
}

impl Compiled<Find> {
    /// What stands there in data, as JSON, and what that says; or what is wrong if there is nothing.
    pub(super) fn value(&self, data: &[u8]) -> Result<(Box<str>, Box<str>), Violation> {
        match (self.run)(data) {
            Found::Value { json, text } => Ok((json, text)),
            Found::NoJson => Err(Violation::NoJson),
            Found::Nothing => Err(Violation::NoValue { pointer: Arc::clone(&self.source), missing: false }),
        }
    }
}

impl JsonSpec {
    /// Judges data; `None` if the path is missing.
    pub(super) fn judge(&self, data: Option<&[u8]>) -> Option<Violation> {
        let pointer = Arc::clone(&self.place.source);
        let Some(data) = data else { return Some(Violation::NoValue { pointer, missing: true }) };
        let (found, text) = match self.place.value(data) {
            Ok(value) => value,
            Err(violation) => return Some(violation),
        };
        match &self.wanted {
            Wanted::Equals(equals) if *found != **equals => {
                Some(Violation::ValueDiffers { pointer, found, equals: Arc::clone(equals) })
            }
            Wanted::Matches(pattern) if !(pattern.run)(text.as_bytes()) => {
                Some(Violation::ValueMismatch { pointer, found, pattern: Arc::clone(&pattern.source) })
            }
            Wanted::Equals(_) | Wanted::Matches(_) => None,
        }
    }
}
