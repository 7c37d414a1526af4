//! The pulse of one generation: a call every sixth of the session timeout.
//!
//! It is a write to this agent's own znode as soon as there is one. A read may be answered by a server that was
//! cut off from its leader after the session had expired; a write is acknowledged by the ensemble.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, select};
use zookeeper::ZkError;

use super::client::{Answer, Client, describe, is_over, mtime};
use crate::clock;
use crate::model::receiver::Secret;
use crate::model::server_clock::ClockSample;
use crate::published::Reader;
use crate::threads::fault;

/// The znode that the pulse writes to.
#[derive(Clone, Debug)]
pub struct OwnNode {
    /// The generation that it belongs to; another generation's pulse leaves it alone.
    pub generation: u64,
    pub path: Arc<str>,
    /// Its data, which stays the same.
    pub data: Arc<[u8]>,
}

/// One call's outcome.
#[derive(Debug)]
pub struct Pulse {
    pub sent: Instant,
    /// What the server did; or why the generation is over.
    pub result: Result<Beat, String>,
}

/// What came of a call that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beat {
    /// A write was acknowledged, and tells ZooKeeper's time.
    Wrote(ClockSample),
    /// Nothing was written.
    Answered,
    /// Nothing was written, since this znode of ours is gone.
    Gone(Arc<str>),
}

/// What a pulse thread needs.
pub struct Task {
    /// The generation's client, on which nothing else has been called.
    pub client: Client,
    pub credentials: Option<(String, Secret)>,
    pub own: Reader<Option<OwnNode>>,
    pub every: Duration,
    pub pulses: Sender<Pulse>,
    /// A message here makes it beat at once.
    pub hurry: Receiver<()>,
    /// Ends the thread by closing.
    pub stop: Receiver<()>,
}

/// Starts the thread, which authenticates first.
///
/// # Errors
/// If the process is out of threads.
pub fn spawn(task: Task) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("zk-pulse".to_owned()).spawn(move || {
        fault("zk-pulse");
        run(&task);
    })
}

fn run(task: &Task) {
    if let Some((user, password)) = &task.credentials {
        let sent = clock::mono();
        if let Err(e) = task.client.authenticate(user, password.reveal()) {
            let reason = format!("authentication failed: {}", describe(e));
            task.pulses.send(Pulse { sent, result: Err(reason) }).ok();
            return;
        }
    }
    loop {
        let pulse = beat(task);
        let over = pulse.result.is_err();
        if task.pulses.send(pulse).is_err() || over {
            return;
        }
        select! {
            recv(task.stop) -> _ => return,
            recv(task.hurry) -> _ => {}
            recv(after(task.every)) -> _ => {}
        }
    }
}

fn beat(task: &Task) -> Pulse {
    let own = task.own.get();
    let own = own.as_ref().as_ref().filter(|own| own.generation == task.client.generation());
    let sent = clock::mono();
    let result = match own {
        Some(own) => match task.client.set(&own.path, &own.data, None) {
            Err(ZkError::NoNode) => Ok(Beat::Gone(Arc::clone(&own.path))),
            answer => judge(answer.map(|stat| {
                let answered = clock::mono();
                Beat::Wrote(ClockSample { sent, answered, written: mtime(&stat) })
            })),
        },
        None => judge(task.client.exists("/", false).map(|_| Beat::Answered)),
    };
    Pulse { sent, result }
}

/// An error that the server sent is an answer too, if not an acknowledged write; only those that the session
/// cannot outlive end it.
fn judge(answer: Answer<Beat>) -> Result<Beat, String> {
    match answer {
        Ok(beat) => Ok(beat),
        Err(ZkError::MarshallingError) => Err("not a ZooKeeper: its answer makes no sense".to_owned()),
        Err(e) if is_over(e) => Err(describe(e)),
        Err(_) => Ok(Beat::Answered),
    }
}
