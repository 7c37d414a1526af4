//! Polling in the manner of Nagios: a process a path, which connects, looks, and tells the state by its exit code.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::Process;
use crate::table::{Figure, Table, figure};
use crate::watcher::{Kind, WATCHED, python};
use crate::{Bed, count, percentile};

/// How many paths are checked in turn, in truth; for more, the time is worked out.
const CHECKED: usize = 10;
/// How often Nagios checks a service unless it is told otherwise.
const INTERVAL: Duration = Duration::from_secs(300);
/// As a plugin says it.
const CRITICAL: Option<i32> = Some(2);

pub fn checks(bed: &mut Bed, table: &mut Table) {
    for _ in 0..bed.plan.rounds {
        table.measure("one check", Kind::Checks, || one_check(bed));
        table.measure(&seen(CHECKED, 50), Kind::Checks, || polled(bed));
    }
}

/// One check's time, and what follows from it for many, one after the other without a pause: on average, half of them
/// come before the one that sees the change.
fn one_check(bed: &mut Bed) -> Vec<Figure> {
    bed.with_watched(0);
    let (start, computed) = (Instant::now(), computed_by_children());
    for _ in 0..CHECKED {
        check(bed, WATCHED);
    }
    let each = start.elapsed().as_secs_f64() / CHECKED as f64;
    let share = (computed_by_children() - computed).as_secs_f64() / CHECKED as f64 / INTERVAL.as_secs_f64();
    let mut figures = vec![figure("one check", "s", each)];
    for size in bed.plan.sizes.iter().filter(|size| **size >= 10_000) {
        let round = each * *size as f64 * 1000.0;
        let idle = share * *size as f64 * 100.0;
        let idle = figure(format!("{} paths: idle, share of a core", count(*size)), "%", idle);
        let all = [figure(seen(*size, 50), "ms", round / 2.0), figure(seen(*size, 99), "ms", round), idle];
        figures.extend(all.map(|figure| Figure { is_computed: true, ..figure }));
    }
    figures
}

fn seen(size: usize, share: usize) -> String {
    format!("{} paths: change → seen, p{share}", count(size))
}

/// From a change until the check of its path says so, when ten are checked one after the other without a pause, and
/// the change comes anywhere in that.
fn polled(bed: &mut Bed) -> Vec<Figure> {
    let paths = bed.with_watched(CHECKED - 1);
    let mut times = Vec::new();
    for first in 0..CHECKED {
        bed.with_watched(0);
        let start = Instant::now();
        bed.client.delete(&format!("{WATCHED}/child"));
        let found = paths.iter().cycle().skip(first).find(|path| check(bed, path) == CRITICAL);
        assert_eq!(found.map(String::as_str), Some(WATCHED));
        times.push(start.elapsed());
    }
    [50, 99].map(|share| figure(seen(CHECKED, share), "ms", percentile(&mut times, share))).into()
}

fn check(bed: &Bed, path: &str) -> Option<i32> {
    let mut command = python("check.py");
    command.args([&bed.server.address(), path, "1"]).stdin(Stdio::null()).stdout(Stdio::null());
    let code = Process::start(command).0.wait().unwrap().code();
    assert!(matches!(code, Some(0 | 2)), "the check of {path} ended with {code:?}");
    code
}

/// What the children that ended have computed.
fn computed_by_children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name of the program, in brackets, may hold blanks: count from behind it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[13..15].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    // Linux tells programs hundredths of a second.
    Duration::from_millis(ticks * 10)
}
