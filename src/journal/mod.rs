//! What happened: the last events in memory for `/events`, and with `--state_dir` all of them in files.
//!
//! A thread of its own takes events from those who see them; no disk, whatever it does, is waited for by anybody
//! else. What a directory cannot take stays in memory, which one warning says, and another when it can again.

mod directory;
mod disk;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod line;
mod segments;
#[cfg(test)]
mod tests;

use std::hash::RandomState;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::clock;
use crate::model::event::{Event, What};
use crate::model::recent::{RECENT, Recent};
use crate::published::Writer;
pub use directory::{Summary, read};
use disk::Disk;

/// How many events are written at once.
const BATCH: usize = 1000;

/// How long to wait for an event before a directory that failed may be tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps the journal until nobody can tell it anything any more. `lost` counts what was not told.
pub fn run(directory: Option<PathBuf>, events: &Receiver<Event>, lost: &AtomicU64, recent: &Writer<Recent>) {
    let (mut last, keys) = (Recent::default(), RandomState::new());
    if let Some(directory) = &directory {
        last.extend(directory::last(directory, RECENT));
    }
    let mut disk = directory.map(Disk::new);
    loop {
        let first = match events.recv_timeout(PAUSE) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let mut batch: Vec<Event> = first.into_iter().chain(events.try_iter().take(BATCH)).collect();
        let dropped = lost.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            log::warn!(
                "{dropped} events came faster than they could be kept, and are missing in the journal"
            );
            batch.push(Event { time: clock::wall(), what: What::Lost(dropped) });
        }
        let served: Vec<bool> = batch.iter().map(|event| line::is_served(&event.what)).collect();
        let batch: Vec<_> = batch.into_iter().map(|event| line::recent(event, &keys)).collect();
        let was_failing = last.is_failing;
        if let Some(disk) = &mut disk {
            disk.write(&batch, clock::now());
            last.is_failing = disk.is_failing();
        }
        if served.contains(&true) || last.is_failing != was_failing {
            last.extend(batch.into_iter().zip(served).filter_map(|(event, served)| served.then_some(event)));
            recent.publish(last.clone());
        }
    }
}
