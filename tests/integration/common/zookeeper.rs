//! ZooKeeper servers: Debian's, run straight from its jar, or those of another version.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use super::children::{Process, bound_to_us, bound_within};
use super::{Client, Folder, SOON, eventually, free_port};

/// Names what it needs beside itself in its manifest.
const JAR: &str = "/usr/share/java/zookeeper.jar";
/// What the manifest forgets, and TLS needs.
const CODEC: &str = "/usr/share/java/netty-codec.jar";

/// The variable of the environment that names a folder with the jars of another version, for all servers.
const JARS: &str = "ZK_MONITOR_ZOOKEEPER_JARS";
/// And the one that names a folder of such folders, for tests that need several.
const VERSIONS: &str = "ZK_MONITOR_ZOOKEEPER_VERSIONS";

/// How long a connection that may have come too early is waited for.
const EARLY: Duration = Duration::from_secs(1);

/// Where a server listens for clients.
#[derive(Clone)]
pub struct Place {
    pub ip: Ipv4Addr,
    pub port: u16,
    /// The file that stands for its network namespace, unless that is ours.
    pub namespace: Option<PathBuf>,
}

impl Place {
    /// A port of the loopback.
    pub fn local(port: u16) -> Self {
        Self { ip: Ipv4Addr::LOCALHOST, port, namespace: None }
    }
}

/// One server, on the loopback unless said otherwise, with a tick of half a second, so that sessions may be as short as one second.
pub struct ZooKeeper {
    folder: Folder,
    place: Place,
    jvm: Vec<String>,
    clock: Option<&'static str>,
    version: Version,
    process: Process,
}

/// The jars of one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Its numbers, by which they are in order; none, if it is the one that all tests use.
    numbers: Vec<u32>,
    class_path: String,
}

impl Version {
    /// What all tests use: Debian's, or what the environment names.
    pub fn usual() -> Self {
        let class_path =
            std::env::var(JARS).map_or_else(|_| format!("{JAR}:{CODEC}"), |folder| format!("{folder}/*"));
        Self { numbers: Vec::new(), class_path }
    }

    /// Those in the folder that the environment names that can be told of a server's client port in its own line, the
    /// oldest first, and Debian's among them; the usual one alone if it names none.
    ///
    /// # Panics
    /// If the folder cannot be read.
    pub fn all() -> Vec<Self> {
        let Ok(folder) = std::env::var(VERSIONS) else { return vec![Self::usual()] };
        let numbers =
            |name: &str| name.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>();
        let mut all: Vec<Self> = names(&folder)
            .filter_map(|name| Some((numbers(&name)?, format!("{folder}/{name}/*"))))
            .chain(names("/usr/share/java").filter_map(|name| {
                let version = name.strip_prefix("zookeeper-")?.strip_suffix(".jar")?;
                Some((numbers(version)?, format!("{JAR}:{CODEC}")))
            }))
            .map(|(numbers, class_path)| Self { numbers, class_path })
            .filter(|version| version.numbers >= vec![3, 5])
            .collect();
        all.sort();
        all.dedup_by(|later, earlier| later.numbers == earlier.numbers);
        all
    }

    /// `3.9.3`.
    pub fn name(&self) -> String {
        self.numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
    }
}

/// What is in a folder.
fn names(folder: &str) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap())
}

impl ZooKeeper {
    /// Starts a server of one's own and waits until it serves.
    ///
    /// # Panics
    /// If it does not.
    pub fn start() -> Self {
        Self::with(&[], &[])
    }

    /// The same with further lines of configuration and options of the virtual machine.
    ///
    /// # Panics
    /// If it does not serve.
    pub fn with(lines: &[&str], jvm: &[&str]) -> Self {
        Self::alone(lines, jvm, None)
    }

    /// The same with a wall clock that is so far ahead, such as `+300s`, or behind; its monotonic clock is ours.
    ///
    /// # Panics
    /// If it does not serve.
    pub fn with_clock(shift: &'static str) -> Self {
        Self::alone(&[], &[], Some(shift))
    }

    fn alone(lines: &[&str], jvm: &[&str], clock: Option<&'static str>) -> Self {
        let port = free_port();
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let jvm = jvm.iter().map(|option| (*option).to_owned()).collect();
        let server = Self::member(
            Place::local(port),
            &format!("clientPort={port}\nclientPortAddress=127.0.0.1"),
            &lines,
            jvm,
            None,
            clock,
            Version::usual(),
        );
        server.wait_until_it_serves();
        server
    }

    /// Starts a server without waiting; `id` is its number in an ensemble.
    pub fn member(
        place: Place,
        listen: &str,
        lines: &[String],
        jvm: Vec<String>,
        id: Option<usize>,
        clock: Option<&'static str>,
        version: Version,
    ) -> Self {
        assert!(Path::new(JAR).exists(), "{JAR} is missing: tests/run installs Debian's package zookeeper");
        let folder = Folder::new("zookeeper");
        let mut config = format!(
            "dataDir={}\n{listen}\ntickTime=500\ninitLimit=20\nsyncLimit=6\nminSessionTimeout=1000\n\
             maxSessionTimeout=120000\nmaxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n",
            folder.path().join("data").display()
        );
        for line in lines {
            writeln!(config, "{line}").unwrap();
        }
        std::fs::create_dir(folder.path().join("data")).unwrap();
        if let Some(id) = id {
            folder.write("data/myid", &id.to_string());
        }
        folder.write("zoo.cfg", &config);
        let process = launch(&folder, &place, &jvm, clock, &version);
        Self { folder, place, jvm, clock, version, process }
    }

    /// `address:port`.
    pub fn address(&self) -> String {
        format!("{}:{}", self.place.ip, self.place.port)
    }

