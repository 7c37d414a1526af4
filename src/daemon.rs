//! Wiring: which threads there are, what connects them, and in which order they end.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded, never, select, tick, unbounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli::Options;
use crate::config::{self, Config};
use crate::http::{self, Snapshots};
use crate::model::dispatcher;
use crate::model::rule::RuleSet;
use crate::model::status::{Alerts, Cluster, ConfigStatus};
use crate::notify;
use crate::pipeline::{self, AlertInlets, AlertOutlets, Lease, Ping, Settings};
use crate::published::{Writer, cell};
use crate::systemd::{News, Systemd};
use crate::threads::Threads;
use crate::watching::{self, Watching, session_settings};
use crate::zk;
use crate::zk::election::Input;

/// From SIGTERM to the end of all waiting, whatever hangs. Two seconds are promised; the rest is for the last lines of
/// the log, on a machine that may be busy.
const END: Duration = Duration::from_millis(1600);
/// The part of it in which attempts under way are waited for and noted.
const PARK: Duration = Duration::from_millis(1200);

/// Exit code for a configuration that cannot be used, from sysexits.h.
pub const EX_CONFIG: u8 = 78;
/// Exit code for anything else that makes running impossible.
pub const EX_FAILURE: u8 = 1;

/// Runs the daemon until a signal ends it; gives the exit code.
pub fn run(options: &Options, file: &Path) -> u8 {
    let config = match config::load(file, &crate::env) {
        Ok(config) => config,
        Err(errors) => {
            log_lines(&errors.to_string());
            return EX_CONFIG;
        }
    };
    match Daemon::start(options, file, config) {
        Ok(daemon) => daemon.watch_over(),
        Err(reason) => {
            log::error!("{reason}");
            EX_FAILURE
        }
    }
}

fn log_lines(errors: &str) {
    for line in errors.lines() {
        log::error!("{line}");
    }
}

/// What the main thread holds on to: the ends of channels through which it reloads and stops the others.
struct Daemon {
    file: PathBuf,
    threads: Threads,
    systemd: Systemd,
    signals: Receiver<i32>,
    watching: Watching,
    election: Sender<Input>,
    settings: Sender<Arc<Settings>>,
    ping: Writer<Option<Ping>>,
    config: Writer<ConfigStatus>,
    status: ConfigStatus,
    /// Closing it parks the alert thread.
    alert_stop: Sender<()>,
    heartbeat_stop: Sender<()>,
    http_stop: http::Stopper,
}

/// What is there before the first thread starts.
struct Parts<'a> {
    options: &'a Options,
    file: &'a Path,
    signals: Receiver<i32>,
    listener: http::Listener,
    http_stop: http::Stopper,
    identity: zk::election::Identity,
    session: zk::session::Settings,
    rules: Arc<RuleSet>,
    receivers: Arc<Settings>,
}

impl Daemon {
    fn start(options: &Options, file: &Path, mut config: Config) -> Result<Self, String> {
        let signals = signals().map_err(|e| format!("cannot handle signals: {e}"))?;
        let session = session_settings(&options.zookeeper)?;
        let (listener, http_stop) = http::bind(options.bind, options.port).map_err(|e| {
            format!("cannot listen on port {}: {e}; choose another with --port", options.port)
        })?;
        let address = listener.local_addr().map_err(|e| format!("the HTTP port has no address: {e}"))?;
        log::info!("HTTP server listens on {address}");
        let identity = identity(options, address)?;
        let (receivers, rules) = take_rules(&mut config);
        let watched = rules.len();
        let parts =
            Parts { options, file, signals, listener, http_stop, identity, session, rules, receivers };
        let mut daemon = Self::wire(parts).map_err(|e| format!("cannot start the daemon's threads: {e}"))?;
        daemon.tell_of(config, watched);
        Ok(daemon)
    }

