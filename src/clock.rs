//! The clocks. Nothing else reads one: time is an argument, and a shell stamps it where something happens.
#![expect(clippy::disallowed_methods, reason = "somebody has to look")]

use std::time::{Instant, SystemTime};

use crate::model::time::Now;

/// Both clocks.
pub fn now() -> Now {
    Now { mono: mono(), wall: wall() }
}

/// The clock that only goes on: for deadlines, and for what has lasted how long.
pub fn mono() -> Instant {
    Instant::now()
}

/// The clock on the wall, for what people read and for what agents on several hosts share.
pub fn wall() -> SystemTime {
    SystemTime::now()
}