    /// A client of this server.
    pub fn client(&self) -> Client {
        Client::connect(&self.address())
    }

    /// Waits until a client's operation succeeds: the port is open before that, and a connection that came too
    /// early may never be answered.
    ///
    /// # Panics
    /// If none does.
    #[track_caller]
    pub fn wait_until_it_serves(&self) {
        eventually(Duration::from_secs(60), "service by ZooKeeper", || {
            Client::connect_within(&self.address(), EARLY)?.try_exists("/")
        });
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port and data, after [`ZooKeeper::kill`] or from running; waits until it serves.
    ///
    /// # Panics
    /// If it does not serve.
    pub fn restart(&mut self) {
        self.launch();
        self.wait_until_it_serves();
    }

    /// Starts it again by another version's jars, on the same port and data; waits until it serves, and says so by that
    /// version's name.
    ///
    /// # Panics
    /// If it does not serve.
    pub fn upgrade(&mut self, version: &Version) {
        self.version = version.clone();
        self.restart();
        let said = self.ask("srvr").unwrap();
        assert!(said.contains(&format!("version: {}", version.name())), "{said}");
    }

    /// Starts it again without waiting.
    pub fn launch(&mut self) {
        self.kill();
        self.process = launch(&self.folder, &self.place, &self.jvm, self.clock, &self.version);
    }

    /// Stops the process (SIGSTOP): connections stay open, and nothing moves.
    pub fn pause(&mut self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&mut self) {
        self.process.signal(Signal::CONT);
    }

    /// Its directory, with what it logged.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where its transaction logs are.
    pub fn logs(&self) -> PathBuf {
        self.folder.path().join("data/version-2")
    }

    /// The answer to a four-letter word: `ruok`, `srvr`, `wchs`, `cons` …
    ///
    /// # Errors
    /// What became of the connection, if the server does not answer within two seconds.
    pub fn ask(&self, word: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(word.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Whether it says that it leads an ensemble.
    pub fn leads(&self) -> bool {
        self.ask("srvr").is_ok_and(|answer| answer.contains("Mode: leader"))
    }
}

/// What gives a process another wall clock.
pub fn other_clock() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap();
    let libraries = folders.map(|folder| folder.unwrap().path().join("faketime/libfaketimeMT.so.1"));
    let mut found = libraries.filter(|library| library.exists());
    found.next().expect("libfaketime is missing: tests/run installs Debian's package libfaketime")
}

/// No fsync: the page cache survives `kill -9`, and nobody pulls the plug. Little is compiled, little allocated
/// in advance: many of these run on a small machine, none for long.
fn launch(folder: &Folder, place: &Place, jvm: &[String], clock: Option<&str>, version: &Version) -> Process {
    let mut command = match &place.namespace {
        Some(namespace) => bound_within(namespace, "java"),
        None => bound_to_us("java"),
    };
    if let Some(shift) = clock {
        command
            .env("LD_PRELOAD", other_clock())
            .env("FAKETIME", shift)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    command.args([
        "-Xmx128m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Xshare:auto",
        "-XX:-UsePerfData",
    ]);
    command.args(["-Dzookeeper.forceSync=no", "-Dzookeeper.preAllocSize=512", "-Dzookeeper.cnxTimeout=1000"]);
    command.args(["-Dzookeeper.snapCount=1000000", "-Dzookeeper.skipACL=no"]);
    command.args(jvm);
    command.args(["-cp", &version.class_path, "org.apache.zookeeper.server.quorum.QuorumPeerMain"]);
    command.arg(folder.path().join("zoo.cfg"));
    let log = std::fs::File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Process::start(command)
}

/// A part of the server that all tests share which leave it alone; each has a chroot of its own.
pub struct Space {
    address: String,
}

/// A new, empty part of the shared server, which the first caller starts.
pub fn shared() -> Space {
    static SERVER: OnceLock<ZooKeeper> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(ZooKeeper::start);
    let chroot = format!("/test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    server.client().create(&chroot, "");
    Space { address: format!("{}{chroot}", server.address()) }
}

impl Space {
    /// `127.0.0.1:port/chroot`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A client that sees this part alone.
    pub fn client(&self) -> Client {
        Client::connect(&self.address)
    }

    /// Waits until `path` has exactly these children.
    ///
    /// # Panics
    /// If it does not get them.
    #[track_caller]
    pub fn wait_for_children(&self, path: &str, expected: usize) -> Vec<String> {
        let mut client = self.client();
        eventually(SOON, &format!("{expected} children of {path}"), || {
            let children = client.children(path).unwrap_or_default();
            if children.len() == expected { Ok(children) } else { Err(children) }
        })
    }

    /// Waits until the ledger of the usual cluster has so many entries, and each says that all were told that a path is out
    /// of spec. Who is killed before that, or cut off, leaves the next to tell it again.
    ///
    /// # Panics
    /// If it does not come to that.
    #[track_caller]
    pub fn wait_until_noted(&self, entries: usize) {
        const LEDGER: &str = "/zk_monitor/zkmonitor/alerts";
        let entries = self.wait_for_children(LEDGER, entries);
        let mut client = self.client();
        let mut notes = entries.iter().map(|entry| format!("{LEDGER}/{entry}")).collect::<Vec<_>>();
        eventually(SOON, "notes", || {
            let is_noted = |data: String| {
                data.contains("\"firing\":\"sent\"")
                    && !data.contains("\"firing\":\"ambiguous\"")
                    && !data.contains("\"firing\":\"pending\"")
            };
            notes.retain(|entry| !client.get(entry).is_some_and(is_noted));
            if notes.is_empty() { Ok(()) } else { Err(notes.clone()) }
        });
    }
}
