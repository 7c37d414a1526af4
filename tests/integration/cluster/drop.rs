//! A number of children that falls: who did not see it fall measures it by what the ledger says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Daemon, HttpSink, SOON, Space, eventually, shared, throughout};

const FALLEN: &str = "Found children (6) more than 30% below 10, the most within 1h";

fn yaml(sink: &HttpSink, within: &str) -> String {
    format!(
        "group_wait: 0\n/pool: {{children: {{drop: {{by: 30%, within: {within}}}}}, \
         alerter: {{webhook: {{url: '{}'}}}}}}\n",
        sink.url("/hook")
    )
}

fn children(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("/pool/{number}")).collect()
}

fn pool(space: &Space) {
    let mut client = space.client();
    client.create("/pool", "");
    client.create_many(&children(0..10));
}

fn start(space: &Space, yaml: &str) -> Daemon {
    let daemon = Daemon::with(space.address(), yaml).start();
    daemon.wait_until_ready();
    daemon
}

/// A pool, and two agents, of which the first leads.
fn pair(space: &Space, yaml: &str) -> Vec<Daemon> {
    pool(space);
    let first = start(space, yaml);
    first.wait_until_it_leads();
    vec![first, start(space, yaml)]
}

/// Every agent is killed and started anew while the incident is open: none of those that lead later saw the fall.
#[test]
fn a_fall_outlives_every_agent_that_saw_it() {
    let (space, sink) = (shared(), HttpSink::start());
    let yaml = yaml(&sink, "1h");
    let mut agents = pair(&space, &yaml);
    let mut client = space.client();
    client.delete_many(&children(6..10));
    let alert = sink.wait_for("/hook", 1)[0].json()["alerts"][0].clone();
    assert_eq!(alert["annotations"]["message"], FALLEN);
    space.wait_until_noted(1);
    for _ in 0..3 {
        agents.remove(0).kill();
        agents[0].wait_until_it_leads();
        agents[0].wait_for("/pool", FALLEN);
        agents.push(start(&space, &yaml));
    }
    let detail = agents[0].get("/status?detail=1").json()["monitor"]["paths"]["/pool"].clone();
    assert_eq!((&detail["most"], &detail["alert"]), (&json!(10), &json!("firing")));
    assert_eq!(detail["incident"], alert["annotations"]["incident"]);
    throughout(Duration::from_secs(1), "neither told again nor ended", || sink.requests("/hook").len() == 1);

    client.create("/pool/6", "");
    let end = sink.wait_for("/hook", 2)[1].json()["alerts"][0].clone();
    assert_eq!((&end["status"], &end["fingerprint"]), (&json!("resolved"), &alert["fingerprint"]));
    assert_eq!(end["annotations"]["incident"], alert["annotations"]["incident"]);
    assert_eq!(end["annotations"]["notes"], "The count is back within 30% of 10");
    space.wait_for_children("/zk_monitor/zkmonitor/alerts", 0);
}

/// The ends of each incident that was told.
fn told(sink: &HttpSink) -> BTreeMap<String, BTreeSet<String>> {
    let mut told = BTreeMap::<_, BTreeSet<String>>::new();
    for request in sink.requests("/hook") {
        let alert = request.json()["alerts"][0].clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        told.entry(text(&alert["annotations"]["incident"])).or_default().insert(text(&alert["status"]));
    }
    told
}

#[test]
fn a_leader_killed_at_any_point_of_a_fall_changes_nothing() {
    let (space, sink) = (shared(), HttpSink::start());
    let yaml = yaml(&sink, "1h");
    let mut agents = pair(&space, &yaml);
    let mut client = space.client();
    for (round, after) in (1..).zip([0, 5, 30, 300]) {
        client.delete_many(&children(6..10));
        let fell = Instant::now();
        eventually(SOON, "the time to kill", || fell.elapsed() >= Duration::from_millis(after));
        agents.remove(0).kill();
        agents[0].wait_until_it_leads();
        agents.push(start(&space, &yaml));
        eventually(SOON, "the alert", || told(&sink).len() == round);
        client.create_many(&children(6..10));
        space.wait_for_children("/zk_monitor/zkmonitor/alerts", 0);
        let told = told(&sink);
        assert_eq!(told.len(), round, "one incident a fall, killed after {after} ms: {told:?}");
        assert!(told.values().all(|ends| ends.contains("resolved")), "killed after {after} ms: {told:?}");
    }
}

#[test]
fn a_fall_is_over_when_its_time_has_passed_without_anything_else_happening() {
    let (space, sink) = (shared(), HttpSink::start());
    pool(&space);
    let daemon = start(&space, &yaml(&sink, "3s"));
    daemon.wait_until_it_leads();
    space.client().delete_many(&children(6..10));
    sink.wait_for("/hook", 1);
    let end = sink.wait_for("/hook", 2)[1].json()["alerts"][0].clone();
    assert_eq!(end["status"], "resolved");
    // They did not go at once: the last fall that counts may be one from nine.
    let notes = end["annotations"]["notes"].as_str().unwrap_or_default();
    assert!(notes.starts_with("3s has passed since the fall from "), "{end}");
    daemon.wait_for("/pool", true);
}
