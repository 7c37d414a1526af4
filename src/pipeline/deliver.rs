//! The workers that make attempts: a thread a slot, which ends when nothing came for a while.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use crate::clock;
use crate::model::dispatcher::{Attempt, AttemptId};
use crate::model::lease::LeaseStage;
use crate::model::notifier::Notifier;
use crate::model::receiver::{self, Outcome, ReceiverId};
use crate::model::slots::{SlotId, Slots};
use crate::model::status::{Cluster, Connection, is_alerting, lease_ends, lease_holds};
use crate::published::Reader;
use crate::threads::Spawner;

/// How long a connection is kept for the next message. Mail servers drop idle clients after a few minutes.
const IDLE: Duration = Duration::from_secs(60);
/// TLS and the mail builder need some tens of kilobytes of stack; a template at its worst needs nearly two megabytes, which
/// are taken from memory once they are used.
const STACK: usize = 2 << 20;

/// Makes the notifier of a receiver.
type Make = Arc<dyn Fn(&receiver::Receiver) -> Box<dyn Notifier> + Send + Sync>;

/// What is known of reaching receivers.
#[derive(Clone)]
pub struct Notifiers {
    pub make: Make,
    /// Names the host that a receiver's messages go to.
    pub host: fn(&receiver::Receiver) -> Arc<str>,
}

/// What tells whether an attempt may be made under a lease.
#[derive(Clone, Debug)]
pub struct Lease {
    /// What the election granted.
    pub cluster: Reader<Cluster>,
    /// How old the last acknowledged write is.
    pub connection: Reader<Connection>,
    /// How far the alert thread is with it.
    pub stage: Reader<LeaseStage>,
}

impl Lease {
    /// Whether alerts would leave at this very moment.
    pub fn is_alerting(&self, now: Instant) -> bool {
        is_alerting(self.cluster.get().grant, *self.stage.get(), &self.connection.get(), now)
    }

    /// Whether the lease of this epoch holds at this very moment.
    pub fn holds(&self, epoch: u64, now: Instant) -> bool {
        let grant = self.cluster.get().grant.filter(|grant| grant.epoch == epoch);
        lease_holds(grant, &self.connection.get(), now)
    }

    /// When the lease of this epoch runs out, unless a write is acknowledged; nothing if there is no such lease.
    pub fn ends(&self, epoch: u64) -> Option<Instant> {
        let grant = self.cluster.get().grant.filter(|grant| grant.epoch == epoch);
        lease_ends(grant, &self.connection.get())
    }
}

/// When attempts may be made.
#[derive(Clone, Debug)]
pub enum Permit {
    /// Under the lease that they bear.
    Lease(Lease),
    /// At any time: an agent without ZooKeeper has no lease.
    Always,
}

impl Permit {
    fn holds(&self, epoch: u64, now: Instant) -> bool {
        match self {
            Self::Lease(lease) => lease.holds(epoch, now),
            Self::Always => true,
        }
    }
}

/// What workers tell.
pub enum Event {
    /// The attempt in this slot has ended.
    Ended(SlotId, AttemptId, Outcome),
    /// An attempt got no slot.
    Skipped(AttemptId, Outcome),
    /// Nothing came for this slot for so long that its connection was closed.
    Idle(SlotId),
}

/// All receivers, the attempts that wait for a slot, and the workers.
pub struct Receivers {
    known: HashMap<ReceiverId, Arc<receiver::Receiver>>,
    slots: Slots,
    workers: HashMap<SlotId, Sender<Job>>,
    notifiers: Notifiers,
    permit: Permit,
    /// Has this agent's name, which may be another than it was started with: a process that was there before may have that.
    cluster: Reader<Cluster>,
    sender: Sender<Event>,
    events: Receiver<Event>,
    spawner: Spawner,
}

/// What a worker is to do.
struct Job {
    attempt: Attempt,
    receiver: Arc<receiver::Receiver>,
}

/// What a worker keeps for its receiver's next message.
type Kept = (Arc<receiver::Receiver>, Box<dyn Notifier>);

impl Receivers {
    /// Without any receiver.
    pub fn new(notifiers: Notifiers, permit: Permit, cluster: Reader<Cluster>, spawner: Spawner) -> Self {
        let (sender, events) = unbounded();
        let (known, slots, workers) = (HashMap::new(), Slots::default(), HashMap::new());
        Self { known, slots, workers, notifiers, permit, cluster, sender, events, spawner }
    }

    /// Hears of what goes to [`Self::heard`].
    pub fn events(&self) -> Receiver<Event> {
        self.events.clone()
    }

