//! `/metrics` in Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::path_status::PathState;
use crate::model::status::{AlertPhase, Alerts, Compliance, ConfigStatus, Histogram, Quiet, WatchStatus};

use super::status::{Totals, VERSION, View, phase_word, state_word};

/// How many paths that are not in spec get a series of their own; the rest are counted. An outage must not
/// swamp the server that watches for it.
const SERIES: usize = 1000;

/// Text, family by family.
#[derive(Default)]
struct Families(String);

impl Families {
    /// Begins a family.
    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        Family { text: self, name }
    }

    fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, "gauge", help).sample(&[], value);
    }

    fn counter(&mut self, name: &'static str, help: &str, value: u64) {
        self.family(name, "counter", help).sample(&[], value);
    }

    fn line(&mut self, line: std::fmt::Arguments) {
        // Writing to a String cannot fail.
        writeln!(self.0, "{line}").ok();
    }
}

struct Family<'a> {
    text: &'a mut Families,
    name: &'static str,
}

impl Family<'_> {
    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.suffixed("", labels, value);
    }

    fn suffixed(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let name = self.name;
        if labels.is_empty() {
            return self.text.line(format_args!("{name}{suffix} {value}"));
        }
        let pairs: Vec<_> =
            labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
        self.text.line(format_args!("{name}{suffix}{{{}}} {value}", pairs.join(",")));
    }
}

/// A label's value as the format wants it.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The body of `/metrics`.
pub fn body(view: &View) -> Vec<u8> {
    let mut families = Families::default();
    let out = &mut families;
    out.family("zk_monitor_build_info", "gauge", "The version that runs.").sample(&[("version", VERSION)], 1);
    zookeeper(out, view);
    paths(out, &view.compliance);
    readings(out, &view.watch);
    latency(out, &view.compliance.watch_latency);
    alerts(out, &view.alerts);
    receivers(out, &view.alerts);
    config(out, &view.config);
    let help = "Whether the journal's files cannot be written; it is kept in memory meanwhile.";
    out.gauge("zk_monitor_journal_failing", help, u8::from(view.journal_failing));
    process(out);
    families.0.into_bytes()
}

fn zookeeper(out: &mut Families, view: &View) {
    let flag = u8::from;
    let connection = &view.connection;
    out.gauge("zk_monitor_zookeeper_connected", "Whether the session answered lately.", flag(view.connected));
    out.counter(
        "zk_monitor_zookeeper_sessions_total",
        "Sessions begun since the start.",
        connection.sessions,
    );
    if let Some(session) = &connection.session {
        let timeout = session.timeout.as_secs_f64();
        let help = "The negotiated session timeout.";
        out.gauge("zk_monitor_zookeeper_session_timeout_seconds", help, timeout);
    }
    out.gauge("zk_monitor_alerting", "Whether this agent holds the lease and sends.", flag(view.alerting));
    out.gauge("zk_monitor_cluster_agents", "Agents of the cluster.", view.cluster.agents.len());
    let led = view.cluster.leader.is_some();
    let help = "Whether one who is no agent holds the lock, so that no agent sends alerts.";
    out.gauge("zk_monitor_foreign_holder", help, flag(view.cluster.foreign_holder));
    out.gauge("zk_monitor_cluster_has_leader", "Whether an agent is first in line.", flag(led));
}

fn paths(out: &mut Families, compliance: &Compliance) {
    let ready = u8::from(compliance.ready);
    out.gauge("zk_monitor_ready", "Whether every rule was read on the present session.", ready);
    let totals = Totals::of(compliance);
    let mut family = out.family("zk_monitor_paths", "gauge", "Paths by state.");
    for (state, count) in [("error", totals.error), ("ok", totals.ok), ("unknown", totals.unknown)] {
        family.sample(&[("state", state)], count);
    }
    let troubled = || compliance.paths.iter().filter(|path| path.state != PathState::Ok);
    let mut family =
        out.family("zk_monitor_path_not_ok", "gauge", "Paths that are not in spec, the first 1000 by name.");
    for path in troubled().take(SERIES) {
        family.sample(&[("path", &path.path), ("state", state_word(&path.state))], 1);
    }
    let omitted = troubled().skip(SERIES).count();
    out.gauge(
        "zk_monitor_path_not_ok_omitted",
        "Paths not in spec that have no series of their own.",
        omitted,
    );
    let help = "Children of a path when it was read last, the first 1000 paths by name.";
    let mut family = out.family("zk_monitor_children", "gauge", help);
    for path in compliance.paths.iter().take(SERIES) {
        if let Some(children) = path.children {
            family.sample(&[("path", &path.path), ("rule", &path.rule)], children);
        }
    }
    let mut family = out.family("zk_monitor_glob_matches", "gauge", "Paths that a glob matches.");
    for glob in compliance.globs.iter().take(SERIES) {
        if let (PathState::Ok, Some(count)) = (&glob.state, glob.children) {
            family.sample(&[("glob", &glob.path)], count);
        }
    }
    let help = "Changes of a path's state since the start.";
    out.counter("zk_monitor_transitions_total", help, compliance.transitions);
}

