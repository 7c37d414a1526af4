//! `/status` as JSON.

use std::sync::Arc;
use std::time::SystemTime;

use crate::model::alert_key::AlertKey;
use crate::model::children::Counted;
use crate::model::path_status::{Particulars, PathState, PathStatus, RuleStatus};
use crate::model::status::{
    AlertPhase, Alerts, Cluster, Compliance, ConfigStatus, Connection, Quiet, ReceiverStatus, Silence, Until,
    WatchStatus,
};

use super::json::{self, Object};

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All cells, read at one moment.
pub struct View {
    pub connection: Arc<Connection>,
    pub compliance: Arc<Compliance>,
    /// How good the readings are.
    pub watch: Arc<WatchStatus>,
    pub alerts: Arc<Alerts>,
    pub cluster: Arc<Cluster>,
    pub config: Arc<ConfigStatus>,
    /// Whether the session answered lately.
    pub connected: bool,
    /// Whether this agent holds the lease, and it is in effect.
    pub alerting: bool,
    /// Whether the journal's files cannot be written at present.
    pub journal_failing: bool,
}

/// Which paths to show, and how much of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub ok: bool,
    pub error: bool,
    pub unknown: bool,
    /// Add `monitor.paths`.
    pub detail: bool,
}

impl Selection {
    pub const ALL: Self = Self { ok: true, error: true, unknown: true, detail: false };

    fn shows(self, state: &PathState) -> bool {
        match state {
            PathState::Ok => self.ok,
            PathState::Error(_) => self.error,
            PathState::Unknown(_) => self.unknown,
        }
    }
}

/// How many paths are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub ok: u64,
    pub error: u64,
    pub unknown: u64,
}

impl Totals {
    /// Counts.
    pub fn of(compliance: &Compliance) -> Self {
        let mut totals = Self::default();
        for path in compliance.paths.iter() {
            match path.state {
                PathState::Ok => totals.ok += 1,
                PathState::Error(_) => totals.error += 1,
                PathState::Unknown(_) => totals.unknown += 1,
            }
        }
        totals
    }
}

/// The state in one word.
pub fn state_word(state: &PathState) -> &'static str {
    match state {
        PathState::Ok => "ok",
        PathState::Error(_) => "error",
        PathState::Unknown(_) => "unknown",
    }
}

/// The phase in one word.
pub fn phase_word(phase: AlertPhase) -> &'static str {
    match phase {
        AlertPhase::Pending => "pending",
        AlertPhase::Held => "held",
        AlertPhase::Firing => "firing",
        AlertPhase::Recovering => "recovering",
    }
}

/// The body of `/status`.
pub fn body(view: &View, selection: Selection) -> Vec<u8> {
    json::document(|top| {
        top.object("cluster", |o| cluster(o, &view.cluster));
        top.object("config", |o| config(o, &view.config));
        top.object("monitor", |o| monitor(o, view, selection));
        top.object("receivers", |o| {
            for (id, status) in &view.alerts.receivers {
                o.object(&id.0, |o| receiver(o, status));
            }
        });
        top.objects("silences", &view.alerts.silences, silence);
        top.string("version", VERSION);
        top.object("zookeeper", |o| zookeeper(o, view));
    })
}

/// The body of `/status/<path>`.
pub fn path_body(status: &PathStatus, alerts: &Alerts) -> Vec<u8> {
    json::document(|top| path(top, status, alerts, true))
}