    /// The receivers are these from now on. What waits for one that is gone is not made; an attempt under way ends.
    pub fn replace(&mut self, receivers: &[receiver::Receiver]) {
        let mut before = std::mem::take(&mut self.known);
        for receiver in receivers {
            // One that is the same keeps its workers' connections.
            let same = before.remove(&receiver.id).filter(|known| **known == *receiver);
            let known = same.unwrap_or_else(|| Arc::new(receiver.clone()));
            self.known.insert(receiver.id.clone(), known);
        }
        let gone = self.slots.withdraw(|attempt| !self.known.contains_key(&attempt.receiver));
        self.skip(gone);
    }

    /// Has an attempt made as soon as a slot is free for it. The answer comes as an event, whatever happens. It names the
    /// agent as the cluster does right now.
    pub fn deliver(&mut self, mut attempt: Attempt) {
        attempt.notification.agent = Arc::clone(&self.cluster.get().agent);
        match self.known.get(&attempt.receiver) {
            Some(receiver) => self.slots.wait(attempt, (self.notifiers.host)(receiver)),
            None => self.fail(attempt.id, GONE.to_owned()),
        }
        self.grant();
    }

    /// Goes on after an event; gives what became of an attempt, if it is about one.
    pub fn heard(&mut self, event: Event) -> Option<(AttemptId, Outcome)> {
        match event {
            Event::Ended(slot, attempt, outcome) => {
                self.slots.finish(slot);
                self.grant();
                Some((attempt, outcome))
            }
            Event::Skipped(attempt, outcome) => Some((attempt, outcome)),
            Event::Idle(slot) => {
                if self.slots.give_up(slot) {
                    // The worker ends with its queue.
                    self.workers.remove(&slot);
                }
                None
            }
        }
    }

    /// What waits under a lease that does not hold any more is not tried.
    pub fn withdraw_lapsed(&mut self, now: Instant) {
        if self.slots.has_waiting() {
            let lapsed = self.slots.withdraw(|attempt| !self.permit.holds(attempt.epoch, now));
            self.skip(lapsed);
        }
    }

    /// Nothing that waits is tried: the daemon ends.
    pub fn withdraw_all(&mut self) {
        let all = self.slots.withdraw(|_| true);
        self.skip(all);
    }

    fn skip(&self, attempts: Vec<AttemptId>) {
        for attempt in attempts {
            // The other end is here, too.
            self.sender.send(Event::Skipped(attempt, Outcome::NotTried)).ok();
        }
    }

    fn fail(&self, attempt: AttemptId, reason: String) {
        log::error!("no attempt was made: {reason}");
        let outcome = Outcome::Failed { reason, retry_after: None };
        // The other end is here, too.
        self.sender.send(Event::Skipped(attempt, outcome)).ok();
    }

    fn grant(&mut self) {
        while let Some((slot, attempt)) = self.slots.grant() {
            let id = attempt.id;
            if let Err(reason) = self.assign(slot, attempt) {
                self.slots.finish(slot);
                self.slots.give_up(slot);
                self.fail(id, reason);
            }
        }
    }

    /// Hands an attempt to its slot's worker.
    fn assign(&mut self, slot: SlotId, attempt: Attempt) -> Result<(), String> {
        let receiver = Arc::clone(self.known.get(&attempt.receiver).ok_or(GONE)?);
        let job = Job { attempt, receiver };
        let queue = match self.workers.remove(&slot) {
            Some(queue) => queue,
            None => self.start(slot).map_err(|e| format!("cannot start a thread: {e}"))?,
        };
        // A slot has one attempt at a time, so there is room.
        queue.try_send(job).map_err(|_| "its thread ended".to_owned())?;
        self.workers.insert(slot, queue);
        Ok(())
    }

    fn start(&self, slot: SlotId) -> std::io::Result<Sender<Job>> {
        let (queue, jobs) = bounded(1);
        let (notifiers, permit, events) = (self.notifiers.clone(), self.permit.clone(), self.sender.clone());
        let work = move || work(slot, &notifiers, &permit, &jobs, &events);
        self.spawner.spawn_small("notify", STACK, work)?;
        Ok(queue)
    }
}

const GONE: &str = "the receiver is not configured any more";

