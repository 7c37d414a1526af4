//! Alerts to a real Alertmanager.

use std::time::Duration;

use serde_json::json;

use crate::common::{Alertmanager, Daemon, HttpSink, SOON, eventually, other_clock, shared, throughout};

#[test]
fn an_alert_appears_stays_and_is_resolved() {
    let (space, alertmanager) = (shared(), Alertmanager::start());
    let mut client = space.client();
    client.create("/services/foo/a", "");
    let yaml = format!(
        "/services/foo:\n  children: 1\n  repeat_interval: 1s\n  description: Call them.\n  \
         alerter: {{alertmanager: {{url: \"{}\"}}}}\n",
        alertmanager.url()
    );
    let daemon = Daemon::with(space.address(), &yaml).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/services/foo", true);
    client.delete("/services/foo/a");
    let first = alertmanager.wait_for(1).remove(0);
    let labels = json!({"alertname": "ZooKeeperPathOutOfSpec", "path": "/services/foo", "cluster": "zkmonitor", "severity": "error"});
    assert_eq!(first["labels"], labels);
    assert_eq!(first["annotations"]["message"], "Found children (0) less than minimum (1)");
    assert_eq!(first["annotations"]["left"], "a");
    assert_eq!(first["annotations"]["description"], "Call them.");
    // It is told again, and so does not end by itself: the same alert, which now ends later.
    let later = eventually(SOON, "alert that is kept alive", || {
        let now = alertmanager.wait_for(1).remove(0);
        if now["endsAt"] == first["endsAt"] { Err(now) } else { Ok(now) }
    });
    assert_eq!(later["fingerprint"], first["fingerprint"]);
    assert_eq!(later["startsAt"], first["startsAt"]);
    client.create("/services/foo/b", "");
    alertmanager.wait_for(0);
    daemon.wait_until("no error", |status| {
        let receivers = status["receivers"].as_object().unwrap();
        receivers.values().all(|one| one["failed"] == 0 && one["last_error"].is_null())
    });
}

#[test]
fn it_shows_alerts_of_an_agent_whose_clock_is_wrong_and_their_end() {
    let alertmanager = Alertmanager::start();
    for clock in ["+2s", "-20m", "+20m"] {
        let space = shared();
        let mut client = space.client();
        client.create("/p", "");
        // The end is told at once, while the clock that is ahead has it in the future.
        let yaml = format!(
            "group_wait: 0\n/p:\n  children: 1\n  repeat_interval: 1s\n  alerter: {{alertmanager: {{url: \"{}\"}}}}\n",
            alertmanager.url()
        );
        let daemon = Daemon::with(space.address(), &yaml)
            .env("LD_PRELOAD", &other_clock().to_string_lossy())
            .env("FAKETIME", clock)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .start();
        // It lasts for longer than a second, which is what its times are cut to.
        let first = alertmanager.wait_for(1).remove(0);
        eventually(SOON, "alert that is kept alive", || {
            alertmanager.wait_for(1)[0]["endsAt"] != first["endsAt"]
        });
        client.create("/p/a", "");
        alertmanager.wait_for(0);
        drop(daemon);
    }
}

/// Routes that a team would write: its critical alerts to its pager, its others to its chat, and those of others elsewhere.
fn routes(sink: &HttpSink) -> String {
    let receiver = |name: &str| {
        format!("- {{name: {name}, webhook_configs: [{{url: \"{}\"}}]}}\n", sink.url(&format!("/{name}")))
    };
    format!(
        "route:\n  {{receiver: others, group_by: [\"...\"], group_wait: 0s, group_interval: 1s, routes: [\n  \
         {{receiver: pager, matchers: [team=web, severity=critical]}}, {{receiver: chat, matchers: [team=web]}}]}}\n\
         receivers:\n{}{}{}",
        receiver("others"),
        receiver("pager"),
        receiver("chat")
    )
}

#[test]
fn it_routes_by_team_and_severity_and_a_reload_changes_no_open_alert() {
    let (space, sink) = (shared(), HttpSink::start());
    let alertmanager = Alertmanager::with(&routes(&sink));
    let mut client = space.client();
    let rules = |team: &str| {
        format!(
            "defaults:\n  children: 1\n  labels: {{team: {team}}}\n  runbook: https://wiki.example.com/web#down\n  \
             alerter: {{alertmanager: {{url: \"{}\"}}}}\n\
             /page: {{severity: critical}}\n/tell: {{severity: warning}}\n/other: {{labels: {{team: db}}}}\n",
            alertmanager.url()
        )
    };
    let mut daemon = Daemon::with(space.address(), &rules("web")).start();
    let paths = ["/page", "/tell", "/other"].into_iter().zip(["/pager", "/chat", "/others"]);
    for (path, receiver) in paths.clone() {
        let told = sink.wait_for(receiver, 1)[0].json();
        assert_eq!(told["alerts"][0]["labels"]["path"], path, "{told}");
    }
    let shown = alertmanager.amtool();
    let page = shown.as_array().unwrap().iter().find(|alert| alert["labels"]["path"] == "/page").unwrap();
    assert_eq!(page["annotations"]["runbook_url"], "https://wiki.example.com/web#down", "{shown}");
    assert_eq!((&page["labels"]["team"], &page["labels"]["severity"]), (&json!("web"), &json!("critical")));
    // Another team from now on, and another agent: what is open at Alertmanager is ended as what it was.
    let digest = |status: &serde_json::Value| status["config"]["digest"].clone();
    let before = digest(&daemon.status());
    daemon.reload(&rules("elsewhere"));
    daemon.wait_until("the other configuration", |status| digest(status) != before);
    client.create("/page/a", "");
    let ended = sink.wait_for("/pager", 2)[1].json();
    assert_eq!(
        (&ended["status"], &ended["alerts"][0]["labels"]["team"]),
        (&json!("resolved"), &json!("web"))
    );
    daemon.stop();
    let next = Daemon::with(space.address(), &rules("elsewhere")).start();
    next.wait_until_it_leads();
    client.create("/tell/a", "");
    assert_eq!(sink.wait_for("/chat", 2)[1].json()["status"], "resolved");
    client.delete("/page/a");
    let again = eventually(SOON, "alert of the other team", || {
        let told = sink.requests("/others");
        told.iter()
            .map(|told| told.json())
            .find(|told| told["alerts"][0]["labels"]["path"] == "/page")
            .ok_or(told.len())
    });
    assert_eq!(again["alerts"][0]["labels"]["team"], "elsewhere");
    throughout(Duration::from_secs(2), "nothing else", || {
        paths.clone().all(|(_, receiver)| sink.requests(receiver).len() == 2)
    });
    assert_eq!(alertmanager.active().len(), 2);
}
