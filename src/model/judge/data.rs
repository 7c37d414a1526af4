//! What the data of a znode has to be.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::discriminant;
use std::sync::Arc;

use super::json::JsonSpec;
use super::matcher::Matcher;
use super::violation::Violation;

/// What the data of a znode has to be.
#[derive(Clone)]
pub enum DataSpec {
    /// These very bytes.
    Equals(Arc<str>),
    /// A match of a regular expression.
    Matches {
        /// The expression as written.
        pattern: Arc<str>,
        /// Says whether data matches. A function, so that the model needs no expression engine.
        matcher: Matcher,
    },
    /// JSON, with a value in it that is as it has to be.
    Json(JsonSpec),
}

impl fmt::Debug for DataSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(text) => f.debug_tuple("Equals").field(text).finish(),
            Self::Matches { pattern, .. } => f.debug_tuple("Matches").field(pattern).finish(),
            Self::Json(spec) => spec.fmt(f),
        }
    }
}

/// Two specs are the same if they were written the same: a regular expression is its pattern.
impl PartialEq for DataSpec {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Equals(a), Self::Equals(b)) => a == b,
            (Self::Matches { pattern: a, .. }, Self::Matches { pattern: b, .. }) => a == b,
            (Self::Json(a), Self::Json(b)) => a == b,
            (Self::Equals(_) | Self::Matches { .. } | Self::Json(_), _) => false,
        }
    }
}

impl Eq for DataSpec {}

impl Hash for DataSpec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        discriminant(self).hash(state);
        match self {
            Self::Equals(text) => text.hash(state),
            Self::Matches { pattern, .. } => pattern.hash(state),
            Self::Json(spec) => spec.hash(state),
        }
    }
}

impl DataSpec {
    pub(super) fn judge(&self, found: Option<&[u8]>) -> Option<Violation> {
        let owned = || found.map(Into::into);
        match self {
            Self::Equals(equals) if found != Some(equals.as_bytes()) => {
                Some(Violation::DataDiffers { found: owned(), equals: Arc::clone(equals) })
            }
            Self::Matches { pattern, matcher } if !found.is_some_and(|data| matcher(data)) => {
                Some(Violation::DataMismatch { found: owned(), pattern: Arc::clone(pattern) })
            }
            Self::Json(spec) => spec.judge(found),
            Self::Equals(_) | Self::Matches { .. } => None,
        }
    }
}
