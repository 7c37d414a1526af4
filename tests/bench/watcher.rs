//! Those that watch: the daemon and its peers, each a process that tells by lines what it saw.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};

use crate::MINUTES;
use crate::common::{Daemon, Folder, Process, SmtpSink, bound_to_us, eventually, throughout};

/// The path that is changed again and again, of which mails tell.
pub const WATCHED: &str = "/bench/watched";
/// How often the daemon is asked whether it is ready, at the most; later each hundredth of the time that it took so
/// far, since an answer is work too. The figure is exact to that.
const ASKED_EVERY: Duration = Duration::from_millis(2);

/// Who.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Daemon,
    Java,
    Kazoo,
    Bare,
    /// Checks in the manner of Nagios plugins, which watch nothing.
    Checks,
}

/// Those that watch. What is measured of several is measured in turns, in this order.
pub const WATCHERS: [Kind; 4] = [Kind::Daemon, Kind::Java, Kind::Kazoo, Kind::Bare];

/// What is to be watched.
pub struct Setup<'a> {
    pub address: &'a str,
    pub paths: &'a [String],
    /// How many children are in spec.
    pub minimum: usize,
    /// Where mails go, and of the paths with which prefix. Peers other than the bare library send none.
    pub mails: Option<(&'a SmtpSink, &'a str)>,
    /// What else stands in the daemon's configuration.
    pub yaml: &'a str,
}

enum Running {
    Daemon(Box<Daemon>),
    Peer(Process, #[allow(dead_code, reason = "the peer's files, which go with it")] Folder),
}

/// One of them at work, all paths read and watched. Killed when dropped.
pub struct Watcher {
    running: Running,
    lines: Receiver<(Instant, String)>,
    /// From its start until all paths were read and are watched. Of peers, the runtime's start is left out.
    pub armed: Duration,
}

impl Watcher {
    pub fn start(kind: Kind, setup: &Setup) -> Self {
        if kind == Kind::Daemon { Self::daemon(setup) } else { Self::peer(kind, setup) }
    }

    fn daemon(setup: &Setup) -> Self {
        let (tap, lines) = unbounded();
        let mut builder = Daemon::with(setup.address, &yaml(setup)).tap(tap);
        if let Some((sink, _)) = setup.mails {
            builder = builder.smtp(sink.port());
        }
        let start = Instant::now();
        // At DEBUG, a line a path would be measured too.
        let daemon = builder.args(["-l", "INFO", "--session_timeout", "10"]).start();
        wait_until_ready(&daemon);
        let armed = start.elapsed();
        // Not by the status, which is kept for a while and would count as memory: of 100,000 paths it has 40 MB.
        let shows = |line: &str| daemon.get("/metrics").body.lines().any(|shown| shown == line);
        let all = format!("zk_monitor_paths{{state=\"ok\"}} {}", setup.paths.len());
        assert!(shows(&all), "ready, and not all paths were read");
        if setup.mails.is_some() {
            eventually(MINUTES, "leading daemon", || shows("zk_monitor_alerting 1"));
        }
        Self { running: Running::Daemon(Box::new(daemon)), lines, armed }
    }

