//! The executable under test.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;
use serde_json::Value;

use super::children::{Process, bound_to_us, bound_within};
use super::response::Response;
use super::run::{EXECUTABLE, Output, finish};
use super::{Folder, SOON, eventually, free_port};

/// How many lines of its log are kept.
const LINES: usize = 20_000;

/// What the daemon hears of its surroundings, and is not to hear of those of the tests.
const SURROUNDINGS: [&str; 14] = [
    "SMTP_HOST",
    "SMTP_PORT",
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
    "ZK_MONITOR_ZOOKEEPER_PASS",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
];

/// What the log says when the port is open; the address follows.
const LISTENS: &str = "HTTP server listens on ";

/// A daemon that is to be started.
pub struct Builder {
    folder: Folder,
    command: Command,
    tap: Option<Tap>,
}

/// Where each line of a log goes, with the time when it came.
pub type Tap = Sender<(Instant, String)>;

/// A daemon that was started. Killed when dropped; if a test fails, its log is shown.
pub struct Daemon {
    folder: Folder,
    process: Process,
    log: Arc<Mutex<VecDeque<String>>>,
    /// How many bytes it has logged.
    logged: Arc<AtomicU64>,
    address: String,
}

impl Daemon {
    /// A daemon with this YAML, on any free port, in a cluster of its own unless several have one ZooKeeper, with
    /// a short session.
    pub fn with(zookeeper: &str, yaml: &str) -> Builder {
        let folder = Folder::new("daemon");
        let file = folder.write("zk_monitor.yaml", yaml);
        let mut command = bound_to_us(EXECUTABLE);
        command.args(["-z", zookeeper, "--port", "0", "--bind", "127.0.0.1", "-l", "DEBUG"]);
        command.args(["--session_timeout", "4", "-f"]).arg(file);
        for variable in SURROUNDINGS {
            command.env_remove(variable);
        }
        // As the systemd unit has it.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Builder { folder, command, tap: None }
    }

    /// Starts one and waits until it has read all its paths.
    ///
    /// # Panics
    /// If it does not come so far.
    #[track_caller]
    pub fn start(zookeeper: &str, yaml: &str) -> Self {
        let daemon = Self::with(zookeeper, yaml).start();
        daemon.wait_until_ready();
        daemon
    }

