//! Time as an argument.

use std::time::{Duration, Instant, SystemTime};

/// One moment, told by both clocks.
///
/// Decisions and timers use the monotonic clock; the wall clock is for what people read and for the end of a
/// silence.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic clock.
    pub mono: Instant,
    /// The wall clock.
    pub wall: SystemTime,
}

impl Now {
    /// The moment `duration` after this one, on both clocks.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self { mono: self.mono + duration, wall: self.wall + duration }
    }

    /// The moment of an earlier monotonic one, on both clocks.
    #[must_use]
    pub fn before(self, mono: Instant) -> Self {
        let age = self.mono.saturating_duration_since(mono);
        Self { mono, wall: self.wall.checked_sub(age).unwrap_or(self.wall) }
    }

    /// The monotonic moment that corresponds to a wall-clock time; now, for a time in the future.
    ///
    /// Serves to go on with a timer that another agent started: it told the wall-clock time.
    pub fn mono_at(self, wall: SystemTime) -> Instant {
        let age = self.wall.duration_since(wall).unwrap_or_default();
        self.mono.checked_sub(age).unwrap_or(self.mono)
    }
}
