//! The alerting rules for Prometheus and the dashboard for Grafana, against a real Prometheus that scrapes a real daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex_lite::Regex;
use serde_json::{Value, json};

use super::common::{Access, Answer, Daemon, HttpSink, Mode, Prometheus, SOON, Space, eventually, shared};

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(packaged(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

const RULES: &str = "packaging/prometheus/zk_monitor.rules.yml";
const TESTS: &str = "packaging/prometheus/zk_monitor.rules.test.yml";

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// The alerting rules.
fn rules() -> Vec<Value> {
    let file: Value = serde_yaml::from_str(&read(RULES)).unwrap();
    list(&file["groups"]).iter().flat_map(|group| list(&group["rules"]).to_vec()).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("packaging/grafana/zk_monitor.json")).unwrap()
}

/// The panels that show something.
fn panels(dashboard: &Value) -> Vec<&Value> {
    list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row").collect()
}

#[test]
fn each_rule_fires_and_does_not_fire() {
    for arguments in [["check", "rules", RULES], ["test", "rules", TESTS]] {
        let output = Command::new("promtool").args(arguments).current_dir(packaged("")).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    let file: Value = serde_yaml::from_str(&read(TESTS)).unwrap();
    let cases = list(&file["tests"]).iter().flat_map(|test| list(&test["alert_rule_test"]));
    let (firing, quiet): (Vec<&Value>, Vec<&Value>) = cases.partition(|case| case["exp_alerts"].is_array());
    let names = |cases: &[&Value]| -> BTreeSet<String> {
        cases.iter().map(|case| text(&case["alertname"]).to_owned()).collect()
    };
    let all: BTreeSet<String> = rules().iter().map(|rule| text(&rule["alert"]).to_owned()).collect();
    assert_eq!(names(&firing), all, "fires");
    assert_eq!(names(&quiet), all, "does not fire");
}

#[test]
fn the_readme_tells_what_each_rule_is_for() {
    let readme = read("README.md");
    let told: Vec<Vec<&str>> = readme
        .lines()
        .filter(|line| line.starts_with("| `ZkMonitor"))
        .map(|line| line.split(" | ").take(3).map(|cell| cell.trim_matches(['|', ' ', '`'])).collect())
        .collect();
    let rules = rules();
    let expected: Vec<Vec<&str>> = rules
        .iter()
        .map(|rule| {
            let after = rule["for"].as_str().unwrap_or("at once");
            vec![text(&rule["alert"]), text(&rule["labels"]["severity"]), after]
        })
        .collect();
    assert_eq!(told, expected);
}

/// A daemon of which each metric has a series.
fn daemon(sink: &HttpSink) -> (Space, Daemon) {
    let space = shared();
    let mut client = space.client();
    client.authenticate("somebody:else");
    client.create("/services/web/instances/a", "");
    client.create_as("/secret", "", Mode::Persistent, Access::Creator);
    sink.answer("/down", Answer::status(503));
    sink.answer(
        "/refuses/chat.postMessage",
        Answer::json(&json!({"ok": false, "error": "channel_not_found"})),
    );
    let yaml = format!(
        "/services/*/instances: {{children: 1}}\n/secret: {{children: 1}}\n\
         /bad: {{children: 1, alerter: {{webhook: {{url: '{0}/down'}}, slack: {{channel: '#ops', token: t, api_url: '{0}/refuses'}}}}}}\n",
        sink.url("")
    );
    let daemon = Daemon::start(space.address(), &yaml);
    daemon.wait_until_it_leads();
    (space, daemon)
}

/// Each metric with its labels, as they are selected in an expression.
fn selectors(expression: &str) -> BTreeSet<String> {
    let selector = Regex::new(r"\b(zk_monitor_[a-z_]+|process_[a-z_]+|up\b)(\{[^}]*\})?").unwrap();
    // What stands in quotes is a value.
    let is_value = |start: usize| expression[..start].matches('"').count() % 2 == 1;
    let found = selector.find_iter(expression).filter(|found| !is_value(found.start()));
    found.map(|found| found.as_str().to_owned()).collect()
}

/// Waits until an expression gives something, and tells what labels that has.
#[track_caller]
fn labels(server: &Prometheus, expression: &str) -> BTreeSet<String> {
    let series = eventually(SOON, &format!("series of {expression}"), || {
        let series = server.query(expression)?;
        if series.is_empty() { Err("nothing".to_owned()) } else { Ok(series) }
    });
    series.iter().flat_map(|labels| labels.as_object().unwrap().keys().cloned()).collect()
}

#[test]
fn what_rules_and_panels_ask_for_is_what_a_daemon_exports() {
    let sink = HttpSink::start();
    let (_space, daemon) = daemon(&sink);
    let server = Prometheus::start(daemon.address(), &packaged(RULES));
    for rule in rules() {
        for selector in selectors(text(&rule["expr"])) {
            labels(&server, &selector);
        }
    }
    let legend = Regex::new(r"\{\{(\w+)\}\}").unwrap();
    let dashboard = dashboard();
    for panel in panels(&dashboard) {
        for target in list(&panel["targets"]) {
            let expression = ["$job", "$rule", "$__rate_interval"]
                .iter()
                .zip(["zk_monitor", ".*", "1m"])
                .fold(text(&target["expr"]).to_owned(), |text, (name, value)| text.replace(name, value));
            assert!(!expression.contains('$') && !selectors(&expression).is_empty(), "{expression}");
            let labels = labels(&server, &expression);
            for name in legend.captures_iter(text(&target["legendFormat"])) {
                assert!(labels.contains(&name[1]), "{expression}: no {} in {labels:?}", &name[1]);
            }
        }
    }
    for variable in
        list(&dashboard["templating"]["list"]).iter().filter(|variable| variable["type"] == "query")
    {
        let query = text(&variable["query"]["query"]).replace("$job", "zk_monitor");
        let (selector, label) = query.strip_prefix("label_values(").unwrap().rsplit_once(", ").unwrap();
        assert!(labels(&server, selector).contains(label.trim_end_matches(')')), "{query}");
    }
    eventually(SOON, "evaluation of all rules", || {
        let bad: Vec<Value> = server.rules().into_iter().filter(|rule| rule["health"] != "ok").collect();
        if bad.is_empty() { Ok(()) } else { Err(bad) }
    });
}

#[test]
fn the_dashboard_has_what_grafana_wants() {
    let dashboard = dashboard();
    assert!(dashboard["id"].is_null(), "one that is imported has no number yet");
    assert!(dashboard["schemaVersion"].as_u64() >= Some(36), "Grafana 9 and later");
    assert_eq!((&dashboard["uid"], &dashboard["title"]), (&json!("zk_monitor"), &json!("zk_monitor")));
    let variables: Vec<&str> =
        list(&dashboard["templating"]["list"]).iter().map(|variable| text(&variable["name"])).collect();
    assert_eq!(variables, ["datasource", "job", "rule"]);
    assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource");
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeMap::new());
    for panel in list(&dashboard["panels"]) {
        let title = text(&panel["title"]);
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: a number of its own");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{title}: 24 columns");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            let other = taken.insert(place, title);
            assert_eq!(other, None, "{title} stands on it");
        }
    }
    for panel in panels(&dashboard) {
        assert_eq!(panel["datasource"], source);
        assert!(["stat", "table", "timeseries", "state-timeline"].contains(&text(&panel["type"])), "{panel}");
        let targets = list(&panel["targets"]);
        let references: BTreeSet<&str> = targets.iter().map(|target| text(&target["refId"])).collect();
        assert_eq!(references.len(), targets.len(), "{panel}");
        assert!(targets.iter().all(|target| target["datasource"] == source), "{panel}");
    }
}
