//! How long ago a znode was written, by ZooKeeper's clock.

use std::time::Duration;

use serde_json::json;

use crate::common::{Client, Daemon, HttpSink, SOON, ZooKeeper, eventually, shared, throughout};

/// A job that touches a znode, and stops doing so; on a server whose clock is five minutes from ours either way.
fn a_job_that_stops_is_told_of(server: &ZooKeeper) {
    let (mut client, sink) = (server.client(), HttpSink::start());
    client.create("/cron", "");
    let yaml = format!(
        "group_wait: 0\n/cron: {{data: {{max_age: 3s}}, alerter: {{webhook: {{url: '{}'}}}}}}\n",
        sink.url("/hook")
    );
    let daemon = Daemon::start(&server.address(), &yaml);
    let mut touch = || client.set("/cron", "");
    eventually(SOON, "a leader that sees that it is touched", || {
        touch();
        let alerting = daemon.status()["monitor"]["alerter"]["alerting"] == true;
        alerting && daemon.compliance("/cron") == true
    });
    throughout(Duration::from_secs(5), "in spec as long as it is touched", || {
        touch();
        daemon.get("/status/cron").status == 200 && sink.requests("/hook").is_empty()
    });
    let alert = sink.wait_for("/hook", 1)[0].json()["alerts"][0].clone();
    let message = alert["annotations"]["message"].as_str().unwrap();
    assert!(message.starts_with("Not written for ") && message.ends_with("s, at most 3s"), "{message}");
    // `/status` tells of it anew as it grows older, and nobody else is told.
    let first = daemon.compliance("/cron");
    eventually(SOON, "another age", || daemon.compliance("/cron") != first);
    touch();
    let ended = sink.wait_for("/hook", 2)[1].json()["alerts"][0].clone();
    assert_eq!((&ended["status"], &ended["fingerprint"]), (&json!("resolved"), &alert["fingerprint"]));
}

#[test]
fn ages_are_by_a_clock_that_is_five_minutes_ahead() {
    a_job_that_stops_is_told_of(&ZooKeeper::with_clock("+300s"));
}

#[test]
fn ages_are_by_a_clock_that_is_five_minutes_behind() {
    let server = ZooKeeper::with_clock("-300s");
    a_job_that_stops_is_told_of(&server);
    // By our own clock it was all written five minutes ago.
    let output = Daemon::with(&server.address(), "/cron: {data: {max_age: 1m}}\n").args(["--once"]).finish();
    assert!(output.stdout.contains("/cron: Not written for 5m, at most 1m"), "{}", output.stdout);
}

#[test]
fn an_instance_that_does_not_write_any_more_does_not_count() {
    let space = shared();
    let mut client = space.client();
    for name in ["a", "b", "c"] {
        client.create(&format!("/web/{name}"), "");
    }
    let yaml = "/web: {children: {min: 2, where: {max_age: 3s}}}\n";
    let daemon = Daemon::start(space.address(), yaml);
    let both = |client: &mut Client| ["/web/a", "/web/b"].map(|path| client.set(path, ""));
    both(&mut client);
    daemon.wait_for("/web", true);
    eventually(SOON, "one that is too old", || {
        both(&mut client);
        let ignored = daemon.get("/status?detail=1").json()["monitor"]["paths"]["/web"]["ignored"].clone();
        let reason = ignored[0]["reason"].as_str().unwrap_or_default().to_owned();
        (ignored[0]["name"] == "c" && reason.starts_with("Not written for ")).then_some(()).ok_or(reason)
    });
    daemon.wait_for("/web", "Found children (0 of 3) less than minimum (2)");
    both(&mut client);
    daemon.wait_for("/web", true);
}

/// Who writes nothing judges by its own clock.
#[test]
fn once_judges_ages_by_its_own_clock() {
    let space = shared();
    space.client().create("/new", "");
    let yaml = "/new: {data: {max_age: 1h}}\n/gone: {data: {max_age: 1h}}\n";
    let output = Daemon::with(space.address(), yaml).args(["--once"]).finish();
    let out = output.stdout;
    assert!(out.contains("/new: true\n"), "{out}");
    assert!(out.contains("/gone: Found no data: path does not exist\n"), "{out}");
}
