//! The world: three servers and three agents on hosts of their own, and the receivers.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::{
    Answer, Client, Daemon, Folder, HttpSink, Place, SmtpSink, Version, ZooKeeper, eventually, other_clock,
};
use crate::network::{AGENTS, Network, RECEIVERS, SERVERS, ip};
use crate::samples::Samples;
use crate::txnlog::{self, Millis, Txn};
use crate::workload;

/// The session timeout that agents ask for, in seconds.
pub const SESSION: u64 = 3;
/// How soon an agent verifies what it watches, in seconds.
pub const REREAD: u64 = 2;
/// Where the cluster keeps its znodes.
pub const CLUSTER: &str = "/zk_monitor/zkmonitor";
/// For how long there has to be no ZooKeeper until an agent says that it is blind, in seconds.
pub const BLIND: u64 = 10;

/// A webhook to which nothing is done but what is done to the network.
pub const HOOK: &str = "/hook";
/// A webhook that misbehaves.
pub const FLAKY: &str = "/flaky";
/// An Alertmanager.
pub const MANAGER: &str = "/api/v2/alerts";
/// What hears of agents that are blind.
pub const BLIND_HOOK: &str = "/blind";
/// A webhook that refuses everything, and an address that the mail server does not take.
pub const NEVER: &str = "/never";
const NOBODY: &str = "nobody@example.com";
/// By mail.
pub const ADDRESS: &str = "ops@example.com";

/// The size of the file system that an agent's journal has.
const STATE_DIR: &str = "size=1m";

/// One process of an agent.
#[derive(Clone, Debug)]
pub struct Life {
    pub seat: usize,
    pub pid: u32,
    pub from: Millis,
    pub until: Option<Millis>,
}

/// Where an agent runs, and the process that runs there now, if one does.
pub struct Seat {
    folder: Folder,
    state: PathBuf,
    pub daemon: Option<Daemon>,
}

pub struct World {
    pub network: Network,
    pub servers: Vec<ZooKeeper>,
    pub seats: Vec<Seat>,
    pub web: HttpSink,
    pub mail: SmtpSink,
    pub lives: Vec<Life>,
    /// What processes logged that have ended.
    pub logs: Vec<String>,
    pub samples: Samples,
    /// The agent whose process lives as long as the run: only what lives long can show that it takes ever more.
    pub spared: Option<usize>,
    /// One moment on both clocks.
    epoch: (Instant, Millis),
    reloads: u32,
}

