//! Rules that depend on others: what falls with those is not told.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{Daemon, HttpSink, eventually, shared, throughout};

/// How many depend on one path, and how many of them stay down.
const DEPENDANTS: usize = 1_000;
const LEFT: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than the hold-down of a rule that depends on something.
const HOLD_DOWN: Duration = Duration::from_secs(11);

/// How often each path was told of, by how that ended: `firing /path`.
fn told(sink: &HttpSink) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for request in sink.requests("/hook") {
        let body = request.json();
        for alert in body["alerts"].as_array().unwrap() {
            let text = format!("{} {}", alert["status"], alert["labels"]["path"]).replace('"', "");
            *told.entry(text).or_default() += 1;
        }
    }
    told
}

fn once(lines: &[&str]) -> BTreeMap<String, usize> {
    lines.iter().map(|line| ((*line).to_owned(), 1)).collect()
}

#[test]
fn a_thousand_that_fall_with_one_path_are_one_message_and_those_that_stay_down_are_told() {
    let (space, sink) = (shared(), HttpSink::start());
    let nodes: Vec<String> = (0..DEPENDANTS).map(|n| format!("/w/{n}")).collect();
    let mut client = space.client();
    client.create("/db", "");
    client.create("/w", "");
    client.create_many(&nodes);
    let dependants: String =
        nodes.iter().map(|node| format!("{node}: {{exists: true, depends_on: /db}}\n")).collect();
    let yaml = format!(
        "defaults: {{alerter: {{webhook: {{url: '{}'}}}}}}\n/db: {{exists: true}}\n{dependants}",
        sink.url("/hook")
    );
    let daemon = Daemon::start(space.address(), &yaml);
    daemon.wait_until_ready();
    daemon.wait_until_it_leads();
    let metric = |line: &str| daemon.get("/metrics").body.lines().any(|found| found == line);

    client.delete_many(&nodes);
    client.delete("/db");
    let held = format!("zk_monitor_alerts{{phase=\"held\"}} {DEPENDANTS}");
    eventually(PATIENCE, "all are held", || metric(&held));
    let path = daemon.get("/status?detail=1").json()["monitor"]["paths"]["/w/7"].clone();
    assert_eq!((&path["alert"], &path["quiet"]), (&"held".into(), &"held by /db".into()));
    throughout(HOLD_DOWN, "the path alone is told", || {
        let told = told(&sink);
        told.is_empty() || told == once(&["firing /db"])
    });

    client.create_many(&nodes[LEFT..]);
    let left = format!("zk_monitor_alerts{{phase=\"held\"}} {LEFT}");
    eventually(PATIENCE, "all but three are back", || metric(&left));
    client.create("/db", "");
    let mut expected = once(&["firing /db", "resolved /db", "firing /w/0", "firing /w/1", "firing /w/2"]);
    eventually(PATIENCE, "those that stayed down", || told(&sink) == expected);
    client.create_many(&nodes[..LEFT]);
    expected.extend(once(&["resolved /w/0", "resolved /w/1", "resolved /w/2"]));
    eventually(PATIENCE, "their ends", || told(&sink) == expected);
    space.wait_for_children("/zk_monitor/zkmonitor/alerts", 0);
}