fn work(slot: SlotId, notifiers: &Notifiers, permit: &Permit, jobs: &Receiver<Job>, events: &Sender<Event>) {
    let mut kept = None;
    loop {
        let event = match jobs.recv_timeout(IDLE) {
            Ok(job) => {
                let outcome = attempt(&mut kept, &job, permit, notifiers);
                Event::Ended(slot, job.attempt.id, outcome)
            }
            Err(RecvTimeoutError::Timeout) => {
                // Closes what the notifier keeps open.
                kept = None;
                Event::Idle(slot)
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if events.send(event).is_err() {
            return;
        }
    }
}

/// One attempt, if the lease still holds once its turn has come.
///
/// A fault of a library must not cost the slot its worker, and with it every later alert; what it left behind is not
/// used again.
fn attempt(kept: &mut Option<Kept>, job: &Job, permit: &Permit, notifiers: &Notifiers) -> Outcome {
    let send = || {
        // Another receiver's connection is closed first, so that no host sees more of them than there are slots.
        drop(kept.take_if(|(receiver, _)| !Arc::ptr_eq(receiver, &job.receiver)));
        let make = || (Arc::clone(&job.receiver), (notifiers.make)(&job.receiver));
        let (_, notifier) = kept.get_or_insert_with(make);
        if permit.holds(job.attempt.epoch, clock::mono()) {
            notifier.send(&job.attempt.notification)
        } else {
            Outcome::NotTried
        }
    };
    catch_unwind(AssertUnwindSafe(send)).unwrap_or_else(|_| {
        *kept = None;
        Outcome::Ambiguous { reason: "the attempt panicked; see the log".to_owned() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::message::Notification;
    use crate::model::receiver::{Secret, Settings, Webhook};
    use crate::model::status::{Grant, Session};
    use crate::published::{Writer, cell};
    use crate::threads::Threads;

    const SOON: Duration = Duration::from_secs(10);

    struct Broken;

    impl Notifier for Broken {
        fn send(&mut self, _: &Notification) -> Outcome {
            panic!("for a test")
        }
    }

    /// Says that an attempt began, and ends it when it is told to.
    struct Gate {
        began: Sender<()>,
        end: Receiver<()>,
    }

    impl Notifier for Gate {
        fn send(&mut self, _: &Notification) -> Outcome {
            self.began.send(()).unwrap();
            self.end.recv_timeout(SOON).unwrap();
            Outcome::Accepted
        }
    }

    fn receiver(name: &str) -> receiver::Receiver {
        let url = Secret::new("http://h".to_owned());
        let settings = Settings::Webhook(Webhook { url, headers: Vec::new(), secret: None, template: None });
        receiver::Receiver { id: ReceiverId(name.into()), name: name.into(), settings, ca: None }
    }

    fn attempt_at(name: &str, number: u64) -> Attempt {
        Attempt {
            id: AttemptId(number),
            epoch: 1,
            receiver: ReceiverId(name.into()),
            notification: Notification {
                cluster: "c".into(),
                agent: "a".into(),
                page: None,
                items: Vec::new(),
            },
        }
    }

    fn cluster(epoch: Option<u64>) -> Cluster {
        Cluster { grant: epoch.map(|epoch| Grant { epoch, generation: 1 }), ..Cluster::default() }
    }

    /// A lease of epoch 1, and what ends it.
    fn lease() -> (Writer<Cluster>, Lease) {
        let now = clock::mono();
        let (timeout, server) = (Duration::from_secs(3600), "s".into());
        let session = Session { generation: 1, server, timeout, answered: now, written: Some(now) };
        let connection = Connection { session: Some(session), sessions: 1, last_error: None };
        let (writer, cluster) = cell(cluster(Some(1)));
        let (connection, stage) = (cell(connection).1, cell(LeaseStage::InEffect(1)).1);
        (writer, Lease { cluster, connection, stage })
    }

    fn notifiers(make: impl Fn() -> Box<dyn Notifier> + Send + Sync + 'static) -> Notifiers {
        Notifiers { make: Arc::new(move |_| make()), host: |_| "h".into() }
    }

    #[test]
    fn an_attempt_that_panics_is_ambiguous_and_the_next_is_made_anew() {
        let permit = Permit::Lease(lease().1);
        let job = Job { attempt: attempt_at("r", 1), receiver: Arc::new(receiver("r")) };
        let is_ambiguous = |outcome| matches!(outcome, Outcome::Ambiguous { .. });
        let mut kept = None;
        let (began, _begun) = unbounded();
        let (ended, end) = unbounded();
        ended.send(()).unwrap();
        let whole = notifiers(move || Box::new(Gate { began: began.clone(), end: end.clone() }));
        assert!(is_ambiguous(attempt(&mut kept, &job, &permit, &notifiers(|| panic!("for a test")))));
        assert!(is_ambiguous(attempt(&mut kept, &job, &permit, &notifiers(|| Box::new(Broken)))));
        assert_eq!(attempt(&mut kept, &job, &permit, &whole), Outcome::Accepted);
    }

    #[test]
    fn what_waits_when_the_lease_lapses_is_not_tried_at_once_and_never() {
        let threads = Threads::default();
        let (writer, lease) = lease();
        let ((began, begun), (ended, end)) = (unbounded(), unbounded());
        let gate = notifiers(move || Box::new(Gate { began: began.clone(), end: end.clone() }));
        let known = lease.cluster.clone();
        let mut receivers = Receivers::new(gate, Permit::Lease(lease), known, threads.spawner());
        let names: Vec<String> = (0..12).map(|number| format!("r{number}")).collect();
        receivers.replace(&names.iter().map(|name| receiver(name)).collect::<Vec<_>>());
        for (number, name) in names.iter().enumerate() {
            receivers.deliver(attempt_at(name, number as u64));
        }
        (0..8).for_each(|_| begun.recv_timeout(SOON).unwrap());
        receivers.withdraw_lapsed(clock::mono());
        assert!(receivers.events().is_empty(), "the lease holds");

        writer.publish(cluster(Some(2)));
        receivers.withdraw_lapsed(clock::mono());
        let skipped: Vec<_> =
            receivers.events().try_iter().filter_map(|event| receivers.heard(event)).collect();
        let not_tried = |number| (AttemptId(number), Outcome::NotTried);
        assert_eq!(skipped, (8..12).map(not_tried).collect::<Vec<_>>());

        (0..8).for_each(|_| ended.send(()).unwrap());
        for _ in 0..8 {
            let event = receivers.events().recv_timeout(SOON).unwrap();
            assert_eq!(receivers.heard(event).unwrap().1, Outcome::Accepted);
        }
        // A slot falls free, and its lease is not that of the next.
        receivers.deliver(attempt_at("r9", 20));
        let event = receivers.events().recv_timeout(SOON).unwrap();
        assert_eq!(receivers.heard(event), Some(not_tried(20)));
        assert!(begun.is_empty());
    }

    /// Tells which agent a message names.
    struct Names(Sender<Arc<str>>);

    impl Notifier for Names {
        fn send(&mut self, notification: &Notification) -> Outcome {
            self.0.send(Arc::clone(&notification.agent)).unwrap();
            Outcome::Accepted
        }
    }

    #[test]
    fn a_message_names_the_agent_as_the_cluster_knows_it() {
        let threads = Threads::default();
        let ((writer, known), (names, named)) = (cell(Cluster::default()), unbounded());
        let notifiers = notifiers(move || Box::new(Names(names.clone())));
        let mut receivers = Receivers::new(notifiers, Permit::Always, known, threads.spawner());
        receivers.replace(&[receiver("r")]);
        // Another process has the first name.
        for (number, name) in [(1, "vm-1"), (2, "vm-1-2")] {
            writer.publish(Cluster { agent: name.into(), ..Cluster::default() });
            receivers.deliver(attempt_at("r", number));
            assert_eq!(named.recv_timeout(SOON).as_deref(), Ok(name));
            let event = receivers.events().recv_timeout(SOON).unwrap();
            assert_eq!(receivers.heard(event), Some((AttemptId(number), Outcome::Accepted)));
        }
    }

    #[test]
    fn what_waits_for_a_receiver_that_is_gone_is_not_tried() {
        let threads = Threads::default();
        let (_writer, lease) = lease();
        let ((began, begun), (ended, end)) = (unbounded(), unbounded());
        let gate = notifiers(move || Box::new(Gate { began: began.clone(), end: end.clone() }));
        let known = lease.cluster.clone();
        let mut receivers = Receivers::new(gate, Permit::Lease(lease), known, threads.spawner());
        let all: Vec<_> = (0..9).map(|number| receiver(&format!("r{number}"))).collect();
        receivers.replace(&all);
        for (number, one) in all.iter().enumerate() {
            receivers.deliver(attempt_at(&one.id.0, number as u64));
        }
        (0..8).for_each(|_| begun.recv_timeout(SOON).unwrap());
        receivers.replace(&all[..8]);
        let event = receivers.events().recv_timeout(SOON).unwrap();
        assert_eq!(receivers.heard(event), Some((AttemptId(8), Outcome::NotTried)));
        (0..8).for_each(|_| ended.send(()).unwrap());
    }
}
