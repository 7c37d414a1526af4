//! Who is told what, and how often.

use std::time::Duration;

use serde_json::json;

use crate::common::{Answer, Daemon, HttpSink, SOON, SmtpSink, eventually, shared, throughout};

const SUBJECT: &str = "Warning! /services/foo has an alert!";
const RECOVERED: &str = "OK: /services/foo is in spec again";

/// Long enough for a mail that should not have been sent to arrive.
const QUIET: Duration = Duration::from_secs(3);

#[test]
fn each_address_gets_an_alert_and_a_recovery_in_one_thread() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.create("/services/foo/a", "");
    let yaml = "/services/foo:\n  children: 1\n  alerter: {email: \"you@home.com, other@home.com\"}\n";
    let daemon = Daemon::with(space.address(), yaml).smtp(sink.port()).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/services/foo", true);
    client.delete("/services/foo/a");
    let alerts = sink.wait_for(2);
    client.create("/services/foo/b", "");
    let mails = sink.wait_for(4);
    for address in ["you@home.com", "other@home.com"] {
        let mine: Vec<_> = mails.iter().filter(|mail| mail.to == [address]).collect();
        let [alert, recovery] = mine[..] else { panic!("{address}: {} mails", mine.len()) };
        assert_eq!((alert.subject(), recovery.subject()), (SUBJECT, RECOVERED));
        assert_eq!(recovery.header("In-Reply-To"), alert.header("Message-ID"));
        assert!(
            alert.header("Message-ID").is_some()
                && alert.header("Message-ID") != recovery.header("Message-ID")
        );
        assert!(alert.body.contains("Found children (0) less than minimum (1)"), "{}", alert.body);
        assert!(alert.body.contains("/services/foo"), "{}", alert.body);
    }
    assert!(alerts.iter().all(|mail| mail.body.contains("less than")));
    throughout(QUIET, "told once", || sink.mails().len() == 4);
}

#[test]
fn at_the_start_only_what_is_out_of_spec_is_told() {
    let (space, sink) = (shared(), SmtpSink::start());
    space.client().create("/good/a", "");
    let yaml = "defaults: {alerter: {email: you@home.com}}\n/good: {children: 1}\n/bad: {children: 1}\n\
                /muted: {children: 1, alerter: {}}\n/unasked: {}\n";
    let daemon = Daemon::with(space.address(), yaml).smtp(sink.port()).start();
    assert_eq!(sink.wait_for(1)[0].subject(), "Warning! /bad has an alert!");
    throughout(QUIET, "silent about the rest", || sink.mails().len() == 1);
    assert_eq!(daemon.compliance("/unasked"), true);
}