    /// Waits until `/-/ready` says so.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        eventually(SOON, "ready daemon", || {
            let response = self.try_get("/-/ready")?;
            if response.status == 200 { Ok(()) } else { Err(std::io::Error::other(response.body)) }
        });
    }

    /// Waits until it may send alerts.
    ///
    /// # Panics
    /// If it never leads.
    #[track_caller]
    pub fn wait_until_it_leads(&self) {
        self.wait_until("leading daemon", |status| status["monitor"]["alerter"]["alerting"] == true);
    }

    /// Where its HTTP server listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// `/status`, with what is added for detail.
    ///
    /// # Panics
    /// If it is not answered with JSON.
    #[track_caller]
    pub fn status(&self) -> Value {
        let response = self.get("/status?detail=1");
        assert_eq!(response.status, 200, "{}", response.body);
        serde_json::from_str(&response.body).unwrap_or_else(|error| panic!("{error}: {}", response.body))
    }

    /// How a path stands: `true` or a message.
    #[track_caller]
    pub fn compliance(&self, path: &str) -> Value {
        self.status()["monitor"]["compliance"][path].clone()
    }

    /// Waits until `/status` is as wanted.
    ///
    /// # Panics
    /// If it never is, with how it was at last.
    #[track_caller]
    pub fn wait_until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(SOON, what, || {
            let status = self.status();
            if wanted(&status) { Ok(status) } else { Err(status) }
        })
    }

    /// Waits until a path stands so: `true` or a message.
    ///
    /// # Panics
    /// If it never does.
    #[track_caller]
    pub fn wait_for(&self, path: &str, expected: impl Into<Value>) {
        let expected = expected.into();
        eventually(SOON, &format!("{path}: {expected}"), || {
            let found = self.compliance(path);
            if found == expected { Ok(()) } else { Err(found) }
        });
    }

    /// GET.
    ///
    /// # Panics
    /// If there is no answer.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.try_get(path).unwrap_or_else(|error| panic!("no answer to GET {path}: {error}"))
    }

    /// GET, or why there is no answer.
    ///
    /// # Errors
    /// What became of the connection.
    pub fn try_get(&self, path: &str) -> std::io::Result<Response> {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address))
    }

    /// Sends these bytes and reads the answer to its end.
    ///
    /// # Errors
    /// What became of the connection.
    pub fn request(&self, bytes: &str) -> std::io::Result<Response> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(bytes.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Response::parse(&answer)
    }

    /// All lines of its log so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().cloned().collect()
    }

    /// How many bytes it has logged.
    pub fn logged(&self) -> u64 {
        self.logged.load(Ordering::Relaxed)
    }

    /// Whether a line of its log holds this.
    pub fn log_contains(&self, text: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.contains(text))
    }

    /// Waits until a line of its log holds this.
    ///
    /// # Panics
    /// If none does.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        eventually(SOON, &format!("{text:?} in the log"), || self.log_contains(text));
    }

    /// Replaces its YAML file.
    pub fn rewrite(&self, yaml: &str) {
        self.folder.write("zk_monitor.yaml", yaml);
    }

    /// Replaces its YAML file and makes it read that (SIGHUP).
    pub fn reload(&mut self, yaml: &str) {
        self.rewrite(yaml);
        self.signal(Signal::HUP);
    }

    /// Its directory, which holds its YAML file.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Waits for its end and tells the exit code; `None` if it was killed.
    ///
    /// # Panics
    /// If it lives on.
    #[track_caller]
    pub fn wait(&mut self, within: Duration) -> Option<i32> {
        self.process.wait(within).code()
    }

    /// SIGTERM, and the exit code.
    ///
    /// # Panics
    /// If it does not end within five seconds.
    #[track_caller]
    pub fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait(Duration::from_secs(5))
    }

    /// Resident memory, in KiB.
    pub fn rss_kb(&self) -> u64 {
        self.proc_status("VmRSS:")
    }

    /// The most memory it ever had resident, in KiB.
    pub fn peak_kb(&self) -> u64 {
        self.proc_status("VmHWM:")
    }

    /// How many threads it has.
    pub fn threads(&self) -> u64 {
        self.proc_status("Threads:")
    }

    /// How many descriptors it has open.
    pub fn fds(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// How long it has computed.
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The name of the program, in brackets, may hold blanks: count from behind it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        // Linux tells programs hundredths of a second, whatever the kernel's own tick.
        Duration::from_millis(ticks * 10)
    }

    fn proc_status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let shown = log.len().min(200);
            eprintln!("--- the last {shown} log lines of process {}:", self.pid());
            for line in &log[log.len() - shown..] {
                eprintln!("{line}");
            }
        }
    }
}

