//! The part of the wiring that the daemon and `--once` share: session → watches → evaluator.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::cli;
use crate::clock;
use crate::model::evaluator::Evaluator;
use crate::model::rule::RuleSet;
use crate::model::server_clock::ClockSample;
use crate::model::status::{Compliance, Connection, WatchStatus};
use crate::model::transition::EvaluatorOutput;
use crate::pipeline::{self, EventSink};
use crate::published::{Reader, cell};
use crate::threads::Threads;
use crate::zk;
use crate::zk::election::Input;
use crate::zk::pulse::OwnNode;
use crate::zk::reading::FenceProgress;
use crate::zk::watch_input::WatchInput;

/// The names of the threads that are started here, from source to sink.
pub const THREADS: [&str; 3] = ["zk-session", "zk-watch", "evaluator"];

/// The ends of channels and cells through which the rest is connected.
#[derive(Debug)]
pub struct Watching {
    /// The watch thread's inbox.
    pub inputs: Sender<WatchInput>,
    /// What the evaluator tells.
    pub judged: Receiver<EvaluatorOutput>,
    /// The session, for readers.
    pub connection: Reader<Connection>,
    /// All paths, for readers.
    pub compliance: Reader<Compliance>,
    /// How good the readings are, for readers.
    pub status: Reader<WatchStatus>,
    /// How far a fence is, for the election.
    pub fence: Reader<Option<FenceProgress>>,
    stop: Sender<()>,
}

/// What is watched.
#[derive(Debug)]
pub struct Watched {
    /// In force before there is a session.
    pub rules: Arc<RuleSet>,
    /// The znode that holds the alert ledger.
    pub ledger: Arc<str>,
    /// Each path is verified once in that time.
    pub reread: Duration,
}

impl Watching {
    /// Starts the threads. The session's news also go to `election`; the pulse writes to `own`. What happens is told the
    /// `journal`.
    pub fn start(
        threads: &mut Threads,
        settings: zk::session::Settings,
        election: Sender<Input>,
        own: Reader<Option<OwnNode>>,
        watched: Watched,
        journal: EventSink,
    ) -> io::Result<Self> {
        let Watched { rules, ledger, reread } = watched;
        let (inputs, inbox) = unbounded();
        let (observations_sender, observations) = unbounded();
        let (judged_sender, judged) = unbounded();
        let (stop, stopped) = bounded(0);
        let (connection_writer, connection) = cell(Connection::default());
        let mut evaluator = Evaluator::new(Arc::clone(&rules), clock::now()).recording();
        let (compliance_writer, compliance) = cell(evaluator.snapshot());
        // Fails only if nobody receives any more, and the receiver is here.
        inputs.send(WatchInput::Rules(rules)).ok();

        let pulse = threads.pulse("evaluator");
        let election_inbox = election.clone();
        threads.spawn("evaluator", move || {
            // Fails only while the daemon ends, and for `--once`, which has no election.
            let armed = |generation| drop(election_inbox.send(Input::Armed { generation }));
            let (judged, compliance) = (&judged_sender, &compliance_writer);
            pipeline::evaluate(evaluator, armed, &observations, judged, compliance, &pulse, &journal);
        })?;
        let (status_writer, status) = cell(WatchStatus::default());
        let (fence_writer, fence) = cell(None);
        let outlets = zk::watch::Outlets {
            inbox: inputs.clone(),
            observations: observations_sender,
            status: status_writer,
            fence: fence_writer,
            pulse: threads.pulse("zk-watch"),
        };
        threads.spawn("zk-watch", move || zk::watch::run(&inbox, outlets, ledger, reread))?;
        let outlets = zk::session::Outlets {
            watch: inputs.clone(),
            election,
            connection: connection_writer,
            pulse: threads.pulse("zk-session"),
        };
        threads.spawn("zk-session", move || zk::session::run(settings, own, outlets, &stopped))?;
        Ok(Self { inputs, judged, connection, compliance, status, fence, stop })
    }

    /// Puts other rules in force.
    pub fn rules(&self, rules: Arc<RuleSet>) {
        // Fails only if the thread has ended, which ends the process.
        self.inputs.send(WatchInput::Rules(rules)).ok();
    }

    /// Has ages judged by this machine's clock, for who writes nothing by which ZooKeeper's would be known.
    pub fn trust_own_clock(&self) {
        let now = clock::now();
        let sample = ClockSample { sent: now.mono, answered: now.mono, written: now.wall };
        // Fails only if the thread has ended, which ends the process.
        self.inputs.send(WatchInput::Clock(sample)).ok();
    }

    /// Has the threads end: the session closes, then the watch thread, then the evaluator as its inbox closes.
    pub fn stop(self) {
        drop(self.stop);
        self.inputs.send(WatchInput::Stop).ok();
    }
}

/// What the session needs to know, from the command line.
///
/// # Errors
/// If a file of the TLS options cannot be used, in words that name it.
pub fn session_settings(options: &cli::ZooKeeper) -> Result<zk::session::Settings, String> {
    let tls =
        options.tls.as_ref().map(|tls| zk::tls::client_config(tls.ca.as_deref(), tls.identity.as_ref()));
    Ok(zk::session::Settings {
        hosts: options.hosts.clone(),
        chroot: options.chroot.clone().unwrap_or_default(),
        timeout: options.session_timeout,
        credentials: options.credentials.clone(),
        tls: tls.transpose()?,
    })
}
