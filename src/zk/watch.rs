//! The watch thread: what happens at ZooKeeper goes into the machine ([`crate::model::watches`]), and what that asks
//! for is done here.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, never, select, tick};
use zookeeper::ZkError;

use super::client::{Client, describe};
use super::reading::{FenceProgress, Pool};
use super::watch_input::WatchInput;
use crate::clock;
use crate::model::observation::Observation;
use crate::model::reading::Reading;
use crate::model::status::WatchStatus;
use crate::model::watches::{Effect, Event, Input, Watches};
use crate::published::Writer;
use crate::threads::gather;

/// How often the thread shows that it is alive while nothing happens.
const PULSE: Duration = Duration::from_secs(1);
/// How often the age of the oldest reading is looked up at the most, which takes a look at every znode.
const STATUS: Duration = Duration::from_secs(10);
/// And how often in a period of verification, where that is short.
const STATUS_SHARE: u32 = 20;

/// Where the watch thread's doings go.
pub struct Outlets {
    /// Its own inbox, for the readers.
    pub inbox: Sender<WatchInput>,
    /// To the evaluator.
    pub observations: Sender<Observation>,
    /// How good the readings are.
    pub status: Writer<WatchStatus>,
    /// How far a fence is, once a second.
    pub fence: Writer<Option<FenceProgress>>,
    /// The thread's pulse.
    pub pulse: Writer<Instant>,
}

/// Watches until it is told to stop. Each path is verified once in `reread`; `ledger` is where the alert ledger is.
pub fn run(inbox: &Receiver<WatchInput>, outlets: Outlets, ledger: Arc<str>, reread: Duration) {
    let mut shell = Shell {
        machine: Watches::new(ledger, reread, clock::mono()),
        generation: None,
        ending: Vec::new(),
        outlets,
    };
    let alive = tick(PULSE);
    let status = tick(STATUS.min(reread / STATUS_SHARE).max(Duration::from_millis(50)));
    loop {
        shell.outlets.pulse.publish(clock::mono());
        let deadline = shell.machine.next_deadline();
        let due = deadline.map_or_else(never, |at| after(at.saturating_duration_since(clock::mono())));
        let mut first = None;
        select! {
            recv(inbox) -> input => first = Some(input.unwrap_or(WatchInput::Stop)),
            recv(due) -> _ => shell.handle(Input::Tick),
            recv(status) -> _ => shell.outlets.status.publish(shell.machine.status(clock::mono())),
            recv(alive) -> _ => shell.outlets.fence.publish(shell.fence()),
        }
        let more = shell.is_arming().then(|| gather(inbox)).into_iter().flatten();
        for input in first.into_iter().chain(more) {
            if matches!(input, WatchInput::Stop) {
                return;
            }
            shell.hear(input);
        }
    }
}

struct Generation {
    client: Client,
    pool: Pool,
    /// Whether all was read that is read first.
    armed: bool,
}

struct Shell {
    machine: Watches,
    generation: Option<Generation>,
    ending: Vec<JoinHandle<()>>,
    outlets: Outlets,
}

impl Shell {
    fn hear(&mut self, input: WatchInput) {
        match input {
            WatchInput::Up(client) => self.up(client),
            WatchInput::Down { generation, reason } if self.is_current(generation) => {
                self.end_generation();
                self.handle(Input::Down(reason));
            }
            WatchInput::Rang { generation, path, at } if self.is_current(generation) => {
                self.handle(Input::Rang { path, at });
            }
            WatchInput::Answered { generation, ticket, path, answer } if self.is_current(generation) => {
                self.answered(ticket, path, answer);
            }
            WatchInput::Rules(rules) => self.handle(Input::Rules(rules)),
            WatchInput::Adopt(paths) => self.handle(Input::Adopt(paths)),
            WatchInput::Fence { generation, path, barrier } if self.is_current(generation) => {
                self.handle(Input::Fence { path, barrier });
            }
            WatchInput::LedgerWatched { generation, rings, change } if self.is_current(generation) => {
                self.handle(Input::LedgerWatched { rings, change });
            }
            // Fails only while the daemon ends.
            WatchInput::Clock(sample) => drop(self.outlets.observations.send(Observation::Clock(sample))),
            // Of a generation that is over.
            WatchInput::Down { .. } | WatchInput::Rang { .. } | WatchInput::Answered { .. } => {}
            WatchInput::Fence { .. } | WatchInput::LedgerWatched { .. } | WatchInput::Stop => {}
        }
    }

    fn fence(&self) -> Option<FenceProgress> {
        let children = self.generation.as_ref()?.pool.children_read();
        self.machine.fence_waits_for().map(|readings| FenceProgress { readings, children })
    }

    fn is_current(&self, generation: u64) -> bool {
        self.generation.as_ref().is_some_and(|current| current.client.generation() == generation)
    }

    fn is_arming(&self) -> bool {
        self.generation.as_ref().is_some_and(|current| !current.armed)
    }

    fn up(&mut self, client: Client) {
        self.end_generation();
        match Pool::start(&client, &self.outlets.inbox) {
            Ok(pool) => {
                self.generation = Some(Generation { client, pool, armed: false });
                self.handle(Input::Up);
            }
            Err(e) => {
                log::error!("cannot start the threads that read znodes: {e}");
                client.end();
            }
        }
    }

    fn end_generation(&mut self) {
        self.ending.retain(|thread| !thread.is_finished());
        if let Some(generation) = self.generation.take() {
            self.ending.extend(generation.pool.finish());
        }
    }

    /// A call failed with what a session cannot outlive: it is over, and its end is on its way. It ends now if it is
    /// not, since the znode would never be read otherwise.
    fn answered(&mut self, ticket: u64, path: Arc<str>, answer: Result<Option<Reading>, ZkError>) {
        match answer {
            Ok(reading) => self.handle(Input::Answered { ticket, path, reading }),
            Err(error) => {
                let Some(generation) = &self.generation else { return };
                if error != ZkError::ConnectionLoss {
                    log::warn!("{path}: cannot be read: {}; ending the session", describe(error));
                }
                generation.client.end();
            }
        }
    }

    fn handle(&mut self, input: Input) {
        for effect in self.machine.handle(input, clock::mono()) {
            match effect {
                Effect::Read(request) => {
                    // The machine asks only while there is a session, and has each znode asked for once at a time.
                    if let Some(generation) = &self.generation {
                        generation.pool.read(request);
                    }
                }
                // Fails only while the daemon ends, when nobody needs to know any more; the next likewise.
                Effect::Observe(observation) => drop(self.outlets.observations.send(observation)),
                Effect::Armed => {
                    if let Some(current) = &mut self.generation {
                        current.armed = true;
                        let armed = Observation::Armed(current.client.generation());
                        self.outlets.observations.send(armed).ok();
                    }
                }
                Effect::Log(event) => log_event(&event),
            }
        }
    }
}

fn log_event(event: &Event) {
    match event {
        Event::Unreadable(path, reason) => {
            log::warn!("{path}: {reason}; it is tried again");
        }
        Event::Readable(path) => log::warn!("{path}: can be read again"),
        Event::Missed(path) => {
            log::warn!("{path}: changed, and no event told of it; seen when it was verified");
        }
    }
}