fn monitor(monitor: &mut Object, view: &View, selection: Selection) {
    monitor.object("alerter", |o| o.bool("alerting", view.alerting));
    let shown = || view.compliance.paths.iter().filter(|path| selection.shows(&path.state));
    monitor.object("compliance", |o| {
        for status in shown() {
            match &status.state {
                PathState::Ok => o.bool(&status.path, true),
                PathState::Error(words) => o.string(&status.path, words),
                PathState::Unknown(words) => o.string(&status.path, &unknown(words)),
            }
        }
    });
    monitor.object("globs", |o| {
        for glob in view.compliance.globs.iter() {
            match &glob.state {
                PathState::Unknown(words) => o.string(&glob.path, &unknown(words)),
                PathState::Ok | PathState::Error(_) => {
                    o.optional_number(&glob.path, glob.children.map(u64::from));
                }
            }
        }
    });
    monitor.optional_number("oldest_reading", view.watch.oldest_reading.map(|age| age.as_secs()));
    if selection.detail {
        monitor.object("paths", |o| {
            for status in shown() {
                o.object(&status.path, |o| path(o, status, &view.alerts, false));
            }
        });
    }
    monitor.bool("ready", view.compliance.ready && view.connected);
    monitor.object("totals", |o| {
        let totals = Totals::of(&view.compliance);
        o.number("error", totals.error);
        o.number("ok", totals.ok);
        o.number("unknown", totals.unknown);
    });
}

/// The words of an unknown state, with the mark that they start with.
fn unknown(words: &str) -> String {
    if words.starts_with("Unknown: ") { words.to_owned() } else { format!("Unknown: {words}") }
}

/// What is known of one path.
pub fn path(object: &mut Object, status: &PathStatus, alerts: &Alerts, named: bool) {
    let phase = alerts.of(&status.path).map(|(_, alert)| alert.phase).max();
    let alert = alerts.open.get(&AlertKey::unnamed(Arc::clone(&status.path)));
    object.string("alert", phase.map_or("inactive", phase_word));
    object.optional_number("children", status.children.map(u64::from));
    let Particulars { most, counted, severity, rules } = status.particulars();
    counted.iter().for_each(|counted| what_counts(object, counted));
    object.optional("incident", alert.and_then(|alert| alert.incident.as_deref()));
    message(object, &status.state);
    most.iter().for_each(|most| object.number("most", (*most).into()));
    if named {
        object.string("path", &status.path);
    }
    object.optional("quiet", quiet(alerts, &status.path).as_deref());
    object.string("rule", &status.rule);
    if !rules.is_empty() {
        object.object("rules", |o| by_rule(o, status, alerts));
    }
    object.string("severity", severity.word());
    // A glob stands as its matches do, each since a time of its own.
    if status.since != SystemTime::UNIX_EPOCH {
        object.time("since", status.since);
    }
    object.string("state", state_word(&status.state));
}

/// Why nobody is told of a path's alerts, if nobody is of any.
fn quiet(alerts: &Alerts, path: &Arc<str>) -> Option<String> {
    let all: Option<Vec<&Quiet>> = alerts.of(path).map(|(_, alert)| alert.quiet.as_ref()).collect();
    all?.first().map(|quiet| quiet.words())
}

/// A path with several rules has an alert for each.
fn by_rule(object: &mut Object, status: &PathStatus, alerts: &Alerts) {
    let mut rules: Vec<&RuleStatus> = status.particulars().rules.iter().collect();
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    for rule in rules {
        let key = AlertKey { path: Arc::clone(&status.path), name: Some(Arc::clone(&rule.name)) };
        let alert = alerts.open.get(&key);
        object.object(&rule.name, |o| {
            o.string("alert", alert.map_or("inactive", |alert| phase_word(alert.phase)));
            rule.counted.iter().for_each(|counted| what_counts(o, counted));
            o.optional("incident", alert.and_then(|alert| alert.incident.as_deref()));
            message(o, &rule.state);
            rule.most.into_iter().for_each(|most| o.number("most", most.into()));
            o.optional("quiet", alert.and_then(|alert| alert.quiet.as_ref()).map(Quiet::words).as_deref());
            o.string("severity", rule.severity.word());
            o.time("since", rule.since);
            o.string("state", state_word(&rule.state));
        });
    }
}

