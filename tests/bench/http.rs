//! `/status` under load, and what the load does to alerts.
//!
//! The load generator, the daemon, ZooKeeper and the mail sink share this machine's cores, so that a load as fast as
//! it can be slows everything on a small machine. The same load on another daemon, and the bare library's latency
//! beside it, tell that apart from what the daemon's own parts do to each other.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Client, Daemon, SmtpSink, ZooKeeper, throughout};
use crate::{floor, paths, percentile, server_with, told_at, until_ready, yaml};

/// How many changes each latency is taken from.
const ROUNDS: usize = 200;
const WATCHED: &str = "/bench/group-0/watched";

/// Requests a second, and the latency of alerts idle and under load, with few paths and with many.
pub fn http() {
    for count in [10, 10_000] {
        let paths = paths(count);
        let server = server_with(&paths);
        let mut bench = Bench::new(&server, &yaml(&paths, ""));
        for connections in [1, 8] {
            let mut wrk = Wrk::start(&bench.url, connections, 5);
            println!("{count} paths, {connections} connections: {} requests/s", wrk.requests_a_second());
        }
        let (idle, floor) = (bench.latency(), floor::latency(&server, ROUNDS));
        for connections in [1, 8] {
            let load = Wrk::start(&bench.url, connections, 600);
            let (ours, bare) = (bench.latency(), floor::latency(&server, ROUNDS));
            drop(load);
            let load = Wrk::start(&bench.other_url, connections, 600);
            let beside = bench.latency();
            drop(load);
            println!("{count} paths, change to mail, idle and beside {connections} connections:");
            compare("daemon", &idle, &ours);
            compare("daemon, load on another", &idle, &beside);
            compare("bare library", &floor, &bare);
        }
    }
}

/// Two latencies of the same, by percentiles.
fn compare(who: &str, idle: &[Duration], loaded: &[Duration]) {
    for (name, share) in [("p50", 50), ("p99", 99)] {
        let [idle, loaded] = [idle, loaded].map(|times| percentile(&mut times.to_vec(), share));
        let ratio = loaded.as_secs_f64() / idle.as_secs_f64();
        println!("    {who} {name}: {idle:.2?} and {loaded:.2?}; ratio {ratio:.2}");
    }
}

/// A daemon that watches one path more, of which it tells.
struct Bench {
    client: Client,
    mails: SmtpSink,
    _daemons: [Daemon; 2],
    url: String,
    other_url: String,
    told: usize,
}

impl Bench {
    fn new(server: &ZooKeeper, yaml: &str) -> Self {
        let (mut client, mails) = (server.client(), SmtpSink::start());
        client.create(&format!("{WATCHED}/child"), "");
        let rule = format!("{WATCHED}: {{children: 1, alerter: {{email: you@home.com}}}}\n");
        let alerting = format!("group_wait: 0\n{yaml}{rule}");
        let daemon = Daemon::with(&server.address(), &alerting).smtp(mails.port()).start();
        until_ready(&daemon);
        daemon.wait_until_it_leads();
        let other = Daemon::with(&server.address(), yaml).args(["-c", "other"]).start();
        until_ready(&other);
        let [url, other_url] = [&daemon, &other].map(|daemon| format!("http://{}/status", daemon.address()));
        Self { client, mails, _daemons: [daemon, other], url, other_url, told: 0 }
    }

    /// From the sending of each change to its mail's last line in the sink.
    fn latency(&mut self) -> Vec<Duration> {
        let change = |_| {
            throughout(floor::APART, "at rest", || true);
            let start = Instant::now();
            if self.told.is_multiple_of(2) {
                self.client.delete(&format!("{WATCHED}/child"))
            } else {
                self.client.create(&format!("{WATCHED}/child"), "")
            }
            self.told += 1;
            told_at(&self.mails, self.told) - start
        };
        (0..ROUNDS).map(change).collect()
    }
}

/// The load: requests as fast as they are answered. Ends when dropped.
struct Wrk(Child);

impl Wrk {
    fn start(url: &str, connections: usize, seconds: u64) -> Self {
        let mut command = Command::new("wrk");
        command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), url]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        Self(child.unwrap_or_else(|error| panic!("cannot run wrk ({error}): apt-get install wrk")))
    }

    /// What it says in the end.
    fn requests_a_second(&mut self) -> String {
        let mut told = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        let line = told.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
        let failed = told.lines().find(|line| line.contains("errors:") || line.contains("Non-2xx"));
        assert_eq!(failed, None, "{told}");
        line.unwrap_or_else(|| panic!("{told}")).trim().to_owned()
    }
}

impl Drop for Wrk {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().unwrap();
    }
}