    /// Connects and starts everything.
    fn wire(parts: Parts<'_>) -> io::Result<Self> {
        let Parts { options, file, signals, listener, http_stop, identity, session, rules, receivers } =
            parts;
        let mut threads = Threads::default();
        let places = zk::names::Places::new(&options.cluster_prefix, &options.cluster_name);
        let (election, inputs) = unbounded();
        let (news_sender, news) = unbounded();
        let (writes, write_queue) = zk::ledger::channel();
        let (written_sender, written) = unbounded();
        let (settings, settings_receiver) = unbounded();
        let (alert_stop, stop) = bounded(0);
        let (heartbeat_stop, heartbeat_stopped) = bounded(0);
        let (alerts_writer, alerts) = cell(Alerts::default());
        let (cluster_writer, cluster) = cell(Cluster {
            name: options.cluster_name.as_str().into(),
            agent: identity.name.as_str().into(),
            ..Cluster::default()
        });
        let (config, config_reader) = cell(ConfigStatus::default());
        let (own_writer, own) = cell(None);
        let (access_writer, access) = cell(None);
        let (in_flight_writer, in_flight) = cell(0);
        let (in_effect_writer, in_effect) = cell(None);
        let (ping, ping_reader) = cell(None);

        // Fails only if nobody receives any more, and the receiver is here.
        settings.send(receivers).ok();
        let ledger = places.alerts.as_str().into();
        let election_inbox = election.clone();
        let reread = options.reread;
        let watching = Watching::start(&mut threads, session, election_inbox, own, rules, ledger, reread)?;
        let connection = watching.connection.clone();
        let compliance = watching.compliance.clone();
        let lease =
            Lease { cluster: cluster.clone(), connection: connection.clone(), in_effect: in_effect.clone() };

        let inlets =
            AlertInlets { judged: watching.judged.clone(), news, written, settings: settings_receiver, stop };
        let pulse = threads.pulse("alert");
        let outlets = AlertOutlets {
            writes,
            alerts: alerts_writer,
            in_flight: in_flight_writer,
            in_effect: in_effect_writer,
            pulse,
        };
        let speaker = dispatcher::Speaker {
            cluster: options.cluster_name.as_str().into(),
            agent: identity.name.as_str().into(),
            instance: identity.instance[..12].into(),
            seed: fastrand::u64(..),
        };
        let sender = notify::Identity { url: format!("http://{}", identity.http) };
        let make: pipeline::NotifierFactory = Arc::new(move |receiver| notify::notifier(receiver, &sender));
        let alert_lease = lease.clone();
        threads.spawn("alert", move || pipeline::alert(speaker, make, alert_lease, &inlets, outlets))?;

        let acl = zk::names::own_acl(identity.credentials);
        zk::ledger::start(&write_queue, &written_sender, &access, &places, &acl)?;

        let outlets = zk::election::Outlets {
            news: news_sender,
            watch: watching.inputs.clone(),
            cluster: cluster_writer,
            own: own_writer,
            access: access_writer,
            pulse: threads.pulse("zk-election"),
        };
        let inlets = zk::election::Inlets {
            name: options.cluster_name.as_str().into(),
            inputs,
            connection: connection.clone(),
            in_flight,
            in_effect: in_effect.clone(),
        };
        threads.spawn("zk-election", move || zk::election::run(identity, places, &inlets, outlets))?;

        let watched = compliance.clone();
        threads.spawn("heartbeat", move || {
            pipeline::heartbeat(&ping_reader, &lease, &watched, &heartbeat_stopped);
        })?;

        let pulses = threads.pulses();
        let snapshots = Snapshots {
            connection,
            compliance,
            watch: watching.status.clone(),
            alerts,
            in_effect,
            cluster,
            config: config_reader,
            pulses,
        };
        threads.spawn("http", move || {
            if let Err(e) = http::serve(listener, snapshots) {
                log::error!("the HTTP server ended: {e}");
            }
        })?;

        let status = ConfigStatus { file: file.display().to_string().into(), ..ConfigStatus::default() };
        Ok(Self {
            file: file.to_owned(),
            threads,
            systemd: Systemd::from_env(&crate::env),
            signals,
            watching,
            election,
            settings,
            ping,
            config,
            status,
            alert_stop,
            heartbeat_stop,
            http_stop,
        })
    }

    /// Waits for signals, and for threads that end and should not.
    fn watch_over(mut self) -> u8 {
        let beat = self.systemd.interval().map_or_else(never, tick);
        loop {
            select! {
                recv(self.signals) -> signal => match signal {
                    Ok(SIGHUP) => self.reload(),
                    Ok(_) | Err(_) => break,
                },
                recv(beat) -> now => {
                    // A ticker never closes.
                    if let Ok(now) = now {
                        self.systemd.beat(&self.threads.pulses(), now);
                    }
                }
                recv(self.threads.ended()) -> name => {
                    log::error!("thread {} ended unasked; the daemon ends with it", name.unwrap_or("?"));
                    self.stop();
                    return EX_FAILURE;
                }
            }
        }
        self.stop();
        0
    }

