//! A thousand paths of which all twenty children are read.

use std::fmt::Write as _;
use std::time::Instant;

use crate::common::{Daemon, SmtpSink, throughout};
use crate::table::{Figure, Table, figure};
use crate::watcher::{Kind, wait_until_ready};
use crate::{APART, Bed, count, percentile, told_at};

const PATHS: usize = 1_000;
const EACH: usize = 20;
const ROOT: &str = "/nested";

/// Until all is read, one change of one child, and the memory. None of the peers does that.
pub fn nested(bed: &mut Bed, table: &mut Table) {
    let paths: Vec<String> = (0..PATHS).map(|n| format!("{ROOT}/path-{n:04}")).collect();
    bed.client.create(ROOT, "");
    bed.client.create_many(&paths);
    for child in 0..EACH {
        bed.client.create_many(&paths.iter().map(|path| format!("{path}/c{child}")).collect::<Vec<_>>());
    }
    let what = format!("{} paths, {EACH} children of each read", count(PATHS));
    for _ in 0..bed.plan.rounds {
        table.measure(&what, Kind::Daemon, || one(bed, &paths, &what));
    }
}

fn one(bed: &mut Bed, paths: &[String], what: &str) -> Vec<Figure> {
    let (sink, child) = (SmtpSink::start(), format!("{}/c7", paths[0]));
    bed.client.set(&child, "");
    let spec = format!("{{min: {EACH}, where: {{ephemeral: false, data: {{equals: ''}}}}}}");
    let mut yaml = "group_wait: 0\n".to_owned();
    for (number, path) in paths.iter().enumerate() {
        let alerter = if number == 0 { ", alerter: {email: you@home.com}" } else { "" };
        writeln!(yaml, "{path}: {{children: {spec}{alerter}}}").unwrap();
    }
    let start = Instant::now();
    let daemon = Daemon::with(&bed.server.address(), &yaml).args(["-l", "INFO"]).smtp(sink.port()).start();
    wait_until_ready(&daemon);
    let mut figures = vec![
        figure(format!("{what}: armed"), "s", start.elapsed().as_secs_f64()),
        figure(format!("{what}: memory"), "MB", daemon.rss_kb() as f64 / 1024.0),
    ];
    daemon.wait_until_it_leads();
    let mut told = Vec::new();
    for round in 0..bed.plan.changes {
        throughout(APART, "at rest", || true);
        let start = Instant::now();
        bed.client.set(&child, if round % 2 == 0 { "off" } else { "" });
        told.push(told_at(&sink, round + 1) - start);
    }
    for share in [50, 99] {
        let name = format!("{what}: change of a child → mail, p{share}");
        figures.push(figure(name, "ms", percentile(&mut told, share)));
    }
    figures
}
