//! Benchmarks against a real ZooKeeper: `cargo bench --bench daemon [-- NAME…]`. Each figure that depends on the
//! machine stands beside the same work done by the bare client library, in the same run.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails where it stands")]
#![allow(clippy::disallowed_methods, reason = "benchmarks measure time")]

#[path = "../integration/common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a toolbox: not every tool is in use here")]
mod common;
mod floor;
mod http;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use common::{Daemon, SmtpSink, ZooKeeper, eventually};

const MINUTES: Duration = Duration::from_secs(300);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let all: [(&str, fn()); 7] = [
        ("arming", arming),
        ("latency", latency),
        ("memory", memory),
        ("children", children),
        ("idle", idle),
        ("storm", storm),
        ("http", http::http),
    ];
    for (name, bench) in all {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            println!("== {name}");
            bench();
        }
    }
}

fn paths(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("/bench/group-{}/path-{n:06}", n % 100)).collect()
}

/// A server with these paths, each with one child.
fn server_with(paths: &[String]) -> ZooKeeper {
    let server = ZooKeeper::with(&[], &["-Xmx1g"]);
    let mut client = server.client();
    client.create("/bench/x", "");
    for group in 0..100 {
        client.create(&format!("/bench/group-{group}"), "");
    }
    client.create_many(paths);
    client.create_many(&paths.iter().map(|path| format!("{path}/child")).collect::<Vec<_>>());
    server
}

fn yaml(paths: &[String], alerter: &str) -> String {
    let mut yaml = String::new();
    for path in paths {
        writeln!(yaml, "{path}: {{children: 1{alerter}}}").unwrap();
    }
    yaml
}

fn until_ready(daemon: &Daemon) {
    let ready = || daemon.try_get("/-/ready").is_ok_and(|answer| answer.status == 200);
    eventually(MINUTES, "ready daemon", ready);
}

/// From the start of the process until every path was read on a live session and is watched.
fn arming() {
    for count in [1_000, 100_000] {
        let paths = paths(count);
        let server = server_with(&paths);
        let bare = floor::arm(&server.address(), &paths);
        let start = Instant::now();
        // A line a path would be measured too.
        let daemon = Daemon::with(&server.address(), &yaml(&paths, "")).args(["-l", "INFO"]).start();
        until_ready(&daemon);
        let ours = start.elapsed();
        let status = daemon.status();
        let read = status["monitor"]["compliance"].as_object().unwrap().values().filter(|one| **one == true);
        assert_eq!(read.count(), count, "ready, and not all paths were read");
        let ratio = ours.as_secs_f64() / bare.as_secs_f64();
        println!("{count} paths: {ours:.2?}; bare library, 16 threads: {bare:.2?}; ratio {ratio:.2}");
    }
}

/// From the sending of a change to the mail's last line in the sink.
fn latency() {
    const ROUNDS: usize = 300;
    let server = ZooKeeper::start();
    let mut client = server.client();
    client.create("/bench/path/child", "");
    let sink = SmtpSink::start();
    let yaml = "group_wait: 0\n/bench/path: {children: 1, alerter: {email: you@home.com}}\n";
    let daemon = Daemon::with(&server.address(), yaml).smtp(sink.port()).start();
    until_ready(&daemon);
    daemon.wait_until_it_leads();
    // The server gets faster as it runs.
    floor::latency(&server, ROUNDS / 3);
    let mut ours = Vec::new();
    for round in 0..ROUNDS {
        common::throughout(floor::APART, "at rest", || true);
        let start = Instant::now();
        if round % 2 == 0 {
            client.delete("/bench/path/child")
        } else {
            client.create("/bench/path/child", "")
        }
        ours.push(told_at(&sink, round + 1) - start);
    }
    let bare = floor::latency(&server, ROUNDS);
    for (name, share) in [("p50", 50), ("p99", 99)] {
        let (ours, bare) = (percentile(&mut ours, share), percentile(&mut bare.clone(), share));
        println!(
            "{name}: {ours:.2?}; floor {bare:.2?}; ratio {:.2}",
            ours.as_secs_f64() / bare.as_secs_f64()
        );
    }
}

/// When the mail came that is the `count`th. Earlier ones are not looked at, so that a question costs the same each time.
fn told_at(sink: &SmtpSink, count: usize) -> Instant {
    eventually(common::SOON, "mail", || sink.mails_since(count - 1).first().map(|mail| mail.at))
}

fn percentile(times: &mut [Duration], share: usize) -> Duration {
    times.sort();
    times[(times.len() - 1) * share / 100]
}

