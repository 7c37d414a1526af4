//! Snapshots for tests.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::alert_key::AlertKey;
use crate::model::judge::{Bounds, Specs};
use crate::model::lease::LeaseStage;
use crate::model::path_status::{PathState, PathStatus};
use crate::model::receiver::ReceiverId;
use crate::model::recent::Recent;
use crate::model::rule::{Rule, RuleSet, Terms};
use crate::model::status::{
    Agent, AlertPhase, AlertStatus, Alerts, Cluster, Compliance, ConfigStatus, Connection, Grant,
    ReceiverStatus, Session, Silence, Until, WatchStatus, is_alerting,
};
use crate::published::{Liveness, Writer, cell};

use super::Snapshots;
use super::status::View;

pub use crate::clock::mono as now;

fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_401_553_225)
}

/// The writers of all cells; dropping one leaves its readers with the last value.
pub struct Cells {
    pub connection: Writer<Connection>,
    pub compliance: Writer<Compliance>,
    pub events: Writer<Recent>,
    pub pulse: Writer<Instant>,
}

pub fn path(path: &str, state: PathState, children: u32) -> PathStatus {
    PathStatus {
        path: path.into(),
        rule: path.into(),
        state,
        children: Some(children),
        since: moment(),
        particulars: None,
    }
}

fn compliance() -> Compliance {
    let mut hosts = path("/services/web/hosts", PathState::Ok, 3);
    hosts.rule = "/services/*/hosts".into();
    let mut secret = path("/services/secret", PathState::Unknown("not authorised to read it".into()), 0);
    secret.children = None;
    let error = PathState::Error("Found children (0) less than minimum (1)".into());
    let globs = vec![path("/services/*/hosts", PathState::Ok, 1), path("/void/*", PathState::Ok, 0)];
    let paths = vec![
        path("/services/foo/min_0", PathState::Ok, 1),
        path("/services/foo/min_1", error, 0),
        secret,
        hosts,
    ];
    let mut compliance = Compliance {
        paths: paths.into_iter().collect(),
        globs: globs.into_iter().collect(),
        ready: true,
        transitions: 4,
        ..Compliance::default()
    };
    compliance.watch_latency.observe(Duration::from_millis(3));
    compliance.watch_latency.observe(Duration::from_secs(7));
    compliance
}

fn connection() -> Connection {
    let session = Session {
        generation: 1,
        server: "127.0.0.1:2181".into(),
        timeout: Duration::from_secs(3600),
        answered: now(),
        written: Some(now()),
    };
    Connection { session: Some(session), sessions: 2, last_error: None }
}

fn alerts() -> Alerts {
    let mut alerts = Alerts::default();
    let firing = AlertStatus {
        phase: AlertPhase::Firing,
        since: moment(),
        incident: Some("0123abcd".into()),
        quiet: None,
    };
    alerts.open.insert(AlertKey::unnamed("/services/foo/min_1"), firing);
    let failing = ReceiverStatus {
        kind: "slack",
        name: "slack #ops".into(),
        queued: 2,
        sent: 5,
        messages: 2,
        failed: 3,
        refused: 1,
        last_error: Some((moment(), "answered \"500\"".into())),
    };
    alerts.receivers.insert(
        ReceiverId("a1".into()),
        ReceiverStatus { kind: "email", name: "email o…".into(), ..Default::default() },
    );
    alerts.receivers.insert(ReceiverId("b2".into()), failing);
    alerts.silences.push(Silence {
        id: "s1".into(),
        path: "/quiet/*".into(),
        until: Until::Time(moment()),
        comment: "moving".into(),
        by: "root".into(),
    });
    alerts
}

fn cluster() -> Cluster {
    let agent = |name: &str| Agent { name: name.into(), version: "1.0.0".into(), config: "d1".into() };
    Cluster {
        name: "zkmonitor".into(),
        agent: "alpha-1".into(),
        leader: Some("alpha-1".into()),
        place: 0,
        agents: vec![agent("alpha-1"), agent("beta-2")],
        foreign_holder: false,
        grant: Some(Grant { epoch: 1, generation: 1 }),
        problem: None,
    }
}

/// The rule of a path and that of a glob.
fn rules() -> Vec<Rule> {
    let bounds = Bounds::Range { min: Some(1), max: Some(9) };
    let foo = Terms {
        name: Some("page".into()),
        specs: Specs { children: Some(bounds), ..Specs::default() },
        cancel_timeout: Duration::from_secs(30),
        depends_on: vec!["/services/*/hosts".into()],
        description: Some("the \"foo\" service".into()),
        runbook: Some("https://wiki.example.com/foo".into()),
        receivers: vec![ReceiverId("a1".into())],
        ..Terms::default()
    };
    [("/services/foo/min_1", foo), ("/services/*/hosts", Terms::default())]
        .map(|(path, terms)| Rule { path: path.into(), terms: Arc::new(terms) })
        .into()
}

/// Cells with a little of everything in them.
pub fn cells() -> (Cells, Snapshots) {
    let (connection, connection_reader) = cell(connection());
    let (compliance, compliance_reader) = cell(compliance());
    let (_, alerts) = cell(alerts());
    let watch = WatchStatus { oldest_reading: Some(Duration::from_millis(7_900)), missed_changes: 2 };
    let (_, watch) = cell(watch);
    let (_, stage) = cell(LeaseStage::InEffect(1));
    let (_, cluster) = cell(cluster());
    let config = ConfigStatus {
        file: "/etc/zk_monitor/zk_monitor.yaml".into(),
        loaded: Some(moment()),
        error: None,
        digest: "d1".into(),
        rules: Arc::new(RuleSet::new(rules())),
    };
    let (_, config) = cell(config);
    let (events, events_reader) = cell(Recent::default());
    let (pulse, last) = cell(now());
    let snapshots = Snapshots {
        connection: connection_reader,
        compliance: compliance_reader,
        watch,
        alerts,
        stage,
        cluster,
        config,
        events: events_reader,
        pulses: vec![Liveness { name: "evaluator", last, limit: Duration::from_secs(3600) }],
    };
    (Cells { connection, compliance, events, pulse }, snapshots)
}

/// `count` paths, every hundredth of them out of spec.
pub fn many(count: usize) -> Compliance {
    let state = |at: usize| match at % 100 {
        0 => PathState::Error("Found children (0) less than minimum (1)".into()),
        _ => PathState::Ok,
    };
    let paths = (0..count).map(|at| path(&format!("/services/group/path_{at:06}"), state(at), 0)).collect();
    Compliance { paths, ready: true, ..Compliance::default() }
}

pub fn view() -> View {
    cells().1.view(now())
}

pub fn nothing() -> View {
    let connection = Connection::default();
    View {
        connected: connection.is_up(now()),
        alerting: is_alerting(None, LeaseStage::None, &connection, now()),
        connection: Arc::new(connection),
        compliance: Arc::default(),
        watch: Arc::default(),
        alerts: Arc::default(),
        cluster: Arc::default(),
        config: Arc::default(),
        journal_failing: false,
    }
}
