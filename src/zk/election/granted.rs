//! How a lease that was granted comes to be in effect.

use std::time::{Duration, Instant};

use crate::zk::reading::FenceProgress;

/// How long it may come no nearer to that: it waits for readings, and leading without effect is worse than not leading. With
/// many readings to go, or with thousands of calls for one, it takes longer, and another agent would have to make them too.
pub const EFFECT: Duration = Duration::from_secs(10);

/// A lease that was granted.
pub struct Granted {
    /// When it came nearer to being in effect last.
    nearer: Instant,
    /// How far its fence was then.
    fence: Option<FenceProgress>,
}

impl Granted {
    pub fn new(now: Instant) -> Self {
        Self { nearer: now, fence: None }
    }

    /// Whether it came no nearer for too long. The fence is so far by now.
    pub fn is_stuck(&mut self, fence: Option<FenceProgress>, now: Instant) -> bool {
        if self.fence != fence {
            *self = Self { nearer: now, fence };
        }
        now - self.nearer >= EFFECT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn it_comes_nearer_with_each_child_of_a_long_reading() {
        let began = clock::mono();
        let mut granted = Granted::new(began);
        let mut is_stuck = |second: u64, readings: u64, children: u64| {
            let fence = FenceProgress { readings, children };
            granted.is_stuck(Some(fence), began + Duration::from_secs(second))
        };
        let reading = (0..30).any(|second| is_stuck(second, 1, second * 900));
        assert!(!reading);
        assert!(!is_stuck(38, 1, 26_100));
        assert!(is_stuck(39, 1, 26_100));
        assert!(!is_stuck(40, 0, 26_100));
    }

    #[test]
    fn a_fence_that_is_not_raised_is_not_waited_for_for_ever() {
        let began = clock::mono();
        let mut granted = Granted::new(began);
        assert!(!granted.is_stuck(None, began + Duration::from_secs(9)));
        assert!(granted.is_stuck(None, began + EFFECT));
    }
}
