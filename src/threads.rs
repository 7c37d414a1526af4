//! The daemon's threads: named, and watched, so that none ends without anybody's knowing.

use std::fmt;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, unbounded};

use crate::clock;
use crate::published::{Liveness, Writer, cell};

/// How long one turn of a loop may take before the daemon counts as hung: longer than any bounded call in it.
const TURN: Duration = Duration::from_secs(60);

/// How long to look for the panic that is behind a thread's end.
const CAUSE: Duration = Duration::from_millis(100);

/// How long things are left to gather, and how many are taken at once. To be woken by each of thousands costs more than
/// what is to be done about them.
const GATHERING: (Duration, usize) = (Duration::from_millis(1), 1000);

/// Waits a moment, and gives what has come by then.
pub fn gather<T>(inbox: &Receiver<T>) -> impl Iterator<Item = T> {
    let (moment, most) = GATHERING;
    // Nothing else comes here than the end of it.
    after(moment).recv().ok();
    inbox.try_iter().take(most)
}

/// All threads that the daemon lives by.
#[derive(Debug)]
pub struct Threads {
    running: Vec<(&'static str, JoinHandle<()>)>,
    ended: Receiver<Ended>,
    spawner: Spawner,
    pulses: Vec<Liveness>,
}

/// Starts threads that come and go while the daemon runs.
#[derive(Clone, Debug)]
pub struct Spawner(Sender<Ended>);

/// A thread's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub name: String,
    pub panicked: bool,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {} {}", self.name, if self.panicked { "panicked" } else { "ended unasked" })
    }
}

/// Tells of its thread's end, however that comes.
struct Guard {
    name: String,
    /// Whether an end without a panic is nothing to tell of.
    may_end: bool,
    end: Sender<Ended>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let panicked = thread::panicking();
        if panicked || !self.may_end {
            // Fails only if the daemon does not wait any more.
            self.end.send(Ended { name: std::mem::take(&mut self.name), panicked }).ok();
        }
    }
}

impl Spawner {
    /// Starts a thread whose end is its own affair, unless it is a panic: that ends the daemon.
    pub fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        self.start(thread::Builder::new(), name, true, work)
    }

    /// The same with a stack of so many bytes, for threads of which there may be many.
    pub fn spawn_small(
        &self,
        name: &str,
        stack: usize,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        self.start(thread::Builder::new().stack_size(stack), name, true, work)
    }

    fn start(
        &self,
        builder: thread::Builder,
        name: &str,
        may_end: bool,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let guard = Guard { name: name.to_owned(), may_end, end: self.0.clone() };
        builder.name(name.to_owned()).spawn(move || {
            let guard = guard;
            fault(&guard.name);
            work();
        })
    }
}

/// Panics in the thread that the environment names. Tests of the whole daemon break each kind of thread by it;
/// what is released knows nothing of it.
pub fn fault(name: &str) {
    let is_wanted =
        cfg!(debug_assertions) && crate::env("ZK_MONITOR_FAULT").is_some_and(|wanted| wanted == name);
    assert!(!is_wanted, "a test asked for it");
}

impl Default for Threads {
    fn default() -> Self {
        let (end, ended) = unbounded();
        Self { running: Vec::new(), ended, spawner: Spawner(end), pulses: Vec::new() }
    }
}

impl Threads {
    /// Starts a thread that runs for the daemon's life: its end ends the daemon.
    pub fn spawn(&mut self, name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let handle = self.spawner.start(thread::Builder::new(), name, false, work)?;
        self.running.push((name, handle));
        Ok(())
    }

    /// What starts threads that come and go.
    pub fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// A cell in which a thread's loop tells that it turns.
    pub fn pulse(&mut self, name: &'static str) -> Writer<Instant> {
        let (writer, last) = cell(clock::mono());
        self.pulses.push(Liveness { name, last, limit: TURN });
        writer
    }

    /// The pulses given out so far.
    pub fn pulses(&self) -> Vec<Liveness> {
        self.pulses.clone()
    }

    /// Hears of each thread that ends and should not.
    pub fn ended(&self) -> &Receiver<Ended> {
        &self.ended
    }

    /// What is behind a thread's end. One that hears of another's panic by a channel that closes may have ended first.
    pub fn cause(&self, mut ended: Ended) -> Ended {
        let deadline = clock::mono() + CAUSE;
        while !ended.panicked {
            match self.ended.recv_deadline(deadline) {
                Ok(later) if later.panicked => ended = later,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        ended
    }

    /// Waits until all of these threads have ended, or the deadline is over; names those that have not.
    pub fn wait_for(&mut self, names: &[&'static str], deadline: Instant) -> Vec<&'static str> {
        loop {
            self.join_finished();
            let left: Vec<_> =
                self.running.iter().map(|(name, _)| *name).filter(|name| names.contains(name)).collect();
            if left.is_empty() || self.ended.recv_deadline(deadline).is_err() {
                return left;
            }
        }
    }

    fn join_finished(&mut self) {
        for (name, handle) in self.running.extract_if(.., |(_, handle)| handle.is_finished()) {
            if handle.join().is_err() {
                log::error!("thread {name} panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(threads: &Threads) -> Option<String> {
        threads.ended().recv_timeout(Duration::from_secs(1)).ok().map(|ended| ended.to_string())
    }

    #[test]
    fn the_end_of_a_lasting_thread_is_told_and_of_another_only_its_panic() {
        let mut threads = Threads::default();
        threads.spawn("lasting", || {}).unwrap();
        assert_eq!(told(&threads).as_deref(), Some("thread lasting ended unasked"));
        threads.spawn("broken", || panic!("for a test")).unwrap();
        assert_eq!(told(&threads).as_deref(), Some("thread broken panicked"));
        let spawner = threads.spawner();
        spawner.spawn("passing", || {}).unwrap().join().unwrap();
        spawner.spawn_small("notify", 64 << 10, || panic!("for a test")).unwrap().join().unwrap_err();
        assert_eq!(
            told(&threads).as_deref(),
            Some("thread notify panicked"),
            "and nothing of the one before"
        );
    }

    #[test]
    fn a_panic_is_found_behind_the_end_that_it_caused() {
        let mut threads = Threads::default();
        let (first, second) = crossbeam_channel::bounded::<()>(0);
        threads.spawn("sink", move || assert!(second.recv().is_err())).unwrap();
        let ended = threads.spawner().spawn("source", move || {
            drop(first);
            panic!("for a test");
        });
        ended.unwrap().join().unwrap_err();
        let heard = threads.ended().recv_timeout(Duration::from_secs(1)).unwrap();
        assert_eq!(threads.cause(heard).name, "source");
    }
}
