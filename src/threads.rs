//! The daemon's threads: named, owned, and waited for with a bound.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::published::{Pulse, Writer, cell};

/// How long one turn of a loop may take before the daemon counts as hung: longer than any bounded call in it.
const TURN: Duration = Duration::from_secs(60);

/// All threads that the daemon lives by.
#[derive(Debug)]
pub struct Threads {
    running: Vec<(&'static str, JoinHandle<()>)>,
    ended: Receiver<&'static str>,
    end: Sender<&'static str>,
    pulses: Vec<Pulse>,
}

/// Says that its thread has ended, however it did.
struct Ending(&'static str, Sender<&'static str>);

impl Drop for Ending {
    fn drop(&mut self) {
        // Fails only if the daemon does not wait any more.
        self.1.send(self.0).ok();
    }
}

impl Default for Threads {
    fn default() -> Self {
        let (end, ended) = unbounded();
        Self { running: Vec::new(), ended, end, pulses: Vec::new() }
    }
}

impl Threads {
    /// Starts a thread.
    ///
    /// # Errors
    /// If the process is out of threads.
    pub fn spawn(&mut self, name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let ending = Ending(name, self.end.clone());
        let handle = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _ending = ending;
            work();
        })?;
        self.running.push((name, handle));
        Ok(())
    }

    /// A cell in which a thread's loop tells that it turns.
    pub fn pulse(&mut self, name: &'static str) -> Writer<Instant> {
        let (writer, last) = cell(clock());
        self.pulses.push(Pulse { name, last, limit: TURN });
        writer
    }

    /// The pulses given out so far.
    pub fn pulses(&self) -> Vec<Pulse> {
        self.pulses.clone()
    }

    /// Hears the name of each thread that ends.
    pub fn ended(&self) -> &Receiver<&'static str> {
        &self.ended
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
        let (done, running) = self.running.drain(..).partition(|(_, handle)| handle.is_finished());
        self.running = running;
        let done: Vec<(&'static str, JoinHandle<()>)> = done;
        for (name, handle) in done {
            if handle.join().is_err() {
                log::error!("thread {name} panicked");
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "threads are watched in real time")]
fn clock() -> Instant {
    Instant::now()
}
