//! Acknowledgements: silences that end with what was open when they were made.

use std::time::Duration;

use serde_json::Value;

use crate::common::{Daemon, HttpSink, SOON, Space, eventually, run, shared, throughout};

fn start(space: &Space, sink: &HttpSink) -> Daemon {
    let yaml = format!(
        "group_wait: 0\n/path: {{children: 1, repeat_interval: 4s, alerter: {{webhook: {{url: '{}'}}}}}}\n",
        sink.url("/hook")
    );
    let daemon = Daemon::with(space.address(), &yaml).start();
    daemon.wait_until_ready();
    daemon
}

/// What was told: an incident and an end each time.
fn told(sink: &HttpSink) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let requests = sink.requests("/hook").into_iter().map(|request| request.json()["alerts"][0].clone());
    requests.map(|alert| (text(&alert["annotations"]["incident"]), text(&alert["status"]))).collect()
}

fn list(space: &Space) -> String {
    run(["-z", space.address(), "--silences"]).stdout
}

fn acknowledge(space: &Space, path: &str) -> (Option<i32>, String) {
    let output = run(["-z", space.address(), "--silence", path, "--until-recovery", "--comment", "on it"]);
    (output.code, output.stdout + &output.stderr)
}

#[test]
fn an_acknowledgement_outlives_its_leader_and_not_its_incident() {
    let (space, sink) = (shared(), HttpSink::start());
    let mut client = space.client();
    client.create("/path/x", "");
    let mut first = start(&space, &sink);
    first.wait_until_it_leads();
    let mut second = start(&space, &sink);

    let (code, said) = acknowledge(&space, "/path");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("/path has no open incident, so there is nothing to acknowledge"), "{said}");
    client.delete("/path/x");
    eventually(SOON, "an alert and a reminder", || told(&sink).len() == 2);

    // The next reminder is due in four seconds.
    let (code, said) = acknowledge(&space, "/*");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(": /* is silenced until recovery by "), "{said}");
    for daemon in [&first, &second] {
        let shown = daemon.wait_until("the acknowledgement", |status| !status["silences"][0].is_null());
        assert!(shown["silences"][0]["until"].is_null(), "{shown}");
    }
    assert!(list(&space).contains("\trecovery\t/*\t"), "{}", list(&space));
    let quiet = |daemon: &Daemon| daemon.status()["monitor"]["paths"]["/path"]["quiet"].clone();
    assert!(
        quiet(&first).as_str().is_some_and(|quiet| quiet.starts_with("silenced by ")),
        "{}",
        quiet(&first)
    );
    throughout(Duration::from_secs(5), "silent", || told(&sink).len() == 2);

    first.kill();
    second.wait_until_it_leads();
    throughout(Duration::from_secs(5), "silent after the takeover", || told(&sink).len() == 2);
    assert!(list(&space).contains("\trecovery\t"), "{}", list(&space));

    // Nobody leads while it ends.
    let third = start(&space, &sink);
    second.kill();
    client.create("/path/x", "");
    eventually(SOON, "the recovery", || told(&sink).len() == 3);
    let ends = told(&sink);
    let incident = &ends[0].0;
    assert_eq!(ends[2], (incident.clone(), "resolved".to_owned()));
    space.wait_for_children("/zk_monitor/zkmonitor/silences", 0);
    third.wait_until("no silence", |status| status["silences"].as_array().is_some_and(Vec::is_empty));

    client.delete("/path/x");
    eventually(SOON, "the next alert", || told(&sink).len() > 3);
    let next = &told(&sink)[3];
    assert!(next.0 != *incident && next.1 == "firing", "{next:?}");
}

/// What falls out of spec again is told, though the acknowledgement may not have been removed yet.
#[test]
fn what_falls_again_at_once_is_told() {
    let (space, sink) = (shared(), HttpSink::start());
    let mut client = space.client();
    client.create("/path", "");
    let daemon = start(&space, &sink);
    daemon.wait_until_it_leads();
    eventually(SOON, "the alert", || told(&sink).len() == 1);
    let (code, said) = acknowledge(&space, "/path");
    assert_eq!(code, Some(0), "{said}");
    daemon.wait_until("the acknowledgement", |status| !status["silences"][0].is_null());
    client.create("/path/x", "");
    eventually(SOON, "the recovery", || told(&sink).len() == 2);
    client.delete("/path/x");
    let next = eventually(SOON, "the next alert", || told(&sink).get(2).cloned());
    assert_eq!(next.1, "firing");
}
