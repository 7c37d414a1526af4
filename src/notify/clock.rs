//! The clock, for the shells of this room.

use std::time::{Instant, SystemTime};

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "sending is a shell: its deadlines are real time")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The wall clock, for the date of a mail and for what is counted from now in an answer or a request.
#[expect(clippy::disallowed_methods, reason = "sending is a shell: its dates are real time")]
pub(super) fn wall() -> SystemTime {
    SystemTime::now()
}