fn what_counts(object: &mut Object, counted: &Counted) {
    object.number("counted", counted.counted.into());
    object.objects("ignored", &counted.ignored, |o, ignored| {
        o.string("name", &ignored.name);
        o.string("reason", &ignored.reason);
    });
}

fn message(object: &mut Object, state: &PathState) {
    match state {
        PathState::Ok => object.null("message"),
        PathState::Error(words) => object.string("message", words),
        PathState::Unknown(words) => object.string("message", &unknown(words)),
    }
}

fn cluster(object: &mut Object, cluster: &Cluster) {
    object.string("agent", &cluster.agent);
    object.objects("agents", &cluster.agents, |o, agent| {
        o.string("config", &agent.config);
        o.string("name", &agent.name);
        o.string("version", &agent.version);
    });
    object.optional("leader", cluster.leader.as_deref());
    object.string("name", &cluster.name);
    object.optional("problem", cluster.problem.as_deref());
}

fn config(object: &mut Object, config: &ConfigStatus) {
    object.string("digest", &config.digest);
    object.optional("error", config.error.as_deref());
    object.string("file", &config.file);
    match config.loaded {
        Some(time) => object.time("loaded", time),
        None => object.null("loaded"),
    }
}

fn receiver(object: &mut Object, status: &ReceiverStatus) {
    object.number("failed", status.failed);
    object.string("kind", status.kind);
    match &status.last_error {
        Some((at, message)) => object.object("last_error", |o| {
            o.time("at", *at);
            o.string("message", message);
        }),
        None => object.null("last_error"),
    }
    object.number("messages", status.messages);
    object.string("name", &status.name);
    object.number("queued", status.queued);
    object.number("refused", status.refused);
    object.number("sent", status.sent);
}

fn silence(object: &mut Object, silence: &Silence) {
    object.string("by", &silence.by);
    object.string("comment", &silence.comment);
    object.string("id", &silence.id);
    object.string("path", &silence.path);
    match silence.until {
        Until::Time(end) => object.time("until", end),
        Until::Recovery(_) => object.null("until"),
    }
}

