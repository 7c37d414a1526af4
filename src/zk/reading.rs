//! Reading znodes and arming their watches, by a small pool of threads per generation.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, unbounded};
use zookeeper::ZkError;

use super::bell::{Bell, Wants};
use super::client::{Answer, Client, describe};

use crate::model::children::Children;
use crate::model::reading::Reading;

/// Calls under way at once. One thread arms 5,000 paths a second, 16 arm 16,000; more do not help.
const THREADS: usize = 16;
/// How often a path that comes and goes between two calls is tried before others get their turn.
const TRIES: usize = 3;

/// A znode to read.
#[derive(Debug)]
pub struct Job {
    /// Its path.
    pub path: Arc<str>,
    /// What to read.
    pub wants: Wants,
    /// When its watch rang, if it did.
    pub rang: Option<Instant>,
}

/// The threads that read for one generation. They end once this is dropped and the jobs are done, which is soon
/// after the end of the generation, since every call fails from then on.
#[derive(Debug)]
pub struct Pool {
    jobs: Sender<Job>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts the threads; what they read goes to `bells`.
    ///
    /// # Errors
    /// If the process is out of threads.
    pub fn start(client: &Client, bells: &Sender<Bell>) -> io::Result<Self> {
        let (jobs, queue) = unbounded();
        let threads = (0..THREADS)
            .map(|_| {
                let (client, queue, bells) = (client.clone(), queue.clone(), bells.clone());
                thread::Builder::new().name("zk-read".to_owned()).spawn(move || work(&client, &queue, &bells))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { jobs, threads })
    }

    /// Queues a znode. The caller has each path queued at most once at a time, which bounds the queue.
    pub fn read(&self, job: Job) {
        // Fails only if all threads panicked; the watchdog of the evaluator's inbox has noticed by then.
        self.jobs.send(job).ok();
    }

    /// Lets the threads end by themselves; gives them for joining.
    pub fn finish(self) -> Vec<JoinHandle<()>> {
        self.threads
    }
}

fn work(client: &Client, queue: &Receiver<Job>, bells: &Sender<Bell>) {
    for Job { path, wants, rang } in queue {
        let answer = read(client, &path, wants);
        let bell = Bell::Read { generation: client.generation(), path, wants, rang, answer };
        if bells.send(bell).is_err() {
            return;
        }
    }
}

/// Reads one znode and leaves the watches that will tell of its next change. Gives nothing if it comes and goes
/// faster than it can be read, so that it has to be read again.
///
/// # Errors
/// The library's, if the generation is over.
fn read(client: &Client, path: &str, wants: Wants) -> Answer<Option<Reading>> {
    for _ in 0..TRIES {
        let part = match parts(client, path, wants) {
            Err(ZkError::NoAuth) => return Ok(unreadable("not authorised to read this path")),
            Err(e @ (ZkError::MarshallingError | ZkError::BadArguments | ZkError::Unimplemented)) => {
                return Ok(unreadable(&format!("cannot be read: {}", describe(e))));
            }
            other => other?,
        };
        match part {
            Some(reading) => return Ok(Some(reading)),
            // Not there, and a creation from now on will ring.
            None if !wants.creation || client.exists(path, true)?.is_none() => {
                return Ok(Some(Reading::Missing));
            }
            None => {}
        }
    }
    Ok(None)
}

fn unreadable(reason: &str) -> Option<Reading> {
    Some(Reading::Unreadable(reason.into()))
}

/// One try; `None` if the znode is not there.
fn parts(client: &Client, path: &str, wants: Wants) -> Answer<Option<Reading>> {
    let found = |answer: Answer<_>| match answer {
        Err(ZkError::NoNode) => Ok(None),
        other => other.map(Some),
    };
    if !wants.children && !wants.data {
        let stat = client.exists(path, true)?;
        return Ok(stat.map(|_| Reading::Present { children: None, data: None }));
    }
    let mut children = None;
    if wants.children {
        match client.children(path, true) {
            Err(ZkError::NoNode) => return Ok(None),
            other => children = Some(Children::new(other?)),
        }
    }
    let mut data = None;
    if wants.data {
        let Some((bytes, _)) = found(client.data(path, true))? else { return Ok(None) };
        data = Some(bytes.into_boxed_slice());
    }
    Ok(Some(Reading::Present { children, data }))
}