    fn reload(&mut self) {
        self.systemd.tell(News::Reloading);
        match config::load(&self.file, &crate::env) {
            Ok(config) => {
                log::warn!("configuration re-read from {}: {} rules", self.status.file, config.rules.len());
                self.apply(config);
            }
            Err(errors) => {
                let errors = errors.to_string();
                let first = errors.lines().next().unwrap_or("");
                self.systemd.tell(News::Ready(&format!("configuration not re-read: {first}")));
                log::error!("the configuration was not re-read, and the one in force stays:");
                log_lines(&errors);
                self.status.error = Some(errors.into());
                self.config.publish(self.status.clone());
            }
        }
    }

    /// Puts a configuration in force. Receivers are sent before the rules that name them.
    fn apply(&mut self, mut config: Config) {
        let (receivers, rules) = take_rules(&mut config);
        let watched = rules.len();
        // This fails only if the thread has ended, which ends the daemon.
        self.settings.send(receivers).ok();
        self.watching.rules(rules);
        self.tell_of(config, watched);
    }

    /// Tells of a configuration with so many rules that is in force now, and does the rest of what it says.
    fn tell_of(&mut self, config: Config, watched: usize) {
        for warning in &config.warnings {
            log::warn!("{warning}");
        }
        self.status.loaded = Some(wall_clock());
        self.status.error = None;
        self.status.digest = config.digest.into();
        self.config.publish(self.status.clone());
        self.ping.publish(config.heartbeat.map(|heartbeat| Ping {
            every: heartbeat.every,
            ping: Arc::new(move || notify::heartbeat(&heartbeat.url)),
        }));
        self.systemd.tell(News::Ready(&format!("rules in force: {watched}")));
        // This fails only if the thread has ended, which ends the daemon.
        self.election.send(Input::Config(Arc::clone(&self.status.digest))).ok();
    }

    /// Ends the threads in an order that lets each finish: first the alerts under way are parked while the
    /// session is still there to note it, then the lease is given up and the session closed.
    fn stop(mut self) {
        let began = clock();
        self.systemd.tell(News::Stopping);
        drop(self.alert_stop);
        drop(self.heartbeat_stop);
        let mut late = self.threads.wait_for(&["alert"], began + PARK);
        self.election.send(Input::Stop).ok();
        self.watching.stop();
        drop(self.http_stop);
        late.extend(self.threads.wait_for(&watching::THREADS, began + END));
        late.extend(self.threads.wait_for(&["zk-election", "http"], began + END));
        if !late.is_empty() {
            log::warn!("ended without waiting for {}", late.join(", "));
        }
    }
}

/// Takes what the threads need out of a configuration.
fn take_rules(config: &mut Config) -> (Arc<Settings>, Arc<RuleSet>) {
    let receivers = std::mem::take(&mut config.receivers);
    let rules = std::mem::take(&mut config.rules);
    (Arc::new(Settings { receivers, group_wait: config.group_wait }), Arc::new(RuleSet::new(rules)))
}

fn signals() -> io::Result<Receiver<i32>> {
    let (sender, receiver) = unbounded();
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if sender.send(signal).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

fn identity(options: &Options, address: SocketAddr) -> Result<zk::election::Identity, String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = format!("{host}-{}", std::process::id());
    let is_any = address.ip().is_unspecified();
    let http = if is_any { format!("{host}:{}", address.port()) } else { address.to_string() };
    let instance = instance().ok_or("the system gives no random numbers")?;
    let credentials = options.zookeeper.credentials.is_some();
    Ok(zk::election::Identity { name, instance, started: wall_clock(), http, credentials })
}

/// Thirty-two random hexadecimal digits.
fn instance() -> Option<String> {
    let random: [u8; 16] = ring::rand::generate(&ring::rand::SystemRandom::new()).ok()?.expose();
    Some(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[expect(clippy::disallowed_methods, reason = "the end of the daemon is bounded in real time")]
fn clock() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "people read when the daemon was started and configured")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}
