//! Several rules for one path: each an alert of its own.

use serde_json::json;

use crate::common::{Daemon, HttpSink, SOON, SmtpSink, Space, eventually, run, shared};

const ALERTS: &str = "/zk_monitor/zkmonitor/alerts";

/// A warning below five children and a page below three.
fn yaml(sink: &HttpSink) -> String {
    format!(
        "group_wait: 0\n/workers:\n  \
         - {{name: warn, children: 5, severity: warning, alerter: {{webhook: {{url: '{}'}}}}}}\n  \
         - {{name: page, children: 3, severity: critical, alerter: {{webhook: {{url: '{}'}}}}}}\n",
        sink.url("/warn"),
        sink.url("/page")
    )
}

fn grow(space: &Space, count: usize) {
    let mut client = space.client();
    client.create("/workers", "");
    client.create_many(&(0..count).map(child).collect::<Vec<_>>());
}

fn shrink(space: &Space, children: std::ops::Range<usize>) {
    space.client().delete_many(&children.map(child).collect::<Vec<_>>());
}

fn child(number: usize) -> String {
    format!("/workers/{number}")
}

#[test]
fn each_rule_of_a_path_tells_its_own_receivers() {
    let (space, sink) = (shared(), HttpSink::start());
    grow(&space, 5);
    let daemon = Daemon::with(space.address(), &yaml(&sink)).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/workers", true);
    let mut client = space.client();

    shrink(&space, 0..1);
    let warning = sink.wait_for("/warn", 1)[0].json();
    assert_eq!(
        warning["alerts"][0]["labels"],
        json!({
            "alertname": "ZooKeeperPathOutOfSpec", "cluster": "zkmonitor", "path": "/workers", "rule": "warn",
            "severity": "warning",
        })
    );
    assert_eq!(warning["alerts"][0]["annotations"]["message"], "Found children (4) less than minimum (5)");
    daemon.wait_for("/workers", "Found children (4) less than minimum (5)");
    space.wait_for_children(ALERTS, 1);
    assert!(client.exists(&format!("{ALERTS}/%2Fworkers@warn")));

    shrink(&space, 1..3);
    let page = sink.wait_for("/page", 1)[0].json();
    assert_ne!(page["alerts"][0]["fingerprint"], warning["alerts"][0]["fingerprint"]);
    let both = "Found children (2) less than minimum (5); Found children (2) less than minimum (3)";
    daemon.wait_for("/workers", both);
    let detail = daemon.wait_until("both alerts", |status| {
        let rules = &status["monitor"]["paths"]["/workers"]["rules"];
        rules["page"]["incident"].is_string() && rules["warn"]["incident"].is_string()
    })["monitor"]["paths"]["/workers"]
        .clone();
    let page_rule = &detail["rules"]["page"];
    assert_eq!((&page_rule["alert"], &page_rule["severity"]), (&json!("firing"), &json!("critical")));
    assert_eq!(page_rule["message"], "Found children (2) less than minimum (3)");
    assert_eq!((&detail["alert"], &detail["severity"]), (&json!("firing"), &json!("critical")));

    client.create_many(&(1..3).map(child).collect::<Vec<_>>());
    assert_eq!(sink.wait_for("/page", 2)[1].json()["status"], "resolved");
    daemon.wait_for("/workers", "Found children (4) less than minimum (5)");
    client.create(&child(0), "");
    assert_eq!(sink.wait_for("/warn", 2)[1].json()["status"], "resolved");
    space.wait_for_children(ALERTS, 0);
    assert_eq!((sink.requests("/warn").len(), sink.requests("/page").len()), (2, 2));
}

#[test]
fn a_silence_can_be_of_one_rule() {
    let (space, sink) = (shared(), HttpSink::start());
    grow(&space, 5);
    let daemon = Daemon::with(space.address(), &yaml(&sink)).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/workers", true);
    let made = run(["-z", space.address(), "--silence", "/*@warn", "--for", "1h"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let silenced =
        |status: &serde_json::Value| status["silences"].as_array().is_some_and(|all| all.len() == 1);
    daemon.wait_until("the silence", silenced);
    shrink(&space, 0..5);
    sink.wait_for("/page", 1);
    assert!(sink.requests("/warn").is_empty());
    let id = made.stdout.split(':').next().unwrap();
    let shown: serde_json::Value = serde_json::from_str(&daemon.get("/status?detail=1").body).unwrap();
    let path = &shown["monitor"]["paths"]["/workers"];
    assert_eq!(
        (&path["rules"]["warn"]["quiet"], &path["quiet"]),
        (&json!(format!("silenced by {id}")), &json!(null))
    );
    let metrics = daemon.get("/metrics").body;
    assert!(
        metrics.contains("zk_monitor_alerts_quiet{phase=\"firing\",reason=\"silenced\"} 1\n"),
        "{metrics}"
    );
}

/// Nagios has a state for what is not yet an outage.
#[test]
fn once_is_as_bad_as_the_worst_rule_that_is_broken() {
    let (space, sink) = (shared(), HttpSink::start());
    let once = || {
        let output = Daemon::with(space.address(), &yaml(&sink)).args(["--once"]).finish();
        (output.code, output.stdout)
    };
    grow(&space, 5);
    assert_eq!(once().0, Some(0));
    shrink(&space, 0..1);
    let (code, said) = once();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.starts_with("ZK_MONITOR WARNING - 0 paths in spec, 1 out of spec, 0 unknown: /workers |"),
        "{said}"
    );
    assert!(said.contains("\n/workers: Found children (4) less than minimum (5)\n"), "{said}");
    shrink(&space, 1..3);
    let (code, said) = once();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.starts_with("ZK_MONITOR CRITICAL - "), "{said}");
}

#[test]
fn a_test_alert_is_of_all_rules_of_a_path_or_of_one() {
    let (space, sink) = (shared(), HttpSink::start());
    let test = |alert: &str| {
        let output = Daemon::with(space.address(), &yaml(&sink)).args(["--test-alert", alert]).finish();
        output.code
    };
    assert_eq!(test("/workers@page"), Some(0));
    let told = sink.wait_for("/page", 1)[0].json();
    assert_eq!(told["alerts"][0]["labels"]["rule"], "page");
    assert!(sink.requests("/warn").is_empty());
    assert_eq!(test("/workers"), Some(0));
    sink.wait_for("/page", 2);
    sink.wait_for("/warn", 1);
    assert_eq!(test("/workers@other"), Some(1));
}

#[test]
fn an_open_incident_goes_on_when_its_rule_gets_a_name() {
    let (space, mails) = (shared(), SmtpSink::start());
    grow(&space, 0);
    let mut daemon = Daemon::with(
        space.address(),
        "group_wait: 0\n/workers: {children: 1, alerter: {email: you@home.com}}\n",
    )
    .smtp(mails.port())
    .start();
    let alert = mails.wait_for(1).remove(0);
    let mut client = space.client();
    daemon.reload(
        "group_wait: 0\n/workers:\n  - {name: page, children: 1, alerter: {email: you@home.com}}\n  \
         - {name: warn, children: 0}\n",
    );
    eventually(SOON, "the entry under its new name", || {
        client.children(ALERTS).filter(|names| *names == ["%2Fworkers@page"])
    });
    client.create(&child(0), "");
    let recovery = mails.wait_for(2).remove(1);
    assert_eq!(recovery.header("In-Reply-To"), alert.header("Message-ID"));
    space.wait_for_children(ALERTS, 0);
}
