//! Instructions per arming and per change, counted by valgrind's callgrind: the figures that another program on the
//! same cores does not change. `baseline.yaml` keeps those of the release build.

use std::time::Instant;

use crossbeam_channel::unbounded;

use crate::common::{Daemon, Folder, ZooKeeper, eventually};
use crate::table::{Figure, Table, figure};
use crate::watcher::{Kind, wait_until_ready};
use crate::{Bed, MINUTES, children_of, watcher};

/// Each figure is the difference of two runs, so that the start and the end of the program are not in it.
const FEW: usize = 500;
const MANY: usize = 1_000;
const CHANGES: usize = 500;

const BASELINE: &str = include_str!("baseline.yaml");

pub fn instructions(bed: &mut Bed, table: &mut Table) {
    for _ in 0..bed.plan.repetitions {
        table.measure("instructions", Kind::Daemon, || {
            let few = counted(bed, FEW, 0);
            let arming = counted(bed, MANY, 0).saturating_sub(few) as f64 / (MANY - FEW) as f64;
            let change = counted(bed, FEW, CHANGES).saturating_sub(few) as f64 / CHANGES as f64;
            beside_baseline("arming", arming).into_iter().chain(beside_baseline("change", change)).collect()
        });
    }
}

fn beside_baseline(of: &str, count: f64) -> [Figure; 2] {
    let baseline: serde_yaml::Value = serde_yaml::from_str(BASELINE).unwrap();
    let before = baseline[of].as_f64().unwrap();
    [
        figure(format!("instructions, each {of}"), "", count),
        figure(format!("instructions, each {of}, ÷ baseline"), "", count / before),
    ]
}

/// How many instructions a daemon takes that arms so many paths, sees so many of them go out of spec, one after the
/// other, and ends.
fn counted(bed: &mut Bed, size: usize, changes: usize) -> u64 {
    let (folder, paths) = (Folder::new("callgrind"), &bed.paths[..size]);
    let children = children_of(&paths[..changes]);
    let yaml: String = paths.iter().map(|path| format!("{path}: {{children: 1}}\n")).collect();
    let profile = watcher::built("callgrind.out");
    let (file, log) = (format!("--callgrind-out-file={}", profile.display()), folder.path().join("log"));
    let log = format!("--log-file={}", log.display());
    let (tap, lines) = unbounded();
    let builder = Daemon::with(&bed.server.address(), &yaml).tap(tap);
    // Everything takes fifty times as long.
    let builder = builder.args(["-l", "INFO", "--session_timeout", "60"]);
    let mut daemon = builder.under("valgrind", ["--tool=callgrind", &file, &log]).start();
    // The server is asked first: what the daemon does for a question would be counted, too.
    eventually(MINUTES, "all watches", || watches(&bed.server) >= size);
    wait_until_ready(&daemon);
    for (path, child) in paths.iter().zip(&children) {
        bed.client.delete(child);
        let (deadline, told) = (Instant::now() + MINUTES, format!("{path}: Found children (0)"));
        while !lines.recv_deadline(deadline).unwrap().1.contains(&told) {}
    }
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait(MINUTES), Some(0));
    bed.client.create_many(&children);
    let profile = std::fs::read_to_string(profile).unwrap();
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: "));
    total.expect("callgrind's totals").trim().parse().unwrap()
}

/// How many watches the server keeps.
fn watches(server: &ZooKeeper) -> usize {
    let told = server.ask("mntr").unwrap_or_default();
    told.lines().find_map(|line| line.strip_prefix("zk_watch_count")?.trim().parse().ok()).unwrap_or(0)
}