fn readings(out: &mut Families, watch: &WatchStatus) {
    if let Some(age) = watch.oldest_reading {
        let help = "How old the oldest reading is; each path is verified once in --reread.";
        out.gauge("zk_monitor_oldest_reading_seconds", help, age.as_secs());
    }
    let help = "Changes that a verification found and no event had told of, since the start.";
    out.counter("zk_monitor_missed_changes_total", help, watch.missed_changes);
}

fn latency(out: &mut Families, histogram: &Histogram) {
    let help = "From a watch event to the reading that it caused.";
    let mut family = out.family("zk_monitor_watch_latency_seconds", "histogram", help);
    let mut total = 0;
    for (bound, count) in Histogram::BOUNDS.iter().zip(&histogram.counts) {
        total += count;
        family.suffixed("_bucket", &[("le", &bound.to_string())], total);
    }
    let all: u64 = histogram.counts.iter().sum();
    family.suffixed("_bucket", &[("le", "+Inf")], all);
    family.suffixed("_sum", &[], histogram.sum);
    family.suffixed("_count", &[], all);
}

/// All phases, in the order in which an alert goes through them.
const PHASES: [AlertPhase; 4] =
    [AlertPhase::Pending, AlertPhase::Held, AlertPhase::Firing, AlertPhase::Recovering];

fn quiet_word(quiet: &Quiet) -> &'static str {
    match quiet {
        Quiet::Silenced(_) => "silenced",
        Quiet::Nobody => "nobody",
        Quiet::Held(_) => "held",
    }
}

fn alerts(out: &mut Families, alerts: &Alerts) {
    let mut family = out.family("zk_monitor_alerts", "gauge", "Alerts by phase.");
    for phase in PHASES {
        let count = alerts.open.values().filter(|alert| alert.phase == phase).count();
        family.sample(&[("phase", phase_word(phase))], count);
    }
    let help = "Alerts that nobody is told of, by phase and reason.";
    let mut family = out.family("zk_monitor_alerts_quiet", "gauge", help);
    for phase in PHASES {
        let quiet = alerts.open.values().filter(|alert| alert.phase == phase);
        let quiet: Vec<_> = quiet.filter_map(|alert| alert.quiet.as_ref()).collect();
        for reason in ["silenced", "nobody", "held"] {
            let count = quiet.iter().filter(|quiet| quiet_word(quiet) == reason).count();
            family.sample(&[("phase", phase_word(phase)), ("reason", reason)], count);
        }
    }
    out.gauge("zk_monitor_silences", "Silences in force.", alerts.silences.len());
}

fn receivers(out: &mut Families, alerts: &Alerts) {
    let help = "Notifications by receiver and outcome; a failed one is tried again.";
    let mut family = out.family("zk_monitor_notifications_total", "counter", help);
    for (id, status) in &alerts.receivers {
        for (outcome, count) in
            [("failed", status.failed), ("refused", status.refused), ("sent", status.sent)]
        {
            family.sample(&[("kind", status.kind), ("outcome", outcome), ("receiver", &id.0)], count);
        }
    }
    let help = "What a receiver is called.";
    let mut family = out.family("zk_monitor_receiver_info", "gauge", help);
    for (id, status) in &alerts.receivers {
        family.sample(&[("kind", status.kind), ("name", &status.name), ("receiver", &id.0)], 1);
    }
    let mut family = out.family("zk_monitor_notifications_queued", "gauge", "Notifications that wait.");
    for (id, status) in &alerts.receivers {
        family.sample(&[("kind", status.kind), ("receiver", &id.0)], status.queued);
    }
    let mut family =
        out.family("zk_monitor_receiver_failing", "gauge", "Whether the latest attempt went wrong.");
    for (id, status) in &alerts.receivers {
        let failing = u8::from(status.last_error.is_some());
        family.sample(&[("kind", status.kind), ("receiver", &id.0)], failing);
    }
}

