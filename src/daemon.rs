//! The daemon's life: its start, what it hears while it runs, and the order in which it ends.

mod signals;
mod wiring;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never, select_biased, tick};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli::Options;
use crate::clock;
use crate::config::{Blind, Config, Errors, Files, Reread};
use crate::http;
use crate::memory;
use crate::model::rule::RuleSet;
use crate::model::status::ConfigStatus;
use crate::model::succession;
use crate::notify;
use crate::pipeline::{BlindSettings, Ping, Settings};
use crate::systemd::{News, Systemd};
use crate::threads::{Ended, Threads};
use crate::watching::{self, session_settings};
use crate::zk;
use crate::zk::election::Input;
use signals::Asked;
use wiring::{Parts, Wiring};

/// From SIGTERM to the end of all waiting, whatever hangs. Two seconds are promised; the rest is for the last lines of
/// the log, on a machine that may be busy.
const END: Duration = Duration::from_millis(1600);
/// The part of it in which attempts under way are waited for and noted: what the alert thread takes (`PARK` in
/// `pipeline/alerts.rs`), and a little more.
const PARK: Duration = Duration::from_millis(1200);

/// Exit code for a configuration that cannot be used, from sysexits.h.
pub const EX_CONFIG: u8 = 78;
/// Exit code for anything else that makes running impossible.
pub const EX_FAILURE: u8 = 1;

/// Runs the daemon until a signal ends it; gives the exit code.
pub fn run(options: &Options, file: &Path) -> u8 {
    raise_descriptor_limit();
    let mut files = Files::new(file);
    let config = match files.load(&crate::env) {
        Ok(config) => config,
        Err(errors) => {
            log_lines(&errors.to_string());
            return EX_CONFIG;
        }
    };
    let status = ConfigStatus { file: file.display().to_string().into(), ..ConfigStatus::default() };
    match Daemon::start(options, files, status, config) {
        Ok(daemon) => daemon.watch_over(),
        Err(reason) => {
            log::error!("{reason}");
            EX_FAILURE
        }
    }
}

/// Takes as many descriptors as the process may have. The soft limit is low for programs that use `select`, which
/// this one does not.
fn raise_descriptor_limit() {
    let limits = getrlimit(Resource::Nofile);
    if let Err(e) = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }) {
        log::warn!("cannot raise the limit of open files: {e}");
    }
}

fn log_lines(errors: &str) {
    for line in errors.lines() {
        log::error!("{line}");
    }
}

/// What the main thread does next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Stop,
    Ended(Ended),
    Beat(Instant),
    Reload,
}

/// Waits for it. A reload can take seconds, so it comes last: the end waits for no more than the one that is under way.
fn next(asked: &Asked, ended: &Receiver<Ended>, beat: &Receiver<Instant>) -> Next {
    // Who may tell of an end is held by those who wait for it, and a ticker never closes. What signals ask for closes
    // with their thread, whose end is told, too.
    let (mut stop, mut reload) = (asked.stop.clone(), asked.reload.clone());
    loop {
        select_biased! {
            recv(stop) -> asked => match asked {
                Ok(()) => return Next::Stop,
                Err(_) => stop = never(),
            },
            recv(ended) -> ended => if let Ok(ended) = ended {
                return Next::Ended(ended);
            },
            recv(beat) -> now => if let Ok(now) = now {
                return Next::Beat(now);
            },
            recv(reload) -> asked => match asked {
                Ok(()) => return Next::Reload,
                Err(_) => reload = never(),
            },
        }
    }
}

/// What the main thread holds on to.
struct Daemon {
    files: Files,
    threads: Threads,
    systemd: Systemd,
    asked: Asked,
    wiring: Wiring,
    status: ConfigStatus,
    /// Where this agent serves its page.
    page: Arc<str>,
    http_stop: http::Stopper,
}

