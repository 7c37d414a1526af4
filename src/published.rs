//! A value with one writer and many readers.
//!
//! The writer replaces the whole value; a reader gets the value as it was at one moment. No lock is held
//! longer than it takes to copy a pointer, so a reader never delays the writer by its own work. This is the
//! only module of the crate that holds locks.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// The one handle that can replace the value. Deliberately not `Clone`.
#[derive(Debug)]
pub struct Writer<T>(Arc<RwLock<Arc<T>>>);

/// A handle that reads the value; clones read the same value.
#[derive(Debug)]
pub struct Reader<T>(Arc<RwLock<Arc<T>>>);

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Makes a cell that holds `initial`.
pub fn cell<T>(initial: T) -> (Writer<T>, Reader<T>) {
    let shared = Arc::new(RwLock::new(Arc::new(initial)));
    (Writer(Arc::clone(&shared)), Reader(shared))
}

impl<T> Writer<T> {
    /// Replaces the value; readers see it from their next `get` on.
    pub fn publish(&self, value: T) {
        let old = {
            // A poisoned lock still holds a whole value: the only write under it is a pointer swap.
            let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, Arc::new(value))
        };
        // Dropped here, outside the lock: freeing a large snapshot must not delay readers.
        drop(old);
    }
}

impl<T> Reader<T> {
    /// The value as it is now.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The sign of life of one long-lived thread, which publishes the time at each turn of its loop.
#[derive(Clone, Debug)]
pub struct Liveness {
    pub name: &'static str,
    /// When its loop last turned.
    pub last: Reader<Instant>,
    /// How long one turn may take.
    pub limit: Duration,
}

impl Liveness {
    /// How long the thread has been silent, if that is longer than it may be.
    pub fn overdue(&self, now: Instant) -> Option<Duration> {
        let silent = now.saturating_duration_since(*self.last.get());
        (silent > self.limit).then_some(silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_the_latest_value_and_keeps_the_one_it_took() {
        let (writer, reader) = cell(1);
        let kept = reader.get();
        writer.publish(2);
        assert_eq!((*kept, *reader.get(), *reader.clone().get()), (1, 2, 2));
    }

    #[test]
    fn a_thread_that_exceeds_its_limit_is_overdue() {
        let start = crate::clock::mono();
        let (_writer, last) = cell(start);
        let pulse = Liveness { name: "t", last, limit: Duration::from_secs(2) };
        assert_eq!(pulse.overdue(start + Duration::from_secs(2)), None);
        assert_eq!(pulse.overdue(start + Duration::from_secs(3)), Some(Duration::from_secs(3)));
    }
}
