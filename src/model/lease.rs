//! How far the alert side is with the lease that it was granted, and how long the session can be on which it rests.

use std::time::Duration;

/// The longest session timeout that an agent asks for.
pub const LONGEST_SESSION: Duration = Duration::from_secs(3600);

/// The stage of the lease that was granted last. Written by the alert thread, which alone decides that a lease has lapsed,
/// and for good. A lease lapses by the clock, and an acknowledged write that comes just then prolongs it: two threads
/// that looked for themselves could see differently, and an agent would go on leading that sends nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaseStage {
    /// None was granted, or it was taken back.
    #[default]
    None,
    /// The one of this epoch was granted, and its barrier has yet to arrive.
    Granted(u64),
    /// Alerts are sent under it.
    InEffect(u64),
    /// It ran out, whatever is acknowledged after that.
    Lapsed(u64),
}

impl LeaseStage {
    /// The epoch of the lease that may yet lapse.
    pub fn held(self) -> Option<u64> {
        match self {
            Self::Granted(epoch) | Self::InEffect(epoch) => Some(epoch),
            Self::None | Self::Lapsed(_) => None,
        }
    }

    /// The stage by now: whether the lease that is held holds by the clock, and the epoch under which alerts are sent.
    #[must_use]
    pub fn advance(self, holds: bool, sending: Option<u64>) -> Self {
        match self {
            Self::Granted(epoch) | Self::InEffect(epoch) if !holds => Self::Lapsed(epoch),
            Self::Granted(epoch) if sending == Some(epoch) => Self::InEffect(epoch),
            stage @ (Self::None | Self::Granted(_) | Self::InEffect(_) | Self::Lapsed(_)) => stage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LeaseStage::{Granted, InEffect, Lapsed, None};

    #[test]
    fn a_lease_that_has_lapsed_does_not_come_back() {
        assert_eq!(None.advance(true, Some(7)), None);
        assert_eq!(Granted(7).advance(true, Option::None), Granted(7));
        assert_eq!(Granted(7).advance(true, Some(6)), Granted(7));
        assert_eq!(Granted(7).advance(true, Some(7)), InEffect(7));
        assert_eq!(InEffect(7).advance(true, Some(7)), InEffect(7));
        assert_eq!(Granted(7).advance(false, Option::None), Lapsed(7));
        assert_eq!(InEffect(7).advance(false, Some(7)), Lapsed(7));
        assert_eq!(Lapsed(7).advance(true, Some(7)), Lapsed(7));
        assert_eq!(
            (Granted(7).held(), InEffect(7).held(), Lapsed(7).held()),
            (Some(7), Some(7), Option::None)
        );
    }
}
