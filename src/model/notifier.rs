//! What reaches a receiver.

use std::time::Duration;

use super::message::Notification;
use super::receiver::Outcome;

/// How long one attempt may take, all of it: long enough for a slow mail server's queue run, short enough that
/// a tarpit does not hold a receiver's queue for minutes.
pub const ATTEMPT: Duration = Duration::from_secs(30);

/// Something that can reach one receiver. One attempt per call, no retries inside, and every call ends within
/// [`ATTEMPT`].
pub trait Notifier: Send {
    /// Makes one attempt.
    fn send(&mut self, notification: &Notification) -> Outcome;
}
