//! What the election tells the alert side.

use super::dispatcher::Takeover;
use super::status::Silence;

/// What the alert side hears of the cluster.
#[derive(Debug)]
pub enum ElectionUpdate {
    /// This agent leads once the barrier arrives.
    Granted(Takeover),
    /// It does not lead any more.
    Revoked,
    /// The silences are these.
    Silences(Vec<Silence>),
}
