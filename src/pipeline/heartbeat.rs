//! The dead-man's switch: a ping while all is well, so that its absence tells that nobody watches any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after, select};

use super::deliver::Lease;
use super::pace::PULSE;
use crate::clock;
use crate::model::receiver::Outcome;
use crate::model::status::Compliance;
use crate::published::Reader;

/// What to ping and how often.
#[derive(Clone)]
pub struct Ping {
    /// The time between two pings.
    pub every: Duration,
    /// Makes one.
    pub ping: Arc<dyn Fn() -> Outcome + Send + Sync>,
}

/// Pings while this agent leads and every rule has been read, until `stop` closes.
pub fn heartbeat(
    ping: &Reader<Option<Ping>>,
    lease: &Lease,
    compliance: &Reader<Compliance>,
    stop: &Receiver<()>,
) {
    let mut last: Option<Instant> = None;
    let mut failing = false;
    loop {
        select! {
            recv(stop) -> _ => return,
            recv(after(PULSE)) -> _ => {}
        }
        let current = ping.get();
        let Some(Ping { every, ping }) = current.as_ref() else { continue };
        let now = clock::mono();
        let due = last.is_none_or(|last| now >= last + *every);
        if !due || !lease.is_alerting(now) || !compliance.get().ready {
            continue;
        }
        last = Some(now);
        let reason = match ping() {
            Outcome::Accepted | Outcome::NotTried => None,
            Outcome::Failed { reason, .. } | Outcome::Ambiguous { reason } | Outcome::Refused { reason } => {
                Some(reason)
            }
        };
        match (&reason, failing) {
            (Some(reason), false) => log::error!("the heartbeat's ping failed: {reason}"),
            (None, true) => log::warn!("the heartbeat's ping succeeds again"),
            (Some(_), true) | (None, false) => {}
        }
        failing = reason.is_some();
    }
}
