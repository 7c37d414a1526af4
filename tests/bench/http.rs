//! `/status` under load, and what the load does to alerts.
//!
//! The load generator, the daemon, ZooKeeper and the mail sink share this machine's cores, so that a load as fast as
//! it can be slows everything on a small machine. The bare library's latency under the same load tells that apart
//! from what the daemon's own parts do to each other.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use crate::common::SmtpSink;
use crate::table::{Figure, Table, figure};
use crate::watcher::{Kind, Setup, WATCHED, Watcher};
use crate::watching::Times;
use crate::{Bed, count};

/// With few paths and with many.
const SIZES: [usize; 2] = [10, 10_000];
/// The least and the most connections of the load.
const CONNECTIONS: [usize; 2] = [1, 8];
/// Longer than any measurement beside it takes.
const LONG: u64 = 600;

/// Requests a second, and the latency of alerts under load.
pub fn http(bed: &mut Bed, table: &mut Table) {
    for size in SIZES {
        for _ in 0..bed.plan.rounds {
            let what = format!("{} paths: GET /status", count(size));
            table.measure(&what, Kind::Daemon, || requests(bed, size, &what));
            for kind in [Kind::Daemon, Kind::Bare] {
                let what = format!("{what} by {} connections meanwhile", CONNECTIONS[1]);
                table.measure(&what, kind, || latency_under_load(bed, kind, size, &what));
            }
        }
    }
}

fn requests(bed: &mut Bed, size: usize, what: &str) -> Vec<Figure> {
    let (address, paths) = (bed.server.address(), &bed.paths[..size]);
    let setup = Setup { address: &address, paths, minimum: 1, mails: None, yaml: "" };
    let watcher = Watcher::start(Kind::Daemon, &setup);
    let each = |connections| {
        let mut wrk = Wrk::start(&watcher, connections, bed.plan.requests.as_secs());
        figure(format!("{what}, {connections} connections"), "1/s", wrk.requests_a_second())
    };
    CONNECTIONS.map(each).into()
}

fn latency_under_load(bed: &mut Bed, kind: Kind, size: usize, what: &str) -> Vec<Figure> {
    let (sink, paths, address) = (SmtpSink::start(), bed.with_watched(size), bed.server.address());
    let mails = Some((&sink, WATCHED));
    let setup = Setup { address: &address, paths: &paths, minimum: 1, mails, yaml: "group_wait: 0\n" };
    let watcher = Watcher::start(kind, &setup);
    // Beside the bare library, the load is on a daemon that does nothing else.
    let other = watcher
        .as_daemon()
        .is_none()
        .then(|| Watcher::start(Kind::Daemon, &Setup { mails: None, paths: &bed.paths[..size], ..setup }));
    let _load = Wrk::start(other.as_ref().unwrap_or(&watcher), CONNECTIONS[1], LONG);
    let mut times = Times::default();
    for _ in 0..bed.plan.changes.div_ceil(2) {
        times.change(&mut bed.client, &watcher, &sink, kind);
    }
    times.figures(what)
}

/// The load: requests as fast as they are answered. Ends when dropped.
struct Wrk(Child);

impl Wrk {
    fn start(on: &Watcher, connections: usize, seconds: u64) -> Self {
        let url = format!("http://{}/status", on.as_daemon().unwrap().address());
        let mut command = Command::new("wrk");
        command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), &url]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        Self(child.unwrap_or_else(|error| panic!("cannot run wrk ({error}): apt-get install wrk")))
    }

    /// What it says in the end.
    fn requests_a_second(&mut self) -> f64 {
        let mut told = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        let line = told.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
        let failed = told.lines().find(|line| line.contains("errors:") || line.contains("Non-2xx"));
        assert_eq!(failed, None, "{told}");
        line.unwrap_or_else(|| panic!("{told}")).trim().parse().unwrap()
    }
}

impl Drop for Wrk {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().unwrap();
    }
}
