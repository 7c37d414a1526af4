//! Which threads there are, and what connects them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::cli::Options;
use crate::clock;
use crate::http::{self, Snapshots};
use crate::journal;
use crate::model::dispatcher;
use crate::model::election_update::ElectionUpdate;
use crate::model::event::What;
use crate::model::lease::LeaseStage;
use crate::model::ledger::{Write, Written};
use crate::model::recent::Recent;
use crate::model::status::{Alerts, Cluster, Compliance, ConfigStatus};
use crate::notify;
use crate::pipeline::{
    self, AlertInlets, AlertOutlets, BlindSettings, EventSink, Lease, Ping, Settings, Sights,
};
use crate::published::{Reader, Writer, cell};
use crate::threads::Threads;
use crate::watching::{Watched, Watching};
use crate::zk;
use crate::zk::election::Input;
use crate::zk::ledger::{Access, Refusal};
use crate::zk::names::{Places, own_acl};

/// What is there before the threads.
pub(super) struct Parts<'a> {
    pub(super) options: &'a Options,
    pub(super) listener: http::Listener,
    pub(super) identity: zk::election::Identity,
    pub(super) session: zk::session::Settings,
    pub(super) settings: Arc<Settings>,
}

/// The ends of channels and cells through which the threads are reloaded and stopped.
pub(super) struct Wiring {
    pub(super) watching: Watching,
    pub(super) election: Sender<Input>,
    pub(super) settings: Sender<Arc<Settings>>,
    pub(super) ping: Writer<Option<Ping>>,
    pub(super) blind: Writer<Option<BlindSettings>>,
    pub(super) config: Writer<ConfigStatus>,
    /// Closing it parks the alert thread.
    pub(super) alert_stop: Sender<()>,
    /// Closing it ends the threads that look after this agent itself.
    pub(super) heartbeat_stop: Sender<()>,
}

impl Wiring {
    /// Connects and starts everything.
    pub(super) fn start(threads: &mut Threads, parts: Parts<'_>) -> io::Result<Self> {
        let Parts { options, listener, identity, session, settings } = parts;
        let rules = Arc::clone(&settings.rules);
        let places = Places::new(&options.cluster_prefix, &options.cluster_name);
        let (election, inputs) = unbounded();
        let (own_writer, own) = cell(None);
        let entries = places.alerts.as_str().into();
        let inbox = election.clone();
        let (journal, events) = start_journal(threads, options.state_dir.clone())?;
        let watched = Watched { rules, ledger: entries, reread: options.reread };
        let watching = Watching::start(threads, session, inbox, own, watched, journal.clone())?;
        let (cluster_writer, cluster) = cell(Cluster {
            name: options.cluster_name.as_str().into(),
            agent: identity.name.as_str().into(),
            ..Cluster::default()
        });
        let (access_writer, access) = cell(None);
        let (ledger, refusals) = Ledger::start(threads, &access, &places, identity.credentials)?;
        let alerting = Alerting::start(threads, &watching, &identity, cluster, settings, ledger, journal)?;
        let lease = alerting.lease;
        let outlets = zk::election::Outlets {
            news: alerting.news,
            watch: watching.inputs.clone(),
            cluster: cluster_writer,
            own: own_writer,
            access: access_writer,
            pulse: threads.pulse("zk-election"),
        };
        let inlets = zk::election::Inlets {
            name: options.cluster_name.as_str().into(),
            inputs,
            refusals,
            connection: watching.connection.clone(),
            in_flight: alerting.in_flight,
            stage: lease.stage.clone(),
            fence: watching.fence.clone(),
        };
        threads.spawn("zk-election", move || zk::election::run(identity, places, inlets, outlets))?;
        let (heartbeat_stop, stopped) = bounded(0);
        let ping = start_heartbeat(threads, lease.clone(), watching.compliance.clone(), stopped.clone())?;
        let blind = start_blind(threads, alerting.speaker, &lease, stopped)?;
        let config = start_http(threads, listener, &watching, alerting.alerts, lease, events)?;
        let (settings, alert_stop) = (alerting.settings, alerting.stop);
        Ok(Self { watching, election, settings, ping, blind, config, alert_stop, heartbeat_stop })
    }
}

/// The ends of what the alert thread is connected by.
struct Alerting {
    speaker: dispatcher::Speaker,
    lease: Lease,
    news: Sender<ElectionUpdate>,
    settings: Sender<Arc<Settings>>,
    alerts: Reader<Alerts>,
    in_flight: Reader<usize>,
    /// Closing it parks the thread.
    stop: Sender<()>,
}

