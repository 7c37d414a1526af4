//! Arming, memory, idleness, and what lies between a change and those who are told of it.

use std::time::{Duration, Instant};

use crate::common::{Access, Client, Mode, SmtpSink, throughout};
use crate::table::{Figure, Table, figure};
use crate::watcher::{Kind, Setup, WATCHED, WATCHERS, Watcher};
use crate::{APART, Bed, count, percentile, told_at};

/// How many paths are watched while nothing happens.
const IDLE: usize = 10_000;
/// How long after arming memory is looked at, and idleness begins: all of them have work left then.
const SETTLING: Duration = Duration::from_secs(4);
/// How many paths are armed only.
const ARMED_ONLY: usize = 1_000;

pub fn watching(bed: &mut Bed, table: &mut Table) {
    for size in bed.plan.sizes {
        for _ in 0..bed.plan.repetitions {
            for kind in WATCHERS {
                let what = format!("{} paths", count(*size));
                table.measure(&format!("{what}: armed"), kind, || one(bed, kind, *size, &what));
            }
        }
    }
}

/// All figures of one of them with so many paths, and one more that changes.
fn one(bed: &mut Bed, kind: Kind, size: usize, what: &str) -> Vec<Figure> {
    let (sink, paths) = (SmtpSink::start(), bed.with_watched(size));
    let address = bed.server.address();
    let mails = Some((&sink, WATCHED));
    let setup = Setup { address: &address, paths: &paths, minimum: 1, mails, yaml: "group_wait: 0\n" };
    let watcher = Watcher::start(kind, &setup);
    throughout(SETTLING, "settling", || true);
    let mut figures = vec![
        figure(format!("{what}: armed"), "s", watcher.armed.as_secs_f64()),
        figure(format!("{what}: memory"), "MB", watcher.megabytes()),
    ];
    if size == IDLE {
        let before = watcher.computed();
        throughout(bed.plan.idle, "idle", || true);
        let share = (watcher.computed() - before).as_secs_f64() / bed.plan.idle.as_secs_f64();
        figures.push(figure(format!("{what}: idle, share of a core"), "%", share * 100.0));
    }
    if size != ARMED_ONLY {
        let mut times = Times::default();
        for _ in 0..bed.plan.changes.div_ceil(2) {
            times.change(&mut bed.client, &watcher, &sink, kind);
        }
        figures.extend(times.figures(what));
    }
    figures
}

/// From the sending of a change until it was seen, and until its mail's last line was in the sink.
#[derive(Default)]
pub struct Times {
    seen: Vec<Duration>,
    told: Vec<Duration>,
}

impl Times {
    /// [`WATCHED`] goes out of spec and comes back. What comes back is told by mail alone: the daemon logs it later.
    pub fn change(&mut self, client: &mut Client, watcher: &Watcher, sink: &SmtpSink, kind: Kind) {
        let mails = matches!(kind, Kind::Daemon | Kind::Bare);
        let (path, child) = ([WATCHED.to_owned()], format!("{WATCHED}/child"));
        for children in [0, 1] {
            throughout(APART, "at rest", || true);
            watcher.drain();
            let told = sink.mails().len();
            let start = Instant::now();
            if children == 0 {
                client.delete(&child);
            } else {
                client.create_as(&child, "", Mode::Persistent, Access::Open);
            }
            if children == 0 {
                self.seen.push(watcher.saw(&path, 0) - start);
            } else if !mails {
                watcher.saw(&path, 1);
            }
            if mails {
                self.told.push(told_at(sink, told + 1) - start);
            }
        }
    }

    pub fn figures(mut self, what: &str) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (name, times) in [("seen", &mut self.seen), ("mail", &mut self.told)] {
            if !times.is_empty() {
                let of = |share| format!("{what}: change → {name}, p{share}");
                figures.extend([50, 99].map(|share| figure(of(share), "ms", percentile(times, share))));
            }
        }
        figures
    }
}