    fn peer(kind: Kind, setup: &Setup) -> Self {
        let folder = Folder::new("peer");
        let file = folder.write("paths", &setup.paths.join("\n"));
        let mut command = peer_command(kind);
        command.arg(setup.address).arg(file).stdin(Stdio::null()).stdout(Stdio::piped());
        let log = folder.path().join("log");
        command.stderr(File::create(&log).unwrap());
        if let (Kind::Bare, Some((sink, _))) = (kind, setup.mails) {
            command.arg(sink.port().to_string());
        }
        let mut process = Process::start(command);
        let (sender, lines) = unbounded();
        let output = BufReader::new(process.0.stdout.take().unwrap());
        // Ends with the peer, which closes its output then.
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                drop(sender.send((Instant::now(), line)));
            }
        });
        let wait_for = |wanted: &str| match lines.recv_timeout(MINUTES) {
            Ok((at, line)) if line == wanted => at,
            other => panic!("{kind:?}: not {wanted}: {other:?}: {}", last_words(&log)),
        };
        let begin = wait_for("begin");
        let armed = wait_for("armed") - begin;
        Self { running: Running::Peer(process, folder), lines, armed }
    }

    /// When it had seen all of these paths with so many children. What it said before is skipped.
    pub fn saw(&self, paths: &[String], children: usize) -> Instant {
        let mut missing: HashSet<&str> = paths.iter().map(String::as_str).collect();
        let (deadline, mut last) = (Instant::now() + MINUTES, None);
        while !missing.is_empty() {
            let next = self.lines.recv_deadline(deadline);
            let (at, line) = next.unwrap_or_else(|e| panic!("{e}: {} paths are not seen", missing.len()));
            match self.sighting(&line) {
                Some((path, count)) if count == children && missing.remove(path) => last = Some(at),
                _ => {}
            }
        }
        last.unwrap()
    }

    /// What it saw until it is quiet for a second: when, which path, how many children.
    pub fn sightings(&self) -> Vec<(Instant, String, usize)> {
        let mut all = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(1)) {
                Ok((at, line)) => all.extend(self.sighting(&line).map(|(path, n)| (at, path.to_owned(), n))),
                Err(RecvTimeoutError::Timeout) => return all,
                Err(RecvTimeoutError::Disconnected) => panic!("it ended"),
            }
        }
    }

    /// Forgets what it said so far.
    pub fn drain(&self) {
        self.lines.try_iter().for_each(drop);
    }

    /// The path and its children that a line tells. The daemon logs those that are out of spec alone.
    fn sighting<'a>(&self, line: &'a str) -> Option<(&'a str, usize)> {
        let (path, count) = match self.running {
            Running::Peer(..) => line.split_once(' ')?,
            Running::Daemon(_) => {
                let (path, rest) =
                    line.split_once("evaluate] (INFO) ")?.1.split_once(": Found children (")?;
                (path, rest.split_once(')')?.0)
            }
        };
        Some((path, count.parse().ok()?))
    }

    /// The daemon, if it is that.
    pub fn as_daemon(&self) -> Option<&Daemon> {
        match &self.running {
            Running::Daemon(daemon) => Some(daemon),
            Running::Peer(..) => None,
        }
    }

    fn pid(&self) -> u32 {
        match &self.running {
            Running::Daemon(daemon) => daemon.pid(),
            Running::Peer(process, _) => process.pid(),
        }
    }

    /// Resident memory in MB (2²⁰ bytes).
    pub fn megabytes(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1024.0
    }

    /// How long its threads have computed, to the nanosecond; those that ended are left out.
    pub fn computed(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let spent = threads.flatten().map(|thread| {
            let stat = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            stat.split_whitespace().next().map_or(0, |spent| spent.parse::<u64>().unwrap())
        });
        Duration::from_nanos(spent.sum())
    }
}

/// Waits until the daemon has read all its paths.
pub fn wait_until_ready(daemon: &Daemon) {
    let start = Instant::now();
    while !daemon.try_get("/-/ready").is_ok_and(|answer| answer.status == 200) {
        assert!(start.elapsed() < MINUTES, "the daemon is not ready within {MINUTES:?}");
        throughout(ASKED_EVERY.max(start.elapsed() / 100), "a pause", || true);
    }
}

fn yaml(setup: &Setup) -> String {
    let mut yaml = setup.yaml.to_owned();
    for path in setup.paths {
        let told = setup.mails.is_some_and(|(_, prefix)| path.starts_with(prefix));
        let alerter = if told { ", alerter: {email: you@home.com}" } else { "" };
        writeln!(yaml, "{path}: {{children: {}{alerter}}}", setup.minimum).unwrap();
    }
    yaml
}

fn peer_command(kind: Kind) -> Command {
    match kind {
        Kind::Java => {
            let mut command = bound_to_us("java");
            command.arg("-cp").arg(format!("/usr/share/java/zookeeper.jar:{}", built("classes").display()));
            command.arg("Watch");
            command
        }
        Kind::Kazoo => python("watch.py"),
        Kind::Checks => python("check.py"),
        Kind::Bare | Kind::Daemon => {
            let mut command = bound_to_us(std::env::current_exe().unwrap().to_str().unwrap());
            command.arg("--floor");
            command
        }
    }
}

/// A script of ours, by the interpreter that has kazoo.
pub fn python(script: &str) -> Command {
    let mut command = bound_to_us(built("venv/bin/python").to_str().unwrap());
    command.arg(format!("{}/tests/bench/{script}", env!("CARGO_MANIFEST_DIR")));
    command
}

/// What `tests/bench/run` made.
pub fn built(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/bench").join(name)
}

fn last_words(log: &std::path::Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("it said nothing").to_owned()
}
