//! Where log lines go.
//!
//! A thread that logs hands its line to a bounded queue and goes on; the thread `log` writes. A stuck terminal,
//! pipe or syslog daemon therefore delays nothing else: while the queue is full, lines are dropped and counted,
//! and the count is logged when there is room again.

mod line;
mod sink;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use log::{Level, LevelFilter, Log, Metadata, Record};
use syslog::Facility;

use crate::clock;
use line::Line;
use sink::Sink;

/// How many lines wait at most. With the bound on a line's length this bounds the memory.
const QUEUE: usize = 4096;

/// How long the first line that finds the queue full waits for room before lines are dropped: long enough for
/// a writer that is merely busy, short enough for a lease.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long [`flush`] waits for what is queued.
const FLUSH: Duration = Duration::from_millis(500);

/// Begins to log what is at least as grave as `level`, under the syslog facility if one is named, and makes a panic one
/// line of the log.
///
/// The writing thread lives as long as the process: the last lines come after everything else has ended. Call
/// [`flush`] before the process exits.
///
/// # Errors
/// In words, if the process logs already, or has no room for one more thread.
pub fn init(level: LevelFilter, facility: Option<Facility>) -> Result<(), String> {
    let (sender, queue) = bounded(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let logger = Logger { level, queue: sender, dropped: Arc::clone(&dropped) };
    let mut sink = Sink::choose(facility);
    thread::Builder::new()
        .name("log".into())
        .spawn(move || {
            // A fault of the syslog library must not cost the rest of the log.
            if catch_unwind(AssertUnwindSafe(|| write_all(&queue, &mut sink, &dropped))).is_err() {
                write_all(&queue, &mut Sink::choose(None), &dropped);
            }
        })
        .map_err(|e| format!("cannot start the thread that writes the log: {e}"))?;
    log::set_boxed_logger(Box::new(logger)).map_err(|_| "logging was begun twice".to_owned())?;
    log::set_max_level(level);
    std::panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        log::error!(target: "zk_monitor::panic", "thread {}: {panic}", thread.name().unwrap_or("without a name"));
        log::logger().flush();
    }));
    Ok(())
}

/// Waits until what was logged so far is written, but no longer than half a second.
pub fn flush() {
    log::logger().flush();
}

/// What the writing thread hears.
enum Item {
    Line(Line),
    /// Somebody waits until all lines before this are written.
    Flush(Sender<()>),
}

/// The side of the queue that every thread has.
struct Logger {
    level: LevelFilter,
    queue: Sender<Item>,
    dropped: Arc<AtomicU64>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= limit(metadata.target(), self.level)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.push(Line::new(clock::wall(), record.level(), record.target(), record.args()));
        }
    }

    fn flush(&self) {
        let ((done, written), deadline) = (bounded(1), clock::mono() + FLUSH);
        if self.queue.send_deadline(Item::Flush(done), deadline).is_ok() {
            // If the writer is stuck, there is no log to tell it.
            written.recv_deadline(deadline).ok();
        }
    }
}

impl Logger {
    /// Queues a line. The first one that finds the queue full waits a moment; the next ones, until the writer
    /// moves on, do not.
    fn push(&self, line: Line) {
        let Err(TrySendError::Full(item)) = self.queue.try_send(Item::Line(line)) else { return };
        let dropping = self.dropped.load(Ordering::Relaxed) > 0;
        if dropping || self.queue.send_timeout(item, PATIENCE).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How grave a record of `target` must be. Only our own modules are subject to the operator's level: libraries
/// report to us, and what they say besides is noise below WARN. The ZooKeeper client is silenced wholly: while
/// it reconnects it can log 140,000 lines a second, and the session tells all that matters. So is tiny_http, whose
/// one complaint is that its listener was shut, which is how it is used.
fn limit(target: &str, level: LevelFilter) -> LevelFilter {
    let of =
        |name: &str| target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    if of("zk_monitor") {
        level
    } else if of("zookeeper") || of("mio") || of("tiny_http") {
        LevelFilter::Off
    } else {
        level.min(LevelFilter::Warn)
    }
}

/// The thread `log`: writes what is queued, until the process ends.
fn write_all(queue: &Receiver<Item>, sink: &mut Sink, dropped: &AtomicU64) {
    for item in queue {
        let missing = dropped.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let text = format_args!(
                "{missing} lines of this log are missing: they came faster than they could be written"
            );
            sink.write(&Line::new(clock::wall(), Level::Warn, module_path!(), &text));
        }
        match item {
            Item::Line(line) => sink.write(&line),
            // Whoever waited may have given up.
            Item::Flush(done) => drop(done.try_send(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn only_our_own_modules_follow_the_level() {
        let check =
            |target, level, expected| assert_eq!(limit(target, level), expected, "{target} at {level}");
        check("zk_monitor", LevelFilter::Debug, LevelFilter::Debug);
        check("zk_monitor::zk::session", LevelFilter::Info, LevelFilter::Info);
        check("zk_monitor_other", LevelFilter::Debug, LevelFilter::Warn);
        check("zookeeper", LevelFilter::Error, LevelFilter::Off);
        check("zookeeper::io", LevelFilter::Debug, LevelFilter::Off);
        check("mio::poll", LevelFilter::Debug, LevelFilter::Off);
        check("rustls::client::hs", LevelFilter::Debug, LevelFilter::Warn);
        check("lettre", LevelFilter::Error, LevelFilter::Error);
    }

    /// A queue that nobody empties: what is too much is counted, and the count told once it is emptied.
    #[test]
    fn a_stuck_writer_costs_lines_and_no_time() {
        let (sender, queue) = bounded(2);
        let dropped = Arc::new(AtomicU64::new(0));
        let logger = Logger { level: LevelFilter::Info, queue: sender, dropped: Arc::clone(&dropped) };
        for number in 0..1000 {
            let args = format_args!("{number}").to_string();
            logger.push(Line::new(SystemTime::UNIX_EPOCH, Level::Info, "zk_monitor", &args));
        }
        assert_eq!((queue.len(), dropped.load(Ordering::Relaxed)), (2, 998));
        drop(logger);
        let (out, written) = crossbeam_channel::unbounded();
        write_all(&queue, &mut Sink::Memory(out), &dropped);
        let lines: Vec<String> = written.iter().collect();
        assert!(lines[0].contains("998 lines of this log are missing"), "{lines:?}");
        assert_eq!(lines[1..], ["[zk_monitor] (INFO) 0", "[zk_monitor] (INFO) 1"]);
    }

    #[test]
    fn a_flush_comes_back_once_all_is_written() {
        let (sender, queue) = bounded(8);
        let dropped = Arc::new(AtomicU64::new(0));
        let logger = Logger { level: LevelFilter::Info, queue: sender, dropped: Arc::clone(&dropped) };
        let (out, written) = crossbeam_channel::unbounded();
        let writer = thread::spawn(move || write_all(&queue, &mut Sink::Memory(out), &dropped));
        logger.push(Line::new(SystemTime::UNIX_EPOCH, Level::Info, "zk_monitor::daemon", &"first"));
        logger.flush();
        assert_eq!(written.try_recv().as_deref(), Ok("[daemon] (INFO) first"));
        drop(logger);
        writer.join().unwrap();
    }
}
