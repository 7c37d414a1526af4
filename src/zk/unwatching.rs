//! Whether servers take watches back, as far as it is known. It depends on their version: those before 3.5 end the session.

use std::sync::atomic::{AtomicU64, Ordering};

/// So many sessions have to end while they ask for that, and nobody be answered, until it is taken for the reason. One may
/// end just then by chance, and with it all that was asked on it.
const SESSIONS: u64 = 3;

const WORKS: u64 = u64::MAX;
const REFUSED: u64 = u64::MAX - 1;

/// Either of these, or how many sessions ended so and the last of them: `generation * SESSIONS + count`.
pub struct Unwatching(AtomicU64);

impl Unwatching {
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Whether not to ask any more.
    pub fn is_refused(&self) -> bool {
        self.0.load(Ordering::Relaxed) == REFUSED
    }

    /// One was taken back: whatever ends a session, it is not that.
    pub fn works(&self) {
        self.0.store(WORKS, Ordering::Relaxed);
    }

    /// A server said that it cannot; tells whether that is news.
    pub fn refuse(&self) -> bool {
        self.change(|_| Some(REFUSED)) == Some(REFUSED)
    }

    /// A session ended that had asked; tells whether it is taken for the reason from now on.
    pub fn lost(&self, generation: u64) -> bool {
        let changed = self.change(|state| {
            let count = state % SESSIONS + 1;
            let counted = state > 0 && state / SESSIONS == generation;
            (!counted).then_some(if count == SESSIONS { REFUSED } else { generation * SESSIONS + count })
        });
        changed == Some(REFUSED)
    }

    /// Changes what is not known for sure; gives what it is now, if it was changed.
    fn change(&self, next: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let mut changed = None;
        let attempt = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
            changed = if state < REFUSED { next(state) } else { None };
            changed
        });
        attempt.ok().and(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_ends_by_chance_is_no_refusal() {
        let unwatching = Unwatching::new();
        // All that was asked on one session fails with it.
        assert!(!(0..40).any(|_| unwatching.lost(1)));
        assert!(!unwatching.lost(2) && !unwatching.is_refused());
        unwatching.works();
        assert!(!(3..10).any(|generation| unwatching.lost(generation)) && !unwatching.is_refused());
    }

    #[test]
    fn three_sessions_that_end_so_are_one() {
        let unwatching = Unwatching::new();
        let said: Vec<_> = (1..=5).map(|generation| unwatching.lost(generation)).collect();
        assert_eq!(said, [false, false, true, false, false]);
        assert!(unwatching.is_refused());
    }

    #[test]
    fn a_server_that_says_so_is_believed_unless_one_has_done_it() {
        let unwatching = Unwatching::new();
        assert!(unwatching.refuse() && unwatching.is_refused() && !unwatching.refuse());
        let unwatching = Unwatching::new();
        unwatching.works();
        assert!(!unwatching.refuse() && !unwatching.is_refused());
    }
}