#[test]
fn what_is_over_before_the_time_out_is_never_told() {
    let (space, sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    client.create("/services/foo/a", "");
    let yaml = "/services/foo:\n  children: 1\n  cancel_timeout: 2\n  alerter: {email: you@home.com}\n";
    let daemon = Daemon::with(space.address(), yaml).smtp(sink.port()).start();
    daemon.wait_until_it_leads();
    daemon.wait_for("/services/foo", true);
    client.delete("/services/foo/a");
    daemon.wait_for("/services/foo", "Found children (0) less than minimum (1)");
    client.create("/services/foo/a", "");
    daemon.wait_for("/services/foo", true);
    throughout(QUIET, "silent", || sink.mails().is_empty());
    client.delete("/services/foo/a");
    sink.wait_for(1);
}

#[test]
fn a_refused_address_keeps_nobody_else_from_the_mail() {
    let (space, sink) = (shared(), SmtpSink::start());
    sink.refuse("gone@home.com", "550 5.1.1 no such user");
    let yaml = "/bad: {children: 1, alerter: {email: [gone@home.com, you@home.com]}}\n";
    let daemon = Daemon::with(space.address(), yaml).smtp(sink.port()).start();
    eventually(SOON, "mail to the other address", || {
        sink.mails().iter().any(|mail| mail.to == ["you@home.com"])
    });
    throughout(QUIET, "no further attempt at the refused one", || {
        sink.attempts().iter().filter(|address| *address == "gone@home.com").count() == 1
    });
    let status = daemon.status();
    assert!(!status.to_string().contains("home.com"), "no address is ever shown: {status}");
    // One id and one name in all places, and the address in the log alone.
    let (id, _) = status["receivers"].as_object().unwrap().iter().find(|(_, one)| one["sent"] != 0).unwrap();
    assert_eq!(status["receivers"][id]["name"], "email y…");
    daemon.wait_for_log(&format!("email you@home.com ({id}): told that /bad is out of spec"));
    let metrics = daemon.get("/metrics").body;
    let info = format!("zk_monitor_receiver_info{{kind=\"email\",name=\"email y…\",receiver=\"{id}\"}} 1\n");
    assert!(metrics.contains(&info) && !metrics.contains("home.com"), "{metrics}");
}

#[test]
fn a_receiver_that_was_down_for_the_whole_incident_hears_of_both_ends() {
    let (space, mut sink) = (shared(), SmtpSink::start());
    let mut client = space.client();
    sink.down();
    let yaml = "/services/foo: {children: 1, alerter: {email: you@home.com}}\n";
    let daemon = Daemon::with(space.address(), yaml).smtp(sink.port()).start();
    daemon.wait_until_it_leads();
    daemon.wait_until("failed attempt", |status| {
        status["receivers"]
            .as_object()
            .is_some_and(|all| all.values().any(|one| one["failed"].as_u64() > Some(0)))
    });
    client.create("/services/foo/a", "");
    daemon.wait_for("/services/foo", true);
    sink.up();
    let late = sink.wait_for(1).remove(0);
    assert_eq!(late.subject(), RECOVERED);
    throughout(QUIET, "one message for both ends", || sink.mails().len() == 1);
}

#[test]
fn a_webhook_gets_both_ends_and_is_tried_again_with_the_same_key() {
    let (space, sink) = (shared(), HttpSink::start());
    let mut client = space.client();
    sink.answer_once("/hook", Answer::status(503));
    let yaml =
        format!("/services/foo: {{children: 1, alerter: {{webhook: {{url: \"{}\"}}}}}}\n", sink.url("/hook"));
    let daemon = Daemon::with(space.address(), &yaml).start();
    let tries = sink.wait_for("/hook", 2);
    assert_eq!(tries[0].headers["idempotency-key"], tries[1].headers["idempotency-key"]);
    daemon.wait_for("/services/foo", "Found children (0) less than minimum (1): path does not exist");
    client.create("/services/foo/a", "");
    let recovery = sink.wait_for("/hook", 3).remove(2);
    let (fired, resolved) = (tries[1].json(), recovery.json());
    assert_eq!((&fired["version"], &fired["status"]), (&json!("4"), &json!("firing")));
    assert_eq!(resolved["status"], "resolved");
    let labels = json!({
        "alertname": "ZooKeeperPathOutOfSpec", "path": "/services/foo", "cluster": "zkmonitor", "severity": "error",
    });
    assert_eq!((&fired["alerts"][0]["labels"], &resolved["alerts"][0]["labels"]), (&labels, &labels));
    let incident = fired["alerts"][0]["annotations"]["incident"].clone();
    assert!(incident.is_string() && incident == resolved["alerts"][0]["annotations"]["incident"]);
    assert_ne!(recovery.headers["idempotency-key"], tries[1].headers["idempotency-key"]);
}

#[test]
fn slack_says_no_with_a_success() {
    let (space, sink) = (shared(), HttpSink::start());
    sink.answer_once("/api/chat.postMessage", Answer::json(&json!({"ok": false, "error": "internal_error"})));
    sink.answer("/api/chat.postMessage", Answer::json(&json!({"ok": true})));
    let yaml = format!(
        "/bad: {{children: 1, alerter: {{slack: {{channel: \"#ops\", token: xoxb-secret, api_url: \"{}\"}}}}}}\n",
        sink.url("/api")
    );
    let daemon = Daemon::with(space.address(), &yaml).start();
    let request = sink.wait_for("/api/chat.postMessage", 2).remove(1);
    assert_eq!(request.headers["authorization"], "Bearer xoxb-secret");
    assert_eq!(request.json()["channel"], "#ops");
    throughout(QUIET, "not said again", || sink.requests("/api/chat.postMessage").len() == 2);
    assert!(!daemon.status().to_string().contains("secret") && !daemon.log_contains("xoxb-secret"));
}

#[test]
fn a_success_that_says_nothing_is_a_success() {
    let (space, sink) = (shared(), HttpSink::start());
    let paths = ["/slack", "/api/chat.postMessage", "/v1/rooms/message", "/v2/enqueue"];
    paths.iter().for_each(|path| sink.answer(path, Answer::status(200).body("")));
    let yaml = format!(
        "/bad: {{children: 1, alerter: {{slack: [{{webhook_url: \"{0}/slack\", channel: c}}, {{channel: \"#ops\", \
         token: t, api_url: \"{0}/api\"}}], hipchat: {{room: ops, token: t, api_url: \"{0}\"}}, pagerduty: \
         {{routing_key: k, api_url: \"{0}\"}}}}}}\n",
        sink.url("")
    );
    let daemon = Daemon::with(space.address(), &yaml).start();
    paths.iter().for_each(|path| drop(sink.wait_for(path, 1)));
    throughout(QUIET, "said once", || paths.iter().all(|path| sink.requests(path).len() == 1));
    let status = daemon.wait_until("four that were told", |status| {
        status["receivers"].as_object().unwrap().values().filter(|one| one["sent"] == 1).count() == 4
    });
    assert!(status["receivers"].as_object().unwrap().values().all(|one| one["failed"] == 0), "{status}");
}