impl Daemon {
    fn start(
        options: &Options,
        files: Files,
        mut status: ConfigStatus,
        mut config: Config,
    ) -> Result<Self, String> {
        let mut threads = Threads::default();
        let asked = signals::listen(&mut threads).map_err(|e| format!("cannot handle signals: {e}"))?;
        let session = session_settings(&options.zookeeper)?;
        let (listener, http_stop) = http::bind(options.bind, options.port).map_err(|e| {
            let foreign = options.bind.filter(|_| e.kind() == io::ErrorKind::AddrNotAvailable);
            foreign.map_or_else(
                || format!("cannot listen on port {}: {e}; choose another with --port", options.port),
                |address| format!("cannot listen at {address}: {e}; --bind needs an address of this host"),
            )
        })?;
        let address = listener.local_addr().map_err(|e| format!("the HTTP port has no address: {e}"))?;
        log::info!("HTTP server listens on {address}");
        let identity = identity(options, address)?;
        let page: Arc<str> = format!("http://{}", identity.http).into();
        let settings = take_settings(&mut config, &page, &status.rules);
        status.rules = Arc::clone(&settings.rules);
        let parts = Parts { options, listener, identity, session, settings: Arc::clone(&settings) };
        let wiring = Wiring::start(&mut threads, parts)
            .map_err(|e| format!("cannot start the daemon's threads: {e}"))?;
        let systemd = Systemd::from_env(&crate::env);
        let mut daemon = Self { files, threads, systemd, asked, wiring, status, page, http_stop };
        daemon.announce(config, &settings, None);
        Ok(daemon)
    }

    /// Waits for signals, and for threads that end and should not.
    fn watch_over(mut self) -> u8 {
        let beat = self.systemd.interval().map_or_else(never, tick);
        let code = loop {
            match next(&self.asked, self.threads.ended(), &beat) {
                Next::Stop => break 0,
                Next::Ended(ended) => {
                    log::error!("{}; the daemon ends with it", self.threads.cause(ended));
                    break EX_FAILURE;
                }
                Next::Beat(now) => self.systemd.beat(&self.threads.pulses(), now),
                Next::Reload => self.reload(),
            }
        };
        self.stop();
        code
    }

    fn reload(&mut self) {
        self.systemd.notify(News::Reloading);
        match self.files.reload(&crate::env) {
            Ok(Reread { config, refused }) => {
                log::warn!("configuration re-read from {}: {} rules", self.status.file, config.rules.len());
                if let Some(errors) = &refused {
                    log::error!("these files were not re-read, and what they said before stays in force:");
                    log_lines(&errors.to_string());
                }
                self.apply(config, refused.as_ref());
            }
            Err(errors) => {
                self.systemd.notify(News::Ready(&not_read(&errors)));
                log::error!("the configuration was not re-read, and the one in force stays:");
                log_lines(&errors.to_string());
                self.status.error = Some(errors.to_string().into());
                self.wiring.config.publish(self.status.clone());
            }
        }
    }

    /// Puts a configuration in force. Its settings are sent before its rules.
    fn apply(&mut self, mut config: Config, refused: Option<&Errors>) {
        let settings = take_settings(&mut config, &self.page, &self.status.rules);
        self.status.rules = Arc::clone(&settings.rules);
        // This fails only if the thread has ended, which ends the daemon.
        self.wiring.settings.send(Arc::clone(&settings)).ok();
        self.wiring.watching.rules(Arc::clone(&settings.rules));
        self.announce(config, &settings, refused);
    }

    /// Announces a configuration whose rules are in force now, and what is wrong with files that are not, and does the
    /// rest of what it says.
    fn announce(&mut self, config: Config, settings: &Settings, refused: Option<&Errors>) {
        for warning in &config.warnings {
            log::warn!("{warning}");
        }
        self.status.loaded = Some(clock::wall());
        self.status.error = refused.map(|errors| errors.to_string().into());
        self.status.digest = config.digest.into();
        self.wiring.config.publish(self.status.clone());
        self.wiring.ping.publish(config.heartbeat.map(|heartbeat| Ping {
            every: heartbeat.every,
            ping: Arc::new(move || notify::heartbeat(&heartbeat.url)),
        }));
        self.wiring.blind.publish(config.blind.map(|blind| blind_settings(&blind, settings)));
        let refused = refused.map(|errors| format!("; {}", not_read(errors))).unwrap_or_default();
        self.systemd.notify(News::Ready(&format!("rules in force: {}{refused}", self.status.rules.len())));
        // This fails only if the thread has ended, which ends the daemon.
        self.wiring.election.send(Input::Config(Arc::clone(&self.status.digest))).ok();
        // What the text and its tree took.
        memory::trim();
    }