fn zookeeper(object: &mut Object, view: &View) {
    let connection = &view.connection;
    let session = connection.session.as_ref();
    object.bool("connected", view.connected);
    object.optional("last_error", connection.last_error.as_deref());
    object.optional("server", session.map(|session| &*session.server));
    object.optional_number("session_timeout", session.map(|session| session.timeout.as_secs()));
    object.number("sessions", connection.sessions);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture;
    use super::*;
    use crate::model::severity::Severity;

    fn parsed(view: &View, selection: Selection) -> Value {
        serde_json::from_slice(&body(view, selection)).unwrap()
    }

    #[test]
    fn the_keys_of_the_predecessor_mean_what_they_meant() {
        let found = parsed(&fixture::view(), Selection::ALL);
        let mine = &found["monitor"]["compliance"];
        assert_eq!(mine["/services/foo/min_0"], json!(true));
        assert_eq!(mine["/services/foo/min_1"], json!("Found children (0) less than minimum (1)"));
        assert_eq!(mine["/services/secret"], json!("Unknown: not authorised to read it"));
        assert_eq!(found["monitor"]["alerter"], json!({"alerting": true}));
        assert_eq!(found["version"], json!(VERSION));
        assert_eq!(found["zookeeper"]["connected"], json!(true));
    }

    #[test]
    fn a_glob_is_counted_apart_and_is_no_path() {
        let found = parsed(&fixture::view(), Selection { detail: true, ..Selection::ALL });
        assert_eq!(found["monitor"]["globs"], json!({"/services/*/hosts": 1, "/void/*": 0}));
        assert!(found["monitor"]["compliance"].get("/void/*").is_none());
        assert!(found["monitor"]["paths"].get("/void/*").is_none());
        assert_eq!(found["monitor"]["totals"], json!({"error": 1, "ok": 2, "unknown": 1}));
    }

    #[test]
    fn a_selection_shows_the_states_it_names() {
        let none = Selection::default();
        let check = |selection: Selection, wanted: &[&str]| {
            let found = parsed(&fixture::view(), selection);
            let keys: Vec<_> = found["monitor"]["compliance"].as_object().unwrap().keys().cloned().collect();
            assert_eq!(keys, wanted, "{selection:?}");
            assert_eq!(found["monitor"].get("paths").is_some(), selection.detail);
        };
        check(Selection { ok: true, ..none }, &["/services/foo/min_0", "/services/web/hosts"]);
        check(Selection { error: true, detail: true, ..none }, &["/services/foo/min_1"]);
        check(Selection { error: true, unknown: true, ..none }, &["/services/foo/min_1", "/services/secret"]);
        check(none, &[]);
    }

    #[test]
    fn a_path_tells_its_alert() {
        let view = fixture::view();
        let status = view.compliance.paths.iter().nth(1).unwrap();
        let found: Value = serde_json::from_slice(&path_body(status, &view.alerts)).unwrap();
        let wanted = json!({
            "alert": "firing", "children": 0, "incident": "0123abcd", "path": "/services/foo/min_1",
            "message": "Found children (0) less than minimum (1)", "quiet": null, "rule": "/services/foo/min_1",
            "severity": "error", "since": "2014-05-31T16:20:25Z", "state": "error",
        });
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_glob_tells_no_time_at_which_it_began() {
        let view = fixture::view();
        let glob = PathStatus {
            since: SystemTime::UNIX_EPOCH,
            ..view.compliance.paths.iter().nth(1).unwrap().clone()
        };
        let found: Value = serde_json::from_slice(&path_body(&glob, &view.alerts)).unwrap();
        assert_eq!((found.get("since"), &found["state"]), (None, &json!("error")));
    }

    #[test]
    fn a_path_with_several_rules_tells_the_alert_of_each() {
        let (view, mut status) =
            (fixture::view(), fixture::view().compliance.paths.iter().nth(1).unwrap().clone());
        let rule = |name: &str, severity, state| RuleStatus {
            name: name.into(),
            severity,
            state,
            since: status.since,
            most: None,
            counted: None,
        };
        let rules = vec![
            rule("warn", Severity::Warning, status.state.clone()),
            rule("page", Severity::Critical, PathState::Ok),
        ];
        status.particulars = Some(Box::new(Particulars { rules, ..Particulars::default() }));
        let mut alerts = (*view.alerts).clone();
        let mut firing = alerts.open.remove(&AlertKey::unnamed(Arc::clone(&status.path))).unwrap();
        firing.quiet = Some(Quiet::Silenced("s1".into()));
        alerts.open.insert(AlertKey { path: Arc::clone(&status.path), name: Some("warn".into()) }, firing);
        let found: Value = serde_json::from_slice(&path_body(&status, &alerts)).unwrap();
        assert_eq!((&found["alert"], &found["incident"]), (&json!("firing"), &Value::Null));
        assert_eq!(found["quiet"], "silenced by s1", "so is each that is open");
        let wanted = json!({
            "page": {
                "alert": "inactive", "incident": null, "message": null, "quiet": null, "severity": "critical",
                "since": "2014-05-31T16:20:25Z", "state": "ok",
            },
            "warn": {
                "alert": "firing", "incident": "0123abcd", "message": "Found children (0) less than minimum (1)",
                "quiet": "silenced by s1", "severity": "warning", "since": "2014-05-31T16:20:25Z", "state": "error",
            },
        });
        assert_eq!(found["rules"], wanted);
    }

    #[test]
    fn nothing_at_all_is_valid_too() {
        let found = parsed(&fixture::nothing(), Selection { detail: true, ..Selection::ALL });
        assert_eq!(found["monitor"]["compliance"], json!({}));
        assert_eq!(found["zookeeper"]["connected"], json!(false));
        assert_eq!(found["cluster"]["leader"], Value::Null);
    }
}
