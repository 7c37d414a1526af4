//! A thread a receiver: each makes one attempt at a time, so that a slow or dead receiver delays no other.

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::clock;
use crate::model::dispatcher::{Attempt, AttemptId};
use crate::model::notifier::Notifier;
use crate::model::receiver::{self, Outcome, ReceiverId};
use crate::model::status::{Cluster, Connection, is_alerting, lease_holds};
use crate::published::Reader;
use crate::threads::Spawner;

/// How long a connection is kept for the next message. Mail servers drop idle clients after a few minutes.
const IDLE: Duration = Duration::from_secs(60);
/// TLS and the mail builder need some tens of kilobytes of stack; there may be hundreds of these threads.
const STACK: usize = 512 * 1024;

/// Makes the notifier of a receiver.
pub type NotifierFactory = Arc<dyn Fn(&receiver::Receiver) -> Box<dyn Notifier> + Send + Sync>;

/// What tells whether an attempt may be made under a lease.
#[derive(Clone, Debug)]
pub struct Lease {
    /// What the election granted.
    pub cluster: Reader<Cluster>,
    /// How old the last acknowledged write is.
    pub connection: Reader<Connection>,
    /// The epoch of the lease that the dispatcher has taken up.
    pub in_effect: Reader<Option<u64>>,
}

impl Lease {
    /// Whether alerts would leave at this very moment.
    pub fn is_alerting(&self, now: Instant) -> bool {
        is_alerting(self.cluster.get().grant, *self.in_effect.get(), &self.connection.get(), now)
    }

    /// Whether the lease of this epoch holds at this very moment.
    pub fn holds(&self, epoch: u64, now: Instant) -> bool {
        let grant = self.cluster.get().grant.filter(|grant| grant.epoch == epoch);
        lease_holds(grant, &self.connection.get(), now)
    }
}

/// All receivers and their threads, which are started at the first attempt.
pub struct Receivers {
    known: HashMap<ReceiverId, Known>,
    make: NotifierFactory,
    lease: Lease,
    outcomes: Sender<(AttemptId, Outcome)>,
    spawner: Spawner,
}

struct Known {
    settings: receiver::Receiver,
    queue: Option<Sender<Attempt>>,
}

impl Receivers {
    /// Without any receiver. What becomes of attempts goes to `outcomes`.
    pub fn new(
        make: NotifierFactory,
        lease: Lease,
        outcomes: Sender<(AttemptId, Outcome)>,
        spawner: Spawner,
    ) -> Self {
        Self { known: HashMap::new(), make, lease, outcomes, spawner }
    }

    /// The receivers are these from now on. The thread of one that changed or is gone ends after the attempt
    /// that it makes.
    pub fn replace(&mut self, receivers: &[receiver::Receiver]) {
        let mut before = std::mem::take(&mut self.known);
        for settings in receivers {
            let known = match before.remove(&settings.id) {
                Some(known) if known.settings == *settings => known,
                Some(_) | None => Known { settings: settings.clone(), queue: None },
            };
            self.known.insert(settings.id.clone(), known);
        }
    }

    /// Has an attempt made. The answer comes as an outcome, whatever happens.
    pub fn deliver(&mut self, delivery: Attempt) {
        let id = delivery.id;
        let failed = match self.queue(&delivery.receiver) {
            // The dispatcher has one attempt a receiver under way, so there is room.
            Ok(queue) => queue.try_send(delivery).err().map(|e| match e {
                TrySendError::Full(_) => "its thread is busy".to_owned(),
                TrySendError::Disconnected(_) => "its thread ended".to_owned(),
            }),
            Err(reason) => Some(reason),
        };
        if let Some(reason) = failed {
            log::error!("no attempt was made: {reason}");
            // Fails only while the daemon ends.
            self.outcomes.send((id, Outcome::Failed { reason, retry_after: None })).ok();
        }
    }

    fn queue(&mut self, id: &ReceiverId) -> Result<&Sender<Attempt>, String> {
        let known = self.known.get_mut(id).ok_or("the receiver is not configured any more")?;
        let queue = match known.queue.take() {
            Some(queue) => queue,
            None => start(&known.settings, &self.make, &self.lease, &self.outcomes, &self.spawner)
                .map_err(|e| format!("cannot start a thread: {e}"))?,
        };
        Ok(known.queue.insert(queue))
    }
}

fn start(
    settings: &receiver::Receiver,
    make: &NotifierFactory,
    lease: &Lease,
    outcomes: &Sender<(AttemptId, Outcome)>,
    spawner: &Spawner,
) -> io::Result<Sender<Attempt>> {
    let (queue, deliveries) = bounded(1);
    let (settings, make) = (settings.clone(), Arc::clone(make));
    let (lease, outcomes) = (lease.clone(), outcomes.clone());
    let name = format!("to-{}", settings.settings.kind());
    spawner.spawn_small(&name, STACK, move || work(&settings, &make, &lease, &deliveries, &outcomes))?;
    Ok(queue)
}

fn work(
    settings: &receiver::Receiver,
    make: &NotifierFactory,
    lease: &Lease,
    deliveries: &Receiver<Attempt>,
    outcomes: &Sender<(AttemptId, Outcome)>,
) {
    let mut notifier = None;
    loop {
        let delivery = match deliveries.recv_timeout(IDLE) {
            Ok(delivery) => delivery,
            Err(RecvTimeoutError::Timeout) => {
                // Closes what the notifier keeps open.
                notifier = None;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let outcome = if lease.holds(delivery.epoch, clock::mono()) {
            attempt(&mut notifier, &delivery, || make(settings))
        } else {
            Outcome::NotTried
        };
        if outcomes.send((delivery.id, outcome)).is_err() {
            return;
        }
    }
}

/// One attempt. A fault of a library must not cost the receiver its thread, and with it every later alert; what it
/// left behind is not used again.
fn attempt(
    notifier: &mut Option<Box<dyn Notifier>>,
    delivery: &Attempt,
    make: impl FnOnce() -> Box<dyn Notifier>,
) -> Outcome {
    let send = || notifier.get_or_insert_with(make).send(&delivery.notification);
    catch_unwind(AssertUnwindSafe(send)).unwrap_or_else(|_| {
        *notifier = None;
        Outcome::Ambiguous { reason: "the attempt panicked; see the log".to_owned() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::message::Notification;

    struct Broken;

    impl Notifier for Broken {
        fn send(&mut self, _: &Notification) -> Outcome {
            panic!("for a test")
        }
    }

    struct Whole;

    impl Notifier for Whole {
        fn send(&mut self, _: &Notification) -> Outcome {
            Outcome::Accepted
        }
    }

    #[test]
    fn an_attempt_that_panics_is_ambiguous_and_the_next_is_made_anew() {
        let delivery = Attempt {
            id: AttemptId(1),
            epoch: 1,
            receiver: ReceiverId("r".into()),
            notification: Notification { cluster: "c".into(), agent: "a".into(), items: Vec::new() },
        };
        let is_ambiguous = |outcome| matches!(outcome, Outcome::Ambiguous { .. });
        let mut notifier = None;
        assert!(is_ambiguous(attempt(&mut notifier, &delivery, || panic!("for a test"))));
        assert!(is_ambiguous(attempt(&mut notifier, &delivery, || Box::new(Broken))));
        assert_eq!(attempt(&mut notifier, &delivery, || Box::new(Whole)), Outcome::Accepted);
    }
}
