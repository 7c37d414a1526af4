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
    /// `of` is how many there are, if not all were counted.
    pub(super) fn judge(self, found: u32, of: Option<u32>, missing: bool) -> Option<Violation> {
        match self {
            Self::Range { min: Some(min), .. } if found < min => {
                Some(Violation::TooFew { found, of, min, missing })
            }
            Self::Range { max: Some(max), .. } if found > max => Some(Violation::TooMany { found, of, max }),
            Self::Equals(equals) if found != equals => {
                Some(Violation::NotEqual { found, of, equals, missing })
            }
            Self::Range { .. } | Self::Equals(_) => None,
        }
    }
}