impl Builder {
    /// With these arguments too.
    pub fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.command.args(args);
        self
    }

    /// With mail by way of this port of the loopback.
    pub fn smtp(self, port: u16) -> Self {
        self.env("SMTP_HOST", "127.0.0.1").env("SMTP_PORT", &port.to_string())
    }

    /// With this in its environment.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// With its log told here too.
    pub fn tap(mut self, tap: Tap) -> Self {
        self.tap = Some(tap);
        self
    }

    /// Run by this program with these arguments.
    pub fn under<const N: usize>(self, program: &str, args: [&str; N]) -> Self {
        let mut command = bound_to_us(program);
        command.args(args).arg(EXECUTABLE).args(self.own_args());
        self.by(command)
    }

    /// With names of its own: the lines of its `/etc/hosts`, and a name server that does not answer for others.
    ///
    /// It gets a mount namespace for that, which needs no privilege where the kernel lets users have one.
    pub fn hosts(self, lines: &str) -> Self {
        let hosts = self.folder.write("hosts", lines);
        let resolver =
            self.folder.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:30 attempts:1\n");
        let script = "mount --bind \"$1\" /etc/hosts && mount --bind \"$2\" /etc/resolv.conf && shift 2 && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]).args([hosts, resolver]);
        command.arg(self.command.get_program()).args(self.command.get_args());
        self.by(command)
    }

    /// With its journal in a small file system in memory that has these mount options, at `state` in its directory.
    pub fn mount(self, options: &str) -> Self {
        let state = self.folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let script = "mount -t tmpfs -o \"$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"";
        let mut command = bound_to_us("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh", options]).arg(&state);
        command.arg(EXECUTABLE).args(self.own_args()).arg("--state_dir").arg(&state);
        self.by(command)
    }

    /// As the first process of its own PID namespace, as in a container: its process id is 1 there.
    pub fn contained(self) -> Self {
        let mut command = bound_to_us("unshare");
        command.args(["--map-root-user", "--pid", "--fork", "--kill-child", "--", EXECUTABLE]);
        command.args(self.own_args());
        self.by(command)
    }

    /// In the network namespace that this file stands for, where it has this address.
    pub fn within(self, namespace: &Path, address: &str) -> Self {
        let mut command = bound_within(namespace, EXECUTABLE);
        command.args(self.own_args()).args(["--bind", address]);
        self.by(command)
    }

    /// With at most so many descriptors.
    pub fn descriptors(self, most: u32) -> Self {
        let mut command = bound_to_us("prlimit");
        command.arg(format!("--nofile={most}")).args(["--", EXECUTABLE]).args(self.own_args());
        self.by(command)
    }

    /// With a soft limit of so many descriptors, and whatever hard one there is.
    pub fn few_descriptors(self, most: u32) -> Self {
        let mut command = bound_to_us("prlimit");
        command.arg(format!("--nofile={most}:")).args(["--", EXECUTABLE]).args(self.own_args());
        self.by(command)
    }

    /// The arguments of the executable itself.
    fn own_args(&self) -> impl Iterator<Item = &OsStr> {
        self.command.get_args().skip_while(|arg| *arg != EXECUTABLE).skip(1)
    }

    /// Started by way of this command, in the same environment.
    fn by(mut self, mut command: Command) -> Self {
        for (key, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        self.command = command;
        self
    }

    /// Its directory, for the files that its YAML names.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Starts it and waits until its HTTP server listens.
    ///
    /// # Panics
    /// If it does not come so far.
    #[track_caller]
    pub fn start(self) -> Daemon {
        let mut process = Process::start(self.command);
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let stderr = process.0.stderr.take().unwrap();
        let logged = Arc::new(AtomicU64::new(0));
        let (lines, count) = (Arc::clone(&log), Arc::clone(&logged));
        // Ends with the daemon, which closes its standard error then.
        std::thread::spawn(move || keep_lines(stderr, &lines, &count, self.tap.as_ref()));
        let mut daemon = Daemon { folder: self.folder, process, log, logged, address: String::new() };
        let address = eventually(SOON, "HTTP server of the daemon", || {
            if let Some(status) = daemon.process.0.try_wait().unwrap() {
                panic!("the daemon ended at once: {status}: {:#?}", daemon.log());
            }
            let log = daemon.log.lock().unwrap();
            let line = log.iter().find_map(|line| line.split_once(LISTENS))?;
            line.1.split_whitespace().next().map(str::to_owned)
        });
        daemon.address = address;
        daemon
    }

    /// Starts it with a standard error that is full and that nobody reads, as long as what is returned beside it lives.
    ///
    /// # Panics
    /// If there is no such pipe.
    #[track_caller]
    pub fn start_unread(mut self) -> (Daemon, PipeReader) {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let blocking = fcntl_getfl(&writer).unwrap();
        fcntl_setfl(&writer, blocking | OFlags::NONBLOCK).unwrap();
        while writer.write(&[b'.'; 4096]).is_ok() {}
        fcntl_setfl(&writer, blocking).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        self.command.args(["--port", address.split_once(':').unwrap().1]).stderr(writer);
        let (log, logged) = (Arc::default(), Arc::default());
        let process = Process::start(self.command);
        (Daemon { folder: self.folder, process, log, logged, address }, reader)
    }

    /// Runs it to its end, which is to come soon: a faulty configuration, a one-shot command.
    ///
    /// # Panics
    /// If it lives on.
    #[track_caller]
    pub fn finish(self) -> Output {
        finish(self.command, SOON)
    }
}

fn keep_lines(
    from: impl std::io::Read,
    lines: &Mutex<VecDeque<String>>,
    count: &AtomicU64,
    tap: Option<&Tap>,
) {
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        count.fetch_add(line.len() as u64 + 1, Ordering::Relaxed);
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Some(tap) = tap {
            // Nobody may listen any more.
            drop(tap.send((Instant::now(), line.clone())));
        }
        let mut lines = lines.lock().unwrap();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}