/// The wall clock, which is the servers' too.
pub fn now() -> Millis {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

impl World {
    /// Starts servers, receivers and agents, and waits until one leads.
    pub fn start(seed: u64) -> Self {
        let network = Network::start(seed);
        let servers = servers(&network);
        workload::prepare(&mut servers[0].client());
        let address = ip(RECEIVERS);
        let (web, mail) = (HttpSink::on(address), SmtpSink::on(address));
        web.answer(NEVER, Answer::status(400));
        mail.refuse(NOBODY, "550 no such user");
        let seats = (0..AGENTS.len()).map(|_| Seat::new()).collect();
        let epoch = (Instant::now(), now());
        let mut world = Self {
            network,
            servers,
            seats,
            web,
            mail,
            lives: Vec::new(),
            logs: Vec::new(),
            samples: Samples::new(),
            spared: None,
            epoch,
            reloads: 0,
        };
        (0..AGENTS.len()).for_each(|seat| world.start_agent(seat));
        world.wait_for_a_leader();
        world
    }

    /// Starts an agent where none runs.
    pub fn start_agent(&mut self, index: usize) {
        let servers: Vec<String> = self.servers.iter().map(ZooKeeper::address).collect();
        let yaml = self.yaml();
        let seat = &mut self.seats[index];
        assert!(seat.daemon.is_none(), "a second agent where one runs");
        let host = AGENTS[index];
        let clock = seat.folder.path().join("clock");
        let daemon = Daemon::with(&servers.join(","), &yaml)
            .args(["-l", "INFO", "--port", "8080", "--reread", &format!("{REREAD}s")])
            .args(["--session_timeout", &SESSION.to_string(), "--state_dir", &seat.state.to_string_lossy()])
            .env("SMTP_HOST", &ip(RECEIVERS).to_string())
            .env("SMTP_PORT", &self.mail.port().to_string())
            .env("LD_PRELOAD", &other_clock().to_string_lossy())
            .env("FAKETIME_TIMESTAMP_FILE", &clock.to_string_lossy())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .within(&self.network.namespace(host), &ip(host).to_string());
        let from = now();
        let daemon = daemon.start();
        self.lives.push(Life { seat: index, pid: daemon.pid(), from, until: None });
        seat.daemon = Some(daemon);
    }

    /// Ends an agent, with SIGTERM or `kill -9`, if one runs.
    pub fn end_agent(&mut self, index: usize, gently: bool) {
        let Some(mut daemon) = self.seats[index].daemon.take() else { return };
        if gently {
            daemon.signal(Signal::CONT);
            assert_eq!(daemon.stop(), Some(0), "an agent that was told to stop");
        } else {
            daemon.kill();
        }
        let life = self.lives.iter_mut().rev().find(|life| life.seat == index).unwrap();
        life.until = Some(now());
        self.logs.extend(daemon.log());
    }

    /// Makes an agent's wall clock so many milliseconds wrong.
    pub fn set_clock(&self, index: usize, offset: i64) {
        self.seats[index].set_clock(offset);
    }

    /// Fills the file system that an agent's journal is in, or makes room.
    pub fn fill_disk(&self, index: usize, full: bool) {
        let ballast = self.seats[index].state.join("ballast");
        if full {
            // As much as there is room for.
            drop(std::fs::write(ballast, vec![0; 2 << 20]));
        } else {
            drop(std::fs::remove_file(ballast));
        }
    }

    /// A new configuration of the same rules for all agents at once.
    pub fn reload(&mut self) {
        self.reloads += 1;
        let yaml = self.yaml();
        for daemon in self.seats.iter_mut().filter_map(|seat| seat.daemon.as_mut()) {
            daemon.reload(&yaml);
        }
    }

    fn yaml(&self) -> String {
        let [hook, flaky, blind, never] = [HOOK, FLAKY, BLIND_HOOK, NEVER].map(|path| self.web.url(path));
        let manager = self.web.url("");
        let alerter = |address: &str, hooks: &str| {
            format!(
                "{{email: \"{ADDRESS}{address}\", webhook: [{{url: \"{hook}\"}}, {{url: \"{flaky}\"}}{hooks}], \
                 alertmanager: {{url: \"{manager}\"}}}}"
            )
        };
        let refused = alerter(&format!(", {NOBODY}"), &format!(", {{url: \"{never}\"}}"));
        format!(
            "group_wait: 0.2\nblind: {{after: {BLIND}s, alerter: {{webhook: {{url: \"{blind}\"}}}}}}\n\
             defaults: {{alerter: {}}}\n{}",
            alerter("", ""),
            workload::rules(self.reloads, &refused)
        )
    }

    /// A client of the first server that serves.
    pub fn client(&self) -> Client {
        eventually(Duration::from_secs(60), "server that takes a client", || {
            self.servers.iter().find_map(|server| {
                let mut client = Client::connect_within(&server.address(), Duration::from_secs(1)).ok()?;
                client.try_exists("/").ok().map(|_| client)
            })
        })
    }

    /// What an agent's `/status` says, if it says anything.
    pub fn status(&self, seat: usize) -> Option<Value> {
        let response = self.seats[seat].daemon.as_ref()?.try_get("/status?detail=1").ok()?;
        serde_json::from_str(&response.body).ok()
    }

    /// Who says that it leads.
    pub fn leaders(&self) -> Vec<usize> {
        let leads = |seat: &usize| {
            self.status(*seat).is_some_and(|status| status["monitor"]["alerter"]["alerting"] == true)
        };
        (0..AGENTS.len()).filter(leads).collect()
    }

    /// Waits until exactly one agent leads.
    pub fn wait_for_a_leader(&self) -> usize {
        eventually(Duration::from_secs(40), "one agent that leads", || {
            let leaders = self.leaders();
            if leaders.len() == 1 { Ok(leaders[0]) } else { Err(leaders) }
        })
    }

    /// What really happened.
    ///
    /// # Errors
    /// If the servers do not agree.
    pub fn transactions(&self) -> Result<Vec<Txn>, String> {
        let logs: Vec<PathBuf> = self.servers.iter().map(ZooKeeper::logs).collect();
        txnlog::read(&logs.iter().map(PathBuf::as_path).collect::<Vec<_>>())
    }

    /// A moment by the wall clock.
    pub fn wall(&self, at: Instant) -> Millis {
        self.epoch.1 + u64::try_from(at.saturating_duration_since(self.epoch.0).as_millis()).unwrap()
    }
}

impl Seat {
    fn new() -> Self {
        let folder = Folder::new("seat");
        let state = folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", STATE_DIR, "tmpfs"]).arg(&state);
        assert!(mount.status().unwrap().success(), "cannot mount a small file system");
        let seat = Self { folder, state, daemon: None };
        seat.set_clock(0);
        seat
    }

    /// How long its journal is.
    pub fn journal_bytes(&self) -> u64 {
        let files = std::fs::read_dir(&self.state).unwrap().flatten();
        let journal = files.filter(|file| file.file_name().to_string_lossy().starts_with("events-"));
        journal.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    fn set_clock(&self, offset: i64) {
        #[expect(clippy::cast_precision_loss, reason = "some seconds")]
        let seconds = offset as f64 / 1_000.0;
        self.folder.write("clock", &format!("{seconds:+.3}"));
    }
}

fn servers(network: &Network) -> Vec<ZooKeeper> {
    let lines: Vec<String> = (1..)
        .zip(SERVERS)
        .map(|(id, host)| format!("server.{id}={0}:2888:3888;{0}:2181", ip(host)))
        .collect();
    let server = |(id, host)| {
        let place = Place { ip: ip(host), port: 2181, namespace: Some(network.namespace(host)) };
        ZooKeeper::member(place, "", &lines, Vec::new(), Some(id), None, Version::usual())
    };
    let servers: Vec<ZooKeeper> = (1..).zip(SERVERS).map(server).collect();
    servers.iter().for_each(ZooKeeper::wait_until_it_serves);
    servers
}
