//! Pauses that no two agents or receivers share.

use std::time::Duration;

use super::receiver::Outcome;

/// The first pause between attempts to tell a receiver.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LAST_PAUSE: Duration = Duration::from_secs(300);

/// A small generator of pseudo-random numbers (SplitMix64): nothing secret hangs on it.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// Numbers that follow from this one.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The pause after so many failures in a row, from 1: doubled with each, between half of that and all.
    pub fn pause(&mut self, first: Duration, last: Duration, failures: u32) -> Duration {
        let doubled = first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        let whole = doubled.min(last).as_micros();
        let half = u64::try_from(whole / 2).unwrap_or(u64::MAX);
        // The first pause is never cut: a second is what a restarting service needs at the least.
        Duration::from_micros(half.saturating_add(self.next() % half.saturating_add(1))).max(first)
    }

    /// The pause before a receiver is tried again that has failed so often in a row, and this time so: not less than it
    /// asked for.
    pub fn retry(&mut self, failures: u32, outcome: &Outcome) -> Duration {
        let asked = if let Outcome::Failed { retry_after, .. } = outcome { *retry_after } else { None };
        self.pause(FIRST_PAUSE, LAST_PAUSE, failures).max(asked.unwrap_or_default())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_within_bounds() {
        let mut jitter = Jitter::new(7);
        let (first, last) = (Duration::from_secs(1), Duration::from_secs(300));
        for failures in 1..200 {
            let whole = first.saturating_mul(1 << (failures - 1).min(9)).min(last);
            let pause = jitter.pause(first, last, failures);
            assert!(pause >= first.max(whole / 2) && pause <= whole.max(first), "{failures}: {pause:?}");
        }
    }
}