/// Resident memory once all is read.
fn memory() {
    for count in [10, 10_000, 100_000] {
        let paths = paths(count);
        let server = server_with(&paths);
        let daemon = Daemon::with(&server.address(), &yaml(&paths, "")).start();
        until_ready(&daemon);
        let ready = daemon.rss_kb();
        daemon.get("/status");
        println!("{count} paths: {} MB, after a /status {} MB", ready / 1024, daemon.rss_kb() / 1024);
    }
}

/// A thousand paths of which all twenty children are read: until all is, one change of one child, and what that takes.
fn children() {
    const PATHS: usize = 1_000;
    const EACH: usize = 20;
    const ROUNDS: usize = 200;
    let paths: Vec<String> = (0..PATHS).map(|n| format!("/bench/path-{n:04}")).collect();
    let server = ZooKeeper::with(&[], &["-Xmx1g"]);
    let mut client = server.client();
    client.create("/bench", "");
    client.create_many(&paths);
    for child in 0..EACH {
        client.create_many(&paths.iter().map(|path| format!("{path}/c{child}")).collect::<Vec<_>>());
    }
    let sink = SmtpSink::start();
    let spec = format!("{{min: {EACH}, where: {{ephemeral: false, data: {{equals: ''}}}}}}");
    let mut yaml = "group_wait: 0\n".to_owned();
    for (number, path) in paths.iter().enumerate() {
        let alerter = if number == 0 { ", alerter: {email: you@home.com}" } else { "" };
        writeln!(yaml, "{path}: {{children: {spec}{alerter}}}").unwrap();
    }
    let start = Instant::now();
    let daemon = Daemon::with(&server.address(), &yaml).smtp(sink.port()).start();
    until_ready(&daemon);
    println!("{PATHS} paths of {EACH} children: read in {:.2?}", start.elapsed());
    println!("{} MB, after a /status {} MB", daemon.rss_kb() / 1024, {
        daemon.get("/status?detail=1");
        daemon.rss_kb() / 1024
    });
    daemon.wait_until_it_leads();
    let mut told = Vec::new();
    for round in 0..ROUNDS {
        common::throughout(floor::APART, "at rest", || true);
        let start = Instant::now();
        client.set(&format!("{}/c7", paths[0]), if round % 2 == 0 { "off" } else { "" });
        told.push(told_at(&sink, round + 1) - start);
    }
    for (name, share) in [("p50", 50), ("p99", 99)] {
        println!("{name} from a child's change to the mail: {:.2?}", percentile(&mut told, share));
    }
    // From the event to the reading of all its children, which is what is theirs of that.
    for line in
        daemon.get("/metrics").body.lines().filter(|line| line.starts_with("zk_monitor_watch_latency"))
    {
        println!("{line}");
    }
}

/// The share of one core while nothing happens.
fn idle() {
    const SECONDS: u64 = 20;
    let paths = paths(10_000);
    let server = server_with(&paths);
    let daemon = Daemon::with(&server.address(), &yaml(&paths, "")).args(["--session_timeout", "10"]).start();
    until_ready(&daemon);
    let before = daemon.cpu_time();
    common::throughout(Duration::from_secs(SECONDS), "idle", || true);
    let used = daemon.cpu_time() - before;
    println!("10000 paths: {:.3} % of a core", used.as_secs_f64() / SECONDS as f64 * 100.0);
}

/// Ten thousand paths fall out of spec at once.
fn storm() {
    const COUNT: usize = 10_000;
    let paths = paths(COUNT);
    let server = server_with(&paths);
    let sink = SmtpSink::start();
    let yaml = yaml(&paths, ", alerter: {email: you@home.com}");
    let daemon = Daemon::with(&server.address(), &yaml).smtp(sink.port()).start();
    until_ready(&daemon);
    daemon.wait_until_it_leads();
    let children: Vec<String> = paths.iter().map(|path| format!("{path}/child")).collect();
    for (what, change) in [("out of spec", true), ("back in spec", false)] {
        let told = sink.mails().len();
        let start = Instant::now();
        let mut client = server.client();
        if change {
            client.delete_many(&children)
        } else {
            client.create_many(&children)
        }
        let changed = start.elapsed();
        eventually(MINUTES, "mails about all paths", || {
            let mails = sink.mails();
            let bodies: String = mails[told..].iter().map(|mail| mail.body.as_str()).collect();
            let named = paths.iter().filter(|path| bodies.contains(path.as_str())).count();
            if named == COUNT { Ok(()) } else { Err(named) }
        });
        let last = sink.mails().iter().map(|mail| mail.at).max().unwrap() - start;
        let mails = sink.mails().len() - told;
        let memory = daemon.rss_kb() / 1024;
        println!(
            "{COUNT} paths {what}: changed in {changed:.2?}, last mail after {last:.2?}, {mails} mails, {memory} MB"
        );
    }
}
