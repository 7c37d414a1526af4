//! A bound on the number of children.

use super::violation::Violation;

/// A bound on the number of children, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bounds {
    /// At least and at most.
    Range {
        /// The least that is in spec.
        min: Option<u32>,
        /// The most that is in spec.
        max: Option<u32>,
    },
    /// Exactly.
    Equals(u32),
}

impl Bounds {
    pub(super) fn judge(self, found: u32, missing: bool) -> Option<Violation> {
        match self {
            Self::Range { min: Some(min), .. } if found < min => {
                Some(Violation::TooFew { found, min, missing })
            }
            Self::Range { max: Some(max), .. } if found > max => Some(Violation::TooMany { found, max }),
            Self::Equals(equals) if found != equals => Some(Violation::NotEqual { found, equals, missing }),
            Self::Range { .. } | Self::Equals(_) => None,
        }
    }
}