    /// Ends the threads in an order that lets each finish: first the alerts under way are parked while the
    /// session is still there to note it, then the lease is given up and the session closed.
    fn stop(mut self) {
        let began = clock::mono();
        self.systemd.notify(News::Stopping);
        drop(self.wiring.alert_stop);
        drop(self.wiring.heartbeat_stop);
        let mut late = self.threads.wait_for(&["alert"], began + PARK);
        self.wiring.election.send(Input::Stop).ok();
        self.wiring.watching.stop();
        drop(self.http_stop);
        late.extend(self.threads.wait_for(&watching::THREADS, began + END));
        late.extend(self.threads.wait_for(&["zk-election", "zk-ledger", "http", "journal"], began + END));
        late.dedup();
        if !late.is_empty() {
            log::warn!("ended without waiting for {}", late.join(", "));
        }
    }
}

fn not_read(errors: &Errors) -> String {
    let errors = errors.to_string();
    format!("configuration not re-read: {}", errors.lines().next().unwrap_or_default())
}

/// Takes what the threads need out of a configuration, which is read in the place of one with those rules. Unless it says
/// where people find the status page, that is this agent's own.
fn take_settings(config: &mut Config, page: &Arc<str>, before: &RuleSet) -> Arc<Settings> {
    let receivers = std::mem::take(&mut config.receivers);
    let rules = RuleSet::new(std::mem::take(&mut config.rules));
    let rules = Arc::new(succession::in_place_of(rules, before));
    let page = config.external_url.take().unwrap_or_else(|| Arc::clone(page));
    Arc::new(Settings { rules, receivers, group_wait: config.group_wait, page })
}

fn blind_settings(blind: &Blind, settings: &Settings) -> BlindSettings {
    let receivers = settings.receivers.iter().filter(|receiver| blind.receivers.contains(&receiver.id));
    BlindSettings {
        after: blind.after,
        receivers: receivers.cloned().collect(),
        page: Arc::clone(&settings.page),
    }
}

fn identity(options: &Options, address: SocketAddr) -> Result<zk::election::Identity, String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = format!("{host}-{}", std::process::id());
    let is_any = address.ip().is_unspecified();
    let http = if is_any { format!("{host}:{}", address.port()) } else { address.to_string() };
    let instance = instance().ok_or("the system gives no random numbers")?;
    let credentials = options.zookeeper.credentials.is_some();
    Ok(zk::election::Identity { name, instance, started: clock::wall(), http, credentials })
}

/// Thirty-two random hexadecimal digits.
fn instance() -> Option<String> {
    let random: [u8; 16] = ring::rand::generate(&ring::rand::SystemRandom::new()).ok()?.expose();
    Some(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn the_end_goes_before_reloads_and_a_reload_before_nothing() {
        let (stopper, stop) = bounded(1);
        let (reloader, reload) = bounded(1);
        let (end, ended) = bounded(1);
        let (ticker, beat) = bounded(1);
        let asked = Asked { stop, reload };
        let (thread, now) = (Ended { name: "http".to_owned(), panicked: true }, clock::mono());
        // Often, since a choice by chance would be right now and then.
        for _ in 0..100 {
            reloader.send(()).unwrap();
            ticker.send(now).unwrap();
            end.send(thread.clone()).unwrap();
            stopper.send(()).unwrap();
            let order = || next(&asked, &ended, &beat);
            assert_eq!(
                [order(), order(), order(), order()],
                [Next::Stop, Next::Ended(thread.clone()), Next::Beat(now), Next::Reload]
            );
        }
    }
}
