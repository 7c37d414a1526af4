//! Alerts that wait for what their rules depend on: whoever leads judges that itself.

use std::time::Duration;

use crate::common::{Daemon, HttpSink, Space, eventually, shared, throughout};

/// Longer than the hold-down of a rule that depends on something, and than a takeover.
const PATIENCE: Duration = Duration::from_secs(40);
const HOLD_DOWN: Duration = Duration::from_secs(11);

fn start(space: &Space, sink: &HttpSink) -> Daemon {
    let yaml = format!(
        "group_wait: 0\ndefaults: {{alerter: {{webhook: {{url: '{}'}}}}}}\n/db: {{exists: true}}\n\
         /early: {{exists: true, depends_on: /db}}\n/late: {{exists: true, depends_on: /d*}}\n",
        sink.url("/hook")
    );
    let daemon = Daemon::start(space.address(), &yaml);
    daemon.wait_until_ready();
    daemon
}

/// What was told, in order.
fn told(sink: &HttpSink) -> Vec<String> {
    let bodies = sink.requests("/hook").into_iter().map(|request| request.json());
    bodies
        .flat_map(|body| body["alerts"].as_array().unwrap().clone())
        .map(|alert| format!("{} {}", alert["status"], alert["labels"]["path"]).replace('"', ""))
        .collect()
}

#[test]
fn a_leader_killed_while_alerts_are_held_changes_nothing_and_nor_does_a_restart() {
    let (space, sink) = (shared(), HttpSink::start());
    let mut client = space.client();
    ["/db", "/early", "/late"].iter().for_each(|path| client.create(path, ""));
    let mut agents = vec![start(&space, &sink)];
    agents[0].wait_until_it_leads();
    agents.push(start(&space, &sink));
    let mut expected = vec!["firing /early"];
    client.delete("/early");
    eventually(PATIENCE, "what fell before", || told(&sink) == expected);
    client.delete("/late");
    client.delete("/db");
    expected.push("firing /db");
    eventually(PATIENCE, "what holds the others", || told(&sink) == expected);

    space.wait_until_noted(2);
    // The second saw it all, the third starts in the middle of it.
    for _ in 0..2 {
        agents.remove(0).kill();
        agents[0].wait_until_it_leads();
        throughout(HOLD_DOWN, "nothing is told of what is held", || told(&sink) == expected);
        agents.push(start(&space, &sink));
    }
    let paths = agents[0].get("/status?detail=1").json()["monitor"]["paths"].clone();
    assert_eq!((&paths["/late"]["alert"], &paths["/late"]["quiet"]), (&"held".into(), &"held by /db".into()));
    assert_eq!(paths["/early"]["quiet"], "held by /db");

    client.create("/early", "");
    expected.push("resolved /early");
    eventually(PATIENCE, "a recovery does not wait", || told(&sink) == expected);
    client.create("/db", "");
    expected.extend(["resolved /db", "firing /late"]);
    eventually(PATIENCE, "what stayed down", || told(&sink) == expected);
    client.create("/late", "");
    expected.push("resolved /late");
    eventually(PATIENCE, "its end", || told(&sink) == expected);
    space.wait_for_children("/zk_monitor/zkmonitor/alerts", 0);
}