fn config(out: &mut Families, config: &ConfigStatus) {
    let good = u8::from(config.error.is_none());
    let help = "Whether the latest reading of the file went well.";
    out.gauge("zk_monitor_config_last_reload_successful", help, good);
    if let Some(loaded) = config.loaded {
        let help = "When the configuration in force was loaded.";
        out.gauge("zk_monitor_config_loaded_timestamp_seconds", help, unix_seconds(loaded));
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What the kernel tells of this process; what cannot be read is left out.
fn process(out: &mut Families) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kilobytes) = field(&status, "VmRSS:") {
        out.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", kilobytes * 1024);
    }
    if let Some(threads) = field(&status, "Threads:") {
        out.gauge("process_threads", "Threads of the process.", threads);
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // One of them is the directory itself.
        let open = entries.count().saturating_sub(1);
        out.gauge("process_open_fds", "Number of open file descriptors.", open);
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fixture;
    use super::*;
    use crate::model::alert_key::AlertKey;

    fn text(view: &View) -> String {
        String::from_utf8(body(view)).unwrap()
    }

    #[test]
    fn what_is_known_has_a_series() {
        let mut view = fixture::view();
        let mut alerts = (*view.alerts).clone();
        let mut held = alerts.open.values().next().unwrap().clone();
        (held.phase, held.quiet) = (AlertPhase::Held, Some(Quiet::Held("/db".into())));
        alerts.open.insert(AlertKey::unnamed("/services/held"), held);
        view.alerts = Arc::new(alerts);
        let text = text(&view);
        let check = |wanted: &str| assert!(text.lines().any(|line| line == wanted), "{wanted}\n{text}");
        check("zk_monitor_zookeeper_connected 1");
        check("zk_monitor_zookeeper_session_timeout_seconds 3600");
        check("zk_monitor_alerting 1");
        check("zk_monitor_foreign_holder 0");
        check("zk_monitor_paths{state=\"error\"} 1");
        check("zk_monitor_paths{state=\"ok\"} 2");
        check("zk_monitor_path_not_ok{path=\"/services/foo/min_1\",state=\"error\"} 1");
        check("zk_monitor_path_not_ok{path=\"/services/secret\",state=\"unknown\"} 1");
        check("zk_monitor_path_not_ok_omitted 0");
        check("zk_monitor_children{path=\"/services/foo/min_0\",rule=\"/services/foo/min_0\"} 1");
        check("zk_monitor_children{path=\"/services/web/hosts\",rule=\"/services/*/hosts\"} 3");
        check("zk_monitor_glob_matches{glob=\"/void/*\"} 0");
        check("zk_monitor_transitions_total 4");
        check("zk_monitor_alerts{phase=\"held\"} 1");
        check("zk_monitor_alerts_quiet{phase=\"held\",reason=\"held\"} 1");
        check("zk_monitor_alerts_quiet{phase=\"firing\",reason=\"nobody\"} 0");
        check("zk_monitor_watch_latency_seconds_bucket{le=\"0.0025\"} 0");
        check("zk_monitor_watch_latency_seconds_bucket{le=\"0.005\"} 1");
        check("zk_monitor_watch_latency_seconds_bucket{le=\"5\"} 1");
        check("zk_monitor_watch_latency_seconds_bucket{le=\"+Inf\"} 2");
        check("zk_monitor_watch_latency_seconds_count 2");
        check("zk_monitor_alerts{phase=\"firing\"} 1");
        check("zk_monitor_notifications_total{kind=\"slack\",outcome=\"failed\",receiver=\"b2\"} 3");
        check("zk_monitor_alerts_quiet{phase=\"firing\",reason=\"silenced\"} 0");
        check("zk_monitor_receiver_info{kind=\"email\",name=\"email o…\",receiver=\"a1\"} 1");
        check("zk_monitor_receiver_failing{kind=\"email\",receiver=\"a1\"} 0");
        check("zk_monitor_config_loaded_timestamp_seconds 1401553225");
        check("zk_monitor_journal_failing 0");
        assert!(text.contains("\nprocess_threads "));
    }

    #[test]
    fn an_outage_of_everything_is_counted_and_not_listed() {
        let (cells, snapshots) = fixture::cells();
        cells.compliance.publish(fixture::many(300_000));
        let text = text(&snapshots.view(fixture::now()));
        assert_eq!(text.matches("\nzk_monitor_path_not_ok{").count(), SERIES);
        assert!(text.contains("\nzk_monitor_path_not_ok_omitted 2000\n"));
        assert_eq!(text.matches("\nzk_monitor_children{").count(), SERIES);
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(escape("/a\"b\\c\nd"), "/a\\\"b\\\\c\\nd");
    }
}