impl Alerting {
    fn start(
        threads: &mut Threads,
        watching: &Watching,
        identity: &zk::election::Identity,
        cluster: Reader<Cluster>,
        first: Arc<Settings>,
        ledger: Ledger,
        journal: EventSink,
    ) -> io::Result<Self> {
        let (news, news_receiver) = unbounded();
        let (settings, settings_receiver) = unbounded();
        // They have to be there before their rules. Fails only if nobody receives any more, and the receiver is here.
        settings.send(first).ok();
        let (stop, stopped) = bounded(0);
        let (alerts_writer, alerts) = cell(Alerts::default());
        let (in_flight_writer, in_flight) = cell(0);
        let (stage_writer, stage) = cell(LeaseStage::None);
        let agent = cluster.get();
        let lease = Lease { cluster, connection: watching.connection.clone(), stage };
        let speaker = dispatcher::Speaker {
            cluster: Arc::clone(&agent.name),
            agent: Arc::clone(&agent.agent),
            instance: identity.instance[..12].into(),
            seed: fastrand::u64(..),
        };
        let inlets = AlertInlets {
            evaluated: watching.judged.clone(),
            news: news_receiver,
            written: ledger.written,
            settings: settings_receiver,
            stop: stopped,
        };
        let outlets = AlertOutlets {
            writes: ledger.writes,
            alerts: alerts_writer,
            in_flight: in_flight_writer,
            stage: stage_writer,
            pulse: threads.pulse("alert"),
            spawner: threads.spawner(),
            journal,
        };
        let (held, own) = (lease.clone(), speaker.clone());
        threads.spawn("alert", move || pipeline::alert(own, notifiers(), held, &inlets, outlets))?;
        Ok(Self { speaker, lease, news, settings, alerts, in_flight, stop })
    }
}

/// The ends of the channels of the ledger's writers. What is queued is bounded by the dispatcher, which has one
/// write a path under way.
struct Ledger {
    writes: Sender<Write>,
    written: Receiver<(u64, Written)>,
}

impl Ledger {
    fn start(
        threads: &mut Threads,
        access: &Reader<Option<Access>>,
        places: &Places,
        credentials: bool,
    ) -> io::Result<(Self, Receiver<Refusal>)> {
        let (writes, queue) = unbounded();
        let (answers, written) = unbounded();
        let (refuser, refusals) = bounded(1);
        for _ in 0..zk::ledger::WRITERS {
            let (queue, answers, refuser) = (queue.clone(), answers.clone(), refuser.clone());
            let (access, places, acl) = (access.clone(), places.clone(), own_acl(credentials));
            let work = move || zk::ledger::run(&queue, &answers, &refuser, &access, &places, &acl);
            threads.spawn("zk-ledger", work)?;
        }
        Ok((Self { writes, written }, refusals))
    }
}

fn notifiers() -> pipeline::Notifiers {
    pipeline::Notifiers { make: Arc::new(notify::notifier), host: notify::host }
}

/// Starts the watch over the session, and gives the cell that says who is told that there is none.
fn start_blind(
    threads: &mut Threads,
    speaker: dispatcher::Speaker,
    lease: &Lease,
    stop: Receiver<()>,
) -> io::Result<Writer<Option<BlindSettings>>> {
    let (writer, settings) = cell(None);
    let (connection, cluster) = (lease.connection.clone(), lease.cluster.clone());
    let (sights, spawner) = (Sights { settings, connection, cluster }, threads.spawner());
    threads.spawn("blind", move || pipeline::blind(speaker, notifiers(), &sights, &stop, spawner))?;
    Ok(writer)
}

/// Starts the journal; gives the way to it, and what it shows. It has no pulse: a disk that hangs is no reason to end the
/// daemon.
fn start_journal(
    threads: &mut Threads,
    directory: Option<PathBuf>,
) -> io::Result<(EventSink, Reader<Recent>)> {
    let (queue, events) = unbounded();
    let lost = Arc::<AtomicU64>::default();
    let (writer, recent) = cell(Recent::default());
    let has_files = directory.is_some();
    let sink = EventSink { queue, lost: Arc::clone(&lost), has_files };
    sink.note(clock::wall(), What::Started);
    threads.spawn("journal", move || journal::run(directory, &events, &lost, &writer))?;
    Ok((sink, recent))
}

/// Starts the heartbeat, and gives the cell that says what to ping.
fn start_heartbeat(
    threads: &mut Threads,
    lease: Lease,
    compliance: Reader<Compliance>,
    stop: Receiver<()>,
) -> io::Result<Writer<Option<Ping>>> {
    let (ping, reader) = cell(None);
    threads.spawn("heartbeat", move || pipeline::heartbeat(&reader, &lease, &compliance, &stop))?;
    Ok(ping)
}

/// Starts the HTTP server, and gives the cell that says which configuration is in force.
fn start_http(
    threads: &mut Threads,
    listener: http::Listener,
    watching: &Watching,
    alerts: Reader<Alerts>,
    lease: Lease,
    events: Reader<Recent>,
) -> io::Result<Writer<ConfigStatus>> {
    let (writer, config) = cell(ConfigStatus::default());
    let snapshots = Snapshots {
        connection: watching.connection.clone(),
        compliance: watching.compliance.clone(),
        watch: watching.status.clone(),
        alerts,
        stage: lease.stage,
        cluster: lease.cluster,
        config,
        events,
        pulses: threads.pulses(),
    };
    let spawner = threads.spawner();
    threads.spawn("http", move || {
        if let Err(e) = http::serve(listener, snapshots, &spawner) {
            log::error!("the HTTP server ended: {e}");
        }
    })?;
    Ok(writer)
}
