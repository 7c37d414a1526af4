//! What the data of a znode has to be.

use std::sync::Arc;

use super::compiled::Compiled;
use super::json::JsonSpec;
use super::matcher::Matcher;
use super::violation::Violation;

/// What the data of a znode has to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DataSpec {
    /// These very bytes.
    Equals(Arc<str>),
    /// A match of this regular expression.
    Matches(Compiled<Matcher>),
    /// JSON, with a value in it that is as it has to be.
    Json(JsonSpec),
}

impl DataSpec {
    pub(super) fn judge(&self, found: Option<&[u8]>) -> Option<Violation> {
        let owned = || found.map(Into::into);
        match self {
            Self::Equals(equals) if found != Some(equals.as_bytes()) => {
                Some(Violation::DataDiffers { found: owned(), equals: Arc::clone(equals) })
            }
            Self::Matches(pattern) if !found.is_some_and(|data| (pattern.run)(data)) => {
                Some(Violation::DataMismatch { found: owned(), pattern: Arc::clone(&pattern.source) })
            }
            Self::Json(spec) => spec.judge(found),
            Self::Equals(_) | Self::Matches(_) => None,
        }
    }
}
